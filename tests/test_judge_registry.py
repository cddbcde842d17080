"""Judges under names, and their test calls: what works says so with its figures, what does not says why."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from workspace_samples import golden_set, pair

from workbench import judge_registry, judge_test_call
from workbench.errors import BadInput, Conflict, NotFound
from workbench.fake_provider import FakeProvider, Reply, Request, error, graded, late, text
from workbench.prompt_mode import PromptMode
from workbench.run import (
    BaselineSpec,
    CalibratedSpec,
    CascadeSpec,
    CheckpointSpec,
    EnsembleSpec,
    LlmSpec,
    PluginSpec,
)
from workbench.store import Store
from workbench.store.judges import JudgeStore
from workbench.workspace import Workspace

MODEL = LlmSpec(model="openai/m", api_key_env="OUR_KEY")


@pytest.fixture
def space(workspace: Workspace) -> Iterator[Workspace]:
    """The workspace with a store that keeps judges."""
    if isinstance(workspace.store, JudgeStore):
        yield workspace
        return
    whole = type("WholeStore", (Store, JudgeStore), {})(workspace.store.url)
    yield replace(workspace, store=whole)
    whole.close()


def at(provider: FakeProvider, **more: Any) -> LlmSpec:
    return LlmSpec.model_validate({"model": "fake-hash-grader", "base_url": provider.base_url} | more)


def without_schema(request: Request) -> Reply:
    """Refuse every response_format, as old servers do; answer in text."""
    if "response_format" in request.body:
        return error(400, "response_format is not supported")(request)
    return text('{"topic": {"reason": "r", "cites": [], "grade": 2}}')(request)


def test_added_changed_retired(space: Workspace) -> None:
    added = judge_registry.add(space, " small ", MODEL, " Ours. ", "Ida")
    assert (added.name, added.note, added.author, added.spec) == ("small", "Ours.", "Ida", MODEL)
    other = MODEL.model_copy(update={"concurrency": 2})
    changed = judge_registry.change(space, "small", other, "Slower.", "Bo", revision=added.revision)
    assert (changed.spec, changed.note, changed.author) == (other, "Slower.", "Bo")
    with pytest.raises(Conflict, match="Bo changed 'small'"):
        judge_registry.change(space, "small", MODEL, "", "Ida", revision=added.revision)
    assert judge_registry.saved_judges(space) == {"small": other}
    judge_registry.retire(space, "small", "Ida")
    assert judge_registry.saved_judges(space) == {}
    with pytest.raises(Conflict, match="retired"):
        judge_registry.add(space, "small", MODEL, "", "Ida")
    judge_registry.restore(space, "small", "Ida")
    assert list(judge_registry.saved_judges(space)) == ["small"]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "plugin:x", ".a", "-a", "a\n", "a" * 65, "é", "a*"])
def test_names_that_cannot_be(space: Workspace, name: str) -> None:
    if name == "a\n":
        assert judge_registry.add(space, name, MODEL, "", "Ida").name == "a"
        return
    with pytest.raises(BadInput, match="cannot be the name of a judge"):
        judge_registry.add(space, name, MODEL, "", "Ida")


@pytest.mark.parametrize("name", ["baseline", "Baseline", "baseline-lexical"])
def test_names_that_are_always_there(space: Workspace, name: str) -> None:
    with pytest.raises(BadInput, match="always there"):
        judge_registry.add(space, name, MODEL, "", "Ida")
    assert judge_registry.add(space, "baseline.2", MODEL, "", "Ida").name == "baseline.2"


def test_no_judge_is_kept_that_cannot_be_run_or_holds_a_key(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "wb-registry-0123456789"
    monkeypatch.setenv("OUR_API_KEY", key)
    refused: list[tuple[str, Any, str]] = [
        ("ours", MODEL.model_copy(update={"api_key_env": key}), ""),
        ("ours", MODEL.model_copy(update={"params": {"user": key}}), ""),
        ("ours", LlmSpec(model="m", base_url=f"http://{key}:x@127.0.0.1/v1"), ""),
        ("ours", PluginSpec(plugin="x", params={"token": "x"}), ""),
        ("ours", CalibratedSpec(judge=PluginSpec(plugin="x", params={"depth": {"deep": key}})), ""),
        ("ours", EnsembleSpec(members=(MODEL, PluginSpec(plugin="x", params={"key": 1}))), ""),
        ("ours", MODEL, f"The key is {key}."),
        (key, MODEL, ""),
    ]
    for name, spec, note in refused:
        with pytest.raises(BadInput) as problem:
            judge_registry.add(space, name, spec, note, "Ida")
        assert key not in str(problem.value)
    with pytest.raises(NotFound, match="checkpoint"):
        judge_registry.add(space, "ours", CheckpointSpec(checkpoint="nobody"), "", "Ida")
    assert space.store.judges(retired=True) == {}


def test_a_model_that_works_says_what_it_took(space: Workspace) -> None:
    with FakeProvider(otherwise=graded(lambda request, key, grades: 2)) as provider:
        judge_registry.add(space, "fake", at(provider), "", "Ida")
        outcome = judge_registry.test_saved(space, "fake")
        assert provider.calls == 1
        (request,) = provider.requests
    assert outcome.works
    assert (outcome.grade, outcome.calls, outcome.model) == (2, 1, "fake-hash-grader")
    assert (outcome.response_mode, outcome.logprobs, outcome.cost_usd) == ("json_schema", "", None)
    sent = sum(len(m["content"]) // 4 for m in request.body["messages"])  # as the server counts
    assert outcome.input_tokens == sent > 0
    assert outcome.said.startswith("It answers: grade 2 in ")
    assert space.store.judge("fake").tested == outcome.model_dump(mode="json")
    assert not (space.cache_folder / "verdicts.sqlite").exists()


def test_a_simpler_response_format_is_told_of(space: Workspace) -> None:
    with FakeProvider(otherwise=without_schema) as provider:
        outcome = judge_registry.test_call(space, at(provider))
        assert provider.calls == 3  # json_schema, json_object, text
    assert (outcome.works, outcome.response_mode, outcome.calls) == (True, "text", 3)
    assert "The endpoint knows no json_schema: it is asked with text." in outcome.said


def test_log_probabilities_that_are_given_or_not(space: Workspace) -> None:
    def certain(request: Request) -> Reply:
        body = json.loads(graded(lambda request, key, grades: 1)(request).body)
        written = body["choices"][0]["message"]["content"]
        tokens = [
            {"token": c, "logprob": 0.0, "top_logprobs": [{"token": c, "logprob": 0.0}]} for c in written
        ]
        body["choices"][0]["logprobs"] = {"content": tokens}
        return Reply(json.dumps(body).encode())

    asked = {"logprobs": True, "top_logprobs": 5}
    with FakeProvider([certain]) as provider:
        given = judge_registry.test_call(space, at(provider, params=asked))
        lacking = judge_registry.test_call(space, at(provider, params=asked))
    assert (given.works, given.logprobs) == (True, "given")
    assert (lacking.works, lacking.logprobs) == (True, "not given")
    assert "There are no probabilities: The provider gave no log-probabilities." in lacking.said


@pytest.mark.parametrize(
    "mode",
    [
        PromptMode(scope="dimension"),
        PromptMode(pairs_per_call=4),
        PromptMode(reason="none", level_order="permuted"),
    ],
    ids=["dimension", "four", "none"],
)
def test_it_is_asked_in_its_own_mode(space: Workspace, mode: PromptMode) -> None:
    with FakeProvider() as provider:
        outcome = judge_registry.test_call(space, at(provider, mode=mode.model_dump(), repeats=5))
        assert provider.calls == 1
    assert outcome.works, outcome.said


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        (error(401, "bad key"), "refused the key for fake-hash-grader (401)."),
        (error(404, "no"), "has no model fake-hash-grader (404)."),
        (error(429, "slow down", headers={"Retry-After": "1"}), "HTTP 429: slow down"),
        (error(500, "boom"), "HTTP 500: boom"),
        (text("A 3, I would say."), "did not fit the policy, twice"),
        (text(None, refusal="I cannot."), "the model refused: I cannot."),
        (late(3), "no answer within 0.3 s"),
    ],
)  # fmt: skip
def test_what_does_not_work_says_why_in_one_sentence(space: Workspace, behaviour: Any, says: str) -> None:
    with FakeProvider(otherwise=behaviour) as provider:
        started = time.monotonic()
        outcome = judge_registry.test_call(space, at(provider, timeout_s=0.3))
        assert time.monotonic() - started < 3  # nothing is waited for and tried again
        assert provider.calls == (2 if "twice" in says else 1)
    assert not outcome.works
    assert says in outcome.said
    assert "\n" not in outcome.said
    assert outcome.hint


def test_a_missing_key_and_a_closed_port(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OUR_KEY", raising=False)
    missing = judge_registry.test_call(space, MODEL)
    assert missing.said == "There is no key for openai/m at openai."
    assert missing.hint == "Set the environment variable OUR_KEY to a key that may use it."
    with FakeProvider() as provider:
        closed = at(provider)
    assert "the connection failed" in judge_registry.test_call(space, closed).said
    wrong = judge_registry.test_call(space, LlmSpec(model="m", base_url="file:///x"))
    assert (wrong.works, wrong.said) == (False, "The address of the endpoint is not usable.")


def test_a_judge_that_hangs_does_not_hold_up_the_page(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge_test_call, "LONGEST_S", 0.2)
    free = threading.Event()

    def hang(*_: Any) -> None:
        free.wait(30)
        raise RuntimeError("nobody hears this")

    monkeypatch.setattr(judge_test_call, "build_judge", hang)
    started = time.monotonic()
    outcome = judge_registry.test_call(space, PluginSpec(plugin="x"))
    free.set()
    assert time.monotonic() - started < 5
    assert (outcome.works, outcome.said) == (False, "There was no answer within 0.2 s.")


def test_an_error_nobody_thought_of_is_an_outcome(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUR_API_KEY", "wb-registry-0123456789")

    def fail(*_: Any) -> None:
        raise ZeroDivisionError("wb-registry-0123456789\nand more")

    monkeypatch.setattr(judge_test_call, "build_judge", fail)
    outcome = judge_registry.test_call(space, PluginSpec(plugin="x"))
    assert outcome.said == "The call met an error: ZeroDivisionError: [key] and more."


def test_what_consists_of_several_is_asked_member_by_member(space: Workspace) -> None:
    with FakeProvider(otherwise=graded(lambda request, key, grades: 1)) as provider:
        one, two = at(provider), at(provider, model="fake-hash-grader-b", repeats=5)
        cascade = CascadeSpec(first=CalibratedSpec(judge=two), second=one)
        outcome = judge_registry.test_call(space, cascade)
        assert provider.calls == 2  # nothing is calibrated for a test, and nobody is unsure

    def one_of_two(request: Request) -> Reply:
        return (error(404, "no") if request.body["model"] == "gone" else graded())(request)

    with FakeProvider(otherwise=one_of_two) as provider:
        members = (at(provider), at(provider, model="gone"))
        broken = judge_registry.test_call(space, EnsembleSpec(members=members))
    assert (outcome.works, outcome.said) == (True, "All 2 members answer.")
    assert [m.judge for m in outcome.members] == ["fake-hash-grader-b", "fake-hash-grader"]
    assert outcome.calls == 2
    assert outcome.input_tokens == sum(m.input_tokens for m in outcome.members) > 0
    assert not broken.works
    assert [m.works for m in broken.members] == [True, False]
    assert broken.said.startswith("gone: 127.0.0.1:")
    assert broken.said.endswith("has no model gone (404).")
    assert broken.members[1].hint == broken.hint


def test_the_baseline_learns_from_the_dev_labels(space: Workspace) -> None:
    lexical = BaselineSpec(use_embeddings=False)
    nothing = judge_registry.test_call(space, lexical)
    assert nothing.said == "There is no golden set with dev labels for the baseline to learn from."
    teas = [pair(f"wish {i // 2}", f"tea {i}") for i in range(60)]
    golden_set(space, [(p, {"taste": i % 3, "strength": i % 2}) for i, p in enumerate(teas)])
    outcome = judge_registry.test_call(space, lexical)
    assert outcome.works, outcome.said
    assert outcome.grade in (0, 1, 2)
    assert "on taste" in outcome.said


def test_a_plugin_that_is_not_installed(space: Workspace) -> None:
    outcome = judge_registry.test_call(space, PluginSpec(plugin="nobody"))
    assert (outcome.works, outcome.said) == (False, "No installed judge plugin is called 'nobody'.")


def test_keys_are_told_by_name_and_never_shown(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "wb-registry-0123456789"
    monkeypatch.setenv("OUR_KEY", key)
    monkeypatch.setenv("MISTRAL_API_KEY", "  ")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    judge_registry.add(space, "ours", EnsembleSpec(members=(MODEL, BaselineSpec())), "", "Ida")
    judge_registry.add(space, "hosted", LlmSpec(model="openai/x", api_key_env="OPENAI_API_KEY"), "", "Ida")
    found = {state.variable: state for state in judge_registry.provider_keys(space)}
    assert found["OUR_KEY"].is_set
    assert found["OUR_KEY"].used_by == ("ours",)
    assert not found["MISTRAL_API_KEY"].is_set  # white space is no key
    assert not found["OPENAI_API_KEY"].is_set
    assert found["OPENAI_API_KEY"].used_by == ("OpenAI", "hosted")
    assert "ANTHROPIC_API_KEY" in found
    assert "GEMINI_API_KEY" in found
    assert key not in repr(found)


def test_a_checkpoint_is_asked_about_its_own_policy(space: Workspace, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the train extra")
    from training_samples import Heard, examples, policy, recipe, tiny

    from workbench.store import StoredCheckpoint
    from workbench.training.fit import fit

    fitted = fit(
        recipe(tiny(tmp_path / "model"), schedule={"epochs": 1}),
        policy(),
        examples(),
        tmp_path / "out",
        Heard(),
    )
    under = policy()
    if (under.name, under.version) != ("tea-match", 1):
        space.store.add_policy(under)
    record = {"policy": under.name, "policy_version": under.version}
    space.store.save_checkpoint(
        StoredCheckpoint(
            id="student-1", name="student", created_at="2026-03-01T00:00:00Z", folder=str(fitted.folder),  # type: ignore[arg-type]
            job_id="job", record=record,
        )
    )  # fmt: skip
    saved = judge_registry.add(space, "ours", CheckpointSpec(checkpoint="student"), "", "Ida")
    assert saved.spec == CheckpointSpec(checkpoint="student-1", folder=str(fitted.folder))
    outcome = judge_registry.test_saved(space, "ours")
    assert outcome.works, outcome.said
    assert outcome.grade is not None
