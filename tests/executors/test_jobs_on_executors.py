"""Verbs of jobs on executors: the one that a job names, the line, what was lost, and what could not be started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from executor_samples import held, job, let_go, until, works

from workbench import jobs
from workbench.errors import NotFound, Refused, Unavailable
from workbench.executors import Status, worker_command
from workbench.jobfolder import JobFolder, Progress
from workbench.run import JobSpec, Needs
from workbench.store import StoredJob
from workbench.workspace import Workspace

CPU = Needs(slots="cpu")


@pytest.fixture
def space(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace with one CPU slot, in which nothing outlives its test."""
    monkeypatch.setenv("WORKBENCH_CPU_SLOTS", "1")
    yield workspace
    for left in workspace.store.jobs(open_only=True):
        workspace.executor_of(left.handle).stop(left.handle, kill=True)


def submit(space: Workspace, spec: JobSpec, folder: JobFolder) -> StoredJob:
    jobs.submit(space, spec, folder)
    return space.store.job(spec.id)


class Silent:
    """A cluster that answers as the test says."""

    name = "silent"

    def __init__(self) -> None:
        self.answers = False
        self.now: Status = "running"

    def submit(self, spec: JobSpec, folder: Path) -> str:
        if not self.answers:
            raise Unavailable("The cluster does not answer.", "Start it.")
        return f"silent:{spec.id}"

    def status(self, handle: str) -> Status:
        if not self.answers:
            raise Unavailable("The cluster does not answer.", "Start it.")
        return self.now

    def stop(self, handle: str, *, kill: bool = False) -> None:
        """Do nothing."""

    def logs(self, handle: str, lines: int = 200) -> str:
        return "pulling the image\nno such image"

    def command(self, folder: Path) -> list[str]:
        return worker_command(folder)


def test_what_computes_takes_a_cpu_slot_unless_it_says_otherwise(space: Workspace) -> None:
    def needs(kind: str, **more: Needs) -> Needs:
        spec, _ = jobs.prepare(
            space,
            kind,
            job_id=f"job-{kind}",
            title="t",
            author="Ida",
            payload={},
            **more,  # type: ignore[arg-type]
        )
        return JobFolder(space.jobs_folder / spec.id).spec().needs

    assert [needs(kind).slots for kind in ("training", "dataset", "judge_run")] == ["cpu", "cpu", "none"]
    gpu = Needs(slots="gpu", gpus=2)
    assert needs("training", needs=gpu) == gpu


def test_a_spec_from_before_there_were_needs_is_read() -> None:
    old = '{"id": "job-1", "kind": "training", "title": "t", "created_at": "2026-01-01T00:00:00Z"}'
    assert JobSpec.model_validate_json(old).needs == Needs()
    assert JobSpec.model_validate_json(old).priority == 0


def test_the_line_is_told_and_changed(space: Workspace) -> None:
    folders = {}
    for name in ("job-a", "job-b", "job-c"):
        spec, folder = held(space.jobs_folder / name, needs=CPU)
        submit(space, spec, folder)
        folders[name] = folder
    until(lambda: works(folders["job-a"]))
    assert [(q.job_id, q.place, q.slots, q.count, q.priority) for q in jobs.queue(space)] == [
        ("job-b", 1, "cpu", 1, 0), ("job-c", 2, "cpu", 1, 0),
    ]  # fmt: skip
    until(lambda: jobs.state(space, space.store.job("job-c")).note == "waiting for a CPU slot, 1 ahead")
    now = jobs.state(space, space.store.job("job-c"))
    assert now.status == "queued"
    assert jobs.describe_state(now) == "queued waiting for a CPU slot, 1 ahead"
    jobs.set_priority(space, "job-c", 7)
    assert [(q.job_id, q.place, q.priority) for q in jobs.queue(space)] == [("job-c", 1, 7), ("job-b", 2, 0)]
    assert folders["job-c"].spec().priority == 7
    with pytest.raises(Refused, match="Job job-a does not wait"):
        jobs.set_priority(space, "job-a", 1)
    with pytest.raises(NotFound):
        jobs.set_priority(space, "job-x", 1)
    jobs.stop(space, "job-b", "Ida")  # while it waits
    until(lambda: jobs.state(space, space.store.job("job-b")).status == "cancelled")
    let_go(folders["job-a"])
    until(lambda: works(folders["job-c"]))
    let_go(folders["job-c"])
    list(jobs.wait(space, ["job-a", "job-b", "job-c"], every_s=0.1))
    assert [space.store.job(f"job-{x}").final.status for x in "abc"] == [  # type: ignore[union-attr]
        "finished", "cancelled", "finished",
    ]  # fmt: skip
    jobs.resume(space, "job-b", "Ida")
    until(lambda: works(folders["job-b"]))
    let_go(folders["job-b"])
    list(jobs.wait(space, ["job-b"], every_s=0.1))
    final = space.store.job("job-b").final
    assert final is not None
    assert final.status == "finished"


