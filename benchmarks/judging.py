"""Pairs a second of a judge run against a server that answers in 50 ms, beside litellm's own client.

Both ask the same server, in a process of its own, about the same pairs with the same messages at 64 calls in flight,
and both keep what came: we run the worker on a job folder (validation, verdict lines, verdict cache), the peers parse
the reply's JSON and append a line to a file. aiohttp alone, which checks and keeps nothing, shows what is left of the
transport's own speed. Times are those of the grading, started warm; whole processes are printed
beside them. With inspect-ai installed (it is no dependency), it runs as well.

    python benchmarks/judging.py [--pairs 2000] [--only ours]
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
from datetime import UTC, datetime
from importlib.util import find_spec
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


def make_folder(path: Path, count: int, url: str, keep: Path) -> None:
    """Write the job folder of a run of ``count`` pairs."""
    import pandas as pd

    from workbench.golden import LABEL_COLUMNS, Pair, typed_labels
    from workbench.jobfolder import JobFolder
    from workbench.run import JobSpec, LlmSpec

    spec = LlmSpec(model="bench", base_url=url, concurrency=AT_ONCE)
    payload = {"judge": spec.model_dump(mode="json"), "cache": str(keep)}
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


def serve() -> None:
    """Answer every request after DELAY_S with the same valid reply; print the port."""
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
        await asyncio.sleep(DELAY_S)
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


def litellm_client(path: Path) -> None:
    """litellm.acompletion with the same messages, the reply parsed, a line for each."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    from workbench.grading import read_inputs
    from workbench.prompt import messages

    inputs = read_inputs(path)
    url = json.loads((path / "spec.json").read_text("utf-8"))["payload"]["judge"]["base_url"]
    litellm.suppress_debug_info = True

    async def run() -> None:
        free = asyncio.Semaphore(AT_ONCE)
        with (path / "peer.jsonl").open("w", encoding="utf-8") as file:

            async def one(pair: Any) -> None:
                async with free:
                    response = await litellm.acompletion(
                        model="openai/bench",
                        base_url=url,
                        api_key="none",
                        messages=messages(inputs.policy, pair),
                    )
                grades = json.loads(response.choices[0].message.content)
                file.write(json.dumps({"pair": pair.id, "grades": grades}) + "\n")
                file.flush()

            await one(inputs.pairs[0])  # what it loads at its first call is not what is measured
            started = time.perf_counter()
            await asyncio.gather(*map(one, inputs.pairs[1:]))
            report(len(inputs.pairs) - 1, time.perf_counter() - started)

    asyncio.run(run())


def raw_aiohttp(path: Path) -> None:
    """The same bodies posted and nothing else: no validation and nothing kept. What the transport alone allows."""
    import aiohttp

    from workbench.grading import read_inputs
    from workbench.prompt import messages

    inputs = read_inputs(path)
    url = json.loads((path / "spec.json").read_text("utf-8"))["payload"]["judge"]["base_url"]
    bodies = [
        json.dumps({"model": "bench", "messages": messages(inputs.policy, pair)}) for pair in inputs.pairs
    ]
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
    """inspect-ai's eval of a task with one sample a pair, its log on disk."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser
    from inspect_ai.solver import generate

    from workbench.grading import read_inputs
    from workbench.prompt import messages

    inputs = read_inputs(path)
    url = json.loads((path / "spec.json").read_text("utf-8"))["payload"]["judge"]["base_url"]
    os.environ["OPENAI_API_KEY"] = "none"
    samples = []
    for pair in inputs.pairs:
        system, user = (message["content"] for message in messages(inputs.policy, pair))
        samples.append(
            Sample(input=[ChatMessageSystem(content=system), ChatMessageUser(content=user)], id=pair.id)
        )
    started = time.perf_counter()
    task = Task(dataset=samples, solver=generate())
    done = eval(
        task, model="openai/bench", model_base_url=url, max_connections=AT_ONCE, max_samples=2 * AT_ONCE,
        log_dir=str(path / "logs"), display="none",
    )  # fmt: skip
    assert done[0].status == "success"
    report(len(samples), time.perf_counter() - started)


def report(pairs: int, seconds: float) -> None:
    """Say it in the words that our worker's log uses."""
    print(f"graded {pairs} pairs in {seconds:.3f} s", flush=True)


RUNNERS = {"ours": ours, "aiohttp": raw_aiohttp, "litellm": litellm_client, "inspect-ai": inspect_ai}


def child(name: str, path: Path) -> None:
    """Run one of them in this process and print its CPU seconds, without its imports, and its memory."""
    import workbench.worker  # noqa: F401

    if name == "litellm":
        import litellm  # noqa: F401
    else:
        import aiohttp  # noqa: F401
    before = resource.getrusage(resource.RUSAGE_SELF)
    RUNNERS[name](path)
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(f"CPU {seconds:.3f} s, RSS {used.ru_maxrss / 1024:.0f} MB")


def measured(name: str, count: int, url: str) -> tuple[float, float, float, float, float]:
    """Return pairs graded a second, the process's seconds, its CPU seconds, its peak RSS in MB, the load."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "job"
        make_folder(path, count, url, Path(place) / "cache")
        load = os.getloadavg()[0]
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, __file__, "--child", name, str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-4000:])
    graded = re.search(r"graded (\d+) pairs in ([\d.]+) s", done.stdout)
    used = re.search(r"CPU ([\d.]+) s, RSS (\d+) MB", done.stdout)
    assert graded is not None
    assert used is not None
    return int(graded[1]) / float(graded[2]), seconds, float(used[1]), float(used[2]), load


def main() -> None:
    """Measure all and print the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--only", choices=RUNNERS)
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--child", nargs=2)
    chosen = parser.parse_args()
    if chosen.serve:
        return serve()
    if chosen.child:
        return child(chosen.child[0], Path(chosen.child[1]))
    names = (
        [chosen.only] if chosen.only else [n for n in RUNNERS if n != "inspect-ai" or find_spec("inspect_ai")]
    )
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/v1"
            found = {name: measured(name, chosen.pairs, url) for name in names}
        finally:
            server.terminate()
    floor = chosen.pairs / AT_ONCE * DELAY_S
    print(
        f"{chosen.pairs:,} pairs, {AT_ONCE} at once, {1000 * DELAY_S:.0f} ms an answer: floor {floor:.2f} s"
    )
    first = next(iter(found.values()))[0]
    for name, (rate, seconds, cpu, memory, load) in found.items():
        print(
            f"{name:12}{rate:8.0f} pairs/s  {first / rate:5.2f}x  process {seconds:6.2f} s  "
            f"CPU {1000 * cpu / chosen.pairs:5.2f} ms a call  RSS {memory:4.0f} MB  load {load:.1f}"
        )
    return None


if __name__ == "__main__":
    main()
