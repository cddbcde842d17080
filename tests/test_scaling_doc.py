"""docs/scaling.md shows what its script computes, and the script computes what its words say."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
FILE = ROOT / "benchmarks" / "scaling.py"


@pytest.fixture(scope="module")
def scaling() -> Iterator[Any]:
    """The script as a module."""
    yield from loaded("benchmarks_scaling", FILE)


@pytest.fixture(scope="module")
def simulation() -> Iterator[Any]:
    """The simulation of the queue as a module."""
    yield from loaded("benchmarks_queue_simulation", FILE.with_name("queue_simulation.py"))


def loaded(name: str, file: Path) -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def needs(table: str) -> dict[str, str]:
    """What -> what it needs, of a table, without emphasis."""
    rows = [line.strip("| ").split(" | ") for line in table.replace("**", "").splitlines()[2:]]
    return {row[0]: row[-1] for row in rows}


def test_the_tables_of_the_document_are_those_of_the_script(scaling: Any) -> None:
    document = (ROOT / "docs" / "scaling.md").read_text("utf-8")
    places = re.findall(r"<!-- table (\w+) -->", document)
    assert sorted(places) == ["clicks", "distillation", "inputs", "judging"]
    assert document.count("<!-- end -->") == 4
    assert scaling.written(document, scaling.tables(scaling.INPUTS)) == document


def test_every_input_says_where_it_is_from(scaling: Any) -> None:
    known = (
        "measured: ",
        "assumption",
        "price, an example",
        "the question",
        "data sheet",
        "the most",
        "the machine",
    )
    for name, given in scaling.INPUTS.items():
        assert given.source.startswith(known), name
        if given.source.startswith("measured: `python "):
            script = re.search(r"benchmarks/\w+\.py", given.source)
            assert script is not None, name
            assert (ROOT / script[0]).is_file(), name
        if given.unit.startswith("$"):
            assert given.source.startswith("price, an example"), name


def test_judging_by_hand(scaling: Any) -> None:
    inputs = scaling.changed([
        "judge_pairs=8640000", "policy_tokens=1000", "pair_tokens=500", "answer_tokens=100", "cached_share=0.5",
        "answer_s=10", "token_limit=4800000", "usd_in=1", "usd_cached=0.1", "usd_out=4", "collect_rate=1200",
        "line_bytes=100", "cache_bytes=200", "store_bytes=700",
    ])  # fmt: skip
    found = needs(scaling.tables(inputs)["judging"])
    assert found["calls"] == "100 a second"  # 8,640,000 / 86,400
    assert found["in flight"] == "1,000"
    assert found["worker processes"] == "2"  # 512 each
    assert found["tokens"] == "10 million a minute"  # 100 × 60 × 1,600 = 9.6 million
    assert found["against the provider's limit"] == "2.0 ×"
    assert found["collect into SQLite, one process"] == "2.0 h a day"  # 7,200 s
    assert found["disk"] == "9 GB a day"  # 8.64 million × 1,000 bytes
    # A call: 500 × 0.1 + 1,000 × 1 + 100 × 4 = 1,450 millionths of a dollar.
    assert found["cost by calls"] == "$12,528 a day"


def test_gpu_hours_by_hand(scaling: Any) -> None:
    n = {name: given.value for name, given in scaling.INPUTS.items()} | {
        "tokens": 100,
        "utilisation": 0.5,
        "tflops": 1,
    }
    # One layer of width 8: q 8·8, k and v 8·8, o 8·8, three of the MLP 8·16: 640 a token in its matrices.
    config = {"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 16,
              "vocab_size": 10, "num_attention_heads": 2}  # fmt: skip
    # Forward: 2·640 + 4·1·8·100 = 4,480 a token, 448,000 a pair; at 0.5e12 a second, 3.6e15 / 0.448e6 pairs take 2 hours.
    assert scaling.read(n, config, 3.6e15 / 448_000) == pytest.approx(2)
    # Trained: (6 + 2)·640 + 12·8·100 = 14,720 a token, 1,472,000 a pair.
    hours = scaling.trained(n, config, 10**9, adapter=False)
    assert hours == pytest.approx(10**9 * 1_472_000 / 0.5e12 / 3600)


def test_memory_of_clicks_and_examples_by_hand(scaling: Any) -> None:
    changes = ["click_mb_2m=500", "click_mb_10m=1300", "click_rows=107e6", "example_bytes=1000", "tokens_bytes=4000",
               "tokens=128", "distil_pairs=1e6", "machine_memory=12", "small_memory=20.3"]  # fmt: skip
    found = scaling.tables(scaling.changed(changes))
    clicks, distil = needs(found["clicks"]), needs(found["distillation"])
    # 100 MB a million rows, 300 MB at none: 11 GB at 107 million; 20.3 GB hold 200 million.
    assert clicks["import, memory"] == "11 GB"
    assert clicks["rows that small_memory holds"] == "200 million"
    # 1,000 + 4,000 / 2 = 3,000 bytes a pair.
    assert distil["main memory of one training process"] == "3 GB"
    assert distil["of 8, one a GPU"] == "24 GB"
    assert distil["pairs that machine_memory holds, 1 process"] == "4 million"


def test_the_figures_of_the_queue_are_those_of_the_simulation(simulation: Any) -> None:
    runs = []
    for setting in (simulation.Setting(), simulation.Setting().calm()):
        runs.append(simulation.Simulation(setting, simulation.draw_jobs(10_000, 500, 1.1)))
        runs[-1].run()
    document = (ROOT / "docs" / "scaling.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+ \| [^|]+?) \|$", document, re.MULTILINE))

    def share(part: str) -> str:
        shares = [getattr(run.loaded, part) / 500 / run.loaded.span for run in runs]
        return " | ".join(f"{value:.1%}".replace("%", " %") if value else "–" for value in shares)

    assert rows["useful share of slot time, while jobs come"] == share("useful")
    assert rows["starting (60 s a start)"] == share("starting")
    assert rows["work done again"] == share("lost")
    assert rows["workers down"] == share("down")
    assert rows["free, and somebody waits for more slots than are free"] == share("idle_with_line")
    ends = [simulation.percentile([job.ended for job in run.jobs.values()], 0.95) / 3600 for run in runs]
    assert rows["hours until 95 % of the jobs had ended"] == " | ".join(f"{hours:.2f}" for hours in ends)
    report = runs[0].report
    assert f"Of {report.resumes:,} resumes, {report.disk_failures:,} are of the full disk's hour" in document


def test_a_wrong_change_is_told_and_a_right_one_is_shown() -> None:
    def said(change: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(FILE), "--set", change]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

    assert said("usd_oot=1").returncode == 1
    assert "give NAME=NUMBER with one of judge_pairs" in said("usd_out=cheap").stderr
    assert "| `usd_out` | 9 $ a million tokens | --set |" in said("usd_out=9").stdout
