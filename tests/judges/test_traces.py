"""What a verdict says of how it came about: attempts with their outcome, the key, the reply where it is."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from judge_samples import pairs, small_policy, verdicts_of
from test_judge_llm import FINE, KEY, Sleeps
from test_judge_modes import answered

from workbench.fake_provider import FakeProvider, Request, cut, error, graded, text
from workbench.judges.cache import VerdictCache, verdict_key
from workbench.judges.llm import LlmJudge
from workbench.prompt import messages
from workbench.prompt_mode import PromptMode
from workbench.run import CapReached, Trace, Verdict
from workbench.token_count import count_tokens

POLICY = small_policy()
PAIRS = pairs(1)


def judge_at(provider: FakeProvider, **options: Any) -> LlmJudge:
    quiet: dict[str, Any] = {"sleep": Sleeps(), "jitter": lambda most: 0.0}
    return LlmJudge("fake-hash-grader", base_url=provider.base_url, **quiet | options)


def traced(script: list[Any], **options: Any) -> tuple[Verdict, Trace]:
    with FakeProvider(script, otherwise=FINE) as provider:
        (verdict,) = verdicts_of(judge_at(provider, **options), POLICY, PAIRS)
    (trace,) = verdict.traces
    return verdict, trace


def outcomes(trace: Trace) -> list[str]:
    return [attempt.outcome for attempt in trace.attempts]


def test_one_call_is_one_question_with_one_attempt(tmp_path: Path) -> None:
    before = datetime.now(UTC)
    cache = VerdictCache(tmp_path / "verdicts.sqlite")
    with FakeProvider(otherwise=FINE) as provider:
        judge = judge_at(provider, cache=cache, repeat=2)
        (verdict,) = verdicts_of(judge, POLICY, PAIRS)
        params = {"params": {}, "response_mode": "json_schema", "endpoint": provider.base_url}
    (trace,) = verdict.traces
    key = verdict_key(messages=messages(POLICY, PAIRS[0]), model="fake-hash-grader", params=params, repeat=2)
    assert (trace.key, trace.repeat, trace.dimensions, trace.together) == (key, 2, ("topic", "tone"), 1)
    assert (trace.response_mode, trace.from_cache, trace.judge) == ("json_schema", False, "")
    (attempt,) = trace.attempts
    assert before <= attempt.at <= before + timedelta(seconds=30)
    assert 0 < attempt.seconds < 30
    assert attempt.outcome == ""
    # The reply is the verdict's and stands in its line once.
    assert (trace.raw, verdict.raw != "") == ("", True)
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
    cache.close()


def test_retries_tell_why_and_how_long_was_waited() -> None:
    script = [error(429, "slow down", headers={"Retry-After": "2"}), error(500, "oops"), cut(10)]
    _, trace = traced(script)
    said = outcomes(trace)
    # Backoff is drawn from 0 to 2 s after the second attempt and from 0 to 4 s after the third: here always 0.
    assert said[:2] == ["HTTP 429: slow down; waited 2 s", "HTTP 500: oops; waited 0 s"]
    assert said[2].startswith("the connection failed (")
    assert said[3] == ""


def test_a_reply_that_does_not_fit_and_its_correction_are_two_attempts() -> None:
    verdict, trace = traced([text("no JSON")])
    first, second = outcomes(trace)
    assert first.startswith("the reply could not be used: the reply starts with")
    assert second == ""
    verdict, trace = traced([text("no JSON"), text('{"topic": 1}')])
    assert all(judgement.failed for judgement in verdict.judgements)
    assert all(said.startswith("the reply could not be used: ") for said in outcomes(trace))
    assert verdict.raw == '{"topic": 1}'


def test_a_simpler_format_is_an_attempt_and_the_mode_in_force_is_kept() -> None:
    _, trace = traced([error(400, "response_format json_schema is unknown"), graded(policy=POLICY)])
    first, second = outcomes(trace)
    assert first == (
        "response_format json_schema is not supported (response_format json_schema is unknown); asked again with "
        "json_object"
    )
    assert (second, trace.response_mode) == ("", "json_object")


def test_a_refusal_and_an_empty_reply_are_outcomes() -> None:
    _, trace = traced([text(None, refusal="I will not.")])
    assert outcomes(trace) == ["the model refused: I will not."]
    _, trace = traced([text("  ")], max_attempts=1)
    assert outcomes(trace) == ["the reply is empty"]


def test_a_pair_that_failed_at_a_cap_keeps_the_attempt_that_was_paid_for() -> None:
    with FakeProvider(otherwise=text("no JSON")) as provider:
        # Room for the prompt once and half again, and for one answer: the correction could pass the cap.
        prompt = sum(count_tokens(message["content"]) for message in messages(POLICY, PAIRS[0]))
        judge = judge_at(provider, cap_tokens=prompt * 3 // 2 + 50, params={"max_tokens": 50})
        found: list[Verdict] = []

        async def collect() -> None:
            async for verdict in judge.grade(POLICY, PAIRS):
                found.append(verdict)

        with pytest.raises(CapReached):
            asyncio.run(collect())
        assert provider.calls == 1
    (trace,) = found[0].traces
    assert outcomes(trace)[0].startswith("the reply could not be used: ")


def test_no_key_and_no_half_character_is_in_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALL_API_KEY", KEY)
    script = [
        error(500, f"your key {KEY} is fine, sk-proj-abcdef123456 as well \ud83d"),
        text(f"{KEY} is no JSON"),
    ]
    verdict, trace = traced(script, api_key_env="SMALL_API_KEY")
    said = verdict.model_dump_json()
    assert len(trace.attempts) == 3
    assert outcomes(trace)[0] == "HTTP 500: your key [key] is fine, [key] as well \ufffd; waited 0 s"
    assert "[key]" in outcomes(trace)[1]
    assert KEY not in said
    assert "sk-proj" not in said


@pytest.mark.parametrize("mode", [PromptMode(), PromptMode(scope="dimension")], ids=["all", "dimension"])
@pytest.mark.parametrize("behave", [text("no \ud83d JSON"), error(400, "bad \ud83d")], ids=["reply", "error"])
def test_half_a_surrogate_pair_does_not_keep_a_verdict_from_its_file(behave: Any, mode: PromptMode) -> None:
    with FakeProvider(otherwise=behave) as provider:
        (verdict,) = verdicts_of(judge_at(provider, mode=mode), POLICY, PAIRS)
    line = verdict.model_dump_json()
    assert ("no \ufffd JSON" in line) == (behave(Request("", {}, {})).status == 200)
    assert ("bad \ufffd" in line) == (behave(Request("", {}, {})).status == 400)


def test_what_the_cache_has_keeps_the_traces_of_the_run_that_paid(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path / "verdicts.sqlite")
    with FakeProvider([error(500, "oops")], otherwise=FINE) as provider:
        (paid,) = verdicts_of(judge_at(provider, cache=cache), POLICY, PAIRS)
        (found,) = verdicts_of(judge_at(provider, cache=cache), POLICY, PAIRS)
    assert [t.from_cache for t in (*paid.traces, *found.traces)] == [False, True]
    assert found.traces[0].attempts == paid.traces[0].attempts
    assert len(found.traces[0].attempts) == 2
    # Entries that are older than traces have none.
    cache.put("old", paid.model_copy(update={"traces": ()}))
    old = cache.get("old")
    assert old is not None
    assert old.traces == ()
    cache.close()


@pytest.mark.parametrize("many", [1, 2])
def test_each_question_of_a_pair_has_its_trace_and_its_reply_once(tmp_path: Path, many: int) -> None:
    cache = VerdictCache(tmp_path / "verdicts.sqlite")
    mode = PromptMode(scope="dimension", pairs_per_call=many)
    with FakeProvider(otherwise=answered()) as provider:
        found = verdicts_of(judge_at(provider, cache=cache, mode=mode), POLICY, pairs(2))
        again = verdicts_of(judge_at(provider, cache=cache, mode=mode), POLICY, pairs(2))
    for verdict in (*found, *again):
        assert sorted(t.dimensions for t in verdict.traces) == [("tone",), ("topic",)]
        assert len({t.key for t in verdict.traces}) == 2
        assert verdict.raw == ""
        for trace in verdict.traces:
            assert trace.together == many
            part = json.loads(trace.raw)
            assert list(part if many == 1 else next(iter(part.values()))) == list(trace.dimensions)
    assert {t.from_cache for v in again for t in v.traces} == {True}
    cache.close()


def test_a_pair_whose_part_did_not_fit_was_asked_again_alone() -> None:
    def spoilt(request: Request, answer: dict[str, Any]) -> Any:
        if "P2" in answer:
            answer["P2"]["topic"]["grade"] = 9
        return answer

    with FakeProvider(otherwise=answered(spoilt)) as provider:
        judge = judge_at(provider, mode=PromptMode(pairs_per_call=2), concurrency=1)
        first, second = verdicts_of(judge, POLICY, pairs(2))
    assert (outcomes(first.traces[0]), first.traces[0].together) == ([""], 2)
    wrong, fine = outcomes(second.traces[0])
    assert wrong.startswith("the reply did not fit the policy: P2: topic.grade is 9")
    assert (fine, second.traces[0].together) == ("", 1)
    assert second.usage.calls == 1  # its share of the first call is none, the second call is its own


def test_a_verdict_line_grows_by_little() -> None:
    verdict, _ = traced([graded()])
    without = verdict.model_copy(update={"traces": ()}).model_dump_json()
    assert len(verdict.model_dump_json()) - len(without) < 400
