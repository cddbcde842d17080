"""Verbs of jobs: submit, watch, stop, collect.

A job works in its folder and nowhere else; :func:`collect` brings what it left into the store. It upserts on unique
keys, so it may run at any moment, twice, or in two processes at once.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from workbench.errors import BadInput, NotFound, Refused, Unavailable, WorkbenchError
from workbench.executors import Executor, Status
from workbench.executors.local import LocalExecutor
from workbench.job_results import collect_run, fail_run
from workbench.jobfolder import JobFolder, Result
from workbench.run import JobKind, JobSpec, JobState, LlmSpec, Needs, Run
from workbench.store import StoredCheckpoint, StoredJob
from workbench.workspace import Workspace
from workbench.yamltext import validate

CAPS = ("cap_usd", "cap_tokens", "cap_seconds")
_COMPUTE: frozenset[JobKind] = frozenset({"training", "dataset"})
_SUBMIT_S = {False: 30, True: 900}
"""How long a job may be between the two writes of its submit; a cluster may be sent its inputs meanwhile, and has a name."""


def new_id(kind: str) -> str:
    """Return a fresh id that sorts by time, such as ``run-20261124-101502-3f9a1c``."""
    return f"{kind}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def folder_of(workspace: Workspace, job_id: str) -> JobFolder:
    """Return a job's folder, wherever its record says it lies."""
    return JobFolder(Path(workspace.store.job(job_id).folder))


def exists(workspace: Workspace, job_id: str) -> bool:
    """Return whether a job of this id was submitted before."""
    try:
        workspace.store.job(job_id)
    except NotFound:
        return False
    return True


def job_of_run(workspace: Workspace, run_id: str) -> StoredJob | None:
    """Return the job that made (or makes) a run; None for a run whose judgements were imported."""
    return next((job for job in workspace.store.jobs() if job.spec.payload.get("run_id") == run_id), None)


def stop_asked(job: StoredJob) -> datetime | None:
    """Return when this job was asked to stop, None if it was not; it ends at its next safe point."""
    return JobFolder(Path(job.folder)).stop_asked()


def log_tail(job: StoredJob, lines: int = 200) -> str:
    """Return the last lines that a job's worker wrote; "" where there are none."""
    return JobFolder(Path(job.folder)).log_tail(lines)


def prepare(
    workspace: Workspace,
    kind: JobKind,
    *,
    job_id: str,
    title: str,
    author: str,
    payload: dict[str, Any],
    needs: Needs | None = None,
    priority: int = 0,
) -> tuple[JobSpec, JobFolder]:
    """Make a job's folder; inputs are written into it before :func:`submit`.

    Args:
        needs: what it wants of a machine; by default a CPU slot for what computes, and none for what asks a provider.
        priority: of jobs that wait, the higher goes first.
    """
    spec = JobSpec(
        id=job_id,
        kind=kind,
        title=title,
        author=author,
        created_at=datetime.now(UTC),
        payload=payload,
        needs=needs or Needs(slots="cpu" if kind in _COMPUTE else "none"),
        priority=priority,
    )
    folder = JobFolder(workspace.jobs_folder / job_id)
    folder.create(spec)
    return spec, folder


def submit(workspace: Workspace, spec: JobSpec, folder: JobFolder, executor: str | None = None) -> None:
    """Hand a prepared job to an executor; a job id that was submitted before is not started again.

    Args:
        executor: its name; None takes the workspace's.

    Raises:
        NotFound: for an executor that does not exist; nothing is kept then.
        WorkbenchError: when the executor cannot start the job, which has then failed and can be resumed.
    """
    on = workspace.executor_named(executor)
    if not workspace.store.save_job(spec, str(folder.path), f"{on.name}:"):
        return
    workspace.store.set_job_handle(spec.id, _start(on, spec, folder))
    workspace.store.record_event(spec.author, f"started {spec.kind.replace('_', ' ')}", spec.id, spec.title)


def _start(executor: Executor, spec: JobSpec, folder: JobFolder) -> str:
    try:
        return executor.submit(spec, folder.path)
    except WorkbenchError as error:
        failed = Result(status="failed", error=error.message, hint=error.hint, finished_at=datetime.now(UTC))
        folder.finish(failed)
        raise


