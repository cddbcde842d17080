"""Verbs of evaluating checkpoints: grade a snapshot's pairs, set figures beside the teacher's, keep them, list them.

An evaluation is one JSON file, ``<home>/evaluations/<checkpoint>-<8 digits>.json``; the digits stand for the weights,
the snapshot, the split and the click log, so that the same evaluation again takes the place of the one before.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from workbench.checkpoint_clicks import clicks_of, read_log
from workbench.checkpoint_figures import ask, policy_figures, size_of, speed_of
from workbench.click_logs import ClickCard, click_log
from workbench.errors import BadInput, Refused, Unavailable
from workbench.evaluation import human_grades, truth
from workbench.files import read_text, write_text
from workbench.identity import content_hash
from workbench.model_evaluation import EvaluatedSplit, ModelEvaluation, compared
from workbench.model_evaluation import ledger_rows as ledger_rows
from workbench.policy import OVERALL, Policy
from workbench.run import Reporter
from workbench.training.record import CheckpointRecord, read_record
from workbench.training_split import training_split
from workbench.workspace import Workspace
from workbench.yamltext import describe

PLACE = "evaluate"
"""Where a look at the holdout happened, in the ledger of looks; the checkpoint stands where a run would."""


@dataclass(frozen=True)
class _Ground:
    """What checkpoints are evaluated on."""

    golden: str
    version: int
    golden_hash: str
    split: EvaluatedSplit
    clicks: ClickCard | None


def evaluate(
    workspace: Workspace, checkpoint: str, *, golden: str | None = None, split: EvaluatedSplit = "dev",
    clicks: str | None = None, against: str | None = None, author: str, reporter: Reporter, speed: bool = True,
    device: str = "cpu",
) -> ModelEvaluation:  # fmt: skip
    """Evaluate a checkpoint and keep what was found.

    Labels are the snapshot's own, settled by majority, so that the same evaluation says the same next year.

    Clicks are those on pairs that are known by id and belong to the split; of these, on queries that the checkpoint's
    training did not learn from, where that can be told and there are any (``note`` says which). AUC ranks by the click
    head's probability. Log-loss and calibration take that probability as it is; where the head learnt with inverse
    propensities and the log has them, times the propensity, which is what the log's impressions were clicked with.

    Args:
        workspace: whose checkpoints, golden sets and click logs are meant.
        checkpoint: id, recipe name for its newest one, or a folder.
        golden: name of a golden set, or ``name@version``; None for the set that the checkpoint learnt from.
        split: whose pairs are graded. A look at the holdout is written into the ledger of looks.
        clicks: name of a click log; None for no figures of clicks.
        against: the teacher, named like ``checkpoint``. It is evaluated on the same ground unless that is kept already.
        author: who evaluates.
        reporter: hears of progress.
        speed: whether to measure pairs a second and latency; they say something on a quiet machine only.
        device: ``cpu``, ``cuda``, ``auto`` …: where it is graded and timed.

    Raises:
        NotFound: one of these does not exist.
        BadInput: the golden set or the checkpoint belongs to another policy, or the split has no pairs.
        Refused: the holdout, for a checkpoint whose policy version is not the published one.
        Unavailable: torch is not installed, or the device is not there.
        WorkbenchError: an answer of the checkpoint is not a number.
    """
    folder = _folder(workspace, checkpoint)
    record = read_record(folder)
    ground = _ground(workspace, record, golden, split, clicks)
    teacher = None
    if against is not None:
        other = _folder(workspace, against)
        teacher_record = read_record(other)
        if teacher_record.policy != record.policy:
            raise BadInput(
                f"{teacher_record.name} grades under {teacher_record.policy}, {record.name} under {record.policy}.",
                "Name a teacher of the same policy.",
            )
        if teacher_record.weights_hash == record.weights_hash:
            raise BadInput(f"{record.name} cannot be its own teacher.", "Name another checkpoint as teacher.")
        teacher = _kept(workspace, teacher_record, ground, speed=speed)
        if teacher is None:
            teacher = _evaluated(workspace, other, teacher_record, ground, author, reporter, speed, device)
            _keep(workspace, teacher, author)
    found = _evaluated(workspace, folder, record, ground, author, reporter, speed, device)
    if teacher is not None:
        found = compared(found, teacher)
    _keep(workspace, found, author)
    return found


def evaluations(workspace: Workspace, *, policy: str | None = None) -> list[ModelEvaluation]:
    """Return the evaluations that are kept, newest first; of one policy where its name is given.

    Raises:
        BadInput: a file is damaged; names it.
    """
    found = [_read(path) for path in sorted(_home(workspace).glob("[!.]*.json"))]
    return sorted(
        (each for each in found if policy in (None, each.policy)), key=lambda each: each.at, reverse=True
    )


def record_looks(workspace: Workspace, shown: Sequence[ModelEvaluation], who: str, place: str) -> None:
    """Write into the ledger of looks that somebody saw the holdout's figures of these evaluations."""
    for each in shown:
        if each.split == "holdout":
            workspace.store.record_look(each.golden.rpartition(" v")[0], [each.checkpoint], who, place)


