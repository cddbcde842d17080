"""Verbs about the health of a golden set: what it does not cover, holds twice, nobody saw, and is too small to tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from workbench import confusion, evaluation, power
from workbench.confusion import Grades
from workbench.files import write_text
from workbench.golden import NOT_GRADED, coverage, settle, standing, votes
from workbench.identity import Value, content_hash
from workbench.near_duplicates import SHINGLE, THRESHOLD, DuplicateGroup, near_duplicates
from workbench.policy import OVERALL, Policy
from workbench.run import Run
from workbench.store import Store
from workbench.workspace import Workspace

THIN = 5
"""A cell with fewer pairs is thin: one more or less moves its recall by a fifth or more."""
MOST_SLICES = 50
"""Values from which a metadata key names pairs rather than slices of them."""
DELTAS = (0.01, 0.02, 0.05)
"""Differences of kappa whose price in labels is shown."""
NO_VALUE = ""
"""The slice of pairs that do not have the metadata key."""


class Duplicates(Value):
    """The near-duplicates among ``pairs`` pairs; the groups that cross splits come first."""

    pairs: int
    threshold: float
    groups: tuple[DuplicateGroup, ...]

    @property
    def crossing(self) -> tuple[DuplicateGroup, ...]:
        """The groups with pairs in both splits: leaks of the holdout."""
        return tuple(group for group in self.groups if group.crosses)


@dataclass(frozen=True, eq=False)
class Unseen:
    """The pairs that no labeler has seen, in the order in which they came."""

    pair_ids: tuple[str, ...]
    pairs: int  # of the whole set
    by_slice: pd.DataFrame  # split, slice, pairs, unseen; most unseen first


@dataclass(frozen=True)
class PowerRow:
    """What the labelled queries of one dimension can tell, and how many it takes; None with a reason."""

    dimension: str
    queries: int
    pairs: int
    se: float | None
    detectable: float | None
    needed: dict[float, int]  # difference of kappa -> queries in all
    reason: str = ""

    def pairs_needed(self, delta: float) -> int:
        """Return about how many pairs the needed queries have, at as many pairs a query as now."""
        return round(self.needed[delta] * self.pairs / self.queries)


@dataclass(frozen=True)
class PowerTable:
    """The price of a difference of kappa, by dimension. ``basis`` says what the error was taken from."""

    basis: str
    rows: tuple[PowerRow, ...]
    reason: str = ""  # why there are no rows


def slice_keys(workspace: Workspace, golden: str) -> dict[str, int]:
    """Return the metadata keys that cut a set into slices -> how many values each has, fewest first."""
    values: dict[str, set[str]] = {}
    for meta in _members(workspace, golden)["meta"]:
        for key, value in meta.items():
            values.setdefault(key, set()).add(value)
    counts = {key: len(found) for key, found in values.items() if len(found) <= MOST_SLICES}
    return dict(sorted(counts.items(), key=lambda item: (item[1], item[0])))


def coverage_by_slice(workspace: Workspace, golden: str, key: str, *, split: str = "all") -> pd.DataFrame:
    """Return dimension, slice, level and pairs of every cell: empty cells first, then thin ones, then by size.

    Every declared level of a dimension has a cell in every slice. The overall grade is among the dimensions where it
    was labelled. Pairs without the key are the slice ``NO_VALUE``; ``key`` "" makes one slice of all pairs.
    """
    marks = workspace.store.labels_mark(golden), workspace.store.golden(golden)
    return _coverage_by_slice(workspace.store, golden, key, split, marks[0], marks[1].model_dump_json())


@lru_cache(maxsize=16)
def _coverage_by_slice(
    store: Store, golden: str, key: str, split: str, mark: int, info_json: str
) -> pd.DataFrame:
    info = store.golden(golden)
    policy = store.policy(info.policy)
    members = store.members(golden)
    if split != "all":
        members = members[members["split"] == split]
    labels = store.labels(golden)
    slices = members["meta"].map(lambda meta: meta.get(key, NO_VALUE))
    ids = members["pair_id"].tolist()
    rows = []
    for dimension in _labelled(policy, labels):
        settled = settle(labels, dimension, ids, info.consensus)
        for name in sorted(slices.unique()):
            counts = coverage(settled[(slices == name).to_numpy()], policy.scale(dimension))
            rows += [(dimension, name, level, counts[level]) for level in policy.scale(dimension)]
    frame = pd.DataFrame(rows, columns=["dimension", "slice", "level", "pairs"])
    return frame.sort_values("pairs", kind="stable", ignore_index=True)


def unseen(workspace: Workspace, golden: str, key: str = "") -> Unseen:
    """Return the pairs on which no label stands, by split and by the slice of a metadata key.

    *Unrateable* is a label: somebody looked. A withdrawn label is none.
    """
    members = _members(workspace, golden)
    seen = set(standing(workspace.store.labels(golden))["pair_id"])
    frame = pd.DataFrame(
        {
            "split": members["split"],
            "slice": members["meta"].map(lambda meta: meta.get(key, NO_VALUE)),
            "unseen": ~members["pair_id"].isin(seen),
        }
    )
    by_slice = frame.groupby(["split", "slice"], as_index=False).agg(
        pairs=("unseen", "size"), unseen=("unseen", "sum")
    )
    return Unseen(
        pair_ids=tuple(members.loc[frame["unseen"], "pair_id"]),
        pairs=len(members),
        by_slice=by_slice.sort_values(
            ["unseen", "split", "slice"], ascending=[False, True, True], ignore_index=True
        ),
    )


def duplicates(workspace: Workspace, golden: str) -> Duplicates:
    """Return the near-duplicates of a set; found once for the pairs that it has, and kept (see near_duplicates).

    Takes about a second for every 2,000 pairs the first time.
    """
    kept = kept_duplicates(workspace, golden)
    if kept is not None:
        return kept
    members = _members(workspace, golden)
    pairs = workspace.store.pairs(members["pair_id"].tolist(), golden)
    splits = dict(zip(members["pair_id"], members["split"], strict=True))
    groups = near_duplicates([pairs[pair_id] for pair_id in members["pair_id"]], splits)
    found = Duplicates(pairs=len(members), threshold=THRESHOLD, groups=groups)
    write_text(_duplicates_path(workspace, golden), found.model_dump_json())
    return found


def kept_duplicates(workspace: Workspace, golden: str) -> Duplicates | None:
    """Return the near-duplicates if they were found before for these very pairs; None if not. Never long."""
    try:
        text = _duplicates_path(workspace, golden).read_text(encoding="utf-8")
        return Duplicates.model_validate_json(text)
    except (FileNotFoundError, ValidationError):  # a file of an earlier version of this program is found anew
        return None


def _duplicates_path(workspace: Workspace, golden: str) -> Path:
    members = _members(workspace, golden)
    inputs = [THRESHOLD, SHINGLE, sorted(zip(members["pair_id"], members["split"], strict=True))]
    return workspace.cache_folder / "duplicates" / f"{content_hash('members', inputs)}.json"


def _members(workspace: Workspace, golden: str) -> pd.DataFrame:
    """Return a set's members; pairs are only ever added, so their number says whether these are still all."""
    return _members_now(workspace.store, golden, workspace.store.golden(golden).pairs)


