"""How many questions each labeler has answered about each pair of a golden set: what "next" and "done" are read from.

The counts are kept in memory, because a set of 100,000 pairs has hundreds of thousands of labels and every submit asks
for the next pair. They hold no truth of their own: :class:`~workbench.store.labels.LabelStore` counts in the database,
and counts those pairs again whose labels came later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt


class AnswerCounts:
    """Answers by labeler and pair, for one golden set and one list of dimensions.

    Attributes:
        dimensions: what is counted, ``overall`` included.
        mark: id of the newest label that is counted.
    """

    def __init__(self, pair_ids: Sequence[str], dimensions: Sequence[str]) -> None:
        """Begin with no answers; ``pair_ids`` is the order in which pairs are offered."""
        self.dimensions = tuple(dimensions)
        self.mark = 0
        self._ids = list(pair_ids)
        self._place = {pair_id: i for i, pair_id in enumerate(self._ids)}
        self._labelers = np.zeros(len(self._ids), dtype=np.int32)  # with any answer, by pair
        self._answered: dict[str, npt.NDArray[np.uint16]] = {}  # labeler -> answers by pair

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self._ids)

    def recount(self, pair_ids: Iterable[str], rows: Iterable[tuple[str, str, int]]) -> None:
        """Replace what is known of ``pair_ids`` by ``rows`` of (pair id, labeler, answers)."""
        places = [self._place[pair_id] for pair_id in pair_ids]
        for answered in self._answered.values():
            self._labelers[places] -= answered[places] > 0
            answered[places] = 0
        for pair_id, labeler, answers in rows:
            if labeler not in self._answered:
                self._answered[labeler] = np.zeros(len(self._ids), dtype=np.uint16)
            place = self._place[pair_id]
            self._answered[labeler][place] = answers
            self._labelers[place] += answers > 0

    def finished(self, labeler: str, among: Sequence[str] | None = None) -> int:
        """Return how many pairs (of all, or of ``among``) a labeler has answered on all dimensions."""
        done = self._done(labeler)
        if among is not None:
            done = done[[self._place[pair_id] for pair_id in among]]
        return int(done.sum())

    def next_pair(self, labeler: str, skipped: Iterable[str] = ()) -> str | None:
        """Return the first pair, of those with the fewest other labelers, that ``labeler`` has not finished."""
        others = self._labelers - (self._mine(labeler) > 0)
        unwanted = self._done(labeler)
        unwanted[[self._place[pair_id] for pair_id in skipped if pair_id in self._place]] = True
        if unwanted.all():
            return None
        return self._ids[int(np.where(unwanted, np.iinfo(np.int32).max, others).argmin())]

    def _mine(self, labeler: str) -> npt.NDArray[np.uint16]:
        return self._answered.get(labeler, np.zeros(len(self._ids), dtype=np.uint16))

    def _done(self, labeler: str) -> npt.NDArray[np.bool_]:
        done: npt.NDArray[np.bool_] = self._mine(labeler) >= len(self.dimensions)
        return done
