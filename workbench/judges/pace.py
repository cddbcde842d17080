"""Requests and tokens a minute, held over every minute there is, not only on average."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from workbench.errors import BadInput

WINDOW_S = 60.5
"""A minute, and half a second for what travels: two requests do not take equally long to arrive."""


@dataclass(eq=False)  # two requests of one moment are two
class Sent:
    """One request in the window."""

    at: float
    tokens: float


class Pace:
    """Lets requests through, in their order, so that no 60 s hold more than the limits.

    A log of the last minute rather than a bucket that refills: a full bucket lets twice its limit through in the
    minute in which it is emptied, and providers count that.
    """

    def __init__(
        self,
        requests: float | None = None,
        tokens: float | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the limits a minute, None for no limit; ``sleep`` and ``clock`` are seams for tests.

        Raises:
            BadInput: for a limit under which nothing could ever be sent.
        """
        for name, limit in (("requests_per_minute", requests), ("tokens_per_minute", tokens)):
            if limit is not None and not limit >= 1:
                raise BadInput(f"{name} is {limit}.", "It must be at least 1; leave it empty for no limit.")
        self._requests, self._most_tokens = requests, tokens
        self._sleep, self._clock = sleep, clock
        self._sent: deque[Sent] = deque()
        self._tokens = 0.0
        self._turn = asyncio.Lock()

    @property
    def limits(self) -> bool:
        """Whether there is any limit; without one, nothing needs to be counted."""
        return self._requests is not None or self._most_tokens is not None

    async def admit(self, tokens: float) -> Sent | None:
        """Wait until a request of so many tokens may be sent, and note it; None where there is no limit.

        A request of more tokens than the limit waits for an empty minute.
        """
        if not self.limits:
            return None
        async with self._turn:
            while (wait_s := self._wait(tokens)) > 0:
                await self._sleep(wait_s)
            sent = Sent(self._clock(), tokens)
            self._sent.append(sent)
            self._tokens += tokens
            return sent

    def settle(self, sent: Sent | None, tokens: float) -> None:
        """Set an admitted request to the tokens that it really took."""
        if sent is not None and tokens > 0:
            if sent in self._sent:
                self._tokens += tokens - sent.tokens
            sent.tokens = tokens

    def _wait(self, tokens: float) -> float:
        now = self._clock()
        while self._sent and self._sent[0].at + WINDOW_S <= now:
            self._tokens -= self._sent.popleft().tokens
        if not self._sent:
            self._tokens = 0.0
            return 0.0
        too_many = self._requests is not None and len(self._sent) + 1 > self._requests
        too_much = self._most_tokens is not None and self._tokens + tokens > self._most_tokens
        return self._sent[0].at + WINDOW_S - now if too_many or too_much else 0.0
