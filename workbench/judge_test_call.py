"""Whether a judge works: one small question through the stack that runs use, and how that went."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd

from workbench.errors import NotFound, Unavailable, WorkbenchError
from workbench.golden import LABEL_COLUMNS, Pair, typed_labels
from workbench.identity import Value
from workbench.judge_choice import filled, judge_name
from workbench.judges.build import build_judge
from workbench.judges.inputs import Inputs
from workbench.judges.keys import one_line, scrub
from workbench.judges.one_call import ask_once
from workbench.policy import Policy
from workbench.run import (
    BasicSpec,
    CalibratedSpec,
    CascadeSpec,
    EnsembleSpec,
    Judgement,
    JudgeSpec,
    LlmSpec,
    RecordedSpec,
    Verdict,
)
from workbench.workspace import Workspace

LONGEST_S = 30.0
"""Seconds that a test call may take."""

_TINY = Policy.model_validate(
    {
        "policy": "test-call",
        "version": 1,
        "title": "Is the page about the question?",
        "pair": {
            "query": {"name": "question", "fields": ["text"]},
            "document": {"name": "page", "fields": ["title"]},
        },
        "dimensions": [
            {
                "key": "topic",
                "title": "Topic",
                "question": "Is the page about what is asked?",
                "levels": [
                    {"value": 0, "name": "No", "criteria": "It is about something else."},
                    {"value": 1, "name": "In part", "criteria": "It touches on it."},
                    {"value": 2, "name": "Yes", "criteria": "It is about it."},
                ],
            }
        ],
        "overall": {"cut_points": [0.5, 1.5]},
    }
)
_QUESTION = Pair(query={"text": "How is green tea brewed?"}, document={"title": "Brewing green tea"})


class TestOutcome(Value):
    """How a test call ended. ``said`` is one sentence for people; figures are None or "" where there are none."""

    __test__: ClassVar[bool] = False  # no class of tests, whatever its name

    judge: str
    works: bool
    at: datetime
    said: str
    hint: str = ""
    grade: int | None = None
    seconds: float = 0.0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    response_mode: str = ""  # in force after fallbacks
    logprobs: Literal["", "given", "not given"] = ""  # "" where they were not asked for
    model: str = ""  # as the server calls it
    members: tuple[TestOutcome, ...] = ()


def test_call(workspace: Workspace, spec: JudgeSpec) -> TestOutcome:
    """Ask a judge one small question and say how that went; at most :data:`LONGEST_S` and a little.

    A model is asked about a tiny policy of our own, a checkpoint about the policy it was trained for, the baseline
    about a labelled dev pair. What consists of several is asked member by member, all at one time; what is calibrated
    is asked as it is without. Nothing is looked up in the verdict cache and nothing kept there. Problems are outcomes,
    not errors.
    """
    started = time.monotonic()
    try:
        parts = list(leaves(filled(workspace, spec)))
    except WorkbenchError as error:
        return _failed(judge_name(spec), error, started)
    calls = [_Call(workspace, part) for part in parts]
    outcomes = tuple(call.outcome() for call in calls)
    if len(outcomes) == 1 and not isinstance(spec, EnsembleSpec | CascadeSpec):
        return outcomes[0]
    bad = [outcome for outcome in outcomes if not outcome.works]
    costs = [outcome.cost_usd for outcome in outcomes]
    known = [cost for cost in costs if cost is not None]
    said = f"All {len(outcomes)} members answer."
    if bad:
        said = f"{bad[0].judge}: {bad[0].said}"
        if len(bad) > 1:
            said += f" {len(bad)} of {len(outcomes)} members do not answer."
    return TestOutcome(
        judge=judge_name(spec),
        works=not bad,
        at=datetime.now(UTC),
        said=said,
        hint=bad[0].hint if bad else "",
        seconds=time.monotonic() - started,
        calls=sum(outcome.calls for outcome in outcomes),
        input_tokens=sum(outcome.input_tokens for outcome in outcomes),
        output_tokens=sum(outcome.output_tokens for outcome in outcomes),
        cost_usd=sum(known) if len(known) == len(costs) else None,
        members=outcomes,
    )


def leaves(spec: JudgeSpec) -> Iterator[BasicSpec]:
    """Yield the judges that grade by themselves: this one, or those among its members."""
    if isinstance(spec, CalibratedSpec):
        yield from leaves(spec.judge)
    elif isinstance(spec, EnsembleSpec):
        for member in spec.members:
            yield from leaves(member)
    elif isinstance(spec, CascadeSpec):
        yield from leaves(spec.first)
        yield from leaves(spec.second)
    elif not isinstance(spec, RecordedSpec):
        yield spec


class _Call:
    """One judge at its question, in a thread: a judge that hangs must not hold up whoever waits for the outcome."""

    def __init__(self, workspace: Workspace, spec: BasicSpec) -> None:
        self._workspace, self._spec = workspace, spec
        self._name = judge_name(spec)
        self._started = time.monotonic()
        self._found: TestOutcome | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def outcome(self) -> TestOutcome:
        """Wait for the outcome, and no longer than a call may take."""
        left = LONGEST_S + 2 - (time.monotonic() - self._started)
        self._thread.join(max(left, 0.0))
        return self._found or _failed(self._name, _too_late(), self._started)

    def _run(self) -> None:
        try:
            # The thread has an event loop of its own: a page may be drawn within another one.
            self._found = asyncio.run(self._ask())
        except WorkbenchError as error:
            self._found = _failed(self._name, error, self._started)
        except TimeoutError:
            self._found = _failed(self._name, _too_late(), self._started)
        except Exception as error:
            told = Unavailable(f"The call met an error: {one_line(f'{type(error).__name__}: {error}')}.")
            self._found = _failed(self._name, told, self._started)

    async def _ask(self) -> TestOutcome:
        async with asyncio.timeout(LONGEST_S):
            if isinstance(self._spec, LlmSpec):
                return await self._ask_model(self._spec)
            return await self._grade(self._spec)

    async def _ask_model(self, spec: LlmSpec) -> TestOutcome:
        answer = await ask_once(spec, _TINY, _QUESTION, timeout_s=min(spec.timeout_s, LONGEST_S))
        (judgement,) = answer.judgements
        usage, seconds = answer.usage, time.monotonic() - self._started
        cost = f", ${usage.cost_usd:.4f}" if usage.cost_usd is not None else ""
        tokens = usage.input_tokens + usage.output_tokens
        notes = []
        if usage.calls > 1:
            notes.append(f"It took {usage.calls} requests.")
        if answer.response_mode != "json_schema":
            notes.append(f"The endpoint knows no json_schema: it is asked with {answer.response_mode}.")
        if answer.lacks_logprobs:
            notes.append(f"There are no probabilities: {answer.lacks_logprobs}")
        if spec.delivery == "batch":
            notes.append("This was an ordinary call; a batch takes up to 24 hours.")
        said = f"It answers: grade {judgement.grade} in {seconds:.1f} s with {tokens:,} tokens{cost}."
        asked = spec.params.get("logprobs") is True
        return TestOutcome(
            judge=self._name,
            works=True,
            at=datetime.now(UTC),
            said=" ".join([said, *notes]),
            grade=judgement.grade,
            seconds=seconds,
            calls=usage.calls,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=usage.cost_usd,
            response_mode=answer.response_mode,
            logprobs=("not given" if answer.lacks_logprobs else "given") if asked else "",
            model=answer.model,
        )

    async def _grade(self, spec: BasicSpec) -> TestOutcome:
        inputs, pair = _inputs(self._workspace, spec)
        with tempfile.TemporaryDirectory() as cache:
            judge = build_judge(spec, inputs, Path(cache))
            verdicts = [verdict async for verdict in judge.grade(inputs.policy, [pair])]
        judgement = _first_graded(verdicts)
        usage, seconds = verdicts[0].usage, time.monotonic() - self._started
        return TestOutcome(
            judge=self._name,
            works=True,
            at=datetime.now(UTC),
            said=f"It answers: grade {judgement.grade} on {judgement.dimension} in {seconds:.1f} s.",
            grade=judgement.grade,
            seconds=seconds,
            calls=usage.calls,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=usage.cost_usd,
        )


def _first_graded(verdicts: list[Verdict]) -> Judgement:
    judgements = [judgement for verdict in verdicts for judgement in verdict.judgements]
    for judgement in judgements:
        if not judgement.failed:
            return judgement
    reason = judgements[0].error if judgements else "there is no verdict"
    raise Unavailable(f"It gave no grade: {reason}.")


def _inputs(workspace: Workspace, spec: BasicSpec) -> tuple[Inputs, Pair]:
    """Return what a judge is asked about, and what it may learn from."""
    if spec.kind == "baseline":
        return _labelled(workspace)
    policy, pair = _TINY, _QUESTION
    if spec.kind == "checkpoint":
        record = workspace.store.checkpoint(spec.checkpoint).record
        policy = workspace.store.policy(str(record["policy"]), int(record["policy_version"]))
        layout = policy.pair
        pair = Pair(
            query=dict.fromkeys(layout.query.fields, "A test."),
            document=dict.fromkeys(layout.document.fields, "A test."),
        )
    nothing = typed_labels(pd.DataFrame(columns=LABEL_COLUMNS))
    return Inputs(policy, (pair,), {pair.id: "dev"}, nothing), pair


def _labelled(workspace: Workspace) -> tuple[Inputs, Pair]:
    store = workspace.store
    for name in store.golden_names():
        if not store.golden(name).snapshots:
            continue
        snapshot = store.snapshot(name)
        dev = snapshot.labels[snapshot.labels["pair_id"].map(snapshot.splits) == "dev"]
        if len(dev):
            pair = next(pair for pair in snapshot.pairs if snapshot.splits[pair.id] == "dev")
            return Inputs(store.policy(snapshot.policy), snapshot.pairs, snapshot.splits, dev), pair
    raise NotFound(
        "There is no golden set with dev labels for the baseline to learn from.",
        "Label pairs on the Label page and publish a golden set.",
    )


def _too_late() -> WorkbenchError:
    return Unavailable(
        f"There was no answer within {LONGEST_S:g} s.",
        "A model that is loaded first may answer the next time.",
    )


def _failed(judge: str, error: WorkbenchError, started: float) -> TestOutcome:
    return TestOutcome(
        judge=judge,
        works=False,
        at=datetime.now(UTC),
        said=scrub(error.message),
        hint=scrub(error.hint),
        seconds=time.monotonic() - started,
    )
