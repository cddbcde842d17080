"""Charts of the board of models: quality against what it takes, and trainings laid over each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from workbench import colours
from workbench.model_rows import BoardRow, Kind
from workbench.quality_charts import GRID, LINE, interval_bars, interval_ends, laid_out, plain_text, said
from workbench.training_comparison import Comparison

_SYMBOLS: Mapping[Kind, str] = {"judge": "circle", "teacher": "diamond", "student": "square"}


@dataclass(frozen=True)
class Axis:
    """What quality is set against; ``unit`` gives a value in words, ``label`` what stands beside a mark.

    Where it is ``joined``, marks of one name under one policy version are points of one curve.
    """

    title: str
    value: Callable[[BoardRow], float | None]
    unit: Callable[[float], str]
    label: Callable[[BoardRow], str] = lambda row: f"v{row.policy_version}"
    joined: bool = False


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _size(value: float) -> str:
    if value >= 1000:
        return f"{_short(value / 1000)} GB"
    return f"{_short(value)} MB" if value >= 1 else f"{_short(value * 1000)} KB"


SIZE = Axis("size of the weights", lambda row: row.megabytes, _size)
SPEED = Axis("pairs a second", lambda row: row.pairs_per_s, _short)
TOKENS = Axis(
    "tokens a pair",
    lambda row: row.tokens,
    _short,
    label=lambda row: f"{_short(row.pairs_per_s)}/s" if row.pairs_per_s else "",
    joined=True,
)
COST = Axis("US dollars for 1,000 pairs", lambda row: row.usd, lambda value: f"${_short(value)}")


def drawn(rows: Sequence[BoardRow], axis: Axis) -> list[BoardRow]:
    """Return the rows that have both a κ and a place on an axis."""
    return [row for row in rows if row.kappa.value is not None and axis.value(row) is not None]


def quality_against(rows: Sequence[BoardRow], axis: Axis, names: Sequence[str]) -> go.Figure:
    """Return κ against size, speed, tokens or cost on a logarithmic axis, with intervals.

    Args:
        rows: those that :func:`drawn` returns are shown.
        axis: ``SIZE``, ``SPEED``, ``TOKENS`` or ``COST``.
        names: all names of the board, so that a model has one colour on all charts.
    """
    shown = drawn(rows, axis)
    placed = {row.id: axis.value(row) or 0.0 for row in shown}
    paid = [value for value in placed.values() if value > 0]
    # A logarithmic axis has no 0: what is free stands left of the cheapest, under a mark of its own.
    free = min(paid) / 4 if paid else 1.0
    figure = go.Figure()
    for name in dict.fromkeys(row.name for row in shown):
        mine = sorted(
            (row for row in shown if row.name == name), key=lambda row: (row.policy_version, placed[row.id])
        )
        colour = colours.judge_colour(name, names)
        if axis.joined:
            _join(figure, mine, placed, colour)
        figure.add_scatter(
            x=[placed[row.id] or free for row in mine],
            y=[row.kappa.value for row in mine],
            mode="markers+text",
            name=plain_text(name),
            marker={
                "size": 12,
                "color": colour,
                "symbol": [_SYMBOLS[row.kind] + ("-open" if row.stale else "") for row in mine],
                "line": {"width": 1.6, "color": colour},
            },
            text=[axis.label(row) for row in mine],
            textposition="middle right",
            textfont={"size": 11},
            error_y=interval_bars([row.kappa for row in mine], colour),
            hovertext=[_hover(row, axis, placed[row.id]) for row in mine],
            hoverinfo="text",
        )
    some_free = any(value == 0 for value in placed.values())
    figure.update_xaxes(title=f"{axis.title}, logarithmic", gridcolor=GRID, zeroline=False)
    if paid:
        figure.update_xaxes(**_log_axis(min(paid), max(paid), axis.unit, free if some_free else None))
    else:
        figure.update_xaxes(tickvals=[free], ticktext=["$0"], range=[free - 1, free + 1])
    ends = [end for row in shown for end in interval_ends(row.kappa)]
    figure.update_yaxes(
        title="quadratic κ", range=[min(ends, default=0.0) - 0.05, max(ends, default=1.0) + 0.05],
        nticks=7, gridcolor=GRID, zeroline=False,
    )  # fmt: skip
    return laid_out(figure, 360)


def overlaid(found: Comparison, figure_name: str, *, evaluated: bool) -> go.Figure:
    """Return one figure of several trainings over their steps, one line each.

    Args:
        found: the trainings.
        figure_name: such as ``loss``, or ``eval_loss`` or ``<dimension>.kappa`` of the evaluations.
        evaluated: whether it is of the evaluations.
    """
    figure = go.Figure()
    names = [one.name for one in found.trainings]
    for one in found.trainings:
        if evaluated:
            rows = [row for row in one.watched.evals if row.get(figure_name) is not None]
            x, y = [row["step"] for row in rows], [row[figure_name] for row in rows]
        else:
            series = one.watched.curves.get(figure_name)
            x, y = (list(series.steps), list(series.values)) if series else ([], [])
        figure.add_scatter(
            x=x, y=y, mode="lines+markers" if evaluated else "lines", name=plain_text(one.name),
            line={"width": 1.6, "color": colours.judge_colour(one.name, names)}, marker={"size": 6},
            hovertemplate=plain_text(one.name) + "<br>step %{x}: %{y:.3f}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="step", showgrid=False, zeroline=False, rangemode="tozero")
    figure.update_yaxes(title=plain_text(figure_title(figure_name)), gridcolor=GRID, zeroline=False, nticks=7)
    return laid_out(figure, 300)


def figure_title(name: str) -> str:
    """Return a figure of a training in words."""
    known = {"loss": "loss of a step", "eval_loss": "loss on validation queries", "@click.auc": "click AUC"}
    key, dot, figure = name.rpartition(".")
    return known.get(name) or (f"κ {key}" if dot and figure == "kappa" else name.replace("_", " "))


def _join(figure: go.Figure, rows: Sequence[BoardRow], placed: Mapping[str, float], colour: str) -> None:
    """Draw a thin line through the points of each policy version, below the marks."""
    for version in dict.fromkeys(row.policy_version for row in rows):
        points = [row for row in rows if row.policy_version == version]
        if len(points) > 1:
            figure.add_scatter(
                x=[placed[row.id] for row in points], y=[row.kappa.value for row in points], mode="lines",
                line={"width": 1, "color": colour}, showlegend=False, hoverinfo="skip",
            )  # fmt: skip


def _hover(row: BoardRow, axis: Axis, value: float) -> str:
    lines = [
        f"<b>{plain_text(row.name)}</b>, {row.kind} under v{row.policy_version}"
        + (f", {row.stage}" if row.stage else ""),
        f"κ {said(row.kappa)}, {row.pairs:,} pairs" if row.pairs else f"κ {said(row.kappa)}",
        f"{axis.title}: {axis.unit(value)}",
    ]
    if axis is COST:
        lines.append(plain_text(row.usd_source))
    if axis is TOKENS and row.pairs_per_s:
        lines.append(f"{SPEED.title}: {SPEED.unit(row.pairs_per_s)}")
    if axis in (SPEED, TOKENS) and row.machine:
        lines.append(plain_text(row.machine))
    return "<br>".join([*lines, *(plain_text(f"Stale: {reason}") for reason in row.stale[:2])])


def _log_axis(low: float, high: float, unit: Callable[[float], str], free: float | None) -> dict[str, Any]:
    """Return a logarithmic axis with ticks at 1, 2 and 5 of each decade, or at each decade where there are many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 2 else (1,)
    edges = (math.log10(low) - 0.25, math.log10(high) + 0.35)
    ticks = [step * 10.0**power for power in range(first - 1, last + 1) for step in steps]
    ticks = [tick for tick in ticks if edges[0] <= math.log10(tick) <= edges[1]]
    words = [unit(tick) for tick in ticks]
    if free is not None:
        ticks = [tick for tick in ticks if tick > free * 1.5]
        ticks, words = [free, *ticks], ["$0", *(unit(tick) for tick in ticks)]
        edges = (math.log10(free) - 0.2, edges[1])
    return {"type": "log", "tickvals": ticks, "ticktext": words, "range": list(edges), "linecolor": LINE}
