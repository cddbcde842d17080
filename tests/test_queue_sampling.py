"""Drawing queues: allocations and scores derived by hand; weighted totals are unbiased for the population's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import BadInput
from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.queue_sampling import (
    Draw,
    boundary_score,
    by_score,
    halfway_score,
    inclusion_probabilities,
    simple_random,
    spread_score,
    stratified,
)

STRATA = ["a"] * 2 + ["b"] * 10 + ["c"] * 100


def drawn(draw: Draw) -> dict[str, int]:
    return {name: draw.stratum.count(name) for name in sorted(set(draw.stratum))}


# Strata


def test_equal_allocation_gives_what_a_small_stratum_cannot_take_to_the_others() -> None:
    # 30 over three strata is 10 each; a has 2, so b and c share 28: 14 each; b has 10, so c takes 18.
    draw = stratified(STRATA, 30, allocation="equal", seed=1)
    assert drawn(draw) == {"a": 2, "b": 10, "c": 18}
    weights = dict(zip(draw.stratum, draw.weight.tolist(), strict=True))
    assert weights == {"a": 1, "b": 1, "c": pytest.approx(100 / 18)}
    assert [STRATA[i] for i in draw.index] == list(draw.stratum)


def test_proportional_allocation_leaves_no_stratum_empty() -> None:
    # 10 of sizes 1, 9, 90 is 0.1, 0.9, 9: one each first; the next seats by 9/3 = 3 against 90/3, 90/5, … 90/15 = 6,
    # so that c takes all seven.
    draw = stratified(["a"] + ["b"] * 9 + ["c"] * 90, 10, allocation="proportional", seed=1)
    assert drawn(draw) == {"a": 1, "b": 1, "c": 8}
    weights = dict(zip(draw.stratum, draw.weight.tolist(), strict=True))
    assert weights == {"a": 1, "b": 9, "c": 11.25}


def test_fewer_pairs_than_strata_are_refused() -> None:
    with pytest.raises(BadInput, match=r"2 pairs cannot hold one of each of 3 strata\. Draw 3 or more"):
        stratified(STRATA, 2, seed=1)


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=8),
    extra=st.integers(0, 200),
    equal=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_stratified_draw_has_its_size_and_weights_that_add_up(
    sizes: list[int], extra: int, equal: bool, seed: int
) -> None:
    strata = [str(i) for i, size in enumerate(sizes) for _ in range(size)]
    size = len(sizes) + extra
    draw = stratified(strata, size, allocation="equal" if equal else "proportional", seed=seed)
    assert len(draw.index) == len(set(draw.index.tolist())) == min(size, len(strata))
    for i, of_stratum in enumerate(sizes):
        here = np.array(draw.stratum) == str(i)
        assert here.any()
        assert draw.weight[here].sum() == pytest.approx(of_stratum)


# Scores


def test_inclusion_probabilities_by_hand() -> None:
    # A tenth to all alike, 0.025 each; nine tenths to the only score.
    one = inclusion_probabilities(np.array([0.0, 0, 0, 5]), 1)
    assert one.tolist() == pytest.approx([0.025, 0.025, 0.025, 0.925])
    # Of two, the last would have 1.85: it is certain, and the other place is shared by three.
    two = inclusion_probabilities(np.array([0.0, 0, 0, 5]), 2)
    assert two.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])
    assert inclusion_probabilities(np.array([np.nan, 0.0]), 1).tolist() == [0.5, 0.5]
    assert inclusion_probabilities(np.array([1.0, 0.0]), 2).tolist() == [1, 1]


@given(
    scores=st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1, max_size=40),
    size=st.integers(1, 50),
    seed=st.integers(0, 999),
)
def test_any_draw_by_score_has_its_size_and_bounded_weights(
    scores: list[float], size: int, seed: int
) -> None:
    size = min(size, len(scores))
    probability = inclusion_probabilities(np.array(scores), size)
    assert probability.sum() == pytest.approx(size)
    assert (probability > 0).all()
    assert (probability <= 1).all()
    draw = by_score(np.array(scores), size, seed=seed)
    assert len(draw.index) == len(set(draw.index.tolist())) == size
    assert draw.weight.tolist() == pytest.approx((1 / probability[draw.index]).tolist())
    # A tenth of the draw goes to all alike, so no weight exceeds ten times N / n.
    assert draw.weight.max() <= 10 * len(scores) / size * (1 + 1e-9)


def test_scores_below_zero_are_refused() -> None:
    for wrong in (-0.1, np.inf):
        with pytest.raises(ValueError, match="finite and not below zero"):
            by_score(np.array([1.0, wrong]), 1, seed=0)


POPULATION = 12
VALUES = np.array([3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8])  # sum 52
SCORES = np.array([0, 0.1, 0.2, 0.9, 1, 0, 0.5, np.nan, 0.3, 0.3, 0, 0.7])


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: simple_random(POPULATION, 5, seed=seed),
        lambda seed: stratified([*"aabbbbbbbccc"], 6, allocation="equal", seed=seed),
        lambda seed: stratified([*"aabbbbbbbccc"], 5, allocation="proportional", seed=seed),
        lambda seed: by_score(SCORES, 5, seed=seed),
        lambda seed: by_score(np.where(np.arange(12) == 4, 50, SCORES), 5, seed=seed),  # one is certain
    ],
)
def test_horvitz_thompson_totals_are_unbiased(draw: Callable[[int], Draw]) -> None:
    draws = [draw(seed) for seed in range(4000)]
    totals = np.array([(VALUES[one.index] * one.weight).sum() for one in draws])
    error = totals.std() / np.sqrt(len(totals))
    # Each of 15 checks within 4 standard errors: a true design fails with a chance of 0.1 % in all, and seeds are fixed.
    assert abs(totals.mean() - VALUES.sum()) <= 4 * error
    # Each pair is drawn as often as its weight says.
    counts = np.bincount(np.concatenate([one.index for one in draws]), minlength=POPULATION) / len(draws)
    said = {int(i): float(w) for one in draws for i, w in zip(one.index, one.weight, strict=True)}
    for i in range(POPULATION):
        chance = 1 / said[i]
        assert abs(counts[i] - chance) <= 4 * np.sqrt(chance * (1 - chance) / len(draws)) + 1e-12


def test_the_first_half_of_a_draw_is_a_smaller_sample_of_the_same_design() -> None:
    # In random order, the share of stratum c among the first five of a draw is that of the whole draw: 2 of 6 … by hand,
    # equal allocation of 6 over 2, 7, 3 pairs is 2 each, so each position holds c with a chance of a third.
    first = [stratified([*"aabbbbbbbccc"], 6, seed=seed).stratum[0] for seed in range(3000)]
    assert abs(first.count("c") / 3000 - 1 / 3) <= 4 * np.sqrt(1 / 3 * 2 / 3 / 3000)


def test_a_draw_repeats_by_its_seed_and_a_small_population_is_drawn_whole() -> None:
    one, two = simple_random(100, 10, seed=7), simple_random(100, 10, seed=7)
    assert one.index.tolist() == two.index.tolist()
    assert one.index.tolist() != simple_random(100, 10, seed=8).index.tolist()
    whole = by_score(np.array([0.2, 0.9]), 10, seed=1)
    assert (sorted(whole.index.tolist()), whole.weight.tolist()) == ([0, 1], [1, 1])
    with pytest.raises(BadInput, match="at least one pair"):
        simple_random(10, 0, seed=1)
    with pytest.raises(BadInput, match="no pair to draw from"):
        by_score(np.array([]), 1, seed=1)


def test_boundary_scores_by_hand() -> None:
    # 1 less the difference of the two largest: a tie 1, certainty 0, 1 - (.6 - .3) = .7.
    found = boundary_score(np.array([[0.5, 0.5, 0], [1, 0, 0], [0.1, 0.6, 0.3], [np.nan, 0, 1]]))
    assert found[:3].tolist() == pytest.approx([1, 0, 0.7])
    assert np.isnan(found[3])
    halfway = halfway_score(np.array([1.5, 2.0, 1.25, 0.9, np.nan]))
    assert halfway[:4].tolist() == pytest.approx([1, 0, 0.5, 0.2])
    assert np.isnan(halfway[4])


def test_spread_scores_by_hand() -> None:
    grades = np.array(
        [
            # 0 and 4: deviation 2 of at most 2. 1 and 2: deviation 0.5, a quarter. N/A against a level is as far as can be.
            [0, 1, NOT_APPLICABLE, NOT_APPLICABLE, 3, NOT_GRADED],
            [4, 2, 3, NOT_APPLICABLE, NOT_GRADED, NOT_GRADED],
        ]
    )
    found = spread_score(grades, [0, 1, 2, 3, 4])
    assert found[:4].tolist() == pytest.approx([1, 0.25, 1, 0])
    assert np.isnan(found[4:]).all()  # fewer than two judges answered
