"""Policy and pair to messages; the schema of a reply; reading a reply.

The words are in ``templates/judge.jinja2``. The system message is the policy and is the same for every pair, so
that providers cache it; the pair comes last. Nothing in the messages depends on weights, gates, cut points or
the version number, so changing how grades combine needs no new judging.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from workbench.golden import NOT_APPLICABLE, Pair
from workbench.identity import canonical_json, content_hash
from workbench.policy import Body, Dimension
from workbench.prompt_template import render, source
from workbench.run import Judgement

TEMPLATE = "judge.jinja2"

Message = dict[str, str]

NA = "N/A"
"""How a reply says that a dimension does not apply."""

LONGEST_REPLY = 200_000
"""Characters of the longest reply that is read; a reply about 20 dimensions is some 10,000."""

_FENCE_KEY = b"policy-workbench fence 1"
_FENCE_DIGITS = 16
_HEX = re.compile("[0-9a-f]+")
_CODE_FENCE = re.compile(r"\A```(?:json)?[ \t]*\r?\n(.*)\r?\n?```\Z", re.DOTALL | re.IGNORECASE)
# What a person who labels the pair cannot see, a judge must not see either: control characters, and the Unicode
# tag characters in which text can be hidden. Lone surrogates are no text and cannot be sent.
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\U000e0000-\U000e007f]")


class ReplyError(ValueError):
    """A reply that does not fit the policy. Its text names the place and can be sent back to the judge."""


def messages(policy: Body, pair: Pair, *, fence: str | None = None) -> list[Message]:
    """Return the chat messages that ask for the grades of ``pair``: the policy first, the pair last.

    Args:
        fence: marker around the pair's text; by default the one :func:`fence_of` gives.
    """
    return [
        {"role": "system", "content": system_prompt(policy)},
        {"role": "user", "content": pair_text(policy, pair, fence=fence)},
    ]


def system_prompt(policy: Body) -> str:
    """Return the policy as a judge reads it, then the form of the answer; no pair in it."""
    return _UNSEEN.sub("", _render("system", policy=policy))


def pair_text(policy: Body, pair: Pair, *, fence: str | None = None) -> str:
    """Return the user message: the fields that the policy lays out, in its order, between fence lines.

    Every field starts with a line that carries the fence, so a document can fake neither its own end nor a
    field of the other side. Occurrences of the fence in the texts are replaced, and so is what a person
    reading the pair would not see (see ``_UNSEEN``). ``<|`` is taken apart, because servers that render chat
    templates to text read ``<|im_end|>`` inside a document as the end of the turn.
    """
    fence = fence or fence_of(policy, pair)
    given = [(name, _without(fence, seen(text)).strip()) for name, text in fields(policy, pair)]
    return _render("pair", fence=fence, fields=given)


def _without(fence: str, text: str) -> str:
    """Return ``text`` with every occurrence of the fence replaced, in whatever case it is written."""
    # Each pair has its own fence, so its pattern would be compiled for each, and hardly any text needs it. Digits and
    # letters up to f have no other forms that IGNORECASE takes for the same; i has, so its part is not looked for.
    end = fence[-_FENCE_DIGITS:]
    if _HEX.fullmatch(end) and end not in text.lower():
        return text
    return re.sub(re.escape(fence), "(marker)", text, flags=re.IGNORECASE)


def fence_of(policy: Body, pair: Pair) -> str:
    """Return the marker for a pair: an HMAC of the text that it fences.

    The same text always gets the same marker, so the messages (and the key of the verdict cache) are stable.
    The key is public; it need not be secret. The marker depends on every character of the fenced text, so an
    author who wants to write it into a document would need a text that contains its own 64-bit hash, for a
    query that the author does not know.
    """
    text = canonical_json(fields(policy, pair)).encode("utf-8", "surrogatepass")
    return f"pair-{hmac.new(_FENCE_KEY, text, 'sha256').hexdigest()[:_FENCE_DIGITS]}"


def template_hash() -> str:
    """Return the identity of the prompt template, for the record of a run."""
    return content_hash("template", source(TEMPLATE))


def reply_schema(policy: Body) -> dict[str, Any]:
    """Return the JSON Schema of a reply, within OpenAI's strict subset.

    One property a dimension; in each, the reason stands before the grade, so that a model writes its reasoning
    before it commits itself. Citations are plain strings: an enumeration of all clauses in every dimension
    passes the providers' limit of 1,000 enumerated values in a long policy, and :func:`read_reply` checks them.
    """
    return closed_object({dimension.key: _answer_schema(dimension) for dimension in policy.dimensions})


def read_reply(policy: Body, text: str) -> tuple[Judgement, ...]:
    """Return one judgement a dimension, in the policy's order, from a judge's reply.

    Surrounding white space and one ``` code fence are allowed; everything else is strict. A grade is a JSON
    number with an integral value (``3`` or ``3.0``, which JSON does not tell apart) out of the declared levels,
    or "N/A" where that is allowed; ``true``, ``"3"`` and ``2.5`` are errors. A cited id that the policy does not
    have is no error, because the grade is still an answer: it is left out of ``cites`` and noted in the
    rationale.

    Raises:
        ReplyError: with one sentence that says what is wrong and where.
    """
    data = parse_object(text)
    known = _citable(_Same(policy))
    expect_keys(data, policy.keys, "the reply", "dimension")
    return tuple(_judgement(dimension, data[dimension.key], known) for dimension in policy.dimensions)


class _Same:
    """A policy by identity: it never changes, and the examples in it keep it from being hashed by content."""

    __slots__ = ("policy",)

    def __init__(self, policy: Body) -> None:
        self.policy = policy

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.policy is self.policy

    def __hash__(self) -> int:
        return id(self.policy)


@lru_cache(maxsize=64)  # what is cached is held, so no other policy gets its identity
def _citable(same: _Same) -> frozenset[str]:
    """Return the ids of the clauses and precedents of a policy, for all replies under it."""
    policy = same.policy
    clauses = {clause.id for _, clause in policy.clauses()}
    return frozenset(clauses | {p.id for dimension in policy.dimensions for p in dimension.precedents})


def fields(policy: Body, pair: Pair) -> list[tuple[str, str]]:
    """Return (``side.field``, text) of a pair, in the order in which the policy lays it out; texts as they came."""
    sides = ((policy.pair.query, pair.query), (policy.pair.document, pair.document))
    return [(f"{side.name}.{name}", texts.get(name, "")) for side, texts in sides for name in side.fields]


def seen(text: str) -> str:
    """Return ``text`` as a model is to see it: nothing a person would not see, no marks of chat templates."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSEEN.sub("", text).replace("<|", "< |")


def _render(block: str, **values: Any) -> str:
    return render(TEMPLATE, block, **values)


def closed_object(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _answer_schema(dimension: Dimension) -> dict[str, Any]:
    grade: dict[str, Any] = {"type": "integer", "enum": list(dimension.scale)}
    if dimension.allow_na:
        grade = {"anyOf": [grade, {"type": "string", "enum": [NA]}]}
    cites = {"type": "array", "items": {"type": "string"}}
    return closed_object({"reason": {"type": "string"}, "cites": cites, "grade": grade})


def parse_object(text: str) -> Any:
    """Return the JSON object that a reply is; white space and one ``` fence around it are allowed.

    Raises:
        ReplyError: for anything else, with one sentence.
    """
    text = text.strip()
    if len(text) > LONGEST_REPLY:
        raise ReplyError(f"the reply has {len(text):,} characters; at most {LONGEST_REPLY:,} are read.")
    fenced = _CODE_FENCE.match(text)
    body = fenced[1].strip() if fenced else text
    if not body:
        raise ReplyError("the reply is empty; a JSON object is needed.")
    if not body.startswith("{"):
        raise ReplyError(f"the reply starts with {shown(body)} and not with a JSON object.")
    try:
        return json.loads(body, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        if error.pos >= len(body) or error.msg.startswith("Unterminated string"):
            raise ReplyError("the reply breaks off before its JSON object is complete.") from None
        if error.msg == "Extra data":
            raise ReplyError("there is text after the JSON object; give the object alone.") from None
        place = f"line {error.lineno}, column {error.colno}"
        raise ReplyError(f"the reply is not valid JSON at {place} ({error.msg}).") from None
    except RecursionError:
        raise ReplyError("the reply is nested too deeply.") from None
    except ReplyError:
        raise
    except ValueError:  # Python refuses integers of more than 4,300 digits
        raise ReplyError("the reply holds a number that is too long.") from None


def _unique(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) < len(items):
        keys = [key for key, _ in items]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ReplyError(f"{shown(twice)} is given twice in one object.")
    return found


def _no_constant(name: str) -> Any:
    raise ReplyError(f"the reply is not valid JSON: it holds {name}.")


def expect_keys(data: Any, keys: Sequence[str], where: str, what: str) -> None:
    """Refuse what is not an object with exactly these keys.

    Raises:
        ReplyError: with the place ``where`` and the first key that lacks or is too much; ``what`` is what a key is.
    """
    if not isinstance(data, dict):
        raise ReplyError(f"{where} must be an object with {', '.join(keys)}, not {shown(data)}.")
    missing = [key for key in keys if key not in data]
    if missing:
        raise ReplyError(f"{where} lacks {what} {', '.join(missing)}.")
    unknown = [key for key in data if key not in keys]
    if unknown:
        raise ReplyError(f"{where} has an unknown {what} {shown(unknown[0])}; there is: {', '.join(keys)}.")


def _judgement(dimension: Dimension, answer: Any, known: frozenset[str]) -> Judgement:
    key = dimension.key
    expect_keys(answer, ("reason", "cites", "grade"), key, "key")
    reason, cites = answer["reason"], answer["cites"]
    if not isinstance(reason, str):
        raise ReplyError(f"{key}.reason must be text, not {shown(reason)}.")
    if not isinstance(cites, list) or not all(isinstance(cite, str) for cite in cites):
        raise ReplyError(f"{key}.cites must be a list of rule ids.")
    ids = list(dict.fromkeys(cite.strip().strip("[]") for cite in cites))
    unknown = [cite for cite in ids if cite not in known]
    note = f" [cited, but not in the policy: {', '.join(map(shown, unknown[:5]))}]" if unknown else ""
    return Judgement(
        dimension=key,
        grade=_grade(dimension, answer["grade"]),
        rationale=_UNSEEN.sub("", reason).strip() + note,
        cites=tuple(cite for cite in ids if cite in known),
    )


def _grade(dimension: Dimension, value: Any) -> int:
    allowed = ", ".join(_allowed(dimension))
    if value == NA:
        if dimension.allow_na:
            return NOT_APPLICABLE
        raise ReplyError(f'{dimension.key}.grade is "N/A", which it does not allow; give one of {allowed}.')
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ReplyError(f"{dimension.key}.grade is {shown(value)}; give one of {allowed}, without quotes.")
    if value not in dimension.scale:
        raise ReplyError(
            f"{dimension.key}.grade is {shown(value)}, outside its scale; give one of {allowed}."
        )
    return int(value)


def _allowed(dimension: Dimension) -> Iterator[str]:
    yield from map(str, dimension.scale)
    if dimension.allow_na:
        yield f'"{NA}"'


def shown(value: Any) -> str:
    """Return what a reply holds as it is quoted in an error: short, on one line."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 60 else text[:57] + "…"
