"""What a model learns from: dev pairs with the labelers' votes and a judge's probabilities as soft targets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

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

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Cell:
    """How often a pair was shown and clicked at one position; ``propensity`` is the chance that it is looked at."""

    position: int
    shown: float
    clicked: float
    propensity: float = 1.0


@dataclass(frozen=True)
class Answer:
    """What a teacher says of a pair: by dimension, probabilities over the classes; and of a click, None: nothing."""

    policy: Mapping[str, Vector] = field(default_factory=dict)
    click: float | None = None


class LabelledRow(Protocol):
    """A row of a data set: :class:`workbench.dataset.DatasetRow`, or anything like it."""

    @property
    def pair(self) -> Pair:
        """The pair."""

    @property
    def split(self) -> str:
        """``train`` or ``validation``, by query."""

    @property
    def judgements(self) -> Sequence[Judgement]:
        """What the judge said of it."""


@dataclass(frozen=True)
class Example:
    """One pair and what is known about its grades.

    ``golden`` and ``soft`` hold, by dimension, probabilities over the head's classes: the levels, ascending, then
    N/A where the policy allows it; so does ``dataset``, which is what a data set's judge said. ``settled`` is the grade
    that the labelers agreed on; it is only measured by. ``cells`` are the pair's impressions, ``taught`` one answer a
    teacher of the recipe. ``validation`` keeps the pair's query out of training.
    """

    pair: Pair
    golden: Mapping[str, Vector] = field(default_factory=dict)
    soft: Mapping[str, Vector] = field(default_factory=dict)
    settled: Mapping[str, int] = field(default_factory=dict)
    dataset: Mapping[str, Vector] = field(default_factory=dict)
    cells: tuple[Cell, ...] = ()
    taught: tuple[Answer, ...] = ()
    validation: bool = False


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


def add_dataset(
    policy: Policy, golden: GoldenSet, examples: Iterable[Example], rows: Iterable[LabelledRow]
) -> list[Example]:
    """Return the examples with what a data set says: pairs that are among them gain it, the others follow.

    A judge's answer without probabilities counts as certain; a failed one is none. A probe is a dev pair of the golden
    set like any other.

    Args:
        policy: gives the dimensions and their classes.
        golden: whose holdout must not be among the rows.
        examples: from :func:`build_examples`.
        rows: of the data set, streamed.

    Raises:
        Refused: a pair of the holdout is among the rows.
        BadInput: an answer does not fit the policy's levels, or no row has one.
    """
    heads = {head.key: head for head in heads_of(policy)}
    found = {example.pair.id: example for example in examples}
    holdout = {pair_id for pair_id, split in golden.splits.items() if split == "holdout"}
    said = 0
    for row in rows:
        pair = row.pair
        # A row that was shortened by summaries has an id of its own and names the pair that it was graded as.
        if {pair.id, pair.meta.get("full_pair_id", pair.id)} & holdout:
            raise Refused(
                f"Pair {pair.id} of the data set is in the holdout of {golden.label}; nothing may learn from it.",
                "Make the data set again.",
            )
        targets = {}
        for judgement in row.judgements:
            head = heads.get(judgement.dimension)
            vector = _distribution(head, judgement, pair.id) if head else None
            if head and vector is None and not judgement.failed and not judgement.not_applicable:
                vector = _votes(head, [judgement.grade], f"the data set, pair {pair.id}")
            if vector:
                targets[judgement.dimension] = vector
        said += bool(targets)
        known = found.get(pair.id, Example(pair))
        held = known.validation or row.split == "validation"
        found[pair.id] = replace(known, dataset=targets, validation=held)
    if not said:
        raise BadInput(
            f"The data set says nothing on a dimension of {policy.label}.",
            "Make it under this policy, with a judge that grades.",
        )
    return list(found.values())


def add_clicks(
    golden: GoldenSet, examples: Iterable[Example], cells: Mapping[str, Sequence[Cell]]
) -> tuple[list[Example], int]:
    """Return the examples with their impressions, and how many documents of the log are none of their pairs.

    Args:
        golden: whose holdout is left out; its other pairs become examples where they have impressions.
        examples: whose pairs may have been shown.
        cells: pair id -> its impressions.

    Raises:
        BadInput: no pair was shown, or there is no click at all.
    """
    found = {example.pair.id: example for example in examples}
    dev = {pair.id: pair for pair in golden.pairs if golden.splits[pair.id] == "dev"}
    missed = 0
    for pair_id, mine in cells.items():
        known = found.get(pair_id) or (Example(dev[pair_id]) if pair_id in dev else None)
        if known is None:
            missed += 1
        else:
            found[pair_id] = replace(known, cells=tuple(mine))
    if not any(cell.clicked for example in found.values() for cell in example.cells):
        raise BadInput(
            "The click log has no click on a pair that is learnt from.",
            "Its documents have to be pair ids of the golden set's dev pairs or of the data set.",
        )
    return list(found.values()), missed


def check_examples(
    heads: Sequence[Head], examples: Sequence[Example], *, golden: bool, soft: bool, other: bool = False
) -> None:
    """Check that there is something to learn from and that it fits the heads.

    Args:
        heads: what is trained.
        examples: all of them.
        golden, soft: which targets the recipe learns from.
        other: whether it also learns from a data set, clicks or teachers.

    Raises:
        BadInput: one sentence for the first problem.
    """
    if not examples:
        raise BadInput("There is no example to learn from.", "Label dev pairs of the golden set first.")
    if not golden and not soft and not other:
        raise BadInput(
            "The recipe learns from nothing: the weights of golden and of soft labels are both 0.",
            "Set golden_weight or soft_labels.weight above 0.",
        )
    classes = {head.key: head.classes for head in heads}
    for example in examples:
        kinds = [("golden", example.golden), ("soft", example.soft), ("data set's", example.dataset)]
        kinds += [("teacher's", answer.policy) for answer in example.taught]
        for kind, targets in kinds:
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
    """Return (training, validation), by query.

    Validation takes a ``share`` of the queries, drawn by ``seed``, with all their pairs; and the queries of examples
    that say so themselves.
    """
    sides = split_by_query([example.pair for example in examples], holdout=share, seed=f"validation {seed}")
    kept = {e.pair.query_id for e in examples if e.validation or sides[e.pair.id] == "holdout"}
    train = [example for example in examples if example.pair.query_id not in kept]
    return train, [example for example in examples if example.pair.query_id in kept]
