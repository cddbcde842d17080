"""A golden set as tables: one row a label or one row a pair, written as CSV, JSONL and Parquet line by line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from workbench.golden import NOT_GRADED, ConsensusRule, GoldenSet, settle
from workbench.golden_rows import (
    LABEL_FIELDS,
    OWN_COLUMNS,
    answer_sheets,
    defused,
    flat_pair,
    pair_columns,
    written,
)
from workbench.identity import keepable

ROWS_A_BATCH = 5_000


def label_columns(golden: GoldenSet) -> list[str]:
    """Return the columns of :func:`label_rows`: the pair, then its label, then the facts about the pair."""
    query, document, meta = pair_columns(golden)
    texts = [f"query_{name}" for name in query] + [f"document_{name}" for name in document]
    return [*OWN_COLUMNS, *texts, *LABEL_FIELDS, *(f"meta_{key}" for key in meta)]


def label_rows(golden: GoldenSet, split: str = "") -> Iterator[dict[str, Any]]:
    """Yield one row a label, of one split or all; a pair without labels is a row whose label is empty."""
    blank = dict.fromkeys(LABEL_FIELDS, "")
    for pair, own, sheets in answer_sheets(golden):
        if split and own != split:
            continue
        row = {"pair_id": pair.id, "split": own, **flat_pair(pair)}
        if not sheets:
            yield row | blank
        for sheet in sheets:
            said = {
                "labeler": keepable(sheet.labeler),
                "at": sheet.at,
                "note": keepable(sheet.note),
                "source": sheet.source,
            }
            for dimension, grade in sheet.grades.items():
                yield row | {"dimension": dimension, "grade": written(grade)} | said


def settled_rows(golden: GoldenSet, rule: ConsensusRule, split: str = "") -> Iterator[dict[str, Any]]:
    """Yield one row a pair with its settled grade on each labelled dimension; None where nothing is settled."""
    grades = settled_grades(golden, rule)
    for i, pair in enumerate(golden.pairs):
        if not split or golden.splits[pair.id] == split:
            settled = {key: int(column[i]) for key, column in grades.items()}
            yield {"pair_id": pair.id, "split": golden.splits[pair.id], **flat_pair(pair)} | {
                f"grade_{key}": None if grade == NOT_GRADED else written(grade)
                for key, grade in settled.items()
            }


def settled_grades(golden: GoldenSet, rule: ConsensusRule) -> dict[str, Any]:
    """Return dimension -> settled grades, shape (pairs,), for every dimension with a label."""
    ids = [pair.id for pair in golden.pairs]
    dimensions = list(dict.fromkeys(golden.labels["dimension"]))
    return {key: settle(golden.labels, key, ids, rule) for key in dimensions}


def write_label_csv(golden: GoldenSet, path: Path) -> None:
    """Write one row a label as CSV that no spreadsheet takes for formulas."""
    _write_csv(path, label_columns(golden), label_rows(golden))


def write_settled_csv(golden: GoldenSet, path: Path, rule: ConsensusRule) -> None:
    """Write one row a pair with its settled grades as CSV."""
    query, document, meta = pair_columns(golden)
    columns = [
        *OWN_COLUMNS,
        *(f"query_{name}" for name in query),
        *(f"document_{name}" for name in document),
    ]
    columns += [f"grade_{key}" for key in dict.fromkeys(golden.labels["dimension"])]
    _write_csv(path, [*columns, *(f"meta_{key}" for key in meta)], settled_rows(golden, rule))


def _write_csv(path: Path, columns: list[str], rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(map(defused, columns))
        for row in rows:
            cells = (row.get(column, "") for column in columns)
            lines.writerow([defused(cell) if isinstance(cell, str) else cell for cell in cells])


def write_label_jsonl(golden: GoldenSet, path: Path) -> None:
    """Write one line of JSON a label."""
    columns = label_columns(golden)  # in every line, so that a reader who looks at the first knows them all
    write_lines(path, ({column: row.get(column, "") for column in columns} for row in label_rows(golden)))


def write_lines(path: Path, objects: Iterable[Any]) -> None:
    """Write one line of JSON an object."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(json.dumps(found, ensure_ascii=False) + "\n" for found in objects)


def write_label_parquet(golden: GoldenSet, path: Path) -> None:
    """Write one row a label as Parquet, every column a text."""
    with path.open("wb") as file:
        write_parquet(file, label_columns(golden), label_rows(golden))


def write_parquet(
    file: IO[bytes], columns: list[str], rows: Iterator[dict[str, Any]], numbers: frozenset[str] = frozenset()
) -> int:
    """Write rows in batches and return how many there were; columns are texts, ``numbers`` whole numbers or null."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.int64() if name in numbers else pa.string()) for name in columns])
    count = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append({name: _typed(row.get(name), name in numbers) for name in columns})
            count += 1
            if len(batch) == ROWS_A_BATCH:
                writer.write_table(pa.Table.from_pylist(batch, schema))
                batch.clear()
        if batch:
            writer.write_table(pa.Table.from_pylist(batch, schema))
    return count


def _typed(value: Any, number: bool) -> Any:
    if number:
        return value if isinstance(value, int) else None
    return "" if value is None else str(value)
