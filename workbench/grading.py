"""What every job that grades does: read its inputs from the folder, leave a verdict line for each pair.

A line is written the moment a verdict is there, so a job that was stopped or killed goes on where it was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import BadInput, NotFound
from workbench.files import read_text
from workbench.golden import Pair, Split, typed_labels
from workbench.jobfolder import JobFolder
from workbench.judges.inputs import Inputs
from workbench.outcomes import Outcomes
from workbench.pair_file import PairFile, PairSubset
from workbench.policy import Policy
from workbench.run import Charged, Judge, Reporter
from workbench.yamltext import YamlText, validate

if TYPE_CHECKING:
    import pandas as pd


STOP_EVERY_S = 0.5
STOP_GRACE_S = 5.0
"""How long a stop waits for a verdict that is on its way."""


@dataclass(frozen=True)
class Graded:
    """What grading took. ``failed`` counts judgements, ``asked`` the pairs that had no verdict yet."""

    asked: int
    failed: int
    seconds: float


def read_inputs(folder: Path) -> Inputs:
    """Return what a grading job was given: the policy, the pairs with their splits, the dev labels.

    Only the policy is read at once; pairs, splits and labels are when a judge asks for them.

    Raises:
        WorkbenchError: if a file is missing or damaged; names it.
    """
    pairs = PairFile(folder / "pairs.jsonl")
    return Inputs(read_policy(folder), pairs, pairs.splits, lambda: _read_labels(folder / "labels.parquet"))


def read_pairs(folder: Path) -> Iterator[tuple[Pair, Split]]:
    """Yield the pairs of a grading job with their splits, in the order in which they were written."""
    return PairFile(folder / "pairs.jsonl").with_splits()


def _read_labels(path: Path) -> pd.DataFrame:
    import pandas as pd  # a judge over HTTP reads no labels, and need not wait for this

    try:
        return typed_labels(pd.read_parquet(path))
    except FileNotFoundError as error:
        raise NotFound(
            f"There is no file {path}.", "Start the job anew: it writes its inputs again."
        ) from error
    except (OSError, ValueError, KeyError) as error:
        said = " ".join(str(error).split())
        raise BadInput(
            f"{path} is no table of labels ({said}).", "Start the job anew: it writes its inputs again."
        ) from error


def read_policy(folder: Path) -> Policy:
    """Return the policy that a folder's verdicts are given under.

    Raises:
        WorkbenchError: if the file is missing, or is no policy.
    """
    source = YamlText(read_text(folder / "policy.yaml"), "policy.yaml")
    return validate(Policy, source.data, "policy.yaml", source)


def grade(
    judge: Judge,
    policy: Policy,
    pairs: Sequence[Pair],
    folder: JobFolder,
    reporter: Reporter,
    *,
    before: int = 0,
    total: int | None = None,
) -> Graded:
    """Append a verdict line for each pair that has none yet.

    A pair with a failed judgement is asked again; a reader takes the newer line.

    Args:
        before: pairs of this job that were done before these, for the progress.
        total: pairs of this job in all; by default, these.

    Raises:
        CapReached: if a cap of the judge was reached; the lines written so far stay.
        WorkbenchError: if going on is pointless; the lines written so far stay.
    """
    folder.ready_to_append("judgements.jsonl")
    outcomes = Outcomes()
    first = folder.period_start()
    for number, verdict in enumerate(folder.verdicts()):
        if number >= first and isinstance(judge, Charged):
            judge.charge(verdict.usage)
        outcomes.add(verdict)
    left = pairs
    if outcomes.pairs:
        left = PairSubset(pairs, (not outcomes.graded(pair.id, policy.keys) for pair in pairs))
    started = time.monotonic()
    done = before + len(pairs) - len(left)
    try:
        failed = asyncio.run(_stream(judge, policy, left, folder, reporter, done, total or len(pairs)))
    finally:
        seconds = time.monotonic() - started
        folder.add_seconds(seconds)
    reporter.log(f"graded {len(left)} pairs in {seconds:.1f} s, {failed} judgements failed")
    return Graded(len(left), failed, seconds)


async def _stream(
    judge: Judge,
    policy: Policy,
    left: Sequence[Pair],
    folder: JobFolder,
    reporter: Reporter,
    done: int,
    total: int,
) -> int:
    failed = 0

    def say() -> None:
        reporter.progress(done, total, f"{failed} failed" if failed else "")

    say()
    waiting = asyncio.create_task(_stop_waiting(asyncio.current_task(), reporter))
    try:
        with (folder.path / "judgements.jsonl").open("a", encoding="utf-8") as file:
            async with aclosing(judge.grade(policy, left)) as verdicts:  # type: ignore[type-var]
                async for verdict in verdicts:
                    file.write(verdict.model_dump_json() + "\n")
                    file.flush()
                    done += 1
                    failed += sum(judgement.failed for judgement in verdict.judgements)
                    say()
                    if reporter.stopping():
                        break
    except asyncio.CancelledError:
        if not reporter.stopping():
            raise
    finally:
        waiting.cancel()
    return failed


async def _stop_waiting(work: asyncio.Task[int] | None, reporter: Reporter) -> None:
    """End the wait for the next verdict once a stop was asked for: a batch may take hours to give one."""
    while not reporter.stopping():
        await asyncio.sleep(STOP_EVERY_S)
    await asyncio.sleep(STOP_GRACE_S)  # a call in flight is paid for: give it time to come in
    if work is not None:
        work.cancel()
