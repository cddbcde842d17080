"""Jobs that have ended long ago and checkpoints with a lineage, made without a worker, for tests of lineage and clean-up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from workspace_samples import NAME, golden_set, pair, version

from workbench import jobs
from workbench.jobfolder import Progress, Result
from workbench.run import JobKind, JudgeIdentity, Judgement, Run, Usage, Verdict
from workbench.store import StoredCheckpoint, StoredJob
from workbench.workspace import Workspace

NOW = datetime.now(UTC)
TEAS = [pair(f"wish {i}", f"tea {i}") for i in range(3)]


def days_ago(days: float) -> datetime:
    """A moment before the tests began."""
    return NOW - timedelta(days=days)


def published(workspace: Workspace) -> None:
    """Publish the golden set ``tea`` v1: three dev pairs."""
    golden_set(workspace, [(one, {"taste": 1, "strength": 0}) for one in TEAS])


def second_version(workspace: Workspace) -> None:
    """Publish ``tea-match`` v2."""
    workspace.store.add_policy(version(2))


def ended(
    workspace: Workspace,
    kind: JobKind,
    job_id: str,
    *,
    status: str = "finished",
    days: float = 40,
    author: str = "Ida",
    title: str = "",
    payload: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    worked_s: float | None = None,
    collect: bool = True,
) -> StoredJob:
    """Leave a job of which all is over, ``files`` in its folder; the store knows it as an executor would have left it."""
    spec, folder = jobs.prepare(
        workspace, kind, job_id=job_id, title=title or job_id, author=author, payload=dict(payload or {})
    )
    for name, text in (files or {}).items():
        path = folder.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    at = days_ago(days)
    if worked_s is not None:
        progress = Progress(started_at=at - timedelta(seconds=worked_s), updated_at=at)
        (folder.path / "progress.json").write_text(progress.model_dump_json())
    folder.finish(Result.model_validate({"status": status, "finished_at": at, "data": dict(data or {})}))
    workspace.store.save_job(spec, str(folder.path), "local:0:0")
    if collect:
        jobs.collect(workspace)
    return workspace.store.job(job_id)


def judged(
    workspace: Workspace,
    name: str,
    *,
    judge: JudgeIdentity | None = None,
    cost: float | None = 0.25,
    policy_version: int = 1,
    **more: Any,
) -> StoredJob:
    """Leave a judge run over :data:`TEAS`, three calls of ``cost`` each."""
    policy = workspace.store.policy(NAME, policy_version)
    run = Run(
        id=f"run-{name}",
        judge=judge or JudgeIdentity(kind="llm", name="a-model"),
        policy=NAME,
        policy_version=policy_version,
        policy_hash=policy.content_hash,
        golden="tea",
        golden_version=1,
        golden_hash="golden-1",
        status="queued",
        author="Ida",
        created_at=days_ago(50),
    )
    workspace.store.save_run(run)
    lines = "".join(
        Verdict(
            pair_id=one.id,
            judgements=(Judgement(dimension="taste", grade=1),),
            usage=Usage(calls=1, cost_usd=cost),
        ).model_dump_json()
        + "\n"
        for one in TEAS
    )
    files = {"judgements.jsonl": lines, "log.txt": f"graded by {name}\n"}
    return ended(workspace, "judge_run", f"job-run-{name}", payload={"run_id": run.id}, files=files, **more)


def checkpoint(
    workspace: Workspace,
    name: str,
    *,
    recipe: str = "",
    folder: Path | str = "nowhere",
    job_id: str = "",
    days: float = 10,
    policy_version: int = 1,
    kind: str = "student",
    **lineage: Any,
) -> StoredCheckpoint:
    """Keep a checkpoint's record, as :func:`workbench.jobs.collect` would."""
    made = StoredCheckpoint(
        id=name,
        name=recipe or name.rpartition("-")[0],
        created_at=days_ago(days),
        folder=str(folder),
        job_id=job_id,
        record={
            "recipe": {"kind": kind},
            "policy": NAME,
            "policy_version": policy_version,
            "lineage": {"golden": "tea v1"} | lineage,
        },
    )
    workspace.store.save_checkpoint(made)
    return made


def trained(workspace: Workspace, name: str, *, status: str = "finished", **lineage: Any) -> StoredJob:
    """Leave a training with its weights and a state to go on from; the store points to the weights."""
    job_id = f"job-train-{name}"
    files = {"artifacts/checkpoint/model.safetensors": "w" * 5000, "artifacts/state.safetensors": "s" * 9000}
    job = ended(workspace, "training", job_id, status=status, files=files)
    weights = Path(job.folder) / "artifacts" / "checkpoint"
    checkpoint(workspace, f"{name}-3f9a1c20", folder=weights, job_id=job_id, **lineage)
    return job
