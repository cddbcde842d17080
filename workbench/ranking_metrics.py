"""How well scores rank documents, and how true click probabilities are, each with an interval over queries.

Ranking metrics are computed a query and then averaged, so that a query with many documents counts as one. Click metrics
are over impressions: an item is a pair (or a pair at a position) that was shown ``impressions`` times and clicked
``clicks`` times. Intervals are percentile intervals of the bootstrap over queries (:mod:`workbench.resampling`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.resampling import Clusters, Estimate, Resampled, numbered, resample

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int_]

RESAMPLES = 2000
LEAST_PROBABILITY = 1e-7
"""Log-loss takes a probability as at least this, and at most one minus this: one sure mistake stays finite."""

_AT_ONCE = 4_000_000  # 32 MB of doubles
_NO_DOCUMENT = "There is no document with both a score and a grade."
_NO_IMPRESSION = "There is no impression."


@dataclass(frozen=True)
class QueryMean:
    """The mean of a metric over ``queries``; those ``left_out`` have no relevant document, so it is undefined there."""

    mean: Estimate
    queries: int
    left_out: int


def ndcg(
    scores: Floats,
    grades: Ints,
    clusters: Clusters,
    *,
    k: int = 10,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> QueryMean:
    """Return NDCG@k with the gain ``2^grade - 1`` and the discount ``1 / log2(rank + 1)``.

    Discounted cumulative gain is by Järvelin and Kekäläinen (2002), the exponential gain by Burges et al. (2005).
    Documents of equal score share the mean gain of their places (McSherry and Najork, 2008), so that the order of the
    rows says nothing. A query whose documents all have grade 0 has no ideal order; it is left out of the mean and
    counted. One whose documents all have the same higher grade counts as 1, whatever the order.

    Args:
        scores: higher is ranked first, -inf last, shape (documents,).
        grades: 0 or above, shape (documents,).
        clusters: the query of each document, shape (documents,).
        k: how many places count.

    Raises:
        ValueError: for arrays that do not fit together, a score that is NaN, a grade below 0, or k below 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}; it must be 1 or more")
    discounts = 1 / np.log2(np.arange(2, k + 2))

    def one(score: Floats, grade: Ints) -> float:
        gains = np.exp2(grade.astype(np.float64)) - 1
        best = np.sort(gains)[::-1][:k]
        ideal = float(best @ discounts[: len(best)])
        starts, sizes, order = _tied(score)
        means = np.add.reduceat(gains[order], starts) / sizes
        found = np.repeat(means, sizes)[:k]
        return float(found @ discounts[: len(found)]) / ideal if ideal > 0 else np.nan

    return _by_query(one, scores, grades, clusters, resamples, seed, "has a document above grade 0")


