"""Lint with what a workspace knows: golden sets as they are now, judges that ran, levels compared by a job."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from workspace_samples import NAME, golden_set, label, pair, recorded_run, version

from workbench import authoring, jobs, linting, policy_edit
from workbench.backbone import minilm_available
from workbench.errors import Refused, Unavailable
from workbench.executors import Status, worker_command
from workbench.files import write_text
from workbench.lint_job import SIMILARITIES
from workbench.policy import Body
from workbench.policy_lint import lint
from workbench.run import JobSpec
from workbench.workspace import Workspace

# The sample's precedent taste.p1 shows this pair and grades it 2.
SMOKY = pair("Something smoky", "Lapsang")
OTHERS = [pair(f"wish {i}", f"tea {i}") for i in range(40)]


@pytest.fixture
def body(workspace: Workspace) -> Body:
    """The newest version, with cut points at which lint alone has nothing to say, and without its unused term."""
    newest = workspace.store.policy(NAME).body()
    overall = newest.overall.model_copy(update={"cut_points": (0.9, 1.5)})
    return policy_edit.edit(newest, terms=(), overall=overall)


def said(workspace: Workspace, body: Body) -> list[tuple[str, str]]:
    return [(f.place, f.message) for f in linting.findings(workspace, NAME, body)]


def test_without_golden_sets_and_runs_it_is_lint(workspace: Workspace, body: Body) -> None:
    assert said(workspace, body) == []
    blank = policy_edit.set_level(body, "taste", 1, name="Fits", criteria="")
    assert said(workspace, blank) == [
        ("taste level 1", "has no criteria, so nobody can tell when to give it."),
    ]
    # A published version is linted as the body it is.
    newest = workspace.store.policy(NAME)
    assert linting.findings(workspace, NAME, newest) == linting.findings(workspace, NAME, newest.body())


def test_labels_count_as_soon_as_they_are_there(workspace: Workspace, body: Body) -> None:
    workspace.store.create_golden("tea", NAME)
    workspace.store.add_pairs("tea", [SMOKY], {SMOKY.id: "dev"})
    assert said(workspace, body) == []
    workspace.store.add_labels("tea", [label(SMOKY, "taste", 1)])
    assert said(workspace, body) == [
        ("taste.p1", "is graded 2, and the labels of this pair settled on 1."),
    ]
    workspace.store.add_labels("tea", [label(SMOKY, "taste", 2, minute=1)])  # ann changes her mind
    assert said(workspace, body) == []


def test_a_pair_drawn_into_the_holdout_is_known_before_it_is_published(
    workspace: Workspace, body: Body
) -> None:
    golden_set(workspace, [(OTHERS[0], {"taste": 1})])
    assert said(workspace, body) == []
    workspace.store.add_pairs("tea", [SMOKY], {SMOKY.id: "holdout"})
    workspace.store.add_labels("tea", [label(SMOKY, "taste", 0)])
    (finding,) = linting.findings(workspace, NAME, body)
    assert (finding.severity, finding.section, finding.item) == ("error", "taste", "taste.p1")
    # What the holdout's label is, is not told.
    assert (
        finding.message
        == "shows a pair of the holdout, which judges would read with its answer; take another pair."
    )


def test_golden_sets_of_other_policies_say_nothing(workspace: Workspace, body: Body) -> None:
    workspace.store.add_policy(version(1, policy="tea-two"))
    workspace.store.create_golden("two", "tea-two")
    workspace.store.add_pairs("two", [SMOKY], {SMOKY.id: "holdout"})
    assert said(workspace, body) == []


def test_gates_and_weights_on_the_dev_pairs_of_all_sets(workspace: Workspace, body: Body) -> None:
    # 20 dev pairs of one set and 20 of another are graded 2 and 1; one holdout pair is graded 0.
    golden_set(
        workspace,
        [(p, {"taste": 2, "strength": i % 2}) for i, p in enumerate(OTHERS[:20])] + [(SMOKY, {"taste": 0})],
        holdout=[SMOKY],
    )
    workspace.store.create_golden("more", NAME)
    workspace.store.add_pairs("more", OTHERS[20:], {p.id: "dev" for p in OTHERS[20:]})
    workspace.store.add_labels(
        "more",
        [label(p, key, 2) for p in OTHERS[20:] for key in ("taste",)]
        + [label(p, "strength", 1) for p in OTHERS[20:]],
    )
    body = policy_edit.remove_precedent(body, "taste.p1")
    assert said(workspace, body) == [
        (
            "strength",
            # taste 2 gives 6/4 or 7/4, both level 2; strength would count where taste is 1.
            "hardly counts: changing it from 0 to 1 changes the overall grade of none of 40 labelled pairs.",
        ),
        ("gate.1", "'taste == 0' fires on none of the 40 labelled pairs."),
    ]
    # A level that the draft no longer has is no grade: nothing is left to be said of these pairs.
    assert said(workspace, policy_edit.remove_level(body, "taste")) == said_without_labels(body)


def said_without_labels(body: Body) -> list[tuple[str, str]]:
    return [(f.place, f.message) for f in lint(policy_edit.remove_level(body, "taste"))]


def test_a_policy_too_long_for_a_judge_that_ran(workspace: Workspace, body: Body) -> None:
    golden_set(workspace, [(OTHERS[0], {"taste": 1})])
    recorded_run(workspace, "one", [(OTHERS[0], {"taste": 1})], judge="openai/gpt-4")  # 8,192 tokens of input
    recorded_run(workspace, "two", [(OTHERS[0], {"taste": 1})], judge="openai/gpt-4o")  # 128,000
    recorded_run(workspace, "three", [(OTHERS[0], {"taste": 1})], judge="of-our-own")  # unknown
    assert said(workspace, body) == []
    long = policy_edit.edit(body, purpose=" tea" * 9_000)  # one token each
    ((place, message),) = said(workspace, long)
    assert place == "the policy"
    count = int(message.removeprefix("is some ").split(" ")[0].replace(",", ""))
    assert 9_000 < count < 10_000  # with the rest of the policy and the form of the answer
    assert message.endswith("tokens long, and openai/gpt-4 reads 8,192 at most.")
    # More bytes than gpt-4 has tokens, and fewer tokens: it fits.
    assert said(workspace, policy_edit.edit(body, purpose=" tea" * 3_000)) == []


# Comparing levels by meaning


@dataclass
class Waiting:
    """An executor whose jobs stay at work until the test does them."""

    name: str = "waiting"
    submitted: list[Path] = field(default_factory=list)

    def submit(self, spec: JobSpec, folder: Path) -> str:
        self.submitted.append(folder)
        return folder.name

    def status(self, handle: str) -> Status:
        return "running"

    def logs(self, handle: str, lines: int = 200) -> str:
        """Know nothing."""
        return ""

    def command(self, folder: Path) -> list[str]:
        """Return the worker's."""
        return worker_command(folder)

    def stop(self, handle: str, *, kill: bool = False) -> None:
        raise AssertionError("nobody stops it")


