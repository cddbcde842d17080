"""Conflicts of a draft, part by part: what it was, theirs and mine, and the choice between them."""

from __future__ import annotations

import html

import streamlit as st

from workbench import authoring, draft_state, markup, widgets
from workbench.authoring import EditConflict
from workbench.policy_diff import word_diff
from workbench.policy_merge import Choice, Conflict
from workbench.store import Draft

_NAMES: dict[Choice, str] = {"theirs": "theirs", "mine": "mine", "both": "both, mine as a clause of its own"}


def draw(draft: Draft, clash: EditConflict) -> None:
    """Draw every conflict with its three texts; nothing is written before a text is chosen for each."""
    st.warning(markup.problem(clash), icon=":material/call_merge:")
    theirs = (
        f"v{clash.base_version}"
        if clash.base_version != clash.theirs.base_version
        else clash.theirs.updated_by
    )
    for conflict in clash.merged.conflicts:
        with st.container(border=True):
            _conflict(draft, conflict, theirs)
    with st.container(horizontal=True):
        st.button("Keep these texts", type="primary", on_click=_settle, args=(draft.id,), key="settle")
        st.button(
            "Drop my edit", type="tertiary", on_click=draft_state.end_clash, args=(draft.id,), key="drop_mine"
        )


def _conflict(draft: Draft, conflict: Conflict, theirs: str) -> None:
    st.html(f'<div style="font-weight:640">{html.escape(conflict.id)}</div>')
    if conflict.reason:
        st.caption(f"My change cannot stand with theirs: {conflict.reason}.")
    for column, title, text in zip(
        st.columns(3),
        ("before both", theirs, "mine"),
        (conflict.base, conflict.theirs, conflict.mine),
        strict=True,
    ):
        words = html.escape(text) if text == conflict.base else _marked(conflict.base, text)
        gone = '<span class="wb-muted">not there</span>'
        column.html(
            f'<div class="wb-eyebrow">{html.escape(title)}</div><div class="wb-words wb-small">{words or gone}</div>'
        )
    options: list[Choice] = ["theirs", "mine", *(["both"] if conflict.both else [])]  # type: ignore[list-item]
    st.segmented_control(
        "Keep", options, default="mine" if not conflict.reason else "theirs", required=True,
        key=_key(draft.id, conflict), format_func=_NAMES.__getitem__,
    )  # fmt: skip


def _marked(before: str, after: str) -> str:
    tags = {"=": ("", ""), "-": ("<del>", "</del>"), "+": ("<ins>", "</ins>")}
    return "".join(f"{tags[op][0]}{html.escape(text)}{tags[op][1]}" for op, text in word_diff(before, after))


def _key(draft_id: str, conflict: Conflict) -> str:
    return f"keep:{draft_id}:{conflict.place}"


def _settle(draft_id: str) -> None:
    clash = draft_state.clash(draft_id)
    if clash is None:  # a double click
        return
    choices: dict[str, Choice] = {
        conflict.place: st.session_state[_key(draft_id, conflict)] for conflict in clash.merged.conflicts
    }

    def settled() -> Draft:
        return authoring.settle(widgets.workspace(), clash, choices, widgets.who())

    if draft_state.attempt(draft_id, settled) is not None:
        draft_state.end_clash(draft_id)
        widgets.say("success", "Kept.")
