"""A language model as a judge: the policy in the prompt, one request a pair, every dimension in one reply."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from workbench.errors import BadInput, Unavailable
from workbench.golden import NOT_GRADED, Pair
from workbench.judges.asking import KEPT_OF_REPLY, Asker, Bill, Form, ResponseMode
from workbench.judges.cache import VerdictCache, verdict_key
from workbench.judges.provider import Provider, RequestFailed
from workbench.policy import Policy
from workbench.prompt import (
    Message,
    pair_text,
    read_reply,
    reply_schema,
    system_prompt,
    template_hash,
)
from workbench.run import JudgeIdentity, Judgement, Verdict


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
        if concurrency < 1:
            raise BadInput(f"concurrency is {concurrency}.", "It must be at least 1.")
        if not timeout_s > 0:
            raise BadInput(f"timeout_s is {timeout_s}.", "It must be above 0.")
        self._provider = Provider(
            model, base_url=base_url, api_key_env=api_key_env, params=params or {}, timeout_s=timeout_s
        )
        self._asked_mode: ResponseMode = response_mode
        self._asker = Asker(
            self._provider,
            response_mode=response_mode,
            max_attempts=max_attempts,
            longest_wait_s=longest_wait_s,
            sleep=sleep,
            clock=clock,
            jitter=jitter,
        )
        self._concurrency = concurrency
        self._max_failures = max_failures
        self._cache = cache
        self._repeat = repeat

    @property
    def response_mode(self) -> ResponseMode:
        """How the form of a reply is enforced now; simpler than asked for where the endpoint did not know that."""
        return self._asker.response_mode

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
        self._asker.failures_in_a_row = 0
        form = Form("grades", reply_schema(policy))
        system = system_prompt(policy)
        waiting = iter(pairs)
        finished: asyncio.Queue[Verdict | Exception | None] = asyncio.Queue(maxsize=self._concurrency)
        async with self._provider:
            workers = [
                asyncio.create_task(self._work(policy, form, system, waiting, finished))
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
        form: Form,
        system: str,
        waiting: Iterator[Pair],
        finished: asyncio.Queue[Verdict | Exception | None],
    ) -> None:
        try:
            for pair in waiting:
                await finished.put(await self._verdict(policy, form, system, pair))
                if self._asker.failures_in_a_row >= self._max_failures:
                    raise Unavailable(
                        f"{self._provider.name} gave no reply for {self._asker.failures_in_a_row} pairs in a row, "
                        f"last for this reason: {self._asker.last_failure}",
                        "What had finished is kept; start the run again when the provider works.",
                    )
        except Exception as error:
            await finished.put(error)
        await finished.put(None)

    async def _verdict(self, policy: Policy, form: Form, system: str, pair: Pair) -> Verdict:
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
        bill = Bill()
        judgements, raw = await self._judgements(policy, messages, form, bill)
        verdict = Verdict(pair_id=pair.id, judgements=judgements, usage=bill.usage(), raw=raw[:KEPT_OF_REPLY])
        if self._cache is not None:
            self._cache.put(key, verdict)
        return verdict

    async def _judgements(
        self, policy: Policy, messages: list[Message], form: Form, bill: Bill
    ) -> tuple[tuple[Judgement, ...], str]:
        """Ask, and return the judgements and the last raw reply."""
        try:
            return await self._asker.answer(
                messages,
                form,
                lambda text: read_reply(policy, text),
                bill,
                again="Answer the same pair again, in the form asked for.",
            )
        except RequestFailed as failure:
            failed = tuple(
                Judgement(dimension=key, grade=NOT_GRADED, error=failure.reason) for key in policy.keys
            )
            return failed, failure.reply

    def _key_params(self) -> dict[str, Any]:
        # The mode that was asked for, not the one fallen back to: the same judge started again has to find the
        # verdicts of its first run. The endpoint counts, because two of them may call different weights alike.
        params: dict[str, Any] = {"params": self._provider.params, "response_mode": self._asked_mode}
        if self._provider.base_url:
            params["endpoint"] = self._provider.base_url
        return params
