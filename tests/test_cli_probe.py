"""``workbench judge probe``: its table, its JSON, and when it exits with 1."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import typer
from probe_samples import answering, gullible
from trial_samples import published_teas

from workbench.cli_probe import judge_probe
from workbench.errors import BadInput
from workbench.fake_provider import FakeProvider, error
from workbench.probes import probe_results
from workbench.workspace import Workspace


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str


Probe = Callable[..., Done]


@pytest.fixture
def probe(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Probe:
    """Call the command by itself, over 18 dev pairs; errors for a person come out as they are."""
    published_teas(workspace)
    app = typer.Typer()
    app.command("probe")(judge_probe)

    def call(*words: object) -> Done:
        arguments = ["tea-match", "--golden", "tea", "--pairs", "8", *map(str, words)]
        capsys.readouterr()
        try:
            code = app(arguments, standalone_mode=False)
        except typer.Exit as ended:
            code = ended.exit_code
        return Done(int(code or 0), capsys.readouterr().out)

    monkeypatch.setattr(sys, "argv", ["probe"])
    return call


def at(provider: FakeProvider, *more: object) -> list[object]:
    return ["--judge", "fake-hash-grader", "--base-url", provider.base_url, *more]


def test_a_gullible_judge_in_a_table(probe: Probe) -> None:
    with FakeProvider(otherwise=answering(gullible)) as provider:
        done = probe(*at(provider, "--only", "instruction", "--only", "padding"))
    assert done.code == 0  # it was measured
    lines = [line.split() for line in done.out.splitlines() if line.startswith(("instruction", "padding"))]
    # Two dimensions of eight pairs; all rise by one level. "every dimension" is two words.
    assert lines[0][:7] == ["instruction", "every", "dimension", "16", "1.00", "[1.00,", "1.00]"]
    assert lines[0][-1] == "yes"
    assert lines[1][:5] == ["padding", "every", "dimension", "16", "0.00"]
    assert lines[1][-1] == "no"
    assert "taste" in done.out  # a dimension that moved beyond the noise has a line of its own


def test_max_shift_is_a_gate(probe: Probe) -> None:
    with FakeProvider(otherwise=answering(gullible)) as provider:
        words = at(provider, "--only", "instruction", "--json")
        above = probe(*words, "--max-shift", 0.5)
        below = probe(*words, "--max-shift", 1)
    assert (above.code, json.loads(above.out)["above_max_shift"]) == (1, ["instruction +1.00"])
    assert below.code == 0
    data: dict[str, Any] = json.loads(below.out)
    assert (data["status"], data["above_max_shift"]) == ("finished", [])
    assert data["report"]["outcomes"][0]["movements"][-1]["shift"]["value"] == 1.0


def test_a_plan_sends_nothing(probe: Probe, workspace: Workspace) -> None:
    with FakeProvider() as provider:
        done = probe(*at(provider, "--plan", "--no-noise", "--only", "padding"))
        assert provider.calls == 0
    assert done.out.startswith("8 pairs, 2 passes: 16 calls (0 answers known), about ")
    assert "cost unknown: the price of a server of your own is not known" in done.out
    assert probe_results(workspace) == []
    assert json.loads(probe("--plan", "--json").out)["skipped"]["paraphrase"].endswith("gets no prompt.")


def test_a_failed_probe_exits_with_1_and_says_why(probe: Probe) -> None:
    with FakeProvider(otherwise=error(401, "bad key")) as provider:
        done = probe(*at(provider, "--only", "padding"))
    assert done.code == 1
    assert "refused the key" in done.out


def test_a_gate_does_not_pass_where_nothing_was_answered(probe: Probe) -> None:
    with FakeProvider(otherwise=error(400, "too long")) as provider:
        words = at(provider, "--only", "padding", "--json")
        assert probe(*words).code == 0
        gated = probe(*words, "--max-shift", 1)
    assert (gated.code, json.loads(gated.out)["above_max_shift"]) == (
        1,
        ["padding: nothing could be compared"],
    )


@pytest.mark.parametrize("words", [("--max-shift", "-1"), ("--max-shift", "1", "--no-wait")])
def test_a_gate_that_cannot_be_held_is_refused(probe: Probe, words: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match="--max-shift cannot be held"):
        probe(*words)


def test_without_waiting_the_job_is_named(probe: Probe, workspace: Workspace) -> None:
    done = probe("--judge", "baseline-lexical", "--no-wait", "--json")
    (found,) = probe_results(workspace)
    assert json.loads(done.out) == {"job": found.job.spec.id}
