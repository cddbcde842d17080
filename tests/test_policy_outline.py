"""Outlines to bodies: what each heading is guessed to be, what is made of it, and that nothing is lost."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import outline_lines as read
from workbench.errors import BadInput
from workbench.outline import Block, Item, Outline, Paragraph, Section, Table, to_markdown
from workbench.outline_roles import ROLES, HeadingRole, RoleMapping, key_for, propose
from workbench.policy import Body, Layout, Level
from workbench.policy_assembly import DEFAULT_LEVELS, Built
from workbench.policy_outline import build
from workbench.word_files import read_markdown

LAYOUT = Layout.model_validate(
    {
        "query": {"name": "member", "fields": ["skills", "city"]},
        "document": {"name": "job", "fields": ["title", "place"]},
    }
)


def imported(text: str, chosen: dict[int, HeadingRole] | None = None) -> Built:
    outline = read_markdown(text, "policy.md")
    return build(outline, propose(outline, chosen), pair=LAYOUT)


def roles(text: str) -> list[tuple[str, str, str]]:
    mapping = propose(read_markdown(text, "policy.md"))
    return [(item.heading, item.role, item.dimension) for item in mapping.headings[1:]]


# Roles


def test_headings_are_known_by_words_content_and_place() -> None:
    text = """# Job policy
## 1. Introduction
### History
## 2 Glossary
## General rules
### On silence
## Dimensions
### Dimension 1: Skills & tools
#### Rating scale
#### Tricky cases
#### Examples
### Location
## Seniority
How senior is the job? Read it.
## Pay
| Score | Meaning |
|---|---|
| 0 | bad |
| 1 | good |
### Notes
## Wishes
### 0 – None
### Level 1 (Some)
## Overall grade
## Sources
Some text.
"""
    assert roles(text) == [
        ("Job policy", "title", ""),
        ("1. Introduction", "purpose", ""),
        ("History", "purpose", ""),
        ("2 Glossary", "terms", ""),
        ("General rules", "general", ""),
        ("On silence", "general", ""),
        ("Dimensions", "group", ""),
        ("Dimension 1: Skills & tools", "dimension", "skills_tools"),
        ("Rating scale", "levels", "skills_tools"),
        ("Tricky cases", "clauses", "skills_tools"),
        ("Examples", "precedents", "skills_tools"),
        ("Location", "dimension", "location"),
        ("Seniority", "dimension", "seniority"),
        ("Pay", "dimension", "pay"),
        ("Notes", "clauses", "pay"),
        ("Wishes", "dimension", "wishes"),
        ("0 – None", "level", "wishes"),
        ("Level 1 (Some)", "level", "wishes"),
        ("Overall grade", "overall", ""),
        ("Sources", "general", ""),
    ]


def test_a_persons_choice_moves_what_stands_under_the_heading() -> None:
    text = "# P\n\n## Commute\n\nText.\n\n### Rules\n\n- far\n"
    assert roles(text)[1:] == [("Commute", "general", ""), ("Rules", "general", "")]
    built = imported(text, {2: HeadingRole(heading="", role="dimension", dimension="commute")})
    assert [c.text for c in built.body.dimension("commute").clauses] == ["far"]


def test_keys_are_made_of_titles_and_differ() -> None:
    assert key_for("Work & travel (daily)") == "work_travel_daily"
    assert key_for("3 Größe") == "grosse"
    assert key_for("漢字") == "dimension"
    text = "# P\n## Dimensions\n### Skills\n### Skills\n### Overall!\n"
    assert [key for _, role, key in roles(text) if role == "dimension"] == ["skills", "skills_2", "overall_2"]


def test_a_mapping_of_another_document_or_without_its_dimension_is_refused() -> None:
    outline = read_markdown("# A\n\n## B\n", "a.md")
    with pytest.raises(BadInput, match="does not fit the headings of 'a'"):
        build(outline, propose(read_markdown("# A\n\n## C\n", "c.md")))
    for wrong in ("", "Skills", "overall", "a" * 61):
        with pytest.raises(BadInput):
            propose(outline, {2: HeadingRole(heading="B", role="dimension", dimension=wrong)})
    with pytest.raises(BadInput, match="belongs to 'skills'"):
        propose(outline, {2: HeadingRole(heading="B", role="clauses", dimension="skills")})


def test_every_role_is_told_in_words() -> None:
    assert set(ROLES) == set(HeadingRole.model_fields["role"].annotation.__args__)  # type: ignore[union-attr]


# Levels


@pytest.mark.parametrize(
    ("text", "value", "name", "criteria"),
    [
        ("0 - None: no skill", 0, "None", "no skill"),
        ("Level 3 (Most): nearly all", 3, "Most", "nearly all"),
        ("**4 – All** every one", 4, "All", "every one"),
        ("**Level 2: Half**: some of them", 2, "Half", "some of them"),
        ("**0** - None: no skill", 0, "None", "no skill"),
        ("1 = a little", 1, "a little", ""),
        ("Grade 2", 2, "Level 2", ""),
        ("5. Excellent", 5, "Excellent", ""),
        ("0: " + "long " * 20, 0, "Level 0", ("long " * 20).strip()),
    ],
)
def test_level_lines(text: str, value: int, name: str, criteria: str) -> None:
    assert read.level(text) == Level(value=value, name=name, criteria=criteria)


@pytest.mark.parametrize("text", ["None", "10 km is far", "2024 was good", "99 - too high", "3rd place", ""])
def test_no_level_lines(text: str) -> None:
    assert read.level(text) is None


def test_levels_from_a_table_lines_numbers_and_headings() -> None:
    built = imported("""# P
