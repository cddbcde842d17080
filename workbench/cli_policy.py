"""Commands about policies as they are published: list, show, compare, lint, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from workbench.cli_output import Json, group, print_json, show
from workbench.cli_workspace import name_and_version, opened
from workbench.errors import BadInput, NotFound

if TYPE_CHECKING:
    from workbench.policy_import import Document
    from workbench.policy_lint import Finding

app = group("Policies: versions and drafts, lint, import and export.")

Format = Literal["yaml", "md", "html"]
_SUFFIXES: dict[str, Format] = {
    ".yaml": "yaml", ".yml": "yaml", ".md": "md", ".markdown": "md", ".html": "html", ".htm": "html",
}  # fmt: skip


@app.command("list")
def policy_list(as_json: Json = False) -> None:
    """List policies and their versions."""
    store = opened().store
    rows = [
        {
            "policy": version.name,
            "version": version.version,
            "published_at": version.published_at,
            "author": version.author,
            "dimensions": len(version.dimensions),
            "clauses": len(list(version.clauses())),
            "message": version.message,
        }
        for name in store.policy_names()
        for version in store.policy_versions(name)
    ]
    show(rows, as_json, "No policies yet: put one under policies/ and run `workbench sync`.")


@app.command("show")
def policy_show(
    name: Annotated[str, typer.Argument(help="Policy, or policy@version.")],
    version: Annotated[int | None, typer.Option()] = None,
    as_json: Json = False,
) -> None:
    """Print one version as YAML (the newest by default)."""
    from workbench.documents import policy_text

    policy = opened().store.policy(*_version(name, version))
    if as_json:
        print_json(policy.document())
    else:
        print(policy_text(policy), end="")


@app.command("diff")
def policy_diff(name: str, before: int, after: int, as_json: Json = False) -> None:
    """Show the semantic difference of two versions: clauses, levels, weights, gates."""
    from workbench.authoring import changes_between

    changes = changes_between(opened(), name, before, after)
    if as_json:
        print_json([change.model_dump() for change in changes])
        return
    for change in changes:
        origin = f" from {change.origin}" if change.origin else ""
        # A part without a number is named by its section: "weight of role", not "weight weight".
        what = f"{change.part} {change.id}" if change.id not in (change.part, change.section) else change.part
        place = (
            f" of {change.section}"
            if change.section not in ("document", "overall", "general") and "." not in change.id
            else ""
        )
        print(f"{change.kind:9} {what}{place}{origin}")
        for sign, text in (("-", change.before), ("+", change.after)):
            if text and change.kind != "moved":
                print(f"    {sign} {' '.join(text.split())}")
    if not changes:
        print(f"{name} v{before} and v{after} say the same.")


@app.command("lint")
def policy_lint(
    target: Annotated[
        str | None, typer.Argument(help="Policy, or policy@version; a YAML file may be named here too.")
    ] = None,
    version: Annotated[int | None, typer.Option()] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="YAML, Markdown or Word file to lint instead; as an edit of the policy, if named."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a careful reader would query; 1 when there is an error among it."""
    label, findings = _findings(target, version, file)
    if as_json:
        print_json([finding.model_dump() for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.severity}: {finding.place} {finding.message}")
        print(f"{label}: {len(findings)} findings")
    raise typer.Exit(1 if any(finding.severity == "error" for finding in findings) else 0)


@app.command("export")
def policy_export(
    name: Annotated[str, typer.Argument(help="Policy, or policy@version.")],
    form: Annotated[
        Format | None, typer.Option("--format", help="By default what the file's name says, else yaml.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; by default it is printed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one version as YAML, as Markdown that can be imported again, or as HTML to print."""
    from workbench.documents import policy_text
    from workbench.files import write_text
    from workbench.policy_export import to_html, to_markdown

    policy = opened().store.policy(*name_and_version(name))
    chosen = form or (_SUFFIXES.get(output.suffix.lower(), "yaml") if output else "yaml")
    text = {"yaml": policy_text, "md": to_markdown, "html": to_html}[chosen](policy)
    data = {"policy": policy.name, "version": policy.version, "format": chosen}
    if output is None:
        print_json(data | {"text": text}) if as_json else print(text, end="")
        return
    try:
        write_text(output, text)
    except OSError as error:
        raise BadInput(
            f"{output} cannot be written ({error.strerror}).", "Check its path and permissions."
        ) from error
    if as_json:
        print_json(data | {"file": output})
    else:
        print(f"Wrote {policy.label} to {output}.")


def read_file(path: Path) -> Document:
    """Return what a YAML, Markdown or Word file says.

    Raises:
        NotFound: if there is no such file.
        BadInput: one sentence for a file that cannot be read.
    """
    from workbench.policy_import import read_document
    from workbench.word_files import MAX_BYTES

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)  # one more than is allowed is enough to refuse it
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path}.", "Check the path.") from error
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}).", "Check its path and permissions."
        ) from error
    return read_document(data, str(path))


def _findings(target: str | None, version: int | None, file: Path | None) -> tuple[str, tuple[Finding, ...]]:
    """Return what is linted, as a person calls it, and the findings on it."""
    from workbench.documents import parse_policy
    from workbench.files import read_text
    from workbench.policy_lint import lint

    if target is None:
        if file is None:
            raise BadInput("Nothing is named.", "Name a policy, or a file with --file.")
        return str(file), _of_file(file)
    if target.endswith((".yaml", ".yml")):
        if file is not None:
            raise BadInput("Two files are named.", "Name a policy and --file, or one of both.")
        written = parse_policy(read_text(Path(target)), target)
        return written.label, lint(written)
    from workbench.linting import findings
    from workbench.policy_import import build

    workspace = opened()
    policy = workspace.store.policy(*_version(target, version))
    if file is None:
        return policy.label, findings(workspace, policy.name, policy)
    body = build(read_file(file), base=policy).body
    return f"{file} as an edit of {policy.label}", findings(workspace, policy.name, body)


def _of_file(file: Path) -> tuple[Finding, ...]:
    from workbench.policy_import import build
    from workbench.policy_lint import lint

    return lint(build(read_file(file)).body)


def _version(name: str, version: int | None) -> tuple[str, int | None]:
    """Return policy and version, whichever way the version is given."""
    policy, said = name_and_version(name)
    if said is not None and version is not None:
        raise BadInput("The version is given twice.", f"Write {policy}@{said} or --version {version}.")
    return policy, version if said is None else said
