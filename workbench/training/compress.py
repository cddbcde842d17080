"""Smaller models from trained ones: MLP neurons and layers off by measured importance, int8 for the CPU.

A neuron of an MLP counts by the mean absolute value of its activation over the tokens of a sample times the norm of
the weights that read it, its mean contribution to the residual stream (activation-based width importance as in
Muralidharan et al. 2024, "Compact Language Models via Pruning and Knowledge Distillation", with the weight norm of
magnitude pruning). A layer counts by its block influence, one minus the mean cosine between what goes in and what
comes out (Men et al. 2024, "ShortGPT"). Nothing is trained here: a pruned model is distilled again.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import BadInput
from workbench.golden import Pair
from workbench.identity import Value
from workbench.training.model import Checkpoint
from workbench.training.parity import Parity, compared, require
from workbench.training.scorer import PairScorer
from workbench.training.tokens import FieldBatch, PairTokenizer

BATCH = 16


class Size(Value):
    """How large a model is and what a pair costs it.

    ``layers`` counts the weights of attention, MLP and norms; ``parameters`` all, embeddings and heads included.
    ``compute`` is floating-point operations a pair of ``tokens`` tokens read as one sequence, layers and MLP counted and
    embeddings not: 2 operations a weight of a matrix and token, and 4 * tokens² * width a layer for attention.
    """

    parameters: int
    layers: int
    tokens: int
    compute: int


@dataclass(frozen=True)
class Importance:
    """What a sample says: by layer, the importance of each MLP neuron, (neurons,), and the block influence."""

    neurons: tuple[Tensor, ...]
    layers: tuple[float, ...]


@dataclass(frozen=True)
class _Layer:
    """The parts of a layer that are measured and cut: ``up`` make the neurons, ``down`` reads them."""

    up: tuple[nn.Linear, ...]
    down: nn.Linear


def size(scorer: PairScorer, tokens: int) -> Size:
    """Return the size of a model and its compute for pairs of ``tokens`` tokens.

    Raises:
        BadInput: the backbone is neither like BERT nor like Llama.
    """
    blocks = _blocks(scorer.backbone)
    config: Any = scorer.backbone.config
    matrices = sum(
        part.weight.numel() for block in blocks for part in block.modules() if isinstance(part, nn.Linear)
    )
    width = config.num_attention_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    return Size(
        parameters=sum(p.numel() for p in scorer.parameters()),
        layers=sum(p.numel() for p in blocks.parameters()),
        tokens=tokens,
        compute=2 * matrices * tokens + 4 * tokens**2 * width * len(blocks),
    )


def importance(checkpoint: Checkpoint, pairs: Sequence[Pair]) -> Importance:
    """Measure neurons and layers of a checkpoint on ``pairs``: see :func:`scorer_importance`."""
    return scorer_importance(checkpoint.scorer, checkpoint.tokens, pairs)


@torch.no_grad()
def scorer_importance(scorer: PairScorer, tokens: PairTokenizer, pairs: Sequence[Pair]) -> Importance:
    """Measure neurons and layers on ``pairs``; padding does not count.

    Raises:
        BadInput: no pair has a token, or the backbone is neither like BERT nor like Llama.
    """
    backbone = scorer.backbone
    blocks = _blocks(backbone)
    cuts = [_cut(block) for block in blocks]
    device = scorer.device
    activity = [torch.zeros(cut.down.in_features, device=device) for cut in cuts]
    cosines = torch.zeros(len(cuts))
    seen = 0
    mask = torch.zeros(0)

    def neurons(i: int) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            activity[i] += args[0][mask == 1].float().abs().sum(dim=0)

        return hook

    def block(i: int) -> Any:
        def hook(module: nn.Module, args: tuple[Tensor, ...], kwargs: Any, output: Any) -> None:
            before = args[0] if args else kwargs["hidden_states"]
            after = output[0] if isinstance(output, tuple) else output
            cosine = nn.functional.cosine_similarity(before.float(), after.float(), dim=-1)
            cosines[i] += cosine[mask == 1].sum().item()

        return hook

    hooks = [cut.down.register_forward_pre_hook(neurons(i)) for i, cut in enumerate(cuts)]
    hooks += [part.register_forward_hook(block(i), with_kwargs=True) for i, part in enumerate(blocks)]
    backbone.eval()
    try:
        encoded = tokens.encode(pairs)
        for start in range(0, len(encoded), BATCH):
            batch = tokens.pad(encoded[start : start + BATCH], device)
            for text in batch.texts if isinstance(batch, FieldBatch) else (batch,):
                mask = text.mask
                seen += int(mask.sum())
                backbone(input_ids=text.ids, attention_mask=text.mask)
    finally:
        for handle in hooks:
            handle.remove()
    if not seen:
        raise BadInput("No pair has a text to measure importance on.", "Give pairs with texts.")
    return Importance(
        tuple(
            (total / seen * cut.down.weight.float().norm(dim=0)).cpu()
            for total, cut in zip(activity, cuts, strict=True)
        ),
        tuple((1 - cosines / seen).tolist()),
    )


def least_important(measured: Importance, count: int) -> tuple[int, ...]:
    """Return the ``count`` layers with the least block influence, ascending."""
    order = sorted(range(len(measured.layers)), key=lambda i: (measured.layers[i], i))
    return tuple(sorted(order[:count]))


def compress(
    checkpoint: Checkpoint, measured: Importance, *, mlp: float = 1.0, without: Sequence[int] = ()
) -> Checkpoint:
    """Return a smaller checkpoint: the most important neurons of each MLP, and all layers but ``without``.

    Its backbone is a plain transformers model whose configuration says the new sizes. ``checkpoint`` stays as it is. The
    record names it as a parent and has no weights hash before it is saved
    (:func:`workbench.training.model.save_checkpoint`).

    Args:
        checkpoint: what is cut.
        measured: from :func:`importance` on the same checkpoint.
        mlp: share of each layer's neurons that stays, above 0 and at most 1.
        without: numbers of the layers to leave out, from 0 (:func:`least_important`, or chosen).

    Raises:
        BadInput: a share or a layer that cannot be, or no layer left.
    """
    scorer = pruned(checkpoint.scorer, measured, mlp=mlp, without=without)
    config: Any = scorer.backbone.config
    record = checkpoint.record
    lineage = record.lineage.model_copy(
        update={"parents": (*record.lineage.parents, record.weights_hash or record.name)}
    )
    figures = {
        "pruned_layers": ", ".join(map(str, sorted(set(without)))) or None,
        "mlp_neurons": config.intermediate_size,
        "parameters": sum(p.numel() for p in scorer.parameters()),
    }
    about = record.model_copy(update={"lineage": lineage, "figures": figures, "weights_hash": ""})
    return Checkpoint(about, scorer, checkpoint.tokens)


def pruned(
    scorer: PairScorer, measured: Importance, *, mlp: float = 1.0, without: Sequence[int] = ()
) -> PairScorer:
    """Return a smaller copy of a model, in evaluation mode; see :func:`compress`.

    Raises:
        BadInput: a share or a layer that cannot be, or no layer left.
    """
    import transformers

    models: Any = transformers.AutoModel
    backbone = scorer.backbone
    blocks = _blocks(backbone)
    count = len(blocks)
    if not 0 < mlp <= 1:
        raise BadInput(f"A share of {mlp:g} of the MLP cannot stay.", "Give more than 0 and at most 1.")
    wrong = sorted({i for i in without if not 0 <= i < count})
    if wrong:
        raise BadInput(f"There is no layer {wrong[0]}: they are 0 to {count - 1}.", "Correct the list.")
    kept = [i for i in range(count) if i not in set(without)]
    if not kept:
        raise BadInput("No layer would stay.", "Leave at least one.")
    config: Any = copy.deepcopy(backbone.config)
    neurons = max(1, round(config.intermediate_size * mlp))
    config.intermediate_size, config.num_hidden_layers = neurons, len(kept)
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[i] for i in kept]
    cut = copy.deepcopy(backbone)
    _keep(cut, kept)
    with torch.no_grad():
        for i, block in zip(kept, _blocks(cut), strict=True):
            chosen = measured.neurons[i].topk(neurons).indices.sort().values
            parts = _cut(block)
            for up in parts.up:
                up.weight = nn.Parameter(up.weight[chosen])
                if up.bias is not None:
                    up.bias = nn.Parameter(up.bias[chosen])
            parts.down.weight = nn.Parameter(parts.down.weight[:, chosen])
    # Made anew from its configuration, so that layers know their new numbers (a decoder's cache goes by them).
    fresh = models.from_config(config, trust_remote_code=False, dtype=torch.float32)
    fresh.load_state_dict(cut.state_dict(), strict=True)
    smaller = copy.copy(scorer)
    smaller._modules = dict(scorer._modules)
    smaller.backbone = fresh
    return copy.deepcopy(smaller).eval()


def int8(
    checkpoint: Checkpoint, pairs: Sequence[Pair], *, spearman: float = 0.99
) -> tuple[PairScorer, Parity]:
    """Return the scorer with int8 weights in the backbone's linear layers (dynamic quantisation), and how near it is.

    For the CPU. It is made at load time and not saved: its weights have no place in safetensors.

    Raises:
        Refused: its Spearman correlation with the checkpoint on ``pairs`` is below ``spearman``.
        BadInput: too few pairs.
    """
    import warnings

    scorer = copy.deepcopy(checkpoint.scorer).cpu()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torchao replaces it and is no dependency here
        quantize: Any = torch.ao.quantization.quantize_dynamic
        scorer.backbone = quantize(scorer.backbone, {nn.Linear}, dtype=torch.qint8)
    parity = compared(checkpoint, pairs, scorer)
    require(parity, f"{checkpoint.record.name} in int8", spearman=spearman)
    return scorer, parity


def _blocks(backbone: nn.Module) -> nn.ModuleList:
    found = getattr(backbone, "layers", None)
    if found is None:
        found = getattr(getattr(backbone, "encoder", None), "layer", None)
    if not isinstance(found, nn.ModuleList):
        raise BadInput(
            f"Layers of {type(backbone).__name__} are not known.",
            "Encoders like BERT and decoders like Llama are.",
        )
    return found


def _keep(backbone: nn.Module, kept: Sequence[int]) -> None:
    some = nn.ModuleList([_blocks(backbone)[i] for i in kept])
    if getattr(backbone, "layers", None) is not None:
        backbone.layers = some
    else:
        encoder: Any = backbone.encoder
        encoder.layer = some


def _cut(block: Any) -> _Layer:
    if hasattr(block, "mlp") and hasattr(block.mlp, "down_proj") and hasattr(block.mlp, "gate_proj"):
        return _Layer((block.mlp.gate_proj, block.mlp.up_proj), block.mlp.down_proj)
    if hasattr(block, "intermediate") and hasattr(block.intermediate, "dense"):
        return _Layer((block.intermediate.dense,), block.output.dense)
    raise BadInput(
        f"The MLP of {type(block).__name__} is not known.", "Encoders like BERT and decoders like Llama are."
    )