@lru_cache(maxsize=4)
def _members_now(store: Store, golden: str, pairs: int) -> pd.DataFrame:
    return store.members(golden)


def power_table(workspace: Workspace, golden: str) -> PowerTable:
    """Return how many queries it takes to see a difference between two judges, by dimension.

    The error comes from the dev split of the set itself, so that it is no look at the holdout: from the difference
    between the two newest finished runs that are not repeats of one judge. With one such run, the labeler with most
    labels stands in as the second judge, and both are measured against the median of the other labelers.
    """
    store = workspace.store
    info = store.golden(golden)
    runs = _distinct(store.runs(policy=info.policy, golden=golden))[:2]
    if not runs:
        return PowerTable(
            "", (), "No judge has finished a run on this set; the error of a difference needs one."
        )
    marks = store.labels_mark(golden), store.policy(info.policy).content_hash
    return _power_table(workspace, golden, tuple(run.model_dump_json() for run in runs), *marks)


@lru_cache(maxsize=16)
def _power_table(
    workspace: Workspace, golden: str, runs_json: tuple[str, ...], mark: int, policy_hash: str
) -> PowerTable:
    runs = [Run.model_validate_json(text) for text in runs_json]
    policy = workspace.store.policy(runs[0].policy)
    versions = [run.golden_version for run in runs]
    truth = evaluation.truth(workspace, golden, version=max(versions))
    judges = [evaluation.grades(workspace, run, truth.pair_ids) for run in runs]
    stand_in = "" if len(runs) == 2 else _most_labels(workspace.store, golden, truth.pair_ids)
    if len(runs) == 1 and not stand_in:
        reason = "One judge has finished a run on this set; without labels, or a second judge, there is no difference."
        return PowerTable("", (), reason)
    rows = []
    for key in (*policy.keys, OVERALL):
        scale = policy.scale(key)
        human = truth.human[key]
        if stand_in:
            second, human = _labeler_and_rest(workspace.store, golden, truth.pair_ids, key, stand_in, scale)
        else:
            second = _on(judges[1][key], scale)
        found = power.delta_error(_on(judges[0][key], scale), second, human, truth.query_ids, scale)
        rows.append(_power_row(key, found))
    basis = f"{runs[0].label} and {runs[1].label if not stand_in else f'the labels of {stand_in}'}, dev split"
    return PowerTable(basis, tuple(rows))


