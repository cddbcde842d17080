"""Where teachers conflict: measures by hand, and the report from kept answers of tiny checkpoints."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import fisher_exact, kendalltau, spearmanr
from training_samples import Heard, recipe, tiny
from workspace_samples import golden_set, pair, version

from workbench import training_job, training_runs
from workbench.click_logs import simulate_clicks
from workbench.click_simulation import Simulation
from workbench.errors import BadInput, NotFound
from workbench.executors.local import LocalExecutor
from workbench.jobfolder import FolderReporter
from workbench.jobs import folder_of
from workbench.store import StoredCheckpoint
from workbench.teacher_conflict import (
    expected_overall,
    jensen_shannon,
    mean_over_queries,
    opposed,
    over_represented,
    rank_correlation,
    standing,
)
from workbench.teacher_conflicts import ask_teachers, compare, conflicts
from workbench.training.data import Answer
from workbench.training.record import CLICK
from workbench.workspace import Workspace

TEAS = ("smoky", "green", "black")


def vector(*values: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Floats."""
    return np.array(values, dtype=np.float64)


def test_divergence_in_bits() -> None:
    first = np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5], [0.5, 0.5]])
    second = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    # Last row: the middle is (3/4, 1/4). KL((1/2, 1/2) | middle) = 1/2 log2(2/3) + 1/2 log2 2 = 0.2075187;
    # KL((1, 0) | middle) = log2(4/3) = 0.4150375; their mean is 0.3112781.
    assert jensen_shannon(first, second) == pytest.approx([0, 1, 0, 0.3112781], abs=1e-7)
    assert (jensen_shannon(first, second) == jensen_shannon(second, first)).all()
    tiny = np.array([[5e-324, 1.0]])
    assert jensen_shannon(tiny, np.array([[0.0, 1.0]])) == pytest.approx([0.0])


def test_a_mean_is_over_pairs_and_its_interval_over_queries() -> None:
    # Queries a (1, 0), b (0.5): the mean over pairs is 1.5 / 3. A resample of two queries is aa (0.5), bb (0.5) or
    # ab (0.5): the interval is a point.
    found = mean_over_queries(vector(1, 0, 0.5, np.nan), ["a", "a", "b", "b"], resamples=200)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)
    one = mean_over_queries(vector(1, 0), ["a", "a"], resamples=200)
    assert (one.value, one.low, one.reason) == (
        0.5, None, "No interval: all comparable pairs belong to one query.",
    )  # fmt: skip
    none = mean_over_queries(vector(np.nan), ["a"], resamples=200)
    assert (none.value, none.reason) == (None, "There is nothing to compare.")


def test_the_expected_overall_grade_goes_through_cut_points_and_gates() -> None:
    # tea-match: weights 3 (taste) and 1 (strength), cut points 0.5 and 1.5; taste 0 holds the grade at 0.
    policy = version(1)
    taste = np.array([[0, 0, 1], [0, 1, 0], [0.5, 0, 0.5], [0, 0, 1]], dtype=np.float64)
    strength = np.array([[0, 1, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]], dtype=np.float64)
    # (3*2 + 1)/4 = 1.75 -> 2; (3 + 1)/4 = 1 -> 1; half 0 by the gate, half 2 -> 1; 6/4 = 1.5 reaches 2.
    assert expected_overall(policy, {"taste": taste, "strength": strength}) == pytest.approx([2, 1, 1, 2])
    # Strength N/A leaves the mean: taste 1 alone is 1. A third of N/A, taste sure: 1 either way.
    unsure = np.array([[1 / 3, 1 / 3, 1 / 3]])
    # Taste 1: strength 0 -> 3/4, 1 -> 1, N/A -> 1; all are between 0.5 and 1.5.
    assert expected_overall(policy, {"taste": taste[1:2], "strength": unsure}) == pytest.approx([1])


