"""What a trial says: which grades the draft changed, and agreement with the labels before and after.

A trial is small, so figures come with intervals, and an interval that says more than a few pairs can is not given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from workbench.agreement import Estimate, Headline, agreement, compare
from workbench.golden import NOT_GRADED
from workbench.policy import OVERALL, Policy
from workbench.trials import Grades, Side, Trial

Kind = Literal["fixed", "broken", "changed"]


@dataclass(frozen=True)
class Outcome:
    """What became of the grades of one dimension, or of the overall grade."""

    key: str
    shared: bool  # both sides have it, on the same levels; else there is nothing to compare
    both: int  # pairs that both sides answered
    changed: dict[int, Kind]  # position of a pair -> what became of its grade, against its label

    def count(self, kind: Kind) -> int:
        """Return how many grades were fixed, broken or otherwise changed."""
        return sum(found == kind for found in self.changed.values())


@dataclass(frozen=True)
class Figures:
    """Agreement of one dimension, or of the overall grade, with the labels."""

    n: int  # pairs with a level from each side there is and from people, precedents left out
    before: Headline | None  # None without a published version, or where that has no such dimension
    after: Headline | None
    delta: Headline | None  # None where no grade changed, or there is nothing to compare


@lru_cache(maxsize=16)
def outcomes(trial: Trial) -> tuple[Outcome, ...]:
    """Return the outcome of each dimension of either side, the overall grade first."""
    draft, published = trial.grades("draft"), trial.grades("published")
    return tuple(_outcome(trial, key, published.get(key), draft.get(key)) for key in (OVERALL, *trial.keys))


@lru_cache(maxsize=16)
def figures(trial: Trial) -> dict[str, Figures]:
    """Return dimension or "overall" -> agreement before and after; some tens of milliseconds each.

    Intervals are those of :mod:`workbench.agreement`, by query, but for shares of 0 and 1 (:func:`_exact`).
    """
    return {outcome.key: _figures(trial, outcome) for outcome in outcomes(trial)}


def unanswered(trial: Trial, side: Side) -> dict[str, str]:
    """Return pair id -> reason for the pairs on which a side's judge failed in every dimension."""
    found = {}
    for pair_id, verdict in trial.verdicts[side].items():
        errors = [judgement.error for judgement in verdict.judgements if judgement.failed]
        if errors and len(errors) == len(verdict.judgements):
            found[pair_id] = errors[0]
    return found


def _outcome(trial: Trial, key: str, before: Grades | None, after: Grades | None) -> Outcome:
    scales = {policy.scale(key) for policy in (trial.published, trial.draft) if policy and _has(policy, key)}
    if before is None or after is None or len(scales) > 1:
        return Outcome(key, False, 0, {})
    labels = trial.human[key]
    answered = (before != NOT_GRADED) & (after != NOT_GRADED)
    changed = {
        int(i): _kind(int(labels[i]), int(before[i]), int(after[i]))
        for i in np.flatnonzero(answered & (before != after))
    }
    return Outcome(key, True, int(answered.sum()), changed)


def _has(policy: Policy, key: str) -> bool:
    return key == OVERALL or key in policy.keys


def _kind(label: int, before: int, after: int) -> Kind:
    return "broken" if before == label else "fixed" if after == label else "changed"


def _figures(trial: Trial, outcome: Outcome) -> Figures:
    key = outcome.key
    queries = [pair.query_id for pair in trial.pairs]
    shown = np.array([pair.id in trial.in_prompt for pair in trial.pairs])
    labels = np.where(shown, NOT_GRADED, trial.human[key])
    before, after = trial.grades("published").get(key), trial.grades("draft").get(key)
    if not outcome.shared or before is None or after is None:
        first, n_before = _alone(before, trial.published, key, labels, queries)
        second, n_after = _alone(after, trial.draft, key, labels, queries)
        return Figures(max(n_before, n_after), first, second, None)
    scale = trial.draft.scale(key)
    found = compare(before, after, _on_scale(labels, scale), queries, scale)
    delta = _modest(found.delta, found.n) if outcome.changed else None
    return Figures(found.n, _side(found.a, found.n), _side(found.b, found.n), delta)


def _alone(
    grades: Grades | None, policy: Policy | None, key: str, labels: Grades, queries: Sequence[str]
) -> tuple[Headline | None, int]:
    """Return one side's agreement where there is no other to compare with, and over how many pairs."""
    if grades is None or policy is None:
        return None, 0
    scale = policy.scale(key)
    found = agreement(grades, _on_scale(labels, scale), queries, scale)
    return _side(Headline(found.kappa_quadratic, found.kappa_linear, found.exact), found.n), found.n


def _on_scale(labels: Grades, scale: Sequence[int]) -> Grades:
    """Labels of levels that this policy does not have count as none."""
    return np.where((labels >= 0) & ~np.isin(labels, scale), NOT_GRADED, labels)


def _side(found: Headline, n: int) -> Headline:
    return replace(_modest(found, n), exact=_exact(found.exact, n))


def _modest(found: Headline, n: int) -> Headline:
    each = (found.kappa_quadratic, found.kappa_linear, found.exact)
    return Headline(*(_without_false_certainty(one, n) for one in each))


def _exact(share: Estimate, n: int) -> Estimate:
    """Where all of n pairs agree, or none, the bootstrap's interval has no width: give the exact one instead.

    Clopper and Pearson (1934), 95 %: from 0.025^(1/n) to 1, and its mirror image. It takes pairs as independent.
    """
    if share.value not in (0, 1):
        return _without_false_certainty(share, n)
    edge = 0.025 ** (1 / n)
    return replace(share, low=edge, high=1.0) if share.value else replace(share, low=0.0, high=1 - edge)


def _without_false_certainty(found: Estimate, n: int) -> Estimate:
    """Drop an interval without width: the pairs are so few or so alike that every resample says the same."""
    if found.low is None or found.low != found.high:
        return found
    reason = f"No interval: every resample of the {n} pairs says the same, which does not make it certain."
    return Estimate(found.value, None, None, reason)
