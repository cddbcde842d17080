"""The panel that tries a draft: what it offers, the cost before, starting once, one pair, thirty pairs, errors."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from job_samples import Held, answer, finish, folder_of, progress, publish, verdict
from page_samples import PAIRS, text_of
from streamlit.testing.v1 import AppTest
from trial_samples import fake, work

from workbench import authoring, policy_edit
from workbench.fake_provider import FakeProvider, Grade, Request, error, graded
from workbench.golden import Pair
from workbench.prompt_mode import PromptMode
from workbench.run import BaselineSpec
from workbench.store import Draft
from workbench.trials import start_trial, trials_of
from workbench.workspace import Workspace

EDIT = "A skill counts wherever it was used."


def script() -> None:
    """Draw the panel for the one draft there is."""
    import streamlit as st

    from workbench import authoring, trial_panel, widgets

    widgets.flash()
    (draft,) = widgets.workspace().store.drafts()
    base = authoring.base_body(widgets.workspace(), draft)
    trial_panel.draw(draft, base, st.query_params.get("part", "general"), "")


def opened(**parameters: str) -> AppTest:
    page = AppTest.from_function(script, default_timeout=60)
    page.query_params.update(parameters)
    return drawn(page)


def drawn(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception, page.exception
    return page


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Jobs that are started and do nothing."""
    return Held(monkeypatch)


@pytest.fixture
def pairs(space: Workspace, held: Held) -> list[Pair]:
    """Ten labelled pairs of the published set ``bakers``; the first six are dev."""
    return publish(space)


@pytest.fixture
def draft(space: Workspace, pairs: list[Pair]) -> Draft:
    """A draft with one clause reworded."""
    first = authoring.start_draft(space, "fit", "anna")
    return authoring.save(space, first, policy_edit.set_clause(first.body, "skills.1", EDIT), "anna")


def kinder(request: Request, dimension: str, grades: Sequence[Grade]) -> Grade:
    """Grade skills 1 under the published version and 2 under the draft, and wishes always 1."""
    if dimension == "skills":
        return 2 if EDIT in request.message("system") else 1
    return 1


def start_button(page: AppTest):
    return next(button for button in page.button if button.label == "Try the draft")


def tried(space: Workspace, draft: Draft, judge, pairs: list[Pair], key: str = "k") -> str:
    """Start a trial and do its work."""
    job_id = start_trial(space, draft, judge, pairs, "anna", key)
    work(space, job_id)
    return job_id


def test_one_pair_is_tried_by_the_baseline_and_started_once(
    space: Workspace, draft: Draft, held: Held
) -> None:
    page = opened()
    assert page.selectbox(key="trial_judge").options == [
        "Baseline: similarities, needs no key",
        "Another language model …",
    ]
    said = text_of(page)
    assert "saw no label of that pair" in said
    assert "1 pair under draft and published version" in said
    assert "nothing: it runs on this machine" in said
    first = start_button(page)
    first.click()
    drawn(page)
    (job,) = trials_of(space, draft)
    assert held.started == [job.spec.id]
    assert (job.spec.author, job.spec.payload["golden"]) == ("anna", "bakers")
    assert start_button(page).key != first.key  # the second click of a double click finds no button
    assert "Stop" in [button.label for button in page.button]


def test_the_mode_of_a_trial_is_shown_and_is_not_taken_over_to_another_draft(
    space: Workspace, draft: Draft, pairs: list[Pair], held: Held
) -> None:
    judge = fake("http://127.0.0.1:9/v1").model_copy(update={"mode": PromptMode(reason="none")})
    for key in ("k1", "k2"):
        start_trial(space, draft, judge, pairs[:1], "anna", key)
    page = opened()
    named = "fake-hash-grader at http://127.0.0.1:9/v1 (no reason)"
    assert page.selectbox(key="trial_judge").options[0] == named
    assert all(
        option.endswith("(no reason)") for option in page.selectbox(key=f"trial_open:{draft.id}").options
    )
    page.selectbox(key="trial_judge").set_value("baseline")
    page.segmented_control(key="trial_way").set_value("30 dev pairs")
    drawn(page)
    # As if the page went on to another draft: what was chosen for this one is gone.
    page.session_state["_trial_draft"] = "draft-elsewhere"
    drawn(page)
    assert page.segmented_control(key="trial_way").value == "A dev pair"
    assert page.selectbox(key="trial_judge").value != "baseline"


