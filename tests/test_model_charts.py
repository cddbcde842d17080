"""Quality against what a model takes: which models are drawn, and where."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from workbench.model_charts import SIZE, TOKENS, drawn, quality_against
from workbench.model_rows import BoardRow
from workbench.resampling import Estimate


def row(name: str, kappa: float, **more: Any) -> BoardRow:
    given: dict[str, Any] = {"id": f"{name}-{kappa}", "kind": "student", "policy_version": 1}
    return BoardRow(
        name=name,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        kappa=Estimate(kappa, kappa - 0.1, kappa + 0.1),
        source="",
        **(given | more),
    )


SWEEP = [
    row("short", 0.5, tokens=64, pairs_per_s=400.0, megabytes=90.0),
    row("short", 0.7, tokens=256, pairs_per_s=100.0, megabytes=90.0),
    row("short", 0.6, tokens=128, pairs_per_s=200.0, megabytes=90.0),
    row("short", 0.4, tokens=128, policy_version=2, megabytes=90.0),
    row("judge", 0.8),  # behind an API: neither size nor tokens
]


def test_a_sweep_over_lengths_is_a_curve() -> None:
    figure = quality_against(SWEEP, TOKENS, ["short", "judge"])
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    # Version 1 has three points, by length; version 2 has one, which is no curve.
    assert [(list(line.x), list(line.y)) for line in lines] == [([64, 128, 256], [0.5, 0.6, 0.7])]
    (marks,) = [trace for trace in figure.data if trace.mode == "markers+text"]
    assert list(marks.x) == [64, 128, 256, 128]
    assert list(marks.text) == ["400/s", "200/s", "100/s", ""]
    assert "pairs a second: 400" in marks.hovertext[0]
    assert "pairs a second" not in marks.hovertext[3]


def test_models_of_one_size_are_no_curve() -> None:
    figure = quality_against(SWEEP, SIZE, ["short", "judge"])
    assert [trace.mode for trace in figure.data] == ["markers+text"]
    assert list(figure.data[0].text) == ["v1", "v1", "v1", "v2"]


def test_what_has_no_place_is_not_drawn() -> None:
    assert [one.kappa.value for one in drawn(SWEEP, TOKENS)] == [0.5, 0.7, 0.6, 0.4]
    assert quality_against(SWEEP[-1:], TOKENS, ["judge"]).data == ()
