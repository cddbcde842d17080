"""A small policy as plain data and as YAML text, and bodies generated at random."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from workbench.documents import read_policy
from workbench.policy import Body, Policy

POLICIES = Path(__file__).parents[1] / "policies"

TEXT = """\
policy: tea-match
version: 1
parent: null
title: Is this tea right for this guest?
purpose: Says how well a tea suits a guest.
terms:
  - {term: green tea, meaning: Tea that was not oxidised.}
pair:
  query: {name: guest, fields: [wishes, mood]}
  document: {name: tea, fields: [title, notes]}
general:
  - {id: general.1, text: Grade what the texts say.}
dimensions:
  - key: taste
    title: Taste
    question: Does the taste suit?
    weight: 3
    considers: [guest.wishes, tea.notes]
    levels:
      - {value: 0, name: Clash, criteria: The guest ruled this taste out.}
      - {value: 1, name: Fits, criteria: Nothing speaks against it.}
      - {value: 2, name: Wanted, criteria: The guest asked for this taste.}
    clauses:
      - {id: taste.1, text: Smoke counts as a taste.}
      - {id: taste.2, text: A blend has the taste of its main leaf.}
    precedents:
      - id: taste.p1
        pair: {query: {wishes: something smoky}, document: {title: Lapsang}}
        grade: 2
        because: Smoke was asked for.
        cites: [taste.1]
  - key: strength
    title: Strength
    question: Is it as strong as wished?
    weight: 1
    considers: [guest.mood, tea.notes]
    allow_na: true
    levels:
      - {value: 0, name: Wrong, criteria: Far weaker or stronger.}
      - {value: 1, name: Right, criteria: As strong as the guest said.}
    clauses:
      - {id: strength.1, text: No wish about strength is N/A.}
overall:
  combine: weighted_mean
  gates:
    - {id: gate.1, when: taste == 0, at_most: 0, because: A clash is a clash.}
  cut_points: [0.5, 1.5]
retired: [taste.3]
"""


def plain() -> dict[str, Any]:
    """A fresh copy of the document as plain data, to be spoilt by a test."""
    from workbench.documents import parse_policy

    return copy.deepcopy(parse_policy(TEXT, "tea.yaml").document())


def body(**changes: Any) -> Body:
    """The body of the sample with some top-level keys replaced."""
    data = plain()
    for key in ("policy", "version", "parent", "message", "author", "published_at"):
        del data[key]
    return Body.model_validate(data | changes)


def shipped() -> list[Policy]:
    """All policies of the repository."""
    return [read_policy(path) for path in sorted(POLICIES.glob("*/v*.yaml"))]


# Letters, an umlaut, YAML's special signs, a line break and separators that trip line-based formats.
words = st.text("abZ ä#:-'\"{}[]|>&*!%@`\\\n\t\u2028\x85漢🍵0.", min_size=1, max_size=12).filter(str.strip)
numbers = st.floats(0, 1000, allow_nan=False).map(abs)


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    """Valid bodies: one to three dimensions, with clauses, precedents, terms and gates."""
    keys = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True))
    dimensions = []
    for key in keys:
        top = draw(st.integers(1, 3))
        ids = draw(st.lists(st.integers(1, 9), max_size=4, unique=True))
        dimensions.append(
            {
                "key": key,
                "title": draw(words),
                "question": draw(words),
                "weight": draw(numbers),
                "considers": draw(st.lists(st.sampled_from(["q.x", "q.y", "d.x"]), unique=True)),
                "allow_na": draw(st.booleans()),
                "levels": [
                    {"value": v, "name": draw(words), "criteria": draw(words)} for v in range(top + 1)
                ],
                "clauses": [{"id": f"{key}.{i}", "text": draw(words)} for i in ids],
                "precedents": [
                    {
                        "id": f"{key}.p{i}",
                        "pair": {"query": {"x": draw(words)}},
                        "grade": draw(st.integers(0, top)),
                        "because": draw(words),
                        "cites": [f"{key}.{j}" for j in ids[:1]],
                    }
                    for i in draw(st.lists(st.integers(1, 5), max_size=2, unique=True))
                ],
            }
        )
    cuts = draw(st.lists(numbers, min_size=1, max_size=4, unique=True))
    return Body.model_validate(
        {
            "title": draw(words),
            "purpose": draw(words),
            "terms": [
                {"term": t, "meaning": draw(words)}
                for t in draw(st.lists(words.map(str.strip), max_size=2, unique=True))
            ],
            "pair": {
                "query": {"name": "q", "fields": ["x", "y"]},
                "document": {"name": "d", "fields": ["x"]},
            },
            "general": [
                {"id": f"general.{i}", "text": draw(words)}
                for i in draw(st.lists(st.integers(1, 9), max_size=3, unique=True))
            ],
            "dimensions": dimensions,
            "overall": {
                "combine": draw(st.sampled_from(["weighted_mean", "minimum"])),
                "cut_points": sorted(cuts),
                "gates": [
                    {"id": f"gate.{i}", "when": f"{keys[0]} == 0", "at_most": draw(st.integers(0, len(cuts)))}
                    for i in draw(st.lists(st.integers(1, 5), max_size=2, unique=True))
                ],
            },
            "retired": [f"a.{i}" for i in draw(st.lists(st.integers(10, 14), max_size=2, unique=True))],
        }
    )
