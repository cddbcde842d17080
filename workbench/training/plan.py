"""What a training would take, before it is started: parameters, memory, arithmetic, time and cost. Torch is not needed.

Estimates, each from its source, made to tell whether something fits and whether it takes an hour or a week. What is not
known stays unknown (None) with the reason among the notes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.backbone import resolve_backbone
from workbench.errors import BadInput
from workbench.recipe import TrainedRecipe

GB = 1e9
STATE_BYTES = 16
"""Of a trained parameter: weight, gradient and two AdamW moments, each float32 (bfloat16 is autocast here)."""
ACTIVATION = 34
"""Bytes a token, layer and unit of width in 16 bits, the attention matrix left out, which is not kept (Korthikanti et
al. 2022, section 4.1); twice as much in 32 bits."""

_COPY = "Take a complete copy of the backbone."


@dataclass(frozen=True)
class Shape:
    """A backbone by its configuration. ``matrices`` are the parameters that each token is multiplied with."""

    parameters: int
    matrices: int
    layers: int
    width: int
    linear: tuple[tuple[str, int, int], ...]  # of one layer: name, inputs, outputs


@dataclass(frozen=True)
class Estimate:
    """What a training would take; None is unknown, and the notes say why."""

    parameters: int | None = None
    trained: int | None = None
    weights_gb: float | None = None  # weights, gradients and optimiser states
    activations_gb: float | None = None
    memory_gb: float | None = None
    pairs: int | None = None
    steps: int | None = None
    tokens: int | None = None  # read in all, at most
    flops: float | None = None
    hours: float | None = None
    cost_usd: float | None = None
    notes: tuple[str, ...] = ()


def shape_of(config: Mapping[str, Any]) -> Shape | None:
    """Return the shape that a transformers configuration describes; None for a family whose shape is not known here.

    Known are BERT, and decoders of the Llama kind: llama, mistral, qwen2, qwen3 (grouped queries, gated MLP).
    """
    family = config.get("model_type")
    try:
        h, layers, inner = (int(config[k]) for k in ("hidden_size", "num_hidden_layers", "intermediate_size"))
        vocabulary = int(config["vocab_size"])
        if family == "bert":
            linear = tuple((name, h, h) for name in ("query", "key", "value", "dense"))
            linear += (("dense", h, inner), ("dense", inner, h))
            biases = 4 * h + inner + h
            embedding = (
                vocabulary + config["max_position_embeddings"] + config.get("type_vocab_size", 2)
            ) * h
            rest = embedding + 2 * h + h * h + h  # norm of the embeddings, pooler
            extra = biases + 4 * h
        elif family in ("llama", "mistral", "qwen2", "qwen3"):
            heads = int(config["num_attention_heads"])
            size = int(config.get("head_dim") or h // heads)
            keys = int(config.get("num_key_value_heads") or heads) * size
            linear = (("q_proj", h, heads * size), ("k_proj", h, keys), ("v_proj", h, keys))
            linear += (("o_proj", heads * size, h), ("gate_proj", h, inner), ("up_proj", h, inner))
            linear += (("down_proj", inner, h),)
            biases = heads * size + 2 * keys if family == "qwen2" else 0
            rest = vocabulary * h + h
            extra = biases + 2 * h + (2 * size if family == "qwen3" else 0)
        else:
            return None
    except (KeyError, TypeError, ValueError):
        return None
    matrices = layers * sum(i * o for _, i, o in linear)
    return Shape(rest + matrices + layers * extra, matrices, layers, h, linear)


def read_config(recipe: TrainedRecipe, start: Path | None = None) -> tuple[dict[str, Any] | None, str]:
    """Return (configuration of the recipe's backbone, ""), or (None, why it is not known).

    Args:
        recipe: whose backbone.
        start: folder of the checkpoint that ``init_from`` means, where it is known.

    Raises:
        Unavailable: MiniLM is meant and not installed.
        BadInput: a local configuration is damaged, or has fewer layers than the recipe keeps.
    """
    source = str(start) if start else resolve_backbone(recipe.backbone)
    if Path(source).is_dir():
        where = str(Path(source) / "config.json")
        try:
            text = Path(where).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise BadInput(f"{where} cannot be read ({error}).", _COPY) from error
    else:
        where = f"config.json of '{source}'"
        try:
            text = _from_hub(source)
        except (ImportError, OSError, ValueError, RuntimeError) as error:
            return None, (
                f"The configuration of '{recipe.backbone}' could not be had from the model hub ({type(error).__name__}), "
                "so sizes are unknown."
            )
    try:
        config = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{where} cannot be read ({error}).", _COPY) from error
    if recipe.layers is not None:
        if recipe.layers > config.get("num_hidden_layers", recipe.layers):
            raise BadInput(
                f"layers is {recipe.layers}, and the backbone '{recipe.backbone}' has "
                f"{config['num_hidden_layers']}.",
                "Lower layers in the recipe, or set it to null for all.",
            )
        config["num_hidden_layers"] = recipe.layers
    return config, ""


def _from_hub(source: str) -> str:
    """Return ``config.json`` of a model id, from the hub's cache here or in one request: its client tries for 20 s."""
    import httpx
    from huggingface_hub import constants, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    cached = try_to_load_from_cache(source, "config.json")
    if isinstance(cached, str):
        return Path(cached).read_text(encoding="utf-8")
    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    try:
        url = hf_hub_url(source, "config.json")
        got = httpx.get(url, headers=build_hf_headers(), timeout=5, follow_redirects=True)
        return got.raise_for_status().text
    except httpx.HTTPError as error:
        raise ConnectionError(str(error)) from error


def estimate(
    recipe: TrainedRecipe, config: Mapping[str, Any] | None, pairs: int | None, why: str = ""
) -> Estimate:
    """Return what training ``recipe`` would take, heads left out.

    Arithmetic is 6 FLOPs a token and parameter of a matrix, 2 forward and 4 backward (Kaplan et al. 2020, section 2.1);
    with adapters 4 and 6 for the adapters' own, since frozen weights have no gradient; 2 more where activations are
    computed again; and attention's 12 a layer, unit of width and token that is looked at (Chowdhery et al. 2022,
    appendix B). Every pair counts as ``max_tokens`` long, so it is an upper bound.

    Args:
        recipe: what to train.
        config: of its backbone, from :func:`read_config`; None: unknown.
        pairs: to learn from, in an epoch; None: unknown.
        why: why the configuration is unknown.
    """
    notes = [why] if why else []
    schedule, length = recipe.schedule, recipe.max_tokens
    steps = None if pairs is None else schedule.epochs * -(-pairs // schedule.batch_size)
    if schedule.max_steps is not None:
        steps = schedule.max_steps if steps is None else min(steps, schedule.max_steps)
    if steps is None:
        notes.append("How many pairs there are is unknown, so steps, arithmetic, time and cost are too.")
    seen = None if steps is None else steps * schedule.batch_size
    if seen is not None and pairs is not None:
        seen = min(seen, pairs * schedule.epochs)
    tokens = None if seen is None else seen * length
    shape = shape_of(config) if config is not None else None
    if shape is None:
        if config is not None:
            notes.append(f"The sizes of a '{config.get('model_type')}' are not known here.")
        return Estimate(pairs=pairs, steps=steps, tokens=tokens, notes=tuple(notes))
    half = recipe.precision == "bfloat16"
    adapters = 0
    if recipe.adapter is not None:
        wanted = recipe.adapter.targets
        adapted = [(i, o) for name, i, o in shape.linear if not wanted or name in wanted]
        adapters = shape.layers * recipe.adapter.rank * sum(i + o for i, o in adapted)
    frozen = shape.parameters if recipe.adapter is not None else 0
    trained = adapters if frozen else shape.parameters
    weights = (frozen * (2 if half else 4) + trained * STATE_BYTES) / GB
    layer = ACTIVATION * (1 if half else 2) * length * schedule.batch_size * shape.width / GB
    kept = 2 * (1 if half else 2) * length * schedule.batch_size * shape.width / GB
    activations = shape.layers * kept + layer if recipe.gradient_checkpointing else shape.layers * layer
    again = 2 if recipe.gradient_checkpointing else 0
    a_token = (4 if frozen else 6) * shape.matrices + 6 * adapters + again * shape.matrices
    a_token += 12 * shape.layers * shape.width * length
    flops = None if tokens is None else float(a_token) * tokens
    hours, cost = None, None
    has = recipe.resources
    devices = max(has.gpus, 1) if has else 1
    if has is None or has.tflops is None or has.utilisation is None:
        notes.append("resources.tflops or resources.utilisation is not given, so time and cost are unknown.")
    elif flops is not None:
        hours = flops / (devices * has.tflops * 1e12 * has.utilisation) / 3600
        if has.usd_per_hour is None:
            notes.append("resources.usd_per_hour is not given, so the cost is unknown.")
        else:
            cost = hours * devices * has.usd_per_hour
    if has and has.memory_gb is not None and weights + activations > has.memory_gb:
        notes.append(
            f"The estimate of {weights + activations:,.0f} GB is more than a device's {has.memory_gb:,.0f} GB."
        )
    return Estimate(
        parameters=shape.parameters,
        trained=trained,
        weights_gb=weights,
        activations_gb=activations,
        memory_gb=weights + activations,
        pairs=pairs,
        steps=steps,
        tokens=tokens,
        flops=flops,
        hours=hours,
        cost_usd=cost,
        notes=tuple(notes),
    )