## Table
| Score | Name | Criteria | Hint |
|---|---|---|---|
| 2 | All | every | look twice |
| 1 | Some | a few | |
| 0 | None | no one | |
| N/A | | not asked | |
## Lines
How well?

0 - None: a
1 - Some: b
2 - All: c
## Numbers
How far?
### Levels
0. None: a
1. All: b
## Headings
### Level 0: None
Nothing at all.

- no point
### Level 1: All
Everything.
""")
    levels = {d.key: [(x.value, x.name, x.criteria) for x in d.levels] for d in built.body.dimensions}
    assert levels == {
        "table": [(0, "None", "no one"), (1, "Some", "a few"), (2, "All", "every\n\nHint: look twice")],
        "lines": [(0, "None", "a"), (1, "Some", "b"), (2, "All", "c")],
        "numbers": [(0, "None", "a"), (1, "All", "b")],
        "headings": [(0, "None", "Nothing at all.\n\n- no point"), (1, "All", "Everything.")],
    }
    assert [clause.text for clause in built.body.dimension("table").clauses] == ["N/A: not asked"]
    assert {"Score", "Name", "Criteria", "Hint"} <= set(built.structural)


def test_gaps_missing_scales_and_a_shared_scale() -> None:
    gap = imported("# P\n## A\nWhat? Yes.\n\n- 0 - No: x\n- 3 - Full: y\n").body.dimension("a")
    assert [(x.value, x.name, x.criteria) for x in gap.levels] == [
        (0, "No", "x"), (1, "Level 1", ""), (2, "Level 2", ""), (3, "Full", "y"),
    ]  # fmt: skip
    none = imported("# P\n## A\nWhat is it?\n")
    assert none.body.dimension("a").levels == DEFAULT_LEVELS
    assert "a has no levels in the document; it has the usual 0 to 4." in none.notes
    shared = imported(
        "# P\n## Grading scale\n- 0 - No: x\n- 1 - Yes: y\n## A\nWhat is it?\n## B\nWho is it?\n"
    )
    assert [[x.name for x in d.levels] for d in shared.body.dimensions] == [["No", "Yes"]] * 2
    assert shared.unplaced == ()


def test_a_shared_scale_that_nobody_uses_is_kept() -> None:
    built = imported("# P\n## Scale\n- 0 - No: x\n- 1 - Yes: y\n## A\nWhat?\n\n- 0 - Off: p\n- 1 - On: q\n")
    assert [clause.text for clause in built.body.general] == ["0 – No: x", "1 – Yes: y"]


# Dimensions, clauses, ids


def test_question_facts_and_rest_of_a_dimension() -> None:
    built = imported("""# P
## Skills
First a word. How many skills are there? Then more.

Weight: 2.5

Considers: member.skills, job.title

