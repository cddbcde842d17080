"""What the tests of jobs on pages share: a published golden set, an executor that starts nothing, ended jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from page_samples import label

from workbench.executors.local import LocalExecutor
from workbench.golden import Pair
from workbench.jobfolder import JobFolder, Progress, Result
from workbench.labelling import publish_golden
from workbench.run import Judgement, Usage, Verdict
from workbench.workspace import Workspace

QUERIES = 5
DEV_QUERIES = 3
ONE_CALL = Usage(calls=1)


def publish(space: Workspace) -> list[Pair]:
    """Publish ``bakers`` v1 and return its pairs: 5 queries of 2 documents, the first 3 queries (6 pairs) dev."""
    pairs = [
        Pair(
            query={"headline": f"Baker {query}", "skills": "sourdough"},
            document={"title": f"{title} {query}", "requirements": "sourdough by hand"},
        )
        for query in range(QUERIES)
        for title in ("Baker", "Welder")
    ]
    space.store.create_golden("bakers", "fit")
    space.store.add_pairs(
        "bakers",
        pairs,
        {pair.id: "dev" if i < 2 * DEV_QUERIES else "holdout" for i, pair in enumerate(pairs)},
    )
    for i, pair in enumerate(pairs):
        label(space, pair, "anna", skills=2 - 2 * (i % 2), wishes=1 - i % 2)
    publish_golden(space, "bakers", message="for tests", author="anna")
    return pairs


class Held:
    """An executor whose jobs run until they are let go; nothing is started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the local executor."""
        self.started: list[str] = []  # job ids, one a start
        self.killed: list[str] = []
        self.alive = True
        monkeypatch.setattr(LocalExecutor, "submit", lambda _, spec, folder: self._submit(folder))
        monkeypatch.setattr(LocalExecutor, "status", lambda _, handle: "running" if self.alive else "ended")
        monkeypatch.setattr(LocalExecutor, "stop", lambda _, handle, kill=False: self._stop(handle, kill))

    def _submit(self, folder: Path) -> str:
        self.started.append(folder.name)
        return folder.name

    def _stop(self, handle: str, kill: bool) -> None:
        if kill:
            self.killed.append(handle)


def folder_of(space: Workspace, job_id: str) -> JobFolder:
    """Return the folder of a job."""
    return JobFolder(space.jobs_folder / job_id)


def progress(folder: JobFolder, done: int, total: int, note: str = "") -> None:
    """Write how far a job is."""
    now = datetime.now(UTC)
    state = Progress(done=done, total=total, note=note, started_at=now, updated_at=now)
    (folder.path / "progress.json").write_text(state.model_dump_json())


def finish(folder: JobFolder, status: str = "finished", error: str = "", hint: str = "", **data: Any) -> None:
    """End a job as its worker would."""
    values = {"status": status, "error": error, "hint": hint, "finished_at": datetime.now(UTC), "data": data}
    folder.finish(Result.model_validate(values))


def verdict(
    pair: Pair, skills: int, wishes: int, *, error: str = "", raw: str = "", usage: Usage = ONE_CALL
) -> Verdict:
    """Return one call's answer about a pair; with ``error``, both dimensions failed."""
    given = {"skills": skills, "wishes": wishes}
    judgements = tuple(
        Judgement(dimension=key, grade=-1 if error else grade, error=error) for key, grade in given.items()
    )
    return Verdict(pair_id=pair.id, judgements=judgements, usage=usage, raw=raw)


def answer(folder: JobFolder, verdicts: Sequence[Verdict]) -> None:
    """Append verdicts to a job's folder."""
    with (folder.path / "judgements.jsonl").open("a") as file:
        file.writelines(verdict.model_dump_json() + "\n" for verdict in verdicts)
