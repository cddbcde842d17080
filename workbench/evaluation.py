"""Verbs of evaluation: the agreement of runs with the labels, of labelers with each other, of a judge with itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from workbench.agreement import Agreement, agreement, noise
from workbench.errors import NotFound
from workbench.golden import NOT_GRADED, Pair, newest, settle, standing
from workbench.grade_columns import grade_columns
from workbench.labelers import LabelerAgreement, labeler_agreement
from workbench.overall import overall_grades
from workbench.policy import OVERALL, Policy
from workbench.run import JudgeIdentity, Judgement, Run
from workbench.store import Store
from workbench.workspace import Workspace

Grades = npt.NDArray[np.int_]
SplitChoice = Literal["dev", "holdout", "all"]
LabelChoice = Literal["live", "snapshot"]


@dataclass(frozen=True, eq=False)
class Truth:
    """The human grades of a golden set's pairs, in one order."""

    golden: str
    version: int
    split: SplitChoice
    pair_ids: tuple[str, ...]
    query_ids: tuple[str, ...]
    human: dict[str, Grades]  # dimension or "overall" -> settled grades, shape (pairs,)
    overall_derived: bool  # nobody labelled the overall grade; it follows from the settled dimensions

    @cached_property
    def queries(self) -> npt.NDArray[np.int_]:
        """The query of each pair as a number, shape (pairs,): quicker to group by than ids."""
        return pd.factorize(pd.Series(self.query_ids, dtype=object))[0].astype(np.int_)


@dataclass(frozen=True, eq=False)
class MatrixRow:
    """One run and its agreement on each dimension and on the overall grade."""

    run: Run
    agreements: dict[str, Agreement]


@dataclass(frozen=True, eq=False)
class PairStory:
    """One pair with all that is known of it: labels, and each run's judgements."""

    pair: Pair
    labels: pd.DataFrame
    judgements: dict[str, dict[str, Judgement]]  # run id -> dimension -> judgement


def truth(
    workspace: Workspace, golden: str, *, version: int | None = None, split: SplitChoice = "dev",
    labels: LabelChoice = "live",
) -> Truth:  # fmt: skip
    """Return the settled human grades of a snapshot's pairs, from today's labels or from the snapshot's own.

    Today's labels settle by the set's consensus rule, a snapshot's own by majority.
    """
    store = workspace.store
    mark = store.labels_mark(golden) if labels == "live" else 0
    newest_policy = store.policy(store.golden(golden).policy)
    number = version if version is not None else max(store.golden(golden).snapshots, default=0)
    return _truth(store, golden, number, split, labels, mark, newest_policy.content_hash)


@lru_cache(maxsize=16)
def _truth(
    store: Store,
    golden: str,
    version: int,
    split: SplitChoice,
    labels: LabelChoice,
    mark: int,
    policy_hash: str,
) -> Truth:
    number, members, frozen = store.snapshot_frames(golden, version or None)
    if split != "all":
        members = members[members["split"] == split]
    table = store.labels(golden) if labels == "live" else frozen()
    ids = tuple(members["pair_id"])
    policy = store.policy(store.policy_of(golden))
    # A snapshot keeps its labels, not the rule of the working set: its own labels settle by majority.
    rule = store.golden(golden).consensus if labels == "live" else "majority"
    human = {key: on_scale(settle(table, key, ids, rule), policy.scale(key)) for key in policy.keys}
    derived = not bool((table["dimension"] == OVERALL).any())
    human[OVERALL] = (
        overall_grades(policy, human)
        if derived
        else on_scale(settle(table, OVERALL, ids, rule), policy.scale(OVERALL))
    )
    return Truth(golden, number, split, ids, tuple(members["query_id"]), human, derived)


def on_scale(grades: Grades, scale: Sequence[int]) -> Grades:
    """Grades of levels that this policy version does not have count as not graded."""
    return np.where((grades >= 0) & ~np.isin(grades, scale), NOT_GRADED, grades)


