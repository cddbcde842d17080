"""Patch and three-way merge: laws on random bodies and edits, and each kind of conflict by hand."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_samples import bodies, body, shipped, words

from workbench.errors import BadInput, NotFound
from workbench.policy import Body
from workbench.policy_diff import diff
from workbench.policy_merge import Merged, merge, resolve
from workbench.policy_patch import apply, patch

BASE = body()
Data = dict[str, Any]


def edited(start: Body, *edits: Callable[[Data], Any]) -> Body:
    """``start`` after ``edits`` changed its plain data."""
    data = start.model_dump(by_alias=True, mode="json")
    for edit in edits:
        edit(data)
    return Body.model_validate(data)


def ids(some: Body) -> set[str]:
    found = {clause.id for _, clause in some.clauses()} | {gate.id for gate in some.overall.gates}
    return found | {precedent.id for d in some.dimensions for precedent in d.precedents}


# Random edits: each names the part it touches, so that a test can tell which sides touched the same part.
# What an edit does is drawn here, and done to whatever body a side has then.


def put(*way: Any) -> Callable[[Any], Callable[[Data], None]]:
    def to(value: Any) -> Callable[[Data], None]:
        def do(data: Data) -> None:
            target: Any = data
            for part in way[:-1]:
                target = next(x for x in target if part(x)) if callable(part) else target[part]
            target[way[-1]] = value

        return do

    return to


def called(name: str, value: Any) -> Callable[[Data], bool]:
    return lambda item: bool(item[name] == value)


def editable(some: Body) -> dict[str, tuple[Callable[[Any], Callable[[Data], None]], st.SearchStrategy[Any]]]:
    """Every part of a body that can be replaced on its own without breaking a rule: name -> (setter, values)."""
    text = words.map(str.strip)
    parts: dict[str, Any] = {
        "title": (put("title"), text),
        "purpose": (put("purpose"), text),
        "combine": (put("overall", "combine"), st.sampled_from(["minimum", "weighted_mean"])),
        "cut points": (
            put("overall", "cut_points"),
            st.integers(1, 999).map(lambda n: [n + i for i in range(len(some.overall.cut_points))]),
        ),
    }
    for term in some.terms:
        parts[f"term {term.term}"] = put("terms", called("term", term.term), "meaning"), text
    for clause in some.general:
        parts[clause.id] = put("general", called("id", clause.id), "text"), text
    for gate in some.overall.gates:
        parts[gate.id] = put("overall", "gates", called("id", gate.id), "because"), text
    for dimension in some.dimensions:
        at = "dimensions", called("key", dimension.key)
        for name in ("title", "question"):
            parts[f"{dimension.key} {name}"] = put(*at, name), text
        parts[f"{dimension.key} weight"] = put(*at, "weight"), st.floats(0, 1000)
        parts[f"{dimension.key} allow_na"] = put(*at, "allow_na"), st.booleans()
        parts[f"{dimension.key} considers"] = (
            put(*at, "considers"),
            st.lists(st.sampled_from(["q.x", "q.y", "d.x"]), unique=True),
        )
        for level in dimension.levels:
            parts[f"{dimension.key} {level.value}"] = (
                put(*at, "levels", called("value", level.value), "criteria"),
                text,
            )
        for item in dimension.clauses:
            parts[item.id] = put(*at, "clauses", called("id", item.id), "text"), text
        for settled in dimension.precedents:
            parts[settled.id] = put(*at, "precedents", called("id", settled.id), "because"), text
    return parts


def value_of(some: Body, name: str) -> Any:
    """What a body says at a part that :func:`editable` names, read without the code under test."""
    dimensions = {d.key: d for d in some.dimensions}
    if name in ("title", "purpose"):
        return getattr(some, name)
    if name == "combine":
        return some.overall.combine
    if name == "cut points":
        return some.overall.cut_points
    if name.startswith("term "):
        return {term.term: term.meaning for term in some.terms}[name.removeprefix("term ")]
    if " " in name:
        key, field = name.split(" ", 1)
        if field.isdigit():
            return dimensions[key].levels[int(field)].criteria
        return getattr(dimensions[key], field)
    texts = {clause.id: clause.text for _, clause in some.clauses()}
    texts |= {gate.id: gate.because for gate in some.overall.gates}
    texts |= {p.id: p.because for d in some.dimensions for p in d.precedents}
    return texts[name]


def retire(data: Data, id: str) -> None:
    """Take a clause, precedent or gate out, with all that cites it, and retire its id."""
    for items in (data["general"], data["overall"]["gates"], *(d["clauses"] for d in data["dimensions"])):
        items[:] = [item for item in items if item["id"] != id]
    for dimension in data["dimensions"]:
        dimension["precedents"] = [p for p in dimension["precedents"] if p["id"] != id]
        for precedent in dimension["precedents"]:
            precedent["cites"] = [cited for cited in precedent["cites"] if cited != id]
    data["retired"].append(id)


@st.composite
def histories(draw: st.DrawFn, start: Body, most: int = 6) -> Body:
    """A body some edits later: rewordings, additions, retirements, moves, dimensions in and out."""
    now = start
    for _ in range(draw(st.integers(0, most))):
        data = now.model_dump(by_alias=True, mode="json")
        sections = {"general": data["general"]} | {d["key"]: d["clauses"] for d in data["dimensions"]}
        kind = draw(
            st.sampled_from(["set", "set", "set", "add", "retire", "move", "gate", "precedent", "in", "out"])
        )
        if kind == "set":
            parts = editable(now)
            setter, values = parts[draw(st.sampled_from(sorted(parts)))]
            setter(draw(values))(data)
        elif kind == "add":
            section = draw(st.sampled_from(sorted(sections)))
            clauses = sections[section]
            new = {"id": now.fresh_id(section), "text": draw(words)}
            if clauses and draw(st.booleans()):
                new["from"] = clauses[0]["id"]
            clauses.insert(draw(st.integers(0, len(clauses))), new)
        elif kind == "retire" and ids(now):
            retire(data, draw(st.sampled_from(sorted(ids(now)))))
        elif kind == "move":
            items = draw(st.sampled_from([*sections.values(), data["dimensions"], data["terms"]]))
            items[:] = draw(st.permutations(items))
        elif kind == "gate":
            key = draw(st.sampled_from(sorted(now.keys)))
            data["overall"]["gates"].append(
                {"id": now.fresh_id("gate"), "when": f"{key} > 0", "at_least": 1, "because": draw(words)}
            )
        elif kind == "precedent":
            dimension = draw(st.sampled_from(data["dimensions"]))
            cited = draw(st.sampled_from([None, *(clause.id for _, clause in now.clauses())]))
            dimension["precedents"].append(
                {"id": now.fresh_id(dimension["key"], prefix="p"), "pair": {}, "grade": 1,
                 "because": draw(words), "cites": [cited] if cited else []}
            )  # fmt: skip
        elif kind == "in" and (free := sorted(set("abcdef") - set(now.keys))):
            # Ids of a dimension that was there once are retired, so this is a new one in every respect.
            key = draw(st.sampled_from(free))
            levels = [{"value": v, "name": draw(words)} for v in (0, 1)]
            clause = {"id": now.fresh_id(key), "text": draw(words)}
            data["dimensions"].insert(
                draw(st.integers(0, len(data["dimensions"]))),
                {"key": key, "title": key, "question": draw(words), "levels": levels, "clauses": [clause],
                 "precedents": []},
            )  # fmt: skip
        elif kind == "out" and len(now.dimensions) > 1:
            gone = draw(st.sampled_from(data["dimensions"]))
            for item in [*gone["clauses"], *gone["precedents"]]:
                retire(data, item["id"])
            for gate in now.overall.gates:
                if gate.when.startswith(gone["key"]):
                    retire(data, gate.id)
            data["dimensions"].remove(gone)
        try:
            now = Body.model_validate(data)
        except ValueError:  # such as N/A switched off under a precedent that is N/A: not an edit
            continue
    return now


@st.composite
def forks(draw: st.DrawFn) -> tuple[Body, Body, Body]:
    """(base, theirs, mine): both sides edited the same body."""
    base = draw(bodies())
    return base, draw(histories(base)), draw(histories(base))


# Laws


@given(bodies(), bodies())
def test_a_patch_applied_to_a_gives_b(a: Body, b: Body) -> None:
    assert apply(a, patch(a, b)) == b
    assert apply(b, patch(b, a)) == a
    assert (not patch(a, b).changes) == (a == b)


@given(forks())
def test_a_patch_of_edits_applies(fork: tuple[Body, Body, Body]) -> None:
    base, theirs, mine = fork
    assert apply(base, patch(base, theirs)) == theirs
    assert apply(theirs, patch(theirs, mine)) == mine


@given(forks())
def test_where_one_side_did_nothing_the_other_is_taken(fork: tuple[Body, Body, Body]) -> None:
    base, theirs, mine = fork
    for outcome, expected in [
        (merge(base, base, mine), mine),
        (merge(base, theirs, base), theirs),
        (merge(base, theirs, theirs), theirs),
    ]:
        assert outcome.body == expected
        assert outcome.conflicts == ()
        assert outcome.renamed == {}


@given(forks())
def test_a_merge_is_valid_and_no_id_is_lost(fork: tuple[Body, Body, Body]) -> None:
    base, theirs, mine = fork
    merged = merge(base, theirs, mine)
    assert Body.model_validate(merged.body.model_dump(by_alias=True)) == merged.body
    assert set(merged.renamed).isdisjoint(ids(base))
    mine_now = {merged.renamed.get(id, id) for id in ids(mine)}
    assert ids(merged.mine) == mine_now
    held, open_at = ids(merged.body), {conflict.place for conflict in merged.conflicts}
    # What a side has is in the merge, unless the other side took it out of base, or it is mine and in a conflict.
    assert ids(theirs) - (ids(base) - mine_now) <= held
    for id in mine_now - held - (ids(base) - ids(theirs)):
        homes = {d.key for d in merged.mine.dimensions if id in str(d)}
        places = {f"{part}/{id}" for part in ("clause", "precedent", "gate/overall")}
        assert open_at & ({f"dimension/{key}/{key}" for key in homes} | places), id
    # Retired ids only grow: each is still retired, or in use by the side that never retired it.
    retired = {*base.retired, *theirs.retired} | {id for id in mine.retired if id not in ids(theirs)}
    assert retired <= {*merged.body.retired} | held
    assert held.isdisjoint(merged.body.retired)


@given(forks())
def test_every_conflict_can_be_left_to_theirs(fork: tuple[Body, Body, Body]) -> None:
    merged = merge(*fork)
    settled = resolve(merged, {conflict.place: "theirs" for conflict in merged.conflicts})
    assert settled.conflicts == ()
    assert settled.body == merged.body


@given(bodies(), st.data())
def test_conflicts_are_where_both_touched_the_same_part_differently(base: Body, data: st.DataObject) -> None:
    parts = editable(base)
    sides = []
    for _ in range(2):
        touched = data.draw(st.lists(st.sampled_from(sorted(parts)), max_size=5, unique=True))
        sides.append(edited(base, *(parts[name][0](data.draw(parts[name][1])) for name in touched)))
    theirs, mine = sides
    merged = merge(base, theirs, mine)
    expected = {}
    for name in parts:
        before, a, b = (value_of(some, name) for some in (base, theirs, mine))
        if a != before and b != before and a != b:
            expected[name] = a
        else:
            assert value_of(merged.body, name) == (a if a != before else b)
    assert len(merged.conflicts) == len(expected)
    for name, held in expected.items():
        assert value_of(merged.body, name) == held
    settled = resolve(merged, {conflict.place: "mine" for conflict in merged.conflicts})
    assert settled.conflicts == ()
    for name in expected:
        assert value_of(settled.body, name) == value_of(mine, name)


@given(bodies(), st.data())
def test_edits_that_do_not_overlap_merge_to_both_in_either_order(base: Body, data: st.DataObject) -> None:
    parts = editable(base)
    sides: tuple[list[Any], list[Any]] = ([], [])
    for name in data.draw(st.lists(st.sampled_from(sorted(parts)), max_size=8, unique=True)):
        setter, values = parts[name]
        sides[data.draw(st.integers(0, 1))].append(setter(data.draw(values)))
    one, other = (edited(base, *edits) for edits in sides)
    both = edited(base, *sides[0], *sides[1])
    for merged in (merge(base, one, other), merge(base, other, one)):
        assert merged.body == both
        assert merged.conflicts == ()


def numbered(*numbers: int) -> Body:
    rules = [{"id": f"general.{n}", "text": f"Rule {n}"} for n in numbers]
    return edited(BASE, put("general")(rules))


def order(merged: Merged) -> list[int]:
    return [int(clause.id.removeprefix("general.")) for clause in merged.body.general]


@given(st.data())
def test_lists_weave_in_either_order(data: st.DataObject) -> None:
    """One side adds, removes and moves; the other adds and removes: nobody's order of their own is broken."""
    base = list(range(1, 7))
    sides = []
    for first_new, movable in ((10, True), (20, False)):
        kept = [n for n in base if data.draw(st.booleans())]
        if movable:
            kept = list(data.draw(st.permutations(kept)))
        for n in range(first_new, first_new + data.draw(st.integers(0, 3))):
            kept.insert(data.draw(st.integers(0, len(kept))), n)
        sides.append(kept)
    mover, other = sides
    merged = merge(numbered(*base), numbered(*mover), numbered(*other))
    assert merged.conflicts == ()
    assert merged.body == merge(numbered(*base), numbered(*other), numbered(*mover)).body
    result = order(merged)
    # A rule of base stays if both kept it; what one side added is there.
    assert sorted(result) == sorted({*mover} & {*other} | {n for n in (*mover, *other) if n >= 10})
    assert [n for n in result if n in mover] == [n for n in mover if n in result]


