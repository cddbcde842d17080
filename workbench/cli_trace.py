"""The command that opens one judgement to its whole story."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli_output import Json, print_json
from workbench.cli_workspace import opened

if TYPE_CHECKING:  # loaded by the command
    from workbench.run import Judgement, Usage, Verdict
    from workbench.trace_call import AskedAgain
    from workbench.tracing import JudgementStory, QuestionStory

_WIDTH = 110


def judge_trace(
    run: Annotated[str, typer.Argument(help="Run id, or its start.")],
    pair: Annotated[str, typer.Argument(help="Pair id, or its start.")],
    dimension: Annotated[str | None, typer.Option(help="Only the questions about this dimension.")] = None,
    curl: Annotated[
        bool,
        typer.Option("--curl", help="Print the call as a shell command, without the key, and nothing else."),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Ask once more now, outside the cache; the run stays as it is.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show how a judgement came about: messages, reply, how it was read, attempts, cache key, tokens, cost.

    With --again: 1 when a question got no usable answer.
    """
    from workbench.errors import BadInput, NotFound
    from workbench.jobs import collect
    from workbench.trace_call import ask_again, curl_command
    from workbench.tracing import trace

    workspace = opened()
    collect(workspace)
    story = trace(workspace, run, pair)
    if dimension is not None and dimension not in story.policy.keys:
        raise NotFound.among("dimension", dimension, story.policy.keys)
    told = [question for question in story.questions if dimension in (None, *question.trace.dimensions)]
    if curl:
        if not told:
            raise BadInput(f"{story.run.label} sent nothing about this pair. {' '.join(story.notes)}".strip())
        print("\n\n".join(curl_command(story, question) for question in told))
        return
    asked = ask_again(workspace, story.run.id, story.pair_id, workspace.settings.user) if again else None
    if as_json:
        print_json(story_data(story, told) | ({"again": _again_data(asked)} if asked else {}))
    else:
        _print_story(story, told)
        if asked:
            _print_again(asked)
    if asked and not all(answer.judgements for answer in asked.answers):
        raise typer.Exit(1)


def story_data(story: JudgementStory, told: list[QuestionStory]) -> dict[str, Any]:
    """Return a story as plain data."""
    run, verdict = story.run, story.verdict
    return {
        "run": run.id,
        "judge": run.judge.model_dump(mode="json"),
        "policy": run.policy,
        "policy_version": run.policy_version,
        "policy_hash": run.policy_hash,
        "pair": story.pair_id,
        "judgements": [judgement.model_dump(mode="json") for judgement in verdict.judgements],
        "usage": verdict.usage.model_dump(mode="json"),
        "notes": list(story.notes),
        "suspicions": [found.model_dump(mode="json") for found in story.suspicions],
        "questions": [
            question.trace.model_dump(mode="json", exclude={"raw"})
            | {
                "model": question.judge.model,
                "params": question.judge.params,
                "messages": list(question.messages),
                "response_format": question.response_format,
                "company": question.company,
                "key_check": question.key_check,
                "rules": [
                    {"id": rule.id, "section": rule.section, "text": rule.text, "cited_by": rule.cited_by}
                    for rule in question.rules
                ],
                "raw": question.raw,
                "outcome": question.outcome,
                "read": [judgement.model_dump(mode="json") for judgement in question.read],
            }
            for question in told
        ],
        "others": [other.model_dump(mode="json") for other in story.other_traces()],
        "history": [earlier.model_dump(mode="json") for earlier in story.history[:-1]],
    }


def _again_data(asked: AskedAgain) -> dict[str, Any]:
    return {
        "usage": asked.usage.model_dump(mode="json"),
        "answers": [
            {
                "question": answer.question.label,
                "outcome": answer.outcome,
                "judgements": [judgement.model_dump(mode="json") for judgement in answer.judgements],
                "raw": answer.raw,
                "attempts": [attempt.model_dump(mode="json") for attempt in answer.attempts],
            }
            for answer in asked.answers
        ],
    }


