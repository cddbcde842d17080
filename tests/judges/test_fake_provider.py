"""The provider without a model answers in every mode that a judge can be asked in, and says so where it cannot."""

from __future__ import annotations

import itertools
import json
from typing import Any, get_args
from urllib.error import HTTPError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import pytest
from judge_samples import pairs, small_policy, verdicts_of

from workbench.fake_provider import FakeProvider, Request, graded
from workbench.judges.llm import LlmJudge
from workbench.prompt_mode import DimensionOrder, LevelOrder, PromptMode, Reason

SMALL = small_policy()
MODES = [
    PromptMode(
        level_order=levels, dimension_order=dimensions, reason=reason, pairs_per_call=count, scope=scope
    )
    for levels, dimensions, reason, count, scope in itertools.product(
        get_args(LevelOrder), get_args(DimensionOrder), get_args(Reason), (1, 3), ("all", "dimension")
    )
    if not (scope == "dimension" and dimensions == "permuted")
]


def grades(provider: FakeProvider, mode: PromptMode, count: int) -> dict[str, tuple[int, ...]]:
    judge = LlmJudge("fake-hash-grader", base_url=provider.base_url, mode=mode, max_attempts=1)
    found = verdicts_of(judge, SMALL, pairs(count))
    assert not any(judgement.failed for verdict in found for judgement in verdict.judgements)
    return {verdict.pair_id: tuple(j.grade for j in verdict.judgements) for verdict in found}


def test_every_mode_is_answered() -> None:
    assert len(MODES) == 3 * 3 * 2 * (
        2 + 1
    )  # levels, reasons, counts; two orders of dimensions, or one at a time
    with FakeProvider() as provider:
        for mode in MODES:
            before = provider.calls
            assert len(grades(provider, mode, 4)) == 4, mode
            assert provider.calls - before <= 8  # nothing was asked twice


def test_a_pair_has_its_grade_whatever_company_it_is_asked_in() -> None:
    with FakeProvider() as provider:
        three = grades(provider, PromptMode(pairs_per_call=3), 12)
        four = grades(provider, PromptMode(pairs_per_call=4), 12)
    assert three == four
    assert len(set(three.values())) > 1  # and the pairs are told apart


def test_a_script_sees_each_pair_by_itself() -> None:
    seen: list[str] = []

    def grader(request: Request, key: str, allowed: Any) -> Any:
        seen.append(request.message("user"))
        assert "topic.1" in request.message("system")
        return allowed[0]

    with FakeProvider(otherwise=graded(grader)) as provider:
        grades(provider, PromptMode(pairs_per_call=2), 2)
    assert len(seen) == 4  # two pairs, two dimensions
    assert ["question 0" in text for text in seen] == [True, True, False, False]
    assert ["question 1" in text for text in seen] == [False, False, True, True]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"title": {"type": "string"}}},
        {"type": "object", "properties": {"a": {"type": "object", "properties": {"score": {"type": "number"}}}}},
        {"type": "object", "properties": {"a": {"type": "object", "properties": {"grade": {"type": "integer"}}}}},
        {"type": "object", "properties": {"a": {"properties": {"grade": {"enum": [1]}, "mood": {}}}}},
        {"type": "object", "properties": {"P1": {}}, "$defs": {"other": {}}},
        {"type": "array"},
        "text",
    ],
)  # fmt: skip
def test_what_it_cannot_grade_is_a_400_with_a_sentence(schema: Any) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    body = {
        "model": "fake-hash-grader",
        "messages": [{"role": "user", "content": "Hi"}],
        "response_format": form,
    }
    with FakeProvider() as provider:
        request = HttpRequest(
            f"{provider.base_url}/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with pytest.raises(HTTPError) as refused:
            urlopen(request, timeout=10)
    assert refused.value.code == 400
    told = json.loads(refused.value.read())["error"]["message"]
    assert told == "fake-hash-grader grades pairs, and this request asks for something else."
