"""Sweeps on the Train page: which fields are varied, how many trainings that is, and what came of them."""

from __future__ import annotations

import secrets
from typing import Any

import pandas as pd
import streamlit as st

from workbench import job_cards, jobs, markup, sweeps, training_runs, widgets
from workbench.errors import WorkbenchError
from workbench.recipe import StudentRecipe, TeacherRecipe
from workbench.recipe_form import recipe_fields
from workbench.yamltext import YamlText

FIELDS = 2
"""Fields that the form varies at once; the command line takes more."""


def sweep_form(recipe: StudentRecipe | TeacherRecipe) -> None:
    """Draw the choice of up to two fields with their values, how many trainings they make, and Launch."""
    space = widgets.workspace()
    named = {field.name: field for field in recipe_fields(recipe) if field.kind != "part"}
    varied: dict[str, str] = {}
    for i in range(FIELDS):
        left, right = st.columns([2, 3], gap="medium")
        name = left.selectbox(
            "Field" if i == 0 else "Second field", [n for n in named if n not in varied], None,
            key=f"sweep_field_{i}", placeholder="choose a field" if i == 0 else "none",
        )  # fmt: skip
        said = "" if name is None else named[name].help
        text = right.text_input(
            "Values, with commas", key=f"sweep_values_{i}", disabled=name is None, help=said or None,
            placeholder="such as 0, 0.5, 1" if name is None else f"now {named[name].value}",
        )  # fmt: skip
        if name is not None:
            varied[name] = text
    if not varied:
        st.caption("Choose a field and its values: one training is started for each combination.")
        return
    try:
        grid = {name: YamlText(f"[{text}]", f"the values of {name}").data for name, text in varied.items()}
        recipes = sweeps.expand(recipe, grid)
        # Of the first one only: all of them are looked at again before any is started.
        problem = training_runs.missing_parts(recipes[0]) or training_runs.plan(space, recipes[0]).problem
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    sizes = " × ".join(str(len(values)) for values in grid.values())
    st.markdown(
        f"**{markup.several(len(recipes), 'training')}**" + (f" ({sizes})" if len(grid) > 1 else "") + "; "
        "those that find no free slot wait for it."
    )
    if problem:
        st.error(markup.plain(problem))
    key = st.session_state.setdefault("_sweep_key", secrets.token_hex(6))
    with st.form("launch_sweep", border=False):
        st.form_submit_button(
            f"Launch {markup.several(len(recipes), 'training')}",
            type="primary",
            icon=":material/play_arrow:",
            key=f"launch_sweep_{key}",
            disabled=bool(problem),
            on_click=launch,
            args=(key, recipe, grid),
        )


def launch(key: str, recipe: StudentRecipe | TeacherRecipe, grid: dict[str, list[Any]]) -> None:
    """Start the sweep, and open it."""
    space = widgets.workspace()
    started = widgets.attempt(sweeps.start_sweep, space, recipe, grid, author=widgets.who(), key=key)
    if started is not None:
        st.session_state["_sweep_key"] = secrets.token_hex(6)
        for name in ("clone", "job"):
            st.query_params.pop(name, None)
        st.query_params["sweep"] = started.id
        widgets.say("success", f"Launched {markup.several(len(started.members), 'training')}.")


def draw() -> None:
    """Draw the sweeps that there are, and the one that is open."""
    found = sweeps.sweeps(widgets.workspace())
    if not found:
        return
    st.subheader(f"Sweeps ({len(found)})")
    sweep_id = widgets.open_row(
        pd.DataFrame(
            {
                "recipe": [one.recipe for one in found],
                "varies": [
                    "; ".join(f"{name}: {', '.join(map(str, values))}" for name, values in one.grid.items())
                    for one in found
                ],
                "trainings": [
                    ", ".join(f"{count} {status}" for status, count in one.counts.items()) for one in found
                ],
                "who": [one.author for one in found],
                "when": [one.started_at for one in found],
            }
        ),
        [one.id for one in found], "sweep",
        column_config={"when": st.column_config.DatetimeColumn("when (UTC)", format="D MMM HH:mm")},
    )  # fmt: skip
    if sweep_id is None:
        return
    open_one = next(one for one in found if one.id == sweep_id)
    opened = st.query_params.get("job")
    if {"queued", "running"} & open_one.counts.keys():
        st.fragment(members, run_every=4)(sweep_id, opened)
    else:
        members(sweep_id, opened)


def members(sweep_id: str, opened: str | None) -> None:
    """Draw the trainings of a sweep with their figures; a row opens its training.

    Args:
        sweep_id: which sweep.
        opened: the training that the rest of the page shows; it is drawn again when another one is chosen here.
    """
    space = widgets.workspace()
    if jobs.collect(space):
        st.rerun()
    found = sweeps.sweep(space, sweep_id)
    table = pd.DataFrame(found.table())
    if not table["error"].any():
        table = table.drop(columns="error")
    table["status"] = table["status"].map(job_cards.status_name)
    table = table.rename(columns=short_name)
    numbers = {
        name: st.column_config.NumberColumn(format="%.3f")
        for name in table.select_dtypes("float")
        if name not in found.grid
    }
    widgets.open_row(
        table, [member.job.spec.id for member in found.members], "job", paged=True, column_config=numbers
    )
    if st.query_params.get("job") != opened:
        st.rerun()
    left = [
        member
        for member in found.members
        if member.state.status in ("queued", "running") and jobs.stop_asked(member.job) is None
    ]
    if left:
        st.button(
            f"Stop {markup.several(len(left), 'training')}", icon=":material/stop:", key="stop_sweep",
            on_click=stop, args=(sweep_id,),
            help="Each ends at its next safe point and can be resumed.",
        )  # fmt: skip
    missing = found.size - len(found.members)
    said = f" {missing} of {found.size} were not started." if missing else ""
    st.caption(f"Figures are of the validation queries. Select a row to open that training.{said}")


def stop(sweep_id: str) -> None:
    """Stop what has not ended of a sweep, and say how many trainings that is."""
    asked = widgets.attempt(sweeps.stop, widgets.workspace(), sweep_id, widgets.who())
    if asked is not None:
        widgets.say("success", f"Asked {markup.several(len(asked), 'training')} to stop.")


def short_name(column: str) -> str:
    """Return a figure's name as a narrow column shows it."""
    return (
        f"κ {column.removesuffix('.kappa')}"
        if column.endswith(".kappa")
        else column.replace("eval_loss", "eval loss")
    )
