"""Click heads, adapters, starting from a checkpoint, data sets, clicks and teachers, on tiny random models."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from training_samples import Heard, examples, golden, pair, policy, recipe, tiny  # noqa: E402

from workbench.errors import BadInput, Refused  # noqa: E402
from workbench.golden import Pair  # noqa: E402
from workbench.recipe import Teacher  # noqa: E402
from workbench.run import Judgement  # noqa: E402
from workbench.training.batches import Cells, query_batches  # noqa: E402
from workbench.training.data import Cell, Example, add_clicks, add_dataset, split_examples  # noqa: E402
from workbench.training.fit import fit  # noqa: E402
from workbench.training.model import load_checkpoint, new_scorer, save_checkpoint  # noqa: E402
from workbench.training.overfit import overfit  # noqa: E402
from workbench.training.record import CLICK, CheckpointRecord, read_record  # noqa: E402
from workbench.training.teaching import teach  # noqa: E402

LORA = {"rank": 4, "alpha": 8, "dropout": 0.0}
CLICKS = {"clicks": "log"}


@pytest.fixture(scope="module", params=["encoder", "decoder"])
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder, then a tiny decoder."""
    return tiny(tmp_path_factory.mktemp(request.param) / "model", request.param)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder."""
    return tiny(tmp_path_factory.mktemp("encoder") / "model")


def answers(folder: Path) -> dict[str, Any]:
    """What a checkpoint says of the sample's pairs."""
    loaded = load_checkpoint(folder)
    with torch.inference_mode():
        logits: dict[str, Any] = loaded.scorer(
            loaded.tokens.pad(loaded.tokens.encode([e.pair for e in examples()]))
        )
    return logits


def shown(count: int = 12) -> list[Example]:
    """The sample without labels: where wish and note agree, 8 of 10 first places are clicked, 4 of 10 second places."""
    found = []
    for e in examples(count):
        good = e.golden["taste"][2] == 1.0
        cells = (Cell(1, 10, 8 if good else 1, 1.0), Cell(2, 10, 4 if good else 1, 0.5))
        found.append(replace(e, golden={}, settled={}, cells=cells))
    return found


# Adapters


def test_an_adapter_changes_nothing_at_first_and_alone_is_trained(backbone: Path) -> None:
    plain, tokens = new_scorer(recipe(backbone), policy())
    adapted, _ = new_scorer(recipe(backbone, adapter=LORA), policy())
    batch = tokens.pad(tokens.encode([e.pair for e in examples(3)]))
    with torch.inference_mode():
        assert torch.equal(plain.eval().features(batch), adapted.eval().features(batch))
    trained = [name for name, p in adapted.backbone.named_parameters() if p.requires_grad]
    assert trained
    assert all(".lora_" in name for name in trained)


def test_adapters_are_merged_into_a_plain_checkpoint(backbone: Path, tmp_path: Path) -> None:
    student = recipe(backbone, adapter=LORA, schedule={"learning_rate": 1e-2})
    done = fit(student, policy(), examples(), tmp_path / "out", Heard())
    from safetensors import safe_open

    with safe_open(done.folder / "model.safetensors", framework="pt") as file:
        assert not any("lora" in name or "base_layer" in name for name in file.keys())  # noqa: SIM118
    pretrained, _ = new_scorer(recipe(backbone), policy())
    merged = load_checkpoint(done.folder).scorer.backbone.state_dict()
    before = pretrained.backbone.state_dict()
    assert merged.keys() == before.keys()
    changed = {name for name in merged if not torch.equal(merged[name], before[name])}
    assert any("query" in name or "q_proj" in name for name in changed)
    assert not any("embed" in name or "bias" in name for name in changed)


def test_a_merged_checkpoint_answers_as_the_adapted_model(backbone: Path, tmp_path: Path) -> None:
    student = recipe(backbone, adapter=LORA)
    scorer, tokens = new_scorer(student, policy())
    with torch.no_grad():
        for p in scorer.parameters():
            if p.requires_grad:
                p.normal_(std=0.3)
    done = fit(recipe(backbone), policy(), examples(4), tmp_path / "a", Heard())
    record = read_record(done.folder).model_copy(update={"recipe": student})
    save_checkpoint(tmp_path / "b", scorer, tokens, CheckpointRecord.model_validate(record.model_dump()))
    batch = tokens.pad(tokens.encode([e.pair for e in examples()]))
    with torch.inference_mode():
        mine = scorer.eval()(batch)
    for key, logits in answers(tmp_path / "b").items():
        assert torch.allclose(logits, mine[key], atol=1e-4)


