"""One recipe trained for several values: what is started, once, and what is seen of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from training_samples import recipe, tiny
from workspace_samples import golden_set, pair

from workbench import jobs, sweeps, training_job
from workbench.errors import BadInput, NotFound
from workbench.executors.local import LocalExecutor
from workbench.jobfolder import FolderReporter, Result
from workbench.jobs import folder_of
from workbench.model_evaluation import ModelEvaluation, Size
from workbench.resampling import Estimate
from workbench.store import StoredCheckpoint
from workbench.sweeps import expand, frontier, start_sweep, sweep
from workbench.workspace import Workspace

TEAS = ("smoky", "green", "black")


@pytest.fixture
def ready(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workspace with a golden set of nine dev pairs; the executor starts nothing, jobs are done by the test."""
    monkeypatch.setattr(LocalExecutor, "submit", lambda *_: "")
    golden_set(workspace, [(pair(a, b), {"taste": 2 if a == b else 0}) for a in TEAS for b in TEAS])
    return workspace


def student(folder: Path, **changes: Any) -> Any:
    """A recipe for the golden set ``tea`` that keeps a third of the queries for its figures."""
    return recipe(folder, **({"data": {"golden": "tea", "validation": 0.34}} | changes))


def done(space: Workspace, job_id: str) -> None:
    """Do a job here, as the worker does."""
    folder = folder_of(space, job_id)
    reporter = FolderReporter(folder)
    data = training_job.run(folder.spec(), folder, reporter)
    reporter.close()
    folder.finish(Result(status="finished", finished_at=datetime.now(UTC), data=reporter.known | data))


def test_the_grid_is_every_combination_the_last_field_fastest() -> None:
    found = expand(recipe("x"), {"alpha": [0, "0.5"], "schedule.epochs": [1, 3, 2]})
    assert [(one.alpha, one.schedule.epochs) for one in found] == [
        (0, 1), (0, 3), (0, 2), (0.5, 1), (0.5, 3), (0.5, 2),
    ]  # fmt: skip
    assert {one.recipe for one in found} == {"tea-mini"}
    assert len(expand(recipe("x"), {"seed": range(64)})) == 64


