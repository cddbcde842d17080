"""``workbench judge import``: what it says, its JSON, and that a dry run keeps nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from workspace_samples import golden_set, pair, version

from workbench.cli_import import judge_import
from workbench.errors import BadInput, NotFound
from workbench.workspace import Workspace

Import = Callable[..., str]
A, B = pair("green", "Sencha"), pair("black", "Assam")


@pytest.fixture
def run(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> Import:
    """Call the command by itself on a golden set of two teas; errors for a person come out as they are."""
    golden_set(workspace, [(A, {"taste": 2, "strength": 1}), (B, {"taste": 0, "strength": 1})])
    app = typer.Typer()
    app.command("import")(judge_import)

    def call(*words: object) -> str:
        capsys.readouterr()
        app([*map(str, words)], standalone_mode=False)
        return capsys.readouterr().out

    return call


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two judges' grades; a 5 is outside the scale of taste, and a pair is not in the set."""
    path = tmp_path / "scores.csv"
    path.write_text(
        f"judge,pair_id,taste\na,{A.id},2\na,{B.id},5\nb,{A.id},1\nb,pair-x,1\n", encoding="utf-8"
    )
    return path


def test_a_dry_run_says_all_and_keeps_nothing(run: Import, file: Path, workspace: Workspace) -> None:
    out = run(file, "--policy", "tea-match@1", "--golden", "tea", "--dry-run")
    lines = out.splitlines()
    assert lines[:4] == [
        "scores.csv: table, 4 judgements",
        "2 of the 2 pairs of tea v1 are graded",
        "1 pair is not in tea v1: pair-x.",
        "taste: 1 score outside the scale, kept as failed.",
    ]
    assert lines[4].endswith(": a · tea-match v1, 2 judgements, 1 failed")
    assert lines[5].endswith(": b · tea-match v1, 1 judgements")
    assert lines[6:] == ["Nothing was imported (dry run)."]
    assert workspace.store.runs() == []


def test_an_import_as_json_and_again(run: Import, file: Path, workspace: Workspace) -> None:
    words = (file, "--policy", "tea-match", "--golden", "tea", "--json")
    with pytest.raises(BadInput, match=r"scores\.csv: 1 pair is not in tea v1: pair-x\."):
        run(*words)
    first = json.loads(run(*words, "--skip-unknown"))
    assert (first["format"], first["judgements"], first["pairs_known"], first["dry_run"]) == (
        "table",
        4,
        2,
        False,
    )
    assert (first["pairs_unknown"], first["outside_scale"], first["dimensions"]) == (
        ["pair-x"],
        {"taste": 1},
        {"taste": 4},
    )
    assert [(r["judge"], r["judgements"], r["failed"], r["new"]) for r in first["runs"]] == [
        ("a", 2, 1, True), ("b", 1, 0, True),
    ]  # fmt: skip
    assert {run.id for run in workspace.store.runs()} == {r["run"] for r in first["runs"]}
    assert workspace.store.runs()[0].author == "Ida"
    again = json.loads(run(*words, "--skip-unknown"))
    assert [(r["run"], r["new"]) for r in again["runs"]] == [(r["run"], False) for r in first["runs"]]
    assert len(workspace.store.runs()) == 2


def test_the_version_and_the_name_of_the_judge(run: Import, tmp_path: Path, workspace: Workspace) -> None:
    workspace.store.add_policy(version(2))
    path = tmp_path / "scores.csv"
    path.write_text(f"pair_id,taste\n{A.id},2\n", encoding="utf-8")
    for policy, expected in (("tea-match@v1", 1), ("tea-match", 2)):
        made = json.loads(run(path, "--policy", policy, "--golden", "tea", "--judge", "mine", "--json"))[
            "runs"
        ]
        assert [(r["judge"], r["policy_version"]) for r in made] == [("mine", expected)]
    with pytest.raises(BadInput, match="no judge is named"):
        run(path, "--policy", "tea-match", "--golden", "tea")
    with pytest.raises(NotFound, match="gone"):
        run(tmp_path / "gone.csv", "--policy", "tea-match", "--golden", "tea")
