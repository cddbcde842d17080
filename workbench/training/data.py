"""What a model learns from: dev pairs with the labelers' votes and a judge's probabilities as soft targets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from workbench.errors import BadInput, NotFound, Refused
from workbench.golden import (
    NOT_APPLICABLE,
    UNRATEABLE,
    GoldenSet,
    Pair,
    adjudicated,
    settle,
    split_by_query,
    votes,
)
from workbench.policy import Policy
from workbench.run import Judgement, Verdict
from workbench.training.record import Head, heads_of
from workbench.training.tokens import PairTokenizer, Tokens

Vector = tuple[float, ...]

POOL = 8
"""Batches whose pairs are sorted by length together: enough to save padding, few enough to stay random."""


@dataclass(frozen=True)
class Example:
    """One pair and what is known about its grades.

    ``golden`` and ``soft`` hold, by dimension, probabilities over the head's classes: the levels, ascending, then
    N/A where the policy allows it. ``settled`` is the grade that the labelers agreed on; it is only measured by.
    """

    pair: Pair
    golden: Mapping[str, Vector] = field(default_factory=dict)
    soft: Mapping[str, Vector] = field(default_factory=dict)
    settled: Mapping[str, int] = field(default_factory=dict)


def build_examples(
    policy: Policy, golden: GoldenSet, verdicts: Iterable[Verdict] = (), pairs: Sequence[Pair] | None = None
) -> list[Example]:
    """Return one example a pair, in the order of ``pairs``.

    Args:
        policy: gives the dimensions and their classes.
        golden: whose labels are learnt. An adjudicated label is certain; else each labeler's newest label is one
            vote. *Unrateable* and a withdrawn label are no vote. ``settled`` is by majority: a snapshot keeps its
            labels, not the rule of the working set.
        verdicts: of a finished run; those on other pairs are not looked at. Several on one pair are averaged.
        pairs: what to learn from; None for all dev pairs.

    Raises:
        Refused: a pair of the holdout is among ``pairs``.
        NotFound: a pair is not in the golden set.
        BadInput: a label or a verdict does not fit the policy's levels, or no verdict on these pairs has
            probabilities.
    """
    if pairs is None:
        pairs = [pair for pair in golden.pairs if golden.splits[pair.id] == "dev"]
    for pair in pairs:
        split = golden.splits.get(pair.id)
        if split is None:
            raise NotFound(f"Pair {pair.id} is not in {golden.label}.", "Add it to the golden set first.")
        if split != "dev":
            raise Refused(
                f"Pair {pair.id} is in the holdout of {golden.label}; nothing may learn from it.",
                "Train on dev pairs only.",
            )
    ids = [pair.id for pair in pairs]
    heads = heads_of(policy)
    labels = golden.labels[golden.labels["pair_id"].isin(ids)]
    learnt: dict[str, dict[str, Vector]] = {pair_id: {} for pair_id in ids}
    settled: dict[str, dict[str, int]] = {pair_id: {} for pair_id in ids}
    for head in heads:
        mine = labels[labels["dimension"] == head.key]
        votes_of = votes(mine).groupby("pair_id")["grade"].agg(list).to_dict()
        decided = adjudicated(mine)
        votes_of |= {
            pair_id: [grade] for pair_id, grade in zip(decided["pair_id"], decided["grade"], strict=True)
        }
        for pair_id, grades in votes_of.items():
            vector = _votes(head, [g for g in grades if g != UNRATEABLE], f"{golden.label}, pair {pair_id}")
            if vector:
                learnt[str(pair_id)][head.key] = vector
        for pair_id, grade in zip(ids, settle(labels, head.key, ids).tolist(), strict=True):
            settled[pair_id][head.key] = grade
    soft = _soft(heads, verdicts, set(ids))
    return [Example(pair, learnt[pair.id], soft.get(pair.id, {}), settled[pair.id]) for pair in pairs]


def _votes(head: Head, grades: list[int], where: str) -> Vector | None:
    counts = [0] * head.classes
    for grade in grades:
        if grade == NOT_APPLICABLE and head.allow_na:
            counts[-1] += 1
        elif grade in head.levels:
            counts[head.levels.index(grade)] += 1
        else:
            shown = "N/A" if grade == NOT_APPLICABLE else f"grade {grade}"
            raise BadInput(
                f"{where}: {head.key} is labelled {shown}, which the policy does not have.",
                "Train under the policy version that was labelled, or correct the label.",
            )
    return tuple(count / len(grades) for count in counts) if grades else None


def _soft(
    heads: Sequence[Head], verdicts: Iterable[Verdict], wanted: set[str]
) -> dict[str, dict[str, Vector]]:
    by_key = {head.key: head for head in heads}
    found: dict[str, dict[str, list[Vector]]] = {}
    seen = 0
    for verdict in verdicts:
        if verdict.pair_id not in wanted:
            continue
        seen += 1
        for judgement in verdict.judgements:
            head = by_key.get(judgement.dimension)
            vector = _distribution(head, judgement, verdict.pair_id) if head else None
            if vector:
                found.setdefault(verdict.pair_id, {}).setdefault(judgement.dimension, []).append(vector)
    if seen and not found:
        raise BadInput(
            "The run gives no probabilities for these pairs.",
            "Take soft labels from a run whose judge gives probabilities, or set soft_labels to null.",
        )
    return {
        pair_id: {key: tuple(np.mean(vectors, axis=0).tolist()) for key, vectors in by_dimension.items()}
        for pair_id, by_dimension in found.items()
    }


def _distribution(head: Head, judgement: Judgement, pair_id: str) -> Vector | None:
    if judgement.failed:
        return None
    if judgement.not_applicable:
        return (*[0.0] * len(head.levels), 1.0) if head.allow_na else None
    if judgement.probabilities is None:
        return None
    vector = judgement.probabilities
    if len(vector) != len(head.levels) or not _is_distribution(vector):
        raise BadInput(
            f"The run's probabilities for pair {pair_id}, {head.key}, are not a distribution over the policy's "
            f"{len(head.levels)} levels: {list(vector)}.",
            "Take soft labels from a run under this policy version.",
        )
    total = sum(vector)
    return (*(p / total for p in vector), *([0.0] if head.allow_na else []))


def _is_distribution(vector: Sequence[float]) -> bool:
    return all(math.isfinite(p) and p >= 0 for p in vector) and abs(sum(vector) - 1) < 1e-3


def check_examples(heads: Sequence[Head], examples: Sequence[Example], *, golden: bool, soft: bool) -> None:
    """Check that there is something to learn from and that it fits the heads.

    Args:
        heads: what is trained.
        examples: all of them.
        golden, soft: which targets the recipe learns from.

    Raises:
        BadInput: one sentence for the first problem.
    """
    if not examples:
        raise BadInput("There is no example to learn from.", "Label dev pairs of the golden set first.")
    if not golden and not soft:
        raise BadInput(
            "The recipe learns from nothing: the weights of golden and of soft labels are both 0.",
            "Set golden_weight or soft_labels.weight above 0.",
        )
    classes = {head.key: head.classes for head in heads}
    for example in examples:
        for kind, targets in (("golden", example.golden), ("soft", example.soft)):
            for key, vector in targets.items():
                if key not in classes:
                    problem = f"is about '{key}', which is not a dimension ({', '.join(classes)})"
                elif len(vector) != classes[key]:
                    problem = f"has {len(vector)} classes for '{key}', and the policy {classes[key]}"
                elif not _is_distribution(vector):
                    problem = f"is no distribution for '{key}': {list(vector)}"
                else:
                    continue
                raise BadInput(
                    f"The {kind} target of pair {example.pair.id} {problem}.",
                    "Build the examples under the same policy version.",
                )
    if golden and not any(example.golden for example in examples):
        raise BadInput(
            f"None of the {len(examples)} examples has a golden label.",
            "Label dev pairs first, or set golden_weight to 0.",
        )
    if soft and not any(example.soft for example in examples):
        raise BadInput(
            f"None of the {len(examples)} examples has soft labels.",
            "Run a judge that gives probabilities over the dev pairs first, or set soft_labels to null.",
        )


def split_examples(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """Return (training, validation): a ``share`` of the queries, drawn by ``seed``, with all their pairs."""
    sides = split_by_query([example.pair for example in examples], holdout=share, seed=f"validation {seed}")
    train = [example for example in examples if sides[example.pair.id] == "dev"]
    return train, [example for example in examples if sides[example.pair.id] == "holdout"]


def batches(lengths: Sequence[int], size: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int_]]:
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

    def take(self, rows: npt.NDArray[np.int_], device: torch.device) -> Targets:
        """Return the targets of some examples, on ``device``."""
        index = torch.from_numpy(rows)
        return Targets(
            {key: tensor[index].to(device) for key, tensor in self.probabilities.items()},
            {key: tensor[index].to(device) for key, tensor in self.known.items()},
        )


@dataclass(frozen=True)
class Encoded:
    """Examples with their tokens and targets, made once."""

    examples: Sequence[Example]
    tokens: Sequence[Tokens]
    golden: Targets
    soft: Targets

    @classmethod
    def of(cls, examples: Sequence[Example], tokens: PairTokenizer, heads: Sequence[Head]) -> Encoded:
        """Tokenise ``examples`` and stack their targets."""
        return cls(
            examples,
            tokens.encode([example.pair for example in examples]),
            Targets.of(heads, [example.golden for example in examples]),
            Targets.of(heads, [example.soft for example in examples]),
        )

    def order(self, size: int, seed: tuple[int, ...]) -> Iterator[npt.NDArray[np.int_]]:
        """Yield the rows of each batch; the same seed gives the same batches."""
        return batches([len(t.ids) for t in self.tokens], size, np.random.default_rng(seed))
