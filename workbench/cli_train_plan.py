"""The commands that look at a training before it is started: what it would take, and whether it can learn at all."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli_output import Json, print_json
from workbench.cli_workspace import ready
from workbench.errors import WorkbenchError


def train_plan(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe under students/ or teachers/.")],
    pairs: Annotated[
        int | None, typer.Option(help="Pairs to learn from, where they are not here yet.", min=1)
    ] = None,
    as_json: Json = False,
) -> None:
    """Print parameters, memory, arithmetic, time and cost of a training. What is not known is called so."""
    from workbench import training_runs
    from workbench.training.plan import estimate, read_config

    workspace = ready()
    chosen = workspace.recipe(recipe)
    notes, start = [], None
    if chosen.init_from is not None:
        try:
            start = Path(workspace.store.checkpoint(chosen.init_from).folder)
        except WorkbenchError as error:
            notes.append(str(error))
    if pairs is None:
        try:
            planned = training_runs.plan(workspace, chosen)
            found = planned.train_pairs + planned.dataset_rows
            pairs = None if planned.problem else found or None
            notes += [planned.problem] if planned.problem else []
        except WorkbenchError as error:
            notes.append(str(error))
    config, why = read_config(chosen, start)
    found_out = asdict(estimate(chosen, config, pairs, why))
    found_out["notes"] = [*dict.fromkeys([*notes, *found_out["notes"]])]
    if as_json:
        print_json({"recipe": chosen.recipe, **found_out})
        return
    for name, words, unit in _LINES:
        value = found_out[name]
        print(f"{words:<34}{'unknown' if value is None else _shown(value) + unit}")
    for note in found_out["notes"]:
        print(note)


def train_check(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe under students/ or teachers/.")],
    steps: Annotated[int, typer.Option(help="How often the batch is learnt.", min=2)] = 50,
    as_json: Json = False,
) -> None:
    """Learn the first batch of a recipe by heart, here and now: its loss has to fall. 1 when it does not halve."""
    from workbench.training_runs import check_overfit

    workspace = ready()
    losses = check_overfit(workspace, workspace.recipe(recipe), _Said(), steps=steps)
    fallen = losses[-1] <= losses[0] / 2
    if as_json:
        print_json({"recipe": recipe, "losses": list(losses), "halved": fallen})
    else:
        print(
            f"The loss of the first batch went from {losses[0]:.4f} to {losses[-1]:.4f} in {len(losses)} steps."
        )
        if not fallen:
            print(
                "It did not halve: raise --steps or the learning rates, or look for targets that contradict."
            )
    raise typer.Exit(0 if fallen else 1)


class _Said:
    """Says log lines on standard error; there is nobody to stop it but the keyboard."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say nothing."""

    def metric(self, values: Mapping[str, Any]) -> None:
        """Say nothing."""

    def log(self, line: str) -> None:
        """Say it."""
        print(line, file=sys.stderr)

    def stopping(self) -> bool:
        """No."""
        return False

    def stopping_after_epoch(self) -> bool:
        """No."""
        return False


_LINES = (
    ("parameters", "parameters", ""),
    ("trained", "of these or beside these trained", ""),
    ("weights_gb", "weights, gradients, optimiser", " GB"),
    ("activations_gb", "activations of a batch, at most", " GB"),
    ("memory_gb", "memory", " GB"),
    ("pairs", "pairs an epoch", ""),
    ("steps", "steps", ""),
    ("tokens", "tokens, at most", ""),
    ("flops", "arithmetic, at most", " FLOP"),
    ("hours", "time, at most", " h"),
    ("cost_usd", "cost, at most", " USD"),
)


def _shown(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if value < 0.01 or value >= 1e6 else f"{value:,.2f}"
