"""Verbs of a sweep: one recipe trained once for each combination of some fields' values, and what came of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

from workbench import jobs
from workbench.errors import BadInput, NotFound
from workbench.frontier import Placed, Point, place
from workbench.model_evaluation import EvaluatedSplit, ModelEvaluation
from workbench.model_evaluations import evaluations
from workbench.recipe import StudentRecipe, TeacherRecipe
from workbench.resampling import Estimate
from workbench.run import JobState
from workbench.store import StoredCheckpoint, StoredJob
from workbench.training_runs import made, plan, start_training, watch, with_changes
from workbench.workspace import Workspace

MOST = 64
"""Trainings that one sweep may start."""
POLICY, CLICK = "kappa", "click.auc"
"""Figures of an evaluation that the frontier is drawn from."""

Grid = Mapping[str, Sequence[Any]]
"""Dotted name of a recipe's field -> the values that it takes in turn."""


@dataclass(frozen=True)
class SweepMember:
    """One training of a sweep.

    ``figures`` are those of the checkpoint's validation pairs where there is one, else of its newest epoch so far.
    """

    job: StoredJob
    values: Mapping[str, Any]  # of the varied fields
    state: JobState
    checkpoint: StoredCheckpoint | None
    figures: Mapping[str, float]

    @property
    def label(self) -> str:
        """The varied fields with their values, such as ``alpha 0.25, schedule.epochs 2``."""
        return _label(self.values)


@dataclass(frozen=True)
class Sweep:
    """Trainings that were started together, in the order of the grid (the last field changes fastest)."""

    id: str
    recipe: str
    author: str
    started_at: datetime
    grid: Grid
    members: tuple[SweepMember, ...]

    @property
    def size(self) -> int:
        """How many trainings it is to have; there are fewer members where its start was cut short."""
        return math.prod(len(values) for values in self.grid.values())

    @property
    def counts(self) -> dict[str, int]:
        """How many members are in which state."""
        found: dict[str, int] = {}
        for member in self.members:
            found[member.state.status] = found.get(member.state.status, 0) + 1
        return found

    def table(self) -> list[dict[str, Any]]:
        """Return a row a member: the varied fields, status, checkpoint, and every figure that any member has."""
        names = list(dict.fromkeys(name for member in self.members for name in member.figures))
        return [
            {
                **member.values,
                "status": member.state.status,
                "checkpoint": member.checkpoint.id if member.checkpoint else None,
                **{name: member.figures.get(name) for name in names},
                "error": member.state.error,
            }
            for member in self.members
        ]


@dataclass(frozen=True)
class ModelFrontier:
    """Models by policy quality and click quality, and the evaluations, on the same ground, that say so."""

    placed: tuple[Placed, ...]
    evaluations: tuple[ModelEvaluation, ...]

    @property
    def measured_on(self) -> str:
        """The ground in words; "" where no model was evaluated."""
        if not self.evaluations:
            return ""
        one = self.evaluations[0]
        log = f"{one.impressions:,} impressions of {one.clicks}{', simulated' * one.clicks_simulated}"
        return f"{one.pairs:,} {one.split} pairs of {one.golden}; " + (log if one.clicks else "no clicks")


def expand(recipe: StudentRecipe | TeacherRecipe, grid: Grid) -> list[StudentRecipe | TeacherRecipe]:
    """Return a recipe for each combination of values, the last field changing fastest.

    Raises:
        NotFound: for a field that the recipe does not have.
        BadInput: nothing is varied, a value does not fit, there are more than ``MOST``, or two would be the same.
    """
    if not grid:
        raise BadInput("The sweep varies nothing.", "Give a field and its values, such as alpha=0,0.5,1.")
    for name, values in grid.items():
        if name == "recipe":
            raise BadInput(
                "A sweep cannot vary 'recipe': that is the name by which its checkpoints are found.",
                "Start one sweep for each recipe.",
            )
        if not values:
            raise BadInput(f"The sweep gives no value for '{name}'.", "Give it one or more.")
    count = math.prod(len(values) for values in grid.values())
    if count > MOST:
        sizes = " × ".join(str(len(values)) for values in grid.values())
        raise BadInput(
            f"The sweep would start {count} trainings ({sizes}); {MOST} is the most.",
            "Leave values out, or start several sweeps.",
        )
    found: dict[str, StudentRecipe | TeacherRecipe] = {}
    for values in product(*grid.values()):
        changes = dict(zip(grid, values, strict=True))
        made_so = with_changes(recipe, changes)
        if (same := found.get(made_so.content_hash)) is not None:
            raise BadInput(
                f"The sweep would train {_label(_values(same, list(grid)))} twice.", "Give each value once."
            )
        found[made_so.content_hash] = made_so
    return list(found.values())


