"""The history of a policy: what each version changed, whose figures there are, and the newest run under each version."""

from __future__ import annotations

import pytest
from workspace_samples import NAME, golden_set, label, pair, recorded_run, version

from workbench.agreement import Estimate
from workbench.errors import NotFound
from workbench.policy import OVERALL
from workbench.policy_history import Series, ceilings, series, timeline
from workbench.policy_history_chart import trends
from workbench.workspace import Workspace

TEAS = [pair(f"wish {i}", f"tea {i}") for i in range(4)]
RIGHT = [(tea, {"taste": grade, "strength": 1}) for tea, grade in zip(TEAS, (0, 2, 0, 2), strict=True)]
HALF = [(tea, {"taste": grade, "strength": 1}) for tea, grade in zip(TEAS, (0, 2, 2, 0), strict=True)]


def test_versions_with_what_they_changed(workspace: Workspace) -> None:
    workspace.store.add_policy(version(2, title="Another title"))
    workspace.store.add_policy(version(4, parent=3, title="A third title"))  # v3 is not in this workspace
    entries = timeline(workspace, NAME)
    assert [(entry.policy.version, entry.parent) for entry in entries] == [(1, None), (2, 1), (4, None)]
    assert [[change.id for change in entry.changes] for entry in entries] == [[], ["title"], []]
    assert all(entry.run is None and entry.agreements == {} for entry in entries)
    with pytest.raises(NotFound):
        timeline(workspace, "cake")


def test_the_newest_finished_run_of_the_chosen_judge_under_each_version(workspace: Workspace) -> None:
    workspace.store.add_policy(version(2, title="Another title"))
    golden_set(workspace, RIGHT)
    recorded_run(workspace, "a", HALF, judge="tutor", minute=1)
    recorded_run(workspace, "b", RIGHT, judge="tutor", minute=2)
    recorded_run(workspace, "c", HALF, judge="tutor", minute=3, status="running")
    recorded_run(workspace, "d", HALF, judge="novice", minute=4)
    recorded_run(workspace, "e", HALF, judge="novice", policy_version=2, minute=5)
    assert series(workspace, NAME) == [Series("novice", "tea", False), Series("tutor", "tea", False)]
    assert series(workspace, "cake") == []
    tutor = timeline(workspace, NAME, Series("tutor", "tea", False))
    assert [entry.run.id if entry.run else None for entry in tutor] == ["run-b", None]
    assert tutor[0].agreements["taste"].kappa_quadratic.value == 1
    assert set(tutor[0].agreements) == {"taste", "strength", OVERALL}
    novice = timeline(workspace, NAME, Series("novice", "tea", False))
    assert [entry.run.id if entry.run else None for entry in novice] == ["run-d", "run-e"]
    # Two of four are two levels off: a mean squared difference of 2, which is what chance gives, so kappa is 0.
    assert novice[1].agreements["taste"].kappa_quadratic.value == 0


def test_the_ceiling_is_there_where_two_people_labelled(workspace: Workspace) -> None:
    golden_set(workspace, RIGHT)
    one = Series("tutor", "tea", False)
    assert ceilings(workspace, one) == {}
    workspace.store.add_labels("tea", [label(tea, "taste", grades["taste"], "bob") for tea, grades in RIGHT])
    found = ceilings(workspace, one)
    assert set(found) == {"taste"}
    assert found["taste"].value == 1


def test_one_panel_a_dimension_with_intervals_and_the_band() -> None:
    figures = {
        "taste": {1: Estimate(0.5, 0.4, 0.7), 3: Estimate(0.75, None, None)},
        "strength": {1: Estimate(None, None, None, "One class."), 3: Estimate(-0.2, -0.4, 0.1)},
    }
    band = {"taste": Estimate(0.8, 0.7, 0.9), "strength": Estimate(None, None, None, "Nobody.")}
    figure = trends(figures, {"taste": "Taste", "strength": "Strength"}, [1, 2, 3], band)
    taste, strength = figure.data
    assert list(taste.y) == [0.5, None, 0.75]
    assert list(taste.error_y.array) == pytest.approx([0.2, 0, 0])
    assert list(taste.error_y.arrayminus) == pytest.approx([0.1, 0, 0])
    assert list(taste.hovertext) == ["Taste, v1: κ 0.50 [0.40, 0.70]", "", "Taste, v3: κ 0.75"]
    assert list(strength.y) == [None, None, -0.2]
    assert [title.text for title in figure.layout.annotations] == ["Taste", "Strength"]
    assert [(shape.y0, shape.y1) for shape in figure.layout.shapes] == [(0.7, 0.9)]
    assert figure.layout.yaxis.range[0] == pytest.approx(-0.45)
    assert list(figure.layout.xaxis.ticktext) == ["v1", "v2", "v3"]
