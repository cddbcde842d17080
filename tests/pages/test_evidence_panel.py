"""The evidence panel on a run whose answers are known by hand.

Six dev pairs are labelled 2 and 0 in turns on skills. The judge says 1, 2, then what the labels say; it cites skills.1
on the first three. On the holdout it is wrong throughout and cites skills.1 too.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from job_samples import publish
from page_samples import label, text_of
from streamlit.testing.v1 import AppTest

from workbench.golden import Pair
from workbench.policy_edit import add_clause, set_clause
from workbench.run import JudgeIdentity, Judgement, Run, Verdict
from workbench.store import Draft
from workbench.workspace import Workspace

SKILLS = (1, 2, 2, 0, 2, 0, 0, 2, 0, 2)


def script() -> None:
    import streamlit as st

    from workbench import evidence_panel, widgets

    store = widgets.workspace().store
    draft = store.draft(st.query_params["draft"])
    base = store.policy(draft.name, draft.base_version)
    evidence_panel.draw(draft, base, st.query_params["section"], st.query_params["item"])


def open_panel(draft: Draft, section: str = "skills", item: str = "skills.1", **parameters: str) -> AppTest:
    page = AppTest.from_function(script, default_timeout=60)
    page.query_params.update({"draft": draft.id, "section": section, "item": item} | parameters)
    page.run()
    assert not page.exception, page.exception
    return page


@pytest.fixture
def draft(space: Workspace) -> Draft:
    """A draft of ``fit`` that says the same as v1."""
    return space.store.start_draft("fit", space.store.policy("fit").body(), "anna", base_version=1)


def judged(
    space: Workspace, pairs: list[Pair], *, name: str = "openai/a", day: int = 1, cites: bool = True
) -> Run:
    """Keep a finished run with the answers above."""
    at = datetime(2026, 4, 1, tzinfo=UTC) + timedelta(days=day)
    run = Run(
        id=f"run-{day}", judge=JudgeIdentity(kind="llm", name=name), policy="fit", policy_version=1, policy_hash="h",
        golden="bakers", golden_version=1, golden_hash="g", status="finished", created_at=at, finished_at=at,
    )  # fmt: skip
    verdicts = [
        Verdict(
            pair_id=pair.id,
            judgements=(
                Judgement(
                    dimension="skills", grade=grade, rationale=f"Reason {i} <b>.",
                    cites=("skills.1",) if cites and (i < 3 or i >= 6) else (),
                ),
                Judgement(dimension="wishes", grade=1 - i % 2, cites=("general.1",) if cites else ()),
            ),
        )
        for i, (pair, grade) in enumerate(zip(pairs, SKILLS, strict=True))
    ]  # fmt: skip
    space.store.add_verdicts(run.id, verdicts)
    space.store.save_run(run)
    return run


def rows(page: AppTest) -> list[list[str]]:
    return page.dataframe[0].value.values.tolist()


def test_without_a_run_it_says_what_to_do(draft: Draft) -> None:
    assert "No finished run of this policy yet." in text_of(open_panel(draft))


def test_a_clause_with_its_counts_and_worst_disagreements(space: Workspace, draft: Draft) -> None:
    judged(space, publish(space))
    page = open_panel(draft)
    said = text_of(page)
    assert "**skills.1** is cited in **3** of 6 verdicts; 2 of them disagree with the label (67%)." in said
    assert "Across the dimension 33% disagree (2 of 6)." in said
    assert "openai/a under v1, dev pairs of bakers v1." in said
    # Two levels off stands before one level off; the four holdout pairs are not there.
    assert page.dataframe[0].value.columns.tolist() == ["label", "judge", "member", "job"]
    assert rows(page) == [["0", "2", "Baker 0", "Welder 0"], ["2", "1", "Baker 0", "Baker 0"]]
    # Exact: 4 of 6. Bias: (-1 + 2) / 6.
    assert "0.67" in said
    assert "+0.17" in said
    assert 'title="label 2, judge 1: 33% of the row">1</td>' in said
    assert not page.warning


def test_a_row_opens_to_the_pair_with_notes_and_rationale(space: Workspace, draft: Draft) -> None:
    pairs = publish(space)
    judged(space, pairs)
    label(space, pairs[1], "bob", "no <skill> at all", skills=0)
    said = text_of(open_panel(draft, evidence=f"{pairs[1].id}:skills"))
    assert "anna" in said
    assert "bob: no &lt;skill&gt; at all" in said
    assert "Reason 1 &lt;b&gt;." in said
    assert "A skill counts when it was used at work." in said, "the cited rule, on hover"
    assert "sourdough by hand" in said


def test_a_holdout_pair_does_not_open_from_the_url(space: Workspace, draft: Draft) -> None:
    pairs = publish(space)
    judged(space, pairs)
    page = open_panel(draft, evidence=f"{pairs[7].id}:skills")
    assert "Reason 7" not in text_of(page)
    assert "evidence" not in page.query_params
    assert not page.warning


def test_a_reworded_and_a_new_clause_are_marked(space: Workspace, draft: Draft) -> None:
    judged(space, publish(space))
    body = set_clause(draft.body, "skills.1", "A skill counts when it was certified.")
    edited = space.store.save_draft(draft, add_clause(body, "skills", "A course counts half."), "anna")
    assert "skills.1 was changed since" in open_panel(edited).warning[0].value
    fresh = open_panel(edited, "skills", "skills.2")
    assert "skills.2 is not in v1" in fresh.warning[0].value
    assert "No disagreement about skills.2." in text_of(fresh)


def test_general_rules_speak_of_all_dimensions(space: Workspace, draft: Draft) -> None:
    judged(space, publish(space))
    page = open_panel(draft, "general", "general.1")
    said = text_of(page)
    assert "**general.1** is cited in **6** of 12 verdicts; 0 of them disagree with the label (0%)." in said
    assert "Across all dimensions 17% disagree (2 of 12)." in said
    assert "Skills" in said
    assert "Wishes" in said
    whole = open_panel(draft, "general", "")
    assert whole.dataframe[0].value["dimension"].tolist() == ["Skills", "Skills"]


def test_a_level_and_the_overall_rule(space: Workspace, draft: Draft) -> None:
    judged(space, publish(space))
    level = open_panel(draft, "skills", "level 2")
    # Labelled 2: pairs 0, 2, 4. Judged 2: pairs 1, 2, 4.
    assert "Labelled 2: **3** pairs. Judged 2: **3**. Both: **2**." in text_of(level)
    assert len(rows(level)) == 2
    overall = open_panel(draft, "overall", "")
    # Means of skills and wishes, cuts 0.5 and 1.5: pair 0 is (2 + 1)/2 = 1.5 -> 2 by label, (1 + 1)/2 = 1 -> 1 by the
    # judge; pair 1 is 0 by label, (2 + 0)/2 = 1 -> 1 by the judge.
    assert "Of the overall grades 33% disagree (2 of 6)." in text_of(overall)
    assert sorted(row[:2] for row in rows(overall)) == [["0", "1"], ["2", "1"]]


def test_an_overall_row_opens_to_what_follows_from_the_dimensions(space: Workspace, draft: Draft) -> None:
    pairs = publish(space)
    judged(space, pairs)
    said = text_of(open_panel(draft, "overall", "", evidence=f"{pairs[0].id}:overall"))
    assert said.count("by the overall rule") == 2


def test_the_newest_run_is_chosen_and_another_can_be(space: Workspace, draft: Draft) -> None:
    pairs = publish(space)
    older = judged(space, pairs, name="openai/a", day=1)
    judged(space, pairs, name="openai/silent", day=2, cites=False)
    page = open_panel(draft)
    assert "openai/silent under v1" in text_of(page)
    assert "This judge cites no rules" in page.info[0].value
    page.selectbox(key="evidence_run").set_value(older.id)
    page.run()
    assert not page.exception
    assert "**3** of 6 verdicts" in text_of(page)


def test_a_dimension_that_no_run_knows(space: Workspace, draft: Draft) -> None:
    judged(space, publish(space))
    data = draft.body.model_dump(mode="json", by_alias=True)
    data["dimensions"].append(data["dimensions"][1] | {"key": "hours", "title": "Hours"})
    wider = space.store.save_draft(draft, type(draft.body).model_validate(data), "anna")
    page = open_panel(wider, "hours", "")
    assert "has no dimension hours" in page.info[0].value
    assert not page.dataframe
