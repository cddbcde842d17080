"""Controls of the overall rule: pushed cut points, following a draft, and back to a body."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_samples import body

from workbench.errors import BadInput
from workbench.rule_controls import applied, controls_of, cut_points, followed, pushed

TEA = {
    "combine": "weighted_mean",
    "weight:taste": 3.0,
    "weight:strength": 1.0,
    "cut:0": 0.5,
    "cut:1": 1.5,
    "gate:gate.1": True,
    "bound:gate.1": 0,
}


def test_controls_of_the_sample() -> None:
    assert controls_of(body()) == TEA
    assert applied(body(), controls_of(body())) == body()


def test_moved_controls_make_the_rule() -> None:
    moved = TEA | {"combine": "minimum", "weight:strength": 2.5, "cut:1": 1.75, "bound:gate.1": 2}
    made = applied(body(), moved)
    assert controls_of(made) == moved
    assert made.overall.gates[0].when == "taste == 0"
    assert made.overall.gates[0].because == "A clash is a clash."


def test_a_gate_that_is_off_is_retired() -> None:
    made = applied(body(), TEA | {"gate:gate.1": False})
    assert made.overall.gates == ()
    assert made.retired == ("taste.3", "gate.1")


def test_what_is_no_rule_is_refused() -> None:
    with pytest.raises(BadInput, match="cut points must ascend"):
        applied(body(), TEA | {"cut:1": 0.5})


def test_controls_follow_unless_they_were_moved() -> None:
    mine = TEA | {"weight:taste": 4.0}
    theirs = TEA | {"weight:taste": 2.0, "weight:strength": 2.0, "gate:gate.2": True, "bound:gate.2": 1}
    del theirs["gate:gate.1"], theirs["bound:gate.1"]
    assert followed(mine, TEA, theirs) == theirs | {"weight:taste": 4.0}


def test_what_was_kept_is_not_moved_any_more() -> None:
    mine = TEA | {"cut:0": 0.75}
    assert followed(mine, TEA, mine) == mine


def test_cut_points_follow_together_where_they_would_cross() -> None:
    # Mine moved the lower one to 1.2; theirs moved the upper one to 1.0.
    theirs = TEA | {"cut:1": 1.0}
    assert followed(TEA | {"cut:0": 1.2, "weight:taste": 4.0}, TEA, theirs) == theirs | {"weight:taste": 4.0}


def test_another_number_of_cut_points_takes_bounds_along() -> None:
    fewer = {name: value for name, value in TEA.items() if name != "cut:1"}
    assert followed(TEA | {"cut:0": 0.75, "bound:gate.1": 2}, TEA, fewer) == fewer


@pytest.mark.parametrize(
    ("i", "value", "expected"),
    [
        (0, 0.6, [0.6, 1.5, 2.5]),  # nothing in the way
        (0, 1.5, [1.5, 1.55, 2.5]),
        (0, 2.5, [2.5, 2.55, 2.6]),
        (0, 4.0, [3.9, 3.95, 4.0]),  # room for two above
        (2, 0.0, [0.0, 0.05, 0.1]),  # room for two below
        (1, 0.5, [0.45, 0.5, 2.5]),
        (1, 0.30000000000000004, [0.25, 0.3, 2.5]),
    ],
)
def test_a_cut_point_pushes_its_neighbours(i: int, value: float, expected: list[float]) -> None:
    assert pushed([0.5, 1.5, 2.5], i, value, low=0, high=4, step=0.05) == pytest.approx(expected, abs=1e-12)


def test_cut_points_that_are_not_in_the_way_stay_however_close() -> None:
    assert pushed([0.1, 0.8, 0.81], 0, 0.2, low=0, high=4, step=0.05) == [0.2, 0.8, 0.81]


@given(st.data())
def test_pushed_cut_points_ascend_and_stay_in_range(data: st.DataObject) -> None:
    grid = [i / 20 for i in range(81)]
    cuts = sorted(data.draw(st.lists(st.sampled_from(grid), min_size=1, max_size=6, unique=True)))
    i = data.draw(st.integers(0, len(cuts) - 1))
    value = data.draw(st.floats(0, 4))
    made = pushed(cuts, i, value, low=0, high=4, step=0.05)
    assert all(b - a > 0.05 - 1e-5 for a, b in zip([*made], made[1:], strict=False))
    assert made[0] >= -1e-9
    assert made[-1] <= 4 + 1e-9
    assert cut_points({f"cut:{j}": cut for j, cut in enumerate(made)}) == made
