"""The Train page: a recipe as a form, what it would learn from, launching once, following, what came of it."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime

import pytest
from job_samples import Held, answer, finish, folder_of, progress, publish, verdict
from page_samples import OpenPage, text_of
from streamlit.testing.v1 import AppTest

from workbench import jobs, judge_runs, training_runs
from workbench.recipe import Schedule
from workbench.run import BaselineSpec
from workbench.training.record import CheckpointRecord, Lineage, considered, heads_of
from workbench.workspace import Workspace

RECIPE = """\
recipe: tiny
description: A recipe for tests.
policy: fit
backbone: some/model
data: {golden: bakers, validation: 0}
schedule: {epochs: 3, batch_size: 4, learning_rate: 0.0003}
"""


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Jobs that are started and do nothing; torch counts as installed."""
    there = importlib.util.find_spec("json")
    real = importlib.util.find_spec
    parts = ("torch", "transformers", "safetensors")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: there if name in parts else real(name, *rest)
    )
    return Held(monkeypatch)


@pytest.fixture
def ready(space: Workspace, held: Held) -> Workspace:
    """The workspace with a published golden set and the recipe ``tiny``."""
    publish(space)
    write_recipe(space, RECIPE)
    return space


def write_recipe(space: Workspace, text: str) -> None:
    (space.root / "students").mkdir(exist_ok=True)
    (space.root / "students" / "tiny.yaml").write_text(text)


def field(page: AppTest, name: str):
    """Return the widget of a recipe's field."""
    key = f"set_tiny_{name}"
    every = [*page.number_input, *page.toggle, *page.selectbox]
    return next(widget for widget in every if widget.key == key)


def launch_button(page: AppTest):
    return next(button for button in page.button if button.label == "Launch")


def without_soft_labels(page: AppTest) -> AppTest:
    field(page, "data.soft_labels").set_value(False).run()
    assert not page.exception
    return page


def record(space: Workspace, soft_run: str = "") -> CheckpointRecord:
    """What a training of ``tiny`` would write about its checkpoint."""
    policy, recipe = space.store.policy("fit"), space.recipe("tiny")
    return CheckpointRecord(
        recipe=recipe,
        recipe_hash=recipe.content_hash,
        policy="fit",
        policy_version=1,
        policy_hash=policy.content_hash,
        pair=policy.pair,
        considers=considered(policy),
        heads=heads_of(policy),
        lineage=Lineage(golden="bakers v1", golden_hash="golden-12345678", soft_run=soft_run),
        figures={"pairs": 6, "eval_loss": 0.5, "skills.kappa": 0.25},
        created_at=datetime.now(UTC),
        weights_hash="sha256-abcdef0123456789",
    )


def train(space: Workspace, key: str = "t1") -> training_runs.Launched:
    recipe = training_runs.with_changes(space.recipe("tiny"), {"data.soft_labels": None})
    return training_runs.start_training(space, recipe, author="anna", key=key)


def test_without_recipes_the_page_says_where_they_lie(space: Workspace, open_page: OpenPage) -> None:
    assert "No recipes yet." in text_of(open_page("train"))


def test_a_broken_recipe_is_one_sentence(ready: Workspace, open_page: OpenPage) -> None:
    write_recipe(ready, RECIPE.replace("epochs: 3", "epochs: many"))
    page = open_page("train")
    (error,) = page.error
    assert "epochs" in error.value
    assert "Launch" not in [button.label for button in page.button]


def test_the_form_is_the_recipe_and_its_schema(ready: Workspace, open_page: OpenPage) -> None:
    page = open_page("train")
    assert field(page, "schedule.epochs").value == 3
    assert field(page, "schedule.epochs").help == Schedule.model_fields["epochs"].description
    assert field(page, "schedule.learning_rate").value == pytest.approx(0.0003)
    assert field(page, "schedule.max_steps").value is None
    assert field(page, "schedule.decay").value == "linear"
    assert field(page, "data.soft_labels").value is True
    assert "A recipe for tests." in text_of(page)


