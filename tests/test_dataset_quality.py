"""The quality report, against figures derived by hand."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest

from workbench.dataset_grades import Graded
from workbench.dataset_quality import entropy_bits, quality
from workbench.golden import NOT_APPLICABLE, NOT_GRADED

NONE = [nan, nan, nan]


def graded(grades: list[int], probabilities: list[list[float]]) -> Graded:
    return Graded("taste", (0, 1, 2), np.array(grades), np.array(probabilities), np.full(len(grades), nan))


def test_a_small_pool_by_hand() -> None:
    column = graded(
        [0, 2, NOT_APPLICABLE, NOT_GRADED, 1, 0, 1, 2, 1],
        [[0.5, 0.25, 0.25], [0, 0, 1], NONE, NONE, NONE, NONE, NONE, NONE, NONE],
    )
    human = np.array([NOT_GRADED] * 5 + [0, 1, 2, 2])
    probes = np.array([False] * 5 + [True] * 4)
    (one,) = quality({"taste": column}, {"taste": human}, list("abcdefghi"), np.full(9, True), probes)
    assert (one.graded, one.not_applicable, one.failed, one.soft) == ((1, 1, 1), 1, 1, 2)
    # Rows with a level are the first, second and fifth: (.5 + 0 + 0) / 3, (.25 + 0 + 1) / 3, (.25 + 1 + 0) / 3.
    assert one.mass == pytest.approx((0.5 / 3, 1.25 / 3, 1.25 / 3))
    assert one.entropy_bits == pytest.approx((1.5 + 0) / 2)  # .5*1 + .25*2 + .25*2, and a certain one
    assert (one.probes, one.exact.value) == (4, 0.75)
    # Disagreement seen: one of four a level off, 1/4 * 1/4 = .0625. By chance, with margins (1/4, 1/4, 1/2) and
    # (1/4, 1/2, 1/4): .03125 + .0625 + .015625 + .015625 + .125 + .0625 = .3125. Kappa = 1 - .0625/.3125.
    assert one.kappa_quadratic.value == pytest.approx(0.8)
    rates = {rate.level: rate for rate in one.rates}
    # Four pairs of the pool were answered, the N/A among them.
    assert [rates[level].judge for level in (0, 1, 2, NOT_APPLICABLE)] == pytest.approx(
        [0.5 / 4, 1.25 / 4, 1.25 / 4, 1 / 4]
    )
    # Four labelled queries are too few for a correction: the share among the labels, without an interval.
    assert (rates[2].corrected.value, rates[2].corrected.low) == (0.5, None)
    assert "4 labelled queries" in rates[2].corrected.reason


def test_the_share_of_a_level_is_corrected_by_the_probes() -> None:
    # Twelve probes, one a query, on which judge and people agree: six at level 2, six at 0. Twelve of the pool, nine
    # of them at 2. Sums of squares are 12 * 1/4 = 3 and 12 * 3/16 = 2.25, so the judge's weight is 3 / 5.25 = 4/7 and
    # the share 4/7 * (.75 - .5) + .5.
    grades = [2] * 6 + [0] * 6 + [2] * 9 + [0] * 3
    column = graded(grades, [NONE] * 24)
    probes = np.array([True] * 12 + [False] * 12)
    human = np.where(probes, grades, NOT_GRADED)
    queries = [f"q{i}" for i in range(24)]
    (one,) = quality({"taste": column}, {"taste": human}, queries, np.full(24, True), probes)
    top = next(rate for rate in one.rates if rate.level == 2)
    assert top.judge == 0.75
    assert top.corrected.value == pytest.approx(0.5 + 1 / 7)
    assert top.corrected.low is not None
    assert top.corrected.low < 0.5 + 1 / 7 < (top.corrected.high or 0)


def test_rows_that_were_not_kept_count_for_the_pool_alone() -> None:
    column = graded([0, 0, 2], [NONE] * 3)
    nobody = np.full(3, NOT_GRADED)
    rows = np.array([False, True, True])
    (one,) = quality({"taste": column}, {"taste": nobody}, list("abc"), rows, np.full(3, False))
    assert one.graded == (1, 0, 1)
    assert one.rates[0].judge == pytest.approx(2 / 3)
    assert one.kappa_quadratic.value is None
    assert one.kappa_quadratic.reason != ""
    assert (one.soft, one.entropy_bits) == (0, None)


def test_entropy() -> None:
    found = entropy_bits(np.array([[0.25, 0.25, 0.25, 0.25], [1.0, 0, 0, 0], [0.5, 0.5, 0, 0]]))
    assert found.tolist() == [2.0, 0.0, 1.0]
