"""Examples as tensors: what each is to be learnt as, and in which batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.recipe import TrainedRecipe
from workbench.training.data import Cell, Example, Vector
from workbench.training.record import Head
from workbench.training.tokens import PairTokenizer, Tokens

Rows = npt.NDArray[np.int_]

POOL = 8
"""Batches whose pairs are sorted by length together: enough to save padding, few enough to stay random."""


def batches(lengths: Sequence[int], size: int, rng: np.random.Generator) -> Iterator[Rows]:
    """Yield the positions of each batch of one epoch, every position once.

    Pairs are shuffled, and sorted by length within pools of ``POOL`` batches, so that a batch has little padding;
    the batches of a pool are shuffled again.
    """
    order = rng.permutation(len(lengths))
    measure = np.asarray(lengths)
    for start in range(0, len(order), size * POOL):
        pool = order[start : start + size * POOL]
        pool = pool[np.argsort(measure[pool], kind="stable")]
        cut = [pool[i : i + size] for i in range(0, len(pool), size)]
        yield from (cut[i] for i in rng.permutation(len(cut)))


def query_batches(queries: Rows, size: int, rng: np.random.Generator) -> Iterator[Rows]:
    """Yield the positions of each batch of one epoch, every position once, neighbours of one query together.

    A query's pairs are shuffled and cut into runs of at most ``size``; runs in random order fill the batches. A run is
    never split, so a batch may hold less than ``size``: there may be more batches than pairs divided by ``size``.
    """
    order = rng.permutation(len(queries))
    order = order[np.argsort(queries[order], kind="stable")]
    edges = np.flatnonzero(np.diff(queries[order])) + 1
    runs = [run[i : i + size] for run in np.split(order, edges) for i in range(0, len(run), size)]
    batch: list[Rows] = []
    for i in rng.permutation(len(runs)):
        if sum(map(len, batch)) + len(runs[i]) > size:
            yield np.concatenate(batch)
            batch = []
        batch.append(runs[i])
    if batch:
        yield np.concatenate(batch)


@dataclass(frozen=True)
class Targets:
    """Targets of one kind: by dimension, probabilities (examples, classes) and which rows are known (examples,)."""

    probabilities: dict[str, Tensor]
    known: dict[str, Tensor]

    @classmethod
    def of(cls, heads: Sequence[Head], vectors: Sequence[Mapping[str, Vector]]) -> Targets:
        """Stack one mapping an example; a missing dimension is a row of zeros that is not known."""
        return cls(
            {h.key: torch.tensor([v.get(h.key, (0.0,) * h.classes) for v in vectors]) for h in heads},
            {h.key: torch.tensor([h.key in v for v in vectors]) for h in heads},
        )

    def take(self, rows: Rows, device: torch.device) -> Targets:
        """Return the targets of some examples, on ``device``."""
        index = torch.from_numpy(rows)
        return Targets(
            {key: tensor[index].to(device) for key, tensor in self.probabilities.items()},
            {key: tensor[index].to(device) for key, tensor in self.known.items()},
        )


@dataclass(frozen=True)
class Cells:
    """Impressions of the examples: one cell a pair and position, all (cells,) but ``query``, (examples,).

    ``row`` is the example of a cell, ascending; ``query`` numbers the examples' queries.
    """

    row: Tensor
    position: Tensor
    shown: Tensor
    clicked: Tensor
    propensity: Tensor
    query: Tensor

    @classmethod
    def of(cls, cells: Sequence[Sequence[Cell]], queries: Sequence[str]) -> Cells:
        """Flatten the cells of each example."""
        flat = [(row, cell) for row, mine in enumerate(cells) for cell in mine]
        number = {query: i for i, query in enumerate(dict.fromkeys(queries))}
        return cls(
            torch.tensor([row for row, _ in flat], dtype=torch.long),
            torch.tensor([cell.position for _, cell in flat], dtype=torch.long),
            torch.tensor([cell.shown for _, cell in flat], dtype=torch.float32),
            torch.tensor([cell.clicked for _, cell in flat], dtype=torch.float32),
            torch.tensor([cell.propensity for _, cell in flat], dtype=torch.float32),
            torch.tensor([number[query] for query in queries], dtype=torch.long),
        )

    def take(self, rows: Rows, device: torch.device) -> Cells:
        """Return the cells of some examples, renumbered in the order of ``rows``, on ``device``."""
        wanted = torch.from_numpy(rows)
        low = torch.searchsorted(self.row, wanted)
        count = torch.searchsorted(self.row, wanted, right=True) - low
        starts = torch.repeat_interleave(low - (count.cumsum(0) - count), count)
        index = starts + torch.arange(int(count.sum()))
        row = torch.repeat_interleave(torch.arange(len(wanted)), count)
        parts = (self.position[index], self.shown[index], self.clicked[index], self.propensity[index])
        position, shown, clicked, propensity = (part.to(device) for part in parts)
        return Cells(row.to(device), position, shown, clicked, propensity, self.query[wanted].to(device))


@dataclass(frozen=True)
class Taught:
    """What one teacher says of the examples.

    ``click`` is its probability of a click, (examples,), and ``click_known`` where there is one. The shares are its
    weight among the teachers of policy heads and of the click head; they sum to 1 over the teachers.
    """

    policy: Targets
    click: Tensor
    click_known: Tensor
    policy_share: float
    click_share: float

    def take(self, rows: Rows, device: torch.device) -> Taught:
        """Return what is said of some examples, on ``device``."""
        index = torch.from_numpy(rows)
        return Taught(
            self.policy.take(rows, device),
            self.click[index].to(device),
            self.click_known[index].to(device),
            self.policy_share,
            self.click_share,
        )


@dataclass(frozen=True)
class Lesson:
    """All that some examples are to be learnt as."""

    golden: Targets
    soft: Targets
    dataset: Targets
    clicks: Cells
    teachers: tuple[Taught, ...] = ()

    @classmethod
    def of(cls, examples: Sequence[Example], recipe: TrainedRecipe, heads: Sequence[Head]) -> Lesson:
        """Stack what is known of the examples."""
        return cls(
            Targets.of(heads, [example.golden for example in examples]),
            Targets.of(heads, [example.soft for example in examples]),
            Targets.of(heads, [example.dataset for example in examples]),
            Cells.of([example.cells for example in examples], [e.pair.query_id for e in examples]),
            _taught(examples, recipe, heads),
        )

    def take(self, rows: Rows, device: torch.device) -> Lesson:
        """Return the lesson of some examples, on ``device``."""
        return Lesson(
            self.golden.take(rows, device),
            self.soft.take(rows, device),
            self.dataset.take(rows, device),
            self.clicks.take(rows, device),
            tuple(teacher.take(rows, device) for teacher in self.teachers),
        )


def _taught(examples: Sequence[Example], recipe: TrainedRecipe, heads: Sequence[Head]) -> tuple[Taught, ...]:
    teachers = recipe.teachers
    said = [
        [example.taught[i] if example.taught else None for example in examples] for i in range(len(teachers))
    ]
    policy = [
        t.weight * any(one and one.policy for one in mine) for t, mine in zip(teachers, said, strict=True)
    ]
    click = [
        t.weight * any(one and one.click is not None for one in mine)
        for t, mine in zip(teachers, said, strict=True)
    ]
    return tuple(
        Taught(
            Targets.of(heads, [one.policy if one else {} for one in mine]),
            torch.tensor([one.click if one and one.click is not None else 0.0 for one in mine]),
            torch.tensor([one is not None and one.click is not None for one in mine], dtype=torch.bool),
            policy[i] / (sum(policy) or 1.0),
            click[i] / (sum(click) or 1.0),
        )
        for i, mine in enumerate(said)
    )


@dataclass(frozen=True)
class Encoded:
    """Examples with their tokens and targets, made once."""

    examples: Sequence[Example]
    tokens: Sequence[Tokens]
    lesson: Lesson
    by_query: bool = False

    @classmethod
    def of(
        cls, examples: Sequence[Example], tokens: PairTokenizer, recipe: TrainedRecipe, heads: Sequence[Head]
    ) -> Encoded:
        """Tokenise ``examples`` and stack their targets; where a loss compares a query's pairs, batch them by query."""
        weights = recipe.weights.click
        compared = recipe.data.clicks is not None and bool(weights.pairwise or weights.listwise)
        return cls(
            examples,
            tokens.encode([example.pair for example in examples]),
            Lesson.of(examples, recipe, heads),
            compared,
        )

    def order(self, size: int, seed: tuple[int, ...]) -> list[Rows]:
        """Return the rows of each batch of an epoch; the same seed gives the same batches."""
        rng = np.random.default_rng(seed)
        if self.by_query:
            return list(query_batches(self.lesson.clicks.query.numpy(), size, rng))
        return list(batches([len(t.ids) for t in self.tokens], size, rng))
