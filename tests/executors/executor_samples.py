"""Job folders for tests of executors: quick ones, and ones that hold their worker for as long as a test needs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workspace_samples import label, pair, version

from workbench.documents import policy_text
from workbench.golden import label_table
from workbench.jobfolder import JobFolder
from workbench.pair_file import write_pairs
from workbench.run import BaselineSpec, JobSpec

TEAS = [pair(f"wish {i}", f"tea {i}") for i in range(6)]
POLICY = policy_text(version(1))


def until(condition: Callable[[], object], seconds: float = 90) -> None:
    """Wait until it is so; fail where it never comes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def job(path: Path, *, policy: str = POLICY, **more: Any) -> tuple[JobSpec, JobFolder]:
    """Make a job that finishes in a second: the lexical baseline, which has too few labels to grade anything."""
    payload = {
        "judge": BaselineSpec(use_embeddings=False).model_dump(mode="json"),
        "cache": str(path.parent / "cache"),
    }
    values = {"id": path.name, "kind": "judge_run", "title": f"Job {path.name}", "payload": payload}
    spec = JobSpec.model_validate(values | {"created_at": datetime.now(UTC)} | more)
    folder = JobFolder(path)
    folder.create(spec)
    write_pairs(path / "pairs.jsonl", TEAS, dict.fromkeys([p.id for p in TEAS], "dev"))
    label_table([label(TEAS[0], "taste", 1)]).to_parquet(path / "labels.parquet")
    if policy:
        (path / "policy.yaml").write_text(policy, encoding="utf-8")
    return spec, folder


def held(path: Path, **more: Any) -> tuple[JobSpec, JobFolder]:
    """Make the same job, whose worker waits for its policy: it is at work until it is let go or ended."""
    made = job(path, policy="", **more)
    os.mkfifo(path / "policy.yaml")
    return made


def let_go(folder: JobFolder) -> None:
    """Give a held worker its policy; it may be read once."""
    (folder.path / "policy.yaml").write_text(POLICY, encoding="utf-8")


def works(folder: JobFolder) -> bool:
    """Whether the worker has begun (what waits for a slot has written progress, too)."""
    said = folder.progress()
    return said is not None and said.note == "starting" and f"({folder.path.name})" in folder.log_tail()
