"""Verbs of trials: grade a few dev pairs with a draft by any judge, beside the version the draft began with.

A trial is a job of its own kind. The draft becomes a policy in memory and in the job's folder, never in the store, and
what it graded stays in that folder. Which pairs may be taken is :mod:`workbench.trial_pairs`, what it would cost
:mod:`workbench.trial_plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from workbench.documents import policy_text
from workbench.errors import BadInput, NotFound, Refused
from workbench.evaluation import truth
from workbench.files import write_text
from workbench.golden import NOT_GRADED, GoldenSet, Pair, Split, label_table
from workbench.grading import read_pairs, read_policy
from workbench.jobfolder import JobFolder
from workbench.jobs import exists, new_id, prepare, state, submit
from workbench.judge_choice import checked_llm, preliminary_identity
from workbench.judge_runs import write_inputs
from workbench.overall import overall_grades
from workbench.policy import OVERALL, Body, Policy
from workbench.run import (
    BaselineSpec,
    CheckpointSpec,
    JobState,
    Judgement,
    JudgeSpec,
    LlmSpec,
    Usage,
    Verdict,
)
from workbench.store import Draft, StoredJob
from workbench.trial_job import PUBLISHED, TrialSpec, published_side
from workbench.trial_pairs import checked_pairs, published_sets, shown_in_prompt
from workbench.workspace import Workspace, code_revision

Grades = npt.NDArray[np.int_]
Side = Literal["published", "draft"]


@dataclass(frozen=True, eq=False)
class Trial:
    """One trial: its state, and for each pair and dimension the labels and what has been graded so far."""

    job: StoredJob
    state: JobState
    spec: TrialSpec
    draft: Policy  # as it was tried
    published: Policy | None
    pairs: tuple[Pair, ...]
    human: dict[
        str, Grades
    ]  # dimension or "overall" -> settled labels, shape (pairs,); NOT_GRADED without one
    overall_derived: bool  # nobody labelled the overall grade; it follows from the settled dimensions
    verdicts: dict[Side, dict[str, Verdict]]  # pair id -> the newest answer
    in_prompt: frozenset[str]  # pairs that a precedent of either side shows with its grade

    @property
    def ended(self) -> bool:
        """Whether nothing more will come by itself."""
        return self.state.status not in ("queued", "running")

    @property
    def keys(self) -> tuple[str, ...]:
        """The draft's dimensions, then those that only the published version has."""
        gone = self.published.keys if self.published else ()
        return tuple(dict.fromkeys((*self.draft.keys, *gone)))

    def policy(self, side: Side) -> Policy | None:
        """Return what a side was graded under."""
        return self.draft if side == "draft" else self.published

    def judgement(self, side: Side, pair_id: str, key: str) -> Judgement | None:
        """Return one judgement; None where there is none yet, or the side does not have the dimension."""
        verdict = self.verdicts[side].get(pair_id)
        return next((j for j in verdict.judgements if j.dimension == key), None) if verdict else None

    def grades(self, side: Side) -> dict[str, Grades]:
        """Return a side's grades on its dimensions and overall, shape (pairs,); {} without a published version."""
        return self._grades[side]

    @cached_property
    def _grades(self) -> dict[Side, dict[str, Grades]]:
        return {"published": self._of("published"), "draft": self._of("draft")}

    def _of(self, side: Side) -> dict[str, Grades]:
        policy = self.policy(side)
        if policy is None:
            return {}
        found = {}
        for key in policy.keys:
            judgements = (self.judgement(side, pair.id, key) for pair in self.pairs)
            found[key] = np.array([j.grade if j else NOT_GRADED for j in judgements], dtype=np.int_)
        found[OVERALL] = overall_grades(policy, found)
        return found

    def usage(self) -> Usage:
        """Return what both sides took together; the cost is None where one of its calls has an unknown one."""
        each = [verdict.usage for side in self.verdicts.values() for verdict in side.values()]
        costs = [usage.cost_usd for usage in each]
        return Usage(
            calls=sum(usage.calls for usage in each),
            input_tokens=sum(usage.input_tokens for usage in each),
            output_tokens=sum(usage.output_tokens for usage in each),
            cost_usd=None if None in costs else sum(cost for cost in costs if cost is not None),
        )

    def is_of(self, body: Body) -> bool:
        """Whether the draft still says what was tried."""
        return self.draft.body() == body


