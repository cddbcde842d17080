"""The worker: ``python -m workbench.worker JOB_DIR`` does one job and leaves everything in its folder.

It touches no database and needs no Streamlit, so the same command runs here, on a GPU machine or under a scheduler.
Started again on the same folder, it goes on where it was.
"""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from workbench.errors import WorkbenchError
from workbench.jobfolder import FolderReporter, JobFolder, Result
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
    reporter.log(f"{spec.title} ({spec.id})")
    reporter.progress(0, 0, "starting")
    ended: dict[str, Any]
    try:
        work: Callable[[JobSpec, JobFolder, FolderReporter], dict[str, Any]]
        work = import_module(MODULES[spec.kind]).run
        reporter.known |= work(spec, folder, reporter)
        ended = {"status": "cancelled" if reporter.stopping() else "finished"}
    except CapReached as reached:
        reporter.log(str(reached))
        ended = {"status": "capped", "error": reached.message, "hint": reached.hint}
    except WorkbenchError as error:
        reporter.log(f"failed: {error}")
        ended = {"status": "failed", "error": error.message, "hint": error.hint}
    except Exception as error:
        # Loaded here: the worker itself loads no engine, and this is no usual end.
        from workbench.judges.keys import scrub

        reporter.log(scrub(traceback.format_exc()))
        message = scrub(f"The worker met an error of its own: {type(error).__name__}: {error}")
        ended = {"status": "failed", "error": message, "hint": "The log has the details."}
    reporter.close()
    folder.finish(Result(**ended, finished_at=datetime.now(UTC), data=reporter.known))
    return 1 if ended["status"] == "failed" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
