"""Why something cannot be removed. Values in, one sentence out; :mod:`workbench.clean_up` looks at the disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from workbench.identity import canonical_json
from workbench.lineage_graph import Graph, descends
from workbench.run import JobSpec

Kind = Literal["runs", "unfinished", "training states", "data set jobs", "data sets", "caches"]
"""What a person may let go. ``unfinished``: what jobs that failed or were stopped kept to go on from."""
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_KINDS: tuple[Kind, ...] = ("runs", "data set jobs", "caches")
"""What can go without giving anything up but files that nobody reads."""
AnyKind = Kind | Literal["weights", "reports", "left behind"]

MADE_AGAIN = ("embeddings", "teachers", "duplicates")
"""Beginnings of caches that are computed again when they are missing, with nothing to pay."""
_DATASET = re.compile(r"\bdataset:\s*['\"]?([^\s,'\"{}#]+)")
"""The data set that a recipe's text names, in either style of YAML."""


@dataclass(frozen=True)
class Thing:
    """Something on disk. ``made`` is the data set that a job's folder holds."""

    kind: AnyKind
    key: str
    title: str
    at: datetime  # when it ended or was made
    paths: tuple[Path, ...]
    made: str = ""


@dataclass(frozen=True)
class JobFact:
    """A job as it is now."""

    spec: JobSpec
    status: str
    collected: bool
    ended_at: datetime
    folder: str

    @property
    def open(self) -> bool:
        """Whether it waits or is at work."""
        return self.status in ("queued", "running")

    @property
    def resumable(self) -> bool:
        """Whether it ended before its work was done."""
        return self.status in ("failed", "cancelled", "capped", "lost")

    @cached_property
    def says(self) -> str:
        """All that it was told, as text, in which the names of what it needs are found."""
        return canonical_json(self.spec.payload)


@dataclass(frozen=True)
class Facts:
    """What the rules need to know.

    Attributes:
        checkpoints: job id -> the checkpoint in the store that lies in its folder.
        datasets: ids of the data sets that lie in their place.
        recipes: name -> text of the recipes.
        before: what ended or was made later stays.
        kinds: what may go.
        complete: whether all judgements of a run are in the store.
        pipelines: id of a run of a pipeline that has not ended -> what its steps made.
    """

    graph: Graph
    jobs: tuple[JobFact, ...]
    checkpoints: Mapping[str, str]
    datasets: frozenset[str]
    recipes: Mapping[str, str]
    before: datetime
    kinds: frozenset[Kind]
    complete: Callable[[str], bool]
    pipelines: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @cached_property
    def by_id(self) -> Mapping[str, JobFact]:
        """Job id -> job."""
        return {job.spec.id: job for job in self.jobs}


def why_kept(thing: Thing, facts: Facts) -> str:
    """Return why a thing cannot go, in a few words that follow "because"; "" where it can."""
    if thing.kind == "left behind":
        return ""
    for reason in _reasons(thing, facts):
        if reason:
            return reason
    if thing.kind not in facts.kinds:
        return "it can still be resumed" if thing.kind == "unfinished" else f"{thing.kind} were not chosen"
    return "it is not old enough" if thing.at > facts.before else ""


def _reasons(thing: Thing, facts: Facts) -> Iterator[str]:
    job = facts.by_id.get(thing.key)
    if thing.kind == "caches":
        yield _why_cache(thing, facts)
        return
    if thing.kind == "data sets":
        yield _below(facts, f"data set:{thing.key}")
        yield _needed(facts, "", thing.key)
        yield next(
            (f"the pipeline {run} needs it" for run, made in facts.pipelines.items() if thing.key in made), ""
        )
        name = thing.key.rpartition("-")[0]
        yield next(
            (
                f"the recipe {recipe} names it"
                for recipe, text in facts.recipes.items()
                if {thing.key, name} & set(_DATASET.findall(text))
            ),
            "",
        )
        return
    if job is None:
        yield "it is not known which job it belongs to"
        return
    if job.open:
        yield "it is running" if job.status == "running" else "it waits for its turn"
    if not job.collected:
        yield "what it made is not in the store yet"
    run_id = str(job.spec.payload.get("run_id", ""))
    if thing.kind == "weights":
        checkpoint = facts.checkpoints.get(thing.key, "")
        yield _below(facts, f"checkpoint:{checkpoint}") or "the store points to its weights"
    elif thing.kind == "reports":
        yield "its report is kept nowhere else"
    elif thing.kind == "training states":
        if job.resumable and "unfinished" not in facts.kinds:
            yield "it can still be resumed"
    elif thing.kind == "data set jobs":
        if thing.made not in facts.datasets and thing.made:
            yield "its data set is not in its place yet"
    elif run_id:
        yield _below(facts, f"run:{run_id}")
        yield _below(facts, f"evaluation:{run_id}")
        if thing.kind == "runs" and not facts.complete(run_id):
            yield "not all of its judgements are in the store"
    yield _needed(facts, thing.key, *filter(None, (thing.key, run_id)))


def _why_cache(thing: Thing, facts: Facts) -> str:
    if not thing.key.startswith(MADE_AGAIN):
        return "answers in it were paid for" if thing.key == "verdicts" else "it may be the only copy"
    return next((f"{job.spec.title} is running and may use it" for job in facts.jobs if job.open), "")


def _below(facts: Facts, node: str) -> str:
    return descends(facts.graph, node) if node in facts.graph.nodes else ""


def _needed(facts: Facts, own: str, *names: str) -> str:
    """Return which other job that runs, waits or can be resumed was told one of these names."""
    for job in facts.jobs:
        if job.spec.id != own and (job.open or job.resumable) and any(name in job.says for name in names):
            return f"{job.spec.title} needs it" + ("" if job.open else " and can still be resumed")
    return ""
