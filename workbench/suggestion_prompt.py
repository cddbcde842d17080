"""Asking a model for edits of a policy: which disagreements it sees, the messages, and what its answer means.

A model sees the policy as the judge saw it and, of one dimension, pairs on which the judge and people disagree. The
words are in ``templates/suggest.jinja2``; texts of pairs, notes and rationales stand between lines with a marker that
none of them can hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from itertools import zip_longest
from typing import Any

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import SandboxedEnvironment

from workbench.golden import NOT_APPLICABLE, Pair
from workbench.identity import content_hash
from workbench.policy import Body, Dimension, Example
from workbench.policy_diff import GENERAL
from workbench.prompt import (
    NA,
    Message,
    ReplyError,
    closed_object,
    expect_keys,
    fields,
    parse_object,
    seen,
    shown,
    system_prompt,
)
from workbench.suggestion import Batch, Disagreement, Settled, Suggestion, misfit

LONGEST_TEXT = 2_000
"""Characters of a clause, of a level's criteria or of a precedent's reason."""
LONGEST_REASON = 1_000
"""Characters of a suggestion's reason, and of its expected effect."""
MOST_SUGGESTIONS = 8
"""Suggestions in one answer: more than a person decides about with care."""
LONGEST_CASES = 100_000
"""Characters of all cases of one request, some 25,000 tokens: they have to fit beside a long policy."""
LONGEST_REMARK = 1_500
"""Characters that are shown of a note and of a judge's rationale."""
LONGEST_FIELD = 800
"""Characters that a precedent keeps of one field."""

_KEYS: dict[str, tuple[str, ...]] = {
    "reword": ("reason", "cases", "kind", "clause", "text", "effect"),
    "add": ("reason", "cases", "kind", "section", "text", "effect"),
    "split": ("reason", "cases", "kind", "clause", "first", "second", "effect"),
    "level": ("reason", "cases", "kind", "level", "text", "effect"),
    "precedent": ("reason", "cases", "kind", "case", "text", "cites", "effect"),
}


def choose(body: Body, found: Sequence[Disagreement], most: int) -> tuple[Disagreement, ...]:
    """Return at most ``most`` disagreements of one dimension that together say the most about the policy.

    They are drawn in turn from groups (judge too high or too low, by the rule that it cited first), the widest
    disagreement of each group first, so that neither one direction nor one rule fills the request. What a review
    found to be a wrong label says nothing about the policy and is left out; what it found ambiguous comes first.
    All of them together have at most ``LONGEST_CASES`` characters.
    """
    groups: dict[tuple[bool, str], list[Disagreement]] = {}
    for one in sorted(found, key=lambda d: _urgency(body, d)):
        if one.decision is None or one.decision.finding != "label wrong":
            cited = one.cites[0] if one.cites else ""
            groups.setdefault((one.judge > one.label, cited), []).append(one)
    chosen: list[Disagreement] = []
    left = LONGEST_CASES
    for one in (d for turn in zip_longest(*groups.values()) for d in turn if d is not None):
        if len(chosen) == most:
            break
        size = sum(len(text) for _, text in _case(body, one))
        if size <= left:
            chosen.append(one)
            left -= size
    return tuple(chosen)


def _urgency(body: Body, found: Disagreement) -> tuple[bool, int, str]:
    ambiguous = found.decision is not None and found.decision.finding == "policy ambiguous"
    scale = body.dimension(found.dimension).scale
    # Whether the dimension applies at all is as far apart as its two ends.
    apart = NOT_APPLICABLE in (found.label, found.judge)
    return not ambiguous, -(scale[-1] - scale[0] if apart else abs(found.label - found.judge)), found.pair.id


def messages(body: Body, batch: Batch) -> list[Message]:
    """Return the chat messages that ask for edits: the policy first, one dimension's disagreements last."""
    return [
        {"role": "system", "content": policy_text(body)},
        {"role": "user", "content": cases_text(body, batch)},
    ]


def policy_text(body: Body) -> str:
    """Return the system message: the policy as a judge reads it, and what is asked; the same for every dimension."""
    judged = system_prompt(body)
    fence = f"prompt-{_mark(judged)}"
    return _render("system", judged=judged, fence=fence, most=MOST_SUGGESTIONS, longest=LONGEST_TEXT)


def cases_text(body: Body, batch: Batch) -> str:
    """Return the user message: one dimension's disagreements, each text between lines that carry the marker."""
    cases = [_case(body, found) for found in batch.disagreements]
    fence = f"case-{_mark(cases)}"
    marked = [[(name, text.replace(fence, "(marker)")) for name, text in case] for case in cases]
    dimension = body.dimension(batch.dimension)
    return _render("cases", dimension=dimension, cases=marked, fence=fence, changed=batch.changed)


