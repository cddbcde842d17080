"""What a training would start from and take: named, counted, stale or not here, before anything is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from lineage_samples import checkpoint, published, second_version
from training_samples import recipe

from workbench import training_outlook
from workbench.training_outlook import outlook
from workbench.workspace import Workspace

CONFIG = {
    "model_type": "bert", "hidden_size": 4, "num_hidden_layers": 1, "intermediate_size": 8, "vocab_size": 10,
    "max_position_embeddings": 6, "type_vocab_size": 2,
}  # fmt: skip


@pytest.fixture
def ready(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workspace with three labelled dev pairs and the configuration of a backbone; torch counts as installed."""
    published(workspace)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    monkeypatch.setattr(training_outlook, "missing_parts", lambda _: "")
    return workspace


def student(folder: Path, **changes: Any) -> Any:
    return recipe(folder, **({"data": {"golden": "tea"}} | changes))


def test_a_plain_recipe_has_no_origins_and_an_estimate(ready: Workspace, tmp_path: Path) -> None:
    found = outlook(ready, student(tmp_path))
    assert (found.problem, found.origins) == ("", ())
    # Three pairs in a batch of four, two epochs; at most 32 tokens of each pair.
    assert (found.estimate.pairs, found.estimate.steps, found.estimate.tokens) == (3, 2, 192)
    # Embeddings 72, their norm 8, the pooler 20, matrices 128, biases 28, norms 16.
    assert found.estimate.parameters == 272
    assert not list(ready.jobs_folder.glob("*"))  # nothing is started


def test_a_teacher_that_is_not_here_is_named_and_the_training_cannot_be_started(
    ready: Workspace, tmp_path: Path
) -> None:
    checkpoint(ready, "policy-mini-aaaa")
    found = outlook(
        ready, student(tmp_path, teachers=[{"checkpoint": "policy-mini"}, {"checkpoint": "gone"}])
    )
    assert [(o.role, o.name, o.known) for o in found.origins] == [
        ("teacher", "policy-mini-aaaa", True),
        ("teacher", "gone", False),
    ]
    assert found.problem
    assert found.estimate.pairs is None


def test_what_was_made_under_an_older_policy_is_stale_with_the_reason(
    ready: Workspace, tmp_path: Path
) -> None:
    checkpoint(ready, "policy-mini-aaaa")
    wanted = student(
        tmp_path, teachers=[{"checkpoint": "policy-mini"}], data={"golden": "tea", "dataset": "pool"}
    )
    assert outlook(ready, wanted).origins[0].stale == ()
    second_version(ready)
    teacher, pool = outlook(ready, wanted).origins
    assert teacher.stale == ("It was made under tea-match v1; v2 is the newest.",)
    assert (pool.role, pool.name, pool.known, pool.stale) == ("data set", "pool", False, ())


def test_an_executor_that_is_not_there_is_the_problem(ready: Workspace, tmp_path: Path) -> None:
    found = outlook(ready, student(tmp_path, executor="locl"))
    assert "'locl'" in found.problem


def test_a_damaged_configuration_is_the_problem_and_sizes_are_unknown(
    ready: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{")
    found = outlook(ready, student(tmp_path))
    assert "config.json cannot be read" in found.problem
    assert found.estimate.parameters is None
    assert found.estimate.steps == 2
