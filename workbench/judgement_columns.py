"""A table of judgements to rows: one row a score, or one row a pair with a column a dimension.

Pairs are named by ``pair_id``, or by their texts in columns called as an export of a golden set calls them
(``query_<field>``, ``document_<field>``), or as the policy calls its sides and fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from workbench.column_mapping import normal
from workbench.errors import BadInput
from workbench.golden import Pair
from workbench.golden_rows import restored
from workbench.judgement_rows import JudgementRows, dimension_names
from workbench.mapping_guess import DIMENSION_NAMES, GRADE_NAMES, LABELER_NAMES
from workbench.policy import Body

SCORE_NAMES = ("score", *(name for name in GRADE_NAMES if name != "score"), "value")
RATIONALE_NAMES = ("rationale", "reason", "explanation", "justification", "note", "comment")
JUDGE_NAMES = ("judge", "judge_name", "judge_model", "model", *LABELER_NAMES)
VERSION_NAMES = ("version", "policy_version", "prompt_version")
_PREFIXES = ("", "grade_", "score_")
_SUFFIXES = ("", "_grade", "_score")
_OF_PAIRS = ("pair", "split", "query_", "document_", "meta_")
"""What the columns of an exported golden set begin with that say what a pair is."""
EMPTY = "empty cells"
_HINT = "Name pairs in a column pair_id; give scores in columns dimension and score, or in one column a dimension."


def filled_id(query: Mapping[str, str], document: Mapping[str, str]) -> str:
    """Return the id of the pair with these texts, fields without text left out: a table has a cell for each."""
    sides = [
        {name: text for name, field in side.items() if (text := field.strip().replace("\r\n", "\n"))}
        for side in (query, document)
    ]
    return Pair(query=sides[0], document=sides[1]).id


class ReadColumns(NamedTuple):
    """What a table says.

    Attributes:
        by_text: its pairs are named by their texts: ids as :func:`filled_id`.
        unused: columns that are neither read nor texts of the pairs.
    """

    rows: JudgementRows
    by_text: bool
    unused: tuple[str, ...]


def read_columns(table: pd.DataFrame, name: str, policy: Body) -> ReadColumns:
    """Return the rows of a table, row by row.

    Raises:
        BadInput: if a column that is needed is missing, or a row has no pair.
    """
    columns: dict[str, str] = {}
    for column in table.columns:
        columns.setdefault(normal(column), column)
    ids, by_text = _pair_ids(table, columns, name, policy)
    places = [f"row {number}" for number in table.index]
    blank = [place for pair_id, place in zip(ids, places, strict=True) if not pair_id]
    if blank:
        raise BadInput(f"{name}, {blank[0]}: has no pair id.", "Fill it in, or remove the row.")
    said = {
        what: _first(columns, names)
        for what, names in (
            ("judge", JUDGE_NAMES),
            ("version", VERSION_NAMES),
            ("rationale", RATIONALE_NAMES),
        )
    }
    texts = {what: _texts(table, column) for what, column in said.items()}
    found = JudgementRows()
    score = _first(columns, SCORE_NAMES)
    dimension = _first(columns, DIMENSION_NAMES)
    wide = _wide(columns, policy)
    if score and (dimension or (not wide and len(policy.dimensions) == 1)):
        named = table[dimension].tolist() if dimension else [policy.dimensions[0].key] * len(table)
        _read_long(found, ids, places, named, table[score].tolist(), texts, name)
        used = {score, dimension}
    elif wide:
        own = {
            key: _first(columns, (f"{key}_rationale", f"{key}_reason", f"rationale_{key}")) for key in wide
        }
        _read_wide(found, ids, places, table, wide, own, texts)
        used = {*wide.values(), *own.values()}
    else:
        raise BadInput(f"{name} has neither a column of scores nor one of a dimension's grades.", _HINT)
    used |= set(said.values())
    unused = [
        column for form, column in columns.items() if column not in used and not form.startswith(_OF_PAIRS)
    ]
    sides = (policy.pair.query, policy.pair.document)
    fields = {
        normal(text) for side in sides for field in side.fields for text in (field, f"{side.name}_{field}")
    }
    return ReadColumns(found, by_text, tuple(column for column in unused if normal(column) not in fields))


def _read_long(
    found: JudgementRows, ids: Sequence[str], places: Sequence[str], dimensions: Sequence[str],
    scores: Sequence[str], said: Mapping[str, Sequence[str]], name: str,
) -> None:  # fmt: skip
    for i, (pair_id, place) in enumerate(zip(ids, places, strict=True)):
        if dimensions[i].strip():
            _add(found, pair_id, dimensions[i], scores[i], place, said, i)
        elif scores[i].strip():
            raise BadInput(f"{name}, {place}: has no dimension.", "Fill it in, or remove the row.")
        else:  # a pair that nobody graded, as an export of labels writes it
            found.left_out["rows without dimension and score"] += 1


def _read_wide(
    found: JudgementRows, ids: Sequence[str], places: Sequence[str], table: pd.DataFrame,
    wide: Mapping[str, str], own: Mapping[str, str], said: Mapping[str, Sequence[str]],
) -> None:  # fmt: skip
    scores = {key: table[column].tolist() for key, column in wide.items()}
    reasons = {key: _texts(table, column) for key, column in own.items()}
    for i, (pair_id, place) in enumerate(zip(ids, places, strict=True)):
        for key in wide:
            if scores[key][i].strip():
                _add(found, pair_id, key, scores[key][i], place, said, i, reasons[key][i])
            else:
                found.left_out[EMPTY] += 1


def _add(
    found: JudgementRows, pair_id: str, dimension: str, score: str, place: str,
    said: Mapping[str, Sequence[str]], i: int, reason: str = "",
) -> None:  # fmt: skip
    judge, version, shared = (said[what][i] for what in ("judge", "version", "rationale"))
    found.add(pair_id, dimension, score, place, rationale=reason or shared, judge=judge, version=version)


def _wide(columns: Mapping[str, str], policy: Body) -> dict[str, str]:
    """Return dimension -> its column, in the policy's order."""
    forms: dict[str, list[str]] = {}
    for form, key in dimension_names(policy).items():
        # grade_skills before skills: beside it, skills is a field of the pair.
        written = [before + form + after for before in _PREFIXES for after in _SUFFIXES]
        forms.setdefault(key, []).extend(sorted(written, key=len, reverse=True))
    return {key: column for key in policy.keys if (column := _first(columns, forms[key]))}


