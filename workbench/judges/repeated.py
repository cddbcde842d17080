"""A language model that is asked the same question several times, and its answers settled as one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from workbench.errors import BadInput
from workbench.golden import Pair
from workbench.judges.llm import LlmJudge
from workbench.judges.members import failed, noted, side_by_side
from workbench.level_probabilities import settled
from workbench.policy import Dimension, Policy
from workbench.run import JudgeIdentity, Judgement, Usage, Verdict


class RepeatedJudge:
    """Draws ``repeats`` answers to every question and settles them; satisfies :class:`workbench.run.Judge`.

    The answers are those of the repeat indices ``repeat``, ``repeat + 1`` …, each with its own entry in the verdict
    cache: a run with more repeats pays for the new ones only, and one with a single answer is among them. All draws
    share one pace, one set of caps and one concurrency; a pair counts as graded when its last answer is there.

    A dimension is settled as :func:`workbench.level_probabilities.settled` says: the grade is the mode, its reason
    and citations are those of the first answer with it. Probabilities come from the repeats, or, where every answer
    that names a level has them from its tokens, are the mean of those. A failed answer is left out.
    """

    def __init__(
        self, model: str, *, repeats: int, repeat: int = 0, concurrency: int = 16, **options: Any
    ) -> None:
        """Describe the judge.

        Args:
            model, concurrency, options: as for :class:`workbench.judges.llm.LlmJudge`.
            repeats: answers a question, at least 2.
            repeat: index of the first of them.

        Raises:
            BadInput: for values that cannot be used.
        """
        if repeats < 2:
            raise BadInput(f"repeats is {repeats}.", "A judge that repeats needs at least 2 answers.")
        if concurrency < 1:
            raise BadInput(f"concurrency is {concurrency}.", "It must be at least 1.")
        self._repeats, self._concurrency = repeats, concurrency
        shares = [concurrency // repeats + (i < concurrency % repeats) for i in range(repeats)]
        self._draws = [
            _Draw(model, repeat=repeat + i, concurrency=max(share, 1), **options)
            for i, share in enumerate(shares)
        ]
        for draw in self._draws[1:]:
            draw.limit_with(self._draws[0])

    @property
    def identity(self) -> JudgeIdentity:
        """The model with its parameters, and how many answers are drawn."""
        one = self._draws[0].identity
        return JudgeIdentity(kind="repeats", name=one.name, params=one.params | {"repeats": self._repeats})

    def charge(self, usage: Usage) -> None:
        """Count against the caps what the run had spent before."""
        self._draws[0].charge(usage)

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        """Yield one verdict a pair, with the usage and the traces of all its answers.

        A pair of which not all answers could be asked (a cap) is failed for that reason, whatever its others said.

        Raises:
            CapReached, WorkbenchError: see :meth:`workbench.judges.llm.LlmJudge.grade`.
        """

        def settle(verdicts: Sequence[Verdict]) -> tuple[Judgement, ...]:
            answers = [{j.dimension: j for j in verdict.judgements} for verdict in verdicts]
            return tuple(_settled(d, [given[d.key] for given in answers]) for d in policy.dimensions)

        found = side_by_side(self._draws, policy, pairs, settle, at_once=self._concurrency)
        async with aclosing(found) as verdicts:
            async for verdict in verdicts:
                yield verdict


class _Draw(LlmJudge):
    """The same judge under another repeat index."""

    def limit_with(self, first: _Draw) -> None:
        """Share pace and caps: what one of them sends counts for all."""
        self._caps = first._caps
        self._asker._meter = first._asker._meter


def _settled(dimension: Dimension, answers: Sequence[Judgement]) -> Judgement:
    bad = [answer for answer in answers if answer.failed]
    if len(bad) == len(answers):
        reason = f"all {len(bad)} answers failed, the first for this reason: {bad[0].error}"
        return failed(dimension.key, reason)
    judgement = settled(dimension, answers)
    graded = [answer.probabilities for answer in answers if answer.grade >= 0]
    told = [each for each in graded if each is not None]
    if judgement.grade >= 0 and len(told) == len(graded):
        mean = tuple(sum(column) / len(told) for column in zip(*told, strict=True))
        expected = sum(level * share for level, share in zip(dimension.scale, mean, strict=True))
        judgement = judgement.model_copy(update={"probabilities": mean, "expected": expected})
    return noted(judgement, f"{len(bad)} of {len(answers)} answers failed" if bad else "")
