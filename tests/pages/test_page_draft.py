"""The Draft page: edits keep themselves, two people's edits meet, publishing merges."""

from __future__ import annotations

import pytest
from page_samples import OpenPage, text_of
from streamlit.testing.v1 import AppTest

from workbench import authoring, policy_edit
from workbench.policy import Body
from workbench.store import Draft
from workbench.workspace import Workspace


@pytest.fixture
def draft(space: Workspace) -> Draft:
    """Anna's draft of ``fit``."""
    return authoring.start_draft(space, "fit", "anna", title="School counts")


def clause(body: Body, clause_id: str = "skills.1") -> str:
    return next(clause.text for _, clause in body.clauses() if clause.id == clause_id)


def now(space: Workspace, draft: Draft) -> Draft:
    return space.store.draft(draft.id)


def field(page: AppTest, draft: Draft, name: str) -> object:
    key = f"f:{draft.id}:{name}"
    found = [w for kind in ("text_area", "text_input", "number_input", "checkbox", "multiselect", "selectbox")
             for w in page.get(kind) if w.key == key]  # fmt: skip
    assert len(found) == 1, key
    return found[0]


def parameter(page: AppTest, name: str) -> str:
    """Return a query parameter, which AppTest gives as a text or as a list of one."""
    value = page.query_params[name]
    return value if isinstance(value, str) else value[0]


def opened(page: AppTest) -> tuple[str, str]:
    """Return the part that is open."""
    return parameter(page, "part"), parameter(page, "item")


def others_edit(space: Workspace, draft: Draft, clause_id: str, text: str) -> None:
    seen = now(space, draft)
    authoring.save(space, seen, policy_edit.set_clause(seen.body, clause_id, text), "ben")


def test_without_a_draft_one_is_begun_with_a_title(space: Workspace, open_page: OpenPage) -> None:
    page = open_page("draft", policy="fit")
    assert "Nobody is working on a draft" in text_of(page)
    page.text_input(key="new_title").input("Remote work")
    page.button(key="start_draft").click().run()
    (draft,) = space.store.drafts("fit")
    assert (draft.title, draft.author, draft.base_version) == ("Remote work", "anna", 1)
    assert parameter(page, "draft") == draft.id
    assert "from v1 of fit, by anna; nothing changed yet" in text_of(page).replace("\\", "")


def test_two_drafts_of_one_title_are_told_apart(space: Workspace, open_page: OpenPage, draft: Draft) -> None:
    twin = authoring.start_draft(space, "fit", "anna", title="School counts")
    page = open_page("draft", policy="fit", draft=twin.id)
    assert page.selectbox(key="draft").options[1:] == ["School counts · anna", "School counts · anna (2)"]
    assert page.selectbox(key="draft").value == twin.id


def test_a_clause_keeps_itself_and_is_seen_in_preview_and_difference(
    space: Workspace, open_page: OpenPage, draft: Draft
) -> None:
    page = open_page("draft", draft=draft.id, part="skills", item="skills.1")
    field(page, draft, "skills.1").input("A skill counts when it was *learnt*. ").run()  # type: ignore[attr-defined]
    assert clause(now(space, draft).body) == "A skill counts when it was *learnt*."
    # The field keeps the space that was typed; the preview shows Markdown; the difference marks the words.
    assert field(page, draft, "skills.1").value.endswith("*. ")  # type: ignore[attr-defined]
    assert "<em>learnt</em>" in text_of(page)
    assert "<del>used at work</del>" in text_of(page)
    page.button(key="undo").click().run()
    assert clause(now(space, draft).body) == "A skill counts when it was used at work."
    assert field(page, draft, "skills.1").value == "A skill counts when it was used at work."  # type: ignore[attr-defined]


def test_an_edit_that_cannot_be_kept_says_why_and_stays_in_the_field(
    space: Workspace, open_page: OpenPage, draft: Draft
) -> None:
    page = open_page("draft", draft=draft.id, part="skills", item="skills.1")
    field(page, draft, "skills.1").input("  ").run()  # type: ignore[attr-defined]
    assert "Clause skills" in page.error[0].value
    assert field(page, draft, "skills.1").value == "  "  # type: ignore[attr-defined]
    assert now(space, draft).revision == 1


