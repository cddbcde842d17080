"""May a judge stand in for the labelers? The alternative annotator test.

Each labeler in turn is left out. On every pair that this labeler graded, whoever is nearer to the remaining labelers
wins: the judge or the labeler (both, where they are as near). The judge may replace labeler j if its share of wins is
higher than j's own less ``epsilon``, the price that one pays for a person: tested by a one-sided paired t-test over
pairs (Wilcoxon's signed ranks below 30 pairs), corrected over labelers by Benjamini and Yekutieli, since the tests
share pairs. The *winning rate* is the share of labelers that may be replaced; from one half on the judge passes. The
*advantage probability* is the judge's mean share of wins: comparable between judges, whatever epsilon.

Nitay Calderon, Roi Reichart, Rotem Dror, "The Alternative Annotator Test for LLM-as-a-Judge", arXiv:2501.10970 (2025);
grades are ordinal, so nearness is their negative root mean squared error. Epsilon as recommended there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from workbench.confusion import Grades, checked, declared, same_length

EPSILON = {"experts": 0.2, "trained labelers": 0.15, "crowd workers": 0.1}
"""How much less often than a labeler of this skill a judge may win and still be preferred: it costs less."""
FEWEST_LABELERS = 3
FEWEST_PAIRS = 10
"""A labeler with fewer pairs to compare on is left out: no test says anything about them."""
NORMAL_FROM = 30
FALSE_DISCOVERIES = 0.05


@dataclass(frozen=True)
class Contest:
    """The judge against one labeler, on the pairs that both graded with at least two others."""

    labeler: str
    pairs: int
    judge_wins: float  # share of pairs on which the judge is at least as near to the others
    labeler_wins: float
    p: float  # uncorrected; small where the judge wins often enough
    replaceable: bool


@dataclass(frozen=True)
class AlternativeAnnotator:
    """What the test says of one judge in one dimension. None is explained by ``reason``."""

    epsilon: float
    winning_rate: float | None
    advantage: float | None  # probability that the judge is at least as near as a labeler drawn at random
    contests: tuple[Contest, ...]
    left_out: tuple[str, ...] = ()  # labelers with too few pairs
    reason: str = ""

    @property
    def passes(self) -> bool | None:
        """Whether the judge may replace at least half of the labelers; None where nothing could be tested."""
        return None if self.winning_rate is None else self.winning_rate >= 0.5


def alternative_annotator(
    judge: Grades, ratings: Grades, labelers: Sequence[str], levels: Sequence[int], *, epsilon: float
) -> AlternativeAnnotator:
    """Return whether a judge may stand in for labelers.

    Args:
        judge: grades, shape (pairs,).
        ratings: one row a labeler, shape (labelers, pairs); what is no level takes no part.
        labelers: their names, in the order of the rows.
        levels: the declared levels.
        epsilon: from 0 to below 1, see :data:`EPSILON`.

    Raises:
        ValueError: for grades outside the declared levels, shapes that do not fit, or an epsilon outside its range.
    """
    if not 0 <= epsilon < 1:
        raise ValueError(f"epsilon lies from 0 to below 1, unlike {epsilon}")
    scale = declared(levels)
    judge = checked(judge, scale, "the judge")
    ratings = checked(ratings, scale, "the labelers", ndim=2)
    same_length(judge=judge, ratings=ratings.T)
    if len(labelers) != len(ratings):
        raise ValueError(f"{len(ratings)} rows of ratings have {len(labelers)} names")
    given = ratings >= 0
    enough = (given.sum(axis=0) >= FEWEST_LABELERS) & (judge >= 0)
    contests: list[tuple[str, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]] = []
    left_out = []
    for j, name in enumerate(labelers):
        mine = np.flatnonzero(given[j] & enough)
        if len(mine) < FEWEST_PAIRS:
            left_out += [name] if given[j].any() else []
            continue
        others = np.delete(ratings[:, mine], j, axis=0)
        by_judge, by_labeler = (_error(grades[mine], others) for grades in (judge, ratings[j]))
        contests.append((name, by_judge <= by_labeler, by_labeler <= by_judge))
    if len(contests) < FEWEST_LABELERS:
        reason = (
            f"{len(contests)} labelers graded at least {FEWEST_PAIRS} pairs together with two others; the test needs "
            f"{FEWEST_LABELERS}."
        )
        return AlternativeAnnotator(epsilon, None, None, (), tuple(left_out), reason)
    p_values = [_p(loses.astype(int) - wins.astype(int), epsilon) for _, wins, loses in contests]
    rejected = benjamini_yekutieli(p_values, FALSE_DISCOVERIES)
    found = tuple(
        Contest(name, len(wins), float(wins.mean()), float(loses.mean()), p, replaceable)
        for (name, wins, loses), p, replaceable in zip(contests, p_values, rejected, strict=True)
    )
    return AlternativeAnnotator(
        epsilon,
        sum(contest.replaceable for contest in found) / len(found),
        float(np.mean([contest.judge_wins for contest in found])),
        found,
        tuple(left_out),
    )


def benjamini_yekutieli(p_values: Sequence[float], rate: float) -> list[bool]:
    """Return which hypotheses are rejected at this false discovery rate, under any dependence of the tests.

    The largest k with p(k) <= k rate / (m (1 + 1/2 + … + 1/m)) rejects the k smallest (Benjamini, Yekutieli 2001).
    """
    m = len(p_values)
    order = np.argsort(p_values, kind="stable")
    bound = rate * np.arange(1, m + 1) / (m * (1 / np.arange(1, m + 1)).sum()) if m else np.array([])
    below = np.flatnonzero(np.asarray(p_values)[order] <= bound) if m else np.array([], dtype=int)
    rejected = np.zeros(m, dtype=bool)
    if len(below):
        rejected[order[: below[-1] + 1]] = True
    return [bool(one) for one in rejected]


def _error(grades: Grades, others: Grades) -> npt.NDArray[np.float64]:
    """Return the root mean squared error of ``grades`` against the levels that others gave, one a pair."""
    given = others >= 0
    squares = np.where(given, (others - grades) ** 2, 0).sum(axis=0)
    found: npt.NDArray[np.float64] = np.sqrt(squares / given.sum(axis=0))
    return found


def _p(differences: npt.NDArray[Any], epsilon: float) -> float:
    """Return the one-sided p that the labeler's mean lead over the judge is not below ``epsilon``."""
    centred = differences - epsilon
    if not centred.any():  # neither ever leads, and nothing is conceded
        return 1.0
    if len(centred) < NORMAL_FROM:
        return float(stats.wilcoxon(centred, alternative="less").pvalue)
    if centred.std() == 0:  # the same everywhere: no doubt is left
        return 0.0 if centred[0] < 0 else 1.0
    return float(stats.ttest_1samp(centred, 0.0, alternative="less").pvalue)
