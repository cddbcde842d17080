"""Statistics of confusion matrices: by hand, against the field's libraries, and as properties."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score, recall_score

from workbench import confusion
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, UNRATEABLE

# Human 0 0 1 1 2 2 and judge 0 1 1 1 2 0. Rows sum to 2 2 2, columns to 2 3 1.
HAND = np.array([[1, 1, 0], [0, 2, 0], [1, 0, 1]])
# The same grades where the third level is called 4 and levels 2 and 3 are declared but unused.
SPREAD = np.zeros((5, 5), dtype=int)
SPREAD[np.ix_([0, 1, 4], [0, 1, 4])] = HAND

STATISTICS = [
    confusion.exact,
    confusion.within_one,
    confusion.kappa_linear,
    confusion.kappa_quadratic,
    confusion.alpha_ordinal,
    confusion.ac2,
    confusion.spearman,
    confusion.bias,
    confusion.recall,
    confusion.kappa_of_equals,
]
SYMMETRIC = [s for s in STATISTICS if s not in (confusion.bias, confusion.recall)]


def matrix(human, judge, levels):
    return confusion.confusions(
        np.asarray(human), np.asarray(judge), np.zeros(len(human), dtype=int), 1, tuple(range(levels))
    )[0]


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        (confusion.exact, 4 / 6),
        (confusion.within_one, 5 / 6),
        # Observed 1·1 + 2·1 = 3. Expected Σ r_i |i-j| c_j / 6 = 2 (5 + 3 + 7) / 6 = 5. 1 - 3/5.
        (confusion.kappa_linear, 0.4),
        # Observed 1·1 + 4·1 = 5. Expected 2 (7 + 3 + 11) / 6 = 7. 1 - 5/7.
        (confusion.kappa_quadratic, 2 / 7),
        # Pooled counts 4 5 3, mid-ranks less one half 2, 6.5, 10.5; squared differences 20.25 (0-1), 16 (1-2),
        # 72.25 (0-2). Observed 2 (20.25 + 72.25) = 185. Expected 2 (20·20.25 + 15·16 + 12·72.25) = 3024.
        # 1 - (12 - 1)·185/3024.
        (confusion.alpha_ordinal, 989 / 3024),
        # Weights 1, 3/4, 0. p_a = (4 + 3/4)/6 = 57/72. T = 3 + 4·3/4 = 6, T/(3·2) = 1.
        # π = 4/12, 5/12, 3/12; p_e = (32 + 35 + 27)/144 = 47/72. (57 - 47)/(72 - 47).
        (confusion.ac2, 0.4),
        # Centred mid-ranks: human -2 0 2, judge -2 0.5 2.5. Covariance 4 - 1 + 0 - 4 + 5 = 4.
        # Spreads 2·4 + 2·4 = 16 and 2·4 + 3·0.25 + 6.25 = 15.
        (confusion.spearman, 4 / np.sqrt(16 * 15)),
        (confusion.bias, 5 / 6 - 1),
        (confusion.recall, [1 / 2, 1, 1 / 2]),
    ],
)
def test_by_hand(statistic, expected):
    assert statistic(HAND) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("statistic", "declared", "compressed"),
    [
        # Distances are now 1 (0-1), 3 (1-4), 4 (0-4).
        # Linear: observed 1 + 4 = 5, expected 2 (7 + 5 + 17)/6 = 58/6; 1 - 30/58.
        (confusion.kappa_linear, 14 / 29, 0.4),
        # Quadratic: observed 1 + 16 = 17, expected 2 (19 + 11 + 59)/6 = 178/6; 1 - 102/178.
        (confusion.kappa_quadratic, 38 / 89, 2 / 7),
        # Weights 15/16 (1 apart), 0 (4 apart): p_a = (4 + 15/16)/6 = 316/384. T = 25 - 2 (4 + 12 + 18 + 16)/16
        # = 18.75, T/20 = 15/16, p_e = 15/16 · 47/72 = 235/384. (316 - 235)/(384 - 235).
        (confusion.ac2, 81 / 149, 0.4),
        # Ranks do not see a level that nobody used.
        (confusion.alpha_ordinal, 989 / 3024, 989 / 3024),
        (confusion.spearman, 4 / np.sqrt(240), 4 / np.sqrt(240)),
        (confusion.exact, 4 / 6, 4 / 6),
    ],
)
def test_unused_level_between_used_ones(statistic, declared, compressed):
    assert statistic(SPREAD) == pytest.approx(declared, abs=1e-12)
    assert statistic(HAND) == pytest.approx(compressed, abs=1e-12)


def test_unused_level_at_the_end_moves_only_ac2():
    longer = np.zeros((4, 4), dtype=int)
    longer[:3, :3] = HAND
    # The divisor (L - 1)² of the weights cancels in kappa.
    assert confusion.kappa_quadratic(longer) == pytest.approx(2 / 7, abs=1e-12)
    assert confusion.kappa_linear(longer) == pytest.approx(0.4, abs=1e-12)
    assert confusion.alpha_ordinal(longer) == pytest.approx(989 / 3024, abs=1e-12)
    # Weights 8/9 and 5/9: p_a = (4 + 13/9)/6 = 882/972. T = 4 + 2 (3·8/9 + 2·5/9) = 104/9, T/12 = 26/27,
    # p_e = 26/27 · 47/72 = 611/972. (882 - 611)/(972 - 611).
    assert confusion.ac2(longer) == pytest.approx(271 / 361, abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_against_the_libraries(seed):
    rng = np.random.default_rng(seed)
    levels = int(rng.integers(2, 7))
    human = rng.integers(0, levels, 60)
    judge = np.clip(human + rng.integers(-1, 2, 60), 0, levels - 1)
    counts, labels = matrix(human, judge, levels), np.arange(levels)
    for statistic, weights in (
        (confusion.kappa_linear, "linear"),
        (confusion.kappa_quadratic, "quadratic"),
    ):
        assert statistic(counts) == pytest.approx(
            cohen_kappa_score(human, judge, labels=labels, weights=weights), abs=1e-12
        )
    alpha = krippendorff.alpha(
        reliability_data=np.stack([human, judge]), level_of_measurement="ordinal", value_domain=labels
    )
    assert confusion.alpha_ordinal(counts) == pytest.approx(alpha, abs=1e-12)
    assert confusion.spearman(counts) == pytest.approx(spearmanr(human, judge).statistic, abs=1e-12)
    expected = recall_score(human, judge, labels=labels, average=None, zero_division=np.nan)
    assert confusion.recall(counts) == pytest.approx(expected, nan_ok=True)


def test_ac2_against_sums_over_pairs():
    # Independent of the matrix form: mean weight over pairs, and chance from the pooled grades.
    rng = np.random.default_rng(3)
    human, judge = rng.integers(0, 5, 80), rng.integers(1, 4, 80)
    observed = np.mean([1 - (h - j) ** 2 / 16 for h, j in zip(human, judge, strict=True)])
    pooled = np.concatenate([human, judge])
    total = sum(1 - (i - j) ** 2 / 16 for i in range(5) for j in range(5))
    chance = total / 20 * sum(np.mean(pooled == k) * np.mean(pooled != k) for k in range(5))
    assert confusion.ac2(matrix(human, judge, 5)) == pytest.approx((observed - chance) / (1 - chance))


def test_undefined_is_nan_never_zero():
    nothing = np.zeros((3, 3), dtype=int)
    for statistic in STATISTICS:
        assert np.isnan(statistic(nothing)).all(), statistic.__name__
    same = np.diag([0, 4, 0])
    for statistic in (
        confusion.kappa_linear,
        confusion.kappa_quadratic,
        confusion.alpha_ordinal,
        confusion.spearman,
    ):
        assert np.isnan(statistic(same)), statistic.__name__
    assert confusion.exact(same) == confusion.ac2(same) == 1


def test_one_level_against_many():
    human_varied = np.array([[0, 3], [0, 2]])
    # A judge that always answers 1 agrees as far as chance does.
    assert confusion.kappa_quadratic(human_varied) == 0
    assert confusion.unless_one_class(confusion.kappa_quadratic)(human_varied) == 0
    assert np.isnan(confusion.unless_one_class(confusion.kappa_quadratic)(human_varied.T))
    assert np.isnan(confusion.kappa_of_equals(human_varied))
    assert np.isnan(confusion.kappa_of_equals(human_varied.T))


def test_mean_kappa_weights_by_pairs_and_leaves_out_the_undefined():
    one_level = np.array([[0, 50, 0], [0, 0, 0], [0, 0, 0]])
    perfect = np.diag([1, 1, 0])
    # (6·2/7 + 2·1)/(6 + 2); the 50 pairs on which kappa is undefined count nothing.
    assert confusion.mean_kappa(np.stack([HAND, perfect, one_level])) == pytest.approx((12 / 7 + 2) / 8)
    assert np.isnan(confusion.mean_kappa(one_level[None]))


def test_large_counts_do_not_overflow():
    # 6e9 pairs: the product of two margins and a sum leaves 64 bits.
    assert confusion.kappa_quadratic(HAND * 10**9) == pytest.approx(2 / 7)
    assert confusion.spearman(HAND * 10**9) == pytest.approx(4 / np.sqrt(240))


def test_confusions_of_clusters_leave_out_pairs_without_a_level():
    human = np.array([2, 3, NOT_APPLICABLE, 4, 2])
    judge = np.array([3, 3, 3, NOT_GRADED, 4])
    found = confusion.confusions(human, judge, np.array([0, 2, 0, 0, 0]), 3, (2, 3, 4))
    assert found[0].tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert found[1].sum() == 0
    assert found[2].tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_coincidences_by_hand():
    # Two votes for level 0 and one for level 1: ordered pairs 0-0 twice, 0-1 twice, 1-0 twice, each 1/(3 - 1).
    found = confusion.coincidences(np.array([[2, 1], [1, 0], [0, 0]]))
    assert found[0].tolist() == [[1, 1], [1, 0]]
    assert not found[1:].any()  # fewer than two votes are no coincidence


def test_median_of_rest_is_the_lower_one():
    ratings = np.array([[0, 0, 4, NOT_GRADED], [1, 3, NOT_GRADED, 2], [3, 3, NOT_GRADED, 2]])
    scale = (0, 1, 2, 3, 4)
    cast = confusion.votes(ratings, scale)
    # Others of the first: {1, 3} -> 1; {3, 3} -> 3; nobody; {2, 2} -> 2.
    assert confusion.median_of_rest(ratings[0], cast, scale).tolist() == [1, 3, NOT_GRADED, 2]
    # Others of the second: {0, 3} -> 0; {0, 3} -> 0; {4} -> 4; {2} -> 2.
    assert confusion.median_of_rest(ratings[1], cast, scale).tolist() == [0, 0, 4, 2]


def test_checked_takes_unrateable_as_not_graded_and_leaves_the_input_alone():
    given_grades = np.array([UNRATEABLE, 0, NOT_APPLICABLE])
    assert confusion.checked(given_grades, (0, 1), "x").tolist() == [NOT_GRADED, 0, NOT_APPLICABLE]
    assert given_grades[0] == UNRATEABLE


@pytest.mark.parametrize("levels", [[0], [], [0, 2], [1, 0], [-1, 0]])
def test_levels_that_are_no_scale(levels):
    with pytest.raises(ValueError, match="consecutive"):
        confusion.declared(levels)


counts_of = st.integers(2, 5).flatmap(
    lambda n: st.lists(st.integers(0, 6), min_size=n * n, max_size=n * n).map(lambda x: np.reshape(x, (n, n)))
)


@given(counts_of)
def test_symmetric_in_the_raters(counts):
    for statistic in SYMMETRIC:
        assert statistic(counts) == pytest.approx(statistic(counts.T), nan_ok=True, abs=1e-9), (
            statistic.__name__
        )
    assert confusion.bias(counts) == pytest.approx(-confusion.bias(counts.T), nan_ok=True)


@given(counts_of)
def test_reversing_the_scale_changes_only_the_sign_of_the_bias(counts):
    for statistic in SYMMETRIC:
        assert statistic(counts[::-1, ::-1]) == pytest.approx(statistic(counts), nan_ok=True, abs=1e-9)
    assert confusion.bias(counts[::-1, ::-1]) == pytest.approx(-confusion.bias(counts), nan_ok=True)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5))
def test_perfect_agreement_is_one(diagonal):
    for statistic in SYMMETRIC:
        assert statistic(np.diag(diagonal)) == pytest.approx(1), statistic.__name__


@given(counts_of, counts_of)
def test_a_stack_is_its_matrices(first, second):
    size = min(len(first), len(second))
    stack = np.stack([first[:size, :size], second[:size, :size]])
    for statistic in STATISTICS:
        expected = np.stack([statistic(one) for one in stack])
        assert statistic(stack) == pytest.approx(expected, nan_ok=True), statistic.__name__
