"""The LLM judge in the modes that are not the default, against a real HTTP server that reads the schema it is sent."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judge_samples import pairs, small_policy, verdicts_of

from workbench import policy_edit, prompt_sheet
from workbench.fake_provider import Behaviour, FakeProvider, Reply, Request, error, text
from workbench.judges.build import Inputs, build_judge
from workbench.judges.cache import VerdictCache, verdict_key
from workbench.judges.llm import LlmJudge
from workbench.policy import Policy
from workbench.prompt import messages
from workbench.prompt_mode import PromptMode
from workbench.run import CapReached, JudgeIdentity, LlmSpec, Verdict

SMALL = small_policy()
THREE = small_policy(
    dimensions=[
        {
            "key": key,
            "title": key.title(),
            "question": f"How {key} is it?",
            "levels": [{"value": v, "name": f"{key}{v}"} for v in range(3)],
            "clauses": [{"id": f"{key}.1", "text": f"Rule of {key}."}],
        }
        for key in ("topic", "tone", "depth")
    ]
)
EACH = PromptMode(scope="dimension")
FOUR = PromptMode(pairs_per_call=4)


def answered(
    edit: Callable[[Request, dict[str, Any]], Any] = lambda request, answer: answer, *, logprobs: bool = False
) -> Behaviour:
    """Answer in the form that is asked for; the grade of a pair is the number of its question, modulo 3."""

    def about(schema: dict[str, Any], number: str) -> dict[str, Any]:
        values = {"reason": "Because.", "cites": [], "grade": int(number) % 3}
        return {
            dimension: {key: values[key] for key in part["properties"]}
            for dimension, part in schema["properties"].items()
        }

    def behave(request: Request) -> Reply:
        schema = request.body["response_format"]["json_schema"]["schema"]
        numbers = re.findall(r"question (\d+)", request.message("user"))
        if "$defs" in schema:
            assert list(schema["properties"]) == [f"P{i + 1}" for i in range(len(numbers))]
            answer: Any = {
                label: about(schema["$defs"]["answer"], number)
                for label, number in zip(schema["properties"], numbers, strict=True)
            }
        else:
            (number,) = numbers
            answer = about(schema, number)
        written = json.dumps(edit(request, answer))
        reply = text(written)(request)
        if not logprobs:
            return reply
        body = json.loads(reply.body)
        # A token a character, each certain but for "0", beside which "1" has a quarter.
        content = [token(character) for character in written]
        body["choices"][0]["logprobs"] = {"content": content}
        return Reply(json.dumps(body).encode())

    return behave


def token(character: str) -> dict[str, Any]:
    sure = 0.75 if character == "0" else 1.0
    other = [{"token": "1", "logprob": math.log(0.25)}] if character == "0" else []
    own = {"token": character, "logprob": math.log(sure)}
    return {**own, "top_logprobs": [own, *other]}


def judge_at(provider: FakeProvider, mode: PromptMode, **options: Any) -> LlmJudge:
    return LlmJudge("m", base_url=provider.base_url, mode=mode, **{"max_attempts": 1} | options)


def grades_of(found: list[Verdict]) -> dict[str, tuple[int, ...]]:
    assert len({verdict.pair_id for verdict in found}) == len(found)
    return {verdict.pair_id: tuple(j.grade for j in verdict.judgements) for verdict in found}


@pytest.fixture
def cache(tmp_path: Path) -> Any:
    opened = VerdictCache(tmp_path / "verdicts.sqlite")
    yield opened
    opened.close()


def test_an_edit_of_one_dimension_asks_about_that_one_alone(cache: VerdictCache) -> None:
    body = policy_edit.set_clause(THREE, "tone.1", "Another rule.")
    newer = Policy.model_validate(THREE.model_dump() | body.model_dump() | {"version": 2})
    with FakeProvider(otherwise=answered()) as provider:
        first = verdicts_of(judge_at(provider, EACH, cache=cache), THREE, pairs(40))
        assert provider.calls == 120  # 40 pairs, three dimensions
        assert sum(verdict.usage.calls for verdict in first) == 120
        verdicts_of(judge_at(provider, EACH, cache=cache), THREE, pairs(40))
        assert provider.calls == 120
        second = verdicts_of(judge_at(provider, EACH, cache=cache), newer, pairs(40))
        assert provider.calls == 160
        assert all("Another rule." in r.message("system") for r in list(provider.requests)[120:])
        whole = verdicts_of(judge_at(provider, PromptMode(), cache=cache), newer, pairs(40))
        assert provider.calls == 200  # asked together they are other questions
    for found in (first, second, whole):
        grades = grades_of(found)
        assert set(grades) == {pair.id for pair in pairs(40)}
        assert all(len(set(of_pair)) == 1 and len(of_pair) == 3 for of_pair in grades.values())
    assert grades_of(first) == grades_of(second) == grades_of(whole)
    assert {(v.usage.calls, v.usage.from_cache) for v in second} == {(1, False)}
    assert len(cache) == 120 + 40 + 40


def test_everything_known_is_all_from_the_cache(cache: VerdictCache) -> None:
    with FakeProvider(otherwise=answered()) as provider:
        verdicts_of(judge_at(provider, EACH, cache=cache), SMALL, pairs(3))
        again = verdicts_of(judge_at(provider, EACH, cache=cache), SMALL, pairs(3))
    assert all((v.usage.from_cache, v.usage.calls, v.usage.cost_usd) == (True, 0, 0.0) for v in again)
    assert [tuple(j.dimension for j in v.judgements) for v in again] == [("topic", "tone")] * 3


def test_four_pairs_a_call_take_a_quarter_of_the_calls(cache: VerdictCache) -> None:
    with FakeProvider(otherwise=answered()) as provider:
        found = verdicts_of(judge_at(provider, FOUR, cache=cache), SMALL, pairs(40))
        assert provider.calls == 10
        assert sum(verdict.usage.calls for verdict in found) == 10
        sent = [sum(len(m["content"]) // 4 for m in r.body["messages"]) for r in provider.requests]
        assert sum(verdict.usage.input_tokens for verdict in found) == sum(sent)
        # Two more pairs: what is known is not asked again, whatever it was asked together with.
        verdicts_of(judge_at(provider, FOUR, cache=cache), SMALL, pairs(42))
        assert provider.calls == 11
        assert re.findall(r"question (\d+)", provider.requests[-1].message("user")) == ["40", "41"]
    # Question 7 has grade 7 modulo 3 = 1, and so on; the pair's part of the reply is kept with it.
    by_id = grades_of(found)
    assert [by_id[pair.id] for pair in pairs(9)] == [(n % 3, n % 3) for n in range(9)]
    assert all(len(json.loads(verdict.raw)) == 1 for verdict in found)


def test_what_fails_in_a_call_about_several_is_asked_once_more_alone(cache: VerdictCache) -> None:
    def lacking(request: Request, answer: dict[str, Any]) -> Any:
        del answer["P3"]
        return answer

    with FakeProvider([answered(lacking)], otherwise=answered()) as provider:
        found = verdicts_of(judge_at(provider, FOUR, cache=cache, concurrency=1), SMALL, pairs(4))
        assert provider.calls == 2
        assert re.findall(r"question (\d+)", provider.requests[-1].message("user")) == ["2"]
    assert not any(j.failed for v in found for j in v.judgements)
    third = next(v for v in found if v.pair_id == pairs(3)[2].id)
    assert [j.grade for j in third.judgements] == [2, 2]
    # The first call's count stands with the first of its pairs; the second call was about this one alone.
    assert (third.usage.calls, sum(v.usage.calls for v in found)) == (1, 2)
    assert len(cache) == 4


def test_what_fails_again_says_why_and_is_not_kept(cache: VerdictCache) -> None:
    def lacking(request: Request, answer: dict[str, Any]) -> Any:
        return {label: part for label, part in answer.items() if label != "P2"}

    def bad(request: Request, answer: dict[str, Any]) -> Any:
        return {"P1": {}}

    # The call, the one for P2 alone, and its correction.
    with FakeProvider([answered(lacking), answered(bad), answered(bad)]) as provider:
        found = verdicts_of(judge_at(provider, FOUR, cache=cache, concurrency=1), SMALL, pairs(3))
        assert provider.calls == 3
    failed = [v for v in found if any(j.failed for j in v.judgements)]
    assert [v.pair_id for v in failed] == [pairs(2)[1].id]
    assert "did not fit the policy, twice" in failed[0].judgements[0].error
    assert sum(v.usage.calls for v in found) == 3
    assert len(cache) == 2


def test_a_failed_call_fails_its_dimension_alone_and_the_others_are_kept(cache: VerdictCache) -> None:
    def script(request: Request) -> Reply:
        about_tone = "tone.p1" in request.message("system")
        return (error(400, "nothing") if about_tone else answered())(request)

    with FakeProvider(otherwise=script) as provider:
        (found,) = verdicts_of(judge_at(provider, EACH, cache=cache), SMALL, pairs(1))
    assert [(j.dimension, j.failed) for j in found.judgements] == [("topic", False), ("tone", True)]
    assert "nothing" in found.judgements[1].error
    assert (found.usage.calls, len(cache)) == (2, 1)


def test_permuted_orders_and_no_reason_are_asked_so_and_read(cache: VerdictCache) -> None:
    mode = PromptMode(level_order="permuted", dimension_order="permuted", reason="none")
    with FakeProvider(otherwise=answered()) as provider:
        found = verdicts_of(judge_at(provider, mode, cache=cache), THREE, pairs(24))
        asked = [r.body["response_format"]["json_schema"]["schema"]["properties"] for r in provider.requests]
        assert len({tuple(dimensions) for dimensions in asked}) > 1
        assert {tuple(part["properties"]) for dimensions in asked for part in dimensions.values()} == {
            ("grade",)
        }
        verdicts_of(judge_at(provider, mode, cache=cache), THREE, pairs(24))
        assert provider.calls == 24  # the same pair is asked in the same order
        verdicts_of(judge_at(provider, mode, cache=cache, repeat=1), THREE, pairs(24))
        assert provider.calls == 48
    assert {tuple(j.dimension for j in v.judgements) for v in found} == {("topic", "tone", "depth")}
    by_id = grades_of(found)
    assert [by_id[pair.id] for pair in pairs(5)] == [(n % 3,) * 3 for n in range(5)]
    assert {j.rationale for v in found for j in v.judgements} == {""}


def test_a_cap_within_a_pair_keeps_what_was_answered_and_counts_it(cache: VerdictCache) -> None:
    async def run(judge: LlmJudge) -> tuple[list[Verdict], CapReached | None]:
        found = []
        try:
            async for verdict in judge.grade(THREE, pairs(2)):
                found.append(verdict)
        except CapReached as reached:
            return found, reached
        return found, None

    with FakeProvider(otherwise=answered()) as provider:
        options: dict[str, Any] = {"cache": cache, "concurrency": 1, "params": {"max_tokens": 20}}
        free = LlmJudge("m", base_url=provider.base_url, mode=EACH, **options | {"cache": None})
        (whole,) = verdicts_of(free, THREE, pairs(1))
        call = (whole.usage.input_tokens + whole.usage.output_tokens) / 3
        before = provider.calls
        capped = judge_at(provider, EACH, cap_tokens=int(2.9 * call), **options)
        found, reached = asyncio.run(run(capped))
        assert reached is not None
        answers = provider.calls - before
        assert 1 <= answers < 3
        # The pair was paid for in part: it is told, with what it took, and what is missing says why.
        (partly,) = found
        assert partly.usage.calls == answers == len(cache)
        assert [j.failed for j in partly.judgements] == [i >= answers for i in range(3)]
        assert "Stopped at the cap" in partly.judgements[-1].error
        # With more to spend it goes on behind the answers that it has.
        found, reached = asyncio.run(run(judge_at(provider, EACH, cap_tokens=10**6, **options)))
        assert reached is None
        assert not any(j.failed for v in found for j in v.judgements)
        assert provider.calls - before == 6


def test_log_probabilities_become_probabilities_of_the_levels(caplog: pytest.LogCaptureFixture) -> None:
    params = {"logprobs": True, "top_logprobs": 2}
    for mode in (PromptMode(), EACH, PromptMode(pairs_per_call=2, reason="none")):
        with FakeProvider(otherwise=answered(logprobs=True)) as provider:
            found = verdicts_of(judge_at(provider, mode, params=params), THREE, pairs(2))
        first, second = (next(v for v in found if v.pair_id == pair.id) for pair in pairs(2))
        for judgement in first.judgements:  # grade 0: three quarters for 0, one for 1
            assert judgement.grade == 0
            assert judgement.probabilities == pytest.approx((0.75, 0.25, 0.0))
            assert judgement.expected == pytest.approx(0.25)
        assert [j.probabilities for j in second.judgements] == [(0.0, 1.0, 0.0)] * 3
    assert not caplog.records


def test_an_endpoint_without_log_probabilities_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), FakeProvider(otherwise=answered()) as provider:
        judge = judge_at(provider, EACH, params={"logprobs": True})
        found = verdicts_of(judge, THREE, pairs(4))
    assert [r.name for r in caplog.records] == ["workbench.judges.llm"]
    assert "The provider gave no log-probabilities." in caplog.text
    assert not any(j.failed or j.probabilities for v in found for j in v.judgements)


def test_the_default_mode_has_the_identity_and_the_keys_it_always_had(cache: VerdictCache) -> None:
    plain = LlmJudge("m", base_url="http://a/v1")
    # Written out: runs of before the modes have this identity.
    assert plain.identity == JudgeIdentity(
        kind="llm",
        name="m",
        params={
            "params": {},
            "response_mode": "json_schema",
            "endpoint": "http://a/v1",
            "template": plain.identity.params["template"],
        },
    )
    assert LlmJudge("m", base_url="http://a/v1", mode=PromptMode(seed=5)).identity == plain.identity
    moded = LlmJudge("m", base_url="http://a/v1", mode=EACH).identity
    more = {"mode": {"scope": "dimension"}, "modes_template": prompt_sheet.template_hash()}
    assert moded.params == plain.identity.params | more


def test_the_default_mode_finds_what_was_kept_before_there_were_modes(cache: VerdictCache) -> None:
    (pair,) = pairs(1)
    with FakeProvider(otherwise=answered()) as provider:
        key = verdict_key(
            messages=messages(SMALL, pair),
            model="m",
            params={"params": {}, "response_mode": "json_schema", "endpoint": provider.base_url},
        )
        verdicts_of(judge_at(provider, PromptMode(), cache=cache), SMALL, [pair])
        assert cache.get(key) is not None
        # A question in a mode is kept under its own messages, and the mode itself is no part of the key.
        verdicts_of(judge_at(provider, EACH, cache=cache), SMALL, [pair])
        assert (provider.calls, len(cache)) == (3, 3)


def test_a_spec_carries_its_mode_to_the_judge(tmp_path: Path) -> None:
    assert LlmSpec.model_validate({"kind": "llm", "model": "o/m"}).mode == PromptMode()  # runs kept before
    spec = LlmSpec(model="openai/m", mode=FOUR)
    assert LlmSpec.model_validate(spec.model_dump(mode="json")) == spec
    inputs = Inputs(SMALL, (), {}, None)  # type: ignore[arg-type]  # a language model reads no labels
    built = build_judge(spec, inputs, tmp_path)
    assert built.identity.params["mode"] == {"pairs_per_call": 4}
