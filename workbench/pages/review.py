"""Review: the meeting. One flip at a time, decided by a key; what is open, and the minutes."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from workbench import markup, minutes, review, review_board, review_decide, review_items, widgets
from workbench.review import Meeting

MODES = {"present": "I present", "follow": "Follow", "alone": "On my own"}
POLL_S = 2.0


def page() -> None:
    """Draw the review of the URL, else the list of reviews with what is open."""
    review_id = st.query_params.get("review")
    if review_id:
        board(review_id)
        return
    widgets.header("Review", "Flips between two runs, decided together. Open a review on Compare.")
    widgets.flash()
    if not widgets.has_golden():
        return
    golden = widgets.choose_golden()
    if golden is None:
        return
    left, right = st.columns([5, 6], gap="large")
    with left:
        widgets.section("Reviews")
        reviews(golden)
    with right:
        widgets.section("Open items")
        review_items.draw(golden)


def reviews(golden: str) -> None:
    """Draw the reviews of a golden set; a row opens its review."""
    found = widgets.workspace().store.reviews(golden)
    if not found:
        widgets.empty(
            "No reviews yet.", "On Compare, choose A and B, filter the flips, and press “Review these flips”."
        )
        return
    view = pd.DataFrame(
        {
            "review": [one.title for one in found],
            "opened by": [one.author for one in found],
            "when": [one.created_at for one in found],
            "flips": [len(one.filters.get("pairs", ())) for one in found],
            "state": ["closed" if one.closed_at else "open" for one in found],
        }
    )
    widgets.open_row(
        view, [one.id for one in found], "review",
        column_config={"when": st.column_config.DatetimeColumn("when (UTC)", format="D MMM HH:mm")},
    )  # fmt: skip


def board(review_id: str) -> None:
    """Draw a review: its bar, the flip on the board, the keys."""
    pulse = review.pulse(widgets.workspace(), review_id)
    meeting = review.meeting(widgets.workspace(), review_id)
    mode = bar(meeting)
    widgets.flash()
    if not meeting.items:
        widgets.empty("No flip of this review is left.", "Labels or runs have changed since it was opened.")
        return
    item, revealed = looked_at(meeting, mode)
    position = meeting.position(item) or 0
    review_board.draw(meeting, meeting.items[position], revealed=revealed)
    review_decide.draw(meeting, position, present=mode == "present", revealed=revealed)
    watch(review_id, pulse)
    widgets.script("review_keys.js")
    with st.expander(f"Decisions ({meeting.decided} of {len(meeting.items)})", icon=":material/gavel:"):
        review_decide.log(meeting)


def bar(meeting: Meeting) -> str:
    """Draw what is reviewed, who presents, how one follows, minutes and the end; return the mode."""
    found = meeting.review
    title, state, choice, more = st.columns([6, 4, 5, 4], vertical_alignment="center", gap="small")
    with title:
        st.page_link(
            "workbench/pages/review.py", label=found.title, icon=":material/arrow_back:",
            query_params={"golden": found.golden},
        )  # fmt: skip
    with state:
        presents = f"{found.presenter} presents" if not found.closed_at else "closed"
        st.html(
            f'<div class="wb-muted">{meeting.decided} of {len(meeting.items)} decided · {markup.plain(presents)}</div>'
        )
    with choice:
        default = "present" if found.presenter == widgets.who() and not found.closed_at else "follow"
        options = ["alone"] if found.closed_at else list(MODES)
        mode = widgets.pick(
            st.segmented_control, "How you take part", options, key="mode",
            default="alone" if found.closed_at else default, format_func=MODES.get, label_visibility="collapsed",
        )  # fmt: skip
    with more, st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        with st.popover("Minutes", icon=":material/description:"):
            said = minutes.minutes(widgets.workspace(), found.id)
            st.download_button(
                "Markdown", minutes.as_markdown(said), f"{found.id}.md", "text/markdown", on_click="ignore"
            )
            st.download_button(
                "HTML to print", minutes.as_html(said), f"{found.id}.html", "text/html", on_click="ignore"
            )
        if not found.closed_at:
            st.button(
                "Close",
                key="close",
                on_click=close,
                args=(found.id,),
                help="Ends the review; its minutes stay.",
            )
    return str(mode)


def close(review_id: str) -> None:
    """Close the review."""
    widgets.attempt(widgets.workspace().store.close_review, review_id, widgets.who())


def looked_at(meeting: Meeting, mode: str) -> tuple[str, bool]:
    """Return the item to draw and whether its labels are shown: the presenter's, or one's own."""
    shown = meeting.review.showing
    if mode == "follow":
        return str(shown.get("item", "")), bool(shown.get("revealed"))
    own = st.query_params.get("item", "")
    if meeting.position(own) is None:
        own = str(shown.get("item", ""))
    return own, bool(st.session_state.get("_revealed", False))


@st.fragment(run_every=POLL_S)
def watch(review_id: str, seen: str) -> None:
    """Look whether somebody moved on or decided, and draw the page anew then."""
    if review.pulse(widgets.workspace(), review_id) != seen:
        st.rerun()


page()
