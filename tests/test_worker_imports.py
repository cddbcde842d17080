"""What the worker of a language model's run loads: each import is a wait before the first question."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest
from judges.judge_samples import pairs, small_policy

from workbench import worker
from workbench.documents import policy_text
from workbench.fake_provider import FakeProvider
from workbench.jobfolder import JobFolder
from workbench.pair_file import write_pairs
from workbench.run import JobKind, JobSpec, LlmSpec

NOT_FOR_HTTP = {
    "torch", "transformers", "litellm", "openai", "sklearn", "scipy", "statsmodels", "ray", "tiktoken",
    "sqlmodel", "sqlalchemy", "alembic", "streamlit", "plotly", "pandas", "pyarrow",
}  # fmt: skip


@pytest.mark.parametrize("mode", [{}, {"reason": "after"}])
def test_a_run_over_http_loads_no_model_and_no_labels(tmp_path: Path, mode: dict[str, str]) -> None:
    given = pairs(3)
    folder = JobFolder(tmp_path / "job")
    with FakeProvider() as provider:
        judge = LlmSpec.model_validate(
            {"model": "fake-hash-grader", "base_url": provider.base_url, "mode": mode}
        )
        payload = {"judge": judge.model_dump(mode="json"), "cache": str(tmp_path / "cache")}
        at = datetime(2026, 1, 1, tzinfo=UTC)
        folder.create(JobSpec(id="job", kind="judge_run", title="run", created_at=at, payload=payload))
        (folder.path / "policy.yaml").write_text(policy_text(small_policy()), encoding="utf-8")
        write_pairs(folder.path / "pairs.jsonl", given, dict.fromkeys([p.id for p in given], "dev"))
        # There is no labels.parquet: a judge that reads no labels does not miss it.
        script = (
            "import json, sys\n"
            "from workbench.worker import main\n"
            f"code = main([{str(folder.path)!r}])\n"
            "print(json.dumps([code, sorted({name.partition('.')[0] for name in sys.modules})]))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
        )
        assert provider.calls == 3
    code, loaded = json.loads(done.stdout.splitlines()[-1])
    result = folder.result()
    assert result is not None
    assert (code, result.status) == (0, "finished")
    assert len(list(folder.verdicts())) == 3
    assert "aiohttp" in loaded
    assert NOT_FOR_HTTP & set(loaded) == set()


def test_the_worker_itself_loads_no_kind_of_job() -> None:
    script = "import sys, workbench.worker\nprint(' '.join(name for name in sys.modules if name.startswith('workbench')))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    loaded = set(done.stdout.split())
    assert "workbench.worker" in loaded
    assert [name for name in loaded if name.endswith("_job") or name.startswith("workbench.judges")] == []


def test_every_kind_of_job_has_a_module() -> None:
    assert set(worker.MODULES) == set(get_args(JobKind))
    assert [name for name in worker.MODULES.values() if find_spec(name) is None] == []
