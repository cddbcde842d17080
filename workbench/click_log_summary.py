"""What a kept click log holds: its figures, and the counts that click models are fitted to; streamed, never loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import acero

from workbench.click_log_rows import readable
from workbench.click_model import ClickCounts, PropensitySums
from workbench.identity import Value

Hashes = npt.NDArray[np.uint64]
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio, as in Fibonacci hashing
_MERGE = 4_000_000  # hashes that wait before they are made distinct: 32 MB


class PositionRow(Value):
    """What was shown at one position."""

    position: int
    impressions: int
    clicks: int

    @property
    def rate(self) -> float:
        """Clicks an impression."""
        return self.clicks / self.impressions


class ClickSummary(Value):
    """Figures of a click log. ``sessions`` and ``duplicates`` are None where no column tells them."""

    rows: int
    clicks: int
    queries: int
    documents: int
    sessions: int | None
    positions: tuple[PositionRow, ...]
    first: datetime | None
    last: datetime | None
    duplicates: int | None
    """Rows beyond the first with the same session, query, document, position and time."""
    propensities: bool
    simulated: bool


@dataclass
class _Distinct:
    """How many different 64-bit hashes were seen; two texts in ten million share one with p < 1e-5."""

    known: Hashes = field(default_factory=lambda: np.empty(0, dtype=np.uint64))
    waiting: list[Hashes] = field(default_factory=list)

    def add(self, hashes: Hashes) -> None:
        self.waiting.append(hashes)
        if sum(map(len, self.waiting)) > _MERGE:
            self.merge()

    def merge(self) -> int:
        self.known = np.unique(np.concatenate([self.known, *self.waiting]))
        self.waiting = []
        return len(self.known)


def summarise(path: Path) -> ClickSummary:
    """Return the figures of a kept click log; about 8 bytes a row are held, to find duplicates.

    Raises:
        NotFound, BadInput: if there is no such file, or it is damaged.
    """
    queries, documents, sessions = _Distinct(), _Distinct(), _Distinct()
    rows: list[Hashes] = []
    shown, clicked = np.zeros(0), np.zeros(0)
    first = last = None
    timed = propensities = in_sessions = simulated = False
    with readable(path), pq.ParquetFile(path, read_dictionary=["query", "document", "session"]) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group).combine_chunks()
            position = table["position"].to_numpy()
            clicks = table["clicked"].to_numpy().astype(np.float64)
            size = max(len(shown), int(position.max(initial=0)) + 1)
            shown = _grown(shown, size) + np.bincount(position, minlength=size)
            clicked = _grown(clicked, size) + np.bincount(position, weights=clicks, minlength=size)
            keys = position.astype(np.uint64)
            for name, distinct in (("query", queries), ("document", documents), ("session", sessions)):
                values, of_row = _hashes(table[name])
                distinct.add(values)
                in_sessions |= name == "session" and len(values) > 0
                keys = _mixed(keys, of_row)
            time = table["time"]
            if time.null_count < len(time):
                timed = True
                micros = time.cast(pa.int64()).fill_null(0).to_numpy()
                keys = _mixed(keys, micros.view(np.uint64))
                known = micros[micros != 0]
                first = min(int(known.min()), first if first is not None else int(known.min()))
                last = max(int(known.max()), last if last is not None else int(known.max()))
            propensities |= table["propensity"].null_count < len(table)
            simulated |= bool(pa.compute.any(table["simulated"]).as_py())
            rows.append(keys)
    every = np.sort(np.concatenate(rows)) if rows else np.empty(0, dtype=np.uint64)
    duplicates = int((every[1:] == every[:-1]).sum()) if timed or in_sessions else None
    places = np.flatnonzero(shown)
    return ClickSummary(
        rows=len(every),
        clicks=int(clicked.sum()),
        queries=queries.merge(),
        documents=documents.merge(),
        sessions=sessions.merge() if in_sessions else None,
        positions=tuple(
            PositionRow(position=int(k), impressions=int(shown[k]), clicks=int(clicked[k])) for k in places
        ),
        first=_moment(first),
        last=_moment(last),
        duplicates=duplicates,
        propensities=propensities,
        simulated=simulated,
    )


def _grown(values: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    return np.concatenate([values, np.zeros(size - len(values))])


def _hashes(column: pa.ChunkedArray) -> tuple[Hashes, Hashes]:
    """Return the hashes of the different texts of a dictionary column, and of each row (0 for null)."""
    codes = column.chunk(0) if column.num_chunks else pa.array([], pa.dictionary(pa.int32(), pa.string()))
    texts = codes.dictionary.to_numpy(zero_copy_only=False).astype(object)
    values = pd.util.hash_array(texts, categorize=False).astype(np.uint64)
    index = codes.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    used = np.unique(index[index < len(values)])
    return values[used], np.append(values, np.uint64(0))[index]


def _mixed(key: Hashes, value: Hashes) -> Hashes:
    mixed: Hashes = (key ^ (value + _MIX + (key << np.uint64(6)) + (key >> np.uint64(2)))) * _MIX
    return mixed


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else datetime.fromtimestamp(micros / 1e6, UTC)


def read_counts(path: Path) -> ClickCounts:
    """Return impressions and clicks of each (query, document, position) of a kept click log.

    Room is taken by the cells, about 200 bytes each with texts, not by the rows.

    Raises:
        NotFound, BadInput: if there is no such file, or it is damaged.
    """
    source = ds.field
    text = {name: source(name).cast(pa.string()) for name in ("query", "document")}
    p = source("propensity")
    inverse = ds.scalar(1.0) / p
    clicked = source("clicked").cast(pa.float64())
    columns: dict[str, Any] = {
        **text, "position": source("position"), "clicked": clicked, "p": p, "w": inverse, "wc": inverse * clicked,
        "ww": inverse * inverse, "simulated": source("simulated"),
    }  # fmt: skip
    sums = [
        ("clicked", "hash_count", None, "impressions"), ("clicked", "hash_sum", None, "clicks"),
        ("p", "hash_sum", None, "total"), ("p", "hash_min", None, "low"), ("p", "hash_max", None, "high"),
        ("w", "hash_sum", None, "inverse"), ("wc", "hash_sum", None, "inverse_clicks"),
        ("ww", "hash_sum", None, "inverse_squares"), ("simulated", "hash_any", None, "simulated"),
    ]  # fmt: skip
    with readable(path):
        data = ds.dataset(path, format="parquet")
        plan = acero.Declaration.from_sequence(
            [
                acero.Declaration(
                    "scan", acero.ScanNodeOptions(data, columns=columns, batch_readahead=2, fragment_readahead=1)
                ),
                acero.Declaration("project", acero.ProjectNodeOptions(list(columns.values()), list(columns))),
                acero.Declaration(
                    "aggregate", acero.AggregateNodeOptions(sums, keys=["query", "document", "position"])
                ),
            ]
        )  # fmt: skip
        table = plan.to_table().sort_by(
            [("query", "ascending"), ("document", "ascending"), ("position", "ascending")]
        )

    def column(name: str) -> npt.NDArray[np.float64]:
        values: npt.NDArray[np.float64] = table[name].to_numpy().astype(np.float64)
        return values

    query = pd.factorize(table["query"].to_pandas())[0].astype(np.int64)
    document = pd.factorize(table["document"].to_pandas())[0].astype(np.int64)
    item = pd.factorize(query * (document.max(initial=0) + 1) + document)[0].astype(np.int64)
    given = not np.isnan(column("low")).any()
    names = PropensitySums._fields
    return ClickCounts(
        query=query,
        item=item,
        position=column("position").astype(np.int64),
        impressions=column("impressions"),
        clicks=column("clicks"),
        propensity=PropensitySums(*map(column, names)) if given else None,
        simulated=bool(column("simulated").any()),
    )
