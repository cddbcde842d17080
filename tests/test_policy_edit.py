"""Edits of a body: each kind by hand, what is refused, and laws on random sequences of edits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import policy_samples
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_samples import bodies, words

from workbench import policy_edit
from workbench.errors import BadInput, Refused, WorkbenchError
from workbench.expression import Expression
from workbench.policy import Body
from workbench.policy_patch import apply, patch


@pytest.fixture
def body() -> Body:
    """The body of tea-match v1."""
    return policy_samples.body()


def gates_of(body: Body) -> list[dict[str, object]]:
    return [gate.model_dump() for gate in body.overall.gates]


def rule(body: Body, gates: list[dict[str, object]], **changes: object) -> Body:
    given: dict[str, object] = {
        "weights": {},
        "cut_points": body.overall.cut_points,
        "combine": "weighted_mean",
    }
    return policy_edit.set_overall(body, gates=gates, **(given | changes))  # type: ignore[arg-type]


def test_a_level_is_renamed_and_the_rest_stays(body: Body) -> None:
    new = policy_edit.set_level(body, "taste", 1, name="Fine", criteria="Nothing speaks against it at all.")
    assert [level.name for level in new.dimension("taste").levels] == ["Clash", "Fine", "Wanted"]
    assert new.dimension("taste").levels[1].criteria == "Nothing speaks against it at all."
    assert new.dimension("strength") == body.dimension("strength")
    assert new.dimension("taste").precedents == body.dimension("taste").precedents


def test_a_clause_is_reworded_under_its_id(body: Body) -> None:
    new = policy_edit.set_clause(body, "taste.2", "  A blend tastes of its main leaf.  ")
    assert [(c.id, c.text) for c in new.dimension("taste").clauses] == [
        ("taste.1", "Smoke counts as a taste."),
        ("taste.2", "A blend tastes of its main leaf."),
    ]
    assert policy_edit.set_clause(body, "general.1", "Grade the texts.").general[0].text == "Grade the texts."


def test_a_new_clause_gets_an_id_that_was_never_used(body: Body) -> None:
    # taste.1 and taste.2 are in use, taste.3 is retired.
    new = policy_edit.add_clause(body, "taste", "Sugar is no taste.")
    assert [c.id for c in new.dimension("taste").clauses] == ["taste.1", "taste.2", "taste.4"]
    assert [c.id for c in policy_edit.add_clause(body, "general", "Be brief.").general] == [
        "general.1",
        "general.2",
    ]


def test_a_split_stands_behind_its_origin_and_names_it(body: Body) -> None:
    new = policy_edit.add_clause(body, "taste", "Only smoke of the leaf counts.", split_from="taste.1")
    assert [(c.id, c.split_from) for c in new.dimension("taste").clauses] == [
        ("taste.1", None),
        ("taste.4", "taste.1"),
        ("taste.2", None),
    ]
    # Rewording keeps where it came from.
    again = policy_edit.set_clause(new, "taste.4", "Only leaf smoke counts.")
    assert again.dimension("taste").clauses[1].split_from == "taste.1"


def test_a_retired_clause_is_no_longer_cited_and_its_id_not_given_again(body: Body) -> None:
    assert body.dimension("taste").precedents[0].cites == ("taste.1",)
    new = policy_edit.retire_clause(body, "taste.1")
    assert [c.id for c in new.dimension("taste").clauses] == ["taste.2"]
    assert new.dimension("taste").precedents[0].cites == ()
    assert new.retired == ("taste.3", "taste.1")
    assert policy_edit.add_clause(new, "taste", "New.").dimension("taste").clauses[-1].id == "taste.4"
    assert policy_edit.retire_clause(body, "general.1").general == ()


def test_gates_are_kept_added_and_removed_and_ids_are_fresh(body: Body) -> None:
    strict = {"when": "strength == 0", "at_most": 1}
    new = rule(
        body, [*gates_of(body), strict], weights={"taste": 5.0}, combine="minimum", cut_points=[0.4, 1.2]
    )
    assert [(g.id, g.when, g.at_most) for g in new.overall.gates] == [
        ("gate.1", "taste == 0", 0),
        ("gate.2", "strength == 0", 1),
    ]
    assert (new.overall.combine, new.overall.cut_points) == ("minimum", (0.4, 1.2))
    assert [d.weight for d in new.dimensions] == [5.0, 1.0]
    # One gate removed while two are added: neither gets the number of the one that goes.
    swapped = rule(body, [strict, {"when": "taste == 2", "at_least": 2, "because": ""}])
    assert [g.id for g in swapped.overall.gates] == ["gate.2", "gate.3"]
    assert swapped.retired == ("taste.3", "gate.1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: policy_edit.set_level(b, "taste", 1, name=" ", criteria="x"), "Level 1 of taste at name"),
        (
            lambda b: policy_edit.set_level(b, "aroma", 1, name="x", criteria="x"),
            "No dimension is called 'aroma'",
        ),
        (lambda b: policy_edit.set_clause(b, "taste.1", "  "), "Clause taste.1 at text"),
        (lambda b: policy_edit.set_clause(b, "taste.9", "x"), "There is no clause taste.9 in this draft"),
        (lambda b: policy_edit.add_clause(b, "aroma", "x"), "No dimension is called 'aroma'"),
        (lambda b: policy_edit.add_clause(b, "taste", ""), "The new clause of taste at text"),
        (lambda b: policy_edit.retire_clause(b, "taste.3"), "There is no clause taste.3 in this draft"),
        (lambda b: rule(b, [{"when": "taste =="}]), "Gate 1 at when"),
        (lambda b: rule(b, [{"when": "aroma == 0", "at_most": 0}]), "gate.2 speaks of 'aroma'"),
        (lambda b: rule(b, [{"when": "taste == 0", "at_most": 0, "at_least": 0}]), "exactly one of at_most"),
        (
            lambda b: rule(b, [{"when": "taste == 0", "at_most": 3}]),
            "gate.2 bounds the grade by 3, outside 0–2",
        ),
        (lambda b: rule(b, [], cut_points=[1.5, 0.5]), "cut points must ascend"),
        (lambda b: rule(b, [], weights={"taste": -1.0}), "weight"),
        (lambda b: rule(b, [], weights={"taste": float("nan")}), "weight"),
        (lambda b: rule(b, [], weights={"aroma": 1.0}), "No dimension is called 'aroma'"),
        (lambda b: policy_edit.edit(b, title=""), "The draft at title"),
        (lambda b: policy_edit.split_clause(b, "taste.1", "x", " "), "The new clause of taste at text"),
        (lambda b: policy_edit.split_clause(b, "taste.1", "", "x"), "Clause taste.1 at text"),
        (lambda b: policy_edit.move_clause(b, "taste.9", position=0), "There is no clause taste.9"),
        (
            lambda b: policy_edit.move_clause(b, "taste.1", section="aroma", position=0),
            "No dimension is called 'aroma'",
        ),
        # general holds one clause: places 0 and 1. taste holds two, so a clause of it has two places.
        (
            lambda b: policy_edit.move_clause(b, "taste.1", section="general", position=2),
            "2 is no place for a clause of general: there are the places 0–1.",
        ),
        (
            lambda b: policy_edit.move_clause(b, "taste.1", position=2),
            "2 is no place for a clause of taste: there are the places 0–1.",
        ),
        (lambda b: policy_edit.move_clause(b, "taste.1", position=-1), "-1 is no place"),
        (lambda b: policy_edit.shift_clause(b, "taste.9", 1), "There is no clause taste.9"),
        (
            lambda b: policy_edit.add_dimension(b, "taste", "T", "Q?"),
            "There is a dimension 'taste' already.",
        ),
        (lambda b: policy_edit.add_dimension(b, "general", "T", "Q?"), "'general' is the name of another"),
        (lambda b: policy_edit.add_dimension(b, "overall", "T", "Q?"), "'overall' is the name of another"),
        (lambda b: policy_edit.add_dimension(b, "Aroma", "T", "Q?"), "The new dimension at key"),
        (lambda b: policy_edit.add_dimension(b, "aroma", "T", ""), "The new dimension at question"),
        (
            lambda b: policy_edit.remove_dimension(b, "taste"),
            "gate.1 ('taste == 0') speaks of taste.",
        ),
        (
            lambda b: policy_edit.remove_dimension(policy_edit.remove_dimension(b, "strength"), "strength"),
            "No dimension is called 'strength'",
        ),
        (lambda b: policy_edit.move_dimension(b, "taste", 2), "2 is no place for a dimension"),
        (lambda b: policy_edit.move_dimension(b, "aroma", 0), "No dimension is called 'aroma'"),
        (lambda b: policy_edit.set_level(b, "taste", 3, name="x", criteria="x"), "taste has no level 3."),
        (lambda b: policy_edit.add_level(b, "taste", name=""), "Level 3 of taste at name"),
        (lambda b: policy_edit.remove_level(b, "strength"), "strength has only two levels"),
        (lambda b: policy_edit.remove_level(b, "taste"), "taste.p1 is graded 2, the level to be removed."),
        (lambda b: policy_edit.set_precedent(b, "taste.p2", grade=1), "There is no precedent taste.p2"),
        (lambda b: policy_edit.set_precedent(b, "taste.p1", grade=3), "taste.p1 has grade 3, outside"),
        (lambda b: policy_edit.set_precedent(b, "taste.p1", grade=None), "taste does not allow N/A"),
        (lambda b: policy_edit.set_precedent(b, "taste.p1", cites=["taste.3"]), "cites taste.3"),
        (
            lambda b: policy_edit.add_precedent(b, "taste", pair={}, grade=1, because=""),
            "The new precedent of taste at because",
        ),
        (lambda b: policy_edit.remove_precedent(b, "taste.1"), "There is no precedent taste.1"),
        (lambda b: policy_edit.add_term(b, "green tea", "Other."), "term 'green tea' is used twice"),
        (lambda b: policy_edit.add_term(b, "black tea", ""), "The new term at meaning"),
        (lambda b: policy_edit.set_term(b, "tea", meaning="x"), "No term is called 'tea'"),
        (lambda b: policy_edit.remove_term(b, "black tea"), "No term is called 'black tea'"),
    ],
)
def test_a_wrong_edit_is_one_sentence(body: Body, change: Callable[[Body], Body], message: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        change(body)
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert body == policy_samples.body()


def test_a_refusal_names_the_remedy(body: Body) -> None:
    with pytest.raises(Refused, match="Change or remove that gate, then remove taste"):
        policy_edit.remove_dimension(body, "taste")
    alone = policy_edit.remove_dimension(rule(body, []), "strength")
    with pytest.raises(Refused, match=r"taste is the only dimension of this policy\. Add another one"):
        policy_edit.remove_dimension(alone, "taste")


# Clauses that move


def test_a_clause_is_made_two(body: Body) -> None:
    new = policy_edit.split_clause(body, "taste.1", "Smoke counts.", "Ash does not.")
    assert [(c.id, c.text, c.split_from) for c in new.dimension("taste").clauses] == [
        ("taste.1", "Smoke counts.", None),
        ("taste.4", "Ash does not.", "taste.1"),
        ("taste.2", "A blend has the taste of its main leaf.", None),
    ]


def test_a_clause_moves_within_and_between_sections_under_its_id(body: Body) -> None:
    three = policy_edit.add_clause(body, "taste", "Sugar is no taste.")

    def order(some: Body, section: str = "taste") -> list[str]:
        return [clause.id for at, clause in some.clauses() if at == section]

    assert order(policy_edit.move_clause(three, "taste.1", position=2)) == ["taste.2", "taste.4", "taste.1"]
    assert order(policy_edit.move_clause(three, "taste.4", position=0)) == ["taste.4", "taste.1", "taste.2"]
    # taste.p1 cites taste.1 and goes on doing so.
    away = policy_edit.move_clause(body, "taste.1", section="general", position=0)
    assert (order(away, "general"), order(away)) == (["taste.1", "general.1"], ["taste.2"])
    assert away.dimension("taste").precedents == body.dimension("taste").precedents
    assert policy_edit.move_clause(away, "taste.1", section="taste", position=0) == body
    # What is split there gets a number of the section where it stands.
    assert order(policy_edit.split_clause(away, "taste.1", "a", "b"), "general") == [
        "taste.1",
        "general.2",
        "general.1",
    ]
    # Retired from there, its number is still not given again.
    gone = policy_edit.retire_clause(away, "taste.1")
    assert (order(gone, "general"), gone.retired) == (["general.1"], ("taste.3", "taste.1"))
    assert gone.dimension("taste").precedents[0].cites == ()


def test_a_clause_is_shifted_up_to_the_end_of_its_section(body: Body) -> None:
    def order(some: Body) -> list[str]:
        return [clause.id for clause in some.dimension("taste").clauses]

    assert order(policy_edit.shift_clause(body, "taste.1", 1)) == ["taste.2", "taste.1"]
    assert order(policy_edit.shift_clause(body, "taste.2", -1)) == ["taste.2", "taste.1"]
    assert policy_edit.shift_clause(body, "taste.2", 1) == body
    assert policy_edit.shift_clause(body, "taste.1", -3) == body


# Dimensions, levels, precedents, terms


def test_a_new_dimension_has_the_scale_of_the_first_and_criteria_to_be_written(body: Body) -> None:
    new = policy_edit.add_dimension(body, "aroma", "Aroma", "Does it smell right?")
    assert new.keys == ("taste", "strength", "aroma")
    assert [(level.value, level.name, level.criteria) for level in new.dimension("aroma").levels] == [
        (0, "Clash", ""),
        (1, "Fits", ""),
        (2, "Wanted", ""),
    ]
    assert new.dimensions[:2] == body.dimensions


def test_a_removed_dimension_leaves_no_citation_and_no_free_id(body: Body) -> None:
    cited = policy_edit.set_precedent(body, "taste.p1", cites=["taste.1", "strength.1"])
    cited = policy_edit.add_precedent(cited, "strength", pair={}, grade=None, because="No wish.")
    new = policy_edit.remove_dimension(cited, "strength")
    assert new.keys == ("taste",)
    assert new.dimension("taste").precedents[0].cites == ("taste.1",)
    assert new.retired == ("taste.3", "strength.1", "strength.p1")
    again = policy_edit.add_dimension(new, "strength", "Strength", "Strong?")
    again = policy_edit.add_clause(again, "strength", "New.")
    assert [clause.id for clause in again.dimension("strength").clauses] == ["strength.2"]


def test_dimensions_are_reordered(body: Body) -> None:
    assert policy_edit.move_dimension(body, "taste", 1).keys == ("strength", "taste")
    assert policy_edit.move_dimension(body, "strength", 1) == body


def test_a_level_is_added_and_removed_at_the_top(body: Body) -> None:
    more = policy_edit.add_level(body, "taste", name="Craved", criteria="Asked for twice.")
    assert more.dimension("taste").scale == (0, 1, 2, 3)
    assert more.dimension("taste").levels[3].criteria == "Asked for twice."
    assert policy_edit.remove_level(more, "taste") == body
    two = policy_edit.set_precedent(more, "taste.p1", grade=3)
    two = policy_edit.add_precedent(two, "taste", pair={}, grade=3, because="Twice.")
    with pytest.raises(Refused, match=r"taste\.p1, taste\.p2 are graded 3.*Give another grade there"):
        policy_edit.remove_level(two, "taste")


def test_precedents_are_added_changed_and_removed(body: Body) -> None:
    pair = {"query": {"wishes": "smoke"}, "document": {"title": "Assam"}}
    new = policy_edit.add_precedent(
        body, "taste", pair=pair, grade=0, because="No smoke.", cites=("taste.1",)
    )
    added = new.dimension("taste").precedents[1]
    assert (added.id, added.grade, added.cites) == ("taste.p2", 0, ("taste.1",))
    assert added.pair.document == {"title": "Assam"}
    new = policy_edit.set_precedent(new, "taste.p2", grade=1, because="A little smoke.")
    changed = new.dimension("taste").precedents[1]
    assert (changed.grade, changed.because, changed.pair, changed.cites) == (
        1, "A little smoke.", added.pair, added.cites,
    )  # fmt: skip
    new = policy_edit.remove_precedent(new, "taste.p2")
    assert new == policy_edit.edit(body, retired=("taste.3", "taste.p2"))
    again = policy_edit.add_precedent(new, "taste", pair=pair, grade=0, because="No smoke.")
    assert again.dimension("taste").precedents[1].id == "taste.p3"


def test_terms_are_added_changed_and_removed(body: Body) -> None:
    new = policy_edit.add_term(body, "smoky", "Dried over fire.")
    new = policy_edit.set_term(new, "green tea", meaning="Not oxidised.")
    assert [(t.term, t.meaning) for t in new.terms] == [
        ("green tea", "Not oxidised."),
        ("smoky", "Dried over fire."),
    ]
    new = policy_edit.set_term(new, "smoky", meaning="Dried over fire.", rename="smoked")
    assert [t.term for t in policy_edit.remove_term(new, "green tea").terms] == ["smoked"]


# Laws


def used_ids(some: Body) -> set[str]:
    found = {clause.id for _, clause in some.clauses()} | {gate.id for gate in some.overall.gates}
    return found | {precedent.id for d in some.dimensions for precedent in d.precedents}


def texts(some: Body) -> dict[str, str]:
    return {clause.id: clause.text for _, clause in some.clauses()}


def random_edit(draw: Callable[[Any], Any], now: Body) -> tuple[Callable[[], Body], dict[str, str], int]:
    """A random edit of ``now``: what does it, the text by clause id to be had after it, and how many ids are new.

    The texts are those before it, changed as the edit's name says; a clause that the edit adds is under "".
    """
    expected = texts(now)
    text = words.map(str.strip)
    sections = {"general": now.general} | {d.key: d.clauses for d in now.dimensions}
    clause = draw(st.sampled_from(sorted(expected))) if expected else None
    section = draw(st.sampled_from(sorted(sections)))
    dimension = draw(st.sampled_from(now.dimensions))
    precedents = [p.id for d in now.dimensions for p in d.precedents]
    gated = {name for gate in now.overall.gates for name in Expression(gate.when).names}
    free = sorted(set(now.keys) - gated)
    new_key = draw(st.sampled_from(sorted(set("abcdef") - set(now.keys))))
    kinds = ["add", "new dimension", "new level", "new precedent", "swap", "gates"]
    kinds += ["set", "set", "split", "split", "retire", "move", "move", "shift"] if clause else []
    kinds += ["less dimension"] if free and len(now.keys) > 1 else []
    kinds += ["set precedent", "less precedent"] if precedents else []
    kind = draw(st.sampled_from(kinds))
    first, second = draw(text), draw(text)
    if kind == "add":
        return lambda: policy_edit.add_clause(now, section, first), expected | {"": first}, 1
    if kind == "new dimension":
        return lambda: policy_edit.add_dimension(now, new_key, first, second), expected, 0
    if kind == "new level":
        return lambda: policy_edit.add_level(now, dimension.key, name=first), expected, 0
    if kind == "new precedent":
        cites = [clause] if clause else []
        return (
            lambda: policy_edit.add_precedent(
                now, dimension.key, pair={}, grade=dimension.scale[0], because=first, cites=cites
            ),
            expected,
            1,
        )
    if kind == "swap":
        place = draw(st.integers(0, len(now.dimensions) - 1))
        return lambda: policy_edit.move_dimension(now, dimension.key, place), expected, 0
    if kind == "gates":
        kept: list[dict[str, Any]] = [gate.model_dump() for gate in now.overall.gates if draw(st.booleans())]
        kept.append({"when": f"{dimension.key} >= 0", "at_least": 0})
        return (
            lambda: rule(now, kept, combine=now.overall.combine),
            expected,
            1,
        )
    if kind == "less dimension":
        gone = draw(st.sampled_from(free))
        left = {id: text for id, text in expected.items() if id not in {c.id for c in sections[gone]}}
        return lambda: policy_edit.remove_dimension(now, gone), left, 0
    if kind in ("set precedent", "less precedent"):
        precedent = draw(st.sampled_from(precedents))
        if kind == "set precedent":
            return lambda: policy_edit.set_precedent(now, precedent, because=first), expected, 0
        return lambda: policy_edit.remove_precedent(now, precedent), expected, 0
    assert clause is not None
    if kind == "set":
        return lambda: policy_edit.set_clause(now, clause, first), expected | {clause: first}, 0
    if kind == "split":
        after = expected | {clause: first, "": second}
        return lambda: policy_edit.split_clause(now, clause, first, second), after, 1
    if kind == "retire":
        left = {id: text for id, text in expected.items() if id != clause}
        return lambda: policy_edit.retire_clause(now, clause), left, 0
    if kind == "shift":
        by = draw(st.integers(-3, 3))
        return lambda: policy_edit.shift_clause(now, clause, by), expected, 0
    position = draw(st.integers(0, len([c for c in sections[section] if c.id != clause])))
    return lambda: policy_edit.move_clause(now, clause, section=section, position=position), expected, 0


@given(start=bodies(), data=st.data())
def test_ids_survive_every_edit_and_patches_say_what_was_done(start: Body, data: st.DataObject) -> None:
    now, ever = start, used_ids(start) | set(start.retired)
    for _ in range(data.draw(st.integers(1, 8))):
        do, expected, fresh = random_edit(data.draw, now)
        after = do()
        # A new id is one that was never used, and there is one of it exactly where a part was added.
        new = used_ids(after) - used_ids(now)
        assert len(new) == fresh
        assert not new & ever
        ever |= new
        # An id goes on naming the same clause, with the text that the edit gave it.
        added = expected.pop("", None)
        if added is not None:
            expected[new.pop()] = added
        assert texts(after) == expected
        # An id that was ever used is in use or retired, never both; retired only grows.
        assert used_ids(after) | set(after.retired) == ever
        assert not used_ids(after) & set(after.retired)
        assert after.retired[: len(now.retired)] == now.retired
        # Nothing that came out unchecked: read back from plain data it is the same.
        assert Body.model_validate(after.model_dump(by_alias=True, mode="json")) == after
        assert apply(now, patch(now, after)) == after
        now = after
    assert apply(start, patch(start, now)) == now


# Text mode


def test_the_text_of_a_body_is_the_body(body: Body) -> None:
    assert policy_edit.body_from_text(policy_edit.body_text(body)) == body


def test_a_wrong_text_names_the_line(body: Body) -> None:
    lines = policy_edit.body_text(body).splitlines()
    at = next(i for i, line in enumerate(lines, 1) if "weight: 3" in line)
    with pytest.raises(BadInput, match=rf"The draft, line {at} at dimensions\[1\].weight"):
        policy_edit.body_from_text("\n".join(lines).replace("weight: 3.0", "weight: much"))
    with pytest.raises(BadInput, match="The draft is empty"):
        policy_edit.body_from_text("  \n")
    # The header is not part of a body: a whole published file pasted in is refused, not half used.
    with pytest.raises(BadInput, match="not known here"):
        policy_edit.body_from_text(policy_samples.TEXT)
