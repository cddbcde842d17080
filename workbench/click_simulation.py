"""Simulated sessions with known truth: a ranker shows documents, a position-based reader clicks.

A session is one query. The ranker orders the query's documents by relevance plus Gaussian noise drawn anew in each
session, and shows the first K; each is examined with the probability of its position and, if examined, clicked with
its relevance. Everything that comes out says ``simulated``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from workbench.click_model import Floats, Ints
from workbench.errors import BadInput
from workbench.identity import Value

Probability = Annotated[float, Field(gt=0, le=1)]
SESSIONS_AT_ONCE = 20_000
_MEAN_GAP = 30.0  # seconds between sessions


class Simulation(Value):
    """How sessions are simulated; the same relevances and settings make the same impressions."""

    sessions: int = Field(ge=1, le=100_000_000)
    examination: tuple[Probability, ...] = Field(min_length=1, max_length=1_000, description="By position.")
    ranker_noise: float | None = Field(
        default=0.5,
        ge=0,
        allow_inf_nan=False,
        description="Standard deviation of the noise on relevance, which is 0 to 1; null: the order is drawn.",
    )
    seed: int = Field(default=0, ge=0)
    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class SimulatedImpressions:
    """Impressions of some sessions in order of time; all arrays of shape (impressions,)."""

    session: Ints  # number of the session, from 0
    query: Ints  # number of the query in the relevances' order of first appearance
    pair: Ints  # number of the (query, document) pair in the relevances' order
    position: Ints  # from 1
    time: npt.NDArray[np.datetime64]  # microseconds, UTC
    clicked: npt.NDArray[np.bool_]
    propensity: Floats  # true examination of the position
    relevance: Floats  # true relevance of the pair
    simulated: Literal[True] = True


def power_law(positions: int, exponent: float = 1.0) -> tuple[float, ...]:
    """Return examination (1/k)^exponent of positions 1 to ``positions`` (Joachims, Swaminathan and Schnabel, 2017)."""
    return tuple(float(k) ** -exponent for k in range(1, positions + 1))


def relevance_of_grades(grades: npt.ArrayLike, top: int, noise: float = 0.1) -> Floats:
    """Return noise + (1 - noise)(2^g - 1)/(2^top - 1): the chance that an examined document of grade g is clicked.

    The gain of Chapelle, Metzler, Zhang and Grinspan (2009) with click noise as in Ai, Bi, Luo, Guo and Croft (2018).

    Raises:
        ValueError: for grades outside 0..top.
    """
    given = np.asarray(grades, dtype=np.float64)
    if ((given < 0) | (given > top)).any():
        raise ValueError(f"grades are 0 to {top}")
    result: Floats = noise + (1 - noise) * (2**given - 1) / (2.0**top - 1)
    return result


def simulate(
    queries: Sequence[str], relevance: npt.ArrayLike, plan: Simulation
) -> Iterator[SimulatedImpressions]:
    """Yield the impressions of ``plan.sessions`` sessions, some sessions at a time; each draws a query uniformly.

    Args:
        queries: the query of each (query, document) pair.
        relevance: P(click | examined) of each pair, shape (pairs,), 0 to 1.

    Raises:
        BadInput: if there is no pair, or a relevance is no probability.
    """
    true = np.asarray(relevance, dtype=np.float64)
    if not len(queries) or len(queries) != len(true):
        raise BadInput(
            f"There are {len(queries)} pairs and {len(true)} relevances.", "Give one relevance for each pair."
        )
    if not ((true >= 0) & (true <= 1)).all():
        raise BadInput("A relevance lies outside 0 to 1.", "Relevance is P(click | examined).")
    members: dict[str, list[int]] = {}
    for i, query in enumerate(queries):
        members.setdefault(query, []).append(i)
    lists = [np.array(pairs, dtype=np.int64) for pairs in members.values()]
    rng = np.random.default_rng(plan.seed)
    seconds = plan.start.timestamp()
    for first in range(0, plan.sessions, SESSIONS_AT_ONCE):
        size = min(SESSIONS_AT_ONCE, plan.sessions - first)
        times = seconds + np.cumsum(rng.exponential(_MEAN_GAP, size))
        seconds = float(times[-1])
        yield _sessions(lists, true, plan, rng, first, times)


def _sessions(
    lists: list[Ints], true: Floats, plan: Simulation, rng: np.random.Generator, first: int, times: Floats
) -> SimulatedImpressions:
    examination = np.array(plan.examination)
    asked = rng.integers(len(lists), size=len(times))
    parts: list[tuple[Ints, Ints, Ints]] = []
    for query in np.unique(asked):
        sessions = np.flatnonzero(asked == query)
        pairs = lists[query]
        score = rng.standard_normal((len(sessions), len(pairs)))
        if plan.ranker_noise is not None:
            score = true[pairs] + plan.ranker_noise * score
        shown = pairs[np.argsort(-score, axis=1, kind="stable")[:, : len(examination)]]
        place = np.broadcast_to(np.arange(shown.shape[1]), shown.shape)
        parts.append((np.repeat(sessions, shown.shape[1]), shown.ravel(), place.ravel()))
    session, pair, place = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.lexsort((place, session))
    session, pair, place = session[order], pair[order], place[order]
    clicked = rng.random(len(pair)) < examination[place] * true[pair]
    return SimulatedImpressions(
        session=first + session,
        query=asked[session],
        pair=pair,
        position=place + 1,
        time=(times[session] * 1e6).astype("datetime64[us]"),
        clicked=clicked,
        propensity=examination[place],
        relevance=true[pair],
    )
