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
from alembic.util import CommandError
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel

from workbench.errors import BadInput, Unavailable, WorkbenchError
from workbench.store.tables import EventRow, table

_ROWS_A_STATEMENT = 5_000
"""Rows sent at once; keeps memory flat on large imports."""
_MIGRATION_LOCK = 7_067_726
"""An arbitrary number that names the migration among PostgreSQL's advisory locks."""


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
        backend = parsed.get_backend_name()
        if backend not in ("sqlite", "postgresql"):
            raise BadInput(
                f"The workbench does not keep things in '{backend}'.",
                "Set WORKBENCH_DATABASE_URL to a sqlite:/// or postgresql:// URL.",
            )
        if backend == "sqlite" and parsed.database:
            try:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise Unavailable(
                    f"The folder of {self.name} cannot be made ({error.strerror}).",
                    "Check WORKBENCH_DATABASE_URL and the permissions.",
                ) from error
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        try:
            self._engine = sa.create_engine(parsed, pool_pre_ping=True)
            if self._engine.dialect.name == "sqlite":
                sa.event.listen(self._engine, "connect", _configure_sqlite)
            with self._answering():
                self._migrate()
        except ImportError as error:
            raise Unavailable(
                f"The driver for {self.name} is not installed ({error.name}).",
                "Install it with: pip install 'policy-workbench[postgres]'.",
            ) from error
        except CommandError as error:
            raise Unavailable(
                f"The database {self.name} was made by a newer version of the workbench ({error}).",
                "Update the workbench, or point WORKBENCH_DATABASE_URL at another database.",
            ) from error

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        """One transaction: everything in it is kept, or nothing."""
        with self._answering(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._answering(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Turn the failures of a database (away, locked, full, damaged) into Unavailable; defects stay defects."""
        try:
            yield
        except (sa.exc.OperationalError, sa.exc.InterfaceError) as error:
            raise self._no_answer(error) from error
        except sa.exc.DatabaseError as error:
            if type(error) is not sa.exc.DatabaseError:  # a subclass: IntegrityError and others are our doing
                raise
            raise self._no_answer(error) from error

    def _no_answer(self, error: sa.exc.DBAPIError) -> WorkbenchError:
        reason = " ".join(str(error.orig).split()).rstrip(".")
        if self._engine.dialect.name == "sqlite":
            hint = "Check WORKBENCH_DATABASE_URL, the disk and the permissions; restore a damaged file from a copy."
        else:
            hint = "Check WORKBENCH_DATABASE_URL and that the server runs."
        return Unavailable(f"The database {self.name} does not answer: {reason}.", hint)

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", "workbench:migrations")
        newest = ScriptDirectory.from_config(config).get_current_head()
        with self._engine.connect() as connection:
            if MigrationContext.configure(connection).get_current_revision() == newest:
                return
        with self._engine.begin() as connection:
            # Two programs may meet a new database at once; the second waits, and finds nothing left to do.
            if self._engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
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
            # Without the option, psycopg's count of an executemany is lost.
            done = connection.execute(statement, list(part), execution_options={"preserve_rowcount": True})
            written += done.rowcount
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
    cursor.execute("PRAGMA busy_timeout=15000")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA cache_size=-65536")
    cursor.close()