def _pair_ids(
    table: pd.DataFrame, columns: Mapping[str, str], name: str, policy: Body
) -> tuple[list[str], bool]:
    named = _first(columns, ("pair_id", "pair"))
    if named:
        return table[named].str.strip().tolist(), False
    query = _fields(columns, "query", policy.pair.query.name, policy.pair.query.fields)
    document = _fields(columns, "document", policy.pair.document.name, policy.pair.document.fields)
    if not query or not document:
        missing = policy.pair.document.name if query else policy.pair.query.name
        raise BadInput(
            f"{name} names no pairs: it has neither pair_id nor the fields of the {missing}.", _HINT
        )
    cut, names = len(query), [*query, *document]
    known: dict[tuple[str, ...], str] = {}  # a table with a row a score has each pair many times
    ids = []
    for row in table[[*query.values(), *document.values()]].itertuples(index=False, name=None):
        if row not in known:
            texts = list(zip(names, map(restored, row), strict=True))
            known[row] = filled_id(dict(texts[:cut]), dict(texts[cut:]))
        ids.append(known[row])
    return ids, True


def _fields(columns: Mapping[str, str], side: str, called: str, names: Iterable[str]) -> dict[str, str]:
    """Return field -> column of one side of the pair."""
    exported = {
        column.removeprefix(f"{side}_"): column
        for column in columns.values()
        if column.startswith(f"{side}_")
    }
    if exported:
        return exported
    forms = {name: (normal(f"{called}_{name}"), normal(name)) for name in names}
    return {name: column for name, wanted in forms.items() if (column := _first(columns, wanted))}


def _first(columns: Mapping[str, str], names: Iterable[str]) -> str:
    return next((columns[name] for name in names if name in columns), "")


def _texts(table: pd.DataFrame, column: str) -> list[str]:
    return table[column].tolist() if column else [""] * len(table)
