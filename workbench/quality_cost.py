"""The verb that sets the quality of judges against what they take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.comparing import Effort, effort
from workbench.evaluation import run_agreement, same_judge
from workbench.golden import Split
from workbench.policy import OVERALL
from workbench.resampling import Estimate
from workbench.run import JudgeIdentity, Run
from workbench.workspace import Workspace

OWN_KINDS = ("baseline", "checkpoint")
"""Kinds of judges that are ours: they ask nobody, so nothing is paid."""


@dataclass(frozen=True, eq=False)
class QualityCost:
    """One finished run: how well it agrees with people, and what 1,000 pairs take. None is unknown."""

    run: Run
    overall: Estimate  # quadratic kappa
    kappa: Estimate  # that of the dimension that was asked for
    n: int  # pairs that it is over
    usd: float | None
    seconds: float | None
    source: str  # where cost and time are from, where not from this run; or why the cost is unknown
    front: bool = False  # no other run is as good and cheaper, or as cheap and better


def quality_cost(
    workspace: Workspace, golden: str, *, dimension: str = OVERALL, split: Split = "dev"
) -> list[QualityCost]:
    """Return the finished runs over a golden set with agreement, cost and time, the best agreement first.

    Cost and time are those of the pairs that were asked about. Where all answers came from the verdict cache, another
    run of the same judge tells them. The front is of the kappas of ``dimension``, over runs whose cost is known. Runs
    over older snapshots are measured on those.
    """
    runs = [run for run in workspace.store.runs(golden=golden) if run.status == "finished"]
    every = workspace.store.runs()
    rows = []
    for run in runs:
        agreements = run_agreement(workspace, run, split=split)
        if dimension not in agreements:  # an older version that does not have it
            continue
        chosen = agreements[dimension]
        took, source = _took(workspace, run, every)
        rows.append(
            QualityCost(
                run=run,
                overall=agreements[OVERALL].kappa_quadratic,
                kappa=chosen.kappa_quadratic,
                n=chosen.n,
                usd=took.usd,
                seconds=took.seconds,
                source=source,
            )
        )
    front = pareto_front([row.usd for row in rows], [row.kappa.value for row in rows])
    marked = [replace(row, front=on) for row, on in zip(rows, front, strict=True)]
    return sorted(marked, key=lambda row: -(row.kappa.value if row.kappa.value is not None else -2))


def pareto_front(costs: Sequence[float | None], qualities: Sequence[float | None]) -> list[bool]:
    """Return which points no other one beats: none is at most as dear and at least as good, and better in one.

    A point of which one side is unknown is not on the front and beats nobody.
    """
    points = [
        (cost, quality) if cost is not None and quality is not None else None
        for cost, quality in zip(costs, qualities, strict=True)
    ]
    known = [point for point in points if point is not None]
    return [
        point is not None
        and not any(other[0] <= point[0] and other[1] >= point[1] and other != point for other in known)
        for point in points
    ]


def _took(workspace: Workspace, run: Run, every: Sequence[Run]) -> tuple[Effort, str]:
    if run.judge.kind == "recorded":
        return effort(run), "It was judged elsewhere."
    if all(kind in OWN_KINDS for kind in _kinds(run.judge.model_dump())) and not run.totals.calls:
        return replace(effort(run), usd=0.0), ""
    if (took := _whole_effort(workspace, run)) is not None:
        return took, "" if took.usd is not None else "The price is not known."
    # The policy of another version is as long as this one, about; the same version tells it better.
    others = sorted(every, key=lambda other: other.policy_hash != run.policy_hash)
    for judge in _also(run.judge):
        for other in others:
            if other.policy != run.policy or not same_judge(other.judge, judge):
                continue
            took = _whole_effort(workspace, other)
            if took is not None and took.usd is not None:
                return took, f"Its answers came from the cache; as run {other.id}, v{other.policy_version}."
    return Effort(
        None, None, None, None
    ), "Its answers came from the cache, and no other run tells their cost."


def _whole_effort(workspace: Workspace, run: Run) -> Effort | None:
    """Return what 1,000 pairs take where no answer is known; None for a run that asked nothing.

    A pair of which some answers were known (another dimension, another repeat) counts as asked, though it took fewer
    calls. So where a run made fewer calls a pair than its mode needs, its effort is scaled up to those.
    """
    found = effort(run)
    asked, calls = run.totals.pairs - run.totals.cache_hits, run.totals.calls
    if asked <= 0:
        return None
    if not calls or run.judge.kind not in ("llm", "repeats"):
        return found
    mode = run.judge.params.get("mode") or {}
    questions = len(workspace.store.policy(run.policy, run.policy_version).keys)
    needed = (
        (questions if mode.get("scope") == "dimension" else 1)
        * run.judge.params.get("repeats", 1)
        / mode.get("pairs_per_call", 1)
    )
    scale = max(1.0, needed * asked / calls)
    parts = (found.usd, found.seconds, found.input_tokens, found.output_tokens)
    return Effort(*(None if part is None else part * scale for part in parts))


def _also(judge: JudgeIdentity) -> Iterator[JudgeIdentity]:
    """Yield a judge and, where it only calibrates another one, that one: it takes the same."""
    yield judge
    if judge.kind == "calibrated":
        yield JudgeIdentity.model_validate(judge.params["judge"])


def _kinds(identity: Mapping[str, Any]) -> Iterator[str]:
    """Yield the kinds of the judges that a judge consists of."""
    params = identity["params"]
    inner = [*params.get("members", ()), *(params[k] for k in ("judge", "first", "second") if k in params)]
    if identity["kind"] in ("calibrated", "ensemble", "cascade") and inner:
        for one in inner:
            yield from _kinds(one)
    else:
        yield identity["kind"]
