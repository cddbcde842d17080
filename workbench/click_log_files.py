"""Click logs as files: impressions from CSV or Parquet, streamed into one checked Parquet file.

A batch of rows is held at a time, so that ten million impressions take the room of some hundred thousand. Every row
that cannot be used is counted by kind, with the numbers of the first ones; a file of which too many rows are so is
refused whole. The target appears when it is complete or not at all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import Field

from workbench.click_columns import (
    MAX_POSITION,
    ClickMapping,
    guess_mapping,
    missing,
    numbers,
    repeated,
    texts,
    times,
    truths,
)
from workbench.click_log_rows import columns_of, file_format, read_batches, readable
from workbench.click_model import Floats
from workbench.click_simulation import SimulatedImpressions, Simulation, simulate
from workbench.column_mapping import constant
from workbench.errors import BadInput
from workbench.identity import Value
from workbench.table_files import read_table

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

LIMIT = 0.01
"""Share of rows that may be unusable."""
_SHOWN = 5

NO_QUERY, NO_DOCUMENT = "no query", "no document"
BAD_POSITION, BAD_CLICK = f"position is no whole number from 1 to {MAX_POSITION:,}", "click is not 0 or 1"
BAD_TIME, BAD_PROPENSITY = "time cannot be read", "propensity outside (0, 1]"
NO_SESSION, RAGGED = "no session", "another number of values than the header"


class RowProblem(Value):
    """Rows that share a problem: how many, and the first ones. In CSV the header is row 1, in Parquet a row is."""

    kind: str
    count: int = Field(ge=1)
    first_rows: tuple[int, ...]

    def __str__(self) -> str:
        rows = ", ".join(map(str, self.first_rows)) + (" …" if self.count > len(self.first_rows) else "")
        return f"{self.count:,} × {self.kind} (row {rows})"


class ReadReport(Value):
    """What became of a file's rows."""

    file: str
    format: str
    mapping: ClickMapping
    rows: int
    kept: int
    problems: tuple[RowProblem, ...] = ()
    simulated: bool = False


def schema() -> pa.Schema:
    """Return the columns of a kept click log. ``true_relevance`` is null unless the log is simulated."""
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [
            ("query", text),
            ("document", text),
            ("position", pa.int32()),
            ("time", pa.timestamp("us", "UTC")),
            ("clicked", pa.bool_()),
            ("propensity", pa.float64()),
            ("session", text),
            ("true_relevance", pa.float64()),
            ("simulated", pa.bool_()),
        ]
    )


@contextmanager
def parquet_writer(target: Path) -> Iterator[pq.ParquetWriter]:
    """Give a writer of :func:`schema` whose file takes the place of ``target`` when the block ends well."""
    import pyarrow.parquet as pq

    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
        made = Path(file.name)
    try:
        with pq.ParquetWriter(made, schema(), compression="zstd") as writer:
            yield writer
        made.chmod(0o644)
        made.replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            made.unlink()
        raise


def import_impressions(
    source: Path, target: Path | None, *, given: Mapping[str, str] | None = None, limit: float = LIMIT
) -> ReadReport:
    """Read impressions and write those that can be used to ``target``; None looks at the rows and writes nothing.

    Args:
        source: ``.csv``, ``.tsv``, either with ``.gz``, or ``.parquet``.
        given: field -> column or ``=constant``; what is not given is guessed from column names.
        limit: share of rows that may be unusable.

    Raises:
        NotFound: if there is no such file or column.
        BadInput: if it cannot be read, lacks a field, has no rows, or too many that cannot be used.
    """
    mapping = guess_mapping(columns_of(source), given or {}, source.name)
    found = _Found(source.name)
    with readable(source):
        if target is None:
            for _ in _usable(source, mapping, found):
                pass
            report = found.report(file_format(source), mapping, limit)
        else:
            with parquet_writer(target) as writer:
                for batch in _usable(source, mapping, found):
                    writer.write_batch(batch)
                report = found.report(file_format(source), mapping, limit)
    return report


@dataclass
class _Found:
    """What has been seen of a file so far."""

    file: str
    rows: int = 0
    kept: int = 0
    simulated: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, list[int]] = field(default_factory=dict)

    def add(self, kind: str, rows: npt.NDArray[np.int64]) -> None:
        if len(rows):
            self.counts[kind] = self.counts.get(kind, 0) + len(rows)
            shown = self.first.setdefault(kind, [])
            shown.extend(rows[: _SHOWN - len(shown)].tolist())

    def report(self, kind: str, mapping: ClickMapping, limit: float) -> ReadReport:
        """Return the report, or refuse the file."""
        problems = tuple(
            RowProblem(kind=name, count=count, first_rows=tuple(self.first[name]))
            for name, count in sorted(self.counts.items(), key=lambda item: -item[1])
        )
        if not self.rows:
            raise BadInput(f"{self.file} has a header and no rows.", "Choose another file.")
        bad = self.rows - self.kept
        if bad > limit * self.rows:
            raise BadInput(
                f"{self.file}: {bad:,} of {self.rows:,} rows cannot be used ({bad / self.rows:.1%}, at most "
                f"{limit:.1%} may): {'; '.join(map(str, problems))}.",
                "Correct them, map other columns, or allow a larger share.",
            )
        return ReadReport(
            file=self.file, format=kind, mapping=mapping, rows=self.rows, kept=self.kept, problems=problems,
            simulated=self.simulated,
        )  # fmt: skip


