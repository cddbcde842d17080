"""The verb that sets trainings side by side: their curves, what came out, and the fields in which their recipes differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.store import StoredJob
from workbench.training_runs import changed, made
from workbench.training_watch import Watched, recipe_of, watch
from workbench.workspace import Workspace

_PLAIN = frozenset({"step", "epoch"})


@dataclass(frozen=True)
class Compared:
    """One training among others: a name that no other training has, its recipe's name, its curves."""

    name: str
    recipe: str
    checkpoint: str  # "" where it has made none yet
    watched: Watched


@dataclass(frozen=True)
class Comparison:
    """Trainings side by side.

    Attributes:
        differ: recipe field -> its value in each training, in their order; fields that are the same in all are left out.
        outcomes: figure of the newest evaluation -> its value in each training, None where it has none.
    """

    trainings: tuple[Compared, ...]
    differ: Mapping[str, tuple[Any, ...]]
    outcomes: Mapping[str, tuple[float | None, ...]]


def training_names(jobs: Sequence[StoredJob]) -> dict[str, str]:
    """Return job id -> a name that no other of the jobs has: its title, with what tells it from its namesakes."""
    names = {job.spec.id: job.spec.title for job in jobs}
    # The more is needed to tell namesakes apart, the more is said: when, the end of the id, the whole id.
    fuller: tuple[Callable[[StoredJob], str], ...] = (
        lambda job: f"{job.spec.title}, {job.spec.created_at:%d %b %H:%M}",
        lambda job: f"{job.spec.title}, {job.spec.created_at:%d %b %H:%M} ({job.spec.id[-4:]})",
        lambda job: f"{job.spec.title} ({job.spec.id})",
    )
    for more in fuller:
        times = Counter(names.values())
        names = {
            job.spec.id: more(job) if times[names[job.spec.id]] > 1 else names[job.spec.id] for job in jobs
        }
    return names


def compare_trainings(workspace: Workspace, job_ids: Sequence[str]) -> Comparison:
    """Return trainings side by side, in the order given.

    Raises:
        NotFound: there is no such job.
        BadInput: a job that is no training, or whose recipe or metrics cannot be read.
    """
    watched = [watch(workspace, job_id) for job_id in job_ids]
    names = training_names(workspace.store.jobs("training"))
    recipes = [recipe_of(each.job) for each in watched]
    against = [changed(recipes[0], recipe) for recipe in recipes] if recipes else []
    fields = list(dict.fromkeys(name for found in against for name in found))
    differ = {
        name: tuple(found[name][1] if name in found else _first(against, name) for found in against)
        for name in fields
        if name != "recipe"  # it is the name that each column has anyway
    }
    last = [each.evals[-1] if each.evals else {} for each in watched]
    figures = list(dict.fromkeys(name for row in last for name in row if name not in _PLAIN))
    outcomes = {
        name: tuple(_number(row.get(name)) for row in last)
        for name in figures
        if any(_number(row.get(name)) is not None for row in last)
    }
    kept = [made(workspace, each.job) for each in watched]
    trainings = tuple(
        Compared(names[each.job.spec.id], recipe.recipe, checkpoint.id if checkpoint else "", each)
        for each, recipe, checkpoint in zip(watched, recipes, kept, strict=True)
    )
    return Comparison(trainings, differ, outcomes)


def _first(against: Sequence[Mapping[str, tuple[Any, Any]]], name: str) -> Any:
    """Return what the first training says of a field, as those that differ from it tell."""
    return next(found[name][0] for found in against if name in found)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
