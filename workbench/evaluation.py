"""Verbs of evaluation: measure the agreement of runs with the labels, compare two runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import compress
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from workbench.agreement import OUTCOMES, Agreement, Comparison, agreement, compare_many, noise
from workbench.errors import NotFound, Refused
from workbench.golden import NOT_GRADED, Pair, newest, settle, standing
from workbench.grade_columns import grade_columns
from workbench.labelers import LabelerAgreement, labeler_agreement
from workbench.overall import overall_grades
from workbench.policy import OVERALL, Policy
from workbench.policy_diff import Change, diff, sections_to_judge
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
class RunComparison:
    """Two runs side by side on the pairs of one split."""

    a: Run
    b: Run
    policy_a: Policy
    policy_b: Policy
    truth: Truth
    grades_a: dict[str, Grades]
    grades_b: dict[str, Grades]
    comparisons: dict[str, Comparison]
    agreements_a: dict[str, Agreement]
    agreements_b: dict[str, Agreement]
    changes: tuple[Change, ...]
    judged: tuple[str, ...]  # dimensions whose verdicts the policy change may move
    noise_a: dict[str, float | None]

    def flips(self, dimension: str) -> pd.DataFrame:
        """Return pair_id, outcome, human, a, b of the pairs that flipped, broken ones first."""
        comparison = self.comparisons[dimension]
        order = {"broken": 0, "fixed": 1, "changed": 2}
        frame = pd.DataFrame(
            {
                "pair_id": list(self.truth.pair_ids),
                "outcome": [OUTCOMES[code] for code in comparison.outcomes],
                "human": self.truth.human[dimension],
                "a": self.grades_a[dimension],
                "b": self.grades_b[dimension],
            }
        )
        frame = frame[frame["outcome"].isin(list(order))]
        far = (frame["b"] - frame["a"]).abs()
        keys = pd.DataFrame({"order": frame["outcome"].map(order), "far": -far})
        return frame.loc[keys.sort_values(["order", "far"], kind="stable").index].reset_index(drop=True)


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
    human = {key: _on_scale(settle(table, key, ids, rule), policy.scale(key)) for key in policy.keys}
    derived = not bool((table["dimension"] == OVERALL).any())
    human[OVERALL] = (
        overall_grades(policy, human)
        if derived
        else _on_scale(settle(table, OVERALL, ids, rule), policy.scale(OVERALL))
    )
    return Truth(golden, number, split, ids, tuple(members["query_id"]), human, derived)


def _on_scale(grades: Grades, scale: Sequence[int]) -> Grades:
    """Grades of levels that this policy version does not have count as not graded."""
    return np.where((grades >= 0) & ~np.isin(grades, scale), NOT_GRADED, grades)


def grades(workspace: Workspace, run: Run, pair_ids: Sequence[str]) -> dict[str, Grades]:
    """Return a run's grades in the order of ``pair_ids``, overall grade included; NOT_GRADED where it has none."""
    finished = run.finished_at.isoformat() if run.finished_at else ""
    columns = grade_columns(workspace.store, workspace.cache_folder, run.id, finished)
    policy = workspace.store.policy(run.policy, run.policy_version)
    pairs = pd.Index(np.array(pair_ids, dtype=object))
    found = {key: _on_scale(columns.of(key, pairs), policy.scale(key)) for key in policy.keys}
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
        key: agreement(mine[key], _human(human, key, policy), human.queries, policy.scale(key))
        for key in (*policy.keys, OVERALL)
    }


def _among(truth: Truth, pair_ids: Sequence[str]) -> Truth:
    known = set(pair_ids)
    keep = np.array([pair_id in known for pair_id in truth.pair_ids], dtype=bool)
    return replace(
        truth,
        pair_ids=tuple(compress(truth.pair_ids, keep)),
        query_ids=tuple(compress(truth.query_ids, keep)),
        human={key: grades[keep] for key, grades in truth.human.items()},
    )


def _human(truth: Truth, key: str, policy: Policy) -> Grades:
    if key not in truth.human:  # a dimension that the newest policy no longer has
        return np.full(len(truth.pair_ids), NOT_GRADED)
    return _on_scale(truth.human[key], policy.scale(key))


