"""The Train page: a recipe as a form, what it would learn from, launching once, following, what came of it."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, datetime

import pytest
from job_samples import Held, answer, finish, folder_of, progress, publish, verdict
from page_samples import OpenPage, text_of
from streamlit.testing.v1 import AppTest

from workbench import jobs, judge_runs, sweeps, training_runs, training_watch
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
PAIRS = "Best and worst pairs"
CONFIG = {
    "model_type": "bert",
    "hidden_size": 4,
    "num_hidden_layers": 1,
    "intermediate_size": 8,
    "vocab_size": 10,
    "max_position_embeddings": 6,
    "type_vocab_size": 2,
}


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
    """The workspace with a published golden set and the recipe ``tiny``, whose backbone is a configuration only."""
    publish(space)
    (space.root / "model").mkdir()
    (space.root / "model" / "config.json").write_text(json.dumps(CONFIG))
    write_recipe(space, RECIPE)
    return space


def write_recipe(space: Workspace, text: str) -> None:
    (space.root / "students").mkdir(exist_ok=True)
    (space.root / "students" / "tiny.yaml").write_text(text.replace("some/model", str(space.root / "model")))


def field(page: AppTest, name: str):
    """Return the widget of a recipe's field."""
    key = f"set_tiny_{name}"
    every = [*page.number_input, *page.toggle, *page.selectbox, *page.text_input]
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
    assert "<td>6 / 0 pairs</td>" in said
    assert '<td>steps</td><td class="num">6</td>' in said
    assert "`data.soft_labels.weight` 0.5 → none" in said
    # Embeddings (10 + 6 + 2) * 4, their norm 2 * 4, the pooler 4 * 4 + 4; the layer's matrices 4 * 16 + 2 * 32, its
    # biases 4 * 4 + 8 + 4 and norms 4 * 4: 72 + 8 + 20 + 128 + 28 + 16.
    assert '<td>parameters</td><td class="num">272</td>' in said
    assert "resources.tflops or resources.utilisation is not given" in said.replace("\\", "")


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
    said = text_of(page)
    assert (
        f'<td>soft labels</td><td>{run.id}<div class="wb-muted wb-small">baseline · fit v1, 6 pairs</div>'
        in said
    )
    assert '<span class="wb-tag">fresh</span>' in said
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
    assert '<td>steps</td><td class="num">5</td>' in text_of(page)  # cut by max_steps
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


def sweep_field(page: AppTest, name: str, values: str) -> AppTest:
    """Open the tab of sweeps, where one field is varied."""
    page.session_state["train_what"] = "A sweep over fields"
    page.run()
    page.selectbox(key="sweep_field_0").select(name).run()
    page.text_input(key="sweep_values_0").set_value(values).run()
    assert not page.exception
    return page


def test_a_sweep_says_how_many_trainings_it_starts_and_starts_each_once(
    ready: Workspace, open_page: OpenPage, held: Held
) -> None:
    page = sweep_field(without_soft_labels(open_page("train")), "schedule.epochs", "1, 2, 3")
    button = next(button for button in page.button if button.label == "Launch 3 trainings")
    button.click().run()
    assert not page.exception
    found = ready.store.jobs("training")
    given = [job.spec.payload["training"]["recipe"] for job in found]
    assert sorted(one["schedule"]["epochs"] for one in given) == [1, 2, 3]
    assert {one["data"]["soft_labels"] for one in given} == {None}
    (started,) = sweeps.sweeps(ready)
    assert page.query_params["sweep"] == started.id
    page.button(key="stop_sweep").click().run()
    assert all(jobs.stop_asked(member.job) for member in started.members)
    assert "stop_sweep" not in [button.key for button in page.button]
    assert len(held.started) == 3
    table = next(frame.value for frame in page.dataframe if "schedule.epochs" in frame.value)
    assert table["schedule.epochs"].tolist() == [1, 2, 3]


def test_a_sweep_that_cannot_be_is_one_sentence(ready: Workspace, open_page: OpenPage) -> None:
    page = sweep_field(without_soft_labels(open_page("train")), "schedule.epochs", "1, many")
    (error,) = page.error
    assert "epochs" in error.value
    assert not [button for button in page.button if button.label.startswith("Launch")]


def test_stop_after_this_epoch_asks_the_job_once(ready: Workspace, open_page: OpenPage) -> None:
    launched = train(ready)
    page = open_page("train", job=launched.job_id)
    page.button(key=f"epoch_{launched.job_id}").click().run()
    folder = folder_of(ready, launched.job_id)
    assert (folder.path / "stop_after_epoch").exists()
    assert folder.stop_asked() is None
    assert "It ends with the epoch that it is in." in text_of(page)
    assert page.button(key=f"epoch_{launched.job_id}").disabled


