"""A training reported to MLflow and TensorBoard as well, where its recipe says so. Our own views need neither.

What is told elsewhere never holds a training up: rows for MLflow are sent by a thread, a batch every few seconds, and
wait where the server does not answer; what could not be sent by the end is counted in the log. What is missing on this
machine is said before the training, by :func:`check_tracking`.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from workbench.errors import BadInput, Refused, Unavailable, WorkbenchError
from workbench.files import read_text, write_text
from workbench.policy import Policy
from workbench.recipe import Tracking, TrainedRecipe, flat_fields
from workbench.run import Reporter
from workbench.training.record import Lineage, read_record

EVERY_S = 3.0
"""Seconds between two batches; after a failure twice as many, and twice again, up to :data:`_LONGEST_S`."""
_LONGEST_S = 60.0
_LAST_S = 30.0
"""How long the end of a training waits for the last batch."""
_ROWS = 200
_METRICS, _PARAMS, _VALUE = 1000, 100, 500
"""What MLflow takes: metrics and params a call, characters of a param or tag (older servers take no longer ones)."""
_KEPT = 50_000
"""Rows that wait for a server at most, some 100 MB; older ones are given up and counted as not sent."""
_STATE = "tracking.json"
_CLIENT = {
    "MLFLOW_ALLOW_FILE_STORE": "true",  # a recipe that says file: means it
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # by default its client tries for minutes, and so would the last batch
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}
"""Settings of MLflow's client, where the environment does not say otherwise."""


@dataclass(frozen=True)
class Row:
    """The numbers of one metric row, at their step."""

    step: int
    at_ms: int  # since 1970
    values: Mapping[str, float]


@dataclass(frozen=True)
class About:
    """What a training is, for those who see it elsewhere."""

    name: str
    experiment: str
    params: Mapping[str, str]
    tags: Mapping[str, str]


class Sink(Protocol):
    """A place that a training is reported to."""

    def add(self, row: Row) -> None:
        """Take a row, at once."""
        ...

    def close(self, status: str, tags: Mapping[str, str]) -> None:
        """Pass on what is left. ``status`` is FINISHED, KILLED (stopped, it can go on) or FAILED."""
        ...


class Tracked:
    """A :class:`workbench.run.Reporter` that passes everything on, and numbers to the sinks besides.

    A row without a step (of an evaluation) belongs to the last step before it.
    """

    def __init__(self, reporter: Reporter, sinks: tuple[Sink, ...]) -> None:
        self._reporter, self._sinks = reporter, sinks
        self._step = 0

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Pass it on."""
        self._reporter.progress(done, total, note)

    def metric(self, values: Mapping[str, float | int | str | None]) -> None:
        """Pass the row on; sinks get its numbers, without those that are None."""
        self._reporter.metric(values)
        step = values.get("step")
        if isinstance(step, int):
            self._step = step
        # The epoch stands at its steps already; told again at the last of them it would stand there twice.
        left_out = ("step",) if isinstance(step, int) else ("step", "epoch")
        numbers = {
            metric_name(key): float(value)
            for key, value in values.items()
            if key not in left_out and isinstance(value, int | float) and not isinstance(value, bool)
        }
        if numbers:
            row = Row(self._step, time.time_ns() // 1_000_000, numbers)
            for sink in self._sinks:
                sink.add(row)

    def log(self, line: str) -> None:
        """Pass it on."""
        self._reporter.log(line)

    def stopping(self) -> bool:
        """Ask on."""
        return self._reporter.stopping()

    def stopping_after_epoch(self) -> bool:
        """Ask on."""
        return self._reporter.stopping_after_epoch()


def metric_name(key: str) -> str:
    """Return a metric's name as MLflow takes it: ``@click.auc`` is ``_click.auc``, which no dimension can be called."""
    return re.sub(r"[^\w./: -]", "_", key, flags=re.ASCII)


def flat_params(recipe: TrainedRecipe) -> dict[str, str]:
    """Return dotted name -> value of every field of a recipe that is set, as text; lists as JSON, what is long cut."""
    return {
        name: _cut(value if isinstance(value, str) else json.dumps(value))
        for name, value in flat_fields(recipe).items()
        if value is not None
    }


def _cut(text: str) -> str:
    return text if len(text) <= _VALUE else text[: _VALUE - 1] + "…"


def check_tracking(tracking: Tracking | None) -> None:
    """Check that this machine can report where a recipe wants it, before anything is loaded; None wants nothing.

    Raises:
        Unavailable: a package is not installed.
        BadInput: the tracking URI is of a kind that is not written to.
        Refused: it holds a password, which every checkpoint would keep.
    """
    if tracking is None:
        return
    wanted = [name for name in ("mlflow", "tensorboard") if getattr(tracking, name)]
    missing = [name for name in wanted if find_spec(name) is None]
    if missing:
        raise Unavailable(
            f"The recipe's tracking needs {' and '.join(missing)}, not installed where it is trained.",
            "Install it with: pip install 'policy-workbench[tracking]', or set tracking to null in the recipe.",
        )
    if tracking.mlflow is None:
        return
    address = urlsplit(tracking.mlflow)
    if address.password is not None:
        raise Refused(
            "The recipe's tracking.mlflow holds a password, which every checkpoint would keep.",
            "Take it out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD where it is trained.",
        )
    if address.scheme not in ("http", "https", "file"):
        raise BadInput(
            f"tracking.mlflow is '{tracking.mlflow}'.",
            "Give the address of a tracking server, as http://host:5000, or a folder, as file:/shared/mlruns.",
        )


