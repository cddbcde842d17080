"""Verbs of suggested edits: what is planned and sent, what comes in, what taking and refusing do.

The golden set ``tea`` has four dev pairs and one in the holdout. People gave taste 0, 1, 2, 2; the run gave 2, 1, 0, 1,
so that it differs on three dev pairs (by 2 too high, by 2 too low, by 1 too low), and on the holdout pair too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from suggestion_samples import answer, edit, reword
from workspace_samples import NAME, golden_set, label, pair, recorded_run, version

from workbench import authoring, jobs, policy_edit, suggestion_job, suggestions
from workbench.errors import BadInput, Conflict, NotFound, Refused, Unavailable
from workbench.executors import Status, worker_command
from workbench.fake_provider import FakeProvider, text
from workbench.golden import NOT_APPLICABLE, NOT_GRADED, Pair
from workbench.jobfolder import FolderReporter
from workbench.run import JobSpec, LlmSpec, Run
from workbench.store import Draft
from workbench.store.suggestions import StoredSuggestion
from workbench.suggestion_job import read_input
from workbench.suggestion_prompt import messages
from workbench.workspace import Workspace

P = [pair("smoky", "Lapsang"), pair("smoky", "Sencha"), pair("mild", "Sencha"), pair("mild", "Assam")]
HELD = pair("bold", "Puer")
OPENAI = LlmSpec(model="openai/gpt-5-mini")
OWN = LlmSpec(model="own", base_url="http://127.0.0.1:9/v1")


class Stays:
    """An executor that starts nothing; its jobs run for ever."""

    name = "stays"

    def __init__(self) -> None:
        self.started: list[str] = []

    def submit(self, spec: JobSpec, folder: Path) -> str:
        self.started.append(folder.name)
        return "stays:1"

    def status(self, handle: str) -> Status:
        return "running"

    def logs(self, handle: str, lines: int = 200) -> str:
        """Know nothing."""
        return ""

    def command(self, folder: Path) -> list[str]:
        """Return the worker's."""
        return worker_command(folder)

    def stop(self, handle: str, *, kill: bool = False) -> None:
        raise AssertionError("nothing runs")


@pytest.fixture
def tea(workspace: Workspace) -> Workspace:
    """The golden set described above, in a workspace whose jobs stay queued."""
    people = [(0, 1), (1, 1), (2, 1), (2, 0)]
    labels: list[tuple[Pair, dict[str, int]]] = [
        (p, {"taste": t, "strength": s}) for p, (t, s) in zip(P, people, strict=True)
    ]
    golden_set(workspace, [*labels, (HELD, {"taste": 0, "strength": 1})], holdout=[HELD])
    return Workspace(workspace.settings, workspace.store, Stays())


def judged(tea: Workspace, *taste: int, name: str = "r1", strength: int = 1, **more: Any) -> Run:
    given = [(p, {"taste": t, "strength": strength}) for p, t in zip([*P, HELD], taste, strict=True)]
    return recorded_run(tea, name, given, **more)


@pytest.fixture
def run(tea: Workspace) -> Run:
    return judged(tea, 2, 1, 0, 1, 2)


@pytest.fixture
def draft(tea: Workspace) -> Draft:
    return authoring.open_draft(tea, NAME, "Ida")


def plan(tea: Workspace, draft: Draft, run: Run, model: LlmSpec = OWN, **more: Any) -> Any:
    return suggestions.plan_suggestions(tea, draft, run, model, **more)


# The plan


def test_only_dev_pairs_on_which_judge_and_people_differ_are_shown(
    tea: Workspace, draft: Draft, run: Run
) -> None:
    planned = plan(tea, draft, run)
    # strength: people 1, 1, 1, 0 and the run always 1.
    assert planned.found == {"taste": 3, "strength": 1}
    assert (planned.calls, planned.disagreements) == (2, 4)
    taste, strength = planned.batches
    assert {(d.pair.id, d.label, d.judge) for d in taste.disagreements} == {
        (P[0].id, 0, 2),
        (P[2].id, 2, 0),
        (P[3].id, 2, 1),
    }
    assert [(d.pair.id, d.label, d.judge) for d in strength.disagreements] == [(P[3].id, 0, 1)]
    assert HELD.id not in planned.batches[0].model_dump_json()


