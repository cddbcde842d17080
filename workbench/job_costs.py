"""What a job has cost: what language models charged, or the hours of devices at the recipe's price.

A cost that is not known is None with the reason, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import BadInput
from workbench.jobfolder import JobFolder
from workbench.run import JobState, Run
from workbench.store import StoredJob

_FREE_JUDGES = ("baseline", "recorded", "checkpoint")


@dataclass(frozen=True)
class JobCost:
    """``usd`` is in US dollars; ``how`` says in a few words what it is made of, or why it is not known."""

    usd: float | None
    how: str


def job_cost(job: StoredJob, now: JobState, run: Run | None) -> JobCost:
    """Return what a job has cost.

    Args:
        job: whatever its kind.
        now: its state.
        run: the run that it makes; None where it makes none.

    Formula of a training: hours from its start to its last sign of life, times devices, times
    ``resources.usd_per_hour``; it covers the newest start only, so one that was resumed has cost more.
    """
    if job.spec.kind == "training":
        return _training(job, now)
    if job.spec.kind == "lint" or (run is None and _judge_is_free(job.spec.payload.get("judge"))):
        return JobCost(0.0, "nobody was paid")
    if run is not None:
        if run.status in ("queued", "running"):
            return JobCost(None, "known at the end")
        if run.judge.kind in _FREE_JUDGES:
            return JobCost(0.0, "nobody was paid")
        calls = run.totals.calls
        return JobCost(
            run.totals.cost_usd, f"{calls:,} calls" if run.totals.cost_usd is not None else "no price known"
        )
    return _from_result(job, now)


def _from_result(job: StoredJob, now: JobState) -> JobCost:
    if now.status in ("queued", "running"):
        return JobCost(None, "known at the end")
    try:
        result = JobFolder(Path(job.folder)).result()
    except BadInput:
        result = None
    data: Mapping[str, Any] = result.data if result else {}
    for place in (data, data.get("card"), data.get("report")):
        usage = place.get("usage") if isinstance(place, Mapping) else None
        if isinstance(usage, Mapping):
            usd, calls = usage.get("cost_usd"), usage.get("calls", 0)
            if isinstance(usd, int | float):
                return JobCost(float(usd), f"{calls:,} calls")
            return JobCost(None, "no price known") if calls else JobCost(0.0, "nobody was paid")
    return JobCost(None, "its result does not say")


def _training(job: StoredJob, now: JobState) -> JobCost:
    recipe = (job.spec.payload.get("training") or {}).get("recipe") or {}
    resources = recipe.get("resources") or {}
    price = resources.get("usd_per_hour")
    if price is None:
        return JobCost(None, "the recipe gives no resources.usd_per_hour")
    if now.started_at is None or now.updated_at is None:
        return JobCost(None, "it has not started" if now.status == "queued" else "its times are not known")
    hours = max((now.updated_at - now.started_at).total_seconds(), 0) / 3600
    devices = max(int(resources.get("gpus") or 0), 1)  # without a GPU the machine itself is the device
    return JobCost(hours * devices * float(price), f"{hours:,.2f} h × {devices} × ${float(price):,.2f}")


def _judge_is_free(judge: object) -> bool:
    """Return whether a judge, as a job's payload describes it, asks nobody who is paid."""
    if not isinstance(judge, Mapping):
        return False
    members = [judge.get(key) for key in ("judge", "first", "second")] + list(judge.get("members") or ())
    inner = [member for member in members if isinstance(member, Mapping)]
    return all(map(_judge_is_free, inner)) if inner else judge.get("kind") in _FREE_JUDGES
