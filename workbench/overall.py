"""The overall grade of a pair, computed from its dimension grades by the policy's rule; no judging involved."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from workbench.expression import Expression
from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.policy import Body

Grades = npt.NDArray[np.int_]


def overall_scores(body: Body, grades: Mapping[str, Grades]) -> npt.NDArray[np.float64]:
    """Return the combined score of each pair before cut points and gates, shape (pairs,).

    A dimension that is not applicable leaves the mean (its weight with it). NaN where a dimension was not
    graded, or where nothing that has weight is applicable.
    """
    stacked = np.stack([np.asarray(grades[key]) for key in body.keys], axis=1).astype(np.float64)
    missing = (stacked == NOT_GRADED).any(axis=1)
    applicable = stacked >= 0
    if body.overall.combine == "minimum":
        scores = np.where(applicable, stacked, np.inf).min(axis=1)
        scores[~np.isfinite(scores)] = np.nan
    else:
        weights = np.array([dimension.weight for dimension in body.dimensions]) * applicable
        total = weights.sum(axis=1)
        summed = (np.where(applicable, stacked, 0.0) * weights).sum(axis=1)
        scores = np.divide(summed, total, out=np.full(len(stacked), np.nan), where=total > 0)
    scores[missing] = np.nan
    result: npt.NDArray[np.float64] = scores
    return result


def overall_grades(body: Body, grades: Mapping[str, Grades]) -> Grades:
    """Return the overall grade of each pair, shape (pairs,): cut points first, then gates in their order.

    A score equal to a cut point reaches the upper level. Pairs without a score get ``NOT_GRADED`` when a
    dimension failed and ``NOT_APPLICABLE`` when none applies.
    """
    scores = overall_scores(body, grades)
    known = np.isfinite(scores)
    # The tolerance keeps 0.8 reached by a mean such as 12/15 on the upper side of a cut point of 0.8.
    result = np.searchsorted(np.asarray(body.overall.cut_points), np.nan_to_num(scores) + 1e-9, side="right")
    for gate in body.overall.gates:
        fires = Expression(gate.when).mask(grades, len(scores)) & known
        if gate.at_most is not None:
            result[fires] = np.minimum(result[fires], gate.at_most)
        if gate.at_least is not None:
            result[fires] = np.maximum(result[fires], gate.at_least)
    failed = np.stack([np.asarray(grades[key]) == NOT_GRADED for key in body.keys], axis=1).any(axis=1)
    result[~known] = NOT_APPLICABLE
    result[failed] = NOT_GRADED
    return result.astype(np.int_)
