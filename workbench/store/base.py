"""The connection: engine, migrations, upserts and the audit log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel

from workbench.errors import BadInput, Unavailable
from workbench.store.tables import EventRow, table

_ROWS_A_STATEMENT = 5_000
"""Rows sent at once; keeps memory flat on large imports."""


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class StoreBase:
    """A database by URL: SQLite (write-ahead log) or PostgreSQL."""

    def __init__(self, url: str) -> None:
        """Connect and bring the schema up to date.

        Raises:
            BadInput: for a URL that names no database we know.
            Unavailable: when the driver is missing or the database does not answer.
        """
        self.url = url
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError as error:
            raise BadInput(
                "The database URL cannot be read.", "It looks like sqlite:///var/workbench.db."
            ) from error
        self.name = parsed.render_as_string(hide_password=True)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        try:
            self._engine = sa.create_engine(parsed, pool_pre_ping=True)
            if self._engine.dialect.name == "sqlite":
                sa.event.listen(self._engine, "connect", _configure_sqlite)
            self._migrate()
        except ImportError as error:
            raise Unavailable(
                f"The driver for {self.name} is not installed ({error.name}).",
                "Install it with: pip install 'policy-workbench[postgres]'.",
            ) from error
        except sa.exc.OperationalError as error:
            raise Unavailable(
                f"The database {self.name} does not answer: {str(error.orig).strip()}.",
                "Check WORKBENCH_DATABASE_URL and that the server runs.",
            ) from error

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        """One transaction: everything in it is kept, or nothing."""
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection:
            yield connection

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", "workbench:migrations")
        newest = ScriptDirectory.from_config(config).get_current_head()
        with self._engine.begin() as connection:
            if MigrationContext.configure(connection).get_current_revision() == newest:
                return
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def _insert(
        self,
        connection: sa.Connection,
        row: type[SQLModel],
        rows: Sequence[Mapping[str, Any]],
        *,
        update: Sequence[str] = (),
        keys: Sequence[str] = (),
    ) -> int:
        """Insert rows; on an existing key leave it, or update the columns named. Return how many were written."""
        target = table(row)
        make = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        statement = make(target)
        on = list(keys) or [column.name for column in target.primary_key]
        if update:
            statement = statement.on_conflict_do_update(
                index_elements=on, set_={name: statement.excluded[name] for name in update}
            )
        else:
            statement = statement.on_conflict_do_nothing(index_elements=on if keys else None)
        written = 0
        for start in range(0, len(rows), _ROWS_A_STATEMENT):
            part = rows[start : start + _ROWS_A_STATEMENT]
            written += max(connection.execute(statement, list(part)).rowcount, 0)
        return written

    def record_event(self, who: str, what: str, subject: str, detail: str = "") -> None:
        """Append one line to the audit log."""
        with self._write() as connection:
            self._event(connection, who, what, subject, detail)

    def _event(self, connection: sa.Connection, who: str, what: str, subject: str, detail: str = "") -> None:
        row = {"at": now(), "who": who, "what": what, "subject": subject, "detail": detail}
        connection.execute(sa.insert(EventRow), [row])

    def events(self, limit: int = 200) -> list[dict[str, Any]]:
        """Return the newest lines of the audit log, newest first."""
        columns = table(EventRow).c
        query = sa.select(columns.at, columns.who, columns.what, columns.subject, columns.detail)
        with self._read() as connection:
            found = connection.execute(query.order_by(columns.id.desc()).limit(limit))
            return [dict(row) for row in found.mappings()]


def _configure_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA busy_timeout=15000")
    cursor.execute("PRAGMA cache_size=-65536")
    cursor.close()
