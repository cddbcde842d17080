"""What a data set's recipe and its card say of pairs that a language model wrote.

A *cell* is a dimension with one of its levels or N/A. Pairs are asked for cell by cell, and each says in its metadata
for which (``synthetic: taste=2``). That is what was asked for and no label: the judge grades a written pair like any
other, and the card says how often it gave the level that was asked for.
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from workbench.golden import NOT_APPLICABLE
from workbench.identity import Value
from workbench.policy import Filled, Name
from workbench.run import JudgeIdentity, LlmSpec, Usage

SYNTHETIC = "synthetic"
"""Metadata key of a pair that a model wrote; its value is the name of the cell that it was asked for."""
NA: Literal["N/A"] = "N/A"

Variant = Literal["pair", "query", "document"]
"""What is new of a pair: both sides, the query to a seed's document, or the document to a seed's query."""
VARIANTS: tuple[Variant, ...] = get_args(Variant)


class Cell(Value):
    """A dimension with one of its levels, or N/A."""

    dimension: Filled
    level: int | Literal["N/A"]

    @property
    def grade(self) -> int:
        """The level as grades travel: NOT_APPLICABLE for N/A."""
        return NOT_APPLICABLE if self.level == NA else int(self.level)

    @property
    def name(self) -> str:
        """Dimension and level as the metadata of a pair says them, such as ``taste=2``."""
        return f"{self.dimension}={self.level}"


class Quota(Value):
    """How many pairs are asked for in a cell, and how many dev pairs of the golden set people put there."""

    cell: Cell
    have: int = Field(ge=0)
    wanted: int = Field(ge=1)


class SyntheticPool(Value):
    """Pairs that a language model writes, after the dev pairs of a golden set as examples of their form."""

    kind: Literal["synthetic"] = "synthetic"
    model: LlmSpec = Field(
        description="Who writes the pairs. It has caps of its own; see the judge's settings."
    )
    golden: Name = Field(description="Golden set whose dev pairs are the seeds.")
    count: int = Field(default=500, ge=1, le=100_000, description="Pairs that are asked for.")
    per_call: int = Field(default=5, ge=1, le=50, description="Pairs that one call asks for.")
    seeds_per_call: int = Field(default=3, ge=1, le=10, description="Seeds that one call shows.")
    cells: Literal["auto"] | tuple[Cell, ...] = Field(
        default="auto",
        description="auto: the cells that have fewest dev labels; or a list of dimension and level, asked for alike.",
    )
    variants: tuple[Variant, ...] = Field(
        default=VARIANTS,
        min_length=1,
        description="What is new, in turn: pair; query (to a seed's document); document (to a seed's query).",
    )

    @model_validator(mode="after")
    def _can_be_asked(self) -> SyntheticPool:
        if self.cells == ():
            raise ValueError("'cells' is empty; name a cell, or write auto")
        names = [] if self.cells == "auto" else [cell.name for cell in self.cells]
        for what, given in (("cells", names), ("variants", [*self.variants])):
            if twice := [one for i, one in enumerate(given) if one in given[:i]]:
                raise ValueError(f"'{what}' names {twice[0]} twice")
        if self.model.repeats > 1 or self.model.delivery != "calls" or not self.model.mode.is_default:
            raise ValueError("the model writes pairs: 'repeats', 'delivery' and 'mode' are of judges alone")
        return self


class CellReport(Value):
    """What became of the pairs that were asked for in one cell."""

    cell: Cell
    have: int  # dev pairs of the golden set that people put there
    wanted: int
    written: int = 0  # that could be read
    graded: int = 0  # to which the judge gave a level, or N/A, on the cell's dimension
    as_asked: int = 0  # of those: the level that was asked for
    rows: int = 0  # in the data set

    @property
    def share_as_asked(self) -> float | None:
        """How often the judge gave the level that was asked for; None where it graded none."""
        return self.as_asked / self.graded if self.graded else None


class SynthesisReport(Value):
    """Who wrote a pool, what of it could be used, and what it took, apart from the judge's usage."""

    model: JudgeIdentity
    seeds: str  # label of the snapshot
    seeds_hash: str
    calls: int  # planned
    failed_calls: int = 0  # without any pair that could be read
    misfits: int = 0  # pairs that did not fit the policy's layout
    problems: tuple[str, ...] = ()  # some reasons, in sentences
    cells: tuple[CellReport, ...] = ()
    usage: Usage = Usage()
