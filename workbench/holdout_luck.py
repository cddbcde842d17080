"""What luck does on a holdout that is looked at often: the best of k policies that are all equally good.

Each look at one holdout scores one more policy on the same pairs. Two equally good policies differ there by chance, with
the standard error of their paired difference; so each has an error of its own with that divided by the square root of
two, and what they share cancels. The best of k such scores lies above their true common value by the expected maximum
of k independent normal deviations. A winner chosen by the holdout has to be better than that to have been chosen for
more than luck (the reuse of a holdout: Dwork et al., "The reusable holdout", Science 349 (2015) 636-638).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from scipy.integrate import quad
from scipy.special import ndtr, ndtri


@dataclass(frozen=True)
class Luck:
    """By how much kappa of the best of ``looks`` equal policies lies above their true kappa."""

    looks: int
    expected: float
    at_most: float  # in 95 of 100 holdouts like this one


def luck(delta_error: float, looks: int) -> Luck:
    """Return what the best of ``looks`` equally good policies shows by luck alone.

    Args:
        delta_error: standard error of the paired difference of two runs on this holdout, see
            :func:`workbench.power.delta_error`.
        looks: how many policies (or judges) were scored on it.

    Raises:
        ValueError: for fewer than one look or a negative error.
    """
    if looks < 1:
        raise ValueError(f"{looks} looks are none to speak of")
    if not delta_error >= 0:
        raise ValueError(f"a standard error is 0 or more, not {delta_error}")
    own = delta_error / math.sqrt(2)
    return Luck(looks, own * expected_maximum(looks), own * max(0.0, float(ndtri(0.95 ** (1 / looks)))))


@lru_cache(maxsize=256)
def expected_maximum(k: int) -> float:
    """Return the expected maximum of ``k`` independent standard normal variables; 0 for one.

    The integral of 1 - F^k - F'^k over the positive half line, F the normal distribution function and F' = 1 - F.
    """
    return float(quad(lambda x: 1 - ndtr(x) ** k - ndtr(-x) ** k, 0, 12, limit=200)[0])