N/A: allowed

Weight: heavy

- a rule
""")
    skills = built.body.dimension("skills")
    assert skills.question == "How many skills are there?"
    assert (skills.weight, skills.considers, skills.allow_na) == (2.5, ("member.skills", "job.title"), True)
    assert [clause.text for clause in skills.clauses] == [
        "First a word. Then more.",
        "Weight: heavy",
        "a rule",
    ]


def test_considers_of_a_field_that_is_none_is_kept_as_a_clause() -> None:
    built = imported("# P\n## A\nWhat?\n\nConsiders: member.shoes\n")
    assert built.body.dimension("a").considers == ()
    assert [clause.text for clause in built.body.dimension("a").clauses] == ["Considers: member.shoes"]


def test_written_ids_are_kept_where_valid_and_unique() -> None:
    built = imported("""# P
## General rules
- general.7 kept
- without
- **fit.2** kept, since it is bold
- fig.3 shows that this is no id
## Skills
How many skills?
### Rules
- skills.3 kept
- skills.3 used twice
- 4.9 A number of the document
- a rule
- **skills.5**
### On titles
Text under a heading.
### skills.12 Inflated titles
One.

Two.
""")
    assert [(c.id, c.text) for c in built.body.general] == [
        ("general.7", "kept"),
        ("general.8", "without"),
        ("fit.2", "kept, since it is bold"),
        ("general.9", "fig.3 shows that this is no id"),
    ]
    # Written ids are taken first (3, 12); 4.9 gets 9; what has no number goes on after the highest, 12.
    assert [(c.id, c.text) for c in built.body.dimension("skills").clauses] == [
        ("skills.3", "kept"),
        ("skills.13", "used twice"),
        ("skills.9", "A number of the document"),
        ("skills.14", "a rule"),
        ("skills.15", "**skills.5**"),
        ("skills.16", "**On titles** Text under a heading."),
        ("skills.12", "Inflated titles\n\nOne.\n\nTwo."),
    ]
    assert [(r.written, r.id) for r in built.renumbered] == [("skills.3", "skills.13"), ("4.9", "skills.9")]


def test_a_retired_id_is_not_used_again() -> None:
    built = imported("# P\n## A\nWhat?\n### Rules\n- a.1 old\n- new\n## Retired ids\na.1, a.4\n")
    assert built.body.retired == ("a.1", "a.4")
    assert [c.id for c in built.body.dimension("a").clauses] == ["a.5", "a.6"]
    assert [(r.written, r.id) for r in built.renumbered] == [("a.1", "a.5")]


def test_examples_in_text_and_tables() -> None:
    built = imported("""# P
## A
What?
### Rules
- a.1 rule
### Examples
- a.p4 A nurse in Oslo: grade 3 because of the licence
- No number here
- A grade 9 example

| City | Title | Grade | Why | Seen |
|---|---|---|---|---|
| Oslo | Nurse | 2 | near | May |
| Rome | Cook | n/a | unknown | |
""")
    a = built.body.dimension("a")
    assert [(p.id, p.grade, p.because) for p in a.precedents] == [
        ("a.p4", 3, "A nurse in Oslo: grade 3 because of the licence"),
        ("a.p5", 2, "near\n\nSeen: May"),
        ("a.p6", None, "unknown"),
    ]
    assert a.precedents[1].pair.query == {"city": "Oslo"}
    assert a.precedents[1].pair.document == {"title": "Nurse"}
    assert a.allow_na
    assert [(c.id, c.text) for c in a.clauses] == [
        ("a.1", "rule"), ("a.2", "No number here"), ("a.3", "A grade 9 example"),
    ]  # fmt: skip


def test_overall_rule_is_read_or_kept_as_text() -> None:
    built = imported("""# P