@pytest.fixture
def waiting(workspace: Workspace) -> Workspace:
    return replace(workspace, executor=Waiting())


def leave(workspace: Workspace, job_id: str, found: dict[str, Any]) -> None:
    write_text(jobs.folder_of(workspace, job_id).artifacts / SIMILARITIES, json.dumps(found))


def key_of(body: Body, dimension: str) -> str:
    return linting.criteria_key([level.criteria for level in body.dimension(dimension).levels])


TASTE = [[1, 0.1, 0.2], [0.1, 1, 0.9], [0.2, 0.9, 1]]


def test_what_was_compared_holds_for_these_texts_only(
    waiting: Workspace, body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linting, "minilm_available", lambda: True)
    body = policy_edit.set_level(body, "taste", 1, name="Fits", criteria="The taste suits.")
    draft = authoring.save(waiting, authoring.open_draft(waiting, NAME, "Ida"), body, "Ida")
    assert linting.not_compared(waiting, body) == ("taste", "strength")
    job = linting.start_similarity(waiting, draft, "Ida")
    assert linting.start_similarity(waiting, draft, "Bo") == job  # a second click
    spec = waiting.store.job(job).spec
    assert (spec.kind, spec.author) == ("lint", "Ida")
    assert said(waiting, body) == []  # still at work

    leave(waiting, job, {key_of(body, "taste"): TASTE})
    assert linting.not_compared(waiting, body) == ("strength",)
    assert linting.level_similarity(waiting, body) == {
        ("taste", 0, 1): 0.1,
        ("taste", 0, 2): 0.2,
        ("taste", 1, 2): 0.9,
    }
    assert said(waiting, body) == [
        ("taste levels 1 and 2", "say nearly the same (similarity 0.90); say what tells them apart.")
    ]
    # Other names and clauses change nothing; another wording makes it stale; the wording from before fits again.
    renamed = policy_edit.set_level(
        body, "taste", 1, name="Fine", criteria=body.dimensions[0].levels[1].criteria
    )
    assert len(said(waiting, renamed)) == 1
    reworded = policy_edit.set_level(body, "taste", 1, name="Fits", criteria="It goes with the wish.")
    assert said(waiting, reworded) == []
    assert linting.not_compared(waiting, reworded) == ("taste", "strength")
    assert len(said(waiting, body)) == 1

    # The newest comparison counts, and it is asked for what is missing only.
    second = linting.start_similarity(waiting, draft, "Ida")
    assert second != job
    assert waiting.store.job(second).spec.payload["criteria"] == [
        [level.criteria for level in body.dimension("strength").levels]
    ]
    leave(
        waiting,
        second,
        {
            key_of(body, "taste"): [[1, 0, 0], [0, 1, 0.5], [0, 0.5, 1]],
            key_of(body, "strength"): [[1, 0], [0, 1]],
        },
    )
    assert linting.level_similarity(waiting, body)["taste", 1, 2] == 0.5
    with pytest.raises(Refused, match="The levels of this draft are compared already"):
        linting.start_similarity(waiting, draft, "Ida")


