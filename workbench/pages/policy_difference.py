"""The Difference view of the Policy page: two versions side by side, by clause."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence

import streamlit as st

from workbench import authoring, markup, widgets
from workbench.policy import Policy
from workbench.policy_diff import DOCUMENT, GENERAL, OVERALL_RULE, Change, sections_to_judge

STYLE = """
.wb-diff { table-layout: fixed } .wb-diff th:first-child { width: 8.5rem }
.wb-diff td { overflow-wrap: anywhere } .wb-diff .head { padding-top: 16px; font-weight: 640 }
.wb-diff .wb-words { white-space: pre-line }
"""


def difference(versions: Sequence[Policy]) -> None:
    """Draw the difference of two versions side by side, by clause."""
    if len(versions) < 2:
        widgets.empty(
            "There is only one version.", "Edit a draft and publish it; the difference is shown here."
        )
        return
    by_number = {policy.version: policy for policy in versions}
    numbers = list(by_number)
    left, right, _ = st.columns([1, 1, 3])
    with left:
        before = widgets.pick(
            st.selectbox, "From", numbers, key="from", default=numbers[-2], format_func="v{}".format
        )
    with right:
        after = widgets.pick(
            st.selectbox, "To", numbers, key="to", default=numbers[-1], format_func="v{}".format
        )
    changes = authoring.changes_between(widgets.workspace(), versions[0].name, before, after)
    old, new = by_number[before], by_number[after]
    count = markup.several(len(changes), "change")
    kinds = Counter(change.kind for change in changes)
    tags = [f"{number} {kind}" for kind, number in kinds.most_common()]
    widgets.header(f"v{before} → v{after}: {count}", new.message if before < after else "", tags)
    if not changes:
        st.caption("Both say the same.")
        return
    st.caption(to_judge(changes, new))
    st.html(f"<style>{STYLE}</style>" + table(changes, old, new))


def to_judge(changes: Sequence[Change], new: Policy) -> str:
    """Return which verdicts the changes may move."""
    titles = markup.titles(new)
    judged = [titles[key] for key in sections_to_judge(changes, new.keys)]
    if not judged:
        return "No verdict can change: only the overall rule, weights or the order differ."
    return f"Verdicts may change on: {markup.plain(', '.join(judged))}."


def table(changes: Sequence[Change], old: Policy, new: Policy) -> str:
    """Return changes as one table, section by section in the order of the document."""
    names = {
        DOCUMENT: "Document",
        GENERAL: "General rules",
        **{d.key: d.title for policy in (old, new) for d in policy.dimensions},
        OVERALL_RULE: "Overall rule",
    }
    parts = []
    for section, title in names.items():
        if mine := [change for change in changes if change.section == section]:
            rows = "".join(row(change) for change in mine)
            parts.append(f'<tr><td colspan="3" class="head">{html.escape(title)}</td></tr>{rows}')
    head = "<tr><th></th><th>before</th><th>after</th></tr>"
    return f'<table class="wb-table wb-diff"><thead>{head}</thead><tbody>{"".join(parts)}</tbody></table>'


def row(change: Change) -> str:
    """Return one change: what, before with removed words marked, after with added words marked."""
    origin = f" from {change.origin}" if change.origin else ""
    what = f'{html.escape(change.id)}<br><span class="wb-tag">{change.kind}{html.escape(origin)}</span>'
    before, after = halves(change)
    cells = "".join(f'<td><div class="wb-words wb-small">{text}</div></td>' for text in (before, after))
    return f"<tr><td>{what}</td>{cells}</tr>"


def halves(change: Change) -> tuple[str, str]:
    """Return (before, after) as HTML; what is new, gone or moved as a whole has no marked words."""
    if change.kind == "moved":
        place = '<span class="wb-muted">at another place</span>'
        return html.escape(change.before), place
    if change.kind in ("added", "removed", "split"):
        return html.escape(change.before), html.escape(change.after)
    texts = {"-": "", "+": ""}
    for op, text in change.words:
        escaped = html.escape(text)
        for side, mark in (("-", "del"), ("+", "ins")):
            if op in ("=", side):
                texts[side] += f"<{mark}>{escaped}</{mark}>" if op == side else escaped
    return texts["-"], texts["+"]
