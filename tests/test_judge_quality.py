"""Calibration and self-agreement of runs in a workspace; figures worked out by hand or by the functions below."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from workspace_samples import golden_set, label, pair, recorded_run

from workbench.calibration import Temperature
from workbench.evaluation import repeats_of
from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.judge_quality import answers_drawn, calibration_of, self_agreement
from workbench.level_probabilities import from_repeats
from workbench.policy import OVERALL
from workbench.run import JudgeIdentity, Judgement, Run, Verdict
from workbench.workspace import Workspace

# Taste 0-2, strength 0-1 or N/A. 40 dev pairs of 20 queries, then 4 holdout pairs of 2 others.
PAIRS = [pair(f"wish {i // 2}", f"tea {i}") for i in range(44)]
DEV = PAIRS[:40]
TRUTH = [2 if i % 4 else 0 for i in range(44)]
SURE, UNSURE = (0.02, 0.04, 0.94), (0.2, 0.3, 0.5)


@pytest.fixture
def tea(workspace: Workspace) -> Workspace:
    """Taste is labelled on every pair, strength on none."""
    golden_set(
        workspace,
        [(p, {"taste": grade}) for p, grade in zip(PAIRS, TRUTH, strict=True)],
        holdout=PAIRS[40:],
    )
    return workspace


def graded(taste: Any) -> list[Any]:
    """Grades for :func:`recorded_run`: one for all dev pairs, or one a pair."""
    tastes = taste if isinstance(taste, list) else [taste] * len(DEV)
    return [(p, {"taste": grade, "strength": 1}) for p, grade in zip(PAIRS, tastes, strict=False)]


def run_with_probabilities(tea: Workspace, rows: list[tuple[float, ...] | None], **more: Any) -> Run:
    """A finished run that grades taste 2, with these probabilities, and strength 1 without."""
    run = recorded_run(tea, "p", [(p, {"taste": 2}) for p in PAIRS], **more)
    verdicts = [
        Verdict(
            pair_id=p.id,
            judgements=(
                Judgement(dimension="taste", grade=2, probabilities=row),
                Judgement(dimension="strength", grade=1),
            ),
        )
        for p, row in zip(PAIRS, rows, strict=False)
    ]
    tea.store.add_verdicts(run.id, verdicts)
    return run


# Calibration


def test_calibration_before_and_after(tea: Workspace) -> None:
    run = run_with_probabilities(tea, [SURE if i % 2 else UNSURE for i in range(44)])
    found = calibration_of(tea, run)
    taste = found["taste"]
    assert (taste.n, taste.n_without, taste.reason) == (40, 0, "")
    # 40 pairs make two bins. Sure ones (0.94) are always right, unsure ones (0.5) half of the time.
    low, high = taste.before.reliability.bins
    assert (low.n, low.queries, low.confidence, low.frequency.value) == (20, 20, pytest.approx(0.5), 0.5)
    assert (high.n, high.confidence, high.frequency.value) == (20, pytest.approx(0.94), 1.0)
    assert taste.before.reliability.ece.value == pytest.approx(0.03)
    # -(ln 0.94 * 20 + ln 0.5 * 10 + ln 0.2 * 10) / 40
    assert taste.before.log_loss.value == pytest.approx(
        -(np.log(0.94) * 20 + np.log(0.5) * 10 + np.log(0.2) * 10) / 40
    )
    scaled = taste.by["temperature"]
    assert isinstance(scaled.map, Temperature)
    assert scaled.after is not None
    assert scaled.after.n == 40
    assert scaled.change is not None
    assert scaled.change.log_loss.value == pytest.approx(
        scaled.after.log_loss.value - taste.before.log_loss.value  # type: ignore[operator]
    )
    assert taste.by["isotonic"].after is None
    assert "needs 50 labelled pairs with probabilities, and there are 40" in taste.by["isotonic"].reason


def test_a_dimension_without_labels_says_so(tea: Workspace) -> None:
    run = run_with_probabilities(tea, [SURE] * 44)
    strength = calibration_of(tea, run)["strength"]
    assert (strength.n, strength.reason) == (0, "No pair has both a label and a grade.")


def test_a_judge_without_probabilities_says_so(tea: Workspace) -> None:
    taste = calibration_of(tea, recorded_run(tea, "bare", graded(2)))["taste"]
    assert (taste.n, taste.n_without) == (0, 40)
    assert taste.reason.startswith("The judge gives no probabilities.")
    assert taste.by["temperature"].reason == "The judge gives no probabilities."


def test_what_is_no_distribution_is_counted_apart(tea: Workspace) -> None:
    taste = calibration_of(tea, run_with_probabilities(tea, [(0.5, 0.5), None, *[SURE] * 42]))["taste"]
    assert (taste.n, taste.n_without) == (38, 2)


def test_the_holdout_is_measured_with_the_map_of_dev(tea: Workspace) -> None:
    run = run_with_probabilities(tea, [SURE if i % 2 else UNSURE for i in range(44)])
    dev, holdout = (calibration_of(tea, run, split)["taste"] for split in ("dev", "holdout"))  # type: ignore[arg-type]
    assert holdout.n == 4
    assert holdout.by["temperature"].map == dev.by["temperature"].map
    before = dev.by["temperature"].map
    # Other labels of the holdout change no map.
    tea.store.add_labels("tea", [label(p, "taste", 1, minute=9) for p in PAIRS[40:]])
    after = calibration_of(tea, run, "holdout")["taste"]
    assert after.by["temperature"].map == before
    assert after.before.log_loss.value != holdout.before.log_loss.value


def test_reports_are_kept_until_a_label_is_added(tea: Workspace) -> None:
    run = run_with_probabilities(tea, [SURE] * 44)
    first = calibration_of(tea, run)
    assert calibration_of(tea, run) is first
    tea.store.add_labels("tea", [label(DEV[0], "taste", 1, minute=5)])
    again = calibration_of(tea, run)
    # The label of one of the 40 went from 0 (0.02) to 1 (0.04).
    assert again["taste"].before.log_loss.value == pytest.approx(
        first["taste"].before.log_loss.value + (np.log(0.02) - np.log(0.04)) / 40  # type: ignore[operator]
    )


# Self-agreement


def test_two_runs_of_one_judge(tea: Workspace) -> None:
    one = recorded_run(tea, "one", graded([0, 0, 1, 1, 2, 2, *[2] * 34]), params={"repeat": 0})
    recorded_run(tea, "two", graded([0, 1, 1, 1, 2, 0, *[NOT_GRADED] * 34]), params={"repeat": 1})
    recorded_run(tea, "other", graded(1), judge="somebody")
    found = self_agreement(tea, one)["taste"]
    assert (found.n, found.repeats, found.source) == (6, 2, "runs")
    assert found.equal.value == pytest.approx(4 / 6)
    # Symmetric matrix of 6 pairs: 00 1, 11 2, 22 1, 01 and 10 1/2 each, 02 and 20 1/2 each; margins 2, 2.5, 1.5.
    # Observed squared distance (2 * 0.5 * 1 + 2 * 0.5 * 4) / 6 = 5/6. By chance, of margins m:
    # 2 * (m0 m1 * 1 + m1 m2 * 1 + m0 m2 * 4) / 36 = 2 * (5 + 3.75 + 12) / 36 = 41.5 / 36. Kappa = 1 - 30 / 41.5.
    assert found.kappa.value == pytest.approx(1 - 30 / 41.5)
    assert found.kappa.low is not None
    assert self_agreement(tea, one)[OVERALL].n == 6


def test_not_applicable_is_an_answer(tea: Workspace) -> None:
    na = NOT_APPLICABLE
    for name, strengths in (("one", [1, na, na, 0]), ("two", [1, na, 0, 0])):
        given = [(p, {"taste": 1, "strength": s}) for p, s in zip(DEV, strengths, strict=False)]
        run = recorded_run(tea, name, given, params={"repeat": int(name == "two")})
    found = self_agreement(tea, run)["strength"]
    assert (found.n, found.equal.value) == (4, pytest.approx(0.75))
    assert found.kappa.value == pytest.approx(1)  # of the two pairs that both times had a level


def test_what_came_from_the_cache_is_no_repeat(tea: Workspace) -> None:
    one = recorded_run(tea, "one", graded(2), params={"repeat": 0})
    recorded_run(tea, "two", graded(2), params={"repeat": 1}, cache_hits=40)
    recorded_run(tea, "three", graded(2), params={"repeat": 2}, status="failed")
    assert repeats_of(tea, one) == [one]
    found = self_agreement(tea, one)["taste"]
    assert (found.n, found.equal.value, found.kappa.value) == (0, None, None)
    assert found.reason.startswith("This judge has one answer to each question.")


def repeated(tea: Workspace, answers: list[list[int]], tokens: bool = False) -> Run:
    """A run of a judge that drew three answers about taste."""
    rows = [from_repeats(each, (0, 1, 2)).spread.probabilities for each in answers]
    run = run_with_probabilities(tea, [SURE] * 44 if tokens else rows)
    run = run.model_copy(update={"judge": JudgeIdentity(kind="repeats", name="m", params={"repeats": 3})})
    tea.store.save_run(run)
    return run


def test_the_answers_of_a_judge_that_repeats(tea: Workspace) -> None:
    run = repeated(tea, [[2, 2, 2], [0, 0, 2], [1, 1, NOT_GRADED], *[[0, 0, 0]] * 37])
    found = self_agreement(tea, run)["taste"]
    assert (found.n, found.repeats, found.source) == (40, 3, "answers")
    # Of two answers drawn about the second pair, a third are equal; all others agree: 39 1/3 of 40.
    assert found.equal.value == pytest.approx((39 + 1 / 3) / 40)
    # Observed squared distance: 2/3 * 4 / 40. Margins: level 0 has 37 + 2/3, level 1 has 1, level 2 has 1 + 1/3.
    m0, m1, m2 = 37 + 2 / 3, 1.0, 1 + 1 / 3
    chance = 2 * (m0 * m1 + m1 * m2 + 4 * m0 * m2) / 40**2
    assert found.kappa.value == pytest.approx(1 - (8 / 3 / 40) / chance)
    assert "before the overall grade is formed" in self_agreement(tea, run)[OVERALL].reason


def test_answers_are_not_guessed_from_tokens(tea: Workspace) -> None:
    found = self_agreement(tea, repeated(tea, [[2, 2, 2]], tokens=True))["taste"]
    assert (found.n, found.source) == (0, "")
    assert found.reason == "The probabilities came from tokens, which do not say what each answer was."


@pytest.mark.parametrize(
    ("answers", "repeats"),
    [
        ([2, 2, 2], 3),
        ([0, 1, 2], 3),
        ([1], 2),
        ([0, 2], 3),
        ([0, 0, 1, 1, 1, 2, 2], 7),
        ([1, 1, 2], 6),
        ([], 3),
    ],
)
def test_answers_are_found_again(answers: list[int], repeats: int) -> None:
    stated = from_repeats(answers, (0, 1, 2)).spread.probabilities or (np.nan,) * 3
    counts = [answers.count(level) for level in (0, 1, 2)]
    assert answers_drawn(np.array([stated]), repeats).tolist() == [counts]


def test_too_few_answers_are_not_guessed() -> None:
    # One answer gives (0.2, 0.6, 0.2), and so do six that are 0, 1, 1, 1, 1, 2; of five, no counts do.
    stated = np.array([[0.2, 0.6, 0.2]])
    assert answers_drawn(stated, 5).tolist() == [[0, 0, 0]]
