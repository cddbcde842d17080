"""Where jobs run. Each executor starts ``python -m workbench.worker JOB_DIR`` and can say whether it still runs."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Executor(Protocol):
    """A place where jobs run, independent of the process that submits them."""

    name: str

    def submit(self, folder: Path) -> str:
        """Start the worker on a job folder and return a handle that is valid after a restart of the app."""
        ...

    def running(self, handle: str) -> bool:
        """Whether the job behind the handle is still at work."""
        ...

    def stop(self, handle: str, *, kill: bool = False) -> None:
        """Ask the job to end, or end it at once. A job that has ended already is no error."""
        ...
