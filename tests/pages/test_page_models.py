"""The Models page: the board, an opened model, its stage, its export, trainings side by side."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import training_samples
from page_samples import OpenPage, label, text_of

from workbench import jobs
from workbench.files import write_text
from workbench.labelling import publish_golden
from workbench.model_evaluation import ModelEvaluation
from workbench.promotions import history, stages
from workbench.resampling import Estimate
from workbench.run import JobState
from workbench.store import StoredCheckpoint
from workbench.training.record import CheckpointRecord, considered, heads_of
from workbench.training_comparison import training_names
from workbench.workspace import Workspace

NOW = datetime(2026, 11, 2, tzinfo=UTC)


def recipe(name: str, **changes: Any) -> dict[str, Any]:
    """A recipe of the policy ``fit``, as plain data."""
    made = training_samples.recipe("minilm", recipe=name, policy="fit", **changes)
    return made.model_dump(mode="json")


def checkpoint(space: Workspace, name: str) -> str:
    """Keep a checkpoint of ``fit`` whose weights nobody loads, and return its id."""
    policy = space.store.policy("fit")
    record = CheckpointRecord.model_validate(
        {
            "recipe": recipe(name), "recipe_hash": "r", "policy": "fit", "policy_version": 1,
            "policy_hash": policy.content_hash, "pair": policy.pair, "considers": considered(policy),
            "heads": heads_of(policy), "lineage": {"golden": "bakers v1"}, "created_at": NOW, "weights_hash": "sha256-1234abcd",
        }
    )  # fmt: skip
    folder = space.settings.home / "models" / name
    write_text(folder / "model.safetensors", "weights")
    write_text(folder / "checkpoint.json", record.model_dump_json())
    space.store.save_checkpoint(
        StoredCheckpoint(
            id=record.name, name=name, created_at=NOW, folder=str(folder), job_id="j", record=record.model_dump(mode="json")
        )
    )  # fmt: skip
    return record.name


@pytest.fixture
def measured(golden: Workspace) -> str:
    """One student of ``fit``, evaluated on dev and holdout of ``bakers`` v1; its id."""
    for pair in golden.store.pairs(list(golden.store.members("bakers")["pair_id"]), "bakers").values():
        label(golden, pair, "anna", skills=1, wishes=0)
    published = publish_golden(golden, "bakers", message="for tests", author="anna")
    student = checkpoint(golden, "fit-mini")
    for split, kappa in (("dev", 0.71), ("holdout", 0.52)):
        found = ModelEvaluation.model_validate(
            {
                "checkpoint": student, "weights_hash": "sha256-1234abcd", "recipe": "fit-mini", "policy": "fit",
                "policy_version": 1, "golden": "bakers v1", "golden_hash": published.content_hash, "split": split,
                "at": NOW, "by": "anna", "machine": "x86_64, 2 cores, 1 threads", "pairs": 2, "learnt": 1,
                "relevant_from": 2, "figures": {"kappa.overall": Estimate(kappa, kappa - 0.1, kappa + 0.1)},
                "size": {"parameters": 1000, "megabytes": 4.0, "tokens": 20, "compute": 50_000},
                "speed": {"pairs_per_s": 200.0, "latency_ms": {"median": 5.0, "p95": 9.0}},
            }
        )  # fmt: skip
        write_text(golden.settings.home / "evaluations" / f"{student}-{split}.json", found.model_dump_json())
    return student


def training(space: Workspace, job_id: str, losses: list[float], kappa: float, **changes: Any) -> None:
    """Leave an ended training with a metrics file."""
    spec, folder = jobs.prepare(
        space, "training", job_id=job_id, title=f"{job_id} on fit v1", author="anna",
        payload={"training": {"recipe": recipe("fit-mini", **changes)}},
    )  # fmt: skip
    rows = [{"step": i, "epoch": 1, "loss": loss} for i, loss in enumerate(losses, 1)]
    rows.append({"epoch": 1, "eval_loss": losses[-1], "skills.kappa": kappa})
    write_text(folder.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    space.store.save_job(spec, str(folder.path), "local:0:0")
    space.store.finish_job(job_id, JobState(status="finished", done=1, total=1))


def test_nothing_yet(space: Workspace, open_page: OpenPage) -> None:
    assert "There is no model of fit yet." in text_of(open_page("models"))
    assert "No training under fit yet." in text_of(open_page("models", view="trainings"))


def test_the_board_and_an_opened_model(measured: str, open_page: OpenPage) -> None:
    page = open_page("models")
    table = page.dataframe[0].value
    assert table["model"].tolist() == [measured]
    assert table["κ"].tolist() == [0.71]
    assert table["95 %"].tolist() == ["0.61 – 0.81"]
    assert table["learnt"].tolist() == [1]
    assert "NDCG@10" not in table.columns  # nothing to say of any
    assert "Select a row to open a model" in text_of(page)

    opened = open_page("models", model=measured)
    text = text_of(opened)
    assert "evaluated 02 Nov 2026 by anna" in text
    assert "Nobody has promoted it yet." in text
    commands = [code.value for code in opened.code]
    assert commands == [
        f"workbench evaluate {measured} --golden bakers@1 --split dev",
        f"workbench export {measured} {measured}-hf --format hf",
        f"workbench export {measured} {measured}-onnx --format onnx",
    ]


def test_promote_and_demote(golden: Workspace, measured: str, open_page: OpenPage) -> None:
    page = open_page("models", model=measured)
    page.button_group(key="to_stage").set_value("production")
    page.button[0].click().run()
    assert page.error[0].value.startswith("**There is no reason.**")
    assert stages(golden) == {}

    page.button_group(key="to_stage").set_value("production")
    page.text_input(key="stage_reason").set_value("best on *dev*")
    page.button[0].click().run()
    assert not page.exception
    assert stages(golden) == {measured: "production"}
    assert [(step.reason, step.who) for step in history(golden)] == [("best on *dev*", "anna")]
    assert "best on *dev*" in text_of(page)
    assert page.dataframe[0].value["stage"].tolist() == ["production"]

    page.button_group(key="to_stage").set_value("no stage")
    page.text_input(key="stage_reason").set_value("clicks fell")
    page.button[0].click().run()
    assert stages(golden) == {}
    assert [step.reason for step in history(golden)] == ["clicks fell", "best on *dev*"]


def test_the_holdout_is_looked_at_once_a_visit(golden: Workspace, measured: str, open_page: OpenPage) -> None:
    page = open_page("models", split="holdout")
    assert page.dataframe[0].value["κ"].tolist() == [0.52]
    assert "Runs and models looked at so far: 1, by 1 person." in page.warning[0].value
    page.run()
    looks = golden.store.looks("bakers")
    assert (looks["run_id"].tolist(), looks["place"].tolist()) == ([measured], ["Models"])


def test_charts(measured: str, open_page: OpenPage) -> None:
    page = open_page("models", view="tradeoffs")
    drawn = [json.loads(chart.proto.spec)["data"] for chart in page.get("plotly_chart")]
    # κ against size, speed and tokens; neither cost nor clicks are known, which is said.
    assert [(data[0]["x"], data[0]["y"]) for data in drawn] == [
        ([4.0], [0.71]),
        ([200.0], [0.71]),
        ([20], [0.71]),
    ]
    text = text_of(page)
    assert "No model has both κ and a known cost." in text
    assert "No model was evaluated on clicks here." in text


def test_export_says_why_it_cannot(golden: Workspace, measured: str, open_page: OpenPage) -> None:
    page = open_page("models", model=measured)
    export = next(button for button in page.button if button.label.startswith("Export"))
    export.click().run()
    assert not page.exception
    assert len(page.error) == 1  # the sample's weights are none
    assert not (golden.settings.home / "exports" / measured).exists()


def test_every_training_has_a_name_of_its_own(space: Workspace) -> None:
    for job_id in ("job-1-same", "job-2-same", "job-3-else"):
        spec, folder = jobs.prepare(
            space, "training", job_id=job_id, title="fit-mini on fit v1", author="anna", payload={}
        )
        space.store.save_job(spec, str(folder.path), "local:0:0")
    names = training_names(space.store.jobs("training"))
    assert len(set(names.values())) == 3
    # Where the ends of two ids are the same too, the whole id is said.
    assert names["job-1-same"] == "fit-mini on fit v1 (job-1-same)"
    assert training_names(space.store.jobs("training")[:1]) == {"job-3-else": "fit-mini on fit v1"}


def test_trainings_side_by_side(space: Workspace, open_page: OpenPage) -> None:
    training(space, "job-train-a", [1.0, 0.5], 0.4)
    training(space, "job-train-b", [1.0, 0.9], 0.3, schedule={"learning_rate": 0.25})
    training(space, "job-train-c", [1.0, 0.8], 0.2, schedule={"learning_rate": 0.25, "epochs": 7})
    page = open_page("models", view="trainings", trainings="job-train-a,job-train-b")
    drawn = [json.loads(chart.proto.spec)["data"] for chart in page.get("plotly_chart")]
    assert [[line["y"] for line in data] for data in drawn] == [[[1.0, 0.5], [1.0, 0.9]], [[0.5], [0.9]]]
    text = text_of(page)
    assert "schedule.learning_rate" in text
    assert "0.25" in text
    assert "schedule.epochs" not in text  # the same in both
    assert "job-train-c" not in text
    page.multiselect(key="compared").set_value(["job-train-b", "job-train-c"]).run()
    assert "schedule.epochs" in text_of(page)
    assert "schedule.learning_rate" not in text_of(page)
    page.multiselect(key="compared").set_value(["job-train-b"]).run()
    assert "Choose two or more trainings." in text_of(page)
