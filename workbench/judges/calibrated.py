"""A judge whose probabilities are calibrated on the dev labels; its grades stay as they are."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from workbench.calibration import LEAST, METHODS, CrossFitted, Method, Unfit, cross_fitted, stacked, usable
from workbench.errors import BadInput
from workbench.golden import LABEL_COLUMNS, Pair, settle
from workbench.identity import content_hash
from workbench.judges.members import combined, failed, reason_of, unfinished, whole
from workbench.policy import Dimension, Policy
from workbench.run import Charged, Judge, JudgeIdentity, Judgement, Usage, Verdict

_log = logging.getLogger(__name__)
_REMEDY = (
    "Ask it for log-probabilities (logprobs: true, top_logprobs: 20) or for several answers (repeats), or take it "
    "without calibration."
)
_NOTHING = Usage(cost_usd=0.0)  # known, not a guess: it was told before


@dataclass
class _Learned:
    """What was learnt under one policy, and what the labelled dev pairs answered."""

    maps: Mapping[
        str, CrossFitted
    ]  # dimension -> maps; dimensions that cannot be calibrated are not among them
    answers: dict[str, Verdict]  # labelled dev pair -> the judge's whole verdict
    told: set[str] = field(default_factory=set)  # pairs whose usage has been yielded


class CalibratedJudge:
    """Another judge with truer probabilities; satisfies :class:`workbench.run.Judge`.

    The labelled dev pairs are asked about first, all of them, whichever pairs are wanted: the maps of
    :mod:`workbench.calibration` are fitted on them, dimension by dimension. A pair of a labelled query is calibrated
    by a map that saw no label of its query, every other pair by the map of all. So a run that goes on asks about the
    labelled dev pairs again, and a judge with a verdict cache answers without being paid again; what they took is
    told with the first verdict, where they are not among the pairs wanted.

    Grade, reason and citations are the judge's own; only ``probabilities`` and ``expected`` change. A dimension that
    cannot be calibrated keeps its probabilities, which is logged once with the reason; nothing is calibrated by a
    guess.
    """

    def __init__(
        self, judge: Judge, *, labels: pd.DataFrame, dev_pairs: Sequence[Pair], method: Method = "temperature"
    ) -> None:
        """Take the judge and what it is calibrated on; nothing is asked before the first :meth:`grade`.

        Args:
            labels: ``LABEL_COLUMNS`` of the dev split only; a label of the holdout must not be among them. They
                settle by majority.
            dev_pairs: at least every labelled pair; pairs without labels are ignored.

        Raises:
            BadInput: for a method that is not known, and without labels.
        """
        if method not in METHODS:
            raise BadInput(f"'{method}' is no way to calibrate.", f"Choose {' or '.join(METHODS)}.")
        missing = [column for column in LABEL_COLUMNS if column not in labels.columns]
        if missing:
            raise BadInput(f"The labels have no column '{missing[0]}'.", "Give a table of labels.")
        if labels.empty:
            raise BadInput(
                f"{judge.identity.name} is to be calibrated on dev labels, and there are none.",
                f"Label at least {LEAST[method]} dev pairs a dimension, or take the judge without calibration.",
            )
        known = set(labels["pair_id"])
        self._judge, self._method = judge, method
        self._dev = list({pair.id: pair for pair in dev_pairs if pair.id in known}.values())
        ids = [pair.id for pair in self._dev]
        self._settled = {key: settle(labels, key, ids) for key in sorted(set(labels["dimension"]))}
        self._labels_hash = content_hash(
            "labels",
            {
                key: sorted([pair_id, grade] for pair_id, grade in zip(ids, grades.tolist(), strict=True))
                for key, grades in self._settled.items()
            },
        )
        self._learned: dict[str, _Learned] = {}

    @property
    def identity(self) -> JudgeIdentity:
        """The judge's identity, the method, and the content of the settled labels."""
        inner = self._judge.identity
        params = {
            "judge": inner.model_dump(mode="json"),
            "method": self._method,
            "labels": self._labels_hash,
        }
        return JudgeIdentity(kind="calibrated", name=f"{inner.name}, calibrated", params=params)

    def charge(self, usage: Usage) -> None:
        """Count against the judge's caps, where it has some, what the run had spent before."""
        if isinstance(self._judge, Charged):
            self._judge.charge(usage)

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        """Yield one verdict a labelled dev pair of ``pairs``, then the judge's verdicts about the others.

        Raises:
            BadInput: where there are too few labels for every dimension, before anything is asked; where the judge
                gives no probabilities; and where no dimension can be calibrated.
            CapReached, WorkbenchError: those of the judge; what was paid for is yielded before.
        """
        if not pairs:
            return
        learned = self._learned.get(policy.content_hash)
        if learned is None:
            self._check_labels(policy)
            answers: dict[str, Verdict] = {}
            try:
                await self._ask(policy, answers)
                learned = _Learned(self._fit(policy, answers), answers)
            except Exception as problem:
                for verdict in _paid(policy, pairs, answers, reason_of(problem)):
                    yield verdict
                raise
            self._learned = {policy.content_hash: learned}  # only the newest: a run has one policy
        owed = [
            learned.answers[pair_id]
            for pair_id in learned.answers.keys() - learned.told - {pair.id for pair in pairs}
            if learned.answers[pair_id].usage.calls
        ]
        learned.told |= {verdict.pair_id for verdict in owed}
        async with aclosing(self._verdicts(policy, pairs, learned)) as verdicts:
            async for pair, verdict in verdicts:
                if owed:
                    verdict, owed = _with_usage_of(policy, verdict, owed), []
                yield self._calibrated(policy, learned, pair, verdict)

    async def _verdicts(
        self, policy: Policy, pairs: Sequence[Pair], learned: _Learned
    ) -> AsyncGenerator[tuple[Pair, Verdict], None]:
        """Yield the judge's own verdicts, the labelled dev pairs first."""
        rest: dict[str, Pair] = {}
        for pair in pairs:
            if pair.id not in learned.answers:
                rest[pair.id] = pair
                continue
            verdict = learned.answers[pair.id]
            if pair.id in learned.told:
                verdict = verdict.model_copy(update={"usage": _NOTHING, "traces": ()})
            learned.told.add(pair.id)
            yield pair, verdict
        async with aclosing(self._judge.grade(policy, list(rest.values()))) as verdicts:  # type: ignore[type-var]
            async for verdict in verdicts:
                if verdict.pair_id in rest:
                    yield rest[verdict.pair_id], verdict

    def _check_labels(self, policy: Policy) -> None:
        """Refuse before anything is paid for where no dimension has labels enough."""
        counts = {d.key: int(np.isin(self._grades(d), d.scale).sum()) for d in policy.dimensions}
        if max(counts.values(), default=0) < LEAST[self._method]:
            key = max(counts, key=lambda key: counts[key])
            raise BadInput(
                f"Calibration ({self._method}) needs {LEAST[self._method]} labelled dev pairs in a dimension of "
                f"{policy.label}, and there are at most {counts[key]} ({key}).",
                "Label more dev pairs"
                + (", calibrate by temperature," if self._method == "isotonic" else "")
                + " or take the judge without calibration.",
            )

    async def _ask(self, policy: Policy, answers: dict[str, Verdict]) -> None:
        """Let the judge answer about the labelled dev pairs; stop soon where it gives no probabilities."""
        parts: dict[str, list[Verdict]] = {pair.id: [] for pair in self._dev}
        graded, seen = 0, False
        async with aclosing(self._judge.grade(policy, self._dev)) as verdicts:  # type: ignore[type-var]
            async for verdict in verdicts:
                if verdict.pair_id not in parts:
                    continue
                mine = parts[verdict.pair_id]
                mine.append(verdict)
                answers[verdict.pair_id] = whole(policy, mine, verdict.pair_id)
                given = [answer for answer in verdict.judgements if answer.grade >= 0]
                graded += bool(given)
                seen = seen or any(answer.probabilities is not None for answer in given)
                if graded == LEAST["temperature"] and not seen:
                    break
        if graded and not seen:
            raise BadInput(
                f"{self._judge.identity.name} gives no probabilities, so there is nothing to calibrate.",
                _REMEDY,
            )
        for pair_id, mine in parts.items():
            answers[pair_id] = whole(policy, mine, pair_id)

    def _fit(self, policy: Policy, answers: Mapping[str, Verdict]) -> dict[str, CrossFitted]:
        queries = [pair.query_id for pair in self._dev]
        maps: dict[str, CrossFitted] = {}
        reasons: dict[str, str] = {}
        given = [{j.dimension: j for j in answers[pair.id].judgements} for pair in self._dev]
        for dimension in policy.dimensions:
            grades = self._grades(dimension)
            labels = np.where(np.isin(grades, dimension.scale), grades - dimension.scale[0], -1)
            said = stacked([_stated(one.get(dimension.key)) for one in given], len(dimension.scale))
            found = cross_fitted(self._method, said, labels, queries)
            if isinstance(found, Unfit):
                reasons[dimension.key] = found.reason
            else:
                maps[dimension.key] = found
        if not maps:
            told = "; ".join(f"{key}: {reason}" for key, reason in reasons.items())
            raise BadInput(
                f"No dimension of {self._judge.identity.name} can be calibrated. {told}",
                "Take the judge without calibration, or label more dev pairs.",
            )
        for key, reason in reasons.items():
            _log.warning("%s: '%s' keeps its probabilities. %s", self.identity.name, key, reason)
        return maps

    def _grades(self, dimension: Dimension) -> npt.NDArray[np.int_]:
        """Return the settled labels of the labelled dev pairs, shape (pairs,); levels of older versions among them."""
        none = np.full(len(self._dev), -1)
        return np.asarray(self._settled.get(dimension.key, none), dtype=np.int_)

    def _calibrated(self, policy: Policy, learned: _Learned, pair: Pair, verdict: Verdict) -> Verdict:
        scales = {dimension.key: dimension.scale for dimension in policy.dimensions}
        answers = tuple(
            _mapped(answer, learned.maps[answer.dimension], pair.query_id, scales[answer.dimension])
            if answer.dimension in learned.maps
            else answer
            for answer in verdict.judgements
        )
        return verdict.model_copy(update={"judgements": answers})


