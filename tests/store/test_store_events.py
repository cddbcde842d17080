"""The audit log is read a page at a time, and says who has acted."""

from __future__ import annotations

from workbench.store import Store


def filled(store: Store) -> None:
    """Five lines by two people."""
    store.record_event("anna", "published policy", "fit v1", "First.")
    store.record_event("ben", "started judge run", "job-run-1", "openai/gpt-5-mini · fit v1")
    store.record_event("anna", "stopped job", "job-run-1", "100%_done")
    store.record_event("ben", "resumed job", "job-run-1")
    store.record_event("", "synced", "policies")


def said(store: Store, **wanted: str | int) -> tuple[list[str], int]:
    found, total = store.event_page(**wanted)  # type: ignore[arg-type]
    return [event.what for event in found], total


def test_the_log_is_read_newest_first_and_by_pages(store: Store) -> None:
    assert said(store) == ([], 0)
    filled(store)
    assert said(store, limit=2) == (["synced", "resumed job"], 5)
    assert said(store, skip=4, limit=2) == (["published policy"], 5)
    assert said(store, skip=5) == ([], 5)


def test_the_log_is_narrowed_by_who_what_and_subject(store: Store) -> None:
    filled(store)
    assert said(store, who="anna") == (["stopped job", "published policy"], 2)
    assert said(store, who="ann") == ([], 0)  # a name is a whole name
    assert said(store, what="JOB") == (["resumed job", "stopped job"], 2)
    assert said(store, subject="fit V1") == (
        ["started judge run", "published policy"],
        2,
    )  # the detail counts
    assert said(store, who="ben", what="resumed", subject="run-1") == (["resumed job"], 1)
    assert said(store, subject="%_") == (["stopped job"], 1)  # no pattern: the text itself


def test_whoever_is_named_in_the_log_has_acted(store: Store) -> None:
    assert store.actors() == []
    filled(store)
    found = store.actors()
    assert [(actor.name, actor.events) for actor in found] == [("ben", 2), ("anna", 2)]
    assert all(actor.first <= actor.last and actor.first.tzinfo for actor in found)
