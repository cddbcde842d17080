"""Where a judge's run and people differ on dev pairs: how often, and the widest disagreements with all that is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from workbench import evaluation
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, standing
from workbench.run import Run
from workbench.suggestion import Decision, Disagreement
from workbench.workspace import Workspace

WORST = 100
"""Disagreements of a dimension, the widest ones, that are read with their texts."""


@dataclass(frozen=True, eq=False)
class Disagreements:
    """A run's disagreements with the settled labels, by dimension."""

    counts: Mapping[str, int]
    worst: Mapping[str, tuple[Disagreement, ...]]  # at most WORST a dimension, the widest first


def disagreements(workspace: Workspace, run: Run) -> Disagreements:
    """Return where a run and what people settled on (by today's labels) differ, on dev pairs only.

    Each has what was decided about its pair and dimension last, unless that was about another label.
    """
    # What people settled on depends on today's labels and on the newest version's scales.
    mark = workspace.store.labels_mark(run.golden)
    labelled = workspace.store.policy(workspace.store.golden(run.golden).policy)
    found = _found(workspace, run.model_dump_json(), mark, labelled.content_hash)
    return replace(found, worst=_decided(workspace, run.golden, found.worst))


def _decided(
    workspace: Workspace, golden: str, worst: Mapping[str, tuple[Disagreement, ...]]
) -> dict[str, tuple[Disagreement, ...]]:
    decided = {(one.pair_id, one.dimension): one for one in workspace.store.decisions(golden)}

    def with_decision(one: Disagreement) -> Disagreement:
        newest = decided.get((one.pair.id, one.dimension))
        # A label that was found wrong and corrected is not wrong any more because of that.
        if newest is None or newest.outcome == "open" or newest.details.get("label", one.label) != one.label:
            return one
        decision = Decision(finding=newest.outcome, note=newest.note)
        return one.model_copy(update={"decision": decision})

    return {key: tuple(map(with_decision, found)) for key, found in worst.items()} if decided else dict(worst)


@lru_cache(maxsize=8)
def _found(workspace: Workspace, run_json: str, mark: int, policy_hash: str) -> Disagreements:
    run = Run.model_validate_json(run_json)
    policy = workspace.store.policy(run.policy, run.policy_version)
    truth = evaluation.truth(workspace, run.golden, version=run.golden_version, split="dev")
    mine = evaluation.grades(workspace, run, truth.pair_ids)
    counts: dict[str, int] = {}
    rows: dict[str, list[tuple[str, int, int]]] = {}
    for key in policy.keys:
        if key not in truth.human:
            continue
        human, judge, scale = truth.human[key], mine[key], policy.scale(key)
        answered = (judge != NOT_GRADED) & (np.isin(human, scale) | (human == NOT_APPLICABLE))
        where = np.flatnonzero(answered & (human != judge))
        apart = (human[where] == NOT_APPLICABLE) | (judge[where] == NOT_APPLICABLE)
        gap = np.where(apart, scale[-1] - scale[0], np.abs(human[where] - judge[where]))
        widest = where[np.argsort(-gap, kind="stable")][:WORST]
        counts[key] = len(where)
        rows[key] = [(truth.pair_ids[i], int(human[i]), int(judge[i])) for i in widest]
    return Disagreements(counts, _with_texts(workspace, run, rows))


def _with_texts(
    workspace: Workspace, run: Run, rows: Mapping[str, list[tuple[str, int, int]]]
) -> dict[str, tuple[Disagreement, ...]]:
    ids = list({pair_id for found in rows.values() for pair_id, _, _ in found})
    pairs = workspace.store.pairs(ids, run.golden)
    judged = workspace.store.judgements(run.id, ids)
    said: dict[tuple[str, str], list[Any]] = {}
    for label in standing(workspace.store.labels(run.golden, pair_ids=ids)).itertuples():
        said.setdefault((str(label.pair_id), str(label.dimension)), []).append(label)

    def disagreement(key: str, pair_id: str, human: int, judge: int) -> Disagreement:
        labels = said.get((pair_id, key), [])
        judgement = judged[pair_id][key]
        return Disagreement(
            pair=pairs[pair_id],
            split="dev",
            dimension=key,
            label=human,
            labels=tuple(int(label.grade) for label in labels),
            notes=tuple(dict.fromkeys(label.note.strip() for label in labels if label.note.strip())),
            judge=judge,
            rationale=judgement.rationale,
            cites=judgement.cites,
        )

    return {key: tuple(disagreement(key, *row) for row in found) for key, found in rows.items()}
