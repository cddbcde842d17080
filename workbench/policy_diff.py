"""The semantic difference of two policy versions: by clause, level, precedent, weight and gate, not by line.

Parts are matched by what they are (clause id, level value, dimension key), so a reworded clause is *reworded*,
not one removed and one added; a clause given ``from`` an older one is a *split*.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher
from typing import Any, Literal, TypeVar

from workbench.identity import Value
from workbench.policy import Body, Clause, Dimension, Gate, Layout, Level, Precedent, Term

ChangeKind = Literal["added", "removed", "reworded", "moved", "split", "changed"]
Part = Literal[
    "title", "purpose", "term", "pair", "dimension", "question", "weight", "considers", "allow_na", "level",
    "clause", "precedent", "combine", "gate", "cut_points",
]  # fmt: skip
Item = TypeVar("Item")

GENERAL = "general"
DOCUMENT = "document"
OVERALL_RULE = "overall"
LEAST_KEPT_WORDS = 3
"""Equal words in a row that are shown as kept between two changed stretches."""


class Change(Value):
    """One difference. ``before`` and ``after`` are texts to show; one is empty for an addition or removal."""

    kind: ChangeKind
    part: Part
    section: str  # "document", "general", a dimension key or "overall"
    id: str  # clause, precedent or gate id, "level 2", a term, or the name of the part
    before: str = ""
    after: str = ""
    origin: str = ""  # for a split, the clause it was split from

    @property
    def judged(self) -> bool:
        """Whether judges read this part, so that verdicts may change; the overall rule needs no judging."""
        return self.section != OVERALL_RULE and self.part != "weight" and self.kind != "moved"

    @property
    def words(self) -> tuple[tuple[str, str], ...]:
        """Word-level difference as (op, text) runs; op is ``=``, ``-`` or ``+``."""
        return word_diff(self.before, self.after)


def word_diff(before: str, after: str) -> tuple[tuple[str, str], ...]:
    """Return runs of (op, text) that turn ``before`` into ``after``, by words.

    ``=`` and ``-`` runs together give before, ``=`` and ``+`` runs give after. A stretch of fewer than
    ``LEAST_KEPT_WORDS`` equal words between two changes counts as changed: a sentence that shares only "the" and
    "of" with its successor reads better as replaced.
    """
    a, b = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (before, after))
    codes = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    runs: list[tuple[str, str]] = []
    removed = added = ""
    for i, (op, a0, a1, b0, b1) in enumerate(codes):
        words = sum(token[0].isalnum() for token in a[a0:a1])
        if op == "equal" and (words >= LEAST_KEPT_WORDS or i in (0, len(codes) - 1)):
            runs += [(sign, text) for sign, text in (("-", removed), ("+", added)) if text]
            runs.append(("=", "".join(a[a0:a1])))
            removed = added = ""
        else:
            removed += "".join(a[a0:a1])
            added += "".join(b[b0:b1])
    runs += [(sign, text) for sign, text in (("-", removed), ("+", added)) if text]
    return tuple(runs)


def show(part: Any) -> str:
    """Return the text by which one part of a policy is shown; empty for None, a part that is not there."""
    match part:
        case None:
            return ""
        case str():
            return part
        case bool():
            return "yes" if part else "no"
        case int() | float():
            # The shortest text that tells this number from any other.
            return repr(part).removesuffix(".0")
        case list() | tuple():
            return ", ".join(map(show, part))
        case Layout():
            return show(part.field_names())
        case Term():
            return part.meaning
        case Clause():
            return part.text
        case Level():
            return f"{part.name}: {part.criteria}"
        case Precedent():
            fields = [
                f"\n{name}: {text}"
                for side in (part.pair.query, part.pair.document)
                for name, text in side.items()
            ]
            cites = f" ({show(part.cites)})" if part.cites else ""
            return f"{'N/A' if part.grade is None else part.grade}: {part.because}{cites}{''.join(fields)}"
        case Gate():
            bound = f"at least {part.at_least}" if part.at_most is None else f"at most {part.at_most}"
            return f"when {part.when}, {bound}" + (f" – {part.because}" if part.because else "")
        case Dimension():
            return f"{part.title}: {part.question} ({len(part.clauses)} clauses)"
    raise TypeError(f"{type(part).__name__} is no part of a policy")


def diff(before: Body, after: Body) -> tuple[Change, ...]:
    """Return every difference from ``before`` to ``after`` in reading order; empty when they say the same."""
    changes: list[Change] = []
    changes += _text("title", DOCUMENT, "title", before.title, after.title)
    changes += _text("purpose", DOCUMENT, "purpose", before.purpose, after.purpose)
    changes += _matched(
        "term",
        DOCUMENT,
        before.terms,
        after.terms,
        key=lambda t: t.term,
        ordered=False,
    )
    changes += _value("pair", DOCUMENT, "pair", before.pair, after.pair)
    known = {clause.id for _, clause in before.clauses()}
    changes += _clauses(GENERAL, before.general, after.general, known)
    old = {dimension.key: dimension for dimension in before.dimensions}
    for dimension in after.dimensions:
        if dimension.key in old:
            changes += _dimension(old[dimension.key], dimension, known)
        else:
            changes.append(_whole("added", dimension))
    kept = set(after.keys)
    changes += [_whole("removed", dimension) for dimension in before.dimensions if dimension.key not in kept]
    for key in _moved([k for k in before.keys if k in kept], [k for k in after.keys if k in old]):
        changes.append(Change(kind="moved", part="dimension", section=key, id=key))
    changes += _overall(before, after)
    return tuple(changes)


def sections_to_judge(changes: Iterable[Change], keys: Sequence[str]) -> tuple[str, ...]:
    """Return the dimensions whose verdicts may change, in the order of ``keys``.

    A change outside the dimensions (general rules, terms, purpose, layout) touches all of them.
    """
    touched = {change.section for change in changes if change.judged}
    if touched & {GENERAL, DOCUMENT}:
        return tuple(keys)
    return tuple(key for key in keys if key in touched)


def _dimension(a: Dimension, b: Dimension, known: set[str]) -> list[Change]:
    key = b.key
    changes = _text("dimension", key, "title", a.title, b.title)
    changes += _text("question", key, "question", a.question, b.question)
    changes += _value("weight", key, "weight", a.weight, b.weight)
    changes += _value("considers", key, "considers", sorted(a.considers), sorted(b.considers))
    changes += _value("allow_na", key, "N/A allowed", a.allow_na, b.allow_na)
    changes += _matched(
        "level", key, a.levels, b.levels,
        key=lambda level: f"level {level.value}", ordered=False,
    )  # fmt: skip
    changes += _clauses(key, a.clauses, b.clauses, known)
    changes += _matched("precedent", key, a.precedents, b.precedents, key=lambda p: p.id, ordered=False)
    return changes


def _overall(before: Body, after: Body) -> list[Change]:
    a, b = before.overall, after.overall
    changes = _value(
        "combine", OVERALL_RULE, "combine", a.combine.replace("_", " "), b.combine.replace("_", " ")
    )
    changes += _matched("gate", OVERALL_RULE, a.gates, b.gates, key=lambda g: g.id)
    changes += _value("cut_points", OVERALL_RULE, "cut points", a.cut_points, b.cut_points)
    return changes


def _clauses(
    section: str, before: Sequence[Clause], after: Sequence[Clause], known: set[str]
) -> list[Change]:
    """Return the changes of one section's clauses; ``known`` are the ids of all clauses before."""
    changes = _matched("clause", section, before, after, key=lambda c: c.id)
    splits = {c.id: c.split_from for c in after if c.split_from in known and c.id not in known}
    return [
        change.model_copy(update={"kind": "split", "origin": splits[change.id]})
        if change.kind == "added" and change.id in splits
        else change
        for change in changes
    ]


