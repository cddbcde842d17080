"""JSON files to flat objects of texts: lines of objects, lists of them, and the exports of two labelling tools."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

from workbench.argilla_records import is_argilla, record_rows
from workbench.errors import BadInput
from workbench.label_studio import is_label_studio, task_rows

Numbered = tuple[list[dict[str, str]], list[int]]
"""Objects, column -> text, and the number of each in its file."""


def json_lines(text: str, name: str) -> Numbered:
    """Return the objects of a file with one on each line, numbered by their lines.

    Raises:
        BadInput: for a line that is no object, with its number.
    """
    numbers: list[int] = []
    objects: list[dict[str, str]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_object, parse_constant=_no_constant)
            if not isinstance(row, dict):
                raise ValueError('not an object such as {"query": "…"}')
            if _SURROGATE.search(line):
                json.dumps(row, ensure_ascii=False).encode("utf-8")  # half a pair is no text: a ValueError
            objects.append({key: cell(value) for key, value in row.items()})
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise BadInput(
                f"{name}, row {number}: not a line of JSON ({reason}).", "Write one JSON object on each line."
            ) from error
        numbers.append(number)
    return objects, numbers


def json_list(text: str, name: str) -> Numbered:
    """Return the rows of a JSON document: a list of flat objects, Label Studio's tasks or Argilla's records.

    Raises:
        BadInput: with the line where it breaks off, or the number of the object that is of another layout.
    """
    try:
        data = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
        if _SURROGATE.search(text):
            json.dumps(data, ensure_ascii=False).encode("utf-8")  # as in a line of JSON
    except (ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BadInput(
            f"{name}{line}: not a whole JSON file ({reason}).", "Export it again, or name it .jsonl."
        ) from error
    if isinstance(data, dict):
        data = data.get("items", [data])  # a page of Argilla's server; one task of Label Studio
    if not isinstance(data, list) or not data or not isinstance(data[0], dict):
        raise BadInput(
            f"{name} is no list of objects.",
            "It may be Label Studio's or Argilla's JSON, or a list of flat objects.",
        )
    if is_label_studio(data[0]):
        rows = list(task_rows(data, name))
    elif is_argilla(data[0]):
        rows = list(record_rows(data, name))
    else:
        rows = list(enumerate(data, 1))
    objects: list[dict[str, str]] = []
    for number, row in rows:
        try:
            if not isinstance(row, dict):
                raise ValueError('not an object such as {"query": "…"}')
            objects.append({key: cell(value) for key, value in row.items()})
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{name}, object {number}: {error}.", "Correct it, or export it again.") from error
    return objects, [number for number, _ in rows]


def cell(value: Any) -> str:
    """Return a JSON or Parquet value as text."""
    if isinstance(value, str):
        text = value
    elif value is None:
        text = ""
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, list | tuple):
        text = "\n\n".join(filter(None, map(cell, value)))
    elif isinstance(value, dict):
        text = json.dumps(value, ensure_ascii=False, default=str)
    elif isinstance(value, bytes):
        text = value.decode("utf-8")
    elif isinstance(value, float) and value != value:
        text = ""  # pandas writes an absent number as NaN
    else:
        iso: Callable[[], str] | None = getattr(value, "isoformat", None)
        text = iso() if iso else str(value)
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"'{next(key for key in keys if keys.count(key) > 1)}' is given twice")
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
