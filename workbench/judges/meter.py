"""What stands between a judge and its provider: the pace of requests and the caps of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.judges.caps import Caps, Reserved
from workbench.judges.pace import Pace, Sent
from workbench.run import Usage
from workbench.token_count import count_tokens


@dataclass(frozen=True)
class Ticket:
    """One admitted request."""

    reserved: Reserved
    sent: Sent | None


class Meter:
    """Admits requests one by one, and is told what each took."""

    def __init__(self, pace: Pace, caps: Caps, params: Mapping[str, Any]) -> None:
        """Take pace and caps; ``params`` are the model's parameters, whose ``max_tokens`` bounds an answer."""
        self._pace, self._caps = pace, caps
        most = params.get("max_completion_tokens") or params.get("max_tokens")
        self._most_answer = (
            most if isinstance(most, int) and not isinstance(most, bool) and most > 0 else None
        )

    async def admit(self, messages: Sequence[Mapping[str, str]]) -> Ticket:
        """Wait for this request's turn and set aside what it may take.

        Raises:
            CapReached: when it could pass a cap; it must not be sent.
        """
        sent_tokens = answer = 0
        if self._pace.limits or self._caps.counts:
            # Counted with one tokenizer for all; the policy is counted once, the pair is short.
            sent_tokens = sum(count_tokens(message["content"]) for message in messages)
            answer = self._caps.answer_tokens(self._most_answer)
        reserved = self._caps.reserve(sent_tokens, answer)
        try:
            sent = await self._pace.admit(sent_tokens + answer)
            self._caps.check_time()
        except BaseException:
            self._caps.settle(reserved, Usage())
            raise
        return Ticket(reserved, sent)

    def settle(self, ticket: Ticket, usage: Usage) -> None:
        """Note what the request took; an empty usage where no answer came."""
        self._caps.settle(ticket.reserved, usage)
        self._pace.settle(ticket.sent, usage.input_tokens + usage.output_tokens)
