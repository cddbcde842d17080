"""The Evidence tab beside the editor: how a run agrees on the part that is edited, and where it disagrees worst."""

from __future__ import annotations

import html

import pandas as pd
import streamlit as st

from workbench import evaluation, evidence, markup, widgets
from workbench.agreement import Agreement
from workbench.errors import WorkbenchError
from workbench.evidence import Count, Evidence
from workbench.golden import NOT_APPLICABLE, Pair
from workbench.labelers import LabelerAgreement
from workbench.policy import OVERALL, Body
from workbench.run import Run
from workbench.store import Draft

SHOWN = 50
"""Disagreements in the list."""
FOLD = 180
"""Characters from which a field of a pair is folded in the narrow column."""
_LEARNT = {
    "checkpoint": "Trained on the dev labels, so its dev figures flatter it.",
    "baseline": "Calibrated on dev labels; every dev pair is graded by a model that did not see its query.",
}


def draw(draft: Draft, base: Body, section: str, item: str) -> None:
    """Draw the tab for the part that is being edited. ``base`` is not needed: the run knows what it read."""
    space = widgets.workspace()
    run = _choose(evidence.finished_runs(space.store.runs(policy=draft.name), draft.name))
    if run is None:
        return
    try:
        found = evidence.evidence(space, run, draft.body, section, item)
    except WorkbenchError as error:
        st.warning(markup.problem(error))
        return
    _about(found, section, item)
    if not found.dimensions:
        return
    _agreement(found)
    if item.startswith("level "):
        _level(found, section, int(item.removeprefix("level ")))
    _counts(found, item)
    _disagreements(found, item)


def _choose(runs: list[Run]) -> Run | None:
    """Draw the choice of the run, the newest by default."""
    if not runs:
        widgets.empty(
            "No finished run of this policy yet.", "Start one on the Runs page; the baseline needs no key."
        )
        return None
    by_id = {run.id: run for run in runs}
    names = {run.id: f"{run.label} · {run.golden} · {run.created_at:%d %b %H:%M}" for run in runs}
    if st.session_state.get("evidence_run") not in by_id:
        st.session_state["evidence_run"] = runs[0].id
    chosen = st.selectbox("Run", list(by_id), key="evidence_run", format_func=names.__getitem__)
    return by_id[chosen]


def _about(found: Evidence, section: str, item: str) -> None:
    """Say which judge read what, and whether the draft still says it."""
    run = found.run
    name = item or {"general": "the general rules", OVERALL: "the overall rule"}.get(section, section)
    version = f"v{run.policy_version}"
    if not found.dimensions:
        st.info(f"{version}, which this run was under, has no dimension {section}: no run has judged it yet.")
        return
    notes = {
        "same": "",
        "reworded": f" {name} was changed since: the judge read another wording.",
        "new": f" {name} is not in {version}: no judge of this run has read it.",
    }
    text = f"{run.judge.name} under {version}, dev pairs of {run.golden} v{run.golden_version}."
    st.caption(markup.plain(text + (f" {_LEARNT[run.judge.kind]}" if run.judge.kind in _LEARNT else "")))
    if notes[found.state]:
        st.warning(markup.plain(notes[found.state].strip()), icon=":material/edit_note:")
    if run.sample:
        st.caption("Sample: made for the project. Not a measure of any real system.")


def _agreement(found: Evidence) -> None:
    """Draw the figures: one dimension with its confusion matrix, or several as a table."""
    titles = markup.titles(found.policy)
    rows = []
    for key in found.dimensions:
        mine, people = found.agreements[key], found.ceilings[key]
        rows.append(
            [
                html.escape(titles[key]),
                markup.estimate(mine.kappa_quadratic),
                _ceiling(people),
                markup.estimate(mine.exact)
                if len(found.dimensions) == 1
                else markup.number(mine.exact.value),
                markup.number(mine.bias.value, signed=True),
                f"{mine.n:,}",
            ]
        )
    heads = ["", "κ", '<span title="κ of labelers among themselves">people κ</span>', "exact", "bias", "n"]
    if len(found.dimensions) > 1:
        st.html(markup.table(heads, rows, numeric=range(1, 6)))
        return
    (row,) = rows
    figures = {
        "quadratic κ": row[1],
        "labelers among themselves": row[2],
        "exact": row[3],
        "bias": row[4],
        "pairs": row[5],
    }
    lines = [[f'<span class="wb-muted wb-small">{name}</span>', value] for name, value in figures.items()]
    left, right = st.columns([5, 4], gap="small", vertical_alignment="top")
    with left:
        st.html(markup.table([row[0], ""], lines))
    with right:
        st.html(_confusion(found.agreements[found.dimensions[0]]))


