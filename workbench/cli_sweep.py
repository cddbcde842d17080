"""The commands of sweeps, of the frontier that they draw, and of teachers that conflict."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workbench.cli_output import Json, estimate, estimate_data, print_json, show, table
from workbench.cli_workspace import ready
from workbench.errors import BadInput

if TYPE_CHECKING:
    from workbench.sweeps import Sweep
    from workbench.teacher_conflicts import Conflicts, OrderConflict, PairConflict

RecipeName = Annotated[str, typer.Argument(help="Name of a recipe under students/ or teachers/.")]
SURE = 0.05
"""Largest corrected p of a slice that is told."""


def sweep(
    recipe: RecipeName,
    varied: Annotated[
        list[str] | None, typer.Option("--set", help="Field=value,value, such as alpha=0,0.5,1.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = False,
    as_json: Json = False,
) -> None:
    """Train a recipe once for each combination of some fields' values. With --wait, 1 when one fails."""
    from workbench import jobs
    from workbench.sweeps import start_sweep
    from workbench.sweeps import sweep as swept

    workspace = ready()
    started = start_sweep(
        workspace, workspace.recipe(recipe), read_grid(varied or []), author=workspace.settings.user
    )
    if wait:
        for line in jobs.wait(workspace, [member.job.spec.id for member in started.members]):
            print(line, file=sys.stderr if as_json else None, flush=True)
        started = swept(workspace, started.id)
    _say_sweep(started, as_json)
    failed = any(member.state.status in ("failed", "cancelled", "lost") for member in started.members)
    raise typer.Exit(1 if wait and failed else 0)


