"""The whole method on real ratings: judge, pool, policy teacher, click teacher, students; each claim with an interval.

    python benchmarks/cookbook.py RATINGS_FOLDER [--folds 3] [--only K] [--work DIR] [--results docs/results.md]

RATINGS_FOLDER holds pairs, products and ratings of product search (three raters a pair). Queries are dealt into folds by
a seed; each fold is held out once and everything is learnt from the other queries: no text, label or click of a held-out
query is seen before the end. What is done in a fold, in this order:

1. the baseline judge learns the raters' labels of the training queries and grades a pool of queries x products;
2. the policy teacher (MiniLM, reading the whole pair) learns the pool's soft labels, then the raters' own;
3. clicks are simulated on the training queries with a position-based model, whose attraction is the rating's times a
   liking of the product's brand that no rater knows; the click teacher starts from the policy teacher and learns them;
4. both teachers are asked about the pool, and students of half a teacher's compute a pair (the policy teacher without
   its least important MLP neurons and layer) learn it: of both teachers, of either one alone, of both teachers' hard labels.

Figures are over the held-out queries of all folds, intervals by a bootstrap over queries (2,000 resamples), paired where
two models are compared. Clicks are *simulated*; AUC is over the true chance of a click if looked at, so it has no noise
of its own. With ``--work`` what is finished there is not done again.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cookbook_figures as figures
import numpy as np
import pandas as pd

from workbench.click_simulation import Simulation, power_law, relevance_of_grades, simulate
from workbench.dataset_pool import product_pairs
from workbench.golden import LABEL_COLUMNS, Pair
from workbench.judges.baseline import BaselineJudge
from workbench.policy import Policy
from workbench.recipe import StudentRecipe, TeacherRecipe

FIELDS = ["title", "supplier", "product_type", "short_description"]
LONGEST = 60
"""Characters a field: the benchmark has 40 minutes on two cores."""
DIMENSION = "relevance"
LEVELS = (0, 1, 2, 3)
HALF = {"mlp": 0.375, "drop_layers": 1}
"""What a student lacks: 5 of 6 layers with 3/8 of the MLP are 0.49 of the arithmetic of a pair of 48 tokens."""
PAIRS_ASKED = 64


@dataclass(frozen=True)
class Rated:
    """One pair with its three ratings and the settled one, and the true chance that it is clicked when looked at."""

    query: str
    pair: Pair
    votes: tuple[int, ...]
    grade: int
    attraction: float


@dataclass
class Reporter:
    """Prints now and then how far a training is."""

    name: str
    every: int = 100
    began: float = field(default_factory=time.monotonic)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say it."""
        if total and done % self.every == 0:
            print(f"    {self.name}: {done} of {total}, {time.monotonic() - self.began:.0f} s", flush=True)

    def metric(self, values: Any) -> None:
        """Keep nothing."""

    def log(self, line: str) -> None:
        """Keep nothing."""

    def stopping(self) -> bool:
        """Never."""
        return False

    def stopping_after_epoch(self) -> bool:
        """Never."""
        return False


def policy() -> Policy:
    """One dimension, 0 to 3."""
    levels = [{"value": v, "name": str(v), "criteria": ""} for v in LEVELS]
    return Policy.model_validate(
        {
            "policy": "product-search", "version": 1, "title": "Product search", "message": "Benchmark",
            "author": "benchmark", "published_at": "2026-01-01T00:00:00Z",
            "pair": {"query": {"name": "search", "fields": ["query"]}, "document": {"name": "product", "fields": FIELDS}},
            "dimensions": [{"key": DIMENSION, "title": "Relevance", "question": "Relevant?", "levels": levels}],
            "overall": {"combine": "weighted_mean", "cut_points": [0.5, 1.5, 2.5]},
        }
    )  # fmt: skip