def _ceiling(people: LabelerAgreement | None) -> str:
    if people is None:
        return '<span class="wb-muted" title="Fewer than two people have labelled.">–</span>'
    return markup.estimate(people.ceiling)


def _confusion(found: Agreement) -> str:
    """Return the confusion matrix: rows the label, columns the judge, shaded by the share of the row."""
    totals = found.confusion.sum(axis=1)
    head = "".join(f'<th class="num">{level}</th>' for level in found.levels)
    rows = []
    for i, level in enumerate(found.levels):
        cells = []
        for j, count in enumerate(found.confusion[i]):
            share = count / totals[i] if totals[i] else 0.0
            border = "outline:1px solid rgba(128,128,128,.55);outline-offset:-2px;" if i == j else ""
            cells.append(
                f'<td style="text-align:center;padding:3px 7px;{border}background:rgba(58,123,166,{0.5 * share:.2f})" '
                f'title="label {level}, judge {found.levels[j]}: {share:.0%} of the row">{count:,}</td>'
            )
        rows.append(f'<tr><th style="border:none">{level}</th>{"".join(cells)}</tr>')
    return (
        f'<table class="wb-table" style="width:auto"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}'
        '</tbody></table><div class="wb-muted wb-small">rows: label, columns: judge</div>'
    )


def _level(found: Evidence, section: str, level: int) -> None:
    """Say how far label and judge mean the same pairs by a level."""
    mine = found.agreements[section]
    if level not in mine.levels:
        return
    i = mine.levels.index(level)
    labelled, judged, both = mine.confusion[i].sum(), mine.confusion[:, i].sum(), mine.confusion[i, i]
    st.markdown(
        f"Labelled {level}: **{labelled:,}** pairs. Judged {level}: **{judged:,}**. Both: **{both:,}**."
    )


def _counts(found: Evidence, item: str) -> None:
    """Say how often the part is cited, and whether answers that cite it disagree more often than others."""
    across = f"{_scope(found)} {_share(found.all)}"
    cited = found.cited
    if cited is None:
        st.markdown(f"{across[0].upper()}{across[1:]}.")
        return
    if not found.citing:
        st.info("This judge cites no rules, so none of its answers can be tied to one. Choose another run.")
        return
    text = f"**{markup.plain(item)}** is cited in **{cited.answers:,}** of {markup.several(found.all.answers, 'verdict')}"
    if cited.answers:
        held = (
            f"{cited.disagree:,} of them disagree with the label"
            if cited.labelled
            else "none of them has a label"
        )
        among = f", of {cited.labelled:,} with a label" if 0 < cited.labelled < cited.answers else ""
        share = f" ({cited.share:.0%}{among})" if cited.share is not None else ""
        text += f"; {held}{share}"
    st.markdown(f"{text}. {across[0].upper()}{across[1:]}.")


def _scope(found: Evidence) -> str:
    if found.dimensions == (OVERALL,):
        return "of the overall grades"
    return "across the dimension" if len(found.dimensions) == 1 else "across all dimensions"


def _share(count: Count) -> str:
    return (
        "nothing is labelled"
        if count.share is None
        else f"{count.share:.0%} disagree ({count.disagree:,} of {count.labelled:,})"
    )


