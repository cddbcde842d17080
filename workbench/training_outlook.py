"""Verbs of looking ahead: what a training would learn from, start from and take, before it is launched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from workbench.click_logs import click_log
from workbench.datasets import dataset
from workbench.errors import WorkbenchError
from workbench.lineage import checkpoints_in, gather
from workbench.lineage_graph import stale
from workbench.recipe import StudentRecipe, TeacherRecipe, TrainedRecipe
from workbench.training.plan import Estimate, estimate, read_config
from workbench.training_runs import TrainingPlan, missing_parts, plan
from workbench.workspace import Workspace

Role = Literal["backbone and heads", "teacher", "soft labels", "data set", "click log"]
ReadConfig = Callable[[TrainedRecipe, Path | None], tuple[Mapping[str, Any] | None, str]]


@dataclass(frozen=True)
class Origin:
    """Something that a training starts from or learns from.

    Attributes:
        role: what it gives.
        name: its id; what the recipe calls it, where there is none of that name.
        detail: in a few words, such as how many pairs it gives.
        stale: why it is stale, one sentence a reason; none: it is not.
        known: whether it is there.
    """

    role: Role
    name: str
    detail: str = ""
    stale: tuple[str, ...] = ()
    known: bool = True


@dataclass(frozen=True)
class Outlook:
    """What a training would be; ``problem`` says in one sentence why it cannot be started, "" where it can."""

    plan: TrainingPlan
    origins: tuple[Origin, ...]
    estimate: Estimate
    problem: str


def outlook(
    workspace: Workspace, recipe: StudentRecipe | TeacherRecipe, *, read: ReadConfig = read_config
) -> Outlook:
    """Return what training this recipe now would learn from, start from and take. Nothing is started or written.

    Args:
        workspace: where it would be started.
        recipe: what would be trained.
        read: gives the configuration of the backbone, which may be asked of the model hub: a page that asks again and
            again gives one that remembers.

    Raises:
        NotFound: for a policy or golden set that does not exist.
    """
    planned = plan(workspace, recipe)
    problem = missing_parts(recipe) or planned.problem
    origins, start = _origins(workspace, recipe, planned)
    if not problem:
        problem = _executor_problem(workspace, recipe)
    try:
        config, why = read(recipe, start)
    except WorkbenchError as error:
        problem = problem or str(error)
        config, why = None, "The configuration of the backbone is not known, so sizes are unknown."
    # A recipe that cannot be started has no pairs to count.
    pairs = None if planned.problem else planned.train_pairs + planned.dataset_rows or None
    return Outlook(planned, origins, estimate(recipe, config, pairs, why), problem)


def _executor_problem(workspace: Workspace, recipe: TrainedRecipe) -> str:
    try:
        workspace.executor_named(recipe.executor)
    except WorkbenchError as error:
        return str(error)
    return ""


def _origins(
    workspace: Workspace, recipe: TrainedRecipe, planned: TrainingPlan
) -> tuple[tuple[Origin, ...], Path | None]:
    """Return the origins in reading order, and the folder of the checkpoint that is started from."""
    # Each with the node of the lineage that it is; None where it is not here.
    found: list[tuple[Origin, str | None]] = []
    start: Path | None = None
    wanted: list[tuple[Role, str]] = []
    if recipe.init_from is not None:
        wanted.append(("backbone and heads", recipe.init_from))
    wanted += [("teacher", teacher.checkpoint) for teacher in recipe.teachers]
    for role, name in wanted:
        with _there(found, role, name):
            checkpoint = workspace.store.checkpoint(name)
            under = f"under {checkpoint.record['policy']} v{checkpoint.record['policy_version']}"
            found.append((Origin(role, checkpoint.id, under), f"checkpoint:{checkpoint.id}"))
            if role == "backbone and heads":
                start = Path(checkpoint.folder)
    if (run := planned.soft_run) is not None:
        about = f"{run.label}, {planned.soft_pairs:,} pairs"
        kind = "evaluation" if list(checkpoints_in(run.judge.model_dump(mode="json"))) else "run"
        found.append((Origin("soft labels", run.id, about), f"{kind}:{run.id}"))
    if pool := recipe.data.dataset:
        with _there(found, "data set", pool):
            card = dataset(workspace, pool).card
            found.append((Origin("data set", card.id, f"{card.counts.rows:,} rows"), f"data set:{card.id}"))
    if clicks := recipe.data.clicks:
        with _there(found, "click log", clicks):
            log = click_log(workspace, clicks)
            about = f"{log.summary.rows:,} impressions" + ", simulated" * log.simulated
            found.append((Origin("click log", log.name, about), f"click log:{log.content_hash}"))
    # The lineage is gathered only where there is something to ask about.
    reasons = stale(gather(workspace)) if any(node for _, node in found) else {}
    return tuple(replace(one, stale=reasons.get(node or "", ())) for one, node in found), start


@contextmanager
def _there(found: list[tuple[Origin, str | None]], role: Role, name: str) -> Iterator[None]:
    """Note an origin that is not here, by the name that the recipe calls it."""
    try:
        yield
    except WorkbenchError:
        found.append((Origin(role, name, "not here yet", known=False), None))
