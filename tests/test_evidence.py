"""Evidence on one part of a policy: counts and the order of disagreements, by hand; never a holdout pair."""

from __future__ import annotations

import policy_samples
import pytest
import workspace_samples as samples

from workbench.evidence import Count, Evidence, evidence, finished_runs
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, Pair
from workbench.policy import Body
from workbench.policy_edit import add_clause, set_clause, set_level
from workbench.run import Judgement, Run, Verdict
from workbench.workspace import Workspace

P1, P2, P3, P4, P5, HELD = (samples.pair(f"wish {i}", f"tea {i}") for i in range(6))
LABELS = [
    (P1, {"taste": 2, "strength": NOT_APPLICABLE}),
    (P2, {"taste": 0, "strength": 1}),
    (P3, {"taste": 1, "strength": 1}),
    (P4, {"strength": 0}),
    (P5, {"taste": 1, "strength": 0}),
    (HELD, {"taste": 0, "strength": 0}),
]
ANSWERS = [  # pair, taste with its probabilities and cites, strength with its cites
    (P1, 0, (0.4, 0.3, 0.3), ("taste.1",), 1, ("strength.1", "general.1")),
    (P2, 1, (0.2, 0.5, 0.3), ("taste.1", "general.1"), 0, ("strength.1",)),
    (P3, 1, None, ("taste.2",), 1, ("strength.1",)),
    (P4, 2, None, ("taste.1",), NOT_GRADED, ()),
    (P5, 2, (0.0, 0.1, 0.9), ("taste.2",), 0, ()),
    (HELD, 2, None, ("taste.1", "taste.p1"), 1, ("strength.1", "general.1")),
]


@pytest.fixture
def run(workspace: Workspace) -> Run:
    """A finished run over five dev pairs and one of the holdout."""
    samples.golden_set(workspace, LABELS, holdout=[HELD])
    made = samples.recorded_run(workspace, "one", [])
    workspace.store.add_verdicts(made.id, [_verdict(*answer) for answer in ANSWERS])
    return made


def _verdict(
    pair: Pair, taste: int, sure: tuple[float, ...] | None, cites: tuple[str, ...], strength: int, also: tuple[str, ...]
) -> Verdict:  # fmt: skip
    failed = "no answer" if strength == NOT_GRADED else ""
    given = (
        Judgement(dimension="taste", grade=taste, probabilities=sure, cites=cites),
        Judgement(dimension="strength", grade=strength, cites=also, error=failed),
    )
    return Verdict(pair_id=pair.id, judgements=given)


def shown(found: Evidence) -> list[tuple[str, str, int, int]]:
    frame = found.disagreements
    return list(zip(frame["pair_id"], frame["dimension"], frame["human"], frame["judge"], strict=True))


def test_a_clause_counts_the_answers_that_cite_it(workspace: Workspace, run: Run) -> None:
    found = evidence(workspace, run, policy_samples.body(), "taste", "taste.1")
    # Cited by P1, P2 and P4, of which P4 has no label; P1 and P2 are wrong. The holdout pair cites it too: left out.
    assert found.cited == Count(answers=3, labelled=2, disagree=2)
    assert found.cited.share == 1.0
    # Across the dimension five answers, four with a label, and P5 is wrong as well.
    assert found.all == Count(answers=5, labelled=4, disagree=3)
    assert found.all.share == 0.75
    assert shown(found) == [(P1.id, "taste", 2, 0), (P2.id, "taste", 0, 1)]


def test_a_section_shows_all_of_its_disagreements_the_farthest_and_surest_first(
    workspace: Workspace, run: Run
) -> None:
    found = evidence(workspace, run, policy_samples.body(), "taste", "")
    assert found.cited is None
    # P1 is two levels off; P5 and P2 are one off, and the judge was surer of P5 (0.9) than of P2 (0.5).
    assert [pair_id for pair_id, *_ in shown(found)] == [P1.id, P5.id, P2.id]
    assert found.disagreements["confidence"].tolist() == [0.4, 0.9, 0.5]
    assert found.dimensions == ("taste",)
    assert found.agreements["taste"].n == 4
    assert found.agreements["taste"].confusion.tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 0]]
    # A single labeler: there is no agreement among people.
    assert found.ceilings == {"taste": None}


def test_not_applicable_against_a_level_is_the_farthest(workspace: Workspace, run: Run) -> None:
    found = evidence(workspace, run, policy_samples.body(), "strength", "")
    assert shown(found) == [(P1.id, "strength", NOT_APPLICABLE, 1), (P2.id, "strength", 1, 0)]
    # P4 has no answer, which is no verdict.
    assert found.all == Count(answers=4, labelled=4, disagree=2)


def test_a_general_clause_is_looked_for_in_all_dimensions(workspace: Workspace, run: Run) -> None:
    found = evidence(workspace, run, policy_samples.body(), "general", "general.1")
    assert found.dimensions == ("taste", "strength")
    assert found.cited == Count(answers=2, labelled=2, disagree=2)
    assert found.all == Count(answers=9, labelled=8, disagree=5)
    # P1 on strength, N/A against one of two levels, is as far as two levels.
    assert shown(found) == [(P1.id, "strength", NOT_APPLICABLE, 1), (P2.id, "taste", 0, 1)]


def test_a_level_shows_where_label_or_judge_is_that_level(workspace: Workspace, run: Run) -> None:
    found = evidence(workspace, run, policy_samples.body(), "taste", "level 2")
    # P1 is labelled 2, P5 judged 2; P4 is judged 2, but has no label.
    assert [pair_id for pair_id, *_ in shown(found)] == [P1.id, P5.id]
    assert found.cited is None


