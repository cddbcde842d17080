"""How far a judge's grades moved under a probe (:mod:`workbench.probing`), beside how far they move without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr

from workbench.agreement import holm
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, Pair
from workbench.identity import Value
from workbench.policy import Body
from workbench.probing import PROBES, ProbeName
from workbench.resampling import Estimate, numbered, resample
from workbench.run import JudgeIdentity, Usage

EVERY = "every dimension"
"""What the figures over all dimensions together are called."""
SIGNIFICANCE = 0.05
RESAMPLES = 2000

Answers = Mapping[str, Mapping[str, int]]
"""Pair id -> dimension -> grade, N/A or NOT_GRADED; what is missing is not graded."""


class Movement(Value):
    """How far a judge's grades on one dimension (or on :data:`EVERY`) moved, over pairs answered both times.

    Shares are over ``n``, in which an N/A is an answer; ``shift`` is over the answers that are levels both times.
    """

    dimension: str
    n: int
    failed_before: int
    failed_after: int
    moved: Estimate  # share of answers that are another one after the change
    shift: Estimate  # mean of level after minus level before
    up: float | None = None  # share that rose; from N/A to a level counts. None without a comparable answer
    top_before: float | None = None  # share at the highest level
    top_after: float | None = None
    noise_n: int = 0  # answers comparable in all three: before, after and asked again
    noise: float | None = (
        None  # share of them that moved when nothing was changed; None where it was not measured
    )
    p: float | None = None  # one-sided exact McNemar, Holm over the dimensions of a probe
    within_noise: bool | None = None  # None where the noise is not known


class ProbeOutcome(Value):
    """What one probe found; with a reason in ``skipped``, nothing was measured."""

    probe: ProbeName
    skipped: str = ""
    movements: tuple[Movement, ...] = ()  # one a dimension, then EVERY

    @property
    def overall(self) -> Movement | None:
        """The figures over all dimensions."""
        return self.movements[-1] if self.movements else None


class ProbeReport(Value):
    """What a probe job found."""

    judge: JudgeIdentity
    policy: str
    policy_version: int
    golden: str
    golden_version: int
    pairs: int
    noise: bool  # whether the judge was asked a second time
    outcomes: tuple[ProbeOutcome, ...]
    usage: Usage = Usage()  # what all answers took; those from the verdict cache had been paid for


def measure(
    name: ProbeName,
    policy: Body,
    pairs: Sequence[Pair],
    before: Answers,
    after: Answers,
    again: Answers | None,
) -> ProbeOutcome:
    """Return how the grades of ``pairs`` moved.

    Intervals are by bootstrap over queries (:mod:`workbench.resampling`). A movement is beyond the judge's noise where
    answers that move under the probe alone are more than chance would have among those that move once: the one-sided
    exact McNemar test (McNemar 1947, Psychometrika 12; exact as a binomial test) of "moved under the probe" against
    "moved when asked again", on the answers comparable in all three. For a directed probe it is "rose" instead of
    "moved", because that is what it is for. p-values are corrected over the dimensions (Holm 1979). The test takes
    pairs as independent. All dimensions together are beyond the noise where one of them is.

    Args:
        after: answers under the probe, by the ids of the pairs before the change.
        again: answers to the unchanged question, asked a second time; None where that was not done.
    """
    directed = PROBES[name].directed
    queries = np.array([pair.query_id for pair in pairs])
    cells = [
        _Cells.of(dimension.key, dimension.scale[-1], pairs, before, after, again)
        for dimension in policy.dimensions
    ]
    movements = [_movement(one.dimension, one, queries, directed) for one in cells]
    corrected = holm([movement.p for movement in movements])
    movements = [
        movement.model_copy(update={"p": p, "within_noise": None if p is None else p > SIGNIFICANCE})
        for movement, p in zip(movements, corrected, strict=True)
    ]
    whole = _movement(EVERY, _Cells.joined(cells), np.tile(queries, len(cells)), directed)
    judged = [movement.within_noise for movement in movements if movement.within_noise is not None]
    # Answers about one pair are not independent, so there is no test over all of them.
    whole = whole.model_copy(update={"p": None, "within_noise": all(judged) if judged else None})
    return ProbeOutcome(probe=name, movements=(*movements, whole))


class _Cells(NamedTuple):
    """Grades of the same pairs, shape (cells,), and the highest level of each cell's dimension."""

    dimension: str
    top: npt.NDArray[np.int_]
    before: npt.NDArray[np.int_]
    after: npt.NDArray[np.int_]
    again: npt.NDArray[np.int_] | None

    @classmethod
    def of(
        cls, key: str, top: int, pairs: Sequence[Pair], before: Answers, after: Answers, again: Answers | None
    ) -> _Cells:
        def grades(given: Answers) -> npt.NDArray[np.int_]:
            return np.array([given.get(pair.id, {}).get(key, NOT_GRADED) for pair in pairs], dtype=np.int_)

        known = None if again is None else grades(again)
        return cls(key, np.full(len(pairs), top), grades(before), grades(after), known)

    @classmethod
    def joined(cls, parts: Sequence[_Cells]) -> _Cells:
        again = [part.again for part in parts if part.again is not None]
        return cls(
            EVERY,
            np.concatenate([part.top for part in parts]),
            np.concatenate([part.before for part in parts]),
            np.concatenate([part.after for part in parts]),
            np.concatenate(again) if again else None,
        )


