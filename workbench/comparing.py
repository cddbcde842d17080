"""Verbs of comparison: run B beside run A, over all pairs or by slice; what the set can tell; what the runs took."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import compress

import numpy as np
import pandas as pd

from workbench import power
from workbench.agreement import OUTCOMES, Agreement, Comparison, agreement, compare_many, holm
from workbench.errors import NotFound, Refused
from workbench.evaluation import (
    Grades,
    LabelChoice,
    MatrixRow,
    SplitChoice,
    Truth,
    grades,
    human_grades,
    judge_noise,
    run_agreement,
    truth,
)
from workbench.policy import OVERALL, Policy
from workbench.policy_diff import Change, diff, sections_to_judge
from workbench.run import Run
from workbench.workspace import Workspace

MOST_VALUES = 20
"""A field of the pairs' metadata with more values than this is no field to slice by."""


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


def compare_runs(
    workspace: Workspace,
    a: Run,
    b: Run,
    *,
    split: SplitChoice = "dev",
    labels: LabelChoice = "live",
    among: Mapping[str, str] | None = None,
) -> RunComparison:
    """Return run ``b`` beside run ``a`` on the dimensions that both policies have on the same scale.

    Runs over different snapshots are compared on the pairs that both snapshots have.

    Args:
        among: field of the pairs' metadata -> value; only pairs with all of them count.

    Raises:
        Refused: if the runs are on different golden sets, or one of them has not finished.
        NotFound: if no pair has what ``among`` asks for.
    """
    if a.golden != b.golden:
        raise Refused(
            f"{a.label} ran on golden set '{a.golden}', {b.label} on '{b.golden}'.",
            "Compare runs on one golden set.",
        )
    for run in (a, b):
        if run.status in ("queued", "running"):
            raise Refused(f"{run.label} has not finished yet.", "Wait for it on the Runs page.")
    mark = workspace.store.labels_mark(a.golden) if labels == "live" else 0
    newest = workspace.store.policy(workspace.store.policy_of(a.golden)).content_hash
    chosen = tuple(sorted((among or {}).items()))
    found = _compared(
        workspace, a.model_dump_json(), b.model_dump_json(), split, labels, chosen, mark, newest
    )
    # Another repeat may have finished since, so this is not kept with the rest.
    return replace(found, noise_a=judge_noise(workspace, a, found.truth, found.policy_a))


@lru_cache(maxsize=24)
def _compared(
    workspace: Workspace,
    a_json: str,
    b_json: str,
    split: SplitChoice,
    labels: LabelChoice,
    among: tuple[tuple[str, str], ...],
    mark: int,
    policy_hash: str,
) -> RunComparison:
    a, b = Run.model_validate_json(a_json), Run.model_validate_json(b_json)
    policy_a = workspace.store.policy(a.policy, a.policy_version)
    policy_b = workspace.store.policy(b.policy, b.policy_version)
    version = max(a.golden_version, b.golden_version)
    human = truth(workspace, a.golden, version=version, split=split, labels=labels)
    if a.golden_version != b.golden_version:
        older = truth(workspace, a.golden, version=min(a.golden_version, b.golden_version), split=split)
        # A run has not failed on a pair that it was never asked about.
        human = among_pairs(human, older.pair_ids)
    if among:
        human = among_pairs(human, _with_values(workspace, human, version, dict(among)))
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
        grades_a, grades_b, {key: human_grades(human, key, policy_b) for key in shared}, human.queries, levels
    )
    changes = diff(policy_a, policy_b)
    whole = not among  # alone, a run is measured on its own snapshot
    return RunComparison(
        a=a,
        b=b,
        policy_a=policy_a,
        policy_b=policy_b,
        truth=human,
        grades_a=grades_a,
        grades_b=grades_b,
        comparisons=comparisons,
        agreements_a=run_agreement(workspace, a, split=split, labels=labels)
        if whole
        else _agreements(grades_a, human, policy_a),
        agreements_b=run_agreement(workspace, b, split=split, labels=labels)
        if whole
        else _agreements(grades_b, human, policy_b),
        changes=changes,
        judged=sections_to_judge(changes, policy_b.keys),
        noise_a=dict.fromkeys(shared),
    )


def _agreements(mine: Mapping[str, Grades], human: Truth, policy: Policy) -> dict[str, Agreement]:
    return {
        key: agreement(mine[key], human_grades(human, key, policy), human.queries, policy.scale(key))
        for key in (*policy.keys, OVERALL)
    }


