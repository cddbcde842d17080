"""Models: the board of judges, teachers and students, what their quality costs, one of them opened, trainings compared."""

from __future__ import annotations

import streamlit as st

from workbench import (
    markup,
    model_board,
    model_panels,
    model_view,
    training_comparison_panel,
    widgets,
)
from workbench.model_board import Board
from workbench.policy import OVERALL

VIEWS = {"board": "Board", "tradeoffs": "Quality against …", "trainings": "Compare trainings"}


def page() -> None:
    """Draw the page from top to bottom."""
    widgets.follow()
    widgets.header(
        "Models",
        "What each judge, teacher and student of a policy is worth, what it takes, and which one is in use.",
    )
    widgets.flash()
    if not widgets.has_policy():
        return
    left, right = st.columns([2, 5], vertical_alignment="bottom")
    with left:
        policy = widgets.choose_policy()
    if policy is None:
        return
    with right:
        view = widgets.pick(
            st.segmented_control, "View", list(VIEWS), key="view", format_func=VIEWS.get, label_visibility="collapsed"
        )  # fmt: skip
    if view == "trainings":
        training_comparison_panel.draw(policy)
        return
    found = chosen_board(policy)
    if not found.rows:
        widgets.empty(
            f"There is no model of {policy} yet.",
            "Start a judge on the Runs page, or train a teacher or a student on the Train page; both then stand here.",
        )
    elif view == "tradeoffs":
        model_panels.tradeoffs(found)
    else:
        opened = model_panels.table(found)
        if opened is not None:
            model_view.draw(found, opened)


def chosen_board(policy: str) -> Board:
    """Draw what the board is measured on, bound to the URL, and return the board."""
    space = widgets.workspace()
    grounds = model_board.grounds(space, policy)
    newest = space.store.policy(policy)
    titles = markup.titles(newest)
    pairs, split, dimension = st.columns([2, 2, 3], vertical_alignment="bottom")
    ground = ""
    if grounds:
        with pairs:
            ground = widgets.pick(
                st.selectbox, "Measured on", [each.label for each in grounds], key="ground",
                help="The golden snapshot whose frozen labels all figures are against.",
            )  # fmt: skip
    with split:
        chosen = widgets.pick(
            st.segmented_control, "Pairs", ["dev", "holdout"], key="split",
            help="Models may learn from dev labels. Every look at the holdout is written down.",
        )  # fmt: skip
    with dimension:
        key = widgets.pick(
            st.selectbox, "Agreement in", [OVERALL, *newest.keys], key="dimension",
            format_func=lambda one: titles[one],
        )  # fmt: skip
    found = model_board.board(space, policy, ground=ground, split=chosen, dimension=key)
    if found.split == "holdout" and found.ground is not None:
        look(found)
    return found


def look(found: Board) -> None:
    """Write down a look at the holdout once a visit, and say how much was looked at so far."""
    space = widgets.workspace()
    seen = st.session_state.setdefault("_models_looked", set())
    mark = found.policy, found.ground.label
    if mark not in seen:
        seen.add(mark)
        model_board.record_board_looks(space, found, widgets.who(), "Models")
    looks = space.store.looks(found.ground.golden)
    people = markup.several(looks["who"].nunique(), "person", "people")
    st.warning(
        f"You are looking at the holdout of {markup.plain(found.ground.golden)}. Runs and models looked at so far: "
        f"{len(looks):,}, by {people}. The more often it is looked at, the less its figures mean.",
        icon=":material/visibility:",
    )


page()
