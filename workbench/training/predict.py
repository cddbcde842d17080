"""Many pairs through a checkpoint at little cost, and the same figures as one by one.

What makes it fast: the backbone's weights kept in bfloat16 where the recipe trained in it, so that nothing is cast at
each pass; pairs that cost little together in one batch (:meth:`PairTokenizer.alike`: of one length, or of one query), so
that little is padding; OpenVINO's fused kernels, where the ``openvino`` extra is installed and asked for; and, where
pooling looks at the first token alone, a last layer that computes the first token alone, which is exact.
``benchmarks/scoring.py`` measures the first three one after the other on a MiniLM cross-encoder; the last is in all its
rows of ours.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from workbench.errors import BadInput, Unavailable
from workbench.golden import Pair
from workbench.training.record import CLICK
from workbench.training.tokens import Batch, FieldBatch, Tokens

if TYPE_CHECKING:
    from workbench.training.model import Checkpoint
    from workbench.training.scorer import PairScorer

BATCH = 32
"""Pairs a forward pass, at most."""

Engine = Literal["torch", "openvino"]
Precision = Literal["float32", "bfloat16"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predicted:
    """What a checkpoint says of one batch of pairs.

    ``rows`` are the positions of the pairs in what was asked, (pairs,); ``tokens`` how many each was read as, (pairs,);
    ``probabilities`` by dimension, over the classes of its head, (pairs, classes), each row summing to 1, or NaN
    throughout where the model's answer is no number; ``click`` the chance of a click, (pairs,), where there is a head
    for it.
    """

    rows: npt.NDArray[np.int_]
    tokens: npt.NDArray[np.int_]
    probabilities: dict[str, Floats]
    click: Floats | None = None


class Predictor:
    """A loaded checkpoint made ready to grade; it takes the checkpoint over and may change its number format."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        batch: int = BATCH,
        device: str = "cpu",
        precision: Precision | None = None,
        engine: Engine = "torch",
    ) -> None:
        """Move the weights and convert them.

        Args:
            checkpoint: from :func:`workbench.training.model.load_checkpoint`.
            batch: pairs a forward pass, at most.
            device: ``cpu``, ``cuda``, ``cuda:1`` …, or ``auto``: the GPU where there is one.
            precision: of the backbone; None for that of the recipe. Heads are always float32.
            engine: ``openvino`` runs the backbone on the CPU through OpenVINO; compiling takes some seconds.

        Raises:
            BadInput: a device that is none, or a batch below 1.
            Unavailable: a device that this machine lacks, or OpenVINO without the extra.
        """
        if batch < 1:
            raise BadInput(f"A batch of {batch} pairs holds none.", "Give 1 or more.")
        self.checkpoint, self.batch = checkpoint, batch
        self.precision: Precision = precision or checkpoint.record.recipe.precision
        where = chosen_device(device)
        scorer = checkpoint.scorer.to(where)
        if scorer.pooling == "cls" and FirstToken.fits(scorer.backbone):
            scorer.backbone = FirstToken(scorer.backbone)
        if engine == "openvino":
            if where.type != "cpu":
                raise BadInput(
                    f"OpenVINO reads on the CPU here, and the device is {where}.", "Choose device cpu."
                )
            scorer.backbone = openvino_backbone(scorer, self.precision)
        elif self.precision == "bfloat16":
            # Autocast would cast every weight at every pass, which for small batches is a good part of the time.
            scorer.backbone.to(torch.bfloat16)
        self._scorer = scorer

    def predict(self, pairs: Sequence[Pair]) -> Iterator[Predicted]:
        """Yield what the checkpoint says of ``pairs``, a batch at a time, cheap neighbours together."""
        yield from self.predict_tokens(self.checkpoint.tokens.encode(pairs))

    def predict_tokens(self, encoded: Sequence[Tokens]) -> Iterator[Predicted]:
        """Yield what the checkpoint says of pairs that are tokens already, as :meth:`predict` does."""
        tokens = self.checkpoint.tokens
        order = sorted(range(len(encoded)), key=lambda i: tokens.alike(encoded[i]))
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            chosen = [encoded[i] for i in rows]
            found, click = self._answers(tokens.pad(chosen, self._scorer.device))
            yield Predicted(np.array(rows), np.array([len(t.ids) for t in chosen]), found, click)

    @torch.inference_mode()
    def _answers(self, batch: Batch | FieldBatch) -> tuple[dict[str, Floats], Floats | None]:
        logits = self._scorer(batch)
        keys = [head.key for head in self.checkpoint.record.heads]
        found = {key: torch.softmax(logits[key].double(), dim=-1).cpu().numpy() for key in keys}
        click = torch.sigmoid(logits[CLICK].double()).cpu().numpy()[:, 0] if CLICK in logits else None
        return found, click


