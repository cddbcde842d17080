"""Whose grades a what-if combines: dev pairs only, the labels they are compared with, dimensions without grades.

The sample policy combines (3 x taste + strength) / 4 with cut points 0.5 and 1.5, and holds the overall grade at 0
where taste is 0.
"""

from __future__ import annotations

import numpy as np
import pytest
from workspace_samples import dimensions, golden_set, label, pair, recorded_run, version

from workbench import policy_edit
from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.what_if import GradeTable, what_if
from workbench.what_if_sources import Graded, Source, graded, pairs, sources
from workbench.workspace import Workspace

P = [pair("smoky", "Lapsang"), pair("smoky", "Sencha"), pair("mild", "Sencha"), pair("mild", "Assam")]
HELD = pair("bold", "Puer")
PEOPLE = [(0, 1), (1, 1), (2, 1), (2, 0)]  # taste, strength
JUDGE = [(0, 1), (2, 1), (2, 1), (1, NOT_GRADED)]


@pytest.fixture
def tea(workspace: Workspace) -> Workspace:
    """The golden set ``tea`` v1 with four dev pairs and one in the holdout, and a run of all five."""
    labels = [(p, {"taste": t, "strength": s}) for p, (t, s) in zip(P, PEOPLE, strict=True)]
    golden_set(workspace, [*labels, (HELD, {"taste": 1, "strength": 1})], holdout=[HELD])
    answers = [(p, {"taste": t, "strength": s}) for p, (t, s) in zip(P, JUDGE, strict=True)]
    recorded_run(workspace, "one", [*answers, (HELD, {"taste": 2, "strength": 0})])
    return workspace


def only(workspace: Workspace, run: bool) -> Source:
    return next(s for s in sources(workspace, "tea-match") if bool(s.run_id) is run)


def expanded(table: GradeTable) -> dict[str, list[int]]:
    return {key: column[table.which].tolist() for key, column in table.rows.items()}


def of_pairs(found: Graded, columns: dict[str, list[int]]) -> dict[str, list[int]]:
    """The columns in the order of P, whatever the order of the snapshot."""
    at = [found.pair_ids.index(p.id) for p in P]
    return {key: [column[i] for i in at] for key, column in columns.items()}


def test_runs_come_first_then_people(tea: Workspace) -> None:
    recorded_run(tea, "later", [(P[0], {"taste": 1, "strength": 1})], minute=5)
    recorded_run(tea, "under-way", [], minute=9, status="running")
    found = sources(tea, "tea-match")
    assert [s.key for s in found] == ["run-later", "run-one", "tea@1"]
    assert found[1].label == "judge · tea-match v1 on tea v1"
    assert found[2].label == "People's labels on tea v1"
    assert sources(tea, "another") == []


def test_the_holdout_is_never_among_the_pairs(tea: Workspace) -> None:
    for run in (True, False):
        found = graded(tea, only(tea, run), tea.store.policy("tea-match"))
        assert sorted(found.pair_ids) == sorted(p.id for p in P)
    assert tea.store.looks("tea").empty


def test_grades_of_a_run_with_labels_that_move(tea: Workspace) -> None:
    found = graded(tea, only(tea, True), tea.store.policy("tea-match"))
    taste, strength = zip(*JUDGE, strict=True)
    assert of_pairs(found, expanded(found.table)) == {"taste": [*taste], "strength": [*strength]}
    assert found.derived
    assert isinstance(found.labels, GradeTable)
    taste, strength = zip(*PEOPLE, strict=True)
    assert of_pairs(found, expanded(found.labels)) == {"taste": [*taste], "strength": [*strength]}
    assert found.pair_grades(found.pair_ids.index(P[1].id)) == {"taste": 2, "strength": 1}
    # Two queries with two pairs each.
    assert sorted(np.bincount(found.queries).tolist()) == [2, 2]
    assert [p.id for p in pairs(tea, found, [2, 0])] == [found.pair_ids[2], found.pair_ids[0]]


def test_people_alone_have_no_label_to_agree_with(tea: Workspace) -> None:
    found = graded(tea, only(tea, False), tea.store.policy("tea-match"))
    taste, strength = zip(*PEOPLE, strict=True)
    assert of_pairs(found, expanded(found.table)) == {"taste": [*taste], "strength": [*strength]}
    assert found.derived
    assert found.labels is None


def test_overall_labels_that_people_gave_stay_as_they_are(tea: Workspace) -> None:
    tea.store.add_labels("tea", [label(P[0], "overall", 2, minute=1), label(HELD, "overall", 1, minute=1)])
    for run in (True, False):
        found = graded(tea, only(tea, run), tea.store.policy("tea-match"))
        assert not found.derived
        assert found.label_scale == (0, 1, 2)
        assert isinstance(found.labels, np.ndarray)
        assert of_pairs(found, {"overall": found.labels.tolist()}) == {
            "overall": [2, NOT_GRADED, NOT_GRADED, NOT_GRADED]
        }


def test_a_dimension_without_grades_is_not_applicable_and_named(tea: Workspace) -> None:
    body = policy_edit.add_dimension(
        tea.store.policy("tea-match").body(), "price", "Price", "Is it affordable?"
    )
    for run in (True, False):
        found = graded(tea, only(tea, run), body)
        assert found.missing == ("price",)
        assert set(expanded(found.table)["price"]) == {NOT_APPLICABLE}
        # The mean is over the two others, as without the new dimension.
        outcome = what_if(body, body, found.table, found.labels).after
        before = graded(tea, only(tea, run), tea.store.policy("tea-match"))
        plain = tea.store.policy("tea-match")
        assert outcome.grades.tolist() == what_if(plain, plain, before.table).after.grades.tolist()


def test_levels_that_changed_are_other_grades(tea: Workspace) -> None:
    body = policy_edit.add_level(tea.store.policy("tea-match").body(), "strength", name="Perfect")
    assert graded(tea, only(tea, True), body).missing == ("strength",)
    # People's labels are read on the newest version's levels.
    tea.store.add_policy(version(2, dimensions=dimensions(strength=2)))
    newest = tea.store.policy("tea-match")
    assert graded(tea, only(tea, False), newest).missing == ()
    assert graded(tea, only(tea, True), newest).missing == ("strength",)


def test_labels_on_other_levels_than_the_drafts_are_no_labels(tea: Workspace) -> None:
    # The draft and the run have strength on 0-1, the newest version on 0-2.
    tea.store.add_policy(version(2, dimensions=dimensions(strength=2)))
    found = graded(tea, only(tea, True), tea.store.policy("tea-match", 1))
    assert found.missing == ()
    assert isinstance(found.labels, GradeTable)
    assert set(expanded(found.labels)["strength"]) == {NOT_APPLICABLE}
    assert of_pairs(found, expanded(found.labels))["taste"] == [taste for taste, _ in PEOPLE]


def test_the_same_object_until_something_changes(tea: Workspace) -> None:
    source, body = only(tea, True), tea.store.policy("tea-match").body()
    first = graded(tea, source, body)
    reworded = policy_edit.set_clause(body, "taste.1", "Smoke is a taste.")
    assert graded(tea, source, reworded) is first
    tea.store.add_labels("tea", [label(P[0], "taste", 2, minute=2)])
    second = graded(tea, source, body)
    assert second is not first
    assert isinstance(second.labels, GradeTable)
    assert of_pairs(second, expanded(second.labels))["taste"][0] == 2
