"""How true probabilities are: reliability by bins, calibration error, and scores that no dishonest answer improves.

The *expected calibration error* (ECE) says how far stated and observed frequencies are apart (Naeini et al., 2015; Guo
et al., 2017). It can be made small by always stating the base rate, it depends on the bins, and it is above 0 by chance
alone. So it stands beside two *proper* scores, which are best in the mean exactly where the true probabilities are
stated: the *ranked probability score* (Epstein, 1969), which respects the order of the levels, and the *log loss*.
"Better calibrated" is said of a fall in those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.calibration import EPSILON, Floats, Labels, labelled
from workbench.resampling import Clusters, Estimate, Resampled, numbered, resample

MOST_BINS = 10
LEAST_A_BIN = 20
_CHANCE_DRAWS = 200
_NOTHING = "No pair has both a label and probabilities."


@dataclass(frozen=True)
class Bin:
    """Pairs of like confidence."""

    n: int
    queries: int
    confidence: float  # mean
    frequency: Estimate  # share of hits


@dataclass(frozen=True)
class Reliability:
    """Stated confidence against the frequency of hits, lowest confidence first."""

    n: int
    bins: tuple[Bin, ...]
    ece: Estimate
    ece_by_chance: float | None  # what the same confidences would have in the mean if they were all true


@dataclass(frozen=True)
class Measures:
    """How true the probabilities of one dimension are."""

    n: int
    reliability: Reliability  # of the most probable level
    rps: Estimate  # 0 is best, 1 is certain of the wrong end of the scale
    log_loss: Estimate  # in nats; 0 is best


@dataclass(frozen=True)
class Change:
    """What another set of probabilities changes on the same pairs: after less before, so below 0 is better."""

    rps: Estimate
    log_loss: Estimate


def reliability(
    confidence: Floats,
    hits: npt.NDArray[np.bool_],
    clusters: Clusters,
    *,
    bins: int = MOST_BINS,
    resamples: int = 2000,
    seed: int = 0,
) -> Reliability:
    """Return the reliability of stated probabilities of an event, in bins of about equally many pairs.

    Equal confidences are in one bin, so there may be fewer bins than asked for. Resamples keep the bins of the whole
    sample. ``ece_by_chance`` draws hits from the confidences (consistency resampling; Bröcker and Smith, 2007) as if
    pairs were independent.

    Args:
        confidence, hits: stated probability and whether the event came, shape (pairs,).
        clusters: the query of each pair, shape (pairs,).

    Raises:
        ValueError: for arrays that do not fit together, and fewer than one bin.
    """
    if bins < 1:
        raise ValueError(f"bins is {bins}; it must be 1 or more")
    if confidence.ndim != 1 or confidence.shape != hits.shape or len(clusters) != len(hits):
        raise ValueError("confidence, hits and clusters need one entry a pair each")
    n = len(hits)
    if not n:
        return Reliability(0, (), Estimate(None, None, None, _NOTHING), None)
    edges = np.unique(np.quantile(confidence, np.arange(1, bins) / bins))
    _, where = np.unique(np.searchsorted(edges, confidence, side="left"), return_inverse=True)
    count = int(where.max()) + 1
    numbers, total = numbered(clusters, np.ones(n, dtype=bool))
    rows = np.zeros((total, count, 3))
    np.add.at(rows, (numbers, where), np.column_stack([np.ones(n), confidence, hits]))
    sums = resample(rows, resamples=resamples, seed=seed)
    found = tuple(
        Bin(
            n=int(sums.total[i, 0]),
            queries=int((rows[:, i, 0] > 0).sum()),
            confidence=float(sums.total[i, 1] / sums.total[i, 0]),
            frequency=_part(sums, i).estimate(_frequency, _NOTHING),
        )
        for i in range(count)
    )
    return Reliability(n, found, sums.estimate(_ece, _NOTHING), _by_chance(confidence, where, count, seed))


def top_level(probabilities: Floats, labels: Labels) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the probability of the most probable level and whether it is the label, each of shape (pairs,).

    That level may be another than the judge's grade: see the baseline. Of equally probable ones, the lower.
    """
    top = probabilities.argmax(axis=1)
    return probabilities[np.arange(len(top)), top], top == labels


