"""Each fault of the table has its named outcome, against a real HTTP server; the page says the same."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from faults import FAULTS, FINE, Fault, page
from judge_samples import pairs, small_policy, verdicts_of

from workbench.errors import Unavailable
from workbench.fake_provider import FakeProvider
from workbench.judges.llm import LlmJudge
from workbench.run import Verdict

POLICY = small_policy()
ROOT = Path(__file__).parents[2]


async def no_wait(seconds: float) -> None:
    await asyncio.sleep(0)


def judge_at(provider: FakeProvider, fault: Fault, **options: Any) -> LlmJudge:
    return LlmJudge(
        "fake-hash-grader", base_url=provider.base_url, timeout_s=fault.timeout_s, sleep=no_wait, max_attempts=2,
        concurrency=1, **options,
    )  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_that_stays_has_its_outcome(fault: Fault) -> None:
    with FakeProvider(otherwise=fault.server) as provider:
        judge = judge_at(provider, fault)
        if fault.outcome == "run stops":
            with pytest.raises(Unavailable) as caught:
                verdicts_of(judge, POLICY, pairs(3))
            assert provider.calls == 1
            assert fault.says in caught.value.message
            return
        (verdict,) = verdicts_of(judge, POLICY, pairs(1))
        calls = {"graded": 1, "failed at once": 1, "retried": 2, "corrected": 2}[fault.outcome]
        assert provider.calls == verdict.usage.calls == calls
    kept = Verdict.model_validate_json(verdict.model_dump_json())  # whatever came can be stored and read
    if fault.outcome == "graded":
        assert [j.grade for j in kept.judgements] == [3, -2]
    else:
        assert all(j.failed and fault.says in j.error for j in kept.judgements)


@pytest.mark.parametrize(
    "fault", [f for f in FAULTS if f.outcome in ("retried", "corrected")], ids=lambda fault: fault.name
)
def test_a_fault_that_passes_costs_one_more_call(fault: Fault) -> None:
    with FakeProvider([fault.server], otherwise=FINE) as provider:
        (verdict,) = verdicts_of(judge_at(provider, fault), POLICY, pairs(1))
        assert provider.calls == verdict.usage.calls == 2
    assert [j.grade for j in verdict.judgements] == [3, -2]


def test_the_page_is_current() -> None:
    assert (ROOT / "docs" / "faults.md").read_text("utf-8") == page(), "run: python docs/make_faults.py"
