"""Counts of impressions for tests of click models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from workbench.click_model import ClickCounts, Floats, count
from workbench.click_simulation import Simulation, power_law, simulate


def counts_of(rows: Sequence[tuple[str, str, int, int, int]]) -> ClickCounts:
    """Counts of rows (query, document, position, impressions, clicks), in their order."""
    queries, documents, positions, impressions, clicks = zip(*rows, strict=True)
    return ClickCounts(
        query=pd.factorize(np.array(queries, dtype=object))[0].astype(np.int64),
        item=pd.factorize(
            np.array([f"{q}/{d}" for q, d in zip(queries, documents, strict=True)], dtype=object)
        )[0].astype(np.int64),
        position=np.array(positions, dtype=np.int64),
        impressions=np.array(impressions, dtype=np.float64),
        clicks=np.array(clicks, dtype=np.float64),
    )


def simulated_counts(
    *,
    noise: float | None,
    scale: float,
    sessions: int,
    queries: int = 60,
    documents: int = 8,
    positions: int = 6,
) -> tuple[ClickCounts, Floats]:
    """Counts of simulated sessions with examination 1/k, and the true relevances (uniform from 0 to ``scale``)."""
    names = [f"q{i}" for i in range(queries) for _ in range(documents)]
    relevance = np.random.default_rng(1).random(len(names)) * scale
    plan = Simulation(sessions=sessions, examination=power_law(positions), ranker_noise=noise, seed=3)
    parts = list(simulate(names, relevance, plan))
    query, pair, position, clicked = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("query", "pair", "position", "clicked")
    )
    return count(query, pair, position, clicked), relevance
