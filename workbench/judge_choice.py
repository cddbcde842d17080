"""What judge a person names: read from text, checked, filled in with what only the workspace knows."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from workbench.errors import BadInput
from workbench.files import read_text
from workbench.judges.batch_rules import batch_refusal
from workbench.judges.ensemble import vote_weights
from workbench.judges.keys import checked_url, refuse_secrets
from workbench.judges.plugins import checked_plugin
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
from workbench.yamltext import Place, YamlText, describe

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
    if isinstance(judge, PluginSpec):
        return checked_plugin(judge)
    if isinstance(judge, CheckpointSpec):
        checkpoint = workspace.store.checkpoint(judge.checkpoint)
        return judge.model_copy(update={"checkpoint": checkpoint.id, "folder": checkpoint.folder})
    if isinstance(judge, CalibratedSpec):
        return judge.model_copy(update={"judge": filled(workspace, judge.judge)})
    if isinstance(judge, EnsembleSpec):
        vote_weights(judge.weights, len(judge.members))
        _check_deliveries(judge)
        return judge.model_copy(update={"members": tuple(filled(workspace, m) for m in judge.members)})
    if isinstance(judge, CascadeSpec):
        _check_first(judge.first)
        _check_deliveries(judge)
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
            given is not repeated in the message. And for a cap on money where the model's price is not known, and a
            batch that cannot be had.
    """
    if judge.api_key_env and not _VARIABLE.fullmatch(judge.api_key_env):
        raise BadInput(
            "What is given for the key is not the name of an environment variable.",
            "Write its name, such as OPENAI_API_KEY; the key itself is never entered here.",
        )
    refuse_secrets(list(judge.params), json.dumps(judge.params, default=str), judge.api_key_env)
    refuse_secrets([], judge.model, judge.api_key_env)
    if judge.cap_usd is not None and not _priced(judge):
        raise BadInput(
            f"A cap on money cannot be held: the price of {'this server' if judge.base_url else judge.model} is not "
            "known.",
            "Cap the tokens or the time instead.",
        )
    if refusal := batch_refusal(judge):
        raise BadInput(refusal)
    if judge.delivery == "batch" and judge.repeats > 1:
        raise BadInput(
            "Several answers a question are not drawn through the batch API.",
            f"Run {judge.repeats} batches, one for each repeat index from {judge.repeat} on; a run with "
            f"{judge.repeats} repeats and delivery calls then finds their answers in the verdict cache.",
        )
    return judge.model_copy(update={"base_url": checked_url(judge.base_url)}) if judge.base_url else judge


def _check_deliveries(judge: EnsembleSpec | CascadeSpec) -> None:
    """Refuse members in batches: pairs go through in small parts, and each would wait up to 24 hours."""
    batched = next((model for model in models_of(judge) if model.delivery == "batch"), None)
    if batched is not None:
        raise BadInput(
            f"{batched.model} is a member, and members are not delivered by batch.",
            "Run it in a batch by itself first; as a member with delivery calls it then finds its answers in the "
            "verdict cache.",
        )


def _check_first(judge: JudgeSpec) -> None:
    """Refuse a first judge of a cascade of which it is known that nobody can say how sure it is."""
    if isinstance(judge, LlmSpec) and judge.repeats == 1 and judge.params.get("logprobs") is not True:
        raise BadInput(
            f"{judge.model} is the first judge of a cascade and gives no probabilities, so nobody knows when it is "
            "sure.",
            "Ask it for log-probabilities (params: logprobs: true, top_logprobs: 20) or for several answers (repeats).",
        )


def _priced(judge: LlmSpec) -> bool:
    price = None if judge.base_url else model_price(judge.model)
    return price is not None and price.input is not None and price.output is not None


