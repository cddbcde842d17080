"""Which texts of an edited document are texts of the one it was made from: by what they say, not by where they stand.

Equal texts first, then texts that share most of their words, then ids that the document itself writes, then texts
between the same neighbours. A text that could be one of two is neither.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from difflib import SequenceMatcher
from functools import lru_cache

LEAST_ALIKE = 0.5
"""Share of words that two texts have in common, in order, from which one can be the other reworded."""
LEAST_BETWEEN = 0.35
"""The same for texts that stand between the same two neighbours."""
MARGIN = 0.15
"""How much better a match has to be than the next best one of either text; a written id counts as much."""

_TYPED = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»″", '"'),
        **dict.fromkeys("‘’‚‛′", "'"),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        "…": "...",
        "`": None,
    }
)
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff"
_WORDS = re.compile(rf"[{_IDEOGRAPHS}]|[^\W{_IDEOGRAPHS}]+")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_CODE = re.compile(r"`([^`\n]+)`")
_BULLET = re.compile(r"^(\s*)[*+](?=\s)", re.MULTILINE)


def same_text(a: str, b: str) -> bool:
    """Whether two texts differ at most in what a word processor changes by itself.

    That is white space, the shape of quotation marks, dashes and bullets, escapes and code marks.
    """
    return a == b or plain(a) == plain(b)


def with_code_marks(new: str, old: str) -> str:
    """Return ``new`` with the code marks of ``old``, where it has none: a word processor drops them.

    A word gets them back if it stands as often in ``new`` as it is marked in ``old``, and is never unmarked there.
    """
    if "`" in new:
        return new
    for code in dict.fromkeys(_CODE.findall(old)):
        bare = re.compile(rf"(?<![\w`]){re.escape(code)}(?![\w`])")
        if len(bare.findall(new)) == old.count(f"`{code}`") and not bare.search(old):
            new = bare.sub(lambda found: f"`{found[0]}`", new)
    return new


def match(new: Mapping[str, str], old: Mapping[str, str], written: Collection[str] = ()) -> dict[str, str]:
    """Return new id -> old id of the texts that are the same rule; no old id is given twice.

    Args:
        new, old: id -> text, in reading order.
        written: new ids that the document itself writes and that therefore say something.
    """
    found: dict[str, str] = {}
    _match_equal(new, old, written, found)
    _match_alike(new, old, written, found, LEAST_ALIKE)
    for one in new:
        if one in written and one not in found and one in old and one not in found.values():
            found[one] = one
    if found:
        places = _places(old, {o: o for o in found.values()})
        by_place: dict[tuple[str, str], list[str]] = {}
        for one, place in _places(new, found).items():
            by_place.setdefault(place, []).append(one)
        for place, ids in by_place.items():
            between = {o: old[o] for o, there in places.items() if there == place}
            _match_alike({n: new[n] for n in ids}, between, written, found, LEAST_BETWEEN)
    return found


def _match_equal(
    new: Mapping[str, str], old: Mapping[str, str], written: Collection[str], found: dict[str, str]
) -> None:
    """Add the pairs of equal texts; where a text is there several times, first those with the same written id."""
    waiting: dict[str, list[str]] = {}
    for one, text in old.items():
        waiting.setdefault(plain(text), []).append(one)
    for one, text in new.items():
        if one in written and one in waiting.get(plain(text), []):
            found[one] = one
            waiting[plain(text)].remove(one)
    for one, text in new.items():
        if one not in found and waiting.get(plain(text)):
            found[one] = waiting[plain(text)].pop(0)


def _match_alike(
    new: Mapping[str, str],
    old: Mapping[str, str],
    written: Collection[str],
    found: dict[str, str],
    least: float,
) -> None:
    """Add the pairs that are clearly the best match of each other, until there is none."""
    taken = set(found.values())
    columns = [one for one in old if one not in taken]
    scores: dict[tuple[str, str], float] = {}
    for n in (one for one in new if one not in found):
        for o in columns:
            bonus = MARGIN if n == o and n in written else 0.0
            # Below the floor a text neither can be the match nor makes another one doubtful.
            if score := _alike(new[n], old[o], floor=least - MARGIN):
                scores[n, o] = score + bonus
    while clear := _clear(scores, least):
        found.update(clear)
        scores = {
            (n, o): score for (n, o), score in scores.items() if n not in clear and o not in clear.values()
        }


def _clear(scores: Mapping[tuple[str, str], float], least: float) -> dict[str, str]:
    """Return the pairs that are better by ``MARGIN`` than all others of either text."""
    rivals: dict[tuple[int, str], list[float]] = {}
    for pair, score in scores.items():
        for place in enumerate(pair):
            rivals[place] = sorted([score, *rivals.get(place, [])], reverse=True)[:2]
    clear = {}
    for (n, o), score in scores.items():
        others = [value for place in ((0, n), (1, o)) for value in rivals[place][1:]]
        best = score == rivals[0, n][0] == rivals[1, o][0]
        if best and score >= least and all(score - other >= MARGIN for other in others):
            clear[n] = o
    return clear


def _places(texts: Mapping[str, str], found: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return for each id without a match the old ids of the nearest matched texts before and after it."""
    places: dict[str, tuple[str, str]] = {}
    waiting: list[str] = []
    last = ""
    for one in [*texts, ""]:
        if one and one not in found:
            waiting.append(one)
            continue
        here = found.get(one, "")
        places.update(dict.fromkeys(waiting, (last, here)))
        waiting, last = [], here
    return places


@lru_cache(maxsize=20_000)
def plain(text: str) -> str:
    """Return a text without what :func:`same_text` overlooks."""
    text = _BULLET.sub(r"\1-", _ESCAPE.sub(r"\1", text))
    return " ".join(text.translate(_TYPED).split())


@lru_cache(maxsize=20_000)
def _words(text: str) -> tuple[tuple[str, ...], Counter[str]]:
    words = tuple(_WORDS.findall(plain(text).casefold()))
    return words, Counter(words)


def _alike(a: str, b: str, *, floor: float) -> float:
    """Return 2 × (words in common, in order) / (words of both), between 0 and 1; 0 where it is below ``floor``."""
    (first, bag), (second, other) = _words(a), _words(b)
    if not first or not second or 2 * (bag & other).total() < floor * (len(first) + len(second)):
        return 0.0  # the order of words only lowers the share
    share = SequenceMatcher(None, first, second, autojunk=False).ratio()
    return share if share >= floor else 0.0
