"""What a checkpoint was found to be worth: its figures with intervals, its size, its speed, and its losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from workbench.identity import Value
from workbench.resampling import Estimate

EvaluatedSplit = Literal["dev", "holdout"]
CLICK_KEYS = ("click.auc", "click.log_loss", "click.ece")
LESS_IS_BETTER = frozenset({"click.log_loss", "click.ece", "calibration.ece"})


class Latency(Value):
    """Milliseconds for one query with one document, everything counted from texts to answer."""

    median: float
    p95: float


class Speed(Value):
    """How fast a checkpoint is on the machine that the evaluation names."""

    pairs_per_s: float
    latency_ms: Latency


class Size(Value):
    """How large a checkpoint is.

    ``tokens`` is the mean length of the evaluated pairs; ``compute`` floating-point operations a pair of that length,
    layers and MLP counted and embeddings not, None for a backbone whose layers are not known.
    """

    parameters: int
    megabytes: float
    tokens: int
    compute: int | None


class ModelEvaluation(Value):
    """One checkpoint on one split of one golden snapshot, and on one click log where that was asked for.

    ``figures`` are by ``kappa`` (mean of the dimensions), ``kappa.<dimension>``, ``kappa.overall``, ``ndcg@10``, ``mrr``,
    ``calibration.ece`` (grades), and with clicks ``click.auc``, ``click.log_loss``, ``click.ece``. Kappa is quadratic.
    ``learnt`` counts the evaluated pairs whose query its own training learnt from, None where that cannot be told;
    ``relevant_from`` is the overall grade that MRR looks for; ``unranked`` counts the queries without a relevant
    document, which NDCG leaves out. ``clicks_on`` names the pairs whose impressions were used.

    ``losses`` are against ``teacher``, by figure; above 0 is worse than the teacher. ``share`` is of its compute.
    """

    format: Literal[1] = 1
    checkpoint: str
    weights_hash: str
    recipe: str
    policy: str
    policy_version: int
    golden: str
    golden_hash: str
    split: EvaluatedSplit
    clicks: str = ""
    clicks_hash: str = ""
    clicks_simulated: bool = False
    clicks_on: str = ""
    impressions: int = 0
    at: datetime
    by: str
    machine: str
    pairs: int
    learnt: int | None = None
    relevant_from: int
    unranked: int = 0
    note: str = ""
    figures: Mapping[str, Estimate]
    size: Size
    speed: Speed | None = None
    teacher: str = ""
    losses: Mapping[str, float] = {}
    share: float | None = None


def losses(teacher: ModelEvaluation, student: ModelEvaluation) -> dict[str, float]:
    """Return by how much a student is worse than its teacher, for each figure that both have; below 0: better.

    The teacher's figure minus the student's, and the other way round for errors (``LESS_IS_BETTER``). Figures of other
    pairs are not compared: grades need the same snapshot and split, clicks the same impressions.
    """
    graded = (teacher.golden_hash, teacher.split) == (student.golden_hash, student.split)
    clicked = (teacher.clicks_hash, teacher.clicks_on) == (student.clicks_hash, student.clicks_on)
    found = {}
    for key, mine in student.figures.items():
        theirs = teacher.figures.get(key)
        comparable = clicked if key in CLICK_KEYS else graded
        if not comparable or theirs is None or theirs.value is None or mine.value is None:
            continue
        found[key] = (theirs.value - mine.value) * (-1 if key in LESS_IS_BETTER else 1)
    return found


def compared(student: ModelEvaluation, teacher: ModelEvaluation) -> ModelEvaluation:
    """Return the student's evaluation with its losses against the teacher and its share of the teacher's compute.

    Compute is counted at the student's mean length, so the share is that of two models reading what each one reads.
    """
    mine, theirs = student.size.compute, teacher.size.compute
    return student.model_copy(
        update={
            "teacher": teacher.checkpoint,
            "losses": losses(teacher, student),
            "share": mine / theirs if mine is not None and theirs else None,
        }
    )


def ledger_rows(evaluations: Sequence[ModelEvaluation]) -> list[dict[str, Any]]:
    """Return one flat row an evaluation, the same columns in all: what each model keeps and what it costs.

    Rows of one policy, snapshot and split stand together, the largest model first, and of models of one size the one
    that reads most tokens: a sweep over input lengths reads as a curve. Figures are
    :class:`~workbench.resampling.Estimate` values, None where a row has none; a figure's loss against the teacher follows
    it where any row has one.
    """
    ordered = sorted(
        evaluations,
        key=lambda e: (
            e.policy,
            e.golden,
            e.split,
            e.clicks,
            -e.size.parameters,
            -e.size.tokens,
            e.checkpoint,
        ),
    )
    keys = list(dict.fromkeys(key for e in ordered for key in e.figures))
    lost = {key for e in ordered for key in e.losses}
    rows = []
    for e in ordered:
        row: dict[str, Any] = {
            "checkpoint": e.checkpoint,
            "teacher": e.teacher or None,
            "policy": f"{e.policy} v{e.policy_version}",
            "golden": e.golden,
            "split": e.split,
            "clicks": (f"{e.clicks} (simulated)" if e.clicks_simulated else e.clicks) or None,
            "pairs": e.pairs,
            "learnt": e.learnt,
        }
        for key in keys:
            row[key] = e.figures.get(key)
            if key in lost:
                row[f"{key} loss"] = e.losses.get(key)
        row |= {
            "pairs/s": e.speed.pairs_per_s if e.speed else None,
            "latency ms": e.speed.latency_ms.median if e.speed else None,
            "MB": e.size.megabytes,
            "parameters": e.size.parameters,
            "tokens": e.size.tokens,
            "FLOP/pair": e.size.compute,
            "share of teacher": e.share,
            "machine": e.machine if e.speed else None,
        }
        rows.append(row)
    return rows
