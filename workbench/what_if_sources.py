"""Whose grades a what-if combines anew, and what they are compared with: always dev pairs, never the holdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from workbench import evaluation
from workbench.confusion import Grades
from workbench.golden import NOT_APPLICABLE, Pair
from workbench.identity import Value
from workbench.policy import OVERALL, Body
from workbench.resampling import numbered
from workbench.run import Run
from workbench.store import Store
from workbench.what_if import GradeTable
from workbench.workspace import Workspace


class Source(Value):
    """Whose grades: those of a finished run, or what people's labels settle on."""

    golden: str
    golden_version: int
    run_id: str = ""  # "" for the people
    label: str

    @property
    def key(self) -> str:
        """What the source is called in a link: the run's id, or the golden set with its version."""
        return self.run_id or f"{self.golden}@{self.golden_version}"


@dataclass(frozen=True, eq=False)
class Graded:
    """The dimension grades of a source on the dev pairs of its golden set, and the overall labels there are."""

    source: Source
    pair_ids: tuple[str, ...]
    queries: npt.NDArray[np.int_]  # number of each pair's query, shape (pairs,)
    table: GradeTable
    labels: Grades | GradeTable | None  # as ``what_if`` takes them
    label_scale: tuple[int, ...]  # the newest published version's overall levels
    derived: bool  # nobody labelled the overall grade
    missing: tuple[str, ...]  # dimensions without grades, taken as not applicable to any pair
    sample: bool  # the golden set was written for the project

    def pair_grades(self, position: int) -> dict[str, int]:
        """Return dimension -> grade of one pair."""
        row = self.table.which[position]
        return {key: int(column[row]) for key, column in self.table.rows.items()}


def sources(workspace: Workspace, policy: str) -> list[Source]:
    """Return the finished runs under a policy, newest first, then the people of each published golden set of it."""
    store = workspace.store
    found = [
        Source(golden=run.golden, golden_version=run.golden_version, run_id=run.id, label=_run_label(run))
        for run in store.runs(policy=policy)
        if run.status == "finished"
    ]
    for name in store.golden_names():
        if _policy_of(store, name) == policy and (kept := store.snapshots(name)):
            label = f"People's labels on {name} v{kept[0].version}"
            found.append(Source(golden=name, golden_version=kept[0].version, label=label))
    return found


def graded(workspace: Workspace, source: Source, body: Body) -> Graded:
    """Return a source's grades on the dimensions of ``body``; the same object while nothing of it changed.

    A dimension that the source was not graded on, or on other levels, counts as not applicable: the rule is then
    tried on the others, and ``missing`` says so.

    Where nobody labelled the overall grade there is no label that could favour one rule. For people's own grades
    ``labels`` is then None. For a run's grades they are people's dimension grades, to be combined by each rule, as
    the Compare page will once the rule is published; labels by the published rule alone would make every other rule
    look worse.

    Raises:
        NotFound: if the run or golden set is gone.
    """
    run = workspace.store.run(source.run_id) if source.run_id else None
    policy = workspace.store.policy(run.policy if run else _policy_of(workspace.store, source.golden))
    return _graded(
        workspace,
        source.model_dump_json(),
        tuple((dimension.key, dimension.scale) for dimension in body.dimensions),
        policy.content_hash,
        workspace.store.labels_mark(source.golden),
    )


@lru_cache(maxsize=4)
def _graded(
    workspace: Workspace,
    source_json: str,
    scales: tuple[tuple[str, tuple[int, ...]], ...],
    newest_policy: str,
    labels_mark: int,
) -> Graded:
    source = Source.model_validate_json(source_json)
    truth = evaluation.truth(workspace, source.golden, version=source.golden_version)
    info = workspace.store.golden(source.golden)
    labelled_under = workspace.store.policy(info.policy)
    given: Mapping[str, Grades] = truth.human
    graded_under = labelled_under
    if source.run_id:
        run = workspace.store.run(source.run_id)
        given = evaluation.grades(workspace, run, truth.pair_ids)
        graded_under = workspace.store.policy(run.policy, run.policy_version)
    here = {d.key for d in graded_under.dimensions if (d.key, d.scale) in scales}
    people = {d.key for d in labelled_under.dimensions if (d.key, d.scale) in scales}
    labels: Grades | GradeTable | None = None
    if not truth.overall_derived:
        labels = truth.human[OVERALL]
    elif source.run_id:
        labels = _table(truth.human, scales, here & people, len(truth.pair_ids))
    every = np.ones(len(truth.pair_ids), dtype=bool)
    return Graded(
        source=source,
        pair_ids=truth.pair_ids,
        queries=numbered(truth.query_ids, every)[0],
        table=_table(given, scales, here, len(truth.pair_ids)),
        labels=labels,
        label_scale=labelled_under.overall.scale,
        derived=truth.overall_derived,
        missing=tuple(key for key, _ in scales if key not in here),
        sample=info.sample,
    )


def pairs(workspace: Workspace, found: Graded, positions: Sequence[int]) -> list[Pair]:
    """Return the texts of some pairs, in the order of ``positions``."""
    ids = [found.pair_ids[position] for position in positions]
    texts = workspace.store.pairs(ids, found.source.golden)
    return [texts[pair_id] for pair_id in ids]


def _table(
    grades: Mapping[str, Grades], scales: Sequence[tuple[str, tuple[int, ...]]], known: set[str], pairs: int
) -> GradeTable:
    nowhere = np.full(pairs, NOT_APPLICABLE)
    return GradeTable.of({key: grades[key] if key in known else nowhere for key, _ in scales})


def _run_label(run: Run) -> str:
    learnt = ", trained on dev" if run.judge.kind == "checkpoint" else ""
    return f"{run.label} on {run.golden} v{run.golden_version}{learnt}"


@lru_cache(maxsize=256)
def _policy_of(store: Store, golden: str) -> str:
    return store.golden(golden).policy  # a golden set keeps its policy; counting its labels takes a while
