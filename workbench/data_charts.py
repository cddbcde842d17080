"""Charts of data sets and click logs: plain data in, Plotly figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench import colours
from workbench.click_bias import Method, PositionBias
from workbench.click_log_summary import PositionRow
from workbench.dataset import DimensionQuality
from workbench.resampling import Estimate

_GRID = "rgba(128,128,128,0.18)"
_GREY = "rgba(128,128,128,0.30)"
_FAINT = "rgba(128,128,128,0.14)"
_ACROSS = 4  # dimensions beside each other
_METHODS: dict[Method, tuple[str, str]] = {
    "em": ("regression EM", "#2f6f8f"),
    "random": ("click rates of a random order", "#5b7f3a"),
    "propensity": ("given propensities", "#7a5ea8"),
}
TRUTH = "true examination"


def _quiet(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        font={"size": 13},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="closest",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": None},
    )
    return figure


def level_shares(quality: Sequence[DimensionQuality], titles: Mapping[str, str]) -> go.Figure:
    """Return one stacked bar a dimension: the share of the rows that the judge put on each level."""
    found = list(quality)[::-1]
    figure = go.Figure()
    names = [titles.get(one.dimension, one.dimension) for one in found]
    totals = [max(sum(one.graded) + one.not_applicable + one.failed, 1) for one in found]
    levels = sorted({level for one in found for level in one.levels})
    ramp = colours.level_colours(levels) if levels else {}
    series = [
        (
            f"level {level}",
            ramp[level],
            [dict(zip(one.levels, one.graded, strict=True)).get(level, 0) for one in found],
        )
        for level in levels
    ]
    series += [
        ("N/A", _GREY, [one.not_applicable for one in found]),
        ("failed", _FAINT, [one.failed for one in found]),
    ]
    for name, colour, counts in series:
        if not any(counts) and not name.startswith("level"):
            continue
        figure.add_bar(
            y=names,
            x=[count / total for count, total in zip(counts, totals, strict=True)],
            customdata=counts,
            orientation="h",
            name=name.removeprefix("level "),
            marker={"color": colour, "line": {"width": 1, "color": "rgba(255,255,255,0.6)"}},
            text=[f"{count:,}" if count / total > 0.035 else "" for count, total in zip(counts, totals, strict=True)],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"size": 11} | ({"color": colours.ink_on(colour)} if colour.startswith("#") else {}),
            hovertemplate="%{y}, " + name + ": %{customdata:,} rows, %{x:.1%}<extra></extra>",
        )  # fmt: skip
    _quiet(figure, 70 + 34 * len(found))
    figure.update_layout(
        barmode="stack", bargap=0.3, legend={"traceorder": "normal", "entrywidth": 34, "font": {"size": 12}}
    )
    figure.update_xaxes(tickformat=".0%", range=[0, 1], showgrid=False, title="rows by the judge's grade")
    figure.update_yaxes(showgrid=False)
    return figure


def uncorrected(quality: Sequence[DimensionQuality]) -> str:
    """Return why no rate could be corrected by the probes, "" where at least one was."""
    rates = [rate.corrected for one in quality for rate in one.rates if rate.corrected.value is not None]
    if any(rate.low is not None for rate in rates):
        return ""
    return next((rate.reason for rate in rates if rate.reason), "")


def level_rates(quality: Sequence[DimensionQuality], titles: Mapping[str, str]) -> go.Figure:
    """Return how often each level holds in the pool: by the judge (ring) and corrected by the probes, with interval.

    One small chart a dimension; the corrected rate has the level's colour. Without an interval (too few labelled
    queries) nothing is corrected: what is drawn is the share of people's labels, and is called so.
    """
    found = [one for one in quality if one.rates]
    by_people = "corrected by the probes" if not uncorrected(quality) else "people's labels of the probes"
    across = min(_ACROSS, max(len(found), 1))
    down = max(ceil(len(found) / across), 1)
    figure = make_subplots(
        rows=down,
        cols=across,
        shared_yaxes=True,
        subplot_titles=[titles.get(one.dimension, one.dimension) for one in found],
        horizontal_spacing=0.03,
        vertical_spacing=0.28 / down,
    )
    for i, one in enumerate(found):
        place = {"row": i // across + 1, "col": i % across + 1}
        ramp = colours.level_colours(one.levels)
        rates = [rate for rate in one.rates if rate.level >= 0 or rate.judge or rate.corrected.value]
        xs = [str(rate.level) if rate.level >= 0 else "N/A" for rate in rates]
        figure.add_scatter(
            x=xs,
            y=[rate.judge for rate in rates],
            mode="markers",
            name="by the judge",
            legendgroup="judge",
            showlegend=i == 0,
            marker={"size": 11, "symbol": "circle-open", "color": "#718096", "line": {"width": 1.6}},
            hovertemplate="level %{x}, judge: %{y:.1%}<extra></extra>",
            **place,
        )
        known = [(x, rate) for x, rate in zip(xs, rates, strict=True) if rate.corrected.value is not None]
        figure.add_scatter(
            x=[x for x, _ in known],
            y=[rate.corrected.value for _, rate in known],
            mode="markers",
            name=by_people,
            legendgroup="corrected",
            showlegend=i == 0,
            marker={
                "size": 8,
                "color": [ramp.get(rate.level, "#a0aec0") for _, rate in known],
                "line": {"width": 1, "color": "#4a5a66"},
            },
            error_y=_bars([rate.corrected for _, rate in known]),
            hovertext=[f"level {x}, {by_people}: {_share(rate.corrected)}" for x, rate in known],
            hoverinfo="text",
            **place,
        )
    _quiet(figure, 70 + 215 * down)
    figure.update_layout(margin={"l": 8, "r": 8, "t": 46, "b": 8}, legend={"y": 1.0 + 0.16 / down})
    figure.update_annotations(font={"size": 12})
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(tickformat=".0%", gridcolor=_GRID, zeroline=True, zerolinecolor=_GRID, nticks=5)
    return figure


def click_rates(rows: Sequence[PositionRow]) -> go.Figure:
    """Return clicks an impression by position; how many of each in the tooltip."""
    figure = go.Figure()
    figure.add_bar(
        x=[row.position for row in rows],
        y=[row.rate for row in rows],
        customdata=[[row.impressions, row.clicks] for row in rows],
        marker={"color": colours.RUN_B},
        hovertemplate="position %{x}: %{y:.2%}, %{customdata[1]:,} clicks of %{customdata[0]:,} impressions"
        "<extra></extra>",
    )
    _quiet(figure, 260)
    figure.update_xaxes(title="position", showgrid=False, **_ticks([row.position for row in rows]))
    figure.update_yaxes(title="clicks an impression", tickformat=".1%", gridcolor=_GRID, nticks=5)
    return figure


def examination(
    bias: Mapping[Method, PositionBias], truth: Sequence[float] = (), *, most: int = 50
) -> go.Figure:
    """Return examination by position relative to position 1, one curve a method, with 95 % intervals.

    Args:
        truth: examination of positions 1, 2, … where it is known (a simulation); drawn relative to the first.
        most: positions that are drawn.
    """
    figure = go.Figure()
    shift = 0.12
    for i, (method, found) in enumerate(bias.items()):
        name, colour = _METHODS[method]
        points = [point for point in found.points if point.examination is not None and point.position <= most]
        estimates = [Estimate(point.examination, point.low, point.high) for point in points]
        figure.add_scatter(
            x=[point.position + shift * i for point in points],
            y=[point.examination for point in points],
            mode="lines+markers",
            name=name,
            line={"width": 1.6, "color": colour},
            marker={"size": 7, "color": colour},
            error_y=_bars(estimates) | {"color": colour},
            hovertext=[
                f"position {point.position}, {name}: {_plain(estimate)}<br>{point.impressions:,} impressions, "
                f"{point.clicks:,} clicks"
                for point, estimate in zip(points, estimates, strict=True)
            ],
            hoverinfo="text",
        )
    positions = sorted({p.position for one in bias.values() for p in one.points if p.position <= most})
    if truth and positions:
        shown = list(truth)[: positions[-1]]
        figure.add_scatter(
            x=list(range(1, len(shown) + 1)),
            y=[value / shown[0] for value in shown],
            mode="lines",
            name=TRUTH,
            line={"width": 1.4, "color": "#718096", "dash": "dot"},
            hovertemplate="position %{x}, simulated with %{y:.3f}<extra></extra>",
        )
    _quiet(figure, 280)
    figure.update_xaxes(title="position", showgrid=False, **_ticks(positions))
    figure.update_yaxes(title="examination, position 1 = 1", gridcolor=_GRID, rangemode="tozero")
    return figure


def _bars(estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Return the interval of each estimate as error bars; none where there is no interval."""
    up, down = [], []
    for one in estimates:
        value = one.value or 0.0
        up.append(one.high - value if one.high is not None else 0.0)
        down.append(value - one.low if one.low is not None else 0.0)
    return {
        "type": "data",
        "symmetric": False,
        "array": up,
        "arrayminus": down,
        "thickness": 1.2,
        "width": 0,
        "color": "#7b8790",
    }


def _share(found: Estimate) -> str:
    interval = (
        f" [{found.low:.1%}, {found.high:.1%}]" if found.low is not None and found.high is not None else ""
    )
    return f"{found.value:.1%}{interval}"


def _plain(found: Estimate) -> str:
    interval = (
        f" [{found.low:.3f}, {found.high:.3f}]" if found.low is not None and found.high is not None else ""
    )
    return f"{found.value:.3f}{interval}"


def _ticks(positions: Sequence[int]) -> dict[str, Any]:
    """Name every position where there is room, else let Plotly choose."""
    return {"tickvals": list(positions)} if len(positions) <= 20 else {}
