"""Database tables. Private to the store: SQLModel tables skip validation, so domain values never are rows.

They live in a registry of their own, made anew each time this module is executed, so that a hot reload of the
app does not meet its own tables already registered.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, Column, DateTime, Index, LargeBinary, Table, Text, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import registry
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

from workbench.identity import keepable


class UtcTime(TypeDecorator[datetime]):
    """A time with a zone, kept in UTC; SQLite has no zones, so they are put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC on the way in."""
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Attach UTC on the way out."""
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class Prose(TypeDecorator[str]):
    """Text from people and models, which may hold characters that no database keeps."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace what cannot be kept on the way in."""
        return None if value is None else keepable(value)


class Base(SQLModel, registry=registry()):
    """Base of all tables."""


class PolicyRow(Base, table=True):
    """One published policy version."""

    __tablename__ = "policy"
    name: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    content_hash: str
    document: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class DraftRow(Base, table=True):
    """An editable copy of a policy; ``revision`` counts its saves."""

    __tablename__ = "draft"
    id: str = Field(primary_key=True)
    name: str = Field(index=True)
    title: str = Field(sa_column=Column(Prose, nullable=False))
    base_version: int
    author: str
    body: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    revision: int
    created_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    updated_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    updated_by: str


class DraftRevisionRow(Base, table=True):
    """What a draft said after one of its saves. Saves by one person within a short time are kept as one."""

    __tablename__ = "draft_revision"
    draft_id: str = Field(primary_key=True)
    revision: int = Field(primary_key=True)
    body: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    base_version: int
    author: str
    since: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    at: datetime = Field(sa_column=Column(UtcTime, nullable=False))


class CommentRow(Base, table=True):
    """One comment on a part of a policy, whatever version or draft it was read in."""

    __tablename__ = "comment"
    id: str = Field(primary_key=True)
    policy: str = Field(index=True)
    draft_id: str
    section: str
    item: str
    text: str = Field(sa_column=Column(Prose, nullable=False))
    author: str
    at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    reply_to: str
    quoted: str = Field(sa_column=Column(Prose, nullable=False))
    resolved_by: str
    resolved_at: datetime | None = Field(sa_column=Column(UtcTime, nullable=True))


class SuggestionRow(Base, table=True):
    """One edit that a model proposed for a draft, and what a person decided about it."""

    __tablename__ = "suggestion"
    id: str = Field(primary_key=True)
    policy: str = Field(index=True)
    draft_id: str
    job_id: str
    section: str
    item: str
    record: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    status: str
    decided_by: str
    decided_at: datetime | None = Field(sa_column=Column(UtcTime, nullable=True))
    reason: str = Field(sa_column=Column(Prose, nullable=False))
    created_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))


class GoldenRow(Base, table=True):
    """A golden set under work: what its pairs and labels hang on."""

    __tablename__ = "golden"
    name: str = Field(primary_key=True)
    policy: str
    sample: bool
    description: str = Field(sa_column=Column(Prose, nullable=False))
    holdout: float
    stratify: str
    consensus: str
    created_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))


class SnapshotRow(Base, table=True):
    """A published, frozen golden set: members and labels as Parquet, so that nothing can change them."""

    __tablename__ = "golden_snapshot"
    name: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    content_hash: str
    message: str
    author: str
    published_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    pairs: int
    labels: int
    members_parquet: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    labels_parquet: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class PairRow(Base, table=True):
    """One pair by content."""

    __tablename__ = "pair"
    id: str = Field(primary_key=True)
    query_id: str
    query: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    document: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class MemberRow(Base, table=True):
    """That a pair belongs to a golden set, with its split and metadata there."""

    __tablename__ = "golden_member"
    golden: str = Field(primary_key=True)
    pair_id: str = Field(primary_key=True)
    position: int
    split: str
    meta: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class LabelRow(Base, table=True):
    """One label; rows are only ever added."""

    __tablename__ = "label"
    __table_args__ = (
        UniqueConstraint("golden", "pair_id", "dimension", "labeler", "at"),
        Index("label_by_labeler", "golden", "labeler"),
        Index("label_in_order", "golden", "id"),
    )
    id: int | None = Field(default=None, primary_key=True)
    golden: str
    pair_id: str
    dimension: str
    grade: int
    labeler: str
    at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    note: str = Field(sa_column=Column(Prose, nullable=False))
    source: str


class QueueRow(Base, table=True):
    """A list of pairs to label, in order, and how many people are to label each."""

    __tablename__ = "queue"
    id: str = Field(primary_key=True)
    golden: str = Field(index=True)
    name: str
    kind: str
    labelers_per_pair: int
    params: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    author: str
    created_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    closed_at: datetime | None = Field(sa_column=Column(UtcTime, nullable=True))


