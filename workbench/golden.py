"""Pairs, labels and golden sets; how labels settle into one grade; splits by query; coverage.

Grades travel as integers. Four of them are not levels: see ``NOT_GRADED`` and its neighbours. Labels of a whole
set travel as a data frame (:func:`label_table`), because a set of 100,000 pairs has a million of them.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import AfterValidator, Field, StringConstraints, model_validator

from workbench.identity import Value, content_hash, keepable

NOT_GRADED = -1
"""No grade: nobody labelled it, or the judge failed on it."""
NOT_APPLICABLE = -2
"""The dimension does not apply to the pair; an answer, not a gap."""
UNRATEABLE = -3
"""A labeler looked and could not tell."""

Split = Literal["dev", "holdout"]
Source = Literal["human", "adjudicated", "import"]
ConsensusRule = Literal["majority", "median"]
Filled = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

LABEL_COLUMNS = ["pair_id", "dimension", "grade", "labeler", "at", "note", "source"]


class Pair(Value):
    """A (query, document) pair. Its id is its content, so the same pair imported twice is one pair."""

    query: dict[str, str]
    document: dict[str, str]
    meta: dict[str, str] = {}

    @cached_property
    def id(self) -> str:
        """Content hash of both sides' fields; metadata does not count."""
        return content_hash("pair", {"query": self.query, "document": self.document})

    @cached_property
    def query_id(self) -> str:
        """Content hash of the query fields: the unit of splits and of the bootstrap."""
        return content_hash("query", self.query)

    def text(self, considers: Sequence[str], layout: Mapping[str, Literal["query", "document"]]) -> str:
        """Return the texts of the fields named ``side.field``, joined by blank lines, empty ones left out."""
        parts = []
        for name in considers:
            side, _, field_name = name.partition(".")
            fields = self.query if layout[side] == "query" else self.document
            parts.append(fields.get(field_name, ""))
        return "\n\n".join(part for part in parts if part.strip())


class Label(Value):
    """One labeler's answer about one dimension of one pair. Append-only: a change of mind is a newer label."""

    pair_id: str
    dimension: Filled
    grade: int = Field(ge=UNRATEABLE)
    labeler: Filled
    at: datetime
    note: Annotated[str, AfterValidator(keepable)] = ""
    source: Source = "human"

    @model_validator(mode="after")
    def _an_answer(self) -> Label:
        if self.grade == NOT_GRADED:
            raise ValueError("a label needs a grade, N/A or unrateable")
        if self.at.tzinfo is None:
            raise ValueError("a label needs a time with a zone")
        return self


def label_table(labels: Iterable[Label]) -> pd.DataFrame:
    """Return labels as a data frame with ``LABEL_COLUMNS``; ``at`` in UTC."""
    rows = [
        (x.pair_id, x.dimension, x.grade, x.labeler, x.at.astimezone(UTC), x.note, x.source) for x in labels
    ]
    return typed_labels(pd.DataFrame(rows, columns=LABEL_COLUMNS))


