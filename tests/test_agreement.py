"""Agreement, comparison of runs and agreement between labelers: by hand, against libraries, degenerate slices."""

from __future__ import annotations

import dataclasses

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from workbench.agreement import agreement, compare, compare_many, holm, noise
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, UNRATEABLE
from workbench.labelers import THE_REST, krippendorff_alpha, labeler_agreement

LEVELS = range(5)
# The example whose statistics tests/test_confusion.py derives: kappas 0.4 linear and 2/7 quadratic.
HUMAN = np.array([0, 0, 1, 1, 2, 2])
JUDGE = np.array([0, 1, 1, 1, 2, 0])
QUERIES = np.arange(6)

NUMBERS = ("kappa_quadratic", "kappa_linear", "exact", "within_one", "alpha", "ac2", "spearman", "bias")
FROM_CHANCE = ("kappa_quadratic", "kappa_linear", "alpha", "spearman")


def noisy(rng, truth, missing=0.1):
    """Grades near ``truth``, some of them failed or N/A."""
    grades = np.clip(truth + rng.choice([-2, -1, 0, 0, 0, 0, 1, 2], len(truth)), 0, 4)
    grades[rng.random(len(truth)) < missing] = NOT_GRADED
    grades[rng.random(len(truth)) < missing] = NOT_APPLICABLE
    return grades


LATER = ("within_one", "alpha", "ac2", "spearman", "bias", "recall")


def dump(value):
    """All that an agreement says, the statistics among it that are computed when asked for."""
    given = {
        f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.name not in ("_rows", "_drawn")
    }
    return given | {name: getattr(value, name) for name in LATER} | {"confusion": value.confusion.tolist()}


def test_agreement_by_hand():
    found = agreement(JUDGE, HUMAN, QUERIES, range(3), resamples=200)
    assert found.n == 6
    assert found.levels == (0, 1, 2)
    assert found.confusion.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    expected = {
        "kappa_quadratic": 2 / 7,
        "kappa_linear": 0.4,
        "exact": 4 / 6,
        "within_one": 5 / 6,
        "alpha": 989 / 3024,
        "ac2": 0.4,
        "spearman": 4 / np.sqrt(240),
        "bias": -1 / 6,
    }
    for name, value in expected.items():
        estimate = getattr(found, name)
        assert estimate.value == pytest.approx(value, abs=1e-12), name
        assert estimate.low <= value <= estimate.high, name
    assert {level: estimate.value for level, estimate in found.recall.items()} == {0: 0.5, 1: 1, 2: 0.5}


def test_kappa_is_over_the_declared_levels():
    human, judge = np.where(HUMAN == 2, 4, HUMAN), np.where(JUDGE == 2, 4, JUDGE)
    # Grades 0 1 4 of 0 to 4: 38/89; as the levels 0 1 2 that occurred, in order: 2/7.
    assert agreement(judge, human, QUERIES, LEVELS).kappa_quadratic.value == pytest.approx(38 / 89, abs=1e-12)
    # Nobody gave 0 on the scale 0 to 3 either; a scale need not begin at 0.
    for levels in (range(4), range(1, 4)):
        found = agreement(JUDGE + 1, HUMAN + 1, QUERIES, levels)
        assert found.kappa_quadratic.value == pytest.approx(2 / 7, abs=1e-12)
        assert found.recall[1].value == 0.5


def test_every_pair_is_counted_once():
    human = np.array([0, 1, 2, NOT_GRADED, UNRATEABLE, NOT_APPLICABLE, NOT_APPLICABLE, NOT_APPLICABLE, 1])
    judge = np.array([0, 1, NOT_GRADED, 2, NOT_GRADED, 1, NOT_APPLICABLE, NOT_GRADED, NOT_APPLICABLE])
    found = agreement(judge, human, range(9), range(3))
    assert found.n == 2
    assert found.n_failed == 2  # where the human gave 2, and where the human said N/A
    assert found.n_unlabelled == 2  # unrateable is no label
    assert (found.n_not_applicable_judge, found.n_not_applicable_human, found.n_not_applicable_both) == (
        1,
        1,
        1,
    )


