"""Splitting a judge over a cluster: what each actor may take. Against a real head see ``executors/ray_cases.py``."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from executor_samples import POLICY, TEAS

from workbench.errors import BadInput, Unavailable
from workbench.golden import label_table
from workbench.judges.inputs import Inputs
from workbench.judges.llm import LlmJudge
from workbench.policy import Policy
from workbench.ray_cluster import connected
from workbench.ray_judging import SplitJudge, _part_of, job_judge, shared
from workbench.run import (
    BaselineSpec,
    CalibratedSpec,
    CascadeSpec,
    CheckpointSpec,
    EnsembleSpec,
    JudgeSpec,
    LlmSpec,
    Usage,
)
from workbench.yamltext import YamlText, validate

MODEL = LlmSpec(
    model="m",
    base_url="http://127.0.0.1:1/v1",
    cap_tokens=1000,
    requests_per_minute=60,
    tokens_per_minute=10_001,
)


def inputs() -> Inputs:
    source = YamlText(POLICY, "policy.yaml")
    policy = validate(Policy, source.data, "policy.yaml", source)
    return Inputs(policy, TEAS, dict.fromkeys([p.id for p in TEAS], "dev"), label_table([]))


def test_caps_and_limits_are_dealt_out() -> None:
    mine = shared(MODEL.model_copy(update={"cap_usd": 2.0, "cap_seconds": 60.0, "concurrency": 8}), 4)
    assert isinstance(mine, LlmSpec)
    assert (mine.cap_usd, mine.cap_tokens) == (0.5, 250)
    assert (mine.requests_per_minute, mine.tokens_per_minute) == (15, 2500)  # 10,001 / 4, rounded down
    assert (mine.cap_seconds, mine.concurrency) == (
        60.0,
        8,
    )  # time is not shared, calls at once are each actor's
    free = LlmSpec(model="m")
    assert shared(free, 4) == free


def test_members_share_likewise() -> None:
    cascade = CascadeSpec(first=BaselineSpec(), second=MODEL)
    ensemble = EnsembleSpec(members=(CheckpointSpec(checkpoint="c"), MODEL))
    found = shared(cascade, 2)
    assert isinstance(found, CascadeSpec)
    assert (found.first, found.second) == (BaselineSpec(), shared(MODEL, 2))
    both = shared(ensemble, 2)
    assert isinstance(both, EnsembleSpec)
    assert both.members == (CheckpointSpec(checkpoint="c"), shared(MODEL, 2))


@pytest.mark.parametrize(
    ("spec", "actors", "said"),
    [
        (BaselineSpec(), 0, "0 actors grade nothing"),
        (CalibratedSpec(judge=MODEL), 2, "A calibrated judge cannot be split"),
        (
            CascadeSpec(first=CalibratedSpec(judge=MODEL), second=MODEL),
            2,
            "A calibrated judge cannot be split",
        ),
        (LlmSpec(model="m", delivery="batch"), 2, "A batch is not split"),
        (MODEL, 61, "requests_per_minute is 60, which 61 actors cannot share"),
    ],
)
def test_what_cannot_be_split(spec: JudgeSpec, actors: int, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        shared(spec, actors)


def test_the_share_of_what_was_spent_is_rounded_up() -> None:
    spent = Usage(calls=3, input_tokens=10, output_tokens=4, cost_usd=0.3)
    assert _part_of(spent, 4) == Usage(calls=3, input_tokens=3, output_tokens=1, cost_usd=0.075)


def test_what_was_spent_is_summed_and_an_unknown_cost_stays_unknown(tmp_path: Path) -> None:
    judge = SplitJudge(MODEL, inputs(), tmp_path, actors=2)
    judge.charge(Usage(input_tokens=10, output_tokens=1, cost_usd=0.25))
    judge.charge(Usage(input_tokens=5, output_tokens=2, cost_usd=0.5))
    assert judge._spent == Usage(input_tokens=15, output_tokens=3, cost_usd=0.75)
    judge.charge(Usage(input_tokens=1))
    assert judge._spent == Usage(input_tokens=16, output_tokens=3, cost_usd=None)


def test_an_address_where_nobody_listens_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="needs the ray extra")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Unavailable, match=f"no Ray cluster at '{address}'"), connected(address):
            pass
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(Unavailable, match=f"no Ray cluster at '{address}'"), connected("auto"):
            pass


def test_who_asks_a_judge_is_no_part_of_what_it_is(tmp_path: Path) -> None:
    here = job_judge({"cache": str(tmp_path)}, MODEL, inputs())
    split = job_judge({"cache": str(tmp_path), "ray": 2}, MODEL, inputs())
    assert isinstance(here, LlmJudge)
    assert isinstance(split, SplitJudge)
    assert here.identity == split.identity


def test_nothing_to_grade_needs_no_cluster(tmp_path: Path) -> None:
    async def graded() -> list[object]:
        judge = SplitJudge(MODEL, inputs(), tmp_path, actors=2)
        return [verdict async for verdict in judge.grade(inputs().policy, [])]

    assert asyncio.run(graded()) == []
