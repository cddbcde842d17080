"""Pipelines that run: tiny jobs on random weights, what is skipped, what blocks, who drives."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from dataset_samples import candidates, published, write_pool
from dataset_samples import recipe as data_recipe
from training_samples import recipe, tiny
from trial_samples import Held
from workspace_samples import version

from workbench import jobs, pipeline_advance, pipeline_records, pipelines
from workbench.datasets import datasets
from workbench.errors import BadInput, NotFound, Refused
from workbench.executors import Status
from workbench.model_evaluations import evaluations
from workbench.run import JobSpec
from workbench.worker import main
from workbench.workspace import Workspace
from workbench.yamltext import dump


class Here(Held):
    """An executor whose jobs are done when it has submitted them: in this process, where torch is loaded already."""

    def submit(self, spec: JobSpec, folder: Path) -> str:
        """Do the job."""
        handler = signal.getsignal(signal.SIGTERM)
        try:
            main([str(folder)])
        finally:
            signal.signal(signal.SIGTERM, handler)
        return super().submit(spec, folder)

    def status(self, handle: str) -> Status:
        """Say that it has ended."""
        return "ended"


@pytest.fixture
def space(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workspace with a golden set, a pool, and the pipeline ``refresh``; runs are driven by the test."""
    monkeypatch.setattr(pipelines, "start_driver", lambda *_: None)
    published(workspace)
    tiny(tmp_path / "model")
    (workspace.root / "pipelines").mkdir()
    write_pool(workspace.root / "pipelines", candidates(12))
    write(workspace, tmp_path / "model")
    return replace(workspace, executor=Here())


def write(space: Workspace, backbone: Path, *, student: Path | None = None) -> None:
    """Write the pipeline ``refresh``: data -> teacher -> student -> figures, and apart from these a judge."""
    data = {"golden": "tea", "dataset": "teas"}
    short = {"epochs": 1, "max_steps": 2, "head_penalty": None}
    teacher = recipe(backbone, recipe="teacher-tiny", data=data, schedule=short)
    taught = recipe(
        student or backbone, recipe="student-tiny", data=data, schedule=short,
        teachers=[{"checkpoint": "teacher-tiny"}],
    )  # fmt: skip
    document = {
        "pipeline": "refresh",
        "policy": "tea-match",
        "steps": [
            {"step": "data", "kind": "dataset", "recipe": data_recipe().model_dump(mode="json")},
            {"step": "teacher", "kind": "train", "needs": ["data"],
             "recipe": teacher.model_dump(mode="json") | {"kind": "teacher"}},
            {"step": "student", "kind": "train", "needs": ["data", "teacher"], "recipe": taught.model_dump(mode="json")},
            {"step": "figures", "kind": "evaluate", "checkpoint": "student", "against": "teacher", "speed": False,
             "needs": ["student", "teacher"]},
            {"step": "judge", "kind": "judge", "judge": "baseline-lexical", "golden": "tea"},
        ],
    }  # fmt: skip
    (space.root / "pipelines" / "refresh.yaml").write_text(dump(document), encoding="utf-8")


def done(space: Workspace, **options: Any) -> pipelines.PipelineRun:
    """Start ``refresh`` and drive it to its end here."""
    run_id = pipelines.start(space, "refresh", author="Ida", **options)
    pipeline_advance.drive(space, run_id, every_s=0.01)
    return pipelines.status(space, run_id)


def states(steps: Any) -> dict[str, str]:
    """Step -> its status; ``skipped`` for what was there already."""
    return {each.step.step: "skipped" if each.reused else each.status for each in steps}


def started(space: Workspace) -> list[str]:
    """The jobs that the executor was given since the last call, without the run's id."""
    executor = space.executor
    assert isinstance(executor, Held)
    given, executor.started = executor.started, []
    return [name.rpartition("-")[2] for name in given]


