"""Fields of the Draft page that save themselves: at each pause in typing, on leaving a field, on a choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from workbench import draft_state
from workbench.policy import Body
from workbench.store import Draft

Read = Callable[[Body], Any]
Change = Callable[[Body, Any], Body]
Opens = Callable[[Body, str], tuple[str, str]]


def text_field(
    draft: Draft, name: str, label: str, read: Read, change: Change, *, area: bool = True, **options: Any
) -> None:
    """Draw a text of the draft that saves itself while it is typed.

    Args:
        name: what the field is of, such as a clause's id.
        read: the text in a body.
        change: a body with another text.
        area: several lines (saved at each pause in typing) or one (saved on leaving the field).
    """
    key = _synchronised(draft, name, read)
    draw = st.text_area if area else st.text_input
    if area:
        options.setdefault("height", "content")
    with st.container(key=f"live_{_slug(key)}"):
        draw(label, key=key, on_change=_typed, args=(draft.id, key, read, change), **options)


def choice_field(
    draft: Draft, name: str, label: str, read: Read, change: Change, draw: Callable[..., Any], **options: Any
) -> None:
    """Draw a number, switch or choice of the draft that saves itself; ``draw`` is a Streamlit widget."""
    key = _synchronised(draft, name, read)
    draw(label, key=key, on_change=_typed, args=(draft.id, key, read, change), **options)


def new_text(
    draft: Draft,
    name: str,
    label: str,
    button: str,
    add: Callable[[Body, str], Body],
    *,
    opens: Opens,
    **options: Any,
) -> None:
    """Draw a field for something new, and the button that adds it.

    Args:
        add: a body with the new thing, made of the text.
        opens: the part that is opened then, from the body before and the text.
    """
    key = f"new:{draft.id}:{name}"
    with st.form(f"form:{key}", border=False):
        st.text_area(label, key=key, height=80, **options)
        st.form_submit_button(
            button, icon=":material/add:", on_click=_added, args=(draft.id, key, add, opens), key=f"add:{key}"
        )


def _added(draft_id: str, key: str, add: Callable[[Body, str], Body], opens: Opens) -> None:
    text = st.session_state.get(key, "")
    place: list[tuple[str, str]] = []

    def change(body: Body) -> Body:
        place.append(opens(body, text))
        return add(body, text)

    if draft_state.keep(draft_id, change) is not None:
        st.session_state[key] = ""
        draft_state.go(*place[-1])


def _synchronised(draft: Draft, name: str, read: Read) -> str:
    """Return a field's key, its value brought up to date where somebody else changed the text since it was drawn."""
    key = f"f:{draft.id}:{name}"
    current = read(draft.body)
    if key not in st.session_state or st.session_state.get(f"was:{key}") != current:
        st.session_state[key] = list(current) if isinstance(current, tuple) else current
        st.session_state[f"was:{key}"] = current
    return key


def _typed(draft_id: str, key: str, read: Read, change: Change) -> None:
    given = st.session_state[key]
    saved = draft_state.keep(draft_id, lambda body: change(body, given))
    if saved is not None:
        # What is kept may lack the white space at the end; the field keeps it, for who is still typing.
        st.session_state[f"was:{key}"] = read(saved.body)


def _slug(key: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in key)
