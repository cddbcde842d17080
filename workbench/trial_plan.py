"""What a trial of a draft would take, known before anything is sent: which judge, calls, tokens, cost, the key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.golden import Pair
from workbench.identity import content_hash
from workbench.judge_choice import checked_llm
from workbench.judge_plan import answers
from workbench.judges.keys import key_in
from workbench.policy import Body
from workbench.prices import ModelPrice, model_price
from workbench.prompt_costs import answer_tokens
from workbench.run import BaselineSpec, CheckpointSpec, JudgeSpec, LlmSpec
from workbench.run_plan import calls_left, key_variable
from workbench.store import Draft
from workbench.trial_pairs import checked_pairs
from workbench.workspace import Workspace


@dataclass(frozen=True)
class TrialPlan:
    """What is known of a trial before it starts. Tokens and cost are of the calls left to make."""

    pairs: int
    sides: int  # 2 with a published version, else 1
    sends: bool = False  # a judge of our own sends nothing
    calls: int = 0
    questions: int = 0  # answers that are needed, known or not
    cached: int = 0  # answers that were paid for before, by a run or a trial
    input_tokens: int = 0
    output_tokens: int = 0  # expected
    answers_from: str = ""  # where the length of an answer is known from
    cost_usd: float | None = (
        None  # None is unknown; at list prices, nothing saved by the provider's prompt cache
    )
    cost_reason: str = ""  # why it is unknown
    key_variable: str = ""  # environment variable of the key; "" where no key is sent
    key_set: bool = False
    key_needed: bool = False  # the trial cannot work without it; else the provider may find its key elsewhere


def plan_trial(workspace: Workspace, draft: Draft, judge: JudgeSpec, pairs: Sequence[Pair]) -> TrialPlan:
    """Return what trying ``draft`` on ``pairs`` would take. Nothing is sent.

    Raises:
        BadInput: for a judge that cannot be run, or pairs that cannot be graded.
        Refused: for a pair of the holdout.
        Unavailable: if the tokenizer or the price list is missing.
    """
    pairs = checked_pairs(workspace, draft.name, draft.body.pair, pairs)
    sides: list[Body] = [draft.body]
    if draft.base_version:
        sides.append(workspace.store.policy(draft.name, draft.base_version).body())
    if not isinstance(judge, LlmSpec):
        return TrialPlan(len(pairs), len(sides))
    judge = checked_llm(judge)
    found = [calls_left(workspace.cache_folder, one, side, pairs) for side in sides for one in answers(judge)]
    calls = sum(side.calls for side in found)
    store = workspace.store
    answer = answer_tokens(store, draft.body, store.runs(), judge.model, judge.base_url or "")
    sent = sum(side.input_tokens for side in found)
    answered = round(sum(side.answers for side in found) * answer.tokens)
    cost, reason = calls_cost(judge, calls, sent, answered, max(side.longest for side in found))
    variable, needed = key_variable(judge)
    return TrialPlan(
        len(pairs),
        len(sides),
        sends=True,
        calls=calls,
        questions=sum(side.questions for side in found),
        cached=sum(side.known for side in found),
        input_tokens=sent,
        output_tokens=answered,
        answers_from=answer.source,
        cost_usd=cost,
        cost_reason=reason,
        key_variable=variable,
        key_set=bool(variable and key_in(variable)),
        key_needed=needed,
    )


def judges_used(workspace: Workspace) -> list[LlmSpec]:
    """Return the language models that runs and trials of this workspace asked, the one used last first.

    One that was asked with several repeat indices comes with the lowest: its answers are the ones to find again.
    """
    found: dict[str, LlmSpec] = {}
    for job in workspace.store.jobs():
        judge = job.spec.payload.get("judge")
        if not isinstance(judge, dict) or judge.get("kind") != "llm":
            continue
        # Whoever tries a draft waits for it, so that it never goes through a batch.
        spec = LlmSpec.model_validate(judge).model_copy(update={"delivery": "calls"})
        same = content_hash(
            "asked",
            spec.model_dump(include={"model", "base_url", "api_key_env", "params", "mode", "repeats"}),
        )
        if same not in found:
            found[same] = spec
        elif spec.repeat < found[same].repeat:
            found[same] = found[same].model_copy(update={"repeat": spec.repeat})
    return list(found.values())


def cautions(workspace: Workspace, judge: JudgeSpec, golden: str) -> list[str]:
    """Return what has to be known to read a trial by this judge, in sentences."""
    if isinstance(judge, BaselineSpec):
        return [
            "The baseline reads no rule: an edit of words hardly moves it. It learns from dev labels and grades each "
            "pair by a model that saw no label of that pair's query."
        ]
    if not isinstance(judge, CheckpointSpec):
        return []
    record = workspace.store.checkpoint(judge.checkpoint).record
    said = ["A checkpoint reads no rule: an edit moves it only where levels or the overall rule change."]
    learnt = record["lineage"]["golden"]
    if learnt.rpartition(" v")[0] == golden:
        said.append(f"It was trained on dev labels of {learnt}: its agreement with them is no test.")
    return said


def calls_cost(
    judge: LlmSpec, calls: int, sent: int, answered: int, longest: int
) -> tuple[float | None, str]:
    """Return the cost of some calls at list prices, or None and why it is unknown.

    Args:
        sent, answered: tokens of all calls.
        longest: tokens of the longest one, beyond which some models cost more.
    """
    if calls == 0:
        return 0.0, ""
    if judge.base_url:
        return None, "what a server of your own costs is not known here"
    price: ModelPrice | None = model_price(judge.model)
    if price is None or price.input is None or price.output is None:
        return None, f"the price list does not have {judge.model}"
    if price.dearer_above is not None and longest > price.dearer_above:
        return None, f"{judge.model} has other prices above {price.dearer_above:,} tokens of input"
    return sent * price.input + answered * price.output, ""
