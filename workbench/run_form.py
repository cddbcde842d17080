"""The form that starts a judge run: what is chosen, what the run would send, Start."""

from __future__ import annotations

import secrets

import streamlit as st

from workbench import evaluation, markup, widgets
from workbench.errors import WorkbenchError
from workbench.run import BaselineSpec, CheckpointSpec, JudgeSpec, LlmSpec
from workbench.run_plan import RunPlan, run_plan

KINDS = {"baseline": "Baseline", "llm": "Language model", "checkpoint": "Checkpoint"}


def start_form() -> None:
    """Draw the choices of a run, what it would send, and Start."""
    space = widgets.workspace()
    columns = st.columns([2, 3, 2, 4])
    with columns[0]:
        policy = widgets.choose_policy()
    if policy is None:
        return
    versions = {document.version: document for document in space.store.policy_versions(policy)}
    with columns[1]:
        version = widgets.pick(
            st.selectbox,
            "Version",
            sorted(versions, reverse=True),
            format_func=lambda number: markup.version_name(versions[number]),
            key="version",
        )
    sets = [name for name in space.store.golden_names() if space.store.golden(name).policy == policy]
    published = [name for name in sets if space.store.golden(name).snapshots]
    if not published:
        state = "is not published yet" if sets else "does not exist yet"
        widgets.empty(
            f"A golden set for {policy} {state}.",
            "A judge runs on a frozen snapshot: import and publish one on the Golden set page.",
        )
        return
    with columns[2]:
        golden = widgets.pick(st.selectbox, "Golden set", published, key="golden")
    with columns[3]:
        kind = widgets.pick(
            st.segmented_control, "Judge", list(KINDS), format_func=KINDS.__getitem__, key="judge"
        )
    left, right = st.columns([3, 2], gap="large")
    try:
        with left:
            judge = {"baseline": baseline, "llm": language_model, "checkpoint": checkpoint}[kind]()
        if judge is None:
            return
        with right:
            plan = run_plan(space, judge, policy=policy, version=version, golden=golden)
            draw_plan(plan)
    except WorkbenchError as error:
        st.error(markup.problem(error))
        return
    with left:
        start_button(judge, policy, version, golden)


def baseline() -> JudgeSpec:
    """Say what the baseline is."""
    st.markdown(
        "Similarities between the two texts (word overlap and, where installed, MiniLM embeddings), calibrated on the "
        "dev labels. Reads no rule of the policy and needs no key: its agreement is what comes for free."
    )
    return BaselineSpec()


def language_model() -> JudgeSpec | None:
    """Draw where the model is and where its key is; None while no model is named."""
    first, second, third = st.columns(3)
    model = first.text_input(
        "Model",
        key="model",
        bind="query-params",
        placeholder="openai/gpt-5-mini",
        help="Provider and model, as litellm names them; with a base URL, the name that the server knows.",
    )
    base_url = second.text_input(
        "Base URL",
        key="base_url",
        placeholder="only for a server of your own",
        help="Up to and including /v1, such as http://127.0.0.1:8000/v1. Costs there are unknown.",
    )
    variable = third.text_input(
        "Key: environment variable",
        key="key_variable",
        placeholder="the provider's own" if not base_url else "none: no key is sent",
        help="Its name, never the key. Keys are read where the judge runs and are kept nowhere.",
    )
    if not model.strip():
        st.caption("Name a model to see what the run would send.")
        return None
    return evaluation.judge_from_text(
        model.strip(), base_url=base_url.strip() or None, api_key_env=variable.strip() or None
    )


def checkpoint() -> JudgeSpec | None:
    """Draw the choice of a checkpoint; None where there is none."""
    found = {c.id: c for c in widgets.workspace().store.checkpoints()}
    if not found:
        widgets.empty("No checkpoints yet.", "Train a student on the Train page.")
        return None
    chosen = widgets.pick(
        st.selectbox,
        "Checkpoint",
        list(found),
        format_func=lambda name: f"{name} · {found[name].created_at:%d %b %H:%M}",
        key="checkpoint",
    )
    record = found[chosen].record
    st.caption(
        f"Trained for {record['policy']} v{record['policy_version']} on dev labels of {record['lineage']['golden']}."
    )
    return CheckpointSpec(checkpoint=chosen)