def _folder(workspace: Workspace, checkpoint: str) -> Path:
    folder = Path(checkpoint)
    return folder if folder.is_dir() else Path(workspace.store.checkpoint(checkpoint).folder)


def _ground(
    workspace: Workspace,
    record: CheckpointRecord,
    golden: str | None,
    split: EvaluatedSplit,
    clicks: str | None,
) -> _Ground:
    asked = golden or record.lineage.golden.rpartition(" v")[0]
    if not asked:
        raise BadInput(f"{record.name} does not say which golden set it learnt from.", "Name one.")
    name, _, number = asked.partition("@")
    digits = number.removeprefix("v")
    if number and not (digits.isascii() and digits.isdigit()):
        raise BadInput(f"'{number}' is no version of {name}.", "Write name@3.")
    info = workspace.store.golden(name)
    if info.policy != record.policy:
        raise BadInput(
            f"{name} is labelled under {info.policy}, and {record.name} grades under {record.policy}.",
            "Choose a golden set of that policy.",
        )
    version = int(digits) if number else max(info.snapshots, default=0)
    found = workspace.store.snapshot_hash(name, version)
    if found is None:
        raise BadInput(
            f"{name} has no snapshot{f' {version}' if version else ''}.", "Publish one, or name another."
        )
    card = click_log(workspace, clicks) if clicks is not None else None
    return _Ground(name, version, found, split, card)


