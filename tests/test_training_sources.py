"""A teacher's and a student's job from end to end: what recipes name is found, learnt from, and said in the lineage."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from training_samples import recipe, tiny
from workspace_samples import golden_set, pair

from workbench import training_job, training_runs
from workbench.click_logs import simulate_clicks
from workbench.click_simulation import Simulation
from workbench.dataset import Counts, DatasetCard, DatasetRecipe, DatasetRow
from workbench.dataset_files import ROWS, write_card, write_rows
from workbench.errors import BadInput, NotFound
from workbench.executors.local import LocalExecutor
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.jobs import folder_of
from workbench.run import BaselineSpec, JudgeIdentity, Judgement
from workbench.store import StoredCheckpoint
from workbench.training.record import CheckpointRecord
from workbench.workspace import Workspace

TEAS = ("smoky", "green", "black")


@pytest.fixture
def ready(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workspace with a golden set of nine dev pairs and one of the holdout; jobs are started by the test."""
    monkeypatch.setattr(LocalExecutor, "submit", lambda _, spec, folder: folder.name)
    dev = [
        (pair(wish, tea), {"taste": 2 if wish == tea else 0, "strength": 1}) for wish in TEAS for tea in TEAS
    ]
    held = pair("mild", "red")
    golden_set(workspace, [*dev, (held, {"taste": 0, "strength": 0})], holdout=[held])
    return workspace


def pool(space: Workspace) -> DatasetCard:
    """Make the data set ``pool`` of four pairs that are in no golden set."""
    policy = space.store.policy("tea-match")
    pairs = [pair(wish, tea) for wish in ("strong", "calm") for tea in ("smoky", "mild")]
    rows = [
        DatasetRow(p, "train", False, (Judgement(dimension="taste", grade=1, probabilities=(0.2, 0.5, 0.3)),
                                       Judgement(dimension="strength", grade=-2)))
        for p in sorted(pairs, key=lambda p: p.id)
    ]  # fmt: skip
    home = space.settings.home / "datasets" / "pool-made"
    written = write_rows(home / ROWS, rows, policy, "judge-1")
    given = {"dataset": "pool", "policy": "tea-match", "pool": {"kind": "golden", "golden": "tea"}}
    made = DatasetRecipe.model_validate(given | {"judge": BaselineSpec().model_dump()})
    card = DatasetCard(
        dataset="pool", content_hash=written.content_hash, made_at=datetime.now(UTC), recipe=made,
        recipe_hash=made.content_hash, policy="tea-match", policy_version=1, policy_hash=policy.content_hash,
        judge=JudgeIdentity(kind="baseline", name="baseline"), sources=(), counts=Counts(found=4, rows=written.rows),
    )  # fmt: skip
    write_card(home, card)
    return card


def trained(space: Workspace, student: Any) -> CheckpointRecord:
    """Start a training, do its job here, keep its checkpoint, and return what that says of itself."""
    started = training_runs.start_training(space, student, author="Ida", key=student.recipe)
    folder: JobFolder = folder_of(space, started.job_id)
    result = training_job.run(space.store.job(started.job_id).spec, folder, FolderReporter(folder))
    made = result["checkpoint"]
    space.store.save_checkpoint(
        StoredCheckpoint(id=made["name"], name=made["recipe"], created_at=datetime.now(UTC), folder=made["folder"],
                         job_id=started.job_id, record=made["record"])
    )  # fmt: skip
    return CheckpointRecord.model_validate(made["record"])


