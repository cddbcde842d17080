"""The job of a training: a recipe makes a checkpoint, which then grades the golden set that it learnt from."""

from __future__ import annotations

from typing import Any

from workbench.files import read_text
from workbench.grading import read_inputs
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.judge_job import graded
from workbench.run import JobSpec, Verdict


def run(spec: JobSpec, folder: JobFolder, reporter: FolderReporter) -> dict[str, Any]:
    """Train, keep the checkpoint, and grade with it unless somebody asked to stop.

    Raises:
        WorkbenchError: if the recipe cannot be followed with what the folder holds.
    """
    # torch takes a second: whoever imports this module for its name need not wait for it.
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
    reporter.known["checkpoint"] = {
        "name": done.record.name,
        "recipe": given.recipe.recipe,
        "folder": str(done.folder),
        "record": done.record.model_dump(mode="json"),
    }
    if reporter.stopping():
        return reporter.known
    reporter.log("grading the golden set with the new checkpoint")
    return graded(CheckpointJudge(done.folder), inputs, folder, reporter, spec)
