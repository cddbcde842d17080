"""The sample that a new workspace starts with: baseline runs of every job-match version, made by real jobs."""

from __future__ import annotations

from workbench.judge_runs import start_run
from workbench.run import BaselineSpec, Run
from workbench.workspace import Workspace


def start_sample_runs(workspace: Workspace, policy: str = "job-match") -> list[Run]:
    """Start the baseline under each version of the sample policy, unless the store has runs or no sample."""
    store = workspace.store
    if store.runs() or policy not in store.policy_names() or policy not in store.golden_names():
        return []
    if not store.golden(policy).sample:
        return []
    return [
        start_run(
            workspace,
            BaselineSpec(),
            policy=policy,
            version=version.version,
            golden=policy,
            author="sample",
            key=f"sample-{policy}-v{version.version}",
            sample=True,
        )
        for version in store.policy_versions(policy)
    ]
