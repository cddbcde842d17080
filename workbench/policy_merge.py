"""Three-way merge of policy bodies, by the parts of :mod:`workbench.policy_patch`.

The patch from base to mine is applied to theirs, except where theirs changed the same part to something else. A
dimension that one of the sides does not have is one part as a whole, so that removing it is one decision. Orders
are woven and not replaced: both sides may add to the same list, and one side may move what the other rewords.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from pydantic import ValidationError

from workbench.errors import BadInput, NotFound
from workbench.identity import Value
from workbench.policy import Body, Clause
from workbench.policy_diff import OVERALL_RULE, Part, show
from workbench.policy_patch import RETIRED, Parts, Place, Placed, changed, patch, put_together, take_apart

Choice = Literal["theirs", "mine", "both"]
_NO_PROSE = {"pair", "considers", "when", "retired"}
"""Keys under which a text that looks like an id is data and not a mention of it."""


class Conflict(Value):
    """A part that both sides changed differently, or a change of mine that theirs no longer allows (``reason``)."""

    place: str  # what :func:`resolve` knows it by
    part: Part | Literal["order"]
    section: str
    id: str
    base: str  # texts to show; empty where the part is not there
    theirs: str
    mine: str
    reason: str = ""
    both: bool = False  # whether "both" is a choice: two wordings of one clause


class Merged(Value):
    """The outcome of a merge; ``body`` is valid and holds theirs wherever a conflict is open."""

    body: Body
    conflicts: tuple[Conflict, ...]
    renamed: dict[str, str]  # ids of mine that theirs had given to something else -> the id they have now
    base: Body
    theirs: Body
    mine: Body  # with the new ids
    choices: dict[str, Choice] = {}


def merge(base: Body, theirs: Body, mine: Body) -> Merged:
    """Return ``theirs`` (published meanwhile) with what ``mine`` changed since ``base``.

    A part changed on one side takes that side, a part changed on both to the same is no conflict. Two new things
    under one id are both kept: mine gets the next free id, also where mine cites or mentions it. A removal against
    an edit is a conflict, as is a change of mine that breaks a rule together with theirs. Retired ids of all three
    stay retired.
    """
    base, theirs, mine = map(_plain, (base, theirs, mine))
    mine, renamed = _renamed(base, theirs, mine)
    return _settled(base, theirs, mine, renamed, {})


def resolve(merged: Merged, choices: Mapping[str, Choice]) -> Merged:
    """Return the merge with conflicts settled; those not chosen, now or earlier, stay open.

    ``both`` keeps the wording of theirs and adds mine behind it as a new clause split from it.

    Raises:
        NotFound: for a place that is no conflict.
        BadInput: for a choice that the conflict does not offer, or choices that break a rule together.
    """
    kept = {place: choice for place, choice in merged.choices.items() if place not in choices}
    sides = merged.base, merged.theirs, merged.mine, merged.renamed
    # A choice that is taken back opens its conflict again.
    before = merged if kept == merged.choices else _settled(*sides, kept)
    offered = {conflict.place: conflict.both for conflict in before.conflicts}
    for place, choice in choices.items():
        if place not in offered:
            raise NotFound.among("conflict", place, offered)
        if choice not in get_args(Choice) or (choice == "both" and not offered[place]):
            raise BadInput(
                f"'{choice}' cannot be chosen for {place}.",
                "Choose theirs or mine; both is for two wordings of a clause.",
            )
    return _settled(*sides, {**kept, **choices})


def _settled(
    base: Body, theirs: Body, mine: Body, renamed: dict[str, str], choices: dict[str, Choice]
) -> Merged:
    whole = frozenset({*base.keys, *theirs.keys, *mine.keys} - (set(theirs.keys) & set(mine.keys)))
    change = patch(base, mine, whole).changes
    old, held, new = (take_apart(body, whole) for body in (base, theirs, mine))
    reasons: dict[Place, str] = {}
    taken: Parts = {}
    both: list[Place] = []
    for place in dict.fromkeys([*held, *new]):
        if place.part == "order":
            orders = [tuple(dict.fromkeys(parts.get(place, ()))) for parts in (old, held, new)]
            taken[place], clash = _order(orders, mine_leads=choices.get(str(place)) == "mine")
            if clash and place.id != RETIRED:
                reasons[place] = ""
    for place, (before, after) in change.items():
        if place.part == "order" or held.get(place) == after:
            continue
        clash = held.get(place) != before
        if clash:
            reasons[place] = ""
        choice = choices.get(str(place), None if clash else "mine")
        if choice == "mine":
            taken[place] = after
        elif choice == "both":
            both.append(place)
    for place in both:
        section, kept = held[place]
        id = _fresh(place.id, theirs, mine, taken=[other.id for other in taken])
        clause = Clause.model_validate({"id": id, "text": new[place].item.text, "from": kept.id})
        taken[Place("clause", "", id)] = Placed(section, clause)
        listed = Place("order", section, "clauses")
        at = taken[listed].index(kept.id) + 1
        taken[listed] = (*taken[listed][:at], id, *taken[listed][at:])

    # What both sides have must not get lost, as a clause would that moved into a dimension that cannot be taken.
    keep = set(_items(theirs)) & set(_items(mine))

    def attempt(without: Collection[Place]) -> Body | str:
        try:
            body = put_together(changed(held, {p: value for p, value in taken.items() if p not in without}))
        except ValidationError as error:
            return str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        lost = sorted(keep - set(_items(body)))
        return f"{lost[0]} would be lost" if lost else body

    free = [
        place for place in taken if place in change and place.part != "order" and str(place) not in choices
    ]
    refused = _refused(attempt, free)
    body = attempt(refused)
    if isinstance(body, str):
        raise BadInput(f"These choices do not go together: {body}.", "Choose the other side for one of them.")
    conflicts = [
        _conflict(place, reason, old.get(place), held.get(place), new.get(place))
        for place, reason in {**reasons, **refused}.items()
        if str(place) not in choices
    ]
    return Merged(
        body=body,
        conflicts=tuple(conflicts),
        renamed=renamed,
        base=base,
        theirs=theirs,
        mine=mine,
        choices=choices,
    )


def _refused(attempt: Callable[[Collection[Place]], Body | str], free: Sequence[Place]) -> dict[Place, str]:
    """Return the few changes without which the body is valid, each with the rule that it would break.

    The rules of a body are known to its validation only, so this asks it: leave out the one change that mends all;
    else one that at least leads to another complaint. Afterwards what need not have been left out is taken again.
    """
    refused: list[Place] = []
    seen: set[str] = set()
    while isinstance(complaint := attempt(refused), str):
        seen.add(complaint)
        outcomes = {place: attempt([*refused, place]) for place in free if place not in refused}
        mends = [place for place, outcome in outcomes.items() if not isinstance(outcome, str)]
        helps = [p for p, outcome in outcomes.items() if isinstance(outcome, str) and outcome not in seen]
        if not (mends or helps):
            return dict.fromkeys(free, complaint)
        refused.append((mends or helps)[0])
    while True:
        outcomes = {place: attempt([p for p in refused if p != place]) for place in refused}
        needless = [place for place, outcome in outcomes.items() if not isinstance(outcome, str)]
        if not needless:
            return {place: str(outcome) for place, outcome in outcomes.items()}
        refused.remove(needless[0])


def _conflict(place: Place, reason: str, *values: Any) -> Conflict:
    placed = [value for value in values if isinstance(value, Placed)]
    texts = [show(value.item if isinstance(value, Placed) else value) for value in values]
    if place.part == "combine":
        texts = [text.replace("_", " ") for text in texts]
    # The same words, but in different sections or split from different clauses.
    if placed and texts[1] == texts[2]:
        texts = [_with_origin(text, value) for text, value in zip(texts, values, strict=True)]
    base, theirs, mine = texts
    return Conflict(
        place=str(place), part=place.part, section=placed[-1].section if placed else place.section, id=place.id,
        base=base, theirs=theirs, mine=mine, reason=reason,
        both=place.part == "clause" and not reason and bool(theirs) and bool(mine),
    )  # fmt: skip


def _with_origin(text: str, value: Placed | None) -> str:
    if value is None:
        return text
    origin = getattr(value.item, "split_from", None)
    return f"{text} (in {value.section}{f', from {origin}' if origin else ''})"


# Orders


def _order(orders: Sequence[Sequence[str]], *, mine_leads: bool) -> tuple[tuple[str, ...], bool]:
    """Return one order of all that is in base, theirs or mine, and whether both sides reordered it differently.

    If they did, theirs leads, or mine where that was chosen. What a side removed is named as well, where it was;
    putting together skips what is not there.
    """
    base, theirs, mine = orders

    def moved(order: Sequence[str]) -> bool:
        return _among(base, order) != _among(order, base)

    clash = moved(theirs) and moved(mine) and _among(theirs, mine) != _among(mine, theirs)
    if not clash:
        mine_leads = moved(mine) and not moved(theirs)
    leader, other = (mine, theirs) if mine_leads else (theirs, mine)
    return _woven(_filled(leader, base), _filled(other, base)), clash


def _among(order: Sequence[str], others: Sequence[str]) -> list[str]:
    return [name for name in order if name in set(others)]


def _filled(order: Sequence[str], base: Sequence[str]) -> list[str]:
    """Return ``order`` with what is missing of ``base`` put behind its predecessor there."""
    filled = list(order)
    for before, name in zip([None, *base], base, strict=False):
        if name not in filled:
            filled.insert(filled.index(before) + 1 if before is not None else 0, name)
    return filled


def _woven(leader: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    """Return the leader's order with what only ``other`` has put behind the same predecessor.

    Where both put something new behind one predecessor, the lower id goes first, whoever leads.
    """
    shared = set(leader) & set(other)
    runs: dict[str | None, list[list[str]]] = defaultdict(list)
    for order in (leader, other):
        run: list[str] = []
        runs[None].append(run)
        for name in order:
            if name in shared:
                run = []
                runs[name].append(run)
            else:
                run.append(name)
    woven: list[str] = []
    for anchor in [None, *(name for name in leader if name in shared)]:
        woven += [anchor] if anchor is not None else []
        for run in sorted(filter(None, runs[anchor]), key=lambda run: _natural(run[0])):
            woven += run
    return tuple(woven)


def _natural(id: str) -> str:
    return re.sub(r"\d+", lambda digits: digits[0].zfill(12), id)


# Ids


def _plain(body: Body) -> Body:
    """Return a body without the header of a published version."""
    return Body.model_validate({name: getattr(body, name) for name in Body.model_fields})


def _items(body: Body) -> dict[str, Placed]:
    """Return everything that has an id of its own: clauses, precedents and gates."""
    clauses = {clause.id: Placed(section, clause) for section, clause in body.clauses()}
    precedents = {p.id: Placed(d.key, p) for d in body.dimensions for p in d.precedents}
    return clauses | precedents | {gate.id: Placed(OVERALL_RULE, gate) for gate in body.overall.gates}


def _fresh(like: str, *bodies: Body, taken: Iterable[str] = ()) -> str:
    """Return the next id after the pattern of ``like`` that none of the bodies has or had."""
    section, number = like.rsplit(".", 1)
    used = [id for body in bodies for id in (*_items(body), *body.retired)]
    crowded = bodies[0].model_copy(update={"retired": (*used, *taken)})
    return crowded.fresh_id(section, prefix=number.rstrip("0123456789"))


def _renamed(base: Body, theirs: Body, mine: Body) -> tuple[Body, dict[str, str]]:
    """Return mine with new ids for what it added under ids that theirs gave away, and old id -> new id."""
    renamed: dict[str, str] = {}
    known, held = _items(base), _items(theirs)
    gone = {*base.retired, *theirs.retired}
    # A change of one id changes what cites it, which may then differ from its namesake in theirs: until none is left.
    while True:
        added = {id: placed for id, placed in _items(mine).items() if id not in known}
        twice = [id for id, placed in added.items() if id in gone or held.get(id, placed) != placed]
        if not twice:
            return mine, renamed
        names: dict[str, str] = {}
        for id in sorted(twice, key=_natural):
            names[id] = _fresh(id, base, theirs, mine, taken=names.values())
        renamed |= names
        either = "|".join(map(re.escape, names))
        mention = re.compile(rf"(?<![\w.])({either})(?!\w|\.\w)")
        mine = Body.model_validate(_replaced(mine.model_dump(by_alias=True), mention, names))


def _replaced(data: Any, mention: re.Pattern[str], names: Mapping[str, str]) -> Any:
    if isinstance(data, str):
        return mention.sub(lambda found: names[found[1]], data)
    if isinstance(data, dict):
        return {
            key: value if key in _NO_PROSE else _replaced(value, mention, names)
            for key, value in data.items()
        }
    if isinstance(data, list | tuple):
        return [_replaced(item, mention, names) for item in data]
    return data
