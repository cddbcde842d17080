"""The network: one encoder or decoder backbone, one linear head a dimension, and a click head where asked for."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workbench.recipe import HeadKind, Pooling
from workbench.training.fields import considered_inputs, interactions
from workbench.training.record import CLICK, Head
from workbench.training.tokens import DOCUMENT, QUERY, Batch, FieldBatch

STILL = 1e-4
"""A feature of fields that varies less than this over the training pairs counts as constant."""
FARTHEST = 5.0
"""Standard deviations: a feature far from what training has seen is cut to this, so that none decides alone."""


class PairScorer(nn.Module):
    """A backbone and one linear head a dimension. The head answers over the levels, and N/A where it is allowed.

    The click head, where there is one, gives the logit of a click. ``tower`` is what each position adds to it in
    training (Guo et al. 2019, PAL; Zhao et al. 2019, the shallow tower): the answer leaves it out.
    """

    mean: Tensor
    spread: Tensor
    seen: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        heads: Sequence[Head],
        pooling: Pooling,
        fields: tuple[Sequence[str], Sequence[str]] = ((), ()),
        *,
        click: bool = False,
        positions: int = 0,
    ) -> None:
        """Put new heads on ``backbone``; they start at zero, so the first answer is the uniform one.

        Args:
            backbone: a transformers model.
            heads: one a dimension.
            pooling: how what the backbone says of a pair becomes features.
            fields: where pooling is ``fields``, the names that are read of the query and of the document.
            click: whether there is a click head.
            positions: how many positions the tower knows; 0 for no tower.
        """
        super().__init__()
        self.backbone = backbone
        self.heads = tuple(heads)
        self.pooling = pooling
        self.known: frozenset[HeadKind] = frozenset()
        """Kinds of heads that come from another checkpoint, so that they are not fitted anew."""
        config: Any = backbone.config
        classes = sum(head.classes for head in heads)
        width = config.hidden_size * (4 if pooling == "sides" else 1)
        if pooling == "fields":
            self.queries = len(fields[0])
            documents = len(fields[1])
            width = self.queries * documents + 2 * (self.queries + documents)
            seen = considered_inputs(heads, fields) if heads else torch.zeros(0, width)
            self.register_buffer("seen", seen, persistent=False)
            self.register_buffer("mean", torch.zeros(width))
            self.register_buffer("spread", torch.ones(width))
        # All heads are the rows of one matrix: one multiplication, and keys are never attribute names.
        self.head = _zero_head(width, classes)
        self.click = _zero_head(width, 1) if click else None
        self.tower = nn.Parameter(torch.zeros(positions)) if positions else None

    def forward(self, batch: Batch | FieldBatch) -> dict[str, Tensor]:
        """Return each dimension's logits, (pairs, classes), and the click head's under ``CLICK``, (pairs, 1).

        They are float32 under autocast too.

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
        """Return each dimension's logits, and the click head's, from features."""
        with torch.autocast(features.device.type, enabled=False):
            weight = self.head.weight
            features = features.float()
            if self.pooling == "fields":
                features = ((features - self.mean) / self.spread).clamp(-FARTHEST, FARTHEST)
                weight = weight * self.seen
            logits = nn.functional.linear(features, weight, self.head.bias)
            click = {} if self.click is None else {CLICK: self.click(features)}
        parts = torch.split(logits, [head.classes for head in self.heads], dim=-1) if self.heads else ()
        return {head.key: part for head, part in zip(self.heads, parts, strict=True)} | click

    def head_gradient_norms(self) -> dict[str, float]:
        """Return the norm of the gradient in each dimension's head, and in the click head under ``CLICK``."""
        norms = {}
        grad, bias = self.head.weight.grad, self.head.bias.grad
        if self.heads and grad is not None and bias is not None:
            squares = torch.split(grad.square().sum(1) + bias.square(), [h.classes for h in self.heads])
            norms = {h.key: part.sum().sqrt().item() for h, part in zip(self.heads, squares, strict=True)}
        if self.click is not None and self.click.weight.grad is not None:
            parts = [p.grad.square().sum() for p in self.click.parameters() if p.grad is not None]
            norms[CLICK] = torch.stack(parts).sum().sqrt().item()
        return norms

    def head_parameters(self) -> list[nn.Parameter]:
        """Return all that is trained beside the backbone."""
        click = [] if self.click is None else list(self.click.parameters())
        return [*self.head.parameters(), *click, *([] if self.tower is None else [self.tower])]

    @torch.no_grad()
    def take_heads(self, other: PairScorer) -> None:
        """Take the heads that ``other`` has, a dimension's by its key, and the statistics where fields are compared."""
        rows = {head.key: part for head, part in zip(other.heads, _rows(other.heads), strict=True)}
        known: set[HeadKind] = set()
        if self.heads and other.heads:
            for head, mine in zip(self.heads, _rows(self.heads), strict=True):
                self.head.weight[mine] = other.head.weight[rows[head.key]]
                self.head.bias[mine] = other.head.bias[rows[head.key]]
            known.add("policy")
        if self.click is not None and other.click is not None:
            self.click.load_state_dict(other.click.state_dict())
            known.add("click")
        if self.tower is not None and other.tower is not None:
            shared = min(len(self.tower), len(other.tower))
            self.tower[:shared] = other.tower[:shared]
        for name, buffer in self.statistics().items():
            buffer.copy_(other.statistics()[name])
        self.known = frozenset(known)

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


def _rows(heads: Sequence[Head]) -> list[slice]:
    """Return which rows of the heads' matrix belong to each head."""
    ends = list(itertools.accumulate(head.classes for head in heads))
    return [slice(end - head.classes, end) for head, end in zip(heads, ends, strict=True)]


def _zero_head(width: int, classes: int) -> nn.Linear:
    head = nn.Linear(width, max(classes, 1))
    if not classes:  # which a layer can be and cannot be made as without a warning
        head.weight, head.bias = nn.Parameter(torch.zeros(0, width)), nn.Parameter(torch.zeros(0))
        head.out_features = 0
        return head
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def _masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    weights = mask[:, :, None].to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp_min(1)
