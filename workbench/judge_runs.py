"""Verbs that make runs: start a judge as a job, keep judgements made elsewhere, find a run by what a person writes."""

from __future__ import annotations

from collections.abc import Mapping
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
from workbench.policy import Policy
from workbench.run import JudgeIdentity, JudgeSpec, Run, RunTotals
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
) -> Run:
    """Start a judge run as a job and return its record.

    Args:
        version, golden_version: the newest where None.
        key: makes the call repeatable: the same key starts one run only (a double click).

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
    lines = (
        pair.model_dump_json()[:-1] + f',"split":"{golden.splits[pair.id]}"' + "}\n" for pair in golden.pairs
    )
    write_text(folder / "pairs.jsonl", "".join(lines))
    dev = golden.labels[golden.labels["pair_id"].map(golden.splits) == "dev"]
    dev.reset_index(drop=True).to_parquet(folder / "labels.parquet")


def import_recorded(
    workspace: Workspace, scores: pd.DataFrame, *, policy: str, golden: str, author: str, source: str,
    versions: Mapping[str, int],
) -> list[tuple[Run, RecordedReport]]:  # fmt: skip
    """Keep judgements made elsewhere as finished runs, one a (judge, version).

    The same scores again change nothing; other scores make another run.

    Args:
        scores: columns judge, version, pair_id, dimension, score.
        source: where they come from, for the record.
        versions: policy version number of each recorded version; the newest where one is not named.
    """
    snapshot = workspace.store.snapshot(golden)
    known = {run.id: run for run in workspace.store.runs(policy=policy, golden=golden)}
    made = []
    for (judge, version), rows in scores.groupby(["judge", "version"], sort=True):
        number = versions.get(str(version))
        document = workspace.store.policy(policy, number)
        name = str(judge) if number is not None or not version else f"{judge} ({version})"
        verdicts, report = recorded_verdicts(_records(rows[["pair_id", "dimension", "score"]]), document)
        said = sorted(
            (v.pair_id, j.dimension, j.grade, j.expected or 0) for v in verdicts for j in v.judgements
        )
        inputs = [golden, snapshot.content_hash, document.content_hash, name, source, said]
        run_id = "run-" + content_hash("recorded", inputs).removeprefix("recorded-")[:16]
        if run_id in known:
            made.append((known[run_id], report))
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
        workspace.store.add_verdicts(run.id, verdicts)
        workspace.store.save_run(run)
        made.append((run, report))
    return made


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
