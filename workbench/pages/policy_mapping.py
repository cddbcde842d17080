"""The mapping screen of an import: what each heading of a document is to the policy. A person corrects the guess."""

from __future__ import annotations

import html
import re
from collections import Counter

import streamlit as st

from workbench import markup, policy_import, widgets
from workbench.outline import Item, Outline, Paragraph, Section, Table, to_markdown
from workbench.outline_roles import OF_A_DIMENSION, ROLES, HeadingRole, RoleMapping
from workbench.policy import Body

ROWS = 25
"""Headings on one page of the screen."""
NAMES = {
    "title": "Title and purpose",
    "purpose": "Purpose",
    "terms": "Terms",
    "pair": "Pair layout",
    "general": "General rules",
    "dimension": "Dimension",
    "levels": "Levels",
    "level": "One level",
    "clauses": "Clauses",
    "precedents": "Precedents",
    "overall": "Overall rule",
    "retired": "Retired ids",
    "group": "Only groups",
    "leave_out": "Left out",
}
ALL = "all"
_MARKS = re.compile(r"[*`|]|^(?:-|\d+\.) |\n.*", re.DOTALL)
_WIDTHS = [3.9, 2.9, 2.2]


def draw(outline: Outline, base: Body | None, stem: str) -> RoleMapping:
    """Draw the headings of a document with their roles, and return the mapping as it is now.

    Args:
        base: the policy that the document is an edit of.
        stem: what the session remembers the choices for this file and policy under.
    """
    chosen: dict[int, HeadingRole] = st.session_state.setdefault(f"chosen|{stem}", {})
    mapping = policy_import.propose(outline, chosen, base)
    places = [i for i, section in enumerate(outline.sections) if i or section.title or section.blocks]
    counts = Counter(mapping.headings[i].role for i in places)
    bar = st.columns([2.6, 3, 2], vertical_alignment="bottom")
    with bar[0]:
        shown = st.selectbox(
            "Headings",
            [ALL, *(role for role in NAMES if counts[role])],
            key=f"shown|{stem}",
            format_func=lambda role: (
                f"All ({len(places)})" if role == ALL else f"{NAMES[role]} ({counts[role]})"
            ),
        )
    places = [i for i in places if shown in (ALL, mapping.headings[i].role)]
    number = 1
    pages = max(1, -(-len(places) // ROWS))
    with bar[1]:
        if pages > 1:
            number = st.pagination(pages, key=f"page|{stem}|{shown}")
    with bar[2], st.container(horizontal=True, horizontal_alignment="right"):
        st.button(
            "Guess anew", on_click=forget, args=(stem,), disabled=not chosen, key="guess_anew",
            help="Forget the roles that you chose.",
        )  # fmt: skip
    for i in places[(number - 1) * ROWS : number * ROWS]:
        row(outline.sections[i], mapping, i, stem, mine=i in chosen)
    with st.expander("What the roles mean"):
        st.html("".join(markup.clause(NAMES[role], html.escape(text)) for role, text in ROLES.items()))
    return mapping


def row(section: Section, mapping: RoleMapping, i: int, stem: str, *, mine: bool) -> None:
    """Draw one heading: what stands under it, its role, and the dimension it is or belongs to."""
    item = mapping.headings[i]
    left, middle, right = st.columns(_WIDTHS, vertical_alignment="center", gap="small")
    left.html(heading(section, mine=mine))
    role, key = f"role|{stem}|{i}", f"key|{stem}|{i}|{item.role == 'dimension'}"
    st.session_state[role] = item.role
    about = section.title or "the start of the document"
    middle.selectbox(
        f"Role of {about}", list(NAMES), format_func=NAMES.get, key=role, label_visibility="collapsed",
        on_change=choose, args=(mapping, i, stem, role, None),
    )  # fmt: skip
    if item.role == "dimension":
        st.session_state[key] = item.dimension
        right.text_input(
            f"Key of {about}", key=key, max_chars=60, label_visibility="collapsed",
            on_change=choose, args=(mapping, i, stem, role, key),
        )  # fmt: skip
    elif item.role in OF_A_DIMENSION:
        st.session_state[key] = item.dimension
        right.selectbox(
            f"Dimension of {about}", ["", *mapping.keys], key=key, label_visibility="collapsed",
            format_func=lambda found: found or "of none",
            on_change=choose, args=(mapping, i, stem, role, key),
        )  # fmt: skip


def choose(mapping: RoleMapping, i: int, stem: str, role: str, key: str | None) -> None:
    """Take a person's choice for one heading (a callback)."""
    state = st.session_state
    chosen = state[f"chosen|{stem}"]
    found = widgets.attempt(
        policy_import.choose, mapping, chosen, i, state[role], (state[key] or "").strip() if key else None
    )
    if found is not None:
        state[f"chosen|{stem}"] = found


def forget(stem: str) -> None:
    """Forget what was chosen (a callback)."""
    st.session_state[f"chosen|{stem}"] = {}


def heading(section: Section, *, mine: bool) -> str:
    """Return a heading with what stands under it as HTML."""
    title = html.escape(section.title) or '<span class="wb-muted">before the first heading</span>'
    mark = ' <span class="wb-tag">chosen</span>' if mine else ""
    counts = Counter(type(block) for block in section.blocks)
    said = [
        markup.several(counts[kind], name)
        for kind, name in ((Paragraph, "paragraph"), (Item, "list item"), (Table, "table"))
        if counts[kind]
    ]
    start = _MARKS.sub("", to_markdown(section.blocks[:1]))[:90]
    under = f"{', '.join(said)}: {html.escape(start)} …" if said else "no text of its own"
    indent = 14 * max(section.level - 1, 0)
    return (
        f'<div style="margin-left:{indent}px;line-height:1.3"><b>{title}</b>{mark}'
        f'<div class="wb-small wb-muted" style="overflow:hidden;text-overflow:ellipsis;white-space:nowrap">{under}</div></div>'
    )
