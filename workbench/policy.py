"""The policy document: dimensions, levels, clauses, precedents and the overall rule, as immutable values.

A :class:`Policy` is one published version. What a person edits is a :class:`Body`, the part of it that people
and judges read; version, author and message are added when it is published. Both are plain data: reading YAML
is :mod:`workbench.yamltext`, keeping files is :mod:`workbench.documents`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, StringConstraints, field_validator, model_validator

from workbench.errors import NotFound
from workbench.expression import Expression
from workbench.identity import Value, content_hash

Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=80)]
ClauseId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*\.[a-z]?[0-9]+$", max_length=80)]
Text = Annotated[str, StringConstraints(strip_whitespace=True)]
Filled = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

OVERALL = "overall"
"""Reserved dimension key: a label or grade of the pair as a whole."""


class Level(Value):
    """One step of a dimension's ordinal scale and what has to be seen in a pair for it."""

    value: int = Field(ge=0, le=20)
    name: Filled
    criteria: Text = ""


class Clause(Value):
    """A numbered rule. Its id is given once, cited by judges, and never used again after it is retired."""

    id: ClauseId
    text: Filled
    split_from: ClauseId | None = Field(default=None, alias="from")


class Example(Value):
    """The (partial) pair a precedent speaks of: field name to text, for each side."""

    query: dict[str, str] = {}
    document: dict[str, str] = {}


class Precedent(Value):
    """A settled example: this pair gets this grade, because; ``grade`` None means not applicable."""

    id: ClauseId
    pair: Example
    grade: int | None
    because: Filled
    cites: tuple[ClauseId, ...] = ()


class Dimension(Value):
    """One question about a pair, answered on an ordinal scale."""

    key: Key
    title: Filled
    question: Filled
    weight: float = Field(default=1.0, ge=0, le=1000)
    considers: tuple[str, ...] = ()
    allow_na: bool = False
    levels: tuple[Level, ...] = Field(min_length=2)
    clauses: tuple[Clause, ...] = ()
    precedents: tuple[Precedent, ...] = ()

    @property
    def scale(self) -> tuple[int, ...]:
        """The declared level values, ascending."""
        return tuple(level.value for level in self.levels)

    @model_validator(mode="after")
    def _coherent(self) -> Dimension:
        values = [level.value for level in self.levels]
        if values != list(range(values[0], values[0] + len(values))):
            raise ValueError(f"level values must be consecutive and ascending, not {values}")
        if self.key == OVERALL:
            raise ValueError("'overall' is reserved for the grade of the whole pair; choose another key")
        if self.key in ("general", "document"):
            raise ValueError(
                f"'{self.key}' is reserved for what stands outside the dimensions; choose another key"
            )
        for precedent in self.precedents:
            if precedent.grade is None and not self.allow_na:
                raise ValueError(f"precedent {precedent.id} is N/A, but {self.key} does not allow N/A")
            if precedent.grade is not None and precedent.grade not in values:
                raise ValueError(f"precedent {precedent.id} has grade {precedent.grade}, outside {values}")
        return self


class Side(Value):
    """How one side of a pair is laid out: what it is called and its fields in reading order."""

    name: Key
    fields: tuple[Key, ...] = Field(min_length=1)


class Layout(Value):
    """Both sides of a pair, for people and for judges."""

    query: Side
    document: Side

    @model_validator(mode="after")
    def _distinct(self) -> Layout:
        if self.query.name == self.document.name:
            raise ValueError(f"both sides are called '{self.query.name}'; give each its own name")
        _refuse_twice("field", self.field_names())
        return self

    def field_names(self) -> list[str]:
        """Return every field as ``side.field``, the form that ``considers`` uses."""
        return [f"{side.name}.{field}" for side in (self.query, self.document) for field in side.fields]


class Term(Value):
    """A word the policy uses in a fixed sense."""

    term: Filled
    meaning: Filled


class Gate(Value):
    """A bound on the overall grade that holds when an expression over dimension grades is true."""

    id: ClauseId
    when: Filled
    at_most: int | None = None
    at_least: int | None = None
    because: Text = ""

    @field_validator("when")
    @classmethod
    def _parses(cls, when: str) -> str:
        Expression(when)
        return when

    @model_validator(mode="after")
    def _one_bound(self) -> Gate:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError(f"gate {self.id} needs exactly one of at_most and at_least")
        return self


class Overall(Value):
    """How dimension grades combine into one overall grade. Changing it needs no new judging."""

    combine: Literal["weighted_mean", "minimum"] = "weighted_mean"
    gates: tuple[Gate, ...] = ()
    cut_points: tuple[FiniteFloat, ...] = Field(min_length=1)

    @property
    def scale(self) -> tuple[int, ...]:
        """The overall levels: 0 below the first cut point, up to the number of cut points."""
        return tuple(range(len(self.cut_points) + 1))

    @model_validator(mode="after")
    def _ascending(self) -> Overall:
        if any(a >= b for a, b in zip(self.cut_points, self.cut_points[1:], strict=False)):
            raise ValueError(f"cut points must ascend, not {list(self.cut_points)}")
        for gate in self.gates:
            bound = gate.at_most if gate.at_most is not None else gate.at_least
            if bound not in self.scale:
                raise ValueError(f"gate {gate.id} bounds the grade by {bound}, outside 0–{self.scale[-1]}")
        return self


