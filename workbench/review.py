"""Verbs of the review meeting: which flips are looked at, what is decided about each, what follows from it.

A decision is kept where all decisions are (:mod:`workbench.store.decisions`, place ``review``): suggested edits and
suspected label errors read them there. A decision that needs something done leaves an open item with an owner.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

from workbench.ablations import ablated
from workbench.comparing import RunComparison, compare_runs
from workbench.errors import BadInput, Refused
from workbench.evaluation import SplitChoice, record_look
from workbench.flip_table import all_flips, matching
from workbench.flips import Flip, FlipFilter, FlipOutcome
from workbench.identity import Value
from workbench.jobs import new_id
from workbench.policy import OVERALL
from workbench.run import Run
from workbench.store import Decision
from workbench.store.base import now
from workbench.store.decisions import Outcome
from workbench.store.reviews import FollowUp, FollowUpKind, Review
from workbench.workspace import Workspace
from workbench.yamltext import validate

PLACE = "review"
NEXT_STEP: dict[Outcome, FollowUpKind] = {
    "label wrong": "label",
    "policy ambiguous": "comment",
    "judge wrong": "precedent",
}
"""What usually follows from an outcome; nothing follows from *fine*."""


class Filters(Value):
    """Which flips a review looks at, as it is kept and sent in a link."""

    split: SplitChoice = "dev"
    outcomes: tuple[FlipOutcome, ...] = ()
    dimensions: tuple[str, ...] = ()
    direction: Literal["", "up", "down"] = ""
    levels: tuple[int, int] | None = None
    clause: str = ""
    among: dict[str, str] = {}
    text: str = ""
    pairs: tuple[str, ...] = ()
    undecided: bool = False  # at the start: flips that were decided before stay out


@dataclass(frozen=True)
class Item:
    """One flip of the queue and the decision that holds about it."""

    flip: Flip
    decision: Decision | None

    @property
    def key(self) -> str:
        """The item's name in a link."""
        return f"{self.flip.pair_id}/{self.flip.dimension}"


@dataclass(frozen=True, eq=False)
class Meeting:
    """A review as it stands now: its queue, in an order that does not change while it is open."""

    review: Review
    comparison: RunComparison
    items: tuple[Item, ...]

    @property
    def decided(self) -> int:
        """How many items of the queue were decided in this review."""
        return sum(
            i.decision is not None and i.decision.details.get("review") == self.review.id for i in self.items
        )

    def position(self, key: str) -> int | None:
        """Return where an item stands in the queue, None where it is not in it."""
        return next((i for i, item in enumerate(self.items) if item.key == key), None)


def start_review(
    workspace: Workspace, a: Run, b: Run, filters: Filters, *, title: str, author: str, key: str = ""
) -> Review:
    """Open a review of the flips between two runs.

    Args:
        key: makes the call repeatable: the same key opens one review only (a double click).

    Raises:
        Refused: for runs that cannot be compared, or where no flip is left to look at.
    """
    found = compare_runs(workspace, a, b, split=filters.split, among=filters.among or None)
    flips = _queue(workspace, found, filters)
    if not flips:
        raise Refused("No flip passes these filters.", "Loosen them, or compare other runs.")
    if filters.split != "dev":
        record_look(workspace, [a, b], author, "Review")
    moment = now()
    review = Review(
        id=f"review-{key}" if key else new_id("review"),
        golden=a.golden,
        title=title.strip() or f"{a.label} against v{b.policy_version}"[:200],
        run_a=a.id,
        run_b=b.id,
        # What was decided before is known at the start only: the queue is kept, so that it stays as it is.
        filters=filters.model_copy(
            update={"pairs": tuple(f"{flip.pair_id}/{flip.dimension}" for flip in flips)}
        ).model_dump(mode="json"),
        author=author,
        created_at=moment,
        presenter=author,
        showing={"item": f"{flips[0].pair_id}/{flips[0].dimension}", "revealed": False},
        moved_at=moment,
    )
    return workspace.store.add_review(review)


def meeting(workspace: Workspace, review_id: str) -> Meeting:
    """Return a review as it stands now.

    Raises:
        NotFound: if there is no such review, or one of its runs is gone.
    """
    review = workspace.store.review(review_id)
    filters = validate(Filters, review.filters, "the review")
    a, b = workspace.store.run(review.run_a), workspace.store.run(review.run_b)
    found = compare_runs(workspace, a, b, split=filters.split, among=filters.among or None)
    by_key = {f"{f.pair_id}/{f.dimension}": f for f in all_flips(workspace, found, ablated(workspace, found))}
    holding = {(d.pair_id, d.dimension): d for d in workspace.store.decisions(review.golden)}
    items = []
    for key in filters.pairs:
        flip = by_key.get(key)  # a label corrected since may have made it no flip
        if flip is not None:
            decision = holding.get((flip.pair_id, flip.dimension))
            items.append(Item(flip, decision if decision and decision.outcome != "open" else None))
    return Meeting(review, found, tuple(items))


