"""What a pipeline's steps are in a workspace: what each would be made of, what is there already, starting it, what came of it.

What is there counts whoever made it: a data set's card, a checkpoint's record, an evaluation and a judge run all say what
they were made from, so that a step's key can be computed for them too. Words that change nothing (a description,
where it is tracked, which executor) are not part of a key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import datasets, judge_runs, model_evaluations, training_runs
from workbench.click_logs import click_log
from workbench.dataset import DatasetCard, DatasetRecipe, PairsPool, ProductsPool, Texts
from workbench.dataset import with_changes as dataset_with_changes
from workbench.dataset_inputs import holdouts
from workbench.dataset_sources import pairs_from_file, texts_from_file
from workbench.errors import BadInput, NotFound, Refused
from workbench.judge_choice import filled, judge_from_text
from workbench.judge_registry import saved_judges
from workbench.pipeline import (
    DatasetStep,
    EvaluateStep,
    JudgeStep,
    Pipeline,
    Step,
    TrainStep,
    check_references,
    named_by,
    pins,
    product,
    step_key,
    with_checkpoints,
)
from workbench.policy import Policy
from workbench.prompt_costs import golden_sets
from workbench.recipe import StudentRecipe, TeacherRecipe
from workbench.run import JudgeSpec, Reporter
from workbench.training.record import WEIGHTS, CheckpointRecord
from workbench.training_sources import find_sources, soft_labels
from workbench.workspace import Workspace
from workbench.yamltext import validate

_JOB = {"dataset": "job-data-", "train": "job-train-", "judge": "job-run-"}


@dataclass(frozen=True)
class Given:
    """A resolved pipeline, the version of its policy, and what file names in its recipes are relative to."""

    pipeline: Pipeline
    policy: Policy
    folder: Path


@dataclass(frozen=True)
class Prepared:
    """A step whose needs are all there: its key, and the id of what is there under that key ("" where nothing is)."""

    step: Step  # with ids instead of names
    key: str
    found: str


def resolve(
    workspace: Workspace, pipeline: Pipeline, folder: Path, version: int | None, changes: Mapping[str, Any]
) -> Given:
    """Return a pipeline with its recipes read and changed, once all that can be checked before a start is checked.

    Args:
        workspace: where recipes, golden sets and click logs are.
        pipeline: as its file says.
        folder: what file names in it are relative to.
        version: of the policy; None for the newest.
        changes: step -> changed fields, besides each step's own ``set``.

    Raises:
        NotFound: for a step, recipe, golden set, click log or field that does not exist.
        Refused: an older policy version, for a pipeline that trains: trainings learn the newest one.
        BadInput: for a recipe of another policy or a value that does not fit, and as :func:`check_references`.
    """
    policy = workspace.store.policy(pipeline.policy, version)
    newest = workspace.store.policy(pipeline.policy)
    if policy.version != newest.version and any(isinstance(each, TrainStep) for each in pipeline.steps):
        raise Refused(
            f"{pipeline.pipeline} trains, and trainings learn the newest version, {newest.label}.",
            f"Leave the version out, or say {newest.version}.",
        )
    for name in changes:
        pipeline.named(name)
    steps = [
        _resolved(workspace, each, folder, policy, each.set | dict(changes.get(each.step, {})))
        for each in pipeline.steps
    ]
    resolved = pipeline.model_copy(update={"steps": tuple(steps)})
    check_references(resolved)
    made_here = {product(each) for each in steps} | {each.step for each in steps}
    for each in steps:
        _check_outside(workspace, each, policy.name, made_here)
    return Given(resolved, policy, folder)


def _resolved(
    workspace: Workspace, step: Step, folder: Path, policy: Policy, changes: Mapping[str, Any]
) -> Step:
    update: dict[str, Any] = {"set": {}}
    if isinstance(step, DatasetStep):
        written = step.recipe
        recipe = datasets.read_dataset_recipe(folder / written) if isinstance(written, str) else written
        recipe = dataset_with_changes(recipe, changes)
        _same_policy(step, recipe.policy, policy)
        return step.model_copy(
            update=update | {"recipe": recipe.model_copy(update={"policy_version": policy.version})}
        )
    if isinstance(step, TrainStep):
        named = step.recipe
        trained = workspace.recipe(named) if isinstance(named, str) else named
        trained = training_runs.with_changes(trained, changes)
        _same_policy(step, trained.policy, policy)
        return step.model_copy(update=update | {"recipe": trained})
    fields = [name for name in type(step).model_fields if name not in ("step", "kind", "needs", "set")]
    for name in changes:
        if name not in fields:
            raise NotFound.among(f"field of step '{step.step}'", name, fields)
    changed = validate(type(step), step.model_dump() | dict(changes) | update, f"Step '{step.step}'")
    if isinstance(changed, JudgeStep) and isinstance(changed.judge, str):
        judge = judge_from_text(changed.judge, known=saved_judges(workspace))
        return changed.model_copy(update={"judge": judge})
    return changed


def _same_policy(step: Step, named: str, policy: Policy) -> None:
    if named != policy.name:
        raise BadInput(
            f"Step '{step.step}' is about the policy {named}, the pipeline about {policy.name}.",
            "Correct one of them.",
        )


def _check_outside(workspace: Workspace, step: Step, policy: str, made_here: set[str]) -> None:
    """Look up what a step uses and no step makes, so that a chain does not begin that cannot end."""
    for name in named_by(step):
        if name in made_here:
            continue
        if isinstance(step, TrainStep) and name == _recipe(step).data.dataset:
            datasets.dataset(workspace, name)
        else:
            workspace.store.checkpoint(name)
    golden, clicks = None, None
    if isinstance(step, TrainStep):
        golden, clicks = _recipe(step).data.golden, _recipe(step).data.clicks
    elif isinstance(step, JudgeStep):
        golden = step.golden or policy
    elif isinstance(step, EvaluateStep):
        golden, clicks = step.golden, step.clicks
    if golden is not None:
        _snapshot_hash(workspace, golden)
    if clicks is not None:
        click_log(workspace, clicks)


def prepare(workspace: Workspace, given: Given, step: Step, made: Mapping[str, str]) -> Prepared:
    """Return what a step would be made of and what is there already.

    Args:
        workspace: whose data sets, checkpoints, runs and evaluations are looked through.
        given: the resolved pipeline.
        step: one of its steps.
        made: step -> id of its needs' products.

    Raises:
        WorkbenchError: something that it needs is not there or does not fit.
    """
    known = pins(given.pipeline, step, made)
    if isinstance(step, DatasetStep):
        return _dataset(workspace, given, step, known)
    if isinstance(step, TrainStep):
        return _training(workspace, given, step, known)
    if isinstance(step, JudgeStep):
        return _judge_run(workspace, given, step, known)
    return _evaluation(workspace, given, step, known)


def job_of(step: Step, key: str) -> str:
    """Return the id of the job that :func:`start` gives a step under ``key``; "" for an evaluation, which is no job."""
    return _JOB[step.kind] + key if step.kind in _JOB else ""


def start(
    workspace: Workspace, given: Given, step: Step, *, author: str, key: str, labels: Mapping[str, Any]
) -> None:
    """Start the job of a prepared step; the same key starts it once.

    Raises:
        WorkbenchError: it cannot be started.
    """
    if isinstance(step, DatasetStep):
        datasets.start_dataset(workspace, _dataset_recipe(step), given.folder, author=author, key=key)
    elif isinstance(step, TrainStep):
        training_runs.start_training(workspace, _recipe(step), author=author, key=key, labels=labels)
    elif isinstance(step, JudgeStep):
        judge_runs.start_run(
            workspace, _judge(step), policy=given.policy.name, version=given.policy.version,
            golden=step.golden or given.policy.name, author=author, key=key,
        )  # fmt: skip


def outcome(workspace: Workspace, given: Given, step: Step, job_id: str) -> str:
    """Return the id of what a step's finished job made.

    Raises:
        BadInput: it left nothing, or something of another policy version.
    """
    if isinstance(step, DatasetStep):
        made = datasets.made_by(workspace, job_id)
        if made is not None:
            return made.card.id
    elif isinstance(step, TrainStep):
        checkpoint = training_runs.made(workspace, workspace.store.job(job_id))
        if checkpoint is not None:
            if checkpoint.record["policy_hash"] != given.policy.content_hash:
                raise BadInput(f"{checkpoint.id} learnt another version than {given.policy.label}.", _AGAIN)
            return checkpoint.id
    else:
        return str(workspace.store.job(job_id).spec.payload["run_id"])
    raise BadInput(f"Job {job_id} ended without leaving anything.", "Its log says more.")


def evaluate(workspace: Workspace, step: EvaluateStep, *, author: str, reporter: Reporter) -> str:
    """Evaluate the checkpoint of a prepared step, here and now; return what it is called.

    Raises:
        WorkbenchError: as :func:`workbench.model_evaluations.evaluate`.
    """
    found = model_evaluations.evaluate(
        workspace, step.checkpoint, golden=step.golden, split=step.split, clicks=step.clicks, against=step.against,
        author=author, reporter=reporter, speed=step.speed,
    )  # fmt: skip
    return f"{found.checkpoint} on {found.golden} {found.split}"


_AGAIN = "Start the pipeline again under the version that is newest now."


def _recipe(step: TrainStep) -> StudentRecipe | TeacherRecipe:
    assert not isinstance(step.recipe, str)
    return step.recipe


def _dataset_recipe(step: DatasetStep) -> DatasetRecipe:
    assert not isinstance(step.recipe, str)
    return step.recipe


def _judge(step: JudgeStep) -> JudgeSpec:
    assert not isinstance(step.judge, str)
    return step.judge


def _snapshot_hash(workspace: Workspace, golden: str) -> str:
    newest = max(workspace.store.golden(golden).snapshots, default=0)
    found = workspace.store.snapshot_hash(golden, newest)
    if found is None:
        raise BadInput(f"Golden set '{golden}' has no snapshot.", "Publish one.")
    return found


def _dataset(workspace: Workspace, given: Given, step: DatasetStep, known: Mapping[str, str]) -> Prepared:
    written = _dataset_recipe(step).model_dump(mode="json")
    recipe = DatasetRecipe.model_validate(with_checkpoints(written, known))
    name = recipe.golden or recipe.policy
    there = recipe.golden is not None or (
        name in golden_sets(workspace, recipe.policy) and workspace.store.golden(name).snapshots
    )
    key = _dataset_key(
        recipe,
        given.policy.content_hash,
        _snapshot_hash(workspace, name) if there else "",
        _source_hashes(workspace, recipe, given),
        [one.model_dump() for one in holdouts(workspace, recipe.policy)[0]],
    )
    found = (one.card for one in datasets.datasets(workspace) if one.card.dataset == recipe.dataset)
    same = (card.id for card in found if _card_key(card) == key)
    return Prepared(step.model_copy(update={"recipe": recipe}), key, next(same, ""))


def _card_key(card: DatasetCard) -> str:
    sources = [source.content_hash for source in card.sources]
    checked = [one.model_dump() for one in card.checked]
    return _dataset_key(card.recipe, card.policy_hash, card.golden_hash, sources, checked)


def _dataset_key(
    recipe: DatasetRecipe, policy: str, golden: str, sources: list[str], checked: list[dict[str, Any]]
) -> str:
    same = recipe.model_copy(update={"description": "", "policy_version": None})
    parts = {"recipe": same.content_hash, "policy": policy, "golden": golden}
    return step_key("dataset", parts | {"sources": sources, "checked": checked})


def _source_hashes(workspace: Workspace, recipe: DatasetRecipe, given: Given) -> list[str]:
    """Return the content hashes of a pool's sources, in the order of a card's."""
    pool, layout = recipe.pool, given.policy.pair
    if isinstance(pool, PairsPool):
        return [pairs_from_file(given.folder, pool.file, layout, pool.query, pool.document)[1].content_hash]
    if not isinstance(pool, ProductsPool):
        return [_snapshot_hash(workspace, pool.golden)]

    def of(texts: Texts, side: Any) -> str:
        if texts.file is None:
            return _snapshot_hash(workspace, str(texts.golden))
        return texts_from_file(given.folder, texts.file, side, texts.fields)[1].content_hash

    return [of(pool.queries, layout.query), of(pool.documents, layout.document)]


def _training(workspace: Workspace, given: Given, step: TrainStep, known: Mapping[str, str]) -> Prepared:
    recipe, store = _recipe(step), workspace.store
    newest = store.policy(given.policy.name)
    if newest.content_hash != given.policy.content_hash:
        raise Refused(f"{newest.label} was published since this run was started.", _AGAIN)
    origins = [known.get(name) or store.checkpoint(name).id for name in _origins(recipe)]
    recipe = _pinned(recipe, origins, known.get(recipe.data.dataset or "", recipe.data.dataset))
    runs = [made for name, made in known.items() if _is_judge(given.pipeline, name)]
    if runs and recipe.data.soft_labels is not None and recipe.data.soft_labels.run == "latest":
        recipe = _learning(recipe, runs[0])
    sources = find_sources(workspace, recipe, newest)
    soft_run, _ = soft_labels(workspace, recipe)
    recipe = _learning(_pinned(recipe, origins, sources.dataset_id), soft_run)
    golden = _snapshot_hash(workspace, recipe.data.golden)
    key = _training_key(recipe, newest.content_hash, golden, sources.clicks_hash)
    found = ""
    for kept in store.checkpoints():
        if kept.name == recipe.recipe and (Path(kept.folder) / WEIGHTS).is_file():
            record = CheckpointRecord.model_validate(kept.record)
            if not record.stopped and _record_key(record) == key:
                found = kept.id
                break
    return Prepared(step.model_copy(update={"recipe": recipe}), key, found)


def _is_judge(pipeline: Pipeline, name: str) -> bool:
    return any(each.step == name and isinstance(each, JudgeStep) for each in pipeline.steps)


def _origins(recipe: StudentRecipe | TeacherRecipe) -> list[str]:
    """Return the checkpoints that a recipe names, in the order of a lineage's parents."""
    start = [recipe.init_from] if recipe.init_from else []
    return [*start, *(each.checkpoint for each in recipe.teachers)]


