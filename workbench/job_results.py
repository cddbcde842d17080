"""What a judge run left in its job's folder, brought into the store; it may be brought again at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from workbench.jobfolder import JobFolder
from workbench.outcomes import Outcomes
from workbench.run import JobState, JudgeIdentity, RunTotals, Verdict
from workbench.store import Store, StoredJob

_VERDICTS_A_WRITE = 500  # more at a time is slower: Python looks through all that is held, again and again


def collect_run(store: Store, job: StoredJob, folder: JobFolder, now: JobState) -> None:
    """Keep the verdicts of a job that ended, and the record of its run.

    Raises:
        BadInput: for a damaged file; names it.
    """
    run = store.run(job.spec.payload["run_id"])
    totals = _Totals()
    for part in _batches(folder.verdicts()):
        store.add_verdicts(run.id, part)
        totals.add(part)
    result = folder.result()
    data = result.data if result else {}
    update: dict[str, Any] = {
        "status": "failed" if now.status == "lost" else now.status,
        "error": now.error,
        "finished_at": result.finished_at if result else datetime.now(UTC),
        "totals": totals.value(float(data.get("seconds", 0.0))),
        "code_revision": data.get("code_revision", run.code_revision),
    }
    if "judge" in data:
        update["judge"] = JudgeIdentity.model_validate(data["judge"])
    store.save_run(run.model_copy(update=update))


def fail_run(store: Store, job: StoredJob, now: JobState) -> None:
    """Keep that the run of a job failed, and why; nothing for a job that makes no run."""
    if run_id := job.spec.payload.get("run_id"):
        ended = {"status": "failed", "error": now.error, "finished_at": datetime.now(UTC)}
        store.save_run(store.run(run_id).model_copy(update=ended))


class _Totals:
    """Sums over verdicts; the cost is unknown as soon as one call's is."""

    def __init__(self) -> None:
        names = ("calls", "cache_hits", "input_tokens", "output_tokens", "cached_input_tokens")
        self._sums = dict.fromkeys(names, 0)
        self._outcomes = Outcomes()  # of each judgement the newest; calls are all counted
        self._cost: float | None = 0.0

    def add(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            usage = verdict.usage
            self._outcomes.add(verdict)
            self._sums["calls"] += usage.calls
            self._sums["cache_hits"] += usage.from_cache
            self._sums["input_tokens"] += usage.input_tokens
            self._sums["output_tokens"] += usage.output_tokens
            self._sums["cached_input_tokens"] += usage.cached_input_tokens
            if usage.cost_usd is None:
                self._cost = None
            elif self._cost is not None:
                self._cost += usage.cost_usd

    def value(self, seconds: float) -> RunTotals:
        return RunTotals(
            pairs=self._outcomes.pairs,
            judgements=self._outcomes.judgements,
            failed=self._outcomes.failed,
            cost_usd=self._cost,
            seconds=seconds,
            **self._sums,
        )


def _batches(verdicts: Iterator[Verdict]) -> Iterator[list[Verdict]]:
    while part := list(islice(verdicts, _VERDICTS_A_WRITE)):
        yield part
