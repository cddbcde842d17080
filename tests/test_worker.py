"""The worker and what the faces load: one command, one folder, neither database nor Streamlit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from workspace_samples import NAME, START, golden_set, pair, version

from workbench import jobs
from workbench.documents import policy_text
from workbench.executors import Status, worker_command
from workbench.fake_provider import FakeProvider, error, graded
from workbench.jobfolder import JobFolder
from workbench.judge_runs import start_run
from workbench.pair_file import write_pairs
from workbench.run import BaselineSpec, JobSpec, LlmSpec
from workbench.worker import main
from workbench.workspace import Workspace

TEAS = [pair(f"wish {i // 3}", f"tea {i}") for i in range(24)]


class Nowhere:
    """An executor that starts nothing."""

    name = "nowhere"

    def submit(self, spec: JobSpec, folder: Path) -> str:
        return ""

    def status(self, handle: str) -> Status:
        return "ended"

    def logs(self, handle: str, lines: int = 200) -> str:
        """Know nothing."""
        return ""

    def command(self, folder: Path) -> list[str]:
        """Return the worker's."""
        return worker_command(folder)

    def stop(self, handle: str, *, kill: bool = False) -> None:
        """Do nothing."""


@pytest.fixture
def folder(workspace: Workspace) -> Iterator[Path]:
    """The folder of a run of the lexical baseline that was not started."""
    handler = signal.getsignal(signal.SIGTERM)  # the worker sets its own
    golden_set(workspace, [(p, {"taste": i % 3, "strength": i % 2}) for i, p in enumerate(TEAS)])
    space = Workspace(workspace.settings, workspace.store, Nowhere())
    run = start_run(
        space, BaselineSpec(use_embeddings=False), policy=NAME, golden="tea", author="Ida", key="one"
    )
    yield jobs.folder_of(space, f"job-{run.id}").path
    signal.signal(signal.SIGTERM, handler)


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after ``statement``."""
    script = f"import sys\n{statement}\nprint(' '.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import workbench.worker", {"sqlmodel", "sqlalchemy", "alembic", "streamlit", "torch", "litellm", "openai"}),
        ("import workbench.cli", {
            "pandas", "numpy", "litellm", "openai", "torch", "transformers", "ray", "streamlit", "sqlmodel", "plotly",
        }),
        ("import workbench.workspace, workbench.jobs, workbench.evaluation, workbench.labelling, workbench.authoring", {
            "litellm", "openai", "torch", "transformers", "ray", "streamlit",
        }),
    ],
)  # fmt: skip
def test_what_is_not_needed_is_not_loaded(statement: str, absent: set[str]) -> None:
    loaded = modules_after(statement)
    assert "workbench" in loaded
    assert loaded & absent == set()


def test_a_whole_job_touches_neither_database_nor_streamlit(folder: Path) -> None:
    statement = f"from workbench.worker import main\nassert main([{str(folder)!r}]) == 0"
    loaded = modules_after(statement)
    assert loaded & {"sqlmodel", "sqlalchemy", "alembic", "streamlit", "litellm", "openai", "torch"} == set()
    assert (folder / "result.json").exists()


def test_a_job_leaves_verdicts_progress_and_its_result(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(folder)]) == 0
    job = JobFolder(folder)
    result = job.result()
    assert result is not None
    assert (result.status, result.data["judge"]["name"]) == ("finished", "baseline-lexical")
    assert sorted(v.pair_id for v in job.verdicts()) == sorted(p.id for p in TEAS)
    progress = job.progress()
    assert progress is not None
    assert (progress.done, progress.total) == (24, 24)
    assert "graded 24 pairs in" in capsys.readouterr().out
    # Started again it finds everything done and changes no verdict.
    before = (folder / "judgements.jsonl").read_bytes()
    assert main([str(folder)]) == 0
    assert (folder / "judgements.jsonl").read_bytes() == before


def test_a_line_that_was_cut_short_is_graded_again(folder: Path) -> None:
    assert main([str(folder)]) == 0
    before = {v.pair_id: v.judgements for v in JobFolder(folder).verdicts()}
    lines = (folder / "judgements.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "judgements.jsonl").write_bytes(b"".join(lines[:-1]) + lines[-1][:30])
    (folder / "result.json").unlink()
    assert main([str(folder)]) == 0
    again = list(JobFolder(folder).verdicts())
    assert len(again) == 24
    assert {v.pair_id: v.judgements for v in again} == before


def broken_policy(folder: Path) -> None:
    (folder / "policy.yaml").write_text("policy: [")


def no_cache(folder: Path) -> None:
    spec: dict[str, Any] = json.loads((folder / "spec.json").read_text("utf-8"))
    del spec["payload"]["cache"]
    (folder / "spec.json").write_text(json.dumps(spec))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (broken_policy, "policy.yaml, line 1: not valid YAML"),
        (lambda folder: (folder / "policy.yaml").unlink(), "There is no file"),
        (no_cache, "The worker met an error of its own: KeyError"),
    ],
)
def test_what_goes_wrong_is_in_the_result(folder: Path, spoil: Any, message: str) -> None:
    spoil(folder)
    assert main([str(folder)]) == 1
    result = JobFolder(folder).result()
    assert result is not None
    assert result.status == "failed"
    assert message in result.error
    assert "\n" not in result.error


def test_the_baseline_without_labels_makes_no_grade_up(folder: Path) -> None:
    labels = pd.read_parquet(folder / "labels.parquet")
    labels[labels["dimension"] == "strength"].to_parquet(folder / "labels.parquet")
    assert main([str(folder)]) == 0
    found = {j.dimension: j for v in JobFolder(folder).verdicts() for j in v.judgements}
    assert found["taste"].failed
    assert "needs 20 dev pairs labelled on 'taste'" in found["taste"].error
    assert not found["strength"].failed


def llm_folder(path: Path, url: str, **more: Any) -> JobFolder:
    """The folder of a run of a language model over the 24 teas, one call at a time."""
    folder = JobFolder(path / "job")
    judge = LlmSpec(model="fake-hash-grader", base_url=url, concurrency=1, **more)
    payload = {
        "judge": judge.model_dump(mode="json"), "cache": str(path / "cache"), "code_revision": "abc",
    }  # fmt: skip
    folder.create(JobSpec(id="job", kind="judge_run", title="run", created_at=START, payload=payload))
    (folder.path / "policy.yaml").write_text(policy_text(version(1)), encoding="utf-8")
    write_pairs(folder.path / "pairs.jsonl", TEAS, dict.fromkeys([p.id for p in TEAS], "dev"))
    return folder


@pytest.fixture
def signals() -> Iterator[None]:
    """The worker sets its own handler of SIGTERM, which outlives it."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.usefixtures("signals")
