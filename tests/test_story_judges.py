"""Five recorded judges under four prompt versions over 1,056 stories: matrix, comparisons and flips of all of them.

The scores are means over several answers; 1,051 of 126,720 lie below the scale, 1-5, and are failed judgements.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.agreement import OUTCOMES
from workbench.comparing import compare_runs
from workbench.documents import sync
from workbench.evaluation import matrix
from workbench.flip_table import all_flips
from workbench.importing import PathImport, import_path
from workbench.judgement_files import read_judgements
from workbench.judgement_imports import preview
from workbench.run import Run
from workbench.workspace import Settings, Workspace, open_workspace

ROOT = Path(__file__).parents[1]
KEYS = ["relevance", "coherence", "empathy", "surprise", "engagement", "complexity"]
PROMPTS = ["prompt_1", "prompt_2", "prompt_3", "prompt_4"]
JUDGES = ["Beluga-13B", "ChatGPT", "Llama-13B", "Mistral-7B", "OrcaPlatypus"]
STORIES, SCORES, OUTSIDE = 1056, 126720, 1051
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stories(shared_data: Path) -> Path:
    """The folder of the data set."""
    folder = shared_data / "story_judges"
    if not folder.is_dir():
        pytest.skip(f"no story_judges in {shared_data}; set WORKBENCH_SHARED_DATA")
    return folder


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace with the policy ``story-quality`` and the shipped mapping."""
    root = tmp_path_factory.mktemp("stories")
    (root / "policies" / "story-quality").mkdir(parents=True)
    policy = Path(__file__).parent / "data" / "policies" / "story-quality.v1.yaml"
    shutil.copy(policy, root / "policies" / "story-quality" / "v1.yaml")
    shutil.copytree(ROOT / "golden_sets" / "mappings", root / "golden_sets" / "mappings")
    environment = {"WORKBENCH_ROOT": str(root), "WORKBENCH_HOME": str(root / "var"), "WORKBENCH_USER": "Ida"}
    opened = open_workspace(Settings.from_environment(environment))
    assert sync(opened.root, opened.store).problems == ()
    yield opened
    opened.store.close()


