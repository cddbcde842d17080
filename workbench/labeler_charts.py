"""Charts of labelers over time: plain data in, Plotly figures out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench import colours
from workbench.labeler_drift import Block, LabelerDrift
from workbench.resampling import Estimate

ROW = 92
"""Pixels of a labeler's row."""
_GRID = "rgba(128,128,128,0.18)"


def drift(labelers: Sequence[LabelerDrift]) -> go.Figure:
    """Return one row a labeler: κ against the rest and bias, by blocks of their own work, with intervals.

    Args:
        labelers: one or more, each with blocks.
    """
    rows = len(labelers)
    figure = make_subplots(
        rows=rows, cols=2, vertical_spacing=0.25 / rows if rows > 1 else 0, horizontal_spacing=0.07,
        column_titles=["quadratic κ against the rest", "bias in levels: own less the rest"],
    )  # fmt: skip
    most = max(len(one.blocks) for one in labelers)
    far = max(
        0.5, *(abs(end) for one in labelers for block in one.blocks for end in _ends(block.bias) or [0.0])
    )
    low = min(0.0, *(end for one in labelers for block in one.blocks for end in _ends(block.kappa) or [0.0]))
    for row, one in enumerate(labelers, start=1):
        for column, read in enumerate((_kappa, _bias), start=1):
            figure.add_trace(_line(one, read), row=row, col=column)
        figure.update_yaxes(range=[low - 0.05, 1.05], tickvals=[0, 0.5, 1], row=row, col=1)
        figure.update_yaxes(
            range=[-far * 1.1, far * 1.1], zeroline=True, zerolinecolor="rgba(128,128,128,0.6)", nticks=4,
            row=row, col=2,
        )  # fmt: skip
        figure.add_annotation(
            text=_short(one.labeler), x=0, xshift=-40, xref="paper", xanchor="right", y=0.5,
            yref=f"y{'' if row == 1 else 2 * row - 1} domain", showarrow=False, font={"size": 13},
        )  # fmt: skip
    figure.update_xaxes(range=[0.6, most + 0.4], showgrid=False, zeroline=False, showticklabels=False)
    for column in (1, 2):
        figure.update_xaxes(
            showticklabels=True, tickvals=list(range(1, most + 1)), row=rows, col=column,
            title="block of their labels, oldest first",
        )  # fmt: skip
    figure.update_yaxes(gridcolor=_GRID)
    figure.update_annotations(font={"size": 13})
    figure.update_layout(
        height=80 + ROW * rows, margin={"l": 165, "r": 8, "t": 30, "b": 8}, font={"size": 12}, showlegend=False,
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", hovermode="closest",
    )  # fmt: skip
    return figure


def _line(one: LabelerDrift, read: Callable[[Block], Estimate]) -> go.Scatter:
    known = [
        (number, block, read(block), value)
        for number, block in enumerate(one.blocks, start=1)
        if (value := read(block).value) is not None
    ]
    return go.Scatter(
        x=[number for number, *_ in known],
        y=[value for *_, value in known],
        mode="lines+markers",
        line={"width": 1.6, "color": colours.RUN_B},
        marker={"size": 7, "color": colours.RUN_B},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [(e.high if e.high is not None else value) - value for _, _, e, value in known],
            "arrayminus": [value - (e.low if e.low is not None else value) for _, _, e, value in known],
            "thickness": 1.1,
            "width": 0,
            "color": colours.RUN_B,
        },
        hovertext=[
            f"{_short(one.labeler)}, {block.since:%d %b %Y} to {block.until:%d %b %Y}<br>{_said(e)}, n {block.n}"
            for _, block, e, _ in known
        ],
        hoverinfo="text",
    )


def _kappa(block: Block) -> Estimate:
    return block.kappa


def _bias(block: Block) -> Estimate:
    return block.bias


def _ends(found: Estimate) -> list[float]:
    return [end for end in (found.value, found.low, found.high) if end is not None]


def _said(found: Estimate) -> str:
    interval = f" [{found.low:.2f}, {found.high:.2f}]" if found.low is not None else ""
    return f"{found.value:.2f}{interval}"


def _short(name: str) -> str:
    # Plotly reads some HTML in its texts.
    text = name if len(name) <= 18 else name[:17] + "…"
    return text.replace("&", "&amp;").replace("<", "&lt;")
