"""The Suspects section of the Golden set page: labels that several judges contradict, and what is decided about each."""

from __future__ import annotations

import html
import secrets
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from workbench import evaluation, golden_decisions, markup, suspects, widgets
from workbench.golden import NOT_APPLICABLE
from workbench.golden_decisions import grade_name
from workbench.labelling import Figures
from workbench.policy import Policy
from workbench.run import Judgement, Run
from workbench.store.decisions import Decision, Outcome
from workbench.suspects import Suspect

SHOWN = 200
"""Suspects in the list."""
_EVERY = "every dimension"
_SPLITS = {"dev": "dev", "holdout": "holdout"}
_LEADS: dict[Outcome, tuple[str, str]] = {
    "label wrong": (
        ":material/edit_note:",
        "With the right grade: adjudicated at once, the note its reason. Without: on to Adjudicate.",
    ),
    "judge wrong": (":material/smart_toy:", "The label stays. Suggested edits of the policy rest on it."),
    "policy ambiguous": (
        ":material/forum:",
        "The note becomes a comment on the clause that the judges cite, else on the dimension.",
    ),
}


def draw(found: Figures, policy: Policy) -> None:
    """Draw the filters, the list, the open suspect with its decision, and the decisions so far."""
    golden = found.info.name
    runs = suspects.independent_runs(widgets.workspace(), golden)
    if not runs:
        widgets.empty(
            "No judge has graded this set yet.", "Start a run on the Runs page; the baseline needs no key."
        )
    else:
        listed = _listed(golden, policy, runs)
        if listed is not None:
            opened = _table(listed, policy)
            if opened is not None:
                _open(opened, listed, policy)
    golden_decisions.draw(golden, policy)


def _listed(golden: str, policy: Policy, runs: Sequence[Run]) -> list[Suspect] | None:
    """Draw the filters and return what passes them; None where the holdout still waits for a yes."""
    titles = markup.titles(policy)
    bar = st.columns([5, 4, 6, 4], vertical_alignment="bottom", gap="medium")
    with bar[0]:
        dimension = widgets.pick(
            st.selectbox, "Dimension", [_EVERY, *policy.keys], key="suspects_in",
            format_func=lambda key: titles.get(key, key), on_change=_close,
        )  # fmt: skip
    with bar[1]:
        counts = list(range(1, max(len(runs), 2) + 1))
        least = widgets.pick(
            st.selectbox,
            "Judges that agree, at least",
            counts,
            key="least_judges",
            default=2,
            on_change=_close,
        )
    with bar[2]:
        score = st.slider("Score, at least", 0.0, 1.0, 0.0, 0.05, key="least_score", on_change=_close)
    with bar[3]:
        split = widgets.pick(
            st.segmented_control, "Pairs", list(_SPLITS), key="suspects_split", format_func=_SPLITS.get,
            on_change=_close,
        )  # fmt: skip
    names = ", ".join(f"{run.judge.name} (v{run.policy_version})" for run in runs)
    st.caption(
        markup.plain(
            f"{markup.several(len(runs), 'independent judge')}: {names}. The newest run of each family; trained "
            "models do not count. Score: how much likelier the judges' answer is than the label, by what such "
            "answers of each judge turned out to be, less what other labelers said for the label."
        )
    )
    if least > len(runs):
        widgets.empty(
            f"Only {markup.several(len(runs), 'independent judge')} graded this set.",
            f"Run {markup.several(least - len(runs), 'more judge')} of another family, or choose fewer.",
        )
        return []
    if split == "holdout" and not _may_look(golden):
        return None
    space = widgets.workspace()
    found = suspects.suspects(
        space, golden, dimension=None if dimension == _EVERY else dimension, least_judges=least, split=split,
        who=widgets.who(),
    )  # fmt: skip
    listed = [suspect for suspect in found if suspect.score >= score]
    if not listed:
        what = "No label waits" if not found else f"None of {len(found):,} has a score of {score:.2f} or more"
        widgets.empty(f"{what}.", "Choose fewer judges, a lower score, or another dimension.")
    return listed


def _may_look(golden: str) -> bool:
    """Return whether this session has chosen to look at the holdout of a set; ask where it has not."""
    flag = f"_suspects_holdout|{golden}"
    if st.session_state.get(flag):
        return True
    with st.container(border=True):
        st.markdown(
            "**A look at the holdout is written in its ledger.** What you learn from it must not shape the policy."
        )
        st.button("Look at the holdout", key="look_holdout", on_click=_allow, args=(flag,))
    return False


def _allow(flag: str) -> None:
    st.session_state[flag] = True


def _close() -> None:
    st.query_params.pop("suspect", None)