def test_a_pair_is_found_by_its_text(space: Workspace, draft: Draft, pairs: list[Pair]) -> None:
    page = opened()
    assert len(page.selectbox(key="trial_pair").options) == 6  # the dev pairs
    page.text_input(key="trial_find").set_value("welder 1")
    drawn(page)
    assert page.selectbox(key="trial_pair").options == ["Baker 1 → Welder 1"]
    page.text_input(key="trial_find").set_value("Welder 4")  # in the holdout
    drawn(page)
    assert "No dev pair says that." in text_of(page)
    assert "Try the draft" not in [button.label for button in page.button]


def test_a_language_model_shows_calls_and_the_variable_that_is_missing(
    space: Workspace, draft: Draft, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    page = opened()
    page.selectbox(key="trial_judge").set_value("other")
    drawn(page)
    assert "Name a model to see what the trial would send." in text_of(page)
    page.text_input(key="trial_model").set_value("openai/gpt-5-mini")
    page.segmented_control(key="trial_way").set_value("30 dev pairs")
    drawn(page)
    said = text_of(page)
    assert "6 labelled dev pairs of bakers" in said
    assert "6 pairs under draft and published version" in said
    assert "about $0.0" in said
    assert "list prices" in said
    assert [warning.value for warning in page.warning] == [
        "`OPENAI_API_KEY` is not set where this app runs. Set it and restart the app to ask this model."
    ]
    assert start_button(page).disabled
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1234567890")
    drawn(page)
    assert not page.warning
    assert not start_button(page).disabled
    page.text_input(key="trial_base_url").set_value("nowhere")
    drawn(page)
    assert "The address of the endpoint is not usable." in page.error[0].value
    assert held.started == []


def test_one_pair_shows_label_published_and_draft_side_by_side(
    space: Workspace, draft: Draft, pairs: list[Pair]
) -> None:
    with FakeProvider(otherwise=graded(kinder)) as provider:
        tried(space, draft, fake(provider.base_url), pairs[:1])
        page = opened(part="skills")
        said = text_of(page)
        assert f"fake-hash-grader at {provider.base_url}" in page.selectbox(key="trial_judge").options
    # Skills 1 and wishes 1: mean 1, overall 1. With skills 2: mean 1.5, overall 2. Labelled 2 and 1: overall 2.
    assert said.count("wb-fixed") == 2
    assert "A hash of the text gives 1." in said
    assert "A hash of the text gives 2." in said
    assert "published v1" in said
    assert "The other dimension: same grades" in said
    assert "revision 2, by anna" in said
    assert "2 calls, 0 answers known before · cost unknown" in said


def test_an_edit_after_the_trial_is_said(space: Workspace, draft: Draft, pairs: list[Pair]) -> None:
    with FakeProvider(otherwise=graded(kinder)) as provider:
        tried(space, draft, fake(provider.base_url), pairs[:1])
    assert not opened().info
    authoring.save(space, draft, policy_edit.set_clause(draft.body, "skills.1", "Another rule."), "anna")
    assert [info.value for info in opened().info] == ["The draft was edited after this trial."]


def test_many_pairs_show_what_changed_with_intervals(
    space: Workspace, draft: Draft, pairs: list[Pair]
) -> None:
    with FakeProvider(otherwise=graded(kinder)) as provider:
        tried(space, draft, fake(provider.base_url), pairs[:6])
        said = text_of(opened())
    # Labels of skills are 2 0 2 0 2 0: grade 1 meets none, grade 2 three of six.
    assert "fixed</span> 3" in said
    assert "changed</span> 3" in said
    assert "n = 6" in said
    assert "this trial cannot tell better from worse" in said
    assert "pairs with a changed grade" in said
    assert "Baker 2 → Welder 2" in said
    # All queries have one pair that agrees and one that does not, so no resample differs: no interval is claimed.
    assert "every resample of the 6 pairs says the same" in said
    assert "Overall labels follow from the labels of the dimensions." in said


def test_earlier_trials_can_be_opened(space: Workspace, draft: Draft, pairs: list[Pair]) -> None:
    with FakeProvider(otherwise=graded(kinder)) as provider:
        judge = fake(provider.base_url)
        first = tried(space, draft, judge, pairs[:1], "k1")
        tried(space, draft, judge, pairs[:6], "k2")
    page = opened()
    choice = page.selectbox(key=f"trial_open:{draft.id}")
    assert len(choice.options) == 2
    assert "pairs with a changed grade" in text_of(page)
    choice.set_value(first)
    drawn(page)
    assert "pairs with a changed grade" not in text_of(page)


def test_a_pasted_pair_is_tried_and_a_holdout_pair_refused(
    space: Workspace, draft: Draft, pairs: list[Pair], held: Held
) -> None:
    page = opened()
    page.segmented_control(key="trial_way").set_value("A pasted pair")
    drawn(page)
    assert "Paste at least one field." in text_of(page)
    page.text_area(key="trial_field:member.headline").set_value("Baker 4")
    page.text_area(key="trial_field:member.skills").set_value("sourdough ")
    page.text_area(key="trial_field:job.title").set_value("Welder 4")
    page.text_area(key="trial_field:job.requirements").set_value("sourdough by  hand")
    drawn(page)
    assert "in the holdout of golden set 'bakers'" in page.error[0].value
    page.text_area(key="trial_field:job.title").set_value("Smith")
    drawn(page)
    assert not page.error
    start_button(page).click()
    drawn(page)
    (job,) = trials_of(space, draft)
    assert held.started == [job.spec.id]
    assert len(space.store.members("bakers")) == 10


@pytest.mark.parametrize(
    ("behaviour", "sentence"),
    [
        (error(400, "the model is asleep"), "The judge gave no grade for the pair under the draft"),
        (error(401, "no such key"), "refused the key"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    space: Workspace, draft: Draft, pairs: list[Pair], held: Held, behaviour, sentence: str
) -> None:
    held.alive = False
    with FakeProvider(otherwise=behaviour) as provider:
        tried(space, draft, fake(provider.base_url), pairs[:1])
    page = opened()
    assert sentence in page.error[0].value
    assert "\n" not in page.error[0].value


def test_without_a_published_golden_set_a_pair_can_be_pasted(golden: Workspace, held: Held) -> None:
    authoring.start_draft(golden, "fit", "anna")
    page = opened()
    assert "fit has no published golden set" in text_of(page)
    assert page.segmented_control(key="trial_way").options == ["A pasted pair"]
    for side, fields in (("member", PAIRS[0].query), ("job", PAIRS[0].document)):
        for name, text in fields.items():
            page.text_area(key=f"trial_field:{side}.{name}").set_value(text)
    drawn(page)
    start_button(page).click()
    drawn(page)
    assert "fit has no published golden set" in page.error[0].value  # the baseline has nothing to learn from
    assert held.started == []


def test_a_running_trial_shows_how_far_it_is_and_what_it_has(
    space: Workspace, draft: Draft, pairs: list[Pair]
) -> None:
    job_id = start_trial(space, draft, BaselineSpec(), pairs[:2], "anna", "k")
    page = opened()
    (bar,) = page.get("progress")
    assert bar.proto.text == "waiting for the worker"
    assert "Try the draft" in [button.label for button in page.button]
    folder = folder_of(space, job_id)
    progress(folder, 1, 4)
    answer(folder, [verdict(pairs[0], 2, 1)])
    drawn(page)
    (bar,) = page.get("progress")
    assert (bar.proto.value, bar.proto.text) == (25, "1 of 4 answers")
    assert "pairs with a changed grade" not in text_of(page)
    page.button(key=f"stop_{job_id}").click()
    drawn(page)
    assert folder.stop_asked() is not None


def test_a_trial_that_ended_early_keeps_what_it_has_and_can_go_on(
    space: Workspace, draft: Draft, pairs: list[Pair], held: Held
) -> None:
    job_id = start_trial(space, draft, BaselineSpec(), pairs[:2], "anna", "k")
    folder = folder_of(space, job_id)
    answer(folder, [verdict(pair, 2, 1) for pair in pairs[:2]])
    finish(folder, "cancelled")
    page = opened()
    assert page.error[0].value == "The trial was stopped before its end."
    assert "n = 0" in text_of(page)  # one side alone compares with nothing
    page.button(key=f"resume_{job_id}").click()
    drawn(page)
    assert held.started == [job_id, job_id]
