"""What every job that grades does: asks for what is missing, keeps each verdict at once, holds no pairs."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from judges.judge_samples import pairs, small_policy

from workbench import grading
from workbench.errors import Unavailable
from workbench.golden import NOT_GRADED, Pair
from workbench.grading import Graded, grade
from workbench.jobfolder import JobFolder
from workbench.pair_file import PairFile, write_pairs
from workbench.policy import Policy
from workbench.run import CapReached, JobSpec, JudgeIdentity, Judgement, Usage, Verdict

SMALL = small_policy()  # topic and tone


def verdict(pair: Pair, *failed: str) -> Verdict:
    answers = tuple(
        Judgement(
            dimension=key, grade=NOT_GRADED if key in failed else 1, error="no" if key in failed else ""
        )
        for key in SMALL.keys
    )
    return Verdict(pair_id=pair.id, judgements=answers, usage=Usage(calls=1, input_tokens=10))


class Streaming:
    """A judge that grades one pair after the other; it fails where it is told to, and may end early."""

    identity = JudgeIdentity(kind="plugin", name="streaming")

    def __init__(self, *, failing: Mapping[int, str] | None = None, ends: Exception | None = None) -> None:
        self.failing, self.ends = failing or {}, ends
        self.asked: list[str] = []
        self.charged = 0

    def charge(self, usage: Usage) -> None:
        self.charged += usage.input_tokens

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        for i, pair in enumerate(pairs):
            if self.ends is not None and i == 2:
                raise self.ends
            self.asked.append(pair.query["text"])
            yield verdict(pair, *filter(None, [self.failing.get(i)]))


class Quiet:
    """A reporter that keeps what it is told; it stops after so many verdicts."""

    def __init__(self, stops_at: int = -1) -> None:
        self.told: list[tuple[int, int, str]] = []
        self.lines: list[str] = []
        self.stops_at = stops_at

    def progress(self, done: int, total: int, note: str = "") -> None:
        self.told.append((done, total, note))

    def metric(self, values: Mapping[str, float | int | str | None]) -> None:
        """Keep nothing."""

    def log(self, line: str) -> None:
        self.lines.append(line)

    def stopping(self) -> bool:
        return self.told[-1][0] == self.stops_at

    def stopping_after_epoch(self) -> bool:
        raise AssertionError("grading has no epochs")


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    made = JobFolder(tmp_path / "job")
    made.create(JobSpec(id="job", kind="judge_run", title="t", created_at=datetime(2026, 1, 1, tzinfo=UTC)))
    return made


def run(judge: Streaming, given: Sequence[Pair], folder: JobFolder, reporter: Quiet | None = None) -> Graded:
    return grade(judge, SMALL, given, folder, reporter or Quiet())


def test_four_thousand_pairs_of_a_file_are_graded_once_each(folder: JobFolder) -> None:
    given = pairs(4_000)
    write_pairs(folder.path / "pairs.jsonl", given, dict.fromkeys([p.id for p in given], "dev"))
    file = PairFile(folder.path / "pairs.jsonl")
    judge, reporter = Streaming(failing={3: "tone", 3_999: "topic"}), Quiet()
    done = run(judge, file, folder, reporter)
    assert (done.asked, done.failed) == (4_000, 2)
    assert judge.asked == [p.query["text"] for p in given]
    assert (reporter.told[0], reporter.told[-1]) == ((0, 4_000, ""), (4_000, 4_000, "2 failed"))
    # Resumed, it asks for the two pairs of which something failed, and for no other.
    judge, reporter = Streaming(), Quiet()
    done = run(judge, file, folder, reporter)
    assert (done.asked, done.failed) == (2, 0)
    assert judge.asked == ["question 3", "question 3999"]
    assert (reporter.told[0], reporter.told[-1]) == ((3_998, 4_000, ""), (4_000, 4_000, ""))
    assert judge.charged == 40_000  # what the 4,000 lines of the first start took, 10 tokens each
    assert run(Streaming(), file, folder).asked == 0


def test_a_failure_that_is_newer_than_an_answer_is_asked_again(folder: JobFolder) -> None:
    """The store keeps the newest line, so a pair whose newest line failed has no answer there."""
    given = pairs(1)
    for failing in ({0: "topic"}, {0: "tone"}):  # each line has one of both
        run(Streaming(failing=failing), given, folder)
    again = Streaming()
    run(again, given, folder)
    assert again.asked == ["question 0"]
    assert run(Streaming(), given, folder).asked == 0


@pytest.mark.parametrize(
    "ends", [CapReached("Stopped at the cap.", "Raise it."), Unavailable("No key.", "Set it.")]
)
def test_what_was_done_before_the_end_is_kept_with_its_time(folder: JobFolder, ends: Exception) -> None:
    with pytest.raises(type(ends)):
        run(Streaming(ends=ends), pairs(5), folder)
    assert [v.pair_id for v in folder.verdicts()] == [p.id for p in pairs(2)]
    first = folder.seconds()
    assert first > 0
    judge = Streaming()
    done = run(judge, pairs(5), folder)
    assert judge.asked == ["question 2", "question 3", "question 4"]
    assert folder.seconds() == pytest.approx(first + done.seconds)


def test_a_stop_ends_after_the_verdict_that_came(folder: JobFolder) -> None:
    assert run(Streaming(), pairs(5), folder, Quiet(stops_at=3)).failed == 0
    assert len(list(folder.verdicts())) == 3


def test_a_part_of_a_job_counts_on(folder: JobFolder) -> None:
    reporter = Quiet()
    grade(Streaming(), SMALL, tuple(pairs(2)), folder, reporter, before=3, total=9)
    assert [(done, total) for done, total, _ in reporter.told] == [(3, 9), (4, 9), (5, 9)]


def test_grading_twenty_thousand_pairs_holds_none_of_them(folder: JobFolder) -> None:
    """Peak of a start that finds half of 20,000 pairs done and grades the others.

    By hand: the offsets and places of 30,000 pairs with their growth, 0.54 MB (see test_pair_file); the outcomes of
    10,000 pairs, an id of 96 bytes and a dict that grows to 16,384 slots, 0.96 + 0.8 MB; the buffers of three files,
    128 KB at most each, and the pair and the verdict at hand: below 3 MB in all. Holding 10,000 pairs takes more than
    10 MB, and so do 10,000 verdicts.
    """
    line = (
        '{{"query":{{"text":"question {i}"}},"document":{{"title":"Page {i}"}},"meta":{{}},"split":"dev"}}\n'
    )
    with (folder.path / "pairs.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(line.format(i=i) for i in range(20_000))
    given = PairFile(folder.path / "pairs.jsonl")
    with (folder.path / "judgements.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(verdict(pair).model_dump_json() + "\n" for i, pair in enumerate(given) if i % 2)

    class Counting(Streaming):
        async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
            for pair in pairs:
                yield verdict(pair)

    class Silent(Quiet):
        def progress(self, done: int, total: int, note: str = "") -> None:
            self.told = [(done, total, note)]

    tracemalloc.start()
    try:
        done = run(Counting(), given, folder, Silent())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert done.asked == 10_000
    assert peak < 3_000_000
    with (folder.path / "judgements.jsonl").open("rb") as lines:
        assert len({json.loads(line)["pair_id"] for line in lines}) == 20_000


class Endless:
    """A judge whose first answer never comes, as with a batch that takes a day."""

    identity = JudgeIdentity(kind="plugin", name="endless")

    def __init__(self) -> None:
        self.left = False

    async def grade(self, policy: Policy, pairs: Sequence[Pair]) -> AsyncIterator[Verdict]:
        try:
            await asyncio.Event().wait()
        finally:
            self.left = True
        yield verdict(pairs[0])


def test_a_stop_ends_the_wait_for_an_answer(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "STOP_EVERY_S", 0.01)
    monkeypatch.setattr(grading, "STOP_GRACE_S", 0.02)
    judge = Endless()
    found = grade(judge, SMALL, pairs(3), folder, Quiet(stops_at=0))
    assert (found.failed, judge.left) == (0, True)
