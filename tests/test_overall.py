"""The overall grade, against values worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from policy_samples import body

from workbench.golden import NOT_APPLICABLE as NA
from workbench.golden import NOT_GRADED
from workbench.overall import overall_grades, overall_scores
from workbench.policy import Body


def rule(weights: list[float], overall: dict[str, Any], top: int = 4) -> Body:
    """A body with dimensions a, b, c … of these weights, each graded 0 to ``top``."""
    dimensions = [
        {
            "key": key,
            "title": key,
            "question": key,
            "weight": weight,
            "allow_na": True,
            "levels": [{"value": v, "name": str(v)} for v in range(top + 1)],
        }
        for key, weight in zip("abcdef", weights, strict=False)
    ]
    return body(dimensions=dimensions, overall=overall, retired=[])


def grades(*rows: tuple[int, ...]) -> dict[str, Any]:
    return {key: np.array(column) for key, column in zip("abcdef", zip(*rows, strict=True), strict=False)}


CUTS = [0.8, 1.6, 2.4, 3.2]


def test_weighted_means_by_hand() -> None:
    policy = rule([3, 2, 1], {"cut_points": CUTS})
    given = grades((4, 4, 4), (0, 0, 0), (4, 1, 0), (1, 2, 3), (0, 3, 4))
    # (12+8+4)/6 = 4; 0; (12+2+0)/6 = 14/6; (3+4+3)/6 = 10/6; (0+6+4)/6 = 10/6
    assert overall_scores(policy, given).tolist() == pytest.approx([4, 0, 14 / 6, 10 / 6, 10 / 6])
    # 4 >= 3.2; 0 < 0.8; 2.33 in [1.6, 2.4); 1.67 in [1.6, 2.4)
    assert overall_grades(policy, given).tolist() == [4, 0, 2, 2, 2]


def test_a_score_equal_to_a_cut_point_reaches_the_upper_level() -> None:
    # Five dimensions of weight 3: 12/15 = 0.8, 24/15 = 1.6, 36/15 = 2.4, 48/15 = 3.2, and 9/15 = 0.6 below the first.
    policy = rule([3] * 5, {"cut_points": CUTS})
    given = grades((4, 0, 0, 0, 0), (4, 4, 0, 0, 0), (4, 4, 4, 0, 0), (4, 4, 4, 4, 0), (3, 0, 0, 0, 0))
    assert overall_grades(policy, given).tolist() == [1, 2, 3, 4, 0]


@pytest.mark.parametrize(
    ("weights", "row", "cut"),
    [
        # 0.3/0.6, 0.9/0.6 and 0.9/0.6: the cut point in decimals, a hair below it in binary floating point.
        ([0.1, 0.2, 0.3], (0, 0, 1), 0.5),
        ([0.1, 0.2, 0.3], (1, 1, 2), 1.5),
        ([0.1, 0.2, 0.3], (1, 4, 0), 1.5),
    ],
)
def test_rounding_does_not_push_a_score_below_its_cut_point(
    weights: list[float], row: tuple[int, ...], cut: float
) -> None:
    policy = rule(weights, {"cut_points": [cut]})
    assert overall_scores(policy, grades(row))[0] < cut
    assert overall_grades(policy, grades(row)).tolist() == [1]


def test_a_dimension_that_is_not_applicable_leaves_the_mean_with_its_weight() -> None:
    policy = rule([3, 2, 1], {"cut_points": CUTS})
    given = grades((4, NA, 1), (NA, 2, NA), (NA, NA, NA))
    # (12+1)/4 = 3.25; 4/2 = 2; nothing
    assert overall_scores(policy, given)[:2].tolist() == pytest.approx([3.25, 2])
    assert np.isnan(overall_scores(policy, given)[2])
    assert overall_grades(policy, given).tolist() == [4, 2, NA]


def test_one_dimension_that_failed_leaves_the_pair_without_a_grade() -> None:
    policy = rule(
        [3, 2, 0], {"cut_points": CUTS, "gates": [{"id": "gate.1", "when": "b == 4", "at_least": 4}]}
    )
    given = grades((NOT_GRADED, 4, 4), (4, 4, NOT_GRADED), (NOT_GRADED, NA, NA), (NOT_GRADED,) * 3)
    # also where its weight is 0, where the others do not apply, and where a gate would fire
    assert overall_grades(policy, given).tolist() == [NOT_GRADED] * 4
    assert np.isnan(overall_scores(policy, given)).all()


def test_only_weights_of_zero_apply() -> None:
    policy = rule([0, 2], {"cut_points": CUTS})
    assert overall_grades(policy, grades((4, NA), (4, 1))).tolist() == [NA, 1]  # nothing weighs; 2/2 = 1


def test_the_minimum_of_what_applies() -> None:
    policy = rule([3, 2, 1], {"combine": "minimum", "cut_points": [1, 2, 3, 4]})
    given = grades((4, 3, 2), (4, NA, 3), (4, 0, 4), (NA, NA, NA), (4, NOT_GRADED, 0))
    assert overall_grades(policy, given).tolist() == [2, 3, 0, NA, NOT_GRADED]


def test_gates_bound_after_the_cut_points() -> None:
    gates = [
        {"id": "gate.1", "when": "a == 0", "at_most": 1},
        {"id": "gate.2", "when": "b == 4", "at_least": 3},
    ]
    policy = rule([1, 1], {"cut_points": CUTS, "gates": gates})
    # means 2, 1, 2.5, 4, 0.5 -> levels 2, 1, 3, 4, 0
    given = grades((0, 4), (0, 2), (1, 4), (4, 4), (0, 1))
    # (0, 4): first 1, then raised to 3; (0, 2): stays 1; the others are within their bounds
    assert overall_grades(policy, given).tolist() == [3, 1, 3, 4, 0]
    turned = rule([1, 1], {"cut_points": CUTS, "gates": gates[::-1]})
    # (0, 4): first raised to 3, then at most 1
    assert overall_grades(turned, given).tolist() == [1, 1, 3, 4, 0]


def test_a_gate_does_not_fire_on_what_is_not_applicable() -> None:
    gates = [
        {"id": "gate.1", "when": "a == 0", "at_most": 0},
        {"id": "gate.2", "when": "not (a > 0)", "at_most": 0},
        {"id": "gate.3", "when": "na(b)", "at_most": 2},
    ]
    policy = rule([1, 1], {"cut_points": CUTS, "gates": gates})
    assert overall_grades(policy, grades((NA, 4), (4, NA), (0, 4))).tolist() == [4, 2, 0]


def test_a_gate_never_grades_a_pair_that_has_no_score() -> None:
    policy = rule([1, 1], {"cut_points": CUTS, "gates": [{"id": "gate.1", "when": "na(a)", "at_least": 3}]})
    assert overall_grades(policy, grades((NA, NA), (NA, 0))).tolist() == [NA, 3]


def test_no_pairs() -> None:
    policy = rule([1, 1], {"cut_points": CUTS, "gates": [{"id": "gate.1", "when": "a == 0", "at_most": 1}]})
    empty = {key: np.array([], dtype=int) for key in "ab"}
    assert overall_grades(policy, empty).shape == (0,)
    minimum = rule([1, 1], {"combine": "minimum", "cut_points": CUTS})
    assert overall_grades(minimum, empty).shape == (0,)