@contextmanager
def tracked(
    reporter: Reporter,
    recipe: TrainedRecipe,
    policy: Policy,
    lineage: Lineage,
    artifacts: Path,
    *,
    job: str,
    first: bool = True,
) -> Iterator[Reporter]:
    """Report a training where its recipe says, for the time of the block.

    A training that is resumed goes on in the same MLflow run, which ``artifacts`` keeps the id of.

    Args:
        reporter: hears everything, also what goes wrong here.
        recipe: what is trained; its fields are the params.
        policy: under which.
        lineage: what it is made from: tags.
        artifacts: the training's folder; event files go to ``tensorboard`` in it.
        job: id of the job, for its tag and the run's name.
        first: whether this process is the one that reports, of those that train together.

    Yields:
        The reporter to train with: the same one where there is nothing to track.

    Raises:
        WorkbenchError: as :func:`check_tracking`.
    """
    tracking = recipe.tracking
    if tracking is None or not first:
        yield reporter
        return
    check_tracking(tracking)
    about = _about(recipe, policy, lineage, artifacts, job)
    sinks: list[Sink] = []
    if tracking.tensorboard:
        sinks.append(_TensorBoard(artifacts / "tensorboard", about, reporter.log))
    if tracking.mlflow is not None:
        sinks.append(_Mlflow(tracking.mlflow, artifacts / _STATE, about, reporter.log))
    status, tags = "FAILED", dict[str, str]()
    try:
        yield Tracked(reporter, tuple(sinks))
        status, tags = _ended(artifacts)
    finally:
        for sink in sinks:
            sink.close(status, tags)


def _about(recipe: TrainedRecipe, policy: Policy, lineage: Lineage, artifacts: Path, job: str) -> About:
    assert recipe.tracking is not None  # or nobody asks
    tags = {
        "job": job,
        "policy": policy.label,
        "policy_hash": policy.content_hash,
        "artifacts": str(artifacts),
    }
    tags |= {"recipe": recipe.recipe, "recipe_hash": recipe.content_hash}
    for name, value in lineage.model_dump(mode="json").items():
        tags[name] = ", ".join(value) if isinstance(value, list) else value
    tags = {f"workbench.{name}": _cut(value) for name, value in tags.items() if value}
    if lineage.code_revision:
        tags["mlflow.source.git.commit"] = lineage.code_revision
    experiment = recipe.tracking.experiment or policy.name
    return About(f"{recipe.recipe} {job}", experiment, flat_params(recipe), tags)


def _ended(artifacts: Path) -> tuple[str, dict[str, str]]:
    """Return how a training ended that did not fail, and its checkpoint's name as a tag."""
    try:
        record = read_record(artifacts / "checkpoint")
    except WorkbenchError:  # it kept none, and whoever reads checkpoints says so
        return "FINISHED", {}
    return ("KILLED" if record.stopped else "FINISHED"), {"workbench.checkpoint": record.name}


class _TensorBoard:
    """Event files. What a killed run wrote after the state that it goes on from is marked as taken back."""

    def __init__(self, folder: Path, about: About, log: Callable[[str], None]) -> None:
        self._folder, self._about, self._log = folder, about, log
        self._writer: Any = None
        self._lost = 0

    def add(self, row: Row) -> None:
        try:
            if self._writer is None:  # the first row tells where an earlier run is gone on from
                self._open(row.step)
            for key, value in row.values.items():
                self._writer.add_scalar(key, value, row.step, walltime=row.at_ms / 1000)
        except Exception as error:  # whatever its writer's thread met: the training is worth more
            if not self._lost:
                self._log(
                    f"TensorBoard's event files in {self._folder} cannot be written ({error}); training goes on."
                )
            self._lost += 1

    def _open(self, step: int) -> None:
        before = self._folder.is_dir() and any(self._folder.iterdir())
        writer = import_module("torch.utils.tensorboard").SummaryWriter
        self._writer = writer(str(self._folder), purge_step=step if before else None)
        if not before:
            for name, texts in (("recipe", self._about.params), ("lineage", self._about.tags)):
                lines = "".join(f"    {key}: {text}\n" for key, text in texts.items())
                self._writer.add_text(name, lines, step)

    def close(self, status: str, tags: Mapping[str, str]) -> None:
        try:
            if self._writer is not None:
                self._writer.close()
        except Exception as error:
            self._log(f"TensorBoard's last rows could not be written ({error}).")
        if self._lost:
            self._log(f"{self._lost} rows were not written for TensorBoard.")


