"""What judges made of judges share: members that grade the same pairs side by side, joined pair by pair.

Pairs go through in chunks, so memory does not grow with their number. A pair's verdict is there as soon as every
member has answered. Where a member stops the run, the pairs that were paid for in part are failed for its reason:
they are asked for when the run goes on, and the answers they have are in the verdict cache. So that a failure that a
cap brought about is not taken for an answer, a pair with a failed answer waits for the end of its chunk.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from itertools import islice
from typing import TypeVar

from workbench.errors import WorkbenchError
from workbench.golden import NOT_GRADED, Pair
from workbench.policy import Policy
from workbench.prompt_modes import joined
from workbench.run import CapReached, Judge, Judgement, Usage, Verdict

Settle = Callable[[Sequence[Verdict]], tuple[Judgement, ...]]
"""The members' whole verdicts about one pair, in their order -> the judgements, in the order of the policy."""

CHUNK = 256
"""Pairs that are in work at once: enough to keep calls in flight, few enough to hold all their answers."""

_NO_ANSWER = "the judge gave no answer"
_NOTHING = Usage(cost_usd=0.0)  # known, not a guess: nothing was sent
Item = TypeVar("Item")


def chunks(items: Iterable[Item], size: int = CHUNK) -> Iterator[list[Item]]:
    """Yield lists of at most ``size`` items, in order."""
    left = iter(items)
    while part := list(islice(left, size)):
        yield part


def names(judges: Sequence[Judge]) -> tuple[str, ...]:
    """Return what the members are called, the second of a name as "name (2)"."""
    seen: Counter[str] = Counter()
    found = []
    for judge in judges:
        name = judge.identity.name
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(found)


def failed(dimension: str, reason: str) -> Judgement:
    """Return a judgement that there is none."""
    return Judgement(dimension=dimension, grade=NOT_GRADED, error=reason)


def reason_of(problem: Exception) -> str:
    """Return what a failed judgement says of the problem that ended the run."""
    return problem.message if isinstance(problem, WorkbenchError) else str(problem)


def noted(judgement: Judgement, note: str) -> Judgement:
    """Return the judgement with a note in brackets behind its rationale; "" adds none."""
    if not note:
        return judgement
    return judgement.model_copy(update={"rationale": f"{judgement.rationale} ({note})".strip()})


def named(verdict: Verdict, judge: str) -> Verdict:
    """Return a member's verdict whose traces say which member answered."""
    traces = tuple(
        trace.model_copy(update={"judge": f"{judge}: {trace.judge}" if trace.judge else judge})
        for trace in verdict.traces
    )
    return verdict.model_copy(update={"traces": traces})


def combined(policy: Policy, verdicts: Sequence[Verdict], judgements: tuple[Judgement, ...]) -> Verdict:
    """Return one verdict with what ``verdicts`` about the pair took together, and the traces of all.

    The raw reply of a verdict with one trace goes to that trace, so that it is known whose it is.
    """
    apart = [_with_raw_in_trace(verdict) for verdict in verdicts]
    return joined(policy, apart).model_copy(update={"judgements": judgements})


def whole(policy: Policy, parts: Sequence[Verdict], pair_id: str) -> Verdict:
    """Return a judge's verdict about a pair from those it yielded; what it left out is failed."""
    answered = {judgement.dimension for part in parts for judgement in part.judgements}
    missing = tuple(failed(key, _NO_ANSWER) for key in policy.keys if key not in answered)
    if not missing and len(parts) == 1:
        return parts[0]
    rest = Verdict(pair_id=pair_id, judgements=missing, usage=_NOTHING)
    return joined(policy, [*parts, rest] if missing else parts)


def unfinished(policy: Policy, verdicts: Sequence[Verdict], reason: str) -> Verdict | None:
    """Return the verdict of a pair that not all answered when the run ended; None where nothing was paid for it."""
    if not any(verdict.usage.calls for verdict in verdicts):
        return None
    return combined(policy, verdicts, tuple(failed(key, reason) for key in policy.keys))


def _with_raw_in_trace(verdict: Verdict) -> Verdict:
    if len(verdict.traces) != 1 or verdict.traces[0].raw:
        return verdict
    trace = verdict.traces[0].model_copy(update={"raw": verdict.raw})
    return verdict.model_copy(update={"traces": (trace,), "raw": ""})


