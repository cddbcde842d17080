"""Judging through a batch API, against a real HTTP server that counts files, batches and answers; nothing sleeps."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
import sqlite3
import threading
import time as clocks
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_server import BatchServer, line_error
from faults import FINE
from judge_samples import pairs, small_policy, verdicts_of
from test_judge_modes import EACH, FOUR, answered
from test_kill_resume import COUNT, job, start

from workbench.errors import BadInput, Unavailable
from workbench.fake_provider import FakeProvider, Reply, Request, error, text
from workbench.golden import Pair
from workbench.judges.batch import BatchJudge
from workbench.judges.batch_ledger import BatchLedger
from workbench.judges.batch_rules import batch_price, batch_refusal
from workbench.judges.cache import VerdictCache
from workbench.judges.llm import LlmJudge
from workbench.prices import ModelPrice
from workbench.prompt_mode import PromptMode
from workbench.run import CapReached, Charged, LlmSpec, Usage, Verdict
from workbench.token_count import count_tokens

POLICY = small_policy()
SECRET = "sk-batch-0123456789abcdef"


class Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = clocks.time()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[VerdictCache]:
    opened = VerdictCache(tmp_path / "verdicts.sqlite")
    yield opened
    opened.close()


def judge_at(server: BatchServer, cache: VerdictCache, time: Time | None = None, **more: Any) -> BatchJudge:
    time = time or Time()
    options = {"model": "m", "base_url": server.base_url} | more
    return BatchJudge(options.pop("model"), cache=cache, sleep=time.sleep, clock=lambda: time.now, **options)


def left_in_ledger(cache: VerdictCache) -> tuple[int, int]:
    """Return the batches and requests that the ledger holds."""
    with sqlite3.connect(cache.path) as db:
        return tuple(
            db.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("batches", "batch_requests")
        )  # type: ignore[return-value]


def errors_of(found: list[Verdict]) -> set[str]:
    return {j.error for verdict in found for j in verdict.judgements if j.failed}


def taken(judge: BatchJudge, asked: list[Pair], most: int) -> list[Verdict]:
    """Listen to the first verdicts, then go away."""

    async def some() -> list[Verdict]:
        found: list[Verdict] = []
        verdicts = judge.grade(POLICY, asked)
        async for verdict in verdicts:
            found.append(verdict)
            if len(found) == most:
                break
        await verdicts.aclose()  # type: ignore[attr-defined]
        return found

    return asyncio.run(some())


def test_one_batch_answers_all_pairs_and_nothing_is_left_in_the_ledger(cache: VerdictCache) -> None:
    with BatchServer() as server:
        judge = judge_at(server, cache)
        assert isinstance(judge, Charged)
        found = verdicts_of(judge, POLICY, pairs(30))
        assert (server.uploads, server.created, server.answered) == (1, 1, 30)
        line = server.requests[0]
    assert {verdict.pair_id for verdict in found} == {pair.id for pair in pairs(30)}
    assert len(found) == 30
    assert errors_of(found) == set()
    # One request a pair; an own server has no price.
    assert {(v.usage.calls, v.usage.cost_usd) for v in found} == {(1, None)}
    assert found[0].usage.input_tokens > 0
    assert left_in_ledger(cache) == (0, 0)
    assert re.fullmatch("verdict-[0-9a-f]{32}", line["custom_id"])
    assert sorted(line["body"]) == ["messages", "model", "response_format"]
    (trace,) = found[0].traces
    # The server says that its batches take 60 s.
    assert (trace.key in {r["custom_id"] for r in server.requests}, trace.attempts[0].seconds) == (True, 60.0)


@pytest.mark.parametrize(
    "mode", [PromptMode(), EACH, FOUR, PromptMode(level_order="permuted", reason="none")]
)
def test_verdicts_are_those_of_the_other_delivery_and_shared_with_it(
    cache: VerdictCache, mode: PromptMode
) -> None:
    with BatchServer(answered()) as server, FakeProvider(otherwise=answered()) as provider:
        found = verdicts_of(judge_at(server, cache, mode=mode), POLICY, pairs(10))
        sent = {json.dumps(r["body"]["messages"]) for r in server.requests}
        calls = LlmJudge("m", base_url=provider.base_url, mode=mode)
        single = verdicts_of(calls, POLICY, pairs(10))
        assert sent == {json.dumps(r.body["messages"]) for r in provider.requests}
        grades = {v.pair_id: [(j.dimension, j.grade) for j in v.judgements] for v in found}
        assert grades == {v.pair_id: [(j.dimension, j.grade) for j in v.judgements] for v in single}
        # The endpoint is part of the key, so the other delivery is asked at the same one, where it would fail.
        same = LlmJudge("m", base_url=server.base_url, mode=mode, cache=cache, max_attempts=1)
        again = verdicts_of(same, POLICY, pairs(10))
    assert all(verdict.usage.from_cache for verdict in again)
    assert {v.pair_id: [(j.dimension, j.grade) for j in v.judgements] for v in again} == grades


def test_identity_says_the_delivery_and_nothing_else_is_different(cache: VerdictCache) -> None:
    with BatchServer() as server:
        one = judge_at(server, cache).identity
        other = LlmJudge("m", base_url=server.base_url).identity
    assert one.params == other.params | {"delivery": "batch"}


def test_what_is_known_is_not_asked(cache: VerdictCache) -> None:
    with BatchServer() as server:
        verdicts_of(judge_at(server, cache), POLICY, pairs(4))
        found = verdicts_of(judge_at(server, cache), POLICY, pairs(6))
        assert (server.created, server.answered) == (2, 6)
        whole = verdicts_of(judge_at(server, cache), POLICY, pairs(6))
        assert server.created == 2
    assert [v.usage.from_cache for v in found] == [True] * 4 + [False] * 2
    assert {(v.usage.cost_usd, v.usage.from_cache) for v in whole} == {(0.0, True)}


def test_two_pairs_of_one_text_are_asked_once(cache: VerdictCache) -> None:
    # Fields that the policy does not lay out make another pair, and the same question.
    one = pairs(1)[0]
    other = Pair(query=one.query, document=one.document | {"unseen": "more"})
    with BatchServer() as server:
        found = verdicts_of(judge_at(server, cache), POLICY, [one, other])
        assert server.answered == 1
    assert {v.pair_id for v in found} == {one.id, other.id}
    assert sorted(v.usage.calls for v in found) == [0, 1]


def test_files_are_cut_at_the_limits_of_the_api(cache: VerdictCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.judges.batch_work.FILE_REQUESTS", 4)
    with BatchServer() as server:
        found = verdicts_of(judge_at(server, cache), POLICY, pairs(10))
        assert [b["request_counts"]["total"] for b in server.batches] == [4, 4, 2]
        size = max(len(line) for file in server.files.values() for line in file.splitlines())
        monkeypatch.setattr("workbench.judges.batch_work.FILE_REQUESTS", 100)
        monkeypatch.setattr("workbench.judges.batch_work.FILE_BYTES", 3 * size)
        before = len(server.batches)
        verdicts_of(judge_at(server, cache, repeat=1), POLICY, pairs(10))
        assert all(b["request_counts"]["total"] <= 3 for b in server.batches[before:])
    assert len(found) == 10


def test_a_reply_that_cannot_be_used_is_asked_again_in_one_more_batch(cache: VerdictCache) -> None:
    def script(request: Request) -> Reply:
        corrected = any("cannot be used" in m["content"] for m in request.body["messages"])
        return (answered() if corrected or "question 3" not in request.message("user") else text("no"))(
            request
        )

    with BatchServer(script) as server:
        found = verdicts_of(judge_at(server, cache), POLICY, pairs(5))
        assert [b["request_counts"]["total"] for b in server.batches] == [5, 1]
        last = server.requests[-1]["body"]["messages"]
    assert [m["role"] for m in last] == ["system", "user", "assistant", "user"]
    assert last[2]["content"] == "no"
    assert last[3]["content"].startswith('That reply cannot be used: the reply starts with "no"')
    assert errors_of(found) == set()
    mended = next(v for v in found if v.pair_id == pairs(4)[3].id)
    # Both requests are its: two calls, and more tokens than the correction alone.
    alone = sum(len(m["content"]) // 4 for m in last)
    first = sum(len(m["content"]) // 4 for m in last[:2])
    assert (mended.usage.calls, mended.usage.input_tokens) == (2, first + alone)
    assert [bool(a.outcome) for a in mended.traces[0].attempts] == [True, False]


def test_a_second_reply_that_cannot_be_used_fails_the_pair(cache: VerdictCache) -> None:
    with BatchServer(text("no")) as server:
        found = verdicts_of(judge_at(server, cache), POLICY, pairs(2))
        assert (server.created, server.answered) == (2, 4)
    (reason,) = errors_of(found)
    assert reason.startswith("the reply did not fit the policy, twice: the reply starts with")
    assert {v.usage.calls for v in found} == {2}
    assert (len(cache), left_in_ledger(cache)) == (0, (0, 0))


@pytest.mark.parametrize(
    ("fault", "batches", "says"),
    [
        (line_error(429, "slow down"), 2, None),  # asked again, and then answered
        (line_error(400, "too long"), 1, "HTTP 400: too long"),  # asking again would give the same
        (lambda line: "{ no JSON", 2, None),
        (lambda line: None, 2, None),  # no line at all
        (
            lambda line: {
                "custom_id": line["custom_id"],
                "response": None,
                "error": {"code": "batch_expired", "message": "Too late."},
            },
            2,
            None,
        ),
        (lambda line: {"custom_id": line["custom_id"]}, 2, None),
    ],
)  # fmt: skip
def test_a_line_without_an_answer(
    cache: VerdictCache, fault: Callable[[Any], Any], batches: int, says: str | None
) -> None:
    with BatchServer() as server:
        server.faults[2] = fault
        found = verdicts_of(judge_at(server, cache), POLICY, pairs(5))
        assert server.created == batches
    assert len(found) == 5
    assert errors_of(found) == ({says} if says else set())
    assert left_in_ledger(cache) == (0, 0)


def test_a_fault_that_stays_fails_after_two_batches_with_the_provider_s_words(cache: VerdictCache) -> None:
    with BatchServer(error(500, "overloaded")) as server:
        found = verdicts_of(judge_at(server, cache), POLICY, pairs(3))
        assert (server.created, server.answered) == (2, 6)
    assert errors_of(found) == {"HTTP 500: overloaded (2 attempts)"}


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_what_finished_of_a_batch_is_kept_and_the_rest_asked_again(cache: VerdictCache, status: str) -> None:
    with BatchServer() as server:
        server.ends.append((status, 6))
        found = verdicts_of(judge_at(server, cache), POLICY, pairs(10))
        # 6 of 10, then the other 4: none of the 6 is paid for twice.
        assert (server.created, server.answered) == (2, 10)
    assert (len(found), errors_of(found)) == (10, set())


def test_a_batch_that_fails_twice_fails_its_pairs_with_the_reason(cache: VerdictCache) -> None:
    with BatchServer() as server:
        server.ends.extend([("failed", 0), ("failed", 0)])
        found = verdicts_of(judge_at(server, cache), POLICY, pairs(2))
        assert (server.created, server.answered) == (2, 0)
    assert errors_of(found) == {"the batch failed: The scripted batch failed. (2 attempts)"}
    assert left_in_ledger(cache) == (0, 0)


def test_a_batch_without_room_waits_for_the_others(
    cache: VerdictCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.judges.batch_work.FILE_REQUESTS", 3)
    with BatchServer() as server:
        server.error_code = "token_limit_exceeded"
        # Of two batches the first has no room until the second has ended; to wait is no try.
        server.ends.append(("failed", 0))
        found = verdicts_of(judge_at(server, cache), POLICY, pairs(6))
        assert (server.created, server.answered) == (3, 6)
    assert errors_of(found) == set()
    assert {v.usage.calls for v in found} == {1}


def test_stopped_early_it_leaves_the_batch_and_a_new_start_picks_it_up(
    cache: VerdictCache, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.judges.batch_work.READ_TOGETHER", 4)
    caplog.set_level(logging.INFO, "workbench")
    with BatchServer() as server:
        first = taken(judge_at(server, cache), pairs(10), most=1)
        assert left_in_ledger(cache) == (1, 6)  # the first four were kept before the first of them was told
        assert "goes on at" in caplog.text
        left = [pair for pair in pairs(10) if pair.id != first[0].pair_id]
        second = verdicts_of(judge_at(server, cache), POLICY, left)
        assert (server.created, server.answered) == (1, 10)
    assert len(second) == 9
    assert sum(v.usage.from_cache for v in second) == 3
    assert sum(v.usage.calls for v in second) == 6
    assert left_in_ledger(cache) == (0, 0)
    assert "is in flight with 6 of the requests" in caplog.text


@pytest.mark.parametrize("bad", [False, True])
def test_another_run_that_asks_the_same_waits_for_the_same_batch(cache: VerdictCache, bad: bool) -> None:
    def script(request: Request) -> Reply:
        first = not any("cannot be used" in m["content"] for m in request.body["messages"])
        return (text("no") if bad and first else answered())(request)

    async def both(server: BatchServer) -> list[list[Verdict]]:
        async def all_of(judge: BatchJudge, some: list[Pair]) -> list[Verdict]:
            return [verdict async for verdict in judge.grade(POLICY, some)]

        async def nap(seconds: float) -> None:
            await asyncio.sleep(0.01)

        judges = [BatchJudge("m", base_url=server.base_url, cache=cache, sleep=nap) for _ in range(2)]
        return list(await asyncio.gather(all_of(judges[0], pairs(8)), all_of(judges[1], pairs(10))))

    with BatchServer(script, polls_needed=3) as server:
        one, two = asyncio.run(both(server))
        # Ten different questions in all, whoever was first; and a correction of each, asked by one of them.
        assert server.answered == (20 if bad else 10)
        assert server.created <= (4 if bad else 2)
    assert (len(one), len(two)) == (8, 10)
    assert errors_of(one + two) == set()
    # Whoever reads an answer first counts what it took: ten calls in both runs together.
    assert bad or sum(v.usage.calls for v in one + two) == 10
    assert left_in_ledger(cache) == (0, 0)


@pytest.mark.parametrize("done", [True, False])
def test_an_answer_to_creation_that_got_lost_makes_no_second_batch(cache: VerdictCache, done: bool) -> None:
    with BatchServer() as server:
        server.refusals.append(
            ("POST", "/batches$", 500, done)
        )  # with ``done`` the batch was made all the same
        found = verdicts_of(judge_at(server, cache), POLICY, pairs(3))
        assert (server.uploads, server.created, server.answered) == (1, 1, 3)
    assert errors_of(found) == set()


@pytest.mark.parametrize("had", ["no file", "a file", "a batch"])
def test_killed_between_intent_and_id(cache: VerdictCache, had: str) -> None:
    """What a killed process leaves in the ledger is made by hand: only its last step is missing."""
    time = Time()
    with BatchServer() as server:
        # Other batches at the provider, so that the one looked for is on the second page of the list.
        verdicts_of(judge_at(server, cache, repeat=1), POLICY, pairs(1))
        judge = judge_at(server, cache, time)
        keep = BatchLedger.sent
        BatchLedger.sent = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[method-assign,assignment]
        try:
            with pytest.raises(KeyboardInterrupt):
                verdicts_of(judge, POLICY, pairs(3))
        finally:
            BatchLedger.sent = keep  # type: ignore[method-assign]
        if had != "a batch":  # then the batch was not made
            del server.batches[-1]
            server.created -= 1
        if had == "no file":
            with sqlite3.connect(cache.path) as db:
                db.execute("UPDATE batches SET file_id = ''")
        verdicts_of(judge_at(server, cache, repeat=2), POLICY, pairs(1))
        verdicts_of(judge_at(server, cache, repeat=3), POLICY, pairs(1))
        before = time.now
        found = verdicts_of(judge_at(server, cache, time), POLICY, pairs(3))
        # The three of other repeats and one for these; the answers are paid once.
        assert (server.created, server.answered) == (4, 3 + 3)
        # With a file it waits until a batch in the making must be listed: 60 s from the intent on.
        assert (time.now - before > 60) == (had == "a file")
    assert (len(found), errors_of(found)) == (3, set())
    assert left_in_ledger(cache) == (0, 0)


def test_a_provider_that_fails_to_answer_polls_is_asked_on(
    cache: VerdictCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "workbench")
    time = Time()
    with BatchServer(polls_needed=2) as server:
        server.refusals += [("GET", "/batches/batch-1", 500, False)] * 7
        server.refusals.append(("GET", "/content", 503, False))  # the download too
        found = verdicts_of(judge_at(server, cache, time), POLICY, pairs(3))
        assert server.created == 1
    assert errors_of(found) == set()
    assert caplog.text.count("out of reach (HTTP 500: scripted refusal)") == 1  # told when it changes
    # 30 s after what is new, else half as long again, and never more than ten times 30 s.
    assert time.slept[:4] == [30.0, 45.0, 67.5, 101.25]
    assert max(time.slept) <= 300


def test_progress_is_told_where_it_changed(cache: VerdictCache, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "workbench")
    with BatchServer(polls_needed=3) as server:
        verdicts_of(judge_at(server, cache), POLICY, pairs(2000))
    told = re.findall(r"batch batch-1 ([\d,]+ of [\d,]+ done)", caplog.text)
    # Three looks at a quarter each, then all.
    assert told == ["500 of 2,000 done", "1,000 of 2,000 done", "1,500 of 2,000 done", "2,000 of 2,000 done"]


def test_a_batch_that_never_ends_is_left_with_one_sentence(cache: VerdictCache) -> None:
    time = Time()
    with BatchServer(polls_needed=10**9) as server:
        with pytest.raises(
            Unavailable, match=r"Batch batch-1 at .* has not ended in 26 hours; it is in_progress"
        ):
            verdicts_of(judge_at(server, cache, time), POLICY, pairs(2))
        assert left_in_ledger(cache) == (1, 2)  # a resume goes on waiting
        assert server.created == 1


def test_a_batch_that_the_provider_no_longer_knows_is_asked_again(cache: VerdictCache) -> None:
    with BatchServer() as server:
        server.refusals.append(("GET", "/batches/batch-1", 404, False))
        found = verdicts_of(judge_at(server, cache), POLICY, pairs(2))
        assert server.created == 2
    assert errors_of(found) == set()


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (("POST", "/files$", 401, False), r"refused the key for m \(401\)"),
        (("POST", "/files$", 404, False), r"has no batch API \(404\)"),
        (("POST", "/batches$", 403, False), r"refused the key for m \(403\)"),
        (("POST", "/batches$", 400, False), r"did not make the batch: HTTP 400: scripted refusal"),
    ],
)
def test_what_cannot_work_stops_at_once_and_leaves_nothing(
    cache: VerdictCache, refusal: tuple[str, str, int, bool], says: str
) -> None:
    with BatchServer() as server:
        server.refusals.append(refusal)
        with pytest.raises(Unavailable, match=says):
            verdicts_of(judge_at(server, cache), POLICY, pairs(2))
        assert server.answered == 0
    assert left_in_ledger(cache) == (0, 0)


def test_an_upload_that_does_not_come_through_is_tried_again(cache: VerdictCache) -> None:
    with BatchServer() as server:
        server.refusals += [("POST", "/files$", 503, False)] * 4
        assert len(verdicts_of(judge_at(server, cache), POLICY, pairs(2))) == 2
        assert server.created == 1


def test_every_line_refused_for_the_model_stops_the_run(cache: VerdictCache) -> None:
    with (
        BatchServer(error(404, "nothing")) as server,
        pytest.raises(Unavailable, match=r"has no model m \(404\)"),
    ):
        verdicts_of(judge_at(server, cache), POLICY, pairs(2))
    assert left_in_ledger(cache) == (0, 0)  # so that a new start asks again


def test_a_response_format_that_is_unknown_is_made_simpler(cache: VerdictCache) -> None:
    def script(request: Request) -> Reply:
        kind = (request.body.get("response_format") or {}).get("type", "text")
        if kind != "text":
            return error(400, f"response_format {kind} is not supported")(request)
        part = {"reason": "x", "cites": [], "grade": 1}
        return text(json.dumps({"topic": part, "tone": part}))(request)

    with BatchServer(script) as server:
        found = verdicts_of(judge_at(server, cache), POLICY, pairs(3))
        # json_schema, json_object, text: a batch each, and a reply in none of the first two.
        assert server.created == 3
        assert "response_format" not in server.requests[-1]["body"]
    assert errors_of(found) == set()


def test_in_a_call_about_several_what_fails_is_asked_again_alone(cache: VerdictCache) -> None:
    def lacking(request: Request, answer: dict[str, Any]) -> Any:
        return {label: part for label, part in answer.items() if label != "P3"}

    with BatchServer(answered(lacking)) as server:
        found = verdicts_of(judge_at(server, cache, mode=FOUR), POLICY, pairs(4))
        assert [
            re.findall(r"question (\d+)", r["body"]["messages"][1]["content"]) for r in server.requests
        ] == [
            ["0", "1", "2", "3"],
            ["2"],
        ]
    assert errors_of(found) == set()
    assert sum(v.usage.calls for v in found) == 2


def test_log_probabilities_are_read(cache: VerdictCache) -> None:
    with BatchServer(answered(logprobs=True)) as server:
        found = verdicts_of(judge_at(server, cache, params={"logprobs": True}), POLICY, pairs(1))
        assert server.requests[0]["body"]["logprobs"] is True
    # Question 0 has grade 0, beside which 1 has a quarter.
    topic = found[0].judgements[0]
    assert topic.probabilities == pytest.approx((0.75, 0.25, 0, 0, 0))
    assert topic.expected == pytest.approx(0.25)


def test_only_what_fits_under_the_cap_is_sent(cache: VerdictCache) -> None:
    with BatchServer() as server:
        verdicts_of(judge_at(server, cache), POLICY, pairs(1))
        sizes = sum(count_tokens(m["content"]) for m in server.requests[0]["body"]["messages"]) + 100
        options: dict[str, Any] = {"params": {"max_tokens": 100}, "cap_tokens": 3 * sizes + sizes // 2}
        found: list[Verdict] = []

        async def run() -> None:
            async for verdict in judge_at(server, cache, **options).grade(POLICY, pairs(9)):
                found.append(verdict)

        with pytest.raises(CapReached, match="Stopped at the cap of"):
            asyncio.run(run())
        # Each sets aside its messages and 100 tokens of answer: three fit.
        assert (len(found), server.batches[-1]["request_counts"]["total"]) == (3, 3)
        before = server.uploads
        spent = judge_at(server, cache, **options | {"repeat": 1})
        spent.charge(Usage(input_tokens=3 * sizes))
        with pytest.raises(CapReached):
            verdicts_of(spent, POLICY, pairs(9))
        assert server.uploads == before  # nothing was sent


def test_what_is_in_flight_counts_against_the_cap_of_a_new_start(cache: VerdictCache) -> None:
    with BatchServer(polls_needed=5) as server:
        verdicts_of(judge_at(server, cache, repeat=1), POLICY, pairs(1))
        size = sum(count_tokens(m["content"]) for m in server.requests[0]["body"]["messages"]) + 100
        options: dict[str, Any] = {"params": {"max_tokens": 100}, "cap_tokens": 3 * size + size // 2}
        with pytest.raises(Unavailable, match="has not ended"):
            verdicts_of(judge_at(server, cache, longest_s=40.0, **options), POLICY, pairs(9))
        found: list[Verdict] = []

        async def run() -> None:
            async for verdict in judge_at(server, cache, **options).grade(POLICY, pairs(9)):
                found.append(verdict)

        with pytest.raises(CapReached):
            asyncio.run(run())
        # Three fitted at first, and they are what the second start waits for: no fourth is sent beside them.
        assert (server.created, server.answered, len(found)) == (2, 1 + 3, 3)


def test_a_pair_that_was_paid_for_in_part_counts_when_a_cap_ends_the_run(cache: VerdictCache) -> None:
    with BatchServer(answered()) as server:
        verdicts_of(judge_at(server, cache, mode=EACH), POLICY, pairs(1))
        sizes = [
            sum(count_tokens(m["content"]) for m in r["body"]["messages"]) + 100 for r in server.requests
        ]
        # Two pairs under two dimensions, and room for three of these four requests.
        judge = judge_at(
            server, cache, mode=EACH, repeat=1, params={"max_tokens": 100}, cap_tokens=2 * sum(sizes) - 10
        )
        found: list[Verdict] = []

        async def run() -> None:
            async for verdict in judge.grade(POLICY, pairs(2)):
                found.append(verdict)

        with pytest.raises(CapReached):
            asyncio.run(run())
    assert [[j.failed for j in v.judgements] for v in found] == [[False, False], [False, True]]
    assert [v.usage.calls for v in found] == [2, 1]
    (reason,) = errors_of(found)
    assert reason.startswith("Stopped at the cap of")


def test_cancelled_while_it_waits_it_leaves_the_batch(
    cache: VerdictCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "workbench")

    async def stopped(server: BatchServer) -> None:
        waits = asyncio.Event()

        async def for_ever(seconds: float) -> None:
            waits.set()
            await asyncio.Event().wait()

        judge = BatchJudge("m", base_url=server.base_url, cache=cache, sleep=for_ever)

        async def run() -> None:
            async for _ in judge.grade(POLICY, pairs(2)):
                pass

        task = asyncio.create_task(run())
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with BatchServer() as server:
        asyncio.run(stopped(server))
        assert "batch batch-1 goes on at" in caplog.text
        assert len(verdicts_of(judge_at(server, cache), POLICY, pairs(2))) == 2
        assert server.created == 1


def test_costs_are_the_batch_prices_of_the_list(cache: VerdictCache, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = {
        "prompt_tokens": 1_000_000,
        "completion_tokens": 100_000,
        "total_tokens": 1_100_000,
        "prompt_tokens_details": {"cached_tokens": 0},
    }

    def behave(request: Request) -> Reply:
        body = json.loads(answered()(request).body)
        return Reply(json.dumps(body | {"usage": usage, "model": "gpt-4o-mini"}).encode())

    with BatchServer(behave) as server:
        monkeypatch.setattr("workbench.judges.batch_client.OPENAI_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)
        judge = judge_at(server, cache, model="openai/gpt-4o-mini", base_url=None)
        (verdict,) = verdicts_of(judge, POLICY, pairs(1))
        assert server.requests[0]["body"]["model"] == "gpt-4o-mini"
    # Usually 0.15 $ and 0.60 $ a million; in a batch 0.075 + 0.1 x 0.30 = 0.105.
    assert verdict.usage.cost_usd == pytest.approx(0.105)


def test_the_key_is_nowhere_but_in_the_request(
    cache: VerdictCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "workbench")
    monkeypatch.setenv("MINE", SECRET)
    with BatchServer(error(500, f"key {SECRET} is wrong")) as server:
        found = verdicts_of(judge_at(server, cache, api_key_env="MINE"), POLICY, pairs(1))
        assert server.keys == {f"Bearer {SECRET}"}
        taken(judge_at(server, cache, api_key_env="MINE", repeat=1), pairs(1), most=1)
    everything = "".join(v.model_dump_json() for v in found) + caplog.text
    everything += "".join(p.read_bytes().decode("latin-1") for p in cache.path.parent.iterdir())
    assert SECRET not in everything
    assert "[key]" in everything


def test_the_openai_key_is_not_sent_to_another_endpoint(
    cache: VerdictCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")
    with BatchServer() as server:
        verdicts_of(judge_at(server, cache), POLICY, pairs(1))
        assert server.keys == {"Bearer no-key"}
        assert not {"openai-organization", "openai-project"} & server.headers


def test_a_provider_without_batches_is_refused_with_the_remedy(cache: VerdictCache) -> None:
    with pytest.raises(BadInput, match=r"There is no batch delivery for anthropic\. Use delivery calls\."):
        BatchJudge("anthropic/claude-haiku-4-5", cache=cache)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"model": "openai/gpt-5-mini", "delivery": "batch"}, None),
        ({"model": "m", "base_url": "http://127.0.0.1:1/v1", "delivery": "batch"}, None),
        ({"model": "anthropic/x", "delivery": "calls", "cap_seconds": 5}, None),
        ({"model": "anthropic/x", "delivery": "batch"}, "There is no batch delivery for anthropic"),
        ({"model": "openai/x", "delivery": "batch", "cap_seconds": 5}, "cap_seconds cannot be held"),
        (
            {"model": "openai/x", "delivery": "batch", "tokens_per_minute": 5},
            "tokens_per_minute cannot be held",
        ),
    ],
)
def test_refusals_before_a_start(spec: dict[str, Any], says: str | None) -> None:
    found = batch_refusal(LlmSpec.model_validate(spec))
    assert found is None if says is None else (found or "").startswith(says)


def test_a_batch_has_half_the_list_price() -> None:
    listed = ModelPrice("m", "p", 2e-6, 1e-6, 3e-6, 8e-6, 1000, True, None, None)
    half = batch_price(listed)
    assert half is not None
    assert (half.input, half.output, half.cached_input, half.cache_write) == (1e-6, 4e-6, None, None)
    assert batch_price(None) is None


@pytest.mark.parametrize("held", ["POST", "GET"])
def test_a_worker_killed_with_a_batch_in_flight_and_started_again(tmp_path: Path, held: str) -> None:
    """Killed while the answer to the creation is on its way (POST), or while the batch is looked at (GET)."""
    there, go_on = threading.Event(), threading.Event()

    def hold(method: str, path: str) -> None:
        if method == held and "/batches" in path and not go_on.is_set():
            there.set()
            go_on.wait(60)

    with BatchServer(FINE, polls_needed=0) as server:
        server.before_answer = hold
        folder = job(tmp_path / "job", server.base_url, delivery="batch")
        worker = start(folder)
        assert there.wait(60)
        worker.send_signal(signal.SIGKILL)
        worker.wait(30)
        go_on.set()
        assert (server.created, folder.result(), list(folder.verdicts())) == (1, None, [])
        assert start(folder).wait(60) == 0
        assert (server.uploads, server.created, server.answered) == (1, 1, COUNT)
    found = list(folder.verdicts())
    assert sorted(v.pair_id for v in found) == sorted(p.id for p in pairs(COUNT))
    assert errors_of(found) == set()
    result = folder.result()
    assert result is not None
    assert result.status == "finished"
    assert result.data["judge"]["params"]["delivery"] == "batch"
