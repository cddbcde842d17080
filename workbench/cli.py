"""The command line: the same verbs as the pages. Exit codes: 0 done, 1 the answer is no, 2 a wrong use.

Everything but Typer is imported inside the commands, so that ``workbench --help`` is quick.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from workbench.errors import BadInput, WorkbenchError

app = typer.Typer(
    help="Write a product policy, label golden pairs, run judges, and see how their agreement changes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
policy_app = typer.Typer(help="Published policy versions.", no_args_is_help=True, rich_markup_mode=None)
golden_app = typer.Typer(
    help="Golden sets: import, look, publish.", no_args_is_help=True, rich_markup_mode=None
)
judge_app = typer.Typer(help="Judge runs.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(policy_app, name="policy")
app.add_typer(golden_app, name="golden")
app.add_typer(judge_app, name="judge")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Message = Annotated[str, typer.Option("--message", "-m", help="What changed and why, in one sentence.")]


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

    workspace, report = _synced()
    write_policy_schema(workspace.root / "policies")
    _say_sync(report, to=sys.stderr if as_json else None)
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
    _, report = _synced()
    if as_json:
        _print_json(report.model_dump())
    else:
        _say_sync(report, all_lines=True)
    raise typer.Exit(1 if report.problems else 0)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is installed, which providers have keys, and whether database, executor and GPU can be used."""
    from workbench.doctor import examine

    checks = examine()
    if as_json:
        _print_json([check.model_dump() for check in checks])
    else:
        _table(("", "part", "state"), [("ok" if c.ok else "--", c.part, c.state) for c in checks])
    raise typer.Exit(1 if any(not c.ok and c.needed for c in checks) else 0)


@policy_app.command("list")
def policy_list(as_json: Json = False) -> None:
    """List policies and their versions."""
    store = _workspace().store
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
    _show(rows, as_json, "No policies yet: put one under policies/ and run `workbench sync`.")


@policy_app.command("show")
def policy_show(
    name: str, version: Annotated[int | None, typer.Option()] = None, as_json: Json = False
) -> None:
    """Print one version as YAML (the newest by default)."""
    from workbench.documents import policy_text

    policy = _workspace().store.policy(name, version)
    if as_json:
        _print_json(policy.document())
    else:
        print(policy_text(policy), end="")


@policy_app.command("diff")
def policy_diff(name: str, before: int, after: int, as_json: Json = False) -> None:
    """Show the semantic difference of two versions: clauses, levels, weights, gates."""
    from workbench.authoring import changes_between

    changes = changes_between(_workspace(), name, before, after)
    if as_json:
        _print_json([change.model_dump() for change in changes])
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


@policy_app.command("lint")
def policy_lint(
    target: Annotated[str, typer.Argument(help="A policy's name, or a YAML file.")],
    version: Annotated[int | None, typer.Option()] = None,
    as_json: Json = False,
) -> None:
    """Say what a careful reader would query; 1 when there is an error among it."""
    from workbench.documents import parse_policy
    from workbench.files import read_text
    from workbench.policy_lint import lint

    if target.endswith((".yaml", ".yml")):
        policy = parse_policy(read_text(Path(target)), target)
    else:
        policy = _workspace().store.policy(target, version)
    findings = lint(policy)
    if as_json:
        _print_json([finding.model_dump() for finding in findings])
    else:
        for finding in findings:
            print(f"{finding.severity}: {finding.place} {finding.message}")
        print(f"{policy.label}: {len(findings)} findings")
    raise typer.Exit(1 if any(finding.severity == "error" for finding in findings) else 0)


@golden_app.command("import")
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
    """Import pairs and labels from CSV, JSONL or Parquet, and recorded judgements where the mapping has them."""
    from workbench.importing import import_path

    workspace = _ready()
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
        _print_json(outcome.as_data())
    else:
        print("\n".join(outcome.lines()))


@golden_app.command("list")
def golden_list(as_json: Json = False) -> None:
    """List golden sets."""
    store = _workspace().store
    rows = [store.golden(name).model_dump() for name in store.golden_names()]
    shown = [
        {key: row[key] for key in ("name", "policy", "pairs", "labels", "labelers", "snapshots", "sample")}
        for row in rows
    ]
    _show(shown, as_json, "No golden sets yet: `workbench golden import FILE --policy NAME`.")


@golden_app.command("show")
def golden_show(name: str, as_json: Json = False) -> None:
    """Show coverage and agreement between labelers."""
    from workbench.evaluation import human_agreement
    from workbench.labelling import golden_coverage

    workspace = _workspace()
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
            | {names.get(int(level), str(level)): int(count) for level, count in counts.items()}
            | {"kappa between labelers": _estimate(ceiling) if not as_json else _estimate_data(ceiling)}
        )
    if as_json:
        _print_json({"golden": info.model_dump(mode="json"), "coverage": rows})
    else:
        print(
            f"{name}: {info.pairs} pairs, {cover.queries} queries, {info.labels} labels by {info.labelers} labelers"
        )
        _show(rows, False, "")