def _power_row(key: str, found: power.DeltaError) -> PowerRow:
    if found.se is None:
        return PowerRow(key, found.queries, found.pairs, None, None, {}, found.reason)
    needed = {delta: power.needed(found.se, found.queries, delta) for delta in DELTAS}
    return PowerRow(key, found.queries, found.pairs, found.se, power.detectable(found.se), needed)


def _distinct(runs: Sequence[Run]) -> list[Run]:
    """Return the finished runs, newest first, one of each judge under each policy version."""
    found: dict[str, Run] = {}
    for run in runs:
        if run.status == "finished":
            params = {name: value for name, value in run.judge.params.items() if name != "repeat"}
            same = content_hash("judge", [run.judge.kind, run.judge.name, params, run.policy_hash])
            found.setdefault(same, run)
    return list(found.values())


def _most_labels(store: Store, golden: str, pair_ids: Sequence[str]) -> str:
    """Return the labeler of most labels, where at least one other labelled too; "" if not."""
    given = votes(store.labels(golden))
    counts = given.loc[given["pair_id"].isin(pair_ids), "labeler"].value_counts()
    if len(counts) < 2:
        return ""
    return min(str(name) for name in counts[counts == counts.max()].index)


def _labeler_and_rest(
    store: Store, golden: str, pair_ids: Sequence[str], key: str, labeler: str, scale: Sequence[int]
) -> tuple[Grades, Grades]:
    """Return one labeler's levels and the lower median of the others', in the order of ``pair_ids``."""
    given = votes(store.labels(golden))
    wide = given[given["dimension"] == key].pivot(index="labeler", columns="pair_id", values="grade")
    wide = wide.reindex(index=sorted({*wide.index, labeler}), columns=list(pair_ids)).fillna(NOT_GRADED)
    ratings = _on(wide.to_numpy(dtype=np.int_), scale)
    own = ratings[wide.index.get_loc(labeler)]
    return own, confusion.median_of_rest(own, confusion.votes(ratings, tuple(scale)), tuple(scale))


def _on(grades: Grades, scale: Sequence[int]) -> Grades:
    """Return levels of the scale only; N/A and levels of other policy versions are no level here."""
    return np.where(np.isin(grades, scale), grades, NOT_GRADED)


def _labelled(policy: Policy, labels: pd.DataFrame) -> list[str]:
    return [*policy.keys, *([OVERALL] if (labels["dimension"] == OVERALL).any() else [])]
