"""A job's folder: readable at any moment, whatever a killed worker left."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from workbench.errors import BadInput
from workbench.jobfolder import FolderReporter, JobFolder, Progress, Result
from workbench.run import JobSpec, Judgement, Verdict

AT = datetime(2026, 1, 1, 9, tzinfo=UTC)
SPEC = JobSpec(id="job-1", kind="judge_run", title="Tür 漢", created_at=AT, payload={"a": [1, None]})


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    made = JobFolder(tmp_path / "jobs" / "job-1")
    made.create(SPEC)
    return made


def verdict(pair_id: str, rationale: str = "") -> Verdict:
    return Verdict(pair_id=pair_id, judgements=(Judgement(dimension="d", grade=1, rationale=rationale),))


def lines(*verdicts: Verdict) -> bytes:
    return "".join(v.model_dump_json() + "\n" for v in verdicts).encode()


def test_a_new_folder_holds_its_spec_and_nothing_has_happened(folder: JobFolder) -> None:
    assert folder.spec() == SPEC
    assert folder.artifacts.is_dir()
    assert folder.progress() is None
    assert folder.result() is None
    assert folder.metrics() == []
    assert list(folder.verdicts()) == []
    assert folder.log_tail() == ""


def test_making_it_again_keeps_what_is_there(folder: JobFolder) -> None:
    (folder.path / "judgements.jsonl").write_bytes(lines(verdict("p1")))
    folder.create(SPEC)
    assert list(folder.verdicts()) == [verdict("p1")]


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"id": "x"}', "\xff"])
def test_what_is_no_job_folder_is_named(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "spec.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(BadInput, match="is not a job folder"):
        JobFolder(tmp_path).spec()


def test_a_last_line_that_is_cut_short_is_not_there_yet(folder: JobFolder) -> None:
    path = folder.path / "judgements.jsonl"
    whole = lines(verdict("p1"), verdict("p2", "漢字"))
    for end in range(len(whole) + 1):  # a reader may come at any byte
        path.write_bytes(whole[:end])
        assert len(list(folder.verdicts())) == whole[:end].count(b"\n")
    assert list(folder.verdicts()) == [verdict("p1"), verdict("p2", "漢字")]


def test_a_cut_line_is_removed_before_more_is_appended(folder: JobFolder) -> None:
    path = folder.path / "judgements.jsonl"
    whole = lines(verdict("p1"))
    for torn in (b"", b"{", b'{"pair_id": "p2", "judge', "ä".encode()[:1], b"x" * 200_000):
        path.write_bytes(whole + torn)
        folder.ready_to_append("judgements.jsonl")
        assert path.read_bytes() == whole
        with path.open("ab") as file:
            file.write(lines(verdict("p3")))
        assert list(folder.verdicts()) == [verdict("p1"), verdict("p3")]


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 131_072])
def test_the_cut_is_right_at_the_borders_of_blocks(folder: JobFolder, size: int) -> None:
    path = folder.path / "metrics.jsonl"
    for torn in (0, 1, 65_535, 65_536, 65_537):
        whole = b"1" * (size - 1) + b"\n"
        path.write_bytes(whole + b"2" * torn)
        folder.ready_to_append("metrics.jsonl")
        assert path.read_bytes() == whole


def test_a_file_of_one_cut_line_is_emptied_and_a_missing_one_is_left(folder: JobFolder) -> None:
    path = folder.path / "metrics.jsonl"
    path.write_bytes(b'{"loss": ')
    folder.ready_to_append("metrics.jsonl")
    assert path.read_bytes() == b""
    folder.ready_to_append("nothing.jsonl")
    assert not (folder.path / "nothing.jsonl").exists()


def test_a_spoilt_line_is_named(folder: JobFolder) -> None:
    path = folder.path / "judgements.jsonl"
    path.write_bytes(lines(verdict("p1")) + b"not json\n" + lines(verdict("p2")))
    with pytest.raises(BadInput, match=r"judgements\.jsonl, line 2: not JSON"):
        list(folder.verdicts())
    path.write_bytes(lines(verdict("p1")) + b'{"pair_id": 3}\n')
    with pytest.raises(BadInput, match=r"judgements\.jsonl, line 2 at pair_id"):
        list(folder.verdicts())
    (folder.path / "metrics.jsonl").write_bytes(b"{]\n")
    with pytest.raises(BadInput, match=r"metrics\.jsonl, line 1: not JSON"):
        folder.metrics()


def test_progress_and_result_are_replaced_whole(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    reporter = FolderReporter(folder)
    reporter.progress(5, 5, "all")
    first = folder.progress()
    assert first is not None
    assert (first.done, first.total, first.note) == (5, 5, "all")
    folder.finish(Result(status="failed", error="Tür", finished_at=AT))

    def fail(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="disk full"):
            reporter.progress(6, 6)
        with pytest.raises(OSError, match="disk full"):
            folder.finish(Result(status="finished", finished_at=AT))
    assert folder.progress() == first
    kept = folder.result()
    assert kept is not None
    assert (kept.status, kept.error) == ("failed", "Tür")
    assert sorted(p.name for p in folder.path.iterdir()) == [
        "artifacts", "metrics.jsonl", "progress.json", "result.json", "spec.json",
    ]  # fmt: skip
    reporter.close()


def test_progress_is_written_a_few_times_a_second_and_always_at_the_end(folder: JobFolder) -> None:
    reporter = FolderReporter(folder)
    for done in range(1, 1001):
        reporter.progress(done, 1000)
        if done == 1:
            assert folder.progress() is not None  # the first at once
            os.unlink(folder.path / "progress.json")
        elif done < 50:
            assert folder.progress() is None  # not again within a fraction of a second
    last = folder.progress()
    assert last is not None
    assert last.done == 1000
    reporter.close()


def test_progress_that_is_spoilt_is_none(folder: JobFolder) -> None:
    (folder.path / "progress.json").write_text('{"done": ')
    assert folder.progress() is None


def test_a_result_that_is_spoilt_is_named(folder: JobFolder) -> None:
    (folder.path / "result.json").write_text('{"status": "great"}')
    with pytest.raises(BadInput, match=r"result\.json is not a job's result"):
        folder.result()


def test_metrics_are_on_disk_at_once_and_go_on_after_a_crash(folder: JobFolder) -> None:
    reporter = FolderReporter(folder)
    reporter.metric({"step": 1, "loss": 0.5, "note": None})
    assert folder.metrics() == [{"step": 1, "loss": 0.5, "note": None}]
    reporter.close()
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')  # killed in the middle of a row
    resumed = FolderReporter(folder)
    resumed.metric({"step": 2, "loss": 0.4})
    resumed.close()
    assert [row["step"] for row in folder.metrics()] == [1, 2]


def test_a_stop_is_seen_through_the_folder_or_a_signal(folder: JobFolder) -> None:
    reporter = FolderReporter(folder)
    assert reporter.stopping() is False
    reporter.stop()
    assert reporter.stopping() is True
    reporter.close()
    folder.ask_to_stop()
    folder.ask_to_stop()
    other = FolderReporter(folder)
    assert other.stopping() is True
    other.close()


def test_the_tail_of_the_log_survives_any_bytes(folder: JobFolder) -> None:
    (folder.path / "log.txt").write_bytes(b"".join(b"line %d\n" % i for i in range(1000)) + b"\xff\xfe end")
    tail = folder.log_tail(3).splitlines()
    assert tail == ["line 998", "line 999", "�� end"]


def test_the_heartbeat_moves_and_the_start_stays(folder: JobFolder) -> None:
    reporter = FolderReporter(folder)
    reporter.progress(1, 1)
    first = folder.progress()
    reporter.progress(2, 2)
    second = folder.progress()
    assert isinstance(first, Progress)
    assert isinstance(second, Progress)
    assert second.started_at == first.started_at
    assert second.updated_at > first.updated_at
    assert json.loads((folder.path / "progress.json").read_text())["done"] == 2
    reporter.close()
