"""Bootstrap intervals of agreement, beside a loop over scikit-learn, SciPy and krippendorff.

    python -m benchmarks.agreement            # 100,000 pairs, 6 dimensions, 2,000 resamples
    python -m benchmarks.agreement --quick    # a tenth of the pairs
    python -m benchmarks.agreement --matrix   # the Compare matrix from the database (see benchmarks/matrix.py)

The peer draws queries with replacement and calls, for each resample, the functions that a notebook would call:
cohen_kappa_score (quadratic and linear), accuracy_score, recall_score, spearmanr and krippendorff.alpha. Ours
computes the same and also within-one, AC2 and bias. The peer runs a few resamples of one dimension; its time for
the whole work is that time multiplied, and the table says so. Before any timing, both must give the same values.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import krippendorff
import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, cohen_kappa_score, recall_score

from workbench.agreement import agreement, compare

LEVELS = [0, 1, 2, 3, 4]
DIMENSIONS = 6
RESAMPLES = 2000


def peer(judge, human):
    """Return the statistics of one resample: quadratic and linear kappa, exact, recall, Spearman, alpha."""
    alpha = krippendorff.alpha(
        reliability_data=np.stack([human, judge]), level_of_measurement="ordinal", value_domain=LEVELS
    )
    return [
        cohen_kappa_score(human, judge, labels=LEVELS, weights="quadratic"),
        cohen_kappa_score(human, judge, labels=LEVELS, weights="linear"),
        accuracy_score(human, judge),
        spearmanr(human, judge).statistic,
        alpha,
        *recall_score(human, judge, labels=LEVELS, average=None, zero_division=np.nan),
    ]


def peer_bootstrap(judge, human, queries, per_query, resamples, rng):
    """Return the peer's statistics of each resample of whole queries, shape (resamples, statistics)."""
    pairs_of = np.arange(len(judge)).reshape(queries, per_query)
    draws = []
    for _ in range(resamples):
        drawn = pairs_of[rng.integers(0, queries, queries)].ravel()
        draws.append(peer(judge[drawn], human[drawn]))
    return np.array(draws)


def ours(found):
    """Return our estimates in the peer's order."""
    return [
        found.kappa_quadratic,
        found.kappa_linear,
        found.exact,
        found.spearman,
        found.alpha,
        *(found.recall[level] for level in LEVELS),
    ]


def seconds(work, repeats=3):
    """Return the shortest of a few wall times of ``work``."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def make(queries, per_query, rng):
    """Return human grades and, for each dimension, two runs of a judge that is off by a level now and then."""
    human = rng.choice(LEVELS, queries * per_query, p=[0.1, 0.2, 0.3, 0.25, 0.15])

    def judge():
        off = rng.choice([-2, -1, 0, 1, 2], len(human), p=[0.03, 0.15, 0.64, 0.15, 0.03])
        return np.clip(human + off, 0, 4)

    return human, [(judge(), judge()) for _ in range(DIMENSIONS)]


def measure(queries, per_query, peer_resamples):
    """Print one setting: equal small work for both, and the whole work for ours."""
    rng = np.random.default_rng(0)
    human, runs = make(queries, per_query, rng)
    clusters = np.repeat(np.arange(queries), per_query)
    first = runs[0][0]
    values = [estimate.value for estimate in ours(agreement(first, human, clusters, LEVELS, resamples=0))]
    np.testing.assert_allclose(values, peer(first, human), atol=1e-9)

    theirs = seconds(lambda: peer_bootstrap(first, human, queries, per_query, peer_resamples, rng), repeats=1)
    equal = seconds(lambda: agreement(first, human, clusters, LEVELS, resamples=peer_resamples))
    whole = seconds(lambda: [agreement(a, human, clusters, LEVELS, resamples=RESAMPLES) for a, _ in runs])
    paired = seconds(lambda: [compare(a, b, human, clusters, LEVELS, resamples=RESAMPLES) for a, b in runs])
    extrapolated = theirs / peer_resamples * RESAMPLES * DIMENSIONS

    print(f"\n{queries:,} queries x {per_query} pairs")
    print(f"  equal work, 1 dimension x {peer_resamples} resamples, both measured")
    print(f"    peer loop   {theirs:9.2f} s")
    print(f"    agreement   {equal:9.3f} s   {theirs / equal:,.0f} times faster")
    print(f"  whole work, {DIMENSIONS} dimensions x {RESAMPLES:,} resamples")
    print(f"    peer loop   {extrapolated:9.0f} s   extrapolated from the {peer_resamples} resamples above")
    print(f"    agreement   {whole:9.2f} s   {extrapolated / whole:,.0f} times faster")
    print(f"    compare     {paired:9.2f} s   two runs, paired; no peer")


def main():
    """Run both settings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the pairs and fewer peer resamples")
    parser.add_argument(
        "--matrix", action="store_true", help="20 runs x 6 dimensions x 10,000 pairs, cold and warm"
    )
    arguments = parser.parse_args()
    if arguments.matrix:
        subprocess.run([sys.executable, str(Path(__file__).with_name("matrix.py"))], check=True)
        return
    scale, peer_resamples = (10, 5) if arguments.quick else (1, 20)
    measure(5_000 // scale, 20, peer_resamples)
    measure(100_000 // scale, 1, peer_resamples)


if __name__ == "__main__":
    main()
