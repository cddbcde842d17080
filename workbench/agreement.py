"""Agreement of a judge with people, and of two runs with each other.

Grades are integer arrays with one entry a pair: a declared level, ``NOT_GRADED``, ``NOT_APPLICABLE`` or
``UNRATEABLE`` (which counts as not graded). Statistics are taken over the *declared* levels: a kappa over the levels
that happened to occur would move grades closer together than the policy says they are. ``clusters`` names the query
of each pair, the unit of the bootstrap. What is undefined is None with a reason, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr

from workbench import confusion
from workbench.confusion import Grades, Statistic, checked, confusions, declared, same_length
from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.resampling import Clusters, Resampled, numbered, resample
from workbench.resampling import Estimate as Estimate

Outcome = Literal["not comparable", "same", "changed", "fixed", "broken"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
"""What became of a pair between two runs; ``Comparison.outcomes`` holds positions in this tuple."""

_kappa_quadratic = confusion.unless_one_class(confusion.kappa_quadratic)
_kappa_linear = confusion.unless_one_class(confusion.kappa_linear)
_alpha = confusion.unless_one_class(confusion.alpha_ordinal)


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far a judge agrees with the human grades. The six counts add up to the number of pairs.

    The headline is there at once. The other statistics are computed when they are first asked for, from the same
    resamples: a matrix of many runs shows the headline alone.
    """

    n: int  # comparable: both gave a level
    n_failed: int  # labelled (a level or N/A), but the judge gave no answer
    n_unlabelled: int  # no human answer
    n_not_applicable_judge: int  # only the judge said N/A
    n_not_applicable_human: int  # only the human said N/A
    n_not_applicable_both: int
    levels: tuple[int, ...]
    confusion: npt.NDArray[np.int_]  # rows human, columns judge, shape (levels, levels)
    kappa_quadratic: Estimate
    kappa_linear: Estimate
    exact: Estimate
    _rows: npt.NDArray[Any]  # one confusion matrix a query, for what is computed later
    _drawn: tuple[int, int]  # resamples, seed
    _reasons: _Reasons

    @cached_property
    def within_one(self) -> Estimate:
        """Share of pairs whose grades are at most one level apart."""
        return self._sums.estimate(confusion.within_one, self._reasons.nothing)

    @cached_property
    def alpha(self) -> Estimate:
        """Krippendorff's alpha, ordinal."""
        return self._sums.estimate(_alpha, self._reasons.chance)

    @cached_property
    def ac2(self) -> Estimate:
        """Gwet's AC2 with quadratic weights."""
        return self._sums.estimate(confusion.ac2, self._reasons.nothing)

    @cached_property
    def spearman(self) -> Estimate:
        """Spearman's rank correlation."""
        return self._sums.estimate(confusion.spearman, self._reasons.order)

    @cached_property
    def bias(self) -> Estimate:
        """Mean grade of the judge minus that of the human."""
        return self._sums.estimate(confusion.bias, self._reasons.nothing)

    @cached_property
    def bias_at(self) -> dict[int, Estimate]:
        """For each level, the mean of judge minus human over the pairs of that human grade."""
        return {level: self._bias_at(level) for level in self.levels}

    @cached_property
    def recall(self) -> dict[int, Estimate]:
        """For each level, the share of the pairs of that human grade to which the judge gave it."""
        return {level: self._recall(level) for level in self.levels}

    @cached_property
    def _sums(self) -> Resampled:
        return _resampled(self._rows, *self._drawn)

    def _bias_at(self, level: int) -> Estimate:
        reason = self._reasons.nothing or f"No comparable pair has the human grade {level}."
        row, off = level - self.levels[0], np.array(self.levels) - level

        def mean(counts: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
            given = counts[..., row, :].sum(axis=-1)
            total = (counts[..., row, :] * off).sum(axis=-1)
            found: npt.NDArray[np.float64] = np.divide(
                total, given, out=np.full(given.shape, np.nan), where=given > 0
            )
            return found

        return self._sums.estimate(mean, reason)

    def _recall(self, level: int) -> Estimate:
        reason = self._reasons.nothing or f"No comparable pair has the human grade {level}."
        return self._sums.estimate(
            lambda counts: confusion.recall(counts)[..., level - self.levels[0]], reason
        )


@dataclass(frozen=True)
class _Reasons:
    """Why a statistic is undefined: no comparable pair, one human level, or one level of either."""

    nothing: str
    chance: str
    order: str


@dataclass(frozen=True)
class Headline:
    """The statistics that a comparison shows for each run and for their difference."""

    kappa_quadratic: Estimate
    kappa_linear: Estimate
    exact: Estimate


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs against the same human grades.

    Statistics use the ``n`` pairs to which both runs and the human gave a level. Outcomes use all *answered* pairs,
    where N/A is an answer too: a policy edit that settles when a dimension applies fixes and breaks pairs like any
    other. ``n + n_not_applicable + n_not_comparable`` is the number of pairs.
    """

    n: int
    n_failed_a: int  # labelled pairs on which a gave no answer
    n_failed_b: int
    n_not_applicable: int  # answered, with at least one N/A among the three answers
    n_not_comparable: int  # a, b or the human gave no answer
    a: Headline
    b: Headline
    delta: Headline  # b - a, paired intervals
    p_mcnemar: float | None  # exact, fixed against broken; None where nothing is answered
    outcomes: npt.NDArray[np.int8]  # positions in OUTCOMES, shape (pairs,)
    counts: dict[Outcome, int]
    changed_share: float | None  # fixed, broken and changed among the answered pairs
    p_holm: float | None = None  # p_mcnemar corrected over dimensions; set by compare_many

    def flips(self, outcome: Outcome) -> npt.NDArray[np.int_]:
        """Return the positions of the pairs with this outcome, ascending."""
        return np.flatnonzero(self.outcomes == OUTCOMES.index(outcome))


def agreement(
    judge: Grades,
    human: Grades,
    clusters: Clusters,
    levels: Sequence[int],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Agreement:
    """Return the agreement of a judge with the human grades.

    Where all human grades are one level, kappas and alpha are None: against one level kappa is 0 whatever the judge
    does. A judge that gives one level to varied pairs has a true kappa of 0 and keeps it.

    Args:
        judge, human: grades, shape (pairs,).
        clusters: the query of each pair, any hashable values, shape (pairs,).
        levels: the declared levels, consecutive and ascending.
        resamples: bootstrap draws over queries; 0 for values without intervals.
        seed: the same seed gives the same intervals, in whatever order the pairs come.

    Raises:
        ValueError: for grades outside the declared levels, or arrays that do not fit together.
    """
    scale = declared(levels)
    judge, human = checked(judge, scale, "the judge"), checked(human, scale, "the human")
    same_length(judge=judge, human=human, clusters=clusters)
    labelled, answered = human != NOT_GRADED, judge != NOT_GRADED
    both = (human >= 0) & (judge >= 0)
    matrices = confusions(human[both], judge[both], *numbered(clusters, both), scale)
    # A matrix of runs keeps hundreds of these, so they are kept small (whole numbers below 65,536 a query).
    kept = matrices.astype(np.uint16) if matrices.max(initial=0) < 2**16 else matrices

    sums = _resampled(kept, resamples, seed)
    n = int(both.sum())
    nothing = "No pair has both a judge grade and a human grade." if n == 0 else ""
    chance = nothing or _one_class_reason(human[both], "human grades")
    order = chance or _one_class_reason(judge[both], "judge grades")
    return Agreement(
        n=n,
        n_failed=int((labelled & ~answered).sum()),
        n_unlabelled=int((~labelled).sum()),
        n_not_applicable_judge=int(((judge == NOT_APPLICABLE) & (human >= 0)).sum()),
        n_not_applicable_human=int(((human == NOT_APPLICABLE) & (judge >= 0)).sum()),
        n_not_applicable_both=int(((human == NOT_APPLICABLE) & (judge == NOT_APPLICABLE)).sum()),
        levels=scale,
        confusion=sums.total,
        kappa_quadratic=sums.estimate(_kappa_quadratic, chance),
        kappa_linear=sums.estimate(_kappa_linear, chance),
        exact=sums.estimate(confusion.exact, nothing),
        _rows=kept,
        _drawn=(resamples, seed),
        _reasons=_Reasons(nothing, chance, order),
    )


def _resampled(rows: npt.NDArray[Any], resamples: int, seed: int) -> Resampled:
    return resample(rows.astype(np.int_), resamples=resamples, seed=seed)


def compare(
    a: Grades,
    b: Grades,
    human: Grades,
    clusters: Clusters,
    levels: Sequence[int],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Return run ``b`` beside run ``a``; arguments and errors as in :func:`agreement`.

    Intervals of the differences are paired: each resample draws the same queries for both runs. McNemar's test is
    exact (binomial) and takes pairs as independent, so with many pairs a query the interval is the safer guide.
    """
    scale = declared(levels)
    a, b, human = checked(a, scale, "run a"), checked(b, scale, "run b"), checked(human, scale, "the human")
    same_length(a=a, b=b, human=human, clusters=clusters)
    answered = (a != NOT_GRADED) & (b != NOT_GRADED) & (human != NOT_GRADED)
    outcomes = np.select(
        [~answered, a == b, a == human, b == human],
        [OUTCOMES.index(outcome) for outcome in ("not comparable", "same", "broken", "fixed")],
        OUTCOMES.index("changed"),
    ).astype(np.int8)
    tally = np.bincount(outcomes, minlength=len(OUTCOMES)).tolist()
    counts: dict[Outcome, int] = dict(zip(OUTCOMES, tally, strict=True))
    n_answered = int(answered.sum())

    graded = (a >= 0) & (b >= 0) & (human >= 0)
    n = int(graded.sum())
    queries = numbered(clusters, graded)
    matrices = [confusions(human[graded], run[graded], *queries, scale) for run in (a, b)]
    sums = resample(np.stack(matrices, axis=1), resamples=resamples, seed=seed)
    nothing = "No pair was graded by both runs and by a person." if n == 0 else ""
    chance = nothing or _one_class_reason(human[graded], "human grades")

    def headline(first: float, second: float) -> Headline:
        """Estimate ``first`` times the statistic of a plus ``second`` times that of b."""

        def estimate(statistic: Statistic, reason: str) -> Estimate:
            return sums.estimate(lambda pair: statistic(pair) @ np.array([first, second]), reason)

        return Headline(
            estimate(_kappa_quadratic, chance),
            estimate(_kappa_linear, chance),
            estimate(confusion.exact, nothing),
        )

    labelled = human != NOT_GRADED
    return Comparison(
        n=n,
        n_failed_a=int((labelled & (a == NOT_GRADED)).sum()),
        n_failed_b=int((labelled & (b == NOT_GRADED)).sum()),
        n_not_applicable=n_answered - n,
        n_not_comparable=len(human) - n_answered,
        a=headline(1, 0),
        b=headline(0, 1),
        delta=headline(-1, 1),
        p_mcnemar=_mcnemar(counts["fixed"], counts["broken"]) if n_answered else None,
        outcomes=outcomes,
        counts=counts,
        changed_share=1 - counts["same"] / n_answered if n_answered else None,
    )


def compare_many(
    a: Mapping[str, Grades],
    b: Mapping[str, Grades],
    human: Mapping[str, Grades],
    clusters: Clusters,
    levels: Mapping[str, Sequence[int]],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Return :func:`compare` for each dimension of ``levels``, with McNemar's p corrected over them by Holm.

    Raises:
        KeyError: where a run or the human grades lack a dimension.
    """
    found = {
        key: compare(a[key], b[key], human[key], clusters, scale, resamples=resamples, seed=seed)
        for key, scale in levels.items()
    }
    corrected = holm([comparison.p_mcnemar for comparison in found.values()])
    return {
        key: replace(comparison, p_holm=p)
        for (key, comparison), p in zip(found.items(), corrected, strict=True)
    }


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected by Holm's step-down method (Holm 1979). None stays None and is no test."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    if any(not 0 <= p <= 1 for p, _ in known):
        raise ValueError(f"p-values lie from 0 to 1, unlike these: {list(p_values)}")
    corrected: list[float | None] = [None] * len(p_values)
    reached = 0.0
    for rank, (p, i) in enumerate(known):
        reached = max(reached, min(1.0, (len(known) - rank) * p))
        corrected[i] = reached
    return corrected


def noise(runs: Grades, human: Grades, levels: Sequence[int]) -> float | None:
    """Return the largest difference in quadratic kappa between repeats of one judge, shape (repeats, pairs).

    Taken on the pairs that every repeat and the human gave a level. None below two repeats, and where kappa is
    undefined on those pairs.
    """
    scale = declared(levels)
    runs, human = checked(runs, scale, "the judge", ndim=2), checked(human, scale, "the human")
    same_length(runs=runs.T, human=human)
    if len(runs) < 2:
        return None
    kept = (runs >= 0).all(axis=0) & (human >= 0)
    one = np.zeros(kept.sum(), dtype=np.int_)
    matrices = [confusions(human[kept], run[kept], one, 1, scale) for run in runs]
    kappas = _kappa_quadratic(np.concatenate(matrices))
    return _known(kappas.max() - kappas.min())


def _mcnemar(fixed: int, broken: int) -> float:
    """Return the two-sided exact p that a discordant pair is as often fixed as broken."""
    return min(1.0, 2 * float(bdtr(min(fixed, broken), fixed + broken, 0.5)))


def _known(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _one_class_reason(grades: Grades, what: str) -> str:
    if len(np.unique(grades)) != 1:
        return ""
    return f"All {len(grades)} {what} are {grades[0]}; this needs at least two levels."