def test_an_adapter_trains_beside_frozen_bfloat16(backbone: Path, tmp_path: Path) -> None:
    student = recipe(backbone, adapter=LORA, precision="bfloat16", gradient_checkpointing=True)
    scorer, _ = new_scorer(student, policy())
    formats = {p.requires_grad: p.dtype for p in scorer.backbone.parameters()}
    assert formats == {True: torch.float32, False: torch.bfloat16}
    half, full = Heard(), Heard()
    done = fit(student, policy(), examples(), tmp_path / "half", half)
    fit(recipe(backbone, adapter=LORA), policy(), examples(), tmp_path / "full", full)
    assert half.losses()[0] == pytest.approx(full.losses()[0], rel=0.1)
    assert all(torch.isfinite(logits).all() for logits in answers(done.folder).values())


def test_an_adapter_is_resumed_with_the_same_losses(encoder: Path, tmp_path: Path) -> None:
    student = recipe(encoder, adapter=LORA | {"dropout": 0.2}, schedule={"epochs": 3})
    whole, broken, resumed = Heard(), Heard(stop_at=5), Heard()
    reference = fit(student, policy(), examples(), tmp_path / "whole", whole)
    fit(student, policy(), examples(), tmp_path / "out", broken)
    done = fit(student, policy(), examples(), tmp_path / "out", resumed, resume=True)
    assert broken.losses() + resumed.losses() == whole.losses()
    assert done.record.weights_hash == reference.record.weights_hash


def test_modules_that_are_not_there_are_named(encoder: Path) -> None:
    with pytest.raises(BadInput, match=r"no modules called q_proj to adapt.*dense, key, query, value"):
        new_scorer(recipe(encoder, adapter={"targets": ["q_proj"]}), policy())


def test_gradient_checkpointing_gives_the_same_losses(backbone: Path, tmp_path: Path) -> None:
    plain, again = Heard(), Heard()
    fit(recipe(backbone), policy(), examples(), tmp_path / "a", plain)
    fit(recipe(backbone, gradient_checkpointing=True), policy(), examples(), tmp_path / "b", again)
    assert again.losses() == pytest.approx(plain.losses(), rel=1e-5)


# The click head


@pytest.mark.parametrize("pooling", ["sides", "fields"])
def test_clicks_are_learnt_and_the_tower_takes_the_position(
    encoder: Path, tmp_path: Path, pooling: str
) -> None:
    losses = {"click": {"bias": "position_tower", "positions": 2}}
    schedule = {
        "epochs": 60,
        "batch_size": 12,
        "head_penalty": 0.01,
        "warmup": 0.0,
        "head_learning_rate": 0.05,
    }
    student = recipe(encoder, heads=["click"], pooling=pooling, losses=losses, data=CLICKS, schedule=schedule)
    heard = Heard()
    done = fit(student, policy(), shown(), tmp_path / "out", heard)
    assert done.record.heads == ()
    logits = answers(done.folder)
    assert list(logits) == [CLICK]
    good = torch.tensor([e.golden["taste"][2] == 1.0 for e in examples()])
    assert logits[CLICK][good, 0].min() > logits[CLICK][~good, 0].max()
    tower = load_checkpoint(done.folder).scorer.tower
    assert tower is not None
    assert tower[0] > tower[1]  # the second place is clicked half as often where the pair is good
    assert {"loss_clicks", f"{CLICK}.loss", f"{CLICK}.grad_norm"} <= heard.rows[0].keys()


def test_the_answer_leaves_the_tower_out(encoder: Path) -> None:
    student = recipe(encoder, heads=["click"], losses={"click": {"bias": "position_tower"}}, data=CLICKS)
    scorer, tokens = new_scorer(student, policy())
    batch = tokens.pad(tokens.encode([examples(1)[0].pair]))
    with torch.no_grad():
        before = scorer.eval()(batch)[CLICK].item()
        scorer.tower.fill_(7.0)
        assert scorer(batch)[CLICK].item() == before == 0.0


