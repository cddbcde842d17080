"""What the tests of data sets share: a golden set that a baseline can learn from, recipes, and the example on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workspace_samples import golden_set, pair

from workbench.dataset import DatasetRecipe
from workbench.golden import Pair
from workbench.workspace import Workspace

EXAMPLE = Path(__file__).parent / "data" / "datasets" / "tea-pool.yaml"
QUERIES, EACH, HELD_OUT = 12, 4, 2
WISHES = [
    "smoke over pine needles",
    "mint and fresh lime",
    "grassy leaf of spring",
    "malt for cold mornings",
    "red fruit without caffeine",
    "flowers after the rain",
    "chocolate in the evening",
    "ginger against a cough",
    "salt and roasted rice",
    "honey with warm milk",
    "orange peel at midnight",
    "cardamom like my aunt made",
]
"""No two of them are near: they share no two words in a row."""


def teas() -> list[Pair]:
    """Return 48 pairs: twelve queries of four teas, whose notes hold more or fewer words of the wish."""
    found = []
    for q, wish in enumerate(WISHES):
        for level in range(EACH):
            notes = " ".join(wish.split()[: level + 1])
            found.append(
                Pair(
                    query={"wishes": wish, "mood": "calm"},
                    document={"title": f"tea {q} of kind {level}", "notes": f"it tastes of {notes}"},
                )
            )
    return found


def published(workspace: Workspace) -> list[Pair]:
    """Publish the golden set ``tea``: taste is level // 2 + (level == 3), strength level mod 2; two queries holdout."""
    found = teas()
    grades = [(one, {"taste": (0, 1, 1, 2)[i % EACH], "strength": i % 2}) for i, one in enumerate(found)]
    golden_set(workspace, grades, holdout=found[-HELD_OUT * EACH :])
    return found


def recipe(**changes: Any) -> DatasetRecipe:
    """A recipe over ``pool.csv`` with the lexical baseline; top-level keys replaced."""
    plain: dict[str, Any] = {
        "dataset": "teas",
        "policy": "tea-match",
        "pool": {"kind": "pairs", "file": "pool.csv"},
        "judge": {"kind": "baseline", "use_embeddings": False},
        "golden": "tea",
        "probes": 0.3,
        "validation": 0.25,
    }
    return DatasetRecipe.model_validate(plain | changes)


def candidates(count: int = 30) -> list[Pair]:
    """Return pairs of queries that no golden set has, three teas each."""
    return [pair(f"wanted {i // 3} by guest {i // 3}", f"blend {i} lot {i * 7}") for i in range(count)]


def write_pool(folder: Path, pairs: list[Pair], name: str = "pool.csv") -> Path:
    """Write pairs as a table with the columns of our exports."""
    import pandas as pd

    rows = [
        {f"query_{k}": v for k, v in p.query.items()}
        | {f"document_{k}": v for k, v in p.document.items()}
        | {f"meta_{k}": v for k, v in p.meta.items()}
        for p in pairs
    ]
    path = folder / name
    pd.DataFrame(rows).to_csv(path, index=False)
    return path
