"""The board of models as a table, and quality against size, speed, cost and clicks as charts."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from workbench import frontier_charts, markup, model_charts, sweeps, widgets
from workbench.errors import WorkbenchError
from workbench.model_board import Board
from workbench.model_charts import Axis
from workbench.model_rows import BoardRow
from workbench.resampling import Estimate

_NO_BAR = {"displayModeBar": False}
_NUMBER = st.column_config.NumberColumn
COLUMNS = {
    "model": st.column_config.TextColumn(pinned=True),
    "policy": st.column_config.TextColumn(width=60, help="the version that it grades under"),
    "stage": st.column_config.TextColumn(width=95),
    "κ": _NUMBER(format="%.2f", help="quadratic, against the snapshot's labels"),
    "95 %": st.column_config.TextColumn(help="interval of κ, by the bootstrap over queries"),
    "learnt": _NUMBER(help="evaluated pairs whose query its own training learnt from: they flatter it"),
    "NDCG@10": _NUMBER(format="%.3f"),
    "click AUC": _NUMBER(format="%.3f"),
    "ECE": _NUMBER(format="%.3f", help="calibration error of its grades; 0 is best"),
    "parameters": _NUMBER(format="compact"),
    "MB": _NUMBER(format="%.3g"),
    "FLOP a pair": _NUMBER(format="compact"),
    "pairs/s": _NUMBER(format="%.3g"),
    "ms": _NUMBER(format="%.1f", help="one pair alone, the median"),
    "$ for 1,000": _NUMBER(format="%.3g", help="empty: unknown; open the row for the reason"),
    "κ loss": _NUMBER(format="%+.3f", help="against its teacher; above 0 is worse"),
    "stale": st.column_config.TextColumn(width=60, help="open the row for the reason"),
}


def table(found: Board) -> BoardRow | None:
    """Draw the board, and return the row that is open."""
    opened = widgets.open_row(
        frame(found.rows), [row.id for row in found.rows], "model", column_config=COLUMNS, placeholder="–",
        height=min(38 + 35 * len(found.rows), 460),
    )  # fmt: skip
    unmeasured = sum(row.kappa.value is None for row in found.rows)
    learnt = sum(bool(row.learnt) for row in found.rows)
    said = [
        f"On {found.ground.label}, {found.split} pairs, against its frozen labels." if found.ground else
        "No golden set of this policy has a snapshot yet: publish one on the Golden set page, and models can be measured.",
    ]  # fmt: skip
    if unmeasured:
        said.append(f"{markup.several(unmeasured, 'row')} without κ: open one for the reason and what to do.")
    if learnt:
        said.append("“learnt” counts pairs of queries that the model's training saw: there, κ flatters it.")
    if opened is None:
        said.append("Select a row to open a model: its figures, lineage, promotion, export.")
    st.caption(" ".join(said))
    return found.row(opened) if opened is not None else None


def frame(rows: Sequence[BoardRow]) -> pd.DataFrame:
    """Return rows as the table shows them; columns that say nothing of any row are left out."""
    columns = pd.DataFrame(
        {
            "model": [row.id if row.kind != "judge" else row.name for row in rows],
            "kind": [row.kind for row in rows],
            "policy": [f"v{row.policy_version}" for row in rows],
            "stage": [row.stage for row in rows],
            "stale": ["stale" if row.stale else None for row in rows],
            "κ": _floats([row.kappa.value for row in rows]),
            "95 %": [_interval(row.kappa) for row in rows],
            "learnt": pd.array([row.learnt or None for row in rows], dtype="Int64"),
            "NDCG@10": _floats([_value(row.ndcg) for row in rows]),
            "click AUC": _floats([_value(row.click_auc) for row in rows]),
            "ECE": _floats([_value(row.calibration) for row in rows]),
            "κ loss": _floats([row.loss for row in rows]),
            "parameters": pd.array([row.parameters for row in rows], dtype="Int64"),
            "MB": _floats([row.megabytes for row in rows]),
            "FLOP a pair": _floats([row.compute for row in rows]),
            "pairs/s": _floats([row.pairs_per_s for row in rows]),
            "ms": _floats([row.latency_ms for row in rows]),
            "$ for 1,000": _floats([row.usd for row in rows]),
        }
    )
    kept = ["model", "kind", "policy", "κ"]
    return columns[[name for name in columns if name in kept or columns[name].notna().any()]]


def tradeoffs(found: Board) -> None:
    """Draw κ against size, speed, length of input and cost, and against clicks where there are any."""
    left, right = st.columns(2, gap="large")
    with left:
        against(found, model_charts.SIZE, "Size", "A judge behind an API does not tell its size.")
    with right:
        against(found, model_charts.SPEED, "Speed", "Evaluate a checkpoint without --no-speed to measure it.")
    left, right = st.columns(2, gap="large")
    with left:
        against(
            found, model_charts.TOKENS, "Tokens",
            "Only evaluated checkpoints are; beside a mark stand its pairs a second. A sweep over max_tokens or "
            "field_tokens draws a curve.",
        )  # fmt: skip
    with right:
        against(
            found, model_charts.COST, "Cost",
            "A run of a judge tells its cost; a recipe's resources.usd_per_hour that of a model of ours.",
        )  # fmt: skip
    left, right = st.columns(2, gap="large")
    with left:
        clicks(found)
    st.caption(
        "Circles are judges, diamonds teachers, squares students; open marks are stale. Bars are 95 % intervals: where they "
        "overlap, the order is not sure. Labels say the policy version. Speed and cost were measured on different machines."
    )


def against(found: Board, axis: Axis, title: str, remedy: str) -> None:
    """Draw one chart, or say why there is none."""
    widgets.section(f"κ against {title.lower()}")
    shown = model_charts.drawn(found.rows, axis)
    if not shown:
        widgets.empty(f"No model has both κ and a known {title.lower()}.", remedy)
        return
    st.plotly_chart(
        model_charts.quality_against(found.rows, axis, found.names), key=f"against_{title}", config=_NO_BAR
    )
    missing = len(found.rows) - len(shown)
    if missing:
        st.caption(f"{markup.several(missing, 'model')} not drawn. {remedy}")


def clicks(found: Board) -> None:
    """Draw agreement with the policy against agreement with clicks."""
    widgets.section("κ against click AUC")
    measured = [row.id for row in found.rows if row.click_auc is not None and row.click_auc.value is not None]
    if not measured:
        widgets.empty(
            "No model was evaluated on clicks here.",
            "Import a click log, then run `workbench evaluate CHECKPOINT --clicks LOG`.",
        )
        return
    try:
        placed = sweeps.frontier(widgets.workspace(), measured, split=found.split)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    st.plotly_chart(
        frontier_charts.frontier(placed.placed, policy="κ overall"), key="frontier", config=_NO_BAR
    )
    st.caption(f"Measured on {placed.measured_on}.")


def _floats(values: Sequence[float | None]) -> pd.Series:
    return pd.Series(values, dtype="float64")


def _value(found: Estimate | None) -> float | None:
    return found.value if found is not None else None


def _interval(found: Estimate) -> str | None:
    return f"{found.low:.2f} – {found.high:.2f}" if found.low is not None else None
