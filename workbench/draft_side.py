"""The right side of the Draft page: what an edit changes, as tabs of which only the open one is computed."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import streamlit as st

from workbench import (
    comment_panel,
    draft_state,
    evidence_panel,
    jobs,
    linting,
    markup,
    prompt_panel,
    suggestion_panel,
    trial_panel,
    widgets,
)
from workbench import comments as comment_verbs
from workbench.draft_state import Focus
from workbench.policy import Body
from workbench.policy_diff import DOCUMENT, GENERAL, OVERALL_RULE, diff
from workbench.policy_lint import Finding
from workbench.store import Draft

TABS = ["Diff", "Lint", "Prompt", "Evidence", "Try", "Comments", "Ideas"]


def findings(draft: Draft) -> tuple[Finding, ...]:
    """Return what lint says of the draft."""
    return linting.findings(widgets.workspace(), draft.name, draft.body)


def comments(draft: Draft) -> Mapping[tuple[str, str], int]:
    """Return how many open comments each part has."""
    space = widgets.workspace()
    return comment_verbs.open_counts(comment_verbs.threads(space, draft.name, draft.body))


def draw(draft: Draft, base: Body, at: Focus, found: Sequence[Finding]) -> None:
    """Draw the tabs, and the open one below."""
    tab = widgets.pick(st.segmented_control, "Beside", TABS, key="side", label_visibility="collapsed")
    match tab:
        case "Diff":
            difference(draft, base, at)
        case "Lint":
            linted(draft, at, found)
        case _:
            panels = {
                "Prompt": prompt_panel.draw,
                "Evidence": evidence_panel.draw,
                "Try": trial_panel.draw,
                "Comments": comment_panel.draw,
                "Ideas": suggestion_panel.draw,
            }
            panels[tab](draft, base, at.section, at.item)


def difference(draft: Draft, base: Body, at: Focus) -> None:
    """Draw what the draft changes, the open section first."""
    changes = diff(base, draft.body)
    if not changes:
        start = f"v{draft.base_version}" if draft.base_version else "what it began with"
        st.caption(f"Says the same as {start}. What you change appears here, word by word.")
        return
    titles = markup.titles(draft.body) | {
        DOCUMENT: "Document",
        GENERAL: "General rules",
        OVERALL_RULE: "Overall rule",
    }
    sections = list(dict.fromkeys(change.section for change in changes))
    for section in sorted(sections, key=lambda section: section != at.section):
        mine = [change for change in changes if change.section == section]
        st.html(f'<div class="wb-eyebrow">{html.escape(titles.get(section, section))}</div>')
        widgets.change_list(mine)


def linted(draft: Draft, at: Focus, found: Sequence[Finding]) -> None:
    """Draw lint's findings, those of the open part first; each opens its place."""
    if not found:
        st.caption("Nothing to query.")
    here = (at.section, at.item)
    for i, finding in enumerate(sorted(found, key=lambda f: (f.section, f.item) != here)):
        section = GENERAL if finding.section == DOCUMENT else finding.section
        icon = ":red[:material/error:]" if finding.severity == "error" else ":orange[:material/warning:]"
        st.button(
            f"{icon} **{markup.plain(finding.place)}** {markup.plain(finding.message)}", type="tertiary", width="stretch",
            key=f"finding:{i}", on_click=draft_state.go, args=(section, finding.item), wrap=True,
        )  # fmt: skip
    compare_levels(draft)


def compare_levels(draft: Draft) -> None:
    """Draw the button that compares levels by meaning, where some were not; it is a job of a few seconds."""
    space = widgets.workspace()
    waiting = linting.not_compared(space, draft.body)
    if not waiting:
        st.caption("Levels were compared by meaning as well as by words.")
        return
    running = space.store.jobs("lint", open_only=True)
    st.button(
        "Compare levels by meaning", icon=":material/compare:", key="compare_levels", disabled=bool(running),
        on_click=start_comparing, args=(draft,),
        help="Finds levels that say the same in other words, with the MiniLM encoder.",
    )  # fmt: skip
    if running:
        follow()


@st.fragment(run_every=2.0)
def follow() -> None:
    """Draw the page again once the comparison has ended."""
    space = widgets.workspace()
    jobs.collect(space)
    if space.store.jobs("lint", open_only=True):
        st.caption("Comparing …")
    else:
        st.rerun()


def start_comparing(draft: Draft) -> None:
    """Start the comparison."""
    widgets.attempt(linting.start_similarity, widgets.workspace(), draft, widgets.who())
