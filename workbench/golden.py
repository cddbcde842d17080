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
from typing import TYPE_CHECKING, Annotated, Literal, get_args

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from workbench.identity import Value, content_hash, keepable

if TYPE_CHECKING:  # half a second: a judge over HTTP grades pairs and sees no table of labels
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

NOT_GRADED = -1
"""No grade: nobody labelled it, or the judge failed on it. As a label: the labeler takes back what they said."""
NOT_APPLICABLE = -2
"""The dimension does not apply to the pair; an answer, not a gap."""
UNRATEABLE = -3
"""A labeler looked and could not tell."""

Split = Literal["dev", "holdout"]
Source = Literal["human", "adjudicated", "import"]
ConsensusRule = Literal["majority", "median", "dawid_skene"]
CONSENSUS_RULES: tuple[ConsensusRule, ...] = get_args(ConsensusRule)
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
    """One labeler's answer about one dimension of one pair. Append-only: a change of mind is a newer label.

    A label whose grade is ``NOT_GRADED`` withdraws what its labeler said before.
    """

    pair_id: str
    dimension: Filled
    grade: int = Field(ge=UNRATEABLE)
    labeler: Filled
    at: datetime
    note: Annotated[str, AfterValidator(keepable)] = ""
    source: Source = "human"

    @model_validator(mode="after")
    def _a_moment(self) -> Label:
        if self.at.tzinfo is None:
            raise ValueError("a label needs a time with a zone")
        return self


def label_table(labels: Iterable[Label]) -> pd.DataFrame:
    """Return labels as a data frame with ``LABEL_COLUMNS``; ``at`` in UTC."""
    import pandas as pd

    rows = [
        (x.pair_id, x.dimension, x.grade, x.labeler, x.at.astimezone(UTC), x.note, x.source) for x in labels
    ]
    return typed_labels(pd.DataFrame(rows, columns=LABEL_COLUMNS))


