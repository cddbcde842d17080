"""The commands that look at a training before it is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer

pytest.importorskip("torch", reason="needs the train extra")

from training_samples import recipe, tiny
from workspace_samples import golden_set, pair

from workbench.cli_train_plan import train_check, train_plan
from workbench.workspace import Workspace
from workbench.yamltext import dump

TEAS = ("smoky", "green", "black")


@pytest.fixture
def ready(workspace: Workspace, tmp_path: Path) -> Workspace:
    """The workspace with nine labelled dev pairs and the recipe ``tea-mini`` on a tiny encoder."""
    golden_set(workspace, [(pair(a, b), {"taste": 2 if a == b else 0}) for a in TEAS for b in TEAS])
    student = recipe(
        tiny(tmp_path / "model"), data={"golden": "tea"},
        schedule={"batch_size": 4, "epochs": 3, "learning_rate": 2e-2, "head_learning_rate": 2e-2},
        resources={"tflops": 1.0, "utilisation": 0.5},
    )  # fmt: skip
    (workspace.root / "students").mkdir()
    (workspace.root / "students" / "tea-mini.yaml").write_text(dump(student.model_dump(mode="json")))
    return workspace


def test_the_plan_says_what_it_knows_and_what_not(
    ready: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    train_plan("tea-mini")
    said = capsys.readouterr().out
    assert "pairs an epoch                    9" in said
    assert "steps                             9" in said  # three epochs of three batches
    assert "cost, at most                     unknown" in said
    assert "resources.usd_per_hour is not given, so the cost is unknown." in said
    train_plan("tea-mini", pairs=100, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (found["recipe"], found["pairs"], found["steps"]) == ("tea-mini", 100, 75)
    assert found["hours"] == pytest.approx(found["flops"] / 0.5e12 / 3600)


def test_the_first_batch_is_learnt_by_heart(ready: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        train_check("tea-mini", steps=80, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert (ended.value.exit_code, found["halved"], len(found["losses"])) == (0, True, 80)
    with pytest.raises(typer.Exit) as ended:
        train_check("tea-mini", steps=2)
    assert ended.value.exit_code == 1
    assert "It did not halve" in capsys.readouterr().out
