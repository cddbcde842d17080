"""Verbs about a judge's quality: whether its probabilities are true, and whether it agrees with itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from workbench import confusion
from workbench.calibration import METHODS, Floats, Isotonic, Method, Temperature, Unfit, cross_fitted, stacked
from workbench.evaluation import Truth, grades, human_grades, repeats_of, truth
from workbench.golden import NOT_APPLICABLE, Split
from workbench.level_probabilities import JEFFREYS
from workbench.policy import OVERALL, Policy
from workbench.reliability import Change, Measures, change, measures
from workbench.resampling import Estimate, Resampled, numbered, resample
from workbench.run import Run
from workbench.workspace import Workspace

_NEAR = 1e-6

# Calibration


@dataclass(frozen=True, eq=False)
class AfterMap:
    """What one way to calibrate makes of a dimension's probabilities; all None with a ``reason`` where it cannot."""

    map: Temperature | Isotonic | None  # fitted on all dev labels
    after: Measures | None  # each pair by a map that saw no label of its query
    change: Change | None
    reason: str = ""


@dataclass(frozen=True, eq=False)
class CalibrationReport:
    """How true a run's probabilities are in one dimension, as they are and calibrated."""

    dimension: str
    before: Measures
    by: Mapping[Method, AfterMap]
    n_without: int  # pairs with a label and a grade, but without usable probabilities
    reason: str = ""  # why there is nothing to show

    @property
    def n(self) -> int:
        """Pairs with both a label and probabilities."""
        return self.before.n


def calibration_of(workspace: Workspace, run: Run, split: Split = "dev") -> dict[str, CalibrationReport]:
    """Return, for each dimension of the run's policy, how true its probabilities are before and after calibration.

    Maps are fitted on dev labels only; on dev, across queries. To look at the holdout is for the caller to write into
    the ledger (:func:`workbench.evaluation.record_look`).
    """
    dev = truth(workspace, run.golden, version=run.golden_version, split="dev")
    shown = truth(workspace, run.golden, version=run.golden_version, split=split)
    return _calibration(workspace, run.model_dump_json(), dev, shown)


@lru_cache(maxsize=32)
def _calibration(
    workspace: Workspace, run_json: str, dev: Truth, shown: Truth
) -> dict[str, CalibrationReport]:
    # Truth is the same object until a label is added, so it stands for the labels in the key.
    run = Run.model_validate_json(run_json)
    policy = workspace.store.policy(run.policy, run.policy_version)
    said = workspace.store.probabilities(run.id)
    found = {}
    for dimension in policy.dimensions:
        mine = said[said["dimension"] == dimension.key]
        rows = pd.Series(mine["probabilities"].to_numpy(), index=mine["pair_id"], dtype=object)
        found[dimension.key] = _report(dimension.key, policy, rows, dev, shown)
    return found


def _report(key: str, policy: Policy, rows: pd.Series, dev: Truth, shown: Truth) -> CalibrationReport:
    labels = _positions(shown, key, policy)
    given = _aligned(rows, shown, policy.scale(key))
    before = measures(given, labels, shown.queries)
    graded = pd.Index(shown.pair_ids).isin(rows.index)
    without = int(((labels >= 0) & graded & np.isnan(given).any(axis=1)).sum())
    by: dict[Method, AfterMap] = {}
    for method in METHODS:
        maps = cross_fitted(
            method, _aligned(rows, dev, policy.scale(key)), _positions(dev, key, policy), dev.query_ids
        )
        if isinstance(maps, Unfit):
            by[method] = AfterMap(None, None, None, maps.reason)
            continue
        after = maps.apply(given, shown.query_ids)
        by[method] = AfterMap(
            maps.whole,
            measures(after, labels, shown.queries),
            change(given, after, labels, shown.queries),
        )
    reason = ""
    if not before.n:
        reason = (
            "The judge gives no probabilities. Ask it for log-probabilities, or for several answers (repeats)."
            if without
            else "No pair has both a label and a grade."
        )
    return CalibrationReport(key, before, by, without, reason)


def _positions(truth: Truth, key: str, policy: Policy) -> npt.NDArray[np.int_]:
    human = human_grades(truth, key, policy)
    return np.where(human >= 0, human - policy.scale(key)[0], -1)


def _aligned(rows: pd.Series, truth: Truth, scale: Sequence[int]) -> Floats:
    where = rows.index.get_indexer(pd.Index(truth.pair_ids, dtype=object))
    return stacked([rows.iloc[i] if i >= 0 else None for i in where], len(scale))


# Self-agreement


@dataclass(frozen=True)
class SelfAgreement:
    """How far a judge that is asked again says the same. Any two of its answers about a pair are compared alike."""

    n: int  # pairs with at least two answers
    repeats: int
    equal: Estimate  # share of equal answers; N/A is one where it is known
    kappa: Estimate  # quadratic, of answers that name a level; neither answer is the reference
    source: Literal["runs", "answers", ""] = ""
    reason: str = ""


