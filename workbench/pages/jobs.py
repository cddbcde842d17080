"""Jobs: everything that runs or ran outside the app, what it costs, and the room that it takes."""

from __future__ import annotations

import html
import shlex

import pandas as pd
import streamlit as st

from workbench import clean_up, clean_up_panel, job_cards, job_list, jobs, markup, widgets
from workbench.job_list import PAGE, JobLine, JobPage

COLUMNS = {
    "when": st.column_config.DatetimeColumn("when (UTC)", format="D MMM HH:mm"),
    "cost": st.column_config.TextColumn(help="– : nobody was paid; unknown: open the row for the reason"),
    "took": st.column_config.TextColumn(width="small", help="since its newest start"),
    "where": st.column_config.TextColumn(width="small", help="the executor"),
}
ANYBODY, ALL = "anybody", "all kinds"


def page() -> None:
    """Draw the page from top to bottom."""
    widgets.header(
        "Jobs", "Everything that runs or ran outside the app. Closing this page changes nothing in a job."
    )
    widgets.flash()
    space = widgets.workspace()
    if not space.store.jobs():
        widgets.empty(
            "Nothing has run yet.", "Start a judge on the Runs page, or a training on the Train page."
        )
        return
    found = filtered()
    watch()
    if not found.lines:
        widgets.empty("No job is like that.", "Choose another kind, person or status above.")
    else:
        job_id = widgets.open_row(
            job_table(found.lines), [line.job.spec.id for line in found.lines], "job", paged=True,
            column_config=COLUMNS,
        )  # fmt: skip
        pager(found)
        if job_id is None:
            st.caption("Select a row to open a job: its state, its log, the command that does it.")
        elif not jobs.exists(space, job_id):
            st.warning(
                f"There is no job '{markup.plain(job_id)}' in this workspace. Choose a row of the table."
            )
        else:
            opened(job_id)
    clean_up_panel.draw()


def filtered() -> JobPage:
    """Draw the filters, and return the page of jobs that they and the URL choose."""
    space = widgets.workspace()
    choices = job_list.choices(space)
    kind, person, status = st.columns([1.2, 1.2, 2.6], vertical_alignment="bottom")
    with kind:
        wanted_kind = widgets.pick(
            st.selectbox,
            "Kind",
            [ALL, *choices.kinds],
            key="kind",
            format_func=lambda one: one.replace("_", " "),
        )
    with person:
        wanted_person = widgets.pick(st.selectbox, "Started by", [ANYBODY, *choices.people], key="by")
    with status:
        wanted_status = widgets.pick(st.segmented_control, "Status", job_list.STATUSES, key="status")
    return job_list.job_page(
        space,
        kind="" if wanted_kind == ALL else wanted_kind,
        person="" if wanted_person == ANYBODY else wanted_person,
        status=wanted_status,
        page=page_number(),
    )


def page_number() -> int:
    """Return the page of the table that the URL asks for, from 1."""
    text = st.query_params.get("page", "1")
    return max(int(text), 1) if text.isascii() and text.isdecimal() and len(text) < 7 else 1


