"""Keys come from the environment and stay there: after failing calls they are in no file, no text and no page.

The server says the key it was sent in every way that an answer has room for. Each way to a provider has a key of its
own, so that a key is not taken out only because another variable happens to hold it too.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
import typer
from streamlit.testing.v1 import AppTest
from workspace_samples import NAME, golden_set, pair

from workbench import cli, cli_judges, jobs, judge_registry
from workbench.errors import BadInput
from workbench.fake_provider import Behaviour, FakeProvider, Reply, Request, error, graded, text
from workbench.judge_runs import start_run
from workbench.run import EnsembleSpec, JudgeSpec, LlmSpec, PluginSpec
from workbench.store import Store
from workbench.store.judges import JudgeStore
from workbench.workspace import Workspace

sys.path.append(str(Path(__file__).parent / "judges"))
from plugin_samples import install, package

NEEDLE = "zq7Xw4fK2mPq9Lr1Tn8"  # looks like no key by itself: it can only be found by its value
KEYS = {
    "LEAK_TEST_TOKEN": f"own-{NEEDLE}",  # named by the judge; its name says nothing
    "HOSTED_VLLM_API_KEY": f"litellm-{NEEDLE}",  # found by litellm
    "LEAK_API_KEY": f"plugin-{NEEDLE}",
}
ROOT = Path(__file__).parents[1]
TEAS = [pair(f"wish {i}", f"tea {i}") for i in range(14)]

LEAKING_PLUGIN = """\
import os
from workbench.run import JudgeIdentity, Judgement, Verdict

class Leaking:
    identity = JudgeIdentity(kind="plugin", name="leaking")

    async def grade(self, policy, pairs):
        key = os.environ["LEAK_API_KEY"]
        first = list(pairs)[0]
        told = tuple(Judgement(dimension=k, grade=0, rationale=key) for k in policy.keys)
        yield Verdict(pair_id=first.id, judgements=told, raw=f"sent {key}")
        raise OSError(f"refused {key}")

def make():
    return Leaking()
"""


def sent(request: Request) -> str:
    """The key as the server got it."""
    return request.headers["authorization"].removeprefix("Bearer ")


def echoing(make: Callable[[str], Behaviour]) -> Behaviour:
    return lambda request: make(sent(request))(request)


ECHOES: dict[str, Behaviour] = {
    "400": echoing(lambda key: error(400, f"bad request of {key}")),
    "422": echoing(lambda key: error(422, f"{key}", code=key)),
    "500": echoing(lambda key: error(500, f"worker of {key} died")),
    "429": echoing(lambda key: error(429, f"{key} is too fast")),
    "no completion": lambda r: Reply(json.dumps({"error": {"message": f"no GPU for {sent(r)}"}}).encode()),
    "page": lambda r: Reply(f"<html>{sent(r)}".encode(), 200, {"Content-Type": f"text/html; x={sent(r)}"}),
    "refusal": echoing(lambda key: text(None, refusal=f"I know {key}.")),
    "prose": echoing(lambda key: text(f"Your key is {key}.")),
    "prose again": echoing(lambda key: text(f"Your key is still {key}.")),
    "reason": echoing(lambda key: graded(write=lambda reply: reply.replace("A hash", key))),
    "cut off": echoing(lambda key: text(f'{{"a": "{key}', finish_reason="length")),
    "model": lambda r: Reply(graded()(r).body.replace(b"fake-hash-grader", sent(r).encode())),
}  # fmt: skip
REFUSED = echoing(lambda key: error(401, f"Incorrect API key provided: {key}", code=key))


@pytest.fixture
def space(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A golden set, keys in the environment, and a store that keeps judges."""
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    golden_set(workspace, [(p, {"taste": i % 3, "strength": i % 2}) for i, p in enumerate(TEAS)])
    if isinstance(workspace.store, JudgeStore):
        yield workspace
        return
    whole = type("WholeStore", (Store, JudgeStore), {})
    monkeypatch.setattr("workbench.workspace.Store", whole)
    opened = whole(workspace.store.url)
    yield replace(workspace, store=opened)
    opened.close()


