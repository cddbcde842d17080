"""Verbs of promotion: which checkpoint of a policy is meant for use, who said so, when and why.

A promotion is a line of the audit log (``promoted`` or ``demoted``, about ``checkpoint <id>``), which is only ever
appended to; what holds now is read off its lines in their order. So there is nothing beside the log that could say
something else, and two people who promote at once cannot leave two production models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from workbench.errors import BadInput, Conflict, Refused
from workbench.store import Event, StoredCheckpoint
from workbench.training.record import read_record
from workbench.workspace import Workspace

Stage = Literal["candidate", "production"]
"""``candidate``: worth a closer look. ``production``: the one that is in use; a policy has at most one."""
STAGES: tuple[Stage, ...] = get_args(Stage)
PROMOTED, DEMOTED = "promoted", "demoted"
_SUBJECT = "checkpoint "
_LINES = 500
"""Lines of the audit log that are read at once."""
LONGEST_REASON = 2000


@dataclass(frozen=True)
class Promotion:
    """One step in a checkpoint's life. ``stage`` is what it then was; "" where it was demoted."""

    checkpoint: str
    policy: str
    stage: Stage | Literal[""]
    reason: str
    who: str
    at: datetime


def promote(workspace: Workspace, checkpoint: str, stage: Stage, *, reason: str, author: str) -> Promotion:
    """Give a checkpoint a stage; the production model of its policy so far loses its own.

    Args:
        workspace: that keeps the checkpoint.
        checkpoint: id, or a recipe's name for its newest one.
        stage: one of ``STAGES``.
        reason: why, for people who ask later.
        author: who decides.

    Raises:
        NotFound: there is no such checkpoint, or its weights are not here.
        BadInput: no such stage, or no reason.
        Refused: its training was stopped, or its weights are pickled.
        Conflict: it has this stage already.
    """
    if stage not in STAGES:
        raise BadInput(f"There is no stage '{stage}'.", f"It is {' or '.join(STAGES)}.")
    words = _reason(reason)
    found = workspace.store.checkpoint(checkpoint)
    if found.record.get("stopped"):
        raise Refused(
            f"The training of {found.id} was stopped before its end.",
            "Resume it on the Train page, and promote what it makes then.",
        )
    read_record(Path(found.folder))  # a model without its weights is of no use
    if stages(workspace).get(found.id) == stage:
        raise Conflict(f"{found.id} is {stage} already.", "Nothing is to be done.")
    workspace.store.record_event(author, PROMOTED, f"{_SUBJECT}{found.id}", f"{stage}: {words}")
    return history(workspace, found.id)[0]


def demote(workspace: Workspace, checkpoint: str, *, reason: str, author: str) -> Promotion:
    """Take a checkpoint's stage away.

    Raises:
        NotFound: there is no such checkpoint.
        BadInput: no reason.
        Conflict: it has no stage.
    """
    words = _reason(reason)
    found = workspace.store.checkpoint(checkpoint)
    if found.id not in stages(workspace):
        raise Conflict(f"{found.id} is neither {' nor '.join(STAGES)}.", "There is nothing to take away.")
    workspace.store.record_event(author, DEMOTED, f"{_SUBJECT}{found.id}", words)
    return history(workspace, found.id)[0]


def stages(workspace: Workspace) -> dict[str, Stage]:
    """Return checkpoint id -> its stage now; those without one are left out."""
    now: dict[str, Stage] = {}
    for step in _steps(workspace):
        if step.stage:
            now[step.checkpoint] = step.stage
        else:
            now.pop(step.checkpoint, None)
    return now


def stage_of(workspace: Workspace, checkpoint: str) -> Stage | None:
    """Return the stage of a checkpoint by id; None where it has none."""
    return stages(workspace).get(checkpoint)


def history(workspace: Workspace, checkpoint: str = "", *, policy: str = "") -> list[Promotion]:
    """Return all promotions and demotions, newest first; of one checkpoint (by id) or policy where that is given.

    A production model whose place another one took is demoted in it, by who promoted the other.
    """
    found = [
        step
        for step in _steps(workspace)
        if checkpoint in ("", step.checkpoint) and policy in ("", step.policy)
    ]
    return found[::-1]


def _steps(workspace: Workspace) -> Iterator[Promotion]:
    """Yield what happened, oldest first. Lines about checkpoints that are not in the store say nothing any more."""
    known = {found.id: found for found in workspace.store.checkpoints()}
    production: dict[str, str] = {}  # policy -> checkpoint
    for event in _events(workspace):
        checkpoint = event.subject.removeprefix(_SUBJECT)
        if checkpoint not in known:
            continue
        policy = _policy(known[checkpoint])
        if event.what == DEMOTED:
            if production.get(policy) == checkpoint:
                del production[policy]
            yield Promotion(checkpoint, policy, "", event.detail, event.who, event.at)
            continue
        name, _, reason = event.detail.partition(": ")
        stage = next((each for each in STAGES if each == name), None)
        if stage is None:
            continue
        before = production.get(policy)
        if stage == "production":
            production[policy] = checkpoint
            if before not in (None, checkpoint):
                why = f"{checkpoint} took its place: {reason}"
                yield Promotion(str(before), policy, "", why, event.who, event.at)
        elif before == checkpoint:
            del production[policy]
        yield Promotion(checkpoint, policy, stage, reason, event.who, event.at)


def _events(workspace: Workspace) -> list[Event]:
    """Return the lines of the audit log about promotions, oldest first."""
    found: list[Event] = []
    while True:
        # One question for both, so that they come in the log's own order.
        page, total = workspace.store.event_page(
            what="moted", subject=_SUBJECT, skip=len(found), limit=_LINES
        )
        found += page
        if not page or len(found) >= total:
            break
    wanted = [
        each for each in found if each.what in (PROMOTED, DEMOTED) and each.subject.startswith(_SUBJECT)
    ]
    return wanted[::-1]


def _policy(checkpoint: StoredCheckpoint) -> str:
    return str(checkpoint.record.get("policy", ""))


def _reason(text: str) -> str:
    words = " ".join(text.split())
    if not words:
        raise BadInput("There is no reason.", "Say in a sentence why, for those who ask later.")
    if len(words) > LONGEST_REASON:
        raise BadInput(f"The reason is {len(words):,} characters long.", f"{LONGEST_REASON:,} are the most.")
    return words
