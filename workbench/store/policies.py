"""Published policies and drafts in the store."""

from __future__ import annotations

import secrets
from datetime import datetime
from functools import lru_cache

import sqlalchemy as sa

from workbench.errors import Conflict, NotFound, Refused
from workbench.identity import Value, canonical_json
from workbench.policy import Body, Policy
from workbench.store.base import StoreBase, now
from workbench.store.tables import DraftRow, PolicyRow, table


class Draft(Value):
    """An editable copy of a policy. ``revision`` grows by one with each save."""

    id: str
    name: str
    base_version: int
    author: str
    body: Body
    revision: int
    created_at: datetime
    updated_at: datetime
    updated_by: str


@lru_cache(maxsize=256)
def _parsed(document: str) -> Policy:
    return Policy.model_validate_json(document)


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
        query = sa.select(columns.document).where(columns.name == name).order_by(columns.version)
        with self._read() as connection:
            documents = connection.execute(query).scalars().all()
        if not documents:
            raise NotFound.among("policy", name, self.policy_names())
        return [_parsed(canonical_json(document)) for document in documents]

    def policy(self, name: str, version: int | None = None) -> Policy:
        """Return one version, the newest by default.

        Raises:
            NotFound: if there is no such policy or version.
        """
        versions = self.policy_versions(name)
        if version is None:
            return versions[-1]
        for policy in versions:
            if policy.version == version:
                return policy
        raise NotFound(
            f"Policy '{name}' has no version {version}.",
            f"There is: {', '.join(f'v{p.version}' for p in versions)}.",
        )

    def start_draft(self, name: str, base: Policy, author: str) -> Draft:
        """Keep and return a new draft that says what ``base`` says."""
        moment = now()
        draft = Draft(
            id=f"draft-{secrets.token_hex(8)}",
            name=name,
            base_version=base.version,
            author=author,
            body=base.body(),
            revision=1,
            created_at=moment,
            updated_at=moment,
            updated_by=author,
        )
        row = draft.model_dump() | {"body": draft.body.model_dump(mode="json", by_alias=True)}
        with self._write() as connection:
            self._insert(connection, DraftRow, [row])
        return draft

    def drafts(self, name: str) -> list[Draft]:
        """Return the drafts of a policy, the one saved last first."""
        columns = table(DraftRow).c
        query = sa.select(*columns).where(columns.name == name).order_by(columns.updated_at.desc())
        with self._read() as connection:
            return [Draft.model_validate(dict(row)) for row in connection.execute(query).mappings()]

    def draft(self, draft_id: str) -> Draft:
        """Return one draft.

        Raises:
            NotFound: if it was published or discarded meanwhile.
        """
        columns = table(DraftRow).c
        with self._read() as connection:
            row = (
                connection.execute(sa.select(*columns).where(columns.id == draft_id)).mappings().one_or_none()
            )
        if row is None:
            raise NotFound("This draft is gone.", "It was published or discarded; open the policy again.")
        return Draft.model_validate(dict(row))

    def save_draft(self, draft: Draft, body: Body, author: str) -> Draft:
        """Keep ``body`` as the draft's next revision, if nobody saved since ``draft`` was read.

        Raises:
            Conflict: if somebody did; says who and when, and nothing is written.
            NotFound: if the draft is gone.
        """
        drafts = table(DraftRow)
        moment = now()
        values = {
            "body": body.model_dump(mode="json", by_alias=True),
            "revision": draft.revision + 1,
            "updated_at": moment,
            "updated_by": author,
        }
        with self._write() as connection:
            done = connection.execute(
                sa.update(drafts)
                .where(drafts.c.id == draft.id, drafts.c.revision == draft.revision)
                .values(**values)
            ).rowcount
        if not done:
            newer = self.draft(draft.id)
            raise Conflict(
                f"{newer.updated_by} saved this draft at {newer.updated_at:%H:%M:%S} UTC, after you opened it.",
                "Your text is still in the form: load their version, then apply your edit again.",
            )
        return draft.model_copy(
            update={"body": body, "revision": draft.revision + 1, "updated_at": moment, "updated_by": author}
        )

    def discard_draft(self, draft_id: str) -> None:
        """Remove a draft; nothing happens if it is gone already."""
        drafts = table(DraftRow)
        with self._write() as connection:
            connection.execute(sa.delete(drafts).where(drafts.c.id == draft_id))
