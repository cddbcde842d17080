"""Verbs of labelling queues: make one, take its next pair, submit, and measure a run on what a queue drew.

Blind: judges' answers are read when a queue is made and when its figures are taken, never on the way to a labeler,
who is told neither a stratum nor a score, as both would say what a judge thinks of the pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from workbench import evaluation, labelling, queue_draw
from workbench.agreement import Agreement, agreement
from workbench.errors import BadInput, Conflict, NotFound, Refused
from workbench.evaluation import Grades, SplitChoice
from workbench.golden import NOT_GRADED, Label
from workbench.jobs import new_id
from workbench.labelling import Task
from workbench.policy import OVERALL, Policy
from workbench.queue_draw import QueueParams as QueueParams
from workbench.queue_sampling import Floats, QueueKind
from workbench.run import Run
from workbench.store.queues import Queue as Queue
from workbench.weighted_agreement import WeightedAgreement, weighted_agreement
from workbench.workspace import Workspace

HOLD_MINUTES = 30.0
"""How long a pair is kept for the labeler who opened it."""


@dataclass(frozen=True)
class QueueProgress:
    """How far a queue is, in places (pairs times labelers a pair)."""

    done: int
    total: int
    by_labeler: Mapping[str, int]


def create_queue(
    workspace: Workspace,
    golden: str,
    kind: QueueKind,
    *,
    name: str,
    size: int,
    labelers_per_pair: int = 1,
    params: QueueParams | None = None,
    author: str,
) -> Queue:
    """Draw pairs of a golden set and open a queue of them; a set with fewer pairs gives all of them.

    ``random`` and ``overlap`` draw alike; ``stratified`` by the level that the first of ``params.runs`` gave on
    ``params.dimension`` (default overall) and by ``params.slice``; ``boundary`` where the first run is split between
    two levels; ``disagreement`` where two or more runs differ; ``recheck`` from one labeler's own answers.

    Raises:
        BadInput: for a queue that cannot be drawn, with the reason.
        NotFound: for a set, run or dimension that does not exist.
        Refused: for a run of another set, or a name that an open queue has.
    """
    params = params or QueueParams()
    policy = workspace.store.policy(workspace.store.policy_of(golden))
    if not name.strip():
        raise BadInput("A queue needs a name.", "Say in a few words what it is for.")
    if not 1 <= labelers_per_pair <= 20:
        raise BadInput("A pair is labelled by 1 to 20 people.", "Choose a number from 1 to 20.")
    if kind == "overlap" and labelers_per_pair < 2:
        raise BadInput("An overlap queue needs two or more people a pair.", "Choose 2 or more.")
    if kind == "recheck":
        if not params.labeler.strip():
            raise BadInput("A recheck asks one labeler again.", "Name the labeler.")
        if labelers_per_pair != 1:
            raise BadInput("A recheck is done by one person.", "Choose 1 labeler a pair.")
    if params.dimension not in ("", OVERALL, *policy.keys):
        raise NotFound.among("dimension", params.dimension, [*policy.keys, OVERALL])
    members = queue_draw.population(workspace, golden, policy, kind, params)
    queue_id = new_id("queue")
    seed = int(queue_id.rpartition("-")[2], 16)
    drawn = queue_draw.draw(workspace, golden, policy, kind, members, size, params, seed)
    ids = members["pair_id"].to_numpy()[drawn.index]
    return workspace.store.create_queue(
        queue_id,
        golden,
        name.strip(),
        kind,
        labelers_per_pair=labelers_per_pair,
        params=params.model_dump(mode="json") | {"seed": seed, "population": len(members)},
        author=author,
        items=list(zip(ids.tolist(), drawn.stratum, drawn.weight.tolist(), strict=True)),
    )


def open_queues(workspace: Workspace, golden: str) -> list[Queue]:
    """Return the queues of a golden set that give out pairs, oldest first."""
    return workspace.store.queues(golden, open_only=True)


def close_queue(workspace: Workspace, queue_id: str, *, author: str) -> bool:
    """Give out no more pairs of a queue; return whether it was open. What was labelled is kept."""
    return workspace.store.close_queue(queue_id, author)


def next_in_queue(
    workspace: Workspace, queue_id: str, labeler: str, *, skipped: Sequence[str] = ()
) -> Task | None:
    """Return the next pair of a queue for a labeler and keep a place at it for them; None when none is left.

    The task says nothing of judges, of other people, or of why the pair was drawn. In a recheck it is also silent
    about the labeler's own earlier answers, and only that labeler gets pairs.

    Raises:
        NotFound: if there is no such queue.
    """
    queue = workspace.store.queue(queue_id)
    if not _open_to(queue, labeler):
        return None
    pair_id = workspace.store.take_place(queue_id, labeler, minutes=HOLD_MINUTES, skipped=skipped)
    if pair_id is None:
        return None
    task = labelling.open_task(workspace, queue.golden, labeler, pair_id)
    mine = workspace.store.done_by_labeler(queue_id).get(labeler, 0)
    # At most so many are left for this labeler: others may yet take some of the places.
    left = min(queue.size - mine, queue.total - queue.done)
    task = replace(task, done=mine, total=mine + left)
    return replace(task, answers={}, note="") if queue.kind == "recheck" else task


def _open_to(queue: Queue, labeler: str) -> bool:
    return queue.kind != "recheck" or labeler == str(queue.params["labeler"]).strip()


def submit_in_queue(
    workspace: Workspace,
    queue_id: str,
    pair_id: str,
    answers: Mapping[str, int],
    *,
    labeler: str,
    note: str = "",
) -> int:
    """Append a labeler's answers about a pair of a queue, finish their place, and return how many labels were added.

    A repeat adds none; other answers about a finished pair correct it. A recheck keeps answers that are the same as
    before, too.

    Raises:
        BadInput: as in :func:`labelling.submit_labels`; the place is kept.
        Conflict: if the place expired and others have taken the pair's places; nothing is kept.
        NotFound: for a pair that the queue does not have.
        Refused: for a recheck of somebody else.
    """
    store, queue = workspace.store, workspace.store.queue(queue_id)
    if not _open_to(queue, labeler):
        raise Refused(f"This recheck asks {queue.params['labeler']} only.", "Choose another queue.")
    claim = store.claim_place(queue_id, pair_id, labeler, minutes=HOLD_MINUTES)
    if claim == "full":
        raise Conflict(
            "Your place at this pair expired, and other people have taken its places; the answers were not kept.",
            "Go on with the next pair.",
        )
    if queue.kind == "recheck" and claim == "held":
        added = _answer_again(workspace, queue.golden, pair_id, answers, labeler, note)
    else:
        added = labelling.submit_labels(workspace, queue.golden, pair_id, answers, labeler=labeler, note=note)
    store.finish_place(queue_id, pair_id, labeler)
    return added


def _answer_again(
    workspace: Workspace, golden: str, pair_id: str, answers: Mapping[str, int], labeler: str, note: str
) -> int:
    policy = workspace.store.policy(workspace.store.policy_of(golden))
    if not answers:
        raise BadInput("No grade was chosen.", "Grade at least one dimension, or mark it unrateable.")
    at = datetime.now(UTC)
    for key, grade in answers.items():
        labelling.check_answer(policy, key, grade)
    labels = [
        Label(pair_id=pair_id, dimension=key, grade=grade, labeler=labeler, at=at, note=note.strip())
        for key, grade in answers.items()
    ]
    return workspace.store.add_labels(golden, labels, repeated=True)


def skip_in_queue(workspace: Workspace, queue_id: str, pair_id: str, labeler: str) -> None:
    """Give a pair back that a labeler holds, so that somebody else may label it."""
    workspace.store.release_place(queue_id, pair_id, labeler)


def undo_in_queue(workspace: Workspace, queue_id: str, pair_id: str, labeler: str) -> bool:
    """Take back what a labeler submitted in a queue and hold the pair for them again; return whether it was finished.

    In a recheck, the answers stay until they are given anew: withdrawing would take the earlier ones back as well.
    """
    queue = workspace.store.queue(queue_id)
    reopened = workspace.store.reopen_place(queue_id, pair_id, labeler, minutes=HOLD_MINUTES)
    if reopened and queue.kind != "recheck":
        labelling.withdraw(workspace, queue.golden, pair_id, labeler)
    return reopened


def queue_progress(workspace: Workspace, queue_id: str) -> QueueProgress:
    """Return how far a queue is, all in all and by labeler."""
    queue = workspace.store.queue(queue_id)
    return QueueProgress(queue.done, queue.total, workspace.store.done_by_labeler(queue_id))


def population_agreement(
    workspace: Workspace, run: Run, queue_id: str, *, split: SplitChoice = "dev"
) -> dict[str, WeightedAgreement]:
    """Return a run's agreement, by dimension and overall, as it would be on all the pairs a queue was drawn from.

    From the queue's pairs of ``split`` that somebody has labelled in it and that the run was asked about. Whoever
    shows this for the holdout writes it into the ledger of looks.

    Raises:
        Refused: for a run on another golden set.
    """
    policy, labelled = _labelled(workspace, run, queue_id, split)
    return {
        key: weighted_agreement(judge, human, labelled.weights, labelled.query_ids, policy.scale(key))
        for key, (judge, human) in labelled.grades.items()
    }


def drawn_agreement(
    workspace: Workspace, run: Run, queue_id: str, *, split: SplitChoice = "dev"
) -> dict[str, Agreement]:
    """Return a run's agreement on the very pairs of :func:`population_agreement`, each counting once."""
    policy, labelled = _labelled(workspace, run, queue_id, split)
    return {
        key: agreement(judge, human, labelled.query_ids, policy.scale(key))
        for key, (judge, human) in labelled.grades.items()
    }


