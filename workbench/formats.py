"""Importing golden sets: somebody's files and a column mapping to pairs, labels and a report.

What is wrong with a whole file or with the mapping is an error at once. What is wrong with single rows is
collected as :class:`~workbench.row_checks.Problem`: a strict import refuses everything and says the first one, a
lenient one leaves those rows out and counts them by kind. Grades are never rounded or averaged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import pandas as pd

from workbench.column_mapping import ImportSpec
from workbench.errors import BadInput, NotFound
from workbench.golden import Pair, Split
from workbench.import_rows import RECORDED_COLUMNS, Reading
from workbench.policy import Body
from workbench.row_checks import Problem
from workbench.table_files import Files, read_table
from workbench.yamltext import YamlText, validate

__all__ = [
    "RECORDED_COLUMNS",
    "ImportPreview",
    "ImportReport",
    "Imported",
    "Problem",
    "preview",
    "read_import",
    "read_mapping",
    "read_recorded",
    "read_table",
]

SAMPLE = 20


@dataclass(frozen=True)
class ImportReport:
    """What an import found, in numbers.

    Attributes:
        rows: file -> rows read.
        pairs, queries: how many there are, by content.
        merged_pairs: pair rows (distinct keys, where the mapping has a key) whose texts an earlier one had.
        labels: source (human, adjudicated, import) -> labels.
        labelers: their names, sorted.
        duplicates: label rows that repeated an earlier row of their file and were merged with it.
        repeated: labels by a labeler who had answered about the same texts before (under another key, in another
            file). All are kept and the newest counts, as for every change of mind.
        blank: empty cells of wide files, which are no labels.
        problems: in the order of files and rows.
    """

    rows: Mapping[str, int]
    pairs: int
    queries: int
    merged_pairs: int
    labels: Mapping[str, int]
    labelers: tuple[str, ...]
    duplicates: int
    repeated: int
    blank: int
    problems: tuple[Problem, ...] = ()

    @property
    def kinds(self) -> dict[str, int]:
        """Kind of problem -> rows, the most frequent first."""
        return dict(Counter(problem.kind for problem in self.problems).most_common())


@dataclass(frozen=True)
class Imported:
    """The outcome of an import; ``labels`` has ``golden.LABEL_COLUMNS``, ``splits`` is empty or of every pair."""

    pairs: list[Pair]
    labels: pd.DataFrame = field(repr=False)
    report: ImportReport
    splits: Mapping[str, Split] = field(default_factory=dict)


@dataclass(frozen=True)
class ImportPreview:
    """What an import would give: the report with every problem, the first pairs, and labels by grade.

    ``grades`` has a row a dimension and a column a grade (N/A and unrateable by their codes).
    """

    report: ImportReport
    sample: list[Pair]
    grades: pd.DataFrame


def read_mapping(path: Path) -> ImportSpec:
    """Return the column mapping in a YAML file.

    Raises:
        NotFound: if there is no such file.
        BadInput: with file, line and place.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise NotFound(f"No mapping is called '{path.name}'.", "Check the folder and the name.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path.name} cannot be read as text.", "It has to be a YAML file in UTF-8."
        ) from error
    source = YamlText(text, path.name)
    return validate(ImportSpec, source.data, path.name, source)


def read_import(
    spec: ImportSpec, files: Files, policy: Body, at: datetime, *, skip_bad_rows: bool = False
) -> Imported:
    """Return the pairs and labels that ``spec`` finds in ``files``.

    Texts lose outer white space and carriage returns. Labels by one labeler about the same texts at the same
    time are put a microsecond apart in the order of their rows, so that it is defined which one is the newest.

    Args:
        at: time, with a zone, of the labels whose file has none.
        skip_bad_rows: leave bad rows out and report them instead of refusing the import.

    Raises:
        BadInput: for a whole-file problem, and without ``skip_bad_rows`` for any problem; nothing is imported.
        NotFound: for a file that is not there.
    """
    if at.tzinfo is None:
        raise ValueError("'at' needs a zone")
    reading = Reading(spec, files, policy)
    labels = reading.labels(at)
    if reading.problems and not skip_bad_rows:
        _refuse(_in_order(reading))
    return Imported(reading.pairs, labels, _report(reading, labels), reading.splits)


def preview(spec: ImportSpec, files: Files, policy: Body) -> ImportPreview:
    """Return what importing would give; problems of rows are reported, never raised.

    Raises:
        BadInput, NotFound: for whole-file problems only.
    """
    imported = read_import(spec, files, policy, datetime.now(UTC), skip_bad_rows=True)
    grades = pd.crosstab(imported.labels["dimension"], imported.labels["grade"])
    return ImportPreview(imported.report, imported.pairs[:SAMPLE], grades)


def read_recorded(spec: ImportSpec, files: Files, policy: Body) -> pd.DataFrame:
    """Return recorded judgements as ``RECORDED_COLUMNS``, ``score`` in float64.

    One row a (judge, version, pair, dimension): where rows with equal texts are one pair, the score of the
    last. A score outside the scale stays as it is; an empty one is NaN: the judge failed.

    Raises:
        BadInput: for any problem, of pair rows or scores, with file and row.
        NotFound: for a file that is not there.
    """
    if spec.recorded is None:
        raise BadInput("The mapping has no recorded judgements.", "Add a section 'recorded:' to it.")
    reading = Reading(spec, files, policy)
    scores = reading.recorded(spec.recorded)
    if reading.problems:
        _refuse(_in_order(reading))
    return scores


def _report(reading: Reading, labels: pd.DataFrame) -> ImportReport:
    # The hash knows Unicode forms; taking equal texts out first spares most of the hashing.
    queries = {tuple(pair.query.values()): pair for pair in reading.pairs}
    return ImportReport(
        rows={file: len(table) for file, table in reading.tables.items()},
        pairs=len(reading.pairs),
        queries=len({pair.query_id for pair in queries.values()}),
        merged_pairs=reading.merged_pairs,
        labels={source: int(count) for source, count in Counter(labels["source"]).items()},
        labelers=tuple(sorted(labels["labeler"].unique())),
        duplicates=reading.duplicates,
        repeated=int(labels.duplicated(["pair_id", "dimension", "labeler"]).sum()),
        blank=reading.blank,
        problems=_in_order(reading),
    )


def _in_order(reading: Reading) -> tuple[Problem, ...]:
    files = list(reading.tables)
    return tuple(sorted(reading.problems, key=lambda problem: (files.index(problem.file), problem.row)))


def _refuse(problems: Sequence[Problem]) -> NoReturn:
    more = len(problems) - 1
    rest = f" {more:,} more problem{'s' if more > 1 else ''}." if more else ""
    raise BadInput(f"{problems[0]}{rest}", f"{problems[0].remedy} Nothing was imported.")
