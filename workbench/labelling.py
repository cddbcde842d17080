"""Verbs of golden sets: import, label, look at coverage, publish a snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from statistics import median

import numpy as np
import pandas as pd

from workbench.column_mapping import ImportSpec
from workbench.documents import write_golden
from workbench.errors import BadInput, NotFound, Refused
from workbench.formats import ImportPreview, ImportReport, preview, read_import
from workbench.golden import (
    NOT_APPLICABLE,
    NOT_GRADED,
    UNRATEABLE,
    ConsensusRule,
    GoldenSet,
    Label,
    Pair,
    coverage,
    settle,
    standing,
    votes,
)
from workbench.policy import OVERALL, Policy
from workbench.store import GoldenInfo, SnapshotInfo, Store
from workbench.table_files import Files
from workbench.workspace import Workspace

PACE_SUBMITS = 20
"""The pace is that of so many submits, the last ones."""
PAUSE = timedelta(minutes=5)
"""A longer time between two submits was a pause, not work on a pair."""


@dataclass(frozen=True)
class ImportOutcome:
    """What an import added to the store, and what the files said."""

    golden: str
    pairs_added: int
    labels_added: int
    report: ImportReport


@dataclass(frozen=True)
class Task:
    """A pair to label, the policy to label it by, and how far the labeler is. Nothing of any judge or colleague.

    ``answers`` and ``note`` are what this very labeler said of the pair before, if anything.
    """

    pair: Pair
    policy: Policy
    done: int
    total: int
    answers: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Pace:
    """How fast a labeler works."""

    today: int  # pairs finished since midnight
    seconds: float | None  # median for a pair; None before two submits without a pause between them

    def time_for(self, pairs: int) -> timedelta | None:
        """Return how long ``pairs`` more take at this pace; None where the pace is not known."""
        return None if self.seconds is None else timedelta(seconds=self.seconds * pairs)


@dataclass(frozen=True)
class Figures:
    """How large a golden set is: pairs and queries by split, labels, and its snapshots, newest first."""

    info: GoldenInfo
    pairs: Mapping[str, int]  # split -> pairs
    queries: Mapping[str, int]  # split -> queries
    snapshots: tuple[SnapshotInfo, ...]


@dataclass(frozen=True)
class Coverage:
    """Settled labels by dimension and level, for one split or all."""

    counts: pd.DataFrame  # index: dimension key, columns: levels, then N/A and not graded by their codes
    pairs: int
    queries: int
    labelers: tuple[str, ...]


def preview_import(workspace: Workspace, spec: ImportSpec, files: Files) -> ImportPreview:
    """Return what importing would give, every problem named; nothing is kept.

    Raises:
        BadInput, NotFound: for whole-file problems.
        Refused: if the golden set belongs to another policy.
    """
    policy = workspace.store.policy(spec.policy)
    if spec.golden in workspace.store.golden_names():
        workspace.store.golden(spec.golden).check_policy(spec.policy)
    return preview(spec, files, policy)


def import_golden(
    workspace: Workspace, spec: ImportSpec, files: Files, *, author: str, skip_bad_rows: bool = False
) -> ImportOutcome:
    """Read files and add their pairs and labels to a golden set, made if it is new. All of it or nothing.

    Raises:
        BadInput: for a problem in the files, with file and row; nothing is kept.
        Refused: if the golden set belongs to another policy.
    """
    policy = workspace.store.policy(spec.policy)
    imported = read_import(spec, files, policy, datetime.now(UTC), skip_bad_rows=skip_bad_rows)
    if not imported.pairs:
        raise BadInput("The files hold no pair.", "Check the column mapping.")
    workspace.store.create_golden(spec.golden, spec.policy)
    pairs = workspace.store.add_pairs(spec.golden, imported.pairs, imported.splits or None)
    labels = workspace.store.add_labels(spec.golden, imported.labels)
    workspace.store.record_event(author, "imported", spec.golden, f"{pairs} pairs, {labels} labels")
    return ImportOutcome(spec.golden, pairs, labels, imported.report)


def publish_golden(workspace: Workspace, name: str, *, message: str, author: str) -> GoldenSet:
    """Freeze a golden set as its next numbered snapshot, in the store and as files.

    Raises:
        BadInput: without a message, or without pairs.
        Refused: if nothing changed since the last snapshot.
    """
    info = workspace.store.golden(name)
    if not message.strip():
        raise BadInput("A snapshot needs a message.", "Say in one sentence what it adds.")
    if not info.pairs:
        raise BadInput(f"Golden set '{name}' has no pairs.", "Import some first.")
    members = workspace.store.members(name)
    pairs = workspace.store.pairs(members["pair_id"].tolist(), name)
    golden = GoldenSet(
        name=name,
        version=max(info.snapshots, default=0) + 1,
        policy=info.policy,
        pairs=tuple(pairs[pair_id] for pair_id in members["pair_id"]),
        splits=dict(zip(members["pair_id"], members["split"], strict=True)),
        labels=workspace.store.labels(name),
        sample=info.sample,
        description=info.description,
    )
    if info.snapshots and workspace.store.snapshot_hash(name, info.snapshots[-1]) == golden.content_hash:
        raise Refused(
            f"Nothing changed since {name} v{info.snapshots[-1]}.", "Label or import something first."
        )
    write_golden(workspace.root / "golden_sets", golden, message=message.strip(), author=author)
    workspace.store.add_snapshot(golden, author=author, message=message.strip())
    return golden


def next_task(workspace: Workspace, golden: str, labeler: str, *, skipped: Sequence[str] = ()) -> Task | None:
    """Return the next pair that this labeler has not finished, fewest labelers first; None when all are done.

    A pair is finished when every dimension and the overall grade have an answer from this labeler. What comes back
    holds no judgement and nobody else's label.
    """
    policy = workspace.store.policy(workspace.store.policy_of(golden))
    chosen = workspace.store.next_pair(golden, labeler, (*policy.keys, OVERALL), skipped)
    return _task(workspace, golden, policy, labeler, chosen) if chosen else None


def upcoming_pair(
    workspace: Workspace, golden: str, labeler: str, *, skipped: Sequence[str] = ()
) -> Pair | None:
    """Return the pair alone that :func:`next_task` would give, for preparing it ahead of time."""
    policy = workspace.store.policy(workspace.store.policy_of(golden))
    chosen = workspace.store.next_pair(golden, labeler, (*policy.keys, OVERALL), skipped)
    return workspace.store.pairs([chosen], golden)[chosen] if chosen else None


def open_task(workspace: Workspace, golden: str, labeler: str, pair_id: str) -> Task:
    """Return one chosen pair as a task, to look at one's own answers again and correct them.

    Raises:
        NotFound: for a pair that is not in the set.
    """
    policy = workspace.store.policy(workspace.store.policy_of(golden))
    if workspace.store.members(golden, pair_ids=[pair_id]).empty:
        raise NotFound(f"Golden set '{golden}' has no pair {pair_id}.", "The link may be of another set.")
    return _task(workspace, golden, policy, labeler, pair_id)


def _task(workspace: Workspace, golden: str, policy: Policy, labeler: str, pair_id: str) -> Task:
    done, total = workspace.store.progress_of(golden, labeler, (*policy.keys, OVERALL))
    mine = _own_answers(workspace, golden, pair_id, labeler)
    known = mine["dimension"].isin((*policy.keys, OVERALL))
    answers = dict(zip(mine.loc[known, "dimension"], mine.loc[known, "grade"].tolist(), strict=True))
    note = str(mine["note"].iloc[-1]) if len(mine) else ""
    return Task(workspace.store.pairs([pair_id], golden)[pair_id], policy, done, total, answers, note)


def _own_answers(workspace: Workspace, golden: str, pair_id: str, labeler: str) -> pd.DataFrame:
    """Return the labels of one pair by one labeler that hold; what they decided as an adjudicator is not among them."""
    labels = workspace.store.labels(golden, pair_id=pair_id)
    return votes(labels[labels["labeler"] == labeler])


def withdraw(workspace: Workspace, golden: str, pair_id: str, labeler: str) -> int:
    """Take back what a labeler says of a pair and return how many answers that were.

    Labels are only ever added, so each answer that holds is followed by a label of the same labeler without a grade.
    Everything that counts labels then counts none of theirs on this pair, until they answer again.

    Raises:
        NotFound: for a pair that is not in the set.
    """
    if workspace.store.members(golden, pair_ids=[pair_id]).empty:
        raise NotFound(f"Golden set '{golden}' has no pair {pair_id}.", "The link may be of another set.")
    at = datetime.now(UTC)
    taken_back = [
        Label(pair_id=pair_id, dimension=key, grade=NOT_GRADED, labeler=labeler, at=at)
        for key in _own_answers(workspace, golden, pair_id, labeler)["dimension"]
    ]
    return workspace.store.add_labels(golden, taken_back)


def pace(workspace: Workspace, golden: str, labeler: str, *, now: datetime | None = None) -> Pace:
    """Return how many pairs a labeler finished today in a golden set, and how long a pair takes them.

    Args:
        now: the present moment where the labeler is; "today" begins at midnight of its time zone (UTC by default).
    """
    keys = (*workspace.store.policy(workspace.store.policy_of(golden)).keys, OVERALL)
    midnight = (now or datetime.now(UTC)).replace(hour=0, minute=0, second=0, microsecond=0)
    sent = workspace.store.submits(golden, labeler, midnight, PACE_SUBMITS)
    today = {pair_id for at, pair_id in sent if at >= midnight}
    times = [at for at, _ in sent[:PACE_SUBMITS]]
    gaps = [later - earlier for later, earlier in pairwise(times) if later - earlier <= PAUSE]
    return Pace(
        today=workspace.store.finished_among(golden, labeler, keys, sorted(today)),
        seconds=median(gap.total_seconds() for gap in gaps) if gaps else None,
    )


def unanswered(policy: Policy, answers: Mapping[str, int]) -> list[str]:
    """Return the dimensions, and "overall", that ``answers`` leaves open; the pair is finished when none is."""
    return [key for key in (*policy.keys, OVERALL) if key not in answers]


def labeler_progress(workspace: Workspace, golden: str) -> pd.DataFrame:
    """Return labeler, pairs (with any answer) and finished (every dimension and overall), most pairs first."""
    policy = workspace.store.policy(workspace.store.golden(golden).policy)
    answers = workspace.store.label_counts(golden, (*policy.keys, OVERALL))
    answers["finished"] = answers["dimensions"] >= len(policy.keys) + 1
    found = answers.groupby("labeler", as_index=False).agg(
        pairs=("pair_id", "size"), finished=("finished", "sum")
    )
    return found.sort_values(["pairs", "labeler"], ascending=[False, True], ignore_index=True)


def submit_labels(
    workspace: Workspace,
    golden: str,
    pair_id: str,
    answers: Mapping[str, int],
    *,
    labeler: str,
    note: str = "",
) -> int:
    """Append one labeler's answers about a pair and return how many labels were added; a repeat adds none.

    Args:
        answers: dimension or "overall" -> level, NOT_APPLICABLE or UNRATEABLE.

    Raises:
        BadInput: for an answer that the policy does not know.
        NotFound: for a pair that is not in the set.
    """
    policy = workspace.store.policy(workspace.store.policy_of(golden))
    at = datetime.now(UTC)
    labels = []
    for key, grade in answers.items():
        check_answer(policy, key, grade)
        labels.append(
            Label(pair_id=pair_id, dimension=key, grade=grade, labeler=labeler, at=at, note=note.strip())
        )
    if not labels:
        raise BadInput("No grade was chosen.", "Grade at least one dimension, or mark it unrateable.")
    return workspace.store.add_labels(golden, labels)


def check_answer(policy: Policy, key: str, grade: int) -> None:
    """Check one answer against the policy.

    Raises:
        NotFound: for a dimension that it does not have.
        BadInput: for a level that the dimension does not have, or N/A where it is not allowed.
    """
    if key != OVERALL and key not in policy.keys:
        raise NotFound.among("dimension", key, [*policy.keys, OVERALL])
    scale = policy.scale(key)
    if grade == NOT_APPLICABLE and (key == OVERALL or not policy.dimension(key).allow_na):
        raise BadInput(f"'{key}' cannot be N/A in {policy.label}.", "Choose a level.")
    if grade not in (*scale, NOT_APPLICABLE, UNRATEABLE):
        raise BadInput(f"{grade} is no level of '{key}'.", f"It has {scale[0]} to {scale[-1]}.")


def golden_coverage(workspace: Workspace, golden: str, *, split: str = "all") -> Coverage:
    """Return how many pairs settle on each level of each dimension, by today's labels."""
    policy = workspace.store.policy(workspace.store.golden(golden).policy)
    members = workspace.store.members(golden)
    if split != "all":
        members = members[members["split"] == split]
    labels = workspace.store.labels(golden)
    rule = workspace.store.golden(golden).consensus
    ids = members["pair_id"].tolist()
    keys = [*policy.keys, *([OVERALL] if (labels["dimension"] == OVERALL).any() else [])]
    rows = {key: coverage(settle(labels, key, ids, rule), policy.scale(key)) for key in keys}
    counts = pd.DataFrame.from_dict(rows, orient="index").fillna(0).astype(np.int_)
    levels = sorted({level for key in keys for level in policy.scale(key)})
    counts = counts[[*levels, NOT_APPLICABLE, NOT_GRADED]]
    return Coverage(
        counts, len(ids), members["query_id"].nunique(), tuple(sorted(labels["labeler"].unique()))
    )


