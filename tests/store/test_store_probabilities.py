"""Probabilities of a run's judgements, as the store gives them."""

from __future__ import annotations

from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.run import Judgement, Verdict
from workbench.store import Store


def test_probabilities_of_the_answers_that_name_a_level(store: Store) -> None:
    judgements = (
        Judgement(dimension="taste", grade=1, probabilities=(0.25, 0.5, 0.25)),
        Judgement(dimension="strength", grade=0),
    )
    others = (
        Judgement(dimension="taste", grade=NOT_GRADED, error="asleep"),
        Judgement(dimension="strength", grade=NOT_APPLICABLE),
    )
    store.add_verdicts("run-1", [Verdict(pair_id="b", judgements=judgements)])
    store.add_verdicts("run-1", [Verdict(pair_id="a", judgements=others)])
    store.add_verdicts("run-2", [Verdict(pair_id="c", judgements=judgements)])
    found = store.probabilities("run-1")
    assert found.values.tolist() == [["b", "strength", 0, None], ["b", "taste", 1, (0.25, 0.5, 0.25)]]
    assert store.probabilities("run-3").empty
    assert list(store.probabilities("run-3").columns) == ["pair_id", "dimension", "grade", "probabilities"]
