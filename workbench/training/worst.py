"""The validation pairs that a model is furthest off on, and nearest to: what to look at when a curve stands still."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

from workbench.training.batches import Lesson
from workbench.training.data import Example
from workbench.training.record import CLICK, Head

FILE = "worst.jsonl"
SHOWN = 20
"""Pairs that are kept of each end of an evaluation: the worst and the best."""


def worst_examples(
    heads: Sequence[Head], logits: Mapping[str, Tensor], lesson: Lesson, examples: Sequence[Example]
) -> list[dict[str, Any]]:
    """Return the ``SHOWN`` pairs of highest and the ``SHOWN`` of lowest loss, each once, with targets and answers.

    The worst is first and the best is last.

    The loss is the mean cross-entropy over what is known of the pair: each dimension once (golden labels before a
    data set's before soft labels before a teacher's), and its impressions, a mean over them. It is no loss of the
    recipe: its weights would hide a dimension that hardly counts.
    """
    found: list[dict[str, Any]] = [{"losses": [], "dimensions": {}} for _ in examples]
    for head in heads:
        answer = log_softmax(logits[head.key].float(), dim=-1).cpu()
        kinds = [("golden", lesson.golden), ("dataset", lesson.dataset), ("soft", lesson.soft)]
        kinds += [(f"teacher {i}", teacher.policy) for i, teacher in enumerate(lesson.teachers, 1)]
        for row, mine in enumerate(found):
            for kind, targets in kinds:
                if targets.known[head.key][row]:
                    wanted = targets.probabilities[head.key][row].cpu()
                    mine["losses"].append(float(-(wanted * answer[row]).sum()))
                    shown = {"from": kind, "target": _rounded(wanted), "answer": _rounded(answer[row].exp())}
                    mine["dimensions"][head.key] = shown
                    break
    if CLICK in logits and len(lesson.clicks.row):
        scores = logits[CLICK][:, 0].float().cpu()
        cells = lesson.clicks
        shown_of = torch.zeros(len(scores)).index_add(0, cells.row.cpu(), cells.shown.cpu())
        clicked = torch.zeros(len(scores)).index_add(0, cells.row.cpu(), cells.clicked.cpu())
        rate = clicked / shown_of.clamp_min(1)
        loss = -rate * logsigmoid(scores) - (1 - rate) * logsigmoid(-scores)
        for row in torch.nonzero(shown_of).flatten().tolist():
            found[row]["losses"].append(float(loss[row]))
            found[row]["click"] = {
                "shown": float(shown_of[row]),
                "rate": round(float(rate[row]), 4),
                "answer": round(float(scores[row].sigmoid()), 4),
            }
    rows = [
        {"loss": round(sum(mine["losses"]) / len(mine["losses"]), 4), "pair_id": e.pair.id, **_rest(mine)}
        | {"query": e.pair.query, "document": e.pair.document}
        for mine, e in zip(found, examples, strict=True)
        if mine["losses"]
    ]
    rows.sort(key=lambda row: -row["loss"])
    return rows[:SHOWN] + rows[SHOWN:][-SHOWN:]


def write_worst(folder: Path, epoch: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the pairs of the newest evaluation, in one step, in place of those of the one before."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{FILE}"
    lines = [json.dumps({"epoch": epoch, **row}, ensure_ascii=False) + "\n" for row in rows]
    try:
        temporary.write_text("".join(lines), encoding="utf-8", errors="replace")
        os.replace(temporary, folder / FILE)
    except BaseException:  # a full disk leaves half of it
        temporary.unlink(missing_ok=True)
        raise


def _rounded(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]


def _rest(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != "losses"}
