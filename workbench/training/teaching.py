"""What teachers say of the pairs that a student learns from, computed once a teacher and set of pairs.

The answers of one checkpoint to one set of pairs are one Parquet file, called by the hashes of both. So a changed
teacher alone is asked again, a second student asks nobody, and teacher and student may have different tokenizers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from workbench.errors import BadInput
from workbench.golden import Pair
from workbench.identity import content_hash
from workbench.policy import Policy
from workbench.recipe import Teacher, TrainedRecipe
from workbench.run import Reporter
from workbench.training.data import Answer
from workbench.training.model import load_checkpoint
from workbench.training.record import CLICK, CheckpointRecord, Head, heads_of, read_record, teacher_problem

BATCH = 64
"""Pairs a forward pass."""


def teach(
    folder: Path,
    teacher: Teacher,
    recipe: TrainedRecipe,
    policy: Policy,
    pairs: Sequence[Pair],
    cache: Path,
    reporter: Reporter,
) -> list[Answer]:
    """Return what the checkpoint in ``folder`` says of each pair, as far as it teaches the recipe.

    Args:
        folder: of the checkpoint.
        teacher: which of its heads teach.
        recipe: whose heads learn.
        policy: whose dimensions and classes the answers are turned into. A dimension that the teacher does not know,
            or on other levels, it does not teach.
        pairs: in the order of the answers.
        cache: folder of the files.
        reporter: hears whether the checkpoint was asked, and of its progress.

    Raises:
        WorkbenchError: the checkpoint is missing, damaged, or can teach nothing here.
    """
    record = read_record(folder)
    if problem := teacher_problem(record, teacher, recipe, policy):
        raise BadInput(f"{problem}.", "Correct 'teachers' in the recipe, or train that checkpoint again.")
    ids = [pair.id for pair in pairs]
    file = answer_file(record, pairs, cache)
    said = _read(file)
    if said is None:
        said = _ask(folder, pairs, reporter)
        _write(file, said)
        reporter.log(f"{record.name} was asked about {len(pairs)} pairs.")
    else:
        reporter.log(f"{record.name} had been asked about these {len(pairs)} pairs before.")
    wanted = set(teacher.heads or record.recipe.heads) & set(recipe.heads)
    theirs = {head.key: head for head in record.heads}
    shared = [
        (theirs[head.key], head)
        for head in heads_of(policy)
        if "policy" in wanted and head.key in theirs and theirs[head.key].levels == head.levels
    ]
    return [
        Answer(
            {mine.key: _classes(said[i][their.key], their, mine) for their, mine in shared},
            float(said[i][CLICK][0]) if "click" in wanted else None,
        )
        for i in ids
    ]


def answer_file(record: CheckpointRecord, pairs: Sequence[Pair], cache: Path) -> Path:
    """Return where the answers of a checkpoint to these pairs are kept, in whatever order the pairs are."""
    asked = content_hash("pairs", sorted(pair.id for pair in pairs)).rpartition("-")[2][:16]
    return cache / f"{record.weights_hash.rpartition('-')[2][:16]}-{asked}.parquet"


def _classes(vector: Sequence[float], their: Head, mine: Head) -> tuple[float, ...]:
    """Return probabilities over the classes of ``mine``; both have the same levels, and N/A may be in one only."""
    levels = list(vector[: len(their.levels)])
    if their.allow_na and mine.allow_na:
        return (*levels, vector[-1])
    total = sum(levels)
    spread = [p / total for p in levels] if total > 0 else [1 / len(levels)] * len(levels)
    return (*spread, *([0.0] if mine.allow_na else []))


@torch.inference_mode()
def _ask(folder: Path, pairs: Sequence[Pair], reporter: Reporter) -> dict[str, dict[str, list[float]]]:
    loaded = load_checkpoint(folder)
    scorer = loaded.scorer.to("cuda" if torch.cuda.is_available() else "cpu")
    half = loaded.record.recipe.precision == "bfloat16"
    encoded = loaded.tokens.encode(pairs)
    order = sorted(range(len(pairs)), key=lambda i: loaded.tokens.alike(encoded[i]))
    said: dict[str, dict[str, list[float]]] = {}
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        with torch.autocast(scorer.device.type, dtype=torch.bfloat16, enabled=half):
            logits = scorer(loaded.tokens.pad([encoded[i] for i in rows], scorer.device))
        answers = {
            key: (part.double().sigmoid() if key == CLICK else part.double().softmax(-1)).cpu().numpy()
            for key, part in logits.items()
        }
        for place, i in enumerate(rows):
            mine = {key: values[place] for key, values in answers.items()}
            if not all(np.isfinite(values).all() for values in mine.values()):
                raise BadInput(
                    f"{loaded.record.name} gives no number for pair {pairs[i].id}.",
                    "Look at this pair, or take another teacher.",
                )
            said[pairs[i].id] = {key: values.tolist() for key, values in mine.items()}
        reporter.progress(min(start + BATCH, len(order)), len(order), f"asking {loaded.record.name}")
    return said


def _write(file: Path, said: dict[str, dict[str, list[float]]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    keys = list(next(iter(said.values()), {}))
    columns: dict[str, Any] = {"pair_id": list(said)}
    columns |= {key: [answers[key] for answers in said.values()] for key in keys}
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    pq.write_table(pa.table(columns), temporary, compression="zstd")
    os.replace(temporary, file)


def _read(file: Path) -> dict[str, dict[str, list[float]]] | None:
    """Return what a file holds; None where there is none. A damaged one is as good as none: it is made again."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(file).to_pylist()
        return {row.pop("pair_id"): row for row in rows}
    except (OSError, pa.ArrowException, KeyError):
        return None
