"""One flip on the board of a review: the pair left, A and B right, what changed in the policy, the labels on demand."""

from __future__ import annotations

import html
from collections.abc import Mapping

import streamlit as st

from workbench import colours, evaluation, markup, widgets
from workbench.evaluation import PairStory
from workbench.flips import Cause, Flip
from workbench.golden import NOT_APPLICABLE
from workbench.policy import OVERALL, Policy
from workbench.policy_diff import Change
from workbench.review import Item, Meeting

OUTCOME_WORDS = {
    "broken": "broken: A agreed with the label, B does not",
    "fixed": "fixed: B agrees with the label, A did not",
    "changed": "changed: neither agrees with the label",
}
FOLD = 1_200
"""Characters from which a field is folded: a meeting reads, it does not click."""


def draw(meeting: Meeting, item: Item, *, revealed: bool) -> None:
    """Draw the flip that is looked at."""
    found, flip = meeting.comparison, item.flip
    runs = [found.a.id, found.b.id]
    story = evaluation.pair_story(widgets.workspace(), found.truth.golden, flip.pair_id, runs)
    with st.container(key="review_board"):
        st.html(_headline(meeting, item, revealed))
        changes = {change.id: change for change in found.changes}
        pair, said = st.columns([7, 6], gap="medium")
        with pair:
            _pair(story, found.policy_b)
        with said, st.container(key="review_pane_said"):
            a, b = st.columns(2, gap="medium")
            for column, name, run, policy, grade in (
                (a, "A", found.a, found.policy_a, flip.a),
                (b, "B", found.b, found.policy_b, flip.b),
            ):
                with column:
                    st.html(
                        f'<div class="wb-side wb-{name.lower()}">'
                        f'<div class="wb-eyebrow">{name} · {html.escape(run.label)}</div>'
                        + _said(story, run.id, flip, policy, grade, changes, end=name == "B")
                        + "</div>"
                    )
            _labels(story, flip, found.policy_b, revealed)
            _causes(flip)


def _headline(meeting: Meeting, item: Item, revealed: bool) -> str:
    """Return the line above the flip; what the label is shows only once labels are shown."""
    flip = item.flip
    titles = markup.titles(meeting.comparison.policy_b)
    title = html.escape(titles.get(flip.dimension, flip.dimension))
    words = (
        f' <span class="wb-tag wb-{flip.outcome}">{OUTCOME_WORDS[flip.outcome]}</span>' if revealed else ""
    )
    decided = ""
    if item.decision is not None:
        note = f": {item.decision.note}" if item.decision.note else ""
        said = html.escape(f"{item.decision.outcome}, {item.decision.author}{note}")
        decided = f' <span class="wb-tag">decided: {said}</span>'
    return (
        f'<div class="wb-review-item" id="{html.escape(item.key)}" style="font-size:1.25rem;font-weight:640">{title} '
        f'<span class="wb-muted">A {_grade(flip.a)} → B {_grade(flip.b)}</span>{words}{decided}</div>'
    )


def _pair(story: PairStory, policy: Policy) -> None:
    sides = ((policy.pair.query, story.pair.query), (policy.pair.document, story.pair.document))
    for column, (side, fields) in zip(st.columns(2, gap="small"), sides, strict=True):
        with column, st.container(border=True, key=f"review_pane_{side.name}"):
            body = markup.pair_side(fields, side.fields, fold=FOLD)
            st.html(f'<div class="wb-eyebrow">{html.escape(side.name)}</div>{body}')