def pager(found: JobPage) -> None:
    """Draw the way to older jobs where they do not fit one page."""
    total, now = found.total, found.page
    last = -(-total // PAGE)
    if last < 2:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, target, icon in (("Newer", now - 1, "chevron_left"), ("Older", now + 1, "chevron_right")):
            st.button(
                label,
                icon=f":material/{icon}:",
                disabled=not 1 <= target <= last,
                on_click=turn,
                args=(target,),
            )
        st.caption(f"{(now - 1) * PAGE + 1:,}–{min(now * PAGE, total):,} of {total:,} jobs")


def turn(target: int) -> None:
    """Go to another page of the table."""
    st.query_params["page"] = str(target)


def job_table(lines: tuple[JobLine, ...]) -> pd.DataFrame:
    """Return jobs as the table shows them."""
    return pd.DataFrame(
        {
            "job": [line.job.spec.title for line in lines],
            "kind": [line.job.spec.kind.replace("_", " ") for line in lines],
            "status": [status_text(line) for line in lines],
            "who": [line.job.spec.author or "–" for line in lines],
            "when": [line.job.spec.created_at for line in lines],
            "took": ["–" if line.seconds is None else job_cards.duration(line.seconds) for line in lines],
            "cost": [money(line) for line in lines],
            "where": [line.executor for line in lines],
        }
    )


def status_text(line: JobLine) -> str:
    """Return a job's status, with its place in the queue where it waits in one."""
    if line.place is not None:
        return f"queued, place {line.place}"
    return "stopped at cap" if line.state.status == "capped" else line.state.status


def money(line: JobLine) -> str:
    """Return what a job cost."""
    return "–" if line.cost.usd == 0 else markup.money(line.cost.usd)


def watch() -> None:
    """Look for changes while something is under way, and draw the page again when there is one."""
    before = job_list.under_way(widgets.workspace())

    def look() -> None:
        space = widgets.workspace()
        if jobs.collect(space) or job_list.under_way(space) != before:
            st.rerun()

    if before:
        st.fragment(look, run_every=2)()


def opened(job_id: str) -> None:
    """Draw one job; again and again while it is under way."""
    line = job_list.job_line(widgets.workspace(), job_id)
    if line.state.status in ("queued", "running"):
        st.fragment(details, run_every=2)(job_id)
    else:
        details(job_id)


def details(job_id: str) -> None:
    """Draw what one job is, what can be done with it, its command and its log."""
    line = job_list.job_line(widgets.workspace(), job_id)
    job, removed = line.job, clean_up.was_removed(line.job)
    under_way = line.state.status in ("queued", "running")
    with st.container(border=True, key="opened_job"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            widgets.section(job.spec.title, [job.spec.kind.replace("_", " "), status_text(line)])
            with st.container(
                horizontal=True, horizontal_alignment="right", vertical_alignment="center", width="content"
            ):
                open_elsewhere(line)
                if under_way:
                    ending(line)
                elif not removed:
                    job_cards.resume_button(job, line.state, "Goes on from what it has kept.")
        if under_way:
            job_cards.bar(job, line.state)
        if line.state.error:
            st.error(markup.plain(line.state.error))
        if removed:
            st.info(removed, icon=":material/delete_sweep:")
        facts(line)
        if not removed:
            log(line)


def facts(line: JobLine) -> None:
    """Draw what is known of a job, and the command that does it."""
    job = line.job
    took = "–" if line.seconds is None else job_cards.duration(line.seconds)
    left, right = st.columns([1, 1.25], gap="large")
    left.html(
        markup.facts(
            "job",
            {
                "started by": job.spec.author or "nobody named",
                "when": f"{job.spec.created_at:%d %b %Y %H:%M} UTC, took {took}",
                "where": line.executor + (f", place {line.place} in the queue" if line.place else ""),
                "cost": f"{markup.money(line.cost.usd)} ({line.cost.how})",
                "id": job.spec.id,
            },
        )
    )
    with right:
        st.html('<div class="wb-eyebrow">the command that does it</div>')
        st.code(shlex.join(job_list.command_line(widgets.workspace(), job)), language="bash", wrap_lines=True)
        st.html(f'<div class="wb-muted wb-small">{html.escape(job.folder)}</div>')


def open_elsewhere(line: JobLine) -> None:
    """Draw the link to the page that shows what the job is about."""
    spec = line.job.spec
    if spec.kind == "judge_run":
        st.page_link(
            "workbench/pages/runs.py", label="Open the run", icon=":material/play_circle:",
            query_params={"run": spec.payload["run_id"]},
        )  # fmt: skip
    elif spec.kind == "training":
        st.page_link(
            "workbench/pages/train.py", label="Open the training", icon=":material/model_training:",
            query_params={"job": spec.id},
        )  # fmt: skip


def ending(line: JobLine) -> None:
    """Draw the ways to end a job, and for one that waits, its priority."""
    space, spec, who = widgets.workspace(), line.job.spec, widgets.who()
    if line.place is not None:
        with (
            st.popover("Priority", icon=":material/low_priority:"),
            st.form(f"priority_{spec.id}", border=False),
        ):
            st.number_input("The higher goes first", value=spec.priority, step=1, key=f"goes_{spec.id}")
            st.form_submit_button("Set", on_click=prioritise, args=(spec.id,))
    if jobs.stop_asked(line.job) is None:
        st.button(
            "Stop", key=f"stop_{spec.id}", icon=":material/stop_circle:", on_click=widgets.attempt,
            args=(jobs.stop, space, spec.id, who),
            help="Ends at the next safe point. What is done so far is kept, and it can be resumed.",
        )  # fmt: skip
    with st.popover("Kill", icon=":material/dangerous:"), st.form(f"confirm_{spec.id}", border=False):
        st.markdown("Ends its processes at once. What is on disk is kept, and it can be resumed from there.")
        st.form_submit_button(
            "Kill it now", type="primary", on_click=widgets.attempt, args=(jobs.stop, space, spec.id, who),
            kwargs={"kill": True},
        )  # fmt: skip


def prioritise(job_id: str) -> None:
    """Give a job that waits the priority that was typed."""
    widgets.attempt(jobs.set_priority, widgets.workspace(), job_id, st.session_state[f"goes_{job_id}"])


def log(line: JobLine) -> None:
    """Draw the end of a job's log, or those of its lines in which something occurs."""
    wanted = st.text_input(
        "Search the log", key="log", bind="query-params", placeholder="Search the log", icon=":material/search:",
        label_visibility="collapsed",
    )  # fmt: skip
    found = job_list.search_log(line.job, wanted)
    if not found:
        st.caption(
            f"Nothing in the log says '{markup.plain(wanted)}'." if wanted else "Nothing was logged yet."
        )
        return
    with st.container(height=300 if len(found) > 12 else "content", border=False, autoscroll=len(found) > 12):
        st.code("\n".join(found[-400:]), language=None, wrap_lines=True)
    st.caption(f"{markup.several(len(found), 'line')}{' that match' if wanted else ', newest last'}.")


page()
