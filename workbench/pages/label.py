"""Label: one pair left, the form right. Blind: nothing of any judge or colleague is fetched, so nothing can show."""

from __future__ import annotations

import html
from collections.abc import Sequence

import streamlit as st

from workbench import labelling, markup, widgets
from workbench.errors import NotFound
from workbench.golden import NOT_APPLICABLE, UNRATEABLE
from workbench.labelling import Task
from workbench.policy import OVERALL, Clause, Dimension, Policy

FOLD = 1_000  # characters from which a field is folded here: a labeler reads nearly everything
ASKED = "_label_asked"


def page() -> None:
    """Draw the next pair, or the one named in the URL, with its form."""
    space = widgets.workspace()
    top = st.columns([7, 4, 7, 7], vertical_alignment="bottom", gap="medium")
    with top[0]:
        widgets.header("Label", "Blind: no judge, nobody else's labels.")
    with top[1]:
        golden = widgets.choose_golden()
    if golden is None:
        return
    widgets.flash()
    labeler = widgets.who()
    task = chosen_task(golden, labeler)
    if task is None:
        nothing_left(golden, labeler, space.store.golden(golden).pairs)
        return
    with top[2]:
        share = task.done / task.total if task.total else 0.0
        st.progress(share, text=f"{task.done:,} of {task.total:,} done by you")
    with top[3], st.container(horizontal=True, horizontal_alignment="right"):
        before = trail(golden, labeler)
        st.button(
            "Previous",
            on_click=go_back,
            args=(golden, labeler),
            disabled=not before,
            help="Open the pair you sent last, to correct it."
            if before
            else "You have sent no pair in this visit.",
            icon=":material/undo:",
        )
        guidelines(task.policy)
    left, right = st.columns(2, gap="small")
    with left, st.container(key="label_pair"):
        widgets.pair_panes(task.pair, task.policy, lit=True, fold=FOLD)
    with right, st.container(key="label_form"):
        form(task, golden, labeler)
        widgets.script("label_keys.js")


def chosen_task(golden: str, labeler: str) -> Task | None:
    """Return the pair of the URL, else the next one that is not set aside."""
    space = widgets.workspace()
    wanted = st.query_params.get("pair")
    if wanted:
        try:
            return labelling.open_task(space, golden, labeler, wanted)
        except NotFound as error:
            st.warning(markup.problem(error))
    return labelling.next_task(space, golden, labeler, skipped=aside(golden, labeler))


def aside(golden: str, labeler: str) -> list[str]:
    """Return the pairs that this labeler has put off in this visit."""
    kept: list[str] = st.session_state.setdefault(f"_aside|{golden}|{labeler}", [])
    return kept


def trail(golden: str, labeler: str) -> list[str]:
    """Return the pairs that this labeler has sent in this visit, oldest first."""
    kept: list[str] = st.session_state.setdefault(f"_trail|{golden}|{labeler}", [])
    return kept


def nothing_left(golden: str, labeler: str, pairs: int) -> None:
    """Say why there is no pair: none at all, only what was put off, or all done."""
    put_off = aside(golden, labeler)
    if not pairs:
        widgets.empty(f"{golden} has no pairs.", "Import some on the Golden set page.")
    elif put_off:
        count = markup.several(len(put_off), "pair")
        widgets.empty(f"Only what you put off is left: {count}.", "Have another look, or leave it at that.")
        st.button("Show them again", on_click=put_off.clear, icon=":material/replay:")
    else:
        widgets.empty(
            f"You have labelled every pair of {golden}.",
            "See how far labelers agree on the Golden set page, or publish a snapshot there.",
        )


def form(task: Task, golden: str, labeler: str) -> None:
    """Draw a row a dimension, the overall grade last, a note, and what to do with it."""
    # The pair is part of every key, so that the next pair starts blank.
    stem = f"{golden}|{labeler}|{task.pair.id}"
    titles = markup.titles(task.policy)
    with st.form(f"form|{stem}", border=True, enter_to_submit=True):
        asked = st.session_state.get(ASKED)
        missing = asked[1] if asked and asked[0] == stem else ()
        if missing:
            st.html(open_question([titles[key] for key in missing]))
        for dimension in task.policy.dimensions:
            row(dimension.title, dimension.question, dimension.key, task, stem, dimension)
        row("Overall", "All in all, how well does it fit?", OVERALL, task, stem, None)
        st.text_input(
            "Note",
            value=task.note,
            key=f"note|{stem}",
            max_chars=1000,
            label_visibility="collapsed",
            placeholder="Note: which rule decided, or what the policy leaves open",
        )
        with st.container(horizontal=True):
            st.form_submit_button(
                "Submit as it is" if missing else "Submit and next",
                type="primary",
                on_click=submit,
                args=(task.policy, golden, task.pair.id, labeler, stem),
                key="submit",
                shortcut="Ctrl+Enter",
            )
            st.form_submit_button(
                "Skip for now", on_click=skip, args=(golden, task.pair.id, labeler), key="skip"
            )
            st.caption("Keys: digits, N (N/A), U (unrateable), ↑ ↓, Enter")


