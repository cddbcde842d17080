"""The job of a judge run: one judge grades the pairs in the folder."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from workbench.grading import grade, read_inputs
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.judges.inputs import Inputs
from workbench.ray_judging import job_judge
from workbench.run import JobSpec, Judge, JudgeSpec


def run(spec: JobSpec, folder: JobFolder, reporter: FolderReporter) -> dict[str, Any]:
    """Grade the pairs that have no verdict yet.

    Raises:
        CapReached: if a cap of the judge was reached; what it did is kept.
        WorkbenchError: if the judge cannot be built, or cannot grade at all; what it did is kept.
    """
    inputs = read_inputs(folder.path)
    chosen: JudgeSpec = TypeAdapter(JudgeSpec).validate_python(spec.payload["judge"])
    judge = job_judge(spec.payload, chosen, inputs)
    return graded(judge, inputs, folder, reporter, spec)


def graded(
    judge: Judge, inputs: Inputs, folder: JobFolder, reporter: FolderReporter, spec: JobSpec
) -> dict[str, Any]:
    """Grade the inputs' pairs and return what the run's record needs; the reporter knows it if grading ends early."""
    try:
        grade(judge, inputs.policy, inputs.pairs, folder, reporter)
    finally:
        reporter.known |= {
            "judge": judge.identity.model_dump(mode="json"),
            "seconds": folder.seconds(),
            "code_revision": spec.payload.get("code_revision", ""),
        }
    return reporter.known
