"""``workbench jobs …``: everything that runs or ran, how to end it or go on with it, and the room that it takes."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli_output import Json, group, print_json, show, table
from workbench.cli_workspace import opened
from workbench.errors import NotFound, Refused

if TYPE_CHECKING:
    from workbench.clean_up import Item
    from workbench.job_list import JobLine
    from workbench.workspace import Workspace

app = group("Jobs: everything that runs or ran outside the app.")

JobId = Annotated[str, typer.Argument(help="Id of a job, or the start of one.")]


@app.command("list")
def jobs_list(
    kind: Annotated[str, typer.Option(help="Only these, such as training or judge_run.")] = "",
    by: Annotated[str, typer.Option(help="Only those started by this person.")] = "",
    status: Annotated[str, typer.Option(help="any, 'under way', finished, failed or stopped.")] = "any",
    page: Annotated[int, typer.Option(min=1, help="Which page, of 200 jobs each.")] = 1,
    as_json: Json = False,
) -> None:
    """List jobs, those under way first, then the newest."""
    from workbench.job_list import job_page
    from workbench.jobs import collect

    workspace = opened()
    collect(workspace)
    found = job_page(workspace, kind=kind, person=by, status=status, page=page)  # type: ignore[arg-type]
    if as_json:
        print_json({"total": found.total, "page": found.page, "jobs": [_data(line) for line in found.lines]})
        return
    show([_row(line) for line in found.lines], False, "No job is like that.")
    if found.total > len(found.lines):
        print(f"{len(found.lines)} of {found.total:,} jobs; --page {found.page + 1} shows others.")


@app.command("show")
def jobs_show(job: JobId, as_json: Json = False) -> None:
    """Say what is known of one job."""
    from workbench.clean_up import was_removed
    from workbench.jobs import collect

    workspace = opened()
    collect(workspace)
    line = _line(workspace, job)
    if as_json:
        print_json(_data(line) | {"removed": was_removed(line.job)})
        return
    spec, now = line.job.spec, line.state
    facts = {
        "job": spec.id,
        "what": f"{spec.title} ({spec.kind.replace('_', ' ')})",
        "started": f"{spec.created_at:%Y-%m-%d %H:%M} UTC by {spec.author or 'nobody named'}",
        "status": _status(line) + (f", {now.done:,} of {now.total:,}" if now.total else ""),
        "error": now.error,
        "took": "" if line.seconds is None else f"{line.seconds:,.0f} s",
        "cost": f"{_cost(line)} ({line.cost.how})",
        "where": line.executor,
        "folder": line.job.folder,
        "files": was_removed(line.job),
    }
    for name, value in facts.items():
        if value:
            print(f"{name:<8} {value}")


@app.command("stop")
def jobs_stop(
    job: JobId,
    kill: Annotated[bool, typer.Option("--kill", help="End its processes at once.")] = False,
    as_json: Json = False,
) -> None:
    """Ask a job to end at its next safe point, or end it at once; what it did so far is kept. 1 if it had ended."""
    from workbench.jobs import collect, stop

    workspace = opened()
    collect(workspace)
    line = _line(workspace, job)
    under_way = line.state.status in ("queued", "running")
    if under_way:
        stop(workspace, line.job.spec.id, workspace.settings.user, kill=kill)
    said = ("killed" if kill else "asked to stop") if under_way else f"has ended already: {_status(line)}"
    if as_json:
        print_json({"job": line.job.spec.id, "stopped": under_way, "said": said})
    else:
        print(f"{line.job.spec.id}: {said}")
    raise typer.Exit(0 if under_way else 1)


@app.command("resume")
def jobs_resume(
    job: JobId,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
    as_json: Json = False,
) -> None:
    """Go on with a job that failed or was stopped, from what it has kept. 1 when it fails again."""
    from workbench import jobs
    from workbench.clean_up import was_removed

    workspace = opened()
    jobs.collect(workspace)
    line = _line(workspace, job)
    spec = line.job.spec
    if line.state.status in ("queued", "running", "finished"):
        raise Refused(
            f"{spec.title} is {line.state.status}.", "Only a job that failed or was stopped can go on."
        )
    if removed := was_removed(line.job):
        raise Refused(f"{spec.title} cannot go on. {removed}", "Start it anew.")
    jobs.resume(workspace, spec.id, workspace.settings.user)
    if wait:
        for said in jobs.wait(workspace, [spec.id]):
            if not as_json:
                print(said, flush=True)
    after = _line(workspace, spec.id)
    if as_json:
        print_json(_data(after))
    else:
        print(f"{spec.id}: {_status(after)}")
    raise typer.Exit(1 if wait and after.state.status != "finished" else 0)


@app.command("log")
def jobs_log(
    job: JobId,
    search: Annotated[str, typer.Option(help="Only lines in which this occurs.")] = "",
    lines: Annotated[int, typer.Option(min=1, help="Lines of the log's end that are looked at.")] = 200,
    as_json: Json = False,
) -> None:
    """Print the end of a job's log. 1 when no line is like that."""
    from workbench.job_list import search_log

    workspace = opened()
    found = search_log(_line(workspace, job).job, search, lines=lines)
    if as_json:
        print_json(found)
    else:
        print("\n".join(found) if found else "No line is like that." if search else "Nothing was logged yet.")
    raise typer.Exit(0 if found else 1)


