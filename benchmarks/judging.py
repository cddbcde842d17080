"""Pairs a second of a judge run against a server that answers in 50 ms, beside other clients, and at 100,000 pairs.

All ask the same server, in a process of its own, about the same pairs with the same messages at 64 calls in flight,
and all keep what came: we run the worker on a job folder (validation, verdict lines, verdict cache); litellm's and
openai's clients parse the reply's JSON and append a line to a file; inspect-ai writes its log. aiohttp alone, which
checks and keeps nothing, shows what is left of the transport's own speed. The first column counts the grading, started
warm; the second the whole process, its start and imports included.

    python benchmarks/judging.py [--pairs 2000] [--only ours] [--inspect-python PATH]
    python benchmarks/judging.py --scale 100000 [--mode '{"reason": "after"}']

inspect-ai is no dependency of ours: PATH is a Python that has it (and openai), such as one of a virtual environment.
With ``--scale`` the worker alone grades so many pairs, and its peak memory is that of its process as the system saw it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

AT_ONCE = 64
DELAY_S = 0.05
DIMENSIONS = ("skills", "place", "level")


def policy_text() -> str:
    """Return a policy of three dimensions and some 2,000 tokens."""
    from workbench.yamltext import dump

    rule = (
        "A skill counts as evidenced when the field lists it by name or describes work in which it was used."
    )
    return dump(
        {
            "policy": "bench",
            "version": 1,
            "title": "Does the job fit the member?",
            "pair": {
                "query": {"name": "member", "fields": ["headline", "skills"]},
                "document": {"name": "job", "fields": ["title", "description"]},
            },
            "dimensions": [
                {
                    "key": key,
                    "title": key.title(),
                    "question": f"How well does the {key} fit?",
                    "levels": [
                        {"value": v, "name": f"L{v}", "criteria": f"Fit of {v}. {rule}"} for v in range(5)
                    ],
                    "clauses": [{"id": f"{key}.{i}", "text": f"Rule {i}. {rule}"} for i in range(1, 21)],
                }
                for key in DIMENSIONS
            ],
            "overall": {"combine": "weighted_mean", "cut_points": [0.8, 1.6, 2.4, 3.2]},
        }
    )


def make_folder(path: Path, count: int, url: str, mode: dict[str, Any]) -> None:
    """Write the job folder of a run of ``count`` pairs."""
    import pandas as pd

    from workbench.golden import LABEL_COLUMNS, Pair, typed_labels
    from workbench.jobfolder import JobFolder
    from workbench.prompt_mode import PromptMode
    from workbench.run import JobSpec, LlmSpec

    spec = LlmSpec(model="bench", base_url=url, concurrency=AT_ONCE, mode=PromptMode.model_validate(mode))
    payload = {"judge": spec.model_dump(mode="json"), "cache": str(path.parent / "cache")}
    job = JobSpec(id="bench", kind="judge_run", title="bench", created_at=datetime.now(UTC), payload=payload)
    JobFolder(path).create(job)
    (path / "policy.yaml").write_text(policy_text(), encoding="utf-8")
    typed_labels(pd.DataFrame(columns=LABEL_COLUMNS)).to_parquet(path / "labels.parquet")
    with (path / "pairs.jsonl").open("w", encoding="utf-8") as file:
        for i in range(count):
            pair = Pair(
                query={"headline": f"Engineer {i}", "skills": "Python, SQL, Kubernetes " * 5},
                document={
                    "title": f"Backend engineer {i}",
                    "description": "We build services in Python. " * 30,
                },
            )
            file.write(json.dumps(pair.model_dump(mode="json") | {"split": "dev"}) + "\n")


def make_calls(path: Path, url: str) -> None:
    """Write what the peers ask beside the job folder's files: the same messages, so that they need nothing of ours."""
    from workbench.grading import read_inputs
    from workbench.prompt import messages

    inputs = read_inputs(path)
    calls = [{"pair": pair.id, "messages": messages(inputs.policy, pair)} for pair in inputs.pairs]
    (path / "calls.json").write_text(json.dumps({"url": url, "calls": calls}), encoding="utf-8")


