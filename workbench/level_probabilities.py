"""How sure a judge is: probabilities over a dimension's levels, from token log-probabilities or from repeats.

Log-probabilities say how the model would have gone on at the grade, given all that it had written before. Where the
reason stands before the grade, that is how sure it is after its own argument, which is mostly surer than it is right:
calibrate before comparing them with frequencies.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

from workbench.golden import NOT_APPLICABLE, NOT_GRADED
from workbench.policy import Body, Dimension
from workbench.prompt import NA
from workbench.run import Judgement

Path = tuple[str, ...]

JEFFREYS = 0.5
"""Jeffreys' prior of a multinomial: half an answer for each level."""

_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_DIGITS = re.compile(r"[0-9]+")
_SEVERAL_DIGITS = re.compile(rb"[0-9]{2}")
_ENDS_WHOLE = re.compile(r"[^.eE]|\.0+(?![0-9eE])")
"""What may follow the digits of a whole number: anything but a fraction or an exponent, or a fraction of zeros."""


class NoProbabilities(ValueError):
    """Log-probabilities that cannot be used. Its text is one sentence."""


@dataclass(frozen=True)
class LevelProbabilities:
    """What is known about one grade beside the grade."""

    levels: tuple[int, ...]
    """The declared levels, ascending."""
    probabilities: tuple[float, ...] | None
    """One a level, summing to 1: given that the dimension applies. None where no level was seen at all."""
    not_applicable: float
    """Share of "N/A" among all answers that count, 0 to 1."""
    outside: float = 0.0
    """Share of probability that went to no level and not to "N/A", or that was not listed; 0 from repeats."""

    @property
    def expected(self) -> float | None:
        """The mean grade, given that the dimension applies."""
        if self.probabilities is None:
            return None
        return sum(level * share for level, share in zip(self.levels, self.probabilities, strict=True))


@dataclass(frozen=True)
class Repeats:
    """What several answers to one question say together."""

    spread: LevelProbabilities
    mode: int
    """The settled grade; NOT_APPLICABLE where more answers say so than name a level, NOT_GRADED without any."""
    agreement: float | None
    """Chance that two different answers, drawn at random, are the same; None for fewer than two."""
    answers: int
    failed: int


def grade_places(reply: str) -> dict[Path, tuple[int, int, int]]:
    """Return where the grades stand in a reply that was read: (behind the colon, first, behind the last character).

    Keys are paths to the object that holds the grade: ``("skills",)``, or ``("P2", "skills")`` in a reply about
    several pairs. A text that is no JSON object has no places, or some that mean nothing.
    """
    places: dict[Path, tuple[int, int, int]] = {}
    opened: list[tuple[str, str]] = []  # bracket and the key it stands under
    key: str | None = None
    colon = 0
    for match in _JSON_TOKEN.finditer(reply, max(0, reply.find("{"))):
        token = match[0]
        if token in {"{", "["}:
            opened.append((token, key or ""))
            key = None
        elif token in {"}", "]"}:
            opened[-1:] = []
            key = None
        elif token == ",":
            key = None
        elif token == ":":
            colon = match.end()
        elif opened and opened[-1][0] == "{":
            if key is None:
                key = _unquoted(token)
            elif key == "grade":
                places[tuple(name for _, name in opened[1:])] = (colon, match.start(), match.end())
        if not opened:
            break
    return places


def from_tokens(
    content: Any, reply: str, dimensions: Mapping[Path, Dimension]
) -> dict[Path, LevelProbabilities]:
    """Return the probabilities at each grade of a reply.

    From the beginning of the value on, token by token, every alternative that settles the value (a level, alone
    or joined with spaces, a quote or what follows it; the beginning of "N/A") gets its probability times that of
    the tokens before it. What stays open (the "1" of 1 and 10, when another token was written there) counts as
    outside.

    Args:
        content: ``choices[0].logprobs.content`` of a chat completion: objects with ``token``, ``logprob``,
            ``top_logprobs`` and, best, ``bytes``. More alternatives, less is outside; OpenAI gives up to 20.
        reply: the text of the completion.
        dimensions: which grades are wanted; the keys as :func:`grade_places` gives them. Grades that the reply
            lacks are left out.

    Raises:
        NoProbabilities: when the tokens are not those of the reply, or are not in that form.
    """
    if not isinstance(content, list) or not content:
        raise NoProbabilities("The provider gave no log-probabilities.")
    pieces = [_bytes(entry) for entry in content]
    stream = b"".join(pieces)
    # Before the reply there may be other tokens, such as reasoning, and behind it marks of the end.
    begin = stream.rfind(reply.encode("utf-8", "surrogatepass"))
    if begin < 0 or not reply:
        raise NoProbabilities("The tokens of the log-probabilities do not spell the reply.")
    starts = [0, *accumulate(map(len, pieces))][:-1]

    def at(character: int) -> int:
        return begin + len(reply[:character].encode("utf-8", "surrogatepass"))

    walk = _Walk(content, stream, starts)
    places = grade_places(reply)
    return {
        path: walk.spread(dimension, *map(at, places[path]))
        for path, dimension in dimensions.items()
        if path in places
    }