def grades(workspace: Workspace, run: Run, pair_ids: Sequence[str]) -> dict[str, Grades]:
    """Return a run's grades in the order of ``pair_ids``, overall grade included; NOT_GRADED where it has none."""
    finished = run.finished_at.isoformat() if run.finished_at else ""
    columns = grade_columns(workspace.store, workspace.cache_folder, run.id, finished)
    policy = workspace.store.policy(run.policy, run.policy_version)
    pairs = pd.Index(np.array(pair_ids, dtype=object))
    found = {key: on_scale(columns.of(key, pairs), policy.scale(key)) for key in policy.keys}
    found[OVERALL] = overall_grades(policy, found)
    return found


def matrix(
    workspace: Workspace, runs: Sequence[Run], *, split: SplitChoice = "dev", labels: LabelChoice = "live"
) -> list[MatrixRow]:
    """Return the agreement of each run on every dimension and overall, in the order of ``runs``."""
    return [MatrixRow(run, run_agreement(workspace, run, split=split, labels=labels)) for run in runs]


def run_agreement(
    workspace: Workspace, run: Run, *, split: SplitChoice = "dev", labels: LabelChoice = "live"
) -> dict[str, Agreement]:
    """Return one run's agreement on every dimension of its policy and overall."""
    human = truth(workspace, run.golden, version=run.golden_version, split=split, labels=labels)
    mark = workspace.store.labels_mark(run.golden) if labels == "live" else 0
    newest_hash = workspace.store.policy(run.policy).content_hash
    return _agreements(workspace, run.model_dump_json(), split, labels, mark, newest_hash, human)


@lru_cache(maxsize=256)
def _agreements(
    workspace: Workspace, run_json: str, split: str, labels: str, mark: int, policy_hash: str, human: Truth
) -> dict[str, Agreement]:
    run = Run.model_validate_json(run_json)
    policy = workspace.store.policy(run.policy, run.policy_version)
    mine = grades(workspace, run, human.pair_ids)
    return {
        key: agreement(mine[key], human_grades(human, key, policy), human.queries, policy.scale(key))
        for key in (*policy.keys, OVERALL)
    }


def human_grades(truth: Truth, key: str, policy: Policy) -> Grades:
    """Return the settled grades of a dimension on the scale of ``policy``; NOT_GRADED where it has none."""
    if key not in truth.human:  # a dimension that the newest policy no longer has
        return np.full(len(truth.pair_ids), NOT_GRADED)
    return on_scale(truth.human[key], policy.scale(key))


def judge_noise(workspace: Workspace, run: Run, human: Truth, policy: Policy) -> dict[str, float | None]:
    """Return, for each dimension, how far κ moved between repeats of this judge under this policy version.

    None where there are fewer than two of :func:`repeats_of`.
    """
    repeats = repeats_of(workspace, run)
    if len(repeats) < 2:
        return dict.fromkeys((*policy.keys, OVERALL))
    tables = [grades(workspace, repeat, human.pair_ids) for repeat in repeats]
    return {
        key: noise(
            np.stack([table[key] for table in tables]), human_grades(human, key, policy), policy.scale(key)
        )
        for key in (*policy.keys, OVERALL)
    }


def repeats_of(workspace: Workspace, run: Run) -> list[Run]:
    """Return the finished runs of a run's judge on the same inputs, differing at most in the repeat index.

    A run whose answers all came from the cache asked nothing anew, so it is not among them.
    """
    return [
        other
        for other in workspace.store.runs(policy=run.policy, golden=run.golden)
        if other.status == "finished"
        and other.policy_hash == run.policy_hash
        and other.golden_hash == run.golden_hash
        and same_judge(other.judge, run.judge)
        and (other.totals.cache_hits == 0 or other.totals.cache_hits < other.totals.pairs)
    ]


def same_judge(one: JudgeIdentity, other: JudgeIdentity) -> bool:
    """Return whether two judges differ at most in the repeat index."""
    return (one.kind, one.name) == (other.kind, other.name) and (
        {**one.params, "repeat": 0} == {**other.params, "repeat": 0}
    )


