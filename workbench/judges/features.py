"""What the baseline sees of a pair: similarities and overlaps between the sides and with the policy's texts.

Every feature is a function of one pair, one dimension of the policy, and word weights fitted on the dev pairs,
never of the other pairs being graded: a pair has the same features in a pool of ten as in one of ten thousand.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from workbench.golden import Pair
from workbench.policy import Body, Dimension, Side

FEATURES = 1
"""Version of the feature set, part of the judge's identity: raise it whenever a feature changes."""

FloatArray = npt.NDArray[np.float64]
_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class Encoder(Protocol):
    """Texts to unit vectors; a blank text to the zero vector."""

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return one vector a text, shape (texts, d)."""
        ...


@dataclass(frozen=True)
class PairFeatures:
    """Features of pairs under one dimension, and the similarities that a rationale speaks of.

    ``closeness``, ``levels`` and ``clauses`` are cosines; without an encoder they are weighted word overlaps.
    """

    names: tuple[str, ...]
    values: FloatArray  # (pairs, features)
    closeness: FloatArray  # (pairs,): query side against document side
    levels: FloatArray  # (pairs, levels): the pair against each level's text
    clauses: FloatArray  # (pairs, clauses): the pair against each clause of the dimension
    blank: npt.NDArray[np.bool_]  # (pairs,): a side that the dimension considers has no text at all


class WordWeights:
    """Inverse document frequency of words, ``log((1 + n) / (1 + df)) + 1``: scikit-learn's smooth form."""

    def __init__(self, texts: Iterable[str]) -> None:
        """Fit on the distinct ones of ``texts``; a word of none of them gets the highest weight."""
        distinct = set(texts)
        counts = Counter(word for text in distinct for word in words(text))
        n = len(distinct)
        self._unseen = math.log(1 + n) + 1
        self._weights = {word: math.log((1 + n) / (1 + df)) + 1 for word, df in counts.items()}

    def share(self, inner: frozenset[str], outer: frozenset[str]) -> float:
        """Return the weighted share of the words of ``inner`` that ``outer`` has too; 0 for no words."""
        return self._sum(inner & outer) / self._sum(inner) if inner else 0.0

    def _sum(self, some: frozenset[str]) -> float:
        # fsum: sets of text iterate differently in every process, and a plain sum depends on the order.
        return math.fsum(self._weights.get(word, self._unseen) for word in some)


