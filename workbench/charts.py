"""Plain data in, Plotly figures out. No page and no verb is known here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from workbench import colours
from workbench.agreement import Agreement, Comparison, Estimate

_FONT = {"size": 13}
_MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8}


def _figure(height: int) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        height=height,
        margin=_MARGIN,
        font=_FONT,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="closest",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": None},
    )
    return figure


def _text(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"– ({estimate.reason})"
    interval = f" [{estimate.low:.2f}, {estimate.high:.2f}]" if estimate.low is not None else ""
    return f"{estimate.value:.2f}{interval}"


def dumbbells(
    comparisons: Mapping[str, Comparison],
    titles: Mapping[str, str],
    label_a: str,
    label_b: str,
    ceiling: Mapping[str, Estimate | None],
) -> go.Figure:
    """Return κ of A and B for each dimension, intervals as thin bars, the human ceiling as a grey band."""
    keys = list(comparisons)[::-1]
    figure = _figure(70 + 46 * len(keys))
    for i, key in enumerate(keys):
        band = ceiling.get(key)
        if band is not None and band.low is not None and band.high is not None:
            figure.add_shape(
                type="rect", x0=band.low, x1=band.high, y0=i - 0.36, y1=i + 0.36,
                fillcolor=colours.CEILING, line_width=0, layer="below",
            )  # fmt: skip
    for label, colour, side, shift in (
        (label_a, colours.RUN_A, "a", 0.13),
        (label_b, colours.RUN_B, "b", -0.13),
    ):
        estimates = [getattr(comparisons[key], side).kappa_quadratic for key in keys]
        known = [(i + shift, e, keys[i]) for i, e in enumerate(estimates) if e.value is not None]
        figure.add_scatter(
            x=[e.value for _, e, _ in known],
            y=[y for y, _, _ in known],
            mode="markers",
            name=label,
            marker={"size": 10, "color": colour},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [(e.high - e.value) if e.high is not None else 0 for _, e, _ in known],
                "arrayminus": [(e.value - e.low) if e.low is not None else 0 for _, e, _ in known],
                "thickness": 1.3,
                "width": 0,
                "color": colour,
            },
            hovertext=[f"{titles[k]}, {label}<br>κ {_text(e)}, n {comparisons[k].n}" for _, e, k in known],
            hoverinfo="text",
        )
    if any(band is not None and band.low is not None for band in ceiling.values()):
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name="labelers among themselves",
            marker={"size": 14, "symbol": "square", "color": "rgba(120, 130, 140, 0.35)"},
        )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(keys))), ticktext=[titles[key] for key in keys], range=[-0.6, len(keys) - 0.4],
        showgrid=False, zeroline=False,
    )  # fmt: skip
    low = (
        min((e.low if e.low is not None else e.value) for e in _known(comparisons))
        if _known(comparisons)
        else 0
    )
    figure.update_xaxes(
        title="quadratic κ against the labels",
        range=[min(0.0, low - 0.05), 1.0],
        dtick=0.2,
        gridcolor="rgba(128,128,128,0.18)",
    )
    return figure


def _known(comparisons: Mapping[str, Comparison]) -> list[Any]:
    found = [side.kappa_quadratic for c in comparisons.values() for side in (c.a, c.b)]
    return [estimate for estimate in found if estimate.value is not None]


def confusion(agreement: Agreement, title: str, *, dark: bool = False) -> go.Figure:
    """Return a confusion matrix, rows human and columns judge, coloured by the share of each row.

    Plotly chooses the ink of a cell by its colour, so the scale has to be opaque and starts near the background.
    """
    levels = [str(level) for level in agreement.levels]
    counts = np.asarray(agreement.confusion)
    rows = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    figure = _figure(300)
    figure.add_heatmap(
        z=share,
        x=levels,
        y=levels,
        zmin=0,
        zmax=1,
        text=counts,
        texttemplate="%{text}",
        textfont={"size": 13},
        colorscale=colours.SHARE_DARK if dark else colours.SHARE_LIGHT,
        showscale=False,
        xgap=2,
        ygap=2,
        hovertemplate="human %{y}, judge %{x}: %{text} pairs, %{z:.0%} of the row<extra></extra>",
    )
    figure.update_layout(
        title={"text": title, "font": {"size": 13}, "x": 0, "xanchor": "left", "y": 0.985},
        margin=_MARGIN | {"t": 34},
    )
    figure.update_xaxes(title="judge", type="category", side="bottom", showgrid=False, constrain="domain")
    figure.update_yaxes(title="human", type="category", autorange="reversed", scaleanchor="x", showgrid=False)
    return figure


def trend(
    points: Sequence[dict[str, Any]],
    ceiling: Estimate | None,
    noise: Mapping[str, float | None] | None = None,
) -> go.Figure:
    """Return κ over policy versions, one line a judge.

    Args:
        points: dicts with judge, version, estimate.
        noise: judge -> how far κ moved between its repeats, drawn as a band around its line.
    """
    figure = _figure(260)
    judges = sorted({point["judge"] for point in points})
    versions = sorted({point["version"] for point in points})
    if ceiling is not None and ceiling.low is not None and ceiling.high is not None:
        figure.add_hrect(
            y0=ceiling.low, y1=ceiling.high, fillcolor=colours.CEILING, line_width=0, layer="below"
        )
    for judge in judges:
        mine = sorted(
            (p for p in points if p["judge"] == judge and p["estimate"].value is not None),
            key=lambda p: p["version"],
        )
        colour = colours.judge_colour(judge, judges)
        band = (noise or {}).get(judge)
        if band is not None and len(mine) > 1:
            xs, ys = [p["version"] for p in mine], [p["estimate"].value for p in mine]
            figure.add_scatter(
                x=[*xs, *xs[::-1]], y=[*(y + band / 2 for y in ys), *(y - band / 2 for y in ys[::-1])],
                fill="toself", fillcolor=colour, opacity=0.15, line_width=0, mode="lines", hoverinfo="skip",
                showlegend=False,
            )  # fmt: skip
        figure.add_scatter(
            x=[p["version"] for p in mine],
            y=[p["estimate"].value for p in mine],
            mode="lines+markers",
            name=judge,
            marker={"size": 8, "color": colour},
            line={"width": 1.6, "color": colour},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [(p["estimate"].high or p["estimate"].value) - p["estimate"].value for p in mine],
                "arrayminus": [
                    p["estimate"].value
                    - (p["estimate"].low if p["estimate"].low is not None else p["estimate"].value)
                    for p in mine
                ],
                "thickness": 1.1,
                "width": 0,
            },
            hovertext=[f"{judge}, v{p['version']}: κ {_text(p['estimate'])}" for p in mine],
            hoverinfo="text",
        )
    figure.update_xaxes(tickvals=versions, ticktext=[f"v{v}" for v in versions], showgrid=False)
    figure.update_yaxes(title="quadratic κ", gridcolor="rgba(128,128,128,0.18)", zeroline=False)
    return figure


def learning_curves(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Return the training loss by step and the eval loss by epoch, from a job's metric rows."""
    figure = _figure(260)
    steps = [row for row in rows if row.get("loss") is not None and row.get("step") is not None]
    if steps:
        losses = np.array([row["loss"] for row in steps], dtype=float)
        figure.add_scatter(
            x=[row["step"] for row in steps], y=losses, mode="lines", name="loss a step",
            line={"width": 1, "color": "rgba(47,111,143,0.35)"}, hovertemplate="step %{x}: %{y:.3f}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=[row["step"] for row in steps], y=smoothed(losses), mode="lines", name="smoothed",
            line={"width": 2, "color": "#2f6f8f"}, hoverinfo="skip",
        )  # fmt: skip
    evals = [row for row in rows if row.get("eval_loss") is not None]
    if evals:
        figure.add_scatter(
            x=[row.get("step") or _step_of(row, steps) for row in evals],
            y=[row["eval_loss"] for row in evals],
            mode="lines+markers", name="validation loss", line={"width": 2, "color": "#b35c1e"},
            hovertemplate="validation: %{y:.3f}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title="step", showgrid=False)
    figure.update_yaxes(title="loss", gridcolor="rgba(128,128,128,0.18)", rangemode="tozero")
    return figure


def _step_of(row: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> float:
    mine = [step["step"] for step in steps if step.get("epoch") == row.get("epoch")]
    return max(mine, default=0)


def smoothed(values: Any, weight: float = 0.85) -> Any:
    """Return the exponential moving average of values, with the bias of its start removed."""
    found, total, norm = [], 0.0, 0.0
    for value in values:
        total = weight * total + (1 - weight) * value
        norm = weight * norm + (1 - weight)
        found.append(total / norm)
    return found


def eval_kappas(rows: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> go.Figure:
    """Return κ on the validation queries by epoch, one line a dimension."""
    figure = _figure(260)
    for key, title in titles.items():
        mine = [row for row in rows if row.get(f"{key}.kappa") is not None]
        if mine:
            colour = colours.judge_colour(key, list(titles))
            figure.add_scatter(
                x=[row["epoch"] for row in mine], y=[row[f"{key}.kappa"] for row in mine], mode="lines+markers",
                name=title, line={"width": 1.6, "color": colour}, marker={"size": 6},
                hovertemplate=f"{title}: %{{y:.2f}}<extra></extra>",
            )  # fmt: skip
    figure.update_xaxes(title="epoch", dtick=1, showgrid=False)
    figure.update_yaxes(title="κ on validation queries", gridcolor="rgba(128,128,128,0.18)")
    return figure


def level_bars(
    counts: Mapping[str, Mapping[int, int]], titles: Mapping[str, str], scales: Mapping[str, Sequence[int]]
) -> go.Figure:
    """Return one stacked bar a dimension: how many pairs settle on each level."""
    keys = list(counts)[::-1]
    figure = _figure(60 + 38 * len(keys))
    every = sorted({level for key in keys for level in scales[key]})
    for level in every:
        colour = colours.level_colours(every)[level]
        figure.add_bar(
            y=[titles[key] for key in keys],
            x=[counts[key].get(level, 0) for key in keys],
            orientation="h",
            name=str(level),
            marker={"color": colour, "line": {"width": 1, "color": "rgba(255,255,255,0.6)"}},
            text=[counts[key].get(level, 0) or "" for key in keys],
            textposition="inside",
            insidetextanchor="middle",
            textfont={"color": colours.ink_on(colour), "size": 11},
            hovertemplate="%{y}, level " + str(level) + ": %{x} pairs<extra></extra>",
        )
    for code, name, colour in (
        (-2, "N/A", "rgba(128,128,128,0.30)"),
        (-1, "no label", "rgba(128,128,128,0.12)"),
    ):
        if any(counts[key].get(code) for key in keys):
            figure.add_bar(
                y=[titles[key] for key in keys], x=[counts[key].get(code, 0) for key in keys], orientation="h",
                name=name, marker={"color": colour}, hovertemplate="%{y}, " + name + ": %{x} pairs<extra></extra>",
            )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.3, legend={"traceorder": "normal"})
    figure.update_xaxes(title="pairs", showgrid=False)
    figure.update_yaxes(showgrid=False)
    return figure


def probabilities(levels: Sequence[int], values: Sequence[float]) -> go.Figure:
    """Return a judge's distribution over levels as small bars."""
    figure = _figure(90)
    ramp = colours.level_colours(levels)
    figure.add_bar(
        x=[str(level) for level in levels], y=list(values), marker={"color": [ramp[level] for level in levels]},
        hovertemplate="level %{x}: %{y:.0%}<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(visible=False, range=[0, 1])
    figure.update_xaxes(type="category", showgrid=False)
    return figure


def before_after(
    before: Mapping[int, int],
    after: Mapping[int, int],
    names: Mapping[int, str],
    label_before: str,
    label_after: str,
) -> go.Figure:
    """Return how many pairs are on each level before and after, as bars side by side.

    Args:
        before, after: level or code -> pairs.
        names: what levels and codes are called, in the order of the bars.
    """
    figure = _figure(180)
    for name, counts, colour in (
        (label_before, before, colours.RUN_A),
        (label_after, after, colours.RUN_B),
    ):
        figure.add_bar(
            x=list(names.values()), y=[counts.get(code, 0) for code in names], name=name,
            marker={"color": colour}, hovertemplate=f"{name}, %{{x}}: %{{y:,}} pairs<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="group", bargap=0.28, bargroupgap=0.06)
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(gridcolor="rgba(128,128,128,0.18)", nticks=4)
    return figure
