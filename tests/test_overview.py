"""The loop on Home: figures, what is stale, the next steps; and the sample that a new workspace starts with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from workspace_samples import NAME, START, golden_set, label, pair, recorded_run, version

from workbench.authoring import open_draft
from workbench.documents import write_golden
from workbench.errors import NotFound
from workbench.executors import Status, worker_command
from workbench.overview import Overview, overview
from workbench.run import JobSpec, JudgeIdentity
from workbench.sample import start_sample_runs
from workbench.store import StoredCheckpoint
from workbench.workspace import Settings, Workspace

P = [pair("smoky", "Lapsang"), pair("smoky", "Sencha"), pair("mild", "Sencha"), pair("mild", "Assam")]
HUMAN: list[tuple[Any, dict[str, int]]] = [
    (p, {"taste": t, "strength": 1}) for p, t in zip(P, (0, 1, 2, 2), strict=True)
]


class Counts:
    """An executor that only counts what it is given."""

    name = "counts"

    def __init__(self) -> None:
        self.folders: list[Path] = []

    def submit(self, spec: JobSpec, folder: Path) -> str:
        self.folders.append(folder)
        return "counts:1"

    def status(self, handle: str) -> Status:
        return "running"

    def logs(self, handle: str, lines: int = 200) -> str:
        """Know nothing."""
        return ""

    def command(self, folder: Path) -> list[str]:
        """Return the worker's."""
        return worker_command(folder)

    def stop(self, handle: str, *, kill: bool = False) -> None:
        """Do nothing."""


def figures(found: Overview) -> dict[str, tuple[str, str]]:
    return {station.name: (station.figure, station.detail) for station in found.stations}


def pages(found: Overview) -> list[str]:
    return [step.page for step in found.next_steps]


def test_a_policy_alone_asks_for_a_golden_set(workspace: Workspace) -> None:
    found = overview(workspace, NAME)
    assert figures(found) == {
        "policy": ("v1", "2 dimensions, 4 clauses"),
        "golden labels": ("0", "0 pairs, 0 labelers"),
        "judge runs": ("0", "0 judges"),
        "agreement": ("–", "no finished run yet"),
        "students": ("0", "none trained yet"),
    }
    assert (pages(found), found.stale, found.sample) == (["golden", "policy"], (), False)
    with pytest.raises(NotFound, match="No policy is called 'coffee'"):
        overview(workspace, "coffee")


def test_a_set_without_a_snapshot_asks_for_one(workspace: Workspace) -> None:
    workspace.store.create_golden("tea", NAME)
    workspace.store.add_pairs("tea", P)
    workspace.store.add_labels("tea", [label(P[0], "taste", 1), label(P[0], "taste", 1, "bob")])
    open_draft(workspace, NAME, "Ida")
    found = overview(workspace, NAME)
    assert figures(found)["golden labels"] == ("2", "4 pairs, 2 labelers")
    assert figures(found)["policy"] == ("v1", "2 dimensions, 4 clauses; 1 draft")
    assert found.next_steps[0].what == "Publish a snapshot"


def test_figures_follow_the_runs(workspace: Workspace) -> None:
    golden_set(workspace, HUMAN)
    assert overview(workspace, NAME).next_steps[0].what == "Run a judge with policy v1"
    off = [(p, {"taste": t, "strength": 1}) for p, t in zip(P, (0, 1, 2, 1), strict=True)]
    recorded_run(workspace, "a", off, judge="one")
    recorded_run(workspace, "b", off, judge="two", status="running")
    found = overview(workspace, NAME)
    assert figures(found)["judge runs"] == ("1", "1 judge; 1 under way")
    # Human overall 0, 1, 2, 2 (strength is 1 throughout), judge 0, 1, 2, 1: kappa 0.8 (see test_evaluation).
    assert figures(found)["agreement"] == ("κ 0.80", "overall grade on dev: one · tea-match v1")
    assert "compare" not in pages(found)