def test_every_kind_of_part_is_edited_where_it_stands(
    space: Workspace, open_page: OpenPage, draft: Draft
) -> None:
    page = open_page("draft", draft=draft.id, part="general")
    field(page, draft, "title").input("Does it fit?").run()  # type: ignore[attr-defined]
    page.button(key="part-skills").click().run()
    field(page, draft, "skills.weight").set_value(2.5).run()  # type: ignore[attr-defined]
    field(page, draft, "skills.considers").set_value(["member.skills"]).run()  # type: ignore[attr-defined]
    field(page, draft, "skills.allow_na").check().run()  # type: ignore[attr-defined]
    page.text_area(key=f"new:{draft.id}:skills.clause").input("Hobbies do not count.")
    page.button(key=f"add:new:{draft.id}:skills.clause").click().run()
    assert opened(page) == ("skills", "skills.2")
    page.button(key="item:level 1").click().run()
    field(page, draft, "skills.1.criteria").input("At least one is shown.").run()  # type: ignore[attr-defined]
    body = now(space, draft).body
    skills = body.dimension("skills")
    assert (body.title, skills.weight, skills.considers, skills.allow_na) == (
        "Does it fit?", 2.5, ("member.skills",), True,
    )  # fmt: skip
    assert [(c.id, c.text) for c in skills.clauses][1:] == [("skills.2", "Hobbies do not count.")]
    assert skills.levels[1].criteria == "At least one is shown."


def test_clauses_are_moved_split_and_retired_without_losing_ids(
    space: Workspace, open_page: OpenPage, draft: Draft
) -> None:
    page = open_page("draft", draft=draft.id, part="skills", item="skills.1")
    split = f"split:{draft.id}:skills.1"
    page.text_area(key=f"{split}:first").input("A skill counts when it was used.")
    page.text_area(key=f"{split}:second").input("Use at work counts most.")
    next(b for b in page.button if b.label == "Split").click().run()
    clauses = now(space, draft).body.dimension("skills").clauses
    assert [(c.id, c.split_from) for c in clauses] == [("skills.1", None), ("skills.2", "skills.1")]
    page.button(key=f"act:{draft.id}:Down:skills:skills.1").click().run()
    assert [c.id for c in now(space, draft).body.dimension("skills").clauses] == ["skills.2", "skills.1"]
    page.selectbox(key=f"move:{draft.id}:skills.1").select("general").run()
    page.button(key=f"do:move:{draft.id}:skills.1").click().run()
    assert [c.id for c in now(space, draft).body.general] == ["general.1", "skills.1"]
    assert opened(page) == ("general", "skills.1")
    page.button(key=f"act:{draft.id}:Retire it:general:").click().run()
    assert now(space, draft).body.retired == ("skills.1",)
    assert "item" not in page.query_params


def test_a_colleagues_edit_of_another_part_is_merged_and_said(
    space: Workspace, open_page: OpenPage, draft: Draft
) -> None:
    page = open_page("draft", draft=draft.id, part="skills", item="skills.1")
    others_edit(space, draft, "general.1", "By Ben.")
    field(page, draft, "skills.1").input("By Anna.").run()  # type: ignore[attr-defined]
    body = now(space, draft).body
    assert (clause(body), clause(body, "general.1")) == ("By Anna.", "By Ben.")
    assert [m.value for m in page.info if "ben changed general.1" in m.value.replace("\\", "")]
    page.button(key="seen").click().run()
    assert not [m.value for m in page.info if "ben changed" in m.value]


def test_two_texts_of_one_clause_are_shown_with_what_it_was_and_one_is_chosen(
    space: Workspace, open_page: OpenPage, draft: Draft
) -> None:
    page = open_page("draft", draft=draft.id, part="skills", item="skills.1")
    others_edit(space, draft, "skills.1", "By Ben.")
    field(page, draft, "skills.1").input("By Anna.").run()  # type: ignore[attr-defined]
    assert clause(now(space, draft).body) == "By Ben."
    assert "ben changed skills.1" in page.warning[0].value.replace("\\", "")
    shown = text_of(page)
    assert all(text in shown for text in ("before both", "used at work", "By", "Ben", "Anna"))
    page.button(key="settle").click().run()  # mine is chosen unless something else is
    assert clause(now(space, draft).body) == "By Anna."
    assert field(page, draft, "skills.1").value == "By Anna."  # type: ignore[attr-defined]
    assert not page.warning


def test_a_field_that_was_not_touched_follows_a_colleagues_edit(
    space: Workspace, open_page: OpenPage, draft: Draft
) -> None:
    page = open_page("draft", draft=draft.id, part="skills", item="skills.1")
    others_edit(space, draft, "skills.1", "By Ben.")
    page.run()
    assert field(page, draft, "skills.1").value == "By Ben."  # type: ignore[attr-defined]


