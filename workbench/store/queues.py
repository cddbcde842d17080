"""Labelling queues in the store: which pairs, in which order, drawn with which chance; how far each queue is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from workbench.errors import NotFound, Refused
from workbench.identity import Value
from workbench.queue_sampling import QueueKind
from workbench.store.base import now
from workbench.store.places import PlaceStore
from workbench.store.tables import GoldenRow, JudgementRow, PlaceRow, QueueItemRow, QueueRow, table


class Queue(Value):
    """A labelling queue. ``done`` and ``total`` count places: ``labelers_per_pair`` of them a pair."""

    id: str
    golden: str
    name: str
    kind: QueueKind
    labelers_per_pair: int
    params: dict[str, Any]
    author: str
    created_at: datetime
    closed_at: datetime | None = None
    size: int  # pairs
    done: int  # places finished

    @property
    def total(self) -> int:
        """All places of the queue."""
        return self.size * self.labelers_per_pair


class QueueStore(PlaceStore):
    """A queue is made with its pairs, and closed; in between only its places change."""

    def create_queue(
        self,
        queue_id: str,
        golden: str,
        name: str,
        kind: QueueKind,
        *,
        labelers_per_pair: int,
        params: Mapping[str, Any],
        author: str,
        items: Sequence[tuple[str, str, float]],
    ) -> Queue:
        """Keep a new queue.

        Args:
            items: (pair id, stratum, weight) in the order of labelling, each pair once.

        Raises:
            Refused: if an open queue of the set has this name.
        """
        row = {
            "id": queue_id,
            "golden": golden,
            "name": name,
            "kind": kind,
            "labelers_per_pair": labelers_per_pair,
            "params": dict(params),
            "author": author,
            "created_at": now(),
            "closed_at": None,
        }
        rows = [
            {"queue_id": queue_id, "pair_id": pair_id, "position": i, "stratum": stratum, "weight": weight}
            for i, (pair_id, stratum, weight) in enumerate(items)
        ]
        queues = table(QueueRow).c
        same = sa.select(queues.id).where(
            queues.golden == golden, queues.name == name, queues.closed_at.is_(None)
        )
        with self._write() as connection:
            # Taking the set's row puts its writers in line: of two clicks, the second finds the queue of the first.
            sets = table(GoldenRow)
            connection.execute(sa.update(sets).where(sets.c.name == golden).values(name=golden))
            if connection.execute(same).first() is not None:
                raise Refused(
                    f"Golden set '{golden}' has an open queue '{name}' already.", "Choose another name."
                )
            self._insert(connection, QueueRow, [row])
            self._insert(connection, QueueItemRow, rows)
            self._event(
                connection, author, "opened queue", f"{golden} · {name}", f"{kind}, {len(rows)} pairs"
            )
        return self.queue(queue_id)

    def queue(self, queue_id: str) -> Queue:
        """Return one queue with how far it is.

        Raises:
            NotFound: if there is none of this id.
        """
        found = self._queues(table(QueueRow).c.id == queue_id)
        if not found:
            raise NotFound(f"There is no labelling queue {queue_id}.", "Choose one on the Golden set page.")
        return found[0]

    def queues(self, golden: str, *, open_only: bool = False) -> list[Queue]:
        """Return the queues of a golden set, oldest first."""
        columns = table(QueueRow).c
        wanted = columns.golden == golden
        return self._queues(wanted & columns.closed_at.is_(None) if open_only else wanted)

    def _queues(self, wanted: sa.ColumnElement[bool]) -> list[Queue]:
        queues, items, places = table(QueueRow), table(QueueItemRow).c, table(PlaceRow).c
        size = sa.select(sa.func.count()).where(items.queue_id == queues.c.id).scalar_subquery()
        done = (
            sa.select(sa.func.count())
            .where(places.queue_id == queues.c.id, places.done_at.is_not(None))
            .scalar_subquery()
        )
        query = sa.select(queues, size.label("size"), done.label("done")).where(wanted)
        with self._read() as connection:
            rows = connection.execute(query.order_by(queues.c.created_at, queues.c.id)).mappings()
            return [Queue.model_validate(dict(row)) for row in rows]

    def close_queue(self, queue_id: str, author: str) -> bool:
        """Hand out no more places of a queue; return whether it was open. Finished places are kept."""
        queues = table(QueueRow)
        query = sa.update(queues).where(queues.c.id == queue_id, queues.c.closed_at.is_(None))
        with self._write() as connection:
            closed = bool(connection.execute(query.values(closed_at=now())).rowcount)
            if closed:
                self._event(connection, author, "closed queue", queue_id)
            return closed

    def queue_items(self, queue_id: str) -> pd.DataFrame:
        """Return pair_id, stratum, weight and done (places finished) of a queue's pairs, in order.

        Not for labelers: the stratum says why a pair was chosen.
        """
        items, places = table(QueueItemRow).c, table(PlaceRow).c
        done = (
            sa.select(places.pair_id, sa.func.count().label("done"))
            .where(places.queue_id == queue_id, places.done_at.is_not(None))
            .group_by(places.pair_id)
            .subquery()
        )
        query = (
            sa.select(items.pair_id, items.stratum, items.weight, sa.func.coalesce(done.c.done, 0))
            .outerjoin(done, done.c.pair_id == items.pair_id)
            .where(items.queue_id == queue_id)
            .order_by(items.position)
        )
        with self._read() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
        return pd.DataFrame(rows, columns=["pair_id", "stratum", "weight", "done"])

    def done_by_labeler(self, queue_id: str) -> dict[str, int]:
        """Return labeler -> places finished in a queue, by name."""
        columns = table(PlaceRow).c
        query = (
            sa.select(columns.labeler, sa.func.count())
            .where(columns.queue_id == queue_id, columns.done_at.is_not(None))
            .group_by(columns.labeler)
            .order_by(columns.labeler)
        )
        with self._read() as connection:
            return {row.labeler: row[1] for row in connection.execute(query)}

    def distributions(self, run_id: str, dimension: str = "") -> pd.DataFrame:
        """Return pair_id, dimension, expected and probabilities (a list or None) of a run's answers."""
        columns = table(JudgementRow).c
        query = sa.select(columns.pair_id, columns.dimension, columns.expected, columns.probabilities).where(
            columns.run_id == run_id, columns.grade >= 0
        )
        if dimension:
            query = query.where(columns.dimension == dimension)
        with self._read() as connection:
            rows = [tuple(row) for row in connection.execute(query)]
        frame = pd.DataFrame(rows, columns=["pair_id", "dimension", "expected", "probabilities"])
        return frame.astype({"expected": float, "probabilities": object})
