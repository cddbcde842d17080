"""Published data sets through the command line, end to end: import, judge runs, comparison, recorded judges.

Counts are those that the data sets' own README files state; floors of kappa are below what was measured.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench.evaluation import human_agreement, matrix
from workbench.labelers import labeler_agreement
from workbench.workspace import Settings, Workspace, open_workspace

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Place:
    """A workspace with the policies of the three data sets, and the shipped mappings."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "WORKBENCH_ROOT": str(self.root),
            "WORKBENCH_HOME": str(self.root / "var"),
            "WORKBENCH_USER": "Ida",
        }

    def open(self) -> Workspace:
        return open_workspace(Settings.from_environment(self.environment))

    def run(self, *words: object) -> Any:
        """Run a command in a process of its own and return what it prints as JSON."""
        command = [sys.executable, "-c", "from workbench.cli import main; main()", *map(str, words), "--json"]
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith("WORKBENCH_")
        } | self.environment
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("real")
    shutil.copytree(ROOT / "policies" / "product-search", root / "policies" / "product-search")
    shutil.copytree(ROOT / "golden_sets" / "mappings", root / "golden_sets" / "mappings")
    for name in ("summary-quality", "story-quality"):
        (root / "policies" / name).mkdir()
        shutil.copy(
            Path(__file__).parent / "data" / "policies" / f"{name}.v1.yaml",
            root / "policies" / name / "v1.yaml",
        )
    return Place(root)


@pytest.fixture(scope="module")
def products(place: Place, shared_data: Path) -> dict[str, Any]:
    """The product search ratings, imported and published."""
    found: dict[str, Any] = place.run("golden", "import", shared_data / "product_search_ratings", "--publish")
    return found


@pytest.fixture(scope="module")
def stories(place: Place, shared_data: Path) -> dict[str, Any]:
    """The stories with their recorded judges."""
    found: dict[str, Any] = place.run("golden", "import", shared_data / "story_judges")
    return found


@pytest.fixture
def workspace(place: Place) -> Iterator[Workspace]:
    """The same workspace, opened in this process."""
    opened = place.open()
    yield opened
    opened.store.close()


# Product search: 118 queries, 2,878 rows; two of them have the same texts


def test_product_ratings_are_read_whole(products: dict[str, Any]) -> None:
    assert products["mapping"] == "product_search_ratings.yaml"  # found by the folder's name
    assert (products["pairs"], products["queries"], products["merged_pairs"]) == (2877, 118, 1)
    # Three raters and the final rating on each of 2,878 rows.
    assert products["labels"] == {"human": 8634, "adjudicated": 2878}
    assert (products["labels_added"], products["problems"]) == (11512, [])
    assert products["snapshot"] == "product-search-ratings v1"


def test_two_policy_versions_are_run_and_compared(place: Place, products: dict[str, Any]) -> None:
    words = ("judge", "run", "--golden", products["golden"], "--judge", "baseline-lexical")
    runs = [place.run(*words, f"product-search@{number}") for number in (1, 2)]
    for run in runs:
        assert (run["status"], run["judge"]["name"]) == ("finished", "baseline-lexical")
        assert (run["totals"]["pairs"], run["totals"]["judgements"], run["totals"]["failed"]) == (
            2877,
            2877,
            0,
        )
    compared = place.run("compare", "product-search@1", "product-search@2")
    assert (compared["a"]["id"], compared["b"]["id"]) == (runs[0]["id"], runs[1]["id"])
    relevance, overall = compared["dimensions"]
    dev = place.run("judge", "show", runs[0]["id"])["agreement"][0]
    assert relevance["n"] == dev["n"]
    assert 0.6 * 2877 < relevance["n"] < 0.8 * 2877  # the holdout is 30 % of the queries, not of the pairs
    for side in ("A", "B"):
        # Measured: 0.69 and 0.67.
        assert 0.6 < relevance[side]["value"] < 0.8
        assert relevance[side]["low"] < relevance[side]["value"] < relevance[side]["high"]
        assert overall[side]["value"] == pytest.approx(relevance[side]["value"])  # the only dimension
    assert relevance["A"]["value"] == pytest.approx(dev["kappa"]["value"])
    delta = relevance["B - A"]
    assert delta["value"] == pytest.approx(relevance["B"]["value"] - relevance["A"]["value"])
    # The interval of a difference on the same queries is narrower than that of either kappa.
    assert delta["high"] - delta["low"] < (relevance["A"]["high"] - relevance["A"]["low"]) / 2
    assert 0 < relevance["fixed"] + relevance["broken"] + relevance["changed"] < relevance["n"]


