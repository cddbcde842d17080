"""Verbs of what follows from a review: open items with owners, and doing them.

A correction goes through adjudication, a doubt about a rule into a thread on its clause, a settled case into a draft as a
precedent; anything else is marked as done with a sentence. What was done is kept with the item and stands in the minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workbench import comments
from workbench.adjudication import adjudicate
from workbench.authoring import save, with_precedent
from workbench.errors import BadInput, Refused
from workbench.golden import NOT_APPLICABLE
from workbench.labelling import check_answer
from workbench.policy import OVERALL
from workbench.policy_diff import GENERAL
from workbench.store import Decision, Draft
from workbench.store.reviews import FollowUp
from workbench.workspace import Workspace


@dataclass(frozen=True)
class OpenItem:
    """What is to be done, with the decision that it follows from."""

    item: FollowUp
    decision: Decision


def open_items(
    workspace: Workspace, golden: str, *, owner: str | None = None, review_id: str | None = None
) -> list[OpenItem]:
    """Return what is still to be done on a golden set, oldest first: the agenda of the next meeting."""
    decisions = {d.id: d for d in workspace.store.review_decisions(golden)}
    return [
        OpenItem(item, decisions[item.decision_id])
        for item in workspace.store.follow_ups(golden, owner=owner, review_id=review_id, open_only=True)
        if item.decision_id in decisions
    ]


def correct_label(workspace: Workspace, item_id: str, grade: int, who: str, reason: str = "") -> None:
    """Do an item by recording the right grade as an adjudicated label; the note of the decision is its reason.

    Raises:
        BadInput: for a grade that the policy does not know, the label as it is, or without a reason.
        Refused: if the item was done meanwhile.
    """
    found = _open(workspace, item_id)
    policy = workspace.store.policy(workspace.store.policy_of(found.item.golden))
    check_answer(policy, found.decision.dimension, grade)
    if grade == found.decision.details.get("label"):
        raise BadInput("The right grade is the label as it is.", "Choose another grade, or decide anew.")
    adjudicate(
        workspace,
        found.item.golden,
        found.decision.pair_id,
        {found.decision.dimension: grade},
        reason=reason.strip() or found.item.note,
        author=who,
    )
    said = "N/A" if grade == NOT_APPLICABLE else str(grade)
    _done(workspace, found, who, {"said": f"label set to {said}", "grade": grade})


def comment_on_clause(
    workspace: Workspace, item_id: str, section: str, clause: str, text: str, who: str
) -> None:
    """Do an item by beginning a thread about a clause (or, without one, about a dimension).

    Raises:
        BadInput: for a text that is empty or too long.
        Refused: if the item was done meanwhile, or the pair is of the holdout, which must not shape the policy.
    """
    found = _open(workspace, item_id)
    _not_held_out(workspace, found)
    policy = workspace.store.policy(workspace.store.policy_of(found.item.golden))
    thread = comments.comment(
        workspace, policy.name, policy, section or GENERAL, clause, text, who, key=f"{item_id}-comment"
    )
    _done(workspace, found, who, {"said": f"comment on {clause or section}", "comment": thread.id})


def precedent_in_draft(
    workspace: Workspace, item_id: str, draft: Draft, grade: int | None, because: str, who: str
) -> Draft:
    """Do an item by adding its pair to a draft as a settled example, and return the saved draft.

    Args:
        grade: a level, or None for N/A.

    Raises:
        BadInput: without a reason, or for a grade that the dimension does not have.
        Refused: for a pair of the holdout, an overall grade, a draft of another policy, or an item done meanwhile.
    """
    found = _open(workspace, item_id)
    decision = found.decision
    if draft.name != workspace.store.policy_of(found.item.golden):
        raise Refused(f"The draft is one of {draft.name}.", "Choose a draft of this policy.")
    if decision.dimension == OVERALL:
        raise Refused("The overall grade has no precedents.", "Comment on the rule that combines instead.")
    pair = workspace.store.pairs([decision.pair_id], found.item.golden)[decision.pair_id]
    body = with_precedent(
        workspace, draft.name, draft.body, decision.dimension, pair, grade=grade, because=because
    )
    saved = save(workspace, draft, body, who)
    _done(
        workspace,
        found,
        who,
        {"said": f"precedent in the draft “{draft.title or draft.id}”", "draft": draft.id},
    )
    return saved


def done_elsewhere(workspace: Workspace, item_id: str, said: str, who: str) -> None:
    """Mark an item as done, with a sentence on what was done.

    Raises:
        BadInput: without that sentence.
        Refused: if the item was done meanwhile.
    """
    if not said.strip():
        raise BadInput("Say what was done.", "One sentence: it goes into the minutes.")
    _done(workspace, _open(workspace, item_id), who, {"said": said.strip()})


def _open(workspace: Workspace, item_id: str) -> OpenItem:
    item = workspace.store.follow_up(item_id)
    if item.done_at is not None:
        raise Refused(f"{item.done_by} did this already.", "Reload the page.")
    decision = next(
        d for d in workspace.store.review_decisions(item.golden, item.review_id) if d.id == item.decision_id
    )
    return OpenItem(item, decision)


def _done(workspace: Workspace, found: OpenItem, who: str, result: Mapping[str, Any]) -> None:
    workspace.store.finish_follow_up(found.item.id, who, result)


def _not_held_out(workspace: Workspace, found: OpenItem) -> None:
    members = workspace.store.members(found.item.golden, pair_ids=[found.decision.pair_id])
    if (members["split"] == "holdout").any():
        raise Refused(
            "This pair is of the holdout, which must not shape the policy.",
            "Find a dev pair that shows the same, or correct the label.",
        )
