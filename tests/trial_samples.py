"""What the tests of trials share: a golden set of teas, a draft that speaks of smoke, a provider that reads the policy."""

from __future__ import annotations

import signal
from pathlib import Path

from workspace_samples import NAME, golden_set, pair

from workbench import authoring, jobs, policy_edit
from workbench.executors import Status, worker_command
from workbench.fake_provider import Behaviour, Grade, Request, graded
from workbench.golden import Pair
from workbench.jobfolder import JobFolder
from workbench.run import JobSpec, LlmSpec
from workbench.store import Draft
from workbench.worker import main
from workbench.workspace import Workspace

EDIT = "Smoke is a taste, and a strong one."
KEPT = 24
"""Pairs of the set: eight queries of three teas; the last two queries (six pairs) are holdout."""


def teas() -> list[Pair]:
    """Return the pairs; the meta key ``shop`` cuts them in two."""
    return [
        pair(f"wish {i // 3}", f"tea {i}", shop="corner" if i % 2 else "market", number=str(i))
        for i in range(KEPT)
    ]


def published_teas(workspace: Workspace) -> list[Pair]:
    """Publish the golden set ``tea`` and return its pairs: taste is i mod 3, strength i mod 2."""
    found = teas()
    golden_set(
        workspace,
        [(p, {"taste": i % 3, "strength": i % 2}) for i, p in enumerate(found)],
        holdout=found[18:],
    )
    return found


def smoky_draft(workspace: Workspace) -> Draft:
    """Return a draft of the sample policy with one clause reworded."""
    draft = authoring.start_draft(workspace, NAME, "Ida", title="Smoke")
    return authoring.save(workspace, draft, policy_edit.set_clause(draft.body, "taste.1", EDIT), "Ida")


def reads_the_policy() -> Behaviour:
    """Return a provider's behaviour: taste 1 and strength 0, and taste 2 where the policy holds ``EDIT``."""

    def grader(request: Request, dimension: str, grades: object) -> Grade:
        if dimension == "taste":
            return 2 if EDIT in request.message("system") else 1
        return 0

    return graded(grader)


def fake(base_url: str, **more: object) -> LlmSpec:
    """Return the language model judge at a fake provider."""
    return LlmSpec.model_validate({"model": "fake-hash-grader", "base_url": base_url, **more})


class Held:
    """An executor that starts nothing and counts what it was given."""

    name = "held"

    def __init__(self) -> None:
        self.started: list[str] = []

    def submit(self, spec: JobSpec, folder: Path) -> str:
        """Note the job."""
        self.started.append(folder.name)
        return "held"

    def status(self, handle: str) -> Status:
        """Say that it runs until it has left a result."""
        return "running"

    def logs(self, handle: str, lines: int = 200) -> str:
        """Know nothing."""
        return ""

    def command(self, folder: Path) -> list[str]:
        """Return the worker's."""
        return worker_command(folder)

    def stop(self, handle: str, *, kill: bool = False) -> None:
        """Do nothing."""


def work(workspace: Workspace, job_id: str) -> JobFolder:
    """Do a held job here, as its worker would, and return its folder."""
    folder = jobs.folder_of(workspace, job_id)
    handler = signal.getsignal(signal.SIGTERM)  # the worker sets its own
    try:
        main([str(folder.path)])
    finally:
        signal.signal(signal.SIGTERM, handler)
    return folder
