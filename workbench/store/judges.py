"""Judges that are kept under names of their own, so that all ask the same model in the same way."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from workbench.errors import Conflict, NotFound
from workbench.identity import Value
from workbench.run import JudgeSpec
from workbench.store.base import StoreBase, now
from workbench.store.tables import JudgeRow, table


class StoredJudge(Value):
    """A judge under its name. ``tested`` is how its last test call ended, None where it was never called."""

    name: str
    spec: JudgeSpec
    note: str = ""
    author: str
    at: datetime
    revision: int
    tested: dict[str, Any] | None = None
    retired_at: datetime | None = None


class JudgeStore(StoreBase):
    """A name is given once: a retired judge keeps its own, and can be restored."""

    def save_judge(
        self, name: str, spec: JudgeSpec, note: str, author: str, revision: int = 0
    ) -> StoredJudge:
        """Keep a judge's next revision, if nobody saved since ``revision`` was read; 0 adds a new judge.

        What the last test call found is forgotten where ``spec`` is another one.

        Raises:
            Conflict: if the name is taken, or somebody saved meanwhile; nothing is written.
            NotFound: for a judge to change that does not exist.
        """
        rows = table(JudgeRow)
        plain = spec.model_dump(mode="json")
        values = {"spec": plain, "note": note, "author": author, "at": now(), "revision": revision + 1}
        with self._write() as connection:
            if revision == 0:
                written = self._insert(
                    connection, JudgeRow, [{"name": name, **values, "tested": None, "retired_at": None}]
                )
            else:
                mine = sa.and_(rows.c.name == name, rows.c.revision == revision)
                before = connection.execute(sa.select(rows.c.spec).where(mine)).scalar_one_or_none()
                if before != plain:
                    values["tested"] = None
                written = connection.execute(sa.update(rows).where(mine).values(**values)).rowcount
            if written:
                self._event(connection, author, "changed judge" if revision else "added judge", name, note)
        saved = self.judge(name)
        if written:
            return saved
        if revision:
            raise Conflict(
                f"{saved.author} changed '{name}' at {saved.at:%H:%M:%S} UTC, after you opened it.",
                "Nothing was written: look at the judge again, then apply your change.",
            )
        if saved.retired_at is not None:
            raise Conflict(f"'{name}' is the name of a retired judge.", "Restore it, or take another name.")
        raise Conflict(
            f"There is a judge '{name}' already, by {saved.author}.", "Change it, or take another name."
        )

    def judges(self, *, retired: bool = False) -> dict[str, StoredJudge]:
        """Return name -> judge in the order of the names; the retired ones too where that is asked."""
        rows = table(JudgeRow)
        query = sa.select(rows).order_by(rows.c.name)
        if not retired:
            query = query.where(rows.c.retired_at.is_(None))
        with self._read() as connection:
            found = [StoredJudge.model_validate(dict(row)) for row in connection.execute(query).mappings()]
        # Sorted here: collations of the two databases differ.
        return {judge.name: judge for judge in sorted(found, key=lambda judge: judge.name)}

    def judge(self, name: str) -> StoredJudge:
        """Return one judge, retired or not.

        Raises:
            NotFound: if there is none of this name.
        """
        rows = table(JudgeRow)
        with self._read() as connection:
            row = connection.execute(sa.select(rows).where(rows.c.name == name)).mappings().one_or_none()
            if row is not None:
                return StoredJudge.model_validate(dict(row))
            known = connection.execute(sa.select(rows.c.name)).scalars().all()
        raise NotFound.among("saved judge", name, known)

    def retire_judge(self, name: str, who: str) -> StoredJudge:
        """Put a judge aside: it is no longer offered, and its runs stay. Nothing changes if it is aside already.

        Raises:
            NotFound: if there is none of this name.
        """
        return self._set_aside(name, who, now())

    def restore_judge(self, name: str, who: str) -> StoredJudge:
        """Offer a retired judge again. Nothing changes if it is offered already.

        Raises:
            NotFound: if there is none of this name.
        """
        return self._set_aside(name, who, None)

    def set_tested(self, name: str, outcome: dict[str, Any], *, revision: int) -> bool:
        """Keep how a test call ended, unless the judge was changed since; return whether it was kept."""
        rows = table(JudgeRow)
        mine = sa.and_(rows.c.name == name, rows.c.revision == revision)
        with self._write() as connection:
            done = connection.execute(sa.update(rows).where(mine).values(tested=outcome))
        return bool(done.rowcount)

    def _set_aside(self, name: str, who: str, at: datetime | None) -> StoredJudge:
        rows = table(JudgeRow)
        other = rows.c.retired_at.is_(None) if at else rows.c.retired_at.is_not(None)
        with self._write() as connection:
            change = sa.update(rows).where(rows.c.name == name, other).values(retired_at=at)
            if connection.execute(change).rowcount:
                self._event(connection, who, "retired judge" if at else "restored judge", name)
        return self.judge(name)
