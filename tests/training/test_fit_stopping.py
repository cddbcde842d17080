"""When a training ends before its last step: patience, and a stop that somebody asked for after the epoch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("transformers", reason="needs the train extra")

from training_samples import Heard, examples, policy, recipe, tiny  # noqa: E402

from workbench.training import fit as fit_module  # noqa: E402
from workbench.training.devices import GpuMeter  # noqa: E402
from workbench.training.fit import fit  # noqa: E402
from workbench.training.heads import Evaluation  # noqa: E402
from workbench.training.model import load_checkpoint  # noqa: E402


class AfterEpoch(Heard):
    """Asks to stop with the epoch that step ``during`` is in."""

    def __init__(self, during: int) -> None:
        """Ask from step ``during`` on."""
        super().__init__()
        self.during = during

    def stopping_after_epoch(self) -> bool:
        """Whether that step is done."""
        return len(self.losses()) >= self.during


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder."""
    return tiny(tmp_path_factory.mktemp("encoder") / "model")


def losses_are(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Let the evaluations of a training find these losses, the first after the first fit of the heads."""
    left = iter(losses)
    monkeypatch.setattr(fit_module, "evaluate", lambda *_: Evaluation({"eval_loss": next(left)}, []))


def student(encoder: Path, **schedule: Any) -> Any:
    """24 pairs of 8 queries, a quarter of them for validation, 6 epochs."""
    return recipe(encoder, data={"validation": 0.25}, schedule={"epochs": 6, **schedule})


def test_patience_ends_a_training(encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Epoch 2 is the best; 3 and 4 are no better (an equal loss is not), so epoch 5 is not begun.
    losses_are(monkeypatch, [5.0, 3.0, 2.0, 2.0, math.nan])
    heard = Heard()
    done = fit(student(encoder, patience=2), policy(), examples(24), tmp_path / "out", heard)
    assert [row["epoch"] for row in heard.rows if "eval_loss" in row] == [0, 1, 2, 3, 4]
    assert (done.record.stopped, done.record.figures["epoch"]) == (False, 2)
    assert "2 epochs without a better eval loss; epoch 2, the best on validation, is kept." in heard.lines[-1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["checkpoint", "worst.jsonl"]


def test_patience_is_reset_by_a_better_loss_and_null_never_ends(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    falling = [5.0, 6.0, 4.0, 4.5, 3.0, 3.5, 2.0]
    losses_are(monkeypatch, falling)
    fell = Heard()
    fit(student(encoder, patience=2), policy(), examples(24), tmp_path / "falls", fell)
    losses_are(monkeypatch, sorted(falling))  # the first is the best
    rose = Heard()
    fit(student(encoder), policy(), examples(24), tmp_path / "rises", rose)
    for heard in (fell, rose):
        assert [row["epoch"] for row in heard.rows if "eval_loss" in row] == [0, 1, 2, 3, 4, 5, 6]
        assert "without a better" not in heard.lines[-1]


def test_patience_is_counted_over_a_resume(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses_are(monkeypatch, [5.0, 3.0, 4.0])
    broken = AfterEpoch(during=6)  # in the second epoch: 18 pairs in batches of 4 are five steps
    first = fit(student(encoder, patience=2), policy(), examples(24), tmp_path / "out", broken)
    assert first.record.stopped
    losses_are(monkeypatch, [4.0])  # a second evaluation would raise StopIteration
    resumed = Heard()
    done = fit(student(encoder, patience=2), policy(), examples(24), tmp_path / "out", resumed, resume=True)
    assert (done.record.stopped, done.record.figures["epoch"]) == (False, 1)
    assert "2 epochs without a better eval loss" in resumed.lines[-1]


def test_patience_without_validation_says_that_it_stops_nothing(encoder: Path, tmp_path: Path) -> None:
    heard = Heard()
    fit(recipe(encoder, schedule={"patience": 1, "epochs": 3}), policy(), examples(), tmp_path / "out", heard)
    assert "Without an eval loss, schedule.patience stops nothing." in heard.lines
    assert len(heard.losses()) == 9  # 12 pairs in batches of 4, three times


def test_a_stop_after_the_epoch_ends_with_it_and_goes_on_from_there(encoder: Path, tmp_path: Path) -> None:
    tea = recipe(encoder, schedule={"epochs": 3})
    whole, resumed, broken = Heard(), Heard(), AfterEpoch(during=4)  # the first step of the second epoch
    fit(tea, policy(), examples(), tmp_path / "whole", whole)
    stopped = fit(tea, policy(), examples(), tmp_path / "out", broken)
    assert broken.losses() == whole.losses()[:6]  # epochs of three steps
    assert (stopped.record.stopped, stopped.record.figures["steps"]) == (True, 6)
    assert broken.lines[-1].startswith("Stopped after 6 of 9 steps")
    assert "asked to after epoch 2; " in broken.lines[-1]
    assert load_checkpoint(stopped.folder, policy()).record == stopped.record
    done = fit(tea, policy(), examples(), tmp_path / "out", resumed, resume=True)
    assert broken.losses() + resumed.losses() == whole.losses()
    assert not done.record.stopped


def test_a_stop_after_the_last_epoch_is_an_end(encoder: Path, tmp_path: Path) -> None:
    done = fit(recipe(encoder), policy(), examples(), tmp_path / "out", AfterEpoch(during=6))
    assert (done.record.stopped, done.record.figures["steps"]) == (False, 6)


def test_tokens_per_second_count_no_padding(encoder: Path, tmp_path: Path) -> None:
    heard = Heard()
    fit(recipe(encoder, pooling="sides"), policy(), examples(2), tmp_path / "out", heard)
    row = next(row for row in heard.rows if "step" in row)
    # [CLS] guest wishes : smoky a [SEP] tea notes : smoky a [SEP] is 13; green b has "mood : calm" besides: 16.
    assert row["tokens_per_s"] / row["pairs_per_s"] == pytest.approx((13 + 16) / 2)
    assert "gpu_memory_gb" not in row


def test_the_gpu_is_looked_at_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def utilisation(_: Any) -> int:
        asked.append(1)
        return 87

    monkeypatch.setattr(torch.cuda, "utilization", utilisation)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 2_500_000_000)
    meter = GpuMeter(torch.device("cuda"), Heard())
    assert [meter.figures(), meter.figures()] == [{"gpu_memory_gb": 2.5, "gpu_utilisation": 0.87}] * 2
    assert asked == [1]
    assert GpuMeter(torch.device("cpu"), Heard()).figures() == {}


def test_an_unknown_utilisation_is_none_with_the_reason_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: Any) -> int:
        raise ModuleNotFoundError("no pynvml here")

    monkeypatch.setattr(torch.cuda, "utilization", missing)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 10**9)
    heard = Heard()
    meter = GpuMeter(torch.device("cuda"), heard)
    assert [meter.figures(), meter.figures()] == [{"gpu_memory_gb": 1.0, "gpu_utilisation": None}] * 2
    assert len(heard.lines) == 1
    assert "nvidia-ml-py" in heard.lines[0]
    assert "no pynvml here" in heard.lines[0]
