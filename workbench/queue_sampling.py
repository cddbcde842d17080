"""Drawing the pairs of a labelling queue, with the chance of each pair to be drawn known.

Every draw returns the weight of each pair drawn, which is one over its inclusion probability. A total over the
population is then estimated without bias by the weighted total over the sample (Horvitz and Thompson, JASA 47, 1952),
so that a queue may look where it is worthwhile and its figures still speak of the whole set. For that every pair of the
population needs a chance above zero: see ``UNIFORM_SHARE``.

The order of a draw is random, so that a queue that is left half done is a smaller sample of the same design, and
says nothing of why a pair is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from workbench.errors import BadInput
from workbench.golden import NOT_APPLICABLE

Floats = npt.NDArray[np.float64]
QueueKind = Literal["random", "stratified", "boundary", "disagreement", "overlap", "recheck"]
Allocation = Literal["equal", "proportional"]

UNIFORM_SHARE = 0.1
"""Part of a draw by score that goes to all pairs alike. A pair with score 0 has a tenth of its chance in a simple random
sample, so no weight exceeds ten times that sample's (a defensive mixture: Hesterberg, Technometrics 37, 1995)."""
_CERTAIN = 1 - 1e-9


@dataclass(frozen=True, eq=False)
class Draw:
    """The pairs drawn, in the order in which they are to be labelled. All of shape (drawn,)."""

    index: npt.NDArray[np.int_]  # positions in the population
    stratum: tuple[str, ...]  # "" where the design has none
    weight: Floats  # 1 / inclusion probability, 1 or more


def simple_random(population: int, size: int, *, seed: int) -> Draw:
    """Return a simple random sample without replacement; all of a population that is no larger than ``size``.

    Raises:
        BadInput: for a size below one or a population without pairs.
    """
    size = _checked(population, size)
    index = np.random.default_rng(seed).permutation(population)[:size]
    return Draw(index, ("",) * size, np.full(size, population / size))


def stratified(strata: Sequence[str], size: int, *, allocation: Allocation = "equal", seed: int) -> Draw:
    """Return simple random samples within strata, at least one pair a stratum.

    Args:
        strata: the stratum of each pair of the population.
        allocation: ``equal`` shares the size among strata alike, what a small stratum cannot take going to the
            others; ``proportional`` by stratum sizes.

    Raises:
        BadInput: as in :func:`simple_random`, and for a size below the number of strata.
    """
    size = _checked(len(strata), size)
    numbers, names = pd.factorize(np.asarray(strata, dtype=object), sort=True)
    sizes = np.bincount(numbers)
    if size < len(names):
        raise BadInput(
            f"{size} pairs cannot hold one of each of {len(names)} strata.",
            f"Draw {len(names)} or more, or stratify by less.",
        )
    drawn = _allocated(sizes, size, np.ones(len(names)) if allocation == "equal" else sizes)
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(strata))
    by_stratum = shuffled[np.argsort(numbers[shuffled], kind="stable")]
    starts = np.cumsum(sizes) - sizes
    index = by_stratum[_ranges(starts, drawn)]
    index = rng.permutation(index)
    weight = sizes[numbers[index]] / drawn[numbers[index]]
    return Draw(index, tuple(str(names[number]) for number in numbers[index]), weight)


def by_score(scores: Floats, size: int, *, seed: int) -> Draw:
    """Return a sample with probability proportional to score, of fixed size and with exact inclusion probabilities.

    Systematic sampling on a random order (Madow, Annals of Mathematical Statistics 20, 1949; Tillé, Sampling
    Algorithms, 2006, chapter 7). Nine tenths of the size are shared out by score and a tenth to all pairs alike;
    pairs whose probability would exceed one are taken for certain.

    Args:
        scores: 0 and above, shape (population,). NaN (a pair nothing is known of) counts as 0. Only ratios matter.

    Raises:
        BadInput: as in :func:`simple_random`.
        ValueError: for a score below zero or infinite.
    """
    size = _checked(len(scores), size)
    probability = inclusion_probabilities(scores, size)
    rng = np.random.default_rng(seed)
    certain = np.flatnonzero(probability >= 1)
    others = rng.permutation(np.flatnonzero(probability < 1))
    left = size - len(certain)
    chosen = others[:0]
    if left:
        reached = np.cumsum(probability[others])
        reached *= left / reached[-1]  # the sum is a whole number but for rounding
        # A point a unit: an interval below one long holds at most one of them.
        chosen = others[np.searchsorted(reached, rng.random() + np.arange(left), side="right")]
    index = rng.permutation(np.concatenate([certain, chosen]))
    return Draw(index, ("",) * size, 1 / probability[index])


