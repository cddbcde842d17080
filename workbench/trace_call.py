"""A traced question asked once more: as a command that anybody can run, or from here, outside the verdict cache."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass

from workbench.errors import BadInput, WorkbenchError
from workbench.judges.asking import Asker, Bill, kept
from workbench.judges.provider import OPENAI_URL, Provider, RequestFailed
from workbench.level_probabilities import NoProbabilities, with_probabilities
from workbench.policy import Policy
from workbench.prompt import ReplyError
from workbench.prompt_modes import read
from workbench.run import Attempt, Judgement, LlmSpec, Usage
from workbench.tracing import JudgementStory, QuestionStory, trace
from workbench.workspace import Workspace

LONGEST_WAIT_S = 60.0
_AT_ONCE = 8
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def curl_command(story: JudgementStory, question: QuestionStory) -> str:
    """Return a POSIX shell command that sends the question as the judge did; the shell puts in the key.

    The body stands in a quoted here-document, in which a shell changes nothing; it is one line of ASCII, so no text
    of a pair can end it. For a provider that only litellm reaches, it is a Python program that asks through litellm.

    Raises:
        BadInput: for a judge whose key is not named by a variable.
    """
    judge = question.judge
    variable = _variable(judge)
    if judge.base_url is None and not judge.model.startswith("openai/"):
        return _litellm_program(question, variable)
    address = f"{(judge.base_url or OPENAI_URL).rstrip('/')}/chat/completions"
    return "\n".join(
        [
            f"curl -sS {shlex.quote(address)} \\",
            "  -H 'Content-Type: application/json' \\",
            # Without a variable, the judge sends this too: servers of one's own often want some key.
            f'  -H "Authorization: Bearer {f"${variable}" if variable else "no-key"}" \\',
            "  --data-binary @- <<'BODY'",
            _body(question, judge.model if judge.base_url else judge.model.removeprefix("openai/")),
            "BODY",
        ]
    )


def _body(question: QuestionStory, model: str) -> str:
    asked = {**question.judge.params, "model": model, "messages": list(question.messages)}
    if question.response_format is not None:
        asked["response_format"] = question.response_format
    return json.dumps(asked, separators=(",", ":"))


def _variable(judge: LlmSpec) -> str:
    """Return the environment variable of a judge's key, "" where none is named."""
    name = judge.api_key_env or ("" if judge.base_url else "OPENAI_API_KEY")
    if judge.base_url is None and not judge.model.startswith("openai/"):
        name = judge.api_key_env or ""
    if name and not _VARIABLE.fullmatch(name):
        raise BadInput(
            "What the judge names for its key is not the name of an environment variable.",
            "Correct api_key_env in the judge.",
        )
    return name


def _litellm_program(question: QuestionStory, variable: str) -> str:
    key = f', api_key=os.environ["{variable}"]' if variable else ""
    return "\n".join(
        [
            f"# {question.judge.model} is asked through litellm, so there is no curl form. This is a Python program;",
            f"# the key is read from {variable or 'the environment, where litellm looks for it'}.",
            "import json",
            *(["import os"] if variable else []),
            "",
            "import litellm",
            "",
            f"body = json.loads({_body(question, question.judge.model)!r})",
            f"print(litellm.completion(**body{key}).model_dump_json(indent=1))",
        ]
    )


@dataclass(frozen=True)
class Again:
    """The answer to one question now."""

    question: QuestionStory
    judgements: tuple[Judgement, ...]
    """() where there is none."""
    raw: str
    outcome: str
    """How it ended, as a sentence."""
    attempts: tuple[Attempt, ...]
    usage: Usage