def mrr(
    scores: Floats,
    grades: Ints,
    clusters: Clusters,
    *,
    threshold: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> QueryMean:
    """Return the mean reciprocal rank of the first document with grade >= ``threshold`` (Voorhees, 1999).

    Documents of equal score are in random order, so that their place is an expectation (McSherry and Najork, 2008). A
    query without such a document is left out of the mean and counted. Arguments and errors as in :func:`ndcg`.
    """

    def one(score: Floats, grade: Ints) -> float:
        relevant = (grade >= threshold).astype(np.int_)
        starts, sizes, order = _tied(score)
        hits = np.add.reduceat(relevant[order], starts)
        if not hits.any():
            return np.nan
        first = int(np.flatnonzero(hits)[0])
        n, r, before = int(sizes[first]), int(hits[first]), int(starts[first])
        places = np.arange(1, n - r + 2)  # of the first relevant one among the n tied
        # It is at place j if the j - 1 before it are all drawn from the n - r others, without replacement.
        passed = np.r_[1.0, np.cumprod((n - r - places[:-1] + 1) / (n - places[:-1] + 1))]
        chance = passed * r / (n - places + 1)
        return float((chance / (before + places)).sum())

    return _by_query(
        one, scores, grades, clusters, resamples, seed, f"has a document of grade {threshold} or above"
    )


def auc(
    probabilities: Floats,
    clicks: Floats,
    impressions: Floats,
    clusters: Clusters,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Return the area under the ROC curve over impressions: how often a clicked one is scored above one that was not.

    It is the Mann-Whitney statistic divided by the number of such pairs, ties counting half (Hanley and McNeil, 1982).
    Impressions are compared over all queries. None where nothing or everything was clicked.

    Args:
        probabilities: of a click, shape (items,).
        clicks: how often each item was clicked, shape (items,).
        impressions: how often it was shown, shape (items,).
        clusters: the query of each item, shape (items,).

    Raises:
        ValueError: for arrays that do not fit together, a probability outside [0, 1], or more clicks than impressions.
    """
    _checked(probabilities, clicks, impressions, clusters)
    if not len(clicks):
        return Estimate(None, None, None, _NO_IMPRESSION)
    # Queries are numbered by name and items sorted by score, so that the order of the rows says nothing.
    names, query = np.unique(np.asarray(clusters), return_inverse=True)
    _, score = np.unique(-np.asarray(probabilities, dtype=np.float64), return_inverse=True)
    # Items of one query and one score (a pair at several positions) are one: a tenth of the work, often.
    cells, item = np.unique(score * len(names) + query, return_inverse=True)
    query, score = cells % len(names), cells // len(names)
    positive = np.bincount(item, weights=clicks)
    negative = np.bincount(item, weights=impressions) - positive
    starts = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])

    def areas(weights: Floats) -> Floats:
        """Return the area for each row of query weights, shape (n, queries)."""
        drawn = weights[:, query]
        above, below = drawn * positive, drawn * negative
        if len(starts) < len(query):
            above, below = (np.add.reduceat(part, starts, axis=1) for part in (above, below))
        lower = below.sum(axis=1, keepdims=True) - below.cumsum(axis=1) + below / 2
        won = (above * lower).sum(axis=1)
        return _divided(won, above.sum(axis=1) * below.sum(axis=1))

    value = areas(np.ones((1, len(names))))
    if resamples == 0:
        reason = "No interval: no resamples were asked for."
    else:
        reason = "No interval: all impressions belong to one query." if len(names) == 1 else ""
    drawn = np.empty(0)
    if not reason:
        rng, step = np.random.default_rng(seed), max(1, _AT_ONCE // len(query))
        shares = np.full(len(names), 1 / len(names))
        sizes = [min(step, resamples - start) for start in range(0, resamples, step)]
        drawn = np.concatenate(
            [areas(rng.multinomial(len(names), shares, size=n).astype(np.float64)) for n in sizes]
        )
    return Resampled(value, drawn[:, None], reason).estimate(
        lambda found: np.asarray(found[..., 0], dtype=np.float64),
        "AUC needs impressions with a click and impressions without one.",
    )


def log_loss(
    probabilities: Floats,
    clicks: Floats,
    impressions: Floats,
    clusters: Clusters,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Return the mean negative log-likelihood of the clicks an impression, in nats (Good, 1952); 0 is best.

    Probabilities are kept ``LEAST_PROBABILITY`` away from 0 and 1. Arguments and errors as in :func:`auc`.
    """
    _checked(probabilities, clicks, impressions, clusters)
    sure = np.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    losses = -(clicks * np.log(sure) + (impressions - clicks) * np.log1p(-sure))
    sums = _query_sums(np.column_stack([losses, impressions]), clusters, resamples, seed)
    return sums.estimate(lambda found: _divided(found[..., 0], found[..., 1]), _NO_IMPRESSION)


def calibration_error(
    probabilities: Floats,
    clicks: Floats,
    impressions: Floats,
    clusters: Clusters,
    *,
    bins: int = 10,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Return the expected calibration error over impressions, 0 to 1; 0 is best (Naeini et al., 2015).

    Bins hold about equally many impressions, by rising probability; equal probabilities share a bin. In each, the mean
    probability is compared with the share that was clicked; the error is the mean absolute difference, weighted by
    impressions. Resamples keep the bins of the whole sample. Above 0 by chance alone; see :mod:`workbench.reliability`.
    Other arguments and errors as in :func:`auc`.

    Raises:
        ValueError: also for fewer than one bin.
    """
    if bins < 1:
        raise ValueError(f"bins is {bins}; it must be 1 or more")
    _checked(probabilities, clicks, impressions, clusters)
    _, tied = np.unique(probabilities, return_inverse=True)
    mass = np.bincount(tied, weights=impressions)
    middle = mass.cumsum() - mass / 2
    where = np.minimum((bins * middle / max(float(mass.sum()), 1e-300)).astype(np.int_), bins - 1)[tied]
    rows = np.zeros((len(tied), bins, 2))
    rows[np.arange(len(tied)), where] = np.column_stack([impressions * probabilities - clicks, impressions])
    sums = _query_sums(rows, clusters, resamples, seed)

    def error(found: npt.NDArray[np.float64]) -> Floats:
        return _divided(np.abs(found[..., 0]).sum(axis=-1), found[..., 1].sum(axis=-1))

    return sums.estimate(error, _NO_IMPRESSION)


def _tied(scores: Floats) -> tuple[Ints, Ints, Ints]:
    """Return, highest score first, where each group of equal scores starts, its size, and the order of all."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    return starts, np.diff(np.r_[starts, len(ranked)]), order


def _by_query(
    metric: Callable[[Floats, Ints], float],
    scores: Floats,
    grades: Ints,
    clusters: Clusters,
    resamples: int,
    seed: int,
    needed: str,
) -> QueryMean:
    scores, grades = np.asarray(scores, dtype=np.float64), np.asarray(grades)
    if scores.ndim != 1 or scores.shape != grades.shape or len(clusters) != len(scores):
        raise ValueError("scores, grades and clusters need one entry a document each")
    if np.isnan(scores).any() or (grades < 0).any():
        raise ValueError("a score is NaN or a grade is below 0; leave such documents out")
    if not len(scores):
        return QueryMean(Estimate(None, None, None, _NO_DOCUMENT), 0, 0)
    query, count = numbered(clusters, np.ones(len(scores), dtype=bool))
    order = np.argsort(query, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(query, minlength=count))[:-1])
    values = np.array([metric(scores[part], grades[part]) for part in parts])
    known = values[~np.isnan(values)]
    left_out = count - len(known)
    if not len(known):
        return QueryMean(Estimate(None, None, None, f"None of the {count} queries {needed}."), 0, left_out)
    sums = resample(np.column_stack([known, np.ones(len(known))]), resamples=resamples, seed=seed)
    mean = sums.estimate(lambda found: _divided(found[..., 0], found[..., 1]), needed)
    return QueryMean(mean, len(known), left_out)


def _checked(probabilities: Floats, clicks: Floats, impressions: Floats, clusters: Clusters) -> None:
    lengths = {len(clusters), *(len(array) for array in (probabilities, clicks, impressions))}
    if len(lengths) != 1 or probabilities.ndim != 1:
        raise ValueError("probabilities, clicks, impressions and clusters need one entry an item each")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("a probability lies outside [0, 1]")
    if not ((clicks >= 0) & (clicks <= impressions) & (impressions > 0)).all():
        raise ValueError("an item has more clicks than impressions, or no impression")


def _query_sums(values: Floats, clusters: Clusters, resamples: int, seed: int) -> Resampled:
    """Return resampled sums over queries of ``values``, shape (items, *S)."""
    query, count = numbered(clusters, np.ones(len(values), dtype=bool))
    rows = np.zeros((count, *values.shape[1:]))
    np.add.at(rows, query, values)
    return resample(rows, resamples=resamples, seed=seed)


def _divided(above: Floats, below: Floats) -> Floats:
    found = np.full(np.shape(below), np.nan)
    np.divide(above, below, out=found, where=below > 0)
    return found
