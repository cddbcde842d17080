"""Examples from labels and verdicts, the holdout's lock, the validation split, batches."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from training_samples import examples, golden, pair, policy  # noqa: E402

from workbench.errors import BadInput, NotFound, Refused  # noqa: E402
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, UNRATEABLE  # noqa: E402
from workbench.run import Judgement, Verdict  # noqa: E402
from workbench.training.batches import Targets, batches  # noqa: E402
from workbench.training.data import (  # noqa: E402
    Example,
    build_examples,
    check_examples,
    split_examples,
)
from workbench.training.record import heads_of  # noqa: E402

A, B = pair("smoky", "green"), pair("black", "green")


def verdict(item: str, dimension: str, grade: int, probabilities: tuple[float, ...] | None = None) -> Verdict:
    """One judgement."""
    judgement = Judgement(
        dimension=dimension, grade=grade, probabilities=probabilities, error="x" * (grade == -1)
    )
    return Verdict(pair_id=item, judgements=(judgement,))


def test_votes_become_probabilities() -> None:
    labels = [(A, "taste", 0, "ann"), (A, "taste", 2, "bob"), (A, "taste", 2, "cyd"), (A, "taste", 2, "dee")]
    labels += [
        (A, "strength", NOT_APPLICABLE, "ann"),
        (A, "strength", 1, "bob"),
        (A, "strength", UNRATEABLE, "cyd"),
    ]
    (example,) = build_examples(policy(), golden(labels))
    # taste has levels 0–2: one vote in four for 0, three for 2. strength: levels 0, 1, then N/A; cyd did not vote.
    assert example.golden == {"taste": (0.25, 0.0, 0.75), "strength": (0.0, 0.5, 0.5)}
    assert example.settled == {"taste": 2, "strength": 1}  # a tie of N/A and 1 settles on the level


def test_an_adjudicated_label_is_certain() -> None:
    labels = [(A, "taste", 0, "ann"), (A, "taste", 0, "bob"), (A, "taste", 1, "ann!"), (A, "taste", 2, "ann")]
    labels += [(B, "taste", 0, "ann"), (B, "taste", UNRATEABLE, "bob!")]
    first, second = build_examples(policy(), golden(labels))
    assert first.golden == {"taste": (0.0, 1.0, 0.0)}
    assert second.golden == {}  # the meeting could not tell
    assert (first.settled["taste"], second.settled["taste"]) == (1, NOT_GRADED)


def test_a_withdrawn_label_is_not_learnt() -> None:
    labels = [(A, "taste", 0, "ann"), (A, "taste", 2, "bob"), (A, "taste", NOT_GRADED, "ann")]
    labels += [(B, "taste", 1, "ann"), (B, "taste", 2, "ann!"), (B, "taste", NOT_GRADED, "ann!")]
    first, second = build_examples(policy(), golden(labels))
    assert (first.golden, first.settled["taste"]) == ({"taste": (0.0, 0.0, 1.0)}, 2)
    assert (second.golden, second.settled["taste"]) == ({"taste": (0.0, 1.0, 0.0)}, 1)  # the vote holds again


def test_a_labelers_newest_label_counts() -> None:
    (example,) = build_examples(policy(), golden([(A, "taste", 0, "ann"), (A, "taste", 1, "ann")]))
    assert example.golden == {"taste": (0.0, 1.0, 0.0)}


def test_labels_of_other_dimensions_are_not_learnt() -> None:
    (example,) = build_examples(policy(), golden([(A, "taste", 1, "ann"), (A, "overall", 1, "ann")]))
    assert set(example.golden) == {"taste"}


@pytest.mark.parametrize(
    ("key", "grade", "says"), [("taste", 3, "grade 3"), ("taste", NOT_APPLICABLE, "N/A")]
)
def test_a_label_that_the_policy_does_not_have(key: str, grade: int, says: str) -> None:
    with pytest.raises(BadInput, match=f"teas v1, pair {A.id}: {key} is labelled {says}"):
        build_examples(policy(), golden([(A, key, grade, "ann")]))


def test_a_holdout_pair_is_refused_by_name() -> None:
    teas = golden([(A, "taste", 1, "ann"), (B, "taste", 1, "ann")], {B.id: "holdout"})
    with pytest.raises(Refused, match=f"{B.id} is in the holdout"):
        build_examples(policy(), teas, pairs=[A, B])
    # A copy with other metadata is the same pair: its content is its id.
    with pytest.raises(Refused, match="holdout"):
        build_examples(policy(), teas, pairs=[B.model_copy(update={"meta": {"slice": "new"}})])


def test_a_pair_outside_the_golden_set_is_refused() -> None:
    with pytest.raises(NotFound, match=f"{B.id} is not in teas v1"):
        build_examples(policy(), golden([(A, "taste", 1, "ann")]), pairs=[B])


def test_by_default_only_dev_pairs_are_learnt_and_holdout_verdicts_are_not_looked_at() -> None:
    teas = golden([(A, "taste", 1, "ann"), (B, "taste", 1, "ann")], {B.id: "holdout"})
    verdicts = [verdict(A.id, "taste", 1, (0.2, 0.6, 0.2)), verdict(B.id, "taste", 1, (9.0, 9.0, 9.0))]
    (example,) = build_examples(policy(), teas, verdicts)
    assert example.pair == A
    assert example.soft["taste"] == pytest.approx((0.2, 0.6, 0.2))


def test_soft_labels_of_na_failures_and_repeats() -> None:
    teas = golden([(A, "taste", 1, "ann"), (B, "taste", 1, "ann")])
    verdicts = [
        verdict(A.id, "taste", 0, (0.8, 0.2, 0.0)),
        verdict(A.id, "taste", 1, (0.4, 0.6, 0.0)),  # the same pair again: the mean is (0.6, 0.4, 0)
        verdict(A.id, "strength", NOT_APPLICABLE),
        verdict(B.id, "strength", 1, (0.25, 0.75)),  # no N/A among its probabilities
        verdict(B.id, "taste", NOT_GRADED),
        verdict(B.id, "colour", 1, (0.5, 0.5)),  # no dimension of this policy
    ]
    first, second = build_examples(policy(), teas, verdicts)
    assert first.soft["taste"] == pytest.approx((0.6, 0.4, 0.0))
    assert first.soft["strength"] == (0.0, 0.0, 1.0)
    assert second.soft == {"strength": (0.25, 0.75, 0.0)}


@pytest.mark.parametrize(
    "bad", [(0.5, 0.5), (0.5, 0.4, 0.0), (1.5, -0.5, 0.0), (float("nan"), 0.5, 0.5)], ids=str
)
def test_probabilities_that_are_no_distribution(bad: tuple[float, ...]) -> None:
    with pytest.raises(BadInput, match=f"{A.id}, taste, are not a distribution over the policy's 3 levels"):
        build_examples(policy(), golden([(A, "taste", 1, "ann")]), [verdict(A.id, "taste", 1, bad)])


def test_a_run_without_probabilities_is_no_teacher() -> None:
    with pytest.raises(BadInput, match="no probabilities"):
        build_examples(policy(), golden([(A, "taste", 1, "ann")]), [verdict(A.id, "taste", 1)])


GOOD = Example(A, {"taste": (1.0, 0.0, 0.0)}, {"taste": (1.0, 0.0, 0.0)})


@pytest.mark.parametrize(
    ("given", "golden_asked", "soft_asked", "says"),
    [
        ([], True, False, "no example"),
        ([GOOD], False, False, "weights of golden and of soft labels are both 0"),
        ([Example(A, {}, GOOD.soft)], True, True, "None of the 1 examples has a golden label"),
        ([Example(A, GOOD.golden)], True, True, "None of the 1 examples has soft labels"),
        ([Example(A, {"smell": (1.0, 0.0)})], True, False, "'smell', which is not a dimension"),
        ([Example(A, {"taste": (1.0, 0.0)})], True, False, "has 2 classes for 'taste', and the policy 3"),
        ([GOOD, Example(B, {"taste": (1.0, 1.0, 0.0)})], True, False, f"{B.id} is no distribution"),
    ],
)
def test_what_cannot_be_learnt_is_said_first(
    given: list[Example], golden_asked: bool, soft_asked: bool, says: str
) -> None:
    with pytest.raises(BadInput, match=says):
        check_examples(heads_of(policy()), given, golden=golden_asked, soft=soft_asked)


def test_validation_takes_whole_queries() -> None:
    # examples() has 16 different wishes for 24 pairs and two moods.
    given = examples(24)
    train, validation = split_examples(given, 0.25, seed=1)
    queries = [{e.pair.query_id for e in side} for side in (train, validation)]
    assert not queries[0] & queries[1]
    assert len(queries[1]) == round(0.25 * len(queries[0] | queries[1]))
    assert len(train) + len(validation) == 24
    assert split_examples(given, 0.25, seed=1) == (train, validation)
    assert split_examples(given, 0.25, seed=2) != (train, validation)
    assert split_examples(given, 0.0, seed=1) == (given, [])


def test_batches_hold_everything_once_and_little_padding() -> None:
    rng = np.random.default_rng(5)
    lengths = rng.integers(10, 200, size=101).tolist()
    cut = list(batches(lengths, 8, np.random.default_rng(0)))
    assert sorted(np.concatenate(cut).tolist()) == list(range(101))
    assert [len(rows) for rows in cut].count(8) == 12  # 101 = 12 * 8 + 5
    padding = sum(max(lengths[i] for i in rows) * len(rows) for rows in cut) / sum(lengths)
    shuffled = rng.permutation(101)
    unsorted = sum(max(lengths[i] for i in rows) * len(rows) for rows in np.array_split(shuffled, 13)) / sum(
        lengths
    )
    assert padding < 1.2 < unsorted
    again = list(batches(lengths, 8, np.random.default_rng(0)))
    assert all((x == y).all() for x, y in zip(cut, again, strict=True))


def test_targets_know_what_is_missing() -> None:
    targets = Targets.of(heads_of(policy()), [{"taste": (0.0, 1.0, 0.0)}, {}])
    assert targets.known["taste"].tolist() == [True, False]
    assert targets.known["strength"].tolist() == [False, False]
    taken = targets.take(np.array([1, 0]), torch.device("cpu"))
    assert taken.probabilities["taste"].tolist() == [[0, 0, 0], [0, 1, 0]]
    assert taken.known["taste"].tolist() == [False, True]
