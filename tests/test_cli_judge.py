"""The judge that `workbench judge run` is told of, and runs whose failures are asked again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from workspace_samples import NAME, golden_set, pair

from workbench import cli, judge_runs
from workbench.errors import Refused
from workbench.fake_provider import FakeProvider, Reply, Request, graded, text
from workbench.prompt_mode import PromptMode
from workbench.run import BaselineSpec, CalibratedSpec, CascadeSpec, JudgeSpec, LlmSpec, PluginSpec
from workbench.workspace import Workspace

TEAS = [pair(f"wish {i // 4}", f"tea {i}") for i in range(12)]


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the entry point with arguments, in this process."""

    def call(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["workbench", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def tea(workspace: Workspace) -> Iterator[Workspace]:
    """The golden set ``tea``, 12 labelled pairs. No worker outlives its test."""
    golden_set(workspace, [(p, {"taste": i % 3, "strength": i % 2}) for i, p in enumerate(TEAS)])
    yield workspace
    for job in workspace.store.jobs(open_only=True):
        workspace.executor.stop(job.handle, kill=True)


@pytest.fixture
def chosen(run: Run, tea: Workspace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., JudgeSpec | str]:
    """Return the judge that a run would be started with, or what the command says instead."""
    started: list[JudgeSpec] = []

    def start(workspace: Workspace, judge: JudgeSpec, **more: Any) -> None:
        started.append(judge)
        raise Refused("Not in this test.")

    monkeypatch.setattr(judge_runs, "start_run", start)

    def call(*words: object) -> JudgeSpec | str:
        started.clear()
        done = run("judge", "run", NAME, "--golden", "tea", *words)
        assert done.code == 2
        return started[0] if started else done.err

    return call


def test_options_become_the_settings_of_a_model(chosen: Callable[..., JudgeSpec | str]) -> None:
    assert chosen("--judge", "openai/m") == LlmSpec(model="openai/m")
    asked = chosen(
        "--judge", "openai/m", "--repeats", 3, "--repeat", 7, "--temperature", 0.5, "--max-tokens", 300, "--logprobs",
        "--mode", "dimension", "--reason", "after", "--concurrency", 4, "--rpm", 60, "--cap-tokens", 5000, "--batch",
    )  # fmt: skip
    assert asked == LlmSpec(
        model="openai/m",
        repeats=3,
        repeat=7,
        params={"temperature": 0.5, "max_tokens": 300, "logprobs": True, "top_logprobs": 20},
        mode=PromptMode(scope="dimension", reason="after"),
        concurrency=4,
        requests_per_minute=60,
        cap_tokens=5000,
        delivery="batch",
    )
    own = chosen("--judge", "own", "--base-url", "http://127.0.0.1:9/v1", "--api-key-env", "OWN_KEY")
    assert own == LlmSpec(model="own", base_url="http://127.0.0.1:9/v1", api_key_env="OWN_KEY")


def test_calibration_and_other_kinds(chosen: Callable[..., JudgeSpec | str]) -> None:
    assert chosen("--judge", "plugin:ours") == PluginSpec(plugin="ours")
    assert chosen("--calibrated", "isotonic") == CalibratedSpec(judge=BaselineSpec(), method="isotonic")
    assert chosen("--judge", "o/m", "--repeats", 5, "--calibrated", "temperature") == CalibratedSpec(
        judge=LlmSpec(model="o/m", repeats=5)
    )


CASCADE = """\
kind: cascade
first: {kind: llm, model: openai/small, repeats: 10}
second: {kind: llm, model: openai/large}
"""
MODEL = (
    "{kind: llm, model: openai/m, params: {seed: 1}, mode: {scope: dimension}, concurrency: 3, repeats: 2}"
)


def test_a_file_keeps_its_settings_where_no_option_is_given(
    chosen: Callable[..., JudgeSpec | str], tmp_path: Path
) -> None:
    file = tmp_path / "judge.yaml"
    file.write_text(CASCADE, encoding="utf-8")
    small, large = LlmSpec(model="openai/small", repeats=10), LlmSpec(model="openai/large")
    assert chosen("--judge-file", file) == CascadeSpec(first=small, second=large)
    file.write_text(MODEL, encoding="utf-8")
    model = LlmSpec(
        model="openai/m", params={"seed": 1}, mode=PromptMode(scope="dimension"), concurrency=3, repeats=2
    )
    assert chosen("--judge-file", file) == model
    changed = chosen("--judge-file", file, "--reason", "none", "--temperature", 0, "--cap-usd", 2)
    assert changed == model.model_copy(
        update={
            "mode": PromptMode(scope="dimension", reason="none"),
            "params": {"seed": 1, "temperature": 0.0},
            "cap_usd": 2.0,
        }
    )
    # Written as the default is, an option is given all the same.
    assert chosen("--judge-file", file, "--repeats", 1) == model.model_copy(update={"repeats": 1})
    file.write_text(f"kind: calibrated\njudge: {MODEL}\n", encoding="utf-8")
    assert chosen("--judge-file", file, "--repeats", 4, "--calibrated", "isotonic") == CalibratedSpec(
        judge=model.model_copy(update={"repeats": 4}), method="isotonic"
    )


@pytest.mark.parametrize(
    ("content", "words", "said"),
    [
        (CASCADE, ("--judge", "baseline"), "Both --judge and --judge-file are given."),
        (CASCADE, ("--repeats", 3), "This judge consists of several, and the options are for one model."),
        (
            CASCADE,
            ("--calibrated", "isotonic"),
            "A judge that consists of several is not calibrated as a whole.",
        ),
        (CASCADE.replace("second", "third"), (), "judge.yaml, line 1 at second: Field required"),
        (MODEL, ("--repeats", 21), "The judge at repeats: Input should be less than or equal to 20"),
        ("{kind: baseline}", ("--temperature", 1), "This judge makes no calls."),
        (
            "{kind: llm, model: m, api_key: sk-very-secret-1}",
            (),
            "judge.yaml, line 1 at api_key: this key is not known",
        ),
    ],
)
def test_what_does_not_go_together(
    chosen: Callable[..., JudgeSpec | str], tmp_path: Path, content: str, words: tuple[object, ...], said: str
) -> None:
    file = tmp_path / "judge.yaml"
    file.write_text(content, encoding="utf-8")
    told = chosen("--judge-file", file, *words)
    assert isinstance(told, str)
    assert said in told
    assert "sk-very-secret" not in told


def test_a_cascade_from_a_file_runs_and_only_its_failures_are_asked_again(
    run: Run, tea: Workspace, tmp_path: Path
) -> None:
    refuse = {TEAS[2].document["title"], TEAS[7].document["title"]}
    answers = graded(lambda request, key, allowed: allowed[0])  # the repeats agree

    def behave(request: Request) -> Reply:
        user = request.message("user")
        if any(f"{title} tea" in user for title in refuse):
            return text(None, refusal="I would rather not.")(request)
        return answers(request)

    with FakeProvider(otherwise=behave) as provider:
        where = f"base_url: {provider.base_url}, concurrency: 2"
        file = tmp_path / "judge.yaml"
        file.write_text(
            "kind: cascade\nname: Two\nsure_at: 0.75\n"
            f"first: {{kind: llm, model: fake-hash-grader, repeats: 3, {where}}}\n"
            f"second: {{kind: llm, model: fake-hash-grader-b, {where}}}\n",
            encoding="utf-8",
        )
        done = run("judge", "run", NAME, "--golden", "tea", "--judge-file", file, "--json")
        assert (done.code, done.data["status"]) == (0, "finished"), done
        record = done.data
        # 10 pairs: three answers that agree on one of three levels, 3.5 / 4.5 = 0.78, are sure. Two pairs are refused
        # three times by the first judge and once by the second.
        assert (provider.calls, record["totals"]["calls"]) == (38, 38)
        assert (record["totals"]["pairs"], record["totals"]["failed"]) == (12, 4)
        assert (record["judge"]["kind"], record["judge"]["name"]) == ("cascade", "Two")
        # The model has thought better of one of them: that run's two failed pairs are asked again, and no other.
        refuse.remove(TEAS[2].document["title"])
        done = run("judge", "resume", record["id"], "--json")
        assert (done.code, done.data["status"], done.data["totals"]["failed"]) == (0, "finished", 2)
        assert provider.calls == 38 + 3 + 4
        assert done.data["totals"]["calls"] == provider.calls
        refuse.clear()
        assert run("judge", "resume", record["id"], "--json").data["totals"]["failed"] == 0
        assert provider.calls == 45 + 3
        # Nothing failed: nothing is asked.
        done = run("judge", "resume", record["id"], "--json")
        assert (done.data["status"], done.data["totals"]["pairs"], provider.calls) == ("finished", 12, 48)
