"""Maps that make probabilities truer: temperature, isotonic curves, folds by query. Expected values by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy.special import softmax

from workbench import calibration
from workbench.calibration import (
    Calibration,
    CrossFitted,
    Curve,
    Isotonic,
    Temperature,
    Unfit,
    cross_fitted,
    fitted,
    rising,
    stacked,
    usable,
)


def drawn(n: int, *, overstated: float = 1.0, levels: int = 5, seed: int = 1) -> tuple[Any, Any]:
    """Labels drawn from true probabilities, and a judge that states those with logits blown up by a factor."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, levels))
    true = softmax(logits, axis=1)
    labels = (true.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return softmax(logits * overstated, axis=1), labels


# Temperature


def test_temperature_by_hand() -> None:
    # By T = 2, square roots: of 0.64 and 0.36 they are 0.8 and 0.6, which sum to 1.4.
    assert Temperature(t=2).apply(np.array([[0.64, 0.36]]))[0] == pytest.approx([0.8 / 1.4, 0.6 / 1.4])
    assert Temperature(t=1).apply(np.array([[0.7, 0.2, 0.1]]))[0] == pytest.approx([0.7, 0.2, 0.1])


def test_a_probability_of_zero_is_raised_to_epsilon() -> None:
    # (1, 0) counts as (1, 1e-4); at T = 2 the ratio is the root of that, 0.01.
    (row,) = Temperature(t=2).apply(np.array([[1.0, 0.0]]))
    assert row[1] / row[0] == pytest.approx(0.01)
    assert row.sum() == pytest.approx(1)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found_again(factor: float) -> None:
    stated, labels = drawn(20_000, overstated=factor)
    found = fitted("temperature", stated, labels)
    # Logits were blown up by the factor, so dividing them by it gives the truth back.
    assert isinstance(found, Temperature)
    assert found.t == pytest.approx(factor, rel=0.05)


def test_a_judge_that_is_always_right_ends_at_the_end_of_the_range() -> None:
    labels = np.arange(30) % 2
    stated = np.where(np.eye(2)[labels] > 0, 0.6, 0.4)
    found = fitted("temperature", stated, labels)
    assert isinstance(found, Temperature)
    assert found.t == pytest.approx(0.1, rel=1e-3)


# Isotonic


def test_adjacent_violators_are_pooled() -> None:
    # Hits by x: 0.1 -> 0, 0.2 -> 1, 0.3 -> 0, 0.4 -> 1. The violators 1, 0 become 1/2 each.
    found = rising(np.array([0.3, 0.1, 0.4, 0.2]), np.array([False, False, True, True]))
    assert found == Curve(x=(0.1, 0.2, 0.3, 0.4), y=(0.0, 0.5, 0.5, 1.0))


def test_equal_x_are_one_point_and_flat_stretches_keep_their_ends() -> None:
    # One hit of two at 0.2, one of three at 0.3, none of one at 0.5: 1/2, 1/3 and 0 fall, so all are pooled to 2 of 6,
    # and only the ends of that stretch are kept.
    x = np.array([0.2, 0.2, 0.3, 0.3, 0.3, 0.5])
    hits = np.array([True, False, True, False, False, False])
    found = rising(x, hits)
    assert found.x == (0.2, 0.5)
    assert found.y == pytest.approx((2 / 6, 2 / 6))


def test_an_isotonic_map_by_hand() -> None:
    # Three levels. P(>=1) of 0.5 -> 0.8, P(>=2) of 0.25 -> 0.2 (halfway between 0 -> 0 and 0.5 -> 0.4).
    curves = (Curve(x=(0.5,), y=(0.8,)), Curve(x=(0.0, 0.5), y=(0.0, 0.4)))
    (row,) = Isotonic(curves=curves, uniform=0).apply(np.array([[0.5, 0.25, 0.25]]))
    assert row == pytest.approx([0.2, 0.6, 0.2])
    # With a tenth of the uniform distribution: 0.9 p + 0.1 / 3.
    (row,) = Isotonic(curves=curves, uniform=0.1).apply(np.array([[0.5, 0.25, 0.25]]))
    assert row == pytest.approx([0.18 + 1 / 30, 0.54 + 1 / 30, 0.18 + 1 / 30])


def test_curves_that_cross_meet_in_the_middle() -> None:
    # P(>=1) is mapped to 0.4 and P(>=2) to 0.6: both become (0.4 + 0.6) / 2, and level 1 gets nothing.
    curves = (Curve(x=(0.5,), y=(0.4,)), Curve(x=(0.5,), y=(0.6,)))
    (row,) = Isotonic(curves=curves, uniform=0).apply(np.array([[0.2, 0.3, 0.5]]))
    assert row == pytest.approx([0.5, 0.0, 0.5])


def test_the_fit_keeps_what_the_prior_leaves_open() -> None:
    # Two levels, 50 pairs at 0.9 of which 30 are hits, 50 at 0.2 of which 10 are. The prior is one answer (half a
    # level) beside 100, so 1/101 of the uniform distribution is mixed in.
    high = np.repeat([0.9, 0.2], 50)
    labels = np.r_[np.arange(50) < 30, np.arange(50) < 10].astype(int)
    found = fitted("isotonic", np.column_stack([1 - high, high]), labels)
    assert isinstance(found, Isotonic)
    assert found.curves == (Curve(x=(0.2, 0.9), y=(0.2, 0.6)),)
    assert found.uniform == pytest.approx(1 / 101)
    (row,) = found.apply(np.array([[0.1, 0.9]]))
    assert row[1] == pytest.approx(100 / 101 * 0.6 + 1 / 202)


def test_rows_stay_distributions_and_other_levels_are_refused() -> None:
    stated, labels = drawn(400, overstated=3)
    for method in calibration.METHODS:
        found = fitted(method, stated, labels)
        assert not isinstance(found, Unfit)
        after = found.apply(stated)
        assert after.sum(axis=1) == pytest.approx(np.ones(400))
        assert (after > 0).all()
    assert isinstance(found, Isotonic)
    with pytest.raises(ValueError, match="5 levels, not 4"):
        found.apply(np.full((1, 4), 0.25))


@pytest.mark.parametrize("method", calibration.METHODS)
def test_maps_can_be_kept_as_json(method: calibration.Method) -> None:
    found = fitted(method, *drawn(200))
    assert not isinstance(found, Unfit)
    adapter: TypeAdapter[Any] = TypeAdapter(Calibration)
    assert adapter.validate_json(found.model_dump_json()) == found


# Why there is none


def test_reasons() -> None:
    stated, labels = drawn(60)

    def reason(method: calibration.Method, stated: Any, labels: Any) -> str:
        found = fitted(method, stated, labels)
        assert isinstance(found, Unfit)
        return found.reason

    assert (
        reason("temperature", stated[:19], labels[:19])
        == "A temperature needs 20 labelled pairs with probabilities, and there are 19."
    )
    assert "Isotonic calibration needs 50" in reason("isotonic", stated[:49], labels[:49])
    assert reason("temperature", np.full((60, 5), np.nan), labels) == "The judge gives no probabilities."
    assert "No pair has both" in reason("temperature", stated, np.full(60, -1))
    assert "All 60 labels are the same level" in reason("temperature", stated, np.full(60, 3))


def test_what_is_no_distribution_counts_as_none() -> None:
    assert usable((0.2, 0.8), 2)
    assert usable((0.2, 0.795), 2)  # rounded for reading
    for wrong in (
        None,
        (),
        (0.5, 0.2),
        (0.2, 0.3, 0.5),
        (1.5, -0.5),
        (float("nan"), 1.0),
        (float("inf"), 0.0),
    ):
        assert not usable(wrong, 2)
    rows = stacked([(0.25, 0.75), None, (0.5, 0.2)], 2)
    assert rows[0] == pytest.approx([0.25, 0.75])
    assert np.isnan(rows[1:]).all()


def test_arrays_have_to_fit() -> None:
    stated, labels = drawn(60)
    with pytest.raises(ValueError, match="do not fit"):
        fitted("temperature", stated, labels[:5])
    with pytest.raises(ValueError, match="beyond the 5 levels"):
        fitted("temperature", stated, labels + 5)


# Folds by query


def test_a_query_is_calibrated_without_its_own_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    stated, labels = drawn(100)
    queries = [f"q{i // 5}" for i in range(100)]
    seen: list[set[str]] = []
    real = calibration.fitted

    def watched(method: Any, given: Any, truth: Any, **more: Any) -> Any:
        found = real(method, given, truth, **more)
        seen.append({query for query, label in zip(queries, truth, strict=True) if label >= 0})
        fits.append(found)
        return found

    fits: list[Any] = []
    monkeypatch.setattr(calibration, "fitted", watched)
    found = cross_fitted("temperature", stated, labels, queries)
    assert isinstance(found, CrossFitted)
    assert seen[0] == set(queries)  # the map for queries that nobody labelled
    assert len(seen) == 6
    for query in set(queries):
        (number,) = [i for i, one in enumerate(fits) if one is found.of(query)]
        assert query not in seen[number]
    assert found.of("another") is fits[0]
    assert found.n == 100


def test_labels_of_its_own_do_not_move_a_query() -> None:
    stated, labels = drawn(100)
    queries = [f"q{i // 5}" for i in range(100)]
    before = cross_fitted("isotonic", stated, labels, queries)
    other = labels.copy()
    other[:5] = 4 - other[:5]
    after = cross_fitted("isotonic", stated, other, queries)
    assert isinstance(before, CrossFitted)
    assert isinstance(after, CrossFitted)
    assert after.of("q0") == before.of("q0")
    assert after.whole != before.whole


def test_folds_are_the_same_in_any_order() -> None:
    stated, labels = drawn(100)
    queries = np.array([f"q{i // 5}" for i in range(100)])
    order = np.random.default_rng(3).permutation(100)
    one = cross_fitted("isotonic", stated, labels, queries)
    two = cross_fitted("isotonic", stated[order], labels[order], queries[order])
    assert isinstance(one, CrossFitted)
    assert isinstance(two, CrossFitted)
    assert {q: m.curves for q, m in one.without.items()} == {q: m.curves for q, m in two.without.items()}  # type: ignore[union-attr]


def test_pairs_without_probabilities_stay_without() -> None:
    stated, labels = drawn(100)
    stated[7] = np.nan
    queries = [f"q{i // 5}" for i in range(100)]
    found = cross_fitted("temperature", stated, labels, queries)
    assert isinstance(found, CrossFitted)
    assert found.n == 99
    after = found.apply(stated, queries)
    assert np.isnan(after[7]).all()
    assert after[8] == pytest.approx(found.of("q1").apply(stated[8:9])[0])


def test_no_map_for_one_query_or_a_fold_that_is_too_small() -> None:
    stated, labels = drawn(30)
    alone = cross_fitted("temperature", stated, labels, ["q"] * 30)
    assert alone == Unfit("All labelled pairs belong to one query, so no map can be tried on another.")
    # 30 pairs, 25 of one query: without it there are 5, and half of 20 are needed.
    lopsided = cross_fitted("temperature", stated, labels, ["q"] * 25 + ["r"] * 5)
    assert isinstance(lopsided, Unfit)
    assert lopsided.reason == (
        "Without one part of the queries: A temperature needs 10 labelled pairs with probabilities, and there are 5."
    )
