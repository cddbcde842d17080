"""A run in another mode than the default: its questions looked up, put to calls, kept one by one, joined to pairs."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from workbench.golden import NOT_GRADED, Pair
from workbench.judges.asking import KEPT_OF_REPLY, Asker, Bill, Form
from workbench.judges.cache import QuestionKeys, VerdictCache
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
        cache: VerdictCache | None,
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

    def known(self, pairs: Sequence[Pair], left: list[Pair]) -> Iterator[Verdict]:
        """Yield the verdicts of pairs whose every answer is in the cache; the others are appended to ``left``.

        They come first, so that while calls are made, no more than a few pairs are held in part.
        """
        different = list({pair.id: pair for pair in pairs}.values())
        if self._cache is None:
            left.extend(different)
            return
        asked = questions(self._policy, different, self._mode, repeat=self._repeat)
        for _, group in groupby(asked, key=lambda question: question.pair.id):
            of_pair = list(group)
            parts = []
            for question in of_pair:
                part = self._known(question)
                if part is None:
                    left.append(question.pair)
                    break
                parts.append(part)
            else:
                yield joined(self._policy, parts)

    def requests(self, pairs: Sequence[Pair]) -> Iterator[JudgeRequest]:
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

    def _unknown(self, pairs: Sequence[Pair]) -> Iterator[Question]:
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
        return [
            Verdict(
                pair_id=question.pair.id,
                judgements=found[question.pair.id],
                usage=usage,
                raw=raw[:KEPT_OF_REPLY],
            )
            for question, usage, raw in zip(
                request.questions, shared(bill.usage(), len(request.questions)), raws, strict=True
            )
        ]


def _graded(parts: Sequence[Verdict]) -> set[str]:
    return {judgement.dimension for part in parts for judgement in part.judgements}


def _failed(verdict: Verdict) -> bool:
    return any(judgement.failed for judgement in verdict.judgements)


def _after(request: JudgeRequest, first: Verdict, second: Verdict | None) -> Verdict:
    """Return the second answer to a question, with what both took."""
    if second is None:
        return first
    both = joined(request.sheet.policy, [first, second]).usage
    return second.model_copy(update={"usage": both})


def _divided(raw: str, labels: Sequence[str]) -> list[str]:
    """Return each pair's part of a reply: kept whole for each, a reply about 20 pairs would take 20 times its room."""
    if len(labels) == 1:
        return [raw]
    data = parse_object(raw)
    return [
        json.dumps({label: data[label]}, ensure_ascii=False) if label in data else raw for label in labels
    ]
