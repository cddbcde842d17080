"""Comments on the parts of a policy in the store."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from workbench.errors import Conflict, NotFound
from workbench.identity import Value, keepable
from workbench.store.base import StoreBase, now
from workbench.store.tables import CommentRow, table


class Comment(Value):
    """What somebody said about a part of a policy, in whatever version or draft they read it."""

    id: str
    policy: str
    draft_id: str = ""  # "" where it was made while reading a published version
    section: str  # "general", a dimension key or "overall"
    item: str = ""  # "" is the section itself; else a clause, precedent or gate id, "level 2" or "term X"
    text: str
    author: str
    at: datetime
    reply_to: str = ""  # the comment that starts the thread; "" for that one itself
    quoted: str = ""  # of the one that starts the thread: what the part said then
    resolved_by: str = ""
    resolved_at: datetime | None = None

    @property
    def place(self) -> str:
        """The part it hangs on, as a person reads it."""
        return f"{self.section} {self.item}" if self.item.startswith("level ") else self.item or self.section


class CommentStore(StoreBase):
    """Comments are added and never changed; a thread is resolved and opened again."""

    def add_comment(self, comment: Comment) -> Comment:
        """Keep a comment, once for each id, and return it as it is kept; a reply opens its thread again.

        Raises:
            Conflict: if another comment was kept under this id.
            NotFound: if the thread that it replies to is not there.
        """
        row = comment.model_dump() | {"text": keepable(comment.text), "quoted": keepable(comment.quoted)}
        comment = Comment.model_validate(row)
        thread = self._thread(comment.reply_to) if comment.reply_to else None
        with self._write() as connection:
            if self._insert(connection, CommentRow, [row]):
                what = "replied to comment" if thread else "commented"
                self._event(connection, comment.author, what, _subject(comment), comment.text)
                if thread:
                    self._reopen(connection, thread, comment.author)
                return comment
        kept = self.comment(comment.id)
        if (kept.text, kept.reply_to) != (comment.text, comment.reply_to):
            raise Conflict("Another comment was sent from this form already.", "Send this one again.")
        return kept

    def comments(self, policy: str) -> list[Comment]:
        """Return all comments on a policy, oldest first."""
        columns = table(CommentRow).c
        query = sa.select(*columns).where(columns.policy == policy).order_by(columns.at, columns.id)
        with self._read() as connection:
            return [_comment(row) for row in connection.execute(query).mappings()]

    def comment(self, comment_id: str) -> Comment:
        """Return one comment.

        Raises:
            NotFound: if there is none of this id.
        """
        columns = table(CommentRow).c
        with self._read() as connection:
            row = connection.execute(sa.select(*columns).where(columns.id == comment_id)).mappings().first()
        if row is None:
            raise _missing(comment_id)
        return _comment(row)

    def resolve_comment(self, comment_id: str, by: str) -> Comment:
        """Mark a thread as resolved and return its first comment; of several who resolve it, the first is kept.

        Raises:
            NotFound: if no thread starts with this comment.
        """
        thread = self._thread(comment_id)
        target = table(CommentRow)
        is_open = (target.c.id == comment_id, target.c.resolved_at.is_(None))
        resolved = {"resolved_by": by, "resolved_at": now()}
        with self._write() as connection:
            if connection.execute(sa.update(target).where(*is_open).values(**resolved)).rowcount:
                self._event(connection, by, "resolved comment", _subject(thread), thread.text)
        return self.comment(comment_id)

    def reopen_comment(self, comment_id: str, by: str) -> Comment:
        """Mark a thread as open and return its first comment; one that is open stays so.

        Raises:
            NotFound: if no thread starts with this comment.
        """
        thread = self._thread(comment_id)
        with self._write() as connection:
            self._reopen(connection, thread, by)
        return self.comment(comment_id)

    def _reopen(self, connection: sa.Connection, thread: Comment, by: str) -> None:
        target = table(CommentRow)
        is_resolved = (target.c.id == thread.id, target.c.resolved_at.is_not(None))
        values = {"resolved_by": "", "resolved_at": None}
        if connection.execute(sa.update(target).where(*is_resolved).values(**values)).rowcount:
            self._event(connection, by, "reopened comment", _subject(thread), thread.text)

    def _thread(self, comment_id: str) -> Comment:
        """Return the comment that starts a thread."""
        found = self.comment(comment_id)
        if found.reply_to:
            raise _missing(comment_id)
        return found


def _comment(row: Any) -> Comment:
    return Comment.model_validate(dict(row))


def _subject(comment: Comment) -> str:
    return f"{comment.policy} {comment.place}"


def _missing(comment_id: str) -> NotFound:
    return NotFound(f"There is no comment {comment_id}.", "Reload the page.")