def test_what_never_applies_has_no_overall_grade() -> None:
    policy = version(1, dimensions=[
        {"key": "taste", "title": "Taste", "question": "Is it?", "allow_na": True, "levels": [
            {"value": 0, "name": "No", "criteria": "It is not."}, {"value": 1, "name": "Yes", "criteria": "It is."}]},
    ], overall={"combine": "weighted_mean", "cut_points": [0.5], "gates": []}, retired=[])  # fmt: skip
    found = expected_overall(policy, {"taste": np.array([[0, 0, 1.0], [0.25, 0.25, 0.5]])})
    assert np.isnan(found[0])
    assert found[1] == pytest.approx(0.5)  # of what applies, half is 1


def test_order_is_compared_within_queries() -> None:
    # Query a: grades 1 2 3, clicks .1 .2 .3: both correlations 1. Query b: 1 2 3 against .2 .1 .3: rho = 1 - 6*2/24
    # = 0.5, tau = (2 - 1)/3. Query c says the same of both, d has one pair: left out. Means 0.75 and 2/3.
    grades = vector(1, 2, 3, 1, 2, 3, 1, 1, 2, np.nan)
    clicks = vector(0.1, 0.2, 0.3, 0.2, 0.1, 0.3, 0.5, 0.6, 0.1, 0.9)
    queries = list("aaabbbccda")
    found = rank_correlation(grades, clicks, queries, resamples=200)
    assert found.spearman.value == pytest.approx(0.75)
    assert found.kendall.value == pytest.approx(2 / 3)
    assert (found.queries, found.left_out) == (2, 2)
    # Resamples are aa (1), ab (0.75), bb (0.5).
    assert (found.spearman.low, found.spearman.high) == (pytest.approx(0.5), pytest.approx(1.0))
    assert found.kendall.value == pytest.approx((1 + kendalltau([1, 2, 3], [0.2, 0.1, 0.3]).statistic) / 2)


def test_ties_are_ranked_in_the_middle() -> None:
    grades, clicks = vector(1, 1, 2, 3), vector(0.2, 0.4, 0.1, 0.5)
    found = rank_correlation(grades, clicks, ["a"] * 4, resamples=0)
    assert found.spearman.value == pytest.approx(spearmanr(grades, clicks).statistic)


def test_quarters_of_two_orders() -> None:
    # Eight pairs: standings are 1/16, 3/16, ..., 15/16; the top quarter are the last two, the bottom the first two.
    up = np.arange(8.0)
    assert standing(up).tolist() == [(2 * i + 1) / 16 for i in range(8)]
    down = up[::-1]
    assert np.flatnonzero(opposed(standing(up), standing(down))).tolist() == [6, 7]
    assert np.flatnonzero(opposed(standing(down), standing(up))).tolist() == [0, 1]
    assert not opposed(standing(up), standing(up)).any()
    same = standing(np.full(8, 3.0))  # all at one half: in no quarter
    assert not opposed(same, standing(up)).any()
    assert np.isnan(standing(vector(np.nan, 1))).tolist() == [True, False]


def test_where_conflicts_gather() -> None:
    # 20 pairs, 4 conflicts; all of them among the 5 of country NL. By hand: p = C(5,4) / C(20,4) = 5 / 4845.
    metas = [{"country": "NL" if i < 5 else "DE", "kind": "tea", "id": str(i)} for i in range(20)]
    conflicts = np.arange(20) < 4
    found = over_represented(conflicts, metas)
    assert [(one.key, one.value, one.pairs, one.conflicts) for one in found] == [
        ("country", "NL", 5, 4), ("country", "DE", 15, 0),
    ]  # fmt: skip
    dutch, german = found
    assert dutch.p == pytest.approx(5 / 4845)
    assert dutch.p == pytest.approx(fisher_exact([[4, 1], [0, 15]], alternative="greater").pvalue)
    assert dutch.p_holm == pytest.approx(2 * 5 / 4845)  # two values were tested; 'kind' and ids were not
    assert dutch.ratio is None  # no conflict anywhere else
    assert (german.ratio, german.p, german.p_holm) == (0.0, 1.0, 1.0)
    assert over_represented(conflicts, [{}] * 20) == []
    assert all(one.p == 1 for one in over_represented(np.zeros(20, np.bool_), metas))


