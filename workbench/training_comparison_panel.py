"""Trainings side by side: curves laid over each other, what came out, and where their recipes differ."""

from __future__ import annotations

import html
import json
from typing import Any

import streamlit as st

from workbench import markup, model_charts, widgets
from workbench.store import StoredJob
from workbench.training_comparison import Comparison, compare_trainings, training_names

MOST = 8
"""Trainings that are still told apart by colour."""
_NO_BAR = {"displayModeBar": False}


def draw(policy: str) -> None:
    """Draw the choice of trainings, bound to the URL, and the comparison."""
    found = [job for job in widgets.workspace().store.jobs("training") if policy_of(job) == policy]
    if not found:
        widgets.empty(
            f"No training under {policy} yet.",
            "Start one on the Train page, or run `workbench sweep RECIPE`.",
        )
        return
    chosen = choose(found)
    if len(chosen) < 2:
        widgets.empty("Choose two or more trainings.", "Their curves are then laid over each other.")
        return
    shown = compare_trainings(widgets.workspace(), chosen)
    charts(shown)
    st.html(differences(shown))
    st.caption(
        "Fields that are the same in all of them are left out. Figures are of the newest evaluation on the validation "
        "queries that each training kept aside; they are comparable where seed and data are the same."
    )


def policy_of(job: StoredJob) -> str:
    """Return the policy that a training's recipe names."""
    training = job.spec.payload.get("training") or {}
    return str((training.get("recipe") or {}).get("policy", ""))


def choose(found: list[StoredJob]) -> list[str]:
    """Draw the choice and return the ids of the chosen jobs; the URL keeps them."""
    every = training_names(widgets.workspace().store.jobs("training"))
    names = {job.spec.id: every[job.spec.id] for job in found}
    if "compared" not in st.session_state:
        wanted = st.query_params.get("trainings", "").split(",")
        first = [job.spec.id for job in found if job.final is not None and job.final.status == "finished"][:2]
        st.session_state["compared"] = [one for one in wanted if one in names] or first
    chosen = st.multiselect(
        "Trainings", list(names), format_func=names.__getitem__, key="compared", max_selections=MOST,
        placeholder="Choose trainings",
    )  # fmt: skip
    if chosen:
        st.query_params["trainings"] = ",".join(chosen)
    else:
        st.query_params.pop("trainings", None)
    return chosen


def charts(shown: Comparison) -> None:
    """Draw the loss of each step, and a figure of the evaluations that can be chosen."""
    left, right = st.columns(2, gap="large", vertical_alignment="bottom")
    steps = sorted(
        {name for one in shown.trainings for name in one.watched.curves}, key=lambda n: (n != "loss", n)
    )
    with left:
        if steps:
            name = widgets.pick(
                st.selectbox, "By step", steps, key="by_step", format_func=model_charts.figure_title
            )
            st.plotly_chart(
                model_charts.overlaid(shown, name, evaluated=False), key="by_step_chart", config=_NO_BAR
            )
        else:
            st.caption("None of them has made a step yet.")
    with right:
        if shown.outcomes:
            names = sorted(shown.outcomes, key=lambda n: (n != "eval_loss", n))
            name = widgets.pick(
                st.selectbox, "By evaluation", names, key="by_eval", format_func=model_charts.figure_title
            )
            st.plotly_chart(
                model_charts.overlaid(shown, name, evaluated=True), key="by_eval_chart", config=_NO_BAR
            )
        else:
            st.caption("None of them was evaluated on validation queries yet.")


def differences(shown: Comparison) -> str:
    """Return the table: state, differing fields, figures; one column a training."""
    heads = ["", *(html.escape(one.name) for one in shown.trainings)]
    rows = [
        ["status", *(one.watched.state.status for one in shown.trainings)],
        ["checkpoint", *(html.escape(one.checkpoint or "–") for one in shown.trainings)],
    ]
    if len({one.recipe for one in shown.trainings}) > 1:
        rows.append(["recipe", *(html.escape(one.recipe) for one in shown.trainings)])
    rows += [
        [f"<code>{html.escape(name)}</code>", *map(_cell, values)] for name, values in shown.differ.items()
    ]
    if not shown.differ:
        rows.append(
            ['<span class="wb-muted">Their recipes are the same.</span>', *("" for _ in shown.trainings)]
        )
    rows += [
        [html.escape(model_charts.figure_title(name)), *(markup.number(value, 3) for value in values)]
        for name, values in shown.outcomes.items()
    ]
    return markup.table(heads, rows)


def _cell(value: Any) -> str:
    if value is None:
        return '<span class="wb-muted">null</span>'
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f'<span style="overflow-wrap:anywhere">{html.escape(text)}</span>'
