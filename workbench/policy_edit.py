"""Edits of a policy body: each takes a body and returns a new, checked one.

Ids are stable: a clause keeps its id whatever its wording, place or section, a new part gets an id that was never
used, and the id of a part that is removed is retired. Errors are one sentence with the place and the remedy; an edit
that is refused changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, TypeVar, Unpack

from pydantic import ValidationError

from workbench.errors import BadInput, NotFound, Refused
from workbench.expression import Expression
from workbench.policy import Body, Clause, Dimension, Example, Gate, Level, Precedent, Term
from workbench.yamltext import YamlText, describe, dump, validate

Item = TypeVar("Item")

RESERVED = ("general", "document", "overall")
"""Names of sections that are no dimension, so that no dimension can be called by them."""


class PrecedentFields(TypedDict, total=False):
    """What can be changed of a precedent; its id stays."""

    pair: Example | Mapping[str, Any]
    grade: int | None
    because: str
    cites: Sequence[str]


# The whole document


def edit(body: Body, **changes: Any) -> Body:
    """Return ``body`` with top-level fields replaced (``title``, ``purpose``, ``pair``, …), checked as a whole.

    Raises:
        BadInput: if the result is not a policy.
    """
    values = {name: getattr(body, name) for name in Body.model_fields} | changes
    try:
        return Body.model_validate(values)
    except ValidationError as error:
        raise BadInput(*describe(error, "The draft")) from error


def body_text(body: Body) -> str:
    """Return a body as YAML, for editing the whole document as text."""
    return dump(body.model_dump(mode="json", by_alias=True))


def body_from_text(text: str) -> Body:
    """Return the body that YAML text says.

    Raises:
        BadInput: with the line.
    """
    source = YamlText(text, "The draft")
    return validate(Body, source.data, "The draft", source)


def add_term(body: Body, term: str, meaning: str) -> Body:
    """Return ``body`` with a term defined, behind those there are."""
    new = validate(Term, {"term": term, "meaning": meaning}, "The new term")
    return edit(body, terms=(*body.terms, new))


def set_term(body: Body, term: str, *, meaning: str, rename: str | None = None) -> Body:
    """Return ``body`` with one term's meaning replaced, and the term itself where ``rename`` is given."""
    _term(body, term)
    new = validate(Term, {"term": term if rename is None else rename, "meaning": meaning}, f"Term '{term}'")
    return edit(body, terms=tuple(new if old.term == term else old for old in body.terms))


def remove_term(body: Body, term: str) -> Body:
    """Return ``body`` without a term."""
    _term(body, term)
    return edit(body, terms=tuple(old for old in body.terms if old.term != term))


# Clauses


def set_clause(body: Body, clause_id: str, text: str) -> Body:
    """Return ``body`` with one clause's text replaced; its id stays."""
    section = _section_of(body, clause_id)
    clauses = [
        _clause(c.id, text, c.split_from, f"Clause {c.id}") if c.id == clause_id else c
        for c in _clauses(body, section)
    ]
    return _with_clauses(body, {section: clauses})


def add_clause(body: Body, section: str, text: str, *, split_from: str | None = None) -> Body:
    """Return ``body`` with a clause added at the end of a section (right behind the one it was split from)."""
    clauses = list(_clauses(body, section))
    ids = [clause.id for clause in clauses]
    new = _clause(body.fresh_id(section), text, split_from, f"The new clause of {section}")
    clauses.insert(ids.index(split_from) + 1 if split_from in ids else len(clauses), new)
    return _with_clauses(body, {section: clauses})


def split_clause(body: Body, clause_id: str, first: str, second: str) -> Body:
    """Return ``body`` with a clause made two: its id keeps ``first``, a new one right behind it says ``second``."""
    return add_clause(
        set_clause(body, clause_id, first), _section_of(body, clause_id), second, split_from=clause_id
    )


def retire_clause(body: Body, clause_id: str) -> Body:
    """Return ``body`` without a clause; its id is kept as used, and precedents stop citing it."""
    _section_of(body, clause_id)
    return _without(body, [clause_id])


def move_clause(body: Body, clause_id: str, *, section: str | None = None, position: int) -> Body:
    """Return ``body`` with a clause at another place, in its own or another section; its id stays.

    Args:
        body: What is edited.
        clause_id: The clause.
        section: ``general`` or a dimension key; None is the section where it stands.
        position: 0-based, among the clauses of the section without this one.

    Raises:
        NotFound: for a clause or section that is not there.
        BadInput: for a position that the section does not have.
    """
    source = _section_of(body, clause_id)
    target = source if section is None else section
    clause = next(clause for clause in _clauses(body, source) if clause.id == clause_id)
    left, others = (
        [clause for clause in _clauses(body, at) if clause.id != clause_id] for at in (source, target)
    )
    return _with_clauses(
        body, {source: left, target: _inserted(others, clause, position, f"clause of {target}")}
    )


