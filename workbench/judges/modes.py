"""A run in another mode than the default: its questions looked up, put to calls, kept one by one, joined to pairs."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from workbench.golden import NOT_GRADED, Pair
from workbench.judges.asking import Asker, Bill, Form, kept
from workbench.judges.cache import QuestionKeys, Verdicts
from workbench.judges.provider import RequestFailed
from workbench.policy import Policy
from workbench.prompt import parse_object
from workbench.prompt_mode import PromptMode
from workbench.prompt_modes import JudgeRequest, Question, grouped, joined, questions, read, shared
from workbench.prompt_sheet import Sheet
from workbench.run import CapReached, Judgement, Usage, Verdict

KeysOf = Callable[[str, dict[str, Any]], QuestionKeys]
"""(system message, parameters beside the judge's own) -> keys of the questions under that message."""
Completed = Callable[[tuple[Judgement, ...], Bill, str, str], tuple[Judgement, ...]]
"""(judgements, bill, reply, the pair's label in it) -> judgements with what the completion says beside the reply."""


@dataclass(frozen=True)
class Found:
    """An answer, and the key it is to be kept under; "" where it came from the cache or there is none."""

    verdict: Verdict
    key: str


class Parts:
    """The questions of one run, and the pairs whose questions are answered in part."""

    def __init__(
        self,
        policy: Policy,
        mode: PromptMode,
        *,
        asker: Asker,
        cache: Verdicts | None,
        keys_of: KeysOf,
        completed: Completed,
        capped: Callable[[CapReached], None],
        repeat: int,
    ) -> None:
        """Take what the judge has.

        Args:
            capped: told of a cap that was reached after a reply was paid for, which is then yielded as failed.
        """
        self._policy, self._mode, self._repeat = policy, mode, repeat
        self._asker, self._cache = asker, cache
        self._keys_of, self._completed, self._capped = keys_of, completed, capped
        self._keys: dict[Sheet, QuestionKeys] = {}
        self._forms: dict[tuple[Sheet, tuple[str, ...]], Form] = {}
        self._open: dict[str, list[Verdict]] = {}
        self._ready: deque[Verdict] = deque()

    def known(self, pairs: Sequence[Pair], left: bytearray) -> Iterator[Verdict]:
        """Yield the verdicts of pairs whose every answer is in the cache; mark the others in ``left``.

        They come first, so that while calls are made, no more than a few pairs are held in part; and no pair is held
        for later. Of a pair that is given twice the first place alone is marked.

        Args:
            left: one byte a pair, all 0; it is made 1 for those to ask about.
        """
        places: dict[str, int] = {}

        def different() -> Iterator[Pair]:
            for i, pair in enumerate(pairs):
                if places.setdefault(pair.id, i) == i:
                    yield pair

        if self._cache is None:
            for pair in different():
                left[places[pair.id]] = 1
            return
        asked = questions(self._policy, different(), self._mode, repeat=self._repeat)
        for pair_id, group in groupby(asked, key=lambda question: question.pair.id):
            parts = []
            for question in group:
                part = self._known(question)
                if part is None:
                    left[places[pair_id]] = 1
                    break
                parts.append(part)
            else:
                yield joined(self._policy, parts)

    def requests(self, pairs: Iterable[Pair]) -> Iterator[JudgeRequest]:
        """Yield the calls for what is not in the cache, in full calls wherever there is enough to fill them."""
        return grouped(self._unknown(pairs))

    async def answer(self, request: JudgeRequest) -> list[Found]:
        """Make one call, and one more for those of its pairs alone whose part of the reply cannot be used.

        Raises:
            CapReached: when nothing was sent because of it.
            WorkbenchError: when no request can succeed.
        """
        verdicts = await self._ask(request)
        again = tuple(q for q, verdict in zip(request.questions, verdicts, strict=True) if _failed(verdict))
        if 0 < len(again) < len(request.questions):
            try:
                more = await self._ask(JudgeRequest(again))
            except CapReached as reached:  # the first call is paid for, and most of it can be used
                self._capped(reached)
            else:
                second = {verdict.pair_id: verdict for verdict in more}
                verdicts = [_after(request, first, second.get(first.pair_id)) for first in verdicts]
        return [
            Found(verdict, self._key(question))
            for question, verdict in zip(request.questions, verdicts, strict=True)
        ]

    def add(self, part: Verdict) -> None:
        """Take the answer to one question."""
        parts = self._open.setdefault(part.pair_id, [])
        parts.append(part)
        if len(_graded(parts)) == len(self._policy.keys):
            self._ready.append(joined(self._policy, self._open.pop(part.pair_id)))

    def ready(self) -> Iterator[Verdict]:
        """Yield the pairs that are complete now, each once."""
        while self._ready:
            yield self._ready.popleft()

    def rest(self, reason: str) -> Iterator[Verdict]:
        """Yield the pairs that were paid for in part, when the run ends before it is done.

        What is missing is failed for ``reason``, and so is asked for when the run goes on; what they took must
        count, and their answers are in the cache. Pairs that took nothing are left out.
        """
        for pair_id, parts in self._open.items():
            if any(part.usage.calls for part in parts):
                missing = [key for key in self._policy.keys if key not in _graded(parts)]
                judgements = tuple(Judgement(dimension=k, grade=NOT_GRADED, error=reason) for k in missing)
                nothing = Usage(cost_usd=0.0)  # known, not a guess: it was not sent
                yield joined(
                    self._policy, [*parts, Verdict(pair_id=pair_id, judgements=judgements, usage=nothing)]
                )
        self._open.clear()

    def _unknown(self, pairs: Iterable[Pair]) -> Iterator[Question]:
        for question in questions(self._policy, pairs, self._mode, repeat=self._repeat):
            part = self._known(question)
            if part is None:
                yield question
            else:
                self.add(part)

    def _known(self, question: Question) -> Verdict | None:
        found = self._cache.get(self._key(question)) if self._cache is not None else None
        return found.model_copy(update={"pair_id": question.pair.id}) if found is not None else None

    def _key(self, question: Question) -> str:
        if self._cache is None:
            return ""
        sheet = question.sheet
        if sheet not in self._keys:
            self._keys[sheet] = self._keys_of(sheet.system, sheet.key_params)
        return self._keys[sheet].key(question.user)

    def _form(self, request: JudgeRequest) -> Form:
        # One object a form: the endpoint serialises each once.
        place = (request.sheet, request.labels)
        if place not in self._forms:
            self._forms[place] = Form("grades", request.schema)
        return self._forms[place]

    async def _ask(self, request: JudgeRequest) -> list[Verdict]:
        """Return one verdict a question, in their order; each has its share of what the call took."""
        bill = Bill()
        raws: Sequence[str]
        try:
            found, raw = await self._asker.answer(
                request.messages,
                self._form(request),
                lambda text: read(request, text),
                bill,
                again=request.again,
            )
        except RequestFailed as failure:
            found = {q.pair.id: q.failed(failure.reason) for q in request.questions}
            raws = [failure.reply] * len(request.questions)
        except CapReached as reached:
            if not bill.answers:
                raise
            self._capped(reached)
            found = {q.pair.id: q.failed(reached.message) for q in request.questions}
            raws = [bill.answers[-1].text] * len(request.questions)
        else:
            for question, label in zip(request.questions, request.labels, strict=True):
                judgements = found[question.pair.id]
                found[question.pair.id] = self._completed(judgements, bill, raw, label)
            raws = _divided(raw, request.labels)
        shares = shared(bill.usage(), len(request.questions))
        return [
            self._verdict(question, found[question.pair.id], usage, kept(raw), bill, len(shares))
            for question, usage, raw in zip(request.questions, shares, raws, strict=True)
        ]

    def _verdict(
        self,
        question: Question,
        judgements: tuple[Judgement, ...],
        usage: Usage,
        raw: str,
        bill: Bill,
        together: int,
    ) -> Verdict:
        # With several questions a pair each has its own reply, and the joined verdict has none: none is kept twice.
        own = self._mode.scope == "dimension"
        trace = bill.trace(
            question.dimensions,
            key=self._key(question),
            repeat=self._repeat,
            together=together,
            raw=raw if own else "",
        )
        wrong = next((judgement.error for judgement in judgements if judgement.failed), "")
        if wrong and trace.attempts and not trace.attempts[-1].outcome:  # the others of the call can be used
            last = trace.attempts[-1].model_copy(update={"outcome": wrong})
            trace = trace.model_copy(update={"attempts": (*trace.attempts[:-1], last)})
        return Verdict(
            pair_id=question.pair.id,
            judgements=judgements,
            usage=usage,
            raw="" if own else raw,
            traces=(trace,),
        )


def whole(found: Sequence[Found], parts: Parts | None) -> Iterator[Verdict]:
    """Yield the verdicts about whole pairs that ``found`` holds, or completes; without ``parts``, each is one."""
    for each in found:
        if parts is None:
            yield each.verdict
        else:
            parts.add(each.verdict)
    if parts is not None:
        yield from parts.ready()


def _graded(parts: Sequence[Verdict]) -> set[str]:
    return {judgement.dimension for part in parts for judgement in part.judgements}


def _failed(verdict: Verdict) -> bool:
    return any(judgement.failed for judgement in verdict.judgements)


def _after(request: JudgeRequest, first: Verdict, second: Verdict | None) -> Verdict:
    """Return the second answer to a question, with what both took and the attempts of both."""
    if second is None:
        return first
    both = joined(request.sheet.policy, [first, second]).usage
    attempts = tuple(attempt for verdict in (first, second) for attempt in verdict.traces[0].attempts)
    trace = second.traces[0].model_copy(update={"attempts": attempts})
    return second.model_copy(update={"usage": both, "traces": (trace,)})


def _divided(raw: str, labels: Sequence[str]) -> list[str]:
    """Return each pair's part of a reply: kept whole for each, a reply about 20 pairs would take 20 times its room."""
    if len(labels) == 1:
        return [raw]
    data = parse_object(raw)
    return [
        json.dumps({label: data[label]}, ensure_ascii=False) if label in data else raw for label in labels
    ]