def test_both_heads_learn_together_and_are_masked_alone(encoder: Path, tmp_path: Path) -> None:
    # Half of the examples have labels only, half impressions only: either head has targets of its own.
    mixed = [*examples(12)[:6], *shown(12)[6:]]
    student = recipe(encoder, heads=["policy", "click"], data=CLICKS | {"validation": 0.4})
    heard = Heard()
    done = fit(student, policy(), mixed, tmp_path / "out", heard)
    assert [head.key for head in done.record.heads] == ["taste", "strength"]
    assert set(answers(done.folder)) == {"taste", "strength", CLICK}
    evals = [row for row in heard.rows if "eval_loss" in row]
    assert f"{CLICK}.auc" in evals[0]
    rows = [json.loads(line) for line in (tmp_path / "out" / "worst.jsonl").read_text().splitlines()]
    assert rows
    assert [row["loss"] for row in rows] == sorted((row["loss"] for row in rows), reverse=True)
    assert all(("click" in row) != bool(row["dimensions"]) for row in rows)


def test_cells_are_taken_by_row() -> None:
    every = Cells.of([[Cell(1, 3, 1), Cell(2, 4, 0)], [], [Cell(5, 6, 2, 0.5)]], ["q", "r", "q"])
    taken = every.take(np.array([2, 1, 0]), torch.device("cpu"))
    assert taken.row.tolist() == [0, 2, 2]
    assert taken.position.tolist() == [5, 1, 2]
    assert taken.clicked.tolist() == [2, 1, 0]
    assert taken.propensity.tolist() == [0.5, 1, 1]
    assert taken.query.tolist() == [0, 1, 0]


def test_batches_of_queries_keep_runs_together() -> None:
    queries = np.repeat(np.arange(10), 5)
    cut = list(query_batches(queries, 8, np.random.default_rng(0)))
    assert sorted(np.concatenate(cut).tolist()) == list(range(50))
    assert all(len(rows) <= 8 for rows in cut)
    assert all(len(set(queries[rows])) == 1 for rows in cut)  # 5 + 5 > 8: no room for another query
    assert len(cut) == 10


@pytest.mark.parametrize("loss", ["pairwise", "listwise"])
def test_ranking_losses_train_and_resume_over_batches_of_queries(
    encoder: Path, tmp_path: Path, loss: str
) -> None:
    losses = {"click": {"bce": 0.0, loss: 1.0, "bias": "inverse_propensity"}}
    student = recipe(
        encoder, heads=["click"], losses=losses, data=CLICKS, schedule={"epochs": 3, "batch_size": 5}
    )
    # The letter behind the wish would make each pair its own query.
    given = [
        replace(e, pair=Pair(query={"wishes": e.pair.query["wishes"][:-2]}, document=e.pair.document))
        for e in shown()
    ]
    assert len({e.pair.query_id for e in given}) == 3
    whole, broken, resumed = Heard(), Heard(stop_at=4), Heard()
    fit(student, policy(), given, tmp_path / "whole", whole)
    fit(student, policy(), given, tmp_path / "out", broken)
    fit(student, policy(), given, tmp_path / "out", resumed, resume=True)
    assert broken.losses() + resumed.losses() == whole.losses()
    assert max(whole.losses()) > 0


# Starting from a checkpoint


def test_a_training_starts_from_backbone_and_heads_of_a_checkpoint(encoder: Path, tmp_path: Path) -> None:
    first = fit(recipe(encoder), policy(), examples(), tmp_path / "first", Heard())
    second = recipe(encoder, init_from="tea-mini", heads=["policy", "click"], data=CLICKS)
    scorer, tokens = new_scorer(second, policy(), first.folder)
    batch = tokens.pad(tokens.encode([e.pair for e in examples()]))
    with torch.inference_mode():
        logits = scorer.eval()(batch)
    for key, before in answers(first.folder).items():
        assert torch.equal(logits[key], before)
    assert logits[CLICK].abs().max() == 0
    assert scorer.known == {"policy"}
    heard = Heard()
    done = fit(second, policy(), [replace(e, cells=s.cells) for e, s in zip(examples(), shown(), strict=True)],
               tmp_path / "second", heard, start=first.folder)  # fmt: skip
    assert set(answers(done.folder)) == {"taste", "strength", CLICK}


