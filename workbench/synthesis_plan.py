"""What having a pool written would take: the seeds, the cells to ask for, and the bill of the model that writes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from workbench.dataset_leakage import Holdout
from workbench.errors import Refused
from workbench.golden import ConsensusRule, GoldenSet, Pair, settle
from workbench.judge_choice import checked_llm
from workbench.judges.keys import key_in
from workbench.policy import Policy
from workbench.run_plan import COUNTED_CALLS, key_variable
from workbench.synthesis import messages, plan_calls, plan_cells
from workbench.synthesis_recipe import SyntheticPool
from workbench.synthesis_run import SynthesisInput
from workbench.token_count import count_tokens
from workbench.trial_plan import calls_cost


@dataclass(frozen=True)
class Synthesis:
    """What a job needs to have its pool written."""

    given: SynthesisInput
    seeds: tuple[Pair, ...]
    holdout: Holdout


@dataclass(frozen=True)
class WritingBill:
    """What the model that writes would be sent, at most: replies in the verdict cache are not deducted."""

    calls: int
    input_tokens: int
    output_tokens: int  # expected: pairs as long as the seeds
    cost_usd: float | None  # None: unknown
    cost_unknown: str
    key_missing: str  # environment variable that it needs and that is not set


def plan_synthesis(
    policy: Policy,
    pool: SyntheticPool,
    dev: GoldenSet,
    snapshot: GoldenSet,
    consensus: ConsensusRule,
    *,
    without: Collection[str],
    holdout: Holdout,
) -> Synthesis:
    """Return which cells are asked for after which seeds.

    Args:
        dev: the dev pairs of ``snapshot`` that are like none of a holdout, and their labels.
        without: ids of queries that no seed may have: those of the probes.

    Raises:
        Refused: where no seed is left.
        NotFound, BadInput: for a cell that the policy does not have, or a model that cannot be used.
    """
    model = checked_llm(pool.model)
    seeds = tuple(pair for pair in dev.pairs if pair.query_id not in without)
    if not seeds:
        raise Refused(
            f"{snapshot.label} has no dev pair that could be a seed and is no probe.",
            "Lower 'probes' in the recipe, or name a golden set with other dev pairs.",
        )
    ids = [pair.id for pair in dev.pairs]
    settled = {key: settle(dev.labels, key, ids, consensus) for key in policy.keys}
    quotas = plan_cells(policy, pool, settled)
    given = SynthesisInput(model=model, quotas=quotas, seeds=snapshot.label, seeds_hash=snapshot.content_hash)
    return Synthesis(given, seeds, holdout)


def stand_ins(synthesis: Synthesis) -> list[Pair]:
    """Return pairs as long as those that will be written, about which no answer can be in the verdict cache."""
    return sorted(
        (
            Pair(query={name: f"{text} …" for name, text in pair.query.items()}, document=pair.document)
            for pair in synthesis.seeds
        ),
        key=lambda pair: pair.id,
    )


def writing_bill(policy: Policy, pool: SyntheticPool, synthesis: Synthesis, seed: int) -> WritingBill:
    """Return what having the pool written takes; the first calls are counted, the others taken to be like them.

    Raises:
        Unavailable: if the tokenizer or the price list is missing.
    """
    calls = plan_calls(synthesis.given.quotas, pool, synthesis.seeds, seed)
    counted = calls[:: max(1, len(calls) // COUNTED_CALLS)]
    sizes = [
        sum(count_tokens(message["content"]) for message in messages(policy, call, synthesis.seeds))
        for call in counted
    ]
    shown = synthesis.seeds[:COUNTED_CALLS]
    length = sum(
        count_tokens("\n".join((*pair.query.values(), *pair.document.values()))) for pair in shown
    ) / len(shown)
    sent = round(sum(sizes) * len(calls) / len(counted))
    answered = round(length * pool.count)
    cost, unknown = calls_cost(synthesis.given.model, len(calls), sent, answered, max(sizes))
    variable, needed = key_variable(synthesis.given.model)
    missing = variable if needed and not key_in(variable) else ""
    return WritingBill(len(calls), sent, answered, cost, unknown, missing)
