"""The commands of pipelines: run one, list them, see how far a run is, stop it, resume it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli_output import Json, group, print_json, show, table
from workbench.cli_workspace import ready, version_number

if TYPE_CHECKING:
    from workbench.pipeline import PlannedStep
    from workbench.pipeline_advance import PipelineRun
    from workbench.workspace import Workspace

app = group("Pipelines: data set, teachers, student and evaluation as one chain of jobs.")

RunId = Annotated[str | None, typer.Argument(metavar="RUN", help="Id of a run; none: the newest.")]


@app.command("run")
def pipeline_run(
    name: Annotated[str, typer.Argument(help="Name of a pipeline under pipelines/, or a file.")],
    policy_version: Annotated[
        str | None, typer.Option(help="Version of the policy; default: the newest.")
    ] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="step.field=value, such as student.schedule.epochs=2.")
    ] = None,
    force: Annotated[
        list[str] | None, typer.Option(help="A step that is made even where its product is there.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would be skipped and made; start nothing.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = False,
    as_json: Json = False,
) -> None:
    """Run a pipeline; what is there under the same content hash is skipped. With --wait, 1 when it did not finish."""
    from workbench import pipelines

    workspace = ready()
    given: dict[str, Any] = {
        "policy_version": version_number(policy_version) if policy_version else None,
        "changes": pipelines.read_changes(change or []),
        "force": force or (),
    }
    if plan:
        steps = pipelines.preview(workspace, name, **given)
        print_json([_data(each) for each in steps]) if as_json else _say_steps(steps)
        raise typer.Exit(1 if any(each.status == "failed" for each in steps) else 0)
    run_id = pipelines.start(workspace, name, author=workspace.settings.user, **given)
    if not wait:
        print_json({"run": run_id}) if as_json else print(f"started {run_id}")
        return
    for line in pipelines.wait(workspace, run_id):
        print(line, file=sys.stderr if as_json else None, flush=True)
    _end(pipelines.status(workspace, run_id), as_json)


@app.command("list")
def pipeline_list(as_json: Json = False) -> None:
    """List the runs of pipelines, newest first, after the names of the pipelines there are."""
    from workbench import pipelines

    workspace = ready()
    if not as_json:
        print(f"pipelines: {', '.join(pipelines.pipelines(workspace)) or 'none under pipelines/'}\n")
    rows = [
        {
            "run": one.id,
            "pipeline": one.record.pipeline.pipeline,
            "policy": f"{one.record.pipeline.policy} v{one.record.policy_version}",
            "status": one.status,
            "done": f"{sum(each.status == 'done' for each in one.steps)}/{len(one.steps)}",
            "who": one.record.author,
            "started": f"{one.record.started_at:%Y-%m-%d %H:%M}",
        }
        for one in pipelines.runs(workspace)
    ]
    show(rows, as_json, "No pipeline has run yet. Start one: workbench pipeline run NAME")


@app.command("show")
def pipeline_show(run: RunId = None, as_json: Json = False) -> None:
    """Print how far a run is; a run whose driver is gone goes on. 1 when it has failed."""
    from workbench import pipelines

    workspace = ready()
    found = pipelines.watch(workspace, _run_id(workspace, run))
    _say(found, as_json)
    raise typer.Exit(1 if found.status == "failed" else 0)


@app.command("stop")
def pipeline_stop(run: RunId = None, as_json: Json = False) -> None:
    """Start no more steps of a run, and ask those at work to end at their next safe point."""
    from workbench import pipelines

    workspace = ready()
    run_id = _run_id(workspace, run)
    pipelines.stop(workspace, run_id, workspace.settings.user)
    _say(pipelines.watch(workspace, run_id), as_json)


@app.command("resume")
def pipeline_resume(
    run: RunId = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = False,
    as_json: Json = False,
) -> None:
    """Let a run go on that failed or was stopped. With --wait, 1 when it did not finish."""
    from workbench import pipelines

    workspace = ready()
    run_id = _run_id(workspace, run)
    pipelines.resume(workspace, run_id, workspace.settings.user)
    if wait:
        for line in pipelines.wait(workspace, run_id):
            print(line, file=sys.stderr if as_json else None, flush=True)
        _end(pipelines.status(workspace, run_id), as_json)
    _say(pipelines.watch(workspace, run_id), as_json)


def _run_id(workspace: Workspace, given: str | None) -> str:
    from workbench.errors import NotFound
    from workbench.pipelines import runs

    if given is not None:
        return given
    found = runs(workspace)
    if not found:
        raise NotFound("No pipeline has run yet.", "Start one: workbench pipeline run NAME.")
    return found[0].id


def _end(run: PipelineRun, as_json: bool) -> None:
    if as_json:
        _say(run, as_json)
    else:
        print(f"{run.id} {run.status}" + (f": {run.reason}" if run.reason else ""))
    raise typer.Exit(0 if run.status == "finished" else 1)


def _say(run: PipelineRun, as_json: bool) -> None:
    if as_json:
        about = {"run": run.id, "pipeline": run.record.pipeline.pipeline, "status": run.status}
        jobs = {name: step.job or None for name, step in run.record.steps.items()}
        steps = [_data(each) | {"job": jobs.get(each.step.step)} for each in run.steps]
        print_json(about | {"reason": run.reason, "driven": run.driven, "steps": steps})
        return
    policy = f"{run.record.pipeline.policy} v{run.record.policy_version}"
    print(f"{run.id}: {run.record.pipeline.pipeline} on {policy}, {run.status}")
    _say_steps(run.steps)


def _say_steps(steps: Sequence[PlannedStep]) -> None:
    rows = []
    for each in steps:
        about = each.what if each.status == "done" else each.reason
        rows.append((each.step.step, each.step.kind, "skipped" if each.reused else each.status, about))
    table(("step", "kind", "status", ""), rows)


def _data(each: PlannedStep) -> dict[str, Any]:
    return {
        "step": each.step.step,
        "kind": each.step.kind,
        "needs": list(each.step.needs),
        "status": each.status,
        "reused": each.reused,
        "what": each.what or None,
        "reason": each.reason,
        "key": each.key or None,
    }
