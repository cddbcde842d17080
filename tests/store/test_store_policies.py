"""Published policies never change; drafts change under optimistic locking."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from policy_samples import body, shipped

from workbench.errors import Conflict, NotFound, Refused
from workbench.policy import Body, Policy
from workbench.store import Store, policies


def version(number: int, title: str = "Tea?") -> Policy:
    return Policy.publish(
        body(title=title), policy="tea-match", version=number, message=f"why {number}", author="ann"
    )


def test_publishing_the_same_document_again_changes_nothing(store: Store) -> None:
    assert store.add_policy(version(1)) is True
    assert store.add_policy(version(1)) is False
    assert store.policy_versions("tea-match") == [version(1)]
    assert [(e["who"], e["what"], e["subject"], e["detail"]) for e in store.events()] == [
        ("ann", "published policy", "tea-match v1", "why 1")
    ]


def test_another_document_under_a_published_number_is_refused(store: Store) -> None:
    store.add_policy(version(1))
    with pytest.raises(Refused, match="tea-match v1 is already published with other content") as caught:
        store.add_policy(version(1, title="Coffee?"))
    assert "new version" in caught.value.hint
    assert store.policy("tea-match") == version(1)
    assert len(store.events()) == 1


def test_versions_come_in_order_and_the_newest_by_default(store: Store) -> None:
    for number in (10, 2, 1):
        store.add_policy(version(number))
    assert [policy.version for policy in store.policy_versions("tea-match")] == [1, 2, 10]
    assert store.policy("tea-match").version == 10
    assert store.policy("tea-match", 2) == version(2)
    assert store.policy_names() == ["tea-match"]


def test_what_is_not_there_is_said_with_what_is(store: Store) -> None:
    with pytest.raises(NotFound, match="There is none yet"):
        store.policy("tea-match")
    store.add_policy(version(1))
    with pytest.raises(NotFound, match="Did you mean tea-match"):
        store.policy("tee-match")
    with pytest.raises(NotFound, match=r"no version 7\. There is: v1\."):
        store.policy("tea-match", 7)


def test_the_shipped_policies_come_back_equal_with_their_hash(store: Store) -> None:
    for policy in shipped():
        store.add_policy(policy)
    for policy in shipped():
        kept = store.policy(policy.name, policy.version)
        assert kept == policy
        assert kept.content_hash == policy.content_hash


def test_any_text_is_kept(store: Store) -> None:
    odd = version(1, title="ä 漢 🍵 \u2028 % _ \\ ' \" \x00 x")
    store.add_policy(odd)
    assert store.policy("tea-match") == odd
    assert store.add_policy(odd) is False


def test_a_draft_starts_as_its_base_and_is_kept_with_each_save(store: Store) -> None:
    draft = store.start_draft("tea-match", version(3).body(), "ann", base_version=3)
    assert (draft.base_version, draft.revision, draft.body) == (3, 1, version(3).body())
    saved = store.save_draft(draft, body(title="Better?"), "bob")
    assert (saved.revision, saved.updated_by, saved.body.title) == (2, "bob", "Better?")
    assert store.draft(draft.id) == saved
    again = store.save_draft(saved, body(title="Best?"), "ann")
    assert store.draft(draft.id) == again
    assert store.drafts("tea-match") == [again]
    assert store.drafts("other") == []


def test_the_second_of_two_savers_is_told_who_was_first_and_nothing_is_lost(store: Store) -> None:
    opened_by_both = store.start_draft("tea-match", version(1).body(), "ann", base_version=1)
    first = store.save_draft(opened_by_both, body(title="Ann's"), "ann")
    with pytest.raises(Conflict, match=r"^ann saved this draft at \d\d:\d\d:\d\d UTC") as caught:
        store.save_draft(opened_by_both, body(title="Bob's"), "bob")
    assert "Nothing was written" in caught.value.hint
    assert store.draft(opened_by_both.id) == first
    merged = store.save_draft(store.draft(opened_by_both.id), body(title="Both"), "bob")
    assert merged.revision == 3


def test_of_many_savers_at_once_exactly_one_wins(store: Store) -> None:
    draft = store.start_draft("tea-match", version(1).body(), "ann", base_version=1)
    start = threading.Barrier(5)
    outcomes: list[str] = []

    def save(name: str, text: Body) -> None:
        start.wait()
        try:
            store.save_draft(draft, text, name)
            outcomes.append(name)
        except Conflict:
            outcomes.append("conflict")

    people = ["a", "b", "c", "d", "e"]
    threads = [threading.Thread(target=save, args=(name, body(title=f"By {name}"))) for name in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes)[1:] == ["conflict"] * 4 or outcomes.count("conflict") == 4
    winner = next(name for name in outcomes if name != "conflict")
    kept = store.draft(draft.id)
    assert (kept.revision, kept.updated_by, kept.body.title) == (2, winner, f"By {winner}")


def test_a_draft_that_is_gone_is_said_to_be_gone(store: Store) -> None:
    draft = store.start_draft("tea-match", version(1).body(), "ann", base_version=1)
    store.discard_draft(draft.id)
    store.discard_draft(draft.id)  # a second click changes nothing
    with pytest.raises(NotFound, match="This draft is gone"):
        store.draft(draft.id)
    with pytest.raises(NotFound, match="This draft is gone"):
        store.save_draft(draft, body(), "ann")
    assert store.drafts("tea-match") == []


def test_the_draft_saved_last_comes_first(store: Store) -> None:
    one = store.start_draft("tea-match", version(1).body(), "ann", base_version=1)
    two = store.start_draft("tea-match", version(1).body(), "bob", base_version=1)
    assert [draft.id for draft in store.drafts("tea-match")] == [two.id, one.id]
    store.save_draft(one, body(), "ann")
    assert [draft.id for draft in store.drafts("tea-match")] == [one.id, two.id]


def test_what_a_draft_said_is_kept_save_by_save(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [datetime(2026, 3, 1, 9, tzinfo=UTC)]
    monkeypatch.setattr(policies, "now", lambda: clock[0])

    def after(seconds: int) -> None:
        clock[0] += timedelta(seconds=seconds)

    draft = store.start_draft("tea-match", version(1).body(), "ann", base_version=1, title="Smoke")
    after(10)
    draft = store.save_draft(draft, body(title="A"), "ann")  # 2: the first revision stays by itself
    after(30)
    draft = store.save_draft(draft, body(title="B"), "ann")  # 3: within a minute of 2, in its place
    after(40)
    draft = store.save_draft(draft, body(title="C"), "ann", base_version=2)  # 4: 70 s after 2 was begun
    after(1)
    draft = store.save_draft(draft, body(title="D"), "bob")  # 5: somebody else
    kept = [(r.revision, r.author, r.base_version) for r in store.draft_revisions(draft.id)]
    assert kept == [(1, "ann", 1), (3, "ann", 1), (4, "ann", 2), (5, "bob", 2)]
    assert store.draft_revisions(draft.id)[1].since == datetime(2026, 3, 1, 9, 0, 10, tzinfo=UTC)
    assert [store.draft_body(draft.id, n).title for n in (1, 2, 3, 4, 9)] == [
        version(1).title, version(1).title, "B", "C", "D",
    ]  # fmt: skip
    assert (store.draft(draft.id).title, store.draft(draft.id).base_version) == ("Smoke", 2)
    store.discard_draft(draft.id)
    assert store.draft_revisions(draft.id) == []
    with pytest.raises(NotFound, match="This draft is gone"):
        store.draft_body(draft.id, 1)
