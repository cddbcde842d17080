"""What happens to the heads beside the training loop: their first fit, their stretch, and how well they do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.agreement import agreement
from workbench.errors import WorkbenchError
from workbench.golden import NOT_GRADED
from workbench.recipe import TrainedRecipe
from workbench.run import Reporter
from workbench.training.batches import Encoded, Lesson, Targets
from workbench.training.data import Example
from workbench.training.grades import decide, stretched
from workbench.training.losses import total_loss
from workbench.training.record import CLICK, Head
from workbench.training.scorer import PairScorer
from workbench.training.tokens import PairTokenizer, Tokens
from workbench.training.worst import worst_examples

Rows = npt.NDArray[np.int_]

FIRST_FIT = 4096
"""Pairs that the first fit of the heads, and their stretch, look at, at most."""


def first_fit(
    scorer: PairScorer,
    tokens: PairTokenizer,
    train: Encoded,
    recipe: TrainedRecipe,
    heads: Sequence[Head],
    reporter: Reporter,
) -> bool:
    """Fit the heads to the features of the backbone as it is; return False where a stop was asked for meanwhile.

    Heads that start at zero send noise back into the backbone while they learn, and a few hundred labels cannot
    mend that; fitted heads first, then fine-tuning, keeps what pretraining knew (Kumar et al. 2022, LP-FT). The
    problem is small: at most ``FIRST_FIT`` pairs, all at once, L-BFGS, the training loss plus
    ``head_penalty / pairs * |W|^2``. Where fields are compared, the features' mean and spread are learnt here too,
    also without ``head_penalty``. Heads that come from another checkpoint stay as they are.
    """
    fresh = [kind for kind in recipe.heads if kind not in scorer.known]
    if not fresh:
        reporter.log("The heads are those of the checkpoint that this training starts from.")
        return True
    rows = _some(train, tokens, recipe)
    size = recipe.schedule.batch_size
    parts = []
    scorer.eval()
    for i in range(0, len(rows), size):
        if reporter.stopping():
            return False
        batch = tokens.pad([train.tokens[row] for row in rows[i : i + size]], scorer.device)
        with torch.no_grad(), _precision(scorer, recipe):
            parts.append(scorer.features(batch))
    features = torch.cat(parts)
    if not torch.isfinite(features).all():
        raise not_finite(
            "output of the backbone", math.nan, 0, {"": features}, [train.examples[r] for r in rows]
        )
    if not scorer.known:
        scorer.learn_statistics(features)
    if recipe.schedule.head_penalty is None:
        return True
    lesson = train.lesson.take(rows, scorer.device)
    penalty = recipe.schedule.head_penalty / len(rows)
    layers = {"policy": scorer.head, "click": scorer.click}
    fitted = [layer for kind in fresh if (layer := layers[kind]) is not None]
    parameters = [parameter for layer in fitted for parameter in layer.parameters()]
    if scorer.tower is not None and "click" in fresh:
        parameters.append(scorer.tower)
    optimizer = torch.optim.LBFGS(parameters, max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = total_loss(recipe, heads, scorer.answer(features), lesson, scorer.tower).total
        for layer in fitted:
            loss = loss + penalty * layer.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    reporter.log(f"The heads were first fitted to {len(rows)} pairs with the backbone as it is.")
    return True


def stretch_heads(
    scorer: PairScorer, tokens: PairTokenizer, train: Encoded, recipe: TrainedRecipe, heads: Sequence[Head]
) -> tuple[Head, ...]:
    """Return the heads with centre and stretch for the weights as they are now (:mod:`workbench.training.grades`).

    The labels whose spread is reached are the golden votes where the recipe learns from them and a dimension has any,
    else those of the data set, else the soft labels, else a teacher's.
    """
    if not heads:
        return ()
    rows = _some(train, tokens, recipe)
    logits = _all_logits(scorer, tokens, train, rows, recipe)
    found = []
    for head in heads:
        probabilities = torch.softmax(logits[head.key].double(), dim=-1).cpu().numpy()
        targets = _measure(train.lesson, recipe, head)
        known = targets.known[head.key].numpy()[rows]
        wanted = targets.probabilities[head.key].double().numpy()[rows]
        found.append(stretched(head, probabilities[known], wanted[known]))
    return tuple(found)


@dataclass(frozen=True)
class Evaluation:
    """How a model does on the validation pairs: figures by name, None where undefined; and the worst pairs."""

    figures: dict[str, float | None]
    worst: list[dict[str, Any]]


def evaluate(
    scorer: PairScorer, tokens: PairTokenizer, encoded: Encoded, recipe: TrainedRecipe, heads: Sequence[Head]
) -> Evaluation:
    """Return eval_loss, exact agreement and quadratic kappa of each dimension, and the click head's AUC.

    The AUC is over impressions, positions left out.
    """
    order = _in_order(np.arange(len(encoded.tokens)), encoded, tokens)
    logits = _all_logits(scorer, tokens, encoded, order, recipe)
    lesson = encoded.lesson.take(order, scorer.device)
    figures: dict[str, float | None] = {
        "eval_loss": total_loss(recipe, heads, logits, lesson, scorer.tower).total.item()
    }
    examples = [encoded.examples[row] for row in order]
    queries = np.array([example.pair.query_id for example in examples])
    for head in heads:
        grades, _, _ = decide(head, torch.softmax(logits[head.key].double(), dim=-1).cpu().numpy())
        human = np.array([example.settled.get(head.key, NOT_GRADED) for example in examples])
        found = agreement(grades, human, queries, head.levels, resamples=0)
        figures[f"{head.key}.exact"] = found.exact.value
        figures[f"{head.key}.kappa"] = found.kappa_quadratic.value
    if CLICK in logits and len(lesson.clicks.row):
        figures[f"{CLICK}.auc"] = _auc(logits[CLICK][:, 0], lesson)
    return Evaluation(figures, worst_examples(heads, logits, lesson, examples))


def _auc(scores: Tensor, lesson: Lesson) -> float | None:
    """Return the chance that a clicked impression scores above another one; None where all or none are clicked."""
    from sklearn.metrics import roc_auc_score  # half a second

    cells = lesson.clicks
    clicked, passed = cells.clicked.cpu().numpy(), (cells.shown - cells.clicked).cpu().numpy()
    of = scores[cells.row].double().cpu().numpy()
    if not clicked.sum() or not passed.sum() or not np.isfinite(of).all():
        return None
    truth = np.repeat([1, 0], len(of))
    return float(roc_auc_score(truth, np.tile(of, 2), sample_weight=np.concatenate([clicked, passed])))


def _measure(lesson: Lesson, recipe: TrainedRecipe, head: Head) -> Targets:
    kinds = [lesson.golden] if recipe.data.golden_weight else []
    kinds += [lesson.dataset, lesson.soft, *(teacher.policy for teacher in lesson.teachers)]
    return next((targets for targets in kinds if targets.known[head.key].any()), lesson.soft)


def logits_of(
    scorer: PairScorer, tokens: PairTokenizer, batch: Sequence[Tokens], recipe: TrainedRecipe
) -> dict[str, Tensor]:
    """Return each dimension's logits of one batch, (pairs, classes), in the recipe's precision."""
    with _precision(scorer, recipe):
        logits: dict[str, Tensor] = scorer(tokens.pad(batch, scorer.device))
    return logits


def not_finite(
    what: str, value: float, step: int, outputs: Mapping[str, Tensor], examples: Sequence[Example]
) -> WorkbenchError:
    """Return the error that names the pairs whose rows of ``outputs`` are NaN or infinite."""
    bad = torch.stack([~torch.isfinite(part).all(dim=1) for part in outputs.values()]).any(dim=0).tolist()
    # Where each pair by itself is finite (an overflow in a sum or a gradient), the whole batch is named.
    ids = [e.pair.id for e, is_bad in zip(examples, bad, strict=True) if is_bad or not any(bad)]
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return WorkbenchError(
        f"Training stopped at step {step}: the {what} is {value} with pair {', '.join(ids[:5])}{more}.",
        "Look at these pairs; if they are sound, lower the learning rates or train in float32.",
    )


def _some(train: Encoded, tokens: PairTokenizer, recipe: TrainedRecipe) -> Rows:
    """Return the rows of at most ``FIRST_FIT`` training pairs, always the same, in a cheap order."""
    rng = np.random.default_rng((recipe.seed, 0))
    return _in_order(np.sort(rng.permutation(len(train.tokens))[:FIRST_FIT]), train, tokens)


def _in_order(rows: Rows, encoded: Encoded, tokens: PairTokenizer) -> Rows:
    return np.array(sorted(rows, key=lambda row: tokens.alike(encoded.tokens[row])), dtype=np.int_)


@torch.no_grad()
def _all_logits(
    scorer: PairScorer, tokens: PairTokenizer, encoded: Encoded, rows: Rows, recipe: TrainedRecipe
) -> dict[str, Tensor]:
    scorer.eval()
    size = recipe.schedule.batch_size
    parts = [
        logits_of(scorer, tokens, [encoded.tokens[row] for row in rows[i : i + size]], recipe)
        for i in range(0, len(rows), size)
    ]
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def _precision(scorer: PairScorer, recipe: TrainedRecipe) -> torch.autocast:
    half = recipe.precision == "bfloat16"
    return torch.autocast(scorer.device.type, dtype=torch.bfloat16, enabled=half)
