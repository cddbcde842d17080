"""Which rules of an imported document are rules of the policy already, so that they keep their ids.

A document that left a policy, was edited in a word processor and comes back has the same clauses, some reworded. Its
clauses are matched with those of the policy by what they say (:mod:`workbench.text_matching`), section by section.
What could be one of two is neither: it becomes a new clause, and the old ones are retired.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from workbench.identity import Value
from workbench.policy import Body, Clause, Dimension, Gate, Level, Precedent, Term
from workbench.policy_assembly import Built, Renumbered
from workbench.policy_diff import show
from workbench.policy_edit import edit
from workbench.text_matching import match, plain, same_text, with_code_marks

Part = TypeVar("Part", bound=Value)


def keep_ids(built: Built, base: Body) -> Built:
    """Return ``built`` as an edit of ``base``: what is the same rule has the same id, a new rule an id never used.

    Ids of ``base`` that are gone are retired, its retired ids stay so, and a text that differs from that of ``base``
    only as :func:`~workbench.text_matching.same_text` allows is that of ``base``.
    """
    ids = _Numbering(built, base).ids
    body = _settled(_renamed(built.body, ids), base)
    used = _ids(body)
    gone = [*base.retired, *(one for one in _ids(base) if one not in used), *built.body.retired]
    body = edit(body, retired=tuple(dict.fromkeys(one for one in gone if one not in used)))
    moved = [Renumbered(written=one, id=ids[one]) for one in built.written if ids[one] != one]
    before = [item.model_copy(update={"id": ids.get(item.id, item.id)}) for item in built.renumbered]
    return built.model_copy(
        update={
            "body": body,
            "unplaced": tuple(
                one.model_copy(update={"id": ids.get(one.id, one.id)}) for one in built.unplaced
            ),
            "renumbered": tuple(item for item in [*before, *moved] if item.written != item.id),
            "written": tuple(used),
        }
    )


# Ids


class _Numbering:
    """Gives each part of a built body its id: that of the old part it is, its own written one, or the next free."""

    def __init__(self, built: Built, base: Body) -> None:
        self.written = set(built.written)
        self.ids: dict[str, str] = {}
        new, old = built.body, base
        self._match(_clauses(new.general), _clauses(old.general))
        before = {dimension.key: dimension for dimension in old.dimensions}
        for dimension in new.dimensions:
            if known := before.get(dimension.key):
                self._match(_clauses(dimension.clauses), _clauses(known.clauses))
                self._match(_precedents(dimension), _precedents(known))
        self._match(_gates(new), _gates(old))
        self._match_moved(new, old)
        self.used = {*_ids(old), *old.retired, *self.ids.values()}
        highest: dict[str, int] = {}
        for one in (*self.used, *(one for one in _ids(new) if one in self.written)):
            stem, number = _parted(one)
            highest[stem] = max(highest.get(stem, 0), number)
        for one, stem in _stems(new).items():
            if one in self.ids:
                continue
            if one in self.written and one not in self.used:
                self.ids[one] = one
            else:
                highest[stem] = highest.get(stem, 0) + 1
                self.ids[one] = f"{stem}{highest[stem]}"
            self.used.add(self.ids[one])

    def _match(self, new: Mapping[str, str], old: Mapping[str, str]) -> None:
        self.ids.update(match(new, old, self.written))

    def _match_moved(self, new: Body, old: Body) -> None:
        """Match clauses that stand in another section now: by their written id, or by a text there is once."""
        taken = set(self.ids.values())
        left = {clause.id: clause.text for _, clause in new.clauses() if clause.id not in self.ids}
        free = {clause.id: clause.text for _, clause in old.clauses() if clause.id not in taken}
        for one in [one for one in left if one in self.written and one in free]:
            self.ids[one] = one
            del left[one], free[one]
        times = Counter(map(plain, left.values())), Counter(map(plain, free.values()))
        by_text = {plain(text): one for one, text in free.items()}
        for one, text in left.items():
            key = plain(text)
            if times[0][key] == times[1][key] == 1:
                self.ids[one] = by_text[key]


def _parted(one: str) -> tuple[str, int]:
    stem = one.rstrip("0123456789")
    return stem, int(one[len(stem) :])


def _stems(body: Body) -> dict[str, str]:
    """Return id -> how a new id in its place begins, in reading order."""
    stems = {clause.id: f"{section}." for section, clause in body.clauses()}
    stems |= {p.id: f"{dimension.key}.p" for dimension in body.dimensions for p in dimension.precedents}
    return stems | {gate.id: "gate." for gate in body.overall.gates}


def _ids(body: Body) -> tuple[str, ...]:
    return tuple(_stems(body))


def _clauses(clauses: Iterable[Clause]) -> dict[str, str]:
    return {clause.id: clause.text for clause in clauses}


def _precedents(dimension: Dimension) -> dict[str, str]:
    return {precedent.id: show(precedent) for precedent in dimension.precedents}


def _gates(body: Body) -> dict[str, str]:
    return {gate.id: show(gate) for gate in body.overall.gates}


def _renamed(body: Body, ids: Mapping[str, str]) -> Body:
    """Return ``body`` with every id replaced, also where it is cited."""

    def clause(old: Clause) -> Clause:
        origin = old.split_from and ids.get(old.split_from, old.split_from)
        return old.model_copy(update={"id": ids[old.id], "split_from": origin})

    def precedent(old: Precedent) -> Precedent:
        return old.model_copy(update={"id": ids[old.id], "cites": tuple(ids[cited] for cited in old.cites)})

    def dimension(old: Dimension) -> Dimension:
        clauses, precedents = map(clause, old.clauses), map(precedent, old.precedents)
        return old.model_copy(update={"clauses": tuple(clauses), "precedents": tuple(precedents)})

    gates = tuple(gate.model_copy(update={"id": ids[gate.id]}) for gate in body.overall.gates)
    return body.model_copy(
        update={
            "general": tuple(map(clause, body.general)),
            "dimensions": tuple(map(dimension, body.dimensions)),
            "overall": body.overall.model_copy(update={"gates": gates}),
            "retired": (),
        }
    )


# Texts


def _settled(new: Body, old: Body) -> Body:
    """Return ``new`` with the texts of ``old`` where they say the same."""
    terms = {plain(term.term).casefold(): term for term in old.terms}
    clauses = {clause.id: clause for _, clause in old.clauses()}
    dimensions = {dimension.key: dimension for dimension in old.dimensions}
    gates = {gate.id: gate for gate in old.overall.gates}
    known = {clause.id for _, clause in new.clauses()}

    def term(one: Term) -> Term:
        before = terms.get(plain(one.term).casefold())
        return _texts(one, before, "term", "meaning") if before else one

    def clause(one: Clause) -> Clause:
        before = clauses.get(one.id)
        if before is None:
            return one
        # Where a clause was split from is history, which a document may leave out.
        one = one.model_copy(update={"split_from": one.split_from or before.split_from})
        return _texts(one, before, "text")

    def dimension(one: Dimension) -> Dimension:
        before = dimensions.get(one.key)
        update: dict[str, Any] = {"clauses": tuple(map(clause, one.clauses))}
        if before is not None:
            levels = {level.value: level for level in before.levels}
            precedents = {precedent.id: precedent for precedent in before.precedents}
            update |= {
                "levels": tuple(_level(level, levels.get(level.value)) for level in one.levels),
                "precedents": tuple(_precedent(p, precedents.get(p.id), known) for p in one.precedents),
            }
            if set(one.considers) == set(before.considers):
                update["considers"] = before.considers
            one = _texts(one, before, "title", "question")
        return one.model_copy(update=update)

    def gate(one: Gate) -> Gate:
        before = gates.get(one.id)
        return _texts(one, before, "when", "because") if before else one

    new = _texts(new, old, "title", "purpose")
    overall = new.overall.model_copy(update={"gates": tuple(map(gate, new.overall.gates))})
    return new.model_copy(
        update={
            "terms": tuple(map(term, new.terms)),
            "general": tuple(map(clause, new.general)),
            "dimensions": tuple(map(dimension, new.dimensions)),
            "overall": overall,
        }
    )


def _level(one: Level, before: Level | None) -> Level:
    return _texts(one, before, "name", "criteria") if before else one


def _precedent(one: Precedent, before: Precedent | None, known: Collection[str]) -> Precedent:
    if before is None:
        return one
    # An example in free text says neither which pair it is nor which clauses decide it.
    cites = one.cites or tuple(cited for cited in before.cites if cited in known)
    pair = one.pair if one.pair.query or one.pair.document else before.pair
    one = one.model_copy(update={"pair": pair, "cites": cites})
    sides = {
        side: {
            name: fields[name] if name in fields and same_text(text, fields[name]) else text
            for name, text in getattr(one.pair, side).items()
        }
        for side, fields in (("query", before.pair.query), ("document", before.pair.document))
    }
    cites = before.cites if set(one.cites) == set(before.cites) else one.cites
    one = one.model_copy(update={"pair": one.pair.model_copy(update=sides), "cites": cites})
    return _texts(one, before, "because")


def _texts(new: Part, old: Value, *names: str) -> Part:
    """Return ``new`` with those of its texts replaced that say the same in ``old``."""
    pairs = {name: (getattr(new, name), getattr(old, name)) for name in names}
    texts = {name: b if same_text(a, b) else with_code_marks(a, b) for name, (a, b) in pairs.items()}
    return new.model_copy(update=texts)