def typed_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a label frame with its column types fixed: whole grades, times in UTC to the microsecond."""
    at = pd.to_datetime(frame["at"], utc=True).astype("datetime64[us, UTC]")
    return frame[LABEL_COLUMNS].assign(at=at).astype({"grade": np.int_})


@dataclass(frozen=True)
class GoldenSet:
    """A frozen, numbered snapshot of pairs, labels and splits."""

    name: str
    version: int
    policy: str
    pairs: tuple[Pair, ...]
    splits: Mapping[str, Split]  # pair id -> split
    labels: pd.DataFrame = field(repr=False)
    sample: bool = False
    description: str = ""

    @property
    def label(self) -> str:
        """The name people call this snapshot by, such as ``job-match v1``."""
        return f"{self.name} v{self.version}"

    @cached_property
    def content_hash(self) -> str:
        """Identity of pairs, splits and labels together; their order does not matter."""
        rows = self.labels.assign(at=self.labels["at"].map(lambda at: at.isoformat()))[LABEL_COLUMNS]
        parts = {
            "pairs": sorted([pair.id, self.splits[pair.id], pair.meta] for pair in self.pairs),
            "labels": sorted(rows.values.tolist()),
        }
        return content_hash("golden", parts)


def newest(labels: pd.DataFrame) -> pd.DataFrame:
    """Return, for each pair, dimension and labeler, the newest label (the later row where times are equal)."""
    ordered = labels.sort_values("at", kind="stable")
    return ordered.drop_duplicates(["pair_id", "dimension", "labeler"], keep="last")


def settle(
    labels: pd.DataFrame, dimension: str, pair_ids: Sequence[str], rule: ConsensusRule = "majority"
) -> npt.NDArray[np.int_]:
    """Return one settled grade a pair, shape (pairs,), in the order of ``pair_ids``.

    The newest adjudicated label decides. Else, by ``majority``: the answer (a level or N/A) that more labelers
    gave than any other; where two answers tie, the median of the levels given, the lower one of two middle ones.
    By ``median``: that median at once, and N/A only where more than half said so. *Unrateable* is no vote;
    a pair without votes is ``NOT_GRADED``.
    """
    position = {pair_id: i for i, pair_id in enumerate(pair_ids)}
    mine = labels[labels["dimension"] == dimension]
    by_meeting = mine["source"] == "adjudicated"
    # Apart, so that an adjudicator's own later vote does not hide what was decided.
    mine = pd.concat([newest(mine[~by_meeting]), newest(mine[by_meeting])])
    index = mine["pair_id"].map(position)
    keep = index.notna().to_numpy()
    where = index[keep].to_numpy(dtype=np.int_)
    grades = mine["grade"].to_numpy(dtype=np.int_)[keep]
    adjudicated = (mine["source"] == "adjudicated").to_numpy()[keep]

    top = int(max(grades.max(initial=0), 0))
    # Column 0 counts N/A votes, column 1 + v counts votes for level v.
    votes = np.zeros((len(pair_ids), top + 2), dtype=np.int_)
    counted = grades != UNRATEABLE
    column = np.where(grades == NOT_APPLICABLE, 0, grades + 1)
    np.add.at(votes, (where[counted], column[counted]), 1)

    given = votes[:, 1:]
    graded = given.sum(axis=1)
    lower_median = (given.cumsum(axis=1) * 2 >= graded[:, None]).argmax(axis=1)
    most = votes.max(axis=1)
    if rule == "majority":
        clear = (votes == most[:, None]).sum(axis=1) == 1
        settled = np.where(clear, votes.argmax(axis=1) - 1, lower_median)
        settled[clear & (votes.argmax(axis=1) == 0)] = NOT_APPLICABLE
    else:
        settled = lower_median.copy()
        settled[votes[:, 0] > graded] = NOT_APPLICABLE
    settled[(graded == 0) & (votes[:, 0] > 0)] = NOT_APPLICABLE
    settled[most == 0] = NOT_GRADED
    # Adjudications are in order of time, so the last adjudication of a pair is the newest.
    settled[where[adjudicated]] = np.where(grades[adjudicated] == UNRATEABLE, NOT_GRADED, grades[adjudicated])
    result: npt.NDArray[np.int_] = settled.astype(np.int_)
    return result


def split_by_query(
    pairs: Sequence[Pair],
    *,
    holdout: float = 0.3,
    stratify: str = "",
    seed: str = "",
    given: Mapping[str, Split] | None = None,
) -> dict[str, Split]:
    """Return pair id -> split, whole queries to one side, the same answer for the same input on any machine.

    Args:
        holdout: share of queries in the holdout, within each stratum, at least 0 and below 1.
        stratify: metadata key whose value (on a query's first pair) names its stratum; "" for one stratum.
        seed: changes which queries are drawn.
        given: pair id -> split fixed earlier; its queries stay where they are (a holdout is locked).
    """
    fixed = {pair.query_id: given[pair.id] for pair in pairs if pair.id in given} if given else {}
    strata: dict[str, str] = {}
    for pair in pairs:
        strata.setdefault(pair.query_id, pair.meta.get(stratify, ""))
    drawn = draw_splits(strata, holdout=holdout, seed=seed, given=fixed)
    return {pair.id: drawn[pair.query_id] for pair in pairs}


def draw_splits(
    strata: Mapping[str, str], *, holdout: float, seed: str = "", given: Mapping[str, Split] | None = None
) -> dict[str, Split]:
    """Return query id -> split for the queries of ``strata`` (query id -> stratum).

    Queries that were ``given`` a split keep it and count towards the share of their stratum, so that a set which
    grows one query at a time has a holdout too.
    """
    if not 0 <= holdout < 1:
        raise ValueError(f"holdout is a share from 0 to below 1, not {holdout}")
    drawn: dict[str, Split] = {query: split for query, split in (given or {}).items() if query in strata}
    queries: dict[str, list[str]] = defaultdict(list)
    for query, stratum in strata.items():
        queries[stratum].append(query)
    for members in queries.values():
        wanted = round(holdout * len(members)) - sum(drawn.get(query) == "holdout" for query in members)
        free = [query for query in members if query not in drawn]
        free.sort(key=lambda query: hashlib.sha256(f"{seed}\n{query}".encode()).digest())
        for i, query in enumerate(free):
            drawn[query] = "holdout" if i < wanted else "dev"
    return drawn


def coverage(settled: npt.NDArray[np.int_], levels: Sequence[int]) -> dict[int, int]:
    """Return how many pairs settled on each level, N/A and not graded included (as their negative codes)."""
    values, counts = np.unique(settled, return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return {level: found.get(level, 0) for level in (*levels, NOT_APPLICABLE, NOT_GRADED)}