def empty_levels(policy: Policy, found: Coverage) -> dict[str, list[int]]:
    """Return, for each dimension that has any, the levels on which no pair settles."""
    empty = {
        key: [level for level in policy.scale(key) if not found.counts.at[key, level]]
        for key in found.counts.index
    }
    return {key: levels for key, levels in empty.items() if levels}


def golden_figures(workspace: Workspace, golden: str) -> Figures:
    """Return how large a golden set is and what of it is published.

    Raises:
        NotFound: if there is no set of this name.
    """
    info = workspace.store.golden(golden)
    counts = workspace.store.split_counts(golden)
    return Figures(
        info,
        pairs={split: pairs for split, (pairs, _) in counts.items()},
        queries={split: queries for split, (_, queries) in counts.items()},
        snapshots=tuple(workspace.store.snapshots(golden)),
    )


def browse(
    workspace: Workspace, golden: str, *, text: str = "", split: str = "all", page: int = 0, size: int = 25
) -> tuple[pd.DataFrame, int]:
    """Return one page of a golden set's pairs with settled grades, and how many match.

    Columns: pair_id, split, labelers, one column of text a side, one settled grade a dimension.
    """
    store = workspace.store
    policy = store.policy(store.golden(golden).policy)
    if text.strip():
        found = store.search_pairs(golden, text.strip(), split)
        ids, total = found[page * size : (page + 1) * size], len(found)
    else:
        ids, total = store.member_page(golden, split, page * size, size)
    part = store.members(golden, pair_ids=ids)
    pairs = store.pairs(ids, golden)
    labels = store.labels(golden, pair_ids=ids)
    labelers = standing(labels).groupby("pair_id")["labeler"].nunique()
    first_query, first_document = policy.pair.query.fields[0], policy.pair.document.fields[0]
    frame = pd.DataFrame(
        {
            "pair_id": ids,
            policy.pair.query.name: [pairs[pair_id].query.get(first_query, "") for pair_id in ids],
            policy.pair.document.name: [pairs[pair_id].document.get(first_document, "") for pair_id in ids],
            "split": part["split"].tolist(),
            "labelers": [int(labelers.get(pair_id, 0)) for pair_id in ids],
        }
    )
    rule = store.golden(golden).consensus
    # Dawid-Skene learns from every label how often each labeler errs: those of one page do not do.
    every = settled_by(store, golden, rule, store.labels_mark(golden)) if rule == "dawid_skene" else None
    for key in (*policy.keys, OVERALL):
        if every is None:
            frame[key] = settle(labels, key, ids, rule)
        else:
            frame[key] = every[key].reindex(ids, fill_value=NOT_GRADED).to_numpy()
    return frame, total


@lru_cache(maxsize=8)
def settled_by(store: Store, golden: str, rule: ConsensusRule, mark: int) -> pd.DataFrame:
    """Return what every labelled pair of a set settles on by a rule: index pair id, a column a dimension and overall.

    Args:
        mark: :meth:`Store.labels_mark`, which says when to look again. The frame is shared: do not change it.
    """
    labels = store.labels(golden)
    ids = sorted(labels["pair_id"].unique())
    keys = (*store.policy(store.policy_of(golden)).keys, OVERALL)
    return pd.DataFrame({key: settle(labels, key, ids, rule) for key in keys}, index=ids)
