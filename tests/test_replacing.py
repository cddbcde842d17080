"""Verbs about standing in for labelers: what reaches the statistics, and what has a reason instead."""

from __future__ import annotations

import pytest
from workspace_samples import golden_set, label, pair, recorded_run, version

from workbench import evaluation, replacing
from workbench.errors import NotFound
from workbench.run import Run
from workbench.workspace import Workspace

PAIRS = [pair(f"wish {i}", f"tea {i}") for i in range(40)]
TASTE = [i % 3 for i in range(40)]


def said(grades: list[int]) -> list:
    return [(p, {"taste": t, "strength": 1}) for p, t in zip(PAIRS, grades, strict=True)]


@pytest.fixture
def run(workspace: Workspace) -> Run:
    """A judge that is right on every pair; ann and bo are too, cy is off on every second pair."""
    golden_set(workspace, said(TASTE))
    wrong = [(t + 1) % 3 if i % 2 else t for i, t in enumerate(TASTE)]
    for name, grades in (("bo", TASTE), ("cy", wrong)):
        workspace.store.add_labels(
            "tea", [label(p, "taste", t, name) for p, t in zip(PAIRS, grades, strict=True)]
        )
    return recorded_run(workspace, "a", said(TASTE))


def test_a_judge_against_each_labeler(workspace: Workspace, run: Run) -> None:
    found = replacing.alternative_tests(workspace, run, epsilon=0.1)
    taste = found["taste"]
    # cy is off on 20 of 40 pairs, where the judge is nearer to ann and bo; on the others all tie.
    assert [(c.labeler, c.pairs, c.judge_wins, c.labeler_wins) for c in taste.contests] == [
        ("ann", 40, 1.0, 1.0),
        ("bo", 40, 1.0, 1.0),
        ("cy", 40, 1.0, 0.5),
    ]
    assert taste.passes
    # Strength was labelled by ann alone.
    assert found["strength"].passes is None
    assert "the test needs 3" in found["strength"].reason


def test_adjudications_are_nobodys_labels(workspace: Workspace, run: Run) -> None:
    workspace.store.add_labels(
        "tea", [label(p, "taste", 0, "boss", minute=5, source="adjudicated") for p in PAIRS]
    )
    human = evaluation.truth(workspace, "tea")
    names, ratings = evaluation.labeler_ratings(workspace, human)["taste"]
    assert names == ["ann", "bo", "cy"]
    assert ratings[0].tolist() == TASTE


def test_rates_over_pairs_that_nobody_labelled(workspace: Workspace) -> None:
    # Twenty of forty pairs are labelled. The judge says 1 where people say 0: every grade one too high, at most 2.
    golden_set(
        workspace,
        [(p, {"taste": t} if i < 20 else {}) for i, (p, t) in enumerate(zip(PAIRS, TASTE, strict=True))],
    )
    run = recorded_run(workspace, "a", said([min(t + 1, 2) for t in TASTE]))
    found = replacing.level_rates(workspace, run, "taste")
    zero = found.shares[0]
    assert (zero.judge, zero.labelled, zero.unlabelled) == (0.0, 20, 20)
    # The judge never says 0, so it has no weight and the labels alone count: 7 of 20 (0, 3, 6, …, 18).
    assert (zero.weight, zero.corrected.value) == (0.0, pytest.approx(7 / 20))
    # The judge's mean is too high; the corrected one is nearer to the truth over all pairs, 39/40.
    mean = found.mean
    assert mean.judge == pytest.approx(sum(min(t + 1, 2) for t in TASTE) / 40)
    assert abs(mean.corrected.value - sum(TASTE) / 40) < abs(mean.judge - sum(TASTE) / 40)
    assert mean.corrected.low < sum(TASTE) / 40 < mean.corrected.high
    with pytest.raises((NotFound, KeyError)):
        replacing.level_rates(workspace, run, "colour")


def test_use_of_a_holdout(workspace: Workspace) -> None:
    golden_set(workspace, said(TASTE), holdout=PAIRS[10:])
    workspace.store.add_policy(version(2))
    off = [(t + (i % 5 == 0)) % 3 for i, t in enumerate(TASTE)]
    a = recorded_run(workspace, "a", said(off))
    assert replacing.holdout_use(workspace, "tea").looks.empty
    evaluation.record_look(workspace, [a], "Ida", "Compare")
    once = replacing.holdout_use(workspace, "tea")
    assert (once.runs, once.policies, once.luck) == (1, 1, None)
    assert "nothing was chosen" in once.reason
    other = [(t + (i % 4 == 0)) % 3 for i, t in enumerate(TASTE)]
    b = recorded_run(workspace, "b", said(other), policy_version=2, minute=1)
    evaluation.record_look(workspace, [a, b], "Bo", "Compare")
    twice = replacing.holdout_use(workspace, "tea")
    assert (len(twice.looks), twice.runs, twice.policies) == (3, 2, 2)
    assert twice.luck is not None
    assert twice.luck.looks == 2
    assert 0 < twice.luck.expected < twice.luck.at_most