def test_a_chain_is_made_once_and_then_what_changed(space: Workspace) -> None:
    assert states(pipelines.preview(space, "refresh")) == {
        "data": "ready", "teacher": "waiting", "student": "waiting", "figures": "waiting", "judge": "ready",
    }  # fmt: skip
    first = done(space)
    assert (first.status, set(states(first.steps).values())) == ("finished", {"done"})
    assert sorted(started(space)) == ["data", "judge", "student", "teacher"]
    what = {each.step.step: each.what for each in first.steps}
    student = space.store.checkpoint(what["student"]).record
    assert student["lineage"]["parents"] == [what["teacher"]]
    assert student["lineage"]["dataset"] == what["data"] == datasets(space)[0].card.id
    assert [each.checkpoint for each in evaluations(space)] == [what["student"], what["teacher"]]
    assert first.record.steps["student"].job in {job.spec.id for job in space.store.jobs("training")}

    # The same again: everything is there, and the plan knows it beforehand.
    assert set(states(pipelines.preview(space, "refresh")).values()) == {"skipped"}
    second = done(space)
    assert (second.status, set(states(second.steps).values())) == ("finished", {"skipped"})
    assert {each.step.step: each.what for each in second.steps} == what
    assert started(space) == []

    # Another schedule of the student: it alone is trained, and evaluated. Words alone change nothing.
    changes = {"student": {"schedule.max_steps": 1}, "teacher": {"description": "In other words."}}
    third = done(space, changes=changes)
    assert started(space) == ["student"]
    assert states(third.steps) == {
        "data": "skipped", "teacher": "skipped", "student": "done", "figures": "done", "judge": "skipped",
    }  # fmt: skip

    # Forced, the teacher is trained again; it comes out the same, so what it taught still stands.
    fourth = done(space, force=["teacher"])
    assert started(space) == ["teacher"]
    assert states(fourth.steps) | {"teacher": "skipped"} == dict.fromkeys(what, "skipped")


def test_other_rows_in_the_pool_make_everything_anew(space: Workspace) -> None:
    before = done(space)
    started(space)
    write_pool(space.root / "pipelines", candidates(15))
    after = done(space)
    assert sorted(started(space)) == ["data", "student", "teacher"]  # the judge does not see the pool
    products = [{each.step.step: each.what for each in run.steps} for run in (before, after)]
    assert all(products[0][name] != products[1][name] for name in ("data", "teacher", "student"))


def test_a_failed_step_blocks_what_needs_it_until_its_cause_is_gone(space: Workspace, tmp_path: Path) -> None:
    write(space, tmp_path / "model", student=tmp_path / "later")
    failed = done(space)
    assert failed.status == "failed"
    assert states(failed.steps) == {
        "data": "done", "teacher": "done", "student": "failed", "figures": "blocked", "judge": "done",
    }  # fmt: skip
    reason = {each.step.step: each.reason for each in failed.steps}
    assert str(tmp_path / "later") in reason["student"]
    assert reason["figures"] == f"student failed: {reason['student']}"
    assert failed.reason == reason["figures"]
    started(space)

    tiny(tmp_path / "later")
    pipelines.resume(space, failed.id, "Ida")
    pipeline_advance.drive(space, failed.id, every_s=0.01)
    assert pipelines.status(space, failed.id).status == "finished"
    assert started(space) == ["student"]  # the same job, resumed


def test_what_cannot_be_run_is_refused_before_anything_starts(space: Workspace) -> None:
    for options, error, says in (
        ({"changes": {"studnt": {"seed": 1}}}, NotFound, "No step is called 'studnt'. Did you mean student"),
        ({"changes": {"student": {"sed": 1}}}, NotFound, "No recipe field is called 'sed'"),
        ({"changes": {"data": {"sise": 1}}}, NotFound, "No field of a data set recipe is called 'sise'"),
        ({"changes": {"figures": {"splt": "dev"}}}, NotFound, "No field of step 'figures' is called 'splt'"),
        ({"changes": {"figures": {"split": "test"}}}, BadInput, "Step 'figures' at split"),
        ({"changes": {"figures": {"clicks": "log"}}}, NotFound, "No click log is called 'log'"),
        ({"changes": {"student": {"init_from": "nobody"}}}, NotFound, "No checkpoint is called 'nobody'"),
        ({"changes": {"judge": {"golden": "te"}}}, NotFound, "'te'"),
        ({"force": ["judg"]}, NotFound, "Did you mean judge"),
        ({"policy_version": 7}, NotFound, "7"),
    ):
        with pytest.raises(error, match=says):
            pipelines.start(space, "refresh", author="Ida", **options)  # type: ignore[arg-type]
    with pytest.raises(NotFound, match=r"No pipeline is called 'refesh'. Did you mean refresh"):
        pipelines.start(space, "refesh", author="Ida")
    with pytest.raises(NotFound, match="No run of a pipeline is called 'pipe-1'"):
        pipelines.status(space, "pipe-1")
    with pytest.raises(BadInput, match=r"Write it as step\.field=value"):
        pipelines.read_changes(["student=1"])
    assert pipelines.read_changes(["a.b.c=1", "a.d=", "e.f=[x]"]) == {
        "a": {"b.c": 1, "d": None},
        "e": {"f": ["x"]},
    }
    assert pipelines.runs(space) == []
    assert started(space) == []