@pytest.mark.parametrize(
    ("base", "theirs", "mine", "expected"),
    [
        ((1, 2), (1, 2, 3), (1, 2, 4), [1, 2, 3, 4]),  # both added at the end: lower id first
        ((1, 2), (1, 2, 4), (1, 2, 3), [1, 2, 3, 4]),
        ((1, 2), (1, 2, 10), (1, 2, 9), [1, 2, 9, 10]),  # by number, not by digits
        ((1, 2), (3, 1, 2), (1, 4, 2), [3, 1, 4, 2]),
        ((1, 2, 3), (3, 1, 2), (1, 2, 4, 3), [3, 1, 2, 4]),  # 4 follows 2, where theirs put it
        ((1, 2, 3), (1, 3), (1, 2, 4, 3), [1, 4, 3]),  # 2 is gone, 4 is where it was
        ((1, 2, 3), (2, 1, 3), (2, 1, 3), [2, 1, 3]),  # both moved the same
        ((1, 2, 3), (2, 1, 3), (2, 1), [2, 1]),
        ((), (1, 2), (3,), [1, 2, 3]),
    ],
)
def test_orders_by_hand(base: Any, theirs: Any, mine: Any, expected: list[int]) -> None:
    merged = merge(numbered(*base), numbered(*theirs), numbered(*mine))
    assert merged.conflicts == ()
    assert order(merged) == expected


