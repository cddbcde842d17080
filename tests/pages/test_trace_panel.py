"""The panel of one judgement, and the table of judgements that opens it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from job_samples import publish
from page_samples import text_of
from streamlit.testing.v1 import AppTest

from workbench.fake_provider import FakeProvider, error, text
from workbench.golden import Pair
from workbench.prompt_mode import PromptMode
from workbench.run import BaselineSpec, Run
from workbench.workspace import Workspace

sys.path.insert(0, str(Path(__file__).parents[1]))

from trace_samples import finished, llm, no_workers


@pytest.fixture
def pairs(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> list[Pair]:
    """The published pairs of ``bakers``; jobs are worked on in this process."""
    no_workers(monkeypatch)
    return publish(space)


def graded_run(space: Workspace, judge: Any) -> Run:
    return finished(space, judge, policy="fit", golden="bakers")


def panel_script() -> None:
    import streamlit as st

    from workbench import judgement_table, trace_panel, widgets

    widgets.flash()
    run = widgets.workspace().store.run(st.query_params["run"])
    if "pair" in st.query_params:
        trace_panel.draw(run, st.query_params["pair"])
    else:
        judgement_table.draw(run)


def drawn(run: Run, **parameters: str) -> AppTest:
    page = AppTest.from_function(panel_script, default_timeout=60)
    page.query_params.update({"run": run.id} | parameters)
    return again(page)


def again(changed: Any) -> AppTest:
    """Draw the page, after one of its widgets was changed."""
    page: AppTest = changed.run()
    assert not page.exception, page.exception
    return page


def codes(page: AppTest) -> str:
    return "\n".join(str(code.value) for code in page.code)


def test_a_judgement_is_told_from_messages_to_the_call(space: Workspace, pairs: list[Pair]) -> None:
    with FakeProvider([error(503, "<busy>", headers={"Retry-After": "0"})]) as provider:
        run = graded_run(space, llm(provider.base_url, concurrency=1))
        page = drawn(run, pair=pairs[0].id)
    said = text_of(page)
    for part in (
        "Verified: these messages give the recorded key",
        "sourdough by hand",
        "503: &lt;busy&gt;; waited",
        "2 rules given, 0 cited",
        "verdict-",
        "unknown",
    ):
        assert part in said, part
    assert [tab.label for tab in page.tabs] == ["Messages", "Reply", "Attempts (2)", "Facts", "Copy the call"]
    assert "2 dimensions graded" in page.success[0].value
    assert "curl -sS http://127.0.0.1" in codes(page)


def test_ask_again_shows_both_answers_and_leaves_the_run(space: Workspace, pairs: list[Pair]) -> None:
    with FakeProvider() as provider:
        run = graded_run(space, llm(provider.base_url, mode=PromptMode(scope="dimension")))
        page = drawn(run, pair=pairs[0].id)
        assert len(page.selectbox[0].options) == 2
        calls = provider.calls
        page = again(page.button(key="trace_again").click())
        assert provider.calls == calls + 2
    assert "asked again" in text_of(page)
    assert space.store.events(1)[0]["what"] == "asked a judge again"
    assert space.store.run(run.id) == run


def test_asking_a_server_that_is_gone_says_so_in_a_sentence(space: Workspace, pairs: list[Pair]) -> None:
    with FakeProvider() as provider:
        run = graded_run(space, llm(provider.base_url))
    page = drawn(run, pair=pairs[0].id)
    again(page.button(key="trace_again").click())
    assert "the connection failed" in page.error[0].value


def test_what_is_not_known_is_said(space: Workspace, pairs: list[Pair]) -> None:
    run = graded_run(space, BaselineSpec(use_embeddings=False))
    page = drawn(run, pair=pairs[0].id)
    assert "asks nobody in words" in page.info[0].value
    assert not page.tabs
    assert "No judged pair of this run" in drawn(run, pair="pair-nothing").error[0].value
    again(page.button(key="trace_back").click())
    assert "pair" not in page.query_params


def test_the_table_is_filtered_searched_and_paged(space: Workspace, pairs: list[Pair]) -> None:
    with FakeProvider([text("{}")] * 2) as provider:
        run = graded_run(space, llm(provider.base_url, concurrency=1))
    page = drawn(run)
    assert "20 judgements" in text_of(page)  # ten pairs, two dimensions
    assert len(page.dataframe[0].value) == 20
    again(page.selectbox[1].select("failed"))
    table = page.dataframe[0].value
    assert (len(table), set(table["grade"])) == (2, {"failed"})
    assert all("lacks dimension" in reason for reason in table["reason or error"])
    again(page.selectbox[0].select("wishes"))
    assert list(page.dataframe[0].value["dimension"]) == ["wishes"]
    page.selectbox[1].select("")
    again(page.text_input[0].set_value("WELDER 3"))
    table = page.dataframe[0].value
    assert list(table["job"]) == ["Welder 3 · sourdough by hand"]
    again(page.text_input[0].set_value("nobody says this"))
    assert "No judgement of this run is like that." in text_of(page)


def test_a_page_of_judgements_is_cut_from_the_filtered_ones(space: Workspace, pairs: list[Pair]) -> None:
    run = graded_run(space, BaselineSpec(use_embeddings=False))
    ids = sorted(pair.id for pair in pairs)
    rows, count = space.store.judgement_page(run.id, skip=3, limit=4)
    # Two rows a pair, dimensions in alphabetical order: skills, wishes.
    assert count == 20
    assert list(zip(rows["pair_id"], rows["dimension"], strict=True)) == [
        (ids[1], "wishes"),
        (ids[2], "skills"),
        (ids[2], "wishes"),
        (ids[3], "skills"),
    ]
    rows, count = space.store.judgement_page(run.id, dimension="skills", pair_ids=ids[4:6], skip=1)
    assert (list(rows["pair_id"]), count) == ([ids[5]], 2)
    assert space.store.judgement_page(run.id, pair_ids=[])[1] == 0
    assert space.store.judged_pairs(run.id, ids[0][:20]) == [ids[0]]
