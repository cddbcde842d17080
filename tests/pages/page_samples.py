"""A small policy, pairs and helpers for the tests of pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from streamlit.testing.v1 import AppTest

from workbench.golden import Label, Pair
from workbench.workspace import Workspace

OpenPage = Callable[..., AppTest]

POLICY = """\
policy: fit
version: 1
title: Does the job fit?
purpose: A small policy for tests.
pair:
  query: {name: member, fields: [headline, skills]}
  document: {name: job, fields: [title, requirements]}
general:
  - {id: general.1, text: Grade what the texts say.}
dimensions:
  - key: skills
    title: Skills
    question: Does the member have what the job *requires*?
    levels:
      - {value: 0, name: None of them, criteria: No required skill is shown.}
      - {value: 1, name: Some, criteria: Some are shown.}
      - {value: 2, name: All, criteria: All are shown.}
    clauses:
      - {id: skills.1, text: A skill counts when it was used at work.}
  - key: wishes
    title: Wishes
    question: Does the job give what the member asks for?
    allow_na: true
    levels:
      - {value: 0, name: Broken, criteria: A must is broken.}
      - {value: 1, name: Kept, criteria: All is kept.}
overall: {combine: weighted_mean, cut_points: [0.5, 1.5]}
"""


PAIRS = [
    Pair(
        query={"headline": f"Baker {query}", "skills": "sourdough, Viennoiserie"},
        document={"title": f"{title} {query}", "requirements": "Sourdough by hand"},
        meta={"city": "Graz"},
    )
    for query in ("one", "two")
    for title in ("Baker", "Welder")
]
"""Two queries with two documents each."""


def label(space: Workspace, pair: Pair, labeler: str, note: str = "", **grades: int) -> None:
    """Add one labeler's grades of a pair to ``bakers``."""
    at = datetime(2026, 11, 1, tzinfo=UTC)
    given = [
        Label(pair_id=pair.id, dimension=key, grade=grade, labeler=labeler, at=at, note=note)
        for key, grade in grades.items()
    ]
    space.store.add_labels("bakers", given)


def text_of(page: AppTest) -> str:
    """Return all that a page says in HTML, Markdown and captions, as one text."""
    return "\n".join(
        str(element.value) for kind in ("html", "markdown", "caption") for element in page.get(kind)
    )