def test_what_cannot_be_learnt_from_is_said_before_launching(ready: Workspace, open_page: OpenPage) -> None:
    page = open_page("train")
    assert page.error[0].value.startswith("There is no finished run with probabilities of fit on golden set")
    assert launch_button(page).disabled
    without_soft_labels(page)
    assert not page.error
    assert not launch_button(page).disabled
    said = text_of(page)
    # 6 dev pairs in batches of 4: two steps an epoch, three epochs.
    assert "<td>6 of 6 dev pairs</td>" in said
    assert "<td>6 / 0 pairs</td><td>6</td>" in said
    assert "`data.soft_labels.weight` 0.5 → none" in said


def test_soft_labels_come_from_the_newest_run_with_probabilities(
    ready: Workspace, open_page: OpenPage
) -> None:
    pairs = ready.store.snapshot("bakers").pairs
    run = judge_runs.start_run(ready, BaselineSpec(), policy="fit", golden="bakers", author="anna", key="r1")
    folder = folder_of(ready, f"job-{run.id}")
    sure = {"skills": (0.0, 0.0, 1.0), "wishes": (0.0, 1.0)}
    for pair in pairs:
        plain = verdict(pair, 2, 1)
        given = tuple(j.model_copy(update={"probabilities": sure[j.dimension]}) for j in plain.judgements)
        answer(folder, [plain.model_copy(update={"judgements": given})])
    finish(folder)
    jobs.collect(ready)
    page = open_page("train")
    assert not page.error
    assert f'baseline · fit v1, 6 pairs<div class="wb-muted wb-small">{run.id}</div>' in text_of(page)
    launch_button(page).click().run()
    (job,) = ready.store.jobs("training")
    assert job.spec.payload["training"]["soft_run"] == run.id
    # Six dev pairs; the four of the holdout are not among what is learnt.
    assert len((folder_of(ready, job.spec.id).path / "soft.jsonl").read_text().splitlines()) == 6


def test_changes_reach_the_job_which_is_launched_once_and_opened(
    ready: Workspace, open_page: OpenPage, held: Held
) -> None:
    page = without_soft_labels(open_page("train"))
    field(page, "schedule.epochs").set_value(7)
    field(page, "schedule.max_steps").set_value(5)
    field(page, "schedule.decay").set_value("cosine").run()
    assert "<td>5</td>" in text_of(page)  # steps, cut by max_steps
    assert "`schedule.epochs` 3 → 7" in text_of(page)
    first = launch_button(page)
    first.click().run()
    assert not page.exception
    (job,) = ready.store.jobs("training")
    assert held.started == [job.spec.id]
    given = job.spec.payload["training"]["recipe"]
    assert (given["schedule"]["epochs"], given["schedule"]["decay"]) == (7, "cosine")
    assert given["data"]["soft_labels"] is None
    assert page.query_params["job"] == job.spec.id
    assert launch_button(page).key != first.key
    assert ready.recipe("tiny").schedule.epochs == 3  # the file stays as it is


def test_the_same_key_launches_one_training(ready: Workspace, held: Held) -> None:
    first = train(ready)
    finish(folder_of(ready, first.job_id), "failed", "broken")
    jobs.collect(ready)
    assert train(ready) == first
    assert held.started == [first.job_id]
    assert ready.store.run(first.run_id).status == "failed"


def test_a_value_outside_its_bounds_is_one_sentence(ready: Workspace, open_page: OpenPage) -> None:
    page = without_soft_labels(open_page("train"))
    field(page, "schedule.learning_rate").set_value(0.0).run()
    (error,) = page.error
    assert "learning_rate" in error.value.replace("\\", "")
    assert "Launch" not in [button.label for button in page.button]


