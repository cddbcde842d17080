"""The model: one encoder or decoder backbone and one linear head a dimension; and its checkpoint.

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
from safetensors.torch import load_model, save_model
from torch import Tensor, nn

from workbench.backbone import resolve_backbone
from workbench.errors import BadInput, Conflict, Unavailable
from workbench.policy import Layout, Policy
from workbench.recipe import Pooling, TrainedRecipe
from workbench.training.fields import FieldTokenizer, considered_inputs, interactions
from workbench.training.record import (
    RECORD,
    WEIGHTS,
    CheckpointRecord,
    Head,
    considered,
    file_hash,
    head_problem,
    heads_of,
    read_record,
)
from workbench.training.tokens import DOCUMENT, QUERY, Batch, FieldBatch, PairTokenizer

STILL = 1e-4
"""A feature of fields that varies less than this over the training pairs counts as constant."""
FARTHEST = 5.0
"""Standard deviations: a feature far from what training has seen is cut to this, so that none decides alone."""


class PairScorer(nn.Module):
    """A backbone and one linear head a dimension. The head answers over the levels, and N/A where it is allowed."""

    mean: Tensor
    spread: Tensor
    seen: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        heads: Sequence[Head],
        pooling: Pooling,
        fields: tuple[Sequence[str], Sequence[str]] = ((), ()),
    ) -> None:
        """Put new heads on ``backbone``; they start at zero, so the first answer is the uniform one.

        Args:
            backbone: a transformers model.
            heads: one a dimension.
            pooling: how what the backbone says of a pair becomes features.
            fields: where pooling is ``fields``, the names that are read of the query and of the document.
        """
        super().__init__()
        self.backbone = backbone
        self.heads = tuple(heads)
        self.pooling = pooling
        config: Any = backbone.config
        classes = sum(head.classes for head in heads)
        width = config.hidden_size * (4 if pooling == "sides" else 1)
        if pooling == "fields":
            self.queries = len(fields[0])
            seen = considered_inputs(heads, fields)
            width = seen.shape[1]
            self.register_buffer("seen", seen, persistent=False)
            self.register_buffer("mean", torch.zeros(width))
            self.register_buffer("spread", torch.ones(width))
        # All heads are the rows of one matrix: one multiplication, and keys are never attribute names.
        self.head = nn.Linear(width, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, batch: Batch | FieldBatch) -> dict[str, Tensor]:
        """Return each dimension's logits, (pairs, classes); float32 under autocast too.

        Segment ids are not given to the backbone: sentence encoders such as MiniLM were trained with one segment
        only, and pooling by side does what they would do.
        """
        return self.answer(self.features(batch))

    def features(self, batch: Batch | FieldBatch) -> Tensor:
        """Return what is known of each pair, (pairs, width), float32; of fields before they are standardised."""
        if isinstance(batch, FieldBatch):
            # The mean of the token states, of unit length: how sentence encoders make a vector of a text. Decoders
            # have no better place: their last token is no more than another word where nothing marks the end.
            unit = [
                nn.functional.normalize(_masked_mean(self._states(text), text.mask == 1), dim=-1)
                for text in batch.texts
            ]
            config: Any = self.backbone.config
            vectors = torch.cat([*unit, self.head.weight.new_zeros(0, config.hidden_size)])
            with torch.autocast(vectors.device.type, enabled=False):
                return interactions(vectors, batch.rows, self.queries)
        return self._pool(self._states(batch), batch)

    def _states(self, batch: Batch) -> Tensor:
        states: Tensor = self.backbone(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state
        return states.float()

    def statistics(self) -> dict[str, Tensor]:
        """Return the buffers that belong to a checkpoint: mean and spread of the features where fields are compared."""
        return {"mean": self.mean, "spread": self.spread} if self.pooling == "fields" else {}

    @torch.no_grad()
    def learn_statistics(self, features: Tensor) -> None:
        """Take mean and spread from the features of the training pairs, (pairs, width), where fields are compared."""
        if self.pooling == "fields":
            spread = features.std(dim=0, correction=0)
            self.mean.copy_(features.mean(dim=0))
            self.spread.copy_(torch.where(spread > STILL, spread, 1.0))

    def answer(self, features: Tensor) -> dict[str, Tensor]:
        """Return each dimension's logits from features."""
        with torch.autocast(features.device.type, enabled=False):
            if self.pooling == "fields":
                scaled = ((features - self.mean) / self.spread).clamp(-FARTHEST, FARTHEST)
                logits = nn.functional.linear(scaled, self.head.weight * self.seen, self.head.bias)
            else:
                logits = self.head(features.float())
        parts = torch.split(logits, [head.classes for head in self.heads], dim=-1)
        return {head.key: part for head, part in zip(self.heads, parts, strict=True)}

    def _pool(self, states: Tensor, batch: Batch) -> Tensor:
        if self.pooling == "sides":
            # u, v, |u - v|, u * v (Conneau et al. 2017), with u and v of root mean square 1. A head that sees the
            # whole pair as one mean has to learn from the few labels alone how to compare the sides.
            u, v = (
                nn.functional.rms_norm(_masked_mean(states, batch.parts == part), states.shape[-1:])
                for part in (QUERY, DOCUMENT)
            )
            return torch.cat([u, v, (u - v).abs(), u * v], dim=-1)
        if self.pooling == "mean":
            return _masked_mean(states, batch.mask == 1)
        if self.pooling == "cls":
            return states[:, 0]
        return states[torch.arange(len(states), device=states.device), batch.mask.sum(1) - 1]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: what it says about itself, the model in evaluation mode, and its tokenizer."""

    record: CheckpointRecord
    scorer: PairScorer
    tokens: PairTokenizer


def _masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    weights = mask[:, :, None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp_min(1)


def new_scorer(recipe: TrainedRecipe, policy: Policy) -> tuple[PairScorer, PairTokenizer]:
    """Return the pretrained backbone of ``recipe`` with new heads for ``policy``, and its tokenizer.

    Raises:
        Unavailable: the backbone cannot be found or loaded.
        BadInput: ``layers`` or ``max_tokens`` is more than the backbone has.
    """
    transformers = _transformers()
    source = resolve_backbone(recipe.backbone)
    try:
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False)
        _keep_layers(config, recipe)
        backbone, report = transformers.AutoModel.from_pretrained(
            source,
            config=config,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
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
    _check_backbone(config, recipe)
    tokens, fields = _reading(tokenizer, policy.pair, considered(policy), recipe)
    return PairScorer(backbone, heads_of(policy), recipe.pooling, fields), tokens


def _reading(
    tokenizer: Any, layout: Layout, considers: Sequence[str], recipe: TrainedRecipe
) -> tuple[PairTokenizer, tuple[Sequence[str], Sequence[str]]]:
    """Return how pairs become tokens under the recipe's pooling, and the names of the fields where they are compared."""
    if recipe.pooling == "fields":
        by_field = FieldTokenizer(tokenizer, layout, considers, recipe.max_tokens)
        return by_field, by_field.fields
    return PairTokenizer(tokenizer, layout, considers, recipe.max_tokens), ((), ())


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
        scorer = PairScorer(backbone, record.heads, record.recipe.pooling, fields)
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