def against_several(
    workspace: Workspace,
    a: Run,
    others: Sequence[Run],
    *,
    split: SplitChoice = "dev",
    labels: LabelChoice = "live",
) -> list[RunComparison]:
    """Return each of ``others`` beside ``a``, with McNemar's p corrected by Holm over all runs and dimensions.

    Raises:
        Refused: as :func:`compare_runs`.
    """
    found = [compare_runs(workspace, a, other, split=split, labels=labels) for other in others]
    p_values = [c.p_mcnemar for one in found for c in one.comparisons.values()]
    corrected = iter(holm(p_values))
    return [
        replace(
            one,
            comparisons={key: replace(c, p_holm=next(corrected)) for key, c in one.comparisons.items()},
        )
        for one in found
    ]


@dataclass(frozen=True, eq=False)
class SliceRow:
    """Two runs on the pairs with one value of a field; p-values are corrected over all slices and dimensions."""

    value: str
    pairs: int
    queries: int
    comparisons: dict[str, Comparison]


def slice_fields(workspace: Workspace, golden: str, version: int | None = None) -> dict[str, dict[str, int]]:
    """Return the fields of the pairs' metadata that a set can be sliced by: field -> value -> pairs.

    A field with one value, or with more than ``MOST_VALUES``, cuts no slices.
    """
    counts: dict[str, dict[str, int]] = {}
    for values in _meta(workspace, golden, version).values():
        for field, value in values.items():
            per_value = counts.setdefault(field, {})
            per_value[value] = per_value.get(value, 0) + 1
    return {
        field: dict(sorted(values.items(), key=lambda item: (-item[1], item[0])))
        for field, values in sorted(counts.items())
        if 2 <= len(values) <= MOST_VALUES
    }


def slices(workspace: Workspace, found: RunComparison, field: str) -> list[SliceRow]:
    """Return the comparison on the pairs with each value of ``field``, the largest slice first.

    Raises:
        NotFound: if the pairs have no such field.
    """
    version = max(found.a.golden_version, found.b.golden_version)
    meta = _meta(workspace, found.truth.golden, version)
    values = [meta.get(pair_id, {}).get(field) for pair_id in found.truth.pair_ids]
    names = sorted({value for value in values if value is not None})
    if not names:
        raise NotFound(f"The pairs have no field '{field}'.", "Choose a field of the pairs' metadata.")
    levels = {key: found.policy_b.scale(key) for key in found.comparisons}
    rows = []
    for name in names:
        keep = np.array([value == name for value in values])
        human = {key: human_grades(found.truth, key, found.policy_b)[keep] for key in levels}
        a = {key: found.grades_a[key][keep] for key in levels}
        b = {key: found.grades_b[key][keep] for key in levels}
        queries = found.truth.queries[keep]
        compared = compare_many(a, b, human, queries, levels)
        rows.append(SliceRow(name, int(keep.sum()), len(np.unique(queries)), compared))
    corrected = iter(holm([c.p_mcnemar for row in rows for c in row.comparisons.values()]))
    rows = [
        replace(
            row, comparisons={key: replace(c, p_holm=next(corrected)) for key, c in row.comparisons.items()}
        )
        for row in rows
    ]
    return sorted(rows, key=lambda row: (-row.pairs, row.value))


@dataclass(frozen=True)
class Power:
    """What a set can tell about the difference of two runs in one dimension."""

    detects: float | None  # smallest true difference of kappa found in 80 of 100 sets like this one
    target: float  # a smaller difference
    more_queries: int | None  # further queries that would find it; 0 where the set is large enough
    more_pairs: int | None  # the same in pairs, as many a query as the set has
    reason: str = ""


