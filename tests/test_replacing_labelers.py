"""The alternative annotator test, prediction-powered rates, luck on a holdout: values by hand and from references."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from workbench.alternative_annotator import EPSILON, alternative_annotator, benjamini_yekutieli
from workbench.holdout_luck import expected_maximum, luck
from workbench.prediction_powered import corrected_rate

LEVELS = [0, 1, 2, 3, 4]
NAMES = ["ann", "bo", "cy"]


def test_who_is_nearer_to_the_others_wins() -> None:
    # Twelve pairs. ann 2, bo 2, cy 3 and the judge 2 on each. Left out ann: others 2, 3; judge and ann both 2: a tie,
    # both win. Left out bo: the same. Left out cy: others 2, 2; judge error 0, cy's error 1: the judge wins alone.
    ratings = np.tile(np.array([[2], [2], [3]]), 12)
    found = alternative_annotator(np.full(12, 2), ratings, NAMES, LEVELS, epsilon=0.1)
    assert [(c.labeler, c.judge_wins, c.labeler_wins) for c in found.contests] == [
        ("ann", 1.0, 1.0),
        ("bo", 1.0, 1.0),
        ("cy", 1.0, 0.0),
    ]
    # Differences are 0 - 0.1 and -1 - 0.1 everywhere; all of one sign, Wilcoxon over 12 pairs.
    p = stats.wilcoxon(np.full(12, -0.1), alternative="less").pvalue
    assert [c.p for c in found.contests] == pytest.approx([p, p, p])
    assert (found.winning_rate, found.advantage, found.passes) == (1.0, 1.0, True)


def test_without_a_price_a_tie_replaces_nobody() -> None:
    ratings = np.full((3, 40), 2)
    found = alternative_annotator(np.full(40, 2), ratings, NAMES, LEVELS, epsilon=0.0)
    assert (found.winning_rate, found.advantage, found.passes) == (0.0, 1.0, False)


def test_the_t_test_is_that_of_the_paper_from_30_pairs_on() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 200)
    ratings = np.stack([np.clip(truth + rng.integers(-1, 2, 200), 0, 4) for _ in range(3)])
    judge = np.clip(truth + (rng.random(200) < 0.3), 0, 4)
    found = alternative_annotator(judge, ratings, NAMES, LEVELS, epsilon=0.15)
    # By the definition, for the first labeler: root mean squared errors against the two others.
    others = ratings[1:]
    by_judge = np.sqrt(((others - judge) ** 2).mean(axis=0))
    by_ann = np.sqrt(((others - ratings[0]) ** 2).mean(axis=0))
    d = (by_ann <= by_judge).astype(int) - (by_judge <= by_ann).astype(int)
    assert found.contests[0].p == pytest.approx(stats.ttest_1samp(d, 0.15, alternative="less").pvalue)
    assert found.contests[0].judge_wins == (by_judge <= by_ann).mean()
    assert found.passes


def test_a_random_judge_does_not_pass() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 5, 300)
    ratings = np.stack([np.where(rng.random(300) < 0.8, truth, rng.integers(0, 5, 300)) for _ in range(4)])
    found = alternative_annotator(rng.integers(0, 5, 300), ratings, list("abcd"), LEVELS, epsilon=0.2)
    assert (found.winning_rate, found.passes) == (0.0, False)
    assert found.advantage < 0.5


def test_what_cannot_be_tested_has_a_reason() -> None:
    two = alternative_annotator(np.full(40, 2), np.full((2, 40), 2), NAMES[:2], LEVELS, epsilon=0.1)
    assert (two.winning_rate, two.passes) == (None, None)
    assert two.reason.startswith("0 labelers graded at least 10 pairs")
    # dee graded nine pairs only and is left out; the three others are tested.
    ratings = np.full((4, 40), 2)
    ratings[3, 9:] = -1
    found = alternative_annotator(np.full(40, 2), ratings, [*NAMES, "dee"], LEVELS, epsilon=0.1)
    assert (found.left_out, len(found.contests)) == (("dee",), 3)
    with pytest.raises(ValueError, match="epsilon lies from 0"):
        alternative_annotator(np.full(40, 2), ratings, [*NAMES, "dee"], LEVELS, epsilon=1.0)
    assert list(EPSILON.values()) == [0.2, 0.15, 0.1]


def test_benjamini_yekutieli_by_hand() -> None:
    # m = 3: 1 + 1/2 + 1/3 = 11/6. Bounds at 0.05: 0.05 · k / (3 · 11/6) = k · 0.00909.
    assert benjamini_yekutieli([0.009, 0.5, 0.018], 0.05) == [True, False, True]
    # The second is above its bound, but the third is below its own (0.0273), so all three fall.
    assert benjamini_yekutieli([0.001, 0.02, 0.027], 0.05) == [True, True, True]
    assert benjamini_yekutieli([0.010, 0.5, 0.6], 0.05) == [False, False, False]
    assert benjamini_yekutieli([], 0.05) == []


def labelled_and_not() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forty labelled pairs and two hundred that are not, each its own query."""
    n, m = np.arange(40), np.arange(200)
    y = ((n * 7) % 5 < 2).astype(float)
    f = ((n * 7) % 5 < 3).astype(float)
    f[::9] = 1 - f[::9]
    g = ((m * 11) % 7 < 3).astype(float)
    human = np.concatenate([y, np.full(200, np.nan)])
    return human, np.concatenate([f, g]), np.arange(240)


