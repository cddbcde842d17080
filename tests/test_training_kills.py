"""Trainings that are ended badly: each leaves one sentence and whole files, and goes on as if nothing had been.

Workers that are to be killed are processes of their own; a hook (a ``sitecustomize`` that they load) holds them after a
given step, so that each is ended at a known place however slow the machine. 9 pairs of three queries, one of these for validation, make epochs of 6 steps.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

import policy_samples  # noqa: E402
from training_samples import Heard, examples, policy, recipe, tiny  # noqa: E402
from workspace_samples import golden_set, pair  # noqa: E402

from workbench import cli, jobs, judge_runs, training_runs, training_watch, worker  # noqa: E402
from workbench.documents import sync  # noqa: E402
from workbench.executors.local import LocalExecutor  # noqa: E402
from workbench.jobfolder import FolderReporter, JobFolder  # noqa: E402
from workbench.recipe import StudentRecipe  # noqa: E402
from workbench.run import CheckpointSpec, JobSpec, JobState  # noqa: E402
from workbench.training import state as training_state  # noqa: E402
from workbench.training.fit import fit  # noqa: E402
from workbench.training.model import load_checkpoint  # noqa: E402
from workbench.training.record import WEIGHTS, read_record  # noqa: E402
from workbench.workspace import Workspace, open_workspace  # noqa: E402

pytestmark = pytest.mark.slow

TEAS = ("smoky", "green", "black")
ROOM = 5 * 4096
HOOK = """
import os, sys, time
if os.environ.get("HOLD_AT") and "workbench.worker" in sys.orig_argv:
    from pathlib import Path
    from workbench.jobfolder import FolderReporter

    here, step, metric = Path(os.environ["HOLD_IN"]), int(os.environ["HOLD_AT"]), FolderReporter.metric

    def held(self, values):
        metric(self, values)
        if values.get("step") == step:
            (here / "held").touch()
            while not (here / "go").exists():
                time.sleep(0.02)

    FolderReporter.metric = held
"""
APP = """
import sys, time
from workbench.recipe import StudentRecipe
from workbench.training_runs import start_training
from workbench.workspace import open_workspace

recipe = StudentRecipe.model_validate_json(sys.argv[1])
print(start_training(open_workspace(), recipe, author="Ida", key="orphan").job_id, flush=True)
time.sleep(600)
"""


def until(condition: Callable[[], object], seconds: float = 300) -> None:
    """Wait until it is so; fail where it never comes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@dataclass(frozen=True)
class Hold:
    """Holds the workers that are started from now on after a step; one is held until it is let go or ended."""

    folder: Path
    patch: pytest.MonkeyPatch

    def after(self, step: int) -> None:
        """Hold after this step."""
        (self.folder / "sitecustomize.py").write_text(HOOK, encoding="utf-8")
        self.patch.setenv("PYTHONPATH", str(self.folder))
        self.patch.setenv("HOLD_IN", str(self.folder))
        self.patch.setenv("HOLD_AT", str(step))

    def wait(self) -> None:
        """Wait until a worker is held, and hold no other."""
        until((self.folder / "held").exists)
        self.patch.delenv("HOLD_AT")

    def let_go(self) -> None:
        """Let it go on."""
        (self.folder / "go").touch()


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hold:
    """Nothing is held yet."""
    folder = tmp_path / "hold"
    folder.mkdir()
    return Hold(folder, monkeypatch)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """One workspace for all, in which nothing outlives its test."""
    root = tmp_path_factory.mktemp("kills")
    path = root / "policies" / "tea-match" / "v1.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(policy_samples.TEXT, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "WORKBENCH_ROOT": root,
            "WORKBENCH_HOME": root / "var",
            "WORKBENCH_USER": "Ida",
        }.items():
            patch.setenv(name, str(value))
        for name in (
            "WORKBENCH_DATABASE_URL",
            "WORKBENCH_EXECUTOR",
            "WORKBENCH_QUEUE",
            "WORKBENCH_CPU_SLOTS",
            "WORLD_SIZE",
        ):
            patch.delenv(name, raising=False)
        opened = open_workspace()
        assert sync(opened.root, opened.store).problems == ()
        dev = [
            (pair(wish, tea), {"taste": 2 if wish == tea else 0, "strength": 1})
            for wish in TEAS
            for tea in TEAS
        ]
        golden_set(opened, dev)
        yield opened
        opened.store.close()


