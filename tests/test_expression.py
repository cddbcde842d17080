"""Gate expressions: what they may say, and three-valued logic over grades that are not applicable."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.expression import Expression
from workbench.golden import NOT_APPLICABLE, NOT_GRADED

Grades = dict[str, int | None]


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "(1).__class__", "location.__class__ == 0", "open(location)",
        "eval(location)", "[x for x in (1, 2)]", "lambda: 1", "'a' == 'a'", "location == 'x'", "b'a' == 1",
        "f'{location}'", "9 ** 9 ** 9", "1 << 99999", "location / 0", "location % 2", "location // 2", "~location",
        "location if 1 else 2", "(location := 3)", "{1: 2}", "[1, 2]", "(1, 2) == 1", "location[0]", "location in (1, 2)",
        "location is 1", "max(*location)", "max(location, key=abs)", "na(location=1)", "None == 1", "1j == 1", "... == 1",
        "", "   ", "location ==", "location = 0", "location == 0; 1", "location == 0\nskills == 0", "a b", "\x00",
        "(" * 400 + "1" + ")" * 400, "not " * 100 + "a", "-" * 499 + "a", "+".join("a" * 245), "9" * 4999,
        "*".join(["9" * 400] * 9), "max(1)", "min()", "abs(1, 2)", "na()", "na(a, b)", "a" * 501,
    ],
)  # fmt: skip
def test_what_is_not_of_the_language_is_refused_when_parsed(text: str) -> None:
    with pytest.raises(ValueError, match="'"):
        Expression(text)


def test_names_come_in_order_of_appearance_without_functions() -> None:
    assert Expression("b == 1 and min(a, b) < 2 or na(c)").names == ("b", "a", "c")
    assert Expression("1 == 1").names == ()
    assert Expression("na(na)").names == ("na",)  # a dimension may be called as a function is


@pytest.mark.parametrize(
    ("text", "grades", "expected"),
    [
        ("a == 0 and b <= 2", {"a": 0, "b": 2}, True),
        ("a == 0 and b <= 2", {"a": 0, "b": 3}, False),
        ("a == 0 or b <= 2", {"a": 1, "b": 2}, True),
        ("not a == 0", {"a": 1}, True),
        ("1 < a < 4", {"a": 3}, True),
        ("1 < a < 4", {"a": 4}, False),
        ("a + b * 2 - 1 == 6", {"a": 1, "b": 3}, True),  # 1 + 6 - 1
        ("abs(a - b) >= 2", {"a": 1, "b": 3}, True),
        ("min(a, b) == 1 and max(a, b) == 3", {"a": 1, "b": 3}, True),
        ("a != 2", {"a": 3}, True),
        ("-a == -3", {"a": 3}, True),
        ("  a == 0.5 + 0.5  ", {"a": 1}, True),
        # Not applicable: unknown with everything, also negated; na() asks for it.
        ("a == 0", {"a": None}, False),
        ("a != 0", {"a": None}, False),
        ("not (a == 0)", {"a": None}, False),
        ("not (a > 0)", {"a": None}, False),
        ("a + 1 > 0", {"a": None}, False),
        ("not (a + 1 > 0)", {"a": None}, False),
        ("min(a, b) == 0", {"a": None, "b": 0}, False),
        ("na(a)", {"a": None}, True),
        ("na(a)", {"a": 0}, False),
        ("not na(a) and a == 0", {"a": 0}, True),
        ("a == 0 or b == 0", {"a": None, "b": 0}, True),
        ("max(a, b) > 9 or b == 0", {"a": None, "b": 0}, True),  # an unknown part does not spoil a true one
        ("b == 0 or a == 0", {"a": None, "b": 0}, True),
        ("a == 0 and b == 0", {"a": None, "b": 0}, False),
        ("not (a == 0 and b == 0)", {"a": None, "b": 1}, True),  # b alone decides
        ("not (a == 0 or b == 0)", {"a": None, "b": 1}, False),
        ("not (3 < 2 < a)", {"a": None}, True),  # 3 < 2 decides the chain
        ("not (a < 3 < 2)", {"a": None}, True),
    ],
)  # fmt: skip
def test_hand_examples(text: str, grades: Grades, expected: bool) -> None:
    assert Expression(text).holds(grades) is expected


def test_a_grade_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="location"):
        Expression("location == 0").holds({"skills": 1})


# Random expressions beside a reference written as plain functions: None is unknown.
Reference = Callable[[Grades], int | None]


def compare(op: str, a: Reference, b: Reference) -> Reference:
    rules = {
        "==": int.__eq__,
        "!=": int.__ne__,
        "<": int.__lt__,
        "<=": int.__le__,
        ">": int.__gt__,
        ">=": int.__ge__,
    }

    def value(grades: Grades) -> int | None:
        x, y = a(grades), b(grades)
        return None if x is None or y is None else int(rules[op](x, y))

    return value


def both(a: Reference, b: Reference) -> Reference:
    """Kleene's and: the minimum, with unknown between false and true."""
    return lambda g: {0: 0, 1: None, 2: 1}[min(rank(a(g)), rank(b(g)))]


def either(a: Reference, b: Reference) -> Reference:
    return lambda g: {0: 0, 1: None, 2: 1}[max(rank(a(g)), rank(b(g)))]


def rank(value: int | None) -> int:
    return 1 if value is None else 2 * value


def negate(a: Reference) -> Reference:
    return lambda g: {0: 1, 1: 0, None: None}[a(g)]


def name(key: str) -> tuple[str, Reference]:
    return key, lambda g: g[key]


numbers = st.integers(0, 4).map(lambda n: (str(n), lambda g: n)) | st.sampled_from("abc").map(name)
tests = st.tuples(numbers, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), numbers).map(
    lambda t: (f"{t[0][0]} {t[1]} {t[2][0]}", compare(t[1], t[0][1], t[2][1]))
) | st.sampled_from("abc").map(lambda key: (f"na({key})", lambda g: int(g[key] is None)))
expressions = st.recursive(
    tests,
    lambda inner: (
        st.tuples(inner, inner).map(lambda t: (f"({t[0][0]}) and ({t[1][0]})", both(t[0][1], t[1][1])))
        | st.tuples(inner, inner).map(lambda t: (f"({t[0][0]}) or ({t[1][0]})", either(t[0][1], t[1][1])))
        | inner.map(lambda t: (f"not ({t[0]})", negate(t[1])))
    ),
    max_leaves=6,
)
ROWS = list(itertools.product([0, 1, 4, NOT_APPLICABLE, NOT_GRADED], repeat=3))


@given(expressions)
def test_holds_is_kleene_logic_and_mask_is_holds_pair_by_pair(case: tuple[str, Reference]) -> None:
    text, reference = case
    expression = Expression(text)
    columns = {key: np.array([row[i] for row in ROWS]) for i, key in enumerate("abc")}
    rows: list[Grades] = [
        {key: None if v < 0 else v for key, v in zip("abc", row, strict=True)} for row in ROWS
    ]
    expected = [reference(row) == 1 for row in rows]
    assert [expression.holds(row) for row in rows] == expected
    assert expression.mask(columns, len(ROWS)).tolist() == expected


def test_mask_of_no_pairs_and_without_names() -> None:
    assert Expression("a == 0").mask({"a": np.array([], dtype=int)}, 0).tolist() == []
    assert Expression("1 == 1").mask({}, 3).tolist() == [True] * 3
    assert Expression("1 == 2").mask({}, 2).tolist() == [False] * 2
