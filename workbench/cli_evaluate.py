"""The commands that evaluate a checkpoint and print the ledger over all of them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workbench.cli_output import Json, estimate, estimates_as_data, print_json, table
from workbench.cli_workspace import opened, ready

if TYPE_CHECKING:
    from workbench.model_evaluation import ModelEvaluation

Split = Literal["dev", "holdout"]

_LEDGER = (
    "checkpoint", "teacher", "golden", "split", "clicks", "kappa", "kappa.overall", "ndcg@10", "mrr", "click.auc",
    "calibration.ece", "tokens", "pairs/s", "MB", "parameters", "FLOP/pair", "share of teacher",
)  # fmt: skip
"""Columns of the printed ledger, each with its loss beside it; JSON has all."""


def evaluate(
    checkpoint: Annotated[
        str, typer.Argument(help="Checkpoint id, the recipe's name for its newest one, or a folder.")
    ],
    golden: Annotated[
        str | None, typer.Option(help="Golden set, or set@version; default: the one it learnt from.")
    ] = None,
    split: Annotated[Split, typer.Option(help="A look at the holdout is written down.")] = "dev",
    clicks: Annotated[str | None, typer.Option(help="Click log for the figures of the click head.")] = None,
    against: Annotated[
        str | None, typer.Option(help="The teacher whose figures it is set against; evaluated where needed.")
    ] = None,
    no_speed: Annotated[
        bool, typer.Option("--no-speed", help="Do not measure pairs a second and latency.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …, or auto.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Grade a golden snapshot with a checkpoint, and print and keep its figures with 95 % intervals."""
    from workbench.model_evaluations import evaluate as evaluated

    workspace = ready()
    found = evaluated(
        workspace,
        checkpoint,
        golden=golden,
        split=split,
        clicks=clicks,
        against=against,
        author=workspace.settings.user,
        reporter=_Progress(),
        speed=not no_speed,
        device=device,
    )
    if split == "holdout":
        looks = len(workspace.store.looks(found.golden.rpartition(" v")[0]))
        print(f"Looks at this holdout so far, this one included: {looks}", file=sys.stderr)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _say(found)


def ledger(
    policy: Annotated[str | None, typer.Option(help="Checkpoints of this policy only.")] = None,
    split: Annotated[Split, typer.Option(help="A look at the holdout is written down.")] = "dev",
    as_json: Json = False,
) -> None:
    """Print what each evaluated checkpoint keeps and costs: figures, losses against the teacher, speed, size."""
    from workbench.model_evaluations import evaluations, ledger_rows, record_looks

    workspace = opened()
    found = [each for each in evaluations(workspace, policy=policy) if each.split == split]
    record_looks(workspace, found, workspace.settings.user, "ledger")
    rows = ledger_rows(found)
    if as_json:
        print_json(estimates_as_data(rows))
    elif not rows:
        print("No checkpoint is evaluated yet: run `workbench evaluate CHECKPOINT`.")
    else:
        columns = [name for key in _LEDGER for name in (key, f"{key} loss") if name in rows[0]]
        columns = [name for name in columns if any(row[name] is not None for row in rows)]
        table(columns, [[_cell(name, row[name]) for name in columns] for row in rows])
        print("A loss above 0 is worse than the teacher.")


def _say(found: ModelEvaluation) -> None:
    print(f"{found.checkpoint}  {found.policy} v{found.policy_version}  on {found.golden} ({found.split})")
    learnt = "unknown" if found.learnt is None else str(found.learnt)
    print(f"{found.pairs} pairs; of queries that its training learnt from: {learnt}")
    if found.clicks:
        marked = ", simulated" if found.clicks_simulated else ""
        print(f"clicks {found.clicks}{marked}: {found.impressions:,} impressions. {found.note}".rstrip())
    header = ["figure", "value", *(["loss"] if found.teacher else []), "why none"]
    rows = []
    for key, value in found.figures.items():
        loss = [_signed(found.losses.get(key))] if found.teacher else []
        rows.append([key, estimate(value), *loss, value.reason])
    table(header, rows)
    if found.teacher:
        print(f"loss: against {found.teacher}; above 0 is worse than it")
    print(f"mrr looks for grade {found.relevant_from} or above; ndcg leaves out {found.unranked} queries")
    size = found.size
    compute = "unknown" if size.compute is None else f"{size.compute:,}"
    of = "" if found.share is None else f" ({found.share:.1%} of the teacher's)"
    print(
        f"{size.parameters:,} parameters, {size.megabytes:.1f} MB, {compute} FLOP a pair of {size.tokens} tokens{of}"
    )
    if found.speed:
        late = found.speed.latency_ms
        print(
            f"{found.speed.pairs_per_s:,.0f} pairs/s; one pair alone {late.median:.1f} ms, 95 % within {late.p95:.1f} ms "
            f"({found.machine})"
        )


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name.endswith(" loss"):
        return _signed(value)
    if name == "share of teacher":
        return f"{value:.1%}"
    if name in ("tokens", "pairs/s", "parameters", "FLOP/pair"):
        return f"{value:,.0f}"
    if name == "MB":
        return f"{value:.1f}"
    return estimate(value)


class _Progress:
    """Says on standard error how far the grading is, where somebody sees it."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Overwrite the line before."""
        if sys.stderr.isatty():
            print(
                f"\r{note}: {done:,} of {total:,}",
                end="\n" if done == total else "",
                file=sys.stderr,
                flush=True,
            )

    def metric(self, values: Mapping[str, Any]) -> None:
        """Say nothing."""

    def log(self, line: str) -> None:
        """Say it."""
        print(line, file=sys.stderr)

    def stopping(self) -> bool:
        """No: there is nobody to stop it but the keyboard."""
        return False

    def stopping_after_epoch(self) -> bool:
        """No."""
        return False