def test_both_reordering_a_list_differently_is_one_conflict() -> None:
    merged = merge(numbered(1, 2, 3), numbered(3, 1, 2), numbered(2, 1, 3, 4))
    (conflict,) = merged.conflicts
    assert (conflict.place, conflict.part, conflict.section) == ("order/general/clauses", "order", "general")
    assert (conflict.base, conflict.theirs) == (
        "general.1, general.2, general.3",
        "general.3, general.1, general.2",
    )
    # Theirs leads; 4 stood behind 3 in mine.
    assert order(merged) == [3, 4, 1, 2]
    assert order(resolve(merged, {conflict.place: "mine"})) == [2, 1, 3, 4]


# Conflicts by hand. TASTE is the first dimension of the sample, STRENGTH the second.

TASTE = "dimensions", 0
STRENGTH = "dimensions", 1


@pytest.mark.parametrize(
    ("setter", "theirs", "mine", "place", "texts"),
    [
        (put("title"), "A", "B", "title/document/title", ("Is this tea right for this guest?", "A", "B")),
        (put("purpose"), "A", "", "purpose/document/purpose", ("Says how well a tea suits a guest.", "A", "")),
        (put("terms", 0, "meaning"), "A", "B", "term/document/green tea", ("Tea that was not oxidised.", "A", "B")),
        (put("pair", "query", "fields"), ["wishes", "mood", "age"], ["wishes", "mood", "job"], "pair/document/pair",
         ("guest.wishes, guest.mood, tea.title, tea.notes", "guest.wishes, guest.mood, guest.age, tea.title, tea.notes",
          "guest.wishes, guest.mood, guest.job, tea.title, tea.notes")),
        (put("general", 0, "text"), "A", "B", "clause/general.1", ("Grade what the texts say.", "A", "B")),
        (put(*TASTE, "title"), "A", "B", "dimension/taste/title", ("Taste", "A", "B")),
        (put(*TASTE, "question"), "A", "B", "question/taste/question", ("Does the taste suit?", "A", "B")),
        (put(*TASTE, "weight"), 2, 2.5, "weight/taste/weight", ("3", "2", "2.5")),
        (put(*TASTE, "considers"), [], ["tea.title"], "considers/taste/considers", ("guest.wishes, tea.notes", "", "tea.title")),
        (put(*TASTE, "levels", 1, "name"), "A", "B", "level/taste/level 1",
         ("Fits: Nothing speaks against it.", "A: Nothing speaks against it.", "B: Nothing speaks against it.")),
        (put(*TASTE, "clauses", 1, "text"), "A", "B", "clause/taste.2", ("A blend has the taste of its main leaf.", "A", "B")),
        # Only where it was split from differs, so that is shown.
        (put(*TASTE, "clauses", 1, "from"), "taste.1", "taste.3", "clause/taste.2",
         ("A blend has the taste of its main leaf. (in taste)", "A blend has the taste of its main leaf. (in taste, from taste.1)",
          "A blend has the taste of its main leaf. (in taste, from taste.3)")),
        (put(*TASTE, "precedents", 0, "grade"), 0, 1, "precedent/taste.p1",
         tuple(f"{n}: Smoke was asked for. (taste.1)\nwishes: something smoky\ntitle: Lapsang" for n in (2, 0, 1))),
        (put("overall", "cut_points"), [1, 2], [0.5, 2], "cut_points/overall/cut points", ("0.5, 1.5", "1, 2", "0.5, 2")),
        (put("overall", "gates", 0, "when"), "taste < 1", "taste <= 1", "gate/overall/gate.1",
         tuple(f"when taste {rule}, at most 0 – A clash is a clash." for rule in ("== 0", "< 1", "<= 1"))),
    ],
)  # fmt: skip
def test_one_part_changed_differently(
    setter: Any, theirs: Any, mine: Any, place: str, texts: tuple[str, str, str]
) -> None:
    sides = edited(BASE, setter(theirs)), edited(BASE, setter(mine))
    merged = merge(BASE, *sides)
    (conflict,) = merged.conflicts
    assert conflict.place == place
    assert (conflict.base, conflict.theirs, conflict.mine) == texts
    assert conflict.reason == ""
    assert conflict.both == (conflict.part == "clause")
    assert merged.body == sides[0]
    assert resolve(merged, {place: "theirs"}).body == sides[0]
    settled = resolve(merged, {place: "mine"})
    assert settled.body == sides[1]
    assert settled.conflicts == ()


