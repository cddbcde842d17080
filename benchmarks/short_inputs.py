"""Quality against tokens against speed: one recipe trained and evaluated at several input lengths.

    python benchmarks/short_inputs.py golden RECIPE.yaml POLICY.yaml golden_sets/NAME/vN [options]
    python benchmarks/short_inputs.py ratings RECIPE.yaml PAIRS.csv.gz PRODUCTS.csv.gz [options]

A point of the curve is a change to the recipe, written like ``--point "256 job.description=40"``: first ``max_tokens``,
then budgets of single fields (``field_tokens``). Without any, the recipe's max_tokens and its halves are taken, down
to an eighth. ``golden`` learns the dev labels of a golden set and never looks at its holdout; ``ratings`` learns ratings
of products for search queries, 0 to 3, and only the recipe's model and schedule are taken. Queries are cut into folds,
and each fold is graded by a model that saw none of its queries.

Kappa is quadratic, the mean over the dimensions, with a bootstrap over queries; its difference to the first point is
paired. Tokens and speeds are of grading, as ``judge run`` does it (tokenizing included), medians of the rounds, after
one that does not count; by wall clock and, since others may use the machine, by processor time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scoring import FIELDS
from scoring import policy as policy_of_ratings

from workbench.confusion import confusions, kappa_quadratic, unless_one_class
from workbench.documents import read_golden, read_policy, read_recipe
from workbench.golden import NOT_GRADED, GoldenSet, Pair
from workbench.identity import content_hash
from workbench.judges.checkpoint import CheckpointJudge
from workbench.policy import Policy
from workbench.recipe import StudentRecipe, TeacherRecipe
from workbench.resampling import Estimate, resample
from workbench.run import Verdict
from workbench.training.data import Example, build_examples

RESAMPLES, SEED = 2000, 0
_kappa = unless_one_class(kappa_quadratic)


@dataclass(frozen=True)
class Point:
    """One point of the curve."""

    max_tokens: int
    field_tokens: Mapping[str, int]

    def __str__(self) -> str:
        """As it is written on the command line."""
        return " ".join([str(self.max_tokens), *(f"{name}={n}" for name, n in self.field_tokens.items())])


@dataclass(frozen=True)
class Measured:
    """What was measured at one point, over all folds."""

    point: str
    tokens: float  # a pair, mean
    trained_per_s: float  # pairs, median over the steps
    graded_per_s: float
    graded_per_cpu_s: float
    kappa: Estimate
    change: Estimate | None  # of kappa, to the first point; None there


@dataclass(frozen=True)
class Graded:
    """Grades of held-out pairs at one point, and what they took."""

    grades: np.ndarray  # (pairs, dimensions)
    tokens: np.ndarray  # (pairs,)
    wall_s: float
    cpu_s: float
    trained_per_s: list[float]


class Steps:
    """A reporter that keeps how fast the steps were."""

    def __init__(self) -> None:
        """Start with none."""
        self.pairs_per_s: list[float] = []

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say nothing."""

    def metric(self, values: Mapping[str, float | int | str | None]) -> None:
        """Keep the speed of a step."""
        if isinstance(speed := values.get("pairs_per_s"), int | float):
            self.pairs_per_s.append(float(speed))

    def log(self, line: str) -> None:
        """Keep nothing."""

    def stopping(self) -> bool:
        """Never."""
        return False

    def stopping_after_epoch(self) -> bool:
        """Never."""
        return False


def rated_examples(pairs: Path, products: Path) -> list[Example]:
    """All pairs with their final rating."""
    table = pd.read_csv(pairs).merge(pd.read_csv(products), on="product_id").fillna("")
    return [
        Example(
            Pair(query={"query": str(row["query"])}, document={f: str(row[f]) for f in FIELDS}),
            {"relevance": tuple(float(level == row["final_rating"]) for level in range(4))},
            settled={"relevance": int(row["final_rating"])},
        )
        for row in table.to_dict("records")
    ]


def dev_examples(policy: Policy, folder: Path) -> list[Example]:
    """The labelled dev pairs of a golden set; its holdout is not read any further."""
    golden, _ = read_golden(folder)
    dev = [pair for pair in golden.pairs if golden.splits[pair.id] == "dev"]
    ids = {pair.id for pair in dev}
    labels = golden.labels[golden.labels["pair_id"].isin(ids)].reset_index(drop=True)
    splits = dict.fromkeys(ids, golden.splits[dev[0].id])
    known = GoldenSet(golden.name, golden.version, golden.policy, tuple(dev), splits, labels)
    return [example for example in build_examples(policy, known) if example.golden]


