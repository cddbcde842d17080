"""A job's folder at a URL: what is sent, what is fetched, what never is; and a worker that has nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from executor_samples import job

from workbench.errors import BadInput, Unavailable
from workbench.executors import remote
from workbench.executors.mirror import Mirror, send_inputs
from workbench.executors.ray import RayExecutor

pytest.importorskip("fsspec", reason="comes with the train extra")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A place in memory of this test's own."""
    return f"memory://{tmp_path.name}/job-1"


def sides(tmp_path: Path, url: str) -> tuple[Mirror, Mirror]:
    """The app's side, with a spec, and the worker's, which has fetched it."""
    app, worker = Mirror(tmp_path / "app", url), Mirror(tmp_path / "worker", url)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "spec.json").write_text("{}")
    app.push()
    worker.pull()
    return app, worker


def test_either_side_gets_what_changed_on_the_other(tmp_path: Path, url: str) -> None:
    app, worker = sides(tmp_path, url)
    deep = worker.folder / "artifacts" / "model" / "weights.bin"
    deep.parent.mkdir(parents=True)
    deep.write_bytes(b"12")
    (worker.folder / ".half.tmp").write_text("being written")
    (worker.folder / "result.json").write_text("done")
    worker.push(skip=["result.json"])
    app.pull()
    names = sorted(p.relative_to(app.folder).as_posix() for p in app.folder.rglob("*") if p.is_file())
    assert names == [".mirror.json", "artifacts/model/weights.bin", "spec.json"]
    worker.push()
    app.pull(small_only=True)
    assert not (app.folder / "result.json").exists()  # a result is fetched with all that it speaks of
    app.pull()
    assert (app.folder / "result.json").read_text() == "done"
    # A new start: what the app removed is gone there, and is not fetched again.
    (app.folder / "result.json").unlink()
    app.pull()
    app.push()
    again = Mirror(tmp_path / "again", url)
    again.pull()
    assert not (again.folder / "result.json").exists()
    assert (again.folder / "artifacts" / "model" / "weights.bin").read_bytes() == b"12"


def test_what_is_unchanged_is_not_sent_again(tmp_path: Path, url: str) -> None:
    app, worker = sides(tmp_path, url)
    app.push()
    worker.pull()
    before = (
        (worker.folder / "spec.json").stat().st_ino
    )  # a file that is fetched replaces the one that was there
    app.push()
    worker.pull()
    assert (worker.folder / "spec.json").stat().st_ino == before
    (app.folder / "spec.json").write_text('{"a": 1}')
    app.push()
    worker.pull()
    assert (worker.folder / "spec.json").read_text() == '{"a": 1}'


def test_only_the_app_steers(tmp_path: Path, url: str) -> None:
    app, worker = sides(tmp_path, url)
    (app.folder / "stop").touch()
    (app.folder / "notes.txt").write_text("not a control")
    app.push_controls()
    worker.pull_controls()
    assert (worker.folder / "stop").exists()
    worker.pull()
    assert not (worker.folder / "notes.txt").exists()


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, url: str) -> None:
    app, _ = sides(tmp_path, url)
    app._fs.store[f"/{tmp_path.name}/job-1/../../evil"] = app._fs.store[f"/{tmp_path.name}/job-1/spec.json"]
    with pytest.raises(BadInput, match="leads out of the folder"):
        app.pull()


def test_urls_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="WORKBENCH_SHARED_URL is no URL"):
        Mirror(tmp_path, "nowhere://a/b")
    (tmp_path / "spec.json").write_text("{}")
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(Unavailable, match=r"taken/job-1 cannot be used \(\w+Error"):
        Mirror(tmp_path, (tmp_path / "taken" / "job-1").as_uri()).push()


def test_inputs_that_a_spec_names_are_sent_once_and_texts_are_not(tmp_path: Path) -> None:
    base = (tmp_path / "bucket").as_uri()
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "model.bin").write_bytes(b"weights")
    (tmp_path / "clicks.parquet").write_bytes(b"clicks")
    (tmp_path / "secret").write_text("mine")
    training = {
        "start": str(checkpoint),
        "teachers": [str(checkpoint)],
        "clicks": str(tmp_path / "clicks.parquet"),
    }
    payload = {"training": training, "title": str(tmp_path / "secret"), "cache": "/home/a/cache"}
    for name in ("job-1", "job-2"):
        (tmp_path / name).mkdir()
        send_inputs(base, payload, tmp_path / name)
    kept = sorted(p for p in (tmp_path / "bucket" / "inputs").rglob("*") if p.is_file())
    assert sorted(p.name for p in kept) == [".whole", ".whole", "clicks.parquet", "model.bin"]
    folder = tmp_path / "job-2"
    (folder / "spec.json").write_text(json.dumps({"payload": payload}))
    scratch = tmp_path / "scratch"
    remote._settle(base, scratch, folder)
    moved = json.loads((folder / "spec.json").read_text())["payload"]
    assert (Path(moved["training"]["start"]) / "model.bin").read_bytes() == b"weights"
    assert moved["training"]["teachers"] == [moved["training"]["start"]]
    assert Path(moved["training"]["clicks"]).read_bytes() == b"clicks"
    assert moved["training"]["start"].startswith(str(scratch))
    assert moved["cache"] == str(scratch / "cache")
    assert moved["title"] == payload["title"]
    with pytest.raises(BadInput, match="which the job learns from"):
        send_inputs(base, {"training": {"dataset": str(tmp_path / "gone")}}, folder)


def test_paths_in_a_result_are_the_apps_again() -> None:
    moves = {"/scratch/jobs/a": "/home/jobs/a"}
    result = {"data": {"checkpoint": {"folder": "/scratch/jobs/a/artifacts/m"}, "other": "/scratch/jobs/ab"}}
    assert remote._moved(result, moves) == {
        "data": {"checkpoint": {"folder": "/home/jobs/a/artifacts/m"}, "other": "/scratch/jobs/ab"}
    }


def test_a_worker_that_has_only_the_url(tmp_path: Path) -> None:
    spec, folder = job(tmp_path / "job-r")
    base = (tmp_path / "bucket").as_uri()
    send_inputs(base, spec.payload, folder.path)
    mirror = Mirror(folder.path, f"{base}/job-r")
    mirror.push()
    command = RayExecutor({"WORKBENCH_SHARED_URL": base, "WORKBENCH_RAY_PYTHON": sys.executable}).command(
        folder.path
    )
    environ = os.environ | {"WORKBENCH_SCRATCH": str(tmp_path / "scratch")}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    mirror.pull()
    result = folder.result()
    assert result is not None
    assert result.status == "finished"
    assert len(list(folder.verdicts())) == 6
    late = subprocess.run(
        [*command, "--turn", "job-r-2"], env=environ, capture_output=True, text=True, timeout=120
    )
    assert late.returncode == 3  # nobody wrote whose turn it is
    assert "There is no file" in late.stderr