@golden_app.command("publish")
def golden_publish(name: str, message: Message = "", as_json: Json = False) -> None:
    """Freeze a golden set as its next numbered snapshot."""
    from workbench.labelling import publish_golden

    workspace = _ready()
    golden = publish_golden(workspace, name, message=message, author=workspace.settings.user)
    data = {
        "name": golden.name,
        "version": golden.version,
        "pairs": len(golden.pairs),
        "labels": len(golden.labels),
    }
    if as_json:
        _print_json(data)
    else:
        print(f"Published {golden.label}: {data['pairs']} pairs, {data['labels']} labels.")


@judge_app.command("run")
def judge_run(
    policy: Annotated[str, typer.Argument(help="Policy, or policy@version.")],
    golden: Annotated[
        str | None, typer.Option(help="Golden set; default: the one named like the policy.")
    ] = None,
    judge: Annotated[
        str, typer.Option(help="baseline, checkpoint:NAME, or a model such as openai/gpt-5-mini.")
    ] = "baseline",
    base_url: Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible server.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the key.")] = None,
    concurrency: Annotated[int, typer.Option(help="Calls in flight at once.")] = 16,
    repeat: Annotated[int, typer.Option(help="Repeat index: another one samples anew.")] = 0,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
    as_json: Json = False,
) -> None:
    """Run a judge with a policy version over a golden set; 1 when the run fails."""
    from workbench import jobs
    from workbench.evaluation import judge_from_text, start_run

    workspace = _ready()
    name, _, version = policy.partition("@")
    spec = judge_from_text(
        judge, base_url=base_url, api_key_env=api_key_env, concurrency=concurrency, repeat=repeat
    )
    run = start_run(
        workspace,
        spec,
        policy=name,
        version=_version(version) if version else None,
        golden=golden or name,
        author=workspace.settings.user,
    )
    if wait:
        for line in jobs.wait(workspace, [f"job-{run.id}"]):
            if not as_json:
                print(line, flush=True)
        run = workspace.store.run(run.id)
    if as_json:
        _print_json(run.model_dump(mode="json"))
    else:
        print(f"{run.id}: {run.status}" + (f" – {run.error}" if run.error else ""))
    raise typer.Exit(1 if run.status in ("failed", "cancelled") else 0)


@judge_app.command("list")
def judge_list(as_json: Json = False) -> None:
    """List runs, newest first."""
    from workbench.jobs import collect

    workspace = _workspace()
    collect(workspace)
    runs = workspace.store.runs()
    if as_json:
        _print_json([run.model_dump(mode="json") for run in runs])
        return
    rows = [
        {
            "run": run.id,
            "judge": run.judge.name,
            "policy": f"{run.policy} v{run.policy_version}",
            "golden set": f"{run.golden} v{run.golden_version}",
            "status": run.status,
            "pairs": run.totals.pairs,
            "failed": run.totals.failed,
        }
        for run in runs
    ]
    _show(rows, False, "No runs yet: `workbench judge run job-match`.")


@judge_app.command("show")
def judge_show(
    run: str, split: Annotated[str, typer.Option(help="dev, holdout or all.")] = "dev", as_json: Json = False
) -> None:
    """Show a run's agreement with the labels, dimension by dimension."""
    from workbench.evaluation import find_run, run_agreement
    from workbench.jobs import collect

    workspace = _workspace()
    collect(workspace)
    found = find_run(workspace, run)
    chosen = _split(workspace, split, [found])
    table = run_agreement(workspace, found, split=chosen)
    rows = [
        {
            "dimension": key,
            "n": a.n,
            "failed": a.n_failed,
            "kappa": a.kappa_quadratic,
            "linear": a.kappa_linear,
            "exact": a.exact,
            "within 1": a.within_one,
            "bias": a.bias,
        }
        for key, a in table.items()
    ]
    if as_json:
        _print_json(
            {"run": found.model_dump(mode="json"), "split": split, "agreement": _estimates_as_data(rows)}
        )
        return
    print(f"{found.id}  {found.label}  on {found.golden} v{found.golden_version} ({split})  {found.status}")
    _show([{key: _estimate(v) for key, v in row.items()} for row in rows], False, "")