@pytest.fixture(autouse=True)
def ended(space: Workspace) -> Iterator[None]:
    """End what a failed test leaves at work, and put back the handler of SIGTERM that a worker in this process sets."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)
    for left in space.store.jobs(open_only=True):
        space.executor_of(left.handle).stop(left.handle, kill=True)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder."""
    return tiny(tmp_path_factory.mktemp("backbone") / "model")


def student(backbone: Path, validation: float = 0.34, **changes: Any) -> StudentRecipe:
    """Three epochs of a step a pair, so gentle that each is better than the one before."""
    schedule = {"epochs": 3, "batch_size": 1, "learning_rate": 1e-4, "head_learning_rate": 1e-3}
    schedule["head_penalty"] = None
    return recipe(backbone, data={"golden": "tea", "validation": validation}, schedule=schedule, **changes)


def start(space: Workspace, made: StudentRecipe, key: str) -> JobFolder:
    """Launch a training and return its folder."""
    return jobs.folder_of(space, training_runs.start_training(space, made, author="Ida", key=key).job_id)


def here(_: LocalExecutor, spec: JobSpec, folder: Path) -> str:
    """Do a job at once in this process, in place of ``LocalExecutor.submit``."""
    worker.main([str(folder)])
    return ""


def trained(space: Workspace, made: StudentRecipe, key: str) -> JobFolder:
    """Return the folder of a training that nothing disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalExecutor, "submit", here)
        folder = start(space, made, key)
    assert end(space, folder).status == "finished"
    return folder


@pytest.fixture(scope="module")
def whole(space: Workspace, backbone: Path) -> JobFolder:
    """The training that nothing disturbed."""
    return trained(space, student(backbone), "whole")


def resume(space: Workspace, folder: JobFolder) -> JobState:
    """Resume a job, in this process, and return how it ended."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalExecutor, "submit", here)
        jobs.resume(space, folder.path.name, "Ida")
    return end(space, folder)


def end(space: Workspace, folder: JobFolder) -> JobState:
    """Return how a job ended, once it has and is collected."""
    list(jobs.wait(space, [folder.path.name], every_s=0.1))
    final = space.store.job(folder.path.name).final
    assert final is not None
    return final


def steps(folder: JobFolder) -> list[tuple[int, float]]:
    """Return (step, loss) of every row that a training reported."""
    return [(row["step"], row["loss"]) for row in folder.metrics() if "step" in row]


def artifacts(folder: JobFolder) -> list[str]:
    """Return the names of all that a job left."""
    return sorted(path.name for path in folder.artifacts.iterdir())


def assert_same(space: Workspace, folder: JobFolder, whole: JobFolder) -> None:
    """It is seen as the undisturbed training is, and made the very same weights."""
    curve = training_watch.watch(space, folder.path.name).curves["loss"]
    assert list(zip(curve.steps, curve.values, strict=True)) == steps(whole)
    assert artifacts(folder) == artifacts(whole)
    ours, theirs = (load_checkpoint(one.artifacts / "checkpoint").record for one in (folder, whole))
    assert ours.weights_hash == theirs.weights_hash
    assert ours.figures["steps"] == theirs.figures["steps"]
    run = space.store.run(folder.spec().payload["run_id"])
    assert (run.status, run.totals.pairs) == ("finished", len(TEAS) ** 2)


def one_sentence(text: str) -> bool:
    """Whether a person is told in one line what is wrong, and not how the program fell over it."""
    return (
        "\n" not in text and text.endswith(".") and "Traceback" not in text and "error of its own" not in text
    )


