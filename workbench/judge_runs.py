"""Verbs that make runs: start a judge as a job, keep judgements made elsewhere, find a run by what a person writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from workbench.documents import policy_text
from workbench.errors import NotFound, Refused
from workbench.files import write_text
from workbench.golden import GoldenSet
from workbench.identity import content_hash
from workbench.jobs import exists, new_id, prepare, submit
from workbench.judge_choice import filled, preliminary_identity
from workbench.judges.recorded import RecordedReport, recorded_verdicts
from workbench.pair_file import write_pairs
from workbench.policy import Policy
from workbench.ray_judging import shared
from workbench.run import JudgeIdentity, Judgement, JudgeSpec, Run, RunTotals, Verdict
from workbench.workspace import Workspace, code_revision


def start_run(
    workspace: Workspace,
    judge: JudgeSpec,
    *,
    policy: str,
    version: int | None = None,
    golden: str,
    golden_version: int | None = None,
    author: str,
    key: str = "",
    sample: bool = False,
    ray: int = 0,
) -> Run:
    """Start a judge run as a job and return its record.

    Args:
        version, golden_version: the newest where None.
        key: makes the call repeatable: the same key starts one run only (a double click).
        ray: actors of the Ray cluster of the machine where the job runs, which share the pairs; 0: none.

    Raises:
        NotFound: for a policy, golden set or checkpoint that does not exist.
        Refused: for a golden set of another policy.
        BadInput: for a judge that cannot be run.
    """
    document = workspace.store.policy(policy, version)
    snapshot = workspace.store.snapshot(golden, golden_version)
    if snapshot.policy != policy:
        raise Refused(
            f"Golden set '{golden}' is labelled under policy '{snapshot.policy}', not '{policy}'.",
            "Choose a golden set of this policy.",
        )
    judge = filled(workspace, judge)
    if ray:
        shared(judge, ray)  # said before anything starts
    run_id = f"run-{key}" if key else new_id("run")
    if key and exists(workspace, f"job-{run_id}"):
        return workspace.store.run(run_id)
    run = Run(
        id=run_id,
        judge=preliminary_identity(judge),
        policy=policy,
        policy_version=document.version,
        policy_hash=document.content_hash,
        golden=golden,
        golden_version=snapshot.version,
        golden_hash=snapshot.content_hash,
        status="queued",
        author=author,
        created_at=datetime.now(UTC),
        code_revision=code_revision(),
        sample=sample,
    )
    payload = {
        "run_id": run_id,
        "judge": judge.model_dump(mode="json"),
        "cache": str(workspace.cache_folder),
        "code_revision": code_revision(),
        "ray": ray,
    }
    spec, folder = prepare(
        workspace, "judge_run", job_id=f"job-{run_id}", title=run.label, author=author, payload=payload
    )
    write_inputs(folder.path, document, snapshot)
    workspace.store.save_run(run)
    submit(workspace, spec, folder)
    return run


def write_inputs(folder: Any, policy: Policy, golden: GoldenSet) -> None:
    """Write what a worker needs: the policy, the pairs with their split, and the labels of the dev split only."""
    write_text(folder / "policy.yaml", policy_text(policy))
    write_pairs(folder / "pairs.jsonl", golden.pairs, golden.splits)
    dev = golden.labels[golden.labels["pair_id"].map(golden.splits) == "dev"]
    dev.reset_index(drop=True).to_parquet(folder / "labels.parquet")


@dataclass(frozen=True)
class RecordedRun:
    """A run of judgements made elsewhere, before it is kept.

    Attributes:
        known: it is kept already, as ``run`` says.
    """

    run: Run
    verdicts: tuple[Verdict, ...]
    report: RecordedReport
    known: bool


def import_recorded(
    workspace: Workspace, scores: pd.DataFrame, *, policy: str, golden: str, author: str, source: str,
    versions: Mapping[str, int], policy_version: int | None = None,
) -> list[tuple[Run, RecordedReport]]:  # fmt: skip
    """Keep judgements made elsewhere as finished runs, one a (judge, version).

    The same scores again change nothing; other scores, or other rationales, make another run. For the arguments see
    :func:`plan_recorded`.
    """
    snapshot = workspace.store.snapshot(golden)
    planned = plan_recorded(
        workspace, scores, policy=policy, snapshot=snapshot, author=author, source=source, versions=versions,
        policy_version=policy_version,
    )  # fmt: skip
    keep_recorded(workspace, planned)
    return [(found.run, found.report) for found in planned]


def keep_recorded(workspace: Workspace, planned: Sequence[RecordedRun]) -> None:
    """Keep runs of judgements made elsewhere that are not kept yet."""
    for found in planned:
        if not found.known:
            workspace.store.add_verdicts(found.run.id, found.verdicts)
            workspace.store.save_run(found.run)  # last: a run that is seen has all its judgements


def plan_recorded(
    workspace: Workspace, scores: pd.DataFrame, *, policy: str, snapshot: GoldenSet, author: str, source: str,
    versions: Mapping[str, int], policy_version: int | None = None,
) -> list[RecordedRun]:  # fmt: skip
    """Return the runs that judgements made elsewhere would be; nothing is kept.

    Args:
        scores: columns judge, version, pair_id, dimension, score, and perhaps rationale and judgement (the whole
            :class:`~workbench.run.Judgement` behind a score, or None).
        source: where they come from, for the record.
        versions: policy version number of each recorded version.
        policy_version: that of the others; the newest where None.
    """
    golden = snapshot.name
    known = {run.id: run for run in workspace.store.runs(policy=policy, golden=golden)}
    columns = [name for name in ("pair_id", "dimension", "score", "rationale") if name in scores]
    found = []
    for (judge, version), rows in scores.groupby(["judge", "version"], sort=True):
        number = versions.get(str(version))
        document = workspace.store.policy(policy, policy_version if number is None else number)
        name = str(judge) if number is not None or not version else f"{judge} ({version})"
        verdicts, report = recorded_verdicts(_records(rows[columns]), document)
        if "judgement" in rows:
            verdicts = _with_judgements(verdicts, rows, document)
        said = sorted(
            (v.pair_id, j.dimension, j.grade, j.expected or 0) for v in verdicts for j in v.judgements
        )
        inputs = [golden, snapshot.content_hash, document.content_hash, name, source, said]
        # Only where there is more than grades: runs that were imported before have the id of their grades.
        if more := sorted(more for v in verdicts for j in v.judgements if (more := _beyond_grades(v, j))):
            inputs.append(more)
        run_id = "run-" + content_hash("recorded", inputs).removeprefix("recorded-")[:16]
        if run_id in known:
            found.append(RecordedRun(known[run_id], verdicts, report, known=True))
            continue
        moment = datetime.now(UTC)
        run = Run(
            id=run_id,
            judge=JudgeIdentity(
                kind="recorded", name=name, params={"source": source, "version": str(version)}
            ),
            policy=policy,
            policy_version=document.version,
            policy_hash=document.content_hash,
            golden=golden,
            golden_version=snapshot.version,
            golden_hash=snapshot.content_hash,
            status="finished",
            author=author,
            created_at=moment,
            finished_at=moment,
            totals=RunTotals(
                pairs=len(verdicts),
                judgements=sum(len(verdict.judgements) for verdict in verdicts),
                failed=sum(judgement.failed for verdict in verdicts for judgement in verdict.judgements),
            ),
        )
        found.append(RecordedRun(run, verdicts, report, known=False))
    return found


def _with_judgements(
    verdicts: tuple[Verdict, ...], rows: pd.DataFrame, policy: Policy
) -> tuple[Verdict, ...]:
    """Return verdicts with the whole judgements (citations, probabilities, errors) behind scores that fit the scale."""
    whole = {
        (pair_id, judgement.dimension): judgement
        for pair_id, judgement in zip(rows["pair_id"], rows["judgement"], strict=True)
        if judgement is not None
    }

    def fitted(pair_id: str, read: Judgement) -> Judgement:
        own = whole.get((pair_id, read.dimension))
        if own is None or own.grade != read.grade:
            return read
        levels = len(policy.scale(read.dimension))
        fits = own.probabilities is None or len(own.probabilities) == levels
        error = (own.error or read.error) if own.failed else ""
        update = {"probabilities": own.probabilities if fits else None, "error": error}
        copied: Judgement = own.model_copy(update=update)
        return copied

    return tuple(
        verdict.model_copy(
            update={"judgements": tuple(fitted(verdict.pair_id, j) for j in verdict.judgements)}
        )
        for verdict in verdicts
    )


def _beyond_grades(verdict: Verdict, judgement: Judgement) -> list[Any]:
    """Return what a judgement says beside its grade, for the identity of a run; nothing where it says no more."""
    more = [judgement.rationale, list(judgement.cites), list(judgement.probabilities or ())]
    return [verdict.pair_id, judgement.dimension, *more] if any(more) else []


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]


def find_run(workspace: Workspace, text: str) -> Run:
    """Return a run by id (or the start of one), or the newest finished one of ``policy@version[/judge]``.

    Raises:
        NotFound: if nothing answers.
    """
    if "@" not in text:
        return workspace.store.run(text)
    policy, _, rest = text.partition("@")
    version, _, judge = rest.partition("/")
    number = version.removeprefix("v")
    for run in workspace.store.runs(policy=policy):
        if run.status == "finished" and str(run.policy_version) == number and judge in ("", run.judge.name):
            return run
    raise NotFound(
        f"There is no finished run for '{text}'.",
        "Write policy@version or policy@version/judge; `workbench judge list` shows what there is.",
    )
