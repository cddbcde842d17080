"""Keeping things: one store over SQLite or PostgreSQL, chosen by URL."""

from __future__ import annotations

from workbench.store.comments import Comment, CommentStore
from workbench.store.decisions import Decision, DecisionStore
from workbench.store.events import Actor, Event, EventStore
from workbench.store.golden_sets import GoldenInfo
from workbench.store.judges import JudgeStore, StoredJudge
from workbench.store.labels import LabelStore
from workbench.store.policies import Draft, DraftRevision, PolicyStore
from workbench.store.queues import QueueStore
from workbench.store.reviews import FollowUp, Review, ReviewStore
from workbench.store.runs import RunStore, StoredCheckpoint, StoredJob
from workbench.store.snapshots import SnapshotInfo, SnapshotStore
from workbench.store.suggestions import StoredSuggestion, SuggestionStore

__all__ = [
    "Actor",
    "Comment",
    "Decision",
    "Draft",
    "DraftRevision",
    "Event",
    "FollowUp",
    "GoldenInfo",
    "Review",
    "SnapshotInfo",
    "Store",
    "StoredCheckpoint",
    "StoredJob",
    "StoredJudge",
    "StoredSuggestion",
]


class Store(
    PolicyStore,
    CommentStore,
    SuggestionStore,
    LabelStore,
    SnapshotStore,
    QueueStore,
    DecisionStore,
    ReviewStore,
    JudgeStore,
    RunStore,
    EventStore,
):
    """Everything that is kept. The truth for all; the document folders are its mirror."""
