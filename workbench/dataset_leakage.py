"""Which pairs of a pool are one too many, and which would tell a training set something about a holdout.

Golden sets are split by query, so what has to stay apart are queries: a pair is dropped if its query is one of a
holdout, or nearly one. Documents are shared between the splits by construction, so a document that is near one of a
holdout is counted, and dropped only where that is asked for. Nearness is that of :mod:`workbench.near_duplicates`:
an exact Jaccard similarity of word shingles, joined into groups, so that what is near by way of a third text counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.golden import Pair
from workbench.near_duplicates import THRESHOLD, near_texts, side_text

Reason = Literal[
    "no text",
    "same pair twice",
    "near-duplicate in the pool",
    "holdout pair",
    "query of the holdout",
    "near a query of the holdout",
    "near a document of the holdout",
]
"""Why a pair is left out, the first that holds. The last four are leaks."""


@dataclass(frozen=True)
class Holdout:
    """What has to stay unknown: the holdout pairs of all golden sets of a policy, and what is looked up among them."""

    pairs: frozenset[str]  # ids
    queries: frozenset[str]  # ids
    query_texts: tuple[str, ...]
    document_texts: tuple[str, ...]

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> Holdout:
        """Return the holdout that these pairs make."""
        members = list(pairs)
        return cls(
            frozenset(pair.id for pair in members),
            frozenset(pair.query_id for pair in members),
            _texts(members, lambda pair: pair.query),
            _texts(members, lambda pair: pair.document),
        )


@dataclass(frozen=True)
class Leaks:
    """What :func:`leaks` found.

    Attributes:
        reasons: position -> why the pair must not be in a training set.
        near_documents: positions of pairs whose document is near one of the holdout, whether they leak or not.
    """

    reasons: Mapping[int, Reason]
    near_documents: frozenset[int]


def surplus(pairs: Sequence[Pair], threshold: float | None = THRESHOLD) -> dict[int, Reason]:
    """Return position -> reason for the pairs that say nothing, or nothing new; the first of its like stays.

    A pair is nothing new if another has the same id, or if both its sides are near those of another.

    Args:
        threshold: Jaccard similarity from which a side is near; None: only equal pairs are found.
    """
    reasons: dict[int, Reason] = {}
    seen: set[str] = set()
    for i, pair in enumerate(pairs):
        if not side_text(pair.query) or not side_text(pair.document):
            reasons[i] = "no text"
        elif pair.id in seen:
            reasons[i] = "same pair twice"
        seen.add(pair.id)
    if threshold is None:
        return reasons
    left = [i for i in range(len(pairs)) if i not in reasons]
    queries = near_texts([side_text(pairs[i].query) for i in left], threshold=threshold)
    documents = near_texts([side_text(pairs[i].document) for i in left], threshold=threshold)
    groups: set[tuple[int, int]] = set()
    for i, group in zip(left, zip(queries, documents, strict=True), strict=True):
        if group in groups:
            reasons[i] = "near-duplicate in the pool"
        groups.add(group)
    return reasons


def leaks(
    pairs: Sequence[Pair],
    holdout: Holdout,
    *,
    threshold: float | None = THRESHOLD,
    documents: Literal["keep", "drop"] = "keep",
) -> Leaks:
    """Return which pairs would tell something about the holdout.

    Args:
        threshold: Jaccard similarity from which a text is near; None is taken for the usual one: a copy with other
            punctuation must not get through because near-duplicates within the pool are wanted.
        documents: whether a document that is near one of the holdout is a reason.
    """
    threshold = threshold or THRESHOLD
    near_queries = _near([side_text(pair.query) for pair in pairs], holdout.query_texts, threshold)
    near_documents = _near([side_text(pair.document) for pair in pairs], holdout.document_texts, threshold)
    reasons: dict[int, Reason] = {}
    for i, pair in enumerate(pairs):
        if pair.id in holdout.pairs:
            reasons[i] = "holdout pair"
        elif pair.query_id in holdout.queries:
            reasons[i] = "query of the holdout"
        elif i in near_queries:
            reasons[i] = "near a query of the holdout"
        elif documents == "drop" and i in near_documents:
            reasons[i] = "near a document of the holdout"
    return Leaks(reasons, frozenset(near_documents))


def counted(reasons: Iterable[str]) -> dict[str, int]:
    """Return reason -> how often, in the order in which they came."""
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    return counts


def _near(texts: Sequence[str], forbidden: Sequence[str], threshold: float) -> set[int]:
    """Return the positions of ``texts`` that share a group with one of ``forbidden``."""
    groups = near_texts([*forbidden, *texts], threshold=threshold)
    taken = set(groups[: len(forbidden)])
    return {i for i, group in enumerate(groups[len(forbidden) :]) if group in taken}


def _texts(pairs: Sequence[Pair], side: Callable[[Pair], Mapping[str, str]]) -> tuple[str, ...]:
    """Return the distinct texts of one side, those without any word left out."""
    found = dict.fromkeys(side_text(side(pair)) for pair in pairs)
    return tuple(text for text in found if text)
