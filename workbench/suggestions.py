"""Verbs of suggested edits: plan and start asking a model, bring its suggestions in, take or refuse each.

A suggestion belongs to one draft. It changes nothing until a person takes it, and then it is an edit like any other:
saved in the draft under the person's name, and published only with the draft.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from pydantic import ValidationError

from workbench import authoring, jobs, judge_choice
from workbench.disagreements import Disagreements, disagreements
from workbench.errors import BadInput, Conflict, NotFound, Refused, Unavailable
from workbench.files import read_text
from workbench.jobfolder import JobFolder
from workbench.judges.keys import key_in
from workbench.policy_diff import GENERAL, diff
from workbench.prices import model_price
from workbench.run import LlmSpec, Run
from workbench.run_plan import CHARACTERS_A_TOKEN, key_variable
from workbench.store import Draft, StoredJob
from workbench.store.suggestions import StoredSuggestion
from workbench.suggestion import Batch, Disagreement, Suggestion, apply, suggestion_id
from workbench.suggestion_job import OUTPUT, SuggestionInput, SuggestionOutput, read_input, write_input
from workbench.suggestion_prompt import cases_text, choose, policy_text
from workbench.workspace import Workspace, code_revision
from workbench.yamltext import describe

MOST, USUAL = 40, 12
"""Disagreements of a dimension that one request shows: at most, and by default."""
ANSWER_TOKENS = 1_500
"""Tokens of one answer, for the estimate: half of the suggestions that it may hold, at some 350 tokens each."""
ONE_KEY = frozenset({"anthropic", "cohere", "deepseek", "groq", "mistral", "openai", "openrouter", "xai"})
"""Providers that take their key from one variable, called as they are; others may find theirs elsewhere."""


@dataclass(frozen=True)
class SuggestionPlan:
    """What is known before a model is asked. Tokens are estimates."""

    found: Mapping[str, int]  # dimension -> disagreements on dev pairs
    batches: tuple[Batch, ...]  # what would be shown, one request each
    input_tokens: int
    cost_usd: float | None  # None: no price is known for this model
    key_variable: str  # environment variable of the key; "" where no key is sent
    key_set: bool
    key_needed: bool  # asking cannot work without it; else the provider may find its key elsewhere

    @property
    def calls(self) -> int:
        """Requests, one a dimension with disagreements."""
        return len(self.batches)

    @property
    def disagreements(self) -> int:
        """Disagreements that are shown, in all requests together."""
        return sum(len(batch.disagreements) for batch in self.batches)

    @property
    def missing_key(self) -> str:
        """The environment variable that has to be set first; "" where nothing is missing."""
        return self.key_variable if self.key_needed and not self.key_set else ""


def usable_runs(workspace: Workspace, policy: str) -> list[Run]:
    """Return the finished runs under a policy's versions, newest first."""
    return [run for run in workspace.store.runs(policy=policy) if run.status == "finished"]


def plan_suggestions(
    workspace: Workspace, draft: Draft, judge_run: Run, model: LlmSpec, *, most: int = USUAL
) -> SuggestionPlan:
    """Return what asking ``model`` about a run's disagreements would send. Nothing is sent.

    Args:
        judge_run: a finished run under a version of the draft's policy.
        most: disagreements of a dimension that are shown.

    Raises:
        Refused: for a run of another policy, or one that has not finished.
        BadInput: for a model that cannot be asked, or a number out of bounds.
    """
    if judge_run.policy != draft.name or judge_run.status != "finished":
        raise Refused(
            f"{judge_run.label} is no finished run of {draft.name}.", "Choose a finished run of this policy."
        )
    if not 1 <= most <= MOST:
        raise BadInput(f"{most} disagreements a dimension cannot be shown.", f"Choose 1 to {MOST}.")
    model = judge_choice.checked_llm(model)
    found = disagreements(workspace, judge_run)
    batches = _batches(workspace, draft, judge_run, found, most)
    cases = sum(len(cases_text(draft.body, batch)) for batch in batches)
    tokens = (len(batches) * len(policy_text(draft.body)) + cases) // CHARACTERS_A_TOKEN
    variable, needed = key_variable(model)
    return SuggestionPlan(
        found={key: count for key, count in found.counts.items() if count},
        batches=batches,
        input_tokens=tokens,
        cost_usd=_cost(model, tokens, len(batches)),
        key_variable=variable,
        key_set=bool(variable and key_in(variable)),
        key_needed=needed or (not model.base_url and model.model.partition("/")[0] in ONE_KEY),
    )


