"""Pairs that say the same twice, or nearly: found by MinHash and checked by their words.

Two pairs are near-duplicates where *both* sides are: a long query shared by many pairs does not make their documents
alike. Each side is a set of word shingles. Candidates come from banded MinHash signatures (Broder 1997, "On the
resemblance and containment of documents"; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3rd ed. 2020,
section 3.4); every candidate is then checked by the exact Jaccard similarity of the shingles. What is near is joined
into groups, so that two members of a group may be near only by way of a third.

Signatures are those of datasketch; its index, one Python set a bucket, takes about three times the memory of the sorted
bands used here. Measured on two cores of an AMD EPYC that others used too (Python 3.11, datasketch 2.0.0): 100,000
pairs with 100,000 different documents of 80 words and 5,000 queries of 40 words in 63 s with 230 MiB, 10,000 in 3.2 s.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations, islice, pairwise

import numpy as np
import numpy.typing as npt

from workbench.golden import Pair, Split
from workbench.identity import Value

THRESHOLD = 0.8
"""Jaccard similarity from which two texts are near-duplicates."""
SHINGLE = 2
"""Words of a shingle. Fields are short: with two, one word of twenty may differ at the threshold of 0.8."""

_PERMUTATIONS = 128
_RECALL = 0.995  # chance that two texts exactly at the threshold become candidates
_LOOKED_AT = 40  # members of a group, on either side, among which its closest two are looked for
_WORD = re.compile(r"\w+")


class DuplicateGroup(Value):
    """Pairs that are near-duplicates of one another, in the order in which they came."""

    pair_ids: tuple[str, ...]
    splits: tuple[Split, ...]  # of each pair
    closest: tuple[str, str]  # of different splits where the group crosses
    similarity: float  # of the closest two: the lower one of query and document similarity

    @property
    def crosses(self) -> bool:
        """Whether the group has pairs of both splits: what is known of the one gives the other away."""
        return len(set(self.splits)) > 1


def near_duplicates(
    pairs: Sequence[Pair],
    splits: Mapping[str, Split],
    *,
    threshold: float = THRESHOLD,
    shingle: int = SHINGLE,
) -> tuple[DuplicateGroup, ...]:
    """Return the groups of near-duplicate pairs, those that cross splits first, then the largest.

    A side without any word is like no other.

    Args:
        pairs: distinct by id.
        splits: pair id -> split.
        threshold: exact Jaccard similarity from which a side is near, above 0 and at most 1.
        shingle: words of a shingle; a text with fewer words is one shingle.

    Raises:
        ValueError: for a threshold or shingle that makes no sense.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"the threshold is a similarity above 0 and at most 1, not {threshold}")
    if shingle < 1:
        raise ValueError(f"a shingle has at least one word, not {shingle}")
    queries = near_texts([side_text(pair.query) for pair in pairs], threshold=threshold, shingle=shingle)
    documents = near_texts([side_text(pair.document) for pair in pairs], threshold=threshold, shingle=shingle)
    members: dict[tuple[int, int], list[Pair]] = defaultdict(list)
    for pair, query, document in zip(pairs, queries, documents, strict=True):
        members[query, document].append(pair)
    groups = [_group(found, splits, shingle) for found in members.values() if len(found) > 1]
    return tuple(sorted(groups, key=lambda group: (not group.crosses, -len(group.pair_ids))))


def near_texts(texts: Sequence[str], *, threshold: float = THRESHOLD, shingle: int = SHINGLE) -> list[int]:
    """Return a group number for each text; texts with the same number are near-duplicates, directly or by a chain."""
    distinct: dict[str, int] = {}
    alone = 0
    where = []
    for text in texts:
        if not text:
            alone -= 1  # nothing is like a text without words
        where.append(distinct.setdefault(text, len(distinct)) if text else alone)
    known = list(distinct)
    leader = list(range(len(known)))

    def lead(one: int) -> int:
        while leader[one] != one:
            leader[one] = leader[leader[one]]
            one = leader[one]
        return one

    for bucket in _buckets(_signatures(known, shingle), threshold):
        joined: list[
            list[int]
        ] = []  # what of the bucket is one group by now: one near member of each is enough
        for one in bucket:
            own, apart, mine = shingles(known[one], shingle), [], [one]
            for group in joined:
                if lead(group[0]) == lead(one) or any(
                    jaccard(own, shingles(known[other], shingle)) >= threshold for other in group
                ):
                    first, second = sorted((lead(group[0]), lead(one)))
                    leader[second] = first
                    mine += group
                else:
                    apart.append(group)
            joined = [*apart, mine]
    return [lead(i) if i >= 0 else i for i in where]


