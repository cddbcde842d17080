"""Several judges that vote: grades, ties, N/A, failures, probabilities by hand; caps and errors of members."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from judge_samples import pairs, small_policy, verdicts_of
from member_samples import Said, Says

from workbench.errors import BadInput, Unavailable
from workbench.fake_provider import FakeProvider, error
from workbench.golden import NOT_APPLICABLE, Pair
from workbench.judges.cache import VerdictCache
from workbench.judges.ensemble import EnsembleJudge, vote_weights
from workbench.judges.llm import LlmJudge
from workbench.judges.members import names
from workbench.run import CapReached, Judge, Judgement, Usage, Verdict

POLICY = small_policy()  # topic 0-4; tone 0-2 or N/A


def vote(
    *said: int | tuple[int, tuple[float, ...]] | str, weights: Sequence[float] = (), key: str = "tone"
) -> Judgement:
    """What members that say this of one dimension settle on; they all say 1 of the other."""
    other = "topic" if key == "tone" else "tone"
    members = [Says(name, {key: one, other: 1}) for name, one in zip("ABCD", said, strict=False)]
    (verdict,) = verdicts_of(EnsembleJudge(members, weights=weights), POLICY, pairs(1))
    assert [j.dimension for j in verdict.judgements] == ["topic", "tone"]
    return next(j for j in verdict.judgements if j.dimension == key)


def stopped(judge: Judge, asked: Sequence[Pair]) -> tuple[list[Verdict], Exception]:
    found: list[Verdict] = []

    async def run() -> None:
        async for verdict in judge.grade(POLICY, asked):
            found.append(verdict)

    with pytest.raises((CapReached, Unavailable)) as caught:
        asyncio.run(run())
    return found, caught.value


def test_the_majority_has_it() -> None:
    found = vote(2, 0, 2)
    assert (found.grade, found.rationale, found.cites) == (2, "A says so.", ("tone.A",))
    # One third says 0, two thirds say 2: the mean grade is 4/3.
    assert found.probabilities == pytest.approx([1 / 3, 0, 2 / 3])
    assert found.expected == pytest.approx(4 / 3)


def test_weights_count_and_the_heaviest_of_the_winners_speaks() -> None:
    found = vote(0, 2, 2, weights=(5, 1, 2))
    assert (found.grade, found.rationale) == (0, "A says so.")
    found = vote(0, 2, 2, weights=(2, 1, 3))
    assert (found.grade, found.rationale) == (2, "C says so.")
    # 2 of 6 on level 0, 4 of 6 on level 2.
    assert found.probabilities == pytest.approx([2 / 6, 0, 4 / 6])


def test_distributions_are_averaged_and_a_bare_grade_is_certain() -> None:
    found = vote((1, (0.2, 0.5, 0.3)), 2, weights=(3, 1))
    # (3 * 0.2 + 0) / 4, (3 * 0.5) / 4, (3 * 0.3 + 1) / 4; grade 1 has weight 3 of 4.
    assert found.probabilities == pytest.approx([0.15, 0.375, 0.475])
    assert found.expected == pytest.approx(0.375 + 2 * 0.475)
    assert found.grade == 1  # votes are counted, not probabilities


@pytest.mark.parametrize(
    ("said", "weights", "grade"),
    [
        # 4 and 0 tie; the mean grade 2 is as near to both: the lower one.
        ((4, 0), (), 0),
        # 0, 0, 4, 4 tie, and with 3 the mean is 11/5 = 2.2: nearer to 4 (1.8) than to 0 (2.2).
        ((0, 4, 3), (2, 2, 1), 4),
        # Of three levels with one vote each, 0, 3 and 4, the mean 7/3 is nearest to 3.
        ((0, 3, 4), (), 3),
        # 0.1 + 0.2 is as much as 0.3, though not in binary: a tie of 0 and 4, mean 2, so the lower one.
        ((4, 4, 0), (0.1, 0.2, 0.3), 0),
    ],
)
def test_ties(said: tuple[int, ...], weights: tuple[float, ...], grade: int) -> None:
    assert vote(*said, weights=weights, key="topic").grade == grade


def test_a_tie_is_decided_by_what_members_expect() -> None:
    # 0 and 4 have one vote each. Expected: 0.9 * 0 + 0.1 * 4 = 0.4 and 0.6 * 4 = 2.4, on average 1.4: nearer to 0.
    low, high = (0, (0.9, 0.0, 0.0, 0.0, 0.1)), (4, (0.4, 0.0, 0.0, 0.0, 0.6))
    assert vote(low, high, key="topic").grade == 0
    # With 0.45 * 4 = 1.8 and 4 (certain) the average is 2.9: nearer to 4.
    assert vote((0, (0.55, 0.0, 0.0, 0.0, 0.45)), 4, key="topic").grade == 4


def test_not_applicable_is_a_vote() -> None:
    na = NOT_APPLICABLE
    found = vote(na, na, 2)
    assert (found.grade, found.probabilities, found.expected, found.rationale) == (
        na,
        None,
        None,
        "A says so.",
    )
    # It applies or not is one question: two levels together are as many as two N/A, and it applies.
    found = vote(na, 1, na, 2)
    assert found.grade == 1  # 1 and 2 tie, mean 1.5 is as near to both: the lower one
    assert found.probabilities == pytest.approx([0, 0.5, 0.5])
    assert vote(na, 1, weights=(2, 1)).grade == na


def test_a_failed_member_is_left_out_and_named() -> None:
    found = vote("it is asleep", 2, 0, weights=(9, 2, 1))
    assert (found.grade, found.rationale) == (2, "B says so. (without A: it is asleep)")
    assert found.probabilities == pytest.approx([1 / 3, 0, 2 / 3])
    found = vote("asleep", "awake, but silent")
    assert (found.failed, found.error) == (True, "every member failed. A: asleep; B: awake, but silent")


def test_a_verdict_has_what_all_members_took_and_says_who_answered() -> None:
    said: Said = {"topic": 1, "tone": 1}
    judge = EnsembleJudge([Says("A", said), Says("A", said, apart=True)])
    (verdict,) = verdicts_of(judge, POLICY, pairs(1))
    assert (verdict.usage.calls, verdict.usage.input_tokens) == (2, 20)
    assert verdict.usage.cost_usd == pytest.approx(0.02)
    # The second yields each dimension by itself; both of its traces are there, under a name of its own.
    assert [t.judge for t in verdict.traces] == ["A", "A (2)", "A (2)"]
    assert names([Says("A"), Says("B"), Says("A")]) == ("A", "B", "A (2)")


def test_what_a_member_leaves_out_is_failed() -> None:
    judge = EnsembleJudge([Says("A", {"topic": 3}), Says("B", {"topic": 3, "tone": 2})])
    (verdict,) = verdicts_of(judge, POLICY, pairs(1))
    assert [(j.grade, j.rationale) for j in verdict.judgements] == [
        (3, "A says so."),
        (2, "B says so. (without A: the judge gave no answer)"),
    ]


def test_a_member_at_its_cap_ends_the_run_after_what_was_paid() -> None:
    asked = pairs(5)
    said: Said = {"topic": 1, "tone": 1}
    full = Says("full", said, stops=CapReached("Stopped at the cap.", "Go on."), stops_after=2)
    free = Says("free", said)
    found, problem = stopped(EnsembleJudge([full, free]), asked)
    assert isinstance(problem, CapReached)
    # Two pairs have both votes; three were paid for by one member, and are to be asked again.
    assert [v.usage.calls for v in found] == [2, 2, 1, 1, 1]
    assert [v.judgements[0].failed for v in found] == [False, False, True, True, True]
    assert {j.error for v in found[2:] for j in v.judgements} == {"Stopped at the cap."}


def test_a_failure_that_a_cap_brought_about_is_no_vote() -> None:
    # The last pair's answer was paid for and could not be used before the cap: it is failed, not outvoted.
    asked = pairs(7)
    good: Said = {"topic": 1, "tone": 1}
    bad: Said = {"topic": "Stopped at the cap.", "tone": "Stopped at the cap."}
    said = {p.id: good for p in asked} | {asked[1].id: bad}
    capped = Says("capped", by_pair=said, stops=CapReached("Stopped at the cap."), stops_after=5)
    found, _ = stopped(EnsembleJudge([capped, Says("free", good)]), asked)
    by_id = {v.pair_id: v for v in found}
    assert not by_id[asked[0].id].judgements[0].failed
    assert by_id[asked[1].id].judgements[0].failed
    assert by_id[asked[1].id].usage.calls == 2


def test_a_wrong_key_of_one_member_stops_the_others(tmp_path: Path) -> None:
    with FakeProvider(otherwise=error(401, "no such key")) as shut, FakeProvider(delay_s=0.02) as open_:
        members = [
            LlmJudge("a", base_url=shut.base_url, concurrency=2),
            LlmJudge("fake-hash-grader", base_url=open_.base_url, concurrency=2),
        ]
        _, problem = stopped(EnsembleJudge(members), pairs(200))
        assert isinstance(problem, Unavailable)
        assert shut.calls <= 2
        assert open_.calls < 20


def test_members_that_are_models_are_asked_at_the_same_time_and_kept_apart(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path / "verdicts.sqlite")
    with FakeProvider(delay_s=0.01) as provider:

        def models(*more: str) -> list[LlmJudge]:
            return [
                LlmJudge(f"fake-hash-grader{m}", base_url=provider.base_url, concurrency=3, cache=cache)
                for m in more
            ]

        asked = pairs(12)
        found = verdicts_of(EnsembleJudge(models("", "-b")), POLICY, asked)
        assert provider.calls == 24
        assert 3 < provider.most_at_once <= 6
        assert {v.pair_id for v in found} == {p.id for p in asked}
        # With a third member, the two that answered are not asked again.
        verdicts_of(EnsembleJudge(models("", "-b", "-c")), POLICY, asked)
        assert provider.calls == 36


def test_many_pairs_go_through_in_parts_whatever_their_order() -> None:
    asked = pairs(600)
    said: Said = {"topic": 1, "tone": 1}
    found = verdicts_of(EnsembleJudge([Says("A", said), Says("B", said)]), POLICY, asked)
    assert [v.pair_id for v in found] == [p.id for p in asked]


def test_what_was_spent_counts_for_every_member() -> None:
    members = [Says("A"), Says("B")]
    EnsembleJudge(members).charge(Usage(input_tokens=7))
    assert [m.charged for m in members] == [[Usage(input_tokens=7)]] * 2


def test_what_it_is() -> None:
    members: list[Any] = [Says("A"), Says("B")]
    judge = EnsembleJudge(members, weights=(1, 2))
    assert (judge.identity.kind, judge.identity.name) == ("ensemble", "A + B")
    assert judge.identity.params["weights"] == [1, 2]
    assert [m["name"] for m in judge.identity.params["members"]] == ["A", "B"]
    assert judge.identity.hash != EnsembleJudge(members, weights=(2, 1)).identity.hash
    assert EnsembleJudge(members, name="Both").identity.name == "Both"


def test_weights_that_cannot_be_used_are_refused() -> None:
    assert vote_weights((), 3) == (1.0, 1.0, 1.0)
    with pytest.raises(BadInput, match="3 members and 2 weights"):
        vote_weights((1, 2), 3)
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(BadInput, match="A weight of the ensemble is"):
            vote_weights((1, wrong), 2)
    with pytest.raises(BadInput, match="at least two members"):
        EnsembleJudge([Says("A")])
