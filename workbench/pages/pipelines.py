"""Pipelines: choose a chain, see what a run would skip and make, run it, watch it."""

from __future__ import annotations

import secrets

import pandas as pd
import streamlit as st

from workbench import markup, pipeline_chart, pipelines, widgets
from workbench.errors import WorkbenchError
from workbench.pipeline_advance import PipelineRun

ENDED = ("finished", "failed", "stopped")
SHOWN = 50  # runs in the table; the command lists all


def page() -> None:
    """Draw the page from top to bottom."""
    widgets.header(
        "Pipelines",
        "Data set, teachers, student and evaluation as one chain; what is there already is skipped.",
    )
    widgets.flash()
    known = list(pipelines.pipelines(widgets.workspace()))
    if not known:
        widgets.empty(
            "There is no pipeline yet.", "Write one as `pipelines/<name>.yaml`; the guide shows how."
        )
        return
    with st.expander("Start a run", expanded=not st.query_params.get("run"), icon=":material/play_circle:"):
        name = widgets.pick(st.selectbox, "Pipeline", known, key="pipeline")
        launch(name)
    found = pipelines.runs(widgets.workspace(), most=SHOWN + 1)
    more, found = len(found) > SHOWN, found[:SHOWN]
    st.subheader(f"Runs (the newest {SHOWN})" if more else f"Runs ({len(found)})" if found else "Runs")
    if not found:
        widgets.empty("No pipeline has run yet.", "Start one above; the page then follows it.")
        return
    run_id = widgets.open_row(
        run_table(found), [one.id for one in found], "run",
        column_config={"when": st.column_config.DatetimeColumn("when (UTC)", format="D MMM HH:mm")},
    )  # fmt: skip
    if more:
        st.caption("Older ones: `workbench pipeline list`, and `workbench pipeline show RUN`.")
    if run_id is None:
        st.caption("Select a row to open a run: its steps, why one is blocked, the jobs behind them.")
    elif pipelines.status(widgets.workspace(), run_id).status in ENDED:
        opened(run_id)
    else:
        st.fragment(follow, run_every=3)(run_id)


def launch(name: str) -> None:
    """Draw what a run of a pipeline would do, and the form that starts it."""
    key = st.session_state.setdefault("_pipeline_key", secrets.token_hex(6))
    try:
        document, _ = pipelines.pipeline_file(widgets.workspace(), name)
        version = policy_version(document.policy)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    changes = st.text_area(
        "Changes", key="pipeline_changes", height=68, placeholder="student.schedule.epochs=2",
        help="step.field=value, one a line. The plan below takes them into account.",
    )  # fmt: skip
    try:
        given = pipelines.read_changes(changes.split("\n") if changes.strip() else [])
        steps = pipelines.preview(widgets.workspace(), name, policy_version=version, changes=given)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    st.markdown(markup.plain(document.description))
    st.graphviz_chart(pipeline_chart.dot(steps, dark=widgets.dark()))
    for each in steps:
        if each.status == "failed":
            st.error(markup.plain(f"{each.step.step} cannot be made: {each.reason}"))
    skipped = sum(each.reused for each in steps)
    st.caption(
        f"{markup.several(skipped, 'step')} of {len(steps)} there already. What waits is looked up once its inputs are "
        "made, and is skipped if the same was made before."
    )
    with st.form("start_pipeline", border=False):
        st.multiselect("Make anew all the same", [each.step.step for each in steps], key="pipeline_force")
        st.form_submit_button(
            "Run",
            type="primary",
            icon=":material/play_arrow:",
            on_click=run_it,
            args=(name, version, given, key),
        )


def policy_version(policy: str) -> int:
    """Draw the choice of the policy version that everything is made under, the newest first; return it.

    Raises:
        NotFound: for a policy that is not published here.
    """
    versions = {one.version: one for one in reversed(widgets.workspace().store.policy_versions(policy))}
    chosen: int = widgets.pick(
        st.selectbox, "Policy version", list(versions), key="pipeline_version",
        format_func=lambda number: markup.version_name(versions[number]),
    )  # fmt: skip
    return chosen


def run_it(name: str, version: int, changes: pipelines.Changes, key: str) -> None:
    """Start a run; the second of two clicks has the same key and starts none."""
    run_id = widgets.attempt(
        pipelines.start, widgets.workspace(), name, author=widgets.who(), key=key, policy_version=version,
        changes=changes,
        force=st.session_state.get("pipeline_force", []),
    )  # fmt: skip
    if run_id is not None:
        st.session_state["_pipeline_key"] = secrets.token_hex(6)
        st.query_params["run"] = run_id


def run_table(found: list[PipelineRun]) -> pd.DataFrame:
    """Return runs as the table shows them."""
    return pd.DataFrame(
        {
            "pipeline": [one.record.pipeline.pipeline for one in found],
            "policy": [f"{one.record.pipeline.policy} v{one.record.policy_version}" for one in found],
            "status": [one.status for one in found],
            "steps done": [
                f"{sum(each.status == 'done' for each in one.steps)} of {len(one.steps)}" for one in found
            ],
            "who": [one.record.author for one in found],
            "when": [one.record.started_at for one in found],
        }
    )


def follow(run_id: str) -> None:
    """Draw a run that is under way, and draw the page again when it has ended."""
    if pipelines.watch(widgets.workspace(), run_id).status in ENDED:
        st.rerun()
    opened(run_id)


def opened(run_id: str) -> None:
    """Draw one run: its chain as a picture, its steps with their jobs, and what can be done with it."""
    space = widgets.workspace()
    run = pipelines.status(space, run_id)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            widgets.section(run.record.pipeline.pipeline, [run.status])
            verb, label, icon = pipelines.resume, "Resume", "resume"
            if run.status not in ENDED:
                verb, label, icon = pipelines.stop, "Stop", "stop_circle"
            if run.status not in ("finished", "stopping"):
                st.button(
                    label, icon=f":material/{icon}:", key=f"{label}_{run_id}", on_click=widgets.attempt,
                    args=(verb, space, run_id, widgets.who()),
                )  # fmt: skip
        if run.status == "failed" and run.reason:
            st.error(markup.plain(run.reason))
        st.graphviz_chart(pipeline_chart.dot(run.steps, dark=widgets.dark()))
        step_list(run)
    st.caption(f"{run.id}, started by {markup.plain(run.record.author)}. Closing this page changes nothing.")


def step_list(run: PipelineRun) -> None:
    """Draw a line a step: its state, what it made or why it did not, and the way to its job."""
    for each in run.steps:
        job = run.record.steps[each.step.step].job if each.step.step in run.record.steps else ""
        name, state, about, link = st.columns([1.4, 1, 4, 1], vertical_alignment="center")
        name.markdown(f"**{each.step.step}**")
        state.markdown(pipeline_chart.state_words(each))
        about.markdown(markup.plain(each.what or each.reason or "–"))
        if job:
            link.page_link(
                "workbench/pages/jobs.py",
                label="Job",
                icon=":material/open_in_new:",
                query_params={"job": job},
            )


page()
