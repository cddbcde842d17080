"""The command that grades a file of pairs with a checkpoint."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from workbench.cli_output import Json, print_json
from workbench.cli_workspace import opened
from workbench.errors import Unavailable


def score(
    file: Annotated[
        Path, typer.Argument(help="Parquet, CSV, TSV or JSONL with a column a field, or query and document.")
    ],
    checkpoint: Annotated[
        str, typer.Option(help="Checkpoint id, the recipe's name for its newest one, or a folder.")
    ],
    out: Annotated[Path, typer.Option(help="Parquet file to write; replaced if it exists.")],
    batch: Annotated[int, typer.Option(min=1, help="Pairs a forward pass.")] = 32,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 …")] = "auto",
    engine: Annotated[
        Literal["torch", "openvino"], typer.Option(help="openvino is faster on a CPU; it needs that extra.")
    ] = "torch",
    ray: Annotated[
        int, typer.Option(min=0, help="Split a Parquet file over so many actors of a Ray cluster; 0: here.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Grade a file of pairs with a checkpoint, streaming; row i of the output is row i of the file."""
    try:
        from workbench.training.model import load_checkpoint
        from workbench.training.predict import Predictor
        from workbench.training.record import read_record
    except ImportError as error:
        raise Unavailable(
            "A checkpoint needs torch, transformers and safetensors.",
            "Install them with: pip install 'policy-workbench[train]'.",
        ) from error
    from workbench.scoring import score_file

    folder = Path(checkpoint)
    if not folder.is_dir():
        folder = Path(opened().store.checkpoint(checkpoint).folder)

    def say(rows: int, seconds: float) -> None:
        print(f"{rows:,} pairs, {rows / max(seconds, 1e-9):,.0f} a second", file=sys.stderr, flush=True)

    record = read_record(folder)
    if ray:
        from workbench.ray_split import Split, score_with_ray

        split = Split(ray, gpus=1 if device.startswith("cuda") else 0)
        done = score_with_ray(file, out, folder, split, batch=batch, engine=engine, say=say)
    else:
        predictor = Predictor(load_checkpoint(folder), batch=batch, device=device, engine=engine)
        done = score_file(file, out, predictor, say=say)
    if as_json:
        about = {"checkpoint": record.name, "policy": record.policy_label, "out": out}
        print_json(
            about | {"rows": done.rows, "blank": done.blank, "tokens": done.tokens, "seconds": done.seconds}
        )
        return
    print(f"{done.rows:,} pairs graded by {record.name} in {done.seconds:.1f} s: {out}")
    if done.blank:
        print(f"{done.blank:,} of them have no text on one side.", file=sys.stderr)
