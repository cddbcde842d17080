"""What a data set's pool is made of: files of pairs, queries and documents, read into the fields of a policy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from workbench.dataset import Source
from workbench.errors import BadInput, NotFound
from workbench.golden import Pair
from workbench.identity import keepable
from workbench.policy import Layout, Side
from workbench.table_files import read_table

META = "meta_"


def pairs_from_file(
    folder: Path, name: str, layout: Layout, query: Mapping[str, str], document: Mapping[str, str]
) -> tuple[list[Pair], Source]:
    """Return the pairs of a table, a row each, and what is to be said of the file.

    Args:
        folder: what ``name`` is relative to.
        query, document: field of the policy -> column; empty for columns called ``query_<field>`` and
            ``document_<field>``, of which a side needs one at least. Columns ``meta_<key>`` become metadata.

    Raises:
        NotFound: for a file, a field or a column that is not there, with the nearest names.
        BadInput: for a file that cannot be read.
    """
    table, source = _table(folder, name)
    sides = [
        _fields(table, name, side, given, prefix)
        for side, given, prefix in ((layout.query, query, "query_"), (layout.document, document, "document_"))
    ]
    keys = [column for column in table.columns if column.startswith(META)]
    metas = table[keys].to_dict("records") if keys else [{}] * len(table)
    pairs = [
        Pair(query=q, document=d, meta={k.removeprefix(META): keepable(v) for k, v in meta.items() if v})
        for q, d, meta in zip(*sides, metas, strict=True)
    ]
    return pairs, source


def texts_from_file(
    folder: Path, name: str, side: Side, fields: Mapping[str, str]
) -> tuple[list[dict[str, str]], Source]:
    """Return one side of pairs from a table with a row a text, each different one once, and what is said of the file.

    Args:
        fields: field of the policy -> column; empty for columns that are called like fields.

    Raises:
        NotFound, BadInput: as :func:`pairs_from_file`.
    """
    table, source = _table(folder, name)
    found = _fields(table, name, side, fields, "")
    return distinct(found), source


def distinct(texts: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return each different one once, in the order in which they came; those without any text are left out."""
    kept: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for one in texts:
        if any(text.strip() for text in one.values()):
            kept.setdefault(tuple(sorted(one.items())), one)
    return list(kept.values())


def _table(folder: Path, name: str) -> tuple[pd.DataFrame, Source]:
    path = folder / name
    table = read_table(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return table, Source(name=path.name, rows=len(table), content_hash=f"file-{digest[:32]}")


def _fields(
    table: pd.DataFrame, file: str, side: Side, given: Mapping[str, str], prefix: str
) -> list[dict[str, str]]:
    """Return the fields of one side of each row; a cell without text is a field that the pair lacks."""
    columns = list(table.columns)
    for field in given:
        if field not in side.fields:
            raise NotFound.among(f"field of the {side.name}", field, side.fields)
    for column in given.values():
        if column not in columns:
            raise NotFound.among(f"column of {file}", column, columns)
    named = given or {field: f"{prefix}{field}" for field in side.fields if f"{prefix}{field}" in columns}
    if not named:
        wanted = ", ".join(f"{prefix}{field}" for field in side.fields)
        raise BadInput(
            f"{file} has no column for a field of the {side.name}.",
            f"Call columns {wanted}, or say in the recipe which column is which field.",
        )
    cells = {field: table[column].map(keepable).tolist() for field, column in named.items()}
    return [
        {field: cells[field][i] for field in side.fields if field in cells and cells[field][i].strip()}
        for i in range(len(table))
    ]
