"""Runs, judgements, jobs, checkpoints and looks: writing again by key changes nothing or brings the newest state."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from workbench.errors import NotFound
from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.run import JobSpec, JobState, JudgeIdentity, Judgement, Run, RunTotals, Usage, Verdict
from workbench.store import Store, StoredCheckpoint

START = datetime(2026, 1, 1, 9, tzinfo=UTC)


def run(number: int, **more: Any) -> Run:
    values: dict[str, Any] = {
        "id": f"run-{number:04d}",
        "judge": JudgeIdentity(kind="llm", name="a/b", params={"temperature": 0}),
        "policy": "tea-match",
        "policy_version": 1,
        "policy_hash": "h",
        "golden": "tea",
        "golden_version": 1,
        "golden_hash": "g",
        "status": "running",
        "created_at": START + timedelta(minutes=number),
    }
    return Run.model_validate(values | more)


def verdict(pair_id: str, *judgements: Judgement, raw: str = "") -> Verdict:
    return Verdict(pair_id=pair_id, judgements=judgements, raw=raw, usage=Usage(cost_usd=0.1))


def test_a_run_is_kept_with_its_newest_state(store: Store) -> None:
    store.save_run(run(1))
    done = run(1, status="finished", totals=RunTotals(pairs=3, cost_usd=None), finished_at=START)
    store.save_run(done)
    store.save_run(done)
    assert store.runs() == [done]
    assert store.run("run-0001") == done


def test_runs_come_newest_first_and_by_policy_and_golden_set(store: Store) -> None:
    for number in (1, 3, 2):
        store.save_run(run(number, policy="other" if number == 3 else "tea-match"))
    store.save_run(run(4, golden="else"))
    assert [r.id for r in store.runs()] == ["run-0004", "run-0003", "run-0002", "run-0001"]
    assert [r.id for r in store.runs(policy="tea-match")] == ["run-0004", "run-0002", "run-0001"]
    assert [r.id for r in store.runs(policy="tea-match", golden="tea")] == ["run-0002", "run-0001"]


def test_a_run_is_found_by_the_start_of_its_id(store: Store) -> None:
    for number in (1, 2, 13):
        store.save_run(run(number))
    assert store.run("run-001").id == "run-0013"
    with pytest.raises(NotFound, match="Several runs start with 'run-000'"):
        store.run("run-000")
    with pytest.raises(NotFound, match="Did you mean run-0013"):
        store.run("run-0023")
    for none in ("%", "_", "run_0013", "run-%"):
        with pytest.raises(NotFound):
            store.run(none)


@pytest.mark.parametrize("runs", [0, 1, 2])
def test_an_empty_id_names_no_run(store: Store, runs: int) -> None:
    for number in range(runs):
        store.save_run(run(number))
    with pytest.raises(NotFound):
        store.run("")


def test_judgements_are_upserted_by_run_pair_and_dimension(store: Store) -> None:
    good = Judgement(
        dimension="taste",
        grade=2,
        expected=1.9,
        probabilities=(0.0, 0.1, 0.9),
        rationale="ä",
        cites=("taste.1",),
    )
    bad = Judgement(dimension="body", grade=NOT_GRADED, error="no JSON")
    none = Judgement(dimension="body", grade=NOT_APPLICABLE)
    first = [verdict("p1", good, bad, raw="<html>"), verdict("p2", none)]
    assert store.add_verdicts("r", first) == 3
    store.add_verdicts("r", first)
    store.add_verdicts("other", [verdict("p1", none)])
    assert store.judgements("r", ["p1", "p2", "p3"]) == {
        "p1": {"taste": good, "body": bad},
        "p2": {"body": none},
    }
    assert store.failures("r").values.tolist() == [["p1", "body", "no JSON", "<html>"]]
    mended = Judgement(dimension="body", grade=1)
    store.add_verdicts("r", [verdict("p1", mended)])
    assert store.judgements("r", ["p1"])["p1"] == {"taste": good, "body": mended}
    assert store.failures("r").empty
    grades = store.grades("r").sort_values(["pair_id", "dimension"])
    assert grades[["pair_id", "dimension", "grade"]].values.tolist() == [
        ["p1", "body", 1], ["p1", "taste", 2], ["p2", "body", NOT_APPLICABLE],
    ]  # fmt: skip
    assert grades["expected"].isna().tolist() == [True, False, True]


def test_the_answers_of_a_run_come_with_what_they_cite_and_how_sure_they_are(store: Store) -> None:
    sure = Judgement(
        dimension="taste", grade=2, probabilities=(0.1, 0.2, 0.7), cites=("taste.1", "general.1")
    )
    plain = Judgement(dimension="body", grade=NOT_APPLICABLE)
    bad = Judgement(dimension="taste", grade=NOT_GRADED, error="no JSON", cites=("taste.1",))
    store.add_verdicts("r", [verdict("p2", bad), verdict("p1", sure, plain)])
    store.add_verdicts("other", [verdict("p1", sure)])
    found = store.cited("r")
    assert found[["pair_id", "dimension", "grade", "cites"]].values.tolist() == [
        ["p1", "body", NOT_APPLICABLE, ()],
        ["p1", "taste", 2, ("taste.1", "general.1")],
    ]
    assert found["confidence"].isna().tolist() == [True, False]
    assert found["confidence"].iloc[1] == 0.7
    assert store.cited("nothing").empty


def test_judgements_of_many_pairs_are_fetched_in_parts(store: Store) -> None:
    one = Judgement(dimension="taste", grade=1)
    assert store.add_verdicts("r", (verdict(f"p{i}", one) for i in range(1201))) == 1201
    assert len(store.judgements("r", [f"p{i}" for i in range(1201)])) == 1201
    assert store.add_verdicts("r", []) == 0
    assert store.grades("nothing").empty


def test_a_reply_with_characters_that_no_database_keeps_does_not_stop_a_run(store: Store) -> None:
    odd = Judgement(dimension="taste", grade=NOT_GRADED, rationale="a\x00b", error="half \ud83d")
    store.add_verdicts("r", [verdict("p", odd, raw="\x00")])
    kept = store.judgements("r", ["p"])["p"]["taste"]
    assert (kept.rationale, kept.error) == ("a�b", "half �")


def job(number: int, kind: str = "judge_run") -> JobSpec:
    return JobSpec.model_validate(
        {
            "id": f"job-{number}",
            "kind": kind,
            "title": "t",
            "created_at": START + timedelta(minutes=number),
            "payload": {"deep": {"x": [1, None]}},
        }
    )


def test_a_job_is_kept_once(store: Store) -> None:
    assert store.save_job(job(1), "folder", "handle") is True
    assert store.save_job(job(1), "elsewhere", "other") is False  # a repeated submit
    kept = store.job("job-1")
    assert (kept.spec, kept.folder, kept.handle, kept.final) == (job(1), "folder", "handle", None)
    store.set_job_handle("job-1", "pid 7")
    assert store.job("job-1").handle == "pid 7"


def test_jobs_are_open_until_they_are_finished_and_can_be_opened_again(store: Store) -> None:
    for number, kind in ((1, "judge_run"), (2, "training"), (3, "judge_run")):
        store.save_job(job(number, kind), "f", "h")
    state = JobState(status="finished", done=3, total=3, started_at=START)
    store.finish_job("job-3", state)
    store.finish_job("job-3", state)
    assert store.job("job-3").final == state
    assert [j.spec.id for j in store.jobs()] == ["job-3", "job-2", "job-1"]
    assert [j.spec.id for j in store.jobs("judge_run")] == ["job-3", "job-1"]
    assert [j.spec.id for j in store.jobs(open_only=True)] == ["job-2", "job-1"]
    store.reopen_job("job-3")
    assert [j.spec.id for j in store.jobs("judge_run", open_only=True)] == ["job-3", "job-1"]
    with pytest.raises(NotFound, match="job"):
        store.job("job-9")


def checkpoint(id: str, minute: int, **more: Any) -> StoredCheckpoint:
    values = {
        "id": id,
        "name": "tiny",
        "created_at": START + timedelta(minutes=minute),
        "folder": "f",
        "job_id": "j",
    }
    return StoredCheckpoint.model_validate(values | {"record": {"kappa": None, "n": 3}} | more)


def test_a_checkpoint_is_kept_once_and_found_by_id_or_newest_of_its_name(store: Store) -> None:
    store.save_checkpoint(checkpoint("c1", 1))
    store.save_checkpoint(checkpoint("c2", 2))
    store.save_checkpoint(checkpoint("c1", 9, folder="elsewhere"))
    assert store.checkpoints() == [checkpoint("c2", 2), checkpoint("c1", 1)]
    assert store.checkpoint("tiny").id == "c2"
    assert store.checkpoint("c1") == checkpoint("c1", 1)
    with pytest.raises(NotFound, match="Did you mean tiny"):
        store.checkpoint("tinny")


def test_each_look_at_a_holdout_is_in_the_ledger(store: Store) -> None:
    store.record_look("tea", ["run-1", "run-2"], "ann", "Compare")
    store.record_look("tea", ["run-1"], "bob", "command line")
    store.record_look("tea", [], "cem", "Compare")  # nothing was looked at
    store.record_look("other", ["run-9"], "ann", "Compare")
    looks = store.looks("tea")
    assert looks[["run_id", "who", "place"]].values.tolist() == [
        ["run-1", "bob", "command line"], ["run-2", "ann", "Compare"], ["run-1", "ann", "Compare"],
    ]  # fmt: skip
    assert store.looks("nothing").empty