def test_publishing_needs_a_message_and_merges_with_a_newer_version(
    space: Workspace, open_page: OpenPage, draft: Draft
) -> None:
    draft = authoring.save(space, draft, policy_edit.set_clause(draft.body, "skills.1", "By Anna."), "anna")
    other = authoring.start_draft(space, "fit", "ben")
    other = authoring.save(space, other, policy_edit.set_clause(other.body, "general.1", "By Ben."), "ben")
    authoring.publish(space, other, message="general", author="ben")
    page = open_page("draft", draft=draft.id)
    assert "fit v2 was published by ben meanwhile" in page.info[0].value.replace("\\", "")
    page.button(key="publish").click().run()
    assert "A version needs a message" in page.error[0].value
    page.text_area(key="publish_message").input("Work or school.")
    page.button(key="publish").click().run()
    policy = space.store.policy("fit")
    assert (policy.version, policy.parent, policy.message) == (3, 2, "Work or school.")
    assert (clause(policy), clause(policy, "general.1")) == ("By Anna.", "By Ben.")
    assert space.store.drafts("fit") == []
    assert "Published fit v3" in page.success[0].value


def test_a_version_that_says_otherwise_is_settled_on_the_page(
    space: Workspace, open_page: OpenPage, draft: Draft
) -> None:
    draft = authoring.save(space, draft, policy_edit.set_clause(draft.body, "skills.1", "By Anna."), "anna")
    other = authoring.start_draft(space, "fit", "ben")
    other = authoring.save(space, other, policy_edit.set_clause(other.body, "skills.1", "By Ben."), "ben")
    authoring.publish(space, other, message="general", author="ben")
    page = open_page("draft", draft=draft.id)
    page.button(key="update").click().run()
    assert "fit v2, published by ben, changed skills.1 otherwise" in page.warning[0].value.replace("\\", "")
    page.segmented_control[-1].select("theirs").run()
    page.button(key="settle").click().run()
    found = now(space, draft)
    assert (found.base_version, clause(found.body)) == (2, "By Ben.")


def test_lint_keeps_a_draft_from_being_published_and_leads_to_the_place(
    space: Workspace, open_page: OpenPage, draft: Draft
) -> None:
    blank = policy_edit.set_level(draft.body, "skills", 1, name="Some", criteria="")
    authoring.save(space, draft, blank, "anna")
    page = open_page("draft", draft=draft.id, side="Lint")
    assert page.button(key="publish").disabled
    page.button(key="finding:0").click().run()
    assert opened(page) == ("skills", "level 1")


def test_the_text_names_the_line_of_an_error_and_is_kept_as_a_whole(
    space: Workspace, open_page: OpenPage, draft: Draft
) -> None:
    page = open_page("draft", draft=draft.id, view="Text")
    key = f"yaml:{draft.id}:1"
    text = page.text_area(key=key).value
    line = text.splitlines().index("  weight: 1.0") + 1
    page.text_area(key=key).input(text.replace("weight: 1.0", "weight: much", 1)).run()
    assert f"line {line} at dimensions" in page.error[0].value.replace("\\", "")
    assert page.button(key="save_part").disabled
    page.text_area(key=key).input(text.replace("used at work", "used anywhere")).run()
    page.button(key="save_part").click().run()
    assert clause(now(space, draft).body) == "A skill counts when it was used anywhere."


def test_the_overall_rule_is_kept_as_a_whole(space: Workspace, open_page: OpenPage, draft: Draft) -> None:
    page = open_page("draft", draft=draft.id, part="overall")
    page.text_input(key=f"rule:{draft.id}:1:cuts").input("0.4, x")
    page.button(key="save_part").click().run()
    assert "The cut points are no numbers" in page.error[0].value
    page.text_input(key=f"rule:{draft.id}:1:cuts").input("0.4, 1.4")
    page.text_input(key=f"rule:{draft.id}:1:new:when").input("skills == 0")
    page.button(key="save_part").click().run()
    rule = now(space, draft).body.overall
    assert (rule.cut_points, [(g.id, g.when, g.at_most) for g in rule.gates]) == (
        (0.4, 1.4), [("gate.1", "skills == 0", 1)],
    )  # fmt: skip


def test_a_discarded_draft_is_gone(space: Workspace, open_page: OpenPage, draft: Draft) -> None:
    page = open_page("draft", draft=draft.id)
    page.button(key="discard").click().run()
    assert space.store.drafts("fit") == []
    assert "Drafts of fit" in text_of(page)


def test_a_policy_that_is_only_a_draft_is_edited_and_published(space: Workspace, open_page: OpenPage) -> None:
    body = space.store.policy("fit").body()
    new = authoring.new_draft(space, "fit-two", body, "anna", "From a document")
    for side in ("Diff", "Lint", "Prompt", "Evidence", "Try", "Comments", "Ideas"):
        page = open_page("draft", policy="fit-two", draft=new.id, part="skills", item="skills.1", side=side)
        assert not page.error
    field(page, new, "skills.1").input("New words.").run()  # type: ignore[attr-defined]
    page.text_area(key="publish_message").input("First version.")
    page.button(key="publish").click().run()
    policy = space.store.policy("fit-two")
    assert (policy.version, policy.parent, clause(policy)) == (1, None, "New words.")
