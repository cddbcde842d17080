"""The rows of the board of models: one judge under one policy version, or one checkpoint, as values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from workbench.model_evaluation import EvaluatedSplit, ModelEvaluation
from workbench.promotions import Stage
from workbench.quality_cost import QualityCost
from workbench.resampling import Estimate
from workbench.run import Run
from workbench.store import StoredCheckpoint
from workbench.training.record import WEIGHTS

Kind = Literal["judge", "teacher", "student"]
_ON_GPU = re.compile(r"threads, .+$")
"""How an evaluation's machine reads where a GPU graded: its name comes last."""


@dataclass(frozen=True)
class Ground:
    """A golden snapshot that models of its policy are measured on; ``measured`` counts runs and evaluations."""

    golden: str
    version: int
    content_hash: str
    measured: int

    @property
    def label(self) -> str:
        """Such as ``job-match v3``."""
        return f"{self.golden} v{self.version}"


@dataclass(frozen=True, eq=False)
class BoardRow:
    """One judge under one policy version, or one checkpoint. None is unknown or was not measured.

    Attributes:
        id: of the checkpoint, or of the judge's newest run.
        kappa: quadratic, in the dimension that the board was asked for.
        source: where ``kappa`` is from, or why there is none.
        learnt: evaluated pairs whose query its own training learnt from.
        tokens: mean length of the evaluated pairs as the model reads them.
        compute: floating-point operations a pair.
        usd: for 1,000 pairs; ``usd_source`` says how it is known, or why it is not.
        loss: of ``kappa`` against ``teacher``; above 0 is worse than it.
        stale: why it is, one sentence a reason.
    """

    id: str
    kind: Kind
    name: str
    policy_version: int
    at: datetime
    kappa: Estimate
    source: str
    stage: Stage | None = None
    pairs: int = 0
    learnt: int | None = None
    ndcg: Estimate | None = None
    click_auc: Estimate | None = None
    calibration: Estimate | None = None
    parameters: int | None = None
    megabytes: float | None = None
    tokens: int | None = None
    compute: int | None = None
    pairs_per_s: float | None = None
    latency_ms: float | None = None
    machine: str = ""
    usd: float | None = None
    usd_source: str = ""
    loss: float | None = None
    teacher: str = ""
    stale: tuple[str, ...] = ()
    evaluation: ModelEvaluation | None = None
    run: Run | None = None
    checkpoint: StoredCheckpoint | None = None


def judge_row(cost: QualityCost, kappa: Estimate, stale: tuple[str, ...]) -> BoardRow:
    """Return the row of a judge by its newest run.

    Args:
        cost: the run and what it took.
        kappa: against the labels of the board's ground.
        stale: why the run is, one sentence a reason.
    """
    run = cost.run
    return BoardRow(
        id=run.id,
        kind="judge",
        name=run.judge.name,
        policy_version=run.policy_version,
        at=run.created_at,
        kappa=kappa,
        source=f"run {run.id}",
        pairs=cost.n,
        pairs_per_s=1000 / cost.seconds if cost.seconds else None,
        usd=cost.usd,
        usd_source=cost.source or ("measured in its run" if cost.usd else "it asks nobody"),
        stale=stale,
        run=run,
    )


