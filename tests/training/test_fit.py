"""The training loop on tiny random models: it learns, repeats itself, stops, resumes and refuses."""

from __future__ import annotations

import asyncio
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from training_samples import Heard, examples, pair, policy, recipe, tiny  # noqa: E402

from workbench.agreement import agreement  # noqa: E402
from workbench.backbone import minilm_available  # noqa: E402
from workbench.documents import read_golden, read_policy, read_recipe  # noqa: E402
from workbench.errors import BadInput, Conflict, WorkbenchError  # noqa: E402
from workbench.judges.checkpoint import CheckpointJudge  # noqa: E402
from workbench.recipe import Schedule  # noqa: E402
from workbench.run import Verdict  # noqa: E402
from workbench.training import fit as fit_module  # noqa: E402
from workbench.training.data import Example, build_examples, split_examples  # noqa: E402
from workbench.training.fit import fit, learning_rate_factor  # noqa: E402
from workbench.training.heads import Evaluation  # noqa: E402
from workbench.training.model import load_checkpoint  # noqa: E402
from workbench.training.record import Lineage  # noqa: E402

SAMPLE = Path(__file__).parents[2]
STUDENTS = SAMPLE / "students"
JOB_POLICY = "policies/job-match/v3.yaml"
FLOOR = 0.45
"""Least mean kappa of the shipped student on dev queries that it never saw. Measured: 0.61 on the fifth that the test
grades; on five other folds, with soft labels and a validation share, 0.48 to 0.58."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder."""
    return tiny(tmp_path_factory.mktemp("encoder") / "model")


def weights(folder: Path) -> dict[str, Any]:
    """All tensors of a checkpoint."""
    return dict(load_checkpoint(folder).scorer.state_dict())


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two models are equal to the last bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(("pooling", "epochs"), [("fields", 200), ("sides", 50)])
@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_one_batch_is_learnt_by_heart(tmp_path: Path, kind: str, pooling: str, epochs: int) -> None:
    backbone = tiny(tmp_path / "model", kind)
    student = recipe(
        backbone,
        pooling=pooling,
        ordinal_weight=0.0,
        schedule={
            "epochs": epochs,
            "batch_size": 4,
            "learning_rate": 1e-2,
            "head_penalty": None,
            "warmup": 0.0,
        },
    )
    soft = (0.5, 0.5, 0.0)
    batch = [replace(e, golden={"taste": soft if i else (0.0, 0.0, 1.0)}) for i, e in enumerate(examples(4))]
    heard = Heard()
    fit(student, policy(), batch, tmp_path / "out", heard)
    # Heads start at zero: the first loss is ln 3. The least is the targets' entropy: three of four have ln 2.
    assert heard.losses()[0] == pytest.approx(math.log(3), rel=1e-5)
    assert heard.losses()[-1] == pytest.approx(0.75 * math.log(2), abs=0.05)
    assert heard.losses()[-1] > 0.75 * math.log(2) - 1e-4


def test_the_heads_are_fitted_first(encoder: Path, tmp_path: Path) -> None:
    heard = Heard()
    fit(recipe(encoder, schedule={"head_penalty": 0.01}), policy(), examples(), tmp_path / "out", heard)
    # Uniform answers would give ln 3 and EMDs of at least 2/9 (0.5 on average for taste, more for N/A-free rows).
    assert heard.losses()[0] < 0.8 * math.log(3)
    assert "The heads were first fitted to 12 pairs with the backbone as it is." in heard.lines


@pytest.mark.parametrize("pooling", ["fields", "sides"])
def test_the_same_seed_gives_the_same_losses(encoder: Path, tmp_path: Path, pooling: str) -> None:
    first, second, other = Heard(), Heard(), Heard()
    a = fit(recipe(encoder, pooling=pooling), policy(), examples(), tmp_path / "a", first)
    b = fit(recipe(encoder, pooling=pooling), policy(), examples(), tmp_path / "b", second)
    fit(recipe(encoder, pooling=pooling, seed=1), policy(), examples(), tmp_path / "c", other)
    assert first.losses() == second.losses() != other.losses()
    assert a.record.weights_hash == b.record.weights_hash


