"""Answers to questions put together to verdicts about pairs, where one answer may be for several pairs."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from workbench.golden import NOT_GRADED
from workbench.policy import Policy
from workbench.prompt_modes import joined
from workbench.run import Judgement, Usage, Verdict


class Waiting:
    """The pairs of a run that wait for answers, and what of them is there."""

    def __init__(self, policy: Policy) -> None:
        """Begin with nothing."""
        self._policy = policy
        self._asked: dict[str, list[str]] = {}
        self._parts: dict[str, list[Verdict]] = {}
        self._ready: deque[Verdict] = deque()

    def ask(self, pair_id: str, key: str) -> None:
        """Let a pair wait for the answer to the question with this key."""
        self._asked.setdefault(key, []).append(pair_id)

    def add(self, key: str, part: Verdict) -> None:
        """Take the answer to a question: the first pair that waits for it has paid, others have it for nothing."""
        for place, pair_id in enumerate(self._asked.pop(key, ())):
            usage = part.usage if place == 0 else Usage(cost_usd=0.0, from_cache=True)
            self.have(part.model_copy(update={"pair_id": pair_id, "usage": usage}))

    def have(self, part: Verdict) -> None:
        """Take what is known about one pair."""
        parts = self._parts.setdefault(part.pair_id, [])
        parts.append(part)
        if len(_graded(parts)) == len(self._policy.keys):
            self._ready.append(self._joined(self._parts.pop(part.pair_id)))

    def ready(self) -> Iterator[Verdict]:
        """Yield the pairs that are complete now, each once."""
        while self._ready:
            yield self._ready.popleft()

    def rest(self, reason: str) -> Iterator[Verdict]:
        """Yield the pairs that were paid for in part, when the run ends before it is done.

        What is missing is failed for ``reason``: what they took must count, and their answers are in the cache.
        """
        yield from self.ready()
        for pair_id, parts in self._parts.items():
            if any(part.usage.calls for part in parts):
                missing = [key for key in self._policy.keys if key not in _graded(parts)]
                judgements = tuple(Judgement(dimension=k, grade=NOT_GRADED, error=reason) for k in missing)
                none = Verdict(pair_id=pair_id, judgements=judgements, usage=Usage(cost_usd=0.0))
                yield self._joined([*parts, none])
        self._parts.clear()

    def _joined(self, parts: Sequence[Verdict]) -> Verdict:
        return parts[0] if len(parts) == 1 else joined(self._policy, parts)


def plus(first: Usage, second: Usage) -> Usage:
    """Return what two requests for one answer took."""
    known = first.cost_usd is not None and second.cost_usd is not None
    return Usage(
        calls=first.calls + second.calls,
        input_tokens=first.input_tokens + second.input_tokens,
        output_tokens=first.output_tokens + second.output_tokens,
        cached_input_tokens=first.cached_input_tokens + second.cached_input_tokens,
        cost_usd=(first.cost_usd or 0.0) + (second.cost_usd or 0.0) if known else None,
    )


def _graded(parts: Sequence[Verdict]) -> set[str]:
    return {judgement.dimension for part in parts for judgement in part.judgements}