def with_probabilities(
    policy: Body, judgements: Sequence[Judgement], content: Any, reply: str, *, label: str = ""
) -> tuple[Judgement, ...]:
    """Return judgements of a reply with ``probabilities`` and ``expected`` from its tokens; the grades stay.

    Failed judgements and "N/A" are returned as they are, and so is a grade without probability on any level.

    Args:
        label: what the reply calls the pair, where it is about several.

    Raises:
        NoProbabilities: see :func:`from_tokens`.
    """
    above: Path = (label,) if label else ()
    paths = {j.dimension: (*above, j.dimension) for j in judgements if j.grade >= 0}
    wanted = {path: policy.dimension(key) for key, path in paths.items()}
    found = from_tokens(content, reply, wanted) if wanted else {}
    return tuple(_with(judgement, found.get(paths.get(judgement.dimension, ()))) for judgement in judgements)


def from_repeats(grades: Sequence[int], levels: Sequence[int], prior: float = JEFFREYS) -> Repeats:
    """Return what repeated answers to one question say together.

    The probability of a level that n of N answers named is (n + prior) / (N + prior × levels): additive smoothing,
    the posterior mean under a symmetric Dirichlet prior. With 0 it is the frequency. The share of "N/A" is its
    frequency. Of levels named equally often, the mode is the one nearest to the mean answer, then the lower one.

    Args:
        grades: one an answer: levels, NOT_APPLICABLE, or NOT_GRADED for an answer that failed and does not count.
        levels: the declared levels, ascending.
        prior: answers that each level has before any is given, at least 0.

    Raises:
        ValueError: for a grade that is none of these, and a prior below 0.
    """
    if not prior >= 0 or math.isinf(prior):
        raise ValueError(f"the prior is {prior}; it must be 0 or above")
    strange = [grade for grade in grades if grade not in {*levels, NOT_APPLICABLE, NOT_GRADED}]
    if strange:
        raise ValueError(f"{strange[0]} is not a grade on the scale {', '.join(map(str, levels))}")
    answers = [grade for grade in grades if grade != NOT_GRADED]
    counts = Counter(answers)
    named = len(answers) - counts[NOT_APPLICABLE]
    total = named + prior * len(levels)
    spread = LevelProbabilities(
        levels=tuple(levels),
        probabilities=tuple((counts[level] + prior) / total for level in levels) if named else None,
        not_applicable=counts[NOT_APPLICABLE] / len(answers) if answers else 0.0,
    )
    same = sum(count * (count - 1) for count in counts.values())
    return Repeats(
        spread=spread,
        mode=_mode(counts, levels, named),
        agreement=same / (len(answers) * (len(answers) - 1)) if len(answers) > 1 else None,
        answers=len(answers),
        failed=len(grades) - len(answers),
    )


def settled(dimension: Dimension, answers: Sequence[Judgement], prior: float = JEFFREYS) -> Judgement:
    """Return one judgement for the repeated judgements of one cell, at least one, as :func:`from_repeats` settles.

    Rationale and citations are those of the first answer with the settled grade; if all failed, the first is kept.
    """
    repeats = from_repeats([answer.grade for answer in answers], dimension.scale, prior)
    first = next(answer for answer in answers if answer.grade == repeats.mode)
    return _with(first, repeats.spread if repeats.mode >= 0 else None)


def _mode(counts: Mapping[int, int], levels: Sequence[int], named: int) -> int:
    # Whether it applies is one question, how well another: answers for different levels count together for yes.
    if counts.get(NOT_APPLICABLE, 0) > named:
        return NOT_APPLICABLE
    if not named:
        return NOT_GRADED
    mean = sum(level * counts.get(level, 0) for level in levels) / named
    return min(levels, key=lambda level: (-counts.get(level, 0), abs(level - mean), level))


def _with(judgement: Judgement, spread: LevelProbabilities | None) -> Judgement:
    if spread is None or spread.probabilities is None:
        return judgement
    return judgement.model_copy(update={"probabilities": spread.probabilities, "expected": spread.expected})


