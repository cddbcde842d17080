"""The Click logs section of the Data page: the logs there are, what one says of position bias, and how to get one."""

from __future__ import annotations

import html
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from workbench import click_logs, data_charts, data_click_import, data_click_simulate, markup, widgets
from workbench.click_bias import Method, PositionBias
from workbench.click_log_files import RowProblem
from workbench.click_logs import ClickCard

MOST_ROWS = 100_000
"""Impressions up to which an estimate is made while the page waits: five resamples over a million different cells took
3.6 s on a busy two-core machine, so 200 of them over a tenth of that about 15 s."""
RESAMPLES = 200
SHOWN_POSITIONS = 20
_QUIET = {"displayModeBar": False}
_COLUMNS = {
    name: st.column_config.NumberColumn(format="localized")
    for name in ("impressions", "queries", "positions", "clicks")
} | {
    "clicks an impression": st.column_config.NumberColumn(format="percent"),
    "kept": st.column_config.DatetimeColumn("kept (UTC)", format="D MMM YYYY HH:mm"),
}
_METHODS: dict[Method, str] = {
    "em": "regression EM",
    "random": "click rates of a random order",
    "propensity": "given propensities",
}


def draw() -> None:
    """Draw the table, the open log, and the ways to add one."""
    cards = click_logs.click_logs(widgets.workspace())
    if not cards:
        widgets.empty(
            "No click log yet.",
            "Import impressions below, simulate some, or run `workbench clicks import FILE --name NAME`.",
        )
    else:
        chosen = widgets.open_row(table(cards), [card.name for card in cards], "log", column_config=_COLUMNS)
        if chosen is None:
            st.caption(
                "Select a row to open a log: its clicks by position, and how much each position is looked at."
            )
        else:
            opened(next(card for card in cards if card.name == chosen))
    with st.expander("Import impressions", icon=":material/upload:", expanded=not cards):
        data_click_import.draw()
    with st.expander("Simulate a log", icon=":material/science:"):
        data_click_simulate.draw()


def table(cards: Sequence[ClickCard]) -> pd.DataFrame:
    """Return logs as the table shows them, newest first."""
    return pd.DataFrame(
        {
            "log": [card.name for card in cards],
            "impressions": [card.summary.rows for card in cards],
            "queries": [card.summary.queries for card in cards],
            "positions": [len(card.summary.positions) for card in cards],
            "clicks": [card.summary.clicks for card in cards],
            "clicks an impression": [card.summary.clicks / max(card.summary.rows, 1) for card in cards],
            "mark": ["simulated" if card.simulated else "" for card in cards],
            "source": [source(card) for card in cards],
            "kept": [card.imported_at for card in cards],
            "by": [card.imported_by for card in cards],
        }
    )


def source(card: ClickCard) -> str:
    """Return where a log comes from."""
    if card.simulation is None:
        return card.source
    return card.simulation.file or f"golden set {card.simulation.golden}, {card.simulation.dimension}"


def opened(card: ClickCard) -> None:
    """Draw one log."""
    widgets.section(card.name, ["simulated"] if card.simulated else [])
    if card.simulated:
        st.caption(
            "Simulated: a program drew these clicks from known relevances. They say nothing about people."
        )
    left, right = st.columns([2, 3], gap="large")
    left.html(markup.facts("log", facts(card)))
    with right:
        st.html('<div class="wb-eyebrow">clicks an impression, by position</div>')
        st.plotly_chart(
            data_charts.click_rates(card.summary.positions), key=f"rates_{card.name}", config=_QUIET
        )
    if card.problems:
        st.html('<div class="wb-eyebrow">rows left out</div>')
        st.html(problem_table(card.problems))
    bias(card)


