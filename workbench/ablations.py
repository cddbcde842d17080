"""Verbs of ablation: what asking again with each edit alone would take, starting it, what it showed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from workbench.ablation import Edit, NotAlone, single_edits
from workbench.ablation_job import AblatedEdit, AblationSpec
from workbench.comparing import RunComparison
from workbench.documents import policy_text
from workbench.errors import Refused
from workbench.files import write_text
from workbench.flip_table import Ablated, all_flips
from workbench.flips import name_of, read_in
from workbench.jobfolder import JobFolder
from workbench.jobs import exists, job_of_run, new_id, prepare, state, submit
from workbench.judge_choice import checked_llm
from workbench.judge_runs import write_inputs
from workbench.policy import OVERALL, Policy
from workbench.prompt_costs import answer_tokens
from workbench.run import JobState, LlmSpec
from workbench.run_plan import calls_left
from workbench.store import StoredJob
from workbench.trial_plan import calls_cost
from workbench.workspace import Workspace, code_revision
from workbench.yamltext import validate


@dataclass(frozen=True)
class AblationPlan:
    """What an ablation would ask. Calls and cost are of what is left to ask; None is an unknown cost."""

    edits: tuple[tuple[Edit, tuple[str, ...]], ...]  # each with the pairs to grade
    not_alone: tuple[NotAlone, ...]
    calls: int
    known: int
    input_tokens: int
    cost_usd: float | None
    cost_unknown: str = ""

    @property
    def pairs(self) -> int:
        """Answers to get, a pair under an edit each."""
        return sum(len(pairs) for _, pairs in self.edits)


def plan_ablation(workspace: Workspace, found: RunComparison) -> AblationPlan:
    """Return what an ablation of a comparison would ask: under each edit, the pairs that flipped where it is read.

    Raises:
        Refused: where it cannot be done: another judge, recorded answers, a holdout, the same policy.
    """
    judge = _judge(workspace, found)
    edits, refused = single_edits(found.policy_a.body(), found.policy_b.body())
    flips = [flip for flip in all_flips(workspace, found) if flip.dimension != OVERALL]
    wanted = []
    for edit in edits:
        names = {name_of(change) for change in edit.changes}
        pairs = dict.fromkeys(
            flip.pair_id
            for flip in flips
            if any(name_of(change) in names for change in read_in(found.changes, flip.dimension))
        )
        if pairs:
            wanted.append((edit, tuple(pairs)))
    ids = list(dict.fromkeys(pair_id for _, pairs in wanted for pair_id in pairs))
    texts = workspace.store.pairs(ids, found.truth.golden)
    left = [
        calls_left(workspace.cache_folder, judge, edit.body, [texts[i] for i in pairs])
        for edit, pairs in wanted
    ]
    calls, sent = sum(one.calls for one in left), sum(one.input_tokens for one in left)
    store, body = workspace.store, found.policy_b.body()
    answer = answer_tokens(store, body, store.runs(), judge.model, judge.base_url or "")
    answered = round(sum(one.answers for one in left) * answer.tokens)
    longest = max((one.longest for one in left), default=0)
    usd, unknown = calls_cost(judge, calls, sent, answered, longest)
    return AblationPlan(tuple(wanted), refused, calls, sum(one.known for one in left), sent, usd, unknown)


def start_ablation(workspace: Workspace, found: RunComparison, author: str, key: str = "") -> str:
    """Start an ablation as a job and return the job's id.

    Args:
        key: makes the call repeatable: the same key starts one ablation only (a double click).

    Raises:
        Refused: as :func:`plan_ablation`, and where nothing flipped that an edit could have moved.
    """
    job_id = f"ablation-{key}" if key else new_id("ablation")
    if key and exists(workspace, job_id):
        return job_id
    judge = _judge(workspace, found)
    plan = plan_ablation(workspace, found)
    if not plan.edits:
        raise Refused(
            "No pair flipped where the policy changed by parts that can be tried alone.",
            "There is nothing to ask.",
        )
    edits = tuple(
        AblatedEdit(folder=f"edit{i}", changes=tuple(map(name_of, edit.changes)), pairs=pairs)
        for i, (edit, pairs) in enumerate(plan.edits)
    )
    given = AblationSpec(
        a=found.a.id,
        b=found.b.id,
        golden=found.truth.golden,
        judge=judge,
        edits=edits,
        cache=str(workspace.cache_folder),
        code_revision=code_revision(),
    )
    spec, folder = prepare(
        workspace,
        "ablation",
        job_id=job_id,
        title=f"Ablation of {found.policy_a.label} to v{found.policy_b.version} · {found.b.judge.name}",
        author=author,
        payload=given.model_dump(mode="json"),
    )
    snapshot = workspace.store.snapshot(
        found.truth.golden, max(found.a.golden_version, found.b.golden_version)
    )
    write_inputs(folder.path, found.policy_a, snapshot)
    for named, (edit, _) in zip(edits, plan.edits, strict=True):
        (folder.path / named.folder).mkdir(exist_ok=True)
        write_text(folder.path / named.folder / "policy.yaml", policy_text(_as_policy(found, edit)))
    submit(workspace, spec, folder)
    return job_id


def ablation_state(workspace: Workspace, found: RunComparison) -> tuple[StoredJob, JobState] | None:
    """Return the newest ablation of these two runs and how it stands; None where there is none."""
    for job in workspace.store.jobs():
        if job.spec.kind == "ablation" and (job.spec.payload["a"], job.spec.payload["b"]) == (
            found.a.id,
            found.b.id,
        ):
            return job, state(workspace, job)
    return None


def ablated(workspace: Workspace, found: RunComparison) -> Ablated:
    """Return, for each flip that was tried, which changes flip it alone: the judge then gives the grade of B.

    A failed answer says nothing, and is left out.
    """
    newest = ablation_state(workspace, found)
    if newest is None:
        return {}
    folder = JobFolder(Path(newest[0].folder))
    given = validate(AblationSpec, newest[0].spec.payload, "the ablation")
    written = tuple(_size(folder.path / edit.folder / "judgements.jsonl") for edit in given.edits)
    answers = _answers(folder.path, given.model_dump_json(), written)
    position = {pair_id: i for i, pair_id in enumerate(found.truth.pair_ids)}
    tried: dict[tuple[str, str], dict[str, bool]] = {}
    for (pair_id, dimension, change), grade in answers.items():
        if pair_id in position and dimension in found.grades_b:
            flipped = grade == int(found.grades_b[dimension][position[pair_id]])
            tried.setdefault((pair_id, dimension), {})[change] = flipped
    return tried


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@lru_cache(maxsize=4)
def _answers(path: Path, given_json: str, written: tuple[int, ...]) -> dict[tuple[str, str, str], int]:
    """Return (pair id, dimension, change) -> grade; ``written`` says when there is more to read."""
    given = AblationSpec.model_validate_json(given_json)
    found = {}
    for edit in given.edits:
        for verdict in JobFolder(path / edit.folder).verdicts():
            for judgement in verdict.judgements:
                if not judgement.failed:
                    for change in edit.changes:
                        found[verdict.pair_id, judgement.dimension, change] = judgement.grade
    return found


def _as_policy(found: RunComparison, edit: Edit) -> Policy:
    return Policy.publish(
        edit.body,
        policy=found.policy_a.name,
        version=found.policy_b.version,
        parent=found.policy_a.version,
        message=f"only {edit.name}",
        author="",
    )


def _judge(workspace: Workspace, found: RunComparison) -> LlmSpec:
    """Return the judge of run B as it was asked.

    Raises:
        Refused: where an ablation of these runs cannot be done.
    """
    if found.policy_a.content_hash == found.policy_b.content_hash:
        raise Refused("A and B were graded under the same policy.", "There is no edit to take apart.")
    if found.truth.split != "dev":
        raise Refused(
            "Policies in between were never published, and none such is run on a holdout.",
            "Look at the dev pairs.",
        )
    job = job_of_run(workspace, found.b.id)
    if job is None or found.b.judge.kind != "llm":
        raise Refused(
            f"{found.b.label} is no run of a language model that was asked from here.",
            "Only such a judge can be asked again.",
        )
    if found.a.judge.hash != found.b.judge.hash:
        raise Refused(
            "A and B were graded by different judges.", "An ablation needs one judge under both policies."
        )
    judge = checked_llm(validate(LlmSpec, job.spec.payload["judge"], "the judge of the run"))
    return judge.model_copy(update={"delivery": "calls"})