def test_reworded_by_one_and_moved_by_the_other_is_both() -> None:
    merged = merge(
        BASE,
        edited(BASE, put(*TASTE, "clauses", 0, "text")("New")),
        edited(BASE, lambda d: d["dimensions"][0]["clauses"].reverse(), lambda d: d["dimensions"].reverse()),
    )
    assert merged.conflicts == ()
    assert merged.body.keys == ("strength", "taste")
    assert [(c.id, c.text[:3]) for c in merged.body.dimension("taste").clauses] == [
        ("taste.2", "A b"),
        ("taste.1", "New"),
    ]


def test_a_clause_moved_to_another_section_by_one_and_reworded_by_the_other() -> None:
    def to_general(data: Data) -> None:
        data["general"].append(data["dimensions"][0]["clauses"].pop(1))

    merged = merge(BASE, edited(BASE, to_general), edited(BASE, put(*TASTE, "clauses", 1, "text")("New")))
    (conflict,) = merged.conflicts
    assert conflict.place == "clause/taste.2"
    assert [c.id for c in merged.body.general] == ["general.1", "taste.2"]
    assert resolve(merged, {"clause/taste.2": "mine"}).body.dimension("taste").clauses[1].text == "New"


def reword(data: Data) -> None:
    data["dimensions"][0]["clauses"][1]["text"] = "New"


