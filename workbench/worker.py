"""The worker: ``python -m workbench.worker JOB_DIR`` does one job and leaves everything in its folder.

It touches no database and needs no Streamlit, so the same command runs here, on a GPU machine or under a scheduler.
Started again on the same folder, it goes on where it was.
"""

from __future__ import annotations

import signal
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from workbench import ablation_job, lint_job, suggestion_job, trial_job
from workbench.errors import WorkbenchError
from workbench.files import read_text
from workbench.grading import grade, read_inputs
from workbench.jobfolder import FolderReporter, JobFolder, Result
from workbench.judges.build import Inputs, build_judge
from workbench.run import CapReached, JobSpec, Judge, JudgeSpec, Verdict


def main(arguments: list[str]) -> int:
    """Do the job in the folder named by the one argument; 0 when it finished or was stopped, 1 when it failed."""
    if len(arguments) != 1:
        print("usage: python -m workbench.worker JOB_DIR", file=sys.stderr)
        return 2
    folder = JobFolder(Path(arguments[0]))
    spec = folder.spec()
    reporter = FolderReporter(folder)
    signal.signal(signal.SIGTERM, lambda *_: reporter.stop())
    reporter.log(f"{spec.title} ({spec.id})")
    reporter.progress(0, 0, "starting")
    work = {
        "judge_run": _judge_run,
        "training": _training,
        "trial": trial_job.run,
        "suggestion": suggestion_job.run,
        "lint": lint_job.run,
        "ablation": ablation_job.run,
    }[spec.kind]
    try:
        data = work(spec, folder, reporter)
        status = "cancelled" if reporter.stopping() else "finished"
        result = Result.model_validate({"status": status, "finished_at": datetime.now(UTC), "data": data})
    except CapReached as reached:
        reporter.log(str(reached))
        result = Result(
            status="capped", error=reached.message, hint=reached.hint, finished_at=datetime.now(UTC)
        )
    except WorkbenchError as error:
        reporter.log(f"failed: {error}")
        result = Result(status="failed", error=error.message, hint=error.hint, finished_at=datetime.now(UTC))
    except Exception as error:
        reporter.log(traceback.format_exc())
        message = f"The worker met an error of its own: {type(error).__name__}: {error}"
        result = Result(
            status="failed", error=message, hint="The log has the details.", finished_at=datetime.now(UTC)
        )
    reporter.close()
    folder.finish(result)
    return 1 if result.status == "failed" else 0


def _judge_run(spec: JobSpec, folder: JobFolder, reporter: FolderReporter) -> dict[str, Any]:
    inputs = read_inputs(folder.path)
    chosen: JudgeSpec = TypeAdapter(JudgeSpec).validate_python(spec.payload["judge"])
    judge = build_judge(chosen, inputs, Path(spec.payload["cache"]))
    return _graded(judge, inputs, folder, reporter, spec)


def _training(spec: JobSpec, folder: JobFolder, reporter: FolderReporter) -> dict[str, Any]:
    # torch is loaded by jobs that train, not by judge runs over HTTP.
    from workbench.judges.checkpoint import CheckpointJudge
    from workbench.training.data import build_examples
    from workbench.training.fit import fit
    from workbench.training.record import Lineage, TrainingInput

    inputs = read_inputs(folder.path)
    given = TrainingInput.model_validate(spec.payload["training"])
    soft = [
        Verdict.model_validate_json(line)
        for line in read_text(folder.path / "soft.jsonl").split("\n")
        if line
    ]
    examples = build_examples(inputs.policy, inputs.golden(given.golden, given.golden_version), soft)
    lineage = Lineage(
        golden=f"{given.golden} v{given.golden_version}",
        golden_hash=given.golden_hash,
        soft_run=given.soft_run,
        code_revision=spec.payload.get("code_revision", ""),
    )
    done = fit(
        given.recipe, inputs.policy, examples, folder.artifacts, reporter, lineage=lineage, resume=True
    )
    checkpoint = {
        "name": done.record.name,
        "recipe": given.recipe.recipe,
        "folder": str(done.folder),
        "record": done.record.model_dump(mode="json"),
    }
    if reporter.stopping():
        return {"checkpoint": checkpoint}
    reporter.log("grading the golden set with the new checkpoint")
    graded = _graded(CheckpointJudge(done.folder), inputs, folder, reporter, spec)
    return graded | {"checkpoint": checkpoint}


def _graded(
    judge: Judge, inputs: Inputs, folder: JobFolder, reporter: FolderReporter, spec: JobSpec
) -> dict[str, Any]:
    """Grade the inputs' pairs and return what the run's record needs."""
    done = grade(judge, inputs.policy, inputs.pairs, folder, reporter)
    return {
        "judge": judge.identity.model_dump(mode="json"),
        "seconds": done.seconds,
        "code_revision": spec.payload.get("code_revision", ""),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
