"""Jobs as detached processes on this machine; they outlive the app that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

from workbench.executors import Places, Status, worker_command
from workbench.executors.waiting import Queue, Ticket, slots_of
from workbench.run import JobSpec

_SAME_START_S = 2.0
"""The clock may be set between the two readings that a start is computed from; no pid comes round again so soon."""
_WAITING = "workbench.executors.waiting"


class LocalExecutor:
    """One process group a job, and a queue for the jobs that want a GPU or a CPU slot.

    A handle is ``local:pid:start``; the start tells a reused pid from the job's own. ``pid:start``, as it once was, is
    understood.
    """

    name = "local"

    def __init__(self, places: Places) -> None:
        self._queue = Queue(places.queue)

    def submit(self, spec: JobSpec, folder: Path) -> str:
        """Start the worker, or a process that becomes the worker when its turn comes.

        It is in a session of its own; what it prints is appended to ``log.txt``.

        Raises:
            Unavailable: if the job asks for more than this machine has.
            BadInput: for a setting of slots that cannot be one.
        """
        command = worker_command(folder)
        if spec.needs.slots != "none":
            count = max(spec.needs.gpus, 1) if spec.needs.slots == "gpu" else 1
            slots_of(spec.needs.slots, count, os.environ)
            ticket = Ticket(spec.id, spec.needs.slots, count, spec.priority, time.time_ns())
            # In the line before its process is up: of two jobs, the one submitted first is first.
            self._queue.issue(ticket)
            command = [sys.executable, "-m", _WAITING, str(self._queue.folder), ticket.name, str(folder)]
        with (folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        return f"{self.name}:{process.pid}:{_start(process.pid)}"

    def status(self, handle: str) -> Status:
        """Look at that very process; a zombie (ended, not yet reaped by its parent) is at work no more."""
        process = _process(handle)
        try:
            if process is None or process.status() == psutil.STATUS_ZOMBIE:
                return "ended"
            return "queued" if _WAITING in process.cmdline()[:3] else "running"
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return "ended"

    def stop(self, handle: str, *, kill: bool = False) -> None:
        """Send SIGTERM to the job's process group (the worker ends at its next safe point), or SIGKILL to all of it.

        Killed are also its descendants that have made groups of their own.
        """
        process = _process(handle)
        if process is None:
            return
        descendants = []
        with suppress(psutil.NoSuchProcess):
            descendants = process.children(recursive=True) if kill else []
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL if kill else signal.SIGTERM)
        for child in descendants:
            with suppress(psutil.NoSuchProcess):
                child.kill()

    def logs(self, handle: str, lines: int = 200) -> str:
        """Return "": all that its process says is in ``log.txt``."""
        return ""

    def command(self, folder: Path) -> list[str]:
        """Return the worker's command; run by hand, it does not wait for a slot."""
        return worker_command(folder)

    def waiting(self) -> list[Ticket]:
        """Return the jobs that wait, in the order in which they will start."""
        return self._queue.line()

    def prioritise(self, job_id: str, priority: int) -> bool:
        """Change the priority of a job that waits; False if it does not wait."""
        return self._queue.prioritise(job_id, priority)


def _start(pid: int) -> str:
    try:
        return f"{_since_boot(psutil.Process(pid)):.2f}"
    except psutil.NoSuchProcess:  # it ended before we could look
        return "gone"


def _since_boot(process: psutil.Process) -> float:
    """Return seconds from the machine's start to the process's: unlike the time of day, they do not move with the clock."""
    return process.create_time() - psutil.boot_time()


def _process(handle: str) -> psutil.Process | None:
    pid, _, started = handle.removeprefix("local:").partition(":")
    try:
        if int(pid) <= 1:  # never the machine's first process: its group is everything
            return None
        process = psutil.Process(int(pid))
        return process if abs(_since_boot(process) - float(started)) < _SAME_START_S else None
    except (psutil.NoSuchProcess, ValueError):
        return None