def chosen_device(name: str) -> torch.device:
    """Return the device that ``name`` says; ``auto`` is the GPU where there is one, else the CPU.

    Raises:
        BadInput: if it names none.
        Unavailable: if this machine lacks it.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"'{name}' is no device.", "It is auto, cpu, cuda or cuda:1 and so on.") from error
    if device.type not in ("cpu", "cuda"):
        raise BadInput(f"Checkpoints grade on cpu or cuda, not on '{name}'.", "Choose auto, cpu or cuda.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise Unavailable(f"This machine has no device '{name}'.", "Choose cpu, or run it on a GPU machine.")
    return device


def openvino_installed() -> bool:
    """Whether the ``openvino`` extra is installed; it is not imported."""
    return importlib.util.find_spec("openvino") is not None


@dataclass(frozen=True)
class States:
    """What a backbone answers, as far as it is read."""

    last_hidden_state: Tensor


class FirstToken(nn.Module):
    """A BERT whose last layer computes the first token alone; all tokens are still its keys and values.

    Of a layer's 12 h² multiplications a token (h the width, MLP of 4 h) the other tokens then need 2 h² in the last
    layer: with six layers, 14 % of all. The figures are those of the whole layer.
    """

    def __init__(self, backbone: nn.Module) -> None:
        """Take the layers of ``backbone``, which has to be one that :meth:`fits`."""
        super().__init__()
        whole: Any = backbone
        self.config = whole.config
        self.embeddings = whole.embeddings
        self.layers, self.last = whole.encoder.layer[:-1], whole.encoder.layer[-1]

    @staticmethod
    def fits(backbone: nn.Module) -> bool:
        """Whether the layers are those of BERT (not a subclass's, and no decoder's)."""
        from transformers import BertModel

        config: Any = backbone.config
        return type(backbone) is BertModel and not config.is_decoder and config.hidden_act == "gelu"

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> States:
        """Return the last state of each first token, (pairs, 1, width)."""
        states: Tensor = self.embeddings(input_ids=input_ids)
        seen = attention_mask[:, None, None, :].bool()
        for layer in self.layers:
            states = self._layer(layer, states, states, seen)
        return States(self._layer(self.last, states[:, :1], states, seen))

    def _layer(self, layer: Any, asking: Tensor, states: Tensor, seen: Tensor) -> Tensor:
        heads = self.config.num_attention_heads
        q, k, v = (
            part(x).unflatten(-1, (heads, -1)).transpose(1, 2)
            for part, x in (
                (layer.attention.self.query, asking),
                (layer.attention.self.key, states),
                (layer.attention.self.value, states),
            )
        )
        found = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        attended = layer.attention.output(found.transpose(1, 2).flatten(2), asking)
        answer: Tensor = layer.output(layer.intermediate(attended), attended)
        return answer


class _Last(nn.Module):
    """The backbone from two tensors to one: what tracing takes."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    @torch.no_grad()
    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states: Tensor = self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        return states


class _OpenvinoBackbone(nn.Module):
    """Answers like the transformers model it was compiled from."""

    def __init__(self, config: Any, run: Callable[[tuple[Any, Any]], Any]) -> None:
        super().__init__()
        self.config = config
        self._run = run

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> States:
        return States(torch.from_numpy(self._run((input_ids.numpy(), attention_mask.numpy()))[0]))


def openvino_backbone(scorer: PairScorer, precision: Precision) -> nn.Module:
    """Return the scorer's backbone compiled by OpenVINO for this CPU, on as many threads as torch has.

    Raises:
        Unavailable: OpenVINO is not installed, or cannot compile this backbone.
    """
    if not openvino_installed():
        raise Unavailable(
            "OpenVINO is not installed.", "Install it with: pip install 'policy-workbench[openvino]'."
        )
    openvino: Any = importlib.import_module("openvino")

    ids = torch.ones(2, 8, dtype=torch.long)
    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    try:
        model = openvino.convert_model(
            _Last(scorer.backbone.float()), example_input=(ids, torch.ones_like(ids))
        )
        compiled = openvino.compile_model(
            model,
            "CPU",
            {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": torch.get_num_threads()},
        )
    except RuntimeError as error:
        line = str(error).strip().partition("\n")[0]
        raise Unavailable(
            f"OpenVINO cannot compile this backbone ({line}).", "Grade with torch instead."
        ) from error
    return _OpenvinoBackbone(scorer.backbone.config, compiled)
