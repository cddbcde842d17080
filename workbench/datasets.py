"""Verbs of data sets: plan one, start making it, find those that are made, check one against the golden sets of today.

A finished data set lives in ``HOME/datasets/<name>-<hash>/`` with its rows and its card, and where fields were
summarised, with the rows that the judge graded (``full.parquet``). It is brought there from the folder of its job when
somebody asks for data sets, so that it stays when the job's folder is cleared away. The same rows by the same judge
under the same policy are one data set, however often they are made.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import jobs
from workbench.dataset import CheckedSet, DatasetCard, DatasetRecipe, parse_recipe
from workbench.dataset_bill import judge_bill
from workbench.dataset_files import CARD, ROWS, iter_rows, read_card, rows_hash
from workbench.dataset_inputs import holdouts, prepare_inputs
from workbench.dataset_job import POOL, DatasetInput
from workbench.dataset_leakage import counted, leaks
from workbench.dataset_summaries import FULL
from workbench.dataset_summaries_plan import SummariesPlan, plan_summaries
from workbench.errors import NotFound, WorkbenchError
from workbench.files import read_text
from workbench.golden import Pair
from workbench.jobfolder import JobFolder
from workbench.judge_choice import judge_name
from workbench.judge_runs import write_inputs
from workbench.pair_file import write_pairs
from workbench.ray_judging import shared
from workbench.run import Needs
from workbench.synthesis_plan import WritingBill, writing_bill
from workbench.synthesis_recipe import Quota, SyntheticPool
from workbench.synthesis_run import write_synthesis_inputs
from workbench.workspace import Workspace, code_revision

FOLDER = "datasets"
EXAMPLES = 10
"""Leaking pairs that a check names."""


@dataclass(frozen=True)
class DatasetPlan:
    """What is known of a data set before it is made. A cost that is unknown is None, never 0.

    Calls, tokens and cost are at most, of what is left to ask; answers in the verdict cache are deducted.
    """

    found: int  # pairs in the source, or asked of the model that writes them
    dropped: dict[str, int]
    pool: int  # to grade, probes left out; at most, where it is still to be written
    probes: int
    rows: int  # at most, probes included
    checked: tuple[CheckedSet, ...]
    judge: str
    notes: tuple[str, ...]
    simulated: bool
    calls: int = 0
    known: int = 0  # answers in the verdict cache
    estimated: bool = (
        False  # the pool is large: some pairs were looked up, the others are taken to be like them
    )
    input_tokens: int = 0
    output_tokens: int = 0  # expected
    cost_usd: float | None = 0.0  # at list prices, nothing saved by the provider's prompt cache
    cost_unknown: str = ""
    keys_missing: tuple[str, ...] = ()  # environment variables that a model needs and that are not set
    cells: tuple[Quota, ...] = ()  # what a model is asked to write
    writing: WritingBill | None = None  # what that takes, besides what the judge takes
    summaries: SummariesPlan | None = None  # of the pairs that are known before the job


@dataclass(frozen=True)
class Dataset:
    """A data set that is made, and where it lies."""

    card: DatasetCard
    folder: Path

    @property
    def rows(self) -> Path:
        """The Parquet file."""
        return self.folder / ROWS

    @property
    def graded(self) -> Path:
        """The Parquet file with the texts that the judge graded: another one where fields were summarised."""
        return self.folder / (FULL if self.card.summaries else ROWS)


@dataclass(frozen=True)
class DatasetCheck:
    """What there is to say of a data set today."""

    dataset: str
    rows: int
    damaged: str  # why it cannot be trusted; "" where rows and card are what was written
    leaks: dict[str, int]  # why -> rows
    examples: tuple[str, ...]  # ids of some rows that leak
    checked: tuple[CheckedSet, ...]  # against what was checked now
    grown: tuple[str, ...]  # golden sets whose holdout is another than when the data set was made
    newest_policy: int
    policy_version: int

    @property
    def sound(self) -> bool:
        """Whether it may be trained on."""
        return not self.damaged and not self.leaks


def read_dataset_recipe(path: Path) -> DatasetRecipe:
    """Return the recipe in a file.

    Raises:
        NotFound: if there is no such file.
        BadInput: if it is malformed; names line and place.
    """
    return parse_recipe(read_text(path), str(path))


def plan_dataset(workspace: Workspace, recipe: DatasetRecipe, folder: Path) -> DatasetPlan:
    """Return what making ``recipe`` would take. Nothing is sent.

    Args:
        folder: what the file names in the recipe are relative to.

    Raises:
        WorkbenchError: as :func:`start_dataset`; also if the tokenizer or the price list is missing.
    """
    prepared = prepare_inputs(workspace, recipe, folder)
    pool, probes = prepared.to_grade(recipe), len(prepared.probes)
    bill = judge_bill(workspace, prepared, pool + probes)
    writing: WritingBill | None = None
    if isinstance(recipe.pool, SyntheticPool) and prepared.synthesis is not None:
        writing = writing_bill(prepared.policy, recipe.pool, prepared.synthesis, recipe.seed)
    return DatasetPlan(
        found=prepared.found,
        dropped=prepared.dropped,
        pool=pool,
        probes=probes,
        rows=min(pool, recipe.size or pool) + probes,
        checked=prepared.checked,
        judge=judge_name(prepared.judge),
        notes=prepared.notes,
        simulated=prepared.simulated,
        cells=prepared.synthesis.given.quotas if prepared.synthesis else (),
        writing=writing,
        summaries=plan_summaries(workspace, recipe.summarise, prepared.policy.pair, prepared.pairs),
        **bill,
    )


def start_dataset(
    workspace: Workspace, recipe: DatasetRecipe, folder: Path, *, author: str, key: str = "", ray: int = 0
) -> str:
    """Start making a data set as a job, and return the job's id.

    Args:
        folder: what the file names in the recipe are relative to.
        key: makes the call repeatable: the same key starts one job only (a double click).
        ray: actors of the Ray cluster of the machine where the job runs, which share the pairs that the judge
            grades; 0: none.

    Raises:
        NotFound: for a policy, golden set, checkpoint, file or column that does not exist.
        Refused: for a golden set of another policy, and where nothing is left to grade.
        BadInput: for a judge or a file that cannot be used.
        Unavailable: when MiniLM is asked for and not installed.
    """
    job_id = f"job-data-{key}" if key else jobs.new_id("job-data")
    if key and jobs.exists(workspace, job_id):
        return job_id
    prepared = prepare_inputs(workspace, recipe, folder)
    if ray:
        shared(prepared.judge, ray)  # said before anything starts
    golden = prepared.golden
    given = DatasetInput(
        recipe=recipe,
        sources=prepared.sources,
        golden=golden.label if golden.version else "",
        golden_hash=prepared.golden_hash,
        consensus=workspace.store.golden(golden.name).consensus if golden.version else "majority",
        checked=prepared.checked,
        found=prepared.found,
        dropped=prepared.dropped,
        probes=tuple(pair.id for pair in prepared.probes),
        of_holdout_documents=prepared.of_holdout_documents,
        notes=prepared.notes,
        simulated=prepared.simulated,
        synthesis=prepared.synthesis.given if prepared.synthesis else None,
    )
    payload: dict[str, Any] = {
        "dataset": given.model_dump(mode="json"),
        "judge": prepared.judge.model_dump(mode="json"),
        "cache": str(workspace.cache_folder),
        "code_revision": code_revision(),
        "ray": ray,
    }
    spec, job = jobs.prepare(
        workspace,
        "dataset",
        job_id=job_id,
        title=f"Data set {recipe.dataset} · {judge_name(prepared.judge)} · {prepared.policy.label}",
        author=author,
        payload=payload,
        # A judge or a writer that is asked over the network needs no processor of its own.
        needs=Needs() if prepared.judge.kind == "llm" else None,
    )
    write_inputs(job.path, prepared.policy, golden)
    pairs = prepared.pairs
    write_pairs(job.path / POOL, pairs, {pair.id: "dev" for pair in pairs})
    if prepared.synthesis is not None:
        write_synthesis_inputs(job.path, prepared.synthesis.seeds, prepared.synthesis.holdout, job_id)
    jobs.submit(workspace, spec, job)
    return job_id


def datasets(workspace: Workspace) -> list[Dataset]:
    """Return the data sets that are made, newest first; those of jobs that ended since the last call are brought in.

    Raises:
        BadInput: if the card of one is damaged.
    """
    home = workspace.settings.home / FOLDER
    for job in workspace.store.jobs("dataset"):
        _bring_in(home, JobFolder(Path(job.folder)))
    folders = sorted(path.parent for path in home.glob(f"*/{CARD}") if not path.parent.name.startswith("."))
    found = [Dataset(read_card(folder), folder) for folder in folders]
    return sorted(found, key=lambda one: one.card.made_at, reverse=True)


def dataset(workspace: Workspace, name: str) -> Dataset:
    """Return a data set by its id (``product-pool-3f9a1c20``), or the newest of a name.

    Raises:
        NotFound: with the nearest names there are.
    """
    found = datasets(workspace)
    for one in found:
        if name in (one.card.id, one.card.content_hash):
            return one
    for one in found:  # newest first
        if name == one.card.dataset:
            return one
    raise NotFound.among("data set", name, [n for one in found for n in (one.card.id, one.card.dataset)])


def made_by(workspace: Workspace, job_id: str) -> Dataset | None:
    """Return the data set that a job made; None where it has made none."""
    result = jobs.folder_of(workspace, job_id).result()
    if result is None or "card" not in result.data:
        return None
    return dataset(workspace, DatasetCard.model_validate(result.data["card"]).content_hash)


def check(workspace: Workspace, name: str) -> DatasetCheck:
    """Return whether a data set is what was written, and what of it is like a holdout of today.

    Golden sets grow: a pair that was nobody's when the data set was made may be in a holdout now.

    Raises:
        NotFound: if there is no such data set, or its policy is gone.
    """
    found = dataset(workspace, name)
    card = found.card
    checked, holdout = holdouts(workspace, card.policy)
    try:
        now = rows_hash(found.rows)
        damaged = (
            "" if now == card.content_hash else f"The rows are not those of the card (their hash is {now})."
        )
        if card.summaries and (now := rows_hash(found.graded)) != card.summaries.full_hash:
            damaged = damaged or f"The full rows are not those of the card (their hash is {now})."
        # What the judge graded is compared: a summary may be like no text of a holdout.
        pairs: list[Pair] = [row.pair for rows in iter_rows(found.graded) for row in rows]
    except WorkbenchError as error:
        damaged, pairs = str(error), []
    recipe = card.recipe
    found_leaks = leaks(
        pairs, holdout, threshold=recipe.near_duplicates, documents=recipe.holdout_documents
    ).reasons
    before = {one.golden: one.holdout_hash for one in card.checked}
    return DatasetCheck(
        dataset=card.id,
        rows=len(pairs),
        damaged=damaged,
        leaks=counted(found_leaks.values()),
        examples=tuple(pairs[i].id for i in list(found_leaks)[:EXAMPLES]),
        checked=checked,
        grown=tuple(one.golden for one in checked if before.get(one.golden) != one.holdout_hash),
        newest_policy=workspace.store.policy(card.policy).version,
        policy_version=card.policy_version,
    )


def _bring_in(home: Path, job: JobFolder) -> None:
    """Put a finished job's data set into its place; another process may do the same at the same moment."""
    if not (job.artifacts / CARD).exists() or (result := job.result()) is None or "card" not in result.data:
        return
    card = read_card(job.artifacts)
    target = home / card.id
    if (target / CARD).exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=".") as name:
        made = Path(name) / "made"
        made.mkdir()
        for file in (ROWS, CARD, *([FULL] if card.summaries else [])):
            _link(job.artifacts / file, made / file)
        try:
            os.rename(made, target)
        except OSError:
            if not (target / CARD).exists():
                raise


def _link(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system cannot, copy it. Neither is ever written to again."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
