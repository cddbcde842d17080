"""The curves of a training: plain data in, Plotly figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from workbench import charts, colours
from workbench.training_watch import Series

HEIGHT = 280
EVALUATIONS, MARKED = 120, 30
"""Evaluations that a chart shows, and up to which each has a mark."""
LEGIBLE = 60
"""Points from which curves that share a chart are smoothed, so that one can be told from another."""
GRID = "rgba(128,128,128,0.18)"
_MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8}


def loss_curve(curve: Series | None, evals: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Return the training loss, thin, with its running mean, and the loss on the validation queries."""
    rows = [] if curve is None else list(zip(curve.steps, curve.values, strict=True))
    steps = [{"step": step, "loss": value} for step, value in rows]
    # The validation rows carry the step that they follow.
    known = [row for row in evals if row.get("eval_loss") is not None]
    return _framed(_plain(charts.learning_curves([*steps, *_some(known)]), known))


def quality(evals: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> go.Figure:
    """Return κ of each dimension on the validation queries by epoch, and the click head's AUC."""
    figure = charts.eval_kappas(_some(evals), titles)
    clicks = [row for row in _some(evals) if row.get("@click.auc") is not None]
    if clicks:
        figure.add_scatter(
            x=[row["epoch"] for row in clicks], y=[row["@click.auc"] for row in clicks], mode="lines+markers",
            name="AUC of clicks", line={"width": 1.6, "dash": "dot", "color": "#5a6b85"}, marker={"size": 6},
            hovertemplate="AUC of clicks: %{y:.3f}<extra></extra>",
        )  # fmt: skip
        figure.update_yaxes(title="κ, and AUC of clicks")
    return _framed(_plain(figure, evals))


def _some(evals: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the evaluations, at most ``EVALUATIONS`` at equal distances, the newest among them."""
    apart = -(-len(evals) // EVALUATIONS) or 1
    return list(evals[::-1][::apart][::-1])


def _plain(figure: go.Figure, evals: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Leave out the marks of evaluations where there are too many to tell one from another."""
    if len(evals) > MARKED:
        figure.update_traces(mode="lines")
        figure.update_xaxes(dtick=None)
    return figure


def lines(curves: Mapping[str, Series], title: str, paint: Mapping[str, str] | None = None) -> go.Figure:
    """Return curves over the steps, by name.

    Args:
        curves: name as the legend shows it -> its points.
        title: of the vertical axis.
        paint: name -> colour, for names that have one on other charts.
    """
    figure = go.Figure()
    smooth = len(curves) > 1 and max(len(curve.steps) for curve in curves.values()) > LEGIBLE
    for name, curve in curves.items():
        values = charts.smoothed(curve.values) if smooth else curve.values
        figure.add_scatter(
            x=curve.steps, y=values, mode="lines", name=name, showlegend=len(curves) > 1,
            line={"width": 1.4, "color": (paint or {}).get(name) or colours.judge_colour(name, list(curves))},
            hovertemplate=f"{name}, step %{{x}}: %{{y:.4g}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="step", showgrid=False)
    figure.update_yaxes(
        title=f"{title}, smoothed" if smooth else title,
        gridcolor=GRID,
        rangemode="tozero",
        exponentformat="e",
    )
    return _framed(figure)


def _framed(figure: go.Figure) -> go.Figure:
    figure.update_layout(
        height=HEIGHT,
        margin=_MARGIN,
        font={"size": 13},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": None},
        uirevision="kept",  # a zoom outlives the next drawing
    )
    return figure