def _usable(source: Path, mapping: ClickMapping, found: _Found) -> Iterator[pa.RecordBatch]:
    ragged: list[int] = []
    for rows, batch in read_batches(source, mapping.columns(), ragged):
        yield _checked(rows, batch, mapping, found)
    found.rows += len(ragged)
    found.add(RAGGED, np.array(ragged, dtype=np.int64))


def _checked(
    rows: npt.NDArray[np.int64], batch: pa.RecordBatch, mapping: ClickMapping, found: _Found
) -> pa.RecordBatch:
    """Return the usable rows of a batch in our columns; a bad row counts for the first check that it fails."""
    import pyarrow as pa

    def column(name: str) -> pa.Array:
        value = getattr(mapping, name)
        text = constant(value)
        return repeated(text, len(batch)) if text is not None else batch.column(value)

    good = np.ones(len(batch), dtype=bool)

    def refuse(kind: str, bad: npt.NDArray[np.bool_]) -> None:
        found.add(kind, rows[bad & good])
        good[bad] = False

    query, document = texts(column("query")), texts(column("document"))
    refuse(NO_QUERY, missing(query))
    refuse(NO_DOCUMENT, missing(document))
    position = numbers(column("position"))
    whole = (position >= 1) & (position <= MAX_POSITION) & (position == np.floor(position))
    refuse(BAD_POSITION, ~whole)
    clicked = truths(column("clicked"))
    refuse(BAD_CLICK, np.isnan(clicked))
    arrays = {
        "query": query,
        "document": document,
        "position": pa.array(np.where(whole, position, 0).astype(np.int32)),
        "clicked": pa.array(clicked == 1),
    }
    if mapping.time:
        arrays["time"] = times(column("time"))
        refuse(BAD_TIME, missing(arrays["time"]))
    if mapping.propensity:
        propensity = numbers(column("propensity"))
        refuse(BAD_PROPENSITY, ~((propensity > 0) & (propensity <= 1)))
        arrays["propensity"] = pa.array(propensity)
    if mapping.session:
        arrays["session"] = texts(column("session"))
        refuse(NO_SESSION, missing(arrays["session"]))
    simulated = truths(column("simulated")) == 1 if mapping.simulated else np.zeros(len(batch), dtype=bool)
    arrays["simulated"] = pa.array(simulated)
    if mapping.true_relevance and simulated.any():
        arrays["true_relevance"] = pa.array(numbers(column("true_relevance")), from_pandas=True)
    found.simulated |= bool(simulated[good].any())
    found.rows += len(batch)
    found.kept += int(good.sum())
    return as_batch(arrays, len(batch)).filter(pa.array(good))


def as_batch(arrays: Mapping[str, pa.Array], rows: int) -> pa.RecordBatch:
    """Return columns as a batch of :func:`schema`; those that are not there are null."""
    import pyarrow as pa

    made = []
    for wanted in schema():
        array = arrays.get(wanted.name)
        if array is None:
            array = pa.nulls(rows, wanted.type)
        elif pa.types.is_dictionary(wanted.type) and not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
        made.append(array.cast(wanted.type))
    return pa.RecordBatch.from_arrays(made, schema=schema())


def read_relevances(path: Path) -> tuple[list[str], list[str], Floats]:
    """Return queries, documents and relevances, one a pair, of a table with columns of these names (no plural).

    Raises:
        NotFound, BadInput: for a file that is not such a table, and for a pair that is there twice.
    """
    table = read_table(path)
    lacking = [name for name in ("query", "document", "relevance") if name not in table]
    if lacking:
        raise BadInput(
            f"{path.name} has no column '{lacking[0]}'.", "It needs query, document and relevance."
        )
    again = table.duplicated(["query", "document"])
    if again.any():
        raise BadInput(
            f"{path.name}, row {again.idxmax()}: this pair is there twice.", "Remove one of the rows."
        )
    values = []
    for row, text in table["relevance"].items():
        try:
            values.append(float(text))
        except ValueError as error:
            raise BadInput(
                f"{path.name}, row {row}: '{text}' is no relevance.", "Write a number from 0 to 1."
            ) from error
    return table["query"].tolist(), table["document"].tolist(), np.array(values)


def write_simulated(
    target: Path, queries: Sequence[str], documents: Sequence[str], true: Floats, settings: Simulation
) -> None:
    """Write the sessions that :func:`workbench.click_simulation.simulate` makes to ``target``."""
    import pyarrow as pa

    query_texts, document_texts = pa.array(queries, pa.string()), pa.array(documents, pa.string())

    def batch(part: SimulatedImpressions) -> pa.RecordBatch:
        pairs = pa.array(part.pair)
        arrays = {
            "query": query_texts.take(pairs),
            "document": document_texts.take(pairs),
            "position": pa.array(part.position),
            "time": pa.array(part.time).cast(pa.timestamp("us", "UTC")),
            "clicked": pa.array(part.clicked),
            "propensity": pa.array(part.propensity),
            "session": pa.array(part.session).cast(pa.string()),
            "true_relevance": pa.array(part.relevance),
            "simulated": pa.repeat(part.simulated, len(part.pair)),
        }
        return as_batch(arrays, len(part.pair))

    with parquet_writer(target) as writer:
        for part in simulate(queries, true, settings):
            writer.write_batch(batch(part))
