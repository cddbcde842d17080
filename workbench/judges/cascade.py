"""A cheap judge first; a dear one for the pairs of which the cheap one is not sure."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from workbench.errors import BadInput
from workbench.golden import Pair
from workbench.judges.members import (
    CHUNK,
    chunks,
    combined,
    failed,
    named,
    noted,
    reason_of,
    unfinished,
    whole,
)
from workbench.level_probabilities import JEFFREYS
from workbench.policy import Policy
from workbench.run import Charged, Judge, JudgeIdentity, Judgement, Usage, Verdict

_log = logging.getLogger(__name__)


def check_reach(repeats: int, sure_at: float, policy: Policy) -> None:
    """Refuse a cascade in which so many repeats could never be sure, so that every pair went to the dear judge.

    Answers that all agree give (repeats + 1/2) / (repeats + levels/2): see
    :func:`workbench.level_probabilities.from_repeats`.

    Raises:
        BadInput: then; says how many repeats would do.
    """
    levels = max(len(dimension.scale) for dimension in policy.dimensions)
    most = (repeats + JEFFREYS) / (repeats + JEFFREYS * levels)
    if most >= sure_at:
        return
    enough = math.ceil(JEFFREYS * (levels * sure_at - 1) / (1 - sure_at)) if sure_at < 1 else 0
    raise BadInput(
        f"The first judge of the cascade could never be sure: {repeats} answers that agree on one of {levels} levels "
        f"give a probability of {most:.2f}, and sure_at is {sure_at:g}.",
        f"Lower sure_at{f', ask for {enough} repeats' if 0 < enough <= 20 else ''}, or ask for log-probabilities.",
    )


class CascadeJudge:
    """Two judges, one after the other; satisfies :class:`workbench.run.Judge`.

    The first judge's verdict stands where each of its answers is given with a probability of at least ``sure_at``.
    The second judges every other pair, and its answers are taken; where it fails on a dimension and the first did
    not, the first's answer stands with a note. An answer without probabilities (N/A from a language model) is none
    that the first is sure of.

    Attributes:
        passed_on: pairs that went on to the second judge so far.
    """

    def __init__(self, first: Judge, second: Judge, *, sure_at: float = 0.8, name: str = "") -> None:
        """Take both judges.

        Args:
            sure_at: above 0, at most 1.
            name: what the cascade is called; by default, both names.

        Raises:
            BadInput: for a ``sure_at`` outside its range.
        """
        if not 0 < sure_at <= 1:
            raise BadInput(f"sure_at is {sure_at:g}.", "It is a probability: above 0 and at most 1.")
        self._first, self._second, self._sure_at = first, second, sure_at
        self._names = (first.identity.name, second.identity.name)
        self._name = name or " then ".join(self._names)
        self._seen = False
        self.passed_on = 0

    @property
    def identity(self) -> JudgeIdentity:
        """Both identities, and from where on the first is sure."""
        params = {
            "first": self._first.identity.model_dump(mode="json"),
            "second": self._second.identity.model_dump(mode="json"),
            "sure_at": self._sure_at,
        }
        return JudgeIdentity(kind="cascade", name=self._name, params=params)

    def charge(self, usage: Usage) -> None:
        """Count what the run had spent against the caps of both judges, in full.

        Which of them spent what is not kept with a verdict: a run that goes on may stop early, never late.
        """
        for judge in (self._first, self._second):
            if isinstance(judge, Charged):
                judge.charge(usage)

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        """Yield one verdict a pair, with what both judges took; ``pairs`` are all different.

        Pairs are collected until there are enough for the second judge to be worth starting, and no more than that
        are held.

        Raises:
            BadInput: where the first judge gives no probabilities at all.
            CapReached, WorkbenchError: those of either judge; what was paid for is yielded before.
        """
        graded = 0
        waiting: dict[str, tuple[Pair, Verdict]] = {}
        try:
            for chunk in chunks(pairs):
                async with aclosing(self._firsts(policy, chunk)) as firsts:
                    async for pair, verdict in firsts:
                        graded += 1
                        if self._is_sure(verdict):
                            self._seen = True
                            yield verdict
                        else:
                            waiting[pair.id] = (pair, verdict)
                            self._expect_probabilities(verdict)
                if len(waiting) >= CHUNK:
                    async with aclosing(self._seconds(policy, waiting)) as seconds:
                        async for verdict in seconds:
                            yield verdict
            async with aclosing(self._seconds(policy, waiting)) as seconds:
                async for verdict in seconds:
                    yield verdict
        except Exception as problem:
            for _, verdict in waiting.values():
                paid = unfinished(policy, [verdict], reason_of(problem))
                if paid is not None:
                    yield paid
            raise
        finally:
            _log.info("%s: %d of %d pairs went on to %s", self._name, self.passed_on, graded, self._names[1])

    async def _firsts(
        self, policy: Policy, pairs: Sequence[Pair]
    ) -> AsyncGenerator[tuple[Pair, Verdict], None]:
        async with aclosing(_whole(self._first, policy, pairs)) as verdicts:
            async for pair, verdict in verdicts:
                yield pair, named(verdict, self._names[0])

    async def _seconds(
        self, policy: Policy, waiting: dict[str, tuple[Pair, Verdict]]
    ) -> AsyncGenerator[Verdict, None]:
        """Let the second judge the pairs that wait; each is taken from there when it is done."""
        if not waiting:
            return
        self.passed_on += len(waiting)
        doubtful: dict[str, Verdict] = {}
        asked = [pair for pair, _ in waiting.values()]
        try:
            async with aclosing(_whole(self._second, policy, asked)) as seconds:
                async for pair, verdict in seconds:
                    second = named(verdict, self._names[1])
                    if any(answer.failed for answer in second.judgements):
                        doubtful[pair.id] = second  # until it is known that no cap is the reason
                    else:
                        yield self._taken(policy, waiting.pop(pair.id)[1], second)
        except Exception:
            for pair_id, second in doubtful.items():  # it was paid for
                pair, first = waiting[pair_id]
                waiting[pair_id] = (pair, combined(policy, [first, second], first.judgements))
            raise
        for pair_id, second in doubtful.items():
            yield self._taken(policy, waiting.pop(pair_id)[1], second)

    def _is_sure(self, verdict: Verdict) -> bool:
        return all(
            not answer.failed
            and answer.probabilities is not None
            and max(answer.probabilities) >= self._sure_at
            for answer in verdict.judgements
        )

    def _expect_probabilities(self, verdict: Verdict) -> None:
        """Raise where the first judge answers and nothing says how sure it is, rather than pass on every pair."""
        graded = [answer for answer in verdict.judgements if answer.grade >= 0]
        self._seen = self._seen or any(answer.probabilities is not None for answer in verdict.judgements)
        if graded and not self._seen:
            raise BadInput(
                f"{self._names[0]} gives no probabilities, so nobody knows when it is sure; every pair would go to "
                f"{self._names[1]}.",
                "Ask it for log-probabilities (logprobs: true, top_logprobs: 20) or for several answers (repeats), "
                "or put another judge first.",
            )

    def _taken(self, policy: Policy, first: Verdict, second: Verdict) -> Verdict:
        firsts = {judgement.dimension: judgement for judgement in first.judgements}
        seconds = {judgement.dimension: judgement for judgement in second.judgements}
        answers = tuple(self._answer(firsts[key], seconds[key]) for key in policy.keys)
        return combined(policy, [first, second], answers)

    def _answer(self, first: Judgement, second: Judgement) -> Judgement:
        if not second.failed:
            return second
        if first.failed:
            one, other = self._names
            return failed(
                first.dimension, f"both judges failed. {one}: {first.error}; {other}: {second.error}"
            )
        return noted(first, f"the answer of {self._names[0]}, since {self._names[1]} failed: {second.error}")


async def _whole(
    judge: Judge, policy: Policy, pairs: Sequence[Pair]
) -> AsyncGenerator[tuple[Pair, Verdict], None]:
    """Yield a judge's one whole verdict about each pair; what it leaves out is failed."""
    left = {pair.id: pair for pair in pairs}
    parts: dict[str, list[Verdict]] = {pair_id: [] for pair_id in left}
    async with aclosing(judge.grade(policy, pairs)) as verdicts:  # type: ignore[type-var]
        async for verdict in verdicts:
            if verdict.pair_id not in left:
                continue
            mine = parts[verdict.pair_id]
            mine.append(verdict)
            if len({j.dimension for part in mine for j in part.judgements}) == len(policy.keys):
                yield left.pop(verdict.pair_id), whole(policy, mine, verdict.pair_id)
    for pair_id, pair in left.items():
        yield pair, whole(policy, parts[pair_id], pair_id)
