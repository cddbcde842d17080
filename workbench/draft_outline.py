"""The outline of a draft: its parts as a list that opens them, with marks for changes, findings and comments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import streamlit as st

from workbench import draft_state, markup, policy_edit
from workbench.draft_fields import new_text
from workbench.draft_state import Focus
from workbench.policy import Body
from workbench.policy_diff import DOCUMENT, GENERAL, OVERALL_RULE, Change
from workbench.policy_lint import Finding
from workbench.store import Draft

_SHOWN = 34
"""Characters of a part's text in the outline."""


def draw(
    draft: Draft,
    at: Focus,
    changes: Sequence[Change],
    findings: Sequence[Finding],
    comments: Mapping[tuple[str, str], int],
) -> None:
    """Draw the sections, and below the open one its parts."""
    body = draft.body
    changed = {(_section(change.section), _item(change)) for change in changes}
    marks = _Marks(changed, findings, comments)
    titles = markup.titles(body) | {GENERAL: "General rules", OVERALL_RULE: "Overall rule"}
    with st.container(key="outline", gap=None):
        for section in (GENERAL, *body.keys, OVERALL_RULE):
            is_open = section == at.section
            st.button(
                f"**{markup.plain(titles[section])}**{marks.of_section(section)}",
                type="tertiary", key=f"part-{section}", on_click=draft_state.go, args=(section,), width="stretch",
                icon=":material/expand_more:" if is_open else ":material/chevron_right:",
            )  # fmt: skip
            if is_open:
                _parts(body, at, marks)
        with st.popover("Add a dimension", icon=":material/add:", type="tertiary"):
            new_text(
                draft, "dimension", "Its title", "Add", add_dimension, opens=lambda _, title: (key_of(title), ""),
                placeholder="Commute",
                help="Its key is made of the title. Levels without criteria follow; fill them in.",
            )  # fmt: skip


def add_dimension(body: Body, title: str) -> Body:
    """Return ``body`` with a dimension whose key is made of its title."""
    title = " ".join(title.split())
    return policy_edit.add_dimension(
        body, key_of(title), title, f"How well does the pair do on {title.lower()}?"
    )


def key_of(title: str) -> str:
    """Return the key of a new dimension."""
    return "_".join("".join(c if c.isalnum() and c.isascii() else " " for c in title.lower()).split())


class _Marks:
    """Marks beside the parts: changed against the base, lint's findings, open comments."""

    def __init__(
        self,
        changed: set[tuple[str, str]],
        findings: Sequence[Finding],
        comments: Mapping[tuple[str, str], int],
    ) -> None:
        self.changed = changed
        self.worst: dict[tuple[str, str], str] = {}
        for finding in findings:  # errors come first
            self.worst.setdefault((_section(finding.section), finding.item), finding.severity)
        self.comments = Counter({(_section(s), i): n for (s, i), n in comments.items()})

    def of(self, section: str, item: str) -> str:
        return self._text(
            (section, item) in self.changed, self.worst.get((section, item)), self.comments[section, item]
        )

    def of_section(self, section: str) -> str:
        inside = [kind for (s, _), kind in self.worst.items() if s == section]
        worst = "error" if "error" in inside else "warning" if inside else None
        count = sum(n for (s, _), n in self.comments.items() if s == section)
        return self._text(any(s == section for s, _ in self.changed), worst, count)

    @staticmethod
    def _text(changed: bool, worst: str | None, comments: int) -> str:
        text = " :blue[●]" if changed else ""
        if worst:
            text += " :red[:material/error:]" if worst == "error" else " :orange[:material/warning:]"
        return text + (f" :gray[:material/chat_bubble: {comments}]" if comments else "")


def _parts(body: Body, at: Focus, marks: _Marks) -> None:
    texts = _texts(body, at.section)
    for item in draft_state.items(body, at.section):
        name = item.removeprefix("term ")
        st.button(
            f"{markup.plain(name)} :gray[{markup.plain(_words(texts[item]))}]{marks.of(at.section, item)}",
            type="tertiary", key=f"item:{item}" + (":open" if item == at.item else ""), width="stretch",
            on_click=draft_state.go, args=(at.section, item), help=texts[item] if len(texts[item]) > _SHOWN else None,
        )  # fmt: skip


def _words(text: str) -> str:
    """Return the start of a text without the marks of Markdown."""
    return "".join(c for c in text if c not in "*`_#")[:_SHOWN]


def _texts(body: Body, section: str) -> dict[str, str]:
    if section == OVERALL_RULE:
        return {}
    if section == GENERAL:
        clauses = {clause.id: clause.text for clause in body.general}
        return clauses | {f"term {term.term}": term.meaning for term in body.terms}
    dimension = body.dimension(section)
    found = {f"level {level.value}": level.name for level in dimension.levels}
    found |= {clause.id: clause.text for clause in dimension.clauses}
    return found | {precedent.id: precedent.because for precedent in dimension.precedents}


def _section(name: str) -> str:
    return GENERAL if name == DOCUMENT else name


def _item(change: Change) -> str:
    if change.part == "term":
        return f"term {change.id}"
    return change.id if change.part in ("clause", "precedent", "level") else ""
