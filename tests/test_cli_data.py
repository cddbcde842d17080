"""``workbench data``: make with a plan and without, list, show, check, and their exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from dataset_samples import EXAMPLE, candidates, published, recipe, write_pool

from workbench import cli_data
from workbench.errors import BadInput, NotFound
from workbench.fake_provider import FakeProvider, error
from workbench.workspace import Workspace
from workbench.yamltext import dump


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str


Data = Callable[..., Done]


@pytest.fixture
def data(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> Data:
    """Call the commands by themselves over the sample golden set; errors for a person come out as they are."""
    published(workspace)
    app = typer.Typer()
    for name in ("make", "list", "show", "check"):
        app.command(name)(getattr(cli_data, f"data_{name}"))

    def call(*words: object) -> Done:
        capsys.readouterr()
        try:
            code = app([str(word) for word in words], standalone_mode=False)
        except typer.Exit as ended:
            code = ended.exit_code
        return Done(int(code or 0), capsys.readouterr().out)

    return call


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A recipe file beside its pool."""
    write_pool(tmp_path, candidates(30))
    path = tmp_path / "teas.yaml"
    path.write_text(dump(recipe().model_dump(mode="json")))
    return path


def test_a_plan_in_words_and_as_json(data: Data) -> None:
    done = data("make", EXAMPLE, "--plan")
    assert done.code == 0
    assert done.out.splitlines() == [
        "30 pairs in the pool, 30 to grade with baseline, 8 probes",
        "at most 28 rows",
        "nothing is sent",
    ]
    found: dict[str, Any] = json.loads(data("make", EXAMPLE, "--plan", "--json", "--set", "size=5").out)
    assert (found["pool"], found["rows"], found["calls"]) == (30, 13, 0)
    with FakeProvider() as provider:
        words = ("--judge", "fake-hash-grader", "--base-url", provider.base_url)
        done = data("make", EXAMPLE, "--plan", *words, "--set", "choose=all", "--set", "size=10")
        assert provider.calls == 0
    assert "20 pairs" not in done.out
    assert "left out: not drawn: 20" in done.out
    assert "18 calls (0 answers known)" in done.out
    assert "cost unknown" in done.out


def test_what_cannot_be_read_is_one_sentence(data: Data, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no file .*none\.yaml"):
        data("make", tmp_path / "none.yaml", "--plan")
    with pytest.raises(BadInput, match="has no '='"):
        data("make", EXAMPLE, "--plan", "--set", "size")
    with pytest.raises(NotFound, match=r"'pool\.nere'"):
        data("make", EXAMPLE, "--plan", "--set", "pool.nere=3")
    with pytest.raises(BadInput, match="'gpt' is no judge"):
        data("make", EXAMPLE, "--plan", "--judge", "gpt")


def test_nothing_is_made_yet(data: Data) -> None:
    assert data("list").out.startswith("There is no data set yet")
    assert json.loads(data("list", "--json").out) == []
    with pytest.raises(NotFound, match="No data set is called 'teas'"):
        data("show", "teas")


def test_make_list_show_check(data: Data, written: Path) -> None:
    done = data("make", written)
    assert done.code == 0
    assert "rows      42 (" in done.out
    assert "probes    12 pairs of tea v1" in done.out
    assert "checked   tea: 8 holdout pairs" in done.out
    assert "taste" in done.out
    line = data("list").out.splitlines()[1]
    assert line.startswith("teas-")
    assert "tea-match v1" in line
    name = line.split()[0]
    assert data("show", "teas").out.splitlines()[0] == name
    card: dict[str, Any] = json.loads(data("show", name, "--json").out)
    assert (card["id"], card["counts"]["rows"]) == (name, 42)
    checked = data("check", "teas")
    assert checked.code == 0
    assert checked.out.endswith("no leak, rows as written\n")
    assert json.loads(data("check", "teas", "--json").out)["sound"] is True


def test_a_leak_exits_with_1(data: Data, written: Path, workspace: Workspace) -> None:
    assert data("make", written).code == 0
    new = candidates(1)
    workspace.store.add_pairs("tea", new, {new[0].id: "holdout"})
    done = data("check", "teas")
    assert done.code == 1
    assert "leak: holdout pair: 1" in done.out
    assert "the holdout of tea has changed" in done.out


def test_a_failed_job_exits_with_1_and_says_why(data: Data, written: Path) -> None:
    with FakeProvider(otherwise=error(401, "bad key")) as provider:
        done = data("make", written, "--judge", "fake-hash-grader", "--base-url", provider.base_url, "--json")
    assert done.code == 1
    found = json.loads(done.out)
    assert (found["status"], found["dataset"]) == ("failed", None)
    assert "refused the key" in found["error"]


def test_without_waiting_the_job_is_named(data: Data, written: Path) -> None:
    assert json.loads(data("make", written, "--no-wait", "--json").out)["job"].startswith("job-data-")
