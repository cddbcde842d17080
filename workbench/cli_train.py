"""The command that trains a student or teacher."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli_output import Json, print_json
from workbench.cli_workspace import ready
from workbench.errors import BadInput


def train(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe under students/ or teachers/.")],
    change: Annotated[
        list[str] | None, typer.Option("--set", help="Field=value, such as schedule.epochs=2.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
    as_json: Json = False,
) -> None:
    """Train a recipe as a job; its checkpoint grades the golden set at the end. 1 when it fails."""
    from workbench import jobs
    from workbench.training_runs import start_training, with_changes
    from workbench.yamltext import YamlText

    workspace = ready()
    changes = {}
    for item in change or []:
        key, equals, value = item.partition("=")
        if not equals:
            raise BadInput(f"--set {item} has no '='.", "Write it as field=value.")
        changes[key.strip()] = YamlText(value, f"--set {key}").data if value.strip() else None
    launched = start_training(
        workspace, with_changes(workspace.recipe(recipe), changes), author=workspace.settings.user
    )
    if wait:
        for line in jobs.wait(workspace, [launched.job_id]):
            if not as_json:
                print(line, flush=True)
    run = workspace.store.run(launched.run_id)
    if as_json:
        print_json({"job": launched.job_id, "run": run.model_dump(mode="json")})
    else:
        print(f"{launched.job_id}: {run.status}" + (f" – {run.error}" if run.error else ""))
    raise typer.Exit(1 if run.status in ("failed", "cancelled") else 0)
