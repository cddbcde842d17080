"""The fields of a language model as a judge: where it is first, how it is asked and what limits it folded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from workbench import judge_choice
from workbench.errors import BadInput
from workbench.prompt_mode import MOST_PAIRS_PER_CALL, PromptMode
from workbench.run import JudgeSpec, LlmSpec
from workbench.yamltext import YamlText, validate

MODES = {
    "scope": ("Dimensions", {"all": "all in one call", "dimension": "one call each"}),
    "reason": ("Reason", {"before": "before the grade", "after": "after the grade", "none": "none"}),
    "level_order": (
        "Level order",
        {"ascending": "ascending", "descending": "descending", "permuted": "drawn for each pair"},
    ),
    "dimension_order": (
        "Dimension order",
        {"policy": "as in the policy", "permuted": "drawn for each pair"},
    ),
}
"""Field of a mode -> its label, and what each choice is called."""
CAPS: dict[str, tuple[str, float | int, float | int]] = {
    "cap_usd": ("Cap: US dollars", 0.01, 1.0),
    "cap_tokens": ("Cap: tokens", 1, 10_000),
    "cap_seconds": ("Cap: seconds", 1.0, 60.0),
}
"""Field of a judge that stops its run -> its label, the least, the step."""
LIMITS: dict[str, tuple[str, float | int, float | int]] = {
    "requests_per_minute": ("Requests a minute", 1, 10),
    "tokens_per_minute": ("Tokens a minute", 1, 10_000),
}
"""Field of a judge that slows its run -> its label, the least, the step."""
DELIVERIES = {"calls": "calls", "batch": "batch: half price, within 24 h"}
MOST_ALTERNATIVES = 20
"""Alternatives of a token that are asked for with its log-probability: the most that OpenAI gives."""


def language_model(prefix: str) -> JudgeSpec | None:
    """Draw where the model is and where its key is, then the rest folded; None while no model is named."""
    first, second, third = st.columns(3)
    model = first.text_input(
        "Model",
        key=f"{prefix}model",
        bind=None if prefix else "query-params",
        placeholder="openai/gpt-5-mini",
        help="Provider and model, as litellm names them; with a base URL, the name that the server knows.",
    )
    base_url = second.text_input(
        "Base URL",
        key=f"{prefix}base_url",
        placeholder="only for a server of your own",
        help="Up to and including /v1, such as http://127.0.0.1:8000/v1. Costs there are unknown.",
    )
    variable = third.text_input(
        "Key variable",
        key=f"{prefix}key_variable",
        placeholder="the provider's own" if not base_url else "none: no key is sent",
        help="Name of the environment variable, never the key. Keys are read where the judge runs and are kept nowhere.",
    )
    if not model.strip():
        st.caption("Name a model to go on.")
        return None
    judge = judge_choice.judge_from_text(
        model.strip(), base_url=base_url.strip() or None, api_key_env=variable.strip() or None
    )
    if not isinstance(judge, LlmSpec):
        return judge
    chosen = {"mode": _mode(prefix)} | _answers(prefix) | _limits(prefix)
    return validate(LlmSpec, judge.model_dump() | chosen, "The judge")


def _mode(prefix: str) -> PromptMode:
    chosen: dict[str, Any] = {}
    with st.expander("How it is asked", icon=":material/forum:"):
        columns = [*st.columns(3), *st.columns(3)]
        for column, (field, (label, choices)) in zip(columns, MODES.items(), strict=False):
            chosen[field] = column.selectbox(
                label, list(choices), format_func=choices.__getitem__, key=f"{prefix}mode_{field}"
            )
        chosen["pairs_per_call"] = columns[4].number_input(
            "Pairs a call", 1, MOST_PAIRS_PER_CALL, step=1, key=f"{prefix}mode_pairs_per_call"
        )
        if "permuted" in (chosen["level_order"], chosen["dimension_order"]):
            chosen["seed"] = columns[5].number_input(
                "Seed of the drawn order", 0, step=1, key=f"{prefix}mode_seed"
            )
        st.caption(
            "With one call for each dimension, an edit of one dimension asks again about that one alone. Several pairs "
            "a call send the policy less often. Each choice may change the grades: compare on one golden set."
        )
    return validate(PromptMode, chosen, "How it is asked")


def _answers(prefix: str) -> dict[str, Any]:
    """Draw what is sent of sampling, and how many answers are drawn; an empty field is not sent."""
    with st.expander("Answers", icon=":material/casino:"):
        columns = st.columns(4)
        temperature = columns[0].number_input(
            "Temperature", 0.0, 2.0, None, 0.1, key=f"{prefix}temperature", placeholder="default"
        )
        longest = columns[1].number_input(
            "Longest answer",
            1,
            None,
            None,
            100,
            key=f"{prefix}max_tokens",
            placeholder="no limit",
            help="max_tokens",
        )
        repeats = columns[2].number_input(
            "Answers a question",
            1,
            20,
            step=1,
            key=f"{prefix}repeats",
            help="So many are drawn and settled as one; their spread says how sure the judge is. Each is paid for.",
        )
        repeat = columns[3].number_input(
            "Repeat index",
            0,
            None,
            step=1,
            key=f"{prefix}repeat",
            help="Another index samples anew instead of reading the cache; repeats show the judge's own noise.",
        )
        more = st.text_input(
            "More parameters",
            key=f"{prefix}params",
            placeholder='{"reasoning_effort": "low"}',
            help="Sent with each call as they are, and stored with the run: never a key.",
        )
        logprobs = st.toggle(
            "Ask for log-probabilities",
            key=f"{prefix}logprobs",
            help="The probability of each level, from the tokens of the grade. Not every provider gives them; one "
            "that does not know the parameter refuses the call.",
        )
    params: dict[str, Any] = {
        name: value
        for name, value in (("temperature", temperature), ("max_tokens", longest))
        if value is not None
    }
    params |= from_text(more, "More parameters")
    if logprobs:
        params |= {"logprobs": True, "top_logprobs": MOST_ALTERNATIVES}
    return {"params": params, "repeats": repeats, "repeat": repeat}


def _limits(prefix: str) -> dict[str, Any]:
    """Draw how calls are delivered, how fast, and what stops them."""
    for name in ("concurrency", "timeout_s"):
        st.session_state.setdefault(f"{prefix}{name}", LlmSpec.model_fields[name].default)
    chosen: dict[str, Any] = {}
    with st.expander("Delivery and limits", icon=":material/speed:"):
        columns = st.columns(4)
        chosen["delivery"] = columns[0].selectbox(
            "Delivery",
            list(DELIVERIES),
            format_func=DELIVERIES.__getitem__,
            key=f"{prefix}delivery",
            help="Through the provider's batch API the run costs half and may take up to 24 hours.",
        )
        chosen["concurrency"] = columns[1].number_input(
            "Calls at once", 1, 512, step=1, key=f"{prefix}concurrency"
        )
        limits = optional_numbers(columns[2:], LIMITS, prefix)
        columns = st.columns(4)
        chosen["timeout_s"] = columns[0].number_input(
            "Timeout, seconds", 1.0, step=10.0, key=f"{prefix}timeout_s", help="Longest wait for one answer."
        )
        caps = optional_numbers(columns[1:], CAPS, prefix)
        st.caption(
            "A run stops before it passes a cap; what was graded is kept, and it can be resumed. A cap on money "
            "needs a model whose price is known."
        )
    return chosen | limits | caps


def optional_numbers(
    columns: Sequence[Any], fields: Mapping[str, tuple[str, float | int, float | int]], prefix: str
) -> dict[str, float | int | None]:
    """Draw fields that may be empty, one a column, and return what stands in them; empty is None."""
    return {
        field: column.number_input(
            label, least, None, None, step, key=f"{prefix}{field}", placeholder="none"
        )
        for column, (field, (label, least, step)) in zip(columns, fields.items(), strict=True)
    }  # fmt: skip


def fill_model(prefix: str, judge: LlmSpec) -> None:
    values: dict[str, Any] = judge.model_dump(
        include={"model", "repeats", "repeat", "delivery", "concurrency", "timeout_s", *LIMITS, *CAPS}
    )
    values |= {"base_url": judge.base_url or "", "key_variable": judge.api_key_env or ""}
    values |= {f"mode_{name}": value for name, value in judge.mode.model_dump().items()}
    values |= {name: judge.params.get(name) for name in ("temperature", "max_tokens")}
    values["logprobs"] = judge.params.get("logprobs") is True
    own = {"temperature", "max_tokens"} | ({"logprobs", "top_logprobs"} if values["logprobs"] else set())
    values["params"] = as_text({name: value for name, value in judge.params.items() if name not in own})
    for name, value in values.items():
        st.session_state[f"{prefix}{name}"] = value


def as_text(params: Mapping[str, Any]) -> str:
    return json.dumps(dict(params), ensure_ascii=False) if params else ""


def from_text(text: str, where: str) -> dict[str, Any]:
    """Return parameters that a person wrote as JSON or YAML on one line; "" is none.

    Raises:
        BadInput: for what is neither, or not names with values.
    """
    data = YamlText(text, where).data if text.strip() else {}
    if not isinstance(data, dict):
        raise BadInput(
            f"{where}: '{text.strip()}' is no set of names with values.", 'Write it like {"seed": 1}.'
        )
    return data
