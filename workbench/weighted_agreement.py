"""Agreement of a judge with people, estimated for a population from a sample of it with known sampling weights.

Every pair counts with its weight (one over the chance with which it was drawn), so that the weighted confusion matrix
estimates the population's (Horvitz and Thompson 1952), and what is computed from its shares the population's agreement
(the ratio estimate of Hájek 1971; Särndal, Swensson and Wretman, Model Assisted Survey Sampling, 1992, chapter 5).
A pair drawn because a judge was unsure of it then counts no more than it does in the whole set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench import confusion
from workbench.confusion import Grades, checked, declared, same_length
from workbench.resampling import Clusters, Estimate, numbered, resample

_kappa_quadratic = confusion.unless_one_class(confusion.kappa_quadratic)


@dataclass(frozen=True, eq=False)
class WeightedAgreement:
    """Agreement over a population, from the ``n`` pairs of a sample to which judge and human gave a level."""

    n: int
    n_effective: (
        float | None
    )  # pairs of a simple random sample with as much to say (Kish 1965); None for n = 0
    population: float  # sum of the weights of the n pairs: how many pairs of the population they stand for
    levels: tuple[int, ...]
    confusion: npt.NDArray[np.float64]  # weighted counts, rows human, columns judge, shape (levels, levels)
    kappa_quadratic: Estimate
    exact: Estimate
    recall: dict[int, Estimate]


def weighted_agreement(
    judge: Grades,
    human: Grades,
    weights: npt.NDArray[np.float64],
    clusters: Clusters,
    levels: Sequence[int],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> WeightedAgreement:
    """Return the agreement of a judge with the human grades in the population that a sample stands for.

    With equal weights, the values are those of :func:`workbench.agreement.agreement`. Intervals are by the cluster
    bootstrap: queries are drawn with all their pairs and weights, as if the sample had been drawn with replacement
    and without strata, which makes them rather too wide than too narrow.

    Args:
        judge, human: grades, shape (pairs,).
        weights: finite and above 0, shape (pairs,).
        clusters, levels, resamples, seed: as in :func:`workbench.agreement.agreement`.

    Raises:
        ValueError: for weights that are not finite and above 0, and as in :func:`workbench.agreement.agreement`.
    """
    scale = declared(levels)
    judge, human = checked(judge, scale, "the judge"), checked(human, scale, "the human")
    weights = np.asarray(weights, dtype=np.float64)
    same_length(judge=judge, human=human, weights=weights, clusters=clusters)
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError("sampling weights are finite and above 0")
    both = (human >= 0) & (judge >= 0)
    numbers, total = numbered(clusters, both)
    width, kept = len(scale), weights[both]
    cells = (numbers * width + human[both] - scale[0]) * width + judge[both] - scale[0]
    matrices = np.bincount(cells, weights=kept, minlength=total * width**2).reshape(total, width, width)
    sums = resample(matrices, resamples=resamples, seed=seed)
    n = int(both.sum())
    nothing = "No pair has both a judge grade and a human grade." if n == 0 else ""
    one_class = n and len(np.unique(human[both])) == 1
    chance = (
        f"All {n} human grades are {human[both][0]}; this needs at least two levels."
        if one_class
        else nothing
    )

    def recall(level: int) -> Estimate:
        reason = nothing or f"No comparable pair has the human grade {level}."
        return sums.estimate(lambda counts: confusion.recall(counts)[..., level - scale[0]], reason)

    return WeightedAgreement(
        n=n,
        n_effective=float(kept.sum() ** 2 / (kept**2).sum()) if n else None,
        population=float(kept.sum()),
        levels=scale,
        confusion=sums.total,
        kappa_quadratic=sums.estimate(_kappa_quadratic, chance),
        exact=sums.estimate(confusion.exact, nothing),
        recall={level: recall(level) for level in scale},
    )
