"""Rows of mapped tables to pairs, labels and recorded scores, with a problem for every row that is none.

The work is done on whole columns; Python loops run only over pairs (to hash them) and over bad rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from workbench.column_mapping import ImportSpec, LabelRows, RecordedRows, constant, normal
from workbench.errors import BadInput, NotFound
from workbench.golden import LABEL_COLUMNS, NOT_GRADED, Pair, Source, Split, label_table
from workbench.policy import OVERALL, Body
from workbench.row_checks import Key, Problem, Sieve, keys, need, values
from workbench.table_files import Files, open_table

Integers = npt.NDArray[np.int_]

RECORDED_COLUMNS = ["judge", "version", "pair_id", "dimension", "score"]


@dataclass
class _Located:
    """Rows of labels or scores whose pair is known: their table, pair position and key position."""

    file: str
    table: pd.DataFrame
    pair: Integers
    key: Integers


class Reading:
    """One import under way.

    Attributes:
        pairs: the distinct pairs, in the order of their first row.
        splits: pair id -> split, where the mapping has a column of splits.
        merged_pairs: distinct keys (rows, where there is no key) whose texts an earlier one had.
        tables: file -> table, as far as files have been read.
        problems: found so far, in the order of checks.
        duplicates: label or score rows that said the same as an earlier one of their file.
        blank: empty cells of wide files.
    """

    def __init__(self, spec: ImportSpec, files: Files, policy: Body) -> None:
        """Read the pair rows and the files joined to them.

        Raises:
            BadInput, NotFound: for whole-file problems.
        """
        self.spec, self.policy = spec, policy
        self.problems: list[Problem] = []
        self.tables: dict[str, pd.DataFrame] = {}
        self.pairs: list[Pair] = []
        self.splits: dict[str, Split] = {}
        self.merged_pairs = self.duplicates = self.blank = 0
        self._files = files
        self._dimensions = {normal(key): key for key in (*policy.keys, OVERALL)}
        self._check_names()
        self._make_pairs(*self._join())

    def labels(self, at: datetime) -> pd.DataFrame:
        """Return the labels of all sources as ``LABEL_COLUMNS``, by source, row and column."""
        frames = [self._labels_of(source, at) for source in self.spec.labels]
        if not frames:
            return label_table([])
        labels = pd.concat(frames, ignore_index=True)
        # With equal times, which label is the newest would hang on the order that a later query gives them.
        again = labels.groupby(["pair_id", "dimension", "labeler", "at"], sort=False).cumcount()
        labels["at"] += again.to_numpy().astype("timedelta64[us]")
        return labels

    def recorded(self, rows: RecordedRows) -> pd.DataFrame:
        """Return recorded scores as ``RECORDED_COLUMNS``, in the order of rows."""
        at = self._locate(rows)
        written = values(at.table, rows.score)
        frame = pd.DataFrame(
            {
                "judge": values(at.table, rows.judge),
                "version": values(at.table, rows.version),
                "pair": at.pair,
                "key": at.key,
                "score": pd.to_numeric(written, errors="coerce").astype(np.float64),
            },
            index=at.table.index,
        )
        sieve = self._sieve(at.file, frame)
        dimensions = values(at.table, rows.dimension)
        frame["dimension"] = self._known_dimensions(sieve, rows.dimension, dimensions)
        sieve.refuse(
            "no judge", rows.judge, frame["judge"] == "", lambda _: ("no judge is named", "Fill it in.")
        )
        absent = written.str.casefold().isin(["", "nan"])
        sieve.refuse(
            "not a number",
            rows.score,
            ~np.isfinite(frame["score"]) & ~absent,
            lambda i: (f"'{written.iloc[i]}' is not a number", "Leave it empty where the judge failed."),
        )
        frame = frame[sieve.good]
        frame = self._merge_repeats(at.file, frame, ["judge", "version", "dimension"], "score", rows.score)
        frame = frame.drop_duplicates(["judge", "version", "pair", "dimension"], keep="last")
        frame["pair_id"] = self._ids(frame["pair"])
        return frame[RECORDED_COLUMNS].reset_index(drop=True)

    # Pairs

    def _check_names(self) -> None:
        spec, layout = self.spec, self.policy.pair
        for side, columns in ((layout.query, spec.query), (layout.document, spec.document)):
            for name in columns:
                if name not in side.fields:
                    hint = NotFound.among("field", name, side.fields).hint
                    raise BadInput(f"The {side.name} of the policy has no field '{name}'.", hint)
        named = [answer.dimension for source in spec.labels for answer in source.shape.answers()]
        for name in (*named, *([spec.recorded.dimension] if spec.recorded else [])):
            dimension = constant(name)
            if dimension is not None and normal(dimension) not in self._dimensions:
                raise BadInput(f"The policy has no dimension '{dimension}'.", self._nearest(dimension))

    def _join(self) -> tuple[pd.DataFrame, Sieve]:
        """Return the pair rows with the columns that the mapping takes from joined files."""
        spec, file = self.spec, self.spec.pairs.file
        rows = self._table(file, spec.pairs.key).copy(deep=False)
        sieve = self._sieve(file, rows)
        used = spec.pair_columns()
        for join in spec.pairs.join:
            need(rows, join.by, file)
            other = self._table(join.file, join.by)
            wanted = [column for column in other if column in used and column not in join.by]
            if clash := [column for column in wanted if column in rows]:
                raise BadInput(
                    f"Column '{clash[0]}' is in {join.file} and in a file before it.", "Rename one."
                )
            place: dict[Key, int] = {}
            for i, key in enumerate(keys(other, join.by)):
                if place.setdefault(key, i) != i:
                    raise BadInput(
                        f"{join.file}, row {other.index[i]}: '{', '.join(key)}' is there again, first in row "
                        f"{other.index[place[key]]}.",
                        f"A joined file has one row for each {', '.join(join.by)}.",
                    )
            mine = keys(rows, join.by)
            where = np.array([place.get(key, -1) for key in mine], dtype=np.int_)
            sieve.refuse(
                "no row to join", ", ".join(join.by), where < 0, partial(_not_joined, join.file, mine)
            )
            for column in wanted:
                rows[column] = other[column].to_numpy()[where]
        need(rows, sorted(used), " or ".join([file, *(join.file for join in spec.pairs.join)]))
        return rows, sieve

    def _make_pairs(self, rows: pd.DataFrame, sieve: Sieve) -> None:
        """Set ``pairs``, and for rows and keys which pair (-1: none) and which key they are."""
        spec = self.spec
        query, document = keys(rows, spec.query.values()), keys(rows, spec.document.values())
        texts = list(zip(query, document, strict=True))
        for what, side, columns in (("query", query, spec.query), ("document", document, spec.document)):
            empty = [not any(fields) for fields in side]
            told = (f"the {what} has no text", "Fill it in, or remove the row.")
            sieve.refuse(f"no {what} text", ", ".join(columns.values()), empty, partial(_always, told))
        row_keys: Sequence[object] = keys(rows, spec.pairs.key) if spec.pairs.key else texts
        first: dict[object, int] = {}
        start = [first.setdefault(key, i) for i, key in enumerate(row_keys)]
        sieve.refuse(
            "one key for two pairs",
            ", ".join(spec.pairs.key),
            [texts[i] != texts[j] for i, j in enumerate(start)],
            lambda i: (f"row {rows.index[start[i]]} has other texts", "Give different pairs different keys."),
        )
        splits = self._checked_splits(rows, sieve, query) if spec.split else []
        pair_of_row = np.full(len(rows), -1, dtype=np.int_)
        # Texts are looked up first, so that a row that repeats a pair is not hashed; then ids, because texts that
        # differ only in their Unicode form are one pair.
        seen: dict[object, int] = {}
        for i, (text, meta) in enumerate(zip(texts, keys(rows, spec.meta.values()), strict=True)):
            if not sieve.good[i]:
                continue
            if text not in seen:
                pair = Pair(
                    query=dict(zip(spec.query, text[0], strict=True)),
                    document=dict(zip(spec.document, text[1], strict=True)),
                    meta=dict(zip(spec.meta, meta, strict=True)),
                )
                seen[text] = seen.setdefault(pair.id, len(self.pairs))
                if seen[text] == len(self.pairs):
                    self.pairs.append(pair)
                    if splits:
                        self.splits[pair.id] = splits[i]
            pair_of_row[i] = seen[text]
        # A key is known by the position of its first row.
        self._rows, self._pair_of_row, self._key_of_row = rows, pair_of_row, np.array(start, dtype=np.int_)
        self._place_of_key = first
        named = pair_of_row[list(first.values())] if spec.pairs.key else pair_of_row
        self.merged_pairs = int((named >= 0).sum()) - len(self.pairs)

    def _checked_splits(self, rows: pd.DataFrame, sieve: Sieve, query: list[Key]) -> list[Split]:
        """Return one split a row; a row is refused if it has none, or another one than its query has above."""
        column = str(self.spec.split)
        splits: list[Split] = values(rows, column).tolist()
        known = get_args(Split)
        sieve.refuse(
            "unknown split",
            column,
            [split not in known for split in splits],
            lambda i: (f"'{splits[i]}' is no split", f"Write {' or '.join(known)}."),
        )
        first: dict[Key, int] = {}
        for i, fields in enumerate(query):
            if sieve.good[i]:
                first.setdefault(fields, i)
        sieve.refuse(
            "query in two splits",
            column,
            [splits[i] != splits[first.get(fields, i)] for i, fields in enumerate(query)],
            lambda i: (
                f"its query is in {splits[first[query[i]]]} in row {rows.index[first[query[i]]]}",
                "All pairs of a query belong to one split.",
            ),
        )
        return splits

    # Labels and scores

    def _locate(self, rows: LabelRows | RecordedRows) -> _Located:
        """Return the rows of a file that have a pair."""
        if self.spec.in_pair_rows(rows):
            file, table, pair, key = self.spec.pairs.file, self._rows, self._pair_of_row, self._key_of_row
            here = pair >= 0  # a bad row of the pairs is a problem already
        else:
            file, on = str(rows.file), self.spec.key_of(rows)
            table = self._table(file, [*on, *sorted(rows.columns())])
            named = keys(table, on)
            key = np.array([self._place_of_key.get(name, -1) for name in named], dtype=np.int_)
            pair = np.where(key >= 0, self._pair_of_row[key], -1)
            sieve = self._sieve(file, table)
            pairs_file, column = self.spec.pairs.file, ", ".join(on)
            sieve.refuse(
                "pair not there",
                column,
                key < 0,
                lambda i: (f"{pairs_file} has no pair '{', '.join(named[i])}'", "Add it, or remove the row."),
            )
            sieve.refuse(
                "pair left out",
                column,
                pair < 0,
                lambda i: (f"its pair '{', '.join(named[i])}' is left out", f"Correct it in {pairs_file}."),
            )
            here = sieve.good
        return _Located(file, table[here], pair[here], key[here])

    def _labels_of(self, source: LabelRows, at: datetime) -> pd.DataFrame:
        located = self._locate(source)
        file, table, shape = located.file, located.table, source.shape
        blocks = [
            pd.DataFrame(
                {
                    "position": np.arange(len(table)),
                    "pair": located.pair,
                    "key": located.key,
                    "named": values(table, answer.dimension),
                    "written": values(table, answer.column),
                    "labeler": values(table, answer.labeler),
                    "note": values(table, shape.note or "="),
                    "time": values(table, shape.at or "="),
                    "source": values(table, source.source_column or f"={source.source}"),
                    "column": answer.column,
                },
                index=table.index,
            )
            for answer in shape.answers()
        ]
        frame: pd.DataFrame = pd.concat(blocks)
        if source.wide:
            frame = frame.sort_values("position", kind="stable")
            if "" not in source.codes:
                empty = frame["written"] == ""
                self.blank += int(empty.sum())
                frame = frame[~empty]
        elif self.spec.in_pair_rows(source) and "" not in source.codes:
            # A file with a row a label has to have a row for a pair that nobody labelled, too.
            frame = frame[(frame[["named", "written", "labeler"]] != "").any(axis=1)]
        sieve = self._sieve(file, frame)
        dimension_column = source.long.dimension if source.long else ""
        frame["dimension"] = self._known_dimensions(sieve, dimension_column, frame["named"])
        frame["grade"] = self._grades(sieve, source, frame)
        sieve.refuse(
            "no labeler",
            shape.labeler or "",
            frame["labeler"] == "",
            lambda _: ("nobody is named", "Fill it in."),
        )
        time = pd.to_datetime(
            frame["time"].where(frame["time"] != ""), utc=True, format="ISO8601", errors="coerce"
        )
        sieve.refuse(
            "not a time",
            shape.at or "",
            time.isna() & (frame["time"] != ""),
            lambda i: (f"'{frame['time'].iloc[i]}' is not a time", "Write it as 2026-01-31T09:30:00Z."),
        )
        frame["source"] = frame["source"].where(frame["source"] != "", source.source)
        sieve.refuse(
            "unknown source",
            source.source_column or "",
            ~frame["source"].isin(get_args(Source)),
            lambda i: (f"'{frame['source'].iloc[i]}' is no source", f"Write {', '.join(get_args(Source))}."),
        )
        frame["at"] = time.astype("datetime64[us, UTC]").fillna(pd.Timestamp(at.astimezone(UTC)))
        frame = frame[sieve.good]
        frame = self._merge_repeats(
            file, frame, ["dimension", "labeler", "at"], "grade", frame["column"].tolist()
        )
        frame["pair_id"] = self._ids(frame["pair"])
        return frame[LABEL_COLUMNS]

    def _known_dimensions(self, sieve: Sieve, column: str, names: pd.Series) -> pd.Series:
        """Return dimension keys, written in any case; unknown ones are refused."""
        distinct = {name: self._dimensions.get(normal(name)) for name in names.unique()}
        hints = {name: self._nearest(name) for name, key in distinct.items() if key is None}
        sieve.refuse(
            "unknown dimension",
            column,
            names.isin(list(hints)),
            lambda i: (f"the policy has no dimension '{names.iloc[i]}'", hints[names.iloc[i]]),
        )
        return names.map({name: key or "" for name, key in distinct.items()}).astype("str")

    def _nearest(self, dimension: str) -> str:
        return NotFound.among("dimension", dimension, self._dimensions.values()).hint

    def _grades(self, sieve: Sieve, source: LabelRows, frame: pd.DataFrame) -> Integers:
        """Return grades; each distinct (dimension, text) is read once."""
        combination = frame.groupby(["dimension", "written"], sort=False).ngroup().to_numpy()
        _, first = np.unique(combination, return_index=True)
        codes: list[int] = []
        faults: dict[int, tuple[str, str, str]] = {}
        for dimension, written in frame[["dimension", "written"]].iloc[first].itertuples(index=False):
            read = NOT_GRADED if not dimension else source.read_grade(written, dimension, self.policy)
            if not isinstance(read, int):
                faults[len(codes)] = read
            codes.append(read if isinstance(read, int) else NOT_GRADED)
        for kind in dict.fromkeys(fault[0] for fault in faults.values()):
            mine = [i for i, fault in faults.items() if fault[0] == kind]
            sieve.refuse(
                kind,
                frame["column"].tolist(),
                np.isin(combination, mine),
                lambda i: faults[int(combination[i])][1:],
            )
        return np.array(codes, dtype=np.int_)[combination]

    def _merge_repeats(
        self, file: str, frame: pd.DataFrame, by: list[str], value: str, column: str | Sequence[str]
    ) -> pd.DataFrame:
        """Return the first row of each key and ``by``; later ones that say the same are counted, others refused."""
        group = frame.groupby(["key", *by], sort=False).ngroup().to_numpy()
        _, first = np.unique(group, return_index=True)
        start = first[group]
        again = start != np.arange(len(frame))
        given = frame[value].to_numpy()
        same = (given == given[start]) | (pd.isna(given) & pd.isna(given[start]))
        sieve = self._sieve(file, frame)
        who = "judge" if "judge" in by else "labeler"
        sieve.refuse(
            "contradiction",
            column,
            again & ~same,
            lambda i: (
                f"{frame[who].iloc[i]} gives {given[i]} here and {given[start[i]]} in row {frame.index[start[i]]}"
                f" on {frame['dimension'].iloc[i]} of the same pair",
                "Keep one of them, or give each its time.",
            ),
        )
        self.duplicates += int((again & same).sum())
        kept: pd.DataFrame = frame.loc[~again].copy()
        return kept

    # Tables

    def _table(self, file: str, columns: Iterable[str]) -> pd.DataFrame:
        if file not in self.tables:
            self.tables[file] = open_table(self._files, file)
        need(self.tables[file], columns, file)
        return self.tables[file]

    def _sieve(self, file: str, table: pd.DataFrame) -> Sieve:
        return Sieve(file, table.index.to_numpy(), self.problems)

    def _ids(self, pairs: pd.Series) -> pd.Series:
        return pairs.map(dict(enumerate(pair.id for pair in self.pairs))).astype("str")


def _not_joined(file: str, wanted: list[Key], position: int) -> tuple[str, str]:
    return f"{file} has no row '{', '.join(wanted[position])}'", "Add that row, or remove this one."


def _always(told: tuple[str, str], _: int) -> tuple[str, str]:
    return told
