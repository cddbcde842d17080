"""Train: a recipe becomes a form, the form a job, the job a checkpoint that has graded the golden set."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from workbench import job_cards, jobs, markup, train_form, train_sweeps, train_watch, training_runs, widgets
from workbench.run import Run
from workbench.store import StoredCheckpoint, StoredJob

LOW = 215  # pixels of a table that shows five rows and scrolls


def page() -> None:
    """Draw the page from top to bottom."""
    widgets.header(
        "Train", "A recipe says how a small model learns to grade like a judge and like the labelers."
    )
    widgets.flash()
    space = widgets.workspace()
    found = space.store.jobs("training")
    watching = any(name in st.query_params for name in ("job", "sweep"))
    expanded = "clone" in st.query_params or not watching
    with st.expander("Start a training", expanded=expanded, icon=":material/play_circle:"):
        train_form.launch_form()
    train_sweeps.draw()
    st.subheader(f"Trainings ({len(found)})" if found else "Trainings")
    if not found:
        widgets.empty(
            "Nothing was trained yet.", "Choose a recipe above and launch it; the page then follows it."
        )
        return
    # With one open, a long table would push it out of sight.
    height = LOW if "job" in st.query_params and len(found) > 5 else "auto"
    job_id = widgets.open_row(
        job_table(found), [job.spec.id for job in found], "job",
        column_config={
            "when": st.column_config.DatetimeColumn("when (UTC)", format="D MMM HH:mm"),
            "error": st.column_config.TextColumn(width="medium"),
        },
        height=height,
    )  # fmt: skip
    if job_id is None:
        st.caption("Select a row to open a training: its curves, its log, what it made.")
        job_cards.under_way("training")
        return
    job = next(job for job in found if job.spec.id == job_id)
    if job.final is None:
        train_watch.draw(job_id, runs=True)
    else:
        train_watch.draw(job_id, runs=False)
        outcome(job)


def job_table(found: list[StoredJob]) -> pd.DataFrame:
    """Return the training jobs as the table shows them."""
    space = widgets.workspace()
    states = [jobs.state(space, job) for job in found]
    made = [training_runs.made(space, job) for job in found]
    table = pd.DataFrame(
        {
            "training": [job.spec.title for job in found],
            "status": [job_cards.status_name(now.status) for now in states],
            "checkpoint": [checkpoint.id if checkpoint else "–" for checkpoint in made],
            "error": [now.error for now in states],
            "who": [job.spec.author for job in found],
            "when": [job.spec.created_at for job in found],
        }
    )
    return table if table["error"].any() else table.drop(columns="error")


def run_of(job: StoredJob) -> Run:
    """Return the run in which the checkpoint of a training grades the golden set."""
    return widgets.workspace().store.run(job.spec.payload["run_id"])


def outcome(job: StoredJob) -> None:
    """Draw what the training made, what that descends from, and where to look next."""
    checkpoint = training_runs.made(widgets.workspace(), job)
    if checkpoint is None:
        return
    run = run_of(job)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        tags = ["stopped early"] if checkpoint.record.get("stopped") else []
        widgets.section(f"Checkpoint {checkpoint.id}", tags)
        if run.status == "finished":
            st.page_link(
                "workbench/pages/compare.py", label="Compare with its run", icon=":material/compare_arrows:",
                query_params={"golden": run.golden, "run": run.id},
            )  # fmt: skip
    st.info(
        "It was trained on dev labels, so agreement on dev flatters it: judge it on the holdout.",
        icon=":material/info:",
    )
    left, right = st.columns(2, gap="large")
    left.html(markup.facts("lineage", lineage(checkpoint)))
    right.html(markup.facts("figures", figures(checkpoint)))


def lineage(checkpoint: StoredCheckpoint) -> dict[str, str]:
    """Return what a checkpoint descends from."""
    record, origin = checkpoint.record, checkpoint.record["lineage"]
    return {
        "policy": f"{record['policy']} v{record['policy_version']} ({record['policy_hash'][-8:]})",
        "golden set": f"{origin['golden']} ({origin['golden_hash'][-8:]})" if origin["golden"] else "unknown",
        "soft labels": origin["soft_run"] or "none",
        "recipe": f"{checkpoint.name} ({record['recipe_hash'][-8:]})",
        "code": origin["code_revision"] or "unknown",
        "weights": checkpoint.folder.partition(f"{widgets.workspace().settings.home}/")[2]
        or checkpoint.folder,
    }


def figures(checkpoint: StoredCheckpoint) -> dict[str, str]:
    """Return the figures that a training left; κ is shown as a curve already."""
    shown = {
        name: value
        for name, value in checkpoint.record["figures"].items()
        if value is not None and not name.endswith((".kappa", ".exact"))
    }
    return {
        name.replace("_", " "): f"{value:,.3f}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
        for name, value in shown.items()
    }


page()
