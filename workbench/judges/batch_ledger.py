"""Batches that a provider was given and whose answers are not in yet, kept beside the verdicts they will become.

A row is written before a batch is made and completed after, so whoever is started again (or asks the same questions
in another run) finds it and waits for it. The tables lie in the file of the verdict cache.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from workbench.errors import Unavailable
from workbench.run import Usage

KEPT_S = 30 * 24 * 3600.0
"""Seconds after which a batch is forgotten: providers keep the answers no longer."""
_LOOK_AGAIN_S = 1.0
_TABLES = """
CREATE TABLE IF NOT EXISTS batches (
    tag TEXT PRIMARY KEY, endpoint TEXT NOT NULL, created_at REAL NOT NULL,
    file_id TEXT NOT NULL DEFAULT '', batch_id TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS batch_requests (
    tag TEXT NOT NULL, custom_id TEXT NOT NULL, keys TEXT NOT NULL, tries INTEGER NOT NULL, spent TEXT NOT NULL,
    PRIMARY KEY (tag, custom_id)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Entry:
    """One batch; without ``file_id`` nothing was sent, without ``batch_id`` it is not known whether it was made."""

    tag: str  # also in the batch's metadata at the provider
    endpoint: str
    created_at: float  # seconds since 1970
    file_id: str = ""
    batch_id: str = ""


@dataclass(frozen=True)
class Row:
    """One request of a batch."""

    custom_id: str
    keys: tuple[str, ...]  # of the verdict cache, one a question, in the order of the request
    tries: int  # how often it may be asked again
    spent: Usage  # what was paid for answers to it that could not be used


class BatchLedger:
    """Remembers batches; shared by processes on one machine like the verdict cache."""

    def __init__(self, path: Path | str) -> None:
        """Open the file and make the tables.

        Raises:
            Unavailable: when the file cannot be used.
        """
        self.path = Path(path)
        with self._explained():
            self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            self._db.executescript(_TABLES)

    def intend(
        self,
        entry: Entry,
        rows: Iterable[Row],
        *,
        instead_of: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Note a batch that is about to be made.

        Args:
            instead_of: (tag, custom id) of requests of ended batches that it asks again; they are forgotten.
        """
        with self._changing():
            self._db.execute(
                "INSERT INTO batches (tag, endpoint, created_at) VALUES (?, ?, ?)",
                (entry.tag, entry.endpoint, entry.created_at),
            )
            self._db.executemany(
                "INSERT INTO batch_requests VALUES (?, ?, ?, ?, ?)",
                [
                    (entry.tag, row.custom_id, json.dumps(row.keys), row.tries, row.spent.model_dump_json())
                    for row in rows
                ],
            )
            self._forget(instead_of)

    def uploaded(self, tag: str, file_id: str) -> None:
        """Note the file of requests: from here on there may be a batch."""
        with self._changing():
            self._db.execute("UPDATE batches SET file_id = ? WHERE tag = ?", (file_id, tag))

    def sent(self, tag: str, batch_id: str) -> None:
        """Note that the batch is there."""
        with self._changing():
            self._db.execute("UPDATE batches SET batch_id = ? WHERE tag = ?", (batch_id, tag))

    def settle(self, tag: str, custom_ids: Iterable[str]) -> None:
        """Forget requests whose answers are kept, and the batch with the last of them."""
        with self._changing():
            self._forget([(tag, custom_id) for custom_id in custom_ids])

    def forget(self, tag: str) -> None:
        """Forget a batch that was never made, or of which nothing can be had."""
        with self._changing():
            self._db.execute("DELETE FROM batch_requests WHERE tag = ?", (tag,))
            self._db.execute("DELETE FROM batches WHERE tag = ?", (tag,))

    def entries(self, endpoint: str, now: float) -> list[Entry]:
        """Return the batches at ``endpoint``, the oldest first; those of long ago are forgotten."""
        with self._explained():
            found = [
                Entry(*row)
                for row in self._db.execute(
                    "SELECT tag, endpoint, created_at, file_id, batch_id FROM batches WHERE endpoint = ? "
                    "ORDER BY created_at, tag",
                    (endpoint,),
                )
            ]
        for entry in found:
            if now - entry.created_at > KEPT_S:
                self.forget(entry.tag)
        return [entry for entry in found if now - entry.created_at <= KEPT_S]

    def rows(self, tag: str, asked: Mapping[str, object]) -> list[Row]:
        """Return the requests of a batch all of whose questions are among ``asked`` (by their keys)."""
        with self._explained():
            found = self._db.execute(
                "SELECT custom_id, keys, tries, spent FROM batch_requests WHERE tag = ? ORDER BY custom_id",
                (tag,),
            )
            rows = []
            for custom_id, keys_json, tries, spent in found:
                keys = tuple(json.loads(keys_json))
                if all(key in asked for key in keys):
                    rows.append(Row(custom_id, keys, tries, Usage.model_validate_json(spent)))
        return rows

    def held(self, requests: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those (tag, custom id) that are still in the ledger."""
        with self._explained():
            look = "SELECT 1 FROM batch_requests WHERE tag = ? AND custom_id = ?"
            return {request for request in requests if self._db.execute(look, request).fetchone()}

    @asynccontextmanager
    async def alone(self, sleep: Callable[[float], Awaitable[None]]) -> AsyncIterator[None]:
        """Make batches while nobody else does, in this process or another on this machine.

        The lock goes with its holder, so a batch that is found half made under it was left by a process that died.
        """
        with self._explained():
            lock = sqlite3.connect(
                self.path.with_name(f"{self.path.name}.batches"), timeout=0, isolation_level=None
            )
        try:
            while not self._locked(lock):
                await sleep(_LOOK_AGAIN_S)
            yield
        finally:
            lock.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _locked(self, lock: sqlite3.Connection) -> bool:
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return False
            raise self._unavailable(error) from error
        return True

    def _forget(self, requests: Sequence[tuple[str, str]]) -> None:
        self._db.executemany("DELETE FROM batch_requests WHERE tag = ? AND custom_id = ?", requests)
        for tag in {tag for tag, _ in requests}:
            self._db.execute(
                "DELETE FROM batches WHERE tag = ? AND NOT EXISTS (SELECT 1 FROM batch_requests WHERE tag = ?)",
                (tag, tag),
            )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._explained():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"The record of batches in {self.path} cannot be used: {error}.",
            "Check the folder's permissions and free space.",
        )
