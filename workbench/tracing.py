"""The whole story of one judgement: what was asked, what came back, how it was read, and what it took.

The messages are not kept with a run: they are rendered again from the policy, the pair and the mode, which always
gives the same (the fence is a hash of the pair). Whether they are those that were sent is checked: the key of the
verdict cache is a hash of them, and the recorded one must come out again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from workbench.errors import NotFound
from workbench.golden import Pair
from workbench.injection import Suspicion, suspicions
from workbench.jobs import job_of_run
from workbench.judge_choice import judge_name
from workbench.judges.asking import Form, ResponseMode
from workbench.policy import Policy
from workbench.prompt import Message
from workbench.prompt_mode import PromptMode
from workbench.prompt_modes import JudgeRequest, Question, questions
from workbench.run import (
    CalibratedSpec,
    CascadeSpec,
    EnsembleSpec,
    Judgement,
    JudgeSpec,
    LlmSpec,
    Run,
    Trace,
    Verdict,
)
from workbench.trace_keys import key_check
from workbench.trace_replies import read_again, replies
from workbench.verdict_lines import pair_ids, pair_verdicts
from workbench.workspace import Workspace

_MOST_NAMES = 2000  # ids of pairs among which the nearest is looked for


@dataclass(frozen=True)
class GivenRule:
    """A clause or a settled example that a question brought with it."""

    id: str
    section: str  # "general" or a dimension key
    text: str
    cited_by: tuple[str, ...]  # dimensions whose judgement cites it


@dataclass(frozen=True)
class QuestionStory:
    """One question of a pair: one call, or one part of it."""

    trace: Trace
    judge: LlmSpec
    asked: JudgeRequest
    """The question as it is asked alone; see :attr:`company`."""
    key_check: str
    """``verified`` where the messages are proved to be those of the recorded key, else why they are not."""
    rules: tuple[GivenRule, ...]
    raw: str
    read: tuple[Judgement, ...]
    """What the raw reply gives, read again; () where it gives nothing."""
    outcome: str
    """How reading it ended, as a sentence."""

    @property
    def label(self) -> str:
        """Who was asked, about what, and which draw it was."""
        who = self.trace.judge or self.judge.model
        draw = f", draw {self.trace.repeat}" if self.judge.repeats > 1 else ""
        return f"{who}: {', '.join(self.trace.dimensions)}{draw}"

    @property
    def messages(self) -> Sequence[Message]:
        """The chat messages: the policy first, the pair last."""
        return self.asked.messages

    @property
    def mode(self) -> ResponseMode:
        """How the form of the reply was enforced."""
        known: dict[str, ResponseMode] = {"json_object": "json_object", "text": "text"}
        return known.get(self.trace.response_mode, "json_schema")

    @cached_property
    def form(self) -> Form:
        """The form of the answer."""
        return Form("grades", self.asked.schema)

    @property
    def response_format(self) -> dict[str, Any] | None:
        """What the request said of the form of the answer; None where the messages alone said it."""
        return self.form.response_format(self.mode)

    @property
    def company(self) -> str:
        """What is different from what is shown, where the call was about several pairs; "" else."""
        if self.trace.together == 1:
            return ""
        return (
            f"The call was about {self.trace.together} pairs; which others is not kept. The messages are those of this "
            "pair asked alone, which is what the key is made of."
        )


@dataclass(frozen=True)
class JudgementStory:
    """All that is known of a run's answer about one pair."""

    run: Run
    policy: Policy
    pair: Pair | None
    pair_id: str
    verdict: Verdict
    history: tuple[Verdict, ...]
    """Every answer that the run has about the pair, oldest first; the last one counts."""
    questions: tuple[QuestionStory, ...]
    notes: tuple[str, ...]
    """What is missing, and why; one sentence each."""

    @cached_property
    def suspicions(self) -> tuple[Suspicion, ...]:
        """The places of the pair's texts that look as if they speak to the judge."""
        return suspicions(self.policy, self.pair) if self.pair else ()

    def other_traces(self) -> tuple[Trace, ...]:
        """Return the traces of members that were asked nothing in words."""
        told = [question.trace for question in self.questions]
        return tuple(trace for trace in self.verdict.traces if trace not in told)


