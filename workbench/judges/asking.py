"""Asking a model for one answer in a given form: retries, rate limits, simpler response formats, one correction."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal, TypeVar

from workbench.errors import BadInput
from workbench.identity import keepable
from workbench.judges.meter import Meter
from workbench.judges.provider import Completion, FormatRefused, Provider, RequestFailed
from workbench.prompt import Message, ReplyError
from workbench.run import Attempt, Trace, Usage

ResponseMode = Literal["json_schema", "json_object", "text"]
Answer = TypeVar("Answer")

KEPT_OF_REPLY = 20_000
"""Characters of a raw reply that are kept, and sent back with a correction; see :func:`kept`."""
LONGEST_BACKOFF_S = 30.0

_MODES: tuple[ResponseMode, ...] = ("json_schema", "json_object", "text")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Form:
    """The form of an answer: a name and a JSON Schema, within OpenAI's strict subset."""

    name: str
    schema: Mapping[str, Any]

    def response_format(self, mode: ResponseMode) -> dict[str, Any] | None:
        """Return what a request says of it; None where the prompt alone says it."""
        if mode == "text":
            return None
        if mode == "json_object":
            return {"type": "json_object"}
        return self._json_schema

    @cached_property
    def _json_schema(self) -> dict[str, Any]:
        # The same object for every request: the endpoint serialises it once.
        schema = {"name": self.name, "strict": True, "schema": dict(self.schema)}
        return {"type": "json_schema", "json_schema": schema}


@dataclass
class Bill:
    """What one answer has taken so far."""

    calls: int = 0
    latency_ms: float = 0.0
    answers: list[Completion] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    mode: ResponseMode | Literal[""] = ""
    """How the newest request enforced the form of the reply."""

    def sent(self, at: datetime, seconds: float) -> None:
        """Note a request that has ended."""
        self.attempts.append(Attempt(at=at, seconds=seconds))

    def explain(self, outcome: str) -> None:
        """Say why the newest request brought no answer that can be used, or what was done about it."""
        if self.attempts:
            last = self.attempts[-1]
            told = keepable("; ".join(filter(None, (last.outcome, outcome))))
            self.attempts[-1] = last.model_copy(update={"outcome": told})

    def trace(
        self, dimensions: tuple[str, ...], *, key: str, repeat: int, together: int = 1, raw: str = ""
    ) -> Trace:
        """Return how the answer about ``dimensions`` of one pair came about."""
        return Trace(
            dimensions=dimensions,
            repeat=repeat,
            key=key,
            response_mode=self.mode,
            together=together,
            attempts=tuple(self.attempts),
            raw=raw,
        )

    def usage(self) -> Usage:
        """Return the sums. The cost is known only where every answer's price is, and some answer came."""
        costs = [answer.cost_usd for answer in self.answers]
        known = [cost for cost in costs if cost is not None]
        return Usage(
            calls=self.calls,
            input_tokens=sum(answer.input_tokens for answer in self.answers),
            output_tokens=sum(answer.output_tokens for answer in self.answers),
            cached_input_tokens=sum(answer.cached_input_tokens for answer in self.answers),
            cost_usd=sum(known) if known and len(known) == len(costs) else None,
            latency_ms=self.latency_ms,
        )


