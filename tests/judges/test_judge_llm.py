"""The LLM judge against a real HTTP server that misbehaves in every way we know."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from judge_samples import pairs, small_policy, verdicts_of

from workbench.errors import BadInput, Unavailable, WorkbenchError
from workbench.fake_provider import FakeProvider, Reply, Request, cut, error, graded, late, main, text
from workbench.golden import Pair
from workbench.judges.cache import VerdictCache
from workbench.judges.llm import LlmJudge
from workbench.judges.provider import retry_after
from workbench.prompt import reply_schema
from workbench.run import Verdict

KEY = "sk-very-secret-0123456789"
POLICY = small_policy()
KEYS = ("topic", "tone")


def fixed(grades: dict[str, Any]) -> Any:
    return graded(lambda request, key, allowed: grades[key])


FINE = fixed({"topic": 3, "tone": "N/A"})


class Sleeps:
    """Records waits instead of waiting."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
        await asyncio.sleep(0)


def judge_at(provider: FakeProvider, **options: Any) -> LlmJudge:
    options.setdefault("sleep", Sleeps())
    options.setdefault("max_attempts", 2)
    return LlmJudge("fake-hash-grader", base_url=provider.base_url, **options)


def one_verdict(script: list[Any], **options: Any) -> tuple[Verdict, FakeProvider]:
    with FakeProvider(script, otherwise=FINE) as provider:
        (verdict,) = verdicts_of(judge_at(provider, **options), POLICY, pairs(1))
    return verdict, provider


def errors_of(verdict: Verdict) -> set[str]:
    assert tuple(j.dimension for j in verdict.judgements) == KEYS
    assert all(j.failed for j in verdict.judgements)
    return {j.error for j in verdict.judgements}


def test_a_reply_becomes_a_verdict_with_its_usage() -> None:
    verdict, provider = one_verdict([])
    assert [(j.dimension, j.grade) for j in verdict.judgements] == [("topic", 3), ("tone", -2)]
    assert verdict.pair_id == pairs(1)[0].id
    assert json.loads(verdict.raw)["topic"]["grade"] == 3
    usage = verdict.usage
    assert (usage.calls, usage.from_cache, usage.cost_usd) == (
        1,
        False,
        None,
    )  # a private endpoint has no price
    system, user = provider.requests[0].message("system"), provider.requests[0].message("user")
    # The fake counts a token for every four characters of each message.
    assert usage.input_tokens == len(system) // 4 + len(user) // 4
    assert usage.cached_input_tokens == len(system) // 4
    assert usage.output_tokens == len(verdict.raw) // 4
    assert usage.latency_ms > 0


def test_the_request_asks_for_the_schema_and_carries_the_parameters() -> None:
    _, provider = one_verdict([], params={"temperature": 0, "top_k": 5})
    body = provider.requests[0].body
    assert (body["model"], body["temperature"], body["top_k"]) == ("fake-hash-grader", 0, 5)
    assert body["response_format"]["json_schema"]["strict"] is True
    assert list(body["response_format"]["json_schema"]["schema"]["properties"]) == list(KEYS)
    assert provider.requests[0].headers["authorization"] == "Bearer no-key"


def test_many_pairs_are_graded_once_each_with_bounded_concurrency() -> None:
    asked = pairs(60)
    with FakeProvider(delay_s=0.01) as provider:
        found = verdicts_of(judge_at(provider, concurrency=4), POLICY, asked)
    assert sorted(v.pair_id for v in found) == sorted(p.id for p in asked)
    assert provider.calls == 60
    assert 2 <= provider.most_at_once <= 4
    assert len({r.message("system") for r in provider.requests}) == 1


def test_verdicts_stream_and_leaving_early_stops_asking() -> None:
    async def first_two(judge: LlmJudge) -> int:
        verdicts = judge.grade(POLICY, pairs(50))
        count = 0
        async for _ in verdicts:
            count += 1
            if count == 2:
                break
        await verdicts.aclose()  # type: ignore[attr-defined]
        return count

    with FakeProvider(delay_s=0.005) as provider:
        assert asyncio.run(first_two(judge_at(provider, concurrency=2))) == 2
        assert provider.calls < 12  # two taken, at most two waiting, two in work, and a little lead


