"""The verb that takes a checkpoint elsewhere: a folder with its weights, how to run them, and a card that says it all.

:mod:`workbench.training.export` writes the weights and checks them against the checkpoint on pairs of its golden set;
here the card gets what the workspace knows (data, lineage, stage, figures with intervals, limits), and ``grade.py``, which
grades pairs without this package, is put beside it. The folder appears complete or not at all.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from workbench.errors import BadInput, Conflict, Unavailable, WorkbenchError
from workbench.files import write_text
from workbench.golden import Pair
from workbench.lineage import Picture, lineage_of
from workbench.model_evaluation import ModelEvaluation
from workbench.model_evaluations import evaluations
from workbench.promotions import history, stage_of
from workbench.resampling import Estimate
from workbench.training.record import CheckpointRecord, read_record
from workbench.workspace import Workspace

if TYPE_CHECKING:
    from workbench.training.parity import Parity

Format = Literal["hf", "onnx"]
"""``hf``: a Hugging Face folder in safetensors. ``onnx``: one graph from tokens to the logits of all heads."""
FORMATS: tuple[Format, ...] = get_args(Format)
CHECKED = 64
"""Pairs of the golden set that the copy is checked on, at most."""
CARD, GRADER = "README.md", "grade.py"
HERE_MB = 500
"""Weights up to this size are exported by the app itself; larger ones need the memory of a process of their own."""


@dataclass(frozen=True)
class Exported:
    """What was written, and how near it grades to the checkpoint."""

    folder: Path
    format: Format
    bytes: int
    parity: Parity


def exports_folder(workspace: Workspace) -> Path:
    """Return where the app puts exported models."""
    return workspace.settings.home / "exports"


def export_command(checkpoint: str, format: Format, folder: str = "") -> str:
    """Return the command that exports a checkpoint."""
    return f"workbench export {checkpoint} {folder or f'{checkpoint}-{format}'} --format {format}"


def export(
    workspace: Workspace, checkpoint: str, folder: Path, *, format: Format = "hf", author: str
) -> Exported:
    """Write a checkpoint into a new folder, for use without the workbench.

    Args:
        workspace: whose checkpoint, lineage and evaluations are meant.
        checkpoint: id, or a recipe's name for its newest one.
        folder: that does not exist yet; its parents are made.
        format: see ``Format``.
        author: who exports.

    Raises:
        NotFound: there is no such checkpoint, its weights are not here, or its golden set is not.
        Conflict: the folder exists.
        BadInput: no such format, fewer than 20 pairs to check the copy on, or a checkpoint that is no single graph.
        Unavailable: a package that is needed is not installed.
        Refused: the copy does not grade as the checkpoint does; nothing is written.
        WorkbenchError: the folder cannot be written.
    """
    if format not in FORMATS:
        raise BadInput(f"There is no format '{format}'.", f"It is {' or '.join(FORMATS)}.")
    found = workspace.store.checkpoint(checkpoint)
    source = Path(found.folder)
    record = read_record(source)
    folder = folder.expanduser().absolute()
    if folder.exists():
        raise Conflict(f"{folder} exists already.", "Export into another folder.")
    pairs = _pairs(workspace, record)
    more = card_sections(workspace, found.id, record, format)
    try:
        from workbench.training.export import export_huggingface, export_onnx
        from workbench.training.model import load_checkpoint
    except ImportError as error:
        raise Unavailable(
            "Exporting a checkpoint needs torch, transformers and safetensors.",
            "Install them with: pip install 'policy-workbench[train]'.",
        ) from error
    write = export_huggingface if format == "hf" else export_onnx
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            made = Path(beside) / "model"
            parity = write(load_checkpoint(source), made, pairs)
            card = (made / CARD).read_text(encoding="utf-8")
            write_text(made / CARD, "\n\n".join([card.strip(), *more]) + "\n")
            shutil.copyfile(str(resources.files("workbench") / "templates" / f"{GRADER}.txt"), made / GRADER)
            size = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
            made.rename(folder)
    except OSError as error:
        raise WorkbenchError(
            f"{folder} cannot be written ({error.strerror or error}).", "Choose another place."
        ) from error
    workspace.store.record_event(
        author, "exported", f"checkpoint {found.id}", f"{format}, {size / 1e6:,.1f} MB"
    )
    return Exported(folder, format, size, parity)


def card_sections(
    workspace: Workspace, checkpoint: str, record: CheckpointRecord, format: Format
) -> list[str]:
    """Return what the workspace adds to a model card, in Markdown, one part a section."""
    measured = [each for each in evaluations(workspace) if each.checkpoint == checkpoint]
    return [
        _how_to_load(record, format),
        _intended(workspace, checkpoint, record),
        *([_measured(measured)] if measured else []),
        _limits(workspace, record, measured),
        _made_from(lineage_of(workspace, checkpoint)),
    ]


def _how_to_load(record: CheckpointRecord, format: Format) -> str:
    query, document = (
        "{" + ", ".join(f'"{field}": "…"' for field in side.fields) + "}"
        for side in (record.pair.query, record.pair.document)
    )
    needs = "torch, transformers and safetensors" + (", and onnxruntime" if format == "onnx" else "")
    return (
        f"## How to load\n\n`{GRADER}` lies in this folder and needs {needs}, not the workbench. It lays a pair out, cuts it "
        "to the token budget, runs the backbone and applies the heads.\n\n"
        f"```python\nfrom grade import Grader\n\nquery = {query}\ndocument = {document}\n"
        'answers = Grader(".").grade([(query, document)])\n'
        'print({key: answer["grade"] for key, answer in answers[0].items() if key != "click"})\n```'
    )


def _intended(workspace: Workspace, checkpoint: str, record: CheckpointRecord) -> str:
    query, document = record.pair.query.name, record.pair.document.name
    stage = stage_of(workspace, checkpoint)
    steps = history(workspace, checkpoint)
    said = (
        f" It is in stage **{stage}**: {steps[0].reason} ({steps[0].who}, {steps[0].at:%d %b %Y})."
        if stage
        else ""
    )
    clicks = ", and how likely a click is" if "click" in record.recipe.heads else ""
    grades = f"grades {', '.join(head.key for head in record.heads)}" if record.heads else "grades nothing"
    return (
        f"## Intended use\n\nIt {grades} of a {document} for a {query} under {record.policy_label}{clicks}, on texts like "
        f"those that it learnt from.{said}"
    )


def _measured(found: Sequence[ModelEvaluation]) -> str:
    parts = ["## Evaluation", "95 % intervals by the cluster bootstrap over queries; kappa is quadratic."]
    for each in found:
        clicks = (
            f", clicks {each.clicks}{' (simulated)' if each.clicks_simulated else ''}" if each.clicks else ""
        )
        learnt = "unknown" if each.learnt is None else f"{each.learnt:,}"
        rows = [
            f"| {key} | {_figure(value)} |{f' {each.losses[key]:+.3f} |' if key in each.losses else ' |'}"
            for key, value in each.figures.items()
        ]
        speed = (
            f" {each.speed.pairs_per_s:,.0f} pairs/s, {each.speed.latency_ms.median:.1f} ms a pair alone "
            f"({each.machine})."
            if each.speed
            else ""
        )
        parts.append(
            f"### {each.golden}, {each.split}{clicks}\n\n{each.pairs:,} pairs, of queries that its training learnt from: "
            f"{learnt}. Evaluated {each.at:%d %b %Y}.{speed}\n\n| figure | value | loss against "
            f"{each.teacher or 'a teacher'} |\n|---|---|---|\n" + "\n".join(rows)
        )
    return "\n\n".join(parts)


def _limits(workspace: Workspace, record: CheckpointRecord, measured: Sequence[ModelEvaluation]) -> str:
    lines = [
        f"It knows {record.policy_label} and no other version: what that version does not say, it does not grade.",
        f"A pair is cut to {record.recipe.max_tokens:,} tokens.",
        "A grade is no reason: it cites no clause and explains nothing.",
    ]
    newest = workspace.store.policy(record.policy)
    if newest.version > record.policy_version:
        lines.append(f"{newest.label} is newer than the version it was trained for.")
    if not any(each.split == "holdout" for each in measured):
        lines.append(
            "It was not evaluated on a holdout: figures on pairs like those it learnt from flatter it."
        )
    if any(each.clicks_simulated for each in measured):
        lines.append("Figures of clicks are of *simulated* clicks.")
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _made_from(picture: Picture) -> str:
    nodes = [picture.graph.nodes[name] for column in picture.columns for name in column]
    lines = []
    for node in nodes:
        if node.kind == "evaluation" or node.id == picture.subject:
            continue
        detail = f", {node.detail}" if node.detail else ""
        old = " (stale)" if node.id in picture.stale else ""
        lines.append(f"- {node.kind} {node.name}{detail}{old}")
    return "## Data and models around it\n\n" + ("\n".join(lines) or "Nothing is known.")


def _figure(found: Estimate) -> str:
    if found.value is None:
        return f"– ({found.reason})" if found.reason else "–"
    interval = f" [{found.low:.3f}, {found.high:.3f}]" if found.low is not None else ""
    return f"{found.value:.3f}{interval}"


def _pairs(workspace: Workspace, record: CheckpointRecord) -> list[Pair]:
    """Return pairs to check a copy on: of the snapshot that it learnt from, dev pairs first; labels are not read."""
    name, _, version = record.lineage.golden.rpartition(" v")
    if not (name and version.isascii() and version.isdigit()):
        raise BadInput(
            f"{record.name} does not say which golden set it learnt from, so there are no pairs to check its copy on.",
            "Train it from a golden snapshot.",
        )
    snapshot = workspace.store.snapshot(name, int(version))
    return sorted(snapshot.pairs, key=lambda pair: snapshot.splits[pair.id] != "dev")[:CHECKED]