def state(workspace: Workspace, job: StoredJob) -> JobState:
    """Return what is known of a job now: from its record if it was collected, else from folder and process."""
    if job.final is not None:
        return job.final
    folder = JobFolder(Path(job.folder))
    executor = workspace.executor_of(job.handle)
    # Ask for the process before the result: a job that ends between the two questions is then not taken for lost.
    process, silent = _process(executor, job)
    progress = folder.progress()
    signs = [sign for sign in (progress and progress.updated_at, folder.last_beat()) if sign]
    known = {
        "done": progress.done if progress else 0,
        "total": progress.total if progress else 0,
        "note": silent or (progress.note if progress else ""),
        "started_at": progress.started_at if progress else None,
        "updated_at": max(signs, default=None),
    }
    try:
        result = folder.result()
    except BadInput as damage:
        return JobState.model_validate(known | {"status": "failed", "error": str(damage)})
    if result is not None:
        error = f"{result.error} {result.hint}".strip()
        return JobState.model_validate(known | {"status": result.status, "error": error})
    if process == "queued" or (process == "running" and progress is None):
        return JobState.model_validate(known | {"status": "queued"})
    if process == "running":
        return JobState.model_validate(known | {"status": "running"})
    if (
        job.handle in ("", f"{executor.name}:")
        and (datetime.now(UTC) - job.spec.created_at).total_seconds() < _SUBMIT_S[bool(job.handle)]
    ):
        return JobState.model_validate(known | {"status": "queued"})  # submit is between its two writes
    if folder.stop_asked():  # it was ended before it could write a result
        return JobState.model_validate(known | {"status": "cancelled"})
    error = _why_lost(job, executor, max(signs, default=job.spec.created_at))
    return JobState.model_validate(known | {"status": "lost", "error": error})


def _process(executor: Executor, job: StoredJob) -> tuple[Status, str]:
    """Return what the executor says; where it does not answer, that the job may be at work, and why it is unknown."""
    try:
        return executor.status(job.handle), ""
    except Unavailable as error:
        return "running", error.message


def _why_lost(job: StoredJob, executor: Executor, last_sign: datetime) -> str:
    booted = datetime.fromtimestamp(psutil.boot_time(), UTC)
    if executor.name == "local" and booted > last_sign:
        return f"The machine restarted at {booted:%Y-%m-%d %H:%M} UTC while the job was open; resume it."
    said = JobFolder(Path(job.folder)).log_tail(3).strip()
    if not said:  # it never came up
        with suppress(Unavailable):
            said = executor.logs(job.handle, 3).strip()
    return "The worker ended without a result" + (
        f"; its last words: {said.splitlines()[-1]}" if said else "."
    )


def stop(
    workspace: Workspace, job_id: str, author: str, *, kill: bool = False, after_epoch: bool = False
) -> None:
    """Ask a job to end at its next safe point, or end it at once; what it did so far is kept.

    Args:
        kill: end its processes at once.
        after_epoch: ask a training to end with the epoch that it is in, instead.
    """
    job = workspace.store.job(job_id)
    folder = JobFolder(Path(job.folder))
    if after_epoch:
        folder.ask_to_stop_after_epoch()
    else:
        folder.ask_to_stop()
        workspace.executor_of(job.handle).stop(job.handle, kill=kill)
    what = "asked job to stop after its epoch" if after_epoch else "stopped job"
    workspace.store.record_event(author, what, job_id, job.spec.title)


@dataclass(frozen=True)
class Queued:
    """A job that waits for a slot of this machine."""

    job_id: str
    place: int  # in the line for its kind of slot, from 1
    slots: str  # "cpu" or "gpu"
    count: int
    priority: int


def queue(workspace: Workspace) -> list[Queued]:
    """Return the jobs that wait for a slot of this machine, in the order in which they will start."""
    local = workspace.executor_named("local")
    assert isinstance(local, LocalExecutor)
    places: Counter[str] = Counter()
    line = []
    for ticket in local.waiting():
        places[ticket.slots] += 1
        place = places[ticket.slots]
        line.append(Queued(ticket.job_id, place, ticket.slots, ticket.count, ticket.priority))
    return line


def set_priority(workspace: Workspace, job_id: str, priority: int) -> None:
    """Change the priority of a job that waits for a slot of this machine; the higher goes first.

    Raises:
        NotFound: for a job that does not exist.
        Refused: for a job that does not wait here.
    """
    job = workspace.store.job(job_id)
    executor = workspace.executor_of(job.handle)
    if not isinstance(executor, LocalExecutor) or not executor.prioritise(job_id, priority):
        raise Refused(
            f"{job.spec.title} does not wait for a slot of this machine.",
            "Only the priority of a job in this machine's queue can be changed.",
        )
    folder = JobFolder(Path(job.folder))  # when it is resumed, it keeps its priority
    folder.create(folder.spec().model_copy(update={"priority": priority}))


