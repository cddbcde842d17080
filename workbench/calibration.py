"""Whether a judge's probabilities are true, and maps that make them truer.

Probabilities have shape (pairs, levels), one column a declared level, ascending. Labels are *positions* of levels, 0 to
levels - 1, and below 0 where a pair has none. Intervals are bootstrapped over queries (:mod:`workbench.resampling`).

**Maps.** *Temperature*: p ** (1/T), renormalised; one number, fitted by maximum likelihood (Guo et al., On Calibration
of Modern Neural Networks, 2017). It makes all answers surer or less sure and keeps the order of the levels.
*Isotonic*: for each level l but the lowest, the judge's P(grade >= l) is mapped to the frequency of label >= l by the
best rising step function (pool adjacent violators; Zadrozny and Elkan, 2002). Levels are ordered, so cumulative
probabilities are mapped rather than each level by itself: a shift from 1 to 2 is then seen as a small one.

**Honest curves.** A map flatters the labels that it was fitted on, so :func:`cross_fitted` fits one for each query that
saw no label of that query.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field
from scipy.optimize import isotonic_regression, minimize_scalar
from scipy.special import logsumexp

from workbench.identity import Value

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int_]
Method = Literal["temperature", "isotonic"]
METHODS: tuple[Method, ...] = get_args(Method)

EPSILON = 1e-4
"""A probability below this counts as this much. Judges round, and list only their likeliest tokens, so that their 0 is
"less than about one in 10,000"; taken as less, one such pair would outweigh hundreds of others."""
LEAST: Mapping[Method, int] = {"temperature": 20, "isotonic": 50}
"""Labelled pairs that a map needs; half of them must be of other queries than a pair's. A curve needs more than a number."""
FOLDS = 5
_RANGE = (
    0.1,
    10.0,
)  # of the temperature: a few pairs that are all right would give 0, which nobody can be sure of
_DECIMALS = 9  # equal probabilities that were summed in another order stay equal


class Temperature(Value):
    """p ** (1/t), renormalised: ``t`` above 1 makes a judge less sure, below 1 surer."""

    method: Literal["temperature"] = "temperature"
    t: float = Field(gt=0)

    def apply(self, probabilities: Floats) -> Floats:
        """Return the calibrated probabilities, shape (pairs, levels)."""
        logs = np.log(floored(probabilities)) / self.t
        return np.asarray(np.exp(logs - logsumexp(logs, axis=1, keepdims=True)), dtype=np.float64)


class Curve(Value):
    """A rising function by its corners; straight between them, level beyond the first and the last."""

    x: tuple[float, ...] = Field(min_length=1)
    y: tuple[float, ...] = Field(min_length=1)


class Isotonic(Value):
    """A curve for P(grade >= l) of each level but the lowest; ``uniform`` is mixed in of the uniform distribution.

    The curves are fitted apart, so they may cross: P(>= 2) above P(>= 1). Then the mean of the least falling sequence
    above them and the greatest one below them is taken.
    """

    method: Literal["isotonic"] = "isotonic"
    curves: tuple[Curve, ...] = Field(min_length=1)
    uniform: float = Field(ge=0, lt=1)

    def apply(self, probabilities: Floats) -> Floats:
        """Return the calibrated probabilities, shape (pairs, levels).

        Raises:
            ValueError: for another number of levels than it was fitted on.
        """
        levels = len(self.curves) + 1
        if probabilities.shape[1] != levels:
            raise ValueError(f"the map is one of {levels} levels, not {probabilities.shape[1]}")
        reached = _at_least(probabilities)
        mapped = np.column_stack(
            [np.interp(reached[:, i], curve.x, curve.y) for i, curve in enumerate(self.curves)]
        )
        above = np.maximum.accumulate(mapped[:, ::-1], axis=1)[:, ::-1]
        mapped = (np.minimum.accumulate(mapped, axis=1) + above) / 2
        edge = np.ones((len(mapped), 1))
        by_level = np.hstack([edge, mapped]) - np.hstack([mapped, edge * 0])
        return np.asarray((1 - self.uniform) * by_level + self.uniform / levels, dtype=np.float64)