@pytest.mark.parametrize("seed", range(4))
def test_agreement_with_missing_values_against_the_libraries(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, 120)
    human, judge = noisy(rng, truth), noisy(rng, truth)
    found = agreement(judge, human, rng.integers(0, 30, 120), LEVELS, resamples=50)
    both = (human >= 0) & (judge >= 0)
    h, j = human[both], judge[both]
    assert found.n == both.sum()
    for name, weights in (("kappa_quadratic", "quadratic"), ("kappa_linear", "linear")):
        expected = cohen_kappa_score(h, j, labels=list(LEVELS), weights=weights)
        assert getattr(found, name).value == pytest.approx(expected, abs=1e-12)
    alpha = krippendorff.alpha(
        reliability_data=np.stack([h, j]), level_of_measurement="ordinal", value_domain=list(LEVELS)
    )
    assert found.alpha.value == pytest.approx(alpha, abs=1e-12)
    assert found.spearman.value == pytest.approx(spearmanr(h, j).statistic, abs=1e-12)
    assert found.bias.value == pytest.approx(j.mean() - h.mean(), abs=1e-12)
    for name in NUMBERS:
        estimate = getattr(found, name)
        assert estimate.low < estimate.value < estimate.high, name


def test_interval_against_a_loop_over_resampled_queries():
    rng = np.random.default_rng(11)
    truth = rng.integers(0, 5, 200)
    judge, queries = noisy(rng, truth, missing=0), np.repeat(np.arange(40), 5)
    judge[judge < 0] = 0
    found = agreement(judge, truth, queries, LEVELS, resamples=4000)
    pairs_of = np.arange(200).reshape(40, 5)
    loop = []
    for _ in range(1000):
        drawn = pairs_of[rng.integers(0, 40, 40)].ravel()
        loop.append(cohen_kappa_score(truth[drawn], judge[drawn], labels=list(LEVELS), weights="quadratic"))
    low, high = np.quantile(loop, [0.025, 0.975])
    width = high - low
    # Two independent bootstraps of 1,000 and 4,000: quantiles agree to a few hundredths of the width.
    assert found.kappa_quadratic.low == pytest.approx(low, abs=0.12 * width)
    assert found.kappa_quadratic.high == pytest.approx(high, abs=0.12 * width)


def test_one_level_slice_is_none_with_a_reason():
    found = agreement(np.array([3, 3, 2, 4]), np.full(4, 3), range(4), LEVELS)
    for name in FROM_CHANCE:
        estimate = getattr(found, name)
        assert (estimate.value, estimate.low, estimate.high) == (None, None, None), name
        assert estimate.reason == "All 4 human grades are 3; this needs at least two levels."
    assert found.exact.value == 0.5
    assert found.bias.value == 0
    assert found.ac2.value is not None
    assert found.recall[3].value == 0.5
    assert found.recall[0].value is None
    assert found.recall[0].reason == "No comparable pair has the human grade 0."


def test_a_judge_with_one_answer_has_kappa_zero_and_no_rank_correlation():
    found = agreement(np.full(4, 2), np.array([0, 1, 2, 4]), range(4), LEVELS)
    assert found.kappa_quadratic.value == 0
    assert found.spearman.value is None
    assert found.spearman.reason == "All 4 judge grades are 2; this needs at least two levels."


@pytest.mark.parametrize(
    ("judge", "human"),
    [([], []), ([NOT_GRADED, 1], [1, NOT_GRADED]), ([NOT_APPLICABLE], [NOT_APPLICABLE])],
)
def test_nothing_comparable_is_none_with_a_reason(judge, human):
    found = agreement(np.array(judge), np.array(human), list(range(len(judge))), LEVELS)
    assert found.n == 0
    assert found.confusion.tolist() == [[0] * 5] * 5
    for estimate in (*(getattr(found, name) for name in NUMBERS), *found.recall.values()):
        assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
        assert estimate.reason == "No pair has both a judge grade and a human grade."


def test_one_query_has_a_value_and_no_interval():
    found = agreement(JUDGE, HUMAN, ["q"] * 6, range(3))
    assert found.kappa_quadratic.value == pytest.approx(2 / 7)
    assert found.kappa_quadratic.low is None
    assert found.kappa_quadratic.reason == "No interval: all comparable pairs belong to one query."


