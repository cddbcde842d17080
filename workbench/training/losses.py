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

from workbench.recipe import ClickLosses, TrainedRecipe
from workbench.training.batches import Cells, Lesson
from workbench.training.ranking_losses import (
    click_cross_entropy,
    listwise_softmax,
    pairwise_logistic,
    propensity_cross_entropy,
)
from workbench.training.record import CLICK, Head


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


def cumulative_link(logits: Tensor, targets: Tensor, known: Tensor, levels: int) -> Tensor:
    """Return the mean of ``-sum_k (T_k log C_k + (1 - T_k) log(1 - C_k))`` over the thresholds between levels.

    ``C_k`` and ``T_k`` are the probabilities of a level of at most k by the model and by the target, k from the first
    level to the last but one: the cumulative scale of McCullagh 1980, each threshold learnt as a yes-or-no question
    (Cheng, Wang and Pollastri 2008). ``C`` is the cumulative sum of ``softmax(logits)``, so thresholds cannot cross.
    N/A is left out as in :func:`squared_emd`.
    """
    targets = _cleared(targets, known)
    mass = targets[:, :levels].sum(-1)
    conditional = targets[:, :levels] / mass.clamp_min(torch.finfo(targets.dtype).tiny)[:, None]
    below = conditional.cumsum(-1)[:, :-1]
    answer = log_softmax(logits[:, :levels], dim=-1)
    log_below = answer.logcumsumexp(-1)[:, :-1].clamp_max(0)
    log_above = answer.flip(-1).logcumsumexp(-1).flip(-1)[:, 1:].clamp_max(0)
    return _mean(-(below * log_below + (1 - below) * log_above).sum(-1), known, mass)


@dataclass(frozen=True)
class Loss:
    """The loss of a batch, its parts by what is learnt from, and the part of each head, weights included.

    ``golden`` and ``soft`` are means over the dimensions with known targets, None where none is known; ``others`` has
    the same for a data set, clicks and teachers, under the names of the metrics. ``heads`` has, by dimension and for
    :data:`~workbench.training.record.CLICK`, what the head adds to the loss before that mean.
    """

    total: Tensor
    golden: Tensor | None
    soft: Tensor | None
    others: Mapping[str, Tensor]
    heads: Mapping[str, Tensor]


def total_loss(
    recipe: TrainedRecipe,
    heads: Sequence[Head],
    logits: Mapping[str, Tensor],
    lesson: Lesson,
    tower: Tensor | None = None,
) -> Loss:
    """Return the weighted sum of what the recipe learns from.

    ``golden_weight * labels(golden) + dataset_weight * labels(data set) + soft_weight * KL(soft) + clicks + alpha *
    KL(policy teachers) + (1 - alpha) * KL(click teachers)``, where ``labels`` is cross-entropy, the squared earth
    mover's distance and the cumulative link in the recipe's weights, and the KL of several teachers is their weighted
    mean.

    Args:
        recipe: gives weights and temperatures.
        heads: the dimensions.
        logits: by dimension, (rows, classes); of the click head, (rows, 1).
        lesson: targets of the same rows.
        tower: logit of each position, (positions,), where the recipe corrects clicks by it.
    """
    sums = _Sums()
    data, alpha = recipe.data, recipe.alpha
    if "policy" in recipe.heads:
        for head in heads:
            answer = logits[head.key]
            for name, weight, targets in (
                ("golden", data.golden_weight, lesson.golden),
                ("dataset", data.dataset_weight if data.dataset else 0.0, lesson.dataset),
            ):
                known = targets.known[head.key]
                if weight and known.any():
                    part = _labels(recipe, head, answer, targets.probabilities[head.key], known)
                    sums.add(name, weight, head.key, part)
            known = lesson.soft.known[head.key]
            if data.soft_labels and data.soft_labels.weight and known.any():
                part = distillation(
                    answer, lesson.soft.probabilities[head.key], known, data.soft_labels.temperature
                )
                sums.add("soft", data.soft_labels.weight, head.key, part)
            for teacher, taught in zip(recipe.teachers, lesson.teachers, strict=True):
                known = taught.policy.known[head.key]
                if alpha and known.any():
                    part = distillation(
                        answer, taught.policy.probabilities[head.key], known, teacher.temperature
                    )
                    sums.add("policy_teachers", alpha, head.key, taught.policy_share * part)
    if "click" in recipe.heads:
        answer = logits[CLICK][:, 0]
        if len(lesson.clicks.row):
            sums.add("clicks", 1.0, CLICK, _clicks(recipe.weights.click, answer, lesson.clicks, tower))
        for teacher, taught in zip(recipe.teachers, lesson.teachers, strict=True):
            if alpha < 1 and taught.click_known.any():
                # A click is a choice of two classes, whose logits are 0 and the head's.
                two = torch.stack([torch.zeros_like(answer), answer], dim=-1)
                wanted = torch.stack([1 - taught.click, taught.click], dim=-1)
                part = distillation(two, wanted, taught.click_known, teacher.temperature)
                sums.add("click_teachers", 1 - alpha, CLICK, taught.click_share * part)
    return sums.loss(next(iter(logits.values())).sum() * 0.0)


