"""A pipeline as a picture: a box a step, coloured by how far it is, an arrow from what a step needs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from workbench.pipeline import PlannedStep, StepStatus

_OUTLINE: Mapping[StepStatus, str] = {
    "done": "#4f8a5b",
    "running": "#2f6f8f",
    "failed": "#c0392b",
    "ready": "#8a97a3",
    "waiting": "#c3cbd1",
    "blocked": "#d9730d",
}
"""Outline of a box, which is told from paper and from a dark page."""
_LETTERS = 34


def dot(steps: Sequence[PlannedStep], *, dark: bool) -> str:
    """Return the picture in Graphviz's language, from left to right."""
    ink = "#e6eaec" if dark else "#1c2429"
    lines = [
        "digraph pipeline {",
        'rankdir=LR; bgcolor="transparent"; nodesep=0.25; ranksep=0.35;',
        'node [shape=box, style="rounded", fontname="Helvetica", fontsize=11, margin="0.16,0.09"];',
        'edge [color="#8a97a3", arrowsize=0.6];',
    ]
    for each in steps:
        outline = _OUTLINE[each.status]
        text = f"{each.step.step}\n{each.step.kind} · {state_words(each)}"
        if each.what:
            text += f"\n{each.what[:_LETTERS]}"
        dash = ', style="rounded,dashed"' if each.status in ("waiting", "blocked") else ""
        lines.append(
            f"{_quoted(each.step.step)} [label={_quoted(text)}, color={_quoted(outline)}, fontcolor={_quoted(ink)}, "
            f"penwidth={2 if each.status in ('running', 'failed') else 1.3}{dash}];"
        )
        lines += [f"{_quoted(need)} -> {_quoted(each.step.step)};" for need in each.step.needs]
    return "\n".join([*lines, "}"])


def state_words(step: PlannedStep) -> str:
    """Return a step's state in a word or two."""
    return "there already" if step.reused else step.status


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
