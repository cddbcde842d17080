"""A language model as a judge through its provider's batch API: half the price, within 24 hours.

The same questions, keys of the verdict cache and reader as :class:`workbench.judges.llm.LlmJudge`, so that a verdict
that one delivery paid for is known to the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from workbench.errors import BadInput, WorkbenchError
from workbench.golden import Pair
from workbench.judges.asking import ResponseMode
from workbench.judges.batch_client import BatchClient
from workbench.judges.batch_ledger import BatchLedger
from workbench.judges.batch_making import Timing
from workbench.judges.batch_reading import Requests
from workbench.judges.batch_rules import batch_price
from workbench.judges.batch_work import Work
from workbench.judges.cache import QuestionKeys, VerdictCache
from workbench.judges.caps import Caps
from workbench.judges.llm import LlmJudge
from workbench.judges.meter import Meter
from workbench.judges.pace import Pace
from workbench.policy import Policy
from workbench.prices import model_price
from workbench.prompt_mode import PromptMode
from workbench.prompt_sheet import Sheet
from workbench.run import JudgeIdentity, Usage, Verdict

_DEFAULT = PromptMode()


class BatchJudge:
    """A judge that asks by batch. One instance belongs to one run."""

    def __init__(
        self,
        model: str,
        *,
        cache: VerdictCache,
        base_url: str | None = None,
        api_key_env: str | None = None,
        params: Mapping[str, Any] | None = None,
        response_mode: ResponseMode = "json_schema",
        repeat: int = 0,
        mode: PromptMode = _DEFAULT,
        cap_usd: float | None = None,
        cap_tokens: int | None = None,
        timeout_s: float = 120.0,
        poll_s: float = 30.0,
        longest_s: float = 26 * 3600.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Describe the judge; nothing is sent and no key is read before :meth:`grade`.

        Args:
            model: ``openai/model``; with ``base_url``, the name the endpoint knows.
            cache: where verdicts are looked up and kept; its file also remembers the batches in flight.
            base_url, api_key_env, params, response_mode, repeat, mode: see
                :class:`workbench.judges.llm.LlmJudge`.
            cap_usd, cap_tokens: no request goes into a batch that could pass one of them.
            timeout_s: seconds that the batch API may take to answer (not the batch).
            poll_s: seconds between two looks at a batch; more while it does not move.
            longest_s: seconds of one start after which a batch that has not ended is no longer waited for.
            sleep, clock: seams for tests; the clock gives seconds since 1970.

        Raises:
            BadInput: for values that cannot be used, and for a provider without a batch API like OpenAI's.
        """
        if not (poll_s > 0 and longest_s > 0 and timeout_s > 0):
            raise BadInput("poll_s, longest_s and timeout_s are seconds.", "Make them larger than 0.")
        self._client = BatchClient(
            model, base_url=base_url, api_key_env=api_key_env, params=params or {}, timeout_s=timeout_s
        )
        # The judge of the other delivery says who this one is, so that their keys cannot drift apart.
        self._same = LlmJudge(
            model,
            base_url=base_url,
            api_key_env=api_key_env,
            params=params,
            response_mode=response_mode,
            repeat=repeat,
            mode=mode,
        )
        priced = cap_usd is not None and base_url is None
        self._caps = Caps(
            usd=cap_usd, tokens=cap_tokens, price=batch_price(model_price(model)) if priced else None
        )
        self._cache = cache
        self._mode, self._repeat, self._response_mode = mode, repeat, response_mode
        self._timing = Timing(sleep, clock, poll_s, longest_s)

    @property
    def identity(self) -> JudgeIdentity:
        """That of :class:`workbench.judges.llm.LlmJudge`, and that it was delivered by batch."""
        same = self._same.identity
        return same.model_copy(update={"params": same.params | {"delivery": "batch"}})

    def charge(self, usage: Usage) -> None:
        """Count against the caps what the run had spent before."""
        self._caps.charge(usage)

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        """Yield one verdict a pair as batches end; see :class:`workbench.run.Judge`.

        Answers in the verdict cache come first. A batch in flight that asks the same, from an earlier start or another
        run, is waited for. What is left goes into new batches. A request without a usable answer is asked once more,
        in another batch; then its pairs get failed judgements that say why. Left early, batches go on at the
        provider, and the next start finds them.

        Raises:
            CapReached: when not all could be sent; what was sent was waited for and yielded.
            WorkbenchError: when going on is pointless: a refused key, no batch API, a batch that does not end.
        """
        # The messages hold what template and mode say.
        told = ("template", "mode", "modes_template")
        params = {name: value for name, value in self._same.identity.params.items() if name not in told}

        def keys_of(sheet: Sheet) -> QuestionKeys:
            return QuestionKeys(
                system=sheet.system,
                model=self._client.model,
                params=params | sheet.key_params,
                repeat=self._repeat,
            )

        ledger = BatchLedger(self._cache.path)
        work = Work(
            policy,
            self._mode,
            self._repeat,
            client=self._client,
            ledger=ledger,
            cache=self._cache,
            keys_of=keys_of,
            requests=Requests(policy, self._client, self._response_mode, self._repeat),
            meter=Meter(Pace(), self._caps, self._client.params),
            capped=self._caps.counts,
            timing=self._timing,
        )
        try:
            for verdict in work.look_up(pairs):
                yield verdict
            if not work.asks:
                return
            async with self._client:
                async with ledger.alone(self._timing.sleep):
                    await work.join()
                    await work.submit()
                async with aclosing(work.answers()) as verdicts:
                    async for verdict in verdicts:
                        yield verdict
            if work.capped is not None:
                raise work.capped
        except WorkbenchError as error:
            for verdict in work.rest(error.message):
                yield verdict
            raise
        finally:
            work.leave()
            ledger.close()
