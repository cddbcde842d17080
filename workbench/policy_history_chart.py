"""κ over the versions of a policy as small charts side by side, one a dimension. Plain data in, a Plotly figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench import colours
from workbench.agreement import Estimate

COLUMNS = 4
HEIGHT = 150
_GRID = "rgba(128,128,128,0.18)"


def trends(
    figures: Mapping[str, Mapping[int, Estimate]],
    titles: Mapping[str, str],
    versions: Sequence[int],
    ceilings: Mapping[str, Estimate],
) -> go.Figure:
    """Return one panel a key of ``titles``: κ by version with its interval, and the human ceiling as a band.

    Args:
        figures: key -> version -> κ; a version without a figure is passed over.
        versions: all versions, ascending; the same places on every panel.
        ceilings: key -> how far labelers agree among themselves.
    """
    keys = list(titles)
    rows = -(-len(keys) // COLUMNS)
    figure = make_subplots(
        rows=rows, cols=COLUMNS, subplot_titles=[titles[key] for key in keys], shared_yaxes="all",
        horizontal_spacing=0.025, vertical_spacing=min(0.24, 0.5 / rows),
    )  # fmt: skip
    lowest = 0.0
    for i, key in enumerate(keys):
        at = {"row": i // COLUMNS + 1, "col": i % COLUMNS + 1}
        found = [_numbers(figures.get(key, {}).get(version)) for version in versions]
        lowest = min([lowest, *(low for _, low, _ in filter(None, found))])
        figure.add_scatter(
            x=list(range(len(versions))),
            y=[value[0] if value else None for value in found],
            mode="lines+markers",
            connectgaps=True,
            line={"width": 1.6, "color": colours.RUN_B},
            marker={"size": 7, "color": colours.RUN_B},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [value[2] - value[0] if value else 0 for value in found],
                "arrayminus": [value[0] - value[1] if value else 0 for value in found],
                "thickness": 1.1,
                "width": 0,
            },
            hovertext=[
                f"{titles[key]}, v{version}: {_text(figures[key][version])}" if value else ""
                for version, value in zip(versions, found, strict=True)
            ],
            hoverinfo="text",
            **at,
        )
        band = ceilings.get(key)
        if band is not None and band.low is not None and band.high is not None:
            figure.add_hrect(
                y0=band.low, y1=band.high, fillcolor=colours.CEILING, line_width=0, layer="below", **at
            )
    figure.update_xaxes(
        tickvals=list(range(len(versions))), ticktext=[f"v{v}" for v in versions], showgrid=False,
        range=[-0.4, len(versions) - 0.6], zeroline=False,
    )  # fmt: skip
    figure.update_yaxes(gridcolor=_GRID, zeroline=False, range=[lowest - 0.05, 1.03], dtick=0.5)
    figure.update_annotations(font={"size": 12}, yshift=2)
    figure.update_layout(
        height=40 + HEIGHT * rows,
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        font={"size": 12},
        showlegend=False,
        hovermode="closest",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    return figure


def _numbers(estimate: Estimate | None) -> tuple[float, float, float] | None:
    """Return (value, low, high); an interval that is not known has no width."""
    if estimate is None or estimate.value is None:
        return None
    value, low, high = estimate.value, estimate.low, estimate.high
    return value, value if low is None else low, value if high is None else high


def _text(estimate: Estimate) -> str:
    interval = "" if estimate.low is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
    return f"κ {estimate.value:.2f}{interval}"
