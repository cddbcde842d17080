"""The import page: what it shows of a file, how a person changes a heading's role, and that drafts reach the store."""

from __future__ import annotations

import docx
import pytest
from page_samples import POLICY, OpenPage, text_of
from streamlit.testing.v1 import AppTest
from word_samples import OLE, saved, thirty_pages, word_file

from workbench.policy_export import to_markdown
from workbench.workspace import Workspace

DOCUMENT = """# Hiring policy

Who fits which job.

## Skills
Does the member have what the job needs?

- 0 - None: nothing
- 1 - All: everything

### Rules
- Used at work.

## Commute
- An hour is far.

## Overall rule
- Be kind.
"""


def upload(page: AppTest, name: str, content: bytes) -> AppTest:
    page.file_uploader[0].set_value((name, content, "application/octet-stream"))
    page.run()
    assert not page.exception, page.exception
    return page


def by_label(page: AppTest, kind: str, label: str) -> object:
    return next(element for element in page.get(kind) if element.label == label)


def choose(page: AppTest, label: str, value: str, kind: str = "selectbox") -> AppTest:
    by_label(page, kind, label).set_value(value)  # type: ignore[attr-defined]
    page.run()
    assert not page.exception, page.exception
    return page


def look(page: AppTest, tab: str) -> str:
    """Open a tab of the preview and return what the page says then."""
    (control,) = (group for group in page.button_group if group.label == "Preview")
    control.set_value(tab)
    page.run()
    assert not page.exception, page.exception
    return text_of(page)


def press(page: AppTest, key: str = "make_draft") -> AppTest:
    page.button(key=key).click().run()
    assert not page.exception, page.exception
    return page


def errors(page: AppTest) -> list[str]:
    return [error.value for error in page.error]


def test_before_a_file_it_says_what_will_happen(space: Workspace, open_in_app: OpenPage) -> None:
    page = open_in_app("policy_import")
    assert "What has no place is kept as general rules" in text_of(page)
    assert not page.selectbox


def test_a_document_becomes_a_draft_of_a_new_policy(space: Workspace, open_in_app: OpenPage) -> None:
    page = upload(open_in_app("policy_import"), "Hiring rules.md", DOCUMENT.encode())
    said = text_of(page)
    for figure in ("<b>1</b><span>dimensions", "<b>3</b><span>clauses", "<b>1</b><span>not placed"):
        assert figure in said
    assert "An hour is far." in said
    assert by_label(page, "selectbox", "Role of Commute").value == "general"  # type: ignore[attr-defined]
    assert "<div>Be kind." in look(page, "Not placed").replace("<p>", "")
    assert space.store.drafts() == [], "nothing is kept by looking"
    choose(page, "Role of Commute", "dimension")
    assert "<b>2</b><span>dimensions" in text_of(page)
    choose(page, "Its name", "hiring", "text_input")
    press(page)
    (draft,) = space.store.drafts()
    assert (draft.name, draft.base_version, draft.author) == ("hiring", 0, "anna")
    assert draft.title == "From Hiring rules.md"
    assert draft.body.keys == ("skills", "commute")
    assert [clause.text for clause in draft.body.dimension("commute").clauses] == ["An hour is far."]
    assert draft.body.pair == space.store.policy("fit").pair, "the layout of the first policy is proposed"
    assert space.store.policy_names() == ["fit"]


def test_roles_follow_each_other_and_can_be_forgotten(space: Workspace, open_in_app: OpenPage) -> None:
    page = upload(open_in_app("policy_import"), "x.md", DOCUMENT.encode())
    assert by_label(page, "selectbox", "Dimension of Rules").value == "skills"  # type: ignore[attr-defined]
    choose(page, "Key of Skills", "craft", "text_input")
    assert by_label(page, "selectbox", "Dimension of Rules").value == "craft"  # type: ignore[attr-defined]
    choose(page, "Key of Skills", "Not A Key", "text_input")
    assert errors(page) == [
        "**The dimension 'Skills' needs a key such as 'location'.** Use small letters, digits and \\_."
    ]
    assert by_label(page, "text_input", "Key of Skills").value == "craft"  # type: ignore[attr-defined]
    choose(page, "Role of Skills", "general")
    assert by_label(page, "selectbox", "Role of Rules").value == "general"  # type: ignore[attr-defined]
    assert "No heading is a dimension" in look(page, "Notes")
    press(page, "guess_anew")
    assert by_label(page, "text_input", "Key of Skills").value == "skills"  # type: ignore[attr-defined]


