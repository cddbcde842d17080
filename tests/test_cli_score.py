"""The command that grades a file, as a person calls it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from training_samples import Heard, examples, policy, recipe, tiny  # noqa: E402

from workbench.cli_score import score  # noqa: E402
from workbench.errors import NotFound  # noqa: E402
from workbench.store.runs import StoredCheckpoint  # noqa: E402
from workbench.training.fit import fit  # noqa: E402
from workbench.workspace import open_workspace  # noqa: E402

app = typer.Typer()
app.command()(score)


def test_score_by_name_and_by_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WORKBENCH_ROOT", str(tmp_path))
    monkeypatch.delenv("WORKBENCH_DATABASE_URL", raising=False)
    done = fit(recipe(tiny(tmp_path / "model")), policy(), examples(), tmp_path / "made", Heard())
    source, out = tmp_path / "pairs.jsonl", tmp_path / "out.parquet"
    source.write_text(
        "\n".join(e.pair.model_dump_json(include={"query", "document"}) for e in examples()) + "\n"
        '{"query": {}, "document": {"notes": "green"}}\n'
    )
    record = done.record
    open_workspace().store.save_checkpoint(
        StoredCheckpoint(id="c1", name="tea-mini", created_at=datetime(2026, 1, 1, tzinfo=UTC),
                         folder=str(done.folder), job_id="j", record=record.model_dump(mode="json"))
    )  # fmt: skip
    runner = CliRunner()
    words = [str(source), "--out", str(out), "--device", "cpu"]
    named = runner.invoke(app, [*words, "--checkpoint", "tea-mini", "--json"])
    assert named.exit_code == 0, named.output
    assert named.stderr.startswith("13 pairs, ")
    said = json.loads(named.stdout)
    assert (said["checkpoint"], said["rows"], said["blank"]) == (record.name, 13, 1)
    first = pq.read_table(out)
    assert first.num_rows == 13

    by_folder = runner.invoke(app, [*words, "--checkpoint", str(done.folder), "--batch", "3"])
    assert by_folder.stdout.startswith(f"13 pairs graded by {record.name} in ")
    assert "1 of them have no text on one side." in by_folder.stderr
    again = pq.read_table(out)
    assert again.column("taste.grade") == first.column("taste.grade")

    missing = runner.invoke(app, [*words, "--checkpoint", "coffee-mini"])
    assert isinstance(missing.exception, NotFound)
    assert missing.exception.message == "No checkpoint is called 'coffee-mini'."
