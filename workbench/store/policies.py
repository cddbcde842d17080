"""Published policies and drafts in the store."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from workbench.errors import Conflict, NotFound, Refused
from workbench.identity import Value, canonical_json
from workbench.policy import Body, Policy
from workbench.store.base import StoreBase, now
from workbench.store.tables import DraftRevisionRow, DraftRow, PolicyRow, table

ONE_STRETCH = timedelta(minutes=1)
"""Saves by one person within this time are kept as one revision: the editor saves at each pause in typing."""


class Draft(Value):
    """An editable copy of a policy. ``revision`` grows by one with each save."""

    id: str
    name: str
    title: str = ""  # what its author calls it
    base_version: int  # 0 for a policy that has never been published
    author: str
    body: Body
    revision: int
    created_at: datetime
    updated_at: datetime
    updated_by: str


class DraftRevision(Value):
    """That somebody saved a draft: one save, or several within ``ONE_STRETCH``."""

    revision: int
    base_version: int
    author: str
    since: datetime
    at: datetime


@lru_cache(maxsize=256)
def _loaded(store: PolicyStore, name: str, version: int, _content_hash: str) -> Policy:
    """A published version never changes, so it is read and checked once."""
    columns = table(PolicyRow).c
    query = sa.select(columns.document).where(columns.name == name, columns.version == version)
    with store._read() as connection:
        return Policy.model_validate_json(canonical_json(connection.execute(query).scalar_one()))


class PolicyStore(StoreBase):
    """Published versions (added, never changed) and drafts (changed under optimistic locking)."""

    def add_policy(self, policy: Policy) -> bool:
        """Keep a published version; return whether it was new.

        Raises:
            Refused: if another document already has this name and version.
        """
        row = {
            "name": policy.name,
            "version": policy.version,
            "content_hash": policy.content_hash,
            "document": policy.document(),
        }
        columns = table(PolicyRow).c
        with self._write() as connection:
            if self._insert(connection, PolicyRow, [row]):
                self._event(connection, policy.author, "published policy", policy.label, policy.message)
                return True
            kept = connection.execute(
                sa.select(columns.content_hash).where(
                    columns.name == policy.name, columns.version == policy.version
                )
            ).scalar_one()
        if kept != policy.content_hash:
            raise Refused(
                f"{policy.label} is already published with other content.",
                "A published version never changes; publish the edit as a new version.",
            )
        return False

    def policy_names(self) -> list[str]:
        """Return the names of all policies, in order."""
        with self._read() as connection:
            name = table(PolicyRow).c.name
            return list(connection.execute(sa.select(name).distinct().order_by(name)).scalars())

    def policy_versions(self, name: str) -> list[Policy]:
        """Return all published versions of a policy, oldest first.

        Raises:
            NotFound: if there is no such policy.
        """
        columns = table(PolicyRow).c
        query = sa.select(columns.version, columns.content_hash).where(columns.name == name)
        with self._read() as connection:
            found = connection.execute(query.order_by(columns.version)).all()
        if not found:
            raise NotFound.among("policy", name, self.policy_names())
        return [_loaded(self, name, version, content_hash) for version, content_hash in found]

    def policy(self, name: str, version: int | None = None) -> Policy:
        """Return one version, the newest by default.

        Raises:
            NotFound: if there is no such policy or version.
        """
        columns = table(PolicyRow).c
        query = sa.select(columns.version, columns.content_hash).where(columns.name == name)
        query = query.order_by(columns.version.desc()).limit(1)
        with self._read() as connection:
            row = connection.execute(
                query if version is None else query.where(columns.version == version)
            ).one_or_none()
        if row is not None:
            return _loaded(self, name, *row)
        versions = self.policy_versions(name)
        raise NotFound(
            f"Policy '{name}' has no version {version}.",
            f"There is: {', '.join(f'v{p.version}' for p in versions)}.",
        )

    def start_draft(self, name: str, body: Body, author: str, *, base_version: int, title: str = "") -> Draft:
        """Keep and return a new draft that says ``body``."""
        moment = now()
        draft = Draft(
            id=f"draft-{secrets.token_hex(8)}",
            name=name,
            title=title,
            base_version=base_version,
            author=author,
            body=body,
            revision=1,
            created_at=moment,
            updated_at=moment,
            updated_by=author,
        )
        row = draft.model_dump() | {"body": _plain(body)}
        with self._write() as connection:
            self._insert(connection, DraftRow, [row])
            self._insert(connection, DraftRevisionRow, [_revision(draft, since=moment)])
        return draft

    def drafts(self, name: str | None = None) -> list[Draft]:
        """Return the drafts of a policy (of all policies by default), the one saved last first."""
        columns = table(DraftRow).c
        query = sa.select(*columns).order_by(columns.updated_at.desc())
        if name is not None:
            query = query.where(columns.name == name)
        with self._read() as connection:
            return [_draft(row) for row in connection.execute(query).mappings()]

    def draft(self, draft_id: str) -> Draft:
        """Return one draft.

        Raises:
            NotFound: if it was published or discarded meanwhile.
        """
        columns = table(DraftRow).c
        query = sa.select(*columns).where(columns.id == draft_id)
        with self._read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            raise NotFound("This draft is gone.", "It was published or discarded; open the policy again.")
        return _draft(row)

    def save_draft(
        self,
        draft: Draft,
        body: Body,
        author: str,
        *,
        base_version: int | None = None,
        title: str | None = None,
    ) -> Draft:
        """Keep ``body`` as the draft's next revision, if nobody saved since ``draft`` was read.

        Args:
            base_version: where the draft now follows from another version.
            title: where it is to be called otherwise.

        Raises:
            Conflict: if somebody did; says who and when, and nothing is written.
            NotFound: if the draft is gone.
        """
        drafts, revisions = table(DraftRow), table(DraftRevisionRow)
        moment = now()
        saved = draft.model_copy(
            update={
                "body": body,
                "title": draft.title if title is None else title,
                "base_version": draft.base_version if base_version is None else base_version,
                "revision": draft.revision + 1,
                "updated_at": moment,
                "updated_by": author,
            }
        )
        values = saved.model_dump(include={"title", "base_version", "revision", "updated_at", "updated_by"})
        mine = sa.and_(revisions.c.draft_id == draft.id, revisions.c.revision == draft.revision)
        with self._write() as connection:
            done = connection.execute(
                sa.update(drafts)
                .where(drafts.c.id == draft.id, drafts.c.revision == draft.revision)
                .values(body=_plain(body), **values)
            ).rowcount
            if done:
                before = connection.execute(
                    sa.select(revisions.c.author, revisions.c.since).where(mine)
                ).one()
                # The first revision stays: it says what the draft began with.
                together = (
                    draft.revision > 1 and before.author == author and moment - before.since < ONE_STRETCH
                )
                if together:
                    connection.execute(sa.delete(revisions).where(mine))
                row = _revision(saved, since=before.since if together else moment)
                self._insert(connection, DraftRevisionRow, [row])
        if not done:
            newer = self.draft(draft.id)
            raise Conflict(
                f"{newer.updated_by} saved this draft at {newer.updated_at:%H:%M:%S} UTC, after you opened it.",
                "Nothing was written: load their version, then apply your edit again.",
            )
        return saved

    def draft_revisions(self, draft_id: str) -> list[DraftRevision]:
        """Return the saves of a draft that are kept, oldest first; [] if the draft is gone."""
        columns = table(DraftRevisionRow).c
        query = sa.select(*(columns[name] for name in DraftRevision.model_fields))
        query = query.where(columns.draft_id == draft_id).order_by(columns.revision)
        with self._read() as connection:
            return [DraftRevision.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def draft_body(self, draft_id: str, revision: int) -> Body:
        """Return what a draft said at a revision, or at the newest kept one before it.

        Raises:
            NotFound: if the draft is gone.
        """
        columns = table(DraftRevisionRow).c
        query = sa.select(columns.body).where(columns.draft_id == draft_id, columns.revision <= revision)
        query = query.order_by(columns.revision.desc()).limit(1)
        with self._read() as connection:
            found = connection.execute(query).scalar_one_or_none()
        if found is None:
            raise NotFound("This draft is gone.", "It was published or discarded; open the policy again.")
        return _parsed_body(canonical_json(found))

    def discard_draft(self, draft_id: str) -> None:
        """Remove a draft with its revisions; nothing happens if it is gone already."""
        with self._write() as connection:
            revisions = table(DraftRevisionRow)
            connection.execute(sa.delete(revisions).where(revisions.c.draft_id == draft_id))
            drafts = table(DraftRow)
            connection.execute(sa.delete(drafts).where(drafts.c.id == draft_id))


@lru_cache(maxsize=256)
def _parsed_body(document: str) -> Body:
    return Body.model_validate_json(document)


def _draft(row: Any) -> Draft:
    return Draft.model_validate(dict(row) | {"body": _parsed_body(canonical_json(row["body"]))})


def _plain(body: Body) -> dict[str, Any]:
    return body.model_dump(mode="json", by_alias=True)


def _revision(draft: Draft, *, since: datetime) -> dict[str, Any]:
    return {
        "draft_id": draft.id,
        "revision": draft.revision,
        "body": _plain(draft.body),
        "base_version": draft.base_version,
        "author": draft.updated_by,
        "since": since,
        "at": draft.updated_at,
    }