def drop(data: Data) -> None:
    retire(data, "taste.2")


def test_retired_by_theirs_and_reworded_by_mine() -> None:
    merged = merge(BASE, edited(BASE, drop), edited(BASE, reword))
    (conflict,) = merged.conflicts
    assert (conflict.theirs, conflict.mine, conflict.both) == ("", "New", False)
    assert "taste.2" not in ids(merged.body)
    assert merged.body.retired == ("taste.3", "taste.2")
    settled = resolve(merged, {"clause/taste.2": "mine"}).body
    assert settled.dimension("taste").clauses[1].text == "New"
    assert settled.retired == ("taste.3",)  # in use after all
    with pytest.raises(BadInput, match=r"'both' cannot be chosen for clause/taste\.2"):
        resolve(merged, {"clause/taste.2": "both"})


def test_reworded_by_theirs_and_retired_by_mine() -> None:
    merged = merge(BASE, edited(BASE, reword), edited(BASE, drop))
    (conflict,) = merged.conflicts
    assert (conflict.theirs, conflict.mine) == ("New", "")
    assert merged.body == edited(BASE, reword)
    assert resolve(merged, {"clause/taste.2": "mine"}).body == edited(BASE, drop)


def test_both_wordings_of_a_clause_can_be_kept() -> None:
    theirs = edited(
        BASE, reword, lambda d: d["dimensions"][0]["clauses"].append({"id": "taste.4", "text": "T"})
    )
    mine = edited(BASE, put(*TASTE, "clauses", 0, "text")("M1"), put(*TASTE, "clauses", 1, "text")("M2"))
    merged = merge(BASE, edited(theirs, put(*TASTE, "clauses", 0, "text")("T1")), mine)
    settled = resolve(merged, {"clause/taste.2": "both", "clause/taste.1": "both"})
    assert settled.conflicts == ()
    # taste.3 is retired and taste.4 is theirs, so the new ones are 5 and 6.
    assert [(c.id, c.text, c.split_from) for c in settled.body.dimension("taste").clauses] == [
        ("taste.1", "T1", None),
        ("taste.5", "M1", "taste.1"),
        ("taste.2", "New", None),
        ("taste.6", "M2", "taste.2"),
        ("taste.4", "T", None),
    ]


def test_conflicts_are_settled_one_by_one_and_a_choice_can_be_taken_back() -> None:
    theirs = edited(BASE, put("title")("T"), reword)
    mine = edited(BASE, put("title")("M"), put(*TASTE, "clauses", 1, "text")("Mine"))
    merged = merge(BASE, theirs, mine)
    assert [c.place for c in merged.conflicts] == ["title/document/title", "clause/taste.2"]
    one = resolve(merged, {"title/document/title": "mine"})
    assert [c.place for c in one.conflicts] == ["clause/taste.2"]
    assert resolve(one, {"clause/taste.2": "mine"}).body == mine
    assert resolve(one, {"title/document/title": "theirs"}).body == theirs
    with pytest.raises(BadInput, match="'both' cannot be chosen for title"):
        resolve(one, {"title/document/title": "both"})
    with pytest.raises(NotFound, match=r"clause/taste\.22"):
        resolve(one, {"clause/taste.22": "mine"})
    with pytest.raises(BadInput, match="'ours' cannot be chosen"):
        resolve(merged, {"clause/taste.2": "ours"})  # type: ignore[dict-item]


# New things under one id


def add_to_taste(id: str, text: str, **more: Any) -> Callable[[Data], None]:
    return lambda data: data["dimensions"][0]["clauses"].append({"id": id, "text": text, **more})