async def side_by_side(
    judges: Sequence[Judge],
    policy: Policy,
    pairs: Sequence[Pair],
    settle: Settle,
    *,
    at_once: int | None = None,
) -> AsyncGenerator[Verdict, None]:
    """Yield one verdict a pair when every judge has answered; ``pairs`` are all different.

    Args:
        settle: makes the judgements of all answers about a pair.
        at_once: judges at work at one time; by default, all.

    Raises:
        CapReached: where a judge reached a cap; the others finished the chunk, and all is yielded that was paid for.
        WorkbenchError: where going on is pointless for one of them; the others are stopped.
    """
    for chunk in chunks(pairs):
        work = _Chunk(judges, policy, chunk, at_once or len(judges))
        async with aclosing(work.run()) as complete:
            async for verdicts in complete:
                yield combined(policy, verdicts, settle(verdicts))
        if work.problem is not None:
            for verdict in work.rest(reason_of(work.problem)):
                yield verdict
            raise work.problem


class _Chunk:
    """The judges at work on the pairs of one chunk."""

    def __init__(self, judges: Sequence[Judge], policy: Policy, pairs: Sequence[Pair], at_once: int) -> None:
        self._judges, self._policy, self._pairs = judges, policy, pairs
        self._slots = asyncio.Semaphore(at_once)
        self._arrived: asyncio.Queue[tuple[int, Verdict | Exception | None]] = asyncio.Queue()
        # One list of verdicts a judge; a judge may answer about one pair in several.
        self._open: dict[str, list[list[Verdict]]] = {pair.id: [[] for _ in judges] for pair in pairs}
        self.problem: Exception | None = None

    async def run(self) -> AsyncGenerator[tuple[Verdict, ...], None]:
        """Yield the whole verdicts about a pair, one a judge, as they become complete."""
        tasks = [asyncio.create_task(self._grade(i, judge)) for i, judge in enumerate(self._judges)]
        try:
            working = len(tasks)
            while working:
                judge, item = await self._arrived.get()
                if isinstance(item, Verdict):
                    if complete := self._add(judge, item):
                        yield complete
                    continue
                working -= 1
                if item is not None and (self.problem is None or isinstance(self.problem, CapReached)):
                    self.problem = item
                if item is not None and not isinstance(item, CapReached):
                    break
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        while not self._arrived.empty():  # what came in before the others were stopped
            judge, item = self._arrived.get_nowait()
            if isinstance(item, Verdict) and (complete := self._add(judge, item)):
                yield complete
        if self.problem is None:
            for pair_id in list(self._open):
                yield self._taken(pair_id)

    def rest(self, reason: str) -> Iterator[Verdict]:
        """Yield the pairs that some judges answered and others did not, where that was paid for."""
        for pair_id, answers in self._open.items():
            given = [whole(self._policy, parts, pair_id) for parts in answers if parts]
            verdict = unfinished(self._policy, given, reason)
            if verdict is not None:
                yield verdict

    async def _grade(self, index: int, judge: Judge) -> None:
        problem: Exception | None = None
        try:
            async with self._slots, aclosing(judge.grade(self._policy, self._pairs)) as verdicts:  # type: ignore[type-var]
                async for verdict in verdicts:
                    self._arrived.put_nowait((index, verdict))
                    # A judge that computes never waits by itself, and the others have replies to read.
                    await asyncio.sleep(0)
        except Exception as error:
            problem = error
        self._arrived.put_nowait((index, problem))

    def _add(self, judge: int, verdict: Verdict) -> tuple[Verdict, ...]:
        """Take an answer; return all answers about the pair where it was the last one, else ()."""
        answers = self._open.get(verdict.pair_id)
        if answers is None:
            return ()  # a pair that nobody asked about, or one that is answered already
        answers[judge].append(verdict)
        if all(self._graded(parts) for parts in answers):
            return self._taken(verdict.pair_id)
        return ()

    def _graded(self, parts: Sequence[Verdict]) -> bool:
        graded = {j.dimension for part in parts for j in part.judgements if not j.failed}
        return len(graded) == len(self._policy.keys)

    def _taken(self, pair_id: str) -> tuple[Verdict, ...]:
        return tuple(whole(self._policy, parts, pair_id) for parts in self._open.pop(pair_id))
