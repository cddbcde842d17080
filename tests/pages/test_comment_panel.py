"""The Comments tab: what it shows of threads, and what its buttons do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from page_samples import text_of
from streamlit.testing.v1 import AppTest

from workbench import authoring, comments, policy_edit
from workbench.comment_panel import ELSEWHERE, part_name, thread_html
from workbench.store import Draft
from workbench.store.comments import Comment
from workbench.workspace import Workspace

Open = Callable[..., AppTest]


def script() -> None:
    """Draw the tab for the part that the URL names, as the Draft page does."""
    import streamlit as st

    from workbench import comment_panel, draft_state, widgets

    draft = widgets.workspace().store.draft(st.query_params["draft"])
    widgets.flash()
    at = draft_state.focus(draft.body)
    comment_panel.draw(draft, draft.body, at.section, at.item)


@pytest.fixture
def draft(space: Workspace) -> Draft:
    return authoring.start_draft(space, "fit", "anna")


@pytest.fixture
def open_tab(draft: Draft) -> Open:
    def run(part: str = "skills", item: str = "skills.1") -> AppTest:
        page = AppTest.from_function(script, default_timeout=60)
        page.query_params.update({"draft": draft.id, "part": part, "item": item})
        page.run()
        assert not page.exception, page.exception
        return page

    return run


def say(
    space: Workspace,
    draft: Draft,
    text: str,
    section: str = "skills",
    item: str = "skills.1",
    by: str = "bert",
) -> Comment:
    return comments.comment(space, "fit", draft.body, section, item, text, by, draft_id=draft.id)


def write(page: AppTest, text: str, label: str) -> AppTest:
    next(area for area in page.text_area if area.label == label).set_value(text)
    return page


def click(page: AppTest, label: str, which: int = 0) -> AppTest:
    [button for button in page.button if button.label.startswith(label)][which].click()
    page.run()
    assert not page.exception, page.exception
    return page


def labels(page: AppTest) -> list[str]:
    return [button.label for button in page.button]


def test_without_comments_there_is_only_the_field(open_tab: Open) -> None:
    page = open_tab()
    assert [area.label for area in page.text_area] == ["Comment on skills.1"]
    assert labels(page) == ["Comment"]
    assert text_of(page) == ""


def test_a_comment_is_added_and_the_field_is_empty_again(
    space: Workspace, draft: Draft, open_tab: Open
) -> None:
    page = write(open_tab(), "At work, or *paid*?", "Comment on skills.1")
    button = next(button for button in page.button if button.label == "Comment")
    button.click()
    page.run()
    (kept,) = space.store.comments("fit")
    assert (kept.section, kept.item, kept.text, kept.author, kept.draft_id, kept.quoted) == (
        "skills", "skills.1", "At work, or *paid*?", "anna", draft.id, "A skill counts when it was used at work.",
    )  # fmt: skip
    assert "<b>anna</b>" in text_of(page)
    assert "At work, or *paid*?" in text_of(page)
    assert page.text_area[0].value == ""
    # The same words once more are a comment of their own.
    click(write(page, "At work, or *paid*?", "Comment on skills.1"), "Comment")
    assert len(space.store.comments("fit")) == 2


def test_an_empty_comment_is_said_and_a_text_that_is_refused_stays(
    space: Workspace, draft: Draft, open_tab: Open
) -> None:
    page = click(open_tab(), "Comment")
    assert "The comment is empty" in page.error[0].value
    page = write(page, "x" * 10_001, "Comment on skills.1")
    click(page, "Comment")
    assert "has 10,001 characters" in page.error[0].value
    assert len(page.text_area[0].value) == 10_001
    assert space.store.comments("fit") == []


def test_a_thread_is_answered_resolved_and_opened_again(
    space: Workspace, draft: Draft, open_tab: Open
) -> None:
    first = say(space, draft, "Paid work only?")
    page = open_tab()
    assert [label for label in labels(page) if label != "Comment"] == ["Reply", "Resolve"]
    click(page, "Reply")
    assert "Reply" not in labels(page)
    click(write(page, "Volunteering counts.", "Reply"), "Send the reply")
    assert [(c.text, c.author, c.reply_to) for c in space.store.comments("fit")] == [
        ("Paid work only?", "bert", ""),
        ("Volunteering counts.", "anna", first.id),
    ]
    said = text_of(page)
    assert said.index("Paid work only?") < said.index("Volunteering counts.")
    click(page, "Resolve")
    assert space.store.comment(first.id).resolved_by == "anna"
    assert "Paid work only?" not in text_of(page)
    (folded,) = page.expander
    assert folded.label == "Resolved (1)"
    page.session_state[f"comments_resolved:{draft.id}:skills:skills.1"] = True
    page.run()
    assert "resolved by anna" in text_of(page)
    click(page, "Open again")
    assert space.store.comment(first.id).resolved_at is None
    assert not page.expander


def test_an_answer_can_be_given_up(space: Workspace, draft: Draft, open_tab: Open) -> None:
    say(space, draft, "Paid work only?")
    page = click(click(open_tab(), "Reply"), "Cancel")
    assert [area.label for area in page.text_area] == ["Comment on skills.1"]
    assert len(space.store.comments("fit")) == 1


def test_what_was_reworded_since_is_shown_word_by_word(
    space: Workspace, draft: Draft, open_tab: Open
) -> None:
    say(space, draft, "Paid work only?")
    assert "reworded since" not in text_of(open_tab())
    edited = policy_edit.set_clause(draft.body, "skills.1", "A skill counts when it was used at paid work.")
    authoring.save(space, draft, edited, "bert")
    said = text_of(open_tab())
    assert "reworded since" in said
    assert "<ins>paid </ins>" in said


def test_a_thread_of_a_retired_clause_is_with_its_section(
    space: Workspace, draft: Draft, open_tab: Open
) -> None:
    say(space, draft, "Paid work only?")
    authoring.save(space, draft, policy_edit.retire_clause(draft.body, "skills.1"), "bert")
    said = text_of(open_tab("skills", ""))
    assert "no longer in this draft" in said
    assert '<span class="wb-tag">skills.1</span>' in said
    assert "<del>A skill counts when it was used at work.</del>" in said


def test_open_threads_elsewhere_are_links_that_open_their_part(
    space: Workspace, draft: Draft, open_tab: Open
) -> None:
    say(space, draft, "About the whole.", "general", "")
    say(space, draft, "What is *some*?", "skills", "level 1")
    done = say(space, draft, "Settled.", "wishes", "")
    comments.resolve(space, done.id, "bert")
    page = open_tab()
    # The open section first; what is resolved is not listed.
    assert labels(page)[1:] == [
        r"**skills level 1** :gray[bert\: What is \*some\*?]",
        r"**the general rules** :gray[bert\: About the whole.]",
    ]
    click(page, "**skills level 1**")
    assert (page.query_params["part"], page.query_params["item"]) == ("skills", "level 1")
    assert "What is *some*?" in text_of(page)
    assert [area.label for area in page.text_area] == ["Comment on skills level 1"]
    click(page, "**the general rules**")
    assert page.query_params["part"] == "general"
    assert "item" not in page.query_params


def test_of_many_open_threads_the_first_are_listed(space: Workspace, draft: Draft, open_tab: Open) -> None:
    for i in range(ELSEWHERE + 3):
        say(space, draft, f"Question {i}", "wishes", "")
    page = open_tab()
    assert len(labels(page)) == 1 + ELSEWHERE
    assert "and 3 more" in text_of(page)


def test_text_from_people_is_never_markup(space: Workspace, draft: Draft, open_tab: Open) -> None:
    evil = "<img src=x onerror=alert(1)> [a](http://x) **b**"
    say(space, draft, evil, by="<b>eve</b>")
    say(space, draft, evil, "wishes", "", by="<b>eve</b>")
    edited = policy_edit.set_clause(draft.body, "skills.1", "<script>x</script>")
    authoring.save(space, draft, edited, "bert")
    page = open_tab()
    said = text_of(page)
    assert "<img" not in said
    assert "<script" not in said
    assert "&lt;b&gt;eve&lt;/b&gt;" in said
    (link,) = [label for label in labels(page) if label.startswith("**")]
    assert "[a](" not in link
    assert r"\*\*b\*\*" in link


def test_a_gate_is_commented_with_the_overall_rule(space: Workspace, draft: Draft) -> None:
    gated = policy_edit.edit(
        draft.body,
        overall={
            "cut_points": [0.5, 1.5],
            "gates": [{"id": "gate.1", "when": "skills == 0", "at_most": 0}],
        },
    )
    draft = authoring.save(space, draft, gated, "anna")
    comments.comment(space, "fit", gated, "overall", "gate.1", "Too hard?", "bert")
    (thread,) = comments.threads(space, "fit", gated)
    assert '<span class="wb-tag">gate.1</span>' in thread_html(thread)
    assert 'class="wb-tag"' not in thread_html(thread, "gate.1")


@pytest.mark.parametrize(
    ("place", "name"),
    [
        (("general", ""), "the general rules"),
        (("overall", ""), "the overall rule"),
        (("skills", ""), "skills"),
        (("skills", "level 2"), "skills level 2"),
        (("skills", "skills.1"), "skills.1"),
        (("general", "term baker"), "term baker"),
    ],
)
def test_parts_are_named_in_a_sentence(place: tuple[str, str], name: str) -> None:
    assert part_name(*place) == name
