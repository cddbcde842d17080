"""Queues in the store: places that are never taken twice, expire, and come back; the order; progress."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa

from workbench.errors import Conflict, NotFound, Refused
from workbench.store import Store, places
from workbench.store.base import now
from workbench.store.queues import Queue
from workbench.store.tables import PlaceRow, table


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Minutes by which the clock of places is ahead; changed by the test."""
    ahead = [0.0]
    monkeypatch.setattr(places, "now", lambda: now() + timedelta(minutes=ahead[0]))
    return ahead


def opened(store: Store, pairs: int = 3, k: int = 1, name: str = "first", queue_id: str = "q1") -> Queue:
    store.create_golden("tea", "tea-match")
    return store.create_queue(
        queue_id, "tea", name, "random", labelers_per_pair=k, params={"split": "all"}, author="Ida",
        items=[(f"p{i:04}", "", 2.0) for i in range(pairs)],
    )  # fmt: skip


def all_places(store: Store) -> list[tuple[str, int, str, bool]]:
    columns = table(PlaceRow).c
    with store._read() as connection:
        rows = connection.execute(
            sa.select(columns.pair_id, columns.number, columns.labeler, columns.done_at)
        ).all()
    return [(row.pair_id, row.number, row.labeler, row.done_at is not None) for row in rows]


def test_pairs_come_in_order_and_one_that_is_held_comes_first(store: Store) -> None:
    opened(store)
    assert store.take_place("q1", "ann") == "p0000"
    assert store.take_place("q1", "ann") == "p0000"  # a reload of the page
    assert store.take_place("q1", "ann", skipped=["p0000"]) == "p0001"  # looked up ahead
    assert store.take_place("q1", "bob") == "p0002"
    assert store.take_place("q1", "cem") is None
    assert store.finish_place("q1", "p0000", "ann")
    assert store.take_place("q1", "ann") == "p0001"
    assert store.queue("q1").done == 1


def test_a_pair_has_k_places_and_nobody_two(store: Store) -> None:
    opened(store, pairs=1, k=2)
    assert [store.take_place("q1", who) for who in ("ann", "bob", "cem")] == ["p0000", "p0000", None]
    store.finish_place("q1", "p0000", "ann")
    assert store.take_place("q1", "ann") is None
    assert store.claim_place("q1", "p0000", "ann") == "done"
    assert store.claim_place("q1", "p0000", "cem") == "full"


def test_a_place_that_was_given_back_is_free_and_a_finished_one_is_not(store: Store) -> None:
    opened(store, pairs=1)
    store.take_place("q1", "ann")
    assert store.release_place("q1", "p0000", "ann")
    assert not store.release_place("q1", "p0000", "ann")
    assert store.take_place("q1", "bob") == "p0000"
    store.finish_place("q1", "p0000", "bob")
    assert not store.release_place("q1", "p0000", "bob")
    assert store.take_place("q1", "ann") is None


def test_an_expired_place_goes_to_the_next_labeler(store: Store, clock: list[float]) -> None:
    opened(store, pairs=1)
    assert store.take_place("q1", "ann", minutes=30) == "p0000"
    clock[0] = 29
    assert store.take_place("q1", "bob") is None
    clock[0] = 31
    assert store.take_place("q1", "bob") == "p0000"
    assert store.claim_place("q1", "p0000", "ann") == "full"
    with pytest.raises(Conflict, match="Your place at this pair expired"):
        store.finish_place("q1", "p0000", "ann")
    assert all_places(store) == [("p0000", 0, "bob", False)]


def test_an_expired_place_that_nobody_took_can_still_be_finished(store: Store, clock: list[float]) -> None:
    opened(store, pairs=1)
    store.take_place("q1", "ann", minutes=30)
    clock[0] = 500
    assert store.finish_place("q1", "p0000", "ann")
    assert not store.finish_place("q1", "p0000", "ann")  # the second of two clicks
    assert store.take_place("q1", "bob") is None


def test_asking_again_keeps_a_place_longer(store: Store, clock: list[float]) -> None:
    opened(store, pairs=1)
    store.take_place("q1", "ann", minutes=30)
    clock[0] = 20
    store.take_place("q1", "ann", minutes=30)
    clock[0] = 45
    assert store.take_place("q1", "bob") is None


