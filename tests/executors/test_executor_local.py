"""The local executor: detached processes, handles that outlive it, signals to the right process only.

A job folder whose spec.json is a pipe keeps a worker waiting for as long as a test needs it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from workbench.executors.local import LocalExecutor


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def executor() -> LocalExecutor:
    return LocalExecutor()


@pytest.fixture
def handle(executor: LocalExecutor, tmp_path: Path) -> Iterator[str]:
    """The handle of a worker that waits."""
    os.mkfifo(tmp_path / "spec.json")
    handle = executor.submit(tmp_path)
    yield handle
    executor.stop(handle, kill=True)


def process_of(handle: str) -> psutil.Process:
    return psutil.Process(int(handle.partition(":")[0]))


def test_the_worker_runs_in_a_session_of_its_own(
    executor: LocalExecutor, handle: str, tmp_path: Path
) -> None:
    assert executor.running(handle)
    process = process_of(handle)
    until(lambda: process.cmdline() != [])  # it is there a moment before its arguments are
    assert process.cmdline() == [sys.executable, "-m", "workbench.worker", str(tmp_path)]
    # Its own session and group: a Ctrl-C in the terminal of the app, or the end of that terminal, does not reach it.
    assert os.getsid(process.pid) == os.getpgid(process.pid) == process.pid != os.getpgid(0)


def test_another_executor_knows_it_by_its_handle(executor: LocalExecutor, handle: str) -> None:
    assert LocalExecutor().running(handle)
    LocalExecutor().stop(handle)
    until(lambda: not executor.running(handle))


def test_a_killed_worker_does_not_run_though_nobody_has_reaped_it(
    executor: LocalExecutor, handle: str
) -> None:
    process = process_of(handle)
    executor.stop(handle, kill=True)
    until(lambda: not executor.running(handle))
    # This process is its parent and has not asked for its exit status: a zombie, or gone if it was reaped since.
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    executor.stop(handle)
    executor.stop(handle, kill=True)  # no error for what has ended


def test_a_pid_that_came_round_again_is_another_process(executor: LocalExecutor, handle: str) -> None:
    pid, _, started = handle.partition(":")
    reused = f"{pid}:{float(started) - 100:.2f}"
    assert not executor.running(reused)
    executor.stop(reused, kill=True)
    time.sleep(0.2)
    assert executor.running(handle)
    assert not executor.running(f"{os.getpid()}:1.00")
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
    assert executor.running(handle)


@pytest.mark.parametrize("handle", ["", ":", "x:1", "1", "999999999:1.00", "1:yesterday", "-1:0"])
def test_a_handle_that_says_nothing_is_no_running_job(executor: LocalExecutor, handle: str) -> None:
    assert not executor.running(handle)
    executor.stop(handle)


def test_what_a_worker_prints_is_in_its_log(executor: LocalExecutor, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("an earlier start\n")
    handle = executor.submit(tmp_path)  # no spec.json in the folder
    until(lambda: not executor.running(handle))
    log = (tmp_path / "log.txt").read_text("utf-8")
    assert log.startswith("an earlier start\n")
    assert "is not a job folder" in log
