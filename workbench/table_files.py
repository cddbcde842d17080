"""One file of rows (CSV, TSV, JSON, JSONL, Parquet or Excel, optionally gzipped) to a table of texts.

Whatever is wrong with a file is one :class:`~workbench.errors.BadInput` that names the file, the row and what to
do. Nothing is guessed about types: every cell is text, an absent value is the empty text.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

import pandas as pd

from workbench.errors import BadInput, NotFound
from workbench.excel_files import sheet_rows
from workbench.golden_rows import OWN_COLUMNS, restored
from workbench.json_files import cell, json_lines, json_list

MAX_BYTES = 150 * 2**20
"""Largest file read, as it lies on disk."""
INFLATION = 4
"""A compressed file may unfold to so many times the limit on disk; more is refused while it is read."""
HEADER_LENGTH = 2**16
"""Characters of a CSV file in which its delimiter is looked for."""
BATCH = 1_024
"""Rows that are held as rows at a time."""
MAX_COLUMNS = 2_000
MAX_CELLS = 50_000_000
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".xlsx")

Files = Path | Mapping[str, Path | bytes | pd.DataFrame]
"""Where an import's files are: a folder, or name -> path, content (an upload in the browser), or a table as read."""


def read_table(
    source: Path | bytes, name: str = "", *, max_bytes: int = MAX_BYTES, sheet: str = ""
) -> pd.DataFrame:
    """Return a file as a data frame of ``str`` columns whose index is the row number in the file.

    The format is what the name ends with: ``.csv`` (comma, semicolon or tab, whichever divides the header into
    most columns), ``.tsv``, ``.jsonl``/``.ndjson``, ``.json``, ``.parquet``, ``.xlsx``, each also with ``.gz``
    behind it. In CSV, TSV and Excel the header is row 1, in JSONL rows are lines, in Parquet the first row is 1.
    A JSON file is a list of flat objects, of Label Studio's tasks or of Argilla's records (see
    :mod:`workbench.label_studio` and :mod:`workbench.argilla_records`); its rows bear the number of their object.
    Rows without any value are left out, the others keep their number. A list of values becomes its items joined by
    blank lines, an object its JSON text, null the empty text; a column without a name is called ``column N``.

    Args:
        source: a path, or the content itself.
        name: the file's name where ``source`` is its content; in errors, and for the format.
        max_bytes: largest size on disk; unfolded, ``INFLATION`` times as much.
        sheet: of an Excel workbook; "" for the first.

    Raises:
        NotFound: if the path is not there.
        BadInput: for everything that is wrong with the content.
    """
    name = name or (source.name if isinstance(source, Path) else "")
    inner = name.lower().removesuffix(".gz")
    suffix = next((s for s in SUFFIXES if inner.endswith(s)), None)
    if inner.endswith(".xls"):
        raise BadInput(f"{name} is a workbook of the old Excel format.", "Save it as .xlsx or 'CSV UTF-8'.")
    if suffix is None:
        raise BadInput(
            f"{name or 'The file'} is of an unknown format.",
            f"It may be {', '.join(SUFFIXES)} or one of them with .gz.",
        )
    data = _unfolded(source, name, max_bytes)
    if suffix == ".parquet":
        return _parquet(data, name, max_bytes * INFLATION)
    if suffix == ".xlsx":
        return _excel(data, name, sheet, max_bytes * INFLATION)
    text = _text(data, name)
    if suffix == ".json":
        return _objects(*json_list(text, name), name)
    if suffix in {".jsonl", ".ndjson"}:
        return _objects(*json_lines(text, name), name)
    table = _delimited(text, name, suffix)
    if table.empty:
        raise BadInput(f"{name} has a header and no rows.", "Add the rows, or choose another file.")
    return table


def read_content(source: Path | bytes, name: str, *, max_bytes: int = MAX_BYTES) -> str:
    """Return the text of a file, unfolded where its name ends in ``.gz``.

    Raises:
        NotFound, BadInput: as :func:`read_table`.
    """
    return _text(_unfolded(source, name, max_bytes), name)


