"""The queue of this machine: jobs wait for a GPU or a CPU slot, each in a process of its own, without a daemon.

``python -m workbench.executors.waiting QUEUE TICKET JOB_DIR`` waits until it is the first in line and enough slots are
free, takes them, and becomes the worker: the same process, so the job's handle stays what it was.

QUEUE/tickets holds one empty file a waiting job, whose name says all (priority, time, slots, job); renaming it changes
its place. QUEUE/slots holds one file a slot. Who waits holds a lock on its ticket, who works holds one on its slots.
These are POSIX record locks: the kernel frees them when their process ends, however it ends; they pass through
``exec`` and not to children, so that what a killed worker leaves behind keeps no slot. They also end when their
process closes *any* file handle of the locked file: nobody opens its own ticket a second time.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from workbench.errors import BadInput, Unavailable, WorkbenchError
from workbench.executors import worker_command
from workbench.files import write_text

_NEW_S = 30.0
"""A ticket whose process has not come to hold it after so many seconds is dead; the process would write it again."""
_BEAT_S = 5.0
_NAME = re.compile(r"(?P<priority>[+-]\d+)_(?P<submitted>\d+)_(?P<slots>cpu|gpu)(?P<count>\d+)_(?P<job>.+)")


@dataclass(frozen=True)
class Ticket:
    """A place in the line."""

    job_id: str
    slots: str  # "cpu" or "gpu"
    count: int
    priority: int
    submitted: int  # nanoseconds since 1970

    @property
    def name(self) -> str:
        """The name of its file, without the suffix: ``new`` until its process holds it, ``held`` then."""
        return f"{self.priority:+d}_{self.submitted}_{self.slots}{self.count}_{self.job_id}"

    @property
    def order(self) -> tuple[int, int, str]:
        """What the line is sorted by: the highest priority first, then the longest wait."""
        return (-self.priority, self.submitted, self.job_id)

    @classmethod
    def parse(cls, name: str) -> Ticket | None:
        """Return the ticket of that name, None if it is none's."""
        if not (found := _NAME.fullmatch(name)):
            return None
        return cls(
            job_id=found["job"],
            slots=found["slots"],
            count=int(found["count"]),
            priority=int(found["priority"]),
            submitted=int(found["submitted"]),
        )


