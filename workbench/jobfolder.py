"""A job's folder: the one channel between a job and the rest.

``spec.json`` and inputs go in; ``progress.json``, ``metrics.jsonl``, ``judgements.jsonl``, ``log.txt`` and
``artifacts/`` come out, and ``result.json`` is written last. Readers may look at any moment: files are either
replaced whole or appended by line, and a last line that is cut short is not there yet.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from workbench.errors import BadInput
from workbench.files import write_text
from workbench.identity import Value
from workbench.run import JobSpec, Verdict
from workbench.yamltext import validate

REMOVED = "removed.json"
"""What a clean-up leaves beside the spec and the result: when, by whom."""
_PROGRESS_EVERY_S = 0.4
_BEAT_EVERY_S = 5.0


class Progress(Value):
    """How far a job is; its heartbeat is ``updated_at``, or the touched file where that is newer."""

    done: int = 0
    total: int = 0
    note: str = ""
    started_at: datetime
    updated_at: datetime


class Result(Value):
    """How a job ended, and what it leaves besides its files."""

    status: Literal["finished", "failed", "cancelled", "capped"]
    error: str = ""
    hint: str = ""
    finished_at: datetime
    data: dict[str, Any] = {}


class JobFolder:
    """Reads and writes one job's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def artifacts(self) -> Path:
        """Where the job leaves its files."""
        return self.path / "artifacts"

    @property
    def removed(self) -> bool:
        """Whether a clean-up has taken its files and left a stub."""
        return (self.path / REMOVED).exists()

    def create(self, spec: JobSpec) -> None:
        """Make the folder with its spec; a folder that is there already keeps what it has."""
        self.artifacts.mkdir(parents=True, exist_ok=True)
        write_text(self.path / "spec.json", spec.model_dump_json(indent=1))

    def spec(self) -> JobSpec:
        """Return the job's spec.

        Raises:
            BadInput: if the folder holds none.
        """
        try:
            return JobSpec.model_validate_json((self.path / "spec.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadInput(f"{self.path} is not a job folder ({error}).", "It holds a spec.json.") from error

    def progress(self) -> Progress | None:
        """Return the newest progress, or None before the first."""
        with suppress(OSError, ValueError):
            return Progress.model_validate_json((self.path / "progress.json").read_text(encoding="utf-8"))
        return None

    def result(self) -> Result | None:
        """Return how the job ended, or None while it has not.

        Raises:
            BadInput: if ``result.json`` is not what a worker writes.
        """
        try:
            text = (self.path / "result.json").read_text(encoding="utf-8")
        except OSError:
            return None
        try:
            return Result.model_validate_json(text)
        except ValueError as error:
            raise BadInput(
                f"{self.path / 'result.json'} is not a job's result.", "Run the job again."
            ) from error

    def finish(self, result: Result) -> None:
        """Write ``result.json``; nothing is written to the folder after it."""
        write_text(self.path / "result.json", result.model_dump_json(indent=1))

    def metrics(self) -> list[dict[str, Any]]:
        """Return the rows of ``metrics.jsonl`` that are complete.

        Raises:
            BadInput: with the line, if one is not JSON.
        """
        path = self.path / "metrics.jsonl"
        return [_parsed(line, f"{path}, line {number}") for number, line in _complete_lines(path)]

    def verdicts(self) -> Iterator[Verdict]:
        """Yield the verdicts of ``judgements.jsonl`` that are complete.

        Raises:
            BadInput: with the line, if one is not a verdict.
        """
        path = self.path / "judgements.jsonl"
        for number, line in _complete_lines(path):
            try:
                yield Verdict.model_validate_json(line)
            except ValidationError:  # read again, slowly, for a sentence about what is wrong
                where = f"{path}, line {number}"
                yield validate(Verdict, _parsed(line, where), where)

    def log_tail(self, lines: int = 200) -> str:
        """Return the last lines of the log."""
        try:
            with (self.path / "log.txt").open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(file.tell() - 200 * lines, 0))
                return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
        except OSError:
            return ""

    def ask_to_stop(self) -> None:
        """Ask the job to end at its next safe point."""
        (self.path / "stop").touch()

    def ask_to_stop_after_epoch(self) -> None:
        """Ask a training to end with the epoch that it is in."""
        (self.path / "stop_after_epoch").touch()

    def fresh_start(self) -> None:
        """Forget how an earlier start ended, and what it was asked; its work is kept."""
        for name in ("result.json", "stop", "stop_after_epoch", "progress.json", "heartbeat"):
            (self.path / name).unlink(missing_ok=True)

    def beat(self) -> None:
        """Note that the job's process lives, however long its next word takes."""
        (self.path / "heartbeat").touch()

    def last_beat(self) -> datetime | None:
        """Return when the job's process last gave a sign of life, None if it never did."""
        return _modified(self.path / "heartbeat")

    def stop_asked(self) -> datetime | None:
        """Return when the job was last asked to end, None if it was not."""
        return _modified(self.path / "stop")

    def start_period(self) -> None:
        """Count what a judge spends from here on: caps hold for a period, at first the whole job."""
        lines = sum(1 for _ in _complete_lines(self.path / "judgements.jsonl"))
        write_text(self.path / "period", str(lines))

    def period_start(self) -> int:
        """Return the number of verdict lines that were there when the period began.

        Raises:
            BadInput: if the file is not what :meth:`start_period` writes.
        """
        path = self.path / "period"
        try:
            return int(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            raise BadInput(f"{path} is not a number of lines ({error}).", "Write 0 into it.") from error

    def add_seconds(self, seconds: float) -> None:
        """Add to the time that the job has worked, over all its starts.

        Raises:
            BadInput: if what is there is not what this method writes.
        """
        write_text(self.path / "seconds", repr(self.seconds() + seconds))

    def seconds(self) -> float:
        """Return how long the job has worked, in seconds; a start that was killed is not in it.

        Raises:
            BadInput: if the file is not what :meth:`add_seconds` writes.
        """
        path = self.path / "seconds"
        try:
            return float(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return 0.0
        except (OSError, ValueError) as error:
            raise BadInput(f"{path} is not a number of seconds ({error}).", "Write 0 into it.") from error

    def ready_to_append(self, name: str) -> None:
        """Cut off a last line that a killed worker left unfinished, so that appending is safe."""
        path = self.path / name
        if not path.exists():
            return
        with path.open("rb+") as file:
            end = file.seek(0, os.SEEK_END)
            position = end
            while position > 0:
                step = min(65536, position)
                file.seek(position - step)
                block = file.read(step)
                newline = block.rfind(b"\n")
                if newline >= 0:
                    file.truncate(position - step + newline + 1)
                    return
                position -= step
            file.truncate(0)


class FolderReporter:
    """The worker's :class:`workbench.run.Reporter`: writes progress and metrics into the job's folder.

    Attributes:
        known: what the job's result is to say however the job ends: at a cap or with a failure, too.
    """

    def __init__(self, folder: JobFolder) -> None:
        self.known: dict[str, Any] = {}
        self._folder = folder
        self._started = datetime.now(UTC)
        self._written = 0.0
        self._checked = 0.0
        self._stop = False
        folder.ready_to_append("metrics.jsonl")
        self._metrics = (folder.path / "metrics.jsonl").open("a", encoding="utf-8")

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Write progress at most a few times a second, and always when done."""
        if done < total and time.monotonic() - self._written < _PROGRESS_EVERY_S:
            return
        self._written = time.monotonic()
        state = Progress(
            done=done, total=total, note=note, started_at=self._started, updated_at=datetime.now(UTC)
        )
        write_text(self._folder.path / "progress.json", state.model_dump_json())

    def metric(self, values: Mapping[str, float | int | str | None]) -> None:
        """Append one row, at once on disk."""
        self._metrics.write(json.dumps(dict(values)) + "\n")
        self._metrics.flush()

    def log(self, line: str) -> None:
        """Print to the log with the time; the executor sends the worker's output to ``log.txt``."""
        print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)

    def stopping(self) -> bool:
        """Whether a stop was asked for; looks at the disk a few times a second only."""
        if not self._stop and time.monotonic() - self._checked > _PROGRESS_EVERY_S:
            self._checked = time.monotonic()
            self._stop = (self._folder.path / "stop").exists()
        return self._stop

    def stopping_after_epoch(self) -> bool:
        """Whether a stop at the end of the epoch was asked for; meant to be called once an epoch."""
        return self.stopping() or (self._folder.path / "stop_after_epoch").exists()

    def stop(self) -> None:
        """Note that a signal asked to stop."""
        self._stop = True

    def close(self) -> None:
        """Close the metrics file."""
        self._metrics.close()


class Heartbeat:
    """Touches a job's ``heartbeat`` from a thread of its own, for as long as the ``with`` block lasts."""

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with suppress(OSError):  # a full disk is told by who writes what counts
                self._folder.beat()
            if self._over.wait(_BEAT_EVERY_S):
                return


def _modified(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None


def _complete_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file with their numbers, from 1, but a last one that is cut short."""
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            yield number, line


def _parsed(line: bytes, where: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise BadInput(f"{where}: not JSON ({error}).", "Remove the line.") from error
