"""The Golden set page: figures, coverage in words, agreement of labelers, browsing by page, import, publishing."""

from __future__ import annotations

import gzip

import pytest
from page_samples import PAIRS, OpenPage, label, text_of
from streamlit.testing.v1 import AppTest

from workbench.golden import Pair
from workbench.pages.golden_browse import ROWS
from workbench.workspace import Workspace

TABS = [
    "Health", "Coverage", "Labelers", "Queues", "Adjudicate", "Suspects", "Browse", "Import", "Export", "Publish",
]  # fmt: skip
GOOD = (
    "headline,member_skills,Title,Requirements,skills,wishes,rater,city\n"
    "Cook,soups,Chef,knives,2,1,ann,Graz\n"
    "Cook,soups,Chef,knives,1,n/a,bob,Graz\n"
    "Cook,soups,Pilot,licence,0,0,ann,Graz\n"
)


def upload(page: AppTest, *files: tuple[str, bytes]) -> AppTest:
    page.file_uploader[0].set_value([(name, content, "text/csv") for name, content in files])
    page.run()
    assert not page.exception
    return page


def press(page: AppTest, key: str) -> AppTest:
    page.button(key=key).click().run()
    assert not page.exception
    return page


def errors(page: AppTest) -> list[str]:
    return [error.value for error in page.error]


def test_without_golden_sets_the_import_is_at_hand(open_page: OpenPage) -> None:
    page = open_page("golden")
    assert "No golden sets yet" in text_of(page)
    assert len(page.file_uploader) == 1
    assert not page.tabs


@pytest.mark.parametrize("tab", TABS)
def test_every_section_of_a_set_without_labels_has_something_to_say(
    golden: Workspace, open_page: OpenPage, tab: str
) -> None:
    page = open_page("golden", tab=tab)
    assert [t.label for t in page.tabs] == TABS
    said = text_of(page)
    assert "<b>4</b><span>pairs (2 dev, 2 holdout)</span>" in said
    assert "<b>2</b><span>queries</span>" in said
    assert "none yet" in said
    expected = {
        "Health": "4 of 4 pairs no labeler has seen",
        "Queues": "No queue is open.",
        "Adjudicate": "No labels yet.",
        "Suspects": "No judge has graded this set yet.",
        "Export": "on the command line",
        "Coverage": "No labels yet.",
        "Labelers": "Nobody has labelled yet.",
        "Browse": "Select a row",
        "Import": "nothing is kept before you say so",
        "Publish": "No snapshot yet.",
    }
    assert expected[tab] in said


def test_only_the_open_section_is_drawn(golden: Workspace, open_page: OpenPage) -> None:
    assert not open_page("golden", tab="Publish").dataframe
    assert len(open_page("golden", tab="Browse").dataframe) == 1


def test_coverage_names_empty_levels_of_the_chosen_split(golden: Workspace, open_page: OpenPage) -> None:
    for pair, grade in zip(PAIRS, (0, 1, 2, 2), strict=True):  # the first two pairs are dev
        label(golden, pair, "ann", skills=grade, wishes=1)
    said = text_of(open_page("golden", tab="Coverage"))
    assert "No pair settles on **Wishes** 0 (Broken)." in said
    assert "**Skills**" not in said
    said = text_of(open_page("golden", tab="Coverage", split="dev"))
    assert "No pair settles on **Skills** 2 (All) in dev." in said


def test_full_coverage_is_said(golden: Workspace, open_page: OpenPage) -> None:
    for pair, skills, wishes in zip(PAIRS, (0, 1, 2, 2), (0, 1, 1, 1), strict=True):
        label(golden, pair, "ann", skills=skills, wishes=wishes)
    assert "Every level of every dimension has a pair." in text_of(open_page("golden", tab="Coverage"))


