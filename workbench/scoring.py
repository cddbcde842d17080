"""Grade a file of pairs with a checkpoint: read in windows, graded, written as one row group each.

Memory does not grow with the rows: one window of pairs is held at a time. The output appears complete or not at all,
so a call that was interrupted leaves nothing and begins anew.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import BadInput, Conflict, NotFound, WorkbenchError
from workbench.golden import NOT_APPLICABLE, Pair
from workbench.json_files import cell
from workbench.policy import Layout

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.training.predict import Predicted, Predictor
    from workbench.training.record import CheckpointRecord

WINDOW = 2048
"""Rows that are read, sorted by length and written together."""
SIDES = ("query", "document")

Row = dict[str, Any]


@dataclass(frozen=True)
class Scored:
    """What scoring took. ``blank`` counts rows of which one side has no text that the checkpoint reads."""

    rows: int
    blank: int
    tokens: int
    seconds: float


def score_file(
    source: Path, out: Path, predictor: Predictor, *, say: Callable[[int, float], None] = lambda rows, s: None
) -> Scored:
    """Grade the pairs of ``source`` and write ``out``; row i of it is row i of the source.

    Columns: ``pair_id``; for each dimension ``KEY.grade`` (null for N/A), ``KEY.expected`` (mean grade) and
    ``KEY.probabilities`` (over the levels, ascending); of a click head ``click.probability``. The schema's metadata names the checkpoint and its weights.

    Args:
        source: .parquet, .csv, .tsv or .jsonl; a column for each field (``member.skills`` or ``skills``), or the two columns
            ``query`` and ``document`` (or the names of the policy's sides) with a JSON object or struct of fields.
        out: Parquet file, replaced if it exists.
        predictor: the checkpoint.
        say: told the rows done and the seconds since the start, after each window.

    Raises:
        NotFound: no such file.
        BadInput: the file or one of its rows cannot be read; names the row.
        Conflict: ``out`` is the source.
        WorkbenchError: the checkpoint's answer is not a number; names the row. Nothing is written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if out.resolve() == source.resolve():
        raise Conflict(f"{out} is the file that is read.", "Give --out another name.")
    record = predictor.checkpoint.record
    schema = output_schema(record)
    began = time.monotonic()
    rows = blank = tokens = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    os.close(handle)
    try:
        with pq.ParquetWriter(name, schema) as writer:
            for pairs in read_windows(source, record.pair, record.considers):
                batches = list(predictor.predict(pairs))
                refuse_nan(batches, rows, source.name, record.name)
                columns = output_columns(record, pairs, batches)
                writer.write_table(pa.Table.from_pydict(columns, schema=schema))
                rows += len(pairs)
                blank += sum(is_blank(pair, record.pair, record.considers) for pair in pairs)
                tokens += sum(int(batch.tokens.sum()) for batch in batches)
                say(rows, time.monotonic() - began)
        if not rows:
            raise BadInput(f"{source.name} has no rows.", "Choose a file with pairs.")
        os.chmod(name, 0o644)
        os.replace(name, out)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    return Scored(rows, blank, tokens, time.monotonic() - began)


def read_windows(source: Path, layout: Layout, considers: Sequence[str]) -> Iterator[list[Pair]]:
    """Yield the pairs of a file, ``WINDOW`` at a time, in its order.

    Args:
        source: see :func:`score_file`.
        layout: the fields of both sides.
        considers: the ``side.field`` names that have to have a column.

    Raises:
        NotFound, BadInput: see :func:`score_file`.
    """
    if not source.is_file():
        raise NotFound(f"There is no file {source}.", "Check the path.")
    readers = {".parquet": _parquet, ".csv": _delimited, ".tsv": _delimited, ".jsonl": _json_lines}
    if source.suffix.lower() not in readers:
        raise BadInput(f"{source.name} is none of {', '.join(readers)}.", "Convert it, or correct its name.")
    found = readers[source.suffix.lower()](source)
    first = next(found, None)
    if first is None:
        return
    make = pair_reader(list(first), source.name, layout, considers)
    # JSON lines may leave out keys, so that what the first row has says less than what a Parquet file's schema does.
    numbered = enumerate(itertools.chain([first], found), start=1)
    pairs = (make(row, f"{source.name}, row {number}") for number, row in numbered)
    while window := list(itertools.islice(pairs, WINDOW)):
        yield window


def pair_reader(
    columns: list[str], name: str, layout: Layout, considers: Sequence[str]
) -> Callable[[Row, str], Pair]:
    """Return how a row becomes a pair, or say why these columns cannot make one."""
    sides = list(zip(SIDES, (layout.query, layout.document), strict=True))
    wholes = {
        kind: next((column for column in (side.name, kind) if column in columns), None)
        for kind, side in sides
    }
    if all(wholes.values()) and not any("." in column for column in columns if column in considers):
        fields_of = {kind: side.fields for kind, side in sides}

        def from_objects(row: Row, where: str) -> Pair:
            texts = {kind: _object(row.get(wholes[kind] or ""), where, wholes[kind]) for kind in SIDES}
            return Pair.model_validate(
                {
                    kind: {f: _text(texts[kind].get(f), where, f) for f in fields if f in texts[kind]}
                    for kind, fields in fields_of.items()
                }
            )

        return from_objects
    every = [field for _, side in sides for field in side.fields]
    chosen: dict[str, dict[str, str]] = {}
    missing = []
    for kind, side in sides:
        chosen[kind] = {}
        for field in side.fields:
            full = f"{side.name}.{field}"
            if full in columns:
                chosen[kind][field] = full
            elif field in columns and every.count(field) == 1:
                chosen[kind][field] = field
            elif full in considers:
                missing.append(full)
    if missing:
        raise BadInput(
            f"{name} has no column for {', '.join(missing)} (it has {', '.join(columns[:12])}).",
            "Name a column for each field, or give two columns 'query' and 'document' with JSON objects.",
        )

    def from_cells(row: Row, where: str) -> Pair:
        return Pair.model_validate(
            {
                kind: {field: _text(row.get(column), where, column) for field, column in fields.items()}
                for kind, fields in chosen.items()
            }
        )

    return from_cells


def _object(value: Any, where: str, column: str | None) -> Row:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise BadInput(
                f"{where}: '{column}' is not valid JSON ({error}).", "Write an object of fields."
            ) from error
    if not isinstance(value, dict):
        raise BadInput(f"{where}: '{column}' holds no object of fields.", 'Write {"field": "text", …}.')
    return value


def _text(value: Any, where: str, column: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    try:
        return cell(value)
    except ValueError as error:
        raise BadInput(f"{where}: '{column}' {error}.", "Write the column as text.") from error


def _parquet(source: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=WINDOW):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")[:200]
        raise BadInput(
            f"{source.name} is not a whole Parquet file ({reason}).",
            "Write it again, or give it its true name.",
        ) from error


def _delimited(source: Path) -> Iterator[Row]:
    delimiter = "\t" if source.suffix.lower() == ".tsv" else ","
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(reader, [])
            for number, cells in enumerate(filter(None, reader), start=1):
                if len(cells) != len(header):
                    raise BadInput(
                        f"{source.name}, row {number}: has {len(cells)} cells, the header has {len(header)} columns.",
                        "Quote cells that hold the delimiter.",
                    )
                yield dict(zip(header, cells, strict=True))
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise BadInput(f"{source.name} cannot be read ({error}).", "Save it as UTF-8 CSV.") from error


def _json_lines(source: Path) -> Iterator[Row]:
    try:
        with source.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise BadInput(f"{source.name}, line {number}: is no object.", "Write one object a line.")
                yield row
    except (UnicodeDecodeError, OSError) as error:
        raise BadInput(f"{source.name} cannot be read ({error}).", "Save it as UTF-8.") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{source.name}, line {number}: is not valid JSON ({error}).", "Write one object a line."
        ) from error


def is_blank(pair: Pair, layout: Layout, considers: Sequence[str]) -> bool:
    return any(
        not any(texts.get(field, "").strip() for field in side.fields if f"{side.name}.{field}" in considers)
        for side, texts in ((layout.query, pair.query), (layout.document, pair.document))
    )


def refuse_nan(batches: Iterable[Predicted], before: int, file: str, checkpoint: str) -> None:
    import numpy as np

    for batch in batches:
        clicks = {} if batch.click is None else {"clicks": batch.click[:, None]}
        for key, probabilities in (batch.probabilities | clicks).items():
            broken = ~np.isfinite(probabilities).all(axis=1)
            if broken.any():
                row = before + int(batch.rows[broken].min()) + 1
                raise WorkbenchError(
                    f"{file}, row {row}: the answer of {checkpoint} for {key} is not a number.",
                    "Look at the texts of this row; if they are sound, the checkpoint's training went wrong.",
                )


def output_schema(record: CheckpointRecord) -> pa.Schema:
    import pyarrow as pa

    fields = [pa.field("pair_id", pa.string())]
    for head in record.heads:
        fields += [
            pa.field(f"{head.key}.grade", pa.int16()),
            pa.field(f"{head.key}.expected", pa.float32()),
            pa.field(f"{head.key}.probabilities", pa.list_(pa.float32())),
        ]
    if "click" in record.recipe.heads:
        fields.append(pa.field("click.probability", pa.float32()))
    about = {"checkpoint": record.name, "weights": record.weights_hash, "policy": record.policy_label}
    return pa.schema(fields, metadata=about)


def output_columns(
    record: CheckpointRecord, pairs: Sequence[Pair], batches: Sequence[Predicted]
) -> dict[str, list[Any]]:
    """Return the output's columns for one window, in the order of ``pairs``."""
    import numpy as np

    from workbench.training.grades import decide

    rows = np.concatenate([batch.rows for batch in batches])
    back = np.argsort(rows)
    columns: dict[str, list[Any]] = {"pair_id": [pair.id for pair in pairs]}
    for head in record.heads:
        probabilities = np.concatenate([batch.probabilities[head.key] for batch in batches])[back]
        grades, expected, levels = decide(head, probabilities)
        columns[f"{head.key}.grade"] = [None if g == NOT_APPLICABLE else g for g in grades.tolist()]
        columns[f"{head.key}.expected"] = expected.tolist()
        columns[f"{head.key}.probabilities"] = levels.tolist()
    clicks = [batch.click for batch in batches if batch.click is not None]
    if clicks:
        columns["click.probability"] = np.concatenate(clicks)[back].tolist()
    return columns
