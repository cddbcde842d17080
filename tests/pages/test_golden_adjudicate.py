"""The Adjudicate section: what is listed, what a case shows, deciding it, and the way to a precedent and a rule.

``bakers``: on the first pair (dev) ann and bob say 0 and 2 on skills and agree on wishes; on the third (holdout) they
say 2 and 0 on skills. The second pair is one level apart.
"""

from __future__ import annotations

import pytest
from page_samples import PAIRS, label, text_of
from streamlit.testing.v1 import AppTest

from workbench import authoring
from workbench.golden import adjudicated
from workbench.workspace import Workspace


def script() -> None:
    from workbench import golden_adjudicate, labelling, widgets

    space = widgets.workspace()
    widgets.flash()
    found = labelling.golden_figures(space, "bakers")
    golden_adjudicate.draw(found, space.store.policy("fit"))


def open_section(**parameters: str) -> AppTest:
    page = AppTest.from_function(script, default_timeout=60)
    page.query_params.update(parameters)
    page.run()
    assert not page.exception, page.exception
    return page


def click(page: AppTest, key: str) -> None:
    page.button(key=key).click().run()
    assert not page.exception, page.exception


def choose(page: AppTest, key: str, pair_id: str, grade: int, decided: int = 0) -> None:
    page.segmented_control(key=f"decide|{key}|bakers|{pair_id}|{decided}").set_value(grade)


@pytest.fixture
def bakers(golden: Workspace) -> Workspace:
    """The workspace with the labels described above."""
    label(golden, PAIRS[0], "ann", note="<b>no</b> sourdough", skills=0, wishes=1)
    label(golden, PAIRS[0], "bob", skills=2, wishes=1)
    label(golden, PAIRS[1], "ann", skills=1)
    label(golden, PAIRS[1], "bob", skills=2)
    label(golden, PAIRS[2], "ann", skills=2)
    label(golden, PAIRS[2], "bob", skills=0)
    return golden


def test_without_labels_it_says_what_to_do(golden: Workspace) -> None:
    assert "No labels yet." in text_of(open_section())


def test_cases_are_listed_with_what_they_differ_on(bakers: Workspace) -> None:
    page = open_section()
    frame = page.dataframe[0].value
    assert frame["they differ on"].tolist() == ["Skills 0–2", "Skills 0–2"]
    assert frame["by"].tolist() == [2, 2]
    assert "2 open cases" in text_of(page)
    page = open_section(least="1", split="dev")
    assert page.dataframe[0].value["they differ on"].tolist() == ["Skills 0–2", "Skills 1–2"]
    page = open_section(adjudicate_dimension="wishes")
    assert "No open case." in text_of(page)


def test_a_case_shows_everybodys_grades_and_notes_as_text(bakers: Workspace) -> None:
    text = text_of(open_section(case=PAIRS[0].id))
    assert ">ann</th>" in text
    assert ">bob</th>" in text
    assert "&lt;b&gt;no&lt;/b&gt; sourdough" in text
    assert "<b>no</b> sourdough" not in text


def test_who_has_not_labelled_the_pair_is_warned(bakers: Workspace) -> None:
    warning = "You have not labelled this pair"
    assert warning in text_of(open_section(case=PAIRS[0].id))
    label(bakers, PAIRS[0], "anna", skills=1)
    assert warning not in text_of(open_section(case=PAIRS[0].id))


def test_a_decision_is_kept_and_the_next_case_opens(bakers: Workspace) -> None:
    page = open_section(case=PAIRS[0].id)
    form = f"bakers|{PAIRS[0].id}|0"
    # wishes is filled in with what both said, skills is open
    assert page.segmented_control(key=f"decide|wishes|{form}").value == 1
    assert page.segmented_control(key=f"decide|skills|{form}").value is None
    choose(page, "skills", PAIRS[0].id, 2)
    page.text_area(key=f"because|{form}").set_value("It was used at work.")
    click(page, "adjudicate_next")
    decided = adjudicated(bakers.store.labels("bakers"))
    assert decided[["pair_id", "dimension", "grade", "labeler", "note"]].values.tolist() == [
        [PAIRS[0].id, "skills", 2, "anna", "It was used at work."]
    ]
    assert page.query_params["case"] == PAIRS[2].id
    assert "Decided 1 grade." in page.success[0].value
    assert len(page.dataframe[0].value) == 1


def test_without_a_reason_nothing_is_kept_and_the_case_stays_open(bakers: Workspace) -> None:
    page = open_section(case=PAIRS[0].id)
    choose(page, "skills", PAIRS[0].id, 2)
    click(page, "adjudicate_next")
    assert "needs a reason" in page.error[0].value
    assert page.query_params["case"] == PAIRS[0].id
    assert adjudicated(bakers.store.labels("bakers")).empty
    assert page.segmented_control(key=f"decide|skills|bakers|{PAIRS[0].id}|0").value == 2


def test_a_decision_is_added_to_a_draft_as_a_precedent(bakers: Workspace) -> None:
    draft = authoring.start_draft(bakers, "fit", "bob", title="Autumn")
    page = open_section(case=PAIRS[0].id)
    choose(page, "skills", PAIRS[0].id, 2)
    page.text_area(key=f"because|bakers|{PAIRS[0].id}|0").set_value("It was used at work.")
    click(page, "adjudicate_keep")
    assert page.query_params["case"] == PAIRS[0].id
    assert "It was used at work." in text_of(page)
    click(page, "precedent_add")
    assert "Added as skills.p1 to Autumn · bob." in page.success[0].value
    [precedent] = bakers.store.draft(draft.id).body.dimension("skills").precedents
    assert (precedent.grade, precedent.because) == (2, "It was used at work.")
    click(page, "precedent_add")
    assert "precedent skills.p1 of the draft already" in page.error[0].value


def test_a_pair_of_the_holdout_is_offered_to_no_draft(bakers: Workspace) -> None:
    authoring.start_draft(bakers, "fit", "bob")
    page = open_section(case=PAIRS[2].id)
    choose(page, "skills", PAIRS[2].id, 0)
    page.text_area(key=f"because|bakers|{PAIRS[2].id}|0").set_value("Welding is no baking.")
    click(page, "adjudicate_keep")
    assert "holdout cannot be a precedent" in text_of(page)
    assert not [button for button in page.button if button.key == "precedent_add"]


def test_a_case_that_is_gone_is_said(bakers: Workspace) -> None:
    assert "has no pair gone" in open_section(case="gone").warning[0].value


def test_the_consensus_rule_is_chosen_with_its_effect_in_sight(bakers: Workspace) -> None:
    """On wishes of the fourth pair two say N/A, one 0, one 1: N/A by majority, 0 by the median. Six grades settle.

    Those are skills of three pairs, wishes of the first, and wishes of the fourth: five, and the fourth pair's
    overall grade is labelled 2 by ann: six.
    """
    for who, grade in zip(("ann", "bob", "cem", "dan"), (-2, -2, 0, 1), strict=True):
        label(bakers, PAIRS[3], who, wishes=grade)
    label(bakers, PAIRS[3], "ann", overall=2)
    page = open_section()
    assert "Dawid–Skene" not in text_of(page)
    page.session_state["consensus_rule"] = True
    page.run()
    text = text_of(page)
    assert "1 of 6" in text
    assert "Wishes 1" in text
    page.segmented_control(key="rule|bakers|majority").set_value("median").run()
    click(page, "use_rule")
    assert bakers.store.golden("bakers").consensus == "median"
    assert "settle by Median" in page.success[0].value