@app.command("command")
def jobs_command(job: JobId, as_json: Json = False) -> None:
    """Print the command that does a job, to run it by hand or under a scheduler such as Slurm."""
    from workbench.job_list import command_line

    workspace = opened()
    words = command_line(workspace, _line(workspace, job).job)
    if as_json:
        print_json(words)
    else:
        print(shlex.join(words))


@app.command("clean-up")
def jobs_clean_up(
    older_than: Annotated[float, typer.Option(help="Days since the end; what is newer stays.")] = 30,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="What may go: runs, unfinished, 'training states', 'data set jobs', 'data sets', caches."
        ),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Remove what can go; without it, only say what.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what takes room, what of it can go and why the rest cannot; remove it with --yes. 1 if something then stayed."""
    from workbench.clean_up import clean_up, plan_clean_up
    from workbench.clean_up_rules import DEFAULT_KINDS
    from workbench.jobs import collect

    workspace = opened()
    collect(workspace)
    plan = plan_clean_up(workspace, older_than_days=older_than, kinds=kind or DEFAULT_KINDS)  # type: ignore[arg-type]
    done = clean_up(workspace, plan, workspace.settings.user) if yes else None
    if as_json:
        said: dict[str, Any] = {"can_go": plan.going, "stays": plan.staying}
        if done is not None:
            said = {
                "removed": done.removed,
                "kept": done.kept,
                "freed_bytes": done.freed,
                "stays": plan.staying,
            }
        print_json({k: [_item(i) for i in v] if isinstance(v, tuple) else v for k, v in said.items()})
    elif done is not None:
        print(f"Removed {_things(len(done.removed))}, {done.freed / 1e6:,.1f} MB.")
        for item in done.kept:
            print(f"{item.thing.title} stays: {item.keep}.")
    elif plan.items:
        rows = [
            (
                "stays" if item.keep else "can go",
                f"{item.bytes / 1e6:,.1f} MB",
                item.thing.kind,
                item.thing.title,
                item.keep,
            )
            for item in (*plan.going, *plan.staying)
        ]
        table(("", "size", "kind", "what", "because"), rows)
        size = sum(item.bytes for item in plan.going) / 1e6
        print(f"{_things(len(plan.going))} can go, {size:,.1f} MB" + (": add --yes." if plan.going else "."))
    else:
        print("Nothing takes room yet.")
    raise typer.Exit(1 if done is not None and done.kept else 0)


def _line(workspace: Workspace, start: str) -> JobLine:
    """Return a job by its id or by the start of one."""
    from workbench.job_list import job_line

    known = [job.spec.id for job in workspace.store.jobs()]
    found = [start] if start in known else [one for one in known if start and one.startswith(start)]
    if len(found) > 1:
        raise NotFound(f"Several jobs start with '{start}'.", "Give more of the id.")
    return job_line(workspace, found[0] if found else start)


def _things(count: int) -> str:
    return f"{count} thing{'' if count == 1 else 's'}"


def _status(line: JobLine) -> str:
    return line.state.status + (f", place {line.place} in the queue" if line.place else "")


def _cost(line: JobLine) -> str:
    return "unknown" if line.cost.usd is None else f"${line.cost.usd:,.4f}"


def _row(line: JobLine) -> dict[str, Any]:
    spec = line.job.spec
    return {
        "job": spec.id,
        "kind": spec.kind.replace("_", " "),
        "status": _status(line),
        "who": spec.author or "–",
        "when (UTC)": f"{spec.created_at:%Y-%m-%d %H:%M}",
        "took": "–" if line.seconds is None else f"{line.seconds:,.0f} s",
        "cost": _cost(line),
        "where": line.executor,
        "what": spec.title,
    }


def _data(line: JobLine) -> dict[str, Any]:
    spec = line.job.spec
    return {
        "job": spec.id,
        "kind": spec.kind,
        "title": spec.title,
        "author": spec.author,
        "created_at": spec.created_at.isoformat(),
        "state": line.state.model_dump(mode="json"),
        "seconds": line.seconds,
        "cost_usd": line.cost.usd,
        "cost_how": line.cost.how,
        "executor": line.executor,
        "queue_place": line.place,
        "folder": line.job.folder,
    }


def _item(item: Item) -> dict[str, Any]:
    return {
        "kind": item.thing.kind,
        "key": item.thing.key,
        "title": item.thing.title,
        "bytes": item.bytes,
        "keep": item.keep,
    }
