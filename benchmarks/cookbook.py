"""The whole method on real ratings: judge, pool, policy teacher, click teacher, students; each claim with an interval.

    python benchmarks/cookbook.py RATINGS_FOLDER [--folds 3] [--only K] [--work DIR] [--results docs/results.md]

RATINGS_FOLDER holds pairs, products and ratings of product search (three raters a pair). Queries are dealt into folds by
a seed; each fold is held out once and everything is learnt from the other queries: no text, label or click of a held-out
query is seen before the end. What is done in a fold, in this order:

1. the baseline judge learns the raters' labels of the training queries and grades a pool: these queries, and queries made
   of words that titles of the catalogue share, each with near and random products;
2. the policy teacher (MiniLM, reading the whole pair) learns the pool's soft labels, then the raters' own, and then both
   once more, the pool graded by the mean of baseline and itself;
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
import re
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import cookbook_figures as figures
import numpy as np
import pandas as pd

from workbench.click_simulation import Simulation, power_law, relevance_of_grades, simulate
from workbench.dataset_pool import product_pairs
from workbench.golden import LABEL_COLUMNS, Pair
from workbench.judges.baseline import BaselineJudge
from workbench.policy import Policy
from workbench.recipe import StudentRecipe, TeacherRecipe

FIELDS = ["title"]
"""The title names brand and kind of product; longer texts would take more than 40 minutes on two cores."""
CATALOGUE_QUERIES, IN_TITLES = 300, 5
"""Queries that are made from the catalogue: words or pairs of words of at least so many titles."""
DIMENSION = "relevance"
LEVELS = (0, 1, 2, 3)
HALF = {"mlp": 0.375, "drop_layers": 1}
"""What a student lacks: 5 of 6 layers with 3/8 of the MLP are 0.49 of the arithmetic of a pair of 48 tokens."""
DISLIKED = 0.15
"""What a disliked brand, every second one, keeps of a product's attraction. The raters' own grades then have a click AUC
of 0.81 and the truth one of 0.92: enough between them for 118 queries to tell whether a second teacher is worth it."""
MORE_POLICY = 0.7
"""The alpha of a second student of both teachers; the first has 0.5. It was added after a run in which the first kept 0.964
of the policy teacher's kappa and 0.974 of the click teacher's AUC, and is reported beside it, not instead of it."""
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
    texts = {p["product_id"]: {f: str(p[f]) for f in FIELDS} for p in products.to_dict("records")}
    brands = {p["product_id"]: str(p["supplier"]) for p in products.to_dict("records")}
    ratings = pd.read_csv(folder / "ratings.csv.gz").groupby(["query_id", "product_id"])["rating"].agg(list)
    found: dict[str, Rated] = {}
    for row in pd.read_csv(folder / "pairs.csv.gz").to_dict("records"):
        pair = Pair(query={"query": str(row["query"])}, document=texts[row["product_id"]])
        chance = relevance_of_grades([row["final_rating"]], 3)[0] * liking(brands[row["product_id"]])
        votes = tuple(int(v) for v in ratings[(row["query_id"], row["product_id"])])
        found.setdefault(pair.id, Rated(str(row["query"]), pair, votes, int(row["final_rating"]), chance))
    return list(found.values()), list(texts.values())


def liking(brand: str) -> float:
    """Return how much people of the simulation like a brand, 1 or ``DISLIKED``, always the same: a hash of its name."""
    return 1.0 if hashlib.sha256(brand.lower().encode()).digest()[0] >= 128 else DISLIKED


def catalogue_queries(products: Sequence[dict[str, str]], held: set[str], seed: int) -> list[str]:
    """Return words and pairs of words that titles share, none of them like a held-out query (half of the words)."""

    def words(text: str) -> list[str]:
        return [word.rstrip("s") for word in re.findall(r"[a-z]{2,}", text.lower())]

    def like(one: set[str], other: set[str]) -> bool:
        return 2 * len(one & other) >= len(one | other)

    counts: Counter[str] = Counter()
    for product in products:
        title = re.findall(r"[a-z]{2,}", product["title"].lower())
        counts.update({" ".join(title[i : i + n]) for n in (1, 2) for i in range(len(title) + 1 - n)})
    hidden = [set(words(query)) for query in held]
    found = sorted(
        phrase
        for phrase, titles in counts.items()
        if titles >= IN_TITLES and not any(like(set(words(phrase)), query) for query in hidden)
    )
    return [found[i] for i in np.random.default_rng(seed).permutation(len(found))[:CATALOGUE_QUERIES]]


def recipe(kind: type, name: str, data: dict[str, Any], schedule: dict[str, Any], **more: Any) -> Any:
    """Return a recipe of this benchmark: MiniLM, pairs of 48 tokens, bfloat16, no validation (held out queries are)."""
    given = {
        "recipe": name, "policy": "product-search", "backbone": "minilm", "pooling": "sides", "max_tokens": 48,
        "precision": "bfloat16",
        "data": {"golden": "product-search", "golden_weight": 0.0, "soft_labels": None, "validation": 0.0} | data,
        "schedule": {"epochs": 1, "batch_size": 32, "learning_rate": 1e-4, "head_learning_rate": 1e-3,
                     "head_penalty": None} | schedule,
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


class Said(NamedTuple):
    """What a model says of pairs; NaN and -1 where it has no head for it."""

    grades: Any  # (pairs,)
    expected: Any  # (pairs,)
    click: Any  # (pairs,), the chance of a click
    levels: Any  # (pairs, levels), probabilities


def answers(folder: Path, pairs: Sequence[Pair]) -> Said:
    """Return what a checkpoint says of pairs."""
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
    return Said(grades, levels @ np.arange(len(LEVELS)), click, levels)


def fold(
    number: int, rated: Sequence[Rated], products: list[dict[str, str]], held: set[str], work: Path, most: int
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a row a held-out pair and model, and facts of the fold."""
    from workbench.training.compress import size
    from workbench.training.data import Example
    from workbench.training.fit import fit
    from workbench.training.model import load_checkpoint
    from workbench.training.teaching import teach

    rules, began = policy(), time.monotonic()
    whole_run = not (work / f"{number}-policy-pool").exists()  # else its time says nothing
    train = [r for r in rated if r.query not in held]
    test = [r for r in rated if r.query in held]
    say(f"fold {number}: {len(train)} pairs to learn from, {len(test)} held out ({len(held)} queries)")

    # 1. The judge and its pool.
    labels = pd.DataFrame(
        [[r.pair.id, DIMENSION, vote, f"rater {i}", pd.Timestamp("2026-01-01", tz="UTC"), "", ""]
         for r in train for i, vote in enumerate(r.votes)], columns=list(LABEL_COLUMNS),
    )  # fmt: skip
    judge = BaselineJudge(labels, {r.pair.id: r.pair for r in train}, cache=work / "vectors")
    people = list(dict.fromkeys(r.pair.query["query"] for r in train))
    made_up = catalogue_queries(products, {r.pair.query["query"] for r in test}, seed=number)
    pool = []
    for queries, near, random in ((people, 30, 10), (made_up, 8, 4)):
        asked = [{"query": query} for query in queries]
        pool += product_pairs(asked, products, rules.pair, near=near, random=random, cache=work / "vectors")
    pool = list({pair.id: pair for pair in pool}.values())
    chosen = np.sort(np.random.default_rng(number).permutation(len(pool))[:most])
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

    # 2. The policy teacher: from the baseline's pool, then from the raters, then from the pool as both grade it together.
    soft = {pair.id: Example(pair, dataset={DIMENSION: tuple(said[pair.id].probabilities)}) for pair in pool}
    raters = [
        Example(r.pair, golden={DIMENSION: tuple(r.votes.count(level) / len(r.votes) for level in LEVELS)})
        for r in train
    ]
    of_pool = trained(
        recipe(TeacherRecipe, "policy-pool", {"dataset": "pool"}, {"head_penalty": 5.0}), list(soft.values())
    )
    more = {"epochs": 2, "head_learning_rate": 1e-4}
    first = trained(
        recipe(TeacherRecipe, "policy-first", {"golden_weight": 1.0}, more, init_from="policy-pool"),
        raters,
        of_pool,
    )
    for pair, levels in zip(pool, answers(first, pool).levels, strict=True):
        together = (levels + np.array(said[pair.id].probabilities)) / 2
        soft[pair.id] = Example(pair, dataset={DIMENSION: tuple(together)})
    for example in raters:
        known = soft.get(example.pair.id, example)
        soft[example.pair.id] = replace(known, golden=example.golden)
    both = {"dataset": "pool", "golden_weight": 1.0}
    teacher = trained(
        recipe(TeacherRecipe, "policy-teacher", both, {}, init_from="policy-first"),
        list(soft.values()),
        first,
    )

    # 3. The click teacher.
    cells = clicked(train, seed=number)
    seen = [Example(r.pair, cells=tuple(cells[r.pair.id])) for r in train if r.pair.id in cells]
    tower = {"click": {"bce": 1.0, "bias": "position_tower", "positions": 10}}
    clicks = trained(
        recipe(TeacherRecipe, "click-teacher", {"clicks": "simulated"}, {"epochs": 2}, init_from="policy-teacher",
               heads=["click"], losses=tower),
        seen, teacher,
    )  # fmt: skip

    # 4. The students.
    pairs = list({pair.id: pair for pair in [*pool, *(r.pair for r in train)]}.values())
    taught_by = [
        {"checkpoint": "policy-teacher", "heads": ["policy"]},
        {"checkpoint": "click-teacher", "heads": ["click"]},
    ]

    def student(name: str, teachers: list[dict[str, Any]], heads: list[str], start: Path, **more: Any) -> Any:
        return recipe(
            StudentRecipe, name, more.pop("data", {}), {"epochs": 2}, prune=HALF, heads=heads,
            init_from=read_name(start), teachers=teachers, **more,
        )  # fmt: skip

    def read_name(folder: Path) -> str:
        return "click-teacher" if folder == clicks else "policy-teacher"

    def taught(what: Any, folders: Sequence[Path]) -> list[Example]:
        told = [teach(f, t, what, rules, pairs, work / "answers", Reporter("asking", 10_000))
                for f, t in zip(folders, what.teachers, strict=True)]  # fmt: skip
        return [Example(pair, taught=one) for pair, one in zip(pairs, zip(*told, strict=True), strict=True)]

    distilled = student("student", taught_by, ["policy", "click"], teacher)
    lessons = taught(distilled, [teacher, clicks])
    folders = {
        "teacher of the baseline's pool": of_pool,
        "policy teacher after the raters": first,
        "policy teacher": teacher,
        "click teacher": clicks,
        "student of both": trained(distilled, lessons, teacher),
    }
    lean = student("student-lean", taught_by, ["policy", "click"], teacher, alpha=MORE_POLICY)
    folders[f"student of both, alpha {MORE_POLICY:g}"] = trained(lean, lessons, teacher)
    alone = student("student-policy", taught_by[:1], ["policy"], teacher)
    folders["student of the policy teacher"] = trained(alone, taught(alone, [teacher]), teacher)
    alone = student("student-click", taught_by[1:], ["click"], clicks)
    folders["student of the click teacher"] = trained(alone, taught(alone, [clicks]), clicks)
    hard = student(
        "student-hard", [], ["policy", "click"], teacher, data={"dataset": "hard", "clicks": "hard"}
    )
    folders["student on hard labels"] = trained(hard, [hardened(e) for e in lessons], teacher)

    rows = [table("baseline judge", test, number, [baseline[r.pair.id].grade for r in test],
                  [baseline[r.pair.id].expected for r in test], [np.nan] * len(test))]  # fmt: skip
    rows += [
        table(name, test, number, *answers(folder, [r.pair for r in test])[:3])
        for name, folder in folders.items()
    ]
    whole, small = (
        size(load_checkpoint(folders[name]).scorer, 48) for name in ("policy teacher", "student of both")
    )
    facts = {
        "pool": len(pool), "seconds": time.monotonic() - began if whole_run else None, "compute": small.compute / whole.compute,
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


def main() -> None:
    """Run the folds that are asked for, print the figures, and write them where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--only", type=int, action="append", help="a fold to run, from 0; may be repeated")
    parser.add_argument("--pool", type=int, default=4_000, help="pairs of a pool at most")
    parser.add_argument("--work", type=Path, help="folder that keeps checkpoints and answers")
    parser.add_argument("--results", type=Path, help="Markdown file whose section 'Cookbook' is written")
    given = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        rated, products = read(given.folder)
        queries = sorted({r.query for r in rated})
        dealt = np.random.default_rng(0).permutation(len(queries))
        done = [
            fold(k, rated, products, {queries[i] for i in dealt[k :: given.folds]}, work, given.pool)
            for k in (range(given.folds) if given.only is None else given.only)
        ]
    text = figures.report(
        pd.concat([rows for rows, _ in done]), [facts for _, facts in done],
        folds=given.folds, machine=f"{platform.machine()}, {os.cpu_count()} cores",
    )  # fmt: skip
    print(text)
    if given.work:
        (given.work / "facts.json").write_text(json.dumps([facts for _, facts in done]))
    if given.results:
        figures.write_section(given.results, "Cookbook", text)


if __name__ == "__main__":
    main()
