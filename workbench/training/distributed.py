"""The model of a training that several processes share: the same weights in each (DDP), or a part in each (FSDP)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from workbench.errors import BadInput
from workbench.recipe import TrainedRecipe
from workbench.training.heads import logits_of
from workbench.training.ranks import TOWER, Ranks
from workbench.training.scorer import PairScorer
from workbench.training.tokens import Batch, FieldBatch, PairTokenizer, Tokens


class Parallel:
    """The model of one rank: whole where it is alone, data parallel with others, or sharded.

    Attributes:
        scorer: what reads pairs; under sharding its backbone holds this rank's part of the weights, and each call of it
            is one that all ranks make.
    """

    def __init__(self, scorer: PairScorer, recipe: TrainedRecipe, ranks: Ranks) -> None:
        """Move ``scorer`` to this process's device, and shard it where the recipe says so and there are several ranks.

        Raises:
            BadInput: the recipe asks for sharding and has what cannot be.
        """
        self.scorer, self._recipe, self._ranks = scorer, recipe, ranks
        self._model: Any = scorer
        self._whole: PairScorer | None = None
        self.sharded = ranks.world > 1 and recipe.resources is not None and recipe.resources.sharded
        if self.sharded:
            _check_sharding(recipe)
            self._whole = copy.deepcopy(scorer) if ranks.first else None
        scorer.to("cuda" if torch.cuda.is_available() else "cpu")
        if self.sharded:
            _shard(scorer.backbone, scorer.device, ranks.world)

    def begin(self) -> None:
        """Make ready for the first step: all ranks take the first one's weights, as far as each has them whole.

        Gradients of whole weights are averaged while the backward pass goes on (DistributedDataParallel, Li et al.
        2020); of sharded ones by FSDP (Zhao et al. 2023).
        """
        if self._ranks.world == 1:
            return
        self._model = _Replica(self.scorer)
        for tensor in (*self.scorer.statistics().values(), *self.scorer.head_parameters()):
            distributed.broadcast(tensor.detach(), src=0)
        if not self.sharded:
            # The pooler of BERT has no gradient, and a share without any text has none for the backbone.
            self._model = nn.parallel.DistributedDataParallel(
                self._model,
                broadcast_buffers=False,
                find_unused_parameters=True,
                gradient_as_bucket_view=True,
            )

    def logits(
        self, tokens: PairTokenizer, batch: Sequence[Tokens]
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Return the logits of the whole batch, of which this rank reads its share, and the tower of positions."""
        share = [batch[row] for row in self._ranks.share(np.arange(len(batch)))]
        found = self._ranks.gathered(logits_of(self._model, tokens, share, self._recipe), len(batch))
        tower = found.pop(TOWER, None)
        return found, self.scorer.tower if tower is None else tower[0]

    def backward(self, loss: Tensor) -> None:
        """Leave in each parameter the gradient of ``loss``, summed over the ranks."""
        world = self._ranks.world
        (loss * world).backward()  # type: ignore[no-untyped-call]  # both kinds take the mean over the ranks
        if self.sharded:
            for parameter in self.scorer.head_parameters():  # too small to be sharded
                if parameter.grad is not None:
                    distributed.all_reduce(parameter.grad)
                    parameter.grad /= world

    def clip(self, longest: float) -> float:
        """Scale the gradient down to the norm ``longest`` where it is longer; return the norm that it had."""
        if not self.sharded:
            return torch.nn.utils.clip_grad_norm_(self.scorer.parameters(), longest).item()
        grads = [p.grad for p in self.scorer.parameters() if p.grad is not None]
        parts = [g.to_local() for g in grads if isinstance(g, DTensor)]
        square = torch.stack([part.square().sum() for part in parts]).sum()
        distributed.all_reduce(square)
        square = square + sum(g.square().sum() for g in grads if not isinstance(g, DTensor))
        norm = square.sqrt()
        factor = (longest / (norm + 1e-6)).clamp(max=1.0)  # as torch has it
        for part in (*parts, *(g for g in grads if not isinstance(g, DTensor))):
            part.mul_(factor)
        return norm.item()

    def whole(self) -> PairScorer:
        """Return the scorer with all its weights, to be written; under sharding a copy, which the first rank alone has.

        Every rank has to call it.
        """
        if not self.sharded:
            return self.scorer
        found = {name: whole_tensor(tensor) for name, tensor in self.scorer.state_dict().items()}
        if self._whole is None:
            return self.scorer
        self._whole.load_state_dict(found)
        return self._whole


def whole_tensor(tensor: Tensor) -> Tensor:
    """Return all of a tensor of which each rank may hold a part; then every rank has to call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_of(tensor: Tensor, like: Tensor) -> Tensor:
    """Return of ``tensor``, which all ranks have, the part that this rank holds of ``like``, on its device."""
    if not isinstance(like, DTensor):
        return tensor.to(like.device)
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


def _check_sharding(recipe: TrainedRecipe) -> None:
    if recipe.pooling == "fields":
        raise BadInput(
            "Weights cannot be sharded with pooling: fields, where ranks read different numbers of texts.",
            "Set resources.sharded to false, or choose another pooling.",
        )
    if recipe.adapter is not None:
        raise BadInput(
            "Weights cannot be sharded beside an adapter.",
            "Set resources.sharded to false: frozen weights have neither gradients nor moments to share out.",
        )


def _shard(backbone: nn.Module, device: torch.device, world: int) -> None:
    """Leave each rank its part of each layer; a layer is gathered while it computes (Zhao et al. 2023)."""
    mesh = init_device_mesh(device.type, (world,))
    for module in reversed(list(backbone.modules())):  # children before their parents
        if isinstance(module, nn.ModuleList):
            for layer in module:
                fully_shard(layer, mesh=mesh)
    fully_shard(backbone, mesh=mesh)


class _Replica(nn.Module):
    """The scorer, with the tower among its answers."""

    def __init__(self, scorer: PairScorer) -> None:
        super().__init__()
        self.scorer = scorer

    def forward(self, batch: Batch | FieldBatch) -> dict[str, Tensor]:
        answers: dict[str, Tensor] = self.scorer(batch)
        tower = self.scorer.tower
        return answers if tower is None else answers | {TOWER: tower[None].clone()}

    @property
    def device(self) -> torch.device:
        return self.scorer.device
