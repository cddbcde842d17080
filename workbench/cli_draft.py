"""Commands about drafts of policies: import one, list them, publish, go back to an earlier version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli_output import Json, Message, print_json, show
from workbench.cli_policy import read_file
from workbench.cli_workspace import name_and_version, opened, ready
from workbench.errors import BadInput, Conflict, NotFound

if TYPE_CHECKING:
    from workbench.outline_roles import RoleMapping
    from workbench.policy import Layout, Policy
    from workbench.policy_assembly import Built
    from workbench.policy_import import Document, Report
    from workbench.store import Draft
    from workbench.workspace import Workspace


def drafts(
    name: Annotated[str | None, typer.Argument(help="Policy; default: all.")] = None, as_json: Json = False
) -> None:
    """List the drafts of a policy, the one saved last first."""
    from workbench.authoring import base_body
    from workbench.policy_diff import diff

    workspace = opened()
    found = workspace.store.drafts(name)
    if name is not None and not found and name not in (known := workspace.store.policy_names()):
        raise NotFound.among("policy", name, known)
    rows = [
        {
            "draft": draft.id,
            "policy": draft.name,
            "title": draft.title,
            "author": draft.author,
            "base_version": draft.base_version or None,
            "changes": len(diff(base_body(workspace, draft), draft.body)),
            "revision": draft.revision,
            "updated_at": draft.updated_at,
            "updated_by": draft.updated_by,
        }
        for draft in found
    ]
    if not as_json:
        rows = [row | {"updated_at": f"{row['updated_at']:%Y-%m-%d %H:%M}"} for row in rows]
    show(rows, as_json, "No drafts: begin one on the Draft page, or with `workbench policy import`.")


def publish(
    draft: Annotated[
        str, typer.Argument(help="Draft id, or its start; `workbench policy drafts` lists them.")
    ],
    message: Message,
    as_json: Json = False,
) -> None:
    """Publish a draft as the policy's next version, merged with the newest one where that moved on."""
    from workbench import authoring

    workspace = ready()
    try:
        policy = authoring.publish(
            workspace, _draft(workspace, draft), message=message, author=workspace.settings.user
        )
    except authoring.EditConflict as clash:
        # The verb's hint is for a face that shows both texts.
        raise Conflict(
            clash.message, "Open the draft on the Draft page and choose a text for each part."
        ) from clash
    if as_json:
        print_json(
            {
                "policy": policy.name,
                "version": policy.version,
                "parent": policy.parent,
                "message": policy.message,
                "author": policy.author,
                "content_hash": policy.content_hash,
            }
        )
    else:
        print(f"Published {policy.label}: {policy.message}")


def restore(
    version: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="The version to go back to.")],
    as_json: Json = False,
) -> None:
    """Begin a draft that says what an earlier version said; nothing changes before it is published."""
    from workbench.authoring import restore as restored

    name, number = name_and_version(version)
    if number is None:
        raise BadInput("No version is named.", f"Write {name}@2.")
    workspace = ready()
    _say_draft(restored(workspace, name, number, workspace.settings.user), as_json, {})


def import_document(
    file: Annotated[Path, typer.Argument(help="A Markdown, Word (.docx) or YAML file.")],
    name: Annotated[
        str | None, typer.Option(help="Policy, new or known; default: the one that the file names.")
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(
            help="What each heading is (YAML or JSON); default: guessed. --dry-run --json shows it."
        ),
    ] = None,
    title: Annotated[str, typer.Option(help="What the draft is called.")] = "",
    dry_run: Annotated[bool, typer.Option(help="Only say what would be imported.")] = False,
    as_json: Json = False,
) -> None:
    """Make a draft of a document: of a new policy, or as an edit of the one it was made from."""
    from workbench import policy_import

    workspace = ready()
    document = read_file(file)
    name = name or document.policy
    if not name:
        raise BadInput(f"{file} does not say which policy it is.", "Add --name NAME.")
    said = document.version if document.policy == name else 0
    base = policy_import.base_of(workspace, name, said)
    roles, pair = _mapping(document, mapping, base)
    built = policy_import.build(document, roles, pair=pair, base=base)
    report = policy_import.report(built, base)
    data = _report_data(built, report)
    if dry_run:
        origin = f"an edit of {base.label}" if base else "a new policy"
        if as_json:
            shown = None if roles is None else roles.model_dump() | {"pair": built.body.pair.model_dump()}
            print_json({"policy": name, "base": base.version if base else None, "mapping": shown} | data)
        else:
            for item in roles.headings if roles else ():
                print(f"{item.role:10} {item.dimension:16} {item.heading}".rstrip())
            print("\n".join([f"{file}: {name}, {origin}", *_report_lines(built, report)]))
            print("Nothing was imported (dry run).")
        return
    draft = policy_import.start_imported_draft(
        workspace, built, name=name, title=title or file.stem, author=workspace.settings.user, version=said
    )
    _say_draft(draft, as_json, data)
    if not as_json:
        print("\n".join(_report_lines(built, report)))


