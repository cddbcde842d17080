"""The prompt panel: the exact prompt, its size by part against the base, and what judges cost."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from job_samples import publish
from page_samples import text_of
from streamlit.testing.v1 import AppTest

from workbench import token_count
from workbench.policy_edit import set_clause
from workbench.prices import model_price
from workbench.prompt import pair_text, system_prompt
from workbench.run import JudgeIdentity, Run, RunTotals
from workbench.store import Draft
from workbench.token_count import count_tokens
from workbench.workspace import Workspace

OLD, NEW = (
    "A skill counts when it was used at work.",
    "A skill counts when it was used at work or in a course.",
)


def script() -> None:
    import streamlit as st

    from workbench import prompt_panel, widgets

    store = widgets.workspace().store
    draft = store.draft(st.query_params["draft"])
    base = store.policy(draft.name, draft.base_version)
    prompt_panel.draw(draft, base, st.query_params["section"], st.query_params["item"])


def open_panel(draft: Draft, section: str = "skills", item: str = "skills.1") -> AppTest:
    page = AppTest.from_function(script, default_timeout=60)
    page.query_params.update({"draft": draft.id, "section": section, "item": item})
    page.run()
    assert not page.exception, page.exception
    return page


@pytest.fixture
def draft(space: Workspace) -> Draft:
    """A draft of ``fit`` in which skills.1 says more."""
    base = space.store.policy("fit")
    started = space.store.start_draft("fit", base.body(), "anna", base_version=1)
    return space.store.save_draft(started, set_clause(base.body(), "skills.1", NEW), "anna")


def finished(space: Workspace, model: str, endpoint: str = "") -> None:
    """A finished run of a language model under v1 with 10 answers of 60 tokens."""
    at = datetime(2026, 4, 2, tzinfo=UTC)
    params = {"endpoint": endpoint} if endpoint else {}
    run = Run(
        id=f"run-{model}", judge=JudgeIdentity(kind="llm", name=model, params=params), policy="fit", policy_version=1,
        policy_hash="h", golden="bakers", golden_version=1, golden_hash="g", status="finished", created_at=at,
        finished_at=at, totals=RunTotals(pairs=10, calls=10, output_tokens=600),
    )  # fmt: skip
    space.store.save_run(run)


def codes(page: AppTest) -> list[str]:
    return [code.value for code in page.code]


def test_the_texts_shown_are_the_prompt_and_an_example(space: Workspace, draft: Draft) -> None:
    pairs = publish(space)
    shown = codes(open_panel(draft))
    prompt = system_prompt(draft.body)
    assert "\n".join(line for code in shown[:-1] for line in code.splitlines() if line) == "\n".join(
        line for line in prompt.splitlines() if line
    )
    dev = {pair_text(draft.body, pair) for pair in pairs[:6]}
    assert shown[-1] in dev
    # The clause that is edited stands by itself, in its place.
    assert f"- [skills.1] {NEW}" in shown


def test_the_size_is_counted_by_part_and_against_the_base(space: Workspace, draft: Draft) -> None:
    said = text_of(open_panel(draft))
    total, base = (
        count_tokens(system_prompt(draft.body)),
        count_tokens(system_prompt(space.store.policy("fit"))),
    )
    more = total - base
    assert more == count_tokens(f"- [skills.1] {NEW}\n\n") - count_tokens(f"- [skills.1] {OLD}\n\n") > 0
    assert f"<b>{total:,} tokens</b><span>+{more} tokens against the base</span>" in said
    assert "counted with cl100k_base; other tokenizers differ" in said
    clause = count_tokens(f"- [skills.1] {NEW}\n\n")
    assert f'<b>skills.1</b> {clause} tokens <span class="wb-muted">+{more} tokens against the base' in said
    # The section that is edited is lit, and only this one.
    assert said.count("<b>Skills</b>") == 1
    assert "<b>Wishes</b>" not in said


def test_another_part_is_as_in_the_base(space: Workspace, draft: Draft) -> None:
    said = text_of(open_panel(draft, "wishes", "level 1"))
    count = count_tokens('- 1 (Kept): All is kept.\n- "N/A"') - count_tokens('- "N/A"')
    assert f'<b>level 1</b> {count} tokens <span class="wb-muted">as in the base' in said
    assert "<b>Wishes</b>" in said


def test_the_overall_rule_is_not_in_the_prompt(space: Workspace, draft: Draft) -> None:
    assert "changing them costs nothing" in text_of(open_panel(draft, "overall", ""))


def test_judges_that_ran_here_are_priced_and_others_can_be_named(space: Workspace, draft: Draft) -> None:
    publish(space)
    finished(space, "openai/gpt-5-mini")
    finished(space, "house-model", "http://127.0.0.1:9/v1")
    page = open_panel(draft)
    said = text_of(page)
    assert "openai/gpt-5-mini" in said
    assert "answer 60 tokens, as in its run of 02 Apr 2026" in said
    # The prompt of this small policy is below the shortest prefix that is cached.
    assert "too short to be cached: 1,024 tokens are needed" in said
    assert "an own server has no list price" in said
    assert '<td class="num">unknown</td><td class="num">unknown</td><td class="num">unknown</td>' in said
    assert "anthropic/claude-haiku-4-5" not in said
    page.text_input(key="prompt_model").set_value(" anthropic/claude-haiku-4-5 ")
    page.run()
    assert not page.exception
    said = text_of(page)
    assert "anthropic/claude-haiku-4-5" in said
    assert "answer ~60 tokens" in said, "taken from another judge, and marked so"
    page.text_input(key="prompt_model").set_value("no/such-model <b>")
    page.run()
    said = text_of(page)
    assert "no/such-model &lt;b&gt;" in said
    assert "not in the price list" in said


def test_the_cost_is_that_of_the_counted_tokens(space: Workspace, draft: Draft) -> None:
    pairs = publish(space)[:6]
    finished(space, "openai/gpt-5-mini")
    listed = model_price("openai/gpt-5-mini")
    assert listed is not None
    mean = sum(count_tokens(pair_text(draft.body, pair)) for pair in pairs) / 6
    system = count_tokens(system_prompt(draft.body))
    cost = 1000 * ((system + mean) * listed.input + 60 * listed.output)
    assert f'<td class="num">${cost:,.4f}</td>' in text_of(open_panel(draft)), "below a dollar"


def test_without_runs_and_without_pairs_it_says_what_to_do(space: Workspace, draft: Draft) -> None:
    page = open_panel(draft)
    assert "No language model has graded pairs" in text_of(page)
    page.text_input(key="prompt_model").set_value("openai/gpt-5-mini")
    page.run()
    assert not page.exception
    assert "there is no dev pair to measure" in text_of(page)


def test_without_the_tokenizer_the_prompt_is_still_shown(
    space: Workspace, draft: Draft, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(token_count, "litellm_folder", lambda: tmp_path)
    token_count._loaded.cache_clear()
    token_count.count_tokens.cache_clear()
    page = open_panel(draft)
    assert "cl100k\\_base cannot be read" in page.warning[0].value
    assert f"- [skills.1] {NEW}" in codes(page)


def test_the_panels_load_nothing_heavy() -> None:
    code = (
        "import sys; import workbench.prompt_panel, workbench.evidence_panel;"
        "print([name for name in ('litellm', 'openai', 'tiktoken', 'torch', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
