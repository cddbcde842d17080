"""A trial on the worker: one judge grades a few pairs under a draft and under the version the draft began with.

The folder is that of a judge run of the draft; ``published/`` in it holds the other policy and its verdicts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.grading import grade, read_inputs, read_policy
from workbench.identity import Value
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.judges.build import build_judge
from workbench.run import JobSpec, JudgeSpec

PUBLISHED = "published"
"""Folder of the published side; there is none for a policy that has never been published."""


class TrialSpec(Value):
    """What is tried, as the payload of its job."""

    draft: str  # id
    draft_revision: int
    policy: str
    base_version: int  # 0: never published, the draft alone is graded
    judge: JudgeSpec
    golden: str = ""  # the set whose labels are shown beside the grades, and taught to the baseline
    pairs: tuple[str, ...]  # ids, in the order in which they are shown
    cache: str
    code_revision: str = ""


def run(spec: JobSpec, folder: JobFolder, reporter: FolderReporter) -> dict[str, Any]:
    """Grade the pairs, the draft's side first: alone it says something, the published side alone does not.

    Raises:
        WorkbenchError: if the judge cannot grade at all; verdicts that were there before are kept.
    """
    given = TrialSpec.model_validate(spec.payload)
    inputs = read_inputs(folder.path)
    by_id = {pair.id: pair for pair in inputs.pairs}
    pairs = tuple(by_id[pair_id] for pair_id in given.pairs)
    judge = build_judge(given.judge, inputs, Path(given.cache))
    sides = [(folder, inputs.policy)]
    other = published_side(folder)
    if other is not None:
        sides.append((other, read_policy(other.path)))
    seconds, total = 0.0, len(pairs) * len(sides)
    for i, (side, policy) in enumerate(sides):
        reporter.log(f"{'draft' if side is folder else policy.label}: {len(pairs)} pairs")
        done = grade(judge, policy, pairs, side, reporter, before=i * len(pairs), total=total)
        seconds += done.seconds
        if reporter.stopping():
            break
    return {
        "judge": judge.identity.model_dump(mode="json"),
        "seconds": seconds,
        "code_revision": given.code_revision,
    }


def published_side(folder: JobFolder) -> JobFolder | None:
    """Return the part of a trial's folder that holds the published side; None where the draft is alone."""
    path = folder.path / PUBLISHED
    return JobFolder(path) if path.is_dir() else None