def found_in(space: Workspace) -> list[str]:
    """The files of the workspace that hold a key."""
    return [
        str(path.relative_to(space.root))
        for path in sorted(space.root.rglob("*"))
        if path.is_file() and NEEDLE.encode() in path.read_bytes()
    ]


def all_text(space: Workspace) -> str:
    return "\n".join(
        path.read_bytes().decode("utf-8", "replace") for path in space.root.rglob("*") if path.is_file()
    )


def finished(space: Workspace, *judges: JudgeSpec) -> list[str]:
    """Run the judges side by side, collect what they did, and return the ids of the runs."""
    runs = [start_run(space, judge, policy=NAME, golden="tea", author="Ida") for judge in judges]
    list(jobs.wait(space, [f"job-{run.id}" for run in runs]))
    jobs.collect(space)
    return [run.id for run in runs]


def test_failing_runs_leave_no_key_anywhere(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site = install(tmp_path.parent / f"{tmp_path.name}-site", package("leaking", LEAKING_PLUGIN))
    monkeypatch.setenv("PYTHONPATH", str(site))
    with FakeProvider() as gone:
        closed = gone.base_url
    with (
        FakeProvider(ECHOES.values()) as mixed,
        FakeProvider(otherwise=REFUSED) as refusing,
        FakeProvider(ECHOES.values()) as by_litellm,
    ):
        monkeypatch.setenv("HOSTED_VLLM_API_BASE", by_litellm.base_url)
        own = {"api_key_env": "LEAK_TEST_TOKEN", "concurrency": 1}
        ids = finished(
            space,
            LlmSpec(model="fake-hash-grader", base_url=mixed.base_url, **own),
            LlmSpec(model="fake-hash-grader", base_url=refusing.base_url, **own),
            LlmSpec(model="hosted_vllm/fake-hash-grader", concurrency=1),
            LlmSpec(model="fake-hash-grader", base_url=closed, api_key_env="LEAK_TEST_TOKEN", cap_seconds=1),
            PluginSpec(plugin="leaking"),
        )
        # The keys went where they belong, and the servers said them.
        assert {sent(r) for r in mixed.requests} == {KEYS["LEAK_TEST_TOKEN"]}
        assert {sent(r) for r in by_litellm.requests} == {KEYS["HOSTED_VLLM_API_KEY"]}
        assert mixed.calls >= len(ECHOES)
        assert by_litellm.calls >= len(ECHOES)
    runs = [space.store.run(run_id) for run_id in ids]
    assert [run.status for run in runs[:3]] == ["finished", "failed", "finished"]
    assert runs[1].error.startswith("127.0.0.1:")
    assert "refused the key" in runs[1].error
    assert runs[0].totals.failed > 0
    assert runs[2].totals.failed > 0
    assert runs[4].status == "failed"
    assert "OSError: refused [key]" in runs[4].error
    assert found_in(space) == []
    kept = {path.name for path in space.root.rglob("*") if path.is_file()}
    assert kept >= {
        "workbench.db",
        "verdicts.sqlite",
        "judgements.jsonl",
        "spec.json",
        "result.json",
        "log.txt",
    }
    said = all_text(space)
    # What was said is there without the key: refusals, prose, error texts.
    for expected in ("bad request of [key]", "I know [key].", "Your key is [key].", "sent [key]"):
        assert expected in said
    monkeypatch.chdir(space.root)
    for run_id in ids:
        st.cache_resource.clear()
        st.cache_data.clear()
        page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        page.switch_page("workbench/pages/runs.py")
        page.query_params["run"] = run_id
        page.run()
        assert not page.exception
        drawn = str(page.main)
        assert NEEDLE not in drawn
        assert run_id in drawn or "failed" in drawn
    capsys.readouterr()
    for words in (["list", "--json"], ["list"], *(["show", run_id] for run_id in ids)):
        command("judge", *words)
    out = capsys.readouterr()
    assert runs[1].id in out.out
    assert NEEDLE not in out.out + out.err


def command(*words: str) -> int:
    """Call the entry point in this process, and return its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["workbench", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return int(ended.value.code or 0)


def test_the_command_line_prints_no_key(space: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeProvider(otherwise=REFUSED) as provider:
        where = ["--base-url", provider.base_url, "--api-key-env", "LEAK_TEST_TOKEN"]
        assert command("judge", "run", NAME, "--golden", "tea", "--judge", "fake-hash-grader", *where) == 1
        assert KEYS["LEAK_TEST_TOKEN"] in sent(provider.requests[-1])
    # The key where its variable's name belongs, and in the address.
    for wrong in (
        ["--api-key-env", KEYS["LEAK_API_KEY"]],
        ["--base-url", f"http://u:{KEYS['LEAK_API_KEY']}@127.0.0.1:9/v1"],
    ):
        assert command("judge", "run", NAME, "--golden", "tea", "--judge", "openai/m", *wrong) == 2
    out = capsys.readouterr()
    assert "refused the key" in out.out
    assert "error: " in out.err
    assert NEEDLE not in out.out + out.err
    assert found_in(space) == []


@pytest.mark.parametrize("name", [*ECHOES, "401", "refused connection"])
def test_a_test_call_says_no_key_and_keeps_none(
    space: Workspace, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    behaviour = REFUSED if name == "401" else ECHOES.get(name)
    with FakeProvider(otherwise=behaviour) as provider:
        spec = LlmSpec(model="m", base_url=provider.base_url, api_key_env="LEAK_TEST_TOKEN", timeout_s=5)
        if name == "refused connection":
            spec = spec.model_copy(update={"base_url": re.sub(r":\d+/", ":9/", provider.base_url)})
        judge_registry.add(space, "leaky", EnsembleSpec(members=(spec, spec)), "", "Ida")
        outcome = judge_registry.test_saved(space, "leaky")
        if name != "refused connection":
            assert {sent(r) for r in provider.requests} == {KEYS["LEAK_TEST_TOKEN"]}
    assert outcome.works == (name in ("reason", "model"))
    assert NEEDLE not in outcome.model_dump_json()
    cli_judges.judge_saved()
    cli_judges.judge_saved(as_json=True)
    with FakeProvider(otherwise=behaviour) as provider, pytest.raises(typer.Exit):
        cli_judges.judge_test("m", provider.base_url, "LEAK_TEST_TOKEN")
    out = capsys.readouterr()
    assert "leaky" in out.out
    assert NEEDLE not in out.out + out.err
    assert found_in(space) == []


def test_through_litellm_a_test_call_says_no_key(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for behaviour in (REFUSED, ECHOES["400"], ECHOES["page"], ECHOES["refusal"], ECHOES["model"]):
        with FakeProvider(otherwise=behaviour) as provider:
            monkeypatch.setenv("HOSTED_VLLM_API_BASE", provider.base_url)
            outcome = judge_registry.test_call(space, LlmSpec(model="hosted_vllm/fake-hash-grader"))
            assert sent(provider.requests[-1]) == KEYS["HOSTED_VLLM_API_KEY"]
        assert NEEDLE not in outcome.model_dump_json()
    assert outcome.works
    assert outcome.model == "[key]"  # what the server calls its model came from outside too


def test_a_key_that_is_given_instead_of_its_name_is_not_repeated(space: Workspace) -> None:
    key = KEYS["LEAK_API_KEY"]
    given = [
        LlmSpec(model="openai/m", api_key_env=key),
        LlmSpec(model="m", base_url=f"http://{key}@127.0.0.1:9/v1"),
        LlmSpec(model="m", base_url=f"http://127.0.0.1:9/v1?key={key}"),
        LlmSpec(model="openai/m", params={"user": key}),
    ]
    for spec in given:
        with pytest.raises(BadInput) as refused:
            start_run(space, spec, policy=NAME, golden="tea", author="Ida")
        assert NEEDLE not in str(refused.value)
        assert NEEDLE not in judge_registry.test_call(space, spec).model_dump_json()
    assert found_in(space) == []
