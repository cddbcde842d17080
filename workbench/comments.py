"""Verbs of comments: say something about a part of a policy, answer, resolve, open again.

A comment hangs on a part of the policy (a clause by its id, wherever it is moved), not on a draft: it is there in
every draft and version, and survives publishing and restoring. What the part said when a thread was begun is kept
with it, so that one sees whether it was reworded since.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from workbench.errors import BadInput, NotFound
from workbench.identity import keepable
from workbench.policy import Body, Dimension
from workbench.policy_diff import GENERAL, OVERALL_RULE, show
from workbench.store.base import now
from workbench.store.comments import Comment
from workbench.workspace import Workspace

LONGEST = 10_000
"""Characters of one comment."""

Place = tuple[str, str]
"""Section (``general``, a dimension key or ``overall``) and item in it; "" for the section itself."""


@dataclass(frozen=True)
class Thread:
    """A comment with its replies, and the part it is about as a body has it now."""

    first: Comment
    replies: tuple[Comment, ...]
    section: (
        str  # where it is shown: with its part, else with the part's section, else with the general rules
    )
    item: str
    text: str | None  # what the part says now; None if it is gone

    @property
    def resolved(self) -> bool:
        """Whether somebody marked it as settled."""
        return self.first.resolved_at is not None

    @property
    def gone(self) -> bool:
        """Whether the part it is about is not in the body any more."""
        return self.text is None

    @property
    def stale(self) -> bool:
        """Whether the part says something else than when the thread was begun."""
        return self.text is not None and self.text != self.first.quoted


def threads(workspace: Workspace, policy: str, body: Body) -> tuple[Thread, ...]:
    """Return the threads on a policy as they concern ``body``, a draft or version of it: oldest first."""
    found = workspace.store.comments(policy)
    replies: dict[str, list[Comment]] = {}
    for comment in found:
        if comment.reply_to:
            replies.setdefault(comment.reply_to, []).append(comment)
    texts = part_texts(body)
    homes = {item: section for section, item in texts if _unique(item)}
    return tuple(
        _thread(comment, tuple(replies.get(comment.id, ())), texts, homes)
        for comment in found
        if not comment.reply_to
    )


def open_counts(found: Sequence[Thread]) -> dict[Place, int]:
    """Return (section, item) -> open threads shown there; parts without any are left out."""
    return dict(Counter((thread.section, thread.item) for thread in found if not thread.resolved))


def comment(
    workspace: Workspace,
    policy: str,
    body: Body,
    section: str,
    item: str,
    text: str,
    author: str,
    *,
    draft_id: str = "",
    key: str = "",
) -> Comment:
    """Begin a thread about a part and return its first comment.

    Args:
        body: the draft or version as the author reads it.
        draft_id: the draft it is read in; "" for a published version.
        key: makes the call repeatable: the same key adds one comment only (a double click).

    Raises:
        BadInput: for a text that is empty or too long.
        NotFound: if the part is not in the body.
    """
    said = _checked(text)
    part = part_texts(body).get((section, item))
    if part is None:
        raise NotFound(
            f"There is no part '{item or section}' here to comment on.", "It may be gone; open another one."
        )
    return workspace.store.add_comment(
        Comment(
            id=_id(key),
            policy=policy,
            draft_id=draft_id,
            section=section,
            item=item,
            text=said,
            author=author,
            at=now(),
            quoted=part,
        )
    )


def reply(
    workspace: Workspace, thread_id: str, text: str, author: str, *, draft_id: str = "", key: str = ""
) -> Comment:
    """Answer in a thread and return the answer; a resolved thread is open again then, lest nobody sees it.

    Raises:
        BadInput: for a text that is empty or too long.
        NotFound: if there is no such thread.
    """
    said = _checked(text)
    first = workspace.store.comment(thread_id)
    return workspace.store.add_comment(
        Comment(
            id=_id(key),
            policy=first.policy,
            draft_id=draft_id,
            section=first.section,
            item=first.item,
            text=said,
            author=author,
            at=now(),
            reply_to=thread_id,
        )
    )


def resolve(workspace: Workspace, thread_id: str, author: str) -> Comment:
    """Mark a thread as settled; one that is settled stays with who settled it first.

    Raises:
        NotFound: if there is no such thread.
    """
    return workspace.store.resolve_comment(thread_id, author)


def reopen(workspace: Workspace, thread_id: str, author: str) -> Comment:
    """Mark a thread as open again.

    Raises:
        NotFound: if there is no such thread.
    """
    return workspace.store.reopen_comment(thread_id, author)


def part_texts(body: Body) -> dict[Place, str]:
    """Return what every part of a body says, by place in reading order, as the text that a comment quotes."""
    return {place: keepable(text) for place, text in _parts(body)}


def _parts(body: Body) -> Iterator[tuple[Place, str]]:
    yield (GENERAL, ""), _lines(body.title, body.purpose)
    for clause in body.general:
        yield (GENERAL, clause.id), show(clause)
    for term in body.terms:
        yield (GENERAL, f"term {term.term}"), show(term)
    for dimension in body.dimensions:
        yield from _dimension(dimension)
    rule = body.overall
    weights = ", ".join(f"{dimension.key} {show(dimension.weight)}" for dimension in body.dimensions)
    yield (
        (OVERALL_RULE, ""),
        _lines(
            f"Combine: {rule.combine.replace('_', ' ')}",
            f"Weights: {weights}",
            f"Cut points: {show(rule.cut_points)}",
            *(f"{gate.id}: {show(gate)}" for gate in rule.gates),
        ),
    )
    for gate in rule.gates:
        yield (OVERALL_RULE, gate.id), show(gate)


def _dimension(dimension: Dimension) -> Iterator[tuple[Place, str]]:
    key = dimension.key
    yield (
        (key, ""),
        _lines(
            f"{dimension.title}: {dimension.question}",
            f"Weight: {show(dimension.weight)}",
            f"Considers: {show(dimension.considers)}" if dimension.considers else "",
            "May be N/A" if dimension.allow_na else "",
        ),
    )
    for level in dimension.levels:
        yield (key, f"level {level.value}"), show(level)
    for clause in dimension.clauses:
        yield (key, clause.id), show(clause)
    for precedent in dimension.precedents:
        yield (key, precedent.id), show(precedent)


def _lines(*lines: str) -> str:
    return "\n".join(filter(None, lines))


def _unique(item: str) -> bool:
    """Whether an item is an id, which is one part of the policy whatever section it is in."""
    return bool(item) and not item.startswith(("level ", "term "))


def _thread(
    first: Comment, replies: tuple[Comment, ...], texts: Mapping[Place, str], homes: Mapping[str, str]
) -> Thread:
    section, item = homes.get(first.item, first.section), first.item
    text = texts.get((section, item))
    if text is None:
        section, item = (section if (section, "") in texts else GENERAL), ""
    return Thread(first, replies, section, item, text)


def _checked(text: str) -> str:
    text = text.strip()
    if not text:
        raise BadInput("The comment is empty.", "Write what you would say about this part.")
    if len(text) > LONGEST:
        raise BadInput(
            f"The comment has {len(text):,} characters; it may have {LONGEST:,}.",
            "Divide it, or put the text into the policy.",
        )
    return text


def _id(key: str) -> str:
    return f"comment-{key or secrets.token_hex(8)}"
