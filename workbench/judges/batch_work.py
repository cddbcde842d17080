"""One run by batch: what is asked already is waited for, the rest is put into batches, answers are kept and told."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import IO, TypeVar

from workbench.errors import Unavailable
from workbench.golden import Pair
from workbench.judges.batch_client import GONE, BatchClient, BatchState, lines
from workbench.judges.batch_ledger import BatchLedger, Entry, Row
from workbench.judges.batch_making import Maker, Timing
from workbench.judges.batch_parts import Waiting
from workbench.judges.batch_reading import NOTHING, Outcome, Requests, Sent, attempt_at, bare
from workbench.judges.cache import QuestionKeys, VerdictCache
from workbench.judges.meter import Meter
from workbench.judges.provider import RequestFailed
from workbench.policy import Policy
from workbench.prompt_mode import PromptMode
from workbench.prompt_modes import JudgeRequest, Question, grouped, questions
from workbench.prompt_sheet import Sheet
from workbench.run import Attempt, CapReached, Usage, Verdict

FILE_REQUESTS = 50_000
FILE_BYTES = 180_000_000
"""OpenAI takes 50,000 requests and 200 MB in a file."""
READ_TOGETHER = 1_000
"""Answers that are read, kept in one transaction and told before the next ones."""
LONGEST_POLL = 10
"""Between two looks at batches that do not move, in times of the first wait."""
_FULL_AT_ONCE = 500
_TOO_MUCH_ENQUEUED = "token_limit_exceeded"

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Work:
    """What one call of ``BatchJudge.grade`` does.

    Attributes:
        capped: the cap that kept requests from being sent; what was sent is waited for.
    """

    def __init__(
        self,
        policy: Policy,
        mode: PromptMode,
        repeat: int,
        *,
        client: BatchClient,
        ledger: BatchLedger,
        cache: VerdictCache,
        keys_of: Callable[[Sheet], QuestionKeys],
        requests: Requests,
        meter: Meter,
        capped: bool,
        timing: Timing,
    ) -> None:
        """Take what the judge has; ``capped``: whether there are caps that the meter has to count for."""
        self._policy, self._mode, self._repeat = policy, mode, repeat
        self._client, self._ledger, self._cache = client, ledger, cache
        self._keys_of, self._requests, self._meter, self._timing = keys_of, requests, meter, timing
        self._counts, self._started = capped, timing.clock()
        self._keys: dict[Sheet, QuestionKeys] = {}
        self._maker = Maker(client, ledger, timing)
        self._waiting = Waiting(policy)
        self._open: dict[str, Question] = {}  # by key: not in the cache, and in no batch that we know of
        self._pending: dict[str, tuple[Entry, dict[str, Sent]]] = {}
        self._held: list[Sent] = []  # until the provider has room for them
        self._told: dict[str, tuple[str, int | None]] = {}
        self.capped: CapReached | None = None

    def look_up(self, pairs: Sequence[Pair]) -> Iterator[Verdict]:
        """Yield the pairs whose every answer is in the cache, and note what the others wait for."""
        for question in self._questions({pair.id: pair for pair in pairs}.values()):
            key = self._key(question)
            known = None if key in self._open else self._cache.get(key)
            if known is not None:
                self._waiting.have(known.model_copy(update={"pair_id": question.pair.id}))
                yield from self._waiting.ready()
                continue
            self._waiting.ask(question.pair.id, key)
            self._open.setdefault(key, replace(question, user=""))

    @property
    def asks(self) -> bool:
        """Whether anything is to be waited for."""
        return bool(self._open or self._pending)

    async def join(self) -> None:
        """Find the batches that ask what this run asks, from an earlier start or another run.

        Call it, and :meth:`submit` behind it, alone (see ``BatchLedger.alone``).
        """
        for entry in self._ledger.entries(self._client.url, self._timing.clock()):
            rows = self._ledger.rows(entry.tag, self._open)
            if not rows:
                continue
            made = entry if entry.batch_id else await self._maker.half_made(entry)
            if made is None:
                continue
            joined: dict[str, Sent] = {}
            for row in rows:
                asked = JudgeRequest(tuple(self._open.pop(key) for key in row.keys))
                joined[row.custom_id] = Sent(
                    asked, row.keys, mode=self._requests.response_mode, tries=row.tries, spent=row.spent
                )
            if self._counts:
                joined = {sent.custom_id: sent for sent in await self._set_aside(joined)}
            self._pending[made.tag] = (made, joined)
            _log.info(
                "batch %s of %s is in flight with %s of the requests; waiting for it instead of paying again",
                made.batch_id, self._client.name, f"{len(joined):,}",
            )  # fmt: skip

    async def submit(self) -> None:
        """Put everything that is still open into batches, as far as the caps let it."""
        # Between looking up and having the lock another run may have finished with some of it.
        for key in list(self._open):
            if (known := self._cache.get(key)) is not None:
                del self._open[key]
                self._waiting.add(key, known)
        if self.capped is not None:  # by what is in flight
            self._open.clear()
        pairs = {question.pair.id: question.pair for question in self._open.values()}
        left = (q for q in self._questions(pairs.values()) if self._take(self._key(q)))
        fresh = (
            (full, Sent(bare(full), tuple(map(self._key, full.questions)), mode=self._requests.response_mode))
            for full in grouped(left)
        )
        await self._send_all(fresh)
        self._open.clear()  # what the caps left over is for the next start

    async def answers(self) -> AsyncGenerator[Verdict, None]:
        """Yield pairs as their answers come in, until all batches have ended."""
        timing = self._timing
        wait = timing.poll_s
        for verdict in self._waiting.ready():
            yield verdict
        while self._pending:
            moved = False
            for tag in list(self._pending):
                state = await self._state(self._pending[tag][0])
                moved |= self._say(state)
                if state.ended:
                    async with aclosing(self._end(tag, state)) as verdicts:
                        async for verdict in verdicts:
                            yield verdict
            if self._pending:
                wait = timing.poll_s if moved else min(wait * 1.5, LONGEST_POLL * timing.poll_s)
                await timing.sleep(wait)

    def rest(self, reason: str) -> Iterator[Verdict]:
        """Yield what was paid for in part; see ``Waiting.rest``."""
        return self._waiting.rest(reason)

    def leave(self) -> None:
        """Say what goes on without us."""
        for entry, sent in self._pending.values():
            if entry.batch_id:
                _log.info(
                    "batch %s goes on at %s with %s requests; they are paid for, and the run when started again, or "
                    "any other that asks the same, picks up their answers",
                    entry.batch_id, self._client.name, f"{len(sent):,}",
                )  # fmt: skip

    # Making batches

    async def _send_all(self, requests: Iterable[tuple[JudgeRequest, Sent]]) -> None:
        inside: dict[str, Sent] = {}
        size = 0
        with tempfile.TemporaryFile() as file:
            for full, sent in requests:
                try:
                    ticket = await self._meter.admit(sent.messages(full))
                except CapReached as reached:
                    self.capped = reached
                    if sent.row is None:
                        break
                    self._failed_at_cap(sent, reached)
                    continue
                line = self._requests.line(full, sent)
                if inside and (len(inside) >= FILE_REQUESTS or size + len(line) > FILE_BYTES):
                    await self._send(file, inside)
                    file.seek(0)
                    file.truncate()
                    inside, size = {}, 0
                file.write(line)
                size += len(line)
                inside[sent.custom_id] = replace(sent, ticket=ticket, mode=self._requests.response_mode)
            if inside:
                await self._send(file, inside)

    async def _send_again(self, again: Sequence[Sent]) -> None:
        """Ask again, unless another run that waited for the same batch has done so: then wait for its batch."""
        async with self._ledger.alone(self._timing.sleep):
            ours = self._ledger.held({sent.row for sent in again if sent.row})
            for sent in again:
                if sent.row not in ours:
                    self._open |= zip(sent.keys, sent.asked.questions, strict=True)
            await self._send_all(self._full([sent for sent in again if sent.row in ours]))
            if self._open:
                await self.join()
                await self.submit()

    async def _set_aside(self, joined: dict[str, Sent]) -> list[Sent]:
        """Count against the caps what is in flight; what passes them is waited for, and nothing more is sent."""
        counted = []
        for full, sent in self._full(list(joined.values())):
            try:
                sent = replace(sent, ticket=await self._meter.admit(sent.messages(full)))
            except CapReached as reached:
                self.capped = reached
            counted.append(sent)
        return counted

    async def _send(self, file: IO[bytes], inside: dict[str, Sent]) -> None:
        rows = [Row(custom_id, sent.keys, sent.tries, sent.spent) for custom_id, sent in inside.items()]
        made = await self._maker.make(file, rows, [sent.row for sent in inside.values() if sent.row])
        self._pending[made.tag] = (made, inside)

    def _failed_at_cap(self, sent: Sent, reached: CapReached) -> None:
        attempt = attempt_at(datetime.now(UTC), 0.0)
        for key, part in self._requests.unanswered(
            sent, reached.message, attempt, again=False, usage=Usage(cost_usd=0.0)
        ).parts:
            self._waiting.add(key, part)
        if sent.row:
            self._ledger.settle(sent.row[0], [sent.row[1]])

    # Waiting and reading

    async def _state(self, entry: Entry) -> BatchState:
        """Return how far a batch is.

        Raises:
            Unavailable: when it should have ended long ago, or the key is refused.
        """
        try:
            state = await self._client.state(entry.batch_id)
        except RequestFailed as failure:
            state = BatchState(entry.batch_id, f"out of reach ({failure.reason})")
        if state is None:
            return BatchState(entry.batch_id, GONE)
        since = max(entry.created_at, self._started)
        if not state.ended and self._timing.clock() - since > self._timing.longest_s:
            raise Unavailable(
                f"Batch {entry.batch_id} at {self._client.name} has not ended in {self._timing.longest_s / 3600:g} "
                f"hours; it is {state.status}.",
                "Resume the run to go on waiting, or cancel the batch at the provider: then a resume asks anew.",
            )
        return state

    def _say(self, state: BatchState) -> bool:
        """Log how far a batch is, where that changed."""
        now = (state.status, state.done)
        if self._told.get(state.id) == now:
            return False
        self._told[state.id] = now
        known = state.done is not None and state.total is not None
        far = f"{state.done:,} of {state.total:,} done" if known else "no count told"
        _log.info("batch %s %s, %s", state.id, far, state.status)
        return True

    async def _end(self, tag: str, state: BatchState) -> AsyncGenerator[Verdict, None]:
        """Read the answers of a batch that has ended; what has none is asked again in a new one."""
        entry, sent = self._pending[tag]
        attempt = attempt_at(datetime.fromtimestamp(entry.created_at, UTC), state.seconds)
        again: list[Sent] = []
        answered = False
        for file_id in state.files:
            with tempfile.TemporaryFile() as file:
                await self._maker.surely(partial(self._client.download, file_id, file))
                read = lines(file)
                while together := [line for _, line in zip(range(READ_TOGETHER), read, strict=False)]:
                    outcomes: list[tuple[Sent, Outcome]] = []
                    for line in together:
                        one = sent.pop(str(line.get("custom_id")), None) if line is not None else None
                        if line is not None and one is not None:
                            outcomes.append((one, self._requests.read(one, line, attempt)))
                    answered |= any(outcome.unavailable is None for _, outcome in outcomes)
                    if outcomes and not answered:
                        self._refuse(tag, outcomes[0][1].unavailable)
                    self._keep(tag, outcomes, again)
                    for verdict in self._waiting.ready():
                        yield verdict
        self._keep(tag, self._without_answer(tag, state, sent, attempt), again)
        del self._pending[tag]
        for verdict in self._waiting.ready():
            yield verdict
        if not self._pending:
            again += self._held
            self._held = []
        if again:
            _log.info("%s requests of batch %s are asked again", f"{len(again):,}", state.id)
            await self._send_again(again)
            for verdict in self._waiting.ready():
                yield verdict

    def _refuse(self, tag: str, error: Unavailable | None) -> None:
        """End the run where a batch was refused request by request: with the same key and model all would be.

        The batch is forgotten, so that a new start asks again.
        """
        self._ledger.forget(tag)
        del self._pending[tag]
        if error is not None:
            raise error

    def _without_answer(
        self, tag: str, state: BatchState, sent: dict[str, Sent], attempt: Callable[[str], Attempt]
    ) -> list[tuple[Sent, Outcome]]:
        if sent and state.code == _TOO_MUCH_ENQUEUED and len(self._pending) > 1:
            _log.info("%s has no room for batch %s yet: %s", self._client.name, state.id, state.reason)
            for one in sent.values():
                if one.ticket is not None:
                    self._meter.settle(one.ticket, NOTHING)
                self._held.append(replace(one, row=(tag, one.custom_id), ticket=None))
            return []
        reason = {
            "completed": "the provider's files have no answer to it",
            "expired": "the batch expired before it was answered",
            "cancelled": "the batch was cancelled before it was answered",
            GONE: "the provider does not know the batch any more",
        }.get(state.status, f"the batch failed: {state.reason or 'no reason given'}")
        return [(one, self._requests.unanswered(one, reason, attempt, again=True)) for one in sent.values()]

    def _keep(self, tag: str, outcomes: Sequence[tuple[Sent, Outcome]], again: list[Sent]) -> None:
        """Keep what was answered, then tell it; whoever reads an answer first counts what it took."""
        kept: list[tuple[str, Verdict]] = []
        settled: list[str] = []
        for sent, outcome in outcomes:
            if sent.ticket is not None:
                self._meter.settle(sent.ticket, outcome.usage)
            for key, part in outcome.parts:
                known = self._cache.get(key)
                if known is None:
                    kept.append((key, part))
                self._waiting.add(key, part if known is None else known)
            if outcome.again is None:
                settled.append(sent.custom_id)
            else:
                again.append(replace(outcome.again, row=(tag, sent.custom_id), ticket=None))
        self._cache.put_all(kept)
        self._ledger.settle(tag, settled)

    # Questions

    def _questions(self, pairs: Iterable[Pair]) -> Iterator[Question]:
        return questions(self._policy, pairs, self._mode, repeat=self._repeat)

    def _key(self, question: Question) -> str:
        sheet = question.sheet
        if sheet not in self._keys:
            self._keys[sheet] = self._keys_of(sheet)
        return self._keys[sheet].key(question.user)

    def _take(self, key: str) -> bool:
        return self._open.pop(key, None) is not None

    def _full(self, again: Sequence[Sent]) -> Iterator[tuple[JudgeRequest, Sent]]:
        """Yield requests with their texts, some hundred at a time."""
        for start in range(0, len(again), _FULL_AT_ONCE):
            some = again[start : start + _FULL_AT_ONCE]
            wanted = {key for sent in some for key in sent.keys}
            pairs = {q.pair.id: q.pair for sent in some for q in sent.asked.questions}
            full = {key: q for q in self._questions(pairs.values()) if (key := self._key(q)) in wanted}
            for sent in some:
                yield JudgeRequest(tuple(full[key] for key in sent.keys)), sent
