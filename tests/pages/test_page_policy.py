"""The Policy page: a version as a document with its comments, history, differences and drafts; and the Home page."""

from __future__ import annotations

import pytest
from page_samples import PAIRS, OpenPage, label, text_of
from streamlit.testing.v1 import AppTest

from workbench import authoring, comments, judge_runs, labelling, policy_edit
from workbench.workspace import Workspace


def second_version(space: Workspace, author: str = "ben") -> None:
    draft = authoring.start_draft(space, "fit", author)
    body = policy_edit.set_clause(
        draft.body, "skills.1", "A skill counts when it was used at work or school."
    )
    body = policy_edit.add_clause(body, "general", "Read <b>all</b> of it.")
    authoring.publish(
        space, authoring.save(space, draft, body, author), message="school counts", author=author
    )


def recorded(space: Workspace) -> None:
    """A golden set with two labelers, and the judge ``tutor`` under both versions: half right, then all right."""
    import pandas as pd

    space.store.create_golden("bakers", "fit")
    space.store.add_pairs("bakers", PAIRS, dict.fromkeys((pair.id for pair in PAIRS), "dev"))
    for pair, grade in zip(PAIRS, (2, 0, 2, 0), strict=True):
        label(space, pair, "anna", skills=grade, wishes=1)
        label(space, pair, "ben", skills=grade, wishes=1)
    labelling.publish_golden(space, "bakers", message="first", author="anna")
    rows = [
        ("tutor", version, pair.id, key, grade)
        for version, grades in (("1", (2, 0, 0, 2)), ("2", (2, 0, 2, 0)))
        for pair, skills in zip(PAIRS, grades, strict=True)
        for key, grade in (("skills", skills), ("wishes", 1))
    ]
    scores = pd.DataFrame(rows, columns=["judge", "version", "pair_id", "dimension", "score"])
    judge_runs.import_recorded(
        space, scores, policy="fit", golden="bakers", author="anna", source="test", versions={"1": 1, "2": 2}
    )


def press(page: AppTest, key: str) -> AppTest:
    page.button(key=key).click().run()
    assert not page.exception, page.exception
    return page


def test_a_version_reads_as_a_document(space: Workspace, open_in_app: OpenPage) -> None:
    page = open_in_app("policy")
    said = text_of(page)
    for text in (
        "Does the job fit?",
        "general.1",
        "No required skill is shown.",
        "skills.1",
        "weighted mean",
    ):
        assert text in said
    assert "open comment" not in said
    assert [button.label for button in page.get("download_button")] == ["YAML", "Markdown", "HTML"]


def test_one_section_alone(space: Workspace, open_in_app: OpenPage) -> None:
    said = text_of(open_in_app("policy", section="wishes"))
    assert "A must is broken." in said
    assert "skills.1" not in said


def test_open_comments_are_counted_at_their_parts(space: Workspace, open_in_app: OpenPage) -> None:
    policy = space.store.policy("fit")
    first = comments.comment(space, "fit", policy, "skills", "skills.1", "Why?", "ben")
    comments.comment(space, "fit", policy, "skills", "skills.1", "And who?", "ben")
    comments.comment(space, "fit", policy, "wishes", "level 0", "Which must?", "ben")
    said = text_of(open_in_app("policy"))
    assert '<span class="wb-tag">3 open comments</span>' in said
    clause = said[said.index("A skill counts when") :]
    assert clause[: clause.index("</span>")].endswith("2 open comments")
    level = said[said.index("A must is broken.") :]
    assert level[: level.index("</span>")].endswith("1 open comment")
    comments.resolve(space, first.id, "anna")
    assert '<span class="wb-tag">2 open comments</span>' in text_of(open_in_app("policy"))


def test_difference_marks_the_words(space: Workspace, open_in_app: OpenPage) -> None:
    second_version(space)
    said = text_of(open_in_app("policy", view="Difference"))
    assert "v1 → v2: 2 changes" in said
    assert "<ins> or school</ins>" in said
    assert "Read &lt;b&gt;all&lt;/b&gt; of it." in said
    assert "Verdicts may change on: Skills, Wishes." in said, "a general rule is read for each dimension"
    assert "Both say the same." in text_of(open_in_app("policy", view="Difference", to="1"))


def test_difference_of_one_version_says_what_to_do(space: Workspace, open_in_app: OpenPage) -> None:
    assert "There is only one version." in text_of(open_in_app("policy", view="Difference"))


