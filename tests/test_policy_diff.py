"""The semantic diff: every kind of change is found, named as what it is, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from policy_samples import bodies, body, plain, shipped

from workbench.policy import Body, Policy
from workbench.policy_diff import Change, diff, sections_to_judge, word_diff

BASE = body()
HEADER = ("policy", "version", "parent", "message", "author", "published_at")


def spoilt(edit: Any) -> Body:
    """The sample body after ``edit`` changed its plain data."""
    data = {key: value for key, value in plain().items() if key not in HEADER}
    edit(data)
    return Body.model_validate(data)


def brief(changes: tuple[Change, ...]) -> list[tuple[str, str, str, str]]:
    return [(c.kind, c.part, c.section, c.id) for c in changes]


def put(data: Any, path: str, value: Any) -> None:
    """Set the value at a dotted path; numbers index lists."""
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        data = data[part]
    data[last] = value


TASTE, STRENGTH = "dimensions.0", "dimensions.1"


@pytest.mark.parametrize(
    ("path", "value", "expected", "shown"),
    [
        ("title", "New", ("reworded", "title", "document", "title"), ("Is this tea right for this guest?", "New")),
        ("purpose", "New", ("reworded", "purpose", "document", "purpose"), ("Says how well a tea suits a guest.", "New")),
        ("terms.0.meaning", "New", ("reworded", "term", "document", "green tea"), ("Tea that was not oxidised.", "New")),
        ("general.0.text", "New", ("reworded", "clause", "general", "general.1"), ("Grade what the texts say.", "New")),
        (f"{TASTE}.title", "New", ("reworded", "dimension", "taste", "title"), ("Taste", "New")),
        (f"{TASTE}.question", "New", ("reworded", "question", "taste", "question"), ("Does the taste suit?", "New")),
        (f"{TASTE}.weight", 2.5, ("changed", "weight", "taste", "weight"), ("3", "2.5")),
        (f"{TASTE}.weight", 3.0000001, ("changed", "weight", "taste", "weight"), ("3", "3.0000001")),
        (f"{TASTE}.considers", ["tea.notes"], ("changed", "considers", "taste", "considers"), ("guest.wishes, tea.notes", "tea.notes")),
        (f"{TASTE}.allow_na", True, ("changed", "allow_na", "taste", "N/A allowed"), ("no", "yes")),
        (f"{TASTE}.levels.1.criteria", "New", ("reworded", "level", "taste", "level 1"), ("Fits: Nothing speaks against it.", "Fits: New")),
        (f"{TASTE}.levels.1.name", "New", ("reworded", "level", "taste", "level 1"), ("Fits: Nothing speaks against it.", "New: Nothing speaks against it.")),
        (f"{TASTE}.clauses.0.text", "New", ("reworded", "clause", "taste", "taste.1"), ("Smoke counts as a taste.", "New")),
        (f"{TASTE}.clauses.1.from", "taste.1", ("changed", "clause", "taste", "taste.2"), ("A blend has the taste of its main leaf.",) * 2),
        (f"{TASTE}.precedents.0.grade", 1, ("reworded", "precedent", "taste", "taste.p1"), None),
        (f"{TASTE}.precedents.0.because", "New", ("reworded", "precedent", "taste", "taste.p1"), None),
        (f"{TASTE}.precedents.0.cites", ["taste.2"], ("reworded", "precedent", "taste", "taste.p1"), None),
        (f"{TASTE}.precedents.0.pair.query.wishes", "ash", ("reworded", "precedent", "taste", "taste.p1"), None),
        ("overall.combine", "minimum", ("changed", "combine", "overall", "combine"), ("weighted mean", "minimum")),
        ("overall.cut_points", [0.5, 1.6], ("changed", "cut_points", "overall", "cut points"), ("0.5, 1.5", "0.5, 1.6")),
        ("overall.cut_points", [0.5, 1.50000001], ("changed", "cut_points", "overall", "cut points"), ("0.5, 1.5", "0.5, 1.50000001")),
        ("overall.gates.0.when", "taste < 1", ("reworded", "gate", "overall", "gate.1"), ("when taste == 0, at most 0 – A clash is a clash.", "when taste < 1, at most 0 – A clash is a clash.")),
        ("overall.gates.0.at_most", 1, ("reworded", "gate", "overall", "gate.1"), None),
        ("overall.gates.0.because", "", ("reworded", "gate", "overall", "gate.1"), None),
        ("pair.query.fields", ["wishes", "mood", "budget"], ("changed", "pair", "document", "pair"), None),
    ],
)  # fmt: skip
def test_one_edit_is_one_change(
    path: str, value: Any, expected: tuple[str, ...], shown: tuple[str, str] | None
) -> None:
    changes = diff(BASE, spoilt(lambda data: put(data, path, value)))
    assert brief(changes) == [expected]
    if shown:
        assert (changes[0].before, changes[0].after) == shown


def added_and_removed(edit: Any) -> tuple[list[tuple[str, str, str, str]], list[tuple[str, str, str, str]]]:
    other = spoilt(edit)
    return brief(diff(BASE, other)), brief(diff(other, BASE))


@pytest.mark.parametrize(
    ("edit", "part", "section", "id"),
    [
        (lambda d: d["terms"].append({"term": "oolong", "meaning": "Half oxidised."}), "term", "document", "oolong"),
        (lambda d: d["general"].append({"id": "general.2", "text": "New"}), "clause", "general", "general.2"),
        (lambda d: d["dimensions"][0]["clauses"].insert(0, {"id": "taste.4", "text": "N"}), "clause", "taste", "taste.4"),
        (lambda d: d["dimensions"][1]["levels"].append({"value": 2, "name": "N"}), "level", "strength", "level 2"),
        (lambda d: d["dimensions"][1]["precedents"].append({"id": "strength.p1", "pair": {}, "grade": None, "because": "N"}), "precedent", "strength", "strength.p1"),
        (lambda d: d["overall"]["gates"].append({"id": "gate.2", "when": "na(strength)", "at_least": 1}), "gate", "overall", "gate.2"),
        (lambda d: d["dimensions"].append(d["dimensions"][1] | {"key": "price", "clauses": []}), "dimension", "price", "price"),
    ],
)  # fmt: skip
def test_what_is_new_is_added_and_the_other_way_round_removed(
    edit: Any, part: str, section: str, id: str
) -> None:
    there, back = added_and_removed(edit)
    assert there == [("added", part, section, id)]
    assert back == [("removed", part, section, id)]


def test_a_split_names_what_it_was_split_from() -> None:
    def edit(data: Any) -> None:
        data["dimensions"][0]["clauses"][0]["text"] = "Smoke counts."
        data["dimensions"][0]["clauses"].insert(
            1, {"id": "taste.4", "text": "As a taste.", "from": "taste.1"}
        )

    changes = diff(BASE, spoilt(edit))
    assert brief(changes) == [
        ("reworded", "clause", "taste", "taste.1"),
        ("split", "clause", "taste", "taste.4"),
    ]
    assert changes[1].origin == "taste.1"


def test_a_split_may_go_to_another_section() -> None:
    new = {"id": "strength.2", "text": "Half of it.", "from": "general.1"}
    changes = diff(BASE, spoilt(lambda d: d["dimensions"][1]["clauses"].append(new)))
    assert brief(changes) == [("split", "clause", "strength", "strength.2")]
    assert changes[0].origin == "general.1"


def test_from_a_clause_that_was_not_there_is_an_addition() -> None:
    new = {"id": "strength.2", "text": "Half of it.", "from": "strength.9"}
    changes = diff(BASE, spoilt(lambda d: d["dimensions"][1]["clauses"].append(new)))
    assert brief(changes) == [("added", "clause", "strength", "strength.2")]


def with_general(*numbers: int) -> Body:
    return body(general=[{"id": f"general.{n}", "text": f"Rule {n}"} for n in numbers])


@pytest.mark.parametrize(
    ("after", "moved"),
    [
        ((2, 3, 4, 5, 1), ["general.1"]),  # one moved to the end, not four moved up
        ((5, 1, 2, 3, 4), ["general.5"]),
        ((1, 2, 4, 3, 5), ["general.4"]),  # either of two neighbours would do
        ((2, 1, 3, 5, 4), ["general.2", "general.5"]),
        ((1, 2, 3, 4, 5), []),
    ],
)
def test_the_fewest_moves_are_reported(after: tuple[int, ...], moved: list[str]) -> None:
    changes = diff(with_general(1, 2, 3, 4, 5), with_general(*after))
    assert {c.kind for c in changes} <= {"moved"}
    assert [c.id for c in changes] == moved


def test_moves_are_counted_among_what_stays() -> None:
    changes = diff(with_general(1, 2, 3), with_general(9, 3, 1))
    assert brief(changes) == [
        ("added", "clause", "general", "general.9"),
        ("removed", "clause", "general", "general.2"),
        ("moved", "clause", "general", "general.3"),
    ]


@given(st.permutations(range(7)))
def test_moves_are_as_few_as_can_be(order: list[int]) -> None:
    changes = diff(with_general(*range(1, 8)), with_general(*(n + 1 for n in order)))
    # Slow and sure: the longest increasing subsequence over all subsets.
    best = 0
    for mask in range(128):
        kept = [n for i, n in enumerate(order) if mask >> i & 1]
        if kept == sorted(kept):
            best = max(best, len(kept))
    assert len(changes) == 7 - best


def test_dimensions_and_gates_can_move() -> None:
    turned = spoilt(lambda d: d["dimensions"].reverse())
    assert len(diff(BASE, turned)) == 1
    assert diff(BASE, turned)[0].part == "dimension"
    assert diff(BASE, turned)[0].kind == "moved"
    gates = [{"id": f"gate.{i}", "when": "taste == 0", "at_most": i} for i in (1, 2)]
    overall = {"cut_points": [1, 2], "gates": gates}
    moved = diff(body(overall=overall), body(overall=overall | {"gates": gates[::-1]}))
    assert [(c.kind, c.part) for c in moved] == [("moved", "gate")]


@given(bodies())
def test_a_body_does_not_differ_from_itself(some: Body) -> None:
    assert diff(some, some) == ()
    assert diff(some, Body.model_validate(some.model_dump(by_alias=True))) == ()


@given(bodies(), bodies())
def test_a_diff_is_empty_only_between_equals(one: Body, other: Body) -> None:
    def said(some: Body) -> Any:
        data = some.model_dump()
        del data["retired"]  # bookkeeping that nobody reads
        for part in ("terms",):
            data[part] = sorted(map(repr, data[part]))
        for dimension in data["dimensions"]:
            dimension["considers"] = sorted(dimension["considers"])
            dimension["precedents"] = sorted(map(repr, dimension["precedents"]))
        return data

    assert (diff(one, other) == ()) == (said(one) == said(other))


# Each leaf of the plain data, changed to something else of its kind, is found.
def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for i, item in enumerate(value) for leaf in leaves(item, (*path, i))]
    return [path]


@given(bodies(), st.data())
def test_every_edit_is_found(some: Body, data: st.DataObject) -> None:
    document = some.model_dump(mode="json", by_alias=True)
    names = {"title", "purpose", "meaning", "text", "question", "weight", "allow_na", "name", "criteria", "because",
             "grade", "combine", "at_most", "x"}  # fmt: skip
    places = [path for path in leaves(document) if path[-1] in names and path[0] != "pair"]
    *way, last = data.draw(st.sampled_from(places))
    target: Any = document
    for part in way:
        target = target[part]
    old = target[last]
    if isinstance(old, bool):
        target[last] = not old
    elif isinstance(old, float):
        target[last] = data.draw(st.floats(0, 1000))
        assume(target[last] != old)
    elif isinstance(old, int):
        target[last] = old - 1 if old else 1
    elif last == "combine":
        target[last] = {"minimum": "weighted_mean", "weighted_mean": "minimum"}[old]
    else:
        target[last] = f"{old} and more"
    try:
        edited = Body.model_validate(document)
    except ValueError:
        assume(False)
        raise
    changes = diff(some, edited)
    assert len(changes) == 1
    assert changes[0].before != changes[0].after


words = st.text("ab c.,-ä\n漢", max_size=30)


@given(words, words)
def test_a_word_diff_holds_both_texts(before: str, after: str) -> None:
    runs = word_diff(before, after)
    assert "".join(text for op, text in runs if op in "=-") == before
    assert "".join(text for op, text in runs if op in "=+") == after
    assert all(text for _, text in runs)


def test_a_word_diff_by_hand() -> None:
    assert word_diff("the old rule.", "the new rule.") == (
        ("=", "the "), ("-", "old"), ("+", "new"), ("=", " rule."),
    )  # fmt: skip
    assert word_diff("", "new") == (("+", "new"),)
    assert word_diff("same", "same") == (("=", "same"),)


@pytest.mark.parametrize(
    ("path", "value", "sections"),
    [
        (f"{TASTE}.weight", 2, ()),
        ("overall.cut_points", [0.1, 0.2], ()),
        ("overall.combine", "minimum", ()),
        ("overall.gates", [], ()),
        (f"{TASTE}.question", "New?", ("taste",)),
        (f"{STRENGTH}.levels.0.criteria", "New", ("strength",)),
        (f"{STRENGTH}.considers", [], ("strength",)),
        (f"{STRENGTH}.allow_na", False, ("strength",)),
        (f"{TASTE}.precedents", [], ("taste",)),
        ("general.0.text", "New", ("taste", "strength")),
        ("terms.0.meaning", "New", ("taste", "strength")),
        ("purpose", "New", ("taste", "strength")),
        ("title", "New", ("taste", "strength")),
        ("pair.document.fields", ["title", "notes", "price"], ("taste", "strength")),
    ],
)
def test_what_has_to_be_judged_again(path: str, value: Any, sections: tuple[str, ...]) -> None:
    assert sections_to_judge(diff(BASE, spoilt(lambda data: put(data, path, value))), BASE.keys) == sections


def test_moving_needs_no_judging_and_a_new_dimension_does() -> None:
    assert sections_to_judge(diff(with_general(1, 2), with_general(2, 1)), ["taste"]) == ()
    more = spoilt(lambda d: d["dimensions"].append(d["dimensions"][1] | {"key": "price", "clauses": []}))
    assert sections_to_judge(diff(BASE, more), more.keys) == ("price",)
    assert sections_to_judge(diff(more, BASE), BASE.keys) == ()


def job_match() -> dict[int, Policy]:
    return {policy.version: policy for policy in shipped() if policy.name == "job-match"}


def test_the_shipped_job_match_from_1_to_2() -> None:
    versions = job_match()
    changes = brief(diff(versions[1], versions[2]))
    assert ("added", "clause", "skills", "skills.9") in changes
    assert ("removed", "clause", "seniority", "seniority.4") in changes
    assert {(kind, section) for kind, part, section, _ in changes if part == "weight"} == {
        ("changed", "wishes")
    }


def test_the_shipped_job_match_from_2_to_3() -> None:
    versions = job_match()
    changes = diff(versions[2], versions[3])
    splits = [(c.id, c.origin) for c in changes if c.kind == "split"]
    assert splits == [("seniority.11", "seniority.2")]
    assert ("reworded", "clause", "seniority", "seniority.2") in brief(changes)
    assert ("added", "gate", "overall", "gate.2") in brief(changes)
    weights = {c.section: (c.before, c.after) for c in changes if c.part == "weight"}
    assert weights == {"role": ("2", "3"), "location": ("3", "2")}
    cuts = [(c.before, c.after) for c in changes if c.part == "cut_points"]
    assert cuts == [("0.8, 1.6, 2.4, 3.2", "0.8, 1.6, 2.5, 3.3")]
    assert sections_to_judge(changes, versions[3].keys) == versions[3].keys  # general rules were added
