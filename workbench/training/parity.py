"""Whether a changed form of a checkpoint (int8, ONNX) still grades as the checkpoint does, on a sample of pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import spearmanr

from workbench.errors import BadInput, Refused
from workbench.golden import Pair
from workbench.identity import Value
from workbench.training.model import Checkpoint
from workbench.training.tokens import Batch, FieldBatch

Floats = npt.NDArray[np.float64]
Answer = Callable[[Batch | FieldBatch], Mapping[str, torch.Tensor]]
"""From padded pairs to each dimension's logits, as :class:`~workbench.training.scorer.PairScorer` answers."""

BATCH = 16
LEAST = 20
"""Pairs that a rank correlation needs to say anything."""


class Parity(Value):
    """How near two forms are: the greatest difference of a probability, and the lowest Spearman of a dimension.

    The correlation is of expected grades over the pairs; it is None where the checkpoint itself says the same of all
    pairs of some dimension, so that there is no order to keep.
    """

    pairs: int
    max_difference: float
    spearman: float | None


def probabilities(checkpoint: Checkpoint, pairs: Sequence[Pair], answer: Answer) -> dict[str, Floats]:
    """Return each dimension's class probabilities of ``pairs``, (pairs, classes), by ``answer``.

    Those of a click head, under its key, are (pairs, 1).
    """
    tokens = checkpoint.tokens
    encoded = tokens.encode(pairs)
    found: dict[str, list[Floats]] = {}
    for start in range(0, len(encoded), BATCH):
        with torch.inference_mode():
            logits = answer(tokens.pad(encoded[start : start + BATCH], checkpoint.scorer.device))
        for key, part in logits.items():
            alone = (
                part.shape[-1] == 1
            )  # a click head has one logit, the heads of dimensions have two or more
            chance = torch.sigmoid(part.double()) if alone else torch.softmax(part.double(), dim=-1)
            found.setdefault(key, []).append(chance.cpu().numpy())
    return {key: np.concatenate(parts) for key, parts in found.items()}


def compared(checkpoint: Checkpoint, pairs: Sequence[Pair], answer: Answer) -> Parity:
    """Return how near ``answer`` is to the checkpoint as it is, on ``pairs``.

    Raises:
        BadInput: fewer than ``LEAST`` pairs.
    """
    if len(pairs) < LEAST:
        raise BadInput(
            f"{len(pairs)} pairs are too few to check a converted checkpoint.", f"Give {LEAST} or more."
        )
    before = probabilities(checkpoint, pairs, checkpoint.scorer)
    after = probabilities(checkpoint, pairs, answer)
    ranks: list[float | None] = []
    scales = {head.key: np.array(head.levels, dtype=np.float64) for head in checkpoint.record.heads}
    for key in before:
        levels = scales.get(key, np.array([1.0]))  # a click is 1 or nothing, and its chance is its mean
        total = 1.0 if key not in scales else None
        means = []
        for part in (before[key], after[key]):
            mass = part[:, : len(levels)]
            means.append(mass @ levels / (total or mass.sum(axis=1)))
        if np.ptp(means[0]) == 0:
            ranks.append(None)
        elif not np.isfinite(means[1]).all() or np.ptp(means[1]) == 0:
            ranks.append(0.0)  # no number, or no order left
        else:
            ranks.append(float(spearmanr(means[0], means[1])[0]))
    known = [rank for rank in ranks if rank is not None]
    worst = max(float(np.abs(before[key] - after[key]).max()) for key in before)
    return Parity(
        pairs=len(pairs), max_difference=worst, spearman=min(known) if len(known) == len(ranks) else None
    )


def require(parity: Parity, what: str, *, spearman: float, difference: float = 1.0) -> None:
    """Refuse a form that is not near enough.

    Raises:
        Refused: the correlation is below ``spearman`` or unknown, or a probability differs by more than ``difference``.
    """
    if parity.spearman is None:
        raise Refused(
            f"{what} cannot be checked: the checkpoint gives all {parity.pairs} pairs of some dimension the same grade.",
            "Check it on other pairs, or train the checkpoint first.",
        )
    # Written so that a NaN is refused too.
    if not (parity.spearman >= spearman and parity.max_difference <= difference):
        raise Refused(
            f"{what} does not grade as the checkpoint does: on {parity.pairs} pairs Spearman is {parity.spearman:.4f} "
            f"(at least {spearman:g} is asked) and a probability differs by up to {parity.max_difference:.4f} "
            f"(at most {difference:g}).",
            "Use the checkpoint as it is, or ask for less.",
        )
