"""What the tests of pages share: a tiny workspace of its own for each test, and a way to open one page of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from page_samples import PAIRS, POLICY, OpenPage
from streamlit.testing.v1 import AppTest

from workbench.documents import sync
from workbench.workspace import Workspace, open_workspace

ROOT = Path(__file__).parents[2]


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


@pytest.fixture
def golden(space: Workspace) -> Workspace:
    """The workspace with the golden set ``bakers``: PAIRS without labels; the first query is dev, the second holdout."""
    space.store.create_golden("bakers", "fit")
    splits = {pair.id: "dev" if pair.query["headline"] == "Baker one" else "holdout" for pair in PAIRS}
    space.store.add_pairs("bakers", PAIRS, splits)
    return space


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


@pytest.fixture
def open_in_app(space: Workspace) -> OpenPage:
    """Open a page by its name within the app, for pages with links to others."""

    def run(name: str, **parameters: str) -> AppTest:
        page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        page.run()
        page.switch_page(f"workbench/pages/{name}.py")
        page.query_params.update(parameters)
        page.run()
        assert not page.exception, page.exception
        return page

    return run
