"""Hard caps on what a run may take: money, tokens, time. What a call may take is set aside before it is sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from workbench.errors import BadInput
from workbench.prices import ModelPrice
from workbench.run import CapReached, Usage

FIRST_ANSWER = 1_000
"""Tokens set aside for an answer while none has come, where max_tokens does not say more exactly."""


@dataclass(frozen=True)
class Reserved:
    """What was set aside for one call."""

    tokens: float = 0.0
    usd: float = 0.0


class Caps:
    """What a run has taken and what its calls in flight may take, against its caps.

    A call is sent only while everything spent, everything set aside and the call itself stay within the caps. What
    was set aside is an estimate (other tokenizers differ; an answer without ``max_tokens`` may be longer than any
    before it), so a cap can be passed by what the calls in flight take beyond their estimate, and by no more.
    """

    def __init__(
        self,
        *,
        usd: float | None = None,
        tokens: int | None = None,
        seconds: float | None = None,
        price: ModelPrice | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the caps; None is no cap. The time runs from here.

        Args:
            price: list price of the model; a cap on money cannot be held without it.

        Raises:
            BadInput: for a cap on money where the price is not known.
        """
        if usd is not None and (price is None or price.input is None or price.output is None):
            raise BadInput(
                "A cap on money cannot be held: the price of this model is not known.",
                "Cap the tokens (cap_tokens) or the time (cap_seconds) instead.",
            )
        self._usd, self._tokens, self._seconds = usd, tokens, seconds
        self._price = price
        self._clock = clock
        self._started = clock()
        self.spent_usd = 0.0
        self.spent_tokens = 0.0
        self._set_aside_usd = 0.0
        self._set_aside_tokens = 0.0
        self._longest_answer = 0

    @property
    def counts(self) -> bool:
        """Whether tokens have to be counted before a call."""
        return self._usd is not None or self._tokens is not None

    def answer_tokens(self, most: int | None) -> int:
        """Return how long an answer is taken to be: ``max_tokens`` where it is set, else the longest so far."""
        return most or self._longest_answer or FIRST_ANSWER

    def charge(self, usage: Usage) -> None:
        """Count what was spent before."""
        self.spent_tokens += usage.input_tokens + usage.output_tokens
        self.spent_usd += self._cost(usage)

    def reserve(self, input_tokens: int, output_tokens: int) -> Reserved:
        """Set aside what a call may take.

        Raises:
            CapReached: where that would pass a cap; nothing is set aside then.
        """
        self.check_time()
        if not self.counts:
            return Reserved()
        wanted = Reserved(
            input_tokens + output_tokens,
            self._cost(Usage(input_tokens=input_tokens, output_tokens=output_tokens)) if self._price else 0.0,
        )
        usd = self.spent_usd + self._set_aside_usd + wanted.usd
        if self._usd is not None and usd > self._usd:
            raise CapReached(
                f"Stopped at the cap of ${self._usd:.2f}: ${self.spent_usd:.4f} is spent, and the next call could pass it.",
                "What was graded is kept; continue with a higher cap or a new period.",
            )
        tokens = self.spent_tokens + self._set_aside_tokens + wanted.tokens
        if self._tokens is not None and tokens > self._tokens:
            raise CapReached(
                f"Stopped at the cap of {self._tokens:,} tokens: {self.spent_tokens:,.0f} are spent, and the next call "
                "could pass it.",
                "What was graded is kept; continue with a higher cap or a new period.",
            )
        self._set_aside_usd += wanted.usd
        self._set_aside_tokens += wanted.tokens
        return wanted

    def check_time(self) -> None:
        """Refuse where the time is up.

        Raises:
            CapReached: then.
        """
        if self._seconds is not None and self._clock() - self._started >= self._seconds:
            raise CapReached(
                f"Stopped at the cap of {self._seconds:g} s.",
                "What was graded is kept; resume for as long again.",
            )

    def settle(self, reserved: Reserved, usage: Usage) -> None:
        """Put what a call really took in the place of what was set aside for it."""
        self._set_aside_usd -= reserved.usd
        self._set_aside_tokens -= reserved.tokens
        self._longest_answer = max(self._longest_answer, usage.output_tokens)
        self.charge(usage)

    def _cost(self, usage: Usage) -> float:
        """Return the cost as it was told, else by the list price."""
        if usage.cost_usd is not None:
            return usage.cost_usd
        if self._price is None or self._price.input is None or self._price.output is None:
            return 0.0
        return usage.input_tokens * self._price.input + usage.output_tokens * self._price.output
