"""Agreement of people among themselves: the human ceiling that every judge is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from workbench import confusion
from workbench.confusion import Grades, checked, confusions, declared, same_length
from workbench.resampling import Clusters, Estimate, numbered, resample

THE_REST = "the rest"


@dataclass(frozen=True)
class LabelerPair:
    """Two labelers on the ``n`` pairs to which both gave a level; ``second`` may be ``THE_REST``."""

    first: str
    second: str
    n: int
    kappa: Estimate


@dataclass(frozen=True)
class LabelerAgreement:
    """How far people agree among themselves, over the ``n`` pairs with at least two grades."""

    n: int
    pairwise: tuple[LabelerPair, ...]
    ceiling: Estimate  # mean pairwise quadratic kappa
    alpha: Estimate  # Krippendorff, ordinal, all labelers at once
    against_rest: tuple[LabelerPair, ...]  # in the order of the names


def labeler_agreement(
    ratings: Grades,
    clusters: Clusters,
    levels: Sequence[int],
    names: Sequence[str],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> LabelerAgreement:
    """Return how far labelers agree: each two of them, on average, and each against the rest.

    The ceiling is the mean quadratic kappa of all two labelers, weighted by the pairs they share, so that two people
    who met on five pairs do not count as much as two who met on five hundred. A kappa is undefined, and not in
    the mean, where either labeler used one level only. *The rest* is the (lower) median of the other labelers'
    levels. N/A and unrateable count as missing.

    Args:
        ratings: shape (labelers, pairs).
        clusters, levels, resamples, seed: as in :func:`workbench.agreement.agreement`.
        names: one name a labeler.

    Raises:
        ValueError: as in :func:`workbench.agreement.agreement`.
    """
    scale = declared(levels)
    ratings = checked(ratings, scale, "a labeler", ndim=2)
    if len(names) != len(ratings):
        raise ValueError(f"{len(ratings)} rows of ratings, but {len(names)} names")
    same_length(ratings=ratings.T, clusters=clusters)
    cast = confusion.votes(ratings, scale)
    shared = cast.sum(axis=1) >= 2
    ratings, cast = ratings[:, shared], cast[shared]
    numbers, total = numbered(clusters, shared)
    two = list(combinations(range(len(names)), 2))
    labels = [(names[i], names[j]) for i, j in two] + [(name, THE_REST) for name in names]
    grades = [(ratings[i], ratings[j]) for i, j in two] + [
        (row, confusion.median_of_rest(row, cast, scale)) for row in ratings
    ]
    width = len(scale)
    matrices = np.empty((total, len(grades), width, width), dtype=np.int_)
    for k, (first, second) in enumerate(grades):
        matrices[:, k] = confusions(first, second, numbers, total, scale)
    sums = resample(matrices, resamples=resamples, seed=seed)
    coincidences = np.zeros((total, width, width))
    np.add.at(coincidences, numbers, confusion.coincidences(cast))

    def pair(k: int) -> LabelerPair:
        n = int(sums.total[k].sum())
        reason = "On the pairs that both graded, one of them used a single level." if n else "No shared pair."
        return LabelerPair(
            *labels[k], n, sums.estimate(lambda counts: confusion.kappa_of_equals(counts[:, k]), reason)
        )

    overlap = "" if len(numbers) else "No pair was graded by two labelers."
    return LabelerAgreement(
        n=len(numbers),
        pairwise=tuple(pair(k) for k in range(len(two))),
        ceiling=sums.estimate(
            lambda counts: confusion.mean_kappa(counts[:, : len(two)]),
            overlap or "Wherever two labelers graded the same pairs, one of them used a single level.",
        ),
        alpha=resample(coincidences, resamples=resamples, seed=seed).estimate(
            confusion.alpha_of_coincidences, overlap or "All labelers gave one and the same level throughout."
        ),
        against_rest=tuple(pair(k) for k in range(len(two), len(labels))),
    )


def krippendorff_alpha(ratings: Grades, levels: Sequence[int]) -> float | None:
    """Return Krippendorff's ordinal alpha of any number of raters with missing values, shape (raters, pairs).

    None where no pair has two grades or all such grades are one level.
    """
    scale = declared(levels)
    cast = confusion.votes(checked(ratings, scale, "a rater", ndim=2), scale)
    alpha = float(confusion.alpha_of_coincidences(confusion.coincidences(cast).sum(axis=0)))
    return None if np.isnan(alpha) else alpha