def test_a_ratio_of_shares() -> None:
    # 3 of 6 against 1 of 10: five times the share.
    metas = [{"k": "a" if i < 6 else "b"} for i in range(16)]
    conflicts = np.isin(np.arange(16), [0, 1, 2, 9])
    first = over_represented(conflicts, metas)[0]
    assert (first.value, first.ratio) == ("a", pytest.approx(5.0))


def test_the_report_of_a_policy_and_a_click_teacher() -> None:
    # One query, eight teas. Taste rises from 0 to 2 over them, clicks fall: the orders are opposite.
    pairs = [pair("smoky", f"tea {i}", land="NL" if i < 4 else "DE") for i in range(8)]
    sure = [(1.0, 0.0, 0.0)] * 2 + [(0.0, 1.0, 0.0)] * 4 + [(0.0, 0.0, 1.0)] * 2
    policy = version(1)
    grader = [Answer({"taste": vector, "strength": (0.0, 1.0, 0.0)}) for vector in sure]
    clicker = [Answer({}, (8 - i) / 10) for i in range(8)]
    found = compare(policy, pairs, [("grader", grader), ("clicker", clicker)], recipe="mix", resamples=100)
    assert (found.heads, found.notes, found.pairs, found.queries) == ((), (), 8, 1)
    (order,) = found.orders
    assert (order.policy, order.click) == ("grader", "clicker")
    # Overall grades 0 0 1 1 1 1 2 2 against falling clicks: ranks 1.5 1.5 4.5 x4 7.5 7.5 against 8..1.
    expected = spearmanr([0, 0, 1, 1, 1, 1, 2, 2], [8, 7, 6, 5, 4, 3, 2, 1]).statistic
    assert order.correlation.spearman.value == pytest.approx(expected)
    liked, clicked = order.opposed
    # Standings of the two best grades: (7.5 - 0.5) / 8 = 0.875, above 3/4; their clicks are the two lowest.
    assert (liked.high, [one.pair for one in liked.most]) == ("policy", [pairs[7], pairs[6]])
    assert (clicked.high, [one.pair for one in clicked.most]) == ("click", [pairs[0], pairs[1]])
    best = liked.most[0]
    assert (best.first, best.second, best.distance) == (
        2.0,
        pytest.approx(0.1),
        pytest.approx(0.875 - 1 / 16),
    )
    assert liked.slices == ()  # four pairs a land are too few to be tested


def test_the_report_of_two_teachers_of_one_head() -> None:
    pairs = [pair("smoky", "a"), pair("green", "b")]
    policy = version(1)
    one = [Answer({"taste": (1.0, 0.0, 0.0)}, 0.5), Answer({"taste": (0.0, 0.5, 0.5)}, 0.5)]
    two = [Answer({"taste": (0.0, 0.0, 1.0)}, 0.5), Answer({"taste": (0.0, 0.5, 0.5)}, 0.5)]
    found = compare(policy, pairs, [("one", one), ("two", two)], recipe="mix", top=1, resamples=100)
    taste, click = found.heads
    assert (taste.head, taste.first, taste.second, taste.divergence.value) == ("taste", "one", "two", 0.5)
    assert [(each.pair, each.first, each.second, each.distance) for each in taste.most] == [
        (pairs[0], 0.0, 2.0, 1.0)
    ]
    assert (click.head, click.divergence.value) == (CLICK, 0.0)
    # Neither grades strength, so neither has an overall grade to be set against clicks.
    assert found.orders == ()
    assert [note.partition(",")[0] for note in found.notes] == [
        "one does not grade strength", "two does not grade strength",
    ]  # fmt: skip


