"""Charts of a judge's quality: reliability, and quality against cost. Plain data in, Plotly figures out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench import colours
from workbench.quality_cost import QualityCost
from workbench.reliability import Reliability
from workbench.resampling import Estimate

WIDE_RANGE = 20.0
"""Costs further apart than this factor are drawn on a logarithmic axis."""
GRID = "rgba(128,128,128,0.18)"
LINE = "rgba(128,128,128,0.75)"


def reliability(curves: Mapping[str, Reliability]) -> go.Figure:
    """Return stated confidence against the frequency of hits, one curve a name, with the pairs of each bin below.

    Args:
        curves: name -> reliability, the uncalibrated one first.
    """
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.78, 0.22], vertical_spacing=0.04)
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": LINE, "width": 1.2, "dash": "dot"},
        name="stated = observed", hoverinfo="skip", row=1, col=1,
    )  # fmt: skip
    for (name, curve), colour in zip(curves.items(), (colours.RUN_A, colours.RUN_B), strict=False):
        known = [(each, value) for each in curve.bins if (value := each.frequency.value) is not None]
        x = [each.confidence for each, _ in known]
        figure.add_scatter(
            x=x,
            y=[value for _, value in known],
            mode="lines+markers",
            name=name,
            line={"width": 1.6, "color": colour},
            marker={"size": 8, "color": colour},
            error_y=interval_bars([each.frequency for each, _ in known], colour),
            hovertext=[
                f"{plain_text(name)}<br>stated {each.confidence:.2f}, observed {said(each.frequency)}<br>"
                f"{each.n:,} pairs of {each.queries:,} queries"
                for each, _ in known
            ],
            hoverinfo="text",
            row=1,
            col=1,
        )
        figure.add_bar(
            x=x, y=[each.n for each, _ in known], width=0.012, marker={"color": colour}, opacity=0.75, showlegend=False,
            hovertext=[f"{plain_text(name)}: {each.n:,} pairs at {each.confidence:.2f}" for each, _ in known],
            hoverinfo="text", row=2, col=1,
        )  # fmt: skip
    figure.update_xaxes(range=[0, 1.02], dtick=0.2, gridcolor=GRID, zeroline=False)
    figure.update_xaxes(title="stated probability of its most probable level", row=2, col=1)
    figure.update_yaxes(
        title="share that is right", range=[-0.03, 1.05], dtick=0.2, gridcolor=GRID, zeroline=False, row=1, col=1
    )  # fmt: skip
    figure.update_yaxes(title="pairs", rangemode="tozero", nticks=3, gridcolor=GRID, row=2, col=1)
    figure.update_layout(barmode="overlay")
    return laid_out(figure, 470)


def quality_cost(rows: Sequence[QualityCost]) -> go.Figure:
    """Return agreement against cost for 1,000 pairs, with intervals and the line of the runs that no other beats.

    Args:
        rows: those with a known cost and a known kappa are drawn; the others are for a list beside.
    """
    known = [
        (row, cost, value)
        for row in rows
        if (cost := row.usd) is not None and (value := row.kappa.value) is not None
    ]
    paid = [cost for _, cost, _ in known if cost > 0]
    logarithmic = bool(paid) and max(paid) / min(paid) > WIDE_RANGE
    # A logarithmic axis has no 0: what is free stands left of the cheapest, under a mark of its own.
    free = min(paid) / 4 if logarithmic else 0.0
    figure = go.Figure()
    front = sorted({(cost or free, value) for row, cost, value in known if row.front})
    if len(front) > 1:
        far = max(
            cost for _, cost, _ in known
        )  # what the best run reaches holds for all that may be spent on more
        figure.add_scatter(
            x=[*(x for x, _ in front), far], y=[*(y for _, y in front), front[-1][1]], mode="lines", hoverinfo="skip",
            line={"color": LINE, "width": 1.4, "shape": "hv"}, name="not beaten by another",
        )  # fmt: skip
    names = sorted({row.run.judge.name for row, *_ in known})
    for name in names:
        mine = [(row, cost, value) for row, cost, value in known if row.run.judge.name == name]
        colour = colours.judge_colour(name, names)
        figure.add_scatter(
            x=[cost or free for _, cost, _ in mine],
            y=[value for *_, value in mine],
            mode="markers+text",
            name=plain_text(name),
            marker={
                "size": 11,
                "color": colour,
                "symbol": ["circle" if row.front else "circle-open" for row, *_ in mine],
            },
            text=[f"v{row.run.policy_version}" for row, *_ in mine],
            textposition="middle right",
            textfont={"size": 11},
            error_y=interval_bars([row.kappa for row, *_ in mine], colour),
            hovertext=[
                f"{plain_text(row.run.label)}<br>κ {said(row.kappa)}, n {row.n:,}<br>${cost:,.2f} for 1,000 pairs"
                + (f", {row.seconds:,.0f} s" if row.seconds is not None else "")
                for row, cost, _ in mine
            ],
            hoverinfo="text",
        )
    figure.update_xaxes(
        title="US dollars for 1,000 pairs" + (", logarithmic" if logarithmic else ""),
        gridcolor=GRID, zeroline=False,
        **(_decades(free, max(paid), any(cost == 0 for _, cost, _ in known)) if logarithmic else {"rangemode": "tozero"}),
    )  # fmt: skip
    ends = [end for row, *_ in known for end in interval_ends(row.kappa)]
    figure.update_yaxes(
        title="quadratic κ against the labels", range=[min(ends, default=0.0) - 0.05, max(ends, default=1.0) + 0.05],
        nticks=7, gridcolor=GRID, zeroline=False,
    )  # fmt: skip
    return laid_out(figure, 400)


def laid_out(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        height=height, margin={"l": 8, "r": 8, "t": 8, "b": 8}, font={"size": 13}, hovermode="closest",
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": None},
    )  # fmt: skip
    return figure


def _decades(free: float, most: float, with_free: bool) -> dict[str, Any]:
    """Return a logarithmic axis with a tick a decade, and one for 0 where something is free."""
    first = math.ceil(math.log10(free * 2))
    ticks = [10.0**power for power in range(first, math.ceil(math.log10(most)) + 1)]
    words = [f"${tick:g}" for tick in ticks]
    if with_free:
        ticks, words = [free, *ticks], ["$0", *words]
    edges = [math.log10(free if with_free else free * 3) - 0.15, math.log10(most) + 0.3]
    return {"type": "log", "tickvals": ticks, "ticktext": words, "range": edges}


def interval_bars(estimates: Sequence[Estimate], colour: str) -> dict[str, Any]:
    values = [0.0 if found.value is None else found.value for found in estimates]
    pairs = list(zip(estimates, values, strict=True))
    return {
        "type": "data",
        "symmetric": False,
        "array": [(e.high if e.high is not None else value) - value for e, value in pairs],
        "arrayminus": [value - (e.low if e.low is not None else value) for e, value in pairs],
        "thickness": 1.2,
        "width": 0,
        "color": colour,
    }


def interval_ends(found: Estimate) -> list[float]:
    return [end for end in (found.value, found.low, found.high) if end is not None]


def said(found: Estimate) -> str:
    interval = f" [{found.low:.2f}, {found.high:.2f}]" if found.low is not None else ""
    return f"{found.value:.2f}{interval}"


def plain_text(name: str) -> str:
    # Plotly reads some HTML in its texts.
    return name.replace("&", "&amp;").replace("<", "&lt;")
