"""Low-rank adapters (LoRA, Hu et al. 2021): put in before training, merged into plain weights when a checkpoint is kept."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from workbench.errors import BadInput, Unavailable
from workbench.recipe import Lora

_NAME = "default"


def add_adapter(backbone: nn.Module, lora: Lora) -> None:
    """Freeze ``backbone`` and put a trainable low-rank update beside the linear layers that ``lora`` names.

    The updates are float32 whatever the backbone is in, and start at zero: the answer does not change.

    Raises:
        Unavailable: peft is not installed.
        BadInput: the backbone has no such layers.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise Unavailable(
            "An adapter needs peft.", "Install it with: pip install 'policy-workbench[train]'."
        ) from error
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # a float is as good
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets) or "all-linear",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about saving adapters by themselves, which is not done here
        try:
            inject_adapter_in_model(config, backbone, adapter_name=_NAME)
        except ValueError as error:
            names = {n.rpartition(".")[2] for n, m in backbone.named_modules() if isinstance(m, nn.Linear)}
            raise BadInput(
                f"The backbone has no modules called {', '.join(lora.targets)} to adapt.",
                f"Its linear layers are {', '.join(sorted(names))}.",
            ) from error
    for parameter in backbone.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def has_adapter(model: nn.Module) -> bool:
    """Whether :func:`add_adapter` was called on a part of ``model``."""
    return any(".lora_A." in name for name, _ in model.named_parameters())


@torch.no_grad()
def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's tensors under the names that they have without adapters, each update added to its weight.

    ``W + (alpha / rank) B A``, summed in float32 and given in the weight's own format. The model itself stays as it is.
    """
    updates = {}
    for name, module in model.named_modules():
        if hasattr(module, "get_delta_weight"):
            layer: Any = module
            updates[f"{name}.weight"] = layer
    merged = {}
    for name, tensor in model.state_dict().items():
        if ".lora_" in name:
            continue
        plain = name.replace(".base_layer.", ".")
        if plain in updates and plain != name:
            update: Tensor = updates[plain].get_delta_weight(_NAME)
            tensor = (tensor.float() + update.float()).to(tensor.dtype)
        merged[plain] = tensor.contiguous()
    return merged
