"""Which points no other one beats, derived by hand, and how they are drawn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.frontier import Placed, Point, pareto_line, place
from workbench.frontier_charts import frontier
from workbench.resampling import Estimate


def exact(value: float | None, reason: str = "") -> Estimate:
    """A value without an interval."""
    return Estimate(value, None, None, reason)


def point(label: str, policy: Estimate | float, click: Estimate | float, **about: float) -> Point:
    """A point; plain numbers have no interval."""
    values = [exact(v) if isinstance(v, float) else v for v in (policy, click)]
    return Point(label, values[0], values[1], about)


def by_label(placed: list[Placed]) -> dict[str, Placed]:
    """The points under their labels."""
    return {one.point.label: one for one in placed}


def test_the_frontier_of_a_sweep() -> None:
    # From a to c policy rises and click falls, so these three stand. d is below b in both; e has b's policy and less
    # click; f is as c.
    placed = place([
        point("a", 0.50, 0.90), point("b", 0.60, 0.80), point("c", 0.70, 0.60), point("d", 0.55, 0.70),
        point("e", 0.60, 0.75), point("f", 0.70, 0.60),
    ])  # fmt: skip
    found = by_label(placed)
    assert [one.point.label for one in placed if one.on_frontier] == ["a", "b", "c", "f"]
    assert found["d"].dominated_by == ("b", "e")
    assert found["e"].dominated_by == ("b",)
    assert pareto_line(placed) == [(0.60, 0.70), (0.80, 0.60), (0.90, 0.50)]


def test_noise_is_told_from_difference() -> None:
    # Both weak points are beaten by "strong" on both sides; only of "far" an interval ends (0.45) below its begin (0.50).
    strong = point("strong", Estimate(0.60, 0.50, 0.70), Estimate(0.80, 0.75, 0.85))
    near = point("near", Estimate(0.58, 0.48, 0.68), Estimate(0.79, 0.74, 0.84))
    far = point("far", Estimate(0.40, 0.35, 0.45), Estimate(0.79, 0.74, 0.84))
    found = by_label(place([strong, near, far]))
    assert (found["near"].dominated_by, found["near"].clearly) == (("strong",), False)
    assert (found["far"].dominated_by, found["far"].clearly) == (("strong", "near"), True)
    assert not found["strong"].clearly


def test_a_point_without_an_interval_is_never_clearly_beaten() -> None:
    found = by_label(place([point("strong", 0.9, 0.9), point("weak", 0.1, 0.1)]))
    assert (found["weak"].dominated_by, found["weak"].clearly) == (("strong",), False)


def test_what_is_not_known_has_no_place_and_beats_nobody() -> None:
    placed = place([
        point("known", 0.2, 0.6), point("no click", 0.9, exact(None, "It has no click head.")),
        point("neither", exact(None), exact(None)),
    ])  # fmt: skip
    found = by_label(placed)
    assert found["known"].on_frontier
    assert found["no click"].reason == "No click quality: It has no click head."
    assert found["neither"].reason == "No policy quality: It was not measured."
    assert not found["no click"].on_frontier
    assert pareto_line(placed) == [(0.6, 0.2)]


_SIDE = st.sampled_from([0.1, 0.2, 0.3, 0.4])


@given(st.lists(st.tuples(_SIDE, _SIDE), min_size=1, max_size=12))
def test_some_point_stands_and_every_beaten_one_is_beaten_by_one_that_stands(
    values: list[tuple[float, float]],
) -> None:
    placed = place([point(str(i), policy, click) for i, (policy, click) in enumerate(values)])
    standing = {one.point.label for one in placed if one.on_frontier}
    assert standing
    for one in placed:
        assert one.on_frontier or standing & set(one.dominated_by)
    line = pareto_line(placed)
    assert [policy for _, policy in line] == sorted((policy for _, policy in line), reverse=True)


def test_the_chart_shows_points_intervals_and_the_line() -> None:
    placed = place([
        point("m-1", Estimate(0.50, 0.40, 0.60), Estimate(0.90, 0.85, 0.95), alpha=0.0),
        point("m-2", Estimate(0.70, 0.65, 0.80), Estimate(0.60, 0.55, 0.65), alpha=1.0),
        point("m<3", Estimate(0.45, 0.35, 0.55), Estimate(0.58, 0.50, 0.66), alpha=0.5),
        point("m-4", Estimate(None, None, None, "No labels."), Estimate(0.9, 0.8, 1.0), alpha=0.25),
    ])  # fmt: skip
    figure = frontier(placed)
    line, standing, beaten = figure.data
    assert (list(line.x), list(line.y)) == ([0.60, 0.90], [0.70, 0.50])
    assert (list(standing.x), list(standing.y)) == ([0.90, 0.60], [0.50, 0.70])
    assert list(standing.text) == ["alpha 0.0", "alpha 1.0"]
    assert list(beaten.text) == ["alpha 0.5"]
    # The bars of m-1: 0.90 - 0.85 to the left, 0.95 - 0.90 to the right; 0.10 down and up.
    assert [round(v, 9) for v in (standing.error_x.arrayminus[0], standing.error_x.array[0])] == [0.05, 0.05]
    assert [round(v, 9) for v in (standing.error_y.arrayminus[0], standing.error_y.array[0])] == [0.1, 0.1]
    # m<3 is beaten by both; m-1's click interval begins (0.85) above the end of its own (0.66).
    assert beaten.hovertext[0] == (
        "m&lt;3<br>alpha 0.5<br>κ 0.45 [0.35, 0.55]<br>click AUC 0.58 [0.50, 0.66]<br>"
        "beaten by m-1, m-2, beyond noise"
    )