def preliminary_identity(judge: JudgeSpec) -> JudgeIdentity:
    """Return what a run is called until its worker says exactly what the judge is."""
    if isinstance(judge, LlmSpec):
        if judge.repeats > 1:
            params = judge.params | {"repeats": judge.repeats}
            return JudgeIdentity(kind="repeats", name=judge.model, params=params)
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
    known: Mapping[str, JudgeSpec] | None = None,
) -> JudgeSpec:
    """Return the judge that a person names.

    That is a name in ``known``, which wins and brings its own settings, or ``baseline``, ``baseline-lexical``,
    ``checkpoint:NAME``, ``plugin:NAME`` or a model id.

    Raises:
        BadInput: for a text that names none.
    """
    named = text.strip()
    if known and named in known:
        return known[named]
    kind, _, name = named.partition(":")
    if kind == "checkpoint" and name:
        return CheckpointSpec(checkpoint=name)
    if kind == "plugin" and name:
        return PluginSpec(plugin=name)
    if named in ("baseline", "baseline-lexical"):
        return BaselineSpec(use_embeddings=False if named == "baseline-lexical" else None)
    if not named or (base_url is None and "/" not in named):
        close = difflib.get_close_matches(named, known or (), n=3)
        raise BadInput(
            f"'{text}' is no judge." + (f" Did you mean {' or '.join(close)}?" if close else ""),
            "Write baseline, checkpoint:NAME, plugin:NAME, provider/model (openai/gpt-5-mini), a model with "
            "--base-url, or the name of a saved judge.",
        )
    return LlmSpec(
        model=named, base_url=base_url, api_key_env=api_key_env, concurrency=concurrency, repeat=repeat
    )


def judge_from_yaml(text: str, where: str) -> JudgeSpec:
    """Return the judge that a YAML document describes: the fields of a judge's spec, ``kind`` first.

    Args:
        where: names the document in errors (a file name).

    Raises:
        BadInput: for the first thing that is wrong, with its line and place.
    """
    source = YamlText(text, where)
    if not isinstance(source.data, Mapping):
        raise BadInput(
            f"{where} is not a document with keys.", "It should start with 'kind: ensemble' or the like."
        )
    try:
        judge: JudgeSpec = TypeAdapter(JudgeSpec).validate_python(source.data)
    except ValidationError as error:
        raise BadInput(*describe(_without_kinds(error, source.data), where, source)) from None
    if judge.kind == "recorded":
        raise BadInput(f"{where} describes a recorded judge, which is not run.", "Write another kind.")
    return judge


def judge_from_file(path: Path) -> JudgeSpec:
    """Return the judge that a YAML file describes; see :func:`judge_from_yaml`.

    Raises:
        WorkbenchError: where the file cannot be read, or describes none.
    """
    return judge_from_yaml(read_text(path), path.name)


def _without_kinds(error: ValidationError, data: Any) -> ValidationError:
    """Return the error with places that are in the document: pydantic puts the kind of each judge among them."""
    problems = error.errors(include_url=False)
    told = [
        InitErrorDetails(
            type=PydanticCustomError(cast(Any, problem["type"]), cast(Any, _reason(problem))),
            loc=_place(data, problem["loc"]),
            input=problem["input"],
        )
        for problem in problems
    ]
    return ValidationError.from_exception_data(error.title, told)


def _reason(problem: ErrorDetails) -> str:
    if problem["type"] == "union_tag_not_found":
        return "it does not say which kind of judge it is (kind: llm)"
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        return f"'{context['tag']}' is no kind of judge here; there is {context['expected_tags']}"
    return problem["msg"]


def _place(data: Any, where: Place) -> Place:
    place: list[str | int] = []
    at, kind_passed = data, False
    for part in where:
        if isinstance(at, Mapping) and not kind_passed and part == at.get("kind"):
            kind_passed = True
            continue
        place.append(part)
        within = isinstance(at, Mapping) and part in at
        listed = isinstance(at, list) and isinstance(part, int) and part < len(at)
        at, kind_passed = at[part] if within or listed else None, False
    return tuple(place)
