"""A cheap judge first: which pairs go on, whose answer stands, what is paid, and what stops it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest
from judge_samples import pairs, small_policy, verdicts_of
from member_samples import Said, Says

from workbench.errors import BadInput, Unavailable, WorkbenchError
from workbench.fake_provider import FakeProvider, error, graded
from workbench.golden import NOT_APPLICABLE, Pair
from workbench.judges.cascade import CascadeJudge, check_reach
from workbench.judges.llm import LlmJudge
from workbench.run import CapReached, Judge, Usage, Verdict

POLICY = small_policy()  # topic 0-4; tone 0-2 or N/A
SURE: Said = {"topic": (3, (0, 0, 0.1, 0.9, 0)), "tone": (1, (0.1, 0.8, 0.1))}
TORN: Said = {"topic": (3, (0, 0, 0.1, 0.9, 0)), "tone": (1, (0.1, 0.79, 0.11))}  # tone is below 0.8
DEAR: Said = {"topic": 4, "tone": 2}


def stopped(judge: Judge, asked: Sequence[Pair]) -> tuple[list[Verdict], WorkbenchError]:
    found: list[Verdict] = []

    async def run() -> None:
        async for verdict in judge.grade(POLICY, asked):
            found.append(verdict)

    with pytest.raises(WorkbenchError) as caught:
        asyncio.run(run())
    return found, caught.value


def grades_of(verdict: Verdict) -> list[int]:
    return [j.grade for j in verdict.judgements]


def test_only_what_the_first_is_not_sure_of_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    asked = pairs(5)
    first = Says("cheap", SURE, by_pair={asked[1].id: TORN, asked[4].id: TORN})
    second = Says("dear", DEAR)
    judge = CascadeJudge(first, second)
    found = {v.pair_id: v for v in verdicts_of(judge, POLICY, asked)}
    assert len(found) == 5
    assert second.asked == [asked[1].id, asked[4].id]
    assert judge.passed_on == 2
    assert "cheap then dear: 2 of 5 pairs went on to dear" in caplog.text
    # The whole pair goes on, also the dimension that the first was sure of; both are paid for.
    assert grades_of(found[asked[1].id]) == [4, 2]
    assert (found[asked[1].id].usage.calls, found[asked[0].id].usage.calls) == (2, 1)
    assert found[asked[1].id].usage.cost_usd == pytest.approx(0.02)
    assert [(t.judge, t.raw) for t in found[asked[1].id].traces] == [("cheap", "r"), ("dear", "r")]
    # Exactly 0.8 is sure, and the first's answer stands as it is.
    assert grades_of(found[asked[0].id]) == [3, 1]
    assert found[asked[0].id].judgements[1].probabilities == (0.1, 0.8, 0.1)


def test_the_calls_of_the_dear_model_are_those_of_the_unsure_pairs() -> None:
    asked = pairs(40)
    torn = {p.id: TORN for p in asked[::4]}
    with FakeProvider(otherwise=graded(lambda request, key, allowed: allowed[-1])) as provider:
        dear = LlmJudge("fake-hash-grader", base_url=provider.base_url)
        found = verdicts_of(CascadeJudge(Says("cheap", SURE, by_pair=torn), dear), POLICY, asked)
    assert provider.calls == 10
    assert len(found) == 40


@pytest.mark.parametrize("sure_at", [0.5, 1.0])
def test_from_where_on_it_is_sure_can_be_set(sure_at: float) -> None:
    second = Says("dear", DEAR)
    verdicts_of(CascadeJudge(Says("cheap", TORN), second, sure_at=sure_at), POLICY, pairs(3))
    assert len(second.asked) == (0 if sure_at == 0.5 else 3)


def test_a_failure_or_a_bare_not_applicable_of_the_first_goes_on() -> None:
    asked = pairs(3)
    by_pair: dict[str, Said] = {
        asked[0].id: SURE,
        asked[1].id: {"topic": "asleep", "tone": (1, (0.1, 0.8, 0.1))},
        asked[2].id: {"topic": (3, (0, 0, 0, 1.0, 0)), "tone": NOT_APPLICABLE},
    }
    second = Says("dear", DEAR)
    verdicts_of(CascadeJudge(Says("cheap", by_pair=by_pair), second), POLICY, asked)
    assert second.asked == [asked[1].id, asked[2].id]


def test_where_the_second_fails_the_first_stands_with_a_note() -> None:
    first: Said = {"topic": (3, (0, 0, 0.4, 0.6, 0)), "tone": "asleep"}
    judge = CascadeJudge(Says("cheap", first), Says("dear", {"topic": "too long", "tone": "too long"}))
    (verdict,) = verdicts_of(judge, POLICY, pairs(1))
    topic, tone = verdict.judgements
    assert (topic.grade, topic.rationale) == (
        3,
        "cheap says so. (the answer of cheap, since dear failed: too long)",
    )
    assert (tone.failed, tone.error) == (True, "both judges failed. cheap: asleep; dear: too long")


def test_a_first_judge_without_probabilities_is_refused_before_the_dear_one_is_asked() -> None:
    second = Says("dear", DEAR)
    found, problem = stopped(CascadeJudge(Says("cheap", DEAR), second), pairs(50))
    assert isinstance(problem, BadInput)
    assert problem.message.startswith("cheap gives no probabilities")
    assert "logprobs" in problem.hint
    assert second.asked == []
    # The one call that was made is told.
    assert [(v.usage.calls, v.judgements[0].failed) for v in found] == [(1, True)]


def test_one_answer_without_probabilities_goes_on_where_others_have_them() -> None:
    asked = pairs(3)
    second = Says("dear", DEAR)
    verdicts_of(CascadeJudge(Says("cheap", SURE, by_pair={asked[2].id: DEAR}), second), POLICY, asked)
    assert second.asked == [asked[2].id]


def test_a_first_judge_at_its_cap() -> None:
    asked = pairs(4)
    cap = CapReached("Stopped at the cap.", "Go on.")
    first = Says("cheap", SURE, by_pair={asked[1].id: TORN}, stops=cap, stops_after=3)
    second = Says("dear", DEAR)
    found, problem = stopped(CascadeJudge(first, second), asked)
    assert problem is cap
    assert second.asked == []  # nothing is spent after the cap
    by_id = {v.pair_id: v for v in found}
    assert set(by_id) == {p.id for p in asked[:3]}
    assert [by_id[p.id].judgements[0].failed for p in asked[:3]] == [False, True, False]


def test_a_second_judge_at_its_cap() -> None:
    asked = pairs(4)
    bad: Said = {"topic": "Stopped at the cap.", "tone": "Stopped at the cap."}
    cap = CapReached("Stopped at the cap.", "Go on.")
    second = Says("dear", DEAR, by_pair={asked[1].id: bad}, stops=cap, stops_after=2)
    found, _ = stopped(CascadeJudge(Says("cheap", TORN), second), asked)
    by_id = {v.pair_id: v for v in found}
    # The first pair has its second answer. The second pair's was paid for and cannot be used; the others wait: all
    # three are to be asked again, rather than stand as the first judge graded them.
    assert [by_id[p.id].judgements[0].failed for p in asked] == [False, True, True, True]
    assert [by_id[p.id].usage.calls for p in asked] == [2, 2, 1, 1]
    assert by_id[asked[3].id].judgements[0].error == "Stopped at the cap."


def test_a_wrong_key_of_the_second_stops_the_run() -> None:
    with FakeProvider(otherwise=error(401, "no such key")) as provider:
        dear = LlmJudge("m", base_url=provider.base_url, concurrency=1)
        found, problem = stopped(CascadeJudge(Says("cheap", TORN), dear), pairs(30))
        assert isinstance(problem, Unavailable)
        assert provider.calls == 1
    assert len(found) == 30  # what the first took is told
    assert all(j.failed for v in found for j in v.judgements)


def test_many_pairs_are_graded_once_each() -> None:
    asked = pairs(1100)
    torn = {p.id: TORN for p in asked[::3]}
    second = Says("dear", DEAR)
    judge = CascadeJudge(Says("cheap", SURE, by_pair=torn), second)
    found = verdicts_of(judge, POLICY, asked)
    assert sorted(v.pair_id for v in found) == sorted(p.id for p in asked)
    assert judge.passed_on == len(second.asked) == 367  # 0, 3, … 1098


def test_what_it_is() -> None:
    first, second = Says("cheap"), Says("dear")
    judge = CascadeJudge(first, second, sure_at=0.7)
    assert (judge.identity.kind, judge.identity.name) == ("cascade", "cheap then dear")
    assert judge.identity.params["sure_at"] == 0.7
    assert judge.identity.params["first"]["name"] == "cheap"
    assert judge.identity.hash != CascadeJudge(second, first, sure_at=0.7).identity.hash
    judge.charge(Usage(input_tokens=3))
    assert first.charged == second.charged == [Usage(input_tokens=3)]
    for wrong in (0, 1.01, float("nan")):
        with pytest.raises(BadInput, match="sure_at"):
            CascadeJudge(first, second, sure_at=wrong)


def test_repeats_that_can_never_be_sure_are_refused() -> None:
    # Three answers of three on one of 5 levels: 3.5 / 5.5 = 0.64. Eight of eight: 8.5 / 10.5 = 0.81.
    with pytest.raises(BadInput, match="could never be sure: 3 answers") as caught:
        check_reach(3, 0.8, POLICY)
    assert "0.64" in caught.value.message
    assert "ask for 8 repeats" in caught.value.hint
    check_reach(8, 0.8, POLICY)
    with pytest.raises(BadInput):
        check_reach(7, 0.8, POLICY)  # 7.5 / 9.5 = 0.79
    check_reach(3, 0.6, POLICY)
    with pytest.raises(BadInput) as caught:
        check_reach(20, 1.0, POLICY)  # never
    assert "repeats" not in caught.value.hint
