"""Gate expressions: a small safe language over dimension grades, such as ``location == 0 and skills <= 2``.

simpleeval does the evaluating, with only comparison, Boolean and arithmetic operators, ``min``, ``max``,
``abs`` and ``na``. What is computed from a grade that is not applicable is unknown, by Kleene's three-valued
logic (as NULL in SQL): ``not`` of it is unknown too, ``unknown or true`` is true. A gate fires only where its
expression is known to be true, so never because a dimension was not graded; ask for that with ``na(dimension)``.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from simpleeval import InvalidExpression, SimpleEval


def _of_known(function: Callable[..., Any]) -> Callable[..., Any]:
    def unless_unknown(*values: Any) -> Any:
        return None if None in values else function(*values)

    return unless_unknown


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Eq: _of_known(operator.eq),
    ast.NotEq: _of_known(operator.ne),
    ast.Lt: _of_known(operator.lt),
    ast.LtE: _of_known(operator.le),
    ast.Gt: _of_known(operator.gt),
    ast.GtE: _of_known(operator.ge),
    ast.Not: _of_known(operator.not_),
    ast.USub: _of_known(operator.neg),
    ast.Add: _of_known(operator.add),
    ast.Sub: _of_known(operator.sub),
    ast.Mult: _of_known(operator.mul),
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": _of_known(min),
    "max": _of_known(max),
    "abs": _of_known(abs),
    "na": lambda grade: grade is None,
}
_ONE_ARGUMENT = {"abs", "na"}
_LONGEST = 500
"""Characters of an expression; bounds nesting and the size of numbers, so that any gate is quick to evaluate."""
_DEEPEST = 60
_MOST_CODES = 2**62
"""Packed codes stay below this, so that 64 bits hold them."""
_NODES = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Compare, ast.BinOp, ast.Call, ast.Name,
    ast.Load, ast.Constant, *_OPERATORS,
)  # fmt: skip


class Expression:
    """A parsed expression; ``names`` are the dimension keys it speaks of, in order of appearance."""

    def __init__(self, text: str) -> None:
        """Parse ``text``.

        Raises:
            ValueError: if it is not an expression of this language; says what is wrong.
        """
        self.text = text
        if len(text) > _LONGEST:
            raise ValueError(f"'{text[:40]} …' is longer than {_LONGEST} characters")
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(f"'{text}' is not an expression such as \"location == 0\"") from error
        if _depth(tree) > _DEEPEST:
            raise ValueError(f"'{text}' is nested too deeply")
        called = set()
        for node in ast.walk(tree):
            if not isinstance(node, _NODES):
                raise ValueError(f"'{text}' uses {type(node).__name__}, which gates do not know")
            if isinstance(node, ast.Constant) and not isinstance(node.value, int | float):
                raise ValueError(f"'{text}' compares with {node.value!r}; gates know only numbers")
            if isinstance(node, ast.Call):
                if not isinstance(node.func, ast.Name) or node.func.id not in _FUNCTIONS or node.keywords:
                    raise ValueError(f"'{text}' calls a function other than {', '.join(_FUNCTIONS)}")
                one = node.func.id in _ONE_ARGUMENT
                if (len(node.args) != 1) if one else (len(node.args) < 2):
                    raise ValueError(
                        f"'{text}': {node.func.id} takes {'one value' if one else 'two or more values'}"
                    )
                called.add(id(node.func))
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called]
        names.sort(key=lambda node: (node.lineno, node.col_offset))
        self.names = tuple(dict.fromkeys(node.id for node in names))

    @cached_property
    def _evaluator(self) -> SimpleEval:
        evaluator = SimpleEval(operators=_OPERATORS, functions=_FUNCTIONS)

        def either(node: ast.BoolOp) -> bool | None:
            return _decided(map(evaluator._eval, node.values), by=isinstance(node.op, ast.Or))

        def chain(node: ast.Compare) -> bool | None:
            values = [evaluator._eval(part) for part in (node.left, *node.comparators)]
            steps = zip(node.ops, values, values[1:], strict=False)
            return _decided((_OPERATORS[type(compare)](a, b) for compare, a, b in steps), by=False)

        evaluator.nodes |= {ast.BoolOp: either, ast.Compare: chain}
        return evaluator

    def holds(self, grades: Mapping[str, int | None]) -> bool:
        """Return whether the expression is known to be true of one pair's grades; None stands for no grade."""
        self._evaluator.names = dict(grades)
        try:
            return bool(self._evaluator.eval(self.text))
        except InvalidExpression as error:
            raise ValueError(f"'{self.text}': {error}") from error

    def mask(self, grades: Mapping[str, npt.NDArray[np.int_]], size: int) -> npt.NDArray[np.bool_]:
        """Return for ``size`` pairs at once where the expression is known to be true; codes below 0 are no grade.

        Each distinct combination of the grades it speaks of is evaluated once (two dimensions of five levels
        and N/A have 36 of them), so the cost hardly depends on the number of pairs.
        """
        if not self.names:
            return np.full(size, self.holds({}))
        columns = np.stack([np.asarray(grades[name]) for name in self.names], axis=1)
        first, where = combinations(list(columns.T))
        distinct = columns[first]
        verdicts = np.array(
            [
                self.holds({n: None if v < 0 else int(v) for n, v in zip(self.names, row, strict=True)})
                for row in distinct
            ],
            dtype=bool,
        )
        result: npt.NDArray[np.bool_] = verdicts[where.reshape(-1)]
        return result


def combinations(
    columns: Sequence[npt.NDArray[np.int_]],
) -> tuple[npt.NDArray[np.int_], npt.NDArray[np.int_]]:
    """Return the first position of each distinct combination of values, and each position's combination.

    The columns are packed into one number a position first: numbers are far faster to sort than rows are.
    """
    codes, most = np.zeros(len(columns[0]), dtype=np.int_), 1
    for column in columns:
        low = int(column.min(initial=0))
        size = int(column.max(initial=0)) - low + 1
        if most * size > _MOST_CODES:
            distinct, codes = np.unique(codes, return_inverse=True)
            most = len(distinct)
        codes, most = codes * size + (column - low), most * size
    _, first, which = np.unique(codes, return_index=True, return_inverse=True)
    return first, which


def _decided(values: Iterable[Any], *, by: bool) -> bool | None:
    """Return Kleene's ``or`` (``by`` True) or ``and`` (``by`` False): one such value decides, else an unknown does."""
    outcome: bool | None = not by
    for value in values:
        if value is None:
            outcome = None
        elif bool(value) is by:
            return by
    return outcome


def _depth(tree: ast.AST) -> int:
    depth, layer = 0, [tree]
    while layer:
        layer = [child for node in layer for child in ast.iter_child_nodes(node)]
        depth += 1
    return depth