def inclusion_probabilities(scores: Floats, size: int) -> Floats:
    """Return the chance of each pair to be drawn by :func:`by_score`: above 0, at most 1, summing to ``size``."""
    known = np.nan_to_num(np.asarray(scores, dtype=np.float64), nan=0.0, posinf=np.inf)
    if (known < 0).any() or np.isinf(known).any():
        raise ValueError("scores are finite and not below zero")
    total, population = known.sum(), len(known)
    uniform = np.full(population, 1 / population)
    shares = (1 - UNIFORM_SHARE) * known / total + UNIFORM_SHARE * uniform if total > 0 else uniform
    certain = np.zeros(population, dtype=bool)
    probability = np.ones(population)
    while not certain.all():
        probability[~certain] = (size - certain.sum()) * shares[~certain] / shares[~certain].sum()
        above = ~certain & (probability >= _CERTAIN)
        probability[above] = 1
        if not above.any():
            break
        certain |= above
    return probability


def boundary_score(probabilities: Floats) -> Floats:
    """Return how evenly a judge is split between its two likeliest levels: 1 less their difference, shape (pairs,).

    The margin of active learning (Scheffer, Decomain and Wrobel, IDA 2001), turned round. 1 is a tie, 0 certainty.

    Args:
        probabilities: shape (pairs, levels); a row with NaN gives NaN.
    """
    two = np.sort(probabilities, axis=1)[:, -2:]
    score: Floats = 1 - (two[:, 1] - two[:, 0])
    score[np.isnan(probabilities).any(axis=1)] = np.nan
    return np.clip(score, 0, 1)


def halfway_score(expected: Floats) -> Floats:
    """Return how near expected grades are to the middle of two levels: 1 at the middle, 0 at a level; NaN stays."""
    part = expected - np.floor(expected)
    score: Floats = 2 * np.minimum(part, 1 - part)
    return score


def spread_score(grades: npt.NDArray[np.int_], levels: Sequence[int]) -> Floats:
    """Return how far judges differ on each pair: the standard deviation of their grades over its largest value.

    1 where half of them give the lowest and half the highest level, and where some say N/A and others give a level;
    0 where all agree; NaN where fewer than two answered.

    Args:
        grades: shape (judges, pairs), levels, NOT_APPLICABLE, or NOT_GRADED for no answer.
    """
    graded, not_applicable = grades >= 0, grades == NOT_APPLICABLE
    count = graded.sum(axis=0)
    some = np.maximum(count, 1)
    mean = np.where(graded, grades, 0).sum(axis=0) / some
    variance = (np.where(graded, grades - mean, 0.0) ** 2).sum(axis=0) / some
    score: Floats = np.sqrt(variance) / ((max(levels) - min(levels)) / 2)
    said = not_applicable.sum(axis=0)
    score[(said > 0) & (count > 0)] = 1
    score[said + count < 2] = np.nan
    return np.clip(score, 0, 1)


def _checked(population: int, size: int) -> int:
    if size < 1:
        raise BadInput("A queue needs at least one pair.", "Choose a size of 1 or more.")
    if population < 1:
        raise BadInput("There is no pair to draw from.", "Choose another split, or add pairs to the set.")
    return min(size, population)


def _allocated(sizes: npt.NDArray[np.int_], size: int, shares: npt.NDArray[Any]) -> npt.NDArray[np.int_]:
    """Share ``size`` out by ``shares``, at least one and at most all of each stratum.

    One pair at a time goes to the stratum that is furthest behind its share (Sainte-Laguë), which keeps
    each allocation within one of its share wherever the bounds do not bind.
    """
    drawn = np.ones(len(sizes), dtype=np.int_)
    left = size - len(sizes)
    if left:
        # The seats 2, 3, … of a stratum with their quotients; the largest ``left`` of them are given.
        stratum = np.repeat(np.arange(len(sizes)), np.minimum(sizes, size) - 1)
        extra = np.minimum(sizes, size) - 1
        seat = np.arange(len(stratum)) - np.repeat(np.cumsum(extra) - extra, extra) + 1
        quotient = shares[stratum] / (2 * seat + 1)
        given = np.lexsort((stratum, -quotient))[:left]
        drawn += np.bincount(stratum[given], minlength=len(sizes))
    return drawn


def _ranges(starts: npt.NDArray[np.int_], lengths: npt.NDArray[np.int_]) -> npt.NDArray[np.int_]:
    """Return start, start + 1, … of each range, one after the other."""
    before = np.cumsum(lengths) - lengths
    found: npt.NDArray[np.int_] = np.arange(lengths.sum()) + np.repeat(starts - before, lengths)
    return found
