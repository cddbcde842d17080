"""Quality against cost: what 1,000 pairs take, where that is from, and which runs no other one beats."""

from __future__ import annotations

from typing import Any

import pytest
from workspace_samples import golden_set, pair, recorded_run

from workbench.policy import OVERALL
from workbench.quality_cost import QualityCost, pareto_front, quality_cost
from workbench.run import JudgeIdentity, Run, RunTotals
from workbench.workspace import Workspace

PAIRS = [pair(f"wish {i}", f"tea {i}") for i in range(8)]
TASTE = [0, 1, 2, 2, 0, 1, 2, 1]


@pytest.fixture
def tea(workspace: Workspace) -> Workspace:
    golden_set(workspace, [(p, {"taste": t, "strength": 1}) for p, t in zip(PAIRS, TASTE, strict=True)])
    return workspace


def ran(
    tea: Workspace,
    name: str,
    *,
    wrong: int = 0,
    kind: Any = "llm",
    params: dict[str, Any] | None = None,
    **totals: Any,
) -> Run:
    """A finished run over the eight pairs that took ``totals``; its first grades are one level off."""
    tastes = [(t + 1) % 3 if i < wrong else t for i, t in enumerate(TASTE)]
    run = recorded_run(
        tea, name, [(p, {"taste": t, "strength": 1}) for p, t in zip(PAIRS, tastes, strict=True)], judge=name
    )
    judge = JudgeIdentity(kind=kind, name=name.split("-")[0], params=params or {})
    run = run.model_copy(update={"judge": judge, "totals": RunTotals(pairs=8, **totals)})
    tea.store.save_run(run)
    return run


def found(tea: Workspace, **more: Any) -> dict[str, QualityCost]:
    return {row.run.id.removeprefix("run-"): row for row in quality_cost(tea, "tea", **more)}


def test_cost_and_time_of_the_pairs_that_were_asked_about(tea: Workspace) -> None:
    ran(tea, "m", calls=4, cache_hits=4, cost_usd=0.02, seconds=2)
    row = found(tea)["m"]
    # Four pairs were asked about: half a cent and half a second each.
    assert (row.usd, row.seconds, row.source) == (pytest.approx(5.0), pytest.approx(500.0), "")
    assert (row.n, row.overall.value, row.kappa.value) == (8, 1.0, 1.0)


def test_unknown_is_not_nothing(tea: Workspace) -> None:
    ran(tea, "server", calls=8, cost_usd=None, seconds=8)
    ran(tea, "baseline", kind="baseline", seconds=4)
    ran(tea, "elsewhere", kind="recorded")
    inner = [
        {"kind": "baseline", "name": "b", "params": {}},
        {"kind": "checkpoint", "name": "c", "params": {}},
    ]
    ran(tea, "both", kind="ensemble", params={"members": inner})
    ran(
        tea,
        "mixed",
        kind="ensemble",
        params={"members": [inner[0], {"kind": "llm", "name": "m", "params": {}}]},
    )
    rows = found(tea)
    assert (rows["server"].usd, rows["server"].source) == (None, "The price is not known.")
    assert rows["server"].seconds == pytest.approx(1000)
    assert (rows["baseline"].usd, rows["baseline"].seconds) == (0.0, pytest.approx(500))
    assert (rows["elsewhere"].usd, rows["elsewhere"].source) == (None, "It was judged elsewhere.")
    assert rows["both"].usd == 0.0
    assert rows["mixed"].usd is None


def test_another_run_tells_what_answers_from_the_cache_cost(tea: Workspace) -> None:
    ran(tea, "m-cached", cache_hits=8, cost_usd=0.0, params={"temperature": 0, "repeat": 1})
    assert found(tea)["m-cached"].usd is None
    assert "no other run tells" in found(tea)["m-cached"].source
    ran(tea, "m-hot", calls=8, cost_usd=0.8, params={"temperature": 1})
    assert found(tea)["m-cached"].usd is None  # another judge
    ran(tea, "m-paid", calls=8, cost_usd=0.04, seconds=1, params={"temperature": 0, "repeat": 0})
    row = found(tea)["m-cached"]
    assert (row.usd, row.source) == (
        pytest.approx(5.0),
        "Its answers came from the cache; as run run-m-paid, v1.",
    )
    judge = JudgeIdentity(kind="llm", name="m", params={"temperature": 0}).model_dump()
    ran(tea, "calibrated", kind="calibrated", params={"judge": judge}, cache_hits=8, cost_usd=0.0)
    assert found(tea)["calibrated"].usd == pytest.approx(5.0)


def test_a_pair_that_was_known_in_part_is_counted_whole(tea: Workspace) -> None:
    # One call a dimension, and of the two only one was asked about: 8 calls of 0.1 cents, where 16 are needed.
    ran(tea, "m", calls=8, cost_usd=0.008, seconds=4, params={"mode": {"scope": "dimension"}})
    assert found(tea)["m"].usd == pytest.approx(2.0)
    assert found(tea)["m"].seconds == pytest.approx(1000)
    # Three repeats, four pairs a call: 6 calls for 8 pairs are all that is needed.
    ran(
        tea,
        "r",
        kind="repeats",
        calls=6,
        cost_usd=0.008,
        params={"repeats": 3, "mode": {"pairs_per_call": 4}},
    )
    assert found(tea)["r"].usd == pytest.approx(1.0)


def test_the_front_and_the_order(tea: Workspace) -> None:
    ran(tea, "dear", calls=8, cost_usd=0.8)
    ran(tea, "waste", wrong=2, calls=8, cost_usd=1.0)
    ran(tea, "cheap", wrong=4, calls=8, cost_usd=0.008)
    ran(tea, "unknown", wrong=1, calls=8, cost_usd=None)
    rows = quality_cost(tea, "tea", dimension="taste")
    assert [row.run.judge.name for row in rows] == ["dear", "unknown", "waste", "cheap"]
    assert {row.run.judge.name for row in rows if row.front} == {"dear", "cheap"}
    # Strength is 1 throughout, which has no kappa: nobody is on its front.
    assert not any(row.front for row in quality_cost(tea, "tea", dimension="strength"))
    assert all(row.kappa.reason for row in quality_cost(tea, "tea", dimension="strength"))
    assert quality_cost(tea, "tea", dimension="smell") == []


def test_unfinished_runs_are_left_out(tea: Workspace) -> None:
    recorded_run(tea, "broken", [(PAIRS[0], {"taste": 1, "strength": 1})], status="failed")
    assert quality_cost(tea, "tea", dimension=OVERALL) == []


def test_pareto_front_by_hand() -> None:
    costs = [1.0, 2.0, 2.0, 3.0, None, 0.5, 1.0]
    kappas = [0.5, 0.6, 0.55, 0.6, 0.9, None, 0.5]
    # The first and the last are the same point and both stay; 0.55 at 2 and 0.6 at 3 are beaten by 0.6 at 2.
    assert pareto_front(costs, kappas) == [True, True, False, False, False, False, True]
    assert pareto_front([], []) == []