def test_the_overall_rule_has_the_grades_that_follow_from_the_dimensions(
    workspace: Workspace, run: Run
) -> None:
    found = evidence(workspace, run, policy_samples.body(), "overall", "gate.1")
    # Weights 3 and 1, cuts 0.5 and 1.5, and 0 where taste is 0. Label/judge: P1 2 (taste alone) / 0 by the gate;
    # P2 0 by the gate / (3*1 + 0)/4 = 0.75 -> 1; P3 (3 + 1)/4 = 1 -> 1 / 1; P4 has neither; P5 (3 + 0)/4 = 0.75 -> 1
    # / (6 + 0)/4 = 1.5 -> 2.
    assert sorted(shown(found)) == sorted(
        [(P1.id, "overall", 2, 0), (P2.id, "overall", 0, 1), (P5.id, "overall", 1, 2)]
    )
    assert shown(found)[0][0] == P1.id
    assert found.all == Count(answers=4, labelled=4, disagree=3)
    assert found.cited is None


@pytest.mark.parametrize(
    ("section", "item"),
    [("taste", ""), ("taste", "taste.1"), ("taste", "taste.p1"), ("general", ""), ("overall", ""), ("taste", "level 0")],
)  # fmt: skip
def test_holdout_pairs_are_never_shown(workspace: Workspace, run: Run, section: str, item: str) -> None:
    found = evidence(workspace, run, policy_samples.body(), section, item)
    assert HELD.id not in set(found.disagreements["pair_id"])
    if item == "taste.p1":  # only the holdout pair cites it
        assert found.cited == Count(0, 0, 0)
        assert found.cited.share is None


def test_a_corrected_label_counts_at_once(workspace: Workspace, run: Run) -> None:
    before = evidence(workspace, run, policy_samples.body(), "taste", "taste.1")
    workspace.store.add_labels(
        "tea", [samples.label(P1, "taste", 0, minute=5), samples.label(P4, "taste", 0)]
    )
    after = evidence(workspace, run, policy_samples.body(), "taste", "taste.1")
    assert before.cited == Count(3, 2, 2)
    # P1 is right now; P4 has a label now and is wrong by two levels.
    assert after.cited == Count(3, 3, 2)
    assert shown(after) == [(P4.id, "taste", 0, 2), (P2.id, "taste", 0, 1)]


def edited_clause(body: Body) -> Body:
    return set_clause(body, "taste.1", "Smoke is a taste.")


def edited_level(body: Body) -> Body:
    return set_level(body, "taste", 0, name="Clash", criteria="Ruled out.")


@pytest.mark.parametrize(
    ("edit", "section", "item", "state"),
    [
        (edited_clause, "taste", "taste.1", "reworded"),
        (edited_clause, "taste", "taste.2", "same"),
        (edited_clause, "taste", "", "reworded"),
        (edited_clause, "strength", "", "same"),
        (edited_clause, "general", "", "same"),
        (edited_level, "taste", "level 0", "reworded"),
        (edited_level, "taste", "level 1", "same"),
        (lambda body: add_clause(body, "taste", "New."), "taste", "taste.4", "new"),  # taste.3 is retired
        (lambda body: add_clause(body, "general", "New."), "general", "general.2", "new"),
        (lambda body: add_clause(body, "general", "New."), "general", "", "reworded"),
    ],
)  # fmt: skip
def test_it_says_whether_the_judge_read_what_the_draft_says(
    workspace: Workspace, run: Run, edit: object, section: str, item: str, state: str
) -> None:
    body = edit(policy_samples.body())  # type: ignore[operator]
    assert evidence(workspace, run, body, section, item).state == state


def test_another_weight_rewords_no_dimension(workspace: Workspace, run: Run) -> None:
    first, second = policy_samples.plain()["dimensions"]
    body = policy_samples.body(dimensions=[first | {"weight": 9}, second])
    assert evidence(workspace, run, body, "taste", "").state == "same"
    assert evidence(workspace, run, body, "overall", "").state == "reworded"


def test_a_dimension_that_the_run_did_not_know_has_no_evidence(workspace: Workspace, run: Run) -> None:
    first, second = policy_samples.plain()["dimensions"]
    body = policy_samples.body(dimensions=[first, second, second | {"key": "colour", "clauses": []}])
    found = evidence(workspace, run, body, "colour", "")
    assert (found.dimensions, found.agreements, found.state) == ((), {}, "new")
    assert found.all == Count(0, 0, 0)


def test_a_judge_that_cites_nothing_is_known_as_one(workspace: Workspace, run: Run) -> None:
    silent = samples.recorded_run(workspace, "two", [(P1, {"taste": 0, "strength": 1})])
    found = evidence(workspace, silent, policy_samples.body(), "taste", "taste.1")
    assert (found.citing, found.cited) == (0, Count(0, 0, 0))
    assert evidence(workspace, run, policy_samples.body(), "taste", "taste.1").citing == 5


def test_finished_runs_of_the_policy_only(workspace: Workspace, run: Run) -> None:
    later = samples.recorded_run(workspace, "two", [], minute=1)
    open_ = samples.recorded_run(workspace, "three", [], minute=2, status="running")
    other = later.model_copy(update={"policy": "coffee"})
    assert finished_runs([open_, other, later, run], "tea-match") == [later, run]