def typed_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a label frame with its column types fixed: whole grades, times in UTC to the microsecond."""
    import numpy as np
    import pandas as pd

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


def standing(labels: pd.DataFrame) -> pd.DataFrame:
    """Return the labels that hold: the newest of each pair, dimension and labeler, unless it withdraws."""
    found = newest(labels)
    return found[found["grade"] != NOT_GRADED]


def votes(labels: pd.DataFrame) -> pd.DataFrame:
    """Return what each labeler says by themselves, adjudications apart: the votes of every consensus rule."""
    return standing(labels[labels["source"] != "adjudicated"])


def adjudicated(labels: pd.DataFrame) -> pd.DataFrame:
    """Return the newest adjudication of each pair and dimension, whoever made it.

    Adjudications are read apart from votes, so that an adjudicator's own later vote does not undo what was decided.
    """
    found = standing(labels[labels["source"] == "adjudicated"])
    return found.drop_duplicates(["pair_id", "dimension"], keep="last")


def settle(
    labels: pd.DataFrame, dimension: str, pair_ids: Sequence[str], rule: ConsensusRule = "majority"
) -> npt.NDArray[np.int_]:
    """Return one settled grade a pair, shape (pairs,), in the order of ``pair_ids``.

    The newest adjudicated label decides, by every rule. Else, by ``majority``: the answer (a level or N/A) that more
    labelers gave than any other; where two answers tie, the median of the levels given, the lower one of two middle
    ones. By ``median``: that median at once, and N/A only where more than half said so. By ``dawid_skene``: the
    answer that is most probable given how often each labeler errs, which is learnt from *all* of ``labels``, also
    those of pairs that are not asked for (:mod:`workbench.dawid_skene`); the classes are the answers that somebody
    gave, N/A among them, and adjudications are known truth. *Unrateable* is no vote, nor is a withdrawn label; a pair
    without votes is ``NOT_GRADED``.
    """
    import numpy as np
    import pandas as pd

    position = pd.Index(pair_ids).unique()
    mine = labels[labels["dimension"] == dimension]
    cast, decided = votes(mine), adjudicated(mine)
    cast = cast[cast["grade"] != UNRATEABLE]
    settled = _by_care(cast, decided, position) if rule == "dawid_skene" else _by_count(cast, position, rule)
    where = position.get_indexer(pd.Index(decided["pair_id"]))
    grades = decided["grade"].to_numpy(dtype=np.int_)
    settled[where[where >= 0]] = np.where(grades == UNRATEABLE, NOT_GRADED, grades)[where >= 0]
    result: npt.NDArray[np.int_] = settled[position.get_indexer(pd.Index(pair_ids))]
    return result


def _by_count(cast: pd.DataFrame, position: pd.Index, rule: ConsensusRule) -> npt.NDArray[np.int_]:
    """Return what votes settle on by majority or median."""
    import numpy as np
    import pandas as pd

    where = position.get_indexer(pd.Index(cast["pair_id"]))
    asked = where >= 0
    grades = cast["grade"].to_numpy(dtype=np.int_)[asked]
    top = int(max(grades.max(initial=0), 0))
    # Column 0 counts N/A votes, column 1 + v counts votes for level v.
    counts = np.zeros((len(position), top + 2), dtype=np.int_)
    np.add.at(counts, (where[asked], np.where(grades == NOT_APPLICABLE, 0, grades + 1)), 1)

    given = counts[:, 1:]
    graded = given.sum(axis=1)
    lower_median = (given.cumsum(axis=1) * 2 >= graded[:, None]).argmax(axis=1)
    most = counts.max(axis=1)
    if rule == "majority":
        clear = (counts == most[:, None]).sum(axis=1) == 1
        settled = np.where(clear, counts.argmax(axis=1) - 1, lower_median)
        settled[clear & (counts.argmax(axis=1) == 0)] = NOT_APPLICABLE
    else:
        settled = lower_median.copy()
        settled[counts[:, 0] > graded] = NOT_APPLICABLE
    settled[(graded == 0) & (counts[:, 0] > 0)] = NOT_APPLICABLE
    settled[most == 0] = NOT_GRADED
    result: npt.NDArray[np.int_] = settled.astype(np.int_)
    return result


def _by_care(cast: pd.DataFrame, decided: pd.DataFrame, position: pd.Index) -> npt.NDArray[np.int_]:
    """Return what votes settle on by Dawid-Skene, learnt from every vote, for the pairs of ``position``."""
    import numpy as np
    import pandas as pd

    from workbench.dawid_skene import dawid_skene

    settled = np.full(len(position), NOT_GRADED, dtype=np.int_)
    if cast.empty:
        return settled
    items, pairs = pd.factorize(cast["pair_id"], sort=True)
    raters, labelers = pd.factorize(cast["labeler"], sort=True)
    given = cast["grade"].to_numpy(dtype=np.int_)
    known = pd.Series(decided["grade"].to_numpy(dtype=np.int_), index=decided["pair_id"], dtype=np.int_)
    truth = known.reindex(pairs, fill_value=UNRATEABLE).to_numpy(dtype=np.int_)
    answers = np.unique(np.concatenate([given, truth[truth != UNRATEABLE]]))
    # Levels from below, then N/A: where two answers are equally probable, the lower level is taken.
    answers = np.concatenate([answers[answers >= 0], answers[answers == NOT_APPLICABLE]])
    number = pd.Index(answers)
    found = dawid_skene(
        items,
        raters,
        number.get_indexer(pd.Index(given)),
        shape=(len(pairs), len(labelers), len(answers)),
        known=number.get_indexer(pd.Index(truth)),
    )
    where = position.get_indexer(pd.Index(pairs))
    settled[where[where >= 0]] = answers[found.classes()][where >= 0]
    return settled


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
    import numpy as np

    values, counts = np.unique(settled, return_counts=True)
    found = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return {level: found.get(level, 0) for level in (*levels, NOT_APPLICABLE, NOT_GRADED)}