def test_rows_progress_and_lineage(encoder: Path, tmp_path: Path) -> None:
    heard = Heard()
    lineage = Lineage(
        golden="teas v1", golden_hash="golden-1", soft_run="run-1", parents=("p",), code_revision="r"
    )
    student = recipe(encoder, data={"validation": 0.25, "soft_labels": {"weight": 0.5}})
    given = [replace(e, soft=e.golden) for e in examples(24)]
    done = fit(student, policy(), [*given, Example(pair("a", "b"))], tmp_path / "out", heard, lineage=lineage)
    steps = [row for row in heard.rows if "step" in row]
    evals = [row for row in heard.rows if "eval_loss" in row]
    assert set(steps[0]) == {
        "step", "epoch", "loss", "loss_golden", "loss_soft", "lr", "pairs_per_s", "tokens_per_s", "grad_norm",
        "taste.loss", "taste.grad_norm", "strength.loss", "strength.grad_norm",
    }  # fmt: skip
    assert [row["step"] for row in steps] == list(range(1, len(steps) + 1))
    assert [row["epoch"] for row in evals] == [0, 1, 2]  # 0: after the first fit of the heads
    assert set(evals[0]) == {
        "epoch", "eval_loss", "taste.exact", "taste.kappa", "strength.exact", "strength.kappa"
    }  # fmt: skip
    assert heard.done[-1][:2] == (len(steps), len(steps))
    record = done.record
    assert (done.folder, record.stopped) == (tmp_path / "out" / "checkpoint", False)
    assert (record.recipe, record.recipe_hash) == (student, student.content_hash)
    assert (record.policy_label, record.policy_hash) == ("tea-match v1", policy().content_hash)
    assert record.lineage == lineage
    best = min(evals, key=lambda row: row["eval_loss"])
    assert record.figures["epoch"] == best["epoch"]
    assert record.figures["eval_loss"] == best["eval_loss"]
    assert record.figures["steps"] == len(steps)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["checkpoint", "worst.jsonl"]
    assert any("1 without a target left out" in line for line in heard.lines)


def test_the_first_batch_is_logged_as_read(encoder: Path, tmp_path: Path) -> None:
    heard = Heard()
    fit(recipe(encoder, schedule={"max_steps": 1}), policy(), examples(2), tmp_path / "out", heard)
    lines = "\n".join(heard.lines)
    assert "[CLS] guest wishes : smoky a [SEP] tea notes : smoky a [SEP]" in lines
    assert "  golden: taste 0.00 0.00 1.00; strength 0.00 0.00 1.00" in lines
    assert "  soft: none" in lines
    assert len(heard.losses()) == 1


def test_fields_are_logged_and_standardised(encoder: Path, tmp_path: Path) -> None:
    heard = Heard()
    schedule = {"max_steps": 1, "head_penalty": None}
    done = fit(
        recipe(encoder, pooling="fields", schedule=schedule), policy(), examples(), tmp_path / "out", heard
    )
    read = r"guest\.wishes: \[CLS\] \w+ \w \[SEP\] \| (guest\.mood: \[CLS\] calm \[SEP\] \| )?tea\.notes: \[CLS\] "
    assert sum(bool(re.search(read, line)) for line in heard.lines) == 4
    # Half of the guests have no mood (the second last of 8 features: wishes, mood, notes without text).
    loaded = load_checkpoint(done.folder, policy())
    assert loaded.scorer.mean[6].item() == pytest.approx(0.5)
    assert loaded.scorer.spread[6].item() == pytest.approx(0.5)
    assert loaded.scorer.spread[[5, 7]].tolist() == [1.0, 1.0]  # never empty: constant


def test_the_record_has_the_spread_of_the_labels(encoder: Path, tmp_path: Path) -> None:
    # With 4 of 12 examples of one word and note, taste is 2, else 0: mean 2/3. Strength is 1 or N/A: its mean is 1.
    done = fit(recipe(encoder), policy(), examples(), tmp_path / "out", Heard())
    assert [sum(e.settled["taste"] == 2 for e in examples()), len(examples())] == [4, 12]
    assert [head.centre for head in done.record.heads] == pytest.approx([2 / 3, 1.0])
    assert all(1.0 <= head.stretch <= 4.0 for head in done.record.heads)