class Asker:
    """Asks one provider. Its waits hold for all that ask through it, as a rate limit holds for an account.

    Attributes:
        response_mode: how the form is enforced now; it only ever becomes simpler.
        failures_in_a_row: answers in a row that did not come because the provider gave nothing.
        last_failure: why the newest of them did not come.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        response_mode: ResponseMode = "json_schema",
        max_attempts: int = 5,
        longest_wait_s: float = 120.0,
        meter: Meter | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float], float] = lambda most: random.uniform(0.0, most),
    ) -> None:
        """Take a provider, which whoever asks opens and closes.

        Args:
            provider: where the model is.
            response_mode: ``json_schema`` falls back to ``json_object`` and then to ``text`` when the endpoint says
                that it does not know it, and logs that.
            max_attempts: requests for one reply, when the transport fails.
            longest_wait_s: a ``Retry-After`` above this counts as a failure.
            meter: admits each request; None lets all through.
            sleep, clock, jitter: seams for tests; ``jitter`` draws a wait from 0 to its argument (full jitter).

        Raises:
            BadInput: for values that cannot be used.
        """
        if max_attempts < 1:
            raise BadInput(f"max_attempts is {max_attempts}.", "It must be at least 1.")
        if response_mode not in _MODES:
            raise BadInput(f"'{response_mode}' is not a response mode.", f"Use one of {', '.join(_MODES)}.")
        self._provider = provider
        self.response_mode: ResponseMode = response_mode
        self._max_attempts = max_attempts
        self._longest_wait_s = longest_wait_s
        self._meter = meter
        self._sleep, self._clock, self._jitter = sleep, clock, jitter
        self._not_before = float("-inf")
        self.failures_in_a_row = 0
        self.last_failure = ""

    async def answer(
        self,
        messages: Sequence[Message],
        form: Form,
        read: Callable[[str], Answer],
        bill: Bill,
        *,
        again: str = "Answer again, in the form asked for.",
    ) -> tuple[Answer, str]:
        """Ask, and once more where the reply does not fit; return what was read and the raw reply.

        Args:
            read: makes the answer of a reply's text, or raises ReplyError.
            bill: where the calls are written, whatever becomes of them.
            again: the end of the request for a correction, behind what is wrong with the reply.

        Raises:
            RequestFailed: when there is no usable answer; ``reply`` is the last one that came.
            CapReached: when the next request could pass a cap of the run.
            WorkbenchError: when no request can succeed (the key, the model, the account).
        """
        text = await self._reply(messages, form, bill)
        try:
            return read(text), text
        except ReplyError as error:
            bill.explain(f"the reply could not be used: {error}")
            correction = [
                {"role": "assistant", "content": kept(text)},
                {"role": "user", "content": f"That reply cannot be used: {error} {again}"},
            ]
        try:
            text = await self._reply([*messages, *correction], form, bill)
        except RequestFailed as failure:
            failure.reply = failure.reply or text
            raise
        try:
            return read(text), text
        except ReplyError as error:
            bill.explain(f"the reply could not be used: {error}")
            reason = f"the reply did not fit the policy, twice: {error}"
            raise RequestFailed(reason, again=False, provider_down=False, reply=text) from None

    async def _reply(self, messages: Sequence[Message], form: Form, bill: Bill) -> str:
        """Return the text of one complete reply.

        Raises:
            RequestFailed: when there is none after all attempts.
        """
        for attempt in range(1, self._max_attempts + 1):
            try:
                text = _complete_text(await self._ask(messages, form, bill))
            except RequestFailed as failure:
                failure.reason = keepable(failure.reason)  # an error text may hold half a surrogate pair
                bill.explain(failure.reason)
                wait_s = failure.wait_s or 0.0
                if failure.again and attempt < self._max_attempts and wait_s <= self._longest_wait_s:
                    waited_s = await self._wait(attempt, failure.wait_s)
                    bill.explain(f"waited {waited_s:.3g} s")
                    continue
                self.failures_in_a_row = self.failures_in_a_row + 1 if failure.provider_down else 0
                if attempt > 1:
                    failure.reason += f" ({attempt} attempts)"
                self.last_failure = failure.reason
                raise
            self.failures_in_a_row = 0
            return text
        raise AssertionError("unreachable: max_attempts is at least 1")

    async def _ask(self, messages: Sequence[Message], form: Form, bill: Bill) -> Completion:
        """Send one request, with a simpler response format if the endpoint does not know the one asked for."""
        while True:
            pause = self._not_before - self._clock()
            if pause > 0:
                await self._sleep(pause)
            ticket = await self._meter.admit(messages) if self._meter else None
            took = Usage()
            bill.mode = mode = self.response_mode
            at, started = datetime.now(UTC), self._clock()
            bill.calls += 1
            try:
                completion = await self._provider.complete(messages, form.response_format(mode))
            except FormatRefused as refusal:
                self._fall_back(mode, str(refusal))
                refused = f"response_format {mode} is not supported ({refusal}); asked again with {self.response_mode}"
            else:
                bill.answers.append(completion)
                took = completion.usage()
                return completion
            finally:
                seconds = self._clock() - started
                bill.latency_ms += seconds * 1000
                bill.sent(at, seconds)
                if self._meter and ticket:
                    self._meter.settle(ticket, took)
            bill.explain(refused)

    def _fall_back(self, mode: ResponseMode, reason: str) -> None:
        if mode != self.response_mode:
            return  # another request met the same refusal first
        self.response_mode = _MODES[_MODES.index(mode) + 1]
        _log.warning(
            "%s does not support response_format %s for %s (%s); the rest of the run uses %s.",
            self._provider.name, mode, self._provider.model, reason, self.response_mode,
        )  # fmt: skip

    async def _wait(self, attempt: int, wait_s: float | None) -> float:
        """Wait before the next attempt, and return how long that was, in seconds."""
        if wait_s is None:
            backoff_s = self._jitter(min(LONGEST_BACKOFF_S, 2.0 ** (attempt - 1)))
            await self._sleep(backoff_s)
            return backoff_s
        # A rate limit holds for the account: every request waits, each a little longer than the last one.
        self._not_before = max(self._not_before, self._clock() + wait_s)
        pause_s = wait_s + self._jitter(1.0)
        await self._sleep(pause_s)
        return pause_s


def kept(reply: str) -> str:
    """Return what is kept of a reply, which may hold half a surrogate pair (as a JSON escape) that no file keeps."""
    return keepable(reply[:KEPT_OF_REPLY])


def _complete_text(completion: Completion) -> str:
    """Return the text of a completion that is one.

    Raises:
        RequestFailed: for a refusal, a reply stopped by a filter or cut off (asking again would give the same),
            and for an empty one (asking again may help).
    """
    if completion.refusal:
        told = " ".join(completion.refusal.split())[:200]
        raise RequestFailed(f"the model refused: {told}", again=False, provider_down=False)
    if completion.finish_reason == "content_filter":
        raise RequestFailed(
            "stopped by the provider's content filter",
            again=False,
            provider_down=False,
            reply=completion.text,
        )
    if completion.finish_reason == "length":
        reason = "the reply was cut off at the token limit"
        raise RequestFailed(reason, again=False, provider_down=False, reply=completion.text)
    if not completion.text.strip():
        raise RequestFailed("the reply is empty", again=True, provider_down=False)
    return completion.text
