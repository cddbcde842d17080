"""The form that asks a model for suggested edits: what would be sent, what it costs and needs, how the asking goes."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import streamlit as st

from workbench import job_cards, jobs, judge_choice, markup, suggestions, widgets
from workbench.errors import BadInput, WorkbenchError
from workbench.run import LlmSpec, Run
from workbench.store import Draft, StoredJob
from workbench.suggestions import SuggestionPlan

MODEL = "openai/gpt-5-mini"
"""Named in the form until another one is; nothing is asked before a person presses the button."""


def ask(draft: Draft, *, busy: bool) -> None:
    """Draw what can be asked of whom, what that would send and cost, and the button."""
    space = widgets.workspace()
    runs = {run.id: run for run in suggestions.usable_runs(space, draft.name)}
    if not runs:
        st.markdown(
            "**No judge has run under this policy yet.** Suggestions rest on pairs where a judge and people disagree: "
            "run a judge on a labelled golden set on the Runs page."
        )
        return
    run = runs[
        widgets.pick(
            st.selectbox, "Disagreements of", list(runs), key="suggest_run",
            format_func=lambda run_id: run_name(runs[run_id]),
        )
    ]  # fmt: skip
    left, right = st.columns(2)
    model = left.text_input(
        "Model", MODEL, key="suggest_model",
        help="Provider and model, as litellm names them; with an address, the name that the server knows.",
    )  # fmt: skip
    most = right.number_input(
        "Disagreements a dimension", 1, suggestions.MOST, suggestions.USUAL, key="suggest_most",
        help="The widest ones, chosen to cover both directions and different clauses. One call a dimension.",
    )  # fmt: skip
    base_url = left.text_input(
        "Address", key="suggest_base_url", placeholder="only for an own server",
        help="Up to and including /v1, such as http://127.0.0.1:8000/v1. Costs there are unknown.",
    )  # fmt: skip
    variable = right.text_input(
        "Key: environment variable", key="suggest_variable",
        placeholder="none: no key is sent" if base_url.strip() else "the provider's own",
        help="Its name, never the key. Keys are read where the job runs and are kept nowhere.",
    )  # fmt: skip
    try:
        spec = model_spec(model, base_url, variable)
        plan = suggestions.plan_suggestions(space, draft, run, spec, most=int(most))
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    draw_plan(draft, plan)
    key = st.session_state.setdefault(f"_suggest_key:{draft.id}", secrets.token_hex(6))
    st.button(
        "Ask for suggestions", type="primary", icon=":material/lightbulb:", key=f"suggest_ask_{key}",
        disabled=busy or not plan.batches or bool(plan.missing_key),
        on_click=start, args=(draft, run, spec, int(most), key),
    )  # fmt: skip
    requirement(plan, spec)
    if busy:
        st.caption("A model is being asked already.")


def form_key(draft: Draft) -> str:
    """Return the key that says whether the form is open."""
    return f"suggest_form:{draft.id}"


def run_name(run: Run) -> str:
    """Return a run as a choice."""
    sample = " · sample" if run.sample else ""
    return f"{run.label} · {run.golden} v{run.golden_version} · {run.created_at:%d %b %H:%M}{sample}"


def model_spec(model: str, base_url: str, variable: str) -> LlmSpec:
    """Return the language model that the form names.

    Raises:
        BadInput: if it names none.
    """
    judge = judge_choice.judge_from_text(
        model.strip(), base_url=base_url.strip() or None, api_key_env=variable.strip() or None
    )
    if not isinstance(judge, LlmSpec):
        raise BadInput(
            f"'{model.strip()}' writes no suggestions.", f"Name a language model, such as {MODEL}."
        )
    return judge


def draw_plan(draft: Draft, plan: SuggestionPlan) -> None:
    """Draw what would be sent and what that costs."""
    names = markup.titles(draft.body)
    each = ", ".join(f"{names.get(key, key)} {count:,}" for key, count in plan.found.items())
    lines = {"disagreements on dev": f"{sum(plan.found.values()):,}" + (f" ({each})" if each else "")}
    if plan.batches:
        calls = markup.several(plan.calls, "call")
        lines["shown to the model"] = f"{plan.disagreements} in {calls}, one a dimension"
        lines["input in all"] = f"about {markup.roughly(plan.input_tokens)} tokens"
        lines["cost"] = "unknown" if plan.cost_usd is None else f"about {markup.money(plan.cost_usd)}"
    st.html(markup.facts("what it will take", lines))
    if not plan.batches:
        st.caption("There is nothing to ask about in dimensions that this draft still has on the same scale.")
    else:
        st.caption(
            "Sent: the draft as a judge reads it, and these pairs with labels, notes and the judge's reasons. No names "
            "of labelers, and no pair of the holdout."
        )


def requirement(plan: SuggestionPlan, model: LlmSpec) -> None:
    """Say what asking still needs; the key itself is never read here."""
    if plan.missing_key:
        st.warning(
            f"Asking {markup.plain(model.model)} needs its key in the environment variable `{plan.missing_key}`, which is "
            "not set where this app runs. Set it and start the app again, name another variable, or give the address "
            "of a server of your own that needs none.",
            icon=":material/key_off:",
        )
    elif plan.key_variable and not plan.key_set:
        st.warning(
            f"`{plan.key_variable}` is not set. The job fails unless the provider finds its key elsewhere.",
            icon=":material/key_off:",
        )


def start(draft: Draft, run: Run, model: LlmSpec, most: int, key: str) -> None:
    """Start asking (a callback)."""
    done = widgets.attempt(
        suggestions.start_suggestions, widgets.workspace(), draft, run, model, most=most,
        author=widgets.who(), key=key,
    )  # fmt: skip
    if done is not None:
        st.session_state[f"_suggest_key:{draft.id}"] = secrets.token_hex(6)
        st.session_state[form_key(draft)] = False  # folded: the progress is above it


def watch(job_ids: Sequence[str]) -> None:
    """Draw how far the asking is; once it has ended, the page is drawn with what it brought."""
    space = widgets.workspace()
    jobs.collect(space)
    for job in map(space.store.job, job_ids):
        if job.final is not None:
            st.rerun()
        now = jobs.state(space, job)
        left, right = st.columns([4, 1.3], vertical_alignment="center")
        part = f"{now.done} of {now.total} dimensions" if now.total else "waiting for the worker"
        left.progress(
            now.done / now.total if now.total else 0.0,
            text=markup.plain(f"Asking {job.spec.payload['model']['model']}: {part}"),
        )
        with right:
            job_cards.end_buttons(job)


def last_answer(job: StoredJob) -> None:
    """Say how the newest asking ended."""
    space, final = widgets.workspace(), job.final
    if final is None:
        return
    model = markup.plain(job.spec.payload["model"]["model"])
    if final.status != "finished":
        st.warning(f"Asking {model} ended as {final.status}. {markup.plain(final.error)}")
        job_cards.resume_button(job, final, "Asks for the dimensions that have no answer yet.")
        return
    result = jobs.folder_of(space, job.spec.id).result()
    if result is None:
        return
    usage = result.data["usage"]
    proposed = markup.several(result.data["suggestions"], "edit")
    tokens = f"{usage['input_tokens'] + usage['output_tokens']:,} tokens"
    st.caption(
        f"{model} proposed {proposed}, {job_cards.ago(result.finished_at)}: {tokens}, cost "
        f"{markup.plain(markup.money(usage['cost_usd']))}."
    )
    for key, reason in result.data["failed"].items():
        st.warning(f"**{markup.plain(key)}** has no usable answer: {markup.plain(reason)}")