def _table(listed: list[Suspect], policy: Policy) -> Suspect | None:
    """Draw the list and return the suspect that is open."""
    if not listed:
        return None
    shown = listed[:SHOWN]
    pairs = widgets.workspace().store.pairs([suspect.pair_id for suspect in shown], shown[0].golden)
    titles = markup.titles(policy)
    query, document = policy.pair.query, policy.pair.document
    view = pd.DataFrame(
        {
            "score": [suspect.score for suspect in shown],
            "dimension": [titles[suspect.dimension] for suspect in shown],
            "label": [grade_name(suspect.label) for suspect in shown],
            "judges say": [grade_name(suspect.answer) for suspect in shown],
            "judges": [f"{len(suspect.agreeing)} of {len(suspect.judges)}" for suspect in shown],
            "labelers": [sum(suspect.votes.values()) for suspect in shown],
            query.name: [pairs[x.pair_id].query.get(query.fields[0], "") for x in shown],
            document.name: [pairs[x.pair_id].document.get(document.fields[0], "") for x in shown],
            "before": [suspect.decision.outcome if suspect.decision else "" for suspect in shown],
        }
    )
    if not any(view["before"]):
        view = view.drop(columns="before")
    ids = [suspect.id for suspect in shown]
    wanted = st.query_params.get("suspect")
    if wanted is not None and wanted not in ids:  # decided since, by this person or another
        _close()
    widths = {"score": 60, "dimension": 130, "label": 56, "judges say": 80, "judges": 64, "labelers": 70}
    more = f", the first {SHOWN}" if len(listed) > SHOWN else ""
    st.html(f'<div class="wb-eyebrow">{markup.several(len(listed), "suspected label")}{more}</div>')
    opened = widgets.open_row(
        view, ids, "suspect",
        height=38 + 35 * min(len(view), 5 if wanted in ids else 12),
        column_config={name: st.column_config.Column(width=width) for name, width in widths.items()}
        | {"score": st.column_config.NumberColumn(format="%.2f", width=60)}
        | dict.fromkeys((query.name, document.name), st.column_config.TextColumn(width=250)),
    )  # fmt: skip
    if opened is None:
        st.caption("Select a row to open the pair with its labels and what the judges said.")
        return None
    return shown[ids.index(opened)]


def _open(suspect: Suspect, listed: Sequence[Suspect], policy: Policy) -> None:
    """Draw one suspect: the pair, what people and judges said, and the three decisions."""
    space = widgets.workspace()
    queue = space.store.waits_for(suspect.golden, suspect.pair_id, widgets.who())
    if queue is not None and not _shown_anyway(suspect, queue):
        return
    story = evaluation.pair_story(space, suspect.golden, suspect.pair_id, [])
    widgets.pair_panes(story.pair, policy, lit=True)
    left, right = st.columns(2, gap="medium")
    with left:
        with st.container(border=True):
            st.html(_labelled(suspect, story.labels, policy))
        _decide(suspect, listed, policy)
    with right, st.container(border=True):
        st.html(_said(suspect, suspects.judgements(space, suspect), policy))


def _shown_anyway(suspect: Suspect, queue: str) -> bool:
    """Warn whoever may still have to label this pair; return whether they want to see it nevertheless."""
    flag = f"_suspect_shown|{suspect.id}"
    if st.session_state.get(flag):
        return True
    st.warning(
        f"You may still be asked about this pair in the queue **{markup.plain(queue)}**. Who has seen what judges "
        "and others said does not label blind any more: label it there first, or leave it to somebody else.",
        icon=":material/visibility_off:",
    )
    st.button("Show it all the same", key="suspect_show", on_click=_allow, args=(flag,))
    return False


def _hint(policy: Policy, key: str, grade: int) -> str:
    return markup.level_hint(policy, key, grade) if grade >= 0 else ""


def _tag(text: str) -> str:
    return f' <span class="wb-tag">{html.escape(text)}</span>' if text else ""


def _labelled(suspect: Suspect, labels: pd.DataFrame, policy: Policy) -> str:
    """Return what people settled on, and what each of them said and why."""
    key, scale = suspect.dimension, policy.scale(suspect.dimension)
    mine: list[Any] = list(labels[labels["dimension"] == key].itertuples())
    rows = [
        [
            markup.chip(int(x.grade), scale, _hint(policy, key, int(x.grade))),
            html.escape(x.labeler) + _tag("adjudicated" if x.source == "adjudicated" else ""),
            f'<span class="wb-small">{html.escape(x.note)}</span>',
        ]
        for x in mine
    ]
    settled = markup.chip(suspect.label, scale, _hint(policy, key, suspect.label))
    title = html.escape(policy.dimension(key).title)
    return f'<div class="wb-eyebrow">{title}: people say {settled}</div>' + markup.table(
        ["", "labeler", "note"], rows
    )


