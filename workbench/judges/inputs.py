"""What a job's folder gives a judge. Pairs, splits and labels may be read only when a judge asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from workbench.golden import GoldenSet, Pair, Split
from workbench.policy import Policy

if TYPE_CHECKING:  # half a second, which a judge over HTTP does not need
    import pandas as pd


@dataclass(frozen=True)
class Inputs:
    """The policy, the pairs with their splits, the labels of the dev split.

    ``pairs`` may be a file that is read anew at each pass: go through it once rather than index it again and again.
    """

    policy: Policy
    pairs: Sequence[Pair]
    splits: Mapping[str, Split]
    label_table: pd.DataFrame | Callable[[], pd.DataFrame] = field(repr=False)  # or what reads it

    @cached_property
    def labels(self) -> pd.DataFrame:
        """The dev labels, ``workbench.golden.LABEL_COLUMNS``."""
        return self.label_table() if callable(self.label_table) else self.label_table

    def golden(self, name: str, version: int) -> GoldenSet:
        """Return the inputs as a golden set (its holdout labels are not in the folder, so not in it).

        All its pairs are held in memory.
        """
        pairs = tuple(self.pairs)
        return GoldenSet(name, version, self.policy.name, pairs, dict(self.splits), self.labels)
