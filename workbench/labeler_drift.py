"""Whether labelers change over time: each against the rest by blocks of their own work, and against themselves.

All of it is about one dimension. Adjudicated labels are left out, for they were made with the others in sight. *The
rest* is the (lower) median of the other labelers' newest levels, whenever those were given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from workbench import confusion
from workbench.agreement import holm
from workbench.confusion import Grades, confusions, declared
from workbench.golden import NOT_GRADED, votes
from workbench.resampling import Estimate, numbered, resample

BLOCKS = 6
"""Most blocks of a labeler's work."""
LEAST = 20
"""Fewest labels of a block."""
FEWEST_QUERIES = 8
"""Fewest queries of a test of trend: with fewer, no order of them is rare enough."""
CORRECTION = timedelta(minutes=10)
"""Within this time of the label before, a label corrects it; later, it is a second look."""

_NO_REST = "No other labeler graded their pairs."


@dataclass(frozen=True)
class Block:
    """A stretch of one labeler's work: ``n`` labels on pairs that the rest graded too."""

    since: datetime
    until: datetime
    n: int
    kappa: Estimate  # quadratic, against the rest
    bias: Estimate  # mean of own level less that of the rest


@dataclass(frozen=True)
class Trend:
    """Spearman's correlation with time. ``p`` is two-sided, by permutation of queries.

    ``p_holm`` is corrected over labelers and over both trends of each.
    """

    rho: float | None
    p: float | None
    queries: int
    reason: str = ""
    p_holm: float | None = None


@dataclass(frozen=True)
class LabelerDrift:
    """One labeler over time; no blocks where ``reason`` says why not."""

    labeler: str
    n: int
    blocks: tuple[Block, ...]
    distance: Trend  # of the distance from the rest: above 0, the labeler moves away
    shift: Trend  # of own level less that of the rest: above 0, the labeler grades higher and higher
    reason: str = ""


@dataclass(frozen=True)
class SelfAgreement:
    """One labeler on the ``n`` pairs to which they gave a level twice, with at least ``CORRECTION`` between."""

    labeler: str
    n: int
    exact: Estimate
    kappa: Estimate  # quadratic
    days: float | None  # median time between both


def labeler_drift(
    labels: pd.DataFrame,
    query_ids: Mapping[str, str],
    levels: Sequence[int],
    *,
    blocks: int = BLOCKS,
    least: int = LEAST,
    resamples: int = 2000,
    permutations: int = 2000,
    seed: int = 0,
) -> tuple[LabelerDrift, ...]:
    """Return how each labeler's agreement with the rest went over time, in the order of their names.

    A labeler's labels are cut, in the order of time, into equal blocks: people label in bursts, and weeks would hold
    hundreds of labels or none. Labels of one moment stay together. The test of trend takes queries, not pairs, as
    its units (pairs of a query are alike and are labelled one after another): the mean distance from the rest on each
    query, and the mean signed difference, against the mean rank of its labels in time, with Spearman's correlation and
    its p from permuting queries. Where there are no blocks there is no test.

    Args:
        labels: labels of one dimension, any times of them; the newest of a labeler on a pair counts.
        query_ids: pair id -> query id; labels of other pairs are left out.
        levels: the declared levels; other grades count as none.
        blocks, least: most blocks, and fewest labels of each.
        resamples, seed: as in :func:`workbench.agreement.agreement`.
        permutations: 1 or more.
    """
    scale = declared(levels)
    table = votes(labels)
    table = table[table["pair_id"].isin(query_ids)]
    pair_ids = table["pair_id"].unique()
    names = sorted(table["labeler"].unique())
    ratings = _ratings(table, pair_ids, names, scale)
    cast = confusion.votes(ratings, scale)
    moments = table.set_index(["labeler", "pair_id"])["at"]
    queries = np.array([query_ids[pair_id] for pair_id in pair_ids], dtype=object)
    found = []
    for name, own in zip(names, ratings, strict=True):
        rest = confusion.median_of_rest(own, cast, scale)
        shared = np.flatnonzero((own >= 0) & (rest >= 0))
        at = moments[name].reindex(pair_ids[shared])
        order = np.argsort(at.to_numpy(), kind="stable")
        work = _Work(own[shared][order], rest[shared][order], queries[shared][order], at.iloc[order])
        cut = _cut(work, blocks, least)
        reason = "" if len(cut) > 1 else _no_blocks(work, least)
        error = work.own - work.rest
        found.append(
            LabelerDrift(
                labeler=name,
                n=len(shared),
                blocks=() if reason else tuple(_block(work, part, scale, resamples, seed) for part in cut),
                distance=_trend(work, np.abs(error), reason, permutations, seed),
                shift=_trend(work, error, reason, permutations, seed),
                reason=reason,
            )
        )
    corrected = holm([trend.p for drift in found for trend in (drift.distance, drift.shift)])
    return tuple(
        replace(
            drift, distance=replace(drift.distance, p_holm=p), shift=replace(drift.shift, p_holm=p_of_shift)
        )
        for drift, p, p_of_shift in zip(found, corrected[::2], corrected[1::2], strict=True)
    )


