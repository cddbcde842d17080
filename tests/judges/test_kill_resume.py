"""kill -9 of the worker at any moment, then resume: nothing that came is lost, and nothing that came is paid twice.

The server counts. A call whose answer had not reached the worker when it was killed is asked again: nobody can know
whether it was paid for. So the calls in all are at most the pairs and what was in flight at each kill.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from faults import FINE
from judge_samples import pairs, small_policy

from workbench.fake_provider import FakeProvider, error
from workbench.golden import LABEL_COLUMNS, typed_labels
from workbench.jobfolder import JobFolder
from workbench.run import JobSpec, LlmSpec
from workbench.yamltext import dump

COUNT, AT_ONCE = 120, 4


def job(path: Path, url: str, **options: object) -> JobFolder:
    """Make the folder of a run of ``COUNT`` pairs."""
    judge = LlmSpec.model_validate(
        {"model": "fake-hash-grader", "base_url": url, "concurrency": AT_ONCE, **options}
    )
    payload = {"judge": judge.model_dump(mode="json"), "cache": str(path.parent / "cache")}
    folder = JobFolder(path)
    folder.create(
        JobSpec(id=path.name, kind="judge_run", title="run", created_at=datetime.now(UTC), payload=payload)
    )
    policy = small_policy().model_dump(mode="json", by_alias=True, exclude_none=True)
    (path / "policy.yaml").write_text(dump(policy), encoding="utf-8")
    typed_labels(pd.DataFrame(columns=LABEL_COLUMNS)).to_parquet(path / "labels.parquet")
    lines = [json.dumps(pair.model_dump(mode="json") | {"split": "dev"}) for pair in pairs(COUNT)]
    (path / "pairs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def start(folder: JobFolder) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "workbench.worker", str(folder.path)],
        cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def lines(folder: JobFolder) -> int:
    path = folder.path / "judgements.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_at_any_moment_and_resumed(tmp_path: Path) -> None:
    with FakeProvider(otherwise=FINE, delay_s=0.05) as provider:
        folder = job(tmp_path / "job", provider.base_url)
        kills = 0
        for mark in (1, 40, 80):  # as soon as there is a line, and twice in the middle
            worker = start(folder)
            while lines(folder) < mark and worker.poll() is None:
                time.sleep(0.01)
            worker.send_signal(signal.SIGKILL)
            worker.wait(timeout=30)
            kills += 1
            kept = {verdict.pair_id for verdict in folder.verdicts()}
            assert len(kept) >= min(mark, COUNT)
            assert folder.result() is None
        assert start(folder).wait(timeout=60) == 0
        result = folder.result()
        assert result is not None
        assert result.status == "finished"
        found = list(folder.verdicts())
        assert sorted(v.pair_id for v in found) == sorted(p.id for p in pairs(COUNT))  # each once
        assert not any(j.failed for v in found for j in v.judgements)
        # At most what was in flight at each kill is asked again: one call a worker.
        assert COUNT <= provider.calls <= COUNT + kills * AT_ONCE
        # Another run of the same judge finds all of it in the cache: not after a crash, not in another run.
        before = provider.calls
        other = job(tmp_path / "other", provider.base_url)
        assert start(other).wait(timeout=60) == 0
        assert lines(other) == COUNT
        assert provider.calls == before


def test_a_resume_asks_for_the_failures_alone(tmp_path: Path) -> None:
    with FakeProvider([error(400, "x")] * 5, otherwise=FINE) as provider:
        folder = job(tmp_path / "job", provider.base_url)
        assert start(folder).wait(timeout=60) == 0
        assert provider.calls == COUNT
        assert start(folder).wait(timeout=60) == 0
        assert provider.calls == COUNT + 5
    newest = {verdict.pair_id: verdict for verdict in folder.verdicts()}
    assert lines(folder) == COUNT + 5
    assert not any(j.failed for v in newest.values() for j in v.judgements)


def test_a_wrong_key_stops_at_once_with_one_sentence(tmp_path: Path) -> None:
    with FakeProvider(otherwise=error(401, "no"), delay_s=0.05) as provider:
        folder = job(tmp_path / "job", provider.base_url)
        assert start(folder).wait(timeout=60) == 1
        assert provider.calls <= AT_ONCE
    result = folder.result()
    assert result is not None
    assert result.status == "failed"
    assert result.error.endswith("refused the key for fake-hash-grader (401).")


@pytest.mark.parametrize("new_period", [False, True])
def test_a_run_stopped_at_its_cap_goes_on(tmp_path: Path, new_period: bool) -> None:
    with FakeProvider(otherwise=FINE) as provider:
        folder = job(tmp_path / "job", provider.base_url, cap_tokens=20_000, params={"max_tokens": 100})
        assert start(folder).wait(timeout=60) == 0
        result = folder.result()
        assert result is not None
        assert result.status == "capped"
        assert result.error.startswith("Stopped at the cap of 20,000 tokens")
        first = lines(folder)
        assert 0 < first < COUNT
        assert provider.calls == first
        if new_period:
            folder.start_period()
        assert start(folder).wait(timeout=60) == 0
        # The cap holds for what the run had spent before, unless a new period began.
        more = lines(folder) - first
        assert more > 10 if new_period else more <= 4
        spent = sum(
            v.usage.input_tokens + v.usage.output_tokens for v in list(folder.verdicts())[: first + more]
        )
        assert spent <= (2 if new_period else 1) * 20_000