def resume(
    workspace: Workspace,
    job_id: str,
    author: str,
    *,
    caps: Mapping[str, float | None] | None = None,
    new_period: bool = False,
) -> None:
    """Start an ended job again in the same folder; verdicts it has already are not asked for again.

    Args:
        caps: new values of ``cap_usd``, ``cap_tokens`` and ``cap_seconds`` (None takes one away).
        new_period: count what is spent from here on against the caps, not what the run spent before.

    Raises:
        BadInput: for a cap that cannot be one, or a job whose judge has none; nothing is started then.
        Refused: when a clean-up has removed its files.
        WorkbenchError: when its executor cannot start it.
    """
    job = workspace.store.job(job_id)
    if state(workspace, job).status in ("running", "queued"):
        return
    folder = JobFolder(Path(job.folder))
    if folder.removed:
        raise Refused(f"The files of {job.spec.title} were removed by a clean-up.", "Start it anew.")
    if caps:
        folder.create(_with_caps(folder.spec(), caps))
    if new_period:
        folder.start_period()
    folder.fresh_start()
    handle = _start(workspace.executor_of(job.handle), folder.spec(), folder)
    if run_id := job.spec.payload.get("run_id"):
        run = workspace.store.run(run_id)
        again = {"status": "queued", "error": "", "finished_at": None}
        workspace.store.save_run(run.model_copy(update=again))
    # Reopened last: a job that is open under its old handle would be taken for lost.
    workspace.store.set_job_handle(job_id, handle)
    workspace.store.reopen_job(job_id)
    workspace.store.record_event(author, "resumed job", job_id, job.spec.title)


def _with_caps(spec: JobSpec, caps: Mapping[str, float | None]) -> JobSpec:
    judge = spec.payload.get("judge")
    if not isinstance(judge, dict) or judge.get("kind") != "llm" or not set(caps) <= set(CAPS):
        raise BadInput(
            f"{spec.title} cannot be capped so.", f"A run of a language model has {', '.join(CAPS)}."
        )
    changed = validate(LlmSpec, judge | dict(caps), "the caps").model_dump(mode="json")
    return spec.model_copy(update={"payload": spec.payload | {"judge": changed}})


def collect(workspace: Workspace) -> int:
    """Bring what ended jobs left into the store; return how many were collected."""
    collected = 0
    for job in workspace.store.jobs(open_only=True):
        now = state(workspace, job)
        if now.status in ("running", "queued"):
            _follow(workspace, job, now)
            continue
        folder = JobFolder(Path(job.folder))
        try:
            if "run_id" in job.spec.payload:
                collect_run(workspace.store, job, folder, now)
            if checkpoint := checkpoint_of(job):
                workspace.store.save_checkpoint(checkpoint)
        except BadInput as damage:  # a damaged file is this job's failure and must not hold up the others
            now = now.model_copy(update={"status": "failed", "error": str(damage)})
            fail_run(workspace.store, job, now)
        workspace.store.finish_job(job.spec.id, now)
        collected += 1
    return collected


def _follow(workspace: Workspace, job: StoredJob, now: JobState) -> None:
    run_id = job.spec.payload.get("run_id", "")
    if run_id and job.spec.kind == "judge_run" and (run := workspace.store.run(run_id)).status != now.status:
        workspace.store.save_run(run.model_copy(update={"status": now.status}))


def checkpoint_of(job: StoredJob) -> StoredCheckpoint | None:
    """Return the checkpoint that a training job left in its folder; None where it has left none."""
    result = JobFolder(Path(job.folder)).result()
    if result is None or "checkpoint" not in result.data:
        return None
    made = result.data["checkpoint"]
    return StoredCheckpoint(
        id=made["name"],
        name=made["recipe"],
        created_at=result.finished_at,
        folder=made["folder"],
        job_id=job.spec.id,
        record=made["record"],
    )


def open_runs(workspace: Workspace) -> list[Run]:
    """Return the runs that have not ended."""
    return [run for run in workspace.store.runs() if run.status in ("queued", "running")]


def wait(workspace: Workspace, job_ids: Sequence[str], *, every_s: float = 0.5) -> Iterator[str]:
    """Yield a line whenever a job moved on, until all have ended and are collected."""
    said: dict[str, str] = {}
    left = list(job_ids)
    while left:
        collect(workspace)
        for job_id in list(left):
            job = workspace.store.job(job_id)
            now = state(workspace, job)
            line = f"{job.spec.title}: {describe_state(now)}"
            if said.get(job_id) != line:
                said[job_id] = line
                yield line
            if job.final is not None:
                left.remove(job_id)
        if left:
            time.sleep(every_s)


def describe_state(now: JobState) -> str:
    """Return a job's state in a few words."""
    parts: list[str] = ["stopped at cap" if now.status == "capped" else now.status]
    if now.total and now.status == "running":
        parts.append(f"{now.done}/{now.total}")
    if now.note and now.status in ("running", "queued"):
        parts.append(now.note)
    return " ".join(parts) + (f" – {now.error}" if now.error else "")
