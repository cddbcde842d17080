"""The workbench as `make app` starts it, on a copy of the shipped documents, with its own database and jobs."""

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
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from workbench.workspace import Settings, Workspace, open_workspace

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class App:
    """A running workbench: its address, its folders and its log."""

    address: str
    root: Path
    home: Path
    log: Path

    def workspace(self) -> Workspace:
        """Open what is behind it, as Ada."""
        where = {"WORKBENCH_ROOT": str(self.root), "WORKBENCH_HOME": str(self.home), "WORKBENCH_USER": "Ada"}
        return open_workspace(Settings.from_environment(where))


@contextmanager
def running_app(root: Path, *, samples: bool = True) -> Iterator[App]:
    """Run the workbench in an empty folder for as long as the ``with`` block lasts.

    Args:
        root: the folder.
        samples: whether it starts with the sample runs, of which each takes some ten seconds of a core.
    """
    for name in ("policies", "golden_sets", "students", "teachers", "pipelines"):
        shutil.copytree(ROOT / name, root / name)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = root / "app.log"
    environment = os.environ | {
        "WORKBENCH_ROOT": str(root),
        "WORKBENCH_HOME": str(root / "var"),
        "WORKBENCH_USER": "Ada",
        # Two threads that wait for each other on cores that others use take ten times as long as one.
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("WORKBENCH_DATABASE_URL", None)
    command = [sys.executable, "-c", "from workbench.cli import main; main()", "app", "--port", str(port)]
    command += [] if samples else ["--no-samples"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
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
