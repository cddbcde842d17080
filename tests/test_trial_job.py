"""A trial on the worker: both sides in one folder, resumed without asking twice, and an honest baseline."""

from __future__ import annotations

import json
from typing import Any

import pytest
from trial_samples import EDIT, Held, fake, published_teas, reads_the_policy, smoky_draft, work
from workspace_samples import NAME, golden_set, pair

from workbench import jobs, judge_runs, trial_job
from workbench.errors import BadInput
from workbench.fake_provider import FakeProvider
from workbench.golden import Pair
from workbench.grading import grade, read_inputs
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.judges.build import build_judge
from workbench.judges.recorded import RecordedJudge
from workbench.run import BaselineSpec, Judgement, Verdict
from workbench.trials import start_trial, trial
from workbench.workspace import Workspace


@pytest.fixture
def space(workspace: Workspace) -> Workspace:
    """The workspace with an executor that starts nothing."""
    return Workspace(workspace.settings, workspace.store, Held())


def grades(folder: JobFolder, key: str) -> dict[str, int]:
    """Return pair id -> grade of the newest line."""
    return {v.pair_id: j.grade for v in folder.verdicts() for j in v.judgements if j.dimension == key}


def test_the_folder_holds_both_sides_and_no_label_of_the_holdout(space: Workspace) -> None:
    teas = published_teas(space)
    draft = smoky_draft(space)
    with FakeProvider(otherwise=reads_the_policy()) as provider:
        folder = work(space, start_trial(space, draft, fake(provider.base_url), teas[1:3], "Ida", "k"))
    other = trial_job.published_side(folder)
    assert other is not None
    assert grades(folder, "taste") == {teas[1].id: 2, teas[2].id: 2}
    assert grades(other, "taste") == {teas[1].id: 1, teas[2].id: 1}
    assert EDIT in (folder.path / "policy.yaml").read_text("utf-8")
    assert EDIT not in (other.path / "policy.yaml").read_text("utf-8")
    inputs = read_inputs(folder.path)
    assert ([p.id for p in inputs.pairs], len(inputs.labels)) == ([teas[1].id, teas[2].id], 0)
    assert (inputs.policy.version, inputs.policy.parent, inputs.policy.message) == (2, 1, "draft")
    progress, result = folder.progress(), folder.result()
    assert progress is not None
    assert result is not None
    assert (progress.done, progress.total) == (4, 4)
    assert result.data["judge"]["name"] == "fake-hash-grader"


def test_a_killed_trial_goes_on_where_it_was(space: Workspace) -> None:
    teas = published_teas(space)
    draft = smoky_draft(space)
    with FakeProvider(otherwise=reads_the_policy()) as provider:
        job_id = start_trial(space, draft, fake(provider.base_url), teas[:4], "Ida", "k")
        folder = work(space, job_id)
        assert provider.calls == 8
        # The draft's side was done, one answer of the other side is lost with half a line; the cache is lost too.
        other = trial_job.published_side(folder)
        assert other is not None
        lines = (other.path / "judgements.jsonl").read_bytes().splitlines(keepends=True)
        (other.path / "judgements.jsonl").write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
        for file in space.cache_folder.glob("verdicts.sqlite*"):
            file.unlink()
        work(space, job_id)
        assert provider.calls == 9
    assert len(grades(other, "taste")) == 4