@pytest.fixture(scope="module")
def imported(space: Workspace, stories: Path) -> PathImport:
    """The import by the shipped mapping."""
    return import_path(
        space, stories, mapping=None, policy=None, name=None, skip_bad_rows=False, dry_run=False, publish=False,
        author="Ida",
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(space: Workspace, imported: PathImport) -> dict[tuple[str, str], Run]:
    """(judge, prompt) -> its run."""
    found = {}
    for run in space.store.runs(golden="story-ratings"):
        judge, _, prompt = run.judge.name.removesuffix(")").partition(" (")
        found[judge, prompt] = run
    return found


def test_every_judge_and_prompt_is_a_run(runs: dict[tuple[str, str], Run]) -> None:
    assert sorted(runs) == [*itertools.product(JUDGES, PROMPTS)]
    assert sum(run.totals.failed for run in runs.values()) == OUTSIDE
    assert sum(run.totals.judgements for run in runs.values()) == SCORES


def test_the_matrix_has_a_figure_in_every_cell(space: Workspace, runs: dict[tuple[str, str], Run]) -> None:
    rows = matrix(space, list(runs.values()), split="all")
    assert len(rows) == 20
    for row in rows:
        assert list(row.agreements) == [*KEYS, "overall"]
        for key in KEYS:
            found = row.agreements[key]
            assert found.n + found.n_failed == STORIES
            value, low, high = (getattr(found.kappa_quadratic, name) for name in ("value", "low", "high"))
            assert value is not None
            assert -1 <= low <= value <= high <= 1
        assert row.run.totals.failed == sum(row.agreements[key].n_failed for key in KEYS)
        # The overall grade needs all six: where one of them failed, it did too.
        overall = row.agreements["overall"]
        assert overall.n + overall.n_failed == STORIES
        assert overall.n_failed >= max(row.agreements[key].n_failed for key in KEYS)


def test_every_prompt_beside_the_first_of_its_judge(
    space: Workspace, runs: dict[tuple[str, str], Run]
) -> None:
    """15 comparisons of seven dimensions, and their flips, which have to be those of the grades themselves."""
    for judge, prompt in itertools.product(JUDGES, PROMPTS[1:]):
        found = compare_runs(space, runs[judge, "prompt_1"], runs[judge, prompt], split="all")
        assert list(found.comparisons) == [*KEYS, "overall"]
        expected = {}
        for key in KEYS:
            human, a, b = found.truth.human[key], found.grades_a[key], found.grades_b[key]
            both = (a >= 0) & (b >= 0)
            comparison = found.comparisons[key]
            assert comparison.n == int((both & (human >= 0)).sum())
            assert comparison.n_failed_a == int((a < 0).sum())
            assert comparison.n_failed_b == int((b < 0).sum())
            delta = comparison.delta.kappa_quadratic
            assert delta.low <= delta.value <= delta.high
            assert comparison.p_holm is None or 0 <= comparison.p_holm <= 1
            moved = both & (a != b)
            right_a, right_b = a == human, b == human
            expected[key] = {
                "broken": int((moved & right_a).sum()),
                "fixed": int((moved & right_b).sum()),
                "changed": int((moved & ~right_a & ~right_b).sum()),
            }
            assert {name: comparison.counts[name] for name in expected[key]} == expected[key]
            assert (
                sum(np.isin(comparison.outcomes, [OUTCOMES.index(name) for name in expected[key]]))
                == moved.sum()
            )
        flips = all_flips(space, found)
        counted = pd.DataFrame([(flip.dimension, flip.outcome) for flip in flips]).value_counts()
        for key in KEYS:
            assert {name: counted.get((key, name), 0) for name in expected[key]} == expected[key]
        assert all({flip.a, flip.b} <= {1, 2, 3, 4, 5} for flip in flips if flip.dimension != "overall")


def test_one_judge_beside_another(space: Workspace, runs: dict[tuple[str, str], Run]) -> None:
    """Judges differ more than prompts: Llama-13B is worse than Beluga-13B beyond doubt (0.17 and 0.53 overall)."""
    found = compare_runs(space, runs["Beluga-13B", "prompt_1"], runs["Llama-13B", "prompt_3"], split="all")
    delta = found.comparisons["overall"].delta.kappa_quadratic
    assert delta.high < 0
    assert len(all_flips(space, found)) > STORIES


def test_the_same_scores_as_a_table_are_the_same_judgements(
    space: Workspace, runs: dict[tuple[str, str], Run], stories: Path, tmp_path: Path
) -> None:
    """Pairs named by their texts, as an export writes them, and the columns of the data set as they are."""
    scores = pd.read_csv(stories / "judge_ratings.csv.gz").merge(
        pd.read_csv(stories / "stories.csv.gz"), on="story_id"
    )
    named = scores.rename(
        columns={
            "story_id": "document_story_id",
            "system": "document_system",
            "prompt_index": "query_prompt_index",
            "policy": "version",
        }
    )
    path = tmp_path / "scores.parquet"
    named.to_parquet(path, index=False)
    file = read_judgements(path, policy=space.store.policy("story-quality"))
    assert (file.by_text, len(file.rows), dict(file.left_out)) == (True, SCORES, {})
    seen = preview(space, file, policy="story-quality", golden="story-ratings")
    assert (seen.known, seen.unknown, seen.unknown_dimensions, seen.repeated) == (STORIES, (), {}, 0)
    assert sum(seen.outside.values()) == OUTSIDE
    assert not seen.not_a_score
    for planned in seen.runs:
        judge, _, prompt = planned.run.judge.name.removesuffix(")").partition(" (")
        kept = space.store.judgements(runs[judge, prompt].id, [v.pair_id for v in planned.verdicts[:50]])
        for verdict in planned.verdicts[:50]:
            assert {j.dimension: j for j in verdict.judgements} == kept[verdict.pair_id]
