"""Whether a recipe can learn one batch by heart: what is wrong with a model, its losses or its targets shows here first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from workbench.errors import BadInput
from workbench.policy import Policy
from workbench.recipe import TrainedRecipe
from workbench.training.batches import Encoded
from workbench.training.data import Example
from workbench.training.heads import logits_of, not_finite
from workbench.training.losses import total_loss
from workbench.training.record import heads_of
from workbench.training.start import starting_scorer


def overfit(
    recipe: TrainedRecipe,
    policy: Policy,
    examples: Sequence[Example],
    *,
    steps: int = 50,
    learning_rate: float | None = None,
    start: Path | None = None,
) -> tuple[float, ...]:
    """Train ``recipe`` on its first batch alone, over and over, without dropout, warmup, decay or clipping.

    Returns the loss of each step, (steps,). It has to fall towards its least value: 0 where all targets are certain, else
    the entropy of the targets (a divergence from soft labels or teachers can always reach 0).

    Args:
        recipe: what to train.
        policy: gives the heads.
        examples: the first ``batch_size`` of them are learnt.
        steps: how often.
        learning_rate: of all weights; None: the head's of the recipe for the heads, its own for the backbone.
        start: folder of the checkpoint that ``init_from`` means.

    Raises:
        BadInput: there is no example, or the recipe does not fit.
        WorkbenchError: the loss became NaN or infinite.
    """
    if not examples or steps < 1:
        raise BadInput("There is nothing to learn by heart.", "Give examples, and one step or more.")
    torch.manual_seed(recipe.seed)
    heads = heads_of(policy) if "policy" in recipe.heads else ()
    scorer, tokens = starting_scorer(recipe, policy, start, [e.pair for e in examples])
    scorer.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    batch = Encoded.of(examples[: recipe.schedule.batch_size], tokens, recipe, heads)
    rows = batch.order(len(batch.examples), (recipe.seed,))[0]
    lesson = batch.lesson.take(rows, scorer.device)
    read = [batch.tokens[row] for row in rows]
    if scorer.statistics() and not scorer.known:
        with torch.no_grad():
            scorer.learn_statistics(scorer.features(tokens.pad(read, scorer.device)))
    schedule = recipe.schedule
    trained = [p for p in scorer.backbone.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": trained, "lr": learning_rate or schedule.learning_rate},
            {"params": scorer.head_parameters(), "lr": learning_rate or schedule.head_learning_rate},
        ],
        weight_decay=0.0,
    )
    losses = []
    for step in range(1, steps + 1):
        logits = logits_of(scorer, tokens, read, recipe)
        loss = total_loss(recipe, heads, logits, lesson, scorer.tower)
        losses.append(loss.total.item())
        if not math.isfinite(losses[-1]):
            raise not_finite("loss", losses[-1], step, logits, [batch.examples[row] for row in rows])
        optimizer.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return tuple(losses)