def _print_story(story: JudgementStory, told: list[QuestionStory]) -> None:
    run = story.run
    _say(f"{run.label}, {run.id}, {run.status}")
    _say(f"pair {story.pair_id} of {run.golden} v{run.golden_version}")
    for note in story.notes:
        _say(f"Note: {note}")
    for found in story.suspicions:
        _say(f"Looks as if it speaks to the judge ({found.kind}, in {found.field}): {found.excerpt}")
    _title("Judgements")
    for judgement in story.verdict.judgements:
        _say(judgement_line(judgement))
    for question in told:
        _print_question(question)
    for other in story.other_traces():
        _title(f"{other.judge or run.judge.name}: {', '.join(other.dimensions)}")
        _say("It was asked nothing in words.")
    _title("Took")
    _say(usage_line(story.verdict.usage))
    if len(story.history) > 1:
        _title(f"Earlier answers of this run ({len(story.history) - 1})")
        for earlier in story.history[:-1]:
            _say(history_line(earlier))


def _print_question(question: QuestionStory) -> None:
    found = question.trace
    _title(question.label)
    if question.company:
        _say(f"Note: {question.company}")
    for message in question.messages:
        _title(f"{message['role']} message", "-")
        _say(message["content"], keep=True)
    _title("Rules given", "-")
    for rule in question.rules:
        _say(
            f"[{rule.id}] {rule.text}"
            + (f"  <- cited for {', '.join(rule.cited_by)}" if rule.cited_by else "")
        )
    _title("Reply", "-")
    _say(question.raw or "(none)", keep=True)
    _say(question.outcome)
    for judgement in question.read:
        _say(judgement_line(judgement))
    _title("Attempts", "-")
    if found.from_cache:
        _say("From the verdict cache; these are the attempts of the run that paid for it.")
    for attempt in found.attempts:
        _say(f"{attempt.at:%Y-%m-%d %H:%M:%S} UTC  {attempt.seconds:.3f} s  {attempt.outcome or 'answered'}")
    if not found.attempts:
        _say("None were recorded.")
    _title("Facts", "-")
    judge = question.judge
    _say(f"model            {judge.model}" + (f" at {judge.base_url}" if judge.base_url else ""))
    _say(f"parameters       {', '.join(f'{k} {v}' for k, v in judge.params.items()) or 'none'}")
    _say(f"mode             {judge.mode.words() or 'all dimensions in one call'}, draw {found.repeat}")
    _say(f"response format  {question.mode}")
    _say(f"cache key        {found.key or '–'}")
    _say(f"messages         {question.key_check}")


def judgement_line(judgement: Judgement) -> str:
    """Return a judgement on one line."""
    if judgement.failed:
        return f"{judgement.dimension}: failed: {judgement.error}"
    grade = "N/A" if judgement.not_applicable else str(judgement.grade)
    expected = f" (expected {judgement.expected:.2f})" if judgement.expected is not None else ""
    cites = f" [{', '.join(judgement.cites)}]" if judgement.cites else ""
    return f"{judgement.dimension}: {grade}{expected}{cites} {judgement.rationale}".rstrip()


def usage_line(usage: Usage) -> str:
    """Return what an answer took on one line; an unknown cost is said."""
    if usage.from_cache:
        return "nothing: the answer was in the verdict cache"
    cost = "unknown" if usage.cost_usd is None else f"${usage.cost_usd:.6f}"
    return (
        f"{usage.calls} calls, {usage.input_tokens:,} tokens sent ({usage.cached_input_tokens:,} from the provider's "
        f"cache), {usage.output_tokens:,} answered, cost {cost}, {usage.latency_ms / 1000:.3f} s"
    )


def history_line(verdict: Verdict) -> str:
    """Return an earlier answer on one line."""
    return "; ".join(judgement_line(judgement) for judgement in verdict.judgements)


def _print_again(asked: AskedAgain) -> None:
    _title("Asked again now")
    for answer in asked.answers:
        _say(f"{answer.question.label}: {answer.outcome}")
    for label, dimension, before, now in asked.beside():
        _say(f"{label} · {dimension}")
        _say(f"  then  {judgement_line(before) if before else '–'}")
        _say(f"  now   {judgement_line(now) if now else '–'}")
    _say(usage_line(asked.usage))


def _title(text: str, line: str = "=") -> None:
    print(f"\n{text}\n{line * min(len(text), _WIDTH)}")


def _say(text: str, *, keep: bool = False) -> None:
    """Print a text wrapped, its own line breaks kept; ``keep`` also keeps its indents."""
    for part in text.split("\n"):
        indent = part[: len(part) - len(part.lstrip())] if keep else "  "
        print(
            textwrap.fill(
                part, _WIDTH, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
            )
        )
