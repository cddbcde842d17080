"""The cookbook's figures equal the project's own, and its claims are told by their interval."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.agreement import agreement
from workbench.ranking_metrics import auc, ndcg

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import cookbook_figures as figures


@pytest.fixture
def rows() -> pd.DataFrame:
    """Two models on 12 queries of 6 pairs: one follows the human grades, one does not look at them."""
    rng = np.random.default_rng(3)
    human = rng.integers(0, 4, 72)
    query = np.repeat([f"q{i:02}" for i in range(12)], 6)
    common = {"fold": 0, "query": query, "human": human, "attraction": 0.1 + 0.2 * human}
    near = human + rng.normal(0, 0.7, 72)
    far = rng.normal(1.5, 1, 72)
    parts = [
        pd.DataFrame(common | {"model": name, "grade": np.clip(np.rint(score), 0, 3).astype(int), "expected": score,
                               "click": 1 / (1 + np.exp(-score))})
        for name, score in (("near", near), ("far", far))
    ]  # fmt: skip
    return pd.concat(parts)


def test_kappa_ndcg_and_auc_are_those_of_the_project(rows: pd.DataFrame) -> None:
    found = figures.Figures(rows)
    part = found.rows["near"]
    queries = part["query"].to_numpy()
    of_ours = agreement(
        part["grade"].to_numpy(), part["human"].to_numpy(), queries, (0, 1, 2, 3), resamples=0
    )
    assert found.kappa("near")[0] == pytest.approx(of_ours.kappa_quadratic.value)
    ranked = ndcg(part["expected"].to_numpy(), part["human"].to_numpy(), queries, resamples=0)
    assert found.ndcg("near")[0] == pytest.approx(ranked.mean.value)
    chance = part["attraction"].to_numpy()
    area = auc(part["click"].to_numpy(), chance, np.ones(len(chance)), queries, resamples=0)
    assert found.auc("near")[0] == pytest.approx(area.value)


def test_a_claim_holds_beyond_its_interval_within_noise_or_not(rows: pd.DataFrame) -> None:
    found = figures.Figures(rows)
    ahead = found.kappa("near") - found.kappa("far")
    assert figures.claim("near is ahead", ahead, 0).endswith("| 0 | holds |")
    assert figures.claim("far is ahead", -ahead, 0).endswith("| does not hold |")
    # Half of the resamples say no: 0.01 on average, from -0.19 to 0.21.
    unsure = np.r_[0.01, np.linspace(-0.19, 0.21, 2000)]
    assert figures.claim("unsure", unsure, 0).endswith("| holds, within noise |")


def test_only_the_section_between_the_marks_is_written(tmp_path: Path) -> None:
    file = tmp_path / "results.md"
    file.write_text("a\n<!-- cookbook: begin -->\nold\n<!-- cookbook: end -->\nz\n", encoding="utf-8")
    figures.write_section(file, "Cookbook", "new | row")
    assert file.read_text() == "a\n<!-- cookbook: begin -->\nnew | row\n<!-- cookbook: end -->\nz\n"
    file.write_text("nothing", encoding="utf-8")
    with pytest.raises(SystemExit, match="has no section"):
        figures.write_section(file, "Cookbook", "new")
    assert file.read_text() == "nothing"
