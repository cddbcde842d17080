"""What every job that grades does: read its inputs from the folder, leave a verdict line for each pair.

A line is written the moment a verdict is there, so a job that was stopped or killed goes on where it was.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from workbench.files import read_text
from workbench.golden import Pair, Split, typed_labels
from workbench.jobfolder import JobFolder
from workbench.judges.build import Inputs
from workbench.policy import Policy
from workbench.run import Charged, Judge, Reporter
from workbench.yamltext import YamlText, validate


@dataclass(frozen=True)
class Graded:
    """What grading took. ``failed`` counts judgements, ``asked`` the pairs that had no verdict yet."""

    asked: int
    failed: int
    seconds: float


def read_inputs(folder: Path) -> Inputs:
    """Return what a grading job was given: the policy, the pairs with their splits, the dev labels.

    Raises:
        WorkbenchError: if a file is missing or damaged; names it.
    """
    policy = read_policy(folder)
    pairs = list(read_pairs(folder))
    labels = typed_labels(pd.read_parquet(folder / "labels.parquet"))
    return Inputs(policy, tuple(pair for pair, _ in pairs), {pair.id: split for pair, split in pairs}, labels)


def read_pairs(folder: Path) -> Iterator[tuple[Pair, Split]]:
    """Yield the pairs of a grading job with their splits, in the order in which they were written."""
    with (folder / "pairs.jsonl").open(encoding="utf-8") as file:
        for line in file:
            data = json.loads(line)
            split = data.pop("split")
            yield Pair.model_validate(data), split


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
    graded: dict[str, set[str]] = {}
    first = folder.period_start()
    for number, verdict in enumerate(folder.verdicts()):
        if number >= first and isinstance(judge, Charged):
            judge.charge(verdict.usage)
        graded.setdefault(verdict.pair_id, set()).update(
            judgement.dimension for judgement in verdict.judgements if not judgement.failed
        )
    left = [pair for pair in pairs if graded.get(pair.id, set()) != set(policy.keys)]
    started = time.monotonic()
    done = before + len(pairs) - len(left)
    failed = asyncio.run(_stream(judge, policy, left, folder, reporter, done, total or len(pairs)))
    seconds = time.monotonic() - started
    reporter.log(f"graded {len(left)} pairs in {seconds:.1f} s, {failed} judgements failed")
    return Graded(len(left), failed, seconds)


async def _stream(
    judge: Judge,
    policy: Policy,
    left: list[Pair],
    folder: JobFolder,
    reporter: Reporter,
    done: int,
    total: int,
) -> int:
    failed = 0

    def say() -> None:
        reporter.progress(done, total, f"{failed} failed" if failed else "")

    say()
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
    return failed
