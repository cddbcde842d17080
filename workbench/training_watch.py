"""Verbs of watching a training: its curves, its best and worst pairs, the recipe that it was started with.

All of them only read the job's folder, so that a training does not notice how many people look at it. A metrics file is
read once by each process, whoever asks: what was read stays known, and only what was appended since is read again.
"""

from __future__ import annotations

import bisect
import itertools
import json
import math
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import BadInput
from workbench.jobs import state
from workbench.recipe import RecipeFile, StudentRecipe, TeacherRecipe
from workbench.run import JobState
from workbench.store import StoredJob
from workbench.training_runs import changed
from workbench.workspace import Workspace
from workbench.yamltext import validate

KNOWN = 32
"""Metrics files that are kept in mind, the least recently asked for is forgotten."""
BLOCK = 5_000
"""Rows that are read at a time."""
_COUNTS = frozenset({"step", "epoch"})


@dataclass(frozen=True)
class Series:
    """A figure over the steps of a training, thinned to the extremes of spans of equal width."""

    steps: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Watched:
    """What there is to see of a training job now.

    Attributes:
        curves: figure -> its course over the steps.
        evals: rows of the evaluations, each with the ``step`` after which it was made.
        last: the newest row of a step; {} before the first.
        steps: how many steps are done; the curves are thinned from as many rows.
        stopping_after_epoch: whether it was asked to end with its epoch.
    """

    job: StoredJob
    state: JobState
    curves: Mapping[str, Series]
    evals: tuple[Mapping[str, Any], ...]
    last: Mapping[str, Any]
    steps: int
    stopping_after_epoch: bool


@dataclass(frozen=True)
class Errors:
    """Pairs of the newest evaluation by their loss, as :mod:`workbench.training.worst` writes them."""

    epoch: int | None
    rows: tuple[Mapping[str, Any], ...]  # the worst first, the best last


def watch(workspace: Workspace, job_id: str, *, points: int = 500) -> Watched:
    """Return what there is to see of a training job; nothing is written, and the job is not asked anything.

    Args:
        workspace: that has the job.
        job_id: of a training.
        points: most points of a curve. The lowest and the highest value of each span of steps are kept, so that a spike
            stays in sight however long the training.

    Raises:
        NotFound: there is no such job.
        BadInput: a row of the metrics is damaged, with its line.
    """
    job = workspace.store.job(job_id)
    folder = Path(job.folder)
    reading = _reading(folder / "metrics.jsonl", points)
    curves, evals, last = reading.now()
    asked = (folder / "stop_after_epoch").exists()
    return Watched(job, state(workspace, job), curves, evals, last, int(last.get("step", 0)), asked)


def errors(job: StoredJob) -> Errors:
    """Return the best and the worst validation pairs of the newest evaluation; none before the first.

    Raises:
        BadInput: if the file is damaged.
    """
    path = Path(job.folder) / "artifacts" / "worst.jsonl"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Errors(None, ())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read ({error}).", "The next evaluation writes it again.") from error
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line:
            row = _row(line.encode(), f"{path}, line {number}")
            if not {"loss", "query", "document"} <= row.keys():
                raise BadInput(f"{path}, line {number} is no evaluated pair.", "Remove the line.")
            rows.append(row)
    return Errors(rows[0].get("epoch") if rows else None, tuple(rows))


def recipe_of(job: StoredJob) -> StudentRecipe | TeacherRecipe:
    """Return the recipe that a training was started with, its changes included.

    Raises:
        BadInput: for a job that is no training, or a recipe that this version does not understand.
    """
    given = job.spec.payload.get("training")
    if (
        job.spec.kind != "training"
        or not isinstance(given, dict)
        or not isinstance(given.get("recipe"), dict)
    ):
        raise BadInput(f"{job.spec.title} is no training.", "Choose a training.")
    where = f"the recipe of {job.spec.id}"
    return validate(RecipeFile, {"root": {"kind": "student"} | given["recipe"]}, where).root


def differs_from_file(
    workspace: Workspace, recipe: StudentRecipe | TeacherRecipe
) -> dict[str, tuple[Any, Any]] | None:
    """Return field -> (what the recipe's file says now, what ``recipe`` says); None where there is no such file.

    Raises:
        BadInput: if the file is damaged.
    """
    if recipe.recipe not in workspace.recipes():
        return None
    return changed(workspace.recipe(recipe.recipe), recipe)


