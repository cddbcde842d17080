"""The form of the Label page: a row a dimension with its rules on hover, the guidelines, the keys."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from workbench import markup
from workbench.golden import NOT_APPLICABLE, UNRATEABLE, Pair
from workbench.labelling import Task
from workbench.policy import OVERALL, Clause, Dimension, Policy

FOLD = 1_000  # characters from which a field is folded here: a labeler reads nearly everything

KEYS = [
    ("0 – 9", "grade the row in focus, or the first open one, and go to the next"),
    ("A", "N/A: the dimension does not apply"),
    ("U", "unrateable: the texts do not tell"),
    ("↑ ↓", "change the row"),
    ("Enter", "submit and go to the next pair"),
    ("N", "write a note; Escape goes back to the rows"),
    ("S", "skip for now"),
    ("Z", "undo the last submit"),
    ("G", "guidelines"),
    ("?", "these keys; Escape closes them"),
]


@st.cache_data(max_entries=500, show_spinner=False)
def pair_html(pair_id: str, policy_hash: str, _pair: Pair, _policy: Policy) -> tuple[str, str]:
    """Return both sides of a pair as HTML, the query's words lit in the document.

    Kept by content (``pair_id`` and ``policy_hash``), so that the next pair can be laid out while this one is read.
    """
    lit = markup.shared_words(_pair)
    return (
        markup.pair_side(_pair.query, _policy.pair.query.fields, fold=FOLD),
        markup.pair_side(_pair.document, _policy.pair.document.fields, marked=lit, fold=FOLD),
    )


def panes(task: Task) -> None:
    """Draw the pair, query left, document right."""
    policy = task.policy
    sides = pair_html(task.pair.id, policy.content_hash, task.pair, policy)
    names = policy.pair.query.name, policy.pair.document.name
    for column, name, body in zip(st.columns(2, gap="medium"), names, sides, strict=True):
        with column, st.container(border=True):
            st.html(f'<div class="wb-eyebrow">{html.escape(name)}</div>{body}')


def grade_key(key: str, stem: str) -> str:
    """Return where the session keeps the grade of one row; ``stem`` names the pair, so that the next starts blank."""
    return f"grade|{key}|{stem}"


def note_key(stem: str) -> str:
    """Return where the session keeps the note."""
    return f"note|{stem}"


def form(
    task: Task, stem: str, missing: Sequence[str], *, submit: Callable[..., None], skip: Callable[..., None],
    args: tuple[Any, ...],
) -> None:  # fmt: skip
    """Draw a row a dimension, the overall grade last, a note, and what to do with it.

    Args:
        missing: dimensions without a grade that are to be asked about once more.
        submit, skip: called with ``args``.
    """
    titles = markup.titles(task.policy)
    with st.form(f"form|{stem}", border=True, enter_to_submit=True):
        if missing:
            st.html(open_question([titles[key] for key in missing]))
        for dimension in task.policy.dimensions:
            row(dimension.title, dimension.question, dimension.key, task, stem, dimension)
        row("Overall", "All in all, how well does it fit?", OVERALL, task, stem, None)
        st.text_input(
            "Note",
            value=task.note,
            key=note_key(stem),
            max_chars=1000,
            label_visibility="collapsed",
            placeholder="Note: which rule decided, or what the policy leaves open",
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            st.form_submit_button(
                "Submit as it is" if missing else "Submit and next",
                type="primary",
                on_click=submit,
                args=args,
                key="submit",
                shortcut="Ctrl+Enter",
            )
            st.form_submit_button("Skip for now", on_click=skip, args=args, key="skip")
            st.caption("Press ? for the keys")


def row(title: str, question: str, key: str, task: Task, stem: str, dimension: Dimension | None) -> None:
    """Draw one question with its levels as chips, and its rules on hover."""
    names = (
        {level.value: f"**{level.value}** {level.name}" for level in dimension.levels} if dimension else {}
    )
    names |= {NOT_APPLICABLE: "N/A", UNRATEABLE: "unrateable"}
    na = [NOT_APPLICABLE] if dimension and dimension.allow_na else []
    options = [*task.policy.scale(key), *na, UNRATEABLE]
    before = task.answers.get(key)
    asks = markup.md(question).removeprefix("<p>").removesuffix("</p>\n")
    head = f'<b>{html.escape(title)}</b>&ensp;<span class="wb-muted wb-small">{asks}</span>'
    card = f'<div class="wb-card">{rules(dimension)}</div>' if dimension else ""
    st.html(f'<div class="wb-hover" tabindex="0">{head}{card}</div>' if card else head)
    st.segmented_control(
        title,
        options,
        default=before if before in options else None,
        format_func=lambda value: names.get(value, f"**{value}**"),
        key=grade_key(key, stem),
        label_visibility="collapsed",
        wrap=True,
    )


def rules(dimension: Dimension) -> str:
    """Return a dimension's levels and clauses as HTML."""
    levels = [
        [markup.chip(x.value, dimension.scale), f"<b>{html.escape(x.name)}</b>", markup.md(x.criteria)]
        for x in reversed(dimension.levels)
    ]
    considers = ", ".join(dimension.considers) or "everything"
    return (
        f'<div class="wb-doc wb-small"><p class="wb-muted">considers {html.escape(considers)}</p>'
        f"{markup.table(['', 'level', 'criteria'], levels)}{clauses(dimension.clauses)}</div>"
    )


def clauses(found: Sequence[Clause]) -> str:
    """Return numbered rules as HTML."""
    return "".join(markup.clause(clause.id, markup.md(clause.text)) for clause in found)


def guidelines(policy: Policy) -> None:
    """Draw the purpose, the terms and the general rules behind one button."""
    with (
        st.container(key="guidelines", width="content"),
        st.popover("Guidelines", icon=":material/menu_book:"),
    ):
        terms = "".join(markup.clause(term.term, markup.md(term.meaning)) for term in policy.terms)
        st.html(
            f'<div class="wb-doc wb-small"><div class="wb-eyebrow">{html.escape(policy.label)}</div>'
            f"{markup.md(policy.purpose)}{clauses(policy.general)}{terms}</div>"
        )


def keys_help() -> None:
    """Draw the list of keys behind one button; the key ``?`` opens and closes it."""
    with st.container(key="keys", width="content"), st.popover("Keys", icon=":material/keyboard:"):
        rows = [[f"<kbd>{html.escape(key)}</kbd>", html.escape(does)] for key, does in KEYS]
        st.html(
            f'<div class="wb-doc wb-small">{markup.table(["key", ""], rows)}'
            '<p class="wb-muted">None of them does anything while you type in a text field.</p></div>'
        )


def open_question(titles: Sequence[str]) -> str:
    """Return, as HTML, the question about dimensions that have no grade yet."""
    named = f"{', '.join(titles[:-1])} and {titles[-1]}" if len(titles) > 1 else titles[0]
    return (
        f'<div class="wb-ask"><b>{html.escape(named)}</b> {"have" if len(titles) > 1 else "has"} no grade yet: '
        "grade what is open, or submit as it is; a pair counts as done when all are answered.</div>"
    )
