"""Jobs from end to end: real workers, killed workers, collecting, and what is said of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from workspace_samples import NAME, golden_set, pair

from workbench import job_results, jobs
from workbench.errors import BadInput, NotFound
from workbench.evaluation import grades, run_agreement, truth
from workbench.executors import Status, worker_command
from workbench.fake_provider import FakeProvider, Request, error
from workbench.golden import NOT_GRADED, Pair
from workbench.jobfolder import JobFolder, Result
from workbench.judge_runs import start_run
from workbench.run import BaselineSpec, JobSpec, JobState, Judgement, LlmSpec, Run, Usage, Verdict
from workbench.store import StoredJob
from workbench.workspace import Workspace

TEAS = [pair(f"wish {i // 4}", f"tea {i}") for i in range(24)]
KEY = "sk-test-0123456789abcdefghij"


def until(condition: Callable[[], object], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def tea(workspace: Workspace) -> Iterator[Workspace]:
    """24 pairs, labelled, the last query in the holdout. No worker outlives its test."""
    golden_set(
        workspace, [(p, {"taste": i % 3, "strength": i % 2}) for i, p in enumerate(TEAS)], holdout=TEAS[20:]
    )
    yield workspace
    for job in workspace.store.jobs(open_only=True):
        workspace.executor.stop(job.handle, kill=True)


def start(workspace: Workspace, provider: FakeProvider | None = None, **more: Any) -> tuple[Run, str]:
    judge: Any = BaselineSpec(use_embeddings=False)
    if provider is not None:
        judge = LlmSpec(model="fake-hash-grader", base_url=provider.base_url, **{"concurrency": 1} | more)
    run = start_run(workspace, judge, policy=NAME, golden="tea", author="Ida")
    return run, f"job-{run.id}"


def finish(workspace: Workspace, job_id: str) -> tuple[JobState, list[str]]:
    lines = list(jobs.wait(workspace, [job_id], every_s=0.05))
    final = workspace.store.job(job_id).final
    assert final is not None
    return final, lines


def verdicts(workspace: Workspace, job_id: str) -> list[Verdict]:
    return list(jobs.folder_of(workspace, job_id).verdicts())


def asked(provider: FakeProvider) -> list[str]:
    """The title of the tea in each request, in order."""
    return [title_of(request) for request in provider.requests]


def title_of(request: Request) -> str:
    text = request.message("user")
    return next(p.document["title"] for p in reversed(TEAS) if p.document["title"] in text)


def titles(given: list[Verdict]) -> list[str]:
    known = {p.id: p.document["title"] for p in TEAS}
    return [known[verdict.pair_id] for verdict in given]


# A whole run


def test_a_run_is_made_by_a_worker_and_collected_once(tea: Workspace) -> None:
    run, job_id = start(tea)
    final, lines = finish(tea, job_id)
    assert (final.status, final.done, final.total, final.error) == ("finished", 24, 24, "")
    assert lines[-1] == "baseline · tea-match v1: finished"
    done = tea.store.run(run.id)
    assert (done.status, done.totals.pairs, done.totals.judgements, done.totals.failed) == (
        "finished",
        24,
        48,
        0,
    )
    assert done.judge.name == "baseline-lexical"  # what it is exactly, as its worker said
    assert done.finished_at is not None
    table = grades(tea, done, truth(tea, "tea", split="all").pair_ids)
    assert set(table["taste"]) <= {0, 1, 2}
    assert run_agreement(tea, done)["taste"].n == 20
    # Again, and after the collected mark was lost: the same rows, not more.
    rows = tea.store.grades(run.id)
    assert jobs.collect(tea) == 0
    tea.store.reopen_job(job_id)
    assert jobs.collect(tea) == 1
    assert tea.store.run(run.id) == done
    assert tea.store.grades(run.id).equals(rows)
    jobs.resume(tea, job_id, "Ida")  # nothing is left to do
    assert finish(tea, job_id)[0].status == "finished"
    assert tea.store.grades(run.id).equals(rows)


def test_a_job_outlives_the_process_that_started_it(tea: Workspace) -> None:
    script = (
        "from workbench.workspace import open_workspace\n"
        "from workbench.judge_runs import start_run\n"
        "from workbench.run import BaselineSpec\n"
        "run = start_run(open_workspace(), BaselineSpec(use_embeddings=False), policy='tea-match', golden='tea', "
        "author='Bo')\n"
        "print(run.id)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    run_id = done.stdout.strip()
    # Its parent is gone; the job is followed and collected from here.
    assert finish(tea, f"job-{run_id}")[0].status == "finished"
    assert tea.store.run(run_id).totals.pairs == 24


# Killed, stopped, resumed


def test_a_killed_run_is_lost_and_resumed_without_asking_twice(tea: Workspace) -> None:
    with FakeProvider(delay_s=0.05) as provider:
        run, job_id = start(tea, provider)
        until(lambda: len(verdicts(tea, job_id)) >= 5)
        job = tea.store.job(job_id)
        os.kill(int(job.handle.split(":")[1]), 9)
        until(lambda: jobs.state(tea, job).status == "lost")
        before = titles(verdicts(tea, job_id))
        assert "The worker ended without a result" in jobs.state(tea, job).error
        assert 5 <= len(before) < 24
        jobs.collect(tea)
        failed = tea.store.run(run.id)
        assert (failed.status, failed.totals.pairs) == ("failed", len(before))  # what it had is kept
        calls = provider.calls
        jobs.resume(tea, job_id, "Ida")
        assert tea.store.run(run.id).status == "queued"
        assert finish(tea, job_id)[0].status == "finished"
        again = asked(provider)[calls:]
    assert not set(again) & set(before)
    # One call may have been on its way when the worker was killed; no other pair is asked twice.
    assert 24 <= provider.calls <= 25
    assert sorted(titles(verdicts(tea, job_id))) == sorted(p.document["title"] for p in TEAS)
    done = tea.store.run(run.id)
    assert (done.status, done.error, done.totals.pairs, done.totals.judgements) == ("finished", "", 24, 48)


def test_a_stopped_run_keeps_what_it_has_and_goes_on_later(tea: Workspace) -> None:
    with FakeProvider(delay_s=0.05) as provider:
        run, job_id = start(tea, provider)
        until(lambda: len(verdicts(tea, job_id)) >= 3)
        assert tea.store.job(job_id).final is None
        jobs.collect(tea)
        assert tea.store.run(run.id).status == "running"
        jobs.resume(tea, job_id, "Ida")  # it runs: nothing is started beside it
        jobs.stop(tea, job_id, "Ida")
        assert jobs.stop_asked(tea.store.job(job_id)) is not None
        assert finish(tea, job_id)[0].status == "cancelled"
        kept = len(verdicts(tea, job_id))
        assert 3 <= kept < 24
        assert (tea.store.run(run.id).status, tea.store.run(run.id).totals.pairs) == ("cancelled", kept)
        jobs.resume(tea, job_id, "Ida")
        assert jobs.stop_asked(tea.store.job(job_id)) is None
        assert finish(tea, job_id)[0].status == "finished"
        # Stopping may cut off one call that was on its way.
        assert 24 <= provider.calls <= 25
    assert tea.store.run(run.id).totals.pairs == 24
    assert [e["what"] for e in tea.store.events() if e["subject"] == job_id] == [
        "resumed job", "stopped job", "started judge run",
    ]  # fmt: skip


def test_a_run_that_is_stopped_before_it_began_is_cancelled(tea: Workspace) -> None:
    run, job_id = start(tea)
    jobs.stop(tea, job_id, "Ida", kill=True)
    assert finish(tea, job_id)[0].status == "cancelled"
    assert (tea.store.run(run.id).status, tea.store.run(run.id).error) == ("cancelled", "")


def test_a_run_stopped_at_its_cap_goes_on_with_a_higher_one(tea: Workspace) -> None:
    with FakeProvider() as provider:
        run, job_id = start(tea, provider, cap_tokens=6_000, params={"max_tokens": 100})
        state, _ = finish(tea, job_id)
        assert state.status == "capped"
        assert jobs.describe_state(state).startswith("stopped at cap – Stopped at the cap of 6,000 tokens")
        run = tea.store.run(run.id)
        assert (run.status, run.error) == ("capped", state.error)
        assert 0 < run.totals.pairs < 24
        assert run.totals.cached_input_tokens > 0  # the fake says that it held the policy
        assert run.totals.seconds > 0
        assert "template" in run.judge.params  # what it is exactly, as its worker said
        for caps in ({"cap_tokens": 0}, {"concurrency": 1}):
            with pytest.raises(BadInput):
                jobs.resume(tea, job_id, "Ida", caps=caps)
        jobs.resume(tea, job_id, "Ida", caps={"cap_tokens": None, "cap_seconds": 600})
        assert finish(tea, job_id)[0].status == "finished"
        assert (tea.store.run(run.id).totals.pairs, provider.calls) == (24, 24)


def test_a_failed_pair_is_asked_again_when_the_run_is_resumed(tea: Workspace) -> None:
    with FakeProvider([error(400, "no")]) as provider:
        run, job_id = start(tea, provider)
        assert finish(tea, job_id)[0].status == "finished"
        assert tea.store.run(run.id).totals.failed == 2  # both dimensions of the first pair
        (pair_id,) = tea.store.failures(run.id)["pair_id"].unique()
        calls, first = provider.calls, tea.store.run(run.id).totals.seconds
        jobs.resume(tea, job_id, "Ida")
        assert finish(tea, job_id)[0].status == "finished"
        assert provider.calls == calls + 1
    done = tea.store.run(run.id)
    assert done.totals.seconds > first  # of both starts: one pair again is not 24 in no time
    assert (done.totals.failed, done.totals.pairs, done.totals.judgements) == (0, 24, 48)
    assert done.totals.calls == calls + 1
    assert tea.store.judgements(run.id, [pair_id])[pair_id]["taste"].grade != NOT_GRADED


def test_a_second_run_of_the_same_judge_asks_nothing(tea: Workspace) -> None:
    with FakeProvider() as provider:
        first, job_id = start(tea, provider)
        finish(tea, job_id)
        assert provider.calls == 24
        second, job_id = start(tea, provider)
        finish(tea, job_id)
        assert provider.calls == 24
        third, job_id = start(tea, provider, repeat=1)
        finish(tea, job_id)
        assert provider.calls == 48
    totals = [tea.store.run(run.id).totals for run in (first, second, third)]
    assert [(t.cache_hits, t.failed) for t in totals] == [(0, 0), (24, 0), (0, 0)]
    assert totals[0].cost_usd is None  # nobody knows the price of this model


# A key that is refused


def test_a_refused_key_is_one_sentence_and_the_key_is_nowhere(
    tea: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEA_KEY", KEY)
    # A provider that repeats the key in its answer, as some do.
    with FakeProvider(otherwise=error(401, f"Incorrect API key provided: {KEY}.")) as provider:
        run, job_id = start(tea, provider, api_key_env="TEA_KEY")
        final, _ = finish(tea, job_id)
        assert provider.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert final.status == "failed"
    failed = tea.store.run(run.id)
    assert failed.status == "failed"
    assert "401" in failed.error
    assert "\n" not in failed.error
    assert "Traceback" not in failed.error
    folder = jobs.folder_of(tea, job_id).path
    result = json.loads((folder / "result.json").read_text("utf-8"))
    assert (result["status"], result["data"]["judge"]["name"]) == ("failed", "fake-hash-grader")
    kept = [*folder.rglob("*"), *tea.settings.home.rglob("*")]
    assert any(path.name == "workbench.db" for path in kept)
    holders = [path.name for path in kept if path.is_file() and KEY.encode() in path.read_bytes()]
    assert holders == []


def test_a_failed_worker_exits_with_1(tea: Workspace) -> None:
    with FakeProvider(otherwise=error(401)) as provider:
        _, job_id = start(tea, provider)
        finish(tea, job_id)
        folder = jobs.folder_of(tea, job_id).path
        command = [sys.executable, "-m", "workbench.worker", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "failed: " in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


# What is said of a job, without processes


class Pretend:
    """An executor whose jobs run or not, as the test says."""

    name = "pretend"

    def __init__(self, running: bool) -> None:
        self.is_running = running
        self.submitted = 0

    def submit(self, spec: JobSpec, folder: Path) -> str:
        self.submitted += 1
        return f"handle-{self.submitted}"

    def status(self, handle: str) -> Status:
        return "running" if self.is_running else "ended"

    def logs(self, handle: str, lines: int = 200) -> str:
        """Know nothing."""
        return ""

    def command(self, folder: Path) -> list[str]:
        """Return the worker's."""
        return worker_command(folder)

    def stop(self, handle: str, *, kill: bool = False) -> None:
        self.is_running = False


