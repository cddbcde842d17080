"""Checkpoint folders with a record and weights that nobody loads, for tests that need neither torch nor a training."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import training_samples

from workbench.training.record import RECORD, WEIGHTS, CheckpointRecord, Lineage, considered, heads_of


def weights(
    folder: Path,
    *,
    recipe: str = "tea-mini",
    lineage: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    **record: Any,
) -> CheckpointRecord:
    """Write a folder that :func:`workbench.training.record.read_record` reads; its weights are the recipe's name."""
    of = training_samples.policy()
    made = training_samples.recipe(folder, recipe=recipe, **(changes or {}))
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(recipe.encode())
    found = CheckpointRecord.model_validate(
        {
            "recipe": made.model_dump(mode="json"),
            "recipe_hash": made.content_hash,
            "policy": of.name,
            "policy_version": of.version,
            "policy_hash": of.content_hash,
            "pair": of.pair,
            "considers": considered(of),
            "heads": heads_of(of),
            "lineage": Lineage(**(lineage or {})),
            "created_at": datetime(2026, 1, 1, tzinfo=UTC),
            "weights_hash": f"sha256-{hashlib.sha256(recipe.encode()).hexdigest()}",
        }
        | record
    )
    (folder / RECORD).write_text(found.model_dump_json(), encoding="utf-8")
    return found