def read(folder: Path) -> tuple[list[Rated], list[dict[str, str]]]:
    """Return the rated pairs, each once, and the texts of all products."""
    products = pd.read_csv(folder / "products.csv.gz").fillna("")
    texts = {p["product_id"]: {f: str(p[f])[:LONGEST] for f in FIELDS} for p in products.to_dict("records")}
    ratings = pd.read_csv(folder / "ratings.csv.gz").groupby(["query_id", "product_id"])["rating"].agg(list)
    found: dict[str, Rated] = {}
    for row in pd.read_csv(folder / "pairs.csv.gz").to_dict("records"):
        pair = Pair(query={"query": str(row["query"])}, document=texts[row["product_id"]])
        chance = relevance_of_grades([row["final_rating"]], 3)[0] * liking(pair.document["supplier"])
        votes = tuple(int(v) for v in ratings[(row["query_id"], row["product_id"])])
        found.setdefault(pair.id, Rated(str(row["query"]), pair, votes, int(row["final_rating"]), chance))
    return list(found.values()), list(texts.values())


def liking(brand: str) -> float:
    """Return how much people of the simulation like a brand, 0.2 to 1, always the same: a hash of its name."""
    drawn = int.from_bytes(hashlib.sha256(brand.lower().encode()).digest()[:4], "big") / 2**32
    return 0.2 + 0.8 * drawn


def recipe(kind: type, name: str, data: dict[str, Any], schedule: dict[str, Any], **more: Any) -> Any:
    """Return a recipe of this benchmark: MiniLM, pairs of 48 tokens, bfloat16, no validation (held out queries are)."""
    given = {
        "recipe": name, "policy": "product-search", "backbone": "minilm", "pooling": "sides", "max_tokens": 48,
        "precision": "bfloat16",
        "data": {"golden": "product-search", "golden_weight": 0.0, "soft_labels": None, "validation": 0.0} | data,
        "schedule": {"epochs": 2, "batch_size": 32, "learning_rate": 1e-4, "head_learning_rate": 1e-3} | schedule,
    }  # fmt: skip
    return kind.model_validate(given | more)


