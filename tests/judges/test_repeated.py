"""The same question asked several times: how answers are settled, what is paid, and what caps and pace hold."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from math import log
from pathlib import Path
from typing import Any

import pytest
from judge_samples import pairs, small_policy, verdicts_of

from workbench.errors import BadInput, Unavailable
from workbench.fake_provider import Behaviour, FakeProvider, Reply, Request, error, graded, late, text
from workbench.golden import NOT_APPLICABLE, Pair
from workbench.judges.cache import VerdictCache
from workbench.judges.llm import LlmJudge
from workbench.judges.repeated import RepeatedJudge
from workbench.prompt_mode import PromptMode
from workbench.run import CapReached, Usage, Verdict

POLICY = small_policy()  # topic 0-4; tone 0-2 or N/A


def answers(*behaviours: Behaviour) -> Behaviour:
    """The first answer about a pair as the first says, the second as the second, and so on."""
    lock, count = threading.Lock(), defaultdict[str, int](int)

    def behave(request: Request) -> Reply:
        with lock:
            number = count[request.message("user")]
            count[request.message("user")] += 1
        return behaviours[number](request)

    return behave


def grades(topic: int, tone: int | str = 1) -> Behaviour:
    return graded(lambda request, key, allowed: {"topic": topic, "tone": tone}[key])


def judge_at(provider: FakeProvider, repeats: int, **options: Any) -> RepeatedJudge:
    options = {"max_attempts": 1, "concurrency": 4} | options
    return RepeatedJudge("fake-hash-grader", base_url=provider.base_url, repeats=repeats, **options)


def stopped(judge: Any, asked: Sequence[Pair]) -> tuple[list[Verdict], Exception]:
    """Run a judge that is stopped; return what it yielded, and by what it was."""
    found: list[Verdict] = []

    async def run() -> None:
        async for verdict in judge.grade(POLICY, asked):
            found.append(verdict)

    with pytest.raises((CapReached, Unavailable)) as caught:
        asyncio.run(run())
    return found, caught.value


def test_three_answers_are_settled_as_one() -> None:
    with FakeProvider(otherwise=answers(grades(3), grades(3, "N/A"), grades(1))) as provider:
        (verdict,) = verdicts_of(judge_at(provider, 3), POLICY, pairs(1))
    topic, tone = verdict.judgements
    # Votes 3, 3, 1: the mode is 3. With half an answer for each of five levels, of 3 + 2.5 = 5.5 answers level 1
    # has 1.5 and level 3 has 2.5; the mean grade is (0*0.5 + 1*1.5 + 2*0.5 + 3*2.5 + 4*0.5) / 5.5 = 12 / 5.5.
    assert topic.grade == 3
    assert topic.probabilities == pytest.approx([0.5 / 5.5, 1.5 / 5.5, 0.5 / 5.5, 2.5 / 5.5, 0.5 / 5.5])
    assert topic.expected == pytest.approx(12 / 5.5)
    assert topic.rationale == "A hash of the text gives 3."
    # 1, N/A, 1: two of three say that it applies. Of 2 + 1.5 = 3.5 answers level 1 has 2.5.
    assert tone.grade == 1
    assert tone.probabilities == pytest.approx([0.5 / 3.5, 2.5 / 3.5, 0.5 / 3.5])
    assert (verdict.usage.calls, provider.calls) == (3, 3)
    # Each answer has its own trace with its own reply.
    assert [trace.repeat for trace in verdict.traces] == [0, 1, 2]
    assert verdict.raw == ""
    assert sorted(json.loads(trace.raw)["topic"]["grade"] for trace in verdict.traces) == [1, 3, 3]
    assert verdict.usage.output_tokens == sum(len(trace.raw) // 4 for trace in verdict.traces)


def test_most_answers_say_that_it_does_not_apply() -> None:
    script = answers(grades(2, "N/A"), grades(2, 0), grades(2, "N/A"))
    with FakeProvider(otherwise=script) as provider:
        (verdict,) = verdicts_of(judge_at(provider, 3), POLICY, pairs(1))
    tone = verdict.judgements[1]
    assert (tone.grade, tone.probabilities, tone.expected) == (NOT_APPLICABLE, None, None)


def test_more_repeats_pay_for_the_new_ones_only(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path / "verdicts.sqlite")
    asked = pairs(6)
    with FakeProvider() as provider:
        first = verdicts_of(judge_at(provider, 3, cache=cache), POLICY, asked)
        assert (provider.calls, len(cache)) == (18, 18)
        # The same again: nothing is sent, and every answer came from the cache.
        again = verdicts_of(judge_at(provider, 3, cache=cache), POLICY, asked)
        assert provider.calls == 18
        assert all(v.usage.from_cache and v.usage.calls == 0 and v.usage.cost_usd == 0.0 for v in again)
        assert {v.pair_id: v.judgements for v in again} == {v.pair_id: v.judgements for v in first}
        five = verdicts_of(judge_at(provider, 5, cache=cache), POLICY, asked)
        assert provider.calls == 18 + 2 * 6
        assert {v.usage.calls for v in five} == {2}
        # A single answer of repeat index 4 is one of the five, and index 5 is none.
        one = LlmJudge("fake-hash-grader", base_url=provider.base_url, cache=cache, repeat=4)
        assert all(v.usage.from_cache for v in verdicts_of(one, POLICY, asked))
        other = judge_at(provider, 2, cache=cache, repeat=4)
        assert {v.usage.calls for v in verdicts_of(other, POLICY, asked)} == {1}


def test_a_failed_answer_is_left_out_and_told() -> None:
    with FakeProvider(otherwise=answers(grades(4), text("no JSON"), text("none"), grades(4))) as provider:
        (verdict,) = verdicts_of(judge_at(provider, 3, concurrency=1), POLICY, pairs(1))
    topic = verdict.judgements[0]
    # The second answer could not be read, nor could its correction: of 4 and 4 the mode is 4.
    assert (topic.grade, topic.rationale) == (4, "A hash of the text gives 4. (1 of 3 answers failed)")
    assert topic.probabilities == pytest.approx([0.5 / 4.5] * 4 + [2.5 / 4.5])
    assert (verdict.usage.calls, provider.calls) == (4, 4)


def test_a_pair_fails_when_every_answer_does() -> None:
    with FakeProvider(otherwise=error(500)) as provider:
        (verdict,) = verdicts_of(judge_at(provider, 3), POLICY, pairs(1))
    assert all(j.failed for j in verdict.judgements)
    assert verdict.judgements[0].error.startswith("all 3 answers failed, the first for this reason: ")


def with_logprobs(topic: int, chances: dict[str, float]) -> Behaviour:
    """Grade, and say how probable the alternatives of topic's grade were; every other token was certain."""

    def behave(request: Request) -> Reply:
        reply = grades(topic)(request)
        data = json.loads(reply.body)
        content = data["choices"][0]["message"]["content"]
        at = content.index('"grade": ') + len('"grade": ')  # of topic, the first dimension
        parts = [content[:at], content[at], content[at + 1 :]]
        others = [{"token": t, "logprob": log(p), "bytes": list(t.encode())} for t, p in chances.items()]
        data["choices"][0]["logprobs"] = {
            "content": [
                {
                    "token": part,
                    "bytes": list(part.encode()),
                    "logprob": log(chances[part]) if i == 1 else 0.0,
                    "top_logprobs": others if i == 1 else [],
                }
                for i, part in enumerate(parts)
            ]
        }
        return replace(reply, body=json.dumps(data).encode())

    return behave


