"""Verbs of policy authoring: drafts that several people may edit at once, publishing, restoring.

Whoever edits a draft edits what they last saw of it. Saving merges that edit with what others saved meanwhile, part
by part (:mod:`workbench.policy_merge`); only where both changed the same part otherwise does it stop, with an
:class:`EditConflict` that holds both texts. Publishing merges in the same way with a version that was published
since the draft was begun.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise

from workbench.documents import parse_policy, write_policy, write_policy_schema
from workbench.errors import BadInput, Conflict, Refused
from workbench.golden import Pair
from workbench.linting import findings
from workbench.policy import Body, Policy
from workbench.policy_diff import Change, diff
from workbench.policy_edit import add_precedent, edit
from workbench.policy_merge import Choice, Merged, merge, resolve
from workbench.store import Draft, Store
from workbench.store.base import now
from workbench.trial_pairs import checked_pairs
from workbench.workspace import Workspace

__all__ = [
    "Edit",
    "EditConflict",
    "base_body",
    "bring_up_to_date",
    "changes_between",
    "edits",
    "incoming",
    "new_draft",
    "open_draft",
    "publish",
    "rename",
    "restore",
    "save",
    "settle",
    "start_draft",
    "undo",
    "with_precedent",
]

_ATTEMPTS = 5
"""Saves that are merged and tried again when somebody else is a moment faster."""


class EditConflict(Conflict):
    """Two people changed the same parts otherwise. Nothing was written; ``merged`` holds both, for :func:`settle`."""

    def __init__(self, message: str, hint: str, *, merged: Merged, theirs: Draft, base_version: int) -> None:
        """Keep the merge, the draft as it is now, and the version it will be based on once settled."""
        super().__init__(message, hint)
        self.merged = merged
        self.theirs = theirs
        self.base_version = base_version


@dataclass(frozen=True)
class Edit:
    """What one person changed in a draft, in one save or in several within a minute."""

    revision: int
    author: str
    since: datetime
    at: datetime
    changes: tuple[Change, ...]


def changes_between(workspace: Workspace, name: str, before: int, after: int) -> tuple[Change, ...]:
    """Return the semantic difference of two published versions of a policy."""
    return diff(workspace.store.policy(name, before), workspace.store.policy(name, after))


# Drafts


def start_draft(workspace: Workspace, name: str, author: str, *, title: str = "") -> Draft:
    """Return a new draft that says what the newest version of a policy says."""
    newest = workspace.store.policy(name)
    return _started(workspace, name, newest.body(), author, base_version=newest.version, title=title)


def open_draft(workspace: Workspace, name: str, author: str) -> Draft:
    """Return the author's newest draft of a policy, or a new one based on the newest version."""
    for draft in workspace.store.drafts(name):
        if draft.author == author:
            return draft
    return start_draft(workspace, name, author)


def new_draft(workspace: Workspace, name: str, body: Body, author: str, title: str = "") -> Draft:
    """Return a new draft that says ``body``: of a policy that is not published yet, or of the newest version.

    Raises:
        BadInput: for a name that a policy cannot have.
        Refused: if there is a draft of a new policy of this name already.
    """
    if name in workspace.store.policy_names():
        newest = workspace.store.policy(name)
        body = _keeping_ids(body, newest, in_use=_ids(body))
        return _started(workspace, name, body, author, base_version=newest.version, title=title)
    _check_name(name, body)
    if others := workspace.store.drafts(name):
        raise Refused(
            f"{others[0].author} has begun a policy called '{name}' already.",
            "Choose another name, or open that draft.",
        )
    return _started(workspace, name, body, author, base_version=0, title=title)


def restore(workspace: Workspace, name: str, version: int, author: str) -> Draft:
    """Return a new draft of the newest version that says again what an earlier one said.

    Clauses that were retired since come back under their ids: they are the same clauses.

    Raises:
        Refused: if the newest version says the same.
    """
    newest, wanted = workspace.store.policy(name), workspace.store.policy(name, version)
    if not diff(newest, wanted):
        raise Refused(f"{newest.label} says the same as v{version}.", "Choose another version to restore.")
    body = _keeping_ids(wanted.body(), newest, in_use=_ids(wanted))
    title = f"Back to v{version}"
    return _started(workspace, name, body, author, base_version=newest.version, title=title)