def self_agreement(workspace: Workspace, run: Run) -> dict[str, SelfAgreement]:
    """Return how far the judge of a run agrees with itself on the dev pairs, for each dimension and overall.

    From finished runs that differ in the repeat index alone; else, for a judge that draws several answers to a
    question, from those: its probabilities say how many named each level. Where they came from tokens they do not.
    """
    dev = truth(workspace, run.golden, version=run.golden_version)
    policy = workspace.store.policy(run.policy, run.policy_version)
    keys = (*policy.keys, OVERALL)
    runs = repeats_of(workspace, run)
    if len(runs) >= 2:
        tables = [grades(workspace, one, dev.pair_ids) for one in runs]
        return {
            key: _between(
                _votes(np.stack([table[key] for table in tables]), policy.scale(key)),
                dev,
                len(runs),
                "runs",
            )
            for key in keys
        }
    drawn = run.judge.params.get("repeats")
    if run.judge.kind != "repeats" or not isinstance(drawn, int):
        reason = "This judge has one answer to each question. Run it again with another repeat index, or with several repeats."
        return dict.fromkeys(keys, _unknown(reason))
    said = workspace.store.probabilities(run.id)
    found = {
        OVERALL: _unknown("Several answers are settled by dimension, before the overall grade is formed.")
    }
    for dimension in policy.dimensions:
        mine = said[said["dimension"] == dimension.key]
        rows = pd.Series(mine["probabilities"].to_numpy(), index=mine["pair_id"], dtype=object)
        cast = answers_drawn(_aligned(rows, dev, dimension.scale), drawn)
        found[dimension.key] = _between(np.pad(cast, ((0, 0), (0, 1))), dev, drawn, "answers")
    return {key: found[key] for key in keys}


def answers_drawn(probabilities: Floats, repeats: int) -> npt.NDArray[np.int_]:
    """Return how many of at most ``repeats`` answers named each level, shape (pairs, levels), from probabilities.

    Reverses :func:`workbench.level_probabilities.from_repeats`: of m answers, (count + 1/2) / (m + levels/2). Not all
    answers name a level (N/A, failures), so the largest m that gives whole counts is taken, down to half of
    ``repeats``: below that, counts would no longer be clear. Rows of zeros where none does: those probabilities came
    from tokens, or there are none.
    """
    levels = probabilities.shape[1]
    found = np.zeros(probabilities.shape, dtype=np.int_)
    open_rows = ~np.isnan(probabilities).any(axis=1)
    for m in range(repeats, (repeats - 1) // 2, -1):
        counts = probabilities * (m + JEFFREYS * levels) - JEFFREYS
        whole = np.rint(np.nan_to_num(counts))
        fits = open_rows & (np.abs(counts - whole) < _NEAR).all(axis=1) & (whole >= 0).all(axis=1)
        found[fits] = whole[fits].astype(np.int_)
        open_rows &= ~fits
    return found


def _votes(given: npt.NDArray[np.int_], scale: Sequence[int]) -> npt.NDArray[np.int_]:
    """Return how many answers there are for each level and, last, N/A: shape (pairs, levels + 1)."""
    return confusion.votes(given, (*scale, NOT_APPLICABLE))


def _between(
    cast: npt.NDArray[np.int_], dev: Truth, repeats: int, source: Literal["runs", "answers"]
) -> SelfAgreement:
    answered = cast.sum(axis=1) >= 2
    n = int(answered.sum())
    if not n:
        return replace(
            _unknown(
                "The probabilities came from tokens, which do not say what each answer was."
                if source == "answers"
                else "No pair was answered twice."
            ),
            repeats=repeats,
        )
    equal = _over_queries(cast, dev).estimate(confusion.exact, "No pair was answered twice.")
    kappa = _over_queries(cast[:, :-1], dev).estimate(
        confusion.kappa_of_equals, "All answers name one level; this needs at least two levels."
    )
    return SelfAgreement(n, repeats, equal, kappa, source)


def _over_queries(cast: npt.NDArray[np.int_], dev: Truth) -> Resampled:
    """Return the matrices of every two answers about a pair, each pair with weight 1, summed and drawn by query."""
    kept = cast.sum(axis=1) >= 2
    matrices = confusion.coincidences(cast[kept]) / cast[kept].sum(axis=1)[:, None, None]
    numbers, total = numbered(dev.queries, kept)
    rows = np.zeros((total, *matrices.shape[1:]))
    np.add.at(rows, numbers, matrices)
    return resample(rows, resamples=2000, seed=0)


def _unknown(reason: str) -> SelfAgreement:
    nothing = Estimate(None, None, None, reason)
    return SelfAgreement(0, 1, nothing, nothing, "", reason)
