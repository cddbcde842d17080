"""The engine of a pipeline's run: how far each step is, starting what is ready, and driving a run to its end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from workbench import jobs
from workbench.errors import WorkbenchError
from workbench.pipeline import EvaluateStep, PlannedStep, Step, StepState, plan
from workbench.pipeline_records import (
    RunRecord,
    StepRecord,
    driven,
    keep_step,
    locked,
    read_run,
    write_run,
)
from workbench.pipeline_steps import Given, evaluate, job_of, outcome, prepare
from workbench.pipeline_steps import start as start_step
from workbench.workspace import Workspace

EVERY_S = 2.0
_MOST_TRIES = 2
"""Drivers that may end within one evaluation before it counts as failed."""

RunStatus = Literal["running", "finished", "failed", "stopping", "stopped"]


@dataclass(frozen=True)
class PipelineRun:
    """A run of a pipeline and how far it is."""

    record: RunRecord
    steps: tuple[PlannedStep, ...]
    driven: bool  # its driver is at work

    @property
    def id(self) -> str:
        """Its id."""
        return self.record.id

    @property
    def status(self) -> RunStatus:
        """Where it is as a whole."""
        states = {each.status for each in self.steps}
        if states == {"done"}:
            return "finished"
        if self.record.stopped_by:
            return "stopping" if "running" in states else "stopped"
        if self.record.broken:
            return "failed"
        return "running" if states & {"running", "ready", "waiting"} else "failed"

    @property
    def reason(self) -> str:
        """Why it cannot go on; "" where it can or has ended well."""
        failed = [f"{each.step.step} failed: {each.reason}" for each in self.steps if each.status == "failed"]
        return "; ".join(failed) or self.record.broken


def given_of(workspace: Workspace, record: RunRecord) -> Given:
    """Return what a run is made of: its recipes as they were at its start, under its policy version."""
    policy = workspace.store.policy(record.pipeline.policy, record.policy_version)
    return Given(record.pipeline, policy, Path(record.folder))


def advance(workspace: Workspace, run_id: str) -> PipelineRun:
    """Note what ended and start what is ready; evaluations are left to :func:`drive`. It may be repeated at any moment.

    Two processes that call it at once take turns, and a step's job has an id of the run and the step, so no step starts
    twice.

    Raises:
        NotFound: there is no such run.
    """
    jobs.collect(workspace)
    with locked(workspace, run_id):
        record = read_run(workspace, run_id)
        look = Look(workspace, record, start=True)
        steps = plan(record.pipeline, look)
        if look.steps != record.steps:
            record = record.model_copy(update={"steps": look.steps})
            write_run(workspace, record)
    return PipelineRun(record, steps, driven(workspace, run_id))


def drive(workspace: Workspace, run_id: str, *, every_s: float = EVERY_S) -> None:
    """Do a run to its end, as its driver: the caller holds the driver's lock."""
    _orphaned_evaluations(workspace, run_id)
    try:
        while True:
            found = advance(workspace, run_id)
            ready = [each.step for each in found.steps if each.status == "ready"]
            if ready and not found.record.stopped_by:
                _evaluate(workspace, run_id, ready[0])
            elif any(each.status == "running" for each in found.steps):
                time.sleep(every_s)
            else:
                return
    except Exception as error:
        with locked(workspace, run_id):
            broken = f"the driver gave up: {type(error).__name__}: {error}"
            write_run(workspace, read_run(workspace, run_id).model_copy(update={"broken": broken}))
        raise