def test_two_new_clauses_under_one_id_are_both_kept() -> None:
    theirs = edited(BASE, add_to_taste("taste.4", "Theirs"))
    mine = edited(
        BASE,
        add_to_taste("taste.4", "Mine"),
        add_to_taste("taste.5", "Unless taste.4 holds; see taste.4.", **{"from": "taste.4"}),
        put("purpose")("By taste.4, not taste.44 or x.taste.4 or taste.4.a; (taste.4)"),
        put(*TASTE, "precedents", 0, "cites")(["taste.4", "taste.1"]),
        put(*TASTE, "precedents", 0, "pair")({"document": {"title": "taste.4"}}),
    )
    merged = merge(BASE, theirs, mine)
    assert merged.conflicts == ()
    # taste.5 is mine too, so the next id that nobody has is taste.6.
    assert merged.renamed == {"taste.4": "taste.6"}
    assert merged.body.purpose == "By taste.6, not taste.44 or x.taste.4 or taste.4.a; (taste.6)"
    taste = merged.body.dimension("taste")
    assert {(c.id, c.text, c.split_from) for c in taste.clauses[2:]} == {
        ("taste.4", "Theirs", None),
        ("taste.6", "Mine", None),
        ("taste.5", "Unless taste.6 holds; see taste.6.", "taste.6"),
    }
    assert taste.precedents[0].cites == ("taste.6", "taste.1")
    assert taste.precedents[0].pair.document == {"title": "taste.4"}  # a text of the pair, no mention


def test_the_same_addition_on_both_sides_is_one() -> None:
    same = edited(BASE, add_to_taste("taste.4", "Same"))
    merged = merge(BASE, same, edited(same, put("title")("New")))
    assert (merged.renamed, merged.conflicts) == ({}, ())
    assert merged.body == edited(same, put("title")("New"))


def test_what_cites_a_renamed_clause_is_no_longer_the_same_as_its_namesake() -> None:
    theirs = edited(BASE, add_to_taste("taste.4", "Theirs"), add_to_taste("taste.5", "See taste.4."))
    mine = edited(BASE, add_to_taste("taste.4", "Mine"), add_to_taste("taste.5", "See taste.4."))
    merged = merge(BASE, theirs, mine)
    assert merged.conflicts == ()
    assert merged.renamed == {"taste.4": "taste.6", "taste.5": "taste.7"}
    texts = {clause.id: clause.text for clause in merged.body.dimension("taste").clauses[2:]}
    assert texts == {"taste.4": "Theirs", "taste.5": "See taste.4.", "taste.6": "Mine", "taste.7": "See taste.6."}  # fmt: skip


def test_an_id_that_theirs_gave_and_retired_is_not_used_again() -> None:
    theirs = edited(BASE, lambda d: d["retired"].append("taste.4"))
    merged = merge(BASE, theirs, edited(BASE, add_to_taste("taste.4", "Mine")))
    assert merged.renamed == {"taste.4": "taste.5"}
    assert merged.body.retired == ("taste.3", "taste.4")


def test_new_gates_and_precedents_are_renamed_alike() -> None:
    def add(who: str) -> Callable[[Data], None]:
        def do(data: Data) -> None:
            data["overall"]["gates"].append(
                {"id": "gate.2", "when": "strength == 0", "at_most": 1, "because": who}
            )
            data["dimensions"][1]["precedents"].append(
                {"id": "strength.p1", "pair": {}, "grade": 1, "because": who}
            )

        return do

    merged = merge(BASE, edited(BASE, add("T")), edited(BASE, add("M")))
    assert merged.renamed == {"gate.2": "gate.3", "strength.p1": "strength.p2"}
    assert [(g.id, g.because) for g in merged.body.overall.gates[1:]] == [("gate.2", "T"), ("gate.3", "M")]
    assert [p.because for p in merged.body.dimension("strength").precedents] == ["T", "M"]


def test_a_term_that_both_define_differently_is_a_conflict() -> None:
    def define(meaning: str) -> Body:
        return edited(BASE, lambda d: d["terms"].append({"term": "oolong", "meaning": meaning}))

    (conflict,) = merge(BASE, define("Half."), define("Partly.")).conflicts
    assert (conflict.base, conflict.theirs, conflict.mine) == ("", "Half.", "Partly.")


# Dimensions as a whole


def without_strength(data: Data) -> None:
    retire(data, "strength.1")
    del data["dimensions"][1]


def test_a_dimension_removed_by_one_and_left_alone_by_the_other_is_gone() -> None:
    removed = edited(BASE, without_strength)
    other = edited(BASE, reword)
    for merged in (merge(BASE, removed, other), merge(BASE, other, removed)):
        assert merged.conflicts == ()
        assert merged.body == edited(BASE, without_strength, reword)


def test_a_dimension_removed_by_one_and_edited_by_the_other_is_one_conflict() -> None:
    removed = edited(BASE, without_strength)
    more = edited(BASE, put(*STRENGTH, "question")("New?"), put(*STRENGTH, "clauses", 0, "text")("New"))
    merged = merge(BASE, removed, more)
    (conflict,) = merged.conflicts
    assert conflict.place == "dimension/strength/strength"
    assert (conflict.theirs, conflict.mine) == ("", "Strength: New? (1 clauses)")
    assert merged.body == removed
    assert resolve(merged, {conflict.place: "mine"}).body == more
    back = merge(BASE, more, removed)
    assert back.body == more
    assert resolve(back, {conflict.place: "mine"}).body == removed


