"""Verbs of import: a file to an outline, the roles of its headings, the policy they make, a draft of it.

Nothing is kept before :func:`start_imported_draft`. A document that was made from a policy that exists becomes an edit
of it: rules that are the same keep their ids (:mod:`workbench.policy_matching`), and what the document does not say
stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from pydantic import ValidationError

from workbench import outline_roles, policy_outline
from workbench.authoring import new_draft
from workbench.documents import parse_policy
from workbench.errors import BadInput, Refused
from workbench.outline import Outline
from workbench.outline_lines import fact
from workbench.outline_roles import OF_A_DIMENSION, HeadingRole, Role, RoleMapping
from workbench.policy import Body, Layout, Policy
from workbench.policy_assembly import Built
from workbench.policy_diff import Change, diff
from workbench.policy_lint import Finding, lint
from workbench.policy_matching import keep_ids
from workbench.store import Draft
from workbench.word_files import read_outline, read_plain
from workbench.workspace import Workspace
from workbench.yamltext import YamlText, validate

MAX_YAML = 2**20
"""Characters of YAML; 30 pages have about 120,000."""
YAML_SUFFIXES = (".yaml", ".yml")

Chosen = Mapping[int, HeadingRole]
"""Position of a heading -> the role that a person gave it."""


@dataclass(frozen=True)
class Document:
    """A file as it was read: YAML says the whole policy, Markdown and Word give an outline that needs a mapping."""

    file: str
    outline: Outline | None = None
    body: Body | None = None
    policy: str = ""  # the policy that it says it is, "" if it does not say
    version: int = 0  # and its version


@dataclass(frozen=True)
class Report:
    """What a person should know of an imported policy before keeping it."""

    clauses: int
    precedents: int
    findings: tuple[Finding, ...]
    changes: tuple[Change, ...] | None  # against the version it is a draft of; None for a new policy


def read_document(data: bytes, name: str) -> Document:
    """Return what an uploaded file says.

    Args:
        data: its content.
        name: its name; the ending says what it is.

    Raises:
        BadInput: one sentence with the place and the remedy, for a file that cannot be read.
    """
    if PurePath(name).suffix.lower() in YAML_SUFFIXES:
        return _read_yaml(read_plain(data, name), name)
    outline = read_outline(data, name)
    policy, version = _said_version(outline)
    return Document(name, outline=outline, policy=policy, version=version)


def propose(outline: Outline, chosen: Chosen | None = None, base: Body | None = None) -> RoleMapping:
    """Return a role for every heading; one that is titled like a dimension of ``base`` is that dimension.

    Raises:
        BadInput: if what was chosen does not fit together.
    """
    chosen = dict(chosen or {})
    if base is None:
        return outline_roles.propose(outline, chosen)
    known = {outline_roles.words_of(dimension.title): dimension.key for dimension in base.dimensions}
    mapping = outline_roles.propose(outline, chosen)
    taken = {item.dimension for item in mapping.headings if item.role == "dimension"}
    for i, item in enumerate(mapping.headings):
        key = known.get(outline_roles.words_of(item.heading), "")
        if i not in chosen and item.role in ("dimension", "general", "group") and key and key not in taken:
            chosen[i] = item.model_copy(update={"role": "dimension", "dimension": key})
            taken.add(key)
    return outline_roles.propose(outline, chosen)


def choose(
    mapping: RoleMapping, chosen: Chosen, position: int, role: Role, key: str | None = None
) -> dict[int, HeadingRole]:
    """Return ``chosen`` with another role for one heading, so that the whole still fits together.

    Headings that were put under a dimension follow it when its key changes, and are guessed anew when it is gone.

    Args:
        mapping: the roles as they are now.
        key: the dimension it is or belongs to, "" for none. By default a new dimension's key is made of its title,
            and a part of a dimension belongs to the nearest one above.

    Raises:
        BadInput: for a key that is none.
    """
    old = mapping.headings[position]
    others = {
        item.dimension
        for i, item in enumerate(mapping.headings)
        if i != position and item.role == "dimension"
    }
    if role == "dimension" and key is None:
        key = _free_key(outline_roles.key_for(outline_roles.plain_title(old.heading)), others)
    elif role in OF_A_DIMENSION and key is None:
        above = (item.dimension for item in mapping.headings[:position][::-1] if item.role == "dimension")
        key = next(above, "")
    new = HeadingRole(heading=old.heading, role=role, dimension=(key or "") if role in OF_A_DIMENSION else "")
    if role == "dimension":
        try:
            RoleMapping(headings=(new,))
        except ValidationError as error:
            reason = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise BadInput(f"{reason[0].upper()}{reason[1:]}.", "Use small letters, digits and _.") from error
    kept = {**chosen, position: new}
    if old.role == "dimension" and old.dimension not in (new.dimension, *others):
        for i, item in chosen.items():
            if i == position or item.role == "dimension" or item.dimension != old.dimension:
                continue
            if role == "dimension":
                kept[i] = item.model_copy(update={"dimension": new.dimension})
            else:
                del kept[i]
    return kept


def build(
    document: Document,
    mapping: RoleMapping | None = None,
    *,
    pair: Layout | None = None,
    base: Body | None = None,
) -> Built:
    """Return the policy that a document makes, as an edit of ``base`` where there is one.

    Args:
        mapping: the roles of an outline's headings; those that are proposed by default.
        pair: the layout of a pair; by default the document's own, else that of ``base``. YAML says it itself.

    Raises:
        BadInput: if the mapping belongs to another document.
    """
    if document.outline is not None:
        mapping = mapping or propose(document.outline, base=base)
        built = policy_outline.build(document.outline, mapping, pair=pair, base=base)
    else:
        assert document.body is not None, "a document has an outline or a body"
        built = Built(body=document.body, written=tuple(_ids(document.body)))
    return keep_ids(built, base) if base else built


def report(built: Built, base: Body | None = None) -> Report:
    """Return figures, lint findings and, against ``base``, changes of an imported policy."""
    body = built.body
    return Report(
        clauses=sum(1 for _ in body.clauses()),
        precedents=sum(len(dimension.precedents) for dimension in body.dimensions),
        findings=lint(body),
        changes=diff(base, body) if base else None,
    )


def base_of(workspace: Workspace, name: str, version: int = 0) -> Policy | None:
    """Return the version that an import is an edit of: ``version`` if there is such, else the newest; None without."""
    if name not in workspace.store.policy_names():
        return None
    versions = workspace.store.policy_versions(name)
    return next((policy for policy in versions if policy.version == version), versions[-1])


def start_imported_draft(
    workspace: Workspace, built: Built, *, name: str, title: str, author: str, version: int = 0
) -> Draft:
    """Keep an imported policy as a draft: of a new policy, or of the version it was made from.

    Publishing a draft of an older version merges it with the newest one, like any other draft.

    Args:
        name: the policy; where it exists, the draft is an edit of it.
        title: what the draft is called.
        version: the version that the document was made from; 0 for the newest.

    Raises:
        BadInput: for a name that a policy cannot have.
        Refused: if the document says what that version says, or a new policy of this name was begun already.
    """
    base = base_of(workspace, name, version)
    if base is None:
        return new_draft(workspace, name, built.body, author, title)
    body = keep_ids(built, base).body
    if not diff(base, body):
        raise Refused(f"The document says the same as {base.label}.", "There is nothing to make a draft of.")
    if base.version == workspace.store.policy(name).version:
        return new_draft(workspace, name, body, author, title)
    title = " ".join(title.split())[:120]
    return workspace.store.start_draft(name, body, author, base_version=base.version, title=title)


def suggested_name(document: Document, title: str) -> str:
    """Return a name for a new policy: the document's own, or one made of its title."""
    words = outline_roles.key_for(title).split("_")
    return document.policy or "-".join(words[:5]).strip("-") or "policy"


