"""What a judge is, in one line for lists: model and server, how it is asked, what it consists of."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.judge_choice import judge_name
from workbench.run import CalibratedSpec, CascadeSpec, EnsembleSpec, JudgeSpec, LlmSpec

KIND_NAMES = {
    "llm": "language model",
    "baseline": "baseline",
    "checkpoint": "checkpoint",
    "plugin": "plugin",
    "recorded": "recorded",
    "calibrated": "calibrated",
    "ensemble": "ensemble",
    "cascade": "cascade",
}
"""Kind of a judge -> what people call it."""


def judge_words(judge: JudgeSpec) -> str:
    """Return what tells a judge from another one: two of the same words give the same answers.

    Limits, caps and the way of delivery are left out: they change no answer.
    """
    if isinstance(judge, LlmSpec):
        where = f" at {judge.base_url}" if judge.base_url else ""
        settings = ", ".join(asked_words(judge))
        return f"{judge.model}{where}{f' ({settings})' if settings else ''}"
    if isinstance(judge, CalibratedSpec):
        return f"{judge_words(judge.judge)}, calibrated ({judge.method})"
    if isinstance(judge, EnsembleSpec):
        weights = judge.weights or (1.0,) * len(judge.members)
        members = (
            judge_words(member) + (f" × {weight:g}" if judge.weights else "")
            for member, weight in zip(judge.members, weights, strict=False)
        )
        return " + ".join(members)
    if isinstance(judge, CascadeSpec):
        return f"{judge_words(judge.first)}, then {judge_words(judge.second)} below {judge.sure_at:g}"
    return judge_name(judge)


def asked_words(judge: LlmSpec) -> Iterator[str]:
    """Yield what is not as usual in how a model is asked."""
    for name, value in judge.params.items():
        if name == "logprobs":
            yield "log-probabilities"
        elif name != "top_logprobs":
            yield f"{name} {value}"
    if words := judge.mode.words():
        yield words
    if judge.repeats > 1:
        yield f"{judge.repeats} answers a question"
    if judge.repeat:
        yield f"repeat index {judge.repeat}"
