"""Texts of pairs that look as if they speak to the judge: flagged for a person to look at, never changed or left out.

A flag is no proof and no defence. The defence is the prompt, which fences every pair with a marker of its own and
takes invisible characters out (:mod:`workbench.prompt`); how far a judge can be moved all the same is measured by
:mod:`workbench.probing`. Here the question is only which pairs somebody should read.

Every pattern begins at a fixed word or sign, repeats only single characters, and those a bounded number of times or
between boundaries, so that a text is read in time linear in its length, whoever wrote it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Literal

from workbench.golden import Pair
from workbench.identity import Value
from workbench.policy import Body
from workbench.prompt import fields

Kind = Literal["instruction", "role mark", "fence", "reply", "hidden text", "mixed scripts"]

KINDS: Mapping[Kind, str] = {
    "instruction": "speaks to whoever grades, or asks for a grade",
    "role mark": "looks like a turn of a conversation, as chat templates mark it",
    "fence": "looks like the lines that separate the fields of a pair in the prompt",
    "reply": "looks like a judge's answer",
    "hidden text": "holds characters that a person does not see",
    "mixed scripts": "a word of letters that look alike and come from different alphabets",
}
"""What each kind of suspicion means."""

LONGEST_EXCERPT = 120
MOST_OF_A_KIND = 5
"""Suspicions of one kind that are told of one field; more say nothing new."""
_BEFORE = 20  # characters of the text that an excerpt shows in front of what was found

# Words that a job, a product or an article also uses ("ignore", "grade 4", "system") are suspicious only together:
# what to ignore has to be what governs a judge, and a grade has to be asked for.
_GAP = r"[^.!?\n]{0,40}?\b"
_INSTRUCTION = re.compile(
    r"(?<!not )(?<!never )(?<!n't )(?<!n’t )"  # "do not ignore the rules" obeys them
    r"\b(?:ignore|disregard|forget|override|overrule|bypass)\b(?: (?:all|any|each|every|of|the|your|these|those|this|"
    r"that|my|previous|prior|above|preceding|earlier|other|and|or|grading|system|initial|original)\b){1,6} ?"
    r"(?:polic(?:y|ies)|instructions?|rules?|rubrics?|guidelines?|prompts?|criteria|directions?|levels?|clauses?)\b"
    r"|\bignore (?:everything|anything|all|what(?:ever)?)"
    + _GAP
    + r"(?:above|before|told|previously|so far)\b"
    r"|\b(?:grade|rate|score|mark) (?:this|it|the|each|every|all|us)\b"
    + _GAP
    + r"(?:highest|maximum|top level|best "
    r"(?:grade|level|score)|full marks|[0-9]{1,2} (?:on|for|out of|in) (?:every|all|each|any))\b"
    r"|\b(?:set|put|mark) (?:every|all|each|any)(?: (?:of|the|your))? ?(?:dimensions?|grades?|levels?|scores?|ratings?)"
    r" (?:to|at|as) (?:[0-9]|the |max|full|top)"
    r"|\b(?:give|assign|award|return|output|choose|select|answer|respond|reply)\b[^.!?\n]{0,40}?\b(?:highest|maximum|"
    r"top|best|full) (?:possible )?(?:grade|level|score|rating|marks)s?\b"
    r"|\b(?:grade|rating|score|level|verdict) (?:for|of|on) (?:this|every|each|all|the) (?:pair|dimensions?|document|"
    r"match)\b" + _GAP + r"(?:must|should|is|has to|shall)\b"
    r"|\b(?:correct|right|only acceptable|expected|final) (?:grade|rating|score|verdict) (?:is|here|must|for)\b"
    r"|\b(?:policy|rubric|instructions?|prompt)s? (?:above|given|before)\b"
    + _GAP
    + r"(?:no longer|not appl|void|outdated|suspended|superseded|replaced)"
    r"|\b(?:note|message|instructions?|attention|notice|memo)[ :,-]{1,3}(?:to|for)?(?: (?:the|any|all|an|every))? ?"
    r"(?:ai|a\.i\.|llms?|language models?|graders?|judges?|evaluators?|chatbots?|chatgpt|screening (?:bot|model|tool)s?)\b"
    r"|\b(?:if|when|since|as|because) you(?:'re|’re| are) (?:an? |the )?(?:ai|llm|language model|chatbot|chatgpt|grader)\b"
    r"|\byou are (?:now|no longer) (?:an? |the |in )?\w{1,20}"
    r" ?(?:ai|assistant|judge|grader|evaluator|model|mode|bot)\b"
    r"|\b(?:new|updated|override|developer|hidden|secret) (?:system )?(?:instructions?|prompt|policy) ?: "
    r"|\b(?:your|the) system prompt\b",
    re.IGNORECASE,
)
_ROLE = re.compile(
    r"<\|"
    r"|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|</?(?:system|assistant)>"
    r"|^[ \t]{0,8}#{2,4} ?(?:system|instruction|assistant|response|user)s?[ \t]{0,4}:?[ \t]{0,4}$"
    r"|^[ \t>*#\[\"']{0,8}(?:system|assistant|developer)(?: (?:prompt|message|note|override))?[\]*]{0,3} ?:[*]{0,2}"
    r"(?=[ \t]{0,4}$|[^\n]{0,80}\b(?:you|your|ignore|disregard|grades?|answer|reply|respond|output|polic(?:y|ies)|"
    r"instructions?|prompt|override|judge)\b)"
    r"|^[ \t]{0,4}(?:human|user|assistant|system)[ \t]{0,4}:[ \t]{0,4}$",
    re.IGNORECASE | re.MULTILINE,
)
_HIDDEN = re.compile(
    "[\U000e0000-\U000e007f]+"  # tag characters, in which text can be written that no font shows
    "|[\u202d\u202e]"  # overrides of the writing direction
    "|(?<=[A-Za-z0-9])[\u200b-\u200d\u2060-\u2064\ufeff]+(?=[A-Za-z0-9])"  # one at the end of a word is debris
    "|[\u200b-\u200d\u2060-\u2064\ufeff]{3,}"
)
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_ZERO_WIDTH = re.compile("[\u00ad\u200b-\u200d\u2060-\u2064\ufeff]")
_BLACK_FLAG = "\U0001f3f4"  # flags of regions (England) are this and six tag characters at most
_LONGEST_FLAG = 7
# Cyrillic and Greek letters that look like Latin ones. A word that also has other letters of its alphabet is a word of
# another language with a foreign part, which is common ("PDFки"), and is left alone.
_LOOK_ALIKES = "асеорхуіјѕһԁАВСЕНІЈКМОРЅТХУΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"
_ANY_LOOK_ALIKE = re.compile(f"[{_LOOK_ALIKES}]")
_LOOK_ALIKE_WORD = re.compile(rf"(?<![^\W\d_])[A-Za-z{_LOOK_ALIKES}]+(?![^\W\d_])")
_FEWEST_LATIN = 2


class Suspicion(Value):
    """One place that looks as if it speaks to the judge."""

    field: str  # side.field
    kind: Kind
    excerpt: str  # at most LONGEST_EXCERPT characters; what cannot be seen is written as \u200b
    position: int  # of what was found, in characters of the field


def suspicions(policy: Body, pair: Pair) -> tuple[Suspicion, ...]:
    """Return the places of a pair's texts that look as if they speak to the judge, in reading order.

    Only fields that the policy lays out are read, because only those are sent.
    """
    marks = _marks(policy.keys, tuple(policy.pair.field_names()))
    return tuple(found for name, text in fields(policy, pair) for found in _in_field(name, text, marks))


def flagged(policy: Body, pairs: Iterable[Pair]) -> dict[str, tuple[Suspicion, ...]]:
    """Return pair id -> suspicions, for the pairs that have some, in the order of ``pairs``."""
    found = ((pair.id, suspicions(policy, pair)) for pair in pairs)
    return {pair_id: those for pair_id, those in found if those}


@lru_cache(maxsize=16)
def _marks(keys: tuple[str, ...], names: tuple[str, ...]) -> tuple[tuple[Kind, re.Pattern[str]], ...]:
    """Return the patterns that are searched in a text without its zero-width characters."""
    sides = "|".join(sorted({re.escape(name.partition(".")[0]) for name in names}))
    fence = re.compile(
        r"^[ \t>*-]{0,8}(?:BEGIN|END)[ \t]{1,4}(?:OF[ \t]{1,4})?(?:(?:THE|THIS|the|this)[ \t]{1,4})?"
        r"(?:PAIR|DATA|DOCUMENT|PROMPT|INPUT|QUERY|MESSAGE|INSTRUCTIONS|POLICY|pair|data|document|prompt|query|"
        rf"(?i:{sides}))\b"
        r"|\bpair-[0-9a-f]{8,32}\b"
        rf"|^[ \t]{{0,8}}\[[^\]\n]{{0,60}}(?:{'|'.join(map(re.escape, names))})\]",
        re.MULTILINE,
    )
    quote = "[\"'“”]"
    reply = re.compile(
        rf"{quote}grade{quote}[ \t]{{0,8}}:[ \t]{{0,8}}{quote}?(?:-?[0-9]|N/A)"
        rf"|{quote}(?:{'|'.join(map(re.escape, keys))}){quote}[ \t]{{0,8}}:[ \t\n]{{0,8}}(?:\{{|[0-9])",
        re.IGNORECASE,
    )
    return ("instruction", _INSTRUCTION), ("role mark", _ROLE), ("fence", fence), ("reply", reply)


def _in_field(name: str, text: str, marks: tuple[tuple[Kind, re.Pattern[str]], ...]) -> list[Suspicion]:
    found: list[tuple[Kind, int, int]] = [("hidden text", *span) for span in _hidden(text)]
    found += [("mixed scripts", *span) for span in _mixed(text)]
    # "ig<zero width>nore" is read as a person reads it, and told where it stands in the text as it is.
    seen, places = _without_zero_width(text)
    for kind, pattern in marks:
        for match in pattern.finditer(seen):
            start, end = match.span()
            found.append((kind, places[start], places[end - 1] + 1) if places else (kind, start, end))
    told = Counter[Kind]()
    kept = []
    for kind, start, end in sorted(found, key=lambda one: (one[1], one[0])):
        told[kind] += 1
        if told[kind] <= MOST_OF_A_KIND:
            excerpt = _excerpt(text, start, end)
            kept.append(Suspicion(field=name, kind=kind, excerpt=excerpt, position=start))
    return kept


def _without_zero_width(text: str) -> tuple[str, list[int]]:
    """Return the text as it is seen, and where each character of it stands in ``text``; [] where they are the same."""
    if not _ZERO_WIDTH.search(text):
        return text, []
    places = [place for place, character in enumerate(text) if not _ZERO_WIDTH.match(character)]
    return "".join(text[place] for place in places), places


def _hidden(text: str) -> Iterator[tuple[int, int]]:
    for match in _HIDDEN.finditer(text):
        flag = match.start() > 0 and text[match.start() - 1] == _BLACK_FLAG and len(match[0]) <= _LONGEST_FLAG
        if not flag:
            yield match.span()


def _mixed(text: str) -> Iterator[tuple[int, int]]:
    if not _ANY_LOOK_ALIKE.search(text):
        return
    for match in _LOOK_ALIKE_WORD.finditer(text):
        latin = sum(letter.isascii() for letter in match[0])
        if _FEWEST_LATIN <= latin < len(match[0]):
            yield match.span()


def _excerpt(text: str, start: int, end: int) -> str:
    """Return what was found with a little of what stands before and after it, on one line."""
    first = max(start - _BEFORE, 0)
    shown = "".join(_visible(c) for c in text[first : end + LONGEST_EXCERPT])
    shown = ("…" if first else "") + shown.replace("\n", " ⏎ ")
    longer = len(shown) > LONGEST_EXCERPT or end + LONGEST_EXCERPT < len(text)
    return shown[: LONGEST_EXCERPT - 1] + "…" if longer else shown


def _visible(character: str) -> str:
    if not _INVISIBLE.match(character):
        return character
    code = ord(character)
    return f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}"
