"""The commands of the board, of promotion and of export, as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from test_model_board import evaluation, keep, kept, published
from typer.testing import CliRunner
from workspace_samples import version

from workbench import cli_models
from workbench.errors import BadInput, Conflict
from workbench.promotions import stages
from workbench.workspace import Workspace

app = typer.Typer(pretty_exceptions_enable=False)
for name in ("models", "promote", "demote", "export"):
    app.command(name)(getattr(cli_models, name))
runner = CliRunner()


def said(*words: str) -> str:
    """What a command prints."""
    result = runner.invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_models(workspace: Workspace, tmp_path: Path) -> None:
    assert said("models").startswith("There is no model yet")
    student = kept(workspace, tmp_path, "tea-mini")
    assert said("models").splitlines()[-1] == "No snapshot is published yet."
    keep(workspace, evaluation(student, published(workspace)))
    lines = said("models", "--dimension", "taste").splitlines()
    assert lines[0].split("  ")[0] == "model"
    assert "stage" not in lines[0]  # nothing is promoted
    assert lines[1].startswith(student)
    assert "0.60 [0.50, 0.70]" in lines[1]
    assert "+0.100" in lines[1]
    assert lines[2] == "kappa: quadratic, taste, dev pairs of tea v1"
    data = json.loads(said("models", "--json", "--on", "tea@1", "--split", "holdout"))
    assert (data["on"], data["split"]) == ("tea v1", "holdout")
    assert data["models"][0]["kappa"]["reason"] == "It was not measured on tea v1 (holdout)."


def test_the_policy_has_to_be_named_where_there_are_several(workspace: Workspace) -> None:
    workspace.store.add_policy(version(1, policy="coffee-match", parent=None))
    several = runner.invoke(app, ["models"])
    assert isinstance(several.exception, BadInput)
    assert several.exception.hint == "Name one with --policy: coffee-match, tea-match."
    assert said("models", "--policy", "coffee-match").startswith("There is no model yet")


def test_promote_then_demote(workspace: Workspace, tmp_path: Path) -> None:
    student = kept(workspace, tmp_path, "tea-mini")
    assert (
        said("promote", "tea-mini", "production", "-m", "best on dev")
        == f"{student} is production of tea-match.\n"
    )
    assert stages(workspace) == {student: "production"}
    again = runner.invoke(app, ["promote", student, "production", "-m", "again"])
    assert isinstance(again.exception, Conflict)
    wrong = runner.invoke(app, ["promote", student, "emperor", "-m", "again"])
    assert isinstance(wrong.exception, BadInput)
    assert runner.invoke(app, ["promote", student, "candidate"]).exit_code == 2  # no reason
    data = json.loads(said("demote", student, "--reason", "clicks fell", "--json"))
    assert data == {"checkpoint": student, "policy": "tea-match", "stage": None, "reason": "clicks fell"}
    assert stages(workspace) == {}


def test_export(workspace: Workspace, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the train extra")
    pytest.importorskip("transformers", reason="needs the train extra")
    import evaluation_samples

    golden = evaluation_samples.published(workspace)
    evaluation_samples.trained(workspace, golden, tmp_path, "tea-mini")
    lines = said("export", "tea-mini", str(tmp_path / "out")).splitlines()
    assert lines[0].startswith(str(tmp_path / "out"))
    assert lines[1].startswith("checked on 32 pairs: greatest difference of a probability ")
    assert (tmp_path / "out" / "model.safetensors").is_file()
    again = runner.invoke(app, ["export", "tea-mini", str(tmp_path / "out")])
    assert isinstance(again.exception, Conflict)
