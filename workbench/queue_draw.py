"""What a labelling queue draws: its population, and the chance that each of its pairs has by what judges said of it.

Judges' answers are read here, when a queue is made, and nowhere on the way to a labeler.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from pydantic import Field

from workbench import evaluation
from workbench import queue_sampling as sampling
from workbench.errors import BadInput, NotFound, Refused
from workbench.evaluation import SplitChoice
from workbench.golden import votes
from workbench.identity import Value
from workbench.policy import OVERALL, Policy
from workbench.queue_sampling import Allocation, Draw, Floats, QueueKind
from workbench.run import Run
from workbench.workspace import Workspace


class QueueParams(Value):
    """What a queue draws from, and by what."""

    split: SplitChoice = "all"
    runs: tuple[str, ...] = Field(
        default=(), description="Run ids: predicted levels, boundary, disagreement."
    )
    dimension: str = Field(default="", description='Dimension, or "overall", that is looked at; "" for all.')
    slice: str = Field(default="", description="Metadata key whose values are strata.")
    allocation: Allocation = "equal"
    labeler: str = Field(default="", description="Whose pairs a recheck asks about again.")
    days: float = Field(default=7, ge=0, description="Least age of what a recheck asks about again.")
    unlabelled: bool = Field(default=False, description="Only pairs that nobody has answered about.")


def population(
    workspace: Workspace, golden: str, policy: Policy, kind: QueueKind, params: QueueParams
) -> pd.DataFrame:
    """Return the members from which a queue is drawn."""
    members = workspace.store.members(golden)
    if params.split != "all":
        members = members[members["split"] == params.split]
    keys = (*policy.keys, OVERALL)
    if kind == "recheck":
        mine = votes(workspace.store.labels(golden))
        mine = mine[(mine["labeler"] == params.labeler.strip()) & mine["dimension"].isin(policy.keys)]
        answered = mine.groupby("pair_id").agg(dimensions=("dimension", "nunique"), at=("at", "max"))
        old = answered["at"] <= pd.Timestamp(datetime.now(UTC) - timedelta(days=params.days))
        finished = answered.index[(answered["dimensions"] == len(policy.keys)) & old]
        members = members[members["pair_id"].isin(finished)]
        if members.empty:
            raise BadInput(
                f"{params.labeler} has finished no pair {params.days:g} days ago or earlier.",
                "Choose fewer days, or another split.",
            )
    elif params.unlabelled:
        seen = workspace.store.label_counts(golden, keys)["pair_id"]
        members = members[~members["pair_id"].isin(seen)]
        if members.empty:
            raise BadInput("Every pair has an answer already.", "Draw from all pairs instead.")
    return members


def draw(
    workspace: Workspace,
    golden: str,
    policy: Policy,
    kind: QueueKind,
    members: pd.DataFrame,
    size: int,
    params: QueueParams,
    seed: int,
) -> Draw:
    runs = [_run(workspace, golden, run_id) for run_id in params.runs]
    ids = members["pair_id"].tolist()
    if kind == "stratified":
        strata = _strata(workspace, members, params, runs)
        return sampling.stratified(strata, size, allocation=params.allocation, seed=seed)
    if kind == "boundary":
        if len(runs) != 1:
            raise BadInput("A boundary queue looks at one judge run.", "Choose one run.")
        return sampling.by_score(_boundary(workspace, runs[0], ids, params.dimension), size, seed=seed)
    if kind == "disagreement":
        if len(runs) < 2:
            raise BadInput("A disagreement queue compares judges.", "Choose two or more runs.")
        scores = _disagreement(workspace, policy, runs, ids, params.dimension)
        return sampling.by_score(scores, size, seed=seed)
    return sampling.simple_random(len(ids), size, seed=seed)


def _run(workspace: Workspace, golden: str, run_id: str) -> Run:
    run = workspace.store.run(run_id)
    if run.golden != golden:
        raise Refused(f"{run.label} ran on golden set '{run.golden}'.", f"Choose a run on '{golden}'.")
    if run.status in ("queued", "running"):
        raise Refused(f"{run.label} has not finished yet.", "Wait for it on the Runs page.")
    return run


def _strata(
    workspace: Workspace, members: pd.DataFrame, params: QueueParams, runs: Sequence[Run]
) -> list[str]:
    if len(runs) > 1 or not (runs or params.slice):
        raise BadInput("A stratified queue needs a judge run, a slice or both.", "Choose one run or a slice.")
    parts = []
    if runs:
        key = params.dimension or OVERALL
        found = evaluation.grades(workspace, runs[0], members["pair_id"].tolist())
        if key not in found:
            raise NotFound.among("dimension", key, found)
        parts.append([f"{key} {grade}" if grade >= 0 else f"{key} –" for grade in found[key].tolist()])
    if params.slice:
        values = [str(meta.get(params.slice, "")) for meta in members["meta"]]
        if not any(values):
            raise BadInput(f"No pair has the slice '{params.slice}'.", "Choose another slice.")
        parts.append([f"{params.slice} {value or '–'}" for value in values])
    return [" × ".join(part) for part in zip(*parts, strict=True)]


def _boundary(workspace: Workspace, run: Run, ids: Sequence[str], dimension: str) -> Floats:
    """Return the largest boundary score over dimensions (or that of one), NaN where the judge says only levels."""
    if dimension == OVERALL:
        raise BadInput("No judge gives probabilities of the overall grade.", "Choose a dimension, or all.")
    found = workspace.store.distributions(run.id, dimension)
    score = sampling.halfway_score(found["expected"].to_numpy(dtype=np.float64))
    said = found["probabilities"].map(lambda value: len(value or ())).to_numpy(dtype=np.int_)
    for levels in np.unique(said[said > 1]):
        rows = said == levels
        score[rows] = sampling.boundary_score(
            np.array(found["probabilities"][rows].tolist(), dtype=np.float64)
        )
    known = ~np.isnan(score)
    if not known.any():
        raise BadInput(
            f"{run.label} gave neither probabilities nor expected grades.",
            "Choose a run whose judge does, or a disagreement queue.",
        )
    best = pd.Series(score[known]).groupby(found["pair_id"].to_numpy()[known]).max()
    scores: Floats = np.asarray(best.reindex(list(ids)), dtype=np.float64)
    return scores


def _disagreement(
    workspace: Workspace, policy: Policy, runs: Sequence[Run], ids: Sequence[str], dimension: str
) -> Floats:
    """Return the largest spread over dimensions (or that of one), NaN where fewer than two judges answered."""
    grades = [evaluation.grades(workspace, run, ids) for run in runs]
    keys = [dimension] if dimension else list(policy.keys)
    shared = [key for key in keys if all(key in one for one in grades)]
    if not shared:
        raise BadInput("These runs share no such dimension.", "Choose runs under versions that have it.")
    scores = [
        sampling.spread_score(np.stack([one[key] for one in grades]), policy.scale(key)) for key in shared
    ]
    found: Floats = np.fmax.reduce(scores)
    if np.isnan(found).all():
        raise BadInput("No pair was graded by two of these runs.", "Choose runs on the same pairs.")
    return found
