"""A golden set as rows for other tools: answer sheets, names of columns, words for grades, texts safe in spreadsheets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from workbench.golden import NOT_APPLICABLE, UNRATEABLE, GoldenSet, Pair, Source, Split
from workbench.identity import keepable

NA = "N/A"
CANNOT_TELL = "unrateable"
_WORDS = {NOT_APPLICABLE: NA, UNRATEABLE: CANNOT_TELL}

OWN_COLUMNS = ["pair_id", "split"]
"""The first two columns of every table that we export; by them it is known again."""
LABEL_FIELDS = ("dimension", "grade", "labeler", "at", "note", "source")
"""Columns of a label where every label is a row."""


class Sheet(NamedTuple):
    """What one labeler said of a pair at one time: dimension -> grade, with one note."""

    labeler: str
    at: str  # ISO 8601 in UTC, with Z
    note: str
    source: Source
    grades: dict[str, int]


class Row(NamedTuple):
    """A pair with its split and everything that was said of it, in order of time."""

    pair: Pair
    split: Split
    sheets: list[Sheet]


def answer_sheets(golden: GoldenSet) -> Iterator[Row]:
    """Yield the pairs of a set in their order, each with its labels grouped by labeler, time, note and source."""
    positions = {pair.id: i for i, pair in enumerate(golden.pairs)}
    where = golden.labels["pair_id"].map(positions)
    labels = golden.labels[where.notna().to_numpy()].assign(position=where.dropna().astype(np.int_))
    labels = labels.sort_values(["position", "at"], kind="stable")
    # One conversion of the whole column: a million calls of isoformat take ten times as long.
    times = labels["at"].dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ").str.replace(".000000Z", "Z", regex=False)
    columns = [labels[name].tolist() for name in ("dimension", "grade", "labeler", "note", "source")]
    lines = list(zip(*columns, times.tolist(), strict=True))
    starts = np.searchsorted(labels["position"].to_numpy(), np.arange(len(golden.pairs) + 1))
    for i, pair in enumerate(golden.pairs):
        sheets: dict[tuple[str, str, str, str], Sheet] = {}
        for dimension, grade, labeler, note, source, at in lines[starts[i] : starts[i + 1]]:
            sheet = sheets.setdefault((labeler, at, note, source), Sheet(labeler, at, note, source, {}))
            sheet.grades[dimension] = grade
        yield Row(pair, golden.splits[pair.id], list(sheets.values()))


def pair_columns(golden: GoldenSet) -> tuple[list[str], list[str], list[str]]:
    """Return the query fields, document fields and metadata keys that any pair of a set has, first seen first."""
    found: tuple[dict[str, None], dict[str, None], dict[str, None]] = ({}, {}, {})
    for pair in golden.pairs:
        for names, fields in zip(found, (pair.query, pair.document, pair.meta), strict=True):
            names.update(dict.fromkeys(fields))
    return list(found[0]), list(found[1]), list(found[2])


def flat_pair(pair: Pair) -> dict[str, str]:
    """Return a pair's texts as ``query_<field>``, ``document_<field>`` and ``meta_<key>``."""
    return {
        f"{side}_{name}": keepable(text)
        for side, fields in (("query", pair.query), ("document", pair.document), ("meta", pair.meta))
        for name, text in fields.items()
    }


def written(grade: int) -> int | str:
    """Return a level as it is, N/A and unrateable as words."""
    return _WORDS.get(grade, grade)


_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_DEFUSED = re.compile(r"'+[=+\-@\t\r]")


def defused(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: ``'`` before one that begins with = + - @, tab or CR.

    After the OWASP page on CSV injection. A text that begins so behind quotes gets one more, so that
    :func:`restored` gives every text back.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def restored(text: str) -> str:
    """Return the text that :func:`defused` was given."""
    return text[1:] if _DEFUSED.match(text) else text