class Queue:
    """Tickets and slots in one folder, for any number of processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tickets = folder / "tickets"
        self._slots = folder / "slots"

    def issue(self, ticket: Ticket) -> None:
        """Put a ticket into the line in place of any that its job has."""
        with self._alone():
            for old in self._of(ticket.job_id):
                old.unlink(missing_ok=True)
            (self._tickets / f"{ticket.name}.new").touch()

    def line(self) -> list[Ticket]:
        """Return the living tickets in order, and sweep dead ones."""
        with self._alone():
            return self._line()

    def prioritise(self, job_id: str, priority: int) -> bool:
        """Change the priority of a job that waits; False if it does not wait (any more)."""
        with self._alone():
            for path in self._of(job_id):
                ticket = Ticket.parse(path.stem)
                assert ticket is not None  # or _of had not found it
                path.rename(path.with_name(replace(ticket, priority=priority).name + path.suffix))
                return True
        return False

    def hold(self, ticket: Ticket) -> int:
        """Come to hold a ticket, which is written anew if it was swept; return the handle that keeps its lock."""
        with self._alone():
            found = self._of(ticket.job_id)
            path = found[0] if found else self._tickets / f"{ticket.name}.new"
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.rename(path.with_suffix(".held"))
            return handle

    def admit(self, job_id: str, slots: Sequence[str]) -> tuple[int | None, dict[str, int] | None]:
        """Let a job in if it is the first that waits for its kind of slot, and enough are free.

        Nobody is overtaken: a job that needs many GPUs would never see them free at once.

        Args:
            job_id: of this process, which holds its ticket.
            slots: all that there are of the kind.

        Returns:
            How many are ahead, None if the ticket is gone; and, for a job that was let in, slot -> handle that keeps
            its lock.
        """
        with self._alone():
            line = self._line(own=job_id)
            ticket = next((ticket for ticket in line if ticket.job_id == job_id), None)
            if ticket is None:
                return None, None
            ahead = [other for other in line if other.slots == ticket.slots].index(ticket)
            taken = None if ahead else self._take(slots, ticket.count)
            if taken is not None:
                self._drop(job_id)
            return ahead, taken

    def drop(self, job_id: str) -> None:
        """Take a job out of the line."""
        with self._alone():
            self._drop(job_id)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Be the only one that looks or changes: who reads a folder may miss a file that is renamed meanwhile."""
        self._tickets.mkdir(parents=True, exist_ok=True)
        self._slots.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # flock: it also holds between the threads of the app
            yield

    def _line(self, own: str = "") -> list[Ticket]:
        living = []
        for path in self._files():
            ticket = Ticket.parse(path.stem)
            if ticket is None:
                continue
            if ticket.job_id == own or _lives(
                path
            ):  # its own must not be opened: closing would free the lock
                living.append(ticket)
            else:
                path.unlink(missing_ok=True)
        return sorted(living, key=lambda ticket: ticket.order)

    def _take(self, slots: Sequence[str], count: int) -> dict[str, int] | None:
        taken: dict[str, int] = {}
        for slot in slots:
            if len(taken) == count:
                break
            file = re.sub(r"[^\w.-]", "-", slot)
            handle = os.open(self._slots / f"{file}.lock", os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                taken[slot] = handle
            except (BlockingIOError, PermissionError):  # the two ways to say that another process holds it
                os.close(handle)
        if len(taken) == count:
            return taken
        for handle in taken.values():
            os.close(handle)
        return None

    def _drop(self, job_id: str) -> None:
        for path in self._of(job_id):
            path.unlink(missing_ok=True)

    def _of(self, job_id: str) -> list[Path]:
        found = ((path, Ticket.parse(path.stem)) for path in self._files())
        return [path for path, ticket in found if ticket is not None and ticket.job_id == job_id]

    def _files(self) -> list[Path]:
        return [path for path in self._tickets.iterdir() if path.suffix in (".new", ".held")]


def _lives(path: Path) -> bool:
    try:
        if path.suffix == ".new":
            return time.time() - path.stat().st_mtime < _NEW_S
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(handle)


def gpus(environ: Mapping[str, str]) -> list[str]:
    """Return the GPUs that jobs may use: those of CUDA_VISIBLE_DEVICES if it is set, else all of this machine."""
    if (given := environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = [name.strip() for name in given.split(",")]
        # CUDA does not see those behind one that is none.
        end = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
        return names[:end]
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(i) for i, _ in enumerate(re.findall(r"^GPU \d+:", done.stdout, re.MULTILINE))]


def cpu_slots(environ: Mapping[str, str]) -> int:
    """Return how many jobs may use the CPUs at once: WORKBENCH_CPU_SLOTS, by default 1.

    Raises:
        BadInput: if the setting is no whole number from 1.
    """
    given = environ.get("WORKBENCH_CPU_SLOTS", "").strip() or "1"
    if not given.isdecimal() or int(given) < 1:
        raise BadInput(f"WORKBENCH_CPU_SLOTS is '{given}'.", "Set it to a whole number from 1.")
    return int(given)


def slots_of(kind: str, count: int, environ: Mapping[str, str]) -> list[str]:
    """Return the names of this machine's slots of a kind.

    Raises:
        Unavailable: if there can never be ``count`` of them.
        BadInput: for a setting that cannot be one.
    """
    if kind == "cpu":
        slots = [f"cpu-{i}" for i in range(cpu_slots(environ))]
    else:
        slots = [f"gpu-{name}" for name in gpus(environ)]
    if len(slots) < count:
        raise Unavailable(
            f"The job asks for {count} {kind.upper()}{'s' if count > 1 else ''} and this machine offers {len(slots)}.",
            "Ask for fewer (0 GPUs: the CPU), or run it on another executor.",
        )
    return slots


def wait(queue: Queue, ticket: Ticket, folder: Path, slots: Sequence[str]) -> dict[str, int] | None:
    """Wait for a job's turn and take its slots, saying in its ``progress.json`` how many are ahead.

    Returns:
        Slot -> handle that keeps its lock; None when the job was asked to stop.
    """
    said, beaten = "", float("-inf")
    since = datetime.now(UTC).isoformat()
    handle = queue.hold(ticket)
    while not (folder / "stop").exists():
        ahead, taken = queue.admit(ticket.job_id, slots)
        if taken is not None:
            os.close(handle)
            _tell(folder, "starting", since)
            return taken
        if ahead is None:  # somebody emptied the folder
            os.close(handle)
            handle = queue.hold(ticket)
            continue
        note = f"waiting for {_words(ticket)}, {f'{ahead} ahead' if ahead else 'next in line'}"
        if note != said:
            said = note
            _tell(folder, note, since)
        if time.monotonic() - beaten > _BEAT_S:
            beaten = time.monotonic()
            (folder / "heartbeat").touch()
        time.sleep(min(0.2 + 0.1 * ahead, 3.0))  # those far back look seldom
    queue.drop(ticket.job_id)
    os.close(handle)
    return None


def _words(ticket: Ticket) -> str:
    if ticket.slots == "gpu":
        return "a GPU" if ticket.count == 1 else f"{ticket.count} GPUs"
    return "a CPU slot"


def _tell(folder: Path, note: str, since: str) -> None:
    """Write what :class:`workbench.jobfolder.Progress` reads; engines do not know storage."""
    now = datetime.now(UTC).isoformat()
    write_text(
        folder / "progress.json",
        json.dumps({"done": 0, "total": 0, "note": note, "started_at": since, "updated_at": now}),
    )


def environment_for(ticket: Ticket, taken: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the worker's environment: it sees the GPUs of its slots and no other; one on a CPU slot sees none."""
    visible = [slot.removeprefix("gpu-") for slot in taken] if ticket.slots == "gpu" else []
    return {**environ, "CUDA_VISIBLE_DEVICES": ",".join(visible)}


def main(arguments: Sequence[str]) -> int:
    """Wait in line, then become the worker; 0 when asked to stop before that, 1 when it cannot wait."""
    ticket = Ticket.parse(arguments[1]) if len(arguments) == 3 else None
    if ticket is None:
        print("usage: python -m workbench.executors.waiting QUEUE TICKET JOB_DIR", file=sys.stderr)
        return 2
    folder = Path(arguments[2])
    try:
        slots = slots_of(ticket.slots, ticket.count, os.environ)
        taken = wait(Queue(Path(arguments[0])), ticket, folder, slots)
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"The queue {arguments[0]} cannot be used ({error}). Set WORKBENCH_QUEUE to a folder of a local disk.",
            file=sys.stderr,
        )
        return 1
    if taken is not None:
        _become_worker(ticket, taken, folder)
    return 0


def _become_worker(ticket: Ticket, taken: Mapping[str, int], folder: Path) -> NoReturn:
    if ticket.slots == "cpu" and gpus(os.environ):
        print("This job asks for no GPU, so it sees none of this machine's.", flush=True)
    for handle in taken.values():
        os.set_inheritable(handle, True)  # closed by exec, it would free the slot
    command = worker_command(folder)
    os.execve(command[0], command, environment_for(ticket, list(taken), os.environ))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
