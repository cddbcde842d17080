"""Saved judges on the Settings page: added with a test call, opened, changed, retired; keys by name only."""

from __future__ import annotations

import pytest
from page_samples import OpenPage, text_of

from workbench import judge_registry, labelling
from workbench.fake_provider import FakeProvider, error
from workbench.run import BaselineSpec, LlmSpec
from workbench.workspace import Workspace


def test_without_judges_the_form_is_there(golden: Workspace, open_page: OpenPage) -> None:
    said = text_of(open_page("settings"))
    assert "No judges are saved yet." in said


def test_adding_sends_one_call_and_keeps_the_outcome(golden: Workspace, open_page: OpenPage) -> None:
    with FakeProvider() as provider:
        page = open_page("settings")
        page.segmented_control(key="add_judge").set_value("llm").run()
        page.text_input(key="add_model").set_value("fake-hash-grader").run()
        page.text_input(key="add_base_url").set_value(provider.base_url).run()
        page.text_input(key="add_name").set_value("small")
        page.text_input(key="add_note").set_value("for every day")
        next(b for b in page.button if b.label == "Save and test").click().run()
        assert provider.calls == 1
    saved = golden.store.judge("small")
    assert (saved.author, saved.note, saved.tested["works"]) == ("anna", "for every day", True)
    assert page.dataframe[0].value["last test"].tolist()[0].startswith("works")


def test_a_judge_that_does_not_answer_is_saved_with_the_reason(
    golden: Workspace, open_page: OpenPage
) -> None:
    with FakeProvider(otherwise=error(401, "bad key")) as provider:
        judge_registry.add(golden, "broken", LlmSpec(model="m", base_url=provider.base_url), "", "anna")
        page = open_page("settings", card="broken")
        page.button(key="judge_test").click().run()
    assert golden.store.judge("broken").tested["works"] is False
    assert any("refused the key" in e.value for e in page.error)


def test_a_card_changes_and_retires(golden: Workspace, open_page: OpenPage) -> None:
    judge_registry.add(golden, "free", BaselineSpec(), "first", "anna")
    page = open_page("settings", card="free")
    page.button(key="judge_change").click().run()
    page.text_input(key="change_note").set_value("second")
    next(b for b in page.button if b.label == "Save and test").click().run()
    assert (golden.store.judge("free").note, golden.store.judge("free").revision) == ("second", 2)
    page = open_page("settings", card="free")
    page.button(key="judge_retire").click().run()
    assert golden.store.judge("free").retired_at is not None
    assert golden.store.judges() == {}


def test_keys_are_named_and_never_shown(
    golden: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-distinctive-value-123")
    said = text_of(open_page("settings", section="providers"))
    assert "OPENAI_API_KEY" in said
    assert "distinctive" not in said


def test_a_saved_judge_can_be_run_by_its_name(golden: Workspace, open_page: OpenPage) -> None:
    judge_registry.add(golden, "free", BaselineSpec(use_embeddings=False), "", "anna")
    labelling.publish_golden(golden, "bakers", message="first", author="anna")
    page = open_page("runs")
    page.segmented_control(key="judge").set_value("saved").run()
    assert page.selectbox(key="saved").options == ["free"]