def test_probabilities_of_tokens_are_averaged_where_every_answer_has_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR)
    sure, unsure = {"3": 0.9, "2": 0.1}, {"3": 0.5, "4": 0.5}
    params = {"logprobs": True, "top_logprobs": 5}
    both = answers(with_logprobs(3, sure), with_logprobs(3, unsure))
    with FakeProvider(otherwise=both) as provider:
        (verdict,) = verdicts_of(judge_at(provider, 2, params=params), POLICY, pairs(1))
    # (0.9 + 0.5) / 2 on level 3, 0.1 / 2 on level 2, 0.5 / 2 on level 4.
    assert verdict.judgements[0].probabilities == pytest.approx([0, 0, 0.05, 0.7, 0.25])
    assert verdict.judgements[0].expected == pytest.approx(2 * 0.05 + 3 * 0.7 + 4 * 0.25)
    one = answers(with_logprobs(3, sure), grades(3))
    with FakeProvider(otherwise=one) as provider:
        (verdict,) = verdicts_of(judge_at(provider, 2, params=params), POLICY, pairs(1))
    # One answer says nothing of its tokens: from the two repeats, (2 + 0.5) / (2 + 2.5) on level 3.
    assert verdict.judgements[0].probabilities == pytest.approx([0.5 / 4.5] * 3 + [2.5 / 4.5, 0.5 / 4.5])


@pytest.mark.parametrize("concurrency", [1, 2, 8])
def test_all_answers_together_keep_to_the_concurrency(concurrency: int) -> None:
    with FakeProvider(otherwise=late(0.01)) as provider:
        found = verdicts_of(judge_at(provider, 3, concurrency=concurrency), POLICY, pairs(12))
    assert (len(found), provider.calls) == (12, 36)
    assert concurrency / 2 <= provider.most_at_once <= concurrency