def test_a_killed_worker_is_lost_and_goes_on_with_the_same_losses(
    space: Workspace, backbone: Path, whole: JobFolder, hold: Hold
) -> None:
    hold.after(step=8)  # the second of the second epoch
    folder = start(space, student(backbone), "killed")
    hold.wait()
    os.kill(int(space.store.job(folder.path.name).handle.split(":")[1]), signal.SIGKILL)
    lost = end(space, folder)
    assert lost.status == "lost"
    assert lost.error.startswith("The worker ended without a result")
    assert steps(folder) == steps(whole)[:8]
    # As a worker leaves them that is killed while it writes.
    (folder.artifacts / "state.partial").write_bytes(b"\0" * 100)
    (folder.artifacts / ".best-2-x1y2").mkdir()
    (folder.artifacts / ".best-2-x1y2" / WEIGHTS).write_bytes(b"\0" * 100)
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')
    jobs.resume(space, folder.path.name, "Ida")
    assert end(space, folder).status == "finished"
    # It goes on behind the first epoch, of 6 steps, and does steps 7 and 8 again: with the same losses.
    assert steps(folder) == steps(whole)[:8] + steps(whole)[6:]
    assert len(steps(whole)) == 18
    assert_same(space, folder, whole)


def test_a_training_outlives_the_app_that_started_it(
    space: Workspace, backbone: Path, whole: JobFolder, hold: Hold
) -> None:
    hold.after(step=8)
    command = [sys.executable, "-c", APP, student(backbone).model_dump_json()]
    app = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert app.stdout is not None
    try:
        assert app.stdout.readline().strip() == "job-train-orphan"
        hold.wait()
    finally:
        app.kill()
        app.wait()
        app.stdout.close()
    assert jobs.state(space, space.store.job("job-train-orphan")).status == "running"
    hold.let_go()
    folder = jobs.folder_of(space, "job-train-orphan")
    assert end(space, folder).status == "finished"
    assert steps(folder) == steps(whole)
    assert_same(space, folder, whole)


@pytest.fixture
def small_disk(space: Workspace, while_saving: str) -> Iterator[Path]:
    """A disk of one megabyte in the place of the folder of the training that is called so."""
    if not sys.platform.startswith("linux"):
        pytest.skip("mounts a tmpfs")
    disk = space.jobs_folder / f"job-train-{while_saving}"
    disk.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        disk.rmdir()
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)
    disk.rmdir()


def leave(disk: Path, room: int) -> None:
    """Fill a disk but for ``room`` bytes, a multiple of its pages."""
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        file.truncate(file.tell() - room)