class Body(Value):
    """All of a policy that people read and edit."""

    title: Filled
    purpose: Text = ""
    terms: tuple[Term, ...] = ()
    pair: Layout
    general: tuple[Clause, ...] = ()
    dimensions: tuple[Dimension, ...] = Field(min_length=1)
    overall: Overall
    retired: tuple[ClauseId, ...] = ()

    @model_validator(mode="after")
    def _coherent(self) -> Body:
        keys = [dimension.key for dimension in self.dimensions]
        _refuse_twice("dimension", keys)
        _refuse_twice("term", [term.term for term in self.terms])
        ids = [clause.id for _, clause in self.clauses()]
        ids += [p.id for d in self.dimensions for p in d.precedents] + [g.id for g in self.overall.gates]
        _refuse_twice("id", ids)
        used_again = sorted(set(ids) & set(self.retired))
        if used_again:
            raise ValueError(f"id {used_again[0]} is retired and cannot be used again")
        fields = set(self.pair.field_names())
        known = {clause.id for _, clause in self.clauses()}
        for dimension in self.dimensions:
            for field in dimension.considers:
                if field not in fields:
                    raise ValueError(
                        f"{dimension.key} considers '{field}', which is not a field of the pair "
                        f"({', '.join(sorted(fields))})"
                    )
            for precedent in dimension.precedents:
                missing = sorted(set(precedent.cites) - known)
                if missing:
                    raise ValueError(f"precedent {precedent.id} cites {missing[0]}, which does not exist")
        for gate in self.overall.gates:
            unknown = sorted(set(Expression(gate.when).names) - set(keys))
            if unknown:
                raise ValueError(
                    f"gate {gate.id} speaks of '{unknown[0]}', which is not a dimension ({', '.join(keys)})"
                )
        return self

    def clauses(self) -> Iterator[tuple[str, Clause]]:
        """Yield (section, clause) in reading order; the section is ``general`` or a dimension key."""
        for clause in self.general:
            yield "general", clause
        for dimension in self.dimensions:
            for clause in dimension.clauses:
                yield dimension.key, clause

    @property
    def keys(self) -> tuple[str, ...]:
        """Dimension keys in reading order."""
        return tuple(dimension.key for dimension in self.dimensions)

    def dimension(self, key: str) -> Dimension:
        """Return the dimension called ``key``.

        Raises:
            NotFound: with the nearest keys there are.
        """
        for dimension in self.dimensions:
            if dimension.key == key:
                return dimension
        raise NotFound.among("dimension", key, self.keys)

    def scale(self, key: str) -> tuple[int, ...]:
        """Return the declared levels of a dimension, or of the overall grade for ``overall``."""
        return self.overall.scale if key == OVERALL else self.dimension(key).scale

    def fresh_id(self, section: str, *, prefix: str = "") -> str:
        """Return the next id of a section that no clause, precedent or retired id has used."""
        used = {clause.id for _, clause in self.clauses()} | set(self.retired)
        used |= {precedent.id for d in self.dimensions for precedent in d.precedents}
        used |= {gate.id for gate in self.overall.gates}
        pattern = re.compile(rf"^{re.escape(section)}\.{prefix}(\d+)$")
        numbers = [int(match[1]) for match in map(pattern.match, used) if match]
        return f"{section}.{prefix}{max(numbers, default=0) + 1}"


class Policy(Body):
    """One published version of a policy document."""

    name: Name = Field(alias="policy")
    version: int = Field(ge=1)
    parent: int | None = None
    message: Text = ""
    author: Text = ""
    published_at: datetime | None = None

    @property
    def label(self) -> str:
        """The name people call this version by, such as ``job-match v3``."""
        return f"{self.name} v{self.version}"

    @cached_property
    def content_hash(self) -> str:
        """Identity of the whole published document."""
        return content_hash("policy", self.document())

    def document(self) -> dict[str, Any]:
        """Return the document as plain data, header first, in the order of the published YAML."""
        data = self.model_dump(mode="json", by_alias=True, exclude_none=False)
        order = [*HEADER, *(field for field in Body.model_fields)]
        return {key: data[key] for key in order}

    def body(self) -> Body:
        """Return what a draft starts from: the document without version, author and message."""
        return Body.model_validate({key: getattr(self, key) for key in Body.model_fields})

    @classmethod
    def publish(cls, body: Body, **header: Any) -> Policy:
        """Return ``body`` as a published version with the given header fields."""
        return cls.model_validate({**{key: getattr(body, key) for key in Body.model_fields}, **header})


HEADER = ("policy", "version", "parent", "title", "message", "author", "published_at")
"""Keys that come first in a published file, in this order."""


def _refuse_twice(what: str, names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{what} '{twice[0]}' is used twice")
