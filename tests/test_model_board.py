"""The board of models: what stands on it, on which ground, from where, and what is known of cost."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from lineage_samples import NOW
from record_samples import weights
from workspace_samples import golden_set, pair, recorded_run, version

from workbench.errors import BadInput, NotFound
from workbench.files import write_text
from workbench.model_board import board, evaluate_command, grounds, record_board_looks
from workbench.model_evaluation import Latency, ModelEvaluation, Size, Speed
from workbench.model_rows import own_cost
from workbench.promotions import promote
from workbench.resampling import Estimate
from workbench.run import JudgeIdentity, Run
from workbench.store import StoredCheckpoint
from workbench.workspace import Workspace

CPU, GPU = "x86_64, 2 cores, 1 threads", "x86_64, 2 cores, 1 threads, A Fast GPU"
TEAS = [pair(f"wish {i}", f"tea {i}") for i in range(6)]
HELD = TEAS[4:]
GRADES = [{"taste": i % 3, "strength": i % 2} for i in range(6)]


def published(workspace: Workspace) -> str:
    """Publish ``tea`` v1, four dev and two holdout pairs, and return its hash."""
    return golden_set(workspace, list(zip(TEAS, GRADES, strict=True)), holdout=HELD).content_hash


def kept(workspace: Workspace, home: Path, name: str, kind: str = "student", **changes: Any) -> str:
    """Keep a checkpoint and return its id; ``changes`` are the recipe's."""
    record = weights(home / name, recipe=name, changes=changes)
    data = record.model_dump(mode="json")
    data["recipe"]["kind"] = kind
    workspace.store.save_checkpoint(
        StoredCheckpoint(
            id=record.name, name=name, created_at=NOW, folder=str(home / name), job_id="j", record=data
        )
    )
    return record.name


def evaluation(checkpoint: str, golden_hash: str, **changes: Any) -> ModelEvaluation:
    """An evaluation with κ overall 0.7, κ taste 0.6 and a loss of 0.1 in taste."""
    figures = {
        "kappa.overall": Estimate(0.7, 0.6, 0.8),
        "kappa.taste": Estimate(0.6, 0.5, 0.7),
        "ndcg@10": Estimate(0.9, 0.8, 1.0),
        "click.auc": Estimate(0.65, 0.6, 0.7),
        "calibration.ece": Estimate(0.05, 0.02, 0.1),
    }
    return ModelEvaluation.model_validate(
        {
            "checkpoint": checkpoint, "weights_hash": "sha256-1", "recipe": "tea", "policy": "tea-match",
            "policy_version": 1, "golden": "tea v1", "golden_hash": golden_hash, "split": "dev",
            "at": datetime(2026, 5, 1, tzinfo=UTC), "by": "Ida", "machine": CPU, "pairs": 4, "learnt": 2,
            "relevant_from": 2, "figures": figures,
            "size": Size(parameters=1000, megabytes=4.0, tokens=20, compute=50_000),
            "speed": Speed(pairs_per_s=200.0, latency_ms=Latency(median=5.0, p95=9.0)),
            "teacher": "teacher-1", "losses": {"kappa.taste": 0.1},
        }
        | changes
    )  # fmt: skip


def keep(workspace: Workspace, *found: ModelEvaluation) -> None:
    """Write evaluations as :func:`workbench.model_evaluations.evaluate` does."""
    for number, each in enumerate(found):
        path = workspace.settings.home / "evaluations" / f"{each.checkpoint}-{number}{each.split}.json"
        write_text(path, each.model_dump_json())


def paid(workspace: Workspace, run: Run, **totals: Any) -> None:
    """Say what a run took."""
    workspace.store.save_run(run.model_copy(update={"totals": run.totals.model_copy(update=totals)}))


def test_an_empty_board(workspace: Workspace) -> None:
    found = board(workspace, "tea-match")
    assert (found.rows, found.ground, found.names) == ((), None, [])
    with pytest.raises(NotFound, match="No policy is called 'coffee'"):
        board(workspace, "coffee")
    with pytest.raises(BadInput, match="has no dimension 'smell'"):
        board(workspace, "tea-match", dimension="smell")
    with pytest.raises(NotFound, match="tea v9"):
        board(workspace, "tea-match", ground="tea v9")


