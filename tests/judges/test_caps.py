"""Caps on money, tokens and time: what is in flight is finished and kept, nothing more is sent, and it can go on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from faults import FINE
from judge_samples import pairs, small_policy

from workbench.errors import BadInput
from workbench.fake_provider import FakeProvider, graded
from workbench.judges.caps import FIRST_ANSWER, Caps
from workbench.judges.llm import LlmJudge
from workbench.prices import ModelPrice
from workbench.run import CapReached, Usage, Verdict

POLICY = small_policy()
# A dollar a thousand tokens in, two a thousand out.
PRICE = ModelPrice("m", "p", 0.001, None, None, 0.002, None, False, None, None)


def test_what_is_set_aside_counts_until_it_is_settled() -> None:
    caps = Caps(usd=1.0, price=PRICE)
    first = caps.reserve(200, 100)  # 0.2 + 0.2
    caps.reserve(400, 100)  # 0.4 + 0.2: 1.0 in all
    with pytest.raises(CapReached, match=r"cap of \$1.00: \$0.0000 is spent"):
        caps.reserve(1, 0)
    caps.settle(first, Usage(input_tokens=200, output_tokens=50))  # 0.3 in place of 0.4
    assert caps.spent_usd == pytest.approx(0.3)
    caps.reserve(99, 0)
    with pytest.raises(CapReached):
        caps.reserve(2, 0)


def test_a_told_cost_goes_before_the_list_price() -> None:
    caps = Caps(usd=1.0, price=PRICE)
    caps.charge(Usage(input_tokens=1000, output_tokens=0, cost_usd=0.25))
    assert (caps.spent_usd, caps.spent_tokens) == (0.25, 1000)


def test_an_answer_is_taken_to_be_as_long_as_the_longest() -> None:
    caps = Caps(tokens=10_000)
    assert (caps.answer_tokens(None), caps.answer_tokens(70)) == (FIRST_ANSWER, 70)
    caps.settle(caps.reserve(10, 10), Usage(output_tokens=300))
    caps.settle(caps.reserve(10, 10), Usage(output_tokens=200))
    assert (caps.answer_tokens(None), caps.answer_tokens(70)) == (300, 70)


def test_the_time_is_up() -> None:
    now = [0.0]
    caps = Caps(seconds=5, clock=lambda: now[0])
    caps.reserve(10**9, 0)
    now[0] = 5.0
    with pytest.raises(CapReached, match="cap of 5 s"):
        caps.reserve(0, 0)


def run(judge: LlmJudge, count: int) -> tuple[list[Verdict], CapReached | None]:
    async def collect() -> tuple[list[Verdict], CapReached | None]:
        found = []
        try:
            async for verdict in judge.grade(POLICY, pairs(count)):
                found.append(verdict)
        except CapReached as reached:
            return found, reached
        return found, None

    return asyncio.run(collect())


def test_a_run_stops_before_its_cap_and_keeps_what_is_in_flight() -> None:
    with FakeProvider(otherwise=FINE, delay_s=0.02) as provider:

        def judge(**options: Any) -> LlmJudge:
            return LlmJudge(
                "m", base_url=provider.base_url, concurrency=4, params={"max_tokens": 80}, **options
            )

        (one,), _ = run(judge(), 1)
        each = one.usage.input_tokens + one.usage.output_tokens
        found, reached = run(judge(cap_tokens=20 * each), 200)
        assert reached is not None
        # Every answer that was asked for has its verdict, and none is failed.
        assert provider.calls == 1 + len(found)
        assert not any(j.failed for v in found for j in v.judgements)
        spent = sum(v.usage.input_tokens + v.usage.output_tokens for v in found)
        # It came near: the last call was held back because it could have passed, and it can be off by an estimate.
        assert 10 * each <= spent <= 20 * each
        # Told what was spent before, a judge started again sends nothing; with a higher cap it goes on.
        again = judge(cap_tokens=20 * each)
        for verdict in found:
            again.charge(verdict.usage)
        more, reached = run(again, 200)
        assert reached is not None
        assert len(more) <= 3
        all_of_them, reached = run(judge(cap_tokens=10**9), 30)
        assert (len(all_of_them), reached) == (30, None)


def test_a_reply_that_has_to_be_corrected_beyond_the_cap_is_paid_for_and_says_so() -> None:
    with FakeProvider(otherwise=graded(write=lambda t: t[:50])) as provider:
        judge = LlmJudge(
            "m", base_url=provider.base_url, concurrency=1, cap_tokens=1900, params={"max_tokens": 100}
        )
        found, reached = run(judge, 5)
        assert reached is not None
        assert provider.calls == sum(v.usage.calls for v in found)
    assert "Stopped at the cap of 1,900 tokens" in found[-1].judgements[0].error
    assert found[-1].usage.input_tokens > 0


def test_a_cap_on_money_needs_a_price() -> None:
    for options in ({"base_url": "http://127.0.0.1:9/v1"}, {}):
        with pytest.raises(BadInput, match="price of this model is not known"):
            LlmJudge("openai/gpt-nobody-sells", cap_usd=2, **options)
    LlmJudge("openai/gpt-4o-mini", cap_usd=2)