def start_suggestions(
    workspace: Workspace,
    draft: Draft,
    judge_run: Run,
    model: LlmSpec,
    *,
    most: int = USUAL,
    author: str,
    key: str = "",
) -> str:
    """Start asking as a job and return its id.

    Args:
        key: makes the call repeatable: the same key starts one job only (a double click).

    Raises:
        Unavailable: when the key that the model needs is not set.
        Refused: for a run that cannot be used, or one without disagreements.
        BadInput: for a model that cannot be asked, or a number out of bounds.
    """
    plan = plan_suggestions(workspace, draft, judge_run, model, most=most)
    if plan.missing_key:
        raise Unavailable(
            f"There is no key for {model.model}.",
            f"Set the environment variable {plan.missing_key} where this app runs, and start the app again.",
        )
    if not plan.batches:
        raise Refused(
            f"{judge_run.label} and the dev labels of {judge_run.golden} do not disagree anywhere.",
            "Choose another run.",
        )
    job_id = f"job-suggestion-{key}" if key else jobs.new_id("job-suggestion")
    if jobs.exists(workspace, job_id):
        return job_id
    payload = {
        "policy": draft.name,
        "draft_id": draft.id,
        "judge_run": judge_run.id,  # not run_id, by which jobs.collect knows jobs that make a run
        "golden": judge_run.golden,
        "model": judge_choice.checked_llm(model).model_dump(mode="json"),
        "code_revision": code_revision(),
    }
    title = f"Suggested edits for {draft.title or draft.name} by {model.model}"
    spec, folder = jobs.prepare(
        workspace, "suggestion", job_id=job_id, title=title, author=author, payload=payload
    )
    write_input(folder, SuggestionInput(body=draft.body, batches=plan.batches))
    jobs.submit(workspace, spec, folder)
    return job_id


def suggestion_jobs(workspace: Workspace, draft: Draft) -> list[StoredJob]:
    """Return the jobs that asked for edits of a draft, newest first."""
    return [job for job in workspace.store.jobs("suggestion") if job.spec.payload.get("draft_id") == draft.id]


def collect_suggestions(workspace: Workspace, draft: Draft) -> int:
    """Bring what this draft's jobs left into the store; return how many suggestions were new.

    May be repeated at any moment: a suggestion is known by its content, and one that was decided stays decided.

    Raises:
        BadInput: if a job's file is damaged.
    """
    left = [(job, suggestion) for job in suggestion_jobs(workspace, draft) for suggestion in _output(job)]
    if not left:
        return 0
    known = {stored.id for stored in workspace.store.suggestions(draft.name, draft.id)}
    new: dict[str, StoredSuggestion] = {}
    for job, suggestion in left:
        found = suggestion_id(draft.id, suggestion)
        if found not in known:
            new[found] = StoredSuggestion(
                id=found,
                policy=draft.name,
                draft_id=draft.id,
                job_id=job.spec.id,
                suggestion=suggestion,
                created_at=datetime.now(UTC),
            )
    return workspace.store.add_suggestions(list(new.values())) if new else 0


def evidence(workspace: Workspace, stored: StoredSuggestion) -> list[Disagreement]:
    """Return the disagreements that a suggestion rests on, as the model saw them; [] if its job's folder is gone."""
    shown = _shown_cases(workspace, stored.job_id)
    keys = [(stored.suggestion.dimension, pair_id) for pair_id in stored.suggestion.evidence]
    return [shown[key] for key in keys if key in shown]


