"""What a policy's prompt weighs and costs: tokens by part, and for each judge the cost of 1,000 pairs.

A pair is one call: the system prompt (the policy), the pair, and the answer. Providers that cache prompts charge
the system prompt in full once and less for each call that begins with the same text, which is what the policy being
first in the prompt is for. What is not known (a price, a context window) is None with a reason, never 0.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from workbench.policy import Body, Layout
from workbench.prices import ModelPrice, model_price
from workbench.prompt import NA, pair_text
from workbench.prompt_parts import prompt_parts
from workbench.run import Run
from workbench.store import Store
from workbench.token_count import count_tokens
from workbench.workspace import Workspace

PAIRS = 1000
"""Pairs that a cost is given for."""
SAMPLED_PAIRS = 200
"""Dev pairs whose text is counted; the others are taken to be as long on average."""
SHORTEST_CACHED = 1024
"""Tokens from which OpenAI and Anthropic cache a prompt, where the price list gives a model no limit of its own."""
ASSUMPTION = (
    "With caching: the first of 1,000 calls writes the system prompt to the provider's cache and the other 999 read "
    "it; pairs and answers are charged in full. Calls in flight at the same moment, or further apart than the "
    "provider keeps its cache, read less."
)
_REASON = (
    "The profile shows three years with the tool that the posting asks for, in a role of the same kind. "
    "Nothing in either text speaks against it, so the rule for a match in full decides."
)


@dataclass(frozen=True)
class PartTokens:
    """Tokens of one part of the prompt; ``before`` is what it has in the base, 0 where it is not there."""

    section: str
    item: str
    tokens: int
    before: int


@dataclass(frozen=True)
class PromptTokens:
    """Tokens of the system prompt by part, in its order; parts that only the base has come last, with 0 tokens."""

    parts: tuple[PartTokens, ...]

    @property
    def total(self) -> int:
        """Tokens of the system prompt."""
        return sum(part.tokens for part in self.parts)

    @property
    def change(self) -> int:
        """How many more tokens it has than the base."""
        return sum(part.tokens - part.before for part in self.parts)


@dataclass(frozen=True)
class PairTokens:
    """Tokens of the user message: over a sample of the dev pairs of a golden set."""

    golden: str
    pairs: int  # sampled
    mean: float
    most: int
    example: str  # id of the sampled pair that is nearest to the mean


@dataclass(frozen=True)
class AnswerTokens:
    """Tokens that an answer is expected to have, and from where that is known."""

    tokens: float
    source: str
    estimated: bool


@dataclass(frozen=True)
class JudgeCost:
    """What a judge costs for ``PAIRS`` pairs in USD; None where something is unknown, and ``unknown`` says what."""

    model: str
    endpoint: str  # address of an own server; "" for a provider
    answer: AnswerTokens
    plain_usd: float | None
    cached_usd: float | None
    unknown: str
    cache_note: str
    largest_input: int | None  # tokens of the prompt with the longest sampled pair; None without a pair
    context: int | None  # tokens of input that the model takes

    @property
    def saved(self) -> float | None:
        """Share of the cost that prefix caching saves."""
        if self.plain_usd is None or self.cached_usd is None:
            return None
        return 1 - self.cached_usd / self.plain_usd

    @property
    def fits(self) -> bool | None:
        """Whether the prompt with the longest sampled pair fits the model's context window; None if unknown."""
        return (
            None if self.context is None or self.largest_input is None else self.largest_input <= self.context
        )


def prompt_tokens(body: Body, base: Body | None = None) -> PromptTokens:
    """Return the tokens of the system prompt of ``body`` by part, beside those of ``base``.

    A clause that was edited is counted, the others are remembered.

    Raises:
        Unavailable: if the tokenizer is not there.
    """
    mine, before = _counted(body), _counted(base) if base is not None else {}
    parts = [PartTokens(*place, tokens, before.get(place, 0)) for place, tokens in mine.items()]
    gone = [PartTokens(*place, 0, tokens) for place, tokens in before.items() if place not in mine]
    return PromptTokens((*parts, *gone))


def _counted(body: Body) -> dict[tuple[str, str], int]:
    tokens: dict[tuple[str, str], int] = {}
    for part in prompt_parts(body):
        place = (part.section, part.item)
        tokens[place] = tokens.get(place, 0) + count_tokens(part.text)
    return tokens


def golden_sets(workspace: Workspace, policy: str) -> tuple[str, ...]:
    """Return the names of a policy's golden sets, in order."""
    store = workspace.store
    return tuple(name for name in store.golden_names() if _policy_of(store, name) == policy)


@lru_cache(maxsize=256)
def _policy_of(store: Store, golden: str) -> str:
    return store.golden(golden).policy  # fixed when a set is made


def pair_tokens(workspace: Workspace, golden: str, body: Body) -> PairTokens | None:
    """Return the tokens of an average pair as ``body`` lays it out; None for a set without dev pairs."""
    _, total = workspace.store.member_page(golden, "dev", 0, 1)
    return _pair_tokens(workspace.store, golden, total, _Form(body.pair, body)) if total else None


@dataclass(frozen=True)
class _Form:
    """A policy by what the message of a pair takes from it: the layout."""

    layout: Layout
    body: Body = field(compare=False)