def _said(
    story: PairStory,
    run_id: str,
    flip: Flip,
    policy: Policy,
    grade: int,
    changes: Mapping[str, Change],
    *,
    end: bool,
) -> str:
    """Return what one run said: the grade large, the level's name, the rationale, the clauses it cites."""
    scale = policy.scale(flip.dimension)
    level = markup.level_hint(policy, flip.dimension, grade).partition(":")[0] if grade in scale else ""
    head = f'<div class="wb-verdict">{_chip(grade, scale)}<span class="wb-said">{html.escape(level)}</span></div>'
    if flip.dimension == OVERALL:
        return head + '<div class="wb-muted">follows from the dimension grades by the overall rule</div>'
    judgement = story.judgements[run_id].get(flip.dimension)
    if judgement is None:
        return head
    cites = "".join(_cite(cited, policy, changes.get(cited), end=end) for cited in judgement.cites)
    rationale = html.escape(judgement.rationale) or '<span class="wb-muted">no reason given</span>'
    return f'{head}<div class="wb-said">{rationale}</div><div style="margin-top:8px">{cites}</div>'


def _cite(cited: str, policy: Policy, change: Change | None, *, end: bool) -> str:
    """Return a cited clause as a tag whose text shows on hover, changed words marked."""
    texts = {clause.id: clause.text for _, clause in policy.clauses()}
    texts |= {p.id: p.because for dimension in policy.dimensions for p in dimension.precedents}
    text = markup.words(change) if change else html.escape(texts.get(cited, "not in this version"))
    note = f'<div class="wb-muted wb-small">{html.escape(change.kind)}</div>' if change else ""
    marked = " wb-changed-tag" if change else ""
    return (
        f'<span class="wb-cite{" end" if end else ""}" tabindex="0"><span class="wb-tag{marked}">{html.escape(cited)}</span>'
        f'<span class="wb-card wb-words">{note}{text}</span></span>'
    )


def _labels(story: PairStory, flip: Flip, policy: Policy, revealed: bool) -> None:
    """Draw the human labels once they are shown: a meeting looks at the pair first."""
    if not revealed:
        st.html('<div class="wb-muted">Human labels are hidden: <kbd>H</kbd> shows them.</div>')
        return
    scale = policy.scale(flip.dimension)
    mine = story.labels[story.labels["dimension"] == flip.dimension]
    rows = [
        f"<tr><td>{html.escape(str(labeler))}</td><td>{markup.chip(int(grade), scale)}</td>"
        f"<td>{html.escape(str(note))}</td></tr>"
        for labeler, grade, note in zip(mine["labeler"], mine["grade"], mine["note"], strict=True)
    ]
    settled = (
        f'<div class="wb-verdict">{_chip(flip.human, scale)}<span class="wb-said">settled label</span></div>'
    )
    st.html(settled + f'<table class="wb-table">{"".join(rows)}</table>' if rows else settled)


def _causes(flip: Flip) -> None:
    """Draw which changes of the policy the flip is tied to, and how surely."""
    if flip.by_dimensions:
        st.html(f'<div class="wb-muted">Follows from: {html.escape(", ".join(flip.by_dimensions))}.</div>')
        return
    if not flip.causes:
        st.html(
            '<div class="wb-muted">Nothing that the judge reads here changed: this flip is noise, or another judge.</div>'
        )
        return
    st.html(
        '<div class="wb-eyebrow">what changed in the policy</div>' + "".join(map(_cause, flip.causes[:4]))
    )
    if len(flip.causes) > 4:
        st.caption(f"and {len(flip.causes) - 4} more changes that are possible.")


def _cause(cause: Cause) -> str:
    change = cause.change
    note = f"{change.kind}, {cause.how}"
    return markup.clause(change.id, f'<div class="wb-words">{markup.words(change)}</div>', note)


def _chip(grade: int, scale: tuple[int, ...]) -> str:
    if grade not in scale:
        return f'<span class="wb-big wb-chip-none">{_grade(grade)}</span>'
    colour = colours.level_colours(scale)[grade]
    return f'<span class="wb-big" style="background:{colour};color:{colours.ink_on(colour)}">{grade}</span>'


def _grade(grade: int) -> str:
    return "N/A" if grade == NOT_APPLICABLE else str(grade) if grade >= 0 else "–"
