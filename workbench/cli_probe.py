"""The command that probes a judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli_output import Json, estimate, print_json, show
from workbench.cli_workspace import name_and_version, ready

if TYPE_CHECKING:  # loaded by the commands that need them
    from workbench.probe_measures import ProbeReport


def judge_probe(
    policy: Annotated[str, typer.Argument(help="Policy, or policy@version.")],
    judge: Annotated[
        str, typer.Option(help="baseline, checkpoint:NAME, or a model such as openai/gpt-5-mini.")
    ] = "baseline",
    golden: Annotated[
        str | None, typer.Option(help="Golden set; default: the one named like the policy.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible server.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the key.")] = None,
    concurrency: Annotated[int, typer.Option(help="Calls in flight at once.")] = 16,
    pairs: Annotated[int, typer.Option(help="Dev pairs to probe with.")] = 40,
    only: Annotated[list[str] | None, typer.Option(help="A probe by name; may be given again.")] = None,
    noise: Annotated[bool, typer.Option(help="Ask a second time, to know the judge's own noise.")] = True,
    max_shift: Annotated[
        float | None,
        typer.Option(help="Exit with 1 where a probe shifts the mean grade further; needs --wait."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would send, and send nothing.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
    as_json: Json = False,
) -> None:
    """Measure how far injected instructions, padding, swapped orders and other words move a judge's grades.

    0 when it was measured; 1 when it failed, was stopped, or a shift is above --max-shift.
    """
    from workbench import jobs, probes
    from workbench.errors import BadInput
    from workbench.judge_choice import judge_from_text
    from workbench.probing import ALL

    if max_shift is not None and (not wait or max_shift < 0):
        raise BadInput(
            "--max-shift cannot be held.", "Give a number of levels from 0 on, and wait for the end."
        )
    workspace = ready()
    name, version = name_and_version(policy)
    spec = judge_from_text(judge, base_url=base_url, api_key_env=api_key_env, concurrency=concurrency)
    asked: dict[str, Any] = {
        "policy": name,
        "version": version,
        "golden": golden or name,
        "pairs": pairs,
        "which": tuple(only) if only else ALL,
        "noise": noise,
    }
    if plan:
        _say_plan(probes.plan_probe(workspace, spec, **asked), as_json)
        return
    job_id = probes.start_probe(workspace, spec, author=workspace.settings.user, **asked)
    if not wait:
        print_json({"job": job_id}) if as_json else print(f"started {job_id}")
        return
    for line in jobs.wait(workspace, [job_id]):
        if not as_json:
            print(line, flush=True)
    found = next(result for result in probes.probe_results(workspace) if result.job.spec.id == job_id)
    moved = _moved_further(found.report, max_shift)
    if as_json:
        report = found.report.model_dump(mode="json") if found.report else None
        state = {"job": job_id, "status": found.state.status, "error": found.state.error}
        print_json(state | {"report": report, "above_max_shift": moved})
    elif found.report:
        print(f"{found.report.judge.name} on {found.report.pairs} dev pairs of {found.report.golden}")
        show(_rows(found.report), False, "Nothing was measured.")
        for text in moved:
            print(f"above --max-shift: {text}")
    raise typer.Exit(1 if found.state.status != "finished" or moved else 0)


def _say_plan(plan: Any, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        print_json(asdict(plan))
        return
    cost = f"${plan.cost_usd:,.4f}" if plan.cost_usd is not None else f"unknown: {plan.cost_unknown}"
    print(
        f"{plan.pairs} pairs, {plan.passes} passes: {plan.calls:,} calls ({plan.known:,} answers known), "
        f"about {plan.input_tokens:,} tokens sent, {plan.output_tokens:,} answered; cost {cost}"
    )
    for name, reason in plan.skipped.items():
        print(f"{name}: {reason}")


def _moved_further(report: ProbeReport | None, max_shift: float | None) -> list[str]:
    """Return, in words, the probes whose mean shift over all dimensions is further than allowed, or is not known.

    Downwards counts as well, except for probes whose author wants grades to rise: there it is no success.
    """
    from workbench.probing import PROBES

    found: list[str] = []
    if report is None or max_shift is None:
        return found
    for outcome in report.outcomes:
        if outcome.overall is None:  # skipped, with its reason in the table
            continue
        shift = outcome.overall.shift.value
        if shift is None:
            found.append(f"{outcome.probe}: nothing could be compared")
        elif (shift if PROBES[outcome.probe].directed else abs(shift)) > max_shift:
            found.append(f"{outcome.probe} {shift:+.2f}")
    return found


def _rows(report: ProbeReport) -> list[dict[str, Any]]:
    """Return one row a probe, and one more for each dimension that moved beyond the noise."""
    rows: list[dict[str, Any]] = []
    for outcome in report.outcomes:
        if outcome.skipped:
            rows.append(_row(outcome.probe, "", None) | {"beyond noise": outcome.skipped})
            continue
        for movement in reversed(outcome.movements):
            if movement == outcome.overall or movement.within_noise is False:
                rows.append(
                    _row(outcome.probe if movement == outcome.overall else "", movement.dimension, movement)
                )
    return rows


def _row(probe: str, dimension: str, found: Any) -> dict[str, Any]:
    beyond = {None: "not known", True: "no", False: "yes"}
    return {
        "probe": probe,
        "dimension": dimension or "–",
        "n": found.n if found else "–",
        "moved": estimate(found.moved) if found else "–",
        "shift": estimate(found.shift) if found else "–",
        "rose": estimate(found.up) if found else "–",
        "top before": estimate(found.top_before) if found else "–",
        "top after": estimate(found.top_after) if found else "–",
        "failed": f"{found.failed_before} → {found.failed_after}" if found else "–",
        "own noise": estimate(found.noise) if found else "–",
        "beyond noise": beyond[found.within_noise] if found else "–",
    }