def _draft(workspace: Workspace, text: str) -> Draft:
    """Return the one draft whose id is, or starts with, ``text``."""
    known = {draft.id: draft for draft in workspace.store.drafts()}
    found = [text] if text in known else [id for id in known if text and id.startswith(text)]
    if not found:
        raise NotFound.among("draft", text, known)
    if len(found) > 1:
        raise BadInput(f"'{text}' is the start of {len(found)} drafts.", "Write more of the id.")
    return known[found[0]]


def _say_draft(draft: Draft, as_json: bool, more: dict[str, Any]) -> None:
    if as_json:
        fields = {"title", "author", "base_version", "revision"}
        print_json({"draft": draft.id, "policy": draft.name} | draft.model_dump(include=fields) | more)
        return
    origin = f"from v{draft.base_version}" if draft.base_version else "a new policy"
    print(f"Began {draft.id} of {draft.name}, {origin}: {draft.title}")
    print(f"Publish it with: workbench policy publish {draft.id} -m MESSAGE")


def _mapping(
    document: Document, path: Path | None, base: Policy | None
) -> tuple[RoleMapping | None, Layout | None]:
    """Return the roles of an outline's headings, and the layout of a pair where the mapping has one."""
    from workbench.files import read_text
    from workbench.outline_roles import RoleMapping
    from workbench.policy import Layout
    from workbench.policy_import import propose
    from workbench.yamltext import YamlText, validate

    if document.outline is None:
        if path is not None:
            raise BadInput(f"{document.file} is YAML, which needs no mapping.", "Leave --mapping out.")
        return None, None
    if path is None:
        return propose(document.outline, base=base), None
    source = YamlText(read_text(path), str(path))
    data = dict(source.data) if isinstance(source.data, dict) else source.data
    layout = data.pop("pair", None) if isinstance(data, dict) else None
    pair = None if layout is None else validate(Layout, layout, f"pair in {path}")
    return validate(RoleMapping, data, str(path), source), pair


def _report_data(built: Built, report: Report) -> dict[str, Any]:
    return {
        "dimensions": len(built.body.dimensions),
        "clauses": report.clauses,
        "precedents": report.precedents,
        "changes": None if report.changes is None else len(report.changes),
        "findings": [finding.model_dump() for finding in report.findings],
        "unplaced": [item.model_dump() for item in built.unplaced],
        "renumbered": [item.model_dump() for item in built.renumbered],
        "left_out": built.left_out,
        "notes": built.notes,
    }


def _report_lines(built: Built, report: Report) -> list[str]:
    errors = sum(finding.severity == "error" for finding in report.findings)
    changes = "" if report.changes is None else f", {len(report.changes)} changes"
    lines = [
        f"{len(built.body.dimensions)} dimensions, {report.clauses} clauses, {report.precedents} precedents{changes}; "
        f"{len(report.findings)} lint findings, {errors} of them errors"
    ]
    lines += [f"kept as general rule {item.id}: under '{item.heading}'" for item in built.unplaced]
    lines += [f"renumbered: {item.written} is {item.id}" for item in built.renumbered]
    lines += [f"left out: {' '.join(text.split())[:80]}" for text in built.left_out]
    return [*lines, *(f"note: {note}" for note in built.notes)]