def test_labelers_show_agreement_with_n(golden: Workspace, open_page: OpenPage) -> None:
    for pair, a, b in zip(PAIRS, (0, 0, 2, 2), (0, 0, 2, 0), strict=True):
        label(golden, pair, "ann", skills=a)
        label(golden, pair, "bob", skills=b)
    said = text_of(open_page("golden", tab="Labelers"))
    # Quadratic kappa of ann and bob: disagreement seen 4 / 4 = 1; by chance, ann has 2 zeros and 2 twos, bob 3 and
    # 1: (2 * 1 + 2 * 3) / 16 * 4 = 2; kappa = 1 - 1 / 2 = 0.5.
    assert "ann · bob" in said
    assert "0.50" in said
    assert "n 4" in said
    assert "fewer than two labelers" in said  # of wishes


def test_browse_sends_one_page_and_opens_pairs(golden: Workspace, open_page: OpenPage) -> None:
    more = [Pair(query={"headline": f"Cook {i}"}, document={"title": f"Chef {i}"}) for i in range(30)]
    golden.store.add_pairs("bakers", more)
    label(golden, PAIRS[0], "ann", note="by skills.1", skills=2)
    page = open_page("golden", tab="Browse")
    assert len(page.dataframe[0].value) == ROWS
    assert page.pagination[0].num_pages == 2  # 34 pairs
    page.pagination[0].set_value(2).run()
    assert len(page.dataframe[0].value) == 34 - ROWS
    assert page.query_params["page"] == "2"
    page.text_input(key="q").set_value("cook 7").run()
    assert page.dataframe[0].value["member"].tolist() == ["Cook 7"]
    assert "page" not in page.query_params
    page.text_input(key="q").set_value("zeppelin").run()
    assert "No pair matches." in text_of(page)
    assert "has no pair" in open_page("golden", tab="Browse", pair="pair-x").warning[0].value
    said = text_of(open_page("golden", tab="Browse", pair=PAIRS[0].id))
    assert "sourdough, Viennoiserie" in said
    assert "by skills.1" in said


def test_browse_keeps_to_the_split_and_survives_an_odd_page(golden: Workspace, open_page: OpenPage) -> None:
    page = open_page("golden", tab="Browse", split="holdout", page="99")
    assert page.dataframe[0].value["split"].tolist() == ["holdout", "holdout"]


def test_import_by_the_guessed_form(space: Workspace, open_page: OpenPage) -> None:
    page = upload(open_page("golden"), ("Kitchen Jobs.csv", GOOD.encode()))
    said = text_of(page)
    assert "2 pairs · 1 query · 6 labels · 2 labelers" in said
    assert space.store.golden_names() == []  # nothing is kept by looking
    press(page, "import_button")
    assert [s.value for s in page.success] == ["Added 2 pairs and 6 labels to kitchen\\-jobs."]
    info = space.store.golden("kitchen-jobs")
    assert (info.pairs, info.labels, info.labelers, info.policy) == (2, 6, 2, "fit")
    assert space.store.members("kitchen-jobs")["meta"].tolist() == [{"city": "Graz"}] * 2
    assert page.session_state["golden"] == "kitchen-jobs"


def test_the_form_can_be_corrected(space: Workspace, open_page: OpenPage) -> None:
    page = upload(open_page("golden"), ("kitchen.csv", GOOD.replace("Title", "position").encode()))
    choices = {box.label: box for box in page.selectbox}
    assert choices["title"].value == "(not in the file)"
    choices["title"].set_value("position")
    next(box for box in page.text_input if box.label == "Name").set_value("hires")
    page.run()
    press(page, "import_button")
    pairs = space.store.pairs(space.store.members("hires")["pair_id"].tolist())
    assert {pair.document["title"] for pair in pairs.values()} == {"Chef", "Pilot"}


