"""Reviews in the store, what is on their screen, and what is to be done after their decisions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from workbench.errors import NotFound, Refused
from workbench.identity import Value, keepable
from workbench.store.base import StoreBase, now
from workbench.store.decisions import Decision
from workbench.store.tables import DecisionRow, FollowUpRow, ReviewRow, table

FollowUpKind = Literal["label", "comment", "draft", "precedent", "other"]


class Review(Value):
    """A meeting about the flips between two runs: what is looked at, who presents, what is on the screen."""

    id: str
    golden: str
    title: str
    run_a: str
    run_b: str
    filters: dict[str, Any] = {}
    author: str
    created_at: datetime
    presenter: str = ""
    showing: dict[str, Any] = {}  # pair_id, dimension, revealed
    moved_at: datetime
    closed_at: datetime | None = None


class FollowUp(Value):
    """What is to be done after a decision, who does it, and what came of it."""

    id: str
    golden: str
    decision_id: str
    review_id: str
    kind: FollowUpKind
    owner: str = ""
    note: str = ""
    author: str
    at: datetime
    done_by: str = ""
    done_at: datetime | None = None
    result: dict[str, Any] = {}


class ReviewStore(StoreBase):
    """Reviews are opened, moved along and closed; follow-ups are added and done."""

    def add_review(self, review: Review) -> Review:
        """Keep a review, once for each id, and return it as it is kept."""
        row = review.model_dump() | {"title": keepable(review.title)}
        with self._write() as connection:
            if self._insert(connection, ReviewRow, [row]):
                self._event(connection, review.author, "opened review", review.id, review.title)
        return self.review(review.id)

    def review(self, review_id: str) -> Review:
        """Return one review.

        Raises:
            NotFound: if there is none of this id.
        """
        columns = table(ReviewRow).c
        with self._read() as connection:
            row = (
                connection.execute(sa.select(*columns).where(columns.id == review_id))
                .mappings()
                .one_or_none()
            )
        if row is None:
            raise NotFound(f"There is no review {review_id}.", "The link may be from another workspace.")
        return Review.model_validate(dict(row))

    def reviews(self, golden: str | None = None) -> list[Review]:
        """Return reviews, newest first, of one golden set where that is given."""
        columns = table(ReviewRow).c
        query = sa.select(*columns).order_by(columns.created_at.desc(), columns.id.desc())
        if golden is not None:
            query = query.where(columns.golden == golden)
        with self._read() as connection:
            return [Review.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def show(self, review_id: str, presenter: str, showing: Mapping[str, Any]) -> None:
        """Put something on the screen of a review; whoever does that presents.

        Raises:
            Refused: if the review is closed or gone.
        """
        columns = table(ReviewRow).c
        statement = (
            sa.update(table(ReviewRow))
            .where(columns.id == review_id, columns.closed_at.is_(None))
            .values(presenter=presenter, showing=dict(showing), moved_at=now())
        )
        with self._write() as connection:
            if connection.execute(statement).rowcount == 0:
                raise Refused("This review is closed.", "Open another one for what is left.")

    def close_review(self, review_id: str, who: str) -> None:
        """Close a review; closing it again changes nothing.

        Raises:
            NotFound: if there is none of this id.
        """
        review = self.review(review_id)
        columns = table(ReviewRow).c
        statement = (
            sa.update(table(ReviewRow))
            .where(columns.id == review_id, columns.closed_at.is_(None))
            .values(closed_at=now())
        )
        with self._write() as connection:
            if connection.execute(statement).rowcount:
                self._event(connection, who, "closed review", review_id, review.title)

    def review_decisions(self, golden: str, review_id: str | None = None) -> list[Decision]:
        """Return every decision made in a review (or in any), those since replaced among them, newest first."""
        columns = table(DecisionRow).c
        query = sa.select(*columns).where(columns.golden == golden, columns.place == "review")
        with self._read() as connection:
            rows = connection.execute(query.order_by(columns.at.desc(), columns.id.desc())).mappings()
            found = [Decision.model_validate(dict(row)) for row in rows]
        return [one for one in found if review_id in (None, one.details.get("review"))]

    def add_follow_up(self, item: FollowUp) -> FollowUp:
        """Keep what is to be done, once for each id, and return it as it is kept."""
        row = item.model_dump() | {"note": keepable(item.note)}
        columns = table(FollowUpRow).c
        with self._write() as connection:
            self._insert(connection, FollowUpRow, [row])
            found = connection.execute(sa.select(*columns).where(columns.id == item.id)).mappings().one()
            return FollowUp.model_validate(dict(found))

    def follow_up(self, item_id: str) -> FollowUp:
        """Return one item.

        Raises:
            NotFound: if there is none of this id.
        """
        columns = table(FollowUpRow).c
        with self._read() as connection:
            row = (
                connection.execute(sa.select(*columns).where(columns.id == item_id)).mappings().one_or_none()
            )
        if row is None:
            raise NotFound(f"There is no open item {item_id}.", "It may have been taken back.")
        return FollowUp.model_validate(dict(row))

    def follow_ups(
        self, golden: str, *, owner: str | None = None, review_id: str | None = None, open_only: bool = False
    ) -> list[FollowUp]:
        """Return what is to be done on a golden set, oldest first."""
        columns = table(FollowUpRow).c
        query = sa.select(*columns).where(columns.golden == golden).order_by(columns.at, columns.id)
        if owner is not None:
            query = query.where(columns.owner == owner)
        if review_id is not None:
            query = query.where(columns.review_id == review_id)
        if open_only:
            query = query.where(columns.done_at.is_(None))
        with self._read() as connection:
            return [FollowUp.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def hand_over(self, item_id: str, owner: str) -> None:
        """Give an open item to somebody; one that is done stays with who had it."""
        columns = table(FollowUpRow).c
        statement = (
            sa.update(table(FollowUpRow))
            .where(columns.id == item_id, columns.done_at.is_(None))
            .values(owner=owner)
        )
        with self._write() as connection:
            connection.execute(statement)

    def finish_follow_up(self, item_id: str, who: str, result: Mapping[str, Any]) -> bool:
        """Mark an item as done and return whether it was open: it is done once, by whoever was first."""
        columns = table(FollowUpRow).c
        statement = (
            sa.update(table(FollowUpRow))
            .where(columns.id == item_id, columns.done_at.is_(None))
            .values(done_by=who, done_at=now(), result=dict(result))
        )
        with self._write() as connection:
            done = connection.execute(statement).rowcount > 0
            if done:
                self._event(connection, who, "did open item", item_id, str(result.get("said", "")))
        return done
