"""Lint: each finding fires on a document made for it, and none on the shipped policies."""

from __future__ import annotations

from typing import Any

import pytest
from policy_samples import body, plain, shipped

from workbench.policy import Body, Policy
from workbench.policy_lint import lint


def found(some: Body) -> list[tuple[str, str, str]]:
    return [(f.severity, f.place, f.message) for f in lint(some)]


def dimensions(edit: Any) -> Body:
    data = plain()["dimensions"]
    edit(data)
    return body(dimensions=data)


def gated(when: str) -> Body:
    gate = {"id": "gate.1", "when": when, "at_most": 1}
    return body(overall={"cut_points": [0.5, 1.5], "gates": [gate]})


@pytest.mark.parametrize("policy", shipped(), ids=lambda p: p.label)
def test_the_shipped_policies_are_clean(policy: Policy) -> None:
    assert found(policy) == []


def test_the_sample_is_clean() -> None:
    assert found(body()) == []


CASES: list[tuple[Body, tuple[str, str, str]]] = [
    (
        dimensions(lambda d: d[0]["levels"][1].update(criteria="")),
        ("error", "taste level 1", "has no criteria, so nobody can tell when to give it."),
    ),
    (
        dimensions(lambda d: d[0]["levels"][1].update(criteria="A Reasonable fit.")),
        ("warning", "taste level 1", "says 'reasonable', which two readers will read differently."),
    ),
    (
        # Ten words, nine of them equal: 2 * 9 / 20 = 0.9, at the bound.
        dimensions(
            lambda d: (
                d[0]["levels"][1].update(criteria="one two three four five six seven eight nine TEN."),
                d[0]["levels"][2].update(criteria="One two three four five six seven eight nine eleven"),
            )
        ),
        ("warning", "taste levels 1 and 2", "have nearly the same wording; say what tells them apart."),
    ),
    (
        dimensions(lambda d: d[1].update(clauses=[])),
        ("warning", "strength", "has levels but no clause; edge cases are open."),
    ),
    (
        dimensions(lambda d: d[1].update(considers=[])),
        ("warning", "strength", "does not say which fields it considers; judges see all."),
    ),
    (
        dimensions(lambda d: d[0]["precedents"][0].update(cites=[])),
        ("warning", "taste.p1", "cites no clause, so it cannot be checked."),
    ),
    (
        body(general=[{"id": "general.1", "text": "Words, dates, etc. count."}]),
        ("warning", "general.1", "says 'etc.', which two readers will read differently."),
    ),
    (
        dimensions(lambda d: [one.update(weight=0) for one in d]),
        ("error", "overall", "all weights are 0, so no pair has an overall grade."),
    ),
    (
        dimensions(lambda d: d[1].update(weight=0)),
        ("warning", "strength", "has weight 0 and does not move the overall grade."),
    ),
    (
        body(overall={"cut_points": [0.5, 2.5]}),
        ("error", "cut points", "2.5 lies above the highest level, 2."),
    ),
    (gated("taste > 2"), ("warning", "gate.1", "'taste > 2' can never be true.")),
    (gated("na(taste)"), ("warning", "gate.1", "'na(taste)' can never be true.")),  # taste allows no N/A
    (gated("taste >= 0"), ("warning", "gate.1", "'taste >= 0' is true of every pair.")),
]


@pytest.mark.parametrize(("some", "finding"), CASES, ids=[finding[2][:40] for _, finding in CASES])
def test_each_finding_fires_alone(some: Body, finding: tuple[str, str, str]) -> None:
    assert found(some) == [finding]


@pytest.mark.parametrize(
    "some",
    [
        body(general=[{"id": "general.1", "text": "An unreasonable, suitably somewhatish text, etcetera."}]),
        # Nine words, eight of them equal: 16 / 18 = 0.89, below the bound.
        dimensions(
            lambda d: (
                d[0]["levels"][1].update(criteria="one two three four five six seven eight nine"),
                d[0]["levels"][2].update(criteria="one two three four five six seven eight ten"),
            )
        ),
        gated("strength >= 0"),  # not true where strength is N/A
        gated("na(strength)"),
        gated("taste == 2"),
        body(overall={"cut_points": [0.5, 2]}),  # a cut point at the highest level can be reached
    ],
)
def test_what_only_looks_like_it_does_not_fire(some: Body) -> None:
    assert found(some) == []


def test_weights_do_not_matter_to_a_minimum() -> None:
    data = plain()["dimensions"]
    for one in data:
        one["weight"] = 0
    assert found(body(dimensions=data, overall={"combine": "minimum", "cut_points": [1, 2]})) == []


def test_errors_come_first() -> None:
    some = dimensions(
        lambda d: (d[0].update(clauses=[], precedents=[]), d[1]["levels"][1].update(criteria=""))
    )
    assert [severity for severity, _, _ in found(some)] == ["error", "warning"]


def test_a_gate_over_very_many_combinations_is_not_called_impossible() -> None:
    # Nine dimensions of four levels: 4**9 = 262,144 combinations; only the last of them fulfils the gate.
    keys = [f"d{i}" for i in range(9)]
    data = [
        {
            "key": key, "title": key, "question": key, "considers": ["tea.notes"],
            "levels": [{"value": v, "name": str(v), "criteria": "abcd"[v]} for v in range(4)],
            "clauses": [{"id": f"{key}.1", "text": "Rule."}],
        }
        for key in keys
    ]  # fmt: skip
    gate = {"id": "gate.1", "when": f"min({', '.join(keys)}) == 3", "at_least": 1}
    assert found(body(dimensions=data, retired=[], overall={"cut_points": [1, 2], "gates": [gate]})) == []
