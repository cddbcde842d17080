"""The local executor, for the contract tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.executors import Executor, Places
from workbench.executors.local import LocalExecutor

NAME = "local"


def unavailable() -> str:
    """It is always there."""
    return ""


@contextmanager
def opened(path: Path) -> Iterator[Executor]:
    """Return one with a queue of its own."""
    yield LocalExecutor(Places(path / "queue"))


def source(path: Path) -> str:
    """Return what makes one with the same queue."""
    return (
        "from pathlib import Path\n"
        "from workbench.executors import Places, make\n"
        f"executor = make('local', Places(Path({str(path / 'queue')!r})))"
    )