def test_resamples_of_one_level_leave_no_interval():
    # Two queries of one level each: half of the resamples draw one query twice and have a single human level.
    found = agreement(np.array([0, 1]), np.array([0, 1]), [0, 1], range(2), resamples=1000)
    assert found.kappa_quadratic.value == 1
    assert found.kappa_quadratic.low is None
    assert "undefined in" in found.kappa_quadratic.reason
    assert (found.exact.low, found.exact.high) == (1, 1)


@pytest.mark.parametrize(
    ("judge", "human", "queries", "levels", "message"),
    [
        ([5, 0], [0, 0], [0, 1], LEVELS, r"1 grade\(s\) of the judge lie outside .* 0 to 4, such as 5"),
        ([0, 0], [0, -4], [0, 1], LEVELS, r"of the human lie outside .* such as -4"),
        ([0, 0], [0, 1], [0, 1], range(1, 5), "outside the declared levels 1 to 4, such as 0"),
        ([0.0, 1.0], [0, 0], [0, 1], LEVELS, "must be integers"),
        ([[0, 1]], [0, 0], [0, 1], LEVELS, "must be integers in 1 dimension"),
        ([0], [0, 1], [0, 1], LEVELS, "judge has 1, human has 2, clusters has 2"),
        ([0, 1], [0, 1], [0], LEVELS, "clusters has 1"),
        ([0, 1], [0, 1], [0, None], LEVELS, "no query"),
        ([0, 1], [0, 1], [0, 1], [0, 1, 3], "consecutive"),
    ],
)
def test_refuses_what_does_not_fit(judge, human, queries, levels, message):
    with pytest.raises(ValueError, match=message):
        agreement(np.array(judge), np.array(human), queries, levels)


rated = st.lists(
    st.tuples(st.integers(NOT_APPLICABLE, 4), st.integers(UNRATEABLE, 4), st.integers(0, 4)), max_size=30
)


@settings(max_examples=60, deadline=None)
@given(rated, st.randoms(use_true_random=False))
def test_order_of_pairs_and_names_of_queries_change_nothing(rows, random):
    shuffled = random.sample(rows, len(rows))
    one, other = (np.array(x, dtype=int).reshape(-1, 3).T for x in (rows, shuffled))
    names = [f"query {9 - q}" for q in other[2]]
    first = agreement(one[0], one[1], one[2], LEVELS, resamples=30)
    assert dump(first) == dump(agreement(other[0], other[1], names, LEVELS, resamples=30))
    counted = (first.n, first.n_failed, first.n_unlabelled, first.n_not_applicable_judge)
    assert sum(counted) + first.n_not_applicable_human + first.n_not_applicable_both == len(rows)
    assert first.confusion.sum() == first.n


def test_same_seed_same_interval():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 100)
    judge, queries = noisy(rng, truth), rng.integers(0, 20, 100)
    first = agreement(judge, truth, queries, LEVELS, seed=4)
    assert first.kappa_quadratic == agreement(judge, truth, queries, LEVELS, seed=4).kappa_quadratic
    assert first.kappa_quadratic != agreement(judge, truth, queries, LEVELS, seed=5).kappa_quadratic


def test_flips_by_hand():
    na, no = NOT_APPLICABLE, NOT_GRADED
    pairs = [  # human, a, b
        (0, 0, 0),  # same
        (1, 0, 1),  # fixed
        (2, 2, 1),  # broken
        (3, 1, 2),  # changed
        (4, 3, 3),  # same, both wrong
        (na, 0, na),  # fixed by saying N/A
        (2, 2, na),  # broken by saying N/A
        (1, no, 1),  # a failed
        (1, 1, no),  # b failed
        (na, 1, no),  # b failed
        (no, 1, 2),  # no label
    ]
    human, a, b = np.array(pairs).T
    found = compare(a, b, human, range(11), LEVELS, resamples=100)
    assert found.counts == {"not comparable": 4, "same": 2, "changed": 1, "fixed": 2, "broken": 2}
    assert found.flips("same").tolist() == [0, 4]
    assert found.flips("fixed").tolist() == [1, 5]
    assert found.flips("broken").tolist() == [2, 6]
    assert found.flips("changed").tolist() == [3]
    assert found.flips("not comparable").tolist() == [7, 8, 9, 10]
    assert (found.n, found.n_not_applicable, found.n_not_comparable) == (5, 2, 4)
    assert (found.n_failed_a, found.n_failed_b) == (1, 2)
    assert found.changed_share == pytest.approx(5 / 7)
    # On the first five pairs a is right on 0 and 2 of them, b on 0 and 1.
    assert found.a.exact.value == found.b.exact.value == 2 / 5
    assert found.delta.exact.value == 0


