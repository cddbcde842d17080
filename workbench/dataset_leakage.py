"""Which pairs of a pool are one too many, and which would tell a training set something about a holdout.

Golden sets are split by query, so what has to stay apart are queries: a pair is dropped if its query is one of a
holdout, or nearly one. Documents are shared between the splits by construction, so a document that is near one of a
holdout is counted, and dropped only where that is asked for. Nearness is that of :mod:`workbench.near_duplicates`:
an exact Jaccard similarity of word shingles, joined into groups, so that what is near by way of a third text counts.

Pairs that are written only within a job are checked there. The texts of a holdout must not lie in a job's folder, so it
gets a *blinded* holdout: for each text the sorted hashes of its shingles, from which the same similarities follow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from workbench.dataset_coverage import draw
from workbench.golden import Pair
from workbench.near_duplicates import SHINGLE, THRESHOLD, near_texts, shingles, side_text

Reason = Literal[
    "no text",
    "same pair twice",
    "near-duplicate in the pool",
    "a dev pair again",
    "near-duplicate of a dev pair",
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
    salt: str = ""  # given: the texts are blinded with it

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> Holdout:
        """Return the holdout that these pairs make."""
        members = list(pairs)
        return cls(
            frozenset(pair.id for pair in members),
            frozenset(pair.query_id for pair in members),
            _texts(members, _query),
            _texts(members, _document),
        )

    def blinded(self, salt: str) -> Holdout:
        """Return the same without any text that can be read: for the folder of a job.

        ``salt`` is part of every hash, so that the hashes of two jobs do not show which texts they share.
        """
        queries, documents = (
            tuple(blind(text, salt) for text in texts) for texts in (self.query_texts, self.document_texts)
        )
        return replace(self, query_texts=queries, document_texts=documents, salt=salt)


@dataclass(frozen=True)
class Leaks:
    """What :func:`leaks` found.

    Attributes:
        reasons: position -> why the pair must not be in a training set.
        near_documents: positions of pairs whose document is near one of the holdout, whether they leak or not.
    """

    reasons: Mapping[int, Reason]
    near_documents: frozenset[int]


@dataclass(frozen=True)
class Screened:
    """What of a pool may be graded, and why the rest is not.

    Attributes:
        kept: positions, in the order in which the seed draws them.
        dropped: reason -> how many.
        near_documents: positions of kept pairs whose document is near one of the holdout.
    """

    kept: tuple[int, ...]
    dropped: Mapping[str, int]
    near_documents: frozenset[int]


def screen(
    pairs: Sequence[Pair],
    holdout: Holdout,
    *,
    threshold: float | None,
    documents: Literal["keep", "drop"],
    probes: frozenset[str],
    most: int | None,
    seed: int,
    known: Sequence[Pair] = (),
) -> Screened:
    """Return which pairs of a pool are graded: no leak, nothing twice, no probe, and of the others a draw.

    Args:
        threshold, documents: see :func:`leaks`.
        probes: ids of pairs that are graded besides.
        most: how many are drawn; None: all.
        seed: what draws them.
        known: pairs that were there before; see :func:`surplus`.
    """
    leaking = leaks(pairs, holdout, threshold=threshold, documents=documents)
    clean = [i for i in range(len(pairs)) if i not in leaking.reasons]
    extra = surplus([pairs[i] for i in clean], threshold, known=known)
    left = [i for at, i in enumerate(clean) if at not in extra]
    kept = sorted((i for i in left if pairs[i].id not in probes), key=lambda i: draw(seed, pairs[i].id))
    drawn = kept[:most]
    late = {"is a probe": len(left) - len(kept), "not drawn": len(kept) - len(drawn)}
    dropped = counted([*leaking.reasons.values(), *extra.values()])
    dropped |= {reason: count for reason, count in late.items() if count}
    return Screened(tuple(drawn), dropped, leaking.near_documents & frozenset(drawn))


def surplus(
    pairs: Sequence[Pair], threshold: float | None = THRESHOLD, *, known: Sequence[Pair] = ()
) -> dict[int, Reason]:
    """Return position -> reason for the pairs that say nothing, or nothing new; the first of its like stays.

    A pair is nothing new if another has the same id, or if both its sides are near those of another.

    Args:
        threshold: Jaccard similarity from which a side is near; None: only equal pairs are found.
        known: dev pairs that were there before: what is like one of them is nothing new either.
    """
    reasons: dict[int, Reason] = {}
    known_ids = {pair.id for pair in known}
    seen: set[str] = set()
    for i, pair in enumerate(pairs):
        if not side_text(pair.query) or not side_text(pair.document):
            reasons[i] = "no text"
        elif pair.id in known_ids:
            reasons[i] = "a dev pair again"
        elif pair.id in seen:
            reasons[i] = "same pair twice"
        seen.add(pair.id)
    if threshold is None:
        return reasons
    left = [i for i in range(len(pairs)) if i not in reasons]
    looked_at = [*known, *(pairs[i] for i in left)]
    queries = near_texts([side_text(pair.query) for pair in looked_at], threshold=threshold)
    documents = near_texts([side_text(pair.document) for pair in looked_at], threshold=threshold)
    groups = list(zip(queries, documents, strict=True))
    known_groups, groups_seen = set(groups[: len(known)]), set[tuple[int, int]]()
    for i, group in zip(left, groups[len(known) :], strict=True):
        if group in known_groups:
            reasons[i] = "near-duplicate of a dev pair"
        elif group in groups_seen:
            reasons[i] = "near-duplicate in the pool"
        groups_seen.add(group)
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
    near_queries, near_documents = (
        _near([side_text(side(pair)) for pair in pairs], forbidden, threshold, holdout.salt)
        for side, forbidden in ((_query, holdout.query_texts), (_document, holdout.document_texts))
    )
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


def blind(text: str, salt: str) -> str:
    """Return the hashes of a text's shingles as words, sorted: its set of words has the Jaccard similarities of its
    set of shingles, and says neither a word nor their order."""
    found = {hashlib.sha256(f"{salt}\n{one}".encode()).hexdigest()[:16] for one in shingles(text, SHINGLE)}
    return " ".join(sorted(found))


def _query(pair: Pair) -> Mapping[str, str]:
    return pair.query


def _document(pair: Pair) -> Mapping[str, str]:
    return pair.document


def _near(texts: Sequence[str], forbidden: Sequence[str], threshold: float, salt: str) -> set[int]:
    """Return the positions of ``texts`` that share a group with one of ``forbidden``, which are blinded with a salt."""
    compared = [blind(text, salt) for text in texts] if salt else texts
    groups = near_texts([*forbidden, *compared], threshold=threshold, shingle=1 if salt else SHINGLE)
    taken = set(groups[: len(forbidden)])
    return {i for i, group in enumerate(groups[len(forbidden) :]) if group in taken}


def _texts(pairs: Sequence[Pair], side: Callable[[Pair], Mapping[str, str]]) -> tuple[str, ...]:
    """Return the distinct texts of one side, those without any word left out."""
    found = dict.fromkeys(side_text(side(pair)) for pair in pairs)
    return tuple(text for text in found if text)
