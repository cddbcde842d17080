"""What a run would send and take, and where a language model's key comes from."""

from __future__ import annotations

import asyncio

import pandas as pd
import pytest
from trial_samples import fake, published_teas, teas
from workspace_samples import NAME, recorded_run

from workbench.fake_provider import FakeProvider
from workbench.golden import Pair
from workbench.judges.build import Inputs, build_judge
from workbench.prices import ModelPrice, model_price
from workbench.prompt import pair_text, system_prompt
from workbench.prompt_costs import AnswerTokens, PairTokens, judge_cost
from workbench.prompt_mode import PromptMode
from workbench.run import BaselineSpec, LlmSpec, RunTotals
from workbench.run_plan import CallsLeft, RunPlan, _costs, key_variable, run_plan
from workbench.run_plan_view import plan_lines
from workbench.token_count import count_tokens
from workbench.workspace import Workspace


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"model": "openai/gpt-5-mini"}, ("OPENAI_API_KEY", True)),
        ({"model": "anthropic/claude-haiku-4-5"}, ("ANTHROPIC_API_KEY", False)),
        ({"model": "azure-ai/x"}, ("AZURE_AI_API_KEY", False)),
        ({"model": "local", "base_url": "http://127.0.0.1:1/v1"}, ("", False)),
        ({"model": "openai/x", "base_url": "http://127.0.0.1:1/v1"}, ("", False)),  # never the OpenAI key
        ({"model": "local", "base_url": "http://127.0.0.1:1/v1", "api_key_env": "MINE"}, ("MINE", True)),
    ],
)
def test_the_key_comes_from(spec: dict[str, str], expected: tuple[str, bool]) -> None:
    assert key_variable(LlmSpec.model_validate(spec)) == expected


@pytest.fixture
def space(workspace: Workspace) -> Workspace:
    """A workspace with the sample policy and 24 teas, published; 18 of them are dev."""
    published_teas(workspace)
    return workspace


def planned(space: Workspace, judge: LlmSpec) -> RunPlan:
    return run_plan(space, judge, policy=NAME, golden="tea")


def answered(space: Workspace, judge: LlmSpec, pairs: list[Pair]) -> None:
    """Grade pairs by the judge itself, with the workspace's verdict cache."""

    async def grade() -> None:
        inputs = Inputs(space.store.policy(NAME), tuple(pairs), {}, pd.DataFrame())
        built = build_judge(judge, inputs, space.cache_folder)
        async for _ in built.grade(inputs.policy, pairs):
            pass

    asyncio.run(grade())


@pytest.mark.parametrize(
    ("mode", "before", "after"),
    [
        # 24 pairs, of which 5 are answered then: (calls, answers known, calls, answers known).
        (PromptMode(), (24, 0), (19, 5)),
        # Two dimensions: two questions a pair, each a call.
        (PromptMode(scope="dimension"), (48, 0), (38, 10)),
    ],
)
def test_answers_that_are_known_are_deducted_in_every_mode(
    space: Workspace, mode: PromptMode, before: tuple[int, int], after: tuple[int, int]
) -> None:
    with FakeProvider() as provider:
        judge = fake(provider.base_url, mode=mode)
        first = planned(space, judge)
        assert (first.calls, first.known) == before
        answered(space, judge, teas()[:5])
        sent = provider.calls
        then = planned(space, judge)
        assert (then.calls, then.known) == after
        assert then.input_tokens < first.input_tokens
        answered(space, judge, teas())
        assert provider.calls - sent == then.calls  # the run does what the plan says
        whole = planned(space, judge)
        assert (whole.calls, whole.input_tokens, whole.plain_usd, whole.seconds) == (0, 0, 0.0, 0.0)


def test_several_pairs_a_call(space: Workspace) -> None:
    judge = LlmSpec(model="openai/gpt-5-mini", mode=PromptMode(pairs_per_call=10))
    assert planned(space, judge).calls == 3  # 24 / 10, rounded up


def test_tokens_are_those_of_the_messages(space: Workspace) -> None:
    plan = planned(space, LlmSpec(model="openai/gpt-5-mini"))
    policy = space.store.policy(NAME)
    system = count_tokens(system_prompt(policy))
    assert plan.prompt_tokens == system
    assert plan.input_tokens == sum(system + count_tokens(pair_text(policy, tea)) for tea in teas())


