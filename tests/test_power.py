"""Labels needed to see a difference: the formula by hand, and the square root law by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from workbench import confusion, power
from workbench.confusion import Grades
from workbench.golden import NOT_GRADED

# z[0.975] = 1.959964 and z[0.8] = 0.841621 together are 2.801585.


@pytest.mark.parametrize(
    ("delta", "queries"),
    [
        (0.05, 126),  # 100 · (2.801585 · 0.02 / 0.05)² = 100 · 1.12063² = 125.6
        (0.02, 785),  # 100 · 2.80159² = 784.9
        (0.01, 3140),  # 100 · 5.60317² = 3139.6
        (-0.02, 785),
    ],
)
def test_needed_by_hand(delta: float, queries: int) -> None:
    assert power.needed(0.02, 100, delta) == queries


def test_detectable_by_hand() -> None:
    assert power.detectable(0.02) == pytest.approx(0.0560317, abs=1e-6)
    # At 90 % power and 1 %: z[0.995] = 2.575829 and z[0.9] = 1.281552.
    assert power.detectable(0.02, power=0.9, alpha=0.01) == pytest.approx(0.02 * 3.857381, abs=1e-6)


def test_what_is_detectable_needs_the_present_set() -> None:
    for n in (10, 77, 1000):
        assert power.needed(0.031, n, power.detectable(0.031)) == n
    assert power.needed(0.0, 50, 0.01) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((0.02, 100, 0.0), "no set is large enough"),
        ((float("nan"), 100, 0.1), "standard error"),
        ((-0.1, 100, 0.1), "standard error"),
        ((0.02, 0, 0.1), "number of queries"),
        ((0.02, 100, 0.1, 1.0), "power"),
        ((0.02, 100, 0.1, 0.8, 0.0), "alpha"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[float, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        power.needed(*arguments)  # type: ignore[arg-type]


def drawn(queries: int, rng: np.random.Generator) -> tuple[Grades, Grades, Grades, Grades]:
    """Two judges with shared and own errors, the human grades, and queries of four pairs that are alike."""
    cluster = np.repeat(np.arange(queries), 4)
    centre = np.repeat(rng.normal(1.5, 0.8, queries), 4)
    true = centre + rng.normal(0, 0.6, 4 * queries)
    shared = np.repeat(rng.normal(0, 0.3, queries), 4) + rng.normal(0, 0.3, 4 * queries)

    def grade(values: np.ndarray) -> Grades:
        return np.clip(np.rint(values), 0, 3).astype(np.int_)

    a = grade(true + shared + rng.normal(0, 0.5, 4 * queries))
    b = grade(true + shared + rng.normal(0, 0.3, 4 * queries))
    return a, b, grade(true), cluster


def difference(a: Grades, b: Grades, human: Grades) -> float:
    one = np.zeros(len(a), dtype=np.int_)
    stack = np.concatenate([confusion.confusions(human, run, one, 1, (0, 1, 2, 3)) for run in (a, b)])
    return float(np.diff(confusion.kappa_quadratic(stack))[0])


def test_the_error_shrinks_with_the_root_of_the_queries_and_is_that_of_repeated_sampling() -> None:
    rng = np.random.default_rng(11)
    spread = {}
    for queries in (60, 240):
        spread[queries] = np.std(
            [difference(*drawn(queries, rng)[:3]) for _ in range(400)], ddof=1
        )  # known to ±3.5 %
    assert spread[60] / spread[240] == pytest.approx(2, rel=0.15)
    errors = [
        power.delta_error(*drawn(240, rng), range(4), resamples=300, seed=seed).se or 0 for seed in range(10)
    ]
    assert np.mean(errors) == pytest.approx(spread[240], rel=0.15)


def test_the_needed_queries_give_the_power() -> None:
    rng = np.random.default_rng(5)
    # The true difference and the error at 60 queries, from many sets.
    sets = [difference(*drawn(60, rng)[:3]) for _ in range(400)]
    delta, se = float(np.mean(sets)), float(np.std(sets, ddof=1))
    enough = power.needed(se, 60, delta)
    at = se * np.sqrt(60 / enough)
    found = [abs(difference(*drawn(enough, rng)[:3])) > 1.959964 * at for _ in range(400)]
    assert np.mean(found) == pytest.approx(
        0.8, abs=0.08
    )  # ±0.02 for 400 sets, and what delta and se leave open


def test_delta_error_counts_what_all_three_graded() -> None:
    a, b, human, clusters = drawn(30, np.random.default_rng(1))
    human[:4] = NOT_GRADED  # a whole query
    b[4] = NOT_GRADED
    found = power.delta_error(a, b, human, clusters, range(4))
    assert (found.queries, found.pairs) == (29, 115)
    assert found.se is not None
    assert found.se > 0


def test_delta_error_says_why_there_is_none() -> None:
    a, b, human, clusters = drawn(12, np.random.default_rng(2))

    def reason(a: Grades, b: Grades, human: Grades, clusters: Grades) -> str:
        found = power.delta_error(a, b, human, clusters, range(4))
        assert found.se is None
        return found.reason

    assert "9 queries" in reason(a[:36], b[:36], human[:36], clusters[:36])
    assert "one level" in reason(a, b, np.full_like(human, 2), clusters)
    assert "same grades" in reason(a, a, human, clusters)