def _movement(dimension: str, cells: _Cells, queries: npt.NDArray[Any], directed: bool) -> Movement:
    before, after, again = cells.before, cells.after, cells.again
    kept = (before != NOT_GRADED) & (after != NOT_GRADED)
    levels = (before >= 0) & (after >= 0)
    n = int(kept.sum())
    found: dict[str, Any] = {
        "dimension": dimension,
        "n": n,
        "failed_before": int((before == NOT_GRADED).sum()),
        "failed_after": int((after == NOT_GRADED).sum()),
        "moved": _mean((before != after).astype(float), kept, queries, "No pair was answered both times."),
        "shift": _mean((after - before).astype(float), levels, queries, "No pair got a level both times."),
    }
    if n:
        found |= {
            "up": float(_rose(before, after)[kept].mean()),
            "top_before": float((before == cells.top)[kept].mean()),
            "top_after": float((after == cells.top)[kept].mean()),
        }
    if again is not None and (three := kept & (again != NOT_GRADED)).any():
        by_probe = _rose(before, after) if directed else before != after
        by_chance = _rose(before, again) if directed else before != again
        found |= {
            "noise_n": int(three.sum()),
            "noise": float((before != again)[three].mean()),
            "p": _above(
                int((by_probe & ~by_chance & three).sum()), int((by_chance & ~by_probe & three).sum())
            ),
        }
    return Movement.model_validate(found)


def _rose(before: npt.NDArray[np.int_], after: npt.NDArray[np.int_]) -> npt.NDArray[np.bool_]:
    """Return where a grade rose; N/A counts as below every level, because nothing is gained by it."""
    low = np.where(before == NOT_APPLICABLE, -1, before)
    high = np.where(after == NOT_APPLICABLE, -1, after)
    result: npt.NDArray[np.bool_] = high > low
    return result


def _above(probe_alone: int, chance_alone: int) -> float:
    """Return the chance of at least so many of the discordant answers on the probe's side, were both sides as likely."""
    discordant = probe_alone + chance_alone
    return 1.0 if discordant == 0 or probe_alone == 0 else float(bdtr(chance_alone, discordant, 0.5))


def _mean(
    values: npt.NDArray[np.float64], kept: npt.NDArray[np.bool_], queries: npt.NDArray[Any], nothing: str
) -> Estimate:
    """Return the mean of the kept values with its interval by bootstrap over queries."""
    if not kept.any():
        return Estimate(None, None, None, nothing)
    numbers, count = numbered(queries, kept)
    rows = np.zeros((count, 2))
    np.add.at(rows, numbers, np.stack([values[kept], np.ones(kept.sum())], axis=1))
    drawn = resample(rows, resamples=RESAMPLES, seed=0)
    return drawn.estimate(lambda sums: sums[:, 0] / sums[:, 1], nothing)
