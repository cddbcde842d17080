"""The system prompt cut into the parts that people edit: each clause, level, precedent and heading by itself.

Nothing is rendered a second way: the template renders a copy of the policy whose texts carry marks, and the marks
say where each part begins and ends. The parts in order are the prompt, to the character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from workbench.identity import Value
from workbench.policy import Body, Clause, Dimension, Layout, Level, Precedent
from workbench.policy_diff import DOCUMENT, GENERAL
from workbench.prompt import system_prompt

INSTRUCTIONS, PURPOSE, TERMS, FIELDS, ANSWER = "instructions", "purpose", "terms", "pair", "answer"
"""Items of the section ``document``: what every policy's prompt says, and what this one says of itself."""

_HEADING = re.compile(r"^## ", re.MULTILINE)
_BLANK = re.compile(r"\n+")
_Marked = TypeVar("_Marked", bound=Value)


@dataclass(frozen=True)
class PromptPart:
    """One stretch of the system prompt."""

    section: str  # "document", "general" or a dimension key
    item: str  # a clause or precedent id, "level 2", an item of the document; "" for the section's own words
    text: str


def prompt_parts(policy: Body) -> tuple[PromptPart, ...]:
    """Return the parts of ``system_prompt(policy)`` in its order; their texts joined are that prompt.

    A section's own words (``item`` "") are its heading and question and what stands between its items, so a
    section may have several such parts. What was cut before is remembered.
    """
    return _cut(_Said(policy.model_dump_json(), policy))


@dataclass(frozen=True)
class _Said:
    """A policy by what it says, to key a cache by: a policy holds dicts and cannot be hashed itself."""

    text: str
    policy: Body = field(compare=False)


@lru_cache(maxsize=32)
def _cut(said: _Said) -> tuple[PromptPart, ...]:
    policy = said.policy
    prompt = system_prompt(policy)
    start, end = _unused(prompt)
    marker = _Marker(start, end)
    marked = system_prompt(marker.body(policy))
    parts: list[PromptPart] = []
    words, position = (DOCUMENT, INSTRUCTIONS), 0  # whose words stand after the last item, and where it ended
    for section, item in marker.places:
        begins = marked.rfind("\n", 0, marked.index(start, position)) + 1
        before, after = _at_heading(marked[position:begins])
        own = (section, item if section == DOCUMENT else "")
        # Blank lines go with what stands before them: so cut, tokens of the parts add up to those of the prompt.
        closed = _BLANK.search(marked, marked.index(end, begins))
        position = closed.end() if closed else len(marked)
        text = marked[begins:position]
        parts += [PromptPart(*words, before), PromptPart(*own, after), PromptPart(section, item, text)]
        words = own
    before, after = _at_heading(marked[position:])
    parts += [PromptPart(*words, before), PromptPart(DOCUMENT, ANSWER, after)]
    unmarked = (PromptPart(p.section, p.item, p.text.replace(start, "").replace(end, "")) for p in parts)
    return tuple(_joined(unmarked))


def _at_heading(text: str) -> tuple[str, str]:
    """Cut the template's words between two items: to the first heading they speak of the one before."""
    heading = _HEADING.search(text)
    return (text[: heading.start()], text[heading.start() :]) if heading else (text, "")


def _joined(parts: Iterable[PromptPart]) -> Iterator[PromptPart]:
    """Merge neighbours of one place and drop empty parts."""
    held: PromptPart | None = None
    for part in parts:
        if not part.text:
            continue
        if held is not None and (held.section, held.item) == (part.section, part.item):
            held = PromptPart(held.section, held.item, held.text + part.text)
            continue
        if held is not None:
            yield held
        held = part
    if held is not None:
        yield held


def _unused(text: str) -> tuple[str, str]:
    """Return two characters for private use that do not occur in ``text``."""
    free = (chr(code) for code in range(0xF0000, 0x10FFFE) if chr(code) not in text)
    return next(free), next(free)


class _Marker:
    """Makes a copy of a policy in which each part's first text begins, and its last one ends, with a mark."""

    def __init__(self, start: str, end: str) -> None:
        self._start, self._end = start, end
        self.places: list[tuple[str, str]] = []  # in the order of the template

    def body(self, policy: Body) -> Body:
        self.places.append((DOCUMENT, PURPOSE))
        title, purpose = self._span(policy.title, policy.purpose)
        terms = []
        for term in policy.terms:
            self.places.append((DOCUMENT, TERMS))
            name, meaning = self._span(term.term, term.meaning)
            terms.append(_with(term, term=name, meaning=meaning))
        layout = self._layout(policy.pair)
        general = tuple(self._clause(GENERAL, clause) for clause in policy.general)
        dimensions = tuple(self._dimension(policy, dimension) for dimension in policy.dimensions)
        return _with(
            policy, title=title, purpose=purpose, terms=tuple(terms), pair=layout, general=general, dimensions=dimensions
        )  # fmt: skip

    def _layout(self, pair: Layout) -> Layout:
        self.places.append((DOCUMENT, FIELDS))
        query, document = pair.query.fields, pair.document.fields
        return _with(
            pair,
            query=_with(pair.query, fields=(self._begin(query[0]), *query[1:])),
            document=_with(pair.document, fields=(*document[:-1], self._close(document[-1]))),
        )

    def _dimension(self, policy: Body, dimension: Dimension) -> Dimension:
        key = dimension.key
        self.places.append((key, ""))
        title, question = self._span(dimension.title, dimension.question)
        levels = tuple(self._level(key, level) for level in dimension.levels)
        clauses = tuple(self._clause(key, clause) for clause in dimension.clauses)
        precedents = tuple(self._precedent(key, precedent) for precedent in dimension.precedents)
        return _with(
            dimension, title=title, question=question, levels=levels, clauses=clauses, precedents=precedents
        )

    def _level(self, key: str, level: Level) -> Level:
        self.places.append((key, f"level {level.value}"))
        name, criteria = self._span(level.name, level.criteria)
        return _with(level, name=name, criteria=criteria)

    def _clause(self, section: str, clause: Clause) -> Clause:
        self.places.append((section, clause.id))
        return _with(clause, text=self._begin(self._close(clause.text)))

    def _precedent(self, key: str, precedent: Precedent) -> Precedent:
        self.places.append((key, precedent.id))
        query, document = dict(precedent.pair.query), dict(precedent.pair.document)
        because = self._begin(precedent.because)
        if side := document or query:
            last = list(side)[-1]
            side[last] = self._close(side[last])
        else:
            because = self._close(because)
        return _with(precedent, because=because, pair=_with(precedent.pair, query=query, document=document))

    def _span(self, first: str, last: str) -> tuple[str, str]:
        """Mark two texts that follow each other; the second may be empty and is then not rendered."""
        return (self._begin(first), self._close(last)) if last else (self._begin(self._close(first)), "")

    def _begin(self, text: str) -> str:
        return self._start + text

    def _close(self, text: str) -> str:
        # Before trailing line breaks of any kind: behind them the mark would start a line, which is indented.
        kept = len(text.rstrip())
        return text[:kept] + self._end + text[kept:]


def _with(value: _Marked, **changes: object) -> _Marked:
    return value.model_copy(update=changes)
