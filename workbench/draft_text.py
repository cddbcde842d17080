"""A draft as one YAML text, checked while it is typed."""

from __future__ import annotations

import streamlit as st

from workbench import draft_state, markup, policy_edit, widgets
from workbench.errors import WorkbenchError
from workbench.policy import Body
from workbench.policy_diff import diff
from workbench.store import Draft

_ROWS_PX = 640


def draw(draft: Draft) -> None:
    """Draw the text, what is wrong with it or what it changes, and the button that keeps it."""
    key = f"yaml:{draft.id}:{draft.revision}"
    st.session_state.setdefault(key, policy_edit.body_text(draft.body))
    with st.container(key="live_yaml"):
        st.text_area("YAML", key=key, height=_ROWS_PX, label_visibility="collapsed")
    text = st.session_state[key]
    body, problem = _read(text)
    with st.container(horizontal=True, vertical_alignment="center"):
        changed = len(diff(draft.body, body)) if body is not None else 0
        st.button(
            "Keep this text", type="primary", key="save_part", on_click=_save, args=(draft.id, key),
            disabled=body is None or body == draft.body,
        )  # fmt: skip
        if body is not None:
            st.caption(
                f"{markup.several(changed, 'part')} changed." if changed else "Says the same as the draft."
            )
    if problem is not None:
        st.error(markup.problem(problem), icon=":material/error:")
    st.caption(
        "Ids are given once: a clause cut out here is retired, and a new one needs the next free number."
    )


def _read(text: str) -> tuple[Body | None, WorkbenchError | None]:
    try:
        return policy_edit.body_from_text(text), None
    except WorkbenchError as error:
        return None, error


def _save(draft_id: str, key: str) -> None:
    text = st.session_state[key]
    if draft_state.keep(draft_id, lambda _: policy_edit.body_from_text(text)) is not None:
        widgets.say("success", "Kept.")
