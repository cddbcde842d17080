"""Which pairs of a graded pool to keep, so that every level of every dimension is seen.

Pools are lopsided: most pairs of a product of queries and documents are irrelevant. A *cell* is a dimension with one
of its levels or N/A. The pairs are chosen one by one, each time one that adds most to the sum over cells of the
harmonic number H(n) = 1 + 1/2 + … + 1/n of the pairs that the cell has: the next pair of a cell with n pairs is worth
1/(n+1), so rare levels are taken first and common ones fill up. The sum is monotone and submodular, so greedy choice
reaches at least 1 - 1/e of the best sum there is (Nemhauser, Wolsey and Fisher 1978). Dimensions count alike.

Pairs with the same predicted grades are worth the same, so the choice is between *kinds* of pairs, of which there are
few; within a kind, pairs come in an order drawn by the seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from workbench.dataset_grades import Graded
from workbench.golden import NOT_GRADED
from workbench.identity import content_hash


def cover(graded: Mapping[str, Graded], pair_ids: Sequence[str], count: int, seed: int = 0) -> list[int]:
    """Return the positions of ``count`` pairs that cover level x dimension, ascending; all, where there are no more.

    A dimension on which the judge failed adds nothing for that pair. The same pairs in another order give the same
    choice.

    Args:
        graded: the answers of the judge about the pairs, a column a dimension.
        pair_ids: ids of the pairs, shape (pairs,).
        count: how many to choose.
    """
    if count >= len(pair_ids):
        return list(range(len(pair_ids)))
    cells, sizes = _cells(list(graded.values()), len(pair_ids))
    drawn = sorted(range(len(pair_ids)), key=lambda i: draw(seed, pair_ids[i]))
    kinds, which = np.unique(cells, axis=0, return_inverse=True)
    waiting: list[list[int]] = [[] for _ in kinds]
    for i in reversed(drawn):  # the first drawn is popped first
        waiting[int(which.reshape(-1)[i])].append(i)
    worth = 1.0 / np.arange(1, count + 2)
    taken = np.zeros(sum(sizes) + 1, dtype=np.int_)  # the last cell stands for a failure
    chosen: list[int] = []
    spent = np.zeros(len(kinds), dtype=np.bool_)
    while len(chosen) < count:
        gain = worth[taken]
        gain[-1] = 0.0
        value = np.where(spent, -1.0, gain[kinds].sum(axis=1))
        best = int(value.argmax())  # the first of equals: kinds are sorted
        chosen.append(waiting[best].pop())
        spent[best] = not waiting[best]
        taken[kinds[best]] += 1
        taken[-1] = 0
    return sorted(chosen)


def draw(seed: int, pair_id: str) -> str:
    """Return a text by which pairs sort into an order that the seed draws."""
    return content_hash("draw", [seed, pair_id])


def _cells(columns: Sequence[Graded], n: int) -> tuple[npt.NDArray[np.int_], list[int]]:
    """Return the number of each pair's cell on each dimension, shape (pairs, dimensions), and cells a dimension."""
    sizes = [len(column.levels) + 1 for column in columns]  # N/A is a cell too
    cells = np.empty((n, len(columns)), dtype=np.int_)
    start = 0
    for d, (column, size) in enumerate(zip(columns, sizes, strict=True)):
        within = np.where(column.grades >= 0, column.grades - column.levels[0], size - 1)
        cells[:, d] = np.where(column.grades == NOT_GRADED, sum(sizes), start + within)
        start += size
    return cells, sizes