Calibration = Annotated[Temperature | Isotonic, Field(discriminator="method")]


@dataclass(frozen=True)
class Unfit:
    """Why there is no map: one sentence for a person."""

    reason: str


@dataclass(frozen=True)
class CrossFitted:
    """Maps fitted on labels: one for queries without labels, and for each other query one that saw none of its own."""

    whole: Temperature | Isotonic
    without: Mapping[str, Temperature | Isotonic]  # query id -> the map fitted on the others
    n: int  # labelled pairs

    def of(self, query: str) -> Temperature | Isotonic:
        """Return the map for pairs of a query."""
        return self.without.get(query, self.whole)

    def apply(self, probabilities: Floats, queries: Sequence[str]) -> Floats:
        """Return the calibrated probabilities of pairs, each by the map for its query; NaN rows stay."""
        found = np.full(probabilities.shape, np.nan)
        known = ~np.isnan(probabilities).any(axis=1)
        maps = [self.of(query) for query in queries]
        # By identity: there are a handful of maps, and comparing their curves for each pair would take long.
        for one in {id(one): one for one in maps}.values():
            rows = known & np.array([other is one for other in maps], dtype=bool)
            if rows.any():
                found[rows] = one.apply(probabilities[rows])
        return found


def usable(probabilities: Sequence[float] | None, levels: int) -> bool:
    """Return whether a judge's probabilities are a distribution over so many levels (to a hundredth)."""
    if probabilities is None or len(probabilities) != levels:
        return False
    row = np.asarray(probabilities, dtype=np.float64)
    return bool(np.isfinite(row).all() and (row >= 0).all() and abs(row.sum() - 1) <= 0.01)


def stacked(given: Sequence[Sequence[float] | None], levels: int) -> Floats:
    """Return probabilities as one array (pairs, levels); NaN rows where a pair has none that are :func:`usable`."""
    found = np.full((len(given), levels), np.nan)
    for i, row in enumerate(given):
        if row is not None and usable(row, levels):
            found[i] = np.asarray(row) / sum(row)
    return found


def floored(probabilities: Floats) -> Floats:
    """Return probabilities of at least about ``EPSILON``, rows summing to 1."""
    raised = np.maximum(probabilities, EPSILON)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


def fitted(
    method: Method, probabilities: Floats, labels: Labels, *, least: int | None = None
) -> Temperature | Isotonic | Unfit:
    """Return the map that fits labels best, from the pairs that have both a label and probabilities.

    Args:
        probabilities: shape (pairs, levels); NaN rows where the judge gave none.
        labels: positions of levels, shape (pairs,), below 0 where there is none.
        least: labelled pairs that it needs; by default, ``LEAST`` of the method.
    """
    kept = labelled(probabilities, labels)
    given, truth = probabilities[kept], labels[kept]
    needed = LEAST[method] if least is None else least
    if not len(given):
        if len(labels) and np.isnan(probabilities).any(axis=1).all():
            return Unfit("The judge gives no probabilities.")
        return Unfit("No pair has both a label and probabilities.")
    if len(given) < needed:
        return Unfit(
            f"{_name(method)} needs {needed} labelled pairs with probabilities, and there are {len(given)}."
        )
    if len(np.unique(truth)) == 1:
        return Unfit(f"All {len(truth)} labels are the same level; this needs at least two levels.")
    return _temperature(given, truth) if method == "temperature" else _isotonic(given, truth)


