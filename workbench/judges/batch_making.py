"""Making batches: each exactly once, whatever dies in between."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import IO, TypeVar

from workbench.errors import Unavailable
from workbench.judges.batch_client import BatchClient
from workbench.judges.batch_ledger import BatchLedger, Entry, Row
from workbench.judges.provider import RequestFailed

ATTEMPTS = 5
"""Requests to the batch API itself (not those in a batch) before it counts as out of reach."""
SETTLED_S = 60.0
"""Seconds after which a batch that a killed process was making is either listed or was not made."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """The seams and waits of a run by batch."""

    sleep: Callable[[float], Awaitable[None]]
    clock: Callable[[], float]  # seconds since 1970: a batch outlives the process that made it
    poll_s: float
    longest_s: float


class Maker:
    """Uploads requests and makes batches of them, each step noted in the ledger before and after."""

    def __init__(self, client: BatchClient, ledger: BatchLedger, timing: Timing) -> None:
        """Take what the judge has."""
        self._client, self._ledger, self._timing = client, ledger, timing

    async def make(
        self, file: IO[bytes], rows: Sequence[Row], instead_of: Sequence[tuple[str, str]]
    ) -> Entry:
        """Return the batch that was made of a file of requests.

        Args:
            instead_of: (tag, custom id) of requests of ended batches that it asks again.

        Raises:
            Unavailable: when there is none. Where it is not known whether there is one, the ledger keeps what is
                needed to look for it.
        """
        entry = Entry(f"workbench-{uuid.uuid4().hex}", self._client.url, self._timing.clock())
        self._ledger.intend(entry, rows, instead_of=instead_of)
        try:
            file_id = await self.surely(lambda: self._client.upload(entry.tag, file))
        except Unavailable:
            self._ledger.forget(entry.tag)
            raise
        self._ledger.uploaded(entry.tag, file_id)
        made = await self._make(replace(entry, file_id=file_id))
        _log.info(
            "batch %s of %s made with %s requests; the answers come within 24 hours",
            made.batch_id, self._client.name, f"{len(rows):,}",
        )  # fmt: skip
        return made

    async def _make(self, entry: Entry) -> Entry:
        """Make the batch of an uploaded file, once: whether a request without an answer made one is looked up."""
        last = ""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                batch_id = await self._client.create(entry.tag, entry.file_id)
            except Unavailable:
                self._ledger.forget(entry.tag)
                raise
            except RequestFailed as failure:
                if not failure.again:
                    self._ledger.forget(entry.tag)
                    raise Unavailable(
                        f"{self._client.name} did not make the batch: {failure.reason}.",
                        "Use delivery calls, or correct what it names.",
                    ) from None
                await self._timing.sleep(_backoff(attempt, failure))
                batch_id = await self._find(entry)
                last = failure.reason
            if batch_id:
                self._ledger.sent(entry.tag, batch_id)
                return replace(entry, batch_id=batch_id)
        raise self._out_of_reach(last)

    async def half_made(self, entry: Entry) -> Entry | None:
        """Return the batch that a process was making when it died; None where it had not come to that."""
        if not entry.file_id:
            self._ledger.forget(entry.tag)
            return None
        while not (batch_id := await self._find(entry)):
            if self._timing.clock() - entry.created_at > SETTLED_S:
                self._ledger.forget(entry.tag)
                return None
            await self._timing.sleep(self._timing.poll_s)
        self._ledger.sent(entry.tag, batch_id)
        return replace(entry, batch_id=batch_id)

    async def _find(self, entry: Entry) -> str:
        return await self.surely(lambda: self._client.find(entry.tag, entry.file_id, since=entry.created_at))

    async def surely(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask the batch API what may be asked several times.

        Raises:
            Unavailable: when it does not answer.
        """
        last = ""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await ask()
            except RequestFailed as failure:
                last = failure.reason
                if not failure.again or attempt == ATTEMPTS:
                    break
                await self._timing.sleep(_backoff(attempt, failure))
        raise self._out_of_reach(last)

    def _out_of_reach(self, reason: str) -> Unavailable:
        return Unavailable(
            f"The batch API of {self._client.name} cannot be used: {reason}.",
            "Batches that are in flight go on; resume the run when it works again, and nothing is paid twice.",
        )


def _backoff(attempt: int, failure: RequestFailed) -> float:
    return failure.wait_s or min(30.0, 2.0**attempt)