def _stated(answer: Judgement | None) -> tuple[float, ...] | None:
    return answer.probabilities if answer is not None and answer.grade >= 0 else None


def _mapped(answer: Judgement, maps: CrossFitted, query: str, scale: Sequence[int]) -> Judgement:
    """Return an answer with calibrated probabilities; one without any, or with nonsense, as it is."""
    if not usable(answer.probabilities, len(scale)):
        return answer
    (row,) = maps.of(query).apply(stacked([answer.probabilities], len(scale)))
    expected = float(row @ np.asarray(scale))
    return answer.model_copy(update={"probabilities": tuple(row.tolist()), "expected": expected})


def _with_usage_of(policy: Policy, verdict: Verdict, others: Sequence[Verdict]) -> Verdict:
    """Return ``verdict`` with the usage of others added: what they took is told here and nowhere else."""
    usage = combined(policy, [whole(policy, [verdict], verdict.pair_id), *others], ()).usage
    return verdict.model_copy(update={"usage": usage})


def _paid(
    policy: Policy, pairs: Sequence[Pair], answers: Mapping[str, Verdict], reason: str
) -> list[Verdict]:
    """Return failed verdicts about ``pairs`` that tell what was paid for before the judge stopped.

    What was paid for other dev pairs is told with the first of ``pairs``.
    """
    wanted = {pair.id for pair in pairs}
    own = [verdict for pair_id, verdict in answers.items() if pair_id in wanted]
    others = [verdict for pair_id, verdict in answers.items() if pair_id not in wanted]
    found = [verdict for one in own if (verdict := unfinished(policy, [one], reason)) is not None]
    told = [verdict for verdict in others if verdict.usage.calls]
    if not told:
        return found
    if not found:
        nothing = tuple(failed(key, reason) for key in policy.keys)
        found = [Verdict(pair_id=pairs[0].id, judgements=nothing, usage=_NOTHING)]
    return [_with_usage_of(policy, found[0], told), *found[1:]]
