"""Bringing judgements made elsewhere onto the Runs page. The policy ``fit``: skills 0-2, wishes 0-1 or N/A."""

from __future__ import annotations

from typing import Any

import pytest
from page_samples import PAIRS, text_of
from streamlit.testing.v1 import AppTest

from workbench.labelling import publish_golden
from workbench.workspace import Workspace

GOOD = "pair_id,skills,rationale\n" + "".join(
    f"{pair.id},{i % 3},Because {i}\n" for i, pair in enumerate(PAIRS)
)


@pytest.fixture
def published(golden: Workspace) -> Workspace:
    """The workspace with ``bakers`` v1."""
    publish_golden(golden, "bakers", message="For tests", author="anna")
    return golden


def script() -> None:
    from workbench import judgement_import_panel, widgets

    widgets.flash()
    judgement_import_panel.draw()


def drawn(page: Any = None) -> AppTest:
    page = (page or AppTest.from_function(script, default_timeout=60)).run()
    assert not page.exception, page.exception
    return page


def upload(page: AppTest, name: str, content: str | bytes) -> AppTest:
    data = content.encode() if isinstance(content, str) else content
    page.file_uploader[0].set_value([(name, data, "text/csv")])
    return drawn(page)


def name_judge(page: AppTest, name: str = "gpt") -> AppTest:
    return drawn(page.text_input[0].set_value(name))


def plain(element: Any) -> str:
    """Return a Markdown text without the marks that keep it literal."""
    return str(element.value).replace("\\", "")


def button(page: AppTest) -> Any:
    return page.button(key="_judgement_import_button")


def test_without_a_published_set_it_says_what_to_do(golden: Workspace) -> None:
    page = drawn()
    assert "No published golden set yet." in text_of(page)
    assert not page.file_uploader


def test_it_asks_for_a_file_and_then_for_the_judge(published: Workspace) -> None:
    page = drawn()
    assert "`pair_id`" in text_of(page)
    assert not page.button
    page = upload(page, "scores.csv", GOOD)
    assert page.info[0].value.startswith("The file does not name its judge.")
    assert "Because 0" in text_of(page)  # the rows are shown already
    assert not page.error
    assert not page.button


def test_a_preview_and_the_import(published: Workspace) -> None:
    page = name_judge(upload(drawn(), "scores.csv", GOOD))
    text = text_of(page)
    assert "table · 4 judgements · 4 of 4 pairs of bakers v1 · 1 run" in text
    assert "Because 0" in text
    assert "fit v1" in text
    assert not page.warning
    assert published.store.runs() == []  # nothing is kept before it is asked for
    page = drawn(button(page).click())
    (run,) = published.store.runs()
    assert (run.judge.name, run.author, run.totals.judgements) == ("gpt", "anna", 4)
    assert published.store.judgements(run.id, [PAIRS[1].id])[PAIRS[1].id]["skills"].rationale == "Because 1"
    assert [said.value for said in page.success] == ["Imported 1 run from scores.csv."]
    assert page.query_params["run"] in (run.id, [run.id])
    assert page.file_uploader[0].value in (None, [])  # ready for the next file
    assert page.session_state["_judgement_import_judge"] == ""


def test_the_same_file_again_offers_nothing(published: Workspace) -> None:
    page = name_judge(upload(drawn(), "scores.csv", GOOD))
    page = drawn(button(page).click())
    page = name_judge(upload(page, "scores.csv", GOOD))
    assert button(page).disabled
    assert "All of it is imported already." in text_of(page)
    assert "imported before" in text_of(page)
    assert len(published.store.runs()) == 1


def test_unknown_pairs_have_to_be_left_out(published: Workspace) -> None:
    page = name_judge(upload(drawn(), "scores.csv", GOOD + "pair-x,1,\npair-y,9,\n"))
    assert "2 pairs are not in bakers v1: pair-x, pair-y." in plain(page.warning[0])
    assert button(page).disabled
    page = drawn(page.checkbox[0].check())
    assert page.checkbox[0].label == "Leave 2 unknown pairs out"
    assert not button(page).disabled
    drawn(button(page).click())
    assert published.store.runs()[0].totals.pairs == 4


def test_a_broken_file_is_one_sentence(published: Workspace) -> None:
    page = upload(drawn(), "scores.json", "[1, 2")
    assert plain(page.error[0]).startswith("**scores.json, line 1: not whole JSON")
    page = upload(drawn(), "log.eval", b"PK\x03\x04")
    assert plain(page.error[0]).startswith("**log.eval is not a whole zip archive")


def test_what_a_file_says_is_shown_as_text(published: Workspace) -> None:
    page = upload(
        drawn(), "scores.csv", f"judge,pair_id,skills,rationale\n<b>x</b>,{PAIRS[0].id},1,<i>so</i>\n"
    )
    text = text_of(page)
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    assert "&lt;i&gt;so&lt;/i&gt;" in text
    assert "<i>so" not in text
