"""Verdicts that were paid for, kept in one SQLite file, so that none is paid for twice.

The file may be shared by several runs and several processes on one machine at once.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from workbench.errors import Unavailable
from workbench.identity import canonical_json, content_hash
from workbench.run import Usage, Verdict

_log = logging.getLogger(__name__)


def verdict_key(
    *, messages: list[dict[str, str]], model: str, params: dict[str, Any], repeat: int = 0
) -> str:
    """Return the key of one question: the rendered messages, the model, its parameters, the repeat index.

    The repeat index is part of it, so that asking the same question again is really asking again. Everything
    that changes the answer has to be in ``params`` (response mode, endpoint), and nothing else.
    """
    return content_hash("verdict", {"messages": messages, "model": model, "params": params, "repeat": repeat})


class QuestionKeys:
    """:func:`verdict_key` for many questions that differ in the user message alone: the policy is hashed once.

    A long policy takes longer to hash than a reply takes to read. The keys are the same, to the letter.
    """

    def __init__(self, *, system: str, model: str, params: dict[str, Any], repeat: int = 0) -> None:
        """Take what all questions share; they consist of this system message and one user message."""
        said = canonical_json({"role": "system", "content": system})
        before = f'verdict\n{{"messages":[{said},{{"content":'
        rest = canonical_json({"model": model, "params": params, "repeat": repeat})
        self._start = hashlib.sha256(before.encode("utf-8", "surrogatepass"))
        self._end = f',"role":"user"}}],{rest[1:]}'.encode("utf-8", "surrogatepass")

    def key(self, user: str) -> str:
        """Return the key of the question with this user message."""
        digest = self._start.copy()
        digest.update(canonical_json(user).encode("utf-8", "surrogatepass"))
        digest.update(self._end)
        return f"verdict-{digest.hexdigest()[:32]}"


class Verdicts(Protocol):
    """Where a judge looks verdicts up and keeps them: a :class:`VerdictCache`, or a way to one elsewhere."""

    def get(self, key: str) -> Verdict | None:
        """Return the verdict stored under ``key``, or None."""
        ...

    def put_all(self, found: Iterable[tuple[str, Verdict]]) -> None:
        """Store verdicts; failed ones are left out."""
        ...


class VerdictCache:
    """A SQLite file (write-ahead log) with one table from key to verdict."""

    def __init__(self, path: Path | str) -> None:
        """Open the file, or make it and its folder.

        Raises:
            Unavailable: when the file cannot be opened, or is something else than a verdict cache.
        """
        self.path = Path(path)
        self._lock = threading.Lock()
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Other processes hold the file for milliseconds; 30 s is for a machine under load.
            self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                # A power cut may lose the newest verdicts, never damage the file; a crash of ours loses none.
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.execute(
                    "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, verdict TEXT NOT NULL)"
                )
            except BaseException:
                self._db.close()
                raise

    def get(self, key: str) -> Verdict | None:
        """Return the verdict stored under ``key``, or None.

        Its usage is that of this look-up: no calls, no tokens and a cost of 0.0, which is known here and not a
        guess, because nothing is sent. What the verdict cost is in the run that paid for it. Its traces are those
        of that run, marked as found here; a verdict that was kept before there were traces has none.
        """
        with self._explained(), self._lock:
            row = self._db.execute("SELECT verdict FROM verdicts WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        try:
            verdict = Verdict.model_validate_json(row[0])
        except ValidationError:
            _log.warning("%s: the entry %s cannot be read; the judge is asked again.", self.path, key)
            return None
        traces = tuple(trace.model_copy(update={"from_cache": True}) for trace in verdict.traces)
        return verdict.model_copy(update={"usage": Usage(cost_usd=0.0, from_cache=True), "traces": traces})

    def put(self, key: str, verdict: Verdict) -> None:
        """Store ``verdict``, unless a dimension failed in it: a failure is to be tried again."""
        self.put_all([(key, verdict)])

    def put_all(self, found: Iterable[tuple[str, Verdict]]) -> None:
        """Store verdicts in one transaction; failed ones are left out, as by :meth:`put`."""
        rows = [
            (key, verdict.model_dump_json(exclude_defaults=True))
            for key, verdict in found
            if not any(judgement.failed for judgement in verdict.judgements)
        ]
        if not rows:
            return
        with self._explained(), self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", rows)
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def __len__(self) -> int:
        """Return the number of verdicts stored."""
        with self._explained(), self._lock:
            count: int = self._db.execute("SELECT count(*) FROM verdicts").fetchone()[0]
        return count

    def close(self) -> None:
        """Close the file; the cache cannot be used afterwards."""
        with self._lock:
            self._db.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(
                f"The verdict cache {self.path} cannot be used: {error}.",
                "Check the folder's permissions and free space, or move the file away to start an empty cache.",
            ) from error