def test_a_reopened_pair_is_offered_again_to_whoever_had_passed_it(store: Store, clock: list[float]) -> None:
    opened(store, pairs=2)
    for pair_id in ("p0000", "p0001"):
        assert store.take_place("q1", "ann") == pair_id
        store.finish_place("q1", pair_id, "ann")
    assert store.take_place("q1", "bob") is None
    assert store.reopen_place("q1", "p0000", "ann")
    assert not store.reopen_place("q1", "p0000", "ann")
    assert store.take_place("q1", "bob") is None  # ann holds it
    assert store.take_place("q1", "ann") == "p0000"
    clock[0] = 60
    assert store.take_place("q1", "bob") == "p0000"


def test_progress_by_labeler_and_items(store: Store) -> None:
    opened(store, pairs=2, k=2)
    for who, pair_id in [("ann", "p0000"), ("ann", "p0001"), ("bob", "p0000")]:
        assert store.take_place("q1", who) == pair_id
        store.finish_place("q1", pair_id, who)
    queue = store.queue("q1")
    assert (queue.size, queue.total, queue.done) == (2, 4, 3)
    assert store.done_by_labeler("q1") == {"ann": 2, "bob": 1}
    assert store.queue_items("q1").values.tolist() == [["p0000", "", 2.0, 2], ["p0001", "", 2.0, 1]]


def test_closing_and_names(store: Store) -> None:
    first = opened(store)
    with pytest.raises(Refused, match=r"has an open queue 'first' already. Choose another name"):
        opened(store, queue_id="q2")
    assert store.queues("tea") == [first]  # nothing of the refused one was kept
    assert store.queue_items("q2").empty
    store.take_place("q1", "ann")
    assert store.close_queue("q1", "Ida")
    assert not store.close_queue("q1", "Ida")
    assert store.take_place("q1", "ann") is None
    assert store.finish_place("q1", "p0000", "ann")  # what was begun may be ended
    second = opened(store, queue_id="q2")
    assert store.queues("tea", open_only=True) == [second]
    assert [queue.id for queue in store.queues("tea")] == ["q1", "q2"]


def test_what_does_not_exist(store: Store) -> None:
    opened(store)
    with pytest.raises(NotFound, match="no labelling queue q9"):
        store.take_place("q9", "ann")
    with pytest.raises(NotFound, match="no labelling queue q9"):
        store.queue("q9")
    with pytest.raises(NotFound, match="Queue q1 has no pair p9"):
        store.claim_place("q1", "p9", "ann")


@pytest.mark.parametrize(("workers", "people", "k"), [(8, 8, 3), (8, 4, 2), (6, 3, 3)])
def test_k_is_never_exceeded_however_many_labelers_race(
    store: Store, workers: int, people: int, k: int
) -> None:
    """Threads label at once, two windows for each person where there are more threads than people; some skip."""
    pairs = 40
    opened(store, pairs=pairs, k=k)

    def work(number: int) -> list[str]:
        who, dice, sent = f"labeler{number % people}", random.Random(number), []
        while pair_id := store.take_place("q1", who):
            if dice.random() < 0.2:
                store.release_place("q1", pair_id, who)
                continue
            try:
                if store.finish_place("q1", pair_id, who):
                    sent.append(pair_id)
            except Conflict:
                pass  # the other window of the same person gave it back
        return sent

    with ThreadPoolExecutor(workers) as pool:
        sent = list(pool.map(work, range(workers)))
    found = all_places(store)
    assert all(done for *_, done in found)
    assert Counter(pair_id for pair_id, *_ in found) == {f"p{i:04}": k for i in range(pairs)}
    assert len({(pair_id, who) for pair_id, _, who, _ in found}) == len(found)
    assert sum(map(len, sent)) == pairs * k  # every finish counted once


def test_all_claim_one_place_at_once(store: Store, clock: list[float]) -> None:
    """An expired place is taken over by one of eight."""
    opened(store, pairs=1)
    store.take_place("q1", "ann", minutes=1)
    clock[0] = 2
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda i: store.claim_place("q1", "p0000", f"w{i}"), range(8)))
    assert Counter(claims) == {"held": 1, "full": 7}
