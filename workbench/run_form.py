"""The form that starts a judge run: what is chosen, what the run would send, Start."""

from __future__ import annotations

import secrets

import streamlit as st

from workbench import judge_runs, markup, widgets
from workbench.errors import WorkbenchError
from workbench.judge_form import judge_form
from workbench.judge_plan import JudgePlan, judge_plan
from workbench.judge_words import asked_words
from workbench.run import JudgeSpec, LlmSpec
from workbench.run_plan import RunPlan
from workbench.run_plan_view import judge_lines


def start_form() -> None:
    """Draw the choices of a run, what it would send, and Start."""
    space = widgets.workspace()
    columns = st.columns([2, 3, 2])
    with columns[0]:
        policy = widgets.choose_policy()
    if policy is None:
        return
    versions = {document.version: document for document in space.store.policy_versions(policy)}
    with columns[1]:
        version = widgets.pick(
            st.selectbox,
            "Version",
            sorted(versions, reverse=True),
            format_func=lambda number: markup.version_name(versions[number]),
            key="version",
        )
    sets = [name for name in space.store.golden_names() if space.store.golden(name).policy == policy]
    published = [name for name in sets if space.store.golden(name).snapshots]
    if not published:
        state = "is not published yet" if sets else "does not exist yet"
        widgets.empty(
            f"A golden set for {policy} {state}.",
            "A judge runs on a frozen snapshot: import and publish one on the Golden set page.",
        )
        return
    with columns[2]:
        golden = widgets.pick(st.selectbox, "Golden set", published, key="golden")
    left, right = st.columns([3, 2], gap="large")
    try:
        with left:
            judge = judge_form()
        if judge is None:
            return
        with right:
            draw_plan(judge_plan(space, judge, policy=policy, version=version, golden=golden), judge)
        with left:
            start_button(judge, policy, version, golden)
    except WorkbenchError as error:
        st.error(markup.problem(error))


def draw_plan(plan: JudgePlan, judge: JudgeSpec) -> None:
    """Draw what the run would send and what that takes, before anything is sent."""
    total = plan.total
    lines = {"pairs": f"{total.pairs:,} ({total.dev_pairs:,} dev, {total.pairs - total.dev_pairs:,} holdout)"}
    if isinstance(judge, LlmSpec) and (asked := ", ".join(asked_words(judge))):
        lines["asked"] = asked
    st.html(markup.facts("what it will take", lines | judge_lines(plan)))
    for part in {(part.plan.key_variable, part.plan.sends): part for part in plan.parts}.values():
        key_state(part.plan)


def key_state(plan: RunPlan) -> None:
    """Say whether the key is there; its value is never read here."""
    if not plan.sends:
        return
    if not plan.key_variable:
        st.caption("No key is sent to this server.")
    elif plan.key_set:
        st.caption(f":material/check: `{plan.key_variable}` is set.")
    elif plan.key_needed:
        st.warning(
            f"`{plan.key_variable}` is not set where this app runs, so the run will fail. Set it and restart the app."
        )
    else:
        st.warning(
            f"`{plan.key_variable}` is not set. The run fails unless the provider finds its key elsewhere."
        )


def start_button(judge: JudgeSpec, policy: str, version: int, golden: str) -> None:
    """Draw Start. Its key is made with the form, so that a double click starts one run.

    The judge is the one of this very drawing, not of the one before it: a cap that was typed a moment before the
    click holds.
    """
    key = st.session_state.setdefault("_run_key", secrets.token_hex(6))
    with st.form("start", border=False):
        started = st.form_submit_button(
            "Start run", type="primary", icon=":material/play_arrow:", key=f"start_{key}"
        )
    if not started:
        return
    run = judge_runs.start_run(
        widgets.workspace(),
        judge,
        policy=policy,
        version=version,
        golden=golden,
        author=widgets.who(),
        key=key,
    )
    st.session_state["_run_key"] = secrets.token_hex(6)
    widgets.say("success", f"Started {markup.plain(run.label)}.")
    st.rerun()
