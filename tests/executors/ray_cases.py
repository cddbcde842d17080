"""What Ray adds to the contract; run by ``test_ray.py`` in a network that has nothing but loopback."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from contract_ray import ENVIRON, stop_head
from executor_samples import POLICY, held, job, until, works

from workbench import judge_job, ray_judging
from workbench.errors import Unavailable, WorkbenchError
from workbench.executors import Executor
from workbench.executors.ray import RayExecutor
from workbench.fake_provider import FakeProvider, error
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.run import CapReached, LlmSpec, Needs, Verdict


@pytest.fixture
def ray(opened_executor: tuple[Executor, str]) -> RayExecutor:
    """The executor, jobs' folders being shared."""
    executor = opened_executor[0]
    assert isinstance(executor, RayExecutor)
    return executor


def ended(executor: Executor, handle: str, folder: JobFolder) -> str:
    until(lambda: executor.status(handle) == "ended")
    result = folder.result()
    return result.status if result else "no result"


def worker_of(name: str) -> psutil.Process:
    """The one worker of the job of this name, wherever its folder lies."""
    found = [p for p in psutil.process_iter() if _args(p)[:2] == ["-m", "workbench.worker"]]
    [process] = [p for p in found if _args(p)[2].endswith(f"/{name}")]
    return process


