"""What changed between two snapshots of a golden set: pairs, splits, labels, settled grades and labelers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from workbench.golden import LABEL_COLUMNS, ConsensusRule, GoldenSet, Pair, Split, settle


@dataclass(frozen=True)
class Move:
    """A pair that changed its split; ``breach`` if it is or was in the holdout, which is kept once it is drawn."""

    pair_id: str
    before: Split
    after: Split

    @property
    def breach(self) -> bool:
        """Whether the holdout was touched."""
        return "holdout" in (self.before, self.after)


@dataclass(frozen=True)
class GradeChange:
    """A pair in both snapshots that settles on another grade of a dimension; grades by their codes."""

    pair_id: str
    dimension: str
    before: int
    after: int


@dataclass(frozen=True)
class SnapshotDiff:
    """The difference between two snapshots of one set.

    Attributes:
        before, after: their names.
        added, removed: pairs in one of them only, in its order.
        reworded: pairs in both whose facts (metadata) differ.
        moves: pairs in both that changed their split.
        labels_added, labels_removed: dimension -> labels in one of them only; a label is all of its columns.
        changes: pairs in both whose settled grade differs, by dimension and the order of pairs.
        compared: pairs in both.
        new_labelers: labelers with labels in the later one only, sorted.
    """

    before: str
    after: str
    added: tuple[Pair, ...]
    removed: tuple[Pair, ...]
    reworded: tuple[str, ...]
    moves: tuple[Move, ...]
    labels_added: Mapping[str, int]
    labels_removed: Mapping[str, int]
    changes: tuple[GradeChange, ...]
    compared: int
    new_labelers: tuple[str, ...]

    @property
    def breaches(self) -> tuple[Move, ...]:
        """Return the moves into or out of the holdout."""
        return tuple(move for move in self.moves if move.breach)

    @property
    def nothing(self) -> bool:
        """Whether the two hold the same."""
        parts = (self.added, self.removed, self.reworded, self.moves, self.labels_added, self.labels_removed)
        return not any(parts)

    def transitions(self, dimension: str) -> dict[tuple[int, int], int]:
        """Return (grade before, grade after) -> changed pairs, most frequent first."""
        found: dict[tuple[int, int], int] = {}
        for change in self.changes:
            if change.dimension == dimension:
                step = change.before, change.after
                found[step] = found.get(step, 0) + 1
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def compare_snapshots(
    before: GoldenSet, after: GoldenSet, *, rule: ConsensusRule = "majority"
) -> SnapshotDiff:
    """Return what changed from one snapshot to another.

    Args:
        rule: how the grades of both are settled, so that only labels make a difference.
    """
    old = {pair.id: pair for pair in before.pairs}
    new = {pair.id: pair for pair in after.pairs}
    common = [pair.id for pair in after.pairs if pair.id in old]
    more, fewer = _labels_apart(before.labels, after.labels)
    people = set(after.labels["labeler"].unique()) - set(before.labels["labeler"].unique())
    return SnapshotDiff(
        before=before.label,
        after=after.label,
        added=tuple(pair for pair in after.pairs if pair.id not in old),
        removed=tuple(pair for pair in before.pairs if pair.id not in new),
        reworded=tuple(key for key in common if old[key].meta != new[key].meta),
        moves=tuple(
            Move(key, before.splits[key], after.splits[key])
            for key in common
            if before.splits[key] != after.splits[key]
        ),
        labels_added=more,
        labels_removed=fewer,
        changes=tuple(_changes(before, after, common, rule)),
        compared=len(common),
        new_labelers=tuple(sorted(people)),
    )


def _labels_apart(before: pd.DataFrame, after: pd.DataFrame) -> tuple[dict[str, int], dict[str, int]]:
    """Return dimension -> labels that only ``after`` has, and that only ``before`` has; equal labels count singly."""
    counts = [frame.groupby(LABEL_COLUMNS, dropna=False).size() for frame in (before, after)]
    change = counts[1].sub(counts[0], fill_value=0)
    apart = []
    for side in (change, -change):
        by_dimension = side[side > 0].groupby(level="dimension").sum()
        apart.append({str(key): int(count) for key, count in by_dimension.items()})
    return apart[0], apart[1]


def _changes(
    before: GoldenSet, after: GoldenSet, common: list[str], rule: ConsensusRule
) -> list[GradeChange]:
    found = []
    labels = (before.labels["dimension"], after.labels["dimension"])
    for dimension in dict.fromkeys(key for column in labels for key in column.unique()):
        first = settle(before.labels, dimension, common, rule)
        second = settle(after.labels, dimension, common, rule)
        for i in np.flatnonzero(first != second).tolist():
            found.append(GradeChange(common[i], dimension, int(first[i]), int(second[i])))
    return found
