"""Golden sets in the store: members and splits, append-only labels, frozen snapshots, search."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from workbench.errors import NotFound, Refused
from workbench.golden import UNRATEABLE, GoldenSet, Label, Pair, Split, label_table, settle
from workbench.store import Store

START = datetime(2026, 1, 1, 9, tzinfo=UTC)


def pair(query: str, document: str = "d", **meta: str) -> Pair:
    return Pair(query={"wish": query}, document={"title": document}, meta=meta)


def label(some: Pair, grade: int, labeler: str = "ann", minute: int = 0, **more: Any) -> Label:
    at = START + timedelta(minutes=minute)
    return Label(pair_id=some.id, dimension="taste", grade=grade, labeler=labeler, at=at, **more)


@pytest.fixture
def tea(store: Store) -> Store:
    """A store with an empty golden set ``tea``."""
    store.create_golden("tea", "tea-match", description="All teas.")
    return store


def splits_of(store: Store, name: str = "tea") -> dict[str, str]:
    members = store.members(name)
    return dict(zip(members["pair_id"], members["split"], strict=True))


def frozen(store: Store, pairs: list[Pair], number: int = 1, name: str = "tea") -> GoldenSet:
    splits: Any = splits_of(store, name)
    mine = {p.id: splits[p.id] for p in pairs}
    return GoldenSet(
        name, number, "tea-match", tuple(pairs), mine, store.labels(name), description="All teas."
    )


# The set


def test_making_a_set_again_changes_nothing(tea: Store) -> None:
    assert tea.create_golden("tea", "tea-match", description="Other.", holdout=0.9) is False
    info = tea.golden("tea")
    assert (info.policy, info.description, info.holdout, info.pairs, info.labels, info.labelers, info.snapshots) == (
        "tea-match", "All teas.", 0.3, 0, 0, 0, (),
    )  # fmt: skip
    with pytest.raises(Refused, match="'tea' belongs to policy 'tea-match', not 'other'"):
        tea.create_golden("tea", "other")
    assert tea.golden_names() == ["tea"]


def test_a_set_that_is_not_there(tea: Store) -> None:
    with pytest.raises(NotFound, match="Did you mean tea"):
        tea.golden("te")
    with pytest.raises(NotFound):
        tea.add_pairs("te", [pair("a")])


# Pairs and splits


def test_adding_pairs_again_changes_nothing(tea: Store) -> None:
    pairs = [pair(f"q{i}", d, country="DE") for i in range(5) for d in "xy"]
    assert tea.add_pairs("tea", [*pairs, pairs[0]]) == 10  # one is there twice
    before = splits_of(tea)
    assert tea.add_pairs("tea", pairs) == 0
    assert tea.add_pairs("tea", [*pairs[3:], pair("new")]) == 1
    assert before.items() <= splits_of(tea).items()
    assert tea.members("tea")["pair_id"].tolist() == [p.id for p in [*pairs, pair("new")]]
    assert tea.golden("tea").pairs == 11


def test_no_pairs_at_all(tea: Store) -> None:
    assert tea.add_pairs("tea", []) == 0
    assert tea.members("tea").columns.tolist() == ["pair_id", "query_id", "split", "meta"]
    assert tea.pairs([]) == {}


def test_pairs_come_back_equal_with_the_metadata_of_their_set(tea: Store) -> None:
    odd = Pair(
        query={"wish": "ä 漢 🍵 \x00 \u2028 ' \" \\ %", "half": "\ud83d"},
        document={"title": ""},
        meta={"k": "v"},
    )
    tea.add_pairs("tea", [odd])
    tea.create_golden("other", "tea-match")
    tea.add_pairs("other", [odd.model_copy(update={"meta": {"k": "w"}})])
    assert tea.pairs([odd.id, "pair-unknown"], "tea") == {odd.id: odd}
    assert tea.pairs([odd.id], "other")[odd.id].meta == {"k": "w"}
    assert tea.pairs([odd.id])[odd.id].meta == {}
    assert tea.pairs([odd.id])[odd.id].id == odd.id


def test_a_long_list_of_ids_is_fetched_in_parts(tea: Store) -> None:
    pairs = [pair(f"q{i}") for i in range(1203)]
    assert tea.add_pairs("tea", pairs) == 1203
    assert list(tea.pairs([p.id for p in pairs], "tea").values()) != []
    assert len(tea.pairs([p.id for p in pairs])) == 1203


def test_a_query_stays_on_its_side_whatever_comes_later(tea: Store) -> None:
    tea.add_pairs("tea", [pair(f"q{i}") for i in range(10)])
    before = tea.query_splits("tea")
    assert sorted(before.values()).count("holdout") == 3  # 0.3 of ten
    more = [pair(f"q{i}", "another") for i in range(10)]
    other_side: dict[str, Split] = {
        p.id: "dev" if before[p.query_id] == "holdout" else "holdout" for p in more[:5]
    }
    tea.add_pairs("tea", more[:5], other_side)  # a file that says otherwise does not move a query
    tea.add_pairs("tea", more[5:])
    assert tea.query_splits("tea") == before
    assert all(before[p.query_id] == splits_of(tea)[p.id] for p in more)


def test_splits_that_are_given_are_kept_for_new_queries(tea: Store) -> None:
    pairs = [pair(f"q{i}") for i in range(4)]
    given: dict[str, Split] = {p.id: "holdout" for p in pairs}
    tea.add_pairs("tea", pairs, given)
    assert splits_of(tea) == given


def test_a_set_that_grows_one_query_at_a_time_has_its_holdout(tea: Store) -> None:
    for i in range(20):
        tea.add_pairs("tea", [pair(f"q{i}")])
    assert list(tea.query_splits("tea").values()).count("holdout") == 6  # 0.3 of twenty


def test_the_share_holds_in_each_stratum(store: Store) -> None:
    store.create_golden("s", "tea-match", holdout=0.5, stratify="country")
    for part in range(2):
        store.add_pairs("s", [pair(f"{part} {c} {i}", country=c) for c in ("DE", "SE") for i in range(4)])
    members = store.members("s")
    held = members[members["split"] == "holdout"]["meta"].map(lambda meta: meta["country"])
    assert held.value_counts().to_dict() == {"DE": 4, "SE": 4}


# Labels


def test_labels_are_only_ever_added(tea: Store) -> None:
    p = pair("a")
    tea.add_pairs("tea", [p])
    assert tea.add_labels("tea", [label(p, 1)]) == 1
    assert tea.add_labels("tea", [label(p, 3, minute=1)]) == 1  # a change of mind
    assert tea.labels("tea")["grade"].tolist() == [1, 3]
    assert settle(tea.labels("tea"), "taste", [p.id]).tolist() == [3]


def test_a_label_that_says_the_same_again_is_not_added(tea: Store) -> None:
    p = pair("a")
    tea.add_pairs("tea", [p])
    first = label(p, 1, note="dark")
    assert tea.add_labels("tea", [first]) == 1
    mark = tea.labels_mark("tea")
    assert tea.add_labels("tea", [first]) == 0
    assert tea.add_labels("tea", [label(p, 1, minute=5, note="dark")]) == 0  # a double click
    assert tea.labels_mark("tea") == mark
    assert tea.add_labels("tea", [label(p, 1, minute=6, note="darker")]) == 1
    assert tea.add_labels("tea", [label(p, 1, "bob", 7, note="darker")]) == 1
    assert tea.labels_mark("tea") > mark


def test_a_recheck_is_added_when_that_is_asked_for(tea: Store) -> None:
    p = pair("a")
    tea.add_pairs("tea", [p])
    tea.add_labels("tea", [label(p, 1)])
    assert tea.add_labels("tea", [label(p, 1, minute=9)], repeated=True) == 1
    assert tea.add_labels("tea", [label(p, 1, minute=9)], repeated=True) == 0  # the very same row


def test_importing_a_history_again_changes_nothing(tea: Store) -> None:
    p, q = pair("a"), pair("b")
    tea.add_pairs("tea", [p, q])
    history = [label(p, 1), label(p, 3, minute=1), label(p, UNRATEABLE, minute=2), label(q, 0, "bob")]
    assert tea.add_labels("tea", history) == 4
    assert tea.add_labels("tea", history) == 0
    assert tea.add_labels("tea", label_table(history)) == 0
    assert tea.labels("tea")["grade"].tolist() == [1, 3, UNRATEABLE, 0]


def test_labels_come_back_equal(tea: Store) -> None:
    p = pair("a")
    tea.add_pairs("tea", [p])
    at = datetime.fromisoformat("2026-03-01T12:00:00.000123+05:30")
    table = label_table([label(p, 2, note="ä\n\u2028", source="adjudicated").model_copy(update={"at": at})])
    tea.add_labels("tea", table)
    pd.testing.assert_frame_equal(tea.labels("tea"), table)
    pd.testing.assert_frame_equal(tea.labels("tea", pair_id=p.id), table)
    pd.testing.assert_frame_equal(tea.labels("tea", pair_ids=[p.id, "x"]), table)
    assert tea.labels("tea", pair_id="x").empty
    assert tea.labels("tea", pair_ids=[]).empty


def test_what_no_database_keeps_is_replaced_in_notes(tea: Store) -> None:
    p = pair("a")
    tea.add_pairs("tea", [p])
    tea.add_labels("tea", [label(p, 2, note="nul \x00, half \ud83d.")])
    assert tea.labels("tea")["note"].tolist() == ["nul �, half �."]


def test_a_label_of_a_pair_that_is_not_in_the_set_is_refused_with_all_others(tea: Store) -> None:
    p = pair("a")
    tea.add_pairs("tea", [p])
    with pytest.raises(
        NotFound, match=f"1 labelled pairs are not in golden set 'tea', the first is {pair('b').id}"
    ):
        tea.add_labels("tea", [label(p, 1), label(pair("b"), 1)])
    assert tea.labels("tea").empty


def test_counts_of_labels(tea: Store) -> None:
    p, q = pair("a"), pair("b")
    tea.add_pairs("tea", [p, q])
    body = label(q, 2, "bob").model_copy(update={"dimension": "body"})
    tea.add_labels("tea", [label(p, 1), label(p, 2, minute=1), label(q, 2, "bob"), body])
    info = tea.golden("tea")
    assert (info.labels, info.labelers) == (4, 2)
    counts = tea.label_counts("tea", ["taste", "body"]).sort_values("labeler")
    assert counts[["labeler", "dimensions"]].values.tolist() == [["ann", 1], ["bob", 2]]
    assert tea.add_labels("tea", []) == 0
    assert tea.labels_mark("nothing") == 0


# Search

TEXTS = [
    "Grüner Tee", "GRÜNER TEE", "100% Assam", "100 Assam", 'the "best" leaf', "the best leaf", "back\\slash", "a_b", "axb",
    "a/b", "漢字茶", "cafe\u0301", "two\nlines", "emoji 🍵 cup",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grüner", [0, 1]),
        ("GRÜN", [0, 1]),
        ("ü", [0, 1]),
        ("ner tee", [0, 1]),
        ("%", [2]),
        ("0%", [2]),
        ("100", [2, 3]),
        ('"best"', [4]),
        ("best", [4, 5]),
        ("back\\slash", [6]),
        ("\\", [6]),
        ("a_b", [7]),
        ("_", [7]),
        ("a/b", [9]),
        ("字", [10]),
        ("café", [11]),  # the one code point finds the two
        ("o\nl", [12]),
        ("🍵", [13]),
        ("wish", []),  # the name of a field is no text of a pair
        ('": "', []),
        ("u00fc", []),
        ("ä", []),
        ("nothing like it", []),
        ("doc", []),
        ("document 3", [3]),
    ],
)
def test_search_finds_texts_as_they_are_read(tea: Store, text: str, expected: list[int]) -> None:
    pairs = [
        Pair(query={"wish": t}, document={"title": f"document {i}"} if i == 3 else {"title": ""})
        for i, t in enumerate(TEXTS)
    ]
    tea.add_pairs("tea", pairs)
    tea.create_golden("other", "tea-match")
    tea.add_pairs("other", [pair("Grüner Tee, 100% 🍵")])
    if text == "doc":
        expected = [3]
    found = tea.search_pairs("tea", text)
    assert [[p.id for p in pairs].index(pair_id) for pair_id in found] == expected


def test_search_for_nothing_finds_all_in_their_order(tea: Store) -> None:
    pairs = [pair(t) for t in ("b", "a", "c")]
    tea.add_pairs("tea", pairs)
    assert tea.search_pairs("tea", "") == [p.id for p in pairs]


# Snapshots


def test_a_snapshot_does_not_change_when_the_set_grows(tea: Store) -> None:
    pairs = [pair(f"q{i}", country="DE") for i in range(4)]
    tea.add_pairs("tea", pairs)
    tea.add_labels("tea", [label(p, 1, note="ä") for p in pairs])
    golden = frozen(tea, pairs)
    assert tea.add_snapshot(golden, author="ann", message="first") is True
    tea.add_labels("tea", [label(p, 4, minute=1) for p in pairs])
    tea.add_pairs("tea", [pair("later")])
    again = tea.snapshot("tea")
    assert again.content_hash == golden.content_hash == tea.snapshot_hash("tea", 1)
    assert again.pairs == golden.pairs
    assert again.splits == golden.splits
    pd.testing.assert_frame_equal(again.labels, golden.labels)
    assert (again.label, again.policy, again.description) == ("tea v1", "tea-match", "All teas.")
    assert len(tea.labels("tea")) == 8


def test_metadata_of_a_snapshot_is_its_own(tea: Store) -> None:
    old, new = pair("q", country="DE"), pair("q", country="SE")
    tea.add_pairs("tea", [old])
    tea.add_snapshot(frozen(tea, [old]), author="ann", message="")
    second = frozen(tea, [new], 2)  # as read from somebody's files
    tea.add_snapshot(second, author="bob", message="")
    assert tea.snapshot("tea", 1).pairs[0].meta == {"country": "DE"}
    assert tea.snapshot("tea", 2).pairs[0].meta == {"country": "SE"}
    assert tea.snapshot("tea", 2).content_hash == second.content_hash


def test_publishing_a_snapshot_again_changes_nothing_and_other_content_is_refused(tea: Store) -> None:
    pairs = [pair(f"q{i}") for i in range(3)]
    tea.add_pairs("tea", pairs)
    one = frozen(tea, pairs)
    assert tea.add_snapshot(one, author="ann", message="first") is True
    assert tea.add_snapshot(one, author="bob", message="again") is False
    with pytest.raises(Refused, match="tea v1 is already published with other content"):
        tea.add_snapshot(frozen(tea, pairs[:2]), author="bob", message="other")
    assert tea.snapshot("tea").content_hash == one.content_hash
    assert [e["what"] for e in tea.events()] == ["published golden set"]
    assert [(s.version, s.message, s.author, s.pairs, s.labels) for s in tea.snapshots("tea")] == [
        (1, "first", "ann", 3, 0)
    ]


def test_the_newest_snapshot_is_the_one_with_the_highest_number(tea: Store) -> None:
    pairs = [pair(f"q{i}") for i in range(11)]
    tea.add_pairs("tea", pairs)
    for number in (2, 10, 1):
        tea.add_snapshot(frozen(tea, pairs[:number], number), author="ann", message="")
    assert tea.snapshot("tea").version == 10
    assert tea.golden("tea").snapshots == (1, 2, 10)
    assert [s.version for s in tea.snapshots("tea")] == [10, 2, 1]


def test_a_snapshot_that_is_not_there(tea: Store) -> None:
    with pytest.raises(NotFound, match="is not published yet"):
        tea.snapshot("tea")
    tea.add_snapshot(frozen(tea, []), author="ann", message="empty")
    assert tea.snapshot("tea").pairs == ()
    assert tea.snapshot("tea").content_hash == tea.snapshot_hash("tea", 1)
    with pytest.raises(NotFound, match=r"has no version 3\. There is: v1"):
        tea.snapshot("tea", 3)
    assert tea.snapshot_hash("tea", 3) is None
