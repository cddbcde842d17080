"""Candidates: neighbours and random ones, and the files that they are read from."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from workspace_samples import version

from workbench.backbone import minilm_available
from workbench.dataset_pool import DRAWN, chosen_neighbours, joined, product_pairs
from workbench.dataset_sources import distinct, pairs_from_file, texts_from_file
from workbench.errors import BadInput, NotFound, Unavailable
from workbench.golden import Pair

LAYOUT = version(1).pair
QUERIES = [{"wishes": "smoke and tar"}, {"wishes": "green mint"}]
TEAS = [
    {"title": "Lapsang", "notes": "smoke and tar over pine"},
    {"title": "Sencha", "notes": "green leaf"},
    {"title": "Moroccan", "notes": "green tea with mint"},
    {"title": "Assam", "notes": "malt"},
    {"title": "Darjeeling", "notes": "light"},
]


def pool(queries: list[dict[str, str]], **more: object) -> list[Pair]:
    values: dict[str, object] = {"near": 2, "random": 2, "neighbours": "words"} | more
    return list(product_pairs(queries, TEAS, LAYOUT, **values))  # type: ignore[arg-type]


def test_the_nearest_come_first_then_others_at_random() -> None:
    pairs = pool(QUERIES)
    assert len({pair.id for pair in pairs}) == 8
    titles = [(pair.document["title"], pair.meta[DRAWN]) for pair in pairs[4:]]
    # Both words of the second query are in Moroccan, one is in Sencha.
    assert titles[:2] == [("Moroccan", "near"), ("Sencha", "near")]
    assert {how for _, how in titles[2:]} == {"random"}
    assert {title for title, _ in titles[2:]} < {"Lapsang", "Assam", "Darjeeling"}
    assert pairs[0].document["title"] == "Lapsang"


def test_a_query_has_the_same_pairs_whatever_others_there_are() -> None:
    assert pool(QUERIES)[4:] == pool([QUERIES[1]])
    assert pool(QUERIES) == pool(QUERIES)
    drawn = {seed: [p.document["title"] for p in pool(QUERIES, near=0, seed=seed)] for seed in range(5)}
    assert len({tuple(titles) for titles in drawn.values()}) > 1


def test_counts_are_held_to_what_there_is() -> None:
    found = pool(QUERIES, near=3, random=100)
    assert Counter(p.meta[DRAWN] for p in found) == {"near": 6, "random": 4}
    assert len(pool(QUERIES, near=100, random=100)) == 10
    assert {p.meta[DRAWN] for p in pool(QUERIES, near=0, random=1)} == {"random"}
    assert list(product_pairs(QUERIES, [], LAYOUT, near=1, random=1, neighbours="words")) == []
    # Documents without a word have no neighbours by words: the first ones are as near as any.
    blank = [{"title": "?"}, {"title": "!"}]
    assert len(list(product_pairs(QUERIES, blank, LAYOUT, near=1, random=0, neighbours="words"))) == 2


@pytest.mark.skipif(not minilm_available(), reason="the offline extra is not installed")
def test_minilm_finds_what_shares_no_word(tmp_path: Path) -> None:
    found = list(
        product_pairs(
            [{"wishes": "something for puppies"}],
            [{"title": "steel screws"}, {"title": "dog food"}, {"title": "office chair"}],
            LAYOUT,
            near=1,
            random=0,
            neighbours="minilm",
            cache=tmp_path,
        )
    )
    assert [pair.document["title"] for pair in found] == ["dog food"]
    assert list(tmp_path.glob("embeddings-*.sqlite")) != []


def test_near_is_measured_by_some_fields() -> None:
    # The title of Sencha is the whole of this wish, and its notes are near nothing in it; by notes, Moroccan wins.
    asked = [{"wishes": "Sencha with mint", "mood": "green"}]
    assert pool(asked, near=1, random=0)[0].document["title"] == "Moroccan"
    assert pool(asked, near=1, random=0, compare=("title",))[0].document["title"] == "Sencha"
    with pytest.raises(NotFound, match=r"No field of the pair is called 'titel'.*title"):
        pool(asked, compare=("titel",))


def test_minilm_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.dataset_pool.minilm_available", lambda: False)
    assert chosen_neighbours("auto") == "words"
    with pytest.raises(Unavailable, match="not installed"):
        chosen_neighbours("minilm")


def test_texts_are_joined_in_the_order_of_the_policy() -> None:
    assert joined(LAYOUT.document, {"notes": "b", "title": "a"}) == "a\nb"
    assert joined(LAYOUT.document, {"notes": "b", "title": " "}) == "b"


def test_pairs_are_read_with_columns_of_our_exports(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(
        "query_wishes,query_mood,document_title,meta_shop,other\nsmoky,,Lapsang,corner,x\nminty,calm,Moroccan,,y\n"
    )
    pairs, source = pairs_from_file(tmp_path, "p.csv", LAYOUT, {}, {})
    assert pairs == [
        Pair(query={"wishes": "smoky"}, document={"title": "Lapsang"}, meta={"shop": "corner"}),
        Pair(query={"wishes": "minty", "mood": "calm"}, document={"title": "Moroccan"}),
    ]
    assert (source.name, source.rows, source.content_hash[:5]) == ("p.csv", 2, "file-")


def test_columns_are_named_in_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"q": "smoky", "t": "Lapsang"}\n')
    pairs, _ = pairs_from_file(tmp_path, "p.jsonl", LAYOUT, {"wishes": "q"}, {"title": "t"})
    assert pairs == [Pair(query={"wishes": "smoky"}, document={"title": "Lapsang"})]
    with pytest.raises(NotFound, match=r"No column of p\.jsonl is called 'tt'.*Did you mean t\?"):
        pairs_from_file(tmp_path, "p.jsonl", LAYOUT, {"wishes": "q"}, {"title": "tt"})
    with pytest.raises(NotFound, match=r"No field of the guest is called 'wish'.*wishes"):
        pairs_from_file(tmp_path, "p.jsonl", LAYOUT, {"wish": "q"}, {"title": "t"})
    with pytest.raises(BadInput, match=r"no column for a field of the guest.*query_wishes, query_mood"):
        pairs_from_file(tmp_path, "p.jsonl", LAYOUT, {}, {})
    with pytest.raises(NotFound, match=r"none\.csv"):
        pairs_from_file(tmp_path, "none.csv", LAYOUT, {}, {})


def test_each_text_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("title,notes\nB,x\nA,y\nB,x\n ,\nB,z\n")
    found, source = texts_from_file(tmp_path, "t.csv", LAYOUT.document, {})
    assert found == [{"title": "B", "notes": "x"}, {"title": "A", "notes": "y"}, {"title": "B", "notes": "z"}]
    assert source.rows >= 4
    assert distinct([{}, {"title": " "}]) == []
