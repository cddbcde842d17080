"""Clean-up: what can go, what cannot and why, what is left of it; nothing that something descends from ever goes."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from dataset_samples import candidates, recipe, write_pool
from dataset_samples import published as published_teas
from hypothesis import given
from hypothesis import strategies as st
from lineage_samples import NOW, checkpoint, days_ago, ended, judged, published, trained
from trial_samples import Held, work

from workbench import jobs
from workbench.clean_up import CleanUp, clean_up, plan_clean_up, was_removed
from workbench.clean_up_rules import KINDS, Facts, JobFact, Thing, why_kept
from workbench.datasets import dataset, datasets, start_dataset
from workbench.errors import BadInput, NotFound
from workbench.lineage_graph import Node, descendants, graph
from workbench.run import JobSpec
from workbench.store import StoredJob
from workbench.workspace import Workspace


def reasons(plan: CleanUp) -> dict[tuple[str, str], str]:
    return {(item.thing.kind, item.thing.key): item.keep for item in plan.items}


def files(job: StoredJob) -> list[str]:
    folder = Path(job.folder)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def tea(workspace: Workspace) -> Workspace:
    published(workspace)
    return workspace


def test_files_of_an_old_run_go_and_a_stub_stays(tea: Workspace) -> None:
    job = judged(tea, "old")
    plan = plan_clean_up(tea, older_than_days=30)
    assert reasons(plan) == {("runs", job.spec.id): ""}
    size = sum(path.stat().st_size for path in Path(job.folder).rglob("*") if path.is_file())
    assert plan.items[0].bytes == size
    done = clean_up(tea, plan, "Ida")
    assert (len(done.removed), done.kept, done.freed) == (1, (), size)
    assert files(job) == ["removed.json", "result.json", "spec.json"]
    assert was_removed(job) == f"Its files were removed on {NOW:%Y-%m-%d} by Ida; what is in the store stays."
    assert not list(tea.jobs_folder.glob(".*"))
    assert len(tea.store.judged_pairs("run-old", limit=9)) == 3
    assert jobs.state(tea, job).status == "finished"
    event = tea.store.events(1)[0]
    assert (event["who"], event["what"], event["subject"]) == ("Ida", "cleaned up", job.spec.id)
    assert plan_clean_up(tea, older_than_days=30).items == ()  # nothing is left to go


def test_what_is_too_young_or_of_another_kind_stays(tea: Workspace) -> None:
    judged(tea, "young", days=3)
    plan = plan_clean_up(tea, older_than_days=30)
    assert reasons(plan) == {("runs", "job-run-young"): "it is not old enough"}
    assert reasons(plan_clean_up(tea, older_than_days=2, kinds=["caches"])) == {
        ("runs", "job-run-young"): "runs were not chosen"
    }
    assert len(plan_clean_up(tea, older_than_days=2).going) == 1
    with pytest.raises(BadInput):
        plan_clean_up(tea, older_than_days=-1)
    with pytest.raises(BadInput):
        plan_clean_up(tea, kinds=["everything"])  # type: ignore[list-item]


def test_a_run_that_a_student_learnt_from_stays(tea: Workspace) -> None:
    judged(tea, "soft")
    checkpoint(tea, "student-3", soft_run="run-soft")
    assert reasons(plan_clean_up(tea, kinds=KINDS)) == {
        ("runs", "job-run-soft"): "student-3 descends from it"
    }


def test_a_run_whose_judgements_are_not_all_in_the_store_stays(tea: Workspace) -> None:
    job = judged(tea, "cut")
    run = tea.store.run("run-cut")
    tea.store.save_run(run.model_copy(update={"totals": run.totals.model_copy(update={"pairs": 4})}))
    assert reasons(plan_clean_up(tea))["runs", job.spec.id] == "not all of its judgements are in the store"


def test_an_open_job_and_one_that_was_not_collected_stay(tea: Workspace) -> None:
    held = replace(tea, executor=Held())
    spec, folder = jobs.prepare(
        tea, "trial", job_id="job-trial-1", title="A trial", author="Ida", payload={"asks": "job-run-mine"}
    )
    jobs.submit(held, spec, folder)
    judged(held, "mine", status="cancelled")
    found = reasons(plan_clean_up(held, older_than_days=0, kinds=KINDS))
    assert found["reports", "job-trial-1"] == "it waits for its turn"
    ended(held, "lint", "job-lint-1", status="failed", collect=False)
    found = reasons(plan_clean_up(held, older_than_days=0, kinds=KINDS))
    assert found["unfinished", "job-lint-1"] == "what it made is not in the store yet"
    assert found["unfinished", "job-run-mine"] == "A trial needs it"


def test_what_can_be_resumed_goes_only_where_that_is_given_up(tea: Workspace) -> None:
    job = judged(tea, "stopped", status="cancelled")
    assert reasons(plan_clean_up(tea))["unfinished", job.spec.id] == "it can still be resumed"
    clean_up(tea, plan_clean_up(tea, kinds=["unfinished"]), "Ida")
    assert was_removed(job)


def test_weights_and_reports_are_never_removed(tea: Workspace) -> None:
    student = trained(tea, "student", status="cancelled", soft_run="run-x")
    ended(tea, "probe", "job-probe-1", files={"artifacts/report.json": "{}"})
    found = reasons(plan_clean_up(tea, older_than_days=0, kinds=KINDS))
    assert found["weights", student.spec.id] == "the store points to its weights"
    assert found["reports", "job-probe-1"] == "its report is kept nowhere else"
    assert found["training states", student.spec.id] == ""
    assert (
        reasons(plan_clean_up(tea, kinds=["training states"]))["training states", student.spec.id]
        == "it can still be resumed"
    )
    plan = plan_clean_up(tea, older_than_days=0, kinds=KINDS)
    assert [item.bytes for item in plan.going] == [9000]
    clean_up(tea, plan, "Ida")
    assert "artifacts/checkpoint/model.safetensors" in files(student)
    assert "artifacts/state.safetensors" not in files(student)
    checkpoint(tea, "tiny-1", parents=["student-3f9a1c20"])
    assert reasons(plan_clean_up(tea))["weights", student.spec.id] == "tiny-1 descends from it"


def test_only_caches_that_are_computed_again_go_and_only_while_nothing_runs(tea: Workspace) -> None:
    for name in ("verdicts.sqlite", "embeddings-1a.sqlite", "embeddings-1a.sqlite-wal", "batches.sqlite"):
        tea.cache_folder.mkdir(parents=True, exist_ok=True)
        (tea.cache_folder / name).write_text("12345")
    found = reasons(plan_clean_up(tea, older_than_days=0))
    assert found == {
        ("caches", "verdicts"): "answers in it were paid for",
        ("caches", "batches"): "it may be the only copy",
        ("caches", "embeddings-1a"): "",
    }
    plan = plan_clean_up(tea, older_than_days=0)
    spec, folder = jobs.prepare(tea, "trial", job_id="job-t", title="A trial", author="Ida", payload={})
    held = replace(tea, executor=Held())
    jobs.submit(held, spec, folder)
    done = clean_up(held, plan, "Ida")  # it was started after the plan was made
    assert [item.keep for item in done.kept] == ["A trial is running and may use it"]
    assert len(list(tea.cache_folder.iterdir())) == 4
    jobs.folder_of(tea, "job-t").path.joinpath("result.json").write_text(
        json.dumps({"status": "failed", "finished_at": NOW.isoformat()})
    )
    assert clean_up(tea, plan, "Ida").freed == 10
    assert sorted(path.name for path in tea.cache_folder.iterdir()) == ["batches.sqlite", "verdicts.sqlite"]


@pytest.fixture
def with_dataset(workspace: Workspace, tmp_path: Path) -> tuple[Workspace, str]:
    """A workspace with a data set that the lexical baseline made, and the id of its job."""
    published_teas(workspace)
    write_pool(tmp_path, candidates(6))
    job_id = start_dataset(replace(workspace, executor=Held()), recipe(), tmp_path, author="Ida")
    work(workspace, job_id)
    jobs.collect(workspace)
    return workspace, job_id


def test_the_job_of_a_data_set_goes_and_the_data_set_stays(with_dataset: tuple[Workspace, str]) -> None:
    workspace, job_id = with_dataset
    made = dataset(workspace, "teas")
    checkpoint(workspace, "student-1", dataset=made.card.id)
    done = clean_up(workspace, plan_clean_up(workspace, older_than_days=0, kinds=KINDS), "Ida")
    assert job_id in [item.thing.key for item in done.removed]
    assert files(workspace.store.job(job_id)) == ["removed.json", "result.json", "spec.json"]
    assert dataset(workspace, "teas").rows.exists()
    stays = reasons(plan_clean_up(workspace, older_than_days=0, kinds=KINDS))
    assert stays["data sets", made.card.id] == "student-1 descends from it"


def test_a_data_set_that_nothing_was_made_from_goes_and_does_not_come_back(
    with_dataset: tuple[Workspace, str],
) -> None:
    workspace, _ = with_dataset
    made = dataset(workspace, "teas")
    students = workspace.root / "students"
    students.mkdir(exist_ok=True)
    for text in ("data: {golden: tea, dataset: teas}", f"data:\n  dataset: '{made.card.id}'  # new\n"):
        (students / "tea-mini.yaml").write_text(text)
        found = reasons(plan_clean_up(workspace, older_than_days=0, kinds=["data sets"]))
        assert found["data sets", made.card.id] == "the recipe tea-mini names it"
    (students / "tea-mini.yaml").write_text("data: {golden: tea, dataset: teas-of-another}")
    plan = plan_clean_up(workspace, older_than_days=0, kinds=["data sets"])
    (going,) = plan.going
    # Rows and card lie in both folders under two names: what is freed counts once.
    assert going.bytes == sum(path.stat().st_size for path in made.folder.iterdir())
    assert clean_up(workspace, plan, "Ida").removed == (going,)
    assert datasets(workspace) == []
    with pytest.raises(NotFound):
        dataset(workspace, "teas")


def test_what_is_started_in_the_moment_of_the_removal_keeps_its_data_set(
    with_dataset: tuple[Workspace, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, _ = with_dataset
    made = dataset(workspace, "teas")
    plan = plan_clean_up(workspace, older_than_days=0, kinds=["data sets"])
    rename = Path.rename

    def start_and_rename(path: Path, target: Path) -> Path:
        if path == made.folder:  # after the first look, before the second
            ended(
                workspace, "training", "job-train-x", title="tea-mini", status="failed",
                payload={"training": {"dataset": str(path), "dataset_id": made.card.id}},
            )  # fmt: skip
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", start_and_rename)
    done = clean_up(workspace, plan, "Ida")
    assert [item.keep for item in done.kept] == ["tea-mini needs it and can still be resumed"]
    assert dataset(workspace, "teas").rows.exists()
    assert not list(made.folder.parent.glob(".*"))


def test_a_folder_that_cannot_be_renamed_stays_with_the_reason(
    tea: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = judged(tea, "locked")
    plan = plan_clean_up(tea)

    def refuse(path: Path, target: Path) -> Path:
        raise PermissionError(13, os.strerror(13), str(path))

    monkeypatch.setattr(Path, "rename", refuse)
    assert [item.keep for item in clean_up(tea, plan, "Ida").kept] == [
        "it could not be removed (Permission denied)"
    ]
    assert "judgements.jsonl" in files(job)


def test_what_a_cut_short_clean_up_left_goes_with_the_next(tea: Workspace) -> None:
    at = int((NOW - timedelta(hours=2)).timestamp())
    for name in (
        f".trash-{at}-0a1b2c3d-job-run-x",
        f".trash-{int(NOW.timestamp())}-0a1b2c3d-new",
        ".trash-odd",
    ):
        folder = tea.jobs_folder / name
        folder.mkdir(parents=True)
        (folder / "file").write_text("123")
    done = clean_up(tea, plan_clean_up(tea, kinds=[]), "Ida")
    assert [item.bytes for item in done.removed] == [3]
    assert len(list(tea.jobs_folder.glob(".trash*"))) == 2  # one may be somebody's at this moment


def test_two_clean_ups_at_once_remove_a_thing_once(tea: Workspace) -> None:
    job = judged(tea, "twice")
    plan = plan_clean_up(tea)
    clean_up(tea, plan, "Ida")
    clean_up(tea, plan, "Ben")
    assert files(job) == ["removed.json", "result.json", "spec.json"]
    shutil.rmtree(job.folder)
    assert was_removed(job) == ""


@st.composite
def families(draw: st.DrawFn) -> Facts:
    """Runs, data sets and checkpoints made from one another, their jobs in any state."""
    count = draw(st.integers(1, 8))
    nodes, known = [], []
    for i in range(count):
        kind = draw(st.sampled_from(["run", "evaluation", "data set", "checkpoint"]))
        nodes.append(Node(id=f"{kind}:n{i}", kind=kind, name=f"n{i}"))
        job_kind = {"data set": "dataset", "checkpoint": "training"}.get(kind, "judge_run")
        spec = JobSpec(
            id=f"job-n{i}", kind=job_kind, title=f"job-n{i}", created_at=NOW, payload={"run_id": f"n{i}"}
        )
        status = draw(st.sampled_from(["finished", "failed", "cancelled", "running"]))
        known.append(
            JobFact(spec, status, status != "running" and draw(st.booleans()), days_ago(90), f"/jobs/n{i}")
        )
    # Records may claim anything: edges in any direction.
    edges = draw(st.lists(st.tuples(*[st.integers(0, count - 1)] * 2), max_size=14))
    return Facts(
        graph=graph(nodes, [(nodes[a].id, nodes[b].id) for a, b in edges]),
        jobs=tuple(known),
        checkpoints={f"job-n{i}": f"n{i}" for i, node in enumerate(nodes) if node.kind == "checkpoint"},
        datasets=frozenset(f"n{i}" for i in range(count)),
        recipes={},
        before=days_ago(0),
        kinds=frozenset(KINDS),
        complete=lambda run_id: True,
    )


@given(families())
def test_nothing_with_a_living_descendant_is_ever_let_go(facts: Facts) -> None:
    for node in facts.graph.nodes.values():
        key = node.name if node.kind == "data set" else f"job-{node.name}"
        kinds = {"data set": ["data sets"], "checkpoint": ["weights"]}.get(node.kind, ["runs", "unfinished"])
        for kind in kinds:
            thing = Thing(kind, key, node.name, days_ago(90), ())  # type: ignore[arg-type]
            kept = why_kept(thing, facts)
            if descendants(facts.graph, node.id):
                assert kept
            elif kind == "runs" and all(job.status == "finished" and job.collected for job in facts.jobs):
                assert kept == ""  # the rules are not simply always no
            assert kind != "weights" or kept


def test_what_an_unfinished_pipeline_made_stays() -> None:
    facts = Facts(
        graph=graph([], []),
        jobs=(),
        checkpoints={},
        datasets=frozenset({"pool-1"}),
        recipes={},
        before=days_ago(0),
        kinds=frozenset(KINDS),
        complete=lambda run_id: True,
        pipelines={"refresh-7": frozenset({"pool-1"})},
    )
    assert why_kept(Thing("data sets", "pool-1", "pool", days_ago(90), ()), facts) == (
        "the pipeline refresh-7 needs it"
    )
    assert why_kept(Thing("data sets", "pool-2", "pool", days_ago(90), ()), facts) == ""
