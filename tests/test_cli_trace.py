"""``workbench judge trace``: the story in words, as data, as a command, and asked again."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import typer
from trace_samples import TEAS, finished, llm, no_workers, published
from typer.testing import CliRunner, Result

from workbench.cli_trace import judge_trace
from workbench.errors import NotFound
from workbench.fake_provider import FakeProvider, error, text
from workbench.prompt_mode import PromptMode
from workbench.run import BaselineSpec, Run
from workbench.workspace import Workspace

PAIR = TEAS[0].id


@pytest.fixture
def tea(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    no_workers(monkeypatch)
    published(workspace)
    return workspace


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider([error(503, "busy", headers={"Retry-After": "0"})]) as provider:
        yield provider


@pytest.fixture
def run(tea: Workspace, provider: FakeProvider) -> Run:
    return finished(tea, llm(provider.base_url, concurrency=1))


def said(*words: str) -> Result:
    app = typer.Typer()
    app.command()(judge_trace)
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_the_story_is_told_in_sections(run: Run) -> None:
    done = said(run.id[:-2], PAIR.removeprefix("pair-")[:12])
    assert done.exit_code == 0
    out = done.stdout
    for part in (
        "system message\n---", "user message\n---", "[taste.1] Smoke counts as a taste.", "wish 0",
        "503: busy; waited", "answered", "The reply fits: 2 dimensions graded.", "response format  json_schema",
        "messages         verified", "2 calls, ", "cost unknown",
    ):  # fmt: skip
        assert part in out, part
    assert (
        max(map(len, out.splitlines())) < 700
    )  # only the reply, which is one long line of JSON, is not broken


def test_json_has_the_same_and_a_dimension_narrows_it(tea: Workspace, provider: FakeProvider) -> None:
    run = finished(tea, llm(provider.base_url, mode=PromptMode(scope="dimension")))
    told = json.loads(said(run.id, PAIR, "--json").stdout)
    assert [q["dimensions"] for q in told["questions"]] == [["taste"], ["strength"]]
    assert {q["key_check"] for q in told["questions"]} == {"verified"}
    assert [m["role"] for m in told["questions"][0]["messages"]] == ["system", "user"]
    (only,) = json.loads(said(run.id, PAIR, "--json", "--dimension", "strength").stdout)["questions"]
    assert only["dimensions"] == ["strength"]
    with pytest.raises(NotFound, match="tast") as missed:
        said(run.id, PAIR, "--dimension", "tast")
    assert missed.value.hint == "Did you mean taste?"


def test_curl_prints_the_command_alone(run: Run, provider: FakeProvider) -> None:
    out = said(run.id, PAIR, "--curl").stdout
    assert out.startswith(f"curl -sS {provider.base_url}/chat/completions \\\n")
    assert out.endswith("\nBODY\n")


def test_again_sets_both_answers_beside_each_other(run: Run, provider: FakeProvider) -> None:
    calls = provider.calls
    done = said(run.id, PAIR, "--again")
    assert (done.exit_code, provider.calls) == (0, calls + 1)
    assert "Asked again now" in done.stdout
    assert "  then  taste: " in done.stdout
    assert "  now   taste: " in done.stdout


def test_again_without_an_answer_ends_with_one(tea: Workspace) -> None:
    with FakeProvider(otherwise=text("no JSON")) as broken:
        run = finished(tea, llm(broken.base_url))
        done = said(run.id, PAIR, "--again", "--json")
    assert done.exit_code == 1
    (answer,) = json.loads(done.stdout)["again"]["answers"]
    assert answer["outcome"].startswith("The reply cannot be used: the reply starts with")
    assert answer["raw"] == "no JSON"


def test_other_judges_and_unknown_pairs(tea: Workspace) -> None:
    run = finished(tea, BaselineSpec(use_embeddings=False))
    assert "asks nobody in words" in said(run.id, PAIR).stdout
    with pytest.raises(NotFound) as missed:
        said(run.id, PAIR[:-2] + "zz")
    assert PAIR in missed.value.hint
