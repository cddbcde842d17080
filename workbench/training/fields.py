"""Late interaction by field: every field is read by itself, and the heads see how near the fields are to each other.

A member with six jobs is read once and not six times, and a head has some sixty inputs instead of thousands, which is
what a few hundred labels can feed. What is given up: the backbone never sees both sides together.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.errors import BadInput
from workbench.golden import Pair
from workbench.policy import Layout
from workbench.recipe import Pooling
from workbench.training.budgets import allot
from workbench.training.record import Head
from workbench.training.tokens import FieldBatch, PairTokenizer, Tokens

LONGER = 1.5
"""Texts are padded together up to this ratio of lengths, so at most a third of what is computed is padding."""


class FieldTokenizer(PairTokenizer):
    """Makes one sequence of each considered field that has text; fields are numbered through both sides, from 1.

    Each side has half of ``max_tokens``, special tokens included. A field with a budget of its own is cut to it (special
    tokens not counted), the others of the side share what is left, the longest cut first. What a side looks like so
    never depends on the other side, and is the same in all its pairs.
    """

    pooling: Pooling = "fields"

    def __init__(
        self,
        tokenizer: Any,
        layout: Layout,
        considers: Sequence[str],
        max_tokens: int,
        field_tokens: Mapping[str, int] | None = None,
    ) -> None:
        """See :class:`PairTokenizer`.

        Raises:
            BadInput: a side has no considered field, or the budgets cannot give each field a token.
            NotFound: ``field_tokens`` names no field of the policy.
        """
        super().__init__(tokenizer, layout, considers, max_tokens, field_tokens)
        query, document = (tuple(f"{name}.{field}" for field in fields) for name, fields in self.sides)
        self.fields = (query, document)
        for (name, _), side in zip(self.sides, self.fields, strict=True):
            if not side:
                raise BadInput(
                    f"No dimension considers a field of the {name}, and pooling 'fields' compares fields.",
                    "Choose another pooling in the recipe, such as 'sides'.",
                )
        alone, text = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (True, False))
        start = next((i for i in range(len(alone)) if alone[i : i + len(text)] == text), None)
        if start is None:
            raise BadInput(
                "The backbone's tokenizer does not put its special tokens around a text.",
                "Choose another backbone, or another pooling such as 'sides'.",
            )
        self._most = [[self.field_tokens.get(name) for name in side] for side in self.fields]
        self._first, self._last = alone[:start], alone[start + len(text) :]
        least = 2 * max(len(side) for side in self.fields) * (len(alone) - len(text) + 1)
        if max_tokens < least:
            raise BadInput(
                f"max_tokens is {max_tokens}, and the fields of this policy need {least} at least.",
                "Raise max_tokens in the recipe, or choose another pooling.",
            )

    def encode(self, pairs: Sequence[Pair]) -> list[Tokens]:
        """Return the tokens of each pair: the sequences of its fields one after the other."""
        texts = [
            texts.get(field, "").strip()
            for pair in pairs
            for (_, fields), texts in zip(self.sides, (pair.query, pair.document), strict=True)
            for field in fields
        ]
        distinct = list(dict.fromkeys(text for text in texts if text))
        if not distinct:
            return [Tokens([], []) for _ in pairs]
        encoded = self.tokenizer(distinct, add_special_tokens=False, verbose=False)["input_ids"]
        ids = {"": []} | dict(zip(distinct, encoded, strict=True))
        following = iter(texts)
        return [
            self._fit([[ids[next(following)] for _ in side] for side in self.fields], self._most)
            for _ in pairs
        ]

    def _fit(self, sides: list[list[list[int]]], limits: list[list[int | None]]) -> Tokens:
        special = len(self._first) + len(self._last)
        found = Tokens([], [])
        cut = []
        for side, most in zip(sides, limits, strict=True):
            present = sum(1 for ids in side if ids)
            budget = self.max_tokens // 2 - special * present
            lengths = allot([len(ids) for ids in side], most, budget)
            cut += [ids[:length] for ids, length in zip(side, lengths, strict=True)]
        for field, ids in enumerate(cut, 1):
            if ids:
                sequence = [*self._first, *ids, *self._last]
                found.ids.extend(sequence)
                found.parts.extend([field] * len(sequence))
        return found

    def text(self, tokens: Tokens) -> str:
        """Return what the model reads, each field under its name."""
        names = [name for side in self.fields for name in side]
        return " | ".join(
            f"{names[field - 1]}: {self.tokenizer.decode(ids)}" for field, ids in _sequences(tokens)
        )

    def alike(self, tokens: Tokens) -> list[int]:
        """Return a sort key: pairs of one query become neighbours, so that its fields are read once a batch."""
        return tokens.ids

    def pad(self, batch: Sequence[Tokens], device: torch.device | str = "cpu") -> FieldBatch:
        """Return the distinct field texts of the pairs, those of about one length padded together."""
        found = [list(_sequences(tokens)) for tokens in batch]
        distinct = sorted({tuple(ids) for pair in found for _, ids in pair}, key=lambda ids: (len(ids), ids))
        groups: list[list[Tokens]] = []
        for ids in distinct:
            if not groups or len(ids) > LONGER * len(groups[-1][0].ids):
                groups.append([])
            groups[-1].append(Tokens(list(ids), [0] * len(ids)))
        row = {ids: i for i, ids in enumerate(distinct, 1)}
        rows = torch.zeros(len(batch), sum(map(len, self.fields)), dtype=torch.long)
        for i, pair in enumerate(found):
            for field, sequence in pair:
                rows[i, field - 1] = row[tuple(sequence)]
        return FieldBatch(tuple(self._pad(group, device) for group in groups), rows.to(device))


def _sequences(tokens: Tokens) -> list[tuple[int, list[int]]]:
    """Return (number of the field, its token ids) of each field with text."""
    grouped = itertools.groupby(zip(tokens.parts, tokens.ids, strict=True), key=lambda token: token[0])
    return [(field, [i for _, i in run]) for field, run in grouped]


def interactions(vectors: Tensor, rows: Tensor, queries: int) -> Tensor:
    """Return what the heads see of each pair: with Q query and D document fields, (pairs, Q * D + 2 * (Q + D)).

    In this order: the cosine of each query field with each document field; for each field, the query's first, its
    greatest cosine with a field of the other side (MaxSim, Khattab and Zaharia 2020); for each field, 1 where it has
    no text. The cosine with a field without text is 0.

    Args:
        vectors: of the distinct texts, (texts, width), of unit length.
        rows: (pairs, Q + D), see :class:`FieldBatch`.
        queries: Q.
    """
    fields = torch.cat([vectors.new_zeros(1, vectors.shape[1]), vectors])[rows]
    cosines = fields[:, :queries] @ fields[:, queries:].transpose(1, 2)
    nearest = torch.cat([cosines.amax(dim=2), cosines.amax(dim=1)], dim=1)
    return torch.cat([cosines.flatten(1), nearest, (rows == 0).to(vectors.dtype)], dim=1)


def considered_inputs(heads: Sequence[Head], fields: tuple[Sequence[str], Sequence[str]]) -> Tensor:
    """Return which of :func:`interactions` each class of each head sees, (classes of all heads, features), 0 or 1.

    A dimension sees what is about the fields that it considers. The nearest field of the other side may be any that
    some dimension considers.
    """
    shown = []
    for head in heads:
        seen = [
            torch.tensor([not head.considers or name in head.considers for name in side]) for side in fields
        ]
        both = torch.cat(seen)
        inputs = torch.cat([(seen[0][:, None] & seen[1][None, :]).flatten(), both, both])
        shown.append(inputs.float().expand(head.classes, -1))
    return torch.cat(shown)
