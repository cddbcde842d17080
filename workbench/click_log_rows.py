"""The rows of a click log's file, a batch at a time, each with its number in the file.

In CSV the header is row 1 and a record is a row, over however many lines its quotes run; in Parquet the first row
is 1. Blank lines are left out, and so are rows with another number of values than the header, which are counted.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workbench.errors import BadInput, NotFound, WorkbenchError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 262_144
_BLOCK = 16 * 2**20  # bytes of CSV that become one batch
_MOST_RAGGED = 1_000_000
_HEADER_BYTES = 2**16


def columns_of(source: Path) -> list[str]:
    """Return the column names of a CSV or Parquet file.

    Raises:
        NotFound, BadInput: for what cannot be read.
    """
    with readable(source):
        if file_format(source) == "parquet":
            import pyarrow.parquet as pq

            names = list(pq.read_schema(source).names)
        else:
            names = _csv_header(source)[0]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise BadInput(f"{source.name}: column '{min(twice)}' is there twice.", "Rename one of them.")
    return names


def file_format(source: Path) -> str:
    """Return csv, tsv or parquet, which is what the name says."""
    name = source.name.lower()
    if name.endswith(".parquet"):
        return "parquet"
    for ending in (".csv", ".tsv"):
        if name.endswith((ending, f"{ending}.gz")):
            return ending[1:]
    raise BadInput(
        f"{source.name} is of an unknown format.", "A click log is .csv, .tsv, either with .gz, or .parquet."
    )


@contextmanager
def readable(source: Path) -> Iterator[None]:
    """Turn whatever goes wrong with reading ``source`` into one sentence."""
    import pyarrow as pa

    if not source.is_file():
        raise NotFound(f"There is no file {source}.", "Check the path.")
    try:
        yield
    except WorkbenchError:
        raise
    except (pa.ArrowException, UnicodeDecodeError, EOFError, csv.Error, OSError) as error:
        if isinstance(error, OSError) and error.filename not in (None, source, str(source)):
            raise  # of the target: a full disk is not the source's fault
        reason = str(error).partition("\n")[0].rstrip(".")[:200]
        raise BadInput(
            f"{source.name} cannot be read ({reason}).", "Check that it is whole and what its name says."
        ) from error


def _csv_header(source: Path) -> tuple[list[str], str]:
    """Return the column names and the delimiter: tab, or what divides the header into most columns."""
    import pyarrow as pa

    with pa.input_stream(source, compression="detect") as stream:
        start = stream.read(_HEADER_BYTES).decode("utf-8-sig", errors="ignore")
    if not start.strip():
        raise BadInput(f"{source.name} is empty.", "It needs a header and rows.")

    def header(delimiter: str) -> list[str]:
        return next(csv.reader(io.StringIO(start, newline=""), delimiter=delimiter), [])

    delimiters = "\t" if file_format(source) == "tsv" else ",;\t"
    best = max(delimiters, key=lambda delimiter: len(header(delimiter)))
    return header(best), best


def read_batches(
    source: Path, wanted: list[str], ragged: list[int]
) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
    """Yield (row numbers, rows) with the columns ``wanted``; numbers of ragged rows are added to ``ragged``."""
    if file_format(source) != "parquet":
        yield from _csv_batches(source, wanted, ragged)
        return
    import pyarrow.parquet as pq

    start = 1
    with pq.ParquetFile(source) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
            yield np.arange(start, start + len(batch)), batch
            start += len(batch)


def _csv_batches(
    source: Path, wanted: list[str], ragged: list[int]
) -> Iterator[tuple[npt.NDArray[np.int64], pa.RecordBatch]]:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv as arrow_csv

    def skip(row: Any) -> str:
        ragged.append(row.number)
        return "skip" if len(ragged) <= _MOST_RAGGED else "error"

    reader = arrow_csv.open_csv(
        source,
        # One thread, since only then rows that are skipped bear their number.
        read_options=arrow_csv.ReadOptions(block_size=_BLOCK, use_threads=False),
        parse_options=arrow_csv.ParseOptions(
            delimiter=_csv_header(source)[1],
            newlines_in_values=True,
            ignore_empty_lines=False,
            invalid_row_handler=skip,
        ),
        # Every cell as text: what a cell means is ours to say, with its row number.
        convert_options=arrow_csv.ConvertOptions(
            include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())
        ),
    )
    kept = 0
    with reader:
        for batch in reader:
            rows = _numbered(np.arange(kept, kept + len(batch)), ragged)
            kept += len(batch)
            blank = np.ones(len(batch), dtype=bool)
            for column in batch.columns:
                blank &= pc.equal(column, "").to_numpy(zero_copy_only=False)
            if blank.any():
                rows, batch = rows[~blank], batch.filter(pa.array(~blank))
            yield rows, batch


def _numbered(index: npt.NDArray[np.int64], ragged: list[int]) -> npt.NDArray[np.int64]:
    """Return the numbers in the file of the rows that were read as number ``index`` (from 0), ``ragged`` skipped."""
    skipped = np.array(ragged, dtype=np.int64)
    # The i-th skipped row lies before a row that would be row r without any skipped, if it minus i is at most r.
    numbers: npt.NDArray[np.int64] = index + 2
    return numbers + np.searchsorted(skipped - np.arange(len(skipped)), numbers, side="right")
