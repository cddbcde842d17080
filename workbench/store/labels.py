"""Labels in the store: appended, never changed; what a labeler has done and what comes next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import sqlalchemy as sa

from workbench.errors import NotFound
from workbench.golden import LABEL_COLUMNS, Label, label_table, newest, typed_labels
from workbench.store.golden_sets import IDS_A_QUERY, GoldenStore
from workbench.store.tables import GoldenRow, LabelRow, MemberRow, table


class LabelStore(GoldenStore):
    """Labels hang on a golden set and one of its pairs; the newest by one labeler counts."""

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
        query = (
            sa.select(*(columns[c] for c in LABEL_COLUMNS)).where(columns.golden == name).order_by(columns.id)
        )
        if pair_ids is not None:
            query = query.where(columns.pair_id.in_(list(pair_ids)))
        rows = connection.execute(query).all()
        return typed_labels(pd.DataFrame([tuple(row) for row in rows], columns=LABEL_COLUMNS))

    def label_counts(self, name: str, dimensions: Sequence[str]) -> pd.DataFrame:
        """Return pair_id, labeler and on how many of ``dimensions`` that labeler has answered about that pair."""
        columns = table(LabelRow).c
        query = (
            sa.select(columns.pair_id, columns.labeler, sa.func.count(columns.dimension.distinct()))
            .where(columns.golden == name, columns.dimension.in_(list(dimensions)))
            .group_by(columns.pair_id, columns.labeler)
        )
        with self._read() as connection:
            rows = connection.execute(query).all()
        return pd.DataFrame([tuple(row) for row in rows], columns=["pair_id", "labeler", "dimensions"])

    def labels_mark(self, name: str) -> int:
        """Return a number that grows whenever labels of the set are added, to key caches by."""
        columns = table(LabelRow).c
        with self._read() as connection:
            found = connection.execute(
                sa.select(sa.func.max(columns.id)).where(columns.golden == name)
            ).scalar()
        return int(found or 0)

    def progress_of(self, name: str, labeler: str, dimensions: Sequence[str]) -> tuple[int, int]:
        """Return how many pairs a labeler has answered on all of ``dimensions``, and how many the set has."""
        members = table(MemberRow).c
        done = self._finished(name, labeler, dimensions).subquery()
        with self._read() as connection:
            finished = connection.execute(sa.select(sa.func.count()).select_from(done)).scalar_one()
            total = connection.execute(sa.select(sa.func.count()).where(members.golden == name)).scalar_one()
        return finished, total

    def next_pair(
        self, name: str, labeler: str, dimensions: Sequence[str], skipped: Sequence[str] = ()
    ) -> str | None:
        """Return the first pair, of those with the fewest other labelers, that ``labeler`` has not finished."""
        members, labels = table(MemberRow).c, table(LabelRow).c
        others = (
            sa.select(labels.pair_id, sa.func.count(labels.labeler.distinct()).label("labelers"))
            .where(labels.golden == name, labels.labeler != labeler, labels.dimension.in_(list(dimensions)))
            .group_by(labels.pair_id)
            .subquery()
        )
        query = (
            sa.select(members.pair_id)
            .outerjoin(others, others.c.pair_id == members.pair_id)
            .where(
                members.golden == name,
                members.pair_id.not_in(self._finished(name, labeler, dimensions)),
                members.pair_id.not_in(list(skipped)),
            )
            .order_by(sa.func.coalesce(others.c.labelers, 0), members.position, members.pair_id)
            .limit(1)
        )
        with self._read() as connection:
            return connection.execute(query).scalar()

    def _finished(self, name: str, labeler: str, dimensions: Sequence[str]) -> sa.Select[tuple[str]]:
        columns = table(LabelRow).c
        return (
            sa.select(columns.pair_id)
            .where(
                columns.golden == name, columns.labeler == labeler, columns.dimension.in_(list(dimensions))
            )
            .group_by(columns.pair_id)
            .having(sa.func.count(columns.dimension.distinct()) >= len(dimensions))
        )


def _said_already(frame: pd.DataFrame, current: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether each label says what its labeler's newest label says already."""
    mine = ["pair_id", "dimension", "labeler"]
    said = ["grade", "note", "source"]
    joined = frame.merge(current[[*mine, *said]], how="left", on=mine, suffixes=("", "_now"))
    same = np.ones(len(joined), dtype=bool)
    for column in said:
        same &= (joined[column] == joined[f"{column}_now"]).to_numpy(dtype=bool)
    return same
