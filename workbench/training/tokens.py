"""Pairs as tokens: layout, truncation so that every part of both sides survives, and padding."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.errors import BadInput
from workbench.golden import Pair
from workbench.policy import Layout
from workbench.recipe import Pooling
from workbench.training.budgets import allot, check_field_tokens, share

SPECIAL, QUERY, DOCUMENT = 0, 1, 2
"""What a token belongs to; padding counts as special."""


@dataclass(frozen=True)
class Tokens:
    """One pair as the backbone reads it: token ids, and for each what it belongs to.

    ``parts`` holds ``SPECIAL``, ``QUERY`` or ``DOCUMENT`` where the pair is one sequence, and the number of the field,
    from 1, where each field is its own.
    """

    ids: list[int]
    parts: list[int]


@dataclass(frozen=True)
class Batch:
    """Padded pairs, each tensor (pairs, longest of the batch)."""

    ids: Tensor
    mask: Tensor  # 1 for tokens, 0 for padding
    parts: Tensor


@dataclass(frozen=True)
class FieldBatch:
    """The distinct field texts of some pairs, and where each pair's fields are among them."""

    texts: tuple[Batch, ...]  # texts of about one length together
    rows: Tensor  # (pairs, fields): 1 + the position among all texts, in their order; 0 for a field without text


