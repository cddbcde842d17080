"""Claim: with 10,000 jobs on 500 workers that fail, every job ends, none runs twice at once, and the line stays in order.

An event-driven simulation of the queue of ``workbench.executors.waiting`` and of what becomes of jobs. The order of the
line is the real one (``Ticket.order``), and so is the rule that only the first is let in, when enough slots are free for
it: nobody is overtaken. A job that is resumed gets a new ticket, as ``jobs.resume`` gives it: of its priority it is
the last again. What fails: workers die (exponential times) and come back; starts fail; for an hour the disk is full, and
who then saves fails; heartbeats are lost for a while. A failed or lost job is resumed after a while by whoever looks,
and goes on from its last checkpoint. While a job is silent nobody can tell whether it is lost: it is taken for running,
and is resumed no earlier than it can be asked again.

    python benchmarks/queue_simulation.py [--jobs 10000] [--workers 500] [--load 1.1] [--widest 8] [--seed 0]

``load`` is how much work comes against what all workers could do in the same time. The same jobs are also simulated
without any failure; times and shares are of the simulated cluster, shares until the last job came: what follows is the
end of a few long jobs. Exits with 1 where an invariant is broken.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from workbench.executors.waiting import Ticket

HOUR = 3600.0
_MOST_EVENTS = 20_000_000


class Broken(AssertionError):
    """An invariant of the queue does not hold."""


@dataclass(frozen=True)
class Setting:
    """What fails, and how often. Times are seconds; means of exponential times unless said otherwise. 0: never."""

    workers: int = 500
    startup: float = 60.0  # of each start, always so long
    checkpoint: float = 600.0  # work between two checkpoints, always so long
    between_deaths: float = 48 * HOUR  # of one worker
    repair: float = 900.0
    flaky_starts: float = 0.02  # share of starts
    resume: float = 600.0  # until somebody resumes what failed or was lost
    disk_full_from: float = 10 * HOUR
    disk_full_for: float = HOUR
    between_silences: float = 24 * HOUR  # of one running job
    silence: float = 900.0
    silent_is_lost: bool = False  # what we do not do: resume a job because nothing is heard of it

    def calm(self) -> Setting:
        """Return the same without any failure."""
        return replace(self, between_deaths=0, flaky_starts=0, disk_full_for=0, between_silences=0)


@dataclass
class Job:
    """A job, and how far it is."""

    id: str
    arrives: float
    work: float  # seconds on its slots
    count: int = 1  # slots
    priority: int = 0
    saved: float = 0.0  # work that is in its last checkpoint
    begun: float = 0.0  # when its state last changed
    at_work: bool = False  # the start is over
    start: int = 0  # number of its newest start
    silent_until: float = 0.0
    workers: tuple[int, ...] = ()
    ended: float | None = None


@dataclass
class Report:
    """What came of it. Slot seconds unless said otherwise."""

    span: float = 0.0  # seconds until the last job ended
    useful: float = 0.0
    starting: float = 0.0
    lost: float = 0.0  # work that was done and has to be done again
    down: float = 0.0
    idle_with_line: float = 0.0  # free while somebody waits: for more slots than are free
    idle: float = 0.0  # free, and nobody waits
    starts: int = 0
    resumes: int = 0
    deaths: int = 0
    disk_failures: int = 0
    silences: int = 0
    longest_line: int = 0
    events: int = 0
    waits: dict[int, list[float]] = field(default_factory=dict)  # priority -> seconds in line, one a ticket


class Simulation:
    """One run of :class:`Setting` over a list of jobs; the same seed gives the same run."""

    def __init__(self, setting: Setting, jobs: Sequence[Job], seed: int = 0) -> None:
        self.setting, self.jobs = setting, {job.id: job for job in jobs}
        self.report = Report()
        self.loaded = Report()  # as it was when the last job came
        self._last_arrival = max((job.arrives for job in jobs), default=0.0)
        self.started: list[str] = []  # ids in the order of starts
        self._chance = random.Random(f"failures {seed}")
        self._now = 0.0
        self._events: list[tuple[float, int, str, str, int]] = []
        self._line: list[tuple[tuple[int, int, str], Ticket]] = []
        self._since: dict[str, float] = {}  # job that waits -> since when
        self._on: dict[int, str] = {}  # worker -> job
        self._free = set(range(setting.workers))
        self._down: set[int] = set()
        self._left = len(jobs)
        for job in jobs:
            if job.count > setting.workers:
                raise Broken(f"{job.id} asks for more slots than there are; the executor refuses it")
            self._at(job.arrives, "submit", job.id)
        for worker in range(setting.workers):
            self._later(setting.between_deaths, "die", number=worker)

    def run(self) -> Report:
        """Simulate until every job has ended.

        Raises:
            Broken: an invariant does not hold.
        """
        while self._left:
            if not self._events or self.report.events > _MOST_EVENTS:
                raise Broken(f"{self._left} jobs never end")
            when, _, kind, job, number = heapq.heappop(self._events)
            self._pass(when)
            self.report.events += 1
            if kind in ("die", "repair"):
                getattr(self, f"_{kind}")(number)
            elif kind == "submit":
                self._submit(self.jobs[job])
            elif self.jobs[job].workers and self.jobs[job].start == number:  # else of a start that is over
                getattr(self, f"_{kind}")(self.jobs[job])
            self._admit()
        self.report.span = self._now
        if self._on or self._since:
            raise Broken("a job is at work or in line after all have ended")
        return self.report

    def _at(self, when: float, kind: str, job: str = "", number: int = 0) -> None:
        heapq.heappush(self._events, (when, len(self._events) + self.report.events, kind, job, number))

    def _later(self, mean: float, kind: str, job: str = "", number: int = 0) -> None:
        if mean > 0:
            self._at(self._now + self._chance.expovariate(1 / mean), kind, job, number)

    def _pass(self, when: float) -> None:
        if self._now < self._last_arrival <= when:
            self.loaded = replace(self.report, span=self._now)
        took, self._now = when - self._now, when
        self.report.down += took * len(self._down)
        if self._line:
            self.report.idle_with_line += took * len(self._free)
        else:
            self.report.idle += took * len(self._free)

    def _submit(self, job: Job) -> None:
        if job.id in self._since or (job.workers and not self.setting.silent_is_lost):
            raise Broken(f"{job.id} is submitted while it waits or works")
        ticket = Ticket(job.id, "gpu", job.count, job.priority, int(self._now * 1e9))
        heapq.heappush(self._line, (ticket.order, ticket))
        self._since[job.id] = self._now
        self.report.longest_line = max(self.report.longest_line, len(self._line))

    def _admit(self) -> None:
        while self._line and self._line[0][1].count <= len(self._free):
            _, ticket = heapq.heappop(self._line)
            job = self.jobs[ticket.job_id]
            if job.workers:
                raise Broken(f"{job.id} starts while it is at work since {job.begun:.0f} s")
            if job.ended is not None:
                raise Broken(f"{job.id} starts after it has ended")
            taken = tuple(self._free.pop() for _ in range(ticket.count))
            for worker in taken:
                if worker in self._on or worker in self._down:
                    raise Broken(f"worker {worker} is given to {job.id} and is not free")
                self._on[worker] = job.id
            self.report.waits.setdefault(job.priority, []).append(self._now - self._since.pop(job.id))
            job.workers, job.begun, job.at_work, job.start = taken, self._now, False, job.start + 1
            self.started.append(job.id)
            self.report.starts += 1
            self._at(self._now + self.setting.startup, "begin", job.id, job.start)
            self._later(self.setting.between_silences, "silent", job.id, job.start)

    def _begin(self, job: Job) -> None:
        self.report.starting += self.setting.startup * job.count
        job.begun, job.at_work = self._now, True
        if self._chance.random() < self.setting.flaky_starts:
            self._fail(job)
        else:
            self._next_save(job)

    def _next_save(self, job: Job) -> None:
        self._at(self._now + min(self.setting.checkpoint, job.work - job.saved), "save", job.id, job.start)

    def _save(self, job: Job) -> None:
        full = self.setting.disk_full_from
        if full <= self._now < full + self.setting.disk_full_for:
            self.report.disk_failures += 1
            self._fail(job)
            return
        done = self._now - job.begun
        self.report.useful += done * job.count
        job.saved, job.begun = job.saved + done, self._now
        if job.saved >= job.work - 1e-6:
            job.ended = self._now
            self._left -= 1
            self._release(job)
        else:
            self._next_save(job)

    def _silent(self, job: Job) -> None:
        self.report.silences += 1
        job.silent_until = self._now + self._chance.expovariate(1 / self.setting.silence)
        if self.setting.silent_is_lost:
            self._at(self._now, "submit", job.id)
        self._later(self.setting.between_silences, "silent", job.id, job.start)

    def _die(self, worker: int) -> None:
        self.report.deaths += 1
        if worker in self._on:
            self._fail(self.jobs[self._on[worker]])
        self._free.discard(worker)
        self._down.add(worker)
        self._later(self.setting.repair, "repair", number=worker)

    def _repair(self, worker: int) -> None:
        self._down.remove(worker)
        self._free.add(worker)
        self._later(self.setting.between_deaths, "die", number=worker)

    def _fail(self, job: Job) -> None:
        """End a start; the job is resumed from its checkpoint when somebody has seen it."""
        since = (self._now - job.begun) * job.count
        if job.at_work:
            self.report.lost += since
        else:
            self.report.starting += since
        self._release(job)
        seen = max(self._now, job.silent_until)
        self.report.resumes += 1
        self._at(seen + self._chance.expovariate(1 / self.setting.resume), "submit", job.id)

    def _release(self, job: Job) -> None:
        for worker in job.workers:
            del self._on[worker]
            self._free.add(worker)
        job.workers = ()


def draw_jobs(count: int, workers: int, load: float, widest: int = 8, seed: int = 0) -> list[Job]:
    """Return jobs that come at random: work log-normal, an hour in the mean; priorities -5, 0, 5; a tenth is wide.

    Args:
        count: jobs.
        workers: there are.
        load: work that comes, against what the workers could do in that time.
        widest: slots of the widest jobs; others that are wide take a half or a quarter of them.
        seed: of the draws.
    """
    chance = random.Random(f"jobs {seed}")
    drawn = [
        (
            chance.lognormvariate(-0.5, 1.0) * HOUR,  # of mean exp(-1/2 + 1/2) hours
            max(min(chance.choice((widest // 4, widest // 2, widest)), workers), 1)
            if chance.random() < 0.1
            else 1,
            chance.choices((-5, 0, 5), (2, 6, 2))[0],
        )
        for _ in range(count)
    ]
    span = sum(work * slots for work, slots, _ in drawn) / (workers * load)
    comes = sorted(chance.uniform(0, span) for _ in drawn)
    return [
        Job(f"job-{i:05}", comes[i], work, slots, priority) for i, (work, slots, priority) in enumerate(drawn)
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def told(run: Simulation, calm: Simulation) -> str:
    """Return what a run came to, beside the same jobs without failures."""
    report, workers = run.report, run.setting.workers
    most, ideal = (
        percentile([job.ended or 0.0 for job in r.jobs.values()], 0.95) / HOUR for r in (run, calm)
    )
    lines = [
        f"95 % of the jobs had ended after {most:.2f} h, without failures after {ideal:.2f} h: "
        f"{ideal / most:.1%} of the ideal throughput",
        f"with failures: {_shares(run.loaded, workers)}",
        f"without: {_shares(calm.loaded, workers)}",
        f"work done again: {report.lost / report.useful:.2%} of all; {report.starts} starts, {report.resumes} resumes, "
        f"{report.deaths} deaths of workers, {report.disk_failures} failures on the full disk, "
        f"{report.silences} silences; longest line {report.longest_line}",
    ]
    for priority in sorted(report.waits, reverse=True):
        waits = report.waits[priority]
        p50, p95, p99 = (percentile(waits, share) / HOUR for share in (0.5, 0.95, 0.99))
        lines.append(
            f"priority {priority:+d}: waits p50 {p50:.2f} h, p95 {p95:.2f} h, p99 {p99:.2f} h, longest "
            f"{max(waits) / HOUR:.2f} h; without failures longest {max(calm.report.waits[priority]) / HOUR:.2f} h"
        )
    return "\n".join(lines)


def _shares(report: Report, workers: int) -> str:
    parts = ("useful", "starting", "lost", "down", "idle_with_line", "idle")
    every = workers * report.span
    return ", ".join(f"{name.replace('_', ' ')} {getattr(report, name) / every:.1%}" for name in parts)


def main() -> int:
    """Simulate and print; 1 where an invariant is broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=500)
    parser.add_argument("--load", type=float, default=1.1)
    parser.add_argument("--widest", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if min(given.jobs, given.workers, given.widest) < 1 or given.load <= 0:
        parser.error("--jobs, --workers and --widest are at least 1, and --load is above 0")
    setting = Setting(workers=given.workers)
    began = time.process_time()
    runs = []
    try:
        for each in (setting, setting.calm()):
            jobs = draw_jobs(given.jobs, given.workers, given.load, given.widest, given.seed)
            runs.append(Simulation(each, jobs, given.seed))
            runs[-1].run()
    except Broken as error:
        print(f"broken: {error}", file=sys.stderr)
        return 1
    print(
        f"{given.jobs} jobs on {given.workers} workers, load {given.load}, widest {given.widest}, seed {given.seed}: "
        "every job ended, none ran twice at once"
    )
    print(told(*runs))
    events = sum(run.report.events for run in runs)
    print(f"{events} events in {time.process_time() - began:.1f} s of CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