@dataclass(frozen=True, eq=False)
class _Labelled:
    """The labelled pairs of a queue in one order: their weights, queries, and (judge, human) grades by dimension."""

    weights: Floats
    query_ids: list[str]
    grades: dict[str, tuple[Grades, Grades]]


def _labelled(workspace: Workspace, run: Run, queue_id: str, split: SplitChoice) -> tuple[Policy, _Labelled]:
    queue = workspace.store.queue(queue_id)
    if run.golden != queue.golden:
        raise Refused(f"{run.label} ran on golden set '{run.golden}'.", f"Choose a run on '{queue.golden}'.")
    items = workspace.store.queue_items(queue_id)
    weights = items[items["done"] > 0].set_index("pair_id")["weight"]
    truth = evaluation.truth(workspace, run.golden, version=run.golden_version, split=split)
    drawn = np.flatnonzero(pd.Index(truth.pair_ids).isin(weights.index))
    ids = [truth.pair_ids[i] for i in drawn]
    policy = workspace.store.policy(run.policy, run.policy_version)
    judge = evaluation.grades(workspace, run, ids)
    grades = {}
    for key in (*policy.keys, OVERALL):
        if key in truth.human:  # else a dimension that the newest policy no longer has
            settled, scale = truth.human[key][drawn], policy.scale(key)
            # Labels of levels that the run's policy version does not have count as none.
            known = np.where((settled >= 0) & ~np.isin(settled, scale), NOT_GRADED, settled)
            grades[key] = judge[key], known
    return policy, _Labelled(
        weights.reindex(ids).to_numpy(dtype=np.float64), [truth.query_ids[i] for i in drawn], grades
    )