class Look:
    """What is known of a step in a run; with ``start``, what is ready is started and noted in ``steps``."""

    def __init__(self, workspace: Workspace, record: RunRecord, *, start: bool = False) -> None:
        self.steps = dict(record.steps)
        self._workspace, self._record, self._start = workspace, record, start

    def __call__(self, step: Step, made: Mapping[str, str]) -> StepState:
        known = self.steps.get(step.step)
        if known is None or _waits_again(step, known):
            if self._record.stopped_by:
                return StepState("blocked", reason=f"stopped by {self._record.stopped_by}")
            return self._begun(step, made) if self._start else StepState("ready")
        if known.what:
            return StepState("done", known.what, known.reused, key=known.key)
        if known.job and jobs.exists(self._workspace, known.job):
            return self._at_work(step, known)
        if known.error:
            return StepState("failed", reason=known.error, key=known.key)
        return StepState("running", reason=known.progress, key=known.key)

    def _begun(self, step: Step, made: Mapping[str, str]) -> StepState:
        """Skip a step whose product is there, else start it."""
        record, now = self._record, datetime.now(UTC)
        given = given_of(self._workspace, record)
        key = ""
        try:
            prepared = prepare(self._workspace, given, step, made)
            key = prepared.key
            if prepared.found and step.step not in record.force:
                self.steps[step.step] = StepRecord(key=key, what=prepared.found, reused=True, ended_at=now)
                return StepState("done", prepared.found, reused=True, key=key)
            if isinstance(step, EvaluateStep):
                return StepState("ready", key=key)
            job_key = f"{record.id}-{step.step}"
            start_step(
                self._workspace, given, prepared.step, author=record.author, key=job_key,
                labels={"pipeline": record.id, "step": step.step},
            )  # fmt: skip
        except WorkbenchError as error:
            job = job_of(step, f"{record.id}-{step.step}")
            job = job if jobs.exists(self._workspace, job) else ""
            failed = StepRecord(key=key, job=job, error=str(error), started_at=now, ended_at=now)
            self.steps[step.step] = failed
            return StepState("failed", reason=str(error), key=key)
        self.steps[step.step] = StepRecord(key=key, job=job_of(step, job_key), started_at=now)
        return StepState("running", reason="queued", key=key)

    def _at_work(self, step: Step, known: StepRecord) -> StepState:
        """Return what a step's job says: it may also have been resumed by itself."""
        now = jobs.state(self._workspace, self._workspace.store.job(known.job))
        if now.status in ("queued", "running"):
            return StepState("running", reason=jobs.describe_state(now), key=known.key)
        if now.status != "finished":
            why = now.error or ("it was stopped" if now.status == "cancelled" else now.status)
            return StepState("failed", reason=why, key=known.key)
        if not self._start:
            return StepState("running", reason="finishing", key=known.key)
        try:
            what = outcome(self._workspace, given_of(self._workspace, self._record), step, known.job)
        except WorkbenchError as error:
            return StepState("failed", reason=str(error), key=known.key)
        self.steps[step.step] = known.model_copy(update={"what": what, "ended_at": datetime.now(UTC)})
        return StepState("done", what, key=known.key)


class _Stopped(Exception):
    """Somebody stopped the run while its driver evaluated."""


class _Progress:
    """Notes how far an evaluation is, and ends it where the run was stopped."""

    def __init__(self, workspace: Workspace, run_id: str, step: str) -> None:
        self._workspace, self._run, self._step, self._at = workspace, run_id, step, 0.0

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Note it once in a while."""
        if time.monotonic() - self._at < EVERY_S:
            return
        self._at = time.monotonic()
        if read_run(self._workspace, self._run).stopped_by:
            raise _Stopped
        keep_step(
            self._workspace, self._run, self._step, progress=f"{done:,} of {total:,} pairs {note}".strip()
        )

    def metric(self, values: Mapping[str, float | int | str | None]) -> None:
        """Evaluations keep their figures themselves."""

    def log(self, line: str) -> None:
        """Append to the driver's log."""
        print(line, flush=True)

    def stopping(self) -> bool:
        """Whether the run was stopped."""
        return bool(read_run(self._workspace, self._run).stopped_by)

    def stopping_after_epoch(self) -> bool:
        """An evaluation has no epochs."""
        return False


def _evaluate(workspace: Workspace, run_id: str, step: Step) -> None:
    """Evaluate a checkpoint in this process; nobody else does, since this process is the driver."""
    record = read_run(workspace, run_id)
    made = {name: each.what for name, each in record.steps.items() if each.what}
    tries = record.steps.get(step.step, StepRecord()).tries + 1
    keep_step(
        workspace, run_id, step.step, tries=tries, started_at=datetime.now(UTC), error="", progress="starting"
    )
    try:
        prepared = prepare(workspace, given_of(workspace, record), step, made)
        assert isinstance(prepared.step, EvaluateStep)
        keep_step(workspace, run_id, step.step, key=prepared.key)
        what = evaluate(
            workspace, prepared.step, author=record.author, reporter=_Progress(workspace, run_id, step.step)
        )
    except WorkbenchError as error:
        keep_step(workspace, run_id, step.step, error=str(error), ended_at=datetime.now(UTC))
    except _Stopped:
        keep_step(workspace, run_id, step.step, progress="", tries=0)
    else:
        keep_step(workspace, run_id, step.step, what=what, progress="", ended_at=datetime.now(UTC))


def _waits_again(step: Step, known: StepRecord) -> bool:
    """Return whether an evaluation was begun and given up, so that it is to be begun again."""
    return isinstance(step, EvaluateStep) and not (known.what or known.error or known.progress)


def _orphaned_evaluations(workspace: Workspace, run_id: str) -> None:
    """See to evaluations in which an earlier driver ended: they are begun again, once."""
    record = read_run(workspace, run_id)
    for name, known in record.steps.items():
        if known.progress and not known.what and not known.error:
            gone = known.tries >= _MOST_TRIES
            error = f"The driver ended {known.tries} times while it evaluated." if gone else ""
            keep_step(workspace, run_id, name, progress="", error=error)