def pulse(workspace: Workspace, review_id: str) -> str:
    """Return a text that is another one once somebody moved on, decided or closed: cheap enough to ask each second.

    Raises:
        NotFound: if there is no such review.
    """
    found = workspace.store.review(review_id)
    made = [decision.id for decision in workspace.store.review_decisions(found.golden, review_id)]
    return repr((found.presenter, found.moved_at, found.closed_at, len(made), made[:1]))


def _queue(workspace: Workspace, found: RunComparison, filters: Filters) -> list[Flip]:
    """Return the flips that a review is to look at, dimension by dimension, broken ones first."""
    flips = all_flips(workspace, found, ablated(workspace, found))
    pairs = matching(workspace, found, flips, filters.text) if filters.text.strip() else None
    wanted = FlipFilter(
        outcomes=frozenset(filters.outcomes),
        dimensions=frozenset(filters.dimensions or (k for k in found.comparisons if k != OVERALL)),
        direction=filters.direction,
        levels=filters.levels,
        clause=filters.clause,
        pairs=pairs,
    )
    kept = [flip for flip in flips if wanted.keeps(flip)]
    if filters.pairs:
        named = {key: i for i, key in enumerate(filters.pairs)}
        kept = [flip for flip in kept if f"{flip.pair_id}/{flip.dimension}" in named]
        kept.sort(key=lambda flip: named[f"{flip.pair_id}/{flip.dimension}"])
    if filters.undecided:
        done = {
            (d.pair_id, d.dimension)
            for d in workspace.store.decisions(found.truth.golden)
            if d.outcome != "open"
        }
        kept = [flip for flip in kept if (flip.pair_id, flip.dimension) not in done]
    return kept


def show(workspace: Workspace, review_id: str, item: str, who: str, *, revealed: bool = False) -> None:
    """Put an item on everybody's screen; whoever does that presents.

    Raises:
        Refused: if the review is closed.
    """
    workspace.store.show(review_id, who, {"item": item, "revealed": revealed})


def decide(
    workspace: Workspace,
    review: Review,
    flip: Flip,
    outcome: Outcome,
    *,
    who: str,
    note: str = "",
    owner: str = "",
    next_step: FollowUpKind | None = None,
    key: str = "",
) -> Decision:
    """Keep what was decided about a flip, and leave an open item where something is to be done.

    Deciding again replaces the decision; an item of the one before that nobody did is taken back.

    Args:
        owner: who does what follows; whoever decides, by default.
        next_step: what follows; by default :data:`NEXT_STEP` of the outcome.
        key: makes the call repeatable: the same key decides once (a double click).

    Raises:
        BadInput: for an outcome that is none of the four.
        Refused: if the review is closed.
    """
    if outcome not in (*NEXT_STEP, "fine"):
        raise BadInput(
            f"'{outcome}' settles nothing.", "Choose judge wrong, label wrong, policy ambiguous or fine."
        )
    if workspace.store.review(review.id).closed_at is not None:
        raise Refused("This review is closed.", "Open another one for what is left.")
    decision_id = f"decision-{key or secrets.token_hex(8)}"
    if key:  # the second click of a double click must not take back what the first one left
        made = workspace.store.review_decisions(review.golden, review.id)
        if (same := next((d for d in made if d.id == decision_id), None)) is not None:
            return same
    _take_back_items(workspace, review.golden, flip, who)
    decision = workspace.store.add_decision(
        Decision(
            id=decision_id,
            golden=review.golden,
            pair_id=flip.pair_id,
            dimension=flip.dimension,
            outcome=outcome,
            note=note.strip(),
            author=who,
            at=now(),
            place=PLACE,
            details={
                "review": review.id,
                "label": flip.human,
                "a": flip.a,
                "b": flip.b,
                "flip": flip.outcome,
                "runs": {review.run_a: flip.a, review.run_b: flip.b},
                "clauses": [cause.change.id for cause in flip.causes],
            },
        )
    )
    kind = next_step or NEXT_STEP.get(outcome)
    if kind is not None:
        workspace.store.add_follow_up(
            FollowUp(
                id=f"item-{decision.id}",
                golden=review.golden,
                decision_id=decision.id,
                review_id=review.id,
                kind=kind,
                owner=owner.strip() or who,
                note=note.strip(),
                author=who,
                at=now(),
            )
        )
    return decision


def take_back(workspace: Workspace, review: Review, flip: Flip, who: str) -> None:
    """Open a flip again: the decision about it is taken back, and its item too unless it is done."""
    _take_back_items(workspace, review.golden, flip, who)
    workspace.store.add_decision(
        Decision(
            id=f"decision-{secrets.token_hex(8)}",
            golden=review.golden,
            pair_id=flip.pair_id,
            dimension=flip.dimension,
            outcome="open",
            author=who,
            at=now(),
            place=PLACE,
            details={"review": review.id},
        )
    )


def _take_back_items(workspace: Workspace, golden: str, flip: Flip, who: str) -> None:
    before = {
        d.id for d in workspace.store.decisions(golden, pair_id=flip.pair_id) if d.dimension == flip.dimension
    }
    for item in workspace.store.follow_ups(golden, open_only=True):
        if item.decision_id in before:
            workspace.store.finish_follow_up(item.id, who, {"said": "taken back: decided anew"})
