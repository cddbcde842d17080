"""Data sets on disk: ``data.parquet`` with a row a pair, ``card.json`` beside it.

Columns: ``pair_id``, ``query_id``, ``split`` (train or validation, by query), ``is_probe``; ``query`` and ``document``,
structs with a text a field (null: the pair lacks it); ``meta``, a map of texts; and ``judge``, a struct with one struct
a dimension: ``grade`` (a level, -2 for N/A, -1 where the judge failed), ``expected`` (or null), and ``probabilities``
over the declared levels, ascending (or null). Structs rather than columns with prefixes, so that a field called ``id``
cannot be taken for a column of ours. Rows are sorted by pair id, which is a hash: the order says nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.dataset import DatasetCard, DatasetRow
from workbench.errors import BadInput, NotFound
from workbench.files import read_text, write_text
from workbench.golden import Pair
from workbench.identity import canonical_json
from workbench.policy import Policy
from workbench.run import Judgement
from workbench.yamltext import validate

if TYPE_CHECKING:  # a quarter of a second, which whoever reads a card need not wait for
    import pyarrow as pa

ROWS, CARD = "data.parquet", "card.json"
BATCH = 1024
"""Rows that are held at a time."""

_HINT = "Make the data set again."


@dataclass(frozen=True)
class Written:
    """What :func:`write_rows` wrote."""

    rows: int
    content_hash: str


def write_rows(path: Path, rows: Iterable[DatasetRow], policy: Policy, judge_hash: str) -> Written:
    """Write rows as Parquet (zstd), whole or not at all, and return their number and content hash.

    The hash is over the policy, the judge and the rows in their order: give them sorted by pair id.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    made_by = {"policy": policy.content_hash, "judge": judge_hash}
    metadata = {
        "workbench": json.dumps(made_by | {"levels": {key: policy.scale(key) for key in policy.keys}})
    }
    schema = _schema(policy).with_metadata(metadata)
    digest = _Digest(made_by)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            with pq.ParquetWriter(file, schema, compression="zstd") as writer:
                for batch in _batches(rows):
                    for row in batch:
                        digest.add(row)
                    writer.write_table(pa.Table.from_pylist([_plain(row) for row in batch], schema))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    return Written(digest.rows, digest.value())


def iter_rows(path: Path, batch: int = BATCH) -> Iterator[list[DatasetRow]]:
    """Yield the rows of a data set, at most ``batch`` at a time; no more are held.

    Args:
        path: the folder of the data set, or its Parquet file.

    Raises:
        NotFound: if it is not there.
        BadInput: if it is no data set of ours, or damaged.
    """
    import pyarrow as pa

    file = _file(path)
    with _opened(file) as parquet:
        names = list(parquet.schema_arrow.names)
        if missing := [name for name in _COLUMNS if name not in names]:
            raise BadInput(f"{file} has no column '{missing[0]}', so it is no data set of ours.", _HINT)
        try:
            for part in parquet.iter_batches(batch_size=batch, columns=list(_COLUMNS)):
                yield [_row(values) for values in part.to_pylist()]
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(file, error) from error


def rows_at(path: Path, first: int, count: int) -> list[DatasetRow]:
    """Return up to ``count`` rows from row ``first`` on, counted from 0; only the row groups they lie in are read.

    Raises:
        NotFound, BadInput: as :func:`iter_rows`.
    """
    import pyarrow as pa

    file = _file(path)
    found: list[dict[str, Any]] = []
    with _opened(file) as parquet:
        start = 0
        try:
            for group in range(parquet.num_row_groups):
                rows = parquet.metadata.row_group(group).num_rows
                low, high = max(first - start, 0), min(first + count - start, rows)
                if low < high:
                    part = parquet.read_row_group(group, columns=list(_COLUMNS))
                    found += part.slice(low, high - low).to_pylist()
                start += rows
            return [_row(values) for values in found]
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(file, error) from error


