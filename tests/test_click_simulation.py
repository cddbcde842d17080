"""The simulator: what it draws is what it says, and it always says that it is simulated."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from pydantic import ValidationError

from workbench.click_simulation import Simulation, power_law, relevance_of_grades, simulate
from workbench.errors import BadInput

QUERIES = ["a", "a", "a", "b", "b"]
RELEVANCE = [1.0, 0.5, 0.0, 0.9, 0.1]


def test_a_power_law_and_graded_relevance() -> None:
    assert power_law(3, 2.0) == pytest.approx((1, 1 / 4, 1 / 9))
    # Gains (2^g - 1)/15 of grades 0, 2 and 4 are 0, .2 and 1: .1 + .9 × each.
    assert relevance_of_grades([0, 2, 4], 4) == pytest.approx([0.1, 0.28, 1.0])
    with pytest.raises(ValueError, match="0 to 4"):
        relevance_of_grades([-1], 4)


def test_a_ranker_without_noise_shows_by_relevance() -> None:
    plan = Simulation(sessions=50, examination=(1.0, 1.0), ranker_noise=0)
    (found,) = simulate(QUERIES, RELEVANCE, plan)
    assert found.simulated is True
    # Query a has three documents and two positions, query b two: every session has two impressions.
    assert found.position.tolist() == [1, 2] * 50
    assert found.session.tolist() == np.repeat(np.arange(50), 2).tolist()
    wanted = {0: [0, 1], 1: [3, 4]}
    assert all(found.pair[i : i + 2].tolist() == wanted[int(found.query[i])] for i in range(0, 100, 2))
    assert set(found.query.tolist()) == {0, 1}
    # Examined always: a document of relevance 1 is clicked always.
    assert found.clicked[found.pair == 0].all()
    assert found.relevance.tolist() == [RELEVANCE[i] for i in found.pair]


def test_click_rates_are_examination_times_relevance() -> None:
    plan = Simulation(sessions=60_000, examination=(1.0, 0.5), ranker_noise=None, seed=5)
    parts = list(simulate(["q"] * 2, [0.8, 0.4], plan))
    assert len(parts) == 3  # 20,000 sessions at a time
    pair, position, clicked, propensity = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("pair", "position", "clicked", "propensity")
    )
    for i, k, rate in ((0, 1, 0.8), (0, 2, 0.4), (1, 1, 0.4), (1, 2, 0.2)):
        here = (pair == i) & (position == k)
        # About 30,000 impressions each: a standard error of at most .003.
        assert here.sum() == pytest.approx(30_000, abs=400)
        assert clicked[here].mean() == pytest.approx(rate, abs=0.012)
        assert set(propensity[here].tolist()) == {(1.0, 0.5)[k - 1]}


def test_time_goes_on_and_a_seed_repeats() -> None:
    plan = Simulation(sessions=30_000, examination=(1.0,), start=datetime(2026, 5, 1, tzinfo=UTC))
    times = np.concatenate([part.time for part in simulate(QUERIES, RELEVANCE, plan)])
    assert times[0] >= np.datetime64("2026-05-01T00:00:00")
    assert (np.diff(times) >= np.timedelta64(0)).all()
    again = np.concatenate([part.time for part in simulate(QUERIES, RELEVANCE, plan)])
    other = plan.model_copy(update={"seed": 1})
    assert (times == again).all()
    assert (times != np.concatenate([part.time for part in simulate(QUERIES, RELEVANCE, other)])).any()


@pytest.mark.parametrize("relevance", [[1.2] * 5, [-0.1] * 5, [float("nan")] * 5, [0.5]])
def test_relevances_that_are_none(relevance: list[float]) -> None:
    with pytest.raises(BadInput):
        next(iter(simulate(QUERIES, relevance, Simulation(sessions=1, examination=(1.0,)))))


def test_settings_that_make_no_sense() -> None:
    for wrong in ({"examination": ()}, {"examination": (0.0,)}, {"examination": (1.1,)}, {"sessions": 0}):
        with pytest.raises(ValidationError):
            Simulation.model_validate({"sessions": 1, "examination": (1.0,)} | wrong)
