"""The suspected label errors of a golden set as values: what runs and labels say, put into the ranking and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from workbench import evaluation, label_errors
from workbench.evaluation import SplitChoice
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, Split, adjudicated, votes
from workbench.policy import Policy
from workbench.run import Run
from workbench.store import GoldenInfo
from workbench.store.decisions import Decision
from workbench.workspace import Workspace

MOST = 500
"""Suspects of a dimension that are returned, the likeliest first; for these, probabilities are read."""


@dataclass(frozen=True)
class JudgeAnswer:
    """What one judge said of a suspect, and its part of the score."""

    run: Run
    grade: int  # a level or NOT_APPLICABLE
    margin: float  # how much likelier it makes the judges' answer than the label; negative for the label


@dataclass(frozen=True)
class Suspect:
    """A settled label that several judges contradict with one answer."""

    golden: str
    pair_id: str
    dimension: str
    split: Split
    label: int  # the settled grade of people: a level or NOT_APPLICABLE
    votes: Mapping[int, int]  # answer -> labelers who gave it
    answer: int  # what the judges agree on
    score: float  # above 0, at most 1; see label_errors.rank
    judges: tuple[JudgeAnswer, ...]  # those that answered
    decision: Decision | None = None  # an earlier one that holds no more: a newer label or run contradicts it

    @property
    def id(self) -> str:
        """Pair and dimension, as the URL names it."""
        return f"{self.pair_id}:{self.dimension}"

    @property
    def agreeing(self) -> tuple[JudgeAnswer, ...]:
        """The judges that gave the answer."""
        return tuple(judge for judge in self.judges if judge.grade == self.answer)


@lru_cache(maxsize=8)
def ranked(
    workspace: Workspace,
    info_json: str,
    policy_hash: str,
    run_jsons: tuple[str, ...],
    split: SplitChoice,
    least_judges: int,
) -> tuple[Suspect, ...]:
    """Return the suspects of all dimensions, the likeliest first, whatever was decided about them.

    Args:
        info_json: a GoldenInfo. Its counts grow with every label and snapshot, which keys the cache with them.
        policy_hash: of the newest version of the set's policy, whose scales decide what a grade is.
        run_jsons: independent runs.
    """
    runs = [Run.model_validate_json(text) for text in run_jsons]
    store = workspace.store
    info = GoldenInfo.model_validate_json(info_json)
    golden, policy = info.name, store.policy(info.policy)
    # A judge is calibrated by all that is looked at: the holdout alone may be small.
    human = evaluation.truth(workspace, golden, split="dev" if split == "dev" else "all")
    members = store.members(golden)
    splits = dict(zip(members["pair_id"], members["split"], strict=True))
    table = store.labels(golden)
    holding = pd.concat([votes(table), adjudicated(table)])
    ids = pd.Index(human.pair_ids)
    wanted = np.array([split in ("all", splits[pair_id]) for pair_id in human.pair_ids], dtype=bool)
    cast = {key: label_errors.label_votes(holding, key, ids, policy.scale(key)) for key in policy.keys}
    given = _aligned(workspace, runs, policy, human.pair_ids)

    def rank(key: str, probabilities: npt.NDArray[np.float64] | None = None) -> label_errors.Suspects:
        return label_errors.rank(
            human.human[key], cast[key], given[key], policy.scale(key),
            least_judges=least_judges, probabilities=probabilities,
        )  # fmt: skip

    first = {}
    for key in policy.keys:
        likeliest = rank(key).position
        first[key] = likeliest[wanted[likeliest]][:MOST]
    known = _probabilities(workspace, runs, policy, ids, first)
    found = []
    for key in policy.keys:
        ranked = rank(key, known.get(key))
        kept = np.flatnonzero(np.isin(ranked.position, first[key]))
        answers = (*policy.scale(key), NOT_APPLICABLE)
        for k in kept:
            position = int(ranked.position[k])
            spoke = np.flatnonzero(np.isfinite(ranked.margins[:, k]))
            counts = zip(answers, cast[key][position].tolist(), strict=True)
            found.append(
                Suspect(
                    golden=golden,
                    pair_id=human.pair_ids[position],
                    dimension=key,
                    split=splits[human.pair_ids[position]],
                    label=int(human.human[key][position]),
                    votes={answer: count for answer, count in counts if count},
                    answer=int(ranked.answer[k]),
                    score=float(ranked.score[k]),
                    judges=tuple(
                        JudgeAnswer(runs[j], int(given[key][j, position]), float(ranked.margins[j, k]))
                        for j in spoke
                    ),
                )
            )
    return tuple(sorted(found, key=lambda suspect: -suspect.score))


def _aligned(
    workspace: Workspace, runs: Sequence[Run], policy: Policy, pair_ids: Sequence[str]
) -> dict[str, npt.NDArray[np.int_]]:
    """Return dimension -> grades, shape (runs, pairs); of runs under another scale, or without it, none."""
    tables = [evaluation.grades(workspace, run, pair_ids) for run in runs]
    under = [workspace.store.policy(run.policy, run.policy_version) for run in runs]
    none = np.full(len(pair_ids), NOT_GRADED)
    return {
        key: np.stack(
            [
                table[key] if key in version.keys and version.scale(key) == policy.scale(key) else none
                for table, version in zip(tables, under, strict=True)
            ]
        )
        for key in policy.keys
    }


def _probabilities(
    workspace: Workspace,
    runs: Sequence[Run],
    policy: Policy,
    ids: pd.Index,
    wanted: Mapping[str, npt.NDArray[np.int_]],
) -> dict[str, npt.NDArray[np.float64]]:
    """Return dimension -> probabilities over levels, shape (runs, pairs, levels), NaN but for the pairs wanted."""
    some = np.unique(np.concatenate([np.asarray(where, dtype=np.int_) for where in wanted.values()]))
    chosen = ids[some].tolist()
    found: dict[str, npt.NDArray[np.float64]] = {}
    for j, run in enumerate(runs):
        judged = workspace.store.judgements(run.id, chosen)
        for key, where in wanted.items():
            levels = len(policy.scale(key))
            for position in where:
                judgement = judged.get(ids[position], {}).get(key)
                if judgement is None or judgement.probabilities is None:
                    continue
                if len(judgement.probabilities) == levels:
                    if key not in found:
                        found[key] = np.full((len(runs), len(ids), levels), np.nan)
                    found[key][j, position] = judgement.probabilities
    return found
