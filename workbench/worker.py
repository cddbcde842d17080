"""The worker: ``python -m workbench.worker JOB_DIR`` does one job and leaves everything in its folder.

It touches no database and needs no Streamlit, so the same command runs here, on a GPU machine or under a scheduler.
Started again on the same folder, it goes on where it was.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from workbench.errors import WorkbenchError
from workbench.files import read_text
from workbench.golden import Pair, Split, typed_labels
from workbench.jobfolder import FolderReporter, JobFolder, Result
from workbench.judges.build import Inputs, build_judge
from workbench.policy import Policy
from workbench.run import JobSpec, Judge, JudgeSpec, Verdict
from workbench.yamltext import YamlText, validate


def main(arguments: list[str]) -> int:
    """Do the job in the folder named by the one argument; 0 when it finished or was stopped, 1 when it failed."""
    if len(arguments) != 1:
        print("usage: python -m workbench.worker JOB_DIR", file=sys.stderr)
        return 2
    folder = JobFolder(Path(arguments[0]))
    spec = folder.spec()
    reporter = FolderReporter(folder)
    signal.signal(signal.SIGTERM, lambda *_: reporter.stop())
    reporter.log(f"{spec.title} ({spec.id})")
    reporter.progress(0, 0, "starting")
    work = {"judge_run": _judge_run, "training": _training}[spec.kind]
    try:
        data = work(spec, folder, reporter)
        status = "cancelled" if reporter.stopping() else "finished"
        result = Result.model_validate({"status": status, "finished_at": datetime.now(UTC), "data": data})
    except WorkbenchError as error:
        reporter.log(f"failed: {error}")
        result = Result(status="failed", error=error.message, hint=error.hint, finished_at=datetime.now(UTC))
    except Exception as error:
        reporter.log(traceback.format_exc())
        message = f"The worker met an error of its own: {type(error).__name__}: {error}"
        result = Result(
            status="failed", error=message, hint="The log has the details.", finished_at=datetime.now(UTC)
        )
    reporter.close()
    folder.finish(result)
    return 1 if result.status == "failed" else 0


def _judge_run(spec: JobSpec, folder: JobFolder, reporter: FolderReporter) -> dict[str, Any]:
    inputs = _inputs(folder.path)
    chosen: JudgeSpec = TypeAdapter(JudgeSpec).validate_python(spec.payload["judge"])
    judge = build_judge(chosen, inputs, Path(spec.payload["cache"]))
    return _grade(judge, inputs.policy, inputs.pairs, folder, reporter, spec)


def _training(spec: JobSpec, folder: JobFolder, reporter: FolderReporter) -> dict[str, Any]:
    # torch is loaded by jobs that train, not by judge runs over HTTP.
    from workbench.judges.checkpoint import CheckpointJudge
    from workbench.training.data import build_examples
    from workbench.training.fit import fit
    from workbench.training.record import Lineage, TrainingInput

    inputs = _inputs(folder.path)
    given = TrainingInput.model_validate(spec.payload["training"])
    soft = [Verdict.model_validate_json(line) for line in read_text(folder.path / "soft.jsonl").splitlines()]
    examples = build_examples(inputs.policy, inputs.golden(given.golden, given.golden_version), soft)
    lineage = Lineage(
        golden=f"{given.golden} v{given.golden_version}",
        golden_hash=given.golden_hash,
        soft_run=given.soft_run,
        code_revision=spec.payload.get("code_revision", ""),
    )
    done = fit(
        given.recipe, inputs.policy, examples, folder.artifacts, reporter, lineage=lineage, resume=True
    )
    checkpoint = {
        "name": done.record.name,
        "recipe": given.recipe.recipe,
        "folder": str(done.folder),
        "record": done.record.model_dump(mode="json"),
    }
    if reporter.stopping():
        return {"checkpoint": checkpoint}
    reporter.log("grading the golden set with the new checkpoint")
    graded = _grade(CheckpointJudge(done.folder), inputs.policy, inputs.pairs, folder, reporter, spec)
    return graded | {"checkpoint": checkpoint}


def _grade(
    judge: Judge,
    policy: Policy,
    pairs: tuple[Pair, ...],
    folder: JobFolder,
    reporter: FolderReporter,
    spec: JobSpec,
) -> dict[str, Any]:
    """Append a verdict line for each pair that has none yet, and return what the run's record needs."""
    folder.ready_to_append("judgements.jsonl")
    graded: dict[str, set[str]] = {}
    for verdict in folder.verdicts():
        graded.setdefault(verdict.pair_id, set()).update(
            j.dimension for j in verdict.judgements if not j.failed
        )
    # A pair with a failed judgement is asked again; the newer line replaces the older one when it is collected.
    left = [pair for pair in pairs if graded.get(pair.id, set()) != set(policy.keys)]
    started = time.monotonic()
    failed = asyncio.run(_stream(judge, policy, left, folder, reporter, len(pairs)))
    seconds = time.monotonic() - started
    reporter.log(f"graded {len(left)} pairs in {seconds:.1f} s, {failed} judgements failed")
    return {
        "judge": judge.identity.model_dump(mode="json"),
        "seconds": seconds,
        "code_revision": spec.payload.get("code_revision", ""),
    }


async def _stream(
    judge: Judge, policy: Policy, left: list[Pair], folder: JobFolder, reporter: FolderReporter, total: int
) -> int:
    done, failed = total - len(left), 0
    say: Callable[[], None] = lambda: reporter.progress(  # noqa: E731 - one line, used twice
        done, total, f"{failed} failed" if failed else ""
    )
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


def _inputs(folder: Path) -> Inputs:
    source = YamlText(read_text(folder / "policy.yaml"), "policy.yaml")
    policy = validate(Policy, source.data, "policy.yaml", source)
    pairs: list[Pair] = []
    splits: dict[str, Split] = {}
    with (folder / "pairs.jsonl").open(encoding="utf-8") as file:
        for line in file:
            data = json.loads(line)
            split = data.pop("split")
            pair = Pair.model_validate(data)
            pairs.append(pair)
            splits[pair.id] = split
    labels = typed_labels(pd.read_parquet(folder / "labels.parquet"))
    return Inputs(policy, tuple(pairs), splits, labels)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
