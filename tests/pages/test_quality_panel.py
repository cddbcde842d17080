"""What a page says of a judge's quality: calibration, agreement with itself, quality against cost.

The policy ``fit`` has skills 0-2 and wishes 0-1 or N/A. Of 30 queries with two pairs, 25 are dev.
"""

from __future__ import annotations

from typing import Any

import pytest
from page_samples import label, text_of
from streamlit.testing.v1 import AppTest

from workbench.golden import Pair
from workbench.labelling import publish_golden
from workbench.run import JudgeIdentity, Judgement, Run, RunTotals, Verdict
from workbench.store.base import now
from workbench.workspace import Workspace

PAIRS = [
    Pair(query={"headline": f"Baker {i // 2}"}, document={"title": f"Job {i}", "requirements": "sourdough"})
    for i in range(60)
]
SURE, UNSURE = (0.02, 0.04, 0.94), (0.2, 0.3, 0.5)


@pytest.fixture
def bakers(space: Workspace) -> Workspace:
    """Skills is labelled on all pairs: 2, and 0 on every fourth."""
    space.store.create_golden("bakers", "fit")
    splits = {pair.id: "dev" if i < 50 else "holdout" for i, pair in enumerate(PAIRS)}
    space.store.add_pairs("bakers", PAIRS, splits)  # type: ignore[arg-type]
    for i, pair in enumerate(PAIRS):
        label(space, pair, "anna", skills=2 if i % 4 else 0)
    publish_golden(space, "bakers", message="for tests", author="anna")
    return space


def ran(
    space: Workspace, name: str, *, told: bool = True, params: dict[str, Any] | None = None, **totals: Any
) -> Run:
    """A finished run: skills 2, on dev; with probabilities that are sure and unsure by turns, or none."""
    verdicts = [
        Verdict(
            pair_id=pair.id,
            judgements=(
                Judgement(
                    dimension="skills", grade=2, probabilities=(SURE if i % 2 else UNSURE) if told else None
                ),
                Judgement(dimension="wishes", grade=i % 2),
            ),
        )
        for i, pair in enumerate(PAIRS[:50])
    ]
    run = Run(
        id=f"run-{name}", judge=JudgeIdentity(kind="llm", name=name.split("-")[0], params=params or {}), policy="fit",
        policy_version=1, policy_hash=space.store.policy("fit").content_hash, golden="bakers", golden_version=1,
        golden_hash=space.store.snapshot("bakers").content_hash, status="finished", created_at=now(), finished_at=now(),
        totals=RunTotals(pairs=50, judgements=100, **totals),
    )  # fmt: skip
    space.store.save_run(run)
    space.store.add_verdicts(run.id, verdicts)
    return run


def calibration_script() -> None:
    import streamlit as st

    from workbench import quality_panel, widgets

    quality_panel.draw_calibration(widgets.workspace().store.run(st.query_params["run"]))


def self_script() -> None:
    import streamlit as st

    from workbench import quality_panel, widgets

    quality_panel.draw_self_agreement(widgets.workspace().store.run(st.query_params["run"]))


def cost_script() -> None:
    from workbench import quality_panel

    quality_panel.draw_quality_cost("bakers")


def drawn(script: Any, **parameters: str) -> AppTest:
    page = AppTest.from_function(script, default_timeout=60)
    page.query_params.update(parameters)
    return again(page)


def again(page: Any) -> AppTest:
    page = page.run()
    assert not page.exception, page.exception
    return page


def test_calibration_says_what_a_map_does_and_shows_all_dimensions(bakers: Workspace) -> None:
    page = drawn(calibration_script, run=ran(bakers, "m").id)
    said = text_of(page)
    assert "Temperature" in said
    assert "sure" in said
    assert page.selectbox[0].options == ["Skills"]  # wishes has no labels
    assert len(page.get("plotly_chart")) == 1
    assert "No pair has both a label and a grade." in said
    # Of 25 pairs at 0.94 all are right, of 25 at 0.5 twelve (0.48): half of 0.06 and half of 0.02.
    assert '<td class="num">0.04 ' in said
    again(page.segmented_control[0].set_value("isotonic"))
    assert "Isotonic curves: " in text_of(page)
    assert page.query_params["calibration_method"] in ("isotonic", ["isotonic"])


def test_a_judge_without_probabilities_is_told_what_to_do(bakers: Workspace) -> None:
    page = drawn(calibration_script, run=ran(bakers, "m", told=False).id)
    said = text_of(page)
    assert "Nobody knows how true its probabilities are." in said
    assert "log\\-probabilities" in said
    assert not page.get("plotly_chart")


def test_a_judge_that_was_asked_once_has_no_agreement_with_itself(bakers: Workspace) -> None:
    run = ran(bakers, "m", params={"repeat": 0})
    said = text_of(drawn(self_script, run=run.id))
    assert "Nobody asked this judge twice." in said
    assert "another repeat index" in said


def test_agreement_with_itself_from_two_runs(bakers: Workspace) -> None:
    ran(bakers, "m-one", params={"repeat": 0})
    run = ran(bakers, "m-two", params={"repeat": 1})
    said = text_of(drawn(self_script, run=run.id))
    assert "2 runs that differ in the repeat index" in said
    # Skills is 2 throughout: all answers equal, and no kappa, with the reason.
    assert "All answers name one level; this needs at least two levels." in said
    assert said.count("1.00") >= 4  # equal answers of all dimensions, and the kappa of wishes


def test_quality_against_cost(bakers: Workspace) -> None:
    ran(bakers, "cheap", calls=50, cost_usd=0.05, seconds=10)
    ran(bakers, "<odd>", calls=50, cost_usd=None, seconds=5)
    page = drawn(cost_script)
    # Nobody labelled wishes, so there is no overall grade to agree with.
    assert "No run has both a known cost and an agreement" in text_of(page)
    assert not page.get("plotly_chart")
    page = again(page.selectbox[0].select("skills"))
    said = text_of(page)
    assert len(page.get("plotly_chart")) == 1
    assert "κ Skills" in said
    assert "$1.00" in said  # 0.05 dollars for 50 pairs
    assert "200 s" in said
    assert "unknown" in said
    assert "The price is not known." in said
    assert "&lt;odd&gt; · fit v1" in said
    assert said.count("not beaten") == 1


def test_without_runs_the_next_step_is_told(bakers: Workspace) -> None:
    assert "Start one on the Runs page" in text_of(drawn(cost_script))
