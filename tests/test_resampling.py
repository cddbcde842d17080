"""The cluster bootstrap: its distribution, its intervals, and when there is none."""

from __future__ import annotations

import numpy as np
import pytest

from workbench import confusion
from workbench.resampling import numbered, resample


def ratio(sums):
    """First over second component; NaN where the second is 0."""
    return np.divide(
        sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=np.asarray(sums[:, 1]) != 0
    )


def distinct_rows(clusters):
    """Clusters that are all different, so that they are drawn one by one."""
    return np.stack([np.arange(clusters), np.arange(clusters) ** 2 % 97], axis=1)


def repeated_rows(clusters):
    """Clusters of three kinds only, so that the kinds are drawn from the multinomial distribution."""
    return np.stack([np.arange(clusters) % 3 == 0, np.arange(clusters) % 3], axis=1).astype(int)


@pytest.mark.parametrize("make", [distinct_rows, repeated_rows])
def test_draws_have_the_moments_of_drawing_with_replacement(make):
    rows = make(60)
    draws = resample(rows, resamples=20_000, seed=1).draws
    # A sum of 60 independent draws has 60 times the mean and 60 times the covariance of one draw. The standard
    # error of a mean of 20,000 draws is σ/141, that of a variance about 1 %.
    sigma = np.sqrt(60) * rows.std(axis=0)
    assert np.abs(draws.mean(axis=0) - rows.sum(axis=0)).max() < (4 * sigma / np.sqrt(20_000)).max()
    assert np.cov(draws.T, bias=True) == pytest.approx(60 * np.cov(rows.T, bias=True), rel=0.05, abs=1)


def test_two_clusters_give_three_sums():
    rows = np.array([[1, 1], [0, 1]])
    values, counts = np.unique(resample(rows, resamples=4000, seed=0).draws[:, 0], return_counts=True)
    assert values.tolist() == [0, 1, 2]
    # Probabilities 1/4, 1/2, 1/4; a standard error of 0.8 points at most.
    assert counts / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.032)


def test_same_seed_same_draws_in_any_order_of_clusters():
    for rows in (distinct_rows(50), repeated_rows(50)):
        one = resample(rows, resamples=20, seed=5).draws
        shuffled = np.random.default_rng(0).permutation(rows)
        assert np.array_equal(one, resample(shuffled, resamples=20, seed=5).draws)
        assert not np.array_equal(one, resample(rows, resamples=20, seed=6).draws)


def test_chunks_do_not_change_the_draws(monkeypatch):
    whole = resample(distinct_rows(50), resamples=20, seed=5).draws
    monkeypatch.setattr("workbench.resampling._DRAWS_AT_ONCE", 150)
    assert np.array_equal(whole, resample(distinct_rows(50), resamples=20, seed=5).draws)


def test_interval_is_the_central_95_percent_of_the_draws():
    found = resample(distinct_rows(40), resamples=1000, seed=2)
    estimate = found.estimate(lambda sums: np.asarray(sums[:, 0], dtype=float), "never")
    assert estimate.value == 40 * 39 / 2
    ordered = np.sort(found.draws[:, 0])
    # 2.5 % of 999 steps is 24.975: between the 25th and 26th of the ordered draws.
    assert ordered[24] <= estimate.low <= ordered[25]
    assert ordered[973] <= estimate.high <= ordered[974]
    assert estimate.reason == ""


def test_no_interval_and_why():
    rows = distinct_rows(5)
    one = resample(rows[3:4], resamples=10, seed=0).estimate(ratio, "undefined")
    assert (one.value, one.low, one.high) == (3 / 9, None, None)
    assert one.reason == "No interval: all comparable pairs belong to one query."
    none = resample(rows, resamples=0, seed=0).estimate(ratio, "undefined")
    assert none.value is not None
    assert none.low is None
    assert "no resamples" in none.reason
    empty = resample(rows[:0], resamples=10, seed=0).estimate(ratio, "Nothing here.")
    assert (empty.value, empty.low, empty.high, empty.reason) == (None, None, None, "Nothing here.")


def test_undefined_resamples_are_dropped_up_to_a_share():
    # Only k of 40 clusters have a denominator. It is 0 in (1 - k/40)^40 of the resamples:
    # 36 % for k = 1, 13 % for k = 2, 1.5 % for k = 4.
    def rows(k):
        return np.stack([np.arange(40) < k, np.arange(40) < k], axis=1).astype(int)

    often = resample(rows(1), resamples=2000, seed=0).estimate(ratio, "undefined")
    assert (often.value, often.low, often.high) == (1, None, None)
    assert often.reason.startswith("No interval: the value is undefined in 3")
    seldom = resample(rows(4), resamples=2000, seed=0).estimate(ratio, "undefined")
    assert (seldom.value, seldom.low, seldom.high, seldom.reason) == (1, 1, 1, "")


def test_negative_resamples_are_refused():
    with pytest.raises(ValueError, match="0 or more"):
        resample(distinct_rows(3), resamples=-1, seed=0)


def test_interval_covers_the_truth_where_one_over_pairs_does_not():
    # 40 queries of 5 pairs; a judge is right on all pairs of a query or on none, with probability 0.7.
    rng = np.random.default_rng(8)
    covered = {"queries": 0, "pairs": 0}
    trials = 300
    for trial in range(trials):
        right = rng.random(40) < 0.7
        by_query = np.zeros((40, 2, 2), dtype=int)
        by_query[:, 0, 0], by_query[:, 0, 1] = 5 * right, 5 * ~right
        by_pair = np.repeat(by_query // 5, 5, axis=0)
        for name, rows in (("queries", by_query), ("pairs", by_pair)):
            found = resample(rows, resamples=400, seed=trial).estimate(confusion.exact, "never")
            covered[name] += found.low <= 0.7 <= found.high
    # The standard error of a coverage of 95 % over 300 trials is 1.3 points.
    assert 0.89 <= covered["queries"] / trials <= 0.99
    # Pairs taken as independent make the interval √5 times too short: about 62 % coverage.
    assert covered["pairs"] / trials < 0.8


def test_numbered_takes_any_names():
    kept = np.array([True, True, False, True])
    assert numbered(["b", "a", "c", "b"], kept)[0].tolist() == [0, 1, 0]
    assert numbered(np.array([7, 3, 1, 7]), kept)[1] == 2
    with pytest.raises(ValueError, match="1 pair"):
        numbered([None, "a", "c", "b"], kept)
    assert numbered(["a", "b", None, "c"], kept)[1] == 3  # a pair that is not used needs no query
