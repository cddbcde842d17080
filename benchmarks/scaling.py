"""The arithmetic of docs/scaling.md: what large runs need, from figures measured here, assumptions and prices.

    python benchmarks/scaling.py [--set NAME=VALUE ...]      print the tables with other inputs
    python benchmarks/scaling.py --write docs/scaling.md     put the tables into the document

Each input says where it is from. Prices are examples. A figure that nobody measured is an assumption and says so.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.recipe import StudentRecipe
from workbench.training.plan import estimate, shape_of

HOUR, DAY, GB = 3600.0, 86_400.0, 1e9

QWEN_7B: dict[str, Any] = {
    "model_type": "qwen2", "hidden_size": 3584, "num_hidden_layers": 28, "intermediate_size": 18944,
    "vocab_size": 152064, "num_attention_heads": 28, "num_key_value_heads": 4,
}  # fmt: skip
QWEN_06B: dict[str, Any] = {
    "model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 28, "intermediate_size": 3072, "vocab_size": 151936,
    "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
}  # fmt: skip
"""Shapes of the backbones, as their configurations give them (also in benchmarks/gpu.py)."""


@dataclass(frozen=True)
class Input:
    """A number that the tables are computed from."""

    value: float
    unit: str
    source: str


MEASURED = "measured: `python benchmarks/scaling_measured.py`"
INPUTS: dict[str, Input] = {
    "judge_pairs": Input(10e6, "pairs a day", "the question"),
    "policy_tokens": Input(11_333, "tokens a call", "measured: `prompt_costs.prompt_tokens` of job-match v3"),
    "pair_tokens": Input(700, "tokens a call", "assumption"),
    "answer_tokens": Input(400, "tokens a call", "assumption"),
    "cached_share": Input(0.9, "of the policy's tokens", "assumption: what the provider still holds"),
    "answer_s": Input(4, "s a call", "assumption"),
    "in_flight": Input(512, "calls a worker", "the most that `LlmSpec.concurrency` takes"),
    "call_cpu_ms": Input(0.64, "ms of CPU a call", "measured: `python benchmarks/judging.py`"),
    "worker_rate": Input(1_605, "pairs/s a worker", "measured: `python benchmarks/judging.py --scale 100000`"),
    "token_limit": Input(30e6, "tokens a minute", "assumption: one account's limit"),
    "line_bytes": Input(1_367, "bytes a pair", MEASURED + ", judgements.jsonl without traces"),
    "cache_bytes": Input(1_424, "bytes a pair", MEASURED + ", verdict cache"),
    "store_bytes": Input(2_913, "bytes a pair", MEASURED + ", SQLite"),
    "collect_rate": Input(2_722, "pairs/s, wall clock", MEASURED + ", SQLite"),
    "cache_write_rate": Input(31_525, "pairs/s, wall clock", MEASURED),
    "cache_read_rate": Input(3_011, "pairs/s, wall clock", MEASURED),
    "usd_in": Input(0.25, "$ a million tokens", "price, an example"),
    "usd_cached": Input(0.025, "$ a million tokens", "price, an example"),
    "usd_out": Input(2.00, "$ a million tokens", "price, an example"),
    "click_rows": Input(1e9, "impressions", "the question"),
    "click_rate": Input(130_000, "rows/s", "measured: `python benchmarks/click_import.py --rows 10000000`, 77 s"),
    "click_csv_bytes": Input(78.4, "bytes a row", "measured: the same, 784 MB"),
    "click_mb_2m": Input(407, "MB at 2 million rows", "measured: `python benchmarks/click_import.py --rows 2000000`"),
    "click_mb_10m": Input(846, "MB at 10 million rows", "measured: the same with `--rows 10000000`"),
    "small_memory": Input(24, "GB", "the machine that the measurements were made on"),
    "click_pairs": Input(2e6, "pairs", "assumption: how many different pairs the log shows"),
    "distil_pairs": Input(100e6, "pairs", "the question"),
    "example_bytes": Input(2_699, "bytes an example", MEASURED),
    "tokens_bytes": Input(12_780, "bytes of 256 tokens", MEASURED),
    "dataset_write_rate": Input(15_218, "pairs/s, wall clock", MEASURED),
    "dataset_read_rate": Input(5_342, "pairs/s, wall clock", MEASURED),
    "tokens": Input(256, "tokens a pair", "assumption: `max_tokens` of a recipe with short inputs"),
    "tflops": Input(989, "10^12 FLOP/s", "data sheet: H100, dense bfloat16"),
    "utilisation": Input(0.4, "of the peak", "assumption: the goal of `python benchmarks/gpu.py`; not measured"),
    "machine_memory": Input(1_000, "GB", "assumption: main memory of a machine with 8 GPUs"),
    "usd_gpu": Input(3.0, "$ an hour", "price, an example: one GPU with its machine"),
    "usd_cpu": Input(0.05, "$ an hour", "price, an example: one core with its memory"),
}  # fmt: skip

Rows = Sequence[tuple[str, str, str]]


def table(head: tuple[str, str, str], rows: Rows) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * 3, *rows))


def inputs_table(inputs: Mapping[str, Input]) -> str:
    """Return all inputs with where they are from."""
    rows = [(f"`{name}`", f"{i.value:,.10g} {i.unit}", i.source) for name, i in inputs.items()]
    return table(("input", "value", "from"), rows)


def judging(n: Mapping[str, float]) -> str:
    """10 million pairs a day by a language model."""
    rate = n["judge_pairs"] / DAY
    flight = rate * n["answer_s"]
    sent = n["policy_tokens"] + n["pair_tokens"]
    a_minute = rate * 60 * (sent + n["answer_tokens"])
    cached = n["policy_tokens"] * n["cached_share"]
    usd = (cached * n["usd_cached"] + (sent - cached) * n["usd_in"] + n["answer_tokens"] * n["usd_out"]) / 1e6
    day = usd * n["judge_pairs"]
    whole = n["line_bytes"] + n["cache_bytes"] + n["store_bytes"]
    return needs(
        ("calls", "pairs / 86,400 s", f"{rate:,.0f} a second"),
        ("in flight", "calls a second × answer_s", f"{flight:,.0f}"),
        ("worker processes", "in flight / in_flight, rounded up", f"{-(-flight // n['in_flight']):,.0f}"),
        ("CPU of the workers", "calls a second × call_cpu_ms", f"{rate * n['call_cpu_ms'] / 1000:.2f} cores"),
        ("share of one worker's measured rate", "calls a second / worker_rate", f"{rate / n['worker_rate']:.1%}"),
        ("**tokens**", "calls × (policy + pair + answer)", f"**{a_minute / 1e6:,.0f} million a minute**"),
        ("against the provider's limit", "tokens / token_limit", f"**{a_minute / n['token_limit']:.1f} ×**"),
        ("verdict cache, writes", "pairs / cache_write_rate", f"{n['judge_pairs'] / n['cache_write_rate'] / 60:,.0f} min a day"),
        ("verdict cache, all read again", "pairs / cache_read_rate", f"{n['judge_pairs'] / n['cache_read_rate'] / HOUR:.1f} h"),
        ("collect into SQLite, one process", "pairs / collect_rate", f"{n['judge_pairs'] / n['collect_rate'] / HOUR:.1f} h a day"),
        ("disk", "pairs × (line + cache + store bytes)", f"{n['judge_pairs'] * whole / GB:,.0f} GB a day"),
        ("of it the database", "pairs × store_bytes", f"{n['judge_pairs'] * n['store_bytes'] / GB:,.0f} GB a day"),
        ("cost by calls", "tokens × prices", f"${day:,.0f} a day"),
        ("cost by batches", "half of it", f"${day / 2:,.0f} a day"),
        ("machine", "one core", f"${24 * n['usd_cpu']:.2f} a day"),
    )  # fmt: skip


def clicks(n: Mapping[str, float]) -> str:
    """A billion impressions, imported and fitted."""
    hours = n["click_rows"] / n["click_rate"] / HOUR
    gpu = trained(n, QWEN_7B, n["click_pairs"], adapter=True)
    a_row = (n["click_mb_10m"] - n["click_mb_2m"]) / 1000 / 8e6  # GB

    def at(rows: float) -> float:
        return n["click_mb_2m"] / 1000 + (rows - 2e6) * a_row

    return needs(
        ("CSV", "rows × click_csv_bytes", f"{n['click_rows'] * n['click_csv_bytes'] / GB:,.0f} GB"),
        ("**import**, one process", "rows / click_rate", f"**{hours:.1f} h**, ${hours * n['usd_cpu']:.2f}"),
        ("**import, memory**", "the line through both measurements", f"**{at(n['click_rows']):,.0f} GB**"),
        (
            "rows that small_memory holds",
            "the same line",
            f"{(n['small_memory'] - at(0)) / a_row / 1e6:,.0f} million",
        ),
        ("click teacher, 7B with LoRA, one epoch", "plan.estimate over click_pairs", gpu_words(n, gpu)),
        ("its memory", "example_bytes + tokens_bytes", f"{memory(n, n['click_pairs']):,.0f} GB"),
    )


def distillation(n: Mapping[str, float]) -> str:
    """100 million pairs: two 7B teachers answer, a student of 0.6B is trained and scored."""
    pairs = n["distil_pairs"]
    answered, scored = read(n, QWEN_7B, pairs), read(n, QWEN_06B, pairs)
    student = trained(n, QWEN_06B, pairs, adapter=False)
    every = 2 * answered + student + scored
    held = memory(n, pairs)
    fits = n["machine_memory"] * GB / (n["example_bytes"] + n["tokens_bytes"] * n["tokens"] / 256)
    return needs(
        ("policy teacher answers", "2 matrices + 4 layers × width × tokens, a token", gpu_words(n, answered)),
        ("click teacher answers", "the same", gpu_words(n, answered)),
        ("student is trained, one epoch", "plan.estimate", gpu_words(n, student)),
        ("student is scored", "as the teachers", gpu_words(n, scored)),
        ("all of it", "sum", gpu_words(n, every)),
        ("machines of 8 GPUs for a day", "hours / 24 / 8", f"{every / 24 / 8:.1f}"),
        ("data set, written", "pairs / dataset_write_rate", f"{pairs / n['dataset_write_rate'] / HOUR:.1f} h"),
        ("data set, read once", "pairs / dataset_read_rate", f"{pairs / n['dataset_read_rate'] / HOUR:.1f} h"),
        ("**main memory of one training process**", "pairs × (example_bytes + tokens_bytes)", f"**{held:,.0f} GB**"),
        ("**of 8, one a GPU**", "each holds all pairs", f"**{8 * held:,.0f} GB**"),
        ("pairs that machine_memory holds, 1 process", "machine_memory / bytes a pair", f"{fits / 1e6:,.0f} million"),
        ("the same, 8 processes", "an eighth", f"{fits / 8e6:,.0f} million"),
    )  # fmt: skip


def needs(*rows: tuple[str, str, str]) -> str:
    """Return the table of one question."""
    return table(("what", "how", "needs"), rows)


def memory(n: Mapping[str, float], pairs: float) -> float:
    """Return the GB that examples and their tokens take: all are held, by each process that trains."""
    return pairs * (n["example_bytes"] + n["tokens_bytes"] * n["tokens"] / 256) / GB


def read(n: Mapping[str, float], config: Mapping[str, Any], pairs: float) -> float:
    """Return GPU hours of a forward pass over pairs."""
    shape = shape_of(config)
    assert shape is not None
    a_token = 2 * shape.matrices + 4 * shape.layers * shape.width * n["tokens"]
    return pairs * n["tokens"] * a_token / (n["tflops"] * 1e12 * n["utilisation"]) / HOUR


def trained(n: Mapping[str, float], config: Mapping[str, Any], pairs: float, *, adapter: bool) -> float:
    """Return GPU hours of one epoch, as the workbench plans them before a training."""
    recipe = StudentRecipe.model_validate({
        "recipe": "scaling", "policy": "scaling", "backbone": "unknown", "pooling": "last",
        "max_tokens": int(n["tokens"]), "precision": "bfloat16", "gradient_checkpointing": True,
        "adapter": {} if adapter else None, "data": {"golden": "scaling"}, "schedule": {"epochs": 1, "batch_size": 32},
        "resources": {"gpus": 1, "tflops": n["tflops"], "utilisation": n["utilisation"]},
    })  # fmt: skip
    hours = estimate(recipe, dict(config), int(pairs)).hours
    assert hours is not None
    return hours


def gpu_words(n: Mapping[str, float], hours: float) -> str:
    """Return GPU hours and what they cost."""
    return f"{hours:,.0f} GPU hours, ${hours * n['usd_gpu']:,.0f}"


def tables(inputs: Mapping[str, Input]) -> dict[str, str]:
    """Return all tables by their name in the document."""
    n = {name: given.value for name, given in inputs.items()}
    return {
        "inputs": inputs_table(inputs),
        "judging": judging(n),
        "clicks": clicks(n),
        "distillation": distillation(n),
    }


def written(document: str, found: Mapping[str, str]) -> str:
    """Return a document with each ``<!-- table NAME -->`` … ``<!-- end -->`` filled in."""
    return re.sub(
        r"(<!-- table (\w+) -->\n).*?(<!-- end -->)",
        lambda place: f"{place[1]}\n{found[place[2]]}\n\n{place[3]}",
        document,
        flags=re.DOTALL,
    )


def changed(changes: Sequence[str]) -> dict[str, Input]:
    """Return the inputs with those replaced that ``NAME=VALUE`` name; ends the program for one that cannot be."""
    inputs = dict(INPUTS)
    for change in changes:
        name, _, text = change.partition("=")
        try:
            inputs[name] = Input(float(text), inputs[name].unit, "--set")
        except (KeyError, ValueError):
            sys.exit(f"--set {change}: give NAME=NUMBER with one of {', '.join(INPUTS)}.")
    return inputs


def main() -> None:
    """Print the tables, or put them into a document."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT")
    given = parser.parse_args()
    found = tables(changed(given.set))
    if given.write:
        given.write.write_text(written(given.write.read_text("utf-8"), found), encoding="utf-8")
    else:
        print("\n\n".join(f"{name}\n\n{text}" for name, text in found.items()))


if __name__ == "__main__":
    main()
