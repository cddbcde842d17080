"""Parts of a policy that were read from a document to one valid body: ids, scales, questions, overall rule."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from workbench.expression import Expression
from workbench.identity import Value
from workbench.outline_examples import ExampleText
from workbench.policy import Body, Clause, Dimension, Example, Gate, Layout, Level, Overall, Precedent, Term

DEFAULT_LEVELS = tuple(
    Level(value=value, name=name) for value, name in enumerate(("None", "Little", "Half", "Most", "Full"))
)
"""The scale of a dimension for which a document has none."""

_VALID_ID = re.compile(r"[a-z][a-z0-9_]*\.[a-z]?[0-9]+")


class Unplaced(Value):
    """A text that had no place under its heading, and the id of the general rule it became."""

    heading: str
    text: str
    id: str


class Renumbered(Value):
    """An id or number that the document writes and that could not stay, and the id given instead."""

    written: str
    id: str


class Built(Value):
    """A body made of a document, and everything about it that a person should see before keeping it.

    ``structural`` are headings and table headers that are now structure and no text of the body, ``left_out``
    the texts under headings whose role is ``leave_out``, ``written`` the ids of the body that the document itself
    writes; the others were given.
    """

    body: Body
    unplaced: tuple[Unplaced, ...] = ()
    renumbered: tuple[Renumbered, ...] = ()
    structural: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


@dataclass
class Rule:
    """A clause to be; ``written`` is the id or number it has in the document."""

    text: str
    written: str = ""
    split_from: str | None = None
    unplaced_under: str | None = None
    id: str = ""


@dataclass
class DimensionParts:
    """What was read of one dimension; ``facts`` says whether weight, fields or N/A were written at all."""

    title: str = ""
    question: str = ""
    facts: bool = False
    weight: float = 1.0
    considers: tuple[str, ...] = ()
    allow_na: bool = False
    levels: dict[int, Level] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    examples: list[ExampleText] = field(default_factory=list)

    def add_level(self, level: Level) -> None:
        """Add a level; what is said twice of one value is put together."""
        old = self.levels.get(level.value)
        if old is None:
            self.levels[level.value] = level
            return
        unnamed = f"Level {level.value}"
        name = level.name if old.name == unnamed else old.name
        extra = "" if level.name in (name, unnamed) else level.name
        criteria = "\n\n".join(filter(None, [old.criteria, extra, level.criteria]))
        self.levels[level.value] = Level(value=level.value, name=name, criteria=criteria)


@dataclass
class Parts:
    """What was read of a whole document."""

    title: str = ""
    purpose: list[str] = field(default_factory=list)
    terms: dict[str, str] = field(default_factory=dict)
    general: list[Rule] = field(default_factory=list)
    dimensions: dict[str, DimensionParts] = field(default_factory=dict)
    shared: DimensionParts = field(default_factory=DimensionParts)
    combine: str = ""
    cut_points: tuple[float, ...] = ()
    gates: list[tuple[str, str, Gate]] = field(default_factory=list)
    """(source text, heading, gate with the id it has in the document)."""
    retired: list[str] = field(default_factory=list)
    structural: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def assemble(parts: Parts, pair: Layout, base: Body | None = None) -> Built:
    """Return the body that ``parts`` make; what cannot stay as it is becomes a clause, and a note says so.

    Args:
        base: where scales, questions, weights and the overall rule are taken from that the parts do not say.
    """
    return _Assembly(parts, pair, base).built()


class _Ids:
    """Gives every id once: written ones first come first served, then numbers, then the next free number."""

    def __init__(self, retired: Iterable[str]) -> None:
        self.used = set(retired)
        self.kept: dict[str, str] = {}
        self.renumbered: list[Renumbered] = []
        self.highest: dict[str, int] = {}
        for one in self.used:
            self._note(one)

    def keep(self, written: str) -> str:
        """Return ``written`` if it is valid and free, else nothing."""
        if not _VALID_ID.fullmatch(written) or len(written) > 80 or written in self.used:
            return ""
        self._take(written)
        self.kept[written] = written
        return written

    def give(self, stem: str, written: str) -> str:
        """Return a new id that starts with ``stem`` (``skills.`` or ``skills.p``)."""
        number = written.rpartition(".")[2]
        wish = f"{stem}{int(number)}" if number.isdigit() and not _VALID_ID.fullmatch(written) else ""
        fresh = wish if wish and wish not in self.used and int(number) else ""
        fresh = fresh or f"{stem}{self.highest.get(stem, 0) + 1}"
        self._take(fresh)
        if written:
            self.kept.setdefault(written, fresh)
            self.renumbered.append(Renumbered(written=written, id=fresh))
        return fresh

    def _take(self, one: str) -> None:
        self.used.add(one)
        self._note(one)

    def _note(self, one: str) -> None:
        match = re.fullmatch(r"(.*?\.[a-z]?)(\d+)", one)
        if match:
            self.highest[match[1]] = max(self.highest.get(match[1], 0), int(match[2]))


class _Assembly:
    def __init__(self, parts: Parts, pair: Layout, base: Body | None) -> None:
        self.parts = parts
        self.pair = pair
        self.base = base
        self.before = {dimension.key: dimension for dimension in base.dimensions} if base else {}
        self.notes = parts.notes
        self.ids = _Ids(parts.retired)

    def built(self) -> Built:
        parts = self.parts
        if not parts.dimensions:
            parts.dimensions["fit"] = DimensionParts(title="Fit")
            self.notes.append("No heading is a dimension; one with the key 'fit' was added.")
        self._keep_facts()
        self._scales()
        overall = self._overall()
        for key, dimension in parts.dimensions.items():
            self._examples(key, dimension)
        gates = self._gates(overall)
        self._number()
        dimensions = tuple(self._dimension(key, one) for key, one in parts.dimensions.items())
        body = Body(
            title=parts.title,
            purpose="\n\n".join(parts.purpose),
            terms=tuple(Term(term=term, meaning=meaning) for term, meaning in parts.terms.items()),
            pair=self.pair,
            general=_clauses(parts.general),
            dimensions=dimensions,
            overall=overall.model_copy(update={"gates": gates}),
            retired=tuple(parts.retired),
        )
        return Built(
            body=body,
            unplaced=tuple(
                Unplaced(heading=rule.unplaced_under, text=rule.text, id=rule.id)
                for rule in parts.general
                if rule.unplaced_under is not None
            ),
            renumbered=tuple(self.ids.renumbered),
            structural=tuple(text for text in parts.structural if text),
            left_out=tuple(text for text in parts.left_out if text),
            notes=tuple(self.notes),
            written=tuple(written for written, one in self.ids.kept.items() if written == one),
        )

    def _keep_facts(self) -> None:
        """Take from ``base`` the question, weight, fields and N/A of a dimension for which the document has none."""
        fields = set(self.pair.field_names())
        for key, before in self.before.items():
            parts = self.parts.dimensions.get(key)
            if parts is None:
                continue
            parts.question = parts.question or before.question
            if not parts.facts:
                parts.weight, parts.allow_na = before.weight, before.allow_na
                parts.considers = tuple(field for field in before.considers if field in fields)

    def _scales(self) -> None:
        """Complete every scale: no gap, two levels at least; one from elsewhere where a dimension has none."""
        shared, used = self.parts.shared, False
        for key, dimension in self.parts.dimensions.items():
            if not dimension.levels and shared.levels:
                dimension.levels, used = dict(shared.levels), True
                self.notes.append(f"{key} has no levels of its own; it has those of the shared scale.")
            elif not dimension.levels and key in self.before:
                dimension.levels = {level.value: level for level in self.before[key].levels}
                self.notes.append(f"{key} has no levels in the document; it keeps those it has.")
            elif not dimension.levels:
                dimension.levels = {level.value: level for level in DEFAULT_LEVELS}
                self.notes.append(f"{key} has no levels in the document; it has the usual 0 to 4.")
            values = sorted(dimension.levels)
            first = 0 if len(values) == 1 else values[0]
            missing = set(range(first, max(values[-1], first + 1) + 1)) - set(values)
            for value in sorted(missing):
                dimension.levels[value] = Level(value=value, name=f"Level {value}")
                self.notes.append(f"{key} says nothing of level {value}; it was added without criteria.")
        if shared.levels and not used:
            self.parts.general.extend(
                Rule(f"{level.value} – {level.name}: {level.criteria}".strip(": "), unplaced_under="")
                for level in shared.levels.values()
            )

    def _overall(self) -> Overall:
        if self.base:
            self._keep_overall(self.base)
        cut_points, combine = self.parts.cut_points, self.parts.combine or "weighted_mean"
        if not cut_points:
            top = max(max(one.levels) for one in self.parts.dimensions.values())
            cut_points = tuple(round(top * i / (top + 1), 4) for i in range(1, top + 1))
            self.notes.append(
                "The document has no cut points for the overall grade; equal steps are assumed."
            )
        return Overall.model_validate({"combine": combine, "cut_points": cut_points})

    def _keep_overall(self, base: Body) -> None:
        """Take from ``base`` what the document does not say of the overall rule; its gates if it says nothing."""
        parts, rule = self.parts, base.overall
        if not (parts.combine or parts.cut_points or parts.gates):
            for gate in rule.gates:
                if set(Expression(gate.when).names) <= set(parts.dimensions):
                    parts.gates.append((f"When {gate.when}: {gate.because}", "", gate))
                else:
                    self.notes.append(
                        f"{gate.id} ({gate.when}) speaks of a dimension that the document does not have; it is gone."
                    )
            self.notes.append("The document has no overall rule; the one there is stays.")
        parts.combine = parts.combine or rule.combine
        parts.cut_points = parts.cut_points or rule.cut_points

    def _gates(self, overall: Overall) -> tuple[Gate, ...]:
        gates = []
        for text, heading, gate in self.parts.gates:
            bound = gate.at_most if gate.at_most is not None else gate.at_least
            unknown = set(Expression(gate.when).names) - set(self.parts.dimensions)
            if bound not in overall.scale or unknown:
                self.parts.general.append(Rule(text, unplaced_under=heading))
                self.notes.append(
                    f"The gate on `{gate.when}` does not fit the dimensions; it is a general rule."
                )
                continue
            written = gate.id
            one = self.ids.keep(written) or self.ids.give("gate.", written)
            gates.append(gate.model_copy(update={"id": one}))
        return tuple(gates)

    def _examples(self, key: str, dimension: DimensionParts) -> None:
        """Turn examples without a grade of the scale into clauses."""
        good = []
        for example in dimension.examples:
            if example.grade == "N/A" and not dimension.allow_na:
                dimension.allow_na = True
                self.notes.append(f"An example of {key} is N/A, so {key} allows N/A.")
            if example.grade == "N/A" or example.grade in dimension.levels:
                good.append(example)
            else:
                dimension.rules.append(Rule(example.text, example.written))
                self.notes.append(f"An example of {key} has no grade of its scale; it is a clause.")
        dimension.examples = good

    def _number(self) -> None:
        sections = [("general", self.parts.general)]
        sections += [(key, one.rules) for key, one in self.parts.dimensions.items()]
        examples = [(key, e) for key, one in self.parts.dimensions.items() for e in one.examples]
        for rule in (rule for _, rules in sections for rule in rules):
            rule.id = self.ids.keep(rule.written)
        for _, example in examples:
            example.id = self.ids.keep(example.written)
        for key, rules in sections:
            for rule in rules:
                rule.id = rule.id or self.ids.give(f"{key}.", rule.written)
        for key, example in examples:
            example.id = example.id or self.ids.give(f"{key}.p", example.written)

    def _dimension(self, key: str, parts: DimensionParts) -> Dimension:
        title = parts.title or key
        if not parts.question:
            self.notes.append(f"{key} asks no question in the document; one was made of its title.")
        return Dimension(
            key=key,
            title=title,
            question=parts.question or f"How good is the pair on this: {title}?",
            weight=parts.weight,
            considers=parts.considers,
            allow_na=parts.allow_na,
            levels=tuple(parts.levels[value] for value in sorted(parts.levels)),
            clauses=_clauses(parts.rules),
            precedents=tuple(self._precedent(example) for example in parts.examples),
        )

    def _precedent(self, example: ExampleText) -> Precedent:
        rules = [*self.parts.general, *(rule for one in self.parts.dimensions.values() for rule in one.rules)]
        # Ids that were only given say nothing: the document cannot mean them.
        known = {rule.id for rule in rules if rule.written}
        cites = [self.ids.kept.get(cited, cited) for cited in example.cites]
        for cited in sorted(set(cites) - known):
            self.notes.append(
                f"The example {example.id} cites '{cited}', which no clause is called; that was left out."
            )
        return Precedent(
            id=example.id,
            pair=Example(query=example.query, document=example.document),
            grade=None if example.grade == "N/A" else example.grade,
            because=example.because,
            cites=tuple(dict.fromkeys(cited for cited in cites if cited in known)),
        )


def _clauses(rules: Iterable[Rule]) -> tuple[Clause, ...]:
    return tuple(Clause(id=rule.id, text=rule.text, split_from=rule.split_from) for rule in rules)