def row(title: str, question: str, key: str, task: Task, stem: str, dimension: Dimension | None) -> None:
    """Draw one question with its levels as chips, and its rules behind a button."""
    names = (
        {level.value: f"**{level.value}** {level.name}" for level in dimension.levels} if dimension else {}
    )
    names |= {NOT_APPLICABLE: "N/A", UNRATEABLE: "unrateable"}
    na = [NOT_APPLICABLE] if dimension and dimension.allow_na else []
    options = [*task.policy.scale(key), *na, UNRATEABLE]
    before = task.answers.get(key)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", wrap=False):
        asks = markup.md(question).removeprefix("<p>").removesuffix("</p>\n")
        st.html(
            f'<b>{html.escape(title)}</b>&ensp;<span class="wb-muted wb-small">{asks}</span>', width="stretch"
        )
        if dimension:
            with st.popover(":material/menu_book:", type="tertiary", help=f"{title}: levels and clauses"):
                st.html(rules(dimension))
    st.segmented_control(
        title,
        options,
        default=before if before in options else None,
        format_func=lambda value: names.get(value, f"**{value}**"),
        key=f"grade|{key}|{stem}",
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
    with st.popover("Guidelines", icon=":material/menu_book:"):
        terms = "".join(markup.clause(term.term, markup.md(term.meaning)) for term in policy.terms)
        st.html(
            f'<div class="wb-doc wb-small"><div class="wb-eyebrow">{html.escape(policy.label)}</div>'
            f"{markup.md(policy.purpose)}{clauses(policy.general)}{terms}</div>"
        )


def open_question(titles: Sequence[str]) -> str:
    """Return, as HTML, the question about dimensions that have no grade yet."""
    named = f"{', '.join(titles[:-1])} and {titles[-1]}" if len(titles) > 1 else titles[0]
    return (
        f'<div class="wb-ask"><b>{html.escape(named)}</b> {"have" if len(titles) > 1 else "has"} no grade yet: '
        "grade what is open, or submit as it is; a pair counts as done when all are answered.</div>"
    )


def submit(policy: Policy, golden: str, pair_id: str, labeler: str, stem: str) -> None:
    """Send the form's answers; where some are missing, ask once before."""
    keys = [*policy.keys, OVERALL]
    given = {key: st.session_state.get(f"grade|{key}|{stem}") for key in keys}
    answers = {key: value for key, value in given.items() if value is not None}
    sent = trail(golden, labeler)
    if not answers and pair_id in sent[-1:]:
        return  # The second click of a double click: the form is gone, its answers are kept.
    missing = tuple(labelling.unanswered(policy, answers))
    if answers and missing and st.session_state.get(ASKED) != (stem, missing):
        st.session_state[ASKED] = (stem, missing)
        return
    note = st.session_state.get(f"note|{stem}") or ""
    space = widgets.workspace()
    if (
        widgets.attempt(labelling.submit_labels, space, golden, pair_id, answers, labeler=labeler, note=note)
        is None
    ):
        return
    if pair_id not in sent[-1:]:
        sent.append(pair_id)
    leave(golden, labeler, pair_id if missing else "")


def skip(golden: str, pair_id: str, labeler: str) -> None:
    """Put a pair off for this visit."""
    leave(golden, labeler, pair_id)


def go_back(golden: str, labeler: str) -> None:
    """Open the pair that was sent last."""
    st.query_params["pair"] = trail(golden, labeler).pop()


def leave(golden: str, labeler: str, put_off: str) -> None:
    """Go on to the next pair; ``put_off`` does not come back in this visit."""
    st.session_state.pop(ASKED, None)
    st.query_params.pop("pair", None)
    if put_off and put_off not in aside(golden, labeler):
        aside(golden, labeler).append(put_off)


page()
