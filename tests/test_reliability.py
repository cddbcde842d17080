"""Reliability by bins, expected calibration error and proper scores, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from workbench.reliability import (
    at_least,
    change,
    log_loss,
    measures,
    ranked_probability_score,
    reliability,
    top_level,
)

CONFIDENCE = np.array([0.8, 0.6, 0.6, 0.8])
HITS = np.array([True, True, False, True])


def test_two_bins_by_hand() -> None:
    found = reliability(CONFIDENCE, HITS, ["a", "a", "b", "c"], bins=2)
    low, high = found.bins
    assert (low.n, low.queries, low.confidence, low.frequency.value) == (2, 2, pytest.approx(0.6), 0.5)
    assert (high.n, high.queries, high.confidence, high.frequency.value) == (2, 2, pytest.approx(0.8), 1.0)
    # Half of the pairs are 0.1 off, the other half 0.2: 0.05 + 0.1.
    assert found.ece.value == pytest.approx(0.15)
    assert found.n == 4


def test_the_interval_draws_queries() -> None:
    # Two queries, each of one bin: query a is always right at 0.5, query b is right half of the time at 0.9.
    # Resamples are aa (ECE 0.5), bb (0.4) and ab (0.45), with chances 1/4, 1/4 and 1/2, so the 95 % interval is
    # [0.4, 0.5].
    found = reliability(
        np.array([0.5, 0.5, 0.9, 0.9]), np.array([True, True, True, False]), ["a", "a", "b", "b"], bins=2
    )
    assert found.ece.value == pytest.approx(0.45)
    assert (found.ece.low, found.ece.high) == (pytest.approx(0.4), pytest.approx(0.5))
    # A bin is empty in a quarter of the resamples, so its own frequency has no interval.
    assert (found.bins[0].frequency.value, found.bins[0].frequency.low) == (1.0, None)


def test_equal_confidences_share_a_bin() -> None:
    found = reliability(np.array([0.7] * 5 + [0.9]), np.ones(6, dtype=bool), list("abcdef"), bins=3)
    assert [(each.n, round(each.confidence, 9)) for each in found.bins] == [(5, 0.7), (1, 0.9)]


def test_bins_hold_about_equally_many() -> None:
    found = reliability(np.linspace(0.2, 1, 100), np.ones(100, dtype=bool), list(range(100)), bins=10)
    assert [each.n for each in found.bins] == [10] * 10


def test_chance_alone_is_told() -> None:
    # One bin of n = 400 at 0.5: |hits/n - 1/2| has the mean sqrt(2/pi) * 0.5 / sqrt(400) = 0.0199.
    found = reliability(np.full(400, 0.5), np.arange(400) % 2 == 0, list(range(400)), bins=1)
    assert found.ece.value == pytest.approx(0)
    assert found.ece_by_chance == pytest.approx(0.0199, rel=0.25)


def test_nothing_and_nonsense() -> None:
    found = reliability(np.empty(0), np.empty(0, dtype=bool), [])
    assert (found.n, found.bins, found.ece.value) == (0, (), None)
    assert found.ece.reason == "No pair has both a label and probabilities."
    with pytest.raises(ValueError, match="one entry a pair"):
        reliability(CONFIDENCE, HITS[:2], ["a"] * 4)
    with pytest.raises(ValueError, match="bins is 0"):
        reliability(CONFIDENCE, HITS, ["a"] * 4, bins=0)


def test_events_of_levels() -> None:
    stated = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]])
    confidence, hits = top_level(stated, np.array([1, 1]))
    # Of two equally probable levels the lower one counts: 0, which is not the label.
    assert (confidence.tolist(), hits.tolist()) == ([0.5, 0.4], [True, False])
    confidence, hits = at_least(stated, np.array([1, 0]), 1)
    assert (confidence.tolist(), hits.tolist()) == ([pytest.approx(0.8), pytest.approx(0.6)], [True, False])


def test_scores_by_hand() -> None:
    stated = np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    labels = np.array([1, 2, 2])
    # Cumulative 0.2, 0.7 against 0, 1: (0.04 + 0.09) / 2. Certain of the wrong end: (1 + 1) / 2. Certain and right: 0.
    assert ranked_probability_score(stated, labels).tolist() == pytest.approx([0.065, 1.0, 0.0])
    # -ln 0.5, -ln of the floor 1e-4, -ln 1.
    assert log_loss(stated, labels).tolist() == pytest.approx([0.693147, 9.210340, 0.0])


def test_a_near_miss_scores_better_than_a_far_one() -> None:
    sure_of_one = np.array([[0.0, 1.0, 0.0, 0.0]])
    near, far = (ranked_probability_score(sure_of_one, np.array([label]))[0] for label in (2, 3))
    # One of three steps is wrong, or two.
    assert (near, far) == (pytest.approx(1 / 3), pytest.approx(2 / 3))


def test_measures_leave_out_what_lacks_a_label_or_probabilities() -> None:
    stated = np.array([[0.5, 0.5], [np.nan, np.nan], [0.25, 0.75], [0.1, 0.9]])
    found = measures(stated, np.array([0, 0, 1, -1]), ["a", "b", "c", "d"])
    assert found.n == 2
    assert found.log_loss.value == pytest.approx((np.log(2) + np.log(4 / 3)) / 2)
    # (0.5² + 0.25²) / 2
    assert found.rps.value == pytest.approx(0.15625)
    nothing = measures(stated, np.full(4, -1), ["a", "b", "c", "d"])
    assert (nothing.n, nothing.rps.value) == (0, None)
    assert nothing.rps.reason


def test_the_change_of_scores_is_paired() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 1.5, (600, 5))
    true = softmax(logits, axis=1)
    labels = (true.cumsum(axis=1) < rng.random((600, 1))).sum(axis=1)
    queries = np.arange(600) // 4
    found = change(softmax(logits * 3, axis=1), true, labels, queries)
    # The truth is better than three times the logits, beyond what resampling explains.
    assert found.log_loss.high is not None
    assert found.log_loss.high < 0
    assert found.rps.high is not None
    assert found.rps.high < 0
    same = change(true, true, labels, queries)
    assert (same.rps.value, same.rps.low, same.rps.high) == (0, 0, 0)
