"""Jobs as the pages show them: progress while they run, what can be done with them, their log."""

from __future__ import annotations

import html
from datetime import UTC, datetime

import streamlit as st

from workbench import jobs, markup, widgets
from workbench.run import JobKind, JobState
from workbench.store import StoredJob

QUIET_S = 20
"""Seconds without a word from a job after which the page says so."""
PATIENCE_S = 6
"""Seconds that a job is given to stop by itself before Kill is offered."""
LOG_LINES = 60


def under_way(kind: JobKind | None = None) -> int:
    """Draw the jobs that have not ended, and return how many there are; the page polls only while there are some."""
    count = len(_open(kind))
    if count:
        st.fragment(_watch, run_every=1.5)(kind)
    return count


def _open(kind: JobKind | None) -> list[StoredJob]:
    return [
        job for job in widgets.workspace().store.jobs(open_only=True) if kind is None or job.spec.kind == kind
    ]


def _watch(kind: JobKind | None) -> None:
    space = widgets.workspace()
    if jobs.collect(space):
        st.rerun()
    for job in _open(kind):
        card(job, jobs.state(space, job))


def card(job: StoredJob, now: JobState) -> None:
    """Draw one open job: what it is, how far it is, and the way to end it."""
    with st.container(border=True, key=f"job_{job.spec.id}"):
        left, right = st.columns([5, 1.3], vertical_alignment="center")
        with left:
            st.html(
                f"<b>{html.escape(job.spec.title)}</b> "
                f'<span class="wb-muted wb-small">{job.spec.kind.replace("_", " ")} by '
                f"{html.escape(job.spec.author or 'nobody named')}, {ago(job.spec.created_at)}</span>"
            )
            bar(job, now)
        with right, st.container(horizontal=True, horizontal_alignment="right"):
            end_buttons(job)


def bar(job: StoredJob, now: JobState) -> None:
    """Draw how far a job is, in numbers and words, and say when it has been silent."""
    if now.total:
        # A training counts steps, and then the pairs that its checkpoint grades.
        unit = "steps" if now.note.startswith("epoch") else "pairs graded"
        text = f"{now.done:,} of {now.total:,} {unit}"
    else:
        text = (now.note or "waiting for the worker") if now.status == "queued" else "getting ready"
    note = now.note if now.total else ""
    if jobs.stop_asked(job):
        note = "stopping at the next safe point"
    silent = (datetime.now(UTC) - now.updated_at).total_seconds() if now.updated_at else 0
    if silent > QUIET_S:
        note += f"{', ' if note else ''}no news for {duration(silent)}"
    done = min(now.done / now.total, 1.0) if now.total else 0.0
    st.progress(done, text=markup.plain(f"{text}{' · ' if note else ''}{note}"))


def end_buttons(job: StoredJob) -> None:
    """Draw Cancel; for a job that was asked to stop and is still there, Kill.

    Kill comes with a delay, so that the second click of a double click on Cancel does not meet it.
    """
    space, job_id = widgets.workspace(), job.spec.id
    asked = jobs.stop_asked(job)
    if asked is None:
        st.button(
            "Cancel" if job.spec.kind == "judge_run" else "Stop",
            key=f"stop_{job_id}",
            icon=":material/stop_circle:",
            help="Ends at the next safe point. What is done so far is kept, and it can be resumed.",
            on_click=widgets.attempt,
            args=(jobs.stop, space, job_id, widgets.who()),
        )
    elif (datetime.now(UTC) - asked).total_seconds() < PATIENCE_S:
        st.button("Stopping", key=f"stopping_{job_id}", icon=":material/hourglass_top:", disabled=True)
    else:
        st.button(
            "Kill",
            key=f"kill_{job_id}",
            icon=":material/dangerous:",
            help="For a job that does not react: ends its process at once. What is on disk is kept.",
            on_click=widgets.attempt,
            args=(jobs.stop, space, job_id, widgets.who()),
            kwargs={"kill": True},
        )


def resume_button(job: StoredJob, now: JobState, help_text: str) -> None:
    """Draw Resume for a job that ended before its work was done."""
    if now.status in ("failed", "cancelled", "capped", "lost"):
        st.button(
            "Resume",
            key=f"resume_{job.spec.id}",
            icon=":material/play_arrow:",
            help=help_text,
            on_click=widgets.attempt,
            args=(jobs.resume, widgets.workspace(), job.spec.id, widgets.who()),
        )


def log(job: StoredJob) -> None:
    """Draw the end of a job's log, folded; the newest lines are in sight."""
    with st.expander("Log", icon=":material/subject:"):
        tail = jobs.log_tail(job, LOG_LINES)
        if tail:
            with st.container(height=320, border=False, autoscroll=True):
                st.code(tail, language=None, wrap_lines=True)
        st.caption(
            f"The last {LOG_LINES} lines of `{job.folder}/log.txt`." if tail else "Nothing was logged yet."
        )


def status_name(status: str) -> str:
    """Return a state as a table shows it that is not drawn again while a job runs."""
    return {"queued": "under way", "running": "under way", "capped": "stopped at cap"}.get(status, status)


def ago(moment: datetime) -> str:
    """Return how long ago something was, or its date where that says more."""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    return f"{duration(seconds)} ago" if seconds < 12 * 3600 else f"{moment:%d %b %H:%M} UTC"


def duration(seconds: float) -> str:
    """Return a time span in its largest sensible unit."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
