"""How a language model is asked: one value, small enough for a judge's spec to hold. What it means is in
:mod:`workbench.prompt_modes`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, model_validator

from workbench.identity import Value

Scope = Literal["all", "dimension"]
LevelOrder = Literal["ascending", "descending", "permuted"]
DimensionOrder = Literal["policy", "permuted"]
Reason = Literal["before", "after", "none"]

MOST_PAIRS_PER_CALL = 20
"""A reply about 20 dimensions is some 10,000 characters, and at most 200,000 of a reply are read."""


class PromptMode(Value):
    """How the questions of a run are put to calls. The default is one call a pair, as judges were always asked."""

    scope: Scope = Field(
        default="all",
        description="all: every dimension in one call. dimension: one call each, so that an edit of one dimension "
        "asks again about that one alone.",
    )
    level_order: LevelOrder = Field(default="ascending", description="How the levels are listed.")
    dimension_order: DimensionOrder = Field(default="policy", description="How the dimensions are listed.")
    reason: Reason = Field(
        default="before",
        description="Whether the reason stands before the grade or after it; none asks for the grade alone.",
    )
    pairs_per_call: int = Field(
        default=1, ge=1, le=MOST_PAIRS_PER_CALL, description="Pairs that one call asks about."
    )
    seed: int = Field(default=0, description="Draws the orders that are permuted.")

    @model_validator(mode="after")
    def _has_an_order(self) -> PromptMode:
        if self.scope == "dimension" and self.dimension_order == "permuted":
            raise ValueError(
                "dimension_order is 'permuted', but a call about one dimension has no order of dimensions; "
                "make it 'policy'"
            )
        return self

    @property
    def permuted(self) -> bool:
        """Whether an order depends on the pair."""
        return self.level_order == "permuted" or self.dimension_order == "permuted"

    @property
    def is_default(self) -> bool:
        """Whether it asks exactly as the default does; a seed that draws nothing makes no difference."""
        return not self.said()

    def said(self) -> dict[str, Any]:
        """Return what differs from the default and matters, for the identity of a judge; {} for the default."""
        different = self.model_dump(mode="json", exclude_defaults=True)
        if not self.permuted:
            different.pop("seed", None)
        return different

    def words(self) -> str:
        """Return the mode in words, for lists of judges and runs; "" for the default."""
        return ", ".join(self._words())

    def _words(self) -> Iterator[str]:
        if self.scope == "dimension":
            yield "one call per dimension"
        if self.pairs_per_call > 1:
            yield f"{self.pairs_per_call} pairs per call"
        if self.level_order != "ascending":
            yield f"levels {self.level_order}"
        if self.dimension_order != "policy":
            yield f"dimensions {self.dimension_order}"
        if self.reason != "before":
            yield "reason after the grade" if self.reason == "after" else "no reason"
        if self.permuted and self.seed:
            yield f"seed {self.seed}"
