"""One run, opened: how it ended, what can be done about it, what it took, how it agrees with people, what failed."""

from __future__ import annotations

import html
from itertools import groupby

import streamlit as st

from workbench import (
    evaluation,
    job_cards,
    jobs,
    judgement_table,
    markup,
    probe_panel,
    quality_panel,
    widgets,
)
from workbench.model_form import CAPS, optional_numbers
from workbench.run import Run
from workbench.run_savings import run_savings
from workbench.store import StoredJob

SHOWN_FAILURES = 60
SHOWN_REPLY = 2_000
OWN_KINDS = ("baseline", "checkpoint", "recorded")
"""Kinds of judges that ask nobody."""


def draw(run: Run) -> None:
    """Draw one run from top to bottom."""
    job = jobs.job_of_run(widgets.workspace(), run.id)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        widgets.section(run.label, [job_cards.status_name(run.status), *(["sample"] if run.sample else [])])
        with st.container(horizontal=True, horizontal_alignment="right"):
            if run.status == "finished":
                st.page_link(
                    "workbench/pages/compare.py", label="Compare with this run", icon=":material/compare_arrows:",
                    query_params={"golden": run.golden, "run": run.id},
                )  # fmt: skip
            if job is not None:
                _again(run, job)
    if run.status == "capped":
        st.warning(markup.plain(run.error), icon=":material/front_hand:")
        if job is not None:
            _go_on(job)
    elif run.error:
        st.error(markup.plain(run.error))
    left, right = st.columns([4, 8], gap="medium")
    with left:
        _took(run)
        _identity(run, job.spec.id if job else "")
    with right:
        _agreement(run)
    _failures(run)
    _flagged(run)
    if run.status == "finished":
        part = st.expander(
            "How sure it is, and whether it repeats itself",
            icon=":material/tune:",
            key="quality_part",
            on_change="rerun",
        )
        if part.open:
            with part:
                quality_panel.draw_calibration(run)
                quality_panel.draw_self_agreement(run)
    part = st.expander("Judgements", icon=":material/table_rows:", key="judgements_part", on_change="rerun")
    if part.open:
        with part:
            judgement_table.draw(run)
    if job is not None:
        job_cards.log(job)


def _again(run: Run, job: StoredJob) -> None:
    """Draw Resume for a run that did not come to its end, and the way to ask again what failed in one that did."""
    if run.status == "finished" and run.totals.failed:
        st.button(
            f"Ask the {run.totals.failed:,} failed again",
            key=f"retry_{job.spec.id}",
            icon=":material/replay:",
            help="Asks only about the pairs with a failed judgement; answers it has are kept and not paid for again.",
            on_click=widgets.attempt,
            args=(jobs.resume, widgets.workspace(), job.spec.id, widgets.who()),
        )
    elif run.status != "capped":
        job_cards.resume_button(
            job,
            jobs.state(widgets.workspace(), job),
            "Goes on where it was; answers it has are not asked for again.",
        )


def _go_on(job: StoredJob) -> None:
    """Draw new caps for a run that stopped at one, and Go on. A second click finds the job under way: no second start."""
    prefix = f"cap:{job.spec.id}:"
    judge = jobs.folder_of(widgets.workspace(), job.spec.id).spec().payload.get("judge", {})
    capped = judge.get("kind") == "llm"
    with st.form(f"go_on_{job.spec.id}", border=True):
        columns = st.columns([2, 2, 2, 3, 1.5] if capped else [3, 1.5], vertical_alignment="bottom")
        if capped:
            for field in CAPS:
                st.session_state.setdefault(prefix + field, judge.get(field))
            optional_numbers(columns[: len(CAPS)], CAPS, prefix)
        columns[-2].checkbox(
            "Count anew from here",
            key=f"{prefix}anew",
            help="The caps then hold for what is spent from now on, not for the run as a whole.",
        )
        columns[-1].form_submit_button(
            "Go on", icon=":material/play_arrow:", key=f"go_on:{job.spec.id}", on_click=_resume, args=(job, capped)
        )  # fmt: skip


def _resume(job: StoredJob, capped: bool) -> None:
    prefix = f"cap:{job.spec.id}:"
    caps = {field: st.session_state.pop(prefix + field) for field in CAPS} if capped else None
    widgets.attempt(
        jobs.resume,
        widgets.workspace(),
        job.spec.id,
        widgets.who(),
        caps=caps,
        new_period=st.session_state[f"{prefix}anew"],
    )


