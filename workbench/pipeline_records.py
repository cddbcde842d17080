"""What is kept of a pipeline's run, the lock on it, and the process that drives it.

A run lies in ``HOME/pipelines/<id>/``: ``run.json`` (replaced whole, under a lock) and the log of its driver. The driver
holds a lock of its own for as long as it lives; it gets that lock from whoever starts it, so there is no moment in
which a second one could be started.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench.errors import BadInput, NotFound
from workbench.files import read_text, write_text
from workbench.identity import Value
from workbench.pipeline import Pipeline
from workbench.workspace import Workspace
from workbench.yamltext import describe

FOLDER = "pipelines"
DRIVER = "workbench.pipeline_driver"
_RECORD, _LOCK, _DRIVER_LOCK, _LOG = "run.json", "lock", "driver.lock", "driver.log"


class StepRecord(Value):
    """What has been done about a step. ``what`` is the id of its product, "" while there is none."""

    key: str = ""
    job: str = ""
    what: str = ""
    reused: bool = False
    error: str = ""
    tries: int = 0  # of an evaluation
    progress: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


class RunRecord(Value):
    """One run of a pipeline, as it is kept. Its recipes are those of its start."""

    id: str
    pipeline: Pipeline
    policy_version: int
    policy_hash: str
    folder: str
    author: str
    started_at: datetime
    force: tuple[str, ...] = ()
    stopped_by: str = ""
    broken: str = ""  # why its driver gave up
    steps: dict[str, StepRecord] = {}


def folder_of(workspace: Workspace, run_id: str) -> Path:
    """Return where a run lies."""
    return workspace.settings.home / FOLDER / run_id


def run_ids(workspace: Workspace) -> list[str]:
    """Return the ids of all runs."""
    return [path.parent.name for path in (workspace.settings.home / FOLDER).glob(f"*/{_RECORD}")]


def read_run(workspace: Workspace, run_id: str) -> RunRecord:
    """Return what is kept of a run.

    Raises:
        NotFound: there is no such run, with the nearest there are.
        BadInput: its file is damaged.
    """
    known = run_ids(workspace)
    if run_id not in known:
        raise NotFound.among("run of a pipeline", run_id, known)
    path = folder_of(workspace, run_id) / _RECORD
    try:
        return RunRecord.model_validate_json(read_text(path))
    except ValidationError as error:
        raise BadInput(*describe(error, str(path))) from error


def write_run(workspace: Workspace, record: RunRecord) -> None:
    """Keep a run; the caller holds its lock."""
    write_text(folder_of(workspace, record.id) / _RECORD, record.model_dump_json(indent=1) + "\n")


def keep_step(workspace: Workspace, run_id: str, step: str, **changes: Any) -> None:
    """Change what is kept of one step."""
    with locked(workspace, run_id):
        record = read_run(workspace, run_id)
        changed = record.steps.get(step, StepRecord()).model_copy(update=changes)
        write_run(workspace, record.model_copy(update={"steps": record.steps | {step: changed}}))


@contextmanager
def locked(workspace: Workspace, run_id: str) -> Iterator[None]:
    """Hold the lock on a run's record; it also holds between threads, and ends with its process."""
    folder = folder_of(workspace, run_id)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def driven(workspace: Workspace, run_id: str) -> bool:
    """Return whether a run's driver is at work."""
    file = _driver_lock(workspace, run_id)
    if file is None:
        return True
    os.close(file)
    return False


def start_driver(workspace: Workspace, run_id: str) -> None:
    """Start a run's driver, a process that outlives this one, unless there is one."""
    file = _driver_lock(workspace, run_id)
    if file is None:
        return
    settings = workspace.settings
    known = {
        "WORKBENCH_ROOT": str(settings.root),
        "WORKBENCH_HOME": str(settings.home),
        "WORKBENCH_DATABASE_URL": settings.database_url,
        "WORKBENCH_EXECUTOR": settings.executor,
        "WORKBENCH_QUEUE": str(settings.queue),
        "WORKBENCH_USER": settings.user,
    }
    try:
        with (folder_of(workspace, run_id) / _LOG).open("ab") as log:
            subprocess.Popen(
                [sys.executable, "-m", DRIVER, run_id, "--lock", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[file],
                env=os.environ | known | {"PYTHONUNBUFFERED": "1"},
            )
    finally:
        os.close(file)  # the driver has it now


def take_driver_lock(workspace: Workspace, run_id: str) -> bool:
    """Hold the driver's lock until this process ends; False if another process drives the run."""
    return _driver_lock(workspace, run_id) is not None


def driver_log(workspace: Workspace, run_id: str, lines: int = 20) -> str:
    """Return the end of what the drivers of a run wrote."""
    path = folder_of(workspace, run_id) / _LOG
    return "\n".join(path.read_text("utf-8", "replace").splitlines()[-lines:]) if path.exists() else ""


def _driver_lock(workspace: Workspace, run_id: str) -> int | None:
    """Return the open file of the driver's lock, held now; None where another process holds it."""
    file = os.open(folder_of(workspace, run_id) / _DRIVER_LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
