"""A real Chromium, and the workbench as `make app` starts it, on a copy of the documents."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from running_app import App, running_app
from walker import Walker

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    """The browser; its absence skips, or fails where WORKBENCH_REQUIRE_BROWSER is set (as in CI).

    It ends with its module: while it runs, Playwright keeps an event loop in this thread, and nothing else may.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        missing = "no Chromium on this machine (Debian: apt-get install chromium)"
        pytest.fail(missing) if os.environ.get("WORKBENCH_REQUIRE_BROWSER") else pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def walker(chromium: Browser, app: App, tmp_path: Path) -> Iterator[Walker]:
    """A person before a new browser window."""
    pictures = Path(os.environ.get("WORKBENCH_SCREENSHOTS") or tmp_path)
    pictures.mkdir(parents=True, exist_ok=True)
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    yield Walker(page, app.address, pictures)
    page.close()


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """The workbench that the walks share."""
    with running_app(tmp_path_factory.mktemp("workbench")) as app:
        yield app