class Stops(FolderReporter):
    """A reporter that is asked to stop after some answers."""

    def __init__(self, folder: JobFolder, after: int) -> None:
        super().__init__(folder)
        self.after = after
        self.dones: list[int] = []

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Note how far it is, and stop where it was told to."""
        self.dones.append(done)
        if done >= self.after:
            self.stop()


def test_a_stopped_trial_does_not_go_on_to_the_other_side(space: Workspace) -> None:
    teas = published_teas(space)
    with FakeProvider(otherwise=reads_the_policy()) as provider:
        judge = fake(provider.base_url, concurrency=1)
        job_id = start_trial(space, smoky_draft(space), judge, teas[:3], "Ida", "k")
        folder = jobs.folder_of(space, job_id)
        reporter = Stops(folder, after=2)
        trial_job.run(folder.spec(), folder, reporter)
        reporter.close()
    other = trial_job.published_side(folder)
    assert other is not None
    assert (len(list(folder.verdicts())), list(other.verdicts())) == (2, [])
    assert reporter.dones == [0, 1, 2]


def copycats(count: int = 24) -> list[tuple[Pair, dict[str, int]]]:
    """Pairs whose label is in a word of their own query: a judge that saw the query's labels knows it."""
    return [
        (pair(f"wish{i // 3} wish{i // 3}", f"tea {i}"), {"taste": (i // 3) % 3, "strength": i % 2})
        for i in range(count)
    ]


def test_the_baseline_grades_a_pair_as_if_its_query_had_no_labels(space: Workspace) -> None:
    given = copycats()
    golden_set(space, given)
    draft = smoky_draft(space)
    judge = BaselineSpec(use_embeddings=False)
    tried = [p for p, _ in given[:3]]
    folder = work(space, start_trial(space, draft, judge, tried, "Ida", "k"))
    inputs = read_inputs(folder.path)
    # It learns from all dev labels, and the trial's own pairs come first.
    assert (len(inputs.pairs), inputs.pairs[0].id, len(inputs.labels)) == (24, tried[0].id, 48)
    before = {v.pair_id: v.judgements for v in folder.verdicts()}
    assert set(before) == {p.id for p in tried}
    assert not any(j.failed for judgements in before.values() for j in judgements)
    # Turn the labels of these pairs' query around: what the baseline says of them stays the same.
    turned = inputs.labels.copy()
    mine = turned["pair_id"].isin([p.id for p in tried])
    turned.loc[mine & (turned["dimension"] == "taste"), "grade"] = 2
    turned.loc[mine & (turned["dimension"] == "strength"), "grade"] = 1
    assert not turned["grade"].equals(inputs.labels["grade"])
    turned.to_parquet(folder.path / "labels.parquet")
    (folder.path / "judgements.jsonl").unlink()
    work(space, "trial-k")
    after = {v.pair_id: v.judgements for v in folder.verdicts()}
    assert after == before


def test_the_published_side_of_the_baseline_is_what_its_run_says(space: Workspace) -> None:
    given = copycats()
    golden_set(space, given)
    judge = BaselineSpec(use_embeddings=False)
    run = judge_runs.start_run(space, judge, policy=NAME, golden="tea", author="Ida", key="r")
    folder = jobs.folder_of(space, f"job-{run.id}")
    inputs = read_inputs(folder.path)
    reporter = FolderReporter(folder)
    grade(build_judge(judge, inputs, space.cache_folder), inputs.policy, inputs.pairs, folder, reporter)
    reporter.close()
    there = {v.pair_id: v for v in folder.verdicts()}
    pairs = [p for p, _ in given[4:9]]
    found = start_trial(space, smoky_draft(space), judge, pairs, "Ida", "k")
    work(space, found)
    here = trial(space, found).verdicts["published"]
    assert here == {p.id: there[p.id] for p in pairs}


def test_a_payload_that_says_too_little_is_an_error(space: Workspace) -> None:
    teas = published_teas(space)
    job_id = start_trial(space, smoky_draft(space), fake("http://127.0.0.1:9/v1"), teas[:1], "Ida", "k")
    folder = jobs.folder_of(space, job_id)
    spec: dict[str, Any] = json.loads((folder.path / "spec.json").read_text("utf-8"))
    del spec["payload"]["pairs"]
    (folder.path / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(ValueError, match="pairs"):
        trial_job.run(folder.spec(), folder, FolderReporter(folder))


def test_a_folder_without_its_policy_says_so(space: Workspace) -> None:
    teas = published_teas(space)
    job_id = start_trial(space, smoky_draft(space), fake("http://127.0.0.1:9/v1"), teas[:1], "Ida", "k")
    folder = jobs.folder_of(space, job_id)
    (folder.path / "policy.yaml").write_text("policy: [")
    with pytest.raises(BadInput, match=r"policy.yaml, line 1"):
        trial_job.run(folder.spec(), folder, FolderReporter(folder))


def test_a_failed_judgement_is_asked_again_and_counted(space: Workspace) -> None:
    teas = published_teas(space)
    job_id = start_trial(space, smoky_draft(space), fake("http://127.0.0.1:9/v1"), teas[:2], "Ida", "k")
    folder = jobs.folder_of(space, job_id)
    inputs = read_inputs(folder.path)

    def answered(strength: int) -> RecordedJudge:
        """Answer both pairs; strength 7 is outside the scale and so fails."""
        each = (Judgement(dimension="taste", grade=1), Judgement(dimension="strength", grade=strength))
        return RecordedJudge("r", [Verdict(pair_id=p.id, judgements=each) for p in teas[:2]])

    reporter = FolderReporter(folder)
    first = grade(answered(7), inputs.policy, inputs.pairs, folder, reporter)
    second = grade(answered(1), inputs.policy, inputs.pairs, folder, reporter)
    third = grade(answered(0), inputs.policy, inputs.pairs, folder, reporter)
    reporter.close()
    assert (first.asked, first.failed) == (2, 2)
    assert (second.asked, second.failed) == (2, 0)
    assert third.asked == 0
    assert set(grades(folder, "strength").values()) == {1}