def pretended(workspace: Workspace, *, running: bool) -> tuple[Workspace, StoredJob, JobFolder]:
    space = Workspace(workspace.settings, workspace.store, Pretend(running))
    _, job_id = start(space)
    job = space.store.job(job_id)
    return space, job, JobFolder(Path(job.folder))


def ended(status: Any, **more: Any) -> Result:
    return Result(status=status, finished_at=datetime.now(UTC), **more)


def verdict(some: Pair, grade: int, cost: float | None) -> Verdict:
    usage = Usage(calls=1, input_tokens=10, output_tokens=2, cost_usd=cost)
    answers = tuple(
        Judgement(dimension=key, grade=grade, error="" if grade >= 0 else "no answer")
        for key in ("taste", "strength")
    )
    return Verdict(pair_id=some.id, judgements=answers, usage=usage)


def write(folder: JobFolder, *given: Verdict) -> None:
    with (folder.path / "judgements.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(v.model_dump_json() + "\n" for v in given)


def test_a_job_is_queued_until_its_worker_speaks(tea: Workspace) -> None:
    space, job, folder = pretended(tea, running=True)
    assert jobs.state(space, job).status == "queued"
    moment = datetime.now(UTC).isoformat()
    progress = {"done": 3, "total": 24, "note": "1 failed", "started_at": moment, "updated_at": moment}
    (folder.path / "progress.json").write_text(json.dumps(progress))
    now = jobs.state(space, job)
    assert (now.status, now.done, now.total) == ("running", 3, 24)
    assert jobs.describe_state(now) == "running 3/24 1 failed"
    assert jobs.collect(space) == 0
    assert [run.status for run in jobs.open_runs(space)] == ["running"]


def test_a_job_without_a_process_and_a_result_is_lost(tea: Workspace) -> None:
    space, job, folder = pretended(tea, running=False)
    (folder.path / "log.txt").write_text("loading\nKilled\n")
    now = jobs.state(space, job)
    assert (now.status, now.error) == ("lost", "The worker ended without a result; its last words: Killed")
    jobs.stop(space, job.spec.id, "Ida")
    assert jobs.state(space, job).status == "cancelled"


def test_a_job_between_the_two_writes_of_its_submit_is_queued(tea: Workspace) -> None:
    space, job, _ = pretended(tea, running=False)
    fresh = job.model_copy(update={"handle": ""})
    assert jobs.state(space, fresh).status == "queued"
    old = fresh.spec.model_copy(update={"created_at": datetime.now(UTC) - timedelta(minutes=2)})
    assert jobs.state(space, fresh.model_copy(update={"spec": old})).status == "lost"


def test_totals_count_every_call_and_the_newest_answer(tea: Workspace) -> None:
    space, job, folder = pretended(tea, running=False)
    write(folder, verdict(TEAS[0], NOT_GRADED, 0.5), verdict(TEAS[1], 1, 0.25), verdict(TEAS[0], 1, 0.5))
    folder.finish(ended("finished", data={"seconds": 2.5}))
    assert jobs.collect(space) == 1
    totals = space.store.run(job.spec.payload["run_id"]).totals
    assert (totals.pairs, totals.judgements, totals.failed, totals.calls) == (2, 4, 0, 3)
    assert (totals.input_tokens, totals.output_tokens, totals.seconds) == (30, 6, 2.5)
    assert totals.cost_usd == 1.25


def test_one_unknown_price_makes_the_cost_unknown(tea: Workspace) -> None:
    space, job, folder = pretended(tea, running=False)
    write(folder, verdict(TEAS[0], 1, 0.5), verdict(TEAS[1], 1, None), verdict(TEAS[2], 1, 0.5))
    folder.finish(ended("finished"))
    jobs.collect(space)
    assert space.store.run(job.spec.payload["run_id"]).totals.cost_usd is None


def test_a_line_cut_short_by_a_crash_is_not_collected(tea: Workspace) -> None:
    space, job, folder = pretended(tea, running=False)
    write(folder, verdict(TEAS[0], 1, 0.0))
    with (folder.path / "judgements.jsonl").open("a", encoding="utf-8") as file:
        file.write(verdict(TEAS[1], 1, 0.0).model_dump_json()[:40])
    jobs.collect(space)
    run = space.store.run(job.spec.payload["run_id"])
    assert (run.status, run.totals.pairs) == ("failed", 1)


def test_many_verdicts_are_collected_in_parts_and_counted_once(
    tea: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, job, folder = pretended(tea, running=False)
    write(folder, *(verdict(p, NOT_GRADED, 0.5) for p in TEAS[:3]))
    write(folder, *(verdict(p, i % 2, 0.25) for i, p in enumerate(TEAS[1:])))
    folder.finish(ended("finished", data={"seconds": 7.5}))
    parts: list[int] = []
    add = space.store.add_verdicts

    def counted(run_id: str, given: Any) -> int:
        parts.append(len(given))
        return add(run_id, given)

    monkeypatch.setattr(space.store, "add_verdicts", counted)
    monkeypatch.setattr(job_results, "_VERDICTS_A_WRITE", 10)
    jobs.collect(space)
    totals = space.store.run(job.spec.payload["run_id"]).totals
    assert parts == [10, 10, 6]  # 3 + 23 lines
    # 24 pairs of two dimensions; of the three that failed at first, two were answered later.
    assert (totals.pairs, totals.judgements, totals.failed) == (24, 48, 2)
    assert (totals.calls, totals.cost_usd, totals.seconds) == (26, 3 * 0.5 + 23 * 0.25, 7.5)


def test_a_job_is_submitted_once(tea: Workspace) -> None:
    space, job, folder = pretended(tea, running=True)
    jobs.submit(space, job.spec, folder)
    assert isinstance(space.executor, Pretend)
    assert space.executor.submitted == 1
    assert space.store.job(job.spec.id).handle == "handle-1"
    assert jobs.exists(space, job.spec.id)
    assert not jobs.exists(space, "job-none")
    found = jobs.job_of_run(space, job.spec.payload["run_id"])
    assert found is not None
    assert found.spec.id == job.spec.id
    assert jobs.job_of_run(space, "run-none") is None
    with pytest.raises(NotFound, match="No job is called 'job-none'"):
        jobs.stop(space, "job-none", "Ida")


def test_a_result_that_no_worker_wrote_does_not_keep_others_from_being_collected(tea: Workspace) -> None:
    space, job, folder = pretended(tea, running=False)
    (folder.path / "result.json").write_text("{}")
    _, other, other_folder = pretended(tea, running=False)
    other_folder.finish(ended("finished"))
    jobs.collect(space)
    states = {j.spec.id: j.final.status if j.final else "" for j in space.store.jobs()}
    assert states == {job.spec.id: "failed", other.spec.id: "finished"}
    run = space.store.run(job.spec.payload["run_id"])
    assert (run.status, "is not a job's result" in run.error) == ("failed", True)


def test_a_damaged_line_of_judgements_fails_its_run_only(tea: Workspace) -> None:
    space, job, folder = pretended(tea, running=False)
    (folder.path / "judgements.jsonl").write_text("not JSON\n")
    folder.finish(ended("finished"))
    assert jobs.collect(space) == 1
    run = space.store.run(job.spec.payload["run_id"])
    assert run.status == "failed"
    assert "judgements.jsonl, line 1: not JSON" in run.error
    assert jobs.collect(space) == 0
