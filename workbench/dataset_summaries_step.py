"""The step of a data set job in which a model shortens long fields, after the judge graded the full texts.

Each different text is asked for once. A summary is kept in the verdict cache under its messages, the model and its
parameters, so another data set, or the same one made again, pays for none twice; and every answer is a line of
``summaries.jsonl``, so a job that was stopped goes on where it was and its caps hold over all its starts. A text
without a usable summary leaves its rows out: half of a data set in another form would teach two things at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.dataset_summaries import (
    Summarise,
    check_fields,
    is_long,
    messages,
    read_reply,
    reply_schema,
    text_id,
    texts_of,
)
from workbench.dataset_summaries_rows import Summaries
from workbench.errors import Unavailable
from workbench.files import read_text
from workbench.golden import Pair
from workbench.identity import Value
from workbench.jobfolder import JobFolder
from workbench.judges.asking import Asker, Bill, Form, ResponseMode, kept
from workbench.judges.cache import VerdictCache, verdict_key
from workbench.judges.caps import Caps
from workbench.judges.meter import Meter
from workbench.judges.pace import Pace
from workbench.judges.provider import Provider, RequestFailed
from workbench.policy import Layout
from workbench.prices import model_price
from workbench.prompt import ReplyError
from workbench.run import CapReached, LlmSpec, Reporter, Usage, Verdict
from workbench.token_count import count_tokens

ANSWERS = "summaries.jsonl"
MOST_FAILURES = 20
"""So many texts in a row for which the provider gave nothing stop the job."""
COUNTED = 200
"""Requests whose tokens an estimate counts; the others are taken to be like them."""
TOKENS_A_WORD = 1.4
"""What an answer is expected to take, with the JSON around it: an estimate for the plan only."""

_MODE: ResponseMode = "json_schema"


class Answer(Value):
    """What became of one request; with an ``error``, no summary."""

    text: str  # identity
    summary: str = ""
    usage: Usage = Usage()
    error: str = ""
    period: int = 0  # of the caps, see _period


@dataclass(frozen=True)
class Expected:
    """What summaries would take. Tokens are estimates."""

    texts: int  # different ones that are long
    known: int  # in the cache
    input_tokens: int
    output_tokens: int
    longest: int  # tokens of the longest request

    @property
    def calls(self) -> int:
        """Requests that are left to send, if none has to be repeated."""
        return self.texts - self.known


def check_step(asked: Summarise, layout: Layout) -> None:
    """Refuse a step that cannot work, before anything is sent.

    Raises:
        NotFound: a field that the policy does not have.
        BadInput: an address, a model name, parameters or a cap that cannot be used.
    """
    check_fields(asked, layout)
    _provider(asked.model)
    _caps(asked.model)


def expected(asked: Summarise, layout: Layout, pairs: Iterable[Pair], cache_folder: Path) -> Expected:
    """Return what summarising these pairs would take now.

    Raises:
        Unavailable: if the tokenizer is missing, or the verdict cache cannot be used.
    """
    texts = _long_texts(asked, layout, pairs)
    path = cache_folder / "verdicts.sqlite"
    known: set[str] = set()
    if path.exists():
        cache = VerdictCache(path)
        try:
            known = {key for key, text in texts.items() if cache.get(_key(asked, text)) is not None}
        finally:
            cache.close()
    left = [text for key, text in texts.items() if key not in known]
    sizes = [
        sum(count_tokens(message["content"]) for message in messages(asked, text)) for text in left[:COUNTED]
    ]
    return Expected(
        texts=len(texts),
        known=len(known),
        input_tokens=round(sum(sizes) * len(left) / max(len(sizes), 1)),
        output_tokens=round(len(left) * asked.words * TOKENS_A_WORD),
        longest=max(sizes, default=0),
    )


def summarise(
    asked: Summarise,
    layout: Layout,
    pairs: Iterable[Pair],
    folder: JobFolder,
    cache_folder: Path,
    reporter: Reporter,
) -> Summaries:
    """Have every long text summarised that has no summary yet, and return all there are.

    A text that failed before is asked for again. Where somebody asked to stop, some texts have none.

    Raises:
        CapReached: if a cap of the model was reached; what was answered is kept.
        Unavailable: when going on is pointless, or no text at all got a summary.
        BadInput: for a model that cannot be used.
    """
    texts = _long_texts(asked, layout, pairs)
    folder.ready_to_append(ANSWERS)
    found = {answer.text: answer.summary for answer in _answers(folder) if not answer.error}
    cache_folder.mkdir(parents=True, exist_ok=True)
    cache = VerdictCache(cache_folder / "verdicts.sqlite")
    try:
        work = _Work(asked, folder, cache, reporter, found, len(texts))
        asyncio.run(work.ask({key: text for key, text in texts.items() if key not in found}))
    finally:
        cache.close()
    answers = list(_answers(folder))
    if texts and not reporter.stopping() and not found.keys() & texts.keys():
        reason = next((answer.error for answer in reversed(answers) if answer.error), "")
        raise Unavailable(
            f"{asked.model.model} gave no usable summary of any text, last for this reason: {reason}",
            "The log has the others. Start the job again, or name another model in 'summarise'.",
        )
    failures = [answer.error for answer in answers if answer.error and answer.text not in found]
    return Summaries(asked, layout, found, total(answer.usage for answer in answers), failures)


def total(parts: Iterable[Usage]) -> Usage:
    """Return the sums; the cost is unknown as soon as that of one part is."""
    names = ("calls", "input_tokens", "output_tokens", "cached_input_tokens")
    sums = dict.fromkeys(names, 0)
    cost: float | None = 0.0
    for part in parts:
        for name in names:
            sums[name] += getattr(part, name)
        cost = None if cost is None or part.cost_usd is None else cost + part.cost_usd
    return Usage(**sums, cost_usd=cost)


class _Work:
    """One start of the step."""

    def __init__(
        self,
        asked: Summarise,
        folder: JobFolder,
        cache: VerdictCache,
        reporter: Reporter,
        found: dict[str, str],
        texts: int,
    ) -> None:
        model = asked.model
        self._asked, self._folder, self._cache, self._reporter = asked, folder, cache, reporter
        self._found, self._total = found, texts
        self._provider, caps = _provider(model), _caps(model)
        self._period = _period(folder)
        for answer in _answers(folder):
            if answer.period == self._period:
                caps.charge(answer.usage)
        pace = Pace(model.requests_per_minute, model.tokens_per_minute)
        self._asker = Asker(self._provider, response_mode=_MODE, meter=Meter(pace, caps, model.params))
        self._form = Form("summary", reply_schema())
        self._capped: CapReached | None = None
        self._failed = 0

    async def ask(self, texts: Mapping[str, str]) -> None:
        """Ask for all of ``texts``, those that the cache has left out."""
        left = {key: text for key, text in texts.items() if not self._is_known(key, text)}
        self._say()
        if not left:
            return
        waiting = iter(left.items())
        async with self._provider:
            workers = [
                asyncio.create_task(self._work(waiting))
                for _ in range(min(self._asked.model.concurrency, len(left)))
            ]
            # All end before the first problem is raised: what was in flight is paid for.
            ended = await asyncio.gather(*workers, return_exceptions=True)
        for problem in ended:
            if problem is not None:
                raise problem
        if self._capped is not None:
            raise self._capped

    async def _work(self, waiting: Iterator[tuple[str, str]]) -> None:
        while self._capped is None and not self._reporter.stopping():
            if self._asker.failures_in_a_row >= MOST_FAILURES:
                raise Unavailable(
                    f"{self._provider.name} gave no summary for {self._asker.failures_in_a_row} texts in a row, last "
                    f"for this reason: {self._asker.last_failure}",
                    "What had come is kept; start the job again when the provider works.",
                )
            item = next(waiting, None)
            if item is None:
                return
            await self._one(*item)

    async def _one(self, key: str, text: str) -> None:
        bill = Bill()
        try:
            summary, raw = await self._asker.answer(
                messages(self._asked, text),
                self._form,
                lambda reply: read_reply(self._asked, text, reply),
                bill,
            )
        except CapReached as reached:
            self._capped = reached
            if bill.answers:  # a reply that cannot be used is paid for
                self._keep(Answer(text=key, usage=bill.usage(), error=reached.message, period=self._period))
            return
        except RequestFailed as failure:
            self._failed += 1
            self._reporter.log(f"no summary of {key}: {failure.reason}")
            self._keep(Answer(text=key, usage=bill.usage(), error=failure.reason, period=self._period))
            self._say()
            return
        usage = bill.usage()
        verdict = Verdict(pair_id=key, judgements=(), usage=usage, raw=kept(raw))
        self._cache.put(_key(self._asked, text), verdict)
        self._keep(Answer(text=key, summary=summary, usage=usage, period=self._period))
        self._found[key] = summary
        self._say()

    def _is_known(self, key: str, text: str) -> bool:
        verdict = self._cache.get(_key(self._asked, text))
        if verdict is None:
            return False
        try:
            self._found[key] = read_reply(self._asked, text, verdict.raw)
        except ReplyError:
            return False
        return True

    def _keep(self, answer: Answer) -> None:
        with (self._folder.path / ANSWERS).open("a", encoding="utf-8") as file:
            file.write(answer.model_dump_json(exclude_defaults=True) + "\n")

    def _say(self) -> None:
        note = f"{self._failed} texts without a summary" if self._failed else "summaries"
        self._reporter.progress(min(len(self._found) + self._failed, self._total), self._total, note)


def _long_texts(asked: Summarise, layout: Layout, pairs: Iterable[Pair]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        for text in texts_of(asked, layout, pair).values():
            if is_long(asked, text):
                found.setdefault(text_id(text), text)
    return found


def _key(asked: Summarise, text: str) -> str:
    """Return where the summary of a text is kept; its words, model, parameters and prompt are all in it."""
    model = asked.model
    params: dict[str, Any] = {"params": model.params, "response_mode": _MODE}
    if model.base_url:
        params["endpoint"] = model.base_url
    return verdict_key(messages=messages(asked, text), model=model.model, params=params, repeat=model.repeat)


def _provider(model: LlmSpec) -> Provider:
    return Provider(
        model.model,
        base_url=model.base_url,
        api_key_env=model.api_key_env,
        params=model.params,
        timeout_s=model.timeout_s,
    )


def _caps(model: LlmSpec) -> Caps:
    priced = model.cap_usd is not None and model.base_url is None
    return Caps(
        usd=model.cap_usd,
        tokens=model.cap_tokens,
        seconds=model.cap_seconds,
        price=model_price(model.model) if priced else None,
    )


def _period(folder: JobFolder) -> int:
    """Return a mark of the period that caps hold for: another one whenever a new period was begun."""
    try:
        return (folder.path / "period").stat().st_mtime_ns
    except OSError:
        return 0


def _answers(folder: JobFolder) -> Iterator[Answer]:
    path = folder.path / ANSWERS
    if path.exists() and path.stat().st_size:
        # Not splitlines, which also breaks at signs that JSON leaves as they are (U+2028).
        for line in read_text(path).removesuffix("\n").split("\n"):
            yield Answer.model_validate_json(line)
