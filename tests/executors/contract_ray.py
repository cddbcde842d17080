"""Ray's executor, for the contract tests: a head of one machine with two CPUs and no GPU.

Ray listens on every address of its host, so it is started only in a network namespace that has nothing but loopback;
``test_ray.py`` makes one and runs the tests in it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.executors import Executor
from workbench.executors.ray import RayExecutor

NAME = "ray"
ADDRESS = "http://127.0.0.1:8265"
ENVIRON = {"WORKBENCH_RAY_ADDRESS": ADDRESS, "WORKBENCH_RAY_PYTHON": sys.executable, "HF_HUB_OFFLINE": "1"}


def unavailable() -> str:
    """It is there only in the network that ``test_ray.py`` makes."""
    return "" if os.environ.get("WORKBENCH_TEST_EXECUTOR") == NAME else "test_ray.py runs these"


def start_head(files: str) -> None:
    """Start a head with its files in a folder, whose name has to be short for the sockets in it; it ends with the process namespace, or by :func:`stop_head`."""
    options = ["--node-ip-address", "127.0.0.1", "--port", "6390", "--num-cpus", "2", "--num-gpus", "0"]
    options += ["--dashboard-host", "127.0.0.1", "--dashboard-port", "8265", "--disable-usage-stats"]
    options += ["--include-dashboard", "true", "--object-store-memory", str(100 << 20)]
    _ray("start", "--head", *options, "--temp-dir", files)


def stop_head() -> None:
    """End the head and all of its processes."""
    _ray("stop", "--force")


@contextmanager
def opened(path: Path) -> Iterator[Executor]:
    """Return the executor of a head that is started for these tests."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as files:
        start_head(files)
        yield RayExecutor(ENVIRON)
        stop_head()


def source(path: Path) -> str:
    """Return what makes one for the same head."""
    return f"from workbench.executors.ray import RayExecutor\nexecutor = RayExecutor({ENVIRON!r})"


def _ray(*words: str) -> None:
    program = Path(sys.executable).parent / "ray"
    done = subprocess.run([str(program), *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
