"""Lint of the words: vague ones, terms, acronyms, ids of clauses that are not there.

What is derived from one text is kept by that text, so that an edit costs as much as the part that was edited.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from workbench.policy import Body
from workbench.policy_diff import DOCUMENT, GENERAL, OVERALL_RULE
from workbench.policy_lint_finding import Finding, warning

VAGUE = (
    "appropriate", "appropriately", "reasonable", "reasonably", "sufficient", "sufficiently", "adequate",
    "adequately", "acceptable", "acceptably", "suitable", "suitably", "decent", "significant", "significantly",
    "somewhat", "fairly", "good enough", "as needed", "if necessary", "etc.",
)  # fmt: skip
PARTS_OF_A_TERM = 2
"""Clauses and criteria that have to use a phrase or an acronym before it counts as a term of this policy."""

_VAGUE = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, VAGUE))})(?!\w)", re.IGNORECASE)
_QUOTED = re.compile(r'"[^"\n]*"|“[^”\n]*”|„[^“”\n]*[“”]|«[^»\n]*»|`[^`\n]*`')
_IN_PARENTHESES = re.compile(r"\([^()]*\)")
_BOLD = re.compile(
    r"(?<=[\w,;:)])[ \n]\*\*([^*\n]{2,60}?)\*\*"
)  # within a sentence; at its start it is a heading
_CAPITALISED = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+(?: (?:(?:of|and|or) )?[A-Z][a-z]+)+")
_ACRONYM = re.compile(r"(?<![\w.&/+-])([A-Z]{2,6})s?(?![\w&/+-])")
_SPELLED_OUT = re.compile(
    r"\(([A-Z]{2,6})s?\)|\b([A-Z]{2,6})s? \("
)  # behind what it stands for, or before it
_ID = re.compile(r"(?<![\w.])([a-z][a-z0-9_]*)\.([a-z]?[0-9]+)(?![\w])")
_LETTERS = re.compile(r"[^\W\d_]+")
_ALTERNATIVES = re.compile(r"\s+or\s+|[,/()]")
_EMPHASIS = frozenset(
    {"not", "never", "no", "none", "only", "all", "any", "always", "both", "and", "or", "must", "n a", "at least",
     "at most", "except", "unless", "before", "after", "if", "each", "every"}
)  # fmt: skip


class Part(NamedTuple):
    """A text of the document and where it stands."""

    section: str
    item: str
    text: str


@lru_cache(maxsize=4096)
def stems(text: str) -> tuple[str, ...]:
    """Return the words of ``text`` in lower case, singular and plural alike."""
    return tuple(map(_stem, re.findall(r"\w+", text.lower())))


def vague(part: Part) -> Iterator[Finding]:
    """Yield the vague words of a text; what is quoted from elsewhere does not count."""
    if words := _vague_words(part.text):
        said = " and ".join(f"'{word}'" for word in words)
        yield warning(f"says {said}, which two readers will read differently.", part.section, part.item)


def rules(body: Body) -> Iterator[Part]:
    """Yield the texts that decide a grade: general rules, then the criteria and clauses of each dimension."""
    for clause in body.general:
        yield Part(GENERAL, clause.id, clause.text)
    for dimension in body.dimensions:
        for level in dimension.levels:
            yield Part(dimension.key, f"level {level.value}", level.criteria)
        for clause in dimension.clauses:
            yield Part(dimension.key, clause.id, clause.text)


def word_findings(body: Body) -> Iterator[Finding]:
    """Yield what is to be said of terms, acronyms and mentioned ids."""
    decisive = list(rules(body))
    others = [Part(dimension.key, "", dimension.question) for dimension in body.dimensions]
    others += [
        Part(d.key, precedent.id, precedent.because) for d in body.dimensions for precedent in d.precedents
    ]
    others += [Part(OVERALL_RULE, gate.id, gate.because) for gate in body.overall.gates]
    terms = [Part(DOCUMENT, f"term {term.term}", term.meaning) for term in body.terms]
    everything = [Part(DOCUMENT, "", body.purpose), *terms, *decisive, *others]
    yield from _unused_terms(body, everything)
    yield from _undefined_terms(body, decisive, everything)
    yield from _acronyms(body, decisive, everything)
    yield from _missing_ids(body, everything)


def _unused_terms(body: Body, everything: list[Part]) -> Iterator[Finding]:
    names = [level.name for dimension in body.dimensions for level in dimension.levels]
    defining = {f"term {term.term}" for term in body.terms}
    texts = [part.text for part in everything if part.item not in defining] + names
    line = "|".join(map(_line, texts))
    for term in body.terms:
        alternatives = [found for found in map(stems, _ALTERNATIVES.split(term.term)) if found]
        phrases = [f" {' '.join(words)} " for words in alternatives]
        if any(phrase in line for phrase in phrases):
            continue
        meanings = [other.meaning for other in body.terms if other != term]
        if any(phrase in _line(meaning) for meaning in meanings for phrase in phrases):
            continue
        # Other languages inflect otherwise: the beginnings of the words are enough. Scripts without capitals are
        # those that may be written without spaces: anywhere in the text is enough.
        begun = [r"\w* ".join(word[: max(4, len(word) - 2)] for word in words) for words in alternatives]
        anywhere = term.term.upper() == term.term.lower()
        found = re.compile("|".join(begun if anywhere else (rf"\b{pattern}" for pattern in begun)))
        if not any(found.search(_line(text)) for text in (*texts, *meanings)):
            yield warning("is defined and never used.", DOCUMENT, f"term {term.term}")


def _undefined_terms(body: Body, decisive: list[Part], everything: list[Part]) -> Iterator[Finding]:
    known = {stems(alternative) for term in body.terms for alternative in _ALTERNATIVES.split(term.term)}
    known |= {stems(term.term) for term in body.terms}
    known |= {stems(name) for d in body.dimensions for name in (d.title, d.key.replace("_", " "))}
    known |= {stems(level.name) for dimension in body.dimensions for level in dimension.levels}
    known |= {stems(name.replace("_", " ")) for field in body.pair.field_names() for name in field.split(".")}
    for phrase, users in _users(decisive, lambda text: (*_bold(text), *_capitalised(text))):
        if stems(phrase) in known:
            continue
        if phrase[0].isupper() and not all(_written_small(word, everything) for word in phrase.split()):
            continue  # a name: its words are capitals wherever they stand
        yield warning(
            f"uses '{phrase}' as a term, and so {_and_others(users[1:])}; it is not defined under Terms.",
            users[0].section,
            users[0].item,
        )


def _acronyms(body: Body, decisive: list[Part], everything: list[Part]) -> Iterator[Finding]:
    explained = " ".join(f"{term.term} {term.meaning}" for term in body.terms)
    names = [level.name for d in body.dimensions for level in d.levels] + [d.title for d in body.dimensions]
    spelled_out = frozenset().union(*(_spelled_out(part.text) for part in everything))
    for acronym, users in _users(decisive, _acronyms_of):
        if (
            acronym in spelled_out
            or acronym in names
            or re.search(rf"\b{acronym}\b", explained)
            or _written_small(acronym, everything)
        ):
            continue
        yield warning(
            f"uses the acronym {acronym}, and so {_and_others(users[1:])}; it is spelled out nowhere.",
            users[0].section,
            users[0].item,
        )


def _missing_ids(body: Body, everything: list[Part]) -> Iterator[Finding]:
    sections = {GENERAL, "gate", *body.keys}
    there = {clause.id for _, clause in body.clauses()} | {gate.id for gate in body.overall.gates}
    there |= {precedent.id for dimension in body.dimensions for precedent in dimension.precedents}
    for part in everything:
        for section, name in _mentioned(part.text):
            retired = name in body.retired  # also of a dimension that is no more
            if name not in there and (section in sections or retired):
                what = "was retired" if retired else "does not exist"
                yield warning(f"speaks of {name}, which {what}.", part.section, part.item)


def _users(
    parts: Iterable[Part], phrases: Callable[[str], Iterable[str]]
) -> Iterator[tuple[str, list[Part]]]:
    """Yield (phrase as first written, its users in order) of the phrases that enough parts use."""
    users: dict[tuple[str, ...], list[Part]] = defaultdict(list)
    written: dict[tuple[str, ...], str] = {}
    for part in parts:
        for phrase in dict.fromkeys(phrases(part.text)):
            key = stems(phrase)
            written.setdefault(key, phrase)
            if part not in users[key]:
                users[key].append(part)
    for key, found in users.items():
        if len(found) >= PARTS_OF_A_TERM:
            yield written[key], found


def _and_others(parts: list[Part]) -> str:
    first = f"{parts[0].section} {parts[0].item}" if parts[0].item.startswith("level ") else parts[0].item
    return f"does {first}" if len(parts) == 1 else f"do {first} and {len(parts) - 1} more"


def _written_small(word: str, everything: list[Part]) -> bool:
    small = _stem(word.lower())
    return any(small in _small_words(part.text) for part in everything)


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


@lru_cache(maxsize=4096)
def _line(text: str) -> str:
    return f" {' '.join(stems(text))} "


@lru_cache(maxsize=4096)
def _small_words(text: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in _LETTERS.findall(text) if word.islower())


@lru_cache(maxsize=4096)
def _vague_words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found.lower() for found in _VAGUE.findall(_QUOTED.sub(" ", text))))


@lru_cache(maxsize=4096)
def _bold(text: str) -> tuple[str, ...]:
    found = (phrase.strip() for phrase in _BOLD.findall(text))
    return tuple(
        p for p in found if p[-1] not in ".:!?" and " ".join(stems(p)) not in _EMPHASIS and not p.isdigit()
    )


@lru_cache(maxsize=4096)
def _capitalised(text: str) -> tuple[str, ...]:
    return tuple(_CAPITALISED.findall(_QUOTED.sub(" ", text)))


@lru_cache(maxsize=4096)
def _acronyms_of(text: str) -> tuple[str, ...]:
    return tuple(_ACRONYM.findall(_IN_PARENTHESES.sub(" ", _QUOTED.sub(" ", text))))


@lru_cache(maxsize=4096)
def _mentioned(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(dict.fromkeys((found[1], found[0]) for found in _ID.finditer(text)))


@lru_cache(maxsize=4096)
def _spelled_out(text: str) -> frozenset[str]:
    return frozenset(found[1] or found[2] for found in _SPELLED_OUT.finditer(text))
