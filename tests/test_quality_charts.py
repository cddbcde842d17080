"""Charts of a judge's quality: what is drawn where, and what is left out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from workbench import quality_charts
from workbench.quality_cost import QualityCost, pareto_front
from workbench.reliability import reliability
from workbench.resampling import Estimate
from workbench.run import JudgeIdentity, Run


def row(name: str, usd: float | None, kappa: float | None, *, front: bool = False) -> QualityCost:
    run = Run(
        id=name, judge=JudgeIdentity(kind="llm", name=name), policy="tea", policy_version=2, policy_hash="p", golden="g",
        golden_version=1, golden_hash="g", status="finished", created_at=datetime(2026, 3, 1, tzinfo=UTC),
    )  # fmt: skip
    found = (
        Estimate(kappa, None, None, "All 3 human grades are 1.")
        if kappa is None
        else Estimate(kappa, kappa - 0.1, kappa + 0.1)
    )
    return QualityCost(run, found, found, 8, usd, 12.0, "", front)


def rows(*given: tuple[str, float | None, float | None]) -> list[QualityCost]:
    front = pareto_front([usd for _, usd, _ in given], [kappa for *_, kappa in given])
    return [row(*one, front=on) for one, on in zip(given, front, strict=True)]


def points(figure: Any) -> dict[str, tuple[list[float], list[float]]]:
    return {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}


def test_near_costs_are_drawn_on_a_plain_axis_with_nothing_at_zero() -> None:
    figure = quality_charts.quality_cost(rows(("free", 0.0, 0.4), ("a", 1.0, 0.5), ("b", 20.0, 0.7)))
    assert figure.layout.xaxis.type != "log"
    assert points(figure)["free"] == ([0.0], [0.4])
    # The line of the front goes right from each point and up to the next, and on to the dearest.
    assert points(figure)["not beaten by another"] == ([0.0, 1.0, 20.0, 20.0], [0.4, 0.5, 0.7, 0.7])


def test_far_costs_are_logarithmic_and_zero_has_a_mark_of_its_own() -> None:
    figure = quality_charts.quality_cost(rows(("free", 0.0, 0.4), ("a", 1.0, 0.5), ("b", 21.0, 0.3)))
    axis = figure.layout.xaxis
    assert axis.type == "log"
    # A quarter of the cheapest, 1 dollar, with the name of nothing; then 1, 10 and 100 dollars.
    assert list(zip(axis.tickvals, axis.ticktext, strict=True)) == [
        (0.25, "$0"), (1.0, "$1"), (10.0, "$10"), (100.0, "$100"),
    ]  # fmt: skip
    assert points(figure)["free"] == ([0.25], [0.4])
    symbols = {trace.name: trace.marker.symbol for trace in figure.data if trace.name in ("a", "b")}
    assert symbols == {"a": ("circle",), "b": ("circle-open",)}
    low, high = axis.range
    assert all(low < np.log10(x) < high for x in (0.25, 21.0))


def test_unknown_is_not_drawn() -> None:
    figure = quality_charts.quality_cost(rows(("<b>", 1.0, 0.5), ("unknown", None, 0.9), ("bare", 2.0, None)))
    assert list(points(figure)) == ["&lt;b>"]  # a front of one point is no line
    assert figure.data[0].error_y.array == (pytest.approx(0.1),)


def test_a_reliability_curve_has_its_diagonal_its_intervals_and_its_counts() -> None:
    confidence = np.repeat([0.6, 0.8], 10)
    hits = np.r_[np.arange(10) < 5, np.ones(10, dtype=bool)]
    before = reliability(confidence, hits, list(range(20)), bins=2)
    after = reliability(confidence - 0.1, hits, list(range(20)), bins=2)
    figure = quality_charts.reliability({"as it says": before, "calibrated": after})
    assert points(figure)["stated = observed"] == ([0, 1], [0, 1])
    line, bars = figure.data[1:3]
    assert (list(line.x), list(line.y)) == (pytest.approx([0.6, 0.8]), [0.5, 1.0])
    assert line.error_y.arrayminus[0] == pytest.approx(0.5 - (before.bins[0].frequency.low or 0))
    assert list(bars.y) == [10, 10]
    assert "10 pairs of 10 queries" in line.hovertext[0]
    assert list(figure.data[3].x) == pytest.approx([0.5, 0.7])