def self_agreement(
    labels: pd.DataFrame,
    query_ids: Mapping[str, str],
    levels: Sequence[int],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[SelfAgreement, ...]:
    """Return how far each labeler agrees with their own earlier labels, in the order of their names.

    A pair counts once for a labeler: the first look against the second. A label within ``CORRECTION`` of the one before
    is a correction of that look, not another one; a withdrawal takes back the look before it. Labelers who gave no pair
    two levels have n 0.

    A set that drops a label which repeats what stands (as the Label page does outside a recheck) keeps only the changes
    of mind, and its self-agreement comes out too low.

    Args:
        labels: all labels of one dimension, earlier ones included.
        query_ids, levels, resamples, seed: as in :func:`labeler_drift`.
    """
    scale = declared(levels)
    table = labels[(labels["source"] != "adjudicated") & labels["pair_id"].isin(query_ids)]
    names = sorted(table["labeler"].unique())
    # Most pairs have one label of a labeler; only the others are walked through one by one.
    again = table[table.duplicated(["labeler", "pair_id"], keep=False)].sort_values("at", kind="stable")
    twice: dict[str, list[tuple[int, int, timedelta, str]]] = {name: [] for name in names}
    for key, rows in again.groupby(["labeler", "pair_id"], sort=True):
        name, pair_id = map(str, key)
        looks = _looks(list(zip(rows["at"], rows["grade"].tolist(), strict=True)))
        if len(looks) > 1 and looks[0][1] in scale and looks[1][1] in scale:
            (first, a), (second, b) = looks[:2]
            twice[name].append((a, b, second - first, query_ids[pair_id]))
    return tuple(_with_self(name, twice[name], scale, resamples, seed) for name in names)


@dataclass(frozen=True, eq=False)
class _Work:
    """One labeler's levels beside those of the rest, in the order of time."""

    own: Grades
    rest: Grades
    queries: npt.NDArray[np.object_]
    at: pd.Series

    def __len__(self) -> int:
        return len(self.own)


def _ratings(
    table: pd.DataFrame, pair_ids: npt.NDArray[np.object_], names: Sequence[str], scale: Sequence[int]
) -> Grades:
    """Return one row of grades a labeler, shape (labelers, pairs); what is no level is ``NOT_GRADED``."""
    ratings = np.full((len(names), len(pair_ids)), NOT_GRADED)
    rows = pd.Index(names).get_indexer(pd.Index(table["labeler"]))
    columns = pd.Index(pair_ids).get_indexer(pd.Index(table["pair_id"]))
    ratings[rows, columns] = table["grade"].to_numpy(dtype=np.int_)
    return np.where(np.isin(ratings, scale), ratings, NOT_GRADED)


def _cut(work: _Work, blocks: int, least: int) -> list[npt.NDArray[np.int_]]:
    """Return the positions of each block; labels of one moment are in the block of the first of them."""
    count = min(blocks, len(work) // least)
    if count < 2:
        return []
    first = work.at.rank(method="min").to_numpy(dtype=np.float64) - 1
    number = np.floor(first * count / len(work)).astype(np.int_)
    parts = [np.flatnonzero(number == i) for i in range(count)]
    return [part for part in parts if len(part) >= least]


def _no_blocks(work: _Work, least: int) -> str:
    if not len(work):
        return _NO_REST
    if len(work) < 2 * least:
        return f"{len(work)} labels on pairs that others graded too; two blocks need {2 * least}."
    return "Too many of their labels carry one time, as after an import, to tell early from late."


def _block(
    work: _Work, part: npt.NDArray[np.int_], scale: tuple[int, ...], resamples: int, seed: int
) -> Block:
    own, rest = work.own[part], work.rest[part]
    numbers, total = numbered(work.queries[part], np.ones(len(part), dtype=bool))
    sums = resample(confusions(rest, own, numbers, total, scale), resamples=resamples, seed=seed)
    return Block(
        since=work.at.iloc[part[0]].to_pydatetime(),
        until=work.at.iloc[part[-1]].to_pydatetime(),
        n=len(part),
        kappa=sums.estimate(
            confusion.kappa_of_equals, "In this block the labeler or the rest used a single level."
        ),
        bias=sums.estimate(confusion.bias, "No label."),
    )


def _trend(work: _Work, values: Grades, reason: str, permutations: int, seed: int) -> Trend:
    frame = pd.DataFrame({"query": work.queries, "value": values, "time": work.at.rank().to_numpy()})
    units = frame.groupby("query", sort=False).mean()
    count = len(units)
    if reason:
        return Trend(None, None, count, reason)
    if count < FEWEST_QUERIES:
        return Trend(None, None, count, f"{count} queries; a trend needs {FEWEST_QUERIES}.")
    value, time = (_standard(units[column].to_numpy()) for column in ("value", "time"))
    if not value.any():
        return Trend(None, None, count, "The difference from the rest is the same on every query.")
    if not time.any():
        return Trend(None, None, count, "Every query was labelled at the same time on average.")
    rho = float(value @ time)
    rng = np.random.default_rng(seed)
    drawn = np.array([rng.permutation(value) @ time for _ in range(permutations)])
    # The order seen is one of those that chance may bring (Phipson and Smyth 2010), so p is never 0.
    p = (1 + int((np.abs(drawn) >= abs(rho) - 1e-12).sum())) / (1 + permutations)
    return Trend(rho, p, count)


def _standard(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return ranks with mean 0 and length 1, so that their product is Spearman's correlation; 0 if all are equal."""
    ranks: npt.NDArray[np.float64] = rankdata(values) - (len(values) + 1) / 2
    length = np.sqrt((ranks**2).sum())
    return ranks / length if length else ranks


def _looks(rows: Sequence[tuple[datetime, int]]) -> list[tuple[datetime, int]]:
    """Return the separate looks at one pair, oldest first, each with its last answer."""
    looks: list[tuple[datetime, int]] = []
    last: datetime | None = None  # of the label that a quick one after it corrects
    for at, grade in rows:
        if looks and (grade == NOT_GRADED or (last is not None and at - last <= CORRECTION)):
            looks.pop()
        if grade == NOT_GRADED:
            last = None
        else:
            looks.append((at, grade))
            last = at
    return looks


def _with_self(
    name: str,
    twice: Sequence[tuple[int, int, timedelta, str]],
    scale: tuple[int, ...],
    resamples: int,
    seed: int,
) -> SelfAgreement:
    first, second = (np.array([row[i] for row in twice], dtype=np.int_) for i in (0, 1))
    numbers, total = numbered([row[3] for row in twice], np.ones(len(twice), dtype=bool))
    sums = resample(confusions(first, second, numbers, total, scale), resamples=resamples, seed=seed)
    nothing = "" if twice else "No pair was given a level twice."
    return SelfAgreement(
        labeler=name,
        n=len(twice),
        exact=sums.estimate(confusion.exact, nothing),
        kappa=sums.estimate(
            confusion.kappa_of_equals, nothing or "One of both times, a single level was used throughout."
        ),
        days=float(np.median([row[2].total_seconds() for row in twice])) / 86400 if twice else None,
    )
