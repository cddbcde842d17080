"""Lint of the overall rule: weights, cut points and gates, by logic and on labelled pairs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from workbench.expression import Expression
from workbench.golden import NOT_GRADED
from workbench.overall import Grades, overall_grades
from workbench.policy import Body, Dimension, Gate
from workbench.policy_diff import OVERALL_RULE
from workbench.policy_lint_finding import Finding, error, warning

MOST_COMBINATIONS = 10_000
"""Gates over more combinations of grades than this are not tried out."""
MOST_SCORES = 20_000
"""Rules with more distinct scores than this leave no gap that is worth looking for."""
MOST_PAIRS = 5_000
"""Labelled pairs that weights are tried out on; of more, every second or third is taken."""
FEWEST_PAIRS = 30
"""Labelled pairs from which it is worth saying that something happens on none of them."""

_TOLERANCE = 1e-9  # as overall_grades has it

# What the logic needs of a dimension: weight, lowest and highest level, whether N/A is allowed.
Weighted = tuple[float, int, int, bool]
Scores = npt.NDArray[np.float64]


def overall_findings(body: Body, grades: Mapping[str, Grades]) -> Iterator[Finding]:
    """Yield the findings on weights, cut points and gates; ``grades`` are settled grades of labelled pairs."""
    gated = {name for gate in body.overall.gates for name in Expression(gate.when).names}
    weighted = body.overall.combine == "weighted_mean"
    if weighted and not any(dimension.weight for dimension in body.dimensions):
        yield error("all weights are 0, so no pair has an overall grade.", OVERALL_RULE)
    else:
        yield from _cut_points(body)
        if weighted:
            yield from _weights(body, gated, grades)
    for gate in body.overall.gates:
        yield from _gate(body, gate, grades)


# Weights


def _weights(body: Body, gated: set[str], grades: Mapping[str, Grades]) -> Iterator[Finding]:
    total = sum(dimension.weight for dimension in body.dimensions)
    plain = tuple(map(_weighted, body.dimensions))
    idle = _idle(plain, body.overall.cut_points)
    # Labels under an older version of the policy say nothing about a dimension that it does not have.
    known = np.zeros(0, dtype=np.bool_)
    if set(body.keys) <= set(grades):
        step = math.ceil(len(grades[body.keys[0]]) / MOST_PAIRS) or 1
        grades = {key: np.asarray(grades[key])[::step] for key in body.keys}
        known = overall_grades(body, grades) >= 0
    for i, dimension in enumerate(body.dimensions):
        key = dimension.key
        if key not in gated and dimension.weight == 0:
            yield warning("has weight 0 and does not move the overall grade.", key)
        elif key not in gated and i in idle:
            share = f"{dimension.weight:g} of {total:g}"
            yield warning(f"has so little weight ({share}) that it never decides the overall grade.", key)
        elif dimension.weight and (pairs := _never_decides(body, dimension, grades, known)):
            low, high = dimension.scale[0], dimension.scale[-1]
            yield warning(
                f"hardly counts: changing it from {low} to {high} changes the overall grade of none of {pairs} "
                "labelled pairs.",
                key,
            )


def _never_decides(
    body: Body, dimension: Dimension, grades: Mapping[str, Grades], known: npt.NDArray[np.bool_]
) -> int:
    """Return on how many labelled pairs a dimension decides nothing, whatever its grade is; 0 if it decides one."""
    if not len(known):
        return 0
    own = np.asarray(grades[dimension.key])
    tried = known & (own >= 0)
    if tried.sum() < FEWEST_PAIRS:
        return 0
    low, *others = dimension.scale
    first = overall_grades(body, {**grades, dimension.key: np.where(tried, low, own)})
    # The highest level is the likeliest to differ from the lowest; a gate may speak of one between them.
    for level in reversed(others):
        changed = overall_grades(body, {**grades, dimension.key: np.where(tried, level, own)})
        if (changed != first)[tried].any():
            return 0
    return int(tried.sum())


def _weighted(dimension: Dimension) -> Weighted:
    return dimension.weight, dimension.scale[0], dimension.scale[-1], dimension.allow_na


@lru_cache(maxsize=64)
def _idle(dimensions: tuple[Weighted, ...], cut_points: tuple[float, ...]) -> frozenset[int]:
    """Return the positions of the dimensions that take no score across a cut point, whatever the others say."""
    cuts = np.asarray(cut_points)
    generator = np.random.default_rng(0)
    columns = [generator.integers(low - na, high + 1, 256) for _, low, high, na in dimensions]
    weights = np.stack([(w * (c >= low)) for (w, low, _, _), c in zip(dimensions, columns, strict=True)])
    points = weights * np.stack(columns)
    idle = set()
    for i, (weight, low, high, _) in enumerate(dimensions):
        if not weight:
            continue
        rest, total = points.sum(axis=0) - points[i], weights.sum(axis=0) - weights[i] + weight
        # Among some combinations at random there is one for any dimension that counts; for the others all are tried.
        if _crosses(rest, total, weight, low, high, cuts):
            continue
        others = [one for j, one in enumerate(dimensions) if j != i]
        sums = _sums(others)
        if sums is not None and not any(
            _crosses(points, applicable + weight, weight, low, high, cuts) for applicable, points in sums
        ):
            idle.add(i)
    return frozenset(idle)


def _crosses(rest: Scores, total: Scores | float, weight: float, low: int, high: int, cuts: Scores) -> bool:
    scores = ((rest + weight * level) / total for level in (low, high))
    below, above = (np.searchsorted(cuts, score + _TOLERANCE, side="right") for score in scores)
    return bool((below != above).any())


def _sums(dimensions: list[Weighted]) -> list[tuple[float, Scores]] | None:
    """Return (total weight, distinct weighted sums) for every set of applicable dimensions; None if too many."""
    optional = [i for i, (weight, *_, na) in enumerate(dimensions) if na and weight]
    if 2 ** len(optional) > 64:
        return None
    found = []
    for left_out in itertools.chain.from_iterable(
        itertools.combinations(optional, n) for n in range(len(optional) + 1)
    ):
        total, sums = 0.0, np.zeros(1)
        for i, (weight, low, high, _) in enumerate(dimensions):
            if i in left_out or not weight:
                continue
            total += weight
            # Rounded, so that sums that differ only by the order of adding are one.
            sums = np.unique(np.round(np.add.outer(sums, weight * np.arange(low, high + 1)).ravel(), 9))
            if len(sums) > MOST_SCORES:
                return None
        found.append((total, sums))
    return found


# Cut points


def _cut_points(body: Body) -> Iterator[Finding]:
    cuts = body.overall.cut_points
    listed = _scores(tuple(map(_weighted, body.dimensions)), body.overall.combine)
    ends = np.array([(d.scale[0], d.scale[-1]) for d in body.dimensions], dtype=np.float64)
    scores = ends.ravel() if listed is None else listed
    given = set(np.searchsorted(np.asarray(cuts), scores + _TOLERANCE, side="right").tolist())
    given |= {bound for gate in body.overall.gates for bound in (gate.at_most, gate.at_least)}
    if listed is None:  # then they are so many that they leave no gap
        given |= set(body.overall.scale)
    top = float(scores.max())
    for level, cut in enumerate(cuts, start=1):
        place = f"cut point {cut:g}"
        if cut > top + _TOLERANCE:
            message = f"lies above the highest score, {top:g}, so no score reaches level {level}."
            yield error(message, OVERALL_RULE, place=place)
        elif cut <= scores.min() + _TOLERANCE:
            message = (
                f"lies at or below the lowest score, {scores.min():g}, so every pair reaches level {level}."
            )
            yield warning(message, OVERALL_RULE, place=place)
        elif level < len(cuts) and cuts[level] <= top + _TOLERANCE and level not in given:
            message = f"and {cuts[level]:g} have no score between them, so level {level} is never given."
            yield warning(message, OVERALL_RULE, place=place)


@lru_cache(maxsize=64)
def _scores(dimensions: tuple[Weighted, ...], combine: str) -> Scores | None:
    """Return the distinct scores that the rule can give, ascending; None if there are too many to list."""
    if combine == "minimum":
        lowest = min(low for _, low, _, _ in dimensions)
        needed = [high for _, _, high, na in dimensions if not na]
        highest = min(needed) if needed else max(high for _, _, high, _ in dimensions)
        return np.arange(lowest, highest + 1, dtype=np.float64)
    sums = _sums(list(dimensions))
    if sums is None:
        return None
    return np.unique(np.concatenate([points / total for total, points in sums if total]))


# Gates


def _gate(body: Body, gate: Gate, grades: Mapping[str, Grades]) -> Iterator[Finding]:
    top = body.overall.scale[-1]
    if gate.at_most == top or gate.at_least == 0:
        bound = f"at most {gate.at_most}" if gate.at_least is None else f"at least {gate.at_least}"
        yield warning(f"bounds nothing: every overall grade is {bound}.", OVERALL_RULE, gate.id)
    names = Expression(gate.when).names
    choices = tuple(
        (*body.dimension(name).scale, *((None,) if body.dimension(name).allow_na else ())) for name in names
    )
    outcomes = _outcomes(gate.when, choices)
    if outcomes == {False}:
        yield warning(f"'{gate.when}' can never be true.", OVERALL_RULE, gate.id)
    elif outcomes == {True}:
        yield warning(f"'{gate.when}' is true of every pair.", OVERALL_RULE, gate.id)
    elif names and set(names) <= set(grades):
        columns = {name: np.asarray(grades[name]) for name in names}
        known = np.all([column != NOT_GRADED for column in columns.values()], axis=0)
        pairs = int(known.sum())
        if pairs < FEWEST_PAIRS:
            return
        fires = int((Expression(gate.when).mask(columns, len(known)) & known).sum())
        if fires in (0, pairs):
            how = "fires on none of" if fires == 0 else "fires on all of"
            yield warning(f"'{gate.when}' {how} the {pairs} labelled pairs.", OVERALL_RULE, gate.id)


@lru_cache(maxsize=256)
def _outcomes(when: str, choices: tuple[tuple[int | None, ...], ...]) -> frozenset[bool]:
    """Return what an expression can be; nothing where there are too many combinations to try them."""
    expression = Expression(when)
    outcomes: set[bool] = set()
    if math.prod(map(len, choices)) > MOST_COMBINATIONS:
        return frozenset()
    for combination in itertools.product(*choices):
        outcomes.add(expression.holds(dict(zip(expression.names, combination, strict=True))))
        if len(outcomes) == 2:
            break
    return frozenset(outcomes)
