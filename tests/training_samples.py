"""Tiny encoders and decoders with random weights, and examples under the tea policy, for tests of training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from policy_samples import plain

from workbench.golden import GoldenSet, Label, Pair, Split, label_table
from workbench.policy import Policy
from workbench.recipe import StudentRecipe
from workbench.training.data import Example

# Models this small are faster on one thread, by far where tests share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TEXT = (
    "[PAD] [UNK] [CLS] [SEP] guest tea wishes mood title notes : smoky green black mild strong calm awake "
    "red white poison a b c d e f g h"
)
WORDS = TEXT.split()


def policy(**changes: Any) -> Policy:
    """Dimensions taste (0–2) and strength (0–1 or N/A); fields guest.wishes, guest.mood, tea.notes are considered."""
    return Policy.model_validate(plain() | changes)


def recipe(backbone: Path | str, **changes: Any) -> StudentRecipe:
    """A recipe for the tea policy; ``schedule`` and ``data`` are merged, the rest replaced."""
    data = {"golden": "teas", "soft_labels": None, "validation": 0.0} | changes.pop("data", {})
    schedule = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "head_learning_rate": 1e-2}
    schedule |= changes.pop("schedule", {})
    return StudentRecipe.model_validate(
        {
            "recipe": "tea-mini",
            "policy": "tea-match",
            "backbone": str(backbone),
            "max_tokens": 32,
            "data": data,
            "schedule": schedule,
        }
        | changes
    )


def tiny(folder: Path, kind: str = "encoder", *, poison: bool = False) -> Path:
    """Save a random two-layer model and a word tokenizer; with ``poison`` the word's embedding is NaN."""
    torch = pytest.importorskip("torch", reason="needs the train extra")
    transformers = pytest.importorskip("transformers", reason="needs the train extra")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if kind == "encoder":
        words.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **names).save_pretrained(folder)
    sizes = {"vocab_size": len(WORDS), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "max_position_embeddings": 64}
    torch.manual_seed(7)
    if kind == "encoder":
        model = transformers.BertModel(transformers.BertConfig(**sizes))
        embedding = model.embeddings.word_embeddings
    else:
        model = transformers.LlamaModel(transformers.LlamaConfig(**sizes, num_key_value_heads=2))
        embedding = model.embed_tokens
    if poison:
        embedding.weight.data[vocabulary["poison"]] = float("nan")
    model.save_pretrained(folder)
    return folder


def pair(wishes: str, notes: str, mood: str = "") -> Pair:
    """A guest and a tea."""
    return Pair(query={"wishes": wishes, "mood": mood}, document={"title": "tea", "notes": notes})


def examples(count: int = 12) -> list[Example]:
    """Taste is 2 where wish and notes are the same word, else 0; strength is N/A without a mood, else 1."""
    found = []
    for i in range(count):
        wish, note = ("smoky", "green", "black")[i % 3], ("smoky", "green", "black")[(i // 3) % 3]
        item = pair(
            f"{wish} {'abcdefgh'[i % 8]}", f"{note} {'abcdefgh'[i // 8 % 8]}", "calm" if i % 2 else ""
        )
        taste = (0.0, 0.0, 1.0) if wish == note else (1.0, 0.0, 0.0)
        strength = (0.0, 1.0, 0.0) if i % 2 else (0.0, 0.0, 1.0)
        settled = {"taste": 2 if wish == note else 0, "strength": 1 if i % 2 else -2}
        found.append(Example(item, {"taste": taste, "strength": strength}, {}, settled))
    return found


def golden(labels: list[tuple[Pair, str, int, str]], splits: Mapping[str, Split] | None = None) -> GoldenSet:
    """A set of the labelled pairs, all dev unless said otherwise; labels are (pair, dimension, grade, labeler)."""
    pairs = {item.id: item for item, *_ in labels}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    table = label_table(
        Label(pair_id=item.id, dimension=key, grade=grade, labeler=who.removesuffix("!"), at=at,
              source="adjudicated" if who.endswith("!") else "human")
        for item, key, grade, who in labels
    )  # fmt: skip
    every: dict[str, Split] = dict.fromkeys(pairs, "dev")
    return GoldenSet("teas", 1, "tea-match", tuple(pairs.values()), every | dict(splits or {}), table)


class Heard:
    """A reporter that keeps what it hears and asks to stop before step ``stop_at`` (counted from 1)."""

    def __init__(self, stop_at: int | None = None) -> None:
        """Start with nothing heard."""
        self.rows: list[dict[str, Any]] = []
        self.lines: list[str] = []
        self.done: list[tuple[int, int, str]] = []
        self.stop_at = stop_at
        self.after_epoch = False

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Keep it."""
        self.done.append((done, total, note))

    def metric(self, values: Mapping[str, Any]) -> None:
        """Keep it."""
        self.rows.append(dict(values))

    def log(self, line: str) -> None:
        """Keep it."""
        self.lines.append(line)

    def stopping(self) -> bool:
        """Whether enough steps are done."""
        return self.stop_at is not None and len(self.losses()) + 1 >= self.stop_at

    def stopping_after_epoch(self) -> bool:
        """Whether the test said so by ``reporter.after_epoch = True``."""
        return self.after_epoch

    def losses(self) -> list[float]:
        """The loss of each step."""
        return [row["loss"] for row in self.rows if "step" in row]
