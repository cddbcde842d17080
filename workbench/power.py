"""How many labels it takes to see a difference between two judges, estimated from a set that has labels.

The difference of two judges' kappa has a standard error, taken from the paired bootstrap over queries: each draw takes
the same queries for both judges. It shrinks with the square root of the number of queries, so n queries with the
standard error ``se`` tell about a larger set too. A two-sided test at level ``alpha`` finds a true difference ``delta``
with the chance ``power`` once ``delta = (z[1 - alpha/2] + z[power]) · se``, the minimum detectable effect of Bloom,
"Minimum detectable effects", Evaluation Review 19 (1995) 547-556; for judges graded on clusters of questions the same
is in Miller, "Adding error bars to evals" (2024), arXiv:2411.00640, section 5.

What this takes for granted: further queries are drawn as the present ones were, with as many pairs each and as many
labels a pair; the judges to come agree with each other about as much as those that the error was taken from (judges that
are more alike need fewer labels); and the difference is near enough to normal, which fifty queries or more make it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from workbench import confusion
from workbench.confusion import Grades, checked, confusions, declared, same_length
from workbench.resampling import MAX_UNDEFINED, Clusters, numbered, resample

POWER = 0.8
ALPHA = 0.05
FEWEST_QUERIES = 10
"""Below this many queries the bootstrap says too little about the standard error itself."""

_kappa = confusion.unless_one_class(confusion.kappa_quadratic)


@dataclass(frozen=True)
class DeltaError:
    """The standard error of the difference of two judges' quadratic kappa on ``pairs`` pairs of ``queries`` queries."""

    se: float | None
    queries: int
    pairs: int
    reason: str = ""  # why there is no error


def delta_error(
    a: Grades,
    b: Grades,
    human: Grades,
    clusters: Clusters,
    levels: Sequence[int],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> DeltaError:
    """Return the bootstrap standard error of κ(b) - κ(a) against the same human grades.

    Args:
        a, b, human: grades, shape (pairs,); only pairs to which all three gave a level count.
        clusters, levels, seed: as in :func:`workbench.agreement.agreement`.
        resamples: two or more.

    Raises:
        ValueError: for grades outside the declared levels, or arrays that do not fit together.
    """
    scale = declared(levels)
    a, b, human = checked(a, scale, "run a"), checked(b, scale, "run b"), checked(human, scale, "the human")
    same_length(a=a, b=b, human=human, clusters=clusters)
    graded = (a >= 0) & (b >= 0) & (human >= 0)
    numbers, queries = numbered(clusters, graded)
    pairs = int(graded.sum())
    if queries < FEWEST_QUERIES:
        reason = f"{queries} queries graded by all; the error needs at least {FEWEST_QUERIES}."
        return DeltaError(None, queries, pairs, reason)
    if len(np.unique(human[graded])) < 2:
        return DeltaError(None, queries, pairs, "All human grades are one level.")
    if (a[graded] == b[graded]).all():
        return DeltaError(
            None, queries, pairs, "Both judges gave the same grades: their difference has no error."
        )
    matrices = [confusions(human[graded], run[graded], numbers, queries, scale) for run in (a, b)]
    draws = resample(np.stack(matrices, axis=1), resamples=resamples, seed=seed).draws
    deltas = np.diff(_kappa(draws), axis=1)[:, 0]
    known = deltas[~np.isnan(deltas)]
    if len(known) < (1 - MAX_UNDEFINED) * len(deltas):
        missing = 1 - len(known) / len(deltas)
        return DeltaError(None, queries, pairs, f"κ is undefined in {missing:.0%} of the resamples.")
    return DeltaError(float(known.std(ddof=1)), queries, pairs)


def needed(se: float, n: int, delta: float, power: float = POWER, alpha: float = ALPHA) -> int:
    """Return how many queries it takes to find a difference ``delta``, at least 1.

    Args:
        se: standard error of the difference on ``n`` queries.
        delta: the true difference, of either sign but not 0.

    Raises:
        ValueError: for arguments outside their range.
    """
    _check(se, power, alpha)
    if n < 1:
        raise ValueError(f"n is a number of queries from 1 up, not {n}")
    if not math.isfinite(delta) or delta == 0:
        raise ValueError(f"no set is large enough to see a difference of {delta}")
    exact = n * (detectable(se, power, alpha) / abs(delta)) ** 2
    return max(1, math.ceil(exact * (1 - 1e-12)))  # rounding errors do not add a query


def detectable(se: float, power: float = POWER, alpha: float = ALPHA) -> float:
    """Return the smallest true difference that a set finds on which the difference has the standard error ``se``.

    Raises:
        ValueError: for arguments outside their range.
    """
    _check(se, power, alpha)
    return float(ndtri(1 - alpha / 2) + ndtri(power)) * se


def _check(se: float, power: float, alpha: float) -> None:
    if not (math.isfinite(se) and se >= 0):
        raise ValueError(f"a standard error is a finite number from 0 up, not {se}")
    if not 0 < alpha < power < 1:
        raise ValueError(f"0 < alpha < power < 1, unlike alpha {alpha} and power {power}")