## A
What?
## Overall rule
- Combine: minimum
- Cut points: 0.5, 1.5
- **gate.3** At most 1 when `a == 0`. Because.
- **gate.4** At most 9 when `a == 0`. Out of scale.
- **gate.5** At most 1 when `b == 0`. No such dimension.
- **gate.6** At most 1 when `import os`. No expression.
- Cut points: 3, 2
- Average it all.
""")
    overall = built.body.overall
    assert (overall.combine, overall.cut_points) == ("minimum", (0.5, 1.5))
    assert [(g.id, g.when, g.at_most, g.because) for g in overall.gates] == [
        ("gate.3", "a == 0", 1, "Because.")
    ]
    texts = " ".join(one.text for one in built.unplaced)
    for kept in (
        "Out of scale.",
        "No such dimension.",
        "No expression.",
        "Cut points: 3, 2",
        "Average it all.",
    ):
        assert kept in texts


def test_without_cut_points_the_steps_are_equal() -> None:
    # Levels 0 to 4: 4 * i / 5 for i = 1 to 4.
    assert imported("# P\n## A\nWhat?\n").body.overall.cut_points == (0.8, 1.6, 2.4, 3.2)


def test_terms_in_lines_and_tables_and_what_is_none() -> None:
    built = imported("""# P
## Terms
- **rung**: one of five steps
- silent – says nothing
- rung: said again
- a sentence without a mark

