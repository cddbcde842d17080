"""What a judge said of many pairs, as one column a dimension: grades, probabilities, expected grades."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.policy import Policy
from workbench.run import Judgement, Verdict

Floats = npt.NDArray[np.float64]
Grades = npt.NDArray[np.int_]


@dataclass(frozen=True, eq=False)
class Graded:
    """The answers about one dimension of n pairs."""

    dimension: str
    levels: tuple[int, ...]
    grades: Grades  # (n,): a level, NOT_APPLICABLE, or NOT_GRADED where the judge failed
    probabilities: Floats  # (n, levels), NaN where the judge gave none
    expected: Floats  # (n,), NaN where the judge gave none

    @property
    def soft(self) -> npt.NDArray[np.bool_]:
        """Pairs with a level and probabilities, shape (n,)."""
        return (self.grades >= 0) & ~np.isnan(self.probabilities).any(axis=1)

    @property
    def mass(self) -> Floats:
        """P(level) of each pair, shape (n, levels).

        A grade without probabilities counts as certain, N/A as no mass on any level; NaN where the judge failed.
        """
        found: Floats = (self.grades[:, None] == np.array(self.levels)).astype(np.float64)
        found[self.soft] = self.probabilities[self.soft]
        found[self.grades == NOT_GRADED] = np.nan
        return found

    def taken(self, where: npt.NDArray[np.int_] | npt.NDArray[np.bool_]) -> Graded:
        """Return the answers about some of the pairs."""
        return Graded(
            self.dimension,
            self.levels,
            self.grades[where],
            self.probabilities[where],
            self.expected[where],
        )

    def judgement(self, i: int) -> Judgement:
        """Return the answer about one pair, without rationale."""
        known = not np.isnan(self.probabilities[i]).any()
        expected = float(self.expected[i])
        return Judgement(
            dimension=self.dimension,
            grade=int(self.grades[i]),
            expected=None if np.isnan(expected) else expected,
            probabilities=tuple(self.probabilities[i].tolist()) if known else None,
        )


def gather(policy: Policy, pair_ids: Sequence[str], verdicts: Iterable[Verdict]) -> dict[str, Graded]:
    """Return dimension -> answers, in the order of ``pair_ids``.

    Of several judgements of one kind the newest counts; verdicts about other pairs are passed over. The pairs held
    in memory are numbers, whatever the judge wrote.
    """
    n = len(pair_ids)
    found = {}
    for dimension in policy.dimensions:
        levels = len(dimension.scale)
        found[dimension.key] = Graded(
            dimension.key,
            dimension.scale,
            np.full(n, NOT_GRADED, dtype=np.int_),
            np.full((n, levels), np.nan),
            np.full(n, np.nan),
        )
    where = {pair_id: i for i, pair_id in enumerate(pair_ids)}
    for verdict in verdicts:
        i = where.get(verdict.pair_id)
        if i is None:
            continue
        for said in verdict.judgements:
            column = found.get(said.dimension)
            if column is not None:
                _put(column, i, said)
    return found


def _put(column: Graded, i: int, said: Judgement) -> None:
    known = said.grade in column.levels or said.grade == NOT_APPLICABLE
    column.grades[i] = said.grade if known else NOT_GRADED
    fits = said.probabilities is not None and len(said.probabilities) == len(column.levels)
    column.probabilities[i] = said.probabilities if fits and known else np.nan
    column.expected[i] = said.expected if said.expected is not None and known else np.nan
