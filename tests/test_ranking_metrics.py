"""Ranking and click metrics against numbers derived by hand, against scikit-learn, and by what must always hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from workbench.ranking_metrics import auc, calibration_error, log_loss, mrr, ndcg

ONE = ["q"] * 4


def test_ndcg_by_hand() -> None:
    # Gains 7, 3, 0, 1 in the order of the scores; discounts 1, 1/log2(3) = .630930, 1/2, 1/log2(5) = .430677.
    # DCG = 7 + 1.892789 + 0 + .430677 = 9.323466; ideal 7 + 1.892789 + .5 = 9.392789.
    found = ndcg(np.array([4.0, 3, 2, 1]), np.array([3, 2, 0, 1]), ONE)
    assert found.mean.value == pytest.approx(9.323466 / 9.392789, abs=1e-6)
    assert (found.queries, found.left_out) == (1, 0)
    assert found.mean.low is None
    assert "one query" in found.mean.reason
    # At 1, the first document is the best one.
    assert ndcg(np.array([4.0, 3, 2, 1]), np.array([3, 2, 0, 1]), ONE, k=1).mean.value == pytest.approx(1)


def test_ties_share_their_places() -> None:
    # Gains 1 and 0 share places 1 and 2: .5 · (1 + .630930) = .815465 of the ideal 1, however the rows are ordered.
    for grades in ([1, 0], [0, 1]):
        assert ndcg(np.zeros(2), np.array(grades), ["q", "q"]).mean.value == pytest.approx(0.815465, abs=1e-6)
    # One relevant document among three tied ones: at place 1, 2 or 3, (1 + 1/2 + 1/3) / 3 = 11/18.
    assert mrr(np.zeros(3), np.array([0, 0, 2]), ["q"] * 3, threshold=2).mean.value == pytest.approx(11 / 18)
    # Two of three: the first at place 1 with 2/3, else at 2: 2/3 + 1/6.
    assert mrr(np.zeros(3), np.array([2, 0, 2]), ["q"] * 3, threshold=2).mean.value == pytest.approx(5 / 6)
    # One document before them that is not relevant: places 2 and 3, 2/3 · 1/2 + 1/3 · 1/3.
    found = mrr(np.array([9.0, 0, 0, 0]), np.array([0, 2, 0, 2]), ONE, threshold=2)
    assert found.mean.value == pytest.approx(2 / 3 / 2 + 1 / 3 / 3)


def test_queries_without_anything_relevant_are_left_out_and_counted() -> None:
    scores, queries = np.array([2.0, 1, 2, 1, 1]), ["a", "a", "b", "b", "c"]
    # a: gains 0 then 1, 1/log2(3) = .630930 of 1. b: 1. c: nothing above 0.
    found = ndcg(scores, np.array([0, 1, 2, 0, 0]), queries)
    assert found.mean.value == pytest.approx((0.630930 + 1) / 2, abs=1e-6)
    assert (found.queries, found.left_out) == (2, 1)
    # Of the resamples of two queries, a quarter has a twice and a quarter b twice: the ends of the interval.
    assert (found.mean.low, found.mean.high) == (pytest.approx(0.630930, abs=1e-6), pytest.approx(1))
    # From grade 2 on, a has nothing either.
    first = mrr(scores, np.array([0, 1, 2, 0, 0]), queries, threshold=2)
    assert (first.mean.value, first.queries, first.left_out) == (1, 1, 2)
    nothing = ndcg(scores, np.zeros(5, dtype=np.int_), queries)
    assert (nothing.mean.value, nothing.left_out) == (None, 3)
    assert nothing.mean.reason == "None of the 3 queries has a document above grade 0."
    assert ndcg(np.empty(0), np.empty(0, dtype=np.int_), []).mean.value is None


def test_a_document_that_cannot_be_ranked_comes_last() -> None:
    # 1/log2(3) for the second place.
    found = ndcg(np.array([-np.inf, 0.0]), np.array([1, 0]), ["q", "q"])
    assert found.mean.value == pytest.approx(1 / math.log2(3))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=15).filter(any), st.integers(1, 12))
def test_the_ideal_order_has_ndcg_1_and_no_order_more(grades: list[int], k: int) -> None:
    graded = np.array(grades)
    queries = ["q"] * len(grades)
    assert ndcg(graded.astype(float), graded, queries, k=k, resamples=0).mean.value == pytest.approx(1)
    reverse = ndcg(-graded.astype(float), graded, queries, k=k, resamples=0).mean.value
    assert reverse is not None
    assert 0 <= reverse <= 1 + 1e-12


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), min_size=2, max_size=20).filter(
        lambda rows: any(grade for grade, _ in rows)
    )
)
def test_ndcg_is_that_of_scikit_learn(rows: list[tuple[int, int]]) -> None:
    grades, scores = np.array([g for g, _ in rows]), np.array([s for _, s in rows], dtype=float)
    theirs = metrics.ndcg_score([2.0**grades - 1], [scores], k=10)
    ours = ndcg(scores, grades, ["q"] * len(rows), resamples=0).mean.value
    assert ours == pytest.approx(theirs)


P = np.array([0.8, 0.5, 0.2])
CLICKS, SHOWN = np.array([2.0, 1, 0]), np.array([3.0, 2, 1])
QUERIES = ["a", "a", "b"]


def test_auc_by_hand() -> None:
    # Clicked impressions: .8 twice, .5. Others: .8, .5, .2. A clicked .8 wins ½ + 1 + 1, twice; the .5 0 + ½ + 1:
    # 6.5 of 9.
    assert auc(P, CLICKS, SHOWN, QUERIES).value == pytest.approx(6.5 / 9)


def test_log_loss_by_hand() -> None:
    # -(2 ln .8 + ln .2 + ln .5 + ln .5 + ln .8) / 6 = (.669431 + 1.609438 + 1.386294) / 6
    assert log_loss(P, CLICKS, SHOWN, QUERIES).value == pytest.approx(0.610860, abs=1e-6)
    # A sure mistake costs -ln 1e-7, not infinity.
    sure = log_loss(np.ones(1), np.zeros(1), np.ones(1), ["a"]).value
    assert sure == pytest.approx(-math.log(1e-7))


def test_calibration_error_by_hand() -> None:
    stated, clicks, shown = np.array([0.1, 0.9]), np.ones(2), np.full(2, 2.0)
    # Two bins: .1 against 1/2, .9 against 1/2. One bin: .5 against 1/2.
    assert calibration_error(stated, clicks, shown, ["a", "b"], bins=2).value == pytest.approx(0.4)
    assert calibration_error(stated, clicks, shown, ["a", "b"], bins=1).value == pytest.approx(0)
    # Masses 3, 1, 1, 1 by rising probability; half of all is 3, so two bins are {.1} and {.2, .3, .4}:
    # |.3 - 0| + |.2 + .3 + .4 - 3| = .3 + 2.1 over 6 impressions.
    stated = np.array([0.4, 0.1, 0.3, 0.2])
    found = calibration_error(stated, np.array([1.0, 0, 1, 1]), np.array([1.0, 3, 1, 1]), ONE, bins=2)
    assert found.value == pytest.approx(2.4 / 6)


def test_intervals_draw_queries() -> None:
    # Query a alone has AUC 1, b alone 0; together .9 beats .8 and .2, .1 beats nothing: 2 of 4. A quarter of the
    # resamples is a twice, a quarter b twice.
    stated, clicks = np.array([0.9, 0.8, 0.1, 0.2]), np.array([1.0, 0, 1, 0])
    found = auc(stated, clicks, np.ones(4), ["a", "a", "b", "b"])
    assert (found.value, found.low, found.high) == (0.5, 0, 1)
    order = [2, 0, 3, 1]
    assert auc(stated[order], clicks[order], np.ones(4), ["b", "a", "b", "a"]) == found
    one = auc(stated, clicks, np.ones(4), ONE)
    assert (one.low, one.reason) == (None, "No interval: all impressions belong to one query.")
    assert "no resamples" in auc(stated, clicks, np.ones(4), ["a", "a", "b", "b"], resamples=0).reason
    # Log-loss of a: -(ln .9 + ln .2)/2, of b: -(ln .1 + ln .8)/2; the ends again.
    both = log_loss(stated, clicks, np.ones(4), ["a", "a", "b", "b"])
    ends = [-(math.log(0.9) + math.log(0.2)) / 2, -(math.log(0.1) + math.log(0.8)) / 2]
    assert [both.low, both.high] == pytest.approx(ends)


def test_what_is_undefined_says_why() -> None:
    every = auc(P, SHOWN, SHOWN, QUERIES)
    assert every.value is None
    assert every.reason == "AUC needs impressions with a click and impressions without one."
    none = np.empty(0)
    for metric in (auc, log_loss, calibration_error):
        assert metric(none, none, none, []).reason == "There is no impression."


@given(
    st.lists(
        st.tuples(st.integers(0, 10), st.integers(0, 3), st.integers(1, 3)), min_size=2, max_size=12
    ).filter(lambda rows: any(min(c, n) for _, c, n in rows) and any(n > c for _, c, n in rows))
)
def test_auc_and_log_loss_are_those_of_scikit_learn(rows: list[tuple[int, int, int]]) -> None:
    stated = np.array([p / 10 for p, _, _ in rows])
    shown = np.array([float(n) for _, _, n in rows])
    clicks = np.minimum([float(c) for _, c, _ in rows], shown)
    queries = [str(i % 3) for i in range(len(rows))]
    weights = np.r_[clicks, shown - clicks]
    truth, scores = np.r_[np.ones(len(rows)), np.zeros(len(rows))], np.r_[stated, stated]
    theirs = metrics.roc_auc_score(truth, scores, sample_weight=weights)
    assert auc(stated, clicks, shown, queries, resamples=0).value == pytest.approx(theirs)
    inside = np.clip(scores, 1e-7, 1 - 1e-7)
    theirs = metrics.log_loss(truth, inside, sample_weight=weights)
    assert log_loss(stated, clicks, shown, queries, resamples=0).value == pytest.approx(theirs)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        ndcg(np.array([np.nan]), np.array([1]), ["q"])
    with pytest.raises(ValueError, match="k is 0"):
        ndcg(np.zeros(1), np.array([1]), ["q"], k=0)
    with pytest.raises(ValueError, match="one entry a document"):
        mrr(np.zeros(2), np.array([1]), ["q"], threshold=1)
    with pytest.raises(ValueError, match="outside"):
        auc(np.array([1.1]), np.ones(1), np.ones(1), ["q"])
    with pytest.raises(ValueError, match="more clicks"):
        log_loss(np.array([0.5]), np.full(1, 2.0), np.ones(1), ["q"])
    with pytest.raises(ValueError, match="bins is 0"):
        calibration_error(P, CLICKS, SHOWN, QUERIES, bins=0)
    with pytest.raises(ValueError, match="one entry an item"):
        auc(P, CLICKS, SHOWN, ["a"])
