"""Checkpoints evaluated as a person would: real tiny models, golden set, click log, holdout, teacher, files kept."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from evaluation_samples import QUERIES, grades, published, teas, trained
from training_samples import Heard, policy
from workspace_samples import version

from workbench.agreement import agreement
from workbench.checkpoint_figures import (
    Answers,
    expected_overall,
    policy_figures,
)
from workbench.errors import BadInput, NotFound, Refused
from workbench.golden import GoldenSet
from workbench.judges.checkpoint import CheckpointJudge
from workbench.model_evaluation import ModelEvaluation
from workbench.model_evaluations import evaluate, evaluations, ledger_rows, record_looks
from workbench.resampling import Estimate
from workbench.training.model import load_checkpoint, write_record
from workbench.training.predict import Predictor
from workbench.training.record import CheckpointRecord, heads_of
from workbench.training_split import training_split
from workbench.workspace import Workspace

DEV = [item for item in teas() if item.query["wishes"] != "mild b"]


@pytest.fixture
def golden(workspace: Workspace) -> GoldenSet:
    """The golden set and the log."""
    return published(workspace)


@pytest.fixture
def student(workspace: Workspace, golden: GoldenSet, tmp_path: Path) -> CheckpointRecord:
    """A model that learnt a little, with both heads; some of the seven dev queries are kept for validation."""
    return trained(workspace, golden, tmp_path / "made", "tea-mini", schedule={"epochs": 8})


def run(workspace: Workspace, name: str, **more: object) -> ModelEvaluation:
    """Evaluate without measuring speed."""
    return evaluate(workspace, name, author="Ida", reporter=Heard(), speed=False, **more)  # type: ignore[arg-type]


def test_grades_are_those_of_the_judge(workspace: Workspace, student: CheckpointRecord) -> None:
    found = run(workspace, "tea-mini")
    judge = CheckpointJudge(Path(workspace.store.checkpoint("tea-mini").folder))
    tea = workspace.store.policy("tea-match")

    async def graded() -> dict[str, dict[str, int]]:
        return {
            verdict.pair_id: {j.dimension: j.grade for j in verdict.judgements}
            async for verdict in judge.grade(tea, DEV)
        }

    said = asyncio.run(graded())
    queries = [item.query_id for item in DEV]
    for key in ("taste", "strength"):
        mine = np.array([said[item.id][key] for item in DEV])
        human = np.array([grades(item)[key] for item in DEV])
        expected = agreement(mine, human, queries, tea.scale(key)).kappa_quadratic
        kept = found.figures[f"kappa.{key}"]
        assert (kept.value, kept.low, kept.high) == (expected.value, expected.low, expected.high)
    # Strength is 1 or N/A throughout, so it has no kappa, and the mean is that of taste.
    assert found.figures["kappa.strength"].value is None
    assert found.figures["kappa"].value == pytest.approx(found.figures["kappa.taste"].value)
    assert found.figures["kappa"].low is not None
    assert found.figures["kappa.overall"].value is not None
    assert (found.pairs, found.golden, found.split, found.policy_version) == (28, "tea v1", "dev", 1)
    assert (found.weights_hash, found.recipe, found.by) == (student.weights_hash, "tea-mini", "Ida")
    # The overall scale is 0 to 2; three quarters of 2 is 1.5, so MRR looks for a 2.
    assert found.relevant_from == 2
    for key in ("ndcg@10", "mrr", "calibration.ece"):
        value = found.figures[key].value
        assert value is not None
        assert 0 <= value <= 1
    assert "click.auc" not in found.figures
    assert found.speed is None
    assert found.size.parameters > found.size.megabytes * 1e6 / 8
    assert (found.size.compute or 0) > 0


def test_perfect_answers_have_perfect_figures() -> None:
    tea = policy()
    heads = heads_of(tea)
    human = {
        "taste": np.array([2, 1, 0, 0, 1, 2]),
        "strength": np.array([1, 0, -2, 1, 0, 1]),
        "overall": np.array([2, 1, 0, 0, 1, 2]),
    }
    sure = {
        "taste": np.eye(3)[human["taste"]],
        "strength": np.eye(3)[np.where(human["strength"] < 0, 2, human["strength"])],
    }
    record = CheckpointRecord.model_construct(heads=heads)
    made = policy_figures(tea, record, Answers(sure, None), human, np.array([0, 0, 0, 1, 1, 1]))
    values = {key: estimate.value for key, estimate in made.figures.items()}
    assert values == {
        "kappa": 1, "kappa.taste": 1, "kappa.strength": 1, "kappa.overall": 1, "ndcg@10": 1, "mrr": 1,
        "calibration.ece": 0,
    }  # fmt: skip
    # A checkpoint without a head for strength has no overall grade to rank by, and says so.
    record = CheckpointRecord.model_construct(heads=heads[:1])
    made = policy_figures(tea, record, Answers(sure, None), human, np.array([0, 0, 0, 1, 1, 1]))
    assert made.figures["kappa.taste"].value == 1
    assert made.figures["kappa"].value == 1
    for key in ("kappa.strength", "kappa.overall", "ndcg@10", "mrr"):
        assert made.figures[key].value is None
        assert "no head for 'strength'" in made.figures[key].reason


def test_expected_overall_by_hand() -> None:
    tea = policy()
    heads = {head.key: head for head in heads_of(tea)}
    na = [0.0, 0.0, 1.0]
    classes = {
        "taste": np.array([[0, 0, 1], [0.25, 0, 0.75], [0, 1, 0], [0, 0.5, 0.5]]),
        "strength": np.array([na, na, [0.5, 0.5, 0], [1, 0, 0]]),
    }
    # Taste weighs 3, strength 1; cut points .5 and 1.5; taste 0 holds the overall grade at 0.
    # 2 alone: 2. 0 or 2 alone: .75 · 2 = 1.5. 1 with strength 0 or 1: .75 or 1, both grade 1.
    # 1 or 2 with strength 0: .75 is grade 1, 6/4 = 1.5 is grade 2: 1.5.
    assert expected_overall(tea, heads, classes) == pytest.approx([2, 1.5, 1, 1.5])


def test_clicks_on_queries_that_training_did_not_learn_from(
    workspace: Workspace, student: CheckpointRecord
) -> None:
    tea = workspace.store.policy("tea-match")
    aside = training_split(workspace, student, tea)
    assert aside.learnt is not None
    assert aside.validation
    # round(0.3 · 7 dev queries) = 2 are kept aside.
    assert (len(aside.learnt), len(aside.validation)) == (5, 2)
    found = run(workspace, "tea-mini", clicks="shop")
    used = [item for item in DEV if item.query_id in aside.validation]
    assert len(used) == 8
    assert found.impressions == 24  # three a pair
    assert found.learnt == 20
    assert found.note == "Clicks are on the 8 of 28 pairs whose query training did not learn from."
    assert (found.clicks, found.clicks_simulated) == ("shop", False)
    # By hand from the click head: each wanted pair has 2 clicks of 3, the others none.
    predictor = Predictor(load_checkpoint(Path(workspace.store.checkpoint("tea-mini").folder)))
    click = np.empty(8)
    for batch in predictor.predict(used):
        assert batch.click is not None
        click[batch.rows] = batch.click
    clicks = np.array([2.0 if grades(item)["taste"] == 2 else 0.0 for item in used])
    won = [
        c * n * (1.0 if p > q else 0.5 if p == q else 0.0)
        for p, c in zip(click, clicks, strict=True)
        for q, n in zip(click, 3 - clicks, strict=True)
    ]
    assert found.figures["click.auc"].value == pytest.approx(sum(won) / (clicks.sum() * (3 - clicks).sum()))
    loss = -(clicks * np.log(click) + (3 - clicks) * np.log(1 - click)).sum() / 24
    assert found.figures["click.log_loss"].value == pytest.approx(loss, rel=1e-4)
    ece = found.figures["click.ece"].value
    assert ece is not None
    assert 0 < ece < 1


def test_without_a_lineage_clicks_are_on_all_pairs_and_the_note_says_so(
    workspace: Workspace, student: CheckpointRecord
) -> None:
    folder = Path(workspace.store.checkpoint("tea-mini").folder)
    write_record(folder, student.model_copy(update={"figures": {"pairs": 3, "validation_pairs": 1}}))
    found = run(workspace, "tea-mini", clicks="shop")
    assert (found.impressions, found.learnt) == (84, None)
    assert found.note == (
        "Clicks are on all 28 pairs, learnt from or not: its record and its lineage do not state the same number of "
        "pairs."
    )
    assert "mild b" in QUERIES  # the holdout's query is in the log and not among the 28


def test_an_evaluation_is_kept_once(workspace: Workspace, student: CheckpointRecord) -> None:
    first = run(workspace, "tea-mini")
    again = run(workspace, str(Path(workspace.store.checkpoint("tea-mini").folder)))
    folder = workspace.settings.home / "evaluations"
    assert [path.name.startswith(f"{student.name}-") for path in folder.iterdir()] == [True]
    assert evaluations(workspace) == [again]
    assert first.figures == again.figures
    run(workspace, "tea-mini", clicks="shop")
    assert len(evaluations(workspace, policy="tea-match")) == 2
    assert evaluations(workspace, policy="coffee") == []
    assert workspace.store.events()[0]["what"] == "evaluated"
    next(folder.iterdir()).write_text("{}")
    with pytest.raises(BadInput, match=r"evaluations.*\.json"):
        evaluations(workspace)


def test_a_look_at_the_holdout_is_written_down(workspace: Workspace, student: CheckpointRecord) -> None:
    found = run(workspace, "tea-mini", split="holdout", clicks="shop")
    assert (found.pairs, found.learnt, found.impressions) == (4, 0, 12)
    looks = workspace.store.looks("tea")
    assert looks[["run_id", "who", "place"]].to_numpy().tolist() == [[student.name, "Ida", "evaluate"]]
    assert found.figures["kappa.taste"].reason == "No interval: all comparable pairs belong to one query."
    run(workspace, "tea-mini")
    assert len(workspace.store.looks("tea")) == 1  # dev is no look
    record_looks(workspace, evaluations(workspace), "Bo", "ledger")
    assert workspace.store.looks("tea")["who"].tolist() == ["Bo", "Ida"]


def test_losses_against_a_teacher(
    workspace: Workspace, golden: GoldenSet, student: CheckpointRecord, tmp_path: Path
) -> None:
    teacher = trained(
        workspace,
        golden,
        tmp_path / "big",
        "tea-big",
        data={"clicks": None},
        schedule={"epochs": 30},
        layers=1,
    )
    found = evaluate(workspace, "tea-mini", against="tea-big", clicks="shop", author="Ida", reporter=Heard())
    kept = {each.checkpoint: each for each in evaluations(workspace)}
    other = kept[teacher.name]
    assert kept[student.name] == found
    assert found.teacher == teacher.name
    for key in ("kappa.taste", "ndcg@10", "mrr"):
        theirs, mine = other.figures[key].value, found.figures[key].value
        assert theirs is not None
        assert mine is not None
        assert found.losses[key] == pytest.approx(theirs - mine)
    # An error is worse when it is larger: the other way round.
    theirs, mine = other.figures["calibration.ece"].value, found.figures["calibration.ece"].value
    assert theirs is not None
    assert mine is not None
    assert found.losses["calibration.ece"] == pytest.approx(mine - theirs)
    assert "click.auc" not in found.losses
    assert other.figures["click.auc"].reason == f"{teacher.name} has no click head."
    # One layer of 4 · 256 attention and 2 · 512 MLP weights against two, at the same lengths.
    t = found.size.tokens
    assert found.size.compute == 2 * (2 * 2048 * t + 4 * t * t * 16)
    assert found.share == pytest.approx(2)
    assert found.speed is not None
    assert found.speed.pairs_per_s > 0
    assert 0 < found.speed.latency_ms.median <= found.speed.latency_ms.p95
    at = other.at
    run(workspace, "tea-mini", against="tea-big", clicks="shop")
    again = {each.checkpoint: each for each in evaluations(workspace)}
    assert again[teacher.name].at == at  # it was kept, so it was not asked again

    rows = ledger_rows(evaluations(workspace))
    assert [row["checkpoint"] for row in rows] == [student.name, teacher.name]  # smallest last
    assert list(rows[0]) == list(rows[1])
    assert rows[0]["kappa.taste loss"] == found.losses["kappa.taste"]
    assert rows[1]["kappa.taste loss"] is None
    assert isinstance(rows[1]["kappa.taste"], Estimate)
    with pytest.raises(BadInput, match="cannot be its own teacher"):
        run(workspace, "tea-mini", against="tea-mini")


def test_what_is_refused(workspace: Workspace, student: CheckpointRecord) -> None:
    with pytest.raises(NotFound, match="No checkpoint is called 'coffee'"):
        run(workspace, "coffee")
    with pytest.raises(BadInput, match="tea has no snapshot 7"):
        run(workspace, "tea-mini", golden="tea@7")
    with pytest.raises(BadInput, match="'x' is no version of tea"):
        run(workspace, "tea-mini", golden="tea@x")
    with pytest.raises(NotFound, match="No click log is called 'web'"):
        run(workspace, "tea-mini", clicks="web")
    workspace.store.add_policy(version(1).model_copy(update={"name": "coffee-match"}))
    workspace.store.create_golden("coffee", "coffee-match")
    with pytest.raises(BadInput, match="coffee is labelled under coffee-match"):
        run(workspace, "tea-mini", golden="coffee")
    folder = Path(workspace.store.checkpoint("tea-mini").folder)
    write_record(folder, student.model_copy(update={"policy_hash": "policy-0"}))
    with pytest.raises(Refused, match="another tea-match v1 than the published one"):
        run(workspace, "tea-mini", split="holdout")
    assert len(workspace.store.looks("tea")) == 0
    assert not list((workspace.settings.home / "evaluations").glob("*"))


def test_a_file_reads_back_as_it_was(workspace: Workspace, student: CheckpointRecord) -> None:
    found = run(workspace, "tea-mini", clicks="shop")
    text = found.model_dump_json()
    assert ModelEvaluation.model_validate_json(text) == found
    assert json.loads(text)["figures"]["kappa"].keys() == {"value", "low", "high", "reason"}
