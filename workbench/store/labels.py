"""Labels in the store: appended, never changed; what a labeler has done and what comes next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import sqlalchemy as sa

from workbench.errors import NotFound
from workbench.golden import (
    CONSENSUS_RULES,
    LABEL_COLUMNS,
    NOT_GRADED,
    Label,
    label_table,
    newest,
    typed_labels,
)
from workbench.store.answer_counts import AnswerCounts
from workbench.store.golden_sets import IDS_A_QUERY, GoldenStore
from workbench.store.tables import GoldenRow, LabelRow, MemberRow, table


class LabelStore(GoldenStore):
    """Labels hang on a golden set and one of its pairs; the newest by one labeler counts."""

    def __init__(self, url: str) -> None:
        """Connect, as :class:`~workbench.store.base.StoreBase` does."""
        super().__init__(url)
        self._counting = Lock()
        self._answer_counts: dict[str, AnswerCounts] = {}

    def add_labels(self, name: str, labels: Sequence[Label] | pd.DataFrame, *, repeated: bool = False) -> int:
        """Append labels and return how many were added.

        A label that says what its labeler's newest label says already is not added again, which makes imports and
        double clicks repeatable; ``repeated`` adds it nevertheless (a recheck for self-agreement).

        Raises:
            NotFound: if a label's pair is not in the set.
        """
        frame = typed_labels(labels) if isinstance(labels, pd.DataFrame) else label_table(labels)
        if frame.empty:
            return 0
        ids = [str(pair_id) for pair_id in frame["pair_id"].unique()]
        few = ids if len(ids) <= IDS_A_QUERY else None
        with self._write() as connection:
            # Taking the set's row puts its writers in line: two clicks that arrive together would otherwise both
            # find that nothing has been said yet.
            golden = table(GoldenRow)
            connection.execute(sa.update(golden).where(golden.c.name == name).values(name=name))
            columns = table(MemberRow).c
            query = sa.select(columns.pair_id).where(columns.golden == name)
            if few is not None:
                query = query.where(columns.pair_id.in_(few))
            members = set(connection.execute(query).scalars())
            strange = [pair_id for pair_id in ids if pair_id not in members]
            if strange:
                raise NotFound(
                    f"{len(strange)} labelled pairs are not in golden set '{name}', the first is {strange[0]}.",
                    "Import the pairs first.",
                )
            if not repeated:
                current = newest(self._labels(connection, name, few))
                frame = frame[~_said_already(frame, current)]
            values = [frame[name_of].tolist() for name_of in LABEL_COLUMNS]
            values[LABEL_COLUMNS.index("at")] = list(frame["at"].dt.to_pydatetime())
            rows = [
                {"golden": name, **dict(zip(LABEL_COLUMNS, row, strict=True))}
                for row in zip(*values, strict=True)
            ]
            keys = ["golden", "pair_id", "dimension", "labeler", "at"]
            return self._insert(connection, LabelRow, rows, keys=keys)

    def labels(
        self, name: str, *, pair_id: str | None = None, pair_ids: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Return labels of a set (or of one pair, or of a page of pairs), oldest first, with ``LABEL_COLUMNS``."""
        if pair_id is not None:
            pair_ids = [pair_id]
        with self._read() as connection:
            return self._labels(connection, name, pair_ids)

    def _labels(self, connection: sa.Connection, name: str, pair_ids: Sequence[str] | None) -> pd.DataFrame:
        columns = table(LabelRow).c
        query = sa.select(columns.id, *(columns[c] for c in LABEL_COLUMNS)).where(columns.golden == name)
        if pair_ids is not None:
            query = query.where(columns.pair_id.in_(list(pair_ids)))
        # Sorted here: asked for an order, SQLite walks all labels of the set in that order to find those of a pair.
        rows = sorted(tuple(row) for row in connection.execute(query))
        return typed_labels(pd.DataFrame(rows, columns=["id", *LABEL_COLUMNS]))

    def label_counts(self, name: str, dimensions: Sequence[str]) -> pd.DataFrame:
        """Return pair_id, labeler and on how many of ``dimensions`` that labeler's own answers about that pair hold."""
        with self._read() as connection:
            rows = _count(connection, name, dimensions)
        return pd.DataFrame(rows, columns=["pair_id", "labeler", "dimensions"])

    def labels_mark(self, name: str) -> int:
        """Return a number to key caches of settled grades by.

        It grows whenever labels of the set are added, and is another one under another consensus rule.
        """
        labels, golden = table(LabelRow).c, table(GoldenRow).c
        newest_id = sa.select(sa.func.max(labels.id)).where(labels.golden == name).scalar_subquery()
        with self._read() as connection:
            row = connection.execute(
                sa.select(newest_id, golden.consensus).where(golden.name == name)
            ).first()
        if row is None or row[0] is None:
            return 0
        return int(row[0]) * len(CONSENSUS_RULES) + CONSENSUS_RULES.index(row[1])

    def policy_of(self, name: str) -> str:
        """Return the name of a golden set's policy, without counting what the set holds.

        Raises:
            NotFound: if there is no set of this name.
        """
        columns = table(GoldenRow).c
        with self._read() as connection:
            found = connection.execute(sa.select(columns.policy).where(columns.name == name)).scalar()
        if found is None:
            raise NotFound.among("golden set", name, self.golden_names())
        return str(found)

    def progress_of(self, name: str, labeler: str, dimensions: Sequence[str]) -> tuple[int, int]:
        """Return how many pairs a labeler has answered on all of ``dimensions``, and how many the set has."""
        with self._counted(name, dimensions) as counts:
            return counts.finished(labeler), len(counts)

    def finished_among(self, name: str, labeler: str, dimensions: Sequence[str], ids: Sequence[str]) -> int:
        """Return how many of the pairs ``ids`` a labeler has answered on all of ``dimensions``."""
        with self._counted(name, dimensions) as counts:
            return counts.finished(labeler, ids)

    def next_pair(
        self, name: str, labeler: str, dimensions: Sequence[str], skipped: Sequence[str] = ()
    ) -> str | None:
        """Return the first pair, of those with the fewest other labelers, that ``labeler`` has not finished."""
        with self._counted(name, dimensions) as counts:
            return counts.next_pair(labeler, skipped)

    def submits(self, name: str, labeler: str, since: datetime, least: int) -> list[tuple[datetime, str]]:
        """Return when a labeler sent answers on this page, and about which pair, newest first.

        Everything since ``since``, and ``least`` submits in any case where there are as many. Imports, adjudications
        and withdrawals are none.
        """
        columns = table(LabelRow).c
        query = (
            sa.select(columns.at, columns.pair_id)
            .where(
                columns.golden == name,
                columns.labeler == labeler,
                columns.source == "human",
                columns.grade != NOT_GRADED,
            )
            .order_by(columns.id.desc())
        )
        found: dict[tuple[datetime, str], None] = {}
        with self._read() as connection:
            # Rows come as they are needed: a labeler may have hundreds of thousands.
            for at, pair_id in connection.execution_options(yield_per=200).execute(query):
                if at < since and len(found) >= least and (at, pair_id) not in found:
                    break
                found[at, pair_id] = None
        return list(found)

    @contextmanager
    def _counted(self, name: str, dimensions: Sequence[str]) -> Iterator[AnswerCounts]:
        """Lend the counts of a set, brought up to date, to one thread at a time."""
        members, labels = table(MemberRow).c, table(LabelRow).c
        pairs = sa.select(sa.func.count()).where(members.golden == name)
        with self._counting:
            kept = self._answer_counts.get(name)
            with self._read() as connection:
                if kept and kept.dimensions == tuple(dimensions):
                    # Writers of a set are in line (see add_labels), so no label with a lower id can turn up later.
                    later = connection.execute(
                        sa.select(labels.id, labels.pair_id).where(
                            labels.golden == name, labels.id > kept.mark
                        )
                    ).all()
                    touched = list({row.pair_id for row in later})
                    if len(touched) <= IDS_A_QUERY and len(kept) == connection.execute(pairs).scalar_one():
                        if touched:
                            kept.recount(touched, _count(connection, name, dimensions, touched))
                            kept.mark = max(row.id for row in later)
                        yield kept
                        return
                order = sa.select(members.pair_id).where(members.golden == name)
                ids = connection.execute(order.order_by(members.position, members.pair_id)).scalars().all()
                counts = AnswerCounts(ids, dimensions)
                newest_id = sa.select(sa.func.max(labels.id)).where(labels.golden == name)
                # The mark comes first: what arrives in between is counted, and counted again next time.
                counts.mark = connection.execute(newest_id).scalar() or 0
                counts.recount((), _count(connection, name, dimensions))
                self._answer_counts[name] = counts
            yield counts


