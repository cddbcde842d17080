"""What the Draft page remembers: which draft and part are open, which revision was seen, edits waiting for a choice.

The URL holds the selections. The session holds the revision that was last drawn, so that an edit is merged from what
its author saw, and edits that met another person's and wait for a choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from workbench import authoring, widgets
from workbench.authoring import Edit, EditConflict
from workbench.errors import NotFound
from workbench.policy import Body
from workbench.policy_diff import GENERAL, OVERALL_RULE
from workbench.store import Draft


@dataclass(frozen=True)
class Focus:
    """The part being edited: a section, and in it a clause, precedent, gate, term or level; "" for the section."""

    section: str
    item: str = ""


def focus(body: Body) -> Focus:
    """Return the part that the URL names, or the section of it that there is."""
    section = st.query_params.get("part", GENERAL)
    if section not in (GENERAL, *body.keys, OVERALL_RULE):
        return Focus(GENERAL)
    item = st.query_params.get("item", "")
    return Focus(section, item if item in items(body, section) else "")


def items(body: Body, section: str) -> list[str]:
    """Return what can be opened in a section, in reading order."""
    if section == OVERALL_RULE:
        return []
    if section == GENERAL:
        return [*(clause.id for clause in body.general), *(f"term {term.term}" for term in body.terms)]
    dimension = body.dimension(section)
    levels = [f"level {level.value}" for level in reversed(dimension.levels)]
    return [*levels, *(c.id for c in dimension.clauses), *(p.id for p in dimension.precedents)]


def go(section: str, item: str = "") -> None:
    """Open a part (a callback)."""
    st.query_params["part"] = section
    if item:
        st.query_params["item"] = item
    else:
        st.query_params.pop("item", None)


def open_draft(draft_id: str | None) -> None:
    """Open a draft, or none (a callback)."""
    if draft_id:
        st.query_params["draft"] = draft_id
    else:
        for name in ("draft", "part", "item"):
            st.query_params.pop(name, None)


def as_seen(draft_id: str) -> Draft:
    """Return a draft as this session last drew it.

    Raises:
        NotFound: if it is gone.
    """
    space = widgets.workspace()
    draft = space.store.draft(draft_id)
    seen = st.session_state.get(f"seen:{draft_id}", draft.revision)
    if seen == draft.revision:
        return draft
    return draft.model_copy(update={"revision": seen, "body": space.store.draft_body(draft_id, seen)})


def news(draft: Draft) -> list[Edit]:
    """Return what others saved since this session looked, and count it as seen; it stays until it is dismissed."""
    seen_key, news_key = f"seen:{draft.id}", f"news:{draft.id}"
    seen = st.session_state.get(seen_key, draft.revision)
    if seen < draft.revision:
        others = [
            edit
            for edit in authoring.edits(widgets.workspace(), draft, after=seen)
            if edit.author != widgets.who() and edit.changes
        ]
        st.session_state[news_key] = [*others, *st.session_state.get(news_key, [])]
    st.session_state[seen_key] = draft.revision
    found: list[Edit] = st.session_state.get(news_key, [])
    return found


def dismiss_news(draft_id: str) -> None:
    """Forget what others saved; it has been read (a callback)."""
    st.session_state.pop(f"news:{draft_id}", None)


def keep(draft_id: str, change: Callable[[Body], Body]) -> Draft | None:
    """Save an edit of what this session saw (in a callback); None where it could not be saved, which is then said."""

    def saved() -> Draft:
        seen = as_seen(draft_id)
        return authoring.save(widgets.workspace(), seen, change(seen.body), widgets.who())

    return attempt(draft_id, saved)


def attempt(draft_id: str, verb: Callable[[], Draft]) -> Draft | None:
    """Call a verb of a draft (in a callback); an edit that met another one waits for a choice."""

    def called() -> Draft | None:
        try:
            return verb()
        except EditConflict as found:
            st.session_state[f"clash:{draft_id}"] = found
            return None

    done: Draft | None = widgets.attempt(called)
    return done


def clash(draft_id: str) -> EditConflict | None:
    """Return the edit that waits for a choice."""
    found: EditConflict | None = st.session_state.get(f"clash:{draft_id}")
    return found


def end_clash(draft_id: str) -> None:
    """Forget the edit that waited for a choice."""
    st.session_state.pop(f"clash:{draft_id}", None)


def exists(draft_id: str) -> bool:
    """Return whether a draft is still there."""
    try:
        widgets.workspace().store.draft(draft_id)
    except NotFound:
        return False
    return True
