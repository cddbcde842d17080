"""Every fault of a provider that we know, and what becomes of it: the tests and docs/faults.md are made of this table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from workbench.fake_provider import (
    Behaviour,
    Reply,
    cut,
    dripping,
    endless,
    error,
    graded,
    late,
    text,
)

Outcome = Literal["graded", "retried", "corrected", "failed at once", "run stops"]

MEANING: dict[Outcome, str] = {
    "graded": "The reply is used as it is; one call.",
    "retried": "The same request is sent again after a wait with full jitter (or what Retry-After asks for), up to five "
    "times in all; if the fault stays, the pair fails and the run goes on.",
    "corrected": "The judge is told what is wrong and asked once more; if the second reply is bad too, the pair fails.",
    "failed at once": "Asking again would give the same: the pair fails after one call, and the run goes on.",
    "run stops": "No pair can be graded: the run ends after this call with one sentence; what was graded is kept.",
}

FINE = graded(lambda request, key, allowed: {"topic": 3, "tone": "N/A"}[key])


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong. ``says`` is in the reason of the failed judgements, or in the run's error."""

    name: str
    server: Behaviour
    outcome: Outcome
    says: str = ""
    timeout_s: float = 20.0


def _reply(name: str, edit: Callable[[str], str], says: str) -> Fault:
    return Fault(name, graded(write=edit), "corrected", says)


def _without_tone(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "tone"}


def _seven(answer: dict[str, Any]) -> dict[str, Any]:
    return answer | {"topic": answer["topic"] | {"grade": 7}}


def _reason(written: str) -> Behaviour:
    return graded(
        lambda request, key, allowed: {"topic": 3, "tone": "N/A"}[key],
        write=lambda reply: reply.replace("A hash", written),
    )


FAULTS = [
    Fault("401: the key is refused", error(401, "bad key"), "run stops", "refused the key for fake-hash-grader (401)"),
    Fault("403: the key may not use the model", error(403, "no"), "run stops", "refused the key for fake-hash-grader (403)"),
    Fault("404: no such model", error(404, "no model"), "run stops", "has no model fake-hash-grader (404)"),
    Fault("429: no quota left", error(429, "x", code="insufficient_quota"), "run stops", "no quota left"),
    Fault("429 with Retry-After", error(429, "slow down", headers={"Retry-After": "2"}), "retried", "HTTP 429: slow down"),
    Fault("429 without Retry-After", error(429, "slow down"), "retried", "HTTP 429: slow down"),
    Fault("429 that asks to wait a day", error(429, "tomorrow", headers={"Retry-After": "86400"}), "failed at once", "HTTP 429: tomorrow"),
    Fault("500", error(500, "boom"), "retried", "HTTP 500: boom"),
    Fault("503 with Retry-After", error(503, "busy", headers={"Retry-After": "1"}), "retried", "HTTP 503: busy"),
    Fault("400: longer than the context", error(400, "maximum context length is 8192 tokens"), "failed at once", "maximum context length"),
    Fault("connection reset before the body", cut(0), "retried", "the connection failed"),
    Fault("connection reset in mid-body", cut(40), "retried", "the connection failed"),
    Fault("no answer in time", late(3), "retried", "no answer within 0.5 s", 0.5),
    Fault("slow drip past the time of a call", dripping(0.02), "retried", "no answer within 0.5 s", 0.5),
    Fault("never-ending answer", endless(), "failed at once", "more than 16 MB"),
    Fault("wrong content type (an HTML page)", lambda r: Reply(b"<html>", 200, {"Content-Type": "text/html"}), "retried", "but text/html"),
    Fault("truncated body", lambda r: Reply(b'{"choices": [', 200), "retried", "not a chat completion"),
    Fault("JSON that is no completion", lambda r: Reply(b"[]"), "retried", "no message"),
    Fault("an error in a 200", lambda r: Reply(b'{"error": {"message": "no GPU"}}'), "retried", "no message: no GPU"),
    Fault("empty content", text(""), "retried", "the reply is empty"),
    Fault("null content", text(None), "retried", "the reply is empty"),
    Fault("refusal", text(None, refusal="I cannot help."), "failed at once", "the model refused: I cannot help."),
    Fault("content filter", text("", finish_reason="content_filter"), "failed at once", "content filter"),
    Fault("cut off at the token limit", text('{"topic": ', finish_reason="length"), "failed at once", "token limit"),
    _reply("truncated JSON", lambda reply: reply[: len(reply) // 2], "breaks off"),
    _reply("prose instead of JSON", lambda reply: "A 3, I would say.", "starts with"),
    _reply("wrong schema", lambda reply: '{"grade": 3}', "lacks dimension topic, tone"),
    Fault("missing dimension", graded(edit=_without_tone), "corrected", "lacks dimension tone"),
    Fault("grade out of range", graded(edit=_seven), "corrected", "topic.grade is 7, outside its scale"),
    _reply("1 MB answer", lambda reply: reply.replace("A hash", "x" * 1_000_000), "at most 200,000"),
    Fault("JSON in a code fence", graded(lambda r, k, a: {"topic": 3, "tone": "N/A"}[k], write=lambda t: f"```json\n{t}\n```"), "graded"),
    Fault("lone surrogate in the reason", _reason("\\ud83d"), "graded"),
    Fault("U+2028 and U+0085 in the reason", _reason("a\u2028b\u0085c"), "graded"),
    Fault("NUL in the reason", _reason("\\u0000"), "graded"),
    Fault("right-to-left override and emoji in the reason", _reason("\u202e🧑‍🚀"), "graded"),
]  # fmt: skip


def body_of(fault: Fault) -> str:
    """Return one row of the page."""
    return (
        f"| {fault.name} | {fault.outcome} | {fault.says.replace('fake-hash-grader', 'the model') or '–'} |"
    )


def page() -> str:
    """Return docs/faults.md."""
    rows = "\n".join(body_of(fault) for fault in FAULTS)
    outcomes = "\n".join(f"- **{name}**: {meaning}" for name, meaning in MEANING.items())
    return (
        "# What becomes of a provider's faults\n\n"
        "Written by `python docs/make_faults.py` from the table that the tests run against a real HTTP server "
        "(`tests/judges/faults.py`); a test keeps it so.\n\n"
        f"{outcomes}\n\n"
        "After 20 pairs in a row without any reply the run stops, whatever the fault was.\n\n"
        f"| fault | outcome | what is said |\n|---|---|---|\n{rows}\n"
    )
