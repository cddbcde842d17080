"""The command line: the same verbs as the pages. Exit codes: 0 done, 1 the answer is no, 2 a wrong use.

The commands lie in one module a subject. Everything but Typer is imported inside them, so that ``workbench --help``
is quick.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Annotated, NoReturn

import typer

from workbench import (
    cli_clicks,
    cli_data,
    cli_draft,
    cli_evaluate,
    cli_gate,
    cli_golden,
    cli_import,
    cli_jobs,
    cli_judge,
    cli_judges,
    cli_models,
    cli_pipeline,
    cli_policy,
    cli_probe,
    cli_score,
    cli_sweep,
    cli_trace,
    cli_train,
    cli_train_plan,
)
from workbench.cli_output import Json, Leading, group, print_json, table
from workbench.cli_workspace import say_sync, synced
from workbench.errors import WorkbenchError

app = typer.Typer(
    help="Write a product policy, label golden pairs, run judges, and see how their agreement changes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command("app")
def app_command(
    port: Annotated[int, typer.Option(help="Port of the page.")] = 8501,
    headless: Annotated[bool, typer.Option(help="Do not open a browser window.")] = True,
    samples: Annotated[bool, typer.Option(help="Run the sample judges if there are no runs.")] = True,
    as_json: Json = False,
) -> None:
    """Prepare everything and open the workbench in the browser."""
    from workbench.documents import write_policy_schema
    from workbench.serve import serve

    workspace, report = synced()
    write_policy_schema(workspace.root / "policies")
    say_sync(report, to=sys.stderr if as_json else None)
    if samples:
        from workbench.jobs import wait
        from workbench.sample import start_sample_runs

        runs = start_sample_runs(workspace)
        if runs:
            say = partial(print, file=sys.stderr if as_json else None, flush=True)
            say(f"Running {len(runs)} sample judge runs (no key needed), about a minute, once.")
            for line in wait(workspace, [f"job-{run.id}" for run in runs]):
                say(f"  {line}")
    raise typer.Exit(serve(workspace, port=port, headless=headless, as_json=as_json))


@app.command()
def sync(as_json: Json = False) -> None:
    """Read new files of policies/ and golden_sets/ into the store; 1 when a file is wrong."""
    _, report = synced()
    if as_json:
        print_json(report.model_dump())
    else:
        say_sync(report, all_lines=True)
    raise typer.Exit(1 if report.problems else 0)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is installed, which providers have keys, and whether database, executor and GPU can be used."""
    from workbench.doctor import examine

    checks = examine()
    if as_json:
        print_json([check.model_dump() for check in checks])
    else:
        table(("", "part", "state"), [("ok" if c.ok else "--", c.part, c.state) for c in checks])
    raise typer.Exit(1 if any(not c.ok and c.needed for c in checks) else 0)


app.command("compare")(cli_judge.compare)
app.command("gate")(cli_gate.gate)
cli_judge.app.command("probe")(cli_probe.judge_probe)
for _name in ("add", "test", "saved", "retire", "plugins"):
    cli_judge.app.command(_name)(getattr(cli_judges, f"judge_{_name}"))
cli_judge.app.command("trace")(cli_trace.judge_trace)
cli_judge.app.command("import")(cli_import.judge_import)
train_app = group("Training of teachers and students; without a command: train RECIPE.", Leading)
train_app.command("run")(cli_train.train)
train_app.command("plan")(cli_train_plan.train_plan)
train_app.command("check")(cli_train_plan.train_check)
train_app.command("sweep")(cli_sweep.sweep)
train_app.command("sweeps")(cli_sweep.sweeps)
train_app.command("stop-sweep")(cli_sweep.stop_sweep)
train_app.command("frontier")(cli_sweep.frontier)
train_app.command("ask-teachers")(cli_sweep.teachers_ask)
train_app.command("conflicts")(cli_sweep.conflicts)
app.add_typer(train_app, name="train")
app.command("evaluate")(cli_evaluate.evaluate)
app.command("ledger")(cli_evaluate.ledger)
for _name in ("models", "promote", "demote", "export"):
    app.command(_name)(getattr(cli_models, _name))
cli_policy.app.command("import")(cli_draft.import_document)
cli_policy.app.command("drafts")(cli_draft.drafts)
cli_policy.app.command("publish")(cli_draft.publish)
cli_policy.app.command("restore")(cli_draft.restore)
app.add_typer(cli_policy.app, name="policy")
app.add_typer(cli_golden.app, name="golden")
app.add_typer(cli_judge.app, name="judge")
app.add_typer(cli_clicks.app, name="clicks")
app.add_typer(cli_jobs.app, name="jobs")
app.add_typer(cli_pipeline.app, name="pipeline")
data_app = group("Data sets: made from a pool by a judge.")
app.add_typer(data_app, name="data")
for _name in ("make", "list", "show", "check"):
    data_app.command(_name)(getattr(cli_data, f"data_{_name}"))
app.command("score")(cli_score.score)


def main() -> NoReturn:
    """Run the command line; an error of the user's is one sentence and exit code 2, as JSON where that is asked for."""
    as_json = "--json" in sys.argv
    try:
        # Outside its standalone mode Typer returns the exit code and raises what it has to say of a wrong use.
        code = app(standalone_mode=not as_json)
    except typer.TyperException as error:
        code = _tell(error.format_message(), "Add --help to see how it is used.", as_json)
    except WorkbenchError as error:
        code = _tell(error.message, error.hint, as_json)
    sys.exit(code or 0)


def _tell(message: str, hint: str, as_json: bool) -> int:
    if as_json:
        print_json({"error": message, "hint": hint})
    else:
        print(f"error: {message} {hint}".rstrip(), file=sys.stderr)
    return 2