@dataclass(frozen=True)
class AskedAgain:
    """The answers to all questions behind a judgement now; the run is as it was."""

    story: JudgementStory
    answers: tuple[Again, ...]

    @property
    def usage(self) -> Usage:
        """What asking took; the cost is known only if that of every call is."""
        costs = [answer.usage.cost_usd for answer in self.answers]
        known = [cost for cost in costs if cost is not None]
        return Usage(
            calls=sum(answer.usage.calls for answer in self.answers),
            input_tokens=sum(answer.usage.input_tokens for answer in self.answers),
            output_tokens=sum(answer.usage.output_tokens for answer in self.answers),
            cost_usd=sum(known) if known and len(known) == len(costs) else None,
            latency_ms=sum(answer.usage.latency_ms for answer in self.answers),
        )

    def beside(self) -> list[tuple[str, str, Judgement | None, Judgement | None]]:
        """Return (question, dimension, the answer then, the answer now) for everything that was asked."""
        rows = []
        for answer in self.answers:
            before = {j.dimension: j for j in answer.question.read}
            if not before and len(self.answers) == 1:
                before = {j.dimension: j for j in self.story.verdict.judgements}
            now = {j.dimension: j for j in answer.judgements}
            rows += [
                (answer.question.label, key, before.get(key), now.get(key))
                for key in answer.question.asked.questions[0].dimensions
            ]
        return rows


def ask_again(
    workspace: Workspace, run_id: str, pair_id: str, who: str, *, longest_s: float = LONGEST_WAIT_S
) -> AskedAgain:
    """Ask the questions behind a run's answer about a pair once more, one call each, and leave the run as it is.

    Nothing is read from the verdict cache or written to it. A question without a usable answer says why; none is
    retried. The audit log keeps that it was asked and what it took.

    Raises:
        NotFound: if there is no such run, or it has no answer about such a pair.
        BadInput: for a judge that asks nobody in words.
    """
    story = trace(workspace, run_id, pair_id)
    if not story.questions:
        raise BadInput(
            f"{story.run.label} cannot be asked again about one pair. {' '.join(story.notes)}".strip(),
            "Only language models are asked again; start another run for other judges.",
        )
    found = AskedAgain(story, tuple(asyncio.run(_ask_all(story, longest_s))))
    cost = found.usage.cost_usd
    took = f"{found.usage.calls} calls, cost {'unknown' if cost is None else f'${cost:.4f}'}"
    workspace.store.record_event(who, "asked a judge again", story.run.id, f"{story.pair_id}: {took}")
    return found


async def _ask_all(story: JudgementStory, longest_s: float) -> list[Again]:
    places = asyncio.Semaphore(_AT_ONCE)
    loop = asyncio.get_running_loop()
    end = loop.time() + longest_s

    async def one(question: QuestionStory) -> Again:
        bill = Bill()
        try:
            async with asyncio.timeout_at(end), places:
                return await _ask(story.policy, question, bill, longest_s)
        except TimeoutError:
            outcome = f"No answer within {longest_s:g} s."
        except RequestFailed as failure:
            return _nothing(
                question, bill, f"There is no usable answer: {failure.reason}.", kept(failure.reply)
            )
        except WorkbenchError as error:
            outcome = str(error)
        return _nothing(question, bill, outcome)

    return list(await asyncio.gather(*map(one, story.questions)))


def _nothing(question: QuestionStory, bill: Bill, outcome: str, raw: str = "") -> Again:
    return Again(question, (), raw, outcome, tuple(bill.attempts), bill.usage())


async def _ask(policy: Policy, question: QuestionStory, bill: Bill, longest_s: float) -> Again:
    judge = question.judge
    provider = Provider(
        judge.model,
        base_url=judge.base_url,
        api_key_env=judge.api_key_env,
        params=judge.params,
        timeout_s=min(judge.timeout_s, longest_s),
    )
    # The reply is read below: a reply that does not fit is what one wants to see here, not a reason to ask on.
    asker = Asker(provider, response_mode=question.mode, max_attempts=1)
    async with provider:
        raw = kept((await asker.answer(question.messages, question.form, str, bill))[1])
    try:
        (judgements,) = read(question.asked, raw).values()
    except ReplyError as error:
        return _nothing(question, bill, f"The reply cannot be used: {error}", raw)
    if judge.params.get("logprobs") is True:
        with suppress(NoProbabilities):  # the grades stand without
            logprobs, label = bill.answers[-1].logprobs, question.asked.labels[0]
            judgements = with_probabilities(policy, judgements, logprobs, raw, label=label)
    return Again(question, judgements, raw, "The reply fits.", tuple(bill.attempts), bill.usage())
