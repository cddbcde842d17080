"""Which pairs of a golden set a precedent shows: its example is part of a pair, shortened or whole."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate

from workbench.golden import Pair
from workbench.policy import Example

SHORTEST_PASSAGE = 25
"""Characters from which a passage is looked for inside a field; a shorter text has to be the whole field."""
_SENTENCE_END = re.compile(r"(?<=[.!?;|]) ")


class PairTexts:
    """The texts of many pairs, searchable for the passages of an example."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        """Index the fields of ``pairs``; white space and case do not count."""
        self._size = len(pairs)
        names = {("query", name) for pair in pairs for name in pair.query}
        names |= {("document", name) for pair in pairs for name in pair.document}
        self._fields: dict[tuple[str, str], tuple[str, list[int]]] = {}
        for side, name in names:
            texts = [
                normalised((pair.query if side == "query" else pair.document).get(name, "")) for pair in pairs
            ]
            # One string a field, so that a search over all pairs is one search. A line break keeps the pairs apart.
            starts = list(accumulate((len(text) + 1 for text in texts[:-1]), initial=1))
            self._fields[side, name] = ("\n" + "\n".join(texts) + "\n", starts)
        self._shares = lru_cache(maxsize=512)(self._compared)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return self._size

    def like(self, example: Example, share: float = 1.0) -> tuple[int, ...]:
        """Return the positions of the pairs that have at least ``share`` of an example's text, on either side.

        The text is compared by passages: the sentences of a field, or the whole field where it is short. An example
        that has no text on one of the sides shows no pair.
        """
        sides = tuple(
            tuple((name, text) for name, text in sorted(fields.items()) if text.strip())
            for fields in (example.query, example.document)
        )
        if not all(sides):
            return ()
        return tuple(i for i, least in self._shares(sides) if least >= share - 1e-9)

    def _compared(self, sides: tuple[tuple[tuple[str, str], ...], ...]) -> tuple[tuple[int, float], ...]:
        """Return (position, share of the text on the side with less of it) of pairs with some text on both sides."""
        found: list[dict[int, float]] = []
        for side, fields in zip(("query", "document"), sides, strict=True):
            had: dict[int, float] = {}
            total = 0
            for name, text in fields:
                for passage, whole in passages(normalised(text)):
                    total += len(passage)
                    for i in self._with_passage(side, name, passage, whole):
                        had[i] = had.get(i, 0) + len(passage)
            found.append({i: length / total for i, length in had.items()})
        query, document = found
        return tuple((i, min(query[i], document[i])) for i in sorted(query.keys() & document.keys()))

    def _with_passage(self, side: str, name: str, passage: str, whole: bool) -> Iterator[int]:
        text, starts = self._fields.get((side, name), ("", []))
        wanted = f"\n{passage}\n" if whole else passage
        at = text.find(wanted)
        while at >= 0:
            i = bisect_right(starts, at + whole) - 1
            yield i
            # On to the next pair; its text starts behind the line break that a whole field begins with.
            at = text.find(wanted, starts[i + 1] - 1) if i + 1 < len(starts) else -1


def normalised(text: str) -> str:
    """Return ``text`` in lower case with single spaces."""
    return " ".join(text.casefold().split())


def passages(text: str) -> list[tuple[str, bool]]:
    """Return the passages of a normalised text, and of each whether it has to be the whole field."""
    long = [part for part in _SENTENCE_END.split(text) if len(part) >= SHORTEST_PASSAGE]
    return [(part, False) for part in long] or [(text, True)]