def checkpoint_row(
    checkpoint: StoredCheckpoint,
    ground: Ground | None,
    split: EvaluatedSplit,
    dimension: str,
    evaluation: ModelEvaluation | None,
    graded: tuple[Run, Estimate] | None,
    *,
    timed: ModelEvaluation | None,
    stage: Stage | None,
    stale: tuple[str, ...],
) -> BoardRow:
    """Return the row of a checkpoint: by its evaluation, else by the run in which it graded the ground.

    The record is read as plain data: one of an older workbench still says what it is.

    Args:
        checkpoint: which one.
        ground: of the board; None where there is no snapshot.
        split: likewise.
        dimension: that κ is in.
        evaluation: its newest on this ground, if it has one.
        graded: its newest run on this ground and the κ of it, if it has one.
        timed: its newest evaluation anywhere that measured its speed: what a model takes is told on other pairs too.
        stage: what it is promoted to.
        stale: why it is, one sentence a reason.
    """
    record = checkpoint.record
    recipe = record.get("recipe") or {}
    key = f"kappa.{dimension}"
    run, parameters = None, (record.get("figures") or {}).get("parameters")
    if evaluation is not None:
        kappa = evaluation.figures.get(key) or _none("Its evaluation has no such figure.")
        source = f"evaluated {evaluation.at:%d %b %Y} by {evaluation.by}"
    elif graded is not None:
        run, kappa = graded
        source = f"run {run.id}, not evaluated"
    else:
        where = f" on {ground.label} ({split})" if ground else ""
        kappa, source = _none(f"It was not measured{where}."), f"not measured{where}"
    figures: Mapping[str, Estimate] = evaluation.figures if evaluation else {}
    if evaluation is not None and evaluation.speed is not None:
        timed = evaluation
    sized = evaluation or timed
    size, speed = sized.size if sized else None, timed.speed if timed else None
    usd, usd_source = own_cost(recipe.get("resources") or {}, timed)
    return BoardRow(
        id=checkpoint.id,
        kind="teacher" if recipe.get("kind") == "teacher" else "student",
        name=checkpoint.name,
        policy_version=int(record.get("policy_version", 0)),
        at=checkpoint.created_at,
        kappa=kappa,
        source=source,
        stage=stage,
        pairs=evaluation.pairs if evaluation else 0,
        learnt=evaluation.learnt if evaluation else None,
        ndcg=figures.get("ndcg@10"),
        click_auc=figures.get("click.auc"),
        calibration=figures.get("calibration.ece"),
        parameters=size.parameters if size else parameters if isinstance(parameters, int) else None,
        megabytes=size.megabytes if size else _megabytes(checkpoint),
        tokens=size.tokens if size else None,
        compute=size.compute if size else None,
        pairs_per_s=speed.pairs_per_s if speed else None,
        latency_ms=speed.latency_ms.median if speed else None,
        machine=timed.machine if timed else "",
        usd=usd,
        usd_source=usd_source,
        loss=evaluation.losses.get(key) if evaluation else None,
        teacher=evaluation.teacher if evaluation else "",
        stale=stale,
        evaluation=evaluation,
        run=run,
        checkpoint=checkpoint,
    )


def own_cost(resources: Mapping[str, Any], evaluation: ModelEvaluation | None) -> tuple[float | None, str]:
    """Return US dollars for 1,000 pairs of a model of ours and how that is known; or None and why it is not.

    The hourly price of one device of the recipe, over the measured pairs a second. A speed that was measured on another
    kind of device than the price is of says nothing about it.
    """
    price = resources.get("usd_per_hour")
    if price is None:
        return None, "its recipe does not say what a device costs an hour (resources.usd_per_hour)"
    if evaluation is None or evaluation.speed is None:
        return None, "its speed was not measured"
    on_gpu = bool(_ON_GPU.search(evaluation.machine))
    if on_gpu != bool(resources.get("gpus")):
        priced, timed = ("CPU", "GPU") if on_gpu else ("GPU", "CPU")
        return None, f"its speed was measured on a {timed}, and the price of its recipe is that of a {priced}"
    rate = evaluation.speed.pairs_per_s
    return price / 3600 * 1000 / rate, f"${price:g} an hour at {rate:,.0f} pairs/s"


def _megabytes(checkpoint: StoredCheckpoint) -> float | None:
    try:
        return (Path(checkpoint.folder) / WEIGHTS).stat().st_size / 1e6
    except OSError:  # the weights are elsewhere or gone
        return None


def _none(reason: str) -> Estimate:
    return Estimate(None, None, None, reason)