def cross_fitted(
    method: Method, probabilities: Floats, labels: Labels, queries: Sequence[str], *, folds: int = FOLDS
) -> CrossFitted | Unfit:
    """Return maps of which that for a query was fitted on other queries only.

    Queries with labelled pairs are dealt into folds in the order of their hash, so the same queries have the same
    folds on any machine; a query's map is fitted on the other folds.

    Args:
        probabilities, labels: as for :func:`fitted`.
        queries: query id of each pair, shape (pairs,).
        folds: at least 2; fewer where there are fewer queries.

    Returns:
        Or the reason why the map, or that of some fold, cannot be fitted: then no pair is calibrated, so that
        calibrated and raw probabilities are never mixed.

    Raises:
        ValueError: for fewer than 2 folds.
    """
    if folds < 2:
        raise ValueError(f"folds is {folds}; it must be 2 or more")
    whole = fitted(method, probabilities, labels)
    if isinstance(whole, Unfit):
        return whole
    kept = labelled(probabilities, labels)
    names = pd.Series(queries, dtype=object).to_numpy()
    known = sorted(set(names[kept].tolist()), key=lambda q: hashlib.sha256(str(q).encode()).digest())
    if len(known) == 1:
        return Unfit("All labelled pairs belong to one query, so no map can be tried on another.")
    fold_of = {query: i % min(folds, len(known)) for i, query in enumerate(known)}
    fold = np.array([fold_of.get(query, -1) for query in names])
    maps: list[Temperature | Isotonic] = []
    for number in range(min(folds, len(known))):
        others = np.where(fold == number, -1, labels)
        found = fitted(method, probabilities, others, least=LEAST[method] // 2)
        if isinstance(found, Unfit):
            return Unfit(f"Without one part of the queries: {found.reason}")
        maps.append(found)
    return CrossFitted(whole, {query: maps[number] for query, number in fold_of.items()}, int(kept.sum()))


def labelled(probabilities: Floats, labels: Labels) -> npt.NDArray[np.bool_]:
    """Return which pairs have both a label and probabilities, shape (pairs,).

    Raises:
        ValueError: for labels beyond the levels, and shapes that do not fit.
    """
    if probabilities.ndim != 2 or labels.shape != (len(probabilities),):
        raise ValueError(
            f"probabilities of shape {probabilities.shape} and labels of shape {labels.shape} do not fit"
        )
    if (labels >= probabilities.shape[1]).any():
        raise ValueError(f"a label is beyond the {probabilities.shape[1]} levels")
    return np.asarray((labels >= 0) & ~np.isnan(probabilities).any(axis=1), dtype=np.bool_)


def _at_least(probabilities: Floats) -> Floats:
    """Return P(grade >= l) for each level but the lowest, shape (pairs, levels - 1)."""
    sums = np.cumsum(probabilities[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(sums[:, 1:].round(_DECIMALS), dtype=np.float64)


def _temperature(probabilities: Floats, labels: Labels) -> Temperature:
    logs = np.log(floored(probabilities))
    own = logs[np.arange(len(labels)), labels]

    def loss(log_t: float) -> float:
        t = np.exp(log_t)
        return float(np.mean(logsumexp(logs / t, axis=1) - own / t))

    # The loss is convex in 1/T, so it has one valley in log T.
    found = minimize_scalar(loss, bounds=tuple(np.log(_RANGE)), method="bounded", options={"xatol": 1e-6})
    return Temperature(t=float(np.exp(found.x)))


def _isotonic(probabilities: Floats, labels: Labels) -> Isotonic:
    levels = probabilities.shape[1]
    reached = _at_least(probabilities)
    curves = tuple(rising(reached[:, i], labels >= i + 1) for i in range(levels - 1))
    # Jeffreys' prior, half an answer a level: n pairs cannot show that a level is impossible.
    prior = levels / 2
    return Isotonic(curves=curves, uniform=prior / (len(labels) + prior))


def rising(x: Floats, hits: npt.NDArray[np.bool_]) -> Curve:
    """Return the rising curve with the least squared distance from ``hits`` (pool adjacent violators).

    Pairs of equal ``x`` are one point with their mean. Of a flat stretch only the ends are kept.
    """
    points, where, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(where, weights=hits.astype(np.float64)) / counts
    # The solver's rounding may leave a sum just outside.
    values = np.clip(isotonic_regression(means, weights=counts).x, 0.0, 1.0)
    inner = (values[1:-1] == values[:-2]) & (values[1:-1] == values[2:])
    corner = np.r_[True, ~inner, True] if len(points) > 2 else np.ones(len(points), dtype=bool)
    return Curve(x=tuple(points[corner].tolist()), y=tuple(values[corner].tolist()))


def _name(method: Method) -> str:
    return "A temperature" if method == "temperature" else "Isotonic calibration"