def typed_layout(query: str, query_fields: str, document: str, document_fields: str) -> Layout:
    """Return the layout that a person typed: a name for each side, and its fields separated by commas.

    Raises:
        BadInput: for what is no name, or twice the same.
    """

    def side(name: str, fields: str) -> dict[str, object]:
        return {"name": name.strip(), "fields": [field for field in re.split(r"[,\s]+", fields) if field]}

    data = {"query": side(query, query_fields), "document": side(document, document_fields)}
    return validate(Layout, data, "The layout of a pair")


def _read_yaml(text: str, name: str) -> Document:
    if len(text) > MAX_YAML:
        raise BadInput(f"{name} has {len(text):,} characters; a policy may have {MAX_YAML:,}.", "Divide it.")
    source = YamlText(text, name)
    if isinstance(source.data, Mapping) and "policy" not in source.data:
        return Document(name, body=validate(Body, source.data, name, source))
    policy = parse_policy(text, name)
    return Document(name, body=policy.body(), policy=policy.name, version=policy.version)


def _said_version(outline: Outline) -> tuple[str, int]:
    """Return (policy, version) that our own export says under *This version*."""
    for section in outline.sections:
        if outline_roles.words_of(section.title) != "this version":
            continue
        for block in section.blocks:
            key, value = fact(getattr(block, "text", "")) or ("", "")
            match = re.fullmatch(r"([a-z0-9][a-z0-9-]{0,79}) v(\d{1,6})", value)
            if key == "version" and match:
                return match[1], int(match[2])
    return "", 0


def _free_key(key: str, taken: set[str]) -> str:
    free, n = key, 2
    while free in taken or free == "overall":
        free, n = f"{key[:56]}_{n}", n + 1
    return free


def _ids(body: Body) -> list[str]:
    found = [clause.id for _, clause in body.clauses()] + [gate.id for gate in body.overall.gates]
    return found + [precedent.id for dimension in body.dimensions for precedent in dimension.precedents]