def _matched(
    part: Part,
    section: str,
    before: Sequence[Item],
    after: Sequence[Item],
    *,
    key: Callable[[Item], str],
    ordered: bool = True,
) -> list[Change]:
    old = {key(item): item for item in before}
    new = {key(item): item for item in after}
    changes = []
    for name, item in new.items():
        if name not in old:
            changes.append(Change(kind="added", part=part, section=section, id=name, after=show(item)))
        elif item != old[name]:
            a, b = show(old[name]), show(item)
            kind: ChangeKind = "reworded" if a != b else "changed"
            changes.append(Change(kind=kind, part=part, section=section, id=name, before=a, after=b))
    for name, item in old.items():
        if name not in new:
            changes.append(Change(kind="removed", part=part, section=section, id=name, before=show(item)))
    if ordered:
        for name in _moved([n for n in old if n in new], [n for n in new if n in old]):
            text = show(new[name])
            changes.append(Change(kind="moved", part=part, section=section, id=name, before=text, after=text))
    return changes


def _moved(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Return the fewest names whose moving turns one order into the other (all but a longest common one)."""
    rank = {name: i for i, name in enumerate(before)}
    order = [rank[name] for name in after]
    tails: list[int] = []
    tail_at: list[int] = []
    previous = [-1] * len(order)
    for i, value in enumerate(order):
        length = bisect_left(tails, value)
        previous[i] = tail_at[length - 1] if length else -1
        if length == len(tails):
            tails.append(value)
            tail_at.append(i)
        else:
            tails[length], tail_at[length] = value, i
    stay = set()
    i = tail_at[-1] if tail_at else -1
    while i >= 0:
        stay.add(after[i])
        i = previous[i]
    return [name for name in after if name not in stay]


def _text(part: Part, section: str, name: str, a: str, b: str) -> list[Change]:
    return [] if a == b else [Change(kind="reworded", part=part, section=section, id=name, before=a, after=b)]


def _value(part: Part, section: str, name: str, a: Any, b: Any) -> list[Change]:
    if a == b:
        return []
    return [Change(kind="changed", part=part, section=section, id=name, before=show(a), after=show(b))]


def _whole(kind: ChangeKind, dimension: Dimension) -> Change:
    side = {"after" if kind == "added" else "before": show(dimension)}
    return Change(kind=kind, part="dimension", section=dimension.key, id=dimension.key, **side)
