"""The job of a training: a recipe makes a checkpoint, which then grades the golden set it learnt from."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from workbench.errors import Unavailable
from workbench.files import read_text
from workbench.grading import read_inputs
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.judge_job import graded
from workbench.policy import Policy
from workbench.run import JobSpec, Reporter, Silent, Verdict

if TYPE_CHECKING:
    from workbench.golden import GoldenSet
    from workbench.judges.inputs import Inputs
    from workbench.training.data import Cell, Example
    from workbench.training.fit import FitResult
    from workbench.training.ranks import Ranks
    from workbench.training.record import TrainingInput

STOP_S = 120
"""Seconds that the processes of a training have to reach a safe point and save, after a signal to stop."""


def run(spec: JobSpec, folder: JobFolder, reporter: FolderReporter) -> dict[str, Any]:
    """Train, keep the checkpoint, and grade with it unless somebody asked to stop.

    With ``resources.gpus`` above 1 this process becomes torchrun, which starts the same worker once a GPU; the first of
    them does all that is done once, and the others end with their part of the training.

    Raises:
        WorkbenchError: if the recipe cannot be followed with what the folder holds.
    """
    # torch takes a second: whoever imports this module for its name need not wait for it.
    from workbench.judges.checkpoint import CheckpointJudge
    from workbench.training.ranks import joined
    from workbench.training.record import TrainingInput
    from workbench.training.tracking import check_tracking

    inputs = read_inputs(folder.path)
    given = TrainingInput.model_validate(spec.payload["training"])
    check_tracking(given.recipe.tracking)
    gpus = given.recipe.resources.gpus if given.recipe.resources else 0
    if gpus > 1 and "WORLD_SIZE" not in os.environ:
        become_torchrun(gpus, folder, reporter)
    with joined() as ranks:
        try:
            done = _trained(spec, given, inputs, folder, reporter, ranks)
        except Exception:
            if ranks.first:
                raise
            traceback.print_exc()  # the first writes the job's result; torchrun ends it when this process fails
            raise SystemExit(1) from None
    if not ranks.first:
        raise SystemExit(0)
    reporter.known["checkpoint"] = {
        "name": done.record.name,
        "recipe": given.recipe.recipe,
        "folder": str(done.folder),
        "record": done.record.model_dump(mode="json"),
    }
    if done.record.stopped:
        reporter.known["stopped"] = True
    if done.record.stopped or reporter.stopping():
        return reporter.known  # not graded: verdicts would be kept when it is resumed, of other weights
    if not done.record.heads:
        reporter.log("The checkpoint has a click head only, so it does not grade the golden set.")
        return reporter.known
    reporter.log("grading the golden set with the new checkpoint")
    return graded(CheckpointJudge(done.folder), inputs, folder, reporter, spec)


def become_torchrun(gpus: int, folder: JobFolder, reporter: Reporter) -> NoReturn:
    """Replace this process by torchrun with one worker a GPU on ``folder``: who watches the job sees the same process.

    Raises:
        Unavailable: this machine has fewer GPUs.
    """
    import torch

    has = torch.cuda.device_count()
    if has < gpus:
        raise Unavailable(
            f"The recipe asks for {gpus} GPUs, and this machine has {has}.",
            "Lower resources.gpus in the recipe, or choose an executor that has them.",
        )
    reporter.log(f"torchrun starts {gpus} processes, one a GPU")
    sys.stdout.flush()
    sys.stderr.flush()
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}"]
    launch += [f"--shutdown-timeout={STOP_S}"]
    worker = ["-m", "workbench.worker", str(folder.path)]
    os.execv(sys.executable, [sys.executable, *launch, *worker])


def _trained(
    spec: JobSpec,
    given: TrainingInput,
    inputs: Inputs,
    folder: JobFolder,
    reporter: FolderReporter,
    ranks: Ranks,
) -> FitResult:
    """Train as one of ``ranks``. The first one prepares what is kept on disk, and the others find it there."""
    from workbench.training.fit import fit
    from workbench.training.record import Lineage, read_record
    from workbench.training.tracking import tracked

    soft = [
        Verdict.model_validate_json(line)
        for line in read_text(folder.path / "soft.jsonl").split("\n")
        if line
    ]
    golden = inputs.golden(given.golden, given.golden_version)
    with ranks.first_before_others():
        heard = reporter if ranks.first else Silent()
        cache = Path(spec.payload.get("cache", ""))
        examples = gather(given, inputs.policy, golden, soft, cache, heard)
    parents = [path for path in (given.start, *given.teachers) if path]
    lineage = Lineage(
        golden=f"{given.golden} v{given.golden_version}",
        golden_hash=given.golden_hash,
        soft_run=given.soft_run,
        dataset=given.dataset_id,
        summaries=given.summaries,
        clicks=given.clicks_hash,
        parents=tuple(read_record(Path(path)).name for path in parents),
        code_revision=spec.payload.get("code_revision", ""),
    )
    report = tracked(
        reporter, given.recipe, inputs.policy, lineage, folder.artifacts, job=spec.id, first=ranks.first
    )
    with report as told:
        return fit(
            given.recipe,
            inputs.policy,
            examples,
            folder.artifacts,
            told,
            start=Path(given.start) if given.start else None,
            lineage=lineage,
            resume=True,
        )


def gather(
    given: TrainingInput,
    policy: Policy,
    golden: GoldenSet,
    soft: Sequence[Verdict],
    cache: Path,
    reporter: Reporter,
) -> list[Example]:
    """Return all that a recipe learns from: dev pairs, the data set, clicks, and what teachers say of all these.

    Args:
        given: the recipe, and where what it names lies.
        policy: under which it is trained.
        golden: whose dev pairs are learnt.
        soft: verdicts of the run that the recipe takes soft labels from.
        cache: folder under which the answers of teachers are kept.
        reporter: hears what was left out.

    Raises:
        WorkbenchError: something does not fit, or comes from the holdout.
    """
    from workbench.dataset_files import iter_rows
    from workbench.training.data import add_clicks, add_dataset, build_examples
    from workbench.training.teaching import teach

    recipe = given.recipe
    examples = build_examples(policy, golden, soft)
    if given.dataset:
        rows = (row for batch in iter_rows(Path(given.dataset)) for row in batch)
        examples = add_dataset(policy, golden, examples, rows)
    if given.clicks:
        examples, missed = add_clicks(golden, examples, read_cells(Path(given.clicks)))
        if missed:
            reporter.log(f"{missed} documents of the click log are no pair here; they are left out.")
    if given.teachers:
        pairs = [example.pair for example in examples]
        said = [
            teach(Path(path), teacher, recipe, policy, pairs, cache / "teachers", reporter)
            for path, teacher in zip(given.teachers, recipe.teachers, strict=True)
        ]
        answers = zip(*said, strict=True)
        examples = [replace(e, taught=taught) for e, taught in zip(examples, answers, strict=True)]
    return examples


def read_cells(path: Path) -> dict[str, list[Cell]]:
    """Return document -> its impressions by position and propensity, from a kept click log.

    The documents of a log that is to be learnt from are pair ids. Rows are read a batch at a time: room is taken by the
    cells.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from workbench.training.data import Cell

    keys = ["document", "position", "propensity"]
    parts = []
    for batch in pq.ParquetFile(path).iter_batches(batch_size=1 << 18, columns=[*keys, "clicked"]):
        table = pa.table(
            {
                "document": batch["document"].cast(pa.string()),
                "position": batch["position"],
                "propensity": batch["propensity"],
                "clicked": batch["clicked"].cast(pa.int64()),
            }
        )
        parts.append(table.group_by(keys).aggregate([("clicked", "sum"), ("clicked", "count")]))
    if not parts:
        return {}
    whole = pa.concat_tables(parts).group_by(keys)
    cells: dict[str, list[Cell]] = {}
    total = whole.aggregate([("clicked_sum", "sum"), ("clicked_count", "sum")])
    for row in total.sort_by([(key, "ascending") for key in keys]).to_pylist():
        propensity = 1.0 if row["propensity"] is None else row["propensity"]
        cell = Cell(row["position"], row["clicked_count_sum"], row["clicked_sum_sum"], propensity)
        cells.setdefault(row["document"], []).append(cell)
    return cells