def test_bad_entries_are_named_and_nothing_goes_in_until_they_are_left_out(
    space: Workspace, open_page: OpenPage
) -> None:
    page = upload(open_page("golden"), ("kitchen.csv", GOOD.replace(",0,0,ann", ",7,0,ann").encode()))
    said = text_of(page)
    assert "outside the scale" in said
    assert "<td>kitchen.csv</td>" in said
    assert page.button(key="import_button").disabled
    assert "Correct them in the file, or leave them out." in said
    page.checkbox(key="import_leave_out").check().run()
    press(page, "import_button")
    # Of six labels, the one that is no grade is left out.
    assert space.store.golden("kitchen").labels == 5


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.csv", b"", "a\\.csv is empty."),
        ("a.csv", b"headline,Title\n", "header and no rows"),
        ("a.csv", "headline,Title\nKöchin,Chef\n".encode("latin-1"), "UTF"),
        ("a.parquet", b"PAR1 but not really", "a.parquet"),
        ("a.csv.gz", b"not compressed", "a.csv.gz"),
        ("a.csv", b"x,y\n1,2\n", "names no column for the query"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence_and_a_closed_button(
    space: Workspace, open_page: OpenPage, name: str, content: bytes, what: str
) -> None:
    page = upload(open_page("golden"), (name, content))
    assert len(errors(page)) == 1
    assert what.replace("\\", "") in errors(page)[0].replace("\\", "")
    assert page.button(key="import_button").disabled
    assert space.store.golden_names() == []


MAPPING = """\
golden: kitchen
policy: fit
pairs: {file: pairs.csv, key: [id]}
query: {headline: who}
document: {title: what}
labels:
  - file: labels.csv.gz
    long: {dimension: =skills, grade: grade, labeler: rater}
"""


def test_several_files_by_a_pasted_mapping(space: Workspace, open_page: OpenPage) -> None:
    pairs, labels = b"id,who,what\n1,Cook,Chef\n2,Cook,Pilot\n", b"id,grade,rater\n1,2,ann\n2,0,ann\n"
    page = upload(open_page("golden"), ("pairs.csv", pairs), ("labels.csv.gz", gzip.compress(labels)))
    page.text_area(key="import_yaml").set_value(MAPPING).run()
    press(page, "import_button")
    info = space.store.golden("kitchen")
    assert (info.pairs, info.labels) == (2, 2)


def test_a_wrong_mapping_is_told_with_its_line(space: Workspace, open_page: OpenPage) -> None:
    page = upload(open_page("golden"), ("pairs.csv", b"id,who,what\n1,a,b\n"), ("labels.csv", b"id\n1\n"))
    page.text_area(key="import_yaml").set_value(MAPPING + "colour: red\n").run()
    assert "line 9" in errors(page)[0]
    page.text_area(key="import_yaml").set_value(MAPPING).run()
    assert "labels.csv.gz" in errors(page)[0].replace("\\", "")
    assert space.store.golden_names() == []


def test_a_set_of_another_policy_is_refused_before_the_import(golden: Workspace, open_page: OpenPage) -> None:
    golden.store.create_golden("kitchen", "other")
    page = upload(open_page("golden", golden="bakers", tab="Import"), ("kitchen.csv", GOOD.encode()))
    assert "belongs to policy 'other', not 'fit'" in errors(page)[0]
    assert page.button(key="import_button").disabled


def test_publishing_needs_a_message_and_a_change(golden: Workspace, open_page: OpenPage) -> None:
    page = press(open_page("golden", tab="Publish"), "publish_button")
    assert errors(page) == ["**A snapshot needs a message.** Say in one sentence what it adds."]
    page.text_input(key="publish_message").set_value("The first <b>four</b>")
    press(page, "publish_button")
    assert golden.store.golden("bakers").snapshots == (1,)
    assert (golden.root / "golden_sets" / "bakers" / "v1" / "pairs.jsonl").exists()
    assert "The first &lt;b&gt;four&lt;/b&gt;" in text_of(page)
    page.text_input(key="publish_message").set_value("again")
    press(page, "publish_button")
    assert errors(page) == ["**Nothing changed since bakers v1.** Label or import something first."]
    assert golden.store.golden("bakers").snapshots == (1,)
