"""The panel of suggested edits: what asking needs and costs, suggestions with their evidence, deciding one by one.

In ``bakers`` (see :mod:`job_samples`) people gave the six dev pairs skills 2 and 0 in turns. The judge of these tests
gives 0 and 0, so that it differs on three dev pairs, by 2 too low.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from job_samples import Held, finish, folder_of, progress, publish
from page_samples import text_of
from streamlit.testing.v1 import AppTest

from workbench import authoring, jobs, policy_edit, suggestions
from workbench.golden import Pair
from workbench.run import JudgeIdentity, Judgement, LlmSpec, Run, RunTotals, Usage, Verdict
from workbench.store import Draft
from workbench.suggestion import Suggestion
from workbench.suggestion_job import Answer, SuggestionOutput
from workbench.workspace import Workspace

OWN = LlmSpec(model="own-model", base_url="http://127.0.0.1:9/v1")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    """Jobs that are started and do nothing; no key is set."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return Held(monkeypatch)


@pytest.fixture
def pairs(space: Workspace, held: Held) -> list[Pair]:
    """The published pairs; the first six are dev."""
    return publish(space)


@pytest.fixture
def run(space: Workspace, pairs: list[Pair]) -> Run:
    """A finished run that gives every pair skills 0 and wishes as people do."""
    made = Run(
        id="run-1",
        judge=JudgeIdentity(kind="llm", name="judge-x"),
        policy="fit",
        policy_version=1,
        policy_hash=space.store.policy("fit").content_hash,
        golden="bakers",
        golden_version=1,
        golden_hash=space.store.snapshot("bakers").content_hash,
        status="finished",
        created_at=datetime(2026, 11, 2, tzinfo=UTC),
        finished_at=datetime(2026, 11, 2, tzinfo=UTC),
        totals=RunTotals(pairs=len(pairs)),
    )
    verdicts = [
        Verdict(
            pair_id=pair.id,
            judgements=(
                Judgement(
                    dimension="skills", grade=0, rationale="Nothing <b>used at work</b>.", cites=("skills.1",)
                ),
                Judgement(dimension="wishes", grade=1 - i % 2),
            ),
        )
        for i, pair in enumerate(pairs)
    ]
    space.store.add_verdicts(made.id, verdicts)
    space.store.save_run(made)
    return made


@pytest.fixture
def draft(space: Workspace) -> Draft:
    return authoring.open_draft(space, "fit", "anna")


def script() -> None:
    import streamlit as st

    from workbench import authoring, suggestion_panel, widgets

    widgets.flash()
    draft = widgets.workspace().store.draft(st.query_params["draft"])
    base = authoring.base_body(widgets.workspace(), draft)
    section, item = st.query_params.get("part", "general"), st.query_params.get("item", "")
    suggestion_panel.draw(draft, base, section, item)


def panel(draft: Draft, **parameters: str) -> AppTest:
    page = AppTest.from_function(script, default_timeout=60)
    page.query_params.update({"draft": draft.id} | parameters)
    return again(page)


def again(page: AppTest) -> AppTest:
    page.run()
    assert not page.exception, page.exception
    return page


def labels(page: AppTest) -> list[str]:
    return [button.label for button in page.button]


def button(page: AppTest, label: str, nth: int = 0) -> Any:
    return [found for found in page.button if found.label == label][nth]


def said(page: AppTest, kind: str) -> str:
    return "\n".join(str(element.value) for element in page.get(kind))


def reword(
    pairs: list[Pair], text: str = "A skill counts when it was used anywhere.", **more: Any
) -> Suggestion:
    values = {
        "kind": "reword",
        "dimension": "skills",
        "section": "skills",
        "item": "skills.1",
        "before": "A skill counts when it was used at work.",
        "text": text,
        "reason": "Members <i>bake</i> at home.",
        "effect": "Two cases become 2.",
        "evidence": (pairs[0].id, pairs[2].id),
    }
    return Suggestion.model_validate(values | more)


def add(pairs: list[Pair], section: str, text: str) -> Suggestion:
    return reword(pairs, text, kind="add", section=section, item="", before="")


def answered(
    space: Workspace, draft: Draft, run: Run, *found: Suggestion, failed: str = "", key: str = "k"
) -> str:
    """Leave what a finished job leaves."""
    job_id = suggestions.start_suggestions(space, draft, run, OWN, author="anna", key=key)
    folder = folder_of(space, job_id)
    output = SuggestionOutput(model=OWN.model, answers=(Answer(dimension="skills", suggestions=found),))
    (folder.artifacts / "suggestions.json").write_text(output.model_dump_json(by_alias=True), "utf-8")
    usage = Usage(calls=1, input_tokens=4_000, output_tokens=500).model_dump(mode="json")
    failures = {"skills": failed} if failed else {}
    finish(folder, model=OWN.model, suggestions=len(found), failed=failures, usage=usage, seconds=1.0)
    jobs.collect(space)
    return job_id


# Asking