def test_the_widest_are_shown_where_not_all_are(tea: Workspace, draft: Draft, run: Run) -> None:
    planned = plan(tea, draft, run, most=2)
    assert {d.pair.id for d in planned.batches[0].disagreements} == {P[0].id, P[2].id}


def test_the_plan_counts_what_would_be_sent(tea: Workspace, draft: Draft, run: Run) -> None:
    planned = plan(tea, draft, run)
    sent = sum(len(part["content"]) for batch in planned.batches for part in messages(draft.body, batch))
    assert planned.input_tokens == sent // 4


def test_labels_of_today_notes_and_rationales_are_in_it(tea: Workspace, draft: Draft, run: Run) -> None:
    assert plan(tea, draft, run).found["taste"] == 3
    tea.store.add_labels("tea", [label(P[3], "taste", 1, minute=9)])  # ann comes to think as the judge did
    tea.store.add_labels("tea", [label(P[0], "taste", 0, "bo", minute=9, note="Ruled out by name.")])
    planned = plan(tea, draft, run)
    assert planned.found["taste"] == 2
    (first,) = [d for d in planned.batches[0].disagreements if d.pair.id == P[0].id]
    assert (first.labels, first.notes) == ((0, 0), ("Ruled out by name.",))
    assert "ann" not in first.model_dump_json()  # who labelled is nobody's business out there


def test_failed_judgements_and_pairs_without_labels_are_no_disagreements(
    tea: Workspace, draft: Draft
) -> None:
    failed = judged(tea, NOT_GRADED, 1, 0, 2, 2)
    assert plan(tea, draft, failed).found == {"taste": 1, "strength": 1}


def test_not_applicable_against_a_level_is_a_disagreement(tea: Workspace, draft: Draft) -> None:
    found = plan(tea, draft, judged(tea, 0, 1, 2, 2, 0, strength=NOT_APPLICABLE)).batches
    assert [(b.dimension, {d.judge for d in b.disagreements}) for b in found] == [
        ("strength", {NOT_APPLICABLE})
    ]


def test_a_dimension_that_the_draft_has_on_another_scale_is_left_out(
    tea: Workspace, draft: Draft, run: Run
) -> None:
    longer = policy_edit.add_level(draft.body, "taste", name="Beloved", criteria="Named as a favourite.")
    assert [b.dimension for b in plan(tea, draft.model_copy(update={"body": longer}), run).batches] == [
        "strength"
    ]


def test_what_the_draft_changed_since_the_judge_read_it_is_said(
    tea: Workspace, draft: Draft, run: Run
) -> None:
    body = policy_edit.set_clause(draft.body, "taste.2", "A blend has the taste of its strongest leaf.")
    body = policy_edit.set_clause(body, "strength.1", "No wish is N/A.")
    body = policy_edit.set_dimension(body, "taste", weight=9)  # which no judge reads
    taste, strength = plan(tea, draft.model_copy(update={"body": body}), run).batches
    assert (taste.changed, strength.changed) == (("taste.2",), ("strength.1",))


@pytest.mark.parametrize(
    ("model", "variable", "missing"),
    [
        (OPENAI, "OPENAI_API_KEY", "OPENAI_API_KEY"),
        (LlmSpec(model="anthropic/claude-x"), "ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY"),
        (
            LlmSpec(model="bedrock/claude-x"),
            "BEDROCK_API_KEY",
            "",
        ),  # signs with the account's own credentials
        (LlmSpec(model="openai/x", api_key_env="MY_KEY"), "MY_KEY", "MY_KEY"),
        (OWN, "", ""),
        (OWN.model_copy(update={"api_key_env": "MY_KEY"}), "MY_KEY", "MY_KEY"),
    ],
)
def test_the_plan_names_the_key_that_is_missing(
    tea: Workspace, draft: Draft, run: Run, monkeypatch: pytest.MonkeyPatch, model: LlmSpec, variable: str, missing: str
) -> None:  # fmt: skip
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "BEDROCK_API_KEY", "MY_KEY"):
        monkeypatch.delenv(name, raising=False)
    planned = plan(tea, draft, run, model)
    assert (planned.key_variable, planned.missing_key) == (variable, missing)
    if missing:
        monkeypatch.setenv(missing, "sk-0123456789")
        assert plan(tea, draft, run, model).missing_key == ""