def trace(workspace: Workspace, run_id: str, pair_id: str) -> JudgementStory:
    """Return the story of a run's answer about a pair; both may be given by the start of their ids.

    Raises:
        NotFound: if there is no such run, or it has no answer about such a pair.
        BadInput: if the line about the pair is damaged.
    """
    run = workspace.store.run(run_id)
    job = job_of_run(workspace, run.id)
    lines = Path(job.folder) / "judgements.jsonl" if job else None
    pair_id = _pair_id(workspace, run, lines, pair_id)
    history = pair_verdicts(lines, pair_id) if lines else []
    notes = []
    if not history:
        verdict, reason = _from_store(workspace, run, pair_id, lines)
        history = [verdict]
        notes.append(reason)
    policy = workspace.store.policy(run.policy, run.policy_version)
    if policy.content_hash != run.policy_hash:
        notes.append(f"{run.policy} v{run.policy_version} is not the text that the run was graded under.")
    pair = workspace.store.pairs([pair_id], run.golden).get(pair_id)
    if pair is None:
        notes.append("The text of the pair is not in this workspace, so its messages cannot be rendered.")
    spec = _spec(run, job.spec.payload.get("judge") if job else None)
    verdict = history[-1]
    told: tuple[QuestionStory, ...] = ()
    if pair is not None:
        told = _in_order(policy, list(_questions(run, spec, policy, pair, verdict)))
        if not told:
            notes.append(f"{run.judge.name} ({run.judge.kind}) asks nobody in words: there are no messages.")
    return JudgementStory(run, policy, pair, pair_id, verdict, tuple(history), told, tuple(notes))


def _pair_id(workspace: Workspace, run: Run, lines: Path | None, text: str) -> str:
    start = text.strip()
    for begin in dict.fromkeys((start, f"pair-{start}")):
        known = (pair_ids(lines, begin) if lines else []) or workspace.store.judged_pairs(run.id, begin)
        if begin in known:
            return begin
        if start and len(known) == 1:
            return known[0]
        if start and known:
            raise NotFound(f"Several pairs of {run.id} start with '{text}'.", "Give more of the id.")
    known = workspace.store.judged_pairs(run.id, "", _MOST_NAMES)
    raise NotFound.among("judged pair of this run", text, known or (pair_ids(lines, "") if lines else []))


def _from_store(workspace: Workspace, run: Run, pair_id: str, lines: Path | None) -> tuple[Verdict, str]:
    """Return what the store has of an answer, and the sentence that says what is missing."""
    found = workspace.store.judgements(run.id, [pair_id]).get(pair_id, {})
    replies = workspace.store.raw_replies(run.id, pair_id)
    verdict = Verdict(
        pair_id=pair_id, judgements=tuple(found.values()), raw="\n".join(dict.fromkeys(replies))
    )
    if lines is None:
        return verdict, "This run was judged elsewhere: only its grades and reasons are known here."
    return verdict, (
        "The job folder has no line about this pair any more: grades and reasons are from the store, and attempts, "
        "key, tokens and cost are lost."
    )


def _spec(run: Run, payload: Any) -> JudgeSpec | None:
    """Return the judge as it was chosen; where that is not kept, a language model from the run's record."""
    try:
        chosen: JudgeSpec = TypeAdapter(JudgeSpec).validate_python(payload)
        return chosen
    except ValidationError:
        pass
    params = run.judge.params
    if run.judge.kind not in ("llm", "repeats") or "response_mode" not in params:
        return None
    return LlmSpec(
        model=run.judge.name,
        base_url=params.get("endpoint"),
        params=params.get("params", {}),
        repeats=params.get("repeats", 1),
        mode=PromptMode.model_validate(params.get("mode", {})),
    )


