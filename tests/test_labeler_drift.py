"""Labelers over time: blocks and trend against the rest, and agreement with their own earlier labels."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from workbench.golden import LABEL_COLUMNS, NOT_GRADED, UNRATEABLE, typed_labels
from workbench.labeler_drift import LabelerDrift, SelfAgreement, labeler_drift, self_agreement

START = datetime(2026, 3, 1, 9, tzinfo=UTC)
Row = tuple[int, str, int, float]  # pair, labeler, grade, minutes


def table(rows: Iterable[Row], source: str = "human") -> pd.DataFrame:
    found = [
        (f"p{number}", "taste", grade, who, START + timedelta(minutes=minutes), "", source)
        for number, who, grade, minutes in rows
    ]
    return typed_labels(pd.DataFrame(found, columns=LABEL_COLUMNS))


def queries(count: int, each: int = 1) -> dict[str, str]:
    return {f"p{i}": f"q{i // each}" for i in range(count)}


def drifting(count: int = 40) -> list[Row]:
    """Bob and Cas say 0 and 1 in turn; Ann says the same in the first half, and one more in the second."""
    rows = []
    for i in range(count):
        rows += [(i, "bob", i % 2, i), (i, "cas", i % 2, i)]
        rows.append((i, "ann", i % 2 + (i >= count // 2), i))
    return rows


def drift(rows: Iterable[Row], count: int = 40, each: int = 1, **more: int) -> dict[str, LabelerDrift]:
    given = {"resamples": 200, "permutations": 500} | more
    found = labeler_drift(table(rows), queries(count, each), range(3), **given)
    return {one.labeler: one for one in found}


def test_blocks_show_when_a_labeler_leaves_the_rest() -> None:
    ann = drift(drifting())["ann"]
    assert (ann.n, ann.reason) == (40, "")
    early, late = ann.blocks
    assert (early.n, late.n) == (20, 20)
    assert (early.since, early.until) == (START, START + timedelta(minutes=19))
    assert late.since == START + timedelta(minutes=20)
    assert (early.kappa.value, early.bias.value) == (1, 0)
    # Late: the rest ten 0 and ten 1, Ann one more each: observed squares 1; expected over (0,1) (0,2) (1,1) (1,2):
    # (1 + 4 + 0 + 1) / 4 = 1.5; kappa = 1 - 1 / 1.5 = 1/3.
    assert late.kappa.value == pytest.approx(1 / 3)
    assert (late.bias.value, late.bias.low, late.bias.high) == (1, 1, 1)


def test_the_trend_is_spearman_of_distance_and_time_with_p_by_permutation() -> None:
    found = drift(drifting())
    trend = found["ann"].distance
    # Mid-ranks of the distances are 10.5 and 30.5, those of time 1 to 40. Centred: 10 · (610 - 210) = 4000 over
    # √(40 · 10² · (40³ - 40) / 12) = √(4000 · 5330); rho = √(4000 / 5330).
    assert trend.rho == pytest.approx((4000 / 5330) ** 0.5)
    assert trend.p == pytest.approx(1 / 501)  # none of 500 orders is as far
    # Ann is never below the rest, so her shift is her distance, and Holm has two equal p-values. The rest of Bob is the
    # lower median of Ann and Cas: always Cas, so there is nothing to test.
    assert (found["ann"].shift.rho, found["ann"].shift.p) == (trend.rho, trend.p)
    assert trend.p_holm == pytest.approx(2 / 501)
    assert found["bob"].distance.p is None
    assert "the same on every query" in found["bob"].distance.reason


def test_holm_corrects_over_labelers_and_both_trends() -> None:
    # Dan does what Ann does, Bob, Cas and Eve hold the median.
    rows = drifting()
    rows += [(i, "dan", grade, at) for i, who, grade, at in rows if who == "ann"]
    rows += [(i, "eve", i % 2, 0.0) for i in range(40)]
    found = drift(rows)
    # Four p-values of 1 / 501: the distance and the shift of Ann and of Dan.
    assert found["ann"].distance.p == pytest.approx(1 / 501)
    assert found["ann"].distance.p_holm == pytest.approx(4 / 501)
    assert found["dan"].shift.p_holm == pytest.approx(4 / 501)


def test_getting_nearer_is_a_trend_below_zero() -> None:
    rows = [(i, who, grade, -at) for i, who, grade, at in drifting()]
    trend = drift(rows)["ann"].distance
    assert trend.rho == pytest.approx(-((4000 / 5330) ** 0.5))


def test_queries_are_the_units_of_the_trend() -> None:
    # Eight queries of five pairs: four at distance 0, then four at 1. Mid-ranks 2.5 and 6.5; time 1 to 8:
    # 2 · (26 - 10) = 32 over √(8 · 4 · 42) = √1344.
    trend = drift(drifting(), each=5)["ann"].distance
    assert trend.queries == 8
    assert trend.rho == pytest.approx(32 / 1344**0.5)
    # 2 · 4! · 4! of 8! orders are as far: 0.029, so about 14 of 500.
    assert trend.p == pytest.approx(0.029, abs=0.025)
    assert trend.p > 1 / 501
    few = drift(drifting(), each=8)["ann"].distance
    assert (few.rho, few.p, few.reason) == (None, None, "5 queries; a trend needs 8.")


def test_chance_is_rarely_a_trend() -> None:
    # Ann is off by one on every third query, at a distance that has nothing to do with time.
    rows = [
        (i, who, i % 2 + (i % 3 == 0) if who == "ann" else i % 2, i)
        for i in range(60)
        for who in ("ann", "bob", "cas")
    ]
    assert (drift(rows, count=60)["ann"].distance.p or 0) > 0.3


def test_few_labels_have_no_blocks_but_a_reason() -> None:
    found = drift([row for row in drifting() if row[0] < 39])["ann"]
    assert found.blocks == ()
    assert found.reason == "39 labels on pairs that others graded too; two blocks need 40."
    alone = drift([row for row in drifting() if row[1] == "ann"])["ann"]
    assert (alone.n, alone.blocks, alone.reason) == (0, (), "No other labeler graded their pairs.")
    assert alone.distance.reason == alone.reason
    assert labeler_drift(table([]), {}, range(3)) == ()


def test_labels_of_one_moment_are_not_cut_apart() -> None:
    found = drift([(i, who, grade, 0.0) for i, who, grade, _ in drifting()])["ann"]
    assert found.blocks == ()
    assert "carry one time" in found.reason
    assert found.distance.reason == found.shift.reason == found.reason


def test_an_import_with_one_later_correction_has_no_trend() -> None:
    rows = [(i, who, grade, float(i == 39)) for i, who, grade, _ in drifting()]
    found = drift(rows)["ann"]
    assert (found.blocks, found.distance.p) == ((), None)


def test_a_labeler_who_turns_from_low_to_high_shifts_at_one_distance() -> None:
    # The rest says 1; Ann 0 on the first twenty and 2 on the next: always one level away, below and then above.
    rows = [(i, who, 1, float(i)) for i in range(40) for who in ("bob", "cas")]
    rows += [(i, "ann", 0 if i < 20 else 2, float(i)) for i in range(40)]
    found = drift(rows)["ann"]
    assert found.distance.p is None
    assert found.shift.rho == pytest.approx((4000 / 5330) ** 0.5)  # two halves, as above
    assert [block.bias.value for block in found.blocks] == [-1, 1]


def test_the_newest_label_counts_and_what_is_no_level_does_not() -> None:
    rows = drifting()
    rows += [(i, "ann", i % 2, 100.0 + i) for i in range(20, 30)]  # Ann came back to ten pairs
    rows += [(0, "ann", UNRATEABLE, 200.0), (1, "ann", NOT_GRADED, 200.0), (2, "ann", 7, 200.0)]
    found = drift(rows, least=10)["ann"]
    # In the order of time: pairs 3 to 19 (as the rest), 30 to 39 (one more), 20 to 29 (now as the rest). The last of
    # three blocks begins at place 25 of 37 and so has pairs 38 and 39 before the ten.
    assert found.n == 37
    assert (found.blocks[-1].n, found.blocks[-1].bias.value) == (12, pytest.approx(2 / 12))


def test_adjudicated_labels_and_strange_pairs_are_left_out() -> None:
    both = pd.concat(
        [table(drifting()), table([(i, "judge", 2, 0.0) for i in range(40)], source="adjudicated")]
    )
    found = labeler_drift(both, queries(40), range(3), resamples=0, permutations=1)
    assert [one.labeler for one in found] == ["ann", "bob", "cas"]
    half = labeler_drift(table(drifting()), queries(20), range(3), resamples=0, permutations=1)
    assert [one.n for one in half] == [20, 20, 20]


# Self-agreement


def alone(rows: Iterable[Row], count: int = 40) -> SelfAgreement:
    (found,) = self_agreement(table(rows), queries(count), range(3), resamples=200)
    return found


def test_self_agreement_by_hand() -> None:
    # First 0 0 1 1, a day later 0 0 1 0: exact 3/4. Observed squares 1/4; first half 0, half 1; later 3/4 and 1/4:
    # expected 1/2 · 1/4 + 1/2 · 3/4 = 1/2; kappa 1 - (1/4) / (1/2) = 1/2.
    rows = [(i, "ann", grade, i) for i, grade in enumerate((0, 0, 1, 1))]
    rows += [(i, "ann", grade, 1440 + i) for i, grade in enumerate((0, 0, 1, 0))]
    found = alone(rows)
    assert (found.labeler, found.n, found.days) == ("ann", 4, 1)
    assert found.exact.value == 0.75
    assert found.kappa.value == pytest.approx(0.5)
    assert found.exact.low is not None


def test_a_quick_relabel_is_a_correction() -> None:
    rows = [(0, "ann", 0, 0), (0, "ann", 1, 10), (1, "ann", 0, 0), (1, "ann", 1, 10.1)]
    assert alone(rows).n == 1


def test_a_correction_changes_the_look_that_it_corrects() -> None:
    # 0, at once corrected to 1; a day later 2, at once corrected to 1: the looks are 1 and 1.
    found = alone([(0, "ann", 0, 0), (0, "ann", 1, 5), (0, "ann", 2, 1440), (0, "ann", 1, 1445)])
    assert (found.n, found.exact.value) == (1, 1)


def test_withdrawn_labels_are_no_looks() -> None:
    assert alone([(0, "ann", 0, 0), (0, "ann", NOT_GRADED, 1440), (0, "ann", 1, 2880)]).n == 0
    # The second look was taken back and given anew within ten minutes: 0 and 1 are left, not 1 alone.
    found = alone([(0, "ann", 0, 0), (0, "ann", 0, 1440), (0, "ann", NOT_GRADED, 1441), (0, "ann", 1, 1442)])
    assert (found.n, found.exact.value) == (1, 0)


def test_a_pair_counts_once_and_only_with_levels() -> None:
    rows = [(0, "ann", 0, 0), (0, "ann", 1, 1440), (0, "ann", 0, 2880)]
    rows += [(1, "ann", 0, 0), (1, "ann", UNRATEABLE, 1440)]
    found = alone(rows)
    assert (found.n, found.exact.value) == (1, 0)


def test_nobody_looked_twice() -> None:
    found = alone(drifting()[2::3])
    assert (found.n, found.exact.value, found.days) == (0, None, None)
    assert found.exact.reason == "No pair was given a level twice."
    assert self_agreement(table([]), {}, range(3)) == ()