def test_a_damaged_result_is_no_result(
    waiting: Workspace, body: Body, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(linting, "minilm_available", lambda: True)
    draft = authoring.save(waiting, authoring.open_draft(waiting, NAME, "Ida"), body, "Ida")
    job = linting.start_similarity(waiting, draft, "Ida")
    write_text(jobs.folder_of(waiting, job).artifacts / SIMILARITIES, "{")
    assert linting.not_compared(waiting, body) == ("taste", "strength")
    assert "does not hold similarities of levels" in caplog.text


def test_without_the_encoder_it_says_what_it_needs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linting, "minilm_available", lambda: False)
    draft = authoring.open_draft(workspace, NAME, "Ida")
    with pytest.raises(Unavailable, match=r"not installed\. Install it with: pip install"):
        linting.start_similarity(workspace, draft, "Ida")
    assert workspace.store.jobs("lint") == []


@pytest.mark.skipif(not minilm_available(), reason="the offline extra (MiniLM) is not installed")
def test_a_worker_compares_the_levels_of_a_draft(workspace: Workspace, body: Body) -> None:
    # Level 2 says: The guest asked for this taste.
    alike = policy_edit.set_level(
        body, "taste", 1, name="Fits", criteria="This taste is what the guest asked for."
    )
    draft = authoring.save(workspace, authoring.open_draft(workspace, NAME, "Ida"), alike, "Ida")
    job = linting.start_similarity(workspace, draft, "Ida")
    list(jobs.wait(workspace, [job], every_s=0.05))
    final = workspace.store.job(job).final
    assert final is not None
    assert (final.status, final.error) == ("finished", "")
    ((place, message),) = said(workspace, alike)
    assert place == "taste levels 1 and 2"
    assert message.startswith("say nearly the same (similarity 0.")
    other = policy_edit.set_level(alike, "taste", 1, name="Fits", criteria="Nothing speaks against it.")
    assert said(workspace, other) == []
