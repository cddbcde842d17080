"""The board of models: every judge, teacher and student of a policy with its figures on the same pairs.

Figures of checkpoints are those of their kept evaluations, figures of judges those of their finished runs; nothing is
graded here. All of them are over the pairs and the frozen labels of one golden snapshot, so that rows can be set against
each other. What was not measured there stays on the board, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.errors import BadInput, NotFound
from workbench.evaluation import record_look, run_agreement
from workbench.lineage import gather
from workbench.lineage_graph import Graph, stale
from workbench.model_evaluation import EvaluatedSplit, ModelEvaluation
from workbench.model_evaluations import evaluations, record_looks
from workbench.model_rows import BoardRow, Ground, Kind, checkpoint_row, judge_row
from workbench.policy import OVERALL
from workbench.promotions import stages
from workbench.quality_cost import QualityCost, quality_cost
from workbench.resampling import Estimate
from workbench.run import Run
from workbench.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Board:
    """All models of a policy on one ground: judges first, then teachers, then students, the best κ first."""

    policy: str
    ground: Ground | None
    split: EvaluatedSplit
    dimension: str
    rows: tuple[BoardRow, ...]
    graph: Graph

    @property
    def names(self) -> list[str]:
        """All names, once each: what charts colour by."""
        return sorted({row.name for row in self.rows})

    def row(self, row_id: str) -> BoardRow:
        """Return one row.

        Raises:
            NotFound: the board has none of this id.
        """
        found = next((row for row in self.rows if row.id == row_id), None)
        if found is None:
            raise NotFound.among("model", row_id, [row.id for row in self.rows])
        return found


def grounds(workspace: Workspace, policy: str) -> list[Ground]:
    """Return the snapshots of a policy's golden sets, those that most models were measured on first."""
    hashes = [each.golden_hash for each in evaluations(workspace, policy=policy)]
    hashes += [run.golden_hash for run in workspace.store.runs(policy=policy) if run.status == "finished"]
    found = []
    for name in workspace.store.golden_names():
        if workspace.store.policy_of(name) == policy:
            for each in workspace.store.snapshots(name):
                digest = workspace.store.snapshot_hash(name, each.version) or ""
                found.append(Ground(name, each.version, digest, hashes.count(digest)))
    return sorted(found, key=lambda ground: (-ground.measured, ground.golden, -ground.version))


def board(
    workspace: Workspace,
    policy: str,
    *,
    ground: str = "",
    split: EvaluatedSplit = "dev",
    dimension: str = OVERALL,
) -> Board:
    """Return the board of a policy.

    To look at the holdout is for the caller to write into the ledger (:func:`record_board_looks`).

    Args:
        workspace: whose models are meant.
        policy: its name.
        ground: label of a snapshot, such as ``job-match v3``; "" for the first of :func:`grounds`.
        split: of the snapshot.
        dimension: that κ is in.

    Raises:
        NotFound: there is no such policy or snapshot.
        BadInput: no such dimension, or an evaluation's file is damaged.
    """
    newest = workspace.store.policy(policy)
    if dimension not in (OVERALL, *newest.keys):
        raise BadInput(
            f"{newest.label} has no dimension '{dimension}'.",
            f"It has {', '.join(newest.keys)}, and {OVERALL}.",
        )
    every = grounds(workspace, policy)
    chosen = next((each for each in every if ground in ("", each.label)), None)
    if ground and chosen is None:
        raise NotFound.among(f"snapshot of a golden set of {policy}", ground, [each.label for each in every])
    graph = gather(workspace)
    old = stale(graph)
    judged, graded = _runs(workspace, chosen, split, dimension)
    every_evaluation = evaluations(workspace, policy=policy)
    measured = _on(every_evaluation, chosen, split)
    timed = {each.checkpoint: each for each in reversed(every_evaluation) if each.speed is not None}
    rows = [judge_row(cost, kappa, old.get(f"run:{cost.run.id}", ())) for cost, kappa in judged]
    stage = stages(workspace)
    rows += [
        checkpoint_row(
            one, chosen, split, dimension, measured.get(one.id), graded.get(one.id),
            timed=timed.get(one.id), stage=stage.get(one.id), stale=old.get(f"checkpoint:{one.id}", ()),
        )
        for one in workspace.store.checkpoints()
        if one.record.get("policy") == policy
    ]  # fmt: skip
    kinds: tuple[Kind, ...] = ("judge", "teacher", "student")
    rows.sort(
        key=lambda row: (
            kinds.index(row.kind),
            2.0 if row.kappa.value is None else -row.kappa.value,
            row.name,
            row.id,
        )
    )
    return Board(policy, chosen, split, dimension, tuple(rows), graph)


def record_board_looks(workspace: Workspace, shown: Board, who: str, place: str) -> None:
    """Write into the ledger of looks that somebody saw the holdout's figures of a board; nothing for dev pairs."""
    if shown.split != "holdout":
        return
    record_looks(workspace, [row.evaluation for row in shown.rows if row.evaluation is not None], who, place)
    runs = [row.run for row in shown.rows if row.run is not None and row.evaluation is None]
    if runs:
        record_look(workspace, runs, who, place)


def evaluate_command(
    checkpoint: str, ground: Ground | None, split: EvaluatedSplit, teacher: str = "", clicks: str = ""
) -> str:
    """Return the command that measures a checkpoint on a ground."""
    words = ["workbench evaluate", checkpoint]
    words += [f"--golden {ground.golden}@{ground.version} --split {split}"] if ground else []
    words += [f"--clicks {clicks}"] if clicks else []
    words += [f"--against {teacher}"] if teacher else []
    return " ".join(words)


def _runs(
    workspace: Workspace, ground: Ground | None, split: EvaluatedSplit, dimension: str
) -> tuple[list[tuple[QualityCost, Estimate]], dict[str, tuple[Run, Estimate]]]:
    """Return the newest run of each judge and policy version with its κ, and that of each checkpoint by its id."""
    judged: dict[tuple[str, int], tuple[QualityCost, Estimate]] = {}
    graded: dict[str, tuple[Run, Estimate]] = {}
    if ground is None:
        return [], {}
    found = quality_cost(workspace, ground.golden, dimension=dimension, split=split)
    for each in sorted(found, key=lambda one: one.run.created_at, reverse=True):
        run = each.run
        if run.golden_hash != ground.content_hash:
            continue
        identity = run.judge.model_copy(update={"params": {**run.judge.params, "repeat": 0}})
        key = identity.hash, run.policy_version
        if key in judged or (run.judge.kind == "checkpoint" and run.judge.name in graded):
            continue
        # Against the snapshot's own labels, as evaluations are, so that both stand on one ground.
        agreements = run_agreement(workspace, run, split=split, labels="snapshot")
        if run.judge.kind == "checkpoint":
            graded[run.judge.name] = run, agreements[dimension].kappa_quadratic
        else:
            judged[key] = each, agreements[dimension].kappa_quadratic
    return list(judged.values()), graded


def _on(
    every: Sequence[ModelEvaluation], ground: Ground | None, split: EvaluatedSplit
) -> dict[str, ModelEvaluation]:
    """Return checkpoint id -> its newest evaluation on a ground; one with clicks goes before one without."""
    found: dict[str, ModelEvaluation] = {}
    for each in every:
        if ground is None or (each.golden_hash, each.split) != (ground.content_hash, split):
            continue
        before = found.get(each.checkpoint)
        if before is None or (each.clicks and not before.clicks):
            found[each.checkpoint] = each
    return found
