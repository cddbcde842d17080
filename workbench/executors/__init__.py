"""Where jobs run. Every executor starts the same command, ``python -m workbench.worker JOB_DIR``.

A job outlives the process that submitted it; its handle, kept in the store, is all that is needed to ask for it again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from workbench.errors import NotFound

if TYPE_CHECKING:  # a job that waits for its turn loads nothing but the standard library
    from workbench.run import JobSpec

Status = Literal["queued", "running", "ended"]
"""What an executor knows of a job; how it ended is in the job's folder."""


class Executor(Protocol):
    """A place where jobs run, independent of the process that submits them."""

    name: str

    def submit(self, spec: JobSpec, folder: Path) -> str:
        """Have the worker run on a job folder, at once or when its turn comes.

        Returns:
            A handle that starts with the executor's name and a colon, valid after a restart of the app.

        Raises:
            WorkbenchError: when it cannot be started (a cluster that does not answer, needs that can never be met).
        """
        ...

    def status(self, handle: str) -> Status:
        """Return whether the job waits, is at work, or has ended; ``ended`` for a handle that nobody knows.

        Raises:
            Unavailable: when it cannot be asked just now, which says nothing of the job.
        """
        ...

    def stop(self, handle: str, *, kill: bool = False) -> None:
        """Ask the job to end at its next safe point, or end it and its children at once.

        A job that has ended already is no error.
        """
        ...

    def logs(self, handle: str, lines: int = 200) -> str:
        """Return what only the executor knows, such as a failure to start; "" where ``log.txt`` has it all."""
        ...

    def command(self, folder: Path) -> list[str]:
        """Return the command that does the job, to be run by hand or under a scheduler such as Slurm."""
        ...


def worker_command(folder: Path) -> list[str]:
    """Return the one command that does a job, with the Python that runs here."""
    return [sys.executable, "-m", "workbench.worker", str(folder)]


@dataclass(frozen=True)
class Places:
    """What executors are made with."""

    queue: Path
    """Folder with the tickets and slots of this machine's queue."""


def _local(places: Places) -> Executor:
    from workbench.executors.local import LocalExecutor

    return LocalExecutor(places)


def _ray(places: Places) -> Executor:
    from workbench.executors.ray import RayExecutor

    return RayExecutor()


EXECUTORS: dict[str, Callable[[Places], Executor]] = {"local": _local, "ray": _ray}
"""Name -> what makes the executor; its module, and so its libraries, are loaded only then."""


def make(name: str, places: Places) -> Executor:
    """Return the executor of that name.

    Raises:
        NotFound: with the nearest names there are.
        WorkbenchError: what the executor says when it cannot be used.
    """
    if name not in EXECUTORS:
        raise NotFound.among("executor", name, EXECUTORS)
    return EXECUTORS[name](places)