def start_sweep(
    workspace: Workspace, recipe: StudentRecipe | TeacherRecipe, grid: Grid, *, author: str, key: str = ""
) -> Sweep:
    """Start one training job for each combination of values; every one is looked at before the first is started.

    Args:
        recipe: what all of them share.
        grid: see :func:`expand`.
        author: who starts it.
        key: makes the call repeatable: the same key starts each job once (a double click), and a start that was cut
            short goes on.

    Raises:
        NotFound: something that a recipe names does not exist.
        BadInput: as :func:`expand`; one of the recipes has nothing to learn from; or ``key`` was used for another
            sweep. Nothing is started then.
    """
    recipes = expand(recipe, grid)
    sweep_id = f"sweep-{key}" if key else jobs.new_id("sweep")
    values = [_values(each, list(grid)) for each in recipes]
    about = {
        "id": sweep_id,
        "recipe": recipe.recipe,
        "grid": {name: _distinct([each[name] for each in values]) for name in grid},
    }
    started = {_place(job): job for job in _jobs(workspace) if job.spec.payload["sweep"]["id"] == sweep_id}
    if any({k: job.spec.payload["sweep"][k] for k in about} != about for job in started.values()):
        raise BadInput(f"{sweep_id} was started with other values.", "Start it under another key.")
    missing = [i for i in range(len(recipes)) if i not in started]
    for i in missing:
        if problem := plan(workspace, recipes[i]).problem:
            raise BadInput(f"The sweep was not started, because of {_label(values[i])}: {problem}")
    for i in missing:
        start_training(
            workspace,
            recipes[i],
            author=author,
            key=f"{sweep_id}-{i:02d}",
            note=_label(values[i]),
            labels={"sweep": about | {"place": i, "values": values[i]}},
        )
    return sweep(workspace, sweep_id)


def sweeps(workspace: Workspace) -> list[Sweep]:
    """Return all sweeps with their members, newest first."""
    grouped: dict[str, list[StoredJob]] = {}
    for job in _jobs(workspace):
        grouped.setdefault(job.spec.payload["sweep"]["id"], []).append(job)
    found = [_sweep(workspace, mine) for mine in grouped.values()]
    return sorted(found, key=lambda one: one.started_at, reverse=True)


def sweep(workspace: Workspace, sweep_id: str) -> Sweep:
    """Return one sweep with its members.

    Raises:
        NotFound: there is none of this id, with the nearest there are.
    """
    every = _jobs(workspace)
    mine = [job for job in every if job.spec.payload["sweep"]["id"] == sweep_id]
    if not mine:
        raise NotFound.among("sweep", sweep_id, [job.spec.payload["sweep"]["id"] for job in every])
    return _sweep(workspace, mine)


def stop(workspace: Workspace, sweep_id: str, author: str) -> list[str]:
    """Ask every training of a sweep that has not ended to end at its next safe point, and return the jobs' ids.

    Those started last are asked first: they wait for a slot, which one that ends would give them.

    Raises:
        NotFound: there is no sweep of this id.
    """
    asked = [
        member.job.spec.id
        for member in reversed(sweep(workspace, sweep_id).members)
        if member.state.status in ("queued", "running") and jobs.stop_asked(member.job) is None
    ]
    for job_id in asked:
        jobs.stop(workspace, job_id, author)
    return asked