@pytest.mark.parametrize(
    ("grid", "error", "says"),
    [
        ({}, BadInput, "varies nothing"),
        ({"alpha": []}, BadInput, "no value for 'alpha'"),
        ({"schedule.epoch": [1]}, NotFound, r"schedule\.epochs"),
        ({"alpha": [0.5, 1.5]}, BadInput, "alpha"),
        ({"seed": range(65)}, BadInput, r"65 trainings \(65\); 64 is the most"),
        ({"seed": range(9), "alpha": [i / 10 for i in range(8)]}, BadInput, r"72 trainings \(9 × 8\)"),
        ({"alpha": [0, 1, 0.0]}, BadInput, r"would train alpha 0\.0 twice"),
        ({"schedule.epochs": [2, "2"]}, BadInput, r"would train schedule\.epochs 2 twice"),
        ({"recipe": ["a", "b"]}, BadInput, "cannot vary 'recipe'"),
    ],
)
def test_a_grid_that_cannot_be(grid: Mapping[str, Sequence[Any]], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        expand(recipe("x"), grid)


def test_a_double_click_starts_each_training_once(ready: Workspace, tmp_path: Path) -> None:
    wanted = student(tmp_path)
    first = start_sweep(ready, wanted, {"alpha": [0, 0.25], "layers": [None, 1]}, author="Ida", key="k")
    again = start_sweep(ready, wanted, {"alpha": [0, "0.25"], "layers": [None, 1]}, author="Ida", key="k")
    assert (first.id, first.recipe, first.author, first.size) == ("sweep-k", "tea-mini", "Ida", 4)
    assert [one.job.spec.id for one in again.members] == [f"job-train-sweep-k-0{i}" for i in range(4)]
    assert len(ready.store.jobs("training")) == 4
    assert first.members[1].job.spec.title == "tea-mini on tea-match v1 (alpha 0.0, layers 1)"
    assert first.members[2].label == "alpha 0.25, layers none"
    assert first.counts == {"queued": 4}
    with pytest.raises(BadInput, match="sweep-k was started with other values"):
        start_sweep(ready, wanted, {"alpha": [0, 0.5], "layers": [None, 1]}, author="Ida", key="k")
    assert len(ready.store.jobs("training")) == 4
    # The jobs learn from the recipe as it is varied.
    told = [one.job.spec.payload["training"]["recipe"] for one in first.members]
    assert [(one["alpha"], one["layers"]) for one in told] == [(0, None), (0, 1), (0.25, None), (0.25, 1)]


def test_nothing_is_started_where_one_of_them_cannot_be(ready: Workspace, tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match="not started, because of init_from nobody: No checkpoint is called 'nobody'"
    ):
        start_sweep(ready, student(tmp_path), {"init_from": [None, "nobody"]}, author="Ida")
    assert ready.store.jobs("training") == []


def test_a_start_that_was_cut_short_goes_on(
    ready: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = sweeps.start_training, []

    def cut(*given: Any, **more: Any) -> Any:
        calls.append(more["key"])
        if len(calls) == 2:
            raise OSError("no room")
        return whole(*given, **more)

    monkeypatch.setattr(sweeps, "start_training", cut)
    with pytest.raises(OSError, match="no room"):
        start_sweep(ready, student(tmp_path), {"alpha": [0, 1]}, author="Ida", key="k")
    found = sweep(ready, "sweep-k")
    assert (len(found.members), found.size) == (1, 2)
    found = start_sweep(ready, student(tmp_path), {"alpha": [0, 1]}, author="Ida", key="k")
    assert [one.values for one in found.members] == [{"alpha": 0}, {"alpha": 1}]
    assert calls == ["sweep-k-00", "sweep-k-01", "sweep-k-01"]


def test_a_sweep_is_stopped_as_one_the_last_first(ready: Workspace, tmp_path: Path) -> None:
    found = start_sweep(
        ready, student(tiny(tmp_path / "model")), {"schedule.epochs": [1, 2, 3]}, author="Ida"
    )
    first, second, third = (member.job.spec.id for member in found.members)
    done(ready, first)
    jobs.collect(ready)
    assert sweeps.stop(ready, found.id, "Bo") == [third, second]
    assert [jobs.stop_asked(ready.store.job(job_id)) is not None for job_id in (first, second, third)] == [
        False, True, True,
    ]  # fmt: skip
    assert sweeps.stop(ready, found.id, "Bo") == []  # asked already
    with pytest.raises(NotFound, match="sweep"):
        sweeps.stop(ready, "gone", "Bo")


def test_the_table_shows_what_varies_and_what_came_of_it(ready: Workspace, tmp_path: Path) -> None:
    wanted = student(tiny(tmp_path / "model"))
    first = start_sweep(ready, wanted, {"schedule.epochs": [1, 2]}, author="Ida")
    second = start_sweep(ready, wanted, {"seed": [5]}, author="Bo")
    assert [one.id for one in sweeps.sweeps(ready)] == [second.id, first.id]
    with pytest.raises(NotFound, match="No sweep is called 'sweep-x'"):
        sweep(ready, "sweep-x")

    done(ready, first.members[0].job.spec.id)
    found = sweep(ready, first.id)
    ended, waiting = found.table()
    assert (ended["schedule.epochs"], ended["status"]) == (1, "finished")
    assert (waiting["schedule.epochs"], waiting["status"], waiting["checkpoint"]) == (2, "queued", None)
    assert found.counts == {"finished": 1, "queued": 1}
    made = found.members[0].checkpoint
    assert made is not None
    assert ended["checkpoint"] == made.id
    assert ended["eval_loss"] == made.record["figures"]["eval_loss"]
    assert waiting["eval_loss"] is None

    # One that is at work shows its newest epoch.
    metrics = folder_of(ready, first.members[1].job.spec.id).path / "metrics.jsonl"
    metrics.write_text('{"epoch": 1, "eval_loss": 2.5, "taste.kappa": 0.1}\n{"step": 7, "loss": 1.0}\n')
    assert sweep(ready, first.id).table()[1]["eval_loss"] == 2.5
    assert jobs.collect(ready) >= 1


def evaluation(checkpoint: str, kappa: float | None, auc: float | None, **changes: Any) -> ModelEvaluation:
    """An evaluation with the two figures, on 120 dev pairs and a log."""
    figures = {"kappa": kappa} | ({} if auc is None else {"click.auc": auc})
    made = {
        "checkpoint": checkpoint, "weights_hash": "w", "recipe": "tea-mini", "policy": "tea-match",
        "policy_version": 1, "golden": "tea v1", "golden_hash": "g1", "split": "dev", "clicks": "log",
        "clicks_hash": "c1", "clicks_on": "dev", "impressions": 3000, "at": datetime(2026, 5, 1, tzinfo=UTC),
        "by": "Ida", "machine": "here", "pairs": 120, "relevant_from": 1,
        "figures": {k: Estimate(v, None, None) for k, v in figures.items()},
        "size": Size(parameters=1, megabytes=1.0, tokens=9, compute=None),
    }  # fmt: skip
    return ModelEvaluation.model_validate(made | changes)


def evaluated(monkeypatch: pytest.MonkeyPatch, found: list[ModelEvaluation]) -> None:
    """Let these be the evaluations that are kept."""
    monkeypatch.setattr(sweeps, "evaluations", lambda _: found)


@pytest.fixture
def models(ready: Workspace, tmp_path: Path) -> Workspace:
    """A sweep over alpha whose first three trainings have left checkpoints m0, m1 and m2."""
    grid = {"alpha": [0, 0.25, 0.5, 1]}
    found = start_sweep(ready, student(tmp_path), grid, author="Ida", key="alpha")
    for i, member in enumerate(found.members[:3]):
        ready.store.save_checkpoint(
            StoredCheckpoint(id=f"m{i}", name="tea-mini", created_at=datetime.now(UTC), folder=str(tmp_path),
                             job_id=member.job.spec.id, record={"figures": {}})
        )  # fmt: skip
    return ready


def test_the_frontier_of_a_sweep_over_alpha(models: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    later = datetime(2026, 5, 2, tzinfo=UTC)
    found = [
        evaluation("m0", 0.1, 0.9),  # an older one of the same
        evaluation("m0", 0.5, 0.8, at=later),
        evaluation("m1", 0.7, 0.7),
        evaluation("m2", 0.6, 0.6),  # less than m1 in both
        evaluation("m2", 0.9, 0.9, split="holdout"),  # on other pairs than the rest
        evaluation("other", 0.99, 0.99),
    ]
    evaluated(monkeypatch, found)
    seen = frontier(models, "sweep-alpha")
    assert [(one.point.label, one.point.about, one.on_frontier) for one in seen.placed] == [
        ("m0", {"alpha": 0}, True), ("m1", {"alpha": 0.25}, True), ("m2", {"alpha": 0.5}, False),
    ]  # fmt: skip
    assert seen.placed[0].point.policy.value == 0.5
    assert seen.placed[2].dominated_by == ("m1",)
    assert seen.measured_on == "120 dev pairs of tea v1; 3,000 impressions of log"

    held = frontier(models, "sweep-alpha", split="holdout")
    assert [one.reason for one in held.placed] == [
        "No policy quality: it was not evaluated.", "No policy quality: it was not evaluated.", "",
    ]  # fmt: skip


def test_a_frontier_says_what_is_missing(models: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = datetime(2026, 5, 1, tzinfo=UTC) + timedelta(hours=1)
    found = [
        evaluation("m0", 0.5, None),
        evaluation("m1", 0.5, 0.7),
        evaluation("m2", 0.9, 0.9, clicks_hash="c2", at=newer),
    ]
    evaluated(monkeypatch, found)
    placed = frontier(models, ["m0", "m1", "m2"]).placed
    assert [one.reason for one in placed] == [
        "No click quality: its evaluation has no such figure.",
        "",
        "No policy quality: it was evaluated on other pairs or clicks than the rest.",
    ]
    evaluated(monkeypatch, [])
    assert frontier(models, "sweep-alpha").measured_on == ""
    with pytest.raises(NotFound, match="No checkpoint is called 'm9'"):
        frontier(models, ["m9"])


def test_a_sweep_without_checkpoints_has_no_frontier(ready: Workspace, tmp_path: Path) -> None:
    start_sweep(ready, student(tmp_path), {"alpha": [0, 1]}, author="Ida", key="k")
    with pytest.raises(BadInput, match="sweep-k has made no checkpoint yet"):
        frontier(ready, "sweep-k")
