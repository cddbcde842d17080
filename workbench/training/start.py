"""What a training starts from: the pretrained backbone or a checkpoint, less what the recipe prunes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import BadInput
from workbench.golden import Pair
from workbench.policy import Policy
from workbench.recipe import TrainedRecipe
from workbench.training.compress import least_important, pruned, scorer_importance
from workbench.training.model import new_scorer
from workbench.training.scorer import PairScorer
from workbench.training.tokens import PairTokenizer


def starting_scorer(
    recipe: TrainedRecipe, policy: Policy, start: Path | None, pairs: Sequence[Pair]
) -> tuple[PairScorer, PairTokenizer]:
    """Return the model that a training begins with, and its tokenizer.

    Args:
        recipe: which backbone, which heads, and what is pruned.
        policy: gives the dimensions and the fields that are read.
        start: folder of the checkpoint that ``init_from`` means; None without one.
        pairs: to learn from; importance is measured on a sample of them, always the same one.

    Raises:
        Unavailable: the backbone cannot be found or loaded.
        BadInput: the recipe asks for what the backbone does not have, or leaves no layer.
    """
    scorer, tokens = new_scorer(recipe, policy, start)
    cut = recipe.prune
    if cut is None:
        return scorer, tokens
    config: Any = scorer.backbone.config
    layers = config.num_hidden_layers
    gone = cut.drop_layers or len(set(cut.without))
    if gone >= layers:
        raise BadInput(
            f"The recipe {recipe.recipe} prunes {gone} layers, and its start has {layers}.",
            "Leave at least one: lower 'prune.drop_layers'.",
        )
    rng = np.random.default_rng((recipe.seed, 2))
    chosen = np.sort(rng.permutation(len(pairs))[: cut.measured_on])
    measured = scorer_importance(scorer, tokens, [pairs[i] for i in chosen])
    without = cut.without or least_important(measured, cut.drop_layers)
    smaller = pruned(scorer, measured, mlp=cut.mlp, without=without)
    return smaller, tokens