| Term | Meaning |
|---|---|
| core | the most |
""")
    assert [(t.term, t.meaning) for t in built.body.terms] == [
        ("rung", "one of five steps"), ("silent", "says nothing"), ("core", "the most"),
    ]  # fmt: skip
    assert [one.text for one in built.unplaced] == ["rung: said again", "a sentence without a mark"]


def test_a_document_of_plain_text_is_a_policy_too() -> None:
    built = build(*(lambda outline: (outline, propose(outline)))(read_markdown("Only text.", "my notes.md")))
    assert built.body.title == "my notes"
    assert built.body.purpose == "Only text."
    assert built.body.keys == ("fit",)
    assert len(built.notes) == 5  # layout, dimension, levels, question, cut points


def test_what_a_person_leaves_out_is_listed() -> None:
    built = imported("# P\n## A\nWhat?\n## Log\nOld news.\n", {3: HeadingRole(heading="", role="leave_out")})
    assert built.left_out == ("Log\n\nOld news.",)
    assert built.body.general == ()


# Nothing lost

_TEMPLATES = [
    "{}", "{}?", "{}. Is it {}? {}", "0 - {}: {}", "1 - {}: {}", "Level 2 ({}): {}", "skills.3 {}", "**a.1** {}",
    "3.2 {}", "{}: {}", "**{}**: {}", "Weight: {}", "Weight: 3", "Grade 2: {}", "Combine: {}", "Cut points: 1, {}",
    "**gate.1** At most 1 when `{}`. {}", "Key: {}", "Considers: member.{}", "{}\n\n- {}\n- {}", "1 {}\n2 {}",
    "**a.p1** Grade 1\n- member.skills: {}\n- Because: {}", "| {} |", "# {}", "", " ", "a.1, {}", "N/A: {}",
]  # fmt: skip
_HEADINGS = [
    "{}", "Purpose", "Terms", "The pair", "General rules", "Levels", "Rules", "Examples", "Overall", "Dimensions",
    "Dimension 2: {}", "Level 1 ({})", "2 - {}", "skills.4 {}", "Retired ids", "1.2 {}", "**{}**", "Example {}",
]  # fmt: skip


@st.composite
def outlines(draw: st.DrawFn) -> Outline:
    """Any headings in any order and depth, over texts that look like parts of a policy; each word once."""
    numbers = itertools.count(1)

    def filled(template: str) -> str:
        return re.sub(r"\{\}", lambda _: f"w{next(numbers)}", template)

    def text() -> str:
        return filled(draw(st.sampled_from(_TEMPLATES)))

    def block() -> Block:
        kind = draw(st.sampled_from("ppiiit"))
        if kind == "p":
            return Paragraph(text=text())
        if kind == "i":
            return Item(text=text(), number=draw(st.none() | st.integers(0, 5)))
        header = draw(
            st.lists(st.sampled_from(["Level", "Grade", "Term", "Why", "{}"]), min_size=1, max_size=4)
        )
        rows = draw(
            st.lists(st.lists(st.sampled_from(["{}", "0", "1", "2 – {}", "N/A", ""]), max_size=4), max_size=4)
        )
        cells = [[filled(cell) for cell in row] for row in (header, *rows)]
        return Table(rows=tuple(tuple(row) for row in cells if row))

    def section(level: int, title: str) -> Section:
        return Section(
            title=title, level=level, blocks=tuple(block() for _ in range(draw(st.integers(0, 4))))
        )

    sections = [section(0, draw(st.sampled_from(["", filled("{}")])))]
    for _ in range(draw(st.integers(0, 8))):
        sections.append(section(draw(st.integers(1, 4)), filled(draw(st.sampled_from(_HEADINGS)))))
    return Outline(name="doc", sections=tuple(sections))


def counted(value: Any) -> set[str]:
    return set(re.findall(r"w\d+", value if isinstance(value, str) else value.model_dump_json()))


def words_of(outline: Outline) -> set[str]:
    texts = [f"{section.title}\n{to_markdown(section.blocks)}" for section in outline.sections]
    return counted("\n".join(texts))


def check(outline: Outline, mapping: RoleMapping) -> None:
    built = build(outline, mapping, pair=LAYOUT)
    assert Body.model_validate(built.body.model_dump()) == built.body
    lost = words_of(outline) - counted(built.body)
    assert lost <= counted("\n".join((*built.structural, *built.left_out)))
    # Only headings, table headers and the key of a dimension may turn into structure; no other text may.
    blocks = [block for section in outline.sections for block in section.blocks]
    headings = " ".join(section.title for section in outline.sections)
    headers = " ".join(cell for block in blocks if isinstance(block, Table) for cell in block.rows[0])
    keys = " ".join(b.text for b in blocks if not isinstance(b, Table) and b.text.startswith("Key:"))
    assert lost - counted("\n".join(built.left_out)) <= counted(f"{headings} {headers} {keys}")
    general = {clause.id: clause.text for clause in built.body.general}
    assert all(general[one.id] == one.text for one in built.unplaced)


@settings(max_examples=250)
@given(outlines())
def test_nothing_is_lost_under_proposed_roles(outline: Outline) -> None:
    check(outline, propose(outline))


@settings(max_examples=250)
@given(outlines(), st.data())
def test_nothing_is_lost_under_any_roles(outline: Outline, data: st.DataObject) -> None:
    """A person may give any heading any role; the words stay."""
    chosen = {}
    for i in range(len(outline.sections)):
        role = data.draw(st.sampled_from([None, *sorted(ROLES)]))
        if role == "dimension":
            chosen[i] = HeadingRole(
                heading="", role=role, dimension=data.draw(st.sampled_from(["a", "skills"]))
            )
        elif role:
            chosen[i] = HeadingRole(heading="", role=role)
    check(outline, propose(outline, chosen))


# What a word processor does to our own marks


def test_an_id_and_a_bold_word_may_be_one_bold_stretch() -> None:
    assert read.written_id("**skills.2 Required** is what", ("skills",)) == (
        "skills.2",
        None,
        "**Required** is what",
    )
    assert read.written_id("**fig.2 Shows** much", ("skills",)) is None
    assert read.written_id("**skills.2 not closed", ("skills",)) is None


@pytest.mark.parametrize(
    ("text", "when", "because"),
    [
        ("**gate.1** At most 1 when `a == 0`. Far.", "a == 0", "Far."),
        ("**gate.1** At most 1 when a == 0. Far.", "a == 0", "Far."),
        ("**gate.1** At most 1 when min(a, b) <= 1.5. Far. Too far.", "min(a, b) <= 1.5", "Far. Too far."),
        (r"**gate.1** At most 1 when a \* b == 0.", "a * b == 0", ""),
        ("**gate.1** At most 1 when a == 0", "a == 0", ""),
    ],
)
def test_a_gate_may_lose_its_code_marks(text: str, when: str, because: str) -> None:
    assert read.gate(text) == ("gate.1", "at_most", 1, when, because)


def test_an_example_cites_only_ids_that_the_document_writes() -> None:
    built = imported("""# P
## A
How well?
### Rules
- one
- **a.7** two
### Examples
- **a.p1** Grade 1
  - Because: so
  - Cites: a.1, a.7
""")
    (example,) = built.body.dimension("a").precedents
    assert example.cites == ("a.7",), "a.1 was not written, so the document cannot mean the first rule"
    assert "The example a.p1 cites 'a.1', which no clause is called; that was left out." in built.notes
