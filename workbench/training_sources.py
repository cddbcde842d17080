"""Where what a recipe names lies: the run of its soft labels, its checkpoints, its data set, its click log."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from workbench.errors import BadInput, NotFound
from workbench.golden import GoldenSet
from workbench.policy import Policy
from workbench.recipe import StudentRecipe, TeacherRecipe, TrainedRecipe
from workbench.run import Verdict
from workbench.training.budgets import check_field_tokens
from workbench.training.record import (
    TrainingInput,
    considered,
    read_record,
    start_problem,
    teacher_problem,
)
from workbench.workspace import Workspace


@dataclass(frozen=True)
class Sources:
    """Where what a recipe names lies; "" for what it does not name. See :class:`TrainingInput` for the fields."""

    start: str = ""
    teachers: tuple[str, ...] = ()
    dataset: str = ""
    dataset_id: str = ""
    summaries: str = ""  # how the texts of the data set were shortened
    dataset_rows: int = 0
    clicks: str = ""
    clicks_hash: str = ""
    impressions: int = 0


def find_sources(workspace: Workspace, recipe: TrainedRecipe, policy: Policy) -> Sources:
    """Return where the checkpoints, the data set and the click log that a recipe names lie.

    Raises:
        NotFound: one of them does not exist, with the nearest names there are.
        BadInput: a checkpoint cannot be started from, or cannot teach the recipe's heads; or the click log lacks the
            propensities that the recipe asks for.
    """
    if recipe.field_tokens:
        check_field_tokens(
            recipe.field_tokens,
            policy.pair,
            considered(policy),
            max_tokens=recipe.max_tokens,
            pooling=recipe.pooling,
        )
    start, teachers = "", []
    if recipe.init_from is not None:
        start = workspace.store.checkpoint(recipe.init_from).folder
        if problem := start_problem(read_record(Path(start)), recipe, policy):
            raise BadInput(*problem)
    for teacher in recipe.teachers:
        folder = workspace.store.checkpoint(teacher.checkpoint).folder
        if reason := teacher_problem(read_record(Path(folder)), teacher, recipe, policy):
            raise BadInput(f"{reason}.", "Correct 'teachers' in the recipe, or train that checkpoint again.")
        teachers.append(folder)
    found = Sources(start=start, teachers=tuple(teachers))
    if recipe.data.dataset is not None:
        from workbench.datasets import dataset  # only recipes that name one pay for it

        made = dataset(workspace, recipe.data.dataset)
        if made.card.policy != policy.name:
            raise BadInput(
                f"The data set {made.card.id} is about the policy {made.card.policy}, the recipe about {policy.name}.",
                "Name a data set of this policy.",
            )
        found = replace(
            found,
            dataset=str(made.folder),
            dataset_id=made.card.id,
            dataset_rows=made.card.counts.rows,
            summaries=made.card.summaries.said if made.card.summaries else "",
        )
    if recipe.data.clicks is not None:
        from workbench.click_logs import click_log, impressions_path

        card = click_log(workspace, recipe.data.clicks)
        if recipe.weights.click.bias == "inverse_propensity" and card.propensity_is != "examination":
            raise BadInput(
                f"The click log {card.name} does not say how likely each position is looked at.",
                "Use bias: position_tower, or import the log with propensities of examination.",
            )
        found = replace(
            found,
            clicks=str(impressions_path(workspace, card.name)),
            clicks_hash=card.content_hash,
            impressions=card.summary.rows,
        )
    return found


def soft_labels(workspace: Workspace, recipe: StudentRecipe | TeacherRecipe) -> tuple[str, list[Verdict]]:
    """Return the run whose probabilities are learnt and its verdicts on dev pairs; ("", []) where none is asked."""
    wanted = recipe.data.soft_labels
    if wanted is None:
        data = recipe.data
        if not (data.golden_weight or data.dataset or data.clicks or recipe.teachers):
            raise BadInput(
                f"Recipe {recipe.recipe} learns from nothing.",
                "Give it soft_labels, a dataset, clicks or teachers, or a golden_weight above 0.",
            )
        return "", []
    members = workspace.store.members(recipe.data.golden)
    dev = members.loc[members["split"] == "dev", "pair_id"].tolist()
    runs = [
        run
        for run in workspace.store.runs(policy=recipe.policy, golden=recipe.data.golden)
        if run.status == "finished"
        and (run.judge.kind != "checkpoint" if wanted.run == "latest" else run.id == wanted.run)
    ]
    runs.sort(key=lambda run: (run.policy_version, run.created_at), reverse=True)
    for run in runs:
        judgements = workspace.store.judgements(run.id, dev)
        if any(j.probabilities for answers in judgements.values() for j in answers.values()):
            verdicts = [
                Verdict(pair_id=pair_id, judgements=tuple(answers.values()))
                for pair_id, answers in judgements.items()
            ]
            return run.id, verdicts
    which = (
        "finished run with probabilities"
        if wanted.run == "latest"
        else f"run '{wanted.run}' with probabilities"
    )
    raise NotFound(
        f"There is no {which} of {recipe.policy} on golden set '{recipe.data.golden}'.",
        "Start a judge run first, or set data.soft_labels to null.",
    )


def training_input(
    recipe: StudentRecipe | TeacherRecipe, golden: GoldenSet, soft_run: str, sources: Sources
) -> TrainingInput:
    """Return what a training job is told."""
    return TrainingInput(
        recipe=recipe,
        golden=golden.name,
        golden_version=golden.version,
        golden_hash=golden.content_hash,
        soft_run=soft_run,
        start=sources.start,
        teachers=sources.teachers,
        dataset=sources.dataset,
        dataset_id=sources.dataset_id,
        summaries=sources.summaries,
        clicks=sources.clicks,
        clicks_hash=sources.clicks_hash,
    )
