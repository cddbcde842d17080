"""Ranking of suspected label errors; every score is worked out by hand.

On a scale 0-1 there are three answers (0, 1, N/A), so P(label | grade) = (count + 1/2) / (total + 3/2), each without
the pair's own label.
"""

from __future__ import annotations

from datetime import UTC, datetime
from time import perf_counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.golden import NOT_APPLICABLE, NOT_GRADED, UNRATEABLE, Label, label_table
from workbench.label_errors import Suspects, family, label_votes, rank
from workbench.run import JudgeIdentity

NA, NONE = NOT_APPLICABLE, NOT_GRADED


def one_vote(label: list[int], levels: int = 2) -> np.ndarray:
    """One labeler a pair, who gave the label."""
    votes = np.zeros((len(label), levels + 1), dtype=int)
    for i, grade in enumerate(label):
        if grade != NONE:
            votes[i, levels if grade == NA else grade] = 1
    return votes


def ranked(label: list[int], judges: list[list[int]], scale: range = range(2), **more: object) -> Suspects:
    votes = more.pop("votes") if "votes" in more else one_vote(label, len(scale))
    return rank(np.array(label), np.array(votes), np.array(judges), scale, **more)  # type: ignore[arg-type]


# Six pairs; both judges say 1 on the first, whose label is 0, and what the label says elsewhere (three 1, two 0).
LABEL = [0, 1, 1, 1, 0, 0]
JUDGE = [1, 1, 1, 1, 0, 0]


def test_two_judges_against_one_label() -> None:
    found = ranked(LABEL, [JUDGE, JUDGE])
    # Where a judge says 1 there are four labels; without the pair's own, three, all 1:
    # P(1) = 3.5 / 4.5, P(0) = 0.5 / 4.5, margin 3 / 4.5 = 2/3.
    assert found.position.tolist() == [0]
    assert found.answer.tolist() == [1]
    assert found.score.tolist() == pytest.approx([2 / 3])
    assert found.margins.ravel().tolist() == pytest.approx([2 / 3, 2 / 3])
    assert (found.agreeing.tolist(), found.answered.tolist()) == ([2], [2])


def test_a_judge_that_sides_with_the_label_counts_against_the_suspicion() -> None:
    found = ranked(LABEL, [JUDGE, JUDGE, LABEL])
    # The third judge says 0 there; without the pair's own label the other two 0 are labelled 0:
    # P(1) = 0.5 / 3.5, P(0) = 2.5 / 3.5, margin -4/7. Mean: (14/21 + 14/21 - 12/21) / 3.
    assert found.score.tolist() == pytest.approx([16 / 63])
    assert (found.agreeing.tolist(), found.answered.tolist()) == ([2], [3])


def test_labelers_who_agree_outweigh_judges() -> None:
    def score(zeros: int, ones: int) -> list[float]:
        votes = one_vote(LABEL)
        votes[0] = [zeros, ones, 0]
        return ranked(LABEL, [JUDGE, JUDGE], votes=votes).score.tolist()

    assert score(2, 0) == pytest.approx([(4 / 3 - 1) / 3])  # one more labeler for the label
    assert score(3, 0) == []  # (4/3 - 2) / 4 is below 0
    assert score(2, 1) == pytest.approx([(4 / 3 - 1 + 1) / 4])  # and one for the judges' answer
    assert score(0, 0) == pytest.approx([2 / 3])  # a settled grade that nobody gave as such


def test_probabilities_are_worth_what_the_answers_turned_out_to_be() -> None:
    probabilities = np.full((2, 6, 2), np.nan)
    probabilities[0, 0] = (0.25, 0.75)
    found = ranked(LABEL, [JUDGE, JUDGE], probabilities=probabilities)
    # Where the first judge says 0 both labels are 0: P(1 | 0) = 0.5/3.5 = 1/7, P(0 | 0) = 5/7. Its margin:
    # 0.75 (7/9 - 1/9) + 0.25 (1/7 - 5/7) = 1/2 - 1/7 = 5/14. The second judge said none: 2/3.
    assert found.margins.ravel().tolist() == pytest.approx([5 / 14, 2 / 3])
    assert found.score.tolist() == pytest.approx([(5 / 14 + 2 / 3) / 2])


def test_a_judge_sure_without_cause_proves_little() -> None:
    # The judge says 1 throughout and is certain of it; people say 0 on half of the others: a coin.
    label = [0, 0, 0, 1, 1]
    probabilities = np.tile([0.0, 1.0], (1, 5, 1))
    found = ranked(label, [[1] * 5], least_judges=1, probabilities=probabilities)
    # Without the pair's own label: two 1 and two 0, margin 0: nothing is suspected.
    assert found.position.tolist() == []


def test_not_applicable_is_an_answer_and_probabilities_say_nothing_of_it() -> None:
    label = [1, NA, NA, 1, 0]
    judge = [NA, NA, NA, 1, 0]
    probabilities = np.full((1, 5, 2), 0.5)
    found = ranked(label, [judge], least_judges=1, probabilities=probabilities)
    # N/A was said three times; without the own label, two N/A: P(N/A) = 2.5/3.5, P(1) = 0.5/3.5.
    assert (found.position.tolist(), found.answer.tolist()) == ([0], [NA])
    assert found.score.tolist() == pytest.approx([4 / 7])


