"""How good the labels of a data set are: what the judge gave, and what the probes say about it.

Probes are dev pairs that people labelled, mixed into the pool and graded by the same judge, which was not given their
labels. Agreement is :func:`workbench.agreement.agreement`; the share of a level in the pool is corrected by the
probes with prediction-powered inference (:func:`workbench.prediction_powered.corrected_rate`). Its interval holds as
far as the probes are a random sample of pairs like those of the pool: where a pool was drawn otherwise than the golden
set, the corrected share leans towards the golden set's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from workbench.agreement import agreement
from workbench.dataset import DimensionQuality, LevelRate
from workbench.dataset_grades import Floats, Graded, Grades
from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.prediction_powered import corrected_rate


def quality(
    graded: Mapping[str, Graded],
    human: Mapping[str, Grades],
    clusters: Sequence[str],
    rows: npt.NDArray[np.bool_],
    probes: npt.NDArray[np.bool_],
) -> tuple[DimensionQuality, ...]:
    """Return what is known of each dimension's labels.

    Args:
        graded: dimension -> the judge's answers about everything that was graded, n pairs.
        human: dimension -> settled grades of people, shape (n,), NOT_GRADED where there is none.
        clusters: query id of each pair, shape (n,).
        rows: which pairs are in the data set, shape (n,).
        probes: which pairs are probes, shape (n,).
    """
    return tuple(
        _one(column, human[key], list(clusters), rows & ~probes, probes) for key, column in graded.items()
    )


def entropy_bits(probabilities: Floats) -> Floats:
    """Return the Shannon entropy of each row in bits: 0 where one level is certain, log2(levels) where all are alike."""
    logs = np.log2(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    found: Floats = -(probabilities * logs).sum(axis=1)
    return found


def _one(
    column: Graded,
    human: Grades,
    clusters: list[str],
    rows: npt.NDArray[np.bool_],
    probes: npt.NDArray[np.bool_],
) -> DimensionQuality:
    kept = column.taken(rows)
    levelled = kept.grades >= 0
    soft = kept.soft
    where = np.flatnonzero(probes)
    agreed = agreement(
        column.grades[where], human[where], [clusters[i] for i in where], column.levels, resamples=2000
    )
    return DimensionQuality(
        dimension=column.dimension,
        levels=column.levels,
        graded=tuple(int((kept.grades == level).sum()) for level in column.levels),
        mass=tuple(kept.mass[levelled].mean(axis=0).tolist()) if levelled.any() else (),
        not_applicable=int((kept.grades == NOT_APPLICABLE).sum()),
        failed=int((kept.grades == NOT_GRADED).sum()),
        soft=int(soft.sum()),
        entropy_bits=float(entropy_bits(kept.probabilities[soft]).mean()) if soft.any() else None,
        probes=agreed.n,
        probes_failed=agreed.n_failed,
        kappa_quadratic=agreed.kappa_quadratic,
        exact=agreed.exact,
        rates=tuple(_rates(column, human, clusters, probes)),
    )


def _rates(
    column: Graded, human: Grades, clusters: list[str], probes: npt.NDArray[np.bool_]
) -> list[LevelRate]:
    """Return the share of each level and of N/A over everything graded, by the judge's probabilities."""
    mass = column.mass
    na = np.where(column.grades == NOT_GRADED, np.nan, column.grades == NOT_APPLICABLE)
    labelled = probes & (human != NOT_GRADED)
    rates = []
    for i, answer in enumerate((*column.levels, NOT_APPLICABLE)):
        judge = mass[:, i] if answer != NOT_APPLICABLE else na
        people = np.where(labelled, human == answer, np.nan)
        found = corrected_rate(people, judge, clusters)
        unlabelled = judge[~probes & ~np.isnan(judge)]
        rates.append(
            LevelRate(
                level=answer,
                judge=float(unlabelled.mean()) if len(unlabelled) else None,
                corrected=found.corrected,
            )
        )
    return rates