def open_table(files: Files, name: str) -> pd.DataFrame:
    """Return the file called ``name`` of ``files`` as :func:`read_table` does; ``book.xlsx#Sheet 2`` names a sheet.

    Raises:
        NotFound: if no file is called so, with the nearest names there are.
        BadInput: as :func:`read_table`.
    """
    file, _, sheet = name.partition("#") if ".xlsx#" in name.lower() else (name, "", "")
    if isinstance(files, Path):
        path = files / file
        if not path.is_file():
            there = (file.name for file in files.iterdir()) if files.is_dir() else ()
            raise NotFound.among("file", file, there)
        return read_table(path, file, sheet=sheet)
    if file not in files:
        raise NotFound.among("file", file, files)
    found = files[file]
    return found if isinstance(found, pd.DataFrame) else read_table(found, file, sheet=sheet)


_FOREIGN = {
    b"PK\x03\x04": "an Excel workbook or zip archive",
    b"\x1f\x8b": "compressed with gzip",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_FOREIGN_REMEDY = {
    "an Excel workbook or zip archive": "If it is a workbook, let its name end in .xlsx.",
    "compressed with gzip": "Let its name end in .gz.",
    "a Parquet file": "Let its name end in .parquet.",
    "UTF-16": "Save as UTF-8 (in Excel: 'CSV UTF-8').",
}


def _content(source: Path | bytes, name: str, max_bytes: int) -> bytes:
    try:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        if size > max_bytes:
            raise BadInput(
                f"{name} has {size / 2**20:,.1f} MB; a file may have {max_bytes / 2**20:,.1f} MB.",
                "Divide it, or leave out columns that are not needed.",
            )
        return source if isinstance(source, bytes) else source.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(f"No file is called '{name}'.", "Check the folder and the name.") from error
    except OSError as error:
        raise BadInput(
            f"{name} cannot be read ({error.strerror}).", "Check that it is a file and may be read."
        ) from error


def _unfolded(source: Path | bytes, name: str, max_bytes: int) -> bytes:
    data = _content(source, name, max_bytes)
    if name.lower().endswith(".gz"):
        data = _inflate(data, name, max_bytes * INFLATION)
    if not data:
        raise BadInput(f"{name} is empty.", "It needs at least one row.")
    return data


def _inflate(data: bytes, name: str, limit: int) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            # One byte past the limit is enough to know; the rest of a gzip bomb is never unfolded.
            unfolded = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadInput(
            f"{name} is not a whole gzip file ({error}).", "Compress it again, or take .gz off its name."
        ) from error
    if len(unfolded) > limit:
        raise BadInput(
            f"{name} unfolds to more than {limit / 2**20:,.1f} MB.", "Divide it into several smaller files."
        )
    return unfolded


def _text(data: bytes, name: str) -> str:
    for magic, what in _FOREIGN.items():
        if data.startswith(magic):
            kind = Path(name.lower().removesuffix(".gz")).suffix[1:].upper()
            raise BadInput(f"{name} is {what}, not {kind} text.", _FOREIGN_REMEDY[what])
    start = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    try:
        text = data[start:].decode("utf-8")
    except UnicodeDecodeError as error:
        byte = start + error.start
        row = data.count(b"\n", 0, byte) + 1
        raise BadInput(
            f"{name}, row {row} (byte {byte + 1}): not UTF-8 text.", "Save as UTF-8 (in Excel: 'CSV UTF-8')."
        ) from error
    if "\0" in text:
        row = text.count("\n", 0, text.index("\0")) + 1
        raise BadInput(f"{name}, row {row}: holds a NUL character.", "Save as UTF-8 text.")
    if not text.strip():
        raise BadInput(f"{name} is empty.", "It needs at least one row.")
    return text


def _delimited(text: str, name: str, suffix: str) -> pd.DataFrame:
    def fail(number: int, what: str, remedy: str) -> NoReturn:
        raise BadInput(f"{name}, row {number}: {what}.", remedy)

    numbers: list[int] = []
    rows: list[list[str]] = []
    columns: list[list[str]] = []

    def flush() -> None:
        for column, values in zip(columns, zip(*rows, strict=True), strict=False):
            column.extend(values)
        rows.clear()

    number = 0  # the last row that was read
    try:
        # Not pandas: its parsers fill short rows silently and count neither blank lines nor rows as people do.
        delimiter = "\t" if suffix == ".tsv" else _delimiter(text[:HEADER_LENGTH])
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = _header(next(reader), name)
        columns = [[] for _ in header]
        number = 1
        for number, row in enumerate(reader, 2):
            if not any(row):
                continue
            if len(row) != len(header):
                fail(
                    number,
                    f"has {len(row)} values, the header has {len(header)} columns",
                    "Put quotes around texts that hold the delimiter, and fill the row up.",
                )
            numbers.append(number)
            rows.append(row)
            if len(rows) == BATCH:  # columns need less memory than a list a row
                flush()
        flush()
    except csv.Error as error:
        if "field limit" in str(error):
            fail(
                number + 1,
                "a text of more than 131,072 characters",
                "Close the quote, or use JSONL for long texts.",
            )
        fail(
            number + 1,
            f"quotes do not match ({error})",
            "Close the quote; write a quote within a text twice.",
        )
    if header[:2] == OWN_COLUMNS:
        columns = [[restored(text) for text in column] for column in columns]
    return _frame(header, columns, numbers)


def _delimiter(text: str) -> str:
    def columns(delimiter: str) -> int:
        return len(next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), []))

    return max(",;\t", key=columns)  # the first of equals: a comma


