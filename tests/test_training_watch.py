"""Watching a training by reading its folder: thinned curves, what is appended, what is done again after a resume."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from training_samples import recipe

from workbench import training_watch
from workbench.errors import BadInput
from workbench.executors.local import LocalExecutor
from workbench.jobfolder import JobFolder
from workbench.run import JobSpec
from workbench.training_watch import errors, recipe_of, thinned, watch
from workbench.workspace import Workspace

JOB = "job-train-x"


@pytest.fixture
def folder(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobFolder:
    """The folder of a training that runs."""
    monkeypatch.setattr(LocalExecutor, "status", lambda *_: "running")
    payload = {"training": {"recipe": recipe("some/model").model_dump(mode="json")}}
    spec = JobSpec(
        id=JOB, kind="training", title="tea", author="Ida", created_at=datetime.now(UTC), payload=payload
    )
    folder = JobFolder(tmp_path / JOB)
    folder.create(spec)
    workspace.store.save_job(spec, str(folder.path), "local:1:1")
    return folder


def write(folder: JobFolder, *rows: dict[str, Any]) -> None:
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_a_short_curve_is_kept_whole() -> None:
    assert thinned([1, 2, 3], [0.5, 0.25, 1.0], 3).values == (0.5, 0.25, 1.0)


def test_a_long_curve_keeps_the_lowest_and_the_highest_of_each_span_and_the_newest() -> None:
    # Steps 0 to 9 in at most five points: two spans, which are 8 steps wide: 0-7 and 8-9.
    values = [5.0, 9.0, 5.0, 5.0, 1.0, 5.0, 5.0, 5.0, 4.0, 6.0]
    found = thinned(range(10), values, 5)
    assert list(zip(found.steps, found.values, strict=True)) == [(1, 9.0), (4, 1.0), (8, 4.0), (9, 6.0)]


def test_a_spike_stays_however_long_the_training(workspace: Workspace, folder: JobFolder) -> None:
    for start in range(0, 3000, 500):  # watched while it grows
        write(
            folder, *({"step": s + 1, "loss": 99.0 if s == 700 else 1.0} for s in range(start, start + 500))
        )
        found = watch(workspace, JOB, points=50)
    curve = found.curves["loss"]
    assert len(curve.steps) <= 50
    assert (701, 99.0) in zip(curve.steps, curve.values, strict=True)
    assert (curve.steps[-1], found.steps) == (3000, 3000)


def test_what_is_done_again_after_a_resume_counts(workspace: Workspace, folder: JobFolder) -> None:
    write(folder, {"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.0}, {"step": 3, "loss": 3.0})
    write(folder, {"epoch": 1, "eval_loss": 0.5})
    assert watch(workspace, JOB).curves["loss"].values == (1.0, 2.0, 3.0)
    write(folder, {"step": 2, "loss": 20.0}, {"epoch": 1, "eval_loss": 0.25})
    found = watch(workspace, JOB)
    assert found.curves["loss"].values == (1.0, 20.0)
    assert found.evals == ({"epoch": 1, "eval_loss": 0.25, "step": 2},)


def test_a_row_that_is_half_written_and_values_that_are_unknown_are_not_there(
    workspace: Workspace, folder: JobFolder
) -> None:
    write(folder, {"step": 1, "loss": 1.0, "loss_soft": None, "lr": float("nan")})
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    assert list(watch(workspace, JOB).curves) == ["loss"]
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('ss": 2.0}\n')
    assert watch(workspace, JOB).curves["loss"].values == (1.0, 2.0)


def test_another_file_under_the_name_is_read_anew(workspace: Workspace, folder: JobFolder) -> None:
    write(folder, {"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.0})
    watch(workspace, JOB)
    (folder.path / "metrics.jsonl").write_text('{"step": 1, "loss": 7.0}\n')
    assert watch(workspace, JOB).curves["loss"].values == (7.0,)


def test_watching_writes_nothing_and_reads_what_is_new_only(
    workspace: Workspace, folder: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, *({"step": step, "loss": 1.0} for step in range(1, 101)))

    def contents() -> dict[str, tuple[int, int]]:
        every = sorted(folder.path.rglob("*"))
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in every}

    before = contents()
    read: list[bytes] = []
    real = training_watch._row
    monkeypatch.setattr(training_watch, "_row", lambda line, where: read.append(line) or real(line, where))
    for _ in range(20):
        watch(workspace, JOB)
        errors(workspace.store.job(JOB))
    assert contents() == before
    assert len(read) == 100  # by the first of the twenty
    write(folder, {"step": 101, "loss": 1.0})
    watch(workspace, JOB)
    assert len(read) == 101


def test_a_damaged_row_is_told_with_its_line(workspace: Workspace, folder: JobFolder) -> None:
    write(folder, {"step": 1, "loss": 1.0})
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write("[1]\n")
    for _ in range(2):  # not only the first who looks is told
        with pytest.raises(BadInput, match="line 2: not a row of figures"):
            watch(workspace, JOB)


def test_the_recipe_of_a_training_is_the_one_it_was_started_with(
    workspace: Workspace, folder: JobFolder
) -> None:
    job = workspace.store.job(JOB)
    assert recipe_of(job) == recipe("some/model")
    spec = job.spec.model_copy(update={"payload": {}})
    with pytest.raises(BadInput, match="tea is no training"):
        recipe_of(job.model_copy(update={"spec": spec}))