@dataclass(frozen=True)
class _Walk:
    """The tokens of one completion."""

    content: Sequence[Any]
    stream: bytes
    starts: Sequence[int]

    def spread(self, dimension: Dimension, colon: int, first: int, end: int) -> LevelProbabilities:
        """Return the probabilities at the value that stands at bytes ``first`` to ``end``, behind a colon."""
        masses: defaultdict[int, float] = defaultdict(float)
        reach = 1.0
        token = bisect_right(self.starts, colon - 1) - 1
        # Up to the token behind the value: what follows the "1" decides whether it is 1 or 10.
        while token < len(self.content) and self.starts[token] <= end:
            start = self.starts[token]
            # A token may hold the end of the key and the colon; what it says of the value stands behind them.
            lead, before = self.stream[start:colon], self.stream[colon : max(start, colon)]
            chosen, options = _options(self.content[token])
            whole = any(_SEVERAL_DIGITS.search(option) for option in options)
            meanings = {
                option: _meaning(before + option[len(lead) :], dimension, whole)
                for option in options
                if option.startswith(lead)
            }
            settles = {option: what for option, what in meanings.items() if isinstance(what, int)}
            # Until the value begins, ways to space and cut it into tokens compete as well, which is not about the
            # grade: there, only what settles it counts beside the way that was taken.
            begun = token + 1 == len(self.content) or self.starts[token + 1] > first
            counted = 1.0 if begun else sum(options[o] for o in settles.keys() | {chosen})
            for option, grade in settles.items():
                masses[grade] += reach * options[option] / counted if counted else 0.0
            if chosen in settles:
                return _spread(dimension, masses)
            reach *= options[chosen] / counted if counted else 0.0
            token += 1
        # Written in a way that is not followed here, such as 3e0: what the alternatives say alone would mislead.
        return LevelProbabilities(dimension.scale, None, not_applicable=0.0, outside=1.0)


def _spread(dimension: Dimension, masses: Mapping[int, float]) -> LevelProbabilities:
    on_levels = sum(masses.get(level, 0.0) for level in dimension.scale)
    counted = on_levels + masses.get(NOT_APPLICABLE, 0.0)
    return LevelProbabilities(
        levels=dimension.scale,
        probabilities=tuple(masses.get(level, 0.0) / on_levels for level in dimension.scale)
        if on_levels > 0
        else None,
        not_applicable=masses.get(NOT_APPLICABLE, 0.0) / counted if counted > 0 else 0.0,
        outside=min(1.0, max(0.0, 1.0 - counted)),
    )


def _meaning(said: bytes, dimension: Dimension, whole: bool) -> int | Literal["open", "outside"]:
    """Return the grade that a value which begins with ``said`` has.

    Args:
        said: all from behind the colon to the end of a token.
        whole: whether the tokenizer writes several digits as one token, so that digits at a token's end are all.
    """
    text = said.decode("utf-8", "replace").lstrip()
    quoted = text.startswith('"')
    text = text[1:] if quoted else text
    if digits := _DIGITS.match(text):
        number, rest = digits[0], text[digits.end() :]
        if rest and not _ENDS_WHOLE.match(rest):
            return "open" if rest == "." else "outside"
        begun = {str(level): level for level in dimension.scale if str(level).startswith(number)}
        if number in begun and (rest or whole or len(begun) == 1):
            return begun[number]
        if rest or whole or not begun:
            return "outside"
        return next(iter(begun.values())) if len(begun) == 1 else "open"
    if dimension.allow_na and (text or quoted) and NA.startswith(text.partition('"')[0]):
        return NOT_APPLICABLE
    return "outside" if text or quoted else "open"


def _options(entry: Any) -> tuple[bytes, dict[bytes, float]]:
    """Return the token that was written, and the probability of it and of every alternative listed."""
    chosen = _bytes(entry)
    listed = entry.get("top_logprobs")
    if listed is not None and not isinstance(listed, list):
        raise NoProbabilities("The log-probabilities are not in the form of a chat completion.")
    options = {_bytes(other): _probability(other) for other in listed or ()}
    options[chosen] = _probability(entry)
    return chosen, options


def _probability(entry: Any) -> float:
    value = entry.get("logprob")
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise NoProbabilities("A log-probability is not a number.")
    return math.exp(min(0.0, value))  # rounding gives some that are just above 0


def _bytes(entry: Any) -> bytes:
    if isinstance(entry, dict):
        raw, token = entry.get("bytes"), entry.get("token")
        # A token may hold part of a character, which its text cannot show.
        if isinstance(raw, list) and all(type(byte) is int and 0 <= byte < 256 for byte in raw):
            return bytes(raw)
        if isinstance(token, str):
            return token.encode("utf-8", "surrogatepass")
    raise NoProbabilities("The log-probabilities are not in the form of a chat completion.")


def _unquoted(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return token
