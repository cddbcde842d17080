"""A provider's batch API: a file of requests goes up, a batch is made of it, files of answers come down.

OpenAI's own, and servers that offer the same ``/v1/files`` and ``/v1/batches``. Through the official client; what an
answer says is read as :mod:`workbench.judges.provider` reads it, so that both deliveries fail in the same words.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any, TypeVar

from workbench.errors import BadInput, Unavailable
from workbench.judges.batch_rules import has_batches
from workbench.judges.endpoint import LARGEST_ANSWER
from workbench.judges.keys import secrets
from workbench.judges.provider import OPENAI_URL, Completion, Provider, RequestFailed, _litellm

GONE = "gone"
ENDED = {"completed", "expired", "cancelled", "failed", GONE}
TAG = "workbench_tag"
"""Under which a batch's metadata says which row of our ledger it belongs to."""
LARGEST_OUTPUT = 8 * 1024**3
_MOST_LISTED = 5000
_CLOCKS_S = 3600
"""Seconds that our clock and the provider's may differ."""

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class BatchState:
    """What the provider says of a batch. Counts and times that it does not tell are None."""

    id: str
    status: str
    done: int | None = None
    total: int | None = None
    files: tuple[str, ...] = ()  # answers and errors
    reason: str = ""  # why it failed
    code: str = ""
    seconds: float = 0.0  # from its making to its end

    @property
    def ended(self) -> bool:
        """Whether no more answers will come."""
        return self.status in ENDED


