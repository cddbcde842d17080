"""Verbs about what a judge may stand in for: labelers, labels that nobody gave, and a holdout that was looked at often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from workbench.alternative_annotator import AlternativeAnnotator, alternative_annotator
from workbench.evaluation import SplitChoice, grades, human_grades, labeler_ratings, truth
from workbench.holdout_luck import Luck, luck
from workbench.policy import OVERALL
from workbench.power import delta_error
from workbench.prediction_powered import Rate, corrected_rate
from workbench.run import Run
from workbench.workspace import Workspace


def alternative_tests(
    workspace: Workspace, run: Run, *, epsilon: float, split: SplitChoice = "dev"
) -> dict[str, AlternativeAnnotator]:
    """Return, for each dimension that the labels have, whether the judge of a run may stand in for labelers.

    Args:
        epsilon: see :data:`workbench.alternative_annotator.EPSILON`.
    """
    human = truth(workspace, run.golden, version=run.golden_version, split=split)
    mine = grades(workspace, run, human.pair_ids)
    newest = workspace.store.policy(workspace.store.policy_of(run.golden))
    policy = workspace.store.policy(run.policy, run.policy_version)
    return {
        key: alternative_annotator(mine[key], ratings, names, newest.scale(key), epsilon=epsilon)
        for key, (names, ratings) in labeler_ratings(workspace, human).items()
        if key in mine and policy.scale(key) == newest.scale(key)
    }


@dataclass(frozen=True)
class LevelRates:
    """How the pairs of a set lie on the levels of one dimension: shares by level, and the mean grade."""

    shares: dict[int, Rate]
    mean: Rate


def level_rates(workspace: Workspace, run: Run, dimension: str, *, split: SplitChoice = "dev") -> LevelRates:
    """Return the share of each level, and the mean grade, over all pairs that a run graded, labelled or not.

    The labelled pairs have to be a sample of all pairs for the correction to hold: with labels on chosen pairs only,
    it corrects what was chosen.

    Raises:
        NotFound: for a dimension that the run's policy does not have.
    """
    policy = workspace.store.policy(run.policy, run.policy_version)
    scale = policy.scale(dimension)
    human = truth(workspace, run.golden, version=run.golden_version, split=split)
    judge = grades(workspace, run, human.pair_ids)[dimension]
    people = human_grades(human, dimension, policy)
    known, graded = people >= 0, judge >= 0

    def rate(of_people: npt.NDArray[Any], of_judge: npt.NDArray[Any]) -> Rate:
        return corrected_rate(
            np.where(known, of_people, np.nan), np.where(graded, of_judge, np.nan), human.queries
        )

    shares = {level: rate((people == level).astype(float), (judge == level).astype(float)) for level in scale}
    return LevelRates(shares, rate(people.astype(float), judge.astype(float)))


@dataclass(frozen=True, eq=False)
class HoldoutUse:
    """How often a holdout was used. ``luck`` is None with a reason where it cannot be told."""

    looks: pd.DataFrame  # run_id, who, place, at; newest first
    runs: int  # different runs that were looked at
    policies: int  # different (policy version, judge) among them
    luck: Luck | None
    reason: str = ""


def holdout_use(workspace: Workspace, golden: str) -> HoldoutUse:
    """Return how often the holdout of a set was looked at, and what the best of so many equal policies shows by luck.

    The standard error is that of the two runs looked at last (in the overall grade) whose difference has one.
    """
    ledger = workspace.store.looks(golden)
    known = {run.id: run for run in workspace.store.runs(golden=golden)}
    order = [run_id for run_id in dict.fromkeys(ledger["run_id"]) if run_id in known]
    looked = [known[run_id] for run_id in order]
    different = {(run.policy, run.policy_version, run.judge.hash) for run in looked}
    if len(different) < 2:
        reason = "" if not len(ledger) else "One policy was scored: nothing was chosen by this holdout."
        return HoldoutUse(ledger, len(looked), len(different), None, reason)
    error, reason = _newest_error(workspace, golden, looked)
    found = luck(error, len(different)) if error is not None else None
    return HoldoutUse(ledger, len(looked), len(different), found, reason)


def _newest_error(workspace: Workspace, golden: str, looked: Sequence[Run]) -> tuple[float | None, str]:
    finished = [run for run in looked if run.status == "finished"]
    reason = "Two finished runs are needed."
    for a, b in zip(finished[1:4], finished[:3], strict=False):
        policy = workspace.store.policy(b.policy, b.policy_version)
        if workspace.store.policy(a.policy, a.policy_version).scale(OVERALL) != policy.scale(OVERALL):
            continue
        human = truth(workspace, golden, version=min(a.golden_version, b.golden_version), split="holdout")
        first, second = (grades(workspace, run, human.pair_ids)[OVERALL] for run in (a, b))
        error = delta_error(
            first, second, human_grades(human, OVERALL, policy), human.queries, policy.scale(OVERALL)
        )
        if error.se is not None:
            return error.se, ""
        reason = error.reason
    return None, reason
