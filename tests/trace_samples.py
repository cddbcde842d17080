"""Runs made in this process, for tests of what is told about their judgements."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from workspace_samples import NAME, golden_set, pair

from workbench import jobs, judge_job
from workbench.executors.local import LocalExecutor
from workbench.golden import Pair
from workbench.jobfolder import FolderReporter, JobFolder, Result
from workbench.judge_runs import start_run
from workbench.run import JudgeSpec, LlmSpec, Run
from workbench.workspace import Workspace

TEAS = [pair(f"wish {i}", f"tea {i}") for i in range(4)]


def no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs be worked on by :func:`finished` alone."""
    monkeypatch.setattr(LocalExecutor, "submit", lambda _, spec, folder: folder.name)
    monkeypatch.setattr(LocalExecutor, "status", lambda _, handle: "ended")


def published(workspace: Workspace) -> None:
    """Publish the golden set ``tea`` with TEAS."""
    golden_set(workspace, [(p, {"taste": i % 3, "strength": i % 2}) for i, p in enumerate(TEAS)])


def llm(base_url: str, **more: Any) -> LlmSpec:
    """The hash grader at an address."""
    return LlmSpec(model="fake-hash-grader", base_url=base_url, **{"concurrency": 2} | more)


def finished(workspace: Workspace, judge: JudgeSpec, *, policy: str = NAME, golden: str = "tea") -> Run:
    """Start a run, do its work here and collect it."""
    run = start_run(workspace, judge, policy=policy, golden=golden, author="Ida")
    return worked(workspace, run)


def worked(workspace: Workspace, run: Run) -> Run:
    """Do the work of a run in this process, as the worker does it in its own, and collect it."""
    folder = JobFolder(workspace.jobs_folder / f"job-{run.id}")
    reporter = FolderReporter(folder)
    data = judge_job.run(folder.spec(), folder, reporter)
    reporter.close()
    folder.finish(Result(status="finished", finished_at=datetime.now(UTC), data=data))
    jobs.collect(workspace)
    return workspace.store.run(run.id)


def first(run_pairs: list[Pair] = TEAS) -> str:
    """The id of the first pair."""
    return run_pairs[0].id
