"""A full disk, and weights that were cut short: one sentence, nothing half-written, and a resume that finishes."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from executor_samples import held, job, let_go, until, works

from workbench import judge_job, worker
from workbench.documents import policy_text
from workbench.errors import BadInput
from workbench.executors import Places, worker_command
from workbench.executors.local import LocalExecutor
from workbench.jobfolder import JobFolder
from workbench.pair_file import write_pairs
from workbench.run import CheckpointSpec


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 600 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(disk)], capture_output=True, text=True
    )
    if mount.returncode:
        pytest.skip(f"no disk can be mounted here: {mount.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room that is left, to the last byte."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return filler


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a tmpfs")
def test_a_full_disk_is_a_failure_with_a_sentence_and_the_job_is_resumed(
    small_disk: Path, tmp_path: Path
) -> None:
    spec, folder = held(small_disk / "job-d")
    executor = LocalExecutor(Places(tmp_path / "queue"))
    handle = executor.submit(spec, folder.path)
    until(lambda: works(folder))
    filler = fill(small_disk)
    let_go(folder)
    until(lambda: executor.status(handle) == "ended")
    result = folder.result()
    assert result is not None, "the room that the worker had kept was not enough"
    assert (result.status, result.hint) == ("failed", "Free space and resume the job.")
    assert result.error.startswith(f"The disk is full at {folder.path}")
    assert "\n" not in result.error
    # Nothing is left half-written: no temporary file, and no room that is still kept.
    assert [path.name for path in folder.path.iterdir() if path.name.startswith(".")] == []
    filler.unlink()
    (folder.path / "policy.yaml").unlink()
    job(folder.path)
    folder.fresh_start()
    assert subprocess.run(worker_command(folder.path), capture_output=True, timeout=120).returncode == 0
    result = folder.result()
    assert result is not None
    assert result.status == "finished"
    assert len({verdict.pair_id for verdict in folder.verdicts()}) == 6


@pytest.fixture
def signals() -> Iterator[None]:
    """The worker sets its own handler of SIGTERM, which outlives it."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def wrapped() -> Exception:
    try:
        try:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        except OSError as error:
            raise BadInput("The cache cannot be written.", "Look at it.") from error
    except BadInput as error:
        return error


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/weights"), "The disk is full at /data/weights."),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "The disk is full at {folder}."),
        (wrapped(), "The disk is full at {folder}."),
        (OSError(errno.EACCES, "Permission denied", "/data"), ""),
    ],
)  # fmt: skip
def test_a_full_disk_is_known_however_it_is_said(
    error: Exception, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = job(tmp_path / "job-m")

    def full(*_: Any) -> dict[str, Any]:
        assert (folder.path / ".spare").stat().st_size == 256 * 1024
        raise error

    monkeypatch.setattr(judge_job, "run", full)
    assert worker.main([str(folder.path)]) == 1
    result = folder.result()
    assert result is not None
    assert result.status == "failed"
    if sentence:
        assert result.error == sentence.format(folder=folder.path)
    else:
        assert result.error.startswith("The worker met an error of its own: PermissionError")
    assert not (folder.path / ".spare").exists()


@pytest.mark.usefixtures("signals")
def test_a_row_that_does_not_fit_is_cut_off_when_the_job_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = job(tmp_path / "job-r")
    (folder.path / "metrics.jsonl").write_text('{"step": 1}\n')

    def half(spec: Any, folder: JobFolder, reporter: Any) -> dict[str, Any]:
        with (folder.path / "metrics.jsonl").open("a") as file:
            file.write('{"step": 2, "lo')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.path / "metrics.jsonl"))

    with monkeypatch.context() as patch:
        patch.setattr(judge_job, "run", half)
        assert worker.main([str(folder.path)]) == 1
    assert worker.main([str(folder.path)]) == 0
    rows = (folder.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row) for row in rows] == [{"step": 1}]


@pytest.mark.usefixtures("signals")
def test_weights_that_were_cut_short_are_refused_and_the_run_goes_on_with_whole_ones(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the train extra")
    pytest.importorskip("transformers", reason="needs the train extra")
    from training_samples import Heard, examples, policy, recipe, tiny

    from workbench.training.fit import fit
    from workbench.training.record import WEIGHTS

    student = recipe(tiny(tmp_path / "model"), schedule={"epochs": 1})
    weights = fit(student, policy(), examples(), tmp_path / "out", Heard()).folder / WEIGHTS
    judge = CheckpointSpec(checkpoint="tiny", folder=str(weights.parent))
    payload = {"judge": judge.model_dump(mode="json"), "cache": str(tmp_path / "cache")}
    _, folder = job(tmp_path / "job-w", policy=policy_text(policy()), payload=payload)
    pairs = [example.pair for example in examples()]
    write_pairs(folder.path / "pairs.jsonl", pairs, dict.fromkeys([pair.id for pair in pairs], "dev"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    assert worker.main([str(folder.path)]) == 1
    result = folder.result()
    assert result is not None
    assert (result.status, list(folder.verdicts())) == ("failed", [])
    assert f"{weights} is not the file that" in result.error
    assert "damaged, incomplete or altered" in result.error
    assert "\n" not in result.error
    weights.write_bytes(whole)
    folder.fresh_start()  # as jobs.resume does
    assert worker.main([str(folder.path)]) == 0
    assert {verdict.pair_id for verdict in folder.verdicts()} == {pair.id for pair in pairs}