def recipe_at(
    recipe: StudentRecipe | TeacherRecipe, policy: Policy, point: Point, steps: int | None
) -> StudentRecipe | TeacherRecipe:
    """The recipe at one point: golden labels alone, no validation, so that all points learn from the same pairs."""
    data = recipe.model_dump(mode="json")
    data |= {"policy": policy.name, "max_tokens": point.max_tokens, "field_tokens": dict(point.field_tokens)}
    data |= {"init_from": None, "teachers": [], "heads": ["policy"], "prune": None}
    data["data"] = {
        "golden": policy.name,
        "golden_weight": 1.0,
        "soft_labels": None,
        "validation": 0.0,
    }
    data["schedule"]["max_steps"] = steps or data["schedule"]["max_steps"]
    return type(recipe).model_validate(data)


def folds_of(examples: Sequence[Example], folds: int) -> np.ndarray:
    """Fold of each example; all pairs of a query are in one, and queries are dealt out by their hash."""
    queries = sorted({e.pair.query_id for e in examples}, key=lambda q: content_hash(f"fold {SEED}", q))
    of = {query: i % folds for i, query in enumerate(queries)}
    return np.array([of[example.pair.query_id] for example in examples])


def first_queries(examples: list[Example], most: int) -> list[Example]:
    """At most so many pairs, of whole queries in the order of their hashes."""
    counts = pd.Series([example.pair.query_id for example in examples]).value_counts()
    order = counts.loc[sorted(counts.index, key=lambda q: content_hash(f"fold {SEED}", q))].cumsum()
    kept = set(order[order <= most].index)
    return [example for example in examples if example.pair.query_id in kept]


def graded(
    recipe: StudentRecipe | TeacherRecipe,
    policy: Policy,
    train: list[Example],
    test: list[Example],
    rounds: int,
) -> Graded:
    """Train on some queries and grade the others."""
    from workbench.training.fit import fit

    pairs = [example.pair for example in test]
    steps = Steps()
    with tempfile.TemporaryDirectory() as home:
        judge = CheckpointJudge(fit(recipe, policy, train, Path(home) / "fit", steps).folder)

        async def grade() -> list[Verdict]:
            return [verdict async for verdict in judge.grade(policy, pairs)]

        verdicts = {verdict.pair_id: verdict for verdict in asyncio.run(grade())}
        wall, cpu = [], []
        for _ in range(rounds):
            began, spent = time.perf_counter(), time.process_time()
            asyncio.run(grade())
            wall.append(time.perf_counter() - began)
            cpu.append(time.process_time() - spent)
    found = [verdicts[pair.id] for pair in pairs]
    grades = [[judgement.grade for judgement in verdict.judgements] for verdict in found]
    return Graded(
        np.array(grades),
        np.array([verdict.usage.input_tokens for verdict in found]),
        statistics.median(wall),
        statistics.median(cpu),
        steps.pairs_per_s,
    )


def confusion_rows(policy: Policy, examples: Sequence[Example], grades: np.ndarray) -> list[np.ndarray]:
    """Confusion matrices by query for each dimension, each (queries, levels, levels), queries in one order."""
    numbers, names = pd.factorize(np.array([example.pair.query_id for example in examples]))
    found = []
    for column, key in enumerate(policy.keys):
        human = np.array([example.settled.get(key, NOT_GRADED) for example in examples])
        scale = policy.scale(key)
        found.append(confusions(human, grades[:, column], numbers.astype(np.int_), len(names), scale))
    return found


def mean_kappa(policy: Policy, flat: np.ndarray) -> np.ndarray:
    """Mean over the dimensions of kappa, from sums laid out as by :func:`flattened`."""
    kappas, at = [], 0
    for key in policy.keys:
        levels = len(policy.scale(key))
        part = flat[..., at : at + levels**2].reshape(*flat.shape[:-1], levels, levels)
        kappas.append(_kappa(part))
        at += levels**2
    return np.mean(kappas, axis=0)


