"""Checks of rows: which ones are still good, what is wrong with the others, and the columns they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from workbench.column_mapping import constant
from workbench.errors import BadInput, NotFound

Key = tuple[str, ...]


@dataclass(frozen=True)
class Problem:
    """What is wrong with one row; ``row`` counts as in :func:`workbench.table_files.read_table`."""

    kind: str
    file: str
    row: int
    column: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}, column {self.column}: {self.message}."


@dataclass
class Sieve:
    """Which rows of a file are still good; a bad row becomes the problem of the first check it fails."""

    file: str
    rows: npt.NDArray[np.int_]  # row numbers in the file
    problems: list[Problem]
    good: npt.NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        self.good = np.ones(len(self.rows), dtype=bool)

    def refuse(
        self,
        kind: str,
        column: str | Sequence[str],
        bad: npt.ArrayLike,
        tell: Callable[[int], tuple[str, str]],
    ) -> None:
        """Take out the good rows that are ``bad``; ``tell(position)`` says (message, remedy).

        ``column`` is one name, or one a row.
        """
        fallen = np.asarray(bad, dtype=bool) & self.good
        for i in np.flatnonzero(fallen).tolist():
            name = column if isinstance(column, str) else column[i]
            self.problems.append(Problem(kind, self.file, int(self.rows[i]), name, *tell(i)))
        self.good &= ~fallen


def need(table: pd.DataFrame, columns: Iterable[str], file: str) -> None:
    """Raise BadInput, with the nearest names there are, unless ``table`` has all ``columns``."""
    for column in columns:
        if column not in table:
            hint = NotFound.among("column", column, table.columns).hint
            raise BadInput(f"{file} has no column '{column}'.", hint)


def values(table: pd.DataFrame, column: str) -> pd.Series:
    """Return a column, or a constant for every row, without outer white space and carriage returns."""
    text = constant(column)
    if text is not None:
        return pd.Series(text, index=table.index, dtype="str")
    return table[column].str.strip().str.replace("\r\n", "\n", regex=False)


def keys(table: pd.DataFrame, columns: Iterable[str]) -> list[Key]:
    """Return the texts of ``columns`` as one tuple a row."""
    texts = [values(table, column).tolist() for column in columns]
    return list(zip(*texts, strict=True)) if texts else [()] * len(table)
