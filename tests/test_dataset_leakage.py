"""What is kept out of a training set, and under which reason it is counted."""

from __future__ import annotations

from dataset_samples import teas

from workbench.dataset_leakage import Holdout, counted, leaks, surplus
from workbench.golden import Pair

HELD = Pair(
    query={"wishes": "a strong smoky tea for long winter evenings by the open fire at home"},
    document={"title": "Lapsang", "notes": "dried over pine and oak wood in the mountains of the far south"},
)
HOLDOUT = Holdout.of([HELD])
FRESH = {"title": "Sencha", "notes": "green"}


def one(query: str, **document: str) -> Pair:
    return Pair(query={"wishes": query}, document=document or FRESH)


def test_each_way_to_leak_has_its_reason() -> None:
    query = HELD.query["wishes"]
    pool = [
        HELD,
        Pair(query=HELD.query, document=FRESH),
        # 13 bigrams each, the last one differs: 12 common of 14, 0.857.
        one(query.replace("home", "sea")),
        one("Mint, please."),
        Pair(query={"wishes": "mint"}, document=HELD.document),
        # Other case and punctuation: the same words in the same order, so another id and similarity 1.
        Pair(query={"wishes": query.upper() + "!"}, document=HELD.document),
    ]
    found = leaks(pool, HOLDOUT)
    assert found.reasons == {
        0: "holdout pair",
        1: "query of the holdout",
        2: "near a query of the holdout",
        5: "near a query of the holdout",
    }
    assert found.near_documents == {0, 4, 5}
    assert leaks(pool, HOLDOUT, documents="drop").reasons[4] == "near a document of the holdout"
    # 0.857 is below 0.9; the copy with other signs is found whatever the threshold.
    assert set(leaks(pool, HOLDOUT, threshold=0.9).reasons) == {0, 1, 5}
    assert set(leaks(pool, HOLDOUT, threshold=None).reasons) == {0, 1, 2, 5}
    assert counted(found.reasons.values())["near a query of the holdout"] == 2


def test_nothing_is_held_out() -> None:
    found = leaks([HELD], Holdout.of([]))
    assert (found.reasons, found.near_documents) == ({}, frozenset())


def test_texts_without_words_are_like_nothing() -> None:
    blank = Pair(query={"wishes": "?"}, document={"title": "!"})
    assert leaks([one("...")], Holdout.of([blank])).reasons == {}
    assert surplus([blank, one("x")]) == {0: "no text"}


def test_the_first_of_its_like_stays() -> None:
    long = "first flush of the upper garden picked by hand in april and dried in the shade"  # 16 words
    pool = [
        one("smoky", title=long),
        one("smoky", title=long),
        one("Smoky!", title=long.replace("shade", "sun")),  # 14 bigrams of 16 in common: 0.875
        one("minty", title=long),  # the same document under another query is another pair
        one("smoky", title="short"),
    ]
    assert surplus(pool) == {1: "same pair twice", 2: "near-duplicate in the pool"}
    assert surplus(pool, None) == {1: "same pair twice"}


def test_the_sample_holds_no_near_duplicates() -> None:
    """What other tests count on."""
    pairs = teas()
    assert surplus(pairs) == {}
    assert leaks(pairs[:-8], Holdout.of(pairs[-8:])).reasons == {}
