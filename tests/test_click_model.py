"""Click models: hand-derived counts, recovery of known curves, and what cannot be known being said."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from click_samples import counts_of, simulated_counts

from workbench.click_bias import em_bias, propensity_bias, random_bias
from workbench.click_model import PropensitySums, click_probability, count, fit_em, log_likelihood
from workbench.click_simulation import power_law
from workbench.errors import BadInput, Refused

# Relevance A .4, B .2; position 2 is examined half as often as position 1. A lies mostly on top, B mostly below:
# rates of all impressions are 420/1100 and 120/1100, whose ratio .29 is not the examination.
CONFOUNDED = [
    ("q", "A", 1, 1000, 400),
    ("q", "A", 2, 100, 20),
    ("q", "B", 1, 100, 20),
    ("q", "B", 2, 1000, 100),
]


def test_the_model_is_a_product_of_probabilities() -> None:
    assert click_probability([1.0, 0.5], [0.4, 0.4]).tolist() == [0.4, 0.2]
    with pytest.raises(ValueError, match="probabilities"):
        click_probability([1.2], [0.4])


def test_impressions_become_counts() -> None:
    found = count(["a", "a", "b", "a"], ["x", "x", "x", "x"], [1, 2, 1, 1], [True, False, True, False])
    # a/x at 1: two shown, one clicked; a/x at 2: one, none; b/x at 1: one, one.
    columns = (found.query, found.position, found.impressions, found.clicks)
    cells = sorted(zip(*(column.tolist() for column in columns), strict=True))
    assert cells == [(0, 1, 2.0, 1.0), (0, 2, 1.0, 0.0), (1, 1, 1.0, 1.0)]
    assert len(set(found.item.tolist())) == 2


def test_em_separates_relevance_from_position() -> None:
    counts = counts_of(CONFOUNDED)
    fit = fit_em(counts, tolerance=1e-9)
    assert fit.converged
    # Every cell's rate is examination × relevance exactly, so the maximum is the truth.
    assert fit.examination == pytest.approx([1.0, 0.5], abs=1e-5)
    assert fit.relevance == pytest.approx([0.4, 0.2], abs=1e-5)
    wanted = sum(c * math.log(c / n) + (n - c) * math.log(1 - c / n) for *_, n, c in CONFOUNDED)
    assert fit.log_likelihood == pytest.approx(wanted, abs=1e-6)
    assert log_likelihood(counts, np.array([0.4, 0.2, 0.2, 0.1])) == pytest.approx(wanted, abs=1e-9)


def test_a_lower_position_may_be_looked_at_more() -> None:
    # Rates .2 at position 1 and .4 at position 2 for the same document: examination 2 relative to position 1.
    fit = fit_em(counts_of([("q", "A", 1, 100, 20), ("q", "A", 2, 100, 40)]))
    assert fit.examination == pytest.approx([1.0, 2.0], abs=1e-4)


@pytest.mark.parametrize(("noise", "scale"), [(0.5, 1.0), (0.5, 0.02), (None, 1.0)])
def test_em_recovers_a_known_curve(noise: float | None, scale: float) -> None:
    noise = noise and noise * scale
    counts, _ = simulated_counts(noise=noise, scale=scale, sessions=20_000 if scale == 1 else 200_000)
    found = em_bias(counts, resamples=40)
    assert found.converged
    assert found.resampled == "queries"
    # Position 6 has at least 339 clicks: a relative error of 3/√339 = 16 % would be three standard errors.
    for point, true in zip(found.points, power_law(6), strict=True):
        assert point.examination == pytest.approx(true, rel=0.16)
    assert found.points[0].low is None
    assert all(p.low < p.examination < p.high for p in found.points[1:])  # type: ignore[operator]


def test_regression_em_recovers_a_curve_where_no_document_moves() -> None:
    # Each document always lies at one position, so only features can tell relevance from position.
    rng = np.random.default_rng(0)
    items, n = 3_000, 400
    x = rng.standard_normal((items, 2))
    relevance = 1 / (1 + np.exp(-(-1.0 + x @ [1.0, -0.5])))
    position = np.arange(items) % 3 + 1
    clicks = rng.binomial(n, relevance / position)
    counts = counts_of([(f"q{i}", "d", int(position[i]), n, int(clicks[i])) for i in range(items)])
    found = em_bias(counts, features=x, resamples=0, tolerance=1e-5)
    assert found.converged
    assert [p.examination for p in found.points] == pytest.approx([1, 1 / 2, 1 / 3], rel=0.05)
    blind = em_bias(counts, resamples=0)
    assert [p.examination for p in blind.points] == [1.0, None, None]
    assert blind.points[1].reason == "No value: no clicked document links position 2 to position 1."
    assert blind.problems[0].startswith("No clicked document was shown at more than one position")


def test_features_of_another_size_are_refused() -> None:
    with pytest.raises(BadInput, match="Relevance features"):
        fit_em(counts_of(CONFOUNDED), features=np.zeros((3, 1)))


def test_em_says_when_it_has_not_converged() -> None:
    counts, _ = simulated_counts(noise=0.5, scale=1.0, sessions=500)
    found = em_bias(counts, resamples=0, max_iterations=2)
    assert not found.converged
    assert "EM had not converged after 2 iterations." in found.problems


def test_random_order_compares_rates_within_queries() -> None:
    # Query p was only ever shown one document, and hardly anybody clicked. All impressions together: (20/100) /
    # (50/1100) = 4.4. Within query q: (20/100) / (40/100) = 0.5.
    rows = [("q", "A", 1, 50, 20), ("q", "A", 2, 50, 10), ("q", "B", 1, 50, 20), ("q", "B", 2, 50, 10)]
    found = random_bias(counts_of([*rows, ("p", "C", 1, 1000, 10)]), resamples=20)
    assert found.curve == pytest.approx({1: 1.0, 2: 0.5})
    assert found.resampled == "impressions"  # two queries are too few to draw from


def test_an_order_that_was_not_drawn_is_refused() -> None:
    with pytest.raises(Refused, match="not shown in random order"):
        random_bias(counts_of(CONFOUNDED))


def test_whole_lists_in_drawn_order_are_not_refused() -> None:
    # Permutations have counts more alike than independent draws; without the correction 60 queries would fail.
    counts, _ = simulated_counts(noise=None, scale=1.0, sessions=12_000, documents=3, positions=3)
    assert random_bias(counts, resamples=0).curve == pytest.approx(dict(enumerate(power_law(3), 1)), rel=0.1)


def test_display_propensities_undo_the_ranker() -> None:
    # p(A at 1) = .8, p(B at 1) = .2 and the other way round at 2. Weighted clicks at 1: 400/.8 + 20/.2 = 600 of
    # 800/.8 + 200/.2 = 2000; at 2: 50/.2 + 40/.8 = 300 of 2000. So 0.15/0.3.
    rows = [("q", "A", 1, 800, 400), ("q", "B", 1, 200, 20), ("q", "A", 2, 200, 50), ("q", "B", 2, 800, 40)]
    counts = with_propensity(rows, [0.8, 0.2, 0.2, 0.8])
    found = propensity_bias(counts, "display", resamples=50)
    assert found.curve == pytest.approx({1: 1.0, 2: 0.5})
    assert found.problems == ()  # 4000²/12500 = 1280 effective impressions of 2000
    with pytest.raises(BadInput, match=r"position 1 run from 0\.2 to 0\.8"):
        propensity_bias(counts, "examination")


def test_few_impressions_that_carry_all_the_weight_are_refused() -> None:
    # Weights 1000 × 2 and 1 × 10,000: (2,000 + 10,000)² / (4,000 + 10⁸) = 1.4 effective impressions.
    counts = with_propensity([("q", "A", 1, 1000, 500), ("q", "A", 2, 1, 1)], [0.5, 0.0001])
    with pytest.raises(Refused, match="count as 1: too few"):
        propensity_bias(counts, "display")


def test_examination_propensities_are_the_curve() -> None:
    rows = [("q", "A", 1, 100, 40), ("q", "A", 2, 100, 10), ("q", "B", 2, 50, 5)]
    found = propensity_bias(with_propensity(rows, [0.8, 0.2, 0.2]), "examination")
    assert found.curve == pytest.approx({1: 1.0, 2: 0.25})
    assert found.resampled == "nothing"
    same = propensity_bias(with_propensity(rows, [0.1, 0.1, 0.1]), "examination")
    assert same.problems[0].startswith("All positions have the same propensity.")


@pytest.mark.parametrize("bad", [0.0, -0.1, 1.5, float("nan")])
def test_a_propensity_out_of_range_is_refused(bad: float) -> None:
    with np.errstate(divide="ignore"), pytest.raises(BadInput, match=r"outside \(0, 1\]"):
        propensity_bias(with_propensity([("q", "A", 1, 100, 40)], [bad]), "display")


def test_what_no_curve_can_be_made_of() -> None:
    with pytest.raises(BadInput, match="no click"):
        fit_em(counts_of([("q", "A", 1, 10, 0)]))
    with pytest.raises(BadInput, match="at position 1; the first one is 2"):
        em_bias(counts_of([("q", "A", 2, 10, 1)]))
    with pytest.raises(BadInput, match="has no propensities"):
        propensity_bias(counts_of(CONFOUNDED), "display")
    silent = em_bias(counts_of([("q", "A", 1, 10, 0), ("q", "A", 2, 10, 1)]), resamples=0)
    assert silent.curve == {}
    assert silent.points[0].reason == "No value: position 1 has no click to compare with."


def with_propensity(rows: list[tuple[str, str, int, int, int]], p: list[float]):  # type: ignore[no-untyped-def]
    """Counts in the order of ``rows``, all impressions of a row with one propensity."""
    counts, values = counts_of(rows), np.array(p)
    n, c = counts.impressions, counts.clicks
    sums = PropensitySums(n * values, values, values, n / values, c / values, n / values**2)
    return replace(counts, propensity=sums)
