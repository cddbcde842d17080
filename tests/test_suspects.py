"""Suspected label errors from runs and labels to decisions, and what follows from each.

Six dev pairs and one of the holdout, labelled by ann. Two judges say taste 0 on P1, whose label is 2, and on HELD, whose
label is 2 too; elsewhere they say what the label says. Where they say 0 the other dev labels are 0 and 0, so the margin
on a scale of four answers (0, 1, 2, N/A) is P(0) - P(2) = (2.5 - 0.5) / (2 + 4/2) = 1/2.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from workspace_samples import NAME, dimensions, golden_set, label, pair, recorded_run, version

from workbench import comments, suspects
from workbench.disagreements import disagreements
from workbench.errors import BadInput, NotFound, Refused
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, Pair
from workbench.labelling import publish_golden
from workbench.run import JudgeIdentity, Judgement, Run, Verdict
from workbench.store.decisions import Decision
from workbench.suggestion import Decision as Finding
from workbench.suspects import Suspect, holds, independent_runs, take_back, triage
from workbench.workspace import Workspace

P1, P2, P3, P4, P5, P6, HELD = (pair(f"wish {i}", f"tea {i}") for i in range(7))
LABELS = [(P1, 2), (P2, 0), (P3, 0), (P4, 1), (P5, 2), (P6, 2), (HELD, 2)]
TASTE = (0, 0, 0, 1, 2, 2, 0)


@pytest.fixture
def tea(workspace: Workspace) -> Workspace:
    """The golden set described above; no run yet."""
    golden_set(workspace, [(p, {"taste": grade, "strength": 1}) for p, grade in LABELS], holdout=[HELD])
    return workspace


def judged(tea: Workspace, name: str, taste: Sequence[int] = TASTE, **more: object) -> Run:
    given = [(p, {"taste": t, "strength": 1}) for (p, _), t in zip(LABELS, taste, strict=True)]
    return recorded_run(tea, name, given, **{"judge": f"lab/{name}"} | more)  # type: ignore[arg-type]


@pytest.fixture
def two(tea: Workspace) -> tuple[Run, Run]:
    """Two judges."""
    return judged(tea, "a"), judged(tea, "b", minute=1)


def found(tea: Workspace, **more: object) -> tuple[Suspect, ...]:
    return suspects.suspects(tea, "tea", **more)  # type: ignore[arg-type]


def only(tea: Workspace) -> Suspect:
    (one,) = found(tea)
    return one


def decide(tea: Workspace, outcome: str, note: str = "Because.", **more: object) -> Decision:
    return triage(tea, only(tea), outcome, note=note, author="ida", **more)  # type: ignore[arg-type]


# The list


def test_a_label_that_two_judges_contradict(tea: Workspace, two: tuple[Run, Run]) -> None:
    one = only(tea)
    assert (one.pair_id, one.dimension, one.split) == (P1.id, "taste", "dev")
    assert (one.label, one.answer, one.votes) == (2, 0, {2: 1})
    assert one.score == pytest.approx(0.5)
    assert [(j.run.id, j.grade, j.margin) for j in one.judges] == [
        ("run-b", 0, pytest.approx(0.5)),
        ("run-a", 0, pytest.approx(0.5)),
    ]
    assert one.agreeing == one.judges
    assert one.decision is None


def test_one_judge_is_not_several(tea: Workspace) -> None:
    judged(tea, "a")
    assert found(tea) == ()
    assert [one.pair_id for one in found(tea, least_judges=1)] == [P1.id]
    with pytest.raises(BadInput, match="At least one judge"):
        found(tea, least_judges=0)


def test_near_copies_and_trained_models_are_no_second_judge(tea: Workspace) -> None:
    run = judged(tea, "a")
    judged(tea, "a2", minute=1, judge="openrouter/lab/a-2026-01-01")
    judged(tea, "a3", minute=2, judge="lab/a", params={"temperature": 1})
    open_ = judged(tea, "b", minute=3, status="running")
    student = run.model_copy(
        update={"id": "run-s", "judge": JudgeIdentity(kind="checkpoint", name="student")}
    )
    tea.store.save_run(student)
    assert [one.id for one in independent_runs(tea, "tea")] == ["run-a3"], "the newest of its family"
    assert found(tea) == ()
    with pytest.raises(Refused, match="trained model"):
        found(tea, runs=[student])
    with pytest.raises(Refused, match="has not finished"):
        found(tea, runs=[open_])
    with pytest.raises(Refused, match="'coffee'"):
        found(tea, runs=[run.model_copy(update={"golden": "coffee"})])


def test_runs_can_be_chosen(tea: Workspace, two: tuple[Run, Run]) -> None:
    newer = judged(tea, "a9", judge="lab/a", taste=[grade for _, grade in LABELS], minute=9)
    assert found(tea) == (), "judge a has changed its mind"
    assert [one.pair_id for one in found(tea, runs=two)] == [P1.id]
    assert {judge.run.id for judge in only_of(found(tea, runs=two)).judges} == {"run-a", "run-b"}
    assert [run.id for run in independent_runs(tea, "tea", [two[0], newer])] == ["run-a9"]


def only_of(some: tuple[Suspect, ...]) -> Suspect:
    (one,) = some
    return one


def test_by_dimension(tea: Workspace, two: tuple[Run, Run]) -> None:
    assert found(tea, dimension="strength") == ()
    assert [one.dimension for one in found(tea, dimension="taste")] == ["taste"]
    with pytest.raises(NotFound, match="colour"):
        found(tea, dimension="colour")


def test_todays_labels_count(tea: Workspace, two: tuple[Run, Run]) -> None:
    assert found(tea)
    tea.store.add_labels("tea", [label(P1, "taste", 0, minute=5)])
    assert found(tea) == (), "ann has corrected it"
    tea.store.add_labels("tea", [label(P1, "taste", 2, minute=6)])
    assert only(tea).votes == {2: 1}
    tea.store.add_labels("tea", [label(P1, "taste", 2, "bob")])
    assert found(tea) == ()  # (1/2 + 1/2 - 1) / 3 is 0: there is as much for the label as against it
    tea.store.add_labels("tea", [label(P1, "taste", 0, "eve")])
    assert only(tea).votes == {0: 1, 2: 2}
    assert only(tea).score == pytest.approx((0.5 + 0.5 - 1 + 1) / 4)


def test_probabilities_are_read(tea: Workspace, two: tuple[Run, Run]) -> None:
    judgement = Judgement(dimension="taste", grade=0, probabilities=(0.5, 0.5, 0.0))
    tea.store.add_verdicts("run-a", [Verdict(pair_id=P1.id, judgements=(judgement,))])
    # Where a says 1 there is one label, a 1: P(0 | 1) = P(2 | 1) = 0.5 / 3, no margin. So half of 1/2.
    margins = {judge.run.id: judge.margin for judge in only(tea).judges}
    assert margins == {"run-a": pytest.approx(0.25), "run-b": pytest.approx(0.5)}
    assert only(tea).score == pytest.approx(0.375)


def test_a_run_under_another_scale_says_nothing_of_that_dimension(
    tea: Workspace, two: tuple[Run, Run]
) -> None:
    tea.store.add_policy(version(2, dimensions=dimensions(taste=3)))
    assert found(tea) == ()


def test_failed_answers_are_no_answers(tea: Workspace) -> None:
    judged(tea, "a")
    judged(tea, "b", taste=(NOT_GRADED, *TASTE[1:]))
    assert found(tea) == ()


# The holdout


def test_the_holdout_is_looked_at_by_choice_and_each_look_is_written_once(
    tea: Workspace, two: tuple[Run, Run]
) -> None:
    assert [one.pair_id for one in found(tea)] == [P1.id]
    assert tea.store.looks("tea").empty
    for _ in range(2):
        held = only_of(found(tea, split="holdout", who="bob"))
    both = found(tea, split="all", who="eve")
    assert (held.pair_id, held.split) == (HELD.id, "holdout")
    # Calibrated on all: labels 2, 0, 0, 2 where a judge says 0; without the own one P(0) - P(2) = (2.5 - 1.5) / 5.
    assert held.score == pytest.approx(0.2)
    assert [(one.pair_id, one.split) for one in both] == [(P1.id, "dev"), (HELD.id, "holdout")]
    looks = tea.store.looks("tea")
    assert sorted(zip(looks["who"], looks["run_id"], looks["place"], strict=True)) == [
        ("bob", "run-a", "suspects"), ("bob", "run-b", "suspects"),
        ("eve", "run-a", "suspects"), ("eve", "run-b", "suspects"),
    ]  # fmt: skip
    newer = judged(tea, "c", minute=9)
    found(tea, split="holdout", who="bob")
    assert tea.store.looks("tea")["run_id"].tolist()[0] == newer.id, "another run is another look"
    assert len(tea.store.looks("tea")) == 5


# Decisions, and what follows from each


def test_label_wrong_with_a_grade_is_an_adjudicated_label_at_once(
    tea: Workspace, two: tuple[Run, Run]
) -> None:
    decision = decide(tea, "label wrong", "Smoke was ruled out.", grade=0, key="k1")
    table = tea.store.labels("tea", pair_id=P1.id)
    made = table[table["source"] == "adjudicated"].iloc[0]
    assert (made["dimension"], made["grade"], made["labeler"]) == ("taste", 0, "ida")
    assert made["note"] == "Smoke was ruled out."
    assert decision.details == {
        "label": 2, "answer": 0, "score": 0.5, "split": "dev", "grade": 0,
        "runs": {"run-a": 0, "run-b": 0}, "families": ["llm a", "llm b"], "policy_version": 1,
    }  # fmt: skip
    assert (decision.outcome, decision.author, decision.place) == ("label wrong", "ida", "suspects")
    assert tea.store.decisions("tea") == [decision]
    assert found(tea) == ()


def test_a_double_click_decides_once(tea: Workspace, two: tuple[Run, Run]) -> None:
    one = only(tea)
    for _ in range(2):
        triage(tea, one, "label wrong", note="So it is.", author="ida", grade=0, key="k1")
    assert (tea.store.labels("tea", pair_id=P1.id)["source"] == "adjudicated").sum() == 1
    assert len(tea.store.decisions("tea")) == 1
    for _ in range(2):
        triage(tea, one, "policy ambiguous", note="Which?", author="ida", key="k2")
    assert len(tea.store.comments(NAME)) == 1


def test_label_wrong_without_a_grade_waits_for_adjudication(tea: Workspace, two: tuple[Run, Run]) -> None:
    before = tea.store.labels_mark("tea")
    decide(tea, "label wrong", "")
    assert tea.store.labels_mark("tea") == before
    assert found(tea) == ()
    tea.store.add_labels("tea", [label(P1, "taste", 1, minute=5)])
    again = only(tea)
    assert again.label == 1, "the newer label is contradicted too"
    assert again.decision is not None


def test_another_grade_than_the_judges_settles_it_too(tea: Workspace, two: tuple[Run, Run]) -> None:
    decide(tea, "label wrong", "In between.", grade=1)
    assert found(tea) == ()


def test_judge_wrong_is_evidence_for_suggestions(tea: Workspace, two: tuple[Run, Run]) -> None:
    run = two[0]
    (before,) = disagreements(tea, run).worst["taste"]
    assert before.decision is None
    decided = decide(tea, "judge wrong", "Smoke is wanted here.")
    (after,) = disagreements(tea, run).worst["taste"]
    assert after == before.model_copy(
        update={"decision": Finding(finding="judge wrong", note="Smoke is wanted here.")}
    )
    take_back(tea, decided, author="ida")
    assert disagreements(tea, run).worst["taste"] == (before,)


def test_a_corrected_label_is_not_wrong_any_more(tea: Workspace, two: tuple[Run, Run]) -> None:
    decide(tea, "label wrong", "In between.", grade=1)
    (after,) = disagreements(tea, two[0]).worst["taste"]
    assert (after.label, after.judge, after.decision) == (1, 0, None)


def test_policy_ambiguous_is_a_comment_on_the_clause_cited_most(tea: Workspace, two: tuple[Run, Run]) -> None:
    cites = {"run-a": ("general.1", "taste.2", "strength.1"), "run-b": ("taste.2", "gone.1")}
    for run_id, cited in cites.items():
        given = Judgement(dimension="taste", grade=0, cites=cited)
        tea.store.add_verdicts(run_id, [Verdict(pair_id=P1.id, judgements=(given,))])
    decision = decide(tea, "policy ambiguous", "What is a blend of two?")
    (said,) = tea.store.comments(NAME)
    assert (said.section, said.item, said.author) == ("taste", "taste.2", "ida")
    assert said.text.startswith(
        "What is a blend of two?\n\nAmbiguous for a pair of tea: wish 0 / tea 0. People say 2, "
    )
    assert "2 of 2 judges say 0 (taste)." in said.text
    assert said.text.endswith(P1.id)
    assert decision.details["comment"] == said.id
    assert (decision.details["section"], decision.details["item"]) == ("taste", "taste.2")
    take_back(tea, decision, author="eve")
    (thread,) = comments.threads(tea, NAME, tea.store.policy(NAME))
    assert thread.resolved
    assert only(tea).decision is None, "taken back: it waits again"


def test_where_nothing_is_cited_the_comment_is_on_the_dimension(tea: Workspace, two: tuple[Run, Run]) -> None:
    decide(tea, "policy ambiguous")
    (said,) = tea.store.comments(NAME)
    assert (said.section, said.item) == ("taste", "")


def test_a_holdout_pair_does_not_reach_the_policy(tea: Workspace, two: tuple[Run, Run]) -> None:
    held = only_of(found(tea, split="holdout"))
    decision = triage(tea, held, "policy ambiguous", note="Hm.", author="ida")
    assert tea.store.comments(NAME) == []
    assert "comment" not in decision.details
    assert found(tea, split="holdout") == ()


@pytest.mark.parametrize(
    ("outcome", "note", "grade", "says"),
    [
        ("open", "x", None, "settles nothing"),
        ("policy ambiguous", " ", None, "needs a note"),
        ("label wrong", "", 0, "needs a note"),
        ("label wrong", "x", 2, "the label as it is"),
        ("label wrong", "x", 7, "no level"),
        ("label wrong", "x", NOT_APPLICABLE, "cannot be N/A"),
        ("judge wrong", "x", 0, "not said to be wrong"),
    ],
)
def test_what_is_refused_leaves_nothing(
    tea: Workspace, two: tuple[Run, Run], outcome: str, note: str, grade: int | None, says: str
) -> None:
    before = tea.store.labels_mark("tea")
    with pytest.raises(BadInput, match=says):
        decide(tea, outcome, note, grade=grade)
    assert tea.store.decisions("tea") == []
    assert tea.store.comments(NAME) == []
    assert tea.store.labels_mark("tea") == before


# How long a decision holds


def test_judge_wrong_holds_until_another_judge_says_it_too(tea: Workspace, two: tuple[Run, Run]) -> None:
    decision = decide(tea, "judge wrong")
    judged(tea, "a2", judge="lab/a", minute=5)
    assert found(tea) == (), "the same judge again is nothing new"
    judged(tea, "c", minute=6)
    assert only(tea).decision == decision


def test_ambiguous_holds_until_a_run_under_a_newer_version_says_it_still(
    tea: Workspace, two: tuple[Run, Run]
) -> None:
    decide(tea, "policy ambiguous")
    judged(tea, "c", minute=5)
    assert found(tea) == ()
    tea.store.add_policy(version(2))
    judged(tea, "d", minute=6, policy_version=2)
    assert only(tea).decision is not None


def test_another_answer_is_another_suspicion(tea: Workspace, two: tuple[Run, Run]) -> None:
    decision = decide(tea, "judge wrong")
    for name in "ab":
        judged(tea, f"{name}2", taste=(1, *TASTE[1:]), judge=f"lab/{name}", minute=5)
    again = only(tea)
    assert (again.answer, again.decision) == (1, decision)


def test_a_decision_of_another_place_that_says_less_holds(tea: Workspace, two: tuple[Run, Run]) -> None:
    one = only(tea)
    decision = triage(tea, one, "judge wrong", note="", author="ida")
    assert holds(decision.model_copy(update={"details": {}}), one)
    assert not holds(decision.model_copy(update={"details": {"label": 1}}), one)
    assert not holds(decision.model_copy(update={"outcome": "open"}), one)


def test_a_new_snapshot_brings_its_pairs(tea: Workspace, two: tuple[Run, Run]) -> None:
    assert len(found(tea)) == 1
    more: list[Pair] = [pair("wish 0", f"late tea {i}") for i in range(2)]
    tea.store.add_pairs("tea", more, {p.id: "dev" for p in more})
    tea.store.add_labels("tea", [label(p, "taste", 2) for p in more])
    publish_golden(tea, "tea", message="More", author="Ida")
    for name in "ab":
        given = [(p, {"taste": t}) for (p, _), t in zip(LABELS, TASTE, strict=True)]
        late = [(p, {"taste": t}) for p, t in zip(more, (0, 2), strict=True)]
        recorded_run(tea, f"{name}2", given + late, judge=f"lab/{name}", minute=5, golden_version=2)
    assert {one.pair_id for one in found(tea)} == {P1.id, more[0].id}
