"""Judgements made elsewhere: rows to verdicts, files of verdicts, and replaying them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from judge_samples import pairs, small_policy, verdicts_of

from workbench.errors import BadInput
from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.judges.recorded import RecordedJudge, read_verdicts, recorded_verdicts
from workbench.run import Judgement, Verdict

POLICY = small_policy()  # topic 0-4; tone 0-2 or N/A


def row(score: Any, dimension: str = "topic", pair_id: str = "p", **more: Any) -> dict[str, Any]:
    return {"pair_id": pair_id, "dimension": dimension, "score": score, **more}


@pytest.mark.parametrize(
    ("score", "grade", "expected"),
    [
        (3, 3, None),
        (3.0, 3, None),
        ("3", 3, None),
        (" 2.4 ", 2, 2.4),
        (2.5, 3, 2.5),  # half goes up
        (3.5, 4, 3.5),
        (0.49, 0, 0.49),
        (0.5, 1, 0.5),  # and not to the even neighbour
    ],
)
def test_scores_become_grades(score: Any, grade: int, expected: float | None) -> None:
    (verdict,), report = recorded_verdicts([row(score, rationale=" Because. ")], POLICY)
    assert verdict.judgements == (
        Judgement(dimension="topic", grade=grade, expected=expected, rationale="Because."),
    )
    assert report.used == 1


@pytest.mark.parametrize("score", [-0.1, 4.2, "7", 1e300, -2])
def test_a_score_outside_the_scale_fails_and_is_counted(score: Any) -> None:
    (verdict,), report = recorded_verdicts([row(score)], POLICY)
    assert verdict.judgements[0].grade == NOT_GRADED
    assert "outside the scale 0–4" in verdict.judgements[0].error
    assert (report.used, report.outside_scale, report.not_a_score) == (0, {"topic": 1}, {})


@pytest.mark.parametrize("score", [None, "", "good", True, float("nan"), "inf", [3], 10**400])
def test_what_is_no_score_fails_and_is_counted(score: Any) -> None:
    (verdict,), report = recorded_verdicts([row(score)], POLICY)
    assert "which is no number" in verdict.judgements[0].error
    assert len(verdict.judgements[0].error) < 120
    assert (report.used, report.outside_scale, report.not_a_score) == (0, {}, {"topic": 1})


def test_not_applicable_where_it_is_allowed() -> None:
    rows = [row("N/A", "tone"), row("na", "tone", "q"), row("N/A", "topic")]
    (first, second), report = recorded_verdicts(rows, POLICY)
    assert [j.grade for j in first.judgements] == [NOT_APPLICABLE, NOT_GRADED]
    assert second.judgements[0].grade == NOT_APPLICABLE
    assert (report.used, report.outside_scale) == (2, {"topic": 1})


def test_unknown_dimensions_and_repeated_rows_are_counted() -> None:
    rows = [row(1), row(2, "mood"), row(9), row(4), row(1, "mood"), row(0, "overall")]
    (verdict,), report = recorded_verdicts(rows, POLICY)
    assert [j.grade for j in verdict.judgements] == [4]  # the last row counts
    assert report.unknown_dimension == {"mood": 2, "overall": 1}
    assert (report.repeated, report.used, report.outside_scale) == (2, 1, {})


@pytest.mark.parametrize("bad", [{"score": 1}, row(1, ""), row(1, "topic", " "), row(1, "topic", None)])  # type: ignore[arg-type]
def test_a_row_without_pair_or_dimension_is_named(bad: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="Row 2 has no pair id"):
        recorded_verdicts([row(1), bad], POLICY)


def test_replay_answers_every_dimension_of_every_pair() -> None:
    one, two, three = pairs(3)
    rows = [
        row(3, "topic", one.id),
        row(1.5, "tone", one.id),
        row(2, "topic", two.id),
        row(1, "topic", "other"),
    ]
    verdicts, _ = recorded_verdicts(rows, POLICY)
    judge = RecordedJudge("colleague", verdicts, source="scores.csv")
    found = verdicts_of(judge, POLICY, [three, two, one])
    assert [v.pair_id for v in found] == [three.id, two.id, one.id]
    assert [[j.dimension for j in v.judgements] for v in found] == [["topic", "tone"]] * 3
    assert [[j.grade for j in v.judgements] for v in found] == [[-1, -1], [2, -1], [3, 2]]
    assert found[0].judgements[0].error == "no recorded answer for this pair"
    assert found[2].judgements[1].expected == 1.5
    assert found[0].usage.cost_usd is None  # what it once cost is not known


def test_replay_under_a_policy_with_another_scale_fails_what_does_not_fit() -> None:
    (pair,) = pairs(1)
    judgements = (
        Judgement(dimension="topic", grade=NOT_APPLICABLE),
        Judgement(dimension="tone", grade=4),
        Judgement(dimension="gone", grade=1),
    )
    judge = RecordedJudge("old run", [Verdict(pair_id=pair.id, judgements=judgements)])
    (verdict,) = verdicts_of(judge, POLICY, [pair])
    assert [j.error for j in verdict.judgements] == [
        "the recorded grade is N/A, which topic does not allow",
        "the recorded grade 4 is outside the scale 0–2",
    ]


def test_a_file_of_verdicts_is_replayed_with_its_last_line_for_a_pair(tmp_path: Path) -> None:
    (pair,) = pairs(1)
    lines = [
        Verdict(pair_id=pair.id, judgements=(Judgement(dimension="topic", grade=g),)).model_dump_json()
        for g in (1, 4)
    ]
    path = tmp_path / "judgements.jsonl"
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    judge = RecordedJudge("file", path, source="run 7")
    (verdict,) = verdicts_of(judge, POLICY, [pair])
    assert verdict.judgements[0].grade == 4
    assert (judge.identity.kind, judge.identity.name, judge.identity.params["source"]) == (
        "recorded", "file", "run 7",
    )  # fmt: skip
    same = RecordedJudge("file", read_verdicts(path)[1:], source="run 7")
    other = RecordedJudge("file", read_verdicts(path)[:1], source="run 7")
    assert same.identity.hash == judge.identity.hash != other.identity.hash


@pytest.mark.parametrize("line", ["not JSON", "[]", '{"pair_id": 1}', '{"pair_id": "p", "judgements": 3}'])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "judgements.jsonl"
    path.write_text('{"pair_id": "p", "judgements": []}\n' + line)
    with pytest.raises(BadInput, match=r"judgements\.jsonl, line 2"):
        RecordedJudge("file", path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone\.jsonl cannot be read"):
        RecordedJudge("file", tmp_path / "gone.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"pair_id": "\xe9"}')
    with pytest.raises(BadInput, match=r"latin\.jsonl cannot be read"):
        RecordedJudge("file", str(tmp_path / "latin.jsonl"))
