"""Suggested edits in the store: what a model proposed for a draft, and what a person decided about each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from workbench.errors import Conflict, NotFound
from workbench.identity import Value
from workbench.store.base import StoreBase, now
from workbench.store.tables import SuggestionRow, table
from workbench.suggestion import Suggestion

SuggestionStatus = Literal["open", "taken", "refused"]
Outcome = Literal["taken", "refused"]


class StoredSuggestion(Value):
    """A suggestion for a draft, the job that brought it, and its decision once there is one."""

    id: str
    policy: str
    draft_id: str
    job_id: str
    suggestion: Suggestion
    status: SuggestionStatus = "open"
    decided_by: str = ""
    decided_at: datetime | None = None
    reason: str = ""  # why it was refused
    created_at: datetime


class SuggestionStore(StoreBase):
    """Suggestions are added by id, which is their content, and decided once."""

    def add_suggestions(self, suggestions: Sequence[StoredSuggestion]) -> int:
        """Keep suggestions and return how many were new; one that is known stays as it was decided."""
        rows = [
            stored.model_dump(exclude={"suggestion"})
            | {
                "section": stored.suggestion.section,
                "item": stored.suggestion.item,
                "record": stored.suggestion.model_dump(mode="json", by_alias=True),
            }
            for stored in suggestions
        ]
        with self._write() as connection:
            return self._insert(connection, SuggestionRow, rows) if rows else 0

    def suggestions(
        self, policy: str, draft_id: str | None = None, status: SuggestionStatus | None = None
    ) -> list[StoredSuggestion]:
        """Return the suggestions for a policy's drafts, oldest first, of one draft and status where that is given."""
        columns = table(SuggestionRow).c
        query = sa.select(*columns).where(columns.policy == policy)
        if draft_id is not None:
            query = query.where(columns.draft_id == draft_id)
        if status is not None:
            query = query.where(columns.status == status)
        with self._read() as connection:
            rows = connection.execute(query.order_by(columns.created_at, columns.id)).mappings()
            return [_stored(row) for row in rows]

    def suggestion(self, suggestion_id: str) -> StoredSuggestion:
        """Return one suggestion.

        Raises:
            NotFound: if there is none of this id.
        """
        columns = table(SuggestionRow).c
        query = sa.select(*columns).where(columns.id == suggestion_id)
        with self._read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise NotFound(f"There is no suggestion {suggestion_id}.", "Reload the page.")
        return _stored(row)

    def decide_suggestion(
        self, suggestion_id: str, status: Outcome, by: str, reason: str = ""
    ) -> StoredSuggestion:
        """Write what was decided about an open suggestion, and return it.

        Raises:
            Conflict: if it was decided before, by whomever; nothing is written.
            NotFound: if there is none of this id.
        """
        target = table(SuggestionRow)
        decided = {"status": status, "decided_by": by, "decided_at": now(), "reason": reason}
        with self._write() as connection:
            done = connection.execute(
                sa.update(target)
                .where(target.c.id == suggestion_id, target.c.status == "open")
                .values(**decided)
            ).rowcount
            if done:
                self._event(connection, by, f"{status} suggestion", suggestion_id, reason)
        found = self.suggestion(suggestion_id)
        if not done:
            raise Conflict(
                f"This suggestion was {found.status} by {found.decided_by} already.",
                "Nothing was written; it is among the decided ones.",
            )
        return found


def _stored(row: Any) -> StoredSuggestion:
    values = {name: row[name] for name in StoredSuggestion.model_fields if name != "suggestion"}
    return StoredSuggestion.model_validate({**values, "suggestion": row["record"]})
