"""Agreement with sampling weights: by hand, and against plain agreement on pairs written out as often as they weigh."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.agreement import agreement
from workbench.golden import NOT_GRADED
from workbench.weighted_agreement import weighted_agreement

LEVELS = [0, 1, 2]


def test_an_oversampled_stratum_is_corrected() -> None:
    # Of a population of 20, two of 18 easy pairs and both hard ones were drawn. The judge is right on the easy ones.
    human, judge = np.array([0, 1, 0, 1]), np.array([0, 1, 1, 0])
    weights = np.array([9.0, 9, 1, 1])
    found = weighted_agreement(judge, human, weights, [1, 2, 3, 4], [0, 1], resamples=0)
    # Weighted confusion [[9, 1], [1, 9]]: exact 18/20; chance 0.5, so kappa (0.9 - 0.5) / 0.5.
    assert found.confusion.tolist() == [[9, 1], [1, 9]]
    assert found.exact.value == pytest.approx(0.9)
    assert found.kappa_quadratic.value == pytest.approx(0.8)
    assert found.recall[0].value == pytest.approx(0.9)
    assert (found.n, found.population) == (4, 20)
    # Kish: 20² / (81 + 81 + 1 + 1).
    assert found.n_effective == pytest.approx(400 / 164)
    # Unweighted, the hard pairs are half of all: exact 0.5, kappa 0.
    plain = agreement(judge, human, [1, 2, 3, 4], [0, 1], resamples=0)
    assert (plain.exact.value, plain.kappa_quadratic.value) == (0.5, 0)


@given(
    rows=st.lists(
        st.tuples(st.integers(-3, 2), st.integers(-2, 2), st.integers(1, 4), st.integers(0, 5)), max_size=30
    )
)
def test_whole_weights_are_as_good_as_repeated_pairs(rows: list[tuple[int, int, int, int]]) -> None:
    table = np.array(rows, dtype=np.int_).reshape(-1, 4)
    judge, human, weights, clusters = table.T
    found = weighted_agreement(judge, human, weights.astype(float), clusters, LEVELS, resamples=0)
    again = np.repeat(table, weights, axis=0)
    plain = agreement(again[:, 0], again[:, 1], again[:, 3], LEVELS, resamples=0)
    assert found.confusion.tolist() == plain.confusion.tolist()
    for mine, theirs in [
        (found.kappa_quadratic, plain.kappa_quadratic),
        (found.exact, plain.exact),
        *((found.recall[level], plain.recall[level]) for level in LEVELS),
    ]:
        assert mine.value == (None if theirs.value is None else pytest.approx(theirs.value))


def test_equal_weights_give_the_plain_values_and_intervals() -> None:
    rng = np.random.default_rng(5)
    human = rng.integers(0, 3, 200)
    judge = np.clip(human + rng.integers(-1, 2, 200), 0, 2)
    clusters = np.arange(200) // 4
    plain = agreement(judge, human, clusters, LEVELS, resamples=400)
    found = weighted_agreement(judge, human, np.full(200, 1.0), clusters, LEVELS, resamples=400)
    assert found.kappa_quadratic == plain.kappa_quadratic
    assert found.exact == plain.exact
    # A common factor changes no share.
    scaled = weighted_agreement(judge, human, np.full(200, 2.5), clusters, LEVELS, resamples=400)
    assert scaled.kappa_quadratic.low == pytest.approx(plain.kappa_quadratic.low)
    assert scaled.n_effective == pytest.approx(200)


def test_what_is_undefined_says_why() -> None:
    nothing = weighted_agreement(
        np.array([NOT_GRADED]), np.array([1]), np.array([2.0]), ["q"], LEVELS, resamples=10
    )
    assert (nothing.n, nothing.n_effective, nothing.population) == (0, None, 0)
    assert nothing.exact.value is None
    assert "No pair has both" in nothing.exact.reason
    same = weighted_agreement(
        np.array([0, 1]), np.array([1, 1]), np.array([1.0, 3]), ["q", "r"], LEVELS, resamples=10
    )
    assert same.kappa_quadratic.value is None
    assert same.kappa_quadratic.reason == "All 2 human grades are 1; this needs at least two levels."
    assert same.exact.value == 0.75
    assert same.recall[0].reason == "No comparable pair has the human grade 0."


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_weights_that_no_design_gives_are_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="finite and above 0"):
        weighted_agreement(np.array([1]), np.array([1]), np.array([wrong]), ["q"], LEVELS)
