"""What became of each judgement in a stream of verdicts, where a newer line replaces an older one."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.run import Verdict


class Outcomes:
    """The newest outcome of each (pair, dimension), as a set of bits a pair: 100,000 pairs take some 20 MB.

    A job that was resumed asked again where a judgement had failed, so a pair can have several verdicts.
    """

    def __init__(self) -> None:
        self._bits: dict[str, int] = {}  # dimension -> its bit
        self._seen: dict[str, int] = {}
        self._failed: dict[str, int] = {}  # only pairs of which something failed

    def add(self, verdict: Verdict) -> None:
        """Count a verdict that is newer than all before it."""
        seen = failed = 0
        for judgement in verdict.judgements:
            bit = self._bits.get(judgement.dimension)
            if bit is None:
                bit = self._bits[judgement.dimension] = 1 << len(self._bits)
            seen |= bit
            failed |= bit if judgement.failed else 0
        pair_id = verdict.pair_id
        self._seen[pair_id] = self._seen.get(pair_id, 0) | seen
        failed |= self._failed.get(pair_id, 0) & ~seen
        if failed:
            self._failed[pair_id] = failed
        else:
            self._failed.pop(pair_id, None)

    def graded(self, pair_id: str, dimensions: Iterable[str]) -> bool:
        """Return whether every one of these dimensions of the pair has a judgement that did not fail."""
        done = self._seen.get(pair_id, 0) & ~self._failed.get(pair_id, 0)
        return all(done & self._bits.get(dimension, 0) for dimension in dimensions)

    @property
    def pairs(self) -> int:
        """Pairs that have a judgement."""
        return len(self._seen)

    @property
    def judgements(self) -> int:
        """Judgements, failed ones among them."""
        return sum(bits.bit_count() for bits in self._seen.values())

    @property
    def failed(self) -> int:
        """Judgements whose newest outcome is a failure."""
        return sum(bits.bit_count() for bits in self._failed.values())
