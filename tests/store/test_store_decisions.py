"""Decisions: added once for each id, never changed; the newest of a pair and dimension holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from workbench.errors import Conflict, NotFound
from workbench.golden import Pair
from workbench.store import Store
from workbench.store.decisions import Decision, DecisionStore
from workbench.store.tables import PlaceRow, QueueItemRow, QueueRow

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
A, B = (Pair(query={"q": "tea"}, document={"d": name}) for name in ("Assam", "Puer"))


class Deciding(Store, DecisionStore):
    """A store that keeps decisions."""


@pytest.fixture
def decided(url: str) -> Iterator[Deciding]:
    """The golden set ``tea`` with two pairs."""
    opened = Deciding(url)
    opened.create_golden("tea", "tea-match")
    opened.add_pairs("tea", [A, B])
    yield opened
    opened.close()


def decision(number: int, pair: Pair = A, **more: object) -> Decision:
    values = {
        "id": f"decision-{number}",
        "golden": "tea",
        "pair_id": pair.id,
        "dimension": "taste",
        "outcome": "judge wrong",
        "note": "Smoke is not a taste.",
        "author": "ann",
        "at": START + timedelta(minutes=number),
        "place": "suspects",
        "details": {"label": 2, "answer": 0, "runs": {"run-1": 0}},
    }
    return Decision.model_validate(values | more)


def test_the_newest_of_a_pair_and_dimension_comes_back_as_it_was(decided: Deciding) -> None:
    first, other, later = (
        decision(1),
        decision(2, dimension="strength"),
        decision(3, outcome="open", note="", details={}),
    )
    for one in (later, first, other, decision(4, B)):
        assert decided.add_decision(one) == one
    assert decided.decisions("tea") == [decision(4, B), later, other]
    assert decided.decisions("tea", pair_id=A.id) == [later, other]
    assert decided.decisions("tea", since=START + timedelta(minutes=3)) == [decision(4, B), later]
    # What was the newest before a moment does not come up in place of what is newest now.
    assert decided.decisions("tea", pair_id=A.id, since=START + timedelta(minutes=4)) == []
    assert decided.decisions("coffee") == []


def test_a_second_click_adds_nothing_and_another_text_is_a_conflict(decided: Deciding) -> None:
    first = decided.add_decision(decision(1))
    again = decided.add_decision(decision(1, at=START + timedelta(hours=1)))
    assert again == first
    with pytest.raises(Conflict, match="Another decision was sent"):
        decided.add_decision(decision(1, outcome="label wrong"))
    assert decided.decisions("tea") == [first]
    log = [(e["who"], e["what"], e["subject"], e["detail"]) for e in decided.events()]
    assert log == [("ann", "decided", f"tea {A.id} taste", "judge wrong: Smoke is not a taste.")]


def test_a_pair_of_another_set_is_refused(decided: Deciding) -> None:
    decided.create_golden("coffee", "tea-match")
    with pytest.raises(NotFound, match=r"'coffee' has no pair"):
        decided.add_decision(decision(1, golden="coffee"))
    assert decided.decisions("coffee") == []
    assert decided.events() == []


def test_any_text_is_kept(decided: Deciding) -> None:
    kept = decided.add_decision(decision(1, note="a\0b 🍵 ' \" <b>"))
    assert kept.note == "a\ufffdb 🍵 ' \" <b>"
    assert decided.add_decision(decision(1, note="a\0b 🍵 ' \" <b>")) == kept
    assert decided.decisions("tea") == [kept]


def queue(
    store: Deciding, places: int, *, closed: bool = False, kind: str = "overlap", labeler: str = ""
) -> None:
    closed_at = START if closed else None
    with store._write() as connection:
        connection.execute(
            sa.insert(QueueRow),
            [
                {
                    "id": "q1", "golden": "tea", "name": "Overlap", "kind": kind, "params": {"labeler": labeler}, "author": "ann",
                    "labelers_per_pair": places, "created_at": START, "closed_at": closed_at,
                }
            ],
        )  # fmt: skip
        item = {"queue_id": "q1", "pair_id": A.id, "position": 0, "stratum": "", "weight": 1.0}
        connection.execute(sa.insert(QueueItemRow), [item])


def place(store: Deciding, number: int, labeler: str, *, done: bool = False, minutes: int = 10) -> None:
    moment = datetime.now(UTC)
    row = {
        "queue_id": "q1", "pair_id": A.id, "number": number, "labeler": labeler,
        "until": moment + timedelta(minutes=minutes), "done_at": moment if done else None,
    }  # fmt: skip
    with store._write() as connection:
        connection.execute(sa.insert(PlaceRow), [row])


def test_a_pair_waits_for_whoever_may_still_be_asked(decided: Deciding) -> None:
    assert decided.waits_for("tea", A.id, "ann") is None
    queue(decided, 2)
    assert decided.waits_for("tea", A.id, "ann") == "Overlap"
    assert decided.waits_for("tea", B.id, "ann") is None
    assert decided.waits_for("coffee", A.id, "ann") is None
    place(decided, 1, "ann", done=True)
    assert decided.waits_for("tea", A.id, "ann") is None, "ann has answered"
    assert decided.waits_for("tea", A.id, "bob") == "Overlap"
    place(decided, 2, "eve")
    assert decided.waits_for("tea", A.id, "bob") is None, "both places are taken"
    assert decided.waits_for("tea", A.id, "eve") == "Overlap", "eve holds one of them"


def test_an_expired_place_is_free_and_a_closed_queue_asks_nobody(decided: Deciding) -> None:
    queue(decided, 1)
    place(decided, 1, "eve", minutes=-1)
    assert decided.waits_for("tea", A.id, "bob") == "Overlap"


def test_a_closed_queue_asks_nobody(decided: Deciding) -> None:
    queue(decided, 1, closed=True)
    assert decided.waits_for("tea", A.id, "bob") is None


def test_a_recheck_asks_one_person(decided: Deciding) -> None:
    queue(decided, 1, kind="recheck", labeler="eve ")
    assert decided.waits_for("tea", A.id, "bob") is None
    assert decided.waits_for("tea", A.id, "eve") == "Overlap"
