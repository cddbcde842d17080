"""Reading the audit log: a page of it at a time, and who has acted."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from workbench.identity import Value
from workbench.store.base import StoreBase
from workbench.store.tables import EventRow, table


class Event(Value):
    """One line of the audit log."""

    at: datetime
    who: str
    what: str
    subject: str
    detail: str


class Actor(Value):
    """A name that lines of the audit log are recorded under."""

    name: str
    events: int
    first: datetime
    last: datetime


class EventStore(StoreBase):
    """The audit log is only ever appended to."""

    def event_page(
        self, *, who: str = "", what: str = "", subject: str = "", skip: int = 0, limit: int = 50
    ) -> tuple[list[Event], int]:
        """Return some lines of the audit log, newest first, and how many there are in all.

        Args:
            who: exact name; "" is anybody.
            what: text that occurs in what was done, upper and lower case alike.
            subject: likewise, in the subject or the detail.
            skip: newer lines that are left out.
        """
        columns = table(EventRow).c
        wanted: list[sa.ColumnElement[bool]] = [sa.true()]
        if who:
            wanted.append(columns.who == who)
        if what:
            wanted.append(columns.what.icontains(what, autoescape=True))
        if subject:
            in_subject = columns.subject.icontains(subject, autoescape=True)
            wanted.append(sa.or_(in_subject, columns.detail.icontains(subject, autoescape=True)))
        query = sa.select(columns.at, columns.who, columns.what, columns.subject, columns.detail)
        query = query.where(*wanted).order_by(columns.id.desc()).offset(skip).limit(limit)
        count = sa.select(sa.func.count()).select_from(table(EventRow)).where(*wanted)
        with self._read() as connection:
            found = [Event.model_validate(dict(row)) for row in connection.execute(query).mappings()]
            return found, connection.execute(count).scalar_one()

    def actors(self) -> list[Actor]:
        """Return everybody who is named in the audit log, the one who acted last first."""
        columns = table(EventRow).c
        last = sa.func.max(columns.at, type_=columns.at.type)
        query = sa.select(
            columns.who.label("name"),
            sa.func.count().label("events"),
            sa.func.min(columns.at, type_=columns.at.type).label("first"),
            last.label("last"),
        )
        query = query.where(columns.who != "").group_by(columns.who).order_by(last.desc(), columns.who)
        with self._read() as connection:
            return [Actor.model_validate(dict(row)) for row in connection.execute(query).mappings()]