def _mark(fenced: Any) -> str:
    """Return a marker that depends, as in a judge's prompt, on all that it fences, so that no text can foresee it."""
    return content_hash("fence", fenced).removeprefix("fence-")[:16]


def _case(body: Body, found: Disagreement) -> list[tuple[str, str]]:
    told = [*fields(body, found.pair), ("grade that people settled on", _grade(found.label))]
    if len(found.labels) > 1:
        told.append(("grades of the labelers", ", ".join(map(_grade, found.labels))))
    told += [("note of a labeler", _cut(note, LONGEST_REMARK)) for note in found.notes]
    told.append(("grade of the judge", _grade(found.judge)))
    told.append(("reason of the judge", _cut(found.rationale, LONGEST_REMARK)))
    told.append(("rules that the judge cited", ", ".join(found.cites) or "none"))
    if found.decision is not None:
        note = f": {_cut(found.decision.note, LONGEST_REMARK)}" if found.decision.note.strip() else ""
        told.append(("finding of a review", found.decision.finding + note))
    return [(name, seen(text).strip()) for name, text in told]


def _grade(grade: int) -> str:
    return NA if grade == NOT_APPLICABLE else str(grade)


def _cut(text: str, longest: int) -> str:
    text = text.strip()
    return text if len(text) <= longest else text[:longest].rsplit(None, 1)[0] + " …"


