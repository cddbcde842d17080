"""How often something holds in unlabelled data, from a judge's grades corrected by the pairs that people labelled.

A judge graded everything; people labelled a part, taken at random. The mean of the judge's answers over the unlabelled
pairs is precise but biased; the labelled pairs say by how much. Prediction-powered inference adds that correction, and
its interval covers the truth however bad the judge is (Angelopoulos et al., "Prediction-Powered Inference", Science 382
(2023) 669-674). The weight of the judge is tuned so that the interval is never wider than that of the labels alone, up
to sampling error (Angelopoulos, Duchi, Zrnic, "PPI++", arXiv:2311.01453, section 6: a mean). Pairs of one query are
alike, so variances are those of sums over queries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from workbench.confusion import same_length
from workbench.resampling import Clusters, Estimate, numbered

Floats = npt.NDArray[np.float64]

FEWEST_QUERIES = 10
"""Below this many labelled queries the variance of the correction says too little."""
LEVEL = 0.95


@dataclass(frozen=True)
class Rate:
    """A mean, seen three ways."""

    judge: float | None  # the judge's answers taken for true
    labels: Estimate  # the labelled pairs alone
    corrected: Estimate
    weight: float | None  # of the judge in the corrected mean: 0 ignores it, 1 trusts it but for its bias
    labelled: int
    unlabelled: int


def corrected_rate(
    human: npt.NDArray[np.float64],
    judge: npt.NDArray[np.float64],
    clusters: Clusters,
    *,
    weight: float | None = None,
) -> Rate:
    """Return the mean of what people would say of the pairs that the judge's come from, as a sample.

    Args:
        human: what people said of each pair (1 or 0 for a rate, or a grade), NaN where nobody labelled it.
        judge: what the judge said of it, NaN where it gave no answer; such pairs are left out.
        clusters: the query of each pair.
        weight: of the judge, from 0 to 1; by default the one that makes the interval shortest.

    Raises:
        ValueError: for shapes that do not fit.
    """
    same_length(human=human, judge=judge, clusters=clusters)
    graded = ~np.isnan(judge)
    labelled, rest = graded & ~np.isnan(human), graded & np.isnan(human)
    n, m = int(labelled.sum()), int(rest.sum())
    everywhere = float(judge[graded].mean()) if graded.any() else None
    if n == 0:
        nothing = Estimate(None, None, None, "No pair has both a label and an answer of the judge.")
        return Rate(everywhere, nothing, nothing, None, n, m)
    y, f = human[labelled], judge[labelled]
    groups, queries = numbered(clusters, labelled)
    plain = float(y.mean())
    few = f"No interval: {queries} labelled queries; it needs at least {FEWEST_QUERIES}."
    if queries < FEWEST_QUERIES:
        return Rate(
            everywhere, Estimate(plain, None, None, few), Estimate(plain, None, None, few), None, n, m
        )
    labels = _interval(plain, _variance(y, groups, queries))
    if m == 0:
        return Rate(everywhere, labels, labels, 0.0, n, m)
    others, unseen = numbered(clusters, rest)
    g = judge[rest]
    # The weight that makes the variance smallest, held between 0 and 1.
    covariance = _covariance(y, f, groups, queries)
    spread = _variance(f, groups, queries) + _variance(g, others, unseen)
    if weight is None:
        weight = float(np.clip(covariance / spread, 0, 1)) if 0 < spread < np.inf else 0.0
    value = weight * float(g.mean()) + float((y - weight * f).mean())
    variance = _variance(y - weight * f, groups, queries)
    if weight:
        variance += weight**2 * _variance(g, others, unseen)
    return Rate(everywhere, labels, _interval(value, variance), weight, n, m)


def _variance(values: Floats, groups: npt.NDArray[np.int_], count: int) -> float:
    """Return the variance of the mean of ``values``, whose clusters are drawn as wholes."""
    return _covariance(values, values, groups, count)


def _covariance(a: Floats, b: Floats, groups: npt.NDArray[np.int_], count: int) -> float:
    """Return the covariance of the means of ``a`` and ``b`` over clusters; with one value a cluster, that of pairs.

    The linearised (sandwich) estimator of a ratio of cluster sums, with count / (count - 1) for the lost mean.
    """
    if count < 2:
        return float("inf") if a is b else 0.0
    sums = [np.bincount(groups, weights=values - values.mean(), minlength=count) for values in (a, b)]
    return float(sums[0] @ sums[1]) / len(a) ** 2 * count / (count - 1)


def _interval(value: float, variance: float) -> Estimate:
    if not np.isfinite(variance):
        return Estimate(value, None, None, "No interval: the unlabelled pairs belong to one query.")
    half = float(ndtri((1 + LEVEL) / 2)) * variance**0.5
    return Estimate(value, value - half, value + half)
