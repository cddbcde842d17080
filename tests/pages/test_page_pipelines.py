"""The Pipelines page: the plan, a run that starts once, why a step is blocked."""

from __future__ import annotations

import pytest
from page_samples import OpenPage

from workbench import pipelines
from workbench.labelling import publish_golden
from workbench.pipeline_chart import dot
from workbench.pipeline_records import StepRecord, keep_step
from workbench.workspace import Workspace

TEXT = """\
pipeline: two
policy: fit
description: A judge after another.
steps:
  - {step: first, kind: judge, judge: baseline-lexical, golden: bakers}
  - {step: second, kind: judge, judge: baseline-lexical, golden: bakers, needs: [first]}
"""


@pytest.fixture
def chain(golden: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The golden set as a snapshot, and the pipeline ``two``; no driver is started."""
    monkeypatch.setattr(pipelines, "start_driver", lambda *_: None)
    publish_golden(golden, "bakers", message="First", author="anna")
    folder = golden.root / "pipelines"
    folder.mkdir()
    (folder / "two.yaml").write_text(TEXT, encoding="utf-8")
    return golden


def test_without_a_pipeline_the_page_says_what_to_do(space: Workspace, open_page: OpenPage) -> None:
    page = open_page("pipelines")
    assert "There is no pipeline yet" in page.markdown[0].value


def test_a_run_is_started_once_and_followed(chain: Workspace, open_page: OpenPage) -> None:
    page = open_page("pipelines")
    assert any("A judge after another" in each.value for each in page.markdown)
    assert [one.id for one in pipelines.runs(chain)] == []
    key = page.session_state["_pipeline_key"]
    next(each for each in page.button if each.label == "Run").click().run()
    assert not page.exception
    (run,) = pipelines.runs(chain)
    assert (run.id, run.record.author) == (f"pipe-{key}", "anna")
    assert page.query_params["run"] in (run.id, [run.id])
    assert page.session_state["_pipeline_key"] != key
    assert run.record.policy_version == 1

    keep_step(chain, run.id, "first", **StepRecord(error="No judge. Add one.").model_dump())
    page = open_page("pipelines", run=run.id)
    assert [each.value.replace("\\", "") for each in page.error] == ["first failed: No judge. Add one."]
    page.button(key=f"Resume_{run.id}").click().run()
    assert pipelines.status(chain, run.id).status == "running"
    page = open_page("pipelines", run=run.id)
    page.button(key=f"Stop_{run.id}").click().run()
    assert pipelines.status(chain, run.id).record.stopped_by == "anna"


def test_a_run_under_an_older_version(chain: Workspace, open_page: OpenPage) -> None:
    policy = chain.store.policy("fit")
    chain.store.add_policy(policy.model_copy(update={"version": 2, "message": "Second"}))
    page = open_page("pipelines")
    choice = next(each for each in page.selectbox if each.label == "Policy version")
    assert choice.value == 2
    choice.select(1).run()
    assert not page.error
    next(each for each in page.button if each.label == "Run").click().run()
    (run,) = pipelines.runs(chain)
    assert run.record.policy_version == 1


def test_only_the_newest_runs(chain: Workspace) -> None:
    ids = [pipelines.start(chain, "two", author="anna", key=f"k{i}") for i in range(4)]
    assert [run.id for run in pipelines.runs(chain, most=2)] == [ids[3], ids[2]]
    assert [run.id for run in pipelines.runs(chain)] == ids[::-1]


def test_a_change_that_does_not_fit_is_one_sentence(chain: Workspace, open_page: OpenPage) -> None:
    page = open_page("pipelines")
    page.text_area(key="pipeline_changes").set_value("frist.golden=bakers").run()
    assert "Did you mean first" in page.error[0].value
    (chain.root / "pipelines" / "two.yaml").write_text("pipeline: two\n", encoding="utf-8")
    page.text_area(key="pipeline_changes").set_value("").run()
    assert "two.yaml" in page.error[0].value


def test_the_picture_has_a_box_a_step_and_quotes_names(chain: Workspace) -> None:
    picture = dot(pipelines.preview(chain, "two"), dark=False)
    assert '"first" -> "second";' in picture
    assert picture.count("label=") == 2
