"""Golden sets in the store: pairs, and members with their splits."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime

import pandas as pd
import sqlalchemy as sa

from workbench.errors import NotFound, Refused
from workbench.golden import (
    CONSENSUS_RULES,
    ConsensusRule,
    Pair,
    Split,
    draw_splits,
)
from workbench.identity import Value
from workbench.store.base import StoreBase, now
from workbench.store.tables import GoldenRow, LabelRow, MemberRow, PairRow, SnapshotRow, table

IDS_A_QUERY = 500
"""Ids in one IN list; SQLite allows 32,766 variables, PostgreSQL plans short lists better."""


class GoldenInfo(Value):
    """A golden set under work, with its figures."""

    name: str
    policy: str
    sample: bool
    description: str
    holdout: float
    stratify: str
    consensus: ConsensusRule = "majority"
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


class GoldenStore(StoreBase):
    """Working sets grow; a holdout, once drawn, is kept."""

    def create_golden(
        self,
        name: str,
        policy: str,
        *,
        sample: bool = False,
        description: str = "",
        holdout: float = 0.3,
        stratify: str = "",
        consensus: ConsensusRule = "majority",
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
            "consensus": consensus,
            "created_at": now(),
        }
        with self._write() as connection:
            if self._insert(connection, GoldenRow, [row]):
                return True
        self.golden(name).check_policy(policy)
        return False

    def set_consensus(self, name: str, rule: ConsensusRule, who: str) -> bool:
        """Choose the rule by which labels of a set settle; return whether it was another one.

        Raises:
            NotFound: if there is no set of this name, or no such rule.
        """
        if rule not in CONSENSUS_RULES:
            raise NotFound.among("consensus rule", rule, CONSENSUS_RULES)
        before = self.golden(name).consensus
        if rule == before:
            return False
        golden = table(GoldenRow)
        with self._write() as connection:
            connection.execute(sa.update(golden).where(golden.c.name == name).values(consensus=rule))
            self._event(connection, who, "changed the consensus rule", name, f"{before} to {rule}")
        return True

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

    def query_ids(self, pair_ids: Sequence[str]) -> dict[str, str]:
        """Return pair id -> query id of the pairs given; unknown ids are left out."""
        columns = table(PairRow).c
        found: dict[str, str] = {}
        with self._read() as connection:
            for start in range(0, len(pair_ids), IDS_A_QUERY):
                some = columns.id.in_(list(pair_ids[start : start + IDS_A_QUERY]))
                found |= dict(connection.execute(sa.select(columns.id, columns.query_id).where(some)).all())
        return found

    def pairs(self, ids: Sequence[str], golden: str = "") -> dict[str, Pair]:
        """Return pairs by id, with their metadata in ``golden`` where that is given."""
        found: dict[str, Pair] = {}
        pairs, members = table(PairRow).c, table(MemberRow).c
        with self._read() as connection:
            for start in range(0, len(ids), IDS_A_QUERY):
                part = list(ids[start : start + IDS_A_QUERY])
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


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()
