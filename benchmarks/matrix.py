"""The Compare matrix of 20 runs x 6 dimensions x 10,000 pairs with intervals, from the database, cold and warm.

A workspace with that many labels and judgements is made in a temporary folder (this takes a minute and is not timed).
A fresh process then opens it and asks for the matrix (cold), and once more after another run has finished (warm:
what is settled and what was computed is kept). Beside it, a loop over scikit-learn's cohen_kappa_score with the same
2,000 resamples of queries, measured on a few resamples of one cell and multiplied; both must give the same kappas.

    python benchmarks/matrix.py [--pairs 10000] [--runs 20]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

DIMENSIONS = [f"d{i}" for i in range(6)]
LEVELS = [0, 1, 2, 3, 4]
PAIRS_A_QUERY = 10
START = datetime(2026, 1, 1, tzinfo=UTC)


def policy():
    """Return a policy with six dimensions of five levels."""
    from workbench.policy import Policy

    return Policy.model_validate(
        {
            "policy": "bench",
            "version": 1,
            "title": "Does the job fit the member?",
            "pair": {
                "query": {"name": "member", "fields": ["text"]},
                "document": {"name": "job", "fields": ["text"]},
            },
            "dimensions": [
                {
                    "key": key,
                    "title": key,
                    "question": "How well?",
                    "levels": [{"value": v, "name": f"L{v}", "criteria": f"Fit of {v}."} for v in LEVELS],
                }
                for key in DIMENSIONS
            ],
            "overall": {"combine": "weighted_mean", "cut_points": [0.8, 1.6, 2.4, 3.2]},
        }
    )


def make(pairs: int, runs: int) -> None:
    """Fill the workspace that the environment names."""
    import numpy as np
    import pandas as pd

    from workbench.golden import LABEL_COLUMNS, GoldenSet, Pair, typed_labels
    from workbench.workspace import open_workspace

    rng = np.random.default_rng(0)
    space = open_workspace()
    store = space.store
    store.add_policy(policy())
    found = [
        Pair(
            query={"text": f"member {i // PAIRS_A_QUERY}"},
            document={"text": f"job {i} with a few words about it"},
        )
        for i in range(pairs)
    ]
    ids = [pair.id for pair in found]
    human = rng.integers(0, 5, (pairs, len(DIMENSIONS)))
    labels = typed_labels(
        pd.DataFrame(
            [
                (pair_id, key, int(human[i, d]), "ann", START, "", "imported")
                for i, pair_id in enumerate(ids)
                for d, key in enumerate(DIMENSIONS)
            ],
            columns=LABEL_COLUMNS,
        )
    )
    store.create_golden("bench", policy="bench", holdout=0.2)
    store.add_pairs("bench", found)
    store.add_labels("bench", labels)
    splits = store.members("bench").set_index("pair_id")["split"].to_dict()
    store.add_snapshot(
        GoldenSet("bench", 1, "bench", tuple(found), splits, labels), author="ann", message="for timing"
    )
    for number in range(runs):
        add_run(space, number, ids, human, rng)


def add_run(space, number, ids, human, rng) -> None:
    """Keep one finished run that is off by a level now and then."""
    import numpy as np

    from workbench.run import JudgeIdentity, Judgement, Run, RunTotals, Verdict

    document = space.store.policy("bench")
    snapshot = space.store.snapshots("bench")[0]
    off = rng.choice([-2, -1, 0, 1, 2], human.shape, p=[0.03, 0.15, 0.64, 0.15, 0.03])
    grades = np.clip(human + off, 0, 4)
    run = Run(
        id=f"run-{number}",
        judge=JudgeIdentity(kind="recorded", name=f"judge-{number}"),
        policy="bench",
        policy_version=1,
        policy_hash=document.content_hash,
        golden="bench",
        golden_version=snapshot.version,
        golden_hash="",
        status="finished",
        created_at=START + timedelta(hours=number),
        finished_at=START + timedelta(hours=number, minutes=10),
        totals=RunTotals(pairs=len(ids)),
    )
    space.store.add_verdicts(
        run.id,
        (
            Verdict(
                pair_id=pair_id,
                judgements=tuple(
                    Judgement(dimension=key, grade=int(grades[i, d]), rationale="It fits by its title.")
                    for d, key in enumerate(DIMENSIONS)
                ),
            )
            for i, pair_id in enumerate(ids)
        ),
    )
    space.store.save_run(run)


def ask() -> None:
    """Print, as JSON: seconds of the matrix cold and warm, and the kappas of the first run."""
    from workbench import evaluation
    from workbench.workspace import open_workspace

    space = open_workspace()
    started = time.perf_counter()
    runs = space.store.runs(golden="bench")
    rows = evaluation.matrix(space, runs, split="all")
    cold = time.perf_counter() - started
    started = time.perf_counter()
    evaluation.matrix(space, space.store.runs(golden="bench"), split="all")
    warm = time.perf_counter() - started
    first = next(row for row in rows if row.run.id == "run-0")
    kappas = {key: first.agreements[key].kappa_quadratic.value for key in DIMENSIONS}
    intervals = {key: first.agreements[key].kappa_quadratic.low for key in DIMENSIONS}
    print(
        json.dumps(
            {
                "cold": cold,
                "warm": warm,
                "kappas": kappas,
                "low": intervals,
                "cells": len(rows) * len(DIMENSIONS),
            }
        )
    )


def peer(resamples: int = 20) -> None:
    """Print, as JSON: seconds that scikit-learn takes for ``resamples`` resamples of one cell, and its kappas."""
    import numpy as np
    from sklearn.metrics import accuracy_score, cohen_kappa_score

    from workbench import evaluation
    from workbench.workspace import open_workspace

    space = open_workspace()
    truth = evaluation.truth(space, "bench", split="all")
    run = space.store.run("run-0")
    mine = evaluation.grades(space, run, truth.pair_ids)
    kappas = {
        key: cohen_kappa_score(truth.human[key], mine[key], labels=LEVELS, weights="quadratic")
        for key in DIMENSIONS
    }
    _, query = np.unique(np.array(truth.query_ids), return_inverse=True)
    pairs_of = [np.flatnonzero(query == q) for q in range(query.max() + 1)]
    human, judge = truth.human["d0"], mine["d0"]
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    for _ in range(resamples):
        drawn = np.concatenate([pairs_of[q] for q in rng.integers(0, len(pairs_of), len(pairs_of))])
        cohen_kappa_score(human[drawn], judge[drawn], labels=LEVELS, weights="quadratic")
        cohen_kappa_score(human[drawn], judge[drawn], labels=LEVELS, weights="linear")
        accuracy_score(human[drawn], judge[drawn])
    print(json.dumps({"seconds": time.perf_counter() - started, "resamples": resamples, "kappas": kappas}))


def main() -> None:
    """Make the workspace, time both in processes of their own, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--step", choices=["make", "ask", "peer"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        {"make": lambda: make(given.pairs, given.runs), "ask": ask, "peer": peer}[given.step]()
        return
    with tempfile.TemporaryDirectory() as folder:
        places = {"WORKBENCH_ROOT": folder, "WORKBENCH_HOME": str(Path(folder) / "var")}
        environment = os.environ | places | {"PYTHONPATH": str(Path(__file__).parents[1])}

        def step(name: str) -> str:
            command = [
                sys.executable,
                __file__,
                "--step",
                name,
                "--pairs",
                str(given.pairs),
                "--runs",
                str(given.runs),
            ]
            return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

        step("make")
        first, ours, theirs = (json.loads(step(name)) for name in ("ask", "ask", "peer"))
    for key in DIMENSIONS:
        assert abs(ours["kappas"][key] - theirs["kappas"][key]) < 1e-9, key
    loop = theirs["seconds"] / theirs["resamples"] * 2_000 * ours["cells"]
    print(
        f"{given.runs} runs x {len(DIMENSIONS)} dimensions x {given.pairs:,} pairs, 2,000 resamples of queries"
    )
    print(
        f"  first time ever     {first['cold']:8.2f} s   judgements read from the database and put in columns"
    )
    print(f"  fresh process, cold {ours['cold']:8.2f} s")
    print(f"  again, warm         {ours['warm'] * 1000:8.0f} ms")
    print(
        f"  scikit-learn loop   {loop:8.0f} s   extrapolated from {theirs['resamples']} resamples of one cell"
    )
    print(
        f"  ratio               {loop / ours['cold']:8,.0f} times cold, {loop / first['cold']:,.0f} times the first time"
    )


if __name__ == "__main__":
    main()