def shift_clause(body: Body, clause_id: str, by: int) -> Body:
    """Return ``body`` with a clause ``by`` places further down its section (up if negative), at most to its end."""
    ids = [clause.id for clause in _clauses(body, _section_of(body, clause_id))]
    position = min(max(ids.index(clause_id) + by, 0), len(ids) - 1)
    return move_clause(body, clause_id, position=position)


# Dimensions and their levels


def set_dimension(body: Body, key: str, **changes: Any) -> Body:
    """Return ``body`` with fields of one dimension replaced (``title``, ``question``, ``weight``, …)."""
    body.dimension(key)
    return edit(body, dimensions=[_updated(d, changes) if d.key == key else d for d in body.dimensions])


def add_dimension(body: Body, key: str, title: str, question: str) -> Body:
    """Return ``body`` with a dimension added at the end.

    It has the level values and names of the first dimension; their criteria are empty, which lint reports until they
    are written.

    Raises:
        BadInput: for a key that is in use, reserved or not a key.
    """
    if key in RESERVED:
        raise BadInput(f"'{key}' is the name of another part of a policy.", "Choose another key.")
    if key in body.keys:
        raise BadInput(
            f"There is a dimension '{key}' already.", "Choose another key, or edit that dimension."
        )
    levels = [level.model_copy(update={"criteria": ""}) for level in body.dimensions[0].levels]
    values = {"key": key, "title": title, "question": question, "levels": levels}
    new = validate(Dimension, values, "The new dimension")
    return edit(body, dimensions=(*body.dimensions, new))


def remove_dimension(body: Body, key: str) -> Body:
    """Return ``body`` without a dimension; the ids of its clauses and precedents are retired.

    Raises:
        Refused: if a gate speaks of the dimension, or it is the only one.
    """
    dimension = body.dimension(key)
    speaking = [gate for gate in body.overall.gates if key in Expression(gate.when).names]
    if speaking:
        raise Refused(
            f"{speaking[0].id} ('{speaking[0].when}') speaks of {key}.",
            f"Change or remove that gate, then remove {key}.",
        )
    if len(body.dimensions) == 1:
        raise Refused(f"{key} is the only dimension of this policy.", "Add another one before removing it.")
    gone = [*(clause.id for clause in dimension.clauses), *(p.id for p in dimension.precedents)]
    kept = [other for other in body.dimensions if other.key != key]
    return _without(body.model_copy(update={"dimensions": tuple(kept)}), gone)


def move_dimension(body: Body, key: str, position: int) -> Body:
    """Return ``body`` with a dimension at another place, 0-based among the dimensions without it.

    Raises:
        NotFound: for a dimension that is not there.
        BadInput: for a position that there is not.
    """
    dimension = body.dimension(key)
    others = [other for other in body.dimensions if other.key != key]
    return edit(body, dimensions=tuple(_inserted(others, dimension, position, "dimension")))


def set_level(body: Body, key: str, value: int, *, name: str, criteria: str) -> Body:
    """Return ``body`` with one level's name and criteria replaced."""
    dimension = body.dimension(key)
    if value not in dimension.scale:
        raise NotFound(
            f"{key} has no level {value}.", f"Its levels are {dimension.scale[0]}–{dimension.scale[-1]}."
        )
    new = validate(Level, {"value": value, "name": name, "criteria": criteria}, f"Level {value} of {key}")
    return set_dimension(
        body, key, levels=[new if level.value == value else level for level in dimension.levels]
    )


def add_level(body: Body, key: str, *, name: str, criteria: str = "") -> Body:
    """Return ``body`` with one more level at the top of a dimension's scale."""
    dimension = body.dimension(key)
    value = dimension.scale[-1] + 1
    new = validate(Level, {"value": value, "name": name, "criteria": criteria}, f"Level {value} of {key}")
    return set_dimension(body, key, levels=(*dimension.levels, new))


def remove_level(body: Body, key: str) -> Body:
    """Return ``body`` without the top level of a dimension's scale.

    Raises:
        Refused: if a precedent has that grade, or only two levels are left.
    """
    dimension = body.dimension(key)
    top = dimension.scale[-1]
    if len(dimension.levels) == 2:
        raise Refused(
            f"{key} has only two levels, and a scale needs two.",
            "Remove the dimension, or reword its levels.",
        )
    graded = [precedent.id for precedent in dimension.precedents if precedent.grade == top]
    if graded:
        raise Refused(
            f"{', '.join(graded)} {'is' if len(graded) == 1 else 'are'} graded {top}, the level to be removed.",
            "Give another grade there or remove the precedent, then remove the level.",
        )
    return set_dimension(body, key, levels=dimension.levels[:-1])


# Precedents


def add_precedent(
    body: Body,
    key: str,
    *,
    pair: Example | Mapping[str, Any],
    grade: int | None,
    because: str,
    cites: Sequence[str] = (),
) -> Body:
    """Return ``body`` with a precedent added at the end of a dimension's; its id is new."""
    dimension = body.dimension(key)
    values = {"pair": pair, "grade": grade, "because": because, "cites": tuple(cites)}
    new = validate(Precedent, {"id": body.fresh_id(key, prefix="p"), **values}, f"The new precedent of {key}")
    return set_dimension(body, key, precedents=(*dimension.precedents, new))


