"""A request of a batch: how it is written, and how its answer is read as a single call's would be."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, get_args

from workbench.errors import Unavailable
from workbench.identity import keepable
from workbench.judges.asking import KEPT_OF_REPLY, Form, ResponseMode, _complete_text, kept
from workbench.judges.batch_client import BatchClient
from workbench.judges.batch_parts import plus
from workbench.judges.meter import Ticket
from workbench.judges.modes import _divided
from workbench.judges.provider import Completion, FormatRefused, RequestFailed
from workbench.level_probabilities import NoProbabilities, with_probabilities
from workbench.policy import Policy
from workbench.prompt import Message, ReplyError
from workbench.prompt_modes import JudgeRequest, Question, read, shared
from workbench.prompt_sheet import Sheet
from workbench.run import Attempt, Judgement, Trace, Usage, Verdict

NOTHING = Usage(cost_usd=0.0)
"""What was not sent."""
_UNPAID = Usage(calls=1, cost_usd=0.0)
"""A request without an answer: batches charge for answers alone."""

_log = logging.getLogger(__name__)
_dumped = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode  # ASCII: any text can be sent
_MODES: tuple[ResponseMode, ...] = get_args(ResponseMode)


@dataclass(frozen=True, eq=False)
class Sent:
    """One request of a batch; its questions hold no texts, which are made again where they are needed."""

    asked: JudgeRequest
    keys: tuple[str, ...]  # of the verdict cache, one a question
    mode: ResponseMode  # in which it was asked
    tries: int = 1  # how often it may be asked again
    spent: Usage = NOTHING  # for answers that could not be used
    attempts: tuple[Attempt, ...] = ()
    wrong: str = ""  # what was wrong with the reply that a new one is asked for
    reply: str = ""
    row: tuple[str, str] | None = None  # (tag, custom id) of the ended batch in which it was asked before
    ticket: Ticket | None = None

    @property
    def custom_id(self) -> str:
        """What the provider calls it: the key of its first question, which no other request has."""
        return self.keys[0]

    def messages(self, full: JudgeRequest) -> list[Message]:
        """Return the chat messages; with a reply that could not be used, those that ask for a correction."""
        if not self.wrong:
            return full.messages
        return [
            *full.messages,
            {"role": "assistant", "content": keepable(self.reply[:KEPT_OF_REPLY])},
            {"role": "user", "content": f"That reply cannot be used: {self.wrong} {full.again}"},
        ]


def bare(request: JudgeRequest) -> JudgeRequest:
    """Return the request without its texts: a hundred thousand of them wait for a day."""
    return JudgeRequest(tuple(replace(question, user="") for question in request.questions))


@dataclass
class Outcome:
    """What became of one request: parts of verdicts by the key to keep them under, and what is to be asked again."""

    parts: list[tuple[str, Verdict]] = field(default_factory=list)
    again: Sent | None = None
    usage: Usage = NOTHING
    unavailable: Unavailable | None = None


class Requests:
    """Writes the requests of one run and reads their answers."""

    def __init__(self, policy: Policy, client: BatchClient, response_mode: ResponseMode, repeat: int) -> None:
        """Take what they share; the response mode becomes simpler when the endpoint does not know it."""
        self._policy, self._client, self._repeat = policy, client, repeat
        self.response_mode = response_mode
        self._forms: dict[tuple[Sheet, tuple[str, ...]], Form] = {}
        self._told_of_none = False

    def line(self, full: JudgeRequest, sent: Sent) -> bytes:
        """Return the line of a file of requests."""
        wanted = self._form(full).response_format(self.response_mode)
        first, *others = sent.messages(full)
        texts = ",".join([_dumped_system(first["content"]), *map(_dumped, others)])
        head = _dumped({"custom_id": sent.custom_id, "method": "POST", "url": "/v1/chat/completions"})[:-1]
        body = f'{_dumped(dict(self._client.head))[:-1]},"messages":[{texts}]'
        form = f',"response_format":{_dumped(wanted)}' if wanted else ""
        return f'{head},"body":{{{body[1:]}{form}}}}}\n'.encode("ascii")

    def read(self, sent: Sent, line: Mapping[str, Any], attempt: Callable[[str], Attempt]) -> Outcome:
        """Return what an answer says.

        Args:
            attempt: makes the record of this attempt from its outcome.
        """
        try:
            completion = self._client.completion(line, with_format=sent.mode != "text")
        except FormatRefused as refusal:
            return self._simpler(sent, str(refusal), attempt)
        except RequestFailed as failure:
            return self.unanswered(sent, failure.reason, attempt, again=failure.again)
        except Unavailable as error:
            outcome = self.unanswered(sent, error.message, attempt, again=False)
            outcome.unavailable = error
            return outcome
        usage = Usage(
            calls=1,
            input_tokens=completion.input_tokens,
            output_tokens=completion.output_tokens,
            cached_input_tokens=completion.cached_input_tokens,
            cost_usd=completion.cost_usd,
        )
        try:
            text = _complete_text(completion)
        except RequestFailed as failure:
            return self.unanswered(
                sent, failure.reason, attempt, again=failure.again, usage=usage, reply=failure.reply
            )
        try:
            found = read(sent.asked, text)
        except ReplyError as error:
            if sent.tries > 0:
                more = replace(
                    self._again(sent, attempt(f"the reply could not be used: {error}"), usage),
                    wrong=str(error), reply=kept(text),
                )  # fmt: skip
                return Outcome(again=more, usage=usage)
            reason = f"the reply did not fit the policy{', twice' if sent.wrong else ''}: {error}"
            return self.unanswered(sent, reason, attempt, again=False, usage=usage, reply=text)
        return self._answered(sent, found, completion, text, usage, attempt(""))

    def unanswered(
        self,
        sent: Sent,
        reason: str,
        attempt: Callable[[str], Attempt],
        *,
        again: bool,
        usage: Usage = _UNPAID,
        reply: str = "",
    ) -> Outcome:
        """Return the outcome of a request without a usable answer: it is asked again, or its questions failed."""
        if again and sent.tries > 0:
            return Outcome(again=self._again(sent, attempt(reason), usage), usage=usage)
        said = f"{reason} ({len(sent.attempts) + 1} attempts)" if sent.attempts and again else reason
        record = (*sent.attempts, attempt(reason))
        shares = shared(plus(sent.spent, usage), len(sent.keys))
        parts = [
            (key, self._part(sent, question, question.failed(said), share, reply or sent.reply, key, record))
            for key, question, share in zip(sent.keys, sent.asked.questions, shares, strict=True)
        ]
        return Outcome(parts, usage=usage)

    def _answered(
        self, sent: Sent, found: Mapping[str, tuple[Judgement, ...]], completion: Completion, text: str,
        usage: Usage, last: Attempt,
    ) -> Outcome:  # fmt: skip
        outcome = Outcome(usage=usage)
        record = (*sent.attempts, last)
        shares = shared(plus(sent.spent, usage), len(sent.keys))
        raws = _divided(text, sent.asked.labels)
        left: list[int] = []
        for place, (key, question) in enumerate(zip(sent.keys, sent.asked.questions, strict=True)):
            judgements = found[question.pair.id]
            if sent.tries > 0 and any(judgement.failed for judgement in judgements):
                left.append(place)  # its part of the reply does not fit: it is asked about again, alone
                continue
            label = sent.asked.labels[place]
            judgements = self._with_probabilities(judgements, completion, text, label)
            part = self._part(sent, question, judgements, shares[place], raws[place], key, record)
            outcome.parts.append((key, part))
        if left:
            spent = NOTHING
            for place in left:
                spent = plus(spent, shares[place])
            outcome.again = replace(
                sent,
                asked=JudgeRequest(tuple(sent.asked.questions[place] for place in left)),
                keys=tuple(sent.keys[place] for place in left),
                tries=sent.tries - 1, spent=spent, attempts=record, wrong="", reply="",
            )  # fmt: skip
        return outcome

    def _again(self, sent: Sent, attempt: Attempt, usage: Usage) -> Sent:
        spent = plus(sent.spent, usage)
        return replace(sent, tries=sent.tries - 1, spent=spent, attempts=(*sent.attempts, attempt))

    def _simpler(self, sent: Sent, told: str, attempt: Callable[[str], Attempt]) -> Outcome:
        """Let what follows use a simpler response format; to have asked in one that is unknown is no try."""
        if sent.mode == _MODES[-1]:
            return self.unanswered(sent, told, attempt, again=False)
        if sent.mode == self.response_mode:
            self.response_mode = _MODES[_MODES.index(sent.mode) + 1]
            _log.warning(
                "%s does not support response_format %s for %s (%s); the rest of the run uses %s.",
                self._client.name, sent.mode, self._client.model, told, self.response_mode,
            )  # fmt: skip
        again = self._again(sent, attempt(told), _UNPAID)
        return Outcome(again=replace(again, tries=sent.tries), usage=_UNPAID)

    def _part(
        self, sent: Sent, question: Question, judgements: tuple[Judgement, ...], usage: Usage, raw: str,
        key: str, attempts: tuple[Attempt, ...],
    ) -> Verdict:  # fmt: skip
        # As in the other delivery: with several questions a pair each has its own reply, and none is kept twice.
        reply, own = kept(raw), question.sheet.mode.scope == "dimension"
        trace = Trace(
            dimensions=question.dimensions,
            repeat=self._repeat,
            key=key,
            response_mode=sent.mode,
            together=len(sent.keys),
            attempts=attempts,
            raw=reply if own else "",
        )
        return Verdict(
            pair_id=question.pair.id,
            judgements=judgements,
            usage=usage,
            raw="" if own else reply,
            traces=(trace,),
        )

    def _with_probabilities(
        self, judgements: tuple[Judgement, ...], completion: Completion, text: str, label: str
    ) -> tuple[Judgement, ...]:
        if self._client.params.get("logprobs") is not True:
            return judgements
        try:
            return with_probabilities(self._policy, judgements, completion.logprobs, text, label=label)
        except NoProbabilities as problem:
            if not self._told_of_none:
                self._told_of_none = True
                _log.warning(
                    "%s: no probabilities for %s, perhaps in the whole run; its grades stay. %s",
                    self._client.name, self._client.model, problem,
                )  # fmt: skip
            return judgements

    def _form(self, request: JudgeRequest) -> Form:
        place = (request.sheet, request.labels)
        if place not in self._forms:
            self._forms[place] = Form("grades", request.schema)
        return self._forms[place]


@lru_cache(maxsize=64)
def _dumped_system(text: str) -> str:
    return _dumped({"role": "system", "content": text})


def attempt_at(at: datetime, seconds: float) -> Callable[[str], Attempt]:
    """Return what makes the record of an attempt in a batch that began ``at`` and took ``seconds``."""
    return lambda outcome: Attempt(at=at, seconds=seconds, outcome=outcome)