def facts(card: ClickCard) -> dict[str, str]:
    """Return what is known of a log, in words."""
    summary = card.summary
    found = {
        "from": source(card),
        "kept": f"{card.imported_at:%d %b %Y %H:%M} UTC by {card.imported_by}",
        "content": card.content_hash.rpartition("-")[2][:8],
        "impressions": f"{summary.rows:,}"
        + (f" of {card.rows_read:,} rows read" if card.rows_read != summary.rows else ""),
        "clicks": f"{summary.clicks:,} ({summary.clicks / max(summary.rows, 1):.2%} of impressions)",
        "queries": f"{summary.queries:,}",
        "documents": f"{summary.documents:,}",
        "sessions": f"{summary.sessions:,}" if summary.sessions is not None else "– (no column tells them)",
        "repeated rows": f"{summary.duplicates:,}"
        if summary.duplicates is not None
        else "– (neither time nor session)",
    }
    if summary.first and summary.last:
        found["time"] = f"{summary.first:%d %b %Y %H:%M} to {summary.last:%d %b %Y %H:%M} UTC"
    if card.propensity_is:
        found["propensities"] = {
            "examination": "of looking at the position",
            "display": "of showing this document there",
        }[card.propensity_is]
    if card.simulation:
        made = card.simulation.settings
        noise = (
            "order drawn at random" if made.ranker_noise is None else f"ranker noise {made.ranker_noise:g}"
        )
        found["simulation"] = (
            f"{made.sessions:,} sessions of {len(made.examination)} positions, {noise}, seed {made.seed}"
        )
    return found


def problem_table(problems: Sequence[RowProblem]) -> str:
    """Return what is wrong with rows, how many there are of each kind and which come first, as a table."""
    rows = [
        [
            html.escape(one.kind),
            f"{one.count:,}",
            ", ".join(map(str, one.first_rows)) + (" …" if one.count > len(one.first_rows) else ""),
        ]
        for one in problems
    ]
    return markup.table(["what is wrong", "rows", "first rows"], rows, numeric=[1])


def bias(card: ClickCard) -> None:
    """Draw the examination curves that are kept with the log, and the form that estimates one."""
    st.html('<div class="wb-eyebrow">how much each position is looked at</div>')
    if card.bias:
        truth = card.simulation.settings.examination if card.simulation else ()
        st.plotly_chart(data_charts.examination(card.bias, truth), key=f"bias_{card.name}", config=_QUIET)
        for found in card.bias.values():
            said(found)
    else:
        st.caption("Not estimated yet. Lower positions get fewer clicks because fewer people look there; a click "
                   "teacher has to know by how much.")  # fmt: skip
    estimate_form(card)


def said(found: PositionBias) -> None:
    """Say how a curve was found, where it has no value, and what weakens it."""
    how = _METHODS[found.method]
    intervals = (
        f", intervals from {found.resamples:,} bootstrap samples of {found.resampled}"
        if found.resamples
        else ""
    )
    steps = f", {found.iterations:,} iterations" if found.iterations is not None else ""
    st.caption(f"By {how}{steps}{intervals}{'; simulated' if found.simulated else ''}.")
    for problem in found.problems:
        st.caption(f"Note: {markup.plain(problem)}")
    unknown = [point for point in found.points if point.examination is None]
    if unknown:
        st.caption(
            f"{markup.several(len(unknown), 'position')} without a value. {markup.plain(unknown[0].reason)}"
        )


def estimate_form(card: ClickCard) -> None:
    """Draw the choice of a method and the button; for a large log, the command that does it."""
    methods: list[Method] = ["em", "random", *(["propensity"] if card.propensity_is else [])]  # type: ignore[list-item]
    if card.summary.rows > MOST_ROWS:
        st.caption(
            f"Estimating over more than {MOST_ROWS:,} impressions takes longer than a page should wait. "
            "Run this; the curve then appears here:"
        )
        st.code(f"workbench clicks bias {card.name} --method em", language="bash")
        return
    with (
        st.form(f"bias_form_{card.name}", border=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        st.selectbox("Method", methods, format_func=_METHODS.__getitem__, key="bias_method", width=320)
        st.form_submit_button(
            "Estimate", icon=":material/visibility:", on_click=estimate, args=(card.name,), key="bias_button"
        )


def estimate(name: str) -> None:
    """Estimate the log's curve by the method of the form, and keep it."""
    method: Method = st.session_state["bias_method"]
    done = widgets.attempt(
        click_logs.estimate_bias, widgets.workspace(), name, method, author=widgets.who(), resamples=RESAMPLES
    )
    if done is not None:
        widgets.say("success", f"Estimated by {_METHODS[method]} and kept with the log.")
