"""Policy, pairs and a mode to requests; reading their replies; verdicts of parts to verdicts of pairs.

A *question* is one pair under the dimensions that are asked together; it is what one entry of the verdict cache
answers. A *request* is one call: one question, or several about different pairs. In the default mode its messages,
schema and reader are those of :mod:`workbench.prompt`, to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from workbench.golden import NOT_GRADED, Pair
from workbench.policy import Body
from workbench.prompt import (
    Message,
    ReplyError,
    closed_object,
    expect_keys,
    fields,
    pair_text,
    parse_object,
    read_reply,
    shown,
)
from workbench.prompt_mode import PromptMode
from workbench.prompt_sheet import ANSWER_KEYS, Sheet, label_of, pairs_text, sheet, variant_of
from workbench.run import Judgement, Usage, Verdict

LONGEST_PAIRS = 100_000
"""Characters of all pairs of one request, some 25,000 tokens: they have to fit beside a long policy. A pair that is
longer by itself is asked alone."""


@dataclass(frozen=True, eq=False)
class Question:
    """One pair under the dimensions that are asked together."""

    pair: Pair
    sheet: Sheet
    user: str
    """The user message of this question asked alone."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Keys of the dimensions it covers, in the order of the policy."""
        return self.sheet.dimensions

    @cached_property
    def messages(self) -> list[Message]:
        """The messages of this question asked alone: what the key of the verdict cache is made of.

        With several pairs a call the answer is kept under these messages too, whatever pairs it was asked with:
        company is chance, and a pair more in a golden set must not pay for the others again.
        """
        return [{"role": "system", "content": self.sheet.system}, {"role": "user", "content": self.user}]

    def failed(self, reason: str) -> tuple[Judgement, ...]:
        """Return a failed judgement for each dimension covered."""
        return tuple(Judgement(dimension=key, grade=NOT_GRADED, error=reason) for key in self.dimensions)


@dataclass(frozen=True, eq=False)
class JudgeRequest:
    """One call: questions about different pairs that share a sheet, at least one."""

    questions: tuple[Question, ...]

    @property
    def sheet(self) -> Sheet:
        """What its questions share."""
        return self.questions[0].sheet

    @property
    def cells(self) -> tuple[tuple[str, str], ...]:
        """(pair id, dimension) of everything that the reply has to grade."""
        return tuple((q.pair.id, dimension) for q in self.questions for dimension in q.dimensions)

    @property
    def labels(self) -> tuple[str, ...]:
        """What the reply calls each pair; "" in the modes whose reply is about one pair and does not name it."""
        if self.sheet.mode.pairs_per_call == 1:
            return ("",)
        return tuple(label_of(place) for place in range(len(self.questions)))

    @cached_property
    def messages(self) -> list[Message]:
        """The chat messages: the policy first, the pairs last."""
        if len(self.questions) == 1:
            return self.questions[0].messages
        user = pairs_text(self.sheet.policy, [question.pair for question in self.questions])
        return [{"role": "system", "content": self.sheet.system}, {"role": "user", "content": user}]

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the reply, within OpenAI's strict subset."""
        if self.labels == ("",):
            return self.sheet.schema
        # By reference: written out for every pair, levels pass the providers' limit of 1,000 enumerated values.
        whole = closed_object({label: {"$ref": "#/$defs/answer"} for label in self.labels})
        return {**whole, "$defs": {"answer": self.sheet.schema}}

    @property
    def again(self) -> str:
        """The end of the request for a correction, behind what is wrong with the reply."""
        return f"Answer the same pair{'s' if len(self.questions) > 1 else ''} again, in the form asked for."


def questions(
    policy: Body, pairs: Iterable[Pair], mode: PromptMode, *, repeat: int = 0
) -> Iterator[Question]:
    """Yield every question about ``pairs``, pair by pair; together they cover every dimension once.

    A permuted order is drawn by the mode's seed and the pair, so a pair is asked in the same order again (and its
    verdict found in the cache); the next ``repeat`` asks it in another one.
    """
    sheets: dict[tuple[int, str], Sheet] = {}
    groups = [(key,) for key in policy.keys] if mode.scope == "dimension" else [policy.keys]
    for pair in pairs:
        variant = variant_of(mode, pair, repeat)
        # The same for all questions about a pair: the fields are laid out alike, whatever is asked about them.
        user = pair_text(policy, pair) if mode.pairs_per_call == 1 else pairs_text(policy, [pair])
        for keys in groups:
            place = (variant, keys[0])
            if place not in sheets:
                sheets[place] = sheet(policy, keys, mode, variant)
            yield Question(pair, sheets[place], user)


def grouped(asked: Iterable[Question]) -> Iterator[JudgeRequest]:
    """Yield the requests that put ``asked``, as soon as each is full; at most a few calls' questions are held.

    Leave out the questions whose verdicts are known, and what is left is still put in full calls.
    """
    held: dict[Sheet, list[Question]] = {}
    for question in asked:
        group = held.setdefault(question.sheet, [])
        too_long = _length([*group, question]) > LONGEST_PAIRS
        if group and (too_long or any(one.pair.id == question.pair.id for one in group)):
            yield JudgeRequest(tuple(group))
            group.clear()
        group.append(question)
        if len(group) == question.sheet.mode.pairs_per_call:
            yield JudgeRequest(tuple(group))
            group.clear()
    yield from (JudgeRequest(tuple(group)) for group in held.values() if group)


