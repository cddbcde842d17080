"""A language model as a judge: the policy in the prompt, one request a pair, every dimension in one reply."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from workbench.errors import BadInput, Unavailable
from workbench.golden import NOT_GRADED, Pair
from workbench.judges.cache import VerdictCache, verdict_key
from workbench.judges.provider import Completion, FormatRefused, Provider, RequestFailed
from workbench.policy import Policy
from workbench.prompt import (
    Message,
    ReplyError,
    pair_text,
    read_reply,
    reply_schema,
    system_prompt,
    template_hash,
)
from workbench.run import JudgeIdentity, Judgement, Usage, Verdict

ResponseMode = Literal["json_schema", "json_object", "text"]

KEPT_OF_REPLY = 20_000
"""Characters of the raw reply that are kept in a verdict and sent back with a correction."""
LONGEST_BACKOFF_S = 30.0

_MODES: tuple[ResponseMode, ...] = ("json_schema", "json_object", "text")
_log = logging.getLogger(__name__)


@dataclass
class _Bill:
    """What one pair has taken so far."""

    calls: int = 0
    latency_ms: float = 0.0
    answers: list[Completion] = field(default_factory=list)

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


class LlmJudge:
    """A judge that asks a language model over HTTP. One instance belongs to one run."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str | None = None,
        params: Mapping[str, Any] | None = None,
        response_mode: ResponseMode = "json_schema",
        concurrency: int = 16,
        timeout_s: float = 120.0,
        max_attempts: int = 5,
        max_failures: int = 20,
        longest_wait_s: float = 120.0,
        cache: VerdictCache | None = None,
        repeat: int = 0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float], float] = lambda most: random.uniform(0.0, most),
    ) -> None:
        """Describe the judge; nothing is sent and no key is read before :meth:`grade`.

        Args:
            model: ``provider/model`` as litellm names it; with ``base_url``, the name the endpoint knows.
            base_url: an OpenAI-compatible endpoint, up to and including ``/v1``.
            api_key_env: environment variable that holds the key. Default: the provider's own; with
                ``base_url``, none, so that the OpenAI key is never sent to another endpoint.
            params: model parameters such as temperature, seed, max_tokens; sent as they are.
            response_mode: how the form of the reply is enforced. ``json_schema`` falls back to ``json_object``
                and then to ``text`` when the endpoint says that it does not know it, and logs that.
            concurrency: requests at one time.
            timeout_s: seconds a request may take in all.
            max_attempts: requests for one reply, when the transport fails.
            max_failures: so many pairs in a row without any reply stop the run.
            longest_wait_s: a ``Retry-After`` above this counts as a failure.
            cache: where finished verdicts are looked up and stored.
            repeat: index of a repeated run; part of the cache key.
            sleep, clock, jitter: seams for tests; ``jitter`` draws a wait from 0 to its argument (full jitter).

        Raises:
            BadInput: for values that cannot be used.
        """
        for name, value in (("concurrency", concurrency), ("max_attempts", max_attempts)):
            if value < 1:
                raise BadInput(f"{name} is {value}.", "It must be at least 1.")
        if not timeout_s > 0:
            raise BadInput(f"timeout_s is {timeout_s}.", "It must be above 0.")
        if response_mode not in _MODES:
            raise BadInput(f"'{response_mode}' is not a response mode.", f"Use one of {', '.join(_MODES)}.")
        self._provider = Provider(
            model, base_url=base_url, api_key_env=api_key_env, params=params or {}, timeout_s=timeout_s
        )
        self._asked_mode: ResponseMode = response_mode
        self.response_mode: ResponseMode = response_mode
        self._concurrency = concurrency
        self._max_attempts = max_attempts
        self._max_failures = max_failures
        self._longest_wait_s = longest_wait_s
        self._cache = cache
        self._repeat = repeat
        self._sleep, self._clock, self._jitter = sleep, clock, jitter
        self._not_before = float("-inf")
        self._failures_in_a_row = 0
        self._last_failure = ""

    @property
    def identity(self) -> JudgeIdentity:
        """Model, parameters, endpoint, prompt template and the response mode asked for."""
        params = self._key_params() | {"template": template_hash()}
        return JudgeIdentity(kind="llm", name=self._provider.model, params=params)

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        """Yield one verdict a pair as they finish; see :class:`workbench.run.Judge`.

        A fixed number of workers draw from ``pairs``, so memory does not grow with their number. A pair without
        a usable reply gets failed judgements that say why.

        Raises:
            WorkbenchError: when going on is pointless: a refused key, an unknown model, or ``max_failures``
                pairs in a row without any reply. What had finished was yielded before.
        """
        if not pairs:
            return
        self._failures_in_a_row = 0
        system = system_prompt(policy)
        waiting = iter(pairs)
        finished: asyncio.Queue[Verdict | Exception | None] = asyncio.Queue(maxsize=self._concurrency)
        async with self._provider:
            workers = [
                asyncio.create_task(self._work(policy, system, waiting, finished))
                for _ in range(min(self._concurrency, len(pairs)))
            ]
            try:
                working = len(workers)
                while working:
                    item = await finished.get()
                    if isinstance(item, Exception):
                        raise item
                    if item is None:
                        working -= 1
                    else:
                        yield item
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _work(
        self,
        policy: Policy,
        system: str,
        waiting: Iterator[Pair],
        finished: asyncio.Queue[Verdict | Exception | None],
    ) -> None:
        try:
            for pair in waiting:
                await finished.put(await self._verdict(policy, system, pair))
                if self._failures_in_a_row >= self._max_failures:
                    raise Unavailable(
                        f"{self._provider.name} gave no reply for {self._failures_in_a_row} pairs in a row, "
                        f"last for this reason: {self._last_failure}",
                        "What had finished is kept; start the run again when the provider works.",
                    )
        except Exception as error:
            await finished.put(error)
        await finished.put(None)

    async def _verdict(self, policy: Policy, system: str, pair: Pair) -> Verdict:
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": pair_text(policy, pair)},
        ]
        key = ""
        if self._cache is not None:
            key = verdict_key(
                messages=messages,
                model=self._provider.model,
                params=self._key_params(),
                repeat=self._repeat,
            )
            known = self._cache.get(key)
            if known is not None:
                return known.model_copy(update={"pair_id": pair.id})
        bill = _Bill()
        judgements, raw = await self._judgements(policy, messages, bill)
        verdict = Verdict(pair_id=pair.id, judgements=judgements, usage=bill.usage(), raw=raw[:KEPT_OF_REPLY])
        if self._cache is not None:
            self._cache.put(key, verdict)
        return verdict

    async def _judgements(
        self, policy: Policy, messages: list[Message], bill: _Bill
    ) -> tuple[tuple[Judgement, ...], str]:
        """Ask, and once more where the reply does not fit; return the judgements and the last raw reply."""
        text = ""
        try:
            text = await self._reply(policy, messages, bill)
            try:
                return read_reply(policy, text), text
            except ReplyError as error:
                again = (
                    f"That reply cannot be used: {error} Answer the same pair again, in the form asked for."
                )
                correction = [
                    {"role": "assistant", "content": text[:KEPT_OF_REPLY]},
                    {"role": "user", "content": again},
                ]
            text = await self._reply(policy, messages + correction, bill)
            return read_reply(policy, text), text
        except ReplyError as error:
            reason = f"the reply did not fit the policy, twice: {error}"
        except RequestFailed as error:
            reason, text = error.reason, error.reply or text
        failed = tuple(Judgement(dimension=key, grade=NOT_GRADED, error=reason) for key in policy.keys)
        return failed, text

    async def _reply(self, policy: Policy, messages: Sequence[Message], bill: _Bill) -> str:
        """Return the text of one complete reply.

        Raises:
            RequestFailed: when there is none after all attempts.
        """
        for attempt in range(1, self._max_attempts + 1):
            try:
                text = _complete_text(await self._ask(policy, messages, bill))
            except RequestFailed as failure:
                wait_s = failure.wait_s or 0.0
                if failure.again and attempt < self._max_attempts and wait_s <= self._longest_wait_s:
                    await self._wait(attempt, failure.wait_s)
                    continue
                self._failures_in_a_row = self._failures_in_a_row + 1 if failure.provider_down else 0
                if attempt > 1:
                    failure.reason += f" ({attempt} attempts)"
                self._last_failure = failure.reason
                raise
            self._failures_in_a_row = 0
            return text
        raise AssertionError("unreachable: max_attempts is at least 1")

    async def _ask(self, policy: Policy, messages: Sequence[Message], bill: _Bill) -> Completion:
        """Send one request, with a simpler response format if the endpoint does not know the one asked for."""
        while True:
            pause = self._not_before - self._clock()
            if pause > 0:
                await self._sleep(pause)
            mode = self.response_mode
            started = self._clock()
            bill.calls += 1
            try:
                completion = await self._provider.complete(messages, _response_format(policy, mode))
            except FormatRefused as refusal:
                self._fall_back(mode, str(refusal))
                continue
            finally:
                bill.latency_ms += (self._clock() - started) * 1000
            bill.answers.append(completion)
            return completion

    def _fall_back(self, mode: ResponseMode, reason: str) -> None:
        if mode != self.response_mode:
            return  # another worker met the same refusal first
        self.response_mode = _MODES[_MODES.index(mode) + 1]
        _log.warning(
            "%s does not support response_format %s for %s (%s); the rest of the run uses %s.",
            self._provider.name, mode, self._provider.model, reason, self.response_mode,
        )  # fmt: skip

    async def _wait(self, attempt: int, wait_s: float | None) -> None:
        if wait_s is None:
            await self._sleep(self._jitter(min(LONGEST_BACKOFF_S, 2.0 ** (attempt - 1))))
            return
        # A rate limit holds for the account: every worker waits, each a little longer than the last one.
        self._not_before = max(self._not_before, self._clock() + wait_s)
        await self._sleep(wait_s + self._jitter(1.0))

    def _key_params(self) -> dict[str, Any]:
        # The mode that was asked for, not the one fallen back to: the same judge started again has to find the
        # verdicts of its first run. The endpoint counts, because two of them may call different weights alike.
        params: dict[str, Any] = {"params": self._provider.params, "response_mode": self._asked_mode}
        if self._provider.base_url:
            params["endpoint"] = self._provider.base_url
        return params


def _response_format(policy: Policy, mode: ResponseMode) -> dict[str, Any] | None:
    if mode == "text":
        return None
    if mode == "json_object":
        return {"type": "json_object"}
    schema = {"name": "grades", "strict": True, "schema": reply_schema(policy)}
    return {"type": "json_schema", "json_schema": schema}


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