def start_trial(
    workspace: Workspace,
    draft: Draft,
    judge: JudgeSpec,
    pairs: Sequence[Pair],
    author: str,
    key: str = "",
    *,
    golden: str = "",
) -> str:
    """Start a trial as a job and return the job's id.

    Args:
        key: makes the call repeatable: the same key starts one trial only (a double click).
        golden: the published golden set whose labels are shown and, for the baseline, learnt from; the policy's
            first one by default. The baseline grades each pair by a model that saw no label of its query.

    Raises:
        NotFound: for a golden set or checkpoint that does not exist.
        Refused: for a pair of the holdout, or a golden set of another policy.
        BadInput: for a judge that cannot be run, or pairs that cannot be graded.
    """
    job_id = f"trial-{key}" if key else new_id("trial")
    if key and exists(workspace, job_id):
        return job_id
    pairs = checked_pairs(workspace, draft.name, draft.body.pair, pairs)
    judge = _ready(workspace, judge)
    golden = golden or next(iter(published_sets(workspace, draft.name)), "")
    if golden:
        info = workspace.store.golden(golden)
        info.check_policy(draft.name)
        if not info.snapshots:
            raise Refused(
                f"Golden set '{golden}' is not published yet.", "Publish it on the Golden set page."
            )
    inputs = _inputs(workspace, draft, judge, pairs, golden)
    given = TrialSpec(
        draft=draft.id,
        draft_revision=draft.revision,
        policy=draft.name,
        base_version=draft.base_version,
        judge=judge,
        golden=golden,
        pairs=tuple(pair.id for pair in pairs),
        cache=str(workspace.cache_folder),
        code_revision=code_revision(),
    )
    what = f"{len(pairs)} pairs" if len(pairs) > 1 else "1 pair"
    spec, folder = prepare(
        workspace,
        "trial",
        job_id=job_id,
        title=f"{draft.title or f'Draft of {draft.name}'} on {what} · {preliminary_identity(judge).name}",
        author=author,
        payload=given.model_dump(mode="json"),
    )
    write_inputs(folder.path, as_policy(draft), inputs)
    if draft.base_version:
        published = workspace.store.policy(draft.name, draft.base_version)
        (folder.path / PUBLISHED).mkdir(exist_ok=True)
        write_text(folder.path / PUBLISHED / "policy.yaml", policy_text(published))
    submit(workspace, spec, folder)
    return job_id


def as_policy(draft: Draft) -> Policy:
    """Return a draft as a document that a judge can grade by: the next version, which nobody has published."""
    return Policy.publish(
        draft.body,
        policy=draft.name,
        version=draft.base_version + 1,
        parent=draft.base_version or None,
        message="draft",
        author=draft.updated_by,
    )


def trial(workspace: Workspace, job_id: str) -> Trial:
    """Return a trial as far as it has come, with today's labels of the golden dev pairs in it.

    Raises:
        NotFound: if there is no such trial.
        BadInput: if its folder is damaged.
    """
    job = workspace.store.job(job_id)
    if job.spec.kind != "trial":
        raise NotFound(f"Job {job_id} is no trial of a draft.", "Open it on the page of its kind.")
    folder = JobFolder(Path(job.folder))
    given = TrialSpec.model_validate(job.spec.payload)
    written = tuple(
        _size(side.path / "judgements.jsonl") for side in (folder, published_side(folder)) if side
    )
    labels = (0, "")
    if given.golden:
        labels = (
            workspace.store.labels_mark(given.golden),
            workspace.store.policy(given.policy).content_hash,
        )
    return _trial(workspace, job_id, state(workspace, job), written, labels)


