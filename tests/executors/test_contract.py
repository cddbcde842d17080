"""What holds for every executor: the same job, the same folder, the same answers to stop and kill.

What an executor has to offer for these tests is said in ``conftest.py``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from executor_samples import held, job, let_go, until, works

from workbench.executors import Executor
from workbench.jobfolder import JobFolder, Result
from workbench.run import Needs

CPU = Needs(slots="cpu")


@pytest.fixture
def executor(opened_executor: tuple[Executor, str]) -> Executor:
    """The executor under test."""
    return opened_executor[0]


@pytest.fixture
def another(opened_executor: tuple[Executor, str]) -> Executor:
    """One that was made anew, as an app does after a restart."""
    names: dict[str, Executor] = {}
    exec(opened_executor[1], names)
    return names["executor"]


@pytest.fixture
def handles(executor: Executor) -> Iterator[list[str]]:
    """Handles of what a test started; nothing outlives its test."""
    started: list[str] = []
    yield started
    for handle in started:
        executor.stop(handle, kill=True)
    until(lambda: all(executor.status(handle) == "ended" for handle in started))


def ended(executor: Executor, handle: str, folder: JobFolder) -> Result:
    until(lambda: executor.status(handle) == "ended")
    result = folder.result()
    assert result is not None, folder.log_tail() + executor.logs(handle)
    return result


def test_a_job_is_at_work_and_then_ended_with_a_result_and_a_log(
    executor: Executor, handles: list[str], tmp_path: Path
) -> None:
    spec, folder = held(tmp_path / "job-a")
    handles.append(executor.submit(spec, folder.path))
    assert handles[0].startswith(f"{executor.name}:")
    assert executor.status(handles[0]) in ("queued", "running")
    until(lambda: works(folder))
    assert executor.status(handles[0]) == "running"
    assert folder.result() is None
    let_go(folder)
    assert ended(executor, handles[0], folder).status == "finished"
    assert len(list(folder.verdicts())) == 6
    assert "Job job-a (job-a)" in folder.log_tail()
    assert "graded 6 pairs" in folder.log_tail()


def test_a_failure_is_in_the_result(executor: Executor, handles: list[str], tmp_path: Path) -> None:
    spec, folder = job(tmp_path / "job-f", policy="policy: [")
    handles.append(executor.submit(spec, folder.path))
    result = ended(executor, handles[0], folder)
    assert result.status == "failed"
    assert "policy.yaml, line 1: not valid YAML" in result.error


def test_a_stop_lets_the_job_end_by_itself(executor: Executor, handles: list[str], tmp_path: Path) -> None:
    spec, folder = held(tmp_path / "job-s")
    handles.append(executor.submit(spec, folder.path))
    until(lambda: works(folder))
    folder.ask_to_stop()  # as jobs.stop does before it tells the executor
    executor.stop(handles[0])
    let_go(folder)
    assert ended(executor, handles[0], folder).status == "cancelled"
    executor.stop(handles[0])  # no error for what has ended
    executor.stop(handles[0], kill=True)


def test_a_kill_ends_the_job_and_its_children_at_once(
    executor: Executor, handles: list[str], tmp_path: Path
) -> None:
    spec, folder = held(tmp_path / "job-k")
    handles.append(executor.submit(spec, folder.path))
    until(lambda: works(folder))
    worker = worker_of(folder.path)
    assert worker is not None
    executor.stop(handles[0], kill=True)
    until(lambda: executor.status(handles[0]) == "ended")
    until(lambda: worker_of(folder.path) is None)
    assert folder.result() is None  # it had no time to write one


def worker_of(folder: Path) -> psutil.Process | None:
    """The process at work on a folder, wherever it was started from."""
    for process in psutil.process_iter():
        try:
            command, status = process.cmdline(), process.status()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if command[1:] == ["-m", "workbench.worker", str(folder)] and status != psutil.STATUS_ZOMBIE:
            return process
    return None


@pytest.mark.parametrize("handle", ["", "nobody:1", "local:", "local:999999999:1.00", "ray:job-none", "1:0"])
def test_a_handle_that_nobody_knows_has_ended(executor: Executor, handle: str) -> None:
    assert executor.status(handle) == "ended"
    executor.stop(handle)
    executor.stop(handle, kill=True)
    assert isinstance(executor.logs(handle), str)


def test_another_executor_object_knows_the_job_by_its_handle(
    executor: Executor, handles: list[str], tmp_path: Path, another: Executor
) -> None:
    spec, folder = held(tmp_path / "job-h")
    handles.append(executor.submit(spec, folder.path))
    until(lambda: works(folder))
    assert another.status(handles[0]) == "running"
    let_go(folder)
    until(lambda: another.status(handles[0]) == "ended")


def test_two_jobs_that_ask_for_no_slot_are_at_work_at_once(
    executor: Executor, handles: list[str], tmp_path: Path
) -> None:
    folders = []
    for name in ("job-1", "job-2"):
        spec, folder = held(tmp_path / name)
        handles.append(executor.submit(spec, folder.path))
        folders.append(folder)
    until(lambda: all(works(folder) for folder in folders))
    assert [executor.status(handle) for handle in handles] == ["running", "running"]
    for folder, handle in zip(folders, handles, strict=True):
        let_go(folder)
        assert ended(executor, handle, folder).status == "finished"


def test_jobs_on_cpu_slots_all_get_their_turn(executor: Executor, handles: list[str], tmp_path: Path) -> None:
    folders = []
    for name in ("job-3", "job-4", "job-5"):
        spec, folder = job(tmp_path / name, needs=CPU)
        handles.append(executor.submit(spec, folder.path))
        folders.append(folder)
    for folder, handle in zip(folders, handles, strict=True):
        assert ended(executor, handle, folder).status == "finished"


def test_the_command_does_the_same_by_hand(executor: Executor, handles: list[str], tmp_path: Path) -> None:
    spec, folder = job(tmp_path / "job-x")
    handles.append(executor.submit(spec, folder.path))
    there = ended(executor, handles[0], folder)
    _, other = job(tmp_path / "job-y")
    done = subprocess.run(executor.command(other.path), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    here = other.result()
    assert here is not None
    assert here.status == there.status == "finished"
    assert here.data["judge"] == there.data["judge"]
    assert {v.pair_id: v.judgements for v in other.verdicts()} == {
        v.pair_id: v.judgements for v in folder.verdicts()
    }
    assert executor.command(other.path)[1:] == ["-m", "workbench.worker", str(other.path)]


def test_a_job_outlives_the_process_that_submitted_it(
    executor: Executor, handles: list[str], tmp_path: Path, opened_executor: tuple[Executor, str]
) -> None:
    spec, folder = held(tmp_path / "job-o")
    script = (
        f"{opened_executor[1]}\n"
        "from pathlib import Path\n"
        "from workbench.run import JobSpec\n"
        f"spec = JobSpec.model_validate_json({spec.model_dump_json()!r})\n"
        f"print(executor.submit(spec, Path({str(folder.path)!r})))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    handles.append(done.stdout.split()[-1])
    until(lambda: works(folder))
    assert executor.status(handles[0]) == "running"
    let_go(folder)
    assert ended(executor, handles[0], folder).status == "finished"
