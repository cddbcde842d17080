"""Estimates with intervals by the cluster bootstrap, for statistics that are functions of sums over clusters.

Pairs of one query are alike, so queries are drawn, not pairs (Davison and Hinkley, Bootstrap Methods and their
Application, 1997, section 3.8). A resample draws as many clusters as there are, with replacement; its sum is a
multinomial weight a cluster times the cluster's own sum, so that all resamples are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Clusters = Sequence[Any] | npt.NDArray[Any] | pd.Series
"""The cluster (query) of each pair, as any hashable values."""

COVERAGE = (0.025, 0.975)
"""Quantiles of the percentile interval: 95 %, linear interpolation between resamples."""
MAX_UNDEFINED = 0.05
"""Resamples in which a statistic is undefined are dropped, up to this share; above it there is no interval."""

_DRAWS_AT_ONCE = 4_000_000  # 32 MB of 64-bit indices
_KEPT_WEIGHTS = 4_000_000  # 32 MB: 2,000 resamples of 2,000 queries
_MULTINOMIAL_COST = 10  # one multinomial cell takes about as long as drawing and counting ten indices


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval. What is None is explained by ``reason``, one sentence for a person."""

    value: float | None
    low: float | None
    high: float | None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Resampled:
    """The observed sum over clusters, shape S, and its bootstrap draws, shape (resamples, *S)."""

    total: npt.NDArray[Any]
    draws: npt.NDArray[np.float64]
    no_interval: str = ""

    def estimate(
        self, statistic: Callable[[npt.NDArray[Any]], npt.NDArray[np.float64]], undefined: str
    ) -> Estimate:
        """Return the statistic of the observed sum with its percentile interval.

        Args:
            statistic: maps sums of shape (n, *S) to values of shape (n,), NaN where undefined.
            undefined: the reason to give where the value itself is undefined.
        """
        value = float(statistic(self.total[None])[0])
        if np.isnan(value):
            return Estimate(None, None, None, undefined)
        if self.no_interval:
            return Estimate(value, None, None, self.no_interval)
        values = statistic(self.draws)
        known = values[~np.isnan(values)]
        missing = 1 - len(known) / len(values)
        if missing > MAX_UNDEFINED:
            reason = f"No interval: the value is undefined in {missing:.0%} of the resamples."
            return Estimate(value, None, None, reason)
        low, high = np.quantile(known, COVERAGE)
        return Estimate(value, float(low), float(high))


def numbered(clusters: Clusters, kept: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int_], int]:
    """Return the clusters of the ``kept`` pairs as numbers from 0, and how many clusters there are.

    Raises:
        ValueError: where a kept pair has no cluster (None or NaN).
    """
    numbers, names = pd.factorize(pd.Series(clusters).to_numpy()[kept])
    if (numbers < 0).any():
        raise ValueError(f"{(numbers < 0).sum()} pair(s) have no query to be drawn by")
    return numbers.astype(np.int_), len(names)


def resample(rows: npt.NDArray[Any], *, resamples: int, seed: int) -> Resampled:
    """Draw ``resamples`` sums over clusters.

    The result depends on the multiset of rows alone, not on their order: rows are sorted first. Clusters with equal
    rows are exchangeable, so where many are equal the number drawn of each distinct row is drawn at once, from the
    multinomial distribution; where few are, clusters are drawn one by one. Both are the same distribution.

    Args:
        rows: each cluster's own sum, shape (clusters, *S).
        resamples: number of draws; 0 for values without intervals.

    Raises:
        ValueError: for a negative number of resamples.
    """
    if resamples < 0:
        raise ValueError(f"resamples must be 0 or more, not {resamples}")
    clusters, shape = len(rows), rows.shape[1:]
    total = rows.sum(axis=0)
    nothing = np.empty((0, *shape))
    if resamples == 0:
        return Resampled(total, nothing, "No interval: no resamples were asked for.")
    if clusters == 0:
        return Resampled(total, nothing, "No interval: there are no comparable pairs.")
    if clusters == 1:
        return Resampled(total, nothing, "No interval: all comparable pairs belong to one query.")
    flat = rows.reshape(clusters, -1)
    flat = flat[np.lexsort(flat.T)]  # far faster than np.unique(axis=0), which compares rows as bytes
    first = np.flatnonzero(np.r_[True, (flat[1:] != flat[:-1]).any(axis=1)])
    if len(first) * _MULTINOMIAL_COST < clusters:
        rng = np.random.default_rng(seed)
        sizes = np.diff(np.r_[first, clusters])
        weights = rng.multinomial(clusters, sizes / clusters, size=resamples)
        draws = weights.astype(np.float64) @ flat[first].astype(np.float64)
    else:
        draws = _draw_one_by_one(flat.astype(np.float64), resamples, seed)
    return Resampled(total, draws.reshape(resamples, *shape))


def _draw_one_by_one(rows: npt.NDArray[np.float64], resamples: int, seed: int) -> npt.NDArray[np.float64]:
    clusters = len(rows)
    if resamples * clusters <= _KEPT_WEIGHTS:
        return _kept_weights(clusters, resamples, seed) @ rows
    draws = np.empty((resamples, rows.shape[1]))
    start = 0
    for weights in _weights(clusters, resamples, seed):
        draws[start : start + len(weights)] = weights @ rows
        start += len(weights)
    return draws


@lru_cache(maxsize=4)
def _kept_weights(clusters: int, resamples: int, seed: int) -> npt.NDArray[np.float64]:
    """Return all weights at once: a matrix of runs asks for the same ones in each of its cells."""
    found = np.concatenate(list(_weights(clusters, resamples, seed)))
    found.setflags(write=False)
    return found


def _weights(clusters: int, resamples: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    """Yield how often each cluster is drawn in each resample, shape (some resamples, clusters)."""
    rng = np.random.default_rng(seed)
    step = max(1, _DRAWS_AT_ONCE // clusters)
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn = rng.integers(clusters, size=(size, clusters), dtype=np.int32).astype(np.int64)
        drawn += np.arange(size)[:, None] * clusters
        weights = np.bincount(drawn.ravel(), minlength=size * clusters).reshape(size, clusters)
        yield weights.astype(np.float64)
