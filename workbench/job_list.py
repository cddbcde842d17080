"""Verbs of looking at jobs: all of them, filtered, a page at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from workbench import jobs
from workbench.errors import BadInput, Unavailable
from workbench.job_costs import JobCost, job_cost
from workbench.jobfolder import JobFolder
from workbench.run import JobState
from workbench.store import StoredJob
from workbench.workspace import Workspace

StatusChoice = Literal["any", "under way", "finished", "failed", "stopped"]
STATUSES: tuple[StatusChoice, ...] = get_args(StatusChoice)
_IN: Mapping[str, tuple[str, ...]] = {
    "under way": ("queued", "running"),
    "finished": ("finished",),
    "failed": ("failed", "lost"),
    "stopped": ("cancelled", "capped"),
}
PAGE = 200


@dataclass(frozen=True)
class JobLine:
    """One job as a table shows it; ``place`` is its place in this machine's queue, from 1, where it waits there."""

    job: StoredJob
    state: JobState
    cost: JobCost
    executor: str
    seconds: float | None = None
    place: int | None = None


@dataclass(frozen=True)
class JobPage:
    """Some jobs, newest first, those under way before all others; how many there are in all; which page it is."""

    lines: tuple[JobLine, ...]
    total: int
    page: int


@dataclass(frozen=True)
class Choices:
    """What jobs can be chosen by."""

    kinds: tuple[str, ...]
    people: tuple[str, ...]


def choices(workspace: Workspace) -> Choices:
    """Return the kinds of jobs that there are, and the people who started them."""
    specs = [job.spec for job in workspace.store.jobs()]
    return Choices(
        tuple(sorted({spec.kind for spec in specs})),
        tuple(sorted({spec.author for spec in specs if spec.author})),
    )


def job_page(
    workspace: Workspace,
    *,
    kind: str = "",
    person: str = "",
    status: StatusChoice = "any",
    page: int = 1,
    size: int = PAGE,
) -> JobPage:
    """Return some jobs and how many match.

    Args:
        workspace: whose jobs are looked at.
        kind: only these; "" for all.
        person: only those started by this person; "" for all.
        status: only those that are so.
        page: which, from 1; one beyond the last is the last.
        size: most jobs of a page.

    Raises:
        BadInput: for a status that does not exist.
    """
    if status not in STATUSES:
        raise BadInput(f"'{status}' is no status to choose by.", f"There is: {', '.join(STATUSES)}.")
    chosen = [
        job
        for job in workspace.store.jobs()
        if kind in ("", job.spec.kind) and person in ("", job.spec.author)
    ]
    found = [(job, state_of(workspace, job)) for job in chosen]
    if status != "any":
        found = [(job, now) for job, now in found if now.status in _IN[status]]
    found.sort(key=lambda one: one[1].status not in _IN["under way"])  # stable: newest first within both
    page = max(1, min(page, -(-len(found) // size)))
    return JobPage(tuple(_lines(workspace, found[(page - 1) * size : page * size])), len(found), page)


def job_line(workspace: Workspace, job_id: str) -> JobLine:
    """Return one job.

    Raises:
        NotFound: if there is none of this id.
    """
    job = workspace.store.job(job_id)
    return _lines(workspace, [(job, state_of(workspace, job))])[0]


def under_way(workspace: Workspace) -> dict[str, str]:
    """Return job id -> status of the jobs that have not ended."""
    return {job.spec.id: state_of(workspace, job).status for job in workspace.store.jobs(open_only=True)}


def state_of(workspace: Workspace, job: StoredJob) -> JobState:
    """Return a job's state; one whose executor does not answer counts as running, with the reason as its error."""
    try:
        return jobs.state(workspace, job)
    except Unavailable as error:
        return JobState(status="running", error=str(error))


def search_log(job: StoredJob, wanted: str, *, lines: int = 2_000) -> list[str]:
    """Return the last lines of a job's log in which ``wanted`` occurs, upper and lower case alike; all for ""."""
    low = wanted.casefold()
    return [line for line in jobs.log_tail(job, lines).splitlines() if low in line.casefold()]


def command_line(workspace: Workspace, job: StoredJob) -> list[str]:
    """Return the words of the command that does a job, to be run by hand or under a scheduler."""
    return workspace.executor_of(job.handle).command(Path(job.folder))


def _lines(workspace: Workspace, found: Sequence[tuple[StoredJob, JobState]]) -> list[JobLine]:
    wanted = {str(job.spec.payload["run_id"]) for job, _ in found if "run_id" in job.spec.payload}
    runs = {run.id: run for run in workspace.store.runs() if run.id in wanted} if wanted else {}
    places = {one.job_id: one.place for one in jobs.queue(workspace)}
    return [
        JobLine(
            job=job,
            state=now,
            cost=job_cost(job, now, runs.get(str(job.spec.payload.get("run_id", "")))),
            executor=job.handle.partition(":")[0] if job.handle.startswith(("local:", "ray:")) else "local",
            seconds=_seconds(job, now),
            place=places.get(job.spec.id) if now.status == "queued" else None,
        )
        for job, now in found
    ]


def _seconds(job: StoredJob, now: JobState) -> float | None:
    """Return how long a job has worked since its newest start; None where that is not known."""
    if now.started_at is None:
        return None
    ended = None
    if now.status != "running":
        try:
            result = JobFolder(Path(job.folder)).result()
        except BadInput:
            result = None
        ended = result.finished_at if result else now.updated_at
    return max(((ended or datetime.now(UTC)) - now.started_at).total_seconds(), 0.0)