def test_what_does_not_fit_a_checkpoint_is_one_sentence(encoder: Path, tmp_path: Path) -> None:
    first = fit(recipe(encoder), policy(), examples(), tmp_path / "first", Heard())
    name = first.record.name
    for changes, says in (
        (
            {"pooling": "mean"},
            f"cannot start from {name}: its heads see pooling 'sides', the recipe's 'mean'",
        ),
        ({"backbone": "minilm"}, f"cannot start from {name}: its backbone is"),
    ):
        wanted = recipe(encoder, init_from="tea-mini").model_copy(update=changes)
        with pytest.raises(BadInput, match=says):
            new_scorer(wanted, policy(), first.folder)
    with pytest.raises(BadInput, match="the checkpoint to start from is not given"):
        new_scorer(recipe(encoder, init_from="tea-mini"), policy())


# Data sets and click logs


@dataclass(frozen=True)
class Row:
    """A row of a data set, as training reads it."""

    pair: Pair
    judgements: tuple[Judgement, ...]
    split: str = "train"


def test_rows_of_a_data_set_become_targets() -> None:
    a, b, c = pair("smoky", "green"), pair("black", "mild"), pair("white", "red")
    held = golden([(a, "taste", 2, "ann"), (c, "taste", 0, "ann")], {c.id: "holdout"})
    soft = Judgement(dimension="taste", grade=1, probabilities=(0.25, 0.5, 0.25))
    sure = Judgement(dimension="taste", grade=2)
    na = Judgement(dimension="strength", grade=-2)
    rows = [Row(a, (soft,)), Row(b, (sure, na), "validation")]
    found = {
        e.pair.id: e for e in add_dataset(policy(), held, [Example(a, {"taste": (0.0, 0.0, 1.0)})], rows)
    }
    assert found[a.id].golden == {"taste": (0.0, 0.0, 1.0)}
    assert found[a.id].dataset == {"taste": (0.25, 0.5, 0.25)}
    assert found[b.id].dataset == {"taste": (0.0, 0.0, 1.0), "strength": (0.0, 0.0, 1.0)}
    train, validation = split_examples(list(found.values()), 0.0, seed=0)
    assert ([e.pair.id for e in train], [e.pair.id for e in validation]) == ([a.id], [b.id])
    with pytest.raises(Refused, match=f"Pair {c.id} of the data set is in the holdout"):
        add_dataset(policy(), held, [], [Row(c, (sure,))])
    with pytest.raises(BadInput, match="says nothing on a dimension"):
        add_dataset(policy(), held, [], [Row(b, ())])


def test_a_data_set_is_learnt(encoder: Path, tmp_path: Path) -> None:
    given = [replace(e, golden={}, dataset=e.golden) for e in examples()]
    losses = {"policy": {"cross_entropy": 1.0, "cumulative_link": 0.5}}
    schedule = {"epochs": 30, "batch_size": 12, "head_penalty": 0.01}
    student = recipe(
        encoder, losses=losses, data={"golden_weight": 0.0, "dataset": "pool"}, schedule=schedule
    )
    heard = Heard()
    done = fit(student, policy(), given, tmp_path / "out", heard)
    assert heard.losses()[-1] < heard.losses()[0]
    taste = answers(done.folder)["taste"].argmax(-1).tolist()
    assert taste == [2 if e.golden["taste"][2] else 0 for e in examples()]
    assert "loss_dataset" in heard.rows[0]


def test_clicks_find_their_pairs() -> None:
    a, b, c = pair("smoky", "green"), pair("black", "mild"), pair("white", "red")
    held = golden([(p, "taste", 2, "ann") for p in (a, b, c)], {c.id: "holdout"})
    cells = {a.id: [Cell(1, 2, 1)], b.id: [Cell(3, 1, 0)], c.id: [Cell(1, 9, 9)], "other": [Cell(1, 1, 1)]}
    found, missed = add_clicks(held, [Example(a)], cells)
    assert [(e.pair.id, e.cells) for e in found] == [(a.id, (Cell(1, 2, 1),)), (b.id, (Cell(3, 1, 0),))]
    assert missed == 2  # the holdout's pair is none here
    with pytest.raises(BadInput, match="no click on a pair"):
        add_clicks(held, [Example(a)], {"other": [Cell(1, 1, 1)]})


# Teachers