def take(
    workspace: Workspace,
    draft: Draft,
    suggestion_id: str,
    author: str,
    *,
    text: str | None = None,
    second: str | None = None,
) -> Draft:
    """Make a suggestion's edit in the draft as it is now, and return the draft.

    Args:
        text, second: what to write instead of the suggested wording.

    Raises:
        Conflict: if it was decided before, or the part was changed since so that it no longer fits; in the second
            case it stays open.
        BadInput: for a text that a policy cannot hold.
        NotFound: if the draft or the suggestion is gone.
    """
    stored = _open(workspace, draft, suggestion_id)
    suggestion = _edited(stored.suggestion, text, second)
    current = workspace.store.draft(draft.id)
    # Saved first: should the second write fail, the suggestion stays open, and taking it again says that the draft
    # holds the edit already. The other way round, an edit that was never made would be shown as taken.
    saved = authoring.save(workspace, current, apply(current.body, suggestion), author)
    changed = "" if suggestion == stored.suggestion else "taken after editing"
    workspace.store.decide_suggestion(suggestion_id, "taken", author, changed)
    return saved


def refuse(workspace: Workspace, draft: Draft, suggestion_id: str, author: str, reason: str = "") -> None:
    """Write that a suggestion is not wanted; proposed again, it stays refused.

    Raises:
        Conflict: if it was decided before.
        NotFound: if there is none of this id.
    """
    _open(workspace, draft, suggestion_id)
    workspace.store.decide_suggestion(suggestion_id, "refused", author, " ".join(reason.split()))


def _open(workspace: Workspace, draft: Draft, suggestion_id: str) -> StoredSuggestion:
    stored = workspace.store.suggestion(suggestion_id)
    if stored.draft_id != draft.id:
        raise Conflict("This suggestion is for another draft.", "Open that draft to decide about it.")
    if stored.status != "open":
        raise Conflict(
            f"This suggestion was {stored.status} by {stored.decided_by} already.",
            "It is among the decided ones.",
        )
    return stored


def _edited(suggestion: Suggestion, text: str | None, second: str | None) -> Suggestion:
    given = {"text": text, "second": second}
    values = dict(suggestion) | {name: value.strip() for name, value in given.items() if value is not None}
    try:
        return Suggestion.model_validate(values)
    except ValidationError as error:
        raise BadInput(*describe(error, "The edited suggestion")) from error


def _cost(model: LlmSpec, input_tokens: int, calls: int) -> float | None:
    price = None if model.base_url else model_price(model.model)
    if price is None or price.input is None or price.output is None:
        return None
    return input_tokens * price.input + calls * ANSWER_TOKENS * price.output


def _batches(
    workspace: Workspace, draft: Draft, run: Run, found: Disagreements, most: int
) -> tuple[Batch, ...]:
    judged = workspace.store.policy(run.policy, run.policy_version)
    changed = [change for change in diff(judged, draft.body) if change.judged]
    batches = []
    for key, worst in found.worst.items():
        # On another scale the judge's grades and the labels say nothing about the draft's levels.
        if key not in draft.body.keys or draft.body.scale(key) != judged.scale(key):
            continue
        if chosen := choose(draft.body, worst, most):
            ids = tuple(change.id for change in changed if change.section in (key, GENERAL))
            batches.append(Batch(dimension=key, disagreements=chosen, changed=ids))
    return tuple(batches)


def _output(job: StoredJob) -> tuple[Suggestion, ...]:
    path = JobFolder(Path(job.folder)).artifacts / OUTPUT
    try:
        return _read_output(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return ()


@lru_cache(maxsize=64)
def _read_output(path: Path, _written: int) -> tuple[Suggestion, ...]:
    try:
        return SuggestionOutput.model_validate_json(read_text(path)).suggestions
    except ValidationError as error:
        raise BadInput(*describe(error, str(path))) from error


@lru_cache(maxsize=64)
def _shown_cases(workspace: Workspace, job_id: str) -> Mapping[tuple[str, str], Disagreement]:
    try:
        given = read_input(jobs.folder_of(workspace, job_id))
    except (BadInput, NotFound):
        return {}
    return {(batch.dimension, one.pair.id): one for batch in given.batches for one in batch.disagreements}
