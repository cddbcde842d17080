"""The counts behind "next" and "done", against the same questions asked of all labels from scratch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import NotFound
from workbench.golden import NOT_GRADED, Label, Pair, votes
from workbench.store import Store

PAIRS = [Pair(query={"wish": str(i)}, document={"title": "d"}) for i in range(4)]
KEYS = ("taste", "body")
START = datetime(2026, 1, 1, tzinfo=UTC)

answers = st.tuples(
    st.integers(0, 3),
    st.sampled_from([*KEYS, "gone"]),
    st.sampled_from([NOT_GRADED, 0, 1]),
    st.sampled_from(["ann", "bob", "cem"]),
    st.integers(0, 50),  # minutes: also out of order, as an import of a history may be
    st.sampled_from(["human", "import", "adjudicated"]),
)


def ask_anew(store: Store, labeler: str, skipped: list[str]) -> tuple[str | None, int]:
    """The next pair and how many are done, from all labels."""
    held = votes(store.labels("tea"))
    held = held[held["dimension"].isin(KEYS)]
    done, order = [], []
    for place, pair in enumerate(PAIRS):
        here = held[held["pair_id"] == pair.id]
        if len(here[here["labeler"] == labeler]) == len(KEYS):
            done.append(pair.id)
        elif pair.id not in skipped:
            order.append((here.loc[here["labeler"] != labeler, "labeler"].nunique(), place, pair.id))
    return (min(order)[2] if order else None), len(done)


@given(st.lists(st.tuples(answers, st.booleans()), max_size=25), st.sets(st.integers(0, 3)))
@settings(max_examples=40, deadline=None)
def test_counts_kept_up_to_date_are_those_of_all_labels(
    tmp_path_factory: pytest.TempPathFactory, given: list[tuple[tuple, bool]], aside: set[int]
) -> None:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('counts') / 'workbench.db'}")
    store.create_golden("tea", "tea-match")
    store.add_pairs("tea", PAIRS)
    skipped = [PAIRS[i].id for i in sorted(aside)]
    for (place, key, grade, labeler, minute, source), ask in given:
        at = START + timedelta(minutes=minute)
        said = Label(
            pair_id=PAIRS[place].id, dimension=key, grade=grade, labeler=labeler, at=at, source=source
        )
        store.add_labels("tea", [said])
        if ask:
            for who in ("ann", "bob", "nobody"):
                expected, done = ask_anew(store, who, skipped)
                assert store.next_pair("tea", who, KEYS, skipped) == expected
                assert store.progress_of("tea", who, KEYS) == (done, 4)
    held = votes(store.labels("tea"))
    held = held[held["dimension"].isin(KEYS)]
    counts = store.label_counts("tea", KEYS).set_index(["pair_id", "labeler"])["dimensions"]
    assert counts.to_dict() == held.groupby(["pair_id", "labeler"]).size().to_dict()
    store.close()


def answer(store: Store, pair: Pair, labeler: str, minute: int = 0, keys: tuple[str, ...] = KEYS) -> None:
    at = START + timedelta(minutes=minute)
    store.add_labels(
        "tea", [Label(pair_id=pair.id, dimension=key, grade=1, labeler=labeler, at=at) for key in keys]
    )


@pytest.fixture
def tea(store: Store) -> Store:
    """Four pairs, no labels."""
    store.create_golden("tea", "tea-match")
    store.add_pairs("tea", PAIRS)
    return store


def test_what_another_process_writes_is_seen(tea: Store, url: str) -> None:
    assert tea.next_pair("tea", "ann", KEYS) == PAIRS[0].id
    other = Store(url)
    answer(other, PAIRS[0], "bob")
    other.add_pairs("tea", [Pair(query={"wish": "new"}, document={"title": "d"})])
    other.close()
    assert tea.next_pair("tea", "ann", KEYS) == PAIRS[1].id
    assert tea.progress_of("tea", "bob", KEYS) == (1, 5)


def test_other_questions_are_counted_anew(tea: Store) -> None:
    answer(tea, PAIRS[0], "ann")
    assert tea.progress_of("tea", "ann", KEYS) == (1, 4)
    assert tea.progress_of("tea", "ann", (*KEYS, "smell")) == (0, 4)  # a new version of the policy
    assert tea.finished_among("tea", "ann", KEYS, [PAIRS[0].id, PAIRS[1].id]) == 1
    assert tea.finished_among("tea", "ann", KEYS, []) == 0


def test_sets_do_not_mix(tea: Store) -> None:
    tea.create_golden("other", "tea-match")
    tea.add_pairs("other", PAIRS)
    answer(tea, PAIRS[0], "ann")
    assert tea.progress_of("other", "ann", KEYS) == (0, 4)
    assert tea.next_pair("other", "ann", KEYS) == PAIRS[0].id
    assert tea.next_pair("nothing", "ann", KEYS) is None


def test_the_policy_of_a_set(tea: Store) -> None:
    assert tea.policy_of("tea") == "tea-match"
    with pytest.raises(NotFound, match="Did you mean tea"):
        tea.policy_of("te")


def test_submits_are_moments_and_pairs_newest_first(tea: Store) -> None:
    for minute, pair in enumerate((PAIRS[0], PAIRS[1], PAIRS[2])):
        answer(tea, pair, "ann", minute)
    answer(tea, PAIRS[3], "bob", 9)
    taken_back = Label(
        pair_id=PAIRS[2].id,
        dimension="taste",
        grade=NOT_GRADED,
        labeler="ann",
        at=START + timedelta(minutes=5),
    )
    imported = Label(
        pair_id=PAIRS[3].id, dimension="taste", grade=1, labeler="ann", at=START, source="import"
    )
    tea.add_labels("tea", [taken_back, imported])
    times = [(START + timedelta(minutes=minute), PAIRS[minute].id) for minute in (2, 1, 0)]
    assert tea.submits("tea", "ann", START, 0) == times
    late = START + timedelta(minutes=2)
    assert tea.submits("tea", "ann", late, 0) == times[:1]
    assert tea.submits("tea", "ann", late, 2) == times[:2]
