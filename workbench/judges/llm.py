"""A language model as a judge: the policy in the prompt, by default one request a pair with every dimension."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

from workbench import prompt_sheet
from workbench.errors import BadInput, Unavailable
from workbench.golden import NOT_GRADED, Pair
from workbench.judges.asking import Asker, Bill, Form, ResponseMode, kept
from workbench.judges.cache import QuestionKeys, Verdicts
from workbench.judges.caps import Caps
from workbench.judges.meter import Meter
from workbench.judges.modes import Found, Parts, whole
from workbench.judges.pace import Pace
from workbench.judges.provider import Provider, RequestFailed
from workbench.level_probabilities import NoProbabilities, with_probabilities
from workbench.policy import Policy
from workbench.prices import model_price
from workbench.prompt import (
    Message,
    pair_text,
    read_reply,
    reply_schema,
    system_prompt,
    template_hash,
)
from workbench.prompt_mode import PromptMode
from workbench.run import CapReached, JudgeIdentity, Judgement, Usage, Verdict


@dataclass(frozen=True)
class _Question:
    """What all pairs of a run are asked alike."""

    policy: Policy
    dimensions: tuple[str, ...]
    form: Form
    system: Message
    keys: QuestionKeys


_Finished = asyncio.Queue["list[Found] | Exception | None"]

_DEFAULT = PromptMode()
_log = logging.getLogger(__name__)


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
        cache: Verdicts | None = None,
        repeat: int = 0,
        mode: PromptMode = _DEFAULT,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        cap_usd: float | None = None,
        cap_tokens: int | None = None,
        cap_seconds: float | None = None,
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
            params: model parameters such as temperature, seed, max_tokens; sent as they are. With ``logprobs``
                true (and ``top_logprobs``), judgements get the probabilities of the levels.
            response_mode: how the form of the reply is enforced. ``json_schema`` falls back to ``json_object``
                and then to ``text`` when the endpoint says that it does not know it, and logs that.
            concurrency: requests at one time.
            timeout_s: seconds a request may take in all.
            max_attempts: requests for one reply, when the transport fails.
            max_failures: so many pairs in a row without any reply stop the run.
            longest_wait_s: a ``Retry-After`` above this counts as a failure.
            cache: where finished verdicts are looked up and stored.
            repeat: index of a repeated run; part of the cache key.
            mode: how the questions are put to calls. In another than the default, each question is looked up and
                kept by itself, so that a change of one dimension need not ask about the others.
            requests_per_minute, tokens_per_minute: held over every minute, whatever the concurrency.
            cap_usd, cap_tokens, cap_seconds: no request is sent that could pass one of them; the time runs from here.
            sleep, clock, jitter: seams for tests; ``jitter`` draws a wait from 0 to its argument (full jitter).

        Raises:
            BadInput: for values that cannot be used, such as a cap on money for a model without a known price.
        """
        if concurrency < 1:
            raise BadInput(f"concurrency is {concurrency}.", "It must be at least 1.")
        if not timeout_s > 0:
            raise BadInput(f"timeout_s is {timeout_s}.", "It must be above 0.")
        self._provider = Provider(
            model, base_url=base_url, api_key_env=api_key_env, params=params or {}, timeout_s=timeout_s
        )
        self._asked_mode: ResponseMode = response_mode
        priced = cap_usd is not None and base_url is None
        self._caps = Caps(
            usd=cap_usd,
            tokens=cap_tokens,
            seconds=cap_seconds,
            price=model_price(model) if priced else None,
            clock=clock,
        )
        pace = Pace(requests_per_minute, tokens_per_minute, sleep=sleep, clock=clock)
        metered = any(
            x is not None for x in (requests_per_minute, tokens_per_minute, cap_usd, cap_tokens, cap_seconds)
        )
        self._asker = Asker(
            self._provider,
            meter=Meter(pace, self._caps, self._provider.params) if metered else None,
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
        self._mode = mode
        self._capped: CapReached | None = None
        self._wants_probabilities = self._provider.params.get("logprobs") is True
        self._told_of_none = False

    @property
    def response_mode(self) -> ResponseMode:
        """How the form of a reply is enforced now; simpler than asked for where the endpoint did not know that."""
        return self._asker.response_mode

    @property
    def identity(self) -> JudgeIdentity:
        """Model, parameters, endpoint, prompt template, the response mode asked for, and a mode that is not usual."""
        params = self._key_params() | {"template": template_hash()}
        if not self._mode.is_default:
            params |= {"mode": self._mode.said(), "modes_template": prompt_sheet.template_hash()}
        return JudgeIdentity(kind="llm", name=self._provider.model, params=params)

    def charge(self, usage: Usage) -> None:
        """Count against the caps what the run had spent before."""
        self._caps.charge(usage)

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        """Yield one verdict a pair as they finish; see :class:`workbench.run.Judge`.

        A fixed number of workers draw from ``pairs``, so memory does not grow with their number. A pair without
        a usable reply gets failed judgements that say why. In another mode than the default a pair's verdict
        comes when its last question is answered, and a pair that is given twice has one verdict.

        Raises:
            CapReached: when the next request could pass a cap; what was in flight then was waited for and yielded.
            WorkbenchError: when going on is pointless: a refused key, an unknown model, or ``max_failures``
                pairs in a row without any reply. What had finished was yielded before.
        """
        if not pairs:
            return
        self._asker.failures_in_a_row = 0
        self._capped = None
        self._told_of_none = False
        asks: Iterator[Awaitable[list[Found]]]
        parts: Parts | None = None
        most = len(pairs)
        if self._mode.is_default:
            asked = self._question(policy)
            asks = (self._found(asked, pair) for pair in pairs)
        else:
            parts = self._parts(policy)
            left = bytearray(len(pairs))
            for verdict in parts.known(pairs, left):
                yield verdict
            asks = map(parts.answer, parts.requests(compress(pairs, left)))
            most = sum(left) * len(policy.keys)
        finished: _Finished = asyncio.Queue(maxsize=self._concurrency)
        async with self._provider:
            workers = [
                asyncio.create_task(self._work(asks, finished)) for _ in range(min(self._concurrency, most))
            ]
            try:
                working = len(workers)
                while working:
                    items = _all_of(await finished.get(), finished)
                    found = [each for item in items if isinstance(item, list) for each in item]
                    # What came in together is stored together, before anybody hears of it.
                    if self._cache is not None:
                        self._cache.put_all((item.key, item.verdict) for item in found if item.key)
                    for verdict in whole(found, parts):
                        yield verdict
                    for item in items:
                        if isinstance(item, Exception):
                            for verdict in parts.rest(str(item)) if parts else ():
                                yield verdict
                            raise item
                    working -= items.count(None)
                if self._capped is not None:
                    for verdict in parts.rest(self._capped.message) if parts else ():
                        yield verdict
                    raise self._capped
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    def _question(self, policy: Policy) -> _Question:
        system = system_prompt(policy)
        message = {"role": "system", "content": system}
        form = Form("grades", reply_schema(policy))
        return _Question(policy, policy.keys, form, message, self._keys(system, {}))

    def _parts(self, policy: Policy) -> Parts:
        return Parts(
            policy,
            self._mode,
            asker=self._asker,
            cache=self._cache,
            keys_of=self._keys,
            completed=lambda judgements, bill, text, label: self._completed(
                policy, judgements, bill, text, label
            ),
            capped=self._stop_at,
            repeat=self._repeat,
        )

    def _keys(self, system: str, more: dict[str, Any]) -> QuestionKeys:
        params = self._key_params() | more
        return QuestionKeys(system=system, model=self._provider.model, params=params, repeat=self._repeat)

    def _stop_at(self, reached: CapReached) -> None:
        self._capped = reached

    async def _work(self, asks: Iterator[Awaitable[list[Found]]], finished: _Finished) -> None:
        try:
            while self._capped is None and (ask := next(asks, None)) is not None:
                await finished.put(await ask)
                if self._asker.failures_in_a_row >= self._max_failures:
                    raise Unavailable(
                        f"{self._provider.name} gave no reply for {self._asker.failures_in_a_row} pairs in a row, "
                        f"last for this reason: {self._asker.last_failure}",
                        "What had finished is kept; start the run again when the provider works.",
                    )
        except CapReached as reached:
            self._capped = reached  # the others finish what they have in flight: it is paid for
        except Exception as error:
            await finished.put(error)
        await finished.put(None)

    async def _found(self, asked: _Question, pair: Pair) -> list[Found]:
        user = pair_text(asked.policy, pair)
        key = ""
        if self._cache is not None:
            key = asked.keys.key(user)
            known = self._cache.get(key)
            if known is not None:
                return [Found(known.model_copy(update={"pair_id": pair.id}), "")]
        bill = Bill()
        messages = [asked.system, {"role": "user", "content": user}]
        judgements, raw = await self._judgements(asked.policy, messages, asked.form, bill)
        # The reply is the verdict's own: there is one question, and no need to keep it twice.
        trace = bill.trace(asked.dimensions, key=key, repeat=self._repeat)
        verdict = Verdict(
            pair_id=pair.id,
            judgements=judgements,
            usage=bill.usage(),
            raw=kept(raw),
            traces=(trace,),
        )
        return [Found(verdict, key)]

    async def _judgements(
        self, policy: Policy, messages: list[Message], form: Form, bill: Bill
    ) -> tuple[tuple[Judgement, ...], str]:
        """Ask, and return the judgements and the last raw reply."""
        try:
            judgements, raw = await self._asker.answer(
                messages,
                form,
                lambda text: read_reply(policy, text),
                bill,
                again="Answer the same pair again, in the form asked for.",
            )
            return self._completed(policy, judgements, bill, raw), raw
        except RequestFailed as failure:
            return _failed(policy, failure.reason), failure.reply
        except CapReached as reached:
            if not bill.answers:
                raise
            self._capped = (
                reached  # a reply that cannot be used is paid for, so there is a verdict that says so
            )
            return _failed(policy, reached.message), bill.answers[-1].text

    def _completed(
        self, policy: Policy, judgements: tuple[Judgement, ...], bill: Bill, text: str, label: str = ""
    ) -> tuple[Judgement, ...]:
        """Return the judgements of a reply with the probabilities of the levels, where they were asked for."""
        if not self._wants_probabilities:
            return judgements
        try:
            return with_probabilities(policy, judgements, bill.answers[-1].logprobs, text, label=label)
        except NoProbabilities as problem:
            if not self._told_of_none:
                self._told_of_none = True
                _log.warning(
                    "%s: no probabilities for %s, perhaps in the whole run; its grades stay. %s",
                    self._provider.name, self._provider.model, problem,
                )  # fmt: skip
            return judgements

    def _key_params(self) -> dict[str, Any]:
        # The mode that was asked for, not the one fallen back to: the same judge started again has to find the
        # verdicts of its first run. The endpoint counts, because two of them may call different weights alike.
        params: dict[str, Any] = {"params": self._provider.params, "response_mode": self._asked_mode}
        if self._provider.base_url:
            params["endpoint"] = self._provider.base_url
        return params


def _failed(policy: Policy, reason: str) -> tuple[Judgement, ...]:
    return tuple(Judgement(dimension=key, grade=NOT_GRADED, error=reason) for key in policy.keys)


def _all_of(first: list[Found] | Exception | None, more: _Finished) -> list[list[Found] | Exception | None]:
    """Return ``first`` and all that is waiting behind it."""
    items = [first]
    while not more.empty():
        items.append(more.get_nowait())
    return items
