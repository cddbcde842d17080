"""Ablation of an edit: the older policy with only one change of the newer one applied, change by change.

A citation says what a judge claims to have followed; an ablation is an experiment on it. Where the pair flips with one
change alone, that change suffices. Where no change alone flips it, several are needed together, or the flip was noise.
A clause that was split, and what its first half became, are one change: neither half says what the old clause said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workbench.errors import BadInput
from workbench.flips import name_of
from workbench.policy import Body
from workbench.policy_diff import Change, diff
from workbench.policy_patch import Patch, Place, apply, patch


@dataclass(frozen=True)
class Edit:
    """One change (or changes that only make sense together) and the older policy with nothing else changed."""

    changes: tuple[Change, ...]
    body: Body

    @property
    def name(self) -> str:
        """The name of the first change; others of the edit are told apart by :func:`workbench.flips.name_of`."""
        return name_of(self.changes[0])


@dataclass(frozen=True)
class NotAlone:
    """A change that cannot be applied by itself, and why."""

    change: Change
    reason: str


def single_edits(before: Body, after: Body) -> tuple[tuple[Edit, ...], tuple[NotAlone, ...]]:
    """Return every judged change from ``before`` to ``after`` applied by itself, and those that cannot be."""
    whole = patch(before, after)
    judged = [change for change in diff(before, after) if change.judged]
    edits: list[Edit] = []
    refused: list[NotAlone] = []
    for group in _groups(judged):
        places = [place for place in whole.changes if any(_is_of(place, change) for change in group)]
        try:
            if not places:
                raise BadInput("It is no part that can be changed by itself.")
            body = apply(before, _only(whole, places))
        except BadInput as error:
            refused += [NotAlone(change, error.message) for change in group]
        else:
            edits.append(Edit(tuple(group), body))
    return tuple(edits), tuple(refused)


def _groups(changes: Sequence[Change]) -> list[list[Change]]:
    """Return the changes, those of one split together."""
    groups: dict[str, list[Change]] = {}
    for change in changes:
        split = change.origin if change.kind == "split" else change.id
        key = f"clause {split}" if change.part == "clause" else name_of(change)
        groups.setdefault(key, []).append(change)
    return list(groups.values())


def _is_of(place: Place, change: Change) -> bool:
    if change.part == "dimension" and change.kind in ("added", "removed"):
        return place.part == "dimension" and place.id == change.section
    return place.part == change.part and place.section in ("", change.section) and place.id == _id_of(change)


_FIELD_OF = {"dimension": "title", "question": "question", "considers": "considers", "allow_na": "allow_na"}
"""Part of a change within a dimension -> how its place is called."""


def _id_of(change: Change) -> str:
    return _FIELD_OF.get(change.part, change.id)


def _only(whole: Patch, places: Sequence[Place]) -> Patch:
    """Return the part of a patch that concerns ``places``, with what they add put into the older order."""
    changes = {place: whole.changes[place] for place in places}
    added = {place.id for place, (old, new) in changes.items() if old is None and new is not None}
    for place, (old, new) in whole.changes.items():
        if place.part == "order" and old is not None and new is not None:
            order = _inserted(old, new, added)
            if order != old:
                changes[place] = (old, order)
    return Patch(changes, whole.whole & {place.id for place in places if place.part == "dimension"})


def _inserted(old: Sequence[str], new: Sequence[str], added: set[str]) -> tuple[str, ...]:
    """Return ``old`` with those of ``added`` that ``new`` names, each behind what stands before it there."""
    order = list(old)
    for i, name in enumerate(new):
        if name in added and name not in order:
            before = next((new[k] for k in range(i - 1, -1, -1) if new[k] in order), None)
            order.insert(order.index(before) + 1 if before is not None else 0, name)
    return tuple(order)
