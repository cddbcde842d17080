"""Places of labelers at the pairs of a queue.

A pair has as many places as people are to label it. A place is held until a time and then free again, or finished.
Claims on one pair wait for each other, so that no two people take its last place and nobody takes two.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal

import sqlalchemy as sa

from workbench.errors import Conflict, NotFound
from workbench.store.base import StoreBase, now
from workbench.store.tables import PlaceRow, QueueItemRow, QueueRow, table

Claim = Literal["held", "done", "full"]
"""What a labeler has at a pair: a place to label it from, a finished place, or none because all are taken."""

PAIRS_A_LOOK = 60
"""Pairs whose places are read at once while looking for the next open one."""
LOOKS_A_WALK = 20
"""Looks that find finished pairs only, after which the whole queue is counted instead of walked."""


@dataclass
class _Walk:
    """How far one labeler is in a queue: when last looked at, all pairs before ``front`` were finished for them."""

    order: tuple[str, ...]
    front: int | None = None  # None: never looked


class PlaceStore(StoreBase):
    """Places come and go; the pairs of a queue and their order are fixed when it is made."""

    def take_place(
        self, queue_id: str, labeler: str, *, minutes: float = 30, skipped: Collection[str] = ()
    ) -> str | None:
        """Take (or keep) a place for this labeler and return its pair's id; None if no pair is left for them.

        A pair that they hold already comes first; else the first pair in order that has a place left and that they
        have not labelled. The place is theirs for ``minutes`` from now. A closed queue has none.

        Raises:
            NotFound: if there is no such queue.
        """
        size = self._open_places(queue_id)
        if size is None:
            return None
        aside = set(skipped)
        while True:
            pair_id = self._held(queue_id, labeler, aside) or self._first_open(queue_id, labeler, size, aside)
            if pair_id is None and self._passed_again(queue_id, labeler, size):
                pair_id = self._first_open(queue_id, labeler, size, aside)
            if pair_id is None:
                return None
            if self.claim_place(queue_id, pair_id, labeler, minutes=minutes) == "held":
                return pair_id
            aside.add(pair_id)  # somebody was faster; at most once a pair, so this ends

    def claim_place(self, queue_id: str, pair_id: str, labeler: str, *, minutes: float = 30) -> Claim:
        """Take or keep a place at one pair for ``minutes`` from now, and return what the labeler has there.

        Raises:
            NotFound: if the queue does not have this pair.
        """
        items, places, queues = table(QueueItemRow), table(PlaceRow), table(QueueRow).c
        size = sa.select(queues.labelers_per_pair).where(queues.id == queue_id)
        mine_here = (places.c.queue_id == queue_id) & (places.c.pair_id == pair_id)
        with self._write() as connection:
            # Taking the item's row puts the claims on this pair in line, also those of one person in two windows.
            locked = connection.execute(
                sa.update(items)
                .where(items.c.queue_id == queue_id, items.c.pair_id == pair_id)
                .values(queue_id=queue_id)
            ).rowcount
            if not locked:
                raise NotFound(f"Queue {queue_id} has no pair {pair_id}.", "Open the next pair of the queue.")
            capacity = connection.execute(size).scalar_one()
            moment = now()
            until = moment + timedelta(minutes=minutes)
            taken = {row.number: row for row in connection.execute(sa.select(places).where(mine_here))}
            mine = next((row for row in taken.values() if row.labeler == labeler), None)
            if mine is not None and mine.done_at is not None:
                return "done"
            free = [
                number
                for number in range(capacity)
                if number not in taken or (taken[number].done_at is None and taken[number].until <= moment)
            ]
            if mine is None and not free:
                return "full"
            number = mine.number if mine is not None else free[0]
            if number not in taken:
                row = {"queue_id": queue_id, "pair_id": pair_id, "number": number, "labeler": labeler}
                written = self._insert(connection, PlaceRow, [row | {"until": until, "done_at": None}])
            else:
                # Finishing does not wait in line: a place that was finished meanwhile is not taken over.
                guard = mine_here & (places.c.number == number) & places.c.done_at.is_(None)
                written = connection.execute(
                    sa.update(places)
                    .where(guard, places.c.until == taken[number].until)
                    .values(labeler=labeler, until=until)
                ).rowcount
            return "held" if written else "full"

    def finish_place(self, queue_id: str, pair_id: str, labeler: str) -> bool:
        """Finish a place that the labeler has, also an expired one that nobody took; return whether it was unfinished.

        Raises:
            Conflict: if the labeler has no place at this pair (any more).
        """
        places = table(PlaceRow)
        here = (places.c.queue_id == queue_id) & (places.c.pair_id == pair_id) & (places.c.labeler == labeler)
        with self._write() as connection:
            query = sa.update(places).where(here, places.c.done_at.is_(None)).values(done_at=now())
            if connection.execute(query).rowcount:
                return True
            if connection.execute(sa.select(places.c.number).where(here)).first() is None:
                raise Conflict(
                    "Your place at this pair expired, and other people have taken its places.",
                    "Go on with the next pair.",
                )
        return False

    def release_place(self, queue_id: str, pair_id: str, labeler: str) -> bool:
        """Give back a place that is held and not finished; return whether there was one."""
        places = table(PlaceRow)
        query = sa.delete(places).where(
            places.c.queue_id == queue_id,
            places.c.pair_id == pair_id,
            places.c.labeler == labeler,
            places.c.done_at.is_(None),
        )
        with self._write() as connection:
            return bool(connection.execute(query).rowcount)

    def reopen_place(self, queue_id: str, pair_id: str, labeler: str, *, minutes: float = 30) -> bool:
        """Hold a finished place again for ``minutes`` from now (an undo); return whether it was finished."""
        places = table(PlaceRow)
        query = sa.update(places).where(
            places.c.queue_id == queue_id,
            places.c.pair_id == pair_id,
            places.c.labeler == labeler,
            places.c.done_at.is_not(None),
        )
        held = {"done_at": None, "until": now() + timedelta(minutes=minutes)}
        with self._write() as connection:
            return bool(connection.execute(query.values(held)).rowcount)

    def _open_places(self, queue_id: str) -> int | None:
        """Return the places a pair of an open queue has, None for a closed queue."""
        columns = table(QueueRow).c
        query = sa.select(columns.labelers_per_pair, columns.closed_at).where(columns.id == queue_id)
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound(f"There is no labelling queue {queue_id}.", "Choose one on the Golden set page.")
        return None if row.closed_at else int(row.labelers_per_pair)

    def _held(self, queue_id: str, labeler: str, aside: Collection[str]) -> str | None:
        items, places = table(QueueItemRow).c, table(PlaceRow).c
        query = (
            sa.select(places.pair_id)
            .join(
                table(QueueItemRow),
                (items.queue_id == places.queue_id) & (items.pair_id == places.pair_id),
            )
            .where(
                places.queue_id == queue_id,
                places.labeler == labeler,
                places.done_at.is_(None),
                places.until > now(),
            )
            .order_by(items.position)
        )
        with self._read() as connection:
            held = connection.execute(query).scalars().all()
        return next((pair_id for pair_id in held if pair_id not in aside), None)

    def _first_open(self, queue_id: str, labeler: str, size: int, aside: Collection[str]) -> str | None:
        walk, moment = _walk(self, queue_id, labeler), now()
        if walk.front is None:
            walk.front = self._front(queue_id, labeler, size)
        start, settled, far = walk.front, True, walk.front + LOOKS_A_WALK * PAIRS_A_LOOK
        while start < len(walk.order):
            if settled and start >= far:  # others have done a great deal since
                start, far = max(start, self._front(queue_id, labeler, size)), len(walk.order)
            part = walk.order[start : start + PAIRS_A_LOOK]
            finished, busy = self._taken(queue_id, part, labeler, size, moment)
            for i, pair_id in enumerate(part):
                if pair_id in finished:
                    continue
                if settled:
                    walk.front, settled = start + i, False
                if pair_id not in busy and pair_id not in aside:
                    return pair_id
            start += len(part)
        if settled:
            walk.front = len(walk.order)
        return None

    def _passed_again(self, queue_id: str, labeler: str, size: int) -> bool:
        """Whether a pair that was passed as finished has been reopened since; the next look then starts there."""
        walk, front = _walk(self, queue_id, labeler), self._front(queue_id, labeler, size)
        reopened = walk.front is not None and front < walk.front
        walk.front = front
        return reopened

    def _front(self, queue_id: str, labeler: str, size: int) -> int:
        """Return the position of the first pair that is not finished for a labeler, counted over the whole queue."""
        places = table(PlaceRow).c
        mine = sa.func.max(sa.case((places.labeler == labeler, 1), else_=0))
        query = (
            sa.select(places.pair_id)
            .where(places.queue_id == queue_id, places.done_at.is_not(None))
            .group_by(places.pair_id)
            .having(sa.or_(sa.func.count() >= size, mine == 1))
        )
        with self._read() as connection:
            finished = set(connection.execute(query).scalars())
        order = _order(self, queue_id)
        return next((i for i, pair_id in enumerate(order) if pair_id not in finished), len(order))

    def _taken(
        self, queue_id: str, pair_ids: Sequence[str], labeler: str, size: int, moment: datetime
    ) -> tuple[set[str], set[str]]:
        """Return which pairs are finished for a labeler for good, and which have no place for them at this moment."""
        places = table(PlaceRow).c
        query = sa.select(places.pair_id, places.labeler, places.until, places.done_at).where(
            places.queue_id == queue_id, places.pair_id.in_(list(pair_ids))
        )
        done: dict[str, int] = {}
        live: dict[str, int] = {}
        with self._read() as connection:
            for row in connection.execute(query):
                if row.done_at is not None:
                    done[row.pair_id] = size if row.labeler == labeler else done.get(row.pair_id, 0) + 1
                if row.done_at is not None or row.until > moment:
                    live[row.pair_id] = size if row.labeler == labeler else live.get(row.pair_id, 0) + 1
        return {x for x, n in done.items() if n >= size}, {x for x, n in live.items() if n >= size}

    def _order(self, queue_id: str) -> tuple[str, ...]:
        columns = table(QueueItemRow).c
        query = sa.select(columns.pair_id).where(columns.queue_id == queue_id).order_by(columns.position)
        with self._read() as connection:
            return tuple(connection.execute(query).scalars())


# A queue's pairs are fixed, so their order may be remembered. A front is a hint: take_place looks from the start again
# before it says that nothing is left.


@lru_cache(maxsize=8)
def _order(store: PlaceStore, queue_id: str) -> tuple[str, ...]:
    return store._order(queue_id)


@lru_cache(maxsize=512)
def _walk(store: PlaceStore, queue_id: str, labeler: str) -> _Walk:
    return _Walk(_order(store, queue_id))