def test_a_rate_limit_holds_for_all_answers_together() -> None:
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds
        await asyncio.sleep(0)

    with FakeProvider() as provider:
        judge = judge_at(provider, 3, requests_per_minute=2, sleep=sleep, clock=lambda: now[0])
        verdicts_of(judge, POLICY, pairs(2))
    # 6 requests, 2 in any 60.5 s: the third and the fifth wait for a window of their own. Had each answer a limit
    # of its own, 2 requests of each would go out at once.
    assert provider.calls == 6
    assert now[0] >= 2 * 60.5


def test_a_cap_holds_for_all_answers_and_the_run_goes_on_after_it(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path / "verdicts.sqlite")
    asked = pairs(8)
    with FakeProvider(otherwise=grades(3)) as provider:
        (one,) = verdicts_of(judge_at(provider, 2, concurrency=1), POLICY, asked[:1])
        each = (one.usage.input_tokens + one.usage.output_tokens) // 2
        provider.calls = 0
        cap = each * 9
        judge = judge_at(provider, 3, cache=cache, cap_tokens=cap, params={"max_tokens": 60})
        found, problem = stopped(judge, asked)
        assert isinstance(problem, CapReached)
        spent = sum(v.usage.input_tokens + v.usage.output_tokens for v in found)
        paid = sum(v.usage.calls for v in found)
        # Everything that was sent is in what was yielded, once, and it is within the cap.
        assert paid == provider.calls
        assert 0 < spent <= cap
        part = [v for v in found if v.usage.calls < 3]
        assert all(j.failed and "Stopped at the cap" in j.error for v in part for j in v.judgements)
        whole = {v.pair_id for v in found if v.usage.calls == 3}
        # Started again, what was spent counts, and nothing more is sent.
        same = judge_at(provider, 3, cache=cache, cap_tokens=cap, params={"max_tokens": 60})
        same.charge(Usage(input_tokens=cap))
        stopped(same, [p for p in asked if p.id not in whole])
        assert provider.calls == paid
        rest = judge_at(provider, 3, cache=cache, params={"max_tokens": 60})
        more = verdicts_of(rest, POLICY, [p for p in asked if p.id not in whole])
    assert provider.calls == 24  # 8 pairs, 3 answers each, none paid for twice
    assert {v.pair_id for v in more} | whole == {p.id for p in asked}
    assert not any(j.failed for v in more for j in v.judgements)


def test_a_refused_key_stops_at_once() -> None:
    with FakeProvider(otherwise=error(401, "no such key")) as provider:
        found, problem = stopped(judge_at(provider, 3), pairs(40))
    assert isinstance(problem, Unavailable)
    assert found == []
    assert provider.calls <= 4


def test_a_provider_that_is_down_is_given_up() -> None:
    with FakeProvider(otherwise=error(503)) as provider:
        _, problem = stopped(judge_at(provider, 2, max_failures=5), pairs(100))
    assert "gave no reply for 5 pairs in a row" in str(problem)
    assert provider.calls < 40


def test_answers_are_drawn_in_every_mode(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path / "verdicts.sqlite")
    mode = PromptMode(scope="dimension")
    with FakeProvider() as provider:
        found = verdicts_of(judge_at(provider, 3, mode=mode, cache=cache), POLICY, pairs(4))
        assert provider.calls == 4 * 2 * 3
        assert {v.usage.calls for v in found} == {6}
        verdicts_of(judge_at(provider, 4, mode=mode, cache=cache), POLICY, pairs(4))
        assert provider.calls == 4 * 2 * 4


def test_many_pairs_go_through_in_parts() -> None:
    asked = pairs(300)  # more than one chunk
    with FakeProvider(keep=0) as provider:
        found = verdicts_of(judge_at(provider, 2, concurrency=16), POLICY, asked)
    assert sorted(v.pair_id for v in found) == sorted(p.id for p in asked)
    assert provider.calls == 600


def test_who_stops_listening_stops_the_asking() -> None:
    async def first(judge: RepeatedJudge) -> None:
        verdicts = judge.grade(POLICY, pairs(100))
        await anext(verdicts)
        await verdicts.aclose()  # type: ignore[attr-defined]

    with FakeProvider(delay_s=0.005) as provider:
        asyncio.run(first(judge_at(provider, 3, concurrency=3)))
        assert provider.calls < 30


def test_what_it_is_and_what_it_cannot_be() -> None:
    judge = RepeatedJudge("openai/m", repeats=3, params={"temperature": 1})
    one = LlmJudge("openai/m", params={"temperature": 1})
    assert judge.identity.kind == "repeats"
    assert judge.identity.params == one.identity.params | {"repeats": 3}
    assert (
        judge.identity.hash != RepeatedJudge("openai/m", repeats=4, params={"temperature": 1}).identity.hash
    )
    with pytest.raises(BadInput, match="repeats is 1"):
        RepeatedJudge("openai/m", repeats=1)
    with pytest.raises(BadInput, match="concurrency is 0"):
        RepeatedJudge("openai/m", repeats=2, concurrency=0)