def test_comparison_by_hand():
    # b is the example with kappas 0.4 and 2/7; a always answers 1, whose kappa is 0 and whose exact share is 2/6.
    found = compare(np.full(6, 1), JUDGE, HUMAN, QUERIES, range(3), resamples=500)
    assert found.a.kappa_quadratic.value == 0
    assert found.b.kappa_quadratic.value == pytest.approx(2 / 7)
    assert found.delta.kappa_quadratic.value == pytest.approx(2 / 7)
    assert found.delta.kappa_linear.value == pytest.approx(0.4)
    assert found.delta.exact.value == pytest.approx(2 / 6)
    # Fixed 0 and 2 (pairs 0 and 4), broken none: p = 2 · (1/2)² = 0.5.
    assert found.p_mcnemar == pytest.approx(0.5)


def test_intervals_of_the_difference_are_paired():
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 5, 300)
    a = np.clip(truth + rng.integers(-1, 2, 300), 0, 4)
    queries = np.repeat(np.arange(60), 5)
    same = compare(a, a.copy(), truth, queries, LEVELS)
    assert (same.delta.kappa_quadratic.low, same.delta.kappa_quadratic.high) == (0, 0)
    assert same.p_mcnemar == 1
    assert same.changed_share == 0
    b = a.copy()
    b[:3] = truth[:3]
    delta = compare(a, b, truth, queries, LEVELS)
    single = delta.a.kappa_quadratic
    # Runs that differ on 3 of 300 pairs: unpaired, the difference would be √2 as uncertain as each run.
    width = delta.delta.kappa_quadratic.high - delta.delta.kappa_quadratic.low
    assert width < 0.4 * (single.high - single.low)
    assert single.value == agreement(a, truth, queries, LEVELS).kappa_quadratic.value


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.integers(UNRATEABLE, 4)] * 3), max_size=25))
def test_swapping_runs_swaps_fixed_and_broken(rows):
    a, b, human = np.array(rows, dtype=int).reshape(-1, 3).T
    there, back = (compare(x, y, human, range(len(rows)), LEVELS, resamples=0) for x, y in ((a, b), (b, a)))
    assert there.counts["fixed"] == back.counts["broken"]
    assert there.counts["changed"] == back.counts["changed"]
    assert there.p_mcnemar == back.p_mcnemar
    assert there.n + there.n_not_applicable + there.n_not_comparable == len(rows)
    assert sum(there.counts.values()) == len(rows)
    if there.delta.kappa_linear.value is not None:
        assert there.delta.kappa_linear.value == pytest.approx(-back.delta.kappa_linear.value, abs=1e-12)


@pytest.mark.parametrize(("fixed", "broken"), [(5, 1), (0, 0), (3, 3), (40, 61), (0, 9)])
def test_mcnemar_against_statsmodels(fixed, broken):
    human = np.ones(fixed + broken + 2, dtype=int)
    a, b = human.copy(), human.copy()
    a[:fixed], b[fixed : fixed + broken] = 0, 0
    found = compare(a, b, human, range(len(human)), range(2), resamples=0)
    expected = mcnemar([[2, fixed], [broken, 0]], exact=True).pvalue
    assert found.p_mcnemar == pytest.approx(expected, rel=1e-9)
    if (fixed, broken) == (5, 1):
        # Two-sided: 2 · (C(6,0) + C(6,1)) / 2⁶ = 14/64.
        assert found.p_mcnemar == pytest.approx(14 / 64)


