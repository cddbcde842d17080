"""A checkpoint for use elsewhere: as ONNX, and as a Hugging Face folder with a model card.

Both are written beside their place, checked against the checkpoint on a sample of pairs, and renamed: a folder that
appears has passed its check. Both hold the tokenizer and ``checkpoint.json`` (heads, layout of the pair, lineage).
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from workbench.errors import BadInput, Conflict, Unavailable
from workbench.golden import Pair
from workbench.training.model import Checkpoint, write_record
from workbench.training.parity import Parity, compared, require
from workbench.training.record import CheckpointRecord
from workbench.training.scorer import PairScorer
from workbench.training.tokens import Batch, FieldBatch

OPSET = 18
ONNX = "model.onnx"
HEADS = "heads.safetensors"
CARD = "README.md"


class _Graph(nn.Module):
    """The scorer from three tensors to one: what an ONNX graph is."""

    def __init__(self, scorer: PairScorer) -> None:
        super().__init__()
        self.scorer = scorer

    def forward(self, input_ids: Tensor, attention_mask: Tensor, parts: Tensor | None = None) -> Tensor:
        batch = Batch(input_ids, attention_mask, attention_mask if parts is None else parts)
        answers: Mapping[str, Tensor] = self.scorer(batch)
        return torch.cat(list(answers.values()), dim=-1)


def export_onnx(
    checkpoint: Checkpoint,
    folder: Path,
    pairs: Sequence[Pair],
    *,
    spearman: float = 0.999,
    difference: float = 1e-3,
) -> Parity:
    """Write ``folder/model.onnx`` (opset 18, float32) with its tokenizer, record and card; return how near it is.

    Inputs ``input_ids``, ``attention_mask`` and ``parts`` (what each token belongs to: 0 special, 1 query, 2 document; left
    out of the graph where pooling does not look at it), each int64 (pairs, tokens), both free. Output ``logits``, float32
    (pairs, classes): the heads of ``checkpoint.json`` one after the other, then the click head where there is one.

    Raises:
        Conflict: the folder exists.
        BadInput: the checkpoint reads fields one by one, or too few pairs.
        Unavailable: onnx, onnxscript or onnxruntime is not installed, or this model cannot be exported.
        Refused: the check failed; nothing is written.
    """
    record = checkpoint.record
    if record.recipe.pooling == "fields":
        raise BadInput(
            f"{record.name} reads fields one by one, which is no single graph.",
            "Export it as a Hugging Face folder, or train with another pooling.",
        )
    for name in ("onnx", "onnxscript", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            raise Unavailable(
                f"ONNX export needs {name}, which is not installed.",
                "Install it with: pip install 'policy-workbench[onnx]'.",
            )
    runtime: Any = importlib.import_module("onnxruntime")
    example = checkpoint.tokens.pad(checkpoint.tokens.encode(list(pairs[:3])))
    if isinstance(example, FieldBatch):
        raise TypeError("a tokenizer by field under another pooling")
    inputs = {"input_ids": example.ids, "attention_mask": example.mask, "parts": example.parts}
    if record.recipe.pooling != "sides":
        del inputs["parts"]
    free = {0: torch.export.Dim("pairs", min=1), 1: torch.export.Dim("tokens", min=2)}
    with _appearing(folder) as temporary:
        path = temporary / ONNX
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the exporter about itself
                torch.onnx.export(
                    _Graph(checkpoint.scorer.cpu()).eval(),
                    kwargs=inputs,
                    f=str(path),
                    input_names=list(inputs),
                    output_names=["logits"],
                    dynamic_shapes=dict.fromkeys(inputs, free),
                    opset_version=OPSET,
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                )
            session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except (RuntimeError, ValueError, TypeError, torch.onnx.errors.OnnxExporterError) as error:
            line = str(error).strip().partition("\n")[0]
            raise Unavailable(
                f"{record.name} cannot be exported to ONNX ({line}).", "Export it as a Hugging Face folder."
            ) from error
        with torch.inference_mode():
            sizes = {key: part.shape[-1] for key, part in checkpoint.scorer(example).items()}

        def answer(batch: Batch | FieldBatch) -> Mapping[str, Tensor]:
            if isinstance(batch, FieldBatch):
                raise TypeError("a batch of fields under another pooling")
            given = {"input_ids": batch.ids, "attention_mask": batch.mask, "parts": batch.parts}
            logits = session.run(["logits"], {k: v.numpy() for k, v in given.items() if k in inputs})[0]
            split = torch.split(torch.from_numpy(logits), list(sizes.values()), dim=-1)
            return dict(zip(sizes, split, strict=True))

        parity = compared(checkpoint, pairs, answer)
        require(parity, f"{record.name} as ONNX", spearman=spearman, difference=difference)
        _beside(checkpoint, temporary, parity, f"`{ONNX}`, opset {OPSET}: the logits of all heads, float32.")
    return parity


def export_huggingface(checkpoint: Checkpoint, folder: Path, pairs: Sequence[Pair]) -> Parity:
    """Write the backbone as a plain transformers model, the heads beside it, the tokenizer, the record and a card.

    ``AutoModel.from_pretrained(folder)`` loads the backbone without code of ours. It is loaded so for the check.

    Raises:
        Conflict: the folder exists.
        BadInput: too few pairs.
        Refused: what was written does not grade as the checkpoint does; nothing is left.
    """
    from transformers import AutoModel

    scorer = checkpoint.scorer.cpu()
    with _appearing(folder) as temporary:
        backbone: Any = scorer.backbone
        backbone.save_pretrained(temporary, safe_serialization=True)
        beside = {key: value for key, value in scorer.state_dict().items() if not key.startswith("backbone.")}
        save_file({key: value.contiguous() for key, value in beside.items()}, str(temporary / HEADS))
        plain = AutoModel.from_pretrained(temporary, use_safetensors=True, dtype=torch.float32).eval()
        again = copy.deepcopy(scorer)
        again.backbone = plain
        again.load_state_dict(load_file(str(temporary / HEADS)), strict=False)
        parity = compared(checkpoint, pairs, again.eval())
        require(parity, f"{checkpoint.record.name} as a Hugging Face folder", spearman=0.999, difference=1e-4)
        note = f"`AutoModel.from_pretrained` loads the backbone; `{HEADS}` holds the heads over it."
        _beside(checkpoint, temporary, parity, note)
    return parity


def model_card(record: CheckpointRecord, parity: Parity, note: str) -> str:
    """Return a Markdown model card: what it grades, what it was made from, its figures, its check."""
    recipe, lineage = record.recipe, record.lineage
    made = {
        "Recipe": f"{recipe.recipe} ({recipe.kind}), `{record.recipe_hash}`",
        "Backbone": recipe.backbone,
        "Policy": f"{record.policy_label}, `{record.policy_hash}`",
        "Golden set": f"{lineage.golden} `{lineage.golden_hash}`" if lineage.golden else "",
        "Soft labels of run": lineage.soft_run,
        "Parents": ", ".join(f"`{parent}`" for parent in lineage.parents),
        "Weights": f"`{record.weights_hash}`" if record.weights_hash else "",
        "Code": lineage.code_revision,
        "Made": record.created_at.isoformat(timespec="seconds"),
        "Stopped early": "yes" if record.stopped else "",
    }
    heads = [
        f"| {head.key} | {', '.join(map(str, head.levels))}{', N/A' if head.allow_na else ''} | "
        f"{', '.join(head.considers) or 'all fields'} |"
        for head in record.heads
    ]
    figures = [f"| {key} | {value} |" for key, value in record.figures.items() if value is not None]
    spearman = "–" if parity.spearman is None else f"{parity.spearman:.5f}"
    parts = [
        "---\nlibrary_name: transformers\ntags: [policy-workbench, ordinal-classification]\n---",
        f"# {record.name}",
        recipe.description.strip(),
        f"{note} `checkpoint.json` says how a pair is laid out, which levels each head has, and centre and stretch of "
        "its grade.",
        "## Dimensions\n\n| dimension | classes | considers |\n|---|---|---|\n" + "\n".join(heads),
        "## Lineage\n\n" + "\n".join(f"- {key}: {value}" for key, value in made.items() if value),
        "## Figures of its training\n\n| figure | value |\n|---|---|\n" + "\n".join(figures)
        if figures
        else "",
        f"## Check\n\nAgainst the checkpoint on {parity.pairs} pairs: greatest difference of a probability "
        f"{parity.max_difference:.2e}, Spearman of expected grades {spearman}.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _beside(checkpoint: Checkpoint, folder: Path, parity: Parity, note: str) -> None:
    checkpoint.tokens.tokenizer.save_pretrained(folder)
    write_record(folder, checkpoint.record)
    (folder / CARD).write_text(model_card(checkpoint.record, parity, note), encoding="utf-8")


@contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """Give a temporary folder that is renamed to ``folder`` at the end, or removed where something fails."""
    if folder.exists():
        raise Conflict(f"{folder} exists already.", "Export into another folder.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
