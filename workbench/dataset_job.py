"""The job of a data set: a judge grades a pool, probes among it, and what it said becomes a Parquet file with a card.

The folder holds ``pool.jsonl``, what is graded (at first the probes alone, where a language model is to write the
pool: :mod:`workbench.synthesis_run`); ``pairs.jsonl`` and ``labels.parquet``, the dev pairs of the golden set
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
from workbench.dataset_summaries import FULL, SummariesCard
from workbench.dataset_summaries_rows import Summaries
from workbench.dataset_summaries_step import summarise, total
from workbench.errors import Refused
from workbench.golden import NOT_GRADED, ConsensusRule, Pair, draw_splits, settle
from workbench.grading import grade, read_inputs
from workbench.identity import Value
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.judges.inputs import Inputs
from workbench.pair_file import PairFile
from workbench.ray_judging import job_judge
from workbench.run import JobSpec, JudgeSpec, Usage
from workbench.synthesis import cell_reports
from workbench.synthesis_asking import answers
from workbench.synthesis_recipe import SYNTHETIC, SynthesisReport
from workbench.synthesis_run import SynthesisInput, Written, write_pool

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
    synthesis: SynthesisInput | None = None  # where a model is to write the pool


def run(spec: JobSpec, folder: JobFolder, reporter: FolderReporter) -> dict[str, Any]:
    """Have the pool written where that is asked for, grade what has no verdict yet, then write the data set; all of
    that unless somebody asked to stop.

    Raises:
        CapReached: if a cap of the judge, or of the model that writes, was reached; what it did is kept.
        Refused: if no pair is left to grade, or the judge graded none.
        WorkbenchError: if the judge cannot be built, or a model cannot be asked at all; what was done is kept.
    """
    given = DatasetInput.model_validate(spec.payload["dataset"])
    chosen: JudgeSpec = TypeAdapter(JudgeSpec).validate_python(spec.payload["judge"])
    inputs, cache = read_inputs(folder.path), Path(spec.payload["cache"])
    new: Written | None = None
    if given.synthesis is not None:
        path = folder.path / POOL
        new = write_pool(
            given.synthesis, given.recipe, inputs.policy, path, given.probes, folder, cache, reporter
        )
        if new is None:
            return reporter.known
        late = {"dropped": new.dropped, "of_holdout_documents": new.of_holdout_documents}
        given = given.model_copy(update={"found": len(new.cells), **late})
    pool = PairFile(folder.path / POOL)
    judge = job_judge(spec.payload, chosen, _blind(inputs, given.probes))
    try:
        grade(judge, inputs.policy, pool, folder, reporter)
    finally:
        reporter.known["judge"] = judge.identity.model_dump(mode="json")
    if reporter.stopping():
        return reporter.known
    made = _Made(given, inputs, pool, folder)
    summaries: Summaries | None = None
    shortened: SummariesCard | None = None
    if asked := given.recipe.summarise:
        summaries = summarise(asked, inputs.policy.pair, made.pairs(), folder, cache, reporter)
        if reporter.stopping():
            return reporter.known
        shortened = _shortened(made, summaries, inputs, folder, judge.identity.hash)
    reporter.log("writing the data set")
    rows = made.rows() if summaries is None else summaries.rows(made.rows(summaries.ids))
    written = write_rows(folder.artifacts / ROWS, rows, inputs.policy, judge.identity.hash)
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
        summaries=shortened,
        usage=total(verdict.usage for verdict in folder.verdicts()),
        synthesis=made.synthesis(new, total(answer.usage for answer in answers(folder))) if new else None,
        seconds=folder.seconds(),
        notes=(*given.notes, *made.notes()),
        simulated=given.simulated,
        code_revision=spec.payload.get("code_revision", ""),
    )
    write_card(folder.artifacts, card)
    reporter.log(f"{written.rows} rows: {card.id}")
    return reporter.known | {"card": card.model_dump(mode="json")}


def _shortened(
    made: _Made, summaries: Summaries, inputs: Inputs, folder: JobFolder, judge_hash: str
) -> SummariesCard:
    """Leave out the rows that have no short form, keep the others as they were graded, and return the card's part."""
    fields = summaries.fields(made.pairs())
    made.leave_out(summaries.sort_out(made.pairs()))
    full = write_rows(folder.artifacts / FULL, made.rows(), inputs.policy, judge_hash)
    return summaries.card(fields, full.content_hash)


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
        pairs = [(pair.id, pair.query_id, pair.meta.get(SYNTHETIC, "")) for pair in pool]
        self._ids = [pair_id for pair_id, _, _ in pairs]
        self._queries = [query for _, query, _ in pairs]
        self._cells = [cell for _, _, cell in pairs]  # for which a model was asked to write the pair
        probes = set(given.probes)
        self._probes = np.array([pair_id in probes for pair_id in self._ids], dtype=np.bool_)
        self._graded: Mapping[str, Graded] = gather(inputs.policy, self._ids, folder.verdicts())
        answers = [column.grades != NOT_GRADED for column in self._graded.values()]
        self._answered: npt.NDArray[np.bool_] = np.any(answers, axis=0)
        if not self._answered.any():
            raise Refused("The judge graded no pair.", "The log says why; start the job again.")
        self._rows = self._chosen()
        self._left_out: dict[str, int] = {}
        self._splits = self._drawn()

    def leave_out(self, reasons: Mapping[str, str]) -> None:
        """Make no rows of some pairs; ``reasons`` says why, by pair id.

        Raises:
            Refused: if no row is left.
        """
        for i in np.flatnonzero(self._rows).tolist():
            if reason := reasons.get(self._ids[i]):
                self._rows[i] = False
                self._left_out[reason] = self._left_out.get(reason, 0) + 1
        if not self._rows.any():
            said = ", ".join(f"{reason}: {count:,}" for reason, count in self._left_out.items())
            raise Refused(f"No row is left ({said}).", "The log says why; start the job again.")
        self._splits = self._drawn()

    def _drawn(self) -> dict[str, RowSplit]:
        """Return the split of each query that has rows."""
        names = {self._queries[i]: "" for i in np.flatnonzero(self._rows)}
        drawn = draw_splits(
            names, holdout=self._given.recipe.validation, seed=f"dataset validation {self._given.recipe.seed}"
        )
        return {query: "validation" if split == "holdout" else "train" for query, split in drawn.items()}

    def pairs(self) -> Iterator[Pair]:
        """Yield the pairs of the rows, sorted by id."""
        for i in sorted(np.flatnonzero(self._rows).tolist(), key=self._ids.__getitem__):
            yield self._pool[i]

    def rows(self, ids: Mapping[str, str] | None = None) -> Iterator[DatasetRow]:
        """Yield the rows, sorted by pair id, or by what ``ids`` says instead."""
        order = self._ids if ids is None else [ids.get(pair_id, "") for pair_id in self._ids]
        for i in sorted(np.flatnonzero(self._rows).tolist(), key=order.__getitem__):
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
        unchosen = len(self._ids) - failed - len(rows) - sum(self._left_out.values())
        late = {"the judge failed on every dimension": failed, "not needed for coverage": unchosen}
        late |= self._left_out
        return Counts(
            found=self._given.found,
            dropped=self._given.dropped | {reason: count for reason, count in late.items() if count},
            graded=len(self._ids),
            rows=len(rows),
            probes=int((self._rows & self._probes).sum()),
            queries=len(self._splits),
            validation=sum(self._splits[self._queries[i]] == "validation" for i in rows),
            synthetic=sum(bool(self._cells[i]) for i in rows),
            of_holdout_documents=sum(self._ids[i] in shared for i in rows),
        )

    def quality(self) -> Any:
        """Return the quality report."""
        return quality(self._graded, self._human(), self._queries, self._rows, self._probes)

    def synthesis(self, new: Written, usage: Usage) -> SynthesisReport:
        """Return what became of the pairs that a model wrote; ``usage`` is what that took."""
        asked = self._given.synthesis
        assert asked is not None
        return SynthesisReport(
            model=new.model,
            seeds=asked.seeds,
            seeds_hash=asked.seeds_hash,
            calls=new.calls,
            failed_calls=new.failed_calls,
            misfits=new.misfits,
            problems=new.problems,
            cells=cell_reports(asked.quotas, new.cells, self._graded, self._cells, self._rows.tolist()),
            usage=usage,
        )

    def notes(self) -> list[str]:
        """Return what has to be known to read the figures, in sentences."""
        said = []
        if self._given.recipe.summarise is not None:
            said.append(
                "What learns from the rows reads summaries, and grades full texts less well than those."
            )
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
