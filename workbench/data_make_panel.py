"""The Make one section of the Data page: a recipe, what it would take, one start, and the job that makes it."""

from __future__ import annotations

import html
import secrets

import streamlit as st

from workbench import dataset_view, datasets, job_cards, jobs, markup, widgets
from workbench.dataset import DatasetRecipe
from workbench.datasets import DatasetPlan
from workbench.errors import WorkbenchError

BLANK = "(a new one)"
EXAMPLE = """\
dataset: my-pool
policy: {policy}
pool:
  kind: products                # each query with its nearest documents and others at random
  queries: {{golden: {golden}}}   # its dev queries; or {{file: queries.csv}}
  documents: {{file: documents.csv}}
  near: 60
  random: 30
judge: {{kind: baseline}}
size: 10000
choose: coverage
"""


def draw() -> None:
    """Draw the recipe, its plan, the start; then what is under way and what ended before its end."""
    left, right = st.columns([3, 2], gap="large")
    with left:
        recipe = recipe_text()
    with right:
        st.html('<div class="wb-eyebrow">what it would take</div>')
        if recipe is None:
            st.caption("Appears once the recipe can be read.")
        else:
            planning(recipe)
    following()


def recipe_text() -> DatasetRecipe | None:
    """Draw the choice of a file and its text, which can be changed for this once; None while it cannot be read."""
    space = widgets.workspace()
    files = [path.stem for path in dataset_view.recipe_files(space)]
    name = widgets.pick(
        st.selectbox, "Start from", [BLANK, *files], key="recipe", default=files[0] if files else BLANK
    )
    folder = dataset_view.recipe_folder(space)
    key = f"recipe_text_{name}"
    try:
        st.session_state.setdefault(
            key, example() if name == BLANK else dataset_view.recipe_text(space, name)
        )
    except WorkbenchError as error:
        st.error(markup.problem(error), icon=":material/error:")
        return None
    with st.container(key="live_yaml"):
        st.text_area("Recipe (YAML)", key=key, height=360)
    recipe = None
    try:
        recipe = dataset_view.read_typed(st.session_state[key])
    except WorkbenchError as error:
        st.error(markup.problem(error), icon=":material/error:")
    st.caption(
        f"Recipes are the files of `{folder}`; file names in one are relative to that folder. What is changed here "
        "counts for this data set only."
    )
    return recipe


def example() -> str:
    """Return a recipe to begin with, over what this workspace has."""
    store = widgets.workspace().store
    policies, goldens = store.policy_names(), store.golden_names()
    return EXAMPLE.format(
        policy=policies[0] if policies else "my-policy", golden=goldens[0] if goldens else "my-golden-set"
    )


def planning(recipe: DatasetRecipe) -> None:
    """Draw the button that plans, the plan of this very recipe, and the way to start it."""
    mark = dataset_view.recipe_mark(recipe)
    st.button(
        "Work it out",
        key="plan_button",
        icon=":material/calculate:",
        on_click=ask_plan,
        args=(mark,),
        help="Reads the pool, drops what leaks or repeats, and estimates calls and cost. Nothing is sent.",
    )
    asked = st.session_state.get("planned", "")
    if asked.partition("|")[0] != mark:
        st.caption("Nothing is sent. A pool of nearest documents takes as long as finding the neighbours.")
        return
    try:
        plan = planned(asked, recipe.model_dump_json())
    except WorkbenchError as error:
        st.error(markup.problem(error), icon=":material/error:")
        return
    draw_plan(plan)
    start_button(recipe, plan)


def ask_plan(mark: str) -> None:
    """Have the page plan this recipe when it is drawn next; a new press reads everything again."""
    st.session_state["planned"] = f"{mark}|{secrets.token_hex(4)}"


@st.cache_data(max_entries=8, show_spinner="Reading the pool and estimating")
def planned(asked: str, recipe: str) -> DatasetPlan:
    """Return the plan that one press of the button asked for."""
    space = widgets.workspace()
    return datasets.plan_dataset(
        space, DatasetRecipe.model_validate_json(recipe), dataset_view.recipe_folder(space)
    )


