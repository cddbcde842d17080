"""Claim: 100,000 labelled pairs come from a CSV file into a fresh SQLite workspace in under ten seconds.

What is timed is ``labelling.import_golden``, the whole way of an import: reading and checking every row, hashing every
pair, drawing splits by query, keeping pairs, members and labels, the audit line. The peer is ``pandas.read_csv`` and
``DataFrame.to_sql`` of the same rows into one table of another SQLite file in the same run: no ids, no checks, no keys.
The same import is then done again, which has to find that nothing is new. Best of three of both sides, in turns; each
turn starts with empty databases. The claim and the ratios are in CPU seconds of this process, so that other work on the
machine does not count; wall seconds, with the waits for the disk, stand beside them.

    python benchmarks/store_import.py [ROWS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import sqlalchemy as sa
from importing import POLICY, SPEC, write

from workbench.labelling import import_golden
from workbench.policy import Policy
from workbench.workspace import Settings, Workspace, open_workspace

LIMIT_S = 10.0


@dataclass(frozen=True, order=True)
class Took:
    """CPU and wall seconds of one piece of work; the least CPU time is the best."""

    cpu: float
    wall: float


def timed(work: Callable[[], object]) -> Took:
    """Return how long ``work`` takes."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Took(time.process_time() - cpu, time.perf_counter() - wall)


def fresh(folder: Path) -> Workspace:
    """Return a workspace with an empty SQLite database and the benchmark's policy."""
    environment = {"WORKBENCH_ROOT": str(folder), "WORKBENCH_USER": "benchmark"}
    workspace = open_workspace(Settings.from_environment(environment))
    workspace.store.add_policy(Policy.publish(POLICY, policy=SPEC.policy, version=1))
    return workspace


def to_sql(path: Path, database: Path) -> None:
    """Parse the file and write its rows as one table."""
    engine = sa.create_engine(f"sqlite:///{database}")
    pd.read_csv(path, dtype=str, keep_default_na=False).to_sql("rows", engine, index=False)
    engine.dispose()


def main() -> None:
    """Print the table; exit with 1 where the claim does not hold."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    ours, again, peer = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.csv"
        write(path, rows)
        for turn in range(3):
            peer.append(timed(lambda turn=turn: to_sql(path, Path(folder) / f"peer{turn}.db")))
            workspace = fresh(Path(folder) / f"turn{turn}")

            def bring(workspace: Workspace = workspace) -> None:
                import_golden(workspace, SPEC, path.parent, author="benchmark")

            ours.append(timed(bring))
            again.append(timed(bring))
            info = workspace.store.golden(SPEC.golden)
            assert (info.pairs, info.labels) == (rows, rows)
            workspace.store.close()
        print(f"{rows:,} rows, {path.stat().st_size / 2**20:.1f} MB")
    print(f"{'':40}{'CPU s':>8}{'wall s':>8}{'rows/s':>10}{'ratio':>7}")
    for name, found in (
        ("pandas read_csv + to_sql (one table)", min(peer)),
        ("import_golden into an empty workspace", min(ours)),
        ("import_golden again (nothing is new)", min(again)),
    ):
        ratio = found.cpu / min(peer).cpu
        print(f"{name:40}{found.cpu:8.2f}{found.wall:8.2f}{rows / found.cpu:10,.0f}{ratio:7.1f}")
    if rows <= 100_000 and min(ours).cpu > LIMIT_S:
        sys.exit(f"The import took {min(ours).cpu:.1f} s, more than {LIMIT_S:.0f} s.")


if __name__ == "__main__":
    main()
