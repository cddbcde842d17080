"""A file of judgements made elsewhere, read into rows: tables, our own verdicts, promptfoo, Langfuse, inspect-ai.

What a file is, its content says; the name only tells one kind of table from another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

import pandas as pd
from pydantic import ValidationError

from workbench.errors import BadInput
from workbench.golden import NOT_APPLICABLE
from workbench.golden_rows import NA
from workbench.judgement_columns import read_columns
from workbench.judgement_rows import JudgementRows, dimension_names
from workbench.policy import Body
from workbench.result_inspect import (
    is_inspect_archive,
    is_inspect_log,
    read_inspect_archive,
    read_inspect_log,
)
from workbench.result_langfuse import is_score, read_langfuse
from workbench.result_promptfoo import is_result, read_promptfoo, results_of
from workbench.run import Verdict
from workbench.table_files import MAX_BYTES, SUFFIXES, read_content, read_table
from workbench.zip_entries import ZipEntries

MAX_ARCHIVE = 20 * MAX_BYTES
"""An archive is read entry by entry, each at most as large as a file; all together unfold to so many bytes."""
FORMATS: dict[str, str] = {
    "table": "table",
    "verdicts": "judgements of a run of ours",
    "promptfoo": "promptfoo results",
    "langfuse": "Langfuse scores",
    "inspect": "inspect-ai log",
}
SHOWN_COLUMNS = 8
Kind = Literal["table", "verdicts", "promptfoo", "langfuse", "inspect"]
Placed = list[tuple[str, Any]]
"""Objects of a JSON file with their places in it."""


@dataclass(frozen=True, eq=False)
class JudgementFile:
    """The judgements of one file.

    Attributes:
        rows: ``judgement_rows.COLUMNS``, in an order in which a later row overrules an earlier one.
        by_text: pairs are named by their texts: ids as ``judgement_columns.filled_id``.
        left_out: what is no judgement of a pair, counted by reason.
        notes: whole sentences about the file.
    """

    name: str
    kind: Kind
    rows: pd.DataFrame = field(repr=False)
    by_text: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def format(self) -> str:
        """What the file is, for people."""
        return FORMATS[self.kind]


def read_judgements(
    source: Path | bytes, name: str = "", *, policy: Body, max_bytes: int = MAX_BYTES
) -> JudgementFile:
    """Return the judgements of a file.

    Args:
        source: a path, or the content itself.
        name: the file's name, where ``source`` is its content.
        policy: whose dimensions and fields the columns and scores are called after.
        max_bytes: largest size on disk; see :mod:`workbench.table_files` for how far it may unfold.

    Raises:
        NotFound: if the path is not there.
        BadInput: for everything that is wrong with the content; names the file and the place in it.
    """
    name = name or (source.name if isinstance(source, Path) else "")
    head = _head(source)
    if head == b"PK\x03\x04":
        return _archive(source, name, policy, max_bytes)
    if head == b"PAR1" or _ends(name, ".parquet", ".xlsx"):
        named = name if _ends(name, ".parquet", ".xlsx") else f"{name}.parquet"
        return _table(read_table(source, named, max_bytes=max_bytes), name, policy)
    if head[:2] == b"\x1f\x8b" and not name.lower().endswith(".gz"):
        name += ".gz"
    text = read_content(source, name, max_bytes=max_bytes)
    if text.lstrip()[:1] in ("{", "["):
        return _json(text, name, policy)
    named = name if _ends(name, ".csv", ".tsv") else f"{name}.csv"
    table = read_table(text.encode("utf-8"), named.removesuffix(".gz"), max_bytes=max_bytes * 4)
    return _table(table, name, policy)


def _head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:4]
    try:
        with source.open("rb") as file:
            return file.read(4)
    except OSError:
        return b""  # reading it whole will say what is wrong


def _ends(name: str, *suffixes: str) -> bool:
    return name.lower().removesuffix(".gz").endswith(suffixes)


def _archive(source: Path | bytes, name: str, policy: Body, max_bytes: int) -> JudgementFile:
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    if size > max_bytes:
        raise BadInput(
            f"{name} has {size / 2**20:,.1f} MB; a file may have {max_bytes / 2**20:,.1f} MB.",
            "Divide it into several files.",
        )
    entries = ZipEntries(source, name, max_entry=max_bytes, max_total=MAX_ARCHIVE)
    try:
        if is_inspect_archive(entries):
            found, notes = read_inspect_archive(entries, name)
            return _made("inspect", found, name, notes=notes)
        if not any(entry.startswith("xl/") for entry in entries.names):
            raise BadInput(
                f"{name} is a zip archive, and neither an inspect-ai log nor an Excel workbook.",
                "Unpack it, and choose the file in it.",
            )
    finally:
        entries.close()
    named = name if name.lower().endswith(".xlsx") else f"{name}.xlsx"
    return _table(read_table(source, named, max_bytes=max_bytes), name, policy)


def _table(table: pd.DataFrame, name: str, policy: Body) -> JudgementFile:
    if is_score(dict.fromkeys(table.columns)):
        return _made("langfuse", read_langfuse(_records(table), name), name)
    read = read_columns(table, name, policy)
    end = " …" if len(read.unused) > SHOWN_COLUMNS else "."
    notes = f"Columns that are not used: {', '.join(read.unused[:SHOWN_COLUMNS])}{end}"
    return _made("table", read.rows, name, by_text=read.by_text, notes=(notes,) if read.unused else ())


def _records(table: pd.DataFrame) -> Placed:
    columns = list(table.columns)
    rows = zip(table.index, table.itertuples(index=False, name=None), strict=True)
    return [(f"row {number}", dict(zip(columns, row, strict=True))) for number, row in rows]


def _json(text: str, name: str, policy: Body) -> JudgementFile:
    lines = _lines(text, name)
    if lines is None:
        data = _document(text, name)
        if is_inspect_log(data):
            found, notes = read_inspect_log(data, name)
            return _made("inspect", found, name, notes=notes)
        results = results_of(data)
        if results is not None:
            return _made("promptfoo", _promptfoo(_numbered(results, "result"), name, policy), name)
        page = data.get("data") if isinstance(data, dict) else None
        if isinstance(page, list):
            data = page
        objects = _numbered(data if isinstance(data, list) else [data], "object")
    else:
        objects = lines
    first = objects[0][1] if objects else None
    if is_result(first):
        return _made("promptfoo", _promptfoo(objects, name, policy), name)
    if is_score(first):
        return _made("langfuse", read_langfuse(objects, name), name)
    if isinstance(first, dict) and isinstance(first.get("judgements"), list):
        return _made("verdicts", _verdicts(objects, name), name)
    if not isinstance(first, dict) or not any(not isinstance(value, list | dict) for value in first.values()):
        raise BadInput(
            f"{name} holds no judgements that can be told.",
            "It may be a table, promptfoo results, Langfuse scores, an inspect-ai log, or lines of verdicts.",
        )
    # Written again rather than handed on: a page of rows may have lain within another object.
    flat = "\n".join(json.dumps(row) for _, row in objects)
    named = name if _ends(name, ".jsonl", ".ndjson") else f"{name}.jsonl"
    table = read_table(flat.encode("utf-8"), named.removesuffix(".gz"), max_bytes=MAX_BYTES * 8)
    table.index = pd.Index([_number(objects[number - 1][0]) for number in table.index])
    return _table(table, name, policy)


def _number(place: str) -> int:
    return int(place.rpartition(" ")[2])


def _lines(text: str, name: str) -> Placed | None:
    """Return the objects of a file with one a line; None if it is one JSON document."""
    lines = ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())
    found: Placed = []
    for number, line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            if not found:
                return None  # its first line is no whole object: one document over several lines
            _fail(name, f"row {number}", error)
        found.append((f"row {number}", row))
    return found if len(found) > 1 or (found and name.lower().endswith((".jsonl", ".ndjson"))) else None


def _document(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        _fail(name, f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "", error)


def _fail(name: str, place: str, error: Exception) -> NoReturn:
    reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    raise BadInput(
        f"{name}{f', {place}' if place else ''}: not whole JSON ({reason}).", "Export the file again."
    ) from error


def _numbered(rows: Sequence[Any], what: str) -> Placed:
    return [(f"{what} {number}", row) for number, row in enumerate(rows, 1)]


def _promptfoo(results: Placed, name: str, policy: Body) -> JudgementRows:
    return read_promptfoo(results, name, dimension_names(policy))


def _verdicts(objects: Placed, name: str) -> JudgementRows:
    """Return the rows of verdicts, such as the ``judgements.jsonl`` of a job folder."""
    found = JudgementRows()
    for place, data in objects:
        try:
            verdict = Verdict.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise BadInput(
                f"{name}, {place}{f' at {where}' if where else ''}: {first['msg']}.",
                "A line holds one verdict: a pair_id and its judgements.",
            ) from error
        for judgement in verdict.judgements:
            grade = NA if judgement.grade == NOT_APPLICABLE else None if judgement.failed else judgement.grade
            found.add(
                verdict.pair_id, judgement.dimension, grade, place, rationale=judgement.rationale, judgement=judgement
            )  # fmt: skip
    return found


def _made(
    kind: Kind, found: JudgementRows, name: str, *, by_text: bool = False, notes: tuple[str, ...] = ()
) -> JudgementFile:
    left_out = dict(found.left_out)
    if not found.rows:
        reasons = "; ".join(f"left out: {count:,} {reason}" for reason, count in left_out.items())
        raise BadInput(
            f"{name} ({FORMATS[kind]}) holds no judgement{f' ({reasons})' if reasons else ''}.",
            "Every judgement needs a pair_id, a dimension and a score.",
        )
    return JudgementFile(name, kind, found.frame(), by_text, left_out, notes)


def suffixes() -> Iterator[str]:
    """Yield what a file of judgements may end in, without the dot, for a file dialogue."""
    yield from (suffix.removeprefix(".") for suffix in (*SUFFIXES, ".eval", ".gz"))
