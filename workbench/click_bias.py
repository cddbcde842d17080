"""Position bias as an examination curve: by regression EM, from given propensities, or from randomised impressions.

All three say how much each position is examined relative to position 1, with bootstrap intervals and with what may
be wrong, in plain words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from workbench.click_model import (
    EDGE,
    MAX_ITERATIONS,
    TOLERANCE,
    ClickCounts,
    Floats,
    PropensitySums,
    check_counts,
    fit_em,
)
from workbench.errors import BadInput, Refused
from workbench.identity import Value
from workbench.resampling import COVERAGE, MAX_UNDEFINED

Method = Literal["em", "propensity", "random"]
PropensityKind = Literal["examination", "display"]
"""What a log's propensity is: the probability that the position is examined, or that the ranker put this document
at this position (Open Bandit data). The one is the answer itself, the other a weight."""

RESAMPLES = 200
FEW_QUERIES = 20
"""With fewer queries a bootstrap over queries says little; impressions are drawn instead, and that is told."""
_FEW_DOCUMENTS = 30
_SAME = 1e-3  # propensities of one position that differ by less are one examination probability
_CERTAIN = 1e-4  # an order this improbable under randomisation is not randomised
_EXPECTED = 5.0  # smallest expected count of a cell in a chi-squared test
_FEW_EFFECTIVE = 0.1  # share of impressions
_TOO_FEW_EFFECTIVE = 100.0  # impressions


class CurvePoint(Value):
    """Examination of one position relative to position 1, with its 95 % interval; None is explained by ``reason``."""

    position: int
    impressions: int
    clicks: int
    examination: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""


class PositionBias(Value):
    """An examination curve, how it was found, and what may be wrong with it."""

    method: Method
    points: tuple[CurvePoint, ...]
    log_likelihood: float | None = None
    iterations: int | None = None
    converged: bool | None = None
    resampled: Literal["queries", "impressions", "nothing"] = "nothing"
    resamples: int = 0
    problems: tuple[str, ...] = ()
    simulated: bool = False

    @property
    def curve(self) -> dict[int, float]:
        """Position -> examination, positions without one left out."""
        return {point.position: point.examination for point in self.points if point.examination is not None}


def em_bias(
    counts: ClickCounts, *, features: Floats | None = None, resamples: int = RESAMPLES, seed: int = 0,
    tolerance: float = TOLERANCE, max_iterations: int = MAX_ITERATIONS,
) -> PositionBias:  # fmt: skip
    """Return the curve that :func:`fit_em` finds, with bootstrap intervals and checks that it can be found at all.

    Without features, a position counts only through documents with clicks that were shown there and elsewhere: what
    is not linked to position 1 through such documents has no value.
    """
    fit = fit_em(counts, features=features, tolerance=tolerance, max_iterations=max_iterations)
    linked = np.ones(len(fit.positions), dtype=bool) if features is not None else _linked(counts)
    problems = [] if features is not None else _thin(counts)
    if not fit.converged:
        problems.append(f"EM had not converged after {fit.iterations:,} iterations.")

    def refit(drawn: ClickCounts) -> Floats:
        again = fit_em(drawn, features=features, tolerance=tolerance * 10, max_iterations=max_iterations)
        return np.where(_linked(drawn), again.examination, np.nan) if features is None else again.examination

    reasons = {
        int(k): f"No value: no clicked document links position {k} to position 1."
        for k in fit.positions[~linked]
    }
    return _bias("em", counts, np.where(linked, fit.examination, np.nan), refit, resamples, seed, problems, reasons).model_copy(
        update={"log_likelihood": fit.log_likelihood, "iterations": fit.iterations, "converged": fit.converged}
    )  # fmt: skip


def random_bias(counts: ClickCounts, *, resamples: int = RESAMPLES, seed: int = 0) -> PositionBias:
    """Return the curve of impressions whose order was drawn at random: the ratio of click rates to position 1.

    Rates are compared within queries and pooled after Mantel and Haenszel (1959), since short lists of good queries
    would otherwise make low positions look bad.

    Raises:
        Refused: if documents are not spread over positions as randomisation spreads them (chi-squared, p < 1e-4).
    """
    check_counts(counts)
    p = _chance_of_order(counts)
    if p is not None and p < _CERTAIN:
        raise Refused(
            f"These impressions were not shown in random order: p = {p:.1g} that documents are spread so by chance.",
            "Use the EM estimate, or import the randomised impressions by themselves.",
        )
    return _with_likelihood(
        _bias("random", counts, _rate_ratios(counts), _rate_ratios, resamples, seed), counts
    )


def propensity_bias(
    counts: ClickCounts, kind: PropensityKind, *, resamples: int = RESAMPLES, seed: int = 0
) -> PositionBias:
    """Return the curve that given propensities imply.

    ``examination``: the mean of each position relative to position 1; no interval, since nothing is estimated.
    ``display``: click rates under a ranker that shows every document everywhere alike, each impression weighted by
    1/propensity (Hájek), relative to position 1.

    Raises:
        BadInput: without propensities, for values outside (0, 1], and for examination that differs within a position.
        Refused: if few impressions carry all the weight.
    """
    check_counts(counts)
    sums = counts.propensity
    if sums is None:
        raise BadInput("This click log has no propensities.", "Use the EM estimate.")
    if not ((sums.low > 0) & (sums.high <= 1)).all():
        raise BadInput("A propensity lies outside (0, 1].", "Correct it: it is a probability, and never 0.")
    if kind == "display":
        problems = []
        effective = sums.inverse.sum() ** 2 / sums.inverse_squares.sum()  # Kish (1965)
        if effective < _TOO_FEW_EFFECTIVE:
            raise Refused(
                f"Weighted by propensity, all impressions together count as {effective:.0f}: too few.",
                "Use the EM estimate; some documents were almost never shown where they were.",
            )
        effective /= counts.impressions.sum()
        if effective < _FEW_EFFECTIVE:
            problems.append(
                f"A few impressions carry most of the weight: all together they count as {effective:.1%} of them."
            )
        found = _bias(
            "propensity", counts, _weighted_ratios(counts), _weighted_ratios, resamples, seed, problems
        )
        return _with_likelihood(found, counts)
    positions, place = np.unique(counts.position, return_inverse=True)
    low, high = np.full(len(positions), np.inf), np.zeros(len(positions))
    np.minimum.at(low, place, sums.low)
    np.maximum.at(high, place, sums.high)
    uneven = np.flatnonzero(high - low > _SAME * high)
    if len(uneven):
        raise BadInput(
            f"Propensities of position {positions[uneven[0]]} run from {low[uneven[0]]:.3g} to {high[uneven[0]]:.3g}, "
            "so they are not examination probabilities.",
            "If they say how probably this document was shown there, import them as display propensities.",
        )
    mean = np.bincount(place, weights=sums.total) / np.bincount(place, weights=counts.impressions)
    problems = []
    if len(mean) > 1 and np.ptp(mean) <= _SAME * mean[0]:
        problems.append(
            "All positions have the same propensity. If it says how probably a document was shown, it is a display "
            "propensity."
        )
    return _with_likelihood(_bias("propensity", counts, mean / mean[0], None, 0, seed, problems), counts)


def _linked(counts: ClickCounts) -> npt.NDArray[np.bool_]:
    """Whether each position is linked to position 1 by documents that were clicked somewhere, shape (positions,)."""
    positions, place = np.unique(counts.position, return_inverse=True)
    clicked = np.bincount(counts.item, weights=counts.clicks)[counts.item] > 0
    clicked &= counts.impressions > 0
    used, items = place[clicked], counts.item[clicked]
    reached: npt.NDArray[np.bool_] = positions == 1
    while True:
        known = np.zeros(int(counts.item.max()) + 1, dtype=bool)
        known[items[reached[used]]] = True
        grown = reached.copy()
        grown[used[known[items]]] = True
        if (grown == reached).all():
            return reached
        reached = grown


def _thin(counts: ClickCounts) -> list[str]:
    """Say in plain words where the estimate rests on little."""
    at = np.bincount(counts.item)
    clicked = np.bincount(counts.item, weights=counts.clicks) > 0
    useful = int(((at > 1) & clicked).sum())
    if useful == 0:
        return [
            "No clicked document was shown at more than one position: bias and relevance cannot be told apart."
        ]
    if useful < _FEW_DOCUMENTS:
        documents = "document was" if useful == 1 else "documents were"
        return [f"Only {useful} clicked {documents} shown at several positions: the curve rests on few."]
    return []


def _rate_ratios(counts: ClickCounts) -> Floats:
    return _ratios(counts, counts.impressions, counts.clicks)


def _weighted_ratios(counts: ClickCounts) -> Floats:
    assert counts.propensity is not None, "the caller has looked"
    return _ratios(counts, counts.propensity.inverse, counts.propensity.inverse_clicks)


def _ratios(counts: ClickCounts, shown: Floats, clicks: Floats) -> Floats:
    """Return Σ c_k·n_1/(n_1 + n_k) / Σ c_1·n_k/(n_1 + n_k) over queries, shape (positions,); NaN where undefined.

    The rate ratio of Mantel and Haenszel (1959), a query being a stratum; with one query, the plain ratio of rates.
    """
    positions, place = np.unique(counts.position, return_inverse=True)
    queries = int(counts.query.max()) + 1
    cell, size = counts.query * len(positions) + place, queries * len(positions)
    n = np.bincount(cell, weights=shown, minlength=size).reshape(queries, -1)
    c = np.bincount(cell, weights=clicks, minlength=size).reshape(queries, -1)
    both = np.where((n[:, :1] > 0) & (n > 0), n[:, :1] + n, np.inf)
    above, below = (c * n[:, :1] / both).sum(axis=0), (c[:, :1] * n / both).sum(axis=0)
    ratio = np.full(len(above), np.nan)
    np.divide(above, below, out=ratio, where=below > 0)
    return ratio


def _chance_of_order(counts: ClickCounts) -> float | None:
    """Return the p-value of documents lying at positions as they do if their order is drawn (chi-squared by query);
    None where no query has five expected impressions in each cell.

    A list shown whole has counts whose variance is K/(K − 1) of that of independent draws, K being the number of
    positions; the statistic is divided by it, which makes the test cautious for independent draws.
    """
    from scipy.stats import chi2

    positions, place = np.unique(counts.position, return_inverse=True)
    n, query = counts.impressions, counts.query
    queries = int(query.max()) + 1
    column = query * len(positions) + place
    of_item, of_column = np.bincount(counts.item, weights=n), np.bincount(column, weights=n)
    items, first = np.unique(counts.item, return_index=True)
    columns, where = np.unique(column, return_index=True)
    documents = np.bincount(query[first], minlength=queries)
    slots = np.bincount(query[where], minlength=queries)
    fewest, rarest = np.full(queries, np.inf), np.full(queries, np.inf)
    np.minimum.at(fewest, query[first], of_item[items])
    np.minimum.at(rarest, query[where], of_column[columns])
    total = np.bincount(query, weights=n, minlength=queries)
    tested = (documents > 1) & (slots > 1) & (fewest * rarest >= _EXPECTED * total)
    if not tested.any():
        return None
    # Σ(o − e)²/e over all cells is Σo²/e − Σo: cells that were never shown need not be made.
    expected = of_item[counts.item] * of_column[column] / total[query]
    statistic = np.bincount(query, weights=n * n / expected, minlength=queries) - total
    cautious = (statistic[tested] * (slots[tested] - 1) / slots[tested]).sum()
    return float(chi2.sf(cautious, ((documents - 1) * (slots - 1))[tested].sum()))


def _with_likelihood(found: PositionBias, counts: ClickCounts) -> PositionBias:
    """Add the log-likelihood of the model with this curve and the relevance that fits it best."""
    curve = np.array([np.nan if p.examination is None else p.examination for p in found.points])
    if np.isnan(curve).any():
        return found
    fit = fit_em(counts, examination=curve)
    return found.model_copy(update={"log_likelihood": fit.log_likelihood})


def _drawn_curves(
    counts: ClickCounts, estimate: Callable[[ClickCounts], Floats], resamples: int, seed: int, by_query: bool
) -> Floats:
    """Return the curves of bootstrap samples, shape (resamples, positions); NaN for one without a click."""
    rng = np.random.default_rng(seed)
    queries, cells = int(counts.query.max()) + 1, len(counts.query)
    missed = counts.impressions - counts.clicks
    shares = np.r_[counts.clicks, missed] / counts.impressions.sum()
    total = int(counts.impressions.sum())
    curves = np.full((resamples, len(counts.positions)), np.nan)
    for i in range(resamples):
        if by_query:
            times = rng.multinomial(queries, np.full(queries, 1 / queries))[counts.query].astype(np.float64)
            impressions, clicks = counts.impressions * times, counts.clicks * times
        else:
            drawn = rng.multinomial(total, shares).astype(np.float64)
            clicks, impressions = drawn[:cells], drawn[:cells] + drawn[cells:]
        sample = replace(
            counts, impressions=impressions, clicks=clicks, propensity=_scaled(counts, impressions, clicks)
        )
        if clicks.any():
            curves[i] = estimate(sample)
    return curves


def _scaled(counts: ClickCounts, impressions: Floats, clicks: Floats) -> PropensitySums | None:
    """Return the propensity sums of a bootstrap sample; each impression of a cell has the cell's mean weight."""
    if counts.propensity is None:
        return None
    times = impressions / np.maximum(counts.impressions, EDGE)
    clicked = clicks / np.maximum(counts.clicks, EDGE)
    sums = counts.propensity
    return sums._replace(inverse=sums.inverse * times, inverse_clicks=sums.inverse_clicks * clicked)