def read_calls(path: Path) -> tuple[str, list[dict[str, Any]]]:
    """Return the server's address and the calls that :func:`make_calls` wrote."""
    data = json.loads((path / "calls.json").read_text("utf-8"))
    return data["url"], data["calls"]


def serve(delay_s: float) -> None:
    """Answer every request after ``delay_s`` with the same valid reply; print the port."""
    from aiohttp import web

    grades = {
        key: {"reason": "It fits by its title.", "cites": [f"{key}.1"], "grade": 3} for key in DIMENSIONS
    }
    answer = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": json.dumps(grades)},
            }
        ],
        "usage": {"prompt_tokens": 2500, "completion_tokens": 80, "total_tokens": 2580},
    }
    body = json.dumps(answer).encode()

    async def reply(request: web.BaseRequest) -> web.Response:
        await request.read()
        await asyncio.sleep(delay_s)
        return web.Response(body=body, content_type="application/json")

    async def main() -> None:
        runner = web.ServerRunner(web.Server(reply))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())


def ours(path: Path) -> None:
    """The worker on a job folder, as ``python -m workbench.worker`` runs it."""
    from workbench.worker import main

    assert main([str(path)]) == 0
    lines = (path / "judgements.jsonl").read_text("utf-8").splitlines()
    count = sum(1 for line in (path / "pairs.jsonl").open("rb"))
    assert len(lines) == count
    assert all(judgement["grade"] == 3 for judgement in json.loads(lines[-1])["judgements"])


async def ask_all(path: Path, calls: list[dict[str, Any]], ask: Callable[[Any], Awaitable[Any]]) -> None:
    """Ask with a client whose answers are objects of openai's form; parse each reply and append a line for it."""
    free = asyncio.Semaphore(AT_ONCE)
    with (path / "peer.jsonl").open("w", encoding="utf-8") as file:

        async def one(call: dict[str, Any]) -> None:
            async with free:
                response = await ask(call["messages"])
            grades = json.loads(response.choices[0].message.content)
            file.write(json.dumps({"pair": call["pair"], "grades": grades}) + "\n")
            file.flush()

        await one(calls[0])  # what it loads at its first call is not what is measured
        started = time.perf_counter()
        await asyncio.gather(*map(one, calls[1:]))
        report(len(calls) - 1, time.perf_counter() - started)


def litellm_client(path: Path) -> None:
    """litellm.acompletion with the same messages, the reply parsed, a line for each."""
    import litellm

    url, calls = read_calls(path)
    litellm.suppress_debug_info = True

    def ask(messages: Any) -> Awaitable[Any]:
        return litellm.acompletion(model="openai/bench", base_url=url, api_key="none", messages=messages)

    asyncio.run(ask_all(path, calls, ask))


def openai_client(path: Path) -> None:
    """openai's client as it comes, on httpx."""
    _openai(path, {})


def openai_aiohttp(path: Path) -> None:
    """openai's client on its aiohttp transport."""
    from openai import DefaultAioHttpClient

    _openai(path, {"http_client": DefaultAioHttpClient})


def _openai(path: Path, options: dict[str, Any]) -> None:
    from openai import AsyncOpenAI

    url, calls = read_calls(path)

    async def run() -> None:
        made = {name: make() for name, make in options.items()}
        async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0, **made) as client:
            create = client.chat.completions.create
            await ask_all(path, calls, lambda messages: create(model="bench", messages=messages))

    asyncio.run(run())


