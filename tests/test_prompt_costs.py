"""Tokens by part against a base, and costs that follow from prices by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import policy_samples
import pytest
import workspace_samples as samples

from workbench import prompt_costs
from workbench.policy_edit import retire_clause, set_clause
from workbench.prices import ModelPrice
from workbench.prompt import pair_text, system_prompt
from workbench.prompt_costs import (
    AnswerTokens,
    JudgeCost,
    PairTokens,
    PartTokens,
    answer_tokens,
    golden_sets,
    judge_cost,
    judges,
    pair_tokens,
    prompt_tokens,
)
from workbench.run import JudgeIdentity, Run, RunTotals
from workbench.token_count import count_tokens
from workbench.workspace import Workspace

PAIR = PairTokens("tea", pairs=10, mean=500.0, most=900, example="p")
ANSWER = AnswerTokens(100.0, "as in its run", estimated=False)


def price(**changes: Any) -> ModelPrice:
    """Input 1 $, cached 0.1 $, output 4 $ a million tokens."""
    values: dict[str, Any] = {
        "name": "m", "provider": "openai", "input": 1e-6, "cached_input": 1e-7, "cache_write": None, "output": 4e-6,
        "max_input_tokens": 10_000, "caches_prompts": True, "min_cached_tokens": None, "dearer_above": None,
    }  # fmt: skip
    return ModelPrice(**(values | changes))


@pytest.fixture
def cost_at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Cost of a system prompt of so many tokens, at a price."""

    def cost(
        system: int, listed: ModelPrice | None, pair: PairTokens | None = PAIR, **more: Any
    ) -> JudgeCost:
        monkeypatch.setattr(prompt_costs, "model_price", lambda _: listed)
        return judge_cost("m", system, pair, ANSWER, **more)

    return cost


def test_parts_add_up_to_the_prompt_and_an_edit_changes_its_part_only() -> None:
    base = policy_samples.body()
    edited = set_clause(base, "taste.1", "Smoke counts as a taste, and so does the smell of a fire.")
    found = prompt_tokens(edited, base)
    assert found.total == count_tokens(system_prompt(edited))
    moved = [part for part in found.parts if part.tokens != part.before]
    before = count_tokens("- [taste.1] Smoke counts as a taste.\n")
    after = count_tokens("- [taste.1] Smoke counts as a taste, and so does the smell of a fire.\n")
    assert moved == [PartTokens("taste", "taste.1", after, before)]
    assert found.change == after - before > 0


def test_a_part_that_only_the_base_has_comes_last_with_no_tokens() -> None:
    base = policy_samples.body()
    found = prompt_tokens(retire_clause(base, "taste.2"), base)
    gone = count_tokens("- [taste.2] A blend has the taste of its main leaf.\n\n")
    assert found.parts[-1] == PartTokens("taste", "taste.2", 0, gone)
    assert found.total == count_tokens(system_prompt(retire_clause(base, "taste.2")))
    assert found.change == found.total - count_tokens(system_prompt(base)) < 0


def test_without_a_base_everything_is_new() -> None:
    found = prompt_tokens(policy_samples.body())
    assert found.change == found.total


def test_cost_with_and_without_the_cache(cost_at: Any) -> None:
    found = cost_at(2000, price())
    # A call: 2,000 + 500 tokens of input at 1e-6, 100 of output at 4e-6: 0.0025 + 0.0004; a thousand: 2.90.
    assert found.plain_usd == pytest.approx(2.90)
    # The pair and the answer: 1,000 x 0.0009 = 0.90. The policy: once 2,000 x 1e-6 = 0.002, and 999 times
    # 2,000 x 1e-7 = 0.1998. Together 1.1018.
    assert found.cached_usd == pytest.approx(1.1018)
    assert found.saved == pytest.approx(1 - 1.1018 / 2.90)
    assert found.unknown == found.cache_note == ""


