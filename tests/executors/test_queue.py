"""The queue of a machine: order, priority, slots that come free however a job ends, and what is told of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from executor_samples import held, let_go, until, works

from workbench.errors import BadInput, Unavailable
from workbench.executors import Places
from workbench.executors.local import LocalExecutor
from workbench.executors.waiting import Queue, Ticket, cpu_slots, environment_for, gpus, slots_of
from workbench.jobfolder import JobFolder
from workbench.run import Needs

CPU = Needs(slots="cpu")


class Line:
    """Jobs that are submitted to one executor and held until the test lets them go."""

    def __init__(self, path: Path) -> None:
        self.executor = LocalExecutor(Places(path / "queue"))
        self.path = path
        self.folders: dict[str, JobFolder] = {}
        self.handles: dict[str, str] = {}

    def add(self, name: str, needs: Needs = CPU, priority: int = 0) -> JobFolder:
        spec, folder = held(self.path / name, needs=needs, priority=priority)
        self.folders[name] = folder
        self.handles[name] = self.executor.submit(spec, folder.path)
        return folder

    def status(self, name: str) -> str:
        return self.executor.status(self.handles[name])

    def waiting(self) -> list[str]:
        return [ticket.job_id for ticket in self.executor.waiting()]

    def note(self, name: str) -> str:
        said = self.folders[name].progress()
        return said.note if said else ""

    def until_at_work(self, name: str) -> None:
        until(lambda: works(self.folders[name]))

    def end(self, name: str) -> None:
        let_go(self.folders[name])
        until(lambda: self.status(name) == "ended")


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    """One CPU slot; two GPUs that are only believed in."""
    monkeypatch.setenv("WORKBENCH_CPU_SLOTS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    made = Line(tmp_path)
    yield made
    for handle in made.handles.values():
        made.executor.stop(handle, kill=True)
    until(lambda: all(made.executor.status(handle) == "ended" for handle in made.handles.values()))


def test_with_one_slot_the_highest_priority_goes_first_and_then_the_longest_wait(line: Line) -> None:
    line.add("a")
    line.until_at_work("a")
    line.add("b")
    line.add("c")
    line.add("d", priority=5)
    until(lambda: line.note("c") == "waiting for a CPU slot, 2 ahead")
    until(lambda: line.note("d") == "waiting for a CPU slot, next in line")
    assert line.waiting() == ["d", "b", "c"]
    assert [line.status(name) for name in "abcd"] == ["running", "queued", "queued", "queued"]
    # It is told while it waits, and has an effect at once.
    assert line.executor.prioritise("c", 1)
    assert line.waiting() == ["d", "c", "b"]
    until(lambda: line.note("b") == "waiting for a CPU slot, 2 ahead")
    order = []
    for name in ("a", "d", "c"):
        line.end(name)
        until(lambda: any(line.status(n) == "running" and works(line.folders[n]) for n in "bcd"))
        order.append(next(n for n in "bcd" if line.status(n) == "running"))
    assert order == ["d", "c", "b"]
    assert not line.executor.prioritise("b", 9)  # it waits no more
    assert line.waiting() == []
    line.end("b")


def test_the_process_that_waited_is_the_worker_and_keeps_its_handle(line: Line) -> None:
    line.add("a")
    line.until_at_work("a")
    process = psutil.Process(int(line.handles["a"].split(":")[1]))
    assert process.cmdline() == [sys.executable, "-m", "workbench.worker", str(line.folders["a"].path)]
    assert line.status("a") == "running"


def test_a_killed_worker_frees_its_slot(line: Line) -> None:
    line.add("a")
    line.until_at_work("a")
    line.add("b")
    until(lambda: line.note("b") == "waiting for a CPU slot, next in line")
    os.kill(int(line.handles["a"].split(":")[1]), 9)
    line.until_at_work("b")


def test_a_job_that_is_killed_or_stopped_while_it_waits_leaves_the_line(line: Line) -> None:
    line.add("a")
    line.until_at_work("a")
    for name in "bcd":
        line.add(name)
    until(lambda: line.note("d") == "waiting for a CPU slot, 2 ahead")
    os.kill(int(line.handles["b"].split(":")[1]), 9)
    until(lambda: line.waiting() == ["c", "d"])
    line.folders["c"].ask_to_stop()  # it sees the file; no signal is needed
    until(lambda: line.status("c") == "ended")
    assert line.waiting() == ["d"]
    line.end("a")
    line.until_at_work("d")


def test_what_asks_for_no_slot_starts_beside_a_full_machine(line: Line) -> None:
    line.add("a")
    line.until_at_work("a")
    line.add("b", Needs())
    line.until_at_work("b")
    assert line.waiting() == []


def test_a_job_sees_the_gpus_of_its_slots_only(line: Line) -> None:
    line.add("a", Needs(slots="gpu", gpus=1))
    line.until_at_work("a")
    line.add("b", Needs(slots="gpu", gpus=2))
    until(lambda: line.note("b") == "waiting for 2 GPUs, next in line")
    line.add("c", Needs(slots="gpu", gpus=1))
    # One GPU is free, but c does not overtake b, which would else wait for ever.
    until(lambda: line.note("c") == "waiting for a GPU, 1 ahead")
    line.add("d")  # nor does a line for GPUs hold up those who want none
    line.until_at_work("d")
    assert visible(line, "a") == "4"
    assert visible(line, "d") == ""
    line.end("a")
    line.until_at_work("b")
    assert visible(line, "b") == "4,7"
    line.end("b")
    line.until_at_work("c")
    with pytest.raises(Unavailable, match="asks for 3 GPUs and this machine offers 2"):
        line.add("e", Needs(slots="gpu", gpus=3))


def visible(line: Line, name: str) -> str:
    return psutil.Process(int(line.handles[name].split(":")[1])).environ()["CUDA_VISIBLE_DEVICES"]


HOLDER = """
import os, sys, time
from pathlib import Path
from workbench.executors.waiting import Queue, Ticket
queue = Queue(Path(sys.argv[1]))
queue.hold(Ticket("job", "cpu", 1, 0, 1))
ahead, taken = queue.admit("job", ["cpu-0"])
for handle in taken.values():
    os.set_inheritable(handle, True)
