"""The newest outcome of each judgement, against a plain dict of all of them."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.outcomes import Outcomes
from workbench.run import Judgement, Verdict

KEYS = ("a", "b", "c")


def verdict(pair_id: str, **grades: int) -> Verdict:
    answers = tuple(
        Judgement(dimension=key, grade=grade, error="no" if grade == NOT_GRADED else "")
        for key, grade in grades.items()
    )
    return Verdict(pair_id=pair_id, judgements=answers)


def test_a_newer_line_replaces_an_older_one_by_dimension() -> None:
    outcomes = Outcomes()
    assert (outcomes.pairs, outcomes.judgements, outcomes.failed) == (0, 0, 0)
    assert not outcomes.graded("p", ["a"])
    outcomes.add(verdict("p", a=NOT_GRADED, b=2))
    outcomes.add(verdict("q", a=NOT_APPLICABLE, b=0))  # N/A is an answer
    assert (outcomes.pairs, outcomes.judgements, outcomes.failed) == (2, 4, 1)
    assert [outcomes.graded(p, ["a", "b"]) for p in "pq"] == [False, True]
    assert outcomes.graded("p", ["b"])
    assert not outcomes.graded("q", ["a", "b", "c"])  # a dimension that nobody was asked about
    outcomes.add(verdict("p", a=1))
    assert (outcomes.judgements, outcomes.failed, outcomes.graded("p", ["a", "b"])) == (4, 0, True)
    outcomes.add(verdict("p", b=NOT_GRADED))
    assert (outcomes.judgements, outcomes.failed, outcomes.graded("p", ["a", "b"])) == (4, 1, False)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("pqr"),
            st.dictionaries(st.sampled_from(KEYS), st.sampled_from([NOT_GRADED, NOT_APPLICABLE, 0, 4])),
        ),
        max_size=12,
    )
)
def test_it_says_what_a_dict_of_all_judgements_says(lines: list[tuple[str, dict[str, int]]]) -> None:
    outcomes, plain = Outcomes(), dict[tuple[str, str], bool]()
    for pair_id, grades in lines:
        outcomes.add(verdict(pair_id, **grades))
        plain |= {(pair_id, key): grade == NOT_GRADED for key, grade in grades.items()}
    assert (outcomes.judgements, outcomes.failed) == (len(plain), sum(plain.values()))
    for pair_id in "pqr":
        done = all(plain.get((pair_id, key)) is False for key in KEYS)
        assert outcomes.graded(pair_id, KEYS) == done


def test_what_it_holds_is_a_name_and_a_number_a_pair() -> None:
    """20,000 pairs of 6 dimensions.

    A pair id of 37 letters is 49 + 37 = 86 bytes, 96 as allocated; its number (6 bits) is one of Python's own small
    integers. A dict of 20,000 entries has room for 2/3 of 32,768: 24 bytes an entry and 4 a slot are 655 KB, and the
    smaller one that it grew from is there at the same time: some 1 MB in all. Together 1.9 MB + 1 MB: below 4 MB.
    120,000 tuples of (pair, dimension) with their entries would take 120,000 * (56 + 60) = 14 MB.
    """
    grades = dict.fromkeys("abcdef", 1)
    outcomes = Outcomes()
    tracemalloc.start()
    try:
        for i in range(20_000):
            outcomes.add(verdict(f"pair-{i:032x}", **grades))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert outcomes.judgements == 120_000
    assert peak < 4_000_000
