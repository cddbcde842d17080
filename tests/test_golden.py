"""Labels settle into one grade; splits go by query; a snapshot's identity is its content."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from workbench.golden import (
    CONSENSUS_RULES,
    NOT_APPLICABLE,
    NOT_GRADED,
    UNRATEABLE,
    ConsensusRule,
    GoldenSet,
    Label,
    Pair,
    Split,
    adjudicated,
    coverage,
    draw_splits,
    label_table,
    newest,
    settle,
    split_by_query,
    standing,
)
from workbench.golden import votes as golden_votes

NA, UN, NONE = NOT_APPLICABLE, UNRATEABLE, NOT_GRADED
START = datetime(2026, 1, 1, tzinfo=UTC)


def label(
    grade: int, labeler: str, minute: int = 0, *, pair: str = "p", dimension: str = "d", source: str = "human"
) -> Label:
    at = START + timedelta(minutes=minute)
    return Label(pair_id=pair, dimension=dimension, grade=grade, labeler=labeler, at=at, source=source)


def votes_of(*grades: int) -> pd.DataFrame:
    """One vote for the pair p from each of so many people."""
    return label_table(label(grade, f"person{i}", i) for i, grade in enumerate(grades))


@pytest.mark.parametrize(
    ("given_votes", "majority", "median"),
    [
        ([2], 2, 2),
        ([2, 2, 3], 2, 2),
        ([3, 2, 3], 3, 3),
        ([1, 3], 1, 1),  # tie: the lower of the two middle levels
        ([4, 0], 0, 0),
        ([1, 1, 3, 3], 1, 1),
        ([0, 2, 3], 2, 2),  # three ways: the median
        ([0, 4, 4, 0, 2], 2, 2),  # 0 and 4 tie, the median of 0 0 2 4 4 is 2
        ([0, 4, 4, 1, 2], 4, 2),  # 4 has most; the median of 0 1 2 4 4 is 2
        ([NA, NA, 3], NA, NA),
        ([NA, 3], 3, 3),  # tie: the median of the levels given
        ([NA, NA, 1, 1], 1, 1),
        ([NA, NA, 1, 3], NA, 1),  # N/A has most, but not more than half
        ([NA, NA, NA, 1, 3], NA, NA),
        ([NA], NA, NA),
        ([UN, 2], 2, 2),  # unrateable is no vote
        ([UN, UN, NA], NA, NA),
        ([UN, UN, UN, 0, 4], 0, 0),
        ([UN], NONE, NONE),
        ([], NONE, NONE),
    ],
)
def test_votes_settle(given_votes: list[int], majority: int, median: int) -> None:
    table = votes_of(*given_votes)
    assert settle(table, "d", ["p"]).tolist() == [majority]
    assert settle(table, "d", ["p"], rule="median").tolist() == [median]


def test_the_newest_answer_of_a_labeler_is_the_one_that_counts() -> None:
    table = label_table([label(4, "ann", 9), label(1, "ann", 3), label(4, "bob", 1), label(0, "bob", 2)])
    # ann says 4 (minute 9), bob 0 (minute 2): a tie, the lower one
    assert settle(table, "d", ["p"]).tolist() == [0]
    assert newest(table)[["labeler", "grade"]].values.tolist() == [["bob", 0], ["ann", 4]]


def test_of_two_answers_at_the_same_time_the_later_row_counts() -> None:
    assert settle(label_table([label(1, "ann"), label(3, "ann")]), "d", ["p"]).tolist() == [3]


def test_the_newest_adjudication_decides() -> None:
    meeting = label(0, "meeting", 5, source="adjudicated")
    later = label(1, "other meeting", 6, source="adjudicated")
    crowd = [label(4, name, 9) for name in ("ann", "bob", "cem")]
    for rule in CONSENSUS_RULES:
        assert settle(label_table([*crowd, meeting]), "d", ["p"], rule=rule).tolist() == [0]
        assert settle(label_table([later, *crowd, meeting]), "d", ["p"], rule=rule).tolist() == [1]


@pytest.mark.parametrize(("decided", "settled"), [(NA, NA), (UN, NONE)])
def test_an_adjudication_may_say_that_there_is_no_level(decided: int, settled: int) -> None:
    table = label_table([label(3, "ann"), label(decided, "meeting", 1, source="adjudicated")])
    assert settle(table, "d", ["p"]).tolist() == [settled]


def test_a_later_vote_of_the_adjudicator_does_not_undo_the_decision() -> None:
    table = label_table([label(2, "ann", 1, source="adjudicated"), label(4, "ann", 2), label(4, "bob", 3)])
    assert settle(table, "d", ["p"]).tolist() == [2]


def test_other_dimensions_and_pairs_do_not_count_and_the_order_asked_for_is_kept() -> None:
    table = label_table(
        [label(1, "ann", pair="x"), label(2, "ann", pair="y"), label(3, "ann", pair="z"), label(0, "ann", dimension="e", pair="y")]
    )  # fmt: skip
    assert settle(table, "d", ["z", "nobody", "x"]).tolist() == [3, NONE, 1]
    assert settle(table, "f", ["x", "y"]).tolist() == [NONE, NONE]
    assert settle(table, "d", []).tolist() == []


rows = st.lists(
    st.tuples(
        st.sampled_from(["p", "q"]), st.sampled_from(["ann", "bob", "cem"]), st.sampled_from([0, 1, 4, NA, UN, NONE]),
        st.sampled_from(["human", "adjudicated", "import"]),
    ),
    max_size=10,
)  # fmt: skip


@given(rows, st.randoms(use_true_random=False), st.sampled_from(CONSENSUS_RULES))
def test_the_order_of_rows_does_not_count_where_times_differ(
    rows: list[tuple[str, str, int, str]], random: Random, rule: ConsensusRule
) -> None:
    labels = [label(g, who, i, pair=p, source=s) for i, (p, who, g, s) in enumerate(rows)]
    mixed = list(labels)
    random.shuffle(mixed)
    expected = settle(label_table(labels), "d", ["p", "q"], rule=rule)
    assert settle(label_table(mixed), "d", ["p", "q"], rule=rule).tolist() == expected.tolist()


@given(rows, st.permutations(["ann", "bob", "cem"]), st.sampled_from(CONSENSUS_RULES))
def test_who_the_labelers_are_does_not_count(
    rows: list[tuple[str, str, int, str]], names: list[str], rule: ConsensusRule
) -> None:
    renamed = dict(zip(["ann", "bob", "cem"], names, strict=True))
    one = label_table(label(g, who, i, pair=p, source=s) for i, (p, who, g, s) in enumerate(rows))
    other = label_table(label(g, renamed[who], i, pair=p, source=s) for i, (p, who, g, s) in enumerate(rows))
    expected = settle(one, "d", ["p", "q"], rule=rule).tolist()
    assert settle(other, "d", ["p", "q"], rule=rule).tolist() == expected


@given(rows, st.sampled_from([0, 1, 4, NA]), st.sampled_from(CONSENSUS_RULES))
def test_what_was_adjudicated_last_always_wins(
    rows: list[tuple[str, str, int, str]], decided: int, rule: ConsensusRule
) -> None:
    labels = [label(g, who, i, pair=p, source=s) for i, (p, who, g, s) in enumerate(rows)]
    meeting = label(decided, "meeting", 99, source="adjudicated")
    later = [label(4, who, 100) for who in ("ann", "meeting", "dan")]  # votes after it change nothing
    assert settle(label_table([*labels, meeting, *later]), "d", ["p"], rule=rule).tolist() == [decided]


@given(st.lists(st.sampled_from([0, 1, 2, 4, NA, UN]), max_size=9))
def test_one_more_vote_for_what_the_majority_says_does_not_change_it(grades: list[int]) -> None:
    [settled] = settle(votes_of(*grades), "d", ["p"]).tolist()
    if settled != NONE:
        assert settle(votes_of(*grades, settled), "d", ["p"]).tolist() == [settled]


# A labeler takes back what they said


def test_a_withdrawn_label_is_no_vote_and_hides_what_its_labeler_said_before() -> None:
    table = label_table([label(4, "ann", 1), label(1, "bob", 2), label(NONE, "ann", 3)])
    for rule in CONSENSUS_RULES:
        assert settle(table, "d", ["p"], rule=rule).tolist() == [1]
    assert standing(table)[["labeler", "grade"]].values.tolist() == [["bob", 1]]
    again = pd.concat([table, label_table([label(0, "ann", 4)])])
    assert settle(again, "d", ["p"]).tolist() == [0]  # 0 and 1 tie: the lower one


def test_a_pair_whose_labels_are_all_withdrawn_is_not_graded() -> None:
    table = label_table([label(4, "ann", 1), label(NONE, "ann", 2)])
    for rule in CONSENSUS_RULES:
        assert settle(table, "d", ["p"], rule=rule).tolist() == [NONE]


def test_an_adjudication_can_be_withdrawn_and_the_one_before_it_holds_again() -> None:
    first = label(0, "ann", 1, source="adjudicated")
    second = label(1, "bob", 2, source="adjudicated")
    back = label(NONE, "bob", 3, source="adjudicated")
    crowd = [label(4, who, 9) for who in ("cem", "dan")]
    assert settle(label_table([*crowd, first, second]), "d", ["p"]).tolist() == [1]
    assert settle(label_table([*crowd, first, second, back]), "d", ["p"]).tolist() == [0]
    assert settle(label_table([*crowd, second, back]), "d", ["p"]).tolist() == [4]


def test_votes_and_adjudications_are_read_apart() -> None:
    table = label_table(
        [
            label(2, "ann", 1),
            label(3, "ann", 2, source="adjudicated"),
            label(1, "bob", 3, source="adjudicated"),
        ]
    )
    assert golden_votes(table)[["labeler", "grade"]].values.tolist() == [["ann", 2]]
    assert adjudicated(table)[["labeler", "grade"]].values.tolist() == [["bob", 1]]


# Dawid-Skene


def careless(pairs: int = 30) -> list[Label]:
    """Ann and bob agree on every pair (0 and 3 in turns); cem says 0 throughout."""
    return [
        label(g, who, pair=f"t{i}")
        for i in range(pairs)
        for who, g in (("ann", 3 * (i % 2)), ("bob", 3 * (i % 2)), ("cem", 0))
    ]


def test_by_dawid_skene_the_careful_labeler_outweighs_the_careless_one() -> None:
    """Where ann says 3 and cem 0, a majority ties and takes the lower; but cem says 0 of everything."""
    table = label_table([*careless(), label(3, "ann", pair="x"), label(0, "cem", pair="x")])
    assert settle(table, "d", ["x"]).tolist() == [0]
    assert settle(table, "d", ["x"], rule="dawid_skene").tolist() == [3]


def test_by_dawid_skene_a_pair_settles_alike_whatever_else_is_asked_for() -> None:
    table = label_table([*careless(), label(3, "ann", pair="x"), label(0, "cem", pair="x")])
    ids = ["x", "nobody", *(f"t{i}" for i in range(30))]
    every = settle(table, "d", ids, rule="dawid_skene").tolist()
    assert every[:2] == [3, NONE]
    assert every[2:] == [3 * (i % 2) for i in range(30)]


def test_by_dawid_skene_adjudications_show_who_errs() -> None:
    """Ann and bob never agree; ten pairs were adjudicated as ann said, so the others settle as she says."""
    table = [label((i + k) % 2, who, pair=f"t{i}") for i in range(20) for k, who in enumerate(("ann", "bob"))]
    meeting = [label(i % 2, "meeting", 1, pair=f"t{i}", source="adjudicated") for i in range(10)]
    rest = [f"t{i}" for i in range(10, 20)]
    settled = settle(label_table([*table, *meeting]), "d", rest, rule="dawid_skene").tolist()
    assert settled == [i % 2 for i in range(10, 20)]


def test_by_dawid_skene_na_is_an_answer_like_a_level() -> None:
    labels = [
        label(g, who, pair=f"t{i}")
        for i in range(20)
        for who, g in (("ann", (NA, 2)[i % 2]), ("bob", (NA, 2)[i % 2]), ("cem", 2))
    ]
    table = label_table([*labels, label(NA, "ann", pair="x"), label(2, "cem", pair="x")])
    assert settle(table, "d", ["x", "t0", "t1"], rule="dawid_skene").tolist() == [NA, NA, 2]


def test_a_pair_that_is_asked_for_twice_is_answered_twice() -> None:
    assert settle(votes_of(2), "d", ["p", "q", "p"]).tolist() == [2, NONE, 2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"grade": -4},
        {"at": datetime(2026, 1, 1)},  # a time without a zone
        {"labeler": "  "},
        {"dimension": ""},
        {"source": "guess"},
        {"colour": "red"},
    ],
)
def test_what_is_no_label_is_refused(wrong: dict[str, object]) -> None:
    good = {"pair_id": "p", "dimension": "d", "grade": 1, "labeler": "ann", "at": START}
    assert Label.model_validate(good).grade == 1
    with pytest.raises(ValidationError):
        Label.model_validate(good | wrong)


def test_a_label_table_has_times_in_utc() -> None:
    at = datetime(2026, 1, 1, 12, 0, 0, 250, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    table = label_table([Label(pair_id="p", dimension="d", grade=1, labeler="ann", at=at)])
    assert table["at"].iloc[0] == pd.Timestamp("2026-01-01T06:30:00.000250Z")
    assert str(table["at"].dtype) == "datetime64[us, UTC]"
    assert label_table([]).dtypes[["grade", "at"]].equals(table.dtypes[["grade", "at"]])


# Splits


def pairs_of(queries: int, documents: int = 2, stratum: int = 1) -> list[Pair]:
    return [
        Pair(
            query={"q": f"query {i}"},
            document={"d": f"document {i}.{j}"},
            meta={"country": "AB"[i % stratum]},
        )
        for i in range(queries)
        for j in range(documents)
    ]


@given(st.integers(0, 30), st.integers(1, 3), st.floats(0, 0.95), st.text(max_size=3))
def test_whole_queries_go_to_one_side_in_the_share_asked_for(
    queries: int, documents: int, share: float, seed: str
) -> None:
    pairs = pairs_of(queries, documents)
    splits = split_by_query(pairs, holdout=share, seed=seed)
    assert set(splits) == {pair.id for pair in pairs}
    sides: dict[str, set[Split]] = {}
    for pair in pairs:
        sides.setdefault(pair.query_id, set()).add(splits[pair.id])
    assert all(len(side) == 1 for side in sides.values())
    assert sum(side == {"holdout"} for side in sides.values()) == round(share * queries)


@given(st.permutations(pairs_of(7)))
def test_the_split_is_the_same_for_any_order(mixed: list[Pair]) -> None:
    assert split_by_query(mixed, holdout=0.4, seed="s") == split_by_query(pairs_of(7), holdout=0.4, seed="s")


def test_the_draw_is_the_same_on_every_machine() -> None:
    # The two queries whose SHA-256 over seed, newline and query id is smallest are held out. printf 's\na' | sha256sum
    # gives 009fa5… for a, cd85bd… for b, a953fc… for c and 2945dd… for d: a and d.
    drawn = draw_splits(dict.fromkeys("abcd", ""), holdout=0.5, seed="s")
    assert drawn == {"a": "holdout", "b": "dev", "c": "dev", "d": "holdout"}


def test_another_seed_draws_other_queries() -> None:
    draws = {tuple(split_by_query(pairs_of(20), seed=str(seed)).values()) for seed in range(5)}
    assert len(draws) == 5


def test_each_stratum_has_its_share() -> None:
    pairs = pairs_of(20, 1, stratum=2)  # ten queries in A, ten in B
    splits = split_by_query(pairs, holdout=0.3, stratify="country")
    held = [pair.meta["country"] for pair in pairs if splits[pair.id] == "holdout"]
    assert sorted(held) == ["A"] * 3 + ["B"] * 3


def test_given_splits_are_kept_also_for_new_documents_of_their_query() -> None:
    pairs = pairs_of(10)
    fixed: dict[str, Split] = {pairs[0].id: "holdout", pairs[2].id: "dev"}
    for seed in map(str, range(10)):
        splits = split_by_query(pairs, holdout=0.5, seed=seed, given=fixed)
        assert (splits[pairs[0].id], splits[pairs[1].id]) == ("holdout", "holdout")
        assert (splits[pairs[2].id], splits[pairs[3].id]) == ("dev", "dev")


def test_what_was_given_counts_towards_the_share() -> None:
    pairs = pairs_of(10, 1)
    fixed: dict[str, Split] = {pair.id: "holdout" for pair in pairs[:4]}
    splits = split_by_query(pairs, holdout=0.5, given=fixed)  # five of ten, four are drawn already
    assert list(splits.values()).count("holdout") == 5
    over = split_by_query(pairs, holdout=0.2, given=fixed)  # two of ten would do: nothing is added or taken
    assert list(over.values()).count("holdout") == 4


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        split_by_query(pairs_of(1), holdout=share)


def test_coverage_counts_levels_and_what_is_none() -> None:
    settled = np.array([0, 2, 2, NA, NONE, NONE, NONE])
    assert coverage(settled, [0, 1, 2]) == {0: 1, 1: 0, 2: 2, NA: 1, NONE: 3}
    assert coverage(np.array([], dtype=int), [0, 1]) == {0: 0, 1: 0, NA: 0, NONE: 0}


# Pairs and snapshots


def test_the_text_of_a_pair_is_that_of_the_fields_considered() -> None:
    pair = Pair(query={"wish": "tea", "mood": "  "}, document={"title": "Oolong", "notes": "dark"})
    layout: dict[str, Literal["query", "document"]] = {"guest": "query", "tea": "document"}
    assert pair.text(["tea.notes", "guest.wish", "guest.mood", "tea.price"], layout) == "dark\n\ntea"


def golden(pairs: list[Pair], labels: pd.DataFrame, side: Split = "dev") -> GoldenSet:
    return GoldenSet("g", 1, "p", tuple(pairs), {pair.id: side for pair in pairs}, labels)


def test_the_identity_of_a_snapshot_is_its_content_in_any_order() -> None:
    pairs = pairs_of(3)
    table = label_table(label(i % 3, "ann", i, pair=pair.id) for i, pair in enumerate(pairs))
    one = golden(pairs, table)
    assert one.content_hash == golden(pairs[::-1], table[::-1]).content_hash
    assert one.label == "g v1"
    others = [
        golden(pairs[:-1], table[:-1]),
        golden(pairs, table[:-1]),
        golden(pairs, table, "holdout"),
        golden(pairs, table.assign(grade=0)),
        golden(pairs, table.assign(note="x")),
        golden([pair.model_copy(update={"meta": {"country": "C"}}) for pair in pairs], table),
        golden(pairs, label_table([])),
    ]
    assert len({one.content_hash, *(other.content_hash for other in others)}) == 8