def _pinned(
    recipe: StudentRecipe | TeacherRecipe, origins: Sequence[str], dataset: str | None
) -> StudentRecipe | TeacherRecipe:
    """Return a recipe that names its checkpoints (``origins``, see :func:`_origins`) and its data set by id."""
    start = origins[0] if recipe.init_from else None
    teachers = tuple(
        each.model_copy(update={"checkpoint": name})
        for each, name in zip(recipe.teachers, origins[1 if start else 0 :], strict=True)
    )
    data = recipe.data.model_copy(update={"dataset": dataset or None})
    return recipe.model_copy(update={"init_from": start, "teachers": teachers, "data": data})


def _learning(recipe: StudentRecipe | TeacherRecipe, run: str) -> StudentRecipe | TeacherRecipe:
    """Return a recipe whose soft labels, if it wants any, are those of a certain run."""
    if recipe.data.soft_labels is None:
        return recipe
    soft = recipe.data.soft_labels.model_copy(update={"run": run})
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"soft_labels": soft})})


def _record_key(record: CheckpointRecord) -> str:
    """Return the key of the training that made a checkpoint; "" for a record that does not say where it comes from."""
    origin, recipe = record.lineage, record.recipe
    if len(origin.parents) != len(_origins(recipe)):
        return ""
    recipe = _learning(_pinned(recipe, origin.parents, origin.dataset), origin.soft_run)
    return _training_key(recipe, record.policy_hash, origin.golden_hash, origin.clicks)


