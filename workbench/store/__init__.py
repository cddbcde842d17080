"""Keeping things: one store over SQLite or PostgreSQL, chosen by URL."""

from __future__ import annotations

from workbench.store.golden_sets import GoldenInfo
from workbench.store.labels import LabelStore
from workbench.store.policies import Draft, PolicyStore
from workbench.store.runs import RunStore, StoredCheckpoint, StoredJob
from workbench.store.snapshots import SnapshotInfo, SnapshotStore

__all__ = ["Draft", "GoldenInfo", "SnapshotInfo", "Store", "StoredCheckpoint", "StoredJob"]


class Store(PolicyStore, LabelStore, SnapshotStore, RunStore):
    """Everything that is kept. The truth for all; the document folders are its mirror."""