@lru_cache(maxsize=32)
def _pair_tokens(store: Store, golden: str, total: int, form: _Form) -> PairTokens:
    members = store.members(golden)
    # Ids are content hashes, so the first ones in their order are a random sample, the same one at each call.
    ids = sorted(members["pair_id"][members["split"] == "dev"])[:SAMPLED_PAIRS]
    counts = {pair_id: count_tokens(pair_text(form.body, pair)) for pair_id, pair in store.pairs(ids).items()}
    mean = sum(counts.values()) / len(counts)
    example = min(ids, key=lambda pair_id: abs(counts[pair_id] - mean))
    return PairTokens(golden, len(counts), mean, max(counts.values()), example)


def judges(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Return (model, endpoint) of the language models that graded ``runs``, in that order, each once."""
    found = [_named(run) for run in runs if run.judge.is_model and run.status == "finished"]
    return list(dict.fromkeys(found))


def _named(run: Run) -> tuple[str, str]:
    # Until a run has finished, its record does not say which server it asks.
    return run.judge.name, str(run.judge.params.get("endpoint", ""))


def answer_tokens(
    store: Store, body: Body, runs: Sequence[Run], model: str, endpoint: str = ""
) -> AnswerTokens:
    """Return how long an answer of a judge is expected to be.

    From the first of ``runs`` by this judge that says it, else from the first by any language model, each scaled to
    the number of dimensions of ``body``; else an estimate from the form of the reply.

    Args:
        runs: newest first.
    """
    known = [
        run
        for run in runs
        if run.judge.is_model and run.status == "finished" and run.totals.calls and run.totals.output_tokens
    ]
    mine = [run for run in known if _named(run) == (model, endpoint)]
    if not known:
        source = "estimated from the form of the answer, two sentences a dimension"
        return AnswerTokens(_specimen(body), source, estimated=True)
    run = (mine or known)[0]
    each = run.totals.output_tokens / run.totals.calls / _dimensions(store, run.policy, run.policy_version)
    source = f"as in {'its' if mine else f'the {run.judge.name}'} run of {run.created_at:%d %b %Y}"
    return AnswerTokens(each * len(body.dimensions), source, estimated=not mine)


@lru_cache(maxsize=256)
def _dimensions(store: Store, policy: str, version: int) -> int:
    return len(store.policy(policy, version).dimensions)


def _specimen(body: Body) -> int:
    """Count an answer of the form that is asked for: two sentences, one or two rules and a grade a dimension."""
    answers = {
        dimension.key: {
            "reason": _REASON,
            "cites": [clause.id for clause in dimension.clauses[:2]] or ["general.1"],
            "grade": dimension.scale[-1] if not dimension.allow_na else NA,
        }
        for dimension in body.dimensions
    }
    return count_tokens(json.dumps(answers, indent=1))


def judge_cost(
    model: str, system_tokens: int, pair: PairTokens | None, answer: AnswerTokens, *, endpoint: str = ""
) -> JudgeCost:
    """Return what ``PAIRS`` pairs cost by a judge, without and with the provider's cache of prompts.

    Args:
        system_tokens: tokens of the system prompt.
        pair: of the user message; without it the cost is unknown.
        endpoint: address of an own server, whose price nobody here knows.

    Raises:
        Unavailable: if the price list is not there.
    """
    price = None if endpoint else model_price(model)
    largest = system_tokens + pair.most if pair else None
    plain, cached, unknown = _costs(price, system_tokens, pair, answer.tokens, endpoint)
    return JudgeCost(
        model=model,
        endpoint=endpoint,
        answer=answer,
        plain_usd=plain,
        cached_usd=cached,
        unknown=unknown,
        cache_note=_cache_note(price, system_tokens),
        largest_input=largest,
        context=price.max_input_tokens if price else None,
    )


def _costs(
    price: ModelPrice | None, system: int, pair: PairTokens | None, answer: float, endpoint: str
) -> tuple[float | None, float | None, str]:
    if endpoint:
        return None, None, "an own server has no list price"
    if price is None:
        return (
            None,
            None,
            "not in the price list; write it as the provider names it, such as openai/gpt-5-mini",
        )
    if price.input is None or price.output is None:
        return None, None, "the price list gives no price for it"
    if pair is None:
        return None, None, "there is no dev pair to measure"
    if price.dearer_above is not None and system + pair.most > price.dearer_above:
        return None, None, f"other prices hold above {price.dearer_above:,} tokens of input"
    each = pair.mean * price.input + answer * price.output
    plain = PAIRS * (system * price.input + each)
    if not price.caches_prompts or system < _shortest_cached(price):
        return plain, plain, ""
    if price.cached_input is None:
        return plain, None, "the price list gives no price for cached input"
    written = system * (price.cache_write or price.input)
    return plain, PAIRS * each + written + (PAIRS - 1) * system * price.cached_input, ""


def _shortest_cached(price: ModelPrice) -> int:
    return price.min_cached_tokens or SHORTEST_CACHED


def _cache_note(price: ModelPrice | None, system: int) -> str:
    if price is None:
        return ""
    if not price.caches_prompts:
        return "the price list knows of no prompt caching"
    if system < _shortest_cached(price):
        return f"too short to be cached: {_shortest_cached(price):,} tokens are needed"
    if price.provider.startswith("bedrock") and "claude" not in price.name:
        return "this provider caches only what a request marks, and judge runs mark it for Claude alone"
    return ""


def example_message(workspace: Workspace, body: Body, pair: PairTokens) -> str:
    """Return the user message of the sampled pair that is of average length."""
    return pair_text(body, workspace.store.pairs([pair.example])[pair.example])
