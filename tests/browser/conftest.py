"""A real Chromium, and the workbench as `make app` starts it, on a copy of the documents."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from walker import Walker

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
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


@dataclass(frozen=True)
class App:
    """A running workbench: its address, its folders and its log."""

    address: str
    root: Path
    home: Path
    log: Path


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
    """The workbench on a copy of the shipped documents, with its own database and jobs."""
    root = tmp_path_factory.mktemp("workbench")
    for name in ("policies", "golden_sets", "students", "teachers"):
        shutil.copytree(ROOT / name, root / name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = root / "app.log"
    environment = os.environ | {
        "WORKBENCH_ROOT": str(root),
        "WORKBENCH_HOME": str(root / "var"),
        "WORKBENCH_USER": "Ada",
    }
    environment.pop("WORKBENCH_DATABASE_URL", None)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", "from workbench.cli import main; main()", "app", "--port", str(port)],
            cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            _wait_for(f"http://127.0.0.1:{port}/_stcore/health", process, log)
            yield App(f"http://127.0.0.1:{port}", root, root / "var", log)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=20)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 400) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            pytest.fail(f"the app ended with {process.returncode}:\n{log.read_text()[-3000:]}")
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the app did not answer in {seconds:.0f} s:\n{log.read_text()[-3000:]}")