def test_a_policy_that_is_published_meanwhile_stops_the_trainings(space: Workspace) -> None:
    run_id = pipelines.start(space, "refresh", author="Ida")
    space.store.add_policy(version(2))
    pipeline_advance.drive(space, run_id, every_s=0.01)
    found = {each.step.step: each for each in pipelines.status(space, run_id).steps}
    assert "tea-match v2 was published since" in found["teacher"].reason
    card = datasets(space)[0].card
    assert (found["data"].status, card.policy_version) == ("done", 1)  # the run's version, not the newest
    assert space.store.run(found["judge"].what).policy_version == 1
    with pytest.raises(Refused, match="trainings learn the newest version, tea-match v2"):
        pipelines.start(space, "refresh", author="Ida", policy_version=1)


def test_two_who_advance_at_once_start_each_step_once(space: Workspace) -> None:
    held = Held()
    space = replace(space, executor=held)
    run_id = pipelines.start(space, "refresh", author="Ida", key="once")
    assert pipelines.start(space, "refresh", author="Ida", key="once") == run_id == "pipe-once"
    together = threading.Barrier(4)
    errors: list[BaseException] = []

    def advance() -> None:
        try:
            together.wait()
            pipelines.watch(space, run_id)
            pipeline_advance.advance(space, run_id)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=advance) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(held.started) == ["job-data-pipe-once-data", "job-run-pipe-once-judge"]

    # A process that ended between starting a job and noting it: the job is found again, not started twice.
    record = pipeline_records.read_run(space, run_id)
    pipeline_records.write_run(space, record.model_copy(update={"steps": {}}))
    pipeline_advance.advance(space, run_id)
    assert len(held.started) == 2


def test_a_stopped_run_starts_nothing_until_it_is_resumed(space: Workspace) -> None:
    held = Held()
    waiting = replace(space, executor=held)
    run_id = pipelines.start(waiting, "refresh", author="Ida")
    pipeline_advance.advance(waiting, run_id)
    pipelines.stop(waiting, run_id, "Bo")
    found = pipelines.status(waiting, run_id)
    assert (found.status, states(found.steps)["data"]) == ("stopping", "running")
    assert all(jobs.stop_asked(job) for job in waiting.store.jobs())

    # The jobs' processes have ended by now (Here says so): they were stopped, and nothing else begins.
    pipeline_advance.drive(space, run_id, every_s=0.01)
    found = pipelines.status(space, run_id)
    assert found.status == "stopped"
    assert {each.step.step: each.reason for each in found.steps}["teacher"] == "data failed: it was stopped"

    pipelines.resume(space, run_id, "Ida")
    pipeline_advance.drive(space, run_id, every_s=0.01)
    assert pipelines.status(space, run_id).status == "finished"


def test_an_evaluation_in_which_drivers_end_is_tried_twice(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline_advance, "evaluate", killed)
    run_id = pipelines.start(space, "refresh", author="Ida")
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            pipeline_advance.drive(space, run_id, every_s=0.01)
    assert pipelines.status(space, run_id).status == "running"
    pipeline_advance.drive(space, run_id, every_s=0.01)
    found = pipelines.status(space, run_id)
    assert (found.status, found.reason) == (
        "failed", "figures failed: The driver ended 2 times while it evaluated.",
    )  # fmt: skip
    monkeypatch.undo()
    pipelines.resume(space, run_id, "Ida")


def test_a_defect_stops_the_driver_and_is_told(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("division by zero")

    run_id = pipelines.start(space, "refresh", author="Ida")
    with monkeypatch.context() as patch:
        patch.setattr(pipeline_advance, "prepare", broken)
        with pytest.raises(ZeroDivisionError):
            pipeline_advance.drive(space, run_id)
    found = pipelines.status(space, run_id)
    assert (found.status, found.reason) == (
        "failed",
        "the driver gave up: ZeroDivisionError: division by zero",
    )


def drivers(run_id: str) -> list[psutil.Process]:
    """The processes that drive a run."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line: Mapping[str, Any] = process.info
        if {pipeline_records.DRIVER, run_id} <= set(line["cmdline"] or ()) and line["status"] != "zombie":
            found.append(process)
    return found


def test_a_killed_driver_is_replaced_by_whoever_looks(workspace: Workspace) -> None:
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
    run_id = pipelines.start(workspace, "two", author="Ida")
    assert pipelines.status(workspace, run_id).driven
    (driver,) = drivers(run_id)
    driver.kill()
    driver.wait()
    assert not pipelines.status(workspace, run_id).driven
    assert pipelines.status(workspace, run_id).status == "running"

    pipelines.watch(workspace, run_id)
    pipelines.watch(workspace, run_id)
    assert len(drivers(run_id)) == 1
    lines = list(pipelines.wait(workspace, run_id))
    assert lines[-1].startswith("judge: done, run-pipe-")
    assert pipelines.status(workspace, run_id).status == "finished"
    for process in drivers(run_id):  # it ends by itself
        process.wait(120)
    assert not pipelines.status(workspace, run_id).driven