def _training_key(recipe: StudentRecipe | TeacherRecipe, policy: str, golden: str, clicks: str) -> str:
    """Return the key of a training whose recipe names everything by id."""
    same = recipe.model_copy(update={"description": "", "executor": None, "tracking": None}).content_hash
    return step_key("train", {"recipe": same, "policy": policy, "golden": golden, "clicks": clicks})


def _judge_run(workspace: Workspace, given: Given, step: JudgeStep, known: Mapping[str, str]) -> Prepared:
    written = with_checkpoints(step.model_dump(mode="json"), known)
    pinned = JudgeStep.model_validate(written)
    judge = filled(workspace, _judge(pinned)).model_dump(mode="json")
    golden = step.golden or given.policy.name
    golden_hash = _snapshot_hash(workspace, golden)
    key = step_key("judge", {"judge": judge, "policy": given.policy.content_hash, "golden": golden_hash})
    asked = {
        job.spec.payload.get("run_id")
        for job in workspace.store.jobs("judge_run")
        if job.spec.payload.get("judge") == judge
    }
    found = (
        run.id
        for run in workspace.store.runs(policy=given.policy.name, golden=golden)
        if run.id in asked
        and run.status == "finished"
        and (run.policy_hash, run.golden_hash) == (given.policy.content_hash, golden_hash)
    )
    return Prepared(pinned, key, next(found, ""))


def _evaluation(workspace: Workspace, given: Given, step: EvaluateStep, known: Mapping[str, str]) -> Prepared:
    store = workspace.store
    checkpoint = store.checkpoint(known.get(step.checkpoint, step.checkpoint))
    record = CheckpointRecord.model_validate(checkpoint.record)
    against = store.checkpoint(known.get(step.against, step.against)).id if step.against else None
    golden = step.golden or record.lineage.golden.rpartition(" v")[0]
    ground = {
        "golden_hash": _snapshot_hash(workspace, golden),
        "split": step.split,
        "clicks_hash": click_log(workspace, step.clicks).content_hash if step.clicks else "",
        "teacher": against or "",
    }
    key = step_key("evaluate", ground | {"weights": record.weights_hash, "speed": step.speed})
    found = (
        f"{each.checkpoint} on {each.golden} {each.split}"
        for each in model_evaluations.evaluations(workspace, policy=given.policy.name)
        if each.weights_hash == record.weights_hash
        and all(getattr(each, name) == value for name, value in ground.items())
        and (each.speed is not None or not step.speed)
    )
    pinned = step.model_copy(update={"checkpoint": checkpoint.id, "against": against, "golden": golden})
    return Prepared(pinned, key, next(found, ""))
