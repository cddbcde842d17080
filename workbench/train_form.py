"""The form that launches a training: a recipe's fields, what it would learn from, Launch."""

from __future__ import annotations

import html
import math
import secrets
from typing import Any

import streamlit as st

from workbench import markup, training_runs, widgets
from workbench.errors import WorkbenchError
from workbench.recipe import StudentRecipe, TeacherRecipe
from workbench.recipe_form import GROUPS, RecipeField, recipe_fields
from workbench.training_runs import TrainingPlan

COLUMNS = {"Data": 1, "Schedule": 2, "Model": 2}
"""Columns that each group's fields take."""
OPTIONAL = {"schedule.max_steps": "no limit", "layers": "all"}


def launch_form() -> None:
    """Draw the choice of a recipe, its fields, what it would learn from, and Launch."""
    space = widgets.workspace()
    names = list(space.recipes())
    if not names:
        widgets.empty(
            "No recipes yet.",
            "A recipe is a YAML file under `students/` or `teachers/`, called as the recipe in it.",
        )
        return
    left, right = st.columns([2, 5], gap="large")
    with left:
        name = widgets.pick(st.selectbox, "Recipe", names, key="recipe", default="ranker-mini")
    try:
        recipe = space.recipe(name)
        with right:
            st.html(
                f'<div class="wb-small" style="margin-top:26px"><span class="wb-tag">{recipe.kind}</span> '
                f"{html.escape(recipe.description)} "
                f'<span class="wb-muted">Backbone: {html.escape(recipe.backbone)}.</span></div>'
            )
        edited = training_runs.with_changes(recipe, fields(recipe))
        missing = training_runs.missing_parts(edited)
        plan = training_runs.plan(space, edited)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    draw_changes(recipe, edited)
    draw_plan(plan, edited)
    if missing:
        st.error(markup.plain(missing))
    elif plan.problem:
        st.error(markup.plain(plan.problem))
    launch_button(edited, disabled=bool(missing or plan.problem))


def fields(recipe: StudentRecipe | TeacherRecipe) -> dict[str, Any]:
    """Draw every simple field of a recipe, in groups, and return dotted name -> value as the form says it."""
    found = recipe_fields(recipe)
    values: dict[str, Any] = {}
    for column, group in zip(st.columns([3, 5, 5], gap="large"), GROUPS, strict=True):
        with column:
            st.html(f'<div class="wb-eyebrow">{group}</div>')
            places = st.columns(COLUMNS[group])
            mine = [
                field
                for field in found
                if field.group == group and (field.kind == "part" or values.get(field.part, True) is not None)
            ]
            for i, field in enumerate(mine):
                if values.get(field.part, True) is None:
                    continue
                with places[i % len(places)]:
                    values[field.name] = draw_field(field, recipe.recipe)
    return values


def draw_field(field: RecipeField, recipe: str) -> Any:
    """Draw one field and return its value."""
    options: dict[str, Any] = {"key": f"set_{recipe}_{field.name}", "help": field.help}
    if field.kind == "part":
        inside = st.toggle(field.label, field.value is not None, **options)
        return (field.value or field.default) if inside else None
    if field.kind == "switch":
        return st.toggle(field.label, field.value, **options)
    if field.kind == "choice":
        return st.selectbox(field.label, field.choices, field.choices.index(field.value), **options)
    if field.optional:
        options["placeholder"] = OPTIONAL.get(field.name, "none")
    if field.kind == "whole":
        low, high = (None if bound is None else int(bound) for bound in (field.low, field.high))
        return st.number_input(field.label, low, high, field.value, 1, **options)
    value = None if field.value is None else float(field.value)
    return st.number_input(field.label, field.low, field.high, value, step_of(value), format="%g", **options)


def step_of(value: float | None) -> float:
    """Return a step that changes a number in its first digit: 0.0001 for 0.0004."""
    return float(f"1e{math.floor(math.log10(value))}") if value else 0.1


def draw_changes(recipe: StudentRecipe | TeacherRecipe, edited: StudentRecipe | TeacherRecipe) -> None:
    """Say which fields differ from the recipe's file."""
    found = training_runs.changed(recipe, edited)
    if found:
        said = ", ".join(f"`{name}` {show(old)} → {show(new)}" for name, (old, new) in found.items())
        st.caption(f"Changed for this training only: {said}")


def show(value: Any) -> str:
    """Return a value as a caption shows it."""
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def draw_plan(plan: TrainingPlan, recipe: StudentRecipe | TeacherRecipe) -> None:
    """Draw what the training would learn from."""
    if plan.soft_run is not None:
        soft = f"{html.escape(plan.soft_run.label)}, {plan.soft_pairs:,} pairs"
        older = plan.soft_run.policy_version != plan.policy.version
        soft += f'<div class="wb-muted wb-small">{html.escape(plan.soft_run.id)}'
        soft += " (not under the version that is trained for)</div>" if older else "</div>"
    else:
        soft = "none: the recipe asks for none" if recipe.data.soft_labels is None else "none found"
    labels = (
        f"{plan.labelled_pairs:,} of {plan.dev_pairs:,} dev pairs"
        if recipe.data.golden_weight
        else "left out"
    )
    st.html(
        markup.table(
            ["policy", "golden set", "golden labels", "soft labels", "to learn / to validate", "steps"],
            [
                [
                    html.escape(plan.policy.label),
                    html.escape(plan.golden),
                    labels,
                    soft,
                    f"{plan.train_pairs:,} / {plan.validation_pairs:,} pairs",
                    f"{plan.steps:,}",
                ]
            ],
        )
    )


def launch_button(recipe: StudentRecipe | TeacherRecipe, *, disabled: bool) -> None:
    """Draw Launch. Its key is made with the form, so that a double click launches one training."""
    key = st.session_state.setdefault("_train_key", secrets.token_hex(6))
    with st.form("launch", border=False):
        st.form_submit_button(
            "Launch",
            type="primary",
            icon=":material/play_arrow:",
            key=f"launch_{key}",
            disabled=disabled,
            on_click=launch,
            args=(key, recipe),
        )


def launch(key: str, recipe: StudentRecipe | TeacherRecipe) -> None:
    """Start the training that the form describes, and open it."""
    started = widgets.attempt(
        training_runs.start_training, widgets.workspace(), recipe, author=widgets.who(), key=key
    )
    if started is not None:
        st.session_state["_train_key"] = secrets.token_hex(6)
        st.query_params["job"] = started.job_id
        widgets.say("success", f"Launched {markup.plain(recipe.recipe)}.")
