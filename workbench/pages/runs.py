"""Runs: start a judge, follow it, open what it did."""

from __future__ import annotations

import html
from itertools import groupby

import pandas as pd
import streamlit as st

from workbench import evaluation, job_cards, jobs, markup, run_form, widgets
from workbench.run import Run

COLUMNS = {
    "when": st.column_config.DatetimeColumn("when (UTC)", format="D MMM HH:mm"),
    "pairs": st.column_config.NumberColumn(width="small"),
    "failed": st.column_config.NumberColumn(width="small", help="judgements without an answer"),
    "cost": st.column_config.TextColumn(help="– : nothing is paid; unknown: the model has no known price"),
}
SHOWN_FAILURES = 60
SHOWN_REPLY = 2_000


def page() -> None:
    """Draw the page from top to bottom."""
    widgets.header("Runs", "One run is one judge grading one golden set under one policy version.")
    widgets.flash()
    space = widgets.workspace()
    if not widgets.has_policy() or not widgets.has_golden():
        return
    runs = space.store.runs()
    opened = st.query_params.get("run")
    with st.expander("Start a run", expanded=not opened, icon=":material/play_circle:"):
        run_form.start_form()
    if job_cards.under_way():
        st.caption("Closing this page changes nothing: jobs run by themselves.")
    st.subheader(f"All runs ({len(runs)})" if runs else "All runs")
    if not runs:
        widgets.empty("No runs yet.", "Start the baseline above: it needs no key and takes about a minute.")
        return
    run_id = widgets.open_row(
        run_table(runs),
        [run.id for run in runs],
        "run",
        column_config=COLUMNS,
    )
    if run_id is None:
        st.caption("Select a row to open the run: its agreement, failed judgements, log.")
    else:
        open_run(next(run for run in runs if run.id == run_id))


def run_table(runs: list[Run]) -> pd.DataFrame:
    """Return the runs as the table shows them."""
    return pd.DataFrame(
        {
            "judge": [run.judge.name for run in runs],
            "policy": [f"{run.policy} v{run.policy_version}" for run in runs],
            "golden set": [f"{run.golden} v{run.golden_version}" for run in runs],
            "status": [job_cards.status_name(run.status) for run in runs],
            "pairs": [run.totals.pairs for run in runs],
            "failed": [run.totals.failed for run in runs],
            "calls / cached": [calls(run) for run in runs],
            "tokens in / out": [tokens(run) for run in runs],
            "cost": [cost(run) for run in runs],
            "time": [job_cards.duration(run.totals.seconds) if run.totals.seconds else "–" for run in runs],
            "who": [run.author for run in runs],
            "when": [run.created_at for run in runs],
        }
    )


def calls(run: Run) -> str:
    """Return calls and cache hits; a judge that calls nobody has none."""
    return f"{run.totals.calls:,} / {run.totals.cache_hits:,}" if run.judge.kind == "llm" else "–"


def tokens(run: Run) -> str:
    """Return tokens sent and answered, in thousands."""
    used = run.totals
    if run.judge.kind != "llm" or not used.calls:
        return "–"
    return f"{used.input_tokens / 1000:,.0f}k / {used.output_tokens / 1000:,.0f}k"


def cost(run: Run) -> str:
    """Return what a run cost; a judge of our own has no price."""
    if run.judge.kind in ("baseline", "checkpoint") or not run.totals.judgements:
        return "–"
    return markup.money(run.totals.cost_usd)


def open_run(run: Run) -> None:
    """Draw one run: how it ended, how it agrees with people, what failed, what can be done."""
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
                job_cards.resume_button(
                    job,
                    jobs.state(widgets.workspace(), job),
                    "Goes on where it was; answers it has are not asked for again.",
                )
    if run.error:
        st.error(markup.plain(run.error))
    left, right = st.columns([3, 7], gap="large")
    with left:
        identity(run, job.spec.id if job else "")
    with right:
        agreement(run)
    failures(run)
    if job is not None:
        job_cards.log(job)


def identity(run: Run, job_id: str) -> None:
    """Draw what exactly ran."""
    made = "imported: judged elsewhere" if run.judge.kind == "recorded" else job_id
    lines = {
        "judge": f"{run.judge.kind}: {run.judge.name}",
        **{name: shown(value) for name, value in run.judge.params.items() if value not in (None, "", {})},
        "policy": f"{run.policy} v{run.policy_version} ({run.policy_hash[-8:]})",
        "golden set": f"{run.golden} v{run.golden_version} ({run.golden_hash[-8:]})",
        "code": run.code_revision or "–",
        "run": run.id,
        "job": made or "–",
    }
    st.html(markup.facts("identity", lines))


def shown(value: object) -> str:
    """Return a parameter of a judge for reading: hashes by their end, several values side by side."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    text = str(value)
    return text[-8:] if len(text) > 32 and text[-32:].isalnum() else text


def agreement(run: Run) -> None:
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


def failures(run: Run) -> None:
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
                html.escape(", ".join(row.dimension for row in members)),
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


page()
