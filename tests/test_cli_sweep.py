"""The commands of sweeps, of the frontier, and of teachers that conflict."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from test_sweeps import evaluation
from training_samples import recipe, tiny
from typer.testing import CliRunner
from workspace_samples import golden_set, pair

from workbench import cli_sweep, sweeps, teacher_conflicts
from workbench.errors import BadInput, NotFound
from workbench.executors.local import LocalExecutor
from workbench.jobfolder import JobFolder, Result
from workbench.resampling import Estimate
from workbench.run import JobSpec
from workbench.store import StoredCheckpoint
from workbench.training.data import Answer
from workbench.workspace import Workspace
from workbench.yamltext import dump

TEAS = ("smoky", "green", "black")

app = typer.Typer()
for name in ("sweep", "sweeps", "frontier", "conflicts", "teachers_ask"):
    app.command(name)(getattr(cli_sweep, name))


def keep(space: Workspace, made: Any) -> None:
    """Put a recipe into students/."""
    folder = space.root / "students"
    folder.mkdir(exist_ok=True)
    (folder / f"{made.recipe}.yaml").write_text(dump(made.model_dump(mode="json")))


@pytest.fixture
def ready(workspace: Workspace, tmp_path: Path) -> Workspace:
    """The workspace with nine dev pairs and the recipe ``tea-mini``, whose backbone is not there yet."""
    golden_set(workspace, [(pair(a, b), {"taste": 2 if a == b else 0}) for a in TEAS for b in TEAS])
    wanted = {"data": {"golden": "tea", "validation": 0.34}, "schedule": {"head_penalty": None}}
    keep(workspace, recipe(tmp_path / "model", **wanted))
    return workspace


def test_values_are_read_as_yaml() -> None:
    assert cli_sweep.read_grid(["alpha=0,0.25, 1", "layers=null,2", "backbone='a,b',c"]) == {
        "alpha": [0, 0.25, 1],
        "layers": [None, 2],
        "backbone": ["a,b", "c"],
    }
    assert cli_sweep.read_grid(["heads=[policy],[policy, click]"]) == {
        "heads": [["policy"], ["policy", "click"]]
    }
    for text, says in (
        ("alpha", "gives no values"),
        ("alpha=", "gives no values"),
        ("alpha=[1", "--set alpha"),
    ):
        with pytest.raises(BadInput, match=says):
            cli_sweep.read_grid([text])
    with pytest.raises(BadInput, match="gives 'alpha' twice"):
        cli_sweep.read_grid(["alpha=0", "alpha=1"])


def test_a_sweep_is_trained_and_listed(ready: Workspace, tmp_path: Path) -> None:
    tiny(tmp_path / "model")
    run = CliRunner()
    ended = run.invoke(app, ["sweep", "tea-mini", "--set", "seed=0,1", "--wait", "--json"])
    assert ended.exit_code == 0, ended.output
    found = json.loads(ended.stdout)
    assert found["grid"] == {"seed": [0, 1]}
    first, second = found["trainings"]
    assert (first["seed"], first["status"], second["status"]) == (0, "finished", "finished")
    assert first["checkpoint"] != second["checkpoint"]
    assert first["eval_loss"] > 0

    listed = run.invoke(app, ["sweeps"])
    assert found["sweep"] in listed.stdout
    assert "seed (2)  2 finished" in listed.stdout
    one = run.invoke(app, ["sweeps", found["sweep"]])
    assert f"{found['sweep']}: tea-mini, 2 of 2 trainings started" in one.stdout
    assert f"{first['eval_loss']:.3f}" in one.stdout
    assert "error" not in one.stdout


def test_a_sweep_with_a_failure_ends_with_1(
    ready: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(_: LocalExecutor, spec: JobSpec, folder: Path) -> str:
        status = "failed" if spec.payload["sweep"]["place"] else "finished"
        JobFolder(folder).finish(Result(status=status, error="no room", finished_at=datetime.now(UTC)))
        return ""

    monkeypatch.setattr(LocalExecutor, "submit", failing)
    with pytest.raises(typer.Exit) as ended:
        cli_sweep.sweep("tea-mini", ["alpha=0,1"], wait=True)
    assert ended.value.exit_code == 1
    table = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split()[:2] for line in table] == [["0.000", "finished"], ["1.000", "failed"]]
    assert table[1].endswith("no room")


def test_without_wait_the_command_ends_at_once(
    ready: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(LocalExecutor, "submit", lambda *_: "")
    cli_sweep.sweeps()
    assert "No sweep was started yet" in capsys.readouterr().out
    with pytest.raises(typer.Exit) as ended:
        cli_sweep.sweep("tea-mini", ["alpha=0,1"])
    assert ended.value.exit_code == 0
    assert capsys.readouterr().out.count("queued") == 2
    with pytest.raises(BadInput, match="varies nothing"):
        cli_sweep.sweep("tea-mini")
    with pytest.raises(NotFound, match="No sweep is called 'x'"):
        cli_sweep.sweeps("x")


def test_the_frontier_as_a_table_and_as_json(ready: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("m0", "m1", "m2"):
        ready.store.save_checkpoint(
            StoredCheckpoint(id=name, name="tea-mini", created_at=datetime.now(UTC), folder="", job_id="", record={})
        )  # fmt: skip
    found = [
        evaluation("m0", 0, 0, figures={"kappa": Estimate(0.7, 0.65, 0.75), "click.auc": Estimate(0.8, 0.7, 0.9)}),
        evaluation("m1", 0, 0, figures={"kappa": Estimate(0.5, 0.45, 0.6), "click.auc": Estimate(0.7, 0.6, 0.8)}),
    ]  # fmt: skip
    monkeypatch.setattr(sweeps, "evaluations", lambda _: found)
    run = CliRunner()
    # m1's interval of kappa ends at 0.60, where m0's begins at 0.65.
    lines = run.invoke(app, ["frontier", "m0", "m1", "m2"]).stdout.splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["m0", "0.70", "[0.65,", "0.75]", "0.80", "[0.70,", "0.90]", "yes"],
        ["m1", "0.50", "[0.45,", "0.60]", "0.70", "[0.60,", "0.80]", "no", "m0", "(beyond", "noise)"],
        ["m2", "–", "–", *["No", "policy", "quality:", "it", "was", "not", "evaluated."]],
    ]
    assert lines[4] == "Measured on 120 dev pairs of tea v1; 3,000 impressions of log."
    data = json.loads(run.invoke(app, ["frontier", "m0", "m1", "--split", "dev", "--json"]).stdout)
    assert data["models"][1]["beaten by"] == ["m0"]
    assert data["models"][0]["policy kappa"] == {"value": 0.7, "low": 0.65, "high": 0.75, "reason": ""}
    assert run.invoke(app, ["frontier", "m0", "--split", "train"]).exit_code == 2
    found.clear()
    assert "Evaluate them first" in run.invoke(app, ["frontier", "m0"]).stdout


def test_conflicts_are_told(
    ready: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BadInput, match="tea-mini has no teachers"):
        cli_sweep.conflicts("tea-mini")
    with pytest.raises(BadInput, match="tea-mini has no teachers"):
        cli_sweep.teachers_ask("tea-mini")
    # Grades rise with i in both lands; clicks rise with it in DE and fall in NL.
    policy, pairs, grader, clicker = ready.store.policy("tea-match"), [], [], []
    for i in range(40):
        for land in ("NL", "DE"):
            pairs.append(pair(f"wish {i}", f"tea {land}", land=land))
            grader.append(Answer({"taste": (1 - i / 40, 0.0, i / 40), "strength": (0.0, 1.0, 0.0)}))
            clicker.append(Answer({}, i / 50 if land == "DE" else (39.5 - i) / 50))
    found = teacher_conflicts.compare(
        policy, pairs, [("grader", grader), ("clicker", clicker)], recipe="mix", top=1, resamples=50
    )
    monkeypatch.setattr(teacher_conflicts, "conflicts", lambda *_, top: found)
    cli_sweep.conflicts("tea-mini", top=1)
    said = capsys.readouterr().out
    assert "mix on tea-match v1: 80 pairs of 40 queries" in said
    # The top quarter by grades are the twenty pairs from i = 30 on; of these NL's ten are the least clicked but for
    # DE's first ten. By chance: C(40,10) / C(80,10) = 0.000515, twice that for two values.
    assert "top quarter by grades, bottom quarter by clicks: 10 pairs" in said
    assert "land = NL: 10 of 40, p 0.001 (Holm)" in said
    assert "land = DE" not in said
    assert "wish 39 | tea NL" in said
    cli_sweep.conflicts("tea-mini", as_json=True)
    order = json.loads(capsys.readouterr().out)["orders"][0]
    assert (order["policy"], order["opposed"][0]["most"][0]["pair"]["query"]["wishes"]) == (
        "grader",
        "wish 39",
    )
