"""From two raters' grades to confusion matrices, and from those to every statistic of their agreement.

Every statistic takes a stack ``counts`` of shape (..., L, L), rows the reference (human), columns the other rater
(judge), over the L declared levels in ascending order, and returns one value a matrix, shape (...), NaN where the
statistic is undefined. Working on stacks is what makes a bootstrap cheap: 2,000 resamples are 2,000 matrices.
Counts may be any non-negative numbers. Levels are equally spaced, one apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from workbench.golden import NOT_APPLICABLE, NOT_GRADED, UNRATEABLE

Grades = npt.NDArray[np.int_]
Counts = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Statistic = Callable[[Counts], Floats]


def declared(levels: Sequence[int]) -> tuple[int, ...]:
    """Return ``levels`` if they can be a scale.

    Raises:
        ValueError: unless they are two or more consecutive whole numbers from 0 up.
    """
    scale = tuple(int(level) for level in levels)
    if len(scale) < 2 or scale[0] < 0 or scale != tuple(range(scale[0], scale[0] + len(scale))):
        raise ValueError(f"levels must be two or more consecutive numbers from 0 up, not {list(levels)}")
    return scale


def checked(grades: Grades, scale: tuple[int, ...], who: str, *, ndim: int = 1) -> Grades:
    """Return a copy of ``grades`` with *unrateable* as ``NOT_GRADED``.

    Raises:
        ValueError: for anything but integers of ``ndim`` dimensions that are levels or their absence.
    """
    array = np.asarray(grades)
    if array.ndim != ndim or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            f"the grades of {who} must be integers in {ndim} dimension(s), not {array.dtype} in {array.ndim}"
        )
    array = array.astype(np.int_)
    array[array == UNRATEABLE] = NOT_GRADED
    known = np.isin(array, (*scale, NOT_APPLICABLE, NOT_GRADED))
    if not known.all():
        raise ValueError(
            f"{(~known).sum()} grade(s) of {who} lie outside the declared levels {scale[0]} to {scale[-1]}, "
            f"such as {array[~known][0]}"
        )
    return array


def votes(ratings: Grades, scale: tuple[int, ...]) -> npt.NDArray[np.int_]:
    """Return how many raters gave each pair each level, shape (pairs, L), from ratings (raters, pairs)."""
    return np.stack([(ratings == level).sum(axis=0) for level in scale], axis=1)


def median_of_rest(own: Grades, cast: npt.NDArray[np.int_], scale: tuple[int, ...]) -> Grades:
    """Return the lower median of all :func:`votes` but one rater's own, ``NOT_GRADED`` where none is left."""
    others = cast - votes(own[None], scale)
    given = others.sum(axis=1)
    median = (others.cumsum(axis=1) * 2 >= given[:, None]).argmax(axis=1) + scale[0]
    return np.where(given > 0, median, NOT_GRADED)


def confusions(
    rows: Grades, columns: Grades, clusters: npt.NDArray[np.int_], total: int, scale: tuple[int, ...]
) -> npt.NDArray[np.int_]:
    """Return one confusion matrix a cluster, shape (total, L, L). Pairs that either left without a level are out.

    Args:
        rows, columns: the grades of both raters, shape (pairs,).
        clusters: cluster number of each pair, 0 to ``total`` - 1, shape (pairs,).
    """
    levels, both = len(scale), (rows >= 0) & (columns >= 0)
    cells = (clusters[both] * levels + rows[both] - scale[0]) * levels + columns[both] - scale[0]
    return np.bincount(cells, minlength=total * levels**2).reshape(total, levels, levels)


def coincidences(cast: Counts) -> Floats:
    """Return Krippendorff's coincidence matrix of each unit, shape (units, L, L).

    Each ordered pair of votes from different raters counts 1 / (m - 1) for a unit with m votes; a unit with fewer
    than two votes counts nothing (Krippendorff, Content Analysis, 4th ed. 2018, chapter 12).

    Args:
        cast: number of votes for each level, shape (units, L).
    """
    cast = cast.astype(np.float64)
    ordered = cast[:, :, None] * cast[:, None, :] - cast[:, :, None] * np.eye(cast.shape[1])
    others = cast.sum(axis=1)[:, None, None] - 1
    result: Floats = np.divide(ordered, others, out=np.zeros_like(ordered), where=others > 0)
    return result


def unless_one_class(statistic: Statistic) -> Statistic:
    """Return ``statistic`` made undefined where the reference used one level only.

    There, kappa is 0 whatever the other rater does, and alpha near 0: numbers that say nothing about the rater.
    """

    def masked(counts: Counts) -> Floats:
        return np.where(_one_class(counts), np.nan, statistic(counts))

    return masked


def exact(counts: Counts) -> Floats:
    """Return the share of pairs with equal grades."""
    return _share(counts, _distance(counts) == 0)


def within_one(counts: Counts) -> Floats:
    """Return the share of pairs whose grades are at most one level apart."""
    return _share(counts, _distance(counts) <= 1)


def kappa_linear(counts: Counts) -> Floats:
    """Return Cohen's kappa with disagreement weights ``|i - j|`` (Cohen 1968)."""
    return _weighted_kappa(counts, _distance(counts))


def kappa_quadratic(counts: Counts) -> Floats:
    """Return Cohen's kappa with disagreement weights ``(i - j)²`` (Cohen 1968).

    The usual divisor ``(L - 1)²`` cancels, so what the declared levels decide is the distance between grades.
    Undefined only where both raters gave one and the same level throughout; 0 where just one of them did.
    """
    return _weighted_kappa(counts, _distance(counts) ** 2)


