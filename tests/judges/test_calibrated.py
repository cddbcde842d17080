"""A calibrated judge: what it changes and what it leaves, whose labels it saw, what it asks and pays, and reasons."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from judge_samples import pairs, small_policy, verdicts_of
from member_samples import Said, Says

from workbench.calibration import CrossFitted, cross_fitted
from workbench.errors import BadInput, WorkbenchError
from workbench.fake_provider import FakeProvider, error
from workbench.golden import NOT_APPLICABLE, Label, Pair, label_table
from workbench.judges.cache import VerdictCache
from workbench.judges.calibrated import CalibratedJudge
from workbench.judges.ensemble import EnsembleJudge
from workbench.judges.repeated import RepeatedJudge
from workbench.run import CapReached, Charged, Judge, Usage, Verdict

POLICY = small_policy()  # topic 0-4; tone 0-2 or N/A
DEV = 40
PAIRS = pairs(DEV + 10)  # each of a query of its own; the first 40 are dev and labelled
SURE = (0.01, 0.02, 0.94, 0.02, 0.01)
UNSURE = (0.1, 0.2, 0.4, 0.2, 0.1)


def said(i: int) -> Said:
    """Grade 2 of topic, sure or not by turns; tone is 1 with what no label speaks of."""
    return {"topic": (2, SURE if i % 2 else UNSURE), "tone": (1, (0.2, 0.7, 0.1))}


def says(**more: Any) -> Says:
    return Says("A", by_pair={pair.id: said(i) for i, pair in enumerate(PAIRS)}, **more)


def labels(
    grades: Sequence[int], dimension: str = "topic", labelled: Sequence[Pair] = PAIRS[:DEV]
) -> pd.DataFrame:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return label_table(
        Label(pair_id=pair.id, dimension=dimension, grade=grade, labeler="ann", at=at)
        for pair, grade in zip(labelled, grades, strict=True)
    )


TRUTH = [2 if i % 4 else 0 for i in range(DEV)]  # where it is sure, it is always right; else half of the time


def calibrated(judge: Judge | None = None, table: pd.DataFrame | None = None, **more: Any) -> CalibratedJudge:
    table = labels(TRUTH) if table is None else table
    return CalibratedJudge(judge or says(), labels=table, dev_pairs=PAIRS[:DEV], **more)


def expected_maps(truth: Sequence[int] = TRUTH) -> CrossFitted:
    stated = np.array([SURE if i % 2 else UNSURE for i in range(DEV)])
    found = cross_fitted("temperature", stated, np.array(truth), [pair.query_id for pair in PAIRS[:DEV]])
    assert isinstance(found, CrossFitted)
    return found


def stopped(judge: Judge, asked: Sequence[Pair]) -> tuple[list[Verdict], WorkbenchError]:
    found: list[Verdict] = []

    async def run() -> None:
        async for verdict in judge.grade(POLICY, asked):
            found.append(verdict)

    with pytest.raises(WorkbenchError) as caught:
        asyncio.run(run())
    return found, caught.value


def cents(verdicts: Sequence[Verdict]) -> int:
    """What they cost; each pair that Says is asked about costs one."""
    return round(100 * sum(verdict.usage.cost_usd or 0.0 for verdict in verdicts))


# What it changes


def test_only_probabilities_change_dev_by_others_and_the_rest_by_all() -> None:
    inner = says()
    verdicts = {v.pair_id: v for v in verdicts_of(calibrated(inner), POLICY, PAIRS)}
    raw = {v.pair_id: v for v in verdicts_of(says(), POLICY, PAIRS)}
    maps = expected_maps()
    assert list(verdicts)[:DEV] == [pair.id for pair in PAIRS[:DEV]]  # dev comes first
    for i, pair in enumerate(PAIRS):
        topic, tone = verdicts[pair.id].judgements
        stated = SURE if i % 2 else UNSURE
        one = maps.whole if i >= DEV else maps.without[pair.query_id]
        after = one.apply(np.array([stated]))[0]
        assert topic.probabilities == pytest.approx(after.tolist())
        assert topic.expected == pytest.approx(sum(level * share for level, share in enumerate(after)))
        before = raw[pair.id].judgements[0]
        assert (topic.grade, topic.rationale, topic.cites) == (before.grade, before.rationale, before.cites)
        assert tone == raw[pair.id].judgements[1]  # without labels it stays as it is
        assert verdicts[pair.id].usage == raw[pair.id].usage
        assert verdicts[pair.id].traces == raw[pair.id].traces
    assert sorted(inner.asked) == sorted(pair.id for pair in PAIRS)  # nobody was asked twice


def test_a_pair_does_not_see_its_own_label() -> None:
    flipped = [0, *TRUTH[1:-1], 2 if TRUTH[-1] == 0 else 0]

    def last_dev(truth: Sequence[int]) -> tuple[float, ...] | None:
        found = {v.pair_id: v for v in verdicts_of(calibrated(table=labels(truth)), POLICY, PAIRS[:DEV])}
        return found[PAIRS[DEV - 1].id].judgements[0].probabilities

    assert TRUTH[0] == 0  # so that only the last label differs
    assert last_dev(flipped) == last_dev(TRUTH)
    assert expected_maps(flipped).whole != expected_maps().whole


def test_unlabelled_pairs_of_a_labelled_query_are_calibrated_by_the_others() -> None:
    twin = Pair(query=PAIRS[0].query, document={"title": "Another page", "body": "Text."})
    inner = Says("A", by_pair={p.id: said(i) for i, p in enumerate(PAIRS)} | {twin.id: said(0)})
    (verdict,) = verdicts_of(calibrated(inner), POLICY, [twin])
    after = expected_maps().without[twin.query_id].apply(np.array([UNSURE]))[0]
    assert verdict.judgements[0].probabilities == pytest.approx(after.tolist())


def test_answers_without_usable_probabilities_stay_as_they_are() -> None:
    odd: dict[str, Said] = {
        PAIRS[40].id: {"topic": 3, "tone": (1, (0.2, 0.7, 0.1))},
        PAIRS[41].id: {"topic": "asleep", "tone": NOT_APPLICABLE},
        PAIRS[42].id: {"topic": (2, (0.5, 0.5)), "tone": 1},
    }
    by_pair = {pair.id: said(i) for i, pair in enumerate(PAIRS)} | odd
    found = {v.pair_id: v for v in verdicts_of(calibrated(Says("A", by_pair=by_pair)), POLICY, PAIRS[40:43])}
    raw = {v.pair_id: v for v in verdicts_of(Says("A", by_pair=by_pair), POLICY, PAIRS[40:43])}
    assert {key: v.judgements for key, v in found.items()} == {key: v.judgements for key, v in raw.items()}


def test_isotonic_needs_more_labels_and_says_so() -> None:
    found, problem = stopped(calibrated(method="isotonic"), PAIRS)
    assert found == []
    assert problem.message == (
        "Calibration (isotonic) needs 50 labelled dev pairs in a dimension of small v1, and there are at most 40 (topic)."
    )
    table = labels([2 if i % 4 else 0 for i in range(50)], labelled=PAIRS)
    judge = CalibratedJudge(says(), labels=table, dev_pairs=PAIRS, method="isotonic")
    (verdict,) = verdicts_of(judge, POLICY, PAIRS[1:2])
    probabilities = verdict.judgements[0].probabilities
    assert probabilities is not None
    # Where it was sure it was always right: of 40 pairs in the other folds 20 like it, less the prior of the levels.
    assert probabilities[2] > 0.9


def test_identity() -> None:
    judge = calibrated()
    assert (judge.identity.kind, judge.identity.name) == ("calibrated", "A, calibrated")
    assert judge.identity.params["judge"] == says().identity.model_dump(mode="json")
    assert judge.identity.params["method"] == "temperature"
    assert calibrated().identity.hash == judge.identity.hash
    assert calibrated(table=labels([1, *TRUTH[1:]])).identity.hash != judge.identity.hash
    assert calibrated(method="isotonic").identity.hash != judge.identity.hash


# What it asks and pays


def test_a_run_that_goes_on_asks_about_dev_again_and_tells_what_that_took() -> None:
    inner = says()
    verdicts = verdicts_of(calibrated(inner), POLICY, PAIRS[45:])
    assert [v.pair_id for v in verdicts] == [pair.id for pair in PAIRS[45:]]
    assert len(inner.asked) == DEV + 5
    # A judge without a cache takes a cent for each of the 45 pairs it was asked about.
    assert cents(verdicts) == 45
    assert (verdicts[0].usage.calls, verdicts[1].usage.calls) == (41, 1)


def test_with_a_verdict_cache_nothing_is_paid_twice(tmp_path: Path) -> None:
    def judge(provider: FakeProvider) -> CalibratedJudge:
        cache = VerdictCache(tmp_path / "verdicts.sqlite")
        inner = RepeatedJudge("fake-hash-grader", repeats=2, base_url=provider.base_url, cache=cache)
        return CalibratedJudge(inner, labels=labels(TRUTH), dev_pairs=PAIRS[:DEV])

    with FakeProvider() as provider:
        whole = {v.pair_id: v for v in verdicts_of(judge(provider), POLICY, PAIRS)}
        assert provider.calls == 2 * len(PAIRS)
        rest = verdicts_of(judge(provider), POLICY, PAIRS[35:])
        assert provider.calls == 2 * len(PAIRS)
        assert {v.pair_id: v.judgements for v in rest} == {p.id: whole[p.id].judgements for p in PAIRS[35:]}
        assert cents(rest) == 0


def test_as_a_member_it_is_asked_chunk_by_chunk_and_tells_each_cost_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workbench.judges.members.CHUNK", 8)
    monkeypatch.setattr("workbench.judges.members.chunks.__defaults__", (8,))
    inner = says()
    verdicts = verdicts_of(EnsembleJudge([calibrated(inner), says()]), POLICY, PAIRS)
    assert len(verdicts) == len(PAIRS)
    assert sorted(inner.asked) == sorted(pair.id for pair in PAIRS)
    assert cents(verdicts) == 2 * len(PAIRS)


def test_a_cap_while_dev_is_asked_leaves_failed_verdicts_with_what_was_paid() -> None:
    inner = says(stops=CapReached("Enough."), stops_after=7)
    found, problem = stopped(calibrated(inner), PAIRS[3:])
    assert isinstance(problem, CapReached)
    # Seven dev pairs were paid for; four of them were wanted, and the first of those tells the other three's cost.
    assert [v.pair_id for v in found] == [pair.id for pair in PAIRS[3:7]]
    assert all(j.failed and j.error == "Enough." for v in found for j in v.judgements)
    assert cents(found) == 7
    found, _ = stopped(calibrated(says(stops=CapReached("Enough."), stops_after=7)), PAIRS[DEV:])
    assert [v.pair_id for v in found] == [PAIRS[DEV].id]
    assert cents(found) == 7


def test_nothing_to_grade_asks_nothing() -> None:
    inner = says()
    assert verdicts_of(calibrated(inner), POLICY, []) == []
    assert inner.asked == []


def test_charges_are_passed_on() -> None:
    inner = says()
    judge = calibrated(inner)
    assert isinstance(judge, Charged)
    judge.charge(Usage(calls=3))
    assert inner.charged == [Usage(calls=3)]


def test_a_judge_in_parts_is_joined_on_dev_and_streamed_behind_it() -> None:
    verdicts = verdicts_of(calibrated(says(apart=True)), POLICY, PAIRS)
    assert len(verdicts) == DEV + 2 * 10
    dev = [v for v in verdicts if v.pair_id in {pair.id for pair in PAIRS[:DEV]}]
    assert all([j.dimension for j in v.judgements] == ["topic", "tone"] for v in dev)
    assert cents(verdicts) == len(PAIRS)


# Why it cannot


def test_a_judge_without_probabilities_is_refused_after_a_few_pairs() -> None:
    inner = Says("A", {"topic": 2, "tone": 1})
    found, problem = stopped(calibrated(inner), PAIRS)
    assert isinstance(problem, BadInput)
    assert problem.message == "A gives no probabilities, so there is nothing to calibrate."
    assert "log-probabilities" in problem.hint
    assert len(inner.asked) == 20
    assert cents(found) == 20


def test_too_few_labels_are_told_before_anything_is_asked() -> None:
    inner = says()
    judge = CalibratedJudge(inner, labels=labels(TRUTH[:19], labelled=PAIRS[:19]), dev_pairs=PAIRS)
    found, problem = stopped(judge, PAIRS)
    assert (found, inner.asked) == ([], [])
    assert problem.message.endswith("of small v1, and there are at most 19 (topic).")


def test_a_dimension_that_cannot_be_calibrated_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    table = pd.concat([labels(TRUTH), labels([1] * DEV, "tone")], ignore_index=True)
    judge = calibrated(table=table)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            verdicts_of(judge, POLICY, PAIRS[40:42])
    assert caplog.messages == [
        "A, calibrated: 'tone' keeps its probabilities. All 40 labels are the same level; this needs at least two levels."
    ]


def test_where_no_dimension_can_be_calibrated_nothing_is_called_so() -> None:
    found, problem = stopped(calibrated(table=labels([2] * DEV)), PAIRS)
    assert problem.message.startswith(
        "No dimension of A can be calibrated. topic: All 40 labels are the same level"
    )
    assert "tone: No pair has both a label and probabilities." in problem.message
    assert cents(found) == DEV  # it was asked, which is told


def test_errors_of_the_judge_are_its_own() -> None:
    with FakeProvider(otherwise=error(401)) as provider:
        inner = RepeatedJudge("fake-hash-grader", repeats=2, base_url=provider.base_url)
        _, problem = stopped(CalibratedJudge(inner, labels=labels(TRUTH), dev_pairs=PAIRS[:DEV]), PAIRS)
    assert "401" in str(problem)


def test_what_it_is_given_is_checked() -> None:
    with pytest.raises(BadInput, match="dev labels, and there are none"):
        calibrated(table=labels([], labelled=[]))
    with pytest.raises(BadInput, match="no column 'labeler'"):
        calibrated(table=labels(TRUTH).drop(columns="labeler"))
    with pytest.raises(BadInput, match="'platt' is no way"):
        calibrated(method="platt")
