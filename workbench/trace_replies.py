"""Raw replies of a verdict, each to its question, and read once more."""

from __future__ import annotations

import json
from collections.abc import Sequence

from workbench.prompt import ReplyError, parse_object
from workbench.prompt_modes import JudgeRequest, read
from workbench.run import Judgement, Trace


def replies(traces: Sequence[Trace], raw: str) -> list[str]:
    """Return the raw reply of each trace.

    A trace has its own where each question of a pair had a call; else the verdict's is that of its only question, or
    holds those of several judges one after another. Where it cannot be told which is whose, each gets them all.
    """
    without = [trace for trace in traces if not trace.raw]
    left = iter(_divided(raw, len(without)))
    return [trace.raw or next(left) for trace in traces]


def _divided(raw: str, parts: int) -> list[str]:
    if parts < 2:
        return [raw] * parts
    lines = raw.split("\n")
    if len(lines) == parts:
        return lines
    found, position = [], 0
    decoder = json.JSONDecoder()
    text = raw.strip()
    while position < len(text):
        try:
            _, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError):
            return [raw] * parts
        found.append(text[position:end])
        position = end + len(text[end:]) - len(text[end:].lstrip())
    return found if len(found) == parts else [raw] * parts


def read_again(request: JudgeRequest, trace: Trace, raw: str) -> tuple[tuple[Judgement, ...], str]:
    """Return the judgements of a reply to one question, and how reading it ended as a sentence."""
    if not raw:
        last = trace.attempts[-1].outcome if trace.attempts else ""
        return (), f"There is no reply: {last}." if last else "No reply was kept."
    try:
        text = _relabelled(request, raw) if request.labels != ("",) else raw
        (found,) = read(request, text).values()
    except ReplyError as error:
        return (), f"The reply cannot be used: {error}"
    dimensions = len(found)
    return found, f"The reply fits: {dimensions} dimension{'s' if dimensions > 1 else ''} graded."


def _relabelled(request: JudgeRequest, raw: str) -> str:
    """Return the part of a reply about several pairs as if the pair had been asked about alone."""
    data = parse_object(raw)
    if len(data) != 1:
        raise ReplyError(
            "it is about several pairs and was kept whole, so it is not known which part is this pair's."
        )
    (answer,) = data.values()
    return json.dumps({request.labels[0]: answer}, ensure_ascii=False)