def _asked_by(run: Run, spec: JudgeSpec | None, name: str) -> LlmSpec | None:
    """Return the language model behind a trace's judge ("" for the run's own); None where it is none."""
    if isinstance(spec, LlmSpec):
        return spec
    if isinstance(spec, CalibratedSpec):
        return _asked_by(run, spec.judge, name)
    members: tuple[JudgeSpec, ...] = ()
    recorded: list[Mapping[str, Any]] = []
    if isinstance(spec, EnsembleSpec):
        members = spec.members
        recorded = list(run.judge.params.get("members", ()))
    elif isinstance(spec, CascadeSpec):
        members = (spec.first, spec.second)
        recorded = [run.judge.params[place] for place in ("first", "second") if place in run.judge.params]
    called = [str(one.get("name")) for one in recorded] or [judge_name(member) for member in members]
    seen: list[str] = []
    for own, member in zip(called, members, strict=False):
        seen.append(own)
        # Two members of one name are told apart as workbench.judges.members does it.
        known = own if seen.count(own) == 1 else f"{own} ({seen.count(own)})"
        if name == known or name.startswith(f"{known}: "):
            return _asked_by(run, member, name)
    return None


def _questions(
    run: Run, spec: JudgeSpec | None, policy: Policy, pair: Pair, verdict: Verdict
) -> Iterator[QuestionStory]:
    """Yield the questions to language models behind a verdict, in the order of its traces."""
    traces = verdict.traces or tuple(_presumed(spec, policy, pair, verdict))
    for found, raw in zip(traces, replies(traces, verdict.raw), strict=True):
        judge = _asked_by(run, spec, found.judge)
        if judge is None:
            continue
        asked = questions(policy, [pair], judge.mode, repeat=found.repeat)
        question = next((one for one in asked if set(one.dimensions) == set(found.dimensions)), None)
        if question is None:
            continue  # a line of another policy, which is said of the whole
        request = JudgeRequest((question,))
        read, outcome = read_again(request, found, raw)
        alone = sum(1 for trace in traces if set(trace.dimensions) & set(found.dimensions)) == 1
        if read and alone and not found.judge and _grades(read).items() - _grades(verdict.judgements).items():
            outcome += " Read now, it gives other grades than were recorded."
        yield QuestionStory(
            found,
            judge,
            request,
            key_check(run.judge, judge, question, found),
            tuple(_rules(question, read or verdict.judgements)),
            raw,
            read,
            outcome,
        )


def _in_order(policy: Policy, told: Sequence[QuestionStory]) -> tuple[QuestionStory, ...]:
    """Return questions judge by judge, draw by draw, dimensions as in the policy: they were answered in any order."""
    judges = list(dict.fromkeys(question.trace.judge for question in told))
    return tuple(
        sorted(
            told,
            key=lambda q: (
                judges.index(q.trace.judge),
                q.trace.repeat,
                policy.keys.index(q.trace.dimensions[0]),
            ),
        )
    )


def _presumed(spec: JudgeSpec | None, policy: Policy, pair: Pair, verdict: Verdict) -> Iterator[Trace]:
    """Yield what a model was asked for a verdict without traces, which is older than they are."""
    if isinstance(spec, CalibratedSpec):
        spec = spec.judge
    if isinstance(spec, LlmSpec) and spec.repeats == 1:
        for question in questions(policy, [pair], spec.mode, repeat=spec.repeat):
            yield Trace(
                dimensions=question.dimensions, repeat=spec.repeat, from_cache=verdict.usage.from_cache
            )


def _grades(judgements: Sequence[Judgement]) -> dict[str, int]:
    return {judgement.dimension: judgement.grade for judgement in judgements}


def _rules(question: Question, judgements: Sequence[Judgement]) -> Iterator[GivenRule]:
    asked = question.sheet.policy

    def rule(rule_id: str, section: str, text: str) -> GivenRule:
        cited = tuple(j.dimension for j in judgements if rule_id in j.cites)
        return GivenRule(rule_id, section, text, cited)

    for section, clause in asked.clauses():
        yield rule(clause.id, section, clause.text)
    for dimension in asked.dimensions:
        for precedent in dimension.precedents:
            yield rule(precedent.id, dimension.key, precedent.because)
