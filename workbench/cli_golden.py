"""Commands about golden sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli_output import Json, Message, estimate, estimate_data, group, print_json, show
from workbench.cli_workspace import opened, ready

app = group("Golden sets: import, look, publish, compare, export.")


@app.command("import")
def golden_import(
    path: Annotated[Path, typer.Argument(help="A file, or the folder that a mapping speaks of.")],
    mapping: Annotated[Path | None, typer.Option("--map", help="Column mapping (YAML).")] = None,
    policy: Annotated[str | None, typer.Option(help="Policy, where there is no mapping.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the golden set; default: of mapping or file.")
    ] = None,
    skip_bad_rows: Annotated[bool, typer.Option(help="Leave bad rows out and count them.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Only say what would be imported.")] = False,
    publish: Annotated[bool, typer.Option(help="Freeze the set as its next snapshot at once.")] = False,
    as_json: Json = False,
) -> None:
    """Import pairs and labels, and recorded judgements where the mapping has them.

    From CSV, TSV, JSONL, Parquet or Excel, JSON of Label Studio or Argilla, or a folder of TREC qrels with its queries
    and documents.
    """
    from workbench.importing import import_path

    workspace = ready()
    outcome = import_path(
        workspace,
        path,
        mapping=mapping,
        policy=policy,
        name=name,
        skip_bad_rows=skip_bad_rows,
        dry_run=dry_run,
        publish=publish,
        author=workspace.settings.user,
    )
    if as_json:
        print_json(outcome.as_data())
    else:
        print("\n".join(outcome.lines()))


@app.command("list")
def golden_list(as_json: Json = False) -> None:
    """List golden sets."""
    store = opened().store
    rows = [store.golden(name).model_dump() for name in store.golden_names()]
    shown = [
        {key: row[key] for key in ("name", "policy", "pairs", "labels", "labelers", "snapshots", "sample")}
        for row in rows
    ]
    show(shown, as_json, "No golden sets yet: `workbench golden import FILE --policy NAME`.")


@app.command("show")
def golden_show(name: str, as_json: Json = False) -> None:
    """Show coverage and agreement between labelers."""
    from workbench.evaluation import human_agreement
    from workbench.labelling import golden_coverage

    workspace = opened()
    info = workspace.store.golden(name)
    cover = golden_coverage(workspace, name)
    people = human_agreement(workspace, name, split="all", working=True)
    rows = []
    for key, counts in cover.counts.iterrows():
        found = people.get(str(key))
        ceiling = found.ceiling if found else None
        names = {-1: "no label", -2: "N/A"}
        rows.append(
            {"dimension": key}
            | {names.get(int(str(level)), str(level)): int(count) for level, count in counts.items()}
            | {"kappa between labelers": estimate(ceiling) if not as_json else estimate_data(ceiling)}
        )
    if as_json:
        print_json({"golden": info.model_dump(mode="json"), "coverage": rows})
    else:
        print(
            f"{name}: {info.pairs} pairs, {cover.queries} queries, {info.labels} labels by {info.labelers} labelers"
        )
        show(rows, False, "")


@app.command("publish")
def golden_publish(name: str, message: Message = "", as_json: Json = False) -> None:
    """Freeze a golden set as its next numbered snapshot."""
    from workbench.labelling import publish_golden

    workspace = ready()
    golden = publish_golden(workspace, name, message=message, author=workspace.settings.user)
    data = {
        "name": golden.name,
        "version": golden.version,
        "pairs": len(golden.pairs),
        "labels": len(golden.labels),
    }
    if as_json:
        print_json(data)
    else:
        print(f"Published {golden.label}: {data['pairs']} pairs, {data['labels']} labels.")


@app.command("export")
def golden_export(
    name: Annotated[
        str, typer.Argument(metavar="NAME[@VERSION]", help="Without a version: the set as it is now.")
    ],
    key: Annotated[
        str,
        typer.Option(
            "--format",
            help="csv, csv-settled, jsonl, parquet, label-studio, argilla, qrels, beir or datasets.",
        ),
    ] = "csv",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A file; a new folder, or its .zip, where there are several."),
    ] = None,
    dimension: Annotated[str, typer.Option(help="For qrels and beir: whose settled grades.")] = "",
    as_json: Json = False,
) -> None:
    """Write a golden set as files for other tools."""
    from workbench.golden_export import FORMATS
    from workbench.golden_history import export_golden, read_reference

    workspace = opened()
    golden, version = read_reference(name)
    path = export_golden(
        workspace, golden, version, key, output, dimension=dimension, author=workspace.settings.user
    )
    if as_json:
        print_json({"golden": golden, "version": version, "format": key, "path": path})
    else:
        print("\n".join(filter(None, (f"Wrote {path}.", FORMATS[key].leaves_out))))


@app.command("diff")
def golden_diff(
    name: str,
    before: Annotated[int, typer.Argument(metavar="A", help="Number of the earlier snapshot.")],
    after: Annotated[int, typer.Argument(metavar="B", help="Number of the later one.")],
    as_json: Json = False,
) -> None:
    """Say what changed between two snapshots: pairs, splits, labels, settled grades."""
    from workbench.golden_history import diff_data, diff_lines, snapshot_diff

    diff = snapshot_diff(opened(), name, before, after)
    if as_json:
        print_json(diff_data(diff))
    else:
        print("\n".join(diff_lines(diff)))
