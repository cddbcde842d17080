"""Near-duplicates: both sides by exact Jaccard of word pairs, groups that cross splits first."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.golden import Pair, Split
from workbench.near_duplicates import (
    DuplicateGroup,
    bands,
    jaccard,
    near_duplicates,
    near_texts,
    shingles,
    side_text,
)

WORDS = [f"w{i}" for i in range(200)]


def text(count: int, *, changed: int | None = None, start: int = 0) -> str:
    """``count`` different words, one of them another word."""
    words = WORDS[start : start + count]
    if changed is not None:
        words[changed] = "other"
    return " ".join(words)


def pair(query: str, document: str) -> Pair:
    return Pair(query={"wish": query}, document={"title": document})


def found(pairs: list[Pair], holdout: tuple[int, ...] = (), **more: float) -> list[DuplicateGroup]:
    splits: dict[str, Split] = {p.id: "holdout" if i in holdout else "dev" for i, p in enumerate(pairs)}
    return list(near_duplicates(pairs, splits, **more))  # type: ignore[arg-type]


def test_shingles_are_runs_of_words() -> None:
    assert shingles("a b c a b", 2) == {"a b", "b c", "c a"}
    assert shingles("a", 2) == {"a"}
    assert shingles("", 2) == frozenset()
    assert side_text({"b": "Two, 2!", "a": "ONE"}) == "one two 2"


def test_jaccard_is_the_common_share() -> None:
    assert jaccard(frozenset("abc"), frozenset("bcd")) == 2 / 4
    assert jaccard(frozenset(), frozenset()) == 0


def test_bands_reach_the_recall_with_the_most_rows() -> None:
    # At 0.8: 6 rows, 128 // 6 = 21 bands: 1 - (1 - 0.8^6)^21 = 1 - 0.7379^21 = 0.998. 7 rows, 18 bands:
    # 1 - (1 - 0.2097)^18 = 0.986, below 0.995.
    assert bands(0.8) == (21, 6)
    assert bands(1.0) == (1, 128)
    assert bands(0.01) == (128, 1)


@pytest.mark.parametrize(("words", "near"), [(20, True), (18, False)])
def test_one_changed_word_of_twenty_is_near(words: int, near: bool) -> None:
    # 20 words are 19 runs of two; a word in the middle is in two of them: 17 / 21 = 0.81. 18 words: 15 / 19 = 0.79.
    one, other = text(words), text(words, changed=9)
    groups = found([pair("tea", one), pair("tea", other)])
    assert bool(groups) is near
    assert near is (jaccard(shingles(one, 2), shingles(other, 2)) >= 0.8)
    if near:
        assert groups[0].similarity == pytest.approx(17 / 21)


def test_the_threshold_can_be_moved() -> None:
    pairs = [pair("tea", text(18)), pair("tea", text(18, changed=9))]
    assert len(found(pairs, threshold=0.78)) == 1
    with pytest.raises(ValueError, match="similarity above 0"):
        found(pairs, threshold=0)
    with pytest.raises(ValueError, match="at least one word"):
        found(pairs, shingle=0)


def test_a_long_shared_query_does_not_make_documents_alike() -> None:
    query = text(100)
    assert found([pair(query, "green tea"), pair(query, "black tea"), pair(query, "a pot")]) == []


def test_a_shared_document_does_not_make_queries_alike() -> None:
    assert found([pair("calm", text(50)), pair("wide awake", text(50))], holdout=(1,)) == []


def test_case_spaces_and_marks_do_not_count() -> None:
    one, other = pair("Green tea", "Sencha, 100 g"), pair("green  tea!", "sencha 100 g")
    assert one.id != other.id
    assert found([one, other])[0].similarity == 1


def test_groups_that_cross_splits_come_first() -> None:
    same = [pair("x", "one two three"), pair("x", "One two three"), pair("x", "one, two three")]
    leak = [pair("y", text(40)), pair("Y", text(40, changed=20)), pair("alone", "z")]
    groups = found([*same, *leak], holdout=(4,))
    assert [g.crosses for g in groups] == [True, False]
    assert groups[0].pair_ids == (leak[0].id, leak[1].id)
    assert groups[0].splits == ("dev", "holdout")
    assert groups[0].closest == (leak[0].id, leak[1].id)
    # 39 runs of two words, two of them changed: 37 / 41.
    assert groups[0].similarity == pytest.approx(37 / 41)
    assert groups[1].pair_ids == tuple(p.id for p in same)


def test_the_closest_two_of_a_crossing_group_are_of_both_splits() -> None:
    # The first two are equal but for case, and both dev.
    pairs = [pair("y", text(40)), pair("Y", text(40)), pair("y!", text(40, changed=20))]
    group = found(pairs, holdout=(2,))[0]
    assert group.closest == (pairs[0].id, pairs[2].id)


def test_a_chain_is_one_group() -> None:
    # 60 words shifted by 4: 59 runs each, 55 common: 55 / 63 = 0.87; shifted by 8: 51 / 67 = 0.76.
    texts = [text(60), text(60, start=4), text(60, start=8)]
    assert len(set(near_texts(texts))) == 1
    assert len(set(near_texts([texts[0], texts[2]]))) == 2


def test_texts_without_words_are_like_nothing() -> None:
    assert len(set(near_texts(["", "", "a"]))) == 3
    assert found([pair("tea", "!"), pair("tea", "?")]) == []
    assert near_texts([]) == []
    assert found([]) == []


@settings(max_examples=25)
@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=12).map(" ".join), max_size=12))
def test_groups_are_those_of_comparing_every_two(texts: list[str]) -> None:
    near = [[jaccard(shingles(a, 2), shingles(b, 2)) >= 0.8 for b in texts] for a in texts]
    group = list(range(len(texts)))
    for _ in texts:  # spread the lowest number along every near pair until nothing changes
        group = [min(group[j] for j in range(len(texts)) if near[i][j]) for i in range(len(texts))]
    numbers = near_texts(texts)
    for i in range(len(texts)):
        for j in range(len(texts)):
            assert (numbers[i] == numbers[j]) is (group[i] == group[j])


def test_many_near_texts_are_one_group_in_linear_time() -> None:
    # Each differs from all others in one word of forty: 37 / 41 from the first, 35 / 43 = 0.81 from each other.
    texts = [text(40)] + [f"{text(20)} extra{i} {text(19, start=21)}" for i in range(1500)]
    assert len(set(near_texts(texts))) == 1