def _evaluated(
    workspace: Workspace,
    folder: Path,
    record: CheckpointRecord,
    ground: _Ground,
    author: str,
    reporter: Reporter,
    speed: bool,
    device: str,
) -> ModelEvaluation:
    policy = _policy(workspace, record, ground)
    labels = truth(workspace, ground.golden, version=ground.version, split=ground.split, labels="snapshot")
    if not labels.pair_ids:
        raise BadInput(
            f"{ground.golden} v{ground.version} has no {ground.split} pairs.", "Choose another split."
        )
    if ground.split == "holdout":
        workspace.store.record_look(ground.golden, [record.name], author, PLACE)
    known = workspace.store.pairs(labels.pair_ids, ground.golden)
    aside = training_split(workspace, record, policy)
    golden_pairs = [known[pair_id] for pair_id in labels.pair_ids]
    log = None
    if ground.clicks is not None:
        hidden = truth(workspace, ground.golden, version=ground.version, split="holdout", labels="snapshot")
        only = known if ground.split == "holdout" else None
        log = read_log(workspace, record, ground.clicks, only=only, hidden=set(hidden.query_ids))
    pairs = list({p.id: p for p in [*golden_pairs, *(log.pairs.values() if log else ())]}.values())

    try:
        from workbench.training.model import load_checkpoint
        from workbench.training.predict import Predictor, chosen_device
    except ImportError as error:
        raise Unavailable(
            "A checkpoint needs torch, transformers and safetensors.",
            "Install them with: pip install 'policy-workbench[train]'.",
        ) from error
    loaded = load_checkpoint(folder)
    size = size_of(loaded, folder, golden_pairs)
    predictor = Predictor(loaded, device=device)
    answers = ask(predictor, pairs, reporter)
    place = {pair.id: i for i, pair in enumerate(pairs)}
    human = {key: human_grades(labels, key, policy) for key in (*policy.keys, OVERALL)}
    about = policy_figures(
        policy, record, answers.rows([place[pair.id] for pair in golden_pairs]), human, labels.queries
    )
    figures, clicks_on, impressions, note = dict(about.figures), "", 0, ""
    if log is not None:
        found = clicks_of(record, log, aside, answers, place)
        figures |= found.figures
        clicks_on, impressions, note = found.clicks_on, found.impressions, found.note
    learnt = None if aside.learnt is None else sum(p.query_id in aside.learnt for p in golden_pairs)
    return ModelEvaluation(
        checkpoint=record.name,
        weights_hash=record.weights_hash,
        recipe=record.recipe.recipe,
        policy=record.policy,
        policy_version=record.policy_version,
        golden=f"{ground.golden} v{ground.version}",
        golden_hash=ground.golden_hash,
        split=ground.split,
        clicks=ground.clicks.name if ground.clicks else "",
        clicks_hash=ground.clicks.content_hash if ground.clicks else "",
        clicks_simulated=ground.clicks.simulated if ground.clicks else False,
        clicks_on=clicks_on,
        impressions=impressions,
        at=datetime.now(UTC),
        by=author,
        machine=_machine(str(chosen_device(device))),
        pairs=len(golden_pairs),
        learnt=learnt,
        relevant_from=about.relevant_from,
        unranked=about.unranked,
        note=note,
        figures=figures,
        size=size,
        speed=speed_of(predictor, golden_pairs) if speed else None,
    )


def _policy(workspace: Workspace, record: CheckpointRecord, ground: _Ground) -> Policy:
    """Return the policy version that a checkpoint was trained for; it has to be the one that is published here."""
    policy = workspace.store.policy(record.policy, record.policy_version)
    if policy.content_hash != record.policy_hash:
        kind = Refused if ground.split == "holdout" else BadInput
        raise kind(
            f"{record.name} was trained for another {record.policy_label} than the published one.",
            "Train it under the published version.",
        )
    return policy


def _home(workspace: Workspace) -> Path:
    return workspace.settings.home / "evaluations"


def _file(workspace: Workspace, name: str, weights: str, golden: str, split: str, clicks: str) -> Path:
    digits = content_hash("evaluation", [weights, golden, split, clicks]).rpartition("-")[2][:8]
    return _home(workspace) / f"{name}-{digits}.json"


def _kept(
    workspace: Workspace, record: CheckpointRecord, ground: _Ground, *, speed: bool
) -> ModelEvaluation | None:
    """Return the evaluation of a checkpoint on this ground that is kept, if it has all that is asked for."""
    clicks = ground.clicks.content_hash if ground.clicks else ""
    path = _file(workspace, record.name, record.weights_hash, ground.golden_hash, ground.split, clicks)
    found = _read(path) if path.is_file() else None
    return None if found is None or (speed and found.speed is None) else found


def _keep(workspace: Workspace, found: ModelEvaluation, author: str) -> None:
    path = _file(
        workspace, found.checkpoint, found.weights_hash, found.golden_hash, found.split, found.clicks_hash
    )
    write_text(path, found.model_dump_json(indent=1) + "\n")
    where = f"{found.golden} {found.split}{f', clicks {found.clicks}' if found.clicks else ''}"
    workspace.store.record_event(author, "evaluated", f"checkpoint {found.checkpoint}", where)


def _read(path: Path) -> ModelEvaluation:
    try:
        return ModelEvaluation.model_validate_json(read_text(path))
    except ValidationError as error:
        raise BadInput(*describe(error, str(path))) from error


def _machine(device: str) -> str:
    """Return the machine in words: processor, cores that this process may use, and the GPU where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    import torch

    about = f"{platform.processor() or platform.machine()}, {cores} cores, {torch.get_num_threads()} threads"
    return f"{about}, {torch.cuda.get_device_name(device)}" if device.startswith("cuda") else about
