"""The job that asks for suggestions, against a local server that answers, misbehaves and stops."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import policy_samples
import pytest
from suggestion_samples import answer, batch, disagreement, edit

from workbench.errors import BadInput, Unavailable
from workbench.fake_provider import Behaviour, FakeProvider, error, text
from workbench.jobfolder import JobFolder
from workbench.run import JobSpec
from workbench.suggestion import Batch
from workbench.suggestion_job import SuggestionInput, SuggestionOutput, run, write_input

MODEL = "a-model"
KEY = "sk-very-secret-0123456789"
STRENGTH = edit("reword", clause="strength.1", text="No wish about strength is always N/A.", cases=[1])
BATCHES = (
    batch(),
    Batch(dimension="strength", disagreements=(disagreement(4, 1, 0, dimension="strength"),)),
)
"""One request about taste with three cases, then one about strength with one."""


class Listed:
    """A reporter that keeps what it is told, and may be asked to stop after so many answers."""

    def __init__(self, stop_after: int = 99) -> None:
        self.steps: list[tuple[int, int]] = []
        self.lines: list[str] = []
        self._stop_after = stop_after

    def progress(self, done: int, total: int, note: str = "") -> None:
        self.steps.append((done, total))

    def metric(self, values: Mapping[str, float | int | str | None]) -> None:
        raise AssertionError("nothing is measured")

    def log(self, line: str) -> None:
        line.encode()  # a log is UTF-8
        self.lines.append(line)

    def stopping(self) -> bool:
        return bool(self.steps) and self.steps[-1][0] >= self._stop_after

    def stopping_after_epoch(self) -> bool:
        raise AssertionError("a suggestion has no epochs")


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[[str], tuple[JobSpec, JobFolder]]:
    """Make the folder of a job that asks the server at an address."""

    def make(base_url: str, **model: Any) -> tuple[JobSpec, JobFolder]:
        payload = {"model": {"model": MODEL, "base_url": base_url, **model}}
        spec = JobSpec(
            id="job-1", kind="suggestion", title="t", created_at=datetime(2026, 1, 1, tzinfo=UTC), payload=payload
        )  # fmt: skip
        folder = JobFolder(tmp_path / "job-1")
        folder.create(spec)
        write_input(folder, SuggestionInput(body=policy_samples.body(), batches=BATCHES))
        return spec, folder

    return make


def output(folder: JobFolder) -> SuggestionOutput:
    return SuggestionOutput.model_validate_json((folder.artifacts / "suggestions.json").read_text("utf-8"))


def by_dimension(**behaviours: Behaviour) -> Behaviour:
    """Answer each dimension in its own way, in whatever order they ask."""

    def behave(request: Any) -> Any:
        asked = next(key for key in behaviours if f'on the dimension "{key}"' in request.message("user"))
        return behaviours[asked](request)

    return behave


FINE = by_dimension(taste=text(answer(edit("reword"), edit("add"))), strength=text(answer(STRENGTH)))


def test_each_dimension_is_asked_once_and_its_edits_are_kept(prepared: Any) -> None:
    with FakeProvider(otherwise=FINE) as provider:
        spec, folder = prepared(provider.base_url)
        reporter = Listed()
        data = run(spec, folder, reporter)
        requests = list(provider.requests)
    found = output(folder)
    assert found.model == MODEL
    assert [(s.dimension, s.kind, s.item) for s in found.suggestions] == [
        ("taste", "reword", "taste.1"),
        ("taste", "add", ""),
        ("strength", "reword", "strength.1"),
    ]
    assert (data["suggestions"], data["failed"], provider.calls) == (3, {}, 2)
    # The fake counts a token for every four characters of each message and of the answer.
    sent = sum(len(m["content"]) // 4 for request in requests for m in request.body["messages"])
    said = len(answer(edit("reword"), edit("add"))) // 4 + len(answer(STRENGTH)) // 4
    assert (data["usage"]["input_tokens"], data["usage"]["output_tokens"]) == (sent, said)
    assert data["usage"]["cost_usd"] is None  # a server of one's own has no price
    assert reporter.steps == [(0, 2), (1, 2), (2, 2)]
    schema = requests[0].body["response_format"]["json_schema"]
    assert (schema["name"], schema["strict"]) == ("suggestions", True)


def test_an_answer_that_cannot_be_used_is_corrected_once(prepared: Any) -> None:
    wrong = text(answer(edit("reword", clause="taste.9")))
    with FakeProvider([wrong], otherwise=FINE) as provider:
        spec, folder = prepared(provider.base_url)
        data = run(spec, folder, Listed())
        again = provider.requests[1].body["messages"]
    assert [m["role"] for m in again] == ["system", "user", "assistant", "user"]
    assert 'edits clause "taste.9", which the policy does not have' in again[-1]["content"]
    assert (data["suggestions"], data["usage"]["calls"]) == (3, 3)


def test_a_dimension_without_a_usable_answer_has_its_reason_and_the_other_counts(prepared: Any) -> None:
    broken = by_dimension(taste=text("Sure! \ud83d"), strength=text(answer(STRENGTH)))
    with FakeProvider(otherwise=broken) as provider:
        spec, folder = prepared(provider.base_url)
        reporter = Listed()
        data = run(spec, folder, reporter)
    assert list(data["failed"]) == ["taste"]
    assert "did not fit the policy, twice" in data["failed"]["taste"]
    assert [s.dimension for s in output(folder).suggestions] == ["strength"]
    assert any("it answered: Sure!" in line for line in reporter.lines)


def test_started_again_it_asks_only_for_what_is_missing(prepared: Any) -> None:
    broken = by_dimension(taste=error(400, "no"), strength=text(answer(STRENGTH)))
    with FakeProvider(otherwise=broken) as provider:
        spec, folder = prepared(provider.base_url)
        assert list(run(spec, folder, Listed())["failed"]) == ["taste"]
        assert provider.calls == 2
    with (folder.path / "answers.jsonl").open("a") as file:
        file.write('{"dimension":"tas')  # a worker that was killed while it wrote
    with FakeProvider(otherwise=FINE) as provider:
        spec = spec.model_copy(update={"payload": {"model": {"model": MODEL, "base_url": provider.base_url}}})
        reporter = Listed()
        data = run(spec, folder, reporter)
        assert provider.calls == 1
    assert (data["failed"], data["suggestions"]) == ({}, 3)
    assert data["usage"]["calls"] == 3  # all that was asked for, the failed request too
    assert reporter.steps[0] == (1, 2)
    with FakeProvider(otherwise=FINE) as provider:
        assert run(spec, folder, Listed())["suggestions"] == 3
        assert provider.calls == 0


def test_text_that_line_based_readers_break_at_survives(prepared: Any) -> None:
    odd = "Smoke\u2028counts\x85as a taste, 日本語 🍵."
    fine = by_dimension(taste=text(answer(edit("reword", text=odd))), strength=text(answer()))
    with FakeProvider(otherwise=fine) as provider:
        spec, folder = prepared(provider.base_url)
        run(spec, folder, Listed())
        run(spec, folder, Listed())
        assert provider.calls == 2
    assert output(folder).suggestions[0].text == odd


def test_a_stop_ends_it_after_the_answer_under_way_and_keeps_that(prepared: Any) -> None:
    with FakeProvider(otherwise=FINE) as provider:
        spec, folder = prepared(provider.base_url)
        data = run(spec, folder, Listed(stop_after=1))
        assert provider.calls == 1
    assert (data["suggestions"], data["failed"]) == (2, {})
    assert {s.dimension for s in output(folder).suggestions} == {"taste"}


def test_without_its_key_nothing_is_sent(prepared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    with FakeProvider(otherwise=FINE) as provider:
        spec, folder = prepared(provider.base_url, api_key_env="SOME_KEY")
        with pytest.raises(Unavailable, match="Set the environment variable SOME_KEY"):
            run(spec, folder, Listed())
        assert provider.calls == 0


def test_a_refused_key_ends_the_job_and_is_written_nowhere(
    prepared: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)
    with FakeProvider(otherwise=error(401, f"bad key {KEY}")) as provider:
        spec, folder = prepared(provider.base_url, api_key_env="SOME_KEY")
        with pytest.raises(Unavailable, match="refused the key"):
            run(spec, folder, Listed())
        assert provider.calls == 1  # the other dimension is not asked
    assert output(folder).suggestions == ()
    for path in folder.path.rglob("*"):
        assert path.is_dir() or KEY not in path.read_text("utf-8")


def test_an_answer_that_was_paid_for_survives_a_later_failure_of_all(prepared: Any) -> None:
    script = [text(answer(edit("reword"))), error(401, "no more")]
    with FakeProvider(script) as provider:
        spec, folder = prepared(provider.base_url)
        with pytest.raises(Unavailable, match="refused the key"):
            run(spec, folder, Listed())
    assert [s.item for s in output(folder).suggestions] == ["taste.1"]


def test_no_usable_answer_at_all_is_a_failure_with_the_first_reason(prepared: Any) -> None:
    with FakeProvider(otherwise=error(400, "too long")) as provider:
        spec, folder = prepared(provider.base_url)
        with pytest.raises(Unavailable, match="for taste: HTTP 400: too long"):
            run(spec, folder, Listed())


@pytest.mark.parametrize("damage", ["", "{", '{"body": 1, "batches": []}'])
def test_a_damaged_input_is_named(prepared: Any, damage: str) -> None:
    spec, folder = prepared("http://127.0.0.1:9/v1")
    (folder.path / "suggest.json").write_text(damage)
    with pytest.raises(BadInput, match=r"suggest\.json"):
        run(spec, folder, Listed())


def test_an_input_cannot_hold_a_holdout_pair(prepared: Any) -> None:
    spec, folder = prepared("http://127.0.0.1:9/v1")
    path = folder.path / "suggest.json"
    data = json.loads(path.read_text("utf-8"))
    data["batches"][0]["disagreements"][0]["split"] = "holdout"
    path.write_text(json.dumps(data))
    with pytest.raises(BadInput, match="split"):
        run(spec, folder, Listed())
