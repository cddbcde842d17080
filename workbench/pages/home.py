"""Home: the loop as one picture with today's figures, what is stale, and the next sensible action."""

from __future__ import annotations

import html

import streamlit as st

from workbench import markup, overview, widgets


def page() -> None:
    """Draw the loop, notes and the next action."""
    widgets.header(
        "Policy Workbench",
        "Write the policy, label pairs, judge with it, see what changed, train a student from it.",
    )
    space = widgets.workspace()
    name = widgets.choose_policy()
    if name is None:
        return
    found = overview.overview(space, name)
    if found.sample:
        st.caption(
            "This is the sample that ships with the workbench; its texts and labels were written for the project."
        )
    st.html(
        '<div class="wb-loop">'
        + "".join(
            f'<div class="wb-station"><div class="wb-eyebrow">{html.escape(station.name)}</div>'
            f'<div class="figure">{html.escape(station.figure)}</div>'
            f'<div class="wb-small wb-muted">{html.escape(station.detail)}</div>'
            + ('<div class="arrow">→</div>' if i < len(found.stations) - 1 else "")
            + "</div>"
            for i, station in enumerate(found.stations)
        )
        + "</div>"
    )
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("Next")
        for step in found.next_steps:
            with st.container(
                border=True, horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
            ):
                st.markdown(f"**{step.what}**  \n{step.why}")
                st.page_link(f"workbench/pages/{step.page}.py", label="Open", icon=":material/arrow_forward:")
        if found.stale:
            st.subheader("Stale")
            for line in found.stale:
                st.markdown(f"- {line}")
    with right:
        st.subheader("Lately")
        events = space.store.events(12)
        if not events:
            st.caption("Nothing has happened yet.")
        else:
            st.html(
                markup.table(
                    ["when", "who", "what"],
                    [
                        [
                            f'<span class="wb-muted">{event["at"]:%d %b %H:%M}</span>',
                            html.escape(event["who"]),
                            f"{html.escape(event['what'])} <b>{html.escape(event['subject'][:48])}</b>"
                            f'<div class="wb-muted wb-small">{html.escape(event["detail"][:110])}</div>',
                        ]
                        for event in events
                    ],
                )
            )


page()