def human_agreement(
    workspace: Workspace,
    golden: str,
    *,
    version: int | None = None,
    split: SplitChoice = "dev",
    working: bool = False,
) -> dict[str, LabelerAgreement | None]:
    """Return, for each dimension and overall, how far labelers agree with each other; None below two labelers.

    Adjudicated labels are left out: they were made with the others in sight.

    Args:
        working: over the pairs of the set as it is now, published or not, instead of those of a snapshot.
    """
    if working:
        members = workspace.store.members(golden)
        members = members[members["split"] == split] if split != "all" else members
        pair_ids, query_ids = tuple(members["pair_id"]), tuple(members["query_id"])
    else:
        human = truth(workspace, golden, version=version, split=split)
        pair_ids, query_ids = human.pair_ids, human.query_ids
    mark = workspace.store.labels_mark(golden)
    return _human_agreement(workspace.store, golden, mark, pair_ids, query_ids)


@lru_cache(maxsize=16)
def _human_agreement(
    store: Store, golden: str, mark: int, pair_ids: tuple[str, ...], query_ids: tuple[str, ...]
) -> dict[str, LabelerAgreement | None]:
    policy = store.policy(store.golden(golden).policy)
    rated = _ratings(store, golden, mark, pair_ids)
    return {
        key: labeler_agreement(ratings, query_ids, policy.scale(key), names) if len(names) >= 2 else None
        for key, (names, ratings) in rated.items()
    }


def labeler_ratings(workspace: Workspace, truth: Truth) -> dict[str, tuple[list[str], Grades]]:
    """Return, for each dimension and overall, the labelers and their newest own grades, shape (labelers, pairs).

    Pairs in the order of ``truth``; NOT_GRADED where a labeler did not label. Adjudicated labels are left out.
    """
    return _ratings(workspace.store, truth.golden, workspace.store.labels_mark(truth.golden), truth.pair_ids)


@lru_cache(maxsize=16)
def _ratings(
    store: Store, golden: str, mark: int, pair_ids: tuple[str, ...]
) -> dict[str, tuple[list[str], Grades]]:
    policy = store.policy(store.policy_of(golden))
    table = store.labels(golden)
    table = newest(table[table["source"] != "adjudicated"])
    position = {pair_id: i for i, pair_id in enumerate(pair_ids)}
    found: dict[str, tuple[list[str], Grades]] = {}
    for key in (*policy.keys, OVERALL):
        mine = table[(table["dimension"] == key) & table["pair_id"].isin(position)]
        names = sorted(mine["labeler"].unique())
        ratings = np.full((len(names), len(pair_ids)), NOT_GRADED)
        rows = mine["labeler"].map({name: i for i, name in enumerate(names)}).to_numpy(dtype=np.int_)
        columns = mine["pair_id"].map(position).to_numpy(dtype=np.int_)
        ratings[rows, columns] = mine["grade"].to_numpy(dtype=np.int_)
        found[key] = names, on_scale(ratings, policy.scale(key))
    return found


def pair_story(workspace: Workspace, golden: str, pair_id: str, run_ids: Sequence[str]) -> PairStory:
    """Return a pair with its labels and what the given runs said of it.

    Raises:
        NotFound: if there is no such pair.
    """
    pairs = workspace.store.pairs([pair_id], golden)
    if pair_id not in pairs:
        raise NotFound(f"There is no pair {pair_id}.", "The link may be from another workspace.")
    judgements = {
        run_id: workspace.store.judgements(run_id, [pair_id]).get(pair_id, {}) for run_id in run_ids
    }
    return PairStory(pairs[pair_id], standing(workspace.store.labels(golden, pair_id=pair_id)), judgements)


def record_look(workspace: Workspace, runs: Sequence[Run], who: str, place: str) -> int:
    """Write a look at the holdout into the ledger and return how many looks there have been, this one included."""
    golden = runs[0].golden
    workspace.store.record_look(golden, [run.id for run in runs], who, place)
    return len(workspace.store.looks(golden))