@dataclass
class _Waiting:
    """Rows that are still to be sent, and how many were given up."""

    rows: list[Row] = field(default_factory=list)
    lost: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, row: Row) -> None:
        with self.lock:
            self.rows.append(row)
            if len(self.rows) > _KEPT:
                del self.rows[0]
                self.lost += 1

    def first(self) -> list[Row]:
        with self.lock:
            return self.rows[:_ROWS]

    def sent(self, rows: list[Row]) -> None:
        """Forget rows, by identity: meanwhile the oldest may have been given up."""
        done = {id(row) for row in rows}
        with self.lock:
            kept = [row for row in self.rows if id(row) not in done]
            self.lost -= len(rows) - (
                len(self.rows) - len(kept)
            )  # given up while on the way, and sent after all
            self.rows = kept


class _Mlflow:
    """A run of MLflow, fed by a thread."""

    def __init__(self, uri: str, state: Path, about: About, log: Callable[[str], None]) -> None:
        for name, value in _CLIENT.items():
            os.environ.setdefault(name, value)
        self._mlflow = import_module(
            "mlflow"
        )  # here, not in the thread: torch is being loaded beside it then
        self._uri, self._state, self._about, self._log = uri, state, about, log
        self._waiting = _Waiting()
        self._client: Any = None
        self._run_id = ""
        self._open = False
        self._there: dict[str, int] = {}
        self._failed = False
        self._status, self._tags = "", dict[str, str]()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def add(self, row: Row) -> None:
        self._waiting.add(row)

    def close(self, status: str, tags: Mapping[str, str]) -> None:
        self._status, self._tags = status, dict(tags)
        self._over.set()
        self._thread.join(_LAST_S)
        unsent = len(self._waiting.rows) + self._waiting.lost
        if unsent:
            self._log(f"{unsent} rows were not sent to MLflow at {self._uri}.")

    def _work(self) -> None:
        pause = EVERY_S
        while True:
            over = self._over.wait(pause)
            pause = EVERY_S if self._send(last=over) else min(2 * pause, _LONGEST_S)
            if over:
                return

    def _send(self, *, last: bool) -> bool:
        """Send what waits; False where that failed, which is said once."""
        try:
            if not self._open:
                self._begin()
            while rows := self._waiting.first():
                self._send_rows(rows)
                self._waiting.sent(rows)
            if last:
                for key, value in self._tags.items():
                    self._client.set_tag(self._run_id, key, value)
                self._client.set_terminated(self._run_id, self._status)
        except Exception as error:  # its client raises its own, those of requests, and OSError
            if not self._failed:
                self._failed = True
                reason = str(error).partition("\n")[0][:300] or type(error).__name__
                self._log(
                    f"MLflow at {self._uri} takes no rows ({reason}); training goes on, and they are sent when it does."
                )
            return False
        return True

    def _begin(self) -> None:
        """Make the run, or find the one that an earlier start of this training made."""
        self._client = self._client or self._mlflow.MlflowClient(self._uri)
        self._run_id = self._run_id or self._noted()
        if self._run_id:
            run = self._client.get_run(self._run_id)
            # Of each metric the newest value, which alone has its step: what stands there is not sent again.
            self._there = {metric.key: metric.step for metric in run.data.to_proto().metrics}
            self._client.update_run(self._run_id, status="RUNNING")
        else:
            found = self._client.get_experiment_by_name(self._about.experiment)
            experiment = (
                found.experiment_id if found else self._client.create_experiment(self._about.experiment)
            )
            run = self._client.create_run(experiment, tags=dict(self._about.tags), run_name=self._about.name)
            self._run_id = run.info.run_id
        write_text(self._state, json.dumps({"mlflow": self._uri, "run_id": self._run_id}))
        entities = self._mlflow.entities
        params = [entities.Param(key, value) for key, value in self._about.params.items()]
        for start in range(0, len(params), _PARAMS):  # those that stand there are no change
            self._client.log_batch(self._run_id, params=params[start : start + _PARAMS], synchronous=True)
        self._open = True

    def _noted(self) -> str:
        if not self._state.exists():
            return ""
        try:
            noted = json.loads(read_text(self._state))
            return str(noted["run_id"]) if noted["mlflow"] == self._uri else ""
        except (ValueError, KeyError, TypeError, WorkbenchError) as error:
            self._log(f"{self._state} is damaged ({error}); a new MLflow run is begun.")
            return ""

    def _send_rows(self, rows: list[Row]) -> None:
        # A batch that is sent again after a lost answer has the same times, by which MLflow knows it.
        metrics = [
            self._mlflow.entities.Metric(key, value, row.at_ms, row.step)
            for row in rows
            for key, value in row.values.items()
            if row.step > self._there.get(key, -1)
        ]
        for start in range(0, len(metrics), _METRICS):
            self._client.log_batch(self._run_id, metrics=metrics[start : start + _METRICS], synchronous=True)
