"""The figures of a checkpoint from what it says of pairs: agreement, ranking, calibration, clicks; its size and speed.

Values in, values out: no store. What is undefined is an estimate without a value, with the reason.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench import confusion
from workbench.agreement import agreement
from workbench.errors import BadInput, WorkbenchError
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, Pair
from workbench.model_evaluation import CLICK_KEYS, Latency, Size, Speed
from workbench.overall import overall_grades
from workbench.policy import OVERALL, Policy
from workbench.ranking_metrics import QueryMean, auc, calibration_error, log_loss, mrr, ndcg
from workbench.reliability import reliability, top_level
from workbench.resampling import Estimate, resample
from workbench.run import Reporter
from workbench.training.grades import decide
from workbench.training.record import WEIGHTS, CheckpointRecord, Head, head_problem

if TYPE_CHECKING:
    from pathlib import Path

    from workbench.training.model import Checkpoint
    from workbench.training.predict import Predictor

Floats = npt.NDArray[np.float64]
Grades = npt.NDArray[np.int_]

DRAWS = 256
"""Draws of the dimensions' grades that an expected overall grade is the mean of."""
_PAIRS_AT_ONCE = 1000
_TIMED_PAIRS, _ROUNDS, _SINGLE_PAIRS = 256, 3, 50

_kappa = confusion.unless_one_class(confusion.kappa_quadratic)


@dataclass(frozen=True)
class Answers:
    """What a checkpoint says of pairs, in their order: by dimension (pairs, classes); and of a click, (pairs,)."""

    classes: Mapping[str, Floats]
    click: Floats | None

    def rows(self, places: Sequence[int]) -> Answers:
        """Return the answers about some of the pairs, by their positions."""
        chosen = np.array(places, dtype=np.int_)
        click = None if self.click is None else self.click[chosen]
        return Answers({key: values[chosen] for key, values in self.classes.items()}, click)


@dataclass(frozen=True)
class PolicyFigures:
    """Figures by key; the overall grade that MRR looks for; the queries that NDCG leaves out."""

    figures: Mapping[str, Estimate]
    relevant_from: int
    unranked: int


def ask(predictor: Predictor, pairs: Sequence[Pair], reporter: Reporter) -> Answers:
    """Return what a checkpoint says of ``pairs``.

    Raises:
        WorkbenchError: an answer is not a number; names the pair.
    """
    record = predictor.checkpoint.record
    classes = {head.key: np.empty((len(pairs), head.classes)) for head in record.heads}
    click = np.empty(len(pairs)) if "click" in record.recipe.heads else None
    done = 0
    for batch in predictor.predict(pairs):
        broken = np.zeros(len(batch.rows), dtype=bool)
        for key, values in batch.probabilities.items():
            classes[key][batch.rows] = values
            broken |= ~np.isfinite(values).all(axis=1)
        if click is not None and batch.click is not None:
            click[batch.rows] = batch.click
            broken |= ~np.isfinite(batch.click)
        if broken.any():
            raise WorkbenchError(
                f"The answer of {record.name} for pair {pairs[int(batch.rows[broken][0])].id} is not a number.",
                "Look at the texts of this pair; if they are sound, the checkpoint's training went wrong.",
            )
        done += len(batch.rows)
        reporter.progress(done, len(pairs), f"grading with {record.name}")
    return Answers(classes, click)


