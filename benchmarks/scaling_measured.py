"""How fast what judges say is kept, how large it gets, and what a training example takes in memory.

    python benchmarks/scaling_measured.py [--pairs 20000]

Six dimensions of five levels, pairs of about 1,000 characters, and of 256 tokens. Each figure is of one process; rates
by its processor time, since others may use the machine, and beside them by wall clock. docs/scaling.md uses them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
from matrix import DIMENSIONS, policy

from workbench.dataset import DatasetRow
from workbench.dataset_files import iter_rows, write_rows
from workbench.golden import Pair
from workbench.judges.cache import VerdictCache
from workbench.run import JudgeIdentity, Judgement, Run, Usage, Verdict
from workbench.workspace import open_workspace

WORDS = "We build services in Python and look after them. "
TOKENS = 256


def pairs(count: int) -> Iterator[Pair]:
    """Yield pairs of about 1,000 characters."""
    for i in range(count):
        yield Pair(query={"text": f"member {i} " + WORDS * 8}, document={"text": f"job {i} " + WORDS * 12})


def verdict(pair_id: str, i: int) -> Verdict:
    """Return an answer with probabilities and reasons."""
    judgements = tuple(
        Judgement(
            dimension=key,
            grade=(i + d) % 5,
            probabilities=(0.1, 0.2, 0.4, 0.2, 0.1),
            expected=2.0,
            rationale="The text names the skill and describes work in which it was used.",
            cites=(f"{key}.1",),
        )
        for d, key in enumerate(DIMENSIONS)
    )
    usage = Usage(calls=1, input_tokens=2500, output_tokens=300, cost_usd=0.001, latency_ms=900.0)
    return Verdict(pair_id=pair_id, judgements=judgements, usage=usage)


def timed(what: str, count: int, work: Callable[[], object]) -> None:
    """Do it once and print its rate."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{what}: {count / cpu:,.0f} pairs/s of CPU ({count / wall:,.0f} by wall clock)", flush=True)


def keep(count: int, folder: Path) -> None:
    """Measure the verdict cache, the store and the data set's file."""
    found = list(pairs(count))
    said = [verdict(pair.id, i) for i, pair in enumerate(found)]
    cache = VerdictCache(folder / "cache.db")
    parts = [range(start, min(start + 50, count)) for start in range(0, count, 50)]
    timed("verdict cache, write 50 at a time", count, lambda: [
        cache.put_all((f"verdict-{i:032}", said[i]) for i in part) for part in parts
    ])  # fmt: skip
    timed("verdict cache, read", count, lambda: [cache.get(f"verdict-{i:032}") for i in range(count)])
    cache.close()
    print(f"verdict cache: {(folder / 'cache.db').stat().st_size / count:,.0f} bytes a pair")
    lines = sum(len(v.model_dump_json()) + 1 for v in said[:1000])
    print(f"judgements.jsonl: {lines / 1000:,.0f} bytes a pair, without traces")

    os.environ |= {"WORKBENCH_ROOT": str(folder), "WORKBENCH_HOME": str(folder / "var")}
    os.environ["WORKBENCH_DATABASE_URL"] = ""
    store = open_workspace().store
    store.add_policy(policy())
    store.create_golden("bench", policy="bench", holdout=0.2)
    timed("store, pairs", count, lambda: store.add_pairs("bench", found))
    before = (folder / "var" / "workbench.db").stat().st_size
    judge = JudgeIdentity(kind="recorded", name="judge")
    run = Run(id="run", judge=judge, policy="bench", policy_version=1, policy_hash="", golden="bench", golden_version=1,
              golden_hash="", status="running", created_at=datetime.now(UTC))  # fmt: skip
    store.save_run(run)
    timed("store, verdicts (collect), 500 at a time", count, lambda: [
        store.add_verdicts("run", said[start : start + 500]) for start in range(0, count, 500)
    ])  # fmt: skip
    wal = folder / "var" / "workbench.db-wal"
    after = (folder / "var" / "workbench.db").stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    print(f"store: {(after - before) / count:,.0f} bytes a verdict")

    rows = sorted(
        (DatasetRow(p, "train", False, v.judgements) for p, v in zip(found, said, strict=True)),
        key=lambda row: row.pair.id,
    )
    file = folder / "rows.parquet"
    timed("data set, write", count, lambda: write_rows(file, rows, policy(), "judge"))
    print(f"data set: {file.stat().st_size / count:,.0f} bytes a pair (texts that are alike)")
    timed("data set, read", count, lambda: [len(batch) for batch in iter_rows(file)])


def hold(count: int) -> None:
    """Measure what one example and its tokens take in memory."""
    from workbench.training.data import Example
    from workbench.training.tokens import Tokens

    process = psutil.Process()
    target = dict.fromkeys(DIMENSIONS, (0.1, 0.2, 0.4, 0.2, 0.1))
    before = process.memory_info().rss
    held = [Example(pair, {}, {}, {}, dataset=dict(target)) for pair in pairs(count)]
    examples = process.memory_info().rss
    read = [
        Tokens([1000 + (i + j) % 30000 for j in range(TOKENS)], [j % 2 for j in range(TOKENS)])
        for i in range(count)
    ]
    after = process.memory_info().rss
    assert len(held) == len(read)
    print(f"in memory: {(examples - before) / count:,.0f} bytes an example, "
          f"{(after - examples) / count:,.0f} its {TOKENS} tokens")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=20_000)
    given = parser.parse_args()
    print(f"{given.pairs:,} pairs, load {os.getloadavg()[0]:.1f}")
    hold(given.pairs)
    with tempfile.TemporaryDirectory() as place:
        keep(given.pairs, Path(place))