def _answers(name: str, dimensions: Sequence[str]) -> sa.Select[Any]:
    """Select pair, labeler and dimension of each answer that was not withdrawn later.

    Adjudications are left out: they are what was decided in the end, not what a labeler said alone.
    """
    columns, later = table(LabelRow).c, table(LabelRow).alias("later").c
    withdrawn = sa.exists().where(
        later.golden == columns.golden,
        later.pair_id == columns.pair_id,
        later.dimension == columns.dimension,
        later.labeler == columns.labeler,
        later.at > columns.at,
        later.grade == NOT_GRADED,
        later.source != "adjudicated",
    )
    return sa.select(columns.pair_id, columns.labeler, columns.dimension).where(
        columns.golden == name,
        columns.dimension.in_(list(dimensions)),
        columns.grade != NOT_GRADED,
        columns.source != "adjudicated",
        ~withdrawn,
    )


def _count(
    connection: sa.Connection, name: str, dimensions: Sequence[str], pair_ids: Sequence[str] | None = None
) -> list[tuple[str, str, int]]:
    """Return pair, labeler and on how many of ``dimensions`` that labeler's own answers hold."""
    found = _answers(name, dimensions)
    if pair_ids is None:
        pair_id, labeler, dimension = found.selected_columns
        counted = found.with_only_columns(pair_id, labeler, sa.func.count(dimension.distinct()))
        rows = connection.execute(counted.group_by(pair_id, labeler))
        return [(pair, who, answers) for pair, who, answers in rows]
    # Grouped here: asked to group, SQLite walks all labels of the set in the order of another index.
    few = found.where(found.selected_columns[0].in_(list(pair_ids)))
    distinct = {(pair, who, dimension) for pair, who, dimension in connection.execute(few)}
    counts = Counter((pair, who) for pair, who, _ in distinct)
    return [(pair, who, answers) for (pair, who), answers in counts.items()]


def _said_already(frame: pd.DataFrame, current: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether each label says what its labeler's newest label says already."""
    mine = ["pair_id", "dimension", "labeler"]
    said = ["grade", "note", "source"]
    joined = frame.merge(current[[*mine, *said]], how="left", on=mine, suffixes=("", "_now"))
    same = np.ones(len(joined), dtype=bool)
    for column in said:
        same &= (joined[column] == joined[f"{column}_now"]).to_numpy(dtype=bool)
    return same