def test_two_teachers_and_a_student(ready: Workspace, tmp_path: Path) -> None:
    backbone = tiny(tmp_path / "model")
    card = pool(ready)
    clicks = simulate_clicks(
        ready,
        "log",
        Simulation(sessions=200, examination=(1.0, 0.5)),
        author="Ida",
        golden="tea",
        dimension="taste",
    )
    data = {"golden": "tea"}
    policy_teacher = recipe(backbone, recipe="policy-tiny", data=data | {"dataset": "pool"})
    first = trained(ready, policy_teacher)
    assert first.lineage.dataset == card.id
    assert first.figures["pairs"] == 13  # nine labelled, four of the pool

    click_teacher = recipe(
        backbone, recipe="click-tiny", init_from="policy-tiny", heads=["click"], data=data | {"clicks": "log"},
        losses={"click": {"bias": "inverse_propensity"}},
    )  # fmt: skip
    second = trained(ready, click_teacher)
    assert second.lineage.parents == (first.name,)
    assert second.lineage.clicks == clicks.content_hash
    assert second.figures["pairs"] == 9

    student = recipe(
        backbone, recipe="student-tiny", heads=["policy", "click"], data=data | {"dataset": "pool"},
        teachers=[{"checkpoint": "policy-tiny"}, {"checkpoint": second.name}],
    )  # fmt: skip
    third = trained(ready, student)
    assert third.lineage.parents == (first.name, second.name)
    assert len(list((ready.cache_folder / "teachers").glob("*.parquet"))) == 2
    plan = training_runs.plan(ready, student)
    assert (plan.dataset_rows, plan.problem) == (4, "")


def test_cells_are_the_impressions_of_the_log(ready: Workspace) -> None:
    card = simulate_clicks(
        ready,
        "log",
        Simulation(sessions=300, examination=(1.0, 0.5)),
        author="Ida",
        golden="tea",
        dimension="taste",
    )
    cells = training_job.read_cells(ready.settings.home / "clicks" / "log" / "impressions.parquet")
    assert set(cells) <= {p.id for p in [pair(wish, tea) for wish in TEAS for tea in TEAS]}
    every = [cell for mine in cells.values() for cell in mine]
    assert sum(cell.shown for cell in every) == card.summary.rows == 600  # 300 sessions of two places
    assert {(cell.position, cell.propensity) for cell in every} == {(1, 1.0), (2, 0.5)}
    assert all(0 <= cell.clicked <= cell.shown for cell in every)


def test_what_a_recipe_names_and_is_not_there_is_said_before_anything_starts(
    ready: Workspace, tmp_path: Path
) -> None:
    backbone = tmp_path / "none"
    pool(ready)
    for changes, error, says in (
        ({"init_from": "policy-mini"}, NotFound, "No checkpoint is called 'policy-mini'"),
        ({"teachers": [{"checkpoint": "policy-mini"}]}, NotFound, "No checkpoint is called 'policy-mini'"),
        ({"data": {"golden": "tea", "dataset": "pol"}}, NotFound, "No data set is called 'pol'. Did you mean pool"),
        ({"heads": ["click"], "data": {"golden": "tea", "clicks": "log"}}, NotFound, "No click log is called 'log'"),
    ):  # fmt: skip
        wanted = recipe(backbone, **({"data": {"golden": "tea"}} | changes))  # type: ignore[dict-item]
        with pytest.raises(error, match=says):
            training_runs.start_training(ready, wanted, author="Ida")
        assert says.rstrip("'") in training_runs.plan(ready, wanted).problem
    assert ready.store.jobs("training") == []


def test_a_log_without_propensities_cannot_be_weighted_by_them(
    ready: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench import click_logs

    card = simulate_clicks(
        ready,
        "log",
        Simulation(sessions=10, examination=(1.0,)),
        author="Ida",
        golden="tea",
        dimension="taste",
    )
    monkeypatch.setattr(click_logs, "click_log", lambda *_: card.model_copy(update={"propensity_is": None}))
    wanted = recipe(tmp_path, heads=["click"], data={"golden": "tea", "clicks": "log"},
                    losses={"click": {"bias": "inverse_propensity"}})  # fmt: skip
    with pytest.raises(BadInput, match="does not say how likely each position is looked at"):
        training_runs.start_training(ready, wanted, author="Ida")


def test_a_checkpoint_that_cannot_be_started_from(ready: Workspace, tmp_path: Path) -> None:
    backbone = tiny(tmp_path / "model")
    first = trained(ready, recipe(backbone, recipe="policy-tiny", data={"golden": "tea"}))
    other = recipe(backbone, recipe="other", init_from="policy-tiny", pooling="cls", data={"golden": "tea"})
    with pytest.raises(
        BadInput, match=f"other cannot start from {first.name}: its heads see pooling 'sides'"
    ):
        training_runs.start_training(ready, other, author="Ida")
