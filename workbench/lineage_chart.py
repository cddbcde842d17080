"""The lineage of a checkpoint as a picture: what it was made from on the left, what was made from it on the right."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import plotly.graph_objects as go

from workbench.lineage import Picture
from workbench.lineage_graph import Node, NodeKind, reduced
from workbench.markup import several

_COLUMN, _ROW = 1.0, 1.0
_HALF_WIDTH, _HALF_HEIGHT = 0.37, 0.3
_ALONG = (-0.3, -0.15, 0.0, 0.15, 0.3)
"""Where along a box the pointer is felt: together, nearly everywhere."""
_LETTERS = 24
"""About as many as fit into a box at the width of a page."""
ROW_PX = 84
STALE = "#d9730d"
_STRIPE: Mapping[NodeKind, str] = {
    "policy": "#7a5ea8",
    "golden set": "#5b7f3a",
    "click log": "#8a7a2b",
    "data set": "#4f7d78",
    "run": "#5a6b85",
    "checkpoint": "#2f6f8f",
    "evaluation": "#8a97a3",
}


def lineage(picture: Picture, *, dark: bool) -> go.Figure:
    """Return the picture: a box a node, a curve for "was made from" unless others imply it; what is stale has an orange outline.

    Hovering a box tells its kind, its details and why it is stale.
    """
    paper, ink, line = ("#1d262c", "#e6eaec", "#51606b") if dark else ("#ffffff", "#1c2429", "#a7b2ba")
    nodes, made_from = picture.graph.nodes, reduced(picture.graph).made_from
    tallest = max(map(len, picture.columns), default=1)
    at = {
        name: (x * _COLUMN, ((len(names) - 1) / 2 - i) * _ROW)
        for x, names in enumerate(picture.columns)
        for i, name in enumerate(names)
    }
    figure = go.Figure()
    for child, parents in made_from.items():
        for parent in parents:
            figure.add_shape(
                type="path", path=_curve(at[parent], at[child]), layer="below",
                line={"color": STALE if parent in picture.stale else line, "width": 1.3},
            )  # fmt: skip
    for name, (x, y) in at.items():
        node, marked = nodes[name], name in picture.stale
        left, right, low, high = x - _HALF_WIDTH, x + _HALF_WIDTH, y - _HALF_HEIGHT, y + _HALF_HEIGHT
        figure.add_shape(
            type="rect", x0=left, x1=right, y0=low, y1=high, fillcolor=paper,
            line={
                "color": STALE if marked else _STRIPE[node.kind] if name == picture.subject else line,
                "width": 2.6 if name == picture.subject else 1.8 if marked else 1,
                "dash": "solid" if node.known else "dot",
            },
        )  # fmt: skip
        figure.add_shape(
            type="rect", x0=left, x1=left + 0.022, y0=low, y1=high, fillcolor=_STRIPE[node.kind], line_width=0
        )
        figure.add_annotation(
            x=left + 0.04, y=y, text=_words(node), showarrow=False, xanchor="left", align="left",
            font={"size": 12, "color": ink},
        )  # fmt: skip
    figure.add_scatter(
        x=[x + step for x, _ in at.values() for step in _ALONG],
        y=[y for _, y in at.values() for _ in _ALONG],
        mode="markers",
        marker={"size": 46, "opacity": 0, "symbol": "square"},
        hovertext=[_hover(nodes[name], picture.stale.get(name, ())) for name in at for _ in _ALONG],
        hoverinfo="text",
        hoverlabel={
            "align": "left",
            "bgcolor": paper,
            "font": {"color": ink, "size": 13},
            "bordercolor": line,
        },
        showlegend=False,
    )
    figure.update_xaxes(visible=False, range=[-0.42, len(picture.columns) - 1 + 0.42], fixedrange=True)
    figure.update_yaxes(visible=False, range=[-tallest / 2, tallest / 2], fixedrange=True)
    figure.update_layout(
        height=24 + ROW_PX * tallest,
        margin={"l": 4, "r": 4, "t": 4, "b": 4},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="closest",
        dragmode=False,
    )
    return figure


def caption(picture: Picture) -> str:
    """Return the sentence below the picture: how much of it is stale, and what is not shown."""
    shown = len(picture.stale)
    said = (
        f"{several(shown, 'part')} of {len(picture.graph.nodes)} {'is' if shown == 1 else 'are'} stale: "
        "orange, hover for the reason."
        if shown
        else "Nothing here is stale."
    )
    return said + (f" {several(picture.left_out, 'older evaluation')} not shown." if picture.left_out else "")


def _curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Return an SVG path from the right edge of one box to the left edge of another, level at both ends."""
    x0, y0, x1, y1 = start[0] + _HALF_WIDTH, start[1], end[0] - _HALF_WIDTH, end[1]
    bend = max((x1 - x0) / 2, 0.08)
    return f"M {x0},{y0} C {x0 + bend},{y0} {x1 - bend},{y1} {x1},{y1}"


def _words(node: Node) -> str:
    name = node.short or node.name
    return f'<span style="font-size:10px;opacity:.65">{node.kind}</span><br>{_safe(_clipped(name))}'


def _clipped(name: str) -> str:
    """Return a long id with its middle left out: the hash at its end tells it from its sisters."""
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 10]}…{name[-9:]}"


def _hover(node: Node, reasons: tuple[str, ...]) -> str:
    lines = [f"<b>{_safe(node.name)}</b>", _safe(f"{node.kind}{', ' if node.detail else ''}{node.detail}")]
    lines += [f'<span style="color:{STALE}">Stale:</span> {_safe(reason)}' for reason in reasons[:4]]
    if len(reasons) > 4:
        lines.append(f"and {len(reasons) - 4} reasons more")
    return "<br>".join("<br>".join(textwrap.wrap(line, 90)) if "<" not in line else line for line in lines)


def _safe(text: str) -> str:
    """Return text that Plotly shows as it is written; names come from outside."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