def base_body(workspace: Workspace, draft: Draft) -> Body:
    """Return what a draft is compared with: the version it is based on, or what a new policy began with."""
    if draft.base_version:
        return workspace.store.policy(draft.name, draft.base_version)
    return workspace.store.draft_body(draft.id, 1)


def rename(workspace: Workspace, draft: Draft, title: str, author: str) -> Draft:
    """Give a draft another title."""
    title = " ".join(title.split())[:120]
    if title == draft.title:
        return draft
    return workspace.store.save_draft(draft, draft.body, author, title=title)


def save(workspace: Workspace, draft: Draft, body: Body, author: str) -> Draft:
    """Keep an edit of a draft, merged with what others saved since ``draft`` was read; return the draft as it is now.

    Ids that the base version has retired, or that the edit takes out, are kept as retired: an edit of the whole text
    may forget them, and a new clause must not get one of them. An edit that changes nothing is not saved.

    Args:
        draft: the draft as the author saw it; ``body`` is an edit of ``draft.body``.

    Raises:
        BadInput: if the body uses an id that is retired for good.
        EditConflict: if somebody else changed the same part otherwise meanwhile.
        NotFound: if the draft is gone.
    """
    base = base_body(workspace, draft)
    body = _keeping_ids(body, base, draft.body, in_use=_ids(draft.body))
    if body == draft.body:
        return workspace.store.draft(draft.id)
    theirs = draft
    for _ in range(_ATTEMPTS):
        merged = body
        if theirs.revision != draft.revision:
            outcome = merge(draft.body, theirs.body, body)
            if outcome.conflicts:
                raise _clash(outcome, theirs)
            merged = outcome.body
        try:
            return workspace.store.save_draft(theirs, merged, author)
        except Conflict:
            theirs = workspace.store.draft(draft.id)
    raise Conflict("This draft is being saved by several people at once.", "Save again in a moment.")


def settle(workspace: Workspace, clash: EditConflict, choices: Mapping[str, Choice], author: str) -> Draft:
    """Keep an edit whose conflicts a person has settled, part by part; return the draft as it is now.

    Args:
        choices: for each conflict's place, whose text to keep.

    Raises:
        BadInput: if a conflict is left open, or the choices break a rule together.
        EditConflict: if somebody changed these parts again meanwhile.
    """
    outcome = resolve(clash.merged, choices)
    if outcome.conflicts:
        left = outcome.conflicts[0]
        raise BadInput(f"{left.id} is not settled yet.", "Choose a text for each part, then keep them.")
    if clash.base_version == clash.theirs.base_version:
        return save(workspace, clash.theirs, outcome.body, author)
    return workspace.store.save_draft(clash.theirs, outcome.body, author, base_version=clash.base_version)


def with_precedent(
    workspace: Workspace, policy: str, body: Body, key: str, pair: Pair, *, grade: int | None, because: str
) -> Body:
    """Return ``body`` with a golden pair as a settled example of a dimension: the fields that it considers.

    Raises:
        BadInput: without a reason, or for a grade that the dimension does not have.
        Refused: for a pair of the holdout of any golden set of the policy.
    """
    checked_pairs(workspace, policy, body.pair, [pair])
    considered = set(body.dimension(key).considers) or set(body.pair.field_names())
    texts = {
        side: {
            name: fields[name]
            for name in layout.fields
            if f"{layout.name}.{name}" in considered and fields.get(name)
        }
        for side, layout, fields in (
            ("query", body.pair.query, pair.query),
            ("document", body.pair.document, pair.document),
        )
    }
    return add_precedent(body, key, pair=texts, grade=grade, because=because)


