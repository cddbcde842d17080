"""Verbs of golden sets over time: what changed between two snapshots, and any of them as files for other tools."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from workbench.errors import BadInput
from workbench.golden import NOT_GRADED, GoldenSet
from workbench.golden_diff import SnapshotDiff, compare_snapshots
from workbench.golden_export import FORMATS, file_name, write_export
from workbench.golden_rows import written
from workbench.workspace import Workspace


def snapshot_diff(workspace: Workspace, golden: str, a: int, b: int) -> SnapshotDiff:
    """Return what changed from snapshot ``a`` to snapshot ``b`` of a set, settled by the set's rule.

    Raises:
        NotFound: if there is no such set or snapshot.
    """
    rule = workspace.store.golden(golden).consensus
    store = workspace.store
    return compare_snapshots(store.snapshot(golden, a), store.snapshot(golden, b), rule=rule)


def diff_lines(diff: SnapshotDiff) -> list[str]:
    """Return a difference as lines for a person."""
    if diff.nothing:
        return [f"{diff.before} and {diff.after} hold the same."]
    lines = [
        f"{diff.before} to {diff.after}: +{len(diff.added)} / -{len(diff.removed)} pairs, "
        f"+{sum(diff.labels_added.values())} / -{sum(diff.labels_removed.values())} labels"
    ]
    if diff.breaches:
        lines.append(f"{len(diff.breaches)} pairs moved into or out of the holdout, which is to be kept")
    lines += [f"{len(diff.moves)} pairs changed split"] if diff.moves else []
    lines += [f"{len(diff.reworded)} pairs changed facts"] if diff.reworded else []
    lines += [f"new labelers: {', '.join(diff.new_labelers)}"] if diff.new_labelers else []
    for dimension in dict.fromkeys(change.dimension for change in diff.changes):
        steps = [f"{_name(a)} to {_name(b)}: {n}" for (a, b), n in diff.transitions(dimension).items()]
        lines.append(f"{dimension}, settled grades changed: {', '.join(steps)}")
    return lines


def diff_data(diff: SnapshotDiff) -> dict[str, Any]:
    """Return a difference as plain data; pairs by their ids."""
    return {
        "before": diff.before,
        "after": diff.after,
        "pairs_added": [pair.id for pair in diff.added],
        "pairs_removed": [pair.id for pair in diff.removed],
        "facts_changed": list(diff.reworded),
        "moves": [
            {"pair": move.pair_id, "before": move.before, "after": move.after, "holdout_breach": move.breach}
            for move in diff.moves
        ],
        "labels_added": dict(diff.labels_added),
        "labels_removed": dict(diff.labels_removed),
        "compared": diff.compared,
        "changes": [
            {
                "pair": change.pair_id,
                "dimension": change.dimension,
                "before": _name(change.before),
                "after": _name(change.after),
            }
            for change in diff.changes
        ],
        "new_labelers": list(diff.new_labelers),
    }


def _name(grade: int) -> int | str:
    return "not settled" if grade == NOT_GRADED else written(grade)


def working_set(workspace: Workspace, name: str) -> GoldenSet:
    """Return a set as it is now, with version 0: pairs, splits and labels that no snapshot has frozen.

    Raises:
        NotFound: if there is no such set.
    """
    store = workspace.store
    info = store.golden(name)
    members = store.members(name)
    pairs = store.pairs(members["pair_id"].tolist(), name)
    return GoldenSet(
        name=name,
        version=0,
        policy=info.policy,
        pairs=tuple(pairs[pair_id] for pair_id in members["pair_id"]),
        splits=dict(zip(members["pair_id"], members["split"], strict=True)),
        labels=store.labels(name),
        sample=info.sample,
        description=info.description,
    )


def chosen_set(workspace: Workspace, name: str, version: int | None) -> GoldenSet:
    """Return a snapshot by its number, or with None the set as it is now."""
    return working_set(workspace, name) if version is None else workspace.store.snapshot(name, version)


def labelled_dimensions(workspace: Workspace, name: str, version: int | None) -> list[str]:
    """Return the dimensions of a snapshot, or of the set as it is now, on which there is a level, sorted."""
    store = workspace.store
    labels = store.labels(name) if version is None else store.snapshot(name, version).labels
    return sorted(labels.loc[labels["grade"] >= 0, "dimension"].unique())


def read_reference(text: str) -> tuple[str, int | None]:
    """Return name and version of ``name@3`` or ``name@v3``; without a version, None: the set as it is now.

    Raises:
        BadInput: if what follows the @ is no number.
    """
    name, at, version = text.partition("@")
    if not at:
        return name, None
    number = version.removeprefix("v")
    if not (number.isascii() and number.isdigit()):
        raise BadInput(f"'{version}' is no number of a snapshot.", f"Write {name}@1, for example.")
    return name, int(number)


def export_golden(
    workspace: Workspace,
    name: str,
    version: int | None,
    key: str,
    target: Path | None = None,
    *,
    dimension: str = "",
    author: str,
) -> Path:
    """Write a snapshot (None: the set as it is now) in one of ``golden_export.FORMATS`` and return where it lies.

    Args:
        target: a file or new folder, or a folder's ``.zip``; None: in the current folder, named after set and format.
        dimension: for formats of one dimension.

    Raises:
        NotFound: if there is no such set, snapshot, format or dimension.
        BadInput, Refused: if it cannot be written.
    """
    golden = chosen_set(workspace, name, version)
    if target is None:
        target = Path(file_name(name, version, key)) if key in FORMATS else Path(name)
    rule = workspace.store.golden(name).consensus
    path = write_export(golden, target, key, dimension=dimension, rule=rule)
    workspace.store.record_event(author, "exported", golden.label if version else name, key)
    return path


def export_bytes(
    workspace: Workspace, name: str, version: int | None, key: str, *, dimension: str = "", author: str
) -> bytes:
    """Return an export as the bytes of one file, several files as a zip archive."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / ("export" + (FORMATS[key].suffix or ".zip"))
        export_golden(workspace, name, version, key, target, dimension=dimension, author=author)
        return target.read_bytes()
