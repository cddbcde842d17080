"""Which columns of somebody's files are what: the mapping of an import.

A mapping is a YAML document (examples in ``golden_sets/mappings``). It names the files, how their rows find each
other, and which column holds which field, grade and labeler. Reading the files is :mod:`workbench.formats`, a first guess :mod:`workbench.mapping_guess`.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field, model_validator

from workbench.golden import NOT_APPLICABLE, UNRATEABLE, Source
from workbench.identity import Value
from workbench.policy import OVERALL, Body, Filled, Key, Name


def _inside(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise ValueError(f"a file is named from the folder of the import downwards, not '{name}'")
    return name


FileName = Annotated[Filled, AfterValidator(_inside)]
Column = Filled
ColumnOrConstant = Annotated[
    Filled, Field(description="A column, or '=' and the text that holds for every row.")
]
Columns = tuple[Column, ...]

_WHOLE_NUMBER = re.compile(r"[+-]?\d{1,6}(\.0+)?", re.ASCII)  # 3.0 is how table tools write a 3 beside a gap


def constant(column: str) -> str | None:
    """Return the text of a ``=constant``, None for a column."""
    return column[1:].strip() if column.startswith("=") else None


def normal(name: str) -> str:
    """Return a name in lower case with runs of other signs as one underscore: ``Job Title`` is ``job_title``."""
    return re.sub(r"[\W_]+", "_", name.casefold()).strip("_")


class Join(Value):
    """More columns for the pair rows, from the one row of ``file`` with the same values in ``by``."""

    file: FileName
    by: Columns = Field(min_length=1, description="Not called on: YAML reads a bare on as true.")


class PairRows(Value):
    """The file with a row a pair (or a row a label, where pairs and labels are in one file).

    ``key`` names a row for other files. Rows with equal texts are one pair, whatever their keys.
    """

    file: FileName
    key: Columns = ()
    join: tuple[Join, ...] = ()


class Answer(NamedTuple):
    """Where one answer of a row is: its dimension and labeler (columns or constants) and its grade column."""

    dimension: str
    column: str
    labeler: str


class Long(Value):
    """One row a label."""

    dimension: ColumnOrConstant
    grade: Column
    labeler: ColumnOrConstant
    note: Column | None = None
    at: Column | None = Field(
        default=None, description="ISO 8601 time of the label; without a zone it is UTC; empty: the import's."
    )

    def answers(self) -> list[Answer]:
        """Return the one answer of a row."""
        return [Answer(self.dimension, self.grade, self.labeler)]


class WideColumn(Value):
    """A column that holds one labeler's grades on one dimension; without ``labeler``, the row's labeler."""

    dimension: Key
    column: Column
    labeler: Filled | None = None


class Wide(Value):
    """One column a dimension, or one a (dimension, labeler); an empty cell is no label."""

    columns: dict[Key, Column] | tuple[WideColumn, ...] = Field(min_length=1)
    labeler: ColumnOrConstant | None = None
    note: Column | None = None
    at: Column | None = Field(default=None, description="As in the long shape.")

    def answers(self) -> list[Answer]:
        """Return the answers of a row, in the order of the mapping."""
        listed = self.columns
        if isinstance(listed, dict):
            listed = tuple(WideColumn(dimension=key, column=column) for key, column in listed.items())
        return [
            Answer(f"={x.dimension}", x.column, f"={x.labeler}" if x.labeler else self.labeler or "")
            for x in listed
        ]

    @model_validator(mode="after")
    def _complete(self) -> Wide:
        for answer in self.answers():
            if not answer.labeler:
                raise ValueError(
                    f"column '{answer.column}' has no labeler; give 'labeler: =name' or a column"
                )
        column, count = Counter(answer.column for answer in self.answers()).most_common(1)[0]
        if count > 1:
            raise ValueError(f"column '{column}' is used twice")
        return self


class LabelRows(Value):
    """One source of labels and how its grades are written.

    ``key`` are the columns that answer to the key of the pair rows, in the same order (default: the same names).
    ``grades``, ``na`` and ``unrateable`` translate what is written, upper and lower case alike; a text that none
    of them lists has to be a whole number on the dimension's scale.
    """

    file: FileName | None = Field(default=None, description="Default: the file of the pairs.")
    key: Columns = ()
    long: Long | None = None
    wide: Wide | None = None
    source: Source = "human"
    source_column: Column | None = Field(
        default=None, description="Says human, adjudicated or import for each row; empty cells: source."
    )
    grades: dict[str, Annotated[int, Field(ge=0)]] = {}
    na: tuple[str, ...] = ()
    unrateable: tuple[str, ...] = ()

    @property
    def shape(self) -> Long | Wide:
        """The one shape that is given."""
        shape = self.long or self.wide
        assert shape is not None, "validated"
        return shape

    def columns(self) -> set[str]:
        """Return every column that labels are read from, the key not among them."""
        shape = self.shape
        named = {shape.note, shape.at, self.source_column}.union(*self.shape.answers())
        return {column for column in named if column and constant(column) is None}

    @cached_property
    def codes(self) -> dict[str, int]:
        """Text in lower case -> grade, ``NOT_APPLICABLE`` or ``UNRATEABLE``."""
        written = [*self.grades.items(), *((text, NOT_APPLICABLE) for text in self.na)]
        written += [(text, UNRATEABLE) for text in self.unrateable]
        return {text.strip().casefold(): code for text, code in written}

    def read_grade(self, written: str, dimension: str, policy: Body) -> int | tuple[str, str, str]:
        """Return the grade that a text stands for, or (kind, message, remedy) of what is wrong with it."""
        code = self.codes.get(written.casefold())
        if code == UNRATEABLE:
            return code
        if code == NOT_APPLICABLE:
            if dimension == OVERALL or policy.dimension(dimension).allow_na:
                return code
            remedy = "Allow it in the policy, or list the text under unrateable."
            return "N/A not allowed", f"{dimension} does not allow N/A", remedy
        if code is None:
            if not written:
                return "no grade", "the grade is empty", "Fill it in, or list '' under na or unrateable."
            if not _WHOLE_NUMBER.fullmatch(written):
                remedy = "Import each labeler's own grades; list words under grades, na or unrateable."
                return "not a whole grade", f"'{written}' is not a whole grade", remedy
            code = int(float(written))
        scale = policy.scale(dimension)
        if code not in scale:
            message = f"'{written}' is outside the scale of {dimension}, {scale[0]}–{scale[-1]}"
            return "outside the scale", message, "Correct it, or translate it under grades."
        return code

    @model_validator(mode="after")
    def _one_shape(self) -> LabelRows:
        if (self.long is None) == (self.wide is None):
            raise ValueError("a source of labels needs exactly one of long and wide")
        written = [text.strip().casefold() for text in (*self.grades, *self.na, *self.unrateable)]
        text, count = Counter(written).most_common(1)[0] if written else ("", 0)
        if count > 1:
            raise ValueError(f"'{text}' is translated twice")
        return self


class RecordedRows(Value):
    """Judgements made elsewhere, one row a score; the key finds the pair as in :class:`LabelRows`."""

    file: FileName
    key: Columns = ()
    dimension: ColumnOrConstant
    score: Column
    judge: ColumnOrConstant
    version: ColumnOrConstant = "="
    policy_versions: dict[str, int] = Field(
        default={},
        description="Recorded version: number of the policy version it stands for (default: the newest).",
    )

    def columns(self) -> set[str]:
        """Return every column that scores are read from, the key not among them."""
        named = (self.dimension, self.score, self.judge, self.version)
        return {column for column in named if constant(column) is None}


class ImportSpec(Value):
    """Everything that has to be known to read somebody's files as one golden set."""

    golden: Name
    policy: Name
    pairs: PairRows
    query: dict[Key, Column] = Field(min_length=1, description="Field of the policy: column.")
    document: dict[Key, Column] = Field(min_length=1, description="Field of the policy: column.")
    meta: dict[Key, Column] = Field(
        default={}, description="Facts to slice by; not part of the pair's identity."
    )
    split: Column | None = Field(
        default=None,
        description="Says dev or holdout, the same for all pairs of a query. A query that the set has keeps its own.",
    )
    labels: tuple[LabelRows, ...] = ()
    recorded: RecordedRows | None = None

    def key_of(self, rows: LabelRows | RecordedRows) -> Columns:
        """Return the key columns of a file that is not the pairs file."""
        return rows.key or self.pairs.key

    def in_pair_rows(self, rows: LabelRows | RecordedRows) -> bool:
        """Whether these labels or scores are columns of the pair rows themselves."""
        return rows.file in (None, self.pairs.file)

    def pair_columns(self) -> set[str]:
        """Return every column that the pair rows, joined files included, have to have beside keys."""
        used = {*self.query.values(), *self.document.values(), *self.meta.values()}
        used |= {self.split} if self.split else set()
        return used.union(*(rows.columns() for rows in self._sources() if self.in_pair_rows(rows)))

    def _sources(self) -> list[LabelRows | RecordedRows]:
        return [*self.labels, *([self.recorded] if self.recorded else [])]

    @model_validator(mode="after")
    def _keys_meet(self) -> ImportSpec:
        for rows in self._sources():
            if self.in_pair_rows(rows):
                if rows.key and rows.key != self.pairs.key:
                    raise ValueError(
                        f"labels in {self.pairs.file} lie in the pair rows and need no other key"
                    )
            elif not self.pairs.key:
                raise ValueError(f"pairs need a key, so that the rows of {rows.file} can find their pair")
            elif len(self.key_of(rows)) != len(self.pairs.key):
                raise ValueError(
                    f"the key of {rows.file} has to match the key of the pairs, column by column"
                )
        return self
