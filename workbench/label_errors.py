"""Suspected label errors: pairs on which several judges agree with each other and not with the label.

A judge's answer is worth what such answers of that judge turned out to be on the labelled pairs (a confusion matrix
a judge, as in Dawid & Skene 1979), so that a judge which is often wrong, or sure without cause, does not outweigh a
careful one. How much likelier the judges' answer is than the label by that is the *margin*, the rank of confident
learning (Northcutt, Jiang & Chuang 2021, "Confident learning: estimating uncertainty in dataset labels").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.run import JudgeIdentity

Grades = npt.NDArray[np.int_]
Floats = npt.NDArray[np.float64]

PRIOR = 0.5
"""Added to each cell of a confusion matrix (Jeffreys), so that what was seen once is not taken for certain."""
_DATE = re.compile(r"[-@](\d{8}|\d{6}|\d{4}-\d{2}-\d{2}|latest)$")


@dataclass(frozen=True, eq=False)
class Suspects:
    """The suspected labels of one dimension, the likeliest error first; shapes (suspects,) but for the last."""

    position: Grades  # in the arrays that were ranked
    answer: Grades  # what the judges agree on: a level or NOT_APPLICABLE
    score: Floats  # above 0, at most 1
    agreeing: Grades  # judges that gave this answer
    answered: Grades  # judges that gave any
    margins: Floats  # shape (judges, suspects); NaN where the judge gave no answer


def rank(
    label: Grades,
    votes: Grades,
    judges: Grades,
    scale: Sequence[int],
    *,
    least_judges: int = 2,
    probabilities: Floats | None = None,
) -> Suspects:
    """Return the pairs whose label several judges contradict with one answer, the likeliest label error first.

    The judges' answer is the one that more of them gave than any other, and at least ``least_judges``. Its score is
    a mean over all who spoke: every judge with its margin (negative where it sides with the label), every labeler
    beyond the first who gave the label with -1, every labeler who gave the judges' answer with +1. The first is the
    label under suspicion. Pairs with a score of 0 or less are left out: there is more for the label than against it.
    Equal scores are in order of the distance between label and answer (N/A and a level are the farthest).

    Args:
        label: settled grades, shape (pairs,); pairs without a level or N/A are left out.
        votes: labelers by answer, shape (pairs, levels + 1), the last column N/A (:func:`label_votes`).
        judges: grades, shape (judges, pairs), one row for each *independent* judge (:func:`family`).
        scale: the declared levels, consecutive and ascending.
        probabilities: over the levels, shape (judges, pairs, levels); NaN where a judge said none.

    Raises:
        ValueError: for arrays that do not fit together, or fewer than one judge asked for.
    """
    answers = len(scale) + 1
    if votes.shape != (len(label), answers) or judges.ndim != 2 or judges.shape[1] != len(label):
        raise ValueError(f"label {label.shape}, votes {votes.shape} and judges {judges.shape} do not fit")
    if probabilities is not None and probabilities.shape != (*judges.shape, len(scale)):
        raise ValueError(f"probabilities {probabilities.shape} do not fit judges {judges.shape}")
    if least_judges < 1:
        raise ValueError(f"at least one judge has to contradict a label, not {least_judges}")
    said, given = _columns(label, scale), _columns(judges, scale)
    tally = np.stack([(given == column).sum(axis=0) for column in range(answers)], axis=1)
    most, answer = tally.max(axis=1), tally.argmax(axis=1)
    only = (tally == most[:, None]).sum(axis=1) == 1
    where = np.flatnonzero((said >= 0) & only & (most >= least_judges) & (answer != said))

    said_there, answer_there = said[where], answer[where]
    margins = np.full((len(given), len(where)), np.nan)
    for j, row in enumerate(given):
        spoke = row[where] >= 0
        known = None if probabilities is None else probabilities[j, where[spoke]]
        weights = _weights(row[where[spoke]], known, answers)
        counts = _confusion(said, row, answers)
        grade, mine, other = row[where[spoke]], said_there[spoke], answer_there[spoke]
        margins[j, spoke] = _likely(counts, weights, grade, mine, other) - _likely(
            counts, weights, grade, mine, mine
        )

    cast = votes[where]
    rows = np.arange(len(where))
    seconding = np.maximum(cast[rows, said_there] - 1, 0)
    objecting = cast[rows, answer_there]
    answered = tally.sum(axis=1)[where]
    score = (np.nansum(margins, axis=0) - seconding + objecting) / (answered + seconding + objecting)
    apart = (said_there == answers - 1) | (answer_there == answers - 1)
    distance = np.where(apart, answers, np.abs(said_there - answer_there))
    order = np.lexsort((where, -distance, -score))
    order = order[score[order] > 0]
    levels = np.array([*scale, NOT_APPLICABLE])
    return Suspects(
        position=where[order],
        answer=levels[answer_there[order]],
        score=score[order],
        agreeing=most[where[order]],
        answered=answered[order],
        margins=margins[:, order],
    )


def label_votes(labels: pd.DataFrame, dimension: str, pair_ids: pd.Index, scale: Sequence[int]) -> Grades:
    """Return how many labelers gave each answer, shape (pairs, levels + 1), the last column N/A.

    Args:
        labels: those that hold: the newest of each labeler.
        pair_ids: the pairs in order, each once.
    """
    mine = labels[labels["dimension"] == dimension]
    where = pair_ids.get_indexer(pd.Index(mine["pair_id"]))
    column = _columns(mine["grade"].to_numpy(dtype=np.int_), scale)
    kept = (where >= 0) & (column >= 0)
    width = len(scale) + 1
    flat = np.bincount(where[kept] * width + column[kept], minlength=len(pair_ids) * width)
    return flat.reshape(len(pair_ids), width).astype(np.int_)


def family(judge: JudgeIdentity) -> str:
    """Return what a judge's near-copies have in common; of a family, one may count as a judge.

    Policy versions, sampling parameters, repeats, providers and dated releases of one model are one family, and so
    are all baselines: they weigh the same features.
    """
    if judge.kind == "baseline":
        return "baseline"
    name = judge.name.strip()
    if judge.kind == "recorded":
        version = str(judge.params.get("version", ""))
        return f"recorded {name.removesuffix(f' ({version})') if version else name}"
    if judge.is_model:
        return f"llm {_DATE.sub('', name.rpartition('/')[2].casefold())}"
    return f"{judge.kind} {name}"


def _columns(grades: Grades, scale: Sequence[int]) -> Grades:
    """Return the column of each grade: levels from 0 on, then N/A; -1 for what is no answer on this scale."""
    levels = np.where((grades >= scale[0]) & (grades <= scale[-1]), grades - scale[0], NOT_GRADED)
    return np.where(grades == NOT_APPLICABLE, len(scale), levels)


def _confusion(label: Grades, judge: Grades, answers: int) -> Grades:
    """Return counts of pairs by label (rows) and judge's answer (columns)."""
    both = (label >= 0) & (judge >= 0)
    flat = np.bincount(label[both] * answers + judge[both], minlength=answers * answers)
    return flat.reshape(answers, answers).astype(np.int_)