def policy_figures(
    policy: Policy,
    record: CheckpointRecord,
    answers: Answers,
    human: Mapping[str, Grades],
    queries: npt.NDArray[np.int_],
) -> PolicyFigures:
    """Return agreement, ranking and calibration of a checkpoint's grades.

    Documents are ranked by the expected overall grade and relevant by the human overall grade; those without one are
    left out. MRR looks for a grade in the top quarter of the scale. ``calibration.ece`` is of the most probable level,
    over all dimensions together, in at most ten bins.

    Args:
        policy: under which the checkpoint is judged. A dimension that no head fits has no figures, nor has the overall.
        record: of the checkpoint.
        answers: about the pairs.
        human: settled grades by dimension and overall, shape (pairs,).
        queries: the query of each pair as a number, shape (pairs,).
    """
    heads = {head.key: head for head in record.heads}
    problems = {key: head_problem(heads, policy, key) for key in policy.keys}
    mine: dict[str, Grades] = {}
    confidence, hits, clusters = [np.empty(0)], [np.empty(0, dtype=bool)], [np.empty(0, dtype=np.int_)]
    for dimension in policy.dimensions:
        key = dimension.key
        if problems[key]:
            mine[key] = np.full(len(queries), NOT_GRADED)
            continue
        grades, _, levels = decide(heads[key], answers.classes[key], allow_na=dimension.allow_na)
        mine[key] = grades
        labelled = human[key] >= 0
        stated, right = top_level(levels[labelled], human[key][labelled] - heads[key].levels[0])
        confidence.append(stated)
        hits.append(right)
        clusters.append(queries[labelled])
    mine[OVERALL] = overall_grades(policy, mine)
    kappas = {
        key: agreement(mine[key], human[key], queries, policy.scale(key)).kappa_quadratic
        for key in (*policy.keys, OVERALL)
    }
    for key, problem in problems.items():
        if problem:
            kappas[key] = Estimate(None, None, None, f"No head fits: {problem}.")
    unfit = next(filter(None, problems.values()), "")
    if unfit:
        kappas[OVERALL] = Estimate(None, None, None, f"A dimension has no grades: {unfit}.")
    bins = int(np.clip(sum(map(len, hits)) // 20, 1, 10))
    curve = reliability(np.concatenate(confidence), np.concatenate(hits), np.concatenate(clusters), bins=bins)
    threshold = math.ceil(0.75 * max(policy.scale(OVERALL)))
    ranked, first = _ranking(policy, heads, answers, human[OVERALL], queries, threshold, unfit)
    figures = {"kappa": _mean_kappa(policy, mine, human, queries)}
    figures |= {f"kappa.{key}": value for key, value in kappas.items()}
    figures |= {"ndcg@10": ranked.mean, "mrr": first.mean, "calibration.ece": curve.ece}
    return PolicyFigures(figures, threshold, ranked.left_out)


def click_figures(
    probability: Floats, stated: Floats, clicks: Floats, impressions: Floats, queries: Sequence[str]
) -> dict[str, Estimate]:
    """Return AUC, log-loss and calibration error of click probabilities.

    Args:
        probability: that a document is clicked where it is looked at: what AUC ranks by, shape (items,).
        stated: that it is clicked where it was shown, shape (items,); see :func:`workbench.model_evaluations.evaluate`.
        clicks, impressions, queries: of each item, shape (items,).
    """
    return dict(
        zip(
            CLICK_KEYS,
            (
                auc(probability, clicks, impressions, queries),
                log_loss(stated, clicks, impressions, queries),
                calibration_error(stated, clicks, impressions, queries),
            ),
            strict=True,
        )
    )


def no_click_figures(reason: str) -> dict[str, Estimate]:
    """Return the figures of clicks where there are none to be had."""
    return {key: Estimate(None, None, None, reason) for key in CLICK_KEYS}


def expected_overall(policy: Policy, heads: Mapping[str, Head], classes: Mapping[str, Floats]) -> Floats:
    """Return the expected overall grade of each pair, shape (pairs,); NaN where every draw leaves it without one.

    The mean over ``DRAWS`` draws of the dimensions' grades, taken as independent given the pair, each graded overall by
    the policy's own rule, so that gates and cut points count. Draws are stratified in every dimension (Latin hypercube;
    McKay, Beckman and Conover, 1979) and the same for all pairs: no luck of the draw comes between two documents.
    """
    rng = np.random.default_rng(0)
    strata = (np.arange(DRAWS) + 0.5) / DRAWS
    quantiles = {key: rng.permutation(strata) for key in policy.keys}
    count = len(next(iter(classes.values()), np.empty(0)))
    found = np.full(count, np.nan)
    for start in range(0, count, _PAIRS_AT_ONCE):
        part = slice(start, min(start + _PAIRS_AT_ONCE, count))
        drawn: dict[str, Grades] = {}
        for dimension in policy.dimensions:
            head = heads[dimension.key]
            given = classes[dimension.key][part]
            if head.allow_na and not dimension.allow_na:
                _, _, given = decide(head, given, allow_na=False)
            values = np.array([*head.levels, NOT_APPLICABLE][: given.shape[1]])
            edges = given.cumsum(axis=1)[:, None, :-1]  # above the last edge lies the last class
            drawn[dimension.key] = values[(quantiles[dimension.key][:, None] > edges).sum(axis=2)].ravel()
        overall = overall_grades(policy, drawn).reshape(-1, DRAWS)
        graded = overall >= 0
        total = np.where(graded, overall, 0).sum(axis=1)
        np.divide(total, graded.sum(axis=1), out=found[part], where=graded.any(axis=1))
    return found


def _ranking(
    policy: Policy,
    heads: Mapping[str, Head],
    answers: Answers,
    human: Grades,
    queries: npt.NDArray[np.int_],
    threshold: int,
    unfit: str,
) -> tuple[QueryMean, QueryMean]:
    if unfit:
        nothing = QueryMean(
            Estimate(None, None, None, f"There is no overall grade to rank by: {unfit}."), 0, 0
        )
        return nothing, nothing
    graded = human >= 0
    scores = expected_overall(policy, heads, {key: answers.classes[key][graded] for key in policy.keys})
    scores = np.where(np.isnan(scores), -np.inf, scores)  # nothing applies: nothing speaks for the document
    return (
        ndcg(scores, human[graded], queries[graded], k=10),
        mrr(scores, human[graded], queries[graded], threshold=threshold),
    )


def _mean_kappa(
    policy: Policy, mine: Mapping[str, Grades], human: Mapping[str, Grades], queries: npt.NDArray[np.int_]
) -> Estimate:
    """Return the mean of the dimensions' quadratic kappas, from the same resamples of queries for all of them.

    Dimensions without one (all human grades alike, or no head) are left out.
    """
    total = int(queries.max(initial=-1)) + 1
    parts: list[tuple[int, npt.NDArray[np.int_]]] = []
    for key in policy.keys:
        scale = policy.scale(key)
        both = (mine[key] >= 0) & (human[key] >= 0)
        counts = confusion.confusions(human[key][both], mine[key][both], queries[both], total, scale)
        if not np.isnan(_kappa(counts.sum(axis=0)[None])[0]):
            parts.append((len(scale), counts.reshape(total, -1)))
    if not parts:
        return Estimate(None, None, None, "No dimension has a kappa here.")
    used = np.concatenate([counts for _, counts in parts], axis=1)
    used = used[used.any(axis=1)]  # queries with a comparable pair

    def mean(sums: npt.NDArray[Any]) -> Floats:
        ends = np.cumsum([size * size for size, _ in parts])[:-1]
        kappas = [
            _kappa(flat.reshape(len(flat), size, size))
            for (size, _), flat in zip(parts, np.split(sums, ends, axis=1), strict=True)
        ]
        return np.asarray(np.mean(kappas, axis=0), dtype=np.float64)

    return resample(used, resamples=2000, seed=0).estimate(mean, "No dimension has a kappa here.")


def size_of(checkpoint: Checkpoint, folder: Path, pairs: Sequence[Pair]) -> Size:
    """Return how large a checkpoint is; ask before a predictor takes it over."""
    from workbench.training.compress import size

    encoded = checkpoint.tokens.encode(pairs)
    tokens = max(1, round(sum(len(tokens.ids) for tokens in encoded) / max(1, len(encoded))))
    try:
        compute = size(checkpoint.scorer, tokens).compute
    except BadInput:  # neither like BERT nor like Llama: how its layers are made is not known
        compute = None
    return Size(
        parameters=sum(p.numel() for p in checkpoint.scorer.parameters()),
        megabytes=(folder / WEIGHTS).stat().st_size / 1e6,
        tokens=tokens,
        compute=compute,
    )


def speed_of(predictor: Predictor, pairs: Sequence[Pair]) -> Speed:
    """Return the speed on at most 256 of ``pairs``, the median of three passes, and the latency of at most 50 alone.

    One pass and one lone pair before those are not timed.
    """
    chosen = pairs[:_TIMED_PAIRS]
    passes = [_seconds(predictor, chosen) for _ in range(_ROUNDS + 1)][1:]
    alone = [_seconds(predictor, [pair]) * 1000 for pair in [chosen[0], *chosen[:_SINGLE_PAIRS]]][1:]
    return Speed(
        pairs_per_s=len(chosen) / statistics.median(passes),
        latency_ms=Latency(median=statistics.median(alone), p95=float(np.quantile(alone, 0.95))),
    )


def _seconds(predictor: Predictor, pairs: Sequence[Pair]) -> float:
    began = time.perf_counter()
    for _ in predictor.predict(pairs):
        pass
    return time.perf_counter() - began