def _header(cells: Iterable[str], name: str) -> list[str]:
    header = [cell.strip() or f"column {i}" for i, cell in enumerate(cells, 1)]
    _refuse_width(len(header), name)
    first: dict[str, int] = {}
    for i, column in enumerate(header, 1):
        if column in first:
            raise BadInput(
                f"{name}: column '{column}' is there twice, as column {first[column]} and column {i}.",
                "Rename or remove one of them.",
            )
        first[column] = i
    return header


def _objects(objects: list[dict[str, str]], numbers: list[int], name: str) -> pd.DataFrame:
    columns: dict[str, None] = {}
    for found in objects:
        columns.update(dict.fromkeys(found))
        _refuse_width(len(columns), name)
    if len(columns) * len(objects) > MAX_CELLS:
        raise BadInput(
            f"{name} makes a table of {len(objects):,} rows and {len(columns):,} columns.",
            f"Leave out columns: a table may have {MAX_CELLS:,} cells.",
        )
    values = ([row.get(column, "") for row in objects] for column in columns)
    return _frame(_header(columns, name), values, numbers)


def _parquet(data: bytes, name: str, limit: int) -> pd.DataFrame:
    import pyarrow as pa  # 0.1 s that an import of CSV files need not pay
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(data))
        header = _header(file.schema_arrow.names, name)
        meta = file.metadata
        size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        columns: list[list[str]] = [[] for _ in header]
        used = 0
        # Batch by batch, because a column of one repeated text unfolds to far more than its metadata says.
        for batch in file.iter_batches(batch_size=BATCH) if size <= limit else ():
            used += batch.nbytes
            if used > limit:
                break
            for values, column in zip(columns, batch.columns, strict=True):
                values.extend(map(cell, column.to_pylist()))
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")[:200]
        raise BadInput(
            f"{name} is not a whole Parquet file ({reason}).", "Write it again, or give it its true name."
        ) from error
    if max(size, used) > limit:
        raise BadInput(
            f"{name} unfolds to more than {limit / 2**20:,.1f} MB.", "Divide it into several smaller files."
        )
    if not columns or not columns[0]:
        raise BadInput(f"{name} has columns and no rows.", "Add the rows, or choose another file.")
    return _frame(header, columns, list(range(1, len(columns[0]) + 1)))


def _excel(data: bytes, name: str, sheet: str, limit: int) -> pd.DataFrame:
    header: list[str] = []
    columns: list[list[str]] = []
    numbers: list[int] = []
    for number, row in sheet_rows(data, name, sheet, limit):
        if not header:
            header = _header(map(cell, row), name)
            columns = [[] for _ in header]
            continue
        if len(row) > len(header):
            raise BadInput(
                f"{name}, row {number}: has {len(row)} cells, the header has {len(header)} columns.",
                "Give every column a name in row 1.",
            )
        numbers.append(number)
        for i, column in enumerate(columns):
            column.append(cell(row[i]) if i < len(row) else "")
    if not numbers:
        raise BadInput(f"{name} has a header and no rows.", "Add the rows, or choose another sheet.")
    return _frame(header, columns, numbers)


def _refuse_width(columns: int, name: str) -> None:
    if columns > MAX_COLUMNS:
        raise BadInput(
            f"{name} has more than {MAX_COLUMNS:,} columns.", "Check the delimiter, or leave out columns."
        )


def _frame(header: list[str], columns: Iterable[Iterable[str]], numbers: list[int]) -> pd.DataFrame:
    index = pd.Index(numbers, name="row", dtype="int64")
    series = {
        column: pd.Series(list(values), index=index, dtype="str")
        for column, values in zip(header, columns, strict=True)
    }
    return pd.DataFrame(series, index=index)