def requests(
    policy: Body, pairs: Iterable[Pair], mode: PromptMode, *, repeat: int = 0
) -> Iterator[JudgeRequest]:
    """Yield the requests that ask for every grade of ``pairs``; see :func:`questions`."""
    return grouped(questions(policy, pairs, mode, repeat=repeat))


def read(request: JudgeRequest, text: str) -> dict[str, tuple[Judgement, ...]]:
    """Return the judgements of a reply by pair id, those of a pair in the order of the policy.

    As strict as :func:`workbench.prompt.read_reply`. Where a request is about several pairs, a pair whose part
    is missing or does not fit gets failed judgements that say why, and the others stand: they were paid for.
    It is for the caller to ask about that pair again.

    Raises:
        ReplyError: when nothing in the reply can be used, or it speaks of a pair that was not asked about (then
            nobody knows which pair the rest is about). The sentence names the pair's label and the dimension.
    """
    if request.labels == ("",):
        return {request.questions[0].pair.id: _read_one(request.sheet, text)}
    data = parse_object(text)
    unknown = [key for key in data if key not in request.labels]
    if unknown:
        raise ReplyError(
            f"the reply has an unknown pair {shown(unknown[0])}; there is: {', '.join(request.labels)}."
        )
    found: dict[str, tuple[Judgement, ...]] = {}
    wrong: list[str] = []
    for label, question in zip(request.labels, request.questions, strict=True):
        try:
            found[question.pair.id] = _read_part(request.sheet, label, data)
        except ReplyError as error:
            wrong.append(str(error))
            found[question.pair.id] = question.failed(f"the reply did not fit the policy: {error}")
    if len(wrong) == len(request.questions):
        raise ReplyError(wrong[0])
    return found


def shared(usage: Usage, parts: int) -> tuple[Usage, ...]:
    """Return what each of ``parts`` questions of one call took: counts and cost add up to those of the call.

    Counts are divided evenly, what is left over going to the first ones. Each waited the whole time.
    """

    def share(total: int, part: int) -> int:
        return total // parts + (part < total % parts)

    cost = None if usage.cost_usd is None else usage.cost_usd / parts
    return tuple(
        usage.model_copy(
            update={
                "calls": share(usage.calls, part),
                "input_tokens": share(usage.input_tokens, part),
                "output_tokens": share(usage.output_tokens, part),
                "cached_input_tokens": share(usage.cached_input_tokens, part),
                "cost_usd": cost,
            }
        )
        for part in range(parts)
    )


def joined(policy: Body, verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict about a pair from those about its questions, in any order; at least one.

    It is from the cache only if all of them are, and its cost is known only if all of theirs are. Its latency
    is the sum: questions may have waited side by side. It has the traces of all.
    """
    found = {judgement.dimension: judgement for verdict in verdicts for judgement in verdict.judgements}
    costs = [verdict.usage.cost_usd for verdict in verdicts]
    known = [cost for cost in costs if cost is not None]
    return Verdict(
        pair_id=verdicts[0].pair_id,
        judgements=tuple(found[key] for key in policy.keys),
        usage=Usage(
            calls=sum(verdict.usage.calls for verdict in verdicts),
            input_tokens=sum(verdict.usage.input_tokens for verdict in verdicts),
            output_tokens=sum(verdict.usage.output_tokens for verdict in verdicts),
            cached_input_tokens=sum(verdict.usage.cached_input_tokens for verdict in verdicts),
            cost_usd=sum(known) if len(known) == len(costs) else None,
            latency_ms=sum(verdict.usage.latency_ms for verdict in verdicts),
            from_cache=all(verdict.usage.from_cache for verdict in verdicts),
        ),
        raw="\n".join(verdict.raw for verdict in verdicts if verdict.raw),
        traces=tuple(trace for verdict in verdicts for trace in verdict.traces),
    )


def _read_part(asked: Sheet, label: str, data: dict[str, Any]) -> tuple[Judgement, ...]:
    if label not in data:
        raise ReplyError(f"the reply lacks pair {label}.")
    expect_keys(data[label], asked.policy.keys, label, "dimension")
    try:
        return _read_one(asked, _written(data[label]))
    except ReplyError as error:
        raise ReplyError(f"{label}: {error}") from None


def _read_one(asked: Sheet, text: str) -> tuple[Judgement, ...]:
    if asked.mode.reason == "none":
        data = parse_object(text)
        expect_keys(data, asked.policy.keys, "the reply", "dimension")
        for key, answer in data.items():
            expect_keys(answer, ANSWER_KEYS["none"], key, "key")
        full = {key: {"reason": "", "cites": [], "grade": answer["grade"]} for key, answer in data.items()}
        text = _written(full)
    found = {judgement.dimension: judgement for judgement in read_reply(asked.policy, text)}
    return tuple(found[key] for key in asked.dimensions)


def _written(data: Any) -> str:
    """Return a part of a reply as the text of a reply about one pair, which :func:`read_reply` reads."""
    try:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise ReplyError("the reply is nested too deeply.") from None


def _length(asked: Sequence[Question]) -> int:
    return sum(len(text) for one in asked for _, text in fields(one.sheet.policy, one.pair))
