"""Patches: what turns one policy body into another, part by part.

A body is taken apart into a mapping from :class:`Place` to value, where a part is what a person edits at once: the
title, a term, a level, a clause, a gate, the order of a list. A patch is what differs between two such mappings.
:mod:`workbench.policy_merge` applies one side's patch to the other side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from workbench.errors import BadInput
from workbench.policy import Body, Dimension, Overall
from workbench.policy_diff import DOCUMENT, GENERAL, OVERALL_RULE, Part
from workbench.yamltext import describe

RETIRED = "retired"
_FIELDS: dict[str, Part] = {
    "title": "dimension", "question": "question", "weight": "weight", "considers": "considers", "allow_na": "allow_na",
}  # fmt: skip


class Place(NamedTuple):
    """Where a part is. Clauses and precedents are found by id alone, in whatever section they stand."""

    part: Part | Literal["order"]
    section: str  # "document", "general", a dimension key or "overall"; empty for clauses and precedents
    id: str

    def __str__(self) -> str:
        return "/".join(filter(None, self))


class Placed(NamedTuple):
    """A clause or precedent with the section that it stands in."""

    section: str
    item: Any


Parts = dict[Place, Any]


@dataclass(frozen=True)
class Patch:
    """What differs between two bodies: (before, after) by place; None where the part is not there."""

    changes: Mapping[Place, tuple[Any, Any]]
    whole: frozenset[str]
    """Keys of the dimensions that count as one part each."""


def patch(before: Body, after: Body, whole: Collection[str] | None = None) -> Patch:
    """Return what has to be changed in ``before`` to get ``after``.

    The dimensions named in ``whole`` are one part each; by default those that only one of the two has.
    """
    together = frozenset(before.keys) ^ frozenset(after.keys) if whole is None else frozenset(whole)
    a, b = take_apart(before, together), take_apart(after, together)
    pairs = {place: (a.get(place), b.get(place)) for place in dict.fromkeys([*a, *b])}
    return Patch({place: (old, new) for place, (old, new) in pairs.items() if old != new}, together)


def apply(body: Body, patch: Patch) -> Body:
    """Return ``body`` with a patch applied; ``apply(a, patch(a, b)) == b``.

    Raises:
        BadInput: if a part that the patch changes is not as the patch found it, or the result breaks a rule.
    """
    parts = take_apart(body, patch.whole)
    for place, (before, _) in patch.changes.items():
        if parts.get(place) != before:
            raise BadInput(
                f"The change of {place} was made for another text of it.", "Merge the versions instead."
            )
    try:
        return put_together(changed(parts, {place: after for place, (_, after) in patch.changes.items()}))
    except ValidationError as error:
        raise BadInput(*describe(error, "The changed policy")) from error


def take_apart(body: Body, whole: Collection[str]) -> Parts:
    """Return all parts of a body by place, in reading order; dimensions named in ``whole`` are one part each."""
    rule = body.overall
    parts: Parts = {
        Place("title", DOCUMENT, "title"): body.title,
        Place("purpose", DOCUMENT, "purpose"): body.purpose,
        Place("pair", DOCUMENT, "pair"): body.pair,
        Place("combine", OVERALL_RULE, "combine"): rule.combine,
        Place("cut_points", OVERALL_RULE, "cut points"): rule.cut_points,
        Place("order", DOCUMENT, RETIRED): body.retired,
    }

    def listed(part: Part, section: str, name: str, items: Mapping[str, Any], at: str) -> None:
        parts[Place("order", section, name)] = tuple(items)
        parts.update({Place(part, at, id): item for id, item in items.items()})

    def placed(part: Part, section: str, name: str, items: Iterable[Any]) -> None:
        listed(part, section, name, {item.id: Placed(section, item) for item in items}, at="")

    listed("term", DOCUMENT, "terms", {term.term: term for term in body.terms}, DOCUMENT)
    placed("clause", GENERAL, "clauses", body.general)
    parts[Place("order", DOCUMENT, "dimensions")] = body.keys
    for dimension in body.dimensions:
        key = dimension.key
        if key in whole:
            parts[Place("dimension", key, key)] = dimension
            continue
        parts.update({Place(part, key, field): getattr(dimension, field) for field, part in _FIELDS.items()})
        parts.update({Place("level", key, f"level {level.value}"): level for level in dimension.levels})
        placed("clause", key, "clauses", dimension.clauses)
        placed("precedent", key, "precedents", dimension.precedents)
    listed("gate", OVERALL_RULE, "gates", {gate.id: gate for gate in rule.gates}, OVERALL_RULE)
    return parts


def put_together(parts: Parts) -> Body:
    """Return the body of some parts; an order may name what is not there. ValidationError if it breaks a rule."""
    sorted_out: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for place, value in parts.items():
        section, item = value if isinstance(value, Placed) else (place.section, value)
        sorted_out[place.part, section][place.id] = item

    def listed(part: str, section: str, name: str) -> tuple[Any, ...]:
        items = sorted_out[part, section]
        return tuple(items[id] for id in parts[Place("order", section, name)] if id in items)

    dimensions = []
    for key in parts[Place("order", DOCUMENT, "dimensions")]:
        whole = parts.get(Place("dimension", key, key))
        if isinstance(whole, Dimension):  # and not the title of a dimension called title
            dimensions.append(whole)
        elif Place("question", key, "question") in parts:
            fields: dict[str, Any] = {
                field: parts[Place(part, key, field)] for field, part in _FIELDS.items()
            }
            levels = sorted(sorted_out["level", key].values(), key=lambda level: int(level.value))
            clauses = listed("clause", key, "clauses")
            precedents = listed("precedent", key, "precedents")
            dimensions.append(
                Dimension(key=key, levels=tuple(levels), clauses=clauses, precedents=precedents, **fields)
            )
    general = listed("clause", GENERAL, "clauses")
    gates = listed("gate", OVERALL_RULE, "gates")
    used = {item.id for item in (*general, *gates)}
    used |= {clause.id for dimension in dimensions for clause in dimension.clauses}
    used |= {precedent.id for dimension in dimensions for precedent in dimension.precedents}
    return Body(
        title=parts[Place("title", DOCUMENT, "title")],
        purpose=parts[Place("purpose", DOCUMENT, "purpose")],
        terms=listed("term", DOCUMENT, "terms"),
        pair=parts[Place("pair", DOCUMENT, "pair")],
        general=general,
        dimensions=tuple(dimensions),
        overall=Overall(
            combine=parts[Place("combine", OVERALL_RULE, "combine")],
            cut_points=parts[Place("cut_points", OVERALL_RULE, "cut points")],
            gates=gates,
        ),
        # Where one side retired what the merged body holds after all, it is in use.
        retired=tuple(id for id in parts[Place("order", DOCUMENT, RETIRED)] if id not in used),
    )


def changed(parts: Parts, changes: Mapping[Place, Any]) -> Parts:
    """Return ``parts`` with some replaced; None removes one."""
    return {place: value for place, value in {**parts, **changes}.items() if value is not None}
