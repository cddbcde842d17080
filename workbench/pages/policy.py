"""Policy: read a version as a document and take it along, its history, the difference of two versions, open drafts."""

from __future__ import annotations

import html
from collections.abc import Sequence

import streamlit as st

from workbench import comments, markup, policy_export, policy_view, widgets
from workbench.documents import policy_text
from workbench.pages.policy_difference import difference
from workbench.pages.policy_history import history
from workbench.policy import Policy
from workbench.store import Draft

WHOLE = "whole document"
VIEWS = ["Read", "History", "Difference", "Drafts"]
_WIDTHS = [3, 1.6, 0.8, 2, 1]


def page() -> None:
    """Draw the chosen view of the chosen policy."""
    widgets.follow()
    widgets.flash()
    space = widgets.workspace()
    if not space.store.policy_names():
        widgets.empty(
            "No policies yet.",
            "Import a document, or put one under `policies/<name>/v1.yaml` and run `workbench sync`.",
        )
        import_link()
        draft_list(space.store.drafts())
        return
    top = st.columns([2, 3, 3], vertical_alignment="bottom")
    with top[0]:
        name = widgets.choose_policy()
    versions = space.store.policy_versions(name)
    with top[1]:
        view = widgets.pick(st.segmented_control, "View", VIEWS, key="view")
    with top[2], st.container(horizontal=True, horizontal_alignment="right"):
        import_link()
        st.page_link(
            "workbench/pages/draft.py",
            label="Edit a draft",
            icon=":material/edit:",
            query_params={"policy": name},
        )
    {"Read": read, "History": history, "Difference": difference, "Drafts": drafts}[view or "Read"](versions)


def import_link() -> None:
    """Draw the link to the import."""
    st.page_link("workbench/pages/policy_import.py", label="Import a document", icon=":material/upload:")


def read(versions: Sequence[Policy]) -> None:
    """Draw one version as a document, with the comments that are open on its parts."""
    numbers = [policy.version for policy in versions][::-1]
    left, right = st.columns([1, 4], gap="large")
    with left:
        number = widgets.pick(st.selectbox, "Version", numbers, key="version", format_func="v{}".format)
        policy = next(policy for policy in versions if policy.version == number)
        titles = {WHOLE: "Whole document", **policy_view.sections(policy)}
        section = widgets.pick(st.radio, "Section", list(titles), key="section", format_func=titles.get)
        downloads(policy)
    space = widgets.workspace()
    threads = comments.open_counts(comments.threads(space, policy.name, policy))
    with right:
        date = f"{policy.published_at:%d %B %Y}" if policy.published_at else ""
        said = " · ".join(filter(None, [policy.author, date, policy.message]))
        count = sum(threads.values())
        tags = [policy.label, *([markup.several(count, "open comment")] if count else [])]
        widgets.header(policy.title, said, tags)
        for key in list(titles)[1:]:
            if section in (WHOLE, key):
                policy_view.document_section(policy, key, threads)


def downloads(policy: Policy) -> None:
    """Draw one button a format; a document is made when its button is pressed."""
    st.html('<div class="wb-eyebrow" style="margin-top:8px">download</div>')
    formats = {
        "YAML": (policy_text, "yaml", "text/yaml", "The file as it lies under policies/."),
        "Markdown": (policy_export.to_markdown, "md", "text/markdown", "For a word processor; it can be imported again."),
        "HTML": (policy_export.to_html, "html", "text/html", "Ready to print: contents, numbered clauses, a page a dimension."),
    }  # fmt: skip
    with st.container(gap=None):
        for label, (make, ending, mime, what) in formats.items():
            st.download_button(
                label, lambda make=make: make(policy), f"{policy.name}-v{policy.version}.{ending}", mime,
                key=f"download_{ending}", help=what, icon=":material/download:", on_click="ignore", type="tertiary",
            )  # fmt: skip


def drafts(versions: Sequence[Policy]) -> None:
    """Draw the open drafts of the policy, and those of policies that are not published yet."""
    space = widgets.workspace()
    name = versions[0].name
    found = space.store.drafts()
    mine = [draft for draft in found if draft.name == name]
    widgets.header("Drafts", f"Edits of {name} that are not published yet; anybody may open them.")
    if not mine:
        widgets.empty(
            "No open drafts.", "Begin one on the Draft page, import a document, or restore a version."
        )
    draft_list(mine)
    published = set(space.store.policy_names())
    if others := [draft for draft in found if draft.name not in published]:
        widgets.section("Policies that are not published yet")
        draft_list(others)


def draft_list(found: Sequence[Draft]) -> None:
    """Draw drafts one a line, each with a link that opens it."""
    for i, draft in enumerate(found):
        if i == 0:
            for column, head in zip(
                st.columns(_WIDTHS), ("draft", "by", "from", "last saved", ""), strict=True
            ):
                column.html(f'<div class="wb-eyebrow">{head}</div>')
        cells = st.columns(_WIDTHS, vertical_alignment="center")
        title = draft.title or (f"from v{draft.base_version}" if draft.base_version else draft.name)
        saved = f"{draft.updated_at:%d %b %Y %H:%M} UTC"
        by = f" by {html.escape(draft.updated_by)}" if draft.updated_by != draft.author else ""
        cells[0].html(f"<b>{html.escape(title)}</b>")
        cells[1].html(html.escape(draft.author))
        cells[2].html(f"v{draft.base_version}" if draft.base_version else "new")
        cells[3].html(f'<span class="wb-muted">{saved}{by}</span>')
        cells[4].page_link(
            "workbench/pages/draft.py",
            label="Open",
            icon=":material/edit:",
            query_params={"policy": draft.name, "draft": draft.id},
        )


page()
