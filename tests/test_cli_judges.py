"""Judges under names from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from workbench import cli_judges
from workbench.errors import BadInput, Conflict, NotFound
from workbench.fake_provider import FakeProvider, error, graded
from workbench.run import CascadeSpec, LlmSpec
from workbench.store import Store
from workbench.store.judges import JudgeStore
from workbench.workspace import Workspace

Run = Callable[..., Result]


@pytest.fixture
def store(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeStore]:
    """The store that the commands open."""
    whole = Store if issubclass(Store, JudgeStore) else type("WholeStore", (Store, JudgeStore), {})
    monkeypatch.setattr("workbench.workspace.Store", whole)
    opened: Any = whole(workspace.store.url)
    yield opened
    opened.close()


@pytest.fixture
def run(store: JudgeStore) -> Run:
    """Call a command; an error of the user's is raised."""
    app = typer.Typer()
    for name in ("add", "test", "saved", "retire", "plugins"):
        app.command(name)(getattr(cli_judges, f"judge_{name}"))

    def call(*words: str) -> Result:
        result = CliRunner().invoke(app, words)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


def test_added_and_tested(run: Run, store: JudgeStore) -> None:
    with FakeProvider(otherwise=graded(lambda request, key, grades: 2)) as provider:
        url = provider.base_url
        done = run("add", "fake", "--model", "fake-hash-grader", "--base-url", url, "--note", "For trying.")
        assert done.exit_code == 0
        assert provider.calls == 1
        first, second, third = done.output.splitlines()
        assert first == f"added fake: fake-hash-grader at {url}"
        assert second.startswith("works: It answers: grade 2 in ")
        assert third == "  the server calls it fake-hash-grader; form of the reply: json_schema"
        run("add", "fake", "--model", "fake-hash-grader-b", "--base-url", url, "--no-test")
        assert provider.calls == 1
        assert run("test", "fake").exit_code == 0
        assert provider.calls == 2
    judge = store.judge("fake")
    assert judge.spec == LlmSpec(model="fake-hash-grader-b", base_url=url)
    assert (judge.note, judge.author, judge.revision) == ("For trying.", "Ida", 2)
    assert judge.tested is not None
    assert judge.tested["works"]


def test_one_that_does_not_answer_is_kept_and_said(run: Run, store: JudgeStore) -> None:
    with FakeProvider(otherwise=error(401, "no")) as provider:
        done = run("add", "bad", "--model", "m", "--base-url", provider.base_url)
    assert done.exit_code == 1
    assert "refused the key for m (401). Give the judge the name of the environment variable" in done.output
    (row,) = json.loads(run("saved", "--json").output)
    assert (row["name"], row["tested"]["works"]) == ("bad", False)
    assert "fails (" in run("saved").output
    missing = run("test", "openai/m", "--api-key-env", "NOBODY_SET_THIS", "--json")
    assert missing.exit_code == 1
    assert json.loads(missing.output)["said"] == "There is no key for openai/m at openai."


def test_any_kind_from_a_file(run: Run, store: JudgeStore, tmp_path: Path) -> None:
    file = tmp_path / "judge.yaml"
    file.write_text(
        "kind: cascade\nfirst: {kind: llm, model: openai/a, repeats: 3}\nsecond: {kind: llm, model: openai/b}\n",
        encoding="utf-8",
    )
    assert run("add", "both", "--file", str(file), "--no-test").exit_code == 0
    assert isinstance(store.judge("both").spec, CascadeSpec)
    for wrong in (
        [],
        ["--model", "openai/a", "--file", str(file)],
        ["--file", str(file), "--base-url", "http://a"],
    ):
        with pytest.raises(BadInput):
            run("add", "other", *wrong)


def test_retired_and_restored(run: Run, store: JudgeStore) -> None:
    assert "No judges are saved yet" in run("saved").output
    run("add", "ours", "--model", "openai/m", "--no-test")
    assert run("retire", "ours").output == "retired ours\n"
    assert "ours" not in run("saved").output
    assert "ours" in run("saved", "--retired").output
    with pytest.raises(Conflict, match="retired"):
        run("add", "ours", "--model", "openai/n", "--no-test")
    assert run("retire", "ours", "--undo").output == "restored ours\n"
    assert "ours" in run("saved").output
    with pytest.raises(NotFound):
        run("retire", "nobody")


def test_plugins_are_listed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.judges import plugins

    assert run("plugins").output.startswith("No installed package offers a judge")
    info = plugins.PluginInfo(
        name="overlap", package="overlap-judge", version="1.0.2", summary="Word overlap."
    )
    torn = plugins.PluginInfo(name="torn", package="torn", version="0.1", problem="ImportError: no")
    monkeypatch.setattr(plugins, "installed_plugins", lambda: [info])
    fine = run("plugins")
    assert fine.exit_code == 0
    assert "overlap-judge 1.0.2" in fine.output
    monkeypatch.setattr(plugins, "installed_plugins", lambda: [info, torn])
    broken = run("plugins")
    assert broken.exit_code == 1
    assert "cannot be loaded: ImportError: no" in broken.output
