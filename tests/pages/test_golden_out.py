"""The Export and Snapshots sections of the Golden set page, and importing another tool's file on it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from page_samples import PAIRS, OpenPage, label, text_of
from streamlit.testing.v1 import AppTest

from workbench.golden import Label
from workbench.golden_history import export_bytes
from workbench.labelling import publish_golden
from workbench.workspace import Workspace


def exporting() -> None:
    from workbench import golden_out, labelling, widgets

    space = widgets.workspace()
    golden_out.draw(labelling.golden_figures(space, "bakers"), space.store.policy("fit"))


def comparing() -> None:
    from workbench import golden_snapshots, labelling, widgets

    space = widgets.workspace()
    golden_snapshots.draw(labelling.golden_figures(space, "bakers"), space.store.policy("fit"))


def drawn(section: Any, **parameters: str) -> AppTest:
    page = AppTest.from_function(section, default_timeout=60)
    page.query_params.update(parameters)
    page.run()
    assert not page.exception, page.exception
    return page


@pytest.fixture
def twice(golden: Workspace) -> Workspace:
    """Two snapshots: in the second bob has graded the first pair too, and cleo the second one."""
    label(golden, PAIRS[0], "anna", skills=2)
    publish_golden(golden, "bakers", message="one", author="anna")
    label(golden, PAIRS[0], "bob", skills=0)
    label(golden, PAIRS[1], "cleo", skills=1, wishes=1)
    publish_golden(golden, "bakers", message="two", author="anna")
    return golden


def deferred(page: AppTest) -> Any:
    """The download button as it was sent to the browser."""
    (button,) = page.get("download_button")
    return button.proto


# Export


def test_a_format_says_what_it_leaves_out_and_the_file_is_made_on_demand(
    twice: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_early(*_: object, **__: object) -> bytes:
        raise AssertionError("made before it was asked for")

    monkeypatch.setattr("workbench.golden_history.export_bytes", too_early)
    page = drawn(exporting)
    assert page.selectbox(key="export_version").value == 2
    assert "Nothing but withdrawn labels." in text_of(page)
    assert "get an apostrophe before them" in text_of(page)
    page.selectbox(key="export_format").select("argilla").run()
    assert not page.exception
    assert "times and sources are left out" in text_of(page)
    assert "workbench golden export bakers@2 --format argilla" in text_of(page)
    assert deferred(page).disabled is False
    page.selectbox(key="export_version").select(0).run()
    assert "workbench golden export bakers --format argilla" in text_of(page)


def test_qrels_ask_for_a_labelled_dimension(twice: Workspace) -> None:
    page = drawn(exporting)
    page.selectbox(key="export_format").select("qrels").run()
    assert page.selectbox(key="export_dimension").options == ["Skills", "Wishes"]
    page.selectbox(key="export_version").select(1).run()
    assert page.selectbox(key="export_dimension").options == ["Skills"]
    assert "--format qrels --dimension skills" in text_of(page)
    assert "bakers-v1-qrels.zip" in text_of(page)


def test_qrels_without_labels_cannot_be_downloaded(golden: Workspace) -> None:
    page = drawn(exporting)
    page.selectbox(key="export_format").select("beir").run()
    assert deferred(page).disabled is True
    page.selectbox(key="export_format").select("jsonl").run()
    assert deferred(page).disabled is False


def test_a_set_without_pairs_has_nothing_to_export(space: Workspace) -> None:
    space.store.create_golden("bakers", "fit")
    assert "There is nothing to export yet." in text_of(drawn(exporting))


# Snapshots


def test_the_difference_of_two_snapshots(twice: Workspace) -> None:
    page = drawn(comparing)
    said = text_of(page)
    # Of pair one, 2 and 0 tie: the lower median 0. Pair two has its first grades. Three labels came.
    assert "+0 / −0 pairs" in said
    assert "+3 / −0 labels" in said
    assert "3 settled grades changed over 4 pairs in both" in said
    assert "bob, cleo." in said
    frame = page.dataframe[0].value
    assert frame["Skills"].tolist() == ["2 → 0", "not settled → 1"]
    assert frame["Wishes"].tolist() == ["", "not settled → 1"]


def test_a_changed_pair_opens_by_its_address(twice: Workspace) -> None:
    page = drawn(comparing, changed=PAIRS[1].id)
    assert "Welder one" in text_of(page)
    assert "Sourdough by hand" in text_of(page)


def test_the_snapshots_are_in_the_address(twice: Workspace) -> None:
    at = datetime(2026, 11, 2, tzinfo=UTC) + timedelta(days=1)
    newer = Label(pair_id=PAIRS[2].id, dimension="skills", grade=1, labeler="anna", at=at)
    twice.store.add_labels("bakers", [newer])
    publish_golden(twice, "bakers", message="three", author="anna")
    assert "+1 / −0 labels" in text_of(drawn(comparing))
    page = drawn(comparing, **{"from": "1", "to": "3"})
    assert "+4 / −0 labels" in text_of(page)


def test_one_snapshot_has_no_difference(golden: Workspace) -> None:
    label(golden, PAIRS[0], "anna", skills=2)
    publish_golden(golden, "bakers", message="one", author="anna")
    assert "There is nothing to compare yet." in text_of(drawn(comparing))


# Import


def test_an_export_of_label_studio_is_imported_on_the_page(
    twice: Workspace, open_page: OpenPage, tmp_path: Path
) -> None:
    tasks = json.loads(export_bytes(twice, "bakers", 2, "label-studio", author="anna"))
    for task in tasks:
        for annotation in task["annotations"]:
            annotation["completed_by"]["email"] += "@oven.at"
    page = open_page("golden", golden="bakers", tab="Import")
    page.file_uploader[0].upload("bakers.json", json.dumps(tasks).encode(), "application/json").run()
    assert not page.exception, page.exception
    said = text_of(page)
    assert "4 pairs" in said
    assert "4 labels" in said
    assert "anna@oven.at" in said
    page.button(key="import_button").click().run()
    assert not page.exception, page.exception
    labels = twice.store.labels("bakers")
    assert sorted(labels["labeler"].unique()) == [
        "anna", "anna@oven.at", "bob", "bob@oven.at", "cleo", "cleo@oven.at",
    ]  # fmt: skip
    assert twice.store.golden("bakers").pairs == 4


def test_qrels_with_their_queries_and_documents_are_one_table(space: Workspace, open_page: OpenPage) -> None:
    page = open_page("golden")
    files = {
        "queries.jsonl": b'{"_id": "q1", "text": "Baker"}\n',
        "corpus.jsonl": b'{"_id": "d1", "title": "Baker one", "text": "Sourdough"}\n',
        "test.qrels": b"q1 0 d1 2\n",
    }
    page.file_uploader[0].set_value([(name, content, "text/plain") for name, content in files.items()]).run()
    assert not page.exception, page.exception
    assert "1 pair" in text_of(page)
    page.button(key="import_button").click().run()
    assert not page.exception, page.exception
    labels = space.store.labels("test")
    assert labels[["dimension", "grade", "labeler"]].to_numpy().tolist() == [["overall", 2, "qrels"]]
