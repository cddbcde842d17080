"""Losses of clicks, of order and of thresholds against values computed by hand."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from workbench.training.losses import cumulative_link  # noqa: E402
from workbench.training.ranking_losses import (  # noqa: E402
    click_cross_entropy,
    listwise_softmax,
    pairwise_logistic,
    propensity_cross_entropy,
)

ALL = torch.tensor([True])


def logit(*p: float) -> torch.Tensor:
    """Logits whose sigmoid is the given probabilities."""
    return torch.tensor([math.log(x / (1 - x)) for x in p])


def test_cumulative_link_by_hand() -> None:
    # p = (1/2, 1/4, 1/4): C = (1/2, 3/4). Target level 1: T = (0, 1). -(log(1 - 1/2) + log(3/4)).
    logits = torch.tensor([[0.5, 0.25, 0.25]]).log()
    loss = cumulative_link(logits, torch.tensor([[0.0, 1.0, 0.0]]), ALL, 3)
    assert loss.item() == pytest.approx(-math.log(0.5) - math.log(0.75))
    # A soft target halves between levels 0 and 2: T = (1/2, 1/2), each threshold -(1/2 log C + 1/2 log(1 - C)).
    loss = cumulative_link(logits, torch.tensor([[0.5, 0.0, 0.5]]), ALL, 3)
    assert loss.item() == pytest.approx(-math.log(0.5) - 0.5 * (math.log(0.75) + math.log(0.25)))


def test_cumulative_link_is_torchs_binary_cross_entropy_over_thresholds() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(6, 5), torch.randn(6, 5).softmax(-1)
    reference = torch.nn.functional.binary_cross_entropy(
        logits.softmax(-1).cumsum(-1)[:, :-1], targets.cumsum(-1)[:, :-1], reduction="none"
    )
    ours = cumulative_link(logits, targets, torch.ones(6, dtype=torch.bool), 5)
    assert ours.item() == pytest.approx(reference.sum(-1).mean().item(), rel=1e-5)


def test_cumulative_link_leaves_na_out_and_stays_finite() -> None:
    # Row 1 is N/A for certain: weight 0. Row 2: two levels, answer (1/2, 1/2), target level 0: -log 1/2.
    logits = torch.tensor([[300.0, 0.0, 0.0], [0.0, 0.0, 9.0]], requires_grad=True)
    targets = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    loss = cumulative_link(logits, targets, torch.tensor([True, True]), 2)
    assert loss.item() == pytest.approx(math.log(2))
    far = cumulative_link(logits[:1], targets[1:], ALL, 2) + cumulative_link(-logits[:1], targets[1:], ALL, 2)
    assert far.item() == pytest.approx(300, rel=1e-4)  # the wrong end of the scale: its log-odds
    far.backward()
    assert torch.isfinite(logits.grad).all()


def test_click_cross_entropy_by_hand() -> None:
    # Cell 1: 4 impressions, 1 click, s = 1/4: -(log 1/4 + 3 log 3/4). Cell 2: 1 impression, no click, s = 1/2: log 2.
    loss = click_cross_entropy(logit(0.25, 0.5), torch.tensor([4.0, 1.0]), torch.tensor([1.0, 0.0]))
    assert loss.item() == pytest.approx((math.log(4) + 3 * math.log(4 / 3) + math.log(2)) / 5)


def test_click_cross_entropy_is_torchs_on_single_impressions() -> None:
    torch.manual_seed(0)
    scores, clicks = torch.randn(20), (torch.rand(20) > 0.5).float()
    reference = torch.nn.functional.binary_cross_entropy_with_logits(scores, clicks)
    assert click_cross_entropy(scores, torch.ones(20), clicks).item() == pytest.approx(
        reference.item(), rel=1e-5
    )


def test_a_click_counts_one_over_its_propensity_at_most_the_clip() -> None:
    # Both cells: one impression, clicked, s = 1/2. Weights 1/0.5 = 2 and min(1/0.01, 10) = 10: 12 log 2 / 2.
    shown, clicked = torch.ones(2), torch.ones(2)
    loss = propensity_cross_entropy(torch.zeros(2), shown, clicked, torch.tensor([0.5, 0.01]), clip=10.0)
    assert loss.item() == pytest.approx(6 * math.log(2))
    # Where every position is looked at for certain it is plain binary cross-entropy.
    scores, clicked = torch.tensor([1.0, -2.0]), torch.tensor([1.0, 0.0])
    plain = click_cross_entropy(scores, shown, clicked)
    assert propensity_cross_entropy(scores, shown, clicked, torch.ones(2), 10.0).item() == pytest.approx(
        plain.item()
    )


def test_propensities_undo_position_bias_in_order() -> None:
    # Two equally good documents, one shown at a place that is looked at every time, one at a place looked at once in
    # ten: 50 and 5 clicks in 100. The minimum is at odds = weighted clicks / no clicks: 50/50 and 50/95.
    shown, clicked, propensity = (
        torch.tensor([100.0, 100.0]),
        torch.tensor([50.0, 5.0]),
        torch.tensor([1.0, 0.1]),
    )
    scores = torch.tensor([50 / 50, 50 / 95]).log().requires_grad_()
    propensity_cross_entropy(scores, shown, clicked, propensity, 20.0).backward()
    assert scores.grad.abs().max() < 1e-6
    naive = torch.tensor([50 / 50, 5 / 95]).log()
    assert (scores[0] - scores[1]).item() < (naive[0] - naive[1]).item()


def test_pairwise_logistic_by_hand() -> None:
    # Query 0: scores 1, 0, 2 with targets 2, 1, 0: pairs (0,1): log(1+e^-1), (0,2): log(1+e^1), (1,2): log(1+e^2).
    # Query 1 has one row, and row 4 is unknown: no pair.
    scores = torch.tensor([1.0, 0.0, 2.0, 5.0, 7.0], requires_grad=True)
    targets = torch.tensor([2.0, 1.0, 0.0, 1.0, float("nan")])
    queries, known = torch.tensor([0, 0, 0, 1, 0]), torch.tensor([True, True, True, True, False])
    loss = pairwise_logistic(scores, targets, queries, known)
    by_hand = (math.log1p(math.exp(-1)) + math.log1p(math.e) + math.log1p(math.exp(2))) / 3
    assert loss.item() == pytest.approx(by_hand)
    loss.backward()
    assert torch.isfinite(scores.grad).all()
    assert scores.grad[3:].tolist() == [0.0, 0.0]


def test_listwise_softmax_by_hand() -> None:
    # Query 0: p = (1/2, 1/4, 1/4), y = (0.2, 0.2, 0)/0.4: -(1/2 log 1/2 + 1/2 log 1/4) = 1.5 log 2.
    # Query 1: p = (3/4, 1/4), y = (0, 1): log 4. Query 2 has no click, query 3 one row: left out. Mean of two.
    scores = torch.tensor([2.0, 1.0, 1.0, 3.0, 1.0, 1.0, 1.0, 9.0]).log()
    targets = torch.tensor([0.2, 0.2, 0.0, 0.0, 0.3, 0.0, 0.0, 1.0])
    queries = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3])
    loss = listwise_softmax(scores, targets, queries, torch.ones(8, dtype=torch.bool))
    assert loss.item() == pytest.approx((1.5 * math.log(2) + math.log(4)) / 2)


def test_nothing_known_is_zero_with_zero_gradient() -> None:
    scores = torch.randn(3, requires_grad=True)
    nothing, queries = torch.zeros(3, dtype=torch.bool), torch.zeros(3, dtype=torch.long)
    for loss in (
        click_cross_entropy(scores, torch.zeros(3), torch.zeros(3)),
        propensity_cross_entropy(scores, torch.zeros(3), torch.zeros(3), torch.ones(3), 5.0),
        pairwise_logistic(scores, torch.zeros(3), queries, nothing),
        listwise_softmax(scores, torch.zeros(3), queries, nothing),
        cumulative_link(scores[None, :].expand(2, 3), torch.zeros(2, 3), nothing[:2], 3),
    ):
        scores.grad = None
        loss.backward()
        assert loss.item() == 0
        assert scores.grad.abs().sum() == 0
