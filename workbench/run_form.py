"""The form that starts a judge run: what is chosen, what the run would send, Start."""

from __future__ import annotations

import secrets
from typing import Any

import streamlit as st

from workbench import judge_choice, judge_runs, markup, widgets
from workbench.errors import WorkbenchError
from workbench.prompt_mode import MOST_PAIRS_PER_CALL, PromptMode
from workbench.run import BaselineSpec, CheckpointSpec, JudgeSpec, LlmSpec, Run
from workbench.run_plan import RunPlan, run_plan
from workbench.token_count import COUNTED_WITH
from workbench.yamltext import validate

KINDS = {"baseline": "Baseline", "llm": "Language model", "checkpoint": "Checkpoint"}
MODES = {
    "scope": ("Dimensions", {"all": "all in one call", "dimension": "one call each"}),
    "reason": ("Reason", {"before": "before the grade", "after": "after the grade", "none": "none"}),
    "level_order": (
        "Order of levels",
        {"ascending": "ascending", "descending": "descending", "permuted": "drawn for each pair"},
    ),
    "dimension_order": (
        "Order of dimensions",
        {"policy": "as in the policy", "permuted": "drawn for each pair"},
    ),
}
"""Field of a mode -> its label, and what each choice is called."""
LIMITS: dict[str, tuple[str, float | int, float | int]] = {
    "cap_usd": ("Cap: US dollars", 0.01, 1.0),
    "cap_tokens": ("Cap: tokens", 1, 10_000),
    "cap_seconds": ("Cap: seconds", 1.0, 60.0),
    "requests_per_minute": ("Requests a minute", 1, 10),
    "tokens_per_minute": ("Tokens a minute", 1, 10_000),
}
"""Field of a judge -> its label, the least, the step."""


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
            draw_plan(plan, judge.mode if isinstance(judge, LlmSpec) else PromptMode())
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
    judge = judge_choice.judge_from_text(
        model.strip(), base_url=base_url.strip() or None, api_key_env=variable.strip() or None
    )
    return judge.model_copy(update={"mode": how_asked()}) if isinstance(judge, LlmSpec) else judge


def how_asked() -> PromptMode:
    """Draw the choices of a mode, folded.

    Raises:
        BadInput: for choices that do not go together.
    """
    chosen: dict[str, Any] = {}
    with st.expander("How it is asked", icon=":material/forum:"):
        columns = st.columns(len(MODES) + 1)
        for column, (field, (label, choices)) in zip(columns, MODES.items(), strict=False):
            chosen[field] = column.selectbox(
                label, list(choices), format_func=choices.__getitem__, key=f"mode_{field}"
            )
        chosen["pairs_per_call"] = columns[-1].number_input(
            "Pairs a call", 1, MOST_PAIRS_PER_CALL, 1, key="mode_pairs_per_call"
        )
        st.caption(
            "With one call for each dimension, an edit of one dimension asks again about that one alone. Several pairs "
            "a call send the policy less often. Each choice may change the grades: compare on one golden set."
        )
    return validate(PromptMode, chosen, "How it is asked")


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


def draw_plan(plan: RunPlan, mode: PromptMode) -> None:
    """Draw what the run would send and what that takes, before anything is sent."""
    lines = {"pairs": f"{plan.pairs:,} ({plan.dev_pairs:,} dev, {plan.pairs - plan.dev_pairs:,} holdout)"}
    if plan.sends and not mode.is_default:
        # The counts of a plan are those of one call a pair with the whole policy.
        lines["asked"] = mode.words()
        lines["input and cost"] = "not estimated when it is asked so"
    elif plan.sends:
        prompt = f"{plan.prompt_characters:,} characters, about {markup.roughly(plan.prompt_tokens)} tokens"
        lines["policy in the prompt"] = prompt
        lines["input in all"] = f"about {markup.roughly(plan.input_tokens)} tokens, less what is in the cache"
        known = plan.cost_usd is not None
        lines["cost"] = f"about {markup.money(plan.cost_usd)}" if known else "unknown before the run"
    else:
        lines["sends"] = "nothing: it runs on this machine"
    st.html(markup.facts("what it will take", lines))
    if plan.priced_by and mode.is_default:
        st.caption(
            f"Cost: at what a call cost in {markup.plain(plan.priced_by.label)}, {plan.priced_by.created_at:%d %b}."
        )
    if plan.sends and mode.is_default:
        st.caption(f"Tokens are {COUNTED_WITH}.")
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
            with st.expander("Limits", icon=":material/speed:"):
                for column, (field, (label, least, step)) in zip(st.columns(5), LIMITS.items(), strict=True):
                    column.number_input(label, least, None, None, step, key=field, placeholder="none")
                st.caption(
                    "A run stops before it passes a cap; what was graded is kept, and it can be resumed. A cap on "
                    "money needs a model whose price is known."
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

    def started() -> Run:
        return judge_runs.start_run(
            widgets.workspace(),
            with_settings(judge) if isinstance(judge, LlmSpec) else judge,
            policy=policy,
            version=version,
            golden=golden,
            author=widgets.who(),
            key=key,
        )

    run = widgets.attempt(started)
    if run is not None:
        st.session_state["_run_key"] = secrets.token_hex(6)
        widgets.say("success", f"Started {markup.plain(run.label)}.")


def with_settings(judge: LlmSpec) -> LlmSpec:
    """Return ``judge`` with what stands in the form's fields; an empty field is not set.

    Raises:
        BadInput: for a value that cannot be used.
    """

    def filled(*names: str) -> dict[str, Any]:
        return {name: st.session_state[name] for name in names if st.session_state[name] is not None}

    settings = filled("concurrency", "repeat", *LIMITS) | {"params": filled("temperature", "max_tokens")}
    return validate(LlmSpec, judge.model_dump() | settings, "The judge")