def test_a_run_that_ends_at_its_cap_says_who_judged_and_how_long(tmp_path: Path) -> None:
    with FakeProvider(delay_s=0.02) as provider:
        folder = llm_folder(tmp_path, provider.base_url, cap_tokens=6_000, params={"max_tokens": 100})
        assert main([str(folder.path)]) == 0
        calls = provider.calls
    result = folder.result()
    assert result is not None
    assert (result.status, result.data["code_revision"]) == ("capped", "abc")
    assert "cap of 6,000 tokens" in result.error
    assert result.data["judge"]["name"] == "fake-hash-grader"
    assert (
        "template" in result.data["judge"]["params"]
    )  # the judge's own identity, not what it was started with
    assert 0 < calls < 24
    assert result.data["seconds"] >= 0.02 * calls  # one call after the other


@pytest.mark.usefixtures("signals")
def test_a_run_that_fails_midway_says_so_too_and_its_time_adds_up(tmp_path: Path) -> None:
    with FakeProvider([graded()] * 3 + [error(401)], delay_s=0.02) as provider:
        folder = llm_folder(tmp_path, provider.base_url)
        assert main([str(folder.path)]) == 1
        result = folder.result()
        assert result is not None
        assert (result.status, len(list(folder.verdicts()))) == ("failed", 3)
        assert "401" in result.error
        assert result.data["judge"]["name"] == "fake-hash-grader"
        first = result.data["seconds"]
        assert first >= 0.02 * 4
        assert main([str(folder.path)]) == 0
        assert provider.calls == 4 + 21
    again = folder.result()
    assert again is not None
    assert again.data["seconds"] >= first + 0.02 * 21


def test_what_happens_before_there_is_a_judge_leaves_no_identity(folder: Path) -> None:
    broken_policy(folder)
    assert main([str(folder)]) == 1
    result = JobFolder(folder).result()
    assert result is not None
    assert result.data == {}


def test_a_wrong_use_is_a_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err == "usage: python -m workbench.worker JOB_DIR\n"


@pytest.mark.parametrize(("stopped", "status"), [(True, "cancelled"), (False, "finished")])
def test_work_that_says_it_stopped_early_is_no_finished_job(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool, status: str
) -> None:
    # A training that was asked to end with its epoch: nobody asked the worker to stop, and there is work left.
    monkeypatch.setattr("workbench.judge_job.run", lambda *_: {"stopped": stopped})
    assert main([str(folder)]) == 0
    result = JobFolder(folder).result()
    assert result is not None
    assert result.status == status
    assert (folder / "heartbeat").exists()
