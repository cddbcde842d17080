"""A judgement's story: verified messages, replies to their questions, history, the call as a command, asking again."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from trace_samples import TEAS, finished, llm, no_workers, published, worked
from workspace_samples import NAME, recorded_run

from workbench import jobs, prompt, verdict_lines
from workbench.errors import BadInput, NotFound
from workbench.fake_provider import FakeProvider, error, graded, late, text
from workbench.jobfolder import JobFolder
from workbench.judges.cache import VerdictCache
from workbench.prompt_mode import PromptMode
from workbench.run import (
    BaselineSpec,
    CascadeSpec,
    EnsembleSpec,
    JudgeSpec,
    LlmSpec,
    Run,
    Trace,
    Verdict,
)
from workbench.trace_call import ask_again, curl_command
from workbench.trace_keys import VERIFIED
from workbench.trace_replies import replies
from workbench.tracing import JudgementStory, trace
from workbench.verdict_lines import pair_ids, pair_verdicts
from workbench.workspace import Workspace

KEY = "sk-test-0123456789abcdefghij"
PAIR = TEAS[0].id


@pytest.fixture
def tea(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    no_workers(monkeypatch)
    published(workspace)
    return workspace


def story_of(tea: Workspace, judge: JudgeSpec) -> JudgementStory:
    return trace(tea, finished(tea, judge).id, PAIR)


def cites(request: Any, key: str, grades: Any) -> Any:
    return grades[0]


def test_the_messages_are_those_that_were_sent_and_the_key_proves_it(tea: Workspace) -> None:
    def cite(answer: dict[str, Any]) -> dict[str, Any]:
        answer["taste"]["cites"] = ["taste.1", "general.1"]
        return answer

    with FakeProvider(otherwise=graded(cites, edit=cite)) as provider:
        story = story_of(tea, llm(provider.base_url, params={"temperature": 0}))
        sent = [r.body for r in provider.requests if "wish 0" in r.message("user")]
    (question,) = story.questions
    assert list(question.messages) == sent[0]["messages"]
    assert question.response_format == sent[0]["response_format"]
    assert question.key_check == VERIFIED
    assert (question.trace.dimensions, question.mode, question.trace.together) == (
        ("taste", "strength"),
        "json_schema",
        1,
    )
    (attempt,) = question.trace.attempts
    assert (attempt.outcome, attempt.seconds > 0) == ("", True)
    assert {rule.id: rule.cited_by for rule in question.rules} == {
        "general.1": ("taste",),
        "taste.1": ("taste",),
        "taste.2": (),
        "strength.1": (),
        "taste.p1": (),
    }
    assert question.read == story.verdict.judgements
    assert question.outcome == "The reply fits: 2 dimensions graded."
    assert (story.run.policy_version, story.pair, story.notes) == (1, TEAS[0], ())
    assert story.verdict.usage.calls == 1


@pytest.mark.parametrize(
    "mode",
    [
        PromptMode(scope="dimension"),
        PromptMode(pairs_per_call=3),
        PromptMode(scope="dimension", pairs_per_call=2, reason="after"),
        PromptMode(level_order="permuted", dimension_order="permuted", seed=7),
        PromptMode(reason="none"),
    ],
    ids=lambda mode: mode.words(),
)
def test_every_mode_is_verified_and_read_again(tea: Workspace, mode: PromptMode) -> None:
    with FakeProvider(otherwise=_any_form()) as provider:
        run = finished(tea, llm(provider.base_url, mode=mode))
    for pair in TEAS:
        story = trace(tea, run.id, pair.id)
        assert {q.key_check for q in story.questions} == {VERIFIED}
        assert len(story.questions) == (2 if mode.scope == "dimension" else 1)
        read = {j.dimension: j for q in story.questions for j in q.read}
        assert read == {j.dimension: j for j in story.verdict.judgements}
        assert all(bool(q.company) == (q.trace.together > 1) for q in story.questions)


def _any_form() -> Any:
    """Grade 0 everywhere, with the keys that the schema asks for."""

    def fill(schema: dict[str, Any], defs: dict[str, Any]) -> Any:
        if "$ref" in schema:
            return fill(defs["answer"], defs)
        if schema.get("type") == "object":
            return {key: fill(part, defs) for key, part in schema["properties"].items()}
        return {"array": [], "string": "Because."}.get(schema.get("type", ""), 0)

    def behave(request: Any) -> Any:
        schema = request.body["response_format"]["json_schema"]["schema"]
        return text(json.dumps(fill(schema, schema.get("$defs", {}))))(request)

    return behave


def test_each_draw_and_each_member_has_its_own_reply(tea: Workspace) -> None:
    with FakeProvider() as provider:
        repeated = story_of(tea, llm(provider.base_url, repeats=3))
        cheap, dear = (LlmSpec(model=f"fake-hash-grader-{n}", base_url=provider.base_url) for n in "ab")
        both = story_of(tea, EnsembleSpec(members=(cheap, dear, BaselineSpec(use_embeddings=False))))
    assert [(q.trace.repeat, q.key_check) for q in repeated.questions] == [(i, VERIFIED) for i in range(3)]
    assert all(len(q.read) == 2 for q in repeated.questions)
    assert [q.judge.model for q in both.questions] == ["fake-hash-grader-a", "fake-hash-grader-b"]
    assert {q.key_check for q in both.questions} == {VERIFIED}
    assert all(len(q.read) == 2 for q in both.questions)
    assert both.questions[0].label == "fake-hash-grader-a: taste, strength"


def test_failures_retries_and_a_resumed_run_are_told_in_order(tea: Workspace) -> None:
    script = [error(400, "no such thing"), *(graded() for _ in range(3))]
    with FakeProvider(script, otherwise=text("no JSON at all")) as provider:
        run = finished(tea, llm(provider.base_url, concurrency=1))
        failed = trace(tea, run.id, PAIR)
        jobs.resume(tea, f"job-{run.id}", "Ida")
        worked(tea, run)
        story = trace(tea, run.id, PAIR)
    (question,) = failed.questions
    assert [a.outcome for a in question.trace.attempts] == ["HTTP 400: no such thing"]
    assert question.outcome == "There is no reply: HTTP 400: no such thing."
    assert question.key_check == VERIFIED
    # Resumed, it was asked twice, the second time for a correction; the newest line counts.
    assert [len(v.traces[0].attempts) for v in story.history] == [1, 2]
    (question,) = story.questions
    assert question.raw == "no JSON at all"
    assert question.outcome.startswith("The reply cannot be used: the reply starts with")
    assert all(a.outcome.startswith("the reply could not be used: ") for a in question.trace.attempts)


def test_an_answer_from_the_cache_tells_of_the_run_that_paid(tea: Workspace) -> None:
    with FakeProvider() as provider:
        finished(tea, llm(provider.base_url))
        story = story_of(tea, llm(provider.base_url))
        assert provider.calls == len(TEAS)
    (question,) = story.questions
    assert (question.trace.from_cache, story.verdict.usage.calls, len(question.trace.attempts)) == (
        True,
        0,
        1,
    )
    assert question.key_check == VERIFIED


def test_another_template_or_other_code_is_not_called_verified(
    tea: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeProvider() as provider:
        run = finished(tea, llm(provider.base_url))
    folder = JobFolder(tea.jobs_folder / f"job-{run.id}")
    (line,) = pair_verdicts(folder.path / "judgements.jsonl", PAIR)
    other = line.model_copy(update={"traces": (line.traces[0].model_copy(update={"key": "verdict-0"}),)})
    with (folder.path / "judgements.jsonl").open("a") as file:
        file.write(other.model_dump_json() + "\n")
    (question,) = trace(tea, run.id, PAIR).questions
    assert question.key_check.startswith("Not verified: these messages give another key")
    older = run.judge.model_copy(update={"params": run.judge.params | {"template": "template-older"}})
    tea.store.save_run(run.model_copy(update={"judge": older}))
    (question,) = trace(tea, run.id, PAIR).questions
    assert question.key_check.startswith("Not verified: the prompt template has changed since the run")


def test_without_traces_the_question_is_still_shown(tea: Workspace) -> None:
    with FakeProvider() as provider:
        run = finished(tea, llm(provider.base_url))
    lines = tea.jobs_folder / f"job-{run.id}" / "judgements.jsonl"
    old = [Verdict.model_validate_json(line) for line in lines.read_text().splitlines()]
    lines.write_text("".join(v.model_copy(update={"traces": ()}).model_dump_json() + "\n" for v in old))
    (question,) = trace(tea, run.id, PAIR).questions
    assert question.key_check.startswith("No key was recorded")
    assert len(question.read) == 2


def test_where_the_folder_is_gone_the_store_answers(tea: Workspace) -> None:
    with FakeProvider([text("{}")] * 8) as provider:
        run = finished(tea, llm(provider.base_url))
    shutil.rmtree(tea.jobs_folder / f"job-{run.id}")
    story = trace(tea, run.id, PAIR[:20])
    assert story.pair_id == PAIR
    assert "attempts, key, tokens and cost are lost" in story.notes[0]
    (question,) = story.questions
    assert question.raw == "{}"  # the raw reply of a failed judgement is in the store as well
    assert "lacks dimension" in question.outcome


def test_judges_that_ask_nobody_have_grades_and_a_sentence(tea: Workspace) -> None:
    story = story_of(tea, BaselineSpec(use_embeddings=False))
    assert (len(story.verdict.judgements), story.questions) == (2, ())
    assert story.notes == ("baseline-lexical (baseline) asks nobody in words: there are no messages.",)
    with pytest.raises(BadInput, match="cannot be asked again"):
        ask_again(tea, story.run.id, PAIR, "Ida")
    imported = recorded_run(tea, "elsewhere", [(TEAS[0], {"taste": 1, "strength": 0})])
    assert "judged elsewhere" in trace(tea, imported.id, PAIR).notes[0]


def test_a_pair_is_found_by_its_start_and_missed_with_a_hint(tea: Workspace) -> None:
    run = finished(tea, BaselineSpec(use_embeddings=False))
    assert trace(tea, run.id, PAIR.removeprefix("pair-")[:12]).pair_id == PAIR
    with pytest.raises(NotFound, match="Several pairs"):
        trace(tea, run.id, "pair-")
    with pytest.raises(NotFound) as missed:
        trace(tea, run.id, PAIR[:-3] + "zzz")
    assert PAIR in missed.value.hint
    with pytest.raises(NotFound):
        trace(tea, run.id, "")


def test_a_damaged_line_is_named(tea: Workspace) -> None:
    run = finished(tea, BaselineSpec(use_embeddings=False))
    with (tea.jobs_folder / f"job-{run.id}" / "judgements.jsonl").open("a") as file:
        file.write(f'{{"pair_id":"{PAIR}"}}\n')
    with pytest.raises(BadInput, match="a line about pair-"):
        trace(tea, run.id, PAIR)


def test_100_000_lines_are_searched_in_a_moment(tmp_path: Path) -> None:
    path = tmp_path / "judgements.jsonl"
    verdict = Verdict(pair_id="pair-x", judgements=(), raw='{"pair_id":"pair-000099999"}' + "x" * 900)
    line = verdict.model_dump_json()
    with path.open("w") as file:
        for i in range(100_000):
            file.write(line.replace("pair-x", f"pair-{i:09d}") + "\n")
        file.write('{"pair_id":"pair-000099999"')  # cut short: not there yet
    started = time.perf_counter()
    (found,) = pair_verdicts(path, "pair-000099999")
    assert pair_ids(path, "pair-00009999") == [f"pair-00009999{i}" for i in range(10)]
    assert time.perf_counter() - started < 5  # some 0.3 s on a quiet machine
    assert found.pair_id == "pair-000099999"
    assert pair_verdicts(tmp_path / "nothing", "pair-1") == []
    assert verdict_lines.pair_ids(path, "pair-9") == []


def test_replies_that_cannot_be_told_apart_are_given_whole() -> None:
    two = (Trace(dimensions=("a",)), Trace(dimensions=("a",), repeat=1))
    assert replies(two, "one\ntwo") == ["one", "two"]
    assert replies(two, '{\n "a": 1}\n{\n "a": 2}') == ['{\n "a": 1}', '{\n "a": 2}']
    assert replies(two, "one\n\nmore\ntwo") == ["one\n\nmore\ntwo"] * 2
    own = (Trace(dimensions=("a",), raw="mine"), Trace(dimensions=("b",)))
    assert replies(own, "rest") == ["mine", "rest"]


# The call as a command


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_command_sends_what_the_judge_sent(tea: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEA_API_KEY", KEY)
    params = {"temperature": 0.5, "stop": ["it's $HOME", "`id`", "\nBODY\n"]}
    with FakeProvider() as provider:
        story = story_of(tea, llm(provider.base_url, api_key_env="TEA_API_KEY", params=params))
        sent = next(r for r in provider.requests if "wish 0" in r.message("user"))
        command = curl_command(story, story.questions[0])
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True)
        copied = provider.requests[-1]
    assert copied.body == sent.body
    assert copied.headers["authorization"] == sent.headers["authorization"] == f"Bearer {KEY}"
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == story.questions[0].raw
    assert KEY not in command
    assert "$TEA_API_KEY" in command


def test_openai_and_litellm_have_their_own_forms(tea: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeProvider() as provider:
        story = story_of(tea, llm(provider.base_url))
    (question,) = story.questions
    assert '"Authorization: Bearer no-key"' in curl_command(story, question)

    def command(**judge: Any) -> str:
        from dataclasses import replace

        return curl_command(story, replace(question, judge=LlmSpec.model_validate(judge)))

    asked = command(model="openai/gpt-5-mini")
    assert "https://api.openai.com/v1/chat/completions" in asked
    assert "Bearer $OPENAI_API_KEY" in asked
    assert '"model":"gpt-5-mini"' in asked
    program = command(model="anthropic/claude-haiku-4-5", api_key_env="OUR_KEY")
    assert "curl" not in program.split("\n", 2)[2]
    compile(program, "program", "exec")
    assert 'api_key=os.environ["OUR_KEY"]' in program
    with pytest.raises(BadInput):
        command(model="m", base_url="http://127.0.0.1:9/v1", api_key_env="$(id)")


# Asking again


def test_asking_again_changes_nothing_and_is_recorded(tea: Workspace) -> None:
    with FakeProvider() as provider:
        run = finished(tea, llm(provider.base_url, mode=PromptMode(scope="dimension")))
        before = (provider.calls, tea.store.run(run.id), tea.store.judgements(run.id, [PAIR]))
        keys = VerdictCache(tea.cache_folder / "verdicts.sqlite")
        known = len(keys)
        asked = ask_again(tea, run.id, PAIR, "Ida")
        assert provider.calls == before[0] + 2  # one a question
        assert (tea.store.run(run.id), tea.store.judgements(run.id, [PAIR])) == before[1:]
        assert len(keys) == known
        keys.close()
    assert [(key, then, now) for _, key, then, now in asked.beside()] == [
        (j.dimension, j, j)
        for j in asked.story.verdict.judgements  # the hash grader answers alike
    ]
    assert (asked.usage.calls, asked.usage.cost_usd) == (2, None)
    event = tea.store.events(1)[0]
    assert (event["who"], event["what"], event["subject"]) == ("Ida", "asked a judge again", run.id)
    assert event["detail"] == f"{PAIR}: 2 calls, cost unknown"


def test_asking_again_ends_in_time_and_with_a_sentence(tea: Workspace) -> None:
    with FakeProvider() as provider:
        run = finished(tea, llm(provider.base_url))
    with FakeProvider([text("maybe"), error(503, "busy"), error(401, KEY)], port=_port(provider)):
        said = [ask_again(tea, run.id, PAIR, "Ida").answers[0].outcome for _ in range(3)]
    assert said[0].startswith("The reply cannot be used: the reply starts with")
    assert said[1] == "There is no usable answer: HTTP 503: busy."
    assert "refused the key" in said[2]
    assert KEY not in "".join(said)
    with FakeProvider(otherwise=late(3), port=_port(provider)):
        started = time.perf_counter()
        (answer,) = ask_again(tea, run.id, PAIR, "Ida", longest_s=0.3).answers
        assert time.perf_counter() - started < 2.5
    assert answer.outcome in ("No answer within 0.3 s.", "There is no usable answer: no answer within 0.3 s.")
    assert answer.judgements == ()


def _port(provider: FakeProvider) -> int:
    return int(provider.base_url.rsplit(":", 1)[1].split("/")[0])


def test_a_cascade_tells_who_answered(tea: Workspace) -> None:
    with FakeProvider() as provider:
        cascade = CascadeSpec(
            first=BaselineSpec(use_embeddings=False), second=llm(provider.base_url), sure_at=1.0
        )
        story = story_of(tea, cascade)
    assert [q.label for q in story.questions] == ["fake-hash-grader: taste, strength"]
    assert story.questions[0].key_check == VERIFIED


def test_the_template_is_part_of_what_is_recorded(tea: Workspace) -> None:
    with FakeProvider() as provider:
        run: Run = finished(tea, llm(provider.base_url))
    assert run.judge.params["template"] == prompt.template_hash()
    assert run.policy == NAME
