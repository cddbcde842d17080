"""A policy as people read it in the browser: one section after the other, with the number of open comments at a part."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import streamlit as st

from workbench import markup
from workbench.golden import NOT_APPLICABLE
from workbench.policy import OVERALL, Body, Clause, Dimension, Gate, Precedent
from workbench.policy_diff import GENERAL

Comments = Mapping[tuple[str, str], int]
"""(section, item) -> open comments there; the item is a clause, precedent or gate id, ``level 2``, or "" for all."""

_NONE: Comments = {}


def sections(body: Body) -> dict[str, str]:
    """Return section -> what it is called, in reading order."""
    return {GENERAL: "General rules", **markup.titles(body), OVERALL: "Overall rule"}


def document_section(body: Body, key: str, comments: Comments = _NONE) -> None:
    """Draw one section: ``general`` (with purpose and terms), a dimension key or ``overall``."""
    if key == OVERALL:
        overall_rule(body, comments)
    elif key != GENERAL:
        dimension_section(body, body.dimension(key), comments)
    else:
        if body.purpose:
            st.html(f'<div class="wb-doc">{markup.md(body.purpose)}</div>')
        if body.terms:
            with st.expander(f"Terms ({len(body.terms)})"):
                st.html("".join(markup.clause(term.term, markup.md(term.meaning)) for term in body.terms))
        st.subheader("General rules", anchor=GENERAL)
        noted(comments, GENERAL)
        st.html(clause_list(body.general, GENERAL, comments) or '<span class="wb-muted">none</span>')


def dimension_section(body: Body, dimension: Dimension, comments: Comments = _NONE) -> None:
    """Draw one dimension: question, levels, clauses, precedents."""
    key = dimension.key
    st.subheader(dimension.title, anchor=key)
    na = "N/A allowed" if dimension.allow_na else "always graded"
    considers = ", ".join(dimension.considers) or "everything"
    st.html(question(dimension))
    st.caption(markup.plain(f"weight {dimension.weight:g} · {na} · considers {considers}"))
    noted(comments, key)
    st.html(level_table(dimension, comments) + clause_list(dimension.clauses, key, comments))
    if dimension.precedents:
        with st.expander(f"Precedents ({len(dimension.precedents)})"):
            st.html("".join(precedent(body, dimension, one, comments) for one in dimension.precedents))


def question(dimension: Dimension) -> str:
    """Return a dimension's question as HTML."""
    return f'<div class="wb-doc" style="font-weight:600">{markup.md(dimension.question)}</div>'


def level_table(dimension: Dimension, comments: Comments = _NONE, *, lit: int | None = None) -> str:
    """Return a dimension's levels as HTML, the highest first; ``lit`` is the one being edited."""
    rows = [
        [
            markup.chip(level.value, dimension.scale),
            f"<b>{html.escape(level.name)}</b>",
            _lit(
                markup.md(level.criteria) or '<span class="wb-muted">no criteria yet</span>',
                level.value == lit,
            )
            + note(comments, dimension.key, f"level {level.value}"),
        ]
        for level in reversed(dimension.levels)
    ]
    return f'<div class="wb-doc">{markup.table(["grade", "name", "criteria"], rows)}</div>'


def precedent(body: Body, dimension: Dimension, one: Precedent, comments: Comments = _NONE) -> str:
    """Return one settled example as HTML: the pair, the grade, the reason and what it cites."""
    grade = NOT_APPLICABLE if one.grade is None else one.grade
    sides = "".join(
        f'<div class="wb-small"><b>{html.escape(f"{side}.{field}")}</b>: {html.escape(text)}</div>'
        for side, fields in (
            (body.pair.query.name, one.pair.query),
            (body.pair.document.name, one.pair.document),
        )
        for field, text in fields.items()
    )
    cites = " ".join(f'<span class="wb-tag">{html.escape(cited)}</span>' for cited in one.cites)
    reason = f"<p>{markup.chip(grade, dimension.scale)} {html.escape(one.because)} {cites}</p>"
    return markup.clause(one.id, sides + reason + note(comments, dimension.key, one.id))


def overall_rule(body: Body, comments: Comments = _NONE) -> None:
    """Draw how the dimension grades combine."""
    rule = body.overall
    st.subheader("Overall rule", anchor=OVERALL)
    what = "weighted mean" if rule.combine == "weighted_mean" else "lowest"
    cuts = ", ".join(f"{cut:g}" for cut in rule.cut_points)
    then = "; then the gates, in this order" if rule.gates else ""
    st.markdown(f"The {what} of the dimension grades, cut at {cuts} into grades 0–{rule.scale[-1]}{then}.")
    noted(comments, OVERALL)
    weights = [[html.escape(dimension.title), f"{dimension.weight:g}"] for dimension in body.dimensions]
    left, right = st.columns([1, 2], gap="large")
    left.html(markup.table(["dimension", "weight"], weights, numeric=[1]))
    gates = "".join(gate(one, comments) for one in rule.gates)
    right.html(gates or '<span class="wb-muted">no gates</span>')


def gate(one: Gate, comments: Comments = _NONE) -> str:
    """Return one gate as HTML."""
    bound = f"at most {one.at_most}" if one.at_most is not None else f"at least {one.at_least}"
    because = f'<div class="wb-muted wb-small">{html.escape(one.because)}</div>'
    text = f"when <code>{html.escape(one.when)}</code>: {bound}{because}"
    return markup.clause(one.id, text + note(comments, OVERALL, one.id))


def clause_list(
    clauses: Sequence[Clause], section: str = GENERAL, comments: Comments = _NONE, *, lit: str = ""
) -> str:
    """Return numbered rules as HTML; ``lit`` is the one being edited."""
    return "".join(
        _lit(
            markup.clause(
                clause.id,
                markup.md(clause.text) + note(comments, section, clause.id),
                f"from {clause.split_from}" if clause.split_from else "",
            ),
            clause.id == lit,
        )
        for clause in clauses
    )


def _lit(text: str, lit: bool) -> str:
    return f'<div class="wb-lit">{text}</div>' if lit else text


def note(comments: Comments, section: str, item: str) -> str:
    """Return how many open comments a part has as HTML; "" for none."""
    count = comments.get((section, item), 0)
    return f'<span class="wb-tag wb-broken">{markup.several(count, "open comment")}</span>' if count else ""


def noted(comments: Comments, section: str) -> None:
    """Draw how many open comments a section has as a whole."""
    if text := note(comments, section, ""):
        st.html(text)
