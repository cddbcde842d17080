"""Verbs of jobs: submit, watch, stop, collect.

A job works in its folder and nowhere else; :func:`collect` brings what it left into the store. It upserts on unique
keys, so it may run at any moment, twice, or in two processes at once.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.errors import BadInput, NotFound
from workbench.jobfolder import JobFolder
from workbench.outcomes import Outcomes
from workbench.run import JobKind, JobSpec, JobState, JudgeIdentity, LlmSpec, Run, RunTotals, Verdict
from workbench.store import StoredCheckpoint, StoredJob
from workbench.workspace import Workspace
from workbench.yamltext import validate

CAPS = ("cap_usd", "cap_tokens", "cap_seconds")
_VERDICTS_A_WRITE = 500  # more at a time is slower: Python looks through all that is held, again and again


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
    workspace: Workspace, kind: JobKind, *, job_id: str, title: str, author: str, payload: dict[str, Any]
) -> tuple[JobSpec, JobFolder]:
    """Make a job's folder; inputs are written into it before :func:`submit`."""
    spec = JobSpec(
        id=job_id, kind=kind, title=title, author=author, created_at=datetime.now(UTC), payload=payload
    )
    folder = JobFolder(workspace.jobs_folder / job_id)
    folder.create(spec)
    return spec, folder


def submit(workspace: Workspace, spec: JobSpec, folder: JobFolder) -> None:
    """Hand a prepared job to the executor; a job id that was submitted before is not started again."""
    if not workspace.store.save_job(spec, str(folder.path), ""):
        return
    workspace.store.set_job_handle(spec.id, workspace.executor.submit(folder.path))
    workspace.store.record_event(spec.author, f"started {spec.kind.replace('_', ' ')}", spec.id, spec.title)


def state(workspace: Workspace, job: StoredJob) -> JobState:
    """Return what is known of a job now: from its record if it was collected, else from folder and process."""
    if job.final is not None:
        return job.final
    folder = JobFolder(Path(job.folder))
    # Ask for the process before the result: a job that ends between the two questions is then not taken for lost.
    running = workspace.executor.running(job.handle)
    progress = folder.progress()
    known = {
        "done": progress.done if progress else 0,
        "total": progress.total if progress else 0,
        "note": progress.note if progress else "",
        "started_at": progress.started_at if progress else None,
        "updated_at": progress.updated_at if progress else None,
    }
    try:
        result = folder.result()
    except BadInput as damage:
        return JobState.model_validate(known | {"status": "failed", "error": str(damage)})
    if result is not None:
        error = f"{result.error} {result.hint}".strip()
        return JobState.model_validate(known | {"status": result.status, "error": error})
    if running:
        return JobState.model_validate(known | {"status": "running" if progress else "queued"})
    if not job.handle and (datetime.now(UTC) - job.spec.created_at).total_seconds() < 30:
        return JobState.model_validate(known | {"status": "queued"})  # submit is between its two writes
    if folder.stop_asked():  # it was ended before it could write a result
        return JobState.model_validate(known | {"status": "cancelled"})
    tail = folder.log_tail(3).strip().splitlines()
    error = "The worker ended without a result" + (f"; its last words: {tail[-1]}" if tail else ".")
    return JobState.model_validate(known | {"status": "lost", "error": error})


