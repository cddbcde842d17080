"""Flips: what made them, clause by clause; figures worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from workspace_samples import dimensions, golden_set, pair, recorded_run, version

from workbench import comparing, flip_table
from workbench.flips import NOISE, FlipFilter, by_clause, causes, name_of, overall_causes
from workbench.policy_diff import Change, diff
from workbench.run import Judgement, Verdict
from workbench.workspace import Workspace


def change(section: str, id: str, **more: Any) -> Change:
    return Change(
        **({"kind": "reworded", "part": "clause", "before": "a", "after": "b"} | more), section=section, id=id
    )


TASTE_1, TASTE_2 = change("taste", "taste.1"), change("taste", "taste.2")
GENERAL_1 = change("general", "general.1")
STRENGTH_1 = change("strength", "strength.1")
GATE = change("overall", "gate.1", part="gate")
WEIGHT = change("taste", "weight", part="weight", kind="changed")


@pytest.mark.parametrize(
    ("changes", "cited", "expected"),
    [
        # Cited wins over what is merely possible.
        ((TASTE_1, TASTE_2), {"taste.2"}, [("taste.2", "cited")]),
        # Nothing cited: each change read in the dimension is possible, general rules among them.
        ((TASTE_1, GENERAL_1, STRENGTH_1), set(), [("taste.1", "possible"), ("general.1", "possible")]),
        ((TASTE_1, STRENGTH_1), {"taste.9"}, [("taste.1", "only change")]),
        # Weights, gates and other dimensions are not read when taste is graded: noise.
        ((STRENGTH_1, GATE, WEIGHT), {"strength.1"}, []),
        ((change("taste", "taste.1", kind="moved"),), {"taste.1"}, []),
    ],
)  # fmt: skip
def test_what_a_flip_in_taste_may_come_from(
    changes: tuple[Change, ...], cited: set[str], expected: list[tuple[str, str]]
) -> None:
    assert [(c.change.id, c.how) for c in causes(changes, "taste", cited)] == expected


def test_a_split_is_cited_by_the_clause_it_was_split_from() -> None:
    split = change("taste", "taste.3", kind="split", origin="taste.1", before="")
    assert [(c.change.id, c.how) for c in causes((split, TASTE_2), "taste", {"taste.1"})] == [
        ("taste.3", "cited")
    ]


def test_an_experiment_is_worth_more_than_a_citation() -> None:
    tried = {name_of(TASTE_1): True, name_of(TASTE_2): False}
    assert [(c.change.id, c.how) for c in causes((TASTE_1, TASTE_2), "taste", {"taste.2"}, tried)] == [
        ("taste.1", "ablation")
    ]
    # Tried alone without effect, each of them: it takes both, so both stay possible.
    neither = {name_of(TASTE_1): False, name_of(TASTE_2): False}
    assert [c.how for c in causes((TASTE_1, TASTE_2), "taste", set(), neither)] == ["possible", "possible"]
    # One was tried without effect: the other one is left.
    assert [(c.change.id, c.how) for c in causes((TASTE_1, TASTE_2), "taste", {"taste.1"}, {name_of(TASTE_1): False})] == [
        ("taste.2", "only change")
    ]  # fmt: skip


def test_an_overall_flip_comes_from_dimensions_or_from_the_rule() -> None:
    assert overall_causes((TASTE_1, GATE), ["taste"]) == ((), ("taste",))
    tied, by = overall_causes((TASTE_1, GATE, WEIGHT), [])
    assert ([c.change.id for c in tied], by) == (["gate.1", "weight"], ())
    assert overall_causes((TASTE_1,), []) == ((), ())


P = [pair(f"wish {i}", f"tea {i}") for i in range(4)]


@pytest.fixture
def found(workspace: Workspace) -> tuple[Workspace, comparing.RunComparison]:
    """Version 2 rewords both clauses of taste (or as many as the sample has); runs of both, with citations."""
    taste, strength = dimensions()
    taste["clauses"] = [{"id": "taste.1", "text": "Old one."}, {"id": "taste.2", "text": "Old two."}]
    workspace.store.add_policy(version(2, dimensions=[taste, strength]))
    reworded = [{"id": "taste.1", "text": "New one."}, {"id": "taste.2", "text": "New two."}]
    workspace.store.add_policy(version(3, dimensions=[taste | {"clauses": reworded}, strength]))
    golden_set(workspace, [(p, {"taste": t, "strength": 1}) for p, t in zip(P, (2, 2, 1, 0), strict=True)])

    def run(name: str, number: int, grades: tuple[int, ...], cites: dict[int, str]) -> Any:
        made = recorded_run(
            workspace, name, [(p, {"taste": t, "strength": 1}) for p, t in zip(P, grades, strict=True)],
            policy_version=number,
        )  # fmt: skip
        for i, clause in cites.items():
            judgements = (
                Judgement(dimension="taste", grade=grades[i], rationale=f"Rule {clause}", cites=(clause,)),
                Judgement(dimension="strength", grade=1),
            )
            workspace.store.add_verdicts(made.id, [Verdict(pair_id=P[i].id, judgements=judgements)])
        return made

    # Pair 0 is fixed (cites taste.1), 1 broken (cites taste.2), 2 fixed without a citation, 3 the same.
    a = run("a", 2, (1, 2, 0, 0), {0: "taste.1"})
    b = run("b", 3, (2, 0, 1, 0), {1: "taste.2"})
    return workspace, comparing.compare_runs(workspace, a, b)


def test_flips_of_two_runs_by_clause(found: tuple[Workspace, comparing.RunComparison]) -> None:
    space, compared = found
    assert [name_of(c) for c in diff(compared.policy_a, compared.policy_b)] == [
        "taste/clause/taste.1",
        "taste/clause/taste.2",
    ]
    flips = flip_table.all_flips(space, compared)
    taste = [f for f in flips if f.dimension == "taste"]
    assert [(f.pair_id, f.outcome, f.human, f.a, f.b) for f in taste] == [
        (P[1].id, "broken", 2, 2, 0),
        (P[0].id, "fixed", 2, 1, 2),
        (P[2].id, "fixed", 1, 0, 1),
    ]
    assert [[(c.change.id, c.how) for c in f.causes] for f in taste] == [
        [("taste.2", "cited")],
        [("taste.1", "cited")],
        [("taste.1", "possible"), ("taste.2", "possible")],
    ]
    # taste.1: pair 0 fixed by citation; taste.2: pair 1 broken by citation; pair 2 is possible for both.
    first, second = by_clause(taste, compared.changes)
    assert (first.change.id, first.fixed, first.broken, first.net, first.possible) == ("taste.1", 1, 0, 1, 1)
    assert (second.change.id, second.fixed, second.broken, second.net, second.possible) == (
        "taste.2",
        0,
        1,
        -1,
        1,
    )
    assert first.how == {"cited": 1, "possible": 1}
    assert second.examples[0] == (P[1].id, "taste")


def test_overall_flips_follow_from_taste(found: tuple[Workspace, comparing.RunComparison]) -> None:
    flips = flip_table.all_flips(*found)
    overall = [f for f in flips if f.dimension == "overall"]
    assert overall
    assert all(f.by_dimensions == ("taste",) and not f.noise for f in overall)


def test_the_same_policy_twice_is_noise(found: tuple[Workspace, comparing.RunComparison]) -> None:
    space, compared = found
    other = recorded_run(
        space,
        "c",
        [(p, {"taste": t, "strength": 1}) for p, t in zip(P, (2, 2, 0, 0), strict=True)],
        policy_version=2,
    )
    again = comparing.compare_runs(space, compared.a, other)
    flips = flip_table.all_flips(space, again)
    assert [(f.pair_id, f.noise) for f in flips if f.dimension == "taste"] == [(P[0].id, True)]
    assert [
        (row.key, row.fixed) for row in by_clause([f for f in flips if f.dimension == "taste"], again.changes)
    ] == [(NOISE, 1)]


def test_filters_and_search(found: tuple[Workspace, comparing.RunComparison]) -> None:
    space, compared = found
    flips = [f for f in flip_table.all_flips(space, compared) if f.dimension == "taste"]

    def kept(**given: Any) -> list[str]:
        return [f.pair_id for f in flips if FlipFilter(**given).keeps(f)]

    assert kept(direction="up") == [P[0].id, P[2].id]
    assert kept(direction="down", outcomes=frozenset({"broken"})) == [P[1].id]
    assert kept(levels=(0, 1)) == [P[2].id]
    assert kept(clause="taste/clause/taste.2") == [P[1].id, P[2].id]
    assert kept(clause=NOISE) == []
    assert kept(dimensions=frozenset({"strength"})) == []
    assert flip_table.matching(space, compared, flips, "RULE taste.2") == {P[1].id}  # in the rationale of B
    assert flip_table.matching(space, compared, flips, "TEA 0") == {P[0].id}
    assert flip_table.matching(space, compared, flips, "  ") == {P[0].id, P[1].id, P[2].id}