def test_an_edited_export_is_an_edit_of_its_policy(space: Workspace, open_in_app: OpenPage) -> None:
    policy = space.store.policy("fit")
    markdown = to_markdown(policy).replace("it was used at work", "it was used anywhere")
    page = upload(open_in_app("policy_import"), "fit.docx", word_file(markdown))
    assert by_label(page, "selectbox", "It belongs to").value == "fit"  # type: ignore[attr-defined]
    assert by_label(page, "selectbox", "Made from version").value == 1  # type: ignore[attr-defined]
    assert "<b>1</b><span>changes to v1" in text_of(page)
    said = look(page, "Changes")
    assert "skills.1" in said
    assert "reworded" in said
    press(page)
    (draft,) = space.store.drafts("fit")
    assert draft.base_version == 1
    assert draft.body.dimension("skills").clauses[0].text == "A skill counts when it was used anywhere."


def test_yaml_needs_no_mapping_and_no_change_no_draft(space: Workspace, open_in_app: OpenPage) -> None:
    page = upload(open_in_app("policy_import"), "v1.yaml", POLICY.encode())
    assert not [box for box in page.selectbox if box.label.startswith("Role of")]
    assert "<b>0</b><span>changes to v1" in text_of(page)
    assert page.button(key="make_draft").disabled
    changed = POLICY.replace("Some are shown.", "A few are shown.")
    page = upload(open_in_app("policy_import"), "v1.yaml", changed.encode())
    press(page)
    (draft,) = space.store.drafts("fit")
    assert draft.body.dimension("skills").levels[1].criteria == "A few are shown."


def test_the_layout_of_a_pair_can_be_typed(space: Workspace, open_in_app: OpenPage) -> None:
    page = upload(open_in_app("policy_import"), "x.md", DOCUMENT.encode())
    choose(page, "How a pair is laid out", "typed here")
    choose(page, "The query is a", "candidate", "text_input")
    choose(page, "Fields of the query, separated by commas", "", "text_input")
    assert len(errors(page)) == 1
    assert "The layout of a pair" in errors(page)[0]
    choose(page, "Fields of the query, separated by commas", "name, skills", "text_input")
    press(page)
    (draft,) = space.store.drafts()
    assert draft.body.pair.field_names() == ["candidate.name", "candidate.skills", "document.text"]


def test_a_name_that_cannot_be_is_told_and_nothing_is_kept(space: Workspace, open_in_app: OpenPage) -> None:
    page = upload(open_in_app("policy_import"), "x.md", DOCUMENT.encode())
    choose(page, "Its name", "Hiring!", "text_input")
    press(page)
    assert "cannot be the name of a policy" in errors(page)[0]
    assert space.store.drafts() == []


def test_a_hundred_headings_come_by_page_and_by_role(space: Workspace, open_in_app: OpenPage) -> None:
    text = "# Long\n" + "".join(f"## Part {i}\n\nText {i}.\n\n" for i in range(100))
    page = upload(open_in_app("policy_import"), "long.md", text.encode())
    roles = [box.label for box in page.selectbox if box.label.startswith("Role of")]
    assert len(roles) == 25
    assert page.pagination[0].num_pages == 5  # 101 headings
    page.pagination[0].set_value(5).run()
    assert [box.label for box in page.selectbox if box.label.startswith("Role of")] == ["Role of Part 99"]
    choose(page, "Role of Part 99", "dimension")
    choose(page, "Headings", "dimension")
    assert [box.label for box in page.selectbox if box.label.startswith("Role of")] == ["Role of Part 99"]


def test_thirty_pages_of_word_are_shown_in_full(space: Workspace, open_in_app: OpenPage) -> None:
    document, words = thirty_pages()
    page = upload(open_in_app("policy_import"), "policy.docx", saved(document))
    said = set(text_of(page).replace("<", " ").replace(">", " ").replace("*", " ").replace(".", " ").split())
    shown = {word.strip("?,:") for word in said}
    assert words - shown == set()


@pytest.mark.parametrize(
    ("name", "content", "says", "remedy"),
    [
        ("a.docx", saved(docx.Document())[:2000], "a.docx is not a whole .docx file", "Save it again"),
        ("a.docx", OLE, "protected by a password", "take the password away"),
        ("a.doc", OLE, "a.doc is in Word's old format", "save it as .docx"),
        ("a.md", b" ", "a.md is empty", "Choose the file"),
        ("a.md", "# Größe".encode("latin-1"), "not UTF-8 text (byte 5)", "Save it as UTF-8"),
        ("a.yaml", b"title: [", "a.yaml, line 1", "Check the indentation"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(
    space: Workspace, open_in_app: OpenPage, name: str, content: bytes, says: str, remedy: str
) -> None:
    page = upload(open_in_app("policy_import"), name, content)
    (error,) = (text.replace("\\", "") for text in errors(page))
    assert says in error
    assert remedy in error
    assert not page.selectbox
