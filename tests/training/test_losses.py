"""Losses against values computed by hand and against torch's own."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from training_samples import pair, policy, recipe  # noqa: E402

from workbench.training.batches import Lesson, Targets  # noqa: E402
from workbench.training.data import Example  # noqa: E402
from workbench.training.losses import distillation, soft_cross_entropy, squared_emd, total_loss  # noqa: E402
from workbench.training.record import heads_of  # noqa: E402

ALL = torch.tensor([True])


def logits_of(*rows: list[float]) -> torch.Tensor:
    """Logits whose softmax is the given probabilities."""
    return torch.tensor(rows).log()


def lesson(student: Any, golden: Targets, soft: Targets) -> Lesson:
    """One example with these targets and no other."""
    nothing = Lesson.of([Example(pair("a", "b"))], student, heads_of(policy()))
    return replace(nothing, golden=golden, soft=soft)


def test_cross_entropy_by_hand() -> None:
    # p = (1/2, 1/4, 1/4), t = (1/2, 1/2, 0): -(1/2 ln 1/2 + 1/2 ln 1/4) = 1/2 ln 2 + 1/2 * 2 ln 2 = 1.5 ln 2
    loss = soft_cross_entropy(logits_of([0.5, 0.25, 0.25]), torch.tensor([[0.5, 0.5, 0.0]]), ALL)
    assert loss.item() == pytest.approx(1.5 * math.log(2))


def test_cross_entropy_is_torchs() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(5, 4), torch.rand(5, 4).softmax(-1)
    ours = soft_cross_entropy(logits, targets, torch.ones(5, dtype=torch.bool))
    assert ours.item() == pytest.approx(torch.nn.functional.cross_entropy(logits, targets).item(), rel=1e-6)


def test_distillation_by_hand() -> None:
    # T = 2, teacher (0.8, 0.2): square roots 2 : 1, so t_T = (2/3, 1/3). Student uniform: p_T = (1/2, 1/2).
    # KL = 2/3 ln 4/3 + 1/3 ln 2/3; times T^2 = 4.
    loss = distillation(torch.zeros(1, 2), torch.tensor([[0.8, 0.2]]), ALL, temperature=2.0)
    assert loss.item() == pytest.approx(4 * (2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3)), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_distillation_is_torchs_on_logits(temperature: float) -> None:
    torch.manual_seed(1)
    student, teacher = torch.randn(6, 5), torch.randn(6, 5)
    reference = temperature**2 * torch.nn.functional.kl_div(
        torch.log_softmax(student / temperature, -1),
        torch.softmax(teacher / temperature, -1),
        reduction="batchmean",
    )
    ours = distillation(student, teacher.softmax(-1), torch.ones(6, dtype=torch.bool), temperature)
    assert ours.item() == pytest.approx(reference.item(), rel=1e-4)


def test_distillation_of_a_certain_teacher_is_finite() -> None:
    # KL((1, 0) || (1/2, 1/2)) = ln 2, with 0 ln 0 = 0
    logits = torch.zeros(1, 2, requires_grad=True)
    loss = distillation(logits, torch.tensor([[1.0, 0.0]]), ALL)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert torch.isfinite(logits.grad).all()


def test_squared_emd_by_hand() -> None:
    # Uniform over 4 levels: cumulative (1/4, 1/2, 3/4, 1). Target level 0: (1, 1, 1, 1).
    # Gaps 3/4, 1/2, 1/4, 0: 9/16 + 4/16 + 1/16 = 14/16. Target level 1: (0, 1, 1, 1): 1/16 + 4/16 + 1/16 = 6/16.
    uniform = torch.zeros(1, 4)
    for level, expected in ((0, 14 / 16), (1, 6 / 16)):
        target = torch.nn.functional.one_hot(torch.tensor([level]), 4).float()
        assert squared_emd(uniform, target, ALL, 4).item() == pytest.approx(expected)


def test_squared_emd_leaves_na_out() -> None:
    # Row 1: N/A is no step; conditioned on two levels the answer is (1/2, 1/2), the target (1, 0): gap (1/2)^2.
    # Row 2 is N/A for certain and has weight 0. Row 3 has half its mass on levels, all of it on level 0, and an
    # answer of (1, 0): no gap. Mean: (1 * 1/4 + 1/2 * 0) / (1 + 1/2) = 1/6.
    logits = torch.tensor([[0.0, 0.0, 3.0], [5.0, 0.0, 0.0], [50.0, 0.0, 0.0]])
    targets = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.5, 0.0, 0.5]])
    assert squared_emd(logits, targets, torch.ones(3, dtype=torch.bool), 2).item() == pytest.approx(1 / 6)


def test_unknown_rows_count_for_nothing() -> None:
    logits = torch.tensor([[0.0, 0.0], [9.0, -9.0]], requires_grad=True)
    targets = torch.tensor([[1.0, 0.0], [float("nan"), float("nan")]])
    known = torch.tensor([True, False])
    # Row 1 alone: ln 2, ln 2, and (1/2 - 1)^2 = 1/4.
    for loss, expected in (
        (soft_cross_entropy(logits, targets, known), math.log(2)),
        (distillation(logits, targets, known), math.log(2)),
        (squared_emd(logits, targets, known, 2), 0.25),
    ):
        assert loss.item() == pytest.approx(expected)
        logits.grad = None
        loss.backward()
        assert torch.isfinite(logits.grad).all()
        assert logits.grad[1].abs().sum() == 0


def test_nothing_known_is_zero_with_zero_gradient() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    nothing = torch.tensor([False, False])
    for loss in (
        soft_cross_entropy(logits, torch.zeros(2, 3), nothing),
        distillation(logits, torch.zeros(2, 3), nothing),
        squared_emd(logits, torch.zeros(2, 3), nothing, 3),
    ):
        logits.grad = None
        loss.backward()
        assert loss.item() == 0
        assert logits.grad.abs().sum() == 0


def test_total_loss_weighs_its_parts() -> None:
    heads = heads_of(policy())  # taste: 3 levels; strength: 2 levels and N/A
    student = recipe(
        "none",
        ordinal_weight=2.0,
        data={"golden_weight": 3.0, "soft_labels": {"weight": 0.5, "temperature": 1.0}},
    )
    logits = {"taste": torch.zeros(1, 3), "strength": torch.zeros(1, 3)}
    golden = Targets.of(heads, [{"taste": (1.0, 0.0, 0.0)}])
    soft = Targets.of(heads, [{"strength": (1.0, 0.0, 0.0)}])
    loss = total_loss(student, heads, logits, lesson(student, golden, soft))
    # Golden: ln 3 + 2 * EMD; cumulative (1/3, 2/3, 1) against (1, 1, 1): 4/9 + 1/9 = 5/9. Soft: KL = ln 3.
    # Dimensions without a known target are not in the mean.
    assert loss.golden is not None
    assert loss.soft is not None
    assert loss.golden.item() == pytest.approx(math.log(3) + 10 / 9)
    assert loss.soft.item() == pytest.approx(math.log(3))
    assert loss.total.item() == pytest.approx(3 * (math.log(3) + 10 / 9) + 0.5 * math.log(3))


def test_total_loss_leaves_out_what_the_recipe_does_not_ask_for() -> None:
    heads = heads_of(policy())
    logits = {"taste": torch.zeros(1, 3), "strength": torch.zeros(1, 3)}
    targets = Targets.of(heads, [{"taste": (1.0, 0.0, 0.0)}])
    plain = recipe("none", ordinal_weight=0.0)
    loss = total_loss(plain, heads, logits, lesson(plain, targets, targets))
    assert loss.soft is None
    assert loss.total.item() == pytest.approx(math.log(3))
