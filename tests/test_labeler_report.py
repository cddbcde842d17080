"""Labelers over time through the store: periods, second looks, and caches that notice new labels."""

from __future__ import annotations

from workspace_samples import NAME, label, pair

from workbench.golden import Label, Pair
from workbench.labeler_report import drift, rechecks
from workbench.workspace import Workspace

PAIRS = [pair(f"wish {i}", f"tea {i}") for i in range(40)]


def filled(workspace: Workspace) -> None:
    """Ann as Bob on the first twenty pairs, one more on the next twenty; one pair a query and a minute."""
    workspace.store.create_golden("tea", NAME)
    workspace.store.add_pairs(
        "tea", PAIRS, {p.id: "holdout" if i % 2 else "dev" for i, p in enumerate(PAIRS)}
    )
    labels: list[Label] = []
    for i, some in enumerate(PAIRS):
        labels.append(label(some, "taste", i % 2, "bob", minute=i))
        labels.append(label(some, "taste", i % 2 + (i >= 20), "ann", minute=i))
    workspace.store.add_labels("tea", labels)


def again(workspace: Workspace, some: Pair, grade: int, minute: int) -> None:
    workspace.store.add_labels("tea", [label(some, "taste", grade, "ann", minute=minute)], repeated=True)


def test_drift_is_by_dimension_and_labeler(workspace: Workspace) -> None:
    filled(workspace)
    ann, bob = drift(workspace, "tea", "taste")
    assert (ann.labeler, bob.labeler) == ("ann", "bob")
    assert [block.bias.value for block in ann.blocks] == [0, 1]
    assert [block.bias.value for block in bob.blocks] == [0, -1]
    assert (ann.distance.p_holm or 1) < 0.01
    assert drift(workspace, "tea", "strength") == ()
    assert drift(workspace, "tea", "overall") == ()


def test_drift_of_a_split_and_after_new_labels(workspace: Workspace) -> None:
    filled(workspace)
    assert [one.n for one in drift(workspace, "tea", "taste", split="dev")] == [20, 20]
    workspace.store.add_labels("tea", [label(some, "taste", 1, "cas", minute=100) for some in PAIRS])
    assert [one.labeler for one in drift(workspace, "tea", "taste")] == ["ann", "bob", "cas"]


def test_rechecks_count_second_looks(workspace: Workspace) -> None:
    filled(workspace)
    assert [one.n for one in rechecks(workspace, "tea")["taste"]] == [0, 0]
    again(workspace, PAIRS[0], 0, 600)  # as before
    again(workspace, PAIRS[1], 2, 600)  # 1 before
    again(workspace, PAIRS[2], 1, 5)  # three minutes later: a correction
    ann, bob = rechecks(workspace, "tea")["taste"]
    assert (ann.n, ann.exact.value, bob.n) == (2, 0.5, 0)
    assert rechecks(workspace, "tea", split="dev")["taste"][0].n == 1
