"""How far a judge can be moved, on its card; and the pairs of a run whose texts look as if they speak to the judge."""

from __future__ import annotations

import html
import secrets

import streamlit as st

from workbench import job_cards, jobs, markup, widgets
from workbench.errors import WorkbenchError
from workbench.judge_choice import filled
from workbench.judge_words import judge_words
from workbench.probe_view import dimensions_html, flagged_html, headline, how_to_read, plan_lines, table_html
from workbench.probes import (
    MOST,
    USUAL,
    ProbeResult,
    flagged_pairs,
    plan_probe,
    probe_results,
    start_probe,
)
from workbench.run import JudgeSpec, Run
from workbench.trial_pairs import published_sets

FLAGGED_A_PAGE = 8


def draw(judge: JudgeSpec, *, prefix: str = "probe") -> None:
    """Draw what probes of ``judge`` have measured, and the way to start one.

    Args:
        prefix: of the widgets' keys, different for each judge that is drawn on one page.
    """
    space = widgets.workspace()
    try:
        judge = filled(space, judge)
        words = judge_words(judge)
        found = [result for result in probe_results(space) if judge_words(result.spec.judge) == words]
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    ended = [result for result in found if result.job.final is not None]
    under_way = [result for result in found if result.job.final is None]
    for result in under_way:
        st.fragment(_watch, run_every=1.5)(result.job.spec.id)
    if ended:
        _result(_chosen(ended, prefix))
    elif not under_way:
        widgets.empty(
            "Nobody has probed this judge yet.",
            "A probe grades some dev pairs, then again with text that tries to talk to the judge, with padding, and "
            "with the policy listed or said otherwise, and measures how far the grades move.",
        )
    with st.expander("Probe this judge", expanded=False, key=f"{prefix}_form", on_change="rerun") as form:
        if form.open:
            _start_form(judge, prefix, busy=bool(under_way))


# What was measured


def _chosen(found: list[ProbeResult], prefix: str) -> ProbeResult:
    """Return the newest result, or the one that is chosen among earlier ones."""
    if len(found) == 1:
        return found[0]
    known = {result.job.spec.id: result for result in found}
    chosen = st.selectbox("Probe", list(known), key=f"{prefix}_open", format_func=lambda id: _name(known[id]))
    return known[chosen]


def _name(result: ProbeResult) -> str:
    spec = result.job.spec
    status = "" if result.state.status == "finished" else f" · {job_cards.status_name(result.state.status)}"
    return f"{spec.created_at:%d %b %H:%M:%S} · {result.spec.policy} v{result.spec.policy_version}{status}"


def _watch(job_id: str) -> None:
    space = widgets.workspace()
    job = space.store.job(job_id)
    now = jobs.state(space, job)
    if now.status not in ("running", "queued"):
        jobs.collect(space)
        st.rerun()
    job_cards.card(job, now)


def _result(result: ProbeResult) -> None:
    """Draw one ended probe: the answer in a sentence, the table, how to read it."""
    report, state = result.report, result.state
    st.html(f'<div class="wb-muted wb-small">{_origin(result)}</div>')
    if state.status != "finished":
        st.error(markup.plain(state.error or "The probe was stopped before its end."))
        job_cards.resume_button(result.job, state, "Asks only for what is missing.")
    if report is None or not report.outcomes:
        return
    policy = widgets.workspace().store.policy(result.spec.policy, result.spec.policy_version)
    st.html(f'<div style="margin:2px 0 8px">{html.escape(headline(report))}</div>')
    st.html(f'<div style="max-width:1040px">{table_html(report)}{dimensions_html(report, policy)}</div>')
    st.caption(how_to_read(report))


def _origin(result: ProbeResult) -> str:
    spec = result.spec
    by = html.escape(result.job.spec.author or "nobody named")
    took = ""
    if result.report and result.report.usage.calls:
        usage = result.report.usage
        took = f" · {markup.several(usage.calls, 'call')}, cost {markup.money(usage.cost_usd)}"
    where = html.escape(f"{spec.golden} v{spec.golden_version}, {spec.policy} v{spec.policy_version}")
    several = markup.several(len(spec.pairs), "dev pair")
    return f"{several} of {where} · by {by}, {job_cards.ago(result.job.spec.created_at)}{took}"


# Starting one


def _start_form(judge: JudgeSpec, prefix: str, *, busy: bool) -> None:
    space = widgets.workspace()
    choices = [
        (name, golden) for name in space.store.policy_names() for golden in published_sets(space, name)
    ]
    if not choices:
        st.caption("There is no published golden set. Publish one on the Golden set page.")
        return
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    policy, golden = left.selectbox(
        "Policy and golden set", choices, key=f"{prefix}_golden",
        format_func=lambda choice: f"{choice[0]} on {choice[1]}",
    )  # fmt: skip
    pairs = right.number_input(
        "Dev pairs", 1, MOST, USUAL, key=f"{prefix}_pairs",
        help="The same ones every time, so that probes can be compared. The holdout is never probed.",
    )  # fmt: skip
    try:
        plan = plan_probe(space, judge, policy=policy, golden=golden, pairs=int(pairs))
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    st.html(markup.facts("what it will take", plan_lines(plan)))
    key = st.session_state.setdefault(f"_{prefix}_key", secrets.token_hex(6))
    with st.form(f"{prefix}_start", border=False):
        st.form_submit_button(
            "Start the probe", type="primary", icon=":material/experiment:", key=f"{prefix}_submit_{key}",
            disabled=busy, on_click=_start, args=(key, judge, prefix, policy, golden, int(pairs)),
        )  # fmt: skip
    if busy:
        st.caption("A probe of this judge is under way.")


def _start(key: str, judge: JudgeSpec, prefix: str, policy: str, golden: str, pairs: int) -> None:
    """Start a probe (a callback). Its key was made with the form, so that a double click starts one."""
    started = widgets.attempt(
        start_probe, widgets.workspace(), judge, policy=policy, golden=golden, author=widgets.who(), key=key,
        pairs=pairs,
    )  # fmt: skip
    if started is not None:
        st.session_state[f"_{prefix}_key"] = secrets.token_hex(6)
        st.session_state.pop(f"{prefix}_open", None)


# Pairs to look at


def draw_flagged(run: Run, *, prefix: str = "flagged") -> None:
    """Draw the dev pairs of a run's golden set that look as if they speak to the judge, with the run's grades."""
    space = widgets.workspace()
    try:
        with st.spinner("Reading the texts"):  # a second for every 1,000 pairs, the first time
            found = flagged_pairs(space, run)
        policy = space.store.policy(run.policy, run.policy_version)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    if not found:
        st.caption(
            f"No dev pair of {markup.plain(run.golden)} v{run.golden_version} looks as if it speaks to the judge."
        )
        return
    several = markup.several(len(found), "dev pair")
    st.html(
        f'<div class="wb-small">{several} of {html.escape(run.golden)} v{run.golden_version} hold text that looks as if '
        "it speaks to the judge. A flag is no proof: read the text, and see whether the grades fit it.</div>"
    )
    pages = -(-len(found) // FLAGGED_A_PAGE)
    page = 1
    if pages > 1:
        page = st.pagination(pages, key=f"{prefix}_page:{run.id}")
    shown = found[(page - 1) * FLAGGED_A_PAGE : page * FLAGGED_A_PAGE]
    st.html("".join(flagged_html(one, policy) for one in shown))
