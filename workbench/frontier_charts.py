"""The picture of policy quality against click quality. Plain data in, a Plotly figure out."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from workbench import colours
from workbench.frontier import Placed, Point, pareto_line
from workbench.quality_charts import GRID, LINE, interval_bars, laid_out, plain_text, said


def frontier(placed: Sequence[Placed], *, policy: str = "κ", click: str = "click AUC") -> go.Figure:
    """Return policy quality against click quality, with intervals and the line of the models that no other beats.

    Args:
        placed: points of which both figures are known are drawn; the others are for a list beside.
        policy: what the figure on the upright axis is called.
        click: what the other one is called.
    """
    figure = go.Figure()
    line = pareto_line(placed)
    figure.add_scatter(
        x=[x for x, _ in line], y=[y for _, y in line], mode="lines", hoverinfo="skip", name="not beaten by another",
        line={"color": LINE, "width": 1.4, "dash": "dot"},
    )  # fmt: skip
    for on, name, symbol, colour in (
        (True, "on the frontier", "circle", colours.RUN_B),
        (False, "beaten", "circle-open", colours.RUN_A),
    ):
        mine = [one for one in placed if not one.reason and one.on_frontier == on]
        if not mine:
            continue
        points = [one.point for one in mine]
        figure.add_scatter(
            x=[point.click.value for point in points],
            y=[point.policy.value for point in points],
            mode="markers+text",
            name=name,
            marker={"size": 11, "color": colour, "symbol": symbol},
            text=[plain_text(_about(point) or point.label) for point in points],
            textposition="top right",
            textfont={"size": 11},
            error_x=interval_bars([point.click for point in points], colour),
            error_y=interval_bars([point.policy for point in points], colour),
            hovertext=[_hover(one, policy, click) for one in mine],
            hoverinfo="text",
        )
    figure.update_xaxes(title=f"{click}: people's behaviour", gridcolor=GRID, zeroline=False, nticks=7)
    figure.update_yaxes(title=f"{policy}: the policy's labels", gridcolor=GRID, zeroline=False, nticks=7)
    return laid_out(figure, 440)


def _hover(one: Placed, policy: str, click: str) -> str:
    point = one.point
    lines = [point.label, _about(point), f"{policy} {said(point.policy)}", f"{click} {said(point.click)}"]
    if one.dominated_by:
        lines.append(
            f"beaten by {', '.join(one.dominated_by)}, {'beyond' if one.clearly else 'within'} noise"
        )
    return "<br>".join(plain_text(line) for line in lines if line)


def _about(point: Point) -> str:
    return ", ".join(f"{name} {value}" for name, value in point.about.items())
