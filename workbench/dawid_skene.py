"""Truth from raters of unequal care: the EM algorithm of Dawid and Skene, with a prior.

A. P. Dawid and A. M. Skene, *Maximum likelihood estimation of observer error-rates using the EM algorithm*, Applied
Statistics 28 (1979) 20-28. Every item has one true class, drawn with the class shares; every rater has a confusion
matrix, whose row for a true class says how often the rater answers what. Answers are independent given the truth.

The prior is what that paper lacks: with a handful of answers a rater's maximum likelihood row has zeros, and then one
rare answer decides an item for certain. Each row of a confusion matrix has a Dirichlet prior, as if the rater had
answered ``RIGHT`` times rightly and ``WRONG`` times wrongly before (spread evenly over the other classes), and the
class shares have one as if every class had been seen once. What comes out is the posterior mean of each step, so
that many answers outweigh the prior and few do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int_]

RIGHT = 4.0
WRONG = 2.0
TOLERANCE = 1e-6
MOST_STEPS = 500

_DECIMALS = 10
"""Posteriors are rounded in every step: else noise in the last bit, which comes from the order of the raters, could
grow from step to step and tip an item on which the raters are exactly undecided."""


@dataclass(frozen=True, eq=False)
class DawidSkene:
    """What EM settled on."""

    posteriors: Floats  # (items, classes); rows sum to 1
    shares: Floats  # (classes,): how common each class is
    confusions: Floats  # (raters, true class, answer); rows sum to 1
    steps: int
    converged: bool

    def classes(self) -> Ints:
        """Return the most probable class of each item, the first one where several are equally probable."""
        best = self.posteriors.max(axis=1, keepdims=True)
        found: Ints = (self.posteriors >= best - 10.0 ** (1 - _DECIMALS)).argmax(axis=1)
        return found


def dawid_skene(
    items: Ints,
    raters: Ints,
    answers: Ints,
    *,
    shape: tuple[int, int, int],
    known: Ints | None = None,
    right: float = RIGHT,
    wrong: float = WRONG,
    seen: float = 1.0,
    tolerance: float = TOLERANCE,
    most_steps: int = MOST_STEPS,
) -> DawidSkene:
    """Return the classes of items and the confusion matrices of raters, by EM from the shares of the answers.

    Deterministic; the order of the answers does not matter. Steps end when no posterior changes by more than
    ``tolerance``, or after ``most_steps`` (``converged`` is then False and the last step stands).

    Args:
        items, raters, answers: shape (answers,): rater ``raters[i]`` gave item ``items[i]`` the class ``answers[i]``.
        shape: how many items, raters and classes there are. An item without answers gets the class shares.
        known: shape (items,): the true class where it is known, -1 elsewhere. Raters are measured against it.
        right, wrong: answers credited beforehand to each rater for each true class, see above.
        seen: items credited beforehand to each class.

    Raises:
        ValueError: if indices do not fit ``shape``, or a prior is not above 0.
    """
    from scipy import sparse  # kept from those who only need a majority

    n_items, n_raters, n_classes = shape
    for name, index, size in (
        ("item", items, n_items),
        ("rater", raters, n_raters),
        ("class", answers, n_classes),
    ):
        if len(index) != len(items) or (len(index) and not 0 <= index.min() <= index.max() < size):
            raise ValueError(f"answers name a {name} outside 0 to {size - 1}, or are not of one length")
    if min(right, wrong, seen) <= 0:
        raise ValueError("a prior is above 0")
    # One row an item, one column a (rater, answer): both steps are products with this matrix.
    given = sparse.csr_array(
        (np.ones(len(items)), (items, raters * n_classes + answers)), shape=(n_items, n_raters * n_classes)
    )
    given.sum_duplicates()
    prior = np.full((n_classes, n_classes), wrong / max(n_classes - 1, 1))
    np.fill_diagonal(prior, right)
    fixed = np.zeros(n_items, dtype=bool) if known is None else known >= 0
    counts = np.zeros((n_items, n_classes))
    np.add.at(counts, (items, answers), 1.0)
    posteriors = np.where(counts.sum(axis=1, keepdims=True) > 0, counts, 1.0)
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    if known is not None:
        posteriors[fixed] = np.eye(n_classes)[known[fixed]]

    shares, confusions, steps, converged = np.empty(0), np.empty(0), 0, False
    while steps < most_steps and not converged:
        steps += 1
        shares = posteriors.sum(axis=0) + seen
        shares /= shares.sum()
        # (rater, answer, true class) -> (rater, true class, answer)
        confusions = (given.T @ posteriors).reshape(n_raters, n_classes, n_classes).transpose(0, 2, 1) + prior
        confusions /= confusions.sum(axis=2, keepdims=True)
        log = np.log(confusions).transpose(0, 2, 1).reshape(n_raters * n_classes, n_classes)
        likely = np.log(shares) + given @ log
        new = np.exp(likely - likely.max(axis=1, keepdims=True))
        new = np.round(new / new.sum(axis=1, keepdims=True), _DECIMALS)
        new /= new.sum(axis=1, keepdims=True)
        new[fixed] = posteriors[fixed]
        converged = bool(np.abs(new - posteriors).max(initial=0.0) <= tolerance)
        posteriors = new
    return DawidSkene(posteriors, shares, confusions, steps, converged)