def draw_plan(plan: RunPlan) -> None:
    """Draw what the run would send and what that takes, before anything is sent."""
    lines = {"pairs": f"{plan.pairs:,} ({plan.dev_pairs:,} dev, {plan.pairs - plan.dev_pairs:,} holdout)"}
    if plan.sends:
        prompt = f"{plan.prompt_characters:,} characters, about {markup.roughly(plan.prompt_tokens)} tokens"
        lines["policy in the prompt"] = prompt
        lines["input in all"] = f"about {markup.roughly(plan.input_tokens)} tokens, less what is in the cache"
        known = plan.cost_usd is not None
        lines["cost"] = f"about {markup.money(plan.cost_usd)}" if known else "unknown before the run"
    else:
        lines["sends"] = "nothing: it runs on this machine"
    st.html(markup.facts("what it will take", lines))
    if plan.priced_by:
        st.caption(
            f"Cost: at what a call cost in {markup.plain(plan.priced_by.label)}, {plan.priced_by.created_at:%d %b}."
        )
    if plan.sends:
        st.caption("Tokens are estimates, at 4 characters a token.")
    key_state(plan)


def key_state(plan: RunPlan) -> None:
    """Say whether the key is there; its value is never read here."""
    if not plan.sends:
        return
    if not plan.key_variable:
        st.caption("No key is sent to this server.")
    elif plan.key_set:
        st.caption(f":material/check: `{plan.key_variable}` is set.")
    elif plan.key_needed:
        st.warning(
            f"`{plan.key_variable}` is not set where this app runs, so the run will fail. Set it and restart the app."
        )
    else:
        st.warning(
            f"`{plan.key_variable}` is not set. The run fails unless the provider finds its key elsewhere."
        )


def start_button(judge: JudgeSpec, policy: str, version: int, golden: str) -> None:
    """Draw the last settings and Start. Its key is made with the form, so that a double click starts one run."""
    key = st.session_state.setdefault("_run_key", secrets.token_hex(6))
    with st.form("start", border=False):
        if isinstance(judge, LlmSpec):
            settings = st.columns(4)
            with settings[0]:
                st.number_input(
                    "Temperature", 0.0, 2.0, None, 0.1, key="temperature", placeholder="provider's default"
                )
            with settings[1]:
                st.number_input(
                    "Longest answer",
                    1,
                    None,
                    None,
                    100,
                    key="max_tokens",
                    placeholder="no limit",
                    help="max_tokens",
                )
            with settings[2]:
                st.number_input("Calls at once", 1, 512, 16, key="concurrency")
            with settings[3]:
                st.number_input(
                    "Repeat index",
                    0,
                    None,
                    0,
                    key="repeat",
                    help="Another index samples anew instead of reading the cache; repeats show the judge's own noise.",
                )
        st.form_submit_button(
            "Start run",
            type="primary",
            icon=":material/play_arrow:",
            key=f"start_{key}",
            on_click=start,
            args=(key, judge, policy, version, golden),
        )


def start(key: str, judge: JudgeSpec, policy: str, version: int, golden: str) -> None:
    """Start the run that the form describes."""
    if isinstance(judge, LlmSpec):
        chosen = {name: st.session_state[name] for name in ("temperature", "max_tokens")}
        params = {name: value for name, value in chosen.items() if value is not None}
        more = {name: st.session_state[name] for name in ("concurrency", "repeat")}
        judge = judge.model_copy(update={"params": params, **more})
    run = widgets.attempt(
        evaluation.start_run, widgets.workspace(), judge, policy=policy, version=version, golden=golden,
        author=widgets.who(), key=key,
    )  # fmt: skip
    if run is not None:
        st.session_state["_run_key"] = secrets.token_hex(6)
        widgets.say("success", f"Started {markup.plain(run.label)}.")