def _weights(grade: Grades, probabilities: Floats | None, answers: int) -> Floats:
    """Return how far a judge meant each answer, shape (pairs, answers): its probabilities, else all on its grade."""
    weights = np.zeros((len(grade), answers))
    weights[np.arange(len(grade)), grade] = 1.0
    if probabilities is not None:
        # Probabilities are over levels; who says N/A has said that none of them applies.
        known = np.isfinite(probabilities).all(axis=1) & (grade < answers - 1)
        weights[known, :-1] = probabilities[known]
        weights[known, -1] = 0.0
    return weights


def _likely(counts: Grades, weights: Floats, grade: Grades, label: Grades, wanted: Grades) -> Floats:
    """Return how likely people say ``wanted`` when the judge answers so: sum over g of weight(g) P(wanted | g).

    Each pair's own label is left out of the counts, or a rare answer would vouch for the label in question.
    """
    answers = len(counts)
    totals = counts.sum(axis=0)
    share = (counts + PRIOR) / (totals + PRIOR * answers)
    with_own = (weights * share[wanted]).sum(axis=1)
    without = (counts[wanted, grade] - (wanted == label) + PRIOR) / (totals[grade] - 1 + PRIOR * answers)
    on_grade = weights[np.arange(len(grade)), grade]
    found: Floats = with_own + on_grade * (without - share[wanted, grade])
    return found