class PairTokenizer:
    """Lays a pair out as text, cuts it to the token budget, and pads batches."""

    pooling: Pooling = "sides"  # stands for all that read the pair as one sequence

    def __init__(
        self,
        tokenizer: Any,
        layout: Layout,
        considers: Sequence[str],
        max_tokens: int,
        field_tokens: Mapping[str, int] | None = None,
    ) -> None:
        """Take ``tokenizer``'s special tokens for text pairs and the fields to lay out.

        Args:
            tokenizer: a fast tokenizer of transformers.
            layout: the policy's sides and fields.
            considers: the fields to lay out, as ``side.field``.
            max_tokens: of a pair, special tokens included.
            field_tokens: most tokens of single fields, as ``side.field``; a name that stands before the text counts.

        Raises:
            BadInput: the budget is more than the tokenizer's model takes, or cannot hold both sides or the fields'.
            NotFound: ``field_tokens`` names no field of the policy.
        """
        if max_tokens > tokenizer.model_max_length:
            raise BadInput(
                f"max_tokens is {max_tokens}, and the backbone reads {tokenizer.model_max_length} at most.",
                "Lower max_tokens in the recipe.",
            )
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.sides = [
            (side.name, [field for field in side.fields if f"{side.name}.{field}" in considers])
            for side in (layout.query, layout.document)
        ]
        # The special tokens around two texts are read off an encoded example, so that [CLS] a [SEP] b [SEP],
        # <s> a </s></s> b </s> and no special tokens at all need no case of their own.
        sample = tokenizer("a", "a")
        owners = sample.sequence_ids() if tokenizer.is_fast else []
        if 0 not in owners or 1 not in owners:
            raise BadInput("The backbone's tokenizer cannot encode text pairs.", "Choose another backbone.")
        ids, last = sample["input_ids"], len(owners) - 1 - owners[::-1].index(1)
        between = [i for i in range(owners.index(0), owners.index(1)) if owners[i] is None]
        self._before = _special(ids[: owners.index(0)])
        self._between = _special([ids[i] for i in between])
        self._after = _special(ids[last + 1 :])
        special = len(_join([self._before, self._between, self._after]).ids)
        self._budget = max_tokens - special
        self.field_tokens = dict(field_tokens or {})
        if self.field_tokens:
            names = tokenizer([f"{name}\n" for name, _ in self.sides], add_special_tokens=False)["input_ids"]
            apart = len(tokenizer("a")["input_ids"]) - len(
                tokenizer("a", add_special_tokens=False)["input_ids"]
            )
            check_field_tokens(
                self.field_tokens,
                layout,
                considers,
                max_tokens=max_tokens,
                pooling=self.pooling,
                special=apart if self.pooling == "fields" else special + sum(map(len, names)),
            )

    def pieces(self, pair: Pair) -> tuple[list[str], list[str]]:
        """Return the texts of both sides: the side's name, then ``field: text`` for each field that has one."""
        query, document = (
            [f"{name}\n"] + [f"{f}: {texts[f].strip()}\n" for f in fields if texts.get(f, "").strip()]
            for (name, fields), texts in zip(self.sides, (pair.query, pair.document), strict=True)
        )
        return query, document

    def _limits(self, pair: Pair) -> list[list[int | None]]:
        """Return the token limit of each of :meth:`pieces`; None without one, as for a side's name."""
        limits: list[list[int | None]] = []
        for (name, fields), texts in zip(self.sides, (pair.query, pair.document), strict=True):
            present = [field for field in fields if texts.get(field, "").strip()]
            limits.append([None, *(self.field_tokens.get(f"{name}.{field}") for field in present)])
        return limits

    def encode(self, pairs: Sequence[Pair]) -> list[Tokens]:
        """Return the tokens of each pair, at most ``max_tokens`` of them, special tokens included.

        A field with a budget of its own is cut to it. What else is too long is cut at the longest place first: what
        is left is shared between the sides, and each side's share between its fields, so that no side and no field
        crowds out another.
        """
        laid_out = [self.pieces(pair) for pair in pairs]
        texts = [text for sides in laid_out for side in sides for text in side]
        if not texts:
            return []
        encoded = iter(self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"])
        ids = [[[next(encoded) for _ in side] for side in sides] for sides in laid_out]
        return [self._fit(sides, self._limits(pair)) for pair, sides in zip(pairs, ids, strict=True)]

    def _fit(self, sides: list[list[list[int]]], limits: list[list[int | None]]) -> Tokens:
        fixed, free = [], []
        for side, most in zip(sides, limits, strict=True):
            named = [(len(ids), limit) for ids, limit in zip(side, most, strict=True) if limit is not None]
            fixed.append(sum(min(length, limit) for length, limit in named))
            free.append(sum(map(len, side)) - sum(length for length, _ in named))
        shares = share(free, max(self._budget - sum(fixed), 0))
        cut = []
        for side, most, own, rest, segment in zip(
            sides, limits, fixed, shares, (QUERY, DOCUMENT), strict=True
        ):
            lengths = allot([len(piece) for piece in side], most, own + rest)
            ids = [i for piece, length in zip(side, lengths, strict=True) for i in piece[:length]]
            cut.append(Tokens(ids, [segment] * len(ids)))
        return _join([self._before, cut[0], self._between, cut[1], self._after])

    def text(self, tokens: Tokens) -> str:
        """Return what the model reads, special tokens included."""
        return str(self.tokenizer.decode(tokens.ids))

    def alike(self, tokens: Tokens) -> list[int]:
        """Return a sort key: neighbours cost little in one batch. Here pairs of one length, for little padding."""
        return [len(tokens.ids)]

    def pad(self, batch: Sequence[Tokens], device: torch.device | str = "cpu") -> Batch | FieldBatch:
        """Return the pairs padded on the right to the longest of them."""
        return self._pad(batch, device)

    def _pad(self, batch: Sequence[Tokens], device: torch.device | str) -> Batch:
        width = max(len(tokens.ids) for tokens in batch)
        ids = torch.full((len(batch), width), self.tokenizer.pad_token_id or 0)
        mask, parts = torch.zeros_like(ids), torch.zeros_like(ids)
        for row, tokens in enumerate(batch):
            length = len(tokens.ids)
            ids[row, :length] = torch.tensor(tokens.ids)
            parts[row, :length] = torch.tensor(tokens.parts)
            mask[row, :length] = 1
        return Batch(ids.to(device), mask.to(device), parts.to(device))


def _special(ids: list[int]) -> Tokens:
    return Tokens(ids, [SPECIAL] * len(ids))


def _join(parts: Sequence[Tokens]) -> Tokens:
    return Tokens(
        list(itertools.chain.from_iterable(part.ids for part in parts)),
        list(itertools.chain.from_iterable(part.parts for part in parts)),
    )
