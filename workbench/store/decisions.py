"""Decisions about disagreements in the store: what was settled about a pair and a dimension, by whom and why."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from workbench.errors import Conflict, NotFound
from workbench.identity import Value, keepable
from workbench.store.base import StoreBase, now
from workbench.store.tables import DecisionRow, MemberRow, PlaceRow, QueueItemRow, QueueRow, table

Outcome = Literal["label wrong", "judge wrong", "policy ambiguous", "fine", "open"]
"""What a decision may say; ``open`` takes back the one before it."""


class Decision(Value):
    """What was settled about one pair in one dimension."""

    id: str
    golden: str
    pair_id: str
    dimension: str
    outcome: Outcome
    note: str = ""
    author: str
    at: datetime
    place: str = ""  # where it was made: "suspects" or "review"
    details: dict[str, Any] = {}  # what was known then: the label, the judges' answer, each run's grade


class DecisionStore(StoreBase):
    """Decisions are added and never changed; the newest of a pair and dimension holds."""

    def add_decision(self, decision: Decision) -> Decision:
        """Keep a decision, once for each id, and return it as it is kept.

        Raises:
            NotFound: if the pair is not in the golden set.
            Conflict: if another decision was kept under this id.
        """
        row = decision.model_dump() | {"note": keepable(decision.note)}
        decision = Decision.model_validate(row)
        members, columns = table(MemberRow).c, table(DecisionRow).c
        is_member = sa.and_(members.golden == decision.golden, members.pair_id == decision.pair_id)
        with self._write() as connection:
            if connection.execute(sa.select(sa.func.count()).where(is_member)).scalar_one() == 0:
                raise NotFound(
                    f"Golden set '{decision.golden}' has no pair {decision.pair_id}.",
                    "The link may be of another set.",
                )
            if self._insert(connection, DecisionRow, [row]):
                subject = f"{decision.golden} {decision.pair_id} {decision.dimension}"
                detail = ": ".join(part for part in (decision.outcome, decision.note) if part)
                self._event(connection, decision.author, "decided", subject, detail)
                return decision
            found = connection.execute(sa.select(*columns).where(columns.id == decision.id)).mappings().one()
        kept = Decision.model_validate(dict(found))
        same = ("golden", "pair_id", "dimension", "outcome", "note")
        if any(getattr(kept, name) != getattr(decision, name) for name in same):
            raise Conflict("Another decision was sent from this form already.", "Send this one again.")
        return kept

    def decisions(
        self, golden: str, *, pair_id: str | None = None, since: datetime | None = None
    ) -> list[Decision]:
        """Return the decisions that hold, one a pair and dimension, newest first; ``open`` ones are among them.

        Args:
            pair_id: only those about this pair.
            since: only those made at this moment or later.
        """
        columns = table(DecisionRow).c
        newest_first = (columns.at.desc(), columns.id.desc())
        number = sa.func.row_number().over(
            partition_by=(columns.pair_id, columns.dimension), order_by=newest_first
        )
        query = sa.select(*columns, number.label("number")).where(columns.golden == golden)
        if pair_id is not None:
            query = query.where(columns.pair_id == pair_id)
        numbered = query.subquery()
        kept = sa.select(*(numbered.c[column.name] for column in columns)).where(numbered.c.number == 1)
        if since is not None:
            kept = kept.where(numbered.c["at"] >= since)
        with self._read() as connection:
            rows = connection.execute(kept.order_by(numbered.c["at"].desc(), numbered.c.id.desc())).mappings()
            return [Decision.model_validate(dict(row)) for row in rows]

    def waits_for(self, golden: str, pair_id: str, labeler: str) -> str | None:
        """Return the name of an open queue in which ``labeler`` may still be asked about a pair; None if in none.

        Somebody whose answer is still wanted should not see what judges said.
        """
        queues, items, places = table(QueueRow).c, table(QueueItemRow).c, table(PlaceRow).c
        here = (places.queue_id == queues.id, places.pair_id == pair_id)
        is_live = sa.or_(places.done_at.is_not(None), places.until > now())
        by_others = (
            sa.select(sa.func.count()).where(*here, places.labeler != labeler, is_live).scalar_subquery()
        )
        done = sa.exists().where(*here, places.labeler == labeler, places.done_at.is_not(None))
        query = (
            sa.select(queues.name, queues.kind, queues.params)
            .join(table(QueueItemRow), items.queue_id == queues.id)
            .where(
                queues.golden == golden,
                queues.closed_at.is_(None),
                items.pair_id == pair_id,
                ~done,
                by_others < queues.labelers_per_pair,
            )
            .order_by(queues.created_at, queues.id)
        )
        with self._read() as connection:
            for row in connection.execute(query):
                # A recheck asks one person about their own earlier pairs.
                if row.kind != "recheck" or str(row.params.get("labeler", "")).strip() == labeler:
                    return str(row.name)
        return None