@pytest.mark.parametrize(
    ("label", "judges"),
    [
        (0, [1, NONE]),  # one judge failed: one is not several
        (0, [1, 0]),
        (0, [1, 1, 0, 0]),  # as many say what the label says
        (0, [0, 0, 1]),
        (NONE, [1, 1]),  # no label
        (UNRATEABLE, [1, 1]),
        (5, [1, 1]),  # a level that the scale does not have
    ],
)
def test_no_suspect_where_judges_do_not_agree_against_a_label(label: int, judges: list[int]) -> None:
    votes = np.zeros((6, 3), dtype=int)
    found = ranked([label, *LABEL[1:]], [[first, *JUDGE[1:]] for first in judges], votes=votes)
    assert found.position.tolist() == []
    assert found.margins.shape == (len(judges), 0)


def test_the_likeliest_error_comes_first_then_the_widest() -> None:
    # Levels 0-2. Pairs 0 and 1 are labelled 1 and 2, both judges say 0; the labels under a judge's 0 are 1, 2, 0, 0, 0.
    # Without its own: P(0) = 3.5/6 either way; P(1) or P(2) = 0.5/6. Equal scores: 2 -> 0 is wider than 1 -> 0.
    # Pair 5: label 0, judges 2; the other labels there are 2, 2: P(2) = 2.5/4, P(0) = 0.5/4, margin 1/2 = 3/6: equal.
    # With a judge less sure: four labels of 2 instead, (4.5 - 0.5)/6 = 2/3.
    label = [1, 2, 0, 0, 0, 0, 2, 2, 2, 2]
    judge = [0, 0, 0, 0, 0, 2, 2, 2, 2, 2]
    found = ranked(label, [judge, judge], range(3))
    assert found.position.tolist() == [5, 1, 0]
    assert found.score.tolist() == pytest.approx([4 / 6, 3 / 6, 3 / 6])


def test_levels_need_not_begin_at_zero() -> None:
    shifted = ranked(
        [grade + 1 for grade in LABEL], [[g + 1 for g in JUDGE]] * 2, range(1, 3), votes=one_vote(LABEL)
    )
    assert shifted.answer.tolist() == [2]
    assert shifted.score.tolist() == pytest.approx([2 / 3])


@given(st.data())
def test_scores_are_in_order_within_bounds_and_of_contradicted_labels(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 12))
    grade = st.sampled_from([0, 1, 2, NA, NONE])
    label = np.array(data.draw(st.lists(grade, min_size=n, max_size=n)))
    judges = np.array([data.draw(st.lists(grade, min_size=n, max_size=n)) for _ in range(3)])
    found = rank(label, one_vote(label.tolist(), 3), judges, range(3))
    assert (np.diff(found.score) <= 1e-12).all()
    assert ((found.score > 0) & (found.score <= 1)).all()
    assert (found.answer != label[found.position]).all()
    assert ((judges[:, found.position] == found.answer).sum(axis=0) == found.agreeing).all()
    assert (found.agreeing >= 2).all()
    assert (np.isnan(found.margins) == (judges[:, found.position] == NONE)).all()


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        ranked(LABEL, [JUDGE[:3]])
    with pytest.raises(ValueError, match="probabilities"):
        ranked(LABEL, [JUDGE], probabilities=np.zeros((1, 6, 3)))
    with pytest.raises(ValueError, match="at least one judge"):
        ranked(LABEL, [JUDGE], least_judges=0)


def test_votes_are_counted_by_answer() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    given = [
        ("a", "taste", 1, "ann"), ("a", "taste", 1, "bob"), ("a", "taste", NA, "eve"), ("a", "strength", 0, "ann"),
        ("b", "taste", UNRATEABLE, "ann"), ("b", "taste", 0, "bob"), ("b", "taste", 7, "eve"), ("c", "taste", 0, "ann"),
    ]  # fmt: skip
    frame = label_table(Label(pair_id=p, dimension=d, grade=g, labeler=who, at=at) for p, d, g, who in given)
    votes = label_votes(frame, "taste", pd.Index(["b", "a", "z"]), range(2))
    assert votes.tolist() == [[1, 0, 0], [0, 2, 1], [0, 0, 0]]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("llm", "openai/gpt-5-mini"), ("llm", "openrouter/openai/GPT-5-mini-2025-08-07"), True),
        (("llm", "openai/gpt-5-mini"), ("llm", "openai/gpt-5"), False),
        (("llm", "claude-haiku-4-5-20251001"), ("llm", "anthropic/claude-haiku-4-5"), True),
        (("baseline", "baseline"), ("baseline", "baseline-lexical"), True),
        (("llm", "x"), ("recorded", "x"), False),
        (("checkpoint", "student-a"), ("checkpoint", "student-b"), False),
    ],
)
def test_families(one: tuple[str, str], other: tuple[str, str], same: bool) -> None:
    first, second = (JudgeIdentity(kind=kind, name=name) for kind, name in (one, other))  # type: ignore[arg-type]
    assert (family(first) == family(second)) is same


def test_versions_of_a_recorded_judge_are_one_family() -> None:
    named = JudgeIdentity(kind="recorded", name="old judge (p7)", params={"version": "p7"})
    assert family(named) == family(JudgeIdentity(kind="recorded", name="old judge", params={"version": "p8"}))


def test_a_large_set_is_ranked_at_once() -> None:
    rng = np.random.default_rng(0)
    n = 100_000
    label = rng.integers(0, 5, n)
    votes = np.eye(6, dtype=int)[label]
    judges = np.where(rng.random((5, n)) < 0.6, label, rng.integers(0, 5, (5, n)))
    began = perf_counter()
    found = rank(label, votes, judges, range(5))
    # One of eight dimensions; 0.03 s on an idle core, so that eight stay within two seconds on a busy one.
    assert perf_counter() - began < 1.0
    assert len(found.position) > 100
