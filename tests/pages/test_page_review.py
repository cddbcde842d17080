"""The Review page: the list, the board, decisions by button, followers, open items, minutes."""

from __future__ import annotations

import pytest
from page_samples import OpenPage, text_of
from test_page_compare import two_runs

from workbench import follow_ups, review
from workbench.store import Review
from workbench.workspace import Workspace


@pytest.fixture
def opened(golden: Workspace) -> Review:
    """A review of the flips of two runs: two dev pairs in skills, both fixed."""
    wrong, right = two_runs(golden)
    runs = golden.store.run(wrong), golden.store.run(right)
    return review.start_review(
        golden, *runs, review.Filters(), title="School counts?", author="anna", key="r"
    )


def board(open_in_app: OpenPage, opened: Review, **more: str):
    return open_in_app("review", review=opened.id, **more)


def item_keys(space: Workspace, opened: Review) -> list[str]:
    return [item.key for item in review.meeting(space, opened.id).items]


def test_without_reviews_it_says_what_to_do(golden: Workspace, open_in_app: OpenPage) -> None:
    two_runs(golden)
    said = text_of(open_in_app("review"))
    assert "No reviews yet." in said
    assert "Nothing is open" in said


def test_the_list_opens(golden: Workspace, opened: Review, open_in_app: OpenPage) -> None:
    page = open_in_app("review")
    assert page.dataframe[0].value["review"].tolist() == ["School counts?"]
    assert page.dataframe[0].value["flips"].tolist() == [2]


def test_the_label_shows_only_when_asked(golden: Workspace, opened: Review, open_in_app: OpenPage) -> None:
    page = board(open_in_app, opened)
    said = text_of(page)
    assert "Human labels are hidden" in said
    assert "fixed: B agrees" not in said
    page.button(key="b_reveal").click().run()
    said = text_of(page)
    assert "settled label" in said
    assert "fixed: B agrees" in said
    assert golden.store.review(opened.id).showing["revealed"] is True


def test_deciding_goes_on_to_the_next(golden: Workspace, opened: Review, open_in_app: OpenPage) -> None:
    first, second = item_keys(golden, opened)
    page = board(open_in_app, opened)
    page.text_input(key=f"note|{opened.id}|{first}").set_value("It says nothing of school.").run()
    page.text_input(key=f"owner|{opened.id}|{first}").set_value("cleo").run()
    page.button(key="b_policy_ambiguous").click().run()
    assert golden.store.review(opened.id).showing["item"] == second
    (todo,) = follow_ups.open_items(golden, "bakers")
    assert (todo.item.owner, todo.item.kind, todo.decision.note) == (
        "cleo",
        "comment",
        "It says nothing of school.",
    )
    assert "1 of 2 decided" in text_of(page)
    page.button(key="b_previous").click().run()
    page.button(key="b_take_back").click().run()
    assert follow_ups.open_items(golden, "bakers") == []


def test_a_follower_sees_what_the_presenter_shows(
    golden: Workspace, opened: Review, open_in_app: OpenPage
) -> None:
    _, second = item_keys(golden, opened)
    review.show(golden, opened.id, second, "bob", revealed=True)
    page = board(open_in_app, opened)
    assert page.segmented_control(key="mode").value == "follow"
    assert second in text_of(page)
    assert "settled label" in text_of(page)
    page.segmented_control(key="mode").set_value("alone").run()
    page.button(key="b_previous").click().run()
    assert golden.store.review(opened.id).presenter == "bob", "moving on one's own moves nobody else"


def test_a_closed_review_stands_still(golden: Workspace, opened: Review, open_in_app: OpenPage) -> None:
    page = board(open_in_app, opened)
    page.button(key="close").click().run()
    assert golden.store.review(opened.id).closed_at is not None
    page = board(open_in_app, opened)
    assert page.button(key="b_fine").disabled
    assert not page.button(key="b_next").disabled


def test_an_item_is_done_on_the_spot(golden: Workspace, opened: Review, open_in_app: OpenPage) -> None:
    flip = review.meeting(golden, opened.id).items[0].flip
    review.decide(golden, opened, flip, "label wrong", who="anna", note="Plainly none.")
    (todo,) = follow_ups.open_items(golden, "bakers")
    page = open_in_app("review")
    assert "Plainly none." in text_of(page)
    right = 0 if flip.human else 2
    page.selectbox(key=f"grade_{todo.item.id}").set_value(right)
    next(b for b in page.button if b.label == "Record as adjudicated").click().run()
    assert follow_ups.open_items(golden, "bakers") == []
    labels = golden.store.labels("bakers", pair_id=flip.pair_id)
    assert labels[labels["source"] == "adjudicated"]["grade"].tolist() == [right]


def test_an_unknown_review_is_one_sentence(golden: Workspace, open_in_app: OpenPage) -> None:
    two_runs(golden)
    page = open_in_app("review", review="review-none")
    assert "There is no review review-none." in page.error[0].value.replace("\\", "")
