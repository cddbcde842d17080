"""The what-if panel: sliders beside what they do, kept only when asked, following the draft where nobody moved them.

The policy ``fit`` takes the plain mean of skills (0-2) and wishes (0-1 or N/A), cut at 0.5 and 1.5. The six dev pairs
are labelled 2, 1 (mean 1.5: grade 2) and 0, 0 (grade 0) in turns; the judge says 1, 1 (mean 1: grade 1) and 0, 0.
"""

from __future__ import annotations

import pandas as pd
import pytest
from job_samples import publish
from page_samples import label, text_of
from streamlit.testing.v1 import AppTest

from workbench import authoring, judge_runs, policy_edit
from workbench.golden import Pair
from workbench.policy import Body
from workbench.store import Draft
from workbench.workspace import Workspace

GATES = [{"when": "skills == 1", "at_most": 0}]


def script() -> None:
    import streamlit as st

    from workbench import authoring, what_if_panel, widgets

    widgets.flash()
    draft = widgets.workspace().store.draft(st.query_params["draft"])
    what_if_panel.draw(draft, authoring.base_body(widgets.workspace(), draft))


def open_panel(draft: Draft, **parameters: str) -> AppTest:
    page = AppTest.from_function(script, default_timeout=60)
    page.query_params.update({"draft": draft.id} | parameters)
    return run(page)


