"""Golden sets in the store: pairs, members with splits, append-only labels, frozen snapshots."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import sqlalchemy as sa

from workbench.errors import NotFound, Refused
from workbench.golden import (
    LABEL_COLUMNS,
    GoldenSet,
    Label,
    Pair,
    Split,
    draw_splits,
    label_table,
    newest,
    typed_labels,
)
from workbench.identity import Value
from workbench.store.base import StoreBase, now
from workbench.store.tables import GoldenRow, LabelRow, MemberRow, PairRow, SnapshotRow, table

_IDS_A_QUERY = 500
"""Ids in one IN list; SQLite allows 32,766 variables, PostgreSQL plans short lists better."""


class GoldenInfo(Value):
    """A golden set under work, with its figures."""

    name: str
    policy: str
    sample: bool
    description: str
    holdout: float
    stratify: str
    created_at: datetime
    pairs: int
    labels: int
    labelers: int
    snapshots: tuple[int, ...]

    def check_policy(self, policy: str) -> None:
        """Raise Refused if the set belongs to another policy."""
        if self.policy != policy:
            raise Refused(
                f"Golden set '{self.name}' belongs to policy '{self.policy}', not '{policy}'.",
                "Choose another name for it.",
            )


class SnapshotInfo(Value):
    """A published snapshot without its content."""

    version: int
    message: str
    author: str
    published_at: datetime
    pairs: int
    labels: int


class GoldenStore(StoreBase):
    """Working sets grow; snapshots never change; a holdout, once drawn, is kept."""

    def create_golden(
        self,
        name: str,
        policy: str,
        *,
        sample: bool = False,
        description: str = "",
        holdout: float = 0.3,
        stratify: str = "",
    ) -> bool:
        """Make a golden set for a policy; return whether it was new.

        Raises:
            Refused: if it exists for another policy.
        """
        row = {
            "name": name,
            "policy": policy,
            "sample": sample,
            "description": description,
            "holdout": holdout,
            "stratify": stratify,
            "created_at": now(),
        }
        with self._write() as connection:
            if self._insert(connection, GoldenRow, [row]):
                return True
        self.golden(name).check_policy(policy)
        return False

    def golden_names(self) -> list[str]:
        """Return the names of all golden sets, in order."""
        with self._read() as connection:
            return list(connection.execute(sa.select(table(GoldenRow).c.name).order_by("name")).scalars())

    def golden(self, name: str) -> GoldenInfo:
        """Return what is known of a golden set.

        Raises:
            NotFound: if there is none of this name.
        """
        members, labels, snapshots = table(MemberRow).c, table(LabelRow).c, table(SnapshotRow).c
        with self._read() as connection:
            row = (
                connection.execute(sa.select(table(GoldenRow)).where(table(GoldenRow).c.name == name))
                .mappings()
                .first()
            )
            if row is not None:
                pairs = connection.execute(
                    sa.select(sa.func.count()).where(members.golden == name)
                ).scalar_one()
                count, labelers = connection.execute(
                    sa.select(sa.func.count(), sa.func.count(labels.labeler.distinct())).where(
                        labels.golden == name
                    )
                ).one()
                versions = connection.execute(
                    sa.select(snapshots.version).where(snapshots.name == name).order_by(snapshots.version)
                ).scalars()
                return GoldenInfo(
                    **row, pairs=pairs, labels=count, labelers=labelers, snapshots=tuple(versions)
                )
        raise NotFound.among("golden set", name, self.golden_names())

    def add_pairs(self, name: str, pairs: Sequence[Pair], splits: Mapping[str, Split] | None = None) -> int:
        """Add pairs to a golden set and return how many were new to it.

        Splits are drawn by query for new queries, unless ``splits`` (pair id -> split) fixes them; a query that has
        members keeps the split it has, also for documents that are new to it.
        """
        info = self.golden(name)
        unique = {pair.id: pair for pair in pairs}
        have = self.members(name)
        known: dict[str, Split] = dict(zip(have["query_id"], have["split"], strict=True))
        strata: dict[str, str] = {}
        for query_id, meta in zip(have["query_id"], have["meta"], strict=True):
            strata.setdefault(query_id, meta.get(info.stratify, ""))
        for pair in unique.values():
            strata.setdefault(pair.query_id, pair.meta.get(info.stratify, ""))
            if splits is not None:
                known.setdefault(pair.query_id, splits[pair.id])
        by_query = draw_splits(strata, holdout=info.holdout, seed=name, given=known)
        member_ids = set(have["pair_id"])
        fresh = [pair for pair in unique.values() if pair.id not in member_ids]
        with self._write() as connection:
            self._insert(
                connection,
                PairRow,
                [
                    {"id": p.id, "query_id": p.query_id, "query": p.query, "document": p.document}
                    for p in fresh
                ],
            )
            return self._insert(
                connection,
                MemberRow,
                [
                    {
                        "golden": name,
                        "pair_id": p.id,
                        "position": len(have) + i,
                        "split": by_query[p.query_id],
                        "meta": p.meta,
                    }
                    for i, p in enumerate(fresh)
                ],
            )

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
        few = ids if len(ids) <= _IDS_A_QUERY else None
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
            rows: list[dict[Any, Any]] = [
                {"golden": name, **row} for row in frame[LABEL_COLUMNS].to_dict("records")
            ]
            for row in rows:
                row["at"] = row["at"].to_pydatetime() if isinstance(row["at"], pd.Timestamp) else row["at"]
            keys = ["golden", "pair_id", "dimension", "labeler", "at"]
            return self._insert(connection, LabelRow, rows, keys=keys)

    def members(self, name: str, *, pair_ids: Sequence[str] | None = None) -> pd.DataFrame:
        """Return pair_id, query_id, split and meta of a set's pairs (or of a few), in the order in which they came."""
        members, pairs = table(MemberRow).c, table(PairRow).c
        query = (
            sa.select(members.pair_id, pairs.query_id, members.split, members.meta)
            .join(table(PairRow), pairs.id == members.pair_id)
            .where(members.golden == name)
            .order_by(members.position, members.pair_id)
        )
        if pair_ids is not None:
            query = query.where(members.pair_id.in_(list(pair_ids)))
        with self._read() as connection:
            rows = connection.execute(query).all()
        return pd.DataFrame([tuple(row) for row in rows], columns=["pair_id", "query_id", "split", "meta"])

    def member_page(self, name: str, split: str, offset: int, limit: int) -> tuple[list[str], int]:
        """Return the ids of one page of a set's pairs, or of one split of it, and how many there are in all."""
        columns = table(MemberRow).c
        wanted = [columns.golden == name, *([columns.split == split] if split != "all" else [])]
        query = sa.select(columns.pair_id).where(*wanted).order_by(columns.position, columns.pair_id)
        with self._read() as connection:
            total = connection.execute(sa.select(sa.func.count()).where(*wanted)).scalar_one()
            return list(connection.execute(query.offset(offset).limit(limit)).scalars()), total

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

    def split_counts(self, name: str) -> dict[str, tuple[int, int]]:
        """Return split -> (pairs, queries) of a set."""
        members, pairs = table(MemberRow).c, table(PairRow).c
        query = (
            sa.select(members.split, sa.func.count(), sa.func.count(pairs.query_id.distinct()))
            .join(table(PairRow), pairs.id == members.pair_id)
            .where(members.golden == name)
            .group_by(members.split)
            .order_by(members.split)
        )
        with self._read() as connection:
            return {split: (count, queries) for split, count, queries in connection.execute(query)}

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

    def search_pairs(self, name: str, text: str, split: str = "all") -> list[str]:
        """Return the ids of a set's pairs whose texts hold ``text``, upper and lower case alike, in their order."""
        pairs, members = table(PairRow).c, table(MemberRow).c
        # The database narrows down by the ASCII parts of the text (JSON columns hold the rest escaped, and SQLite
        # knows no case beyond ASCII); the texts themselves, without the field names, are then compared here.
        wanted = _folded(text)
        parts = [re.sub(r"([%_/])", r"/\1", json.dumps(part)[1:-1]) for part in re.findall(r"[ -~]+", wanted)]
        pattern = f"%{'%'.join(parts)}%"
        found = [
            sa.cast(column, sa.Text).ilike(pattern, escape="/") for column in (pairs.query, pairs.document)
        ]
        query = (
            sa.select(pairs.id, pairs.query, pairs.document)
            .join(table(MemberRow), members.pair_id == pairs.id)
            .where(members.golden == name, sa.or_(*found))
            .order_by(members.position, members.pair_id)
        )
        if split != "all":
            query = query.where(members.split == split)
        with self._read() as connection:
            rows = connection.execute(query).all()
        return [
            row.id
            for row in rows
            if any(wanted in _folded(value) for side in (row.query, row.document) for value in side.values())
        ]

    def query_splits(self, name: str) -> dict[str, Split]:
        """Return query id -> split of a set's queries."""
        members, pairs = table(MemberRow).c, table(PairRow).c
        query = (
            sa.select(pairs.query_id, members.split)
            .join(table(PairRow), pairs.id == members.pair_id)
            .where(members.golden == name)
            .distinct()
        )
        with self._read() as connection:
            return {row.query_id: row.split for row in connection.execute(query)}

    def labels_mark(self, name: str) -> int:
        """Return a number that grows whenever labels of the set are added, to key caches by."""
        columns = table(LabelRow).c
        with self._read() as connection:
            found = connection.execute(
                sa.select(sa.func.max(columns.id)).where(columns.golden == name)
            ).scalar()
        return int(found or 0)

    def pairs(self, ids: Sequence[str], golden: str = "") -> dict[str, Pair]:
        """Return pairs by id, with their metadata in ``golden`` where that is given."""
        found: dict[str, Pair] = {}
        pairs, members = table(PairRow).c, table(MemberRow).c
        with self._read() as connection:
            for start in range(0, len(ids), _IDS_A_QUERY):
                part = list(ids[start : start + _IDS_A_QUERY])
                query = (
                    sa.select(pairs.id, pairs.query, pairs.document, members.meta)
                    .outerjoin(
                        table(MemberRow), sa.and_(members.pair_id == pairs.id, members.golden == golden)
                    )
                    .where(pairs.id.in_(part))
                )
                for row in connection.execute(query):
                    found[row.id] = Pair(query=row.query, document=row.document, meta=row.meta or {})
        return found

    def add_snapshot(self, golden: GoldenSet, *, author: str, message: str) -> bool:
        """Freeze a golden set under its version number; return whether it was new.

        Raises:
            Refused: if this number is taken by other content.
        """
        members = pd.DataFrame(
            {
                "pair_id": [pair.id for pair in golden.pairs],
                "split": [golden.splits[pair.id] for pair in golden.pairs],
                "meta": [json.dumps(pair.meta) for pair in golden.pairs],
            }
        )
        row = {
            "name": golden.name,
            "version": golden.version,
            "content_hash": golden.content_hash,
            "message": message,
            "author": author,
            "published_at": now(),
            "pairs": len(golden.pairs),
            "labels": len(golden.labels),
            "members_parquet": _parquet(members),
            "labels_parquet": _parquet(golden.labels[LABEL_COLUMNS]),
        }
        with self._write() as connection:
            if self._insert(connection, SnapshotRow, [row]):
                self._event(connection, author, "published golden set", golden.label, message)
                return True
        if self.snapshot_hash(golden.name, golden.version) != golden.content_hash:
            raise Refused(
                f"Golden set {golden.label} is already published with other content.",
                "A published snapshot never changes; publish under the next number.",
            )
        return False

    def snapshots(self, name: str) -> list[SnapshotInfo]:
        """Return the published snapshots of a set, newest first."""
        columns = table(SnapshotRow).c
        query = (
            sa.select(*(columns[field] for field in SnapshotInfo.model_fields))
            .where(columns.name == name)
            .order_by(columns.version.desc())
        )
        with self._read() as connection:
            return [SnapshotInfo(**row) for row in connection.execute(query).mappings()]

    def snapshot_hash(self, name: str, version: int) -> str | None:
        """Return the content hash of a snapshot, or None if there is none."""
        columns = table(SnapshotRow).c
        query = sa.select(columns.content_hash).where(columns.name == name, columns.version == version)
        with self._read() as connection:
            return connection.execute(query).scalar()

    def snapshot(self, name: str, version: int | None = None) -> GoldenSet:
        """Return a frozen snapshot, the newest by default.

        Raises:
            NotFound: if there is none.
        """
        info = self.golden(name)
        chosen = version if version is not None else max(info.snapshots, default=None)
        columns = table(SnapshotRow).c
        query = sa.select(columns.members_parquet, columns.labels_parquet).where(
            columns.name == name, columns.version == chosen
        )
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            what = "is not published yet" if version is None else f"has no version {version}"
            there = ", ".join(f"v{number}" for number in info.snapshots) or "none; publish one first"
            raise NotFound(f"Golden set '{name}' {what}.", f"There is: {there}.")
        members = pd.read_parquet(io.BytesIO(row.members_parquet))
        pairs = self.pairs(members["pair_id"].tolist())
        meta = map(json.loads, members["meta"])
        return GoldenSet(
            name=name,
            version=int(chosen or 0),
            policy=info.policy,
            pairs=tuple(
                pairs[pair_id].model_copy(update={"meta": own})
                for pair_id, own in zip(members["pair_id"], meta, strict=True)
            ),
            splits=dict(zip(members["pair_id"], members["split"], strict=True)),
            labels=typed_labels(pd.read_parquet(io.BytesIO(row.labels_parquet))),
            sample=info.sample,
            description=info.description,
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


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.reset_index(drop=True).to_parquet(buffer, compression="zstd")
    return buffer.getvalue()
