"""The form that simulates a click log from a golden set's dev grades."""

from __future__ import annotations

import streamlit as st

from workbench import click_logs, markup, widgets
from workbench.click_simulation import Simulation, power_law
from workbench.policy import OVERALL
from workbench.yamltext import validate

MOST_SESSIONS = 200_000
"""Sessions that a page waits for; the command line takes any number."""


def draw() -> None:
    """Draw the settings; everything that comes of them is marked simulated."""
    if not widgets.has_golden():
        return
    store = widgets.workspace().store
    st.caption(
        "A position-based reader: position k is looked at with probability (1/k)^exponent, and what is looked at is "
        "clicked by its grade. Only dev pairs are used. The log is marked *simulated* in the file, on its card and in "
        "every estimate."
    )
    golden = st.selectbox("Golden set", store.golden_names(), key="sim_golden", width=320)
    policy = store.policy(store.policy_of(golden))
    with st.form("simulate", border=False):
        first, second, third = st.columns(3)
        with first:
            st.text_input("Name of the log", key="sim_name", placeholder="sim-1", max_chars=80)
            st.selectbox("Grades of", [OVERALL, *policy.keys], key="sim_dimension")
        with second:
            st.number_input("Sessions", 1, MOST_SESSIONS, 10_000, 1_000, key="sim_sessions")
            st.number_input("Documents shown in a session", 1, 100, 10, 1, key="sim_positions")
            st.number_input("Seed", 0, 2**31, 0, 1, key="sim_seed")
        with third:
            st.number_input("Exponent", 0.0, 10.0, 1.0, 0.1, key="sim_exponent")
            st.number_input(
                "Ranker noise", 0.0, 10.0, 0.5, 0.1, key="sim_noise",
                help="Standard deviation of the ranker's noise on relevance, which is 0 to 1.",
            )  # fmt: skip
            st.toggle("Draw the order at random instead", key="sim_random", help="A randomised reference.")
        st.form_submit_button(
            "Simulate", type="primary", icon=":material/science:", on_click=simulate, key="sim_button"
        )


def simulate() -> None:
    """Simulate the log of the form, and open it."""
    state = st.session_state
    settings = {
        "sessions": state["sim_sessions"],
        "examination": power_law(state["sim_positions"], state["sim_exponent"]),
        "ranker_noise": None if state["sim_random"] else state["sim_noise"],
        "seed": state["sim_seed"],
    }
    card = widgets.attempt(
        lambda: click_logs.simulate_clicks(
            widgets.workspace(),
            state["sim_name"].strip(),
            validate(Simulation, settings, "The simulation"),
            author=widgets.who(),
            golden=state["sim_golden"],
            dimension=state["sim_dimension"],
        )
    )
    if card is not None:
        st.query_params["log"] = card.name
        widgets.say(
            "success",
            f"Simulated {card.summary.rows:,} impressions as {markup.plain(card.name)}, marked simulated.",
        )
