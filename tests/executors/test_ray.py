"""The Ray executor against a real head, in a network of its own; and what needs no cluster to be shown."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from contract_ray import NAME

from workbench.errors import BadInput, Unavailable
from workbench.executors.ray import RayExecutor

HERE = Path(__file__).parent


@pytest.mark.slow
def test_the_contract_and_the_cases_of_ray_against_a_real_head(tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs the ray extra")
    # A process namespace, too: whatever Ray leaves behind ends with it.
    network = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]
    try:
        subprocess.run([*network, "ip link set lo up"], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs the right to make a network namespace, and ip ({error})")
    bin_folder = Path(sys.executable).parent
    environ = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    environ |= {
        "WORKBENCH_TEST_EXECUTOR": NAME,
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
    }
    environ["WORKBENCH_SCRATCH"] = str(tmp_path)  # of the workers: the head passes its environment on
    files = [str(HERE / name) for name in ("test_contract.py", "ray_cases.py")]
    run = f"ip link set lo up && exec {sys.executable} -m pytest -x -p no:cacheprovider {' '.join(files)}"
    done = subprocess.run([*network, run], env=environ, capture_output=True, text=True, timeout=600)
    if done.returncode:
        pytest.fail(done.stdout[-6000:] + done.stderr[-2000:], pytrace=False)
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def answering(monkeypatch: pytest.MonkeyPatch, status: int, text: str) -> RayExecutor:
    """An executor whose cluster gives always the same answer."""
    answer = httpx.Response(status, text=text, request=httpx.Request("GET", "http://ray:1"))
    monkeypatch.setattr(httpx, "request", lambda *words, **more: answer)
    return RayExecutor({"WORKBENCH_RAY_ADDRESS": "http://ray:1/"})


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (401, "", r"The Ray cluster at http://ray:1 asks for a token\. Set RAY_AUTH_TOKEN"),
        (500, "Traceback\nNo available agent.", r"cannot do this \(status 500: No available agent\)"),
        (404, "<html>Not Found</html>", r"cannot do this \(status 404: <html>Not Found</html>\)"),
        (200, "<html>a proxy</html>", r"cannot do this \(status 200: Expecting value"),
        (200, "[]", "another answer than that of Ray's dashboard"),
        (200, '{"status": null}', "another answer than that of Ray's dashboard"),
    ],
)
def test_an_answer_that_is_none_is_not_the_end_of_a_job(
    monkeypatch: pytest.MonkeyPatch, status: int, text: str, said: str
) -> None:
    with pytest.raises(Unavailable, match=said):
        answering(monkeypatch, status, text).status("ray:job-1:/jobs/job-1")


def test_a_job_that_the_cluster_has_forgotten_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = answering(monkeypatch, 404, "Job job-1 does not exist")
    assert executor.status("ray:job-1:/jobs/job-1") == "ended"
    assert "knows no job job-1" in executor.logs("ray:job-1:/jobs/job-1")


def test_addresses_and_commands() -> None:
    with pytest.raises(BadInput, match="WORKBENCH_RAY_ADDRESS is 'ray://head:10001'"):
        RayExecutor({"WORKBENCH_RAY_ADDRESS": "ray://head:10001"})
    assert RayExecutor({}).address == "http://127.0.0.1:8265"
    assert RayExecutor({}).command(Path("/jobs/a")) == ["python", "-m", "workbench.worker", "/jobs/a"]
    apart = RayExecutor({"WORKBENCH_SHARED_URL": "file:///bucket/", "WORKBENCH_RAY_PYTHON": "/opt/py"})
    assert apart.command(Path("/jobs/a")) == [
        "/opt/py",
        "-m",
        "workbench.executors.remote",
        "file:///bucket/a",
    ]