def _bias(
    method: Method, counts: ClickCounts, curve: Floats, refit: Callable[[ClickCounts], Floats] | None,
    resamples: int, seed: int, problems: list[str] | None = None, reasons: dict[int, str] | None = None,
) -> PositionBias:  # fmt: skip
    positions, place = np.unique(counts.position, return_inverse=True)
    shown, clicks = np.bincount(place, weights=counts.impressions), np.bincount(place, weights=counts.clicks)
    by_query = len(np.unique(counts.query)) >= FEW_QUERIES
    values = _drawn_curves(counts, refit, resamples, seed, by_query) if refit and resamples else None
    points = []
    for i, k in enumerate(positions.tolist()):
        value, low, high, reason = float(curve[i]), None, None, (reasons or {}).get(k, "")
        if np.isnan(value):
            reason = reason or "No value: position 1 has no click to compare with."
        elif values is not None and k != 1:
            known = values[:, i][~np.isnan(values[:, i])]
            if len(known) >= len(values) * (1 - MAX_UNDEFINED):
                low, high = (float(bound) for bound in np.quantile(known, COVERAGE))
            else:
                reason = f"No interval: the value is undefined in {1 - len(known) / len(values):.0%} of the resamples."
        points.append(
            CurvePoint(
                position=k,
                impressions=int(shown[i]),
                clicks=int(clicks[i]),
                examination=None if np.isnan(value) else value,
                low=low,
                high=high,
                reason=reason,
            )
        )
    return PositionBias(
        method=method,
        points=tuple(points),
        resampled="nothing" if values is None else "queries" if by_query else "impressions",
        resamples=0 if values is None else resamples,
        problems=tuple(problems or ()),
        simulated=counts.simulated,
    )
