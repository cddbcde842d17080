"""The preview of an import: the policy as it reads, its changes, and everything a person should see before keeping it."""

from __future__ import annotations

import html

import streamlit as st

from workbench import markup, policy_view, widgets
from workbench.policy import Policy
from workbench.policy_assembly import Built
from workbench.policy_import import Report

HEIGHT = 760


def draw(built: Built, found: Report, base: Policy | None) -> None:
    """Draw the policy as it reads, and everything about it that a person should see before keeping it."""
    kept = len(built.unplaced)
    tabs = {
        "As it reads": None,
        **({"Changes": len(found.changes or ())} if base else {}),
        "Not placed": kept,
        "Notes": len(built.notes) + len(built.renumbered) + len(built.left_out),
        "Lint": len(found.findings),
    }
    widgets.section("The policy it makes")
    tab = st.segmented_control(
        "Preview", list(tabs), default="As it reads", required=True, key=f"import_preview_{bool(base)}",
        label_visibility="collapsed",
        format_func=lambda name: name if tabs[name] is None else f"{name} ({tabs[name]})",
    )  # fmt: skip
    with st.container(height=HEIGHT, border=True):
        if tab == "As it reads":
            st.markdown(f"### {markup.plain(built.body.title)}")
            for key in policy_view.sections(built.body):
                policy_view.document_section(built.body, key)
        elif tab == "Changes":
            widgets.change_list(found.changes or ())
        elif tab == "Not placed":
            not_placed(built)
        elif tab == "Notes":
            notes(built)
        else:
            lint(found)


def not_placed(built: Built) -> None:
    """Draw the texts that had no place under their heading."""
    if not built.unplaced:
        st.caption("Every text has a place.")
        return
    st.caption("These texts had no place under their heading. They are kept as general rules.")
    st.html(
        "".join(
            markup.clause(one.id, markup.md(one.text), f"under {one.heading}" if one.heading else "")
            for one in built.unplaced
        )
    )


def notes(built: Built) -> None:
    """Draw what was assumed, renumbered or left out."""
    if not (built.notes or built.renumbered or built.left_out):
        st.caption("Nothing was assumed, renumbered or left out.")
    for text in built.notes:
        st.html(f'<div class="wb-small" style="padding:3px 0">{html.escape(text)}</div>')
    if built.renumbered:
        st.html('<div class="wb-eyebrow">numbers that could not stay</div>')
        rows = [[html.escape(item.written), html.escape(item.id)] for item in built.renumbered]
        st.html(markup.table(["in the document", "here"], rows))
    for text in built.left_out:
        st.html('<div class="wb-eyebrow">left out</div>')
        st.html(f'<div class="wb-doc wb-small">{markup.md(text)}</div>')


def lint(found: Report) -> None:
    """Draw what lint says of the policy; a draft may be begun all the same."""
    if not found.findings:
        st.caption("Lint has nothing to say.")
    rows = [
        [
            f'<span class="wb-tag">{finding.severity}</span>',
            html.escape(finding.place),
            html.escape(finding.message),
        ]
        for finding in found.findings
    ]
    if rows:
        st.html(markup.table(["", "where", "what"], rows))
