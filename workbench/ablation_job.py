"""The job of an ablation: for each edit, one judge grades the pairs that flipped, under the older policy with it alone.

Each edit has a folder of its own, with its policy and its verdicts, so that a job that was stopped goes on where it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.grading import grade, read_inputs, read_policy
from workbench.identity import Value
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.judges.build import build_judge
from workbench.run import JobSpec, JudgeSpec


class AblatedEdit(Value):
    """One edit: its folder within the job's, the names of its changes, the pairs to grade."""

    folder: str
    changes: tuple[str, ...]  # workbench.flips.name_of
    pairs: tuple[str, ...]


class AblationSpec(Value):
    """What is tried, as the payload of its job."""

    a: str  # run ids
    b: str
    golden: str
    judge: JudgeSpec
    edits: tuple[AblatedEdit, ...]
    cache: str
    code_revision: str = ""


def run(spec: JobSpec, folder: JobFolder, reporter: FolderReporter) -> dict[str, Any]:
    """Grade the pairs of each edit under its policy.

    Raises:
        WorkbenchError: if the judge cannot grade at all; verdicts that were there before are kept.
    """
    given = AblationSpec.model_validate(spec.payload)
    inputs = read_inputs(folder.path)
    by_id = {pair.id: pair for pair in inputs.pairs}
    judge = build_judge(given.judge, inputs, Path(given.cache))
    total, done, seconds = sum(len(edit.pairs) for edit in given.edits), 0, 0.0
    for edit in given.edits:
        own = JobFolder(folder.path / edit.folder)
        reporter.log(f"{', '.join(edit.changes)}: {len(edit.pairs)} pairs")
        pairs = tuple(by_id[pair_id] for pair_id in edit.pairs)
        seconds += grade(judge, read_policy(own.path), pairs, own, reporter, before=done, total=total).seconds
        done += len(pairs)
        if reporter.stopping():
            break
    return {"judge": judge.identity.model_dump(mode="json"), "seconds": seconds}
