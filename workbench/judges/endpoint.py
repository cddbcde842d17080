"""An OpenAI-compatible endpoint read raw over aiohttp: a JSON body out, a status, headers and bytes back.

The ``openai`` client on the same transport takes about twice the CPU time a call, which at 64 calls in flight is
what bounds a run. What is the same in every call (the policy, the schema of the answer) is serialised once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes of the largest body that is read; an endless one must not fill the memory before its time is up."""
IDLE_S = 4.0
"""Seconds that an unused connection is kept: common servers close theirs after 5."""

_dumped = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode  # ASCII: any text can be sent


class NoAnswer(Exception):
    """The connection gave no complete answer; its text says why, not yet scrubbed."""


class TooLarge(Exception):
    """The answer passed :data:`LARGEST_ANSWER`."""


@dataclass(frozen=True)
class Answer:
    """What an endpoint sent; header names in any case are found."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            ValueError: if it is none, or is nested too deeply.
        """
        try:
            return json.loads(self.body)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


class Endpoint:
    """One address and its connections. It must be made inside a running event loop, and closed."""

    def __init__(self, base_url: str, key: str, *, most: int = 512) -> None:
        """Open nothing yet.

        Args:
            base_url: up to and including ``/v1``.
            key: sent as bearer token to this address only.
            most: connections at one time.
        """
        import aiohttp

        self._url = f"{base_url}/chat/completions"
        parts = urlsplit(base_url)
        # Found once: aiohttp's trust_env looks through the environment at every call, and reads ~/.netrc as well.
        found = getproxies()
        bypassed = bool(proxy_bypass(parts.hostname or ""))
        self._proxy = None if bypassed else found.get(parts.scheme) or found.get("all")
        self._parts: dict[str, tuple[Any, str]] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=most, keepalive_timeout=IDLE_S, ssl=_certificates() if parts.scheme == "https" else True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=30.0
            ),  # the caller holds the time of a call
            headers={
                "Authorization": f"Bearer {key}",
                "Content-Type": "application/json",
                "Accept": "application/json",
                "User-Agent": "policy-workbench",
            },
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def ask(
        self,
        head: Mapping[str, Any],
        messages: Sequence[Mapping[str, str]],
        response_format: Mapping[str, Any] | None,
    ) -> Answer:
        """Send one chat completion request.

        Args:
            head: the other members of the body: model and parameters.
            messages: the first one is expected to be the same object's text in many calls.

        Raises:
            NoAnswer: when the connection fails.
            TooLarge: when the answer does not end in time.
        """
        import aiohttp

        body = self._body(head, messages, response_format)
        try:
            async with self._session.post(self._url, data=body, proxy=self._proxy) as response:
                read = response.content
                parts = [part := await read.readany()]
                size = len(part)
                while not read.at_eof():
                    parts.append(part := await read.readany())
                    size += len(part)
                    if size > LARGEST_ANSWER:
                        response.close()
                        raise TooLarge
                return Answer(response.status, response.headers, b"".join(parts))
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, asyncio.TimeoutError) and not isinstance(error, aiohttp.ServerTimeoutError):
                raise
            # A reset says more at its root than in aiohttp's words for it.
            root: BaseException = error
            while root.__cause__ is not None:
                root = root.__cause__
            raise NoAnswer(f"{type(root).__name__}: {root}".removesuffix(": ")) from None

    def _body(
        self,
        head: Mapping[str, Any],
        messages: Sequence[Mapping[str, str]],
        response_format: Mapping[str, Any] | None,
    ) -> bytes:
        texts = [self._once("first", messages[0]["content"], messages[0]), *map(_dumped, messages[1:])]
        start = self._once("head", head, head)[1:-1]
        form = (
            f',"response_format":{self._once("format", response_format, response_format)}'
            if response_format
            else ""
        )
        return f'{{{start},"messages":[{",".join(texts)}]{form}}}'.encode("ascii")

    def _once(self, name: str, same: Any, value: Any) -> str:
        """Return the JSON of ``value``, kept as long as ``same`` is the very same object."""
        kept = self._parts.get(name)
        if kept is None or kept[0] is not same:
            kept = self._parts[name] = (same, _dumped(value))
        return kept[1]


def _certificates() -> Any:
    # certifi's authorities, or those the environment names (SSL_CERT_FILE): as the openai client trusts them.
    import httpx

    return httpx.create_ssl_context()