def test_nothing_comparable_between_runs_is_none():
    found = compare(np.array([NOT_GRADED, 1]), np.array([1, NOT_GRADED]), np.array([1, 1]), [0, 1], LEVELS)
    assert found.n == 0
    assert found.p_mcnemar is None
    assert found.changed_share is None
    for headline in (found.a, found.b, found.delta):
        for estimate in dataclasses.astuple(headline):
            assert estimate == (None, None, None, "No pair was graded by both runs and by a person.")


def test_one_level_between_runs_is_none():
    found = compare(np.array([1, 2]), np.array([2, 2]), np.array([2, 2]), [0, 1], LEVELS)
    assert found.delta.kappa_quadratic.value is None
    assert found.delta.kappa_quadratic.reason == "All 2 human grades are 2; this needs at least two levels."
    assert found.delta.exact.value == 0.5


def test_compare_many_corrects_over_dimensions():
    rng = np.random.default_rng(6)
    human = {key: rng.integers(0, 5, 80) for key in "xyz"}
    a = {key: noisy(rng, truth) for key, truth in human.items()}
    b = {key: noisy(rng, truth, missing=0.02) for key, truth in human.items()}
    b["z"] = np.full(80, NOT_GRADED)
    found = compare_many(a, b, human, np.arange(80) // 4, dict.fromkeys("xyz", LEVELS), resamples=50)
    alone = compare(a["x"], b["x"], human["x"], np.arange(80) // 4, LEVELS, resamples=50)
    assert list(found) == ["x", "y", "z"]
    assert found["x"].delta == alone.delta
    assert alone.p_holm is None
    raw = [found[key].p_mcnemar for key in "xy"]
    assert [found[key].p_holm for key in "xy"] == pytest.approx(multipletests(raw, method="holm")[1].tolist())
    assert found["z"].p_holm is None


def test_holm_by_hand():
    # Sorted 0.01·3, 0.03·2, 0.04·1; the last may not fall below the one before it.
    assert holm([0.01, 0.04, None, 0.03]) == pytest.approx([0.03, 0.06, None, 0.06])
    assert holm([]) == []
    assert holm([None]) == [None]
    for wrong in (1.1, -0.1, float("nan")):
        with pytest.raises(ValueError, match="0 to 1"):
            holm([wrong, 0.5])


@pytest.mark.parametrize("seed", range(5))
def test_holm_against_statsmodels(seed):
    p_values = (np.random.default_rng(seed).random(8).round(1) / 4).tolist()  # with ties
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist(), abs=1e-12)


def test_labelers_by_hand():
    third = np.array([0, 0, 1, 1, NOT_GRADED, UNRATEABLE])
    found = labeler_agreement(
        np.stack([HUMAN, JUDGE, third]), QUERIES, range(3), ["ann", "bob", "cy"], resamples=300
    )
    assert found.n == 6
    assert [(pair.first, pair.second, pair.n) for pair in found.pairwise] == [
        ("ann", "bob", 6),
        ("ann", "cy", 4),
        ("bob", "cy", 4),
    ]
    # bob 0 1 1 1 and cy 0 0 1 1: observed 1, expected (1·2 + 3·2)/4 = 2.
    assert [pair.kappa.value for pair in found.pairwise] == pytest.approx([2 / 7, 1, 0.5])
    # (6·2/7 + 4·1 + 4·0.5)/14.
    assert found.ceiling.value == pytest.approx(27 / 49)
    assert found.ceiling.low < 27 / 49 < found.ceiling.high
    # ann against the lower medians of bob and cy, 0 0 1 1 2 0: observed 4, expected 2 (6 + 4 + 14)/6 = 8.
    against_ann = found.against_rest[0]
    assert (against_ann.first, against_ann.second, against_ann.n) == ("ann", THE_REST, 6)
    assert against_ann.kappa.value == pytest.approx(0.5)
    assert found.alpha.value == pytest.approx(krippendorff_alpha(np.stack([HUMAN, JUDGE, third]), range(3)))


def test_labelers_who_never_met_and_a_labeler_of_one_level():
    no = NOT_GRADED
    ratings = np.array([[0, 1, 2, no, no], [no, no, no, 1, 2], [1, 1, 1, no, no]])
    found = labeler_agreement(ratings, range(5), range(3), ["ann", "bob", "cy"])
    reasons = [pair.kappa.reason for pair in found.pairwise]
    one_level = "On the pairs that both graded, one of them used a single level."
    assert reasons == ["No shared pair.", one_level, "No shared pair."]
    assert [pair.kappa.value for pair in (*found.pairwise, *found.against_rest)] == [None] * 6
    assert found.ceiling.value is None
    assert found.ceiling.reason.startswith("Wherever two labelers")
    assert found.alpha.value is not None
    alone = labeler_agreement(ratings[:1], range(5), range(3), ["ann"])
    assert (alone.n, alone.pairwise) == (0, ())
    assert alone.ceiling.reason == alone.alpha.reason == "No pair was graded by two labelers."
    nobody = labeler_agreement(ratings[:0], range(5), range(3), [])
    assert (nobody.n, nobody.ceiling.value, nobody.against_rest) == (0, None, ())
    with pytest.raises(ValueError, match="3 rows of ratings, but 1 names"):
        labeler_agreement(ratings, range(5), range(3), ["ann"])


def test_perfect_labelers():
    found = labeler_agreement(np.stack([HUMAN] * 3), QUERIES, range(3), ["a", "b", "c"])
    assert found.ceiling.value == found.alpha.value == 1
    assert all(pair.kappa.value == 1 for pair in (*found.pairwise, *found.against_rest))


def test_alpha_of_krippendorffs_own_example():
    # Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section D: 4 observers, 12 units, 0.815.
    no = NOT_GRADED
    ratings = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, no, no, no],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, no, 3],
            [no, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, no],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, no],
        ]
    )
    assert krippendorff_alpha(ratings, range(1, 6)) == pytest.approx(0.815, abs=0.0005)