@app.command()
def compare(
    a: Annotated[str, typer.Argument(help="Run id (or its start), or policy@version[/judge].")],
    b: Annotated[str, typer.Argument(help="The run to set beside it.")],
    split: Annotated[str, typer.Option(help="dev, holdout or all.")] = "dev",
    as_json: Json = False,
) -> None:
    """Set run B beside run A: agreement of both, the difference with its interval, flips."""
    from workbench.evaluation import compare_runs, find_run
    from workbench.jobs import collect

    workspace = _workspace()
    collect(workspace)
    run_a, run_b = find_run(workspace, a), find_run(workspace, b)
    result = compare_runs(workspace, run_a, run_b, split=_split(workspace, split, [run_a, run_b]))
    rows = [
        {
            "dimension": key,
            "n": c.n,
            "A": c.a.kappa_quadratic,
            "B": c.b.kappa_quadratic,
            "B - A": c.delta.kappa_quadratic,
            "p (Holm)": c.p_holm,
            "fixed": c.counts["fixed"],
            "broken": c.counts["broken"],
            "changed": c.counts["changed"],
            "failed A": c.n_failed_a,
            "failed B": c.n_failed_b,
        }
        for key, c in result.comparisons.items()
    ]
    if as_json:
        runs = {"a": run_a.model_dump(mode="json"), "b": run_b.model_dump(mode="json")}
        _print_json(runs | {"split": split, "dimensions": _estimates_as_data(rows)})
        return
    print(
        f"A  {run_a.id}  {run_a.label}\nB  {run_b.id}  {run_b.label}\nquadratic kappa on {run_a.golden} ({split})"
    )
    _show([{key: _estimate(v) for key, v in row.items()} for row in rows], False, "")


@app.command()
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

    workspace = _ready()
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
        _print_json({"job": launched.job_id, "run": run.model_dump(mode="json")})
    else:
        print(f"{launched.job_id}: {run.status}" + (f" – {run.error}" if run.error else ""))
    raise typer.Exit(1 if run.status in ("failed", "cancelled") else 0)


def main() -> None:
    """Run the command line; an error of the user's is one sentence and exit code 2."""
    try:
        app()
    except WorkbenchError as error:
        if "--json" in sys.argv:
            _print_json({"error": error.message, "hint": error.hint})
        else:
            print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _workspace() -> Any:
    from workbench.workspace import open_workspace

    return open_workspace()


def _synced() -> Any:
    from workbench.documents import sync as sync_documents

    workspace = _workspace()
    return workspace, sync_documents(workspace.root, workspace.store)


def _ready() -> Any:
    """Return the workspace, synced; problems of files are told and do not stop a command that may not need them."""
    workspace, report = _synced()
    for problem in report.problems:
        print(f"problem: {problem}", file=sys.stderr)
    return workspace


def _say_sync(report: Any, *, all_lines: bool = False, to: TextIO | None = None) -> None:
    for line in report.added:
        print(f"read {line}", file=to)
    for problem in report.problems:
        print(f"problem: {problem}", file=sys.stderr)
    if all_lines:
        print(f"{len(report.added)} new, {report.unchanged} known, {len(report.problems)} problems")


def _split(workspace: Any, split: str, runs: Sequence[Any]) -> Any:
    from workbench.evaluation import record_look

    if split not in ("dev", "holdout", "all"):
        raise BadInput(f"There is no split '{split}'.", "It is dev, holdout or all.")
    if split != "dev":
        looks = record_look(workspace, runs, workspace.settings.user, "command line")
        print(f"Looks at the holdout of {runs[0].golden} so far, this one included: {looks}", file=sys.stderr)
    return split


def _version(text: str) -> int:
    if not text.removeprefix("v").isdigit():
        raise BadInput(f"'{text}' is no version.", "Write policy@3.")
    return int(text.removeprefix("v"))


def _estimate(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    if hasattr(value, "low"):
        if value.value is None:
            return "–"
        return f"{value.value:.2f}" + (
            f" [{value.low:.2f}, {value.high:.2f}]" if value.low is not None else ""
        )
    return str(value)


def _estimate_data(value: Any) -> Any:
    if hasattr(value, "low"):
        return {"value": value.value, "low": value.low, "high": value.high, "reason": value.reason}
    return value


def _estimates_as_data(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: _estimate_data(value) for key, value in row.items()} for row in rows]


def _show(rows: Sequence[dict[str, Any]], as_json: bool, empty: str) -> None:
    if as_json:
        _print_json(rows)
    elif not rows:
        print(empty)
    else:
        _table(tuple(rows[0]), [tuple(_cell(value) for value in row.values()) for row in rows])


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value is not None else "–"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(str(cell)) for cell in column) for column in zip(header, *rows, strict=True)]
    # The last column may be long; it is not padded.
    widths[-1] = 0
    for row in (header, *rows):
        print("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False, default=str))
