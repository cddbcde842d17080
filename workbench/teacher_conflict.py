"""Where teachers conflict: how far their probabilities lie apart, and how differently they order documents.

Two teachers of one head are compared by the Jensen-Shannon divergence of their answers, in bits: 0 where they say the
same, 1 where neither holds possible what the other does (Lin 1991, Divergence measures based on the Shannon entropy).
A policy teacher and a click teacher speak of different things, so they are compared by order: the rank correlation of
the expected overall grade with the probability of a click, within queries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from workbench.agreement import holm
from workbench.golden import NOT_APPLICABLE
from workbench.overall import overall_grades
from workbench.policy import Policy
from workbench.resampling import Clusters, Estimate, numbered, resample

Floats = npt.NDArray[np.float64]

DRAWS = 8
"""Base-two logarithm of the points by which an expected overall grade is integrated."""
QUARTER = 0.25
FEWEST = 5
"""Pairs that a value of the metadata needs before it is tested."""
_AT_ONCE = 1_000_000  # grades held while integrating


@dataclass(frozen=True)
class RankCorrelation:
    """Mean over queries of a rank correlation within each."""

    spearman: Estimate
    kendall: Estimate  # tau-b
    queries: int
    left_out: int  # queries of one pair, or in which one teacher says the same of all


@dataclass(frozen=True)
class Slice:
    """One value of the metadata among the pairs in conflict.

    ``ratio`` is its share of conflicts over that of all other pairs, None where those have none. ``p`` is Fisher's exact
    test, one-sided: as many conflicts or more by chance. It takes pairs for independent, which pairs of one query are
    not: read it as a hint where to look.
    """

    key: str
    value: str
    pairs: int
    conflicts: int
    ratio: float | None
    p: float
    p_holm: float = 1.0


def jensen_shannon(first: Floats, second: Floats) -> Floats:
    """Return the divergence of two answers to each pair, in bits, shape (pairs,).

    Args:
        first: probabilities over the classes, shape (pairs, classes).
        second: the same of another teacher.
    """
    middle = (first + second) / 2
    return np.clip((_relative_entropy(first, middle) + _relative_entropy(second, middle)) / 2, 0.0, 1.0)


def _relative_entropy(p: Floats, q: Floats) -> Floats:
    """Return sum p log2(p / q) over the classes; 0 log 0 is 0. q is 0 where p is, or p too small to be halved."""
    terms = np.log2(np.divide(p, q, out=np.ones_like(p), where=(p > 0) & (q > 0)))
    result: Floats = (p * terms).sum(axis=-1)
    return result


def mean_over_queries(values: Floats, queries: Clusters, *, resamples: int = 2000, seed: int = 0) -> Estimate:
    """Return the mean of a figure of each pair; NaN is left out. The interval is by the bootstrap over queries."""
    known = np.isfinite(values)
    numbers, count = numbered(queries, known)
    rows = np.stack(
        [np.bincount(numbers, minlength=count), np.bincount(numbers, values[known], count)], axis=1
    ).astype(np.float64)
    return resample(rows, resamples=resamples, seed=seed).estimate(_ratio, "There is nothing to compare.")


def _ratio(sums: npt.NDArray[np.float64]) -> Floats:
    count, total = sums[:, 0], sums[:, 1]
    result: Floats = np.divide(total, count, out=np.full(len(sums), np.nan), where=count > 0)
    return result


def expected_overall(policy: Policy, probabilities: Mapping[str, Floats]) -> Floats:
    """Return the mean overall grade of each pair under a teacher's answers, shape (pairs,).

    Dimensions are taken for independent. The mean runs over 2**``DRAWS`` points of a Sobol sequence, the same for all
    pairs, through cut points and gates; what is not applicable in all of them is NaN.

    Args:
        policy: gives the levels and the rule of the overall grade.
        probabilities: of every dimension, shape (pairs, classes): the levels, ascending, then N/A where it is allowed.
    """
    from scipy.stats import qmc

    points = qmc.Sobol(len(policy.keys), scramble=False).random_base2(DRAWS)  # (points, dimensions)
    pairs = len(probabilities[policy.keys[0]])
    found = np.full(pairs, np.nan)
    step = max(1, _AT_ONCE // len(points))
    for start in range(0, pairs, step):
        grades = {
            key: _drawn(probabilities[key][start : start + step], points[:, i], policy.scale(key))
            for i, key in enumerate(policy.keys)
        }
        overall = overall_grades(policy, grades).reshape(-1, len(points))
        known = overall >= 0
        count = known.sum(axis=1)
        total = np.where(known, overall, 0).sum(axis=1)
        found[start : start + step] = np.divide(
            total, count, out=np.full(len(count), np.nan), where=count > 0
        )
    return found


def _drawn(probabilities: Floats, points: Floats, levels: Sequence[int]) -> npt.NDArray[np.int_]:
    """Return the grade of each pair at each point by the inverse of its distribution, shape (pairs * points,)."""
    reached = np.cumsum(probabilities, axis=1)[:, :-1]  # what is left of rounding belongs to the last class
    classes = (points[None, :, None] >= reached[:, None, :]).sum(axis=2)
    result: npt.NDArray[np.int_] = np.array([*levels, NOT_APPLICABLE])[classes].ravel()
    return result


def rank_correlation(
    grades: Floats, clicks: Floats, queries: Clusters, *, resamples: int = 2000, seed: int = 0
) -> RankCorrelation:
    """Return how alike two teachers order the documents of a query, as a mean over queries with its interval.

    Args:
        grades: expected overall grades, shape (pairs,); a pair of NaN is left out.
        clicks: probabilities of a click, shape (pairs,).
        queries: the query of each pair.
    """
    from scipy.stats import kendalltau, rankdata

    known = np.isfinite(grades) & np.isfinite(clicks)
    numbers, count = numbered(queries, known)
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers, minlength=count))[:-1]
    spearman, kendall = np.full(count, np.nan), np.full(count, np.nan)
    sides = zip(np.split(grades[known][order], ends), np.split(clicks[known][order], ends), strict=True)
    for i, (a, b) in enumerate(sides):
        if len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0:
            spearman[i] = np.corrcoef(rankdata(a), rankdata(b))[0, 1]
            kendall[i] = kendalltau(a, b).statistic
    each = np.arange(count)
    return RankCorrelation(
        spearman=mean_over_queries(spearman, each, resamples=resamples, seed=seed),
        kendall=mean_over_queries(kendall, each, resamples=resamples, seed=seed),
        queries=int(np.isfinite(spearman).sum()),
        left_out=int(np.isnan(spearman).sum()),
    )


def standing(values: Floats) -> Floats:
    """Return the share of pairs below each one, equal ones counted half, shape (pairs,); NaN stays NaN."""
    from scipy.stats import rankdata

    known = np.isfinite(values)
    shares = np.full(len(values), np.nan)
    if known.any():
        shares[known] = (rankdata(values[known]) - 0.5) / known.sum()
    return shares


def opposed(high: Floats, low: Floats) -> npt.NDArray[np.bool_]:
    """Return which pairs stand in the top quarter of ``high`` and in the bottom quarter of ``low``.

    Args:
        high: :func:`standing` of all pairs under one teacher.
        low: the same under the other.
    """
    return (high > 1 - QUARTER) & (low < QUARTER)


def over_represented(conflicts: npt.NDArray[np.bool_], metas: Sequence[Mapping[str, str]]) -> list[Slice]:
    """Return the values of the metadata by how far conflicts gather in them, the smallest p first.

    Values of fewer than ``FEWEST`` pairs, and those that all pairs have, are not tested. ``p_holm`` is corrected over
    all that are.

    Args:
        conflicts: whether each pair is one, shape (pairs,).
        metas: the metadata of each pair.
    """
    from scipy.stats import hypergeom

    pairs = Counter(item for meta in metas for item in meta.items())
    hits = Counter(
        item for meta, hit in zip(metas, conflicts.tolist(), strict=True) if hit for item in meta.items()
    )
    total, every = len(metas), int(conflicts.sum())
    found = []
    for (key, value), count in pairs.items():
        if count < FEWEST or count == total:
            continue
        mine = hits[key, value]
        rest = (every - mine) / (total - count)
        p = float(
            hypergeom.sf(mine - 1, total, every, count)
        )  # as Fisher's exact test, alternative "greater"
        found.append(Slice(key, value, count, mine, (mine / count) / rest if rest else None, min(p, 1.0)))
    corrected = [1.0 if p is None else p for p in holm([one.p for one in found])]
    tested = [replace(one, p_holm=p) for one, p in zip(found, corrected, strict=True)]
    return sorted(tested, key=lambda one: (one.p, one.key, one.value))