@lru_cache(maxsize=1)
def _template() -> Template:
    source = (resources.files("workbench") / "templates" / "suggest.jinja2").read_text(encoding="utf-8")
    environment = SandboxedEnvironment(
        undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(source)


def _render(block: str, **values: Any) -> str:
    template = _template()
    return "".join(template.blocks[block](template.new_context(values))).strip()


# What it answers


def reply_schema(body: Body, dimension: str) -> dict[str, Any]:
    """Return the JSON Schema of an answer, within OpenAI's strict subset: one closed object a kind.

    Ids and case numbers are no enumerations, which have a limit there; :func:`read_reply` checks them.
    """
    text, whole = {"type": "string"}, {"type": "integer"}
    types: dict[str, dict[str, Any]] = {
        "cases": {"type": "array", "items": whole},
        "section": {"type": "string", "enum": [GENERAL, dimension]},
        "level": {"type": "integer", "enum": list(body.dimension(dimension).scale)},
        "case": whole,
        "cites": {"type": "array", "items": text},
    }
    kinds = [
        closed_object(
            {
                key: {"type": "string", "enum": [kind]} if key == "kind" else types.get(key, text)
                for key in keys
            }
        )
        for kind, keys in _KEYS.items()
    ]
    return closed_object({"suggestions": {"type": "array", "items": {"anyOf": kinds}}})


def read_reply(body: Body, batch: Batch, text: str) -> tuple[Suggestion, ...]:
    """Return the edits that an answer proposes; it may propose none.

    An answer is taken as a whole or not at all: every clause exists and belongs to the dimension or the general
    rules, every edit changes something, rests on cases that were shown, and is short enough; each clause and level
    is edited once, because a person who takes one of two edits could not take the other. A precedent takes its
    grade from the people, never from the model.

    Raises:
        ReplyError: with one sentence that says what is wrong and where.
    """
    data = parse_object(text)
    expect_keys(data, ("suggestions",), "the answer", "key")
    given = data["suggestions"]
    if not isinstance(given, list):
        raise ReplyError(f"suggestions must be a list, not {shown(given)}.")
    if len(given) > MOST_SUGGESTIONS:
        raise ReplyError(f"there are {len(given)} suggestions; give the {MOST_SUGGESTIONS} most useful ones.")
    found: list[Suggestion] = []
    for number, item in enumerate(given, start=1):
        where = f"suggestion {number}"
        suggestion = _Reader(body, batch, where, item).suggestion()
        if problem := misfit(body, suggestion):
            raise ReplyError(f"{where} changes nothing: {problem}")
        if suggestion.item and suggestion.item in {other.item for other in found}:
            raise ReplyError(
                f"{where} edits {suggestion.item} once more; put both edits into one suggestion."
            )
        found.append(suggestion)
    return tuple(found)


class _Reader:
    """Reads one suggestion of an answer; every problem names the place."""

    def __init__(self, body: Body, batch: Batch, where: str, item: Any) -> None:
        kind = item.get("kind") if isinstance(item, dict) else None
        if not isinstance(kind, str) or kind not in _KEYS:
            kinds = ", ".join(_KEYS)
            raise ReplyError(f"{where} must be an object whose kind is one of {kinds}, not {shown(kind)}.")
        expect_keys(item, _KEYS[kind], where, "key")
        self._body, self._batch, self._where, self._item, self._kind = body, batch, where, item, kind

    def suggestion(self) -> Suggestion:
        cases = self._item["cases"]
        if not isinstance(cases, list) or not cases:
            raise ReplyError(f"{self._where}.cases must be a list of the numbers of the cases it rests on.")
        known = [self._case("cases", case) for case in cases]
        values: dict[str, Any] = {
            "kind": self._kind,
            "dimension": self._batch.dimension,
            "section": self._batch.dimension,
            "reason": self._text("reason", LONGEST_REASON),
            "effect": self._text("effect", LONGEST_REASON),
        }
        values["text"] = self._text("first" if self._kind == "split" else "text", LONGEST_TEXT)
        if self._kind in ("reword", "split"):
            values |= self._clause()
        if self._kind == "split":
            values["second"] = self._text("second", LONGEST_TEXT)
        if self._kind == "add":
            values["section"] = self._section()
        if self._kind == "level":
            values |= self._level()
        if self._kind == "precedent":
            settled = self._case("case", self._item["case"])
            values["precedent"] = self._precedent(settled)
            known.append(settled)
        evidence = tuple(dict.fromkeys(case.pair.id for case in known))
        return Suggestion.model_validate(values | {"evidence": evidence})

    def _text(self, key: str, longest: int) -> str:
        value = self._item[key]
        if not isinstance(value, str):
            raise ReplyError(f"{self._where}.{key} must be text, not {shown(value)}.")
        value = seen(value).strip()
        if not value:
            raise ReplyError(f"{self._where}.{key} is empty.")
        if len(value) > longest:
            raise ReplyError(
                f"{self._where}.{key} has {len(value):,} characters; at most {longest:,} are taken."
            )
        return value

    def _number(self, key: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            raise ReplyError(f"{self._where}.{key} holds {shown(value)}, which is no whole number.")
        return int(value)

    def _case(self, key: str, value: Any) -> Disagreement:
        number, count = self._number(key, value), len(self._batch.disagreements)
        if not 1 <= number <= count:
            raise ReplyError(
                f"{self._where}.{key} names case {number}, which was not shown; there is 1 to {count}."
            )
        return self._batch.disagreements[number - 1]

    def _section(self) -> str:
        value = self._item["section"]
        if value not in (GENERAL, self._batch.dimension):
            raise ReplyError(
                f"{self._where}.section is {shown(value)}; give {GENERAL} or {self._batch.dimension}."
            )
        return str(value)

    def _clause(self) -> dict[str, str]:
        value = self._text("clause", LONGEST_REASON).strip("[]")
        for section, clause in self._body.clauses():
            if clause.id == value:
                if section not in (GENERAL, self._batch.dimension):
                    raise ReplyError(
                        f"{self._where} edits {value}, but only clauses of {self._batch.dimension} and general rules "
                        "may be edited."
                    )
                return {"section": section, "item": value, "before": clause.text}
        raise ReplyError(f"{self._where} edits clause {shown(value)}, which the policy does not have.")

    def _level(self) -> dict[str, str]:
        number = self._number("level", self._item["level"])
        for level in self._body.dimension(self._batch.dimension).levels:
            if level.value == number:
                return {"item": f"level {number}", "before": level.criteria}
        raise ReplyError(f"{self._where} edits level {number}, which {self._batch.dimension} does not have.")

    def _precedent(self, found: Disagreement) -> Settled:
        if found.decision is not None and found.decision.finding == "label wrong":
            raise ReplyError(f"{self._where} settles a case whose label was found to be wrong.")
        cites = self._item["cites"]
        if not isinstance(cites, list) or not all(isinstance(cited, str) for cited in cites):
            raise ReplyError(f"{self._where}.cites must be a list of clause ids.")
        ids = tuple(dict.fromkeys(cited.strip().strip("[]") for cited in cites))
        known = {clause.id for _, clause in self._body.clauses()}
        unknown = [cited for cited in ids if cited not in known]
        if unknown:
            raise ReplyError(
                f"{self._where} cites clause {shown(unknown[0])}, which the policy does not have."
            )
        return Settled(
            pair_id=found.pair.id,
            pair=_example(self._body, self._body.dimension(self._batch.dimension), found.pair),
            grade=None if found.label == NOT_APPLICABLE else found.label,
            cites=ids,
        )


def _example(body: Body, dimension: Dimension, pair: Pair) -> Example:
    """Return the fields of a pair that the dimension looks at, long ones cut: a precedent is read with every pair."""
    wanted = set(dimension.considers or body.pair.field_names())
    sides = ((body.pair.query, pair.query), (body.pair.document, pair.document))
    query, document = (
        {
            name: _cut(seen(texts[name]), LONGEST_FIELD)
            for name in side.fields
            if f"{side.name}.{name}" in wanted and texts.get(name, "").strip()
        }
        for side, texts in sides
    )
    return Example(query=query, document=document)
