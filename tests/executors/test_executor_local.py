"""The local executor: detached processes, handles that outlive it, signals to the right process only.

A job folder whose spec.json is a pipe keeps a worker waiting for as long as a test needs it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from executor_samples import until

from workbench.executors import Places
from workbench.executors.local import LocalExecutor
from workbench.run import JobSpec


def plain(path: Path) -> JobSpec:
    return JobSpec(id=path.name, kind="judge_run", title="A job", created_at=datetime.now(UTC))


@pytest.fixture
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    return Places(tmp_path_factory.mktemp("queue"))


@pytest.fixture
def executor(places: Places) -> LocalExecutor:
    return LocalExecutor(places)


@pytest.fixture
def handle(executor: LocalExecutor, tmp_path: Path) -> Iterator[str]:
    """The handle of a worker that waits."""
    os.mkfifo(tmp_path / "spec.json")
    handle = executor.submit(plain(tmp_path), tmp_path)
    yield handle
    executor.stop(handle, kill=True)


def process_of(handle: str) -> psutil.Process:
    return psutil.Process(int(handle.split(":")[1]))


def test_the_worker_runs_in_a_session_of_its_own(
    executor: LocalExecutor, handle: str, tmp_path: Path
) -> None:
    assert executor.status(handle) == "running"
    process = process_of(handle)
    until(lambda: process.cmdline() != [])  # it is there a moment before its arguments are
    assert process.cmdline() == [sys.executable, "-m", "workbench.worker", str(tmp_path)]
    # Its own session and group: a Ctrl-C in the terminal of the app, or the end of that terminal, does not reach it.
    assert os.getsid(process.pid) == os.getpgid(process.pid) == process.pid != os.getpgid(0)


def test_another_executor_knows_it_by_its_handle(executor: LocalExecutor, handle: str) -> None:
    # Also by the handle as it once was written, without the executor's name.
    for known in (handle, handle.removeprefix("local:")):
        assert LocalExecutor(Places(Path("elsewhere"))).status(known) == "running"
    LocalExecutor(Places(Path("elsewhere"))).stop(handle.removeprefix("local:"))
    until(lambda: executor.status(handle) == "ended")


def test_a_killed_worker_does_not_run_though_nobody_has_reaped_it(
    executor: LocalExecutor, handle: str
) -> None:
    process = process_of(handle)
    executor.stop(handle, kill=True)
    until(lambda: executor.status(handle) == "ended")
    # This process is its parent and has not asked for its exit status: a zombie, or gone if it was reaped since.
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    executor.stop(handle)
    executor.stop(handle, kill=True)  # no error for what has ended


def test_a_pid_that_came_round_again_is_another_process(executor: LocalExecutor, handle: str) -> None:
    _, pid, started = handle.split(":")
    reused = f"local:{pid}:{float(started) - 100:.2f}"
    assert executor.status(reused) == "ended"
    executor.stop(reused, kill=True)
    time.sleep(0.2)
    assert executor.status(handle) == "running"
    assert executor.status(f"{os.getpid()}:1.00") == "ended"
    executor.stop(f"{os.getpid()}:1.00", kill=True)  # or this test would end here


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into psutil's Linux module")
def test_setting_the_clock_does_not_lose_a_job(
    executor: LocalExecutor, handle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Linux gives the time of the start of the machine as now minus uptime: it moves when the clock is set.
    from psutil import _pslinux

    before = _pslinux.boot_time()
    monkeypatch.setattr(_pslinux, "boot_time", lambda: before + 7200)
    assert psutil.boot_time() == before + 7200
    assert executor.status(handle) == "running"


@pytest.mark.parametrize(
    "handle", ["", ":", "x:1", "1", "999999999:1.00", "local:1:yesterday", "local:-1:0", "local:"]
)
def test_a_handle_that_says_nothing_is_no_running_job(executor: LocalExecutor, handle: str) -> None:
    assert executor.status(handle) == "ended"
    executor.stop(handle)


def test_what_a_worker_prints_is_in_its_log(executor: LocalExecutor, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("an earlier start\n")
    handle = executor.submit(plain(tmp_path), tmp_path)  # no spec.json in the folder
    until(lambda: executor.status(handle) == "ended")
    log = (tmp_path / "log.txt").read_text("utf-8")
    assert log.startswith("an earlier start\n")
    assert "is not a job folder" in log
