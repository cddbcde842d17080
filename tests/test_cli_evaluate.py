"""The commands that evaluate a checkpoint and print the ledger, as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from evaluation_samples import published, trained

from workbench import cli_evaluate
from workbench.workspace import Workspace

app = typer.Typer(pretty_exceptions_enable=False)
app.command("evaluate")(cli_evaluate.evaluate)
app.command("ledger")(cli_evaluate.ledger)
runner = CliRunner()


def said(*words: str) -> str:
    """What a command prints."""
    result = runner.invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_evaluate_then_ledger(workspace: Workspace, tmp_path: Path) -> None:
    assert said("ledger") == "No checkpoint is evaluated yet: run `workbench evaluate CHECKPOINT`.\n"
    golden = published(workspace)
    big = trained(workspace, golden, tmp_path, "tea-big", schedule={"epochs": 6})
    small = trained(workspace, golden, tmp_path, "tea-small", schedule={"epochs": 2}, layers=1)

    text = said("evaluate", "tea-small", "--against", "tea-big", "--clicks", "shop", "--no-speed")
    lines = text.splitlines()
    assert lines[0] == f"{small.name}  tea-match v1  on tea v1 (dev)"
    assert lines[1] == "28 pairs; of queries that its training learnt from: 20"
    assert lines[2].startswith("clicks shop: 24 impressions. Clicks are on the 8 of 28 pairs")
    assert lines[3].split() == ["figure", "value", "loss", "why", "none"]
    figures = [line.split()[0] for line in lines[4:14]]
    assert figures == [
        "kappa", "kappa.taste", "kappa.strength", "kappa.overall", "ndcg@10", "mrr", "calibration.ece", "click.auc",
        "click.log_loss", "click.ece",
    ]  # fmt: skip
    # All human grades of strength are 1 (or N/A): no kappa, no loss, and the reason.
    assert lines[6].split()[1:3] == ["–", "–"]
    assert "needs at least two levels" in lines[6]
    assert "[" in lines[5]
    assert lines[14] == f"loss: against {big.name}; above 0 is worse than it"
    assert lines[15] == "mrr looks for grade 2 or above; ndcg leaves out 0 queries"
    # One layer against two at the same lengths is half the compute.
    assert lines[16].endswith("(50.0% of the teacher's)")
    assert len(lines) == 17  # no line about speed

    data = json.loads(said("evaluate", "tea-big", "--clicks", "shop", "--json"))
    assert data["checkpoint"] == big.name
    assert data["speed"]["pairs_per_s"] > 0
    assert data["figures"]["kappa.taste"].keys() == {"value", "low", "high", "reason"}

    table = said("ledger").splitlines()
    assert table[0].split()[:2] == ["checkpoint", "teacher"]
    assert "kappa loss" in table[0]
    assert "click.auc loss" in table[0]
    assert [line.split()[0] for line in table[1:3]] == [big.name, small.name]
    assert table[2].split()[1] == big.name
    assert table[3] == "A loss above 0 is worse than the teacher."
    rows = json.loads(said("ledger", "--policy", "tea-match", "--json"))
    assert [row["checkpoint"] for row in rows] == [big.name, small.name]
    assert rows[1]["share of teacher"] == pytest.approx(0.5)
    assert json.loads(said("ledger", "--policy", "coffee", "--json")) == []
    assert len(workspace.store.looks("tea")) == 0

    held = runner.invoke(app, ["evaluate", "tea-small", "--split", "holdout", "--no-speed"])
    assert held.exit_code == 0, held.output
    assert held.stderr.endswith("Looks at this holdout so far, this one included: 1\n")
    assert small.name in said("ledger", "--split", "holdout")
    assert workspace.store.looks("tea")["place"].tolist() == ["ledger", "evaluate"]