def rows_hash(path: Path) -> str:
    """Return the content hash of the rows as they are on disk now: another than the card's means damage.

    Raises:
        NotFound, BadInput: as :func:`iter_rows`.
    """
    file = _file(path)
    with _opened(file) as parquet:
        try:
            said = json.loads((parquet.schema_arrow.metadata or {})[b"workbench"])
            digest = _Digest({"policy": said["policy"], "judge": said["judge"]})
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"{file} does not say which policy and judge made it.", _HINT) from error
    for part in iter_rows(file):
        for row in part:
            digest.add(row)
    return digest.value()


def write_card(folder: Path, card: DatasetCard) -> None:
    """Write the card; it is written last, so that a folder with a card has its rows."""
    write_text(folder / CARD, card.model_dump_json(indent=1))


def read_card(folder: Path) -> DatasetCard:
    """Return the card of a data set's folder.

    Raises:
        NotFound: if there is none.
        BadInput: if it is no card.
    """
    path = folder / CARD
    try:
        data = json.loads(read_text(path))
    except ValueError as error:
        raise BadInput(f"{path} is not JSON ({error}).", _HINT) from error
    return validate(DatasetCard, data, str(path))


_COLUMNS = ("pair_id", "query_id", "split", "is_probe", "query", "document", "meta", "judge")


class _Digest:
    """The content hash of rows, taken while they pass."""

    def __init__(self, made_by: dict[str, str]) -> None:
        self._sha = hashlib.sha256(f"dataset\n{canonical_json(made_by)}".encode())
        self.rows = 0

    def add(self, row: DatasetRow) -> None:
        self._sha.update(f"\n{canonical_json(row.logical())}".encode("utf-8", "surrogatepass"))
        self.rows += 1

    def value(self) -> str:
        return f"dataset-{self._sha.hexdigest()[:32]}"


def _schema(policy: Policy) -> pa.Schema:
    import pyarrow as pa

    def texts(fields: Sequence[str]) -> pa.DataType:
        return pa.struct([(name, pa.string()) for name in fields])

    answer = pa.struct(
        [("grade", pa.int16()), ("expected", pa.float64()), ("probabilities", pa.list_(pa.float64()))]
    )
    return pa.schema(
        [
            ("pair_id", pa.string()),
            ("query_id", pa.string()),
            ("split", pa.string()),
            ("is_probe", pa.bool_()),
            ("query", texts(policy.pair.query.fields)),
            ("document", texts(policy.pair.document.fields)),
            ("meta", pa.map_(pa.string(), pa.string())),
            ("judge", pa.struct([(key, answer) for key in policy.keys])),
        ]
    )


def _plain(row: DatasetRow) -> dict[str, Any]:
    pair = row.pair
    return {
        "pair_id": pair.id,
        "query_id": pair.query_id,
        "split": row.split,
        "is_probe": row.is_probe,
        "query": pair.query,
        "document": pair.document,
        "meta": list(pair.meta.items()),
        "judge": {
            j.dimension: {"grade": j.grade, "expected": j.expected, "probabilities": j.probabilities}
            for j in row.judgements
        },
    }


def _row(values: dict[str, Any]) -> DatasetRow:
    pair = Pair(
        query={name: text for name, text in values["query"].items() if text is not None},
        document={name: text for name, text in values["document"].items() if text is not None},
        meta=dict(values["meta"] or ()),
    )
    if pair.id != values["pair_id"]:
        raise ValueError(f"the texts of {values['pair_id']} are not those that it was made with")
    judgements = tuple(
        Judgement(
            dimension=key,
            grade=said["grade"],
            expected=said["expected"],
            probabilities=None if said["probabilities"] is None else tuple(said["probabilities"]),
        )
        for key, said in values["judge"].items()
    )
    return DatasetRow(pair, values["split"], values["is_probe"], judgements)


def _file(path: Path) -> Path:
    return path / ROWS if path.is_dir() else path


def _opened(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file)
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {file}.", "Check the path.") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> BadInput:
    reason = str(error).partition("\n")[0].rstrip(".")[:200]
    return BadInput(f"{file} is damaged ({reason}).", _HINT)


def _batches(rows: Iterable[DatasetRow]) -> Iterator[list[DatasetRow]]:
    batch: list[DatasetRow] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