def set_precedent(body: Body, precedent_id: str, **changes: Unpack[PrecedentFields]) -> Body:
    """Return ``body`` with fields of one precedent replaced; its id stays."""
    dimension = _dimension_of(body, precedent_id)
    precedents = [
        validate(Precedent, {**_fields(p), **changes}, f"Precedent {p.id}") if p.id == precedent_id else p
        for p in dimension.precedents
    ]
    return set_dimension(body, dimension.key, precedents=tuple(precedents))


def remove_precedent(body: Body, precedent_id: str) -> Body:
    """Return ``body`` without a precedent; its id is kept as used."""
    _dimension_of(body, precedent_id)
    return _without(body, [precedent_id])


# The overall rule


def set_overall(
    body: Body,
    *,
    weights: Mapping[str, float],
    cut_points: Sequence[float],
    gates: Sequence[Mapping[str, Any]],
    combine: str,
) -> Body:
    """Return ``body`` with another overall rule; a gate row without an id gets a fresh one.

    The ids of gates that are not among the rows are retired; a dimension that ``weights`` does not name keeps its own.
    """
    for key in weights:
        body.dimension(key)
    made: list[Gate] = []
    used = body
    for i, row in enumerate(gates):
        values = {key: value for key, value in row.items() if value not in (None, "")}
        values.setdefault("id", used.fresh_id("gate"))
        gate = validate(Gate, values, f"Gate {i + 1}")
        made.append(gate)
        # Gates seen so far count as used when the next fresh id is drawn.
        used = used.model_copy(
            update={"overall": used.overall.model_copy(update={"gates": (*used.overall.gates, gate)})}
        )
    dropped = {gate.id for gate in body.overall.gates} - {gate.id for gate in made}
    return edit(
        body,
        overall={"combine": combine, "cut_points": list(cut_points), "gates": made},
        dimensions=[_updated(d, {"weight": weights.get(d.key, d.weight)}) for d in body.dimensions],
        retired=(*body.retired, *sorted(dropped)),
    )


# Helpers


def _fields(value: Dimension | Precedent) -> dict[str, Any]:
    return {name: getattr(value, name) for name in type(value).model_fields}


def _updated(dimension: Dimension, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {**_fields(dimension), **changes}


def _clause(clause_id: str, text: str, split_from: str | None, where: str) -> Clause:
    return validate(Clause, {"id": clause_id, "text": text, "from": split_from}, where)


def _term(body: Body, term: str) -> None:
    if term not in {known.term for known in body.terms}:
        raise NotFound.among("term", term, (known.term for known in body.terms))


def _section_of(body: Body, clause_id: str) -> str:
    for section, clause in body.clauses():
        if clause.id == clause_id:
            return section
    raise NotFound(
        f"There is no clause {clause_id} in this draft.", "It may have been retired; reload the page."
    )


def _dimension_of(body: Body, precedent_id: str) -> Dimension:
    for dimension in body.dimensions:
        if precedent_id in {precedent.id for precedent in dimension.precedents}:
            return dimension
    raise NotFound(
        f"There is no precedent {precedent_id} in this draft.", "It may have been removed; reload the page."
    )


def _clauses(body: Body, section: str) -> tuple[Clause, ...]:
    return body.general if section == "general" else body.dimension(section).clauses


def _with_clauses(body: Body, sections: Mapping[str, Sequence[Clause]]) -> Body:
    general = sections.get("general", body.general)
    dimensions = [
        _updated(d, {"clauses": tuple(sections[d.key])}) if d.key in sections else d for d in body.dimensions
    ]
    return edit(body, general=tuple(general), dimensions=dimensions)


def _without(body: Body, gone: Sequence[str]) -> Body:
    """Return ``body`` without the clauses and precedents of these ids, which are retired and no longer cited."""

    def uncited(precedent: Precedent) -> Precedent:
        return precedent.model_copy(update={"cites": tuple(id for id in precedent.cites if id not in gone)})

    def kept(dimension: Dimension) -> dict[str, Any]:
        clauses = tuple(clause for clause in dimension.clauses if clause.id not in gone)
        precedents = tuple(uncited(p) for p in dimension.precedents if p.id not in gone)
        return _updated(dimension, {"clauses": clauses, "precedents": precedents})

    return edit(
        body,
        general=tuple(clause for clause in body.general if clause.id not in gone),
        dimensions=[kept(dimension) for dimension in body.dimensions],
        retired=(*body.retired, *gone),
    )


def _inserted(others: Sequence[Item], item: Item, position: int, what: str) -> list[Item]:
    if not 0 <= position <= len(others):
        raise BadInput(
            f"{position} is no place for a {what}: there are the places 0–{len(others)}.",
            "Choose one of these.",
        )
    return [*others[:position], item, *others[position:]]
