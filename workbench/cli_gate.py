"""The command about a release."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli_output import Json, print_json
from workbench.cli_workspace import name_and_version, ready


def gate(
    policy: Annotated[str, typer.Argument(help="Policy, or policy@version.")],
    golden: Annotated[
        str | None, typer.Option(help="Golden set; default: the one named like the policy.")
    ] = None,
    judge: Annotated[
        str, typer.Option(help="Name of the judge; default: the gate's, else the newest run's.")
    ] = "",
    against: Annotated[
        int | None, typer.Option(help="Version to compare with; default: the newest before that was judged.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="The gate; default: policies/NAME/gate.yaml, else the defaults.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say whether a policy version may be released; 1, with the reasons, when it may not."""
    from workbench.jobs import collect
    from workbench.release import release

    workspace = ready()
    collect(workspace)
    name, version = name_and_version(policy)
    found = release(
        workspace,
        name,
        version,
        golden=golden or name,
        who=workspace.settings.user,
        judge=judge,
        against=against,
        file=file,
    )
    if as_json:
        print_json(
            {
                "policy": found.policy,
                "version": found.version,
                "passed": found.passed,
                "gate": found.gate.model_dump(mode="json"),
                "source": found.source,
                "run": found.run.id if found.run else None,
                "before": found.before.id if found.before else None,
                "checks": [check.model_dump(mode="json") for check in found.checks],
                "reasons": list(found.reasons),
            }
        )
        raise typer.Exit(0 if found.passed else 1)
    print(f"{found.policy} v{found.version} on {golden or name} ({found.gate.split})")
    if found.run:
        before = f", against {found.before.label}" if found.before else ""
        print(f"{found.run.id}: {found.run.label}{before}")
    marks = {True: "ok  ", False: "no  ", None: "?   "}
    for check in found.checks:
        print(f"  {marks[check.passed]}{check.what:<10}{check.dimension:<14}{check.said}")
    if found.reason:
        print(found.reason)
    print("passes" if found.passed else "does not pass")
    raise typer.Exit(0 if found.passed else 1)
