"""Jobs on a Ray cluster, through the REST API of Ray Jobs.

The API is plain HTTP, documented by Ray as OpenAPI, and so the app needs no ``ray`` beside it; only the cluster does.
Settings come from the environment:

========================  ================================================================================
``WORKBENCH_RAY_ADDRESS`` the cluster's dashboard (default: http://127.0.0.1:8265)
``WORKBENCH_RAY_PYTHON``  the Python on the cluster in which the workbench is installed (default: python)
``WORKBENCH_SHARED_URL``  where job folders are kept for the cluster (``s3://…``, ``gs://…``, any URL of
                          fsspec); unset: the folders are shared, and seen there under the same path
``RAY_AUTH_TOKEN``        the cluster's token, where it asks for one
========================  ================================================================================

Keys of providers are never sent: a job reads them from the environment of the cluster.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from workbench.errors import BadInput, Unavailable
from workbench.executors import Status
from workbench.executors.mirror import Mirror, send_inputs
from workbench.files import write_text
from workbench.run import JobSpec, Needs

TURN = "ray"
"""File in the job's folder with the id of the one submission that may work there; empty when none may."""

_TIMEOUT = httpx.Timeout(20.0, connect=3.0)
_STATUS: dict[str, Status] = {"PENDING": "queued", "RUNNING": "running"}
_PASSED_ON = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
# Ray's stop is SIGTERM and, after so long, SIGKILL. It is used for "at once": "at the next safe point" may take minutes,
# and is asked for by the file `stop` in the folder.
_KILL_AFTER_S = 1


