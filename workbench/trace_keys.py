"""Whether the messages of a traced question are those that were sent: the recorded key has to come out again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workbench import prompt, prompt_sheet
from workbench.errors import WorkbenchError
from workbench.judges.cache import QuestionKeys
from workbench.judges.llm import LlmJudge
from workbench.prompt_modes import Question
from workbench.run import JudgeIdentity, LlmSpec, Trace

VERIFIED = "verified"


def key_check(identity: JudgeIdentity, judge: LlmSpec, question: Question, found: Trace) -> str:
    """Return :data:`VERIFIED` where the rendered messages give the recorded key, else one sentence that says why not.

    Args:
        identity: of the judge of the run, with the templates that it was asked with.
    """
    if not found.key:
        return "No key was recorded: the answer is older than traces, or there was no verdict cache."
    try:
        key = question_key(judge, question, found.repeat)
    except WorkbenchError as error:
        return f"The key cannot be made again: {error}"
    if key == found.key:
        return VERIFIED
    older = [
        name
        for name, now in (("template", prompt.template_hash()), ("modes_template", prompt_sheet.template_hash()))
        if (then := set(_values(identity.params, name))) and now not in then
    ]  # fmt: skip
    if older:
        return "Not verified: the prompt template has changed since the run, so these messages are what would be sent now."
    return "Not verified: these messages give another key, so something else was sent; the run's code was another one."


def question_key(judge: LlmSpec, question: Question, repeat: int) -> str:
    """Return the key of the verdict cache for a question to a model.

    Raises:
        BadInput: for a model that cannot be asked.
    """
    identity = LlmJudge(
        judge.model, base_url=judge.base_url, api_key_env=judge.api_key_env, params=judge.params
    ).identity
    params = {name: value for name, value in identity.params.items() if name != "template"}
    sheet = question.sheet
    keys = QuestionKeys(
        system=sheet.system, model=identity.name, params=params | sheet.key_params, repeat=repeat
    )
    return keys.key(question.user)


def _values(data: Any, name: str) -> Iterator[Any]:
    """Yield every value called ``name``, however deep."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if key == name:
                yield value
            else:
                yield from _values(value, name)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _values(value, name)
