"""Lint: each finding fires on a document made for it, and none on the shipped policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from policy_samples import bodies, plain, shipped
from policy_samples import body as sample

from workbench.golden import NOT_APPLICABLE, NOT_GRADED, Pair
from workbench.policy import Body, Example, Policy
from workbench.policy_lint import Finding, LintContext, PairTexts, lint

GATE = {"id": "gate.1", "when": "taste == 0", "at_most": 0}


def body(**changes: Any) -> Body:
    """The sample, so that lint has nothing to say: without its term, which it does not use, and with cut points at
    which strength counts. taste has weight 3, strength 1: where taste is 1, strength takes 3/4 to 4/4, over 0.9."""
    return sample(**({"terms": [], "overall": {"cut_points": [0.9, 1.5], "gates": [GATE]}} | changes))


def found(some: Body, context: LintContext | None = None) -> list[tuple[str, str, str]]:
    return [(f.severity, f.place, f.message) for f in lint(some, context)]


def dimensions(edit: Any, **changes: Any) -> Body:
    data = plain()["dimensions"]
    edit(data)
    return body(dimensions=data, **changes)


def gated(when: str, **bound: int) -> Body:
    gate = {"id": "gate.1", "when": when, **(bound or {"at_most": 1})}
    return body(overall={"cut_points": [0.9, 1.5], "gates": [gate]})


def general(*texts: str, **changes: Any) -> Body:
    """The sample with these general rules."""
    clauses = [{"id": f"general.{i}", "text": text} for i, text in enumerate(texts, 1)]
    return body(general=clauses, **changes)


def weighted(*weights: float, cut_points: Sequence[float] = (0.9, 1.5), **overall: Any) -> Body:
    """The sample with these weights and no gate."""
    return dimensions(
        lambda d: [one.update(weight=w) for one, w in zip(d, weights, strict=True)],
        overall={"cut_points": list(cut_points), **overall},
    )


def precedent(**changes: Any) -> Body:
    return dimensions(lambda d: d[0]["precedents"][0].update(changes))


def two_precedents(**second: Any) -> Body:
    """taste.p1 (grade 2) and a second one."""
    return dimensions(
        lambda d: d[0]["precedents"].append(d[0]["precedents"][0] | {"id": "taste.p2"} | second),
        retired=["taste.3"],
    )


@pytest.mark.parametrize("policy", shipped(), ids=lambda p: p.label)
def test_the_shipped_policies_are_clean(policy: Policy) -> None:
    assert found(policy) == []


def test_the_sample_is_clean() -> None:
    assert found(body()) == []


VAGUE = "which two readers will read differently."
CASES: list[tuple[Body, tuple[str, str, str], tuple[str, str]]] = [
    # Levels
    (
        dimensions(lambda d: d[0]["levels"][1].update(criteria="")),
        ("error", "taste level 1", "has no criteria, so nobody can tell when to give it."),
        ("taste", "level 1"),
    ),
    (
        dimensions(lambda d: d[0]["levels"][1].update(criteria="A Reasonable fit.")),
        ("warning", "taste level 1", f"says 'reasonable', {VAGUE}"),
        ("taste", "level 1"),
    ),
    (
        dimensions(lambda d: d[0]["levels"][1].update(criteria="A suitably, suitably decent fit.")),
        ("warning", "taste level 1", f"says 'suitably' and 'decent', {VAGUE}"),
        ("taste", "level 1"),
    ),
    (
        # Ten words, nine of them equal: 2 * 9 / 20 = 0.9, at the bound.
        dimensions(
            lambda d: (
                d[0]["levels"][1].update(criteria="a b c d e f g h i SMOKY."),
                d[0]["levels"][2].update(criteria="A b c d e f g h i grassy"),
            )
        ),
        ("warning", "taste levels 1 and 2", "have nearly the same wording; say what tells them apart."),
        ("taste", "level 2"),
    ),
    (
        dimensions(lambda d: d[0]["levels"][2].update(name="fits")),
        ("warning", "taste levels 1 and 2", "have one name, 'fits'."),
        ("taste", "level 2"),
    ),
    # Dimensions and clauses
    (
        dimensions(lambda d: d[1].update(clauses=[])),
        ("warning", "strength", "has levels, but no clause speaks of it; edge cases are open."),
        ("strength", ""),
    ),
    (
        dimensions(lambda d: d[1].update(considers=[])),
        ("warning", "strength", "does not say which fields it considers; judges see all."),
        ("strength", ""),
    ),
    (
        general("Words, dates, etc. count."),
        ("warning", "general.1", f"says 'etc.', {VAGUE}"),
        ("general", "general.1"),
    ),
    # Words
    (
        body(terms=[{"term": "white teas", "meaning": "Barely treated."}]),
        ("warning", "term white teas", "is defined and never used."),
        ("document", "term white teas"),
    ),
    (
        general("Ask for a **main leaf**.", "What the **Main leaf** is.", "A third **main leaf** here."),
        (
            "warning",
            "general.1",
            "uses 'main leaf' as a term, and so do general.2 and 1 more; it is not defined under Terms.",
        ),
        ("general", "general.1"),
    ),
    (
        general(
            "Look at the Main Leaf first.", "The colour of the Main Leaf.", "A leaf that is in the main pot."
        ),
        (
            "warning",
            "general.1",
            "uses 'Main Leaf' as a term, and so does general.2; it is not defined under Terms.",
        ),
        ("general", "general.1"),
    ),
    (
        general("Teas of the TGFOP grade.", "No TGFOPs in bags."),
        ("warning", "general.1", "uses the acronym TGFOP, and so does general.2; it is spelled out nowhere."),
        ("general", "general.1"),
    ),
    (
        general("See taste.9."),
        ("warning", "general.1", "speaks of taste.9, which does not exist."),
        ("general", "general.1"),
    ),
    (
        dimensions(lambda d: d[0]["levels"][1].update(criteria="As taste.3 has it.")),
        ("warning", "taste level 1", "speaks of taste.3, which was retired."),
        ("taste", "level 1"),
    ),
    (
        general("As aroma.2 had it.", retired=["taste.3", "aroma.2"]),  # of a dimension that is no more
        ("warning", "general.1", "speaks of aroma.2, which was retired."),
        ("general", "general.1"),
    ),
    (
        body(terms=[{"term": "cup", "meaning": "To drink from."}], purpose="What is said in hiccups."),
        ("warning", "term cup", "is defined and never used."),
        ("document", "term cup"),
    ),
    # Precedents
    (
        precedent(cites=[]),
        ("warning", "taste.p1", "cites no clause, so it cannot be checked."),
        ("taste", "taste.p1"),
    ),
    (
        precedent(because="Smoke was asked for. Grade 1, by the table."),
        ("warning", "taste.p1", "is graded 2, and its reason speaks of grade 1."),
        ("taste", "taste.p1"),
    ),
    (
        precedent(because='Smoke is there, so the level is "Clash".'),
        ("warning", "taste.p1", "is graded 2, and its reason speaks of grade 0."),
        ("taste", "taste.p1"),
    ),
    (
        precedent(because="Smoke was asked for, so it is a 1."),
        ("warning", "taste.p1", "is graded 2, and its reason speaks of grade 1."),
        ("taste", "taste.p1"),
    ),
    (
        two_precedents(
            grade=1,
            pair={"query": {"wishes": "Something  smoky", "mood": " "}, "document": {"title": "LAPSANG"}},
        ),
        ("error", "taste.p2", "grades the pair of taste.p1 1, and there it is graded 2."),
        ("taste", "taste.p2"),
    ),
    # Weights
    (
        weighted(0, 0),
        ("error", "overall", "all weights are 0, so no pair has an overall grade."),
        ("overall", ""),
    ),
    (
        weighted(3, 0),
        ("warning", "strength", "has weight 0 and does not move the overall grade."),
        ("strength", ""),
    ),
    (
        # taste gives 0, 10 or 20 of 11, strength adds 0 or 1: none of the three steps that strength takes
        # (0-0.09, 0.91-1, 1.82-1.91) goes across 0.9 or 1.5.
        weighted(10, 1),
        ("warning", "strength", "has so little weight (1 of 11) that it never decides the overall grade."),
        ("strength", ""),
    ),
    # Cut points
    (
        body(overall={"cut_points": [0.9, 2.5]}),
        # taste at 2 with weight 3, strength N/A: a mean of 2 is the highest there is.
        ("error", "cut point 2.5", "lies above the highest score, 2, so no score reaches level 2."),
        ("overall", ""),
    ),
    (
        body(overall={"cut_points": [0, 0.9]}),
        ("warning", "cut point 0", "lies at or below the lowest score, 0, so every pair reaches level 1."),
        ("overall", ""),
    ),
    (
        # A minimum of whole grades is 0, 1 or 2.
        body(overall={"combine": "minimum", "cut_points": [0.2, 0.8]}),
        ("warning", "cut point 0.2", "and 0.8 have no score between them, so level 1 is never given."),
        ("overall", ""),
    ),
    # Gates
    (gated("taste > 2"), ("warning", "gate.1", "'taste > 2' can never be true."), ("overall", "gate.1")),
    (
        gated("na(taste)"),  # taste allows no N/A
        ("warning", "gate.1", "'na(taste)' can never be true."),
        ("overall", "gate.1"),
    ),
    (
        gated("taste >= 0"),
        ("warning", "gate.1", "'taste >= 0' is true of every pair."),
        ("overall", "gate.1"),
    ),
    (
        gated("taste == 0", at_most=2),
        ("warning", "gate.1", "bounds nothing: every overall grade is at most 2."),
        ("overall", "gate.1"),
    ),
    (
        gated("taste == 0", at_least=0),
        ("warning", "gate.1", "bounds nothing: every overall grade is at least 0."),
        ("overall", "gate.1"),
    ),
]


@pytest.mark.parametrize(
    ("some", "finding", "where"), CASES, ids=[finding[1] + finding[2][:30] for _, finding, _ in CASES]
)
def test_each_finding_fires_alone(some: Body, finding: tuple[str, str, str], where: tuple[str, str]) -> None:
    assert found(some) == [finding]
    assert [(f.section, f.item) for f in lint(some)] == [where]


QUIET: dict[str, Body] = {
    "no whole vague word": general("An unreasonable, insignificant, somewhatish text, etcetera."),
    "quoted from a pair": general('Skip "reasonable terms" and `etc.` where they stand.'),
    # Nine words, eight of them equal: 16 / 18 = 0.89, below the bound.
    "less than nine tenths of the words": dimensions(
        lambda d: (
            d[0]["levels"][1].update(criteria="a b c d e f g h smoky"),
            d[0]["levels"][2].update(criteria="a b c d e f g h grassy"),
        )
    ),
    "one wording, another figure": dimensions(
        lambda d: (
            d[0]["levels"][1].update(criteria="Up to 25 of the leaves are broken, whatever their colour is."),
            d[0]["levels"][2].update(criteria="Up to 50 of the leaves are broken, whatever their colour is."),
        )
    ),
    "a general rule speaks of it": dimensions(
        lambda d: d[1].update(clauses=[]), general=[{"id": "general.1", "text": "Strength is told by colour."}]
    ),
    "a term used in the plural": general(
        "White teas are pale.", terms=[{"term": "white tea", "meaning": "Barely treated."}]
    ),
    "a term of alternatives": general(
        "A pot is a vessel.", terms=[{"term": "cup or pot", "meaning": "What tea is drunk from."}]
    ),
    "a term used in another one's meaning": general(
        "A brew is short.",
        terms=[{"term": "brew", "meaning": "Leaf in water."}, {"term": "leaf", "meaning": "Of the plant."}],
    ),
    "a term that another language inflects": general(
        "Den Kannen fehlt Zeit.", terms=[{"term": "Kanne", "meaning": "Gefäß."}, {"term": "Zeit", "meaning": "t"}]
    ),
    "a term without spaces around it": general("请评估学位要求。", terms=[{"term": "学位", "meaning": "d"}]),
    "a phrase in bold that is defined": general(
        "Ask for the **main leaf**.", "No **main leaves**, one **main leaf**.",
        terms=[{"term": "main leaf", "meaning": "Most of it."}],
    ),
    "bold headings": general("**Main leaf.** It counts.", "**Main leaf** comes first.", "- **Main leaf**: so."),
    "bold emphasis": general("It does **not** count.", "Here it does **not**.", "Grade **N/A**, or **2**.", "Or **2**, **N/A**."),
    "a level's name": general("Then it **fits**.", "Else give **fits**."),
    "a phrase that one clause explains": general("The **main leaf** is most of it.", "See the main leaf."),
    "a name": general("Tea from New Assam is new.", "As in New Assam."),
    "an acronym with its words": general("The first grade (TGFOP) counts.", "TGFOP is rare."),
    "an acronym in one clause": general("Both TGFOP and TGFOP count."),
    "an acronym in examples": general("Grades (TGFOP, FTGFOP) count.", 'Skip "TGFOP" and (TGFOP).'),
    "an acronym of a term": general(
        "TGFOP counts.", "TGFOP is rare.", terms=[{"term": "TGFOP", "meaning": "A grade."}]
    ),
    "a word in capitals": general("It must NOT count.", "Do NOT grade what is not there."),
    "ids that are there": general("See taste.1, taste.p1 and gate.1.", "Not job.7, v1.2 or general.1."),
    "its own grade in the reason": precedent(because="Grade 2: level Wanted. Without smoke, grade 1."),
    "a grade that is denied": precedent(because="Do not give grade 1. Up to version 1 it was graded 0."),
    "a number that is no grade": precedent(because="Brewed at level 9 of the stove for 1 minute; 1 cup, grade 1.5."),
    "one pair, one grade": two_precedents(),
    "another pair": two_precedents(grade=1, pair={"query": {"wishes": "smoke"}, "document": {"title": "Lapsang"}}),
    "no pair": two_precedents(grade=1, pair={}),
    "a light weight that decides": weighted(10, 1, cut_points=(0.95, 1.5)),  # between 10/11 and 11/11
    "a light weight that decides where another is N/A": dimensions(
        # With taste N/A the score is that of strength: 0 or 1, across 0.5.
        lambda d: (d[0].update(allow_na=True, weight=10), d[1].update(weight=1)),
        overall={"cut_points": [0.5, 1.5]},
    ),
    "a gate speaks of what has no weight": dimensions(
        lambda d: d[1].update(weight=0),
        overall={"cut_points": [0.5, 1.5], "gates": [{"id": "gate.1", "when": "strength == 0", "at_most": 0}]},
    ),
    "weights of a minimum": weighted(0, 0, combine="minimum", cut_points=(1, 2)),
    "not true where strength is N/A": gated("strength >= 0"),
    "N/A of what allows it": gated("na(strength)"),
    "true of some": gated("taste == 2"),
    "a cut point at the highest score": body(overall={"cut_points": [0.9, 2]}),
    "a level that only a gate gives": body(
        overall={
            "combine": "minimum",
            "cut_points": [0.2, 0.8],
            "gates": [{"id": "gate.1", "when": "taste == 1", "at_most": 1}],
        }
    ),
}  # fmt: skip


@pytest.mark.parametrize("some", QUIET.values(), ids=QUIET)
def test_what_only_looks_like_it_does_not_fire(some: Body) -> None:
    assert found(some) == []


def test_errors_come_first() -> None:
    some = dimensions(
        lambda d: (d[0].update(clauses=[], precedents=[]), d[1]["levels"][1].update(criteria=""))
    )
    assert [severity for severity, _, _ in found(some)] == ["error", "warning"]


def many(keys: Sequence[str], **changes: Any) -> Body:
    """A policy of dimensions with four levels each."""
    data = [
        {
            "key": key, "title": key, "question": key, "considers": ["tea.notes"],
            "levels": [{"value": v, "name": str(v), "criteria": "abcd"[v]} for v in range(4)],
            "clauses": [{"id": f"{key}.1", "text": "Rule."}],
        }
        for key in keys
    ]  # fmt: skip
    return body(**({"dimensions": data, "retired": [], "overall": {"cut_points": [1]}} | changes))


def test_a_gate_over_very_many_combinations_is_not_called_impossible() -> None:
    # Nine dimensions of four levels: 4**9 = 262,144 combinations; only the last of them fulfils the gate.
    keys = [f"d{i}" for i in range(9)]
    gate = {"id": "gate.1", "when": f"min({', '.join(keys)}) == 3", "at_least": 1}
    assert found(many(keys, overall={"cut_points": [1, 2], "gates": [gate]})) == []


def test_scores_too_many_to_list_leave_no_gap() -> None:
    data = [one.model_dump(by_alias=True) for one in many([f"d{i}" for i in range(9)]).dimensions]
    for i, one in enumerate(data):
        one["weight"] = 1 + 0.1 * 2**0.5 * i  # no two sums of these are equal: 4**8 of the others
    some = body(dimensions=data, retired=[], overall={"cut_points": [1, 1.0001, 3.5]})
    assert found(some) == [
        ("error", "cut point 3.5", "lies above the highest score, 3, so no score reaches level 3.")
    ]


@given(some=bodies())
def test_lint_has_an_answer_to_every_body(some: Body) -> None:
    sections = {"document", "general", "overall", *some.keys}
    items = {clause.id for _, clause in some.clauses()} | {gate.id for gate in some.overall.gates}
    items |= {p.id for d in some.dimensions for p in d.precedents} | {f"term {t.term}" for t in some.terms}
    items |= {f"level {level.value}" for d in some.dimensions for level in d.levels} | {""}
    for finding in lint(some):
        assert finding.section in sections
        assert finding.item in items
        assert finding.message.endswith(".")


# What labels, pairs and judges add


def pair(wishes: str, title: str, **document: str) -> Pair:
    return Pair(query={"wishes": wishes, "mood": "calm"}, document={"title": title, **document})


def labels(**grades: Sequence[int]) -> Mapping[str, Any]:
    return {key: np.array(values) for key, values in grades.items()}


SMOKY = pair("Something smoky", "Lapsang")  # the pair of taste.p1, which says 2
OTHERS = [pair(f"wish {i}", f"tea {i}") for i in range(3)]


@pytest.mark.parametrize(
    ("grade", "said"),
    [
        (1, ["is graded 2, and the labels of this pair settled on 1."]),
        (NOT_APPLICABLE, ["is graded 2, and the labels of this pair settled on N/A."]),
        (2, []),
        (NOT_GRADED, []),
    ],
)
def test_a_precedent_against_the_labels(grade: int, said: list[str]) -> None:
    context = LintContext(grades=labels(taste=[0, grade]), dev=PairTexts([OTHERS[0], SMOKY]))
    assert found(body(), context) == [("warning", "taste.p1", message) for message in said]


def test_a_precedent_out_of_the_holdout_is_an_error_and_tells_no_label() -> None:
    context = LintContext(holdout=PairTexts([*OTHERS, SMOKY]))
    (finding,) = lint(body(), context)
    assert (finding.severity, finding.section, finding.item) == ("error", "taste", "taste.p1")
    assert finding.message.startswith("shows a pair of the holdout")
    assert lint(body(), LintContext(holdout=PairTexts(OTHERS))) == ()


def test_labels_of_a_dimension_that_is_new_are_not_asked_for() -> None:
    context = LintContext(grades=labels(strength=[1]), dev=PairTexts([SMOKY]))
    assert found(body(), context) == []


@pytest.mark.parametrize(
    ("levels", "similarity", "fires"),
    [
        (("Smoke was asked for.", "The guest wanted it smoky."), 0.85, True),
        (("Smoke was asked for.", "The guest wanted it smoky."), 0.84, False),
        (("Smoke was asked for.", "The guest did not want it smoky."), 0.99, False),  # a negation
        (("One leaf is smoked.", "Two leaves are smoked."), 0.99, False),  # a figure
    ],
)
def test_levels_that_say_the_same(levels: tuple[str, str], similarity: float, fires: bool) -> None:
    some = dimensions(
        lambda d: [
            level.update(criteria=text) for level, text in zip(d[0]["levels"][1:], levels, strict=True)
        ],
        terms=[],
    )
    message = f"say nearly the same (similarity {similarity:.2f}); say what tells them apart."
    expected = [("warning", "taste levels 1 and 2", message)] if fires else []
    assert found(some, LintContext(level_similarity={("taste", 1, 2): similarity})) == expected


def test_a_policy_longer_than_a_judge_reads() -> None:
    context = LintContext(prompt_tokens=8_193, windows={"small": 8_192, "large": 128_000, "exact": 8_193})
    assert lint(body(), context) == (
        Finding(
            severity="warning",
            place="the policy",
            message="is some 8,193 tokens long, and small reads 8,192 at most.",
            section="document",
        ),
    )


@pytest.mark.parametrize(
    ("taste", "said"),
    [
        ([1, 2] * 15, "fires on none of the 30 labelled pairs."),
        ([0] * 30, "fires on all of the 30 labelled pairs."),
        ([0] + [1] * 29, None),
        ([1] * 29, None),  # too few to say anything
        ([1] * 29 + [NOT_GRADED], None),
    ],
)
def test_a_gate_on_labelled_pairs(taste: list[int], said: str | None) -> None:
    # The weights and cut points of the sample: strength is not labelled, so weights are not tried.
    expected = [("warning", "gate.1", f"'taste == 0' {said}")] if said else []
    assert found(body(), LintContext(grades=labels(taste=taste))) == expected


def test_a_weight_that_decides_nothing_on_labelled_pairs() -> None:
    # 3 * taste + strength of 4: taste 2 gives 1.5 or 1.75 (level 2), taste 0 gives 0 or 0.25 (level 0): strength
    # decides nothing. taste itself takes every pair from level 0 to level 2.
    some = weighted(3, 1)
    decided = LintContext(grades=labels(taste=[0, 2] * 20, strength=[0, 0, 1, 1] * 10))
    message = "hardly counts: changing it from 0 to 1 changes the overall grade of none of 40 labelled pairs."
    assert found(some, decided) == [("warning", "strength", message)]
    # One pair with taste 1 gives 0.75 or 1, both level 1; with a cut point of 0.8 it decides.
    one = LintContext(grades=labels(taste=[1] + [2] * 39, strength=[0] * 40))
    assert found(weighted(3, 1, cut_points=(0.9, 1.5)), one) == []
    # Where strength is N/A it has no grade to change: 29 pairs are too few.
    few = LintContext(grades=labels(taste=[2] * 40, strength=[0] * 29 + [NOT_APPLICABLE] * 11))
    assert found(some, few) == []


def test_a_gate_is_how_a_dimension_may_decide() -> None:
    # strength moves no score across 0.5 or 1.5 where taste is 0 or 2, but the gate takes level 2 down where it is 0.
    gate = {"id": "gate.1", "when": "strength == 0", "at_most": 1}
    some = weighted(3, 1, gates=[gate])
    assert found(some, LintContext(grades=labels(taste=[0, 2] * 20, strength=[0, 0, 1, 1] * 10))) == []


def test_of_very_many_pairs_weights_are_tried_on_some() -> None:
    # 12,000 pairs: every third, 4,000. The second pair of every three would decide, and is not among them.
    grades = labels(taste=[2, 1, 2] * 4_000, strength=[0, 0, 1] * 4_000)
    some = weighted(3, 1, cut_points=(0.9, 1.5))
    message = (
        "hardly counts: changing it from 0 to 1 changes the overall grade of none of 4000 labelled pairs."
    )
    assert found(some, LintContext(grades=grades)) == [("warning", "strength", message)]


# Which pairs an example shows


LONG = pair(
    "Something smoky for the evening, please. No milk and no sugar in it.",
    "Lapsang",
    notes="Dried over a fire of pine. Picked by hand in the first week of spring. Keeps for years.",
)
TEXTS = PairTexts([pair("smoky", "Lapsang Extra"), LONG, pair("smoky", "Lapsang"), pair("smoky", "x")])


@pytest.mark.parametrize(
    ("query", "document", "share", "positions"),
    [
        ({"wishes": "Smoky"}, {"title": "lapsang "}, 1.0, (2,)),  # a short text is the whole field
        ({"wishes": "smoky", "mood": " "}, {"title": "Lapsang"}, 1.0, (2,)),
        ({"wishes": "smoky"}, {"title": "x"}, 1.0, (3,)),
        ({"wishes": "smok"}, {"title": "lapsang"}, 1.0, ()),
        ({"mood": "smoky"}, {"title": "lapsang"}, 1.0, ()),  # another field
        ({"taste": "smoky"}, {"title": "lapsang"}, 1.0, ()),  # no such field
        ({"wishes": "smoky"}, {}, 0.0, ()),  # one side alone shows no pair
        ({}, {"title": "lapsang"}, 0.0, ()),
        # A shortened text: sentences of 25 characters and more are looked for wherever they stand.
        (
            {"wishes": "something smoky for the   evening, please."},
            {"notes": "Picked by hand in the first week of spring."},
            1.0,
            (1,),
        ),
        # The first sentence, 26 characters, is there; the second, 32, is not: 26 / 58 = 0.448 of the document.
        (
            {"wishes": "No milk and no sugar in it."},
            {"notes": "Dried over a fire of pine. Sold in tins of a hundred grams."},
            0.6,
            (),
        ),
        (
            {"wishes": "No milk and no sugar in it."},
            {"notes": "Dried over a fire of pine. Sold in tins of a hundred grams."},
            0.44,
            (1,),
        ),
    ],
)
def test_pairs_are_found_by_their_passages(
    query: dict[str, str], document: dict[str, str], share: float, positions: tuple[int, ...]
) -> None:
    assert TEXTS.like(Example(query=query, document=document), share) == positions


def test_no_pairs_are_like_nothing() -> None:
    assert len(PairTexts([])) == 0
    assert PairTexts([]).like(Example(query={"wishes": "smoky"}, document={"title": "x"})) == ()