def at_least(probabilities: Floats, labels: Labels, level: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return P(grade >= level) and whether the label is that high, each of shape (pairs,); ``level`` is a position."""
    return probabilities[:, level:].sum(axis=1), labels >= level


def measures(
    probabilities: Floats, labels: Labels, clusters: Clusters, *, resamples: int = 2000, seed: int = 0
) -> Measures:
    """Return how true probabilities are on the pairs that have both them and a label.

    Args:
        probabilities: shape (pairs, levels), NaN rows where there are none.
        labels: positions of levels, shape (pairs,), below 0 where there is none.
        clusters: the query of each pair, shape (pairs,).
    """
    kept = labelled(probabilities, labels)
    given, truth, queries = probabilities[kept], labels[kept], np.asarray(clusters)[kept]
    bins = int(np.clip(len(truth) // LEAST_A_BIN, 1, MOST_BINS))
    rps, logs = (
        _mean(score, queries, resamples, seed)
        for score in (ranked_probability_score(given, truth), log_loss(given, truth))
    )
    curve = reliability(*top_level(given, truth), queries, bins=bins, resamples=resamples, seed=seed)
    return Measures(len(truth), curve, rps, logs)


def change(
    before: Floats, after: Floats, labels: Labels, clusters: Clusters, *, resamples: int = 2000, seed: int = 0
) -> Change:
    """Return how the proper scores change on the pairs that have both probabilities, with paired intervals."""
    kept = labelled(before, labels) & labelled(after, labels)
    truth, queries = labels[kept], np.asarray(clusters)[kept]
    rps, logs = (
        _mean(score(after[kept], truth) - score(before[kept], truth), queries, resamples, seed)
        for score in (ranked_probability_score, log_loss)
    )
    return Change(rps, logs)


def ranked_probability_score(probabilities: Floats, labels: Labels) -> Floats:
    """Return the mean squared distance of the cumulative distributions of each pair, shape (pairs,); 0 to 1."""
    levels = probabilities.shape[1]
    stated = np.cumsum(probabilities, axis=1)[:, :-1]
    came = labels[:, None] <= np.arange(levels - 1)
    return np.asarray(((stated - came) ** 2).sum(axis=1) / max(levels - 1, 1), dtype=np.float64)


def log_loss(probabilities: Floats, labels: Labels) -> Floats:
    """Return the negative logarithm of the label's probability of each pair, at least ``EPSILON``, shape (pairs,)."""
    own = probabilities[np.arange(len(labels)), labels]
    return np.asarray(-np.log(np.maximum(own, EPSILON)), dtype=np.float64)


def _mean(values: Floats, clusters: Clusters, resamples: int, seed: int) -> Estimate:
    numbers, total = numbered(clusters, np.ones(len(values), dtype=bool))
    rows = np.column_stack(
        [np.bincount(numbers, minlength=total), np.bincount(numbers, weights=values, minlength=total)]
    ).astype(np.float64)
    return resample(rows, resamples=resamples, seed=seed).estimate(
        lambda sums: _divided(sums[..., 1], sums[..., 0]), _NOTHING
    )


def _part(sums: Resampled, i: int) -> Resampled:
    return Resampled(sums.total[i], sums.draws[:, i], sums.no_interval)


def _frequency(sums: npt.NDArray[Any]) -> Floats:
    return _divided(sums[..., 2], sums[..., 0])


def _ece(sums: npt.NDArray[Any]) -> Floats:
    apart = np.abs(sums[..., 1] - sums[..., 2]).sum(axis=-1)
    return _divided(apart, sums[..., 0].sum(axis=-1))


def _divided(above: npt.NDArray[Any], below: npt.NDArray[Any]) -> Floats:
    found = np.full(np.shape(below), np.nan)
    np.divide(above, below, out=found, where=below > 0)
    return found


def _by_chance(confidence: Floats, where: npt.NDArray[np.intp], count: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    stated = np.bincount(where, weights=confidence, minlength=count)
    apart = [
        np.abs(stated - np.bincount(where[rng.random(len(where)) < confidence], minlength=count)).sum()
        for _ in range(_CHANCE_DRAWS)
    ]
    return float(np.mean(apart) / len(where))