def compare_runs(
    workspace: Workspace, a: Run, b: Run, *, split: SplitChoice = "dev", labels: LabelChoice = "live"
) -> RunComparison:
    """Return run ``b`` beside run ``a`` on the dimensions that both policies have on the same scale.

    Runs over different snapshots are compared on the pairs that both snapshots have.

    Raises:
        Refused: if the runs are on different golden sets, or one of them has not finished.
    """
    if a.golden != b.golden:
        raise Refused(
            f"{a.label} ran on golden set '{a.golden}', {b.label} on '{b.golden}'.",
            "Compare runs on one golden set.",
        )
    for run in (a, b):
        if run.status in ("queued", "running"):
            raise Refused(f"{run.label} has not finished yet.", "Wait for it on the Runs page.")
    policy_a = workspace.store.policy(a.policy, a.policy_version)
    policy_b = workspace.store.policy(b.policy, b.policy_version)
    human = truth(
        workspace, a.golden, version=max(a.golden_version, b.golden_version), split=split, labels=labels
    )
    if a.golden_version != b.golden_version:
        older = truth(workspace, a.golden, version=min(a.golden_version, b.golden_version), split=split)
        human = _among(human, older.pair_ids)  # a run has not failed on a pair that it was never asked about
    grades_a, grades_b = (grades(workspace, run, human.pair_ids) for run in (a, b))
    shared = [
        key
        for key in (*policy_b.keys, OVERALL)
        if key == OVERALL or (key in policy_a.keys and policy_a.scale(key) == policy_b.scale(key))
    ]
    if policy_a.scale(OVERALL) != policy_b.scale(OVERALL):
        shared.remove(OVERALL)
    levels = {key: policy_b.scale(key) for key in shared}
    comparisons = compare_many(
        grades_a, grades_b, {key: _human(human, key, policy_b) for key in shared}, human.query_ids, levels
    )
    changes = diff(policy_a, policy_b)
    return RunComparison(
        a=a,
        b=b,
        policy_a=policy_a,
        policy_b=policy_b,
        truth=human,
        grades_a=grades_a,
        grades_b=grades_b,
        comparisons=comparisons,
        agreements_a=run_agreement(workspace, a, split=split, labels=labels),
        agreements_b=run_agreement(workspace, b, split=split, labels=labels),
        changes=changes,
        judged=sections_to_judge(changes, policy_b.keys),
        noise_a=judge_noise(workspace, a, human, policy_a),
    )


def judge_noise(workspace: Workspace, run: Run, human: Truth, policy: Policy) -> dict[str, float | None]:
    """Return, for each dimension, how far κ moved between repeats of this judge under this policy version.

    A repeat is a finished run of the same judge, differing at most in its repeat index. A run whose answers all came
    from the cache asked nothing anew, so it is none. None without one.
    """
    repeats = [
        other
        for other in workspace.store.runs(policy=run.policy, golden=run.golden)
        if other.status == "finished"
        and other.policy_hash == run.policy_hash
        and other.golden_hash == run.golden_hash
        and _without_repeat(other.judge) == _without_repeat(run.judge)
        and (other.totals.cache_hits == 0 or other.totals.cache_hits < other.totals.pairs)
    ]
    if len(repeats) < 2:
        return dict.fromkeys((*policy.keys, OVERALL))
    tables = [grades(workspace, repeat, human.pair_ids) for repeat in repeats]
    return {
        key: noise(np.stack([table[key] for table in tables]), _human(human, key, policy), policy.scale(key))
        for key in (*policy.keys, OVERALL)
    }


def _without_repeat(judge: JudgeIdentity) -> tuple[str, str, dict[str, Any]]:
    return judge.kind, judge.name, {key: value for key, value in judge.params.items() if key != "repeat"}


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
    table = store.labels(golden)
    table = newest(table[table["source"] != "adjudicated"])
    position = {pair_id: i for i, pair_id in enumerate(pair_ids)}
    found: dict[str, LabelerAgreement | None] = {}
    for key in (*policy.keys, OVERALL):
        mine = table[(table["dimension"] == key) & table["pair_id"].isin(position)]
        names = sorted(mine["labeler"].unique())
        ratings = np.full((len(names), len(pair_ids)), NOT_GRADED)
        rows = mine["labeler"].map({name: i for i, name in enumerate(names)}).to_numpy(dtype=np.int_)
        columns = mine["pair_id"].map(position).to_numpy(dtype=np.int_)
        ratings[rows, columns] = mine["grade"].to_numpy(dtype=np.int_)
        ratings = _on_scale(ratings, policy.scale(key))
        enough = len(names) >= 2
        found[key] = labeler_agreement(ratings, query_ids, policy.scale(key), names) if enough else None
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