def _disagreements(found: Evidence, item: str) -> None:
    """Draw the worst disagreements as rows that open to the pair."""
    frame = found.disagreements.head(SHOWN)
    if frame.empty:
        st.caption(
            "No disagreement to look at." if item == "" else f"No disagreement about {markup.plain(item)}."
        )
        return
    more = f", the first {SHOWN} of {len(found.disagreements):,}" if len(found.disagreements) > SHOWN else ""
    st.html(f'<div class="wb-eyebrow" style="margin-top:6px">worst disagreements{more}</div>')
    policy = found.policy
    pairs = widgets.workspace().store.pairs(frame["pair_id"].unique().tolist(), found.run.golden)
    titles = markup.titles(policy)
    query, document = policy.pair.query, policy.pair.document
    several = len(found.dimensions) > 1
    view = pd.DataFrame(
        {
            "label": [_grade(grade) for grade in frame["human"]],
            "judge": [_grade(grade) for grade in frame["judge"]],
            **({"dimension": [titles[key] for key in frame["dimension"]]} if several else {}),
            query.name: [_first(pairs[pair_id].query, query.fields) for pair_id in frame["pair_id"]],
            document.name: [_first(pairs[pair_id].document, document.fields) for pair_id in frame["pair_id"]],
        }
    )
    widths = {"label": 50, "judge": 50, "dimension": 90} | dict.fromkeys(
        (query.name, document.name), 130 if several else 175
    )
    ids = [f"{pair_id}:{key}" for pair_id, key in zip(frame["pair_id"], frame["dimension"], strict=True)]
    if st.query_params.get("evidence") not in ids:  # a pair of another part that was open
        st.query_params.pop("evidence", None)
    opened = widgets.open_row(
        view,
        ids,
        "evidence",
        height=min(38 + 35 * len(view), 290),
        column_config={name: st.column_config.TextColumn(width=width) for name, width in widths.items()},
    )
    if opened is None:
        st.caption("Select a row to open the pair.")
        return
    pair_id, _, key = opened.rpartition(":")
    _open(found, pairs[pair_id], key)


def _first(fields: dict[str, str], order: tuple[str, ...]) -> str:
    return next((fields[name] for name in order if fields.get(name, "").strip()), "")


def _grade(grade: int) -> str:
    return "N/A" if grade == NOT_APPLICABLE else str(grade)


def _open(found: Evidence, pair: Pair, key: str) -> None:
    """Draw one pair, what people said of it and why, and what the judge said and why."""
    policy, run = found.policy, found.run
    scale = policy.scale(key)
    story = evaluation.pair_story(widgets.workspace(), run.golden, pair.id, [run.id])
    labels = story.labels[story.labels["dimension"] == key]
    people = "".join(
        f"<div>{markup.chip(int(grade), scale, _hint(policy, key, int(grade)))} "
        f'<span class="wb-small">{html.escape(str(labeler))}{html.escape(f": {note}" if note else "")}</span></div>'
        for grade, labeler, note in zip(labels["grade"], labels["labeler"], labels["note"], strict=True)
    )
    if key == OVERALL:
        row = found.disagreements[found.disagreements["pair_id"] == pair.id].iloc[0]
        judge = f"{markup.chip(int(row['judge']), scale)} from the dimension grades by the overall rule"
        people = (
            people
            or f"{markup.chip(int(row['human']), scale)} from the settled dimensions by the overall rule"
        )
    else:
        judge = markup.judgement(story.judgements[run.id].get(key), scale, policy)
    with st.container(border=True):
        st.html(
            f'<div class="wb-eyebrow">labels</div>{people or "none"}'
            f'<div class="wb-eyebrow" style="margin-top:6px">{html.escape(run.judge.name)}</div>{judge}'
        )
    for side, fields in ((policy.pair.query, pair.query), (policy.pair.document, pair.document)):
        with st.container(border=True):
            text = markup.pair_side(fields, side.fields, fold=FOLD)
            st.html(f'<div class="wb-eyebrow">{html.escape(side.name)}</div>{text}')


def _hint(policy: Body, key: str, grade: int) -> str:
    return markup.level_hint(policy, key, grade) if grade >= 0 else ""