def test_a_running_training_shows_progress_and_curves_and_stops(
    ready: Workspace, open_page: OpenPage, held: Held
) -> None:
    launched = train(ready)
    folder = folder_of(ready, launched.job_id)
    page = open_page("train", job=launched.job_id)
    assert "The curves appear with the first step." in text_of(page)
    progress(folder, 3, 6, "epoch 2 of 3, 9 s left")
    (folder.path / "metrics.jsonl").write_text(
        '{"step": 1, "epoch": 1, "loss": 1.5}\n{"epoch": 1, "eval_loss": 1.25, "skills.kappa": 0.5}\n'
    )
    page.run()
    assert page.get("progress")[0].proto.text == "3 of 6 steps · epoch 2 of 3, 9 s left"
    assert len(page.get("plotly_chart")) == 2
    page.button(key=f"stop_{launched.job_id}").click().run()
    assert folder.stop_asked() is not None


def test_a_finished_training_shows_its_checkpoint_and_lineage(
    ready: Workspace, open_in_app: OpenPage
) -> None:
    launched = train(ready)
    folder = folder_of(ready, launched.job_id)
    made = record(ready, soft_run="run-judge")
    answer(folder, [verdict(pair, 2, 1) for pair in ready.store.snapshot("bakers").pairs])
    finish(
        folder,
        judge={"kind": "checkpoint", "name": made.name},
        checkpoint={
            "name": made.name,
            "recipe": "tiny",
            "folder": str(folder.artifacts / "checkpoint"),
            "record": made.model_dump(mode="json"),
        },
    )
    page = open_in_app("train", job=launched.job_id)
    said = text_of(page)
    assert "Checkpoint tiny-abcdef01" in said
    for part in (
        "bakers v1 (12345678)",
        "run-judge",
        f"fit v1 ({made.policy_hash[-8:]})",
        made.recipe_hash[-8:],
    ):
        assert part in said
    assert "judge it on the holdout" in page.info[0].value
    (link,) = [link for link in page.get("page_link") if link.proto.label == "Compare with its run"]
    assert link.proto.query_string == f"golden=bakers&run={launched.run_id}"
    assert ready.store.checkpoint("tiny").id == "tiny-abcdef01"


def test_two_trainings_of_the_same_weights_each_show_their_own(ready: Workspace) -> None:
    made = record(ready)
    for key, steps in (("t1", 4), ("t2", 8)):
        folder = folder_of(ready, train(ready, key).job_id)
        data = made.model_copy(update={"figures": {"steps": steps}}).model_dump(mode="json")
        finish(folder, checkpoint={"name": made.name, "recipe": "tiny", "folder": "x", "record": data})
    jobs.collect(ready)
    shown = {
        job.spec.id: training_runs.made(ready, job).record["figures"]["steps"]
        for job in ready.store.jobs("training")
    }
    assert shown == {"job-train-t1": 4, "job-train-t2": 8}
    assert len(ready.store.checkpoints()) == 1


def test_a_failed_training_says_why_in_one_sentence_and_is_resumed(
    ready: Workspace, open_page: OpenPage, held: Held
) -> None:
    write_recipe(ready, RECIPE.replace("validation: 0", "validation: 0, soft_labels: null"))
    launched = train(ready)
    sentence = "Training stopped at step 3: the loss is nan with pair pair-1."
    finish(folder_of(ready, launched.job_id), "failed", sentence, "Lower the learning rates.")
    page = open_page("train", job=launched.job_id)
    assert [e.value.replace("\\", "") for e in page.error] == [f"{sentence} Lower the learning rates."]
    page.button(key=f"resume_{launched.job_id}").click().run()
    assert held.started == [launched.job_id] * 2
    assert ready.store.run(launched.run_id).status == "queued"


def test_without_torch_the_page_names_the_extra(
    ready: Workspace, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *r: None if name == "torch" else real(name, *r)
    )
    page = without_soft_labels(open_page("train"))
    assert [e.value.replace("\\", "") for e in page.error] == [
        "Training needs torch. Install: pip install 'policy-workbench[train]'."
    ]
    assert launch_button(page).disabled
