"""The lint job: levels compared by meaning, in the job's folder."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from workbench import lint_job
from workbench.backbone import minilm_available
from workbench.errors import BadInput, NotFound
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.lint_job import SIMILARITIES, LintSpec, criteria_key, read_similarities
from workbench.run import JobSpec

needs_minilm = pytest.mark.skipif(
    not minilm_available(), reason="the offline extra (MiniLM) is not installed"
)
SMOKE = ("Smoke was asked for.", "The guest asked for smoke.", "The invoice is paid within thirty days.")


def prepared(tmp_path: Path, *criteria: tuple[str, ...]) -> tuple[JobSpec, JobFolder]:
    given = LintSpec(criteria=criteria, cache=str(tmp_path / "cache"))
    spec = JobSpec(
        id="lint-1",
        kind="lint",
        title="Levels",
        created_at=datetime.now(UTC),
        payload=given.model_dump(mode="json"),
    )
    folder = JobFolder(tmp_path / "job")
    folder.create(spec)
    return spec, folder


@needs_minilm
def test_levels_are_compared_and_kept_by_their_texts(tmp_path: Path) -> None:
    spec, folder = prepared(tmp_path, SMOKE, ("Asked for.", ""))
    reporter = FolderReporter(folder)
    assert lint_job.run(spec, folder, reporter) == {"dimensions": 2, "encoder": "minilm"}
    reporter.close()
    found = read_similarities(folder.artifacts / SIMILARITIES)
    assert list(found) == [criteria_key(SMOKE), criteria_key(("Asked for.", ""))]
    rows = np.array(found[criteria_key(SMOKE)])
    assert rows.shape == (3, 3)
    assert rows == pytest.approx(rows.T)
    assert rows.diagonal() == pytest.approx(np.ones(3), abs=1e-4)
    # The two wordings of one wish are near, and a bill is far from both.
    assert rows[0, 1] > 0.8
    assert rows[:2, 2].max() < 0.3
    # A level without criteria is like nothing, not even itself.
    assert found[criteria_key(("Asked for.", ""))][1] == [0.0, 0.0]
    progress = folder.progress()
    assert progress is not None
    assert (progress.done, progress.total) == (2, 2)


@needs_minilm
def test_a_stopped_job_leaves_what_it_has(tmp_path: Path) -> None:
    spec, folder = prepared(tmp_path, SMOKE)
    reporter = FolderReporter(folder)
    reporter.stop()
    assert lint_job.run(spec, folder, reporter)["dimensions"] == 0
    reporter.close()
    assert read_similarities(folder.artifacts / SIMILARITIES) == {}


def test_the_key_changes_with_any_text_and_with_their_order() -> None:
    keys = {criteria_key(texts) for texts in (("a", "b"), ("b", "a"), ("a", "b", ""), ("ab", ""))}
    assert len(keys) == 4
    assert criteria_key(["a", "b"]) in keys


@pytest.mark.parametrize("text", ["[]", "{", '{"k": 1}', '{"k": [["x"]]}', '{"k": [[1, 0], [0]]}'])
def test_a_damaged_result_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / SIMILARITIES
    with pytest.raises(NotFound):
        read_similarities(path)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=r"does not hold similarities of levels\. Compare the levels again"):
        read_similarities(path)
    path.write_text(json.dumps({"k": [[1, 0.5], [0.5, 1]]}), encoding="utf-8")
    assert read_similarities(path) == {"k": [[1.0, 0.5], [0.5, 1.0]]}