class DimensionFeatures:
    """Computes :class:`PairFeatures` for one dimension of a policy."""

    def __init__(
        self, body: Body, dimension: Dimension, weights: WordWeights, encoder: Encoder | None = None
    ) -> None:
        """Prepare the policy's side: the fields considered (all where none is named) and the rules' texts."""
        considered = set(dimension.considers or body.pair.field_names())
        self._query = _considered(body.pair.query, considered)
        self._document = _considered(body.pair.document, considered)
        self._weights = weights
        self._encoder = encoder
        self._levels = [f"{level.name}: {level.criteria}" for level in dimension.levels]
        self._clauses = [clause.text for clause in dimension.clauses]

    def of(self, pairs: Sequence[Pair]) -> PairFeatures:
        """Return the features of ``pairs``, at least one, in their order."""
        query = [[pair.query.get(name, "") for pair in pairs] for name in self._query]
        document = [[pair.document.get(name, "") for pair in pairs] for name in self._document]
        columns, closeness, levels, clauses = self._lexical(query, document, len(pairs))
        if self._encoder is not None:
            more, closeness, levels, clauses = self._cosines(self._encoder, query, document, len(pairs))
            columns |= more
        blank = np.zeros(len(pairs), dtype=np.bool_)
        for side, names, prefix in ((query, self._query, "query"), (document, self._document, "document")):
            empty = np.array([[not text.strip() for text in column] for column in side], dtype=np.bool_)
            columns |= {f"empty {prefix}.{name}": empty[i].astype(float) for i, name in enumerate(names)}
            if names:
                blank |= empty.all(axis=0)
        values = np.stack(list(columns.values()), axis=1)
        return PairFeatures(tuple(columns), values, closeness, levels, clauses, blank)

    def _lexical(
        self, query: list[list[str]], document: list[list[str]], n: int
    ) -> tuple[dict[str, FloatArray], FloatArray, FloatArray, FloatArray]:
        rows = []
        level_words = [words(text) for text in self._levels]
        clause_words = [words(text) for text in self._clauses]
        levels = np.zeros((n, len(level_words)))
        clauses = np.zeros((n, len(clause_words)))
        share = self._weights.share
        for i in range(n):
            q_texts, d_texts = [column[i] for column in query], [column[i] for column in document]
            q, d = _union(words, q_texts), _union(words, d_texts)
            q_grams, d_grams = _union(trigrams, q_texts), _union(trigrams, d_texts)
            numbers, there = _union(figures, q_texts), _union(figures, d_texts)
            row = {
                "words jaccard": _ratio(len(q & d), len(q | d)),
                "words of query in document": _ratio(len(q & d), len(q)),
                "words of document in query": _ratio(len(q & d), len(d)),
                "weighted words of query in document": share(q, d),
                "weighted words of document in query": share(d, q),
                "trigrams of query in document": _ratio(len(q_grams & d_grams), len(q_grams)),
                "trigrams of document in query": _ratio(len(q_grams & d_grams), len(d_grams)),
                "numbers of query in document": _ratio(len(numbers & there), len(numbers)),
                "numbers in query": math.log1p(len(numbers)),
                "words in query": math.log1p(len(q)),
                "words in document": math.log1p(len(d)),
            }
            for name, text in zip(self._document, d_texts, strict=True):
                row[f"weighted words of query in document.{name}"] = share(q, words(text))
                row[f"weighted words of document.{name} in query"] = share(words(text), q)
            for name, text in zip(self._query, q_texts, strict=True):
                row[f"weighted words of query.{name} in document"] = share(words(text), d)
                if name in self._document:  # both sides have a location: the same place?
                    other = words(d_texts[self._document.index(name)])
                    row[f"same {name}"] = float(bool(other) and words(text) == other)
                    row[f"shared {name}"] = share(words(text), other)
            levels[i] = [share(text, q | d) for text in level_words]
            clauses[i] = [share(text, q | d) for text in clause_words]
            rows.append(row)
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        columns |= _policy_columns("words", levels, clauses)
        return columns, columns["weighted words of query in document"], levels, clauses

    def _cosines(
        self, encoder: Encoder, query: list[list[str]], document: list[list[str]], n: int
    ) -> tuple[dict[str, FloatArray], FloatArray, FloatArray, FloatArray]:
        # One call, so that the encoder can batch by length over all fields and the policy's texts.
        texts = [text for column in (*query, *document, self._levels, self._clauses) for text in column]
        vectors = encoder.encode(texts).astype(np.float64)
        ends = np.cumsum([n] * (len(query) + len(document)) + [len(self._levels)])
        *fields, level_vectors, clause_vectors = np.split(vectors, ends)
        d = vectors.shape[1]
        q_fields = np.array(fields[: len(query)]).reshape(-1, n, d)
        d_fields = np.array(fields[len(query) :]).reshape(-1, n, d)
        # Fields weigh alike: a mean weighted by length would be the description and little else.
        q, doc = _unit(q_fields.sum(axis=0)), _unit(d_fields.sum(axis=0))
        pair = _unit(q + doc)
        between = np.einsum("and,bnd->nab", q_fields, d_fields).reshape(n, -1)
        closeness: FloatArray = np.einsum("nd,nd->n", q, doc)
        columns = {"cosine of sides": closeness}
        crossed = [f"cosine of query.{a} and document.{b}" for a in self._query for b in self._document]
        columns |= {name: between[:, i] for i, name in enumerate(crossed)}
        if crossed:
            columns["highest cosine of fields"] = between.max(axis=1)
            columns["mean cosine of fields"] = between.mean(axis=1)
        levels, clauses = pair @ level_vectors.T, pair @ clause_vectors.T
        columns |= _policy_columns("cosine", levels, clauses)
        return columns, closeness, levels, clauses


@lru_cache(maxsize=2048)
def words(text: str) -> frozenset[str]:
    """Return the distinct words and numbers of ``text``, case and compatibility forms folded."""
    return frozenset(_WORD.findall(_folded(text)))


@lru_cache(maxsize=1024)
def trigrams(text: str) -> frozenset[str]:
    """Return the distinct runs of three characters of ``text``, words joined by single spaces.

    They see inflected words and scripts without spaces, which whole words do not.
    """
    line = f" {' '.join(_WORD.findall(_folded(text)))} "
    return frozenset(line[i : i + 3] for i in range(len(line) - 2))


@lru_cache(maxsize=2048)
def figures(text: str) -> frozenset[str]:
    """Return the distinct numbers of ``text`` as written, such as ``32`` or ``1,5``."""
    return frozenset(_NUMBER.findall(_folded(text)))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _considered(side: Side, considered: set[str]) -> tuple[str, ...]:
    return tuple(field for field in side.fields if f"{side.name}.{field}" in considered)


def _union(kind: Callable[[str], frozenset[str]], texts: Iterable[str]) -> frozenset[str]:
    return frozenset().union(*(kind(text) for text in texts))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _unit(vectors: FloatArray) -> FloatArray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)


def _policy_columns(kind: str, levels: FloatArray, clauses: FloatArray) -> dict[str, FloatArray]:
    columns = {f"{kind} with level {i}": levels[:, i] for i in range(levels.shape[1])}
    if clauses.shape[1]:
        columns[f"highest {kind} with a clause"] = clauses.max(axis=1)
        columns[f"mean {kind} with clauses"] = clauses.mean(axis=1)
    return columns
