"""Published golden sets: frozen, numbered, kept as Parquet so that nothing in the working set can change them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import datetime

import pandas as pd
import sqlalchemy as sa

from workbench.errors import NotFound, Refused
from workbench.golden import LABEL_COLUMNS, GoldenSet, typed_labels
from workbench.identity import Value
from workbench.store.base import now
from workbench.store.golden_sets import GoldenStore
from workbench.store.tables import SnapshotRow, table


class SnapshotInfo(Value):
    """A published snapshot without its content."""

    version: int
    message: str
    author: str
    published_at: datetime
    pairs: int
    labels: int


class SnapshotStore(GoldenStore):
    """Snapshots are added and read, nothing else."""

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
        chosen, members, labels = self._frozen(name, info.snapshots, version)
        pairs = self.pairs(members["pair_id"].tolist())
        meta = map(json.loads, members["meta"])
        return GoldenSet(
            name=name,
            version=chosen,
            policy=info.policy,
            pairs=tuple(
                pairs[pair_id].model_copy(update={"meta": own})
                for pair_id, own in zip(members["pair_id"], meta, strict=True)
            ),
            splits=dict(zip(members["pair_id"], members["split"], strict=True)),
            labels=_labels(labels),
            sample=info.sample,
            description=info.description,
        )

    def snapshot_frames(
        self, name: str, version: int | None = None
    ) -> tuple[int, pd.DataFrame, Callable[[], pd.DataFrame]]:
        """Return a snapshot without its texts: version, (pair_id, query_id, split, meta as JSON) of its pairs, its labels.

        Reading the texts of 10,000 pairs takes longer than all that agreement needs. The labels are read when called.

        Raises:
            NotFound: if there is none.
        """
        chosen, members, labels = self._frozen(name, self.golden(name).snapshots, version)
        queries = self.query_ids(members["pair_id"].tolist())
        members = members.assign(query_id=members["pair_id"].map(queries))
        return chosen, members, lambda: _labels(labels)

    def _frozen(
        self, name: str, published: tuple[int, ...], version: int | None
    ) -> tuple[int, pd.DataFrame, bytes]:
        chosen = version if version is not None else max(published, default=None)
        columns = table(SnapshotRow).c
        query = sa.select(columns.members_parquet, columns.labels_parquet).where(
            columns.name == name, columns.version == chosen
        )
        with self._read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            what = "is not published yet" if version is None else f"has no version {version}"
            there = ", ".join(f"v{number}" for number in published) or "none; publish one first"
            raise NotFound(f"Golden set '{name}' {what}.", f"There is: {there}.")
        return int(chosen or 0), pd.read_parquet(io.BytesIO(row.members_parquet)), row.labels_parquet


def _labels(parquet: bytes) -> pd.DataFrame:
    return typed_labels(pd.read_parquet(io.BytesIO(parquet)))


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.reset_index(drop=True).to_parquet(buffer, compression="zstd")
    return buffer.getvalue()
