"""The Adjudicate section of the Golden set page: where labelers differ, and what is decided about it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from workbench import adjudication, golden_consensus, markup, widgets
from workbench.adjudication import Case, CaseStory
from workbench.errors import NotFound, Refused
from workbench.golden import NOT_APPLICABLE, UNRATEABLE, adjudicated
from workbench.labelling import Figures
from workbench.policy import OVERALL, Policy
from workbench.store import Draft

SHOWN = 100
SPLITS = {"all": "all pairs", "dev": "dev", "holdout": "holdout"}
EVERY = "any dimension"


def draw(found: Figures, policy: Policy) -> None:
    """Draw the cases that are open, the one that is chosen, and the consensus rule."""
    info = found.info
    if not info.labels:
        widgets.empty("No labels yet.", "Label pairs on the Label page, or import labels here.")
        return
    cases = filtered(info.name, policy)
    opened = case_table(info.name, cases, policy)
    if opened:
        try:
            story = adjudication.case(widgets.workspace(), info.name, opened, widgets.who())
        except (NotFound, Refused) as error:
            st.warning(markup.problem(error))
        else:
            open_case(info.name, opened, story, policy, cases)
    elif cases:
        st.caption("Select a row to see what each labeler said, and to decide.")
    golden_consensus.draw(found, policy)


def filtered(golden: str, policy: Policy) -> tuple[Case, ...]:
    """Draw the filters and return the cases that pass them, the widest first."""
    titles = markup.titles(policy)
    most = max(policy.scale(key)[-1] - policy.scale(key)[0] for key in titles)
    bar = st.columns([3, 4, 4, 5], vertical_alignment="bottom", gap="medium")
    with bar[0]:
        key = widgets.pick(
            st.selectbox, "Dimension", ["", *titles], key="adjudicate_dimension",
            format_func=lambda k: titles.get(k, EVERY), on_change=close_case,
        )  # fmt: skip
    with bar[1]:
        least = widgets.pick(
            st.segmented_control, "Labelers differ by at least", list(range(1, most + 1)), key="least",
            default=min(2, most), on_change=close_case,
            help="In levels. N/A against a level counts as the whole scale.",
        )  # fmt: skip
    with bar[2]:
        split = widgets.pick(
            st.segmented_control, "Pairs", list(SPLITS), key="split", format_func=SPLITS.get, on_change=close_case
        )  # fmt: skip
    cases = adjudication.open_cases(
        widgets.workspace(), golden, dimension=key or None, least=least, split=split
    )
    with bar[3], st.container(horizontal=True, horizontal_alignment="right"):
        more = f"; the {SHOWN} widest are shown" if len(cases) > SHOWN else ""
        st.caption(f"{markup.several(len(cases), 'open case')}{more}")
    return cases


def close_case() -> None:
    """Close the open case: other rows come into sight."""
    st.query_params.pop("case", None)


def case_table(golden: str, cases: Sequence[Case], policy: Policy) -> str | None:
    """Draw the cases, one row a pair, and return the id of the open one."""
    if not cases:
        widgets.empty(
            "No open case.", "Lower the difference, or choose all pairs. What was decided is closed."
        )
        return st.query_params.get("case")
    shown = cases[:SHOWN]
    ids = [case.pair_id for case in shown]
    pairs = widgets.workspace().store.pairs(ids, golden)
    titles = markup.titles(policy)
    first_query, first_document = policy.pair.query.fields[0], policy.pair.document.fields[0]
    frame = pd.DataFrame(
        {
            policy.pair.query.name: [pairs[pair_id].query.get(first_query, "") for pair_id in ids],
            policy.pair.document.name: [pairs[pair_id].document.get(first_document, "") for pair_id in ids],
            "they differ on": [
                ", ".join(f"{titles[key]} {answers_said(case.answers[key])}" for key in case.widths)
                for case in shown
            ],
            "by": [case.width for case in shown],
            "labelers": [case.labelers for case in shown],
            "split": [case.split for case in shown],
        }
    )
    texts = (policy.pair.query.name, policy.pair.document.name)
    widths = dict.fromkeys(texts, 205) | {"they differ on": 410, "by": 44, "labelers": 68, "split": 74}
    return widgets.open_row(
        frame,
        ids,
        "case",
        paged=True,
        height=38 + 35 * min(len(shown), 5 if "case" in st.query_params else 12),
        column_config={name: st.column_config.Column(width=width) for name, width in widths.items()},
    )


def answers_said(answers: Sequence[int]) -> str:
    """Return different answers in one word: ``0–3``, ``1–2/N/A``."""
    levels = [str(answer) for answer in answers if answer != NOT_APPLICABLE]
    shown = "–".join(levels) if len(levels) < 3 else f"{levels[0]}–{levels[-1]}"
    return f"{shown}/N/A" if NOT_APPLICABLE in answers else shown


def open_case(golden: str, pair_id: str, story: CaseStory, policy: Policy, cases: Sequence[Case]) -> None:
    """Draw one case: the pair, what everybody said, and the form for the decision."""
    people = story.labelers()
    if widgets.who() not in people:
        st.html(
            '<div class="wb-ask">You have not labelled this pair; after seeing the others\' labels you cannot label it '
            "blind.</div>"
        )
    widgets.pair_panes(story.pair, policy)
    left, right = st.columns([11, 9], gap="large")
    with left:
        st.html('<div class="wb-eyebrow">what the labelers said</div>' + said_table(story, policy))
        if len(story.decided):
            st.html('<div class="wb-eyebrow">what was decided</div>' + decided_table(story, policy))
            precedent(golden, pair_id, story, policy)
    with right:
        form(golden, pair_id, story, policy, next_case(pair_id, cases))


def next_case(pair_id: str, cases: Sequence[Case]) -> str:
    """Return the case after this one in the list, else the first other one; "" where there is none."""
    ids = [case.pair_id for case in cases]
    at = ids.index(pair_id) + 1 if pair_id in ids else 0
    return next((other for other in (*ids[at:], *ids[:at]) if other != pair_id), "")


def said_table(story: CaseStory, policy: Policy) -> str:
    """Return dimension × labeler with everybody's grades, and their notes, as HTML."""
    people, titles = story.labelers(), markup.titles(policy)
    if not people:
        return '<span class="wb-muted">Nobody has labelled this pair.</span>'
    said: list[Any] = list(story.votes.itertuples())
    cells = {(x.dimension, x.labeler): x for x in said}
    rows = [
        [
            f"<b>{html.escape(title)}</b>" if key in story.open else html.escape(title),
            *(
                markup.chip(int(x.grade), policy.scale(key), markup.level_hint(policy, key, int(x.grade)))
                if (x := cells.get((key, who)))
                else "–"
                for who in people
            ),
        ]
        for key, title in titles.items()
    ]
    notes = {who: dict.fromkeys(x.note for x in said if x.labeler == who and x.note) for who in people}
    if any(notes.values()):
        texts = ("<br>".join(html.escape(note) for note in notes[who]) or "–" for who in people)
        rows.append(["notes", *(f'<span class="wb-small">{text}</span>' for text in texts)])
    return markup.table(["", *map(html.escape, people)], rows)