def frontier(
    workspace: Workspace, of: str | Sequence[str], *, split: EvaluatedSplit | None = None
) -> ModelFrontier:
    """Return policy quality against click quality of models, and which of them no other one beats.

    Only evaluations on the same pairs and the same impressions are set against each other. Where there are several
    such grounds, it is the one on which most of the models were evaluated, the newest among equals.

    Args:
        workspace: whose evaluations are read.
        of: the id of a sweep: its checkpoints, with the varied fields; or checkpoints by id or recipe name.
        split: of the golden set; None for whichever most were evaluated on.

    Raises:
        NotFound: there is no such sweep or checkpoint.
        BadInput: the sweep has made no checkpoint yet.
    """
    chosen: list[tuple[StoredCheckpoint, Mapping[str, Any]]]
    if isinstance(of, str):
        members = sweep(workspace, of).members
        chosen = [(one.checkpoint, one.values) for one in members if one.checkpoint is not None]
        if not chosen:
            raise BadInput(f"{of} has made no checkpoint yet.", "Wait for its first training to end.")
    else:
        chosen = [(workspace.store.checkpoint(name), {}) for name in of]
    ids = {checkpoint.id for checkpoint, _ in chosen}
    known = [
        each for each in evaluations(workspace) if each.checkpoint in ids and split in (None, each.split)
    ]
    grounds: dict[tuple[str, ...], dict[str, ModelEvaluation]] = {}
    for each in sorted(known, key=lambda found: found.at):  # of one checkpoint the newest stays
        grounds.setdefault(_ground(each), {})[each.checkpoint] = each
    common = max(
        grounds.values(), key=lambda found: (len(found), max(each.at for each in found.values())), default={}
    )
    elsewhere = {each.checkpoint for each in known}
    points = []
    for checkpoint, values in chosen:
        found = common.get(checkpoint.id)
        if found is not None:
            why = "its evaluation has no such figure."
        elif checkpoint.id in elsewhere:
            why = "it was evaluated on other pairs or clicks than the rest."
        else:
            why = "it was not evaluated."
        unknown = Estimate(None, None, None, why)
        policy, click = (found.figures.get(key, unknown) if found else unknown for key in (POLICY, CLICK))
        points.append(Point(checkpoint.id, policy, click, values))
    return ModelFrontier(tuple(place(points)), tuple(common.values()))


def _ground(found: ModelEvaluation) -> tuple[str, ...]:
    """Return what evaluations have to share for their figures to be compared."""
    return found.golden_hash, found.split, found.clicks_hash, found.clicks_on


def _jobs(workspace: Workspace) -> list[StoredJob]:
    """Return the training jobs that belong to a sweep."""
    return [job for job in workspace.store.jobs("training") if "sweep" in job.spec.payload]


def _place(job: StoredJob) -> int:
    return int(job.spec.payload["sweep"]["place"])


def _sweep(workspace: Workspace, members: Sequence[StoredJob]) -> Sweep:
    ordered = sorted(members, key=_place)
    about = ordered[0].spec.payload["sweep"]
    return Sweep(
        id=about["id"],
        recipe=about["recipe"],
        author=ordered[0].spec.author,
        started_at=min(job.spec.created_at for job in ordered),
        grid=about["grid"],
        members=tuple(_member(workspace, job) for job in ordered),
    )


def _member(workspace: Workspace, job: StoredJob) -> SweepMember:
    checkpoint = made(workspace, job)
    if checkpoint is not None:
        known = checkpoint.record["figures"]
    else:
        epochs = [row for row in watch(workspace, job.spec.id).metrics if "eval_loss" in row]
        known = epochs[-1] if epochs else {}
    return SweepMember(
        job=job,
        values=job.spec.payload["sweep"]["values"],
        state=jobs.state(workspace, job),
        checkpoint=checkpoint,
        figures={
            name: float(value)
            for name, value in known.items()
            if isinstance(value, float) and name.endswith(_SHOWN)
        },
    )


_SHOWN = ("eval_loss", ".kappa", ".auc")


def _values(recipe: StudentRecipe | TeacherRecipe, names: Sequence[str]) -> dict[str, Any]:
    """Return what a recipe says under dotted names, as it was understood: "2" may have become 2."""
    data = recipe.model_dump(mode="json")
    found = {}
    for name in names:
        value: Any = data
        for part in name.split("."):
            value = value[part]
        found[name] = value
    return found


def _distinct(values: Sequence[Any]) -> list[Any]:
    """Return values once each, in their order; they may be lists."""
    return [value for i, value in enumerate(values) if value not in values[:i]]


def _label(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {'none' if value is None else value}" for name, value in values.items())