def edits(workspace: Workspace, draft: Draft, *, after: int = 0) -> list[Edit]:
    """Return who changed what in a draft since revision ``after``, newest first."""
    kept = workspace.store.draft_revisions(draft.id)
    found = [
        Edit(
            revision=new.revision,
            author=new.author,
            since=new.since,
            at=new.at,
            changes=_changes(workspace.store, draft.id, old.revision, new.revision),
        )
        for old, new in pairwise(kept)
        if new.revision > after
    ]
    return found[::-1]


def undo(workspace: Workspace, draft: Draft, author: str) -> Draft:
    """Take back the author's newest edit of a draft; what others saved since stays.

    Raises:
        Refused: if there is none, or somebody changed the same part since.
    """
    kept = workspace.store.draft_revisions(draft.id)
    mine = [i for i, revision in enumerate(kept) if revision.author == author and i > 0]
    if not mine:
        raise Refused("There is no edit of yours to take back in this draft.", "")
    after, before = kept[mine[-1]], kept[mine[-1] - 1]
    now_body = workspace.store.draft(draft.id)
    done = workspace.store.draft_body(draft.id, after.revision)
    outcome = merge(done, now_body.body, workspace.store.draft_body(draft.id, before.revision))
    if outcome.conflicts:
        raise Refused(
            f"{outcome.conflicts[0].id} was changed again since your edit.", "Edit it by hand instead."
        )
    if outcome.body == now_body.body:
        raise Refused("Your last edit has been taken back already.", "")
    return workspace.store.save_draft(now_body, outcome.body, author)


# Publishing


def incoming(workspace: Workspace, draft: Draft) -> tuple[Policy, tuple[Change, ...]] | None:
    """Return the newest version and what it changed since the draft's base; None while the base is the newest."""
    if not draft.base_version:
        return None
    newest = workspace.store.policy(draft.name)
    if newest.version == draft.base_version:
        return None
    return newest, diff(base_body(workspace, draft), newest)


def bring_up_to_date(workspace: Workspace, draft: Draft, author: str) -> Draft:
    """Merge the newest version into a draft and base the draft on it.

    Raises:
        EditConflict: if draft and version changed the same part otherwise; :func:`settle` ends it.
        Conflict: if somebody saved the draft since it was read.
    """
    if incoming(workspace, draft) is None:
        return draft
    newest, outcome = _merged_with_newest(workspace, draft)
    return workspace.store.save_draft(draft, outcome.body, author, base_version=newest.version)


def publish(workspace: Workspace, draft: Draft, *, message: str, author: str) -> Policy:
    """Publish a draft as the next version: keep it in the store, write its file, discard the draft.

    Where a newer version than the draft's base was published, the draft is merged with it.

    Raises:
        BadInput: without a message.
        Conflict: if somebody saved the draft since it was read; as :class:`EditConflict`, if draft and newest version
            changed the same part otherwise.
        NotFound: if the draft was published or discarded meanwhile.
        Refused: if lint finds an error, or nothing was changed.
    """
    if not message.strip():
        raise BadInput("A version needs a message.", "Say in one sentence what changed and why.")
    kept = workspace.store.draft(draft.id)
    if kept.revision != draft.revision:
        raise Conflict(
            f"{kept.updated_by} saved this draft at {kept.updated_at:%H:%M:%S} UTC, after you opened it.",
            "Look at what changed, then publish.",
        )
    body, parent = draft.body, 0
    if draft.base_version:
        newest, outcome = _merged_with_newest(workspace, draft)
        body, parent = _keeping_ids(outcome.body, newest, in_use=_ids(outcome.body)), newest.version
        if not diff(newest, body):
            raise Refused(
                f"The draft says the same as {newest.label}.", "Change something before publishing."
            )
    elif draft.name in workspace.store.policy_names():
        raise Conflict(
            f"A policy called '{draft.name}' was published meanwhile.",
            "Export this draft and import it under another name.",
        )
    errors = [finding for finding in findings(workspace, draft.name, body) if finding.severity == "error"]
    if errors:
        more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
        raise Refused(
            f"{errors[0].place} {errors[0].message}{more}", "Mend what lint calls an error, then publish."
        )
    policy = Policy.publish(
        body,
        policy=draft.name,
        version=parent + 1,
        parent=parent or None,
        message=message.strip(),
        author=author,
        published_at=now().replace(microsecond=0),
    )
    # The file first: if the disk is full nothing is published, and a file without its row is read in by the next sync.
    write_policy(workspace.root / "policies", policy)
    write_policy_schema(workspace.root / "policies")
    workspace.store.add_policy(policy)
    workspace.store.discard_draft(draft.id)
    return policy