def test_a_dimension_that_both_added_is_merged_by_part() -> None:
    def add(question: str, weight: float, clause: str) -> Body:
        levels = [{"value": v, "name": "N"} for v in (0, 1)]
        new = {"key": "price", "title": "Price", "question": question, "weight": weight, "levels": levels}
        return edited(
            BASE, lambda d: d["dimensions"].append(new | {"clauses": [{"id": "price.1", "text": clause}]})
        )

    merged = merge(BASE, add("T?", 2, "T"), add("M?", 2, "M"))
    assert [c.place for c in merged.conflicts] == ["question/price/question"]
    assert merged.renamed == {"price.1": "price.2"}
    assert [c.text for c in merged.body.dimension("price").clauses] == ["T", "M"]


# Edits that are valid alone and break a rule together


def without_gate(data: Data) -> None:
    retire(data, "gate.1")


def gate_on_strength(data: Data) -> None:
    data["overall"]["gates"].append({"id": "gate.2", "when": "strength == 0", "at_most": 1})


def cite(id: str) -> Callable[[Data], None]:
    return put(*TASTE, "precedents", 0, "cites")([id])


LEVEL = {"value": 3, "name": "More", "criteria": "Even more."}
GRADED_0 = {"id": "strength.p1", "pair": {}, "grade": 0, "because": "N"}


def fields(*names: str) -> Callable[[Data], None]:
    return put("pair", "query", "fields")(list(names))


@pytest.mark.parametrize(
    ("theirs", "mine", "places", "reason"),
    [
        ([without_strength], [gate_on_strength], ["gate/overall/gate.2"], "gate gate.2 speaks of 'strength', which is not a dimension"),
        ([gate_on_strength], [without_strength], ["dimension/strength/strength"], "gate gate.2 speaks of 'strength'"),
        ([drop], [cite("taste.2")], ["precedent/taste.p1"], "precedent taste.p1 cites taste.2, which does not exist"),
        ([cite("taste.2")], [drop], ["clause/taste.2"], "precedent taste.p1 cites taste.2"),
        ([put(*TASTE, "considers")([]), put(*STRENGTH, "considers")([]), fields("wishes")], [put(*TASTE, "considers")(["guest.mood"])],
         ["considers/taste/considers"], None),
        ([put(*STRENGTH, "allow_na")(False)], [lambda d: d["dimensions"][1]["precedents"].append(GRADED_0 | {"grade": None})],
         ["precedent/strength.p1"], "precedent strength.p1 is N/A"),
        ([put("overall", "cut_points")([0.5])], [lambda d: d["overall"]["gates"].append({"id": "gate.2", "when": "taste == 2", "at_least": 2})],
         ["gate/overall/gate.2"], "gate gate.2 bounds the grade by 2, outside 0–1"),
        ([lambda d: d["dimensions"][0]["levels"].append(LEVEL)],
         [lambda d: d["dimensions"][0]["levels"].pop(), put(*TASTE, "precedents", 0, "grade")(1)],
         ["level/taste/level 2"], "level values must be consecutive"),
    ],
)  # fmt: skip
def test_a_change_that_theirs_no_longer_allows(
    theirs: list[Any], mine: list[Any], places: list[str], reason: str | None
) -> None:
    merged = merge(BASE, edited(BASE, *theirs), edited(BASE, *mine, put("title")("Mine")))
    assert [c.place for c in merged.conflicts] == places
    assert all(not conflict.both for conflict in merged.conflicts)
    if reason:
        assert reason in merged.conflicts[0].reason
        with pytest.raises(BadInput, match="do not go together"):
            resolve(merged, dict.fromkeys(places, "mine"))
    assert merged.body.title == "Mine"  # what has nothing to do with it is merged
    assert resolve(merged, dict.fromkeys(places, "theirs")).body == merged.body


def test_two_broken_rules_are_two_conflicts_and_nothing_else_is_held_back() -> None:
    theirs = edited(BASE, without_strength, drop)
    mine = edited(
        BASE,
        gate_on_strength,
        cite("taste.2"),
        add_to_taste("taste.4", "Mine"),
        put("overall", "combine")("minimum"),
    )
    merged = merge(BASE, theirs, mine)
    assert {c.place for c in merged.conflicts} == {"gate/overall/gate.2", "precedent/taste.p1"}
    assert all(c.reason for c in merged.conflicts)
    assert merged.body == edited(
        theirs, add_to_taste("taste.4", "Mine"), put("overall", "combine")("minimum")
    )


def test_changes_that_need_each_other_are_held_back_together() -> None:
    # Mine renames a field wherever it is considered; theirs considers it by its old name in a new dimension.
    rename = [
        fields("wishes", "feeling"),
        put(*STRENGTH, "considers")(["guest.feeling", "tea.notes"]),
    ]
    new = copy.deepcopy(BASE.model_dump(by_alias=True, mode="json")["dimensions"][1])
    new |= {"key": "price", "clauses": [], "considers": ["guest.mood"]}
    theirs = edited(BASE, lambda d: d["dimensions"].append(new))
    merged = merge(BASE, theirs, edited(BASE, *rename, put("title")("Mine")))
    assert {c.place for c in merged.conflicts} == {"pair/document/pair", "considers/strength/considers"}
    assert merged.body == edited(theirs, put("title")("Mine"))


