"""Plans of judges that ask several times or several models, and what is said of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pandas as pd
import pytest
from trial_samples import published_teas
from workspace_samples import NAME

from workbench.errors import BadInput
from workbench.fake_provider import FakeProvider
from workbench.judge_plan import JudgePlan, answers, joined, judge_plan
from workbench.judges.batch_rules import WITHIN
from workbench.judges.build import Inputs, build_judge
from workbench.run import (
    BaselineSpec,
    CalibratedSpec,
    CascadeSpec,
    EnsembleSpec,
    JudgeSpec,
    LlmSpec,
)
from workbench.run_plan import RunPlan
from workbench.run_plan_view import judge_lines, plan_lines
from workbench.workspace import Workspace

MINI = LlmSpec(model="openai/gpt-5-mini")
NANO = LlmSpec(model="openai/gpt-5-nano")


@pytest.fixture
def space(workspace: Workspace) -> Workspace:
    """A workspace with the sample policy and 24 teas, published."""
    published_teas(workspace)
    return workspace


def planned(space: Workspace, judge: JudgeSpec) -> JudgePlan:
    return judge_plan(space, judge, policy=NAME, golden="tea")


def test_one_answer_of_one_model_is_its_own_plan(space: Workspace) -> None:
    plan = planned(space, MINI)
    assert plan.total.calls == 24
    assert [part.model for part in plan.parts] == [MINI]
    assert judge_lines(plan) == plan_lines(plan.total)


def test_a_judge_of_our_own_sends_nothing(space: Workspace) -> None:
    plan = planned(space, EnsembleSpec(members=(BaselineSpec(), BaselineSpec(use_embeddings=False))))
    assert (plan.parts, plan.total.sends, plan.total.pairs) == ((), False, 24)
    assert judge_lines(plan) == {"sends": "nothing: it runs on this machine"}


def test_every_answer_to_a_question_is_a_call(space: Workspace) -> None:
    one, three = planned(space, MINI).total, planned(space, MINI.model_copy(update={"repeats": 3})).total
    assert three.calls == 72
    assert three.input_tokens == 3 * one.input_tokens
    assert one.plain_usd is not None
    assert three.plain_usd == pytest.approx(3 * one.plain_usd)
    assert three.seconds == pytest.approx(3 * one.seconds)


def test_answers_are_known_by_their_index(space: Workspace) -> None:
    with FakeProvider() as provider:
        judge = LlmSpec(model="fake-hash-grader", base_url=provider.base_url, repeat=4, repeats=3)
        assert [one.repeat for one in answers(judge)] == [4, 5, 6]
        assert all(one.repeats == 1 for one in answers(judge))

        async def grade() -> None:
            pairs = space.store.snapshot("tea").pairs[:5]
            inputs = Inputs(space.store.policy(NAME), tuple(pairs), {}, pd.DataFrame())
            second = judge.model_copy(update={"repeat": 5, "repeats": 1})
            async for _ in build_judge(second, inputs, space.cache_folder).grade(inputs.policy, pairs):
                pass

        asyncio.run(grade())
        plan = planned(space, judge)
    # Three times 24 answers, of which five of the second draw are there.
    assert (plan.total.known, plan.total.calls) == (5, 67)


def test_an_ensemble_takes_what_its_models_take(space: Workspace) -> None:
    members = (MINI, CalibratedSpec(judge=NANO.model_copy(update={"repeats": 2})), BaselineSpec())
    plan = planned(space, EnsembleSpec(members=members))
    assert [part.plan.calls for part in plan.parts] == [24, 48]
    assert plan.total.calls == 72
    assert not plan.at_most
    lines = judge_lines(plan)
    assert lines["calls"] == "72; answers known from the cache: 0"
    assert lines["1: openai/gpt-5-mini"].startswith("24 calls; cost about $")
    assert lines["2: openai/gpt-5-nano"].startswith("48 calls; cost about $")


def test_the_second_judge_of_a_cascade_is_asked_at_most(space: Workspace) -> None:
    first = NANO.model_copy(update={"params": {"logprobs": True, "top_logprobs": 20}})
    plan = planned(space, CascadeSpec(first=first, second=MINI))
    assert [part.at_most for part in plan.parts] == [False, True]
    lines = judge_lines(plan)
    assert lines["calls"] == "at most 48; answers known from the cache: 0"
    assert lines["cost"].startswith("at most about $")
    assert lines["2: openai/gpt-5-mini"].startswith(
        "at most 24 calls, for the pairs of which the first is not sure; cost at most about $"
    )
    # Behind a judge that asks nobody, all calls are the second one's.
    alone = judge_lines(planned(space, CascadeSpec(first=BaselineSpec(), second=MINI)))
    assert alone["calls"] == "at most 24; answers known from the cache: 0"


def test_a_batch_says_how_long_it_takes_at_most(space: Workspace) -> None:
    calls, batch = planned(space, MINI), planned(space, MINI.model_copy(update={"delivery": "batch"}))
    assert judge_lines(batch)["time"] == WITHIN
    assert batch.total.plain_usd == pytest.approx(calls.total.plain_usd / 2)  # half the list price


def test_a_judge_that_cannot_be_run_is_refused_before_it_is_planned(space: Workspace) -> None:
    with pytest.raises(BadInput, match="gives no probabilities"):
        planned(space, CascadeSpec(first=NANO, second=MINI))
    with pytest.raises(BadInput, match="not drawn through the batch"):
        planned(space, MINI.model_copy(update={"delivery": "batch", "repeats": 3}))


def test_what_is_unknown_of_one_is_unknown_of_the_sum() -> None:
    known = RunPlan(
        10, 6, sends=True, calls=10, checked=10, plain_usd=2.0, cached_usd=1.5, seconds=30.0,
        answers_from="measured", time_from="estimated",
    )  # fmt: skip
    unknown = replace(known, plain_usd=None, cached_usd=None, cost_unknown="no list price", seconds=None)
    total = joined([known, unknown], ["a", "b"])
    assert (total.calls, total.plain_usd, total.cached_usd, total.seconds) == (20, None, None, None)
    assert total.cost_unknown == "b: no list price"
    assert plan_lines(total)["cost"] == "unknown: b: no list price"
    assert (total.answers_from, total.time_from) == ("measured", "estimated")
    # What a call cost before stands in where there is no list price: 2.00 and 3.00, and 1.50 and 3.00.
    total = joined([known, replace(unknown, cost_usd=3.0)], ["a", "b"])
    assert (total.plain_usd, total.cached_usd, total.cost_unknown) == (5.0, 4.5, "")
    assert joined([known], ["a"]) is known
