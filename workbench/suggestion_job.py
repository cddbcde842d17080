"""The job that asks a model for edits of a policy: one request a dimension, each answer kept as soon as it is there.

It works in its folder alone. ``suggest.json`` goes in (:class:`SuggestionInput`); ``answers.jsonl`` and
``artifacts/suggestions.json`` (:class:`SuggestionOutput`) come out. Started again, it asks only for what is missing.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from workbench.errors import BadInput, Unavailable
from workbench.files import read_text, write_text
from workbench.identity import Value, keepable
from workbench.jobfolder import JobFolder
from workbench.judges.asking import KEPT_OF_REPLY, Asker, Bill, Form
from workbench.judges.provider import Provider, RequestFailed
from workbench.policy import Body
from workbench.run import JobSpec, LlmSpec, Reporter, Usage
from workbench.suggestion import Batch, Suggestion
from workbench.suggestion_prompt import messages, read_reply, reply_schema
from workbench.yamltext import validate

INPUT = "suggest.json"
ANSWERS = "answers.jsonl"
OUTPUT = "suggestions.json"


class SuggestionInput(Value):
    """What the job is given: the draft as it was when the job was started, and what to ask about."""

    body: Body
    batches: tuple[Batch, ...]


class Answer(Value):
    """What became of one dimension's request; with an ``error``, no suggestions."""

    dimension: str
    suggestions: tuple[Suggestion, ...] = ()
    usage: Usage = Usage()
    error: str = ""


class SuggestionOutput(Value):
    """What the job leaves: who was asked, and the newest answer of each dimension, in the order asked."""

    model: str
    answers: tuple[Answer, ...]

    @property
    def suggestions(self) -> tuple[Suggestion, ...]:
        """All suggestions, in the order of the dimensions."""
        return tuple(suggestion for answer in self.answers for suggestion in answer.suggestions)


def read_input(folder: JobFolder) -> SuggestionInput:
    """Return what the job in this folder was given.

    Raises:
        BadInput: if the file is missing or damaged.
    """
    path = folder.path / INPUT
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read ({error}).", "Ask for suggestions again.") from error
    return validate(SuggestionInput, data, str(path))


def write_input(folder: JobFolder, given: SuggestionInput) -> None:
    """Write what the job is to be given."""
    write_text(folder.path / INPUT, given.model_dump_json(by_alias=True))


def run(spec: JobSpec, folder: JobFolder, reporter: Reporter) -> dict[str, Any]:
    """Ask for each dimension that has no answer yet, and return the sums over all answers there are.

    A dimension without a usable answer is reported with its reason; the others count nevertheless.

    Raises:
        Unavailable: when no request can succeed (the key, the model, the account), or no dimension was answered.
        BadInput: for an input or a model that cannot be used.
    """
    given = read_input(folder)
    model = LlmSpec.model_validate(spec.payload["model"])
    provider = Provider(
        model.model,
        base_url=model.base_url,
        api_key_env=model.api_key_env,
        params=model.params,
        timeout_s=model.timeout_s,
    )
    folder.ready_to_append(ANSWERS)
    done = {answer.dimension for answer in _answers(folder) if not answer.error}
    left = [batch for batch in given.batches if batch.dimension not in done]
    started = time.monotonic()
    try:
        asyncio.run(_Work(given, provider, model.concurrency, folder, reporter).ask(left))
    finally:
        # What was answered before a failure was paid for; it is kept, and can be taken.
        newest = {answer.dimension: answer for answer in _answers(folder)}
        answers = [newest[batch.dimension] for batch in given.batches if batch.dimension in newest]
        output = SuggestionOutput(model=model.model, answers=tuple(answers))
        write_text(folder.artifacts / OUTPUT, output.model_dump_json(by_alias=True))
    failed = {answer.dimension: answer.error for answer in answers if answer.error}
    if failed and len(failed) == len(given.batches):
        reason = next(iter(failed.values()))
        raise Unavailable(
            f"{model.model} gave no usable answer for any dimension; for {next(iter(failed))}: {reason}",
            "The log has the others. Start the job again, or ask another model.",
        )
    usage = _total([answer.usage for answer in _answers(folder)])
    return {
        "model": model.model,
        "suggestions": len(output.suggestions),
        "failed": failed,
        "usage": usage.model_dump(mode="json"),
        "seconds": time.monotonic() - started,
    }


class _Work:
    """One run of the job."""

    def __init__(
        self,
        given: SuggestionInput,
        provider: Provider,
        concurrency: int,
        folder: JobFolder,
        reporter: Reporter,
    ) -> None:
        self._given, self._provider, self._folder, self._reporter = given, provider, folder, reporter
        self._asker = Asker(provider)
        self._free = asyncio.Semaphore(concurrency)
        self._total = len(given.batches)
        self._done = 0

    async def ask(self, left: Sequence[Batch]) -> None:
        """Ask for all of ``left``; ends early when somebody asked to stop."""
        self._done = self._total - len(left)
        self._reporter.progress(self._done, self._total)
        if not left:
            return
        async with self._provider:
            # The first one alone: the others then find the policy, the beginning of each, in the provider's cache.
            await self._one(left[0])
            ended = await asyncio.gather(*map(self._one, left[1:]), return_exceptions=True)
        for problem in ended:
            if problem is not None:
                raise problem

    async def _one(self, batch: Batch) -> None:
        async with self._free:
            if self._reporter.stopping():
                return
            body, bill = self._given.body, Bill()
            form = Form("suggestions", reply_schema(body, batch.dimension))
            try:
                found, _ = await self._asker.answer(
                    messages(body, batch), form, lambda text: read_reply(body, batch, text), bill
                )
                answer = Answer(dimension=batch.dimension, suggestions=found, usage=bill.usage())
                self._reporter.log(f"{batch.dimension}: {len(found)} suggestions")
            except RequestFailed as failure:
                answer = Answer(dimension=batch.dimension, usage=bill.usage(), error=failure.reason)
                shown = keepable(failure.reply[:KEPT_OF_REPLY]) or "nothing"
                self._reporter.log(f"{batch.dimension}: {failure.reason}; it answered: {shown}")
        with (self._folder.path / ANSWERS).open("a", encoding="utf-8") as file:
            file.write(answer.model_dump_json(by_alias=True) + "\n")
        self._done += 1
        self._reporter.progress(self._done, self._total)


def _answers(folder: JobFolder) -> Iterator[Answer]:
    path = folder.path / ANSWERS
    if path.exists() and path.stat().st_size:
        # Not splitlines, which also breaks at signs that JSON leaves as they are (U+2028).
        for number, line in enumerate(read_text(path).removesuffix("\n").split("\n"), start=1):
            yield validate(Answer, json.loads(line), f"{path}, line {number}")


def _total(parts: Sequence[Usage]) -> Usage:
    """Return the sums; the cost is unknown as soon as one part's is."""
    costs = [part.cost_usd for part in parts]
    known = [cost for cost in costs if cost is not None]
    names = ("calls", "input_tokens", "output_tokens", "cached_input_tokens")
    sums = {name: sum(getattr(part, name) for part in parts) for name in names}
    cost = sum(known) if known and len(known) == len(costs) else None
    return Usage(**sums, cost_usd=cost, latency_ms=sum(part.latency_ms for part in parts))