@pytest.fixture(scope="module")
def teachers(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A policy teacher and a click teacher."""
    out = tmp_path_factory.mktemp("teachers")
    schedule = {"epochs": 20, "batch_size": 12, "head_penalty": 0.01}
    a = fit(recipe(encoder, schedule=schedule), policy(), examples(), out / "a", Heard())
    click = recipe(encoder, heads=["click"], data=CLICKS, schedule=schedule)
    b = fit(click, policy(), shown(), out / "b", Heard())
    return a.folder, b.folder


def test_a_student_learns_from_two_teachers_and_they_are_asked_once(
    tmp_path: Path, teachers: tuple[Path, Path]
) -> None:
    other = tiny(tmp_path / "decoder", "decoder")  # another tokenizer and another kind of backbone
    student = recipe(
        other,
        heads=["policy", "click"],
        teachers=[{"checkpoint": "a", "temperature": 2.0}, {"checkpoint": "b"}],
        alpha=0.3,
        data={"golden_weight": 0.0},
        schedule={"epochs": 40, "batch_size": 12, "learning_rate": 1e-2, "head_penalty": None, "warmup": 0.0},
    )
    pairs = [e.pair for e in examples()]
    asked = Heard()
    said = [
        teach(folder, teacher, student, policy(), pairs, tmp_path / "cache", asked)
        for folder, teacher in zip(teachers, student.teachers, strict=True)
    ]
    assert [line.partition(" ")[2] for line in asked.lines] == ["was asked about 12 pairs."] * 2
    expected = answers(teachers[0])["taste"].softmax(-1)[3].tolist()
    assert said[0][3].policy["taste"] == pytest.approx(expected, rel=1e-4)
    assert said[0][3].click is None
    assert said[1][3].policy == {}
    assert said[1][3].click == pytest.approx(answers(teachers[1])[CLICK].sigmoid()[3, 0].item(), rel=1e-4)
    again = Heard()
    assert (
        teach(teachers[1], student.teachers[1], student, policy(), pairs, tmp_path / "cache", again)
        == said[1]
    )
    assert "before" in again.lines[0]

    given = [Example(p, taught=taught) for p, taught in zip(pairs, zip(*said, strict=True), strict=True)]
    heard = Heard()
    fit(student, policy(), given, tmp_path / "out", heard)
    row = heard.rows[0]
    assert row["loss"] == pytest.approx(
        0.3 * row["loss_policy_teachers"] + 0.7 * row["loss_click_teachers"], rel=1e-5
    )
    assert heard.losses()[-1] < 0.2 * heard.losses()[0]


def test_a_teacher_without_the_head_is_refused(tmp_path: Path, teachers: tuple[Path, Path]) -> None:
    student = recipe("none", data={"soft_labels": None}, teachers=[{"checkpoint": "b"}])
    with pytest.raises(BadInput, match="has only click heads, and tea-mini is to learn policy"):
        teach(teachers[1], student.teachers[0], student, policy(), [], tmp_path, Heard())
    wanted = Teacher(checkpoint="a", heads=("click",))
    both = recipe("none", heads=["policy", "click"], teachers=[wanted.model_dump()])
    with pytest.raises(BadInput, match="has no click head to teach with"):
        teach(teachers[0], wanted, both, policy(), [], tmp_path, Heard())


# The check


@pytest.mark.parametrize("pooling", ["sides", "fields"])
def test_one_batch_is_overfitted(encoder: Path, pooling: str) -> None:
    plain = recipe(encoder, pooling=pooling, schedule={"batch_size": 6})
    losses = overfit(plain, policy(), examples(), steps=150, learning_rate=2e-2)
    assert len(losses) == 150
    # Heads start at zero: ln 3 for both, beside the EMDs; certain targets can be learnt to 0.
    assert losses[0] > math.log(3) - 1e-5
    assert losses[-1] < 0.1
    assert losses == overfit(plain, policy(), examples(), steps=150, learning_rate=2e-2)


def test_targets_that_contradict_are_not_overfitted(encoder: Path) -> None:
    one = examples(1)[0]
    both = [one, replace(one, golden={"taste": (1.0, 0.0, 0.0)})]  # the same pair, good and bad
    losses = overfit(recipe(encoder), policy(), both, steps=60, learning_rate=2e-2)
    assert losses[-1] > 0.3
