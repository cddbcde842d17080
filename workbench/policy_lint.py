"""Lint: what a careful reader would query in a policy document, each finding with a place and a reason."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Literal

from workbench.expression import Expression
from workbench.identity import Value
from workbench.policy import Body

VAGUE = ("appropriate", "reasonable", "sufficient", "adequate", "good enough", "suitable", "somewhat", "etc.")
MOST_COMBINATIONS = 100_000
"""Gates over more combinations of grades than this are not tried out."""
NEARLY_EQUAL = 0.9
"""Share of equal words from which the criteria of two levels count as one wording."""


class Finding(Value):
    """One thing to look at. An ``error`` keeps a draft from being published; a ``warning`` does not."""

    severity: Literal["error", "warning"]
    place: str
    message: str


def lint(body: Body) -> tuple[Finding, ...]:
    """Return the findings of a document, errors first, each group in reading order."""
    found = list(itertools.chain(_levels(body), _clauses(body), _weights(body), _gates(body)))
    return tuple(sorted(found, key=lambda finding: finding.severity != "error"))


def _levels(body: Body) -> Iterator[Finding]:
    for dimension in body.dimensions:
        for level in dimension.levels:
            place = f"{dimension.key} level {level.value}"
            if not level.criteria:
                yield Finding(
                    severity="error",
                    place=place,
                    message="has no criteria, so nobody can tell when to give it.",
                )
            yield from _vague(place, level.criteria)
        for a, b in itertools.combinations(dimension.levels, 2):
            first, second = (re.findall(r"\w+", level.criteria.lower()) for level in (a, b))
            if first and second and SequenceMatcher(None, first, second).ratio() >= NEARLY_EQUAL:
                yield Finding(
                    severity="warning",
                    place=f"{dimension.key} levels {a.value} and {b.value}",
                    message="have nearly the same wording; say what tells them apart.",
                )


def _clauses(body: Body) -> Iterator[Finding]:
    for dimension in body.dimensions:
        if not dimension.clauses:
            yield Finding(
                severity="warning",
                place=dimension.key,
                message="has levels but no clause; edge cases are open.",
            )
        if not dimension.considers:
            yield Finding(
                severity="warning",
                place=dimension.key,
                message="does not say which fields it considers; judges see all.",
            )
        for precedent in dimension.precedents:
            if not precedent.cites:
                yield Finding(
                    severity="warning",
                    place=precedent.id,
                    message="cites no clause, so it cannot be checked.",
                )
    for _, clause in body.clauses():
        yield from _vague(clause.id, clause.text)


def _vague(place: str, text: str) -> Iterator[Finding]:
    words = [word for word in VAGUE if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)]
    if words:
        yield Finding(
            severity="warning",
            place=place,
            message=f"says '{words[0]}', which two readers will read differently.",
        )


def _weights(body: Body) -> Iterator[Finding]:
    if body.overall.combine == "weighted_mean":
        if not any(dimension.weight for dimension in body.dimensions):
            yield Finding(
                severity="error",
                place="overall",
                message="all weights are 0, so no pair has an overall grade.",
            )
        else:
            for dimension in body.dimensions:
                if dimension.weight == 0:
                    yield Finding(
                        severity="warning",
                        place=dimension.key,
                        message="has weight 0 and does not move the overall grade.",
                    )
    top = max(dimension.scale[-1] for dimension in body.dimensions)
    for cut in body.overall.cut_points:
        if cut > top:
            yield Finding(
                severity="error", place="cut points", message=f"{cut:g} lies above the highest level, {top}."
            )


def _gates(body: Body) -> Iterator[Finding]:
    """Try each gate on every combination of the grades it speaks of."""
    for gate in body.overall.gates:
        expression = Expression(gate.when)
        choices: list[list[int | None]] = [
            [*body.dimension(name).scale, *([None] if body.dimension(name).allow_na else [])]
            for name in expression.names
        ]
        if math.prod(map(len, choices)) > MOST_COMBINATIONS:
            continue
        outcomes = {
            expression.holds(dict(zip(expression.names, combination, strict=True)))
            for combination in itertools.product(*choices)
        }
        if outcomes == {False}:
            yield Finding(severity="warning", place=gate.id, message=f"'{gate.when}' can never be true.")
        if outcomes == {True}:
            yield Finding(severity="warning", place=gate.id, message=f"'{gate.when}' is true of every pair.")