def sweeps(
    sweep_id: Annotated[
        str | None, typer.Argument(metavar="SWEEP", help="One sweep: its trainings; none: all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the sweeps, or the trainings of one with their figures on validation pairs."""
    from workbench import jobs
    from workbench import sweeps as verbs

    workspace = ready()
    jobs.collect(workspace)
    if sweep_id is not None:
        _say_sweep(verbs.sweep(workspace, sweep_id), as_json)
        return
    rows = [
        {
            "sweep": one.id,
            "recipe": one.recipe,
            "varies": ", ".join(f"{name} ({len(values)})" for name, values in one.grid.items()),
            "trainings": ", ".join(f"{count} {status}" for status, count in one.counts.items()),
            "who": one.author,
            "started": f"{one.started_at:%Y-%m-%d %H:%M}",
        }
        for one in verbs.sweeps(workspace)
    ]
    show(
        rows, as_json, "No sweep was started yet. Start one: workbench train sweep RECIPE --set alpha=0,0.5,1"
    )


def stop_sweep(
    sweep_id: Annotated[str, typer.Argument(metavar="SWEEP", help="Which sweep.")], as_json: Json = False
) -> None:
    """Stop the trainings of a sweep that have not ended, at their next safe point; each can be resumed."""
    from workbench import jobs
    from workbench import sweeps as verbs

    workspace = ready()
    jobs.collect(workspace)
    asked = verbs.stop(workspace, sweep_id, workspace.settings.user)
    if as_json:
        print_json({"stopped": asked})
    else:
        print(
            f"asked to stop: {', '.join(asked)}" if asked else "None of its trainings is running or waiting."
        )


def frontier(
    models: Annotated[list[str], typer.Argument(help="A sweep, or checkpoints by id or recipe name.")],
    split: Annotated[
        Literal["dev", "holdout"] | None, typer.Option(help="By default whichever most were evaluated on.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Set policy quality against click quality, and say which models no other one beats."""
    from workbench import jobs
    from workbench import sweeps as verbs
    from workbench.model_evaluations import record_looks

    workspace = ready()
    jobs.collect(workspace)
    of = models[0] if len(models) == 1 and models[0].startswith("sweep-") else models
    found = verbs.frontier(workspace, of, split=split)
    record_looks(workspace, found.evaluations, workspace.settings.user, "command line")
    rows = [
        {
            "model": one.point.label,
            **one.point.about,
            "policy kappa": one.point.policy,
            "click AUC": one.point.click,
            "frontier": one.on_frontier,
            "beaten by": list(one.dominated_by),
            "beyond noise": one.clearly,
            "note": one.reason,
        }
        for one in found.placed
    ]
    if as_json:
        data = [{key: estimate_data(value) for key, value in row.items()} for row in rows]
        print_json({"measured_on": found.measured_on, "models": data})
        return
    for row in rows:
        row["frontier"] = "" if row["note"] else "yes" if row["frontier"] else "no"
        row["beaten by"] = ", ".join(row["beaten by"]) + (
            " (beyond noise)" if row.pop("beyond noise") else ""
        )
    table(tuple(rows[0]), [tuple(_cell(value) for value in row.values()) for row in rows])
    if found.measured_on:
        print(f"Measured on {found.measured_on}.")
    else:
        print("Evaluate them first, with a click log: workbench evaluate CHECKPOINT --clicks LOG")


def conflicts(
    recipe: RecipeName,
    top: Annotated[int, typer.Option(help="Pairs that are told of each conflict.", min=0)] = 5,
    as_json: Json = False,
) -> None:
    """Say where a recipe's teachers conflict: the same head by divergence, policy and clicks by order."""
    from pydantic import TypeAdapter

    from workbench import teacher_conflicts

    workspace = ready()
    found = teacher_conflicts.conflicts(workspace, workspace.recipe(recipe), top=top)
    if as_json:
        print_json(TypeAdapter(teacher_conflicts.Conflicts).dump_python(found, mode="json"))
    else:
        _say_conflicts(found)


def teachers_ask(recipe: RecipeName, as_json: Json = False) -> None:
    """Ask a recipe's teachers about its pairs, here and now; what is kept of them is not asked again."""
    from workbench.teacher_conflicts import ask_teachers

    workspace = ready()
    asked = ask_teachers(workspace, workspace.recipe(recipe), _Said())
    if as_json:
        print_json(asked)
    else:
        for name, pairs in asked.items():
            print(f"{name}: {pairs:,} pairs")


def read_grid(texts: Sequence[str]) -> dict[str, list[Any]]:
    """Return field -> values of ``field=value,value``; commas within brackets, braces or quotes separate nothing.

    Raises:
        BadInput: a text is not of that form, or a field is given twice.
    """
    from workbench.yamltext import YamlText

    grid: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not values:
            raise BadInput(f"--set {text} gives no values.", "Write it as field=value,value.")
        if name in grid:
            raise BadInput(f"--set gives '{name}' twice.", "Write all its values in one: field=value,value.")
        grid[name] = YamlText(f"[{values}]", f"--set {name}").data
    return grid


def _say_sweep(found: Sweep, as_json: bool) -> None:
    rows = found.table()
    if as_json:
        print_json({"sweep": found.id, "recipe": found.recipe, "grid": found.grid, "trainings": rows})
        return
    if not any(row["error"] for row in rows):
        rows = [{key: value for key, value in row.items() if key != "error"} for row in rows]
    print(f"{found.id}: {found.recipe}, {len(rows)} of {found.size} trainings started")
    table(tuple(rows[0]), [tuple(_cell(value) for value in row.values()) for row in rows])


def _say_conflicts(found: Conflicts) -> None:
    print(f"{found.recipe} on {found.policy}: {found.pairs:,} pairs of {found.queries:,} queries")
    for head in found.heads:
        print(f"\n{head.head}: {head.first} against {head.second}")
        print(f"  mean Jensen-Shannon divergence {estimate(head.divergence)} bits")
        _say_pairs(head.most, "first", "second", "bits")
    for order in found.orders:
        _say_order(order)
    for note in found.notes:
        print(f"\n{note}")


def _say_order(order: OrderConflict) -> None:
    print(f"\norder: {order.policy} (grades) against {order.click} (clicks)")
    within = order.correlation
    print(
        f"  within {within.queries:,} queries: Spearman {estimate(within.spearman)}, "
        f"Kendall {estimate(within.kendall)}"
        + (f"; {within.left_out:,} queries have no order to compare" if within.left_out else "")
    )
    for side in order.opposed:
        other = "clicks" if side.high == "policy" else "grades"
        high = "grades" if side.high == "policy" else "clicks"
        print(f"  top quarter by {high}, bottom quarter by {other}: {side.pairs:,} pairs")
        for one in side.slices:
            if one.p_holm < SURE:
                times = "" if one.ratio is None else f", {one.ratio:.1f} times the share elsewhere"
                print(
                    f"    {one.key} = {one.value}: {one.conflicts:,} of {one.pairs:,}{times}, p {one.p_holm:.3f} (Holm)"
                )
        _say_pairs(side.most, "grade", "click", "standing apart")


def _say_pairs(pairs: Sequence[PairConflict], first: str, second: str, apart: str) -> None:
    for one in pairs:
        print(
            f"    {one.pair.id.rpartition('-')[2][:12]}  {first} {one.first:.2f}, {second} {one.second:.2f}, "
            f"{apart} {abs(one.distance):.2f}  {_text(one)}"
        )


def _text(one: PairConflict) -> str:
    sides = (
        next((text for text in side.values() if text), "") for side in (one.pair.query, one.pair.document)
    )
    return " | ".join(text.replace("\n", " ")[:60] for text in sides)


def _cell(value: Any) -> str:
    if value is None or isinstance(value, float) or hasattr(value, "low"):
        return estimate(value)
    return str(value)


class _Said:
    """Says log lines and, every few seconds, the progress on standard error."""

    EVERY_S = 5.0

    def __init__(self) -> None:
        self._next = time.monotonic() + self.EVERY_S

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say it where the last time is a while ago."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self.EVERY_S
            print(f"{note}: {done:,}/{total:,}", file=sys.stderr, flush=True)

    def metric(self, values: Mapping[str, Any]) -> None:
        """Say nothing."""

    def log(self, line: str) -> None:
        """Say it."""
        print(line, file=sys.stderr, flush=True)

    def stopping(self) -> bool:
        """No; the keyboard stops it."""
        return False

    def stopping_after_epoch(self) -> bool:
        """No."""
        return False