def draw_plan(plan: DatasetPlan) -> None:
    """Draw what making the data set would take."""
    about = "about " if plan.estimated else ""
    lines = {
        "pairs to be written" if plan.writing else "pairs in the pool": f"{plan.found:,}",
        "to grade": f"{'at most ' if plan.writing else ''}{plan.pool:,} with {plan.judge}",
        "probes mixed in": f"{plan.probes:,}",
        "rows": f"at most {plan.rows:,}{', simulated' if plan.simulated else ''}",
    }
    if plan.calls or plan.known:
        lines |= {
            "judge's calls": f"{about}{plan.calls:,} ({plan.known:,} answers known)",
            "tokens": f"about {markup.roughly(plan.input_tokens)} sent, {markup.roughly(plan.output_tokens)} answered",
            "judge's cost": cost(plan.cost_usd, plan.cost_unknown),
        }
    elif not plan.writing:
        lines["cost"] = "none: nothing is sent"
    if (bill := plan.writing) is not None:
        lines |= {
            "calls to write": f"at most {bill.calls:,}",
            "tokens to write": f"about {markup.roughly(bill.input_tokens)} sent, {markup.roughly(bill.output_tokens)} answered",
            "cost of writing": cost(bill.cost_usd, bill.cost_unknown),
        }
    if (short := plan.summaries) is not None:
        lines |= {
            "texts to summarise": f"at most {short.texts:,} with {short.model}, {short.calls:,} calls",
            "tokens to summarise": f"about {markup.roughly(short.input_tokens)} sent, "
            f"{markup.roughly(short.output_tokens)} answered",
            "cost of summaries": cost(short.cost_usd, short.cost_unknown),
        }
    for one in plan.checked:
        lines[f"holdout of {one.golden}"] = f"{markup.several(one.holdout_pairs, 'pair')} kept out"
    st.html(markup.facts("plan", lines))
    if plan.dropped:
        st.html(markup.facts("left out", {reason: f"{count:,}" for reason, count in plan.dropped.items()}))
    if plan.cells:
        rows = [[html.escape(one.cell.name), f"{one.wanted:,}", f"{one.have:,}"] for one in plan.cells]
        st.html(markup.table(["cell asked for", "wanted", "labelled by people"], rows, numeric=[1, 2]))
    for note in plan.notes:
        st.caption(markup.plain(note))


def cost(usd: float | None, unknown: str) -> str:
    """Return an estimated cost; what is not known is said with its reason."""
    return markup.money(usd) if usd is not None else f"unknown: {unknown}"


def missing_keys(plan: DatasetPlan) -> list[str]:
    """Return the environment variables that the plan needs and that are not set."""
    others = [
        plan.writing.key_missing if plan.writing else "",
        plan.summaries.key_missing if plan.summaries else "",
    ]
    return [name for name in dict.fromkeys((*plan.keys_missing, *others)) if name]


def start_button(recipe: DatasetRecipe, plan: DatasetPlan) -> None:
    """Draw Start. Its key is made with the form, so that a double click starts one job."""
    missing = missing_keys(plan)
    key = st.session_state.setdefault("_data_key", secrets.token_hex(6))
    with st.form("start_dataset", border=False):
        st.form_submit_button(
            f"Make {recipe.dataset}",
            type="primary",
            icon=":material/play_arrow:",
            key=f"start_{key}",
            disabled=bool(missing),
            on_click=start,
            args=(key, recipe),
        )
    if missing:
        st.caption(f"{', '.join(missing)} is not set in the environment of the server: a model needs it.")


def start(key: str, recipe: DatasetRecipe) -> None:
    """Start the job once for this form, and have the page follow it."""
    space = widgets.workspace()
    job_id = widgets.attempt(
        datasets.start_dataset,
        space,
        recipe,
        dataset_view.recipe_folder(space),
        author=widgets.who(),
        key=key,
    )
    if job_id is not None:
        st.session_state["_data_key"] = secrets.token_hex(6)
        st.session_state.pop("planned", None)
        st.query_params["job"] = job_id
        widgets.say("success", f"Started {markup.plain(recipe.dataset)}.")


def following() -> None:
    """Draw data set jobs: those under way, the one that was started here, and those that can be resumed."""
    space = widgets.workspace()
    if job_cards.under_way("dataset"):
        st.caption("Closing this page changes nothing in a job.")
    job_id = st.query_params.get("job", "")
    if job_id and jobs.exists(space, job_id) and (made := dataset_view.made_dataset_id(space, job_id)):
        st.success(f"Made **{markup.plain(made)}**.", icon=":material/check_circle:")
        st.button("Open it", key="open_made", icon=":material/table_view:", on_click=open_made, args=(made,))
    ended = dataset_view.unfinished(space)
    if ended:
        st.html('<div class="wb-eyebrow">ended before they were made</div>')
    for job, state in ended:
        with st.container(border=True, key=f"ended_{job.spec.id}"):
            with st.container(
                horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
            ):
                st.html(
                    f'<b>{html.escape(job.spec.title)}</b> <span class="wb-tag">{html.escape(state.status)}</span> '
                    f'<span class="wb-muted wb-small">{job_cards.ago(job.spec.created_at)}</span>'
                )
                job_cards.resume_button(job, state, "Goes on with the pairs that have no grade yet.")
            if state.error:
                st.caption(markup.plain(state.error))


def open_made(name: str) -> None:
    """Show the data set that was made."""
    st.query_params.pop("job", None)
    st.query_params["dataset"] = name
    st.session_state["tab"] = "Data sets"