@pytest.mark.parametrize("while_saving", ["state", "checkpoint"])
def test_a_full_disk_leaves_whole_files_and_the_training_goes_on_when_there_is_room(
    space: Workspace,
    backbone: Path,
    whole: JobFolder,
    small_disk: Path,
    while_saving: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Without validation no checkpoint is written before the end, so that only the state can meet the full disk.
    validates = while_saving == "checkpoint"
    made = student(backbone) if validates else student(backbone, validation=0.0)
    undisturbed = whole if validates else trained(space, made, "unvalidated")
    length = 6 if validates else 9
    if validates:
        first, second, _ = (row["eval_loss"] for row in undisturbed.metrics() if "eval_loss" in row)
        assert second < first, "the second epoch is the best yet, so its checkpoint is written"
    kept: list[str] = []
    metric = FolderReporter.metric

    def fills(reporter: FolderReporter, values: Mapping[str, Any]) -> None:
        metric(reporter, values)
        if values.get("step") == length + 2:
            kept.extend(artifacts(JobFolder(small_disk)))
            # Room for the rows and the progress of the epoch, of a page each, and not for what is saved at its end.
            saved = small_disk / "artifacts" / (f"best-1/{WEIGHTS}" if validates else "state.safetensors")
            assert saved.stat().st_size > ROOM
            leave(small_disk, ROOM)

    with monkeypatch.context() as patch:
        patch.setattr(LocalExecutor, "submit", here)
        patch.setattr(FolderReporter, "metric", fills)
        disk = start(space, made, while_saving)
    failed = end(space, disk)
    assert failed.status == "failed"
    assert failed.error == f"The disk is full at {disk.path}. Free space and resume the job."
    assert steps(disk) == steps(undisturbed)[: 2 * length]
    assert kept == (["best-1", "state.safetensors", "worst.jsonl"] if validates else ["state.safetensors"])
    assert artifacts(disk) == kept
    (small_disk / "filler").unlink()
    assert resume(space, disk).status == "finished"
    assert steps(disk) == steps(undisturbed)[: 2 * length] + steps(undisturbed)[length:]
    assert_same(space, disk, undisturbed)


def test_a_state_that_does_not_fit_leaves_the_one_before(
    backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As the test above, where no disk can be mounted.
    save, files = training_state.save_file, []

    def save_file(tensors: Any, file: str, **more: Any) -> None:
        files.append(file)
        save(tensors, file, **more)
        if len(files) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file)

    monkeypatch.setattr(training_state, "save_file", save_file)
    undisturbed, broken, resumed = Heard(), Heard(), Heard()
    tea = recipe(backbone, schedule={"head_penalty": None})
    with pytest.raises(OSError, match="No space left"):
        fit(tea, policy(), examples(), tmp_path / "out", broken)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["state.safetensors"]
    fit(tea, policy(), examples(), tmp_path / "whole", undisturbed)
    fit(tea, policy(), examples(), tmp_path / "out", resumed, resume=True)
    # Epochs of three steps: the state of the first was kept, that of the second did not fit.
    assert broken.losses() == undisturbed.losses()
    assert resumed.losses() == undisturbed.losses()[3:]


@pytest.fixture
def cut(whole: JobFolder) -> Iterator[Path]:
    """The checkpoint of the undisturbed training, whose weights are cut short until the test is over."""
    weights = whole.artifacts / "checkpoint" / WEIGHTS
    bytes_ = weights.read_bytes()
    weights.write_bytes(bytes_[: len(bytes_) // 2])
    yield weights.parent
    weights.write_bytes(bytes_)


def test_a_checkpoint_that_was_cut_short_is_refused_by_all_that_read_it(
    space: Workspace,
    backbone: Path,
    cut: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(LocalExecutor, "submit", here)
    checkpoint = read_record(cut).name
    judged = judge_runs.start_run(
        space,
        CheckpointSpec(checkpoint=checkpoint),
        policy="tea-match",
        golden="tea",
        author="Ida",
        key="cut",
    )
    starting = student(backbone, init_from=checkpoint)
    taught = student(backbone, teachers=[{"checkpoint": checkpoint}])
    folders = [
        jobs.folder_of(space, f"job-{judged.id}"),
        start(space, starting, "cut-start"),
        start(space, taught, "cut-teacher"),
    ]
    said = f"{cut / WEIGHTS} is not the file that checkpoint.json speaks of: damaged, incomplete or altered."
    for folder in folders:
        failed = end(space, folder)
        assert (failed.status, failed.error) == ("failed", f"{said} Copy the whole folder again.")
        assert (artifacts(folder), list(folder.verdicts())) == ([], [])
    source = tmp_path / "pairs.jsonl"
    source.write_text(json.dumps({"query": {"wishes": "smoky"}, "document": {"notes": "green"}}) + "\n")
    words = [
        "score",
        source,
        "--checkpoint",
        checkpoint,
        "--out",
        tmp_path / "out.parquet",
        "--device",
        "cpu",
    ]
    monkeypatch.setattr(sys, "argv", ["workbench", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]


def test_a_state_that_was_cut_short_is_said_and_nothing_is_lost(
    space: Workspace, backbone: Path, whole: JobFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:  # stopped after its first epoch
        patch.setattr(LocalExecutor, "submit", lambda _, spec, folder: folder.name)
        folder = start(space, student(backbone), "cut-state")
    folder.ask_to_stop_after_epoch()
    worker.main([str(folder.path)])
    assert end(space, folder).status == "cancelled"
    left = artifacts(folder)
    assert left == ["checkpoint", "state.safetensors", "worst.jsonl"]
    state = folder.artifacts / "state.safetensors"
    bytes_ = state.read_bytes()
    state.write_bytes(bytes_[: len(bytes_) // 2])
    failed = resume(space, folder)
    assert failed.status == "failed"
    assert failed.error.startswith(f"{state} is damaged (")
    assert failed.error.endswith("resume, which begins at the first step.")
    assert one_sentence(failed.error)
    assert artifacts(folder) == left
    # Put back as it was, it is as good as ever …
    state.write_bytes(bytes_)
    assert resume(space, folder).status == "finished"
    assert steps(folder) == steps(whole)
    # … and without it the remedy that the sentence names works, too.
    for path in folder.artifacts.iterdir():
        path.unlink() if path.is_file() else shutil.rmtree(path)
    assert resume(space, folder).status == "finished"
    assert steps(folder) == steps(whole) + steps(whole)
    assert_same(space, folder, whole)