@pytest.mark.parametrize("seed", range(4))
def test_alpha_against_krippendorff(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 5, 50)
    ratings = np.stack([noisy(rng, truth, missing=0.2) for _ in range(5)])
    expected = krippendorff.alpha(
        reliability_data=np.where(ratings < 0, np.nan, ratings),
        level_of_measurement="ordinal",
        value_domain=list(LEVELS),
    )
    assert krippendorff_alpha(ratings, LEVELS) == pytest.approx(expected, abs=1e-12)
    found = labeler_agreement(ratings, rng.integers(0, 12, 50), LEVELS, list("abcde"), resamples=200)
    assert found.alpha.value == pytest.approx(expected, abs=1e-12)
    assert found.alpha.low < expected < found.alpha.high


def test_alpha_without_two_grades_or_two_levels_is_none():
    assert krippendorff_alpha(np.array([[0, NOT_GRADED], [NOT_GRADED, 1]]), LEVELS) is None
    assert krippendorff_alpha(np.array([[2, 2], [2, 2]]), LEVELS) is None


def test_noise_by_hand():
    # Kappas 1 and 2/7 and, for one answer throughout, 0: the two furthest apart are 1 apart.
    assert noise(np.stack([HUMAN, JUDGE]), HUMAN, range(3)) == pytest.approx(5 / 7)
    assert noise(np.stack([JUDGE, HUMAN, np.full(6, 1)]), HUMAN, range(3)) == pytest.approx(1)
    assert noise(np.stack([JUDGE, JUDGE]), HUMAN, range(3)) == 0
    # Where a repeat failed, the pair is left out of all of them; both are right on the four that remain.
    failed = np.array([0, NOT_GRADED, 1, 1, 2, NOT_APPLICABLE])
    assert noise(np.stack([failed, JUDGE]), HUMAN, range(3)) == 0
    assert noise(HUMAN[None], HUMAN, range(3)) is None
    assert noise(np.stack([JUDGE, HUMAN]), np.full(6, 2), range(3)) is None
    assert noise(np.full((2, 6), NOT_GRADED), HUMAN, range(3)) is None
    with pytest.raises(ValueError, match="runs has 6, human has 5"):
        noise(np.stack([JUDGE, HUMAN]), HUMAN[:5], range(3))


def test_an_agreement_can_be_kept_between_processes_and_still_computes_the_rest():
    import pickle

    found = pickle.loads(pickle.dumps(agreement(JUDGE, HUMAN, QUERIES, range(3), resamples=200)))  # noqa: S301
    assert found.within_one == agreement(JUDGE, HUMAN, QUERIES, range(3), resamples=200).within_one
