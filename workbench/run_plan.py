"""What a judge run would send, known before it is started: calls, answers that are known, tokens, cost, time, the key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench.golden import Pair
from workbench.judge_choice import checked_llm
from workbench.judges.batch_rules import BATCH_SHARE, WITHIN
from workbench.judges.cache import QuestionKeys, VerdictCache
from workbench.judges.keys import key_in
from workbench.judges.llm import LlmJudge
from workbench.policy import Body
from workbench.prices import model_price
from workbench.prompt import pair_text, system_prompt
from workbench.prompt_costs import PAIRS, AnswerTokens, JudgeCost, PairTokens, answer_tokens, judge_cost
from workbench.prompt_modes import Question, grouped, questions
from workbench.prompt_sheet import Sheet
from workbench.run import JudgeSpec, LlmSpec, Run
from workbench.store import Store
from workbench.token_count import count_tokens
from workbench.workspace import Workspace

CHARACTERS_A_TOKEN = 4
"""A rule of thumb for English; tokenizers differ."""
CHECKED_PAIRS = 2000
"""Pairs of a run that are looked up in the verdict cache; the others are taken to be like them."""
COUNTED_CALLS = 200
"""Calls whose tokens are counted; the others are taken to be as long on average."""
SECONDS_A_CALL = 5.0
"""What a call is taken to last where no run of the judge says it: a long prompt and some hundred tokens of answer."""


@dataclass(frozen=True)
class RunPlan:
    """What is known of a run before it starts; a judge of our own sends nothing.

    Calls, tokens, costs and time are of what is left to ask: answers in the verdict cache are deducted. A cost that
    is unknown is None, never 0.
    """

    pairs: int
    dev_pairs: int
    sends: bool
    prompt_characters: int = 0  # of the system message: the policy, the same in every call
    pair_characters: int = 0  # of the user message, on average
    key_variable: str = ""  # environment variable of the key; "" where no key is sent
    key_set: bool = False
    key_needed: bool = (
        False  # the run cannot work without it; else the provider may take its key from elsewhere
    )
    priced_by: Run | None = None  # the newest run of this judge with a known cost
    cost_usd: float | None = None  # at what a call cost in that run
    checked: int = 0  # pairs that were looked up; fewer than ``pairs``: calls, known and tokens are estimates
    calls: int = 0
    known: int = 0  # answers in the verdict cache
    prompt_tokens: int = 0  # of the system message of a call, on average
    input_tokens: int = 0  # of all calls
    output_tokens: int = 0  # expected
    answers_from: str = ""  # where the length of an answer is known from
    plain_usd: float | None = None  # at list prices, nothing saved by the provider's prompt cache
    cached_usd: float | None = None  # at list prices, with that cache
    cost_unknown: str = ""  # why a cost at list prices is unknown
    seconds: float | None = None  # None of a batch: ``time_from`` says how long at most
    time_from: str = ""  # where the time is known from


@dataclass(frozen=True)
class CallsLeft:
    """What a language model is still to be asked about some pairs; answers in the verdict cache are left out."""

    questions: int  # a pair under the dimensions that are asked together
    known: int
    answers: float  # left, in answers about a whole pair: one of two dimensions is half of one
    calls: int
    input_tokens: int
    longest: int  # input tokens of the longest call that was counted
    system_tokens: int  # of a call, on average
    prefixes: int  # different system messages


def run_plan(
    workspace: Workspace,
    judge: JudgeSpec,
    *,
    policy: str,
    version: int | None = None,
    golden: str,
    golden_version: int | None = None,
) -> RunPlan:
    """Return what starting ``judge`` would send. Nothing is sent.

    In a set of more than ``CHECKED_PAIRS`` pairs, so many are looked up in the verdict cache, chosen by their ids
    (which are hashes, so by chance), and the rest is taken to be like them.

    Raises:
        NotFound: for a policy version or golden set that does not exist.
        BadInput: for a judge that cannot be run.
        Unavailable: if the tokenizer or the price list is missing, or the verdict cache cannot be used.
    """
    store = workspace.store
    document = store.policy(policy, version)
    number = golden_version or max(store.golden(golden).snapshots, default=None)
    pairs, dev, prompt, text, sample = _sizes(store, policy, document.version, golden, number)
    if not isinstance(judge, LlmSpec):
        return RunPlan(pairs, dev, sends=False)
    judge = checked_llm(judge)
    variable, needed = key_variable(judge)
    found = calls_left(workspace.cache_folder, judge, document.body(), sample)
    share = pairs / len(sample) if sample else 0.0
    calls = round(found.calls * share)
    runs = store.runs()
    answer = answer_tokens(store, document.body(), _alike(judge, runs), judge.model, judge.base_url or "")
    answered = found.answers * share * answer.tokens
    cost = judge_cost(
        judge.model,
        found.system_tokens,
        _user_tokens(golden, found),
        AnswerTokens(answered / max(calls, 1), answer.source, answer.estimated),
        endpoint=judge.base_url or "",
    )
    plain, cached = _costs(cost, judge, found, calls)
    priced = _priced(runs, judge)
    each = _cost_a_call(priced, judge) if priced else None
    sent = round(found.input_tokens * share)
    seconds, source = _time(runs, judge, calls, sent + round(answered))
    return RunPlan(
        pairs,
        dev,
        sends=True,
        prompt_characters=prompt,
        pair_characters=text,
        key_variable=variable,
        key_set=bool(variable and key_in(variable)),
        key_needed=needed,
        priced_by=priced,
        cost_usd=None if each is None else calls * each,
        checked=len(sample),
        calls=calls,
        known=round(found.known * share),
        prompt_tokens=found.system_tokens,
        input_tokens=sent,
        output_tokens=round(answered),
        answers_from=answer.source,
        plain_usd=plain,
        cached_usd=cached,
        cost_unknown=cost.unknown if calls else "",
        seconds=seconds,
        time_from=source,
    )


def calls_left(cache_folder: Path, judge: LlmSpec, body: Body, pairs: Sequence[Pair]) -> CallsLeft:
    """Return what ``judge`` is still to be asked about ``pairs`` under ``body``.

    The tokens of ``COUNTED_CALLS`` calls are counted; where there are more, their sum is scaled up.

    Raises:
        Unavailable: if the tokenizer is missing, or the verdict cache cannot be used.
    """
    mark = _changed(cache_folder / "verdicts.sqlite")
    texts = tuple(pair.model_dump_json() for pair in pairs)
    return _calls_left(cache_folder, mark, judge.model_dump_json(), body.model_dump_json(), texts)


def _changed(path: Path) -> tuple[int, ...]:
    """Return a mark that differs when the verdict cache was written to (its log counts: it is the newer half)."""
    files = (path, path.with_name(path.name + "-wal"))
    return tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)


@lru_cache(maxsize=16)
def _calls_left(
    folder: Path, mark: tuple[int, ...], judge_json: str, body_json: str, pairs_json: tuple[str, ...]
) -> CallsLeft:
    """Do the work of :func:`calls_left`; ``mark`` says when to look into the cache again."""
    judge = LlmSpec.model_validate_json(judge_json)
    body = Body.model_validate_json(body_json)
    pairs = [Pair.model_validate_json(pair) for pair in pairs_json]
    asked = list(questions(body, pairs, judge.mode, repeat=judge.repeat))
    left = _unanswered(folder / "verdicts.sqlite", judge, asked)
    requests = list(grouped(left))
    counted = requests[:COUNTED_CALLS]
    systems = [count_tokens(request.sheet.system) for request in counted]
    sizes = [
        system + count_tokens(request.messages[1]["content"])
        for system, request in zip(systems, counted, strict=True)
    ]
    number = max(len(counted), 1)
    system = round(sum(systems) / number) if counted else count_tokens(system_prompt(body))
    return CallsLeft(
        questions=len(asked),
        known=len(asked) - len(left),
        answers=sum(len(question.dimensions) for question in left) / len(body.keys),
        calls=len(requests),
        input_tokens=round(sum(sizes) * len(requests) / number),
        longest=max(sizes, default=0),
        system_tokens=system,
        prefixes=len({question.sheet.system for question in left}),
    )


def _unanswered(path: Path, judge: LlmSpec, asked: list[Question]) -> list[Question]:
    if not path.exists():
        return asked
    same = LlmJudge(judge.model, base_url=judge.base_url, params=judge.params)
    # The identity's template is its own record of the words that the messages hold.
    params = {name: value for name, value in same.identity.params.items() if name != "template"}
    keys: dict[Sheet, QuestionKeys] = {}
    cache = VerdictCache(path)

    def known(question: Question) -> bool:
        sheet = question.sheet
        if sheet not in keys:
            own: dict[str, Any] = params | sheet.key_params
            keys[sheet] = QuestionKeys(
                system=sheet.system, model=same.identity.name, params=own, repeat=judge.repeat
            )
        return cache.get(keys[sheet].key(question.user)) is not None

    try:
        return [question for question in asked if not known(question)]
    finally:
        cache.close()


def _user_tokens(golden: str, found: CallsLeft) -> PairTokens:
    mean = found.input_tokens / max(found.calls, 1) - found.system_tokens if found.calls else 0.0
    return PairTokens(golden, found.calls, mean, max(found.longest - found.system_tokens, 0), "")


def _costs(
    cost: JudgeCost, judge: LlmSpec, found: CallsLeft, calls: int
) -> tuple[float | None, float | None]:
    """Return the cost of ``calls`` without and with the provider's prompt cache.

    Calls that go out in the first moment write the cache, as does the first of each system message; the others read.
    A batch has its own price, and the cache is not counted on there.
    """
    if calls == 0:
        return 0.0, 0.0
    if cost.plain_usd is None:
        return None, None
    plain = cost.plain_usd * calls / PAIRS
    if judge.delivery == "batch":
        return plain * BATCH_SHARE, plain * BATCH_SHARE
    if cost.cached_usd is None or cost.cached_usd == cost.plain_usd:
        return plain, plain if cost.cached_usd is not None else None
    price = model_price(judge.model)
    if price is None or price.input is None or price.cached_input is None:
        return plain, None
    writes = min(calls, max(judge.concurrency, found.prefixes))
    dearer = (price.cache_write or price.input) - price.input
    cheaper = price.input - price.cached_input
    return plain, plain + found.system_tokens * (writes * dearer - (calls - writes) * cheaper)


def _alike(judge: LlmSpec, runs: Sequence[Run]) -> list[Run]:
    """Return the runs with one answer a call, those asked in the mode of ``judge`` first."""
    modes = {run.id: run.judge.params.get("mode", {}) for run in runs}
    one = [run for run in runs if not {"scope", "pairs_per_call"} & set(modes[run.id])]
    return sorted(one, key=lambda run: bool(modes[run.id] != judge.mode.said()))


def _time(runs: Sequence[Run], judge: LlmSpec, calls: int, tokens: int) -> tuple[float | None, str]:
    """Return how long ``calls`` take, and from where that is known. Of a batch it is known how long at most."""
    if judge.delivery == "batch":
        return (None, WITHIN) if calls else (0.0, "")
    for run in runs:
        same = run.judge.is_model and (run.judge.name, run.status) == (judge.model, "finished")
        there = run.judge.params.get("endpoint", "") == (judge.base_url or "")
        if same and there and not _by_batch(run) and run.totals.calls and run.totals.seconds > 0:
            seconds = calls * run.totals.seconds / run.totals.calls
            source = f"at the rate of its run of {run.created_at:%d %b %Y}"
            break
    else:
        rounds = -(-calls // judge.concurrency)
        seconds = rounds * SECONDS_A_CALL
        source = f"estimated: {judge.concurrency} calls at once, {SECONDS_A_CALL:g} s each"
    least = [
        60 * amount / limit
        for amount, limit in ((calls, judge.requests_per_minute), (tokens, judge.tokens_per_minute))
        if limit
    ]
    if max(least, default=0.0) > seconds:
        return max(least), "as long as the limits a minute make it"
    return seconds, source


def key_variable(judge: LlmSpec) -> tuple[str, bool]:
    """Return the environment variable that the key comes from, and whether the run is bound to need it.

    A server of one's own gets no key unless a variable is named. Where none is named for a provider, its own
    is used; for others than OpenAI the name follows the common form and may differ (cloud accounts).
    """
    if judge.api_key_env:
        return judge.api_key_env, True
    if judge.base_url:
        return "", False
    provider = judge.model.partition("/")[0]
    return f"{provider.upper().replace('-', '_')}_API_KEY", provider == "openai"


def _priced(runs: Sequence[Run], judge: LlmSpec) -> Run | None:
    for run in runs:
        same = run.judge.is_model and run.judge.name == judge.model
        there = run.judge.params.get("endpoint", "") == (judge.base_url or "")
        if same and there and run.totals.calls and run.totals.cost_usd is not None:
            return run
    return None


def _cost_a_call(run: Run, judge: LlmSpec) -> float:
    """Return what a call of ``judge`` costs by what one cost in ``run``, which may have had the other delivery."""
    each = (run.totals.cost_usd or 0.0) / run.totals.calls
    if _by_batch(run) == (judge.delivery == "batch"):
        return each
    return each / BATCH_SHARE if _by_batch(run) else each * BATCH_SHARE


def _by_batch(run: Run) -> bool:
    return run.judge.params.get("delivery") == "batch"


@lru_cache(maxsize=16)
def _sizes(
    store: Store, policy: str, version: int, golden: str, number: int | None
) -> tuple[int, int, int, int, tuple[Pair, ...]]:
    """Return pairs, dev pairs, characters of the system message and of an average pair, and the pairs to look up.

    Versions never change, so this is done once for each.
    """
    document = store.policy(policy, version)
    snapshot = store.snapshot(golden, number)
    chosen = set(sorted(snapshot.splits)[:CHECKED_PAIRS])
    sample = tuple(
        pair for pair_id, pair in zip(snapshot.splits, snapshot.pairs, strict=True) if pair_id in chosen
    )
    measured = sample[:COUNTED_CALLS]
    text = sum(len(pair_text(document, pair)) for pair in measured) // max(len(measured), 1)
    dev = sum(split == "dev" for split in snapshot.splits.values())
    return len(snapshot.pairs), dev, len(system_prompt(document)), text, sample
