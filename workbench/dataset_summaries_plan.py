"""What the summaries of a data set would take, before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.dataset_summaries import Summarise
from workbench.dataset_summaries_step import expected
from workbench.golden import Pair
from workbench.judges.keys import key_in
from workbench.policy import Layout
from workbench.run_plan import key_variable
from workbench.trial_plan import calls_cost
from workbench.workspace import Workspace


@dataclass(frozen=True)
class SummariesPlan:
    """Every pair that is graded counts as a row, so this is an upper bound. Tokens are estimates."""

    model: str
    texts: int  # different ones that are long
    calls: int  # left to send; summaries that are known are deducted
    input_tokens: int
    output_tokens: int
    cost_usd: float | None
    cost_unknown: str
    key_missing: str = ""  # environment variable that the model needs and that is not set


def plan_summaries(
    workspace: Workspace, asked: Summarise | None, layout: Layout, pairs: Sequence[Pair]
) -> SummariesPlan | None:
    """Return what summarising the fields of these pairs would take; None where none is asked for.

    Raises:
        Unavailable: if the tokenizer or the price list is missing, or the verdict cache cannot be used.
    """
    if asked is None:
        return None
    left = expected(asked, layout, pairs, workspace.cache_folder)
    cost, unknown = calls_cost(asked.model, left.calls, left.input_tokens, left.output_tokens, left.longest)
    variable, needed = key_variable(asked.model)
    return SummariesPlan(
        model=asked.model.model,
        texts=left.texts,
        calls=left.calls,
        input_tokens=left.input_tokens,
        output_tokens=left.output_tokens,
        cost_usd=cost,
        cost_unknown=unknown,
        key_missing=variable if needed and not key_in(variable) else "",
    )
