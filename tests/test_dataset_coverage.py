"""Which pairs of a graded pool are kept so that every level of every dimension is seen."""

from __future__ import annotations

from collections import Counter

import numpy as np
from workspace_samples import version

from workbench.dataset_coverage import cover
from workbench.dataset_grades import Graded, gather
from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.run import Judgement, Verdict


def column(grades: list[int], levels: int = 3, key: str = "taste") -> Graded:
    n = len(grades)
    nothing = np.full((n, levels), np.nan)
    return Graded(key, tuple(range(levels)), np.array(grades), nothing, np.full(n, np.nan))


def ids(n: int) -> list[str]:
    return [f"pair-{i}" for i in range(n)]


def test_rare_levels_come_first() -> None:
    grades = [0] * 90 + [1] * 8 + [2] * 2
    chosen = cover({"taste": column(grades)}, ids(100), 12)
    # Worth of the next pair of a cell with n pairs is 1/(n+1): both of level 2, then 0 and 1 in turn.
    assert Counter(grades[i] for i in chosen) == {0: 5, 1: 5, 2: 2}
    assert chosen == sorted(set(chosen))


def test_dimensions_count_together() -> None:
    taste = column([0, 0, 0, 1])
    strength = column([0, 0, 1, 0], 2, "strength")
    # One of the first two (0, 0) is worth 1 + 1 as are (0, 1) and (1, 0); whichever is first, the two that bring a
    # new level each are worth more than a second (0, 0).
    chosen = cover({"taste": taste, "strength": strength}, ids(4), 2)
    grades = {(int(taste.grades[i]), int(strength.grades[i])) for i in chosen}
    assert len(grades) == 2
    assert {2, 3} <= set(cover({"taste": taste, "strength": strength}, ids(4), 3))


def test_not_applicable_is_covered_and_a_failure_adds_nothing() -> None:
    grades = [NOT_GRADED, 0, NOT_APPLICABLE, NOT_GRADED, 0]
    chosen = cover({"strength": column(grades, 2, "strength")}, ids(5), 3)
    assert Counter(grades[i] for i in chosen) == {0: 2, NOT_APPLICABLE: 1}
    assert cover({"taste": column([NOT_GRADED] * 3)}, ids(3), 2) != []


def test_all_where_there_are_no_more() -> None:
    assert cover({"taste": column([0, 1])}, ids(2), 2) == [0, 1]
    assert cover({"taste": column([0, 1])}, ids(2), 9) == [0, 1]


def test_order_of_the_pool_does_not_matter_and_the_seed_does() -> None:
    rng = np.random.default_rng(3)
    grades, names = rng.integers(0, 3, 60), np.array(ids(60))
    order = rng.permutation(60)

    def chosen(g: np.ndarray, n: np.ndarray, seed: int = 0) -> set[str]:
        return {str(n[i]) for i in cover({"taste": column(g.tolist())}, n.tolist(), 10, seed)}

    assert chosen(grades, names) == chosen(grades[order], names[order])
    assert chosen(grades, names) != chosen(grades, names, seed=1)


def test_gathering_takes_the_newest_answer_and_refuses_levels_that_are_not_there() -> None:
    def said(pair_id: str, grade: int, **more: object) -> Verdict:
        return Verdict(pair_id=pair_id, judgements=(Judgement(dimension="taste", grade=grade, **more),))  # type: ignore[arg-type]

    found = gather(
        version(1),
        ["a", "b", "c"],
        [
            said("a", NOT_GRADED, error="no"),
            said("b", 7),
            said("a", 2, probabilities=(0.0, 0.25, 0.75), expected=1.75),
            said("other", 1),
        ],
    )
    taste = found["taste"]
    assert taste.grades.tolist() == [2, NOT_GRADED, NOT_GRADED]
    assert taste.judgement(0).probabilities == (0.0, 0.25, 0.75)
    assert taste.judgement(0).expected == 1.75
    assert taste.judgement(2).probabilities is None
    assert found["strength"].grades.tolist() == [NOT_GRADED] * 3
