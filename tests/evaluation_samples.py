"""Tiny checkpoints of the tea policy in a workspace, with the golden set and the click log that they learnt from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training_samples import Heard, pair, recipe, tiny
from workspace_samples import golden_set

from workbench.click_logs import click_log, import_clicks, impressions_path
from workbench.golden import GoldenSet, Pair
from workbench.store.runs import StoredCheckpoint
from workbench.training.record import CheckpointRecord, Lineage, TrainingInput
from workbench.training_job import gather
from workbench.workspace import Workspace

WORDS = ("smoky", "green", "black", "mild")
QUERIES = [f"{wish} {letter}" for wish in WORDS for letter in "ab"]
HELD = ["mild b"]
"""Queries of the holdout; the other seven are dev."""


def grades(item: Pair) -> dict[str, int]:
    """Taste 2 where wish and notes share the word, 1 for mild notes, else 0; strength N/A without a mood, else 1."""
    wish, notes = item.query["wishes"].split()[0], item.document["notes"].split()[0]
    taste = 2 if wish == notes else 1 if notes == "mild" else 0
    return {"taste": taste, "strength": 1 if item.query["mood"] else -2}


def teas() -> list[Pair]:
    """Eight queries, four documents each."""
    return [
        pair(query, f"{notes} c", "calm" if i % 2 else "")
        for i, query in enumerate(QUERIES)
        for notes in WORDS
    ]


def published(workspace: Workspace) -> GoldenSet:
    """Publish the golden set ``tea`` and import the click log ``shop``: what is wanted is clicked, 2 times of 3."""
    held = [item for item in teas() if item.query["wishes"] in HELD]
    golden = golden_set(workspace, [(item, grades(item)) for item in teas()], holdout=held)
    rows = ["query,document,position,clicked"]
    for item in teas():
        good = grades(item)["taste"] == 2
        rows += [f"{item.query_id},{item.id},{k},{int(good and k < 3)}" for k in (1, 2, 3)]
    source = workspace.root / "shop.csv"
    source.write_text("\n".join(rows) + "\n", encoding="utf-8")
    import_clicks(workspace, source, "shop", author="Ida")
    return golden


def trained(
    workspace: Workspace, golden: GoldenSet, home: Path, name: str, **changes: Any
) -> CheckpointRecord:
    """Train a tiny model with both heads on the golden set and the log, and keep it in the store."""
    from workbench.training.fit import fit

    data: Mapping[str, Any] = {"golden": "tea", "clicks": "shop", "validation": 0.3} | changes.pop("data", {})
    made = recipe(
        tiny(home / f"{name}-model"),
        recipe=name,
        heads=("policy", "click") if data["clicks"] else ("policy",),
        data=data,
        **changes,
    )
    policy = workspace.store.policy("tea-match")
    clicks = str(impressions_path(workspace, "shop")) if data["clicks"] else ""
    given = TrainingInput(
        recipe=made, golden="tea", golden_version=1, golden_hash=golden.content_hash, clicks=clicks
    )
    examples = gather(given, policy, golden, [], home, Heard())
    lineage = Lineage(
        golden=golden.label,
        golden_hash=golden.content_hash,
        clicks=click_log(workspace, "shop").content_hash if data["clicks"] else "",
    )
    done = fit(made, policy, examples, home / name, Heard(), lineage=lineage)
    record = done.record
    workspace.store.save_checkpoint(
        StoredCheckpoint(
            id=record.name,
            name=name,
            created_at=datetime(2026, 1, 1, tzinfo=UTC),
            folder=str(done.folder),
            job_id="j",
            record=record.model_dump(mode="json"),
        )
    )
    return record