def import_policy(workspace: Workspace, text: str, where: str) -> Policy:
    """Keep a policy document that came as text, as the version it says it is."""
    policy = parse_policy(text, where)
    write_policy(workspace.root / "policies", policy)
    workspace.store.add_policy(policy)
    return policy


def _started(
    workspace: Workspace, name: str, body: Body, author: str, *, base_version: int, title: str
) -> Draft:
    title = " ".join(title.split())[:120]
    return workspace.store.start_draft(name, body, author, base_version=base_version, title=title)


def _check_name(name: str, body: Body) -> None:
    """Refuse a name that no published policy could have."""
    try:
        Policy.publish(body, policy=name, version=1)
    except ValueError as error:
        raise BadInput(
            f"'{name}' cannot be the name of a policy.",
            "Use small letters, digits and hyphens, such as job-match.",
        ) from error


def _merged_with_newest(workspace: Workspace, draft: Draft) -> tuple[Policy, Merged]:
    newest = workspace.store.policy(draft.name)
    base = base_body(workspace, draft)
    # Ids that the draft restored are its own again; for the merge they have never been retired.
    restored = _ids(draft.body) & set(base.retired)
    outcome = merge(_as_in_use(base, restored), _as_in_use(newest, restored), draft.body)
    if outcome.conflicts:
        parts = ", ".join(conflict.id for conflict in outcome.conflicts[:4])
        raise EditConflict(
            f"{newest.label}, published by {newest.author}, changed {parts} otherwise than this draft.",
            "Choose a text for each part, then publish.",
            merged=outcome,
            theirs=draft,
            base_version=newest.version,
        )
    return newest, outcome


def _clash(outcome: Merged, theirs: Draft) -> EditConflict:
    parts = ", ".join(conflict.id for conflict in outcome.conflicts[:4])
    return EditConflict(
        f"{theirs.updated_by} changed {parts} at {theirs.updated_at:%H:%M:%S} UTC, while you were editing it.",
        "Both texts are kept below: choose one for each part.",
        merged=outcome,
        theirs=theirs,
        base_version=theirs.base_version,
    )


@lru_cache(maxsize=512)
def _changes(store: Store, draft_id: str, before: int, after: int) -> tuple[Change, ...]:
    """What a revision says never changes, so neither does the difference of two."""
    return diff(store.draft_body(draft_id, before), store.draft_body(draft_id, after))


def _keeping_ids(body: Body, *before: Body, in_use: set[str]) -> Body:
    """Return ``body`` with every id as retired that one of ``before`` had or had retired, and it does not have.

    Args:
        in_use: ids that may be used although they were retired once: those of a restored clause.

    Raises:
        BadInput: if the body uses another retired id.
    """
    used = _ids(body)
    gone = [id for other in before for id in (*other.retired, *sorted(_ids(other) - used))]
    retired = tuple(id for id in dict.fromkeys([*gone, *body.retired]) if id not in used & in_use)
    return body if retired == body.retired else edit(body, retired=retired)


def _as_in_use(body: Body, ids: set[str]) -> Body:
    return edit(body, retired=tuple(id for id in body.retired if id not in ids)) if ids else body


def _ids(body: Body) -> set[str]:
    ids = {clause.id for _, clause in body.clauses()} | {gate.id for gate in body.overall.gates}
    return ids | {precedent.id for dimension in body.dimensions for precedent in dimension.precedents}
