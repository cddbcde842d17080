"""Lint: what a careful reader would query in a policy document, each finding with a place and a reason."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from difflib import SequenceMatcher
from functools import lru_cache

from workbench.policy import Body, Dimension
from workbench.policy_diff import DOCUMENT
from workbench.policy_lint_finding import Finding, LintContext, error, warning
from workbench.policy_lint_overall import overall_findings
from workbench.policy_lint_pairs import PairTexts
from workbench.policy_lint_precedents import precedent_findings
from workbench.policy_lint_words import rules, stems, vague, word_findings

__all__ = ["Finding", "LintContext", "PairTexts", "lint"]

NEARLY_EQUAL = 0.9
"""Share of equal words from which the criteria of two levels count as one wording."""
ALIKE = 0.85
"""Cosine similarity from which two criteria say the same, where no figure or negation tells them apart."""

_TELLING = re.compile(
    r"\d+(?:[.,]\d+)*|\b(?:no|not|none|nothing|never|neither|nor|without|cannot|every|all|each|only|both|half|third"
    r"|quarters?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|more|most|less|least|fewer|above"
    r"|below|over|under|up|down|before|after)\b|n't\b",
    re.IGNORECASE,
)


def lint(body: Body, context: LintContext | None = None) -> tuple[Finding, ...]:
    """Return the findings of a document, errors first, each group in reading order of its kind.

    Args:
        body: The document.
        context: What is known besides: labels, the texts of pairs, judges. What needs it is left out without it.
    """
    context = context or LintContext()
    found = itertools.chain(
        _context_window(context),
        _levels(body, context),
        _dimensions(body),
        itertools.chain.from_iterable(map(vague, rules(body))),
        word_findings(body),
        precedent_findings(body, context),
        overall_findings(body, context.grades),
    )
    return tuple(sorted(found, key=lambda finding: finding.severity != "error"))


def _levels(body: Body, context: LintContext) -> Iterator[Finding]:
    for dimension in body.dimensions:
        for level in dimension.levels:
            if not level.criteria:
                yield error(
                    "has no criteria, so nobody can tell when to give it.",
                    dimension.key,
                    f"level {level.value}",
                )
        for a, b in itertools.combinations(dimension.levels, 2):
            place = f"{dimension.key} levels {a.value} and {b.value}"
            item = f"level {b.value}"
            if a.name.casefold() == b.name.casefold():
                yield warning(f"have one name, '{b.name}'.", dimension.key, item, place)
            if _nearly_equal(a.criteria, b.criteria):
                message = "have nearly the same wording; say what tells them apart."
                yield warning(message, dimension.key, item, place)
                continue
            similarity = context.level_similarity.get((dimension.key, a.value, b.value), 0.0)
            if similarity >= ALIKE and _telling(a.criteria) == _telling(b.criteria):
                message = f"say nearly the same (similarity {similarity:.2f}); say what tells them apart."
                yield warning(message, dimension.key, item, place)


def _dimensions(body: Body) -> Iterator[Finding]:
    for dimension in body.dimensions:
        if not dimension.clauses and not _spoken_of(dimension, body):
            yield warning("has levels, but no clause speaks of it; edge cases are open.", dimension.key)
        if not dimension.considers:
            yield warning("does not say which fields it considers; judges see all.", dimension.key)


def _context_window(context: LintContext) -> Iterator[Finding]:
    for judge, window in context.windows.items():
        if context.prompt_tokens > window:
            yield warning(
                f"is some {context.prompt_tokens:,} tokens long, and {judge} reads {window:,} at most.",
                DOCUMENT,
                place="the policy",
            )


def _spoken_of(dimension: Dimension, body: Body) -> bool:
    names = {stems(dimension.title), stems(dimension.key.replace("_", " "))}
    return any(
        f" {' '.join(name)} " in f" {' '.join(stems(c.text))} " for c in body.general for name in names
    )


@lru_cache(maxsize=4096)
def _nearly_equal(a: str, b: str) -> bool:
    first, second = stems(a), stems(b)
    if not first or not second:
        return False
    if first == second:
        return True
    most = 2 * sum((Counter(first) & Counter(second)).values()) / (len(first) + len(second))
    if most < NEARLY_EQUAL or _telling(a) != _telling(b):  # the order of the words can only lower the share
        return False
    return SequenceMatcher(None, first, second).ratio() >= NEARLY_EQUAL


@lru_cache(maxsize=4096)
def _telling(text: str) -> frozenset[tuple[str, int]]:
    """Return the figures and negations of a text, by which levels of one wording differ all the same."""
    return frozenset(Counter(found.lower() for found in _TELLING.findall(text)).items())