def test_a_large_set_is_looked_up_in_part(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.run_plan.CHECKED_PAIRS", 6)
    judge = LlmSpec(model="local", base_url="http://127.0.0.1:9/v1")
    plan = planned(space, judge)
    assert (plan.checked, plan.pairs, plan.calls) == (6, 24, 24)  # 6 of 6 are to be asked, so 24 of 24
    assert plan_lines(plan)["sample"] == "6 of 24 pairs looked up; the others taken to be like them"
    assert plan_lines(plan)["calls"].startswith("about 24;")


def test_a_cost_that_is_unknown_is_said_with_its_reason(space: Workspace) -> None:
    plan = planned(space, LlmSpec(model="local", base_url="http://127.0.0.1:9/v1"))
    assert (plan.plain_usd, plan.cached_usd) == (None, None)
    assert plan_lines(plan)["cost"] == "unknown: an own server has no list price"


def test_costs_are_at_list_prices_of_what_is_left(space: Workspace) -> None:
    price = model_price("openai/gpt-5-mini")
    assert price is not None
    assert price.input is not None
    assert price.output is not None
    run = recorded_run(space, "priced", [], judge="openai/gpt-5-mini")
    # 50 tokens an answer, and 2 s a call.
    space.store.save_run(
        run.model_copy(update={"totals": RunTotals(calls=10, output_tokens=500, seconds=20.0)})
    )
    plan = planned(space, LlmSpec(model="openai/gpt-5-mini"))
    assert plan.output_tokens == 24 * 50
    assert plan.plain_usd == pytest.approx(plan.input_tokens * price.input + 1200 * price.output)
    assert plan.cached_usd == plan.plain_usd  # a prompt this short is not cached
    assert plan.seconds == pytest.approx(48)
    assert "at the rate of its run of" in plan.time_from


def test_the_first_calls_write_the_prompt_cache_and_the_others_read_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Input 1 $, cached 0.1 $, written 1.25 $, output 4 $ a million; 2,000 tokens of policy, 500 of pair, 100 of answer.
    listed = ModelPrice("m", "p", 1e-6, 1e-7, 1.25e-6, 4e-6, None, True, None, None)
    for module in ("prompt_costs", "run_plan"):
        monkeypatch.setattr(f"workbench.{module}.model_price", lambda _: listed)
    pair = PairTokens("tea", 1, 500.0, 500, "")
    cost = judge_cost("m", 2000, pair, AnswerTokens(100.0, "", estimated=False))
    left = CallsLeft(20, 0, 20.0, 20, 50_000, 2500, 2000, 1)
    plain, cached = _costs(cost, LlmSpec(model="m", concurrency=4), left, 20)
    assert plain == pytest.approx(20 * (2500 * 1e-6 + 100 * 4e-6))
    # 4 calls at once write, 16 read: 4 x 2000 x 1.25 + 16 x 2000 x 0.1 = 13,200; pairs and answers in full.
    assert cached == pytest.approx(13_200e-6 + 20 * (500e-6 + 400e-6))


def test_time_without_a_run_is_called_an_estimate_and_limits_a_minute_hold(space: Workspace) -> None:
    judge = LlmSpec(model="local", base_url="http://127.0.0.1:9/v1", concurrency=10)
    plan = planned(space, judge)
    # 24 calls, 10 at once: 3 rounds of 5 s.
    assert (plan.seconds, plan.time_from) == (15.0, "estimated: 10 calls at once, 5 s each")
    slow = planned(space, judge.model_copy(update={"requests_per_minute": 6}))
    assert slow.seconds == 240.0
    assert plan_lines(slow)["time"] == "about 4 min, as long as the limits a minute make it"


def test_a_judge_of_our_own_sends_nothing(space: Workspace) -> None:
    plan = run_plan(space, BaselineSpec(), policy=NAME, golden="tea")
    assert (plan.pairs, plan.dev_pairs) == (24, 18)
    assert plan_lines(plan) == {"sends": "nothing: it runs on this machine"}


def test_a_batch_costs_half_and_the_prompt_cache_is_not_added_on_top(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = LlmSpec(model="openai/gpt-5-mini")
    batch = calls.model_copy(update={"delivery": "batch"})
    single, half = planned(space, calls), planned(space, batch)
    assert single.plain_usd is not None
    assert half.plain_usd == pytest.approx(single.plain_usd / 2)
    assert half.cached_usd == half.plain_usd
    assert (half.seconds, half.time_from) == (None, "within 24 hours, as the provider's batch API promises")
    assert (half.calls, half.known) == (single.calls, single.known)
    # With a prompt long enough for the cache: 20 calls of 2,500 tokens at 1 $ and 100 at 4 $ a million, by half.
    listed = ModelPrice("m", "p", 1e-6, 1e-7, 1.25e-6, 4e-6, None, True, None, None)
    for module in ("prompt_costs", "run_plan"):
        monkeypatch.setattr(f"workbench.{module}.model_price", lambda _: listed)
    cost = judge_cost(
        "m", 2000, PairTokens("tea", 1, 500.0, 500, ""), AnswerTokens(100.0, "", estimated=False)
    )
    left = CallsLeft(20, 0, 20.0, 20, 50_000, 2500, 2000, 1)
    found = _costs(cost, LlmSpec(model="openai/m", delivery="batch"), left, 20)
    assert found == pytest.approx((0.029, 0.029))  # (20 x 2500 x 1e-6 + 20 x 100 x 4e-6) / 2


def test_runs_of_the_other_delivery_tell_the_cost_by_half_and_not_the_time(space: Workspace) -> None:
    run = recorded_run(space, "batch", [], judge="m", params={"endpoint": "http://127.0.0.1:9/v1"})
    by_batch = run.judge.model_copy(update={"params": run.judge.params | {"delivery": "batch"}})
    totals = RunTotals(calls=10, cost_usd=1.0, seconds=36_000.0)
    space.store.save_run(run.model_copy(update={"totals": totals, "judge": by_batch}))
    calls = LlmSpec(model="m", base_url="http://127.0.0.1:9/v1", concurrency=24)
    plan = planned(space, calls)
    # A call cost 0.10 $ in a batch: 24 calls by 0.20 $; and ten hours say nothing about calls, one round of 5 s.
    assert plan.cost_usd == pytest.approx(4.8)
    assert plan.seconds == 5.0
    again = planned(space, calls.model_copy(update={"delivery": "batch"}))
    assert again.cost_usd == pytest.approx(2.4)


def test_a_batch_of_which_every_answer_is_known_takes_no_time(space: Workspace) -> None:
    with FakeProvider() as provider:
        judge = fake(provider.base_url)
        answered(space, judge, teas())
        plan = planned(space, judge.model_copy(update={"delivery": "batch"}))
    # The verdicts that calls paid for are known to batches.
    assert (plan.calls, plan.known, plan.plain_usd, plan.seconds) == (0, 24, 0.0, 0.0)
