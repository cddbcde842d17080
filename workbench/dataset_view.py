"""Verbs for looking at data sets and their recipes: the recipes of a workspace, a page of rows, what is unfinished."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from workbench import jobs
from workbench.dataset import DatasetCard, DatasetRecipe, DatasetRow, DimensionQuality, parse_recipe
from workbench.dataset_files import rows_at
from workbench.datasets import Dataset
from workbench.errors import WorkbenchError
from workbench.files import read_text
from workbench.identity import content_hash
from workbench.run import JobState
from workbench.store import StoredJob
from workbench.workspace import Workspace

PAGE_ROWS = 50
TYPED = "The recipe"
"""What a recipe that was typed is called in errors."""


@dataclass(frozen=True)
class RowsPage:
    """One page of a data set's rows."""

    rows: tuple[DatasetRow, ...]
    number: int  # from 1
    pages: int


def recipe_folder(workspace: Workspace) -> Path:
    """Return the folder whose YAML files are offered as recipes; file names in a typed one are relative to it."""
    return workspace.root / "datasets"


def recipe_files(workspace: Workspace) -> list[Path]:
    """Return the recipe files of the workspace, by name."""
    return sorted(recipe_folder(workspace).glob("*.yaml"))


def recipe_text(workspace: Workspace, name: str) -> str:
    """Return the text of one of :func:`recipe_files`.

    Raises:
        NotFound: if it is not there.
    """
    return read_text(recipe_folder(workspace) / f"{name}.yaml")


def read_typed(text: str) -> DatasetRecipe:
    """Return the recipe that was typed.

    Raises:
        BadInput: one sentence with line, place and reason.
    """
    return parse_recipe(text, TYPED)


def rows_page(found: Dataset, number: int) -> RowsPage:
    """Return a page of ``PAGE_ROWS`` rows; a number outside is brought inside.

    Raises:
        NotFound, BadInput: if the rows are gone or damaged.
    """
    pages = max(-(-found.card.counts.rows // PAGE_ROWS), 1)
    number = min(max(number, 1), pages)
    return RowsPage(tuple(rows_at(found.rows, (number - 1) * PAGE_ROWS, PAGE_ROWS)), number, pages)


def weakest(card: DatasetCard) -> DimensionQuality | None:
    """Return the dimension on which the judge agrees least with people on the probes; None where κ is unknown."""
    known = [
        (one.kappa_quadratic.value, one) for one in card.quality if one.kappa_quadratic.value is not None
    ]
    return min(known, key=lambda pair: pair[0])[1] if known else None


def unfinished(workspace: Workspace, most: int = 5) -> list[tuple[StoredJob, JobState]]:
    """Return the newest data set jobs that ended before they made one, newest first: they can be resumed."""
    ended = [job for job in workspace.store.jobs("dataset") if job.final is not None]
    found = [(job, jobs.state(workspace, job)) for job in ended]
    return [(job, state) for job, state in found if state.status != "finished"][:most]


def made_dataset_id(workspace: Workspace, job_id: str) -> str:
    """Return the id of the data set that a job made; "" where it has made none."""
    try:
        result = jobs.folder_of(workspace, job_id).result()
        return DatasetCard.model_validate(result.data["card"]).id if result and "card" in result.data else ""
    except (WorkbenchError, ValueError):
        return ""


def recipe_mark(recipe: DatasetRecipe) -> str:
    """Return what tells this recipe from another one, spelling aside."""
    return content_hash("recipe-mark", recipe.model_dump(mode="json"))
