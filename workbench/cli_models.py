"""The commands of models: the board of a policy, promotion, demotion, export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workbench.cli_output import Json, estimate, estimate_data, print_json, table
from workbench.cli_workspace import opened, ready
from workbench.errors import BadInput

if TYPE_CHECKING:
    from workbench.model_rows import BoardRow

Named = Annotated[str, typer.Argument(help="Checkpoint id, or the recipe's name for its newest one.")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why, in a sentence, for those who ask later.")]


def models(
    policy: Annotated[
        str | None, typer.Option(help="Its name; may be left out where there is one policy.")
    ] = None,
    on: Annotated[
        str | None, typer.Option(help="Golden snapshot, set@version; default: the most measured one.")
    ] = None,
    split: Annotated[
        Literal["dev", "holdout"], typer.Option(help="A look at the holdout is written down.")
    ] = "dev",
    dimension: Annotated[str, typer.Option(help="What kappa is in.")] = "overall",
    as_json: Json = False,
) -> None:
    """Print the board: each judge, teacher and student with figures, size, speed, cost and stage."""
    from workbench.model_board import board, record_board_looks

    workspace = ready()
    names = workspace.store.policy_names()
    if policy is None and len(names) != 1:
        raise BadInput(
            f"There are {len(names)} policies.", f"Name one with --policy: {', '.join(names) or 'none yet'}."
        )
    ground = ""
    if on is not None:
        name, _, version = on.partition("@")
        ground = f"{name} v{version.removeprefix('v')}"
    found = board(workspace, policy or names[0], ground=ground, split=split, dimension=dimension)
    record_board_looks(workspace, found, workspace.settings.user, "models")
    rows = [board_columns(row) for row in found.rows]
    where = found.ground.label if found.ground else None
    if as_json:
        data = [{key: estimate_data(value) for key, value in row.items()} for row in rows]
        print_json(
            {"policy": found.policy, "on": where, "split": split, "dimension": dimension, "models": data}
        )
    elif not rows:
        print("There is no model yet: run `workbench judge run` or `workbench train RECIPE`.")
    else:
        columns = [name for name in rows[0] if any(row[name] not in (None, (), "") for row in rows)]
        columns = [name for name in columns if name not in ("kappa from", "cost from")]
        table(columns, [[_cell(name, row[name]) for name in columns] for row in rows])
        print(
            f"kappa: quadratic, {dimension}, {split} pairs of {where}"
            if where
            else "No snapshot is published yet."
        )


def promote(
    checkpoint: Named,
    stage: Annotated[str, typer.Argument(help="candidate, or production.")],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Say that a checkpoint is worth a closer look, or that it is the one in use; that demotes the one before."""
    from workbench import promotions

    workspace = opened()
    done = promotions.promote(workspace, checkpoint, stage, reason=reason, author=workspace.settings.user)  # type: ignore[arg-type]  # the verb refuses others
    _say(done, f"{done.checkpoint} is {done.stage} of {done.policy}.", as_json)


def demote(checkpoint: Named, reason: Reason, as_json: Json = False) -> None:
    """Take a checkpoint's stage away."""
    from workbench import promotions

    workspace = opened()
    done = promotions.demote(workspace, checkpoint, reason=reason, author=workspace.settings.user)
    _say(done, f"{done.checkpoint} is in no stage any more.", as_json)


def export(
    checkpoint: Named,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that does not exist yet.")],
    format: Annotated[
        Literal["hf", "onnx"], typer.Option(help="hf: a Hugging Face folder; onnx: one graph.")
    ] = "hf",
    as_json: Json = False,
) -> None:
    """Write a checkpoint for use elsewhere, with a model card and code that grades pairs without the workbench."""
    from workbench import model_export

    workspace = opened()
    done = model_export.export(workspace, checkpoint, folder, format=format, author=workspace.settings.user)
    if as_json:
        print_json(
            {
                "folder": done.folder,
                "format": done.format,
                "bytes": done.bytes,
                "parity": done.parity.model_dump(),
            }
        )
    else:
        rank = "–" if done.parity.spearman is None else f"{done.parity.spearman:.5f}"
        print(f"{done.folder}  {done.bytes / 1e6:,.1f} MB")
        print(
            f"checked on {done.parity.pairs} pairs: greatest difference of a probability {done.parity.max_difference:.1e}, "
            f"Spearman {rank}"
        )


def board_columns(row: BoardRow) -> dict[str, Any]:
    """Return a row of the board as the command prints it."""
    return {
        "model": row.id if row.kind != "judge" else row.name,
        "kind": row.kind,
        "policy": f"v{row.policy_version}",
        "stage": row.stage,
        "kappa": row.kappa,
        "kappa from": row.source,
        "learnt": row.learnt,
        "ndcg@10": row.ndcg,
        "click.auc": row.click_auc,
        "calibration.ece": row.calibration,
        "kappa loss": row.loss,
        "teacher": row.teacher or None,
        "parameters": row.parameters,
        "MB": row.megabytes,
        "tokens": row.tokens,
        "FLOP/pair": row.compute,
        "pairs/s": row.pairs_per_s,
        "latency ms": row.latency_ms,
        "usd/1000": row.usd,
        "cost from": row.usd_source,
        "stale": row.stale,
    }


def _say(done: Any, words: str, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "checkpoint": done.checkpoint,
                "policy": done.policy,
                "stage": done.stage or None,
                "reason": done.reason,
            }
        )
    else:
        print(words)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name == "stale":
        return " ".join(value) or "–"
    if name == "kappa loss":
        return f"{value:+.3f}"
    if name in ("parameters", "FLOP/pair"):
        return f"{value:,.0f}"
    if name in ("pairs/s", "latency ms", "MB", "usd/1000"):
        return f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
    return estimate(value)