def side_text(fields: Mapping[str, str]) -> str:
    """Return the words of one side in lower case, fields in the order of their names."""
    return " ".join(word for name in sorted(fields) for word in _WORD.findall(fields[name].casefold()))


@lru_cache(maxsize=4096)
def shingles(text: str, size: int) -> frozenset[str]:
    """Return the runs of ``size`` words of a text; a shorter text is one run, an empty one has none."""
    words = text.split()
    if len(words) < size:
        return frozenset([" ".join(words)] if words else [])
    return frozenset(" ".join(words[i : i + size]) for i in range(len(words) - size + 1))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Return the share of all shingles that both have; 0 where there is none."""
    common = len(a & b)
    either = len(a) + len(b) - common
    return common / either if either else 0.0


def bands(threshold: float) -> tuple[int, int]:
    """Return how many bands of how many rows a signature is cut into: as many rows as the recall allows.

    Two texts of similarity s agree on some band with the chance ``1 - (1 - s^rows)^bands``.
    """
    for rows in range(_PERMUTATIONS, 1, -1):
        count = _PERMUTATIONS // rows
        if 1 - (1 - threshold**rows) ** count >= _RECALL:
            return count, rows
    return _PERMUTATIONS, 1


def _signatures(texts: Iterable[str], shingle: int) -> npt.NDArray[np.uint64]:
    from datasketch import MinHash  # with SciPy; pages load this module before anybody asks for duplicates

    batches = ([part.encode() for part in shingles(text, shingle)] for text in texts)
    rows = [found.hashvalues for found in MinHash.generator(batches, num_perm=_PERMUTATIONS, seed=1)]
    return np.stack(rows) if rows else np.empty((0, _PERMUTATIONS), np.uint64)


def _buckets(signatures: npt.NDArray[np.uint64], threshold: float) -> Iterator[list[int]]:
    """Yield the texts that agree on a band, two or more at once."""
    count, rows = bands(threshold)
    for band in range(count):
        part = signatures[:, band * rows : (band + 1) * rows]
        order = np.lexsort(part.T)
        new = np.flatnonzero((part[order[1:]] != part[order[:-1]]).any(axis=1)) + 1
        for start, end in pairwise([0, *new.tolist(), len(order)]):
            if end - start > 1:
                yield order[start:end].tolist()


def _group(members: Sequence[Pair], splits: Mapping[str, Split], shingle: int) -> DuplicateGroup:
    dev, holdout = ([pair for pair in members if splits[pair.id] == split] for split in ("dev", "holdout"))
    both: Iterable[tuple[Pair, Pair]] = combinations(islice(members, _LOOKED_AT), 2)
    if dev and holdout:
        both = ((a, b) for a in dev[:_LOOKED_AT] for b in holdout[:_LOOKED_AT])
    score, closest = max(
        ((_similarity(a, b, shingle), (a.id, b.id)) for a, b in both), key=lambda found: found[0]
    )
    return DuplicateGroup(
        pair_ids=tuple(pair.id for pair in members),
        splits=tuple(splits[pair.id] for pair in members),
        closest=closest,
        similarity=score,
    )


def _similarity(a: Pair, b: Pair, shingle: int) -> float:
    return min(
        jaccard(shingles(side_text(one), shingle), shingles(side_text(other), shingle))
        for one, other in ((a.query, b.query), (a.document, b.document))
    )