@lru_cache(maxsize=16)
def _trial(
    workspace: Workspace, job_id: str, now: JobState, written: tuple[int, ...], labels: tuple[int, str]
) -> Trial:
    """Read a trial; ``written`` and ``labels`` say when there is more to read."""
    job = workspace.store.job(job_id)
    given = TrialSpec.model_validate(job.spec.payload)
    folder = JobFolder(Path(job.folder))
    draft, published, pairs = _given(folder.path, given.pairs)
    keys = (*draft.keys, *(published.keys if published else ()))
    human, derived = _labels(workspace, given.golden, keys, pairs)
    in_prompt = shown_in_prompt(draft, pairs) | (
        shown_in_prompt(published, pairs) if published else frozenset()
    )
    return Trial(
        job=job,
        state=now,
        spec=given,
        draft=draft,
        published=published,
        pairs=pairs,
        human=human,
        overall_derived=derived,
        verdicts={"draft": _verdicts(folder), "published": _verdicts(published_side(folder))},
        in_prompt=in_prompt,
    )


@lru_cache(maxsize=16)
def _given(folder: Path, ids: tuple[str, ...]) -> tuple[Policy, Policy | None, tuple[Pair, ...]]:
    """Return what a trial was given, which never changes: both policies and its pairs."""
    other = published_side(JobFolder(folder))
    published = read_policy(other.path) if other else None
    found: dict[str, Pair] = {}
    for pair, _ in read_pairs(folder):  # its own come first; what the baseline learns from is not read
        found[pair.id] = pair
        if len(found) == len(ids):
            break
    return read_policy(folder), published, tuple(found[pair_id] for pair_id in ids)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def trials_of(workspace: Workspace, draft: Draft) -> list[StoredJob]:
    """Return the trials of a draft, newest first."""
    return [job for job in workspace.store.jobs("trial") if job.spec.payload["draft"] == draft.id]


def _ready(workspace: Workspace, judge: JudgeSpec) -> JudgeSpec:
    if isinstance(judge, LlmSpec):
        return checked_llm(judge)
    if isinstance(judge, CheckpointSpec):
        checkpoint = workspace.store.checkpoint(judge.checkpoint)
        return judge.model_copy(update={"checkpoint": checkpoint.id, "folder": checkpoint.folder})
    if isinstance(judge, BaselineSpec):
        return judge
    raise BadInput("A recorded judge cannot grade anew.", "Choose a model, the baseline or a checkpoint.")


def _inputs(
    workspace: Workspace, draft: Draft, judge: JudgeSpec, pairs: Sequence[Pair], golden: str
) -> GoldenSet:
    """Return what the worker gets: the pairs of the trial, and for the baseline the labelled dev pairs it learns from."""
    splits: dict[str, Split] = {pair.id: "dev" for pair in pairs}
    labels = label_table([])
    given = list(pairs)
    if isinstance(judge, BaselineSpec):
        if not golden:
            raise BadInput(
                f"The baseline learns from dev labels, and {draft.name} has no published golden set.",
                "Publish one on the Golden set page, or choose another judge.",
            )
        snapshot = workspace.store.snapshot(golden)
        dev = [pair for pair in snapshot.pairs if snapshot.splits[pair.id] == "dev"]
        given += [pair for pair in dev if pair.id not in splits]
        splits |= {pair.id: "dev" for pair in dev}
        labels = snapshot.labels
    return GoldenSet(golden or draft.name, 1, draft.name, tuple(given), splits, labels)


def _labels(
    workspace: Workspace, golden: str, keys: Sequence[str], pairs: Sequence[Pair]
) -> tuple[dict[str, Grades], bool]:
    """Return the settled labels of ``pairs`` on ``keys`` and overall, and whether the overall ones are derived."""
    found = {key: np.full(len(pairs), NOT_GRADED) for key in (*keys, OVERALL)}
    if not golden:
        return found, True
    dev = truth(workspace, golden)
    place = {pair.id: i for i, pair in enumerate(pairs)}
    hits = [(place[pair_id], i) for i, pair_id in enumerate(dev.pair_ids) if pair_id in place]
    mine, theirs = [i for i, _ in hits], [i for _, i in hits]
    for key in set(found) & set(dev.human):
        found[key][mine] = dev.human[key][theirs]
    return found, dev.overall_derived


def _verdicts(folder: JobFolder | None) -> dict[str, Verdict]:
    return {verdict.pair_id: verdict for verdict in folder.verdicts()} if folder else {}
