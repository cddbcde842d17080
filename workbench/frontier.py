"""Which models no other one beats, where two figures are to be high at once.

A point dominates another where it is at least as good in both figures and better in one; the points that none
dominates are the Pareto frontier. Values decide that. Whether the difference is more than noise is told beside it,
from the intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.resampling import Estimate


@dataclass(frozen=True)
class Point:
    """One model: its agreement with the policy's labels, its click quality, and what else is to be said of it."""

    label: str
    policy: Estimate  # quadratic kappa of the overall grade, for example
    click: Estimate  # AUC, for example
    about: Mapping[str, Any] = field(default_factory=dict)  # such as the fields that a sweep varies


@dataclass(frozen=True)
class Placed:
    """A point among others.

    ``clearly`` says that one of ``dominated_by`` is better beyond noise: in one figure at least, its interval begins
    above the end of this point's. ``reason`` says why a point has no place; it is "" where it has one.
    """

    point: Point
    dominated_by: tuple[str, ...] = ()
    clearly: bool = False
    reason: str = ""

    @property
    def on_frontier(self) -> bool:
        """Whether both figures are known and no other point beats it."""
        return not self.reason and not self.dominated_by


def place(points: Sequence[Point]) -> list[Placed]:
    """Return each point with those that dominate it, in the order given.

    A point of which one figure is unknown has no place and dominates nobody. Two equal points dominate neither each
    other.
    """
    return [_placed(point, points) for point in points]


def pareto_line(placed: Sequence[Placed]) -> list[tuple[float, float]]:
    """Return (click, policy) of the frontier, ascending in click and so descending in policy."""
    return sorted({_values(one.point) for one in placed if one.on_frontier})


def _placed(point: Point, points: Sequence[Point]) -> Placed:
    for words, found in (("policy", point.policy), ("click", point.click)):
        if found.value is None:
            why = found.reason or "It was not measured."
            return Placed(point, reason=f"No {words} quality: {why}")
    better = [other for other in points if _known(other) and _dominates(other, point)]
    return Placed(
        point,
        dominated_by=tuple(other.label for other in better),
        clearly=any(
            _above(other.policy, point.policy) or _above(other.click, point.click) for other in better
        ),
    )


def _known(point: Point) -> bool:
    return point.policy.value is not None and point.click.value is not None


def _values(point: Point) -> tuple[float, float]:
    assert point.click.value is not None
    assert point.policy.value is not None
    return point.click.value, point.policy.value


def _dominates(one: Point, other: Point) -> bool:
    (click, policy), (their_click, their_policy) = _values(one), _values(other)
    return click >= their_click and policy >= their_policy and (click, policy) != (their_click, their_policy)


def _above(one: Estimate, other: Estimate) -> bool:
    return one.low is not None and other.high is not None and one.low > other.high
