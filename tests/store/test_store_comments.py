"""Comments: added once for each id, in order, resolved and opened again; every step is in the audit log."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from workbench.errors import Conflict, NotFound
from workbench.store import Store
from workbench.store.comments import Comment

START = datetime(2026, 3, 1, 9, tzinfo=UTC)


def said(number: int, text: str = "Why smoke?", **more: object) -> Comment:
    values = {
        "id": f"comment-{number}",
        "policy": "tea-match",
        "draft_id": "draft-1",
        "section": "taste",
        "item": "taste.1",
        "text": text,
        "author": "ann",
        "at": START + timedelta(minutes=number),
        "quoted": "" if "reply_to" in more else "Smoke counts as a taste.",
    }
    return Comment.model_validate(values | more)


def answer(number: int, **more: object) -> Comment:
    return said(number, f"Answer {number}", author="bob", **{"reply_to": "comment-1"} | more)


def log(store: Store) -> list[tuple[str, str, str, str]]:
    return [(e["who"], e["what"], e["subject"], e["detail"]) for e in reversed(store.events())]


def test_comments_come_back_as_they_were_in_the_order_they_were_made(store: Store) -> None:
    first, reply = said(1), answer(3)
    other = said(2, "Which fields?", item="", draft_id="")
    for comment in (reply.model_copy(update={"reply_to": ""}), other, first):
        store.add_comment(comment)
    store.add_comment(said(4, policy="coffee"))
    assert [c.id for c in store.comments("tea-match")] == ["comment-1", "comment-2", "comment-3"]
    assert store.comments("tea-match")[:2] == [first, other]
    assert store.comment("comment-1") == first
    assert store.comments("none") == []


def test_a_second_click_adds_nothing(store: Store) -> None:
    first = store.add_comment(said(1))
    again = store.add_comment(said(1, at=START + timedelta(hours=1)))
    assert again == first  # with the time of the first click
    assert store.comments("tea-match") == [first]
    assert log(store) == [("ann", "commented", "tea-match taste.1", "Why smoke?")]


def test_of_many_clicks_at_once_one_is_kept(store: Store) -> None:
    start = threading.Barrier(4)
    kept: list[Comment] = []

    def click(minute: int) -> None:
        start.wait()
        kept.append(store.add_comment(said(1, at=START + timedelta(minutes=minute))))

    clicks = [threading.Thread(target=click, args=(i,)) for i in range(4)]
    for one in clicks:
        one.start()
    for one in clicks:
        one.join()
    assert len(kept) == 4
    assert {comment.at for comment in kept} == {store.comments("tea-match")[0].at}
    assert len(log(store)) == 1


def test_another_text_under_a_known_id_is_a_conflict_not_a_loss(store: Store) -> None:
    store.add_comment(said(1))
    with pytest.raises(Conflict, match="Another comment was sent") as caught:
        store.add_comment(said(1, "Something else"))
    assert "again" in caught.value.hint
    assert [c.text for c in store.comments("tea-match")] == ["Why smoke?"]


@pytest.mark.parametrize("number", [7, 2], ids=["none of this id", "an answer"])
def test_what_starts_no_thread_cannot_be_answered_or_resolved(store: Store, number: int) -> None:
    store.add_comment(said(1))
    store.add_comment(answer(2))
    missing = f"comment-{number}"
    with pytest.raises(NotFound, match=f"There is no comment {missing}"):
        store.add_comment(answer(3, reply_to=missing))
    with pytest.raises(NotFound, match=f"There is no comment {missing}"):
        store.resolve_comment(missing, "ann")
    with pytest.raises(NotFound, match=f"There is no comment {missing}"):
        store.reopen_comment(missing, "ann")
    assert len(store.comments("tea-match")) == 2
    assert len(log(store)) == 2


def test_a_thread_is_resolved_by_the_first_and_opened_again(store: Store) -> None:
    store.add_comment(said(1))
    before = datetime.now(UTC)
    resolved = store.resolve_comment("comment-1", "bob")
    assert resolved.resolved_by == "bob"
    assert resolved.resolved_at is not None
    assert before <= resolved.resolved_at <= datetime.now(UTC)
    assert store.resolve_comment("comment-1", "eve") == resolved
    assert store.comments("tea-match") == [resolved]
    assert store.reopen_comment("comment-1", "ann") == said(1)
    assert store.reopen_comment("comment-1", "ann") == said(1)
    assert log(store)[1:] == [
        ("bob", "resolved comment", "tea-match taste.1", "Why smoke?"),
        ("ann", "reopened comment", "tea-match taste.1", "Why smoke?"),
    ]


def test_an_answer_opens_its_thread_again(store: Store) -> None:
    store.add_comment(said(1, item="level 2"))
    store.resolve_comment("comment-1", "ann")
    store.add_comment(answer(2, item="level 2"))
    assert store.comment("comment-1").resolved_at is None
    assert store.comment("comment-1").resolved_by == ""
    assert [(who, what, subject) for who, what, subject, _ in log(store)[2:]] == [
        ("bob", "replied to comment", "tea-match taste level 2"),
        ("bob", "reopened comment", "tea-match taste level 2"),
    ]


def test_any_text_is_kept(store: Store) -> None:
    odd = "ä 漢 🍵 \u2028 % _ \\ ' \" <b>"
    assert store.add_comment(said(1, odd)).text == odd
    assert store.comment("comment-1").text == odd
    # NUL and half a surrogate pair can be kept nowhere; what comes back is what was kept, and a second click is one.
    for _ in range(2):
        assert store.add_comment(said(2, "a\0b\ud83c", quoted="\0")) == said(
            2, "a\ufffdb\ufffd", quoted="\ufffd"
        )
    assert store.comment("comment-2") == said(2, "a\ufffdb\ufffd", quoted="\ufffd")
