"""Jobs as detached processes on this machine; they outlive the app that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

_SAME_START_S = 2.0
"""The clock may be set between the two readings that a start is computed from; no pid comes round again so soon."""


class LocalExecutor:
    """One process group a job. A handle is ``pid:start``; the start tells a reused pid from the job's own."""

    name = "local"

    def submit(self, folder: Path) -> str:
        """Start the worker, its output appended to ``log.txt``, in a session of its own."""
        with (folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "workbench.worker", str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        return f"{process.pid}:{_start(process.pid)}"

    def running(self, handle: str) -> bool:
        """Whether that very process lives; a zombie (ended, not yet reaped by its parent) does not."""
        process = _process(handle)
        try:
            return process is not None and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def stop(self, handle: str, *, kill: bool = False) -> None:
        """Send SIGTERM (the worker ends at its next safe point) or SIGKILL to the job's process group."""
        process = _process(handle)
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL if kill else signal.SIGTERM)


def _start(pid: int) -> str:
    try:
        return f"{_since_boot(psutil.Process(pid)):.2f}"
    except psutil.NoSuchProcess:  # it ended before we could look
        return "0"


def _since_boot(process: psutil.Process) -> float:
    """Return seconds from the machine's start to the process's: unlike the time of day, they do not move with the clock."""
    return process.create_time() - psutil.boot_time()


def _process(handle: str) -> psutil.Process | None:
    pid, _, started = handle.partition(":")
    try:
        process = psutil.Process(int(pid))
        return process if abs(_since_boot(process) - float(started)) < _SAME_START_S else None
    except (psutil.NoSuchProcess, ValueError):
        return None
