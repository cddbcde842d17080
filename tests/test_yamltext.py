"""YAML to data with lines, and back; what is wrong is said in one sentence with file, line and remedy."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import BadInput
from workbench.identity import Value
from workbench.yamltext import YamlText, dump, validate


class Inner(Value):
    name: str
    size: int = 0


class Outer(Value):
    title: str
    items: tuple[Inner, ...] = ()


def refusal(text: str) -> str:
    def read() -> Outer:
        source = YamlText(text, "f.yaml")
        return validate(Outer, source.data, "f.yaml", source)

    with pytest.raises(BadInput) as caught:
        read()
    assert caught.value.hint.endswith(".")
    assert "\n" not in str(caught.value)
    return caught.value.message


def test_places_have_lines() -> None:
    source = YamlText("title: x\nitems:\n  - name: a\n    size: 1\n  - name: b\n", "f.yaml")
    assert source.data == {"title": "x", "items": [{"name": "a", "size": 1}, {"name": "b"}]}
    assert source.line(("title",)) == 1
    assert source.line(("items",)) == 2
    assert source.line(("items", 0, "size")) == 4
    assert source.line(("items", 1)) == 5
    assert source.line(("items", 1, "size")) == 5  # missing: the line of what should hold it
    assert source.line(()) == 1


def test_times_stay_text() -> None:
    source = YamlText("a: 2026-08-17T09:00:00Z\nb: 2026-08-17\n", "f.yaml")
    assert source.data == {"a": "2026-08-17T09:00:00Z", "b": "2026-08-17"}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("title: x\n\titems: []\n", 2, "not valid YAML"),  # a tab
        ("title: 'x\n", 2, "not valid YAML"),
        ("title: a: b\n", 1, "not valid YAML"),
        ("title: x\ntitle: y\n", 2, "'title' is given twice"),
        ("title: x\nitems:\n- {name: a, name: b}\n", 3, "'name' is given twice"),
        ("title: x\n---\ntitle: y\n", 2, "not valid YAML"),
        ("title: x\n? [a, b]\n: c\n", 2, "a key is a list"),
        ("title: x\nitems: *nothing\n", 2, "not valid YAML"),
        ("title: x\nsize: !!python/object/apply:os.system ['true']\n", 2, "not valid YAML"),
        ("title: x\nsize: !!int abc\n", 2, "'abc' is not a value of its type"),
        ("title: x\nsize: !!bool maybe\n", 2, "'maybe' is not a value of its type"),
        ("title: x\nsize: !!timestamp later\n", 2, "'later' is not a value of its type"),
        ("title: x\nsize: 0b_\n", 2, "'0b_' is not a value of its type"),
        ("title: x\nsize: " + "9" * 5000 + "\n", 2, "is not a value of its type"),
        ("title: x\nsubtitle: \x07\n", 2, "control character '\\x07'"),
        ("title: x\nitems: &loop [*loop]\n", 2, "nested too deeply"),
        ("title: x\nitems: " + "[" * 60 + "]" * 60, 2, "nested too deeply"),
        ("title: x\nunknown: 1\n", 2, "at unknown: this key is not known here"),
        ("items: []\n", 1, "at title: Field required"),
        ("title: x\nitems:\n  - size: 1\n", 3, "at items[1].name: Field required"),
        (
            "title: x\nitems:\n  - name: No\n",
            3,
            "at items[1].name: Input should be a valid string (it is False)",
        ),
        ("title: x\nitems:\n  - name: a\n    size: many\n", 4, "(it is 'many')"),
        ("title: x\nitems: {a: 1}\n", 2, "at items"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, line: int, says: str) -> None:
    message = refusal(text)
    assert message.startswith(f"f.yaml, line {line}")
    assert says in message


@pytest.mark.parametrize("text", ["", "  \n# only a comment\n"])
def test_an_empty_document(text: str) -> None:
    assert refusal(text) == "f.yaml is empty."


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words\n", "4\n", "~\n"])
def test_a_document_without_keys(text: str) -> None:
    assert refusal(text) == "f.yaml is not a document with keys."


def test_thousands_of_brackets_are_refused_like_any_nesting() -> None:
    assert "nested too deeply" in refusal("title: " + "[" * 5000)


def test_aliases_of_aliases_are_refused_at_once() -> None:
    # The "billion laughs": nine lines that stand for 9**9 = 387 million texts.
    lines = ["title: x", 'l0: &l0 ["ha", "ha", "ha", "ha", "ha", "ha", "ha", "ha", "ha"]']
    lines += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 9)]
    began = time.monotonic()
    message = refusal("\n".join(lines) + "\n")
    assert "more than 200,000 values" in message
    assert message.startswith("f.yaml, line ")
    assert time.monotonic() - began < 20  # bounded; written out it would run for hours


def test_merged_aliases_are_bounded_too() -> None:
    lines = ["title: x", "m0: &m0 {a: 1}"]
    lines += [f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 9)}]}}" for i in range(1, 9)]
    assert "more than 200,000 values" in refusal("\n".join(lines) + "\n")


def test_a_plain_alias_is_read() -> None:
    assert YamlText("a: &x {k: 1}\nb: *x\n", "f.yaml").data == {"a": {"k": 1}, "b": {"k": 1}}


def test_the_hint_counts_the_other_problems_and_names_quotes() -> None:
    with pytest.raises(BadInput) as caught:
        validate(Outer, {"x": 1, "y": 2}, "f.yaml")
    assert caught.value.message == "f.yaml at title: Field required."
    assert caught.value.hint == "There are 2 more after it."
    with pytest.raises(BadInput) as caught:
        validate(Outer, {"title": True}, "f.yaml")
    assert "Put quotes around it" in caught.value.hint


def test_a_long_wrong_value_is_shown_in_short() -> None:
    with pytest.raises(BadInput) as caught:
        validate(Outer, {"title": ["long"] * 10_000}, "f.yaml")
    assert len(caught.value.message) < 200


# Everything that YAML can hold: no lone surrogates; control characters come back from escapes.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text(
    " \t\n\r\x85\u2028\u2029\ufeff\x00a:#-'\"|>0", max_size=8
)
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(trees)
def test_what_is_dumped_is_read_back_equal(tree: Any) -> None:
    assert YamlText(dump({"a": tree}), "f.yaml").data == {"a": tree}


def test_dump_keeps_the_order_of_keys_and_writes_lines_as_lines() -> None:
    assert dump({"b": "one\ntwo\n", "a": "None", "c": "No"}) == "b: |\n  one\n  two\na: None\nc: 'No'\n"
