"""A training's job in several processes: torchrun runs the same worker, and the folder looks as one process leaves it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from training_samples import Heard, recipe, tiny  # noqa: E402
from workspace_samples import golden_set, pair  # noqa: E402

from workbench import training_job, training_runs, worker  # noqa: E402
from workbench.errors import Unavailable  # noqa: E402
from workbench.executors.local import LocalExecutor  # noqa: E402
from workbench.jobfolder import JobFolder  # noqa: E402
from workbench.jobs import folder_of  # noqa: E402
from workbench.workspace import Workspace  # noqa: E402

TEAS = ("smoky", "green", "black")
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
TWO += ["--shutdown-timeout=120"]


def started(space: Workspace, backbone: Path, **changes: Any) -> JobFolder:
    """Return the folder of a training of nine dev pairs that is not started."""
    student = recipe(tiny(backbone), data={"golden": "tea"}, **changes)
    return folder_of(space, training_runs.start_training(space, student, author="Ida", key="k").job_id)


@pytest.fixture
def space(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with a golden set; jobs are started by the test."""
    monkeypatch.setattr(LocalExecutor, "submit", lambda _, spec, folder: folder.name)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    dev = [
        (pair(wish, tea), {"taste": 2 if wish == tea else 0, "strength": 1}) for wish in TEAS for tea in TEAS
    ]
    golden_set(workspace, dev)
    return workspace


@pytest.fixture
def job(space: Workspace, tmp_path: Path) -> JobFolder:
    """The folder of a training on two GPUs."""
    return started(space, tmp_path / "model", resources={"gpus": 2})


def test_a_training_that_was_stopped_after_an_epoch_is_graded_when_it_has_gone_on(
    space: Workspace, tmp_path: Path
) -> None:
    folder = started(space, tmp_path / "model")
    folder.ask_to_stop_after_epoch()
    assert worker.main([str(folder.path)]) == 0
    result = folder.result()
    assert result is not None
    assert (result.status, result.data["checkpoint"]["record"]["stopped"]) == ("cancelled", True)
    assert [row["step"] for row in folder.metrics() if "step" in row] == [1, 2, 3]
    assert list(folder.verdicts()) == []
    folder.fresh_start()
    assert worker.main([str(folder.path)]) == 0
    result = folder.result()
    assert result is not None
    assert (result.status, result.data["checkpoint"]["record"]["stopped"]) == ("finished", False)
    assert [row["step"] for row in folder.metrics() if "step" in row] == [1, 2, 3, 4, 5, 6]
    assert len(list(folder.verdicts())) == 9


@pytest.mark.slow
def test_torchrun_runs_the_worker_by_hand(job: JobFolder) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*TWO, "-m", "workbench.worker", str(job.path)],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    result = job.result()
    assert result is not None
    assert result.status == "finished", result
    assert Path(result.data["checkpoint"]["folder"]) == job.artifacts / "checkpoint"
    # Nine pairs in batches of four are three steps, twice; each is told once, and each pair is graded once.
    assert [row["step"] for row in job.metrics() if "step" in row] == [1, 2, 3, 4, 5, 6]
    assert len([verdict.pair_id for verdict in job.verdicts()]) == 9
    assert done.stdout.count("The first batch has 4 pairs") == 1


@pytest.mark.slow
def test_a_failure_of_all_is_told_once(job: JobFolder) -> None:
    (job.path / "soft.jsonl").write_text("no verdict\n")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*TWO, "-m", "workbench.worker", str(job.path)],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1
    result = job.result()
    assert result is not None
    assert result.status == "failed"
    assert "ValidationError" in result.error


def test_a_worker_with_several_gpus_becomes_torchrun(job: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    class Became(BaseException):
        pass

    became: list[Any] = []

    def execv(program: str, arguments: list[str]) -> None:
        became.extend([program, arguments])
        raise Became

    monkeypatch.setattr(os, "execv", execv)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(Became):
        worker.main([str(job.path)])
    program, arguments = became
    assert program == arguments[0] == sys.executable
    assert arguments[: len(TWO)] == TWO
    assert arguments[-3:] == ["-m", "workbench.worker", str(job.path)]
    assert job.result() is None  # which is for the first of the processes to write


def test_fewer_gpus_than_the_recipe_asks_for_are_said(
    job: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(Unavailable, match="asks for 2 GPUs, and this machine has 1"):
        training_job.become_torchrun(2, job, Heard())