class QueueItemRow(Base, table=True):
    """One pair of a queue: its place, its stratum, and the inverse of the chance with which it was drawn."""

    __tablename__ = "queue_item"
    queue_id: str = Field(primary_key=True)
    pair_id: str = Field(primary_key=True)
    position: int
    stratum: str
    weight: float


class PlaceRow(Base, table=True):
    """One labeler's place at one pair of a queue: held until it expires, or taken for good once labelled."""

    __tablename__ = "queue_place"
    __table_args__ = (Index("queue_place_by_labeler", "queue_id", "labeler", "done_at"),)
    queue_id: str = Field(primary_key=True)
    pair_id: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    labeler: str
    until: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    done_at: datetime | None = Field(sa_column=Column(UtcTime, nullable=True))


class DecisionRow(Base, table=True):
    """What was settled about one disagreement; rows are only ever added, the newest of a pair and dimension holds."""

    __tablename__ = "decision"
    id: str = Field(primary_key=True)
    golden: str = Field(index=True)
    pair_id: str
    dimension: str
    outcome: str
    note: str = Field(sa_column=Column(Prose, nullable=False))
    author: str
    at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    place: str
    details: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class JudgeRow(Base, table=True):
    """A judge under a name of its own, how its last test call ended, and when it was put aside."""

    __tablename__ = "judge"
    name: str = Field(primary_key=True)
    spec: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    note: str = Field(sa_column=Column(Prose, nullable=False))
    author: str
    at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    revision: int
    tested: dict[str, Any] | None = Field(sa_column=Column(JSON(none_as_null=True), nullable=True))
    retired_at: datetime | None = Field(sa_column=Column(UtcTime, nullable=True))


class ReviewRow(Base, table=True):
    """A review of the flips between runs: what is looked at, who presents, what is on the screen."""

    __tablename__ = "review"
    id: str = Field(primary_key=True)
    golden: str = Field(index=True)
    title: str
    run_a: str
    run_b: str
    filters: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    author: str
    created_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    presenter: str
    showing: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    moved_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    closed_at: datetime | None = Field(sa_column=Column(UtcTime, nullable=True))


class FollowUpRow(Base, table=True):
    """What is to be done after a decision, who does it, and what came of it."""

    __tablename__ = "follow_up"
    id: str = Field(primary_key=True)
    golden: str = Field(index=True)
    decision_id: str
    review_id: str
    kind: str
    owner: str
    note: str = Field(sa_column=Column(Prose, nullable=False))
    author: str
    at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    done_by: str
    done_at: datetime | None = Field(sa_column=Column(UtcTime, nullable=True))
    result: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class RunRow(Base, table=True):
    """One judge run."""

    __tablename__ = "run"
    id: str = Field(primary_key=True)
    created_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    status: str
    record: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class JudgementRow(Base, table=True):
    """One judgement; ``raw`` is kept for failed ones only."""

    __tablename__ = "judgement"
    run_id: str = Field(primary_key=True)
    pair_id: str = Field(primary_key=True)
    dimension: str = Field(primary_key=True)
    grade: int
    expected: float | None
    probabilities: list[float] | None = Field(sa_column=Column(JSON(none_as_null=True), nullable=True))
    rationale: str = Field(sa_column=Column(Prose, nullable=False))
    cites: list[str] = Field(sa_column=Column(JSON, nullable=False))
    error: str = Field(sa_column=Column(Prose, nullable=False))
    raw: str = Field(sa_column=Column(Prose, nullable=False))


class JobRow(Base, table=True):
    """One job and where its folder lies; its state is in the folder until it is collected."""

    __tablename__ = "job"
    id: str = Field(primary_key=True)
    kind: str
    created_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    spec: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    folder: str
    handle: str
    final: dict[str, Any] | None = Field(sa_column=Column(JSON(none_as_null=True), nullable=True))


class CheckpointRow(Base, table=True):
    """A trained model's folder and its lineage."""

    __tablename__ = "checkpoint"
    id: str = Field(primary_key=True)
    name: str
    created_at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    folder: str
    job_id: str
    record: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class LookRow(Base, table=True):
    """One look at the holdout of a golden set."""

    __tablename__ = "holdout_look"
    id: int | None = Field(default=None, primary_key=True)
    golden: str
    run_id: str
    who: str
    place: str
    at: datetime = Field(sa_column=Column(UtcTime, nullable=False))


class EventRow(Base, table=True):
    """One line of the audit log."""

    __tablename__ = "event"
    id: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_column=Column(UtcTime, nullable=False))
    who: str
    what: str
    subject: str
    detail: str = Field(sa_column=Column(Prose, nullable=False))


metadata = Base.metadata


def table(row: type[SQLModel]) -> Table:
    """Return the SQLAlchemy table behind a row class, for set-based statements."""
    found: Table = row.__table__  # type: ignore[attr-defined]
    return found
