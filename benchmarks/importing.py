"""Claim: 100,000 labelled pairs (texts and one label each) become pairs and a label frame in under four seconds.

The peer is ``pandas.read_csv`` on the same file in the same run, which only parses: the ratio is what validating
every row, hashing every pair and checking every grade costs on top. Best of three, in CPU seconds of this process:
neither side uses a second thread, and other work on the machine does not count.

    python benchmarks/importing.py [ROWS]
"""

from __future__ import annotations

import csv
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from workbench.column_mapping import ImportSpec
from workbench.formats import read_import, read_table
from workbench.policy import Body

POLICY = Body.model_validate(
    {
        "title": "Is this product what the search asks for?",
        "pair": {
            "query": {"name": "search", "fields": ["query"]},
            "document": {"name": "product", "fields": ["title", "description"]},
        },
        "dimensions": [
            {
                "key": "relevance",
                "title": "Relevance",
                "question": "How relevant is it?",
                "levels": [{"value": value, "name": str(value)} for value in range(5)],
            }
        ],
        "overall": {"cut_points": [0.8, 1.6, 2.4, 3.2]},
    }
)
SPEC = ImportSpec.model_validate(
    {
        "golden": "benchmark",
        "policy": "benchmark",
        "pairs": {"file": "pairs.csv"},
        "query": {"query": "query"},
        "document": {"title": "title", "description": "description"},
        "labels": [{"long": {"dimension": "=relevance", "grade": "grade", "labeler": "rater"}}],
    }
)


def write(path: Path, rows: int) -> None:
    """Write a CSV with a pair and its label on each row; the same file for the same number of rows."""
    draw = random.Random(0)
    words = ["boot", "leather", "red", "wide", "winter", "sole", "lace", "rubber", "wool", "light"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["query", "title", "description", "grade", "rater"])
        for i in range(rows):
            query = f"{words[i % 10]} {i // 50}"
            writer.writerow(
                [query, f"{draw.choice(words)} {i}", " ".join(draw.choices(words, k=40)), i % 5, f"r{i % 3}"]
            )


def best(work: Callable[[], object], times: int = 3) -> float:
    """Return the shortest of several runs, in CPU seconds."""
    seconds = []
    for _ in range(times):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> None:
    """Print the table."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.csv"
        write(path, rows)
        at = datetime.now(UTC)
        imported = read_import(SPEC, path.parent, POLICY, at)
        assert (len(imported.pairs), len(imported.labels)) == (rows, rows)
        peer = best(lambda: pd.read_csv(path, dtype=str, keep_default_na=False))
        print(f"{rows:,} rows, {path.stat().st_size / 2**20:.1f} MB")
        print(f"{'':34}{'CPU s':>9}{'rows/s':>12}{'ratio':>8}")
        for name, seconds in (
            ("pandas.read_csv (parses only)", peer),
            ("read_table (checks every row)", best(lambda: read_table(path))),
            ("read_import (pairs and labels)", best(lambda: read_import(SPEC, path.parent, POLICY, at))),
        ):
            print(f"{name:34}{seconds:9.2f}{rows / seconds:12,.0f}{seconds / peer:8.1f}")


if __name__ == "__main__":
    main()