def test_no_pairs_no_calls() -> None:
    with FakeProvider() as provider:
        assert verdicts_of(judge_at(provider), POLICY, []) == []
        assert provider.calls == 0


@pytest.mark.parametrize(
    ("write", "grade"),
    [
        (lambda t: f"\n  {t}\n", 3),
        (lambda t: f"```json\n{t}\n```", 3),
        (lambda t: t.replace("A hash", "日本語 \\u202e 🧑‍🚀 \\ud83d"), 3),
        (lambda t: t.replace('"grade": 3', '"grade": 3.0'), 3),
    ],
    ids=["white space", "code fence", "unicode oddities", "3.0"],
)
def test_replies_that_are_understood(write: Any, grade: int) -> None:
    script = [graded(lambda r, k, g: {"topic": 3, "tone": 1}[k], write=write)]
    verdict, provider = one_verdict(script)
    assert verdict.judgements[0].grade == grade
    assert provider.calls == 1
    Verdict.model_validate_json(verdict.model_dump_json())  # whatever came in can be stored and read


def without(key: str) -> Any:
    return lambda answer: {k: v for k, v in answer.items() if k != key}


def with_grade(grade: Any) -> Any:
    return lambda answer: answer | {"topic": answer["topic"] | {"grade": grade}}


BAD_REPLIES = {
    "truncated JSON": (graded(write=lambda t: t[: len(t) // 2]), "breaks off"),
    "prose": (text("I would say it is a 3."), "starts with"),
    "missing dimension": (graded(edit=without("tone")), "lacks dimension tone"),
    "unknown dimension": (graded(edit=lambda a: a | {"mood": a["tone"]}), 'unknown dimension "mood"'),
    "out of range": (graded(edit=with_grade(7)), "topic.grade is 7, outside its scale"),
    "text for a grade": (graded(edit=with_grade("3")), 'topic.grade is "3"'),
    "N/A not allowed": (graded(edit=with_grade("N/A")), "which it does not allow"),
    "wrong schema": (text('{"grade": 3}'), "lacks dimension topic, tone"),
    "a list": (text("[3, 2]"), "starts with"),
    "1 MB": (graded(write=lambda t: t.replace("A hash", "x" * 1_000_000)), "at most 200,000"),
}


@pytest.mark.parametrize("name", BAD_REPLIES)
def test_a_bad_reply_is_asked_again_once_with_the_error(name: str) -> None:
    bad, reason = BAD_REPLIES[name]
    verdict, provider = one_verdict([bad])
    assert [j.grade for j in verdict.judgements] == [3, -2]
    assert (provider.calls, verdict.usage.calls) == (2, 2)
    roles = [m["role"] for m in provider.requests[1].body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert reason in provider.requests[1].body["messages"][3]["content"]
    assert len(provider.requests[1].body["messages"][2]["content"]) <= 20_000


@pytest.mark.parametrize("name", BAD_REPLIES)
def test_a_reply_that_is_bad_twice_becomes_failed_judgements(name: str) -> None:
    bad, reason = BAD_REPLIES[name]
    verdict, provider = one_verdict([bad, bad])
    (told,) = errors_of(verdict)
    assert reason in told
    assert "twice" in told
    assert provider.calls == 2
    assert 0 < len(verdict.raw) <= 20_000


FAULTS = {
    "500": (error(500, "boom"), "HTTP 500: boom", 2),
    "503": (error(503, "overloaded"), "HTTP 503: overloaded", 2),
    "400": (error(400, "maximum context length is 8 tokens"), "HTTP 400: maximum context", 1),
    "reset": (cut(20), "the connection failed", 2),
    "reset at once": (cut(0), "the connection failed", 2),
    "timeout": (late(3), "no answer within 1 s", 2),
    "empty": (text(""), "the reply is empty", 2),
    "blank": (text(" \n"), "the reply is empty", 2),
    "null": (text(None), "the reply is empty", 2),
    "refusal": (text(None, refusal="I cannot help with that."), "the model refused: I cannot", 1),
    "filter": (text("", finish_reason="content_filter"), "content filter", 1),
    "filter as 400": (error(400, "filtered", code="content_filter"), "content filter", 1),
    "length": (text('{"topic": ', finish_reason="length"), "cut off at the token limit", 1),
    "HTML": (lambda r: Reply(b"<html>", 200, {"Content-Type": "text/html"}), "but text/html", 2),
    "broken body": (lambda r: Reply(b'{"choices": [', 200), "not a chat completion", 2),
    "no choices": (lambda r: Reply(b'{"choices": []}'), "no message", 2),
    "choices of another kind": (lambda r: Reply(b'{"choices": {"a": 1}, "usage": 3}'), "no message", 2),
    "error in a 200": (lambda r: Reply(b'{"error": {"message": "no GPU"}}'), "no message: no GPU", 2),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_stays_becomes_failed_judgements_with_its_reason(name: str) -> None:
    fault, reason, calls = FAULTS[name]
    verdict, provider = one_verdict([fault, fault], timeout_s=1 if name == "timeout" else 30)
    (told,) = errors_of(verdict)
    assert reason in told
    assert len(told) < 300
    assert provider.calls == verdict.usage.calls == calls
    assert verdict.usage.cost_usd is None


@pytest.mark.parametrize("name", [name for name, (_, _, calls) in FAULTS.items() if calls == 2])
def test_a_fault_that_passes_costs_one_more_call(name: str) -> None:
    verdict, provider = one_verdict([FAULTS[name][0]], timeout_s=1 if name == "timeout" else 30)
    assert [j.grade for j in verdict.judgements] == [3, -2]
    assert provider.calls == 2


def test_a_reply_cut_off_keeps_its_text() -> None:
    verdict, _ = one_verdict([text('{"topic": ', finish_reason="length")])
    assert verdict.raw == '{"topic": '


def test_backoff_has_full_jitter_and_is_capped() -> None:
    sleeps = Sleeps()
    script = [error(500)] * 7
    one_verdict(script, sleep=sleeps, max_attempts=8, jitter=lambda most: most)
    assert sleeps.waits == [1, 2, 4, 8, 16, 30, 30]  # 2^(k-1) s, at most 30


def test_retry_after_is_obeyed_and_holds_for_every_worker() -> None:
    sleeps = Sleeps()
    script = [error(429, "slow down", headers={"Retry-After": "7"})]
    with FakeProvider(script, otherwise=FINE) as provider:
        judge = judge_at(provider, sleep=sleeps, clock=lambda: 100.0, jitter=lambda most: 0.0, concurrency=1)
        found = verdicts_of(judge, POLICY, pairs(2))
    assert all(not j.failed for v in found for j in v.judgements)
    # The clock stands still, so each of the two later requests sees the pause until 107 again.
    assert sleeps.waits == [7, 7, 7]


def test_a_retry_after_beyond_the_limit_is_a_failure() -> None:
    script = [error(429, "come back tomorrow", headers={"Retry-After": "86400"})]
    verdict, provider = one_verdict(script)
    assert errors_of(verdict) == {"HTTP 429: come back tomorrow"}
    assert provider.calls == 1


def test_retry_after_forms() -> None:
    assert retry_after({"retry-after": "1.5"}) == 1.5
    assert retry_after({"retry-after": "-3"}) == 0
    assert retry_after({"retry-after": "Wed, 01 Jan 2020 00:00:00 GMT"}) == 0
    assert (retry_after({"retry-after": "Wed, 01 Jan 2200 00:00:00 GMT"}) or 0) > 1e9
    for nothing in ("", "soon", "nan", "inf", "99 bottles"):
        assert retry_after({"retry-after": nothing}) is None


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (401, "", "refused the key for fake-hash-grader (401)"),
        (403, "", "refused the key for fake-hash-grader (403)"),
        (404, "", "has no model fake-hash-grader (404)"),
        (429, "insufficient_quota", "no quota left"),
    ],
)
def test_what_cannot_get_better_stops_the_run_at_once(
    status: int, code: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_KEY", KEY)
    with FakeProvider(otherwise=error(status, f"Bearer {KEY} is bad", code=code)) as provider:
        judge = judge_at(provider, api_key_env="FAKE_KEY", concurrency=1)
        with pytest.raises(Unavailable) as caught:
            verdicts_of(judge, POLICY, pairs(30))
        assert provider.calls == 1
        assert provider.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert said in caught.value.message
    assert status == 404 or "FAKE_KEY" in caught.value.hint
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_missing_key_stops_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAKE_KEY", raising=False)
    with FakeProvider() as provider:
        with pytest.raises(Unavailable, match="FAKE_KEY"):
            verdicts_of(judge_at(provider, api_key_env="FAKE_KEY"), POLICY, pairs(1))
        monkeypatch.setenv("FAKE_KEY", "pasted with\na line break")
        with pytest.raises(Unavailable, match="characters that no key has"):
            verdicts_of(judge_at(provider, api_key_env="FAKE_KEY"), POLICY, pairs(1))
        assert provider.calls == 0
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(Unavailable, match="OPENAI_API_KEY"):
        verdicts_of(LlmJudge("openai/gpt-4o-mini"), POLICY, pairs(1))


def test_the_openai_key_is_not_sent_to_another_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    _, provider = one_verdict([])
    assert KEY not in json.dumps(dict(provider.requests[0].headers))


def test_the_key_appears_nowhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_KEY", KEY)
    caplog.set_level(logging.DEBUG)

    def echo(request: Request) -> Reply:
        return text("You sent " + request.headers["authorization"])(request)

    def echo_in_reason(request: Request) -> Reply:
        return graded(write=lambda t: t.replace("A hash", request.headers["authorization"]))(request)

    faults = [error(s, f"bad key {KEY} and sk-very-****6789") for s in (400, 422, 500, 503)]
    script = [*faults, echo, echo, echo_in_reason, text(None, refusal=f"no {KEY}")]
    with FakeProvider(script) as provider:
        judge = judge_at(provider, api_key_env="FAKE_KEY", max_attempts=1, concurrency=1)
        found = verdicts_of(judge, POLICY, pairs(7))
        assert provider.calls == 8
    everything = "".join(v.model_dump_json() for v in found) + judge.identity.model_dump_json() + caplog.text
    out = capsys.readouterr()
    everything += repr(judge) + out.out + out.err
    assert "[key]" in everything  # it was there to be taken out
    assert "very-secret" not in everything
    assert "****6789" not in everything  # the tail alone may occur by chance, in a hash or a time


def test_secrets_in_parameters_and_addresses_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", KEY)
    params: dict[str, Any]
    for params in ({"api_key": "x"}, {"extra_headers": {}}, {"user": KEY}, {"auth_token": "x"}):
        with pytest.raises(BadInput, match="api_key_env"):
            LlmJudge("m", params=params)
    assert LlmJudge("m", params={"max_tokens": 9, "prompt_cache_key": "a"}).identity.params["params"]
    for url in ("http://user:pw@host/v1", "http://host/v1?key=x"):
        with pytest.raises(BadInput, match="api_key_env"):
            LlmJudge("m", base_url=url)


@pytest.mark.parametrize(
    "options",
    [
        {"model": " "},
        {"base_url": "host:8000"},
        {"base_url": "http://host:99999999/v1"},
        {"base_url": "http://[::1/v1"},
        {"concurrency": 0},
        {"max_attempts": 0},
        {"timeout_s": float("nan")},
        {"response_mode": "xml"},
        {"params": {"messages": []}},
        {"params": {"temperature": float("nan")}},
        {"params": {"a": object()}},
    ],
)
def test_bad_settings_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        LlmJudge(**({"model": "m"} | options))


def test_a_dead_provider_stops_the_run_after_some_failures_in_a_row() -> None:
    async def collect(judge: LlmJudge) -> tuple[list[Verdict], WorkbenchError]:
        found = []
        try:
            async for verdict in judge.grade(POLICY, pairs(200)):
                found.append(verdict)
        except WorkbenchError as problem:
            return found, problem
        raise AssertionError("the run did not stop")

    # Two good ones first: they survive, and set the count back.
    with FakeProvider([error(500), FINE, FINE], otherwise=error(500, "boom")) as provider:
        judge = judge_at(provider, max_attempts=1, max_failures=5, concurrency=1)
        found, problem = asyncio.run(collect(judge))
        assert provider.calls == 3 + 5
    assert [v.judgements[0].failed for v in found] == [True, False, False] + [True] * 5
    assert "5 pairs in a row" in problem.message
    assert "HTTP 500: boom" in problem.message


def test_refusals_do_not_count_as_a_dead_provider() -> None:
    with FakeProvider(otherwise=text(None, refusal="no")) as provider:
        found = verdicts_of(judge_at(provider, max_failures=3), POLICY, pairs(10))
    assert len(found) == 10


def test_nobody_listens() -> None:
    with FakeProvider() as provider:
        address = provider.base_url
    judge = LlmJudge("m", base_url=address, sleep=Sleeps(), max_attempts=1)
    (verdict,) = verdicts_of(judge, POLICY, pairs(1))
    (told,) = errors_of(verdict)
    assert "the connection failed" in told


def test_an_unsupported_response_format_falls_back_openly(caplog: pytest.LogCaptureFixture) -> None:
    refused: list[str] = []

    def picky(request: Request) -> Reply:
        wanted = request.body.get("response_format", {}).get("type")
        if wanted is not None:
            refused.append(wanted)
            return error(400, f"response_format type {wanted} is not supported")(request)
        return graded(policy=POLICY)(request)

    with FakeProvider(otherwise=picky) as provider:
        judge = judge_at(provider, concurrency=1)
        before = judge.identity
        found = verdicts_of(judge, POLICY, pairs(3))
        assert provider.calls == 2 + 3
    assert refused == ["json_schema", "json_object"]
    assert all(not j.failed for v in found for j in v.judgements)
    assert judge.response_mode == "text"
    assert judge.identity == before
    assert [r.levelname for r in caplog.records if r.name == "workbench.judges.asking"] == ["WARNING"] * 2
    assert "the rest of the run uses json_object" in caplog.text


def test_a_verdict_is_paid_for_once(tmp_path: Path) -> None:
    asked = pairs(5)
    with FakeProvider([error(400)], otherwise=FINE) as provider:

        def run(**options: Any) -> list[Verdict]:
            cache = VerdictCache(tmp_path / "verdicts.sqlite")
            found = verdicts_of(judge_at(provider, cache=cache, concurrency=1, **options), POLICY, asked)
            cache.close()
            return sorted(found, key=lambda v: v.pair_id)

        run()
        assert provider.calls == 5
        run()  # one had failed, and a failure is not kept
        assert provider.calls == 6
        third = run(timeout_s=5, max_attempts=3)  # how it is asked does not matter
        assert provider.calls == 6
        assert [v.pair_id for v in third] == sorted(p.id for p in asked)
        assert all(v.usage.from_cache and v.usage.calls == 0 and v.usage.cost_usd == 0 for v in third)
        assert all([j.grade for j in v.judgements] == [3, -2] for v in third)
        run(repeat=1)
        assert provider.calls == 11
        run(params={"temperature": 1})
        assert provider.calls == 16


def test_an_edit_of_the_overall_rule_or_the_message_asks_nothing_again(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path / "verdicts.sqlite")
    newer = small_policy(version=2, message="Stricter.", overall={"cut_points": [1.0, 1.9]})
    reworded = small_policy(title="Is the page an answer?")
    with FakeProvider() as provider:
        for policy, calls in ((POLICY, 3), (newer, 3), (reworded, 6)):
            verdicts_of(judge_at(provider, cache=cache), policy, pairs(3))
            assert provider.calls == calls
    cache.close()


def test_identity_holds_what_changes_answers_and_nothing_else() -> None:
    one = LlmJudge("m", base_url="http://a/v1/", params={"seed": 1}, concurrency=2, timeout_s=3, repeat=1)
    same = LlmJudge("m", base_url="http://a/v1", params={"seed": 1}, api_key_env="OTHER")
    assert one.identity.hash == same.identity.hash
    others = [
        LlmJudge("n", base_url="http://a/v1", params={"seed": 1}),
        LlmJudge("m", base_url="http://b/v1", params={"seed": 1}),
        LlmJudge("m", base_url="http://a/v1", params={"seed": 2}),
        LlmJudge("m", base_url="http://a/v1", params={"seed": 1}, response_mode="text"),
    ]
    assert len({judge.identity.hash for judge in [one, *others]}) == 5
    assert set(one.identity.params) == {"params", "response_mode", "endpoint", "template"}


def test_other_providers_go_through_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    # hosted_vllm is litellm's name for a vLLM server; its address comes from the environment.
    with FakeProvider([error(429, headers={"Retry-After": "3"}), error(500)], otherwise=FINE) as provider:
        monkeypatch.setenv("HOSTED_VLLM_API_BASE", provider.base_url)
        monkeypatch.setenv("HOSTED_VLLM_API_KEY", KEY)
        sleeps = Sleeps()
        judge = LlmJudge(
            "hosted_vllm/fake-hash-grader", sleep=sleeps, jitter=lambda most: 0.0, max_attempts=3
        )
        (verdict,) = verdicts_of(judge, POLICY, pairs(1))
        assert [j.grade for j in verdict.judgements] == [3, -2]
        assert (provider.calls, verdict.usage.calls, verdict.usage.cost_usd) == (3, 3, None)
        assert sleeps.waits[0] == 3
        assert verdict.usage.input_tokens > 0
        assert provider.requests[0].body["response_format"]["type"] == "json_schema"
    with FakeProvider([text(None, refusal="I will not.")]) as provider:
        monkeypatch.setenv("HOSTED_VLLM_API_BASE", provider.base_url)
        (verdict,) = verdicts_of(LlmJudge("hosted_vllm/m"), POLICY, pairs(1))
        assert errors_of(verdict) == {"the model refused: I will not."}
    with FakeProvider(otherwise=error(401, f"bad {KEY}")) as provider:
        monkeypatch.setenv("HOSTED_VLLM_API_BASE", provider.base_url)
        with pytest.raises(Unavailable, match="hosted_vllm refused the key") as caught:
            verdicts_of(LlmJudge("hosted_vllm/m"), POLICY, pairs(1))
        assert "HOSTED_VLLM_API_KEY" in caught.value.hint
        assert KEY not in str(caught.value)
    with pytest.raises(BadInput, match="does not say who provides it"):
        verdicts_of(LlmJudge("no-such-provider/model"), POLICY, pairs(1))


def test_a_known_price_is_applied_and_an_unknown_one_stays_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.loads(FINE(Request("", {}, _schema_request())).body)
    body["usage"] = {
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "total_tokens": 1100,
        "prompt_tokens_details": {"cached_tokens": 400},
    }
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def sold(request: Request) -> Reply:
        return Reply(json.dumps(body | {"model": request.body["model"]}).encode())

    with FakeProvider(otherwise=sold) as provider:
        monkeypatch.setattr("workbench.judges.provider.OPENAI_URL", provider.base_url)
        (known,) = verdicts_of(LlmJudge("openai/gpt-4o-mini"), POLICY, pairs(1))
        (unknown,) = verdicts_of(LlmJudge("openai/gpt-nobody-sells"), POLICY, pairs(1))
        assert [r.body["model"] for r in provider.requests] == ["gpt-4o-mini", "gpt-nobody-sells"]
    # A million tokens cost 0.15 $ in, 0.075 $ cached, 0.60 $ out: 600 x 0.15 + 400 x 0.075 + 100 x 0.60 millionths.
    assert known.usage.cost_usd == pytest.approx(180e-6)
    assert unknown.usage.cost_usd is None


def _schema_request() -> dict[str, Any]:
    schema = {"type": "json_schema", "json_schema": {"schema": reply_schema(POLICY)}}
    return {"response_format": schema, "messages": []}


def test_the_fake_server_is_stable_and_differs_by_model() -> None:
    with FakeProvider() as provider:

        def grades(model: str) -> list[int]:
            judge = LlmJudge(model, base_url=provider.base_url)
            found = sorted(verdicts_of(judge, POLICY, pairs(20)), key=lambda v: v.pair_id)
            return [v.judgements[0].grade for v in found]

        one, again, other = (
            grades("fake-hash-grader"),
            grades("fake-hash-grader"),
            grades("fake-hash-grader-b"),
        )
    assert one == again != other
    assert set(one) == {0, 1, 2, 3, 4}


def test_the_fake_server_refuses_bad_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "mean nothing" in " ".join(capsys.readouterr().out.split())


def test_memory_does_not_grow_with_the_number_of_pairs() -> None:
    """Pairs are drawn one at a time: while two workers wait, two are taken of a hundred thousand."""

    class Counted(Sequence[Pair]):
        def __init__(self) -> None:
            self.taken = 0
            self.pairs = pairs(1)

        def __len__(self) -> int:
            return 100_000

        def __getitem__(self, index: Any) -> Any:
            self.taken += 1
            return self.pairs[0]

    async def first(judge: LlmJudge, counted: Counted) -> int:
        verdicts = judge.grade(POLICY, counted)
        await anext(verdicts)
        tasks = len(asyncio.all_tasks())
        await verdicts.aclose()  # type: ignore[attr-defined]
        return tasks

    counted = Counted()
    with FakeProvider() as provider:
        tasks = asyncio.run(first(judge_at(provider, concurrency=2), counted))
    assert tasks <= 2 * 2 + 2  # a worker and what its connection may need, the test and its loop
    assert counted.taken <= 8


class FakeAnthropic(FakeProvider):
    """Answers /v1/messages in Anthropic's form."""

    def answer(self, request: Request) -> Reply:
        assert request.path == "/v1/messages"
        self.calls += 1
        self.requests.append(request)
        grades = {key: {"reason": "r", "cites": [], "grade": 2} for key in KEYS}
        usage = {
            "input_tokens": 50,
            "cache_read_input_tokens": 900,
            "cache_creation_input_tokens": 0,
            "output_tokens": 30,
        }
        answer = {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-4-5",
            "content": [{"type": "text", "text": json.dumps(grades)}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": usage,
        }
        return Reply(json.dumps(answer).encode())


def test_the_policy_is_marked_for_the_cache_of_anthropic(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeAnthropic() as provider:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_API_BASE", provider.base_url.removesuffix("/v1"))
        judge = LlmJudge("anthropic/claude-haiku-4-5", response_mode="text", max_attempts=1)
        (verdict,) = verdicts_of(judge, POLICY, pairs(1))
    (system,) = provider.requests[0].body["system"]
    assert system["cache_control"] == {"type": "ephemeral"}
    assert "Synonyms count." in system["text"]
    assert [j.grade for j in verdict.judgements] == [2, 2]
    # 900 of the 950 tokens sent were still held.
    assert (verdict.usage.cached_input_tokens, verdict.usage.input_tokens) == (900, 950)
    assert (verdict.usage.cost_usd or 0) > 0
