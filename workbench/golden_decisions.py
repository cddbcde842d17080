"""The decisions about a golden set's disagreements so far: how many of each kind, what each led to, taking one back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from workbench import job_cards, markup, suspects, widgets
from workbench.golden import NOT_APPLICABLE
from workbench.policy import Policy
from workbench.store.decisions import Decision
from workbench.suggestion import Finding

SHOWN = 200
"""Decisions in the list."""
OUTCOMES: tuple[Finding, ...] = ("label wrong", "judge wrong", "policy ambiguous")


def grade_name(grade: int) -> str:
    """Return a level or NOT_APPLICABLE as a word."""
    return "N/A" if grade == NOT_APPLICABLE else str(grade)


def draw(golden: str, policy: Policy) -> None:
    """Draw how much was decided, and the decisions that hold, each of which can be taken back."""
    found = [one for one in widgets.workspace().store.decisions(golden) if one.outcome != "open"]
    if not found:
        return
    counts = Counter(one.outcome for one in found)
    told = " · ".join(f"{counts[outcome]:,} {outcome}" for outcome in OUTCOMES if counts[outcome])
    with st.expander(f"Decisions: {told}", key="suspect_decisions", on_change="rerun") as box:
        if box.open:
            _decided(found[:SHOWN], policy)
            if len(found) > SHOWN:
                st.caption(f"The newest {SHOWN} of {len(found):,}.")


def _decided(found: Sequence[Decision], policy: Policy) -> None:
    titles = markup.titles(policy)
    view = pd.DataFrame(
        {
            "decided": [one.outcome for one in found],
            "dimension": [titles.get(one.dimension, one.dimension) for one in found],
            "label": [grade_name(one.details["label"]) if "label" in one.details else "" for one in found],
            "judges say": [
                grade_name(one.details["answer"]) if "answer" in one.details else "" for one in found
            ],
            "note": [one.note for one in found],
            "by": [one.author for one in found],
            "when": [job_cards.ago(one.at) for one in found],
            "led to": [_led_to(one) for one in found],
        }
    )
    ids = [one.id for one in found]
    if st.query_params.get("decision") not in ids:
        st.query_params.pop("decision", None)
    opened = widgets.open_row(view, ids, "decision", height=38 + 35 * min(len(view), 8))
    if opened is None:
        st.caption("Select a decision to take it back.")
        return
    one = found[ids.index(opened)]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Take it back", key="suspect_take_back", icon=":material/undo:", on_click=_take_back, args=(one,)
        )
        stays = {
            "grade": "The adjudicated label stays until it is withdrawn on the Adjudicate tab.",
            "comment": "Its comment is marked as resolved.",
        }
        st.caption(next((text for key, text in stays.items() if key in one.details), "It waits again then."))


def _led_to(decision: Decision) -> str:
    details = decision.details
    if "grade" in details:
        return f"label {grade_name(details['grade'])}"
    if "comment" in details:
        return f"comment on {details['item'] or details['section']}"
    return {"judge wrong": "evidence", "label wrong": "adjudication"}.get(decision.outcome, "")


def _take_back(decision: Decision) -> None:
    done = widgets.attempt(suspects.take_back, widgets.workspace(), decision, author=widgets.who())
    if done is not None:
        st.query_params.pop("decision", None)
        widgets.say("success", "Taken back.")