def test_writing_to_the_cache_may_cost_more_than_input(cost_at: Any) -> None:
    found = cost_at(2000, price(cache_write=1.25e-6, provider="anthropic"))
    # As above, with the first call's policy at 1.25e-6: 0.0025 in place of 0.002.
    assert found.cached_usd == pytest.approx(1.1023)
    assert found.cache_note == ""  # a judge run marks the policy for Claude
    other = cost_at(2000, price(cache_write=1.25e-6, provider="bedrock_converse"))
    assert "marks, and judge runs mark it for Claude alone" in other.cache_note


def test_the_longest_pair_decides_whether_the_prompt_fits(cost_at: Any) -> None:
    assert cost_at(9_100, price()).fits is True  # 9,100 + 900 = 10,000
    assert cost_at(9_101, price()).fits is False
    assert cost_at(9_101, price(max_input_tokens=None)).fits is None
    assert cost_at(9_101, price(), None).fits is None


@pytest.mark.parametrize(("shortest", "system"), [(None, 1023), (4096, 4095)])
def test_a_prompt_below_the_shortest_prefix_is_not_cached(
    cost_at: Any, shortest: int | None, system: int
) -> None:
    found = cost_at(system, price(min_cached_tokens=shortest))
    assert found.cached_usd == found.plain_usd
    assert found.saved == 0
    assert found.cache_note == f"too short to be cached: {system + 1:,} tokens are needed"
    longer = cost_at(system + 1, price(min_cached_tokens=shortest))
    assert longer.cached_usd < longer.plain_usd


def test_a_model_without_prompt_caching_saves_nothing(cost_at: Any) -> None:
    found = cost_at(2000, price(caches_prompts=False, cached_input=None))
    assert (found.saved, found.cache_note) == (0, "the price list knows of no prompt caching")


@pytest.mark.parametrize(
    ("listed", "more", "reason"),
    [
        (None, {}, "not in the price list"),
        (price(), {"endpoint": "http://127.0.0.1:1/v1"}, "own server"),
        (price(output=None), {}, "no price for it"),
        (price(input=None), {}, "no price for it"),
        (price(), {"pair": None}, "no dev pair"),
        (price(dearer_above=2899), {}, "above 2,899 tokens"),  # 2,000 + 900 = 2,900 tokens at most
    ],
)
def test_what_is_unknown_is_none_and_says_why(
    cost_at: Any, listed: ModelPrice | None, more: dict[str, Any], reason: str
) -> None:
    found = cost_at(2000, listed, **more)
    assert (found.plain_usd, found.cached_usd, found.saved) == (None, None, None)
    assert reason in found.unknown


def test_an_unknown_price_of_the_cache_leaves_the_plain_cost(cost_at: Any) -> None:
    found = cost_at(2000, price(cached_input=None))
    assert found.plain_usd == pytest.approx(2.90)
    assert (found.cached_usd, found.saved) == (None, None)
    assert "cached input" in found.unknown


def run(number: int, model: str, *, kind: str = "llm", status: str = "finished", **totals: Any) -> Run:
    """A run that is ``number`` days older than the newest; 10 calls with 400 tokens of output."""
    made = datetime(2026, 5, 9, tzinfo=UTC) - timedelta(days=number)
    params = {"endpoint": totals.pop("endpoint")} if "endpoint" in totals else {}
    return Run(
        id=f"r{number}", judge=JudgeIdentity(kind=kind, name=model, params=params), policy="tea-match",  # type: ignore[arg-type]
        policy_version=1, policy_hash="h", golden="tea", golden_version=1, golden_hash="g", status=status,  # type: ignore[arg-type]
        created_at=made, totals=RunTotals(**({"calls": 10, "output_tokens": 400} | totals)),
    )  # fmt: skip