def _said(suspect: Suspect, said: dict[str, Judgement], policy: Policy) -> str:
    """Return what each judge said and why, those that agree first."""
    scale = policy.scale(suspect.dimension)
    answer = markup.chip(suspect.answer, scale, _hint(policy, suspect.dimension, suspect.answer))
    ordered = sorted(suspect.judges, key=lambda judge: judge.grade != suspect.answer)
    versions = {judge.run.policy_version for judge in ordered}
    under = {number: widgets.workspace().store.policy(policy.name, number) for number in sorted(versions)}
    parts = "".join(
        f'<div style="margin-top:8px"><span class="wb-small"><b>{html.escape(judge.run.judge.name)}</b> '
        f'<span class="wb-muted" title="how much likelier this judge makes the judges\' answer than the label">'
        f"v{judge.run.policy_version} · margin {markup.number(judge.margin, signed=True)}</span></span><br>"
        f"{markup.judgement(said.get(judge.run.id), scale, under[judge.run.policy_version])}</div>"
        for judge in ordered
    )
    return (
        f'<div class="wb-eyebrow">{len(suspect.agreeing)} of {len(suspect.judges)} judges say {answer} '
        f"· score {suspect.score:.2f}</div>{parts}"
    )


# The decision. Its key is made with the form, so that a double click decides once


def _decide(suspect: Suspect, listed: Sequence[Suspect], policy: Policy) -> None:
    if suspect.decision is not None:
        before = suspect.decision
        note = f": {before.note}" if before.note else ""
        st.info(
            markup.plain(
                f"{before.author} decided “{before.outcome}” on {before.at:%d %b %Y}{note}. A newer label or run "
                "contradicts it."
            )
        )
    stem = f"{suspect.golden}|{suspect.id}"
    dimension = policy.dimension(suspect.dimension)
    names = {level.value: f"{level.value} {level.name}" for level in dimension.levels}
    names |= {NOT_APPLICABLE: "N/A"} if dimension.allow_na else {}
    options = [grade for grade in names if grade != suspect.label]
    st.text_area("Note", key=f"suspect_note|{stem}", height=80, max_chars=2000, placeholder="Why?")
    st.segmented_control(
        "If the label is wrong, the right grade", options, key=f"suspect_grade|{stem}",
        format_func=names.__getitem__, wrap=True,
    )  # fmt: skip
    following = _following(suspect, listed)
    for column, (outcome, (icon, leads)) in zip(st.columns(3, gap="small"), _LEADS.items(), strict=True):
        if outcome == "policy ambiguous" and suspect.split == "holdout":
            leads = "Kept with its note. No comment: a holdout pair must not shape the policy."
        with column:
            st.button(
                outcome.capitalize(), key=f"suspect {outcome}", icon=icon, width="stretch",
                on_click=_send, args=(suspect, outcome, stem, following),
            )  # fmt: skip
            st.caption(leads)


def _following(suspect: Suspect, listed: Sequence[Suspect]) -> str:
    """Return the id of the suspect below this one, "" at the end of the list."""
    ids = [other.id for other in listed[:SHOWN]]
    place = ids.index(suspect.id) + 1
    return ids[place] if place < len(ids) else ""


def _send(suspect: Suspect, outcome: Outcome, stem: str, following: str) -> None:
    """Decide, say what follows, and go on to the next suspect, or to adjudicating this pair."""
    grade = st.session_state.get(f"suspect_grade|{stem}") if outcome == "label wrong" else None
    key: str = st.session_state.setdefault(f"_suspect_key|{stem}", secrets.token_hex(8))
    done: Decision | None = widgets.attempt(
        suspects.triage, widgets.workspace(), suspect, outcome,
        note=st.session_state.get(f"suspect_note|{stem}") or "", author=widgets.who(), grade=grade, key=key,
    )  # fmt: skip
    if done is None:
        return
    st.session_state.pop(f"_suspect_key|{stem}", None)
    if outcome == "label wrong" and grade is None:
        _close()
        st.query_params["case"] = suspect.pair_id
        st.session_state["tab"] = "Adjudicate"
        widgets.say("success", "Kept. Settle the right grade here.")
        return
    if following:
        st.query_params["suspect"] = following
    else:
        _close()
    widgets.say("success", markup.plain(_follows(done)))


def _follows(decision: Decision) -> str:
    """Return what a decision did, as a sentence."""
    details = decision.details
    if "grade" in details:
        return f"The label is {grade_name(details['grade'])} now, adjudicated by {decision.author}."
    if "comment" in details:
        place = details["item"] or details["section"]
        return f"Your note is a comment on {place} now; the Draft page shows it."
    if decision.outcome == "judge wrong":
        return "Kept: suggested edits of the policy rest on it."
    return "Kept."
