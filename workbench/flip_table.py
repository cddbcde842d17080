"""Verbs of flips: all flips of a comparison with what made them, searched and filtered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from workbench.agreement import OUTCOMES
from workbench.comparing import RunComparison
from workbench.evaluation import human_grades
from workbench.flips import Flip, FlipOutcome, causes, overall_causes
from workbench.policy import OVERALL
from workbench.workspace import Workspace

_OUTCOMES: dict[int, FlipOutcome] = {
    OUTCOMES.index("broken"): "broken",
    OUTCOMES.index("fixed"): "fixed",
    OUTCOMES.index("changed"): "changed",
}

Ablated = Mapping[tuple[str, str], Mapping[str, bool]]
"""(pair id, dimension) -> name of a change -> whether the grade flipped with that change alone."""


def all_flips(workspace: Workspace, found: RunComparison, ablated: Ablated | None = None) -> tuple[Flip, ...]:
    """Return every flip of a comparison, dimension by dimension as the policy has them, broken ones first.

    Two runs under the same policy have no changes: all their flips are noise (or another judge's).
    """
    cites = _cites(workspace, found)
    flips: list[Flip] = []
    flipped: dict[str, list[str]] = {}
    for key in (*(k for k in found.comparisons if k != OVERALL), OVERALL):
        if key not in found.comparisons:
            continue
        outcomes = found.comparisons[key].outcomes
        human = human_grades(found.truth, key, found.policy_b)
        positions = np.flatnonzero(np.isin(outcomes, list(_OUTCOMES)))
        mine = []
        for i in positions:
            pair_id = found.truth.pair_ids[i]
            by_dimensions: tuple[str, ...] = ()
            if key == OVERALL:
                tied, by_dimensions = overall_causes(found.changes, flipped.get(pair_id, ()))
            else:
                flipped.setdefault(pair_id, []).append(key)
                tried = (ablated or {}).get((pair_id, key))
                tied = causes(found.changes, key, cites.get((pair_id, key), frozenset()), tried)
            mine.append(
                Flip(
                    pair_id,
                    found.truth.query_ids[i],
                    key,
                    _OUTCOMES[int(outcomes[i])],
                    int(human[i]),
                    int(found.grades_a[key][i]),
                    int(found.grades_b[key][i]),
                    tied,
                    by_dimensions,
                )
            )
        order = {"broken": 0, "fixed": 1, "changed": 2}
        flips += sorted(mine, key=lambda flip: (order[flip.outcome], -abs(flip.b - flip.a)))
    return tuple(flips)


def _cites(workspace: Workspace, found: RunComparison) -> dict[tuple[str, str], frozenset[str]]:
    """Return what either judgement cites, by (pair id, dimension), for the pairs that flipped somewhere."""
    where = np.zeros(len(found.truth.pair_ids), dtype=bool)
    for comparison in found.comparisons.values():
        where |= np.isin(comparison.outcomes, list(_OUTCOMES))
    pair_ids = tuple(found.truth.pair_ids[i] for i in np.flatnonzero(where))
    cited: dict[tuple[str, str], set[str]] = {}
    for run in (found.a, found.b):
        finished = run.finished_at.isoformat() if run.finished_at else ""
        for place, ids in _cited_by(workspace, run.id, finished, pair_ids).items():
            cited.setdefault(place, set()).update(ids)
    return {place: frozenset(ids) for place, ids in cited.items()}


@lru_cache(maxsize=16)
def _cited_by(
    workspace: Workspace, run_id: str, finished: str, pair_ids: tuple[str, ...]
) -> dict[tuple[str, str], tuple[str, ...]]:
    return {
        (pair_id, key): judgement.cites
        for pair_id, judgements in workspace.store.judgements(run_id, list(pair_ids)).items()
        for key, judgement in judgements.items()
        if judgement.cites
    }


def matching(workspace: Workspace, found: RunComparison, flips: Sequence[Flip], text: str) -> frozenset[str]:
    """Return the ids of the pairs whose texts, or a rationale of A or B about them, hold every word of ``text``.

    Words are looked for anywhere and in any case; nothing written finds everything.
    """
    words = text.casefold().split()
    pair_ids = list(dict.fromkeys(flip.pair_id for flip in flips))
    if not words:
        return frozenset(pair_ids)
    pairs = workspace.store.pairs(pair_ids, found.truth.golden)
    said = [workspace.store.judgements(run.id, pair_ids) for run in (found.a, found.b)]
    hits = set()
    for pair_id in pair_ids:
        pair = pairs[pair_id]
        parts = [*pair.query.values(), *pair.document.values()]
        parts += [j.rationale for of_run in said for j in of_run.get(pair_id, {}).values()]
        everything = "\n".join(parts).casefold()
        if all(word in everything for word in words):
            hits.add(pair_id)
    return frozenset(hits)
