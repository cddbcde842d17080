"""The health of a golden set: slices, unseen pairs, near-duplicates that are found once, and the price of a difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from workspace_samples import NAME, golden_set, label, pair, recorded_run

from workbench import health, power
from workbench.golden import NOT_GRADED, UNRATEABLE, Pair
from workbench.workspace import Workspace

PAIRS = [
    pair("light", "sencha", city="Graz"),
    pair("light", "mate", city="Graz"),
    pair("strong", "assam", city="Linz"),
    pair("strong", "rooibos"),
]


def tea(workspace: Workspace, pairs: Sequence[Pair] = PAIRS, holdout: Sequence[int] = ()) -> None:
    workspace.store.create_golden("tea", NAME)
    workspace.store.add_pairs(
        "tea", pairs, {p.id: "holdout" if i in holdout else "dev" for i, p in enumerate(pairs)}
    )


def test_slices_come_from_metadata(workspace: Workspace) -> None:
    many = [pair("light", f"tea {i}", city="Graz", number=str(i)) for i in range(health.MOST_SLICES + 1)]
    tea(workspace, [*PAIRS, *many])
    assert health.slice_keys(workspace, "tea") == {"city": 2}  # 51 numbers name pairs


def test_coverage_by_slice_has_every_cell_empty_ones_first(workspace: Workspace) -> None:
    tea(workspace)
    for some, grade in zip(PAIRS, (0, 0, 2, 1), strict=True):
        workspace.store.add_labels("tea", [label(some, "taste", grade)])
    cells = health.coverage_by_slice(workspace, "tea", "city")
    # Two dimensions (taste 0-2, strength 0-1) in three slices: Graz, Linz, and the pair without a city.
    assert len(cells) == 3 * (3 + 2)
    assert cells["pairs"].is_monotonic_increasing
    filled = cells[cells["pairs"] > 0]
    assert filled.values.tolist() == [
        ["taste", "", 1, 1],
        ["taste", "Linz", 2, 1],
        ["taste", "Graz", 0, 2],
    ]
    dev = health.coverage_by_slice(workspace, "tea", "city", split="holdout")
    assert dev.empty


def test_coverage_of_one_slice_notices_new_labels_and_the_overall_grade(workspace: Workspace) -> None:
    tea(workspace)
    assert health.coverage_by_slice(workspace, "tea", "")["pairs"].sum() == 0
    workspace.store.add_labels("tea", [label(PAIRS[0], "overall", 1)])
    cells = health.coverage_by_slice(workspace, "tea", "")
    assert cells[cells["pairs"] > 0].values.tolist() == [["overall", "", 1, 1]]


def test_coverage_settles_by_the_rule_of_the_set(workspace: Workspace) -> None:
    workspace.store.create_golden("tea", NAME, consensus="median")
    workspace.store.add_pairs("tea", PAIRS[:1])
    # Votes 0 0 1 2 2 2: the majority is 2, the lower median of six is the third, 1.
    workspace.store.add_labels(
        "tea", [label(PAIRS[0], "taste", g, f"r{i}") for i, g in enumerate((0, 0, 1, 2, 2, 2))]
    )
    cells = health.coverage_by_slice(workspace, "tea", "")
    assert cells[cells["pairs"] > 0]["level"].tolist() == [1]


def test_unseen_pairs_by_split_and_slice(workspace: Workspace) -> None:
    tea(workspace, holdout=(2, 3))
    workspace.store.add_labels("tea", [label(PAIRS[0], "taste", UNRATEABLE)])  # somebody looked
    workspace.store.add_labels("tea", [label(PAIRS[2], "taste", 1, minute=0)])
    workspace.store.add_labels("tea", [label(PAIRS[2], "taste", NOT_GRADED, minute=1)])  # and took it back
    found = health.unseen(workspace, "tea", "city")
    assert found.pair_ids == (PAIRS[1].id, PAIRS[2].id, PAIRS[3].id)
    assert found.pairs == 4
    assert found.by_slice.values.tolist() == [
        ["dev", "Graz", 2, 1],
        ["holdout", "", 1, 1],
        ["holdout", "Linz", 1, 1],
    ]


def test_duplicates_are_found_once_for_the_pairs_there_are(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = [pair("light", "green tea"), pair("Light", "Green tea"), pair("dark", "black tea")]
    tea(workspace, same, holdout=(1,))
    assert health.kept_duplicates(workspace, "tea") is None
    found = health.duplicates(workspace, "tea")
    assert (found.pairs, len(found.groups), len(found.crossing)) == (3, 1, 1)
    assert found.crossing[0].pair_ids == (same[0].id, same[1].id)
    monkeypatch.setattr(health, "near_duplicates", None)  # would be called in vain
    assert health.duplicates(workspace, "tea") == found
    assert health.kept_duplicates(workspace, "tea") == found
    monkeypatch.undo()
    workspace.store.add_pairs("tea", [pair("dark", "Black tea")])
    assert health.kept_duplicates(workspace, "tea") is None
    assert len(health.duplicates(workspace, "tea").groups) == 2


def test_a_spoilt_file_of_duplicates_is_found_anew(workspace: Workspace) -> None:
    tea(workspace)
    health.duplicates(workspace, "tea")
    (path,) = (workspace.cache_folder / "duplicates").iterdir()
    path.write_text("{", encoding="utf-8")
    assert health.kept_duplicates(workspace, "tea") is None
    assert health.duplicates(workspace, "tea").groups == ()


# Power: 30 queries of one pair

MANY = [pair(f"wish {i}", f"tea {i}") for i in range(30)]
HUMAN = [i % 3 for i in range(30)]
FIRST = [g if i % 5 else (g + 1) % 3 for i, g in enumerate(HUMAN)]
SECOND = [g if i % 4 else (g + 1) % 3 for i, g in enumerate(HUMAN)]


def graded(grades: Sequence[int]) -> list[tuple[Pair, dict[str, int]]]:
    return [(some, {"taste": grade}) for some, grade in zip(MANY, grades, strict=True)]


def taste(found: health.PowerTable) -> health.PowerRow:
    return next(row for row in found.rows if row.dimension == "taste")


def test_power_needs_a_run(workspace: Workspace) -> None:
    golden_set(workspace, graded(HUMAN))
    found = health.power_table(workspace, "tea")
    assert found.rows == ()
    assert "No judge has finished a run" in found.reason


def test_power_from_two_runs(workspace: Workspace) -> None:
    golden_set(workspace, graded(HUMAN))
    recorded_run(workspace, "a", graded(FIRST), judge="first")
    recorded_run(workspace, "b", graded(SECOND), judge="second", minute=1)
    recorded_run(workspace, "c", graded(SECOND), judge="second", minute=2, params={"repeat": 1})
    found = health.power_table(workspace, "tea")
    row = taste(found)
    expected = power.delta_error(
        np.array(SECOND), np.array(FIRST), np.array(HUMAN), [p.query_id for p in MANY], range(3)
    )
    assert expected.se is not None
    assert (row.queries, row.pairs) == (30, 30)
    assert row.se == pytest.approx(expected.se)
    assert row.detectable == pytest.approx(2.801585 * expected.se, rel=1e-6)
    assert row.needed == {delta: power.needed(expected.se, 30, delta) for delta in (0.01, 0.02, 0.05)}
    assert row.pairs_needed(0.05) == row.needed[0.05]  # one pair a query
    assert "second" in found.basis
    assert "first" in found.basis  # a repeat of the second is no other judge
    strength = next(row for row in found.rows if row.dimension == "strength")
    assert strength.se is None
    assert "0 queries" in strength.reason


def test_power_uses_dev_only(workspace: Workspace) -> None:
    golden_set(workspace, graded(HUMAN), holdout=MANY[20:])
    recorded_run(workspace, "a", graded(FIRST), judge="first")
    recorded_run(workspace, "b", graded(SECOND), judge="second")
    assert taste(health.power_table(workspace, "tea")).queries == 20


def test_with_one_run_a_labeler_is_the_second_judge(workspace: Workspace) -> None:
    golden_set(workspace, graded(HUMAN))
    recorded_run(workspace, "a", graded(FIRST), judge="first")
    alone = health.power_table(workspace, "tea")
    assert alone.rows == ()
    assert "a second judge" in alone.reason
    workspace.store.add_labels(
        "tea",
        [label(some, "taste", grade, "bob") for some, grade in zip(MANY[:-1], SECOND[:-1], strict=True)],
    )
    found = health.power_table(workspace, "tea")
    assert "the labels of ann" in found.basis  # 30 labels; Bob has 29
    # Measured against the rest, which is Bob.
    expected = power.delta_error(
        np.array(FIRST[:-1]), np.array(HUMAN[:-1]), np.array(SECOND[:-1]), range(29), range(3)
    )
    assert taste(found).queries == 29
    assert taste(found).se == pytest.approx(expected.se or 0, rel=0.05)
