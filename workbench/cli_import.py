"""The command that brings in judgements made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli_output import Json, print_json
from workbench.cli_workspace import name_and_version, ready

if TYPE_CHECKING:  # loaded by the command
    from workbench.judge_runs import RecordedRun
    from workbench.judgement_imports import Preview


def judge_import(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV, TSV, JSON, JSONL, Parquet or Excel; promptfoo results; Langfuse scores; an inspect-ai log."
        ),
    ],
    policy: Annotated[str, typer.Option(help="Policy, or policy@version.")],
    golden: Annotated[
        str | None, typer.Option(help="Golden set; default: the one named like the policy.")
    ] = None,
    judge: Annotated[str, typer.Option(help="Name of the judge; default: as the file names it.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be imported, and keep nothing.")
    ] = False,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out pairs that the golden set does not have.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Import judgements made elsewhere as recorded runs; the same file again changes nothing."""
    from workbench.judgement_files import read_judgements
    from workbench.judgement_imports import import_judgements, preview

    workspace = ready()
    name, version = name_and_version(policy)
    found = read_judgements(file, policy=workspace.store.policy(name, version))
    where: dict[str, Any] = {
        "policy": name, "golden": golden or name, "judge": judge, "policy_version": version,
    }  # fmt: skip
    seen = preview(workspace, found, **where)
    runs = (
        list(seen.runs)
        if dry_run
        else import_judgements(
            workspace, found, author=workspace.settings.user, skip_unknown=skip_unknown, **where
        )
    )
    if as_json:
        print_json(_as_data(seen, runs, dry_run))
        return
    print("\n".join(seen.lines()))
    for planned in runs:
        print(_line(planned))
    if dry_run:
        print("Nothing was imported (dry run).")


def _line(planned: RecordedRun) -> str:
    run = planned.run
    failed = f", {run.totals.failed:,} failed" if run.totals.failed else ""
    again = ", imported before" if planned.known else ""
    return f"{run.id}: {run.label}, {run.totals.judgements:,} judgements{failed}{again}"


def _as_data(seen: Preview, runs: list[RecordedRun], dry_run: bool) -> dict[str, Any]:
    return {
        "file": seen.file,
        "format": seen.format,
        "golden": seen.golden,
        "dry_run": dry_run,
        "judgements": seen.rows,
        "pairs_known": seen.known,
        "pairs_unknown": list(seen.unknown),
        "dimensions": dict(seen.dimensions),
        "unknown_dimensions": dict(seen.unknown_dimensions),
        "outside_scale": dict(seen.outside),
        "not_a_score": dict(seen.not_a_score),
        "repeated": seen.repeated,
        "left_out": dict(seen.left_out),
        "notes": list(seen.notes),
        "runs": [
            {
                "run": planned.run.id,
                "judge": planned.run.judge.name,
                "policy_version": planned.run.policy_version,
                "judgements": planned.run.totals.judgements,
                "failed": planned.run.totals.failed,
                "new": not planned.known,
            }
            for planned in runs
        ],
    }