def test_cost_is_at_list_prices_and_unknown_where_there_are_none(
    tea: Workspace, draft: Draft, run: Run
) -> None:
    known = plan(tea, draft, run, OPENAI)
    price = suggestions.model_price(OPENAI.model)
    assert price is not None
    assert price.input is not None
    assert price.output is not None
    # Two calls, each answered with 1,500 tokens.
    assert known.cost_usd == pytest.approx(known.input_tokens * price.input + 2 * 1500 * price.output)
    assert plan(tea, draft, run, LlmSpec(model="openai/no-such-model")).cost_usd is None
    priced_name_elsewhere = OWN.model_copy(update={"model": OPENAI.model})
    assert plan(tea, draft, run, priced_name_elsewhere).cost_usd is None


@pytest.mark.parametrize("most", [0, 41])
def test_a_number_out_of_bounds_is_refused(tea: Workspace, draft: Draft, run: Run, most: int) -> None:
    with pytest.raises(BadInput, match="Choose 1 to 40"):
        plan(tea, draft, run, most=most)


def test_a_run_that_has_not_finished_or_of_another_policy_is_refused(
    tea: Workspace, draft: Draft, run: Run
) -> None:
    for other in (
        run.model_copy(update={"status": "running"}),
        run.model_copy(update={"policy": "other"}),
    ):
        with pytest.raises(Refused, match="is no finished run of tea-match"):
            plan(tea, draft, other)


# Starting


def start(tea: Workspace, draft: Draft, run: Run, model: LlmSpec = OWN, **more: Any) -> str:
    return suggestions.start_suggestions(tea, draft, run, model, author="Ida", **more)


