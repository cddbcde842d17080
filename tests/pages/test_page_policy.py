"""The Policy, Draft and Home pages: what they show, and that edits reach the store, or are held back with a reason."""

from __future__ import annotations

from page_samples import OpenPage, text_of
from streamlit.testing.v1 import AppTest

from workbench import authoring
from workbench.workspace import Workspace


def second_version(space: Workspace, author: str = "ben") -> None:
    draft = authoring.open_draft(space, "fit", author)
    body = authoring.set_clause(draft.body, "skills.1", "A skill counts when it was used at work or school.")
    authoring.publish(
        space, authoring.save(space, draft, body, author), message="school counts", author=author
    )


def begin(page: AppTest) -> AppTest:
    page.button(key="start_draft").click().run()
    assert not page.exception
    return page


def save(page: AppTest) -> AppTest:
    page.button(key="save_part").click().run()
    assert not page.exception
    return page


def area(page: AppTest, label: str) -> object:
    return next(area for area in page.text_area if area.label == label)


def test_a_version_reads_as_a_document(space: Workspace, open_in_app: OpenPage) -> None:
    said = text_of(open_in_app("policy"))
    for text in (
        "Does the job fit?",
        "general.1",
        "No required skill is shown.",
        "skills.1",
        "weighted mean",
    ):
        assert text in said


def test_one_section_alone(space: Workspace, open_in_app: OpenPage) -> None:
    said = text_of(open_in_app("policy", section="wishes"))
    assert "A must is broken." in said
    assert "skills.1" not in said


def test_difference_marks_the_words(space: Workspace, open_in_app: OpenPage) -> None:
    second_version(space)
    page = open_in_app("policy", view="Difference")
    assert "<ins> or school</ins>" in text_of(page)
    assert "Verdicts may change on: Skills." in text_of(page)


def test_history_lists_versions_newest_first(space: Workspace, open_in_app: OpenPage) -> None:
    second_version(space)
    said = text_of(open_in_app("policy", view="History"))
    assert said.index("<b>v2</b>") < said.index("<b>v1</b>")
    assert "school counts" in said


def test_edit_and_publish(space: Workspace, open_page: OpenPage) -> None:
    page = begin(open_page("draft", part="skills"))
    area(page, "skills.1").set_value("A skill counts when it was used.")
    area(page, "New clause").set_value("Hobbies do not count.")
    page = save(page)
    draft = space.store.drafts("fit")[0]
    assert [c.id for c in draft.body.dimension("skills").clauses] == ["skills.1", "skills.2"]
    assert "Hobbies do not count." in text_of(page)
    page.text_input(key="publish_message").set_value("Hobbies are out.")
    page.button(key="publish").click().run()
    assert not page.exception
    assert "Published fit v2." in page.success[0].value
    newest = space.store.policy("fit")
    assert (newest.version, newest.author, newest.message) == (2, "anna", "Hobbies are out.")
    assert (space.root / "policies" / "fit" / "v2.yaml").exists()
    assert space.store.drafts("fit") == []


def test_publishing_without_a_message_is_refused_in_one_sentence(
    space: Workspace, open_page: OpenPage
) -> None:
    page = begin(open_page("draft", part="skills"))
    area(page, "skills.1").set_value("A skill counts when it was used.")
    page = save(page)
    page.button(key="publish").click().run()
    assert [error.value for error in page.error] == [
        "**A version needs a message.** Say in one sentence what changed and why."
    ]
    assert space.store.policy("fit").version == 1


def test_a_lint_error_keeps_the_draft_from_being_published(space: Workspace, open_page: OpenPage) -> None:
    page = begin(open_page("draft", part="skills"))
    next(a for a in page.text_area if a.label == "Criteria").set_value("")
    page = save(page)
    assert page.button(key="publish").disabled
    assert "has no criteria" in text_of(page)


def test_an_impossible_edit_is_one_sentence_and_changes_nothing(
    space: Workspace, open_page: OpenPage
) -> None:
    page = begin(open_page("draft", part="overall"))
    next(t for t in page.text_input if t.label.startswith("Cut points")).set_value("1.5, 0.5")
    page = save(page)
    assert "cut points must ascend" in page.error[0].value
    assert space.store.drafts("fit")[0].revision == 1


def test_weights_and_a_new_gate(space: Workspace, open_page: OpenPage) -> None:
    page = begin(open_page("draft", part="overall"))
    next(n for n in page.number_input if n.label == "Weight of Skills").set_value(3.0)
    next(t for t in page.text_input if t.label == "new: when").set_value("skills == 0")
    page = save(page)
    body = space.store.drafts("fit")[0].body
    assert body.dimension("skills").weight == 3
    assert [(g.id, g.when, g.at_most) for g in body.overall.gates] == [("gate.1", "skills == 0", 1)]


def test_text_mode_names_the_line_and_loses_nothing(space: Workspace, open_page: OpenPage) -> None:
    page = begin(open_page("draft", part="text"))
    broken = page.text_area[0].value.replace("title: Does the job fit?", "title: Does the job fit?\nstray: 1")
    page.text_area[0].set_value(broken)
    page = save(page)
    assert "line 2" in page.error[0].value
    assert "stray" in page.error[0].value
    assert page.text_area[0].value == broken, "what was typed is still there"
    assert space.store.drafts("fit")[0].revision == 1


def test_the_second_to_save_is_told_and_keeps_what_was_typed(space: Workspace, open_page: OpenPage) -> None:
    page = begin(open_page("draft", part="skills"))
    theirs = space.store.drafts("fit")[0]
    authoring.save(space, theirs, authoring.set_clause(theirs.body, "skills.1", "Theirs."), "ben")
    area(page, "skills.1").set_value("Mine.")
    page = save(page)
    assert "ben saved this draft" in page.error[0].value
    assert area(page, "skills.1").value == "Mine."
    assert space.store.drafts("fit")[0].body.dimension("skills").clauses[0].text == "Theirs."
    page.button(key="load_theirs").click().run()
    assert area(page, "skills.1").value == "Theirs."


def test_home_says_where_the_loop_stands_and_what_is_next(space: Workspace, open_in_app: OpenPage) -> None:
    page = open_in_app("home")
    said = text_of(page)
    assert "2 dimensions, 2 clauses" in said
    assert "Import a golden set" in said
