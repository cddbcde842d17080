"""The commands of pipelines."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from typing import Any

import pytest
from dataset_samples import candidates, published, write_pool
from dataset_samples import recipe as data_recipe
from trial_samples import Held
from typer.testing import CliRunner

from workbench import cli_pipeline, jobs, pipeline_advance, pipelines
from workbench.errors import NotFound
from workbench.worker import main
from workbench.workspace import Workspace
from workbench.yamltext import dump


@pytest.fixture
def ready(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workspace with the pipeline ``two``, a judge after a data set; no driver is started."""
    monkeypatch.setattr(pipelines, "start_driver", lambda *_: None)
    published(workspace)
    folder = workspace.root / "pipelines"
    folder.mkdir()
    write_pool(folder, candidates(12))
    steps = [
        {"step": "data", "kind": "dataset", "recipe": data_recipe().model_dump(mode="json")},
        {"step": "judge", "kind": "judge", "judge": "baseline-lexical", "golden": "tea", "needs": ["data"]},
    ]
    document = {"pipeline": "two", "policy": "tea-match", "steps": steps}
    (folder / "two.yaml").write_text(dump(document), encoding="utf-8")
    return workspace


def run(*words: str, code: int = 0) -> str:
    """Run a command and return what it prints."""
    found = CliRunner().invoke(cli_pipeline.app, list(words))
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    assert found.exit_code == code, found.output
    return found.output


def test_a_plan_starts_nothing(ready: Workspace) -> None:
    said = run("run", "two", "--plan", "--set", "data.size=5")
    assert "data   dataset  ready" in said
    assert "judge  judge    waiting  depends on data" in said
    plan = json.loads(run("run", "two", "--plan", "--json"))
    assert [(each["step"], each["status"], each["needs"]) for each in plan] == [
        ("data", "ready", []), ("judge", "waiting", ["data"]),
    ]  # fmt: skip
    assert plan[0]["key"].startswith("step-")
    assert plan[1]["key"] is None  # it is known once the data set is made
    assert pipelines.runs(ready) == []
    with pytest.raises(NotFound, match="Did you mean data"):
        run("run", "two", "--set", "dat.size=5")


def test_a_run_is_started_listed_shown_stopped_and_resumed(
    ready: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No pipeline has run yet" in run("list")
    with pytest.raises(NotFound, match="No pipeline has run yet"):
        run("show")
    run_id = json.loads(run("run", "two", "--policy-version", "v1", "--json"))["run"]
    listed = json.loads(run("list", "--json"))
    assert [(one["run"], one["status"], one["done"], one["who"]) for one in listed] == [
        (run_id, "running", "0/2", "Ida")
    ]
    shown: dict[str, Any] = json.loads(run("show", run_id, "--json"))
    assert (shown["pipeline"], shown["status"], shown["driven"]) == ("two", "running", False)
    assert "stopped by Ida" in run("stop")
    assert "running" in run("resume", run_id)

    # A job that cannot be started fails its step: the command says so with its exit code.
    held = Held()

    def refuse(*_: Any) -> str:
        raise NotFound("No machine.", "Buy one.")

    monkeypatch.setattr(held, "submit", refuse)
    pipeline_advance.drive(replace(ready, executor=held), run_id, every_s=0.01)
    said = run("show", code=1)
    assert "data   dataset  failed   No machine. Buy one." in said
    assert "judge  judge    blocked  data failed: No machine. Buy one." in said


def test_waiting_tells_each_change_and_the_end(ready: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def drive(space: Workspace, run_id: str) -> None:
        handler = signal.getsignal(signal.SIGTERM)
        held = Held()
        for _ in range(2):
            pipeline_advance.advance(replace(space, executor=held), run_id)
            main([str(jobs.folder_of(space, held.started[-1]).path)])
        signal.signal(signal.SIGTERM, handler)
        pipeline_advance.advance(replace(space, executor=held), run_id)

    monkeypatch.setattr(pipelines, "start_driver", drive)
    lines = run("run", "two", "--wait").splitlines()
    assert [line.split(",")[0] for line in lines[-3:-1]] == ["data: done", "judge: done"]
    assert lines[-1].endswith("finished")
    assert "skipped" in run("run", "two", "--plan")
