"""Verbs of pipelines: plan one, start it, see how far it is, stop it, resume it.

The driver of a run (:mod:`workbench.pipeline_driver`) is a detached process that starts steps as they become ready and
evaluates checkpoints. Whoever looks at a run that has lost its driver starts another one, so a killed driver costs only
the time until somebody looks. Pages and commands start no step themselves: preparing one may take long.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workbench import jobs
from workbench.errors import BadInput, NotFound, WorkbenchError
from workbench.files import read_text
from workbench.pipeline import Pipeline, PlannedStep, Step, StepState, parse_pipeline, plan
from workbench.pipeline_advance import Look, PipelineRun
from workbench.pipeline_records import (
    FOLDER,
    RunRecord,
    StepRecord,
    driven,
    locked,
    read_run,
    run_ids,
    start_driver,
    write_run,
)
from workbench.pipeline_steps import Given, prepare, resolve
from workbench.workspace import Workspace
from workbench.yamltext import YamlText

Changes = Mapping[str, Mapping[str, Any]]
"""Step -> changed fields by dotted name."""


def pipelines(workspace: Workspace) -> dict[str, Path]:
    """Return pipeline name -> file."""
    return {path.stem: path for path in sorted((workspace.root / FOLDER).glob("*.yaml"))}


def pipeline_file(workspace: Workspace, name: str) -> tuple[Pipeline, Path]:
    """Return a pipeline by name or by its file, and that file.

    Raises:
        NotFound: with the nearest names there are.
        BadInput: if it is malformed or is not called as its file is.
    """
    known = pipelines(workspace)
    if name not in known and not name.endswith((".yaml", ".yml")):
        raise NotFound.among("pipeline", name, known)
    path = known.get(name) or Path(name)
    found = parse_pipeline(read_text(path), str(path))
    if found.pipeline != path.stem:
        raise BadInput(
            f"{path} holds a pipeline called '{found.pipeline}'.", f"Name it {found.pipeline}.yaml."
        )
    return found, path


def read_changes(given: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return step -> field -> value of ``step.field=value`` texts, values read as YAML.

    Raises:
        BadInput: for a text that is not so.
    """
    changes: dict[str, dict[str, Any]] = {}
    for item in given:
        place, equals, value = item.partition("=")
        step, dot, field = place.strip().partition(".")
        if not equals or not dot or not field:
            raise BadInput(f"'{item}' changes nothing.", "Write it as step.field=value.")
        read = YamlText(value, place.strip()).data if value.strip() else None
        changes.setdefault(step, {})[field] = read
    return changes


def preview(
    workspace: Workspace,
    name: str,
    *,
    policy_version: int | None = None,
    changes: Changes | None = None,
    force: Collection[str] = (),
) -> tuple[PlannedStep, ...]:
    """Return what a run started now would skip, make first, and not know yet. Nothing is started.

    Raises:
        WorkbenchError: as :func:`start`.
    """
    given = _given(workspace, name, policy_version, changes or {}, force)

    def look(step: Step, made: Mapping[str, str]) -> StepState:
        try:
            prepared = prepare(workspace, given, step, made)
        except WorkbenchError as error:
            return StepState("failed", reason=str(error))
        if prepared.found and step.step not in force:
            return StepState("done", prepared.found, reused=True, key=prepared.key)
        return StepState("ready", key=prepared.key)

    return plan(given.pipeline, look)


def start(
    workspace: Workspace,
    name: str,
    *,
    author: str,
    key: str = "",
    policy_version: int | None = None,
    changes: Changes | None = None,
    force: Collection[str] = (),
) -> str:
    """Start a run of a pipeline and return its id.

    Args:
        workspace: where it runs.
        name: of a pipeline, or its file.
        author: who starts it.
        key: makes the call repeatable: the same key starts one run only (a double click).
        policy_version: None for the newest.
        changes: see :func:`read_changes`.
        force: steps that are made even where their product is there.

    Raises:
        WorkbenchError: it cannot be run as it is; nothing is started then. See
            :func:`workbench.pipeline_steps.resolve`.
    """
    given = _given(workspace, name, policy_version, changes or {}, force)
    run_id = f"pipe-{key}" if key else jobs.new_id("pipe")
    with locked(workspace, run_id):
        if run_id in run_ids(workspace):
            return run_id
        record = RunRecord(
            id=run_id,
            pipeline=given.pipeline,
            policy_version=given.policy.version,
            policy_hash=given.policy.content_hash,
            folder=str(given.folder.resolve()),
            author=author,
            started_at=datetime.now(UTC),
            force=tuple(force),
        )
        write_run(workspace, record)
    workspace.store.record_event(author, "started pipeline", run_id, given.pipeline.pipeline)
    start_driver(workspace, run_id)
    return run_id