def _args(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()[1:]
    except psutil.Error:
        return []


def test_gpus_that_the_cluster_lacks_are_waited_for_and_a_stop_takes_the_job_back(
    ray: RayExecutor, tmp_path: Path
) -> None:
    spec, folder = job(tmp_path / "job-g", needs=Needs(slots="gpu", gpus=2, memory_gb=1.5))
    handle = ray.submit(spec, folder.path)
    assert ray.submit(spec, folder.path) == handle  # a second call, its first answer lost, starts nothing
    assert ray.status(handle) == "queued"
    said = ray.logs(handle)
    assert "may be waiting for resources" in said
    assert "num_cpus 1, num_gpus 2, memory 1500000000" in said
    ray.stop(handle)
    assert ray.status(handle) == "ended"
    # Ray keeps the old submission waiting; the job that is resumed has another, and it alone may run.
    (folder.path / "stop").unlink()
    again = ray.submit(spec.model_copy(update={"needs": Needs()}), folder.path)
    assert again == f"ray:job-g-2:{folder.path}"
    assert ended(ray, again, folder) == "finished"
    assert ray.status(handle) == "ended"


def test_a_job_whose_worker_was_killed_is_lost_and_finishes_when_it_is_resumed(
    ray: RayExecutor, tmp_path: Path
) -> None:
    spec, folder = held(tmp_path / "job-l")
    handle = ray.submit(spec, folder.path)
    until(lambda: works(folder))
    os.kill(worker_of("job-l").pid, signal.SIGKILL)
    assert ended(ray, handle, folder) == "no result"
    assert "exit code" in ray.logs(handle)
    (folder.path / "policy.yaml").unlink()
    (folder.path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    again = ray.submit(spec, folder.path)
    assert again != handle
    assert ended(ray, again, folder) == "finished"
    assert len(list(folder.verdicts())) == 6
    assert ray.logs(again) == ""


def test_a_folder_that_the_cluster_does_not_see_is_said_and_no_key_leaves_this_machine(
    ray: RayExecutor, tmp_path: Path
) -> None:
    keyed = RayExecutor(ENVIRON | {"OPENAI_API_KEY": "sk-secret"})
    spec, folder = job(tmp_path / "job-m")
    (folder.path / "spec.json").rename(folder.path / "elsewhere.json")
    handle = keyed.submit(spec, folder.path)
    until(lambda: ray.status(handle) == "ended")
    assert f"There is no {folder.path} on this machine. Share the folder" in ray.logs(handle)
    record = ray._job("job-m")
    assert record is not None
    sent = record["runtime_env"]["env_vars"]
    assert sorted(sent) == ["HF_HUB_OFFLINE", "PYTHONUNBUFFERED", "RAY_JOB_STOP_WAIT_TIME_S"]
    assert "sk-secret" not in str(record)


@pytest.fixture
def apart(ray: RayExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RayExecutor:
    """The executor of a cluster that shares no folder: all goes through a URL."""
    url = (tmp_path / "bucket").as_uri()
    return RayExecutor(ENVIRON | {"WORKBENCH_SHARED_URL": url})


def test_a_job_goes_and_comes_back_through_a_url(apart: RayExecutor, tmp_path: Path) -> None:
    spec, folder = job(tmp_path / "job-u", policy="policy: [")
    handle = apart.submit(spec, folder.path)
    assert ended(apart, handle, folder) == "failed"
    # Resumed with a sound policy: what changed goes there, what was removed here is removed there.
    (folder.path / "result.json").unlink()
    (folder.path / "policy.yaml").write_text(POLICY, encoding="utf-8")
    again = apart.submit(spec, folder.path)
    assert ended(apart, again, folder) == "finished"
    assert len(list(folder.verdicts())) == 6
    assert "graded 6 pairs" in folder.log_tail()
    assert folder.spec() == spec  # the copy that names paths of the worker stays there
    assert not (tmp_path / "cache").exists()  # the worker used one of its own


def test_a_file_is_graded_by_actors_as_by_one_process(ray: RayExecutor, tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("torch", reason="needs the train extra")
    from training_samples import Heard, examples, pair, policy, recipe, tiny

    from workbench import ray_split
    from workbench.scoring import score_file
    from workbench.training.fit import fit
    from workbench.training.model import load_checkpoint
    from workbench.training.predict import Predictor

    folder = fit(
        recipe(tiny(tmp_path / "model", poison=True)), policy(), examples(), tmp_path, Heard()
    ).folder
    pairs = [e.pair for e in examples()]
    source, out = tmp_path / "pairs.parquet", tmp_path / "split.parquet"
    rows = [{"query": p.query, "document": p.document} for p in pairs]
    pq.write_table(pa.Table.from_pylist(rows), source, row_group_size=5)  # 12 rows: groups of 5, 5 and 2
    split = ray_split.Split(actors=1)
    address = "127.0.0.1:6390"
    done = ray_split.score_with_ray(source, out, folder, split, batch=4, address=address)
    whole = score_file(source, tmp_path / "whole.parquet", Predictor(load_checkpoint(folder), batch=4))
    assert (done.rows, done.blank, done.tokens) == (12, 0, whole.tokens)
    one, other = (pq.read_table(tmp_path / name) for name in ("split.parquet", "whole.parquet"))
    assert one.schema.equals(other.schema, check_metadata=True)
    for mine, theirs in zip(one.to_pylist(), other.to_pylist(), strict=True):
        assert mine["pair_id"] == theirs["pair_id"]
        assert mine["taste.grade"] == theirs["taste.grade"]
        assert mine["taste.probabilities"] == pytest.approx(theirs["taste.probabilities"], abs=1e-5)
        assert mine["strength.expected"] == pytest.approx(theirs["strength.expected"], abs=1e-5)
    # The seventh row is the second of the second group.
    sick = pair("poison", "green")
    rows[6] = {"query": sick.query, "document": sick.document}
    pq.write_table(pa.Table.from_pylist(rows), source, row_group_size=5)
    before = out.read_bytes()
    with pytest.raises(WorkbenchError, match=r"pairs\.parquet, row 7: the answer of tea-mini-\w+ for"):
        ray_split.score_with_ray(source, out, folder, split, batch=4, address=address)
    assert out.read_bytes() == before


def test_a_model_is_asked_by_actors_as_by_one_process(
    ray: RayExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6390")
    monkeypatch.setattr(ray_judging, "PART", 2)  # 6 pairs: three parts

    def verdicts(
        name: str, url: str, *, actors: int, cache: str = "cache", **more: Any
    ) -> dict[str, Verdict]:
        judge = LlmSpec(model="fake-hash-grader", base_url=url, **more)
        payload = {"judge": judge.model_dump(mode="json"), "cache": str(tmp_path / cache), "ray": actors}
        spec, folder = job(tmp_path / name, payload=payload)
        try:
            judge_job.run(spec, folder, FolderReporter(folder))
        finally:
            seen[name] = list(folder.verdicts())
        return {verdict.pair_id: verdict for verdict in seen[name]}

    seen: dict[str, list[Verdict]] = {}
    with FakeProvider() as provider:
        split = verdicts("split", provider.base_url, actors=2)
        assert provider.calls == 6
        alone = verdicts("alone", provider.base_url, actors=0, cache="other")
        assert provider.calls == 12
        assert len(seen["split"]) == 6
        assert {i: v.judgements for i, v in split.items()} == {i: v.judgements for i, v in alone.items()}
        # Kept on this machine: neither actors nor one process alone pay for it again.
        again = verdicts("again", provider.base_url, actors=2)
        assert all(verdict.usage.from_cache for verdict in again.values())
        assert verdicts("here", provider.base_url, actors=0).keys() == split.keys()
        assert provider.calls == 12
        # A cap that one actor would pass with its first question.
        with pytest.raises(CapReached, match="Each of the 2 actors has its share of a cap"):
            verdicts("capped", provider.base_url, actors=2, cache="third", cap_tokens=20)
        assert provider.calls == 12
        assert seen["capped"] == []
    with (
        FakeProvider(otherwise=error(401, "wrong key")) as closed,
        pytest.raises(WorkbenchError, match="key"),
    ):
        verdicts("refused", closed.base_url, actors=1, cache="fourth")
    assert seen["refused"] == []


def test_while_the_head_is_away_nothing_is_said_of_its_jobs(ray: RayExecutor, tmp_path: Path) -> None:
    spec, folder = held(tmp_path / "job-z")
    handle = ray.submit(spec, folder.path)
    until(lambda: works(folder))
    stop_head()  # the last test: the head is not started again
    for question in (ray.status, ray.stop, ray.logs):
        with pytest.raises(Unavailable, match=r"cluster at http://127\.0\.0\.1:8265 does not answer"):
            question(handle)
    with pytest.raises(Unavailable, match="does not answer"):
        ray.submit(spec, folder.path)
