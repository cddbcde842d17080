"""Charts of a comparison: what moved between two confusion matrices."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from workbench.agreement import Agreement

_DIVERGING = [[0.0, "#c05621"], [0.5, "#f4f7f7"], [1.0, "#2b6cb0"]]
_DIVERGING_DARK = [[0.0, "#c05621"], [0.5, "#1d262c"], [1.0, "#2b6cb0"]]


def confusion_difference(a: Agreement, b: Agreement, *, dark: bool = False) -> go.Figure:
    """Return the confusion matrix of B minus that of A, in shares of each human level's pairs.

    Blue cells have more pairs under B, orange ones fewer. Off the diagonal, orange is good.
    """
    levels = [str(level) for level in b.levels]
    shares = []
    for side in (a, b):
        counts = np.asarray(side.confusion)
        rows = counts.sum(axis=1, keepdims=True)
        shares.append(np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0))
    moved = shares[1] - shares[0]
    most = max(float(np.abs(moved).max()), 0.05)
    figure = go.Figure(
        go.Heatmap(
            z=moved, x=levels, y=levels, zmin=-most, zmax=most,
            text=[[f"{value:+.0%}".replace("-", "−") if abs(value) >= 0.005 else "" for value in row] for row in moved],
            texttemplate="%{text}", textfont={"size": 12}, showscale=False, xgap=2, ygap=2,
            colorscale=_DIVERGING_DARK if dark else _DIVERGING,
            hovertemplate="human %{y}, judge %{x}: %{z:+.1%} of the row<extra></extra>",
        )
    )  # fmt: skip
    figure.update_layout(
        title={"text": "B − A, share of each row", "font": {"size": 13}, "x": 0, "xanchor": "left", "y": 0.985},
        height=300, margin={"l": 8, "r": 8, "t": 34, "b": 8}, font={"size": 13},
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
    )  # fmt: skip
    figure.update_xaxes(title="judge", type="category", side="bottom", showgrid=False, constrain="domain")
    figure.update_yaxes(title="human", type="category", autorange="reversed", scaleanchor="x", showgrid=False)
    return figure
