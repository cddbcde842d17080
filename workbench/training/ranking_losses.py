"""Losses of the click head: from impressions, and from the order of documents within a query.

Shapes: a *cell* is one pair at one position: how often it was ``shown`` there and how often ``clicked``, both (cells,),
with the click head's logits for the pairs in the cells, (cells,). A *row* is a pair of the batch, (rows,), with the
number of its query. Where nothing is known the loss is 0 and has a zero gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid, softplus


def click_cross_entropy(logits: Tensor, shown: Tensor, clicked: Tensor) -> Tensor:
    """Return the mean over impressions of ``-c log s - (1 - c) log(1 - s)`` with ``s = sigmoid(logit)``.

    Binary cross-entropy on counts: a cell of n impressions with k clicks gives ``-k log s - (n - k) log(1 - s)``.
    Its least value is reached at the click rate.
    """
    loss = -clicked * logsigmoid(logits) - (shown - clicked) * logsigmoid(-logits)
    return _ratio(loss.sum(), shown.sum())


def propensity_cross_entropy(
    logits: Tensor, shown: Tensor, clicked: Tensor, propensity: Tensor, clip: float
) -> Tensor:
    """Return the mean over impressions of ``-min(1/p, clip) c log s - (1 - c) log(1 - s)``.

    A click at a position of propensity p counts 1/p times (inverse propensity scoring: Joachims, Swaminathan and
    Schnabel 2017, equation 4), so that what is rarely looked at is not taken for irrelevant; weights above ``clip`` are
    cut, which trades a little bias for less variance (Strehl et al. 2010). The pointwise form that is unbiased for
    relevance also puts ``1 - c/p`` on the second term (Saito et al. 2020), which has no least value for one impression:
    it is not used. So ``s`` orders documents and is no click rate.

    Args:
        logits, shown, clicked: (cells,).
        propensity: probability that the cell's position is looked at, in (0, 1], (cells,).
        clip: largest weight of a click, at least 1.
    """
    weight = propensity.reciprocal().clamp_max(clip)
    loss = -clicked * weight * logsigmoid(logits) - (shown - clicked) * logsigmoid(-logits)
    return _ratio(loss.sum(), shown.sum())


def pairwise_logistic(scores: Tensor, targets: Tensor, queries: Tensor, known: Tensor) -> Tensor:
    """Return the mean of ``log(1 + exp(s_j - s_i))`` over pairs of rows of one query with ``t_i > t_j``.

    RankNet (Burges et al. 2005, equation 3) where the target probability is 1 for the better document.

    Args:
        scores, targets: (rows,).
        queries: number of each row's query, (rows,).
        known: which rows have a target, boolean (rows,).
    """
    targets = torch.where(known, targets, 0.0)
    together = (queries[:, None] == queries[None, :]) & known[:, None] & known[None, :]
    better = together & (targets[:, None] > targets[None, :])
    loss = softplus(scores[None, :] - scores[:, None])
    return _ratio(torch.where(better, loss, 0.0).sum(), better.sum().to(scores.dtype))


def listwise_softmax(scores: Tensor, targets: Tensor, queries: Tensor, known: Tensor) -> Tensor:
    """Return the mean over queries of ``-sum_i y_i log p_i``: ListNet, top one (Cao et al. 2007, section 4.3).

    ``p`` is the softmax of the scores of a query's known rows; ``y`` are its targets divided by their sum (click rates
    are probabilities already, so the softmax over targets of the paper is not taken). A query with one known row, or
    whose targets are all 0, says nothing of an order and is left out.

    Args:
        scores, targets: (rows,); targets are not negative.
        queries: number of each row's query, (rows,).
        known: which rows have a target, boolean (rows,).
    """
    targets = torch.where(known, targets, 0.0)
    parts = []
    for query in torch.unique(queries[known]):
        rows = known & (queries == query)
        wanted = targets[rows]
        if len(wanted) > 1 and bool(wanted.sum() > 0):
            parts.append(-(wanted / wanted.sum() * log_softmax(scores[rows], dim=0)).sum())
    return torch.stack(parts).mean() if parts else scores.sum() * 0.0


def _ratio(total: Tensor, count: Tensor) -> Tensor:
    return total / count.clamp_min(torch.finfo(total.dtype).tiny)