def test_history_lists_versions_newest_first_with_what_changed(
    space: Workspace, open_in_app: OpenPage
) -> None:
    second_version(space)
    page = open_in_app("policy", view="History")
    said = text_of(page)
    assert said.index(">v2</b>") < said.index(">v1</b>")
    assert "school counts" in said
    assert '<span class="wb-tag">1 added</span>' in said
    assert '<span class="wb-tag">1 reworded</span>' in said
    assert "General rules, Skills" in said
    assert "2 dimensions, 2 clauses" in said, "the first version has nothing to be compared with"
    assert "No judge has been run with this policy yet" in said
    assert not page.get("plotly_chart")
    press(page, "difference_2")
    assert page.query_params["view"] == "Difference"
    assert "v1 → v2: 2 changes" in text_of(page)


def test_history_shows_the_agreement_of_the_chosen_judge(space: Workspace, open_in_app: OpenPage) -> None:
    second_version(space)
    recorded(space)
    page = open_in_app("policy", view="History")
    assert next(box for box in page.selectbox if box.label == "Agreement of").value == "tutor"
    assert len(page.get("plotly_chart")) == 1
    said = text_of(page)
    assert "Grey: what labelers reach among themselves." in said
    # With wishes 1 throughout, skills 2 and 0 make the overall grades 2 (mean 1.5) and 1 (mean 0.5): people 2, 1, 2, 1.
    # Under v1 the judge has 2, 1, 1, 2: a mean squared difference of 1/2, which is that of chance, so κ is 0.
    newest, oldest = said.index("school counts"), said.index("2 dimensions, 2 clauses")
    assert newest < said.index("overall κ</span> 1.00") < oldest < said.index("overall κ</span> 0.00")


def test_an_old_version_is_restored_as_a_draft_that_opens(space: Workspace, open_in_app: OpenPage) -> None:
    second_version(space)
    page = open_in_app("policy", view="History")
    assert not [button for button in page.button if button.key == "restore_2"], "the newest is what there is"
    press(page, "restore_1")
    (draft,) = space.store.drafts("fit")
    assert (draft.base_version, draft.title, draft.author) == (2, "Back to v1", "anna")
    assert draft.body.dimension("skills").clauses == space.store.policy("fit", 1).dimension("skills").clauses
    assert page.query_params["draft"] == draft.id
    assert any(box.label == "Draft" and box.value == draft.id for box in page.selectbox)


def test_a_version_that_says_what_the_newest_says_is_not_restored(
    space: Workspace, open_in_app: OpenPage
) -> None:
    second_version(space)
    authoring.publish(space, authoring.restore(space, "fit", 1, "ben"), message="back", author="ben")
    page = press(open_in_app("policy", view="History"), "restore_1")
    assert "says the same as v1" in page.error[0].value
    assert space.store.drafts() == []


def test_drafts_are_listed_and_linked(space: Workspace, open_in_app: OpenPage) -> None:
    assert "No open drafts." in text_of(open_in_app("policy", view="Drafts"))
    draft = authoring.start_draft(space, "fit", "ben", title="Hobbies <i>count</i>")
    body = policy_edit.set_clause(draft.body, "skills.1", "Hobbies count.")
    authoring.save(space, draft, body, "anna")
    new = authoring.new_draft(space, "hiring", space.store.policy("fit").body(), "ben", "From Word")
    page = open_in_app("policy", view="Drafts")
    said = text_of(page)
    assert "Hobbies &lt;i&gt;count&lt;/i&gt;" in said
    assert "UTC by anna" in said
    assert "Policies that are not published yet" in said
    assert said.index("Hobbies") < said.index("From Word")
    links = [link.proto.query_string for link in page.get("page_link") if link.proto.label == "Open"]
    assert [(draft.id in links[0], "policy=fit" in links[0]), (new.id in links[1], "policy=hiring" in links[1])] == [
        (True, True), (True, True),
    ]  # fmt: skip


def test_without_policies_the_import_is_at_hand(
    space: Workspace, open_in_app: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    authoring.new_draft(space, "hiring", space.store.policy("fit").body(), "ben", "From Word")
    monkeypatch.setattr(type(space.store), "policy_names", lambda self: [])
    page = open_in_app("policy")
    said = text_of(page)
    assert "No policies yet." in said
    assert "From Word" in said
    assert "Import a document" in [link.proto.label for link in page.get("page_link")]


def test_home_says_where_the_loop_stands_and_what_is_next(space: Workspace, open_in_app: OpenPage) -> None:
    page = open_in_app("home")
    said = text_of(page)
    assert "2 dimensions, 2 clauses" in said
    assert "Import a golden set" in said