def power_of(found: RunComparison, key: str, target: float = 0.02) -> Power:
    """Return what the pairs of a comparison can tell in one dimension; see :mod:`workbench.power`.

    Raises:
        ValueError: for a target of 0.
    """
    error = power.delta_error(
        found.grades_a[key],
        found.grades_b[key],
        human_grades(found.truth, key, found.policy_b),
        found.truth.queries,
        found.policy_b.scale(key),
    )
    if error.se is None:
        return Power(None, target, None, None, error.reason)
    wanted = power.needed(error.se, error.queries, target)
    more = max(0, wanted - error.queries)
    return Power(power.detectable(error.se), target, more, -(-more * error.pairs // error.queries))


@dataclass(frozen=True)
class Effort:
    """What a run took, for 1,000 pairs. None is unknown."""

    usd: float | None
    seconds: float | None
    input_tokens: float | None
    output_tokens: float | None


def effort(run: Run) -> Effort:
    """Return what a run took for 1,000 pairs; answers from the verdict cache took nothing and are left out."""
    totals = run.totals
    asked = totals.pairs - totals.cache_hits
    if asked <= 0 or run.judge.kind == "recorded":
        return Effort(None, None, None, None)
    share = 1000 / asked
    sends = totals.calls > 0
    return Effort(
        totals.cost_usd * share if sends and totals.cost_usd is not None else None,
        totals.seconds * share if totals.seconds else None,
        totals.input_tokens * share if sends else None,
        totals.output_tokens * share if sends else None,
    )


def among_pairs(truth: Truth, pair_ids: Sequence[str]) -> Truth:
    """Return ``truth`` on those of its pairs that are among ``pair_ids``."""
    known = set(pair_ids)
    keep = np.array([pair_id in known for pair_id in truth.pair_ids], dtype=bool)
    return replace(
        truth,
        pair_ids=tuple(compress(truth.pair_ids, keep)),
        query_ids=tuple(compress(truth.query_ids, keep)),
        human={key: grades[keep] for key, grades in truth.human.items()},
    )


def _with_values(workspace: Workspace, human: Truth, version: int, wanted: Mapping[str, str]) -> list[str]:
    meta = _meta(workspace, human.golden, version)
    found = [
        pair_id
        for pair_id in human.pair_ids
        if all(meta.get(pair_id, {}).get(field) == value for field, value in wanted.items())
    ]
    if not found:
        said = ", ".join(f"{field} {value}" for field, value in wanted.items())
        raise NotFound(f"No pair has {said}.", "Choose another slice.")
    return found


def _meta(workspace: Workspace, golden: str, version: int | None) -> dict[str, dict[str, str]]:
    number = version or max(workspace.store.golden(golden).snapshots, default=0)
    return _meta_of(workspace, golden, number)


@lru_cache(maxsize=8)
def _meta_of(workspace: Workspace, golden: str, version: int) -> dict[str, dict[str, str]]:
    """Return pair id -> field -> value as text, of one snapshot, which never changes."""
    _, members, _ = workspace.store.snapshot_frames(golden, version or None)
    return {
        pair_id: {str(field): str(value) for field, value in json.loads(meta).items()}
        for pair_id, meta in zip(members["pair_id"], members["meta"], strict=True)
    }


def matrix_among(
    workspace: Workspace,
    runs: Sequence[Run],
    *,
    split: SplitChoice = "dev",
    labels: LabelChoice = "live",
    among: Mapping[str, str],
) -> list[MatrixRow]:
    """Return the agreement of each run on the pairs with certain values in their metadata.

    Raises:
        NotFound: if no pair has what ``among`` asks for.
    """
    mark = workspace.store.labels_mark(runs[0].golden) if labels == "live" and runs else 0
    chosen = tuple(sorted(among.items()))
    return [
        MatrixRow(run, _agreements_among(workspace, run.model_dump_json(), split, labels, chosen, mark))
        for run in runs
    ]


@lru_cache(maxsize=64)
def _agreements_among(
    workspace: Workspace,
    run_json: str,
    split: SplitChoice,
    labels: LabelChoice,
    among: tuple[tuple[str, str], ...],
    mark: int,
) -> dict[str, Agreement]:
    run = Run.model_validate_json(run_json)
    human = truth(workspace, run.golden, version=run.golden_version, split=split, labels=labels)
    human = among_pairs(human, _with_values(workspace, human, run.golden_version, dict(among)))
    policy = workspace.store.policy(run.policy, run.policy_version)
    return _agreements(grades(workspace, run, human.pair_ids), human, policy)


def noise_bands(workspace: Workspace, run: Run, *, split: SplitChoice = "dev") -> dict[str, float | None]:
    """Return how far κ moved between repeats of a run's judge, by dimension; None without repeats."""
    human = truth(workspace, run.golden, version=run.golden_version, split=split)
    return judge_noise(workspace, run, human, workspace.store.policy(run.policy, run.policy_version))
