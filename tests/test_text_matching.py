"""Which texts of an edited document are which old ones: equal, alike, by a written id, between neighbours, or none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.text_matching import match, same_text, with_code_marks

OLD = {
    "a.1": "A skill counts as evidenced when the text shows that it was used at work.",
    "a.2": "Years that a job asks for are counted from the end of the training.",
    "a.3": "A remote job has no workplace, so distance does not matter for it.",
    "a.4": "Hobbies never count, whatever the member writes about them.",
}


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("one  two\nthree", "one two three", True),
        ("“one” – ‘two’…", "\"one\" - 'two'...", True),
        ("read `title` first", "read title first", True),
        (r"2 \* 3 \[x\]", "2 * 3 [x]", True),
        ("list:\n\n* one\n+ two", "list:\n- one\n- two", True),
        ("a *b* c", "a b c", False),  # emphasis is the author's
        ("at most 2", "at most 3", False),
        ("Must", "must", False),
    ],
)
def test_same_text(a: str, b: str, same: bool) -> None:
    assert same_text(a, b) is same


@pytest.mark.parametrize(
    ("new", "old", "marked"),
    [
        ("read title, then more", "read `title` first", "read `title`, then more"),
        ("a subtitle and a title", "the `title`", "a subtitle and a `title`"),
        ("title and title", "read `title`", "title and title"),  # which of the two is not clear
        ("a title", "a title is in `title`", "a title"),
        ("keep `x`, title", "`x` and `title`", "keep `x`, title"),  # this document does have code marks
        ("min(a, b) == 0, at most", "if `min(a, b) == 0`", "`min(a, b) == 0`, at most"),
    ],
)
def test_code_marks_come_back(new: str, old: str, marked: str) -> None:
    assert with_code_marks(new, old) == marked


def test_equal_texts_are_found_wherever_they_stand() -> None:
    new = {"n.1": OLD["a.3"], "n.2": OLD["a.1"], "n.3": OLD["a.4"]}
    assert match(new, OLD) == {"n.1": "a.3", "n.2": "a.1", "n.3": "a.4"}


def test_a_reworded_text_is_found_and_a_new_one_is_new() -> None:
    new = {
        # 13 of 15 and 18 words in common: 2 * 13 / 33 = 0.79.
        "n.1": "A skill counts as evidenced when the text shows that it was used at work or in a finished course.",
        "n.2": "Contractors have worked for their client if one contract lasted six months.",
        "n.3": OLD["a.3"],
    }
    assert match(new, OLD) == {"n.1": "a.1", "n.3": "a.3"}


def test_what_may_be_one_of_two_is_neither() -> None:
    old = {
        "a.1": "A commute of 30 minutes by train is fine.",
        "a.2": "A commute of 60 minutes by train is fine.",
    }
    # 8 of 9 words in common with each of the two.
    assert match({"n.1": "A commute of 45 minutes by train is fine."}, old) == {}
    # Two new texts that may both be one old text.
    new = {
        "n.1": "A commute of 45 minutes by train is fine.",
        "n.2": "A commute of 50 minutes by train is fine.",
    }
    assert match(new, {"a.1": old["a.1"]}) == {}


def test_equal_texts_leave_only_one_for_the_other() -> None:
    old = {
        "a.1": "A commute of 30 minutes by train is fine.",
        "a.2": "A commute of 60 minutes by train is fine.",
    }
    new = {"n.1": old["a.1"], "n.2": "A commute of 45 minutes by train is fine."}
    assert match(new, old) == {"n.1": "a.1", "n.2": "a.2"}


def test_a_written_id_decides_between_two_and_holds_for_a_text_that_is_all_new() -> None:
    old = {
        "a.1": "A commute of 30 minutes by train is fine.",
        "a.2": "A commute of 60 minutes by train is fine.",
    }
    new = {"a.2": "A commute of 45 minutes by train is fine."}
    assert match(new, old, {"a.2"}) == {"a.2": "a.2"}
    new = {"a.2": "Who never leaves home needs no train at all, so nothing is asked."}
    assert match(new, old, {"a.2"}) == {"a.2": "a.2"}
    assert match(new, old) == {}, "an id that was only given says nothing"


def test_numbers_that_moved_on_do_not_mislead() -> None:
    """Somebody put a rule in as number 2 and renumbered the rest by hand, and reworded the old number 3."""
    new = {
        "a.1": OLD["a.1"],
        "a.2": "Contractors have worked for their client if one contract lasted six months.",
        "a.3": OLD["a.2"],
        "a.4": "A remote job has no workplace at all, so distance never matters for it.",
        "a.5": OLD["a.4"],
    }
    assert match(new, OLD, set(new)) == {"a.1": "a.1", "a.3": "a.2", "a.4": "a.3", "a.5": "a.4"}


def test_between_the_same_neighbours_less_is_enough() -> None:
    # 6 of 13 and 14 words in common, in order (a remote job so distance not): 2 * 6 / 27 = 0.44.
    changed = "A fully remote job is graded by its country alone, so distance is not read."
    new = {"n.1": OLD["a.2"], "n.2": changed, "n.3": OLD["a.4"]}
    assert match(new, OLD) == {"n.1": "a.2", "n.2": "a.3", "n.3": "a.4"}
    # Elsewhere it is a new rule.
    assert match({"n.1": changed, "n.2": OLD["a.2"], "n.3": OLD["a.4"]}, OLD) == {"n.2": "a.2", "n.3": "a.4"}


def test_a_text_that_is_there_twice() -> None:
    old = {"a.1": "Same.", "a.2": "Other.", "a.3": "Same."}
    assert match({"a.3": "Same.", "n.2": "Same."}, old, {"a.3"}) == {"a.3": "a.3", "n.2": "a.1"}


def test_texts_without_blanks_between_words() -> None:
    assert match(
        {"n.1": "遠隔の仕事に距離は関係しない。"}, {"a.1": "遠隔の仕事に距離は問題でない。", "a.2": "趣味"}
    ) == {"n.1": "a.1"}


words = st.lists(
    st.sampled_from(["red", "blue", "green", "one", "two", "three", "far", "near"]), min_size=1, max_size=8
).map(" ".join)


@settings(max_examples=200)
@given(st.lists(words, max_size=6), st.lists(words, max_size=6), st.data())
def test_every_match_is_one_to_one_and_equal_texts_are_always_matched(
    new: list[str], old: list[str], data: st.DataObject
) -> None:
    a, b = ({f"x.{i}": text for i, text in enumerate(texts)} for texts in (new, old))
    written = data.draw(st.sets(st.sampled_from(sorted(a)))) if a else set()
    found = match(a, b, written)
    assert found.keys() <= a.keys()
    assert set(found.values()) <= b.keys()
    assert len(set(found.values())) == len(found)
    for text in set(new):
        both = min(new.count(text), old.count(text))
        assert sum(a[n] == b[o] == text for n, o in found.items()) >= both
    assert match(a, a) == {one: one for one in a} or len(set(new)) < len(new)