class RayExecutor:
    """One Ray job a start. A handle is ``ray:SUBMISSION_ID:FOLDER``, the submission named after the job.

    Every method raises :class:`Unavailable` while the cluster does not answer: that says nothing of the job.
    """

    name = "ray"

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        """Read the settings; nothing is connected yet.

        Raises:
            BadInput: the address is no http(s) URL.
        """
        self.address = (environ.get("WORKBENCH_RAY_ADDRESS", "") or "http://127.0.0.1:8265").rstrip("/")
        self.python = environ.get("WORKBENCH_RAY_PYTHON", "") or "python"
        self.shared_url = environ.get("WORKBENCH_SHARED_URL", "").rstrip("/")
        if not self.address.startswith(("http://", "https://")):
            raise BadInput(
                f"WORKBENCH_RAY_ADDRESS is '{self.address}'.",
                "Give the address of the cluster's dashboard, such as http://head:8265.",
            )
        env = {name: environ[name] for name in _PASSED_ON if name in environ}
        self._env = env | {"PYTHONUNBUFFERED": "1", "RAY_JOB_STOP_WAIT_TIME_S": str(_KILL_AFTER_S)}
        token = environ.get("RAY_AUTH_TOKEN", "")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def submit(self, spec: JobSpec, folder: Path) -> str:
        """Hand the job to Ray, which starts it as soon as the cluster has what it needs.

        A job that waits or runs already (the answer to an earlier call was lost) is not started again.

        Raises:
            Unavailable: the cluster or the shared URL cannot be used.
        """
        submission = self._id_for_next_start(spec.id, folder)
        handle = f"{self.name}:{submission}:{folder}"
        if self._job(submission) is not None:
            return handle
        write_text(folder / TURN, submission)
        where = str(folder)
        if self.shared_url:
            send_inputs(self.shared_url, spec.payload, folder)
            mirror = self._mirror(folder)
            mirror.pull()
            mirror.push()
            where = mirror.url
        needs = _resources(spec.needs)
        described = ", ".join(f"{name.removeprefix('entrypoint_')} {n}" for name, n in needs.items())
        body = {
            "submission_id": submission,
            "entrypoint": self._entrypoint(where, submission),
            "runtime_env": {"env_vars": self._env},
            "metadata": {
                "title": spec.title,
                "author": spec.author,
                "folder": where,
                "needs": described or "nothing",
            },
            **needs,
        }
        try:
            self._ask("POST", "", body)
        except Unavailable:
            # The answer may have been lost, not the request.
            if self._job(submission) is None:
                raise
        return handle

    def status(self, handle: str) -> Status:
        """Return what Ray says of the job; of one that ended, what it left is then in the folder.

        Raises:
            Unavailable: the cluster does not answer; the job may well run on.
        """
        submission, folder = _parts(handle)
        if folder is None:
            return "ended"
        job = self._job(submission)
        status = _STATUS.get(job["status"], "ended") if job else "ended"
        if status == "queued" and _turn(folder) != submission:
            status = (
                "ended"  # Ray cannot take back a job that waits; this one will find that it may not start
            )
        if self.shared_url and status != "queued":
            mirror = self._mirror(folder)
            mirror.push_controls()
            mirror.pull(small_only=status == "running")
        return status

    def stop(self, handle: str, *, kill: bool = False) -> None:
        """Ask through the file ``stop`` in the folder; ``kill``, and a job that waits still, through Ray."""
        submission, folder = _parts(handle)
        job = self._job(submission) if folder else None
        if folder is None or job is None or job["status"] not in _STATUS:
            return
        with suppress(FileNotFoundError):
            (folder / "stop").touch()
            if job["status"] == "PENDING" and _turn(folder) == submission:
                write_text(folder / TURN, "")
            if self.shared_url:
                self._mirror(folder).push_controls()
        if kill or job["status"] == "PENDING":
            self._ask("POST", f"{quote(submission, safe='')}/stop")

    def logs(self, handle: str, lines: int = 200) -> str:
        """Return why Ray has the job wait, or how it ended badly; "" where there is nothing to say."""
        submission, folder = _parts(handle)
        if folder is None:
            return ""
        job = self._job(submission)
        if job is None:
            return f"The Ray cluster at {self.address} knows no job {submission}: it was started anew since."
        if job["status"] in ("SUCCEEDED", "RUNNING"):
            return ""
        said = str(job.get("message") or job["status"])
        if job["status"] == "PENDING":
            said = f"{said} It asks for {(job.get('metadata') or {}).get('needs', 'nothing')}."
        return "\n".join(said.splitlines()[-lines:])

    def command(self, folder: Path) -> list[str]:
        """Return what the cluster runs; with a shared URL, the wrapper that fetches the folder from it."""
        if self.shared_url:
            return [self.python, "-m", "workbench.executors.remote", self._mirror(folder).url]
        return [self.python, "-m", "workbench.worker", str(folder)]

    def _id_for_next_start(self, job_id: str, folder: Path) -> str:
        """Return the id of the submission that still has its turn, else the first that Ray does not know."""
        number = 1
        while True:
            submission = job_id if number == 1 else f"{job_id}-{number}"
            job = self._job(submission)
            if job is None or (job["status"] in _STATUS and _turn(folder) == submission):
                return submission
            number += 1

    def _entrypoint(self, where: str, submission: str) -> str:
        if self.shared_url:
            return "exec " + shlex.join(
                [self.python, "-m", "workbench.executors.remote", where, "--turn", submission]
            )
        folder, spec, turn = (shlex.quote(f"{where}{part}") for part in ("", "/spec.json", f"/{TURN}"))
        missing = shlex.quote(
            f"There is no {where} on this machine. Share the folder WORKBENCH_HOME with the cluster "
            "under the same path, or set WORKBENCH_SHARED_URL."
        )
        return "; ".join(
            [
                f"[ -e {spec} ] || {{ echo {missing} >&2; exit 3; }}",
                f'[ "$(cat {turn})" = {shlex.quote(submission)} ] || exit 0',
                # The shell becomes the worker, so that Ray's signals reach it and its exit status is the job's.
                f"exec {shlex.quote(self.python)} -m workbench.worker {folder} >> {folder}/log.txt 2>&1",
            ]
        )

    def _mirror(self, folder: Path) -> Mirror:
        return Mirror(folder, f"{self.shared_url}/{folder.name}")

    def _job(self, submission: str) -> dict[str, Any] | None:
        """Return Ray's record of a submission, None where it has none."""
        return self._ask("GET", quote(submission, safe=""))

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """Return the API's answer, None for 404."""
        where = f"The Ray cluster at {self.address}"
        try:
            answer = httpx.request(
                method, f"{self.address}/api/jobs/{path}", json=body, headers=self._headers, timeout=_TIMEOUT
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(
                f"{where} does not answer ({str(error) or type(error).__name__}).",
                "Start it (ray start --head), or correct WORKBENCH_RAY_ADDRESS. Jobs on it are not affected.",
            ) from error
        if answer.status_code in (401, 403):
            raise Unavailable(f"{where} asks for a token.", "Set RAY_AUTH_TOKEN to that of the cluster.")
        if answer.status_code == 404 and "does not exist" in answer.text:  # Ray's own 404, not a stranger's
            return None
        try:
            found = answer.raise_for_status().json()
            if not isinstance(found, dict) or (method == "GET" and not isinstance(found.get("status"), str)):
                raise ValueError("another answer than that of Ray's dashboard")
        except (httpx.HTTPStatusError, ValueError) as error:
            lines = answer.text.strip().strip(".").strip().splitlines()
            reason = lines[-1][:300] if lines and answer.is_error else str(error)[:300]
            raise Unavailable(
                f"{where} cannot do this (status {answer.status_code}: {reason}).",
                "Look at its dashboard, or correct WORKBENCH_RAY_ADDRESS.",
            ) from error
        return found


def _parts(handle: str) -> tuple[str, Path | None]:
    """Return submission id and folder of a handle; None for one that is not ours."""
    name, _, rest = handle.partition(":")
    submission, _, folder = rest.partition(":")
    return submission, Path(folder) if name == RayExecutor.name and submission and folder else None


def _turn(folder: Path) -> str:
    try:
        return (folder / TURN).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _resources(needs: Needs) -> dict[str, int]:
    """Return what Ray is to keep free for the job: a CPU for the worker, and its GPUs and memory."""
    found: dict[str, int] = {}
    if needs.slots != "none":
        found["entrypoint_num_cpus"] = 1
    if needs.slots == "gpu":
        found["entrypoint_num_gpus"] = max(needs.gpus, 1)
    if needs.memory_gb:
        found["entrypoint_memory"] = int(needs.memory_gb * 1e9)
    return found
