"""Commands about judge runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workbench.cli_output import Json, estimate, estimates_as_data, group, print_json, show
from workbench.cli_workspace import chosen_split, name_and_version, opened, ready

if TYPE_CHECKING:  # loaded by the commands that need them
    from collections.abc import Mapping

    from workbench.run import JudgeSpec, Run
    from workbench.workspace import Workspace

CapUsd = Annotated[float | None, typer.Option(help="Stop before it has cost more, in US dollars.")]
CapTokens = Annotated[int | None, typer.Option(help="Stop before it has taken more tokens.")]
CapSeconds = Annotated[float | None, typer.Option(help="Send nothing after so many seconds.")]
app = group("Judge runs.")

_FIELDS = {
    "base_url": "base_url",
    "api_key_env": "api_key_env",
    "concurrency": "concurrency",
    "repeats": "repeats",
    "repeat": "repeat",
    "rpm": "requests_per_minute",
    "tpm": "tokens_per_minute",
    "cap_usd": "cap_usd",
    "cap_tokens": "cap_tokens",
    "cap_seconds": "cap_seconds",
}
"""Option -> field of a language model's spec."""
_MODES = {
    "mode": "scope",
    "level_order": "level_order",
    "dimension_order": "dimension_order",
    "reason": "reason",
    "pairs_per_call": "pairs_per_call",
}
"""Option -> field of how it is asked."""