class BatchClient(Provider):
    """The batch API of one endpoint for one model; an async context manager that holds the connections."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str | None = None,
        params: Mapping[str, Any],
        timeout_s: float,
    ) -> None:
        """See :class:`workbench.judges.provider.Provider`.

        Raises:
            BadInput: also for a provider without such an API.
        """
        super().__init__(
            model, base_url=base_url, api_key_env=api_key_env, params=params, timeout_s=timeout_s
        )
        if not has_batches(self.model, self.base_url):
            raise BadInput(f"There is no batch delivery for {self.name}.", "Use delivery calls.")
        self._client: Any = None

    @property
    def url(self) -> str:
        """The endpoint."""
        return self.base_url or OPENAI_URL

    @property
    def head(self) -> Mapping[str, Any]:
        """What all bodies have in common: model and parameters."""
        return self._head

    async def __aenter__(self) -> BatchClient:
        """Open the client.

        Raises:
            Unavailable: when the environment variable of the key is not set.
        """
        from openai import AsyncOpenAI

        self._secrets = secrets(self._key_name)
        # What a retry would do twice is ours to say: the client must not retry by itself.
        self._client = AsyncOpenAI(
            base_url=self.url, api_key=self._key(), timeout=self._timeout_s, max_retries=0
        )
        if self.base_url:  # what the client finds in the environment is for OpenAI alone
            self._client.organization = self._client.project = None
        self._priced = None if self.base_url else _litellm()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._client.close()

    async def upload(self, name: str, file: IO[bytes]) -> str:
        """Send a file of requests and return its id.

        Raises:
            RequestFailed: when it did not come through.
            Unavailable: when the endpoint takes no files, or refuses the key.
        """
        file.seek(0)
        sent = await self._done(
            self._client.files.create(file=(f"{name}.jsonl", file, "application/jsonl"), purpose="batch")
        )
        return self._id(sent)

    async def create(self, tag: str, file_id: str) -> str:
        """Make a batch of an uploaded file and return its id.

        Raises:
            RequestFailed: ``again`` says that there may be a batch all the same: look with :meth:`find`.
            Unavailable: when there is none, and there will be none.
        """
        made = await self._done(
            self._client.batches.create(
                input_file_id=file_id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={TAG: tag},
            )
        )
        return self._id(made)

    async def find(self, tag: str, file_id: str, since: float) -> str:
        """Return the id of the batch that was made under ``tag``, "" where there is none.

        Batches are listed newest first; those from before ``since`` (seconds since 1970) need not be looked at.
        """

        async def look() -> str:
            seen = 0
            async for batch in self._client.batches.list(limit=100):
                seen += 1
                tagged = isinstance(batch.metadata, dict) and batch.metadata.get(TAG) == tag
                if tagged or batch.input_file_id == file_id:
                    return self._id(batch)
                made = batch.created_at
                if seen >= _MOST_LISTED or (isinstance(made, int | float) and made < since - _CLOCKS_S):
                    break
            return ""

        return await self._done(look())

    async def state(self, batch_id: str) -> BatchState | None:
        """Return how far a batch is, None where the provider does not know it (any more)."""
        import openai

        try:
            batch = await self._done(self._client.batches.retrieve(batch_id), missing_ok=True)
        except openai.NotFoundError:
            return None
        counts = batch.request_counts
        settled = [
            value for name in ("completed", "failed") if isinstance(value := getattr(counts, name, None), int)
        ]
        total = getattr(counts, "total", None)
        errors = getattr(batch.errors, "data", None) or []
        first = errors[0] if isinstance(errors, list) and errors else None
        ended = next((t for n in ENDED if isinstance(t := getattr(batch, f"{n}_at", None), int)), None)
        return BatchState(
            id=batch_id,
            status=str(batch.status),
            done=sum(settled) if settled else None,
            total=total if isinstance(total, int) and total > 0 else None,
            files=tuple(f for f in (batch.output_file_id, batch.error_file_id) if isinstance(f, str) and f),
            reason=self._short(str(getattr(first, "message", "") or "")),
            code=str(getattr(first, "code", "") or ""),
            seconds=float(ended - batch.created_at)
            if ended is not None and isinstance(batch.created_at, int)
            else 0.0,
        )

    async def download(self, file_id: str, into: IO[bytes]) -> None:
        """Write a file of answers; piece by piece, for it may have hundreds of megabytes.

        Raises:
            RequestFailed: when it did not come whole.
        """

        async def read() -> None:
            into.seek(0)
            into.truncate()
            async with self._client.files.with_streaming_response.content(file_id) as response:
                size = 0
                async for part in response.iter_bytes(1 << 16):
                    size += len(part)
                    if size > LARGEST_OUTPUT:
                        raise Unavailable(
                            f"{self.name} sends more than {LARGEST_OUTPUT // 1024**3} GB as the answers of a batch.",
                            "Look at the batch with the provider's own tools.",
                        )
                    into.write(part)

        await self._done(read())
        into.seek(0)

    def completion(self, line: Mapping[str, Any], *, with_format: bool) -> Completion:
        """Return the completion that a line of answers holds.

        Raises:
            RequestFailed, FormatRefused, Unavailable: as one request over HTTP would have.
        """
        response, error = line.get("response"), line.get("error")
        if isinstance(response, dict):
            status, body = response.get("status_code"), response.get("body")
            if isinstance(status, int) and status >= 400:
                raise self._refused(status, body, json.dumps(body)[:2000], {}, with_format)
            return self._completion(body)
        if isinstance(error, dict):
            told = self._short(f"{error.get('code') or 'error'}: {error.get('message') or 'no reason given'}")
            raise RequestFailed(told, again=True, provider_down=False)
        raise RequestFailed("the batch's file has neither an answer nor an error for it", again=True)

    def _cost(self, data: Any, usage: Any) -> float | None:
        """Return what a completion cost in a batch, by the batch prices of litellm's list, else half of the usual."""
        if self._priced is None or not isinstance(usage, dict):
            return None
        try:
            from litellm.cost_calculator import batch_cost_calculator

            taken = self._priced.Usage(**{k: v for k, v in usage.items() if v is not None})
            cost = float(sum(batch_cost_calculator(taken, self.model)))
        except Exception as error:  # litellm raises many types for models without a price
            _log.debug("No batch price for %s (%s).", self.model, type(error).__name__)
            return None
        return cost or None

    def _id(self, made: Any) -> str:
        found = getattr(made, "id", None)
        if not isinstance(found, str) or not found:
            raise RequestFailed("the answer has no id", again=True)
        return found

    async def _done(self, call: Awaitable[T], *, missing_ok: bool = False) -> T:
        import httpx
        import openai

        try:
            return await call
        except openai.APIStatusError as error:
            if missing_ok and error.status_code == 404:
                raise
            if error.status_code in {404, 405, 501}:
                raise Unavailable(
                    f"{self.name} has no batch API ({error.status_code}).",
                    "Use delivery calls, or check that the address ends as the server documents it.",
                ) from None
            raise self._refused(
                error.status_code, error.body, error.message, error.response.headers, False
            ) from None
        except openai.APITimeoutError:
            raise self._too_late() from None
        except (openai.OpenAIError, httpx.HTTPError, OSError) as error:
            root: BaseException = error
            while root.__cause__ is not None:
                root = root.__cause__
            raise self._no_connection(f"{type(root).__name__}: {root}".removesuffix(": ")) from None


def lines(file: IO[bytes]) -> Iterator[dict[str, Any] | None]:
    """Yield what each line of a file of answers holds, None for a line that is no JSON object."""
    while line := file.readline(LARGEST_ANSWER):
        if not line.endswith(b"\n") and len(line) == LARGEST_ANSWER:
            while (more := file.readline(LARGEST_ANSWER)) and not more.endswith(b"\n"):
                pass
            yield None
            continue
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            data = None
        yield data if isinstance(data, dict) else None