def kappa_of_equals(counts: Counts) -> Floats:
    """Return quadratic kappa of two raters of whom neither is the reference: undefined if either used one level."""
    either = _one_class(counts) | _one_class(np.swapaxes(counts, -1, -2))
    return np.where(either, np.nan, kappa_quadratic(counts))


def mean_kappa(counts: Counts) -> Floats:
    """Return the mean of :func:`kappa_of_equals` over the third last axis, weighted by pairs, where defined."""
    kappas = kappa_of_equals(counts)
    weights = np.where(np.isnan(kappas), 0, counts.sum(axis=(-2, -1)))
    return _divide((np.nan_to_num(kappas) * weights).sum(axis=-1), weights.sum(axis=-1))


def alpha_ordinal(counts: Counts) -> Floats:
    """Return Krippendorff's alpha with the ordinal metric, for two raters without missing values."""
    return alpha_of_coincidences(counts + np.swapaxes(counts, -1, -2))


def alpha_of_coincidences(counts: Counts) -> Floats:
    """Return Krippendorff's alpha with the ordinal metric from summed coincidence matrices (symmetric).

    The metric between levels c and k, ``(n_c/2 + n_between + n_k/2)²``, is the squared difference of their
    mid-ranks in the pooled grades. Undefined where all grades are one level.
    """
    margin, _ = _margins(counts)
    ranks = _mid_ranks(margin)
    metric = (ranks[..., :, None] - ranks[..., None, :]) ** 2
    observed = (counts * metric).sum(axis=(-2, -1))
    expected = (margin[..., :, None] * margin[..., None, :] * metric).sum(axis=(-2, -1))
    return 1 - _divide((margin.sum(axis=-1) - 1) * observed, expected)


def ac2(counts: Counts) -> Floats:
    """Return Gwet's AC2 with quadratic agreement weights ``1 - (i - j)² / (L - 1)²``.

    ``(p_a - p_e) / (1 - p_e)`` with ``p_e = T / (L (L - 1)) · Σ π_k (1 - π_k)``, T the sum of all weights and π_k
    the mean of both raters' shares of level k (Gwet, Handbook of Inter-Rater Reliability, 4th ed. 2014).
    Depends on how many levels are declared, used or not; defined where all grades are one level.
    """
    levels = counts.shape[-1]
    weights = 1 - _distance(counts) ** 2 / (levels - 1) ** 2
    rows, columns = _margins(counts)
    shares = _divide(rows + columns, 2 * rows.sum(axis=-1, keepdims=True))
    chance = weights.sum() / (levels * (levels - 1)) * (shares * (1 - shares)).sum(axis=-1)
    return _divide(_share(counts, weights) - chance, 1 - chance)


def spearman(counts: Counts) -> Floats:
    """Return Spearman's rank correlation, ties by mid-ranks; undefined where a rater used one level only."""
    rows, columns = _margins(counts)
    # Less half the total, mid-ranks have mean 0; both are halves of whole numbers, so one level gives exactly 0.
    centre = rows.sum(axis=-1, keepdims=True) / 2
    x, y = _mid_ranks(rows) - centre, _mid_ranks(columns) - centre
    covariance = (counts * x[..., :, None] * y[..., None, :]).sum(axis=(-2, -1))
    spread = (rows * x**2).sum(axis=-1) * (columns * y**2).sum(axis=-1)
    return _divide(covariance, np.sqrt(spread))


def bias(counts: Counts) -> Floats:
    """Return the mean of the columns' rater less the mean of the reference, in levels."""
    index = np.arange(counts.shape[-1])
    return _share(counts, index[None, :] - index[:, None])


def recall(counts: Counts) -> Floats:
    """Return, for each reference level, the share of its pairs that got that level, shape (..., L)."""
    return _divide(np.diagonal(counts, axis1=-2, axis2=-1), _margins(counts)[0])


def _weighted_kappa(counts: Counts, weights: Floats) -> Floats:
    rows, columns = _margins(counts)
    observed = (counts * weights).sum(axis=(-2, -1))
    expected = ((rows @ weights) * columns).sum(axis=-1)
    return 1 - _divide(observed * rows.sum(axis=-1), expected)


def _distance(counts: Counts) -> Floats:
    index = np.arange(counts.shape[-1], dtype=np.float64)
    return np.abs(index[:, None] - index[None, :])


def _one_class(counts: Counts) -> npt.NDArray[np.bool_]:
    result: npt.NDArray[np.bool_] = (_margins(counts)[0] > 0).sum(axis=-1) == 1
    return result


def _margins(counts: Counts) -> tuple[Floats, Floats]:
    # As floats: products of three counts of a large data set leave 64-bit integers.
    return counts.sum(axis=-1).astype(np.float64), counts.sum(axis=-2).astype(np.float64)


def _mid_ranks(margin: Floats) -> Floats:
    """Return the mean rank of each level's pairs, less one half."""
    ranks: Floats = margin.cumsum(axis=-1) - margin / 2
    return ranks


def _share(counts: Counts, weights: npt.NDArray[Any]) -> Floats:
    return _divide((counts * weights).sum(axis=(-2, -1)), counts.sum(axis=(-2, -1)))


def _divide(numerator: npt.NDArray[Any], denominator: npt.NDArray[Any]) -> Floats:
    """Divide, with NaN where the denominator is 0 or NaN."""
    quotient = np.full(np.broadcast_shapes(np.shape(numerator), np.shape(denominator)), np.nan)
    np.divide(numerator, denominator, out=quotient, where=np.asarray(denominator) != 0)
    return quotient


def same_length(**arrays: Any) -> None:
    """Check that arrays have one entry a pair each.

    Raises:
        ValueError: naming the lengths.
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ValueError(f"one entry a pair is needed in each: {said}")
