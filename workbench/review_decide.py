"""The lower edge of a review: move, decide with a key, note and owner."""

from __future__ import annotations

import secrets

import streamlit as st

from workbench import markup, review, widgets
from workbench.review import NEXT_STEP, Item, Meeting
from workbench.store.decisions import Outcome
from workbench.store.reviews import FollowUpKind

DECISIONS: dict[str, tuple[Outcome, str]] = {
    "judge_wrong": ("judge wrong", "Judge wrong"),
    "label_wrong": ("label wrong", "Label wrong"),
    "policy_ambiguous": ("policy ambiguous", "Policy ambiguous"),
    "fine": ("fine", "Fine"),
}
"""Key of the button -> outcome and what is written on it; the first letter is its key."""
USUAL = "as usual"
STEPS: dict[str, str] = {
    USUAL: "usual next step",
    "label": "correct the label",
    "comment": "comment on the clause",
    "draft": "edit in a draft",
    "precedent": "add a precedent",
    "other": "something else",
}


def move_to(meeting: Meeting, key: str, *, present: bool, revealed: bool = False) -> None:
    """Look at an item: on everybody's screen where one presents, else on one's own."""
    st.query_params["item"] = key
    st.session_state["_revealed"] = revealed
    if present:
        widgets.attempt(
            review.show, widgets.workspace(), meeting.review.id, key, widgets.who(), revealed=revealed
        )


def draw(meeting: Meeting, position: int, *, present: bool, revealed: bool) -> None:
    """Draw the bar under the board."""
    item, items = meeting.items[position], meeting.items
    closed = meeting.review.closed_at is not None
    stem = f"{meeting.review.id}|{item.key}"
    once = st.session_state.setdefault(f"_decide|{stem}", secrets.token_hex(6))
    with st.container(key="review_decide"):
        row = st.columns([1.3, 1.2, 1.3, 5, 3, 3, 1.4], vertical_alignment="bottom", gap="small")
        for column, key, icon, step in (
            (row[0], "previous", ":material/arrow_back:", -1),
            (row[1], "next", ":material/arrow_forward:", 1),
        ):
            there = position + step
            with column, st.container(key=key):
                st.button(
                    "Previous" if step < 0 else "Next", icon=icon, key=f"b_{key}", disabled=not 0 <= there < len(items),
                    on_click=move_to, args=(meeting, items[there].key if 0 <= there < len(items) else ""),
                    kwargs={"present": present}, width="stretch", help="Left arrow" if step < 0 else "Right arrow",
                )  # fmt: skip
        with row[2], st.container(key="reveal"):
            st.button(
                "Hide labels" if revealed else "Labels", key="b_reveal", on_click=move_to, args=(meeting, item.key),
                kwargs={"present": present, "revealed": not revealed}, width="stretch", help="Key H",
            )  # fmt: skip
        row[3].text_input("Note", key=f"note|{stem}", placeholder="N: what was said", disabled=closed)
        row[4].text_input(
            "Owner of what follows", key=f"owner|{stem}", placeholder=widgets.who(), disabled=closed
        )
        row[5].selectbox(
            "What follows", list(STEPS), format_func=STEPS.__getitem__, key=f"step|{stem}", disabled=closed
        )
        with row[6], st.container(key="take_back"):
            st.button(
                "Take back", key="b_take_back", icon=":material/undo:", on_click=take_back, args=(meeting, item),
                disabled=closed or item.decision is None, width="stretch", help="Key Z",
            )  # fmt: skip
        buttons = st.columns(4, gap="small")
        for column, (key, (outcome, label)) in zip(buttons, DECISIONS.items(), strict=True):
            with column, st.container(key=key):
                chosen = item.decision is not None and item.decision.outcome == outcome
                st.button(
                    f"**{label[0]}** · {label}", key=f"b_{key}", type="primary" if chosen else "secondary",
                    on_click=decide, args=(meeting, position, outcome, stem, once, present), disabled=closed,
                    width="stretch",
                )  # fmt: skip


def decide(meeting: Meeting, position: int, outcome: Outcome, stem: str, once: str, present: bool) -> None:
    """Keep the decision and go on to the next flip that has none."""
    item = meeting.items[position]
    step = st.session_state.get(f"step|{stem}", USUAL)
    given: FollowUpKind | None = None if step == USUAL else step
    done = widgets.attempt(
        review.decide,
        widgets.workspace(),
        meeting.review,
        item.flip,
        outcome,
        who=widgets.who(),
        note=st.session_state.get(f"note|{stem}") or "",
        owner=st.session_state.get(f"owner|{stem}") or "",
        next_step=given if outcome in NEXT_STEP else None,
        key=f"{once}-{outcome.replace(' ', '-')}",
    )
    if done is None:
        return
    st.session_state.pop(f"_decide|{stem}", None)
    ahead = [*meeting.items[position + 1 :], *meeting.items[:position]]
    following = next((other.key for other in ahead if other.decision is None), item.key)
    move_to(meeting, following, present=present)


def take_back(meeting: Meeting, item: Item) -> None:
    """Open the flip again."""
    widgets.attempt(review.take_back, widgets.workspace(), meeting.review, item.flip, widgets.who())


def log(meeting: Meeting) -> None:
    """Draw what was decided so far, in the order of the queue."""
    titles = markup.titles(meeting.comparison.policy_b)
    rows = [
        [
            str(i + 1),
            markup.plain(titles.get(item.flip.dimension, item.flip.dimension)),
            f"{item.flip.a} → {item.flip.b}",
            item.decision.outcome,
            markup.plain(item.decision.author),
            markup.plain(item.decision.note),
        ]
        for i, item in enumerate(meeting.items)
        if item.decision is not None
    ]
    if not rows:
        st.caption("Nothing is decided yet.")
        return
    st.dataframe(
        {name: [row[i] for row in rows] for i, name in enumerate(("#", "dimension", "A → B", "decision", "by", "note"))},
        hide_index=True,
    )  # fmt: skip