class _Sums:
    """Parts of the loss by kind; a kind's parts are averaged over its heads."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[float, dict[str, Tensor]]] = {}

    def add(self, kind: str, weight: float, head: str, part: Tensor) -> None:
        _, parts = self._kinds.setdefault(kind, (weight, {}))
        parts[head] = parts[head] + part if head in parts else part

    def loss(self, zero: Tensor) -> Loss:
        total, shown, by_head = zero, dict[str, Tensor](), dict[str, Tensor]()
        for kind, (weight, parts) in self._kinds.items():
            shown[kind] = torch.stack(list(parts.values())).mean()
            total = total + weight * shown[kind]
            for head, part in parts.items():
                by_head[head] = weight * part + by_head.get(head, 0.0)
        return Loss(
            total,
            shown.get("golden"),
            shown.get("soft"),
            {f"loss_{kind}": part for kind, part in shown.items() if kind not in ("golden", "soft")},
            by_head,
        )


def _labels(recipe: TrainedRecipe, head: Head, answer: Tensor, target: Tensor, known: Tensor) -> Tensor:
    weights, levels = recipe.weights.policy, len(head.levels)
    part = weights.cross_entropy * soft_cross_entropy(answer, target, known)
    if recipe.ordinal_weight:
        part = part + recipe.ordinal_weight * squared_emd(answer, target, known, levels)
    if weights.cumulative_link:
        part = part + weights.cumulative_link * cumulative_link(answer, target, known, levels)
    return part


def _clicks(weights: ClickLosses, answer: Tensor, clicks: Cells, tower: Tensor | None) -> Tensor:
    """Return the click head's losses in the recipe's weights. A tower's logits are added to the cells alone."""
    logits = answer[clicks.row]
    if tower is not None:
        logits = logits + tower[clicks.position.clamp_max(len(tower)) - 1]
    part = answer.sum() * 0.0
    weighted = weights.bias == "inverse_propensity"
    if weights.bce and weighted:
        part = part + weights.bce * propensity_cross_entropy(
            logits, clicks.shown, clicks.clicked, clicks.propensity, weights.clip
        )
    elif weights.bce:
        part = part + weights.bce * click_cross_entropy(logits, clicks.shown, clicks.clicked)
    if weights.pairwise or weights.listwise:
        worth = clicks.propensity.reciprocal().clamp_max(weights.clip) if weighted else 1.0
        shown = answer.new_zeros(len(answer)).index_add(0, clicks.row, clicks.shown)
        clicked = answer.new_zeros(len(answer)).index_add(0, clicks.row, clicks.clicked * worth)
        rates, known = clicked / shown.clamp_min(1), shown > 0
        if weights.pairwise:
            part = part + weights.pairwise * pairwise_logistic(answer, rates, clicks.query, known)
        if weights.listwise:
            part = part + weights.listwise * listwise_softmax(answer, rates, clicks.query, known)
    return part


def _cleared(targets: Tensor, known: Tensor) -> Tensor:
    # Not a product: an unknown row may hold NaN, and 0 * NaN is NaN, in the gradient too.
    return torch.where(known[:, None], targets, 0.0)


def _mean(rows: Tensor, known: Tensor, weights: Tensor | None = None) -> Tensor:
    share = known.to(rows.dtype) if weights is None else known * weights
    return (rows * share).sum() / share.sum().clamp_min(torch.finfo(rows.dtype).tiny)