def flattened(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The matrices of all dimensions side by side, (queries, cells)."""
    return np.concatenate([part.reshape(len(part), -1) for part in rows], axis=1)


def curve(
    points: Sequence[Point],
    recipe: StudentRecipe | TeacherRecipe,
    policy: Policy,
    examples: list[Example],
    *,
    folds: int,
    used: int,
    rounds: int,
    steps: int | None,
) -> list[Measured]:
    """Measure all points in turn; ``used`` of the ``folds`` are graded."""
    fold = folds_of(examples, folds)
    measured: list[Measured] = []
    first: np.ndarray | None = None
    for point in points:
        at = recipe_at(recipe, policy, point, steps)
        parts, tested = [], []
        for held in range(used):
            train = [example for example, f in zip(examples, fold, strict=True) if f != held]
            test = [example for example, f in zip(examples, fold, strict=True) if f == held]
            parts.append(graded(at, policy, train, test, rounds))
            tested += test
            print(f"  {point}: fold {held + 1} of {used}", flush=True)
        flat = flattened(confusion_rows(policy, tested, np.concatenate([part.grades for part in parts])))
        first = flat if first is None else first
        drawn = resample(np.stack([first, flat], axis=1), resamples=RESAMPLES, seed=SEED)
        nothing = "A dimension has one level only."
        change = drawn.estimate(
            lambda sums: mean_kappa(policy, sums[:, 1]) - mean_kappa(policy, sums[:, 0]), nothing
        )
        measured.append(
            Measured(
                point=str(point),
                tokens=float(np.concatenate([part.tokens for part in parts]).mean()),
                trained_per_s=statistics.median(s for part in parts for s in part.trained_per_s),
                graded_per_s=len(tested) / sum(part.wall_s for part in parts),
                graded_per_cpu_s=len(tested) / sum(part.cpu_s for part in parts),
                kappa=drawn.estimate(lambda sums: mean_kappa(policy, sums[:, 1]), nothing),
                change=None if point is points[0] else change,
            )
        )
    return measured


def table(measured: Sequence[Measured]) -> str:
    """The curve as text."""
    head = [
        "max_tokens, fields",
        "tokens/pair",
        "trained/s",
        "graded/s",
        "per CPU s",
        "ratio",
        "kappa",
        "change",
    ]
    rows = [head]
    for one in measured:
        rows.append(
            [
                one.point,
                f"{one.tokens:.0f}",
                f"{one.trained_per_s:.1f}",
                f"{one.graded_per_s:.1f}",
                f"{one.graded_per_cpu_s:.1f}",
                f"{one.graded_per_cpu_s / measured[0].graded_per_cpu_s:.2f}",
                shown(one.kappa),
                "–" if one.change is None else shown(one.change),
            ]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def shown(value: Estimate) -> str:
    """A value with its interval."""
    if value.value is None:
        return f"– ({value.reason})"
    if value.low is None or value.high is None:
        return f"{value.value:.2f} (no interval)"
    return f"{value.value:.2f} [{value.low:.2f}, {value.high:.2f}]"


def read_point(text: str) -> Point:
    """Read ``256 job.description=40``."""
    words = text.split()
    try:
        budgets = dict(word.split("=", 1) for word in words[1:])
        return Point(int(words[0]), {name: int(tokens) for name, tokens in budgets.items()})
    except (ValueError, IndexError) as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not like '256 job.description=40'") from error


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind, names in (("golden", ("policy_file", "folder")), ("ratings", ("pairs", "products"))):
        one = kinds.add_parser(kind)
        one.add_argument("recipe", type=Path)
        for name in names:
            one.add_argument(name, type=Path)
        one.add_argument("--point", type=read_point, action="append", help="such as '256 job.description=40'")
        one.add_argument("--folds", type=int, default=3)
        one.add_argument("--rounds", type=int, default=3)
        one.add_argument("--steps", type=int, help="at most so many training steps")
        one.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
        one.add_argument("--most", type=int, help="at most so many pairs, of whole queries")
        one.add_argument(
            "--quick", action="store_true", help="two points, one fold, 96 pairs, 6 steps: a trial"
        )
        one.add_argument("--json", type=Path, help="also write the curve here")
    given = parser.parse_args()
    if given.folds < 2 or given.rounds < 1:
        parser.error("at least 2 folds and 1 round are needed")
    os.environ["OMP_NUM_THREADS"] = str(given.threads)  # heeded by fit
    import torch

    torch.set_num_threads(given.threads)
    recipe = read_recipe(given.recipe)
    if given.kind == "golden":
        policy = read_policy(given.policy_file)
        examples = dev_examples(policy, given.folder)
    else:
        policy, examples = policy_of_ratings(), rated_examples(given.pairs, given.products)
    points = given.point or [Point(recipe.max_tokens // part, {}) for part in (1, 2, 4, 8)]
    if given.quick:
        points = [points[0], points[-1]]
        given.most, given.steps = given.most or 96, given.steps or 6
    if given.most:
        examples = first_queries(examples, given.most)
    measured = curve(
        points,
        recipe,
        policy,
        examples,
        folds=given.folds,
        used=1 if given.quick else given.folds,
        rounds=given.rounds,
        steps=given.steps,
    )
    print(f"{recipe.recipe} on {len(examples)} pairs, {given.folds} folds, {given.threads} threads")
    print(table(measured))
    if given.json:
        given.json.write_text(
            json.dumps([asdict(one) for one in measured], indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