def test_without_a_run_it_says_what_suggestions_rest_on(
    space: Workspace, pairs: list[Pair], draft: Draft
) -> None:
    page = panel(draft)
    assert "No judge has run under this policy yet." in text_of(page)
    assert "Ask for suggestions" not in labels(page)


def test_without_a_key_the_button_is_off_and_names_the_variable(run: Run, draft: Draft) -> None:
    page = panel(draft)
    assert button(page, "Ask for suggestions").disabled
    assert "in the environment variable `OPENAI_API_KEY`, which is not set" in said(page, "warning")


def test_with_its_key_it_can_be_asked_and_says_what_that_sends_and_costs(
    run: Run, draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    page = panel(draft)
    assert not button(page, "Ask for suggestions").disabled
    assert not page.warning
    text = text_of(page)
    assert "3 (Skills 3)" in text
    assert "3 in 1 call, one a dimension" in text
    assert "about $0." in text
    assert "sk-0123456789" not in text


def test_another_variable_or_an_own_server_changes_what_is_needed(run: Run, draft: Draft) -> None:
    page = panel(draft)
    page.text_input(key="suggest_variable").set_value("MY_KEY")
    assert "`MY_KEY`" in said(again(page), "warning")
    page.text_input(key="suggest_variable").set_value("")
    page.text_input(key="suggest_base_url").set_value("http://127.0.0.1:9/v1")
    again(page)
    assert not button(page, "Ask for suggestions").disabled
    assert "unknown" in text_of(page)


@pytest.mark.parametrize(
    ("model", "reason"),
    [("baseline", "writes no suggestions"), ("", "is no judge"), ("gpt", "is no judge")],
)
def test_what_is_no_model_is_said(run: Run, draft: Draft, model: str, reason: str) -> None:
    page = panel(draft)
    page.text_input(key="suggest_model").set_value(model)
    assert reason in said(again(page), "error")
    assert "Ask for suggestions" not in labels(page)


def test_a_key_typed_as_the_variable_is_not_repeated(run: Run, draft: Draft) -> None:
    page = panel(draft)
    page.text_input(key="suggest_variable").set_value("sk-a1b2c3d4e5f6")
    again(page)
    shown = said(page, "error") + text_of(page)
    assert "not the name of an environment variable" in shown
    assert "sk-a1b2c3d4e5f6" not in shown


def test_asking_starts_one_job_shows_its_progress_and_can_be_stopped(
    space: Workspace, run: Run, draft: Draft, held: Held
) -> None:
    page = panel(draft)
    page.text_input(key="suggest_base_url").set_value("http://127.0.0.1:9/v1")
    again(page)
    button(page, "Ask for suggestions").click()
    again(page)
    (job,) = suggestions.suggestion_jobs(space, draft)
    assert held.started == [job.spec.id]
    progress(folder_of(space, job.spec.id), 1, 4)
    again(page)
    assert "Asking openai/gpt-5-mini: 1 of 4 dimensions" in str(page.get("progress")[0].proto.text).replace(
        "\\", ""
    )
    assert "Ask for suggestions" not in labels(page)  # the form folds once it was used
    page.session_state[f"suggest_form:{draft.id}"] = True
    again(page)
    assert button(page, "Ask for suggestions").disabled  # one asking at a time
    button(page, "Stop").click()
    again(page)
    assert jobs.stop_asked(job) is not None


def test_an_asking_that_failed_says_why_and_can_be_resumed(space: Workspace, run: Run, draft: Draft) -> None:
    job_id = suggestions.start_suggestions(space, draft, run, OWN, author="anna", key="k")
    finish(folder_of(space, job_id), "failed", "own-model refused the key (401).", "Set the key.")
    jobs.collect(space)
    page = panel(draft)
    assert "own" in said(page, "warning")
    assert "refused the key" in said(page, "warning").replace("\\", "")
    assert "Resume" in labels(page)


# What came in


def test_a_suggestion_shows_its_words_its_reason_and_its_evidence(
    space: Workspace, run: Run, draft: Draft, pairs: list[Pair]
) -> None:
    answered(space, draft, run, reword(pairs))
    text = text_of(panel(draft, part="skills"))
    assert "used <del>at work</del><ins>anywhere</ins>." in text
    assert "Members &lt;i&gt;bake&lt;/i&gt; at home." in text  # what a model wrote is text, never markup
    assert "Expected: Two cases become 2." in text
    assert "proposed by own-model" in text
    assert "rests on 2 pairs, Skills" in text
    assert text.count("<details") == 2
    assert "Baker 0 → Baker 0" in text
    assert "Nothing &lt;b&gt;used at work&lt;/b&gt;." in text
    assert "own-model proposed 1 edit" in text.replace("\\", "")
    assert "4,500 tokens, cost unknown" in text


def test_nothing_is_edited_before_somebody_takes_it(
    space: Workspace, run: Run, draft: Draft, pairs: list[Pair]
) -> None:
    answered(space, draft, run, reword(pairs))
    panel(draft, part="skills")
    assert space.store.draft(draft.id) == draft


def test_taking_edits_the_draft_under_ones_name_and_folds_the_suggestion(
    space: Workspace, run: Run, draft: Draft, pairs: list[Pair]
) -> None:
    answered(space, draft, run, reword(pairs))
    page = panel(draft, part="skills")
    button(page, "Take").click()
    again(page)
    now = space.store.draft(draft.id)
    assert now.body.dimension("skills").clauses[0].text == "A skill counts when it was used anywhere."
    assert now.updated_by == "anna"
    assert "Take" not in labels(page)
    assert "Decided (1)" in [box.label for box in page.expander]
    assert "No suggestion waits for a decision." in text_of(page)


def test_taking_after_editing_starts_from_the_suggested_wording(
    space: Workspace, run: Run, draft: Draft, pairs: list[Pair]
) -> None:
    answered(space, draft, run, reword(pairs))
    page = panel(draft, part="skills")
    button(page, "Edit first").click()
    again(page)
    assert page.text_area[0].value == "A skill counts when it was used anywhere."
    page.text_area[0].set_value("Home baking counts.")
    button(page, "Take this wording").click()
    again(page)
    assert space.store.draft(draft.id).body.dimension("skills").clauses[0].text == "Home baking counts."


def test_refusing_with_a_reason_keeps_both(
    space: Workspace, run: Run, draft: Draft, pairs: list[Pair]
) -> None:
    answered(space, draft, run, reword(pairs))
    page = panel(draft, part="skills")
    (why,) = [field for field in page.text_input if field.label == "Why (for the record)"]
    why.set_value("Only work counts <here>.")
    button(page, "Refuse it").click()
    again(page)
    (stored,) = space.store.suggestions("fit", draft.id)
    assert (stored.status, stored.decided_by, stored.reason) == (
        "refused",
        "anna",
        "Only work counts <here>.",
    )
    assert space.store.draft(draft.id) == draft


def test_each_is_decided_by_itself(space: Workspace, run: Run, draft: Draft, pairs: list[Pair]) -> None:
    answered(space, draft, run, reword(pairs), add(pairs, "general", "Be brief."))
    page = panel(draft, part="skills", item="skills.1")
    button(page, "Take", 1).click()  # the clause being edited comes first, so this is the general rule
    again(page)
    body = space.store.draft(draft.id).body
    assert [clause.text for clause in body.general] == ["Grade what the texts say.", "Be brief."]
    assert body.dimension("skills").clauses[0].text == "A skill counts when it was used at work."
    assert labels(page).count("Take") == 1


def test_those_for_the_part_being_edited_come_first(
    space: Workspace, run: Run, draft: Draft, pairs: list[Pair]
) -> None:
    found = [add(pairs, "general", "Rule G."), add(pairs, "skills", "Rule S."), reword(pairs, "Rule C.")]
    answered(space, draft, run, *found)

    def order(**at: str) -> list[str]:
        text = text_of(panel(draft, **at))
        return sorted(("Rule G", "Rule S", "Rule C"), key=text.index)

    assert order(part="general")[0] == "Rule G"
    assert order(part="skills", item="skills.1") == ["Rule C", "Rule S", "Rule G"]


def test_one_that_no_longer_fits_says_so_and_can_only_be_refused(
    space: Workspace, run: Run, draft: Draft, pairs: list[Pair]
) -> None:
    answered(space, draft, run, reword(pairs))
    authoring.save(space, draft, policy_edit.set_clause(draft.body, "skills.1", "Any use counts."), "bo")
    page = panel(draft, part="skills")
    assert "It no longer fits: skills.1 was changed since this was suggested." in text_of(page).replace(
        "\\", ""
    )
    assert button(page, "Take").disabled
    assert button(page, "Edit first").disabled
    assert not button(page, "Refuse it").disabled


def test_many_are_shown_a_few_at_a_time(space: Workspace, run: Run, draft: Draft, pairs: list[Pair]) -> None:
    answered(space, draft, run, *(add(pairs, "skills", f"Rule {i}.") for i in range(8)))
    page = panel(draft, part="skills")
    assert labels(page).count("Take") == 5
    button(page, "Show 3 more of 3").click()
    assert labels(again(page)).count("Take") == 8


def test_a_damaged_file_is_an_error_message_and_the_rest_is_drawn(
    space: Workspace, run: Run, draft: Draft, pairs: list[Pair]
) -> None:
    job_id = answered(space, draft, run, reword(pairs))
    (folder_of(space, job_id).artifacts / "suggestions.json").write_text(json.dumps({"answers": 1}))
    page = again(panel(draft, part="skills"))
    assert "suggestions.json" in said(page, "error").replace("\\", "")
    assert [box.label for box in page.expander] == ["Ask a model for suggestions"]


def test_a_dimension_without_an_answer_is_named(space: Workspace, run: Run, draft: Draft) -> None:
    answered(space, draft, run, failed="the reply is empty")
    warned = said(panel(draft), "warning")
    assert "**skills** has no usable answer: the reply is empty" in warned
