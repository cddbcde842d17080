"""Verbs of policy authoring: read, compare, draft, lint, publish."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from workbench.documents import parse_policy, write_policy, write_policy_schema
from workbench.errors import BadInput, Conflict, Refused, WorkbenchError
from workbench.identity import content_hash
from workbench.policy import Body, Clause, Dimension, Gate, Level, Policy
from workbench.policy_diff import Change, diff
from workbench.policy_lint import Finding, lint
from workbench.store import Draft
from workbench.store.base import now
from workbench.workspace import Workspace
from workbench.yamltext import YamlText, describe, dump, validate

__all__ = [
    "add_clause",
    "body_from_text",
    "body_text",
    "changes_between",
    "edit",
    "findings",
    "open_draft",
    "publish",
    "retire_clause",
    "save",
    "set_clause",
    "set_dimension",
    "set_level",
    "set_overall",
]


def changes_between(workspace: Workspace, name: str, before: int, after: int) -> tuple[Change, ...]:
    """Return the semantic difference of two published versions of a policy."""
    return diff(workspace.store.policy(name, before), workspace.store.policy(name, after))


def open_draft(workspace: Workspace, name: str, author: str) -> Draft:
    """Return the author's newest draft of a policy, or a new one based on the newest version."""
    for draft in workspace.store.drafts(name):
        if draft.author == author:
            return draft
    return workspace.store.start_draft(name, workspace.store.policy(name), author)


def save(workspace: Workspace, draft: Draft, body: Body, author: str) -> Draft:
    """Keep an edited body as the draft's next revision; one that says the same is not saved again.

    Ids that the base version has retired, or that the edit takes out of it, are kept as retired: an edit of the whole
    text may forget them, and a new clause must not get one of them.

    Raises:
        BadInput: if the body uses an id that is retired for good.
        Conflict: if somebody saved the draft since it was read.
    """
    body = _with_retired(body, workspace.store.policy(draft.name, draft.base_version))
    return draft if body == draft.body else workspace.store.save_draft(draft, body, author)


def edit(body: Body, **changes: Any) -> Body:
    """Return ``body`` with fields replaced, checked as a whole.

    Raises:
        BadInput: if the result is not a policy; one sentence with the place.
    """
    values = {name: getattr(body, name) for name in Body.model_fields} | changes
    try:
        return Body.model_validate(values)
    except ValidationError as error:
        raise BadInput(*describe(error, "The draft")) from error


def set_dimension(body: Body, key: str, **changes: Any) -> Body:
    """Return ``body`` with fields of one dimension replaced."""
    body.dimension(key)
    return edit(body, dimensions=[_updated(d, changes) if d.key == key else d for d in body.dimensions])


def set_level(body: Body, key: str, value: int, *, name: str, criteria: str) -> Body:
    """Return ``body`` with one level's name and criteria replaced."""
    dimension = body.dimension(key)
    new = _made(Level, {"value": value, "name": name, "criteria": criteria}, f"Level {value} of {key}")
    return set_dimension(
        body, key, levels=[new if level.value == value else level for level in dimension.levels]
    )


def set_clause(body: Body, clause_id: str, text: str) -> Body:
    """Return ``body`` with one clause's text replaced; its id stays."""
    section = _section_of(body, clause_id)
    clauses = [
        _made(Clause, {"id": c.id, "text": text, "from": c.split_from}, f"Clause {c.id}")
        if c.id == clause_id
        else c
        for c in _clauses(body, section)
    ]
    return _with_clauses(body, section, clauses)


def add_clause(body: Body, section: str, text: str, *, split_from: str | None = None) -> Body:
    """Return ``body`` with a clause added at the end of a section (right behind the one it was split from)."""
    new = _made(
        Clause,
        {"id": body.fresh_id(section), "text": text, "from": split_from},
        f"The new clause of {section}",
    )
    clauses = list(_clauses(body, section))
    ids = [clause.id for clause in clauses]
    clauses.insert(ids.index(split_from) + 1 if split_from in ids else len(clauses), new)
    return _with_clauses(body, section, clauses)


def retire_clause(body: Body, clause_id: str) -> Body:
    """Return ``body`` without a clause; its id is kept as used, and precedents stop citing it."""
    section = _section_of(body, clause_id)
    dimensions = []
    for dimension in body.dimensions:
        precedents = [
            p.model_copy(update={"cites": tuple(c for c in p.cites if c != clause_id)})
            for p in dimension.precedents
        ]
        clauses = [c for c in dimension.clauses if c.id != clause_id]
        dimensions.append(
            dimension.model_copy(update={"precedents": tuple(precedents), "clauses": tuple(clauses)})
        )
    general = body.general if section != "general" else [c for c in body.general if c.id != clause_id]
    return edit(body, dimensions=dimensions, general=general, retired=(*body.retired, clause_id))