def decided_table(story: CaseStory, policy: Policy) -> str:
    """Return every adjudication of the pair, the newest first, as HTML."""
    titles = markup.titles(policy)
    decided: list[Any] = list(story.decided.itertuples())
    rows = [
        [
            html.escape(titles.get(x.dimension, x.dimension)),
            markup.chip(int(x.grade), policy.scale(x.dimension)) if x.dimension in titles else str(x.grade),
            html.escape(x.labeler),
            f"{x.at:%d %b %Y}",
            f'<span class="wb-small">{html.escape(x.note)}</span>',
        ]
        for x in decided
    ]
    return markup.table(["", "", "by", "at", "because"], rows)


def form(golden: str, pair_id: str, story: CaseStory, policy: Policy, following: str) -> None:
    """Draw the form for what is decided; what is settled already is filled in, and only changes of it are sent."""
    titles = markup.titles(policy)
    stem = f"{golden}|{pair_id}|{len(story.decided)}"  # what was just sent is settled: the form starts anew
    order = [*story.open, *(key for key in titles if key not in story.open)]
    with st.form(f"adjudicate|{stem}"):
        st.html('<div class="wb-eyebrow">decide</div>')
        for key in order:
            options = [*policy.scale(key), UNRATEABLE]
            if key != OVERALL and policy.dimension(key).allow_na:
                options.insert(-1, NOT_APPLICABLE)
            before = story.settled.get(key)
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                title = html.escape(titles[key])
                st.html(f"<b>{title}</b>" if key in story.open else title, width="stretch")
                st.segmented_control(
                    titles[key],
                    options,
                    default=before if before in options else None,
                    format_func=lambda value: {NOT_APPLICABLE: "N/A", UNRATEABLE: "unrateable"}.get(
                        value, f"**{value}**"
                    ),
                    key=f"decide|{key}|{stem}",
                    label_visibility="collapsed",
                )
        st.text_area(
            "Because",
            key=f"because|{stem}",
            max_chars=1000,
            height=90,
            placeholder="Which rule decides, or what the policy should say",
        )
        with st.container(horizontal=True):
            for label, where in (("Keep and next", following), ("Keep", pair_id)):
                st.form_submit_button(
                    label,
                    type="primary" if label != "Keep" else "secondary",
                    key="adjudicate_next" if label != "Keep" else "adjudicate_keep",
                    on_click=send,
                    args=(golden, pair_id, story, list(titles), stem, where),
                )