def test_a_job_that_a_restart_ended_is_lost_and_resumed(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, folder = held(space.jobs_folder / "job-r", needs=CPU)
    stored = submit(space, spec, folder)
    until(lambda: works(folder))
    os.kill(int(stored.handle.split(":")[1]), 9)
    until(lambda: jobs.state(space, stored).status == "lost")
    assert "its last words" in jobs.state(space, stored).error  # it was killed: the machine did not restart
    later = datetime.now(UTC) + timedelta(minutes=5)
    with monkeypatch.context() as patch:
        patch.setattr(psutil, "boot_time", later.timestamp)
        now = jobs.state(space, stored)
        assert now.status == "lost"
        assert now.error == (
            f"The machine restarted at {later:%Y-%m-%d %H:%M} UTC while the job was open; resume it."
        )
        jobs.collect(space)
    assert jobs.state(space, space.store.job("job-r")).status == "lost"
    jobs.resume(space, "job-r", "Ida")
    until(lambda: works(folder))
    assert jobs.state(space, space.store.job("job-r")).status == "running"
    let_go(folder)
    list(jobs.wait(space, ["job-r"], every_s=0.1))
    assert jobs.state(space, space.store.job("job-r")).status == "finished"
    assert len(list(folder.verdicts())) == 6


def test_a_job_runs_where_it_is_told_to(space: Workspace) -> None:
    silent = Silent()
    silent.answers = True
    other = Workspace(space.settings, space.store, silent)
    spec, folder = job(space.jobs_folder / "job-here")
    jobs.submit(other, spec, folder, executor="local")
    handle = space.store.job("job-here").handle
    assert handle.startswith("local:")
    assert other.executor_of(handle).name == other.executor_of(handle.removeprefix("local:")).name == "local"
    list(jobs.wait(other, ["job-here"], every_s=0.1))  # asks the right one
    spec, folder = job(space.jobs_folder / "job-there")
    assert submit(other, spec, folder).handle == "silent:job-there"
    spec, folder = job(space.jobs_folder / "job-nowhere")
    with pytest.raises(NotFound, match=r"No executor is called 'locl'\. Did you mean local"):
        jobs.submit(space, spec, folder, executor="locl")
    assert not jobs.exists(space, "job-nowhere")


def test_a_job_that_cannot_be_started_has_failed_and_is_resumed_later(space: Workspace) -> None:
    silent = Silent()
    other = Workspace(space.settings, space.store, silent)
    spec, folder = job(space.jobs_folder / "job-f")
    with pytest.raises(Unavailable, match="does not answer"):
        jobs.submit(other, spec, folder)
    now = jobs.state(other, space.store.job("job-f"))
    assert (now.status, now.error) == ("failed", "The cluster does not answer. Start it.")
    jobs.collect(other)
    with pytest.raises(Unavailable):
        jobs.resume(other, "job-f", "Ida")
    assert jobs.state(other, space.store.job("job-f")).status == "failed"
    silent.answers = True
    jobs.resume(other, "job-f", "Ida")
    assert jobs.state(other, space.store.job("job-f")).status == "queued"
    # What it was never told is asked of the executor.
    silent.now = "ended"
    now = jobs.state(other, space.store.job("job-f"))
    assert (now.status, now.error) == (
        "lost", "The worker ended without a result; its last words: no such image",
    )  # fmt: skip


def test_an_executor_that_does_not_answer_loses_no_job(space: Workspace) -> None:
    silent = Silent()
    silent.answers = True
    other = Workspace(space.settings, space.store, silent)
    spec, folder = job(space.jobs_folder / "job-q")
    stored = submit(other, spec, folder)
    silent.answers = False
    assert jobs.state(other, stored).note == "The cluster does not answer."
    assert jobs.state(other, stored).status == "queued"
    assert jobs.collect(other) == 0
    moment = datetime.now(UTC)
    said = Progress(done=1, total=6, started_at=moment, updated_at=moment)
    (folder.path / "progress.json").write_text(said.model_dump_json())
    assert jobs.state(other, stored).status == "running"


def test_the_heartbeat_speaks_where_the_work_is_silent(space: Workspace) -> None:
    spec, folder = held(space.jobs_folder / "job-h")
    stored = submit(space, spec, folder)
    until(lambda: works(folder))
    said = folder.progress()
    assert said is not None
    until(lambda: folder.last_beat() is not None)
    os.utime(folder.path / "heartbeat", (said.updated_at.timestamp() + 60,) * 2)
    assert jobs.state(space, stored).updated_at == said.updated_at + timedelta(seconds=60)
    os.utime(folder.path / "heartbeat", (said.updated_at.timestamp() - 60,) * 2)
    assert jobs.state(space, stored).updated_at == said.updated_at


def test_a_stop_after_the_epoch_is_a_file_that_a_resume_forgets(space: Workspace) -> None:
    spec, folder = held(space.jobs_folder / "job-e")
    submit(space, spec, folder)
    until(lambda: works(folder))
    jobs.stop(space, "job-e", "Ida", after_epoch=True)
    assert (folder.path / "stop_after_epoch").exists()
    assert folder.stop_asked() is None  # nothing else is asked of it
    assert jobs.state(space, space.store.job("job-e")).status == "running"
    let_go(folder)
    list(jobs.wait(space, ["job-e"], every_s=0.1))
    final = space.store.job("job-e").final
    assert final is not None
    assert final.status == "finished"  # grading has no epochs
    jobs.resume(space, "job-e", "Ida")
    assert not (folder.path / "stop_after_epoch").exists()
    assert [event["what"] for event in space.store.events() if event["subject"] == "job-e"] == [
        "resumed job", "asked job to stop after its epoch", "started judge run",
    ]  # fmt: skip