def test_judges_teachers_and_students_in_this_order(workspace: Workspace, tmp_path: Path) -> None:
    digest = published(workspace)
    teacher = kept(workspace, tmp_path, "policy-mini", kind="teacher")
    low, high = kept(workspace, tmp_path, "a-low"), kept(workspace, tmp_path, "z-high")
    bare = kept(workspace, tmp_path, "b-bare")
    keep(
        workspace,
        evaluation(low, digest),
        evaluation(high, digest, figures={"kappa.overall": Estimate(0.9, None, None)}, losses={}, speed=None),
        evaluation(teacher, "golden-elsewhere"),
    )
    right = list(zip(TEAS, GRADES, strict=True))
    run = recorded_run(workspace, "one", right, judge="a-model")
    # 6 pairs at 12 s and $0.03: 1,000 pairs take 2,000 s and $5.
    paid(workspace, run, calls=6, cost_usd=0.03, seconds=12.0)
    recorded_run(workspace, "old", right, judge="a-model", minute=-5)  # the same judge, earlier
    promote(workspace, low, "production", reason="good", author="Ida")

    found = board(workspace, "tea-match")
    assert found.ground is not None
    assert found.ground.label == "tea v1"
    assert [(row.kind, row.id) for row in found.rows] == [
        ("judge", "run-one"), ("teacher", teacher), ("student", high), ("student", low), ("student", bare),
    ]  # fmt: skip
    assert found.names == ["a-low", "a-model", "b-bare", "policy-mini", "z-high"]

    judge = found.row("run-one")
    assert judge.kappa.value == pytest.approx(1.0)  # it said what the labels say
    assert judge.usd == pytest.approx(5.0)
    assert judge.pairs_per_s == pytest.approx(0.5)
    assert (judge.ndcg, judge.parameters, judge.stage) == (None, None, None)

    one = found.row(low)
    assert (one.kappa, one.stage, one.learnt, one.pairs) == (Estimate(0.7, 0.6, 0.8), "production", 2, 4)
    assert (one.parameters, one.megabytes, one.compute) == (1000, 4.0, 50_000)
    assert (one.pairs_per_s, one.latency_ms, one.machine) == (200.0, 5.0, CPU)
    assert (one.loss, one.teacher) == (None, "teacher-1")  # of the overall grade no loss is known
    assert one.usd is None
    assert "resources.usd_per_hour" in one.usd_source
    assert one.ndcg == Estimate(0.9, 0.8, 1.0)

    nothing = found.row(bare)
    assert nothing.kappa == Estimate(None, None, None, "It was not measured on tea v1 (dev).")
    assert nothing.megabytes == pytest.approx(
        len("b-bare") / 1e6
    )  # the samples' weights are the recipe's name
    assert found.row(teacher).kappa.value is None  # measured elsewhere
    with pytest.raises(NotFound):
        found.row("gone")

    taste = board(workspace, "tea-match", dimension="taste").row(low)
    assert (taste.kappa.value, taste.loss) == (0.6, 0.1)
    elsewhere = board(workspace, "tea-match", split="holdout").row(low)
    assert elsewhere.kappa.value is None
    # What a model takes is known from its evaluation on other pairs.
    assert (elsewhere.pairs_per_s, elsewhere.machine, elsewhere.compute) == (200.0, CPU, 50_000)
    assert (found.row(high).pairs_per_s, found.row(high).machine) == (None, "")


def test_a_checkpoint_without_evaluation_stands_by_its_run(workspace: Workspace, tmp_path: Path) -> None:
    published(workspace)
    student = kept(workspace, tmp_path, "tea-mini")
    wrong = [
        (one, {"taste": 2 - grade["taste"], "strength": 0}) for one, grade in zip(TEAS, GRADES, strict=True)
    ]
    run = recorded_run(workspace, "eval", wrong)
    judge = JudgeIdentity(kind="checkpoint", name=student)
    workspace.store.save_run(run.model_copy(update={"judge": judge}))
    rows = board(workspace, "tea-match", dimension="taste").rows
    assert [row.id for row in rows] == [student]  # and no row for the run
    # Dev: labels 0 1 2 0, answers 2 1 0 2. Disagreement 3·4/9 ÷ chance: mean of (i-j)² over all 16
    # combinations = (4+1+0+4 + 1+0+1+1 + 0+1+4+0 + 4+1+0+4)/16 = 26/16, observed 12/4 = 3: κ = 1 - 3/(26/16).
    assert rows[0].kappa.value == pytest.approx(1 - 3 / (26 / 16))
    assert rows[0].source == "run run-eval, not evaluated"


