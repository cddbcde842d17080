"""The form that launches a training or a sweep: a recipe's fields, what it would take, Launch."""

from __future__ import annotations

import html
import math
import secrets
from typing import Any

import streamlit as st

from workbench import markup, train_plan_panel, train_sweeps, training_runs, training_watch, widgets
from workbench.click_logs import click_logs
from workbench.datasets import datasets
from workbench.errors import WorkbenchError
from workbench.executors import EXECUTORS
from workbench.recipe import StudentRecipe, TeacherRecipe
from workbench.recipe_form import GROUPS, RecipeField, recipe_fields

COLUMNS = 4
OPTIONAL = {
    "schedule.max_steps": "no limit",
    "layers": "all",
    "schedule.patience": "never",
    "executor": "the workspace's",
}
"""What an empty field means, where that is not "none"."""


def launch_form() -> None:
    """Draw the choice of a recipe, its fields, what it would take, and the ways to launch it."""
    base = chosen()
    if base is None:
        return
    recipe, place = base
    try:
        edited = training_runs.with_changes(recipe, fields(recipe, place))
        differs = training_watch.differs_from_file(widgets.workspace(), edited)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    draw_differences(differs)
    single, several = st.tabs(["One training", "A sweep over fields"], key="train_what", on_change="rerun")
    if several.open:
        with several:
            train_sweeps.sweep_form(edited)
        return
    with single:
        problem = train_plan_panel.draw(edited)
        launch_button(edited, disabled=bool(problem))


def chosen() -> tuple[StudentRecipe | TeacherRecipe, str] | None:
    """Draw the choice of a recipe, or what is cloned; return it, with a name for its fields' keys."""
    space = widgets.workspace()
    if clone := st.query_params.get("clone"):
        try:
            job = space.store.job(clone)
            recipe = training_watch.recipe_of(job)
        except WorkbenchError as error:
            st.error(markup.problem(error))
            st.button("Choose a recipe", on_click=leave_clone)
            return None
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.html(
                f"<b>Clone of {html.escape(job.spec.title)}</b> "
                f'<span class="wb-muted wb-small">{html.escape(clone)}, with its recipe as it was</span>'
            )
            st.button("Choose a recipe instead", icon=":material/close:", on_click=leave_clone)
        return recipe, clone
    names = list(space.recipes())
    if not names:
        widgets.empty(
            "No recipes yet.",
            "A recipe is a YAML file under `students/` or `teachers/`, called as the recipe in it.",
        )
        return None
    left, right = st.columns([2, 5], gap="large")
    with left:
        name = widgets.pick(st.selectbox, "Recipe", names, key="recipe", default="ranker-mini")
    try:
        recipe = space.recipe(name)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return None
    with right:
        st.html(
            f'<div class="wb-small" style="margin-top:26px"><span class="wb-tag">{recipe.kind}</span> '
            f"{html.escape(recipe.description)} "
            f'<span class="wb-muted">For the policy {html.escape(recipe.policy)}.</span></div>'
        )
    return recipe, name


def leave_clone() -> None:
    """Go back to the choice of a recipe."""
    st.query_params.pop("clone", None)


def fields(recipe: StudentRecipe | TeacherRecipe, place: str) -> dict[str, Any]:
    """Draw every simple field of a recipe, a tab a group, and return dotted name -> value as the form says it."""
    found = recipe_fields(recipe)
    choices = names_for_fields()
    values: dict[str, Any] = {}
    for tab, group in zip(st.tabs(list(GROUPS)), GROUPS, strict=True):
        with tab:
            columns = st.columns(COLUMNS, gap="medium")
            drawn = 0
            for field in found:
                # The fields of a part that is left out are not there.
                if field.group != group or values.get(field.part, True) is None:
                    continue
                with columns[drawn % COLUMNS]:
                    values[field.name] = draw_field(field, place, choices)
                drawn += 1
    return values


def names_for_fields() -> dict[str, list[str]]:
    """Return field -> the names that it can take here; another one may be typed."""
    space = widgets.workspace()
    made = [checkpoint.id for checkpoint in space.store.checkpoints()]
    return {
        "data.golden": space.store.golden_names(),
        "data.dataset": [one.card.id for one in datasets(space)],
        "data.clicks": [card.name for card in click_logs(space)],
        "executor": list(EXECUTORS),
        "init_from": made,
    }


def draw_field(field: RecipeField, place: str, choices: dict[str, list[str]]) -> Any:
    """Draw one field and return its value."""
    options: dict[str, Any] = {"key": f"set_{place}_{field.name}", "help": field.help}
    if field.kind == "part":
        inside = st.toggle(field.label, field.value is not None, **options)
        return (field.value or field.default) if inside else None
    if field.kind == "switch":
        return st.toggle(field.label, field.value, **options)
    if field.kind == "choice":
        return st.selectbox(field.label, field.choices, field.choices.index(field.value), **options)
    if field.kind == "several":
        return st.multiselect(field.label, field.choices, field.value, **options)
    if field.optional:
        options["placeholder"] = OPTIONAL.get(field.name, "none")
    if field.kind == "text":
        if field.name not in choices:
            return st.text_input(field.label, field.value, **options) or None
        names = list(dict.fromkeys([*choices[field.name], *([field.value] if field.value else [])]))
        at = names.index(field.value) if field.value else None
        return st.selectbox(field.label, names, at, accept_new_options=True, **options)
    if field.kind == "whole":
        low, high = (None if bound is None else int(bound) for bound in (field.low, field.high))
        return st.number_input(field.label, low, high, field.value, 1, **options)
    value = None if field.value is None else float(field.value)
    return st.number_input(field.label, field.low, field.high, value, step_of(value), format="%g", **options)


def step_of(value: float | None) -> float:
    """Return a step that changes a number in its first digit: 0.0001 for 0.0004."""
    return float(f"1e{math.floor(math.log10(value))}") if value else 0.1


def draw_differences(found: dict[str, tuple[Any, Any]] | None) -> None:
    """Say which fields differ from the recipe's file, which stays as it is."""
    if found is None:
        st.caption("The recipe has no file here any more.")
    elif found:
        said = ", ".join(f"`{name}` {show(old)} → {show(new)}" for name, (old, new) in found.items())
        st.caption(f"Differs from the recipe's file in: {said}")


def show(value: Any) -> str:
    """Return a value as a caption shows it."""
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else markup.plain(str(value))


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
        leave_clone()
        st.query_params["job"] = started.job_id
        widgets.say("success", f"Launched {markup.plain(recipe.recipe)}.")
