"""Settled examples as documents write them: nested lists of our own export, tables, and free text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from workbench import outline_lines as read
from workbench.outline import Table
from workbench.policy import Layout, Side

_GRADE_HEADERS = ("grade", "level", "score", "rating", "label")
_REASON_HEADERS = ("because", "reason", "why", "rationale", "explanation")


@dataclass
class ExampleText:
    """A settled example before its grade and id are checked; ``text`` is what is kept if they are not good."""

    text: str
    because: str
    grade: int | Literal["N/A"] | None
    written: str = ""
    id: str = ""
    cites: tuple[str, ...] = ()
    query: dict[str, str] = field(default_factory=dict)
    document: dict[str, str] = field(default_factory=dict)


def read_free(text: str, sections: Sequence[str]) -> ExampleText:
    """Return an example in free text: the reason is all of it, the grade the first that it speaks of."""
    found = read.written_id(text.strip(), sections)
    if found and found.rest.strip():
        rest = found.rest.strip()
        return ExampleText(rest, rest, read.grade(rest), written=found.id)
    return ExampleText(text.strip(), text.strip(), read.grade(text))


def read_entries(text: str, layout: Layout) -> ExampleText | None:
    """Return an example written as ``**skills.p1** Grade 2`` over a list of fields, *Because* and *Cites*."""
    found = read.entries(text)
    if found is None:
        return None
    head, entries = found
    written = read.written_id(head, ())
    said = (written.rest if written else head).strip()
    match = re.fullmatch(r"grade:?\s+(\d{1,2}|n/a)[.:]?", said, re.IGNORECASE)
    if match is None:
        return None
    example = ExampleText(text, "", int(match[1]) if match[1].isdigit() else "N/A")
    example.written = written.id if written else ""
    reasons = []
    for key, value in entries:
        side, name = _place(key, layout)
        if side is not None:
            (example.query if side == layout.query else example.document)[name] = value
        elif key.lower() == "cites":
            example.cites = tuple(part.strip() for part in value.split(",") if part.strip())
        else:
            reasons.append(value if key.lower() == "because" else f"{key}: {value}")
    example.because = "\n\n".join(reasons).strip()
    return example if example.because else None


def read_table(table: Table, layout: Layout) -> list[ExampleText] | None:
    """Return one example for each row of a table with a column of grades, None for another table.

    A column belongs to the field whose name it bears; columns of neither field, grade nor reason are part of the
    reason, under their header.
    """
    header = [cell.strip(" *") for cell in table.rows[0]]
    grades = [i for i, name in enumerate(header) if name.lower() in _GRADE_HEADERS]
    if len(grades) != 1 or len(table.rows) < 2 or any(len(row) != len(header) for row in table.rows):
        return None
    examples = []
    for row in table.rows[1:]:
        told = [(name, cell.strip()) for name, cell in zip(header, row, strict=True) if cell.strip()]
        text = "; ".join(f"{name}: {cell}" if name else cell for name, cell in told)
        if not text:
            continue
        example = ExampleText(text, "", read.grade(row[grades[0]], bare=True))
        reasons = []
        for i, (name, cell) in enumerate(zip(header, row, strict=True)):
            side, field_name = _place(name, layout)
            if i == grades[0] or not cell.strip():
                continue
            if side is not None:
                (example.query if side == layout.query else example.document)[field_name] = cell.strip()
            elif name.lower() in _REASON_HEADERS or not name:
                reasons.append(cell.strip())
            else:
                reasons.append(f"{name}: {cell.strip()}")
        example.because = "\n\n".join(reasons) or text
        examples.append(example)
    return examples


def _place(name: str, layout: Layout) -> tuple[Side | None, str]:
    """Return (side, field) that ``side.field``, or the unique name of a field, speaks of."""
    for side in (layout.query, layout.document):
        if name.startswith(f"{side.name}."):
            return side, name[len(side.name) + 1 :]
    sides = [side for side in (layout.query, layout.document) if name.lower() in side.fields]
    return (sides[0], name.lower()) if len(sides) == 1 else (None, "")