def test_raters_agree_as_published(workspace: Workspace, products: dict[str, Any], shared_data: Path) -> None:
    found = human_agreement(workspace, products["golden"], split="all")["relevance"]
    assert found is not None
    names = [(pair.first, pair.second) for pair in found.pairwise]
    assert names == [("rater_1", "rater_2"), ("rater_1", "rater_3"), ("rater_2", "rater_3")]
    assert [round(float(pair.kappa.value or 0), 3) for pair in found.pairwise] == [0.799, 0.771, 0.732]
    # The raw file, where the two rows with the same texts are still two.
    raw = pd.read_csv(shared_data / "product_search_ratings" / "ratings.csv.gz")
    table = raw.pivot(index="rater", columns=["query_id", "product_id"], values="rating")
    clusters = [query for query, _ in table.columns]
    rater = labeler_agreement(
        table.to_numpy(dtype=np.int_), clusters, range(4), list(table.index), resamples=0
    )
    assert (rater.n, [round(float(pair.kappa.value or 0), 3) for pair in rater.pairwise]) == (
        2878, [0.799, 0.771, 0.732],
    )  # fmt: skip


def test_importing_the_same_folder_again_adds_nothing(
    place: Place, products: dict[str, Any], shared_data: Path
) -> None:
    again = place.run("golden", "import", shared_data / "product_search_ratings", "--publish")
    assert (again["pairs_added"], again["labels_added"], again["snapshot"]) == (0, 0, "")


# Summaries: 75 documents x 12 systems; some systems wrote the same summary


def test_summaries_are_read_whole(place: Place, shared_data: Path) -> None:
    found = place.run("golden", "import", shared_data / "summary_ratings")
    assert (found["pairs"], found["queries"], found["merged_pairs"]) == (891, 75, 9)
    # 900 items, four dimensions, eight raters.
    assert (found["labels"], found["labels_added"], len(found["labelers"])) == ({"human": 28800}, 28800, 8)
    shown = place.run("golden", "show", found["golden"])
    for row in shown["coverage"]:
        assert sum(row[str(level)] for level in range(1, 6)) == 891
        assert (row["N/A"], row["no label"]) == (0, 0)


# Stories: 1,056 stories, three raters, five judges under four prompts


def test_recorded_judges_become_runs_and_what_lies_outside_is_counted(stories: dict[str, Any]) -> None:
    assert (stories["pairs"], stories["queries"], stories["labels"]) == (1056, 96, {"human": 19008})
    assert stories["snapshot"] == "story-ratings v1"  # runs need one
    assert len({run["run"] for run in stories["recorded"]}) == 20
    # 1,051 of 126,720 scores lie below 1.
    assert sum(run["outside_scale"] for run in stories["recorded"]) == 1051
    assert sum(run["used"] for run in stories["recorded"]) == 126720 - 1051
    for run in stories["recorded"]:
        assert run["used"] + run["outside_scale"] == 6 * 1056


def test_twenty_recorded_judges_are_measured_in_one_matrix(
    workspace: Workspace, stories: dict[str, Any]
) -> None:
    runs = workspace.store.runs(golden=stories["golden"])
    rows = matrix(workspace, runs, split="all")
    assert len(rows) == 20
    outside = {run["run"]: run["outside_scale"] for run in stories["recorded"]}
    for row in rows:
        assert list(row.agreements) == [
            "relevance", "coherence", "empathy", "surprise", "engagement", "complexity", "overall",
        ]  # fmt: skip
        parts = [row.agreements[key] for key in list(row.agreements)[:6]]
        assert all(part.n + part.n_failed == 1056 for part in parts)
        assert sum(part.n_failed for part in parts) == outside[row.run.id] == row.run.totals.failed
        assert all(part.kappa_quadratic.value is not None for part in row.agreements.values())
    kappas = {row.run.judge.name: float(row.agreements["overall"].kappa_quadratic.value or 0) for row in rows}
    # Measured: 0.53 for Beluga-13B with prompt 1, 0.17 for Llama-13B with prompt 3.
    assert kappas["Beluga-13B (prompt_1)"] > 0.5
    assert kappas["Llama-13B (prompt_3)"] < 0.25


def test_recorded_runs_are_compared_like_others_and_imported_once(
    place: Place, stories: dict[str, Any], shared_data: Path
) -> None:
    by_name = {run["judge"]: run["run"] for run in stories["recorded"]}
    a, b = (by_name[f"Llama-13B (prompt_{n}) · story-quality v1"] for n in (3, 4))
    rows = place.run("compare", a, b)["dimensions"]
    relevance = rows[0]
    assert relevance["B - A"]["value"] > 0  # measured over all pairs: 0.14 and 0.26
    assert relevance["failed A"] > 0
    again = place.run("golden", "import", shared_data / "story_judges")
    assert (again["pairs_added"], again["labels_added"], again["snapshot"]) == (0, 0, "")
    assert [run["run"] for run in again["recorded"]] == [run["run"] for run in stories["recorded"]]
