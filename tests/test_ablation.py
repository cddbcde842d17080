"""Ablation: every edit by itself, in values and through a job that asks a judge again."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trial_samples import EDIT, Held, fake, published_teas, reads_the_policy, work
from workspace_samples import NAME, version

from workbench import ablation_job, ablations, comparing, flip_table, jobs, judge_runs, policy_edit
from workbench.ablation import single_edits
from workbench.errors import Refused
from workbench.fake_provider import FakeProvider
from workbench.flips import by_clause, name_of
from workbench.jobfolder import FolderReporter, JobFolder
from workbench.policy import Body, Policy
from workbench.policy_diff import diff
from workbench.workspace import Workspace

BASE = version(1).body()


def names(before: Body, after: Body) -> list[list[str]]:
    edits, refused = single_edits(before, after)
    assert refused == ()
    return [[name_of(change) for change in edit.changes] for edit in edits]


def test_each_change_alone_is_that_change_and_no_other() -> None:
    after = policy_edit.set_clause(BASE, "taste.1", EDIT)
    after = policy_edit.add_clause(after, "strength", "A new rule.")
    after = policy_edit.set_dimension(after, "taste", question="How does it taste?")
    rule = after.overall.model_copy(update={"cut_points": (0.4, 1.4)})
    after = policy_edit.edit(after, overall=rule)  # not judged: no edit
    edits, refused = single_edits(BASE, after)
    assert refused == ()
    judged = [change for change in diff(BASE, after) if change.judged]
    assert len(edits) == len(judged) == 3
    for edit in edits:
        assert diff(BASE, edit.body) == edit.changes


def test_an_added_clause_stands_where_the_newer_version_has_it() -> None:
    after = policy_edit.add_clause(BASE, "taste", "First of all.")
    ids = [clause.id for clause in after.dimension("taste").clauses]
    moved = policy_edit.move_clause(after, ids[-1], position=0)
    (edit,), _ = single_edits(BASE, moved)
    assert [c.id for c in edit.body.dimension("taste").clauses] == [ids[-1], *ids[:-1]]


def test_both_halves_of_a_split_are_one_edit() -> None:
    after = policy_edit.split_clause(BASE, "taste.1", "One half.", "The other half.")
    (edit,), _ = single_edits(BASE, after)
    assert {change.kind for change in edit.changes} == {"reworded", "split"}
    assert edit.body == after


def test_a_dimension_more_is_one_edit() -> None:
    after = policy_edit.add_dimension(BASE, "price", "Price", "Is it cheap?")
    assert names(BASE, after) == [["price/dimension/price"]]


def test_what_cannot_stand_alone_is_named() -> None:
    # The precedent cites a clause that is new as well: without the clause it breaks a rule of policies.
    after = policy_edit.add_clause(BASE, "taste", "A new rule.")
    new = after.dimension("taste").clauses[-1].id
    precedent = after.dimension("taste").precedents[0]
    after = policy_edit.set_precedent(after, precedent.id, cites=(new,))
    edits, refused = single_edits(BASE, after)
    assert [name_of(edit.changes[0]) for edit in edits] == [f"taste/clause/{new}"]
    assert [name_of(one.change) for one in refused] == [f"taste/precedent/{precedent.id}"]
    assert new in refused[0].reason


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_few_edits_come_apart(data: st.DataObject) -> None:
    ids = [clause.id for _, clause in BASE.clauses()]
    after = BASE
    for clause in data.draw(st.lists(st.sampled_from(ids), unique=True)):
        after = policy_edit.set_clause(after, clause, f"Reworded {clause}.")
    edits, refused = single_edits(BASE, after)
    assert refused == ()
    assert [edit.changes for edit in edits] == [(change,) for change in diff(BASE, after)]


@pytest.fixture
def space(workspace: Workspace) -> Workspace:
    """The workspace with an executor that starts nothing; version 2 has the edit that moves taste and one that does not."""
    body = policy_edit.set_clause(version(1).body(), "taste.1", EDIT)
    body = policy_edit.add_clause(body, "taste", "A rule without consequence.")
    workspace.store.add_policy(
        Policy.publish(body, policy=NAME, version=2, parent=1, message="two edits", author="Ida")
    )
    return Workspace(workspace.settings, workspace.store, Held())


def compared(space: Workspace, base_url: str) -> comparing.RunComparison:
    """Run the fake judge under both versions and compare."""
    runs = []
    for number in (1, 2):
        run = judge_runs.start_run(
            space, fake(base_url), policy=NAME, version=number, golden="tea", author="Ida", key=f"r{number}"
        )
        work(space, f"job-{run.id}")
        jobs.collect(space)
        runs.append(space.store.run(run.id))
    return comparing.compare_runs(space, *runs)


def test_the_edit_that_flips_alone_is_found_and_paid_for_once(space: Workspace) -> None:
    published_teas(space)
    with FakeProvider(otherwise=reads_the_policy()) as provider:
        found = compared(space, provider.base_url)
        flips = [f for f in flip_table.all_flips(space, found) if f.dimension == "taste"]
        assert len(flips) == 18  # taste goes from 1 to 2 on every dev pair
        assert {len(flip.causes) for flip in flips} == {
            2
        }  # the judge cites nothing, so both edits are possible
        plan = ablations.plan_ablation(space, found)
        assert (plan.pairs, plan.calls, plan.known) == (36, 36, 0)
        assert (plan.cost_usd, "own" in plan.cost_unknown) == (None, True)
        before = provider.calls
        job_id = ablations.start_ablation(space, found, "Ida", "k")
        assert ablations.start_ablation(space, found, "Ida", "k") == job_id
        work(space, job_id)
        assert provider.calls == before + 36
        tried = ablations.ablated(space, found)
        assert tried[flips[0].pair_id, "taste"] == {
            "taste/clause/taste.1": True,
            f"taste/clause/{found.policy_b.dimension('taste').clauses[-1].id}": False,
        }
        sure = [f for f in flip_table.all_flips(space, found, tried) if f.dimension == "taste"]
        assert {(c.change.id, c.how) for f in sure for c in f.causes} == {("taste.1", "ablation")}
        rows = {row.key: row.flips for row in by_clause(sure, found.changes)}
        assert sorted(rows.values()) == [0, 18]  # the other edit moved nothing, and has its row
        # Asked once more, everything is known: nothing is paid twice.
        assert ablations.plan_ablation(space, found).calls == 0
        work(space, ablations.start_ablation(space, found, "Ida", "again"))
        assert provider.calls == before + 36
    state = ablations.ablation_state(space, found)
    assert state is not None
    assert (state[0].spec.id, state[1].status) == ("ablation-again", "finished")


class Stops(FolderReporter):
    """A reporter that is asked to stop after some answers."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        super().progress(done, total, note)
        if done >= 20:
            self.stop()