def test_a_clone_opens_the_form_with_the_training_as_it_was(ready: Workspace, open_page: OpenPage) -> None:
    recipe = training_runs.with_changes(
        ready.recipe("tiny"), {"data.soft_labels": None, "schedule.epochs": 9}
    )
    first = training_runs.start_training(ready, recipe, author="anna", key="t1")
    page = open_page("train", job=first.job_id)
    page.button(key=f"clone_{first.job_id}").click().run()
    assert page.query_params["clone"] == first.job_id
    assert "job" not in page.query_params
    epochs = next(one for one in page.number_input if one.key == f"set_{first.job_id}_schedule.epochs")
    assert epochs.value == 9
    assert "`schedule.epochs` 3 → 9" in text_of(page)
    epochs.set_value(4).run()
    launch_button(page).click().run()
    assert "clone" not in page.query_params
    job = ready.store.job(page.query_params["job"])
    given = training_watch.recipe_of(job)
    assert (given.schedule.epochs, given.data.soft_labels) == (4, None)


def test_a_clone_of_nothing_is_one_sentence(ready: Workspace, open_page: OpenPage) -> None:
    page = open_page("train", clone="job-train-gone")
    assert "job-train-gone" in page.error[0].value.replace("\\", "")
    next(button for button in page.button if button.label == "Choose a recipe").click().run()
    assert field(page, "schedule.epochs").value == 3


def test_the_log_is_searched_and_matches_are_counted(ready: Workspace, open_page: OpenPage) -> None:
    launched = train(ready)
    log = folder_of(ready, launched.job_id).path / "log.txt"
    log.write_text("10:00 first\n10:01 epoch 1\n10:02 Epoch 2\n")
    page = open_page("train", job=launched.job_id, show="Log")
    page.text_input(key="log").set_value("epoch").run()
    assert "2 matches" in text_of(page)
    assert "10:01 epoch 1\n10:02 Epoch 2" in [code.value for code in page.code]


def test_the_worst_and_the_best_pairs_are_shown_with_texts_target_and_answer(
    ready: Workspace, open_page: OpenPage
) -> None:
    launched = train(ready)
    rows = [
        {
            "epoch": 2,
            "loss": loss,
            "pair_id": title,
            "dimensions": {"skills": {"from": "golden", "target": [0.0, 0.0, 1.0], "answer": answer}},
            "query": {"headline": "Baker <b>"},
            "document": {"title": title},
        }
        for loss, title, answer in ((2.5, "Far off", [0.7, 0.2, 0.1]), (0.1, "Near", [0.0, 0.1, 0.9]))
    ]
    artifacts = folder_of(ready, launched.job_id).artifacts
    (artifacts / "worst.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = open_page("train", job=launched.job_id, show=PAIRS)
    said = text_of(page)
    assert said.index("Far off") < said.index("Near")
    assert "Baker &lt;b&gt;" in said
    assert "wanted <b>2</b>" in said
    assert "said <b>0</b>" in said
    assert "Evaluation after epoch 2." in said
    best = open_page("train", job=launched.job_id, show=PAIRS, pairs="Best first")
    said = text_of(best)
    assert said.index("Near") < said.index("Far off")


def test_damaged_metrics_are_one_sentence(ready: Workspace, open_page: OpenPage) -> None:
    launched = train(ready)
    (folder_of(ready, launched.job_id).path / "metrics.jsonl").write_text("{broken\n")
    page = open_page("train", job=launched.job_id)
    assert "line 1: not JSON" in page.error[-1].value.replace("\\", "")


def test_curves_of_heads_and_speed_are_shown_where_they_are_reported(
    ready: Workspace, open_page: OpenPage
) -> None:
    launched = train(ready)
    row = {"step": 1, "epoch": 1, "loss": 1.5, "lr": 0.1, "skills.loss": 1.0, "wishes.loss": 2.0}
    (folder_of(ready, launched.job_id).path / "metrics.jsonl").write_text(json.dumps(row) + "\n")

    def titles(show: str) -> list[str]:
        said = text_of(open_page("train", job=launched.job_id, show=show))
        names = ("Loss", "Loss by head", "Gradient by head", "Learning rate", "GPU memory", "GPU in use")
        return [name for name in names if f'<div class="wb-eyebrow">{name}</div>' in said]

    assert titles("Curves") == ["Loss"]
    assert titles("By head") == ["Loss by head"]
    assert titles("Speed and gradient") == ["Learning rate"]
