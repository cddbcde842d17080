"""Lint of the precedents: against their own reason, each other, the golden labels and the holdout."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from workbench.golden import NOT_APPLICABLE
from workbench.policy import Body, Dimension, Precedent
from workbench.policy_lint_finding import Finding, LintContext, error, warning
from workbench.policy_lint_pairs import normalised

SAME_PAIR = 0.6
"""Share of a precedent's text, on either side, from which it counts as taken from a pair of the holdout."""

# What is denied, was so once or would be so otherwise is not the grade that a reason gives.
_NOT_SAID = re.compile(
    r"\b(not|no longer|never|nor|cannot|would|could|might|if|unless|until|up to|at most|at least|instead|rather"
    r"|than|above|below|between|before|formerly|earlier|version|although|though)\b|n't\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+")
_GRADED = r"\b(?:grade|graded|level)[ds]?(?:\s+(?:is|of|a|an|as))?\s+[\"“'*]*"
_GRADE_NUMBER = re.compile(rf"{_GRADED}(\d+)\b(?!\s*%|[.,]\d)", re.IGNORECASE)
_A_NUMBER = re.compile(
    r"\b(?:is|gets|so|hence|thus|therefore|earns|remains|stays)\s+(?:only\s+)?an?\s+(\d+)(?=\s*(?:[.,;:)]|$))",
    re.IGNORECASE,
)


def precedent_findings(body: Body, context: LintContext) -> Iterator[Finding]:
    """Yield what speaks against precedents, in reading order."""
    for dimension in body.dimensions:
        earlier: dict[tuple[tuple[tuple[str, str], ...], ...], Precedent] = {}
        for precedent in dimension.precedents:
            if not precedent.cites:
                yield warning("cites no clause, so it cannot be checked.", dimension.key, precedent.id)
            yield from _against_its_reason(dimension, precedent)
            if any(same := _sides(precedent)):
                first = earlier.setdefault(same, precedent)
                if first.grade != precedent.grade:
                    yield error(
                        f"grades the pair of {first.id} {_shown(precedent.grade)}, and there it is graded "
                        f"{_shown(first.grade)}.",
                        dimension.key,
                        precedent.id,
                    )
            yield from _against_golden(dimension, precedent, context)


def _against_its_reason(dimension: Dimension, precedent: Precedent) -> Iterator[Finding]:
    names = tuple((level.name, level.value) for level in dimension.levels)
    said = _grades_said(precedent.because, names)
    if said and precedent.grade not in said:
        yield warning(
            f"is graded {_shown(precedent.grade)}, and its reason speaks of grade {said[0]}.",
            dimension.key,
            precedent.id,
        )


def _against_golden(dimension: Dimension, precedent: Precedent, context: LintContext) -> Iterator[Finding]:
    if context.holdout is not None and context.holdout.like(precedent.pair, SAME_PAIR):
        yield error(
            "shows a pair of the holdout, which judges would read with its answer; take another pair.",
            dimension.key,
            precedent.id,
        )
    if context.dev is None or dimension.key not in context.grades:
        return
    grades = np.asarray(context.grades[dimension.key])[list(context.dev.like(precedent.pair))]
    settled = [None if grade < 0 else int(grade) for grade in grades if grade >= 0 or grade == NOT_APPLICABLE]
    if settled and precedent.grade not in settled:
        yield warning(
            f"is graded {_shown(precedent.grade)}, and the labels of this pair settled on {_shown(settled[0])}.",
            dimension.key,
            precedent.id,
        )


@lru_cache(maxsize=1024)
def _grades_said(because: str, names: tuple[tuple[str, int], ...]) -> tuple[int, ...]:
    """Return the grades that a reason claims: "grade 3", "graded Mostly kept", "so it is a 2."."""
    said: list[int] = []
    levels = {name.casefold(): value for name, value in names}
    longest_first = sorted(levels, key=len, reverse=True)
    by_name = re.compile(rf"{_GRADED}({'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)
    for sentence in _SENTENCE.split(because):
        if _NOT_SAID.search(sentence):
            continue
        numbers = [
            int(found) for pattern in (_GRADE_NUMBER, _A_NUMBER) for found in pattern.findall(sentence)
        ]
        said += [number for number in numbers if number in levels.values()]
        said += [levels[name.casefold()] for name in by_name.findall(sentence)]
    return tuple(dict.fromkeys(said))


def _sides(precedent: Precedent) -> tuple[tuple[tuple[str, str], ...], ...]:
    return tuple(
        tuple((name, normalised(text)) for name, text in sorted(fields.items()) if text.strip())
        for fields in (precedent.pair.query, precedent.pair.document)
    )


def _shown(grade: int | None) -> str:
    return "N/A" if grade is None else str(grade)
