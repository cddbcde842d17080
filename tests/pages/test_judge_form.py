"""The form of a judge: what it makes of its fields, and that a judge put into it comes out the same."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from page_samples import text_of
from streamlit.testing.v1 import AppTest

from workbench.prompt_mode import PromptMode
from workbench.run import (
    BaselineSpec,
    CalibratedSpec,
    CascadeSpec,
    CheckpointSpec,
    EnsembleSpec,
    JudgeSpec,
    LlmSpec,
)
from workbench.store import StoredCheckpoint
from workbench.workspace import Workspace

FULL = LlmSpec(
    model="openai/gpt-5-mini",
    api_key_env="MY_KEY",
    params={"temperature": 0.5, "max_tokens": 300, "seed": 7, "logprobs": True, "top_logprobs": 20},
    mode=PromptMode(reason="after", level_order="permuted", pairs_per_call=3, seed=4),
    repeats=3,
    repeat=2,
    delivery="batch",
    concurrency=5,
    timeout_s=45.0,
    requests_per_minute=60,
    tokens_per_minute=90_000,
    cap_usd=1.5,
    cap_tokens=20_000,
    cap_seconds=600.0,
)


def script() -> None:
    """Draw the form; what comes out is left in the session. A judge left there is put into the fields first."""
    import streamlit as st

    from workbench import judge_form
    from workbench.errors import WorkbenchError

    if "given" in st.session_state:
        judge_form.fill("x_", st.session_state.pop("given"))
    try:
        st.session_state["made"] = judge_form.judge_form("x_")
    except WorkbenchError as error:
        st.session_state["made"] = None
        st.error(error.message)


@pytest.fixture
def page(space: Workspace) -> AppTest:
    return drawn(AppTest.from_function(script, default_timeout=60))


def drawn(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception, page.exception
    return page


def chosen(page: AppTest, kind: str) -> AppTest:
    page.segmented_control(key="x_judge").set_value(kind)
    return drawn(page)


def made(page: AppTest) -> JudgeSpec | None:
    found: JudgeSpec | None = page.session_state["made"]
    return found


def checkpoint(space: Workspace, name: str = "small-1") -> CheckpointSpec:
    record = {"policy": "fit", "policy_version": 1, "lineage": {"golden": "bakers v1"}}
    at = datetime(2026, 11, 1, tzinfo=UTC)
    space.store.save_checkpoint(
        StoredCheckpoint(id=name, name="small", created_at=at, folder="x", job_id="job-t", record=record)
    )
    return CheckpointSpec(checkpoint=name)


def test_the_first_thing_offered_is_the_baseline_and_only_what_is_there(page: AppTest) -> None:
    assert page.segmented_control(key="x_judge").options == ["Baseline", "Language model", "Checkpoint"]
    assert made(page) == BaselineSpec()
    assert not page.expander


def test_a_model_needs_its_name_alone(page: AppTest) -> None:
    chosen(page, "llm")
    assert made(page) is None
    assert "Name a model" in text_of(page)
    page.text_input(key="x_model").set_value(" openai/gpt-5-mini ")
    drawn(page)
    assert made(page) == LlmSpec(model="openai/gpt-5-mini")
    assert all(not expander.proto.expanded for expander in page.expander)  # quiet until it is wanted
    page.toggle(key="x_logprobs").set_value(True)
    page.text_input(key="x_params").set_value("reasoning_effort: low")
    page.toggle(key="x_calibrated").set_value(True)
    drawn(page)
    params = {"reasoning_effort": "low", "logprobs": True, "top_logprobs": 20}
    assert made(page) == CalibratedSpec(judge=LlmSpec(model="openai/gpt-5-mini", params=params))


@pytest.mark.parametrize(("text", "sentence"), [("low", "no set of names"), ("{a: [", "not valid YAML")])
def test_parameters_that_cannot_be_read_are_refused(page: AppTest, text: str, sentence: str) -> None:
    chosen(page, "llm")
    page.text_input(key="x_model").set_value("openai/gpt-5-mini")
    drawn(page)
    page.text_input(key="x_params").set_value(text)
    drawn(page)
    assert sentence in page.error[0].value
    assert made(page) is None


def test_a_judge_put_into_the_form_comes_out_the_same(page: AppTest, space: Workspace) -> None:
    small = checkpoint(space)
    judges: list[JudgeSpec] = [
        FULL,
        LlmSpec(model="local", base_url="http://127.0.0.1:9/v1"),
        CalibratedSpec(judge=FULL, method="isotonic"),
        BaselineSpec(use_embeddings=False),
        small,
        EnsembleSpec(name="both", members=(FULL, small, BaselineSpec()), weights=(2.0, 1.0, 0.5)),
        EnsembleSpec(members=(CalibratedSpec(judge=small), BaselineSpec())),
        CascadeSpec(first=small, second=FULL, sure_at=0.65),
    ]
    for judge in judges:
        page.session_state["given"] = judge
        drawn(page)
        assert made(page) == judge


def test_an_ensemble_and_a_cascade_are_made_of_what_is_there(page: AppTest, space: Workspace) -> None:
    small = checkpoint(space)
    drawn(page)
    chosen(page, "ensemble")
    assert made(page) is None
    members = page.multiselect(key="x_members")
    assert members.options == ["baseline", "checkpoint small-1"]
    members.select("baseline").select("checkpoint small-1")
    drawn(page)
    assert made(page) == EnsembleSpec(members=(BaselineSpec(), small))
    chosen(page, "cascade")
    assert made(page) == CascadeSpec(first=BaselineSpec(), second=small)
    # The second is another one than the first.
    assert page.selectbox(key="x_second").options == ["checkpoint small-1"]