def test_one_head_alone_conflicts_with_nothing() -> None:
    only = [("one", [Answer({"taste": (1.0, 0.0, 0.0), "strength": (1.0, 0.0, 0.0)})])]
    with pytest.raises(BadInput, match="The teachers of mix have no two heads to compare"):
        compare(version(1), [pair("a", "b")], only, recipe="mix")
    with pytest.raises(BadInput, match="mix learns from no pairs"):
        compare(version(1), [], only, recipe="mix")


@pytest.fixture
def taught(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Nine dev pairs, a simulated log, and the checkpoints ``policy-tiny`` and ``click-tiny``."""
    monkeypatch.setattr(LocalExecutor, "submit", lambda *_: "")
    pairs = [pair(wish, tea, land="NL") for wish in TEAS for tea in TEAS]
    golden_set(workspace, [(p, {"taste": i % 3, "strength": 1}) for i, p in enumerate(pairs)])
    log = Simulation(sessions=60, examination=(1.0, 0.5))
    simulate_clicks(workspace, "log", log, author="Ida", golden="tea", dimension="taste")
    backbone = tiny(tmp_path / "model")
    for name, changes in (
        ("policy-tiny", {"data": {"golden": "tea"}}),
        ("click-tiny", {"data": {"golden": "tea", "clicks": "log"}, "heads": ["click"]}),
    ):
        wanted = recipe(backbone, recipe=name, **changes)  # type: ignore[arg-type]
        started = training_runs.start_training(workspace, wanted, author="Ida")
        folder = folder_of(workspace, started.job_id)
        made = training_job.run(folder.spec(), folder, FolderReporter(folder))["checkpoint"]
        workspace.store.save_checkpoint(
            StoredCheckpoint(id=made["name"], name=made["recipe"], created_at=datetime.now(UTC),
                             folder=made["folder"], job_id=started.job_id, record=made["record"])
        )  # fmt: skip
    return workspace


def test_answers_are_kept_before_they_are_compared(taught: Workspace, tmp_path: Path) -> None:
    student = recipe(
        tmp_path / "model", recipe="mix", heads=["policy", "click"], data={"golden": "tea"},
        teachers=[{"checkpoint": "policy-tiny"}, {"checkpoint": "click-tiny"}],
    )  # fmt: skip
    with pytest.raises(
        NotFound, match=r"What policy-tiny-\w+ and click-tiny-\w+ would say of the 9 pairs of mix"
    ):
        conflicts(taught, student)
    heard = Heard()
    asked = ask_teachers(taught, student, heard)
    assert list(asked.values()) == [9, 9]
    assert sum("was asked about 9 pairs" in line for line in heard.lines) == 2
    found = conflicts(taught, student, top=3)
    assert (found.recipe, found.policy, found.pairs, found.queries) == ("mix", "tea-match v1", 9, 3)
    (order,) = found.orders
    assert [order.policy, order.click] == list(asked)
    assert order.pairs == 9
    again = Heard()
    ask_teachers(taught, student, again)
    assert sum("had been asked about these 9 pairs before" in line for line in again.lines) == 2


def test_a_recipe_without_teachers(taught: Workspace, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="tea-mini has no teachers"):
        conflicts(taught, recipe(tmp_path, data={"golden": "tea"}))


def test_answers_that_a_training_asked_for_are_found(taught: Workspace, tmp_path: Path) -> None:
    student = recipe(
        tmp_path / "model", recipe="mix", heads=["policy", "click"], data={"golden": "tea"},
        teachers=[{"checkpoint": "policy-tiny"}, {"checkpoint": "click-tiny"}],
    )  # fmt: skip
    started = training_runs.start_training(taught, student, author="Ida")
    folder = folder_of(taught, started.job_id)
    training_job.run(folder.spec(), folder, FolderReporter(folder))
    assert conflicts(taught, student).pairs == 9
