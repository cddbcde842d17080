"""The worker: ``python -m workbench.worker JOB_DIR`` does one job and leaves everything in its folder.

It touches no database and needs no Streamlit, so the same command runs here, on a GPU machine or under a scheduler.
Started again on the same folder, it goes on where it was.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.jobfolder import FolderReporter, Heartbeat, JobFolder, Result
from workbench.run import CapReached, JobKind, JobSpec

MODULES: dict[JobKind, str] = {
    "judge_run": "workbench.judge_job",
    "training": "workbench.training_job",
    "trial": "workbench.trial_job",
    "suggestion": "workbench.suggestion_job",
    "lint": "workbench.lint_job",
    "probe": "workbench.probe_job",
    "ablation": "workbench.ablation_job",
    "dataset": "workbench.dataset_job",
}
"""Kind of job -> the module whose ``run`` does it: of spec, folder and reporter it makes the data of the result.

A job pays for the imports of its own kind alone.
"""

_SPARE_BYTES = 256 * 1024


def main(arguments: list[str]) -> int:
    """Do the job in the folder named by the one argument; 0 when it finished or was stopped, 1 when it failed."""
    if len(arguments) != 1:
        print("usage: python -m workbench.worker JOB_DIR", file=sys.stderr)
        return 2
    folder = JobFolder(Path(arguments[0]))
    spec = folder.spec()
    reporter = FolderReporter(folder)
    # What judges say of their work (batches on their way, simpler response formats) belongs into the job's log.
    logging.basicConfig(
        stream=sys.stdout, level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
    )
    logging.getLogger("workbench").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, lambda *_: reporter.stop())
    spare = _Spare(folder.path)
    with Heartbeat(folder):
        ended = _work(spec, folder, reporter, spare)
    spare.free()
    try:
        folder.finish(Result(**ended, finished_at=datetime.now(UTC), data=reporter.known))
    except OSError as error:
        # Another job took even that room; without a result this one is lost, and can be resumed.
        print(f"{error}: the result could not be written to {folder.path}.", file=sys.stderr)
        return 1
    return 1 if ended["status"] == "failed" else 0


def _work(spec: JobSpec, folder: JobFolder, reporter: FolderReporter, spare: _Spare) -> dict[str, Any]:
    """Do the job and return how it ended, as the fields of its result; no error escapes."""
    ended: dict[str, Any]
    line = ""
    try:
        reporter.log(f"{spec.title} ({spec.id})")
        reporter.progress(0, 0, "starting")
        work: Callable[[JobSpec, JobFolder, FolderReporter], dict[str, Any]]
        work = import_module(MODULES[spec.kind]).run
        reporter.known |= work(spec, folder, reporter)
        reporter.close()
        stopped = reporter.stopping() or reporter.known.get("stopped")
        return {"status": "cancelled" if stopped else "finished"}
    except CapReached as reached:
        line = str(reached)
        ended = {"status": "capped", "error": reached.message, "hint": reached.hint}
    except Exception as error:
        if full := _full_disk(error, folder.path):
            spare.free()
            line = f"failed: {full}"
            ended = {"status": "failed", "error": full, "hint": "Free space and resume the job."}
        elif isinstance(error, WorkbenchError):
            line = f"failed: {error}"
            ended = {"status": "failed", "error": error.message, "hint": error.hint}
        else:
            # Loaded here: the worker itself loads no engine, and this is no usual end.
            from workbench.judges.keys import scrub

            line = scrub(traceback.format_exc())
            message = scrub(f"The worker met an error of its own: {type(error).__name__}: {error}")
            ended = {"status": "failed", "error": message, "hint": "The log has the details."}
    with suppress(OSError):  # the log lies on the same disk
        reporter.log(line)
    with suppress(OSError):  # what it still holds does not fit; a half row is cut off when the job is resumed
        reporter.close()
    return ended


class _Spare:
    """Room on the disk that is given back before the result is written, which so fits where nothing else does."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / ".spare"
        with suppress(OSError):  # full already: the work will say so
            self._path.write_bytes(os.urandom(_SPARE_BYTES))  # which no disk compresses

    def free(self) -> None:
        """Give it back."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)


def _full_disk(error: BaseException, folder: Path) -> str:
    """Return one sentence if the error, or what it came from, is a full disk; "" if it is not."""
    cause: BaseException | None = error
    while cause is not None:
        # Libraries with writers of their own (safetensors, SQLite) say it in words.
        words = any(text in str(cause) for text in ("No space left on device", "disk is full"))
        if words or (isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)):
            named = cause.filename if isinstance(cause, OSError) else None
            return f"The disk is full at {named or folder}."
        cause = cause.__cause__ or cause.__context__
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