class _Reading:
    """What was read of one metrics file, and up to where; several threads may ask."""

    def __init__(self, path: Path, points: int) -> None:
        self._path, self._points = path, points
        self._lock = threading.Lock()
        self._forget(None)

    def now(self) -> tuple[dict[str, Series], tuple[Mapping[str, Any], ...], Mapping[str, Any]]:
        """Read what was appended, and return (curves, evaluations, newest row of a step)."""
        with self._lock:
            try:
                with self._path.open("rb") as file:
                    stat = os.fstat(file.fileno())
                    if stat.st_ino != self._inode or stat.st_size < self._offset:
                        self._forget(stat.st_ino)  # another file under the same name
                    file.seek(self._offset)
                    lines = _whole_lines(file)
                    while block := list(itertools.islice(lines, BLOCK)):
                        self._take(block)
            except FileNotFoundError:
                self._forget(None)
            return dict(self._curves), tuple(self._evals), self._last

    def _forget(self, inode: int | None) -> None:
        self._inode, self._offset, self._lines = inode, 0, 0
        self._curves: dict[str, Series] = {}
        self._evals: list[Mapping[str, Any]] = []
        self._last: Mapping[str, Any] = {}

    def _take(self, block: list[bytes]) -> None:
        rows = [_row(line, f"{self._path}, line {self._lines + i}") for i, line in enumerate(block, start=1)]
        run: list[dict[str, Any]] = []
        for row in rows:
            if isinstance(step := row.get("step"), int):
                if run and step <= run[-1]["step"]:
                    self._add(run)
                    run = []
                run.append(row)
                self._last = row
            elif isinstance(epoch := row.get("epoch"), int):
                kept = [known for known in self._evals if known["epoch"] < epoch]
                self._evals = [*kept, {**row, "step": int(self._last.get("step", 0))}]
        self._add(run)
        self._offset += sum(map(len, block))
        self._lines += len(block)

    def _add(self, run: list[dict[str, Any]]) -> None:
        """Add rows of rising steps. Steps that were there are done again, after a resume: the newer ones count."""
        if not run:
            return
        first = run[0]["step"]
        for name, old in self._curves.items():
            if old.steps and old.steps[-1] >= first:
                self._curves[name] = _before(old, first)
        for name in {name: None for row in run for name in row if name not in _COUNTS}:
            known = [(row["step"], row[name]) for row in run if _finite(row.get(name))]
            if known:
                old = self._curves.get(name, Series((), ()))
                steps, values = zip(*known, strict=True)
                self._curves[name] = thinned(old.steps + steps, old.values + values, self._points)


def thinned(steps: Sequence[int], values: Sequence[float], points: int) -> Series:
    """Return at most ``points`` points of a curve: the lowest and the highest of each span of steps, and the newest.

    A span is as many steps wide as the smallest power of two with which there are few enough; spans are counted from
    step 0, so those of a curve that grows nest, and what was highest stays highest however often it is thinned.

    Args:
        steps: rising.
        values: one a step.
        points: at least 3.
    """
    at, height = np.asarray(steps, dtype=np.int64), np.asarray(values, dtype=float)
    width, most = 1, (points - 1) // 2
    while len(np.unique(at // width)) > most and len(at) > points:
        width *= 2
    span = at // width
    order = np.lexsort((height, span))  # within a span by height
    ends = np.flatnonzero(np.diff(span[order], append=span[-1] + 1))
    starts = np.concatenate(([0], ends[:-1] + 1))
    kept = np.arange(len(at)) if len(at) <= points else np.unique([*order[starts], *order[ends], len(at) - 1])
    return Series(tuple(at[kept].tolist()), tuple(height[kept].tolist()))


def _before(series: Series, step: int) -> Series:
    count = bisect.bisect_left(series.steps, step)
    return Series(series.steps[:count], series.values[:count])


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


@lru_cache(maxsize=KNOWN)
def _reading(path: Path, points: int) -> _Reading:
    return _Reading(path, points)


def _whole_lines(file: Any) -> Iterator[bytes]:
    """Yield lines but a last one that is cut short: it is not written yet."""
    for line in file:
        if not line.endswith(b"\n"):
            return
        yield line


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadInput(f"{where}: not JSON ({error}).", "Remove the line.") from error
    if not isinstance(row, dict):
        raise BadInput(f"{where}: not a row of figures.", "Remove the line.")
    return row