def test_a_choice_may_free_what_a_rule_held_back() -> None:
    def without_taste(data: Data) -> None:
        for id in ("taste.1", "taste.2", "taste.p1"):
            retire(data, id)
        del data["dimensions"][0]

    theirs = edited(BASE, put("overall", "gates", 0, "because")("New"))
    mine = edited(BASE, without_gate, without_taste)
    merged = merge(BASE, theirs, mine)
    assert [(c.place, bool(c.reason)) for c in merged.conflicts] == [
        ("gate/overall/gate.1", False),
        ("dimension/taste/taste", True),
    ]
    assert merged.body.dimensions == BASE.dimensions
    settled = resolve(merged, {"gate/overall/gate.1": "mine"})
    assert settled.conflicts == ()
    assert settled.body == mine


def test_a_clause_is_not_lost_with_the_new_dimension_it_moved_into() -> None:
    def into_new(data: Data) -> None:
        clause = data["dimensions"][0]["clauses"].pop(1)
        new = copy.deepcopy(data["dimensions"][1])
        data["dimensions"].append(new | {"key": "price", "clauses": [clause], "considers": ["guest.mood"]})

    theirs = edited(BASE, put(*STRENGTH, "considers")([]), fields("wishes"))
    merged = merge(BASE, theirs, edited(BASE, into_new))
    assert merged.body == theirs
    assert {c.place for c in merged.conflicts} == {"dimension/price/price", "clause/taste.2"}
    assert "taste.2 would be lost" in {c.reason for c in merged.conflicts}


# Patches


def test_a_patch_is_refused_where_it_does_not_fit() -> None:
    change = patch(BASE, edited(BASE, reword))
    assert apply(edited(BASE, put("title")("Other")), change).title == "Other"
    with pytest.raises(BadInput, match=r"clause/taste\.2 was made for another text"):
        apply(edited(BASE, put(*TASTE, "clauses", 1, "text")("Else")), change)
    with pytest.raises(BadInput, match="speaks of 'strength', which is not a dimension"):
        apply(edited(BASE, gate_on_strength), patch(BASE, edited(BASE, without_strength)))


def test_dimensions_may_be_called_like_parts() -> None:
    def called_title(weight: float) -> Body:
        data = BASE.model_dump(by_alias=True, mode="json")
        data["dimensions"][1] |= {"key": "title", "weight": weight}
        return Body.model_validate(data)

    a, b = called_title(1), called_title(2)
    assert apply(a, patch(a, b)) == b
    assert apply(a, patch(a, BASE)) == BASE
    assert merge(a, b, edited(a, put(*STRENGTH, "title")("New"))).body == edited(b, put(*STRENGTH, "title")("New"))  # fmt: skip


# The shipped job-match


def test_the_shipped_versions_patch_into_each_other() -> None:
    versions = [policy for policy in shipped() if policy.name == "job-match"]
    for before, after in itertools.pairwise(versions):
        assert apply(before, patch(before, after)) == after.body()
        assert merge(before, after, before).body == after.body()


def test_a_draft_of_job_match_1_meets_version_2() -> None:
    v1, v2 = (policy.body() for policy in shipped() if policy.label in ("job-match v1", "job-match v2"))

    def dimension(data: Data, key: str) -> Any:
        return next(d for d in data["dimensions"] if d["key"] == key)

    def edit(data: Data) -> None:
        dimension(data, "wishes")["weight"] = 1.5
        # Version 2 gave skills.9 and retired seniority.4.
        dimension(data, "skills")["clauses"].append({"id": "skills.9", "text": "Mine."})
        next(c for c in dimension(data, "seniority")["clauses"] if c["id"] == "seniority.4")["text"] = "Mine."
        dimension(data, "role")["question"] = "Mine?"

    merged = merge(v1, v2, edited(v1, edit))
    assert {c.place: (c.theirs, c.mine) for c in merged.conflicts} == {
        "weight/wishes/weight": ("2", "1.5"),
        "clause/seniority.4": ("", "Mine."),
    }
    assert merged.renamed == {"skills.9": "skills.10"}
    assert [(c.kind, c.part, c.section, c.id) for c in diff(v2, merged.body)] == [
        ("added", "clause", "skills", "skills.10"),
        ("reworded", "question", "role", "question"),
    ]
    v3 = next(policy.body() for policy in shipped() if policy.label == "job-match v3")
    again = merge(v2, v3, merged.body)
    # What became skills.10 meets the skills.10 to skills.12 of version 3.
    assert (again.conflicts, again.renamed) == ((), {"skills.10": "skills.13"})
    assert ids(again.body) == ids(v3) | {"skills.13"}
    assert again.body.dimension("role").question == "Mine?"


@given(st.permutations(range(4)))
def test_order_of_merging_others_edits_does_not_matter(sequence: list[int]) -> None:
    """Four drafts of one base published in any order give the same policy."""
    edits = [put("title")("New"), reword, put(*STRENGTH, "weight")(7), without_gate]
    drafts = [edited(BASE, edit) for edit in edits]
    published = BASE
    for i in sequence:
        merged = merge(BASE, published, drafts[i])
        assert merged.conflicts == ()
        published = merged.body
    assert published == edited(BASE, *edits)