def test_judges_are_the_language_models_of_finished_runs_each_once() -> None:
    runs = [
        run(0, "a/b"), run(1, "a/c"), run(2, "a/b"), run(3, "baseline", kind="baseline"),
        run(4, "a/d", status="failed"), run(5, "a/b", endpoint="http://one"),
    ]  # fmt: skip
    assert judges(runs) == [("a/b", ""), ("a/c", ""), ("a/b", "http://one")]


def test_answers_are_as_long_as_in_the_newest_run_of_that_judge(workspace: Workspace) -> None:
    body = policy_samples.body()  # two dimensions, as in the version that the runs were under
    runs = [run(0, "a/c", output_tokens=900), run(1, "a/b"), run(2, "a/b", output_tokens=10)]
    found = answer_tokens(workspace.store, body, runs, "a/b")
    assert (found.tokens, found.estimated, found.source) == (40.0, False, "as in its run of 08 May 2026")
    other = answer_tokens(workspace.store, body, runs, "a/x")
    assert (other.tokens, other.estimated, other.source) == (90.0, True, "as in the a/c run of 09 May 2026")
    # The same name at another server is another judge.
    assert answer_tokens(workspace.store, body, runs, "a/b", "http://one").estimated


def test_answers_grow_with_the_number_of_dimensions(workspace: Workspace) -> None:
    one = policy_samples.body(dimensions=policy_samples.plain()["dimensions"][:1])
    # 40 tokens for two dimensions are 20 for one.
    assert answer_tokens(workspace.store, one, [run(0, "a/b")], "a/b").tokens == 20.0


def test_without_a_run_the_answer_is_an_estimate_and_says_so(workspace: Workspace) -> None:
    nothing = [run(0, "a/b", output_tokens=0), run(1, "a/b", status="running"), run(2, "a/b", calls=0)]
    found = answer_tokens(workspace.store, policy_samples.body(), nothing, "a/b")
    assert found.estimated
    assert found.source.startswith("estimated from the form of the answer")
    # Two dimensions, each with a reason of two sentences (some 40 tokens), a rule or two and a grade.
    assert 100 < found.tokens < 200


def test_pairs_are_measured_on_the_dev_split(workspace: Workspace) -> None:
    short, long, held = (
        samples.pair("a", "b"),
        samples.pair("smoky " * 50, "b"),
        samples.pair("x " * 900, "b"),
    )
    samples.golden_set(workspace, [(short, {}), (long, {}), (held, {})], holdout=[held])
    body = policy_samples.body()
    counts = [count_tokens(pair_text(body, pair)) for pair in (short, long)]
    found = pair_tokens(workspace, "tea", body)
    assert found is not None
    assert (found.pairs, found.mean, found.most) == (2, sum(counts) / 2, max(counts))
    assert found.example in (short.id, long.id)
    assert golden_sets(workspace, "tea-match") == ("tea",)
    assert golden_sets(workspace, "other") == ()


def test_a_pair_is_measured_as_the_draft_lays_it_out_and_a_set_that_grew_anew(workspace: Workspace) -> None:
    first = samples.pair("smoky", "b")
    samples.golden_set(workspace, [(first, {})])
    body = policy_samples.body()
    found = pair_tokens(workspace, "tea", body)
    side = body.pair.query.model_copy(update={"fields": ("wishes",)})
    narrow = body.model_copy(update={"pair": body.pair.model_copy(update={"query": side})})
    less = pair_tokens(workspace, "tea", narrow)
    workspace.store.add_pairs("tea", [samples.pair("c", "d")], {samples.pair("c", "d").id: "dev"})
    grown = pair_tokens(workspace, "tea", body)
    assert found is not None
    assert less is not None
    assert grown is not None
    assert less.mean < found.mean
    assert (found.pairs, grown.pairs) == (1, 2)


def test_a_set_without_dev_pairs_has_no_average(workspace: Workspace) -> None:
    workspace.store.create_golden("empty", "tea-match")
    assert pair_tokens(workspace, "empty", policy_samples.body()) is None