def _took(run: Run) -> None:
    """Draw what a run took and what it saved; nothing for a judge that asks nobody."""
    used = run.totals
    if run.judge.kind in OWN_KINDS or not used.judgements:
        return
    saved = run_savings(widgets.workspace(), run)
    sent = f"{used.input_tokens:,} tokens"
    lines = {
        "pairs": f"{used.pairs:,}",
        "failed": f"{used.failed:,} of {markup.several(used.judgements, 'judgement')}",
        "calls": f"{used.calls:,}",
        "input": sent
        if saved.cached_share is None
        else f"{sent}, {saved.cached_share:.0%} of it from the provider's cache",
        "output": f"{used.output_tokens:,} tokens",
        "cost": markup.money(used.cost_usd),
        "time": job_cards.duration(used.seconds) if used.seconds else "–",
    }
    if saved.cached_share:
        lines["prompt cache"] = (
            f"saved: unknown, {saved.cached_unknown}"
            if saved.cached_usd is None
            else f"saved {markup.money(saved.cached_usd)} at list prices"
            + (", less what storing took" if saved.writes_dearer else "")
        )
    if saved.hits:
        pairs = markup.several(saved.hits, "pair")
        worth = (
            f"unknown, {saved.hits_from}"
            if saved.hits_usd is None
            else f"about {markup.money(saved.hits_usd)}, {saved.hits_from}"
        )
        lines["verdict cache"] = f"{pairs} known before; their cost: {worth}"
    st.html(markup.facts("what it took", lines))


def _identity(run: Run, job_id: str) -> None:
    """Draw what exactly ran."""
    made = "imported: judged elsewhere" if run.judge.kind == "recorded" else job_id
    lines = {
        "judge": f"{run.judge.kind}: {run.judge.name}",
        **{name: _shown(value) for name, value in run.judge.params.items() if value not in (None, "", {})},
        "policy": f"{run.policy} v{run.policy_version} ({run.policy_hash[-8:]})",
        "golden set": f"{run.golden} v{run.golden_version} ({run.golden_hash[-8:]})",
        "code": run.code_revision or "–",
        "run": run.id,
        "job": made or "–",
    }
    st.html(markup.facts("identity", lines))


def _shown(value: object) -> str:
    """Return a parameter of a judge for reading: hashes by their end, several values side by side."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(_shown(inner) for inner in value)
    text = str(value)
    return text[-8:] if len(text) > 32 and text[-32:].isalnum() else text


def _agreement(run: Run) -> None:
    """Draw the agreement with the dev labels, dimension by dimension."""
    if run.status in ("queued", "running"):
        st.caption("Its agreement appears when it has ended.")
        return
    if not run.totals.judgements:
        st.caption("This run left no judgements.")
        return
    space = widgets.workspace()
    titles = markup.titles(space.store.policy(run.policy, run.policy_version))
    rows = [
        [
            html.escape(titles[key]), str(found.n), str(found.n_failed), markup.estimate(found.kappa_quadratic),
            markup.number(found.kappa_linear.value), markup.number(found.exact.value),
            markup.number(found.within_one.value), markup.number(found.bias.value, signed=True),
        ]
        for key, found in evaluation.run_agreement(space, run).items()
    ]  # fmt: skip
    heads = ["agreement on dev", "n", "failed", "quadratic κ", "linear κ", "exact", "within one", "bias"]
    st.html(markup.table(heads, rows, numeric=range(1, 8)))
    if run.judge.kind == "checkpoint":
        st.caption(
            "It was trained on these dev labels, so they flatter it: judge it on the holdout, on Compare."
        )
    elif run.judge.kind == "baseline":
        st.caption("Out of fold: every dev pair is graded by a model that did not see its query.")
    if run.status != "finished":
        st.caption("The run did not finish: pairs it did not reach count as failed.")


def _failures(run: Run) -> None:
    """Draw the failed judgements, one row a reply, the raw reply folded."""
    if not run.totals.failed:
        return
    space = widgets.workspace()
    found = space.store.failures(run.id, limit=SHOWN_FAILURES * 20)
    groups = groupby(found.itertuples(), key=lambda row: (row.error, row.pair_id, row.raw))
    rows = []
    for (error, pair_id, raw), members in groups:
        reply = html.escape(raw[:SHOWN_REPLY]) + (" …" if len(raw) > SHOWN_REPLY else "")
        rows.append(
            [
                f'<span class="wb-small">{html.escape(pair_id.removeprefix("pair-")[:10])}</span>',
                html.escape(", ".join(str(row.dimension) for row in members)),
                html.escape(error)
                + (
                    f'<details class="wb-small"><summary class="wb-muted">raw reply</summary><pre style="white-space:pre-wrap">{reply}</pre></details>'
                    if raw
                    else ""
                ),
            ]
        )
    with st.expander(f"Failed judgements ({run.totals.failed:,})", icon=":material/error:"):
        st.html(markup.table(["pair", "dimensions", "why"], rows[:SHOWN_FAILURES]))
        if len(rows) > SHOWN_FAILURES:
            st.caption(f"The first {SHOWN_FAILURES} replies are shown.")


def _flagged(run: Run) -> None:
    """Draw the pairs whose texts look as if they speak to the judge, folded; they are looked for when it is opened."""
    if run.status in ("queued", "running") or not run.totals.judgements:
        return
    part = st.expander(
        "Texts that speak to the judge", icon=":material/shield:", key="flagged_part", on_change="rerun"
    )
    if part.open:
        with part:
            probe_panel.draw_flagged(run)
