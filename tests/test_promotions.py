"""Stages of checkpoints: one production model a policy, a reason for each step, nothing ever overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lineage_samples import NOW
from record_samples import weights

from workbench.errors import BadInput, Conflict, NotFound, Refused
from workbench.promotions import demote, history, promote, stage_of, stages
from workbench.store import StoredCheckpoint
from workbench.workspace import Workspace


def kept(workspace: Workspace, home: Path, name: str, **changes: Any) -> str:
    """Keep a checkpoint of the tea policy whose folder is complete, and return its id."""
    record = weights(home / name, recipe=name, **changes)
    made = StoredCheckpoint(
        id=record.name, name=name, created_at=NOW, folder=str(home / name), job_id="j",
        record=record.model_dump(mode="json"),
    )  # fmt: skip
    workspace.store.save_checkpoint(made)
    return made.id


def test_one_production_model_a_policy(workspace: Workspace, tmp_path: Path) -> None:
    first, second = kept(workspace, tmp_path, "tea-one"), kept(workspace, tmp_path, "tea-two")
    other = kept(workspace, tmp_path, "coffee", policy="coffee-match")
    assert stages(workspace) == {}
    done = promote(workspace, "tea-one", "production", reason="best on\n the holdout", author="Ida")
    assert (done.checkpoint, done.stage, done.reason, done.who) == (
        first, "production", "best on the holdout", "Ida",
    )  # fmt: skip
    promote(workspace, other, "production", reason="the only one", author="Ida")
    promote(workspace, second, "candidate", reason="smaller", author="Bo")
    assert stages(workspace) == {first: "production", other: "production", second: "candidate"}

    promote(workspace, second, "production", reason="half the price", author="Bo")
    # The other policy's model stays where it is.
    assert stages(workspace) == {second: "production", other: "production"}
    assert stage_of(workspace, first) is None
    steps = [(step.stage, step.reason, step.who) for step in history(workspace, first)]
    assert steps == [
        ("", f"{second} took its place: half the price", "Bo"),
        ("production", "best on the holdout", "Ida"),
    ]
    assert (
        len(history(workspace, policy="tea-match")) == 4
    )  # one, two, two again, and the place that was taken
    assert len(history(workspace)) == 5


def test_from_production_back_to_candidate_frees_the_place(workspace: Workspace, tmp_path: Path) -> None:
    first, second = kept(workspace, tmp_path, "tea-one"), kept(workspace, tmp_path, "tea-two")
    promote(workspace, first, "production", reason="good", author="Ida")
    promote(workspace, first, "candidate", reason="a bug in its data", author="Ida")
    promote(workspace, second, "production", reason="sound", author="Ida")
    assert stages(workspace) == {first: "candidate", second: "production"}
    assert history(workspace, first)[0].reason == "a bug in its data"  # nothing was taken from it


def test_demote(workspace: Workspace, tmp_path: Path) -> None:
    name = kept(workspace, tmp_path, "tea-one")
    with pytest.raises(Conflict, match="is neither candidate nor production"):
        demote(workspace, name, reason="bad", author="Ida")
    promote(workspace, name, "production", reason="good", author="Ida")
    with pytest.raises(Conflict, match="is production already"):
        promote(workspace, name, "production", reason="good", author="Ida")
    done = demote(workspace, "tea-one", reason="clicks fell", author="Bo")
    assert (done.stage, done.reason, done.who) == ("", "clicks fell", "Bo")
    assert stages(workspace) == {}
    # The audit log has both lines, with the reasons, and no other.
    assert [(e["what"], e["subject"], e["detail"]) for e in workspace.store.events(2)] == [
        ("demoted", f"checkpoint {name}", "clicks fell"),
        ("promoted", f"checkpoint {name}", "production: good"),
    ]


def test_what_cannot_be_promoted(workspace: Workspace, tmp_path: Path) -> None:
    stopped = kept(workspace, tmp_path, "tea-half", stopped=True)
    with pytest.raises(Refused, match="was stopped before its end"):
        promote(workspace, stopped, "candidate", reason="good", author="Ida")
    with pytest.raises(NotFound, match="No checkpoint is called 'tea-none'"):
        promote(workspace, "tea-none", "candidate", reason="good", author="Ida")
    sound = kept(workspace, tmp_path, "tea-one")
    with pytest.raises(BadInput, match="There is no reason"):
        promote(workspace, sound, "candidate", reason=" \n", author="Ida")
    with pytest.raises(BadInput, match="2,001 characters"):
        promote(workspace, sound, "candidate", reason="x" * 2001, author="Ida")
    with pytest.raises(BadInput, match="There is no stage 'best'"):
        promote(workspace, sound, "best", reason="good", author="Ida")  # type: ignore[arg-type]
    (tmp_path / "tea-one" / "model.safetensors").unlink()
    with pytest.raises(NotFound, match=r"model\.safetensors is missing"):
        promote(workspace, sound, "candidate", reason="good", author="Ida")
    assert stages(workspace) == {}
    assert history(workspace) == []


def test_other_lines_of_the_log_say_nothing(workspace: Workspace, tmp_path: Path) -> None:
    name = kept(workspace, tmp_path, "tea-one")
    for what, subject, detail in (
        ("promoted", f"checkpoint {name}", "emperor: of a later workbench"),
        ("promoted", "checkpoint gone-1234", "production: of another store"),
        ("promoted", f"policy {name}", "production: no checkpoint"),
        ("was promoted", f"checkpoint {name}", "production: another word"),
    ):
        workspace.store.record_event("Ida", what, subject, detail)
    assert stages(workspace) == {}


def test_more_lines_than_are_read_at_once(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.promotions._LINES", 2)
    first, second = kept(workspace, tmp_path, "tea-one"), kept(workspace, tmp_path, "tea-two")
    for turn in range(3):
        promote(workspace, (first, second)[turn % 2], "production", reason=f"turn {turn}", author="Ida")
    assert stages(workspace) == {first: "production"}
    # Three promotions, and two places that were taken, the newest first.
    assert [step.reason.rpartition("turn ")[2] for step in history(workspace)] == ["2", "2", "1", "1", "0"]
