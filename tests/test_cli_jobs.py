"""``workbench jobs …``: lists, one job, its end and its log, and the clean-up that asks first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lineage_samples import ended, judged, published
from typer.testing import CliRunner, Result

from workbench.cli_jobs import app
from workbench.errors import BadInput, NotFound, Refused
from workbench.workspace import Workspace


@pytest.fixture
def tea(workspace: Workspace) -> Workspace:
    published(workspace)
    judged(workspace, "one")
    ended(
        workspace,
        "lint",
        "job-lint-2",
        status="cancelled",
        author="Ben",
        files={"log.txt": "begun\nstopped\n"},
    )
    return workspace


def said(*words: str) -> Result:
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_jobs_are_listed_and_filtered(tea: Workspace) -> None:
    out = said("list").stdout
    assert "job-run-one  judge run  finished" in out
    assert "$0.7500" in out
    found = json.loads(said("list", "--by", "Ben", "--json").stdout)
    assert [job["job"] for job in found["jobs"]] == ["job-lint-2"]
    assert (found["total"], found["jobs"][0]["state"]["status"]) == (1, "cancelled")
    assert "No job is like that." in said("list", "--kind", "trial").stdout
    with pytest.raises(BadInput):
        said("list", "--status", "gone")


def test_one_job_is_shown_by_the_start_of_its_id(tea: Workspace) -> None:
    out = said("show", "job-run").stdout
    assert "job      job-run-one" in out
    assert "cost     $0.7500 (3 calls)" in out
    with pytest.raises(NotFound, match="Several"):
        said("show", "job-")
    with pytest.raises(NotFound):
        said("show", "jab")


def test_a_job_that_ended_cannot_be_stopped_and_a_finished_one_not_resumed(tea: Workspace) -> None:
    done = said("stop", "job-run-one")
    assert (done.exit_code, done.stdout) == (1, "job-run-one: has ended already: finished\n")
    with pytest.raises(Refused, match="is finished"):
        said("resume", "job-run-one")


def test_the_log_and_the_command(tea: Workspace) -> None:
    assert said("log", "job-lint-2").stdout == "begun\nstopped\n"
    assert said("log", "job-lint-2", "--search", "STOP").stdout == "stopped\n"
    assert said("log", "job-lint-2", "--search", "x").exit_code == 1
    folder = tea.store.job("job-lint-2").folder
    assert json.loads(said("command", "job-lint-2", "--json").stdout)[-1] == folder
    assert folder in said("command", "job-lint-2").stdout


def test_a_clean_up_says_first_and_removes_with_yes(tea: Workspace) -> None:
    folder = Path(tea.store.job("job-run-one").folder)
    out = said("clean-up").stdout
    assert "it can still be resumed" in out
    assert "1 thing can go" in out
    assert (folder / "judgements.jsonl").exists()
    done = json.loads(said("clean-up", "--yes", "--json").stdout)
    assert [item["key"] for item in done["removed"]] == ["job-run-one"]
    assert not (folder / "judgements.jsonl").exists()
    assert "were removed on" in said("show", "job-run-one").stdout
    assert said("clean-up", "--yes", "--kind", "unfinished").exit_code == 0
    with pytest.raises(Refused, match=r"cannot go on\. Its files were removed"):
        said("resume", "job-lint-2")
    with pytest.raises(BadInput):
        said("clean-up", "--kind", "everything")
