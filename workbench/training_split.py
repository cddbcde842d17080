"""Which queries a checkpoint's training learnt from and which it kept aside, worked out again from its lineage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import WorkbenchError
from workbench.policy import Policy
from workbench.run import Verdict
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.training.data import Example
    from workbench.training.record import CheckpointRecord


@dataclass(frozen=True)
class TrainingSplit:
    """Query ids. Both are None where that cannot be told, and ``reason`` says why."""

    learnt: frozenset[str] | None
    validation: frozenset[str] | None
    reason: str = ""


def training_split(workspace: Workspace, record: CheckpointRecord, policy: Policy) -> TrainingSplit:
    """Return which queries a training learnt from, and which it kept for its eval curve.

    What it learnt from is gathered again from the snapshot, the run, the data set and the click log of its lineage. The
    numbers of pairs have to be those that the record states; where they are not, nothing is claimed. What the
    checkpoint that it started from, or its teachers, learnt from is not counted.
    """
    try:
        examples = _examples(workspace, record, policy)
    except WorkbenchError as error:
        return TrainingSplit(None, None, error.message.rstrip("."))
    from workbench.training.data import split_examples

    train, validation = split_examples(examples, record.recipe.data.validation, record.recipe.seed)
    stated = (record.figures.get("pairs"), record.figures.get("validation_pairs"))
    if stated != (len(train), len(validation)):
        return TrainingSplit(None, None, "its record and its lineage do not state the same number of pairs")
    return TrainingSplit(
        frozenset(example.pair.query_id for example in train),
        frozenset(example.pair.query_id for example in validation),
    )


def _examples(workspace: Workspace, record: CheckpointRecord, policy: Policy) -> list[Example]:
    """Return the examples that had a target, as the training saw them but for what teachers said."""
    from workbench.click_logs import click_logs, impressions_path
    from workbench.datasets import dataset
    from workbench.training.record import TrainingInput
    from workbench.training_job import gather

    lineage, recipe = record.lineage, record.recipe
    name, _, version = lineage.golden.rpartition(" v")
    if not (name and version.isascii() and version.isdigit()):
        raise WorkbenchError("its record names no golden snapshot.")
    golden = workspace.store.snapshot(name, int(version))
    if golden.content_hash != lineage.golden_hash:
        raise WorkbenchError(f"{lineage.golden} is another snapshot here.")
    clicks = ""
    if lineage.clicks:
        log = next((card for card in click_logs(workspace) if card.content_hash == lineage.clicks), None)
        if log is None:
            raise WorkbenchError("its click log is not here.")
        clicks = str(impressions_path(workspace, log.name))
    given = TrainingInput(
        recipe=recipe,
        golden=name,
        golden_version=int(version),
        golden_hash=lineage.golden_hash,
        dataset=str(dataset(workspace, lineage.dataset).folder) if lineage.dataset else "",
        clicks=clicks,
    )
    soft: list[Verdict] = []
    if lineage.soft_run:
        said = workspace.store.judgements(lineage.soft_run, [pair.id for pair in golden.pairs])
        soft = [Verdict(pair_id=pair_id, judgements=tuple(j.values())) for pair_id, j in said.items()]
    found = gather(given, policy, golden, soft, Path(), _Deaf())
    if recipe.teachers:  # which are asked about every pair
        return found
    # As workbench.training.fit leaves out what has no target.
    graded, data = "policy" in recipe.heads, recipe.data
    by_label = graded and data.golden_weight > 0
    by_run = graded and data.soft_labels is not None and data.soft_labels.weight > 0
    by_dataset = graded and data.dataset is not None and data.dataset_weight > 0
    return [
        e
        for e in found
        if (by_label and e.golden) or (by_run and e.soft) or (by_dataset and e.dataset) or e.cells
    ]


class _Deaf:
    """A reporter that nobody listens to."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Nothing."""

    def metric(self, values: object) -> None:
        """Nothing."""

    def log(self, line: str) -> None:
        """Nothing."""

    def stopping(self) -> bool:
        """No."""
        return False

    def stopping_after_epoch(self) -> bool:
        """No."""
        return False