def run(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception, page.exception
    return page


def draft_id(page: AppTest) -> str:
    value = page.query_params["draft"]
    return value if isinstance(value, str) else value[0]


def control(page: AppTest, kind: str, name: str):
    return getattr(page, kind)(key=f"what_if:{draft_id(page)}:{name}")


def move(page: AppTest, kind: str, name: str, value: object) -> AppTest:
    control(page, kind, name).set_value(value)
    return run(page)


def press(page: AppTest, name: str) -> AppTest:
    page.button(key=f"what_if_{name}:{draft_id(page)}").click()
    return run(page)


def saved(space: Workspace, draft: Draft) -> Body:
    return space.store.draft(draft.id).body


@pytest.fixture
def pairs(space: Workspace) -> list[Pair]:
    return publish(space)


@pytest.fixture
def judged(space: Workspace, pairs: list[Pair]) -> Workspace:
    """The workspace with a run of a judge on all ten pairs."""
    rows = [
        {"judge": "ada", "version": "1", "pair_id": p.id, "dimension": key, "score": float(1 - i % 2)}
        for i, p in enumerate(pairs)
        for key in ("skills", "wishes")
    ]
    judge_runs.import_recorded(
        space, pd.DataFrame(rows), policy="fit", golden="bakers", author="anna", source="test",
        versions={"1": 1},
    )  # fmt: skip
    return space


@pytest.fixture
def draft(space: Workspace) -> Draft:
    """A draft of ``fit`` with one gate more than v1, which no dev pair of people meets."""
    begun = authoring.start_draft(space, "fit", "anna")
    body = policy_edit.set_overall(
        begun.body, weights={}, cut_points=[0.5, 1.5], gates=GATES, combine="weighted_mean"
    )
    return authoring.save(space, begun, body, "anna")


def test_without_grades_it_says_what_to_do(space: Workspace, draft: Draft) -> None:
    assert "There are no grades to try a rule on." in text_of(open_panel(draft))


def test_unmoved_sliders_show_what_the_draft_changed(judged: Workspace, draft: Draft) -> None:
    # The judge's 1, 1 falls from grade 1 to 0 by the new gate: three of six dev pairs.
    page = open_panel(draft)
    said = text_of(page)
    assert "<b>3</b><span>of 6 dev pairs change" in said
    assert "the rule of v1" in said
    assert page.selectbox(key="what_if_grades").value.startswith("run-")
    assert all(page.button(key=f"what_if_{name}:{draft.id}").disabled for name in ("keep", "back"))
    # Against the draft's own rule nothing changes.
    page.segmented_control(key="what_if_against").set_value("draft")
    assert "<b>0</b><span>of 6 dev pairs change" in text_of(run(page))


def test_a_slider_moves_grades_agreement_and_the_table_at_once(judged: Workspace, draft: Draft) -> None:
    # Skills at 3: people's 2, 1 stay at 7/4 = 1.75: grade 2. The judge's 1, 1 stays at 1, and the gate takes it to 0.
    # With the gate off and both cut points lower, 1 reaches the upper level: label and grade are both 2.
    page = open_panel(draft, what_if_against="draft")
    page = move(page, "slider", "weight:skills", 3.0)
    assert "<b>0</b><span>of 6 dev pairs change" in text_of(page)
    page = move(page, "checkbox", "gate:gate.1", False)
    page = move(page, "slider", "cut:1", 1.0)
    said = text_of(page)
    assert "<b>3</b><span>of 6 dev pairs change" in said
    assert '<b class="wb-chip wb-fixed">3</b>' in said
    assert '<b class="wb-chip wb-broken">0</b>' in said
    # Before, grades 0 and 0 against labels 2 and 0: kappa 0, exact 3/6. After all agree: 1 and 1. Three queries, each
    # with one pair of each kind: every resample has the same shares, so the interval is the point.
    for row in (("quadratic κ", "0.00", "1.00", "+1.00"), ("exact", "0.50", "1.00", "+0.50")):
        value = f'{row[3]} <span class="wb-interval">[{row[3]}, {row[3]}]</span>'
        cells = "".join(
            f'<td class="num">{x}</td>'
            for x in (f'<span title="">{row[1]}</span>', f'<span title="">{row[2]}</span>', value)
        )
        assert f"<td>{row[0]}</td>{cells}" in said
    table = page.dataframe[0].value
    assert table["outcome"].tolist() == ["fixed"] * 3
    assert table[["before", "after", "label"]].values.tolist() == [["0", "2", "2"]] * 3
    assert set(table["job"]) == {"Baker 0", "Baker 1", "Baker 2"}
    # Without skills the mean is wishes: 1, which reaches the upper level all the same; without wishes it is 1 too.
    assert '<td>Skills</td><td class="num">0</td>' in said
    assert saved(judged, draft) == draft.body, "moving sliders saves nothing"


def test_a_cut_point_pushes_the_next(judged: Workspace, draft: Draft) -> None:
    page = move(open_panel(draft), "slider", "cut:0", 1.75)
    assert (control(page, "slider", "cut:0").value, control(page, "slider", "cut:1").value) == (1.75, 1.8)
    page = move(page, "slider", "cut:1", 0.0)
    assert (control(page, "slider", "cut:0").value, control(page, "slider", "cut:1").value) == (0.0, 0.05)


def test_keep_saves_the_rule_and_nothing_else(judged: Workspace, draft: Draft) -> None:
    page = open_panel(draft)
    page = move(page, "slider", "weight:wishes", 0.5)
    page = move(page, "selectbox", "bound:gate.1", 1)
    page = press(page, "keep")
    kept = saved(judged, draft)
    assert kept.dimension("wishes").weight == 0.5
    assert kept.overall.gates[0].at_most == 1
    assert "The rule is kept in the draft." in page.success[0].value
    assert page.button(key=f"what_if_keep:{draft.id}").disabled
    wanted = policy_edit.set_overall(
        draft.body, weights={"wishes": 0.5}, cut_points=[0.5, 1.5], combine="weighted_mean",
        gates=[{"id": "gate.1", "when": "skills == 1", "at_most": 1}],
    )  # fmt: skip
    assert kept == wanted


def test_a_gate_that_is_off_is_said_to_be_retired(judged: Workspace, draft: Draft) -> None:
    page = move(open_panel(draft), "checkbox", "gate:gate.1", False)
    assert "removes gate.1 from the draft for good" in text_of(page)
    press(page, "keep")
    kept = saved(judged, draft)
    assert (kept.overall.gates, kept.retired) == ((), ("gate.1",))


def test_back_to_the_drafts_rule(judged: Workspace, draft: Draft) -> None:
    page = move(open_panel(draft), "slider", "weight:wishes", 0.5)
    page = press(page, "back")
    assert control(page, "slider", "weight:wishes").value == 1.0
    assert saved(judged, draft) == draft.body


def test_sliders_follow_the_draft_unless_they_were_moved(judged: Workspace, draft: Draft) -> None:
    page = move(open_panel(draft), "slider", "weight:wishes", 0.5)
    other = policy_edit.set_overall(
        draft.body, weights={"skills": 2, "wishes": 4}, cut_points=[0.5, 1.75], combine="weighted_mean",
        gates=[{"id": "gate.1", **GATES[0]}],
    )  # fmt: skip
    authoring.save(judged, draft, other, "ben")
    page = run(page)
    found = [control(page, "slider", name).value for name in ("weight:skills", "weight:wishes", "cut:1")]
    assert found == [2.0, 0.5, 1.75]
    press(page, "keep")
    assert {d.key: d.weight for d in saved(judged, draft).dimensions} == {"skills": 2, "wishes": 0.5}


def test_the_minimum_knows_no_weights(judged: Workspace, draft: Draft) -> None:
    page = open_panel(draft)
    control(page, "segmented_control", "combine").set_value("minimum")
    page = run(page)
    assert control(page, "slider", "weight:skills").disabled
    assert "The minimum knows no weights." in text_of(page)


def test_what_a_reader_must_not_be_misled_about(judged: Workspace, draft: Draft, pairs: list[Pair]) -> None:
    page = open_panel(draft)
    assert "so it moves with the sliders" in text_of(page)
    page.selectbox(key="what_if_grades").set_value("bakers@1")
    said = text_of(run(page))
    assert "there is no agreement to measure" in said
    assert "quadratic κ" not in said
    assert "fixed" not in said
    label(judged, pairs[0], "anna", overall=2)
    said = text_of(run(page))
    assert "Labels are the overall grades that people gave." in said
    assert "quadratic κ" in said


def test_a_pair_opens_with_its_grades_and_a_holdout_pair_does_not(
    judged: Workspace, draft: Draft, pairs: list[Pair]
) -> None:
    page = open_panel(draft, what_if_pair=pairs[0].id)
    said = text_of(page)
    assert "sourdough by hand" in said
    assert "Skills <span" in said
    # Back to what it was without the gate: the pair does not change any more, stays open, and can be closed.
    page = move(page, "checkbox", "gate:gate.1", False)
    assert "sourdough by hand" in text_of(page)
    next(button for button in page.button if button.label == "Close this pair").click()
    assert "sourdough by hand" not in text_of(run(page))
    said = text_of(open_panel(draft, what_if_pair=pairs[-1].id))
    assert "sourdough by hand" not in said


def test_a_new_dimension_is_left_out_and_said(judged: Workspace, draft: Draft) -> None:
    body = policy_edit.add_dimension(draft.body, "pay", "Pay", "Is it enough?")
    said = text_of(open_panel(authoring.save(judged, draft, body, "anna")))
    assert "No grades for pay on the draft's levels" in said
    assert "the version it is based on has other dimensions or levels" in said
    assert "<b>0</b><span>of 6 dev pairs change" in said