def raw_aiohttp(path: Path) -> None:
    """The same bodies posted and nothing else: no validation and nothing kept. What the transport alone allows."""
    import aiohttp

    url, calls = read_calls(path)
    bodies = [json.dumps({"model": "bench", "messages": call["messages"]}) for call in calls]
    waiting = iter(bodies)

    async def run() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE)) as session:

            async def work() -> None:
                for body in waiting:
                    async with session.post(f"{url}/chat/completions", data=body) as response:
                        await response.read()

            started = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
            report(len(bodies), time.perf_counter() - started)

    asyncio.run(run())


def inspect_ai(path: Path) -> None:
    """inspect-ai's eval of a task with one sample a pair; its log on disk is read back."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.log import read_eval_log
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser
    from inspect_ai.solver import generate

    url, calls = read_calls(path)
    os.environ["OPENAI_API_KEY"] = "none"
    samples = []
    for call in calls:
        system, user = (message["content"] for message in call["messages"])
        samples.append(
            Sample(input=[ChatMessageSystem(content=system), ChatMessageUser(content=user)], id=call["pair"])
        )
    started = time.perf_counter()
    done = eval(
        Task(dataset=samples, solver=generate()), model="openai/bench", model_base_url=url,
        model_args={"responses_api": False}, max_connections=AT_ONCE, max_samples=2 * AT_ONCE,
        log_dir=str(path / "logs"), display="none",
    )  # fmt: skip
    seconds = time.perf_counter() - started
    kept = read_eval_log(done[0].location)
    assert kept.status == "success", kept.error
    assert kept.samples is not None
    assert {sample.id for sample in kept.samples} == {call["pair"] for call in calls}
    assert all(set(json.loads(sample.output.completion)) == set(DIMENSIONS) for sample in kept.samples)
    report(len(samples), seconds)


def report(pairs: int, seconds: float) -> None:
    """Say it in the words that our worker's log uses."""
    print(f"graded {pairs} pairs in {seconds:.3f} s", flush=True)


RUNNERS: dict[str, Callable[[Path], None]] = {
    "ours": ours,
    "aiohttp": raw_aiohttp,
    "openai-aiohttp": openai_aiohttp,
    "litellm": litellm_client,
    "openai": openai_client,
    "inspect-ai": inspect_ai,
}
IMPORTS = {
    "ours": ("workbench.judge_job", "aiohttp"),
    "openai-aiohttp": ("openai", "httpx_aiohttp"),
    "inspect-ai": ("inspect_ai",),
}
"""What is imported before the clock of the CPU time starts; by default, the runner's name."""


def child(name: str, path: Path) -> None:
    """Run one of them in this process and print its CPU seconds, without its imports."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    for module in IMPORTS.get(name, (name,)):
        import_module(module)
    before = resource.getrusage(resource.RUSAGE_SELF)
    RUNNERS[name](path)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(f"CPU {used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime:.3f} s")


@dataclass(frozen=True)
class Process:
    """What a process printed, and what it took as a whole."""

    output: str
    seconds: float
    peak_mb: float

    def graded(self) -> tuple[int, float]:
        """Return the pairs graded, and the seconds of that alone."""
        found = re.search(r"graded (\d+) pairs in ([\d.]+) s", self.output)
        assert found is not None, self.output[-2000:]
        return int(found[1]), float(found[2])


def processed(command: list[str], log: Path) -> Process:
    """Run a command to its end; its peak memory is what the system says of this one process."""
    with log.open("wb") as file:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    output = log.read_text("utf-8", "replace")
    if process.returncode:
        sys.exit(output[-6000:])
    return Process(output, seconds, used.ru_maxrss / 1024)


@contextmanager
def server(delay_s: float) -> Iterator[str]:
    """Run the server in a process of its own; yield its address."""
    command = [sys.executable, __file__, "--serve", str(delay_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


def made(path: Path, count: int, url: str, mode: dict[str, Any]) -> None:
    """Write a job folder in another process: the system counts what a parent holds when it starts a child as the child's."""
    command = [sys.executable, __file__, "--make", str(path), str(count), url, json.dumps(mode)]
    subprocess.run(command, check=True)


