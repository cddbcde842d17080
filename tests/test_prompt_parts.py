"""The parts are the prompt, to the character, and each text of a policy lies in the part that is called after it."""

from __future__ import annotations

import policy_samples
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.policy import Body
from workbench.prompt import system_prompt
from workbench.prompt_parts import PromptPart, prompt_parts
from workbench.token_count import count_tokens


def text_of(parts: tuple[PromptPart, ...], section: str, item: str) -> str:
    return "".join(part.text for part in parts if (part.section, part.item) == (section, item))


@pytest.mark.parametrize("policy", policy_samples.shipped(), ids=lambda policy: policy.label)
def test_the_parts_of_the_shipped_policies_are_their_prompt(policy: Body) -> None:
    parts = prompt_parts(policy)
    assert "".join(part.text for part in parts) == system_prompt(policy)
    assert all(part.text for part in parts)
    for section, clause in policy.clauses():
        assert text_of(parts, section, clause.id).startswith(f"- [{clause.id}] ")
    # Cut behind line breaks, the parts have together exactly the tokens of the whole.
    assert sum(count_tokens(part.text) for part in parts) == count_tokens(system_prompt(policy))


def test_the_parts_of_the_sample_in_their_order() -> None:
    places = [(part.section, part.item) for part in prompt_parts(policy_samples.body())]
    assert places == [
        ("document", "instructions"), ("document", "purpose"), ("document", "terms"), ("document", "pair"),
        ("general", ""), ("general", "general.1"),
        ("taste", ""), ("taste", "level 0"), ("taste", "level 1"), ("taste", "level 2"),
        ("taste", ""), ("taste", "taste.1"), ("taste", "taste.2"), ("taste", ""), ("taste", "taste.p1"),
        ("strength", ""), ("strength", "level 0"), ("strength", "level 1"),
        ("strength", ""), ("strength", "strength.1"), ("document", "answer"),
    ]  # fmt: skip


def test_each_part_holds_its_own_text_and_no_other() -> None:
    parts = prompt_parts(policy_samples.body())
    assert text_of(parts, "taste", "taste.1") == "- [taste.1] Smoke counts as a taste.\n"
    assert text_of(parts, "taste", "level 2") == "- 2 (Wanted): The guest asked for this taste.\n\n"
    assert text_of(parts, "taste", "taste.p1") == (
        "- [taste.p1] Grade 2: Smoke was asked for. (taste.1)\n"
        "  - guest.wishes: something smoky\n  - tea.title: Lapsang\n\n"
    )
    # What the template says around the items belongs to the dimension, also the level that is none.
    assert text_of(parts, "strength", "") == (
        "## Dimension strength: Strength\n\nIs it as strong as wished?\n\nLook only at: guest.mood, tea.notes.\n\n"
        'Levels:\n- "N/A": the dimension does not apply to the pair.\n\nRules:\n'
    )
    assert (
        text_of(parts, "document", "terms") == "## Terms\n\n- **green tea**: Tea that was not oxidised.\n\n"
    )
    assert text_of(parts, "document", "answer").startswith("## The pair is data\n")


def test_the_line_for_not_applicable_stays_with_its_dimension() -> None:
    data = policy_samples.plain()["dimensions"]
    first, second = data[1] | {"clauses": []}, data[0] | {"precedents": []}
    parts = prompt_parts(policy_samples.body(dimensions=[first, second]))
    assert '- "N/A"' in text_of(parts, "strength", "")
    assert '- "N/A"' not in text_of(parts, "taste", "")


def test_text_that_looks_like_the_template_stays_in_its_part() -> None:
    purpose = "First.\n\n## General rules\n\n- [general.1] No rule.\n\n## Dimension taste: no\n\n## The pair is data"
    parts = prompt_parts(policy_samples.body(purpose=purpose))
    assert purpose in text_of(parts, "document", "purpose")
    assert text_of(parts, "general", "general.1") == "- [general.1] Grade what the texts say.\n\n"


def test_a_policy_without_purpose_terms_rules_and_criteria() -> None:
    levels = [{"value": 0, "name": "No"}, {"value": 1, "name": "Yes"}]
    body = policy_samples.body(
        purpose="", terms=[], general=[], overall={"cut_points": [0.5]},
        dimensions=[{"key": "a", "title": "A", "question": "Is it?", "levels": levels}],
    )  # fmt: skip
    parts = prompt_parts(body)
    assert "".join(part.text for part in parts) == system_prompt(body)
    assert text_of(parts, "a", "level 1") == "- 1 (Yes)\n\n"
    assert not [part for part in parts if part.section == "general" or part.item == "terms"]


@given(body=policy_samples.bodies())
def test_the_parts_of_any_policy_are_its_prompt(body: Body) -> None:
    parts = prompt_parts(body)
    assert "".join(part.text for part in parts) == system_prompt(body)
    ids = [(section, clause.id) for section, clause in body.clauses()]
    assert [(p.section, p.item) for p in parts if (p.section, p.item) in ids] == ids


# What str.splitlines and the template's indentation take as the end of a line, what is not shown, and both marks.
odd = st.text("a \n\t\r\x0b\x0c\x1c\x1e\x85\u2028\x00\x7f\U000f0000\U000f0001", max_size=6)


@given(texts=st.lists(odd, min_size=5, max_size=5))
def test_no_character_of_a_text_moves_a_part(texts: list[str]) -> None:
    criteria, clause, because, _, meaning = (text.strip() for text in texts)
    dimension = policy_samples.plain()["dimensions"][0]
    dimension["levels"][0]["criteria"] = criteria
    dimension["clauses"][0]["text"] = clause or "x"
    precedent = {"because": because or "x", "pair": {"query": {"wishes": texts[3]}, "document": {}}}
    dimension["precedents"][0] |= precedent
    body = policy_samples.body(
        dimensions=[dimension, policy_samples.plain()["dimensions"][1]],
        terms=[{"term": "t", "meaning": meaning or "x"}],
    )
    parts = prompt_parts(body)
    assert "".join(part.text for part in parts) == system_prompt(body)
    assert text_of(parts, "taste", "taste.2") == "- [taste.2] A blend has the taste of its main leaf.\n\n"
