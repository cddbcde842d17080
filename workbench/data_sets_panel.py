"""The Data sets section of the Data page: what is made, what is under way, and the one that is open."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from workbench import data_view, dataset_view, datasets, job_cards, markup, widgets
from workbench.datasets import Dataset

COLUMNS = {
    "made": st.column_config.DatetimeColumn("made (UTC)", format="D MMM YYYY HH:mm"),
    "weakest κ": st.column_config.TextColumn(
        "weakest κ on probes",
        help="Quadratic κ of the judge with people on the embedded probes, with its 95 % interval, on the dimension "
        "where it is lowest. Open the row for all dimensions.",
        width="medium",
    ),
    "rows": st.column_config.NumberColumn(format="localized"),
    "probes": st.column_config.NumberColumn(format="localized"),
    "synthetic": st.column_config.NumberColumn(format="localized", help="Rows that a language model wrote."),
}


def draw() -> None:
    """Draw the table, jobs under way, and the open data set."""
    space = widgets.workspace()
    job_cards.under_way("dataset")
    found = datasets.datasets(space)
    if not found:
        widgets.empty(
            "No data set yet.",
            "Make one in the next tab, or run `workbench data make RECIPE.yaml`.",
        )
        return
    chosen = widgets.open_row(table(found), [one.card.id for one in found], "dataset", column_config=COLUMNS)
    if chosen is None:
        st.caption("Select a row to open a data set: where it comes from, how good its labels are, its rows.")
        return
    data_view.draw(next(one for one in found if one.card.id == chosen))


def table(found: Sequence[Dataset]) -> pd.DataFrame:
    """Return data sets as the table shows them, newest first."""
    cards = [one.card for one in found]
    return pd.DataFrame(
        {
            "data set": [card.id for card in cards],
            "policy": [f"{card.policy} v{card.policy_version}" for card in cards],
            "judge": [card.judge.name for card in cards],
            "rows": [card.counts.rows for card in cards],
            "probes": [card.counts.probes for card in cards],
            "weakest κ": [weakest_kappa(one) for one in found],
            "synthetic": [card.counts.synthetic for card in cards],
            "mark": ["simulated" if card.simulated else "" for card in cards],
            "made": [card.made_at for card in cards],
            "by": [card.author or "–" for card in cards],
        }
    )


def weakest_kappa(found: Dataset) -> str:
    """Return the dimension with the lowest κ on the probes, with its interval; a dash where none is known."""
    one = dataset_view.weakest(found.card)
    if one is None:
        return "–"
    kappa = one.kappa_quadratic
    interval = (
        f" [{markup.number(kappa.low)}, {markup.number(kappa.high)}]"
        if kappa.low is not None and kappa.high is not None
        else ""
    )
    return f"{one.dimension} {markup.number(kappa.value)}{interval}"
