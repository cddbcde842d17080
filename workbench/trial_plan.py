"""What a trial of a draft would take, known before anything is sent: which judge, calls, tokens, cost, the key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench.evaluation import checked_llm
from workbench.golden import Pair
from workbench.identity import content_hash
from workbench.judges.cache import VerdictCache, verdict_key
from workbench.judges.keys import key_in
from workbench.judges.llm import LlmJudge
from workbench.policy import Body
from workbench.prices import ModelPrice, model_price
from workbench.prompt import pair_text, system_prompt
from workbench.prompt_costs import answer_tokens, prompt_tokens
from workbench.run import BaselineSpec, CheckpointSpec, JudgeSpec, LlmSpec
from workbench.run_plan import key_variable
from workbench.store import Draft
from workbench.token_count import count_tokens
from workbench.trial_pairs import checked_pairs
from workbench.workspace import Workspace


@dataclass(frozen=True)
class TrialPlan:
    """What is known of a trial before it starts. Tokens and cost are of the calls left to make."""

    pairs: int
    sides: int  # 2 with a published version, else 1
    sends: bool = False  # a judge of our own sends nothing
    calls: int = 0
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


@dataclass(frozen=True)
class _Side:
    """One policy's calls that are left, and their input."""

    calls: int
    longest: int  # input tokens of the longest call
    input_tokens: int


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
    mark = _changed(workspace.cache_folder / "verdicts.sqlite")
    texts = tuple(pair.model_dump_json() for pair in pairs)
    found = [
        _side(workspace.cache_folder, mark, judge.model_dump_json(), side.model_dump_json(), texts)
        for side in sides
    ]
    calls = sum(side.calls for side in found)
    store = workspace.store
    answer = answer_tokens(store, draft.body, store.runs(), judge.model, judge.base_url or "")
    sent = sum(side.input_tokens for side in found)
    answered = round(calls * answer.tokens)
    cost, reason = _cost(judge, calls, sent, answered, max(side.longest for side in found))
    variable, needed = key_variable(judge)
    return TrialPlan(
        len(pairs),
        len(sides),
        sends=True,
        calls=calls,
        cached=len(pairs) * len(sides) - calls,
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
        spec = LlmSpec.model_validate(judge)
        same = content_hash("asked", spec.model_dump(include={"model", "base_url", "api_key_env", "params"}))
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


def _cost(judge: LlmSpec, calls: int, sent: int, answered: int, longest: int) -> tuple[float | None, str]:
    """Return the cost, or None and why it is unknown."""
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


def _changed(path: Path) -> tuple[int, ...]:
    """Return a mark that differs when the verdict cache was written to (its log counts: it is the newer half)."""
    files = (path, path.with_name(path.name + "-wal"))
    return tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)


@lru_cache(maxsize=64)
def _side(
    folder: Path, mark: tuple[int, ...], judge_json: str, body_json: str, pairs_json: tuple[str, ...]
) -> _Side:
    """Return what is left to ask under one policy; ``mark`` says when to look into the cache again."""
    judge = LlmSpec.model_validate_json(judge_json)
    body = Body.model_validate_json(body_json)
    texts = [pair_text(body, Pair.model_validate_json(pair)) for pair in pairs_json]
    path = folder / "verdicts.sqlite"
    if path.exists():
        prompt = system_prompt(body)
        cache = VerdictCache(path)
        try:
            texts = [text for text in texts if cache.get(_key(judge, prompt, text)) is None]
        finally:
            cache.close()
    system = prompt_tokens(body).total if texts else 0
    sizes = [system + count_tokens(text) for text in texts]
    return _Side(len(sizes), max(sizes, default=0), sum(sizes))


def _key(judge: LlmSpec, prompt: str, text: str) -> str:
    """Return the key under which the judge will look for its answer."""
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": text}]
    params = _key_params(judge.model_dump_json())
    return verdict_key(messages=messages, model=judge.model.strip(), params=params, repeat=judge.repeat)


@lru_cache(maxsize=16)
def _key_params(judge_json: str) -> dict[str, Any]:
    judge = LlmSpec.model_validate_json(judge_json)
    same = LlmJudge(judge.model, base_url=judge.base_url, params=judge.params)
    # The identity's template is its own record of the words that the messages hold.
    return {name: value for name, value in same.identity.params.items() if name != "template"}
