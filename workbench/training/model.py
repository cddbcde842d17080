"""The model of a recipe, new or from a checkpoint, and how checkpoints are written and read.

A pair is read once for all dimensions: as one sequence, query fields first, then document fields, each under its
name; or each field by itself (:mod:`workbench.training.fields`). Weights are read from and written to safetensors
only, and a backbone that brings its own code is never run.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_file, save_model

from workbench.backbone import resolve_backbone
from workbench.errors import BadInput, Conflict, Unavailable
from workbench.policy import Layout, Policy
from workbench.recipe import TrainedRecipe
from workbench.training.adapter import add_adapter, has_adapter, merged_state
from workbench.training.fields import FieldTokenizer
from workbench.training.record import (
    RECORD,
    WEIGHTS,
    CheckpointRecord,
    considered,
    file_hash,
    head_problem,
    heads_of,
    read_record,
    start_problem,
)
from workbench.training.scorer import PairScorer as PairScorer
from workbench.training.tokens import PairTokenizer


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: what it says about itself, the model in evaluation mode, and its tokenizer."""

    record: CheckpointRecord
    scorer: PairScorer
    tokens: PairTokenizer


def new_scorer(
    recipe: TrainedRecipe, policy: Policy, start: Path | None = None
) -> tuple[PairScorer, PairTokenizer]:
    """Return the pretrained backbone of ``recipe`` with new heads for ``policy``, and its tokenizer.

    Args:
        recipe: which backbone and which heads.
        policy: gives the dimensions and the fields that are read.
        start: folder of the checkpoint that ``init_from`` means: backbone, tokenizer and the heads that it has are
            taken from there.

    Raises:
        Unavailable: the backbone cannot be found or loaded.
        BadInput: ``layers`` or ``max_tokens`` is more than the backbone has, or the checkpoint does not fit.
    """
    if (start is None) != (recipe.init_from is None):
        raise BadInput(
            f"The recipe {recipe.recipe} starts from {recipe.init_from or 'the pretrained backbone'}, and the checkpoint "
            f"to start from is {start or 'not given'}.",
            "Give the folder of the checkpoint that init_from means, and none without init_from.",
        )
    backbone, tokenizer, old = _pretrained(recipe) if start is None else _started(recipe, policy, start)
    _check_backbone(backbone.config, recipe)
    tokens, fields = _reading(tokenizer, policy.pair, considered(policy), recipe)
    if recipe.adapter is not None:
        if recipe.precision == "bfloat16":  # frozen weights need no more
            backbone.to(torch.bfloat16)
        add_adapter(backbone, recipe.adapter)
    if recipe.gradient_checkpointing:
        backbone.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    heads = heads_of(policy) if "policy" in recipe.heads else ()
    scorer = PairScorer(
        backbone, heads, recipe.pooling, fields, click="click" in recipe.heads, positions=recipe.tower
    )
    if old is not None:
        scorer.take_heads(old)
    return scorer, tokens