def test_only_what_was_measured_on_the_ground(workspace: Workspace, tmp_path: Path) -> None:
    first = published(workspace)
    student = kept(workspace, tmp_path, "tea-mini")
    clicks = {"clicks": "shop", "clicks_hash": "c"}
    keep(
        workspace,
        evaluation(student, first, at=datetime(2026, 5, 3, tzinfo=UTC)),
        evaluation(student, first, **clicks, pairs=3),
        evaluation(student, first, split="holdout", pairs=2),
    )
    # The older one with clicks goes before the newer one without: it has all that the other has.
    assert board(workspace, "tea-match").row(student).pairs == 3
    assert board(workspace, "tea-match", split="holdout").row(student).pairs == 2
    every = grounds(workspace, "tea-match")
    assert [(each.label, each.measured) for each in every] == [("tea v1", 3)]
    assert grounds(workspace, "coffee") == []


def test_what_is_stale(workspace: Workspace, tmp_path: Path) -> None:
    published(workspace)
    student = kept(workspace, tmp_path, "tea-mini")
    recorded_run(workspace, "one", list(zip(TEAS, GRADES, strict=True)))
    assert all(not row.stale for row in board(workspace, "tea-match").rows)
    workspace.store.add_policy(version(2))
    why = ("It was made under tea-match v1; v2 is the newest.",)
    assert [(row.id, row.stale) for row in board(workspace, "tea-match").rows] == [
        ("run-one", why), (student, why),
    ]  # fmt: skip


def test_looks_at_the_holdout_are_written_down(workspace: Workspace, tmp_path: Path) -> None:
    digest = published(workspace)
    student = kept(workspace, tmp_path, "tea-mini")
    keep(workspace, evaluation(student, digest), evaluation(student, digest, split="holdout"))
    recorded_run(workspace, "one", list(zip(TEAS, GRADES, strict=True)))
    record_board_looks(workspace, board(workspace, "tea-match"), "Bo", "Models")
    assert len(workspace.store.looks("tea")) == 0
    record_board_looks(workspace, board(workspace, "tea-match", split="holdout"), "Bo", "Models")
    looks = workspace.store.looks("tea")
    assert sorted(looks["run_id"]) == sorted([student, "run-one"])
    assert set(looks["who"]) == {"Bo"}


def test_what_a_model_of_ours_costs() -> None:
    timed = evaluation("x", "g")
    # $0.36 an hour is $0.0001 a second; 1,000 pairs at 200 a second take 5 s.
    usd, why = own_cost({"usd_per_hour": 0.36, "gpus": 0}, timed)
    assert usd == pytest.approx(0.0005)
    assert why == "$0.36 an hour at 200 pairs/s"
    on_gpu = timed.model_copy(update={"machine": GPU})
    assert own_cost({"usd_per_hour": 0.36, "gpus": 1}, on_gpu)[0] == pytest.approx(0.0005)
    for resources, found, reason in (
        ({}, timed, "does not say what a device costs"),
        ({"usd_per_hour": 3.6}, None, "speed was not measured"),
        ({"usd_per_hour": 3.6}, timed.model_copy(update={"speed": None}), "speed was not measured"),
        (
            {"usd_per_hour": 3.6, "gpus": 1},
            timed,
            "measured on a CPU, and the price of its recipe is that of a GPU",
        ),
        (
            {"usd_per_hour": 3.6, "gpus": 0},
            on_gpu,
            "measured on a GPU, and the price of its recipe is that of a CPU",
        ),
    ):
        usd, why = own_cost(resources, found)
        assert usd is None
        assert reason in why


def test_the_command_that_measures(workspace: Workspace) -> None:
    published(workspace)
    ground = grounds(workspace, "tea-match")[0]
    assert evaluate_command("s-1", ground, "holdout", "t-1", "shop") == (
        "workbench evaluate s-1 --golden tea@1 --split holdout --clicks shop --against t-1"
    )
    assert evaluate_command("s-1", None, "dev") == "workbench evaluate s-1"
