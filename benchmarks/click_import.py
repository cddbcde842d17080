"""Claim: ten million impressions are imported, every row checked, within 2 GB of memory.

The peer is ``pandas.read_csv`` and ``to_parquet`` of the same file in the same run, which checks nothing and holds
all rows at once. Each side runs in a process of its own; peak RSS is what the kernel counted for that process, its
libraries included.

    python benchmarks/click_import.py [--rows ROWS]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

ROWS_AT_ONCE = 500_000
QUERIES, DOCUMENTS, POSITIONS = 20_000, 200_000, 10
CLICK_RATE = 0.3


def write(path: Path, rows: int) -> None:
    """Write impressions, the same ones for the same number of rows: lists of ten, clicked less further down."""
    rng = np.random.default_rng(0)
    start = np.datetime64("2026-01-01T00:00:00", "us")
    with path.open("wb") as file:
        for first in range(0, rows, ROWS_AT_ONCE):
            number = np.arange(first, min(first + ROWS_AT_ONCE, rows))
            position = number % POSITIONS + 1
            session = number // POSITIONS
            query = session * 7_919 % QUERIES
            document = (query * 31 + rng.integers(DOCUMENTS // 1_000, size=len(number)) * 997) % DOCUMENTS
            batch = pa.table(
                {
                    "session_id": pa.array(np.char.add("s", session.astype(str))),
                    "query_id": pa.array(np.char.add("query-", query.astype(str))),
                    "document_id": pa.array(np.char.add("document-", document.astype(str))),
                    "position": position,
                    "timestamp": pa.array(start + session.astype("timedelta64[s]")),
                    "clicked": (rng.random(len(number)) < CLICK_RATE / position).astype(np.int8),
                    "propensity": 1 / position,
                }
            )
            csv.write_csv(batch, file, csv.WriteOptions(include_header=first == 0))


def ours(source: Path, target: Path) -> int:
    """Import as ``workbench clicks import`` does and summarise; return the rows kept."""
    from workbench.click_log_files import import_impressions
    from workbench.click_log_summary import summarise

    report = import_impressions(source, target)
    summary = summarise(target)
    assert (report.problems, summary.duplicates) == ((), 0), "the file is clean"
    return summary.rows


def peer(source: Path, target: Path) -> int:
    """Parse and write with pandas; return the rows."""
    import pandas as pd

    table = pd.read_csv(source)
    table.to_parquet(target)
    return len(table)


def measured(side: str, source: Path, target: Path) -> dict[str, float]:
    """Run one side in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--side", side, "--source", str(source), "--target", str(target)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--side", choices=("ours", "peer"), help=argparse.SUPPRESS)
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--target", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        start = time.perf_counter()
        rows = (ours if given.side == "ours" else peer)(given.source, given.target)
        seconds = time.perf_counter() - start
        # Linux counts in KiB; macOS in bytes.
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        print(json.dumps({"rows": rows, "seconds": seconds, "peak": peak}))
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "impressions.csv"
        write(source, given.rows)
        print(f"{given.rows:,} rows, {source.stat().st_size / 2**20:,.0f} MB of CSV")
        print(f"{'':44}{'s':>8}{'rows/s':>12}{'peak MB':>10}{'file MB':>10}")
        found = {}
        for side, what in (
            ("peer", "pandas read_csv + to_parquet (no checks)"),
            ("ours", "import_impressions + summarise"),
        ):
            target = Path(folder) / f"{side}.parquet"
            found[side] = measured(side, source, target)
            assert found[side]["rows"] == given.rows
            seconds, peak = found[side]["seconds"], found[side]["peak"] / 2**20
            size = target.stat().st_size / 2**20
            print(f"{what:44}{seconds:8.1f}{given.rows / seconds:12,.0f}{peak:10,.0f}{size:10,.0f}")
        speed = found["peer"]["seconds"] / found["ours"]["seconds"]
        room = found["ours"]["peak"] / found["peer"]["peak"]
        print(f"ratio ours/peer: speed {speed:.2f}, peak memory {room:.2f}")


if __name__ == "__main__":
    main()
