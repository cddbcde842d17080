"""From probabilities to grades: the stretched expected grade, N/A, and what is learnt from training pairs."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.golden import NOT_APPLICABLE
from workbench.training.grades import decide, stretched
from workbench.training.record import Head


def test_decide_by_hand() -> None:
    head = Head(key="x", levels=(1, 2, 3), allow_na=True)
    probabilities = np.array(
        [
            [0.5, 0.3, 0.2, 0.0],  # mean 1.7: not stretched, the nearest level is 2 though 1 is most probable
            [0.3, 0.1, 0.2, 0.4],  # N/A is most probable; without it (1/2, 1/6, 1/3): mean 11/6
            [0.0, 0.0, 1.0, 0.0],
        ]
    )
    grades, expected, levels = decide(head, probabilities)
    assert grades.tolist() == [2, NOT_APPLICABLE, 3]
    assert expected.tolist() == pytest.approx([1.7, 11 / 6, 3])
    assert levels[1].tolist() == pytest.approx([1 / 2, 1 / 6, 1 / 3])
    assert decide(head, probabilities, allow_na=False)[0].tolist() == [2, 2, 3]
    # Twice as far from 2: 1.7 becomes 1.4, 11/6 becomes 10/6, and 3 becomes 4, which is cut to the scale.
    wider = head.model_copy(update={"centre": 2.0, "stretch": 2.0})
    grades, same, _ = decide(wider, probabilities, allow_na=False)
    assert grades.tolist() == [1, 2, 3]
    assert same.tolist() == expected.tolist()


def test_decide_where_only_na_is_possible() -> None:
    head = Head(key="x", levels=(0, 1), allow_na=True)
    grades, expected, levels = decide(head, np.array([[0.0, 0.0, 1.0]]))
    assert (grades.tolist(), expected.tolist(), levels.tolist()) == ([NOT_APPLICABLE], [0.5], [[0.5, 0.5]])


def test_stretch_by_hand() -> None:
    head = Head(key="x", levels=(0, 1, 2), allow_na=True)
    # Labels 0 and 2 in equal shares: mean 1, spread 1. A pair that is N/A for the labelers says nothing of the levels.
    targets = np.array([[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]])
    # Expected grades 0.5 and 1.5 (and 2, not counted): spread 0.5, so twice as far.
    probabilities = np.array([[0.5, 0.5, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 1.0, 0]])
    found = stretched(head, probabilities, targets)
    assert (found.centre, found.stretch) == (pytest.approx(1.0), pytest.approx(2.0))
    # Votes that split count by their shares: 1/4 of all mass on 0, 3/4 on 2, mean 1.5, spread sqrt(3)/2.
    half = stretched(head, probabilities[:2], np.array([[0.5, 0, 0.5, 0], [0, 0, 1.0, 0]]))
    assert (half.centre, half.stretch) == (pytest.approx(1.5), pytest.approx(3**0.5))


def test_a_stretch_has_bounds() -> None:
    head = Head(key="x", levels=(0, 1, 2))
    ends = np.array([[1.0, 0, 0], [0, 0, 1.0]])
    assert stretched(head, np.array([[0.0, 1, 0], [0, 1, 0]]), ends).stretch == 4.0  # knows nothing: spread 0
    assert stretched(head, ends, np.array([[0.0, 1, 0], [0, 1, 0]])).stretch == 1.0  # never drawn together
    assert stretched(head, np.zeros((0, 3)), np.zeros((0, 3))) == head
