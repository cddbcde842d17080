"""The position-based click model (PBM), fitted by expectation maximisation to counts of impressions.

P(click | query, document, position k) = examination_k × relevance_(query, document) (Chuklin, Markov and de Rijke,
Click Models for Web Search, 2015, section 3.3). Only the product is seen, so examination is always given relative to
position 1, which is 1; a position that is looked at more than the first one has a value above 1.

:class:`ClickCounts` is the sufficient statistic of the model: ten million impressions of a few thousand documents
are a few tens of thousands of cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from workbench.errors import BadInput

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

TOLERANCE = 1e-6
MAX_ITERATIONS = 2_000
_ROUNDS = 100  # of the alternation that EM starts from
EDGE = 1e-9
"""Probabilities stay so far from 0 and 1 that logarithms are finite; counts below it are none."""


class PropensitySums(NamedTuple):
    """Sums over the impressions of each cell, all of shape (cells,), where p is an impression's propensity."""

    total: Floats  # p
    low: Floats  # smallest p
    high: Floats  # largest p
    inverse: Floats  # 1/p
    inverse_clicks: Floats  # clicked/p
    inverse_squares: Floats  # 1/p²


@dataclass(frozen=True, eq=False)
class ClickCounts:
    """Impressions and clicks of each (query, document, position) that was shown; all of shape (cells,)."""

    query: Ints  # number of the query, from 0
    item: Ints  # number of the (query, document) pair, from 0
    position: Ints  # from 1
    impressions: Floats
    clicks: Floats
    propensity: PropensitySums | None = None
    simulated: bool = False

    @property
    def positions(self) -> Ints:
        """The positions that were shown, ascending, shape (positions,)."""
        return np.unique(self.position)


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted model. ``examination`` × ``relevance`` is the click probability."""

    positions: Ints  # (positions,)
    examination: Floats  # (positions,), position 1 is 1
    relevance: Floats  # (items,), the click probability at position 1
    log_likelihood: float
    iterations: int
    converged: bool


def summed(group: Ints, values: Floats, groups: int) -> Floats:
    """Return the sum of ``values`` in each group 0 to ``groups`` - 1."""
    sums: npt.NDArray[Any] = np.bincount(group, weights=values, minlength=groups)
    return sums.astype(np.float64, copy=False)


def count(
    query: npt.ArrayLike, document: npt.ArrayLike, position: npt.ArrayLike, clicked: npt.ArrayLike
) -> ClickCounts:
    """Return the counts of impressions that are in memory, each array of shape (impressions,)."""
    query_number = np.unique(np.asarray(query), return_inverse=True)[1]
    documents, document_number = np.unique(np.asarray(document), return_inverse=True)
    item = np.unique(query_number * len(documents) + document_number, return_inverse=True)[1]
    places = np.asarray(position, dtype=np.int64)
    cells, cell = np.unique(item * (places.max(initial=0) + 1) + places, return_inverse=True)
    first = np.zeros(len(cells), dtype=np.int64)
    first[cell[::-1]] = np.arange(len(cell))[::-1]
    return ClickCounts(
        query=query_number[first].astype(np.int64),
        item=item[first].astype(np.int64),
        position=places[first],
        impressions=np.bincount(cell, minlength=len(cells)).astype(np.float64),
        clicks=summed(cell, np.asarray(clicked, dtype=np.float64), len(cells)),
    )


def click_probability(examination: npt.ArrayLike, relevance: npt.ArrayLike) -> Floats:
    """Return examination × relevance.

    Raises:
        ValueError: for values outside 0..1.
    """
    values = np.asarray(examination, dtype=np.float64), np.asarray(relevance, dtype=np.float64)
    for value in values:
        if not ((value >= 0) & (value <= 1)).all():
            raise ValueError("examination and relevance are probabilities, from 0 to 1")
    return values[0] * values[1]


def log_likelihood(counts: ClickCounts, probability: Floats) -> float:
    """Return Σ c·ln p + (n − c)·ln(1 − p) over cells with click probabilities ``probability``, in nats."""
    p = np.clip(probability, EDGE, 1 - EDGE)
    return float((counts.clicks * np.log(p) + (counts.impressions - counts.clicks) * np.log1p(-p)).sum())


def check_counts(counts: ClickCounts) -> None:
    """Raise BadInput unless there are clicks and position 1, which every curve is relative to."""
    positions = counts.positions
    if not counts.clicks.sum():
        raise BadInput("There is no click in these impressions.", "Position bias needs clicks.")
    if positions[0] != 1:
        raise BadInput(f"No impression is at position 1; the first one is {positions[0]}.", "Count from 1.")


def fit_em(
    counts: ClickCounts,
    *,
    features: Floats | None = None,
    examination: Floats | None = None,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> Fit:
    """Fit the model by expectation maximisation.

    E-step, for an impression without a click: P(examined) = θ(1 − γ)/(1 − θγ), P(relevant) = γ(1 − θ)/(1 − θγ); a click
    was examined and relevant. M-step: θ of a position is its mean P(examined); γ is the mean P(relevant) of the
    (query, document), or, with features, a logistic regression on them (regression EM: Wang, Golbandi, Bendersky,
    Metzler and Najork, WSDM 2018, section 4; there with boosted trees). It starts where alternating θ = Σc/Σnγ and
    γ = Σc/Σnθ leads, the maximum for small click rates, near which EM by itself creeps. It has converged when no
    examination moves by more than ``tolerance`` of its value in one iteration.

    Args:
        features: one row an item, shape (items, features), an intercept not among them; None: a relevance each.
        examination: keeps the curve fixed, shape (positions,), and fits relevance alone.

    Raises:
        BadInput: if there is no click, or nothing at position 1.
    """
    check_counts(counts)
    items = int(counts.item.max()) + 1
    positions, place = np.unique(counts.position, return_inverse=True)
    used = counts.impressions > 0
    if features is None:
        # Without a click a relevance is 0 and says nothing of positions; left in, it would only slow EM down.
        used &= np.bincount(counts.item, weights=counts.clicks, minlength=items)[counts.item] > 0
    n, c, item, at = counts.impressions[used], counts.clicks[used], counts.item[used], place[used]

    def by_position(values: Floats) -> Floats:
        return summed(at, values, len(positions))

    def by_item(values: Floats) -> Floats:
        return summed(item, values, items)

    shown, seen = np.maximum(by_position(n), EDGE), np.maximum(by_item(n), EDGE)
    clicks_at, clicks_of = by_position(c), by_item(c)
    gamma = clicks_of / seen
    if examination is None:
        theta = np.ones(len(positions))
        for _ in range(_ROUNDS):
            theta = clicks_at / np.maximum(by_position(n * gamma[item]), EDGE)
            gamma = clicks_of / np.maximum(by_item(n * theta[at]), EDGE)
        # The scale is free: both get the same largest value, away from 0 and 1.
        top = np.sqrt(min(1.0, float((theta[at] * gamma[item]).max())))
        theta, gamma = _inside(theta * top / theta.max()), _inside(gamma * top / gamma.max())
    else:
        theta = _inside(examination / max(1.0, float(examination.max())))
        gamma = _inside(clicks_of / np.maximum(by_item(n * theta[at]), EDGE))
    regression = _Regression(features, seen) if features is not None else None
    # Where documents never move, relevances of their own explain all: only the regression leaves EM a reason to move.
    gamma = regression.fit(gamma) if regression else gamma
    converged, iterations = False, 0
    while not converged and iterations < max_iterations:
        iterations += 1
        t, g = theta[at], gamma[item]
        missed = (n - c) / (1 - t * g)
        fresh = _inside(by_item(c + missed * g * (1 - t)) / seen)
        fresh = regression.fit(fresh) if regression else fresh
        if examination is None:
            looked = _inside(by_position(c + missed * t * (1 - g)) / shown)
            converged = _moved(theta, looked) <= tolerance
            theta = looked
        else:
            converged = _moved(gamma, fresh) <= tolerance
        gamma = fresh
    found = log_likelihood(counts, theta[place] * gamma[counts.item])
    first = theta[0] if theta[0] > EDGE else np.nan
    return Fit(positions, theta / first, gamma * first, found, iterations, converged)


def _inside(values: Floats) -> Floats:
    return np.clip(values, 0, 1 - EDGE)


def _moved(before: Floats, after: Floats) -> float:
    return float((np.abs(after - before) / np.maximum(before, EDGE)).max())


class _Regression:
    """Logistic regression of relevance on features by Newton steps; warm from one M-step to the next."""

    def __init__(self, features: Floats, seen: Floats, ridge: float = 1e-3) -> None:
        if len(features) != len(seen) or not np.isfinite(features).all():
            raise BadInput(
                f"Relevance features are {features.shape} for {len(seen)} (query, document) pairs, or not finite.",
                "Give one row of finite numbers for each pair.",
            )
        self.x = np.column_stack([np.ones(len(seen)), features])
        self.seen = seen
        self.penalty = np.diag([0.0] + [ridge] * features.shape[1])
        self.beta = np.zeros(self.x.shape[1])
        self.unset = True

    def fit(self, target: Floats) -> Floats:
        """Return the fitted relevance for expected relevance ``target``, both of shape (items,)."""
        if self.unset:
            mean = np.clip(np.average(target, weights=self.seen), EDGE, 1 - EDGE)
            self.beta[0], self.unset = np.log(mean / (1 - mean)), False
        for _ in range(3):  # more would be undone by the next E-step
            fitted = 1 / (1 + np.exp(-np.clip(self.x @ self.beta, -30, 30)))
            slope = self.x.T @ (self.seen * (target - fitted)) - self.penalty @ self.beta
            weight = self.seen * fitted * (1 - fitted)
            curvature = (self.x * weight[:, None]).T @ self.x + self.penalty
            step = np.linalg.solve(curvature + EDGE * np.eye(len(curvature)), slope)
            self.beta = self.beta + np.clip(step, -4, 4)
        relevance: Floats = 1 / (1 + np.exp(-np.clip(self.x @ self.beta, -30, 30)))
        return relevance