def compare(names: Sequence[str], count: int, python: Mapping[str, str]) -> None:
    """Run each in turn and print its ratios to the first."""
    rows = []
    with server(DELAY_S) as url:
        for name in names:
            with tempfile.TemporaryDirectory() as place:
                path = Path(place) / "job"
                made(path, count, url, {})
                load = os.getloadavg()[0]
                command = [python.get(name, sys.executable), __file__, "--child", name, str(path)]
                rows.append((name, processed(command, Path(place) / "log"), load))
    floor = count / AT_ONCE * DELAY_S
    print(f"{count:,} pairs, {AT_ONCE} at once, {1000 * DELAY_S:.0f} ms an answer: floor {floor:.2f} s")
    first, first_whole = rows[0][1].graded(), rows[0][1].seconds
    for name, process, load in rows:
        pairs, seconds = process.graded()
        cpu = re.search(r"CPU ([\d.]+) s", process.output)
        assert cpu is not None
        print(
            f"{name:15}{pairs / seconds:7.0f} pairs/s {first[0] / first[1] / (pairs / seconds):6.2f}x   "
            f"process {process.seconds:6.2f} s {process.seconds / first_whole:6.2f}x   "
            f"CPU {1000 * float(cpu[1]) / count:5.2f} ms a call  RSS {process.peak_mb:4.0f} MB  load {load:.1f}"
        )


def scale(count: int, mode: dict[str, Any], delay_s: float) -> None:
    """Run the worker on ``count`` pairs, and once more when all is done; print its speed and its peak memory."""
    with server(delay_s) as url, tempfile.TemporaryDirectory() as place:
        path = Path(place) / "job"
        made(path, count, url, mode)
        size = (path / "pairs.jsonl").stat().st_size / 1e6
        print(
            f"{count:,} pairs ({size:.0f} MB), {AT_ONCE} at once, {1000 * delay_s:g} ms an answer, mode {mode}"
        )
        command = [sys.executable, "-m", "workbench.worker", str(path)]
        for what in ("first start", "when all is done"):
            process = processed(command, Path(place) / "log")
            pairs, seconds = process.graded()
            print(
                f"{what:17}{pairs:8,} asked in {seconds:6.1f} s ({pairs / max(seconds, 0.1):5.0f} pairs/s), "
                f"process {process.seconds:6.1f} s, peak RSS {process.peak_mb:4.0f} MB",
                flush=True,
            )
        with (path / "judgements.jsonl").open("rb") as file:
            found = {json.loads(line)["pair_id"] for line in file}
        assert len(found) == count


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--only", choices=RUNNERS)
    parser.add_argument("--inspect-python", metavar="PATH", help="a Python that has inspect-ai and openai")
    parser.add_argument(
        "--scale", type=int, metavar="PAIRS", help="grade so many pairs with our worker alone"
    )
    parser.add_argument("--mode", type=json.loads, default={}, help="with --scale: a PromptMode as JSON")
    parser.add_argument("--delay-ms", type=float, default=2.0, help="with --scale: the server's delay")
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve is not None:
        serve(chosen.serve)
    elif chosen.child:
        child(chosen.child[0], Path(chosen.child[1]))
    elif chosen.make:
        path, count, url, mode = chosen.make
        make_folder(Path(path), int(count), url, json.loads(mode))
        if int(count) <= 10_000:  # the peers' calls, with the policy in each
            make_calls(Path(path), url)
    elif chosen.scale:
        scale(chosen.scale, chosen.mode, chosen.delay_ms / 1000)
    else:
        python = {"inspect-ai": chosen.inspect_python} if chosen.inspect_python else {}
        usual = [name for name in RUNNERS if name != "inspect-ai" or python]
        compare([chosen.only] if chosen.only else usual, chosen.pairs, python)


if __name__ == "__main__":
    main()
