"""Canonical JSON and tagged hashes: the same content has the same id everywhere."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.golden import Pair
from workbench.identity import canonical_json, content_hash

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def turned(value: Any) -> Any:
    """The same value with the keys of all mappings in reverse order."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(item) for item in value] if isinstance(value, list) else value


def normalised(value: Any, form: Any) -> Any:
    if isinstance(value, dict):
        return {unicodedata.normalize(form, k): normalised(v, form) for k, v in value.items()}
    if isinstance(value, list):
        return [normalised(item, form) for item in value]
    return unicodedata.normalize(form, value) if isinstance(value, str) else value


def test_canonical_json_is_compact_sorted_and_unescaped() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "ä"}) == '{"a":"ä","b":[1,2.5,null]}'


@given(json_values)
def test_the_order_of_keys_does_not_count(value: Any) -> None:
    try:
        expected = canonical_json(value)
    except ValueError:
        return  # two keys that are one text in NFC: refused, see below
    assert canonical_json(turned(value)) == expected


@given(json_values)
def test_both_unicode_forms_give_the_one_text(value: Any) -> None:
    composed = normalised(value, "NFC")
    text = canonical_json(composed)
    assert canonical_json(normalised(composed, "NFD")) == text
    assert json.loads(text) == composed  # and nothing is lost


def test_keys_are_sorted_after_normalisation() -> None:
    # "é" in two code points sorts before "f", in one code point after it: the text must not depend on that.
    decomposed = {"e\u0301": 1, "f": 2}
    assert canonical_json(decomposed) == canonical_json({"\u00e9": 1, "f": 2}) == '{"f":2,"\u00e9":1}'


def test_two_keys_that_are_one_text_are_refused() -> None:
    with pytest.raises(ValueError, match="same text"):
        canonical_json({"e\u0301": 1, "\u00e9": 2})


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), [-float("inf")], {"a": {1, 2}}, object(), {("a",): 1}]
)
def test_what_json_does_not_know_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(value)


def test_endless_nesting_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(deep)


def test_the_hash_is_sha256_over_tag_and_text() -> None:
    expected = hashlib.sha256(b'thing\n{"a":1}').hexdigest()[:32]
    assert content_hash("thing", {"a": 1}) == f"thing-{expected}"


def test_tags_keep_kinds_apart() -> None:
    one, two = content_hash("pair", {"a": 1}), content_hash("policy", {"a": 1})
    assert one.split("-")[1] != two.split("-")[1]


def test_half_a_surrogate_pair_has_a_hash_too() -> None:
    assert content_hash("pair", "\ud800") != content_hash("pair", "\ud801")


def test_a_pair_is_its_fields_in_any_order_and_without_metadata() -> None:
    pair = Pair(query={"a": "1", "b": "2"}, document={"t": "é"})
    same = Pair(query={"b": "2", "a": "1"}, document={"t": "e\u0301"}, meta={"country": "DE"})
    assert (same.id, same.query_id) == (pair.id, pair.query_id)
    assert pair.id.startswith("pair-")
    assert pair.query_id.startswith("query-")


def test_each_part_of_a_pair_counts() -> None:
    pair = Pair(query={"a": "1"}, document={"t": "2"})
    others = [
        Pair(query={"a": "1 "}, document={"t": "2"}),
        Pair(query={"b": "1"}, document={"t": "2"}),
        Pair(query={"a": "1"}, document={"t": "3"}),
        Pair(query={"t": "2"}, document={"a": "1"}),  # the sides do not commute
    ]
    assert len({pair.id, *(other.id for other in others)}) == 5
    assert others[2].query_id == pair.query_id
