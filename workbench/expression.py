"""Gate expressions: a small safe language over dimension grades, such as ``location == 0 and skills <= 2``.

simpleeval does the evaluating, with only comparison, Boolean and arithmetic operators, ``min``, ``max``,
``abs`` and ``na``. A grade that is not applicable compares as false with everything, so a gate never fires on
a dimension that was not graded; ask for it with ``na(dimension)``.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from simpleeval import InvalidExpression, SimpleEval

from workbench.golden import NOT_APPLICABLE


def _comparison(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def known(a: Any, b: Any) -> bool:
        return a is not None and b is not None and compare(a, b)

    return known


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Eq: _comparison(operator.eq),
    ast.NotEq: _comparison(operator.ne),
    ast.Lt: _comparison(operator.lt),
    ast.LtE: _comparison(operator.le),
    ast.Gt: _comparison(operator.gt),
    ast.GtE: _comparison(operator.ge),
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "na": lambda grade: grade is None,
}
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
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError) as error:
            raise ValueError(f"'{text}' is not an expression such as \"location == 0\"") from error
        called = set()
        names: list[str] = []
        for node in ast.walk(tree):
            if not isinstance(node, _NODES):
                raise ValueError(f"'{text}' uses {type(node).__name__}, which gates do not know")
            if isinstance(node, ast.Constant) and not isinstance(node.value, int | float):
                raise ValueError(f"'{text}' compares with {node.value!r}; gates know only numbers")
            if isinstance(node, ast.Call):
                if not isinstance(node.func, ast.Name) or node.func.id not in _FUNCTIONS or node.keywords:
                    raise ValueError(f"'{text}' calls a function other than {', '.join(_FUNCTIONS)}")
                called.add(id(node.func))
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and id(node) not in called and node.id not in names:
                names.append(node.id)
        self.names = tuple(names)

    @cached_property
    def _evaluator(self) -> SimpleEval:
        return SimpleEval(operators=_OPERATORS, functions=_FUNCTIONS)

    def holds(self, grades: Mapping[str, int | None]) -> bool:
        """Return whether the expression is true of one pair's grades; None stands for not applicable."""
        self._evaluator.names = dict(grades)
        try:
            return bool(self._evaluator.eval(self.text))
        except TypeError:
            return False  # arithmetic or min/max over a grade that is not applicable: not known to be true
        except InvalidExpression as error:
            raise ValueError(f"'{self.text}': {error}") from error

    def mask(self, grades: Mapping[str, npt.NDArray[np.int_]], size: int) -> npt.NDArray[np.bool_]:
        """Return for ``size`` pairs at once where the expression is true.

        Each distinct combination of the grades it speaks of is evaluated once (two dimensions of five levels
        and N/A have 36 of them), so the cost hardly depends on the number of pairs.
        """
        if not self.names:
            return np.full(size, self.holds({}))
        columns = np.stack([np.asarray(grades[name]) for name in self.names], axis=1)
        distinct, where = np.unique(columns, axis=0, return_inverse=True)
        verdicts = np.array(
            [
                self.holds(
                    {n: None if v == NOT_APPLICABLE else int(v) for n, v in zip(self.names, row, strict=True)}
                )
                for row in distinct
            ],
            dtype=bool,
        )
        result: npt.NDArray[np.bool_] = verdicts[where.reshape(-1)]
        return result