def test_a_started_job_has_what_it_needs_and_no_key(
    tea: Workspace, draft: Draft, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-0123456789")
    job_id = start(tea, draft, run, OWN.model_copy(update={"api_key_env": "MY_KEY"}))
    job = tea.store.job(job_id)
    assert (job.spec.kind, job.spec.author) == ("suggestion", "Ida")
    given = read_input(jobs.folder_of(tea, job_id))
    assert given.body == draft.body
    assert [b.dimension for b in given.batches] == ["taste", "strength"]
    files = [p.read_text("utf-8") for p in Path(job.folder).rglob("*") if p.is_file()]
    assert not any("sk-0123456789" in text for text in files)
    assert [j.spec.id for j in suggestions.suggestion_jobs(tea, draft)] == [job_id]


def test_a_double_click_starts_one_job(tea: Workspace, draft: Draft, run: Run) -> None:
    assert start(tea, draft, run, key="abc") == start(tea, draft, run, key="abc")
    assert tea.executor.started == ["job-suggestion-abc"]  # type: ignore[attr-defined]


def test_without_its_key_nothing_is_started(
    tea: Workspace, draft: Draft, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(Unavailable, match="Set the environment variable OPENAI_API_KEY where this app runs"):
        start(tea, draft, run, OPENAI)
    assert tea.store.jobs() == []


def test_without_disagreements_nothing_is_started(tea: Workspace, draft: Draft) -> None:
    agreeing = recorded_run(tea, "same", [(P[0], {"taste": 0, "strength": 1})])
    with pytest.raises(Refused, match="do not disagree anywhere"):
        start(tea, draft, agreeing)
    assert tea.store.jobs() == []


# What comes in


def answered(tea: Workspace, draft: Draft, run: Run, *edits: Any, **more: Any) -> str:
    """Start a job and do its work here, against a server that gives these edits for taste and none for strength."""
    with FakeProvider(
        otherwise=lambda request: text(
            answer(*edits) if 'on the dimension "taste"' in request.message("user") else answer()
        )(request)
    ) as provider:
        job_id = start(tea, draft, run, OWN.model_copy(update={"base_url": provider.base_url}), **more)
        folder = jobs.folder_of(tea, job_id)
        reporter = FolderReporter(folder)
        suggestion_job.run(folder.spec(), folder, reporter)
        reporter.close()
    return job_id


def open_ones(tea: Workspace, draft: Draft) -> list[StoredSuggestion]:
    return tea.store.suggestions(draft.name, draft.id, "open")


def test_what_a_job_left_comes_in_once(tea: Workspace, draft: Draft, run: Run) -> None:
    job_id = answered(tea, draft, run, edit("reword"), edit("add"))
    assert suggestions.collect_suggestions(tea, draft) == 2
    assert suggestions.collect_suggestions(tea, draft) == 0
    found = open_ones(tea, draft)
    assert {s.suggestion.kind for s in found} == {"reword", "add"}
    assert {s.job_id for s in found} == {job_id}
    other = authoring.start_draft(tea, NAME, "Bo")
    assert suggestions.collect_suggestions(tea, other) == 0


def test_a_suggestion_that_was_refused_stays_so_when_it_is_proposed_again(
    tea: Workspace, draft: Draft, run: Run
) -> None:
    answered(tea, draft, run, edit("reword"))
    suggestions.collect_suggestions(tea, draft)
    (first,) = open_ones(tea, draft)
    suggestions.refuse(tea, draft, first.id, "Ida", "  too\nbroad ")
    answered(tea, draft, run, edit("reword", reason="For another reason."), edit("add"))
    assert suggestions.collect_suggestions(tea, draft) == 1
    assert [s.suggestion.kind for s in open_ones(tea, draft)] == ["add"]
    assert tea.store.suggestion(first.id).reason == "too broad"


def test_a_job_that_left_nothing_or_is_under_way_brings_nothing(
    tea: Workspace, draft: Draft, run: Run
) -> None:
    start(tea, draft, run)
    assert suggestions.collect_suggestions(tea, draft) == 0


def test_a_damaged_file_is_named(tea: Workspace, draft: Draft, run: Run) -> None:
    path = jobs.folder_of(tea, start(tea, draft, run)).artifacts / "suggestions.json"
    path.write_text(json.dumps({"model": "own", "answers": [{"dimension": 3}]}))
    with pytest.raises(BadInput, match=r"suggestions\.json"):
        suggestions.collect_suggestions(tea, draft)


def test_the_evidence_is_what_the_model_saw(tea: Workspace, draft: Draft, run: Run) -> None:
    answered(tea, draft, run, edit("reword", cases=[1, 3]))
    suggestions.collect_suggestions(tea, draft)
    (stored,) = open_ones(tea, draft)
    shown = plan(tea, draft, run).batches[0].disagreements
    assert suggestions.evidence(tea, stored) == [shown[0], shown[2]]


def test_evidence_whose_folder_is_gone_is_missing_and_no_failure(
    tea: Workspace, draft: Draft, run: Run
) -> None:
    job_id = answered(tea, draft, run, edit("reword"))
    suggestions.collect_suggestions(tea, draft)
    (jobs.folder_of(tea, job_id).path / "suggest.json").unlink()
    assert suggestions.evidence(tea, open_ones(tea, draft)[0]) == []


# Taking and refusing


def kept(tea: Workspace, draft: Draft, number: int = 1, **more: Any) -> str:
    """Keep a suggestion for the draft, and return its id."""
    stored = StoredSuggestion(
        id=f"suggestion-{number}",
        policy=draft.name,
        draft_id=draft.id,
        job_id="job-1",
        suggestion=reword(**more),
        created_at=draft.created_at,
    )
    tea.store.add_suggestions([stored])
    return stored.id


def clause(body: Any, clause_id: str) -> str:
    return {c.id: c.text for _, c in body.clauses()}[clause_id]


def test_taking_edits_the_draft_and_publishes_nothing(tea: Workspace, draft: Draft) -> None:
    taken = suggestions.take(tea, draft, kept(tea, draft), "Bo")
    assert clause(taken.body, "taste.1") == "Smoke and salt count as tastes."
    assert (taken.revision, taken.updated_by) == (draft.revision + 1, "Bo")
    assert tea.store.draft(draft.id) == taken
    assert [p.version for p in tea.store.policy_versions(NAME)] == [1]
    stored = tea.store.suggestion("suggestion-1")
    assert (stored.status, stored.decided_by, stored.reason) == ("taken", "Bo", "")


def test_taking_after_editing_writes_the_edited_text(tea: Workspace, draft: Draft) -> None:
    taken = suggestions.take(tea, draft, kept(tea, draft), "Bo", text="  Salt counts. ")
    assert clause(taken.body, "taste.1") == "Salt counts."
    stored = tea.store.suggestion("suggestion-1")
    assert (stored.status, stored.reason) == ("taken", "taken after editing")
    assert (
        stored.suggestion.text == "Smoke and salt count as tastes."
    )  # what the model proposed stays on record


def test_taking_goes_by_the_draft_as_it_is_now(tea: Workspace, draft: Draft) -> None:
    elsewhere = policy_edit.set_clause(draft.body, "strength.1", "No wish is N/A.")
    authoring.save(tea, draft, elsewhere, "Bo")
    taken = suggestions.take(tea, draft, kept(tea, draft), "Ida")
    assert clause(taken.body, "strength.1") == "No wish is N/A."
    assert clause(taken.body, "taste.1") == "Smoke and salt count as tastes."


def test_what_no_longer_fits_changes_nothing_and_stays_open(tea: Workspace, draft: Draft) -> None:
    changed = authoring.save(tea, draft, policy_edit.set_clause(draft.body, "taste.1", "No smoke."), "Bo")
    suggestion_id = kept(tea, draft)
    with pytest.raises(Conflict, match=r"taste\.1 was changed since this was suggested"):
        suggestions.take(tea, draft, suggestion_id, "Ida")
    assert tea.store.draft(draft.id) == changed
    assert tea.store.suggestion(suggestion_id).status == "open"


@pytest.mark.parametrize("wording", [{"text": "  "}, {"second": "More."}])
def test_an_edited_text_that_cannot_be_kept_changes_nothing(
    tea: Workspace, draft: Draft, wording: dict[str, str]
) -> None:
    suggestion_id = kept(tea, draft)
    with pytest.raises(BadInput, match="The edited suggestion"):
        suggestions.take(tea, draft, suggestion_id, "Ida", **wording)
    assert tea.store.draft(draft.id) == draft
    assert tea.store.suggestion(suggestion_id).status == "open"


def test_one_is_decided_once(tea: Workspace, draft: Draft) -> None:
    suggestion_id = kept(tea, draft)
    suggestions.take(tea, draft, suggestion_id, "Bo")
    for verb in (suggestions.take, suggestions.refuse):
        with pytest.raises(Conflict, match="was taken by Bo already"):
            verb(tea, draft, suggestion_id, "Ida")
    assert tea.store.draft(draft.id).revision == draft.revision + 1


def test_refusing_leaves_the_draft_as_it_is(tea: Workspace, draft: Draft) -> None:
    suggestions.refuse(tea, draft, kept(tea, draft), "Ida", "not ours")
    assert tea.store.draft(draft.id) == draft
    stored = tea.store.suggestion("suggestion-1")
    assert (stored.status, stored.reason) == ("refused", "not ours")


def test_each_of_several_for_one_clause_is_decided_by_itself(tea: Workspace, draft: Draft) -> None:
    first, second = kept(tea, draft, 1), kept(tea, draft, 2, text="Salt is a taste too.")
    suggestions.take(tea, draft, second, "Ida")
    with pytest.raises(Conflict, match="was changed since"):
        suggestions.take(tea, draft, first, "Ida")
    assert tea.store.suggestion(first).status == "open"


def test_a_suggestion_belongs_to_its_draft(tea: Workspace, draft: Draft) -> None:
    other = authoring.start_draft(tea, NAME, "Bo")
    with pytest.raises(Conflict, match="for another draft"):
        suggestions.take(tea, other, kept(tea, draft), "Bo")
    tea.store.discard_draft(draft.id)
    with pytest.raises(NotFound, match="gone"):
        suggestions.take(tea, draft, "suggestion-1", "Ida")


def test_a_run_under_an_older_version_is_good_for_the_dimensions_that_stayed(tea: Workspace) -> None:
    newer = version(2, title="Anew")
    tea.store.add_policy(newer)
    old_run = judged(tea, 2, 1, 0, 1, 2, policy_version=1)
    draft = authoring.start_draft(tea, NAME, "Ida")
    assert draft.base_version == 2
    assert plan(tea, draft, old_run).found == {"taste": 3, "strength": 1}
    assert plan(tea, draft, old_run).batches[0].changed == ()  # the title is of no dimension