def status(workspace: Workspace, run_id: str) -> PipelineRun:
    """Return how far a run is. Nothing is started.

    Raises:
        NotFound: there is no such run.
    """
    record = read_run(workspace, run_id)
    look = Look(workspace, record)
    return PipelineRun(record, plan(record.pipeline, look), driven(workspace, run_id))


def watch(workspace: Workspace, run_id: str) -> PipelineRun:
    """Return how far a run is; where it is to go on and its driver is gone, another one is started.

    Raises:
        NotFound: there is no such run.
    """
    found = status(workspace, run_id)
    if found.status in ("running", "stopping") and not found.driven:
        start_driver(workspace, run_id)
    return found


def runs(workspace: Workspace, *, most: int | None = None) -> list[PipelineRun]:
    """Return runs, newest first.

    Args:
        workspace: whose.
        most: only so many of the newest: how far a run is takes a look at each of its steps; None for all.
    """
    records = [read_run(workspace, run_id) for run_id in run_ids(workspace)]
    newest = sorted(records, key=lambda one: (one.started_at, one.id), reverse=True)
    return [status(workspace, one.id) for one in newest[:most]]


def stop(workspace: Workspace, run_id: str, author: str) -> None:
    """Start no more steps of a run, and ask those at work to end at their next safe point.

    Raises:
        NotFound: there is no such run.
    """
    with locked(workspace, run_id):
        write_run(
            workspace, read_run(workspace, run_id).model_copy(update={"stopped_by": author or "somebody"})
        )
    for each in status(workspace, run_id).steps:
        job = read_run(workspace, run_id).steps.get(each.step.step, StepRecord()).job
        if each.status == "running" and job:
            jobs.stop(workspace, job, author)
    workspace.store.record_event(author, "stopped pipeline", run_id, "")


def resume(workspace: Workspace, run_id: str, author: str) -> None:
    """Let a run go on: failed jobs are resumed where they ended, and what could not be started is tried again.

    Raises:
        NotFound: there is no such run.
        WorkbenchError: a job cannot be started again.
    """
    with locked(workspace, run_id):
        record = read_run(workspace, run_id)
        look, kept = Look(workspace, record), dict(record.steps)
        for each in plan(record.pipeline, look):
            if each.status == "failed":
                job = kept[each.step.step].job
                if job and jobs.exists(workspace, job):
                    jobs.resume(workspace, job, author)
                    kept[each.step.step] = kept[each.step.step].model_copy(
                        update={"error": "", "ended_at": None}
                    )
                else:
                    del kept[each.step.step]
        write_run(workspace, record.model_copy(update={"steps": kept, "stopped_by": "", "broken": ""}))
    workspace.store.record_event(author, "resumed pipeline", run_id, "")
    start_driver(workspace, run_id)


def wait(workspace: Workspace, run_id: str, *, every_s: float = 0.5) -> Iterator[str]:
    """Yield a line whenever a step moved on, until the run has ended."""
    said: dict[str, str] = {}
    while True:
        found = watch(workspace, run_id)
        for each in found.steps:
            line = describe(each)
            if said.get(each.step.step) != line:
                said[each.step.step] = line
                yield line
        if found.status in ("finished", "failed", "stopped"):
            return
        time.sleep(every_s)


def describe(step: PlannedStep) -> str:
    """Return what is to be said of a step in one line."""
    if step.status == "done":
        return f"{step.step.step}: {'there already' if step.reused else 'done'}, {step.what}"
    return f"{step.step.step}: {step.status}" + (f", {step.reason}" if step.reason else "")


def _given(
    workspace: Workspace, name: str, version: int | None, changes: Changes, force: Collection[str]
) -> Given:
    found, path = pipeline_file(workspace, name)
    for step in force:
        found.named(step)
    return resolve(workspace, found, path.parent, version, changes)
