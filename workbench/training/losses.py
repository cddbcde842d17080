"""Losses of one head. Each takes logits and target probabilities and averages over the rows that have a target.

Shapes: ``logits`` and ``targets`` are (rows, classes), ``known`` is boolean (rows,). Rows that are not known may
hold anything. Where no row is known the loss is 0 and has a zero gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softmax

from workbench.recipe import TrainedRecipe
from workbench.training.data import Targets
from workbench.training.record import Head


def soft_cross_entropy(logits: Tensor, targets: Tensor, known: Tensor) -> Tensor:
    """Return the mean of ``-sum_c t_c log p_c`` with ``p = softmax(logits)``: cross-entropy on soft targets.

    Its least value is the entropy of the targets, reached at ``p = t``.
    """
    targets = _cleared(targets, known)
    return _mean(-(targets * log_softmax(logits, dim=-1)).sum(-1), known)


def distillation(logits: Tensor, targets: Tensor, known: Tensor, temperature: float = 1.0) -> Tensor:
    """Return the mean of ``T^2 KL(t_T || p_T)``, ``p_T = softmax(logits / T)``: Hinton et al. 2015, section 2.

    The teacher is known by its probabilities ``t``, not its logits; ``t_T`` is ``t^(1/T)`` divided by its sum,
    which equals ``softmax(z / T)`` for any logits ``z`` with ``softmax(z) = t``. The factor ``T^2`` keeps the
    size of the gradient the same at every temperature.
    """
    warm = _cleared(targets, known).clamp_min(0).pow(1 / temperature)
    warm = warm / warm.sum(-1, keepdim=True).clamp_min(torch.finfo(warm.dtype).tiny)
    # xlogy makes 0 log 0 = 0; the student's side cannot be -inf.
    divergence = (torch.xlogy(warm, warm) - warm * log_softmax(logits / temperature, dim=-1)).sum(-1)
    return temperature**2 * _mean(divergence, known)


def squared_emd(logits: Tensor, targets: Tensor, known: Tensor, levels: int) -> Tensor:
    """Return the mean of ``sum_k (P_k - T_k)^2`` over cumulative distributions: Hou et al. 2016, equation 9, l = 2.

    For ordered classes this is the squared earth mover's distance: being wrong by two levels costs more than by
    one. Only the first ``levels`` classes are ordered; a class after them (N/A) is no step of the scale, so both
    distributions are conditioned on the levels, and a row counts by the target's mass on them.
    """
    targets = _cleared(targets, known)
    mass = targets[:, :levels].sum(-1)
    conditional = targets[:, :levels] / mass.clamp_min(torch.finfo(targets.dtype).tiny)[:, None]
    gap = softmax(logits[:, :levels], dim=-1).cumsum(-1) - conditional.cumsum(-1)
    return _mean(gap.square().sum(-1), known, mass)


@dataclass(frozen=True)
class Loss:
    """The loss of a batch and its two parts, each a mean over the dimensions with known targets; None: none known."""

    total: Tensor
    golden: Tensor | None
    soft: Tensor | None


def total_loss(
    recipe: TrainedRecipe, heads: Sequence[Head], logits: Mapping[str, Tensor], golden: Targets, soft: Targets
) -> Loss:
    """Return ``golden_weight * (cross-entropy + ordinal_weight * EMD^2) + soft_weight * distillation``.

    Args:
        recipe: gives the weights and the temperature.
        heads: the dimensions.
        logits: by dimension, (rows, classes).
        golden, soft: targets of the same rows.
    """
    data = recipe.data
    golden_parts, soft_parts = [], []
    for head in heads:
        answer, target, known = logits[head.key], golden.probabilities[head.key], golden.known[head.key]
        if data.golden_weight and known.any():
            part = soft_cross_entropy(answer, target, known)
            if recipe.ordinal_weight:
                part = part + recipe.ordinal_weight * squared_emd(answer, target, known, len(head.levels))
            golden_parts.append(part)
        target, known = soft.probabilities[head.key], soft.known[head.key]
        if data.soft_labels and data.soft_labels.weight and known.any():
            soft_parts.append(distillation(answer, target, known, data.soft_labels.temperature))
    golden_loss = torch.stack(golden_parts).mean() if golden_parts else None
    soft_loss = torch.stack(soft_parts).mean() if soft_parts else None
    total = next(iter(logits.values())).sum() * 0.0
    if golden_loss is not None:
        total = total + data.golden_weight * golden_loss
    if soft_loss is not None and data.soft_labels:
        total = total + data.soft_labels.weight * soft_loss
    return Loss(total, golden_loss, soft_loss)


def _cleared(targets: Tensor, known: Tensor) -> Tensor:
    # Not a product: an unknown row may hold NaN, and 0 * NaN is NaN, in the gradient too.
    return torch.where(known[:, None], targets, 0.0)


def _mean(rows: Tensor, known: Tensor, weights: Tensor | None = None) -> Tensor:
    share = known.to(rows.dtype) if weights is None else known * weights
    return (rows * share).sum() / share.sum().clamp_min(torch.finfo(rows.dtype).tiny)