@pytest.mark.parametrize(
    ("weight", "value", "low", "high"),
    [  # ppi_mean_pointestimate and ppi_mean_ci(alpha=0.05, lam=weight) of ppi-python 0.2.3 on the same numbers
        (0.0, 0.4, 0.24818184, 0.55181816),
        (1.0, 0.255, 0.08714107, 0.42285893),
        (0.5, 0.3275, 0.1912336, 0.4637664),
    ],
)
def test_rates_are_those_of_ppi_python(weight: float, value: float, low: float, high: float) -> None:
    human, judge, clusters = labelled_and_not()
    found = corrected_rate(human, judge, clusters, weight=weight).corrected
    assert found.value == pytest.approx(value, abs=1e-12)
    # ppi-python divides variances by n, we by n - 1: with 40 labels, half widths differ by at most sqrt(40/39).
    for ours, theirs in ((found.low, low), (found.high, high)):
        assert 1 <= abs(ours - value) / abs(theirs - value) <= (40 / 39) ** 0.5 + 1e-6


def test_the_tuned_weight_is_near_that_of_ppi_python_and_never_wider_than_the_labels() -> None:
    found = corrected_rate(*labelled_and_not())
    assert found.corrected.value == pytest.approx(0.34175222, abs=0.003)  # ppi_mean_pointestimate, tuned
    assert found.corrected.high - found.corrected.low < found.labels.high - found.labels.low
    assert found.judge == pytest.approx((23 + 86) / 240)
    assert (found.labelled, found.unlabelled) == (40, 200)


def test_corrected_rates_hold_the_truth_in_93_to_97_of_100_simulations_whatever_the_judge() -> None:
    rng, held, narrower = np.random.default_rng(2), 0, 0
    for _ in range(500):
        base = rng.beta(2, 3, 300)  # the query's own rate: pairs of one query are alike
        clusters = np.repeat(np.arange(300), 4)
        truth = (rng.random(1200) < base[clusters]).astype(float)
        judge = np.where(rng.random(1200) < 0.85, truth, 1.0)  # says yes too often
        human = np.where(clusters < 80, truth, np.nan)
        found = corrected_rate(human, judge, clusters)
        held += found.corrected.low <= 0.4 <= found.corrected.high
        narrower += found.corrected.high - found.corrected.low < found.labels.high - found.labels.low
    assert 0.93 <= held / 500 <= 0.97
    assert narrower > 490


def test_too_few_labels_have_no_interval() -> None:
    human = np.array([1.0, 0.0, np.nan, np.nan])
    found = corrected_rate(human, np.array([1.0, 1.0, 0.0, np.nan]), np.arange(4))
    assert (found.corrected.value, found.corrected.low) == (0.5, None)
    assert found.judge == pytest.approx(2 / 3)  # the pair without an answer is left out
    nothing = corrected_rate(np.full(3, np.nan), np.ones(3), np.arange(3))
    assert (nothing.corrected.value, nothing.judge) == (None, 1.0)


def test_luck_grows_with_looks() -> None:
    # Expected maxima of 2, 3, 10 standard normals: 1/sqrt(pi), 3/(2 sqrt(pi)), 1.53875 (Harter 1961).
    assert [expected_maximum(k) for k in (1, 2, 3, 10)] == pytest.approx(
        [0.0, np.pi**-0.5, 1.5 * np.pi**-0.5, 1.53875], abs=1e-5
    )
    found = luck(0.02, 10)
    assert found.expected == pytest.approx(0.02 / 2**0.5 * 1.53875, rel=1e-4)
    draws = np.random.default_rng(3).normal(0, 0.02 / 2**0.5, (20_000, 10)).max(axis=1)
    assert found.at_most == pytest.approx(np.quantile(draws, 0.95), rel=0.03)
    assert luck(0.02, 1).expected == pytest.approx(0)
    for wrong in ((0.02, 0), (-1.0, 2), (float("nan"), 2)):
        with pytest.raises(ValueError):  # noqa: PT011
            luck(*wrong)
