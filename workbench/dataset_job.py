"""The job of a data set: a judge grades a pool, probes among it, and what it said becomes a Parquet file with a card.

The folder holds ``pool.jsonl``, what is graded; ``pairs.jsonl`` and ``labels.parquet``, the dev pairs of the golden set
and their labels, for judges that learn and for the quality report; no pair of a holdout. The judge is built without
the labels of the probes. Verdicts are kept line by line, so a job that was stopped goes on where it was; rows and card
are written at the end, the same ones however often the job was started.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from workbench.dataset import (
    CheckedSet,
    Counts,
    DatasetCard,
    DatasetRecipe,
    DatasetRow,
    RowSplit,
    Source,
)
from workbench.dataset_coverage import cover
from workbench.dataset_files import ROWS, write_card, write_rows
from workbench.dataset_grades import Graded, Grades, gather
from workbench.dataset_quality import quality
from workbench.errors import Refused
from workbench.golden import NOT_GRADED, ConsensusRule, draw_splits, settle
from workbench.grading import grade, read_inputs
from workbench.identity import Value
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.judges.build import build_judge
from workbench.judges.inputs import Inputs
from workbench.pair_file import PairFile
from workbench.run import JobSpec, JudgeSpec, Usage, Verdict

POOL = "pool.jsonl"


class DatasetInput(Value):
    """What a data set job is given beside its files and its judge."""

    recipe: DatasetRecipe
    sources: tuple[Source, ...]
    golden: str = ""  # label of the snapshot, "" without one
    golden_hash: str = ""
    consensus: ConsensusRule = "majority"
    checked: tuple[CheckedSet, ...] = ()
    found: int  # pairs in the source
    dropped: dict[str, int] = {}  # before grading
    probes: tuple[str, ...] = ()  # pair ids
    of_holdout_documents: tuple[str, ...] = ()  # pair ids
    notes: tuple[str, ...] = ()
    simulated: bool = False


def run(spec: JobSpec, folder: JobFolder, reporter: FolderReporter) -> dict[str, Any]:
    """Grade what has no verdict yet, then write the data set unless somebody asked to stop.

    Raises:
        CapReached: if a cap of the judge was reached; what it did is kept.
        Refused: if the judge graded no pair.
        WorkbenchError: if the judge cannot be built, or cannot grade at all; what it did is kept.
    """
    given = DatasetInput.model_validate(spec.payload["dataset"])
    chosen: JudgeSpec = TypeAdapter(JudgeSpec).validate_python(spec.payload["judge"])
    inputs = read_inputs(folder.path)
    pool = PairFile(folder.path / POOL)
    judge = build_judge(chosen, _blind(inputs, given.probes), Path(spec.payload["cache"]))
    try:
        grade(judge, inputs.policy, pool, folder, reporter)
    finally:
        reporter.known["judge"] = judge.identity.model_dump(mode="json")
    if reporter.stopping():
        return reporter.known
    reporter.log("writing the data set")
    made = _Made(given, inputs, pool, folder)
    written = write_rows(folder.artifacts / ROWS, made.rows(), inputs.policy, judge.identity.hash)
    card = DatasetCard(
        dataset=given.recipe.dataset,
        description=given.recipe.description,
        content_hash=written.content_hash,
        made_at=spec.created_at,
        author=spec.author,
        recipe=given.recipe,
        recipe_hash=given.recipe.content_hash,
        policy=inputs.policy.name,
        policy_version=inputs.policy.version,
        policy_hash=inputs.policy.content_hash,
        judge=judge.identity,
        sources=given.sources,
        golden=given.golden,
        golden_hash=given.golden_hash,
        checked=given.checked,
        counts=made.counts(),
        quality=made.quality(),
        usage=_total(folder.verdicts()),
        seconds=folder.seconds(),
        notes=(*given.notes, *made.notes()),
        simulated=given.simulated,
        code_revision=spec.payload.get("code_revision", ""),
    )
    write_card(folder.artifacts, card)
    reporter.log(f"{written.rows} rows: {card.id}")
    return reporter.known | {"card": card.model_dump(mode="json")}


def _blind(inputs: Inputs, probes: Sequence[str]) -> Inputs:
    """Return the inputs without the labels of the probes."""
    hidden = set(probes)
    return Inputs(
        inputs.policy,
        inputs.pairs,
        inputs.splits,
        lambda: inputs.labels[~inputs.labels["pair_id"].isin(hidden)].reset_index(drop=True),
    )


class _Made:
    """The data set that the verdicts in a folder make."""

    def __init__(self, given: DatasetInput, inputs: Inputs, pool: PairFile, folder: JobFolder) -> None:
        self._given, self._inputs, self._pool = given, inputs, pool
        pairs = [(pair.id, pair.query_id) for pair in pool]
        self._ids = [pair_id for pair_id, _ in pairs]
        self._queries = [query for _, query in pairs]
        probes = set(given.probes)
        self._probes = np.array([pair_id in probes for pair_id in self._ids], dtype=np.bool_)
        self._graded: Mapping[str, Graded] = gather(inputs.policy, self._ids, folder.verdicts())
        answers = [column.grades != NOT_GRADED for column in self._graded.values()]
        self._answered: npt.NDArray[np.bool_] = np.any(answers, axis=0)
        if not self._answered.any():
            raise Refused("The judge graded no pair.", "The log says why; start the job again.")
        self._rows = self._chosen()
        names = {self._queries[i]: "" for i in np.flatnonzero(self._rows)}
        drawn = draw_splits(
            names, holdout=given.recipe.validation, seed=f"dataset validation {given.recipe.seed}"
        )
        self._splits: dict[str, RowSplit] = {
            query: "validation" if split == "holdout" else "train" for query, split in drawn.items()
        }

    def rows(self) -> Iterator[DatasetRow]:
        """Yield the rows, sorted by pair id."""
        for i in sorted(np.flatnonzero(self._rows).tolist(), key=lambda i: self._ids[i]):
            yield DatasetRow(
                pair=self._pool[i],
                split=self._splits[self._queries[i]],
                is_probe=bool(self._probes[i]),
                judgements=tuple(column.judgement(i) for column in self._graded.values()),
            )

    def counts(self) -> Counts:
        """Return how many pairs there were at each step."""
        rows = np.flatnonzero(self._rows).tolist()
        shared = set(self._given.of_holdout_documents)
        failed = int((~self._answered).sum())
        unchosen = len(self._ids) - failed - len(rows)
        late = {"the judge failed on every dimension": failed, "not needed for coverage": unchosen}
        return Counts(
            found=self._given.found,
            dropped=self._given.dropped | {reason: count for reason, count in late.items() if count},
            graded=len(self._ids),
            rows=len(rows),
            probes=int((self._rows & self._probes).sum()),
            queries=len(self._splits),
            validation=sum(self._splits[self._queries[i]] == "validation" for i in rows),
            of_holdout_documents=sum(self._ids[i] in shared for i in rows),
        )

    def quality(self) -> Any:
        """Return the quality report."""
        return quality(self._graded, self._human(), self._queries, self._rows, self._probes)

    def notes(self) -> list[str]:
        """Return what has to be known to read the figures, in sentences."""
        said = []
        if not self._probes.any():
            said.append("There are no probes, so how far the judge agrees with people is not known.")
        elif (kind := self._given.recipe.judge.kind) == "checkpoint":
            said.append(
                "The judge may have been trained on the probes' labels: its agreement is then no test."
            )
        elif kind in ("ensemble", "cascade", "calibrated"):
            said.append(
                "The judge got no label of a probe; a checkpoint among its members may have been trained on them."
            )
        if self._probes.any() and self._given.recipe.pool.kind != "golden":
            said.append(
                "Corrected shares are right for pairs drawn like the golden set's; this pool was drawn otherwise, so "
                "they lean towards the golden set."
            )
        return said

    def _chosen(self) -> npt.NDArray[np.bool_]:
        """Return which graded pairs are rows: all that were answered, or those that cover level x dimension."""
        recipe = self._given.recipe
        rows = self._answered.copy()
        if recipe.choose == "coverage" and recipe.size is not None:
            free = np.flatnonzero(rows & ~self._probes)
            columns = {key: column.taken(free) for key, column in self._graded.items()}
            kept = free[cover(columns, [self._ids[i] for i in free], recipe.size, recipe.seed)]
            rows[free] = False
            rows[kept] = True
        return rows

    def _human(self) -> dict[str, Grades]:
        """Return dimension -> settled grades of people on the probes, NOT_GRADED elsewhere."""
        found = {}
        labels = self._inputs.labels if self._probes.any() else None
        for key, column in self._graded.items():
            human = np.full(len(self._ids), NOT_GRADED, dtype=np.int_)
            if labels is not None:
                where = np.flatnonzero(self._probes)
                settled = settle(labels, key, [self._ids[i] for i in where], self._given.consensus)
                # A level that this policy version does not have says nothing here.
                gone = (settled >= 0) & ~np.isin(settled, column.levels)
                human[where] = np.where(gone, NOT_GRADED, settled)
            found[key] = human
        return found


def _total(verdicts: Iterator[Verdict]) -> Usage:
    """Return the sums; the cost is unknown as soon as that of one call is."""
    names = ("calls", "input_tokens", "output_tokens", "cached_input_tokens")
    sums = dict.fromkeys(names, 0)
    cost: float | None = 0.0
    for verdict in verdicts:
        for name in names:
            sums[name] += getattr(verdict.usage, name)
        mine = verdict.usage.cost_usd
        cost = None if cost is None or mine is None else cost + mine
    return Usage(**sums, cost_usd=cost)
