"""Asking a language model for new pairs: the calls that are left, each kept the moment it has ended.

A call leaves a line in ``synthesis.jsonl``, so that a job that was stopped, capped or killed goes on where it was. Its
reply is kept in the verdict cache too, by its messages and by how many calls for the same cell came before, so that
another data set that asks the same pays nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from workbench.errors import BadInput, Unavailable
from workbench.golden import Pair
from workbench.identity import Value, keepable
from workbench.jobfolder import JobFolder
from workbench.judges.asking import Asker, Bill, Form
from workbench.judges.cache import VerdictCache, verdict_key
from workbench.judges.caps import Caps
from workbench.judges.meter import Meter
from workbench.judges.pace import Pace
from workbench.judges.provider import Provider, RequestFailed
from workbench.policy import Policy
from workbench.prices import model_price
from workbench.prompt import ReplyError
from workbench.run import CapReached, JudgeIdentity, LlmSpec, Reporter, Usage, Verdict
from workbench.synthesis import Ask, Reading, messages, read_reply, reply_schema, template_hash

CALLS = "synthesis.jsonl"
MOST_FAILURES = 10
"""So many calls in a row without any reply end the work."""


class Answer(Value):
    """What became of one call; with an ``error``, no pairs."""

    number: int
    at: datetime
    pairs: tuple[Pair, ...] = ()
    problems: tuple[str, ...] = ()
    usage: Usage = Usage()
    error: str = ""


def answers(folder: JobFolder) -> Iterator[Answer]:
    """Yield what the calls of a job brought, in the order in which they ended; a call may be there several times.

    Raises:
        BadInput: with the line, if one is damaged.
    """
    path = folder.path / CALLS
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield Answer.model_validate_json(line)
            except ValidationError as error:
                raise BadInput(
                    f"{path}, line {number}: it is no answer of a call.", "Remove the line."
                ) from error


class Writer:
    """Has a language model write pairs; one instance is one start of a job."""

    def __init__(
        self,
        model: LlmSpec,
        policy: Policy,
        seeds: Sequence[Pair],
        cache: VerdictCache,
        folder: JobFolder,
        reporter: Reporter,
        total: int,
    ) -> None:
        self._model, self._policy, self._seeds = model, policy, seeds
        self._cache, self._folder, self._reporter = cache, folder, reporter
        self._total, self._done, self._ended = total, 0, False
        self._provider = Provider(
            model.model,
            base_url=model.base_url,
            api_key_env=model.api_key_env,
            params=model.params,
            timeout_s=model.timeout_s,
        )
        caps = Caps(
            usd=model.cap_usd,
            tokens=model.cap_tokens,
            seconds=model.cap_seconds,
            price=model_price(model.model) if model.cap_usd is not None and not model.base_url else None,
        )
        start = _period_start(folder)
        for answer in answers(folder):
            if answer.at >= start:
                caps.charge(answer.usage)
        pace = Pace(model.requests_per_minute, model.tokens_per_minute)
        self._asker = Asker(self._provider, meter=Meter(pace, caps, self._provider.params))

    @property
    def identity(self) -> JudgeIdentity:
        """Model, parameters, endpoint and the words of a request."""
        params = self._key_params() | {"template": template_hash()}
        return JudgeIdentity(kind="llm", name=self._provider.model, params=params)

    async def ask(self, left: Sequence[Ask]) -> None:
        """Make the calls; what is in flight when one cannot be made is waited for: it is paid for."""
        self._done = self._total - len(left)
        self._say()
        if not left:
            return
        calls = iter(left)
        async with self._provider:
            workers = [self._draw(calls) for _ in range(min(self._model.concurrency, len(left)))]
            ended = await asyncio.gather(*workers, return_exceptions=True)
        for problem in ended:
            if problem is not None:
                raise problem

    async def _draw(self, calls: Iterator[Ask]) -> None:
        try:
            while not (self._ended or self._reporter.stopping()) and (call := next(calls, None)) is not None:
                await self._one(call)
                if self._asker.failures_in_a_row >= MOST_FAILURES:
                    raise Unavailable(
                        f"{self._provider.name} gave no reply to {self._asker.failures_in_a_row} calls in a row, last "
                        f"for this reason: {self._asker.last_failure}",
                        "What was written is kept; start the job again when the provider works.",
                    )
        except BaseException:
            self._ended = True
            raise

    async def _one(self, call: Ask) -> None:
        asked = messages(self._policy, call, self._seeds)
        key = verdict_key(
            messages=asked, model=self._provider.model, params=self._key_params(), repeat=call.repeat
        )

        def read(text: str) -> Reading:
            return read_reply(self._policy, call, self._seeds, text)

        known = self._cache.get(key)
        if known is not None:
            try:
                self._keep(call, known.usage, read(known.raw))
                return
            except ReplyError:
                pass  # kept by a version that read it otherwise
        bill = Bill()
        form = Form("pairs", reply_schema(self._policy, call.variant))
        try:
            reading, text = await self._asker.answer(asked, form, read, bill)
        except RequestFailed as failure:
            self._keep(call, bill.usage(), error=failure.reason)
        except CapReached as reached:
            if bill.answers:  # a reply that cannot be used is paid for
                self._keep(call, bill.usage(), error=reached.message)
            raise
        else:
            # A reply is kept as a verdict about nothing, as it came.
            verdict = Verdict(pair_id="", judgements=(), usage=bill.usage(), raw=keepable(text))
            self._keep(call, bill.usage(), reading, keep=lambda: self._cache.put(key, verdict))

    def _keep(
        self,
        call: Ask,
        usage: Usage,
        reading: Reading | None = None,
        *,
        error: str = "",
        keep: Callable[[], None] = lambda: None,
    ) -> None:
        """Write what became of a call, then ``keep`` its reply, and only then tell anybody."""
        answer = Answer(
            number=call.number,
            at=datetime.now(UTC),
            pairs=reading.pairs if reading else (),
            problems=reading.problems if reading else (),
            usage=usage,
            error=keepable(error),
        )
        with (self._folder.path / CALLS).open("a", encoding="utf-8") as file:
            file.write(answer.model_dump_json() + "\n")
        keep()
        for problem in (*answer.problems, *([answer.error] if answer.error else [])):
            self._reporter.log(f"{call.cell.name}, call {call.number + 1}: {problem}")
        self._done += 1
        self._say()

    def _say(self) -> None:
        self._reporter.progress(self._done, self._total, "writing pairs")

    def _key_params(self) -> dict[str, Any]:
        params: dict[str, Any] = {"params": self._provider.params, "sample": self._model.repeat}
        if self._provider.base_url:
            params["endpoint"] = self._provider.base_url
        return params


def _period_start(folder: JobFolder) -> datetime:
    """Return when the period began for which caps hold: :meth:`JobFolder.start_period` writes a file then."""
    try:
        return datetime.fromtimestamp((folder.path / "period").stat().st_mtime, UTC)
    except OSError:
        return datetime.min.replace(tzinfo=UTC)