def test_a_student_does_not_count_as_the_best_judge_of_what_it_learnt(workspace: Workspace) -> None:
    golden_set(workspace, HUMAN)
    run = recorded_run(workspace, "a", HUMAN)
    student = run.model_copy(update={"judge": JudgeIdentity(kind="checkpoint", name="mini")})
    workspace.store.save_run(student)
    assert figures(overview(workspace, NAME))["agreement"][0] == "–"


def test_what_is_older_than_the_policy_is_stale(workspace: Workspace) -> None:
    golden_set(workspace, HUMAN)
    recorded_run(workspace, "a", HUMAN)
    workspace.store.save_checkpoint(
        StoredCheckpoint(
            id="mini-1", name="mini", created_at=START, folder="x", job_id="job",
            record={"policy": NAME, "policy_version": 1},
        )
    )  # fmt: skip
    assert overview(workspace, NAME).stale == ()
    workspace.store.add_policy(version(2, title="Second"))
    found = overview(workspace, NAME)
    assert found.stale == (
        "No judge has run with policy v2 yet; the newest runs are of v1.",
        "Student mini-1 was trained on policy v1, newest is v2.",
    )
    assert figures(found)["students"] == ("1", "newest: mini-1")
    assert found.next_steps[0].what == "Run a judge with policy v2"
    recorded_run(workspace, "b", HUMAN, policy_version=2)
    assert "Compare policy versions" in [step.what for step in overview(workspace, NAME).next_steps]


# The sample


def test_sample_runs_are_started_once_for_each_version(workspace: Workspace) -> None:
    workspace.store.add_policy(version(2, title="Second"))
    space = Workspace(workspace.settings, workspace.store, Counts())
    workspace.store.create_golden(NAME, NAME, sample=True)
    workspace.store.add_pairs(NAME, P)
    golden = replace(golden_set(workspace, HUMAN), name=NAME, sample=True)
    workspace.store.add_snapshot(golden, author="sample", message="x")
    assert write_golden(workspace.root / "golden_sets", golden).exists()
    runs = start_sample_runs(space, NAME)
    assert [(run.policy_version, run.sample, run.judge.kind) for run in runs] == [
        (1, True, "baseline"), (2, True, "baseline"),
    ]  # fmt: skip
    assert isinstance(space.executor, Counts)
    assert len(space.executor.folders) == 2
    assert start_sample_runs(space, NAME) == []


def test_a_workspace_without_the_sample_starts_nothing(workspace: Workspace) -> None:
    space = Workspace(workspace.settings, workspace.store, Counts())
    assert start_sample_runs(space) == []  # no such policy
    assert start_sample_runs(space, NAME) == []  # no golden set of its name
    workspace.store.create_golden(NAME, NAME)
    assert start_sample_runs(space, NAME) == []  # a set of the user's own
    assert workspace.store.runs() == []


# Settings


def test_settings_have_defaults_that_follow_the_root(tmp_path: Path) -> None:
    found = Settings.from_environment({"WORKBENCH_ROOT": str(tmp_path), "WORKBENCH_USER": " Ida "})
    assert (found.root, found.home) == (tmp_path, tmp_path / "var")
    assert found.database_url == f"sqlite:///{tmp_path / 'var' / 'workbench.db'}"
    assert (found.executor, found.user) == ("local", "Ida")
    # A name of blanks would be refused as a labeler's much later.
    assert Settings.from_environment({"WORKBENCH_ROOT": str(tmp_path), "WORKBENCH_USER": "  "}).user.strip()


def test_recipes_are_found_by_their_file(workspace: Workspace) -> None:
    assert workspace.recipes() == {}
    folder = workspace.root / "students"
    folder.mkdir()
    (folder / "mini.yaml").write_text(
        "recipe: mini\npolicy: tea-match\nbackbone: minilm\ndata: {golden: tea}\n"
    )
    assert workspace.recipe("mini").recipe == "mini"
    with pytest.raises(NotFound, match="No recipe is called 'maxi'"):
        workspace.recipe("maxi")