def graded(judge: BaselineJudge, rules: Policy, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return pair id -> the baseline's judgement."""

    async def every() -> dict[str, Any]:
        return {v.pair_id: v.judgements[0] async for v in judge.grade(rules, pairs)}

    return asyncio.run(every())


def clicked(train: Sequence[Rated], seed: int) -> dict[str, list[Any]]:
    """Return pair id -> cells of simulated sessions, ten places each, seen ever less further down."""
    from workbench.training.data import Cell

    plan = Simulation(sessions=300 * len({r.query for r in train}), examination=power_law(10), seed=seed)
    shown: dict[tuple[int, int], list[int]] = {}
    for part in simulate([r.query for r in train], [r.attraction for r in train], plan):
        for pair, position, click in zip(
            part.pair.tolist(), part.position.tolist(), part.clicked.tolist(), strict=True
        ):
            counts = shown.setdefault((pair, position), [0, 0])
            counts[0] += 1
            counts[1] += click
    cells: dict[str, list[Any]] = {}
    for (pair, position), (seen, clicks) in sorted(shown.items()):
        cells.setdefault(train[pair].pair.id, []).append(Cell(position, seen, clicks))
    return cells


def answers(folder: Path, pairs: Sequence[Pair]) -> tuple[Any, Any, Any]:
    """Return what a checkpoint says of pairs: grades (pairs,), expected grades (pairs,) and click chances (pairs,)."""
    from workbench.training.grades import decide
    from workbench.training.model import load_checkpoint
    from workbench.training.predict import Predictor

    loaded = load_checkpoint(folder)
    heads = loaded.record.heads
    levels, click = np.full((len(pairs), len(LEVELS)), np.nan), np.full(len(pairs), np.nan)
    for part in Predictor(loaded, batch=PAIRS_ASKED).predict(pairs):
        if heads:
            levels[part.rows] = part.probabilities[DIMENSION]
        if part.click is not None:
            click[part.rows] = part.click
    grades = decide(heads[0], levels)[0] if heads else np.full(len(pairs), -1)
    return grades, levels @ np.arange(len(LEVELS)), click


def fold(
    number: int, rated: Sequence[Rated], products: list[dict[str, str]], held: set[str], work: Path
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a row a held-out pair and model, and facts of the fold."""
    from workbench.training.compress import size
    from workbench.training.data import Example
    from workbench.training.fit import fit
    from workbench.training.model import load_checkpoint
    from workbench.training.teaching import teach

    rules, began = policy(), time.monotonic()
    train = [r for r in rated if r.query not in held]
    test = [r for r in rated if r.query in held]
    say(f"fold {number}: {len(train)} pairs to learn from, {len(test)} held out ({len(held)} queries)")

    # 1. The judge and its pool.
    labels = pd.DataFrame(
        [[r.pair.id, DIMENSION, vote, f"rater {i}", pd.Timestamp("2026-01-01", tz="UTC"), "", ""]
         for r in train for i, vote in enumerate(r.votes)], columns=list(LABEL_COLUMNS),
    )  # fmt: skip
    judge = BaselineJudge(labels, {r.pair.id: r.pair for r in train}, cache=work / "vectors")
    queries = [{"query": query} for query in dict.fromkeys(r.query for r in train)]
    candidates = product_pairs(
        queries, products, rules.pair, near=90, random=45, compare=("query", "title"), cache=work / "vectors"
    )
    pool = list({pair.id: pair for pair in candidates}.values())
    chosen = np.sort(np.random.default_rng(number).permutation(len(pool))[:POOL])
    pool = [pool[i] for i in chosen]
    said = graded(judge, rules, pool)
    baseline = graded(judge, rules, [r.pair for r in test])
    say(f"  the baseline graded a pool of {len(pool)}", began)

    def trained(what: Any, examples: Sequence[Example], start: Path | None = None, seed: int = 0) -> Path:
        done = fit(
            what,
            rules,
            examples,
            work / f"{number}-{what.recipe}",
            Reporter(what.recipe),
            start=start,
            resume=True,
        )
        say(f"  {what.recipe}", began)
        return done.folder

    # 2. The policy teacher.
    soft = [Example(pair, dataset={DIMENSION: tuple(said[pair.id].probabilities)}) for pair in pool]
    raters = [
        Example(r.pair, golden={DIMENSION: tuple(r.votes.count(level) / len(r.votes) for level in LEVELS)})
        for r in train
    ]
    of_pool = trained(recipe(TeacherRecipe, "policy-pool", {"dataset": "pool"}, {}), soft)
    gently = {"learning_rate": 5e-5, "head_learning_rate": 5e-5}
    teacher = trained(
        recipe(TeacherRecipe, "policy-teacher", {"golden_weight": 1.0}, gently, init_from="policy-pool"),
        raters,
        of_pool,
    )

    # 3. The click teacher.
    cells = clicked(train, seed=number)
    seen = [Example(r.pair, cells=tuple(cells[r.pair.id])) for r in train if r.pair.id in cells]
    tower = {"click": {"bce": 1.0, "bias": "position_tower", "positions": 10}}
    clicks = trained(
        recipe(TeacherRecipe, "click-teacher", {"clicks": "simulated"}, {"epochs": 3}, init_from="policy-teacher",
               heads=["click"], losses=tower),
        seen, teacher,
    )  # fmt: skip

    # 4. The students.
    pairs = list({pair.id: pair for pair in [*pool, *(r.pair for r in train)]}.values())
    both = [
        {"checkpoint": "policy-teacher", "heads": ["policy"]},
        {"checkpoint": "click-teacher", "heads": ["click"]},
    ]

    def student(name: str, teachers: list[dict[str, Any]], heads: list[str], start: Path, **more: Any) -> Any:
        return recipe(
            StudentRecipe, name, more.pop("data", {}), {"learning_rate": 1e-4}, prune=HALF, heads=heads,
            init_from=read_name(start), teachers=teachers, **more,
        )  # fmt: skip

    def read_name(folder: Path) -> str:
        return "click-teacher" if folder == clicks else "policy-teacher"

    def taught(what: Any, folders: Sequence[Path]) -> list[Example]:
        told = [teach(f, t, what, rules, pairs, work / "answers", Reporter("asking", 10_000))
                for f, t in zip(folders, what.teachers, strict=True)]  # fmt: skip
        return [Example(pair, taught=one) for pair, one in zip(pairs, zip(*told, strict=True), strict=True)]

    distilled = student("student", both, ["policy", "click"], teacher)
    lessons = taught(distilled, [teacher, clicks])
    folders = {
        "policy teacher": teacher,
        "click teacher": clicks,
        "student of both": trained(distilled, lessons, teacher),
    }
    alone = student("student-policy", both[:1], ["policy"], teacher)
    folders["student of the policy teacher"] = trained(alone, taught(alone, [teacher]), teacher)
    alone = student("student-click", both[1:], ["click"], clicks)
    folders["student of the click teacher"] = trained(alone, taught(alone, [clicks]), clicks)
    hard = student(
        "student-hard", [], ["policy", "click"], teacher, data={"dataset": "hard", "clicks": "hard"}
    )
    folders["student on hard labels"] = trained(hard, [hardened(e) for e in lessons], teacher)

    rows = [table("baseline judge", test, number, [baseline[r.pair.id].grade for r in test],
                  [baseline[r.pair.id].expected for r in test], [np.nan] * len(test))]  # fmt: skip
    rows += [
        table(name, test, number, *answers(folder, [r.pair for r in test]))
        for name, folder in folders.items()
    ]
    whole, small = (
        size(load_checkpoint(folders[name]).scorer, 48) for name in ("policy teacher", "student of both")
    )
    facts = {
        "pool": len(pool), "seconds": time.monotonic() - began, "compute": small.compute / whole.compute,
        "parameters": [whole.parameters, small.parameters],
    }  # fmt: skip
    return pd.concat(rows), facts


def hardened(example: Any) -> Any:
    """Return the teachers' answers as labels: the likeliest level, and a click or none."""
    from workbench.training.data import Cell, Example

    levels = example.taught[0].policy[DIMENSION]
    certain = tuple(float(i == int(np.argmax(levels))) for i in range(len(LEVELS)))
    return Example(
        example.pair, dataset={DIMENSION: certain}, cells=(Cell(1, 1, float(example.taught[1].click >= 0.5)),)
    )


def table(
    model: str, test: Sequence[Rated], number: int, grades: Any, expected: Any, click: Any
) -> pd.DataFrame:
    """Return what a model says of the held-out pairs of a fold, beside what is true."""
    return pd.DataFrame(
        {
            "model": model, "fold": number, "query": [r.query for r in test], "human": [r.grade for r in test],
            "attraction": [r.attraction for r in test], "grade": grades, "expected": expected, "click": click,
        }
    )  # fmt: skip


def say(line: str, began: float | None = None) -> None:
    """Print a line, with the seconds since ``began``."""
    print(line + (f" ({time.monotonic() - began:.0f} s)" if began is not None else ""), flush=True)


POOL = 10_000


def main() -> None:
    """Run the folds that are asked for, print the figures, and write them where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--only", type=int, action="append", help="a fold to run, from 0; may be repeated")
    parser.add_argument("--work", type=Path, help="folder that keeps checkpoints and answers")
    parser.add_argument("--results", type=Path, help="Markdown file whose section 'Cookbook' is written")
    given = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        rated, products = read(given.folder)
        queries = sorted({r.query for r in rated})
        dealt = np.random.default_rng(0).permutation(len(queries))
        run: Callable[[int], tuple[pd.DataFrame, dict[str, Any]]] = (
            lambda k: fold(  # noqa: E731
                k, rated, products, {queries[i] for i in dealt[k :: given.folds]}, work
            )
        )
        done = [run(k) for k in given.only or range(given.folds)]
    minutes = (time.monotonic() - began) / 60
    text = figures.report(
        pd.concat([rows for rows, _ in done]), [facts for _, facts in done], minutes=minutes,
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
    )  # fmt: skip
    print(text)
    if given.work:
        (given.work / "facts.json").write_text(json.dumps([facts for _, facts in done]))
    if given.results:
        figures.write_section(given.results, "Cookbook", text)


if __name__ == "__main__":
    main()
