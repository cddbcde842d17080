"""Suggestions in the store: the same one added again is one, and each is decided once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from suggestion_samples import reword

from workbench.errors import Conflict, NotFound
from workbench.store import Store
from workbench.store.suggestions import StoredSuggestion

START = datetime(2026, 1, 1, 9, tzinfo=UTC)


def stored(number: int, **more: Any) -> StoredSuggestion:
    values: dict[str, Any] = {
        "id": f"suggestion-{number}",
        "policy": "tea-match",
        "draft_id": "draft-1",
        "job_id": "job-1",
        "suggestion": reword(f"Wording {number}, with \u2028 and 漢."),
        "created_at": START + timedelta(minutes=number),
    }
    return StoredSuggestion.model_validate(values | more)


def test_suggestions_come_back_as_they_were_oldest_first(store: Store) -> None:
    assert store.add_suggestions([stored(2), stored(1)]) == 2
    assert store.suggestions("tea-match") == [stored(1), stored(2)]
    assert store.suggestion("suggestion-2") == stored(2)


def test_one_that_is_known_is_not_added_again_and_stays_decided(store: Store) -> None:
    store.add_suggestions([stored(1)])
    store.decide_suggestion("suggestion-1", "refused", "Ida", "not ours")
    assert store.add_suggestions([stored(1), stored(2)]) == 1
    assert [s.status for s in store.suggestions("tea-match")] == ["refused", "open"]
    assert store.add_suggestions([]) == 0


def test_they_are_found_by_policy_draft_and_status(store: Store) -> None:
    store.add_suggestions([stored(1), stored(2, draft_id="draft-2"), stored(3, policy="other"), stored(4)])
    store.decide_suggestion("suggestion-4", "taken", "Ida")

    def ids(*wanted: Any) -> list[str]:
        return [s.id.removeprefix("suggestion-") for s in store.suggestions(*wanted)]

    assert ids("tea-match") == ["1", "2", "4"]
    assert ids("tea-match", "draft-1") == ["1", "4"]
    assert ids("tea-match", "draft-1", "open") == ["1"]
    assert ids("tea-match", None, "taken") == ["4"]
    assert ids("nothing") == []


def test_a_decision_says_who_when_and_why_and_is_in_the_log(store: Store) -> None:
    store.add_suggestions([stored(1)])
    decided = store.decide_suggestion("suggestion-1", "refused", "Ida", "too broad")
    assert (decided.status, decided.decided_by, decided.reason) == ("refused", "Ida", "too broad")
    assert decided.decided_at is not None
    assert abs(decided.decided_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert store.suggestion("suggestion-1") == decided
    event = store.events(1)[0]
    assert (event["who"], event["what"], event["subject"]) == ("Ida", "refused suggestion", "suggestion-1")


@pytest.mark.parametrize("second", ["taken", "refused"])
def test_the_first_decision_stands(store: Store, second: Any) -> None:
    store.add_suggestions([stored(1)])
    first = store.decide_suggestion("suggestion-1", "taken", "Ida")
    events = len(store.events())
    with pytest.raises(Conflict, match="was taken by Ida already"):
        store.decide_suggestion("suggestion-1", second, "Bo")
    assert store.suggestion("suggestion-1") == first
    assert len(store.events()) == events


def test_what_is_not_there_is_not_decided(store: Store) -> None:
    with pytest.raises(NotFound, match="no suggestion suggestion-9"):
        store.suggestion("suggestion-9")
    with pytest.raises(NotFound):
        store.decide_suggestion("suggestion-9", "taken", "Ida")
