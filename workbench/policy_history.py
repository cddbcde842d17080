"""Verbs of a policy's history: what each version changed, and how judges agreed with people under it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workbench.agreement import Agreement, Estimate
from workbench.evaluation import human_agreement, run_agreement
from workbench.policy import Policy
from workbench.policy_diff import Change, diff
from workbench.run import Run
from workbench.workspace import Workspace


@dataclass(frozen=True)
class Series:
    """A judge on a golden set that has been run under versions of a policy."""

    judge: str
    golden: str
    trained: bool  # it learnt from labels of that golden set, so that its dev figures flatter it


@dataclass(frozen=True, eq=False)
class VersionEntry:
    """One version with what it changed against its parent, and the newest run of a judge under it."""

    policy: Policy
    parent: int | None
    changes: tuple[Change, ...]  # () for a version without a parent in this workspace
    run: Run | None
    agreements: Mapping[str, Agreement]  # dimension or "overall" -> agreement on dev; {} without a run


def series(workspace: Workspace, name: str) -> list[Series]:
    """Return whose figures there are for a policy, those with most versions first."""
    versions: dict[Series, set[int]] = {}
    for run in _finished(workspace, name):
        trained = run.judge.kind == "checkpoint"
        versions.setdefault(Series(run.judge.name, run.golden, trained), set()).add(run.policy_version)
    return sorted(
        versions, key=lambda found: (-len(versions[found]), found.trained, found.judge, found.golden)
    )


def timeline(workspace: Workspace, name: str, of: Series | None = None) -> list[VersionEntry]:
    """Return every version of a policy, oldest first, with the figures of one judge's newest run under it.

    Raises:
        NotFound: if there is no such policy.
    """
    versions = {policy.version: policy for policy in workspace.store.policy_versions(name)}
    newest = {
        run.policy_version: run
        for run in sorted(_finished(workspace, name), key=lambda run: run.created_at)
        if of is not None and (run.judge.name, run.golden) == (of.judge, of.golden)
    }
    return [
        VersionEntry(
            policy=policy,
            parent=policy.parent if policy.parent in versions else None,
            changes=diff(versions[policy.parent], policy) if policy.parent in versions else (),
            run=newest.get(number),
            agreements=run_agreement(workspace, newest[number]) if number in newest else {},
        )
        for number, policy in versions.items()
    ]


def ceilings(workspace: Workspace, of: Series) -> dict[str, Estimate]:
    """Return how far labelers agree with each other on dev, for each dimension with two labelers or more."""
    found = human_agreement(workspace, of.golden)
    return {key: agreement.ceiling for key, agreement in found.items() if agreement is not None}


def _finished(workspace: Workspace, name: str) -> list[Run]:
    return [run for run in workspace.store.runs(policy=name) if run.status == "finished"]
