"""The simulated queue: its invariants on small clusters drawn at random, its figures where they can be done by hand."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.executors.waiting import Queue, Ticket

FILE = Path(__file__).parents[1] / "benchmarks" / "queue_simulation.py"


@pytest.fixture(scope="module")
def sim() -> Iterator[Any]:
    """The simulation as a module."""
    spec = importlib.util.spec_from_file_location("queue_simulation", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def calm(sim: Any, workers: int, **changes: Any) -> Any:
    return sim.Setting(**{"workers": workers, "startup": 10, "checkpoint": 60} | changes).calm()


@settings(max_examples=60)
@given(data=st.data())
def test_every_job_ends_and_nothing_runs_twice_whatever_fails(sim: Any, data: Any) -> None:
    workers = data.draw(st.integers(1, 6), "workers")
    jobs = [
        sim.Job(
            f"j{i}",
            arrives=data.draw(st.floats(0, 5000)),
            work=data.draw(st.floats(1, 3000)),
            count=data.draw(st.integers(1, workers)),
            priority=data.draw(st.integers(-2, 2)),
        )
        for i in range(data.draw(st.integers(1, 25), "jobs"))
    ]
    setting = sim.Setting(
        workers=workers,
        startup=10,
        checkpoint=60,
        between_deaths=data.draw(st.sampled_from([0, 1500, 20_000])),
        repair=data.draw(st.sampled_from([1, 400])),
        flaky_starts=data.draw(st.sampled_from([0, 0.4])),
        resume=data.draw(st.sampled_from([1, 600])),
        disk_full_from=data.draw(st.floats(0, 6000)),
        disk_full_for=data.draw(st.sampled_from([0, 3600])),
        between_silences=data.draw(st.sampled_from([0, 500])),
        silence=data.draw(st.sampled_from([10, 3000])),
    )
    run = sim.Simulation(setting, jobs, seed=data.draw(st.integers(0, 9)))
    report = run.run()  # which raises where an invariant is broken
    assert all(job.ended is not None for job in jobs)
    # The work of each job is done once as far as it counts; what was done again is told apart.
    assert report.useful == pytest.approx(sum(job.work * job.count for job in jobs))
    assert report.starts == len(jobs) + report.resumes == len(run.started)
    # Every second of every worker is accounted for.
    parts = (report.useful, report.starting, report.lost, report.down, report.idle, report.idle_with_line)
    assert sum(parts) == pytest.approx(workers * report.span)


def test_times_are_those_done_by_hand(sim: Any) -> None:
    # Two workers, a start of 10 s. a and b run 0–110; c (priority 1) comes before d and goes first, 110–220, beside d.
    # e needs both and waits for them from 220: 220–330.
    jobs = [sim.Job(name, 0, 100) for name in "ab"]
    jobs += [sim.Job("d", 1, 100), sim.Job("c", 2, 100, priority=1), sim.Job("e", 3, 100, count=2)]
    run = sim.Simulation(calm(sim, 2), jobs)
    report = run.run()
    assert run.started == ["a", "b", "c", "d", "e"]
    assert {job.id: job.ended for job in jobs} == {"a": 110, "b": 110, "c": 220, "d": 220, "e": 330}
    assert report.waits == {0: [0, 0, 109, 217], 1: [108]}
    assert (report.useful, report.starting, report.idle, report.lost) == (600, 60, 0, 0)


def test_nobody_overtakes_a_wide_job_and_the_idle_time_is_told(sim: Any) -> None:
    # a takes one of two workers, 0–110. w needs both; b would fit beside a, and has to wait behind w.
    jobs = [sim.Job("a", 0, 100), sim.Job("w", 1, 100, count=2), sim.Job("b", 2, 100)]
    run = sim.Simulation(calm(sim, 2), jobs)
    report = run.run()
    assert run.started == ["a", "w", "b"]
    assert [job.ended for job in jobs] == [110, 220, 330]
    assert report.idle_with_line == 109  # one worker from 1 to 110
    assert report.idle == 1 + 110  # one worker before w came, and the other one beside b


def test_what_fails_on_the_full_disk_goes_on_from_its_checkpoint(sim: Any) -> None:
    # Saved at 70; the next save, at 130, meets the full disk: 60 s are lost, and 40 + 60 more are to be done.
    setting = calm(sim, 1, resume=5)
    full = sim.replace(setting, disk_full_from=100, disk_full_for=31)
    job = sim.Job("a", 0, 160)
    run = sim.Simulation(full, [job])
    report = run.run()
    assert (report.disk_failures, report.lost, report.resumes) == (1, 60, 1)
    assert (report.useful, report.starting) == (pytest.approx(160), 20)
    assert job.ended == pytest.approx(130 + report.idle + 10 + 100)


def test_a_low_priority_waits_for_as_long_as_higher_ones_come(sim: Any) -> None:
    # One worker; every 100 s a job of 100 s and higher priority comes, 20 times. The low one, there since 1, comes last.
    jobs = [sim.Job(f"high-{i:02}", 100.0 * i, 90, priority=1) for i in range(20)]
    low = sim.Job("low", 1, 90)
    run = sim.Simulation(calm(sim, 1), [*jobs, low])
    report = run.run()
    assert run.started[-1] == "low"
    assert report.waits[0] == [1999]


def test_taking_silence_for_the_end_of_a_job_would_run_it_twice(sim: Any) -> None:
    """What the executors do not do: the simulation notices it."""
    setting = sim.replace(calm(sim, 4), between_silences=50.0, silence=10.0, silent_is_lost=True)
    with pytest.raises(sim.Broken, match="starts while it is at work"):
        sim.Simulation(setting, [sim.Job("a", 0, 5000)]).run()


def test_a_job_that_never_gets_to_a_checkpoint_is_told(sim: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim, "_MOST_EVENTS", 2000)
    setting = sim.replace(calm(sim, 1), flaky_starts=1.0)
    with pytest.raises(sim.Broken, match="1 jobs never end"):
        sim.Simulation(setting, [sim.Job("a", 0, 100)]).run()


def test_the_line_has_the_order_of_the_real_queue(sim: Any, tmp_path: Path) -> None:
    drawn = sim.draw_jobs(40, 3, 5.0, seed=3)
    for job in drawn:
        job.arrives, job.count = 1.0, 1
    blocker = sim.Job("first", 0, 100)
    run = sim.Simulation(calm(sim, 1), [blocker, *drawn])
    run.run()
    queue = Queue(tmp_path)
    for job in drawn:
        queue.issue(Ticket(job.id, "gpu", 1, job.priority, int(1e9)))
    assert run.started[1:] == [ticket.job_id for ticket in queue.line()]
    assert len({job.priority for job in drawn}) == 3


def test_the_same_seed_gives_the_same_run(sim: Any) -> None:
    found = []
    for seed in (1, 1, 2):
        run = sim.Simulation(sim.Setting(workers=20), sim.draw_jobs(200, 20, 1.1, seed=seed), seed)
        found.append((run.run(), run.started))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_the_command_prints_what_came_of_it() -> None:
    command = [sys.executable, str(FILE), "--jobs", "300", "--workers", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=FILE.parents[1])
    lines = done.stdout.splitlines()
    assert lines[0].startswith("300 jobs on 20 workers, load 1.1, widest 8, seed 0: every job ended")
    assert [line.split(":")[0] for line in lines if line.startswith("priority")] == [
        "priority +5",
        "priority +0",
        "priority -5",
    ]