def _pretrained(recipe: TrainedRecipe) -> tuple[Any, Any, None]:
    """Return the pretrained backbone and its tokenizer."""
    transformers = _transformers()
    source = resolve_backbone(recipe.backbone)
    half = recipe.adapter is not None and recipe.precision == "bfloat16"
    try:
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
        _keep_layers(config, recipe)
        backbone, report = transformers.AutoModel.from_pretrained(
            source,
            config=config,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.bfloat16 if half else torch.float32,
            output_loading_info=True,
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        raise Unavailable(
            f"The backbone '{recipe.backbone}' could not be loaded: {_first_line(error)}",
            "It has to be 'minilm', a local folder or a model id, with safetensors weights and no code of its own.",
        ) from error
    # The pooler of BERT-like models is not used here, and some checkpoints come without it.
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise Unavailable(
            f"The backbone '{recipe.backbone}' lacks {len(missing)} of its weights (such as {missing[0]}).",
            "Its configuration and its weights do not belong together; take a complete copy.",
        )
    return backbone, tokenizer, None


def _started(recipe: TrainedRecipe, policy: Policy, start: Path) -> tuple[Any, Any, PairScorer]:
    """Return backbone, tokenizer and model of the checkpoint that the recipe starts from."""
    problem = start_problem(read_record(start), recipe, policy)
    if problem:
        raise BadInput(*problem)
    loaded = load_checkpoint(start)
    return loaded.scorer.backbone, loaded.tokens.tokenizer, loaded.scorer


def _reading(
    tokenizer: Any, layout: Layout, considers: Sequence[str], recipe: TrainedRecipe
) -> tuple[PairTokenizer, tuple[Sequence[str], Sequence[str]]]:
    """Return how pairs become tokens under the recipe's pooling, and the names of the fields where they are compared."""
    if recipe.pooling == "fields":
        by_field = FieldTokenizer(tokenizer, layout, considers, recipe.max_tokens, recipe.field_tokens)
        return by_field, by_field.fields
    return PairTokenizer(tokenizer, layout, considers, recipe.max_tokens, recipe.field_tokens), ((), ())


def save_checkpoint(
    folder: Path, scorer: PairScorer, tokens: PairTokenizer, record: CheckpointRecord
) -> CheckpointRecord:
    """Write a checkpoint folder and return its record with the hash of the weights filled in.

    The folder appears complete or not at all: it is written beside its place and renamed.

    Raises:
        Conflict: the folder exists.
    """
    if folder.exists():
        raise Conflict(
            f"{folder} exists already.", "A checkpoint is never overwritten; choose another folder."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        if has_adapter(scorer):
            save_file(merged_state(scorer), str(temporary / WEIGHTS), metadata={"format": "pt"})
        else:
            save_model(scorer, str(temporary / WEIGHTS))
        config: Any = scorer.backbone.config
        config.save_pretrained(temporary)
        tokens.tokenizer.save_pretrained(temporary)
        record = record.model_copy(update={"weights_hash": file_hash(temporary / WEIGHTS)})
        write_record(temporary, record)
        temporary.chmod(0o755)  # mkdtemp makes it private; a checkpoint is as readable as its neighbours
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return record


def write_record(folder: Path, record: CheckpointRecord) -> None:
    """Write ``checkpoint.json`` in one step."""
    temporary = folder / f".{RECORD}"
    temporary.write_text(
        json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False), encoding="utf-8"
    )
    os.replace(temporary, folder / RECORD)


def load_checkpoint(folder: Path, policy: Policy | None = None) -> Checkpoint:
    """Load a checkpoint, in evaluation mode, on the CPU.

    Args:
        folder: what :func:`save_checkpoint` wrote.
        policy: where given, every dimension of it must have a head with the same levels.

    Raises:
        NotFound, Refused, BadInput: the folder is missing, incomplete, pickled, altered, or does not fit.
    """
    record = read_record(folder)
    for key in policy.keys if policy else ():
        problem = head_problem({head.key: head for head in record.heads}, policy, key) if policy else ""
        if problem:
            raise BadInput(
                f"{record.name} does not fit {policy.label if policy else ''}: {problem}.",
                f"It was trained for {record.policy_label}; train a student for this version.",
            )
    if file_hash(folder / WEIGHTS) != record.weights_hash:
        raise BadInput(
            f"{folder / WEIGHTS} is not the file that {RECORD} speaks of: damaged, incomplete or altered.",
            "Copy the whole folder again.",
        )
    transformers = _transformers()
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        backbone = transformers.AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        tokens, fields = _reading(tokenizer, record.pair, record.considers, record.recipe)
        scorer = PairScorer(
            backbone,
            record.heads,
            record.recipe.pooling,
            fields,
            click="click" in record.recipe.heads,
            positions=record.recipe.tower,
        )
        load_model(scorer, str(folder / WEIGHTS), strict=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, SafetensorError) as error:
        raise BadInput(
            f"The checkpoint in {folder} could not be loaded: {_first_line(error)}",
            "Copy the whole folder again, or train it again.",
        ) from error
    return Checkpoint(record, scorer.eval(), tokens)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise Unavailable(
            "transformers is not installed.", "Install it with: pip install 'policy-workbench[train]'."
        ) from error
    # Dropped layers and heads are meant; the table of unused weights and the bars would fill the job's log.
    module: Any = transformers
    module.utils.logging.set_verbosity_error()
    module.utils.logging.disable_progress_bar()
    return module


def _keep_layers(config: Any, recipe: TrainedRecipe) -> None:
    if recipe.layers is None:
        return
    if recipe.layers > config.num_hidden_layers:
        raise BadInput(
            f"layers is {recipe.layers}, and the backbone '{recipe.backbone}' has {config.num_hidden_layers}.",
            "Lower layers in the recipe, or set it to null for all.",
        )
    config.num_hidden_layers = recipe.layers
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[: recipe.layers]


def _check_backbone(config: Any, recipe: TrainedRecipe) -> None:
    if getattr(config, "is_encoder_decoder", False):
        raise BadInput(
            f"The backbone '{recipe.backbone}' is an encoder-decoder model.",
            "Choose an encoder (such as 'minilm') or a decoder.",
        )
    positions = getattr(config, "max_position_embeddings", None)
    if positions and recipe.max_tokens > positions:
        raise BadInput(
            f"max_tokens is {recipe.max_tokens}, and the backbone '{recipe.backbone}' reads {positions} at most.",
            "Lower max_tokens in the recipe.",
        )


def _first_line(error: BaseException) -> str:
    line = str(error).strip().partition("\n")[0] or type(error).__name__
    return line if line.endswith(".") else f"{line}."