worker = (
    "import os, subprocess, sys, time\\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'], close_fds=False)\\n"
    "fork = os.fork()\\n"
    "if fork: print(child.pid, fork, flush=True)\\n"
    "time.sleep(300)\\n"
)
os.execv(sys.executable, [sys.executable, "-c", worker])
"""


def test_a_slot_outlives_exec_and_not_its_holder_though_children_live(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    children = [psutil.Process(int(pid)) for pid in holder.stdout.readline().split()]
    try:
        assert len(children) == 2
        queue = Queue(tmp_path)
        ticket = queue.hold(Ticket("mine", "cpu", 1, 0, 2))
        assert queue.admit("mine", ["cpu-0"]) == (0, None)  # held by what the holder has become
        holder.kill()
        holder.wait()
        assert all(child.is_running() for child in children)
        ahead, taken = queue.admit("mine", ["cpu-0"])
        assert ahead == 0
        assert taken is not None
        for handle in (ticket, *taken.values()):
            os.close(handle)
    finally:
        holder.kill()
        for child in children:
            child.kill()
        holder.wait()
        holder.stdout.close()


def test_a_new_ticket_waits_for_its_process_and_is_swept_if_none_comes(tmp_path: Path) -> None:
    queue = Queue(tmp_path)
    first, second = Ticket("first", "cpu", 1, 0, 1), Ticket("second", "cpu", 1, 0, 2)
    queue.issue(first)
    handle = queue.hold(second)
    # Its process is not up yet, but it was submitted before.
    assert queue.admit("second", ["cpu-0"]) == (1, None)
    (new,) = (tmp_path / "tickets").glob("*.new")
    os.utime(new, (0, 0))  # and has not come for many years
    ahead, taken = queue.admit("second", ["cpu-0"])
    assert ahead == 0
    assert taken is not None
    # Where it comes after all, it takes its old place.
    late = queue.hold(first)
    assert queue.line() == []  # of this process's own tickets, another would say that they live
    assert queue.admit("first", ["cpu-0"]) == (None, None)
    for opened in (handle, late, *taken.values()):
        os.close(opened)


def test_a_ticket_is_its_name() -> None:
    for ticket in (Ticket("job-a_b.1", "gpu", 8, -3, 123), Ticket("j", "cpu", 1, 0, 1)):
        assert Ticket.parse(ticket.name) == ticket
    assert Ticket("j", "gpu", 2, 0, 5).name == "+0_5_gpu2_j"
    for name in ("", "notes", "+0_5_gpu2_", "+0_x_gpu2_j", "0_5_gpu2_j", "+0_5_tpu2_j"):
        assert Ticket.parse(name) is None


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("", []),
        ("0", ["0"]),
        ("2,0", ["2", "0"]),
        ("1, -1,3", ["1"]),
        ("-1", []),
        ("GPU-8f2a,1", ["GPU-8f2a", "1"]),
    ],
)
def test_gpus_are_those_that_cuda_would_see(given: str, seen: list[str]) -> None:
    assert gpus({"CUDA_VISIBLE_DEVICES": given}) == seen


def test_gpus_are_counted_with_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus({}) == []  # no such program
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'GPU 0: A (UUID: x)'\necho '  MIG 1g: y'\necho 'GPU 1: B (UUID: z)'\n"
    )
    program.chmod(0o755)
    assert gpus({}) == ["0", "1"]
    program.write_text("#!/bin/sh\nexit 9\n")
    assert gpus({}) == []


def test_slots_are_settings(tmp_path: Path) -> None:
    assert (cpu_slots({}), cpu_slots({"WORKBENCH_CPU_SLOTS": " 3 "})) == (1, 3)
    assert slots_of("cpu", 1, {"WORKBENCH_CPU_SLOTS": "2"}) == ["cpu-0", "cpu-1"]
    for wrong in ("0", "-1", "two", "1.5"):
        with pytest.raises(BadInput, match=f"WORKBENCH_CPU_SLOTS is '{wrong}'"):
            cpu_slots({"WORKBENCH_CPU_SLOTS": wrong})
    with pytest.raises(Unavailable, match=r"asks for 1 GPU and this machine offers 0\. .*0 GPUs: the CPU"):
        slots_of("gpu", 1, {"CUDA_VISIBLE_DEVICES": ""})
    ticket = Ticket("j", "gpu", 2, 0, 5)
    assert environment_for(ticket, ["gpu-2", "gpu-0"], {"A": "b"}) == {
        "A": "b",
        "CUDA_VISIBLE_DEVICES": "2,0",
    }


def test_what_waits_is_light() -> None:
    # A machine may have hundreds of them.
    script = "import sys, workbench.executors.waiting; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded & {"pydantic", "psutil", "numpy", "yaml"} == set()
