"""What the language models of a judge would be sent about the pool of a data set, and what that costs."""

from __future__ import annotations

from typing import Any

from workbench.dataset_inputs import Prepared
from workbench.golden import Pair
from workbench.judge_choice import models_of
from workbench.judge_plan import answers
from workbench.judges.batch_rules import BATCH_SHARE
from workbench.judges.keys import key_in
from workbench.policy import Body
from workbench.prompt_costs import answer_tokens
from workbench.run import LlmSpec
from workbench.run_plan import CHECKED_PAIRS, CallsLeft, calls_left, key_variable
from workbench.synthesis_plan import stand_ins
from workbench.trial_plan import calls_cost
from workbench.workspace import Workspace


def judge_bill(workspace: Workspace, prepared: Prepared, count: int) -> dict[str, Any]:
    """Return what the language models of a judge would be sent about ``count`` pairs, as fields of a plan; {} where
    there is none."""
    pairs = stand_ins(prepared.synthesis) if prepared.synthesis else prepared.pairs
    sample = pairs[:CHECKED_PAIRS]  # ordered by ids, which are hashes: a sample by chance
    share = count / len(sample)
    calls = known = sent = answered = 0
    cost, unknown, missing = 0.0, "", []
    models = list(models_of(prepared.judge))
    body = prepared.policy.body()
    for model in models:
        variable, needed = key_variable(model)
        if needed and not key_in(variable):
            missing.append(variable)
        for one in answers(model):
            left, said = _left(workspace, one, body, sample)
            mine = round(left.calls * share), round(left.input_tokens * share), round(said * share)
            calls, sent, answered = calls + mine[0], sent + mine[1], answered + mine[2]
            known += round(left.known * share)
            usd, reason = calls_cost(one, *mine, left.longest)
            unknown = unknown or reason
            cost += (usd or 0.0) * (BATCH_SHARE if model.delivery == "batch" else 1.0)
    if not models:
        return {}
    return {
        "calls": calls,
        "known": known,
        "estimated": len(sample) < len(pairs) or prepared.synthesis is not None,
        "input_tokens": sent,
        "output_tokens": answered,
        "cost_usd": None if unknown else cost,
        "cost_unknown": unknown,
        "keys_missing": tuple(dict.fromkeys(missing)),
    }


def _left(workspace: Workspace, model: LlmSpec, body: Body, pairs: list[Pair]) -> tuple[CallsLeft, float]:
    left = calls_left(workspace.cache_folder, model, body, pairs)
    length = answer_tokens(workspace.store, body, workspace.store.runs(), model.model, model.base_url or "")
    return left, left.answers * length.tokens
