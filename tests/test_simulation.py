"""Simulated judges with known effects: the 95 % intervals hold what they say, and the comparison cries wolf rarely.

A query has a difficulty that all its pairs share, so pairs of one query are alike, which is what the bootstrap over
queries is for. The true kappa is that of the whole population, computed from the probabilities and not from a sample.
"""

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from workbench.agreement import agreement, compare, compare_many
from workbench.confusion import kappa_quadratic

LEVELS = [0, 1, 2, 3, 4]
SHARES = np.array([0.1, 0.2, 0.3, 0.25, 0.15])
HARD, EASY = 0.45, 0.15
"""Chance that a judge is off by a level, in the hard half of the queries and in the easy half."""
SIMULATIONS = 500


def off_by(error: float) -> np.ndarray:
    """Return P(judge | human), shape (5, 5): off by one level with this chance, to either side alike."""
    table = np.eye(5) * (1 - error)
    for level in range(5):
        for side in (-1, 1):
            table[level, min(max(level + side, 0), 4)] += error / 2
    return table


def true_kappa() -> float:
    """Return kappa of the population: half of the queries are hard."""
    joint = SHARES[:, None] * (off_by(HARD) + off_by(EASY)) / 2
    return float(kappa_quadratic(joint[None])[0])


def sample(rng, queries, per_query, runs=1):
    """Return clusters, human grades and ``runs`` judges of the same skill, each with errors of its own."""
    hard = rng.random(queries) < 0.5
    clusters = np.repeat(np.arange(queries), per_query)
    human = rng.choice(5, queries * per_query, p=SHARES)
    error = np.where(hard, HARD, EASY)[clusters]

    def judge():
        side = np.where(rng.random(len(human)) < 0.5, -1, 1)
        return np.where(rng.random(len(human)) < error, np.clip(human + side, 0, 4), human)

    return clusters, human, [judge() for _ in range(runs)]


def test_the_true_kappa_is_that_of_a_very_large_sample():
    clusters, human, (judge,) = sample(np.random.default_rng(1), 40_000, 5)
    found = agreement(judge, human, clusters, LEVELS, resamples=0).kappa_quadratic.value
    assert found == pytest.approx(true_kappa(), abs=0.002)


def test_the_interval_of_kappa_holds_the_truth_in_93_to_97_of_100_simulations():
    rng, truth, held = np.random.default_rng(2), true_kappa(), 0
    for seed in range(SIMULATIONS):
        clusters, human, (judge,) = sample(rng, 150, 5)
        found = agreement(judge, human, clusters, LEVELS, resamples=1000, seed=seed).kappa_quadratic
        held += found.low <= truth <= found.high
    assert 0.93 <= held / SIMULATIONS <= 0.97


def test_the_paired_interval_of_a_known_difference_holds_it_in_93_to_97_of_100_simulations():
    # B never errs on easy queries; the difference of the two population kappas is what its interval has to hold.
    better = SHARES[:, None] * (off_by(HARD) + off_by(0)) / 2
    truth = float(kappa_quadratic(better[None])[0]) - true_kappa()
    assert truth > 0.02
    rng, held = np.random.default_rng(3), 0
    for seed in range(SIMULATIONS):
        hard = rng.random(150) < 0.5
        clusters = np.repeat(np.arange(150), 5)
        human = rng.choice(5, 750, p=SHARES)
        runs = []
        for easy in (EASY, 0.0):
            error = np.where(hard, HARD, easy)[clusters]
            side = np.where(rng.random(750) < 0.5, -1, 1)
            runs.append(np.where(rng.random(750) < error, np.clip(human + side, 0, 4), human))
        delta = compare(*runs, human, clusters, LEVELS, resamples=1000, seed=seed).delta.kappa_quadratic
        held += delta.low <= truth <= delta.high
    assert 0.93 <= held / SIMULATIONS <= 0.97


def test_two_equal_judges_are_told_apart_in_at_most_5_of_100_comparisons():
    rng, by_test, by_any = np.random.default_rng(4), 0, 0
    levels = {f"d{i}": LEVELS for i in range(6)}
    for _ in range(SIMULATIONS):
        clusters, human, runs = sample(rng, 100, 3, runs=12)
        a = {key: runs[2 * i] for i, key in enumerate(levels)}
        b = {key: runs[2 * i + 1] for i, key in enumerate(levels)}
        found = compare_many(a, b, dict.fromkeys(levels, human), clusters, levels, resamples=0)
        by_test += found["d0"].p_mcnemar < 0.05
        by_any += any(comparison.p_holm < 0.05 for comparison in found.values())
    assert by_test / SIMULATIONS <= 0.05
    assert by_any / SIMULATIONS <= 0.05  # six dimensions at once, corrected by Holm


def test_a_difference_that_is_there_is_found():
    rng = np.random.default_rng(5)
    clusters, human, (a,) = sample(rng, 300, 5)
    b = np.where(rng.random(len(human)) < 0.5, human, a)  # half of what A says is put right
    found = compare(a, b, human, clusters, LEVELS)
    assert found.delta.kappa_quadratic.low > 0
    assert found.p_mcnemar < 1e-6
    assert found.counts["broken"] == 0


@pytest.mark.parametrize("seed", range(20))
def test_mcnemar_and_holm_are_those_of_statsmodels(seed):
    rng = np.random.default_rng(seed)
    levels = {f"d{i}": LEVELS for i in range(4)}
    clusters, human, runs = sample(rng, 20, 3, runs=8)
    a = {key: runs[2 * i] for i, key in enumerate(levels)}
    b = {key: runs[2 * i + 1] for i, key in enumerate(levels)}
    found = compare_many(a, b, dict.fromkeys(levels, human), clusters, levels, resamples=0)
    expected = []
    for key in levels:
        right = (a[key] == human, b[key] == human)
        table = [
            [int(((right[0] == x) & (right[1] == y)).sum()) for y in (True, False)] for x in (True, False)
        ]
        expected.append(mcnemar(table, exact=True).pvalue)
        assert found[key].p_mcnemar == pytest.approx(expected[-1])
    corrected = multipletests(expected, method="holm")[1]
    assert [found[key].p_holm for key in levels] == pytest.approx(list(corrected))