def test_the_best_epoch_is_kept(encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {}

    def losses(scorer: Any, *_: Any) -> Evaluation:
        epoch = len(kept)
        kept[epoch] = {name: tensor.clone() for name, tensor in scorer.state_dict().items()}
        return Evaluation({"eval_loss": [3.0, 1.0, math.nan, 2.0][epoch]}, [])

    monkeypatch.setattr(fit_module, "evaluate", losses)
    student = recipe(encoder, data={"validation": 0.25}, schedule={"epochs": 3})
    done = fit(student, policy(), examples(24), tmp_path / "out", Heard())
    assert done.record.figures["epoch"] == 1
    assert same(weights(done.folder), kept[1])
    assert not same(weights(done.folder), kept[3])


@pytest.mark.parametrize(
    ("validation", "pooling"), [(0.0, "sides"), (0.25, "sides"), (0.0, "fields"), (0.25, "fields")]
)
def test_stop_and_resume_end_where_an_unbroken_run_ends(
    encoder: Path, tmp_path: Path, validation: float, pooling: str
) -> None:
    student = recipe(encoder, pooling=pooling, data={"validation": validation}, schedule={"epochs": 3})
    whole, broken, resumed = Heard(), Heard(stop_at=5), Heard()
    reference = fit(student, policy(), examples(24), tmp_path / "whole", whole)
    stopped = fit(student, policy(), examples(24), tmp_path / "out", broken)
    assert stopped.record.stopped
    assert load_checkpoint(stopped.folder, policy()).record == stopped.record
    assert len(broken.losses()) == 4
    assert broken.lines[-1].startswith("Stopped after 4 of ")
    done = fit(student, policy(), examples(24), tmp_path / "out", resumed, resume=True)
    assert broken.losses() + resumed.losses() == whole.losses()
    assert same(weights(done.folder), weights(reference.folder))
    assert done.record.heads == reference.record.heads
    assert not done.record.stopped
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == (
        ["checkpoint", "worst.jsonl"] if validation else ["checkpoint"]
    )


def test_a_stop_before_the_first_step_leaves_a_checkpoint_too(encoder: Path, tmp_path: Path) -> None:
    whole, resumed = Heard(), Heard()
    fit(recipe(encoder), policy(), examples(), tmp_path / "whole", whole)
    stopped = fit(recipe(encoder), policy(), examples(), tmp_path / "out", Heard(stop_at=1))
    assert (stopped.record.stopped, stopped.record.figures["steps"]) == (True, 0)
    fit(recipe(encoder), policy(), examples(), tmp_path / "out", resumed, resume=True)
    assert resumed.losses() == whole.losses()


def test_a_killed_run_goes_on_from_its_last_epoch(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    class Mortal(Heard):
        def progress(self, done: int, total: int, note: str = "") -> None:
            if done == 5:  # in the second of three epochs of 3 steps
                raise Killed

    whole, resumed = Heard(), Heard()
    student = recipe(encoder, schedule={"epochs": 3})
    fit(student, policy(), examples(), tmp_path / "whole", whole)
    with pytest.raises(Killed):
        fit(student, policy(), examples(), tmp_path / "out", Mortal())
    fit(student, policy(), examples(), tmp_path / "out", resumed, resume=True)
    assert resumed.losses() == whole.losses()[3:]


def test_a_finished_training_is_not_done_again(encoder: Path, tmp_path: Path) -> None:
    done = fit(recipe(encoder), policy(), examples(), tmp_path / "out", Heard())
    heard = Heard()
    assert fit(recipe(encoder), policy(), examples(), tmp_path / "out", heard, resume=True) == done
    assert heard.losses() == []
    with pytest.raises(Conflict, match="holds a checkpoint"):
        fit(recipe(encoder), policy(), examples(), tmp_path / "out", Heard())
    with pytest.raises(Conflict, match="another training"):
        fit(recipe(encoder, seed=9), policy(), examples(), tmp_path / "out", Heard(), resume=True)


def test_a_state_of_other_examples_is_not_resumed(encoder: Path, tmp_path: Path) -> None:
    fit(recipe(encoder), policy(), examples(), tmp_path / "out", Heard(stop_at=2))
    with pytest.raises(Conflict, match="another recipe, policy version or set of examples"):
        fit(recipe(encoder), policy(), examples(11), tmp_path / "out", Heard(), resume=True)
    (tmp_path / "out" / "state.safetensors").write_bytes(b"no")
    with pytest.raises(BadInput, match="is damaged"):
        fit(recipe(encoder), policy(), examples(), tmp_path / "out", Heard(), resume=True)


@pytest.mark.parametrize("head_penalty", [None, 1.0])
def test_a_nan_stops_loudly_and_names_the_pair(tmp_path: Path, head_penalty: float | None) -> None:
    backbone = tiny(tmp_path / "model", poison=True)
    sick = replace(examples(1)[0], pair=pair("poison", "green"))
    student = recipe(backbone, schedule={"batch_size": 16, "head_penalty": head_penalty})
    with pytest.raises(WorkbenchError, match=rf"(loss|backbone) is nan with pair {sick.pair.id}\.") as raised:
        fit(student, policy(), [*examples(), sick], tmp_path / "out", Heard())
    assert not any(e.pair.id in str(raised.value) for e in examples())
    assert not (tmp_path / "out" / "checkpoint").exists()


def test_what_does_not_fit_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    nowhere = tmp_path / "no-backbone"
    with pytest.raises(BadInput, match="no example"):
        fit(recipe(nowhere), policy(), [], tmp_path / "out", Heard())
    with pytest.raises(BadInput, match="for the policy job-match, not for tea-match"):
        fit(recipe(nowhere, policy="job-match"), policy(), examples(), tmp_path / "out", Heard())
    with pytest.raises(BadInput, match="has 4 classes for 'taste'"):
        fit(
            recipe(nowhere),
            policy(),
            [Example(pair("a", "b"), {"taste": (1.0, 0.0, 0.0, 0.0)})],
            tmp_path / "out",
            Heard(),
        )
    assert not (tmp_path / "out").exists()


def test_learning_rate_rises_and_falls() -> None:
    linear = Schedule(warmup=0.2, decay="linear")
    # 10 steps, 2 of them warm: 1/2, 1, then 1 - k/8 for k = 0 … 7
    expected = [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    assert [learning_rate_factor(linear, step, 10) for step in range(10)] == pytest.approx(expected)
    cosine = Schedule(warmup=0.0, decay="cosine")
    # (1 + cos(pi k / 4)) / 2
    assert [learning_rate_factor(cosine, step, 4) for step in range(4)] == pytest.approx(
        [1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]
    )


def test_bfloat16_learns_too(encoder: Path, tmp_path: Path) -> None:
    heard = Heard()
    fit(recipe(encoder, precision="bfloat16"), policy(), examples(), tmp_path / "out", heard)
    exact = Heard()
    fit(recipe(encoder), policy(), examples(), tmp_path / "exact", exact)
    assert heard.losses() != exact.losses()
    assert heard.losses()[0] == pytest.approx(exact.losses()[0], rel=0.1)


def test_the_shipped_recipe_is_valid() -> None:
    student = read_recipe(STUDENTS / "ranker-mini.yaml")
    assert (student.kind, student.backbone, student.policy) == ("student", "minilm", "job-match")


@pytest.mark.skipif(not minilm_available(), reason="needs the offline extra (MiniLM weights)")
def test_the_shipped_student_agrees_on_queries_it_never_saw(tmp_path: Path) -> None:
    """The shipped recipe without fine-tuning, on four fifths of the sample's dev queries, graded on the last fifth."""
    (golden, _), job = read_golden(SAMPLE / "golden_sets/job-match/v1"), read_policy(SAMPLE / JOB_POLICY)
    every = build_examples(job, golden)
    learnt, unseen = split_examples(every, 0.2, seed=0)
    assert not {e.pair.query_id for e in learnt} & {e.pair.query_id for e in unseen}
    shipped = read_recipe(STUDENTS / "ranker-mini.yaml")
    student = shipped.model_copy(
        update={
            "data": shipped.data.model_copy(update={"soft_labels": None, "validation": 0.0}),
            "schedule": shipped.schedule.model_copy(update={"max_steps": 1, "learning_rate": 1e-9}),
        }
    )
    done = fit(student, job, learnt, tmp_path / "out", Heard())

    async def grade() -> list[Verdict]:
        return [
            verdict async for verdict in CheckpointJudge(done.folder).grade(job, [e.pair for e in unseen])
        ]

    verdicts = {verdict.pair_id: verdict for verdict in asyncio.run(grade())}
    kappas = []
    for i, dimension in enumerate(job.dimensions):
        grades = np.array([verdicts[e.pair.id].judgements[i].grade for e in unseen])
        human = np.array([e.settled[dimension.key] for e in unseen])
        queries = np.array([e.pair.query_id for e in unseen])
        found = agreement(grades, human, queries, dimension.scale, resamples=0).kappa_quadratic.value
        assert found is not None
        kappas.append(found)
    assert np.mean(kappas) > FLOOR


@pytest.mark.skipif(not minilm_available(), reason="needs the offline extra (MiniLM weights)")
def test_minilm_learns_a_wish_it_never_saw(tmp_path: Path) -> None:
    def offers(words: list[str]) -> list[Example]:
        return [
            Example(pair(f"a cup of {wish} tea", f"this is a {note} tea"),
                    {"taste": (0.0, 0.0, 1.0) if wish == note else (1.0, 0.0, 0.0)})
            for wish in words for note in words
        ]  # fmt: skip

    gently = {"epochs": 1, "batch_size": 16, "learning_rate": 1e-5, "head_learning_rate": 1e-4}
    student = recipe("minilm", schedule=gently)
    seen = offers(["smoky", "green", "black", "mint", "ginger", "honey", "cold", "sweet"])
    done = fit(student, policy(), seen, tmp_path / "out", Heard())
    loaded = load_checkpoint(done.folder)
    unseen = [example.pair for example in offers(["lemon", "rose", "apple"])]
    with torch.inference_mode():
        taste = loaded.scorer(loaded.tokens.pad(loaded.tokens.encode(unseen)))["taste"]
    # Rows are wishes, columns are teas: each wish prefers its own tea to both others.
    assert taste.softmax(-1)[:, 2].reshape(3, 3).argmax(dim=1).tolist() == [0, 1, 2]
