"""Several judges that vote on each grade."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from workbench.errors import BadInput
from workbench.golden import NOT_APPLICABLE, Pair
from workbench.judges.members import failed, named, names, noted, side_by_side
from workbench.policy import Dimension, Policy
from workbench.run import Charged, Judge, JudgeIdentity, Judgement, Usage, Verdict

_DIGITS = 9
"""Sums of weights are compared to so many decimals: 0.1 + 0.2 ties with 0.3."""


def vote_weights(weights: Sequence[float], members: int) -> tuple[float, ...]:
    """Return one weight a member; all alike where none are given.

    Raises:
        BadInput: for another number of weights than members, or one that is not above 0.
    """
    if not weights:
        return (1.0,) * members
    if len(weights) != members:
        raise BadInput(
            f"The ensemble has {members} members and {len(weights)} weights.",
            "Give one weight a member, or none for all alike.",
        )
    wrong = next((weight for weight in weights if not 0 < weight < math.inf), None)
    if wrong is not None:
        raise BadInput(
            f"A weight of the ensemble is {wrong:g}.", "Each must be above 0; leave a member out instead."
        )
    return tuple(weights)


class EnsembleJudge:
    """A weighted vote; satisfies :class:`workbench.run.Judge`.

    *Grade.* Whether a dimension applies is voted on first: it does not where the members that say N/A weigh more
    than those that name a level. Of the levels, the one with the most weight wins; of several, the one nearest to
    the expected grade, then the lower one.

    *Probabilities* are the weighted mean over the members that name a level (a linear opinion pool; Stone, 1961); a
    member that gives none counts with certainty for its grade. *Reason and citations* are those of the heaviest
    member that voted for the grade. A failed member is left out and named there.
    """

    def __init__(self, members: Sequence[Judge], *, weights: Sequence[float] = (), name: str = "") -> None:
        """Take the members.

        Args:
            weights: one a member; none for all alike.
            name: what the ensemble is called; by default, its members' names.

        Raises:
            BadInput: for fewer than two members, and for weights that cannot be used.
        """
        if len(members) < 2:
            raise BadInput("An ensemble needs at least two members.", "Add another judge.")
        self._members = tuple(members)
        self._weights = vote_weights(weights, len(members))
        self._names = names(members)
        self._name = name or " + ".join(self._names)

    @property
    def identity(self) -> JudgeIdentity:
        """The members' identities and their weights."""
        members = [member.identity.model_dump(mode="json") for member in self._members]
        params = {"members": members, "weights": list(self._weights)}
        return JudgeIdentity(kind="ensemble", name=self._name, params=params)

    def charge(self, usage: Usage) -> None:
        """Count what the run had spent against the caps of every member, in full.

        Which member spent what is not kept with a verdict: a run that goes on may stop early, never late.
        """
        for member in self._members:
            if isinstance(member, Charged):
                member.charge(usage)

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        """Yield one verdict a pair when all members have answered.

        Raises:
            CapReached, WorkbenchError: those of a member; an ensemble without one of its members is another judge.
        """

        def settle(verdicts: Sequence[Verdict]) -> tuple[Judgement, ...]:
            answers = [{j.dimension: j for j in verdict.judgements} for verdict in verdicts]
            return tuple(self._vote(d, [given[d.key] for given in answers]) for d in policy.dimensions)

        members = [_Named(member, name) for member, name in zip(self._members, self._names, strict=True)]
        async with aclosing(side_by_side(members, policy, pairs, settle)) as verdicts:
            async for verdict in verdicts:
                yield verdict

    def _vote(self, dimension: Dimension, answers: Sequence[Judgement]) -> Judgement:
        wrong = [f"{name}: {a.error}" for name, a in zip(self._names, answers, strict=True) if a.failed]
        if len(wrong) == len(answers):
            return failed(dimension.key, f"every member failed. {'; '.join(wrong)}")
        votes = [(weight, a) for weight, a in zip(self._weights, answers, strict=True) if not a.failed]
        mean = _mean([(weight, a) for weight, a in votes if a.grade >= 0], dimension)
        expected = (
            sum(level * share for level, share in zip(dimension.scale, mean, strict=True)) if mean else None
        )
        grade = _grade(votes, expected)
        _, chosen = max(((w, a) for w, a in votes if a.grade == grade), key=lambda vote: vote[0])
        with_level = grade != NOT_APPLICABLE
        judgement = Judgement(
            dimension=dimension.key,
            grade=grade,
            expected=expected if with_level else None,
            probabilities=mean if with_level else None,
            rationale=chosen.rationale,
            cites=chosen.cites,
        )
        return noted(judgement, f"without {'; '.join(wrong)}" if wrong else "")


class _Named:
    """A member whose traces carry its name."""

    def __init__(self, judge: Judge, name: str) -> None:
        self._judge, self._name = judge, name

    @property
    def identity(self) -> JudgeIdentity:
        return self._judge.identity

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        async with aclosing(self._judge.grade(policy, pairs)) as verdicts:  # type: ignore[type-var]
            async for verdict in verdicts:
                yield named(verdict, self._name)


def _mean(votes: Sequence[tuple[float, Judgement]], dimension: Dimension) -> tuple[float, ...] | None:
    """Return the weighted mean of the votes' distributions over the levels; None without a vote."""
    if not votes:
        return None
    total = sum(weight for weight, _ in votes)
    rows = [
        (weight, vote.probabilities or [float(level == vote.grade) for level in dimension.scale])
        for weight, vote in votes
    ]
    return tuple(sum(weight * row[i] for weight, row in rows) / total for i in range(len(dimension.scale)))


def _grade(votes: Sequence[tuple[float, Judgement]], expected: float | None) -> int:
    sums: defaultdict[int, float] = defaultdict(float)
    for weight, vote in votes:
        sums[vote.grade] += weight
    against = sums.pop(NOT_APPLICABLE, 0.0)
    if expected is None or round(against, _DIGITS) > round(sum(sums.values()), _DIGITS):
        return NOT_APPLICABLE
    return min(
        sums, key=lambda level: (-round(sums[level], _DIGITS), round(abs(level - expected), _DIGITS), level)
    )