def test_an_ablation_that_was_stopped_goes_on(space: Workspace) -> None:
    published_teas(space)
    with FakeProvider(otherwise=reads_the_policy()) as provider:
        found = compared(space, provider.base_url)
        before = provider.calls
        job_id = ablations.start_ablation(space, found, "Ida", "k")
        folder = jobs.folder_of(space, job_id)
        reporter = Stops(folder)
        ablation_job.run(folder.spec(), folder, reporter)
        reporter.close()
        tried = [changes for (_, key), changes in ablations.ablated(space, found).items() if key == "taste"]
        assert len(tried) == 18  # the first edit is done
        assert sum(len(changes) == 2 for changes in tried) == 2  # and two pairs of the second
        assert provider.calls - before <= 36
        for file in space.cache_folder.glob("verdicts.sqlite*"):
            file.unlink()  # what is in the folder is not asked for again even without the cache
        handler = signal.getsignal(signal.SIGTERM)
        work(space, job_id)
        signal.signal(signal.SIGTERM, handler)
        lines = sum(1 for i in range(2) for _ in JobFolder(folder.path / f"edit{i}").verdicts())
    assert lines == 36


def test_refuses_what_cannot_be_taken_apart(space: Workspace) -> None:
    published_teas(space)
    with FakeProvider(otherwise=reads_the_policy()) as provider:
        found = compared(space, provider.base_url)
        same = comparing.compare_runs(space, found.a, found.a)
        held = comparing.compare_runs(space, found.a, found.b, split="holdout")
    with pytest.raises(Refused, match="same policy"):
        ablations.plan_ablation(space, same)
    with pytest.raises(Refused, match="none such is run on a holdout"):
        ablations.start_ablation(space, held, "Ida")