def send(golden: str, pair_id: str, story: CaseStory, keys: Sequence[str], stem: str, following: str) -> None:
    """Record what the form decides: the open dimensions, and others where it changes what is settled."""
    given = {key: st.session_state.get(f"decide|{key}|{stem}") for key in keys}
    grades = {
        key: grade
        for key, grade in given.items()
        if grade is not None and (key in story.open or grade != story.settled.get(key))
    }
    added = widgets.attempt(
        adjudication.adjudicate, widgets.workspace(), golden, pair_id, grades,
        reason=st.session_state.get(f"because|{stem}") or "", author=widgets.who(),
    )  # fmt: skip
    if added is None:
        return
    left = [key for key in story.open if key not in grades]
    widgets.say(
        "success", f"Decided {markup.several(added, 'grade')}." + (" Others are open still." if left else "")
    )
    if left:
        return
    if following:
        st.query_params["case"] = following
    else:
        close_case()


def precedent(golden: str, pair_id: str, story: CaseStory, policy: Policy) -> None:
    """Draw the way from a decision to a precedent in a draft."""
    if story.split == "holdout":
        st.caption("A pair of the holdout cannot be a precedent: judges would read it with its answer.")
        return
    titles = markup.titles(policy)
    decisions = adjudicated(story.decided[::-1])
    gradable = decisions[decisions["grade"] != UNRATEABLE]["dimension"]
    keys = [key for key in policy.keys if key in set(gradable)]
    drafts = widgets.workspace().store.drafts(policy.name)
    if not keys:
        return
    if not drafts:
        st.caption("To make it a precedent, start a draft of the policy on the Draft page.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="precedent"):
        key = st.selectbox(
            "Make it a precedent of", keys, format_func=lambda k: titles[k], key=f"precedent_of|{pair_id}"
        )
        draft = st.selectbox("in", drafts, format_func=draft_name, key=f"precedent_in|{pair_id}")
        st.button(
            "Add",
            key="precedent_add",
            icon=":material/library_add:",
            on_click=add_precedent,
            args=(golden, pair_id, key, draft.id),
        )


def draft_name(draft: Draft) -> str:
    """Return a draft as a choice."""
    return f"{draft.title or 'draft'} · {draft.author}"


def add_precedent(golden: str, pair_id: str, key: str, draft_id: str) -> None:
    """Add the decision to the draft as a precedent."""
    draft = widgets.attempt(
        adjudication.to_precedent, widgets.workspace(), golden, pair_id, key, draft_id, widgets.who()
    )
    if draft is not None:
        new = draft.body.dimension(key).precedents[-1]
        widgets.say("success", f"Added as {new.id} to {markup.plain(draft_name(draft))}.")