def stop(workspace: Workspace, job_id: str, author: str, *, kill: bool = False) -> None:
    """Ask a job to end at its next safe point, or end it at once; what it did so far is kept."""
    job = workspace.store.job(job_id)
    JobFolder(Path(job.folder)).ask_to_stop()
    workspace.executor.stop(job.handle, kill=kill)
    workspace.store.record_event(author, "stopped job", job_id, job.spec.title)


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
    """
    job = workspace.store.job(job_id)
    if state(workspace, job).status in ("running", "queued"):
        return
    folder = JobFolder(Path(job.folder))
    if caps:
        folder.create(_with_caps(folder.spec(), caps))
    if new_period:
        folder.start_period()
    for name in ("result.json", "stop", "progress.json"):
        (folder.path / name).unlink(missing_ok=True)
    if run_id := job.spec.payload.get("run_id"):
        run = workspace.store.run(run_id)
        again = {"status": "queued", "error": "", "finished_at": None}
        workspace.store.save_run(run.model_copy(update=again))
    # Reopened last: a job that is open under its old handle would be taken for lost.
    workspace.store.set_job_handle(job_id, workspace.executor.submit(folder.path))
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
                _collect_run(workspace, job, folder, now)
            if checkpoint := checkpoint_of(job):
                workspace.store.save_checkpoint(checkpoint)
        except BadInput as damage:  # a damaged file is this job's failure and must not hold up the others
            now = now.model_copy(update={"status": "failed", "error": str(damage)})
            _fail_run(workspace, job, now)
        workspace.store.finish_job(job.spec.id, now)
        collected += 1
    return collected


def _follow(workspace: Workspace, job: StoredJob, now: JobState) -> None:
    run_id = job.spec.payload.get("run_id", "")
    if job.spec.kind == "judge_run" and (run := workspace.store.run(run_id)).status != now.status:
        workspace.store.save_run(run.model_copy(update={"status": now.status}))


def _collect_run(workspace: Workspace, job: StoredJob, folder: JobFolder, now: JobState) -> None:
    run = workspace.store.run(job.spec.payload["run_id"])
    totals = _Totals()
    for part in _batches(folder.verdicts()):
        workspace.store.add_verdicts(run.id, part)
        totals.add(part)
    result = folder.result()
    data = result.data if result else {}
    update: dict[str, Any] = {
        "status": "failed" if now.status == "lost" else now.status,
        "error": now.error,
        "finished_at": result.finished_at if result else datetime.now(UTC),
        "totals": totals.value(float(data.get("seconds", 0.0))),
        "code_revision": data.get("code_revision", run.code_revision),
    }
    if "judge" in data:
        update["judge"] = JudgeIdentity.model_validate(data["judge"])
    workspace.store.save_run(run.model_copy(update=update))


def _fail_run(workspace: Workspace, job: StoredJob, now: JobState) -> None:
    if run_id := job.spec.payload.get("run_id"):
        ended = {"status": "failed", "error": now.error, "finished_at": datetime.now(UTC)}
        workspace.store.save_run(workspace.store.run(run_id).model_copy(update=ended))


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


class _Totals:
    """Sums over verdicts; the cost is unknown as soon as one call's is."""

    def __init__(self) -> None:
        names = ("calls", "cache_hits", "input_tokens", "output_tokens", "cached_input_tokens")
        self._sums = dict.fromkeys(names, 0)
        self._outcomes = Outcomes()  # of each judgement the newest; calls are all counted
        self._cost: float | None = 0.0

    def add(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            usage = verdict.usage
            self._outcomes.add(verdict)
            self._sums["calls"] += usage.calls
            self._sums["cache_hits"] += usage.from_cache
            self._sums["input_tokens"] += usage.input_tokens
            self._sums["output_tokens"] += usage.output_tokens
            self._sums["cached_input_tokens"] += usage.cached_input_tokens
            if usage.cost_usd is None:
                self._cost = None
            elif self._cost is not None:
                self._cost += usage.cost_usd

    def value(self, seconds: float) -> RunTotals:
        return RunTotals(
            pairs=self._outcomes.pairs,
            judgements=self._outcomes.judgements,
            failed=self._outcomes.failed,
            cost_usd=self._cost,
            seconds=seconds,
            **self._sums,
        )


def _batches(verdicts: Iterator[Verdict]) -> Iterator[list[Verdict]]:
    while part := list(islice(verdicts, _VERDICTS_A_WRITE)):
        yield part


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
    if now.note and now.status == "running":
        parts.append(now.note)
    return " ".join(parts) + (f" – {now.error}" if now.error else "")
