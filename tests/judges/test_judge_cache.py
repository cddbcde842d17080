"""The verdict cache: hits, misses, damage, and several processes at once."""

from __future__ import annotations

import logging
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import Unavailable
from workbench.golden import NOT_GRADED
from workbench.judges.cache import QuestionKeys, VerdictCache, verdict_key
from workbench.run import Judgement, Usage, Verdict

VERDICT = Verdict(
    pair_id="pair-1",
    judgements=(Judgement(dimension="topic", grade=3, rationale="Same thing.", cites=("topic.1",)),),
    usage=Usage(calls=1, input_tokens=900, output_tokens=40, cost_usd=0.002, latency_ms=800),
    raw='{"topic": {}}',
)


def test_what_is_put_is_got_and_costs_nothing(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path / "folder" / "verdicts.sqlite")
    assert cache.get("k") is None
    cache.put("k", VERDICT)
    found = cache.get("k")
    assert found is not None
    assert (found.pair_id, found.judgements, found.raw) == ("pair-1", VERDICT.judgements, VERDICT.raw)
    assert found.usage == Usage(calls=0, cost_usd=0.0, from_cache=True)
    assert len(cache) == 1
    cache.close()
    again = VerdictCache(tmp_path / "folder" / "verdicts.sqlite")
    assert again.get("k") == found
    again.close()


def test_a_failed_verdict_is_not_kept(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path / "verdicts.sqlite")
    failed = Judgement(dimension="tone", grade=NOT_GRADED, error="HTTP 500")
    cache.put("k", VERDICT.model_copy(update={"judgements": (*VERDICT.judgements, failed)}))
    assert cache.get("k") is None
    cache.close()


def test_the_key_depends_on_everything_that_was_asked() -> None:
    ask: dict[str, Any] = {
        "messages": [{"role": "user", "content": "a"}],
        "model": "m",
        "params": {"seed": 1},
        "repeat": 0,
    }
    same: dict[str, Any] = {
        "repeat": 0,
        "params": {"seed": 1},
        "model": "m",
        "messages": [{"content": "a", "role": "user"}],
    }
    assert verdict_key(**ask) == verdict_key(**same)
    changes: list[dict[str, Any]] = [{}, {"messages": []}, {"model": "n"}, {"params": {}}, {"repeat": 1}]
    assert len({verdict_key(**(ask | change)) for change in changes}) == 5


def test_a_damaged_entry_is_asked_again_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = VerdictCache(tmp_path / "verdicts.sqlite")
    cache.put("k", VERDICT)
    with sqlite3.connect(cache.path) as db:
        db.execute("UPDATE verdicts SET verdict = '{\"pair_id\": 3'")
    with caplog.at_level(logging.WARNING):
        assert cache.get("k") is None
    assert "entry k cannot be read" in caplog.text
    cache.put("k", VERDICT)
    assert cache.get("k") is not None
    cache.close()


def test_a_file_that_is_no_cache_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are notes and not a database. " * 100)
    with pytest.raises(Unavailable, match=r"notes\.txt cannot be used"):
        VerdictCache(path)
    assert path.read_text().startswith("These are notes")
    with pytest.raises(Unavailable):
        VerdictCache(path / "below" / "verdicts.sqlite")
    with pytest.raises(Unavailable):
        VerdictCache(tmp_path)


WRITER = """
import sys
from workbench.judges.cache import VerdictCache
from workbench.run import Judgement, Verdict

cache = VerdictCache(sys.argv[1])
for i in range(200):
    verdict = Verdict(pair_id=str(i), judgements=(Judgement(dimension="topic", grade=i % 5),), raw="x" * 2000)
    cache.put(f"{sys.argv[2]}-{i}", verdict)
    cache.put(f"shared-{i}", verdict)
    assert cache.get(f"shared-{i}").judgements[0].grade == i % 5
cache.close()
"""


def test_processes_share_one_file(tmp_path: Path) -> None:
    path = str(tmp_path / "verdicts.sqlite")
    root = str(Path(__file__).parents[2])
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, name], cwd=root, stderr=subprocess.PIPE)
        for name in "abc"
    ]
    for writer in writers:
        _, told = writer.communicate(timeout=60)
        assert writer.returncode == 0, told.decode()
    cache = VerdictCache(path)
    assert len(cache) == 4 * 200  # three of their own, and the shared ones once
    cache.close()


TEXTS = st.text(alphabet=st.characters(), max_size=20) | st.sampled_from(
    ["", "\x00", '"\x00"', "e\u0301", "\u0338", "\u2028", "\ud83d", '"},"model":"x"']
)


@given(system=TEXTS, user=TEXTS, model=TEXTS, seed=TEXTS, repeat=st.integers(0, 3))
def test_keys_of_many_questions_are_those_of_one_by_one(
    system: str, user: str, model: str, seed: str, repeat: int
) -> None:
    params = {"params": {"a": seed}, "response_mode": "text"}
    keys = QuestionKeys(system=system, model=model, params=params, repeat=repeat)
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    alone = verdict_key(messages=messages, model=model, params=params, repeat=repeat)
    assert keys.key(user) == alone


def test_many_are_stored_at_once_or_not_at_all(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path / "verdicts.sqlite")
    failed = VERDICT.model_copy(
        update={"judgements": (Judgement(dimension="topic", grade=NOT_GRADED, error="x"),)}
    )
    cache.put_all([("a", VERDICT), ("b", failed), ("c", VERDICT)])
    assert [cache.get(key) is not None for key in "abc"] == [True, False, True]
    cache.put_all([])
    with pytest.raises(Unavailable, match="cannot be used"):
        cache.put_all([("d", VERDICT), (object(), VERDICT)])  # type: ignore[list-item]
    assert cache.get("d") is None
    cache.put("d", VERDICT)  # the file is not left in a transaction
    assert len(cache) == 3
    cache.close()