@app.command("run")
def judge_run(
    context: typer.Context,
    policy: Annotated[str, typer.Argument(help="Policy, or policy@version.")],
    golden: Annotated[
        str | None, typer.Option(help="Golden set; default: the one named like the policy.")
    ] = None,
    judge: Annotated[
        str,
        typer.Option(
            help="baseline, checkpoint:NAME, plugin:NAME, a model such as openai/gpt-5-mini, or a saved judge."
        ),
    ] = "baseline",
    judge_file: Annotated[
        Path | None,
        typer.Option(help="YAML file that describes the judge: an ensemble, a cascade, or any other."),
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible server.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the key.")] = None,
    concurrency: Annotated[int, typer.Option(help="Calls in flight at once.")] = 16,
    repeats: Annotated[
        int, typer.Option(help="Answers that are drawn for each question and settled as one.")
    ] = 1,
    repeat: Annotated[int, typer.Option(help="Repeat index: another one samples anew.")] = 0,
    batch: Annotated[
        bool, typer.Option("--batch", help="Through the provider's batch API: half price, within 24 hours.")
    ] = False,
    calibrated: Annotated[
        Literal["temperature", "isotonic"] | None,
        typer.Option(help="Calibrate its probabilities on the dev labels; its grades stay."),
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Sampling temperature.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer, in tokens.")] = None,
    logprobs: Annotated[
        bool, typer.Option("--logprobs", help="Ask for log-probabilities: how sure it is of each grade.")
    ] = False,
    mode: Annotated[
        Literal["all", "dimension"],
        typer.Option(help="Ask about all dimensions in one call, or with one call a dimension."),
    ] = "all",
    level_order: Annotated[
        Literal["ascending", "descending", "permuted"],
        typer.Option(help="Order of the levels in the prompt."),
    ] = "ascending",
    dimension_order: Annotated[
        Literal["policy", "permuted"], typer.Option(help="Order of the dimensions in the prompt.")
    ] = "policy",
    reason: Annotated[
        Literal["before", "after", "none"], typer.Option(help="Where the reason stands, seen from the grade.")
    ] = "before",
    pairs_per_call: Annotated[int, typer.Option(help="Pairs that one call asks about.")] = 1,
    rpm: Annotated[int | None, typer.Option(help="Most requests in any minute.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Most tokens in any minute.")] = None,
    cap_usd: CapUsd = None,
    cap_tokens: CapTokens = None,
    cap_seconds: CapSeconds = None,
    ray: Annotated[
        int, typer.Option(min=0, help="Split the pairs over so many actors of a Ray cluster; 0: none.")
    ] = 0,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
    as_json: Json = False,
) -> None:
    """Run a judge with a policy version over a golden set; 1 when the run fails or stops at a cap.

    A judge from a file and a saved judge bring their own settings; an option that is given replaces one of them.
    """
    from workbench.judge_registry import saved_judges
    from workbench.judge_runs import start_run

    workspace = ready()
    name, version = name_and_version(policy)
    # Only what was written on the command line: a default must not replace what a file says.
    given = {
        option: value
        for option, value in context.params.items()
        if (source := context.get_parameter_source(option)) is not None and source.name != "DEFAULT"
    }
    run = start_run(
        workspace,
        _chosen_judge(judge, given, saved_judges(workspace)),
        policy=name,
        version=version,
        golden=golden or name,
        author=workspace.settings.user,
        ray=ray,
    )
    _followed(workspace, run, wait, as_json)


@app.command("resume")
def judge_resume(
    run: Annotated[str, typer.Argument(help="Run id, or its start.")],
    cap_usd: CapUsd = None,
    cap_tokens: CapTokens = None,
    cap_seconds: CapSeconds = None,
    new_period: Annotated[
        bool, typer.Option("--new-period", help="Count only what is spent from here on against the caps.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
    as_json: Json = False,
) -> None:
    """Go on with a run that failed, was stopped or stopped at a cap; answers it has are not asked for again.

    Of a finished run, the pairs with a failed judgement are asked again, and no others.
    """
    from workbench import jobs
    from workbench.errors import BadInput

    workspace = opened()
    jobs.collect(workspace)
    found = workspace.store.run(run)
    job = jobs.job_of_run(workspace, found.id)
    if job is None:
        raise BadInput(f"{found.label} was judged elsewhere.", "Only runs of this workspace can be resumed.")
    caps = {"cap_usd": cap_usd, "cap_tokens": cap_tokens, "cap_seconds": cap_seconds}
    given = {name: value for name, value in caps.items() if value is not None}
    jobs.resume(workspace, job.spec.id, workspace.settings.user, caps=given, new_period=new_period)
    _followed(workspace, workspace.store.run(found.id), wait, as_json)


def _chosen_judge(name: str, given: dict[str, Any], known: Mapping[str, JudgeSpec]) -> JudgeSpec:
    """Return the judge that is named or described in a file, with the options that were given."""
    from workbench.errors import BadInput
    from workbench.judge_choice import judge_from_file, judge_from_text
    from workbench.run import CalibratedSpec, CascadeSpec, EnsembleSpec
    from workbench.yamltext import validate

    if "judge_file" in given:
        if "judge" in given:
            raise BadInput("Both --judge and --judge-file are given.", "Give one of them.")
        spec = judge_from_file(given["judge_file"])
    else:
        spec = judge_from_text(name, base_url=given.get("base_url"), known=known)
    spec = _with_settings(spec, given)
    method = given.get("calibrated")
    if method is None:
        return spec
    if isinstance(spec, EnsembleSpec | CascadeSpec):
        raise BadInput(
            "A judge that consists of several is not calibrated as a whole.",
            "Calibrate its members in the file (kind: calibrated).",
        )
    inner = spec.judge if isinstance(spec, CalibratedSpec) else spec
    return validate(CalibratedSpec, {"judge": inner.model_dump(), "method": method}, "The judge")


def _with_settings(spec: JudgeSpec, given: dict[str, Any]) -> JudgeSpec:
    from workbench.errors import BadInput
    from workbench.prompt_mode import PromptMode
    from workbench.run import CalibratedSpec, CascadeSpec, EnsembleSpec, LlmSpec
    from workbench.yamltext import validate

    fields = {_FIELDS[option]: value for option, value in given.items() if option in _FIELDS}
    mode = {_MODES[option]: value for option, value in given.items() if option in _MODES}
    params: dict[str, Any] = {name: given[name] for name in ("temperature", "max_tokens") if name in given}
    if given.get("logprobs"):
        params |= {"logprobs": True, "top_logprobs": 20}  # the most that OpenAI gives
    if given.get("batch"):
        fields["delivery"] = "batch"
    if not (fields or mode or params):
        return spec
    if isinstance(spec, LlmSpec):
        asked = validate(PromptMode, spec.mode.model_dump() | mode, "The mode")
        changed = spec.model_dump() | fields | {"mode": asked, "params": spec.params | params}
        return validate(LlmSpec, changed, "The judge")
    if isinstance(spec, CalibratedSpec):
        inner = _with_settings(spec.judge, given)
        return validate(CalibratedSpec, spec.model_dump() | {"judge": inner.model_dump()}, "The judge")
    if isinstance(spec, EnsembleSpec | CascadeSpec):
        raise BadInput(
            "This judge consists of several, and the options are for one model.",
            "Write modes, limits and caps beside each member in the file.",
        )
    raise BadInput("This judge makes no calls.", "Modes, limits and caps are for language models.")


def _followed(workspace: Workspace, run: Run, wait: bool, as_json: bool) -> None:
    """Wait for a run's end, print how it stands, and exit with 1 where it ended without being finished."""
    from workbench import jobs

    if wait:
        for line in jobs.wait(workspace, [f"job-{run.id}"]):
            if not as_json:
                print(line, flush=True)
        run = workspace.store.run(run.id)
    if as_json:
        print_json(run.model_dump(mode="json"))
    else:
        print(f"{run.id}: {run.status}" + (f" – {run.error}" if run.error else ""))
    raise typer.Exit(1 if run.status in ("failed", "cancelled", "capped") else 0)


@app.command("list")
def judge_list(as_json: Json = False) -> None:
    """List runs, newest first."""
    from workbench.jobs import collect

    workspace = opened()
    collect(workspace)
    runs = workspace.store.runs()
    if as_json:
        print_json([run.model_dump(mode="json") for run in runs])
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
    show(rows, False, "No runs yet: `workbench judge run job-match`.")


@app.command("show")
def judge_show(
    run: str, split: Annotated[str, typer.Option(help="dev, holdout or all.")] = "dev", as_json: Json = False
) -> None:
    """Show a run's agreement with the labels, dimension by dimension."""
    from workbench.evaluation import run_agreement
    from workbench.jobs import collect
    from workbench.judge_runs import find_run

    workspace = opened()
    collect(workspace)
    found = find_run(workspace, run)
    chosen = chosen_split(workspace, split, [found])
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
        print_json(
            {"run": found.model_dump(mode="json"), "split": split, "agreement": estimates_as_data(rows)}
        )
        return
    print(f"{found.id}  {found.label}  on {found.golden} v{found.golden_version} ({split})  {found.status}")
    show([{key: estimate(v) for key, v in row.items()} for row in rows], False, "")


def compare(
    a: Annotated[str, typer.Argument(help="Run id (or its start), or policy@version[/judge].")],
    b: Annotated[str, typer.Argument(help="The run to set beside it.")],
    split: Annotated[str, typer.Option(help="dev, holdout or all.")] = "dev",
    as_json: Json = False,
) -> None:
    """Set run B beside run A: agreement of both, the difference with its interval, flips."""
    from workbench.comparing import compare_runs
    from workbench.jobs import collect
    from workbench.judge_runs import find_run

    workspace = opened()
    collect(workspace)
    run_a, run_b = find_run(workspace, a), find_run(workspace, b)
    result = compare_runs(workspace, run_a, run_b, split=chosen_split(workspace, split, [run_a, run_b]))
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
        print_json(runs | {"split": split, "dimensions": estimates_as_data(rows)})
        return
    print(
        f"A  {run_a.id}  {run_a.label}\nB  {run_b.id}  {run_b.label}\nquadratic kappa on {run_a.golden} ({split})"
    )
    show([{key: estimate(v) for key, v in row.items()} for row in rows], False, "")
