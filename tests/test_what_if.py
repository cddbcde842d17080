"""What-if on grades that are there: values by hand, and a pair-by-pair implementation to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_samples import body
from sklearn.metrics import cohen_kappa_score

from workbench.agreement import compare
from workbench.expression import Expression
from workbench.golden import NOT_APPLICABLE as NA
from workbench.golden import NOT_GRADED, UNRATEABLE
from workbench.overall import overall_grades
from workbench.policy import Body
from workbench.what_if import GradeTable, agreement_change, what_if

CUTS = [0.5, 1.5]


def rule(
    weights: Mapping[str, float], gates: Any = (), cuts: Any = CUTS, combine: str = "weighted_mean"
) -> Body:
    """A body whose dimensions are graded 0 to 2, or N/A."""
    dimensions = [
        {
            "key": key, "title": key, "question": key, "weight": weight, "allow_na": True,
            "levels": [{"value": v, "name": str(v)} for v in range(3)],
        }
        for key, weight in weights.items()
    ]  # fmt: skip
    overall = {"combine": combine, "cut_points": cuts, "gates": list(gates)}
    return body(dimensions=dimensions, overall=overall, retired=[], general=[])


def gate(number: int, when: str, **bound: int) -> dict[str, Any]:
    return {"id": f"gate.{number}", "when": when, **bound}


def grades(**columns: list[int]) -> dict[str, np.ndarray]:
    return {key: np.array(column) for key, column in columns.items()}


#                       pair: 0  1  2  3   4  5
GRADES = grades(skills=[2, 2, 0, 1, NA, NOT_GRADED], wishes=[0, 2, 2, 1, 2, 2])
EQUAL = rule({"skills": 1, "wishes": 1})
# Means of both:               1  2  1  1   2  –     cut at 0.5 and 1.5: 1 2 1 1 2 –
HEAVY = rule({"skills": 3, "wishes": 1})
# (3·skills + wishes) / 4:   1.5  2  0.5 1   2  –    1.5 and 0.5 reach the upper level: 2 2 1 1 2 –


def test_overall_grades_and_changes_by_hand() -> None:
    found = what_if(EQUAL, HEAVY, GradeTable.of(GRADES))
    assert found.before.grades.tolist() == [1, 2, 1, 1, 2, NOT_GRADED]
    assert found.after.grades.tolist() == [2, 2, 1, 1, 2, NOT_GRADED]
    assert found.changed.tolist() == [0]
    assert found.n_graded == 5
    assert found.before.counts == {0: 0, 1: 3, 2: 2, NA: 0, NOT_GRADED: 1}
    assert found.after.counts == {0: 0, 1: 2, 2: 3, NA: 0, NOT_GRADED: 1}


def test_without_labels_there_is_no_agreement_but_a_reason() -> None:
    found = what_if(EQUAL, HEAVY, GradeTable.of(GRADES))
    assert (found.agreement, found.fixed, found.broken) == (None, None, None)
    assert found.no_agreement == "There are no overall labels."
    assert agreement_change(found, np.arange(6)) is None


def test_fixed_and_broken_against_fixed_labels() -> None:
    # Before 1 2 1 1 2 –, after 2 2 0 1 2 –: pair 0 comes to its label, pair 2 leaves it, pair 3 was never labelled.
    lower = rule({"skills": 3.5, "wishes": 1})  # pair 0: 7/4.5 = 1.56 -> 2; pair 2: 2/4.5 = 0.44 -> 0
    labels = np.array([2, 2, 1, NOT_GRADED, 0, 1])
    found = what_if(EQUAL, lower, GradeTable.of(GRADES), labels)
    assert found.after.grades.tolist() == [2, 2, 0, 1, 2, NOT_GRADED]
    assert found.changed.tolist() == [0, 2]
    assert found.fixed is not None
    assert found.broken is not None
    assert (found.fixed.tolist(), found.broken.tolist()) == ([0], [2])


def test_agreement_by_hand() -> None:
    # Labels 2 2 1 1 on the first four pairs. Before 1 2 1 1: three of four are exact. After 2 2 1 1: all are.
    # Quadratic kappa before: the squared distances sum to 1; by chance, labels (0, 2, 2) and grades (0, 3, 1) of four
    # meet at a distance in 2·1/4 + 2·3/4 = 2 of four pairs, so 1 - 1/2 = 0.5. Linear is the same: no distance is 2.
    labels = np.array([2, 2, 1, 1, NOT_GRADED, NOT_GRADED])
    found = what_if(EQUAL, HEAVY, GradeTable.of(GRADES), labels)
    change = found.agreement
    assert change is not None
    assert change.n == 4
    values = [
        (side.kappa_quadratic.value, side.kappa_linear.value, side.exact.value)
        for side in (change.before, change.after, change.delta)
    ]
    assert values == [
        (pytest.approx(0.5), pytest.approx(0.5), 0.75),
        (1, 1, 1),
        (pytest.approx(0.5), pytest.approx(0.5), 0.25),
    ]
    assert change.delta.kappa_quadratic.low is None, "intervals come from agreement_change"


def test_labels_of_one_level_have_no_kappa() -> None:
    found = what_if(EQUAL, HEAVY, GradeTable.of(GRADES), np.full(6, 1))
    assert found.agreement is not None
    assert found.agreement.delta.kappa_quadratic.value is None
    assert (
        found.agreement.delta.kappa_quadratic.reason == "All labels are one level; kappa needs at least two."
    )
    assert found.agreement.before.exact.value == pytest.approx(3 / 5)


def test_labels_of_people_move_with_the_rule() -> None:
    # People's grades make 2 1 under equal weights: (2+1)/2 = 1.5, (0+2)/2 = 1; and 2 0 with skills at 4:
    # (8+1)/5 = 1.8, (0+2)/5 = 0.4. The judge's make 1 1: (1+1)/2 = 1, (0+2)/2 = 1; and 1 0: (4+1)/5 = 1, 0.4.
    people = GradeTable.of(grades(skills=[2, 0], wishes=[1, 2]))
    judge = GradeTable.of(grades(skills=[1, 0], wishes=[1, 2]))
    found = what_if(EQUAL, rule({"skills": 4, "wishes": 1}), judge, people)
    assert found.before.labels is not None
    assert found.after.labels is not None
    assert found.before.labels.tolist() == [2, 1]
    assert found.after.labels.tolist() == [2, 0]
    assert found.after.grades.tolist() == [1, 0]
    assert found.changed.tolist() == [1]
    assert found.fixed is not None
    assert found.broken is not None
    assert (found.fixed.size, found.broken.size) == (0, 0), "pair 1 stays right, pair 0 stays wrong"


def test_the_same_people_always_agree_with_themselves() -> None:
    people = GradeTable.of(GRADES)
    change = what_if(EQUAL, HEAVY, people, people).agreement
    assert change is not None
    assert (change.n, change.before.exact.value, change.after.kappa_quadratic.value) == (5, 1, 1)


def test_gates_count_what_they_move_at_their_turn() -> None:
    gates = [
        gate(1, "skills == 0", at_most=0),  # pair 2: 1 -> 0
        gate(
            2, "wishes == 2", at_most=1
        ),  # pairs 1 and 4: 2 -> 1; pair 2 is at 0 already; pair 5 has no grade
        gate(
            3, "na(skills)", at_least=2
        ),  # pair 4: 1 -> 2; pair 5 was not graded, which is no N/A to this gate
        gate(4, "wishes == 5", at_most=0),
    ]
    found = what_if(EQUAL, rule({"skills": 1, "wishes": 1}, gates), GradeTable.of(GRADES))
    assert found.after.gates == {"gate.1": 1, "gate.2": 2, "gate.3": 1, "gate.4": 0}
    assert found.before.gates == {}
    assert found.after.grades.tolist() == [1, 1, 0, 1, 2, NOT_GRADED]
    assert found.changed.tolist() == [1, 2], "pair 4 went down and up again"


def test_contributions_are_the_pairs_that_change_without_the_weight() -> None:
    # After: 2 2 1 1 2 –. Without skills only wishes count: 0 2 2 1 2 –, pairs 0 and 2 change. Without wishes only
    # skills count: 2 2 0 1 N/A –, pairs 2 and 4 change.
    assert what_if(EQUAL, HEAVY, GradeTable.of(GRADES)).contributions == {"skills": 2, "wishes": 2}
    # A weight that is 0 already decides nothing; the only weight there is decides every graded pair: all become N/A,
    # but for pair 4, which is N/A already.
    only = rule({"skills": 1, "wishes": 0})
    assert what_if(EQUAL, only, GradeTable.of(GRADES)).contributions == {"skills": 4, "wishes": 0}
    lowest = rule({"skills": 1, "wishes": 1}, combine="minimum")
    assert what_if(EQUAL, lowest, GradeTable.of(GRADES)).contributions == {"skills": 0, "wishes": 0}


def test_another_number_of_cut_points_is_another_scale() -> None:
    finer = rule({"skills": 1, "wishes": 1}, cuts=[0.5, 1.0, 1.5])  # means 1 2 1 1 2 reach 2 3 2 2 3
    labels = np.array([1, 2, 1, 1, 2, 1])
    found = what_if(EQUAL, finer, GradeTable.of(GRADES), labels)
    assert (found.before.scale, found.after.scale) == ((0, 1, 2), (0, 1, 2, 3))
    assert found.changed.tolist() == [0, 1, 2, 3, 4]
    assert (found.agreement, found.fixed) == (None, None)
    assert found.no_agreement == "People labelled on 0–2, and the rule grades on 0–3."
    assert what_if(finer, finer, GradeTable.of(GRADES), labels, label_scale=range(3)).agreement is None
    # Labels that each rule makes itself are always on its own scale.
    people = GradeTable.of(GRADES)
    change = what_if(EQUAL, finer, people, people).agreement
    assert change is not None
    assert change.after.kappa_quadratic.value == 1


def test_what_does_not_fit_is_refused() -> None:
    table = GradeTable.of(GRADES)
    with pytest.raises(ValueError, match="different dimensions"):
        what_if(EQUAL, rule({"skills": 1}), table)
    with pytest.raises(ValueError, match="one entry a pair"):
        what_if(EQUAL, HEAVY, table, np.array([1, 2]))
    with pytest.raises(ValueError, match="outside the declared levels"):
        what_if(EQUAL, HEAVY, table, np.full(6, 3))
    with pytest.raises(ValueError, match="one entry a pair"):
        GradeTable.of(grades(skills=[1, 2], wishes=[1]))
    with pytest.raises(ValueError, match="must be integers"):
        GradeTable.of({"skills": np.array([1.5])})


def test_no_pairs_at_all() -> None:
    empty = {key: np.array([], dtype=int) for key in GRADES}
    found = what_if(EQUAL, HEAVY, GradeTable.of(empty), np.array([], dtype=int))
    assert (found.changed.size, found.n_graded, found.contributions) == (0, 0, {"skills": 0, "wishes": 0})
    assert found.agreement is not None
    assert found.agreement.delta.exact.reason == "No pair has both an overall grade and a label."
    change = agreement_change(found, [])
    assert change is not None
    assert change.n == 0


def test_the_table_keeps_distinct_combinations_of_many_dimensions() -> None:
    # 40 dimensions of 16 values have 2^160 combinations, and one number of 64 bits would forget the first dimensions:
    # 16 rows that differ in the first dimension only, and 16 more that differ in all.
    rng = np.random.default_rng(1)
    base = rng.integers(0, 16, (32, 40))
    base[:16] = base[0]
    base[:16, 0] = np.arange(16)
    drawn = np.r_[np.arange(32), rng.integers(0, 32, 400)]
    table = GradeTable.of({f"d{i}": base[drawn, i] for i in range(40)})
    assert len(table.sizes) == 32
    assert table.sizes.sum() == 432
    for i in range(40):
        assert (table.rows[f"d{i}"][table.which] == base[drawn, i]).all()


def test_unrateable_is_not_graded() -> None:
    table = GradeTable.of(grades(skills=[UNRATEABLE, NOT_GRADED], wishes=[1, 1]))
    assert table.rows["skills"].tolist() == [NOT_GRADED]
    assert table.sizes.tolist() == [2]


@st.composite
def cases(draw: Any) -> tuple[Body, Body, dict[str, np.ndarray], np.ndarray]:
    """Two rules over the same dimensions and scale, grades with all codes, labels."""
    keys = "abc"[: draw(st.integers(1, 3))]
    cuts = st.lists(st.sampled_from([-0.5, 0.25, 0.5, 1, 4 / 3, 1.5, 2]), min_size=2, max_size=2, unique=True)
    whens = [
        f"{keys[0]} == 0",
        f"{keys[-1]} >= 1 and not na({keys[0]})",
        f"{keys[0]} + {keys[-1]} > 2",
        "1 == 1",
    ]

    def rule_of() -> Body:
        gates = [
            gate(i, draw(st.sampled_from(whens)), **{draw(st.sampled_from(["at_most", "at_least"])): draw(st.integers(0, 2))})
            for i in range(1, draw(st.integers(0, 3)) + 1)
        ]  # fmt: skip
        return rule(
            {key: draw(st.sampled_from([0, 0.1, 0.5, 1, 3])) for key in keys},
            gates,
            sorted(draw(cuts)),
            draw(st.sampled_from(["weighted_mean", "minimum"])),
        )

    n = draw(st.integers(1, 12))
    codes = st.lists(st.integers(UNRATEABLE, 2), min_size=n, max_size=n)
    return rule_of(), rule_of(), {key: np.array(draw(codes)) for key in keys}, np.array(draw(codes))


def naive(policy: Body, row: dict[str, int]) -> tuple[int, set[str]]:
    """One pair's overall grade as the policy's prose has it, and the gates that moved it."""
    if any(grade in (NOT_GRADED, UNRATEABLE) for grade in row.values()):
        return NOT_GRADED, set()
    known = {key: grade for key, grade in row.items() if grade >= 0}
    if policy.overall.combine == "minimum":
        if not known:
            return NA, set()
        score = float(min(known.values()))
    else:
        total = sum(policy.dimension(key).weight for key in known)
        if total == 0:
            return NA, set()
        score = sum(policy.dimension(key).weight * grade for key, grade in known.items()) / total
    grade = sum(score >= cut - 1e-9 for cut in policy.overall.cut_points)
    moved = set()
    for bound in policy.overall.gates:
        if Expression(bound.when).holds({key: known.get(key) for key in row}):
            new = max(grade, bound.at_least) if bound.at_most is None else min(grade, bound.at_most)
            if new != grade:
                moved.add(bound.id)
            grade = new
    return grade, moved


@given(cases())
def test_as_pair_by_pair(case: tuple[Body, Body, dict[str, np.ndarray], np.ndarray]) -> None:
    before, after, columns, labels = case
    rows = [
        {key: int(grade) for key, grade in zip(columns, row, strict=True)}
        for row in zip(*columns.values(), strict=True)
    ]
    found = what_if(before, after, GradeTable.of(columns), labels)
    old, new = ([naive(policy, row) for row in rows] for policy in (before, after))
    assert found.before.grades.tolist() == [grade for grade, _ in old]
    assert found.after.grades.tolist() == [grade for grade, _ in new]
    said = [NOT_GRADED if label == UNRATEABLE else label for label in labels.tolist()]
    together = [(i, a, b, h) for i, ((a, _), (b, _), h) in enumerate(zip(old, new, said, strict=True))]
    answered = [x for x in together if NOT_GRADED not in x[1:]]
    assert found.changed.tolist() == [i for i, a, b, _ in together if a != b]
    assert found.fixed is not None
    assert found.broken is not None
    assert found.fixed.tolist() == [i for i, a, b, h in answered if a != h == b]
    assert found.broken.tolist() == [i for i, a, b, h in answered if a == h != b]
    for g in after.overall.gates:
        assert found.after.gates[g.id] == sum(g.id in moved for _, moved in new)
    for level, count in found.after.counts.items():
        assert count == sum(grade == level for grade, _ in new)
    for dimension in after.dimensions:
        lighter = [
            d.model_copy(update={"weight": 0.0}) if d.key == dimension.key else d for d in after.dimensions
        ]
        without = after.model_copy(update={"dimensions": tuple(lighter)})
        different = sum(naive(without, row)[0] != grade for row, (grade, _) in zip(rows, new, strict=True))
        assert found.contributions[dimension.key] == different
    kept = [(a, b, h) for _, a, b, h in together if min(a, b, h) >= 0]
    assert found.agreement is not None
    assert found.agreement.n == len(kept)
    human = [h for *_, h in kept]
    value = found.agreement.after.kappa_quadratic.value
    if len(set(human)) > 1:
        expected = cohen_kappa_score(human, [b for _, b, _ in kept], labels=[0, 1, 2], weights="quadratic")
        assert value == pytest.approx(expected)
    else:
        assert value is None


@given(cases())
def test_as_the_overall_rule_of_the_policy(
    case: tuple[Body, Body, dict[str, np.ndarray], np.ndarray],
) -> None:
    before, after, columns, _ = case
    columns = {key: np.where(column == UNRATEABLE, NOT_GRADED, column) for key, column in columns.items()}
    found = what_if(before, after, GradeTable.of(columns))
    assert (found.before.grades == overall_grades(before, columns)).all()
    assert (found.after.grades == overall_grades(after, columns)).all()


def test_intervals_are_those_of_compare() -> None:
    rng = np.random.default_rng(3)
    columns = {key: rng.integers(-2, 3, 300) for key in ("skills", "wishes")}
    labels = np.clip(columns["skills"] + rng.integers(-1, 2, 300), -1, 2)
    queries = [f"query {i}" for i in rng.integers(0, 40, 300)]
    found = what_if(EQUAL, HEAVY, GradeTable.of(columns), labels)
    change = agreement_change(found, queries, resamples=200, seed=7)
    other = compare(
        found.before.grades, found.after.grades, labels, queries, [0, 1, 2], resamples=200, seed=7
    )
    assert change is not None
    assert (change.before, change.after, change.delta) == (other.a, other.b, other.delta)
    assert change.n == other.n
    assert found.fixed is not None
    assert found.broken is not None
    assert found.fixed.tolist() == other.flips("fixed").tolist()
    assert found.broken.tolist() == other.flips("broken").tolist()
    low, high = change.delta.kappa_quadratic.low, change.delta.kappa_quadratic.high
    assert low is not None
    assert high is not None
    assert low < high
