"""Disagreements under the policy ``tea-match`` of :mod:`policy_samples`, and a model's answers about them as text."""

from __future__ import annotations

import json
from typing import Any

from workbench.golden import Pair
from workbench.suggestion import Batch, Disagreement, Suggestion


def disagreement(number: int, label: int = 2, judge: int = 0, **more: Any) -> Disagreement:
    """A pair of its own for each number: guest ``wish N``, tea ``Tea N``."""
    pair = Pair(
        query={"wishes": f"wish {number}", "mood": "calm"},
        document={"title": f"Tea {number}", "notes": f"notes {number}"},
    )
    values = {"pair": pair, "split": "dev", "dimension": "taste", "label": label, "judge": judge} | more
    return Disagreement.model_validate(values)


def batch(*found: Disagreement, **more: Any) -> Batch:
    """One request; three disagreements where none are given."""
    return Batch(dimension="taste", disagreements=found or tuple(map(disagreement, (1, 2, 3))), **more)


EDITS: dict[str, dict[str, Any]] = {
    "reword": {"clause": "taste.1", "text": "Smoke counts as a taste, and so does salt."},
    "add": {"section": "taste", "text": "Sweetness counts as a taste."},
    "split": {
        "clause": "taste.2",
        "first": "A blend has one taste.",
        "second": "It is that of its main leaf.",
    },
    "level": {"level": 1, "text": "Nothing in the wishes speaks against it."},
    "precedent": {"case": 2, "text": "The wish was met.", "cites": ["taste.1"]},
}
"""An edit of each kind that fits the policy: what the answer holds besides reason, cases, kind and effect."""


def edit(kind: str, **changes: Any) -> dict[str, Any]:
    """One suggestion of an answer, resting on cases 1 and 3."""
    common = {"reason": "The rule is silent.", "cases": [1, 3], "kind": kind, "effect": "Case 1 becomes 2."}
    return common | EDITS[kind] | changes


def answer(*edits: Any) -> str:
    """An answer as a model writes it."""
    return json.dumps({"suggestions": list(edits)})


def reword(text: str = "Smoke and salt count as tastes.", **more: Any) -> Suggestion:
    """A rewording of taste.1."""
    values = {
        "kind": "reword",
        "dimension": "taste",
        "section": "taste",
        "item": "taste.1",
        "before": "Smoke counts as a taste.",
        "text": text,
        "reason": "Salt was missed.",
        "evidence": ("pair-1",),
    }
    return Suggestion.model_validate(values | more)
