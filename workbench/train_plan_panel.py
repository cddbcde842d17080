"""What a training would learn from, start from and take, drawn before it is launched."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from workbench import markup, widgets
from workbench.errors import WorkbenchError
from workbench.recipe import StudentRecipe, TeacherRecipe, TrainedRecipe
from workbench.training.plan import Estimate, read_config
from workbench.training_outlook import Origin, Outlook, outlook
from workbench.training_runs import TrainingPlan

UNKNOWN = '<span class="wb-muted">unknown</span>'


def draw(recipe: StudentRecipe | TeacherRecipe) -> str:
    """Draw the plan of a training, and return why it cannot be started; "" where it can."""
    try:
        found = outlook(widgets.workspace(), recipe, read=remembered)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return str(error)
    learns, takes = st.columns([1.25, 1], gap="large")
    with learns:
        st.html(markup.table(["learns from", ""], learning(found.plan, recipe)))
        if found.origins:
            st.html(markup.table(["starts from, and is taught by", "", ""], map(origin, found.origins)))
    with takes:
        st.html(markup.table(["takes", ""], taking(found), numeric=(1,)))
        for note in found.estimate.notes:
            st.caption(markup.plain(note))
    if found.problem:
        st.error(markup.plain(found.problem))
    return found.problem


def remembered(recipe: TrainedRecipe, start: Path | None) -> tuple[Mapping[str, Any] | None, str]:
    """Return the configuration of a backbone; the hub is not asked again for ten minutes."""
    return _config(recipe.backbone, recipe.layers, str(start or ""), recipe)


@st.cache_data(ttl=600, max_entries=100, show_spinner="Reading the backbone's configuration")
def _config(
    backbone: str, layers: int | None, start: str, _recipe: TrainedRecipe
) -> tuple[Mapping[str, Any] | None, str]:
    return read_config(_recipe, Path(start) if start else None)


def learning(plan: TrainingPlan, recipe: TrainedRecipe) -> list[list[str]]:
    """Return what a training would learn from, as rows of a table."""
    labels = f"{plan.labelled_pairs:,} of {plan.dev_pairs:,} dev pairs"
    if not recipe.data.golden_weight:
        labels = "left out"
    if plan.soft_run is not None:
        soft = f"{plan.soft_pairs:,} pairs"
    else:
        soft = "the recipe asks for none" if recipe.data.soft_labels is None else "none found"
    rows = [
        ["policy", html.escape(plan.policy.label)],
        [f"golden labels of {html.escape(plan.golden)}", labels],
        ["soft labels", soft],
    ]
    if recipe.data.dataset is not None:
        rows.append(["data set", f"{plan.dataset_rows:,} rows"])
    if recipe.data.clicks is not None:
        rows.append(["click log", f"{plan.impressions:,} impressions"])
    rows.append(["to learn / to validate", f"{plan.train_pairs:,} / {plan.validation_pairs:,} pairs"])
    return rows


def origin(one: Origin) -> list[str]:
    """Return an origin as a row of a table; a stale one says why on hover."""
    if not one.known:
        mark = '<span class="wb-tag wb-broken">not here</span>'
    elif one.stale:
        mark = f'<span class="wb-tag wb-broken" title="{html.escape(" ".join(one.stale))}">stale</span>'
    else:
        mark = '<span class="wb-tag">fresh</span>'
    about = f'{html.escape(one.name)}<div class="wb-muted wb-small">{html.escape(one.detail)}</div>'
    if one.stale:
        about += f'<div class="wb-small">{html.escape(one.stale[0])}</div>'
    return [one.role, about, mark]


def taking(found: Outlook) -> list[list[str]]:
    """Return what a training would take, as rows of a table; what is unknown says so."""
    what: Estimate = found.estimate
    return [
        ["parameters", _count(what.parameters)],
        ["of these or beside these trained", _count(what.trained)],
        ["memory", _unit(what.memory_gb, "GB")],
        ["steps", _count(what.steps if what.steps is not None else found.plan.steps or None)],
        ["tokens, at most", _count(what.tokens)],
        ["time, at most", _unit(what.hours, "h")],
        ["cost, at most", UNKNOWN if what.cost_usd is None else markup.money(what.cost_usd)],
    ]


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


def _unit(value: float | None, unit: str) -> str:
    return UNKNOWN if value is None else f"{value:,.2g} {unit}" if value < 10 else f"{value:,.0f} {unit}"
