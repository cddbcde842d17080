"""What judge a person names: read from text, checked, filled in with what only the workspace knows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from workbench.errors import BadInput
from workbench.judges.keys import checked_url, refuse_secrets
from workbench.prices import model_price
from workbench.run import (
    BaselineSpec,
    CalibratedSpec,
    CascadeSpec,
    CheckpointSpec,
    EnsembleSpec,
    JudgeIdentity,
    JudgeSpec,
    LlmSpec,
    PluginSpec,
)
from workbench.workspace import Workspace

_VARIABLE = re.compile("[A-Z_][A-Z0-9_]*")


def filled(workspace: Workspace, judge: JudgeSpec) -> JudgeSpec:
    """Return ``judge`` as a worker can build it: checked, checkpoints with their folders, members likewise.

    Raises:
        BadInput: for a judge that cannot be run.
        NotFound: for a checkpoint that does not exist.
    """
    if judge.kind == "recorded":
        raise BadInput(
            "A recorded judge is not run.", "Import its file with: workbench golden import --map FILE."
        )
    if isinstance(judge, LlmSpec):
        return checked_llm(judge)
    if isinstance(judge, CheckpointSpec):
        checkpoint = workspace.store.checkpoint(judge.checkpoint)
        return judge.model_copy(update={"checkpoint": checkpoint.id, "folder": checkpoint.folder})
    if isinstance(judge, CalibratedSpec):
        return judge.model_copy(update={"judge": filled(workspace, judge.judge)})
    if isinstance(judge, EnsembleSpec):
        return judge.model_copy(update={"members": tuple(filled(workspace, m) for m in judge.members)})
    if isinstance(judge, CascadeSpec):
        return judge.model_copy(
            update={"first": filled(workspace, judge.first), "second": filled(workspace, judge.second)}
        )
    return judge


def models_of(judge: JudgeSpec) -> Iterator[LlmSpec]:
    """Yield the language models that a judge asks: itself, or those among its members."""
    if isinstance(judge, LlmSpec):
        yield judge
    elif isinstance(judge, CalibratedSpec):
        yield from models_of(judge.judge)
    elif isinstance(judge, EnsembleSpec):
        for member in judge.members:
            yield from models_of(member)
    elif isinstance(judge, CascadeSpec):
        yield from models_of(judge.first)
        yield from models_of(judge.second)


def checked_llm(judge: LlmSpec) -> LlmSpec:
    """Return ``judge`` as it may be kept with a run: it names where the key is, and holds none.

    Raises:
        BadInput: for an address that cannot be used, or where a key or a password may have been given. What was
            given is not repeated in the message. And for a cap on money where the model's price is not known.
    """
    if judge.api_key_env and not _VARIABLE.fullmatch(judge.api_key_env):
        raise BadInput(
            "What is given for the key is not the name of an environment variable.",
            "Write its name, such as OPENAI_API_KEY; the key itself is never entered here.",
        )
    refuse_secrets(list(judge.params), json.dumps(judge.params, default=str), judge.api_key_env)
    if judge.cap_usd is not None and not _priced(judge):
        raise BadInput(
            f"A cap on money cannot be held: the price of {'this server' if judge.base_url else judge.model} is not "
            "known.",
            "Cap the tokens or the time instead.",
        )
    return judge.model_copy(update={"base_url": checked_url(judge.base_url)}) if judge.base_url else judge


def _priced(judge: LlmSpec) -> bool:
    price = None if judge.base_url else model_price(judge.model)
    return price is not None and price.input is not None and price.output is not None


def preliminary_identity(judge: JudgeSpec) -> JudgeIdentity:
    """Return what a run is called until its worker says exactly what the judge is."""
    if isinstance(judge, LlmSpec):
        return JudgeIdentity(kind="llm", name=judge.model, params=judge.params)
    return JudgeIdentity(kind=judge.kind, name=judge_name(judge))


def judge_name(judge: JudgeSpec) -> str:
    """Return what a judge is called where it has no name of its own."""
    if isinstance(judge, LlmSpec):
        return judge.model
    if isinstance(judge, BaselineSpec):
        return "baseline"
    if isinstance(judge, CheckpointSpec):
        return judge.checkpoint
    if isinstance(judge, PluginSpec):
        return judge.plugin
    if isinstance(judge, CalibratedSpec):
        return f"{judge_name(judge.judge)}, calibrated"
    if isinstance(judge, EnsembleSpec):
        return judge.name or " + ".join(judge_name(member) for member in judge.members)
    if isinstance(judge, CascadeSpec):
        return judge.name or f"{judge_name(judge.first)} then {judge_name(judge.second)}"
    return judge.name


def judge_from_text(
    text: str,
    *,
    base_url: str | None = None,
    api_key_env: str | None = None,
    concurrency: int = 16,
    repeat: int = 0,
) -> JudgeSpec:
    """Return the judge that a person names: ``baseline``, ``baseline-lexical``, ``checkpoint:NAME`` or a model id.

    Raises:
        BadInput: for a text that names none.
    """
    kind, _, name = text.strip().partition(":")
    if kind == "checkpoint" and name:
        return CheckpointSpec(checkpoint=name)
    if text in ("baseline", "baseline-lexical"):
        return BaselineSpec(use_embeddings=False if text == "baseline-lexical" else None)
    if not text.strip() or (base_url is None and "/" not in text):
        raise BadInput(
            f"'{text}' is no judge.",
            "Write baseline, checkpoint:NAME, provider/model (openai/gpt-5-mini), or a model with --base-url.",
        )
    return LlmSpec(
        model=text.strip(), base_url=base_url, api_key_env=api_key_env, concurrency=concurrency, repeat=repeat
    )
