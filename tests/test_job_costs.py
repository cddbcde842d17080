"""What jobs cost: calls, device hours, nothing, or not known and why; and how jobs are listed and found."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from lineage_samples import ended, judged, published

from workbench.errors import BadInput
from workbench.job_costs import JobCost
from workbench.job_list import choices, command_line, job_line, job_page, search_log
from workbench.run import JudgeIdentity
from workbench.workspace import Workspace


@pytest.fixture
def tea(workspace: Workspace) -> Workspace:
    published(workspace)
    return workspace


def cost(workspace: Workspace, job_id: str) -> JobCost:
    return job_line(workspace, job_id).cost


def training(resources: dict[str, Any] | None) -> dict[str, Any]:
    return {"training": {"recipe": {"recipe": "tea-mini", "resources": resources}}}


def test_a_run_costs_what_its_calls_did(tea: Workspace) -> None:
    judged(tea, "paid", cost=0.25)
    judged(tea, "secret", cost=None)
    judged(tea, "ours", judge=JudgeIdentity(kind="baseline", name="baseline"))
    assert cost(tea, "job-run-paid") == JobCost(0.75, "3 calls")  # three calls of 0.25
    assert cost(tea, "job-run-secret") == JobCost(None, "no price known")
    assert cost(tea, "job-run-ours") == JobCost(0.0, "nobody was paid")


def test_a_training_costs_hours_times_devices_times_their_price(tea: Workspace) -> None:
    given = training({"gpus": 4, "usd_per_hour": 2.5})
    ended(tea, "training", "job-train-a", payload=given, worked_s=5400)
    assert cost(tea, "job-train-a") == JobCost(15.0, "1.50 h × 4 × $2.50")  # 1.5 h x 4 x 2.5
    ended(tea, "training", "job-train-b", payload=training({"usd_per_hour": 0.5}), worked_s=3600)
    assert cost(tea, "job-train-b").usd == 0.5  # on the CPU the machine is the device
    ended(tea, "training", "job-train-c", payload=training(None), worked_s=3600)
    assert cost(tea, "job-train-c") == JobCost(None, "the recipe gives no resources.usd_per_hour")
    ended(tea, "training", "job-train-d", payload=given)
    assert cost(tea, "job-train-d") == JobCost(None, "its times are not known")


def test_other_jobs_say_in_their_result_what_they_used(tea: Workspace) -> None:
    used = {"calls": 7, "cost_usd": 0.125}
    ended(tea, "suggestion", "job-a", data={"usage": used})
    ended(tea, "dataset", "job-b", data={"card": {"usage": used}})
    ended(tea, "probe", "job-c", data={"report": {"usage": used | {"cost_usd": None}}})
    ended(tea, "trial", "job-d", data={})
    ended(tea, "trial", "job-e", payload={"judge": {"kind": "calibrated", "judge": {"kind": "baseline"}}})
    ended(
        tea,
        "trial",
        "job-f",
        payload={"judge": {"kind": "ensemble", "members": [{"kind": "baseline"}, {"kind": "llm"}]}},
    )
    ended(tea, "lint", "job-g")
    assert [cost(tea, f"job-{name}") for name in "abcdefg"] == [
        JobCost(0.125, "7 calls"),
        JobCost(0.125, "7 calls"),
        JobCost(None, "no price known"),
        JobCost(None, "its result does not say"),
        JobCost(0.0, "nobody was paid"),
        JobCost(None, "its result does not say"),
        JobCost(0.0, "nobody was paid"),
    ]


def test_jobs_are_chosen_by_kind_person_and_status_a_page_at_a_time(tea: Workspace) -> None:
    for i in range(5):
        ended(
            tea,
            "lint",
            f"job-{i}",
            author="Ben" if i % 2 else "Ida",
            status="failed" if i == 4 else "finished",
        )
    ended(tea, "trial", "job-9", author="")
    assert choices(tea).kinds == ("lint", "trial")
    assert choices(tea).people == ("Ben", "Ida")

    def ids(**chosen: Any) -> list[str]:
        return [line.job.spec.id for line in job_page(tea, **chosen).lines]

    assert ids() == ["job-9", "job-4", "job-3", "job-2", "job-1", "job-0"]  # newest first
    assert ids(kind="lint", person="Ben") == ["job-3", "job-1"]
    assert ids(status="failed") == ["job-4"]
    assert ids(status="under way") == []
    second = job_page(tea, page=2, size=4)
    assert (second.total, second.page, len(second.lines)) == (6, 2, 2)
    assert job_page(tea, page=99, size=4) == second  # beyond the last is the last
    assert job_page(tea, kind="nothing").page == 1
    with pytest.raises(BadInput, match="no status"):
        job_page(tea, status="gone")  # type: ignore[arg-type]


def test_the_log_is_searched_and_the_command_can_be_run_by_hand(tea: Workspace) -> None:
    job = ended(tea, "lint", "job-1", files={"log.txt": "One\nTWO one\nthree\n"})
    assert search_log(job, "one") == ["One", "TWO one"]
    assert search_log(job, "") == ["One", "TWO one", "three"]
    assert search_log(job, "four") == []
    words = shlex.split(shlex.join(command_line(tea, job)))
    assert words[0] == sys.executable
    assert words[1:3] == ["-m", "workbench.worker"]
    assert Path(words[3]) == Path(job.folder)
