"""Comparison by slice, against several, with what a set can tell and what runs took; figures worked out by hand."""

from __future__ import annotations

import pytest
from workspace_samples import golden_set, pair, recorded_run

from workbench import comparing
from workbench.errors import NotFound
from workbench.run import Run, RunTotals
from workbench.workspace import Workspace

# Four German pairs and four French ones, two queries a language, taste 0-2.
PAIRS = [pair(f"wish {i // 2}", f"tea {i}", language="de" if i < 4 else "fr") for i in range(8)]
TASTE = [0, 1, 2, 2, 0, 1, 2, 1]


def graded(*taste: int) -> list:
    return [(p, {"taste": t, "strength": 1}) for p, t in zip(PAIRS, taste, strict=True)]


@pytest.fixture
def tea(workspace: Workspace) -> Workspace:
    """Eight labelled pairs on dev; run a is right on German and wrong on every French pair, b is always right."""
    golden_set(workspace, graded(*TASTE))
    return workspace


@pytest.fixture
def runs(tea: Workspace) -> tuple[Run, Run]:
    wrong = [1, 2, 1, 0]
    return recorded_run(tea, "a", graded(*TASTE[:4], *wrong)), recorded_run(tea, "b", graded(*TASTE))


def test_slices_split_the_flips_and_correct_over_all_of_them(tea: Workspace, runs: tuple[Run, Run]) -> None:
    found = comparing.compare_runs(tea, *runs)
    assert comparing.slice_fields(tea, "tea") == {"language": {"de": 4, "fr": 4}}
    german, french = comparing.slices(tea, found, "language")
    assert (german.value, german.pairs, german.queries) == ("de", 4, 2)
    assert german.comparisons["taste"].counts["fixed"] == 0
    assert french.comparisons["taste"].counts["fixed"] == 4
    # Four fixed, none broken: p = 2 · (1/2)^4 = 0.125, times six tests (two slices x taste, strength, overall).
    assert french.comparisons["taste"].p_mcnemar == pytest.approx(0.125)
    assert french.comparisons["taste"].p_holm == pytest.approx(0.75)
    with pytest.raises(NotFound, match="no field 'season'"):
        comparing.slices(tea, found, "season")


def test_one_slice_alone_is_the_same_as_its_row(tea: Workspace, runs: tuple[Run, Run]) -> None:
    french = comparing.slices(tea, comparing.compare_runs(tea, *runs), "language")[1]
    alone = comparing.compare_runs(tea, *runs, among={"language": "fr"})
    assert alone.truth.pair_ids == tuple(p.id for p in PAIRS[4:])
    assert alone.comparisons["taste"].delta == french.comparisons["taste"].delta
    assert alone.agreements_b["taste"].n == 4
    with pytest.raises(NotFound, match="No pair has language it"):
        comparing.compare_runs(tea, *runs, among={"language": "it"})


def test_against_several_corrects_over_runs_and_dimensions(tea: Workspace, runs: tuple[Run, Run]) -> None:
    a, b = runs
    again = recorded_run(tea, "c", graded(*TASTE))
    alone = comparing.compare_runs(tea, a, b)
    # The overall grade flips with taste (0.125); strength never does (p = 1): Holm over two tests doubles, over four
    # equal ones it takes four times.
    assert alone.comparisons["taste"].p_mcnemar == pytest.approx(0.125)
    tests = [c.p_mcnemar for c in alone.comparisons.values()]
    small = sum(p == pytest.approx(0.125) for p in tests)
    first, second = comparing.against_several(tea, a, [b, again])
    assert first.comparisons["taste"].p_holm == second.comparisons["taste"].p_holm
    assert first.comparisons["taste"].p_holm == pytest.approx(min(1.0, 2 * len(tests) * 0.125))
    assert small >= 1


def test_what_a_set_can_tell(tea: Workspace, runs: tuple[Run, Run]) -> None:
    found = comparing.power_of(comparing.compare_runs(tea, *runs), "taste")
    assert (found.detects, found.more_queries, found.more_pairs) == (None, None, None)
    assert found.reason == "4 queries graded by all; the error needs at least 10."


def test_power_asks_for_more_pairs_by_the_square_of_the_ratio(tea: Workspace) -> None:
    pairs = [pair(f"wish {i}", f"tea {i}") for i in range(40)]
    human = [i % 3 for i in range(40)]
    golden_set(tea, [(p, {"taste": t}) for p, t in zip(pairs, human, strict=True)])
    a = recorded_run(
        tea, "p", [(p, {"taste": (t + (i % 4 == 0)) % 3}) for i, (p, t) in enumerate(zip(pairs, human, strict=True))],
        golden_version=2,
    )  # fmt: skip
    b = recorded_run(
        tea, "q", [(p, {"taste": (t + (i % 5 == 0)) % 3}) for i, (p, t) in enumerate(zip(pairs, human, strict=True))],
        golden_version=2,
    )  # fmt: skip
    compared = comparing.compare_runs(tea, a, b, among=None)
    found = comparing.power_of(compared, "taste", target=0.02)
    assert found.detects is not None
    assert found.more_queries is not None
    # To see a difference k times smaller takes k² as many queries; the 40 there are, are taken off.
    wanted = 40 * (found.detects / 0.02) ** 2
    assert found.more_queries == pytest.approx(wanted - 40, abs=1)
    assert found.more_pairs == found.more_queries  # one pair a query
    assert comparing.power_of(compared, "taste", target=10.0).more_pairs == 0


@pytest.mark.parametrize(
    ("totals", "kind", "expected"),
    [
        # 200 pairs, half of them from the cache: 100 were asked, so everything counts ten times for 1,000.
        (
            RunTotals(
                pairs=200, cache_hits=100, calls=100, cost_usd=0.5, seconds=20, input_tokens=1000, output_tokens=50
            ),
            "llm",
            (5.0, 200.0, 10_000.0, 500.0),
        ),
        (RunTotals(pairs=10, cache_hits=10, cost_usd=0.0, seconds=1), "llm", (None, None, None, None)),
        (RunTotals(pairs=10, calls=10, seconds=1), "llm", (None, 100.0, 0.0, 0.0)),
        (RunTotals(pairs=10, seconds=2), "baseline", (None, 200.0, None, None)),
        (RunTotals(pairs=10), "recorded", (None, None, None, None)),
    ],
)  # fmt: skip
def test_effort_counts_what_was_asked(tea: Workspace, totals: RunTotals, kind: str, expected: tuple) -> None:
    run = recorded_run(tea, "e", graded(*TASTE))
    judge = run.judge.model_copy(update={"kind": kind})
    found = comparing.effort(run.model_copy(update={"totals": totals, "judge": judge}))
    assert (found.usd, found.seconds, found.input_tokens, found.output_tokens) == expected


def test_bias_by_level(tea: Workspace) -> None:
    run = recorded_run(tea, "l", graded(1, 1, 2, 1, 2, 1, 2, 1))
    compared = comparing.compare_runs(tea, run, run)
    bias = compared.agreements_a["taste"].bias_at
    # Human 0 twice, judged 1 and 2: +1.5. Human 1 three times, judged 1, 1, 1: 0. Human 2 three times: 2, 1, 2: -1/3.
    assert [bias[level].value for level in (0, 1, 2)] == pytest.approx([1.5, 0.0, -1 / 3])
