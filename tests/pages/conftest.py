"""What the tests of pages share: a tiny workspace of its own for each test, and a way to open one page of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from workbench.documents import sync
from workbench.golden import Label, Pair
from workbench.workspace import Workspace, open_workspace

ROOT = Path(__file__).parents[2]
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


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace with the policy ``fit`` v1 and nothing else; its user is ``anna``."""
    for name, value in {
        "WORKBENCH_ROOT": str(tmp_path / "root"),
        "WORKBENCH_HOME": str(tmp_path / "home"),
        "WORKBENCH_DATABASE_URL": "",
        "WORKBENCH_USER": "anna",
    }.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "root" / "policies" / "fit"
    folder.mkdir(parents=True)
    (folder / "v1.yaml").write_text(POLICY, encoding="utf-8")
    st.cache_resource.clear()
    st.cache_data.clear()
    workspace = open_workspace()
    report = sync(workspace.root, workspace.store)
    assert not report.problems
    yield workspace
    workspace.store.close()
    st.cache_resource.clear()
    st.cache_data.clear()


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


@pytest.fixture
def golden(space: Workspace) -> Workspace:
    """The workspace with the golden set ``bakers``: PAIRS without labels; the first query is dev, the second holdout."""
    space.store.create_golden("bakers", "fit")
    splits = {pair.id: "dev" if pair.query["headline"] == "Baker one" else "holdout" for pair in PAIRS}
    space.store.add_pairs("bakers", PAIRS, splits)
    return space


def label(space: Workspace, pair: Pair, labeler: str, note: str = "", **grades: int) -> None:
    """Add one labeler's grades of a pair to ``bakers``."""
    at = datetime(2026, 11, 1, tzinfo=UTC)
    given = [
        Label(pair_id=pair.id, dimension=key, grade=grade, labeler=labeler, at=at, note=note)
        for key, grade in grades.items()
    ]
    space.store.add_labels("bakers", given)


@pytest.fixture
def open_page(space: Workspace) -> OpenPage:
    """Open a page by its name, with query parameters."""

    def run(name: str, **parameters: str) -> AppTest:
        page = AppTest.from_file(str(ROOT / "workbench" / "pages" / f"{name}.py"), default_timeout=60)
        page.query_params.update(parameters)
        page.run()
        assert not page.exception, page.exception
        return page

    return run


def html_of(page: AppTest) -> str:
    """Return all that a page says in HTML, Markdown and captions, as one text."""
    parts = [element.value if hasattr(element, "value") else "" for element in page.markdown]
    parts += [element.value for element in page.caption]
    parts += [element.proto.body for element in page.get("html")]
    return "\n".join(str(part) for part in parts)
