"""Runs: start a judge, follow it, open what it did."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from workbench import job_cards, judgement_import_panel, markup, run_form, run_view, trace_panel, widgets
from workbench.run import Run

COLUMNS = {
    "when": st.column_config.DatetimeColumn("when (UTC)", format="D MMM HH:mm"),
    "pairs": st.column_config.NumberColumn(width="small"),
    "failed": st.column_config.NumberColumn(width="small", help="judgements without an answer"),
    "cost": st.column_config.TextColumn(help="– : nothing is paid; unknown: the model has no known price"),
}


def page() -> None:
    """Draw the page from top to bottom."""
    widgets.header("Runs", "One run is one judge grading one golden set under one policy version.")
    widgets.flash()
    space = widgets.workspace()
    if not widgets.has_policy() or not widgets.has_golden():
        return
    runs = space.store.runs()
    opened = st.query_params.get("run")
    pair, found = st.query_params.get("pair"), next((run for run in runs if run.id == opened), None)
    if pair and found is not None:
        trace_panel.draw(found, pair)
        return
    with st.expander("Start a run", expanded=not opened, icon=":material/play_circle:"):
        run_form.start_form()
    with st.expander(
        "Bring judgements made elsewhere",
        icon=":material/upload_file:",
        key="import_judgements",
        on_change="rerun",
    ) as bring:
        if bring.open:
            judgement_import_panel.draw()
    if job_cards.under_way():
        st.caption("Closing this page changes nothing: jobs run by themselves.")
    st.subheader(f"All runs ({len(runs)})" if runs else "All runs")
    if not runs:
        widgets.empty("No runs yet.", "Start the baseline above: it needs no key and takes about a minute.")
        return
    run_id = widgets.open_row(
        run_table(runs),
        [run.id for run in runs],
        "run",
        column_config=COLUMNS,
    )
    if run_id is None:
        st.caption("Select a row to open the run: its agreement, failed judgements, log.")
    else:
        run_view.draw(next(run for run in runs if run.id == run_id))


def run_table(runs: list[Run]) -> pd.DataFrame:
    """Return the runs as the table shows them."""
    return pd.DataFrame(
        {
            "judge": [run.judge.name for run in runs],
            "policy": [f"{run.policy} v{run.policy_version}" for run in runs],
            "golden set": [f"{run.golden} v{run.golden_version}" for run in runs],
            "status": [job_cards.status_name(run.status) for run in runs],
            "pairs": [run.totals.pairs for run in runs],
            "failed": [run.totals.failed for run in runs],
            "calls / cached": [calls(run) for run in runs],
            "tokens in / out": [tokens(run) for run in runs],
            "cost": [cost(run) for run in runs],
            "time": [job_cards.duration(run.totals.seconds) if run.totals.seconds else "–" for run in runs],
            "who": [run.author for run in runs],
            "when": [run.created_at for run in runs],
        }
    )


def calls(run: Run) -> str:
    """Return calls and pairs known from the verdict cache; a judge that asks nobody has none."""
    asks = run.judge.kind == "llm" or run.totals.calls or run.totals.cache_hits
    return f"{run.totals.calls:,} / {run.totals.cache_hits:,}" if asks else "–"


def tokens(run: Run) -> str:
    """Return tokens sent and answered, in thousands."""
    used = run.totals
    if not used.calls:
        return "–"
    return f"{used.input_tokens / 1000:,.0f}k / {used.output_tokens / 1000:,.0f}k"


def cost(run: Run) -> str:
    """Return what a run cost; a judge of our own has no price."""
    if run.judge.kind in ("baseline", "checkpoint") or not run.totals.judgements:
        return "–"
    return markup.money(run.totals.cost_usd)


page()