def set_overall(
    body: Body,
    *,
    weights: dict[str, float],
    cut_points: Sequence[float],
    gates: Sequence[dict[str, Any]],
    combine: str,
) -> Body:
    """Return ``body`` with another overall rule; a gate row without an id gets a fresh one."""
    made: list[Gate] = []
    used = body
    for i, row in enumerate(gates):
        values = {key: value for key, value in row.items() if value not in (None, "")}
        values.setdefault("id", used.fresh_id("gate"))
        gate = _made(Gate, values, f"Gate {i + 1}")
        made.append(gate)
        # Gates seen so far count as used when the next fresh id is drawn.
        used = used.model_copy(
            update={"overall": used.overall.model_copy(update={"gates": (*used.overall.gates, gate)})}
        )
    dropped = {gate.id for gate in body.overall.gates} - {gate.id for gate in made}
    return edit(
        body,
        overall={"combine": combine, "cut_points": list(cut_points), "gates": made},
        dimensions=[_updated(d, {"weight": weights.get(d.key, d.weight)}) for d in body.dimensions],
        retired=(*body.retired, *sorted(dropped)),
    )


def body_text(body: Body) -> str:
    """Return a body as YAML, for editing the whole document as text."""
    return dump(body.model_dump(mode="json", by_alias=True))


def body_from_text(text: str) -> Body:
    """Return the body that YAML text says.

    Raises:
        BadInput: with the line.
    """
    source = YamlText(text, "The draft")
    return validate(Body, source.data, "The draft", source)


def findings(body: Body) -> tuple[Finding, ...]:
    """Return lint's findings on a body, errors first."""
    return lint(body)


def publish(workspace: Workspace, draft: Draft, *, message: str, author: str) -> Policy:
    """Publish a draft as the next version: keep it in the store, write its file, discard the draft.

    Raises:
        BadInput: without a message.
        Conflict: if a newer version was published since the draft was begun, or somebody saved the draft since it was
            read.
        NotFound: if the draft was published or discarded meanwhile.
        Refused: if lint finds an error, or nothing was changed.
    """
    if not message.strip():
        raise BadInput("A version needs a message.", "Say in one sentence what changed and why.")
    kept = workspace.store.draft(draft.id)
    if kept.revision != draft.revision:
        raise Conflict(
            f"{kept.updated_by} saved this draft at {kept.updated_at:%H:%M:%S} UTC, after you opened it.",
            "Load their version, look at it, then publish.",
        )
    newest = workspace.store.policy(draft.name)
    if newest.version != draft.base_version:
        raise Conflict(
            f"{newest.label} was published by {newest.author} after this draft was begun from v{draft.base_version}.",
            "Start a draft from the newest version and apply your edits there; this draft is kept.",
        )
    if not diff(newest, draft.body):
        raise Refused(f"The draft says the same as {newest.label}.", "Change something before publishing.")
    errors = [finding for finding in lint(draft.body) if finding.severity == "error"]
    if errors:
        more = f" ({len(errors) - 1} more)" if len(errors) > 1 else ""
        raise Refused(
            f"{errors[0].place} {errors[0].message}{more}", "Mend what lint calls an error, then publish."
        )
    policy = Policy.publish(
        _with_retired(draft.body, newest),
        policy=draft.name,
        version=newest.version + 1,
        parent=newest.version,
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


def draft_key(draft: Draft) -> str:
    """Return a key that changes with every save, to key widgets by."""
    return content_hash("draft", [draft.id, draft.revision])


def _with_retired(body: Body, base: Body) -> Body:
    gone = sorted(_ids(base) - _ids(body))
    retired = tuple(dict.fromkeys((*base.retired, *body.retired, *gone)))
    return body if retired == body.retired else edit(body, retired=retired)


def _ids(body: Body) -> set[str]:
    ids = {clause.id for _, clause in body.clauses()} | {gate.id for gate in body.overall.gates}
    return ids | {precedent.id for dimension in body.dimensions for precedent in dimension.precedents}


def _updated(dimension: Dimension, changes: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(dimension, name) for name in Dimension.model_fields} | changes


def _made(model: Any, values: dict[str, Any], where: str) -> Any:
    return validate(model, values, where)


def _section_of(body: Body, clause_id: str) -> str:
    for section, clause in body.clauses():
        if clause.id == clause_id:
            return section
    raise WorkbenchError(
        f"There is no clause {clause_id} in this draft.", "It may have been retired; reload the page."
    )


def _clauses(body: Body, section: str) -> tuple[Clause, ...]:
    return body.general if section == "general" else body.dimension(section).clauses


def _with_clauses(body: Body, section: str, clauses: Sequence[Clause]) -> Body:
    if section == "general":
        return edit(body, general=tuple(clauses))
    return set_dimension(body, section, clauses=tuple(clauses))
